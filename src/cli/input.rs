//! Files, folders and standard input to documents, each with its file and its lines.
//!
//! Nothing here knows what a workload is. What cannot be read is a [`Problem`], and the rest goes on.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tempfile::SpooledTempFile;

use super::form::{Form, MAX_KEY_FILE_BYTES, is_named_like_key};
use super::repeated;
use crate::yaml;

/// The name that findings in standard input are reported under.
pub const STDIN: &str = "-";

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
    /// What there is to say of keys that stand more than once in it.
    pub notes: Vec<String>,
    /// The same manifest with the values that kubectl leaves out, since a later one of the same key replaces them.
    pub earlier: Vec<Document>,
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
        Self::new(file.to_owned(), value, form, None)
    }

    fn new(file: String, value: Value, form: Form, source: Option<Rc<yaml::Document>>) -> Self {
        let (notes, earlier, at) = (Vec::new(), Vec::new(), String::new());
        Self { file, line: 1, value, form, notes, earlier, source, at, lines_before: 0 }
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

/// What reading comes upon.
pub enum Read {
    /// One manifest.
    Document(Document),
    /// Something that could not be read.
    Problem(Problem),
    /// A file is over.
    End,
}

/// So many bytes of standard input, or of a pipe, are held in memory; a longer one is in an unlinked file.
const SPOOL_BYTES: usize = 1 << 20;

/// The files of a command. They may be read more than once: standard input, and whatever else can be read but once, is kept.
pub struct Sources {
    paths: Vec<(PathBuf, Option<io::Result<SpooledTempFile>>)>,
}

impl Sources {
    /// Files, folders, or `-` for `stdin`, which is read here to its end.
    pub fn new(paths: &[PathBuf], stdin: &mut dyn io::Read) -> Self {
        let mut spooled = |path: &PathBuf| {
            if path.as_os_str() == STDIN {
                return Some(spool(stdin));
            }
            // A pipe, such as `/dev/fd/63` of a shell.
            let is_stream = fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir());
            is_stream.then(|| spool(&mut File::open(path)?))
        };
        Self { paths: paths.iter().map(|path| (path.clone(), spooled(path))).collect() }
    }

    /// Reads every path in turn and hands on what it holds. Gives what held nothing and should have: who pipes the output of a
    /// program that failed must not hear that all is well. A file may be empty beside others.
    pub fn read(&mut self, each: &mut dyn FnMut(Read)) -> Option<Problem> {
        self.read_where(&|_| true, each)
    }

    /// The same for files whose text is `wanted` alone.
    pub fn read_where(
        &mut self,
        wanted: &dyn Fn(&str) -> bool,
        each: &mut dyn FnMut(Read),
    ) -> Option<Problem> {
        let count = Cell::new(0_usize);
        let (mut files, mut is_stdin_empty) = (0_usize, false);
        let mut each = |read| {
            count.set(count.get() + usize::from(!matches!(read, Read::End)));
            each(read);
        };
        for (path, spooled) in &mut self.paths {
            let before = count.get();
            let Some(spooled) = spooled else {
                files_of(path, &mut |found| match found {
                    Ok(path) => {
                        files += 1;
                        decode(&shown(path), fs::read(path), wanted, &mut each);
                    }
                    Err(problem) => each(Read::Problem(problem)),
                });
                continue;
            };
            files += 1;
            decode(&shown(path), whole(spooled), wanted, &mut each);
            is_stdin_empty |= path.as_os_str() == STDIN && count.get() == before;
        }
        let nothing = |message| Some(Problem { file: None, line: None, message });
        let names =
            || self.paths.iter().map(|(path, _)| path.display().to_string()).collect::<Vec<_>>().join(", ");
        match count.get() {
            _ if is_stdin_empty => nothing(
                "nothing was read: standard input holds no document; did the command before it fail?"
                    .to_owned(),
            ),
            0 if files == 0 => nothing(format!(
                "nothing was read: {} holds no file that ends in .yaml, .yml or .json; name the file or folder with the manifests",
                names()
            )),
            0 => nothing(format!("nothing was read: there is no document in {}", names())),
            _ => None,
        }
    }
}

fn spool(from: &mut dyn io::Read) -> io::Result<SpooledTempFile> {
    let mut spooled = SpooledTempFile::new(SPOOL_BYTES);
    io::copy(from, &mut spooled)?;
    Ok(spooled)
}

fn whole(spooled: &mut io::Result<SpooledTempFile>) -> io::Result<Vec<u8>> {
    let spooled = spooled.as_mut().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    spooled.rewind()?;
    let mut bytes = Vec::new();
    spooled.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn shown(path: &Path) -> String {
    // `refgate check` alone means the folder it stands in; `./` before each name would say nothing.
    path.strip_prefix("./").unwrap_or(path).display().to_string()
}

fn unreadable(file: &str, error: &std::io::Error) -> Problem {
    Problem { file: Some(file.to_owned()), line: None, message: format!("cannot be read: {error}") }
}

/// Hands on what the bytes of a file hold, and that it is over.
fn decode(file: &str, bytes: io::Result<Vec<u8>>, wanted: &dyn Fn(&str) -> bool, each: &mut dyn FnMut(Read)) {
    let problem = |line, message: &str| {
        Read::Problem(Problem { file: Some(file.to_owned()), line, message: message.to_owned() })
    };
    match bytes.map(|bytes| (Form::of(&bytes), String::from_utf8(bytes))) {
        Err(error) => each(Read::Problem(unreadable(file, &error))),
        Ok((Form::Unreadable(message), _)) => each(problem(None, message)),
        Ok((form @ (Form::Encrypted(_) | Form::PrivateKey), text)) => {
            each(Read::Document(Document::of_file(file, form, text.unwrap_or_default())));
        }
        Ok((Form::Manifests, Ok(text))) if !wanted(&text) => {}
        Ok((Form::Manifests, Ok(text))) => documents(file, &text, &mut |read| {
            each(match read {
                Ok(document) => Read::Document(document),
                Err(problem) => Read::Problem(problem),
            });
        }),
        Ok((Form::Manifests, Err(error))) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            each(problem(Some(1 + line_breaks(good)), "this is not UTF-8"));
        }
    }
    each(Read::End);
}

fn line_breaks(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// A file as it is named, or the manifests below a folder, in the order of their names.
fn files_of(path: &Path, each: &mut dyn FnMut(Result<&Path, Problem>)) {
    if path.is_dir() {
        walk(path, &mut BTreeSet::new(), each);
    } else {
        // Whatever it is called, somebody named it.
        each(Ok(path));
    }
}

fn walk(folder: &Path, seen: &mut BTreeSet<PathBuf>, each: &mut dyn FnMut(Result<&Path, Problem>)) {
    // A folder is entered once, by whatever name: that ends loops of links.
    let entries = fs::canonicalize(folder).and_then(|real| {
        if !seen.insert(real) {
            return Ok(Vec::new());
        }
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
    });
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return each(Err(unreadable(&shown(folder), &error))),
    };
    entries.sort();
    for entry in &entries {
        if entry.is_dir() {
            walk(entry, seen, each);
        } else if is_manifest(entry) || is_key(entry) {
            each(Ok(entry));
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

/// A List is its items; each is a document of its own. What is replaced in one goes with it, or behind all where the whole is.
fn items(
    file: &str,
    source: yaml::Document,
    lines_before: usize,
    each: &mut dyn FnMut(Result<Document, Problem>),
) {
    let repeated = source.repeated();
    let mut earlier: BTreeMap<String, Vec<Document>> = BTreeMap::new();
    for reading in source.earlier() {
        split(file, reading, lines_before, &mut |document| {
            earlier.entry(document.at.clone()).or_default().push(document);
        });
    }
    split(file, source, lines_before, &mut |mut document| {
        document.notes = repeated::notes(&repeated, &document.at, lines_before);
        document.earlier = earlier.remove(&document.at).unwrap_or_default();
        each(Ok(document));
    });
    earlier.into_values().flatten().for_each(|document| each(Ok(document)));
}

fn split(file: &str, mut source: yaml::Document, lines_before: usize, each: &mut dyn FnMut(Document)) {
    // Of what is handed on the lines alone are needed.
    let value = std::mem::take(&mut source.value);
    let source = Rc::new(source);
    flatten(value, String::new(), &mut |at, value| {
        let line = lines_before + source.line_of(&at);
        let document = Document::new(file.to_owned(), value, Form::Manifests, Some(Rc::clone(&source)));
        each(Document { line, at, lines_before, ..document });
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
        assert_eq!(read("{\"kind\": \"A\"}\n{\"kind\": \"B\"}\n{\"kind\"\n"), ["1 A 1", "2 B 2", "3 broken"]);
    }

    #[test]
    fn a_broken_document_leaves_the_rest() {
        assert_eq!(read("kind: A\n---\na: [\n---\nkind: B\n"), ["1 A 1", "3 broken", "5 B 5"]);
    }
}
