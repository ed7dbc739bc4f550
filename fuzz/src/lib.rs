//! What the fuzz targets share: a world with something of everything, and what must hold of every answer.

#[path = "../../tests/it/properties/harmless.rs"]
pub mod harmless;
pub mod planted;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use refgate::policy::carriers::held::{Carried, Held};
use refgate::policy::carriers::place::System;
use refgate::policy::carriers::settings::Mapping;
use refgate::policy::carriers::{self, Kind};
use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::path::{SecretPath, secret_name};
use refgate::policy::review::{Endpoint, ParseError, parse, respond, unreadable};
use refgate::policy::snapshot::{Catalogue, Entry, NamespaceLabels, NamespaceState, Settings, Snapshot};
use serde_json::{Value, json};

/// What the namespace `team` is bound to.
pub const OWN: &str = "mozmeao/snippets/stage";
/// What it may read besides.
pub const SHARED: &str = "mozmeao/shared/stage";

/// Bound namespaces at two levels, one that is not bound, one whose labels do not read.
pub static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let entry = |path: &str, secret: &str, keys: &[&str]| Entry {
        path: path.into(),
        secret: if secret.is_empty() { secret_name(path).into() } else { secret.into() },
        keys: keys.iter().map(|key| (*key).into()).collect(),
        version: Some("v-1".into()),
    };
    let entries = vec![
        entry("mozmeao/snippets/stage/db", "", &["value"]),
        entry("mozmeao/snippets/stage/smtp", "mail", &["value", "user", "password"]),
        entry("mozmeao/snippets/stage/tls", "", &["tls.crt", "tls.key"]),
        entry("mozmeao/snippets/stage/two", "two-a", &["value"]),
        entry("mozmeao/snippets/stage/two", "two-b", &["value"]),
        entry("mozmeao/shared/stage/dsn", "", &["value"]),
        entry("mozmeao/snippets/prod/db", "prod", &["value"]),
    ];
    let catalogue = Arc::new(Catalogue::new(entries, Some(vec!["db".into(), "ghost".into()])));
    let bound = |level| {
        let labels = [
            ("refgate.dev/group", "mozmeao"),
            ("refgate.dev/app", "snippets"),
            ("refgate.dev/env", "stage"),
            ("refgate.dev/enforce", level),
        ];
        NamespaceLabels::read(labels, [("refgate.dev/shared-paths", SHARED)])
    };
    let broken = NamespaceLabels::read([("refgate.dev/group", "Ä"), ("refgate.dev/enforce", "strcit")], []);
    let namespaces = [
        ("team", bound("off")),
        ("strict", bound("restricted")),
        ("free", NamespaceLabels::default()),
        ("broken", broken),
    ];
    let settings = Arc::new(settings());
    let carried = Arc::new(Carried::new(there().into_iter().map(Arc::new)));
    let state = |namespace| {
        let (catalogue, carried) = (Arc::clone(&catalogue), Arc::clone(&carried));
        Arc::new(NamespaceState::join(
            Arc::new(namespace),
            catalogue,
            carried,
            &Carried::default(),
            &settings,
        ))
    };
    Snapshot {
        settings: Arc::clone(&settings),
        namespaces: namespaces
            .into_iter()
            .map(|(name, labels)| (name.into(), state(labels)))
            .collect::<HashMap<_, _>>(),
        ..Snapshot::default()
    }
});

/// A row for every system, of the scope of `team` alone.
fn settings() -> Settings {
    let row = |system: System, place: &str, separator: Option<&str>| Mapping {
        system,
        scopes: OWN
            .split('/')
            .map(|segment| Some(segment.to_owned()))
            .collect::<Vec<_>>()
            .try_into()
            .expect("three"),
        place: place.to_owned(),
        separator: separator.map(str::to_owned),
    };
    let mut settings = Settings {
        aws_accounts: vec!["111122223333".into()],
        aws_regions: vec!["us-west-2".into()],
        ..Settings::default()
    };
    settings.carriers.mappings = vec![
        row(System::Vault, "secret", None),
        row(System::Google, "moz-stage", Some("--")),
        row(System::Azure, "snippets-stage", None),
        row(System::OnePassword, "Snippets", None),
        row(System::Doppler, "snippets/stg", None),
        row(System::AwsParameterStore, "", None),
    ];
    settings
}

/// The kind of that name in a group.
pub fn kind(group: &str, name: &str) -> &'static Kind {
    let (_, kind) =
        carriers::kinds().find(|(_, kind)| (kind.group, kind.kind) == (group, name)).expect("a kind");
    kind
}

/// What is in each namespace: a store and a class inside.
fn there() -> Vec<Held> {
    let aws = json!({"aws": {"service": "SecretsManager", "region": "us-west-2"}});
    let objects = format!("- {{objectName: {OWN}/x, objectType: secretsmanager}}\n");
    let class = json!({"provider": "aws", "parameters": {"region": "us-west-2", "objects": objects}});
    let held = |group, name, called: &str, spec: Value| {
        let object = json!({"metadata": {"name": called, "namespace": "team"}, "spec": spec});
        Held::read(kind(group, name), &object.to_string()).expect("an object")
    };
    vec![
        held("external-secrets.io", "SecretStore", "store", json!({"provider": aws})),
        held("secrets-store.csi.x-k8s.io", "SecretProviderClass", "web", class),
    ]
}

/// Whether the namespace `team` may read a path: clean segments, compared one by one.
pub fn may_read(path: &str) -> bool {
    let legal = |character: char| character.is_ascii_alphanumeric() || "/_+=.@-".contains(character);
    let segments: Vec<&str> = path.split('/').collect();
    let under = |prefix: &str| {
        let prefix: Vec<&str> = prefix.split('/').collect();
        segments.len() > prefix.len() && segments[..prefix.len()] == prefix[..]
    };
    path.len() <= 512
        && path.chars().all(legal)
        && segments.iter().all(|segment| !matches!(*segment, "" | "." | ".."))
        && (under(OWN) || under(SHARED))
}

/// Judges a body at an endpoint and checks all that must hold of the answer, whatever the body is.
pub fn check(body: &[u8], endpoint: Endpoint) {
    let kinds = &SNAPSHOT.settings.judged;
    match parse(body, endpoint, kinds) {
        Ok(review) => {
            assert!(!review.uid.is_empty());
            let decision = decide(&review, &SNAPSHOT);
            assert!(decision == decide(&review, &SNAPSHOT), "two answers");
            check_decision(body, &decision, endpoint);
            check_response(&review.uid, &decision);
        }
        Err(ParseError::Object { uid, pointer, problem }) => {
            assert!(!uid.is_empty());
            check_response(&uid, &unreadable(&pointer, &problem));
        }
        Err(ParseError::NotAReview(why)) => assert!(!why.is_empty()),
    }
}

fn check_decision(body: &[u8], decision: &Decision, endpoint: Endpoint) {
    let total: usize = decision.warnings.iter().map(|warning| warning.chars().count()).sum();
    assert!(total <= 4096, "warnings of {total} characters");
    assert!(!decision.warnings.iter().any(|warning| warning.contains(char::is_control)));
    let Some(patch) = &decision.patch else { return };
    assert!(endpoint == Endpoint::Mutate && decision.outcome == Outcome::Allow);
    // A body that only a lenient reader takes (a lone surrogate in a field that nobody reads) cannot be patched here.
    let Ok(mut review) = serde_json::from_slice::<Value>(body) else { return };
    let patch: json_patch::Patch = serde_json::from_str(patch).expect("a patch");
    json_patch::patch(&mut review["request"]["object"], &patch).expect("a patch that applies");
    for row in refs(&review["request"]["object"]) {
        let path = row["path"].as_str().expect("a path");
        assert!(may_read(path), "{path} is outside");
        assert!(SecretPath::absolute(path).is_ok());
    }
}

/// The rows of `refgate.dev/refs`.
fn refs(pod: &Value) -> Vec<Value> {
    let text = pod["metadata"]["annotations"]["refgate.dev/refs"].as_str().unwrap_or("[]");
    serde_json::from_str(text).expect("a list")
}

fn check_response(uid: &str, decision: &Decision) {
    let response: Value = serde_json::from_slice(&respond(uid, decision)).expect("JSON");
    assert_eq!(response["response"]["uid"], json!(uid));
    assert_eq!(response["response"]["allowed"], json!(decision.outcome == Outcome::Allow));
    if let Some(patch) = response["response"]["patch"].as_str() {
        let patch = STANDARD.decode(patch).expect("base64");
        assert_eq!(Some(patch.as_slice()), decision.patch.as_deref().map(str::as_bytes));
    }
}
