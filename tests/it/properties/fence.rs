//! A namespace never gets a path outside of its scopes, whatever bytes the path is made of.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use refgate::policy::decision::Verdict;
use refgate::policy::level::Level;
use serde_json::{Map, Value, json};

use super::{config, denial, generate, judged, mutated, patched, review, validated, world, wrapped};
use crate::oracle::{Entry, World, secret_name};
use refgate::policy::review::Endpoint;

/// A change that makes of a path one that is nearly it.
type Twist = fn(&str) -> String;

const TWISTS: [Twist; 36] = [
    str::to_owned,
    |path| path.replacen("stage", "stage2", 1),
    |path| path.replacen("stage", "stage-old", 1),
    |path| path.replacen("stage", "stag", 1),
    |path| path.replacen("stage", "Stage", 1),
    |path| path.replacen("stage", "prod", 1),
    |path| path.replacen("stage", "stage/../prod", 1),
    |path| path.replacen("stage", "prod/../stage", 1),
    |path| path.replacen("stage/", "stage//", 1),
    |path| path.replacen("stage/", "stage/./", 1),
    |path| path.replacen("stage/", "stage%2F", 1),
    |path| path.replacen("stage/", "stage%2f..%2fprod%2f", 1),
    |path| path.replacen("stage/", "stage\\", 1),
    |path| path.replacen("stage/", "stage\u{2215}", 1),
    |path| path.replacen("stage/", "stage\u{ff0f}", 1),
    |path| path.replacen("stage", "stag\u{435}", 1),
    |path| path.replacen("stage", "stage\u{200b}", 1),
    |path| path.replacen("stage", "stage\0", 1),
    |path| path.replacen("stage/", "stage/\n", 1),
    |path| path.replacen("stage/", "stage/*", 1),
    |path| path.replacen("snippets", "*", 1),
    |path| path.replacen("mozmeao", "MOZMEAO", 1),
    |path| path.replacen("mozmeao/snippets", "mozmeao-snippets", 1),
    |path| path.split('/').take(3).collect::<Vec<_>>().join("/"),
    |path| path.split('/').take(2).collect::<Vec<_>>().join("/"),
    |path| format!("{path}/"),
    |path| format!("/{path}"),
    |path| format!("./{path}"),
    |path| format!(" {path}"),
    |path| format!("{path} "),
    |path| format!("{path}\n"),
    |path| format!("{path}\t"),
    |path| format!("{path}/.."),
    |path| format!("{path}/../../prod/x"),
    |path| format!("{path}/{}", "x/".repeat(240)),
    |path| format!("{path}{}", "y".repeat(512)),
];

/// A path in a scope, near to one, or nowhere.
fn near_miss() -> impl Strategy<Value = String> {
    let start = select(vec![
        "mozmeao/snippets/stage/smtp",
        "mozmeao/snippets/stage/deep/er/name",
        "mozmeao/shared/stage/sentry_dsn",
        "mozmeao/snippets/prod/database_url",
        "mozmeao/snippets/stage/stolen",
        "smtp",
        "stage/smtp",
    ]);
    let twisted = (start, select(&TWISTS[..]), select(&TWISTS[..]), any::<bool>())
        .prop_map(|(start, first, second, both)| if both { second(&first(start)) } else { first(start) });
    // Held by a Secret that also holds, or by its name should hold, something else.
    let mistaken = select(vec!["mozmeao/snippets/stage/stolen", "mozmeao/snippets/stage/both-a"])
        .prop_map(str::to_owned);
    prop_oneof![
        8 => twisted,
        1 => mistaken,
        1 => "(mozmeao|snippets|stage|prod|\\.\\.|\\.|[a-z%]{0,3}|/){1,9}",
        1 => any::<String>(),
    ]
}

/// Whether the namespace may read a path, in the plainest words.
fn is_inside(world: &World, path: &str) -> bool {
    let clean = path.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
        && path.chars().all(|character| character.is_ascii_alphanumeric() || "/_+=.@-".contains(character))
        && path.len() <= 512;
    clean
        && world.own.iter().chain(&world.shared).any(|scope| {
            path.strip_prefix(scope.as_str()).is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
        })
}

/// Names of Secrets anywhere in a patch.
fn secrets(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                if let ("secretKeyRef" | "secret" | "secretRef", Some(name)) =
                    (key.as_str(), field["name"].as_str())
                {
                    found.insert(name.to_owned());
                }
                secrets(field, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| secrets(item, found)),
        _ => {}
    }
}

/// The ways to name a path: as references of ours, and in a claim about what the pod uses.
fn with_path(form: usize, path: &str, slash: &str) -> Value {
    let text = format!("{slash}{path}");
    let mut annotations = Map::new();
    let mut env = Vec::new();
    match form {
        0 => env.push(json!({"name": "A", "value": format!("secret:{text}")})),
        1 => env.push(json!({"name": "A", "value": format!("secret:{text}#user?optional")})),
        2 => env.push(json!({"name": "A", "value": format!("secret+file:{text}")})),
        3 => drop(annotations.insert("env.refgate.dev/A".into(), json!(text))),
        4 => drop(annotations.insert("file.refgate.dev/a".into(), json!(format!("{text}#user")))),
        5 => drop(annotations.insert("refgate.dev/env-from".into(), json!(format!("cache, {text}")))),
        6 => drop(annotations.insert("refgate.dev/env-from".into(), json!(format!("{text}?optional")))),
        _ => {
            let claim =
                json!([{"path": path, "secret": secret_name(path), "key": "value", "use": "env", "at": []}]);
            let from = json!({"secretKeyRef": {"name": secret_name(path), "key": "value"}});
            annotations.insert("refgate.dev/refs".into(), json!(claim.to_string()));
            env.push(json!({"name": "A", "value": "secret:smtp"}));
            env.push(json!({"name": "B", "valueFrom": from}));
        }
    }
    json!({
        "metadata": {"generateName": "site-", "annotations": annotations},
        "spec": {"containers": [{"name": "web", "env": env}]},
    })
}

/// References of other systems that name a path.
const FOREIGN: [&str; 7] = [
    "vault:@#key",
    ">>vault:@#key",
    "pre-${vault:@#key}-post",
    "op://@",
    "sm://@",
    "ref+awssecrets://@",
    "arn:aws:secretsmanager:us-west-2:111122223333:secret:@",
];

proptest! {
    #![proptest_config(config(800))]

    #[test]
    fn what_is_injected_lies_inside(
        path in near_miss(), form in 0..8usize, slash in select(vec!["", "/", "//"]), world in world::any(),
    ) {
        let pod = with_path(form, &path, slash);
        let decision = mutated(&pod, &world::snapshot(&world, None));
        let patch = decision.patch.as_deref().map(|patch| serde_json::from_str::<Value>(patch).unwrap());
        let patch = patch.unwrap_or_default();
        let mut named = BTreeSet::new();
        secrets(&patch, &mut named);
        let after = patched(&pod, &decision);
        let refs = after["metadata"]["annotations"]["refgate.dev/refs"].as_str().unwrap_or("[]").to_owned();
        if decision.patch.is_some() {
            let rows: Vec<Value> = serde_json::from_str(&refs).unwrap();
            for row in &rows {
                let (path, secret) = (row["path"].as_str().unwrap(), row["secret"].as_str().unwrap());
                prop_assert!(is_inside(&world, path), "{path} is outside");
                let is_here = |entry: &Entry| entry.path == path && entry.secret == secret;
                let catalogued = world.catalogue.iter().any(is_here);
                prop_assert!(catalogued || secret == secret_name(path), "{secret} does not hold {path}");
            }
            for secret in &named {
                prop_assert!(rows.iter().any(|row| row["secret"] == **secret), "{secret} is in no row");
            }
        }
        for secret in &named {
            let foreign = |entry: &&Entry| entry.secret == *secret && !is_inside(&world, &entry.path);
            prop_assert_eq!(world.catalogue.iter().find(foreign), None);
        }
        for report in &decision.references {
            let is_inside = report.path.as_deref().is_some_and(|path| is_inside(&world, path));
            prop_assert!(report.verdict != Verdict::Allowed || is_inside, "{:?}", report);
        }
    }

    /// The same text in a template and in a pod, and everything that names a Secret directly.
    #[test]
    fn what_is_let_through_lies_inside(
        path in near_miss(),
        form in 0..8usize,
        slash in select(vec!["", "/"]),
        kind in select(vec!["Pod", "Job"]),
        world in world::bound(),
        foreign in select(&FOREIGN[..]),
        has_foreign in any::<bool>(),
    ) {
        let mut pod = with_path(form, &path, slash);
        if has_foreign {
            let text = foreign.replace('@', &path);
            pod["spec"]["containers"][0]["env"] = json!([{"name": "F", "value": text}]);
            pod["metadata"]["annotations"] = json!({"avp.kubernetes.io/path": path});
        }
        let decision = validated(kind, &wrapped(kind, &pod), &world::snapshot(&world, Some(Level::Off)));
        let all_inside = decision.references.iter().all(|report| report.verdict == Verdict::Allowed);
        prop_assert!(all_inside || denial(&decision).is_some(), "let through: {:?}", decision.references);
        for report in decision.references.iter().filter(|report| report.verdict == Verdict::Allowed) {
            let inside = report.path.as_deref().is_some_and(|path| is_inside(&world, path));
            prop_assert!(inside, "{:?}", report);
        }
        // An annotation of another system that names anything else is never let through.
        let named = |part: &str| is_inside(&world, part.split('#').next().unwrap().trim());
        prop_assert!(!has_foreign || path.split(',').all(named) || denial(&decision).is_some(), "{path:?}");
    }

    /// Wherever a pod names a Secret: if it holds a foreign path, the pod stays out.
    #[test]
    fn foreign_secrets_are_fenced(pod in generate::pod(false), place in 0..15usize, world in world::bound()) {
        let name = "prod-database";
        let mut pod = pod.0;
        let (mut world, mut volume) = (world, Value::Null);
        world.catalogue = world::whole_catalogue();
        let container = &mut pod["spec"]["containers"][0];
        match place {
            0 => {
                let from = json!({"secretKeyRef": {"name": name, "key": "k"}});
                container["env"] = json!([{"name": "A", "valueFrom": from}]);
            }
            1 => container["envFrom"] = json!([{"prefix": "X_", "secretRef": {"name": name}}]),
            2 => pod["spec"]["imagePullSecrets"] = json!([{"name": "other"}, {"name": name}]),
            3 => volume = json!({"secret": {"secretName": name}}),
            4 => volume = json!({"projected": {"sources": [{"configMap": {}}, {"secret": {"name": name}}]}}),
            5 => volume = json!({"csi": {"driver": "x", "nodePublishSecretRef": {"name": name}}}),
            6 => volume = json!({"csi": {"driver": "x", "volumeAttributes": {"secretName": name}}}),
            7 => volume = json!({"azureFile": {"secretName": name, "shareName": "x"}}),
            8 => volume = json!({"flexVolume": {"driver": "x/y", "secretRef": {"name": name}}}),
            _ => {
                let kind = ["cephfs", "rbd", "iscsi", "scaleIO", "storageos", "cinder"][place - 9];
                volume = json!({kind: {"secretRef": {"name": name}}});
            }
        }
        if !volume.is_null() {
            volume["name"] = json!("foreign");
            pod["spec"]["volumes"] = json!([volume]);
        }
        for (operation, kind) in [("CREATE", "Pod"), ("CREATE", "Deployment"), ("UPDATE", "CronJob")] {
            let before = wrapped(kind, &json!({"spec": {"containers": [{"name": "web"}]}}));
            let old = if operation == "UPDATE" { before } else { Value::Null };
            let review = review(operation, kind, &wrapped(kind, &pod), &old);
            let decision = judged(Endpoint::Validate, &review, &world::snapshot(&world, Some(Level::Off)));
            let message = denial(&decision).unwrap_or_default();
            prop_assert!(message.contains("Secret prod-database holds a path"), "let through: {message}");
        }
    }
}
