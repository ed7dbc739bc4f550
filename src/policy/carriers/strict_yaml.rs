//! YAML inside a string, read strictly: what two readers might understand differently is refused, not guessed.
//!
//! Providers read it with libraries that know anchors, merge keys and keys of any case. A manifest that people write has none of
//! these, so nothing is lost.

use std::borrow::Cow;

use granit_parser::{Event, Parser};

use super::json::Json;

/// Deepest nesting: no provider's list has more.
const MAX_DEPTH: usize = 16;
/// Most keys of one map: no provider knows a quarter of them, and each is compared with all before it.
const MAX_KEYS: usize = 64;
/// Most values of all, lists and maps among them: thirteen thousand entries of four fields.
const MAX_VALUES: usize = 1 << 16;
/// Most marks of lists and maps in brackets, and of what is between them. The parser keeps them all until the outermost ends,
/// at 700 bytes for a comma.
const MAX_MARKS: usize = 1 << 14;

/// Reads one document; every scalar is a text. An error is a sentence without its subject.
pub fn read(text: &str) -> Result<Json<'static>, &'static str> {
    if !text.bytes().all(|byte| byte == b'\n' || matches!(byte, b' '..=b'~')) {
        return Err("it holds a tab or a character that is no printable ASCII");
    }
    if text.bytes().filter(|byte| b"[]{},".contains(byte)).count() > MAX_MARKS {
        return Err("it has more brackets and commas than are read");
    }
    let mut builder = Builder { stack: Vec::new(), root: None, values: 0 };
    let options = granit_parser::options! { strict_indentation: true, emit_comments: false };
    for next in Parser::new_from_str_with_options(text, options) {
        let Ok((event, _)) = next else { return Err("it does not read as YAML") };
        builder.event(event)?;
    }
    Ok(builder.root.unwrap_or(Json::Null))
}

/// A list or a map that is not complete yet; a map with the key whose value is to come.
enum Frame {
    List(Vec<Json<'static>>),
    Map(Vec<(Cow<'static, str>, Json<'static>)>, Option<Cow<'static, str>>),
}

struct Builder {
    stack: Vec<Frame>,
    root: Option<Json<'static>>,
    values: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>) -> Result<(), &'static str> {
        const MARKS: &str = "it has an anchor or a tag";
        match event {
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(..) if self.root.is_some() => Err("it holds more than one document"),
            Event::DocumentStart(..) => Ok(()),
            Event::Alias(_) => Err("it has an alias"),
            Event::Scalar(_, _, anchor, tag) if anchor > 0 || tag.is_some() => Err(MARKS),
            Event::SequenceStart(_, anchor, tag) if anchor > 0 || tag.is_some() => Err(MARKS),
            Event::MappingStart(_, anchor, tag) if anchor > 0 || tag.is_some() => Err(MARKS),
            Event::Scalar(text, ..) if text == "<<" => Err("it has a merge key"),
            Event::Scalar(text, ..) => self.place(Json::Text(Cow::Owned(text.into_owned()))),
            Event::SequenceStart(..) => self.push(Frame::List(Vec::new())),
            Event::MappingStart(..) => self.push(Frame::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::List(items)) => self.place(Json::List(items)),
                Some(Frame::Map(fields, _)) => self.place(Json::Map(fields)),
                None => Err("it does not read as YAML"),
            },
            // What is not asked for, such as comments.
            _ => Err("it does not read as YAML"),
        }
    }

    fn push(&mut self, frame: Frame) -> Result<(), &'static str> {
        if self.stack.len() >= MAX_DEPTH {
            return Err("it is nested too deeply");
        }
        self.stack.push(frame);
        Ok(())
    }

    fn place(&mut self, mut value: Json<'static>) -> Result<(), &'static str> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err("it has more values than any object that is stored");
        }
        match &mut value {
            Json::List(items) => items.shrink_to_fit(),
            Json::Map(fields) => fields.shrink_to_fit(),
            _ => {}
        }
        match self.stack.last_mut() {
            None => self.root = Some(value),
            Some(Frame::List(items)) => items.push(value),
            Some(Frame::Map(fields, key)) => match key.take() {
                Some(name) => fields.push((name, value)),
                None => {
                    let Json::Text(name) = value else { return Err("a key is no text") };
                    if fields.len() >= MAX_KEYS {
                        return Err("a map has more keys than any provider knows");
                    }
                    // Readers that do not look at case take two spellings for one key, and the winner is anybody's guess.
                    if fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                        return Err("a key is there twice");
                    }
                    *key = Some(name);
                }
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_and_every_scalar_is_a_text() {
        let read = read("- objectName: a/b\n  objectVersion: 7\n- {objectName: \"c\"}\n").unwrap();
        assert_eq!(read.items().len(), 2);
        assert_eq!(read.items()[0].get("objectName").text(), Some("a/b"));
        assert_eq!(read.items()[0].get("objectVersion").text(), Some("7"));
        assert_eq!(read.items()[1].get("objectName").text(), Some("c"));
    }

    #[test]
    fn what_readers_understand_differently_is_refused() {
        for text in [
            "- &a {objectName: x}\n- *a\n",
            "- objectName: x\n  <<: {objectName: y}\n",
            "- objectName: x\n  objectName: y\n",
            "- objectName: x\n  objectname: y\n",
            "- objectName: !!str x\n",
            "- a\n---\n- b\n",
            "- a: [\n",
            "- a:\tb\n",
            "- objectName: st\u{430}ge\n",
            "- {? [a] : b}\n",
            &"[".repeat(100),
            &format!("[{}]", "{},".repeat(1 << 13)),
            &"- a\n".repeat(1 << 17),
            // Each key is compared with all before it: without a bound this would take hours.
            &(0..200_000).map(|number| format!("k{number}: 1\n")).collect::<String>(),
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
