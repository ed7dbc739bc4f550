//! One secret to a Secret: its keys, its type, its labels and annotations; and what a Secret that is there holds of it.
//!
//! Values pass through here and are compared by a digest. What is encoded for the API server is a buffer of the client,
//! which is not ours to overwrite.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::manager::{Fetched, Listed, SecretValue};
use crate::policy::path::{self, SecretPath, secret_name};

/// Label of every Secret that is ours, and its value.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "refgate");
/// Annotation: the path.
pub const PATH: &str = "refgate.dev/path";
/// Annotation: the version of the secret manager.
pub const VERSION: &str = "refgate.dev/version";
/// Annotation: when that version was made.
pub const VERSION_CREATED: &str = "refgate.dev/version-created";
/// Annotation: when the sync last changed the data.
pub const CHANGED: &str = "refgate.dev/changed";
/// Annotation: the keys of the data, as a JSON list.
pub const KEYS: &str = "refgate.dev/keys";
/// Annotation: why the data is no longer followed.
pub const SOURCE: &str = "refgate.dev/source";
/// Tag of a secret that asks for a type of Secret.
pub const TYPE_TAG: &str = "refgate.dev/type";

/// By how much the clocks of two replicas may differ.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Most bytes of all values of a Secret together (Kubernetes, `MaxSecretSize`).
const MAX_DATA_BYTES: usize = 1 << 20;
/// Most bytes of the list of keys: all annotations of an object together have 256 KiB.
const MAX_KEYS_BYTES: usize = 128 << 10;

/// A hash of data, to compare it by. It is not printed: who sees it can confirm a guess.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Digest")
    }
}

/// Why a secret cannot become a Secret. No value, and no name of a property, which may be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Over what a Secret may hold.
    #[error("its properties together are larger than a Secret may be")]
    TooLarge,
    /// A tag that asks for a type that there is not.
    #[error(
        "its tag refgate.dev/type asks for a type that the sync does not make; known are kubernetes.io/tls and kubernetes.io/dockerconfigjson"
    )]
    UnknownType,
    /// Not what a pair of certificate and key looks like.
    #[error("its tag asks for kubernetes.io/tls, and it is no JSON object with tls.crt and tls.key in PEM")]
    NoTls,
    /// Not what registry credentials look like.
    #[error("its tag asks for kubernetes.io/dockerconfigjson, and it is no JSON object with auths")]
    NoDockerConfig,
}

/// What is known of a Secret's data without the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Its type.
    pub kind: &'static str,
    /// The keys, sorted.
    pub keys: Vec<String>,
    /// Of the data.
    pub digest: Digest,
}

/// What a Secret should hold, with the values.
#[derive(Debug)]
pub struct Desired {
    /// The path.
    pub path: String,
    /// The version of the manager.
    pub version: String,
    /// When that was made.
    pub created: Option<Timestamp>,
    /// What can be said of the data.
    pub shape: Shape,
    data: BTreeMap<String, SecretValue>,
}

impl Desired {
    /// What a secret comes to, as its tag asks.
    pub fn new(path: &str, fetched: &Fetched, tag: Option<&str>) -> Result<Self, Unfit> {
        let (kind, data) = data(fetched, tag)?;
        let keys: Vec<String> = data.keys().cloned().collect();
        let bytes: usize = data.values().map(|value| value.expose().len()).sum();
        if bytes > MAX_DATA_BYTES || keys_text(&keys).len() > MAX_KEYS_BYTES {
            return Err(Unfit::TooLarge);
        }
        let digest = digest(data.iter().map(|(key, value)| (key.as_str(), value.expose())));
        let (version, created) = (fetched.version.clone(), fetched.created);
        Ok(Self { path: path.to_owned(), version, created, shape: Shape { kind, keys, digest }, data })
    }

    /// All values, in no order that means anything.
    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.data.values().map(SecretValue::expose)
    }

    /// The Secret as it is sent: for a POST, or with the uid of the one that is there, for a server-side apply.
    pub fn body(&self, namespace: &str, uid: Option<&str>, changed: Timestamp) -> Vec<u8> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            api_version: &'static str,
            kind: &'static str,
            metadata: Meta<'a>,
            r#type: &'static str,
            data: Data<'a>,
        }
        #[derive(Serialize)]
        struct Meta<'a> {
            name: String,
            namespace: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            uid: Option<&'a str>,
            labels: BTreeMap<&'static str, &'static str>,
            annotations: BTreeMap<&'static str, String>,
        }
        let mut annotations = BTreeMap::from([
            (PATH, self.path.clone()),
            (VERSION, self.version.clone()),
            (CHANGED, changed.to_string()),
            (KEYS, keys_text(&self.shape.keys)),
        ]);
        annotations.extend(self.created.map(|created| (VERSION_CREATED, created.to_string())));
        let body = Body {
            api_version: "v1",
            kind: "Secret",
            metadata: Meta {
                name: secret_name(&self.path),
                namespace,
                uid,
                labels: BTreeMap::from([MANAGED_BY]),
                annotations,
            },
            r#type: self.shape.kind,
            data: Data(&self.data),
        };
        serde_json::to_vec(&body).expect("texts and numbers are JSON")
    }
}

/// Values as base64, written where they go without a text of their own in between.
struct Data<'a>(&'a BTreeMap<String, SecretValue>);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Encoded<'a>(&'a [u8]);
        impl Serialize for Encoded<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
            }
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, &Encoded(value.expose()))?;
        }
        map.end()
    }
}

/// The keys and their values: the whole, each property of a JSON object, and what the type demands.
fn data(
    fetched: &Fetched,
    tag: Option<&str>,
) -> Result<(&'static str, BTreeMap<String, SecretValue>), Unfit> {
    let mut data = BTreeMap::from([(path::WHOLE.to_owned(), fetched.value.clone())]);
    let properties = properties(fetched);
    for (property, value) in properties.iter().flatten() {
        // No reference can name a property that has no name, or whose key would be too long.
        if let Some(key) = path::property_key(property) {
            data.insert(key, value.clone());
        }
    }
    let find = |name: &str| properties.as_ref()?.get(name).cloned();
    let kind = match tag {
        None | Some("Opaque") => "Opaque",
        Some("kubernetes.io/tls") => {
            let pem = |name: &str, words: &str| {
                find(name).filter(|value| memchr::memmem::find(value.expose(), words.as_bytes()).is_some())
            };
            let pair = pem("tls.crt", "-----BEGIN CERTIFICATE-----").zip(pem("tls.key", "PRIVATE KEY-----"));
            let (certificate, key) = pair.ok_or(Unfit::NoTls)?;
            data.extend([("tls.crt".to_owned(), certificate), ("tls.key".to_owned(), key)]);
            "kubernetes.io/tls"
        }
        Some("kubernetes.io/dockerconfigjson") => {
            let auths = find("auths").ok_or(Unfit::NoDockerConfig)?;
            if auths.expose().first() != Some(&b'{') {
                return Err(Unfit::NoDockerConfig);
            }
            data.insert(".dockerconfigjson".to_owned(), fetched.value.clone());
            "kubernetes.io/dockerconfigjson"
        }
        Some(_) => return Err(Unfit::UnknownType),
    };
    Ok((kind, data))
}

/// The properties of a JSON object: texts as what they say, everything else as it is written. `None` where it is no object.
fn properties(fetched: &Fetched) -> Option<BTreeMap<String, SecretValue>> {
    if !fetched.is_text {
        return None;
    }
    let map: BTreeMap<String, &RawValue> = serde_json::from_slice(fetched.value.expose()).ok()?;
    let value = |raw: &RawValue| {
        let text = serde_json::from_str::<String>(raw.get()).unwrap_or_else(|_| raw.get().to_owned());
        SecretValue::new(text.into_bytes())
    };
    Some(map.into_iter().map(|(name, raw)| (name, value(raw))).collect())
}

fn digest<'a>(data: impl Iterator<Item = (&'a str, &'a [u8])>) -> Digest {
    let mut hash = Sha256::new();
    for (key, value) in data {
        // With their lengths, so that nothing can move from one to its neighbour.
        for part in [key.as_bytes(), value] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    Digest(hash.finalize().into())
}

fn keys_text(keys: &[String]) -> String {
    serde_json::to_string(keys).expect("a list of texts is JSON")
}

/// A Secret that is there and claims to be ours. No values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name, which is that of its path.
    pub name: String,
    /// Identity: another Secret of the same name has another one.
    pub uid: String,
    /// The path that it claims.
    pub path: String,
    /// `refgate.dev/version`.
    pub version: Option<String>,
    /// `refgate.dev/version-created`.
    pub created: Option<String>,
    /// `refgate.dev/changed`, where it reads as a time.
    pub changed: Option<Timestamp>,
    /// When it was made, by the API server.
    pub made: Option<Timestamp>,
    /// `refgate.dev/source`.
    pub mark: Option<String>,
    /// Its type.
    pub kind: String,
    /// Whether its data cannot be changed any more.
    pub immutable: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// The keys that it has.
    pub keys: Vec<String>,
    /// Of its data.
    pub digest: Digest,
    /// Whether `refgate.dev/keys` says so.
    pub keys_said: bool,
}

/// What stands under the label of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// One of ours.
    Ours(Box<Held>),
    /// A claim that the sync never made: the name is not that of the path. It is left alone, and counts for nothing.
    Forged(String),
}

#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow)]
    metadata: SeenMeta<'a>,
    #[serde(default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(default)]
    immutable: Option<bool>,
    #[serde(borrow, default)]
    data: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeenMeta<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow, default)]
    annotations: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    #[serde(default)]
    creation_timestamp: Option<Timestamp>,
    #[serde(default)]
    deletion_timestamp: Option<String>,
}

/// The values of a Secret, whosever it is; `None` for one that cannot be read.
pub fn values(raw: &str) -> Option<Vec<Zeroizing<Vec<u8>>>> {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow, default)]
        data: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
    }
    let Data { data } = serde_json::from_str(raw).ok()?;
    data.unwrap_or_default()
        .values()
        .map(|text| Some(Zeroizing::new(STANDARD.decode(text.as_bytes()).ok()?)))
        .collect()
}

/// Reads a Secret; `None` for one that cannot be read. Its values are hashed, and not kept.
pub fn claim(raw: &str) -> Option<Claim> {
    let seen: Seen<'_> = serde_json::from_str(raw).ok()?;
    let annotations = seen.metadata.annotations.unwrap_or_default();
    let said = |key: &str| annotations.get(key).map(|text| text.clone().into_owned());
    let name = seen.metadata.name.into_owned();
    let path = said(PATH).unwrap_or_default();
    if SecretPath::absolute(&path).is_err() || secret_name(&path) != name {
        return Some(Claim::Forged(name));
    }
    let mut data = BTreeMap::new();
    for (key, text) in seen.data.unwrap_or_default() {
        data.insert(key.into_owned(), Zeroizing::new(STANDARD.decode(text.as_bytes()).ok()?));
    }
    let keys: Vec<String> = data.keys().cloned().collect();
    Some(Claim::Ours(Box::new(Held {
        name,
        uid: seen.metadata.uid.into_owned(),
        path,
        version: said(VERSION),
        created: said(VERSION_CREATED),
        changed: said(CHANGED).and_then(|text| text.parse().ok()),
        made: seen.metadata.creation_timestamp,
        mark: said(SOURCE),
        kind: seen.kind.into_owned(),
        immutable: seen.immutable.unwrap_or_default(),
        terminating: seen.metadata.deletion_timestamp.is_some(),
        keys_said: said(KEYS).is_some_and(|text| text == keys_text(&keys)),
        digest: digest(data.iter().map(|(key, value)| (key.as_str(), value.as_slice()))),
        keys,
    })))
}

/// What the last fetch of a path said, without the value: as long as the manager lists the same, it is not fetched again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What the list said when it was fetched: lists may lag behind.
    listed: Option<String>,
    tag: Option<String>,
    /// The version that came.
    pub version: String,
    /// When that was made.
    pub created: Option<Timestamp>,
    /// What comes of it.
    pub shape: Result<Shape, Unfit>,
}

impl Known {
    /// Of a secret that was fetched.
    pub fn new(listed: &Listed, fetched: &Fetched, desired: Result<&Desired, &Unfit>) -> Self {
        Self {
            listed: listed.version.clone(),
            tag: listed.tags.get(TYPE_TAG).cloned(),
            version: fetched.version.clone(),
            created: fetched.created,
            shape: desired.map(|desired| desired.shape.clone()).map_err(Clone::clone),
        }
    }

    /// Whether the list still says what it said then.
    pub fn is_current(&self, listed: &Listed) -> bool {
        self.listed == listed.version && self.tag.as_ref() == listed.tags.get(TYPE_TAG)
    }
}

impl Held {
    /// Whether nothing has to be written: the data, and what is said of it.
    pub fn is_as(&self, shape: &Shape, version: &str, created: Option<Timestamp>, now: Timestamp) -> bool {
        self.digest == shape.digest
            && !self.is_to_replace(shape)
            && self.version.as_deref() == Some(version)
            && self.created == created.map(|created| created.to_string())
            && self.keys_said
            && self.changed_by(now).is_some()
    }

    /// When the data changed. A time that is still to come was written by a clock that had jumped, or forged: every pod is
    /// behind it, and its successor too.
    pub fn changed_by(&self, now: Timestamp) -> Option<Timestamp> {
        self.changed.filter(|changed| changed.duration_since(now) <= SKEW)
    }

    /// Whether it cannot become what it should be.
    pub fn is_to_replace(&self, shape: &Shape) -> bool {
        self.immutable || self.kind != shape.kind
    }
}

#[cfg(test)]
mod tests;
