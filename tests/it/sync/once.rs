//! `refgate sync once`: the built binary against a scripted API, without credentials and without a right.

use std::process::Command;

use refgate::policy::workload::KINDS;

use crate::api::{Api, Reply, namespace, page, status};
use crate::harness::Folder;

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_says_what_it_could_not_read() {
    let api = Api::start().await;
    for kind in &KINDS {
        let base = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
        let reply = match &*kind.resource {
            "deployments" => Reply::Failure(status(403)),
            _ => page("1", "", &[]),
        };
        api.reply(&format!("{base}/v1/{}", kind.resource), reply);
    }
    api.reply("/api/v1/namespaces", page("1", "", &[namespace("web", "1", "stage")]));
    api.reply("/api/v1/namespaces/refgate-system/configmaps", page("1", "", &[]));
    api.reply("/api/v1/namespaces/web/secrets", page("1", "", &[]));
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_refgate"));
    command.env_clear().env("HOME", folder.path("home")).env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_REGION", "us-east-1").args(["sync", "once", "--dry-run", "--kubeconfig"]);
    command.arg(folder.write("kubeconfig", api.kubeconfig("c")));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(2), "{out}{err}");
    let lines: Vec<&str> = err.lines().collect();
    let [manager, right] = lines[..] else { panic!("{err}") };
    let said =
        "refgate: mozmeao/snippets/stage could not be listed: no AWS credentials found: set AWS_PROFILE";
    assert!(manager.starts_with(said), "{err}");
    assert!(right.starts_with("refgate: the sync may not list and watch deployments.apps"), "{err}");
    assert!(out.contains("# refgate-system: RightMissing: "), "{out}");
}
