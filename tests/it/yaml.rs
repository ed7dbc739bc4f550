//! YAML and JSON as documents with lines.

mod corpus;

use proptest::prelude::*;
use refgate::yaml::{Document, YamlError, documents};
use serde_json::{Value, json};

fn one(text: &str) -> Document {
    let mut all: Vec<_> = documents(text).collect();
    assert_eq!(all.len(), 1, "{text:?}: {all:?}");
    all.remove(0).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn value(text: &str) -> Value {
    one(text).value
}

fn error(text: &str) -> YamlError {
    let errors: Vec<_> = documents(text).filter_map(Result::err).collect();
    assert_eq!(errors.len(), 1, "{text:?}: {errors:?}");
    errors[0].clone()
}

#[test]
fn scalars_are_those_of_kubectl() {
    for (text, expected) in [
        ("~", json!(null)),
        ("Null", json!(null)),
        ("TRUE", json!(true)),
        ("False", json!(false)),
        ("yes", json!(true)),
        ("off", json!(false)),
        ("'off'", json!("off")),
        ("12", json!(12)),
        ("+12", json!(12)),
        ("-12", json!(-12)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("0644", json!(420)),
        ("-010", json!(-8)),
        ("089", json!(89)),
        ("0", json!(0)),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("18446744073709551616", json!(18446744073709551616.0)),
        ("1.5", json!(1.5)),
        (".5", json!(0.5)),
        ("1.", json!(1)),
        ("1e3", json!(1000)),
        ("-1.5E-2", json!(-0.015)),
        ("1_000", json!(1000)),
        ("1e999", json!("1e999")),
        ("1.2.3", json!("1.2.3")),
        ("0x", json!("0x")),
        ("0o8", json!("0o8")),
        ("0x-1", json!("0x-1")),
        (".", json!(".")),
        ("+.e", json!("+.e")),
        ("1e", json!("1e")),
        ("12:30:45", json!("12:30:45")),
        ("2001-12-14", json!("2001-12-14")),
        ("infinity", json!("infinity")),
        ("'12'", json!("12")),
        ("\"~\"", json!("~")),
        ("!!str 12", json!("12")),
        ("!!int \"12\"", json!(12)),
        ("!!float 1", json!(1)),
        ("!vault abc", json!("abc")),
        ("! 12", json!("12")),
        ("|\n  a\n  b\n", json!("a\nb\n")),
        (">-\n  a\n  b\n", json!("a b")),
    ] {
        let all = value(&format!("k: {text}"));
        assert_eq!(all["k"], expected, "{text}");
    }
    for text in [".inf", "-.Inf", ".nan", "!!int x", "!!bool 1", "!!null x"] {
        assert_eq!(error(&format!("a: 1\nk: {text}")).line, 2, "{text}");
    }
}

#[test]
fn keys_are_text() {
    assert_eq!(value("1: a\ntrue: b\n1.5: c"), json!({"1": "a", "true": "b", "1.5": "c"}));
    for text in ["~: 1", "[a]: 1", "{a: 1}: 1"] {
        assert_eq!(error(text).line, 1, "{text}");
    }
}

#[test]
fn of_a_key_that_stands_twice_the_last_value_counts_and_the_earlier_ones_are_kept() {
    for (text, counts, earlier, repeated) in [
        ("a: 1\nb: 2\na: 3", json!({"a": 3, "b": 2}), vec![json!({"a": 1, "b": 2})], vec![("/a", 1)]),
        ("a: 1\n'a': 2", json!({"a": 2}), vec![json!({"a": 1})], vec![("/a", 1)]),
        (
            "x:\n  - 1: 1\n    '1': 2",
            json!({"x": [{"1": 2}]}),
            vec![json!({"x": [{"1": 1}]})],
            vec![("/x/0/1", 2)],
        ),
        (
            "{\"a\": 1,\n\"b\": 2,\n\"\\u0061\": {\"c\": 3,\"c\": 4}}",
            json!({"a": {"c": 4}, "b": 2}),
            vec![json!({"a": 1, "b": 2}), json!({"a": {"c": 3}, "b": 2})],
            vec![("/a/c", 3), ("/a", 1)],
        ),
        // Each value comes up once, in as few documents as that takes.
        (
            "a: {b: 1, b: 2}\nc/: x\na: {b: 3, b: 4}\nc/: z\n",
            json!({"a": {"b": 4}, "c/": "z"}),
            vec![
                json!({"a": {"b": 1}, "c/": "x"}),
                json!({"a": {"b": 2}, "c/": "z"}),
                json!({"a": {"b": 3}, "c/": "z"}),
            ],
            vec![("/a/b", 1), ("/a/b", 3), ("/a", 1), ("/c~1", 2)],
        ),
        // A merge behind a key replaces it, for kubectl.
        (
            "b: &b {x: 1}\na:\n  x: 2\n  <<: *b\n",
            json!({"a": {"x": 1}, "b": {"x": 1}}),
            vec![json!({"a": {"x": 2}, "b": {"x": 1}})],
            vec![("/a/x", 3)],
        ),
    ] {
        let document = one(text);
        assert_eq!(document.value, counts, "{text}");
        assert_eq!(document.earlier().map(|document| document.value).collect::<Vec<_>>(), earlier, "{text}");
        let found = document.repeated();
        let found: Vec<_> = found.iter().map(|repeated| (&*repeated.pointer, repeated.line)).collect();
        assert_eq!(found, repeated, "{text}");
        assert!(document.with_single_keys().is_err());
    }
    let document = one("a: 1\nb: 2\na: 3");
    assert_eq!((document.line_of("/a"), document.earlier().next().unwrap().line_of("/a")), (3, 1));
    assert_eq!(document.with_single_keys().unwrap_err().line, 3);
    let single = one("a: 1\nb: {a: 2}");
    assert_eq!((single.earlier().count(), single.repeated().len()), (0, 0));
    assert!(single.with_single_keys().is_ok());
    // What is missing between two objects.
    let two = one("apiVersion: v1\nkind: A\nspec: {kind: x, kind: y}\napiVersion: v1\nkind: B\n");
    let missing: Vec<_> = two.repeated().iter().map(|repeated| repeated.is_of_an_object).collect();
    assert_eq!(missing, [false, true, true]);
    // Each time the document is judged once more, so that has an end.
    for text in ["a: 1\n".repeat(17), format!("{{{}\"b\":1}}", "\"a\":1,".repeat(17))] {
        assert!(error(&text).message.contains("too often"));
    }
}

#[test]
fn aliases_and_merges_are_written_out() {
    assert_eq!(value("a: &x {b: [1]}\nc: *x"), json!({"a": {"b": [1]}, "c": {"b": [1]}}));
    let merged = "base: &b {x: 1, v: 1}\nmore: &m {v: 2, z: 2}\nall:\n  z: 3\n  <<: [*b, *m]\n";
    assert_eq!(value(merged)["all"], json!({"x": 1, "v": 1, "z": 2}));
    assert_eq!(value("b: &b {x: 1}\na:\n  <<: *b\n  x: 2\n")["a"], json!({"x": 2}));
    assert_eq!(value("'<<': {x: 1}"), json!({"<<": {"x": 1}}));
    assert_eq!(value("{\"<<\": {\"x\": 1}}"), json!({"<<": {"x": 1}}));
    for (text, line) in [("a: 1\n<<: 7\n", 2), ("a: *nowhere", 1), ("a: &a [*a]", 1)] {
        assert_eq!(error(text).line, line, "{text}");
    }
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let inner = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
    }
    assert!(error(&laughs).message.contains("expand to too much"));
    // One long text, many times.
    let long = format!("a: &a {}\nb: [{}]", "x".repeat(1 << 20), vec!["*a"; 1000].join(", "));
    assert!(error(&long).message.contains("expand to too much"));
    // Depth, plain and by aliases that hold each other.
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
        assert_eq!(documents(&text).filter(Result::is_err).count(), 1);
    }
    let mut chain = String::from("a0: &a0 [[[[[[[[[[1]]]]]]]]]]\n");
    for level in 1..1000 {
        chain.push_str(&format!("a{level}: &a{level} [[[[[[[[[[*a{}]]]]]]]]]]\n", level - 1));
    }
    assert!(error(&chain).message.contains("nested too deeply"));
}

#[test]
fn a_broken_document_does_not_hide_the_others() {
    let text =
        "a: 1\n---\nb: [\n---\nc: 3\n--- {d: 4}\n...\n# nothing\n---\n---\n- e\n---\nf: 'open\n---\ng: 7\n";
    let read: Vec<_> = documents(text)
        .map(|document| document.map(|document| (document.line, document.value)).map_err(|error| error.line))
        .collect();
    let expected = [
        Ok((1, json!({"a": 1}))),
        Err(3),
        Ok((5, json!({"c": 3}))),
        Ok((6, json!({"d": 4}))),
        Ok((11, json!(["e"]))),
        Err(13),
        Ok((15, json!({"g": 7}))),
    ];
    assert_eq!(read, expected);
}

#[test]
fn separators_directives_and_line_ends() {
    for text in ["", "\n\n", "# only a comment\n", "---\n", "---\n---\n...\n", "\u{feff}# bom\n", "~"] {
        assert_eq!(documents(text).count(), 0, "{text:?}");
    }
    assert_eq!(value("\u{feff}a: 1"), json!({"a": 1}));
    assert_eq!(value("%YAML 1.2\n---\na: 1"), json!({"a": 1}));
    assert_eq!(value("%TAG !e! tag:example.com,2000:\n---\na: !e!x 1"), json!({"a": "1"}));
    assert_eq!(value("a: ---\nb: ...\nc: --- x"), json!({"a": "---", "b": "...", "c": "--- x"}));
    assert_eq!(value("script: |\n  ---\n  x\n"), json!({"script": "---\nx\n"}));
    let crlf: Vec<_> = documents("a: 1\r\n---\r\nb: 2\r\n").map(|document| document.unwrap().value).collect();
    assert_eq!(crlf, [json!({"a": 1}), json!({"b": 2})]);
}

#[test]
fn json_is_read_as_json() {
    let text = "\n{\n\t\"a\": \"\\ud83d\\ude00\\/\",\n\t\"b\": [1,\n\t\t{\"c\": null}]\n}\n";
    let document = one(text);
    assert_eq!(document.value, json!({"a": "😀/", "b": [1, {"c": null}]}));
    let lines =
        ["", "/a", "/b", "/b/0", "/b/1", "/b/1/c", "/b/1/d", "/x"].map(|pointer| document.line_of(pointer));
    assert_eq!(lines, [2, 3, 4, 4, 5, 5, 5, 2]);
    assert_eq!(value("{a: 1, b: [x, z]}"), json!({"a": 1, "b": ["x", "z"]}));
    assert_eq!(value("[1, \"a\\\\\", \"b\\\"\", true]"), json!([1, "a\\", "b\"", true]));
}

#[test]
fn every_value_knows_its_line() {
    let text = "# first\nkind: Pod\nspec:\n  containers:\n  - name: web\n    env:\n    - {name: A,\n       value: b}\n  a/b~c: |\n    text\n  same: &s\n    x: 1\n  alias: *s\n";
    for (first, text) in [(0, text.to_owned()), (3, format!("a: 1\n\n---\n{text}"))] {
        let document = documents(&text).last().unwrap().unwrap();
        for (pointer, line) in [
            ("", 2),
            ("/kind", 2),
            ("/spec/containers/0/name", 5),
            ("/spec/containers/0/env/0/name", 7),
            ("/spec/containers/0/env/0/value", 8),
            ("/spec/a~1b~0c", 9),
            ("/spec/same/x", 12),
            ("/spec/alias", 13),
            ("/spec/alias/x", 13),
            ("/spec/containers/7/name", 5),
            ("/spec/none/at/all", 4),
            ("no pointer", 2),
        ] {
            assert_eq!(document.line_of(pointer), first + line, "{pointer}");
        }
    }
}

#[test]
fn a_fault_does_not_repeat_the_text() {
    for text in ["a: @Zq8m", "a: `Zq8m", "a: %Zq8m", "a: *Zq8m", "a: !Zq8m!x 1", "a: \"\\qZq8m\"", "a: [Zq8m"]
    {
        let said = error(text).message;
        assert!(!said.contains(['@', '`', '%', '*']) && !said.contains("Zq8"), "{text}: {said}");
    }
}

/// Pieces that YAML is made of, so that generated text is nearly YAML.
fn nearly_yaml() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a"),
        Just(": "),
        Just(":"),
        Just("- "),
        Just("-"),
        Just("\n"),
        Just("  "),
        Just("\t"),
        Just("["),
        Just("]"),
        Just("{"),
        Just("}"),
        Just(", "),
        Just("&x "),
        Just("*x"),
        Just("<<"),
        Just("!!int "),
        Just("!t "),
        Just("'"),
        Just("\""),
        Just("\\"),
        Just("|"),
        Just(">-"),
        Just("---"),
        Just("..."),
        Just("%TAG"),
        Just("# c"),
        Just("? "),
        Just("0x1"),
        Just("1e5"),
        Just("ä"),
        Just("\r"),
        Just("\u{feff}"),
        Just("\u{85}"),
        Just("\0"),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in prop_oneof![nearly_yaml(), any::<String>()]) {
        let lines = text.matches('\n').count() + 1;
        for document in documents(&text) {
            let line = document.map(|document| document.line).unwrap_or_else(|error| error.line);
            // A carriage return alone is a line break to YAML.
            prop_assert!(line >= 1 && (line <= lines + 1 || text.contains('\r')), "line {} of {}", line, lines);
        }
    }

    #[test]
    fn json_comes_out_as_it_went_in(text in "[a-z\"\\\\\n\u{1}😀/]{0,20}", number in any::<f64>(), integer in any::<i64>()) {
        prop_assume!(number.is_finite());
        let value = json!({"text": text, "list": [number, integer, null, {"deep": {}}], &text: []});
        for written in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let read = documents(&written).next().unwrap().unwrap();
            // As serde_json reads it: its floats may differ in the last bit from what was written.
            prop_assert_eq!(read.value, serde_json::from_str::<Value>(&written).unwrap());
        }
    }
}
