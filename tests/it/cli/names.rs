//! Names that do not show, and names that are not there.

use super::*;

/// Names that hide or reorder what stands around them, and do neither where they are printed.
#[test]
fn what_does_not_show_is_not_printed() {
    let hidden = ['\u{202e}', '\u{2066}', '\u{200b}', '\u{ad}', '\u{feff}', '\u{e0041}', '\u{9b}'];
    for character in hidden {
        let written = format!("\\U{:08x}", u32::from(character));
        let manifest = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: \"a{written}b\"}}\nspec:\n  containers:\n  - name: \"w{written}eb\"\n    \
             image: i\n    env: [{{name: \"DB_{written}PASSWORD\", value: pL4nt3dWoRdXq7}}, {{name: \"X{written}\", value: \"secret:../{written}\"}}]\n"
        );
        let ran = run_with(&["check", "-", "--scope", "g/a/e"], &manifest);
        assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
        assert!(
            !ran.out.contains(character) && !ran.err.contains(character),
            "{:x}: {}",
            u32::from(character),
            ran.out
        );
    }
}

/// A template of another system, whose controller names the container.
#[test]
fn a_container_without_a_name_is_judged() {
    let folder = folder("unnamed");
    let config = folder.join("config.yaml");
    let row = "{group: serving.knative.dev, kind: Service, resource: services, pointer: /spec/template}";
    fs::write(&config, format!("templates: [{row}]\n")).unwrap();
    let service = |env: &str| {
        format!(
            "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  template:\n    spec:\n      containers:\n      \
             - image: i\n        env: [{env}]\n"
        )
    };
    let flags = ["--scope", "mozmeao/snippets/stage", "--config", config.to_str().unwrap()];
    for (env, expected) in [
        ("{name: LOG_LEVEL, value: info}", None),
        ("{name: DB_PASSWORD, value: pL4nt3dWoRdXq7}", Some("credential-name")),
        (
            "{name: A, value: \"vault:secret/data/mozmeao/payroll/prod/x#k\"}",
            Some("container (unnamed), env A"),
        ),
    ] {
        let ran = check(&service(env), &flags);
        match expected {
            None => assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err),
            Some(text) => assert!(ran.code == Some(1) && ran.out.contains(text), "{}{}", ran.out, ran.err),
        }
    }
}
