//! What the sync measures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::Instant;

/// Labels of `refgate_sync_writes_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WriteLabels {
    /// `create`, `update`, `replace`, `mark`, `delete`, `catalogue`, `evict` or `event`.
    pub what: &'static str,
    /// `ok`, `taken`, `conflict`, `denied`, `invalid`, `budget`, `terminating` or `error`.
    pub outcome: &'static str,
}

/// Labels of `refgate_sync_manager_calls_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// `list` or `fetch`.
    pub call: &'static str,
    /// `ok`, `denied`, `throttled`, `unavailable` or `invalid`.
    pub outcome: &'static str,
}

/// Labels of `refgate_sync_refused`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// How many writes are not done, by why.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refusals {
    /// The API server says 401 or 403: a right, a quota, a policy or a webhook of others.
    pub denied: i64,
    /// It says another 4xx.
    pub invalid: i64,
    /// It says 5xx, or nothing.
    pub error: i64,
    /// A value that cannot become a Secret; the API server is not asked.
    pub unfit: i64,
    /// A value that the secret manager does not give.
    pub unread: i64,
}

/// Labels of `refgate_sync_rotation_due` and `refgate_sync_data_age_seconds`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ScopeLabels {
    /// `group/app/env`; only what a namespace is bound to.
    pub scope: String,
}

/// Everything that the sync measures.
#[derive(Debug, Default)]
pub struct SyncMetrics {
    registry: Registry,
    /// `refgate_sync_leader`: 1 where this replica is the one that writes.
    pub leader: Gauge,
    /// `refgate_sync_writes_total`.
    pub writes: Family<WriteLabels, Counter>,
    /// `refgate_sync_manager_calls_total`.
    pub calls: Family<CallLabels, Counter>,
    /// `refgate_sync_secrets`: Secrets that are held.
    pub secrets: Gauge,
    /// `refgate_sync_names_taken`: Secrets that cannot be made because somebody else has their name.
    pub taken: Gauge,
    /// `refgate_sync_refused`: writes that are not done before somebody does something about it.
    refused: Family<ReasonLabels, Gauge>,
    /// `refgate_sync_workloads_behind`: workloads with pods that have an old value in their environment.
    pub behind: Gauge,
    /// `refgate_config_reload_success`: whether the configuration that is in the file is the one that holds.
    pub config_reload_success: Gauge,
    /// `refgate_sync_rotation_due`: values that are older than they should be, by what their namespaces are bound to.
    due: Family<ScopeLabels, Gauge>,
    /// The scopes that it has been said of.
    due_scopes: Mutex<BTreeSet<String>>,
    /// `refgate_sync_unreadable_namespaces`: bound namespaces whose Secrets cannot be listed.
    pub unreadable: Gauge,
    /// `refgate_sync_unreadable_kinds`: kinds of workloads that cannot be listed, or not be watched.
    pub unread: Gauge,
    /// `refgate_sync_source_age_seconds`: since the secret manager was last read as a whole.
    source_age: Gauge<f64, AtomicU64>,
    /// `refgate_sync_data_age_seconds`: since all that the namespaces of a scope hold was what the manager has.
    data_age: Family<ScopeLabels, Gauge<f64, AtomicU64>>,
    /// What ages count from: they grow while nothing happens, so they are made when they are asked for.
    ages: Mutex<Ages>,
}

/// What ages count from. Whoever does not lead has none.
#[derive(Debug, Default)]
struct Ages {
    /// The last time that the manager was read as a whole, or the beginning of the term.
    read: Option<Instant>,
    /// By scope.
    data: BTreeMap<String, Instant>,
}

impl SyncMetrics {
    /// All of them, at zero.
    pub fn new() -> Self {
        let mut metrics = Self::default();
        metrics.config_reload_success.set(1);
        metrics.set_refused(Refusals::default());
        let registry = &mut metrics.registry;
        registry.register("refgate_sync_leader", "Whether this replica writes", metrics.leader.clone());
        registry.register("refgate_sync_writes", "Writes to the API server", metrics.writes.clone());
        registry.register("refgate_sync_manager_calls", "Calls to the secret manager", metrics.calls.clone());
        registry.register("refgate_sync_secrets", "Secrets that are held", metrics.secrets.clone());
        let help = "Secrets that cannot be made because somebody else has their name";
        registry.register("refgate_sync_names_taken", help, metrics.taken.clone());
        let help = "Writes that are not done before somebody does something about it, by why";
        registry.register("refgate_sync_refused", help, metrics.refused.clone());
        let help = "Values that are older than sync.rotation says";
        registry.register("refgate_sync_rotation_due", help, metrics.due.clone());
        let help = "Workloads that ask for restarts and have pods with an old value in their environment";
        registry.register("refgate_sync_workloads_behind", help, metrics.behind.clone());
        let help = "Whether the last configuration read is the one that holds";
        registry.register("refgate_config_reload_success", help, metrics.config_reload_success.clone());
        let help = "Bound namespaces whose Secrets cannot be listed";
        registry.register("refgate_sync_unreadable_namespaces", help, metrics.unreadable.clone());
        let help = "Kinds of workloads that cannot be listed and watched";
        registry.register("refgate_sync_unreadable_kinds", help, metrics.unread.clone());
        let help = "Time since the secret manager was last read as a whole";
        registry.register("refgate_sync_source_age_seconds", help, metrics.source_age.clone());
        let help =
            "Time since all that a scope's namespaces hold was known to be what the secret manager has";
        registry.register("refgate_sync_data_age_seconds", help, metrics.data_age.clone());
        metrics
    }

    /// Says of each bound scope how many values are due; those that nothing is bound to any more are not said.
    pub fn set_due(&self, due: BTreeMap<String, i64>) {
        let mut said = self.due_scopes.lock().unwrap_or_else(PoisonError::into_inner);
        for scope in said.iter().filter(|scope| !due.contains_key(*scope)) {
            self.due.remove(&ScopeLabels { scope: scope.clone() });
        }
        for (scope, count) in &due {
            self.due.get_or_create(&ScopeLabels { scope: scope.clone() }).set(*count);
        }
        *said = due.into_keys().collect();
    }

    fn ages(&self) -> MutexGuard<'_, Ages> {
        self.ages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This replica has begun to lead. As long as it has read nothing, ages count from here.
    pub fn begin(&self) {
        *self.ages() = Ages { read: Some(Instant::now()), data: BTreeMap::new() };
    }

    /// The secret manager was read as a whole.
    pub fn read(&self) {
        self.ages().read = Some(Instant::now());
    }

    /// Says of each bound scope since when what its namespaces hold may differ from what the manager has.
    pub fn set_data(&self, data: BTreeMap<String, Instant>) {
        self.ages().data = data;
    }

    /// Says of each reason how many writes it keeps from being done.
    pub fn set_refused(&self, refusals: Refusals) {
        let Refusals { denied, invalid, error, unfit, unread } = refusals;
        let api_server = [("denied", denied), ("invalid", invalid), ("error", error)];
        for (reason, count) in api_server.into_iter().chain([("unfit", unfit), ("unread", unread)]) {
            self.refused.get_or_create(&ReasonLabels { reason }).set(count);
        }
    }

    /// What only a leader knows: whoever does not lead any more has nothing to say of it.
    pub fn stand_by(&self) {
        self.set_due(BTreeMap::new());
        *self.ages() = Ages::default();
        self.set_refused(Refusals::default());
        for gauge in [&self.secrets, &self.taken, &self.unreadable, &self.unread, &self.behind] {
            gauge.set(0);
        }
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        self.count_ages();
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    fn count_ages(&self) {
        let ages = self.ages();
        let seconds = |since: &Instant| since.elapsed().as_secs_f64();
        self.source_age.set(ages.read.as_ref().map_or(0.0, seconds));
        self.data_age.clear();
        for (scope, since) in &ages.data {
            self.data_age.get_or_create(&ScopeLabels { scope: scope.clone() }).set(seconds(since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_that_nothing_is_bound_to_any_more_is_not_said() {
        let metrics = SyncMetrics::new();
        let due = |scopes: &[(&str, i64)]| {
            metrics.set_due(scopes.iter().map(|(scope, count)| ((*scope).to_owned(), *count)).collect());
            let text = metrics.render();
            let lines = text.lines().filter_map(|line| line.strip_prefix("refgate_sync_rotation_due"));
            let mut lines: Vec<String> = lines.map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(
            due(&[("g/a/stage", 2), ("g/b/stage", 0)]),
            [r#"{scope="g/a/stage"} 2"#, r#"{scope="g/b/stage"} 0"#]
        );
        // One that has no value that is due any more is said to have none, so that an alert ends.
        assert_eq!(due(&[("g/a/stage", 0)]), [r#"{scope="g/a/stage"} 0"#]);
        assert_eq!(due(&[]), [""; 0]);
    }
}
