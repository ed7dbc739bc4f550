//! A manager that is a file, for development and tests: YAML or JSON, from paths to values, read anew at each call.
//!
//! Where an entry names no version, a hash of its value is one: who sees versions can confirm a guess of the value. That,
//! and values that lie on a disk in plain text, is why no cluster that matters has this manager.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Batch, Fetched, Listed, MAX_VALUE_BYTES, ManagerError, SecretValue};
use crate::policy::path::SecretPath;
use crate::yaml::{self, Document};

/// Largest file: ten thousand secrets of some kilobytes.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// What an entry may say.
const KEYS: [&str; 7] = ["value", "binary", "version", "created", "changed", "deleted", "tags"];

/// The file.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
}

/// One entry, read.
struct Entry {
    value: Option<(SecretValue, bool)>,
    version: Option<String>,
    created: Option<Timestamp>,
    changed: Option<Timestamp>,
    deleted: Option<Timestamp>,
    tags: BTreeMap<String, String>,
}

impl File {
    /// Nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub(super) fn list(&self) -> Result<Vec<Listed>, ManagerError> {
        let entries = self.entries()?.into_iter();
        let listed = entries.map(|(path, entry)| Listed {
            path,
            version: entry.version,
            changed: entry.changed,
            deleted: entry.deleted,
            tags: entry.tags,
        });
        Ok(listed.collect())
    }

    pub(super) fn fetch(&self, paths: &[String]) -> Result<Batch, ManagerError> {
        let mut entries = self.entries()?;
        let mut batch = Batch::new();
        for path in paths {
            batch.push((
                path.clone(),
                entries.remove(path).map_or_else(|| not_found(path), |e| fetched(path, e)),
            ));
        }
        Ok(batch)
    }

    /// Writes a new file beside the old one and puts it in its place, so that nobody reads half of it. Comments are lost,
    /// and what was YAML is JSON, which is YAML. Where there is none, it is made.
    pub(super) fn store(&self, path: &SecretPath<'_>, value: &SecretValue) -> Result<String, ManagerError> {
        let target = self.target().map_err(|error| self.unavailable(&error))?;
        let folder = target.parent().unwrap_or(Path::new("/"));
        // Who stores at the same time waits; the lock ends with the handle. The file itself cannot carry it, being replaced.
        let lock = fs::File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
        let _lock = lock.map_err(|error| self.unavailable(&error))?;
        let document = if target.exists() { self.document()? } else { None };
        let mut entries = match document {
            Some(document) => self.map(&document)?.clone(),
            None => Map::new(),
        };
        let entry = entries.entry(path.as_str()).or_insert_with(|| json!({}));
        let Value::Object(entry) = entry else { return Err(self.invalid(1, "an entry is a map")) };
        if entry.contains_key("deleted") {
            return Err(ManagerError::Deleted(path.to_string()));
        }
        entry.retain(|key, _| key == "tags");
        match str::from_utf8(value.expose()) {
            Ok(text) => entry.insert("value".to_owned(), text.into()),
            Err(_) => entry.insert("binary".to_owned(), STANDARD.encode(value.expose()).into()),
        };
        let now = Timestamp::now().to_string();
        entry.insert("created".to_owned(), now.as_str().into());
        entry.insert("changed".to_owned(), now.into());
        let text =
            serde_json::to_vec_pretty(&entries).map_err(|_| self.invalid(1, "it cannot be written"))?;
        replace(&target, &Zeroizing::new(text)).map_err(|error| self.unavailable(&error))?;
        Ok(hash(path.as_str(), value))
    }

    /// The file itself. A link stays one: what it points to is replaced, and what points nowhere is a mistake.
    fn target(&self) -> io::Result<PathBuf> {
        match (fs::canonicalize(&self.path), self.path.file_name()) {
            (Err(error), Some(name))
                if error.kind() == io::ErrorKind::NotFound && !self.path.is_symlink() =>
            {
                let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
                Ok(fs::canonicalize(folder.unwrap_or(Path::new(".")))?.join(name))
            }
            (target, _) => target,
        }
    }

    fn entries(&self) -> Result<BTreeMap<String, Entry>, ManagerError> {
        let Some(document) = self.document()? else { return Ok(BTreeMap::new()) };
        let map = self.map(&document)?;
        map.iter().map(|(path, _)| Ok((path.clone(), self.entry(&document, path)?))).collect()
    }

    /// The one document of the file; `None` where it is empty.
    fn document(&self) -> Result<Option<Document>, ManagerError> {
        let text = self.text()?;
        let mut documents = yaml::documents(&text);
        let Some(first) = documents.next() else { return Ok(None) };
        let first = first.and_then(Document::with_single_keys);
        let first = first.map_err(|error| self.invalid(error.line, &error.message))?;
        match documents.next() {
            None => Ok(Some(first)),
            Some(second) => {
                let line = second.map_or_else(|error| error.line, |document| document.line);
                Err(self.invalid(line, "a second document; the secrets are one map"))
            }
        }
    }

    fn text(&self) -> Result<Zeroizing<String>, ManagerError> {
        let file = fs::File::open(&self.path).map_err(|error| self.unavailable(&error))?;
        let mut text = Zeroizing::new(String::new());
        let read = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
        let bytes = read.map_err(|error| self.unavailable(&error))?;
        if bytes as u64 > MAX_FILE_BYTES {
            return Err(self.invalid(1, &format!("it has more than {MAX_FILE_BYTES} bytes")));
        }
        Ok(text)
    }

    fn map<'a>(&self, document: &'a Document) -> Result<&'a Map<String, Value>, ManagerError> {
        let map = document.value.as_object();
        map.ok_or_else(|| self.invalid(document.line, "the secrets are a map from paths"))
    }

    /// Reads an entry, and says the line of what cannot be read.
    fn entry(&self, document: &Document, path: &str) -> Result<Entry, ManagerError> {
        let at = format!("/{}", path.replace('~', "~0").replace('/', "~1"));
        let wrong = |pointer: &str, what: &str| self.invalid(document.line_of(pointer), what);
        SecretPath::absolute(path).map_err(|error| wrong(&at, &error.to_string()))?;
        let Some(Value::Object(map)) = document.value.get(path) else {
            return Err(wrong(&at, "an entry is a map; the value stands under `value`"));
        };
        if let Some(key) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            // An unknown key is not repeated: it may be what was meant as a value.
            let message = format!("an unknown key in an entry; known are {}", KEYS.join(", "));
            return Err(wrong(&format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), &message));
        }
        let text = |key: &str| match map.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(wrong(&format!("{at}/{key}"), &format!("{key} must be text; put it in quotes"))),
        };
        let time = |key: &str| match text(key)?.map(str::parse::<Timestamp>) {
            None => Ok(None),
            Some(Ok(time)) => Ok(Some(time)),
            Some(Err(_)) => {
                Err(wrong(&format!("{at}/{key}"), &format!("{key} is no time such as 2026-01-31T00:00:00Z")))
            }
        };
        let value = match (text("value")?, text("binary")?) {
            (None, None) => None,
            (Some(text), None) => Some((SecretValue::new(text.as_bytes().to_vec()), true)),
            (None, Some(text)) => match STANDARD.decode(text) {
                Ok(bytes) => Some((SecretValue::new(bytes), false)),
                Err(_) => return Err(wrong(&format!("{at}/binary"), "binary is no base64")),
            },
            (Some(_), Some(_)) => return Err(wrong(&at, "an entry has a value or a binary, not both")),
        };
        if value.as_ref().is_some_and(|(value, _)| value.expose().len() > MAX_VALUE_BYTES) {
            return Err(wrong(&at, &format!("a value of more than {MAX_VALUE_BYTES} bytes")));
        }
        let tags = match map.get("tags") {
            None => BTreeMap::new(),
            Some(tags) => serde_json::from_value(tags.clone())
                .map_err(|_| wrong(&format!("{at}/tags"), "tags must be a map of texts"))?,
        };
        // A version is one of a value; without a value there is none.
        let version = match &value {
            Some((value, _)) => Some(text("version")?.map_or_else(|| hash(path, value), str::to_owned)),
            None => None,
        };
        let (created, changed, deleted) = (time("created")?, time("changed")?, time("deleted")?);
        Ok(Entry { value, version, created, changed, deleted, tags })
    }

    fn invalid(&self, line: usize, message: &str) -> ManagerError {
        ManagerError::Invalid(format!("{} line {line}: {message}", self.path.display()))
    }

    fn unavailable(&self, error: &io::Error) -> ManagerError {
        ManagerError::Unavailable(format!("{}: {error}", self.path.display()))
    }
}

fn not_found(path: &str) -> Result<Fetched, ManagerError> {
    Err(ManagerError::NotFound(path.to_owned()))
}

fn fetched(path: &str, entry: Entry) -> Result<Fetched, ManagerError> {
    if entry.deleted.is_some() {
        return Err(ManagerError::Deleted(path.to_owned()));
    }
    match (entry.value, entry.version) {
        (Some((value, is_text)), Some(version)) => {
            Ok(Fetched { version, created: entry.created, value, is_text })
        }
        _ => not_found(path),
    }
}

/// The version of a value that has no other. The path is part of it, so that equal values are not seen to be equal.
fn hash(path: &str, value: &SecretValue) -> String {
    let mut digest = Sha256::new();
    digest.update(path.as_bytes());
    digest.update([0]);
    digest.update(value.expose());
    digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All of the new text or all of the old one, and for its owner's eyes alone.
fn replace(target: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = target.as_os_str().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(name);
    // One that a process of this number left when it was killed.
    drop(fs::remove_file(&beside));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, target)
    };
    // What failed leaves nothing with a value behind.
    write().inspect_err(|_| drop(fs::remove_file(&beside)))
}
