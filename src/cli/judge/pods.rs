//! A pod, which goes through both webhooks.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Judge, Unjudged, Workload, patched};
use crate::policy::decision::{Decision, Outcome};
use crate::policy::review::Endpoint;

impl Judge {
    /// A pod goes through both webhooks; pointers of what the second one says are brought back to the document.
    pub(super) fn pod(&mut self, workload: &Workload<'_>) -> Result<Decision, Unjudged> {
        let mutated = self.ask(Endpoint::Mutate, workload, workload.object)?;
        if mutated.outcome != Outcome::Allow {
            return Ok(mutated);
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
        let mut warnings = mutated.warnings;
        warnings.append(&mut decision.warnings);
        let mut seen = BTreeSet::new();
        warnings.retain(|warning| seen.insert(warning.clone()));
        decision.warnings = warnings;
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
