//! What a tenant may try with the YAML in a SecretProviderClass, with the pods that mount one, with what objects of other
//! systems put into Secrets, and with the request itself.

use refgate::policy::carriers::settings::Mode;
use refgate::policy::decide;
use refgate::policy::decision::Decision;
use refgate::policy::review::{Endpoint, ParseError, parse};
use refgate::policy::snapshot::Snapshot;
use serde_json::{Value, json};

use super::external_secrets::{ask, object, settings, world};
use super::other_systems::mapped;
use super::{allowed, message, pod, review};

const INSIDE: &str = "mozmeao/snippets/stage/x";
const OUTSIDE: &str = "mozmeao/snippets/prod/x";

fn class(objects: &str) -> Value {
    object(
        "secrets-store.csi.x-k8s.io/v1",
        "SecretProviderClass",
        "web",
        json!({"provider": "aws", "parameters": {"region": "us-west-2", "objects": objects}}),
    )
}

/// Ways of writing one list that a lenient reader understands and another reads in its own way. None of them names anything
/// outside where it is let in.
fn spellings() -> Vec<(&'static str, String, bool)> {
    let inside = format!("- objectName: {INSIDE}\n  objectType: secretsmanager\n");
    let outside = format!("- objectName: {OUTSIDE}\n  objectType: secretsmanager\n");
    vec![
        ("plainly", inside.clone(), true),
        ("as JSON", format!("[{{\"objectName\": \"{INSIDE}\", \"objectType\": \"secretsmanager\"}}]"), true),
        ("with a comment", format!("# {OUTSIDE}\n{inside}"), true),
        ("behind a directive", format!("%YAML 1.1\n---\n{inside}"), true),
        ("after the end of a document", format!("{inside}...\n{outside}"), false),
        ("in a second document", format!("{inside}---\n{outside}"), false),
        ("behind an empty document", format!("---\n---\n{outside}"), false),
        ("with a carriage return", inside.replace('\n', "\r\n"), false),
        ("with a byte order mark", format!("\u{feff}{inside}"), false),
        ("with a tab", inside.replace(": ", ":\t"), false),
        ("with a tag", format!("- objectName: !!str {INSIDE}\n  objectType: secretsmanager\n"), false),
        (
            "as binary",
            "- objectName: !!binary bW96bWVhbw==\n  objectType: secretsmanager\n".to_owned(),
            false,
        ),
        ("with an anchor", format!("- &a\n  objectName: {INSIDE}\n  objectType: secretsmanager\n"), false),
        ("with a merge key", format!("{inside}  <<: {{objectName: {OUTSIDE}}}\n"), false),
        ("with a quoted merge key", format!("{inside}  \"<<\": {{objectName: {OUTSIDE}}}\n"), false),
        ("in another case", format!("{inside}  objectname: {OUTSIDE}\n"), false),
        ("with a folded letter", format!("{inside}  ob\u{17f}ectName: {OUTSIDE}\n"), false),
        ("with an escaped key", format!("{inside}  \"\\x6fbjectname\": {OUTSIDE}\n"), false),
        (
            "with an escaped value",
            format!("- objectName: \"{}\"\n  objectType: secretsmanager\n", OUTSIDE.replace('/', "\\x2f")),
            false,
        ),
        ("as a block", format!("- objectName: |\n    {INSIDE}\n  objectType: secretsmanager\n"), false),
        (
            "as a block without its end",
            format!("- objectName: |-\n    {INSIDE}\n  objectType: secretsmanager\n"),
            true,
        ),
        (
            "over two lines",
            format!("- objectName: {INSIDE}\n    {OUTSIDE}\n  objectType: secretsmanager\n"),
            false,
        ),
        ("as null", "- objectName: ~\n  objectType: secretsmanager\n".to_owned(), false),
        ("as a list", format!("- objectName: [{OUTSIDE}]\n  objectType: secretsmanager\n"), false),
        (
            "as a map",
            format!("- objectName: {{objectName: {OUTSIDE}}}\n  objectType: secretsmanager\n"),
            false,
        ),
        ("as a map of entries", format!("a: {{objectName: {OUTSIDE}, objectType: secretsmanager}}\n"), false),
        ("as a text", OUTSIDE.to_owned(), false),
        ("of another type", format!("- objectName: {INSIDE}\n  objectType: SecretsManager\n"), false),
        (
            "a parameter by its ARN",
            format!("- objectName: arn:aws:ssm:us-west-2:111122223333:parameter/{OUTSIDE}\n"),
            false,
        ),
        (
            "as an ARN of another type",
            format!(
                "- objectName: arn:aws:secretsmanager:us-west-2:111122223333:secret:{OUTSIDE}-AbCdEf\n  objectType: ssmparameter\n"
            ),
            false,
        ),
        (
            "with spaces around",
            format!("- objectName: \" {INSIDE} \"\n  objectType: secretsmanager\n"),
            false,
        ),
        (
            "a failover in another spelling",
            format!("{inside}  failoverObject: {{objectname: {OUTSIDE}}}\n"),
            false,
        ),
        ("a failover of a text", format!("{inside}  failoverObject: {OUTSIDE}\n"), false),
        ("a failover of no text", format!("{inside}  failoverObject: null\n"), false),
        (
            "a part with a name",
            format!("{inside}  jmesPath: [{{path: a, objectAlias: b, objectName: {OUTSIDE}}}]\n"),
            false,
        ),
    ]
}

#[test]
fn s05_s06_yaml_that_readers_understand_differently() {
    let snapshot = world(&[], settings());
    for (what, text, expected) in spellings() {
        let decision = ask(&snapshot, &class(&text), None);
        assert_eq!(allowed(&decision), expected, "{what}: {text}: {decision:?}");
    }
}

/// A denial says which entry, and what is expected of it.
#[test]
fn s05_s06_what_is_wrong_with_which_entry_is_said() {
    let good = format!("- objectName: {INSIDE}\n  objectType: secretsmanager\n");
    let at = "SecretProviderClass web, spec.parameters.objects: ";
    for (objects, expected) in [
        (
            format!("{good}{}  objektName: x\n", good),
            "[1] of the YAML in it has the key objektName; this provider has failoverObject, filePermission, jmesPath, objectAlias, \
             objectName, objectType, objectVersion, objectVersionLabel, in this spelling",
        ),
        (
            format!("{good}- objectName: {INSIDE}\n  objectType: kms\n"),
            "[1] of the YAML in it must have the objectType secretsmanager or ssmparameter",
        ),
        ("- x\n".to_owned(), "[0] of the YAML in it must be a map"),
        (
            format!("{good}  failoverObject: {{objectName: {INSIDE}, name: x}}\n"),
            "[0].failoverObject of the YAML in it has the key name; this provider has objectName, objectVersion, \
             objectVersionLabel, in this spelling",
        ),
    ] {
        let decision = ask(&world(&[], settings()), &class(&objects), None);
        assert_eq!(message(&decision).strip_prefix(at), Some(expected), "{objects}");
    }
}

fn mounting(attributes: Value) -> Vec<u8> {
    let mut pod = pod(json!([]));
    let csi = json!({"driver": "secrets-store.csi.k8s.io", "readOnly": true, "volumeAttributes": attributes});
    pod["spec"]["volumes"] = json!([{"name": "v", "csi": csi}]);
    review(json!({"object": pod}))
}

fn judged(snapshot: &Snapshot, body: &[u8]) -> Decision {
    decide(&parse(body, Endpoint::Validate, &snapshot.settings.kinds).unwrap(), snapshot)
}

/// What would not be let in as a new class is no way in for a pod when it was there before anybody asked.
#[test]
fn s08_a_class_that_cannot_be_judged_is_not_mounted() {
    let body = mounting(json!({"secretProviderClass": "web"}));
    for (what, text, expected) in spellings() {
        let snapshot = world(&[class(&text)], settings());
        let decision = judged(&snapshot, &body);
        assert_eq!(allowed(&decision), expected, "{what}: {text}: {decision:?}");
    }
    let mut stale = world(&[class(&spellings()[0].1)], settings());
    stale.stale = true;
    assert!(allowed(&judged(&stale, &body)), "silence says nothing of a class");
    // What is undecided is what the configuration says.
    let other = object(
        "secrets-store.csi.x-k8s.io/v1",
        "SecretProviderClass",
        "web",
        json!({"provider": "hereafter"}),
    );
    assert!(!allowed(&judged(&world(std::slice::from_ref(&other), settings()), &body)));
    let mut lenient = settings();
    lenient.carriers.undecided.insert("secrets-store-csi".to_owned(), Mode::Audit);
    assert!(allowed(&judged(&world(&[other], lenient), &body)));
}

/// References that a webhook resolves once they stand in a Secret are refused where a template puts them there, those to a path of
/// its own too: a policy refuses the Secret that comes of it, and the object would never be synced.
#[test]
fn s16_what_is_written_into_secrets_is_no_reference() {
    let texts = [
        ("a path of its own", format!("vault:secret/data/{INSIDE}#k"), false),
        ("a path of its own inside of a text", format!("a ${{vault:secret/data/{INSIDE}#k}} b"), false),
        (
            "an ARN of its own",
            format!("arn:aws:secretsmanager:us-west-2:111122223333:secret:{INSIDE}-AbCdEf"),
            false,
        ),
        ("a foreign path", format!("vault:secret/data/{OUTSIDE}#k"), false),
        ("a foreign path to write to", format!(">>vault:secret/data/{OUTSIDE}#k"), false),
        ("a foreign path of OpenBao", format!("bao:secret/data/{OUTSIDE}#k"), false),
        ("inside of a text", format!("a ${{vault:secret/data/{OUTSIDE}#k}} b"), false),
        ("a token", "vault:login".to_owned(), false),
        ("what only starts like one", format!("vault:{OUTSIDE} x#k"), false),
        ("an ARN", format!("arn:aws:secretsmanager:us-west-2:111122223333:secret:{OUTSIDE}-AbCdEf"), false),
        ("a text", "a: b".to_owned(), true),
    ];
    let store = json!({"aws": {"service": "SecretsManager", "region": "us-west-2"}});
    let store = object("external-secrets.io/v1", "SecretStore", "aws", json!({"provider": store}));
    let snapshot = world(&[store], mapped());
    let cipher = format!("Ag{}", "B".repeat(400));
    for (what, text, expected) in texts {
        let data = json!([{"secretKey": "k", "remoteRef": {"key": INSIDE}}]);
        let target = json!({"name": "web", "template": {"data": {"a": text}}});
        let spec = json!({"secretStoreRef": {"name": "aws"}, "data": data, "target": target});
        let sealed = json!({"encryptedData": {"password": cipher}, "template": {"data": {"a": text}}});
        let archived = json!({
            "backendType": "secretsManager", "region": "us-west-2", "dataFrom": [INSIDE],
            "template": {"stringData": {"a": text}},
        });
        for object in [
            object("external-secrets.io/v1", "ExternalSecret", "web", spec),
            object("bitnami.com/v1alpha1", "SealedSecret", "web", sealed),
            object("kubernetes-client.io/v1", "ExternalSecret", "web", archived),
        ] {
            // A lodash template is refused for itself.
            let is_lodash = object["apiVersion"] == "kubernetes-client.io/v1" && text.contains("${");
            let decision = ask(&snapshot, &object, None);
            assert_eq!(allowed(&decision), expected && !is_lodash, "{what}: {object}: {decision:?}");
        }
    }
}

/// The request, and what surrounds the object: nothing there makes another object of it.
#[test]
fn a_request_hides_no_object() {
    let snapshot = world(&[], settings());
    let outside = class(&format!("- {{objectName: {OUTSIDE}, objectType: secretsmanager}}\n"));
    let kind =
        |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let own = kind("secrets-store.csi.x-k8s.io", "v1", "SecretProviderClass");
    let mut named = outside.clone();
    named["metadata"] = json!({"generateName": "web-", "namespace": "kube-system"});
    let mut listed = outside.clone();
    listed["kind"] = "SecretProviderClassList".into();
    let mut older = outside.clone();
    older["apiVersion"] = "secrets-store.csi.x-k8s.io/v1alpha1".into();
    for (what, request) in [
        ("plainly", json!({"kind": own, "object": outside})),
        ("by a generated name, with another namespace inside", json!({"kind": own, "object": named})),
        (
            "as an apply",
            json!({"kind": own, "object": outside, "options": {"kind": "PatchOptions", "fieldManager": "x"}}),
        ),
        ("dry", json!({"kind": own, "object": outside, "dryRun": true})),
        (
            "as an update of nothing",
            json!({"kind": own, "object": outside, "operation": "UPDATE", "oldObject": null}),
        ),
        (
            "of another version",
            json!({"kind": kind("secrets-store.csi.x-k8s.io", "v1alpha1", "SecretProviderClass"), "object": older}),
        ),
        (
            "of a version of nobody",
            json!({"kind": kind("secrets-store.csi.x-k8s.io", "v2", "SecretProviderClass"), "object": outside}),
        ),
        (
            "of a kind of nobody",
            json!({"kind": kind("secrets-store.csi.x-k8s.io", "v1", "SecretProviderClassList"), "object": listed}),
        ),
        (
            "of a kind in another case",
            json!({"kind": kind("secrets-store.csi.x-k8s.io", "v1", "secretproviderclass"), "object": outside}),
        ),
        (
            "through a subresource of nobody",
            json!({"kind": own, "object": outside, "subResource": "hereafter", "operation": "UPDATE"}),
        ),
    ] {
        let body = review(request);
        let decision = judged(&snapshot, &body);
        assert!(!allowed(&decision), "{what}: {decision:?}");
    }
    // Two fields of one name: which of them counts, readers do not agree.
    let doubled = String::from_utf8(review(json!({"kind": own, "object": outside}))).unwrap();
    let doubled = doubled.replace("\"provider\":", "\"provider\":\"aws\",\"provider\":");
    let parsed = parse(doubled.as_bytes(), Endpoint::Validate, &snapshot.settings.kinds);
    assert!(matches!(parsed, Err(ParseError::Object { .. })), "{parsed:?}");
}

/// Time is not asserted: each of these takes hours where everything is compared with everything.
#[test]
fn large_objects_end() {
    const MANY: usize = 13_000;
    let snapshot = world(&[], mapped());
    let keys: String = (0..60_000).map(|number| format!("k{number}: 1\n")).collect();
    assert!(!allowed(&ask(&snapshot, &class(&keys), None)));
    let entries: String = (0..MANY)
        .map(|number| format!("- objectName: {INSIDE}{number}\n  objectType: secretsmanager\n"))
        .collect();
    let mut large = class(&entries);
    let data: Vec<Value> =
        (0..MANY).map(|number| json!({"objectName": format!("y{number}"), "key": "k"})).collect();
    large["spec"]["secretObjects"] = json!([{"secretName": "web", "data": data}]);
    assert!(allowed(&ask(&snapshot, &large, None)));
    assert!(world(&[large], settings()).namespaces["snippets-stage"].carried.class("web").is_some());
    // An ExternalSecret whose template renames what each of its entries brings.
    let data: Vec<Value> = (0..MANY)
        .map(|number| json!({"secretKey": format!("k{number}"), "remoteRef": {"key": format!("{INSIDE}{number}")}}))
        .collect();
    let renames: serde_json::Map<String, Value> =
        (0..MANY).map(|number| (format!("n{number}"), json!(format!("{{{{ .k{number} }}}}")))).collect();
    let target = json!({"template": {"data": renames, "mergePolicy": "Merge"}});
    let spec = json!({"secretStoreRef": {"name": "aws"}, "data": data, "target": target});
    let store = json!({"aws": {"service": "SecretsManager", "region": "us-west-2"}});
    let store = object("external-secrets.io/v1", "SecretStore", "aws", json!({"provider": store}));
    let object = object("external-secrets.io/v1", "ExternalSecret", "web", spec);
    let snapshot = world(&[store, object.clone()], settings());
    assert!(allowed(&ask(&snapshot, &object, None)));
}
