//! References in the syntax of other systems: recognised when well-formed, so that they are never taken for plaintext,
//! and fenced by their literal path. What only starts like one, a bound namespace does not get, and it is judged as a
//! plaintext besides.
//!
//! Sources of the syntaxes: bank-vaults/internal `pkg/injector`, doitintl/secrets-init `pkg/secrets`,
//! 1Password/kubernetes-secrets-injector, SparebankenVest/azure-key-vault-to-kubernetes `cmd/azure-keyvault-env`,
//! GoogleCloudPlatform/berglas `pkg/berglas/reference.go`, helmfile/vals README, hashicorp/vault-k8s
//! `agent-inject/agent/annotations.go`.

pub mod annotations;
mod arn;
pub mod data;
pub mod signs;
mod vals;

use super::carriers::mapped;
use super::carriers::place::{self, Place, System};
use super::carriers::reach::{How, Identity};
use super::message;
use super::path::SecretPath;
use super::refusal::Cause;
use super::resolve::World;
use arn::{Arn, aws};
use signs::{AT, Signs};

pub use arn::arn;

/// A reference in another system's syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign<'a> {
    /// The system, as its users call it.
    pub system: &'static str,
    /// What it names.
    target: Target<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target<'a> {
    /// A path, as it stands.
    Path(&'a str),
    /// A path that is written to, as it stands.
    Written(&'a str),
    /// A path, and parameters that may lead elsewhere.
    Asked(&'a str, &'a str),
    /// A project and a name of Google Secret Manager: `PROJECT/NAME`.
    Secret(&'a str),
    /// A region of AWS.
    Region(&'a str),
    /// An ARN of AWS Secrets Manager.
    Arn(Arn<'a>),
    /// A vault of 1Password, and an item in it.
    Item(&'a str, &'a str),
    /// Something without a path that could be compared.
    Opaque,
    /// A setting by which more can be reached than one path.
    Wide,
}

/// What a text is, taken as a reference of another system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<'a> {
    /// None of them.
    None,
    /// A reference.
    Reference(Foreign<'a>),
    /// It starts as the system named here would have it, and does not read on: the tool may take it all the same, so a
    /// bound namespace does not get it, and it is judged as a plaintext besides.
    Malformed(&'static str),
}

/// Whether a text begins as one of the syntaxes does; nearly every value is told apart by its first byte alone.
pub fn may_be(text: &str, signs: Signs) -> bool {
    let starts = |start: &str| text.starts_with(start);
    let begins = match text.as_bytes().first() {
        Some(b'v') => starts("vault:"),
        Some(b'b') => starts("bao:") || starts("berglas://"),
        Some(b'>') => starts(">>"),
        Some(b'o') => starts("op://"),
        Some(b's') => starts("sm://") || starts("secretref+"),
        Some(b'a') => starts("arn:") || starts("azure:"),
        Some(b'g') => starts("gcp:"),
        Some(b'r') => starts("ref+"),
        _ => false,
    };
    begins || (signs.has(AT) && text.contains("@azurekeyvault"))
}

/// Reads a whole text.
pub fn read(text: &str) -> Reading<'_> {
    read_with(text, Signs::of(text))
}

/// Reads a whole text whose signs are known.
pub fn read_with(text: &str, signs: Signs) -> Reading<'_> {
    if !may_be(text, signs) {
        return Reading::None;
    }
    let reference = vault(text)
        .or_else(|| one_password(text))
        .or_else(|| berglas(text))
        .or_else(|| aws(text))
        .or_else(|| google(text))
        .or_else(|| azure(text))
        .or_else(|| vals::vals(text));
    match reference {
        Some(reference) => Reading::Reference(reference),
        None => starts_like(text).map_or(Reading::None, Reading::Malformed),
    }
}

/// Whether the tool itself would try a text, by its own test of the beginning.
fn starts_like(text: &str) -> Option<&'static str> {
    let rest = text.strip_prefix(">>").unwrap_or(text);
    let arn = rest.strip_prefix("arn:aws").and_then(|rest| rest.split_once(':')).map(|(_, rest)| rest);
    let arn = arn.is_some_and(|rest| {
        rest.starts_with("secretsmanager") || (rest.starts_with("ssm") && rest.contains(":parameter/"))
    });
    let transit = rest.strip_prefix("vault:").is_some_and(|rest| ciphertext(rest).is_some());
    match rest {
        _ if transit => Some("Vault"),
        _ if (rest.starts_with("vault:") || rest.starts_with("bao:")) && rest.contains('#') => Some("Vault"),
        _ if rest.starts_with("op://") => Some("1Password"),
        _ if rest.starts_with("sm://") || rest.starts_with("berglas://") => Some("Berglas"),
        _ if arn => Some("AWS"),
        _ if rest.starts_with("gcp:secretmanager:") => Some("Google Secret Manager"),
        _ if rest.starts_with("azure:keyvault:") || rest.ends_with("@azurekeyvault") => {
            Some("Azure Key Vault")
        }
        _ if vals::STARTS.iter().any(|start| rest.starts_with(start)) && rest.contains("://") => Some("vals"),
        _ => None,
    }
}

/// How references begin, up to the sign that no label can have.
const SCHEMES: [&str; 15] = [
    "vault",
    "bao",
    "arn",
    "secretsmanager",
    "ssm",
    "op",
    "sm",
    "berglas",
    "gcp",
    "secretmanager",
    "azure",
    "keyvault",
    "azurekeyvault",
    "ref",
    "secretref",
];

/// What a label can hold to make a reference of the text around it: a scheme, or as much of one as the text leaves open.
pub fn words() -> impl Iterator<Item = &'static str> {
    SCHEMES.iter().flat_map(|scheme| (0..=scheme.len()).map(|end| &scheme[..end]))
}

/// Whether a text is, or holds, a reference of another system or what starts like one.
pub fn is_any(text: &str) -> bool {
    read_with(text, Signs::of(text)) != Reading::None || !inline(text).is_empty()
}

/// The references of bank-vaults inside a longer text: `pre-${vault:path#key}-post`.
///
/// What counts is the path, up to its `#`; one that holds anything but the characters of a path does not read, because
/// the tool's own expression may take more of the text than is seen here.
pub fn inline(text: &str) -> Vec<Reading<'_>> {
    let mut found = Vec::new();
    if memchr::memchr(b'$', text.as_bytes()).is_none() {
        return found;
    }
    for (start, _) in text.match_indices("${") {
        let inner = text[start + 2..].trim_start_matches('>');
        let Some(rest) = inner.strip_prefix("vault:").or_else(|| inner.strip_prefix("bao:")) else {
            continue;
        };
        // Up to the next brace at most, which keeps this linear.
        let end = rest.find(['#', '{', '}']);
        let path = &rest[..end.unwrap_or(rest.len())];
        let ends_well = end.is_some_and(|end| rest.as_bytes()[end] == b'#');
        found.push(if ends_well && SecretPath::absolute(path).is_ok() {
            Reading::Reference(vault_path("Vault", path, text[start + 2..].starts_with(">>")))
        } else {
            Reading::Malformed("Vault")
        });
    }
    found
}

/// One word without blanks, as every syntax wants it.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `vault:PATH#KEY[#VERSION]`, `>>vault:…` (writes), `bao:…`, `vault:login`, `vault:v1:CIPHERTEXT`.
fn vault(text: &str) -> Option<Foreign<'_>> {
    let rest = text.strip_prefix(">>").unwrap_or(text);
    let (system, rest) = match rest.split_once(':')? {
        ("vault", rest) => ("Vault", rest),
        ("bao", rest) => ("OpenBao", rest),
        _ => return None,
    };
    if rest == "login" || ciphertext(rest).is_some_and(|cipher| cipher.len() >= 16 && is_word(cipher)) {
        return Some(Foreign { system, target: Target::Opaque });
    }
    let (path, key) = rest.split_once('#')?;
    let well_formed = is_word(path) && path.contains('/') && !key.is_empty() && !key.starts_with('#');
    well_formed.then(|| vault_path(system, path, text.starts_with(">>")))
}

/// A path of Vault, which bank-vaults writes to where `>>` stands before it: what stands behind its key is the value.
fn vault_path<'a>(system: &'static str, path: &'a str, is_written: bool) -> Foreign<'a> {
    Foreign { system, target: if is_written { Target::Written(path) } else { Target::Path(path) } }
}

/// `v2:…`: what Vault's transit engine has encrypted with the second version of a key (vault-sdk, `Transit.IsEncrypted`).
fn ciphertext(text: &str) -> Option<&str> {
    let (version, cipher) = text.split_once(':')?;
    let digits = version.strip_prefix('v')?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(cipher)
}

/// `op://VAULT/ITEM[/SECTION]/FIELD`.
fn one_password(text: &str) -> Option<Foreign<'_>> {
    let path = text.strip_prefix("op://")?;
    let segments = path.split('/').count();
    let well_formed = (3..=4).contains(&segments)
        && path.split('/').all(|segment| !segment.is_empty())
        && !path.contains('\n');
    well_formed.then_some(Foreign { system: "1Password", target: Target::Path(path) })
}

/// `sm://PROJECT/NAME[?…][#VERSION]`, `berglas://BUCKET/OBJECT[#GENERATION]`.
fn berglas(text: &str) -> Option<Foreign<'_>> {
    let (is_secret, path) = match text.strip_prefix("sm://") {
        Some(path) => (true, path),
        None => (false, text.strip_prefix("berglas://")?),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let (project, name) = path.split_once('/')?;
    let target = if is_secret { Target::Secret(path) } else { Target::Path(path) };
    (is_word(project) && is_word(name)).then_some(Foreign { system: "Berglas", target })
}

/// `gcp:secretmanager:NAME[/versions/V]`, `gcp:secretmanager:projects/P/secrets/S[/versions/V]`.
fn google(text: &str) -> Option<Foreign<'_>> {
    let path = text.strip_prefix("gcp:secretmanager:")?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/');
    let well_formed = !path.is_empty() && path.bytes().all(legal);
    well_formed.then_some(Foreign { system: "Google Secret Manager", target: Target::Path(path) })
}

/// `NAME@azurekeyvault[?QUERY]`, where NAME is an object of the cluster, and `azure:keyvault:…`.
fn azure(text: &str) -> Option<Foreign<'_>> {
    let system = "Azure Key Vault";
    if let Some(rest) = text.strip_prefix("azure:keyvault:") {
        return is_word(rest).then_some(Foreign { system, target: Target::Opaque });
    }
    let (name, query) = text.split_once("@azurekeyvault")?;
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let well_formed =
        !name.is_empty() && name.bytes().all(legal) && (query.is_empty() || query.starts_with('?'));
    well_formed.then_some(Foreign { system, target: Target::Opaque })
}

impl Foreign<'_> {
    /// The path, where it reads as one of ours: it may then be named in a message.
    pub fn path(&self) -> Option<&str> {
        let text = match &self.target {
            Target::Path(path) | Target::Written(path) | Target::Asked(path, _) | Target::Secret(path) => {
                path
            }
            Target::Arn(arn) => arn.cut().unwrap_or(arn.rest),
            Target::Item(..) | Target::Region(_) | Target::Opaque | Target::Wide => return None,
        };
        SecretPath::absolute(text).ok().map(|_| text)
    }

    /// Whether something of what it names is as `is_it` says.
    fn names(&self, is_it: impl Fn(&str) -> bool) -> bool {
        match &self.target {
            Target::Path(text) | Target::Written(text) | Target::Secret(text) | Target::Region(text) => {
                is_it(text)
            }
            Target::Asked(text, query) => is_it(text) || is_it(query),
            Target::Arn(arn) => is_it(arn.rest) || arn.cut().is_some_and(is_it),
            Target::Item(vault, item) => is_it(vault) || is_it(item),
            Target::Opaque | Target::Wide => false,
        }
    }

    /// Whether what it names may be a secret that somebody pasted: then nobody repeats it.
    pub fn may_be_pasted(&self, world: &World<'_>) -> bool {
        self.names(|text| world.may_be_pasted(text))
    }

    /// The kind of fault where [`Self::judge`] refuses it.
    pub fn cause(&self, world: &World<'_>) -> Cause {
        match () {
            () if self.may_be_pasted(world) => Cause::Pasted,
            () if world.stale => Cause::Stale,
            () => Cause::OutOfScope,
        }
    }

    /// Whether a bound namespace may have it, or why not. Unbound namespaces are not asked.
    pub fn judge(&self, world: &World<'_>) -> Result<(), String> {
        if world.binding().is_fenced() && self.names(|text| world.is_pasted(text)) {
            return Err(message::PASTED.to_owned());
        }
        let verdict = self.judge_names(world);
        if verdict.is_err() && self.may_be_pasted(world) { Err(message::PASTED.to_owned()) } else { verdict }
    }

    fn judge_names(&self, world: &World<'_>) -> Result<(), String> {
        let (binding, settings) = (world.binding(), world.settings);
        if !binding.is_fenced() {
            return Ok(());
        }
        if world.stale {
            return Err(message::STALE.to_owned());
        }
        let system = self.system;
        let advice = "write secret:NAME for a secret of its own scope";
        match &self.target {
            Target::Arn(arn) => arn.judge(binding, settings).map_err(|why| format!("{why}; {advice}")),
            Target::Region(region) => {
                Identity::Region.judge(region, settings).map_err(|why| format!("{why}; leave it out"))
            }
            Target::Wide => Err(format!(
                "by it {system} reaches more than one path that could be compared, or another place than the usual one; \
                 leave it out, or {advice}"
            )),
            Target::Asked(_, query) if self.is_inside(world) => match vals::elsewhere(query, settings) {
                Some(why) => Err(format!("{why}; {advice}")),
                None => Ok(()),
            },
            _ if self.is_inside(world) => Ok(()),
            Target::Written(_) => {
                let what = self.path().map(|path| format!(" to {path}")).unwrap_or_default();
                Err(format!(
                    "this has {system} write{what}, which is not inside the scope of this namespace; write a path of its own \
                     scope, or leave the >> out"
                ))
            }
            _ => {
                let what = self.path().map(|path| format!(" to {path}")).unwrap_or_default();
                let why = format!(
                    "this is a reference of {system}{what}, which is not inside what this namespace may read"
                );
                Err(match self.missing_row(world) {
                    Some(row) => format!("{why}: {row}; or {advice}"),
                    None => format!("{why}; {advice}"),
                })
            }
        }
    }

    /// Whether its literal path lies inside, or a row of `carriers.mappings` gives it to the namespace.
    fn is_inside(&self, world: &World<'_>) -> bool {
        let is_literal = match &self.target {
            Target::Path(path) | Target::Asked(path, _) | Target::Secret(path) => {
                SecretPath::absolute(path).is_ok() && world.binding().contains(path)
            }
            // Into its own scope alone: a shared path is read by others.
            Target::Written(path) => world.binding().owns(path),
            _ => false,
        };
        let how = if matches!(self.target, Target::Written(_)) { How::Write } else { How::Read };
        let is_given = |(place, key): (Place, &str)| {
            place.remote(how, key).is_ok_and(|remote| {
                let verdict = place::judge(&remote, how, world.binding(), world.settings);
                matches!(verdict, place::Verdict::Inside(_))
            })
        };
        is_literal || self.place().is_some_and(is_given)
    }

    /// The line of the configuration by which the namespace would have it, where none speaks of it.
    fn missing_row(&self, world: &World<'_>) -> Option<String> {
        let (place, key) = self.place()?;
        let remote = place.remote(How::Read, key).ok()?;
        mapped::missing_row(&remote, world.binding(), world.settings)
    }

    /// Where it leads, for `carriers.mappings`, and the name there: a path of Vault in a mount, with `data/` behind it or not, a
    /// name of Google's, an item of 1Password.
    fn place(&self) -> Option<(Place, &str)> {
        let path = match &self.target {
            Target::Item(vault, item) => return Some((Place::new(System::OnePassword, vault), item)),
            Target::Secret(path) => {
                let (project, name) = path.split_once('/')?;
                return Some((Place::new(System::Google, project), name));
            }
            Target::Path(path) | Target::Written(path) => path,
            _ => return None,
        };
        match (self.system, &path.split('/').collect::<Vec<_>>()[..]) {
            (
                "Vault" | "OpenBao" | "Vault Agent" | "OpenBao Agent" | "bank-vaults" | "argocd-vault-plugin",
                _,
            ) => Some((Place::new(System::Vault, ""), path)),
            (
                "Google Secret Manager",
                ["projects", project, "secrets", name]
                | ["projects", project, "secrets", name, "versions", _],
            ) => Some((Place::new(System::Google, project), name)),
            ("1Password", [vault, item, _] | [vault, item, _, _]) => {
                Some((Place::new(System::OnePassword, vault), item))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
