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
    let read = Read { secret: "key".into(), started: at(started), changed: at(CHANGED), is_first: false };
    Pod {
        name: name.to_owned(),
        created: at(started),
        is_ready: true,
        since: at(started),
        leaving: None,
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

/// Not Ready for some time, which a pod that is there already was before.
fn unready(mut pod: Pod, since: i64) -> Pod {
    (pod.is_ready, pod.since) = (false, at(since));
    pod
}

fn leaving(mut pod: Pod, since: i64) -> Pod {
    pod.leaving = Some(at(since));
    pod
}

#[test]
fn one_first_and_then_a_share() {
    let now = at(CHANGED + 10);
    assert_eq!(next(&workload(8, old(8)), PACE, now), evict(&["old-0"]));
    // On its way out, then gone, then its successor young: nobody else goes.
    let mut pods = old(8);
    pods[0].leaving = Some(now);
    assert_eq!(next(&workload(8, pods), PACE, now), Step::Missing);
    assert_eq!(next(&workload(8, old(7)), PACE, now), Step::Missing);
    let with_successor = |since: i64| {
        let mut pods = old(7);
        pods.push(pod("new-0", since));
        workload(8, pods)
    };
    assert_eq!(next(&with_successor(CHANGED + 9), PACE, now), Step::Wait);
    // Ready for as long as it takes: a quarter of eight.
    let later = at(CHANGED + 41);
    assert_eq!(next(&with_successor(CHANGED + 10), PACE, later), Step::Wait);
    assert_eq!(next(&with_successor(CHANGED + 9), PACE, later), evict(&["old-0", "old-1"]));
}

#[test]
fn a_change_of_this_very_second_waits() {
    let pods = workload(8, old(8));
    for (second, step) in [(0, Step::Wait), (6, Step::Wait), (7, evict(&["old-0"]))] {
        assert_eq!(next(&pods, PACE, at(CHANGED + second)), step, "{second}");
    }
}

#[test]
fn who_is_behind() {
    let now = at(CHANGED + 1_000);
    let step =
        |pods: &[&Pod]| next(&workload(pods.len(), pods.iter().copied().cloned().collect()), PACE, now);
    let files_only = Pod { reads: Vec::new(), ..pod("files", CHANGED - 100) };
    let fresh = pod("fresh", CHANGED + 9);
    assert_eq!(step(&[&files_only, &files_only]), Step::Done);
    assert_eq!(step(&[&pod("a", CHANGED + 6), &fresh]), Step::Done);
    // In the same second it may have had the old value, and shortly after it too, whenever it was made: the write took its time
    // to arrive, and the node's clock may be fast.
    for (created, started) in [(0, 0), (-50, 5), (3, 3), (5, 5)] {
        let just = Pod { created: at(CHANGED + created), ..pod("a", CHANGED + started) };
        assert_eq!(step(&[&just, &fresh]), evict(&["a"]), "{created} {started}");
    }
    // A container that started again took the new value; a node whose clock is slow says otherwise of a new pod.
    let again = Pod { created: at(CHANGED - 50), ..pod("a", CHANGED + 6) };
    let slow = Pod { created: at(CHANGED + 6), ..pod("b", CHANGED - 50) };
    assert_eq!(step(&[&again, &slow]), Step::Done);
    // Of a Secret's first value nobody has an older one, but who did without it.
    let first = |started: i64| {
        let mut pod = Pod { created: at(CHANGED - 50), ..pod("a", CHANGED + started) };
        pod.reads[0].is_first = true;
        pod
    };
    assert_eq!(step(&[&first(0), &fresh]), Step::Done);
    assert_eq!(step(&[&first(-1), &fresh]), evict(&["a"]));
    // One container of several is enough, and the change that is told is one that it is behind of.
    let mut two = pod("a", CHANGED + 20);
    let read = |secret: &str, changed: i64| Read {
        secret: secret.into(),
        started: at(CHANGED + 20),
        changed: at(CHANGED + changed),
        is_first: false,
    };
    two.reads.extend([read("other", 21), read("third", 10)]);
    assert_eq!(step(&[&two, &pod("fresh", CHANGED + 40)]), evict(&["a"]));
    assert_eq!(two.behind().map(|read| &*read.secret), Some("other"));
    // A pod that is going anyway is nobody's concern.
    assert_eq!(step(&[&leaving(pod("a", CHANGED - 1), CHANGED + 999), &fresh]), Step::Done);
}

#[test]
fn a_successor_that_does_not_become_ready_stops_it() {
    let with = |new: Pod| {
        let mut pods = old(3);
        pods.push(Pod { reads: Vec::new(), ..new });
        workload(4, pods)
    };
    let new = || pod("new", CHANGED + 9);
    let late = CHANGED + 9 + 300;
    let never = with(unready(new(), CHANGED + 9));
    assert_eq!(next(&never, PACE, at(late - 1)), Step::Wait);
    assert_eq!(next(&never, PACE, at(late)), Step::Hold(Why::SuccessorNotReady));
    // When it does after all, it goes on; and when it is not for a moment, long after, it is no failure.
    assert_eq!(next(&with(Pod { since: at(late), ..new() }), PACE, at(late + 32)), evict(&["old-0"]));
    assert_eq!(next(&with(unready(new(), late)), PACE, at(late + 1)), Step::Wait);
    // Nodes whose clocks are wrong: as long as the pod is there counts instead.
    let fast = Pod { since: at(late + 9_999), ..new() };
    assert_eq!(next(&with(fast), PACE, at(late)), evict(&["old-0"]));
    let slow = Pod { since: at(CHANGED - 9_999), ..new() };
    assert_eq!(next(&with(slow), PACE, at(CHANGED + 9 + 31)), Step::Wait);
}

/// What was broken before the change, or is not running, says nothing of the new value.
#[test]
fn pods_that_were_broken_before_hold_nothing_up() {
    let now = at(CHANGED + 1_000);
    let mut pods = old(3);
    let pending = Pod { reads: Vec::new(), ..unready(pod("pending", CHANGED - 9_000), CHANGED - 9_000) };
    pods.push(pending);
    assert_eq!(next(&workload(4, pods.clone()), PACE, now), evict(&["old-0"]));
    // On a node that does not answer: the one that is to prove the new value is another one, and the last to go is this one.
    let dead = unready(pod("dead", CHANGED - 9_000), CHANGED - 500);
    pods.push(dead.clone());
    assert_eq!(next(&workload(5, pods.clone()), PACE, now), evict(&["old-0"]));
    // It leaves for ever, and is no reason for the others to wait for ever.
    let mut rest = old(2);
    rest.push(pod("new", CHANGED + 500));
    for (since, step) in [(900, Step::Missing), (600, evict(&["old-0"]))] {
        let gone = leaving(dead.clone(), CHANGED + since);
        let pods = rest.iter().cloned().chain([gone]).collect();
        assert_eq!(next(&workload(4, pods), PACE, now), step, "{since}");
    }
}

#[test]
fn the_only_ready_pod_stays_unless_asked() {
    let now = at(CHANGED + 10);
    let one = workload(1, old(1));
    assert_eq!(next(&one, PACE, now), Step::Hold(Why::TooFewReady));
    assert_eq!(next(&Workload { wish: Wish::Always, ..one }, PACE, now), evict(&["old-0"]));
    // Of two, one Ready: the other is missed by nobody.
    let mut pods = old(2);
    pods[1] = unready(pods[1].clone(), CHANGED - 50);
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
    /// Seconds until a successor is made, and from then until it is Ready.
    delay: i64,
    warm_up: i64,
    /// When successors are to be made.
    to_make: Vec<i64>,
}

impl World {
    fn new(count: usize, delay: i64, warm_up: i64) -> Self {
        let workload = workload(count, old(count));
        Self { workload, now: CHANGED + 10, made: 0, delay, warm_up, to_make: Vec::new() }
    }

    fn ready(&self) -> usize {
        self.workload.pods.iter().filter(|pod| pod.is_ready).count()
    }

    fn evict(&mut self, names: &[String]) {
        self.workload.pods.retain(|pod| !names.contains(&pod.name));
        self.to_make.extend(names.iter().map(|_| self.now + self.delay));
    }

    fn tick(&mut self) {
        self.now += 1;
        let (due, later): (Vec<i64>, _) = self.to_make.iter().partition(|at| **at < self.now);
        self.to_make = later;
        for _ in due {
            self.made += 1;
            self.workload.pods.push(unready(pod(&format!("new-{}", self.made), self.now), self.now));
        }
        for pod in self.workload.pods.iter_mut().filter(|pod| !pod.is_ready) {
            if pod.name.starts_with("new") && self.now - pod.created.as_second() >= self.warm_up {
                (pod.is_ready, pod.since) = (true, at(self.now));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Every pod is replaced, one first, never more at once than the share, and never the last that is Ready.
    #[test]
    fn a_rotation_reaches_every_pod(
        count in 2_usize..30, share in 1_u8..=100, delay in 0_i64..20, warm_up in 0_i64..60, broken in 0_usize..4,
    ) {
        let pace = Pace { share, ..PACE };
        let mut world = World::new(count + broken, delay, warm_up);
        // Some run, and are not Ready, since long ago.
        for pod in world.workload.pods.iter_mut().take(broken) {
            *pod = unready(pod.clone(), CHANGED - 90);
        }
        let most = ((count + broken) * usize::from(share) / 100).max(1);
        let (mut proven, mut evicted) = (false, 0);
        for _ in 0..(count + broken) as i64 * (delay + warm_up + 50) {
            match next(&world.workload, pace, at(world.now)) {
                Step::Done => break,
                Step::Evict(names) => {
                    prop_assert!(proven || evicted == 0 && names.len() == 1);
                    evicted += names.len();
                    world.evict(&names);
                    prop_assert!(world.ready() >= 1.max(count.saturating_sub(most)));
                }
                Step::Wait | Step::Missing => {}
                Step::Hold(why) => prop_assert!(false, "{:?}", why),
            }
            world.tick();
            proven = proven || world.workload.pods.iter().any(|pod| {
                pod.name.starts_with("new") && pod.is_ready && world.now - pod.since.as_second() >= 32
            });
        }
        prop_assert_eq!(evicted, count + broken);
        prop_assert!(world.workload.pods.iter().all(|pod| pod.name.starts_with("new")));
    }

    /// A value that breaks the program costs one pod, and so does one that is never made again.
    #[test]
    fn a_rotation_that_breaks_pods_stops_at_the_first(count in 2_usize..30, share in 1_u8..=100, comes in any::<bool>()) {
        let pace = Pace { share, ..PACE };
        let mut world = World::new(count, if comes { 0 } else { i64::MAX / 2 }, i64::MAX);
        let mut evicted = 0;
        for _ in 0..400 {
            if let Step::Evict(names) = next(&world.workload, pace, at(world.now)) {
                evicted += names.len();
                world.evict(&names);
            }
            world.tick();
        }
        prop_assert_eq!(evicted, 1);
        let last = if comes { Step::Hold(Why::SuccessorNotReady) } else { Step::Missing };
        prop_assert_eq!(next(&world.workload, pace, at(world.now)), last);
    }
}
