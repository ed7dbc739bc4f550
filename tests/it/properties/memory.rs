//! What an object of a few megabytes may cost: each object that a reader knows, blown up in each of its texts, keys and lists,
//! takes memory by its size, and not by the product of two of its parts.
//!
//! Bytes are counted on the thread that asks, from its allocator: no clock, and nothing of what other tests do.

use std::sync::Arc;

use allocation_counter::measure;
use refgate::policy::carriers::Kind;
use refgate::policy::carriers::filled::{Around, Filled};
use refgate::policy::carriers::held::{Carried, Held};
use refgate::policy::carriers::settings::Mode;
use refgate::policy::decide;
use refgate::policy::review::{Endpoint, parse, respond};
use refgate::policy::snapshot::{NamespaceLabels, Snapshot};
use serde_json::{Map, Value, json};

use super::bases::{Base, bases, world};

/// What one byte of an object may cost at the most, its reading, judging and answering together.
const BYTES_FOR_ONE: u64 = 24;
/// What any object may cost besides: what a thousand refusals hold, and so many paths, texts and keys as are kept of one object.
const BYTES_BESIDES: u64 = 8 << 20;

/// What one leaf, or one map, is blown up to.
const TEXT: usize = 256 << 10;
const KEY: usize = 100 << 10;
const CHILDREN: usize = 1_000;
const ENTRIES: usize = 20_000;
/// Lists and maps are this wide while one text is large: a copy of it for each element would be seen.
const WIDTH: usize = 300;
const WIDE_TEXT: usize = 64 << 10;

/// Everything in a value that a predicate picks, as pointers; a text that holds JSON is looked into behind a `!`.
fn all(value: &Value, at: &str, picks: &dyn Fn(&Value) -> bool, found: &mut Vec<String>) {
    if picks(value) {
        found.push(at.to_owned());
    }
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                all(inner, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), picks, found);
            }
        }
        Value::Array(items) => {
            // Elements behind the first are read like it.
            for (index, inner) in items.iter().enumerate().take(1) {
                all(inner, &format!("{at}/{index}"), picks, found);
            }
        }
        Value::String(text) => {
            if let Some(inner) = nested(text) {
                all(&inner, &format!("{at}!"), picks, found);
            }
        }
        _ => {}
    }
}

fn nested(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(|inner: &Value| inner.is_object() || inner.is_array())
}

/// The object with something else at a pointer.
fn with(object: &Value, pointer: &str, change: &dyn Fn(&Value) -> Value) -> Value {
    let mut object = object.clone();
    let (outer, inner) = pointer.split_once('!').unwrap_or((pointer, ""));
    let there = object.pointer_mut(outer).unwrap();
    *there = match pointer.contains('!') {
        true => with(&nested(there.as_str().unwrap()).unwrap(), inner, change).to_string().into(),
        false => change(there),
    };
    object
}

/// The outermost lists with a thousand elements, and maps of texts with a thousand keys.
fn widened(value: &Value, is_yaml: bool) -> Value {
    match value {
        Value::Array(items) if !items.is_empty() => items.iter().cycle().take(WIDTH).cloned().collect(),
        Value::Object(fields) => {
            let mut fields: Map<String, Value> =
                fields.iter().map(|(key, inner)| (key.clone(), widened(inner, is_yaml))).collect();
            let text = fields.values().next().cloned().filter(|_| fields.values().all(Value::is_string));
            if let Some(text) = text.filter(|_| !is_yaml) {
                fields.extend((0..WIDTH).map(|number| (format!("k{number}"), text.clone())));
            }
            fields.into()
        }
        Value::String(text) => match nested(text) {
            Some(inner) => widened(&inner, true).to_string().into(),
            None => value.clone(),
        },
        _ => value.clone(),
    }
}

fn pick(object: &Value, picks: &dyn Fn(&Value) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    all(object, "", picks, &mut found);
    found.retain(|at| !matches!(&**at, "/apiVersion" | "/kind"));
    found
}

/// One large text, among lists and maps that are wide.
fn large_texts(object: &Value, ask: &mut dyn FnMut(&str, &Value)) {
    let wide = widened(object, false);
    let lines = "a/b: {{ .x }}, = secret:x ${vault:a#b}\n";
    for (at, piece) in pick(object, &Value::is_string).iter().zip(["x", lines].iter().cycle()) {
        let text = piece.repeat(WIDE_TEXT / piece.len());
        let grown = |there: &Value| format!("{}{text}", there.as_str().unwrap()).into();
        ask(&format!("{at} of {piece:?} among wide lists"), &with(&wide, at, &grown));
    }
}

/// A large key over many children, and a long way down to them.
fn large_keys(object: &Value, ask: &mut dyn FnMut(&str, &Value)) {
    let names = || (0..CHILDREN).map(|number| format!("k{number}"));
    let children = [
        json!(vec!["x"; CHILDREN]),
        names().map(|name| (name, "x".into())).collect::<Map<_, _>>().into(),
        names().map(|name| (name, json!({"name": "x"}))).collect::<Map<_, _>>().into(),
    ];
    for at in pick(object, &Value::is_object) {
        let grown = |key: usize, inner: &Value| {
            with(object, &at, &|map| {
                let mut map = map.as_object().unwrap().clone();
                map.insert("k".repeat(key), inner.clone());
                map.into()
            })
        };
        for (number, children) in children.iter().enumerate() {
            ask(&format!("{at} with a large key over children {number}"), &grown(KEY, children));
            ask(&format!("{at} with a key of a kilobyte over children {number}"), &grown(1_000, children));
        }
        let chain = (0..100).fold(children[0].clone(), |inner, _| json!({ "k".repeat(1_000): inner }));
        ask(&format!("{at} with a long way down"), &grown(1_000, &chain));
    }
}

/// Long lists: of what is in them, and of what is short to write.
fn long_lists(object: &Value, ask: &mut dyn FnMut(&str, &Value)) {
    for at in pick(object, &Value::is_array) {
        ask(
            &format!("{at}, 6,000 times over"),
            &with(object, &at, &|list| vec![list.get(0).cloned().unwrap_or_default(); WIDTH * 20].into()),
        );
        for element in [json!({}), json!("x"), json!([]), json!({"a": "b"})] {
            let what = format!("{at} with {ENTRIES} of {element}");
            ask(&what, &with(object, &at, &|_| vec![element.clone(); ENTRIES].into()));
        }
    }
}

/// YAML in a text is a language of its own: short to write, and large in memory.
fn large_yaml(object: &Value, ask: &mut dyn FnMut(&str, &Value)) {
    let mut texts = pick(object, &Value::is_string);
    texts.retain(|at| object.pointer(at).and_then(Value::as_str).and_then(nested).is_some());
    for at in texts {
        for (before, piece, after) in [
            ("", "- a\n", ""),
            ("", "- {}\n", ""),
            ("", "- a: b\n", ""),
            ("", "- - - - a\n", ""),
            ("", "- {a: {a: {a: {a: b}}}}\n", ""),
            ("[", "{},", "]"),
            ("[", "a,", "]"),
            ("array: [", "'',", "]"),
            ("array:\n", "- ''\n", ""),
        ] {
            let text = format!("{before}{}{after}", piece.repeat(TEXT / piece.len()));
            ask(
                &format!("{at} with {piece:?} behind {before:?}"),
                &with(object, &at, &|_| text.clone().into()),
            );
        }
    }
}

/// What was too much, with the most that a byte cost.
#[derive(Default)]
struct Found {
    asked: usize,
    most: (f64, String),
    over: Vec<String>,
}

impl Found {
    fn must(&mut self, what: impl Fn() -> String, peak: u64, input: usize) {
        let bound = BYTES_FOR_ONE * input as u64 + BYTES_BESIDES;
        self.asked += 1;
        let share = peak as f64 / bound as f64;
        if share > self.most.0 {
            self.most = (share, format!("{}: {peak} bytes of {input}", what()));
        }
        if peak > bound {
            self.over.push(format!("{}: {} MiB for {} KiB", what(), peak >> 20, input >> 10));
        }
    }

    fn end(self) {
        let (share, what) = self.most;
        assert!(share > 0.0, "nothing was counted");
        assert!(
            self.over.is_empty(),
            "of {}, the most was {share:.1} by {what}: {:#?}",
            self.asked,
            self.over
        );
    }
}

fn body(group: &str, version: &str, kind: &str, object: &Value) -> Vec<u8> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "team",
            "kind": {"group": group, "version": version, "kind": kind}, "userInfo": {}, "object": object,
        },
    });
    serde_json::to_vec(&review).unwrap()
}

fn decided(body: &[u8], endpoint: Endpoint, snapshot: &Snapshot) -> u64 {
    let run = || {
        let Ok(review) = parse(body, endpoint, &snapshot.settings.kinds) else { return };
        let decision = decide(&review, snapshot);
        respond("u", &decision);
    };
    measure(run).bytes_max
}

/// The watch path: the object as it is kept, and what it fills.
fn kept(kind: &'static Kind, text: &str, snapshot: &Snapshot) -> u64 {
    let labels = [("group", "mozmeao"), ("app", "snippets"), ("env", "stage")];
    let labels = labels.map(|(key, value)| (format!("refgate.dev/{key}"), value));
    let labels = NamespaceLabels::read(labels.iter().map(|(key, value)| (&**key, *value)), []);
    let run = || {
        let held = Held::read(kind, text).map(Arc::new);
        let carried = Carried::new(held);
        let (labels, cluster, settings) = (&labels, &*snapshot.cluster, &*snapshot.settings);
        Filled::new(Around { labels, carried: &carried, cluster, settings });
    };
    measure(run).bytes_max
}

/// A way of blowing an object up.
type Grow = fn(&Value, &mut dyn FnMut(&str, &Value));

fn judge(grow: Grow, is_mine: impl Fn(&Base) -> bool) {
    // Where nothing is denied for being undecided, everything is looked at.
    let (strict, lenient, mut found) = (world(Mode::Deny), world(Mode::Audit), Found::default());
    for base in bases().into_iter().filter(|base| is_mine(base)) {
        let kind = base.kind();
        grow(&base.object, &mut |what, object| {
            let text = object.to_string();
            let body = body(kind.group, kind.versions[0], kind.kind, object);
            let what = |how: &str| format!("{} {how}, {what}", base.label);
            let snapshot = if found.asked % 4 == 0 { &strict } else { &lenient };
            found.must(|| what("judged"), decided(&body, Endpoint::Validate, snapshot), text.len());
            found.must(|| what("kept"), kept(kind, &text, &strict), text.len());
        });
    }
    found.end();
}

#[test]
fn a_large_text_is_not_repeated_for_what_is_beside_it() {
    judge(large_texts, |_| true);
}

#[test]
fn a_large_key_is_not_repeated_for_what_is_below_it() {
    judge(large_keys, |_| true);
}

#[test]
fn long_lists_cost_what_they_weigh() {
    judge(long_lists, |_| true);
}

#[test]
fn yaml_in_texts_costs_what_it_weighs() {
    judge(large_yaml, |base| base.kind == "SecretProviderClass");
}

/// Pods, workloads and ConfigMaps, which are read in another way.
#[test]
fn a_pod_and_a_config_map_cost_what_they_weigh() {
    let spec = json!({
        "containers": [{
            "name": "web", "image": "web", "args": ["a"], "command": ["b"],
            "env": [
                {"name": "A", "value": "secret:x"}, {"name": "B", "value": "b"},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "envFrom": [{"secretRef": {"name": "s"}}],
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
        }],
        "volumes": [
            {"name": "v", "projected": {"sources": [{"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}}]}},
            {"name": "c", "csi": {"driver": "secrets-store.csi.k8s.io", "volumeAttributes": {"secretProviderClass": "web"}}},
        ],
        "imagePullSecrets": [{"name": "s"}],
    });
    let notes = json!({
        "env.refgate.dev/D": "x", "file.refgate.dev/f": "x", "refgate.dev/env-from": "x", "a": "b",
        "vault.hashicorp.com/agent-inject-secret-x": "secret/data/mozmeao/snippets/stage/x",
    });
    let metadata = json!({"name": "web", "namespace": "team", "annotations": notes, "labels": {"a": "b"}});
    let pod = json!({"metadata": metadata, "spec": spec});
    let deployment =
        json!({"metadata": metadata, "spec": {"template": {"metadata": metadata, "spec": spec}}});
    let map = json!({"metadata": metadata, "data": {"a": "b", "c": "d=e"}, "binaryData": {"f": "eA=="}});
    let (world, mut found) = (world(Mode::Deny), Found::default());
    for (group, kind, object) in
        [("", "Pod", pod), ("apps", "Deployment", deployment), ("", "ConfigMap", map)]
    {
        for grow in [large_texts, large_keys, long_lists] {
            grow(&object, &mut |what, object| {
                let (body, size) = (body(group, "v1", kind, object), object.to_string().len());
                for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
                    let what = || format!("{kind} {}, {what}", endpoint.as_str());
                    found.must(what, decided(&body, endpoint, &world), size);
                }
            });
        }
    }
    found.end();
}
