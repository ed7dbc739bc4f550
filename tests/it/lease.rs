//! The lease: who writes, and until when; against a scripted API over HTTP.

use std::time::Duration;

use refgate::sync::lease::{Elector, Leader, Timing};
use serde_json::{Value, json};

use crate::api::{Api, Reply};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/refgate-system/leases";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/refgate-system/leases/refgate-sync";

/// Long but for what a test waits for.
fn timing() -> Timing {
    let hour = Duration::from_secs(3600);
    Timing { lease: hour, writing: hour, retry: hour, patience: Duration::from_secs(10) }
}

fn elector(api: &Api, timing: Timing) -> (Elector, Leader) {
    Elector::new(api.client(), "refgate-system", "pod", timing)
}

/// A lease of somebody else; it lasts as many seconds.
fn lease(holder: &str, renewed: &str, seconds: u64) -> Value {
    json!({
        "metadata": {"name": "refgate-sync", "resourceVersion": "7"},
        "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": seconds},
    })
}

#[tokio::test]
async fn the_first_one_makes_it_and_who_was_faster_keeps_it() {
    let api = Api::start().await;
    let (mut elector, leader) = elector(&api, timing());
    assert!(!leader.may_write());
    api.reply(LEASE, Reply::Status(404));
    api.reply(LEASES, Reply::Status(409));
    elector.step().await;
    assert!(!leader.may_write());
    api.reply(LEASE, Reply::Status(404));
    api.reply(LEASES, Reply::Json(json!({})));
    elector.step().await;
    assert!(leader.may_write());
}

#[tokio::test]
async fn a_lease_is_taken_when_it_was_given_up_and_lost_when_another_has_it() {
    let api = Api::start().await;
    let (mut elector, leader) = elector(&api, timing());
    api.reply(LEASE, Reply::Json(lease("", "a", 3600)));
    api.reply(LEASE, Reply::Json(json!({})));
    elector.step().await;
    assert!(leader.may_write());
    api.reply(LEASE, Reply::Json(lease("another", "b", 3600)));
    elector.step().await;
    assert!(!leader.may_write());
    // Somebody writes between the look and the write.
    api.reply(LEASE, Reply::Json(lease("", "c", 3600)));
    api.reply(LEASE, Reply::Status(409));
    elector.step().await;
    assert!(!leader.may_write());
}

#[tokio::test]
async fn anothers_lease_ends_by_how_long_it_was_seen_unchanged_and_not_by_its_clock() {
    let api = Api::start().await;
    let (mut elector, leader) = elector(&api, timing());
    // Its clock is years behind, and each renewal is news; with a duration of nothing, the second look at the same is enough.
    for renewed in ["1999-01-01T00:00:00.000000Z", "1999-01-01T00:00:02.000000Z"] {
        api.reply(LEASE, Reply::Json(lease("another", renewed, 0)));
        elector.step().await;
        assert!(!leader.may_write(), "{renewed}");
    }
    api.reply(LEASE, Reply::Json(lease("another", "1999-01-01T00:00:02.000000Z", 0)));
    api.reply(LEASE, Reply::Json(json!({})));
    elector.step().await;
    assert!(leader.may_write());
    // One that lasts is left alone, however old it says it is.
    let (mut elector, leader) = self::elector(&api, timing());
    for _ in 0..2 {
        api.reply(LEASE, Reply::Json(lease("another", "1999-01-01T00:00:00.000000Z", 3600)));
        elector.step().await;
        assert!(!leader.may_write());
    }
}

#[tokio::test]
async fn who_cannot_renew_stops_by_itself() {
    let api = Api::start().await;
    // What was promised is over as soon as it is made.
    let (mut elector, leader) = elector(&api, Timing { writing: Duration::ZERO, ..timing() });
    api.reply(LEASE, Reply::Json(lease("", "a", 3600)));
    api.reply(LEASE, Reply::Json(json!({})));
    elector.step().await;
    assert!(!leader.may_write());
    // A failure takes nothing away that was promised, and promises nothing.
    let (mut elector, leader) = self::elector(&api, timing());
    api.reply(LEASE, Reply::Status(500));
    elector.step().await;
    assert!(!leader.may_write());
    api.reply(LEASE, Reply::Json(lease("", "a", 3600)));
    api.reply(LEASE, Reply::Json(json!({})));
    elector.step().await;
    api.reply(LEASE, Reply::Status(500));
    elector.step().await;
    assert!(leader.may_write());
}

#[test]
fn what_a_leader_began_last_is_over_before_its_lease_is() {
    let Timing { lease, writing, retry, patience } = Timing::default();
    assert!(writing + patience < lease);
    assert!(retry + patience < writing, "one renewal that fails costs nothing");
}

#[tokio::test]
async fn who_gives_it_up_writes_nothing_any_more() {
    let api = Api::start().await;
    let (mut elector, leader) = elector(&api, timing());
    api.reply(LEASE, Reply::Json(lease("", "a", 3600)));
    api.reply(LEASE, Reply::Json(json!({})));
    elector.step().await;
    assert!(leader.may_write());
    // Another one has it by now: it is not taken from them.
    api.reply(LEASE, Reply::Json(lease("another", "b", 3600)));
    elector.release().await;
    assert!(!leader.may_write());
    assert_eq!(api.asked().len(), 3, "{:?}", api.asked());
}

#[tokio::test]
async fn the_time_is_that_of_the_api_server_and_goes_on_from_there() {
    let api = Api::start().await;
    let (mut elector, leader) = elector(&api, timing());
    let noted = |time: &str| json!({"metadata": {"managedFields": [{"time": "2001-01-01T00:00:00Z"}, {"time": time}, {}]}});
    api.reply(LEASE, Reply::Status(404));
    api.reply(LEASES, Reply::Json(noted("2031-01-31T12:00:00Z")));
    elector.step().await;
    let seconds = Duration::from_secs;
    // The second that was cut off counts as over.
    let said = "2031-01-31T12:00:01Z".parse::<jiff::Timestamp>().unwrap();
    let since = |leader: &Leader| Duration::try_from(leader.now().duration_since(said)).unwrap();
    assert!(since(&leader) < seconds(30), "whatever the clock here says");
    tokio::time::pause();
    tokio::time::advance(seconds(90)).await;
    assert!((seconds(90)..seconds(120)).contains(&since(&leader)));
    tokio::time::resume();
    // What is heard again counts, though it lies in the past.
    api.reply(LEASE, Reply::Json(lease("", "a", 3600)));
    api.reply(LEASE, Reply::Json(noted("2031-01-31T12:00:10Z")));
    elector.step().await;
    assert!((seconds(10)..seconds(40)).contains(&since(&leader)));
}
