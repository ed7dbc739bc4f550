//! What objects of other systems fill, as references come to it: a table for each of them.
//!
//! A key that may hold something else than what is asked for is none.

mod bound;
mod catalogue;
mod claims;
mod systems;

use std::sync::Arc;

use refgate::policy::carriers::place::System;
use refgate::policy::carriers::settings::{Mapping, Mode};
use refgate::policy::decide;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::review::{Endpoint, parse};
use refgate::policy::snapshot::{Settings, Snapshot};
use refgate::world::World;
use serde_json::{Value, json};

const WORLD: &str = r#"
apiVersion: v1
kind: Namespace
metadata:
  name: team
  labels: {refgate.dev/group: g, refgate.dev/app: a, refgate.dev/env: stage}
  annotations: {refgate.dev/shared-paths: g/shared/stage}
---
apiVersion: external-secrets.io/v1
kind: SecretStore
metadata: {name: aws, namespace: team}
spec: {provider: {aws: {service: SecretsManager, region: r, prefix: g/a/stage/}}}
"#;

fn settings() -> Settings {
    let mut settings = Settings::default();
    let row = |system: System, place: &str| Mapping {
        system,
        scopes: [None, None, Some("stage".to_owned())],
        place: place.to_owned(),
        separator: None,
    };
    settings.carriers.cluster_scoped = Mode::Audit;
    settings.carriers.mappings = vec![
        row(System::Vault, "secret"),
        row(System::Google, "moz"),
        row(System::Azure, "box"),
        row(System::OnePassword, "vault"),
        row(System::Doppler, "a/stg"),
    ];
    settings
}

/// The world above with these documents.
pub fn snapshot(objects: &str) -> Snapshot {
    let world = World::read(&format!("{WORLD}---\n{objects}"));
    assert_eq!(world.problems, Vec::new(), "{objects}");
    world.snapshot(Arc::new(settings()))
}

fn decided(snapshot: &Snapshot, endpoint: Endpoint, kind: Value, object: &Value) -> Decision {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "team", "kind": kind, "userInfo": {}, "object": object,
        },
    });
    let body = serde_json::to_vec(&review).unwrap();
    decide(&parse(&body, endpoint, &snapshot.settings.kinds).unwrap(), snapshot)
}

fn message(decision: &Decision) -> Option<&str> {
    match &decision.outcome {
        Outcome::Deny { message, .. } => Some(message),
        _ => None,
    }
}

/// What a pod gets that asks for something: `NAME=SECRET/KEY`, `*=SECRET` for a whole one, or `!` and the refusal. What
/// begins with `from ` is `refgate.dev/env-from`, all else stands behind `secret:`.
pub fn got(snapshot: &Snapshot, wish: &str) -> (String, Vec<String>) {
    let pod = match wish.strip_prefix("from ") {
        Some(list) => json!({
            "metadata": {"name": "p", "annotations": {"refgate.dev/env-from": list}},
            "spec": {"containers": [{"name": "web", "image": "i"}]},
        }),
        None => json!({
            "metadata": {"name": "p"},
            "spec": {"containers": [
                {"name": "web", "image": "i", "env": [{"name": "A", "value": format!("secret:{wish}")}]},
            ]},
        }),
    };
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let decision = decided(snapshot, Endpoint::Mutate, kind.clone(), &pod);
    if let Some(message) = message(&decision) {
        return (format!("!{message}"), decision.warnings);
    }
    let mut after = pod;
    let patch = decision.patch.as_deref().unwrap_or("[]");
    let patch: json_patch::Patch = serde_json::from_str(patch).unwrap();
    json_patch::patch(&mut after, &patch).unwrap();
    // What was injected is left alone, and nobody refuses it.
    let again = decided(snapshot, Endpoint::Mutate, kind.clone(), &after);
    assert_eq!((again.patch.as_deref(), message(&again)), (None, None), "{after}");
    assert_eq!(message(&decided(snapshot, Endpoint::Validate, kind, &after)), None, "{after}");
    let container = &after["spec"]["containers"][0];
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let env = container["env"].as_array().into_iter().flatten().map(|entry| {
        let key = &entry["valueFrom"]["secretKeyRef"];
        format!("{}={}/{}", text(&entry["name"]), text(&key["name"]), text(&key["key"]))
    });
    let from = container["envFrom"].as_array().into_iter().flatten();
    let from = from.map(|from| format!("*={}", text(&from["secretRef"]["name"])));
    (env.chain(from).collect::<Vec<_>>().join(" "), decision.warnings)
}

/// Rows of a wish and what comes of it; `!` begins a part of the refusal, and `-` is a Secret that none of the objects fills.
fn table(objects: &str, rows: &[(&str, &str)]) {
    let snapshot = snapshot(objects);
    for (wish, expected) in rows {
        let (got, _) = got(&snapshot, wish);
        let is_it = match expected.strip_prefix('!') {
            Some(part) => got.starts_with('!') && got.contains(part),
            None if *expected == "-" => got.starts_with("A=g-a-stage-") && got.ends_with("/value"),
            None => got == *expected,
        };
        assert!(is_it, "{objects}\n{wish}: {got}\nexpected: {expected}");
    }
}

/// An ExternalSecret of the store above.
fn external_secret(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{name: {name}, namespace: team}}\n\
         spec:\n  secretStoreRef: {{name: aws}}\n{}\n",
        spec.lines().map(|line| format!("  {line}\n")).collect::<String>()
    )
}

#[test]
fn a_secret_that_holds_one_path_alone_is_read_whole() {
    let one = external_secret("smtp", "dataFrom: [{extract: {key: smtp}}]");
    table(
        &one,
        &[
            ("from smtp", "*=smtp"),
            ("from smtp?optional", "*=smtp"),
            ("smtp#user", "A=smtp/user"),
            ("smtp", "!no key of it holds the whole value"),
            // What is renamed on the way has no key that anybody could name.
            ("smtp#a/b", "!no key of it holds property a/b"),
            ("from other", "!no object of the sync systems"),
        ],
    );
    // What it names besides is the same property of the same path, or may lie over another one.
    let named = |key: &str| {
        let spec = format!(
            "data: [{{secretKey: {key}, remoteRef: {{key: smtp, property: user}}}}]\ndataFrom: [{{extract: {{key: smtp}}}}]"
        );
        external_secret("smtp", &spec)
    };
    table(&named("user"), &[("from smtp", "*=smtp"), ("smtp#user", "A=smtp/user")]);
    table(&named("USER"), &[("from smtp", "!would be something else"), ("smtp#user", "A=smtp/user")]);
    let two = format!("{one}{}", external_secret("cache", "dataFrom: [{extract: {key: cache}}]"));
    table(&two, &[("from smtp, cache", "*=smtp *=cache"), ("from cache, smtp", "*=cache *=smtp")]);
    let (_, warnings) = got(&snapshot(&two), "from smtp, cache");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("which properties g/a/stage/smtp has is not known"), "{warnings:?}");
    assert_eq!(got(&snapshot(&two), "from smtp").1, Vec::<String>::new());
    let (_, warnings) = got(
        &snapshot(&format!("{one}{}", external_secret("b", "dataFrom: [{extract: {key: smtp}}]"))),
        "from smtp",
    );
    assert!(warnings[0].contains("b of ExternalSecret b and smtp of ExternalSecret smtp"), "{warnings:?}");
}

#[test]
fn a_secret_that_holds_something_else_too_is_not() {
    let shared = "!would be something else";
    for beside in [
        "data: [{secretKey: token, remoteRef: {key: token}}]\ndataFrom: [{extract: {key: smtp}}]",
        "dataFrom: [{extract: {key: smtp}}, {extract: {key: cache}}]",
        "dataFrom: [{extract: {key: smtp}}, {find: {path: g/a/stage/, name: {regexp: x}}}]",
        "dataFrom: [{extract: {key: smtp}}, {sourceRef: {generatorRef: {apiVersion: v, kind: Password, name: p}}}]",
        "dataFrom: [{extract: {key: smtp}, rewrite: [{regexp: {source: a, target: b}}]}]",
        "dataFrom: [{extract: {key: smtp, property: inner}}]",
        "dataFrom: [{extract: {key: smtp, version: AWSPREVIOUS}}]",
        "dataFrom: [{extract: {key: smtp, decodingStrategy: Base64}}]",
        "dataFrom: [{extract: {key: smtp}}]\ntarget: {creationPolicy: Merge}",
        "dataFrom: [{extract: {key: smtp}}]\ntarget: {template: {mergePolicy: Merge, data: {x: plain}}}",
        "dataFrom: [{extract: {key: smtp}}]\ntarget: {template: {mergePolicy: Merge, templateFrom: [{configMap: {name: c}}]}}",
    ] {
        table(&external_secret("web", beside), &[("from smtp", shared)]);
    }
    // Another object writes into the same Secret.
    let two = format!(
        "{}{}",
        external_secret("smtp", "dataFrom: [{extract: {key: smtp}}]"),
        external_secret(
            "more",
            "data: [{secretKey: x, remoteRef: {key: x}}]\ntarget: {name: smtp, creationPolicy: Merge}"
        )
    );
    table(&two, &[("from smtp", shared), ("smtp#user", "!no key of it holds property user")]);
    table("", &[("from smtp", "!not synced yet")]);
    // RefGate's own sync does.
    let ours = r#"---
apiVersion: v1
kind: ConfigMap
metadata: {name: catalogue.team, namespace: refgate-system, labels: {refgate.dev/catalogue: "true"}}
data: {catalogue: '[{"path": "g/a/stage/x", "secret": "smtp", "keys": ["value"]}]'}
"#;
    let both = format!("{}{ours}", external_secret("smtp", "dataFrom: [{extract: {key: smtp}}]"));
    let why = "!the catalogue says that it holds g/a/stage/x";
    table(&both, &[("from smtp", why), ("smtp#user", why), ("x", "A=smtp/value")]);
}

#[test]
fn properties_with_keys_of_their_own_become_variables() {
    let spec = "target: {name: web-secrets}\ndata:\n\
                - {secretKey: mail-user, remoteRef: {key: smtp, property: username}}\n\
                - {secretKey: mail-password, remoteRef: {key: smtp, property: password}}\n\
                - {secretKey: url, remoteRef: {key: database_url}}";
    let more = external_secret("more", "data: [{secretKey: p, remoteRef: {key: smtp, property: port}}]");
    let both = format!("{}{more}", external_secret("web", spec));
    table(
        &both,
        &[
            ("from smtp", "password=web-secrets/mail-password port=more/p username=web-secrets/mail-user"),
            ("from database_url", "!no key of it is known to hold one property"),
            ("from smtp, database_url", "!no key of it is known to hold one property"),
        ],
    );
}

#[test]
fn what_may_hold_something_else_is_no_filler() {
    let (none, nobody) = ("!no key of it holds", "!no object of the sync systems");
    for (spec, wish, expected) in [
        ("data: [{secretKey: k, remoteRef: {key: x}}]", "x", "A=w/k"),
        ("data: [{secretKey: k, remoteRef: {key: x, version: AWSCURRENT}}]", "x", "A=w/k"),
        ("data: [{secretKey: k, remoteRef: {key: x, version: AWSPREVIOUS}}]", "x", none),
        ("data: [{secretKey: k, remoteRef: {key: x, version: uuid/1}}]", "x", none),
        // A stage of that name is one like any other.
        ("data: [{secretKey: k, remoteRef: {key: x, version: latest}}]", "x", none),
        ("dataFrom: [{extract: {key: x, version: latest}}]", "x#k", none),
        ("data: [{secretKey: k, remoteRef: {key: x, decodingStrategy: Auto}}]", "x", none),
        ("data: [{secretKey: k, remoteRef: {key: x, metadataPolicy: Fetch}}]", "x", none),
        // Two entries of one key: one of them is lost.
        ("data: [{secretKey: k, remoteRef: {key: x}}, {secretKey: k, remoteRef: {key: 'y'}}]", "x", none),
        ("data: [{secretKey: k, remoteRef: {key: x}}, {secretKey: k, remoteRef: {key: 'y'}}]", "y", none),
        // `data` goes before `dataFrom`.
        ("data: [{secretKey: k, remoteRef: {key: 'y'}}]\ndataFrom: [{extract: {key: x}}]", "x#k", none),
        (
            "data: [{secretKey: k, remoteRef: {key: 'y'}}]\ndataFrom: [{extract: {key: x}}]",
            "x#other",
            "A=w/other",
        ),
        ("data: [{secretKey: k, remoteRef: {key: 'y'}}]\ndataFrom: [{extract: {key: x}}]", "y", "A=w/k"),
        // Which of two has a property, nobody knows.
        ("dataFrom: [{extract: {key: x}}, {extract: {key: 'y'}}]", "x#k", none),
        ("dataFrom: [{extract: {key: x}}, {extract: {key: 'y'}}]", "y#k", none),
        (
            "data: [{secretKey: k, remoteRef: {key: 'y'}}]\ndataFrom: [{extract: {key: x}}, {extract: {key: z}}]",
            "y",
            "A=w/k",
        ),
        (
            "data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {template: {data: {'n': '{{ .k }}'}}}",
            "x",
            "A=w/n",
        ),
        (
            "data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {template: {engineVersion: v1, data: {'n': '{{ .k }}'}}}",
            "x",
            nobody,
        ),
        // Blanks around an action stay in what is made.
        (
            "data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {template: {data: {'n': '{{ .k }} '}}}",
            "x",
            nobody,
        ),
        (
            "data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {template: {data: {'n': \"{{ .k }}\\n\"}}}",
            "x",
            nobody,
        ),
        (
            "data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {template: {data: {'n': \"{{ .k -}}\\n\"}}}",
            "x",
            "A=w/n",
        ),
        (
            "data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {template: {data: {'n': 'a{{ .k }}'}}}",
            "x",
            nobody,
        ),
        (
            "data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {template: {mergePolicy: Merge, data: {'n': 'a{{ .k }}'}}}",
            "x",
            "A=w/k",
        ),
        (
            "data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {template: {mergePolicy: Merge, data: {k: 'a{{ .k }}'}}}",
            "x",
            nobody,
        ),
        // What a ConfigMap makes may lie over the entries, and never over `data` of the template.
        (
            "data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {template: {mergePolicy: Merge, templateFrom: [{configMap: {name: c}}]}}",
            "x",
            none,
        ),
        (
            "data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {template: {data: {'n': '{{ .k }}'}, templateFrom: [{configMap: {name: c}}]}}",
            "x",
            "A=w/n",
        ),
        (
            "dataFrom: [{extract: {key: x}}]\ntarget: {template: {data: {'n': '{{ .user }}'}}}",
            "x#user",
            "A=w/n",
        ),
        (
            "dataFrom: [{extract: {key: x}}, {extract: {key: 'y'}}]\ntarget: {template: {data: {'n': '{{ .user }}'}}}",
            "x",
            nobody,
        ),
        ("data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {creationPolicy: Merge}", "x", "A=w/k"),
        ("dataFrom: [{extract: {key: x}}]\ntarget: {creationPolicy: Merge}", "x#k", none),
        ("data: [{secretKey: k, remoteRef: {key: x}}]\ntarget: {creationPolicy: None}", "x", "-"),
    ] {
        table(&external_secret("w", spec), &[(wish, expected)]);
    }
}

fn object(version: &str, kind: &str, name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: team}}\nspec: {spec}\n"
    )
}

#[test]
fn each_system_fills_in_its_own_way() {
    let vault = |spec: &str| {
        let spec =
            format!("{{mount: secret, path: g/a/stage/smtp, type: kv-v2, destination: {{name: v}}{spec}}}");
        object("secrets.hashicorp.com/v1beta1", "VaultStaticSecret", "v", &spec)
    };
    // `_raw` lies beside the properties.
    table(
        &vault(""),
        &[
            ("smtp#user", "A=v/user"),
            ("smtp#_raw", "!no key of it"),
            ("from smtp", "!would be something else"),
        ],
    );
    table(
        &vault(", version: 3"),
        &[("smtp#user", "!no key of it holds"), ("from smtp", "!would be something else")],
    );
    let changed =
        vault("").replace("name: v}", "name: v, transformation: {excludeRaw: true, includes: [u]}}");
    table(&changed, &[("smtp#user", "!no key of it holds")]);
    let raw = vault("").replace("name: v}", "name: v, transformation: {excludeRaw: true}}");
    table(&raw, &[("smtp#user", "A=v/user"), ("from smtp", "*=v")]);

    let item = object("onepassword.com/v1", "OnePasswordItem", "mail", "{itemPath: vaults/vault/items/smtp}");
    table(&item, &[("smtp#user", "A=mail/user"), ("from smtp", "*=mail")]);

    let azure = |wanted: &str, output: &str| {
        let spec = format!("{{vault: {{name: box, object: {{name: smtp, {wanted}}}}}, output: {output}}}");
        object("spv.no/v2beta1", "AzureKeyVaultSecret", "az", &spec)
    };
    let out = "{secret: {name: s, dataKey: k}}";
    table(&azure("type: secret", out), &[("smtp", "A=s/k"), ("from smtp", "!known to hold one property")]);
    for (wanted, output) in [
        ("type: certificate", out),
        ("type: secret, version: abc", out),
        ("type: secret", "{transform: [trim], secret: {name: s, dataKey: k}}"),
        ("type: secret", "{secret: {name: s, dataKey: k, type: kubernetes.io/basic-auth}}"),
    ] {
        let snapshot = snapshot(&azure(wanted, output));
        assert_ne!(got(&snapshot, "smtp").0, "A=s/k", "{wanted} {output}");
    }
    let json = azure("type: multi-key-value-secret, contentType: application/x-json", "{secret: {name: s}}");
    table(&json, &[("smtp#user", "A=s/user"), ("from smtp", "*=s")]);

    let doppler = |spec: &str| {
        let spec = format!(
            "{{project: a, config: stg, managedSecret: {{name: d}}, tokenSecret: {{name: t}}{spec}}}"
        );
        object("secrets.doppler.com/v1alpha1", "DopplerSecret", "d", &spec)
    };
    table(&doppler(", secrets: [DB, MAIL]"), &[("DB", "A=d/DB"), ("from DB", "!known to hold one property")]);
    table(&doppler(", secrets: [DB], nameTransformer: lower-snake"), &[("DB", "!no key of it holds")]);

    let kes = |spec: &str| {
        object(
            "kubernetes-client.io/v1",
            "ExternalSecret",
            "k",
            &format!("{{backendType: secretsManager{spec}}}"),
        )
    };
    table(
        &kes(", dataFrom: [g/a/stage/smtp], data: [{key: g/a/stage/x, name: x}]"),
        &[
            ("x", "A=k/x"),
            ("smtp#user", "A=k/user"),
            ("smtp#x", "!no key"),
            ("from smtp", "!would be something else"),
        ],
    );
    table(&kes(", dataFrom: [g/a/stage/smtp]"), &[("from smtp", "*=k")]);
    table(
        &kes(
            ", data: [{key: g/a/stage/x, name: 'x'}, {key: g/a/stage/y, name: 'y'}], template: {stringData: {x: plain}}",
        ),
        &[("x", "!no object of"), ("y", "A=k/y")],
    );
    table(&kes(", data: [{key: g/a/stage/x, name: x, isBinary: true}]"), &[("x", "!no key")]);
    table(&kes(", data: [{key: g/a/stage/x, name: x, isBinary: false}]"), &[("x", "A=k/x")]);
    table(
        &kes(", data: [{key: g/a/stage/x, name: x}], template: {metadata: {name: z}}"),
        &[("x", "!no object of")],
    );
}

#[test]
fn a_class_fills_what_its_files_hold() {
    let class = |provider: &str, parameters: &str, data: &str| {
        let spec = format!(
            "{{provider: {provider}, parameters: {parameters}, secretObjects: [{{secretName: s, type: Opaque, data: [{data}]}}]}}"
        );
        object("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", "c", &spec)
    };
    let aws = |entry: &str, data: &str| {
        let entry = format!("- {{objectType: secretsmanager, {entry}}}");
        class("aws", &format!("{{objects: {}}}", serde_json::to_string(&entry).unwrap()), data)
    };
    let file = |name: &str| format!("{{objectName: {name}, key: k}}");
    // Without an alias the file has the name, slashes replaced.
    table(&aws("objectName: g/a/stage/x", &file("g_a_stage_x")), &[("x", "A=s/k")]);
    table(&aws("objectName: g/a/stage/x", &file("g/a/stage/x")), &[("x", "!no object")]);
    table(&aws("objectName: g/a/stage/x, objectAlias: x", &file("x")), &[("x", "A=s/k")]);
    table(
        &aws("objectName: g/a/stage/x, objectAlias: x, objectVersionLabel: AWSPREVIOUS", &file("x")),
        &[("x", "!no key")],
    );
    let part = "objectName: g/a/stage/x, objectAlias: all, jmesPath: [{path: user, objectAlias: u}, {path: a.b, objectAlias: ab}]";
    table(&aws(part, &file("u")), &[("x#user", "A=s/k"), ("x", "!no key"), ("from x", "user=s/k")]);
    table(&aws(part, &file("ab")), &[("x#a.b", "!no key")]);
    // Two files of one name.
    let entries = "- {objectName: g/a/stage/x, objectType: secretsmanager, objectAlias: f}\n- {objectName: g/a/stage/y, objectType: secretsmanager, objectAlias: f}";
    let two = class("aws", &format!("{{objects: {}}}", serde_json::to_string(entries).unwrap()), &file("f"));
    table(&two, &[("x", "!no object"), ("y", "!no object")]);

    let vault = |entry: &str| {
        let entry = format!("- {{objectName: f, secretPath: secret/data/g/a/stage/smtp{entry}}}");
        class("vault", &format!("{{objects: {}}}", serde_json::to_string(&entry).unwrap()), &file("f"))
    };
    table(&vault(", secretKey: user"), &[("smtp#user", "A=s/k"), ("smtp", "!no key")]);
    table(&vault(""), &[("smtp", "!no key")]);

    let google = |version: &str, more: &str| {
        let entry =
            format!("- {{resourceName: projects/moz/secrets/smtp/versions/{version}, fileName: f{more}}}");
        class("gcp", &format!("{{secrets: {}}}", serde_json::to_string(&entry).unwrap()), &file("f"))
    };
    table(&google("latest", ""), &[("smtp", "A=s/k")]);
    table(&google("3", ""), &[("smtp", "!no key")]);
    table(&google("latest", ", extractJSONKey: user"), &[("smtp#user", "A=s/k"), ("smtp", "!no key")]);
    table(&google("latest", ", extractYAMLKey: user"), &[("smtp#user", "!no key"), ("smtp", "!no key")]);
}
