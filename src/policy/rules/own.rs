//! What a configuration adds: words that promise a password in one's own language, and shapes of one's own tokens.

use std::ops::Range;

use super::families::{Runs, is_filler};
use super::name::{self, Kind, Named};
use super::text::{ALNUM, DIGIT, HEX, LETTER, UPPER, URL64, class_at, class_before, ends_with_fold};

/// What a configuration adds to the engine; empty where it adds nothing, and then it costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Own {
    /// Last words of names whose values are passwords.
    pub words: Vec<String>,
    /// Shapes of tokens.
    pub tokens: Vec<OwnToken>,
}

/// The shape of a token: a prefix, and a run of an alphabet.
#[derive(Debug, Clone)]
pub struct OwnToken {
    /// What to call it.
    pub name: String,
    /// What each of them begins with.
    pub prefix: String,
    /// What follows.
    pub alphabet: Alphabet,
    /// How many letters follow, at least and at most.
    pub length: (usize, usize),
}

/// What the body of a token is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// Letters and digits.
    Alphanumeric,
    /// Digits, and letters from a to f.
    Hex,
    /// Letters, digits, underscore and hyphen.
    Base64Url,
    /// Decimal digits.
    Digits,
}

impl Alphabet {
    /// The words for them.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("alphanumeric", Self::Alphanumeric),
        ("hex", Self::Hex),
        ("base64url", Self::Base64Url),
        ("digits", Self::Digits),
    ];

    fn class(self) -> u32 {
        match self {
            Self::Alphanumeric => ALNUM,
            Self::Hex => HEX,
            Self::Base64Url => URL64,
            Self::Digits => DIGIT,
        }
    }
}

impl Own {
    /// Whether a name ends in one of the words; a number behind it belongs to nothing.
    pub(super) fn promise<'n>(&self, name: &'n [u8]) -> Option<Named<'n>> {
        if self.words.is_empty() {
            return None;
        }
        let end = name.iter().rposition(|byte| !byte.is_ascii_digit() && !b"_-.".contains(byte))? + 1;
        let word = self.words.iter().find(|word| ends_with_fold(&name[..end], word.as_bytes()))?;
        let start = end - word.len();
        let border = class_before(name, start) & LETTER == 0
            || (class_at(name, start) & UPPER != 0 && class_before(name, start) & UPPER == 0);
        (border && name::switched_on(&name[..start], Kind::Password))
            .then_some(Named { kind: Kind::Password, name })
    }

    /// Whether one of the prefixes stands in a text.
    pub(super) fn may_start(&self, text: &[u8]) -> bool {
        self.tokens.iter().any(|token| memchr::memmem::find(text, token.prefix.as_bytes()).is_some())
    }

    /// The tokens of these shapes in a text, each with what to call it.
    pub(super) fn find(&self, text: &[u8], found: &mut dyn FnMut(Range<usize>, &str)) {
        let mut runs = Runs::new(text);
        for token in &self.tokens {
            let mut at = 0;
            while let Some(offset) = memchr::memmem::find(&text[at..], token.prefix.as_bytes()) {
                let start = at + offset;
                let body = start + token.prefix.len();
                let end = runs.end(body, token.alphabet.class());
                let fits = (token.length.0..=token.length.1).contains(&(end - body));
                if fits && class_before(text, start) & ALNUM == 0 && !is_filler(&text[body..end]) {
                    found(start..end, &token.name);
                }
                at = body;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_words_are_last_words() {
        let own = Own { words: vec!["kennwort".to_owned(), "contraseña".to_owned()], tokens: Vec::new() };
        for (name, expected) in [
            ("DB_KENNWORT", true),
            ("dbKennwort2", true),
            ("kennwort", true),
            ("CONTRASEñA", true),
            ("dbkennwort", false),
            ("KENNWORT_DATEI", false),
            ("PUBLIC_KENNWORT", false),
            ("", false),
        ] {
            assert_eq!(own.promise(name.as_bytes()).is_some(), expected, "{name}");
        }
    }

    #[test]
    fn own_tokens_have_their_shape() {
        let token = OwnToken {
            name: "acme".to_owned(),
            prefix: "acme_".to_owned(),
            alphabet: Alphabet::Hex,
            length: (8, 10),
        };
        let own = Own { words: Vec::new(), tokens: vec![token] };
        for (text, expected) in [
            ("x=acme_01ab23cd", 1),
            ("acme_01ab23cd acme_0f1e2d3c4b", 2),
            ("acme_01ab23c", 0),
            ("acme_01ab23cd4567", 0),
            ("acme_00000000", 0),
            ("xacme_01ab23cd", 0),
            ("acme_acme_01ab23cd", 1),
        ] {
            let mut count = 0;
            own.find(text.as_bytes(), &mut |_, _| count += 1);
            assert_eq!(count, expected, "{text}");
        }
    }
}
