//! Places of secrets: what a store or a class points to, which name it really asks for, and whether that name lies inside
//! what a namespace may read.
//!
//! The name is put together as the provider does it, and compared by whole segments. Systems whose names have no slash, and
//! those where a path alone does not say which tree it is in, need a row of `carriers.mappings`.

use std::borrow::Cow;

use super::mapped;
use super::reach::How;
use crate::policy::foreign;
use crate::policy::message;
use crate::policy::path::{Scope, SecretPath};
use crate::policy::reference::Reference;
use crate::policy::snapshot::{Binding, Settings};

/// A system that keeps secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum System {
    /// AWS Secrets Manager: names are paths.
    AwsSecretsManager,
    /// AWS Parameter Store: names are paths, mostly with a slash before them.
    AwsParameterStore,
    /// HashiCorp Vault and OpenBao, key-value engines: a mount, and a path in it.
    Vault,
    /// Google Secret Manager: a project, and a name without slashes.
    Google,
    /// Azure Key Vault: a vault, and a name without slashes or case.
    Azure,
    /// 1Password: a vault, and an item.
    OnePassword,
    /// Doppler: a project and its config, and a name.
    Doppler,
}

/// All of them, with their words in the configuration. AWS Secrets Manager needs no mapping and has none.
pub const SYSTEMS: [(System, &str, &str); 7] = [
    (System::AwsSecretsManager, "aws-secrets-manager", "AWS Secrets Manager"),
    (System::AwsParameterStore, "aws-parameter-store", "AWS Parameter Store"),
    (System::Vault, "vault", "Vault"),
    (System::Google, "google", "Google Secret Manager"),
    (System::Azure, "azure", "Azure Key Vault"),
    (System::OnePassword, "1password", "1Password"),
    (System::Doppler, "doppler", "Doppler"),
];

impl System {
    fn row(self) -> &'static (Self, &'static str, &'static str) {
        // Every variant has a row; the first one stands in so that this is total.
        SYSTEMS.iter().find(|(system, ..)| *system == self).unwrap_or(&SYSTEMS[0])
    }

    /// The word in the configuration.
    pub fn id(self) -> &'static str {
        self.row().1
    }

    /// The name that its users know.
    pub fn title(self) -> &'static str {
        self.row().2
    }

    /// From the word in the configuration.
    pub fn parse(word: &str) -> Option<Self> {
        SYSTEMS.iter().find(|(_, id, _)| *id == word).map(|(system, ..)| *system)
    }

    /// Whether names may hold slashes, so that a path can be one.
    pub fn has_paths(self) -> bool {
        matches!(self, Self::AwsSecretsManager | Self::AwsParameterStore | Self::Vault)
    }
}

/// What a store or a class points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The system; `None` for one that is not judged, which `provider` names.
    pub system: Option<System>,
    /// As the store names it.
    pub provider: Box<str>,
    /// Project, vault, or mount of Vault; empty where it has none.
    pub name: Box<str>,
    /// A namespace of Vault: another tree of the same names. Empty where it has none.
    pub tree: Box<str>,
    /// What is put before each name, without a separator.
    pub prefix: Box<str>,
    /// Whether paths of Vault have a `data/` behind the mount.
    pub is_kv2: bool,
    /// Whether a path of Vault never repeats the mount: what looks like it is a part of the path.
    pub is_exact: bool,
}

impl Place {
    /// A place of a system, without a prefix.
    pub fn new(system: System, name: &str) -> Self {
        let provider = system.id().into();
        let (tree, prefix) = ("".into(), "".into());
        Self {
            system: Some(system),
            provider,
            name: name.into(),
            tree,
            prefix,
            is_kv2: true,
            is_exact: false,
        }
    }

    /// A place of a system that is not judged.
    pub fn unknown(provider: &str) -> Self {
        // Whatever is read by it repeats it.
        let provider = message::cut(provider, 80).into();
        Self { system: None, provider, ..Self::new(System::AwsSecretsManager, "") }
    }
}

/// Whether a row of `carriers.mappings` names the mount, project or vault of a name, for whichever scope.
pub fn has_row(place: &Place, key: &str, settings: &Settings) -> bool {
    let mut rows = settings.carriers.mappings.iter();
    place
        .remote(How::Read, key)
        .is_ok_and(|remote| rows.any(|row| row.system == remote.system && row.place == remote.place))
}

/// A name as the system is asked for it.
#[derive(Debug, PartialEq, Eq)]
pub struct Remote<'p> {
    pub(super) system: System,
    /// Project, vault or mount.
    pub(super) place: Cow<'p, str>,
    /// The name, or what names begin with.
    pub(super) name: Cow<'p, str>,
}

impl Remote<'_> {
    /// The name that is asked for, or what the names begin with that are.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Longest name of a project, a vault or a mount, and longest prefix.
const PLACE_BYTES: usize = 2_048;

/// What a path comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Inside. The path in our words, where there is one.
    Inside(Option<String>),
    /// Outside, or not to be read: the path where it can be shown, and why.
    Outside(Option<String>, String),
}

/// Systems that RefGate judges, for messages.
pub const JUDGED: &str = "AWS Secrets Manager and, with a row in carriers.mappings of the configuration, AWS Parameter Store, \
                          Vault, Google Secret Manager, Azure Key Vault and Doppler";

/// What to say of a provider that is not judged.
pub fn not_judged(provider: &str) -> String {
    match provider {
        "" => format!("it does not name one provider; those that RefGate judges are {JUDGED}"),
        _ => format!("provider {provider} is none that RefGate judges; those are {JUDGED}"),
    }
}

impl Place {
    /// The name that is asked for when `key` is written.
    pub fn remote<'p>(&'p self, how: How, key: &'p str) -> Result<Remote<'p>, String> {
        let Some(system) = self.system else {
            return Err(not_judged(&self.provider));
        };
        // Each path by it would repeat these, and no system has any that are as long.
        if [&self.name, &self.tree, &self.prefix].into_iter().any(|part| part.len() > PLACE_BYTES) {
            let why = "its project, vault, mount or prefix has more than 2,048 bytes, so it leads nowhere";
            return Err(why.to_owned());
        }
        // External Secrets Operator, secretsmanager.go: `find` hands its path on as it is, everything else has the prefix.
        let name = match how {
            How::Find => Cow::Borrowed(key),
            _ if self.prefix.is_empty() => Cow::Borrowed(key),
            _ => Cow::Owned(format!("{}{key}", self.prefix)),
        };
        let place = Cow::Borrowed(&*self.name);
        match system {
            System::AwsParameterStore => {
                let name = name.strip_prefix('/').unwrap_or(&name).to_owned();
                // Parameters are found by hierarchy, in whole segments: the slash is there whether it is written or not.
                let slash = if how == How::Find && !name.ends_with('/') { "/" } else { "" };
                let name = Cow::Owned(name + slash);
                Ok(Remote { system, place, name })
            }
            System::Vault => self.vault(how, key),
            System::Azure => Ok(Remote { system, place, name: Cow::Owned(azure_name(key)) }),
            _ => Ok(Remote { system, place, name }),
        }
    }

    /// Whether what comes is the secret of the path, and not something else that has its name: Azure Key Vault keeps keys and
    /// certificates beside the secrets, and `key/db` is none of them.
    pub fn is_secret(&self, key: &str) -> bool {
        !(self.system == Some(System::Azure) && may_be_no_secret(key))
    }

    /// External Secrets Operator, `vault/client_get.go`, `buildPath`: the mount and the `data` behind it may be written or
    /// not. `find` puts its path behind the mount as it is.
    fn vault<'p>(&'p self, how: How, key: &'p str) -> Result<Remote<'p>, String> {
        let system = System::Vault;
        let remote = |place: &'p str, name: &'p str| {
            let name = match how {
                How::Find if !name.ends_with('/') => Cow::Owned(format!("{name}/")),
                _ => Cow::Borrowed(name),
            };
            let place = match &*self.tree {
                "" => Cow::Borrowed(place),
                tree => Cow::Owned(format!("{tree}/{place}")),
            };
            Remote { system, place, name }
        };
        if !self.name.is_empty() {
            let mut rest = key;
            if how == How::Find && key.strip_prefix(&*self.name).is_some_and(|rest| rest.starts_with('/')) {
                // It reads what it has found by `buildPath`, which then cuts the beginning off.
                return Err(
                    "this path begins like the mount of its store, which is cut off whatever is found"
                        .to_owned(),
                );
            }
            if let Some(inner) = key.strip_prefix(&*self.name).and_then(|rest| rest.strip_prefix('/'))
                && how != How::Find
                && !self.is_exact
            {
                rest = if self.is_kv2 { inner.strip_prefix("data/").unwrap_or(inner) } else { inner };
            }
            return Ok(remote(&self.name, rest));
        }
        let Some((mount, rest)) = key.split_once('/') else {
            return Err("this path of Vault has no mount; write MOUNT/PATH".to_owned());
        };
        let rest = match rest.strip_prefix("data/") {
            Some(inner) if self.is_kv2 => inner,
            // `MOUNT/a/data/b` is asked for as it stands, and what is the mount of it only Vault knows.
            _ if self.is_kv2 && rest.contains("/data/") => {
                return Err("this path of Vault has data/ in its middle, so where its mount ends cannot be said; write \
                            MOUNT/data/PATH"
                    .to_owned());
            }
            _ => rest,
        };
        Ok(remote(mount, rest))
    }
}

/// Whether a name would be that of a key or a certificate in Azure Key Vault.
pub(super) fn may_be_no_secret(key: &str) -> bool {
    matches!(key.split_once('/'), Some(("key" | "cert", _)))
}

/// Azure Key Vault: `secret/NAME`, `key/NAME`, `cert/NAME` or `NAME`; names know no case.
fn azure_name(key: &str) -> String {
    let name = match key.split_once('/') {
        Some(("secret" | "key" | "cert", rest)) => rest.split('/').next().unwrap_or_default(),
        _ => key,
    };
    name.to_ascii_lowercase()
}

/// Whether what somebody says to be the path of a key lies inside. It is written as references are.
pub fn claimed(text: &str, binding: &Binding) -> Verdict {
    let Binding::Bound { own, .. } = binding else {
        return Verdict::Outside(None, "the namespace is bound to nothing".to_owned());
    };
    let reference = match Reference::parse(text) {
        Ok(reference) => reference,
        Err(error) => return Verdict::Outside(None, error.to_string()),
    };
    if !reference.absolute && own.contains(reference.path) {
        let why =
            format!("without a slash before it the path is relative to {own}; write /{}", reference.path);
        return Verdict::Outside(None, why);
    }
    match reference.path_in(own) {
        Err(error) => Verdict::Outside(None, error.to_string()),
        Ok(path) if binding.contains(path.as_str()) => Verdict::Inside(Some(path.as_str().to_owned())),
        Ok(path) => {
            let why = message::outside(path.as_str(), binding);
            Verdict::Outside(Some(path.as_str().to_owned()), why)
        }
    }
}

/// Whether a name lies inside what a namespace may read, or for `Write` inside its own scope.
pub fn judge(remote: &Remote<'_>, how: How, binding: &Binding, settings: &Settings) -> Verdict {
    let Binding::Bound { own, shared } = binding else {
        return Verdict::Outside(None, "the namespace is bound to nothing".to_owned());
    };
    // What writes, writes into its own scope and never into a shared path.
    let shared: &[Scope] = if how == How::Write { &[] } else { shared };
    match remote.system {
        System::AwsSecretsManager if remote.name.starts_with("arn:") => {
            arn(&remote.name, how, own, binding, settings)
        }
        System::AwsSecretsManager => literal(&remote.name, how, own, shared, binding),
        _ => mapped::judge(remote, how, (own, shared), binding, &settings.carriers.mappings),
    }
}

/// An ARN, taken apart. It names one secret, so nothing is found by one.
fn arn(text: &str, how: How, own: &Scope, binding: &Binding, settings: &Settings) -> Verdict {
    if how == How::Find {
        return Verdict::Outside(
            None,
            "an ARN stands where names begin; write a path that ends in /".to_owned(),
        );
    }
    match foreign::arn(text, binding, settings) {
        Err((path, why)) => Verdict::Outside(path, why),
        Ok(path) if how == How::Write && !own.contains(&path) => not_own(path, own),
        Ok(path) => Verdict::Inside(Some(path)),
    }
}

fn not_own(path: String, own: &Scope) -> Verdict {
    let why = format!("{path} is outside of {own}, all that this namespace may write");
    Verdict::Outside(Some(path), why)
}

/// A name that is a path of ours.
pub(super) fn literal(name: &str, how: How, own: &Scope, shared: &[Scope], binding: &Binding) -> Verdict {
    if how == How::Find {
        return found(name, own, shared, binding);
    }
    if let Err(error) = SecretPath::absolute(name) {
        return Verdict::Outside(None, error.to_string());
    }
    let path = name.to_owned();
    if own.contains(name) || shared.iter().any(|prefix| prefix.contains(name)) {
        Verdict::Inside(Some(path))
    } else if how == How::Write {
        not_own(path, own)
    } else {
        let why = message::outside(name, binding);
        Verdict::Outside(Some(path), why)
    }
}

/// What names begin with. AWS takes it as a prefix of the text: without a slash at its end `stage` finds `stage2/x` too, and
/// with `!` before it, all but those.
fn found(prefix: &str, own: &Scope, shared: &[Scope], binding: &Binding) -> Verdict {
    if prefix.starts_with('!') {
        let why = "a ! before the path finds everything but it; write a path that ends in /".to_owned();
        return Verdict::Outside(None, why);
    }
    let whole = prefix.strip_suffix('/').unwrap_or(prefix);
    if let Err(error) = SecretPath::absolute(whole) {
        return Verdict::Outside(None, error.to_string());
    }
    let is_scope =
        |scope: &Scope| scope.contains(whole) || (whole == scope.as_str() && prefix.ends_with('/'));
    if is_scope(own) || shared.iter().any(is_scope) {
        return Verdict::Inside(Some(prefix.to_owned()));
    }
    let is_bare = whole == prefix && [own].into_iter().chain(shared).any(|scope| scope.as_str() == whole);
    let why = match is_bare {
        true => {
            format!("{prefix} without a / behind it is also the beginning of {prefix}2/x; write {prefix}/")
        }
        false => message::outside(prefix, binding),
    };
    Verdict::Outside(Some(prefix.to_owned()), why)
}
