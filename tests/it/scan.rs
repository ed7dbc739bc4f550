//! `refgate scan`: the built binary against a scripted API. What the API server itself does is the end-to-end tests' part.

pub(crate) mod cluster;

use std::collections::HashMap;

use cluster::*;
use refgate::policy::workload::{CONFIG_MAP, KINDS, Kind};
use serde_json::{Value, json};

use crate::api::{Reply, catalogue, namespace, page, status};

#[tokio::test]
async fn every_kind_is_judged_and_said_as_check_says_it() {
    let mut cluster = Cluster::new();
    let kinds: Vec<Kind> = KINDS.into_iter().chain([CONFIG_MAP]).collect();
    for kind in &kinds {
        let name = format!("a-{}", kind.resource);
        let base = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
        let object = match &*kind.kind {
            "Pod" => pod(&name, BAD),
            "CronJob" => {
                let mut object = workload(&name, CLEAN);
                object["spec"] = json!({"jobTemplate": {"spec": {"template": {"spec": spec(BAD)}}}});
                object
            }
            "ConfigMap" => {
                let mut object = workload(&name, CLEAN);
                object["data"] = json!({"DB_PASSWORD": PLANTED});
                object
            }
            _ => workload(&name, BAD),
        };
        cluster = cluster.list(&format!("{base}/v1/{}", kind.resource), &[object]);
    }
    let ran = cluster.json(&[]).await;
    assert_eq!((ran.code, &*ran.err), (Some(1), ""), "a pipe is shown no progress");
    let mut found = ran.found();
    found.sort();
    let mut expected: Vec<String> =
        kinds.iter().map(|kind| format!("{}/a-{}", kind.kind, kind.resource)).collect();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(ran.counts(), [9, 9, 0]);
    assert!(!ran.out.contains(PLANTED));
    let report = ran.json();
    let entry =
        report["results"].as_array().unwrap().iter().find(|entry| entry["kind"] == "CronJob").unwrap();
    assert_eq!((&entry["file"], &entry["line"]), (&Value::Null, &Value::Null));
    assert_eq!((&entry["namespace"], &entry["decision"]), (&json!("web"), &json!("deny")));
    assert_eq!(entry["apiVersion"], "batch/v1");
    let finding = &entry["findings"][0];
    assert_eq!(finding["rule"], "credential-name");
    assert_eq!(finding["pointer"], "/spec/jobTemplate/spec/template/spec/containers/0/env/0/value");
}

#[tokio::test]
async fn objects_of_other_systems_are_judged_by_the_stores_that_are_there() {
    let version = json!({"groupVersion": "external-secrets.io/v1", "version": "v1"});
    let group = json!({"kind": "APIGroup", "versions": [version], "preferredVersion": version});
    let aws = json!({"service": "SecretsManager", "region": "us-west-2", "prefix": "mozmeao/snippets/stage"});
    let store = json!({"metadata": {"name": "aws"}, "spec": {"provider": {"aws": aws}}});
    let reads = |name: &str, key: &str| {
        let spec = json!({
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": "aws"},
            "data": [{"secretKey": "k", "remoteRef": {"key": key}}],
        });
        json!({"metadata": {"name": name, "namespace": "web"}, "spec": spec})
    };
    let v1 = |resource: &str| format!("/apis/external-secrets.io/v1/{resource}");
    let mut cluster = Cluster::new().reply("/apis/external-secrets.io", Reply::Json(group));
    // The world is read first, then each object is judged.
    for _ in 0..2 {
        cluster = cluster
            .list(&v1("externalsecrets"), &[reads("good", "/x"), reads("bad", "-old/x")])
            .list(&v1("clustersecretstores"), std::slice::from_ref(&store));
    }
    let ran = cluster.json(&[]).await;
    assert_eq!(
        (ran.code, ran.found()),
        (Some(1), vec!["ClusterSecretStore/aws".to_owned(), "ExternalSecret/bad".to_owned()])
    );
    assert!(ran.out.contains("mozmeao/snippets/stage-old/x is outside"), "{}", ran.out);
    assert_eq!(ran.counts(), [3, 2, 0]);
}

#[tokio::test]
async fn text_names_the_namespace_where_check_names_the_file() {
    let controlled = |name: &str| owned(pod(name, BAD), "apps/v1", "DaemonSet", "agent");
    let cluster = Cluster::new().list(PODS, &[controlled("one"), controlled("two"), pod("clean", CLEAN)]);
    let ran = cluster.scan(&[]).await;
    assert_eq!((ran.code, &*ran.err), (Some(1), ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "web  Pod/one  container web  env DB_PASSWORD  credential-name");
    assert!(lines.contains(&"    the same in 1 more of DaemonSet/agent"), "{}", ran.out);
    assert!(
        ran.out.contains(
            "\n3 objects: 1 allowed, 2 refused, 1 finding\n1 more were refused for the same reason"
        ),
        "{}",
        ran.out
    );
}

#[tokio::test]
async fn an_owner_speaks_for_its_pods_and_for_no_other_fault() {
    let set =
        |name: &str, env, deployment: &str| owned(workload(name, env), "apps/v1", "Deployment", deployment);
    let of_set = |name: &str, env, set: &str| owned(pod(name, env), "apps/v1", "ReplicaSet", set);
    let mut debugged = of_set("debugged", BAD, "bad-1");
    debugged["spec"]["ephemeralContainers"] = spec(BAD)["containers"].clone();
    debugged["spec"]["ephemeralContainers"][0]["name"] = json!("debugger");
    let mut elsewhere = of_set("elsewhere", BAD, "bad-1");
    elsewhere["metadata"]["namespace"] = json!("other");
    let ran = Cluster::default()
        .list(NAMESPACES, &[namespace("web", "1", "stage"), namespace("other", "1", "stage"), own()])
        .list(DEPLOYMENTS, &[workload("bad", BAD), workload("mended", CLEAN)])
        .list(
            REPLICA_SETS,
            &[set("bad-1", BAD, "bad"), set("mended-1", BAD, "mended"), set("mended-2", CLEAN, "mended")],
        )
        .list(
            PODS,
            &[
                of_set("covered-1", BAD, "bad-1"),
                of_set("covered-2", BAD, "bad-1"),
                of_set("mutated-1", WORSE, "bad-1"),
                of_set("mutated-2", WORSE, "bad-1"),
                of_set("left-behind", BAD, "mended-1"),
                of_set("good", CLEAN, "mended-2"),
                debugged,
                elsewhere,
                pod("bare", BAD),
            ],
        )
        .json(&[])
        .await;
    let expected = [
        // An owner of another namespace is none.
        "Pod/elsewhere",
        "Deployment/bad",
        // What its Deployment does not say any more, and its pods do not repeat.
        "ReplicaSet/mended-1",
        "Pod/mutated-1",
        "Pod/debugged",
        "Pod/bare",
    ];
    assert_eq!(ran.found(), expected);
    let report = ran.json();
    let mutated = &report["results"][3];
    assert_eq!((&mutated["owner"], &mutated["alike"]), (&json!("ReplicaSet/bad-1"), &json!(1)));
    let bare = &report["results"][5];
    assert_eq!((&bare["owner"], &bare["alike"]), (&Value::Null, &json!(0)));
    assert_eq!(ran.counts(), [14, 11, 0]);
}

#[tokio::test]
async fn what_is_over_and_what_admission_leaves_out_is_not_judged() {
    let with = |mut object: Value, pointer: &str, value: Value| {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = parent.split('/').skip(1).fold(&mut object, |value, key| &mut value[key]);
        parent[key] = value;
        object
    };
    let ended =
        |kind: &str| json!([{"type": "Suspended", "status": "False"}, {"type": kind, "status": "True"}]);
    let none = |object| with(object, "/spec/replicas", json!(0));
    let deleted = |object| with(object, "/metadata/deletionTimestamp", json!("2026-11-22T00:00:00Z"));
    let ran = Cluster::new()
        .list(
            PODS,
            &[
                with(pod("succeeded", BAD), "/status/phase", json!("Succeeded")),
                with(pod("failed", BAD), "/status/phase", json!("Failed")),
                deleted(pod("deleted", BAD)),
                with(pod("pending", BAD), "/status/phase", json!("Pending")),
                with(pod("system", BAD), "/metadata/namespace", json!("kube-system")),
                with(pod("newer-than-the-scan", BAD), "/metadata/namespace", json!("newer")),
            ],
        )
        .list(DEPLOYMENTS, &[none(workload("scaled-to-zero", BAD)), deleted(workload("deleted", BAD))])
        .list(
            REPLICA_SETS,
            &[
                owned(none(workload("history", BAD)), "apps/v1", "Deployment", "gone"),
                none(workload("bare", BAD)),
                // Nothing that is judged speaks for it.
                owned(none(workload("of-an-operator", BAD)), "example.com/v1", "Deployment", "x"),
                with(
                    owned(none(workload("draining", BAD)), "apps/v1", "Deployment", "y"),
                    "/status/replicas",
                    json!(1),
                ),
            ],
        )
        .list(
            JOBS,
            &[
                with(workload("complete", BAD), "/status/conditions", ended("Complete")),
                with(workload("broken", BAD), "/status/conditions", ended("Failed")),
                with(workload("active", BAD), "/status/conditions", ended("Other")),
            ],
        )
        .json(&[])
        .await;
    let expected = [
        "Deployment/scaled-to-zero",
        "ReplicaSet/bare",
        "ReplicaSet/of-an-operator",
        "ReplicaSet/draining",
        "Job/active",
        "Pod/pending",
    ];
    assert_eq!(ran.found(), expected);
    assert_eq!(ran.counts(), [6, 6, 7]);
}

#[tokio::test]
async fn pages_that_expire_lose_nothing_and_repeat_nothing() {
    let mut gone = status(410);
    gone["metadata"] = json!({"continue": "where-it-was"});
    let ran = Cluster::new()
        // Without a token of the server's: from the beginning, where meanwhile one went and one came.
        .reply(
            DEPLOYMENTS,
            page("1", "second", &[workload("a", BAD), workload("b", CLEAN), workload("gone", CLEAN)]),
        )
        .reply(DEPLOYMENTS, Reply::Failure(status(410)))
        .reply(
            DEPLOYMENTS,
            page("2", "third", &[workload("a", BAD), workload("b", CLEAN), workload("c", BAD)]),
        )
        .reply(DEPLOYMENTS, page("2", "", &[workload("d", BAD)]))
        // With one: where it was.
        .reply(PODS, page("1", "second", &[pod("a", BAD)]))
        .reply(PODS, Reply::Failure(gone))
        .reply(PODS, page("9", "", &[pod("b", BAD)]))
        .json(&[])
        .await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.found(), ["Deployment/a", "Deployment/c", "Deployment/d", "Pod/a", "Pod/b"]);
    assert_eq!(ran.counts(), [6, 5, 0]);
    let tokens = |path: &str| -> Vec<String> {
        let urls = ran.asked.iter().filter(|url| url.starts_with(path));
        urls.map(|url| {
            assert!(url.contains("limit=500"), "{url}");
            url.split("continue=").nth(1).unwrap_or_default().to_owned()
        })
        .collect()
    };
    assert_eq!(tokens(DEPLOYMENTS), ["", "second", "", "third"]);
    assert_eq!(tokens(PODS), ["", "second", "where-it-was"]);
}

/// Who may make objects may make large ones.
#[tokio::test]
async fn a_page_of_large_objects_is_asked_for_with_fewer() {
    let mut large = pod("large", CLEAN);
    large["metadata"]["managedFields"] = json!("x".repeat(33 << 20));
    let ran = Cluster::new()
        .reply(PODS, page("1", "second", &[pod("a", BAD)]))
        .reply(PODS, page("1", "third", &[large]))
        .reply(PODS, page("1", "third", &[pod("b", BAD)]))
        .reply(PODS, page("1", "", &[pod("c", BAD)]))
        .json(&[])
        .await;
    assert_eq!((ran.code, ran.found()), (Some(1), ["Pod/a", "Pod/b", "Pod/c"].map(str::to_owned).to_vec()));
    assert_eq!(ran.counts(), [3, 3, 0], "what was read in vain is not counted");
    let parameter = |url: &str, key: &str| {
        let found = url.split(['?', '&']).find_map(|pair| pair.strip_prefix(key)).unwrap_or_default();
        found.to_owned()
    };
    let urls = ran.asked.iter().filter(|url| url.starts_with(PODS));
    let asked: Vec<_> = urls.map(|url| (parameter(url, "limit="), parameter(url, "continue="))).collect();
    let expected = [("500", ""), ("500", "second"), ("62", "second"), ("62", "third")];
    assert_eq!(asked, expected.map(|(limit, token)| (limit.to_owned(), token.to_owned())));
}

/// The catalogue that is not there would say that nothing is foreign.
#[tokio::test]
async fn a_wrong_namespace_of_refgates_own_is_said() {
    let elsewhere = "/api/v1/namespaces/elsewhere/configmaps";
    let scan = |namespaces: &[Value]| {
        let cluster = Cluster::default().list(NAMESPACES, namespaces).list(elsewhere, &[]);
        cluster.list(PODS, &[pod("bad", BAD)])
    };
    let ran = scan(&[namespace("web", "1", "stage")]).json(&["--own-namespace", "elsewhere"]).await;
    assert_eq!((ran.code, &*ran.out), (Some(2), ""));
    assert!(ran.err.contains("no namespace elsewhere") && ran.err.contains("--own-namespace"), "{}", ran.err);
    // Nothing is bound before the installation.
    let mut free = namespace("web", "1", "stage");
    free["metadata"]["labels"] = json!({});
    assert_eq!(scan(&[free]).json(&["--own-namespace", "elsewhere"]).await.found(), ["Pod/bad"]);
}

#[tokio::test]
async fn a_list_that_expires_for_ever_ends_as_an_error() {
    let mut cluster = Cluster::new().list(DEPLOYMENTS, &[workload("bad", BAD)]);
    for _ in 0..12 {
        cluster = cluster.reply(PODS, Reply::Failure(status(410)));
    }
    let ran = cluster.json(&[]).await;
    assert_eq!((ran.code, ran.found()), (Some(2), vec!["Deployment/bad".to_owned()]));
    assert!(ran.json()["errors"][0]["message"].as_str().unwrap().contains("pods cannot be listed"));
}

#[tokio::test]
async fn what_may_not_be_read_is_said_by_name_and_the_rest_is_judged() {
    for (path, named) in
        [(NAMESPACES, "ClusterRole refgate-scanner"), (CATALOGUES, "Role refgate-scanner there")]
    {
        let cluster = Cluster {
            replies: HashMap::from([(path.to_owned(), vec![Reply::Status(403)])]),
            ..Cluster::default()
        };
        let ran = cluster.scan(&[]).await;
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{}", ran.err);
        assert!(ran.err.contains(named) && ran.err.contains("scripted"), "{}", ran.err);
    }
    let ran = Cluster::new()
        .reply(DEPLOYMENTS, Reply::Status(403))
        .reply(JOBS, Reply::Status(404))
        .list(PODS, &[pod("bad", BAD)])
        .json(&[])
        .await;
    assert_eq!((ran.code, ran.found()), (Some(2), vec!["Pod/bad".to_owned()]));
    let report = ran.json();
    let errors = report["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "what is not installed is none: {errors:?}");
    assert_eq!(errors[0]["message"], "deployments cannot be listed: scripted");
    assert_eq!((&errors[0]["file"], &errors[0]["line"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn an_object_or_a_catalogue_that_cannot_be_read_is_said_and_the_rest_is_judged() {
    let broken = json!({"metadata": {"name": "odd", "namespace": "web", "uid": "odd"}, "spec": {"containers": PLANTED}});
    let ran = Cluster::new()
        .list(CATALOGUES, &[catalogue("web", "1", "no list")])
        .list(PODS, &[broken, pod("bad", BAD)])
        .json(&[])
        .await;
    assert_eq!((ran.code, ran.found()), (Some(2), vec!["Pod/bad".to_owned()]));
    let errors: Vec<String> =
        ran.json()["errors"].as_array().unwrap().iter().map(ToString::to_string).collect();
    assert!(errors.len() == 2 && errors[0].contains("catalogue.web"), "{errors:?}");
    assert!(errors[1].contains("Pod/odd in namespace web: /spec/containers"), "{errors:?}");
    assert!(!ran.out.contains(PLANTED));
}

#[tokio::test]
async fn the_fence_is_that_of_the_catalogue_and_the_level_that_of_the_flag() {
    let mut foreign = pod("foreign", CLEAN);
    foreign["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "theirs"}}]);
    let entries = r#"[{"path": "mozmeao/other/stage/x", "secret": "theirs", "keys": ["value"]}]"#;
    let mut off = namespace("web", "1", "stage");
    off["metadata"]["labels"]["refgate.dev/enforce"] = json!("off");
    let cluster = || {
        Cluster::default()
            .list(NAMESPACES, &[off.clone(), own()])
            .list(CATALOGUES, &[catalogue("web", "1", entries)])
            .list(PODS, &[foreign.clone(), pod("plaintext", BAD)])
    };
    assert_eq!(cluster().json(&[]).await.found(), ["Pod/foreign"]);
    assert_eq!(cluster().json(&["--level", "baseline"]).await.found(), ["Pod/foreign", "Pod/plaintext"]);
    let asked = cluster().json(&[]).await.asked;
    assert!(asked.iter().all(|url| !url.contains("secrets")), "{asked:?}");
}

#[tokio::test]
async fn a_kind_of_the_configuration_is_found_in_the_version_that_has_it() {
    let served = json!({
        "kind": "APIGroup", "name": "argoproj.io", "preferredVersion": {"version": "v2"},
        "versions": [{"version": "v1alpha1"}, {"version": "v2"}],
    });
    let mut cluster = Cluster::new()
        .reply("/apis/argoproj.io", Reply::Json(served))
        .reply("/apis/argoproj.io/v2/rollouts", Reply::Status(404))
        .list("/apis/argoproj.io/v1alpha1/rollouts", &[workload("canary", BAD)])
        .list(REPLICA_SETS, &[owned(workload("canary-1", BAD), "argoproj.io/v1alpha1", "Rollout", "canary")]);
    cluster.configuration = Some(ROLLOUT);
    let ran = cluster.json(&[]).await;
    assert_eq!((ran.code, ran.found()), (Some(1), vec!["Rollout/canary".to_owned()]));
    let mut cluster = Cluster::new().reply("/apis/argoproj.io", Reply::Status(404));
    cluster.configuration = Some(ROLLOUT);
    let ran = cluster.json(&[]).await;
    assert_eq!((ran.code, ran.counts()), (Some(0), [0, 0, 0]));
}

#[tokio::test]
async fn a_namespace_that_is_asked_for_is_all_that_is_listed() {
    let mut cluster = Cluster::default()
        .list(NAMESPACES, &[namespace("web", "1", "a"), namespace("other", "1", "b"), own()]);
    for kind in &KINDS.into_iter().chain([CONFIG_MAP]).collect::<Vec<_>>() {
        let base = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
        let items = if kind.is_pod() { vec![pod("bad", BAD)] } else { Vec::new() };
        cluster = cluster.list(&format!("{base}/v1/namespaces/web/{}", kind.resource), &items);
    }
    let ran = cluster.json(&["--namespace", "web"]).await;
    assert_eq!((ran.code, ran.found()), (Some(1), vec!["Pod/bad".to_owned()]));
    assert_eq!(ran.asked.len(), 2 + KINDS.len() + 1, "{:?}", ran.asked);
    // Each of several counts, with or without a space behind the comma.
    for (name, named) in [
        ("nowhere", "no namespace nowhere"),
        ("web, nowhere", "no namespace nowhere"),
        ("kube-system", "outside"),
        ("refgate-system", "outside"),
    ] {
        let ran = Cluster::new().scan(&["--namespace", name]).await;
        assert_eq!((ran.code, &*ran.out), (Some(2), ""));
        assert!(ran.err.contains(named), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_bound_namespace_whose_pods_may_mount_the_node_is_warned_of() {
    let with = |name: &str, standard: Option<&str>| {
        let mut namespace = namespace(name, "1", "stage");
        if let Some(standard) = standard {
            namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = json!(standard);
        }
        namespace
    };
    let mut free = with("free", None);
    free["metadata"]["labels"] = json!({});
    let namespaces = [
        with("open", None),
        with("privileged", Some("privileged")),
        with("baseline", Some("baseline")),
        with("strict", Some("restricted")),
        free,
        own(),
    ];
    let ran = Cluster::default().list(NAMESPACES, &namespaces).json(&[]).await;
    assert_eq!(ran.code, Some(0), "a warning is no finding");
    assert!(ran.err.contains("without Pod Security baseline or stricter: open, privileged;"), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1);
    let many: Vec<Value> = (10..25).map(|number| with(&format!("n-{number}"), None)).chain([own()]).collect();
    let ran = Cluster::default().list(NAMESPACES, &many).json(&[]).await;
    assert!(ran.err.contains("n-18, n-19 and 5 more;"), "{}", ran.err);
}
