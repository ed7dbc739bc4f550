//! Manifests of Secrets: no webhook sees them, so what is said is about the file.

use std::fs;

use serde_json::{Value, json};

use super::{PLANTED, SCOPE, check, folder, pod, run, run_with};

fn secret(name: &str, labels: &str, data: &[(&str, &str)]) -> String {
    let data: String = data.iter().map(|(key, value)| format!("  {key}: {}\n", json!(value))).collect();
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: shop, labels: {{{labels}}}}}\nstringData:\n{data}"
    )
}

fn written(name: &str, text: &str) -> String {
    let file = folder(name).join("secret.yaml");
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn where_a_secret_comes_from_decides_and_the_flag_decides_before() {
    let text = secret("db", "", &[("password", PLANTED), ("license", "three plain words")]);
    let file = written("secrets-flag", &text);
    for (flags, of_stream, of_file) in [
        (&[][..], 0, 1),
        (&["--secrets", "deny"], 1, 1),
        (&["--secrets", "warn"], 0, 0),
        (&["--secrets", "off"], 0, 0),
        (&["--level", "off"], 0, 0),
    ] {
        for (path, code) in [("-", of_stream), (&*file, of_file)] {
            let ran = run_with(&[&["check", path, "--output", "json"], flags].concat(), &text);
            let report = ran.json();
            assert_eq!(ran.code, Some(code), "{flags:?} {path}: {report}");
            let entry = &report["results"][0];
            let (by, count) = if code == 1 { (json!("file"), 1) } else { (Value::Null, 0) };
            assert_eq!((&entry["deniedBy"], &report["doNotCommit"]), (&by, &json!(count)), "{report}");
            let is_said = code == 0 && !flags.contains(&"off");
            assert_eq!(
                entry["warnings"].as_array().unwrap().len(),
                usize::from(is_said),
                "{flags:?}: {report}"
            );
            assert!(!ran.out.contains(PLANTED), "{}", ran.out);
        }
    }
}

#[test]
fn a_secret_has_one_line_with_its_keys() {
    let text = secret("db", "", &[("password", PLANTED), ("token", "Zq8mT3vLx0RbNc5W"), ("user", "shop")]);
    let file = written("secrets-line", &[text, pod("a", super::PLAINTEXT)].join("---\n"));
    let out = run(&["check", &file]).out;
    let rows: Vec<&str> = out.lines().filter(|line| line.contains("Secret/db")).collect();
    assert!(matches!(rows[..], [row] if row.ends_with("keys password, token  do not commit")), "{out}");
    assert!(out.contains("2 refused (the webhook would deny 1, do not commit 1)"), "{out}");
    // The password stands in the pod too: it is explained once.
    assert_eq!(out.matches(&format!("the same value as at {file}:")).count(), 1, "{out}");
    assert!(out.contains("instead: write value: \"secret:db_password\""), "{out}");
    // What a cluster would deny is no matter of the flag.
    let outside = secret("copied", "", &[("password", PLANTED)])
        .replace("labels: {}", "annotations: {reflector.v1.k8s.emberstack.com/reflects: other/secret}");
    let ran = check(&outside, &[&SCOPE[..], &["--secrets", "off"]].concat());
    assert_eq!(
        (ran.code, &ran.json()["results"][0]["deniedBy"]),
        (Some(1), &json!("webhook")),
        "{}",
        ran.out
    );
}

/// A value that looks more like a secret never gets the weaker verdict, at any level.
#[test]
fn what_looks_more_like_a_secret_counts_no_less() {
    let values =
        ["info", "three plain words", "admin", "shop-frontend", "Zq8mT3vLx0RbNc5WdKy7HsPf2GjUeA1o", PLANTED];
    for key in ["mode", "api-key", "password", "session", "user", "logLevel", "token"] {
        for level in ["baseline", "restricted"] {
            let code = |value: &str| {
                check(&secret("s", "", &[(key, value)]), &["--secrets", "deny", "--level", level]).code
            };
            let codes: Vec<_> = values.iter().map(|value| code(value)).collect();
            assert!(codes.is_sorted() || codes[4..] == [Some(1), Some(1)], "{key} {level}: {codes:?}");
        }
    }
}

#[test]
fn ports_users_ids_and_public_keys_are_no_secrets() {
    let plain = [
        ("port", "5432"),
        ("POSTGRES_USER", "shop"),
        ("admin-user", "admin"),
        ("client-id", "7c1f4c0e-9d43-4a51-8c0f-8d3f3c2a1b10"),
        ("tenantId", "0f3e1d2c4b5a69788796a5b4c3d2e1f0"),
        ("logLevel", "debug"),
        ("id_ed25519.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx3bYk0 ci@shop"),
        (
            "jwt.pub",
            "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
        ),
    ];
    let ran = check(&secret("plain", "", &plain), &["--secrets", "deny", "--level", "restricted"]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    // A guess under no name that promises a credential is not called a password.
    let ran = check(&secret("stock", "", &[("mode", "admin")]), &["--secrets", "deny"]);
    let rules = ran.json()["results"][0]["findings"][0]["rule"].clone();
    assert_eq!((ran.code, rules), (Some(1), json!("secret-manifest")), "{}", ran.out);
}

/// The row is pasted as it is printed, and lets exactly that pass.
#[test]
fn the_advice_for_a_chart_can_be_pasted() {
    let labels = "app.kubernetes.io/managed-by: Helm, helm.sh/chart: postgresql-15.5.1";
    let of_chart =
        secret("pg", labels, &[("postgres-password", PLANTED), ("replication", "Zq8mT3vLx0RbNc5W")]);
    let deployment = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop, labels: {{{labels}}}}}\nspec:\n  template:\n    \
         spec:\n      containers:\n      - name: web\n        image: i\n        env: [{{name: DB_PASSWORD, value: {PLANTED}}}]\n"
    );
    for (name, text) in [("chart-secret", of_chart), ("chart-deployment", deployment)] {
        let file = written(name, &text);
        let out = run(&["check", &file]).out;
        assert!(out.contains("postgresql-15.5.1") && out.contains("existingSecret"), "{out}");
        let rows: Vec<&str> =
            out.lines().map(str::trim).skip_while(|line| *line != "allow:").take(2).collect();
        let config = folder(&format!("{name}-config")).join("config.yaml");
        fs::write(&config, rows.join("\n")).unwrap();
        let config = config.to_str().unwrap();
        let ran = run(&["check", &file, "--config", config]);
        assert_eq!(ran.code, Some(0), "{rows:?}: {}\n{}", ran.out, ran.err);
        let other = written(
            &format!("{name}-other"),
            &text.replace("postgres-password", "root-password").replace("DB_PASSWORD", "ROOT_PASSWORD"),
        );
        assert_eq!(run(&["check", &other, "--config", config]).code, Some(1), "{rows:?}");
    }
    let unnamed = secret("pg", "app.kubernetes.io/managed-by: Helm", &[("postgres-password", PLANTED)]);
    let out = run(&["check", &written("chart-unnamed", &unnamed)]).out;
    assert!(out.contains("set the chart's value that names an existing Secret"), "{out}");
    // What Helm does not label is no chart's.
    let out = run(&["check", &written("no-chart", &secret("a", "", &[("password", PLANTED)]))]).out;
    assert!(!out.contains("existingSecret"), "{out}");
}

/// kubectl takes the last of two values, so no webhook sees the first.
#[test]
fn a_value_that_kubectl_leaves_out_is_of_the_file_alone() {
    for (last, by) in [("\"\"", "file"), ("mJ7xQ2nLc5Ys", "webhook")] {
        let twice = format!("    - name: DB_PASSWORD\n      value: {PLANTED}\n      value: {last}\n");
        let ran = check(&pod("a", &twice), &[]);
        assert_eq!((ran.code, &ran.json()["results"][0]["deniedBy"]), (Some(1), &json!(by)), "{}", ran.out);
    }
}
