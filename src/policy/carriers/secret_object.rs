//! What may not stand in a Secret object of a bound namespace: what a tool should have resolved before, references whose path
//! nobody can compare there, and annotations by which another tool copies it. Of the last the same holds for ConfigMaps.
//!
//! Secrets are never sent to RefGate. In the API server `manifests/base/policies` refuses the first and the last, in CEL, and a
//! test compares the two. References are refused in files alone (docs/security.md says why).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Foreign;
use super::reach::{Pointer, Reach};
use crate::policy::foreign::data;
use crate::policy::leftover;
use crate::policy::workload::json::escape;

/// A value that another system would take for a reference.
pub const REFERENCE: &str = "it is a reference of another system, and in a Secret nobody can compare its path; write secret:NAME as the value of an env var of the pod, or the reference itself there, where its path is judged";
/// An expression of bank-vaults inside of a value.
pub const EXPRESSION: &str = "it holds an expression of bank-vaults (${vault:…}), and in a Secret nobody can compare its path; keep the whole text in the secret manager, and write secret:NAME as the value of an env var of the pod";
/// A docker configuration that holds such a reference.
pub const DOCKER: &str = "it is a docker configuration with a reference of another system for a user, a password or an auth, or an escape that could hide one, and nobody can compare its path; write it without escapes of letters, or keep the whole configuration in the secret manager, and the sync makes a Secret of it";

/// Judges a Secret.
pub fn judge(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    copiers(object, &mut reach);
    for part in ["data", "stringData"] {
        for (key, value) in object.json.get(part).fields() {
            let Some(text) = value.text() else { continue };
            let at = || Pointer::to(format!("/{part}/{}", escape(key)));
            // What is no base64 is judged as it stands: SOPS leaves such a value in `data`.
            let letters = || text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>();
            let decoded = if part == "data" { STANDARD.decode(letters()).ok() } else { None };
            let value = decoded.map_or(Cow::Borrowed(text.as_bytes()), Cow::Owned);
            reach.faults.extend(said_of(key, &value).into_iter().map(|what| (at(), what.to_owned())));
        }
    }
    reach
}

/// Judges a ConfigMap: what is in it `decide` has judged.
pub fn judge_config_map(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    copiers(object, &mut reach);
    reach
}

fn copiers(object: &Foreign<'_>, reach: &mut Reach) {
    if let Some(excess) = object.excess {
        reach.fault("", excess.to_string());
    }
    reach.copiers("/metadata/annotations", object.json.get("metadata").get("annotations"));
}

/// What there is to say of one value.
pub fn said_of(key: &str, value: &[u8]) -> Vec<&'static str> {
    let marks = leftover::MARKS.iter().filter(|mark| mark.is_in(value)).map(|mark| mark.what);
    marks.chain(references(key, value)).collect()
}

/// What there is to say of one value as a reference of another system.
pub fn reference(key: &str, value: &[u8]) -> Option<&'static str> {
    references(key, value).next()
}

fn references(key: &str, value: &[u8]) -> impl Iterator<Item = &'static str> + use<> {
    let is_docker = data::DOCKER_KEYS.contains(&key) && data::is_docker_reference(value);
    let references = [
        (data::is_reference(value), REFERENCE),
        (data::holds_expression(value), EXPRESSION),
        (is_docker, DOCKER),
    ];
    references.into_iter().filter(|(is_there, _)| *is_there).map(|(_, what)| what)
}
