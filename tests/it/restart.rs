//! Which pods a rotation evicts, and when: a world in which evicted pods come back, or do not.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use refgate::sync::restart::{Pace, Pod, Read, Step, Why, Wish, Workload, next};

const PACE: Pace = Pace { ready: Duration::from_secs(30), share: 25, patience: Duration::from_secs(300) };
const CHANGED: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A pod that runs and is Ready since `started`.
fn pod(name: &str, started: i64) -> Pod {
    let read = Read { started: at(started), changed: at(CHANGED), is_first: false };
    Pod {
        name: name.to_owned(),
        created: at(started),
        ready_since: Some(at(started)),
        is_leaving: false,
        reads: vec![read],
    }
}

fn old(count: usize) -> Vec<Pod> {
    (0..count).map(|number| pod(&format!("old-{number}"), CHANGED - 100)).collect()
}

fn workload(desired: usize, pods: Vec<Pod>) -> Workload {
    Workload { desired, wish: Wish::Canary, pods }
}

fn evict(names: &[&str]) -> Step {
    Step::Evict(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn one_first_and_then_a_share() {
    let now = at(CHANGED + 10);
    assert_eq!(next(&workload(8, old(8)), PACE, now), evict(&["old-0"]));
    // On its way out, then gone, then its successor young: nobody else goes.
    let mut leaving = old(8);
    leaving[0].is_leaving = true;
    assert_eq!(next(&workload(8, leaving), PACE, now), Step::Wait);
    assert_eq!(next(&workload(8, old(7)), PACE, now), Step::Wait);
    let with_successor = |since: i64| {
        let mut pods = old(7);
        pods.push(pod("new-0", since));
        workload(8, pods)
    };
    assert_eq!(next(&with_successor(CHANGED + 5), PACE, now), Step::Wait);
    // Ready for as long as it takes: a quarter of eight.
    let later = at(CHANGED + 37);
    assert_eq!(next(&with_successor(CHANGED + 6), PACE, later), Step::Wait);
    assert_eq!(next(&with_successor(CHANGED + 5), PACE, later), evict(&["old-0", "old-1"]));
}

#[test]
fn a_change_of_this_very_second_waits() {
    let pods = workload(8, old(8));
    for (second, step) in [(0, Step::Wait), (1, Step::Wait), (2, evict(&["old-0"]))] {
        assert_eq!(next(&pods, PACE, at(CHANGED + second)), step, "{second}");
    }
}

#[test]
fn who_is_behind() {
    let now = at(CHANGED + 1_000);
    let files_only = Pod { reads: Vec::new(), ..pod("files", CHANGED - 100) };
    assert_eq!(next(&workload(2, vec![files_only.clone(), files_only]), PACE, now), Step::Done);
    let after = workload(2, vec![pod("a", CHANGED + 1), pod("b", CHANGED + 2)]);
    assert_eq!(next(&after, PACE, now), Step::Done);
    // In the same second it may have had the old value.
    let same = workload(2, vec![pod("a", CHANGED), pod("b", CHANGED + 2)]);
    assert_eq!(next(&same, PACE, now), evict(&["a"]));
    // And shortly after it, since the write took its time to arrive, and the node's clock may be fast.
    let just = Pod { created: at(CHANGED - 50), ..pod("a", CHANGED + 5) };
    assert_eq!(next(&workload(2, vec![just, pod("b", CHANGED + 2)]), PACE, now), evict(&["a"]));
    // A container that started again took the new value; a node whose clock is slow says otherwise of a new pod.
    let again = Pod { created: at(CHANGED - 50), ..pod("a", CHANGED + 6) };
    let slow = Pod { created: at(CHANGED + 5), ..pod("b", CHANGED - 50) };
    assert_eq!(next(&workload(2, vec![again, slow]), PACE, now), Step::Done);
    // Of a Secret's first value nobody has an older one, but who did without it.
    let first = |started: i64| {
        let mut pod = Pod { created: at(CHANGED - 50), ..pod("a", started) };
        pod.reads[0].is_first = true;
        workload(2, vec![pod.clone(), Pod { name: "b".to_owned(), ..pod }])
    };
    assert_eq!(next(&first(CHANGED), PACE, now), Step::Done);
    assert_eq!(next(&first(CHANGED - 1), PACE, now), evict(&["a"]));
    // One container of several is enough.
    let mut two = pod("a", CHANGED + 5);
    two.reads.push(Read { started: at(CHANGED + 5), changed: at(CHANGED + 6), is_first: false });
    assert_eq!(next(&workload(2, vec![two, pod("b", CHANGED + 9)]), PACE, now), evict(&["a"]));
    // A pod that is going anyway is nobody's concern.
    let mut leaving = pod("a", CHANGED - 1);
    leaving.is_leaving = true;
    assert_eq!(next(&workload(1, vec![leaving, pod("b", CHANGED + 9)]), PACE, now), Step::Done);
}

#[test]
fn a_successor_that_does_not_become_ready_stops_it() {
    let mut pods = old(3);
    pods.push(Pod { ready_since: None, reads: Vec::new(), ..pod("new", CHANGED + 5) });
    let late = CHANGED + 5 + 300;
    assert_eq!(next(&workload(4, pods.clone()), PACE, at(late - 1)), Step::Wait);
    assert_eq!(next(&workload(4, pods.clone()), PACE, at(late)), Step::Hold(Why::SuccessorNotReady));
    // When it does after all, it goes on.
    pods[3].ready_since = Some(at(late));
    assert_eq!(next(&workload(4, pods), PACE, at(late + 32)), evict(&["old-0"]));
}

#[test]
fn the_only_ready_pod_stays_unless_asked() {
    let now = at(CHANGED + 10);
    let one = workload(1, old(1));
    assert_eq!(next(&one, PACE, now), Step::Hold(Why::TooFewReady));
    assert_eq!(next(&Workload { wish: Wish::Always, ..one }, PACE, now), evict(&["old-0"]));
    // Of two, one Ready: the other is missed by nobody.
    let mut pods = old(2);
    pods[1].ready_since = None;
    assert_eq!(next(&workload(2, pods), PACE, now), evict(&["old-1"]));
}

#[test]
fn a_clock_that_jumps_back_waits() {
    let mut pods = old(3);
    pods.push(pod("new", CHANGED + 500));
    assert_eq!(next(&workload(4, pods), PACE, at(CHANGED)), Step::Wait);
}

/// What a controller and its nodes do with evicted pods.
struct World {
    workload: Workload,
    now: i64,
    made: usize,
    /// Seconds until a successor is Ready.
    warm_up: i64,
}

impl World {
    fn ready(&self) -> usize {
        self.workload.pods.iter().filter(|pod| pod.ready_since.is_some()).count()
    }

    fn evict(&mut self, names: &[String]) {
        for name in names {
            self.workload.pods.retain(|pod| pod.name != *name);
            self.made += 1;
            let fresh = pod(&format!("new-{}", self.made), self.now + 1);
            self.workload.pods.push(Pod { ready_since: None, ..fresh });
        }
    }

    fn tick(&mut self) {
        self.now += 1;
        for pod in self.workload.pods.iter_mut().filter(|pod| pod.ready_since.is_none()) {
            if self.now - pod.created.as_second() >= self.warm_up {
                pod.ready_since = Some(at(self.now));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Every pod is replaced, one first, never more at once than the share, and never the last that is Ready.
    #[test]
    fn a_rotation_reaches_every_pod(count in 2_usize..30, share in 1_u8..=100, warm_up in 0_i64..60) {
        let pace = Pace { share, ..PACE };
        let workload = workload(count, old(count));
        let mut world = World { workload, now: CHANGED + 10, made: 0, warm_up };
        let most = (count * usize::from(share) / 100).max(1);
        let mut proven = false;
        for _ in 0..count as i64 * (warm_up + 40) {
            match next(&world.workload, pace, at(world.now)) {
                Step::Done => break,
                Step::Evict(names) => {
                    prop_assert!(proven || world.made == 0 && names.len() == 1);
                    world.evict(&names);
                    prop_assert!(world.ready() >= 1.max(count.saturating_sub(most)));
                }
                Step::Wait => {}
                Step::Hold(why) => prop_assert!(false, "{:?}", why),
            }
            world.tick();
            proven = proven || world.workload.pods.iter().any(|pod| {
                pod.name.starts_with("new")
                    && pod.ready_since.is_some_and(|since| world.now - since.as_second() >= 32)
            });
        }
        prop_assert_eq!(world.made, count);
        prop_assert!(world.workload.pods.iter().all(|pod| pod.name.starts_with("new")));
    }

    /// A value that breaks the program costs one pod.
    #[test]
    fn a_rotation_that_breaks_pods_stops_at_the_first(count in 2_usize..30, share in 1_u8..=100) {
        let pace = Pace { share, ..PACE };
        let mut world =
            World { workload: workload(count, old(count)), now: CHANGED + 10, made: 0, warm_up: i64::MAX };
        for _ in 0..400 {
            if let Step::Evict(names) = next(&world.workload, pace, at(world.now)) {
                world.evict(&names);
            }
            world.tick();
        }
        prop_assert_eq!(world.made, 1);
        prop_assert_eq!(next(&world.workload, pace, at(world.now)), Step::Hold(Why::SuccessorNotReady));
    }
}
