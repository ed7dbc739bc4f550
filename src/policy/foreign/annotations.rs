//! Annotations of other systems that bring secrets into a pod, and what of them can be compared.

use super::{Foreign, Target, aws};
use crate::policy::carriers::consul_template;

/// What an annotation of another system means.
enum Meaning {
    /// Its value is one path, or a list of them with `#VERSION` behind each.
    Paths,
    /// Its value is an ARN.
    Arn,
    /// Its value is a template, whose calls name paths.
    Template,
    /// It gives a container more than one path that could be compared: templates, tokens, patches.
    Anything,
}

/// Annotations of other systems that bring secrets into a pod, by the beginning of their keys.
const ANNOTATIONS: [(&str, &str, Meaning); 18] = [
    ("Vault Agent", "vault.hashicorp.com/agent-inject-secret-", Meaning::Paths),
    ("Vault Agent", "vault.hashicorp.com/agent-inject-template-file-", Meaning::Anything),
    ("Vault Agent", "vault.hashicorp.com/agent-inject-template-", Meaning::Template),
    ("Vault Agent", "vault.hashicorp.com/agent-inject-command-", Meaning::Anything),
    ("Vault Agent", "vault.hashicorp.com/agent-inject-token", Meaning::Anything),
    ("Vault Agent", "vault.hashicorp.com/agent-configmap", Meaning::Anything),
    ("Vault Agent", "vault.hashicorp.com/agent-json-patch", Meaning::Anything),
    ("Vault Agent", "vault.hashicorp.com/agent-init-json-patch", Meaning::Anything),
    ("Vault Agent", "vault.hashicorp.com/agent-cache-use-auto-auth-token", Meaning::Anything),
    ("bank-vaults", "secrets-webhook.security.bank-vaults.io/vault-from-path", Meaning::Paths),
    ("bank-vaults", "vault.security.banzaicloud.io/vault-env-from-path", Meaning::Paths),
    ("bank-vaults", "secrets-webhook.security.bank-vaults.io/vault-agent-configmap", Meaning::Anything),
    ("bank-vaults", "secrets-webhook.security.bank-vaults.io/vault-ct-configmap", Meaning::Anything),
    ("bank-vaults", "vault.security.banzaicloud.io/vault-agent-configmap", Meaning::Anything),
    ("bank-vaults", "vault.security.banzaicloud.io/vault-ct-configmap", Meaning::Anything),
    ("1Password", "operator.1password.io/item-path", Meaning::Paths),
    ("the AWS secret sidecar", "secrets.k8s.aws/secret-arn", Meaning::Arn),
    ("argocd-vault-plugin", "avp.kubernetes.io/path", Meaning::Paths),
];

/// Annotations of other systems whose value is the name of a Secret.
pub const SECRET_ANNOTATIONS: [&str; 4] = [
    "vault.hashicorp.com/agent-extra-secret",
    "vault.hashicorp.com/tls-secret",
    "secrets-webhook.security.bank-vaults.io/credentials-secret-name",
    "vault.security.banzaicloud.io/vault-tls-secret",
];

/// Those that say something of an object that holds data: its own placeholders are filled from their path.
pub const OF_DATA: [&str; 1] = ["avp.kubernetes.io/path"];

/// Whether an annotation of another system holds paths, and nothing that could be a plaintext.
pub fn holds_paths(key: &str) -> bool {
    ANNOTATIONS
        .iter()
        .any(|(_, start, meaning)| key.starts_with(start) && matches!(meaning, Meaning::Paths | Meaning::Arn))
}

/// Most paths that one annotation lists.
const LISTED: usize = 256;

/// The references that an annotation of another system makes; empty where it makes none.
pub fn references<'a>(key: &str, value: &'a str) -> Vec<Foreign<'a>> {
    let Some((system, _, meaning)) = ANNOTATIONS.iter().find(|(_, start, _)| key.starts_with(start)) else {
        return Vec::new();
    };
    let opaque = || vec![Foreign { system, target: Target::Opaque }];
    match meaning {
        Meaning::Anything => opaque(),
        Meaning::Arn => aws(value).map_or_else(opaque, |arn| vec![arn]),
        // One that may read anything else is refused like a token.
        Meaning::Template => match consul_template::paths(value) {
            Some(paths) if paths.len() <= LISTED => {
                paths.into_iter().map(|path| Foreign { system, target: Target::Path(path) }).collect()
            }
            _ => opaque(),
        },
        // A list that nobody would write cannot be compared path by path.
        Meaning::Paths if value.split(',').nth(LISTED).is_some() => opaque(),
        Meaning::Paths => value
            .split(',')
            .map(|path| path.split('#').next().unwrap_or_default().trim_matches(' '))
            .map(|path| Foreign { system, target: Target::Path(path) })
            .collect(),
    }
}
