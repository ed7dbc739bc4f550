//! The parser's events to one value with its lines, inside our budgets of depth, aliases and repeated keys.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_json::{Map, Value};

use super::lines::{Entry, Lines};
use super::{Document, YamlError, json, scalar};

/// Deepest nesting; that of `serde_json`, so that whatever was read can be written.
const MAX_DEPTH: usize = 120;
/// What anchors and aliases may cost in one document, in bytes: `a: &a [..]` repeated is how a kilobyte becomes a
/// gigabyte.
const MAX_ALIAS_COST: usize = 32 << 20;
/// What one value costs besides its text.
const NODE_COST: usize = 64;
/// How often one key may stand in a map: each time, the document is judged once more.
pub(super) const MAX_READINGS: usize = 16;

/// Reads one document; `None` where it holds nothing.
pub(super) fn read(piece: &str, first_line: usize) -> Result<Option<Document>, YamlError> {
    if let Some(json) = json::read(piece, first_line) {
        return json.map(Some);
    }
    let mut builder = Builder { first_line, cost: 0, stack: Vec::new(), anchors: HashMap::new(), root: None };
    let options = granit_parser::options! { emit_comments: false, bom_inside_document_as_content: true };
    for next in Parser::new_from_str_with_options(piece, options) {
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
    List { line: usize, anchor: usize, items: Vec<Value>, lines: Vec<Lines> },
    Map(Box<OpenMap>),
}

/// A map that is not complete yet.
struct OpenMap {
    line: usize,
    anchor: usize,
    map: Map<String, Value>,
    entries: Vec<Entry>,
    /// Where in `entries` a key stands last; filled when the first key comes twice.
    places: HashMap<Box<str>, usize>,
    key: Key,
}

/// What a map waits for.
enum Key {
    None,
    Merge,
    Plain(String, usize),
}

impl OpenMap {
    fn insert(&mut self, name: String, line: usize, value: Value, inner: Lines) {
        self.replace(&name, value);
        if !self.places.is_empty() {
            self.places.insert(name.as_str().into(), self.entries.len());
        }
        self.entries.push(Entry { key: name.into(), line, inner, replaced: None });
    }

    /// Whether a key of the map itself, and not of a merge, stood there.
    fn replace(&mut self, name: &str, value: Value) -> bool {
        let Some(old) = self.map.insert(name.to_owned(), value) else { return false };
        if self.places.is_empty() {
            let places = self.entries.iter().enumerate();
            self.places = places.map(|(index, entry)| (entry.key.clone(), index)).collect();
        }
        let place = self.places.get(name).and_then(|&index| self.entries.get_mut(index));
        let Some(entry) = place else { return false };
        entry.replaced = Some(Box::new(old));
        true
    }

    /// What `<<` brings in replaces what stands before it, and is replaced by what stands behind; in a list the first map wins.
    fn merge(&mut self, value: Value, line: usize) -> Result<(), YamlError> {
        let sources = match value {
            Value::Array(sources) => sources,
            source => vec![source],
        };
        for source in sources.into_iter().rev() {
            let Value::Object(entries) = source else {
                return fail(line, "the key << wants a map, or a list of maps");
            };
            for (key, value) in entries {
                if self.replace(&key, value) {
                    self.places.insert(key.as_str().into(), self.entries.len());
                    self.entries.push(Entry {
                        key: key.into(),
                        line,
                        inner: Lines::Leaf(line),
                        replaced: None,
                    });
                }
            }
        }
        Ok(())
    }
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
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(..) if self.root.is_some() => {
                fail(line, "a second document starts without ---")
            }
            Event::DocumentStart(..) => Ok(()),
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
            Event::SequenceStart(_, anchor, _) => {
                self.push(Frame::List { line, anchor, items: Vec::new(), lines: Vec::new() }, line)
            }
            Event::MappingStart(_, anchor, _) => {
                let (map, entries, places) = (Map::new(), Vec::new(), HashMap::new());
                let open = OpenMap { line, anchor, map, entries, places, key: Key::None };
                self.push(Frame::Map(Box::new(open)), line)
            }
            Event::SequenceEnd | Event::MappingEnd => self.pop(line),
            // Comments, anchors and unknown aliases are not asked for.
            _ => Ok(()),
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
                self.place(Value::Array(items), Lines::list(line, lines), anchor)
            }
            Some(Frame::Map(open)) => {
                let OpenMap { line, anchor, map, entries, .. } = *open;
                self.place(Value::Object(map), Lines::map(line, entries), anchor)
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
        let is_plain = style == ScalarStyle::Plain;
        if let Some(Frame::Map(open)) = self.stack.last_mut()
            && matches!(open.key, Key::None)
        {
            if text == "<<" && (is_plain && tag.is_none() || tag.is_some_and(scalar::is_merge)) {
                open.key = Key::Merge;
                return Ok(());
            }
            let name = scalar::key(text, is_plain, tag).or_else(|message| fail(line, message))?;
            if anchor > 0 {
                let (value, cost) = (Value::String(name.clone()), NODE_COST + name.len());
                self.anchors.insert(anchor, Anchored { value, cost, depth: 0 });
            }
            open.key = Key::Plain(name, line);
            return Ok(());
        }
        let value = scalar::resolve(text, is_plain, tag).or_else(|message| fail(line, message))?;
        self.place(value, Lines::Leaf(line), anchor)
    }

    /// Puts a complete value where it belongs: as a key, in a list, in a map, or as the whole document.
    fn place(&mut self, value: Value, lines: Lines, anchor: usize) -> Result<(), YamlError> {
        let line = lines.line();
        if lines.readings() > MAX_READINGS {
            return fail(line, "a key is in the same map too often");
        }
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
            Some(Frame::Map(open)) => match std::mem::replace(&mut open.key, Key::None) {
                Key::Merge => open.merge(value, line)?,
                Key::Plain(name, key_line) => {
                    let inner = if matches!(lines, Lines::Leaf(_)) { Lines::Leaf(key_line) } else { lines };
                    open.insert(name, key_line, value, inner);
                }
                Key::None => {
                    let name = match value {
                        Value::String(name) => name,
                        Value::Bool(_) | Value::Number(_) => value.to_string(),
                        _ => return fail(line, "a key must be text"),
                    };
                    open.key = Key::Plain(name, line);
                }
            },
        }
        Ok(())
    }

    fn charge(&mut self, cost: usize, line: usize) -> Result<(), YamlError> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > MAX_ALIAS_COST { fail(line, "the aliases expand to too much") } else { Ok(()) }
    }

    fn scan_error(&self, error: &ScanError) -> YamlError {
        const REST: &str = "the document ends before this line, and kubectl leaves out the rest; correct the indentation, or write --- before another document";
        let line = self.first_line + error.marker().line().saturating_sub(1);
        let message = match error.kind() {
            ErrorKind::ExpectedDocumentStart => REST.to_owned(),
            // The library would repeat the character, which is part of a value.
            ErrorKind::UnexpectedCharacter { .. } => {
                "no value begins with this character; put it in quotes".to_owned()
            }
            _ => error.info(),
        };
        YamlError { line, message }
    }
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
