//! What an object of the cluster wants: the references in its pod template, and the Secrets that a pod names.
//!
//! Both are read by the readers of the webhook, and kept as they are written. What comes of them is decided with the binding
//! that its namespace has by then, by the same fence: an object that came in while the webhook was away gets nothing foreign.
//! `refgate.dev/refs` is never looked at.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeSeed as _;

use super::runs::{self, Role};
use crate::policy::reference::{Reference, env_value};
use crate::policy::snapshot::Binding;
use crate::policy::wishes::Wishes;
use crate::policy::workload::Kind;
use crate::policy::workload::object::{ObjectSeed, Template};

/// What one object names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// References: the path as it is written, and whether it is absolute.
    references: Box<[(Box<str>, bool)]>,
    /// Secrets, by name.
    secrets: Box<[Box<str>]>,
}

/// An object and what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// `None` where it could not be read: what was known of it stays.
    pub names: Option<Names>,
    /// What it has to do with restarts, if anything.
    pub role: Option<Box<Role>>,
}

#[derive(Deserialize)]
struct Head {
    metadata: HeadMetadata,
    #[serde(default)]
    spec: Option<Replicas>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadMetadata {
    name: Box<str>,
    #[serde(default)]
    namespace: Box<str>,
    #[serde(default)]
    owner_references: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Deserialize)]
struct Replicas {
    /// Not a number where the kind has something else under this name.
    #[serde(default)]
    replicas: serde_json::Value,
}

/// Reads an object of a kind. `None` where not even its name can be read.
pub fn seen(raw: &str, kind: &Kind) -> Option<Seen> {
    let Head { metadata, spec } = serde_json::from_str(raw).ok()?;
    let owned = metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty());
    let is_at_zero = spec.is_some_and(|spec| spec.replicas == 0);
    let HeadMetadata { namespace, name, .. } = metadata;
    if kind.kind == "ReplicaSet" && owned && is_at_zero {
        // What a Deployment keeps to look back on makes no pods; a rollback writes the template of the Deployment.
        return Some(Seen { namespace, name, names: Some(Names::default()), role: None });
    }
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    let Ok(object) = ObjectSeed(kind).deserialize(&mut deserializer) else {
        return Some(Seen { namespace, name, names: None, role: None });
    };
    let template = object.and_then(|object| object.template);
    let names = template.as_ref().map(Names::of).unwrap_or_default();
    let role = template.as_ref().and_then(|template| runs::role(raw, kind, template)).map(Box::new);
    Some(Seen { namespace, name, names: Some(names), role })
}

/// One place in a template that names a secret.
pub(super) enum Named<'t> {
    /// A reference, in an env value or an annotation.
    Reference(&'t Reference<'t>),
    /// A Secret.
    Secret {
        /// Its name.
        name: &'t str,
        /// The one key that is read; a container starts without an optional one, which is left out.
        key: Option<&'t str>,
    },
}

/// All places of a template that name a secret.
pub(super) fn each_named(template: &Template<'_>, take: &mut dyn FnMut(Named<'_>)) {
    let wishes = Wishes::read(template);
    for wish in wishes.env.iter().chain(&wishes.files) {
        take(Named::Reference(&wish.reference));
    }
    for reference in &wishes.env_from {
        take(Named::Reference(reference));
    }
    for place in template.containers() {
        for entry in place.container.env.iter().flatten() {
            if let Some((_, Ok(reference))) = entry.value.as_deref().and_then(env_value) {
                take(Named::Reference(&reference));
            }
            let secret = entry.value_from.as_ref().and_then(|from| from.secret.as_ref());
            if let Some((secret, name)) = secret.and_then(|secret| Some((secret, secret.name.as_deref()?))) {
                let key = secret.key.as_deref().filter(|_| secret.optional != Some(true));
                take(Named::Secret { name, key });
            }
        }
        for name in place.container.env_secrets() {
            take(Named::Secret { name, key: None });
        }
    }
    for volume in template.spec.volumes.iter().flatten() {
        for (_, name) in &volume.secrets {
            take(Named::Secret { name, key: None });
        }
        for source in volume.projected.iter().filter(|source| source.optional != Some(true)) {
            let Some(name) = source.name.as_deref() else { continue };
            for item in &source.items {
                take(Named::Secret { name, key: Some(&item.key) });
            }
        }
    }
    for name in template.spec.image_pull_secrets.iter().filter_map(|secret| secret.name.as_deref()) {
        take(Named::Secret { name, key: None });
    }
}

impl Names {
    fn of(template: &Template<'_>) -> Self {
        let (mut references, mut secrets) = (BTreeSet::new(), BTreeSet::new());
        each_named(template, &mut |named| match named {
            Named::Reference(reference) => {
                references.insert((reference.path.into(), reference.absolute));
            }
            Named::Secret { name, .. } => {
                secrets.insert(Box::from(name));
            }
        });
        Self { references: references.into_iter().collect(), secrets: secrets.into_iter().collect() }
    }

    /// Whether it names nothing at all.
    pub fn is_empty(&self) -> bool {
        self.references.is_empty() && self.secrets.is_empty()
    }
}

/// What all objects of a namespace want together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Paths, every one of them inside of the binding.
    pub paths: BTreeSet<String>,
    /// Secrets by name; which of them hold paths, the plan finds out.
    pub secrets: BTreeSet<String>,
    /// Whether the namespace asks for all of its own scope.
    pub all: bool,
}

impl Wanted {
    /// What objects want in a namespace that is bound so.
    pub fn of<'n>(objects: impl IntoIterator<Item = &'n Names>, binding: &Binding, all: bool) -> Self {
        let mut wanted = Self { all, ..Self::default() };
        for names in objects {
            wanted.secrets.extend(names.secrets.iter().map(|name| name.to_string()));
            let Binding::Bound { own, .. } = binding else { continue };
            for (path, absolute) in &names.references {
                let reference = Reference { path, absolute: *absolute, property: None, optional: false };
                if let Ok(path) = reference.path_in(own)
                    && binding.contains(path.as_str())
                {
                    wanted.paths.insert(path.as_str().to_owned());
                }
            }
        }
        wanted
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use serde_json::{Value, json};

    use super::*;
    use crate::policy::path::Scope;
    use crate::policy::workload::KINDS;

    fn binding() -> Binding {
        let shared = vec![Scope::shared("g/shared/stage").unwrap()];
        Binding::Bound { own: Scope::parse("g/a/stage").unwrap(), shared }
    }

    fn pod() -> Value {
        json!({
            "metadata": {"annotations": {
                "env.refgate.dev/A": "by_annotation", "file.refgate.dev/b": "by_file#p",
                "refgate.dev/env-from": "smtp, /g/shared/stage/cache",
                "refgate.dev/refs": "[{\"path\":\"g/a/stage/claimed\",\"secret\":\"claimed\"}]",
            }},
            "spec": {
                "initContainers": [{"name": "i", "env": [{"name": "A", "value": "secret:init?optional"}]}],
                "containers": [{"name": "c", "env": [
                    {"name": "A", "value": "secret:/g/a/prod/foreign"},
                    {"name": "B", "value": "secret:../prod/foreign"},
                    {"name": "C", "value": "secret+file:deep/er#x"},
                    {"name": "D", "valueFrom": {"secretKeyRef": {"name": "by-key", "key": "k"}}},
                ], "envFrom": [{"secretRef": {"name": "by-env-from"}}]}],
                "volumes": [
                    {"name": "v", "secret": {"secretName": "by-volume"}},
                    {"name": "w", "projected": {"sources": [{"secret": {"name": "by-projection"}}]}},
                ],
                "imagePullSecrets": [{"name": "by-pull"}],
            },
        })
    }

    /// The pod as its own object, or as the template of a workload.
    fn wrapped(kind: &Kind) -> String {
        let mut value = pod();
        for key in kind.pointer.split('/').skip(1).collect::<Vec<_>>().into_iter().rev() {
            value = json!({key: value});
        }
        value["metadata"]["name"] = "o".into();
        value["metadata"]["namespace"] = "web".into();
        value.to_string()
    }

    #[test]
    fn every_kind_wants_what_its_pods_refer_to_and_nothing_foreign() {
        for kind in &KINDS {
            let seen = seen(&wrapped(kind), kind).unwrap();
            assert_eq!((&*seen.namespace, &*seen.name), ("web", "o"));
            let wanted = Wanted::of(seen.names.as_ref(), &binding(), false);
            let paths = ["by_annotation", "by_file", "deep/er", "init", "smtp"]
                .map(|name| format!("g/a/stage/{name}"));
            let shared = "g/shared/stage/cache".to_owned();
            assert_eq!(wanted.paths, paths.into_iter().chain(iter::once(shared)).collect(), "{}", kind.kind);
            let secrets = ["by-env-from", "by-key", "by-projection", "by-pull", "by-volume"];
            assert_eq!(wanted.secrets, secrets.map(str::to_owned).into(), "{}", kind.kind);
        }
    }

    #[test]
    fn without_a_binding_no_path_is_wanted() {
        let seen = seen(&wrapped(&KINDS[0]), &KINDS[0]).unwrap();
        for binding in [Binding::Unbound, Binding::Broken("why".to_owned())] {
            assert!(Wanted::of(seen.names.as_ref(), &binding, true).paths.is_empty());
        }
    }

    #[test]
    fn a_replica_set_at_zero_that_a_deployment_keeps_wants_nothing() {
        let kind = &KINDS.into_iter().find(|kind| kind.kind == "ReplicaSet").unwrap();
        let mut value: Value = serde_json::from_str(&wrapped(kind)).unwrap();
        value["spec"]["replicas"] = 0.into();
        assert!(!seen(&value.to_string(), kind).unwrap().names.unwrap().is_empty(), "its own");
        value["metadata"]["ownerReferences"] = json!([{"kind": "Deployment"}]);
        assert!(seen(&value.to_string(), kind).unwrap().names.unwrap().is_empty());
        value["spec"]["replicas"] = 1.into();
        assert!(!seen(&value.to_string(), kind).unwrap().names.unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_not_taken_for_nothing() {
        let broken = json!({"metadata": {"name": "o", "namespace": "web"}, "spec": {"containers": 7}});
        assert_eq!(seen(&broken.to_string(), &KINDS[0]).unwrap().names, None);
        assert_eq!(seen("[]", &KINDS[0]), None);
    }
}
