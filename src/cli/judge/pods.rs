//! A pod, which goes through both webhooks.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Judge, Unjudged, Workload, patched};
use crate::policy::decision::{Decision, Outcome};
use crate::policy::review::Endpoint;
use crate::policy::verdict;

impl Judge {
    /// A pod goes through both webhooks; pointers of what the second one says are brought back to the document.
    pub(super) fn pod(&mut self, workload: &Workload<'_>) -> Result<Decision, Unjudged> {
        let mutated = self.ask(Endpoint::Mutate, workload, workload.object)?;
        if mutated.outcome != Outcome::Allow {
            return self.refused_pod(workload, mutated);
        }
        let patched = match &mutated.patch {
            Some(patch) => &patched(workload.object, patch)?,
            None => workload.object,
        };
        let mut decision = self.ask(Endpoint::Validate, workload, patched)?;
        // What was injected has been reported where it was asked for.
        let mut references = mutated.references;
        decision.references.retain(|reference| {
            workload.object.pointer(&reference.pointer).is_some()
                && references.iter().all(|known| known.pointer != reference.pointer)
        });
        references.append(&mut decision.references);
        references.sort();
        decision.references = references;
        for finding in &mut decision.findings {
            shorten(workload.object, &mut finding.pointer);
        }
        for refusal in &mut decision.refusals {
            shorten(workload.object, &mut refusal.pointer);
        }
        if decision.outcome == Outcome::Allow {
            let mut warnings = mutated.warnings;
            warnings.append(&mut decision.warnings);
            let mut seen = BTreeSet::new();
            warnings.retain(|warning| seen.insert(warning.clone()));
            decision.warnings = warnings;
        }
        Ok(decision)
    }

    /// A pod that the mutating webhook refused never reaches the validating one. What that one would say is said all
    /// the same, so that one run names everything: the pod is judged as a template, where references are still whole.
    fn refused_pod(&mut self, workload: &Workload<'_>, mutated: Decision) -> Result<Decision, Unjudged> {
        let Some(kind) = self.snapshot.settings.kinds.iter().find(|kind| !kind.is_pod()).cloned() else {
            return Ok(mutated);
        };
        let at = kind.pointer.to_string();
        let mut template = Map::new();
        for key in ["metadata", "spec"] {
            if let Some(part) = workload.object.get(key) {
                template.insert(key.into(), part.clone());
            }
        }
        let mut wrapped = Value::Object(template);
        for token in at.rsplit('/').filter(|token| !token.is_empty()) {
            wrapped = Value::Object(Map::from_iter([(token.to_owned(), wrapped)]));
        }
        let as_template = Workload {
            kind,
            api_version: workload.api_version,
            is_carried: false,
            namespace: workload.namespace.clone(),
            name: workload.name.clone(),
            object: &wrapped,
        };
        let mut decision = self.ask(Endpoint::Validate, &as_template, &wrapped)?;
        let strip = |pointer: &mut String| {
            if let Some(rest) = pointer.strip_prefix(&*at) {
                *pointer = rest.to_owned();
            }
        };
        decision.findings.iter_mut().for_each(|finding| strip(&mut finding.pointer));
        decision.references.iter_mut().for_each(|reference| strip(&mut reference.pointer));
        decision.warnings.clear();
        decision.refusals.iter_mut().for_each(|refusal| strip(&mut refusal.pointer));
        // Of one place the mutating webhook has spoken already, and in the words that fit a pod.
        let spoken_of: BTreeSet<&str> = mutated.refusals.iter().map(|refusal| &*refusal.pointer).collect();
        decision.refusals.retain(|refusal| !spoken_of.contains(&*refusal.pointer));
        decision.refusals.extend(mutated.refusals);
        decision.refusals.sort();
        let level = self.enforced(&workload.namespace);
        let denying = decision.findings.iter().filter(|finding| level.counts(finding.certainty));
        decision.outcome = verdict::outcome(&decision.refusals, &denying.collect::<Vec<_>>());
        Ok(decision)
    }
}

/// Cuts a pointer until it leads somewhere in the document.
fn shorten(document: &Value, pointer: &mut String) {
    while document.pointer(pointer).is_none() {
        let end = pointer.rfind('/').unwrap_or(0);
        pointer.truncate(end);
    }
}
