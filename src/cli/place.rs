//! Where in a manifest a pointer leads, in the words that people use for it: container `web`, env `DATABASE_URL`.

use serde_json::Value;

/// Up to so many characters a path without a container is shown whole.
const LONG: usize = 48;

/// A place, for eyes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Name of the container, where it stands in one.
    pub container: Option<String>,
    /// `env NAME`, `annotation NAME`, `args[2]`, or the pointer, of a long one its end.
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
    let whole = readable(tail);
    if start > 0 || whole.chars().count() <= LONG {
        return whole;
    }
    // A row has little room: the end, from a name on. A position says nothing without the list before it.
    let mut from = tail.len().saturating_sub(3);
    while from > 0 && is_position(tail[from]) {
        from -= 1;
    }
    readable(&tail[from..])
}

fn is_position(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit())
}

/// `lifecycle.preStop.exec.command[2]`.
fn readable(tokens: &[&str]) -> String {
    let mut out = String::new();
    for token in tokens {
        if is_position(token) {
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
            ("/spec/data/0/remoteRef/key", None, "spec.data[0].remoteRef.key"),
            ("/data/0", None, "data[0]"),
            (
                "/spec/provider/somebodysManager/authentication/0/1/secretRef/accessKeyID",
                None,
                "authentication[0][1].secretRef.accessKeyID",
            ),
            (
                "/spec/provider/somebodysManager/authentication/serviceAccount/name",
                None,
                "authentication.serviceAccount.name",
            ),
            ("", None, ""),
        ] {
            let expected = Place { container: container.map(str::to_owned), what: what.to_owned() };
            assert_eq!(of(&document, pointer), expected, "{pointer}");
        }
    }
}
