//! Objects of other systems on the command line.

use super::{SCOPE, check, run_with};

/// What names no namespace is of the one that the flag says, as the API server has it.
#[test]
fn an_object_without_a_namespace_is_of_the_one_that_is_given() {
    for (named, given, is_elsewhere) in
        [("team", "team", false), ("other", "team", true), ("team", "other", true)]
    {
        let manifest = format!(
            "apiVersion: secrets.doppler.com/v1alpha1\nkind: DopplerSecret\nmetadata: {{name: d}}\nspec: {{project: a, config: b, \
             tokenSecret: {{name: t}}, managedSecret: {{name: m, namespace: {named}}}}}\n"
        );
        let ran = check(&manifest, &[&SCOPE[..], &["--namespace", given]].concat());
        assert_eq!(ran.out.contains("of another namespace"), is_elsewhere, "{named} {given}: {}", ran.out);
        assert_eq!(ran.json()["results"][0]["namespace"], given, "{}", ran.out);
    }
}

/// In no output of any form.
#[test]
fn a_token_in_the_place_of_a_path_is_not_repeated() {
    let token = concat!("gh", "p_R7fGq2LxVb9NcT4mZsK8yWdH3pJu6E3x8pw8");
    for path in [token.to_owned(), format!("mozmeao/snippets/stage/{token}")] {
        let class = format!(
            "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {{name: c, namespace: team}}\nspec:\n  \
             provider: aws\n  parameters:\n    objects: |\n      - {{objectName: {path}, objectType: secretsmanager}}\n"
        );
        let pod = super::pod("p", &format!("    - {{name: A, value: 'vault:secret/data/{path}#k'}}\n"));
        for manifest in [class, pod] {
            for form in ["json", "text"] {
                let ran = run_with(&[&["check", "-", "--output", form], &SCOPE[..]].concat(), &manifest);
                assert_eq!(ran.code, Some(1), "{}{}", ran.out, ran.err);
                assert!(ran.out.contains("looks like a secret itself"), "{}", ran.out);
                assert!(!ran.out.contains(token) && !ran.err.contains(token), "{}{}", ran.out, ran.err);
            }
        }
    }
}
