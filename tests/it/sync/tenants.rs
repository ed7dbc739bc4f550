//! What somebody with `edit` in one namespace can do to all the others: nothing.

use std::time::Duration;

use refgate::policy::path::secret_name;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::bed::{Bed, OTHER, WEB, encoded, settle, writes};
use super::objects::{CONFIG_MAPS, NAMESPACES, PODS, SECRETS};
use super::server::Fault;

const FETCHES: &str = "refgate_sync_manager_calls_total{call=\"fetch\",outcome=\"ok\"}";

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("s{number:03}")).collect()
}

/// `web` refers to so many secrets, `other` to one.
fn crowded(bed: &Bed, count: usize) -> Vec<String> {
    let names = names(count);
    for name in &names {
        bed.hold(&format!("{WEB}/{name}"), name, "1");
    }
    bed.refer("web", "pod", &names.iter().map(String::as_str).collect::<Vec<_>>());
    bed.hold(&format!("{OTHER}/zzz"), "z", "1");
    bed.refer("other", "pod", &["zzz"]);
    names
}

#[tokio::test(start_paused = true)]
async fn names_that_are_taken_cost_no_write_and_nobody_else_anything() {
    let bed = Bed::new("taken", "");
    let names = crowded(&bed, 200);
    let name = |name: &String| secret_name(&format!("{WEB}/{name}"));
    for each in &names {
        bed.server.put(
            SECRETS,
            "web",
            &name(each),
            json!({"metadata": {}, "data": {"value": encoded("mine")}}),
        );
    }
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    assert_eq!(replica.metric("refgate_sync_names_taken"), 200.0);
    assert_eq!(bed.value("other", &format!("{OTHER}/zzz")).as_deref(), Some("z"));
    let fetches = replica.metric(FETCHES);
    bed.server.take_calls();
    replica.pass().await;
    let calls = bed.server.take_calls();
    assert_eq!(writes(&calls).len(), 0, "{:?}", writes(&calls).first());
    assert_eq!(replica.metric(FETCHES), fetches);
    // One of them goes.
    bed.server.remove(SECRETS, "web", &name(&names[7]));
    replica.pass().await;
    assert_eq!(bed.value("web", &format!("{WEB}/{}", names[7])).as_deref(), Some(&*names[7]));
    assert_eq!(replica.metric("refgate_sync_names_taken"), 199.0);
}

/// A quota, a policy or a webhook that lets no Secret in: asked once in a refresh, however often pods come and go.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_takes_no_secrets_is_asked_once_in_a_refresh() {
    let bed = Bed::new("quota", "");
    crowded(&bed, 40);
    let mut replica = bed.leading("a").await;
    bed.server.meet(|call| {
        let is_it = call.verb == "create" && call.resource == SECRETS && call.namespace == "web";
        is_it.then_some(Fault::Refuse(403, "Forbidden"))
    });
    replica.pass().await;
    let fetches = replica.metric(FETCHES);
    bed.server.take_calls();
    for number in 0..50 {
        bed.refer("web", &format!("pod-{number}"), &["s001"]);
        replica.follow().await;
        bed.server.remove(PODS, "web", &format!("pod-{number}"));
        replica.follow().await;
    }
    let calls = bed.server.take_calls();
    assert_eq!((writes(&calls).len(), replica.metric(FETCHES)), (0, fetches));
    assert!(bed.told("web").contains(&"Refused".to_owned()), "people are told: {:?}", bed.told("web"));
    bed.server.meet(|_| None);
    replica.pass().await;
    assert_eq!(bed.listed("web").len(), 40);
}

/// Somebody who deletes a synced Secret again and again has it made again once in a refresh.
#[tokio::test(start_paused = true)]
async fn who_deletes_secrets_all_the_time_wears_nobody_down() {
    let bed = Bed::new("deletes", "");
    let names = crowded(&bed, 1);
    let path = format!("{WEB}/{}", names[0]);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    let fetches = replica.metric(FETCHES);
    for number in 0..50 {
        bed.server.remove(SECRETS, "web", &secret_name(&path));
        bed.refer("web", &format!("pod-{number}"), &[&names[0]]);
        replica.follow().await;
    }
    assert!(replica.metric(FETCHES) <= fetches + 1.0);
    replica.pass().await;
    assert!(bed.secret("web", &path).is_some());
}

/// A webhook that is dead, and lets every write of one namespace wait.
#[tokio::test(start_paused = true)]
async fn a_namespace_whose_writes_hang_holds_nobody_up() {
    let bed = Bed::new("hangs", "");
    crowded(&bed, 100);
    let mut replica = bed.leading("a").await;
    bed.server.meet(|call| {
        let is_write = !matches!(call.verb, "get" | "list") && call.namespace == "web";
        is_write.then_some(Fault::Hang)
    });
    let begun = Instant::now();
    replica.pass().await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(bed.value("other", &format!("{OTHER}/zzz")).as_deref(), Some("z"));
    bed.server.meet(|_| None);
    replica.pass().await;
    assert_eq!(bed.listed("web").len(), 100);
}

/// A claim that was forged while no policy was in force: nothing that it says is believed.
#[tokio::test(start_paused = true)]
async fn of_a_forged_claim_nothing_is_believed() {
    let bed = Bed::new("forged", "");
    let (one, foreign) = (format!("{WEB}/one"), format!("{OTHER}/zzz"));
    crowded(&bed, 1);
    bed.hold(&one, "true", "1");
    bed.refer("web", "more", &["one"]);
    let claim = |path: &str, value: &str| {
        json!({
            "metadata": {
                "labels": {"app.kubernetes.io/managed-by": "refgate"},
                "annotations": {
                    "refgate.dev/path": path, "refgate.dev/version": "1", "refgate.dev/keys": "[\"value\"]",
                    "refgate.dev/version-created": "2026-11-01T00:00:00Z", "refgate.dev/source": "deleted",
                    "refgate.dev/changed": "2999-01-01T00:00:00Z",
                },
            },
            "data": {"value": encoded(value)},
        })
    };
    bed.server.put(SECRETS, "web", &secret_name(&one), claim(&one, "mine"));
    bed.server.put(SECRETS, "web", &secret_name(&foreign), claim(&foreign, "f"));
    // A claim under another name than its own.
    bed.server.put(SECRETS, "web", "any", claim(&one, "a"));
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    let made = bed.secret("web", &one).unwrap();
    assert_eq!(made["data"], json!({"value": encoded("true")}));
    let annotations = &made["metadata"]["annotations"];
    assert_eq!(annotations["refgate.dev/source"], Value::Null);
    assert!(annotations["refgate.dev/changed"].as_str().unwrap() < "2027", "{annotations}");
    assert_eq!(
        bed.value("web", &foreign).as_deref(),
        Some("f"),
        "the value of another scope comes to nobody"
    );
    assert_eq!(bed.value("other", &foreign).as_deref(), Some("z"));
    assert_eq!(bed.server.get(SECRETS, "web", "any").unwrap()["data"]["value"], encoded("a"));
    // Nor is a time that is forged in what the sync made.
    let mut ahead = made.clone();
    ahead["metadata"]["annotations"]["refgate.dev/changed"] = "2999-01-01T00:00:00Z".into();
    bed.server.put(SECRETS, "web", &secret_name(&one), ahead);
    replica.pass().await;
    let annotations = bed.secret("web", &one).unwrap()["metadata"]["annotations"].clone();
    assert!(annotations["refgate.dev/changed"].as_str().unwrap() < "2027", "{annotations}");
}

/// A claim that was stripped: the name is taken, by whoever stripped it, until the Secret is deleted.
#[tokio::test(start_paused = true)]
async fn a_claim_that_was_stripped_is_told_and_harms_nobody_else() {
    let bed = Bed::new("stripped", "");
    let names = crowded(&bed, 2);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    let paths = [0, 1].map(|index: usize| format!("{WEB}/{}", names[index]));
    for (path, what) in paths.iter().zip(["labels", "annotations"]) {
        let mut secret = bed.secret("web", path).unwrap();
        secret["metadata"].as_object_mut().unwrap().remove(what);
        secret["data"]["value"] = encoded("mine").into();
        bed.server.put(SECRETS, "web", &secret_name(path), secret);
    }
    replica.pass().await;
    replica.pass().await;
    assert_eq!(replica.metric("refgate_sync_names_taken"), 2.0);
    assert_eq!(bed.listed("web"), [""; 0], "nobody is told to use them");
    assert!(bed.told("web").contains(&"NameTaken".to_owned()));
    for path in &paths {
        assert_eq!(bed.value("web", path).as_deref(), Some("mine"));
        bed.server.remove(SECRETS, "web", &secret_name(path));
    }
    replica.pass().await;
    assert_eq!(bed.listed("web"), paths);
}

/// A namespace on its way out is left alone, and forgotten when it is gone.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_deleted_is_left_alone() {
    let bed = Bed::new("terminating", "");
    crowded(&bed, 3);
    let mut replica = bed.leading("a").await;
    let mut namespace = bed.server.get(NAMESPACES, "", "web").unwrap();
    namespace["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z".into();
    bed.server.put(NAMESPACES, "", "web", namespace);
    replica.pass().await;
    let calls = bed.server.take_calls();
    assert!(writes(&calls).iter().all(|call| call.namespace != "web"), "{:?}", writes(&calls));
    bed.server.remove(NAMESPACES, "", "web");
    replica.pass().await;
    assert_eq!(bed.server.get(CONFIG_MAPS, "refgate-system", "catalogue.web"), None);
    assert_eq!(bed.listed("other").len(), 1);
    settle().await;
}

/// Pods come while a pass is under way, and name what it is about to delete.
#[tokio::test(start_paused = true)]
async fn what_a_pod_names_by_now_is_not_deleted_by_a_pass_that_began_before() {
    let bed = Bed::new("late", ", forgetAfter: 1m");
    crowded(&bed, 1);
    let path = format!("{WEB}/s000");
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    bed.server.remove(PODS, "web", "pod");
    replica.pass().await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    let uid = bed.secret("web", &path).unwrap()["metadata"]["uid"].clone();
    // A write in the middle of the pass takes a while, and in that while a pod comes.
    bed.hold(&format!("{OTHER}/zzz"), "z2", "2");
    bed.server.meet(|call| {
        (call.verb == "apply" && call.resource == SECRETS).then_some(Fault::Slow(Duration::from_secs(4)))
    });
    tokio::join!(replica.pass(), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        bed.refer("web", "late", &["s000"]);
    });
    assert_eq!(bed.secret("web", &path).map(|secret| secret["metadata"]["uid"].clone()), Some(uid));
}

/// Nobody can say what a namespace is bound to while its watch is silent.
#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_as_foreign_by_a_binding_that_may_be_old() {
    let bed = Bed::new("silent", ", rebindGrace: 20m");
    crowded(&bed, 1);
    let path = format!("{WEB}/s000");
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    bed.bind("web", "g/wrong/stage");
    replica.pass().await;
    // The mistake is mended, and the sync does not hear of it.
    bed.server.silence(Some(NAMESPACES));
    let fault = Fault::Refuse(500, "InternalError");
    bed.server.meet(move |call| (call.verb == "list" && call.resource == NAMESPACES).then_some(fault));
    bed.bind("web", WEB);
    for minute in 0..60 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        replica.pass().await;
        assert!(bed.secret("web", &path).is_some(), "{minute}");
    }
    // What is foreign by a binding that is known goes.
    bed.bind("web", "g/wrong/stage");
    bed.server.silence(None);
    bed.server.meet(|_| None);
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        replica.pass().await;
    }
    assert_eq!(bed.secret("web", &path), None);
}
