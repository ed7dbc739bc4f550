//! `refgate bind`: prints what binds a namespace, and changes nothing.

use std::fmt::Write as _;

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::{CLEAN, Screen, emit, warn};
use crate::policy::level::{Level, LevelLabels};
use crate::policy::path::Scope;
use crate::world::{OWN_NAMESPACE, SYSTEM_NAMESPACES};

/// The role that lets the sync at the Secrets of one namespace.
const SYNC_ROLE: &str = "refgate-sync-secrets";
/// The account of the sync, and the name of the RoleBinding. ClusterRole refgate-binder lets people make one of this
/// name and of no other.
const SYNC: &str = "refgate-sync";
/// The label by which Pod Security enforces a standard in a Namespace.
pub(super) const POD_SECURITY_LABEL: &str = "pod-security.kubernetes.io/enforce";
/// Longest DNS label.
const MOST_CHARACTERS: usize = 63;

/// What to bind to what.
#[derive(Debug, Clone)]
pub struct Options {
    /// The Namespace.
    pub namespace: String,
    /// What it is bound to.
    pub scope: Scope,
    /// Further prefixes that it may read.
    pub shared: Vec<Scope>,
    /// Levels that its labels say.
    pub levels: LevelLabels,
    /// RefGate's own namespace, where the sync's account is.
    pub own_namespace: String,
}

/// Prints the YAML to standard output, a warning to standard error, and says the exit code.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let yaml = yaml(options)?;
    Screen::new().print(&yaml)?;
    warn(&format!(
        "namespace {name}: a pod with a hostPath volume can read every Secret of its node, and RefGate does not forbid it; unless Pod \
         Security baseline or stricter is enforced there, run: kubectl label namespace {name} {POD_SECURITY_LABEL}=baseline",
        name = options.namespace
    ));
    Ok(CLEAN)
}

/// A Namespace and a RoleBinding, with the sentences that say how to apply them.
pub fn yaml(options: &Options) -> anyhow::Result<String> {
    let Options { namespace, scope, own_namespace, .. } = options;
    if let Some(name) = [namespace, own_namespace].into_iter().find(|name| !is_dns_label(name)) {
        bail!(
            "{name:?} is no name of a namespace: write lower-case letters, digits and inside it hyphens, at most \
             {MOST_CHARACTERS} characters"
        );
    }
    if SYSTEM_NAMESPACES.contains(&&**namespace) || namespace == own_namespace {
        bail!("namespace {namespace} is outside of RefGate's webhooks and cannot be bound; name another");
    }
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write!(
        out,
        "# Binds namespace {namespace} to {scope}. Whoever applies it holds ClusterRole refgate-binder (the verb bind on\n\
         # scopes.refgate.dev), and may create or patch this Namespace. Server-side and with a field manager of its own,\n\
         # so that the labels of others stay:\n\
         #\n\
         #   refgate bind {namespace} {scope} ... | kubectl apply --server-side --field-manager=refgate-bind -f -\n\
         #\n\
         # What was applied so before and is left out now goes away: a level, a shared path.\n"
    );
    out.push_str(&emit::yaml(&namespace_object(options), &|_| None));
    let _ = write!(
        out,
        "---\n\
         # The sync fills the Secrets of this namespace, and has no right on Secrets anywhere else.\n"
    );
    out.push_str(&emit::yaml(&role_binding(options), &|_| None));
    Ok(out)
}

/// The command line that prints it, and applies it.
pub fn command(options: &Options) -> String {
    let Options { namespace, scope, shared, levels, own_namespace } = options;
    let mut line = format!("refgate bind {namespace} {scope}");
    if !shared.is_empty() {
        let shared: Vec<&str> = shared.iter().map(Scope::as_str).collect();
        let _ = write!(line, " --shared {}", shared.join(","));
    }
    let LevelLabels { enforce, warn, audit } = *levels;
    for (flag, level) in [("enforce", enforce), ("warn", warn), ("audit", audit)] {
        if let Some(level) = level {
            let _ = write!(line, " --{flag} {}", level.as_str());
        }
    }
    if own_namespace != OWN_NAMESPACE {
        let _ = write!(line, " --own-namespace {own_namespace}");
    }
    line + " | kubectl apply --server-side --field-manager=refgate-bind -f -"
}

fn namespace_object(options: &Options) -> Value {
    let mut labels = Map::new();
    // Three words, as every scope has.
    for (key, word) in ["group", "app", "env"].into_iter().zip(options.scope.as_str().split('/')) {
        labels.insert(format!("refgate.dev/{key}"), word.into());
    }
    let LevelLabels { enforce, warn, audit } = options.levels;
    for (key, level) in [("enforce", enforce), ("warn", warn), ("audit", audit)] {
        labels.extend(level.map(|level: Level| (format!("refgate.dev/{key}"), level.as_str().into())));
    }
    let mut metadata = json!({"name": options.namespace, "labels": labels});
    if !options.shared.is_empty() {
        let shared: Vec<&str> = options.shared.iter().map(Scope::as_str).collect();
        metadata["annotations"] = json!({"refgate.dev/shared-paths": shared.join(",")});
    }
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
}

fn role_binding(options: &Options) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {
            "name": SYNC,
            "namespace": options.namespace,
            "labels": {"app.kubernetes.io/name": SYNC},
        },
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": SYNC_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": SYNC, "namespace": options.own_namespace}],
    })
}

fn is_dns_label(name: &str) -> bool {
    let inside = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    name.len() <= MOST_CHARACTERS
        && !name.is_empty()
        && name.bytes().all(inside)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
