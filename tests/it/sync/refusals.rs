//! Each kind of write, and each way in which it can fail: for its namespace alone, and for no longer than it lasts.

use std::time::Duration;

use refgate::policy::path::secret_name;
use serde_json::{Value, json};

use super::bed::{Bed, OTHER, OWN, WEB, encoded, writes};
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
