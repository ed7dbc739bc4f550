//! Why a body is no review that can be judged: the sentence or the pointer to the fault, and the uid to answer with.
//!
//! `review` reads in one pass and asks here only when that fails. Nothing is kept of a body but the members that the answer needs.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::carriers::json::Root;
use super::envelope::GroupKind;
use super::review::{API_VERSION, ParseError};
use super::workload::Kind;
use super::workload::json::{Text, escape};
use super::workload::object::ObjectSeed;

/// Most elements and fields of a review, old object included: 3 MiB as Kubernetes writes them have a third of that. An element
/// of a few bytes takes many times those while it is judged.
pub const ELEMENTS: usize = 300_000;

/// Whether a text has more commas outside of its strings than a review may have elements. A shorter text has not.
pub(super) fn has_too_many_elements(body: &[u8]) -> bool {
    if body.len() <= ELEMENTS {
        return false;
    }
    let (mut commas, mut is_string, mut is_escaped) = (0, false, false);
    for &byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_string,
            b'"' => is_string = !is_string,
            b',' if !is_string => commas += 1,
            _ => {}
        }
    }
    commas > ELEMENTS
}

/// Reads an object on its own; a fault gets the pointer into it.
pub(super) fn read_raw<'a, S: DeserializeSeed<'a>>(
    raw: &'a RawValue,
    seed: S,
    field: &str,
    uid: &str,
) -> Result<S::Value, ParseError> {
    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    let mut track = serde_path_to_error::Track::new();
    seed.deserialize(serde_path_to_error::Deserializer::new(&mut deserializer, &mut track)).map_err(|error| {
        ParseError::Object {
            uid: uid.to_owned(),
            pointer: format!("{field}{}", pointer(&track.path())),
            problem: describe(&error),
        }
    })
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape(key))),
            Segment::Enum { variant } => pointer.push_str(&format!("/{}", escape(variant))),
            Segment::Unknown => {}
        }
    }
    pointer
}

/// What the reader says, without its position, and never with the value that it met: serde quotes unexpected values.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    match (text.strip_prefix("invalid type: "), text.rsplit_once(", expected ")) {
        (Some(rest), Some((_, expected))) => {
            let met = rest.split([' ', ',']).next().unwrap_or_default();
            let met = match met {
                "string" | "integer" | "boolean" | "null" | "map" | "sequence" => met,
                "floating" => "number",
                _ => "another type",
            };
            let quotes = expected == "a string" && matches!(met, "integer" | "boolean" | "number");
            format!(
                "expected {expected}, found {met}{}",
                if quotes { "; put the value in quotes" } else { "" }
            )
        }
        _ if text.starts_with("invalid length") => {
            format!("too long: expected {}", text.rsplit_once(", expected ").map_or("less", |(_, most)| most))
        }
        _ if text.starts_with("missing field") || text.starts_with("duplicate field") => text.to_owned(),
        _ => "it does not read as Kubernetes would write it".to_owned(),
    }
}

/// Members of an object that the answer to a review needs which does not read, unread. Of two with one name the last counts.
struct Members<'a>(HashMap<&'static str, &'a RawValue>);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const KEPT: [&str; 6] = ["apiVersion", "kind", "object", "oldObject", "request", "uid"];
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = HashMap::new();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match KEPT.into_iter().find(|name| *name == &*key) {
                        Some(name) => drop(members.insert(name, map.next_value()?)),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Why a body does not read.
pub(super) fn fault(body: &[u8], kinds: &[Kind]) -> ParseError {
    let not = |what: &str| ParseError::NotAReview(what.to_owned());
    let envelope: Members<'_> = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        Err(error) if error.is_data() => {
            return not("the body is not an AdmissionReview: it is no JSON object");
        }
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return ParseError::NotAReview(format!(
                "the body is not JSON: it breaks at line {line}, column {column}"
            ));
        }
    };
    fn text<'a>(members: &Members<'a>, name: &str) -> Option<Text<'a>> {
        members.get(name).and_then(|raw| serde_json::from_str(raw.get()).ok())
    }
    if text(&envelope, "kind").as_deref() != Some("AdmissionReview") {
        return not("the body is not an AdmissionReview: its kind is another or missing");
    }
    if text(&envelope, "apiVersion").as_deref() != Some(API_VERSION) {
        return not("the AdmissionReview is not of version admission.k8s.io/v1");
    }
    let Some(request) =
        envelope.get("request").and_then(|raw| serde_json::from_str::<Members<'_>>(raw.get()).ok())
    else {
        return not("the AdmissionReview has no request");
    };
    let Some(uid) = text(&request, "uid").filter(|uid| !uid.is_empty()) else {
        return not("the request of the AdmissionReview has no uid");
    };
    if has_too_many_elements(body) {
        let problem = format!("it has more than {ELEMENTS} elements; make the object smaller");
        return ParseError::Object { uid: uid.to_string(), pointer: "/request".to_owned(), problem };
    }
    let kind: Option<GroupKind<'_>> =
        request.get("kind").and_then(|raw| serde_json::from_str(raw.get()).ok());
    let (row, is_carried) =
        (kind.as_ref().and_then(|kind| kind.row(kinds)), kind.as_ref().is_some_and(GroupKind::is_carried));
    for (name, field) in [("object", ""), ("oldObject", "/oldObject")] {
        let Some(raw) = request.get(name) else { continue };
        let read = match row {
            _ if is_carried => read_raw(raw, Root, field, &uid).map(drop),
            Some(row) => read_raw(raw, ObjectSeed(row), field, &uid).map(drop),
            None => Ok(()),
        };
        if let Err(error) = read {
            return error;
        }
    }
    ParseError::Object {
        uid: uid.to_string(),
        pointer: "/request".to_owned(),
        problem: "a field of the request is missing, doubled, unknown or of another type".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::review::{Endpoint, parse};
    use super::super::workload::KINDS;
    use super::*;

    fn review(arguments: &str) -> String {
        let object = format!(r#"{{"spec":{{"containers":[{{"name":"web","args":[{arguments}]}}]}}}}"#);
        format!(
            r#"{{"apiVersion":"{API_VERSION}","kind":"AdmissionReview","request":{{"uid":"u","operation":"CREATE",
                "kind":{{"group":"","version":"v1","kind":"Pod"}},"namespace":"stage","object":{object}}}}}"#
        )
    }

    /// Commas in texts are no elements, whatever stands before a quote.
    #[test]
    fn a_review_of_too_many_elements_is_not_read_and_keeps_its_uid() {
        let read =
            |arguments: &str| parse(review(arguments).as_bytes(), Endpoint::Validate, &KINDS).map(drop);
        let many = vec![r#""""#; ELEMENTS + 1].join(",");
        let Err(ParseError::Object { uid, problem, .. }) = read(&many) else { panic!("it was read") };
        assert_eq!((&*uid, problem.contains("more than 300000 elements")), ("u", true), "{problem}");
        let text = ",".repeat(2 * ELEMENTS);
        assert_eq!(read(&format!(r#""{text}\\","\"{text}""#)), Ok(()));
    }
}
