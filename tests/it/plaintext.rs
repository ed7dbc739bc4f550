//! Plaintext beside pods: entries of ConfigMaps, manifests of Secrets; and what a configuration adds, turns off and lets pass.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refgate::cli::Against;
use refgate::cli::judge::{Judge, Judged};
use refgate::config;
use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::level::Level;
use refgate::policy::review::{Endpoint, parse, respond};
use refgate::policy::snapshot::Snapshot;
use refgate::world::World;
use serde_json::{Value, json};

use crate::harness::{Folder, WORLD};

const VALUE: &str = "kR4vT9wqZ2pB";
const OTHER: &str = "mJ7xQ2nLc5Ys";

fn snapshot(configuration: &str) -> Snapshot {
    let settings = config::parse(configuration).unwrap_or_else(|error| panic!("{error}")).settings;
    World::read(WORLD).snapshot(Arc::new(settings))
}

fn ask(snapshot: &Snapshot, kind: &str, object: &Value, old: &Value) -> Decision {
    let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": operation, "namespace": "snippets-stage",
        "kind": {"group": "", "version": "v1", "kind": kind}, "userInfo": {"username": "dev"},
        "object": object, "oldObject": old, "dryRun": false,
    }});
    let body = serde_json::to_vec(&body).unwrap();
    let review = parse(&body, Endpoint::Validate, &snapshot.settings.judged).unwrap();
    let decision = decide(&review, snapshot);
    let answer = String::from_utf8(respond("u", &decision)).unwrap() + &format!("{:?}", decision.findings);
    assert!(!answer.contains(VALUE) && !answer.contains(OTHER), "a value is repeated: {answer}");
    decision
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

fn binary(bytes: &[u8]) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "binaryData": {"file": STANDARD.encode(bytes)}})
}

fn rules(decision: &Decision) -> Vec<&'static str> {
    decision.findings.iter().map(|finding| finding.rule).collect()
}

#[test]
fn entries_of_config_maps_are_judged_by_their_format() {
    let snapshot = snapshot("");
    let own_token = format!("{}{}", "ghp_", "oYhR4ouW8mGZ1fBzGd5kNcdtAqzh7A3CcRvf");
    let mut wrong = Vec::new();
    for (object, expected) in [
        (map(json!({"DB_PASSWORD": VALUE})), &["credential-name"][..]),
        (map(json!({"password.txt": format!("{VALUE}\n")})), &["credential-name"]),
        (map(json!({"app.env": format!("DB_HOST=db\nDB_PASSWORD={VALUE}\n")})), &["assignment"]),
        (
            map(json!({"app.properties": format!("a=1\nspring.datasource.password = {VALUE}\n")})),
            &["assignment"],
        ),
        (
            map(json!({"config.json": format!("{{\n  \"db\": {{\n    \"password\": \"{VALUE}\"\n  }}\n}}")})),
            &["assignment"],
        ),
        (map(json!({"config.yaml": format!("db:\n  user: shop\n  password: {VALUE}\n")})), &["assignment"]),
        (map(json!({"my.cnf": format!("[client]\nuser = shop\npassword = {VALUE}\n")})), &["assignment"]),
        (map(json!({"run.sh": format!("#!/bin/sh\nexport PGPASSWORD={VALUE}\npsql\n")})), &["assignment"]),
        (map(json!({"redis.conf": format!("port 6379\nrequirepass {VALUE}\n")})), &["assignment"]),
        (map(json!({"pgpass": format!("db:5432:shop:shop:{VALUE}\n*:*:*:none:${{B}}\n")})), &["assignment"]),
        (
            map(json!({".netrc": format!("machine feed.example.com login shop password {VALUE}\n")})),
            &["assignment"],
        ),
        (
            map(
                json!({"hive-site.xml": format!("<property>\n<name>javax.jdo.option.ConnectionPassword</name>\n<value>{VALUE}</value>\n</property>")}),
            ),
            &["assignment"],
        ),
        (
            map(
                json!({"s.xml": format!("<server>\n  <username>shop</username>\n  <password>{VALUE}</password>\n</server>")}),
            ),
            &["assignment"],
        ),
        (map(json!({"urls": format!("# feeds\npostgres://shop:{VALUE}@db/shop\n")})), &["url-password"]),
        (binary(own_token.as_bytes()), &["token"]),
        (binary(&[b"\xff\xfe ", own_token.as_bytes(), b" \x00\xff"].concat()), &["token"]),
        // Nothing of that is a credential.
        (map(json!({"DB_PASSWORD_FILE": "/run/secrets/db", "TOKEN_TTL": "3600", "LOG_LEVEL": "info"})), &[]),
        (
            map(
                json!({"config.yaml": "db:\n  password: ${DB_PASSWORD}\n  passwordFile: /run/x\n  existingSecret: db\n"}),
            ),
            &[],
        ),
        (
            map(
                json!({"run.sh": "#!/bin/sh\nread -s -p 'password: ' password\nexport PGPASSWORD=$(cat /run/p)\n"}),
            ),
            &[],
        ),
        (
            map(json!({"redis.conf": "port 6379\n# requirepass foobared\n# masterauth <master-password>\n"})),
            &[],
        ),
        (
            map(
                json!({"notes.txt": "Ask for the password:\nit is kept elsewhere.\nThe token expires after a day.\n"}),
            ),
            &[],
        ),
        (
            map(json!({"policy.csv": "g, admins, role:admin\np, role:dev, applications, get, */*, allow\n"})),
            &[],
        ),
        (binary(&[0xff, 0x00, 0x80, 0x41]), &[]),
        (map(json!({})), &[]),
        (json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": null}), &[]),
    ] {
        let decision = ask(&snapshot, "ConfigMap", &object, &Value::Null);
        let denies = decision.outcome != Outcome::Allow;
        if rules(&decision) != expected || denies == expected.is_empty() {
            wrong.push(format!("{object}: {:?}, expected {expected:?}", rules(&decision)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_message_names_the_key_the_line_and_what_to_write() {
    let snapshot = snapshot("");
    let said = |data: Value| match ask(&snapshot, "ConfigMap", &map(data), &Value::Null).outcome {
        Outcome::Deny { message, .. } => message,
        other => panic!("{other:?}"),
    };
    let message = said(json!({"app.env": format!("DB_HOST=db\nDB_PASSWORD={VALUE}\n")}));
    for part in ["key app.env", "in line 2", "rule assignment", "file.refgate.dev/app.env: app.env"] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    let message = said(json!({"DB_PASSWORD": VALUE}));
    for part in [
        "key DB_PASSWORD",
        "env DB_PASSWORD of the pod with value: \"secret:db_password\"",
        "refgate put mozmeao/snippets/stage/db_password < FILE",
    ] {
        assert!(message.contains(part), "{part} is not in {message}");
    }
}

#[test]
fn an_update_of_a_config_map_is_judged_on_the_lines_that_it_changes() {
    let snapshot = snapshot("");
    let file = |lines: &str| map(json!({"app.env": lines}));
    let old = file(&format!("A=1\nDB_PASSWORD={VALUE}\n"));
    for (new, allowed) in [
        (format!("A=2\nDB_PASSWORD={VALUE}\n"), true),
        (format!("DB_PASSWORD={VALUE}\nA=1\nB=2\n"), true),
        ("A=1\n".to_owned(), true),
        (format!("A=1\nDB_PASSWORD={OTHER}\n"), false),
        (format!("A=1\nDB_PASSWORD={VALUE}\nSMTP_PASSWORD={OTHER}\n"), false),
        (format!("SMTP_PASSWORD={OTHER}\nDB_PASSWORD={VALUE}\n"), false),
    ] {
        let decision = ask(&snapshot, "ConfigMap", &file(&new), &old);
        assert_eq!(decision.outcome == Outcome::Allow, allowed, "{:?}", decision.outcome);
    }
    let registry = |password: &str| {
        let auth = STANDARD.encode(format!("shop:{password}"));
        map(
            json!({"config.json": format!("{{\"auths\": {{\"registry.example.com\": {{\"auth\": \"{auth}\"}}}}}}")}),
        )
    };
    assert_eq!(ask(&snapshot, "ConfigMap", &registry(VALUE), &registry(VALUE)).outcome, Outcome::Allow);
    assert_ne!(ask(&snapshot, "ConfigMap", &registry(OTHER), &registry(VALUE)).outcome, Outcome::Allow);
}

#[test]
fn what_kubectl_keeps_of_a_config_map_is_said_once() {
    let snapshot = snapshot("");
    let mut object = map(json!({"DB_PASSWORD": VALUE}));
    let applied = object.to_string();
    object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": applied});
    assert_eq!(rules(&ask(&snapshot, "ConfigMap", &object, &Value::Null)), ["credential-name"]);
    object["data"] = json!({});
    assert_eq!(
        rules(&ask(&snapshot, "ConfigMap", &object, &Value::Null)),
        ["credential-name"],
        "it stands there still"
    );
}

#[test]
fn a_reference_in_a_config_map_is_a_warning() {
    let decision =
        ask(&snapshot(""), "ConfigMap", &map(json!({"DB_PASSWORD": "secret:db_password"})), &Value::Null);
    assert_eq!(decision.outcome, Outcome::Allow);
    assert!(
        decision.warnings.iter().any(|text| text.contains("not resolved in ConfigMaps")),
        "{:?}",
        decision.warnings
    );
}

#[test]
fn config_maps_have_a_switch_of_their_own() {
    let object = map(json!({"DB_PASSWORD": VALUE}));
    let decision = ask(&snapshot("rules: {configMaps: false}"), "ConfigMap", &object, &Value::Null);
    assert_eq!((decision.outcome, decision.findings), (Outcome::Allow, Vec::new()));
}

/// What comes of a file, as `refgate check` judges it.
fn check(configuration: &str, object: &Value) -> Judged {
    let folder = Folder::new();
    let against = Against {
        world: Some(folder.write("world.yaml", WORLD)),
        namespace: "snippets-stage".to_owned(),
        config: Some(folder.write("config.yaml", configuration)),
        level: Some(Level::Restricted),
        ..Against::default()
    };
    let mut judge = Judge::load_with_secrets(&against).unwrap();
    let workload = judge.workload(object).unwrap().unwrap();
    judge.judge(&workload).unwrap()
}

#[test]
fn a_secret_with_a_value_in_a_file_is_a_finding() {
    let secret = |field: &str, key: &str, value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, field: {key: value}});
    let encoded = |text: &str| STANDARD.encode(text);
    // As SOPS writes it.
    let with_keys = |mut secret: Value| {
        secret["sops"] = json!({"version": "3.9.0"});
        secret
    };
    for (object, expected) in [
        (secret("stringData", "password", VALUE), Some("credential-name")),
        (secret("data", "password", &encoded(VALUE)), Some("credential-name")),
        (secret("data", "password", &encoded("postgres")), Some("weak-default")),
        (secret("data", "note", &encoded("kept from all")), Some("secret-manifest")),
        (secret("data", "url", &encoded(&format!("postgres://shop:{VALUE}@db/shop"))), Some("url-password")),
        (secret("data", "password", "this is not base64!"), Some("credential-name")),
        (
            secret("data", "store.p12", &STANDARD.encode([0x30, 0x82, 0xff, 0x00, 0x41, 0x42])),
            Some("secret-manifest"),
        ),
        (secret("stringData", "password", "${DB_PASSWORD}"), None),
        (secret("data", "password", &encoded("<password>")), None),
        (secret("data", "password", ""), None),
        (
            with_keys(secret(
                "stringData",
                "password",
                "ENC[AES256_GCM,data:Zm9v,iv:YmFy,tag:YmF6,type:str]",
            )),
            None,
        ),
        (json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque"}), None),
    ] {
        let judged = check("", &object);
        let found: Vec<&str> = judged.findings.iter().map(|finding| finding.rule).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{object}");
        assert_eq!(judged.denial.is_some(), expected.is_some(), "{object}");
        assert!(judged.denial.is_none_or(|text| !text.contains(VALUE)), "{object}");
    }
}

/// Whatever a webhook configuration sends: the server has no view of a Secret.
#[test]
fn a_secret_that_is_sent_is_not_read() {
    let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": VALUE}});
    assert_eq!(ask(&snapshot(""), "Secret", &object, &Value::Null), Decision::allow());
}

fn pod(annotations: Value, env: &[(&str, &str)]) -> Value {
    let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "annotations": annotations}, "spec": {
        "serviceAccountName": "runner",
        "containers": [{"name": "web", "image": "registry.example.com/fixtures/db:1", "env": env}],
    }})
}

#[test]
fn rows_of_allow_hold_where_all_that_they_name_holds() {
    let object = pod(json!({}), &[("DB_PASSWORD", VALUE)]);
    for (row, passes) in [
        ("names: [DB_PASSWORD]", true),
        ("names: [DB]", false),
        ("names: [{glob: 'DB_*'}]", true),
        ("names: [{expression: 'DB_(PASSWORD|PASS)'}]", true),
        ("names: [{expression: 'PASSWORD'}]", false),
        ("values: [kR4vT9wqZ2pB]", true),
        ("values: [{glob: 'kR4*'}]", true),
        ("values: [mJ7xQ2nLc5Ys]", false),
        ("rules: [credential-name]", true),
        ("rules: [token]", false),
        ("images: [{glob: 'registry.example.com/fixtures/*'}]", true),
        ("images: ['registry.example.com/fixtures/db']", false),
        ("kinds: [Pod]", true),
        ("kinds: [Secret, Deployment]", false),
        ("serviceAccounts: [runner]", true),
        ("serviceAccounts: [default]", false),
        ("namespaces: {matchLabels: {refgate.dev/env: stage}}", true),
        ("namespaces: {matchLabels: {refgate.dev/env: prod}}", false),
        ("namespaces: {matchLabels: {kubernetes.io/metadata.name: snippets-stage}}", true),
        (
            "namespaces: {matchExpressions: [{key: refgate.dev/env, operator: In, values: [dev, stage]}]}",
            true,
        ),
        ("namespaces: {matchExpressions: [{key: refgate.dev/env, operator: NotIn, values: [stage]}]}", false),
        ("namespaces: {matchExpressions: [{key: team, operator: DoesNotExist}]}", true),
        ("namespaces: {matchExpressions: [{key: team, operator: Exists}]}", false),
        ("names: [DB_PASSWORD]\n  images: [other]", false),
        ("annotation: true", false),
    ] {
        let decision =
            ask(&snapshot(&format!("allow:\n- reason: a test\n  {row}\n")), "Pod", &object, &Value::Null);
        assert_eq!(decision.outcome == Outcome::Allow, passes, "{row}: {:?}", decision.outcome);
        assert_eq!(decision.findings.is_empty(), passes, "{row}");
        let on_record: Vec<String> = if passes {
            vec!["container web, env DB_PASSWORD (credential-name): a test".to_owned()]
        } else {
            Vec::new()
        };
        let passed: Vec<String> = decision.allowed.iter().map(ToString::to_string).collect();
        assert_eq!(passed, on_record, "{row}");
        let answer: Value = serde_json::from_slice(&respond("u", &decision)).unwrap();
        assert_eq!(answer["response"]["auditAnnotations"].get("allowed").is_some(), passes, "{row}");
    }
}

#[test]
fn a_mark_counts_where_the_configuration_permits_it_and_is_a_warning() {
    let mark = json!({"refgate.dev/allow-plaintext": "DB_PASSWORD, OTHER"});
    let object = pod(mark.clone(), &[("DB_PASSWORD", VALUE)]);
    let permits = snapshot(
        "allow: [{reason: fixtures, annotation: true, namespaces: {matchLabels: {refgate.dev/env: stage}}}]",
    );
    let decision = ask(&permits, "Pod", &object, &Value::Null);
    assert_eq!(decision.outcome, Outcome::Allow);
    let passed: Vec<String> = decision.allowed.iter().map(ToString::to_string).collect();
    assert_eq!(passed, ["container web, env DB_PASSWORD (credential-name): by annotation, fixtures"]);
    assert!(
        decision
            .warnings
            .iter()
            .any(|text| text.contains("env DB_PASSWORD") && text.contains("allow-plaintext"))
    );
    // It names one variable, and no other.
    let two = pod(mark, &[("DB_PASSWORD", VALUE), ("SMTP_PASSWORD", OTHER)]);
    assert_ne!(ask(&permits, "Pod", &two, &Value::Null).outcome, Outcome::Allow);
    // Where nothing permits it, it does nothing, and that is said.
    let decision = ask(&snapshot(""), "Pod", &object, &Value::Null);
    assert_ne!(decision.outcome, Outcome::Allow);
    let clean = pod(json!({"refgate.dev/allow-plaintext": "DB_PASSWORD"}), &[("LOG_LEVEL", "info")]);
    let decision = ask(&permits, "Pod", &clean, &Value::Null);
    assert!(
        decision.warnings.iter().any(|text| text.contains("lets nothing pass")),
        "{:?}",
        decision.warnings
    );
    // On a ConfigMap too.
    let mut data = map(json!({"DB_PASSWORD": VALUE}));
    data["metadata"]["annotations"] = json!({"refgate.dev/allow-plaintext": "DB_PASSWORD"});
    assert_eq!(ask(&permits, "ConfigMap", &data, &Value::Null).outcome, Outcome::Allow);
}

#[test]
fn own_words_and_shapes_are_found_by_the_same_rules() {
    let own = snapshot(
        "rules:\n  names: [kennwort]\n  tokens: [{name: acme deploy key, prefix: acme_, alphabet: hex, length: [16, 20]}]\n",
    );
    for (name, value, expected) in [
        ("DB_KENNWORT", VALUE, Some("credential-name")),
        ("CONFIG", "db.kennwort=kR4vT9wqZ2pB", Some("assignment")),
        ("ARGS", "--kennwort=kR4vT9wqZ2pB", Some("command-credential")),
        ("SETTING", "acme_0123456789abcdef", Some("token")),
        ("SETTING", "acme_0123456789abcdef01234", None),
        ("DB_KENNWORT_FILE", "/run/kennwort", None),
        ("DB_KENNWORT", "${DB_KENNWORT}", None),
    ] {
        let object = pod(json!({}), &[(name, value)]);
        let decision = ask(&own, "Pod", &object, &Value::Null);
        assert_eq!(rules(&decision), expected.into_iter().collect::<Vec<_>>(), "{name}={value}");
        if expected.is_some() && value != VALUE {
            assert_eq!(
                rules(&ask(&snapshot(""), "Pod", &object, &Value::Null)),
                Vec::<&str>::new(),
                "{name}"
            );
        }
    }
}

#[test]
fn the_weak_class_has_a_switch_of_its_own() {
    let off = snapshot("rules: {disabled: [weak-default]}");
    let weak = pod(json!({}), &[("POSTGRES_PASSWORD", "postgres")]);
    assert_eq!(ask(&off, "Pod", &weak, &Value::Null).outcome, Outcome::Allow);
    assert_ne!(ask(&snapshot(""), "Pod", &weak, &Value::Null).outcome, Outcome::Allow);
    let strong = pod(json!({}), &[("POSTGRES_PASSWORD", VALUE)]);
    assert_ne!(ask(&off, "Pod", &strong, &Value::Null).outcome, Outcome::Allow);
}

/// At most 256 of one entry are kept. What is beyond them denies only where such a finding would.
#[test]
fn what_is_beyond_the_findings_that_are_kept_hides_nothing() {
    let certain: String = (0..300).map(|number| format!("A{number}_PASSWORD=kR4vT9{number:04}\n")).collect();
    let decision = ask(&snapshot(""), "ConfigMap", &map(json!({"app.env": certain})), &Value::Null);
    assert_eq!(decision.findings.len(), 256);
    assert!(
        decision.refusals.iter().any(|refusal| refusal.text.contains("than are listed")),
        "{:?}",
        decision.refusals
    );
    // Ids of keys are only probable: no denial at level baseline, however many.
    let id = |number: u8| {
        let last = [b'A' + number / 26, b'A' + number % 26];
        format!("{}{}{}\n", "AK", "IAZ2RNT6QGW4XKJ5", String::from_utf8_lossy(&last))
    };
    let probable: String = (0..=255).chain(0..=40).map(id).collect();
    let object = map(json!({"ids": probable}));
    let decision = ask(&snapshot(""), "ConfigMap", &object, &Value::Null);
    assert_eq!((decision.outcome, decision.findings.len()), (Outcome::Allow, 256));
    let strict = snapshot("defaults: {enforce: restricted}");
    let decision = ask(&strict, "ConfigMap", &object, &Value::Null);
    assert!(
        decision.refusals.iter().any(|refusal| refusal.text.contains("than are listed")),
        "{:?}",
        decision.refusals
    );
}
