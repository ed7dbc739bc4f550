//! Manifests of Secrets in files. No webhook sees a Secret, so what is found in one is no denial: it is about the file, and
//! what becomes of that the flag `--secrets` says.

use std::sync::Arc;

use serde_json::Value;

use super::{Judge, Judged, Unjudged, Workload, placed};
use crate::policy::decision::Decision;
use crate::policy::finding::Finding;
use crate::policy::level::{Level, LevelLabels};
use crate::policy::review::Endpoint;
use crate::policy::snapshot::NamespaceState;

/// What becomes of a Secret's manifest with values in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// It is refused: who reads the file has the values.
    Deny,
    /// It is said: the manifest is on its way to the cluster.
    Warn,
    /// Nothing is said.
    Off,
}

/// So many keys are named in a sentence.
const NAMED: usize = 8;

impl Judge {
    /// Judges what is in a Secret. All that is found counts, unless nothing does: a value that looks more like a secret must not
    /// get the weaker verdict.
    pub(super) fn secret(&mut self, workload: &Workload<'_>) -> Result<Decision, Unjudged> {
        let level = match self.enforced(&workload.namespace) {
            Level::Off => Level::Off,
            _ => Level::Restricted,
        };
        let before = self.snapshot.namespaces.get(&*workload.namespace).cloned();
        if let Some(state) = &before {
            let mut state = NamespaceState::clone(state);
            Arc::make_mut(&mut state.namespace).levels = LevelLabels::all(level);
            self.snapshot.namespaces.insert((*workload.namespace).into(), Arc::new(state));
        }
        let decision = self.ask(Endpoint::Validate, workload, &placed(workload));
        if let Some(state) = before {
            self.snapshot.namespaces.insert((*workload.namespace).into(), state);
        }
        decision
    }
}

impl Judged {
    /// What is left to say of a Secret's manifest. What a policy in the cluster would deny stays denied.
    pub fn of_secret(mut self, object: &Value, secrets: Secrets) -> Self {
        if self.findings.is_empty() && !self.is_of_file {
            return self;
        }
        let sentence = sentence(&self.findings, object);
        match secrets {
            Secrets::Deny => {
                if self.is_of_file && !self.findings.is_empty() {
                    self.denial = Some(sentence);
                }
                return self;
            }
            Secrets::Warn if !self.findings.is_empty() => self.warnings.push(sentence),
            Secrets::Warn | Secrets::Off => {}
        }
        self.findings.clear();
        // That there is more than is listed is said of the values too.
        self.refusals.retain(|refusal| !refusal.pointer.is_empty());
        if self.refusals.is_empty() {
            (self.denial, self.is_of_file) = (None, false);
        }
        self
    }
}

/// The keys of a Secret that hold values, each once, in one sentence.
fn sentence(findings: &[Finding], object: &Value) -> String {
    let keys = keys(findings);
    let named = keys.iter().take(NAMED).map(|key| (*key).to_owned());
    let more = (keys.len() > NAMED).then(|| format!("{} more", keys.len() - NAMED));
    let named: Vec<String> = named.chain(more).collect();
    let (noun, verb) = if keys.len() == 1 { ("key", "holds a value") } else { ("keys", "hold values") };
    let advice = match super::helm::advice(object, findings) {
        Some(advice) => advice,
        None => "keep it out of Git; write references, and the sync makes the Secret".to_owned(),
    };
    format!("{noun} {} {verb}, and no webhook sees a Secret; {advice}", named.join(", "))
}

/// The keys that findings stand at, each once.
pub fn keys(findings: &[Finding]) -> Vec<&str> {
    let mut keys: Vec<&str> = Vec::new();
    for finding in findings {
        let key = finding.name.as_deref().unwrap_or("(no name)");
        if keys.last() != Some(&key) && !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}
