//! Annotations by which other systems bring secrets into pods: what the value of each one means.
//!
//! Keys are compared as the tools do it. hashicorp/vault-k8s, and OpenBao's injector after it, take a key for a path when it
//! *contains* `DOMAIN/agent-inject-secret-` (`agent-inject/agent/annotations.go`, `secrets`), so that a longer domain counts too.

use super::arn::aws;
use super::{Foreign, Target};
use crate::policy::carriers::consul_template;

/// What an annotation of another system means.
#[derive(Clone, Copy)]
enum Meaning {
    /// Its value is one path, as a whole: agents paste it into a template. `?version=N` may stand behind it.
    Path,
    /// Its value is one path, or a list of them with `#VERSION` behind each.
    Paths,
    /// Its value is an item of 1Password: `vaults/VAULT/items/ITEM`.
    Item,
    /// Its value is an ARN.
    Arn,
    /// Its value is a region of AWS.
    Region,
    /// Its value is a template, whose calls name paths.
    Template,
    /// Its value is the name of a Secret.
    Secret,
    /// Its value is the name of a Secret that is filled.
    Filled,
    /// It gives a container more than one path that could be compared: templates, tokens, patches, another server or another
    /// tree of the same names.
    Anything,
    /// The same, unless its value is `false`.
    Switch,
}

use Meaning::{Anything, Arn, Filled, Item, Path, Paths, Region, Secret, Switch, Template};

/// A system, the ends of its domains, and the beginnings of names behind them: what comes first counts.
struct Tool {
    system: &'static str,
    domains: &'static [&'static str],
    names: &'static [(&'static str, Meaning)],
}

/// What the agents of Vault and OpenBao know.
const AGENT: [(&str, Meaning); 16] = [
    ("agent-inject-secret-", Path),
    ("agent-inject-template-file-", Anything),
    ("agent-inject-template-", Template),
    // With other marks around its actions a template reads as a text that has none: `-left-delim-`, `-right-delim-`.
    ("agent-template-", Anything),
    ("agent-inject-command-", Anything),
    ("agent-inject-token", Switch),
    ("agent-configmap", Anything),
    ("agent-json-patch", Anything),
    ("agent-init-json-patch", Anything),
    ("agent-cache-use-auto-auth-token", Anything),
    // Whoever asks the listener asks with the agent's token (`DefaultAgentCacheUseAutoAuthToken`).
    ("agent-cache-enable", Switch),
    ("agent-extra-secret", Secret),
    ("tls-secret", Secret),
    ("service", Anything),
    ("proxy-address", Anything),
    ("namespace", Anything),
];

const TOOLS: [Tool; 6] = [
    Tool { system: "Vault Agent", domains: &["vault.hashicorp.com"], names: &AGENT },
    Tool { system: "OpenBao Agent", domains: &["openbao.org"], names: &AGENT },
    Tool {
        system: "bank-vaults",
        domains: &["security.bank-vaults.io", "security.banzaicloud.io"],
        names: &[
            ("vault-from-path", Paths),
            ("vault-env-from-path", Paths),
            ("vault-agent-configmap", Anything),
            ("vault-ct-configmap", Anything),
            ("vault-namespace", Anything),
            // The server. Which role logs in, and by which mount (`vault-path`), Vault's own policies hold to a scope.
            ("vault-addr", Anything),
            ("vault-transit-path", Anything),
            ("vault-tls-secret", Secret),
            ("bao-from-path", Paths),
            ("bao-env-from-path", Paths),
            ("bao-agent-configmap", Anything),
            ("bao-ct-configmap", Anything),
            ("bao-namespace", Anything),
            ("bao-addr", Anything),
            ("bao-transit-path", Anything),
            ("bao-tls-secret", Secret),
            ("credentials-secret-name", Secret),
            ("credentials-namespace", Anything),
            ("aws-tls-secret-arn", Arn),
            ("aws-region", Region),
        ],
    },
    Tool {
        system: "1Password",
        domains: &["operator.1password.io"],
        names: &[("item-path", Item), ("item-name", Filled)],
    },
    Tool { system: "the AWS secret sidecar", domains: &["secrets.k8s.aws"], names: &[("secret-arn", Arn)] },
    Tool { system: "argocd-vault-plugin", domains: &["avp.kubernetes.io"], names: &[("path", Path)] },
];

fn meaning(key: &str) -> Option<(&'static str, Meaning)> {
    let (domain, name) = key.split_once('/')?;
    let tool = TOOLS.iter().find(|tool| tool.domains.iter().any(|end| domain.ends_with(end)))?;
    let (_, meaning) = tool.names.iter().find(|(start, _)| name.starts_with(start))?;
    Some((tool.system, *meaning))
}

/// Whether an annotation of another system holds paths, and nothing that could be a plaintext.
pub fn holds_paths(key: &str) -> bool {
    matches!(meaning(key), Some((_, Path | Paths | Item | Arn)))
}

/// Whether the value of an annotation is the name of a Secret.
pub fn names_a_secret(key: &str) -> bool {
    matches!(meaning(key), Some((_, Secret)))
}

/// Whether an annotation is read on the workload itself, and not in its pods: 1Password's operator looks at a Deployment's own.
pub fn is_of_a_workload(key: &str) -> bool {
    matches!(meaning(key), Some((_, Item | Filled)))
}

/// Whether the value of an annotation is the name of a Secret that the tool fills.
pub fn fills_a_secret(key: &str) -> bool {
    matches!(meaning(key), Some((_, Filled)))
}

/// Whether an annotation says something of an object that holds data: its own placeholders are filled from that path.
pub fn is_of_data(key: &str) -> bool {
    matches!(meaning(key), Some(("argocd-vault-plugin", _)))
}

/// Most paths that one annotation lists.
const LISTED: usize = 256;

/// The references that an annotation of another system makes; empty where it makes none.
pub fn references<'a>(key: &str, value: &'a str) -> Vec<Foreign<'a>> {
    let Some((system, meaning)) = meaning(key) else { return Vec::new() };
    let opaque = || vec![Foreign { system, target: Target::Opaque }];
    let wide = || vec![Foreign { system, target: Target::Wide }];
    match meaning {
        Secret | Filled => Vec::new(),
        Switch if value == "false" => Vec::new(),
        Anything | Switch => wide(),
        Region => vec![Foreign { system, target: Target::Region(value) }],
        Arn => aws(value).map_or_else(opaque, |arn| vec![arn]),
        Item => match value.split('/').collect::<Vec<_>>()[..] {
            ["vaults", vault, "items", item] => vec![Foreign { system, target: Target::Item(vault, item) }],
            _ => opaque(),
        },
        // One that may read anything else is refused like a token.
        Template => match consul_template::paths(value) {
            Some(paths) if paths.len() <= LISTED => {
                paths.into_iter().map(|path| Foreign { system, target: Target::Path(path) }).collect()
            }
            _ => wide(),
        },
        Path => vec![Foreign { system, target: Target::Path(versioned(value, "?version=")) }],
        // A list that nobody would write cannot be compared path by path.
        Paths if value.split(',').nth(LISTED).is_some() => opaque(),
        Paths => value
            .split(',')
            .map(|path| versioned(path.trim_matches(' '), "#"))
            .map(|path| Foreign { system, target: Target::Path(path) })
            .collect(),
    }
}

/// A path without the number of a version behind it. Anything else that stands there stays a part of it, and no path has that.
fn versioned<'a>(text: &'a str, mark: &str) -> &'a str {
    let is_number = |version: &str| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once(mark) {
        Some((path, version)) if is_number(version) => path,
        _ => text,
    }
}
