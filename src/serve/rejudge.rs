//! What is there already, judged again: objects of other sync systems of before the installation, and pairs of changes that
//! each passed on what was there before. Nothing is denied here: a metric and a line in the log say it.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::policy::carriers::{self, Outside};
use crate::policy::snapshot::{NamespaceState, Snapshot};
use crate::telemetry::{CarrierLabels, Metrics};

/// Between two rounds: nobody waits for it, and a storm of events is judged once.
const PAUSE: Duration = Duration::from_secs(1);
/// Lines of the log in one round; more are counted.
const LINES: usize = 100;

/// What was found in one namespace, and of which state.
struct Round {
    state: Arc<NamespaceState>,
    /// Carrier, kind, and a hash of what was said: sentences about tens of thousands of objects are no memory to keep.
    outside: Vec<(&'static str, &'static str, u64)>,
}

/// What was found so far.
#[derive(Default)]
pub struct Again {
    namespaces: HashMap<Box<str>, Round>,
    last: Option<Arc<Snapshot>>,
    hasher: RandomState,
}

/// Judges whatever changes, until nobody publishes snapshots any more.
pub async fn run(mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>, metrics: Arc<Metrics>) {
    let mut again = Again::default();
    loop {
        let snapshot = snapshots.borrow_and_update().clone();
        if let Some(snapshot) = snapshot {
            for line in again.judge(&snapshot, &metrics) {
                tracing::warn!("{line}");
            }
            tokio::time::sleep(PAUSE).await;
        }
        if snapshots.changed().await.is_err() {
            return;
        }
    }
}

impl Again {
    /// Judges what has changed since the last time, counts, and gives what there is to say of what is new.
    pub fn judge(&mut self, snapshot: &Arc<Snapshot>, metrics: &Metrics) -> Vec<String> {
        // A store of the cluster and a line of the configuration concern every namespace.
        let all = self.last.as_ref().is_none_or(|last| {
            !Arc::ptr_eq(&last.settings, &snapshot.settings) || !Arc::ptr_eq(&last.cluster, &snapshot.cluster)
        });
        let mut lines = Vec::new();
        self.namespaces.retain(|name, _| snapshot.namespaces.contains_key(name));
        for (name, state) in &snapshot.namespaces {
            let before = self.namespaces.get(name);
            if !all && before.is_some_and(|round| Arc::ptr_eq(&round.state, state)) {
                continue;
            }
            let outside = carriers::outside(name, state, snapshot);
            let known: BTreeSet<u64> =
                before.iter().flat_map(|round| &round.outside).map(|(.., said)| *said).collect();
            let said = |outside: &Outside| self.hasher.hash_one(&outside.why);
            for new in outside.iter().filter(|outside| !known.contains(&said(outside))) {
                lines.push(format!("it is there and would be refused now, in namespace {name}: {}", new.why));
            }
            let outside = outside.iter().map(|new| (new.carrier.id, new.kind.kind, said(new))).collect();
            self.namespaces.insert(name.clone(), Round { state: Arc::clone(state), outside });
        }
        self.last = Some(Arc::clone(snapshot));
        self.count(metrics);
        lines.sort_unstable();
        let more = lines.len().saturating_sub(LINES);
        lines.truncate(LINES);
        if more > 0 {
            lines.push(format!("and {more} more objects of other sync systems would be refused now"));
        }
        lines
    }

    fn count(&self, metrics: &Metrics) {
        let mut counts: BTreeMap<(&'static str, &'static str), i64> = BTreeMap::new();
        // Those that have none are there too, so that a number that was there goes back to zero.
        for (carrier, kind) in carriers::kinds().filter(|(_, kind)| kind.is_watched()) {
            counts.insert((carrier.id, kind.kind), 0);
        }
        for (carrier, kind, _) in self.namespaces.values().flat_map(|round| &round.outside) {
            *counts.entry((carrier, kind)).or_default() += 1;
        }
        for ((carrier, kind), count) in counts {
            metrics.carriers_outside.get_or_create(&CarrierLabels { carrier, kind }).set(count);
        }
    }
}
