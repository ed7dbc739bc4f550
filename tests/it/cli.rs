//! The command line as its users meet it: the real binary, its output and its exit codes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

mod carriers;
mod files;
mod input;
mod memory;
mod names;
mod replaced;
mod secrets;
mod words;
mod written;

struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.out, self.err))
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refgate"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run_with(arguments: &[&str], stdin: &str) -> Ran {
    let mut child = command(arguments).spawn().unwrap();
    // A command that does not read may be gone already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, "")
}

/// A folder of its own for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(name);
    // What an earlier run left may be there, or not.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn pod(name: &str, env: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: snippets-stage\nspec:\n  containers:\n  \
         - name: web\n    image: i\n    env:\n{env}"
    )
}

const CLEAN: &str = "    - {name: A, value: plain}\n";
const REFERENCE: &str = "    - name: DATABASE_URL\n      value: \"secret:database_url\"\n";
const PLANTED: &str = "kR4vT9wqZ2pB";
const PLAINTEXT: &str = "    - name: DB_PASSWORD\n      value: \"kR4vT9wqZ2pB\"\n";
const SCOPE: [&str; 2] = ["--scope", "mozmeao/snippets/stage"];

fn check(manifest: &str, flags: &[&str]) -> Ran {
    run_with(&[&["check", "-", "--output", "json"], flags].concat(), manifest)
}

#[test]
fn help_teaches_and_what_is_unknown_is_refused_by_name() {
    let help = run(&["--help"]);
    assert_eq!(help.code, Some(0));
    for subcommand in ["serve", "check", "render", "scan", "bind", "rules"] {
        assert!(help.out.contains(&format!("  {subcommand} ")), "{}", help.out);
        let help = run(&[subcommand, "--help"]);
        assert_eq!(help.code, Some(0), "{subcommand}");
        assert!(help.out.contains("Examples:") && help.out.ends_with('\n'), "{}", help.out);
        assert!(help.out.contains("Exit codes:"), "{}", help.out);
    }
    for (arguments, named) in [
        (&["chekc"][..], "chekc"),
        (&["check", "--scpoe", "a/b/c"], "--scpoe"),
        (&["check", "--scope", "a/b"], "2 segments"),
        (&["check", "--level", "strict"], "strict"),
        (&["check", "--output", "xml"], "xml"),
        (&["render"], "FILE"),
        (&["rules", "show", "no-such-rule"], "no-such-rule"),
        (&["serve"], "--tls-cert"),
        (&["serve", "--dev", "--tls-cert", "c", "--tls-key", "k"], "--dev"),
        (&["serve", "--world", "w", "--tls-cert", "c", "--tls-key", "k"], "--world"),
        (&["serve", "--dev", "--listen", "8443"], "--listen"),
        (&["serve", "--dev", "--grace", "10"], "--grace"),
        (
            &[
                "serve",
                "--dev",
                "--world",
                "no-such-file.yaml",
                "--listen",
                "127.0.0.1:0",
                "--health-listen",
                "127.0.0.1:0",
            ],
            "no-such-file.yaml",
        ),
        (&["check", "--world", "no-such-file.yaml"], "no-such-file.yaml"),
        (&["check", "--config", "no-such-file.yaml"], "no-such-file.yaml"),
    ] {
        let ran = run(arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}");
        assert!(ran.err.contains(named), "{arguments:?}: {}", ran.err);
        assert_eq!(ran.out, "", "{arguments:?}");
    }
}

#[test]
fn exit_codes_say_the_worst_of_it() {
    let broken = "a: [\n";
    for (documents, code) in [
        (&[&*pod("a", CLEAN)][..], 0),
        (&[&*pod("a", PLAINTEXT)], 1),
        (&[&*pod("a", CLEAN), broken], 2),
        (&[&*pod("a", PLAINTEXT), broken], 2),
        (&["kind: Service\n"], 0),
    ] {
        let ran = check(&documents.join("---\n"), &[]);
        assert_eq!(ran.code, Some(code), "{documents:?}\n{}", ran.out);
    }
    assert_eq!(run(&["check", "no/such/file.yaml"]).code, Some(2));
}

#[test]
fn json_says_what_it_promises() {
    let manifest =
        [pod("a", &format!("{PLAINTEXT}{REFERENCE}")), "kind: Service\n".to_owned(), "a: [\n".to_owned()];
    let ran = check(&manifest.join("---\n"), &SCOPE);
    let report = ran.json();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&report),
        ["doNotCommit", "errors", "judged", "refused", "results", "skipped", "skippedKinds"]
    );
    assert_eq!(report["skipped"], 1);
    let result = &report["results"][0];
    assert_eq!(
        keys(result),
        [
            "apiVersion",
            "decision",
            "deniedBy",
            "file",
            "findings",
            "kind",
            "line",
            "message",
            "name",
            "namespace",
            "references",
            "warnings"
        ]
    );
    assert_eq!((&result["file"], &result["line"]), (&Value::from("-"), &Value::from(1)));
    assert_eq!((&result["apiVersion"], &result["kind"]), (&Value::from("v1"), &Value::from("Pod")));
    assert_eq!((&result["namespace"], &result["name"]), (&Value::from("snippets-stage"), &Value::from("a")));
    assert_eq!(result["decision"], "deny");
    let finding = &result["findings"][0];
    assert_eq!(keys(finding), ["certainty", "container", "detail", "name", "pointer", "reason", "rule"]);
    assert_eq!((&finding["container"], &finding["name"]), (&Value::from("web"), &Value::from("DB_PASSWORD")));
    assert_eq!(
        (&finding["pointer"], &finding["certainty"]),
        (&Value::from("/spec/containers/0/env/0/value"), &Value::from("certain"))
    );
    let reference = &result["references"][0];
    assert_eq!(keys(reference), ["key", "path", "pointer", "secret", "verdict"]);
    assert_eq!(reference["pointer"], "/spec/containers/0/env/1/value");
    assert_eq!(reference["path"], "mozmeao/snippets/stage/database_url");
    assert_eq!(reference["secret"], "mozmeao-snippets-stage-database-url-8d93156e21b53032");
    assert_eq!((&reference["key"], &reference["verdict"]), (&Value::from("value"), &Value::from("allowed")));
    assert_eq!(keys(&report["errors"][0]), ["file", "line", "message"]);
    assert!(!ran.out.contains(PLANTED), "{}", ran.out);
}

#[test]
fn text_names_the_place_the_rule_and_what_to_write() {
    let ran = run_with(&["check", "-"], &pod("shop", PLAINTEXT));
    assert_eq!(ran.code, Some(1));
    for part in ["-:12", "Pod/shop", "container web", "env DB_PASSWORD", "instead:", "1 refused", "1 finding"]
    {
        assert!(ran.out.contains(part), "{part} is not in\n{}", ran.out);
    }
    assert!(!ran.out.contains('\u{1b}'), "colours are for terminals: {:?}", ran.out);
    assert!(!ran.out.contains(PLANTED), "{}", ran.out);
}

#[test]
fn without_world_and_scope_a_reference_is_unknown() {
    let ran = check(&pod("a", REFERENCE), &[]);
    let result = &ran.json()["results"][0];
    assert_eq!((ran.code, &result["decision"]), (Some(0), &Value::from("allow")), "{result}");
    assert_eq!(result["references"][0]["verdict"], "unknown", "{result}");
    let foreign = "    - name: A\n      value: \"secret:/mozmeao/basket/prod/x\"\n";
    assert_eq!(check(&pod("a", foreign), &[]).code, Some(0));
    // What does not read as a path is refused all the same.
    let broken = "    - name: A\n      value: \"secret:a//b\"\n";
    assert_eq!(check(&pod("a", broken), &[]).code, Some(1));
}

#[test]
fn a_refused_pod_hears_all_that_is_wrong_with_it() {
    let foreign = "    - {name: A, value: \"secret:/mozmeao/basket/prod/x\"}\n    - name: B\n      valueFrom: {secretKeyRef: \
                   {name: mozmeao-snippets-dev-database-url-7f8e5a584a34bab4, key: value}}\n";
    let manifest = pod("a", &format!("{foreign}{PLAINTEXT}"))
        .replace("spec:", "  annotations: {refgate.dev/env-from: session_key}\nspec:");
    let report = check(&manifest, &["--world", "examples/world.yaml"]).json();
    let message = report["results"][0]["message"].as_str().unwrap();
    for part in
        ["env A: mozmeao/basket/prod/x", "env B: Secret mozmeao", "env DB_PASSWORD", "bare pod", "(4) "]
    {
        assert!(message.contains(part), "{part} is not in {message}");
    }
    assert!(!message.contains("(5) "), "{message}");
    assert_eq!(report["results"][0]["findings"][0]["pointer"], "/spec/containers/0/env/2/value");
}

#[test]
fn a_scope_binds_every_namespace() {
    for (path, verdict, code) in [
        ("secret:x", "allowed", 0),
        ("secret:/mozmeao/snippets/stage/x", "allowed", 0),
        ("secret:/mozmeao/snippets/stage2/x", "denied", 1),
    ] {
        let ran = check(&pod("a", &format!("    - name: A\n      value: \"{path}\"\n")), &SCOPE);
        let report = ran.json();
        assert_eq!(ran.code, Some(code), "{path}: {report}");
        assert_eq!(report["results"][0]["references"][0]["verdict"], verdict, "{path}: {report}");
    }
}

#[test]
fn a_scope_alone_says_nothing_of_what_is_synced() {
    let manifest = pod("a", REFERENCE).replace("spec:", "  annotations: {refgate.dev/env-from: smtp}\nspec:");
    let ran = check(&manifest, &SCOPE);
    let warnings = ran.json()["results"][0]["warnings"].to_string();
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(!warnings.contains("synced"), "{warnings}");
    let ran = run_with(&[&["render", "-"], &SCOPE[..]].concat(), &manifest);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("refgate.dev~1env-from are not shown"), "{}", ran.err);
}

#[test]
fn a_refusal_stands_at_its_line() {
    let ran = run(&["check", "examples/fence.yaml", "--world", "examples/world.yaml"]);
    let lines: Vec<&str> = ran.out.lines().filter(|line| line.ends_with("refused")).collect();
    for (place, what) in
        [(":15 ", "env STRIPE_KEY"), (":23 ", "env DEV_DATABASE_URL"), (":38 ", "volume dev")]
    {
        assert!(
            lines.iter().any(|line| line.contains(place) && line.contains(what)),
            "{what} in\n{}",
            ran.out
        );
    }
}

#[test]
fn the_world_says_what_a_namespace_may_read() {
    let world = ["--world", "examples/world.yaml"];
    let shared = "    - name: A\n      value: \"secret:/mozmeao/shared/stage/sentry_dsn\"\n";
    assert_eq!(check(&pod("a", shared), &world).code, Some(0));
    // The namespace of a document that names none is that of the flag.
    let nowhere = pod("a", shared).replace("  namespace: snippets-stage\n", "");
    let ran = check(&nowhere, &world);
    assert_eq!(ran.code, Some(2));
    let message = ran.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("examples/world.yaml") && message.contains("default"), "{message}");
    for (namespace, code) in [("snippets-stage", 0), ("basket-prod", 1), ("playground", 1)] {
        let ran = check(&nowhere, &[&world[..], &["--namespace", namespace]].concat());
        assert_eq!(ran.code, Some(code), "{namespace}: {}", ran.out);
    }
    // With a scope besides, a namespace that the world lacks is bound to it.
    let own = pod("a", REFERENCE).replace("snippets-stage", "brand-new");
    assert_eq!(check(&own, &[&world[..], &SCOPE].concat()).code, Some(0));
}

#[test]
fn levels_decide_what_is_listed() {
    for (level, code) in [("off", 0), ("baseline", 1), ("restricted", 1)] {
        let ran = check(&pod("a", PLAINTEXT), &["--level", level]);
        let report = ran.json();
        assert_eq!(ran.code, Some(code), "{level}: {report}");
        assert_eq!(
            report["results"][0]["findings"].as_array().unwrap().len(),
            code as usize,
            "{level}: {report}"
        );
    }
}

#[test]
fn folders_are_searched_in_order_and_loops_end() {
    let folder = folder("folders");
    fs::create_dir_all(folder.join("b/deep")).unwrap();
    for (file, name) in
        [("b/deep/z.yml", "z"), ("b/one.yaml", "one"), ("a.json", ""), ("c.YAML", "c"), ("notes.txt", "no")]
    {
        let text = match name {
            "" => r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": []}}"#.to_owned(),
            name => pod(name, CLEAN),
        };
        fs::write(folder.join(file), text).unwrap();
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&folder, folder.join("b/loop")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.join("dead.yaml")).unwrap();
    }
    let ran = run(&["check", folder.to_str().unwrap(), "--output", "json"]);
    let report = ran.json();
    let names: Vec<&str> =
        report["results"].as_array().unwrap().iter().map(|result| result["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "z", "one", "c"], "{report}");
    if cfg!(unix) {
        assert!(report["errors"][0]["file"].as_str().unwrap().ends_with("dead.yaml"), "{report}");
        assert_eq!((ran.code, report["errors"].as_array().unwrap().len()), (Some(2), 1), "{report}");
    }
}

#[test]
fn lists_and_charts_have_their_lines() {
    let list = "# Source: chart/templates/all.yaml\napiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n- \
                apiVersion: v1\n  kind: Pod\n  metadata:\n    name: inner\n  spec:\n    containers:\n    - name: web\n      env:\n      \
                - name: DB_PASSWORD\n        value: kR4vT9wqZ2pB\n---\n# Source: chart/templates/empty.yaml\n---\n";
    let ran = check(list, &[]);
    let report = ran.json();
    assert_eq!(
        (&report["results"][0]["line"], &report["skipped"]),
        (&Value::from(7), &Value::from(1)),
        "{report}"
    );
    assert_eq!(report["results"][0]["findings"][0]["pointer"], "/spec/containers/0/env/0/value");
    let text = run_with(&["check", "-"], list);
    assert!(text.out.contains("-:16"), "{}", text.out);
}

#[test]
fn what_cannot_be_judged_is_an_error_with_its_line() {
    for (manifest, line, named) in [
        (
            "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: web\n    env:\n    - {name: A, value: 5}\n",
            7,
            "/spec/containers/0/env/0/value",
        ),
        ("apiVersion: v1\nkind: Pod\nspec:\n  containers: 5\n", 4, "/spec/containers"),
    ] {
        let ran = check(manifest, &[]);
        let report = ran.json();
        assert_eq!(ran.code, Some(2), "{report}");
        assert_eq!(report["errors"][0]["line"], line, "{report}");
        assert!(report["errors"][0]["message"].as_str().unwrap().contains(named), "{report}");
    }
    let latin = folder("latin").join("a.yaml");
    fs::write(&latin, b"a: 1\nb: \xe9\n").unwrap();
    let report = run(&["check", "--output", "json", latin.to_str().unwrap()]).json();
    assert_eq!(report["errors"][0]["line"], 2, "{report}");
}

#[test]
fn names_from_files_do_not_speak_to_the_terminal() {
    let ran = run_with(&["check", "-"], &pod("\"a\\e[2J\"", PLAINTEXT));
    assert!(!ran.out.contains('\u{1b}'), "{:?}", ran.out);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let many = vec![pod("a", PLAINTEXT); 2000].join("---\n");
    for arguments in
        [&["check", "-"][..], &["check", "-", "--output", "json"], &["render", "-", "--output", "after"]]
    {
        let mut child = command(arguments).spawn().unwrap();
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().unwrap();
        let mut err = child.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        stdin.write_all(many.as_bytes()).unwrap();
        drop(stdin);
        let code = child.wait().unwrap().code();
        let err = reader.join().unwrap();
        assert!(!err.contains("panic") && !err.contains("pipe"), "{err}");
        assert_eq!(code, Some(1), "{arguments:?}");
    }
}

#[test]
fn render_shows_before_and_after() {
    // The world beside the example is taken by itself.
    let ran = run(&["render", "examples/pod.yaml"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("examples/world.yaml"), "{}", ran.err);
    let (before, after) = ran.out.split_once("\n---\n").unwrap();
    assert!(before.contains("value: secret:database_url"), "{before}");
    assert!(!after.contains("value: secret:"), "{after}");
    for part in
        ["secretKeyRef:", "name: mozmeao-snippets-stage-database-url-8d93156e21b53032", "refgate.dev/refs:"]
    {
        assert!(after.contains(part), "{part} is not in\n{after}");
    }
}

#[test]
fn render_gives_manifests_that_can_go_on() {
    let flags = ["--world", "examples/world.yaml", "--output", "after"];
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n";
    let both = format!("{}---\n{service}", pod("a", REFERENCE));
    let once = run_with(&[&["render", "-"], &flags[..]].concat(), &both);
    assert_eq!(once.code, Some(0), "{}", once.err);
    assert!(once.out.ends_with(service), "{}", once.out);
    let twice = run_with(&[&["render", "-"], &flags[..]].concat(), &once.out);
    assert_eq!((twice.code, twice.out), (Some(0), once.out));
}

#[test]
fn render_shows_a_workload_by_its_pods() {
    let ran = run(&["render", "examples/deployment.yaml", "--output", "diff"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with("--- examples/deployment.yaml:3: Deployment/snippets"), "{}", ran.out);
    for line in ran.out.lines() {
        assert!(line.starts_with(['-', '+', ' ', '@']), "{line}");
    }
    assert!(
        ran.out.contains("refgate.dev/refs") && ran.out.contains("mountPath: /run/secrets/app"),
        "{}",
        ran.out
    );
}

#[test]
fn render_says_what_is_refused_and_goes_on() {
    let ran = run(&["render", "examples/fence.yaml", "examples/pod.yaml", "--output", "after"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("examples/fence.yaml:3: Pod/across-the-fence"), "{}", ran.err);
    assert!(ran.out.contains("snippets-shell") && !ran.out.contains("across-the-fence"), "{}", ran.out);
}

#[test]
fn the_examples_come_to_what_they_say() {
    let world = ["--world", "examples/world.yaml", "--output", "json"];
    for (file, code) in [("pod.yaml", 0), ("deployment.yaml", 0), ("plaintext.yaml", 1), ("fence.yaml", 1)] {
        let ran = run(&[&["check", &*format!("examples/{file}")], &world[..]].concat());
        assert_eq!(ran.code, Some(code), "{file}: {}", ran.out);
    }
    let fence = run(&[&["check", "examples/fence.yaml"], &world[..]].concat()).json();
    let references = fence["results"][0]["references"].as_array().unwrap();
    assert!(references.iter().all(|reference| reference["verdict"] == "denied"), "{fence}");
    assert_eq!(references.len(), 6, "{fence}");
}

#[test]
fn rules_are_listed_and_shown() {
    let list = run(&["rules"]);
    assert_eq!(list.code, Some(0));
    let ids: Vec<&str> = list
        .out
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert!(ids.len() > 3, "{}", list.out);
    for id in &ids {
        let shown = run(&["rules", "show", id]);
        assert_eq!(shown.code, Some(0));
        for part in [id, "Why:", "Finds:", "Leaves alone:"] {
            assert!(shown.out.contains(part), "{part} is not in\n{}", shown.out);
        }
    }
    let typo = format!("{}x", ids[0]);
    assert!(run(&["rules", "show", &typo]).err.contains(&format!("did you mean {}", ids[0])));
}
