//! `refgate put`: the built binary, a file in place of AWS, and a world or a scripted cluster that says who reads.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use refgate::sync::manager::Manager;
use refgate::sync::manager::file::File;
use serde_json::{Value, json};

use crate::api::{Api, Reply, namespace, page};
use crate::harness::Folder;

mod terminal;

const PATH: &str = "mozmeao/snippets/stage/database_url";
const PLANTED: &str = "kR4vT9wqZ2pB";

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Nothing of whoever runs the tests: no cluster, no credentials.
fn put(folder: &Folder, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refgate"));
    command.env_clear().env("HOME", folder.path("home")).env("AWS_EC2_METADATA_DISABLED", "true");
    command.arg("put").args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A process that refuses before it reads closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn secrets(folder: &Folder) -> PathBuf {
    folder.write("secrets.yaml", "{}")
}

fn stored(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

#[tokio::test]
async fn what_comes_in_is_stored_byte_for_byte_and_not_shown() {
    let folder = Folder::new();
    let file = secrets(&folder);
    let manager = Manager::File(File::new(&file));
    for (flags, input, value, notes) in [
        (&[][..], PLANTED.to_owned(), PLANTED.to_owned(), false),
        (&[], format!(" {PLANTED}\n"), format!(" {PLANTED}\n"), true),
        (&["--trim-newline"], format!("{PLANTED}\n"), PLANTED.to_owned(), false),
        (&["--trim-newline"], format!("{PLANTED}\r\n"), PLANTED.to_owned(), false),
        (&["--trim-newline"], format!("{PLANTED}\n\n"), format!("{PLANTED}\n"), false),
        (&["--trim-newline"], PLANTED.to_owned(), PLANTED.to_owned(), false),
    ] {
        let arguments = [&[PATH, "--file", file.to_str().unwrap()], flags].concat();
        let ran = put(&folder, &arguments, input.as_bytes());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert_eq!(stored(&file)[PATH]["value"], value.as_str());
        let version = manager.list("mozmeao/snippets/stage/").await.unwrap().remove(0).version.unwrap();
        assert_eq!(ran.out, format!("{PATH} {version}\n"));
        assert_eq!(ran.err.contains("--trim-newline"), notes, "{}", ran.err);
        assert!(!(ran.out + &ran.err).contains(PLANTED));
    }
}

#[test]
fn a_value_is_never_an_argument_and_not_repeated() {
    let folder = Folder::new();
    let file = secrets(&folder);
    let file = file.to_str().unwrap();
    let value = format!("--value={PLANTED}");
    for arguments in [
        &[PATH, PLANTED, "--file", file][..],
        &["--file", file, PATH, &value],
        &["--file", file, PATH, "--", PLANTED],
        &["--file", file, PATH, &format!("-{PLANTED}")],
        &[&format!("{PLANTED} {PLANTED}"), "--file", file],
        &[PLANTED, "--file", file],
    ] {
        let ran = put(&folder, arguments, b"from standard input");
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{arguments:?}: {}", ran.err);
        assert!(!ran.err.contains(PLANTED), "{}", ran.err);
        assert_eq!(stored(Path::new(file)), json!({}));
    }
}

#[test]
fn what_cannot_be_stored_is_said_and_nothing_is_stored() {
    let folder = Folder::new();
    let file = secrets(&folder);
    let large = PLANTED.repeat(6000);
    for (path, input, named) in [
        (PATH, "", "holds no value"),
        (PATH, "\n", "holds no value"),
        (PATH, &*large, "more than 65536 bytes"),
        ("mozmeao/snippets/stage", PLANTED, "group/app/env/name"),
        ("/mozmeao/snippets/stage/x", PLANTED, "begins with /"),
        ("mozmeao/snippets/../prod/x", PLANTED, "segment 3"),
    ] {
        let arguments = [path, "--file", file.to_str().unwrap(), "--trim-newline"];
        let ran = put(&folder, &arguments, input.as_bytes());
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{path}: {}", ran.err);
        assert!(ran.err.contains(named) && !ran.err.contains(PLANTED), "{path}: {}", ran.err);
        assert_eq!(stored(&file), json!({}));
    }
    let nowhere = folder.path("no-such-folder/secrets.yaml");
    let ran = put(&folder, &[PATH, "--file", nowhere.to_str().unwrap()], PLANTED.as_bytes());
    assert!(ran.code == Some(2) && ran.err.contains("no-such-folder"), "{}", ran.err);
    // Without a region there is no AWS to ask.
    let ran = put(&folder, &[PATH], PLANTED.as_bytes());
    assert!(ran.code == Some(2) && ran.err.contains("AWS_REGION"), "{}", ran.err);
    let without_credentials = put(&folder, &[PATH, "--region", "us-east-1"], PLANTED.as_bytes());
    assert_eq!((without_credentials.code, &*without_credentials.out), (Some(2), ""));
    let said = "refgate: no AWS credentials found: set AWS_PROFILE to a profile that has some, or AWS_ACCESS_KEY_ID and \
                AWS_SECRET_ACCESS_KEY; a pod gets them from IRSA or Pod Identity\n";
    assert!(without_credentials.err.ends_with(said), "{}", without_credentials.err);
    assert!(!without_credentials.err.contains(PLANTED));
    // A profile of SSO has some, and not for us.
    fs::create_dir_all(folder.path("home/.aws")).unwrap();
    folder.write("home/.aws/config", "[default]\nregion = us-east-1\nsso_session = s\nsso_account_id = 1\nsso_role_name = x\n[sso-session s]\nsso_region = us-east-1\nsso_start_url = https://example.invalid\n");
    let by_sso = put(&folder, &[PATH], PLANTED.as_bytes());
    assert!(
        by_sso.code == Some(2) && by_sso.err.contains("aws configure export-credentials"),
        "{}",
        by_sso.err
    );
    assert!(!by_sso.err.contains(PLANTED));
    // Nor is there a cluster, which is said in one line and is no failure.
    let nowhere = "is not known: cannot find a cluster: no service account of a pod, no kubeconfig\n";
    assert!(ran.err.contains(nowhere), "{}", ran.err);
}

/// Whoever begins with a file has none yet.
#[test]
fn a_file_that_is_not_there_is_made_for_its_owner_alone() {
    let folder = Folder::new();
    let (file, link) = (folder.path("secrets.yaml"), folder.path("link.yaml"));
    let ran = put(&folder, &[PATH, "--file", file.to_str().unwrap()], PLANTED.as_bytes());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("secrets.yaml is new") && !ran.err.contains(PLANTED), "{}", ran.err);
    assert_eq!(stored(&file)[PATH]["value"], PLANTED);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let ran = put(&folder, &["mozmeao/snippets/stage/two", "--file", file.to_str().unwrap()], b"2");
    assert!(ran.code == Some(0) && !ran.err.contains("is new"), "{}", ran.err);
    assert_eq!(stored(&file).as_object().unwrap().len(), 2);
    // A link that leads nowhere is a mistake, and stays what it is.
    symlink(folder.path("nowhere.yaml"), &link).unwrap();
    let ran = put(&folder, &[PATH, "--file", link.to_str().unwrap()], b"v");
    assert!(ran.code == Some(2) && ran.err.contains("link.yaml"), "{}", ran.err);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && !folder.path("nowhere.yaml").exists());
}

/// Who asks who reads it gets an answer, or hears that there is none.
#[test]
fn a_dry_run_without_a_cluster_shows_nothing_and_says_so() {
    let folder = Folder::new();
    let ran = put(&folder, &[PATH, "--dry-run"], b"");
    assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{}", ran.err);
    assert!(ran.err.contains("no service account of a pod, no kubeconfig"), "{}", ran.err);
    assert!(ran.err.contains("--world FILE") && ran.err.contains("--context"), "{}", ran.err);
}

const WORLD: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: snippets-stage, labels: {refgate.dev/group: mozmeao, refgate.dev/app: snippets, refgate.dev/env: stage}}
---
apiVersion: v1
kind: Namespace
metadata:
  name: web
  labels: {refgate.dev/group: mozmeao, refgate.dev/app: web, refgate.dev/env: stage}
  annotations: {refgate.dev/shared-paths: mozmeao/snippets/stage}
---
apiVersion: v1
kind: Namespace
metadata: {name: other, labels: {refgate.dev/group: mozmeao, refgate.dev/app: snippets, refgate.dev/env: stage2}}
---
apiVersion: v1
kind: Namespace
metadata: {name: unbound}
";

#[test]
fn who_may_read_it_is_shown_before_it_is_stored() {
    let folder = Folder::new();
    let (file, world) = (secrets(&folder), folder.write("world.yaml", WORLD));
    let flags = ["--file", file.to_str().unwrap(), "--world", world.to_str().unwrap()];
    let shown = format!(
        "refgate: {PATH} may be read by\n  snippets-stage  bound to mozmeao/snippets/stage\n  \
         web             by shared path mozmeao/snippets/stage\n"
    );
    let ran = put(&folder, &[&[PATH, "--dry-run"][..], &flags].concat(), b"");
    assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "", &*shown));
    assert_eq!(stored(&file), json!({}), "a dry run stores nothing");
    let ran = put(&folder, &[&[PATH][..], &flags].concat(), b"v");
    assert_eq!((ran.code, &*ran.err), (Some(0), &*shown));
    assert_eq!(stored(&file)[PATH]["value"], "v");
    let ran = put(&folder, &[&["mozmeao/snippets/prod/x"][..], &flags].concat(), b"v");
    assert_eq!((ran.code, &*ran.err), (Some(0), "refgate: no namespace may read mozmeao/snippets/prod/x\n"));
    // Half a world would hide somebody.
    let broken = folder.write("broken.yaml", "kind: Namespace\n");
    let flags = ["--file", file.to_str().unwrap(), "--world", broken.to_str().unwrap()];
    let ran = put(&folder, &[&["mozmeao/snippets/stage/y"][..], &flags].concat(), b"v");
    assert!(ran.code == Some(2) && ran.err.contains("nothing was stored"), "{}", ran.err);
    assert_eq!(stored(&file)["mozmeao/snippets/stage/y"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_says_who_may_read_it() {
    let api = Api::start().await;
    let path = "/api/v1/namespaces";
    api.reply(path, page("1", "next", &[namespace("one", "1", "stage")]));
    api.reply(path, page("1", "", &[namespace("two", "1", "stage"), namespace("three", "1", "prod")]));
    api.reply(path, Reply::Status(403));
    let folder = Folder::new();
    let kubeconfig = folder.write("kubeconfig", api.kubeconfig("c"));
    let file = secrets(&folder);
    let arguments = [PATH, "--file", file.to_str().unwrap(), "--kubeconfig", kubeconfig.to_str().unwrap()];
    let ran = tokio::task::block_in_place(|| put(&folder, &arguments, b"v"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let shown =
        "may be read by\n  one  bound to mozmeao/snippets/stage\n  two  bound to mozmeao/snippets/stage\n";
    assert!(ran.err.ends_with(shown), "{}", ran.err);
    // Whoever names a cluster wants it asked.
    let ran = tokio::task::block_in_place(|| put(&folder, &arguments, b"w"));
    assert!(ran.code == Some(2) && ran.err.contains("Namespaces cannot be listed"), "{}", ran.err);
    assert_eq!(stored(&file)[PATH]["value"], "v");
}

/// What is seldom meant is told, and stored all the same.
#[test]
fn a_hash_or_a_token_is_stored_with_a_warning() {
    let folder = Folder::new();
    let file = secrets(&folder);
    let hash = "$argon2id$v=19$m=65536,t=3,p=4$a1I0dlQ5d3E$WjJwQmtSNHZUOXdxWjJwQg";
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.kR4vT9wqZ2pBkR4vT9wqZ2pB";
    for (value, warning) in [(hash, "the hash of a password"), (token, "JSON Web Token"), (PLANTED, "")] {
        let ran = put(&folder, &[PATH, "--file", file.to_str().unwrap()], value.as_bytes());
        assert_eq!((ran.code, &stored(&file)[PATH]["value"]), (Some(0), &value.into()), "{}", ran.err);
        assert_eq!(ran.err.contains("warning: "), !warning.is_empty(), "{}", ran.err);
        assert!(ran.err.contains(warning) && !ran.err.contains("kR4v"), "{}", ran.err);
        assert!(!ran.err.contains("$argon2") && !ran.err.contains("eyJ"), "{}", ran.err);
    }
}
