//! JSON, which is YAML but for surrogate pairs and tabs: read by `serde_json`, then walked once for its lines.

use std::collections::HashSet;

use serde_json::Value;

use super::{Document, Lines, YamlError};

/// Reads a document that is JSON; `None` where it is not, so that it is read as YAML.
pub(super) fn read(piece: &str, first_line: usize) -> Option<Result<Document, YamlError>> {
    if !piece.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let value: Value = serde_json::from_str(piece).ok()?;
    let mut walk = Walk { text: piece, at: 0, line: first_line };
    Some(walk.value().map(|lines| Document { line: lines.line(), value, lines }))
}

/// A position in text that is known to be JSON, and not nested deeper than `serde_json` allows.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Walk<'_> {
    fn value(&mut self) -> Result<Lines, YamlError> {
        let first = self.peek();
        let line = self.line;
        match first {
            b'{' => {
                let (mut entries, mut seen) = (Vec::new(), HashSet::new());
                self.at += 1;
                while self.peek() == b'"' {
                    let key_line = self.line;
                    let key: String = serde_json::from_str(self.string()).unwrap_or_default();
                    if !seen.insert(key.clone()) {
                        let message = "this key is in the same map twice".to_owned();
                        return Err(YamlError { line: key_line, message });
                    }
                    self.skip(b':');
                    let inner = match self.value()? {
                        Lines::Leaf(_) => Lines::Leaf(key_line),
                        nested => nested,
                    };
                    entries.push((key.into(), inner));
                    self.skip(b',');
                }
                self.skip(b'}');
                Ok(Lines::Map(line, entries))
            }
            b'[' => {
                let mut items = Vec::new();
                self.at += 1;
                while !matches!(self.peek(), b']' | 0) {
                    items.push(self.value()?);
                    self.skip(b',');
                }
                self.skip(b']');
                Ok(Lines::List(line, items))
            }
            b'"' => {
                self.string();
                Ok(Lines::Leaf(line))
            }
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
                self.at += end.max(1).min(rest.len());
                Ok(Lines::Leaf(line))
            }
        }
    }

    /// The next byte that is no white space; zero at the end.
    fn peek(&mut self) -> u8 {
        while let Some(&byte) = self.text.as_bytes().get(self.at) {
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' => {}
                _ => return byte,
            }
            self.at += 1;
        }
        0
    }

    fn skip(&mut self, byte: u8) {
        if self.peek() == byte {
            self.at += 1;
        }
    }

    /// The string that starts here, with its quotes.
    fn string(&mut self) -> &str {
        let start = self.at;
        let bytes = self.text.as_bytes();
        self.at += 1;
        while let Some(&byte) = bytes.get(self.at) {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }
}
