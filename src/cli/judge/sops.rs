//! Files that SOPS keeps, objects of Kubernetes or not: what of them it should have encrypted by the file's own rules, and what
//! those rules leave out that looks like a secret all the same. What is encrypted is quiet.
//!
//! Source: getsops/sops `sops.go` (`shouldBeEncrypted`), `stores/stores.go`.

use regex::Regex;
use serde_json::{Map, Value};

use super::{Judge, Judged, Workload, workload_of};
use crate::policy::finding::Finding;
use crate::policy::refusal::{Cause, Refusal};
use crate::policy::verdict;
use crate::policy::workload::json::escape;

/// What SOPS leaves as it is where a file says nothing else.
const UNENCRYPTED_SUFFIX: &str = "_unencrypted";

/// Which values a file has SOPS encrypt, by the keys that lead to them.
struct Rules {
    unencrypted_suffix: Option<String>,
    encrypted_suffix: Option<String>,
    unencrypted_regex: Option<Regex>,
    encrypted_regex: Option<Regex>,
}

impl Rules {
    /// Those of a file; `None` where they cannot be told: comments are not read here, and an expression may be one that this
    /// program does not know.
    fn of(metadata: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| metadata.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        if text("encrypted_comment_regex").or_else(|| text("unencrypted_comment_regex")).is_some() {
            return None;
        }
        let regex = |key: &str| text(key).map(|text| Regex::new(&text)).transpose().ok();
        let mut rules = Self {
            unencrypted_suffix: text("unencrypted_suffix"),
            encrypted_suffix: text("encrypted_suffix"),
            unencrypted_regex: regex("unencrypted_regex")?,
            encrypted_regex: regex("encrypted_regex")?,
        };
        let has_none = rules.encrypted_suffix.is_none()
            && rules.unencrypted_regex.is_none()
            && rules.encrypted_regex.is_none();
        if has_none && rules.unencrypted_suffix.is_none() {
            rules.unencrypted_suffix = Some(UNENCRYPTED_SUFFIX.to_owned());
        }
        Some(rules)
    }

    /// Whether a value is to be encrypted. The later rule wins, as with SOPS.
    fn want(&self, keys: &[&str]) -> bool {
        let ends = |suffix: &String| keys.iter().any(|key| key.ends_with(&**suffix));
        let matches = |regex: &Regex| keys.iter().any(|key| regex.is_match(key));
        let mut wanted = !self.unencrypted_suffix.as_ref().is_some_and(ends);
        if let Some(suffix) = &self.encrypted_suffix {
            wanted = ends(suffix);
        }
        if self.unencrypted_regex.as_ref().is_some_and(matches) {
            wanted = false;
        }
        self.encrypted_regex.as_ref().map_or(wanted, matches)
    }
}

impl Rules {
    /// A key as its author would call it: `password` of `password_unencrypted`.
    fn bare<'k>(&self, key: &'k str) -> &'k str {
        self.unencrypted_suffix.as_ref().and_then(|suffix| key.strip_suffix(&**suffix)).unwrap_or(key)
    }
}

/// What SOPS says of a file in it; `None` where it keeps none: other programs have settings of that name.
fn metadata(object: &Value) -> Option<&Map<String, Value>> {
    let block = object.get("sops")?.as_object()?;
    (block.contains_key("mac") || block.contains_key("lastmodified")).then_some(block)
}

/// Whether SOPS keeps a file.
pub fn is_kept(object: &Value) -> bool {
    metadata(object).is_some()
}

/// A value that SOPS has not encrypted.
struct Plain<'v> {
    pointer: String,
    /// The last key that leads to it, without the suffix that keeps it as it is.
    name: &'v str,
    /// `None` for a number or a switch.
    text: Option<&'v str>,
    /// Whether the file's own rules want it encrypted.
    wanted: bool,
}

/// All of a file, in its order. As deep as the reader lets documents nest, so this ends.
fn plain(object: &Value) -> Vec<Plain<'_>> {
    let Some(rules) = metadata(object).map(Rules::of) else { return Vec::new() };
    let mut found = Vec::new();
    let mut keys = Vec::new();
    for (key, value) in object.as_object().into_iter().flatten().filter(|(key, _)| *key != "sops") {
        keys.push(&**key);
        walk(value, &format!("/{}", escape(key)), &mut keys, rules.as_ref(), &mut found);
        keys.pop();
    }
    found
}

fn walk<'v>(
    value: &'v Value,
    at: &str,
    keys: &mut Vec<&'v str>,
    rules: Option<&Rules>,
    found: &mut Vec<Plain<'v>>,
) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                keys.push(key);
                walk(value, &format!("{at}/{}", escape(key)), keys, rules, found);
                keys.pop();
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                walk(value, &format!("{at}/{index}"), keys, rules, found);
            }
        }
        Value::Null => {}
        // SOPS leaves what is empty as it is.
        Value::String(text) if text.is_empty() || is_encrypted(text) => {}
        leaf => found.push(Plain {
            pointer: at.to_owned(),
            name: keys.last().map_or("", |key| rules.map_or(key, |rules| rules.bare(key))),
            text: leaf.as_str(),
            wanted: rules.is_some_and(|rules| rules.want(keys)),
        }),
    }
}

fn is_encrypted(text: &str) -> bool {
    text.starts_with("ENC[AES256_GCM,") && text.ends_with(']')
}

fn refusal(pointer: &str) -> Refusal {
    Refusal {
        pointer: pointer.to_owned(),
        subject: pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~"),
        text: "the file's own rule has SOPS encrypt this value, and it is not encrypted; take it out, and write it in by sops edit FILE"
            .to_owned(),
        cause: Cause::File,
    }
}

/// What the file of an object leaves unencrypted against its own rules, and nothing else has spoken of.
pub(super) fn judge(object: &Value, refusals: &mut Vec<Refusal>, findings: &[Finding]) -> bool {
    let before = refusals.len();
    for plain in plain(object).into_iter().filter(|plain| plain.wanted) {
        let is_said = refusals.iter().any(|refusal| refusal.pointer == plain.pointer)
            || findings.iter().any(|finding| finding.pointer == plain.pointer);
        if !is_said {
            refusals.push(refusal(&plain.pointer));
        }
    }
    refusals.len() > before
}

impl Judge {
    /// Judges a document that is no workload and is kept by SOPS; `None` for any other, and where there is nothing to say.
    pub fn kept_by_sops<'a>(&self, object: &'a Value) -> Option<(Workload<'a>, Judged)> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let level = self.level.unwrap_or_else(|| self.enforced(text("/metadata/namespace")));
        let (mut refusals, mut findings) = (Vec::new(), Vec::new());
        for plain in plain(object) {
            if plain.wanted {
                refusals.push(refusal(&plain.pointer));
                continue;
            }
            let Some(value) = plain.text else { continue };
            let instead = "have SOPS encrypt it too, whose rule for the file leaves it out, or refer to the secret manager";
            findings.extend(self.found(level, &plain.pointer, Some(plain.name), value, instead));
        }
        if refusals.is_empty() && findings.is_empty() {
            return None;
        }
        let denial = verdict::denial(&refusals, &findings)?;
        let workload = Workload {
            kind: workload_of("", text("/kind"), ""),
            api_version: text("/apiVersion"),
            namespace: text("/metadata/namespace").to_owned(),
            name: text("/metadata/name").to_owned(),
            is_carried: false,
            object,
        };
        let (references, warnings, allowed) = (Vec::new(), Vec::new(), Vec::new());
        Some((
            workload,
            Judged {
                denial: Some(denial),
                is_of_file: true,
                refusals,
                findings,
                references,
                warnings,
                allowed,
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CIPHER: &str = "ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]";

    fn wanted(rules: Value, mut object: Value) -> Vec<String> {
        let mut block = json!({"mac": CIPHER, "version": "3.9.0"});
        block.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        object["sops"] = block;
        plain(&object).into_iter().filter(|plain| plain.wanted).map(|plain| plain.pointer).collect()
    }

    #[test]
    fn the_rules_are_those_of_sops() {
        let object = json!({
            "a": CIPHER, "b": "x", "c_unencrypted": "x", "d": {"list": [CIPHER, 5, true, null, ""], "secret_enc": "x"},
            "data": {"k": "x", "l_unencrypted": {"m": "x"}},
        });
        for (rules, expected) in [
            (json!({}), vec!["/b", "/d/list/1", "/d/list/2", "/d/secret_enc", "/data/k"]),
            (
                json!({"unencrypted_suffix": "_enc"}),
                vec!["/b", "/c_unencrypted", "/d/list/1", "/d/list/2", "/data/k", "/data/l_unencrypted/m"],
            ),
            (json!({"encrypted_suffix": "_enc"}), vec!["/d/secret_enc"]),
            (json!({"encrypted_regex": "^data$"}), vec!["/data/k", "/data/l_unencrypted/m"]),
            (
                json!({"unencrypted_regex": "^(b|d)$"}),
                vec!["/c_unencrypted", "/data/k", "/data/l_unencrypted/m"],
            ),
            (
                json!({"encrypted_regex": "^data$", "unencrypted_suffix": "_unencrypted"}),
                vec!["/data/k", "/data/l_unencrypted/m"],
            ),
            (json!({"encrypted_regex": "("}), vec![]),
            (json!({"encrypted_comment_regex": "x"}), vec![]),
        ] {
            assert_eq!(wanted(rules.clone(), object.clone()), expected, "{rules}");
        }
    }

    #[test]
    fn what_is_not_of_sops_is_left_alone() {
        for object in [
            json!({"sops": {"enabled": true}, "a": "x"}),
            json!({"a": "x"}),
            json!({"sops": "x"}),
            json!([1]),
        ] {
            assert!(plain(&object).is_empty(), "{object}");
        }
    }
}
