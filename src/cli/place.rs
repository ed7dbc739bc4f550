//! Where in a manifest a pointer leads, in the words that people use for it: container `web`, env `DATABASE_URL`.

use std::collections::HashMap;

use serde_json::Value;

use super::emit;

/// A place, for eyes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Name of the container, where it stands in one.
    pub container: Option<String>,
    /// `env NAME`, `annotation NAME`, `args[2]`, or the end of the pointer.
    pub what: String,
}

/// The place that `pointer` leads to in `document`.
pub fn of(document: &Value, pointer: &str) -> Place {
    let tokens: Vec<String> = pointer.split('/').skip(1).map(unescape).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let mut container = None;
    let mut start = 0;
    for (index, pair) in tokens.windows(2).enumerate() {
        if matches!(pair[0], "containers" | "initContainers" | "ephemeralContainers") {
            container =
                Some(named(document, &tokens[..index + 2]).unwrap_or_else(|| format!("#{}", pair[1])));
            start = index + 2;
            break;
        }
    }
    Place { container, what: what(document, &tokens, start) }
}

/// Every place of a document by the words that sentences name it with.
pub fn all(document: &Value) -> HashMap<String, String> {
    let mut places = HashMap::new();
    collect(document, document, &mut String::new(), &mut places);
    places
}

fn collect(document: &Value, value: &Value, pointer: &mut String, places: &mut HashMap<String, String>) {
    let length = pointer.len();
    let mut enter = |token: &str, inner: &Value| {
        emit::push_token(pointer, token);
        collect(document, inner, pointer, places);
        pointer.truncate(length);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| enter(key, inner)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, inner)| enter(&index.to_string(), inner));
        }
        _ => {
            let Place { container, what } = of(document, pointer);
            let sentence = match container {
                Some(container) => format!("container {container}, {what}"),
                None => what,
            };
            // Of an env entry it is the value that is spoken of, not its name.
            if pointer.ends_with("/value") {
                places.insert(sentence, pointer.clone());
            } else {
                places.entry(sentence).or_insert_with(|| pointer.clone());
            }
        }
    }
}

fn what(document: &Value, tokens: &[&str], start: usize) -> String {
    let tail = &tokens[start..];
    let listed = |list: &str, word: &str| {
        let at = tail.windows(2).position(|pair| pair[0] == list)?;
        let name = named(document, &tokens[..start + at + 2]);
        Some(format!("{word} {}", name.unwrap_or_else(|| format!("#{}", tail[at + 1]))))
    };
    if let Some(env) = listed("env", "env") {
        return env;
    }
    if let Some(header) = listed("httpHeaders", "header") {
        return header;
    }
    if let Some(at) = tail.windows(2).position(|pair| pair[0] == "annotations") {
        return format!("annotation {}", tail[at + 1]);
    }
    if start == 0
        && let Some(volume) = listed("volumes", "volume")
    {
        return volume;
    }
    if let Some(list) = ["envFrom", "imagePullSecrets"].into_iter().find(|list| tail.contains(list)) {
        return list.to_owned();
    }
    // Without a container the whole pointer says more than its end.
    let shown = if start == 0 { tail.iter().rev().take(3).rev().copied().collect() } else { tail.to_vec() };
    readable(&shown)
}

/// `lifecycle.preStop.exec.command[2]`.
fn readable(tokens: &[&str]) -> String {
    let mut out = String::new();
    for token in tokens {
        if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()) {
            out.push_str(&format!("[{token}]"));
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(token);
        }
    }
    out
}

fn named(document: &Value, tokens: &[&str]) -> Option<String> {
    let mut value = document;
    for token in tokens {
        value = match value {
            Value::Array(items) => items.get(token.parse::<usize>().ok()?)?,
            other => other.get(token)?,
        };
    }
    value.get("name")?.as_str().map(str::to_owned)
}

fn unescape(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::{Place, of};
    use serde_json::json;

    #[test]
    fn places_are_said_in_words() {
        let document = json!({"spec": {
            "initContainers": [{"name": "migrate"}],
            "containers": [{"name": "web", "env": [{"name": "A"}, {"name": "B"}],
                "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization"}]}}}],
            "volumes": [{"name": "tls"}],
        }});
        for (pointer, container, what) in [
            ("/spec/containers/0/env/1/value", Some("web"), "env B"),
            ("/spec/containers/0/env/7/value", Some("web"), "env #7"),
            ("/spec/containers/4/env/1/value", Some("#4"), "env #1"),
            ("/spec/initContainers/0/args/2", Some("migrate"), "args[2]"),
            (
                "/spec/containers/0/lifecycle/preStop/exec/command/1",
                Some("web"),
                "lifecycle.preStop.exec.command[1]",
            ),
            (
                "/spec/containers/0/livenessProbe/httpGet/httpHeaders/0/value",
                Some("web"),
                "header Authorization",
            ),
            ("/metadata/annotations/env.refgate.dev~1A", None, "annotation env.refgate.dev/A"),
            ("/spec/volumes/0/secret/secretName", None, "volume tls"),
            ("/spec/imagePullSecrets/0/name", None, "imagePullSecrets"),
            ("", None, ""),
        ] {
            let expected = Place { container: container.map(str::to_owned), what: what.to_owned() };
            assert_eq!(of(&document, pointer), expected, "{pointer}");
        }
    }
}
