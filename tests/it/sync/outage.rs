//! A manager that is away for an hour, and what is left of it.

use std::time::Duration;

use refgate::policy::path::secret_name;
use serde_json::json;

use super::bed::{Bed, WEB, done, writes};

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
