//! The managers behind the seam: what is particular to the file. What all have in common is in `contract`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refgate::policy::path::SecretPath;
use refgate::sync::manager::file::File;
use refgate::sync::manager::{Manager, ManagerError, Retry, SecretValue};
use serde_json::{Value, json};

mod contract;

/// A folder of the test's own, empty.
fn folder(test: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("managers").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn manager(test: &str, text: &str) -> (PathBuf, Manager) {
    let path = folder(test).join("secrets.yaml");
    fs::write(&path, text).unwrap();
    (path.clone(), Manager::File(File::new(path)))
}

const PLANTED: &str = "hunter2-PLANTED";

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said_by_line_and_never_by_value() {
    for (text, line, named) in [
        (format!("a/b/c/d:\n  value: {PLANTED}\n  valu: {PLANTED}\n"), 3, "an unknown key"),
        (format!("a/b/c/d:\n  {PLANTED}: x\n"), 2, "an unknown key"),
        (format!("\na/b/c/d: {PLANTED}\n"), 2, "an entry is a map"),
        ("a/b/c/d:\n  value: 12345\n".to_owned(), 2, "value must be text"),
        (format!("a/b/c/d:\n  value: x\n  binary: {PLANTED}\n"), 2, "not both"),
        (format!("a/b/c/d:\n  binary: '{PLANTED}'\n"), 2, "no base64"),
        (format!("a/b/c/d:\n  created: {PLANTED}\n"), 2, "created is no time"),
        (format!("a/b/c/d:\n  tags: [{PLANTED}]\n"), 2, "tags must be"),
        (format!("a/b/../{PLANTED}: {{}}\n"), 1, "segment 3"),
        (format!("- {PLANTED}\n"), 1, "a map from paths"),
        (format!("a: [{PLANTED}\n"), 1, ""),
        (format!("a/b/c/d: {{}}\n---\n{PLANTED}: {{}}\n"), 3, "a second document"),
        (format!("a/b/c/d:\n  value: {}\n", "x".repeat(65_537)), 2, "more than 65536 bytes"),
    ] {
        let (path, manager) = manager("wrong", &text);
        let error = manager.list("a/b/c/").await.unwrap_err();
        let fetched = manager.fetch(&["a/b/c/d".to_owned()]).await.unwrap_err();
        assert_eq!(error, fetched);
        let said = error.to_string();
        assert!(matches!(error, ManagerError::Invalid(_)), "{said}");
        assert!(said.contains(&format!("{} line {line}: ", path.display())), "{said}");
        assert!(said.contains(named) && !said.contains(PLANTED) && !said.contains("12345"), "{said}");
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_unavailable_and_comes_back() {
    let (path, manager) = manager("gone", "a/b/c/d: {value: x}\n");
    let text = fs::read(&path).unwrap();
    assert_eq!(manager.list("a/b/c/").await.unwrap().len(), 1);
    fs::remove_file(&path).unwrap();
    let error = manager.list("a/b/c/").await.unwrap_err();
    assert!(matches!(&error, ManagerError::Unavailable(text) if text.contains("secrets.yaml")), "{error}");
    fs::write(&path, text).unwrap();
    assert_eq!(manager.list("a/b/c/").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_version_that_the_file_names_is_the_version() {
    let text = "a/b/c/d: {value: x, version: '7', created: 2026-01-31T00:00:00Z, changed: 2026-02-01T00:00:00Z}\n\
                a/b/c/e: {value: x}\na/b/c/f: {value: x}\n";
    let (_, manager) = manager("version", text);
    let listed = manager.list("a/b/c/").await.unwrap();
    assert_eq!(listed[0].version.as_deref(), Some("7"));
    assert_eq!(listed[0].changed, Some("2026-02-01T00:00:00Z".parse().unwrap()));
    // Who sees versions does not see which secrets are equal.
    assert_ne!(listed[1].version, listed[2].version);
    let batch = manager.fetch(&["a/b/c/d".to_owned()]).await.unwrap();
    assert_eq!(batch[0].1.as_ref().unwrap().created, Some("2026-01-31T00:00:00Z".parse().unwrap()));
}

#[tokio::test]
async fn storing_replaces_the_file_that_a_link_points_to_and_keeps_the_rest() {
    let (path, _) =
        manager("store", "a/b/c/d: {value: old, version: '7', tags: {k: v}}\na/b/c/e: {value: kept}\n");
    let link = path.with_file_name("link.yaml");
    symlink(&path, &link).unwrap();
    let manager = Manager::File(File::new(&link));
    let d = SecretPath::absolute("a/b/c/d").unwrap();
    let version = manager.store(&d, &SecretValue::new(b"new".to_vec())).await.unwrap();
    let listed = manager.list("a/b/c/").await.unwrap();
    assert_eq!(listed[0].version.as_deref(), Some(version.as_str()));
    assert_eq!(listed[0].tags.get("k").map(String::as_str), Some("v"));
    assert_ne!(version, "7");
    let batch = manager.fetch(&["a/b/c/e".to_owned(), "a/b/c/d".to_owned()]).await.unwrap();
    let values: Vec<&[u8]> =
        batch.iter().map(|(_, fetched)| fetched.as_ref().unwrap().value.expose()).collect();
    assert_eq!(values, [b"new".as_slice(), b"kept"]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(left, 2, "nothing is left beside the file and the link");
}

#[tokio::test]
async fn storing_brings_nothing_back_that_somebody_deleted() {
    let (_, manager) = manager("deleted", "a/b/c/d: {value: old, deleted: 2026-01-31T00:00:00Z}\n");
    let d = SecretPath::absolute("a/b/c/d").unwrap();
    let stored = manager.store(&d, &SecretValue::new(b"new".to_vec())).await;
    assert_eq!(stored, Err(ManagerError::Deleted("a/b/c/d".to_owned())));
}

#[test]
fn who_stores_at_the_same_time_loses_nothing() {
    let (path, _) = manager("together", "{}");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                for index in 0..8 {
                    let manager = Manager::File(File::new(path));
                    let name = format!("a/b/c/{writer}-{index}");
                    let secret = SecretPath::absolute(&name).unwrap();
                    runtime.block_on(manager.store(&secret, &SecretValue::new(b"x".to_vec()))).unwrap();
                }
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(Manager::File(File::new(path)).list("a/b/c/")).unwrap().len(), 32);
}

#[tokio::test]
async fn nothing_of_the_seam_shows_a_value() {
    let text =
        format!("a/b/c/text: {{value: {PLANTED}}}\na/b/c/binary: {{binary: {}}}\n", STANDARD.encode(PLANTED));
    let (_, manager) = manager("debug", &text);
    let listed = manager.list("a/b/c/").await.unwrap();
    let paths: Vec<String> = listed.iter().map(|listed| listed.path.clone()).collect();
    let batch = manager.fetch(&paths).await.unwrap();
    let value = SecretValue::new(PLANTED.as_bytes().to_vec());
    assert!(batch.iter().all(|(_, fetched)| fetched.as_ref().unwrap().value == value), "the value is there");
    let shown = format!("{value:?} {listed:#?} {batch:#?} {manager:#?} {:?}", batch[0].1.clone());
    for form in [PLANTED.to_owned(), STANDARD.encode(PLANTED), format!("{:?}", PLANTED.as_bytes())] {
        assert!(!shown.contains(form.trim_matches(['[', ']'])), "{shown}");
    }
    assert!(shown.contains("SecretValue") && shown.contains("a/b/c/text"), "{shown}");
}

#[test]
fn what_is_tried_again_is_what_may_pass() {
    let text = || "x".to_owned();
    for (error, retry) in [
        (ManagerError::NotFound(text()), Retry::NextRefresh),
        (ManagerError::Deleted(text()), Retry::NextRefresh),
        (ManagerError::Denied(text()), Retry::NextRefresh),
        (ManagerError::Invalid(text()), Retry::NextRefresh),
        (ManagerError::Throttled, Retry::Later),
        (ManagerError::Unavailable(text()), Retry::Later),
        (ManagerError::Credentials(text()), Retry::Later),
    ] {
        assert_eq!(error.retry(), retry, "{error}");
    }
}

#[test]
fn a_process_with_values_leaves_no_core() {
    refgate::sync::no_core_files().unwrap();
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(line.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{line}");
    let dumpable = rustix::process::dumpable_behavior().unwrap();
    assert_eq!(dumpable, rustix::process::DumpableBehavior::NotDumpable);
}

/// The file as a manager under the contract. It has no versions that are not current.
struct Bed {
    path: PathBuf,
    manager: Manager,
}

impl contract::Bed for Bed {
    fn manager(&self) -> &Manager {
        &self.manager
    }

    fn seed(&self, secrets: &[contract::Seed]) {
        let text = fs::read_to_string(&self.path).unwrap();
        let mut all: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
        for contract::Seed { path, value, deleted, tags } in secrets {
            let mut entry = match value {
                contract::Held::Text(text) => json!({"value": text}),
                contract::Held::Binary(bytes) => json!({"binary": STANDARD.encode(bytes)}),
                contract::Held::Nothing => json!({}),
            };
            entry["tags"] = tags.iter().copied().collect::<BTreeMap<_, _>>().into_iter().collect();
            if *deleted {
                entry["deleted"] = json!("2026-01-31T00:00:00Z");
            }
            assert!(all.insert(path.clone(), entry).is_none(), "{path}");
        }
        fs::write(&self.path, serde_json::to_string(&all).unwrap()).unwrap();
    }

    fn rotate_half(&self, _path: &str, _value: &str) {}
}

#[tokio::test]
async fn a_file_keeps_the_contract() {
    let (path, manager) = manager("contract", "{}");
    contract::all(&Bed { path, manager }).await;
}
