//! What RefGate says of an object: which names it would ask for, and whether the namespace may have it.

use std::collections::BTreeSet;
use std::sync::Arc;

use refgate::policy::carriers::json;
use refgate::policy::carriers::place::System;
use refgate::policy::carriers::reach::{How, Source};
use refgate::policy::carriers::settings::{Mapping, Mode};
use refgate::policy::carriers::{self, Foreign, Handling, Known};
use refgate::policy::decide;
use refgate::policy::decision::Outcome;
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::{Settings, Snapshot};
use refgate::world::World;
use serde_json::{Value, json};

use super::generate::Object;

/// A name that AWS is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// By the ClusterSecretStore of the object, or its SecretStore.
    pub cluster: bool,
    pub how: &'static str,
    /// With the prefix of the store, where that counts.
    pub name: String,
}

#[derive(Debug)]
pub struct Judged {
    pub named: BTreeSet<Asked>,
    /// It says itself that it looks through everything.
    pub is_unbounded: bool,
    /// The controller takes one of `find` and `extract` where both stand, and `find` by name or tags, or not at all.
    pub is_partial: bool,
    pub is_allowed: bool,
    /// The paths in the record of the decision.
    pub paths: BTreeSet<String>,
}

pub struct Judge {
    snapshot: Snapshot,
}

impl Judge {
    /// With the stores of all objects, in a namespace that is bound.
    pub fn new(objects: &[Object]) -> Self {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": super::NAMESPACE,
                "labels": {"refgate.dev/group": "mozmeao", "refgate.dev/app": "eso", "refgate.dev/env": "stage"},
                "annotations": {"refgate.dev/shared-paths": "mozmeao/shared/stage"},
            },
        });
        let stores = objects.iter().flat_map(|object| &object.stores);
        let text: String = stores.chain([&namespace]).map(|object| format!("---\n{object}\n")).collect();
        let mut settings = Settings {
            aws_regions: vec!["us-east-1".to_owned()],
            aws_accounts: vec!["123456789012".to_owned()],
            ..Settings::default()
        };
        settings.carriers.cluster_scoped = Mode::Audit;
        settings.carriers.mappings.push(Mapping {
            system: System::AwsParameterStore,
            scopes: [Some("mozmeao".to_owned()), None, Some("stage".to_owned())],
            place: String::new(),
            separator: None,
        });
        Self { snapshot: World::read(&text).snapshot(Arc::new(settings)) }
    }

    pub fn judge(&self, object: &Value) -> Judged {
        let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
        let kind = object["kind"].as_str().unwrap();
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u", "operation": "CREATE", "namespace": super::NAMESPACE,
                "kind": {"group": group, "version": version, "kind": kind}, "userInfo": {}, "object": object,
            },
        });
        let body = serde_json::to_vec(&review).unwrap();
        let review = parse(&body, Endpoint::Validate, &self.snapshot.settings.kinds).unwrap();
        let decision = decide(&review, &self.snapshot);
        let (named, is_unbounded) = self.named(group, kind, &object.to_string());
        let is_partial = |entry: &Value| {
            let find = &entry["find"];
            !find.is_null()
                && (!entry["extract"].is_null() || find["name"].is_null() && find["tags"].is_null())
        };
        let data_from = object["spec"]["dataFrom"].as_array();
        Judged {
            named,
            is_unbounded,
            is_partial: data_from.into_iter().flatten().any(is_partial),
            is_allowed: decision.outcome == Outcome::Allow,
            paths: decision.references.into_iter().filter_map(|reference| reference.path).collect(),
        }
    }

    fn named(&self, group: &str, kind: &str, text: &str) -> (BTreeSet<Asked>, bool) {
        let Some(Known::Kind(_, kind)) = carriers::known(group, kind) else {
            panic!("{kind} is of no carrier")
        };
        let Handling::Judged { read, .. } = kind.handling else { panic!("{kind:?} is not judged") };
        let reach = read(&Foreign::new(json::Object::read(text).unwrap(), false));
        let named = reach.accesses.iter().map(|access| {
            let Source::Store { cluster, name: store } = &access.source else { panic!("{access:?}") };
            let own = &self.snapshot.namespaces[super::NAMESPACE].carried;
            let carried = if *cluster { &self.snapshot.cluster } else { own };
            let remote = carried.store(*cluster, store).unwrap().remote(access.how, &access.key).unwrap();
            let how = match access.how {
                How::Read => "read",
                How::Find => "find",
                How::Write => "write",
            };
            Asked { cluster: *cluster, how, name: remote.name().to_owned() }
        });
        let is_unbounded = reach.faults.iter().any(|(at, _)| at.to_string().ends_with("/find"));
        (named.collect(), is_unbounded)
    }
}
