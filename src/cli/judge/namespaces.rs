//! The namespace that a document lies in, as the world and the flags have it, and what a manifest of one says of itself.

use std::sync::Arc;

use serde_json::Value;

use super::{Judge, Judged, Unjudged, Workload, workload_of};
use crate::policy::level::LevelLabels;
use crate::policy::snapshot::NAME_LABEL;
use crate::policy::snapshot::{Binding, Catalogue, LabelSet, NamespaceLabels, NamespaceState, PREFIX};
use crate::policy::workload::SECRET;
use crate::policy::workload::json::escape;
use crate::world::{OWN_NAMESPACE, SYSTEM_NAMESPACES};

/// Whether both webhooks leave a namespace out.
fn is_left_out(namespace: &str) -> bool {
    SYSTEM_NAMESPACES.contains(&namespace) || namespace == OWN_NAMESPACE
}

impl Workload<'_> {
    /// Whether admission never sees it, for where it lies. A manifest of a Secret is judged as the file that it is: admission
    /// sees none in any namespace, and its values are in Git all the same.
    pub fn is_left_out(&self) -> bool {
        self.kind != SECRET && is_left_out(&self.namespace)
    }
}

impl Judge {
    /// Sees to it that the snapshot knows the namespace, as the flags have it.
    pub(super) fn prepare(&mut self, name: &str) -> Result<(), Unjudged> {
        if self.ready.contains(name) {
            return Ok(());
        }
        if name.is_empty() {
            // An object of the whole cluster: without a world and a scope nothing is said of it.
            if self.world.is_none() && self.scope.is_none() {
                let labels = NamespaceLabels { binding: Binding::Unknown, ..NamespaceLabels::default() };
                let state = NamespaceState { namespace: Arc::new(labels), ..NamespaceState::default() };
                self.snapshot.namespaces.insert("".into(), Arc::new(state));
            }
            self.ready.insert(String::new());
            return Ok(());
        }
        let scope = self.scope.clone().filter(|_| !is_left_out(name));
        let mut state = match (self.snapshot.namespaces.get(name), &self.world) {
            (Some(state), _) => NamespaceState::clone(state),
            (None, Some(world)) if scope.is_none() && !is_left_out(name) => {
                return Err(Unjudged::new(
                    "/metadata/namespace",
                    format!(
                        "{world} has no Namespace {name}: add it there, name another with --namespace, or bind it with --scope"
                    ),
                ));
            }
            // Bound by a flag alone: what is synced there, nobody has said.
            (None, _) => {
                NamespaceState { catalogue: Arc::new(Catalogue::unknown()), ..NamespaceState::default() }
            }
        };
        let labels = Arc::make_mut(&mut state.namespace);
        if labels.labels == LabelSet::default() {
            labels.labels = LabelSet::new([(NAME_LABEL, name)]);
        }
        if let Some(own) = scope {
            let shared = match &mut labels.binding {
                Binding::Bound { shared, .. } if self.shared.is_empty() => std::mem::take(shared),
                _ => self.shared.clone(),
            };
            labels.binding = Binding::Bound { own, shared };
        } else if self.world.is_none() {
            labels.binding = Binding::Unknown;
        }
        if let Some(level) = self.level {
            labels.levels = LevelLabels::all(level);
        }
        self.snapshot.namespaces.insert(name.into(), Arc::new(state));
        self.ready.insert(name.to_owned());
        self.unjoined.insert(name.into());
        Ok(())
    }
}

/// What a manifest of a Namespace gets wrong in what is RefGate's, in the words that each review of a pod there would have;
/// `None` for any other document.
pub fn namespace(object: &Value) -> Result<Option<(Workload<'_>, Judged)>, Unjudged> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if (text("/apiVersion"), text("/kind")) != ("v1", "Namespace") {
        return Ok(None);
    }
    let said = NamespaceLabels::read(ours(object, "labels")?, ours(object, "annotations")?);
    let workload = Workload {
        kind: workload_of("", "Namespace", "namespaces"),
        api_version: text("/apiVersion"),
        namespace: String::new(),
        name: text("/metadata/name").to_owned(),
        is_carried: false,
        object,
    };
    let judged = Judged {
        denial: None,
        is_of_file: false,
        refusals: Vec::new(),
        findings: Vec::new(),
        references: Vec::new(),
        warnings: said.problems,
        allowed: Vec::new(),
    };
    Ok(Some((workload, judged)))
}

/// Labels or annotations that are RefGate's. One that is no text Kubernetes would refuse.
fn ours<'a>(object: &'a Value, field: &str) -> Result<Vec<(&'a str, &'a str)>, Unjudged> {
    let all = object.pointer(&format!("/metadata/{field}")).and_then(Value::as_object);
    let ours = all.into_iter().flatten().filter(|(key, _)| key.starts_with(PREFIX));
    ours.map(|(key, value)| match value {
        Value::String(text) => Ok((&**key, &**text)),
        Value::Null => Ok((&**key, "")),
        _ => Err(Unjudged::new(
            &format!("/metadata/{field}/{}", escape(key)),
            "Kubernetes takes nothing but text here; put the value in quotes",
        )),
    })
    .collect()
}
