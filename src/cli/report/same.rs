//! Which findings are of one and the same value: it is told by a number that is drawn anew for each run, and that says nothing of it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::policy::finding::Finding;

/// So many values are remembered: past that, each finding stands for itself.
const REMEMBERED: usize = 20_000;

static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The number of the text that a finding stands in; of a Secret's `data` it is that of what its base64 decodes to. In a text of
/// several lines there may be several findings, which `detail` tells apart.
pub(super) fn number(object: &Value, finding: &Finding, is_secret: bool) -> Option<u64> {
    let text = object.pointer(&finding.pointer)?.as_str()?;
    let decoded = (is_secret && finding.pointer.starts_with("/data/")).then(|| {
        let letters: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        STANDARD.decode(letters).ok()
    });
    let decoded = decoded.flatten();
    let text = decoded.as_deref().unwrap_or(text.as_bytes()).trim_ascii();
    let detail = if text.contains(&b'\n') { &*finding.detail } else { "" };
    Some(KEYS.hash_one((text, detail)))
}

/// Where each value was found first, and whether that was in the manifest of a Secret, whose advice is another one.
#[derive(Default)]
pub(super) struct Seen {
    first: HashMap<u64, (String, bool)>,
}

/// Where a value was found before.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) place: String,
    /// Whether the advice that was given there holds here too.
    pub(super) is_advised: bool,
}

impl Seen {
    /// Where a value was found before; `None` for one that is new.
    pub(super) fn before(&mut self, value: u64, place: String, is_secret: bool) -> Option<Before> {
        match self.first.get_mut(&value) {
            Some((first, _)) if *first == place => None,
            Some((first, of_secret)) => {
                let is_advised = std::mem::replace(of_secret, is_secret) == is_secret;
                Some(Before { place: first.clone(), is_advised })
            }
            None => {
                if self.first.len() < REMEMBERED {
                    self.first.insert(value, (place, is_secret));
                }
                None
            }
        }
    }
}
