//! A pod as RefGate sees it: the fields that can name a Secret or hide a plaintext, borrowed from the review's bytes.
//!
//! Everything else is skipped, not built. `null` reads as absent, as the API server itself reads it. What is unknown
//! under `valueFrom`, a volume or a projected source is kept by name, so that it can be reported.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A string, borrowed where the JSON holds no escapes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Annotations in the order in which they stand.
#[derive(Debug, Default)]
pub struct Annotations<'a>(pub Vec<(Text<'a>, Text<'a>)>);

impl<'a> Annotations<'a> {
    /// Value of one key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| &**name == key).map(|(_, value)| &**value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Annotations<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Annotations<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key()? {
                    let value: Option<Text<'de>> = map.next_value()?;
                    pairs.push((key, value.unwrap_or_default()));
                }
                Ok(Annotations(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

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
}

/// The pod spec.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec<'a> {
    /// App containers.
    #[serde(borrow, deserialize_with = "list")]
    pub containers: Vec<Container<'a>>,
    /// Init containers, native sidecars among them.
    #[serde(deserialize_with = "list")]
    pub init_containers: Vec<Container<'a>>,
    /// Ephemeral containers, which `kubectl debug` adds.
    #[serde(deserialize_with = "list")]
    pub ephemeral_containers: Vec<Container<'a>>,
    /// `None` where there is no such list: a patch then has to make it.
    #[serde(deserialize_with = "optional_list")]
    pub volumes: Option<Vec<Volume<'a>>>,
    /// Secrets with registry credentials.
    #[serde(deserialize_with = "list")]
    pub image_pull_secrets: Vec<Named<'a>>,
    /// Only whether `fsGroup` is set matters.
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

/// One container of any list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// Unique within the pod.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// `None` where there is no such list: a patch then has to make it.
    #[serde(default, deserialize_with = "optional_list")]
    pub env: Option<Vec<Env<'a>>>,
    /// Whole Secrets and ConfigMaps.
    #[serde(default, deserialize_with = "list")]
    pub env_from: Vec<EnvFrom<'a>>,
    /// Entry point.
    #[serde(default, deserialize_with = "list")]
    pub command: Vec<Text<'a>>,
    /// Its arguments.
    #[serde(default, deserialize_with = "list")]
    pub args: Vec<Text<'a>>,
    /// `None` where there is no such list: a patch then has to make it.
    #[serde(default, deserialize_with = "optional_list")]
    pub volume_mounts: Option<Vec<Mount<'a>>>,
    /// Commands and requests on start and stop.
    #[serde(default)]
    pub lifecycle: Option<Lifecycle<'a>>,
    /// Probe.
    #[serde(default)]
    pub liveness_probe: Option<Handler<'a>>,
    /// Probe.
    #[serde(default)]
    pub readiness_probe: Option<Handler<'a>>,
    /// Probe.
    #[serde(default)]
    pub startup_probe: Option<Handler<'a>>,
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
    pub value_from: Option<ValueFrom<'a>>,
}

/// Where an env value comes from. API validation wants exactly one source, but it runs after admission.
#[derive(Debug, Default)]
pub struct ValueFrom<'a> {
    /// `secretKeyRef`.
    pub secret: Option<SecretKey<'a>>,
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
                        "secretKeyRef" => source.secret = map.next_value()?,
                        "fieldRef" => {
                            source.field_path =
                                map.next_value::<Option<FieldRef<'de>>>()?.and_then(|field| field.field_path);
                        }
                        "configMapKeyRef" | "resourceFieldRef" | "fileKeyRef" => {
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
    #[serde(borrow)]
    pub secret_ref: Option<Named<'a>>,
}

/// One volume mount.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount<'a> {
    /// Name of the volume.
    #[serde(borrow)]
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
    #[serde(borrow)]
    pub post_start: Option<Handler<'a>>,
    /// Before the stop.
    pub pre_stop: Option<Handler<'a>>,
}

/// A probe, or one end of the lifecycle.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Handler<'a> {
    /// A command.
    #[serde(borrow)]
    pub exec: Option<Exec<'a>>,
    /// A request.
    pub http_get: Option<HttpGet<'a>>,
}

/// A command in the container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Exec<'a> {
    /// Its words.
    #[serde(borrow, deserialize_with = "list")]
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
    #[serde(deserialize_with = "list")]
    pub http_headers: Vec<Header<'a>>,
}

/// One header.
#[derive(Debug, Deserialize)]
pub struct Header<'a> {
    /// Name of the header.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Its value.
    #[serde(default)]
    pub value: Option<Text<'a>>,
}

/// One volume, whatever its type.
#[derive(Debug, Default)]
pub struct Volume<'a> {
    /// Name within the pod.
    pub name: Text<'a>,
    /// Secrets that it names: pointer under the volume, name of the Secret.
    pub secrets: Vec<(Cow<'static, str>, Text<'a>)>,
    /// `projected`: only its Secret sources, with their items.
    pub projected: Vec<ProjectedSecret<'a>>,
    /// Whether the volume is projected from Secrets alone.
    pub only_secrets: bool,
    /// `projected.defaultMode`.
    pub default_mode: Option<i64>,
    /// `csi.driver`.
    pub driver: Option<Text<'a>>,
    /// `csi.volumeAttributes`, `flexVolume.options`, `gitRepo.repository`: pointer under the volume, name, text.
    pub attributes: Vec<(&'static str, Text<'a>, Text<'a>)>,
    /// Types and projected sources that this version has never heard of: pointer under the volume.
    pub unknown: Vec<String>,
}

/// One Secret source of a projected volume.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProjectedSecret<'a> {
    /// Name of the Secret.
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    /// Which keys become which files.
    #[serde(deserialize_with = "list")]
    pub items: Vec<Item<'a>>,
    /// Whether a missing Secret is tolerated.
    pub optional: Option<bool>,
}

/// One key as one file.
#[derive(Debug, Deserialize)]
pub struct Item<'a> {
    /// Key in the Secret.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// File within the volume.
    pub path: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SecretVolume<'a> {
    #[serde(borrow)]
    secret_name: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SecretRefVolume<'a> {
    #[serde(borrow)]
    secret_ref: Option<Named<'a>>,
    options: Option<Annotations<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CsiVolume<'a> {
    #[serde(borrow)]
    driver: Option<Text<'a>>,
    volume_attributes: Option<Annotations<'a>>,
    node_publish_secret_ref: Option<Named<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GitRepo<'a> {
    #[serde(borrow)]
    repository: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Projected<'a> {
    #[serde(borrow, deserialize_with = "list")]
    sources: Vec<Source<'a>>,
    default_mode: Option<i64>,
}

/// One source of a projected volume: a Secret, something known, or something new.
#[derive(Default)]
struct Source<'a> {
    secret: Option<ProjectedSecret<'a>>,
    other: bool,
    unknown: Vec<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Source<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SourceVisitor;
        impl<'de> Visitor<'de> for SourceVisitor {
            type Value = Source<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a source of a projected volume")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut source = Source::default();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match &*key {
                        "secret" => source.secret = map.next_value()?,
                        "configMap"
                        | "downwardAPI"
                        | "serviceAccountToken"
                        | "clusterTrustBundle"
                        | "podCertificate" => {
                            map.next_value::<IgnoredAny>()?;
                            source.other = true;
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

impl<'a> Volume<'a> {
    fn names(&mut self, pointer: &'static str, name: Option<Text<'a>>) {
        if let Some(name) = name {
            self.secrets.push((Cow::Borrowed(pointer), name));
        }
    }

    fn project(&mut self, projected: Projected<'a>) {
        self.default_mode = projected.default_mode;
        self.only_secrets = !projected.sources.is_empty();
        for (index, source) in projected.sources.into_iter().enumerate() {
            self.only_secrets &= source.secret.is_some() && !source.other && source.unknown.is_empty();
            for key in source.unknown {
                self.unknown.push(format!("/projected/sources/{index}/{}", escape(&key)));
            }
            if let Some(secret) = source.secret {
                if let Some(name) = &secret.name {
                    self.secrets
                        .push((Cow::Owned(format!("/projected/sources/{index}/secret/name")), name.clone()));
                }
                self.projected.push(secret);
            }
        }
    }

    /// Reads the value under one key of a volume: the name, or its one type.
    fn field<'de: 'a, A: MapAccess<'de>>(&mut self, key: Text<'a>, map: &mut A) -> Result<(), A::Error> {
        match &*key {
            "name" => self.name = map.next_value()?,
            "secret" => {
                let volume: Option<SecretVolume<'a>> = map.next_value()?;
                self.names("/secret/secretName", volume.and_then(|volume| volume.secret_name));
            }
            "projected" => self.project(map.next_value::<Option<Projected<'a>>>()?.unwrap_or_default()),
            "csi" => {
                let csi: CsiVolume<'a> = map.next_value::<Option<_>>()?.unwrap_or_default();
                self.driver = csi.driver;
                self.names(
                    "/csi/nodePublishSecretRef/name",
                    csi.node_publish_secret_ref.and_then(|secret| secret.name),
                );
                for (name, text) in csi.volume_attributes.unwrap_or_default().0 {
                    self.attributes.push(("/csi/volumeAttributes/", name, text));
                }
            }
            "azureFile" => {
                let volume: Option<SecretVolume<'a>> = map.next_value()?;
                self.names("/azureFile/secretName", volume.and_then(|volume| volume.secret_name));
            }
            "cephfs" => self.secret_ref("/cephfs/secretRef/name", map)?,
            "rbd" => self.secret_ref("/rbd/secretRef/name", map)?,
            "iscsi" => self.secret_ref("/iscsi/secretRef/name", map)?,
            "flexVolume" => self.secret_ref("/flexVolume/secretRef/name", map)?,
            "scaleIO" => self.secret_ref("/scaleIO/secretRef/name", map)?,
            "storageos" => self.secret_ref("/storageos/secretRef/name", map)?,
            "cinder" => self.secret_ref("/cinder/secretRef/name", map)?,
            "gitRepo" => {
                let volume: GitRepo<'a> = map.next_value::<Option<_>>()?.unwrap_or_default();
                if let Some(text) = volume.repository {
                    self.attributes.push(("/gitRepo/", Text(Cow::Borrowed("repository")), text));
                }
            }
            known if HARMLESS_VOLUMES.contains(&known) => {
                map.next_value::<IgnoredAny>()?;
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
                self.unknown.push(format!("/{}", escape(&key)));
            }
        }
        Ok(())
    }

    fn secret_ref<'de: 'a, A: MapAccess<'de>>(
        &mut self,
        pointer: &'static str,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let volume: SecretRefVolume<'a> = map.next_value::<Option<_>>()?.unwrap_or_default();
        self.names(pointer, volume.secret_ref.and_then(|secret| secret.name));
        for (name, text) in volume.options.unwrap_or_default().0 {
            self.attributes.push(("/flexVolume/options/", name, text));
        }
        Ok(())
    }
}

/// Volume types that name no Secret (Kubernetes API reference, `Volume`).
const HARMLESS_VOLUMES: [&str; 18] = [
    "emptyDir",
    "configMap",
    "downwardAPI",
    "hostPath",
    "persistentVolumeClaim",
    "ephemeral",
    "nfs",
    "image",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "azureDisk",
    "fc",
    "flocker",
    "glusterfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "vsphereVolume",
];

impl<'de: 'a, 'a> Deserialize<'de> for Volume<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VolumeVisitor;
        impl<'de> Visitor<'de> for VolumeVisitor {
            type Value = Volume<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a volume")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut volume = Volume::default();
                while let Some(key) = map.next_key()? {
                    volume.field(key, &mut map)?;
                }
                Ok(volume)
            }
        }
        deserializer.deserialize_map(VolumeVisitor)
    }
}

/// Escapes one reference token of an RFC 6901 pointer.
pub fn escape(token: &str) -> Cow<'_, str> {
    if token.contains(['~', '/']) {
        Cow::Owned(token.replace('~', "~0").replace('/', "~1"))
    } else {
        Cow::Borrowed(token)
    }
}

/// A list that reads `null` as empty.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(optional_list(deserializer)?.unwrap_or_default())
}

/// A list that may be `null`. Room for eight is made at once: most lists are short, and growing costs more.
fn optional_list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Vec<T>>, D::Error> {
    struct ListVisitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
        type Value = Option<Vec<T>>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a list")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_seq(self)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(item) = items.next_element()? {
                if all.is_empty() {
                    all.reserve(8);
                }
                all.push(item);
            }
            Ok(Some(all))
        }
    }
    deserializer.deserialize_option(ListVisitor(PhantomData))
}
