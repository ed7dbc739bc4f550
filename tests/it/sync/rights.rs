//! Kinds of workloads that the sync may not read: what it knows goes on, and nothing is lost for what it does not.

use std::sync::Arc;
use std::time::Duration;

use refgate::cluster::Pace;
use refgate::policy::workload::{KINDS, Kind};
use refgate::sync::state::{self, Cluster};
use serde_json::{Value, json};

use super::bed::{Bed, OTHER, OWN, Replica, WEB, settle};
use super::evictions::runs;
use super::objects::{CONFIG_MAPS, EVENTS, PODS};
use super::server::Fault;
use crate::api::{Api, Reply, bookmark, page, status};

const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
const KINDS_UNREAD: &str = "refgate_sync_unreadable_kinds";
const FORBIDDEN: Fault = Fault::Refuse(403, "Forbidden");

/// A Deployment that refers to a secret, and has no pods yet.
fn deployment(bed: &Bed, namespace: &str, name: &str) {
    let env = json!([{"name": "A", "value": format!("secret:{name}")}]);
    let template = json!({"metadata": {}, "spec": {"containers": [{"name": "c", "env": env}]}});
    bed.server.put(
        DEPLOYMENTS,
        namespace,
        name,
        json!({"metadata": {}, "spec": {"replicas": 0, "template": template}}),
    );
}

fn no_lists(bed: &Bed, resource: &'static str, fault: Fault) {
    bed.server.meet(move |call| (call.verb == "list" && call.resource == resource).then_some(fault));
}

async fn minutes(replica: &mut Replica, count: usize) {
    for _ in 0..count {
        tokio::time::sleep(Duration::from_secs(60)).await;
        replica.pass().await;
        replica.engine.follow(&replica.cluster).await;
    }
}

/// What stands under `unread` in the catalogue of `web`.
fn said(bed: &Bed) -> Option<String> {
    let map = bed.server.get(CONFIG_MAPS, OWN, "catalogue.web").unwrap();
    map["data"].get("unread").map(|text| text.as_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_may_not_be_read_holds_nobody_up_and_costs_no_secret() {
    for (fault, is_a_right) in [(FORBIDDEN, true), (Fault::Refuse(500, "InternalError"), false)] {
        let bed = Bed::new(if is_a_right { "forbidden" } else { "failing" }, ", forgetAfter: 0s");
        let path = |name: &str| format!("{WEB}/{name}");
        for name in ["seen", "unseen", "unwanted"] {
            bed.hold(&path(name), "1", "1");
        }
        bed.refer("web", "pod", &["seen", "unwanted"]);
        deployment(&bed, "web", "unseen");
        let mut before = bed.leading("a").await;
        before.pass().await;
        assert_eq!(bed.listed("web").len(), 3);
        drop(before);
        // It starts anew where the right is missing, and meanwhile one is rotated, one new, one not wanted any more.
        bed.refer("web", "pod", &["seen", "new"]);
        bed.hold(&path("seen"), "2", "2");
        bed.hold(&path("new"), "1", "1");
        no_lists(&bed, DEPLOYMENTS, fault);
        let mut replica = bed.leading("b").await;
        minutes(&mut replica, 60).await;
        assert_eq!(bed.value("web", &path("seen")).as_deref(), Some("2"), "{fault:?}");
        assert_eq!(bed.value("web", &path("new")).as_deref(), Some("1"), "{fault:?}");
        for name in ["unseen", "unwanted"] {
            assert!(bed.secret("web", &path(name)).is_some(), "{name} is lost by {fault:?}");
        }
        assert_eq!(bed.catalogue("web", "leaving"), json!({}), "nobody can say that it leaves");
        assert_eq!(replica.metric(KINDS_UNREAD), 1.0);
        let rule = "12-rbac-sync.yaml): {apiGroups: [apps], resources: [deployments], verbs: [list, watch]}";
        let events = bed.server.all(EVENTS);
        let told = events.iter().filter(|event| event["reason"] == "RightMissing");
        let told: Vec<&Value> =
            told.inspect(|event| assert_eq!(event["metadata"]["namespace"], OWN)).collect();
        assert_eq!(told.len(), usize::from(is_a_right), "once: {told:?}");
        assert!(told.iter().all(|event| event["message"].as_str().unwrap().ends_with(rule)), "{told:?}");
        assert_eq!(said(&bed).as_deref(), is_a_right.then_some(r#"["deployments.apps"]"#));
        assert_eq!(replica.engine.problems().len(), 1, "{:?}", replica.engine.problems());
        // The right is given: what nobody wants goes, by itself, and what was not seen stays.
        bed.server.meet(|_| None);
        minutes(&mut replica, 3).await;
        assert!(bed.secret("web", &path("unwanted")).is_none(), "{fault:?}");
        assert!(bed.secret("web", &path("unseen")).is_some(), "{fault:?}");
        assert_eq!((replica.metric(KINDS_UNREAD), said(&bed)), (0.0, None));
        assert!(replica.engine.problems().is_empty());
    }
}

/// A rotation is followed for what is seen; of a kind that is not, nothing is touched.
#[tokio::test(start_paused = true)]
async fn a_kind_that_may_not_be_read_is_not_restarted_and_the_others_are() {
    for (resource, left) in [(PODS, 1), (DEPLOYMENTS, 1), ("/apis/apps/v1/daemonsets", 0)] {
        let mut bed = Bed::new("restarts", "");
        bed.kinds = vec![KINDS[0].clone(), KINDS[2].clone(), KINDS[4].clone()];
        let one = format!("{OTHER}/one");
        bed.hold(&one, "1", "1");
        runs(&bed, "other", OTHER, "web");
        no_lists(&bed, resource, FORBIDDEN);
        let mut replica = bed.leading("a").await;
        // Of what is not seen, something else has to speak.
        bed.refer("other", "asks", &["one"]);
        deployment(&bed, "other", "one");
        minutes(&mut replica, 1).await;
        bed.hold(&one, "2", "2");
        minutes(&mut replica, 3).await;
        settle().await;
        assert_eq!(bed.value("other", &one).as_deref(), Some("2"), "{resource}");
        assert!(bed.server.get(PODS, "other", "asks").is_some());
        let there = usize::from(bed.server.get(PODS, "other", "web").is_some());
        assert_eq!(there, left, "{resource}");
        // With the right the rest follows.
        bed.server.meet(|_| None);
        minutes(&mut replica, 3).await;
        settle().await;
        assert!(bed.server.get(PODS, "other", "web").is_none(), "{resource}");
    }
}

/// Watches Namespaces and one kind of a scripted API.
fn watching(api: &Api, kind: &Kind) -> Arc<Cluster> {
    api.reply("/api/v1/namespaces", page("1", "", &[]));
    let cluster = Arc::new(Cluster::default());
    let pace =
        || Pace { first: Duration::from_millis(1), longest: Duration::from_millis(5), ..Pace::default() };
    tokio::spawn(state::watch_namespaces(Arc::clone(&cluster), api.client(), pace()));
    let index = cluster.add_watch(kind);
    tokio::spawn(state::watch_kind(Arc::clone(&cluster), index, api.client(), kind.clone(), pace()));
    cluster
}

/// Until the cluster says this of missing rights.
async fn denies(cluster: &Cluster, expected: &[&str]) {
    let is_so = async {
        while cluster.denied().iter().map(ToString::to_string).collect::<Vec<_>>() != expected {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(10), is_so).await;
    waited.unwrap_or_else(|_| panic!("{:?}, not {expected:?}", cluster.denied()));
}

fn refused() -> Reply {
    Reply::Failure(status(403))
}

/// The right to list is asked for where a kind of the configuration is looked for already.
#[tokio::test]
async fn a_kind_of_the_configuration_is_found_when_its_right_comes() {
    let group = json!({"versions": [{"version": "v1"}], "preferredVersion": {"version": "v1"}});
    let list = "/apis/argoproj.io/v1/rollouts";
    let api = Api::start().await;
    for _ in 0..2 {
        api.reply("/apis/argoproj.io", Reply::Json(group.clone()));
    }
    api.reply(list, refused());
    let kind = Kind {
        group: "argoproj.io".into(),
        kind: "Rollout".into(),
        resource: "rollouts".into(),
        pointer: "/spec/template".into(),
    };
    let cluster = watching(&api, &kind);
    let started =
        tokio::time::timeout(Duration::from_secs(10), cluster.wait_complete(Duration::from_secs(3600)));
    started.await.expect("what may not be read holds nobody up");
    denies(&cluster, &["rollouts.argoproj.io"]).await;
    assert!(!cluster.is_whole(Duration::from_secs(3600)));
    // One answer for who looks for it, one for who watches it.
    api.reply(list, page("1", "", &[]));
    api.reply(list, page("1", "", &[]));
    denies(&cluster, &[]).await;
    assert!(cluster.is_whole(Duration::from_secs(3600)));
}

#[tokio::test]
async fn a_right_to_list_alone_is_said_until_it_is_whole() {
    let api = Api::start().await;
    api.reply(DEPLOYMENTS, page("1", "", &[]));
    api.reply(DEPLOYMENTS, refused());
    let pieces = api.stream(DEPLOYMENTS);
    let cluster = watching(&api, &KINDS[2]);
    denies(&cluster, &["deployments.apps"]).await;
    pieces.send(bookmark("2"));
    denies(&cluster, &[]).await;
}
