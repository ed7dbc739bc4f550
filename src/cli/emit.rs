//! Writes a JSON value as YAML that reads back as the same value, in YAML 1.1 and 1.2 alike.
//!
//! `render` prints manifests with it, and the golden cases are kept in it. Keys come in the order of the source where
//! the caller knows it; what has no place there follows, in the order that people write manifests in.

use serde_json::{Map, Value};

use super::scalar;

/// Where a key or an item stands in the source: the smaller, the earlier; `None` for what is not there.
pub type Place<'a> = dyn Fn(&str) -> Option<usize> + 'a;

/// One document, without a `---` line, with a line break at its end.
pub fn yaml(value: &Value, place: &Place<'_>) -> String {
    let mut writer = Writer { out: String::new(), place, pointer: String::new() };
    match value {
        Value::Object(map) if !map.is_empty() => writer.map(map, 0, false),
        Value::Array(items) if !items.is_empty() => writer.list(items, 0),
        other => {
            writer.scalar(other, 0);
            writer.out.push('\n');
        }
    }
    writer.out
}

/// One token of an RFC 6901 pointer, escaped.
fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

struct Writer<'a> {
    out: String,
    place: &'a Place<'a>,
    pointer: String,
}

impl Writer<'_> {
    /// `inline`: the first key stands behind a `- ` that is written already.
    fn map(&mut self, map: &Map<String, Value>, indent: usize, mut inline: bool) {
        for key in self.ordered(map) {
            let before = self.pointer.len();
            push_token(&mut self.pointer, key);
            if !inline {
                self.indent(indent);
            }
            inline = false;
            self.text(key, None);
            self.out.push(':');
            // The key comes from the map itself.
            self.after_key(&map[key], indent);
            self.pointer.truncate(before);
        }
    }

    fn after_key(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                self.out.push('\n');
                self.map(map, indent + 2, false);
            }
            Value::Array(items) if !items.is_empty() => {
                self.out.push('\n');
                self.list(items, indent);
            }
            other => {
                self.out.push(' ');
                self.scalar(other, indent + 2);
                self.out.push('\n');
            }
        }
    }

    fn list(&mut self, items: &[Value], indent: usize) {
        for (index, item) in items.iter().enumerate() {
            let before = self.pointer.len();
            push_token(&mut self.pointer, &index.to_string());
            self.indent(indent);
            self.out.push_str("- ");
            match item {
                Value::Object(map) if !map.is_empty() => self.map(map, indent + 2, true),
                Value::Array(inner) if !inner.is_empty() => {
                    // A list directly in a list: the dash alone, then the inner list below it.
                    self.out.truncate(self.out.len() - 1);
                    self.out.push('\n');
                    self.list(inner, indent + 2);
                }
                other => {
                    self.scalar(other, indent + 2);
                    self.out.push('\n');
                }
            }
            self.pointer.truncate(before);
        }
    }

    fn scalar(&mut self, value: &Value, indent: usize) {
        match value {
            Value::String(text) => self.text(text, Some(indent)),
            Value::Object(_) => self.out.push_str("{}"),
            Value::Array(_) => self.out.push_str("[]"),
            other => self.out.push_str(&other.to_string()),
        }
    }

    /// `block`: the indent of a block scalar, where one may stand; a key is never one.
    fn text(&mut self, text: &str, block: Option<usize>) {
        match block {
            Some(indent) if scalar::fits_block(text) => self.block(text, indent),
            _ if scalar::is_plain(text) => self.out.push_str(text),
            _ => scalar::quote(&mut self.out, text),
        }
    }

    fn block(&mut self, text: &str, indent: usize) {
        let body = text.trim_end_matches('\n');
        self.out.push_str(match text.len() - body.len() {
            0 => "|-",
            1 => "|",
            _ => "|+",
        });
        let kept = text.strip_suffix('\n').unwrap_or(text);
        for line in kept.split('\n') {
            self.out.push('\n');
            if !line.is_empty() {
                self.indent(indent);
                self.out.push_str(line);
            }
        }
    }

    fn indent(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    fn ordered<'m>(&self, map: &'m Map<String, Value>) -> Vec<&'m String> {
        let mut keys: Vec<(usize, usize, &String)> = map
            .keys()
            .map(|key| {
                let mut pointer = self.pointer.clone();
                push_token(&mut pointer, key);
                ((self.place)(&pointer).unwrap_or(usize::MAX), habit(key), key)
            })
            .collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, _, key)| key).collect()
    }
}

/// The order that people write in, for keys that the source does not place.
fn habit(key: &str) -> usize {
    const FIRST: [&str; 8] =
        ["apiVersion", "kind", "metadata", "name", "namespace", "labels", "annotations", "spec"];
    FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn none(_: &str) -> Option<usize> {
        None
    }

    #[test]
    fn documents_look_as_people_write_them() {
        let value = json!({
            "spec": {"containers": [{"name": "web", "env": [{"value": "yes", "name": "A"}], "args": []}]},
            "metadata": {"labels": {}, "name": "x"},
            "kind": "Pod",
            "apiVersion": "v1",
            "data": {"a": "one\ntwo\n", "b": "one\ntwo", "c": "one\n\n\n", "d": " x\ny"},
            "matrix": [[1, 2], [], null],
        });
        let expected = "\
apiVersion: v1
kind: Pod
metadata:
  name: x
  labels: {}
spec:
  containers:
  - name: web
    args: []
    env:
    - name: A
      value: \"yes\"
data:
  a: |
    one
    two
  b: |-
    one
    two
  c: \"one\\n\\n\\n\"
  d: \" x\\ny\"
matrix:
-
  - 1
  - 2
- []
- null
";
        assert_eq!(yaml(&value, &none), expected);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in values()) {
            let text = yaml(&value, &none);
            let read: Vec<_> = crate::yaml::documents(&text).collect::<Result<_, _>>().unwrap();
            let read = read.first().map_or(&Value::Null, |document| &document.value);
            prop_assert_eq!(read, &value, "\n{}", text);
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[ -~]{0,12}",
            "[a-z:#\\-? '\"\\n\\t\\\\]{0,16}",
            "[-+.0-9xeo_:tfyn~]{0,5}",
            any::<String>(),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            // A whole float is an integer once kubectl has read it.
            any::<f64>().prop_map(|float| if float.fract() == 0.0 { 0.into() } else { float.into() }),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(text.clone(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn the_order_of_the_source_is_kept_where_it_is_known() {
        let value = json!({"a": 1, "b": 2, "c": 3, "d": {"x": 1, "y/z": 2}});
        let place = |pointer: &str| match pointer {
            "/c" => Some(1),
            "/a" => Some(2),
            "/d/y~1z" => Some(3),
            _ => None,
        };
        assert_eq!(yaml(&value, &place), "c: 3\na: 1\nb: 2\nd:\n  y/z: 2\n  x: 1\n");
    }
}
