//! What a pod asks for, in its annotations and in the values of its env.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{names, pod::members};

/// A reference, as written.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub path: String,
    pub absolute: bool,
    pub property: Option<String>,
    pub optional: bool,
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self, String> {
        let refuse = || Err("it is no reference".to_owned());
        if text.starts_with("secret:") || text.starts_with("secret+file:") {
            return refuse();
        }
        let (text, optional) = match text.find('?') {
            None => (text, false),
            Some(at) if &text[at..] == "?optional" => (&text[..at], true),
            Some(_) => return refuse(),
        };
        let (path, property) = match text.find('#') {
            None => (text, None),
            Some(at) => (&text[..at], Some(&text[at + 1..])),
        };
        let is_seen = |letter: char| letter.is_alphanumeric() || ('!'..='~').contains(&letter);
        if property.is_some_and(|property| {
            property.is_empty() || names::key(property).len() > 253 || !property.chars().all(is_seen)
        }) {
            return refuse();
        }
        let absolute = path.starts_with('/');
        let path = path.strip_prefix('/').unwrap_or(path);
        if !names::is_path(path) {
            return refuse();
        }
        Ok(Self { path: path.to_owned(), absolute, property: property.map(str::to_owned), optional })
    }
}

/// The reference in an env value, and whether it asks for a file.
pub(super) fn env_reference(value: &Value) -> Option<(bool, &str)> {
    let text = value.as_str()?;
    match text.strip_prefix("secret:") {
        Some(rest) => Some((false, rest)),
        None => text.strip_prefix("secret+file:").map(|rest| (true, rest)),
    }
}

/// Whether a name is one plain segment, and none that the kubelet keeps for itself.
pub(super) fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && !name.starts_with("..")
        && !name.chars().any(|character| character == '/' || character.is_control())
}

/// What the annotations say.
pub(super) struct Wishes {
    pub env: BTreeMap<String, Reference>,
    pub files: BTreeMap<String, Reference>,
    pub env_from: Vec<Reference>,
    pub mount_path: String,
    pub file_mode: Option<u32>,
    pub refs: Option<String>,
    /// Names of the containers that they mean.
    pub selected: BTreeSet<String>,
}

impl Wishes {
    pub fn read(pod: &Value, proxies: &[String]) -> Result<Self, String> {
        let there: BTreeSet<String> = ["initContainers", "containers"]
            .into_iter()
            .flat_map(|list| members(&pod["spec"][list]))
            .map(|container| container["name"].as_str().unwrap().to_owned())
            .collect();
        let mut wishes = Self {
            env: BTreeMap::new(),
            files: BTreeMap::new(),
            env_from: Vec::new(),
            mount_path: "/run/refgate".to_owned(),
            file_mode: None,
            refs: None,
            selected: there.iter().filter(|name| !proxies.contains(name)).cloned().collect(),
        };
        for (key, value) in pod["metadata"]["annotations"].as_object().into_iter().flatten() {
            let Some((domain, name)) = key.split_once('/') else { continue };
            let lower = domain.to_ascii_lowercase();
            if lower == "refgate.dev" || lower.ends_with(".refgate.dev") {
                wishes.take(domain, name, value.as_str().unwrap_or_default(), &there)?;
            }
        }
        Ok(wishes)
    }

    /// Whether they ask for any secret.
    pub fn any(&self) -> bool {
        !(self.env.is_empty() && self.files.is_empty() && self.env_from.is_empty())
    }

    fn take(
        &mut self,
        domain: &str,
        name: &str,
        value: &str,
        there: &BTreeSet<String>,
    ) -> Result<(), String> {
        let refuse = || Err(format!("{domain}/{name} does not read"));
        match (domain, name) {
            ("env.refgate.dev", _) => drop(self.env.insert(name.to_owned(), Reference::parse(value)?)),
            ("file.refgate.dev", _) if is_file_name(name) => {
                self.files.insert(name.to_owned(), Reference::parse(value)?);
            }
            ("refgate.dev", "env-from") => {
                for part in value.split(',') {
                    let reference = Reference::parse(part.trim())?;
                    if reference.property.is_some() {
                        return refuse();
                    }
                    self.env_from.push(reference);
                }
            }
            ("refgate.dev", "containers") => {
                self.selected = value.split(',').map(|part| part.trim().to_owned()).collect();
                if !self.selected.is_subset(there) {
                    return refuse();
                }
            }
            ("refgate.dev", "mount-path") => {
                let path = value.trim_end_matches('/');
                let mut segments = path.split('/');
                let absolute = segments.next() == Some("") && path.len() > 1 && path.len() <= 1024;
                let clean = |segment: &str| {
                    !["", ".", ".."].contains(&segment)
                        && !segment.chars().any(|c| c == ':' || c == '$' || c.is_control())
                };
                if !absolute || !segments.all(clean) {
                    return refuse();
                }
                self.mount_path = path.to_owned();
            }
            ("refgate.dev", "file-mode") => {
                let octal = value.chars().all(|digit| ('0'..='7').contains(&digit));
                let digits = value.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(value);
                if !octal || digits.len() != 3 {
                    return refuse();
                }
                self.file_mode = u32::from_str_radix(digits, 8).ok();
            }
            ("refgate.dev", "restart") if value == "canary" || value == "always" => {}
            ("refgate.dev", "refs") => self.refs = Some(value.to_owned()),
            _ => return refuse(),
        }
        Ok(())
    }

    /// The claims of an incoming `refgate.dev/refs` that prove themselves: path by Secret.
    pub fn claims(&self, proven: impl Fn(&str, &str) -> bool) -> BTreeMap<String, String> {
        let rows: Value =
            self.refs.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let rows: Option<Vec<(String, String)>> = rows
            .as_array()
            .map(|rows| rows.iter().map(|row| Some((row["secret"].as_str()?, row["path"].as_str()?))))
            .and_then(|rows| rows.map(|row| row.map(|(s, p)| (s.to_owned(), p.to_owned()))).collect());
        rows.into_iter().flatten().filter(|(secret, path)| proven(path, secret)).collect()
    }
}
