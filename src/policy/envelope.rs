//! The AdmissionReview around an object, read in one pass: objects of known kinds go straight into their view, those
//! that come before their kind are kept raw and read afterwards. `review` turns it into a Review.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::carriers::{self, json, json::Root};
use super::workload::Kind;
use super::workload::json::{Nullable, Text};
use super::workload::object::{Object, ObjectSeed};

/// What stands around the request.
#[derive(Default)]
pub struct Envelope<'a> {
    /// `admission.k8s.io/v1`, or it is none of ours.
    pub api_version: Text<'a>,
    /// `AdmissionReview`.
    pub kind: Text<'a>,
    /// The request.
    pub request: Option<Request<'a>>,
}

/// The request, as it stands.
#[derive(Default)]
pub struct Request<'a> {
    /// Identity of the call.
    pub uid: Text<'a>,
    /// Kind of the object.
    pub kind: Option<GroupKind<'a>>,
    /// Subresource.
    pub sub_resource: Option<Text<'a>>,
    /// Name of the object.
    pub name: Option<Text<'a>>,
    /// Namespace of the request.
    pub namespace: Option<Text<'a>>,
    /// Operation.
    pub operation: Text<'a>,
    /// Who asks.
    pub user: User<'a>,
    /// Whether nothing will be kept.
    pub dry_run: bool,
    /// The object.
    pub object: Slot<'a>,
    /// What it was before.
    pub old_object: Slot<'a>,
}

/// An object of the request.
#[derive(Default)]
#[expect(clippy::large_enum_variant, reason = "there are two for each review, and a box is an allocation")]
pub enum Slot<'a> {
    /// Not there.
    #[default]
    Empty,
    /// Read; `None` for `null`, and for a kind without a pod template.
    Read(Option<Object<'a>>),
    /// Read; an object of another sync system.
    Foreign(json::Object<'a>),
    /// It came before its kind.
    Raw(&'a RawValue),
}

/// `request.kind`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct GroupKind<'a> {
    /// API group; empty for the core group.
    #[serde(borrow)]
    pub group: Option<Text<'a>>,
    /// Kind.
    pub kind: Option<Text<'a>>,
    /// Version of the group.
    pub version: Option<Text<'a>>,
}

/// `request.userInfo`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct User<'a> {
    /// Name of the user.
    #[serde(borrow)]
    pub username: Option<Text<'a>>,
    /// Their groups.
    pub groups: Option<Vec<Text<'a>>>,
}

impl GroupKind<'_> {
    /// Its row in the table of kinds, if it has a pod template.
    pub fn row<'k>(&self, kinds: &'k [Kind]) -> Option<&'k Kind> {
        let (group, kind) = (self.group.as_deref().unwrap_or_default(), self.kind.as_deref()?);
        kinds.iter().find(|row| row.kind == kind && row.group == group)
    }

    /// Whether it is of another sync system; that goes before a row of the configuration.
    pub fn is_carried(&self) -> bool {
        let (group, kind) = (self.group.as_deref(), self.kind.as_deref());
        carriers::known(group.unwrap_or_default(), kind.unwrap_or_default()).is_some()
    }
}

/// Reads the envelope; `kinds` tells which objects are worth reading.
pub struct EnvelopeSeed<'k> {
    /// The table of kinds.
    pub kinds: &'k [Kind],
}

impl<'de> DeserializeSeed<'de> for EnvelopeSeed<'_> {
    type Value = Envelope<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for EnvelopeSeed<'_> {
    type Value = Envelope<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an AdmissionReview")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match &*key {
                "apiVersion" => envelope.api_version = map.next_value()?,
                "kind" => envelope.kind = map.next_value()?,
                "request" if envelope.request.is_some() => {
                    return Err(serde::de::Error::duplicate_field("request"));
                }
                "request" => envelope.request = Some(map.next_value_seed(RequestSeed { kinds: self.kinds })?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(envelope)
    }
}

struct RequestSeed<'k> {
    kinds: &'k [Kind],
}

impl<'de> DeserializeSeed<'de> for RequestSeed<'_> {
    type Value = Request<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for RequestSeed<'_> {
    type Value = Request<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the request of an AdmissionReview")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut request = Request::default();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match &*key {
                "uid" if !request.uid.is_empty() => return Err(serde::de::Error::duplicate_field("uid")),
                "operation" if !request.operation.is_empty() => {
                    return Err(serde::de::Error::duplicate_field("operation"));
                }
                "namespace" if request.namespace.is_some() => {
                    return Err(serde::de::Error::duplicate_field("namespace"));
                }
                "uid" => request.uid = map.next_value()?,
                "kind" if request.kind.is_some() => return Err(serde::de::Error::duplicate_field("kind")),
                "kind" => request.kind = map.next_value::<Nullable<_>>()?.0,
                "subResource" => request.sub_resource = map.next_value()?,
                "name" => request.name = map.next_value()?,
                "namespace" => request.namespace = map.next_value()?,
                "operation" => request.operation = map.next_value()?,
                "userInfo" => request.user = map.next_value::<Nullable<_>>()?.0.unwrap_or_default(),
                "dryRun" => request.dry_run = map.next_value::<Option<bool>>()?.unwrap_or_default(),
                "object" => request.object = self.slot(&request, &request.object, &mut map)?,
                "oldObject" => request.old_object = self.slot(&request, &request.old_object, &mut map)?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(request)
    }
}

impl RequestSeed<'_> {
    /// An object: read where its kind is known to have a pod template, skipped where it is known to have none, kept raw
    /// where the kind is yet to come.
    fn slot<'de, A: MapAccess<'de>>(
        &self,
        request: &Request<'de>,
        before: &Slot<'de>,
        map: &mut A,
    ) -> Result<Slot<'de>, A::Error> {
        if !matches!(before, Slot::Empty) {
            return Err(serde::de::Error::duplicate_field("object"));
        }
        match &request.kind {
            None => map.next_value().map(Slot::Raw),
            Some(kind) if kind.is_carried() => map.next_value_seed(Root).map(Slot::Foreign),
            Some(kind) => match kind.row(self.kinds) {
                Some(row) => map.next_value_seed(ObjectSeed(row)).map(Slot::Read),
                None => map.next_value::<IgnoredAny>().map(|_| Slot::Read(None)),
            },
        }
    }
}
