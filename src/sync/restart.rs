//! A rotation followed to the pods that read it from their environment: which of them to evict next.
//!
//! Pure: what is seen of a workload and the time go in, one step comes out. Nothing is remembered between two looks, so a
//! controller that starts anew goes on where the last one was. A pod is behind when a container of it started before a
//! Secret that it has in its environment last changed; files follow by themselves, and are not looked at. `follow` carries
//! the step out.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// What seems to have begun so shortly after a change may all the same have the value from before it: the write took its
/// time to arrive, and the clock of a node is not that of the API server.
const MARGIN: SignedDuration = SignedDuration::from_secs(5);
/// The clock is known to a second, and so is when a pod was made or became Ready: something is surely so old only when it
/// seems to be older by this.
const BLUR: Duration = Duration::from_secs(2);
/// How old a change is before anybody is evicted for it. A successor that was made within the margin would be taken for one
/// from before the change, and be evicted again.
const SETTLED: Duration = Duration::from_secs(7);

/// How fast a rotation is followed.
pub use crate::config::sync::Restart as Pace;

/// What the annotation `refgate.dev/restart` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// One first, and only where another pod is Ready meanwhile.
    Canary,
    /// Also where there is no other.
    Always,
}

/// A workload with the pods that its controller has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// How many pods it wants.
    pub desired: usize,
    /// What its pods ask for.
    pub wish: Wish,
    /// Those that have not ended.
    pub pods: Vec<Pod>,
}

/// What is seen of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it is Ready, and since when it is as it is.
    pub is_ready: bool,
    /// The last change of that, by the clock of its node.
    pub since: Timestamp,
    /// Since when it is on its way out, if it is.
    pub leaving: Option<Timestamp>,
    /// For each Secret in the environment of each container that runs: when that started, and when the Secret last changed.
    pub reads: Vec<Read>,
}

/// A container and a Secret in its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Name of the Secret.
    pub secret: Box<str>,
    /// When the container started, and with that took the values.
    pub started: Timestamp,
    /// When the Secret last changed.
    pub changed: Timestamp,
    /// Whether that is when the Secret was made: before, there was no value, and a container that waited for it has it.
    pub is_first: bool,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// No pod is behind.
    Done,
    /// Evict these.
    Evict(Vec<String>),
    /// Successors are on their way; look again.
    Wait,
    /// Pods have left, and nobody has made successors yet; look again, and say so when that lasts.
    Missing,
    /// Nothing more happens by itself, and an Event says why.
    Hold(Why),
}

/// Why the rest stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nobody would be Ready while a pod is replaced.
    TooFewReady,
    /// A successor does not become Ready.
    SuccessorNotReady,
}

impl Pod {
    /// What it is behind of: the newest change that it may have the value from before of. A time stamp of Kubernetes has whole
    /// seconds: what started in the second of the change may have taken the old value. What was made after the change cannot
    /// have, though its node's clock says that it started before: without that, a node with a slow clock would have its pods
    /// evicted for ever.
    pub fn behind(&self) -> Option<&Read> {
        let is_old = |read: &&Read| match read.is_first {
            true => read.started < read.changed && self.created <= read.changed,
            false => [read.started, self.created].iter().all(|at| at.duration_since(read.changed) <= MARGIN),
        };
        self.reads.iter().filter(is_old).max_by_key(|read| read.changed)
    }

    /// Since when it is Ready, or not, where its node's clock makes sense.
    fn since(&self, now: Timestamp) -> Timestamp {
        if self.since > now { self.created } else { self.since.max(self.created) }
    }

    fn is_settled(&self, pace: Pace, now: Timestamp) -> bool {
        self.is_ready && elapsed(self.since(now), now) >= pace.ready.saturating_add(BLUR)
    }

    fn is_failed(&self, pace: Pace, now: Timestamp) -> bool {
        !self.is_ready && elapsed(self.since(now), now) >= pace.patience
    }
}

/// The next step for one workload.
pub fn next(workload: &Workload, pace: Pace, now: Timestamp) -> Step {
    let staying: Vec<&Pod> = workload.pods.iter().filter(|pod| pod.leaving.is_none()).collect();
    let behind: Vec<&Pod> = staying.iter().copied().filter(|pod| pod.behind().is_some()).collect();
    let Some(changed) = behind.iter().filter_map(|pod| Some(pod.behind()?.changed)).max() else {
        return Step::Done;
    };
    if elapsed(changed, now) < SETTLED {
        return Step::Wait;
    }
    // What is older and has no old value, since it is not running, or has started again, proves nothing and fails nothing.
    let successors = || staying.iter().filter(|pod| pod.created > changed);
    let unsettled = successors().filter(|pod| !pod.is_settled(pace, now)).count();
    let is_proven = successors().count() > unsettled;
    if successors().any(|pod| pod.is_failed(pace, now)) {
        return Step::Hold(Why::SuccessorNotReady);
    }
    // A pod that left and has no successor yet is on its way as much as one that is not Ready yet; one whose node does not
    // answer leaves for ever.
    let is_stuck = |pod: &&Pod| pod.leaving.is_some_and(|since| elapsed(since, now) >= pace.patience);
    let there = staying.len() + workload.pods.iter().filter(is_stuck).count();
    let on_their_way = unsettled + workload.desired.saturating_sub(there);
    let at_once = if is_proven { (workload.desired * usize::from(pace.share) / 100).max(1) } else { 1 };
    let room = at_once.saturating_sub(on_their_way);
    if room == 0 {
        return if unsettled == 0 { Step::Missing } else { Step::Wait };
    }
    let ready = staying.iter().filter(|pod| pod.is_ready).count();
    // Of those that are Ready one stays, whatever goes; what is not Ready is missed by nobody.
    let spare = match workload.wish {
        Wish::Canary => ready.saturating_sub(1),
        Wish::Always => usize::MAX,
    };
    let evicted = choose(behind, room, spare, is_proven);
    if evicted.is_empty() { Step::Hold(Why::TooFewReady) } else { Step::Evict(evicted) }
}

/// The oldest first. The one that is to prove the new value has to come back soon, so it is one that serves, where there is
/// another; of the others those go first that do not.
fn choose(mut behind: Vec<&Pod>, room: usize, mut spare: usize, is_proven: bool) -> Vec<String> {
    behind.sort_by(|a, b| {
        let key = |pod: &Pod| (pod.is_ready == is_proven, pod.created);
        (key(a), &a.name).cmp(&(key(b), &b.name))
    });
    let mut evicted = Vec::new();
    for pod in behind {
        if evicted.len() == room {
            break;
        }
        if pod.is_ready {
            if spare == 0 {
                continue;
            }
            spare -= 1;
        }
        evicted.push(pod.name.clone());
    }
    evicted
}

/// Zero where the clock has jumped back.
pub fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
