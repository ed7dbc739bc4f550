//! What the API server says when it refuses a write, as far as it may be repeated.
//!
//! The API server itself quotes names and no data, but webhooks and policies of others put what they like into their
//! messages. So words are repeated only where no part of a value that was sent, or that is there, stands in them.

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::core::Status;
use zeroize::Zeroizing;

/// Most bytes of a message that are repeated: Events and catalogs hold many.
const MAX_WORDS_BYTES: usize = 400;
/// So many bytes in a row that stand in a value too are a part of the value.
const WINDOW: usize = 8;
/// A shorter value is a switch or a small number, and stands in every message.
const SHORTEST_VALUE: usize = 4;

/// An answer with a code of 400 or more.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// What may be repeated of the message.
    words: Option<String>,
    /// The message as it came.
    message: Zeroizing<String>,
}

impl fmt::Debug for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Refusal {{ {self} }}")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the API server refuses it with {}", self.code)?;
        match &self.words {
            Some(words) => write!(out, ": {words}"),
            None => out.write_str(
                "; its words are not repeated, since they may hold a value: the audit log has them",
            ),
        }
    }
}

impl Refusal {
    /// Nothing of its message may be repeated yet.
    pub(super) fn new(status: Status) -> Self {
        Self { code: status.code, words: None, message: Zeroizing::new(status.message) }
    }

    /// Of a write where no value was sent and none is there.
    pub(super) fn of_no_value(mut self) -> Self {
        self.words = Some(bounded(&self.message));
        self
    }

    /// Of a write of a Secret: `public` are texts that anybody may read, such as its name.
    pub(super) fn of_values<'v>(mut self, public: &[&str], values: impl Iterator<Item = &'v [u8]>) -> Self {
        let cut = cut(&self.message, MAX_WORDS_BYTES + WINDOW);
        let holds_none = Seen::new(cut, public).holds_none(values);
        self.words = holds_none.then(|| bounded(&self.message));
        self
    }
}

/// The beginning of a text, at most so many bytes of it.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

fn bounded(message: &str) -> String {
    let cut = cut(message, MAX_WORDS_BYTES);
    let more = if cut.len() < message.len() { "…" } else { "" };
    let line: String =
        cut.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    line + more
}

/// A message without its public parts.
struct Seen {
    pieces: Vec<Zeroizing<String>>,
    windows: HashSet<[u8; WINDOW]>,
}

impl Seen {
    fn new(message: &str, public: &[&str]) -> Self {
        let mut public: Vec<&str> =
            public.iter().copied().filter(|text| text.len() >= SHORTEST_VALUE).collect();
        // The longest first: one may stand in another.
        public.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let mut rest = Zeroizing::new(message.to_owned());
        for text in public {
            rest = Zeroizing::new(rest.replace(text, "\0"));
        }
        let pieces: Vec<_> = rest.split('\0').map(|piece| Zeroizing::new(piece.to_owned())).collect();
        let windows = pieces.iter().flat_map(|piece| piece.as_bytes().array_windows().copied()).collect();
        Self { pieces, windows }
    }

    fn holds_none<'v>(&self, mut values: impl Iterator<Item = &'v [u8]>) -> bool {
        values.all(|value| {
            let encoded = Zeroizing::new(STANDARD.encode(value));
            let escaped = std::str::from_utf8(value).ok().and_then(|text| serde_json::to_string(text).ok());
            let escaped = Zeroizing::new(escaped.unwrap_or_default());
            let forms = [value, encoded.as_bytes(), escaped.trim_matches('"').as_bytes()];
            !forms.into_iter().any(|form| self.holds(form))
        })
    }

    fn holds(&self, form: &[u8]) -> bool {
        if form.len() >= WINDOW {
            return form.array_windows().any(|window| self.windows.contains(window));
        }
        form.len() >= SHORTEST_VALUE && self.pieces.iter().any(|piece| has_word(piece.as_bytes(), form))
    }
}

/// Whether a short text stands in a longer one, and not as a part of a word.
fn has_word(text: &[u8], word: &[u8]) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    memchr::memmem::find_iter(text, word).any(|at| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        is_edge(before) && is_edge(text.get(at + word.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(message: &str) -> Refusal {
        Refusal::new(Status { code: 403, message: message.to_owned(), ..Status::default() })
    }

    fn words(message: &str, value: &str) -> Option<String> {
        let public = ["web", "refgate-system", "web-stage-db-0123456789abcdef", "hostname"];
        refusal(message).of_values(&public, std::iter::once(value.as_bytes())).words
    }

    #[test]
    fn words_are_repeated_unless_a_part_of_a_value_stands_in_them() {
        let quota = "secrets \"web-stage-db-0123456789abcdef\" is forbidden: exceeded quota: few, requested: count/secrets=1";
        for value in
            ["Vr4kYt8mQz", "1", "few-and-far", "web-stage-db-0123456789abcdef.example.com", "null", ""]
        {
            assert_eq!(words(quota, value).as_deref(), Some(quota), "{value}");
        }
        for (message, value) in [
            ("denied: Vr4kYt8mQzLp is weak", "Vr4kYt8mQzLp"),
            ("denied: begins with Vr4kYt8m", "Vr4kYt8mQzLpVr4kYt8mQzLp"),
            ("denied: ends with t8mQzLpW", "Vr4kYt8mQzLpW"),
            ("denied: pin 7302.", "7302"),
            ("data: VnI0a1l0OG1RekxwVw==", "Vr4kYt8mQzLpW"),
            ("data: a\\nVr4\\\"kY\\n", "a\nVr4\"kY\n"),
            ("hostname=db7.internal", "{\"hostname\":\"db7.internal\"}"),
        ] {
            assert_eq!(words(message, value), None, "{message}");
            let shown = refusal(message).of_values(&[], std::iter::once(value.as_bytes())).to_string();
            assert!(!shown.contains(&value[..4]) && shown.contains("audit log"), "{shown}");
        }
        // A longer number is another one.
        assert!(words("port 73021", "7302").is_some());
    }

    #[test]
    fn words_are_bounded_and_one_line() {
        let long = "é\n".repeat(1_000);
        let said = refusal(&long).of_no_value().words.unwrap();
        assert!(said.len() <= MAX_WORDS_BYTES + 3 && said.ends_with('…') && !said.contains('\n'), "{said}");
        // What is cut off is looked at as far as a part of it could be a part of a value.
        let edge = format!("{}{}", "x".repeat(MAX_WORDS_BYTES - 7), "Vr4kYt8mQz");
        assert_eq!(words(&edge, "Vr4kYt8mQzLp"), None);
    }

    #[test]
    fn nothing_is_repeated_before_it_is_known_what_was_sent() {
        let refusal = refusal("Vr4kYt8mQzLp");
        assert!(!format!("{refusal} {refusal:?}").contains("Vr4k"), "{refusal:?}");
    }
}
