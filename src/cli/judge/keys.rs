//! Texts that are no object of Kubernetes and are judged by the rules for values all the same: private keys in files of
//! their own, and what SOPS leaves as it is.

use serde_json::Value;

use super::{Judge, Judged, Workload, workload_of};
use crate::policy::finding::Finding;
use crate::policy::level::Level;
use crate::policy::rules::{Candidate, Hit, Place};
use crate::policy::verdict;

impl Judge {
    /// Judges a file that begins as a private key; `None` where the rules find none in it.
    pub fn private_key<'a>(&self, text: &'a Value) -> Option<(Workload<'a>, Judged)> {
        let level = self.level.unwrap_or_else(|| self.enforced(&self.namespace));
        let instead = "take it out of the repository, or encrypt it (age --passphrase); whoever could read it has it, so make a new one";
        let findings = self.found(level, "", None, text.as_str()?, instead);
        let denial = Some(verdict::denial(&[], &findings)?);
        let workload = Workload {
            kind: workload_of("", "File", ""),
            api_version: "",
            namespace: String::new(),
            name: String::new(),
            is_carried: false,
            object: text,
        };
        let (refusals, references, warnings, allowed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Some((
            workload,
            Judged { denial, is_of_file: true, refusals, findings, references, warnings, allowed },
        ))
    }

    /// What the rules find in one text, as far as it counts at a level.
    pub(super) fn found(
        &self,
        level: Level,
        pointer: &str,
        name: Option<&str>,
        value: &str,
        instead: &str,
    ) -> Vec<Finding> {
        let mut hits = Vec::new();
        let candidate = Candidate { place: Place::ConfigMap, name, value, before: None };
        self.snapshot.settings.detector.scan_every(&candidate, &mut hits);
        let counted = hits.into_iter().filter(|hit| level.counts(hit.rule.certainty));
        let finding = |hit: Hit| Finding {
            rule: hit.rule.id,
            pointer: pointer.to_owned(),
            container: None,
            name: name.map(str::to_owned),
            certainty: hit.rule.certainty,
            reason: hit.rule.reason,
            detail: hit.detail,
            instead: instead.to_owned(),
        };
        counted.map(finding).collect()
    }
}
