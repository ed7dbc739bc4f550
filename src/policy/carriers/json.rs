//! A foreign object as borrowed JSON: what the schema of another system says, nobody here has as a type.
//!
//! Strings borrow from the bytes of the review. Two fields of one name are refused, since readers do not agree on which of
//! them counts, and what the API server keeps for itself (`status`, `managedFields`) is skipped, not built.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::policy::workload::json::Text;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json<'a> {
    /// `null`, which reads like a field that is not there.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any number; none is ever looked at.
    Number,
    /// A string.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Json<'a>>),
    /// An object, in the order in which its fields stand.
    Map(Vec<(Cow<'a, str>, Json<'a>)>),
}

/// For a field that is not there.
const NULL: Json<'static> = Json::Null;

impl<'a> Json<'a> {
    /// Reads a whole object.
    pub fn object(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let object = Root.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(object)
    }

    /// A field; `Null` where there is none, or nothing that has fields. Inlined, a key of the code is compared as an integer.
    #[inline]
    pub fn get(&self, key: &str) -> &Json<'a> {
        match self {
            Self::Map(fields) => {
                fields.iter().find(|(name, _)| name == key).map_or(&NULL, |(_, value)| value)
            }
            _ => &NULL,
        }
    }

    /// The fields; none where it is no object.
    pub fn fields(&self) -> &[(Cow<'a, str>, Json<'a>)] {
        match self {
            Self::Map(fields) => fields,
            _ => &[],
        }
    }

    /// The elements; none where it is no list.
    pub fn items(&self) -> &[Json<'a>] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is `null` or not there.
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor { skips: &[] })
    }
}

/// The object itself: of its fields some are not worth building.
pub struct Root;

impl<'de> DeserializeSeed<'de> for Root {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(AnyVisitor { skips: &["status", "metadata"] })
    }
}

/// Reads one value; of an object it builds no field that `skips` names, but for what is wanted of `metadata`.
struct AnyVisitor {
    skips: &'static [&'static str],
}

impl<'de> DeserializeSeed<'de> for AnyVisitor {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Json<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any JSON")
    }
    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }
    fn visit_i64<E>(self, _: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Json<'de>, E> {
        Ok(Json::Number)
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }
    fn visit_string<E>(self, text: String) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, Json<'de>)> = Vec::with_capacity(FIELDS);
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            let value = match self.skips.contains(&&*key) {
                false => map.next_value()?,
                true if key == "metadata" => map.next_value_seed(AnyVisitor { skips: &["managedFields"] })?,
                true => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            fields.push((key, value));
        }
        if has_doubles(&fields) {
            return Err(A::Error::custom("duplicate field"));
        }
        Ok(Json::Map(fields))
    }
}

/// Room for the fields of most objects that there are many of.
const FIELDS: usize = 6;
/// So many fields are compared each with each; of more a set is made.
const FEW: usize = 16;

fn has_doubles(fields: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    if fields.len() > FEW {
        let mut seen = HashSet::with_capacity(fields.len());
        return !fields.iter().all(|(key, _)| seen.insert(&**key));
    }
    fields.iter().enumerate().any(|(index, (key, _))| fields[..index].iter().any(|(other, _)| other == key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_keeps_for_itself_is_skipped() {
        let text = r#"{"metadata": {"name": "x", "managedFields": [{"a": 1}]}, "status": {"a": "b"}, "spec": {"status": "s"}}"#;
        let object = Json::object(text).unwrap();
        assert!(object.get("status").is_null());
        assert!(object.get("metadata").get("managedFields").is_null());
        assert_eq!(object.get("metadata").get("name").text(), Some("x"));
        assert_eq!(object.get("spec").get("status").text(), Some("s"));
    }

    #[test]
    fn doubled_fields_are_refused_however_many_there_are() {
        let many = (0..40).map(|number| format!(r#""k{number}": 1,"#)).collect::<String>();
        for text in [r#"{"a": 1, "a": 2}"#.to_owned(), format!("{{{many} \"k7\": 2}}")] {
            assert!(Json::object(&text).is_err(), "{text}");
        }
        assert!(Json::object(&format!("{{{many} \"k\": 2}}")).is_ok());
    }
}
