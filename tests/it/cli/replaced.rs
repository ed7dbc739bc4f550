//! Entries that an annotation replaces in the pod.

use super::{PLANTED, SCOPE, check, run_with};

/// README offers the annotation for charts whose env cannot be edited.
#[test]
fn an_annotation_that_replaces_an_entry_makes_a_warning_of_its_plaintext() {
    let deployment = |annotations: &str, containers: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop}}\nspec:\n  template:\n    metadata:\n      \
             annotations: {{{annotations}}}\n    spec:\n      containers:\n{containers}"
        )
    };
    let container = |name: &str| {
        format!(
            "      - name: {name}\n        image: i\n        args: [\"--password=$(DB_PASSWORD)\"]\n        env:\n        \
             - {{name: DB_PASSWORD, value: {PLANTED}}}\n        - {{name: URL, value: \"postgres://u:$(DB_PASSWORD)@db/shop\"}}\n"
        )
    };
    let replaces = "env.refgate.dev/DB_PASSWORD: db_password";
    for (annotations, containers, code) in [
        (replaces.to_owned(), container("web"), 0),
        ("env.refgate.dev/OTHER: db_password".to_owned(), container("web"), 1),
        // Only in the containers that the annotation means.
        (format!("{replaces}, refgate.dev/containers: web"), container("web") + &container("side"), 1),
        // A reference that is refused replaces nothing.
        ("env.refgate.dev/DB_PASSWORD: /other/team/prod/x".to_owned(), container("web"), 1),
    ] {
        let ran = check(&deployment(&annotations, &containers), &SCOPE);
        let report = ran.json();
        assert_eq!(ran.code, Some(code), "{annotations}: {report}");
        assert!(!ran.out.contains(PLANTED), "{}", ran.out);
        if code == 0 {
            let warnings = report["results"][0]["warnings"].to_string();
            assert!(warnings.contains("env.refgate.dev/DB_PASSWORD replaces this plaintext"), "{report}");
        }
    }
    // The pod that comes of it is admitted, and reads the Secret.
    let ran = run_with(
        &[&["render", "-", "--output", "after"], &SCOPE[..]].concat(),
        &deployment(replaces, &container("web")),
    );
    assert_eq!((ran.code, ran.out.contains(PLANTED)), (Some(0), false), "{}{}", ran.out, ran.err);
}
