//! A volume as RefGate sees it: the Secrets that it names, whatever its type, and the texts that it hands to a driver.
//!
//! Types and projected sources that are unknown are kept by name, so that they can be reported.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::json::{Annotations, Nullable, Text, VOLUMES, escape, list, name, object};
use super::pod::Named;

/// The attribute of a CSI volume that names a SecretProviderClass.
pub const CLASS_ATTRIBUTE: &str = "secretProviderClass";
/// The Secrets Store CSI driver, and the same as Google Kubernetes Engine brings it along.
const CLASS_DRIVERS: [&str; 2] = ["secrets-store.csi.k8s.io", "secrets-store-gke.csi.k8s.io"];

/// One volume, whatever its type.
#[derive(Debug, Default)]
pub struct Volume<'a> {
    /// Name within the pod.
    pub name: Text<'a>,
    /// Secrets that it names: pointer under the volume, name of the Secret.
    pub secrets: Vec<(Cow<'static, str>, Text<'a>)>,
    /// `configMap.name`.
    pub config_map: Option<Text<'a>>,
    /// `projected`: only its Secret sources, with their items.
    pub projected: Vec<ProjectedSecret<'a>>,
    /// Whether the volume is projected from Secrets alone.
    pub only_secrets: bool,
    /// `projected.defaultMode`.
    pub default_mode: Option<i64>,
    /// `csi.driver`.
    pub driver: Option<Text<'a>>,
    /// Whether it mounts a SecretProviderClass: by the drivers that do, and by any other that is told of one.
    pub is_of_class: bool,
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
    #[serde(deserialize_with = "list::<_, _, VOLUMES>")]
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
    #[serde(borrow, deserialize_with = "object")]
    secret_ref: Option<Named<'a>>,
    options: Option<Annotations<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CsiVolume<'a> {
    #[serde(borrow)]
    driver: Option<Text<'a>>,
    volume_attributes: Option<Annotations<'a>>,
    #[serde(deserialize_with = "object")]
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
    #[serde(borrow, deserialize_with = "list::<_, _, VOLUMES>")]
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
                        "secret" => source.secret = map.next_value::<Nullable<_>>()?.0,
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
            "name" => self.name = map.next_value::<Name<'a>>()?.0,
            "secret" => {
                let Nullable(volume) = map.next_value::<Nullable<SecretVolume<'a>>>()?;
                self.names("/secret/secretName", volume.and_then(|volume| volume.secret_name));
            }
            "projected" => self.project(map.next_value::<Nullable<Projected<'a>>>()?.0.unwrap_or_default()),
            "configMap" => {
                let Nullable(volume) = map.next_value::<Nullable<Named<'a>>>()?;
                self.config_map = volume.and_then(|volume| volume.name);
            }
            "csi" => {
                let csi: CsiVolume<'a> = map.next_value::<Nullable<_>>()?.0.unwrap_or_default();
                self.driver = csi.driver;
                self.names(
                    "/csi/nodePublishSecretRef/name",
                    csi.node_publish_secret_ref.and_then(|secret| secret.name),
                );
                for (name, text) in csi.volume_attributes.unwrap_or_default().0 {
                    self.is_of_class |= &*name == CLASS_ATTRIBUTE;
                    self.attributes.push(("/csi/volumeAttributes/", name, text));
                }
                let driver = self.driver.as_deref().unwrap_or_default();
                self.is_of_class |= CLASS_DRIVERS.contains(&driver);
            }
            "azureFile" => {
                let Nullable(volume) = map.next_value::<Nullable<SecretVolume<'a>>>()?;
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
                let volume: GitRepo<'a> = map.next_value::<Nullable<_>>()?.0.unwrap_or_default();
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
        let volume: SecretRefVolume<'a> = map.next_value::<Nullable<_>>()?.0.unwrap_or_default();
        self.names(pointer, volume.secret_ref.and_then(|secret| secret.name));
        for (name, text) in volume.options.unwrap_or_default().0 {
            self.attributes.push(("/flexVolume/options/", name, text));
        }
        Ok(())
    }
}

/// The name of a volume, bounded.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow, deserialize_with = "name")] Text<'a>);

/// Volume types that name no Secret (Kubernetes API reference, `Volume`).
const HARMLESS_VOLUMES: [&str; 17] = [
    "emptyDir",
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
