//! YAML as people write it: what kubectl takes is judged, what it would send otherwise is said, and what no cluster takes is skipped.

use super::{check, run_with};

/// A Deployment whose pod has these lines.
fn deployment(lines: &str) -> String {
    let head = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: shop\nspec:\n  template:\n    spec:\n      containers:\n";
    format!("{head}      - name: shop\n        image: shop\n{lines}")
}

const PLAIN: &str = "{name: SHOP_PASSWORD, value: Kq4vTz81mWpe}";

#[test]
fn what_kubectl_takes_is_judged() {
    for lines in [
        "        command: [\n          serve,\n        ]\n",
        "        args: ['\n  one;\n  two\n  ']\n",
        "        args: [\"a \\\n  && b\"]\n",
        "        workingDir:\t/srv\n",
        "        args:\n        - one\n        -\n        - three\n",
        "        resources: {\n    limits: {cpu: 1}\n}\n",
    ] {
        let clean = check(&deployment(lines), &[]);
        assert_eq!(clean.code, Some(0), "{lines}: {}", clean.out);
        let found = check(&deployment(&format!("{lines}        env: [{PLAIN}]\n")), &[]);
        let findings = &found.json()["results"][0]["findings"];
        assert_eq!((found.code, findings.as_array().unwrap().len()), (Some(1), 1), "{lines}: {findings}");
    }
}

#[test]
fn a_word_that_yaml_reads_as_no_text_is_refused_as_by_the_api_server() {
    for (value, found) in [
        ("yes", "boolean"),
        ("off", "boolean"),
        ("n", "boolean"),
        ("1_000", "integer"),
        ("0x1F", "integer"),
        ("1.5", "number"),
    ] {
        let ran = check(
            &deployment(&format!("        env:\n        - name: MODE\n          value: {value}\n")),
            &[],
        );
        let error = &ran.json()["errors"][0];
        assert_eq!((ran.code, &error["line"]), (Some(2), &13.into()), "{value}: {error}");
        let wanted = format!("/value: expected a string, found {found}; put the value in quotes");
        assert!(error["message"].as_str().unwrap().ends_with(&wanted), "{error}");
        let quoted = check(&deployment(&format!("        env: [{{name: MODE, value: '{value}'}}]\n")), &[]);
        assert_eq!(quoted.code, Some(0), "{}", quoted.out);
    }
    let data = check("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop}\ndata: {debug: on}\n", &[]);
    assert_eq!(data.code, Some(2), "{}", data.out);
    let list = check(&deployment("        args: {a: 1}\n"), &[]).json();
    assert!(list["errors"][0]["message"].as_str().unwrap().ends_with("expected a list, found map"), "{list}");
    let namespace =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {refgate.dev/enforce: off}}\n";
    let ran = check(namespace, &[]);
    assert!(
        ran.json()["errors"][0]["message"].as_str().unwrap().contains("put the value in quotes"),
        "{}",
        ran.out
    );
}

#[test]
fn of_a_key_that_stands_twice_both_values_are_judged() {
    let two = format!("        env: [{PLAIN}]\n        env: [{{name: MODE, value: fast}}]\n");
    for (text, lines) in [
        (deployment(&two), vec![11]),
        (
            deployment(&format!("        env: [{{name: MODE, value: fast}}]\n        env: [{PLAIN}]\n")),
            vec![12],
        ),
        (deployment(&format!("        env: [{PLAIN}]\n        env: [{PLAIN}]\n")), vec![11, 12]),
        (
            format!(
                "apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Service}}\n- {{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{containers: [{{name: a, env: [{PLAIN}], env: []}}]}}}}\n"
            ),
            vec![5],
        ),
    ] {
        let ran = check(&text, &[]);
        let json = ran.json();
        let result = &json["results"][0];
        assert_eq!((ran.code, json["results"].as_array().unwrap().len()), (Some(1), 1), "{json}");
        assert_eq!(result["findings"].as_array().unwrap().len(), lines.len(), "{json}");
        let shown = run_with(&["check", "-"], &text).out;
        assert!(lines.iter().all(|line| shown.contains(&format!("-:{line} "))), "{shown}");
        let warning = result["warnings"][0].as_str().unwrap();
        assert!(warning.contains("/env is there more than once; kubectl takes the last one"), "{warning}");
        assert!(!ran.out.contains("Kq4vTz81mWpe"));
    }
    let labels = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  labels:\n    app: a\n    app: b\nspec: {containers: [{name: a}]}\n";
    let ran = check(labels, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(ran.out.contains("line 6: /metadata/labels/app is there more than once"), "{}", ran.out);
    let rendered = run_with(&["render", "-", "--output", "after", "--scope", "a/b/c"], labels);
    assert!(
        rendered.err.contains("line 6: /metadata/labels/app is there more than once"),
        "{}",
        rendered.err
    );
}

/// Two objects without a line `---` between them: kubectl sends the second alone.
#[test]
fn two_objects_in_one_are_both_judged() {
    let text = deployment(&format!("        env: [{PLAIN}]\n"))
        + "apiVersion: v1\nkind: Service\nmetadata:\n  name: shop\n";
    let ran = check(&text, &[]);
    let json = ran.json();
    assert_eq!((ran.code, &json["results"][0]["kind"]), (Some(1), &"Deployment".into()), "{json}");
    let warnings = json["results"][0]["warnings"].to_string();
    assert!(
        warnings.contains("line 1: /apiVersion is there more than once; where another object begins"),
        "{json}"
    );
}

#[test]
fn what_no_cluster_takes_is_skipped() {
    for text in [
        "kind: DaemonSet\nimage:\n  repository: shop\n",
        "kind: Deployment\nmetadata: {name: shop}\n$patch: delete\n",
        "kind: Pod\nspec: {containers: [{name: a, $patch: delete}]}\n",
    ] {
        let ran = check(text, &[]);
        let json = ran.json();
        assert_eq!((ran.code, json["errors"].as_array().unwrap().len()), (Some(0), 0), "{json}");
        assert_eq!(json["skippedKinds"][0]["reason"], "no-object", "{json}");
        assert!(json["skippedKinds"][0]["kind"].is_string(), "{json}");
    }
    let patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  template:\n    spec:\n      containers:\n      - name: shop\n        $patch: delete\n      volumes:\n      - $patch: replace\n";
    let ran = check(patch, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
}

#[test]
fn only_a_template_is_called_one() {
    assert!(!check("a: [\n", &[]).out.contains("Helm"));
    assert!(check("a: [\n{{ .Values.x }}\n", &[]).out.contains("Helm"));
    let rest = check("  a: 1\nb: 2\n", &[]).out;
    assert!(rest.contains("the document ends before this line") && !rest.contains("Helm"), "{rest}");
}
