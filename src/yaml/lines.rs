//! The lines of a value and of all that is in it, and the values of keys that stand more than once in a map.
//!
//! kubectl and Helm take the last value of such a key. The earlier ones are in the file all the same, so they are kept here, and
//! [`Lines::reading`] puts them back where they stood.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// What one key of a map holds.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: Box<str>,
    /// Line of the key.
    pub line: usize,
    pub inner: Lines,
    /// The value, where a later one took its place.
    pub replaced: Option<Box<Value>>,
}

/// The lines of a value.
#[derive(Debug, Clone)]
pub(super) enum Lines {
    Leaf(usize),
    List { line: usize, items: Vec<Lines>, readings: usize },
    Map { line: usize, entries: Vec<Entry>, readings: usize },
}

impl Lines {
    pub(super) fn list(line: usize, items: Vec<Lines>) -> Self {
        let readings = items.iter().map(Self::readings).max().unwrap_or(1);
        Self::List { line, items, readings }
    }

    pub(super) fn map(line: usize, entries: Vec<Entry>) -> Self {
        let readings = if entries.iter().any(|entry| entry.replaced.is_some()) {
            let mut sums: HashMap<&str, usize> = HashMap::new();
            for entry in &entries {
                let sum = sums.entry(&entry.key).or_default();
                *sum = sum.saturating_add(entry.inner.readings());
            }
            sums.into_values().max()
        } else {
            entries.iter().map(|entry| entry.inner.readings()).max()
        };
        Self::Map { line, entries, readings: readings.unwrap_or(1) }
    }

    pub(super) fn line(&self) -> usize {
        match self {
            Self::Leaf(line) | Self::List { line, .. } | Self::Map { line, .. } => *line,
        }
    }

    /// How often the value must be read so that each value of each key comes up. One, where no key stands twice.
    pub(super) fn readings(&self) -> usize {
        match self {
            Self::Leaf(_) => 1,
            Self::List { readings, .. } | Self::Map { readings, .. } => *readings,
        }
    }

    /// The line of the value that an RFC 6901 pointer names, or of the nearest value around it.
    pub(super) fn line_of(&self, pointer: &str) -> usize {
        let mut lines = self;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let inner = match lines {
                Self::Leaf(_) => None,
                Self::List { items, .. } => token.parse::<usize>().ok().and_then(|index| items.get(index)),
                Self::Map { entries, .. } => {
                    let mut last = entries.iter().filter(|entry| entry.replaced.is_none());
                    last.find(|entry| *entry.key == *token).map(|entry| &entry.inner)
                }
            };
            match inner {
                Some(inner) => lines = inner,
                None => break,
            }
        }
        lines.line()
    }

    /// Hands on every key that a later one replaces, with the pointer to its map.
    pub(super) fn replaced(&self, pointer: &mut String, each: &mut dyn FnMut(&str, &Entry)) {
        if self.readings() < 2 {
            return;
        }
        let end = pointer.len();
        let mut inside = |token: &str, inner: &Self, each: &mut dyn FnMut(&str, &Entry)| {
            pointer.push('/');
            pointer.push_str(token);
            inner.replaced(pointer, each);
            pointer.truncate(end);
        };
        match self {
            Self::Leaf(_) => {}
            Self::List { items, .. } => {
                for (index, inner) in items.iter().enumerate() {
                    inside(&index.to_string(), inner, each);
                }
            }
            Self::Map { entries, .. } => {
                for entry in entries {
                    inside(&entry.key.replace('~', "~0").replace('/', "~1"), &entry.inner, each);
                }
                for entry in entries.iter().filter(|entry| entry.replaced.is_some()) {
                    each(pointer, entry);
                }
            }
        }
    }

    /// One of the readings: the last is `value` itself, the first has the first value of each key.
    pub(super) fn reading(&self, value: &Value, index: usize) -> (Value, Self) {
        if self.readings() < 2 {
            return (value.clone(), self.clone());
        }
        match (self, value) {
            (Self::List { line, items, .. }, Value::Array(values)) => {
                let read = items.iter().zip(values).map(|(inner, value)| inner.reading(value, index));
                let (values, items) = read.unzip();
                (Value::Array(values), Self::list(*line, items))
            }
            (Self::Map { line, entries, .. }, Value::Object(values)) => {
                let (mut map, mut picked) = (Map::new(), Vec::new());
                let mut passed: HashMap<&str, usize> = HashMap::new();
                for entry in entries {
                    let before = passed.entry(&entry.key).or_default();
                    let own = entry.inner.readings();
                    let is_here = index >= *before && (index - *before < own || entry.replaced.is_none());
                    let here = (index.saturating_sub(*before)).min(own - 1);
                    *before += own;
                    if !is_here {
                        continue;
                    }
                    let Some(value) = entry.replaced.as_deref().or_else(|| values.get(&*entry.key)) else {
                        continue;
                    };
                    let (value, inner) = entry.inner.reading(value, here);
                    map.insert(entry.key.to_string(), value);
                    picked.push(Entry { key: entry.key.clone(), line: entry.line, inner, replaced: None });
                }
                // What merges and aliases brought in has no entry.
                for (key, value) in values {
                    if !map.contains_key(key) {
                        map.insert(key.clone(), value.clone());
                    }
                }
                (Value::Object(map), Self::map(*line, picked))
            }
            _ => (value.clone(), self.clone()),
        }
    }
}
