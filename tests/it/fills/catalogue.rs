//! What another system fills and RefGate's own catalogue has as well: two write into one Secret, and nothing is injected.

use std::sync::Arc;

use refgate::policy::snapshot::{Catalogue, Entry, NamespaceState};

use super::{external_secret, got, snapshot};

#[test]
fn no_secret_of_refgates_own_is_read_for_what_another_system_fills() {
    let data = |key: &str, property: &str| {
        format!("data:\n- {{secretKey: {key}, remoteRef: {{key: x, property: {property}}}}}\n")
    };
    let mut snapshot = snapshot(&format!(
        "{}{}",
        external_secret("s1", &data("k", "u")),
        external_secret("s2", &data("l", "v"))
    ));
    let of_both = "u=s1/k v=s2/l";
    assert_eq!(got(&snapshot, "from x").0, of_both);
    for (ours, wish, expected) in [
        ("s1", "x#u", "!"),
        ("s1", "x#v", "A=s2/l"),
        ("s2", "x#v", "!"),
        // The first of the Secrets and any other one.
        ("s1", "from x", "!"),
        ("s2", "from x", "!"),
        ("s3", "from x", of_both),
    ] {
        let entry = Entry {
            path: "g/a/stage/other".into(),
            secret: ours.into(),
            keys: Box::new(["value".into()]),
            version: None,
        };
        let state = NamespaceState {
            catalogue: Arc::new(Catalogue::new(vec![entry], None)),
            ..(*snapshot.namespaces["team"]).clone()
        };
        snapshot.namespaces.insert("team".into(), Arc::new(state));
        let (got, _) = got(&snapshot, wish);
        let is_it = match expected {
            "!" => got.starts_with('!') && got.contains("catalogue says that it holds"),
            _ => got == expected,
        };
        assert!(is_it, "{ours}, {wish}: {got}");
    }
}

/// Where the sync would make the Secret of a path, another system has one of its own.
#[test]
fn no_secret_of_anothers_is_read_for_what_is_not_synced_yet() {
    use refgate::policy::path::secret_name;

    let path = "g/a/stage/later";
    let data = "data:\n- {secretKey: value, remoteRef: {key: smtp}}\n";
    let mut snapshot = snapshot(&external_secret(&secret_name(path), data));
    let catalogue = Arc::new(Catalogue::new(Vec::new(), Some(vec!["later".into(), "other".into()])));
    let state = NamespaceState { catalogue, ..(*snapshot.namespaces["team"]).clone() };
    snapshot.namespaces.insert("team".into(), Arc::new(state));
    for optional in ["", "?optional"] {
        let (said, _) = got(&snapshot, &format!("later{optional}"));
        assert!(said.starts_with('!') && said.contains("which ExternalSecret"), "{said}");
    }
    // What nobody writes is waited for.
    assert_eq!(got(&snapshot, "other").0, format!("A={}/value", secret_name("g/a/stage/other")));
}
