//! The CEL expressions of the manifests, each held to the bound on what it goes through.

use super::visits::{Length, VISITS};
use super::*;

/// What goes through its receiver.
const LOOPS: [&str; 5] = [".exists(", ".exists_one(", ".all(", ".map(", ".filter("];

/// How a size is compared with the bound: 512 entries, 64 containers.
const GUARDS: [&str; 3] = [".size() > 512", ".size() > 64", ".size() <= 512"];

/// All expressions below an object: where they stand, and their text.
fn expressions(object: &Value, place: &str, found: &mut Vec<(String, String)>) {
    let name = |row: &Value, index: usize| match row["name"].as_str() {
        Some(name) => name.to_owned(),
        None => index.to_string(),
    };
    match object {
        Value::Object(fields) => {
            for (field, value) in fields {
                match (field.as_str(), value) {
                    ("expression", Value::String(text)) => found.push((place.to_owned(), text.clone())),
                    ("messageExpression" | "valueExpression", Value::String(text)) => {
                        found.push((format!("{place} {field}"), text.clone()));
                    }
                    _ => expressions(value, field, found),
                }
            }
        }
        Value::Array(rows) => {
            for (index, row) in rows.iter().enumerate() {
                let own = name(row, index);
                match place {
                    // A webhook has conditions of its own.
                    "webhooks" => {
                        let start = found.len();
                        expressions(row, &own, found);
                        for (inner, _) in &mut found[start..] {
                            *inner = format!("{own}/{}", inner.rsplit('/').next().unwrap());
                        }
                    }
                    _ => expressions(row, &format!("{place}/{own}"), found),
                }
            }
        }
        _ => {}
    }
}

/// The expression that ends before `end`: names, calls, indexes and lists.
fn receiver(text: &str, end: usize) -> &str {
    let bytes = text.as_bytes();
    let mut at = end;
    while at > 0 {
        match bytes[at - 1] {
            b')' | b']' | b'}' => {
                let mut depth = 0;
                while at > 0 {
                    at -= 1;
                    match bytes[at] {
                        b')' | b']' | b'}' => depth += 1,
                        b'(' | b'[' | b'{' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            byte if byte.is_ascii_alphanumeric() || b"_.?".contains(&byte) => at -= 1,
            _ => break,
        }
    }
    &text[at..end]
}

/// The lists and maps that an expression goes through, other than those that it spells out itself.
fn visited(text: &str) -> BTreeSet<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lists = BTreeSet::new();
    for word in LOOPS {
        for (at, _) in text.match_indices(word) {
            lists.insert(receiver(&text, at).to_owned());
        }
    }
    for (at, word) in text.match_indices("sets.contains(") {
        let open = at + word.len() - 1;
        let close =
            (open..=text.len()).find(|end| receiver(&text, *end).starts_with("sets.contains(")).unwrap();
        let arguments = text[open + 1..close - 1].split(", ");
        lists.extend(
            arguments.filter(|list| list.ends_with("orValue([])")).map(|list| list.trim().to_owned()),
        );
    }
    let is_literal = |list: &str| list.starts_with("['") && list.ends_with("']");
    // What comes of a list is no longer than the list, which is seen by itself.
    let comes_of = |list: &str| {
        let start = list.rfind(".map(").max(list.rfind(".filter("));
        start.is_some_and(|start| receiver(list, list.len()).len() == list.len() && start > 0)
    };
    lists.retain(|list| !is_literal(list) && !comes_of(list));
    lists
}

/// All expressions that are shipped: those of the base and of the overlays.
fn shipped() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut files: Vec<PathBuf> = vec![folder().parent().unwrap().join("kustomization.yaml")];
    let mut folders = vec![folder(), folder().parent().unwrap().join("overlays")];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    for object in files.iter().flat_map(|file| documents(file)) {
        let start = all.len();
        expressions(&object, "", &mut all);
        let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        for (place, _) in &mut all[start..] {
            *place = format!("{name} {place}");
        }
    }
    all
}

#[test]
fn every_expression_that_goes_through_a_list_is_in_the_table() {
    let shipped = shipped();
    assert!(shipped.len() > 40, "{}", shipped.len());
    let found: BTreeMap<&str, BTreeSet<String>> = shipped
        .iter()
        .map(|(place, text)| (place.as_str(), visited(text)))
        .filter(|(_, lists)| !lists.is_empty())
        .collect();
    let known = VISITS.iter().map(|(place, visits)| {
        let lists = visits.iter().map(|(list, _)| (*list).to_owned()).collect();
        (*place, lists)
    });
    assert_eq!(found, known.collect());
}

/// Its size is compared with the bound before the first look at an entry: in the expression itself, or in `isTooLarge` of its policy.
#[test]
fn a_guard_stands_left_of_every_loop_over_what_a_tenant_sends() {
    let shipped: BTreeMap<String, String> = shipped().into_iter().collect();
    let text = |place: &str| shipped[place].split_whitespace().collect::<Vec<_>>().join(" ");
    for (place, visits) in VISITS {
        let (text, policy) = (text(place), place.split(' ').next().unwrap());
        for (list, length) in *visits {
            let Length::Grown(_) = length else { continue };
            if text.starts_with("variables.isTooLarge ? []") {
                let guard = &shipped[&format!("{policy} variables/isTooLarge")];
                assert!(guard.contains(list) && guard.contains(".size() > 512"), "{place}: {list}");
                continue;
            }
            let loops = LOOPS.iter().map(|word| format!("{list}{word}"));
            let first =
                loops.chain([format!("{list}, "), format!("{list})")]).filter_map(|word| text.find(&word));
            let before = &text[..first.min().unwrap()];
            let is_guarded = GUARDS.iter().any(|guard| before.contains(&format!("{list}{guard}")));
            assert!(is_guarded, "{place}: {list}");
        }
    }
}

#[test]
fn the_reader_of_expressions_sees_what_they_go_through() {
    let sees = |text: &str| visited(text).into_iter().collect::<Vec<_>>();
    assert_eq!(sees("a.b.?c.orValue({}).exists(k, k == 'x')"), ["a.b.?c.orValue({})"]);
    assert_eq!(sees("(a + b).exists(c, c.?env.all(e, e.x))"), ["(a + b)", "c.?env"]);
    assert_eq!(sees("variables.x.map(k, k).filter(k, k in ['a'])"), ["variables.x"]);
    assert_eq!(sees("!['a', 'b'].exists(p, k.startsWith(p)) && a == b"), [""; 0]);
    assert_eq!(
        sees("!sets.contains(a.orValue([]), b.orValue([]).map(o, o.uid))"),
        ["a.orValue([])", "b.orValue([])"]
    );
}
