//! Clocks that jump: what is kept for a while is kept, and no pod is taken for one that is behind for ever.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::bed::{Bed, Replica, WEB, done, settle, writes};
use super::objects::{PODS, SECRETS};
use super::server::Fault;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn changed(bed: &Bed, path: &str) -> Timestamp {
    let secret = bed.secret("web", path).unwrap();
    secret["metadata"]["annotations"]["refgate.dev/changed"].as_str().unwrap().parse().unwrap()
}

async fn minutes(replica: &mut Replica, count: u64) {
    for _ in 0..count {
        tokio::time::sleep(Duration::from_secs(60)).await;
        replica.pass().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_takes_nothing_that_is_wanted_and_writes_nothing() {
    let bed = Bed::new("jumps", ", forgetAfter: 10m, rebindGrace: 10m");
    let one = format!("{WEB}/one");
    bed.hold(&one, "1", "1");
    bed.refer("web", "pod", &["one"]);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    bed.server.take_calls();
    for skew in [DAY, SignedDuration::ZERO, DAY * 365] {
        bed.server.skew(skew);
        minutes(&mut replica, 3).await;
        let calls = bed.server.take_calls();
        // That a value is due for rotation may be said.
        assert!(writes(&calls).iter().all(|call| call.resource.ends_with("/events")), "{skew}: {calls:?}");
    }
    // Back: what was changed was changed tomorrow, and that alone is mended.
    let before = bed.secret("web", &one).unwrap();
    bed.server.skew(-DAY);
    minutes(&mut replica, 3).await;
    assert_eq!(done(&bed.server.take_calls()).len(), 1);
    let after = bed.secret("web", &one).unwrap();
    assert_eq!((&after["data"], &after["metadata"]["uid"]), (&before["data"], &before["metadata"]["uid"]));
}

/// A day that was taken for another one does not keep what is not wanted for that day.
#[tokio::test(start_paused = true)]
async fn what_leaves_goes_after_its_time_though_the_clock_had_jumped() {
    let bed = Bed::new("leaves", ", forgetAfter: 10m");
    let one = format!("{WEB}/one");
    bed.hold(&one, "1", "1");
    bed.refer("web", "pod", &["one"]);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    bed.server.remove(PODS, "web", "pod");
    bed.server.skew(DAY);
    replica.pass().await;
    bed.server.skew(SignedDuration::ZERO);
    minutes(&mut replica, 9).await;
    assert!(bed.secret("web", &one).is_some());
    minutes(&mut replica, 3).await;
    assert_eq!(bed.secret("web", &one), None);
}

/// `refgate.dev/changed` says which pods are behind: one of tomorrow would have pods replaced until then.
#[tokio::test(start_paused = true)]
async fn a_change_of_tomorrow_is_one_of_today() {
    let bed = Bed::new("tomorrow", "");
    let one = format!("{WEB}/one");
    bed.hold(&one, "1", "1");
    bed.refer("web", "pod", &["one"]);
    let mut replica = bed.leading("a").await;
    bed.server.skew(DAY);
    replica.pass().await;
    assert!(changed(&bed, &one) > bed.server.now() - SignedDuration::from_secs(10));
    bed.server.skew(SignedDuration::ZERO);
    bed.server.take_calls();
    minutes(&mut replica, 1).await;
    assert!(changed(&bed, &one) <= bed.server.now() + SignedDuration::from_secs(1));
    assert_eq!(done(&bed.server.take_calls()).len(), 1);
    // Two replicas whose clocks are some seconds apart do not correct each other.
    bed.server.skew(SignedDuration::from_secs(-5));
    minutes(&mut replica, 2).await;
    assert_eq!(done(&bed.server.take_calls()).len(), 0);
}

/// A pod that starts while a pass is under way reads the old value; a time from before it would hide that.
#[tokio::test(start_paused = true)]
async fn a_change_is_no_older_than_its_write() {
    let bed = Bed::new("write", "");
    let one = format!("{WEB}/one");
    bed.hold(&one, "1", "1");
    bed.refer("web", "pod", &["one"]);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    bed.hold(&one, "2", "2");
    bed.server.meet(|call| {
        (call.verb == "list" && call.resource == SECRETS).then_some(Fault::Slow(Duration::from_secs(40)))
    });
    settle().await;
    let begun = bed.server.now();
    replica.pass().await;
    assert_eq!(bed.value("web", &one).as_deref(), Some("2"));
    assert!(changed(&bed, &one) >= begun + SignedDuration::from_secs(40), "{}", changed(&bed, &one));
}
