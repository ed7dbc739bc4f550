//! JSON, which is YAML but for surrogate pairs and tabs: read by `serde_json`, then walked once for its lines.

use std::collections::HashMap;

use serde_json::Value;

use super::build::MAX_READINGS;
use super::lines::{Entry, Lines};
use super::{Document, YamlError};

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
                let (mut entries, mut seen) = (Vec::<Entry>::new(), HashMap::new());
                self.at += 1;
                while self.peek() == b'"' {
                    let key_line = self.line;
                    let key: Box<str> = serde_json::from_str(self.string()).unwrap_or_default();
                    self.skip(b':');
                    self.peek();
                    let start = self.at;
                    let inner = match self.value()? {
                        Lines::Leaf(_) => Lines::Leaf(key_line),
                        nested => nested,
                    };
                    if let Some((index, old)) = seen.insert(key.clone(), (entries.len(), start..self.at)) {
                        entries[index].replaced = serde_json::from_str(&self.text[old]).ok();
                    }
                    entries.push(Entry { key, line: key_line, inner, replaced: None });
                    self.skip(b',');
                }
                self.skip(b'}');
                self.bounded(Lines::map(line, entries))
            }
            b'[' => {
                let mut items = Vec::new();
                self.at += 1;
                while !matches!(self.peek(), b']' | 0) {
                    items.push(self.value()?);
                    self.skip(b',');
                }
                self.skip(b']');
                Ok(Lines::list(line, items))
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

    fn bounded(&self, lines: Lines) -> Result<Lines, YamlError> {
        if lines.readings() <= MAX_READINGS {
            return Ok(lines);
        }
        Err(YamlError { line: lines.line(), message: "a key is in the same map too often".to_owned() })
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
