//! The bypass table of path enforcement, as far as it concerns the sync: what a pod refers to is brought where it lies inside
//! of the namespace's scope, and nothing else is, however it is written and wherever it stands.

use refgate::policy::path::secret_name;
use refgate::sync::manager::ManagerError;
use serde_json::{Value, json};

use super::bed::{Bed, writes};
use super::objects::{NAMESPACES, PODS, SECRETS};

const SCOPE: &str = "mozmeao/snippets/stage";
const INSIDE: &str = "mozmeao/snippets/stage/database_url";

/// What lies outside, and has a value.
const OUTSIDE: [&str; 8] = [
    "mozmeao/snippets/stage-old/x",
    "mozmeao/snippets/stage2/x",
    "mozmeao/snippets/stage",
    "mozmeao/snippets/prod/x",
    "mozmeao/snippets/prod/database_url",
    "Mozmeao/snippets/stage/x",
    "mozmeao/shared/stage/x",
    "stage/mozmeao/snippets/x",
];

/// What somebody writes; of all of it only the first two are the one secret that lies inside.
const WRITTEN: [&str; 33] = [
    // N01, as a relative and as an absolute path.
    "secret:database_url",
    "secret:/mozmeao/snippets/stage/database_url",
    // N02, N03: siblings, and no leaf.
    "secret:/mozmeao/snippets/stage-old/x",
    "secret:/mozmeao/snippets/stage2/x",
    "secret:/mozmeao/snippets/stage",
    "secret:/mozmeao/snippets/stage/",
    "secret:",
    // N04, N05: dots and empty segments.
    "secret:../prod/x",
    "secret:/mozmeao/snippets/stage/../prod/x",
    "secret:./database_url",
    "secret:/mozmeao/snippets/stage//database_url",
    "secret:/mozmeao/snippets/stage/./database_url",
    // N06, N07: a slash too many, another case.
    "secret://mozmeao/snippets/stage/database_url",
    "secret:/Mozmeao/snippets/stage/x",
    "SECRET:/mozmeao/snippets/prod/x",
    // N08, N09: white space, percent, look-alikes.
    "secret:/mozmeao/snippets/prod/x\n",
    "secret: /mozmeao/snippets/prod/x",
    "secret:..%2Fprod%2Fx",
    "secret:/mozmeao%2Fsnippets%2Fprod%2Fx",
    "secret:/mozmeao/snippets\u{2215}prod/x",
    // N10 to N15: ARNs are no references of ours.
    "secret:arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/prod/x-AbCdEf",
    "secret:/arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/prod/x-AbCdEf",
    "arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/prod/x-AbCdEf",
    "arn:aws:ssm:us-west-2:111122223333:parameter/mozmeao/snippets/prod/x",
    // P03 to P05: nothing is put together of parts.
    "secret:/mozmeao/snippets/$(ENV)/x",
    "secret:$(A)",
    "secret:/mozmeao/snippets/prod/$$(A)x",
    // S15, S17: other systems' syntaxes.
    "vault:secret/data/mozmeao/snippets/prod/x#k",
    ">>vault:mozmeao/snippets/prod/x",
    "sm://mozmeao/snippets/prod/x",
    "gcp:secretmanager:mozmeao/snippets/prod/x",
    "secret+file:/mozmeao/snippets/prod/x",
    "secret+file:../../shared/stage/x#k",
];

fn bed(test: &str) -> Bed {
    let bed = Bed::new(test, "");
    bed.bind("web", SCOPE);
    bed.hold(INSIDE, "inside", "1");
    for path in OUTSIDE {
        bed.hold(path, "outside", "1");
    }
    bed
}

/// Each text at each place of a pod where a reference may stand.
fn pods(text: &str) -> Vec<Value> {
    let container = |env: Value| json!({"name": "c", "env": env});
    let env = json!([{"name": "A", "value": text}]);
    let bare = text.split_once(':').map_or(text, |(_, path)| path);
    let clean = json!([{"name": "B", "value": "b"}]);
    let spec = |main: &Value, init: &Value| json!({"containers": [container(main.clone())], "initContainers": [container(init.clone())]});
    let mut parts = spec(&clean, &clean);
    parts["containers"][0]["env"] = json!([{"name": "ENV", "value": "prod"}, {"name": "A", "value": text}]);
    let annotated = |key: &str, value: &str| json!({"metadata": {"annotations": {key: value}}, "spec": spec(&clean, &clean)});
    vec![
        json!({"metadata": {}, "spec": spec(&env, &clean)}),
        // P01.
        json!({"metadata": {}, "spec": spec(&clean, &env)}),
        json!({"metadata": {}, "spec": parts}),
        annotated("env.refgate.dev/A", bare),
        annotated("file.refgate.dev/a", bare),
        annotated("refgate.dev/env-from", bare),
        // P06, and what is never believed.
        annotated("example.com/ref", text),
        annotated(
            "refgate.dev/refs",
            &json!([{"path": bare, "secret": secret_name(bare), "key": "value"}]).to_string(),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn no_way_of_writing_a_path_brings_what_lies_outside() {
    let bed = bed("traps");
    let mut replica = bed.leading("a").await;
    for text in WRITTEN {
        for (index, pod) in pods(text).into_iter().enumerate() {
            bed.server.put(PODS, "web", &format!("pod-{index}"), pod);
        }
        // By the name of the Secret alone, too.
        for (index, path) in OUTSIDE.iter().enumerate() {
            let volume = json!({"name": "v", "secret": {"secretName": secret_name(path)}});
            let spec = json!({"containers": [{"name": "c"}], "volumes": [volume]});
            bed.server.put(PODS, "web", &format!("name-{index}"), json!({"metadata": {}, "spec": spec}));
        }
        replica.pass().await;
        let values: Vec<Option<String>> = OUTSIDE.iter().map(|path| bed.value("web", path)).collect();
        assert!(values.iter().all(Option::is_none), "{text}: {values:?}");
    }
    assert_eq!(bed.value("web", INSIDE).as_deref(), Some("inside"));
    assert_eq!(bed.listed("web"), [INSIDE]);
}

/// P18, P19: labels say what is foreign, and nothing else of a Namespace does.
#[tokio::test(start_paused = true)]
async fn a_namespace_gets_what_its_binding_says_and_nothing_by_half_of_one() {
    for (labels, annotations) in [
        (json!({}), json!({})),
        (json!({"refgate.dev/group": "mozmeao", "refgate.dev/app": "snippets"}), json!({})),
        (
            json!({"refgate.dev/group": "mozmeao", "refgate.dev/app": "", "refgate.dev/env": "stage"}),
            json!({}),
        ),
        (
            json!({"refgate.dev/group": "Mozmeao", "refgate.dev/app": "snippets", "refgate.dev/env": "stage"}),
            json!({}),
        ),
        (json!({}), json!({"refgate.dev/shared-paths": SCOPE})),
        (json!({}), json!({"refgate.dev/sync": "scope"})),
    ] {
        let bed = bed("half");
        let annotated = json!({"metadata": {"labels": labels, "annotations": annotations}});
        bed.server.put(NAMESPACES, "", "web", annotated.clone());
        for (index, pod) in pods("secret:/mozmeao/snippets/stage/database_url").into_iter().enumerate() {
            bed.server.put(PODS, "web", &format!("pod-{index}"), pod);
        }
        let mut replica = bed.leading("a").await;
        replica.pass().await;
        replica.pass().await;
        let calls = bed.server.take_calls();
        let here: Vec<_> = writes(&calls).into_iter().filter(|call| call.namespace == "web").collect();
        assert!(here.is_empty(), "{annotated}: {here:?}");
    }
}

/// S20: what copies Secrets elsewhere is not written by the sync, and not taken over from what was there.
#[tokio::test(start_paused = true)]
async fn a_synced_secret_says_nothing_to_replicators() {
    let bed = bed("replicators");
    bed.refer("web", "pod", &["database_url"]);
    let mut replica = bed.leading("a").await;
    replica.pass().await;
    let secret = bed.server.get(SECRETS, "web", &secret_name(INSIDE)).unwrap();
    let annotations = secret["metadata"]["annotations"].as_object().unwrap();
    assert!(annotations.keys().all(|key| key.starts_with("refgate.dev/")), "{annotations:?}");
    assert_eq!(secret["metadata"]["labels"], json!({"app.kubernetes.io/managed-by": "refgate"}));
}

/// N10 to N14 again, behind the fence: a manager is asked for names alone.
#[tokio::test]
async fn what_is_no_path_reaches_no_manager() {
    let file = refgate::sync::manager::file::File::new("/nowhere");
    let manager = refgate::sync::manager::Manager::File(file);
    for prefix in
        ["", "/", "mozmeao", "mozmeao/snippets/stage", "!mozmeao/snippets/stage/", "mozmeao/../prod/"]
    {
        let error = manager.list(prefix).await.unwrap_err();
        assert!(matches!(error, ManagerError::Invalid(_)), "{prefix}: {error}");
    }
}
