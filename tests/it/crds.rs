//! The carriers against the CRDs of `tests/e2e/crds`.

use std::fs;
use std::path::Path;

use refgate::policy::carriers;
use refgate::yaml;
use serde_json::Value;

mod check;

/// Those come with its module, and the end-to-end tests look at them.
const ELSEWHERE: [&str; 2] = ["external-secrets.io", "generators.external-secrets.io"];

fn crds() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/crds");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let documents = texts.flat_map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        yaml::documents(&text).map(|document| document.unwrap().value).collect::<Vec<_>>()
    });
    documents.collect()
}

#[test]
fn kinds_are_those_of_their_crds() {
    let crds = crds();
    check::kinds(&crds);
    for (_, kind) in carriers::kinds().filter(|(_, kind)| !ELSEWHERE.contains(&kind.group)) {
        let is_it = |crd: &Value| check::row(crd) == Some(kind);
        assert_eq!(crds.iter().filter(|crd| is_it(crd)).count(), 1, "CRDs of {kind:?}");
    }
}

#[test]
fn fields_that_the_pages_name_are_there() {
    assert!(check::fields(&crds(), &[]) >= 15);
}

/// What has one of these is denied, or let through as undecided: the list is what is left to be understood.
#[test]
fn few_fields_are_unknown() {
    let unknown = check::unknown(&crds());
    let lines: Vec<String> = unknown
        .iter()
        .flat_map(|(kind, fields)| fields.iter().map(move |field| format!("{kind} {field}")))
        .collect();
    assert_eq!(lines, ["CSISecrets spec.secrets.vaultAppRoleSecretIDs", "SopsSecret spec.enforceOwnership"]);
}
