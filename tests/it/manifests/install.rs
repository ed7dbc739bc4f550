//! `certs/install.sh` before a kubectl that is a script: what is wrong is said as what it is.

use std::path::Path;
use std::process::Command;

use crate::harness::Folder;

#[test]
fn a_cluster_that_does_not_answer_is_not_one_without_refgate() {
    let folder = Folder::new();
    for (kubectl, said) in [
        ("echo no route to host >&2; exit 1", "cannot look for RefGate's webhooks"),
        ("exit 0", "first: kubectl apply -k manifests/"),
        // It is there, and what comes next is missing.
        ("echo mutatingwebhookconfiguration/zz-refgate", "tls.crt is missing"),
    ] {
        let script = folder.write("kubectl", format!("{kubectl}\n"));
        folder.write("ca.crt", "x");
        let mut command = Command::new("sh");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/install.sh"));
        command.arg("--dir").arg(folder.path(".")).env("KUBECTL", format!("sh {}", script.display()));
        let output = command.output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{kubectl}: {err}");
        assert!(err.contains(said), "{kubectl}: {err}");
        assert_eq!(err.contains("kubectl apply -k"), said.contains("kubectl apply -k"), "{err}");
    }
}
