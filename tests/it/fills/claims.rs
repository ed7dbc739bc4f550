//! `refgate.dev/paths`: who may say what of which key.

use refgate::policy::review::Endpoint;
use serde_json::{Value, json};

use super::{decided, external_secret, message, snapshot, table};

const CIPHER: &str = "AgBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

fn sealed(paths: &str) -> Value {
    json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": {"name": "web", "namespace": "team", "annotations": {"refgate.dev/paths": paths}},
        "spec": {"encryptedData": {"url": CIPHER, "smtp-password": CIPHER}, "template": {"data": {"dsn": "{{ .url }}"}}},
    })
}

fn kind_of(object: &Value) -> Value {
    let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
    json!({"group": group, "version": version, "kind": object["kind"]})
}

/// Why an object is refused; empty where it is not.
pub fn refusal(object: &Value) -> String {
    let decision = decided(&snapshot(""), Endpoint::Validate, kind_of(object), object);
    message(&decision).unwrap_or_default().to_owned()
}

#[test]
fn a_claim_resolves_like_what_an_object_says_itself() {
    let object = sealed("url=database_url,\n smtp-password = smtp#password, dsn=/g/shared/stage/dsn");
    assert_eq!(refusal(&object), "");
    table(
        &format!("---\n{object}"),
        &[
            ("database_url", "A=web/url"),
            ("smtp#password", "A=web/smtp-password"),
            ("/g/shared/stage/dsn", "A=web/dsn"),
            ("from smtp", "password=web/smtp-password"),
            ("smtp#pasword", "!did you mean #password?"),
            ("databse_url", "!did you mean database_url?"),
        ],
    );
    let mut bare = sealed("");
    bare["metadata"]["annotations"] = json!({});
    assert_eq!(refusal(&bare), "");
    // Nobody else syncs here, so a pod would wait for ever.
    let nobody = "!or say by refgate.dev/paths on one that does which key holds it";
    table(&format!("---\n{bare}"), &[("from smtp", nobody), ("database_url", nobody)]);
}

#[test]
fn a_claim_that_does_not_hold_is_refused() {
    for (paths, part) in [
        ("", "it names no key"),
        (" ,\n", "it names no key"),
        ("url", "entry 1: it is no KEY=PATH"),
        ("ulr=database_url", "did you mean url?"),
        ("nothing=database_url", "does not fill the key"),
        ("=database_url", "does not fill the key"),
        ("url=a, url=b", "entry 2: an earlier entry has the same key"),
        ("url=database_url?optional", "without ?optional"),
        ("url=../prod/x", "entry 1:"),
        ("url=", "entry 1:"),
        ("url=smtp#", "entry 1:"),
        ("wbe/url=database_url", "did you mean web?"),
        ("url=/g/a/prod/database_url", "g/a/prod/database_url is outside of g/a/stage"),
        ("url=/g/a/stage2/database_url", "is outside of g/a/stage"),
        ("url=g/a/stage/database_url", "write /g/a/stage/database_url"),
    ] {
        let said = refusal(&sealed(paths));
        assert!(said.contains(part) && said.contains("refgate.dev/paths"), "{paths}: {said}");
    }
    // A value in the place of a key is not repeated.
    assert!(!refusal(&sealed("hunter2Xk3vbQ=database_url")).contains("hunter2"));
    assert!(!refusal(&sealed("url=hunter2 Xk3vbQ")).contains("hunter2"));
}

#[test]
fn typos_and_what_would_become_a_claim_of_the_sync_are_refused() {
    for key in ["refgate.dev/path", "refgate.dev/Paths", "refgate.dev/pahts", "Refgate.dev/paths"] {
        let mut object = sealed("url=x");
        object["metadata"]["annotations"] = json!({key: "url=x"});
        let said = refusal(&object);
        assert!(said.contains("did you mean refgate.dev/paths?"), "{key}: {said}");
    }
    for key in ["refgate.dev/path", "refgate.dev/paths", "refgate.dev/version", "RefGate.dev/path"] {
        let mut object = sealed("url=x");
        object["spec"]["template"]["metadata"] = json!({"annotations": {key: "g/a/stage/x"}});
        let said = refusal(&object);
        assert!(said.contains("those of RefGate only its sync writes"), "{key}: {said}");
    }
    let mut object = sealed("url=x");
    object["metadata"]["annotations"]["refgate.dev/restart"] = "canary".into();
    let decision = decided(&snapshot(""), Endpoint::Validate, kind_of(&object), &object);
    assert_eq!(message(&decision), None);
    assert!(
        decision.warnings.iter().any(|warning| warning.contains("does nothing here")),
        "{:?}",
        decision.warnings
    );
}

fn annotated(object: &str, paths: &str) -> String {
    object.replace(
        "namespace: team}",
        &format!("namespace: team, annotations: {{refgate.dev/paths: '{paths}'}}}}"),
    )
}

#[test]
fn whatever_leaves_keys_unsaid_can_be_told() {
    let find = "dataFrom: [{find: {path: g/a/stage/, name: {regexp: x}}, rewrite: [{regexp: {source: 'g/a/stage/(.*)', target: '$1'}}]}]";
    let found = annotated(&external_secret("web", find), "database_url=database_url");
    table(&found, &[("database_url", "A=web/database_url"), ("other", "!no object of the sync systems")]);
    let made = "data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {template: {data: {'n': '{{ .k | trim }}', m: '{{ .k }}'}}}";
    let made = external_secret("web", made);
    table(&annotated(&made, "n=y"), &[("y", "A=web/n"), ("x", "A=web/m")]);
    // What the object says itself is not to be said otherwise.
    let object: Value = refgate_yaml(&annotated(&made, "m=y"));
    assert!(refusal(&object).contains("key m comes from a path that the object itself names"));

    let cipher = "'ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]'";
    let template = |name: &str| format!("{{name: {name}, stringData: {{url: {cipher}}}}}");
    let sops = |templates: &str, paths: &str| {
        let spec = format!("{{secretTemplates: [{templates}]}}");
        annotated(&super::object("isindir.github.com/v1alpha3", "SopsSecret", "s", &spec), paths)
    };
    table(&sops(&template("web"), "url=x"), &[("x", "A=web/url")]);
    let two = format!("{}, {}", template("web"), template("job"));
    table(&sops(&two, "job/url=x"), &[("x", "A=job/url")]);
    assert!(refusal(&refgate_yaml(&sops(&two, "url=x"))).contains("write SECRET/KEY=PATH"));
}

/// The one object of a YAML text, as a review would have it.
pub fn refgate_yaml(text: &str) -> Value {
    refgate::yaml::documents(text).next().unwrap().unwrap().value
}

#[test]
fn a_claim_to_a_path_outside_fences_the_secret() {
    // It was there before the namespace was bound anew: whoever names the Secret is refused, as with one that the sync left.
    let object = sealed("url=/g/a/prod/database_url");
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "web", "envFrom": [{"secretRef": {"name": "web"}}]}]},
    });
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let decision = decided(&snapshot(&format!("---\n{object}")), Endpoint::Validate, kind, &pod);
    assert!(message(&decision).is_some_and(|message| message.contains("holds a path")), "{decision:?}");
}
