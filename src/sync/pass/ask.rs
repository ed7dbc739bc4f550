//! What a pass asks before it plans: the manager's lists, and whose the names are that it could not have.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::{AT_A_TIME, Engine};
use crate::sync::apply::Whose;
use crate::sync::manager::ManagerError;
use crate::sync::plan::Listing;
use crate::telemetry::sync::CallLabels;

impl Engine {
    /// Reads lists of the manager; says whether all of them could be.
    pub(super) async fn list(&mut self, prefixes: BTreeSet<String>) -> bool {
        let prefixes = prefixes.into_iter().map(|prefix| prefix + "/").collect();
        let mut is_whole = true;
        for (prefix, result) in self.managers.lists(prefixes).await {
            self.count("list", result.as_ref().err());
            let prefix = prefix.trim_end_matches('/').to_owned();
            let listing = match result {
                Ok(list) => {
                    self.unlisted.remove(&prefix);
                    Some(Listing::new(list))
                }
                Err(error) => {
                    // What is away for a while is written nowhere, and changes nothing of what was said before.
                    self.unlisted.extend(error.lasting().map(|why| (prefix.clone(), why)));
                    tracing::warn!(prefix, %error, "the secret manager could not be listed; nothing changes for it");
                    self.problems.insert(format!("{prefix} could not be listed: {error}"));
                    is_whole = false;
                    None
                }
            };
            self.listings.insert(prefix, listing);
        }
        is_whole
    }

    pub(super) fn count(&self, call: &'static str, error: Option<&ManagerError>) {
        let outcome = match error {
            None => "ok",
            Some(ManagerError::Denied(_)) => "denied",
            Some(ManagerError::Throttled) => "throttled",
            Some(ManagerError::Unavailable(_) | ManagerError::Credentials(_)) => "unavailable",
            Some(ManagerError::NotFound(_) | ManagerError::Deleted(_) | ManagerError::Invalid(_)) => {
                "invalid"
            }
        };
        self.metrics.calls.get_or_create(&CallLabels { call, outcome }).inc();
    }

    /// Names that became free, and those that another leader took for us.
    pub(super) async fn probe_taken(&mut self) {
        let names = self
            .taken
            .iter()
            .flat_map(|(namespace, names)| names.keys().map(move |name| (namespace.clone(), name.clone())));
        let names: Vec<(String, String)> = names.collect();
        let writer = &self.writer;
        let asked = stream::iter(names).map(|(namespace, name)| async move {
            let whose = writer.whose(&namespace, &name).await;
            (namespace, name, whose)
        });
        let asked: Vec<_> = asked.buffer_unordered(AT_A_TIME).collect().await;
        for (namespace, name, whose) in asked {
            if let (Ok(Whose::Free | Whose::Ours), Some(names)) = (whose, self.taken.get_mut(&namespace)) {
                names.remove(&name);
            }
        }
    }
}
