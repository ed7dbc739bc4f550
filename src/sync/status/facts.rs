//! What is known of one namespace, and how each object that says something of it is read.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use serde::Deserialize;

use super::super::plan::Leaving;
use super::super::read::Stored;
use super::super::secret::{KEYS, MANAGED_BY, PATH, SOURCE, VERSION, VERSION_CREATED};
use super::super::state::SYNC;
use super::users::User;
use crate::policy::path::{SecretPath, secret_name};
use crate::policy::snapshot::{Binding, Entry, NamespaceLabels};
use crate::world;

/// The RoleBinding of the sync, its account, and the role that it gives.
pub(super) const SYNC_ACCOUNT: &str = "refgate-sync";
const SYNC_ROLE: &str = "refgate-sync-secrets";

/// Whether the sync may fill Secrets in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// By its RoleBinding.
    Yes,
    /// There is no such RoleBinding.
    No,
    /// It is there, and gives another role, or gives it to somebody else.
    Otherwise,
    /// The caller may not see it.
    Unknown,
}

/// A Secret that claims a path, or an entry of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The path.
    pub path: String,
    /// Name of the Secret.
    pub secret: String,
    /// Version of the secret manager.
    pub version: Option<String>,
    /// When that was made; never known from the catalogue.
    pub created: Option<Timestamp>,
    /// `refgate.dev/source`.
    pub mark: Option<String>,
    /// The keys of its data, where that is known.
    pub keys: Option<BTreeSet<String>>,
}

/// All that is known of one namespace.
#[derive(Debug)]
pub struct Facts {
    /// Its name.
    pub name: String,
    /// What it is bound to.
    pub labels: NamespaceLabels,
    /// Whether it asks for all of its scope.
    pub all: bool,
    /// Whether it is on its way out.
    pub terminating: bool,
    /// Its Secrets of ours, and the names of all others; `None` where they may not be listed.
    pub secrets: Option<(Vec<Claimed>, BTreeSet<String>)>,
    /// What its catalogue says; `None` where there is none, or none may be read.
    pub catalogue: Option<Stored>,
    /// What the catalogue lists.
    pub entries: Vec<Claimed>,
    /// Whether there would be a catalogue here if there was one.
    pub catalogue_is_known: bool,
    /// Whether the sync may write here.
    pub sync: Given,
    /// Who names what.
    pub users: Vec<User>,
    /// Whether everything that may name something was read.
    pub users_are_known: bool,
    /// What else is to be said.
    pub notes: Vec<String>,
}

impl Facts {
    /// What is synced: as the Secrets say, else as the catalogue does.
    pub fn held(&self) -> impl Iterator<Item = &Claimed> {
        self.secrets.as_ref().map_or(&self.entries, |(ours, _)| ours).iter()
    }

    /// Whether there is a Secret of this name that is not the sync's.
    pub fn has_other(&self, name: &str) -> bool {
        self.secrets.as_ref().is_some_and(|(_, others)| others.contains(name))
    }

    /// Further names of the scope.
    pub fn known(&self) -> &[String] {
        self.catalogue.as_ref().map_or(&[], |stored| &stored.known)
    }

    /// What the manager does not list to the sync before a person changes something, and why.
    pub fn unlisted(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.catalogue.iter().flat_map(|stored| &stored.unlisted);
        all.map(|(prefix, why)| (prefix.as_str(), why.as_str()))
    }

    /// Why a path is not as it should be: the API server refuses what the sync writes, or it fits into no Secret.
    pub fn refused(&self, path: &str) -> Option<&str> {
        self.catalogue.as_ref()?.refused.get(path).map(String::as_str)
    }

    /// Since when a Secret leaves, and why.
    pub fn leaving(&self, secret: &str) -> Option<&Leaving> {
        self.catalogue.as_ref()?.leaving.get(secret)
    }

    /// Whether it can be said what is foreign.
    pub fn binding_is_known(&self) -> bool {
        !matches!(self.labels.binding, Binding::Broken(_) | Binding::Unknown)
    }
}

impl Facts {
    /// Nothing is known of it but what it is bound to.
    pub fn of(name: String, labels: NamespaceLabels) -> Self {
        Self {
            name,
            labels,
            all: false,
            terminating: false,
            secrets: None,
            catalogue: None,
            entries: Vec::new(),
            catalogue_is_known: false,
            sync: Given::Unknown,
            users: Vec::new(),
            users_are_known: true,
            notes: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Object {
    pub(super) metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) uid: String,
    #[serde(default)]
    pub(super) labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) annotations: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) owner_references: Option<Vec<Owner>>,
}

#[derive(Clone, Deserialize)]
pub(super) struct Owner {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) uid: String,
    #[serde(default)]
    pub(super) controller: bool,
}

pub(super) fn namespace(raw: &str) -> Option<Facts> {
    let object: Namespace = serde_json::from_str(raw).ok()?;
    let part = world::namespace(&object).ok()?;
    let annotations = object.metadata.annotations.unwrap_or_default();
    let mut facts = Facts::of(part.namespace.into_string(), part.value);
    facts.all = annotations.get(SYNC).is_some_and(|value| value == "scope");
    facts.terminating = object.metadata.deletion_timestamp.is_some();
    Some(facts)
}

/// What a Secret claims, where the sync would believe it.
pub(super) fn claimed(metadata: &Metadata) -> Option<Claimed> {
    let (label, value) = MANAGED_BY;
    metadata.labels.as_ref()?.get(label).filter(|found| *found == value)?;
    let said = |key: &str| metadata.annotations.as_ref()?.get(key).cloned();
    let path = said(PATH)?;
    if SecretPath::absolute(&path).is_err() || secret_name(&path) != metadata.name {
        return None;
    }
    Some(Claimed {
        path,
        secret: metadata.name.clone(),
        version: said(VERSION),
        created: said(VERSION_CREATED).and_then(|text| text.parse().ok()),
        mark: said(SOURCE),
        keys: said(KEYS).and_then(|text| serde_json::from_str(&text).ok()),
    })
}

pub(super) fn claimed_by_entry(entry: &Entry) -> Claimed {
    Claimed {
        path: entry.path.to_string(),
        secret: entry.secret.to_string(),
        version: entry.version.as_deref().map(str::to_owned),
        created: None,
        mark: None,
        keys: Some(entry.keys.iter().map(ToString::to_string).collect()),
    }
}

pub(super) fn role_binding(raw: &str, own_namespace: &str) -> Option<(String, Given)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Binding {
        metadata: Metadata,
        role_ref: Role,
        #[serde(default)]
        subjects: Option<Vec<Subject>>,
    }
    #[derive(Deserialize)]
    struct Role {
        kind: String,
        name: String,
    }
    #[derive(Deserialize)]
    struct Subject {
        kind: String,
        name: String,
        #[serde(default)]
        namespace: String,
    }
    let Binding { metadata, role_ref, subjects } = serde_json::from_str(raw).ok()?;
    let is_sync = |subject: Subject| {
        subject.kind == "ServiceAccount" && subject.name == SYNC_ACCOUNT && subject.namespace == own_namespace
    };
    let is_right = role_ref.kind == "ClusterRole"
        && role_ref.name == SYNC_ROLE
        && subjects.into_iter().flatten().any(is_sync);
    let is_ours = metadata.name == SYNC_ACCOUNT;
    is_ours.then_some((metadata.namespace, if is_right { Given::Yes } else { Given::Otherwise }))
}
