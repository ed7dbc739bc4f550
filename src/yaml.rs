//! YAML as documents with lines: text to JSON values that remember on which line each of them stands.
//!
//! Shared by the configuration, the world file and the command line. A broken document is an error with its line, and
//! the documents around it are still read. Scalars are those of the YAML 1.2 core schema, with one habit of
//! Kubernetes: a number with a leading zero (`0644`) is octal. Whatever the text holds, reading it is bounded: depth,
//! what aliases expand to, and nothing panics.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

mod json;
mod scalar;

/// Deepest nesting; that of `serde_json`, so that whatever was read can be written.
const MAX_DEPTH: usize = 120;
/// What anchors and aliases may cost in one document, in bytes: `a: &a [..]` repeated is how a kilobyte becomes a
/// gigabyte.
const MAX_ALIAS_COST: usize = 32 << 20;
/// What one value costs besides its text.
const NODE_COST: usize = 64;

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
        let mut lines = &self.lines;
        for token in pointer.split('/').skip(1) {
            let token = token.replace("~1", "/").replace("~0", "~");
            let inner = match lines {
                Lines::Leaf(_) => None,
                Lines::List(_, items) => token.parse::<usize>().ok().and_then(|index| items.get(index)),
                Lines::Map(_, entries) => {
                    entries.iter().find(|(key, _)| **key == *token).map(|(_, inner)| inner)
                }
            };
            match inner {
                Some(inner) => lines = inner,
                None => break,
            }
        }
        lines.line()
    }
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

/// The lines of a value and of all that is in it.
#[derive(Debug, Clone)]
enum Lines {
    Leaf(usize),
    List(usize, Vec<Lines>),
    Map(usize, Vec<(Box<str>, Lines)>),
}

impl Lines {
    fn line(&self) -> usize {
        match self {
            Self::Leaf(line) | Self::List(line, _) | Self::Map(line, _) => *line,
        }
    }
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

/// Reads one document; `None` where it holds nothing.
fn read(piece: &str, first_line: usize) -> Result<Option<Document>, YamlError> {
    if let Some(json) = json::read(piece, first_line) {
        return json.map(Some);
    }
    let mut builder = Builder { first_line, cost: 0, stack: Vec::new(), anchors: HashMap::new(), root: None };
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(piece);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| builder.scan_error(&error))?;
        builder.event(event, span)?;
    }
    Ok(match builder.root {
        None | Some((Value::Null, _)) => None,
        Some((value, lines)) => Some(Document { line: lines.line(), value, lines }),
    })
}

/// A list or map that is not complete yet.
enum Frame {
    List {
        line: usize,
        anchor: usize,
        items: Vec<Value>,
        lines: Vec<Lines>,
    },
    Map {
        line: usize,
        anchor: usize,
        map: Map<String, Value>,
        lines: Vec<(Box<str>, Lines)>,
        key: Key,
        merged: Vec<Value>,
    },
}

/// What a map waits for.
enum Key {
    None,
    Merge,
    Plain(String, usize),
}

/// What an anchor stands for.
struct Anchored {
    value: Value,
    cost: usize,
    depth: usize,
}

struct Builder {
    first_line: usize,
    cost: usize,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    root: Option<(Value, Lines)>,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let line = self.first_line + span.start.line().saturating_sub(1);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.root.is_some() => {
                fail(line, "a second document starts without ---")
            }
            Event::DocumentStart(_) => Ok(()),
            Event::Alias(id) => {
                let Some(anchored) = self.anchors.get(&id) else {
                    return fail(line, "an alias stands for something that is not complete before it");
                };
                if self.stack.len() + anchored.depth > MAX_DEPTH {
                    return fail(line, "nested too deeply");
                }
                let (value, cost) = (anchored.value.clone(), anchored.cost);
                self.charge(cost, line)?;
                self.place(value, Lines::Leaf(line), 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), line)
            }
            Event::SequenceStart(anchor, _) => {
                self.push(Frame::List { line, anchor, items: Vec::new(), lines: Vec::new() }, line)
            }
            Event::MappingStart(anchor, _) => {
                let (map, lines, merged) = (Map::new(), Vec::new(), Vec::new());
                self.push(Frame::Map { line, anchor, map, lines, key: Key::None, merged }, line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.pop(line),
        }
    }

    fn push(&mut self, frame: Frame, line: usize) -> Result<(), YamlError> {
        if self.stack.len() >= MAX_DEPTH {
            return fail(line, "nested too deeply");
        }
        self.stack.push(frame);
        Ok(())
    }

    fn pop(&mut self, line: usize) -> Result<(), YamlError> {
        match self.stack.pop() {
            Some(Frame::List { line, anchor, items, lines }) => {
                self.place(Value::Array(items), Lines::List(line, lines), anchor)
            }
            Some(Frame::Map { line, anchor, mut map, lines, merged, .. }) => {
                for value in merged {
                    merge(&mut map, value, line)?;
                }
                self.place(Value::Object(map), Lines::Map(line, lines), anchor)
            }
            None => fail(line, "something ends here that did not start"),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<(), YamlError> {
        if let Some(Frame::Map { key: key @ Key::None, .. }) = self.stack.last_mut()
            && text == "<<"
            && style == ScalarStyle::Plain
            && tag.is_none()
        {
            *key = Key::Merge;
            return Ok(());
        }
        let value = match scalar::resolve(text, style == ScalarStyle::Plain, tag) {
            Ok(value) => value,
            Err(message) => return fail(line, message),
        };
        self.place(value, Lines::Leaf(line), anchor)
    }

    /// Puts a complete value where it belongs: as a key, in a list, in a map, or as the whole document.
    fn place(&mut self, value: Value, lines: Lines, anchor: usize) -> Result<(), YamlError> {
        let line = lines.line();
        let is_top = self.stack.len() == 1;
        if anchor > 0 {
            let (cost, depth) = measure(&value);
            self.charge(cost, line)?;
            self.anchors.insert(anchor, Anchored { value: value.clone(), cost, depth });
        }
        match self.stack.last_mut() {
            None => self.root = Some((value, lines)),
            Some(Frame::List { items, lines: all, .. }) => {
                items.push(value);
                all.push(lines);
            }
            Some(Frame::Map { map, lines: all, key, merged, .. }) => {
                match std::mem::replace(key, Key::None) {
                    Key::Merge if merged.is_empty() => merged.push(value),
                    Key::Merge => return fail(line, "the key << is there twice"),
                    Key::Plain(name, key_line) => {
                        let inner =
                            if matches!(lines, Lines::Leaf(_)) { Lines::Leaf(key_line) } else { lines };
                        all.push((name.as_str().into(), inner));
                        map.insert(name, value);
                    }
                    Key::None => {
                        let name = match value {
                            Value::String(name) => name,
                            Value::Bool(_) | Value::Number(_) => value.to_string(),
                            _ => return fail(line, "a key must be text"),
                        };
                        if map.contains_key(&name) {
                            return fail(
                                line,
                                if is_top && is_of_an_object(&name) { TWO_IN_ONE } else { TWICE },
                            );
                        }
                        *key = Key::Plain(name, line);
                    }
                }
            }
        }
        Ok(())
    }

    fn charge(&mut self, cost: usize, line: usize) -> Result<(), YamlError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > MAX_ALIAS_COST { fail(line, "the aliases expand to too much") } else { Ok(()) }
    }

    fn scan_error(&self, error: &ScanError) -> YamlError {
        let line = self.first_line + error.marker().line().saturating_sub(1);
        YamlError { line, message: error.info().to_owned() }
    }
}

/// What `<<` brings in: what the map says itself wins, then what comes first.
fn merge(map: &mut Map<String, Value>, value: Value, line: usize) -> Result<(), YamlError> {
    let sources = match value {
        Value::Array(sources) => sources,
        source => vec![source],
    };
    for source in sources {
        let Value::Object(entries) = source else {
            return fail(line, "the key << wants a map, or a list of maps");
        };
        for (key, value) in entries {
            map.entry(key).or_insert(value);
        }
    }
    Ok(())
}

/// What a value costs to copy, and how deep it is. Depth is bounded where values are made, so this recursion is too.
fn measure(value: &Value) -> (usize, usize) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => (NODE_COST, 0),
        Value::String(text) => (NODE_COST + text.len(), 0),
        Value::Array(items) => items
            .iter()
            .map(measure)
            .fold((NODE_COST, 1), |(cost, depth), inner| (cost + inner.0, depth.max(inner.1 + 1))),
        Value::Object(entries) => entries.iter().fold((NODE_COST, 1), |(cost, depth), (key, value)| {
            let inner = measure(value);
            (cost + key.len() + inner.0, depth.max(inner.1 + 1))
        }),
    }
}

fn fail<T>(line: usize, message: &str) -> Result<T, YamlError> {
    Err(YamlError { line, message: message.to_owned() })
}
