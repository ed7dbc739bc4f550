//! `$(VAR)` as the kubelet expands it, so that nothing can be put together behind our back.
//!
//! Follows Kubernetes, `third_party/forked/golang/expansion`: only earlier entries of `env` count, `$$` is one dollar,
//! what cannot be resolved stays as text. A value that comes from elsewhere (`valueFrom`) cannot be known and stays as
//! text too.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::pod::{Env, Metadata};
use crate::policy::reference::env_value;

/// Most text that the expansions of one pod may make, in bytes. Doubling a value forty times over would be a terabyte.
pub const LIMIT_BYTES: usize = 1 << 20;

/// Stand around what comes from a label or an annotation, in [`Expanded::marked`]: characters that no label can have.
const MARKS: [char; 2] = ['\u{e000}', '\u{e001}'];

/// The value of an entry, as far as it can be known.
#[derive(Debug, PartialEq, Eq)]
pub struct Expanded<'a> {
    /// What the container gets, where every source is there.
    pub text: Cow<'a, str>,
    /// Where labels or annotations are part of it, which can change while the pod runs: the same with marks around those parts.
    pub marked: Option<String>,
    /// What it is instead where a source is missing: an optional one leaves what an entry of the same name before it says.
    pub uncovered: Option<String>,
}

impl<'a> From<&'a str> for Expanded<'a> {
    fn from(text: &'a str) -> Self {
        Self { text: Cow::Borrowed(text), marked: None, uncovered: None }
    }
}

/// The marked text with a word in the place of each marked part.
pub fn substituted(marked: &str, word: &str) -> String {
    let mut parts = marked.split(MARKS[0]);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(word);
        out.push_str(part.split_once(MARKS[1]).map_or(part, |(_, rest)| rest));
    }
    out
}

/// More than [`LIMIT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// The env of one container, expanded as far as it can be known. Costs nothing until the first `$`.
pub struct Expander<'a> {
    /// What `fieldRef: metadata.annotations['key']` and `metadata.labels['key']` read.
    metadata: &'a Metadata<'a>,
    /// The same by key, from the first `fieldRef` on.
    fields: Option<[HashMap<&'a str, &'a str>; 2]>,
    values: Option<HashMap<&'a str, Known<'a>>>,
    /// Whether any of them has another value while its source is missing.
    uncovers: bool,
    /// Variables of which the manifest does not have the value: an annotation puts a reference in its place.
    replaced: HashSet<&'a str>,
    /// Bytes of text that was expanded so far. What is too long once stays so: the next try costs nothing.
    made: usize,
}

/// What is known of a variable, with marks.
#[derive(Default)]
struct Known<'a> {
    /// Nothing where it comes from another object.
    text: Option<Cow<'a, str>>,
    /// Where it differs: what it is while what it comes from is missing.
    uncovered: Option<Cow<'a, str>>,
}

impl<'a> Expander<'a> {
    /// For the containers of one pod, whose annotations and labels a `fieldRef` may read.
    pub fn new(metadata: &'a Metadata<'a>) -> Self {
        Self { metadata, fields: None, values: None, replaced: HashSet::new(), uncovers: false, made: 0 }
    }

    /// Starts on the next container, in which `replaced` have another value than the manifest says; what was made so far still counts.
    pub fn next_container(&mut self, replaced: &HashSet<&'a str>) {
        self.values = None;
        self.replaced.clone_from(replaced);
        self.uncovers = false;
    }

    /// The value of entry `index`, expanded. Entries are asked for in their order.
    pub fn env(&mut self, env: &'a [Env<'a>], index: usize) -> Result<Expanded<'a>, TooLong> {
        let entry = &env[index];
        let text = entry.value.as_deref().unwrap_or_default();
        let elsewhere = self.elsewhere(entry);
        if let Some(text) = elsewhere {
            // Many entries may read one long annotation.
            self.make(text.len())?;
        }
        if self.values.is_none() && !has_dollar(text) {
            return Ok(match elsewhere {
                Some(text) => Expanded { marked: Some(marked(text)), ..text.into() },
                None => text.into(),
            });
        }
        self.know(&env[..index]);
        let (value, uncovered) = match elsewhere {
            Some(text) => (Cow::Owned(marked(text)), None),
            None => {
                let value = self.expand(text, false)?;
                let uncovered = if self.uncovers { Some(self.expand(text, true)?) } else { None };
                let uncovered = uncovered.filter(|text| *text != value);
                (value, uncovered)
            }
        };
        let expanded = Expanded {
            text: self.unmarked(value.clone()),
            marked: self.is_marked(&value).then(|| value.to_string()),
            uncovered: uncovered.clone().map(|text| self.unmarked(text).into_owned()),
        };
        self.remember(entry, value, uncovered);
        Ok(expanded)
    }

    fn make(&mut self, bytes: usize) -> Result<(), TooLong> {
        self.made = self.made.saturating_add(bytes);
        if self.made > LIMIT_BYTES { Err(TooLong) } else { Ok(()) }
    }

    /// Only where a `fieldRef` was read can there be marks of ours.
    fn is_marked(&self, text: &str) -> bool {
        self.fields.is_some() && text.contains(MARKS[0])
    }

    fn unmarked(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        if self.is_marked(&text) { Cow::Owned(text.replace(MARKS, "")) } else { text }
    }

    /// The text of an annotation or label that an entry reads by `fieldRef`: empty where there is none, and not expanded.
    fn elsewhere(&mut self, entry: &Env<'_>) -> Option<&'a str> {
        let path = entry.value_from.as_ref()?.field_path.as_deref()?;
        let (field, rest) = path.strip_prefix("metadata.")?.split_once('[')?;
        let index = ["annotations", "labels"].iter().position(|name| *name == field)?;
        let key = rest.strip_suffix(']')?.trim_matches(['\'', '"']);
        let metadata = self.metadata;
        let fields = self.fields.get_or_insert_with(|| {
            [&metadata.annotations, &metadata.labels].map(|map| {
                let pairs = map.iter().flat_map(|map| &map.0);
                pairs.map(|(key, value)| (&**key, &**value)).collect()
            })
        });
        Some(fields[index].get(key).copied().unwrap_or_default())
    }

    /// A word of a command or an argument, expanded; `env` is the whole env of the container.
    pub fn argument(&mut self, env: &'a [Env<'a>], text: &'a str) -> Result<Cow<'a, str>, TooLong> {
        if !has_dollar(text) {
            return Ok(Cow::Borrowed(text));
        }
        self.know(env);
        let text = self.expand(text, false)?;
        Ok(self.unmarked(text))
    }

    /// Takes in entries without a dollar that were passed over so far.
    fn know(&mut self, env: &'a [Env<'a>]) {
        if self.values.is_none() {
            self.values = Some(HashMap::with_capacity(env.len()));
            for entry in env {
                let text = match self.elsewhere(entry) {
                    Some(text) => Cow::Owned(marked(text)),
                    None => Cow::Borrowed(entry.value.as_deref().unwrap_or_default()),
                };
                self.remember(entry, text, None);
            }
        }
    }

    fn remember(&mut self, entry: &'a Env<'a>, value: Cow<'a, str>, uncovered: Option<Cow<'a, str>>) {
        // What an entry with a reference will hold, its pods know and nobody before them.
        let is_reference = entry.value.as_deref().is_some_and(|value| env_value(value).is_some());
        let is_literal = entry.value_from.is_none() && !is_reference && !self.replaced.contains(&*entry.name);
        let is_known = is_literal || self.elsewhere(entry).is_some();
        if let Some(values) = &mut self.values {
            let known = values.entry(&entry.name).or_default();
            if is_known {
                *known = Known { text: Some(value), uncovered };
            } else if let Some(before) = known.text.take() {
                known.uncovered.get_or_insert(before);
            }
            self.uncovers |= known.uncovered.is_some();
        }
    }

    fn expand(&mut self, text: &'a str, uncovered: bool) -> Result<Cow<'a, str>, TooLong> {
        if !has_dollar(text) {
            return Ok(Cow::Borrowed(text));
        }
        self.make(text.len())?;
        let mut out = String::new();
        for piece in pieces(text) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Variable(name) => self.variable(&mut out, name, uncovered)?,
            }
        }
        Ok(Cow::Owned(out))
    }

    /// The value of a variable, or the text as it stands where it has none.
    fn variable(&mut self, out: &mut String, name: &str, uncovered: bool) -> Result<(), TooLong> {
        let known = self.values.as_ref().and_then(|values| values.get(name));
        let other = known.and_then(|known| known.uncovered.as_ref()).filter(|_| uncovered);
        let Some(value) = other.or(known.and_then(|known| known.text.as_ref())) else {
            out.push_str("$(");
            out.push_str(name);
            out.push(')');
            return Ok(());
        };
        self.made = self.made.saturating_add(value.len());
        if self.made > LIMIT_BYTES {
            return Err(TooLong);
        }
        out.push_str(value);
        Ok(())
    }
}

/// A part of a text, as the kubelet reads it.
enum Piece<'t> {
    Text(&'t str),
    Variable(&'t str),
}

/// The parts of a text, in their order.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    // Once no bracket closes any more, none will: looking for it at each `$(` would be quadratic.
    let mut closes = true;
    std::iter::from_fn(move || {
        let plain = memchr::memchr(b'$', rest.as_bytes()).unwrap_or(rest.len());
        if plain > 0 {
            let (text, tail) = rest.split_at(plain);
            rest = tail;
            return Some(Piece::Text(text));
        }
        let after = rest.strip_prefix('$')?;
        let variable = after.strip_prefix('(').filter(|_| closes).map(|inner| inner.split_once(')'));
        closes &= variable != Some(None);
        let (piece, tail) = match variable {
            Some(Some((name, tail))) => (Piece::Variable(name), tail),
            _ => (Piece::Text("$"), after.strip_prefix('$').unwrap_or(after)),
        };
        rest = tail;
        Some(piece)
    })
}

/// The variables that a text uses by `$(NAME)`, in their order.
pub fn variables(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|piece| match piece {
        Piece::Variable(name) => Some(name),
        Piece::Text(_) => None,
    })
}

fn marked(text: &str) -> String {
    format!("{}{text}{}", MARKS[0], MARKS[1])
}

fn has_dollar(text: &str) -> bool {
    memchr::memchr(b'$', text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(entries: &[(&str, &str)]) -> Result<String, TooLong> {
        let json: Vec<_> = entries
            .iter()
            .map(|(name, value)| match *value {
                "(elsewhere)" => {
                    serde_json::json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": "x"}}})
                }
                _ => serde_json::json!({"name": name, "value": value}),
            })
            .collect();
        let json = serde_json::to_string(&json).unwrap();
        let env: Vec<Env<'_>> = serde_json::from_str(&json).unwrap();
        let metadata = Metadata::default();
        let mut expander = Expander::new(&metadata);
        let mut result = Ok(String::new());
        for index in 0..env.len() {
            result = expander.env(&env, index).map(|value| value.text.into_owned());
        }
        result
    }

    #[test]
    fn expands_as_the_kubelet_does() {
        for (entries, value) in [
            (&[("A", "x"), ("B", "pre-$(A)-post")][..], "pre-x-post"),
            (&[("B", "$(A)"), ("A", "x"), ("C", "$(B)")], "$(A)"),
            (&[("A", "x"), ("B", "$$(A)")], "$(A)"),
            (&[("A", "x"), ("B", "$$$(A)")], "$x"),
            (&[("A", "(elsewhere)"), ("B", "u:$(A)@h")], "u:$(A)@h"),
            (&[("A", "x"), ("A", "y"), ("B", "$(A)")], "y"),
            (&[("A", "x"), ("B", "$(A")], "$(A"),
            (&[("A", "x"), ("B", "cost $5 é$é $")], "cost $5 é$é $"),
            (&[("A", "$(B)"), ("B", "x"), ("C", "$(A)")], "$(B)"),
            (&[("A", "x"), ("B", "$(A)"), ("C", "$(B)$(B)")], "xx"),
            (&[("A", "x"), ("B", "$($(A)$(")], "$($(A)$("),
            (&[("A", "secret:a"), ("B", "u:$(A)@h")], "u:$(A)@h"),
            (&[("A", "secre"), ("B", "$(A)t:a")], "secret:a"),
        ] {
            assert_eq!(last(entries).as_deref(), Ok(value), "{entries:?}");
        }
    }

    #[test]
    fn doubling_ends() {
        let names: Vec<String> = (0..64).map(|index| format!("A{index}")).collect();
        let values: Vec<String> = (0..64)
            .map(|index: usize| if index == 0 { "ab".into() } else { format!("$(A{0})$(A{0})", index - 1) })
            .collect();
        let entries: Vec<(&str, &str)> =
            names.iter().zip(&values).map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(last(&entries), Err(TooLong));
    }
}
