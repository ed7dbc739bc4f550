//! A rotation followed to the pods that read it from their environment: which of them to evict next.
//!
//! Pure: what is seen of a workload and the time go in, one step comes out. Nothing is remembered between two looks, so a
//! controller that starts anew goes on where the last one was. A pod is behind when a container of it started before a
//! Secret that it has in its environment last changed; files follow by themselves, and are not looked at. `follow` carries
//! the step out.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A container that seems to have started so shortly after a change may all the same have taken the value from before it: the
/// write took its time to arrive, and the clock of the node is not that of the API server.
const MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// The clock is known to a second, and so is when a pod was made or became Ready: something is surely so old only when it
/// seems to be older by this. Without it, a successor made in the second of the change would be taken for one from before
/// it, and be evicted again.
const BLUR: Duration = Duration::from_secs(2);

/// How fast a rotation is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long a successor has to be Ready before the next pod goes.
    pub ready: Duration,
    /// How many of a workload's pods may be on their way at once after the first, in percent; at least one.
    pub share: u8,
    /// How long a successor may take to become Ready before it is said that the rest stays as it is.
    pub patience: Duration,
}

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
    /// Since when it is Ready; `None`: it is not.
    pub ready_since: Option<Timestamp>,
    /// Whether it is on its way out.
    pub is_leaving: bool,
    /// For each Secret in the environment of each container that runs: when that started, and when the Secret last changed.
    pub reads: Vec<Read>,
}

/// A container and a Secret in its environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// When it started, and with that took the values.
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
    /// A time stamp of Kubernetes has whole seconds: what started in the second of the change may have taken the old value.
    /// What was made after the change cannot have, though its node's clock says that it started before: without that, a
    /// node with a slow clock would have its pods evicted for ever.
    fn is_behind(&self) -> bool {
        let may_be_old = |read: &Read| match read.is_first {
            true => read.started < read.changed,
            false => read.started.duration_since(read.changed) <= MARGIN,
        };
        self.reads.iter().any(|read| may_be_old(read) && self.created <= read.changed)
    }

    /// When the last Secret changed that it is behind of, if any.
    pub fn behind_since(&self) -> Option<Timestamp> {
        self.reads.iter().map(|read| read.changed).max().filter(|_| self.is_behind())
    }

    fn is_settled(&self, pace: Pace, now: Timestamp) -> bool {
        self.ready_since.is_some_and(|since| elapsed(since, now) >= pace.ready.saturating_add(BLUR))
    }
}

/// The next step for one workload.
pub fn next(workload: &Workload, pace: Pace, now: Timestamp) -> Step {
    let staying: Vec<&Pod> = workload.pods.iter().filter(|pod| !pod.is_leaving).collect();
    let (behind, fresh): (Vec<&Pod>, Vec<&Pod>) = staying.iter().partition(|pod| pod.is_behind());
    let Some(changed) = behind.iter().filter_map(|pod| pod.behind_since()).max() else {
        return Step::Done;
    };
    if elapsed(changed, now) < BLUR {
        return Step::Wait;
    }
    let unsettled: Vec<&&Pod> = fresh.iter().filter(|pod| !pod.is_settled(pace, now)).collect();
    // A pod that left and has no successor yet is on its way as much as one that is not Ready yet.
    let on_their_way = unsettled.len() + workload.desired.saturating_sub(staying.len());
    let is_proven = fresh.len() > unsettled.len();
    let at_once = if is_proven { (workload.desired * usize::from(pace.share) / 100).max(1) } else { 1 };
    let room = at_once.saturating_sub(on_their_way);
    if unsettled.iter().any(|pod| pod.ready_since.is_none() && elapsed(pod.created, now) >= pace.patience) {
        return Step::Hold(Why::SuccessorNotReady);
    }
    if room == 0 {
        return Step::Wait;
    }
    let ready = staying.iter().filter(|pod| pod.ready_since.is_some()).count();
    // Of those that are Ready one stays, whatever goes; what is not Ready is missed by nobody.
    let mut spare = match workload.wish {
        Wish::Canary => ready.saturating_sub(1),
        Wish::Always => usize::MAX,
    };
    let mut order = behind;
    // What does not serve goes first, then the oldest.
    order.sort_by(|a, b| {
        (a.ready_since.is_some(), a.created, &a.name).cmp(&(b.ready_since.is_some(), b.created, &b.name))
    });
    let mut evicted = Vec::new();
    for pod in order {
        if evicted.len() == room {
            break;
        }
        if pod.ready_since.is_some() {
            if spare == 0 {
                continue;
            }
            spare -= 1;
        }
        evicted.push(pod.name.clone());
    }
    if evicted.is_empty() { Step::Hold(Why::TooFewReady) } else { Step::Evict(evicted) }
}

/// Zero where the clock has jumped back.
fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
