//! Generated pods, crowded where injection has something to get wrong.

use std::fmt;

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use serde_json::{Map, Value, json};

use super::secret_name;

/// Few names, so that they meet; `user`, `url` and `host` are properties that `env-from` gives.
const ENV_NAMES: [&str; 8] =
    ["DATABASE_URL", "A", "B", "EXTRA", "POSTGRES_PASSWORD_FILE", "user", "url", "host"];
const FILES: [&str; 4] = ["POSTGRES_PASSWORD_FILE", "tls.key", "ca", "DATABASE_URL"];
const VOLUMES: [&str; 5] = ["refgate-files", "data", "refgate-files-2", "certs", "refgate-files-3"];
const KEYS: [&str; 6] = ["value", "user", "password", ".76alue", "tls.crt", "tls.key"];

/// A JSON text that a failed property prints as such.
#[derive(Clone, PartialEq)]
pub struct Json(pub Value);

impl fmt::Debug for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl std::ops::Deref for Json {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

type Fields = Vec<(&'static str, Option<Value>)>;

fn object(fields: Fields) -> Value {
    fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect::<Map<_, _>>().into()
}

/// There, `null`, or not there at all.
fn maybe(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Option<Value>> {
    prop_oneof![6 => inner.prop_map(Some), 1 => Just(Some(Value::Null)), 1 => Just(None)]
}

fn text(list: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(list).prop_map(str::to_owned)
}

/// One of `good`; where `spoiled`, now and then one of `bad`.
fn mixed<T: std::fmt::Debug + 'static>(
    spoiled: bool,
    good: impl Strategy<Value = T> + 'static,
    bad: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    if spoiled { prop_oneof![8 => good, 1 => bad].boxed() } else { good.boxed() }
}

/// A reference that reads, and that a bound namespace may have, as written behind `secret:`.
fn good_reference() -> impl Strategy<Value = String> {
    const PATHS: &[&str] = &[
        "database_url",
        "smtp",
        "cache",
        "tls",
        "two",
        "ghost",
        "deep/er/name",
        "a+b=c@d.e-f_g",
        "/mozmeao/snippets/stage/database_url",
        "/mozmeao/snippets/stage/smtp",
    ];
    const PROPERTIES: &[&str] = &["", "", "", "#password", "#user", "#value", "#tls.crt", "#a/b:c", "#ä"];
    (text(PATHS), text(PROPERTIES), prop::bool::weighted(0.2)).prop_map(|(path, property, is_optional)| {
        format!("{path}{property}{}", if is_optional { "?optional" } else { "" })
    })
}

/// One that does not read, or that nobody may have.
fn bad_reference() -> impl Strategy<Value = String> {
    const BAD: &[&str] = &[
        "",
        "/",
        "#password",
        "smtp#",
        "smtp#a b",
        "smtp#user\u{200b}",
        "smtp#user\n",
        "smtp?optinal",
        "smtp?optional?optional",
        "../prod/database_url",
        "/mozmeao/snippets/prod/database_url",
        "/mozmeao/snippets/stage2/x",
        "/mozmeao/snippets/stage",
        "//mozmeao/snippets/stage/smtp",
        "mozmeao//x",
        "smtp/",
        "a%2Fb",
        "a b",
        "secret:smtp",
        "stolen",
        "both-a",
        "$(A)",
    ];
    text(BAD)
}

fn reference(spoiled: bool) -> BoxedStrategy<String> {
    let shared = text(&["/mozmeao/shared/stage/sentry_dsn", "/mozmeao/shared/stage/smtp#host"]);
    mixed(spoiled, prop_oneof![8 => good_reference(), 1 => shared], bad_reference())
}

/// Name of a Secret: the one that the catalogue has, or the one by hash, synced or not.
fn secret(spoiled: bool) -> BoxedStrategy<String> {
    let good = prop_oneof![
        4 => text(&["database_url", "smtp", "cache", "ghost", "plain"])
            .prop_map(|name| secret_name(&format!("mozmeao/snippets/stage/{name}"))),
        3 => text(&["mail", "shared-mail", "both", "two-b", "handmade"]),
    ];
    mixed(spoiled, good, text(&["prod-database"]))
}

fn secret_key(spoiled: bool) -> impl Strategy<Value = Value> {
    (secret(spoiled), select(&KEYS[..]), prop::option::weighted(0.2, any::<bool>())).prop_map(
        |(name, key, optional)| {
            let optional = optional.map(Value::from);
            object(vec![("name", Some(json!(name))), ("key", Some(json!(key))), ("optional", optional)])
        },
    )
}

/// One env entry without its name.
fn env_entry(spoiled: bool) -> BoxedStrategy<Fields> {
    fn value(text: impl Into<Value>) -> Fields {
        vec![("value", Some(text.into()))]
    }
    let literal = text(&["", "plain", "Secret:smtp", " secret:smtp", "secrets:smtp", "$$(A)", "$(B", "$"]);
    let chained = text(&["$(A)", "pre-$(DATABASE_URL)-$(B)", "postgres://u:$(A)@h/$(user)", "$$$(A)$(A)"]);
    let from = prop_oneof![
        4 => secret_key(spoiled).prop_map(|selector| json!({ "secretKeyRef": selector })),
        1 => Just(json!({"fieldRef": {"fieldPath": "metadata.annotations['example.com/team']"}})),
        1 => Just(json!({"configMapKeyRef": {"name": "settings", "key": "a"}})),
        1 => Just(json!({})),
    ];
    let good = prop_oneof![
        3 => literal.prop_map(value),
        2 => chained.prop_map(value),
        6 => reference(spoiled).prop_map(|text| value(format!("secret:{text}"))),
        4 => reference(spoiled).prop_map(|text| value(format!("secret+file:{text}"))),
        1 => reference(spoiled).prop_map(|text| vec![
            ("value", Some(json!(format!("secret:{text}")))),
            ("valueFrom", Some(Value::Null)),
        ]),
        4 => (from, select(vec![None, Some(Value::Null), Some(json!(""))]))
            .prop_map(|(from, value)| vec![("value", value), ("valueFrom", Some(from))]),
        1 => select(vec![None, Some(Value::Null)]).prop_map(|value| vec![("value", value)]),
    ];
    let bad = prop_oneof![
        (good_reference(), secret_key(true)).prop_map(|(text, selector)| vec![
            ("value", Some(json!(format!("secret:{text}")))),
            ("valueFrom", Some(json!({ "secretKeyRef": selector }))),
        ]),
        Just(value("both-$(A)")),
    ];
    mixed(spoiled, good, bad)
}

/// An env list. Names seldom occur twice.
fn env(spoiled: bool) -> impl Strategy<Value = Value> {
    let names = prop_oneof![
        9 => subsequence(ENV_NAMES.to_vec(), 0..=4).prop_shuffle(),
        1 => prop::collection::vec(select(&ENV_NAMES[..]), 0..5),
    ];
    let entries = prop::collection::vec(env_entry(spoiled), 5);
    (names, entries).prop_map(|(names, entries)| {
        let named = |(name, mut fields): (&str, Fields)| {
            fields.push(("name", Some(json!(name))));
            object(fields)
        };
        names.into_iter().zip(entries).map(named).collect()
    })
}

/// Mounts; the volume called `nowhere` never exists.
fn mounts() -> impl Strategy<Value = Value> {
    let volume = prop_oneof![12 => select(&VOLUMES[..]), 1 => Just("nowhere")];
    let path = prop_oneof![
        6 => text(&["/data", "/var/certs", "/run", "/run/refgate/deeper"]),
        1 => text(&["/run/refgate", "/run/refgate/", "/etc/creds"]),
    ];
    let part = prop_oneof![6 => Just(None), 1 => text(&["", "sub"]).prop_map(|text| Some(json!(text)))];
    let mount = (volume, path, part).prop_map(|(name, path, part)| {
        object(vec![("name", Some(json!(name))), ("mountPath", Some(json!(path))), ("subPath", part)])
    });
    prop::collection::vec(mount, 0..3).prop_map(Value::from)
}

fn volume(spoiled: bool) -> impl Strategy<Value = Fields> {
    let item =
        (select(&KEYS[..]), select(&FILES[..])).prop_map(|(key, path)| json!({"key": key, "path": path}));
    let optional = prop::option::weighted(0.2, any::<bool>());
    let source =
        (secret(spoiled), prop::collection::vec(item, 0..3), optional).prop_map(|(name, items, optional)| {
            let optional = optional.map(Value::from);
            let fields =
                vec![("name", Some(json!(name))), ("items", Some(json!(items))), ("optional", optional)];
            json!({"secret": object(fields)})
        });
    let source = prop_oneof![8 => source, 1 => Just(json!({"downwardAPI": {"items": []}}))];
    let mode = select(vec![None, Some(json!(0o440)), Some(json!(0o444)), Some(Value::Null)]);
    let projected = (prop::collection::vec(source, 0..3), mode)
        .prop_map(|(sources, mode)| object(vec![("sources", Some(json!(sources))), ("defaultMode", mode)]));
    prop_oneof![
        2 => Just(vec![("emptyDir", Some(json!({})))]),
        3 => projected.prop_map(|projected| vec![("projected", Some(projected))]),
        1 => secret(spoiled).prop_map(|name| vec![("secret", Some(json!({ "secretName": name })))]),
    ]
}

fn volumes(spoiled: bool) -> impl Strategy<Value = Value> {
    let names = subsequence(VOLUMES.to_vec(), 0..=3).prop_shuffle();
    (names, prop::collection::vec(volume(spoiled), 3)).prop_map(|(names, volumes)| {
        let named = |(name, mut fields): (&str, Fields)| {
            fields.push(("name", Some(json!(name))));
            object(fields)
        };
        names.into_iter().zip(volumes).map(named).collect()
    })
}

/// Whole Secrets.
fn env_from(spoiled: bool) -> impl Strategy<Value = Option<Value>> {
    let from = secret(spoiled).prop_map(|name| json!({"secretRef": {"name": name}}));
    prop::option::weighted(0.2, prop::collection::vec(from, 0..3).prop_map(Value::from))
}

fn containers(spoiled: bool, names: &'static [&'static str], least: usize) -> impl Strategy<Value = Value> {
    let parts = (maybe(env(spoiled)), env_from(spoiled), maybe(mounts()));
    let container = parts.prop_map(|(env, env_from, mounts)| {
        let image = Some(json!("registry.example.com/site:1"));
        vec![("image", image), ("env", env), ("envFrom", env_from), ("volumeMounts", mounts)]
    });
    let names_there = subsequence(names, least..=names.len());
    (names_there, prop::collection::vec(container, names.len())).prop_map(|(names, containers)| {
        let named = |(name, mut fields): (&str, Fields)| {
            fields.push(("name", Some(json!(name))));
            // A native sidecar is an init container that never ends.
            fields.push(("restartPolicy", (name == "sidecar").then(|| json!("Always"))));
            object(fields)
        };
        names.into_iter().zip(containers).map(named).collect()
    })
}

/// A claim that somebody wrote into `refgate.dev/refs`.
fn claims() -> impl Strategy<Value = String> {
    let path = text(&[
        "mozmeao/snippets/stage/ghost",
        "mozmeao/snippets/stage/plain",
        "mozmeao/snippets/prod/database_url",
        "mozmeao/snippets/stage/../prod/x",
    ]);
    let row = (path, any::<bool>()).prop_map(|(path, is_true)| {
        let secret = if is_true { secret_name(&path) } else { "handmade".to_owned() };
        json!({"path": path, "secret": secret, "key": "value", "use": "env", "at": ["web/A"]})
    });
    prop_oneof![
        text(&["", "[]", "null", "{", "[{\"path\":1}]"]),
        prop::collection::vec(row, 1..3).prop_map(|rows| Value::from(rows).to_string()),
    ]
}

/// Annotations. Names of containers are chosen once the containers are known: `None` stands for them.
fn annotations(spoiled: bool) -> impl Strategy<Value = Vec<(String, Option<String>)>> {
    fn row<S: Strategy<Value = String>>(
        key: impl Into<String>,
        value: S,
    ) -> impl Strategy<Value = (String, Option<String>)> {
        let key = key.into();
        value.prop_map(move |value| (key.clone(), Some(value)))
    }
    let env = select(&ENV_NAMES[..5])
        .prop_flat_map(move |name| row(format!("env.refgate.dev/{name}"), reference(spoiled)));
    let file = select(&FILES[..])
        .prop_flat_map(move |name| row(format!("file.refgate.dev/{name}"), reference(spoiled)));
    let env_from = text(&[
        "smtp",
        "cache",
        " odd , cache",
        "smtp,/mozmeao/shared/stage/smtp",
        "ghost?optional",
        "two",
        "plain",
    ]);
    let good = prop_oneof![
        4 => env,
        4 => file,
        2 => row("refgate.dev/env-from", env_from),
        2 => Just(("refgate.dev/containers".to_owned(), None)),
        2 => row("refgate.dev/mount-path", text(&["/run/refgate", "/run/refgate/", "/etc/creds"])),
        1 => row("refgate.dev/file-mode", text(&["0440", "400", "0777"])),
        1 => row("refgate.dev/restart", text(&["canary", "always"])),
        2 => row("refgate.dev/refs", claims()),
        2 => row("example.com/team", text(&["web", "a/b~c"])),
    ];
    let bad = prop_oneof![
        row("refgate.dev/conatiners", Just("web".to_owned())),
        row("Env.refgate.dev/A", Just("smtp".to_owned())),
        row("refgate.dev/containers", text(&["", "web,", "nobody", "debugger"])),
        row("refgate.dev/mount-path", text(&["", "/", "run", "/a/../b", "/a:b", "/a//b"])),
        row("refgate.dev/file-mode", text(&["", "440x", "1777", "44", "+440", "0888"])),
        row("refgate.dev/restart", Just("never".to_owned())),
        row("refgate.dev/env-from", text(&["", "smtp,", "smtp#user", "ghost"])),
        row("file.refgate.dev/..x", Just("tls".to_owned())),
        row("kubernetes.io/config.mirror", Just("x".to_owned())),
        row("example.com/team", Just("secret:smtp".to_owned())),
    ];
    prop::collection::vec(mixed(spoiled, good, bad), 0..4)
}

/// A pod: either all references in it are good ones, or a few things in it are wrong.
pub fn pod(spoiled: bool) -> impl Strategy<Value = Json> {
    let group =
        prop_oneof![4 => Just(None), 1 => Just(Some(json!({}))), 1 => Just(Some(json!({"fsGroup": 7})))];
    let debuggers = if spoiled { prop::bool::weighted(0.1).boxed() } else { Just(false).boxed() };
    let lists = (
        maybe(containers(spoiled, &["migrate", "istio-init", "sidecar"], 0)),
        containers(spoiled, &["web", "worker", "istio-proxy"], 1),
        (debuggers, containers(spoiled, &["debugger"], 1)),
        maybe(volumes(spoiled)),
    );
    let metadata = (annotations(spoiled), 0..8, any::<Index>());
    (lists, group, metadata).prop_map(|(lists, group, (annotations, metadata, chosen))| {
        let (init, apps, (has_debugger, debuggers), volumes) = lists;
        let names: Vec<Value> = [init.as_ref(), Some(&apps)]
            .into_iter()
            .flatten()
            .flat_map(|list| list.as_array().into_iter().flatten())
            .map(|container| container["name"].clone())
            .collect();
        let chosen = chosen.get(&names).as_str().unwrap().to_owned();
        let annotations: Map<String, Value> = annotations
            .into_iter()
            .map(|(key, value)| (key, json!(value.unwrap_or_else(|| chosen.clone()))))
            .collect();
        let spec = object(vec![
            ("initContainers", init),
            ("containers", Some(apps)),
            ("ephemeralContainers", has_debugger.then_some(debuggers)),
            ("volumes", volumes),
            ("securityContext", group),
        ]);
        let annotations = match metadata {
            _ if !annotations.is_empty() => Some(annotations.into()),
            0..4 => Some(json!({})),
            4 => Some(Value::Null),
            _ => None,
        };
        Json(match (metadata, annotations) {
            (5, None) => json!({ "spec": spec }),
            (6, None) => json!({"metadata": null, "spec": spec}),
            (_, annotations) => {
                let fields = vec![("generateName", Some(json!("site-"))), ("annotations", annotations)];
                json!({"metadata": object(fields), "spec": spec})
            }
        })
    })
}

/// Mostly pods that come through.
pub fn any_pod() -> impl Strategy<Value = Json> {
    prop_oneof![2 => pod(false), 1 => pod(true)]
}
