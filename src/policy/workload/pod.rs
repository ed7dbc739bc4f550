//! A pod as RefGate sees it: the fields that can name a Secret or hide a plaintext, borrowed from the review's bytes.
//!
//! Everything else is skipped, not built. `null` reads as absent, as the API server itself reads it. What is unknown
//! under `valueFrom` is kept by name, so that it can be reported. Neighbours: `volume` for volumes, `json` for strings and
//! lists.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::json::{
    Annotations, CONTAINERS, ENTRIES, Nullable, Text, VOLUMES, boxed, list, name, object, optional_list,
    texts,
};
use super::volume::Volume;

/// Metadata: what a decision needs of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata<'a> {
    /// Name; absent for what a controller makes from a `generateName`.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// Prefix of a name to come.
    pub generate_name: Option<Text<'a>>,
    /// `None` where there is no such map: a patch then has to make it.
    pub annotations: Option<Annotations<'a>>,
    /// Labels, which an env var may read.
    pub labels: Option<Annotations<'a>>,
}

/// The pod spec.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec<'a> {
    /// App containers.
    #[serde(borrow, deserialize_with = "list::<_, _, CONTAINERS>")]
    pub containers: Vec<Container<'a>>,
    /// Init containers, native sidecars among them.
    #[serde(deserialize_with = "list::<_, _, CONTAINERS>")]
    pub init_containers: Vec<Container<'a>>,
    /// Ephemeral containers, which `kubectl debug` adds.
    #[serde(deserialize_with = "list::<_, _, CONTAINERS>")]
    pub ephemeral_containers: Vec<Container<'a>>,
    /// `None` where there is no such list: a patch then has to make it.
    #[serde(deserialize_with = "optional_list::<_, _, VOLUMES>")]
    pub volumes: Option<Vec<Volume<'a>>>,
    /// Secrets with registry credentials.
    #[serde(deserialize_with = "list::<_, _, ENTRIES>")]
    pub image_pull_secrets: Vec<Named<'a>>,
    /// Who the pods are; the configuration may allow something to one of them.
    pub service_account_name: Option<Text<'a>>,
    /// Only whether `fsGroup` is set matters.
    #[serde(deserialize_with = "object")]
    pub security_context: Option<PodSecurityContext>,
}

/// The pod's security context.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSecurityContext {
    /// The group that owns mounted files.
    pub fs_group: Option<i64>,
}

/// An object that is nothing but a name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Named<'a> {
    /// The name.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
}

/// How messages call a container without a name.
fn unnamed<'a>() -> Text<'a> {
    Text(Cow::Borrowed("(unnamed)"))
}

/// One container of any list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// Unique within the pod. A template of another system may leave it out (Knative), whose controller then gives one.
    #[serde(borrow, default = "unnamed", deserialize_with = "name")]
    pub name: Text<'a>,
    /// What it runs; the configuration may allow something to some of them.
    #[serde(default)]
    pub image: Option<Text<'a>>,
    /// `None` where there is no such list: a patch then has to make it.
    #[serde(default, deserialize_with = "optional_list::<_, _, ENTRIES>")]
    pub env: Option<Vec<Env<'a>>>,
    /// Whole Secrets and ConfigMaps.
    #[serde(default, deserialize_with = "list::<_, _, ENTRIES>")]
    pub env_from: Vec<EnvFrom<'a>>,
    /// Entry point.
    #[serde(default, deserialize_with = "texts")]
    pub command: Vec<Text<'a>>,
    /// Its arguments.
    #[serde(default, deserialize_with = "texts")]
    pub args: Vec<Text<'a>>,
    /// `None` where there is no such list: a patch then has to make it.
    #[serde(default, deserialize_with = "optional_list::<_, _, VOLUMES>")]
    pub volume_mounts: Option<Vec<Mount<'a>>>,
    /// Commands and requests on start and stop.
    #[serde(default, deserialize_with = "boxed")]
    pub lifecycle: Option<Box<Lifecycle<'a>>>,
    /// Probe.
    #[serde(default, deserialize_with = "boxed")]
    pub liveness_probe: Option<Box<Handler<'a>>>,
    /// Probe.
    #[serde(default, deserialize_with = "boxed")]
    pub readiness_probe: Option<Box<Handler<'a>>>,
    /// Probe.
    #[serde(default, deserialize_with = "boxed")]
    pub startup_probe: Option<Box<Handler<'a>>>,
}

impl<'a> Container<'a> {
    /// The Secrets that its environment reads, by name: keys of them, and whole ones.
    pub fn env_secrets(&self) -> impl Iterator<Item = &Text<'a>> {
        let entries = self.env.iter().flatten();
        let keys = entries.filter_map(|entry| entry.value_from.as_ref()?.secret.as_ref()?.name.as_ref());
        keys.chain(self.env_from.iter().filter_map(|from| from.secret_ref.as_ref()?.name.as_ref()))
    }
}

/// One env entry.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Env<'a> {
    /// Name of the variable.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Literal value.
    #[serde(default)]
    pub value: Option<Text<'a>>,
    /// Where else the value comes from.
    #[serde(default)]
    pub value_from: Option<Box<ValueFrom<'a>>>,
}

/// Where an env value comes from. API validation wants exactly one source, but it runs after admission.
#[derive(Debug, Default)]
pub struct ValueFrom<'a> {
    /// `secretKeyRef`.
    pub secret: Option<SecretKey<'a>>,
    /// `configMapKeyRef.name`.
    pub config_map: Option<Text<'a>>,
    /// `fieldRef.fieldPath`.
    pub field_path: Option<Text<'a>>,
    /// Keys that this version has never heard of.
    pub unknown: Vec<Text<'a>>,
}

/// `secretKeyRef`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SecretKey<'a> {
    /// Name of the Secret.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// Key in its data.
    pub key: Option<Text<'a>>,
    /// Whether the container starts without it.
    pub optional: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FieldRef<'a> {
    #[serde(borrow)]
    field_path: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for ValueFrom<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SourceVisitor;
        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = ValueFrom<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a source of an env value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut source = ValueFrom::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key {
                        "secretKeyRef" if source.secret.is_some() => {
                            return Err(serde::de::Error::duplicate_field("secretKeyRef"));
                        }
                        "secretKeyRef" => source.secret = map.next_value::<Nullable<_>>()?.0,
                        "fieldRef" => {
                            source.field_path = map
                                .next_value::<Nullable<FieldRef<'de>>>()?
                                .0
                                .and_then(|field| field.field_path);
                        }
                        "configMapKeyRef" => {
                            let Nullable(map) = map.next_value::<Nullable<Named<'de>>>()?;
                            source.config_map = map.and_then(|map| map.name);
                        }
                        "resourceFieldRef" | "fileKeyRef" => {
                            map.next_value::<IgnoredAny>()?;
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            source.unknown.push(key);
                        }
                    }
                }
                Ok(source)
            }
        }
        deserializer.deserialize_map(SourceVisitor)
    }
}

/// One `envFrom` entry.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvFrom<'a> {
    /// `secretRef`: all keys of a Secret.
    #[serde(borrow, deserialize_with = "object")]
    pub secret_ref: Option<Named<'a>>,
    /// `configMapRef`: all keys of a ConfigMap.
    #[serde(deserialize_with = "object")]
    pub config_map_ref: Option<Named<'a>>,
    /// What stands before the name of each variable.
    pub prefix: Option<Text<'a>>,
}

/// One volume mount.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount<'a> {
    /// Name of the volume.
    #[serde(borrow, deserialize_with = "name")]
    pub name: Text<'a>,
    /// Where in the container.
    pub mount_path: Text<'a>,
    /// A part of the volume only.
    #[serde(default)]
    pub sub_path: Option<Text<'a>>,
    /// The same, expanded.
    #[serde(default)]
    pub sub_path_expr: Option<Text<'a>>,
}

/// What happens on start and stop.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Lifecycle<'a> {
    /// After the start.
    #[serde(borrow, deserialize_with = "object")]
    pub post_start: Option<Handler<'a>>,
    /// Before the stop.
    #[serde(deserialize_with = "object")]
    pub pre_stop: Option<Handler<'a>>,
}

/// A probe, or one end of the lifecycle.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Handler<'a> {
    /// A command.
    #[serde(borrow, deserialize_with = "object")]
    pub exec: Option<Exec<'a>>,
    /// A request.
    #[serde(deserialize_with = "object")]
    pub http_get: Option<HttpGet<'a>>,
}

/// A command in the container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Exec<'a> {
    /// Its words.
    #[serde(borrow, deserialize_with = "texts")]
    pub command: Vec<Text<'a>>,
}

/// A request to the container.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpGet<'a> {
    /// Path, and query.
    #[serde(borrow)]
    pub path: Option<Text<'a>>,
    /// Headers.
    #[serde(deserialize_with = "list::<_, _, ENTRIES>")]
    pub http_headers: Vec<Header<'a>>,
}

/// One header.
#[derive(Debug, Deserialize)]
pub struct Header<'a> {
    /// Name of the header.
    #[serde(borrow, deserialize_with = "name")]
    pub name: Text<'a>,
    /// Its value.
    #[serde(default)]
    pub value: Option<Text<'a>>,
}
