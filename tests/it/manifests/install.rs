//! `certs/install.sh` before a kubectl that is a script: what is wrong is said as what it is.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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

/// A cluster with RefGate's manifests in it, as far as the script asks: what it trusts is the file `bundle`, and what is
/// done to it stands in `done`.
const KUBECTL: &str = r#"
here=$(dirname "$0")
case "$*" in
    *"-o name") echo mutatingwebhookconfiguration.admissionregistration.k8s.io/zz-refgate ;;
    *clientConfig.caBundle*) cat "$here/bundle" ;;
    *.name*) echo pods.refgate.dev workloads.refgate.dev ;;
    *" create secret "*) echo "kind: Secret" ;;
    "apply "*) cat >/dev/null; echo "apply" >>"$here/done" ;;
    "patch "*)
        echo "patch $2" >>"$here/done"
        echo "$*" | sed 's/.*"caBundle":"\([^"]*\)".*/\1/' >"$here/bundle"
        ;;
    *) echo "unknown: $*" >&2; exit 1 ;;
esac
"#;

struct Cluster {
    folder: Folder,
}

impl Cluster {
    fn new() -> Self {
        let folder = Folder::new();
        folder.write("kubectl", KUBECTL);
        folder.write("bundle", "");
        folder.write("done", "");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }

    fn install(&self, name: &str, flags: &[&str]) -> (Option<i32>, String) {
        let kubectl = format!("sh {}", self.path("kubectl").display());
        let mut command = script("install.sh", &self.path(name));
        said(&command.args(flags).env("KUBECTL", kubectl).output().unwrap())
    }

    fn make(&self, name: &str) {
        let (code, said) = said(&script("dev.sh", &self.path(name)).output().unwrap());
        assert_eq!(code, Some(0), "{said}");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

fn script(name: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("certs").join(name)).arg("--dir").arg(folder);
    command
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[test]
fn a_cluster_that_trusts_a_ca_keeps_it() {
    let cluster = Cluster::new();
    // The first installation makes what is not there; the second finds it.
    for _ in 0..2 {
        assert_eq!(cluster.install("first", &[]), (Some(0), String::new()));
    }
    let installed = (cluster.read("done"), cluster.read("bundle"));

    // A folder by a wrong name is neither made nor installed, and a flag does not change that.
    std::fs::create_dir(cluster.path("empty")).unwrap();
    for (name, flags) in [("typo", &[][..]), ("empty", &[]), ("typo", &["--replace-ca"])] {
        let (code, said) = cluster.install(name, flags);
        assert_eq!(code, Some(2), "{name}: {said}");
        assert!(said.contains(&format!("{name} has no ca.crt, tls.crt and tls.key")), "{said}");
        assert!(said.contains("the cluster trusts: CN") && said.contains("valid until "), "{said}");
        assert!(!cluster.path(name).join("ca.crt").exists());
    }
    // Another checkout, with a CA of its own.
    cluster.make("second");
    let (code, said) = cluster.install("second", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("second/ca.crt does not hold that CA") && said.contains("--replace-ca"), "{said}");
    assert_eq!((cluster.read("done"), cluster.read("bundle")), installed, "nothing was written");

    // What the messages name.
    let both = cluster.read("first/ca.crt") + &cluster.read("second/ca.crt");
    cluster.folder.write("second/ca.crt", &both);
    assert_eq!(cluster.install("second", &[]), (Some(0), String::new()));
    // Both are trusted now: neither alone may replace them, except on request.
    let (code, said) = cluster.install("first", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert_eq!(said.matches("the cluster trusts: ").count(), 1, "{said}");
    assert_eq!(cluster.install("first", &["--replace-ca"]), (Some(0), String::new()));
    assert_eq!(cluster.read("bundle"), installed.1);
    // A new CA where the old one is lost.
    cluster.make("typo");
    assert_eq!(cluster.install("typo", &["--replace-ca"]), (Some(0), String::new()));
}

#[test]
fn a_ca_whose_key_is_elsewhere_is_not_made_anew() {
    let cluster = Cluster::new();
    cluster.make("pki");
    let authority = cluster.read("pki/ca.crt");
    std::fs::rename(cluster.path("pki/ca.key"), cluster.path("key")).unwrap();
    // Nothing is due: nothing is needed.
    cluster.make("pki");
    std::fs::remove_file(cluster.path("pki/tls.crt")).unwrap();
    let (code, said) = said(&script("dev.sh", &cluster.path("pki")).output().unwrap());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("pki/ca.key is missing") && said.contains("put it back"), "{said}");
    assert_eq!(cluster.read("pki/ca.crt"), authority);
    std::fs::rename(cluster.path("key"), cluster.path("pki/ca.key")).unwrap();
    cluster.make("pki");
    assert_eq!(cluster.read("pki/ca.crt"), authority);
}
