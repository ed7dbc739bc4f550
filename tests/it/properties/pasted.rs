//! A secret that somebody pasted where a path, a name or a place belongs is repeated nowhere: by no message about an object of
//! another system or about a reference in the syntax of one, by no warning and by no audit annotation.

use std::sync::LazyLock;

use refgate::policy::carriers::outside;
use refgate::policy::decide;
use refgate::policy::decision::Outcome;
use refgate::policy::finding::Certainty;
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::rules::{Candidate, Detector, Hit, Place, RULES};
use refgate::policy::snapshot::Snapshot;
use serde_json::{Value, json};

use super::bases::{bases, snapshot, snapshot_with};
use super::leak::all_of;
use super::planted::{places, planted};

/// What a rule strikes whatever it is called, for certain or by the shape of a token, and the longest part of it that nobody guesses.
struct Secret {
    text: String,
    telling: String,
    /// Whether it is refused inside of the scope too.
    is_sure: bool,
}

/// An example of each kind of token, and a password in a URL.
static SECRETS: LazyLock<Vec<Secret>> = LazyLock::new(|| {
    let detector = Detector::new(&[]);
    let examples = RULES.iter().flat_map(|rule| rule.examples).map(|example| example.value);
    let urls = [
        "https://me:hunter2-Xk3vbQ@payroll.vault.azure.net",
        "https://me:hunter2-Xk3vbQ@payroll.example.com/x",
    ];
    let mut secrets: Vec<Secret> = Vec::new();
    for text in examples.chain(urls) {
        let mut hits = Vec::new();
        detector.scan(&Candidate { place: Place::Env, name: None, value: text, before: None }, &mut hits);
        let counts = |hit: &Hit| hit.rule.certainty == Certainty::Certain || hit.rule.id == "token-like";
        let certain = hits.into_iter().find(counts);
        let Some(hit) = certain.filter(|_| text.len() < 500) else { continue };
        let is_sure = hit.rule.certainty == Certainty::Certain;
        let is_part = |letter: char| !(letter.is_ascii_alphanumeric() || "-_".contains(letter));
        let parts = text[hit.span].split(is_part);
        let telling = parts.max_by_key(|part| part.len()).unwrap_or_default().to_ascii_lowercase();
        if telling.len() >= 8 {
            secrets.push(Secret { text: text.to_owned(), telling, is_sure });
        }
    }
    secrets
});

/// As a path, a name or a place would be written around it.
const AROUND: [&str; 10] = [
    "@",
    "mozmeao/snippets/stage/@",
    "mozmeao/snippets/prod/@",
    "secret/data/mozmeao/snippets/stage/@",
    "arn:aws:secretsmanager:us-west-2:111122223333:secret:@-AbCdEf",
    "projects/@/secrets/@/versions/latest",
    "vaults/@/items/@",
    "vaults/Snippets/items/@",
    "https://@.vault.azure.net",
    "mozmeao--snippets--stage--@",
];

/// The texts that are planted in one place: two of the secrets, alone and as a part of something longer. There are many more
/// places than secrets, so each is planted in many.
fn texts(place: usize) -> impl Iterator<Item = (String, &'static Secret)> {
    let count = SECRETS.len();
    [place % count, (place + count / 2) % count].into_iter().flat_map(|index| {
        let secret = &SECRETS[index];
        around(secret).iter().map(move |around| (around.replace('@', &secret.text), secret))
    })
}

/// What is a name by its letters may be a part of one; a command line is pasted as a whole.
fn around(secret: &Secret) -> &'static [&'static str] {
    let is_name = secret.text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    if is_name && !secret.text.starts_with('-') { &AROUND[..] } else { &AROUND[..1] }
}

fn is_told(telling: &str, out: &str) -> bool {
    out.to_ascii_lowercase().contains(telling)
}

#[test]
fn the_secrets_are_of_each_rule_that_needs_no_name() {
    assert!(SECRETS.iter().filter(|secret| around(secret).len() > 1).count() >= 5, "{}", SECRETS.len());
    for rule in ["private-key", "token", "token-like", "url-password", "connection-string"] {
        let is_of = |text: &str| {
            let mut hits = Vec::new();
            let candidate = Candidate { place: Place::Env, name: None, value: text, before: None };
            Detector::new(&[]).scan(&candidate, &mut hits);
            hits.iter().any(|hit| hit.rule.id == rule)
        };
        assert!(SECRETS.iter().any(|secret| is_of(&secret.text)), "{rule}");
    }
}

/// In each text of each object that another system has, whether it is made, or was there before anybody asked.
#[test]
fn what_is_pasted_into_an_object_is_not_repeated() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for base in bases() {
        for place in places(&base).into_iter().filter(|place| !place.starts_with("/metadata/name")) {
            count += 1;
            for (text, secret) in texts(count) {
                let object = planted(&base.object, &place, &text);
                let Some(decision) = super::carriers::ask(&snapshot(), base.kind(), &object) else {
                    continue;
                };
                // Half of a key pair is a name like any other, where it may be read.
                if !secret.is_sure && decision.outcome == Outcome::Allow {
                    continue;
                }
                if is_told(&secret.telling, &all_of(&decision)) {
                    wrong.push(format!("{} {place}: {text}: {decision:?}", base.label));
                    break;
                }
            }
            // Of what is kept of an object nobody has the texts any more, and it is said in logs and by `scan`.
            let (text, secret) = texts(count).next().unwrap();
            if base.kind().is_watched() {
                let there = snapshot_with(Some(&planted(&base.object, &place, &text)));
                let found = outside("team", &there.namespaces["team"], &there);
                if is_told(&secret.telling, &format!("{found:?}")) {
                    wrong.push(format!("{} {place}, kept: {found:?}", base.label));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn judged(snapshot: &Snapshot, kind: &str, object: &Value) -> String {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "team", "kind": {"group": "", "version": "v1", "kind": kind},
            "userInfo": {}, "object": object,
        },
    });
    let body = serde_json::to_vec(&review).unwrap();
    let mut out = String::new();
    for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
        let review = parse(&body, endpoint, &snapshot.settings.kinds).unwrap();
        out.push_str(&all_of(&decide(&review, snapshot)));
    }
    out
}

/// References in the syntaxes of other systems, in values and in annotations.
#[test]
fn what_is_pasted_into_a_reference_of_another_system_is_not_repeated() {
    const VALUES: [&str; 10] = [
        "vault:secret/data/@#k",
        "vault:secret/data/mozmeao/snippets/stage/@#k",
        ">>bao:@/x#k",
        "pre-${vault:secret/data/@#k}-post",
        "op://@/item/field",
        "op://Snippets/@/field",
        "arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage/@-AbCdEf",
        "gcp:secretmanager:projects/@/secrets/@",
        "sm://@/name",
        "ref+vault://@/x",
    ];
    const ANNOTATIONS: [(&str, &str); 7] = [
        ("vault.hashicorp.com/agent-inject-secret-x", "@"),
        ("vault.hashicorp.com/agent-inject-secret-x", "secret/data/mozmeao/snippets/stage/@"),
        ("vault.hashicorp.com/agent-inject-template-x", "{{ with secret \"secret/data/@\" }}{{ end }}"),
        ("vault.security.banzaicloud.io/vault-env-from-path", "secret/data/@,mozmeao/@#2"),
        ("secrets.k8s.aws/secret-arn", "arn:aws:secretsmanager:us-west-2:111122223333:secret:@-AbCdEf"),
        ("operator.1password.io/item-path", "vaults/@/items/@"),
        ("avp.kubernetes.io/path", "secret/data/@"),
    ];
    let snapshot = snapshot();
    for secret in SECRETS.iter().filter(|secret| secret.is_sure && around(secret).len() > 1) {
        for value in VALUES {
            let value = value.replace('@', &secret.text);
            let env = json!([{"name": "A", "value": value}]);
            let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "web", "image": "i", "env": env}]}});
            let out = judged(&snapshot, "Pod", &pod);
            assert!(!is_told(&secret.telling, &out), "{value}: {out}");
            let map = json!({"metadata": {"name": "m"}, "data": {"a": value}});
            let out = judged(&snapshot, "ConfigMap", &map);
            assert!(!is_told(&secret.telling, &out), "{value}: {out}");
        }
        for (key, value) in ANNOTATIONS {
            let value = value.replace('@', &secret.text);
            let metadata = json!({"name": "p", "annotations": {key: value}});
            let pod = json!({"metadata": metadata, "spec": {"containers": [{"name": "web", "image": "i"}]}});
            let out = judged(&snapshot, "Pod", &pod);
            assert!(!is_told(&secret.telling, &out), "{key}: {value}: {out}");
        }
    }
}
