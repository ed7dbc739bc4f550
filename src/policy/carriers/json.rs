//! A foreign object as borrowed JSON: what the schema of another system says, nobody here has as a type.
//!
//! Strings borrow from the bytes of the review. Two fields of one name are refused, since readers do not agree on which of
//! them counts, and what the API server keeps for itself (`status`, `managedFields`) is skipped, not built.
//!
//! Who reads an object may keep a pointer for each value of it. What that comes to is bounded here, once for all readers: what
//! is beyond is not built, and said.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::policy::workload::json::Text;

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json<'a> {
    /// `null`, which reads like a field that is not there.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number. Of those that are looked at each is whole and small; any other is `None`.
    Number(Option<u32>),
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

/// An object as far as it was built, and what there is too much of, if anything.
#[derive(Debug)]
pub struct Object<'a> {
    /// What was built.
    pub json: Json<'a>,
    /// Why it is not all of it.
    pub excess: Option<Excess>,
}

/// What an object of a carrier has too much of. No object that works has any of it: keys of Kubernetes have 253 bytes, those
/// of annotations 317, and etcd stores 1.5 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// A key of so many bytes.
    Key(usize),
    /// The keys down to a field, so many bytes together.
    Pointer(usize),
    /// Values.
    Values,
    /// The keys down to each of its fields, all of these together.
    Pointers,
}

/// Longest key.
const KEY_BYTES: usize = 1_024;
/// Longest way down to a field. A thousand findings in one text have a pointer each.
const POINTER_BYTES: usize = 4_096;
/// Most values. Of the smallest entries that say anything, 1.5 MiB hold half as many.
const VALUES: usize = 1 << 18;
/// Most bytes of all pointers together: in objects that people make they come to twice the object.
const POINTERS_BYTES: usize = 8 << 20;

impl fmt::Display for Excess {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(bytes) => {
                write!(
                    out,
                    "it has a key of {bytes} bytes, and no field of Kubernetes has one of more than {KEY_BYTES}"
                )?;
            }
            Self::Pointer(bytes) => write!(
                out,
                "it has a field whose keys, from the top down, come to {bytes} bytes, and more than {POINTER_BYTES} are not read"
            )?,
            Self::Values => write!(out, "it has more than {VALUES} values")?,
            Self::Pointers => write!(
                out,
                "the keys down to each of its fields come to more than {} MiB",
                POINTERS_BYTES >> 20
            )?,
        }
        out.write_str("; so it was not read to its end, and what was not read is not let in")
    }
}

/// What of an object was built so far.
#[derive(Default)]
struct Built {
    values: Cell<usize>,
    pointers: Cell<usize>,
    excess: Cell<Option<Excess>>,
}

/// Values before fields are given no room beforehand: what is as large is not one of many.
const SMALL: usize = 4_096;

impl Built {
    /// Whether a value may be built whose pointer has so many bytes, the last of them those of its key.
    fn takes(&self, key: usize, pointer: usize) -> bool {
        let (values, pointers) = (self.values.get() + 1, self.pointers.get() + pointer);
        let excess = match () {
            () if key > KEY_BYTES => Excess::Key(key),
            () if pointer > POINTER_BYTES => Excess::Pointer(pointer),
            () if values > VALUES => Excess::Values,
            () if pointers > POINTERS_BYTES => Excess::Pointers,
            () => {
                self.values.set(values);
                self.pointers.set(pointers);
                return true;
            }
        };
        // The first is said.
        self.excess.set(self.excess.get().or(Some(excess)));
        false
    }

    fn is_small(&self) -> bool {
        self.values.get() < SMALL
    }
}

impl<'a> Object<'a> {
    /// Reads a whole object.
    pub fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let object = Root.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(object)
    }
}

/// The object itself: of its fields some are not worth building.
pub struct Root;

impl<'de> DeserializeSeed<'de> for Root {
    type Value = Object<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object<'de>, D::Error> {
        let built = Built::default();
        let visitor = AnyVisitor { skips: &["status", "metadata"], pointer: 0, built: &built };
        let json = deserializer.deserialize_any(visitor)?;
        Ok(Object { json, excess: built.excess.get() })
    }
}

/// Reads one value; of an object it builds no field that `skips` names, but for what is wanted of `metadata`.
#[derive(Clone, Copy)]
struct AnyVisitor<'b> {
    skips: &'static [&'static str],
    /// The bytes of its pointer.
    pointer: usize,
    built: &'b Built,
}

impl<'de> DeserializeSeed<'de> for AnyVisitor<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyVisitor<'_> {
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
    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(u32::try_from(number).ok()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(u32::try_from(number).ok()))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Json<'de>, E> {
        Ok(Json::Number(None))
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
        // A slash, and as many digits as the largest index of any list that is built.
        let pointer = self.pointer + 7;
        let inner = Self { skips: &[], pointer, ..self };
        while self.built.takes(0, pointer) {
            let Some(item) = list.next_element_seed(inner)? else { return Ok(Json::List(items)) };
            items.push(item);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let is_small = self.built.is_small();
        let mut fields: Vec<(Cow<'de, str>, Json<'de>)> =
            Vec::with_capacity(if is_small { FIELDS } else { 0 });
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            let is_skipped = self.skips.contains(&&*key);
            let pointer = self.pointer + 1 + key.len();
            if (is_skipped && key != "metadata") || !self.built.takes(key.len(), pointer) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let skips: &[&str] = if is_skipped { &["managedFields"] } else { &[] };
            let value = map.next_value_seed(Self { skips, pointer, ..self })?;
            fields.push((key, value));
        }
        if has_doubles(&fields) {
            return Err(A::Error::custom("duplicate field"));
        }
        if !is_small {
            fields.shrink_to_fit();
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
        let object = Object::read(text).unwrap().json;
        assert!(object.get("status").is_null());
        assert!(object.get("metadata").get("managedFields").is_null());
        assert_eq!(object.get("metadata").get("name").text(), Some("x"));
        assert_eq!(object.get("spec").get("status").text(), Some("s"));
    }

    #[test]
    fn doubled_fields_are_refused_however_many_there_are() {
        let many = (0..40).map(|number| format!(r#""k{number}": 1,"#)).collect::<String>();
        for text in [r#"{"a": 1, "a": 2}"#.to_owned(), format!("{{{many} \"k7\": 2}}")] {
            assert!(Object::read(&text).is_err(), "{text}");
        }
        assert!(Object::read(&format!("{{{many} \"k\": 2}}")).is_ok());
    }

    #[test]
    fn what_is_beyond_the_bounds_is_not_built_and_said() {
        let chain = |keys: usize| {
            format!("{}1{}", format!("{{\"{}\":", "k".repeat(500)).repeat(keys), "}".repeat(keys))
        };
        let (key, long) = ("k".repeat(1_024), "k".repeat(1_025));
        let rows = [
            (format!(r#"{{"{key}": 1, "b": 2}}"#), None),
            (format!(r#"{{"{long}": 1, "b": 2}}"#), Some(Excess::Key(1_025))),
            (chain(8), None),
            (chain(9), Some(Excess::Pointer(9 * 501))),
            (format!("[{}1]", "1,".repeat(VALUES - 2)), None),
            (format!("[{}1]", "1,".repeat(VALUES)), Some(Excess::Values)),
            (format!(r#"{{"{key}": {{"{key}": [{}1]}}}}"#, "1,".repeat(5_000)), Some(Excess::Pointers)),
        ];
        for (text, expected) in rows {
            let object = Object::read(&text).unwrap();
            assert_eq!(object.excess, expected, "{:.80}", text);
        }
        let text = format!(r#"{{"{long}": 1, "b": "2"}}"#);
        let kept = Object::read(&text).unwrap().json;
        assert_eq!((kept.fields().len(), kept.get("b").text()), (1, Some("2")));
    }
}
