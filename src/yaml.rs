//! YAML as documents with lines: text to JSON values that remember on which line each of them stands.
//!
//! Shared by the configuration, the world file and the command line. It reads what kubectl reads, and to the same values
//! (`sigs.k8s.io/yaml`; `tests/yaml` compares the two). A broken document is an error with its line, and the documents around it
//! are still read. Whatever the text holds, reading it is bounded: depth, what aliases expand to, and nothing panics.
//!
//! `build` makes values of the parser's events, `scalar` gives scalars their types, `lines` keeps lines and repeated keys, `json`
//! reads JSON.

use serde_json::Value;

mod build;
mod json;
mod lines;
mod scalar;

use build::read;
use lines::Lines;

const TWICE: &str = "this key is in the same map twice";
const TWO_IN_ONE: &str =
    "this key is in the same map twice; where another object begins, a line --- is missing before it";

/// Whether a key at the top of a document is one that each object of Kubernetes has: there twice, it is that of a second object,
/// as where the outputs of two commands come one after the other.
fn is_of_an_object(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata" | "items")
}

/// One document of a text.
#[derive(Debug, Clone)]
pub struct Document {
    /// Line of its first value, counted from one in the whole text.
    pub line: usize,
    /// What it holds.
    pub value: Value,
    lines: Lines,
}

impl Document {
    /// The line of the value that an RFC 6901 pointer names; where there is none, of the nearest value around it.
    pub fn line_of(&self, pointer: &str) -> usize {
        self.lines.line_of(pointer)
    }

    /// The keys that stand more than once in a map and whose value a later one replaces.
    pub fn repeated(&self) -> Vec<Repeated> {
        let mut all = Vec::new();
        self.lines.replaced(&mut String::new(), &mut |map, entry| {
            all.push(Repeated {
                pointer: format!("{map}/{}", entry.key.replace('~', "~0").replace('/', "~1")),
                line: entry.line,
                is_of_an_object: map.is_empty() && is_of_an_object(&entry.key),
            });
        });
        all
    }

    /// The document with the values that are replaced, in as few documents as have each of them once, in their order. None, where no
    /// key stands twice; the document as it counts is not among them.
    pub fn earlier(&self) -> impl Iterator<Item = Self> {
        (0..self.lines.readings() - 1).map(|index| {
            let (value, lines) = self.lines.reading(&self.value, index);
            Self { line: self.line, value, lines }
        })
    }

    /// Refuses a key that stands twice, in files of our own: there it is a slip that nothing else reads differently.
    pub fn with_single_keys(self) -> Result<Self, YamlError> {
        let repeated = self.repeated();
        let Some(first) = repeated.iter().min_by_key(|repeated| repeated.line) else { return Ok(self) };
        let message = if first.is_of_an_object { TWO_IN_ONE } else { TWICE };
        Err(YamlError { line: self.line_of(&first.pointer), message: message.to_owned() })
    }
}

/// A key whose value a later one in the same map replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeated {
    /// RFC 6901 pointer to the value that counts.
    pub pointer: String,
    /// The line of the key that is replaced.
    pub line: usize,
    /// Whether each object has such a key, so that a line `---` may be missing between two.
    pub is_of_an_object: bool,
}

/// Why a document could not be read. The text itself is not repeated: it may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct YamlError {
    /// Line in the whole text, counted from one.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

/// The documents of a text, in order; those that hold nothing are passed over.
pub fn documents(text: &str) -> Documents<'_> {
    Documents { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 }
}

/// The documents of one piece of a text that starts in line `line`; it was cut before a `---` line.
pub fn documents_from(text: &str, line: usize) -> Documents<'_> {
    Documents { line, ..documents(text) }
}

/// Iterator over the documents of a text: one is read at a time.
#[derive(Debug, Clone)]
pub struct Documents<'a> {
    rest: &'a str,
    /// Line of the first character of `rest`.
    line: usize,
}

impl Iterator for Documents<'_> {
    type Item = Result<Document, YamlError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let line = self.line;
            let piece = self.take_piece();
            match read(piece, line) {
                Ok(Some(document)) => return Some(Ok(document)),
                Ok(None) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

impl<'a> Documents<'a> {
    /// Cuts off the next document. `---` and `...` in the first column are markers wherever they stand, even inside
    /// a scalar, so a document ends there however broken it is.
    fn take_piece(&mut self) -> &'a str {
        let (mut end, mut next, mut started) = (0, self.rest.len(), false);
        for line in self.rest.split_inclusive('\n') {
            if is_marker(line, "---") {
                if started {
                    next = end;
                    break;
                }
                started = true;
            } else if is_marker(line, "...") {
                next = end + line.len();
                break;
            } else {
                started |= !line.trim().is_empty() && !line.starts_with(['#', '%']);
            }
            end += line.len();
        }
        let (piece, taken) = (&self.rest[..end], &self.rest[..next]);
        self.line += taken.bytes().filter(|&byte| byte == b'\n').count();
        self.rest = &self.rest[next..];
        piece
    }
}

fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}
