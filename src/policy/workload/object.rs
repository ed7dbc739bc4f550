//! An object as RefGate sees it: its metadata, and its pod template, wherever the kind keeps it, or its data.
//!
//! One pass over the JSON: the pointer of the kind says which keys to descend into, all others are skipped.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::json::{Annotations, Nullable, Text, escape};
use super::pod::{Container, Metadata, PodSpec};
use super::{Kind, SECRET};

/// One object of a review.
#[derive(Debug, Default)]
pub struct Object<'a> {
    /// The object's own metadata. A pod's annotations are its template's and stand there.
    pub metadata: Metadata<'a>,
    /// Metadata between the two, where annotations do nothing: pointer and content (a CronJob's `jobTemplate`).
    pub between: Vec<(String, Metadata<'a>)>,
    /// `None` where the kind has none, or this object leaves it out.
    pub template: Option<Template<'a>>,
    /// What a ConfigMap or the manifest of a Secret holds.
    pub data: Vec<Entry<'a>>,
    /// Whether that is the manifest of a Secret.
    pub is_secret: bool,
}

/// One entry of a ConfigMap or of a Secret.
#[derive(Debug)]
pub struct Entry<'a> {
    /// `data`, `binaryData` or `stringData`.
    pub field: &'static str,
    /// Its key.
    pub key: Text<'a>,
    /// Its value as it is written, in base64 where the field says so.
    pub value: Text<'a>,
}

impl Entry<'_> {
    /// RFC 6901 pointer to its value.
    pub fn pointer(&self) -> String {
        format!("/{}/{}", self.field, escape(&self.key))
    }
}

impl Object<'_> {
    /// Pointers to the entries that are not as they were in `old`.
    pub fn changed(&self, old: &Object<'_>) -> HashSet<String> {
        let key = |entry: &Entry<'_>| (entry.field, entry.key.0.to_string());
        let before: HashMap<_, &str> = old.data.iter().map(|entry| (key(entry), &*entry.value)).collect();
        let is_old = |entry: &&Entry<'_>| before.get(&key(entry)) == Some(&&*entry.value);
        self.data.iter().filter(|entry| !is_old(entry)).map(Entry::pointer).collect()
    }
}

/// A pod template, or a pod.
#[derive(Debug, Default)]
pub struct Template<'a> {
    /// RFC 6901 pointer to it within the object; empty for a pod.
    pub pointer: String,
    /// The annotations that its pods will have.
    pub metadata: Metadata<'a>,
    /// Whether there is such a map: a patch otherwise has to make it.
    pub has_metadata: bool,
    /// The spec.
    pub spec: PodSpec<'a>,
}

/// A container and where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'t, 'a> {
    /// `containers`, `initContainers` or `ephemeralContainers`.
    pub list: &'static str,
    /// Position in that list.
    pub index: usize,
    /// The container itself.
    pub container: &'t Container<'a>,
}

impl<'a> Template<'a> {
    /// The one visitor of containers: init, app and ephemeral ones, in the order in which they start.
    pub fn containers<'t>(&'t self) -> impl Iterator<Item = Place<'t, 'a>> {
        let lists = [
            ("initContainers", &self.spec.init_containers),
            ("containers", &self.spec.containers),
            ("ephemeralContainers", &self.spec.ephemeral_containers),
        ];
        lists.into_iter().flat_map(|(list, containers)| {
            containers.iter().enumerate().map(move |(index, container)| Place { list, index, container })
        })
    }
}

/// Reads one object of a kind; the object may be `null`.
pub struct ObjectSeed<'k>(pub &'k Kind);

impl<'de> DeserializeSeed<'de> for ObjectSeed<'_> {
    type Value = Option<Object<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let mut object = Object::default();
        if self.0.holds_data() {
            object.is_secret = *self.0 == SECRET;
            return Ok(deserializer.deserialize_option(DataSeed(&mut object))?.then_some(object));
        }
        let depth = Depth { object: &mut object, rest: &self.0.pointer, so_far: String::new(), kind: self.0 };
        if !depth.deserialize(deserializer)? {
            return Ok(None);
        }
        if self.0.is_pod()
            && let Some(template) = &mut object.template
        {
            object.metadata.name = template.metadata.name.clone();
            object.metadata.generate_name = template.metadata.generate_name.clone();
        }
        Ok(Some(object))
    }
}

/// An object that holds data. Gives whether there was an object at all.
struct DataSeed<'o, 'a>(&'o mut Object<'a>);

impl<'de> Visitor<'de> for DataSeed<'_, 'de> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut met = 0;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let field = match &*key {
                "data" => ("data", 1),
                "binaryData" => ("binaryData", 2),
                "stringData" => ("stringData", 4),
                "metadata" => {
                    once(&mut met, 8, "metadata")?;
                    self.0.metadata = map.next_value::<Nullable<Metadata<'de>>>()?.0.unwrap_or_default();
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            once(&mut met, field.1, field.0)?;
            let entries = map.next_value::<Option<Annotations<'de>>>()?.unwrap_or_default().0;
            self.0.data.extend(entries.into_iter().map(|(key, value)| Entry { field: field.0, key, value }));
        }
        Ok(true)
    }
}

/// One level on the way to the template. Gives whether there was an object at all.
struct Depth<'o, 'a, 'k> {
    object: &'o mut Object<'a>,
    rest: &'k str,
    so_far: String,
    kind: &'k Kind,
}

impl<'de> DeserializeSeed<'de> for Depth<'_, 'de, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Depth<'_, 'de, '_> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_none<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut met = 0;
        let Some(rest) = self.rest.strip_prefix('/') else {
            let mut template =
                Template { pointer: self.kind.pointer.clone().into_owned(), ..Template::default() };
            while let Some(key) = map.next_key::<Text<'de>>()? {
                match &*key {
                    "metadata" => {
                        once(&mut met, 1, "metadata")?;
                        let Nullable(metadata) = map.next_value()?;
                        template.has_metadata = metadata.is_some();
                        template.metadata = metadata.unwrap_or_default();
                    }
                    "spec" => {
                        once(&mut met, 2, "spec")?;
                        template.spec = map.next_value::<Nullable<_>>()?.0.unwrap_or_default();
                    }
                    _ => drop(map.next_value::<IgnoredAny>()?),
                }
            }
            self.object.template = Some(template);
            return Ok(true);
        };
        let (head, tail) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if &*key == head {
                once(&mut met, 1, "a field on the way to the pod template")?;
                let so_far = format!("{}/{head}", self.so_far);
                map.next_value_seed(Depth {
                    object: &mut *self.object,
                    rest: tail,
                    so_far,
                    kind: self.kind,
                })?;
            } else if &*key == "metadata" {
                once(&mut met, 2, "metadata")?;
                let metadata = map.next_value::<Nullable<Metadata<'de>>>()?.0.unwrap_or_default();
                if self.so_far.is_empty() {
                    self.object.metadata = metadata;
                } else if metadata.annotations.is_some() {
                    self.object.between.push((self.so_far.clone(), metadata));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(true)
    }
}

/// Refuses a field that was met before: which of the two counts, readers do not agree on.
fn once<E: serde::de::Error>(met: &mut u8, bit: u8, field: &'static str) -> Result<(), E> {
    if *met & bit != 0 {
        return Err(E::duplicate_field(field));
    }
    *met |= bit;
    Ok(())
}
