//! What the annotations of a pod ask for. A typo is refused by name: it must not leave a pod without its secret.

use std::collections::HashSet;

use super::bounds::{MANY, similar};
use super::message;
use super::reference::{Reference, ReferenceError};
use super::refusal::{Cause, Refusal};
use super::resolve::is_env_name;
use super::workload::json::escape;
use super::workload::object::{Place, Template};

/// Where files are mounted unless `refgate.dev/mount-path` says otherwise.
pub const MOUNT_PATH: &str = "/run/refgate";

/// A reference in an annotation that names what it wants: `env.refgate.dev/NAME`, `file.refgate.dev/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedWish<'t> {
    /// The key of the annotation.
    pub key: &'t str,
    /// Name of the env var, or of the file.
    pub name: &'t str,
    /// What it should hold.
    pub reference: Reference<'t>,
}

/// All that the annotations of one pod ask for.
#[derive(Debug, Default)]
pub struct Wishes<'t> {
    /// `env.refgate.dev/*`, sorted by name.
    pub env: Vec<NamedWish<'t>>,
    /// `file.refgate.dev/*`, sorted by name.
    pub files: Vec<NamedWish<'t>>,
    /// `refgate.dev/env-from`, in its order.
    pub env_from: Vec<Reference<'t>>,
    /// `refgate.dev/containers`.
    containers: Option<HashSet<&'t str>>,
    /// `refgate.dev/mount-path`.
    pub mount_path: Option<&'t str>,
    /// `refgate.dev/file-mode`.
    pub file_mode: Option<u32>,
    /// `refgate.dev/refs`, as it came in: never believed.
    pub claimed_refs: Option<&'t str>,
    /// What does not read.
    pub refusals: Vec<Refusal>,
    /// How many refusals there are besides those that are kept.
    pub dropped: usize,
}

/// What an annotation for an env var begins with.
const ENV: &str = "env.refgate.dev/";

/// The names behind `refgate.dev/`.
const NAMES: [&str; 7] =
    ["env-from", "containers", "mount-path", "file-mode", "restart", "refs", "allow-plaintext"];

/// Whether an annotation lies under one of our prefixes, or under one that is meant to be. Kubernetes takes prefixes in
/// any case, so a typo in the case is ours too.
pub fn is_ours(key: &str) -> bool {
    let Some((prefix, _)) = key.split_once('/') else { return false };
    let Some(start) = prefix.len().checked_sub("refgate.dev".len()) else { return false };
    prefix.is_char_boundary(start)
        && prefix[start..].eq_ignore_ascii_case("refgate.dev")
        && (start == 0 || prefix.as_bytes()[start - 1] == b'.')
}

impl<'t> Wishes<'t> {
    /// Reads the annotations of a pod or template; others are passed over.
    pub fn read(template: &'t Template<'_>) -> Self {
        let mut wishes = Self::default();
        let Some(annotations) = &template.metadata.annotations else { return wishes };
        for (key, value) in &annotations.0 {
            if !is_ours(key) {
                continue;
            }
            if let Err(text) = wishes.take(template, key, value) {
                if wishes.refusals.len() >= MANY {
                    wishes.dropped += 1;
                    continue;
                }
                let pointer = format!("{}/metadata/annotations/{}", template.pointer, escape(key));
                let subject = format!("annotation {}", &**key);
                wishes.refusals.push(Refusal { pointer, subject, text, cause: Cause::Syntax });
            }
        }
        wishes.env.sort_by_key(|wish| wish.name);
        wishes.files.sort_by_key(|wish| wish.name);
        wishes
    }

    /// Those of a template that has annotations for env vars; `None` for most.
    pub(super) fn of_env(template: &'t Template<'_>) -> Option<Self> {
        let annotations = template.metadata.annotations.as_ref()?;
        let is_there = annotations.0.iter().any(|(key, _)| key.starts_with(ENV));
        is_there.then(|| Self::read(template))
    }

    /// The env vars of a container that annotations set, in place of those in its manifest.
    pub(super) fn replaced(&self, place: Place<'t, '_>, skipped: &[String]) -> HashSet<&'t str> {
        if place.list == "ephemeralContainers" || !self.selects(&place.container.name, skipped) {
            return HashSet::new();
        }
        self.env.iter().map(|wish| wish.name).collect()
    }

    /// How many references there are.
    pub fn len(&self) -> usize {
        self.env.len() + self.files.len() + self.env_from.len()
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the annotations mean a container: those that are named, or all but the known proxies.
    pub fn selects(&self, container: &str, skipped: &[String]) -> bool {
        match &self.containers {
            Some(names) => names.contains(container),
            None => !skipped.iter().any(|name| name == container),
        }
    }

    fn take(&mut self, template: &Template<'_>, key: &'t str, value: &'t str) -> Result<(), String> {
        let wish = |name: &'t str| -> Result<NamedWish<'t>, String> {
            let reference = Reference::parse(value).map_err(|error| error.to_string())?;
            Ok(NamedWish { key, name, reference })
        };
        match key.split_once('/') {
            Some(("env.refgate.dev", name)) => {
                if !is_env_name(name) {
                    return Err("what stands behind the slash cannot be the name of an env var".to_owned());
                }
                self.env.push(wish(name)?);
            }
            Some(("file.refgate.dev", name)) => {
                check_file(name)?;
                self.files.push(wish(name)?);
            }
            Some(("refgate.dev", "env-from")) => self.env_from = env_from(value)?,
            Some(("refgate.dev", "containers")) => self.containers = Some(containers(template, value)?),
            Some(("refgate.dev", "mount-path")) => self.mount_path = Some(mount_path(value)?),
            Some(("refgate.dev", "file-mode")) => self.file_mode = Some(file_mode(value)?),
            Some(("refgate.dev", "restart")) if !matches!(value, "canary" | "always") => {
                return Err("it is neither canary nor always".to_owned());
            }
            // The walk over plaintext reads the last one.
            Some(("refgate.dev", "restart" | "allow-plaintext")) => {}
            Some(("refgate.dev", "refs")) => self.claimed_refs = Some(value),
            Some((_, name)) => {
                let meant = similar(&name.to_ascii_lowercase(), NAMES.into_iter())
                    .map(|name| format!("refgate.dev/{name}"));
                let meant = meant.or_else(|| NAMES.contains(&name).then(|| format!("refgate.dev/{name}")));
                return Err(message::unknown_annotation(meant.as_deref()));
            }
            None => {}
        }
        Ok(())
    }
}

/// Most secrets that `env-from` spreads out.
const ENV_FROM: usize = 64;

fn env_from(value: &str) -> Result<Vec<Reference<'_>>, String> {
    let mut references: Vec<Reference<'_>> = Vec::new();
    for (index, entry) in value.split(',').map(str::trim).enumerate() {
        let number = index + 1;
        let reference = Reference::parse(entry).map_err(|error| format!("entry {number}: {error}"))?;
        if reference.property.is_some() {
            return Err(format!("entry {number}: {}", ReferenceError::PropertyOfWhole));
        }
        if references.iter().any(|other| (other.path, other.absolute) == (reference.path, reference.absolute))
        {
            return Err(format!("entry {number} names the same secret as an earlier one"));
        }
        if number > ENV_FROM {
            return Err(format!("it names more than {ENV_FROM} secrets"));
        }
        references.push(reference);
    }
    Ok(references)
}

/// Names of containers; each must be there, or the typo would leave one without its secrets.
fn containers<'t>(template: &Template<'_>, value: &'t str) -> Result<HashSet<&'t str>, String> {
    let there: HashSet<&str> = template
        .containers()
        .filter(|place| place.list != "ephemeralContainers")
        .map(|place| &*place.container.name)
        .collect();
    let mut names = HashSet::new();
    for (index, name) in value.split(',').map(str::trim).enumerate() {
        if !there.contains(name) {
            let shown = if is_label(name) {
                format!("no container is called {name}")
            } else {
                format!("entry {} is no name", index + 1)
            };
            let hint = similar(name, there.iter().copied()).map(|name| format!("; did you mean {name}?"));
            return Err(format!("{shown}{}", hint.unwrap_or_default()));
        }
        names.insert(name);
    }
    Ok(names)
}

/// A DNS-1123 label: what a container's name is, and so harmless to repeat.
fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// An absolute path without surprises; a trailing slash is dropped, so that it compares.
fn mount_path(value: &str) -> Result<&str, String> {
    let path = value.trim_end_matches('/');
    let clean = path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
            && !rest.contains([':', '$'])
            && !rest.contains(char::is_control)
    });
    if clean && path.len() <= 1024 {
        Ok(path)
    } else {
        Err("it is no absolute path such as /run/refgate; it may hold no .. and none of : and $".to_owned())
    }
}

/// Three or four octal digits, as `chmod` takes them. Kubernetes takes 0 to 0777.
fn file_mode(value: &str) -> Result<u32, String> {
    let digits = (3..=4).contains(&value.len()) && value.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(value, 8) {
        Ok(mode) if digits && mode <= 0o777 => Ok(mode),
        _ => Err("it is no file mode of octal digits, such as \"0440\"".to_owned()),
    }
}

/// Whether a name can be a file of a projected volume: one plain segment (Kubernetes, `validateLocalNonReservedPath`).
pub fn check_file(name: &str) -> Result<(), String> {
    if name.is_empty()
        || name == "."
        || name.starts_with("..")
        || name.contains('/')
        || name.contains(char::is_control)
    {
        return Err("its name cannot be that of a file".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_ours_in_any_case() {
        for key in ["refgate.dev/x", "env.refgate.dev/X", "Env.RefGate.dev/X", "envs.refgate.dev/X"] {
            assert!(is_ours(key), "{key}");
        }
        for key in [
            "xrefgate.dev/x",
            "refgate.dev",
            "refgate.dev.example.com/x",
            "é/x",
            "x/refgate.dev/",
            "ärefgate.de/x",
        ] {
            assert!(!is_ours(key), "{key}");
        }
    }

    #[test]
    fn values_read_strictly() {
        for (value, ok) in [
            ("/run/x", true),
            ("/run/x/", true),
            ("/", false),
            ("run", false),
            ("/a/../b", false),
            ("/a:b", false),
        ] {
            assert_eq!(mount_path(value).is_ok(), ok, "{value}");
        }
        for (value, ok) in [
            ("0440", true),
            ("400", true),
            ("1777", false),
            ("44", false),
            ("0o44", false),
            ("+444", false),
            ("0999", false),
        ] {
            assert_eq!(file_mode(value).is_ok(), ok, "{value}");
        }
        assert!(env_from("smtp, cache").is_ok());
        for bad in ["smtp,", "", "smtp#password", "a b"] {
            assert!(env_from(bad).is_err(), "{bad}");
        }
    }
}
