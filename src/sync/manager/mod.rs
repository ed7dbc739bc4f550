//! The seam to secret managers: list, fetch, store. A manager knows nothing of pods, namespaces or levels.
//!
//! A new one is a file here, a variant of [`Manager`], and a row in the contract test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::policy::path::{Scope, SecretPath};

pub mod aws;
pub mod file;

/// Largest value, in bytes: that of AWS Secrets Manager, for all managers alike.
pub const MAX_VALUE_BYTES: usize = 65_536;

/// A value. It cannot be printed: no `Display`, no `Serialize`, and a `Debug` that says nothing. Its bytes are overwritten
/// when it goes; copies inside of a manager's own client are not ours to overwrite.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for who writes them to where they belong.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretValue")
    }
}

/// What a list says of one secret. No value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The secret path, which is its name in the manager.
    pub path: String,
    /// Its current version. `None`: it has no value yet.
    pub version: Option<String>,
    /// When the secret or anything about it last changed, where the manager says so. No proof of a new value.
    pub changed: Option<Timestamp>,
    /// Since when it is scheduled for deletion: its value cannot be read.
    pub deleted: Option<Timestamp>,
    /// Tags: `refgate.dev/type` asks for a type of Secret.
    pub tags: BTreeMap<String, String>,
}

/// One secret with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The version that this is the value of.
    pub version: String,
    /// When that version was made.
    pub created: Option<Timestamp>,
    /// The value.
    pub value: SecretValue,
    /// Whether it was stored as text: only text is looked at for JSON.
    pub is_text: bool,
}

/// Why a manager did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManagerError {
    /// There is no such secret, or none with a value.
    #[error("the secret manager has no secret {0}")]
    NotFound(String),
    /// It is scheduled for deletion.
    #[error("{0} is scheduled for deletion in the secret manager")]
    Deleted(String),
    /// The credentials may not do this; the text names the right that is missing where it is known.
    #[error("the secret manager refuses: {0}")]
    Denied(String),
    /// There are no credentials, or they cannot be had: the text says what to do.
    #[error("{0}")]
    Credentials(String),
    /// Too many calls.
    #[error("the secret manager throttles")]
    Throttled,
    /// It cannot be reached, or fails by itself.
    #[error("the secret manager cannot be reached: {0}")]
    Unavailable(String),
    /// What it answered, what it was asked, or how it is configured makes no sense; trying again does not help.
    #[error("the secret manager cannot do this: {0}")]
    Invalid(String),
}

/// Whether trying again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// With backoff.
    Later,
    /// Only when something was changed by a person, so at the next refresh and not before.
    NextRefresh,
}

impl ManagerError {
    /// What the caller should do.
    pub fn retry(&self) -> Retry {
        match self {
            // Those of a pod, or of a role, may come by themselves.
            Self::Throttled | Self::Unavailable(_) | Self::Credentials(_) => Retry::Later,
            Self::NotFound(_) | Self::Deleted(_) | Self::Denied(_) | Self::Invalid(_) => Retry::NextRefresh,
        }
    }
}

impl ManagerError {
    /// Why a list does not come before a person changes something, in words that are the same each time; `None` where it may
    /// come by itself.
    pub fn lasting(&self) -> Option<String> {
        match self {
            Self::Denied(_) | Self::Invalid(_) => Some(self.to_string()),
            // The words of whoever gives credentials out may differ from time to time.
            Self::Credentials(_) => Some(
                "the sync has no credentials for it, or cannot get them; its log says what to do".to_owned(),
            ),
            Self::NotFound(_) | Self::Deleted(_) | Self::Throttled | Self::Unavailable(_) => None,
        }
    }
}

/// What became of each secret of a fetch.
pub type Batch = Vec<(String, Result<Fetched, ManagerError>)>;

/// Where values are kept.
#[derive(Debug)]
pub enum Manager {
    /// AWS Secrets Manager.
    Aws(aws::Aws),
    /// A file, for development and tests.
    File(file::File),
}

impl Manager {
    /// All secrets below `prefix`, which is a scope or a shared path with a slash at its end: `group/app/env/`. Sorted by
    /// path, each once. Names that read as no path are left out: no reference reaches them.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, ManagerError> {
        let scope = prefix.strip_suffix('/').and_then(|scope| Scope::shared(scope).ok());
        let Some(scope) = scope else {
            return Err(ManagerError::Invalid("a list is asked for by no prefix that ends in /".to_owned()));
        };
        let mut found = match self {
            Self::Aws(aws) => aws.list(prefix).await,
            Self::File(file) => file.list(),
        }?;
        // Whatever a manager takes for a prefix, what counts are whole segments.
        found.retain(|listed| scope.contains(&listed.path) && SecretPath::absolute(&listed.path).is_ok());
        found.sort_by(|one, other| one.path.cmp(&other.path));
        found.dedup_by(|one, other| one.path == other.path);
        Ok(found)
    }

    /// The current values, one result for each path, sorted. What is no clean path never reaches the manager: an ARN
    /// would name a secret of another account.
    pub async fn fetch(&self, paths: &[String]) -> Result<Batch, ManagerError> {
        let (asked, unclean): (BTreeSet<String>, BTreeSet<String>) =
            paths.iter().cloned().partition(|path| SecretPath::absolute(path).is_ok());
        let asked: Vec<String> = asked.into_iter().collect();
        let mut batch = match self {
            Self::Aws(aws) => aws.fetch(&asked).await,
            Self::File(file) => file.fetch(&asked),
        }?;
        let refused = || ManagerError::Invalid("what was asked for is no secret path".to_owned());
        batch.extend(unclean.into_iter().map(|path| (path, Err(refused()))));
        batch.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(batch)
    }

    /// Stores a value as the current version of a secret, which is made where there is none. Says the version.
    pub async fn store(&self, path: &SecretPath<'_>, value: &SecretValue) -> Result<String, ManagerError> {
        match value.expose().len() {
            0 => return Err(ManagerError::Invalid("the value is empty".to_owned())),
            1..=MAX_VALUE_BYTES => {}
            bytes => {
                let message = format!("the value has {bytes} bytes; at most {MAX_VALUE_BYTES} can be stored");
                return Err(ManagerError::Invalid(message));
            }
        }
        match self {
            Self::Aws(aws) => aws.store(path, value).await,
            Self::File(file) => file.store(path, value),
        }
    }
}
