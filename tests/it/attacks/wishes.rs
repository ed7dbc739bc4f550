//! Annotations, forged or nearly right, mounts, names and paths.

use super::*;

#[test]
fn forged_claims_are_not_believed() {
    let mut attempts = Attempts::default();
    let own = secret_name("mozmeao/snippets/stage/smtp");
    for (hope, refs) in [
        (
            "a foreign path for a left Secret",
            json!([{"path": FOREIGN, "secret": LEFT, "key": "value", "use": "env", "at": ["web/A"]}])
                .to_string(),
        ),
        (
            "an own path for a left Secret",
            json!([{"path": "mozmeao/snippets/stage/x", "secret": LEFT}]).to_string(),
        ),
        ("no JSON at all", "[{".to_owned()),
        ("deeply nested", "[".repeat(100_000)),
        ("null", "null".to_owned()),
    ] {
        let bad = pod(
            json!({"annotations": {"refgate.dev/refs": refs}}),
            json!({"containers": [secret_env("web", "A")]}),
        );
        attempts.must(denied(&create(Validate, bad)), hope);
        let good = json!([{"name": "web", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": own, "key": "user"}}}]}]);
        let good = pod(json!({"annotations": {"refgate.dev/refs": refs}}), json!({"containers": good}));
        let patch = create(Mutate, good).patch.unwrap_or_default();
        attempts.must(!patch.contains("payroll"), format!("{hope}: {patch}"));
        attempts
            .must(patch.contains(r#"\"path\":\"mozmeao/snippets/stage/smtp\""#), format!("{hope}: {patch}"));
    }
    // A path that no path is does not come back, though its hash fits the name of a Secret.
    for path in
        ["mozmeao/snippets/stage/../payroll/x", "mozmeao/snippets/stage/a b\n", "mozmeao/snippets/stage//"]
    {
        let name = secret_name(path);
        let refs = json!([{"path": path, "secret": name}]).to_string();
        let spec = json!({"containers": [{"name": "web", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]}]});
        let patch = create(Mutate, pod(json!({"annotations": {"refgate.dev/refs": refs}}), spec))
            .patch
            .unwrap_or_default();
        attempts.must(!patch.contains(r#"\"path\""#), patch.to_string());
    }
    attempts.end();
}

#[test]
fn annotations_that_are_nearly_ours_are_refused_by_name() {
    let mut attempts = Attempts::default();
    // Hopes that a pod starts without its secret, or that an odd spelling passes for a harmless annotation.
    for key in [
        "Refgate.dev/refs",
        "REFGATE.DEV/env-from",
        "env.RefGate.dev/A",
        "envs.refgate.dev/A",
        "x.y.refgate.dev/A",
        "refgate.dev/env_from",
        "refgate.dev/Containers",
        "refgate.dev/",
        "refgate.dev/sync",
        "env.refgate.dev.refgate.dev/A",
    ] {
        for endpoint in [Mutate, Validate] {
            attempts
                .must(denied(&create(endpoint, annotated(json!({key: "database_url"})))), key.to_string());
        }
    }
    for key in [
        "notrefgate.dev/env-from",
        "refgate.dev.example.com/A",
        "refgate。dev/refs",
        "rеfgate.dev/refs",
        "example.com/refgate.dev",
    ] {
        attempts.must(!denied(&create(Mutate, annotated(json!({key: "x"})))), key.to_string());
    }
    for (key, value) in [
        ("env.refgate.dev/A", "secret:database_url"),
        ("env.refgate.dev/A", ""),
        ("env.refgate.dev/A", "/mozmeao/payroll/prod/x"),
        ("env.refgate.dev/A", "../../payroll/prod/x"),
        ("env.refgate.dev/A", "database_url?optional?optional"),
        ("env.refgate.dev/A", "database_url?Optional"),
        ("env.refgate.dev/A", "database_url#"),
        ("env.refgate.dev/A", "//database_url"),
        ("env.refgate.dev/A", "/mozmeao/snippets/stage2/x"),
        ("env.refgate.dev/A", "datab\u{430}se_url"),
        ("file.refgate.dev/..data", "database_url"),
        ("file.refgate.dev/.", "database_url"),
        ("file.refgate.dev/a/b", "database_url"),
        ("file.refgate.dev/", "database_url"),
        ("refgate.dev/env-from", "database_url,"),
        ("refgate.dev/env-from", "smtp#user"),
        ("refgate.dev/env-from", "smtp,smtp"),
        ("refgate.dev/file-mode", "0o444"),
        ("refgate.dev/file-mode", "7777"),
        ("refgate.dev/file-mode", "٤٤٤"),
        ("refgate.dev/mount-path", "/"),
        ("refgate.dev/mount-path", "run"),
        ("refgate.dev/mount-path", "/run/../etc"),
        ("refgate.dev/mount-path", "/run/$(A)"),
        ("refgate.dev/mount-path", "/run//x"),
        ("refgate.dev/mount-path", "/run/\n"),
        ("refgate.dev/restart", "Canary"),
        ("refgate.dev/containers", ""),
        ("refgate.dev/containers", "web,"),
        ("refgate.dev/containers", "WEB"),
        ("refgate.dev/containers", "*"),
        ("refgate.dev/containers", "web web"),
    ] {
        for endpoint in [Mutate, Validate] {
            attempts
                .must(denied(&create(endpoint, annotated(json!({key: value})))), format!("{key}: {value}"));
        }
    }
    attempts.end();
}

#[test]
fn the_container_list_leaves_nobody_out_by_mistake() {
    let two = |annotations: Value| {
        pod(
            json!({"annotations": annotations}),
            json!({"containers": [{"name": "web"}, {"name": "istio-proxy"}], "initContainers": [{"name": "init"}]}),
        )
    };
    let patched = |annotations: Value| create(Mutate, two(annotations)).patch.unwrap_or_default();
    // All but the proxy.
    let patch = patched(json!({"env.refgate.dev/A": "database_url"}));
    assert!(
        patch.contains("/spec/containers/0/env") && patch.contains("/spec/initContainers/0/env"),
        "{patch}"
    );
    assert!(!patch.contains("/spec/containers/1/"), "{patch}");
    // Named, the proxy is meant as well; a name twice is one container.
    let patch = patched(
        json!({"env.refgate.dev/A": "database_url", "refgate.dev/containers": "istio-proxy, istio-proxy"}),
    );
    assert!(patch.contains("/spec/containers/1/env") && !patch.contains("/spec/containers/0/"), "{patch}");
    assert_eq!(patch.matches("secretKeyRef").count(), 1, "{patch}");
    // All of them proxies, or one that is ephemeral only: refused, not passed over.
    let proxies = pod(
        json!({"annotations": {"env.refgate.dev/A": "database_url"}}),
        json!({"containers": [{"name": "istio-proxy"}]}),
    );
    assert!(denied(&create(Mutate, proxies)));
    let ephemeral = pod(
        json!({"annotations": {"env.refgate.dev/A": "database_url", "refgate.dev/containers": "debug"}}),
        json!({"ephemeralContainers": [{"name": "debug"}]}),
    );
    assert!(denied(&create(Validate, ephemeral)));
}

#[test]
fn the_mount_shows_what_was_asked_for_and_nothing_else() {
    let mut attempts = Attempts::default();
    let files = |mounts: Value, volumes: Value| {
        pod(
            json!({"annotations": {"file.refgate.dev/f": "database_url"}}),
            json!({"containers": [{"name": "web", "volumeMounts": mounts}], "volumes": volumes}),
        )
    };
    let own = secret_name("mozmeao/snippets/stage/database_url");
    let shows = |secret: &str, key: &str| json!([{"name": "v", "projected": {"sources": [{"secret": {"name": secret, "items": [{"key": key, "path": "f"}]}}]}}]);
    let at = |path: &str| json!([{"name": "v", "mountPath": path, "readOnly": true}]);
    // Hopes that a volume of the attacker's, where ours would be, counts as ours.
    for (hope, mounts, volumes) in [
        ("an empty directory", at("/run/refgate"), json!([{"name": "v", "emptyDir": {}}])),
        ("with a slash behind", at("/run/refgate/"), json!([{"name": "v", "emptyDir": {}}])),
        ("another Secret", at("/run/refgate"), shows("mine", "value")),
        ("another key", at("/run/refgate"), shows(&own, "user")),
        (
            "a part of it",
            json!([{"name": "v", "mountPath": "/run/refgate", "subPath": "x"}]),
            shows(&own, "value"),
        ),
        (
            "an expanded part of it",
            json!([{"name": "v", "mountPath": "/run/refgate", "subPathExpr": "$(A)"}]),
            shows(&own, "value"),
        ),
        ("a volume that is not there", at("/run/refgate"), json!([])),
    ] {
        attempts.must(denied(&create(Mutate, files(mounts, volumes))), hope);
    }
    // What is ours already is left as it is; a name that is taken is not taken twice.
    let ours = create(Mutate, files(at("/run/refgate"), shows(&own, "value")));
    assert!(!ours.patch.unwrap_or_default().contains("volumeMounts"));
    let taken = create(
        Mutate,
        files(
            json!([]),
            json!([{"name": "refgate-files", "emptyDir": {}}, {"name": "refgate-files-2", "emptyDir": {}}]),
        ),
    );
    assert!(taken.patch.unwrap_or_default().contains("refgate-files-3"));
    attempts.end();
}

#[test]
fn env_from_spreads_only_what_can_be_a_variable() {
    let mut attempts = Attempts::default();
    let decision = create(Mutate, annotated(json!({"refgate.dev/env-from": "hostile"})));
    let patch: Value = serde_json::from_str(&decision.patch.unwrap()).unwrap();
    let names: Vec<&str> =
        patch[0]["value"].as_array().unwrap().iter().map(|env| env["name"].as_str().unwrap()).collect();
    for bad in ["a=b", "x\ny", "ключ", ""] {
        attempts.must(!names.contains(&bad), format!("{names:?}"));
    }
    // A property never takes the place of what the author wrote.
    let written = pod(
        json!({"annotations": {"refgate.dev/env-from": "hostile"}}),
        json!({"containers": [{"name": "web", "env": [{"name": "PATH", "value": "/bin"}]}]}),
    );
    let patch = create(Mutate, written).patch.unwrap();
    assert!(!patch.contains("/env/0/"), "{patch}");
    attempts.end();
}

#[test]
fn collisions_in_the_catalogue_inject_nothing_wrong() {
    let mut attempts = Attempts::default();
    for (name, ok) in [
        ("twice", true),
        ("one", false),
        ("two", false),
        ("taken", false),
        ("stolen", false),
        ("half", false),
    ] {
        let decision = create(Mutate, with_env(json!([{"name": "A", "value": format!("secret:{name}")}])));
        attempts.must(denied(&decision) != ok, format!("{name}: {decision:?}"));
        attempts.must(
            !said(&decision).contains("payroll"),
            format!("{name} tells another team's path: {decision:?}"),
        );
    }
    let decision = create(Mutate, with_env(json!([{"name": "A", "value": "secret:twice"}])));
    assert!(decision.patch.unwrap().contains("twice-1"));
    attempts.end();
}

#[test]
fn paths_that_are_not_paths_are_refused_everywhere() {
    let mut attempts = Attempts::default();
    for path in [
        "",
        "/",
        "//",
        "/mozmeao/snippets/stage",
        "/mozmeao/snippets/stage/",
        "/mozmeao/snippets/stage2/x",
        "/mozmeao/snippets",
        "/mozmeao/shared/stage",
        "/mozmeao/shared/prod/x",
        "../x",
        "./x",
        "x/..",
        "x//y",
        "x/",
        "x ",
        " x",
        "x\n",
        "x\0",
        "x%2fy",
        "x\\y",
        "х",
        "/Mozmeao/snippets/stage/x",
        "$(A)",
        "${A}",
        "*",
        "x:y",
        "x?",
        "x?optional&y",
        "x#",
        "secret:x",
        "secret+file:x",
    ] {
        for prefix in ["secret:", "secret+file:"] {
            for endpoint in [Mutate, Validate] {
                let decision =
                    create(endpoint, with_env(json!([{"name": "A", "value": format!("{prefix}{path}")}])));
                attempts.must(denied(&decision), format!("{prefix}{path:?}"));
            }
        }
    }
    assert!(denied(&create(
        Mutate,
        with_env(json!([{"name": "A", "value": format!("secret:{}", "x".repeat(513))}]))
    )));
    attempts.end();
}
