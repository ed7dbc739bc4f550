//! Files, folders and standard input to documents, each with its file and its lines.
//!
//! Nothing here knows what a workload is. What cannot be read is a [`Problem`], and the rest goes on.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::form::{Form, MAX_KEY_FILE_BYTES, is_named_like_key};
use crate::yaml;

/// The name that findings in standard input are reported under.
const STDIN: &str = "-";

/// One manifest.
#[derive(Debug)]
pub struct Document {
    /// The file, as it was named or found.
    pub file: String,
    /// The line of its first value.
    pub line: usize,
    /// The manifest; an item of a List is a document of its own.
    pub value: Value,
    /// What its file is. `value` is the text of a private key, and nothing of a file that is encrypted.
    pub form: Form,
    /// What knows the lines of a manifest.
    source: Option<Rc<yaml::Document>>,
    /// Where in `source` the manifest stands: empty, or the item of a List.
    at: String,
    /// Lines of the file before `source`.
    lines_before: usize,
}

impl Document {
    /// A file that is no manifest.
    fn of_file(file: &str, form: Form, text: String) -> Self {
        let value = if form == Form::PrivateKey { Value::String(text) } else { Value::Null };
        Self { file: file.to_owned(), line: 1, value, form, source: None, at: String::new(), lines_before: 0 }
    }

    /// The line of the value that an RFC 6901 pointer into the manifest names, or of the nearest value around it.
    pub fn line_of(&self, pointer: &str) -> usize {
        let line = self.source.as_ref().map(|source| source.line_of(&format!("{}{pointer}", self.at)));
        self.lines_before + line.unwrap_or(1)
    }

    /// The line of a value, where the manifest has it.
    pub fn place(&self, pointer: &str) -> Option<usize> {
        self.value.pointer(pointer).map(|_| self.line_of(pointer))
    }
}

/// What could not be read. The text itself is not repeated: it may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file or folder; `None` for what is in a cluster, which the message names.
    pub file: Option<String>,
    /// The line, where the fault has one.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

/// Reads every path in turn and hands on what it holds; `-` is `stdin`. Gives what held nothing and should have: who pipes
/// the output of a program that failed must not hear that all is well. A file may be empty beside others.
pub fn read(
    paths: &[PathBuf],
    stdin: &mut dyn Read,
    each: &mut dyn FnMut(Result<Document, Problem>),
) -> Option<Problem> {
    let count = Cell::new(0_usize);
    let mut is_stdin_empty = false;
    let mut each = |read| {
        count.set(count.get() + 1);
        each(read);
    };
    for path in paths {
        if path.as_os_str() == STDIN {
            let mut bytes = Vec::new();
            let before = count.get();
            match stdin.read_to_end(&mut bytes) {
                Ok(_) => decode(STDIN, bytes, &mut each),
                Err(error) => each(Err(unreadable(STDIN, &error))),
            }
            is_stdin_empty |= count.get() == before;
            continue;
        }
        for found in files(path) {
            match found {
                Ok(file) => match fs::read(&file) {
                    Ok(bytes) => decode(&shown(&file), bytes, &mut each),
                    Err(error) => each(Err(unreadable(&shown(&file), &error))),
                },
                Err(problem) => each(Err(problem)),
            }
        }
    }
    let nothing = |message| Some(Problem { file: None, line: None, message });
    match count.get() {
        _ if is_stdin_empty => nothing(
            "nothing was read: standard input holds no document; did the command before it fail?".to_owned(),
        ),
        0 => {
            let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            nothing(format!("nothing was read: there is no document in {}", names.join(", ")))
        }
        _ => None,
    }
}

fn shown(path: &Path) -> String {
    // `refgate check` alone means the folder it stands in; `./` before each name would say nothing.
    path.strip_prefix("./").unwrap_or(path).display().to_string()
}

fn unreadable(file: &str, error: &std::io::Error) -> Problem {
    Problem { file: Some(file.to_owned()), line: None, message: format!("cannot be read: {error}") }
}

fn decode(file: &str, bytes: Vec<u8>, each: &mut dyn FnMut(Result<Document, Problem>)) {
    let form = Form::of(&bytes);
    match form {
        Form::Manifests => {}
        Form::Encrypted(_) | Form::PrivateKey => {
            let text = String::from_utf8(bytes).unwrap_or_default();
            return each(Ok(Document::of_file(file, form, text)));
        }
        Form::Unreadable(message) => {
            let (file, message) = (Some(file.to_owned()), message.to_owned());
            return each(Err(Problem { file, line: None, message }));
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) => documents(file, &text, each),
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = Some(1 + line_breaks(good));
            each(Err(Problem { file: Some(file.to_owned()), line, message: "this is not UTF-8".to_owned() }));
        }
    }
}

fn line_breaks(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// A file as it is named, or the manifests below a folder, in the order of their names.
fn files(path: &Path) -> Vec<Result<PathBuf, Problem>> {
    let mut found = Vec::new();
    if path.is_dir() {
        walk(path, &mut BTreeSet::new(), &mut found);
    } else {
        // Whatever it is called, somebody named it; `/dev/fd/63` is a file here.
        found.push(Ok(path.to_owned()));
    }
    found
}

fn walk(folder: &Path, seen: &mut BTreeSet<PathBuf>, found: &mut Vec<Result<PathBuf, Problem>>) {
    // A folder is entered once, by whatever name: that ends loops of links.
    let entries = fs::canonicalize(folder).and_then(|real| {
        if !seen.insert(real) {
            return Ok(Vec::new());
        }
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
    });
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => {
            found.push(Err(unreadable(&shown(folder), &error)));
            return;
        }
    };
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            walk(&entry, seen, found);
        } else if is_manifest(&entry) || is_key(&entry) {
            found.push(Ok(entry));
        }
    }
}

/// Only what holds a key: other files of such names are nothing that anybody asked about.
fn is_key(path: &Path) -> bool {
    let is_small =
        || fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= MAX_KEY_FILE_BYTES);
    is_named_like_key(path)
        && is_small()
        && fs::read(path).is_ok_and(|bytes| Form::of(&bytes) == Form::PrivateKey)
}

fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
    matches!(extension.as_deref(), Some("yaml" | "yml" | "json"))
}

/// The documents of one text.
pub fn documents(file: &str, text: &str, each: &mut dyn FnMut(Result<Document, Problem>)) {
    // What Helm has not filled in yet is YAML at best by chance. Once for each file is enough.
    let mut hint = if text.contains("{{") { TEMPLATE } else { "" };
    for (piece, lines_before) in pieces(text) {
        for read in yaml::documents(piece) {
            match read {
                Ok(source) => items(file, source, lines_before, each),
                Err(error) => each(Err(Problem {
                    file: Some(file.to_owned()),
                    line: Some(lines_before + error.line),
                    message: format!("{}{}", error.message, std::mem::take(&mut hint)),
                })),
            }
        }
    }
}

const TEMPLATE: &str = "; this looks like a template of Helm: check what `helm template` prints";

/// JSON documents may follow each other with nothing between them, as `jq` prints them; anything else is one piece.
fn pieces(text: &str) -> Vec<(&str, usize)> {
    let whole = vec![(text, 0)];
    if !text.trim_start().starts_with('{') {
        return whole;
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut pieces, mut start, mut lines_before) = (Vec::new(), 0, 0);
    while let Some(Ok(_)) = stream.next() {
        let piece = &text[start..stream.byte_offset()];
        pieces.push((piece, lines_before));
        lines_before += line_breaks(piece.as_bytes());
        start = stream.byte_offset();
    }
    let rest = &text[start..];
    // One JSON document and then something else is for the YAML reader, which knows `---`.
    if pieces.len() < 2 {
        return whole;
    }
    pieces.push((rest, lines_before));
    pieces
}

/// A List is its items; each is a document of its own.
fn items(
    file: &str,
    source: yaml::Document,
    lines_before: usize,
    each: &mut dyn FnMut(Result<Document, Problem>),
) {
    let source = Rc::new(source);
    flatten(source.value.clone(), String::new(), &mut |at, value| {
        let line = lines_before + source.line_of(&at);
        each(Ok(Document {
            file: file.to_owned(),
            line,
            value,
            form: Form::Manifests,
            source: Some(Rc::clone(&source)),
            at,
            lines_before,
        }));
    });
}

/// As deep as the reader lets documents nest, so this ends.
fn flatten(mut value: Value, at: String, each: &mut dyn FnMut(String, Value)) {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let Some(item_kind) = kind.strip_suffix("List").map(str::to_owned) else {
        return each(at, value);
    };
    let version = value.get("apiVersion").cloned();
    let Some(list) = value.get_mut("items").and_then(Value::as_array_mut) else {
        return each(at, value);
    };
    for (index, mut item) in std::mem::take(list).into_iter().enumerate() {
        // The API leaves the kind out of the items of a typed list.
        if let Value::Object(map) = &mut item
            && !item_kind.is_empty()
            && !map.contains_key("kind")
        {
            map.insert("kind".into(), item_kind.as_str().into());
            if let Some(version) = &version {
                map.entry("apiVersion").or_insert_with(|| version.clone());
            }
        }
        flatten(item, format!("{at}/items/{index}"), each);
    }
}

#[cfg(test)]
mod tests {
    use super::documents;

    fn read(text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        documents("f", text, &mut |read| {
            seen.push(match read {
                Ok(document) => {
                    let kind = document.value["kind"].as_str().unwrap_or("-").to_owned();
                    format!("{} {kind} {}", document.line, document.line_of("/metadata/name"))
                }
                Err(problem) => format!("{} broken", problem.line.unwrap_or_default()),
            });
        });
        seen
    }

    #[test]
    fn documents_have_their_lines() {
        let helm = "---\n# Source: chart/templates/a.yaml\n---\n# Source: b\nkind: A\nmetadata:\n  name: x\n---\n\n---\nkind: B\n";
        assert_eq!(read(helm), ["5 A 7", "11 B 11"]);
    }

    #[test]
    fn the_items_of_lists_are_documents() {
        let list =
            "kind: List\nitems:\n- kind: A\n  metadata:\n    name: x\n- kind: List\n  items:\n  - kind: B\n";
        assert_eq!(read(list), ["3 A 5", "8 B 8"]);
        let typed = "apiVersion: v1\nkind: PodList\nitems:\n- metadata:\n    name: x\n";
        assert_eq!(read(typed), ["4 Pod 5"]);
        assert_eq!(read("kind: AllowList\nspec: {}\n"), ["1 AllowList 1"]);
    }

    #[test]
    fn json_may_follow_json() {
        let stream = "{\"kind\": \"A\"}\n{\n\"kind\": \"B\",\n\"metadata\": {\n\"name\": \"x\"}}\n";
        assert_eq!(read(stream), ["1 A 1", "2 B 5"]);
        assert_eq!(read("{\"kind\": \"A\"}\n---\n{\"kind\": \"B\"}\n"), ["1 A 1", "3 B 3"]);
        assert_eq!(read("{\"kind\": \"A\"}\n{\"kind\": \"B\"}\n{\"kind\"\n"), ["1 A 1", "2 B 2", "4 broken"]);
    }

    #[test]
    fn a_broken_document_leaves_the_rest() {
        assert_eq!(read("kind: A\n---\na: [\n---\nkind: B\n"), ["1 A 1", "4 broken", "5 B 5"]);
    }
}
