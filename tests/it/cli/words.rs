//! How it is said: places, counts, causes, and what to do next.

use super::{CLEAN, REFERENCE, SCOPE, check, folder, pod, run, run_with};

fn deployment(env: &str) -> String {
    let template = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: snippets-stage}\nspec:\n  template:\n    spec:\n      \
                    containers:\n      - name: web\n        image: i\n        env:\n";
    let env: String = env.lines().map(|line| format!("    {line}\n")).collect();
    format!("{template}{env}")
}

/// Without a world and a scope nobody can say what a pod would come out as.
#[test]
fn render_says_what_it_does_not_resolve() {
    let two = format!("{REFERENCE}    - {{name: B, value: \"secret:b\"}}\n");
    for (manifest, first) in [
        (pod("a", &two), "/spec/containers/0/env/0/value"),
        (deployment(&two), "/spec/template/spec/containers/0/env/0/value"),
    ] {
        for output in ["diff", "both", "after"] {
            let ran = run_with(&["render", "-", "--output", output], &manifest);
            assert_eq!(ran.code, Some(2), "{output}: {}", ran.err);
            let said = format!(
                "2 references are not resolved, the first at {first}: say --scope GROUP/APP/ENV or --world FILE\n"
            );
            assert!(ran.err.ends_with(&said), "{}", ran.err);
            assert!(!ran.out.contains("nothing to inject"), "{}", ran.out);
            assert_eq!(ran.out.contains("2 references are not resolved"), output != "after", "{}", ran.out);
        }
    }
    // As every program does, it says who speaks.
    let ran = run_with(
        &["render", "-"],
        &format!("{}---\na: [\n", pod("a", "    - {name: A, value: \"secret:a//b\"}\n")),
    );
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.lines().count() == 2 && ran.err.lines().all(|line| line.starts_with("refgate: -:")),
        "{}",
        ran.err
    );
    let ran = run_with(&["render", "-", "--output", "diff"], &pod("a", CLEAN));
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));
    assert!(ran.out.ends_with("Pod/a in snippets-stage, nothing to inject\n"), "{}", ran.out);
    // `check` judges the rest, and says the same.
    let ran = run_with(&["check", "-"], &pod("a", &two));
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.out.ends_with("2 references not judged: say --scope GROUP/APP/ENV or --world FILE\n"),
        "{}",
        ran.out
    );
}

#[test]
fn shared_paths_are_a_flag_as_with_bind() {
    let manifest = pod(
        "a",
        "    - {name: A, value: \"secret:/mozmeao/shared/stage/x\"}\n    - {name: B, value: \"secret:/other/team/prod/x\"}\n",
    );
    let (one, both) = ("mozmeao/shared/stage", "mozmeao/shared/stage,other/team/prod");
    for (flags, denied) in [
        (&[][..], 2),
        (&["--shared", one], 1),
        (&["--shared", both], 0),
        (&["--shared", one, "--shared", "other/team/prod"], 0),
        // The world's own prefixes hold where no flag names others.
        (&["--world", "examples/world.yaml"], 1),
        (&["--world", "examples/world.yaml", "--shared", "other/team/prod"], 1),
    ] {
        let flags = [&SCOPE[..], flags].concat();
        let ran = check(&manifest, &flags);
        let report = ran.json();
        let references = report["results"][0]["references"].as_array().unwrap();
        assert_eq!(
            references.iter().filter(|one| one["verdict"] == "denied").count(),
            denied,
            "{flags:?}: {report}"
        );
        assert_eq!(ran.code, Some(i32::from(denied > 0)), "{flags:?}");
        let ran = run_with(&[&["render", "-"], &flags[..]].concat(), &manifest);
        assert_eq!(ran.code, Some(i32::from(denied > 0)), "{flags:?}: {}", ran.err);
    }
    // What README and help recommend for CI.
    let ran = run(&["check", "examples/pod.yaml", "--scope", "mozmeao/snippets/stage", "--shared", one]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    for (flags, named) in
        [(&["--scope", "a/b/c", "--shared", "a/b"][..], "--shared"), (&["--shared", "a/b/c"], "--scope")]
    {
        let ran = run(&[&["check", "."], flags].concat());
        assert_eq!(ran.code, Some(2));
        assert!(ran.err.contains(named), "{}", ran.err);
    }
}

const STORE: &str = "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: e, namespace: snippets-stage}\nspec: \
                     {secretStoreRef: {name: s}, data: [{secretKey: k, remoteRef: {key: mozmeao/basket/prod/x}}]}\n";

#[test]
fn places_and_counts_are_those_of_what_was_judged() {
    let said = run_with(&[&["check", "-"], &SCOPE[..]].concat(), STORE).out;
    assert!(said.contains("  spec.data[0].remoteRef.key  refused\n"), "{said}");
    assert!(said.ends_with("1 object: 0 allowed, 1 refused\n"), "{said}");
    let config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    for (manifests, summary) in [
        (&[&*pod("a", CLEAN), &deployment(CLEAN)][..], "2 objects: 2 allowed, 0 refused\n"),
        (&[&pod("a", CLEAN), config_map], "2 objects: 2 allowed, 0 refused\n"),
        (&[&pod("a", CLEAN), STORE], "2 objects: 1 allowed, 1 refused\n"),
        (
            &[&pod("a", CLEAN), "apiVersion: v1\nkind: Service\n"],
            "1 object: 1 allowed, 0 refused, 1 skipped (kind not judged: 1 Service)\n",
        ),
    ] {
        let said = run_with(&[&["check", "-"], &SCOPE[..]].concat(), &manifests.join("---\n")).out;
        assert!(said.ends_with(summary), "{summary} is not at the end of\n{said}");
    }
}

/// Each cause of a failure stands there once.
#[test]
fn causes_are_said_once() {
    let home = folder("no-cluster");
    for arguments in [&["scan"][..], &["sync", "status"], &["sync", "once"], &["sync"]] {
        let nowhere = [arguments, &["--kubeconfig", "no/such/kubeconfig"]].concat();
        for (arguments, file) in [(arguments, ".kube/config"), (&nowhere, "no/such/kubeconfig")] {
            let mut command = super::command(arguments);
            command.env("HOME", &home).env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
            let err = String::from_utf8(command.output().unwrap().stderr).unwrap();
            for once in ["No such file or directory", file] {
                assert_eq!(err.matches(once).count(), 1, "{arguments:?}: {err}");
            }
        }
    }
}

/// What comes of two `kubectl get -o yaml` one after the other.
#[test]
fn lists_that_run_into_each_other_are_said_to() {
    let list = |kind: &str| {
        format!(
            "apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: {kind}\n  metadata: {{name: one}}\nkind: List\n"
        )
    };
    let world = folder("world").join("world.yaml");
    std::fs::write(&world, list("Namespace") + &list("ConfigMap")).unwrap();
    let ran = run(&["check", "examples/pod.yaml", "--world", world.to_str().unwrap()]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.contains(
            "line 7: this key is in the same map twice; where another object begins, a line --- is missing"
        ),
        "{}",
        ran.err
    );
}
