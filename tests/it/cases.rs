//! Golden cases: folders in `tests/cases/`, each with a world, a review or a manifest, and what comes of it.
//!
//! - `world.yaml`: the world, as for `refgate check --world`.
//! - `manifest.yaml`: documents, judged as `refgate check` does; or `review.json`: a review, sent to both endpoints.
//! - `config.yaml`: the configuration, where the case needs one.
//! - `expected.yaml`: what comes of it. `UPDATE_CASES=1 cargo test --test it cases` writes it anew; read the diff.
//!
//! Each pod of a manifest is also wrapped into every other kind, and must be judged there as it is on its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use refgate::cli::judge::secrets::Secrets;
use refgate::cli::judge::{self, Judge, Judged};
use refgate::cli::report::Report;
use refgate::cli::{Against, check, diff, emit, input};
use refgate::policy::decision::Outcome;
use refgate::policy::review::{Endpoint, ParseError, respond, unreadable};
use refgate::policy::workload::{KINDS, Kind};
use serde_json::{Map, Value, json};

fn folders() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut folders: Vec<PathBuf> = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap().to_str().unwrap().to_owned()
}

fn judge(folder: &Path) -> Judge {
    let config = folder.join("config.yaml");
    let against = Against {
        world: Some(folder.join("world.yaml")),
        namespace: "default".to_owned(),
        config: config.is_file().then_some(config),
        ..Against::default()
    };
    Judge::load(&against).unwrap()
}

fn yaml(value: &Value) -> String {
    emit::yaml(value, &|_| None)
}

fn manifests(folder: &Path) -> Vec<input::Document> {
    let text = fs::read_to_string(folder.join("manifest.yaml")).unwrap();
    let mut documents = Vec::new();
    input::documents("manifest.yaml", &text, &mut |read| documents.extend(read.ok()));
    documents
}

/// What `refgate check --output json` prints, and the patch that each pod, or each pod of a template, would get.
fn of_manifest(folder: &Path) -> Value {
    let mut judge = judge(folder);
    let text = fs::read_to_string(folder.join("manifest.yaml")).unwrap();
    let (mut report, mut patches) = (Report::new(Vec::new(), check::Output::Json), Vec::new());
    input::documents("manifest.yaml", &text, &mut |read| match read {
        Err(problem) => report.problem(&problem),
        Ok(document) => {
            check::add(&mut report, &mut judge, &document, Secrets::Deny);
            let Ok(Some(workload)) = judge.workload(&document.value) else { return };
            let Some(pod) = judge::pod(&workload) else { return };
            let Ok(decision) = judge.mutate(&workload, &pod) else { return };
            if let Some(patch) = decision.patch {
                let patch: Value = serde_json::from_str(&patch).unwrap();
                patches.push(
                    json!({"name": format!("{}/{}", workload.kind.kind, workload.name), "patch": patch}),
                );
            }
        }
    });
    let (json, _) = report.finish().unwrap();
    let mut value: Value = serde_json::from_slice(&json).unwrap();
    value["patches"] = patches.into();
    value
}

/// What goes over the wire from each endpoint.
fn of_review(folder: &Path) -> Value {
    let body = fs::read(folder.join("review.json")).unwrap();
    let judge = judge(folder);
    let mut all = Map::new();
    for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
        let (uid, decision) = match judge.review(endpoint, &body) {
            Ok(answer) => answer,
            Err(ParseError::Object { uid, pointer, problem }) => (uid, unreadable(&pointer, &problem)),
            Err(error) => {
                all.insert(endpoint.as_str().into(), json!({"status": 400, "body": error.to_string()}));
                continue;
            }
        };
        let answer = match &decision.outcome {
            Outcome::Unavailable { message } => json!({"status": 503, "body": message}),
            _ => {
                let mut answer: Value = serde_json::from_slice(&respond(&uid, &decision)).unwrap();
                if let Some(patch) = answer["response"].get_mut("patch") {
                    let bytes =
                        base64::engine::general_purpose::STANDARD.decode(patch.as_str().unwrap()).unwrap();
                    *patch = serde_json::from_slice(&bytes).unwrap();
                }
                answer
            }
        };
        all.insert(endpoint.as_str().into(), answer);
    }
    Value::Object(all)
}

#[test]
fn cases_come_to_what_is_expected() {
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut wrong = Vec::new();
    for folder in folders() {
        let actual = yaml(&if folder.join("manifest.yaml").is_file() {
            of_manifest(&folder)
        } else {
            of_review(&folder)
        });
        let file = folder.join("expected.yaml");
        if update {
            fs::write(&file, actual).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if expected != actual {
            wrong.push(format!("{}\n{}", name(&folder), diff::unified(&expected, &actual)));
        }
    }
    assert!(wrong.is_empty(), "UPDATE_CASES=1 would write\n{}", wrong.join("\n"));
}

#[test]
fn case_folders_are_complete_and_hold_nothing_else() {
    let mut wrong = Vec::new();
    for folder in folders() {
        let files: BTreeSet<String> =
            fs::read_dir(&folder).unwrap().map(|entry| name(&entry.unwrap().path())).collect();
        for needed in ["world.yaml", "expected.yaml"] {
            if !files.contains(needed) {
                wrong.push(format!("{} lacks {needed}", name(&folder)));
            }
        }
        if files.contains("manifest.yaml") == files.contains("review.json") {
            wrong.push(format!("{} wants either manifest.yaml or review.json", name(&folder)));
        }
        let known = ["world.yaml", "expected.yaml", "manifest.yaml", "review.json", "config.yaml"];
        for file in files.iter().filter(|file| !known.contains(&file.as_str())) {
            wrong.push(format!("{} holds {file}, which nobody reads", name(&folder)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Transcripts of kubectl: a file that no test holds anything to would stay as it is for ever.
#[test]
fn transcripts_are_each_asserted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e");
    let mut code = String::new();
    for entry in fs::read_dir(folder.join("cases")).unwrap() {
        // What is in a folder is a part of the file beside it.
        let path = entry.unwrap().path();
        if path.is_file() {
            code.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    let mut count = 0;
    for entry in fs::read_dir(folder.join("golden")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".txt").unwrap_or_default();
        assert!(code.contains(&format!("\"{name}\"")), "no test speaks of {}", path.display());
        count += 1;
    }
    assert!(count > 0);
}

/// A pod as the template of a workload.
fn wrap(pod: &Value, kind: &Kind) -> Value {
    let metadata = &pod["metadata"];
    let group = if kind.group.is_empty() { String::new() } else { format!("{}/", kind.group) };
    let mut template = json!({"metadata": {}, "spec": pod["spec"]});
    for key in ["labels", "annotations"] {
        if let Some(map) = metadata.get(key) {
            template["metadata"][key] = map.clone();
        }
    }
    let mut around = template;
    for token in kind.pointer.rsplit('/').filter(|token| !token.is_empty()) {
        around = json!({token: around});
    }
    around["apiVersion"] = format!("{group}v1").into();
    around["kind"] = (*kind.kind).into();
    around["metadata"] = json!({"name": "wrapped"});
    if let Some(namespace) = metadata.get("namespace") {
        around["metadata"]["namespace"] = namespace.clone();
    }
    around
}

/// What must be the same on its own and in a template, whose pointer is cut off.
fn essence(judged: &Judged, template: &str) -> String {
    let cut = |pointer: &str| pointer.strip_prefix(template).unwrap_or(pointer).to_owned();
    let findings: BTreeSet<_> = judged
        .findings
        .iter()
        .map(|finding| {
            format!("{} {} {:?} {:?}", cut(&finding.pointer), finding.rule, finding.container, finding.name)
        })
        .collect();
    let references: BTreeSet<_> = judged
        .references
        .iter()
        .map(|reference| format!("{} {:?} {:?}", cut(&reference.pointer), reference.path, reference.verdict))
        .collect();
    let verdict = if judged.denial.is_some() { "deny" } else { "allow" };
    format!("{verdict}\n{findings:#?}\n{references:#?}\n")
}

#[test]
fn a_pod_is_judged_alike_in_every_kind() {
    let mut wrong = Vec::new();
    for folder in folders().iter().filter(|folder| folder.join("manifest.yaml").is_file()) {
        let mut judge = judge(folder);
        for document in manifests(folder) {
            let Ok(Some(pod)) = judge.workload(&document.value) else { continue };
            // Ephemeral containers are no part of a template: nothing that makes pods can give them any.
            if !pod.kind.is_pod() || document.value.pointer("/spec/ephemeralContainers").is_some() {
                continue;
            }
            let Ok(alone) = judge.judge(&pod) else { continue };
            for kind in KINDS.iter().filter(|kind| !kind.is_pod()) {
                let wrapped = wrap(&document.value, kind);
                let workload = judge.workload(&wrapped).unwrap().unwrap();
                let inside = judge.judge(&workload).unwrap();
                let (alone, inside) = (essence(&alone, ""), essence(&inside, &kind.pointer));
                if alone != inside {
                    let what = format!("{}: {} in a {}", name(folder), pod.name, kind.kind);
                    wrong.push(format!("{what}\n{}", diff::unified(&alone, &inside)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
