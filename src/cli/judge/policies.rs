//! What the policies in the API server say of objects that hold data, said of files: Secrets are never sent to the webhook, and
//! of ConfigMaps their annotations are not, where nothing else changes.

use serde_json::json;

use super::Workload;
use crate::policy::carriers::json::Object;
use crate::policy::carriers::reach::Pointer;
use crate::policy::carriers::{Foreign, secret_object};
use crate::policy::leftover;
use crate::policy::refusal::{Cause, Refusal};
use crate::policy::snapshot::Snapshot;
use crate::policy::workload::SECRET;

/// Judges an object by the policies, and takes back what its file makes up for. Gives whether the refusals are other ones now.
pub(super) fn judge(workload: &Workload<'_>, snapshot: &Snapshot, refusals: &mut Vec<Refusal>) -> bool {
    let before = refusals.len();
    let mut is_changed = false;
    let state = snapshot.namespaces.get(&*workload.namespace);
    let is_fenced = state.is_some_and(|state| state.namespace.binding.is_fenced());
    if is_fenced && workload.kind.holds_data() {
        refusals.extend(faults(workload));
        is_changed = refusals.len() > before;
    }
    // SOPS keeps its keys in the file: what is encrypted there is decrypted before anybody applies it.
    if workload.object.get("sops").is_some_and(serde_json::Value::is_object) {
        let before = refusals.len();
        let is_secret = workload.kind == SECRET;
        refusals.retain(|refusal| match is_secret {
            true => refusal.pointer.starts_with("/metadata/"),
            false => refusal.text != leftover::SOPS.what,
        });
        is_changed |= refusals.len() < before;
    }
    is_changed
}

fn faults(workload: &Workload<'_>) -> Vec<Refusal> {
    let is_secret = workload.kind == SECRET;
    // Of a ConfigMap nothing else is judged here, and a scan has many of them.
    let text = match is_secret {
        true => workload.object.to_string(),
        false => json!({"metadata": workload.object.get("metadata")}).to_string(),
    };
    let Ok(object) = Object::read(&text) else { return Vec::new() };
    let object = Foreign::new(object, false);
    let reach = match is_secret {
        true => secret_object::judge(&object),
        false => secret_object::judge_config_map(&object),
    };
    let refusal = |(at, text): (Pointer, String)| Refusal {
        pointer: at.to_string(),
        subject: at.words(),
        text,
        cause: Cause::File,
    };
    reach.faults.into_iter().map(refusal).collect()
}
