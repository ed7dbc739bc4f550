//! The watches of other systems' kinds: only what the cluster has, from when it has it, and without those that it refuses.

use std::sync::Arc;

use refgate::policy::snapshot::Snapshot;
use refgate::serve::state::{self, Freshness, State};
use refgate::serve::watch::{self as watches, Feed};
use refgate::telemetry::Metrics;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::{CATALOGUES, NAMESPACES, object, quick, when};
use crate::api::{Api, Reply, bookmark, event, page};

const GROUP: &str = "/apis/external-secrets.io";
const STORES: &str = "/apis/external-secrets.io/v1beta1/secretstores";

fn store(name: &str, version: &str, prefix: &str) -> serde_json::Value {
    let aws = json!({"service": "SecretsManager", "region": "us-west-2", "prefix": prefix});
    let metadata = json!({"name": name, "namespace": "good", "resourceVersion": version});
    json!({
        "apiVersion": "external-secrets.io/v1beta1", "kind": "SecretStore",
        "metadata": metadata, "spec": {"provider": {"aws": aws}},
    })
}

fn prefix_of(snapshot: &Snapshot) -> Option<String> {
    Some(snapshot.namespaces.get("good")?.carried.store(false, "aws")?.prefix.to_string())
}

/// An API group that is served in this version alone.
fn served(version: &str) -> Reply {
    let version = json!({"groupVersion": format!("external-secrets.io/{version}"), "version": version});
    Reply::Json(json!({
        "kind": "APIGroup", "name": "external-secrets.io", "versions": [version], "preferredVersion": version,
    }))
}

/// The watches of a process that knows SecretStores of all kinds of other systems, in a cluster with one namespace.
fn follow_stores(api: &Api) -> (watch::Receiver<Option<Arc<Snapshot>>>, Arc<Metrics>) {
    api.reply(NAMESPACES, page("5", "", &[object("good", "1")]));
    api.reply(CATALOGUES, page("5", "", &[]));
    let (number, kind) =
        watches::carried_kinds().enumerate().find(|(_, kind)| kind.kind == "SecretStore").unwrap();
    let (changes, queue) = mpsc::channel(64);
    let (publish, snapshots) = watch::channel(None);
    let freshness = Arc::new(Freshness::new(watches::count()));
    let metrics: Arc<Metrics> = Arc::default();
    let feed = Feed {
        changes,
        freshness: Arc::clone(&freshness),
        snapshots: snapshots.clone(),
        metrics: Arc::clone(&metrics),
    };
    let state = State::new(Default::default()).awaiting([kind]);
    tokio::spawn(state::run(state, queue, publish, freshness));
    tokio::spawn(watches::namespaces(api.client(), quick(), feed.clone()));
    tokio::spawn(watches::catalogues(api.client(), "refgate-system".to_owned(), quick(), feed.clone()));
    tokio::spawn(watches::carried(api.client(), number, kind, quick(), feed));
    (snapshots, metrics)
}

#[tokio::test]
async fn kinds_of_other_systems_are_watched_where_they_are_and_when_they_come() {
    let api = Api::start().await;
    // Not installed; then another version of it; then one that is known.
    api.reply(GROUP, Reply::Status(404));
    api.reply(GROUP, served("v9"));
    api.reply(GROUP, served("v1beta1"));
    api.reply(STORES, page("5", "", &[store("aws", "1", "one/")]));
    let stores = api.stream(STORES);
    let (mut snapshots, _) = follow_stores(&api);

    when(&mut snapshots, |snapshot| prefix_of(snapshot).as_deref() == Some("one/")).await;
    stores.send(event("MODIFIED", &store("aws", "6", "two/")));
    when(&mut snapshots, |snapshot| prefix_of(snapshot).as_deref() == Some("two/")).await;
    // The CRD goes: the stream ends, and there is nothing to list.
    api.reply(STORES, Reply::Status(404));
    api.reply(GROUP, Reply::Status(404));
    drop(stores);
    when(&mut snapshots, |snapshot| prefix_of(snapshot).is_none()).await;
}

const UNREAD: &str = "refgate_carriers_unread{carrier=\"external-secrets\",kind=\"SecretStore\"}";

#[tokio::test]
async fn a_kind_that_the_api_server_refuses_holds_nobody_up() {
    // A right that is missing, and a webhook for conversion that is away.
    for code in [403, 500] {
        let api = Api::start().await;
        api.reply(GROUP, served("v1beta1"));
        (0..6).for_each(|_| api.reply(STORES, Reply::Status(code)));
        let (mut snapshots, metrics) = follow_stores(&api);
        when(&mut snapshots, |snapshot| snapshot.namespaces.contains_key("good")).await;
        assert_eq!(prefix_of(snapshots.borrow().as_ref().unwrap()), None);
        assert!(metrics.render().contains(&format!("{UNREAD} 1")), "{}", metrics.render());
        // It was waited for until then.
        assert!(api.asked().iter().filter(|url| url.starts_with(STORES)).count() >= 6);
    }
}

#[tokio::test]
async fn what_is_known_stays_while_the_api_server_refuses_a_kind() {
    let api = Api::start().await;
    api.reply(GROUP, served("v1beta1"));
    api.reply(STORES, page("5", "", &[store("aws", "1", "one/")]));
    let stores = api.stream(STORES);
    (0..20).for_each(|_| api.reply(STORES, Reply::Status(500)));
    api.reply(STORES, page("9", "", &[store("aws", "8", "two/")]));
    let later = api.stream(STORES);
    let (mut snapshots, metrics) = follow_stores(&api);
    when(&mut snapshots, |snapshot| prefix_of(snapshot).as_deref() == Some("one/")).await;
    stores.break_off();
    when(&mut snapshots, |snapshot| {
        let prefix = prefix_of(snapshot).expect("it was forgotten");
        prefix == "two/"
    })
    .await;
    later.send(bookmark("10"));
    later.send(event("MODIFIED", &store("aws", "11", "three/")));
    when(&mut snapshots, |snapshot| prefix_of(snapshot).as_deref() == Some("three/")).await;
    assert!(metrics.render().contains(&format!("{UNREAD} 0")), "{}", metrics.render());
}
