//! Strings, maps of strings and lists as the views of a pod hold them: borrowed from the bytes where that is possible.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

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

/// Most containers in one list of a pod; kubelets stop far below.
pub const CONTAINERS: usize = 1_000;
/// Most volumes of a pod, mounts of a container, and sources or items of a projected volume.
pub const VOLUMES: usize = 5_000;
/// Most entries of any other list: env, arguments, annotations. 40,000 env entries are what fits into etcd.
pub const ENTRIES: usize = 50_000;

/// Longest name of a container or a volume, and longest key of an annotation, in bytes: no legal one is longer, and
/// messages repeat them.
const NAME_BYTES: usize = 512;

/// A name that is bounded, since messages repeat it.
pub fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Text<'de>, D::Error> {
    let text = Text::deserialize(deserializer)?;
    bounded(&text)?;
    Ok(text)
}

fn bounded<E: serde::de::Error>(name: &str) -> Result<(), E> {
    if name.len() > NAME_BYTES {
        return Err(E::invalid_length(name.len(), &"a name of at most 512 bytes"));
    }
    Ok(())
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
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    bounded(&key)?;
                    let value: Option<Text<'de>> = map.next_value()?;
                    if pairs.len() == ENTRIES {
                        let most = format!("a map of at most {ENTRIES} strings");
                        return Err(serde::de::Error::invalid_length(ENTRIES + 1, &&*most));
                    }
                    pairs.push((key, value.unwrap_or_default()));
                }
                Ok(Annotations(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
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

/// An object, and nothing else: what serde derives for a struct also reads a list of its fields.
struct Strict<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for MapVisitor<T> {
            type Value = T;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(MapVisitor(PhantomData)).map(Self)
    }
}

/// An object, or `null`.
pub struct Nullable<T>(pub Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::<Strict<T>>::deserialize(deserializer)?.map(|strict| strict.0)))
    }
}

/// An object, or `null`, for a field.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Nullable::deserialize(deserializer).map(|nullable| nullable.0)
}

/// The same on the heap: what few containers have should not make all of them large.
pub fn boxed<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Box<T>>, D::Error> {
    Ok(object(deserializer)?.map(Box::new))
}

/// A list of strings that reads `null` as empty, both in its place and in it: so does the API server.
pub fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Text<'de>>, D::Error> {
    let texts = elements::<D, Option<Text<'de>>, ENTRIES>(deserializer)?.unwrap_or_default();
    Ok(texts.into_iter().map(Option::unwrap_or_default).collect())
}

/// A list of objects that reads `null` as empty, of at most `MOST` elements.
pub fn list<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(optional_list::<D, T, MOST>(deserializer)?.unwrap_or_default())
}

/// A list of objects that may be `null`, of at most `MOST` elements.
pub fn optional_list<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    // `Strict<T>` is nothing but a `T`, and the compiler turns the one list into the other in place.
    let list = elements::<D, Strict<T>, MOST>(deserializer)?;
    Ok(list.map(|list| list.into_iter().map(|strict| strict.0).collect()))
}

/// A list that may be `null`, of at most `MOST` elements: an element takes many times the bytes that `{}` does, and no
/// request may use memory without bound. Room for a few is made at once, since growing costs more.
fn elements<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct ListVisitor<T, const MOST: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for ListVisitor<T, MOST> {
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
                if all.len() == MOST {
                    let most = format!("a list of at most {MOST}");
                    return Err(serde::de::Error::invalid_length(MOST + 1, &&*most));
                }
                if all.is_empty() {
                    all.reserve((512 / size_of::<T>().max(1)).clamp(1, 8));
                }
                all.push(item);
            }
            Ok(Some(all))
        }
    }
    deserializer.deserialize_option(ListVisitor::<T, MOST>(PhantomData))
}
