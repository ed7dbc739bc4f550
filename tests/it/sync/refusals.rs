//! Each kind of write, and each way in which it can fail: for its namespace alone, and for no longer than it lasts.

use std::time::Duration;

use refgate::policy::path::secret_name;
use serde_json::{Value, json};

use super::bed::{Bed, OTHER, OWN, Replica, WEB, encoded, writes};
use super::objects::{CONFIG_MAPS, EVENTS, PODS, SECRETS};
use super::server::Fault;

const FAULTS: [Fault; 11] = [
    Fault::Refuse(400, "BadRequest"),
    Fault::Refuse(401, "Unauthorized"),
    Fault::Refuse(403, "Forbidden"),
    Fault::Refuse(404, "NotFound"),
    Fault::Refuse(409, "Conflict"),
    Fault::Refuse(422, "Invalid"),
    Fault::Refuse(429, "TooManyRequests"),
    Fault::Refuse(500, "InternalError"),
    Fault::Hang,
    Fault::Lose,
    Fault::Half,
];

const WRITES: [(&str, &str); 7] = [
    ("create", SECRETS),
    ("apply", SECRETS),
    ("merge", SECRETS),
    ("delete", SECRETS),
    ("apply", CONFIG_MAPS),
    ("create", EVENTS),
    ("get", SECRETS),
];

/// Every kind of write is wanted in `web`, and one of them fails.
async fn meets(test: &str, verb: &'static str, resource: &'static str, fault: Fault) {
    let what = format!("{verb} {resource} {fault:?}");
    let bed = Bed::new(test, ", forgetAfter: 0s");
    let path = |name: &str| format!("{WEB}/{name}");
    for name in ["rotated", "deleted", "fixed", "forgotten", "more", "taken"] {
        bed.hold(&path(name), name, "1");
    }
    bed.hold(&format!("{OTHER}/one"), "1", "1");
    bed.refer("web", "pod", &["rotated", "deleted", "fixed", "more"]);
    bed.refer("web", "forgets", &["forgotten"]);
    bed.refer("other", "pod", &["one"]);
    let mut replica = bed.leading("a").await;
    replica.pass().await;

    let change = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut secret = bed.secret("web", &path(name)).unwrap();
        change(&mut secret);
        bed.server.put(SECRETS, "web", &secret_name(&path(name)), secret);
    };
    change("fixed", &|secret| secret["immutable"] = true.into());
    change("more", &|secret| secret["data"]["more"] = encoded("m").into());
    let mine = json!({"metadata": {}, "data": {"value": encoded("mine")}});
    bed.server.put(SECRETS, "web", &secret_name(&path("taken")), mine);
    bed.hold(&path("rotated"), "rotated again", "2");
    bed.hold(&path("fixed"), "fixed again", "2");
    bed.hold(&path("made"), "made", "1");
    let gone = json!({"value": "deleted", "version": "1", "created": "2026-11-01T00:00:00Z", "deleted": "2026-11-20T00:00:00Z"});
    bed.entry(&path("deleted"), Some(gone));
    bed.hold(&format!("{OTHER}/one"), "2", "2");
    bed.server.remove(PODS, "web", "forgets");
    bed.refer("web", "makes", &["made", "taken"]);
    bed.server.meet(move |call| {
        let is_here = call.namespace == "web" || call.namespace == OWN && call.name.ends_with(".web");
        (is_here && call.verb == verb && call.resource == resource).then_some(fault)
    });
    for pass in 0..3 {
        replica.pass().await;
        assert_eq!(bed.value("other", &format!("{OTHER}/one")).as_deref(), Some("2"), "{what} {pass}");
        for name in ["rotated", "deleted", "fixed", "more", "taken"] {
            assert!(bed.secret("web", &path(name)).is_some(), "{what} {pass}: {name} is lost");
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    bed.server.meet(|_| None);
    for _ in 0..3 {
        replica.pass().await;
    }
    for (name, value) in [
        ("rotated", "rotated again"),
        ("fixed", "fixed again"),
        ("more", "more"),
        ("made", "made"),
        ("deleted", "deleted"),
        ("taken", "mine"),
    ] {
        let data = bed.secret("web", &path(name)).unwrap()["data"].clone();
        assert_eq!(data, json!({"value": encoded(value)}), "{what}: {name}");
    }
    let deleted = bed.secret("web", &path("deleted")).unwrap();
    assert_eq!(deleted["metadata"]["annotations"]["refgate.dev/source"], "deleted", "{what}");
    assert_eq!(bed.secret("web", &path("forgotten")), None, "{what}");
    let listed = ["deleted", "fixed", "made", "more", "rotated"].map(path);
    assert_eq!(bed.listed("web"), listed, "{what}");
    for reason in ["NameTaken", "SourceDeleted", "Deleted"] {
        // What could not be said when it happened is not said later, unless it lasts.
        let is_quiet = resource == EVENTS || matches!(fault, Fault::Hang | Fault::Lose | Fault::Half);
        let may_be_lost = reason == "Deleted" && is_quiet;
        assert!(may_be_lost || bed.told("web").contains(&reason.to_owned()), "{what}: {reason}");
    }
    bed.server.take_calls();
    replica.pass().await;
    assert_eq!(writes(&bed.server.take_calls()).len(), 0, "{what}: there is nothing left to do");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_fails_alone_and_is_made_good() {
    for (verb, resource) in WRITES {
        for fault in FAULTS {
            meets("refusals", verb, resource, fault).await;
        }
    }
}

/// A property without a name is left out, as one whose name is too long: no reference can name it either.
#[tokio::test(start_paused = true)]
async fn a_property_that_can_be_no_key_costs_nothing_else() {
    let bed = Bed::new("keys", "");
    let path = format!("{WEB}/odd");
    let long = "n".repeat(254);
    let value = json!({"": "no name", "user": "app", "..": "dots", "a b/c": "blank", long: "long", "\u{e9}": "letter"});
    bed.hold(&path, &value.to_string(), "1");
    bed.refer("web", "pod", &["odd"]);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    let secret = bed.secret("web", &path).expect("it is synced");
    let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, [".2e.2e", ".c3.a9", "a.20b.2fc", "user", "value"]);
    assert_eq!(bed.told("web"), [""; 0]);
}

const WORDS: &str = "exceeded quota: few-secrets, requested: count/secrets=1, used: count/secrets=3, limited: count/secrets=3";

fn refused(replica: &Replica) -> Vec<(&'static str, f64)> {
    let count = |reason| (reason, replica.metric(&format!("refgate_sync_refused{{reason=\"{reason}\"}}")));
    ["denied", "invalid", "error", "unfit", "unread"]
        .map(count)
        .into_iter()
        .filter(|(_, count)| *count > 0.0)
        .collect()
}

/// Whatever the API server refuses for good is an Event in its words, a line of the catalog for `sync status`, and a metric.
#[tokio::test(start_paused = true)]
async fn whatever_is_refused_is_said_in_an_event_a_status_and_a_metric() {
    for (verb, resource, name) in [
        ("create", SECRETS, "made"),
        ("apply", SECRETS, "rotated"),
        ("merge", SECRETS, "deleted"),
        ("delete", SECRETS, "forgotten"),
        ("delete", SECRETS, "fixed"),
        ("apply", CONFIG_MAPS, ""),
    ] {
        for (code, reason) in [
            (400, "invalid"),
            (401, "denied"),
            (403, "denied"),
            (404, "invalid"),
            (413, "invalid"),
            (422, "invalid"),
            (429, "invalid"),
            (500, "error"),
        ] {
            let what = format!("{verb} {resource} {name} {code}");
            let bed = Bed::new("said", ", forgetAfter: 0s");
            let path = |name: &str| format!("{WEB}/{name}");
            for name in ["rotated", "deleted", "fixed", "forgotten"] {
                bed.hold(&path(name), name, "1");
            }
            bed.refer("web", "pod", &["rotated", "deleted", "fixed", "made"]);
            bed.refer("web", "forgets", &["forgotten"]);
            let mut replica = bed.leading("a").await;
            replica.pass().await;
            let mut fixed = bed.secret("web", &path("fixed")).unwrap();
            fixed["immutable"] = true.into();
            bed.server.put(SECRETS, "web", &secret_name(&path("fixed")), fixed);
            for name in ["rotated", "fixed"] {
                bed.hold(&path(name), "again", "2");
            }
            bed.hold(&path("made"), "made", "1");
            bed.entry(&path("deleted"), None);
            bed.server.remove(PODS, "web", "forgets");
            let object = if name.is_empty() { "catalogue.web".to_owned() } else { secret_name(&path(name)) };
            bed.server.meet(move |call| {
                let is_it = call.verb == verb && call.resource == resource && call.name == object;
                is_it.then_some(Fault::Say(code, WORDS))
            });
            replica.pass().await;
            // What leaves does so in the pass after the one that saw it so.
            replica.pass().await;
            if (verb, code) == ("delete", 404) {
                // It is gone, as it should be.
                assert_eq!(refused(&replica), [], "{what}");
                continue;
            }
            assert_eq!(refused(&replica), [(reason, 1.0)], "{what}");
            let events = bed.server.all(EVENTS);
            let event = events.iter().find(|event| event["reason"] == "Refused").expect(&what);
            let note = event["message"].as_str().unwrap();
            assert!(note.contains(&path(name)) || name.is_empty(), "{what}: {note}");
            assert!(note.contains(&format!("{code}: {WORDS}")), "{what}: {note}");
            if !name.is_empty() {
                let line = &bed.catalogue("web", "refused")[path(name)];
                assert!(line.as_str().unwrap().contains(WORDS), "{what}: {line}");
            }
            bed.server.meet(|_| None);
            replica.pass().await;
            assert_eq!(refused(&replica), [], "{what}");
            let map = bed.server.get(CONFIG_MAPS, OWN, "catalogue.web").unwrap();
            assert_eq!(map["data"].get("refused"), None, "{what}");
        }
    }
}

/// An Event that is refused can be told by a metric alone.
#[tokio::test(start_paused = true)]
async fn an_event_that_is_refused_is_counted() {
    let bed = Bed::new("events", "");
    bed.hold(&format!("{WEB}/one"), "one", "1");
    bed.refer("web", "pod", &["one"]);
    let mut replica = bed.leading("a").await;
    bed.server
        .meet(|call| (call.verb == "create" && call.namespace == "web").then_some(Fault::Say(403, WORDS)));
    replica.pass().await;
    replica.pass().await;
    let count = replica.metric("refgate_sync_writes_total{what=\"event\",outcome=\"denied\"}");
    assert_eq!((count, refused(&replica)), (2.0, vec![("denied", 1.0)]));
}

/// What no Secret can hold is never sent, so only the sync can say it.
#[tokio::test(start_paused = true)]
async fn a_value_that_no_secret_can_hold_is_said_everywhere() {
    let bed = Bed::new("unfit", "");
    let path = |name: &str| format!("{WEB}/{name}");
    let unfit = |version: &str| {
        let tags = json!({"refgate.dev/type": "kubernetes.io/none"});
        json!({"value": "v", "version": version, "created": "2026-11-01T00:00:00Z", "tags": tags})
    };
    bed.entry(&path("new"), Some(unfit("1")));
    bed.hold(&path("old"), "good", "1");
    bed.refer("web", "pod", &["new", "old"]);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    assert_eq!(refused(&replica), [("unfit", 1.0)]);
    bed.entry(&path("old"), Some(unfit("2")));
    replica.pass().await;
    assert_eq!(refused(&replica), [("unfit", 2.0)]);
    for name in ["new", "old"] {
        let line = bed.catalogue("web", "refused")[path(name)].clone();
        assert!(line.as_str().unwrap().contains("a type that the sync does not make"), "{name}: {line}");
    }
    assert_eq!(bed.told("web"), ["Unfit", "Unfit"]);
    assert_eq!(bed.value("web", &path("old")).as_deref(), Some("good"));
    for name in ["new", "old"] {
        bed.hold(&path(name), "good", "3");
    }
    replica.pass().await;
    assert_eq!(refused(&replica), []);
}

/// What the manager lists and does not give, such as for want of the right to its key.
#[tokio::test(start_paused = true)]
async fn a_value_that_the_manager_does_not_give_is_said_everywhere() {
    let bed = Bed::new("unread", "");
    let path = format!("{WEB}/one");
    bed.hold(&path, "good", "1");
    bed.refer("web", "pod", &["one"]);
    let mut replica = bed.leading("a").await;
    // Secrets of the namespace are read when the manager has listed, and before it is asked for values.
    let file = bed.file();
    bed.server.meet(move |call| {
        if call.verb == "list" && call.resource == SECRETS {
            std::fs::write(&file, "[]").unwrap();
        }
        None
    });
    replica.pass().await;
    assert_eq!((refused(&replica), bed.told("web")), (vec![("unread", 1.0)], vec!["FetchFailed".to_owned()]));
    let line = bed.catalogue("web", "refused")[&path].clone();
    assert!(line.as_str().unwrap().contains("the secret manager cannot do this"), "{line}");
    bed.server.meet(|_| None);
    bed.hold(&path, "good", "1");
    replica.pass().await;
    assert_eq!((refused(&replica), bed.value("web", &path).as_deref()), (vec![], Some("good")));
}

/// A namespace that goes takes nothing new: that is no fault, and nobody is woken up for it.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_begins_to_go_is_no_fault() {
    let bed = Bed::new("goes", "");
    bed.hold(&format!("{WEB}/one"), "one", "1");
    bed.refer("web", "pod", &["one"]);
    let mut replica = bed.leading("a").await;
    bed.server.meet(|call| (call.verb == "create" && call.namespace == "web").then_some(Fault::Terminating));
    replica.pass().await;
    assert_eq!(refused(&replica), []);
    assert_eq!(replica.metric("refgate_sync_writes_total{what=\"create\",outcome=\"terminating\"}"), 1.0);
}
