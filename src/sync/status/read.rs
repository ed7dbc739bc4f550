//! What `refgate sync status` reads of a cluster, with whatever rights its caller has.
//!
//! Secrets come as metadata alone, so that no value is ever sent here. What may not be read is said, and leaves out what
//! rests on it; only without Namespaces, or with neither Secrets nor the catalogue, there is nothing to show.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::value::RawValue;

use super::super::SyncError;
use super::super::read::stored;
use super::facts::{
    Claimed, Facts, Given, Object, SYNC_ACCOUNT, claimed, claimed_by_entry, namespace, role_binding,
};
use super::users::{Objects, User};
use super::{Denied, Kind as What, Options, Status};
use crate::cluster::Source;
use crate::cluster::list::{ListError, Pages, Reader};
use crate::policy::snapshot::Binding;
use crate::policy::workload::{KINDS, Kind};
use crate::world::{self, CATALOGUE_LABEL, CATALOGUE_PREFIX, SYSTEM_NAMESPACES};

/// How often one list may lose its place because its pages expired.
const EXPIRIES: usize = 10;

/// What is being read.
struct Reading<'a> {
    reader: &'a Reader,
    options: &'a Options,
    found: BTreeMap<String, Facts>,
    status: &'a mut Status,
    say: &'a mut dyn FnMut(&str, usize),
}

/// Reads it. What may not be read goes to `status`.
pub async fn read(
    reader: &Reader,
    options: &Options,
    kinds: &[Kind],
    status: &mut Status,
    say: &mut dyn FnMut(&str, usize),
) -> Result<Vec<Facts>, SyncError> {
    let is_outside = |name: &str| SYSTEM_NAMESPACES.contains(&name) || name == options.own_namespace;
    if let Some(name) = options.namespace.as_ref().filter(|name| is_outside(name)) {
        return Err(SyncError::Outside(name.clone()));
    }
    let mut reading = Reading { reader, options, found: BTreeMap::new(), status, say };
    reading.namespaces().await?;
    reading.catalogues().await;
    reading.found.retain(|name, facts| {
        let is_asked_for = options.namespace.is_some();
        !is_outside(name)
            && (is_asked_for || facts.labels.binding != Binding::Unbound || facts.catalogue.is_some())
    });
    reading.role_bindings().await;
    reading.secrets().await;
    reading.users(kinds).await;
    let Reading { found, status, .. } = reading;
    let lacks = |what| status.denied.iter().any(|denied| denied.what == what);
    if lacks(What::Catalogue) && !found.is_empty() && found.values().all(|facts| facts.secrets.is_none()) {
        return Err(SyncError::Blind);
    }
    Ok(found.into_values().collect())
}

impl Reading<'_> {
    /// `/api/v1/secrets`, or those of the one namespace that was asked for.
    fn pages(&self, base: &str, resource: &str) -> Pages {
        let path = match &self.options.namespace {
            Some(namespace) => format!("{base}/namespaces/{namespace}/{resource}"),
            None => format!("{base}/{resource}"),
        };
        self.reader.list(&Source { path, labels: None })
    }

    fn deny(&mut self, what: What, namespace: &str, message: &str) {
        let user = user_of(message);
        match self.status.denied.iter_mut().find(|denied| denied.what == what) {
            Some(denied) => denied.namespaces.push(namespace.to_owned()),
            None => {
                self.status.denied.push(Denied { what, namespaces: vec![namespace.to_owned()], user });
            }
        }
    }

    /// What cannot be read is never passed over in silence.
    fn unread(&mut self, what: &str, count: Unread) {
        if count > 0 {
            self.status.errors.push(format!("{count} of the {what} cannot be read"));
        }
    }

    async fn namespaces(&mut self) -> Result<(), SyncError> {
        let path = "/api/v1/namespaces";
        let mut pages = self.reader.list(&Source { path: path.to_owned(), labels: None });
        if let Some(name) = &self.options.namespace {
            pages = pages.named(name);
        }
        let mut read = BTreeMap::new();
        let listed = every(pages, &mut *self.say, "namespaces", |raw| {
            read.extend([namespace(raw).map(|facts| (facts.name.clone(), facts))?]);
            Some(())
        });
        match (listed.await, &self.options.namespace) {
            (Ok(unread), _) => self.unread("Namespaces", unread),
            // Whoever has a role in one namespace may get it, and list none.
            (Err(ListError::Forbidden(_)), Some(name)) => match self.reader.get(path, name).await {
                Ok(text) => read.extend(namespace(&text).map(|facts| (facts.name.clone(), facts))),
                Err(ListError::NotThere) => {}
                Err(error) => return Err(SyncError::Namespaces(error)),
            },
            (Err(error), _) => return Err(SyncError::Namespaces(error)),
        }
        if let Some(name) = &self.options.namespace
            && !read.contains_key(name)
        {
            return Err(SyncError::NoNamespace(name.clone()));
        }
        let is_bound = read.values().any(|facts| facts.labels.binding.is_fenced());
        let own = &self.options.own_namespace;
        if is_bound && self.options.namespace.is_none() && !read.contains_key(own) {
            // Without its catalogue, what is said of every bound namespace would be wrong.
            return Err(SyncError::NoOwnNamespace(own.clone()));
        }
        self.found = read;
        Ok(())
    }

    async fn catalogues(&mut self) {
        let own = &self.options.own_namespace;
        let source = Source {
            path: format!("/api/v1/namespaces/{own}/configmaps"),
            labels: Some(format!("{CATALOGUE_LABEL}=true")),
        };
        let mut pages = self.reader.list(&source);
        if let Some(name) = &self.options.namespace {
            pages = pages.named(&format!("{CATALOGUE_PREFIX}{name}"));
        }
        let (found, unread) = (&mut self.found, &mut self.status.unread);
        let listed = every(pages, &mut *self.say, "catalogues", |raw| {
            let map: ConfigMap = serde_json::from_str(raw).ok()?;
            let part = world::catalogue(&map);
            let (name, stored) = stored(map)?;
            // One of a namespace that is gone is about to go too.
            let Some(facts) = found.get_mut(&name) else { return Some(()) };
            unread.extend(stored.unread.iter().filter_map(|text| text.parse().ok()));
            facts.catalogue = Some(stored);
            match part {
                Ok(part) => {
                    facts.notes.extend(part.problems.iter().map(ToString::to_string));
                    facts.entries = part.value.entries().iter().map(claimed_by_entry).collect();
                }
                Err(problem) => facts.notes.push(problem.to_string()),
            }
            Some(())
        });
        match listed.await {
            Ok(unread) => {
                self.unread("catalogues", unread);
                self.found.values_mut().for_each(|facts| facts.catalogue_is_known = true);
            }
            Err(ListError::Forbidden(message)) => {
                let own = own.clone();
                self.deny(What::Catalogue, &own, &message);
            }
            Err(error) => self.status.errors.push(format!("the catalogue cannot be listed: {error}")),
        }
    }

    async fn role_bindings(&mut self) {
        let pages = self.pages("/apis/rbac.authorization.k8s.io/v1", "rolebindings").named(SYNC_ACCOUNT);
        let (found, own) = (&mut self.found, &self.options.own_namespace);
        let mut given: HashMap<String, Given> = HashMap::new();
        let listed = every(pages, &mut *self.say, "role bindings", |raw| {
            given.extend([role_binding(raw, own)?]);
            Some(())
        });
        match listed.await {
            Ok(unread) => {
                for (name, facts) in found {
                    facts.sync = given.get(name).copied().unwrap_or(Given::No);
                    if facts.labels.binding == Binding::Unbound {
                        // Nothing is to be filled there.
                        facts.sync = Given::Unknown;
                    }
                }
                self.unread("role bindings", unread);
            }
            Err(ListError::Forbidden(message)) => self.deny(What::RoleBindings, "", &message),
            Err(error) => self.status.errors.push(format!("role bindings cannot be listed: {error}")),
        }
    }

    /// The metadata of Secrets: of the whole cluster where that may be read, else namespace by namespace.
    async fn secrets(&mut self) {
        let pages = self.pages("/api/v1", "secrets").metadata_only();
        let message = match self.secrets_of(pages, None).await {
            Ok(()) => return,
            Err(ListError::Forbidden(message)) => message,
            Err(error) => return self.status.errors.push(format!("Secrets cannot be listed: {error}")),
        };
        if let Some(name) = self.options.namespace.clone() {
            return self.deny(What::Secrets, &name, &message);
        }
        let names: Vec<String> = self.found.keys().cloned().collect();
        for name in names {
            let source = Source { path: format!("/api/v1/namespaces/{name}/secrets"), labels: None };
            match self.secrets_of(self.reader.list(&source).metadata_only(), Some(&name)).await {
                Ok(()) => {}
                Err(ListError::Forbidden(message)) => self.deny(What::Secrets, &name, &message),
                Err(error) => {
                    self.status.errors.push(format!("Secrets in {name} cannot be listed: {error}"));
                }
            }
        }
    }

    async fn secrets_of(&mut self, pages: Pages, namespace: Option<&str>) -> Result<(), ListError> {
        let mut read: HashMap<String, (BTreeMap<String, Claimed>, BTreeSet<String>)> = HashMap::new();
        let found = &self.found;
        let unread = every(pages, &mut *self.say, "secrets", |raw| {
            let Object { metadata } = serde_json::from_str(raw).ok()?;
            if !found.contains_key(&metadata.namespace) {
                return Some(());
            }
            let (ours, others) = read.entry(metadata.namespace.clone()).or_default();
            match claimed(&metadata) {
                Some(claimed) => drop(ours.insert(metadata.name, claimed)),
                None => drop(others.insert(metadata.name)),
            }
            Some(())
        })
        .await?;
        self.unread("Secrets", unread);
        for (name, facts) in &mut self.found {
            if namespace.is_none_or(|namespace| namespace == name) {
                let (ours, others) = read.remove(name).unwrap_or_default();
                facts.secrets = Some((ours.into_values().collect(), others));
            }
        }
        Ok(())
    }

    /// Everything that makes pods, and pods.
    async fn users(&mut self, kinds: &[Kind]) {
        let mut objects = Objects::default();
        let mut is_whole = true;
        for kind in kinds {
            if let Err(error) = self.kind(kind, &mut objects).await {
                is_whole = false;
                self.status.errors.push(format!("{} cannot be listed: {error}", kind.resource));
            }
        }
        let Objects { named, owners, unread } = objects;
        for ((namespace, _), object) in named {
            let Some(facts) = self.found.get_mut(&namespace) else { continue };
            let title = object.root(&namespace, &owners);
            facts.users.push(User { title, names: object.names, detail: object.detail });
        }
        for (namespace, title) in unread {
            let Some(facts) = self.found.get_mut(&namespace) else { continue };
            facts.users_are_known = false;
            facts.notes.push(format!("{title} cannot be read, so nobody knows what it names"));
        }
        self.found.values_mut().for_each(|facts| facts.users_are_known &= is_whole);
    }

    /// One that the cluster does not have has no objects.
    async fn kind(&mut self, kind: &Kind, objects: &mut Objects) -> Result<(), ListError> {
        let versions = match KINDS.contains(kind) {
            true => vec!["v1".to_owned()],
            false => match self.reader.versions(&kind.group).await {
                Err(ListError::NotThere) => return Ok(()),
                versions => versions?,
            },
        };
        // A group may serve a resource in some of its versions only; the first that has it has all objects.
        for version in versions {
            let base = match &*kind.group {
                "" => "/api/v1".to_owned(),
                group => format!("/apis/{group}/{version}"),
            };
            let pages = self.pages(&base, &kind.resource);
            let found = &self.found;
            let is_wanted = |namespace: &str| found.contains_key(namespace);
            let listed =
                every(pages, &mut *self.say, &kind.resource, |raw| objects.take(raw, kind, &is_wanted));
            match listed.await {
                Err(ListError::NotThere) => {}
                Ok(unread) => {
                    self.unread(&kind.resource, unread);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// How many objects of a list could not be read.
type Unread = usize;

/// Reads a whole list. One that is begun anew says some things twice, so what is taken is kept by its name.
async fn every(
    mut pages: Pages,
    say: &mut dyn FnMut(&str, usize),
    what: &str,
    mut take: impl FnMut(&str) -> Option<()>,
) -> Result<Unread, ListError> {
    let (mut expiries, mut count, mut unread) = (0, 0, 0);
    loop {
        let page = pages.next(|raw: &RawValue| {
            count += 1;
            unread += usize::from(take(raw.get()).is_none());
        });
        match page.await {
            Ok(more) => {
                say(what, count);
                if !more {
                    return Ok(unread);
                }
            }
            Err(ListError::Expired { token }) if expiries < EXPIRIES => {
                expiries += 1;
                pages.go_on(token);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whom the API server names in its refusal: `… is forbidden: User "dev" cannot list …`.
fn user_of(message: &str) -> Option<String> {
    let rest = message.split_once("User \"")?.1;
    Some(rest.split_once('"')?.0.to_owned()).filter(|user| !user.is_empty())
}
