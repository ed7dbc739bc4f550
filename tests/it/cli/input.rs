//! What is read, and what is not: empty input, templates, namespaces that admission leaves out, manifests of Namespaces.

use std::fs;

use serde_json::{Value, json};

use super::{CLEAN, PLAINTEXT, REFERENCE, SCOPE, check, folder, pod, run, run_with};

fn text(folder: &std::path::Path) -> &str {
    folder.to_str().unwrap()
}

/// A failed `helm template` in front of the pipe must not pass.
#[test]
fn nothing_is_not_clean() {
    for input in ["", "\n", "# Source: nothing\n---\n---\n"] {
        for arguments in
            [&["check", "-"][..], &["check", "-", "--output", "json"], &["render", "-", "--output", "after"]]
        {
            let ran = run_with(arguments, input);
            assert_eq!(ran.code, Some(2), "{arguments:?} {input:?}: {}", ran.out);
            assert!(ran.err.contains("nothing was read: standard input"), "{arguments:?}: {}", ran.err);
            assert!(!ran.out.contains("0 refused"), "{}", ran.out);
        }
    }
    let json = run(&["check", "-", "--output", "json"]).json();
    assert!(json["errors"][0]["message"].as_str().unwrap().contains("nothing was read"), "{json}");

    let folder = folder("nothing");
    for arguments in [["check", text(&folder)], ["render", text(&folder)]] {
        let ran = run(&arguments);
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{arguments:?}");
        assert!(
            ran.err.starts_with("refgate: nothing was read: ")
                && ran
                    .err
                    .contains(&format!("{} holds no file that ends in .yaml, .yml or .json", text(&folder))),
            "{}",
            ran.err
        );
    }
    // Beside others an empty file is nothing to speak of; empty standard input is.
    fs::write(folder.join("empty.yaml"), "# nothing yet\n").unwrap();
    let ran = run(&["check", text(&folder)]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("nothing was read: there is no document in "), "{}", ran.err);
    fs::write(folder.join("pod.yaml"), pod("a", CLEAN)).unwrap();
    let ran = run(&["check", text(&folder)]);
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));
    let ran = run(&["check", text(&folder), "-"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.contains("standard input") && ran.out.contains("1 object: 1 allowed"),
        "{}\n{}",
        ran.err,
        ran.out
    );
}

#[test]
fn a_template_of_helm_is_called_one() {
    let hint = "; this looks like a template of Helm: check what `helm template` prints";
    for template in [
        "metadata:\n  name: {{ .Values.name }}\n",
        "kind: Pod\nspec:\n{{- if .Values.on }}\n  containers: []\n{{- end }}\n",
    ] {
        let report = check(template, &[]).json();
        let errors = report["errors"].as_array().unwrap();
        let said = errors.iter().filter(|error| error["message"].as_str().unwrap().ends_with(hint)).count();
        assert_eq!(said, 1, "{report}");
    }
    let report = check("a: [\n", &[]).json();
    assert!(!report["errors"][0]["message"].as_str().unwrap().contains("Helm"), "{report}");
}

/// The webhooks leave these namespaces out, so there is nothing that they would say.
#[test]
fn what_admission_does_not_judge_is_skipped() {
    let everything = pod("a", &format!("{PLAINTEXT}{REFERENCE}"));
    let store = "---\napiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: e, namespace: snippets-stage}\nspec: \
                 {secretStoreRef: {name: s}, data: [{secretKey: k, remoteRef: {key: mozmeao/basket/prod/x}}]}\n";
    for namespace in ["kube-system", "kube-node-lease", "refgate-system"] {
        let manifest = format!("{everything}{store}").replace("snippets-stage", namespace);
        for flags in [&[][..], &SCOPE, &["--world", "examples/world.yaml"], &["--level", "restricted"]] {
            let ran = check(&manifest, flags);
            let report = ran.json();
            assert_eq!(ran.code, Some(0), "{namespace} {flags:?}: {report}");
            assert_eq!((&report["skipped"], &report["leftOut"]), (&2.into(), &2.into()), "{report}");
            let ran = run_with(&[&["render", "-", "--output", "after"], flags].concat(), &manifest);
            let refused_level = flags.contains(&"--level");
            assert_eq!(
                (ran.code, ran.out.contains("secret:database_url")),
                (Some(0), true),
                "{refused_level} {}",
                ran.err
            );
        }
    }
    let both = format!(
        "{}---\napiVersion: v1\nkind: Service\n---\napiVersion: v1\nkind: Service\n",
        everything.replace("snippets-stage", "kube-system")
    );
    let said = run_with(&["check", "-"], &both).out;
    assert!(
        said.ends_with("3 skipped (kind not judged: 2 Service; no webhook judges kube-system, kube-node-lease or refgate-system: 1 Pod)\n"),
        "{said}"
    );
    // The world itself lies among the manifests.
    let ran = run(&["check", "examples/world.yaml", "examples/pod.yaml", "--world", "examples/world.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    // A Secret no webhook sees anywhere, and its value is in Git in whatever namespace.
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: kube-system}\nstringData: {password: kR4vT9wqZ2pB}\n";
    for flags in [&[][..], &SCOPE, &["--world", "examples/world.yaml"]] {
        let ran = check(secret, &[&["--secrets", "deny"], flags].concat());
        let report = ran.json();
        assert_eq!(
            (ran.code, report["results"][0]["findings"].as_array().unwrap().len()),
            (Some(1), 1),
            "{report}"
        );
    }
}

/// A clean result must not be read as one about what nobody looked at.
#[test]
fn what_is_not_judged_is_named_and_counted() {
    let manifests = [
        &*pod("a", CLEAN),
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: r}\n",
        "apiVersion: v1\nkind: Service\n",
        "apiVersion: v1\nkind: Service\n",
        "replicas: 2\n",
        // What stands in the place of a kind by mistake may be anything.
        "apiVersion: v1\nkind: kR4vT9wqZ2pB\n",
    ];
    let ran = check(&manifests.join("---\n"), &[]);
    let report = ran.json();
    assert_eq!(
        (ran.code, &report["judged"], &report["skipped"]),
        (Some(0), &1.into(), &5.into()),
        "{report}"
    );
    let row = |kind: Option<&str>, reason: &str, count: u64| json!({"kind": kind, "reason": reason, "count": count});
    assert_eq!(
        report["skippedKinds"],
        json!([
            row(Some("Rollout.argoproj.io"), "kind", 1),
            row(Some("Service"), "kind", 2),
            row(Some("other"), "kind", 1),
            row(None, "no-object", 1),
        ])
    );
    let text = run_with(&["check", "-"], &manifests.join("---\n")).out;
    let last = "1 object: 1 allowed, 0 refused, 5 skipped (kind not judged: 2 Service, 1 Rollout.argoproj.io, 1 other; \
                no object of Kubernetes)\n";
    assert!(text.ends_with(last), "{text}");
}

#[test]
fn labels_of_a_namespace_are_read_as_admission_reads_them() {
    let manifest = |labels: &str| {
        format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: plain\n  labels: {labels}\n")
    };
    let bound = "{refgate.dev/group: a, refgate.dev/app: b, refgate.dev/env: c}";
    for (labels, warnings) in [
        ("{team: x}", &[][..]),
        (bound, &[]),
        (
            "{refgate.dev/enforce: strcit}",
            &["label refgate.dev/enforce of the namespace is none of off, baseline, restricted"],
        ),
        (
            "{refgate.dev/group: a}",
            &["the namespace counts as not bound: labels refgate.dev/app and refgate.dev/env are missing"],
        ),
        (
            "{refgate.dev/group: a, refgate.dev/app: b}",
            &["the namespace counts as not bound: label refgate.dev/env is missing"],
        ),
        ("{refgate.dev/group: A, refgate.dev/app: b, refgate.dev/env: c}", &["do not read as a scope"]),
        ("{refgate.dev/enfroce: \"off\"}", &["label refgate.dev/enfroce of the namespace means nothing"]),
    ] {
        let ran = check(&manifest(labels), &[]);
        let result = &ran.json()["results"][0];
        assert_eq!((ran.code, &result["kind"]), (Some(0), &Value::from("Namespace")), "{result}");
        let said: Vec<&str> =
            result["warnings"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        assert_eq!(said.len(), warnings.len(), "{labels}: {said:?}");
        for (said, expected) in said.iter().zip(warnings) {
            assert!(said.contains(expected), "{said}");
        }
    }
    let shared = manifest(bound) + "  annotations: {refgate.dev/shared-paths: a/b}\n";
    let report = check(&shared, &[]).json();
    assert!(
        report["results"][0]["warnings"][0].as_str().unwrap().contains("refgate.dev/shared-paths"),
        "{report}"
    );
    // YAML reads no text there, and Kubernetes takes nothing else.
    let ran = check(&manifest("{refgate.dev/enforce: false}"), &[]);
    let error = &ran.json()["errors"][0];
    assert_eq!((ran.code, &error["line"]), (Some(2), &5.into()), "{error}");
    assert!(
        error["message"].as_str().unwrap().starts_with("/metadata/labels/refgate.dev~1enforce: "),
        "{error}"
    );
    let said = run_with(&["check", "-"], &manifest("{refgate.dev/enforce: strcit}")).out;
    assert!(
        said.contains("Namespace/plain") && said.contains("1 object: 1 allowed, 0 refused, 1 warning"),
        "{said}"
    );
}
