//! What the entries of a ConfigMap hold, or of the manifest of a Secret: single values under their keys, and whole files; in
//! ConfigMaps also references of other systems.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::foreign::signs::{DOLLAR, Signs};
use super::foreign::{self, data};
use super::judge::Walk;
use super::leftover;
use super::message;
use super::reference::env_value;
use super::rules::Place as At;
use super::spot::{Spot, borrowed, candidate};
use super::stray::Form;
use super::workload::object::{Entry, Object};

/// What an entry is once it is decoded.
enum Content<'t> {
    /// Text.
    Text(Cow<'t, str>),
    /// Bytes that are no text, as far as they can be read as one: a bad byte hides nothing.
    Bytes(String),
}

impl<'t> Walk<'_, 't> {
    /// Every entry of an object that holds data.
    pub(super) fn entries(&mut self, object: &'t Object<'_>) {
        let at = if object.is_secret { At::Secret } else { At::ConfigMap };
        for entry in &object.data {
            let pointer = || entry.pointer();
            let is_encoded = entry.field == "binaryData" || (object.is_secret && entry.field == "data");
            let content = if is_encoded { decoded(entry) } else { Content::Text(borrowed(&entry.value)) };
            let text = match content {
                Content::Text(text) => text,
                Content::Bytes(text) => {
                    let candidate = candidate(at, Some(&entry.key), &text, None);
                    if at == At::ConfigMap {
                        self.is_foreign(entry, &text);
                    }
                    let spot = Spot {
                        candidate,
                        text: Cow::Owned(text.clone()),
                        container: None,
                        key: Some(&entry.key),
                        pointer: &pointer,
                    };
                    // A keystore in a Secret's manifest is a value as any other.
                    match at {
                        At::Secret => self.scan(&spot),
                        _ => self.scan_shapes(&spot),
                    }
                    continue;
                }
            };
            if at == At::ConfigMap && self.is_reference(&text) {
                self.note(pointer(), message::NOT_IN_CONFIG_MAPS.to_owned());
                continue;
            }
            if at == At::ConfigMap && self.is_foreign(entry, &text) {
                continue;
            }
            let name = name(&entry.key, &text);
            let candidate = candidate(at, name, &text, None);
            let found = self.seen.struck.len();
            self.scan_file(&Spot {
                candidate,
                text: text.clone(),
                container: None,
                key: Some(&entry.key),
                pointer: &pointer,
            });
            if at == At::ConfigMap {
                self.stray(&text, Form::Data, found, &[], &pointer);
            }
        }
    }

    /// What an entry of a ConfigMap comes to where another system reads it. Gives whether all of it is a reference, and so
    /// no plaintext: of several lines, those behind the first may hold anything.
    fn is_foreign(&mut self, entry: &Entry<'_>, text: &str) -> bool {
        let signs = Signs::of(text);
        if !signs.has(DOLLAR) && !foreign::may_be(text, signs) && !leftover::may_be(text, signs) {
            return false;
        }
        let pointer = || entry.pointer();
        let subject = || format!("key {}", &*entry.key);
        self.leftovers((text, signs), &pointer, &subject);
        let before = self.seen.refusals.len();
        for reading in data::inline(text, signs) {
            self.reading(&reading, &pointer, &subject);
        }
        let is_reference = self.reading(&data::whole(text, signs), &pointer, &subject);
        for refusal in &mut self.seen.refusals[before..] {
            message::say_in_data(&mut refusal.text);
        }
        is_reference && !text.trim_end().contains('\n')
    }

    /// Whether a text is a reference of ours, and not a value behind the prefix of one.
    fn is_reference(&self, text: &str) -> bool {
        env_value(text).is_some_and(|(_, reference)| {
            reference.is_ok_and(|reference| {
                !self.world.is_value(reference.path)
                    && !reference.property.is_some_and(|property| self.world.is_value(property))
            })
        })
    }
}

/// The name that stands for a value: of one line its key, of a file none, since what is in it has names of its own.
fn name<'k>(key: &'k str, text: &str) -> Option<&'k str> {
    let is_file = text.trim().contains('\n');
    (!is_file).then(|| key.strip_suffix(".txt").unwrap_or(key))
}

/// The content of an entry in base64; what does not decode is judged as it is written.
fn decoded<'t>(entry: &'t Entry<'_>) -> Content<'t> {
    let written = entry.value.as_bytes();
    let letters: Vec<u8> = written.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    match STANDARD.decode(letters).map(String::from_utf8) {
        Ok(Ok(text)) => Content::Text(Cow::Owned(text)),
        Ok(Err(error)) => Content::Bytes(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        Err(_) => Content::Text(Cow::Borrowed(&entry.value)),
    }
}
