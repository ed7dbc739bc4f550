//! `refgate carriers`, and what `refgate check --explain` says of a path.

use std::process::Command;

use refgate::policy::carriers::{CARRIERS, doc};

use crate::harness::Folder;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_refgate")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn carriers_are_listed_shown_and_a_path_is_explained() {
    let list = run(&["carriers"]);
    for carrier in CARRIERS {
        assert!(list.out.contains(carrier.id), "{}", list.out);
        let shown = run(&["carriers", "show", carrier.id]);
        assert_eq!((shown.code, shown.out), (Some(0), doc::page(carrier)));
    }
    for (name, meant) in [
        ("external-secret", Some("external-secrets")),
        ("eso", Some("external-secrets")),
        ("ESO", Some("external-secrets")),
        ("vso", Some("vault-secrets-operator")),
        ("ClusterSecretStore", Some("external-secrets")),
        ("secretproviderclasses", Some("secrets-store-csi")),
        ("isindir.github.com", Some("sops")),
        ("berglas", Some("env-values")),
        ("reflector", Some("replicators")),
        ("csi", Some("secrets-store-csi")),
        ("1passwrd", Some("1password")),
        ("etcd", None),
    ] {
        let typo = run(&["carriers", "show", name]);
        let said = meant.map(|meant| format!("there is no carrier {name}; did you mean {meant}?"));
        assert_eq!(typo.code, Some(2));
        assert_eq!(typo.err.contains("did you mean"), meant.is_some(), "{}", typo.err);
        assert!(typo.err.contains(&said.unwrap_or_default()), "{}", typo.err);
    }

    let folder = Folder::new();
    let rows = "carriers:\n  mappings:\n  - {system: google, match: '*/*/stage', place: moz-stage, separator: '--'}\n";
    let config = folder.write("config.yaml", rows);
    let explain = |path: &str| run(&["check", "--explain", path, "--config", config.to_str().unwrap()]);
    let told = explain("mozmeao/snippets/stage/db");
    assert_eq!(told.code, Some(0), "{}", told.err);
    assert!(
        told.out.contains("Google Secret Manager, moz-stage: mozmeao--snippets--stage--db\n"),
        "{}",
        told.out
    );
    assert!(told.out.contains("Vault: nothing; carriers.mappings has no row {system: vault"), "{}", told.out);
    // A name with a slash has none there, and what is no path is not repeated.
    assert!(explain("mozmeao/snippets/stage/a/b").out.contains("moz-stage: no name"));
    let short = explain("mozmeao/snippets/stage");
    assert_eq!(short.code, Some(2));
    assert!(
        short
            .err
            .contains("--explain takes a whole path, group/app/env/name; what stands there has 3 segments"),
        "{}",
        short.err
    );
    let value = explain("hunter2!");
    assert_eq!(value.code, Some(2));
    assert!(!value.err.contains("hunter2"), "{}", value.err);
}
