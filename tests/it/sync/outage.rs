//! A manager that is away for an hour, and what is left of it.

use std::time::Duration;

use refgate::policy::path::secret_name;
use serde_json::json;

use super::bed::{Bed, OTHER, OWN, WEB, done, writes};
use super::objects::{CONFIG_MAPS, SECRETS};
use super::server::Fault;

#[tokio::test(start_paused = true)]
async fn a_manager_that_is_gone_for_an_hour_costs_nothing_and_is_followed_again() {
    let bed = Bed::new("gone", ", forgetAfter: 1m");
    let (one, two) = (format!("{WEB}/one"), format!("{WEB}/two"));
    bed.hold(&one, "1", "1");
    bed.hold(&two, "2", "1");
    bed.refer("web", "pod", &["one", "two", "later"]);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    assert_eq!(bed.listed("web"), [one.clone(), two.clone()]);
    replica.pass().await;
    bed.server.take_calls();
    bed.set_away(true);
    for minute in 0..60 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        replica.pass().await;
        // What pods do meanwhile is looked at too.
        bed.refer("web", &format!("pod-{minute}"), &["one", "later"]);
        replica.follow().await;
    }
    assert_eq!(writes(&bed.server.take_calls()).len(), 0, "nothing is written, and nothing deleted");
    bed.hold(&one, "1b", "2");
    bed.hold(&format!("{WEB}/later"), "l", "1");
    bed.set_away(false);
    replica.pass().await;
    assert_eq!(bed.value("web", &one).as_deref(), Some("1b"));
    let later = secret_name(&format!("{WEB}/later"));
    let expected = [format!("apply web/{}", secret_name(&one)), format!("create web/{later}")];
    assert_eq!(done(&bed.server.take_calls()), expected, "each once");
    // The same for a namespace that asks for all of its scope, and names nothing.
    let labels = bed.server.get("/api/v1/namespaces", "", "web").unwrap()["metadata"]["labels"].clone();
    let all = json!({"metadata": {"labels": labels, "annotations": {"refgate.dev/sync": "scope"}}});
    bed.server.put("/api/v1/namespaces", "", "web", all);
    for pod in bed.server.all("/api/v1/pods") {
        bed.server.remove("/api/v1/pods", "web", pod["metadata"]["name"].as_str().unwrap());
    }
    bed.set_away(true);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        replica.pass().await;
    }
    assert_eq!(bed.listed("web").len(), 3);
    assert_eq!(writes(&bed.server.take_calls()).len(), 0);
}

/// A leader that starts in an outage looks as old as it is.
#[tokio::test(start_paused = true)]
async fn a_manager_that_was_never_read_gets_older_all_the_same() {
    const AGE: &str = "refgate_sync_source_age_seconds";
    let bed = Bed::new("never", "");
    bed.set_away(true);
    let mut replica = bed.leading("a").await;
    assert_eq!(replica.metric(AGE), 0.0, "who does not lead knows of no age");
    for _ in 0..16 {
        replica.pass().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let data = format!("refgate_sync_data_age_seconds{{scope=\"{WEB}\"}}");
    assert!((960.0..970.0).contains(&replica.metric(AGE)), "{}", replica.metric(AGE));
    assert!((960.0..970.0).contains(&replica.metric(&data)), "{}", replica.metric(&data));
    bed.set_away(false);
    replica.pass().await;
    assert!(replica.metric(AGE) < 1.0 && replica.metric(&data) < 1.0);
    // Between two passes it grows too, and whoever does not lead any more says nothing.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!((30.0..31.0).contains(&replica.metric(AGE)));
    replica.metrics.stand_by();
    assert_eq!(replica.metric(AGE), 0.0);
    assert!(!replica.metrics.render().contains("refgate_sync_data_age_seconds{"));
}

/// What only a person mends is said in the catalogue, once; what is away for a while is not.
#[tokio::test(start_paused = true)]
async fn a_list_that_fails_for_good_is_said_until_it_comes() {
    let bed = Bed::new("unlisted", "");
    let said = || bed.server.get(CONFIG_MAPS, OWN, "catalogue.web").unwrap()["data"].get("unlisted").cloned();
    bed.hold(&format!("{WEB}/one"), "1", "1");
    bed.refer("web", "pod", &["one"]);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    assert_eq!(said(), None);
    bed.entry("g/broken/stage/x", Some(json!({"unknown": "x"})));
    replica.pass().await;
    let text = said().unwrap();
    assert!(
        text.as_str().unwrap().starts_with(&format!("{{\"{WEB}\":\"the secret manager cannot do this: ")),
        "{text}"
    );
    bed.server.take_calls();
    replica.pass().await;
    // That it is away is another matter, and says nothing new.
    bed.set_away(true);
    replica.pass().await;
    assert_eq!(writes(&bed.server.take_calls()).len(), 0);
    bed.entry("g/broken/stage/x", None);
    replica.pass().await;
    assert_eq!(said(), None);
}

/// The age of what is held is that of its own scope: the others are as fresh as their manager.
#[tokio::test(start_paused = true)]
async fn what_does_not_arrive_in_one_scope_ages_there_alone() {
    let bed = Bed::new("ages", "");
    let age = |scope: &str| format!("refgate_sync_data_age_seconds{{scope=\"{scope}\"}}");
    for (namespace, scope) in [("web", WEB), ("other", OTHER)] {
        bed.hold(&format!("{scope}/one"), "1", "1");
        bed.refer(namespace, "pod", &["one"]);
    }
    // A second namespace of the scope, in which nothing is wrong.
    bed.bind("twin", WEB);
    bed.refer("twin", "pod", &["one"]);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    assert!(replica.metric(&age(WEB)) < 1.0 && replica.metric(&age(OTHER)) < 1.0);
    for scope in [WEB, OTHER] {
        bed.hold(&format!("{scope}/one"), "2", "2");
    }
    bed.server.meet(|call| {
        let is_refused = call.namespace == "web" && call.resource == SECRETS && call.verb == "apply";
        is_refused.then_some(Fault::Refuse(403, "Forbidden"))
    });
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        replica.pass().await;
    }
    assert!((600.0..610.0).contains(&replica.metric(&age(WEB))), "{}", replica.metric(&age(WEB)));
    assert!(replica.metric(&age(OTHER)) < 1.0);
    bed.server.meet(|_| None);
    replica.pass().await;
    assert!(replica.metric(&age(WEB)) < 1.0);
    // What is not bound any more is not said.
    bed.bind("other", "g/another/stage");
    replica.pass().await;
    assert!(!replica.metrics.render().contains(&age(OTHER)));
}
