//! Log lines and metrics: what they say, and what they never say.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use refgate::telemetry::{FindingLabels, Metrics, ReviewLabels, ReviewLine, json_subscriber};
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What is logged while `act` runs, line by line.
fn logged(act: impl FnOnce()) -> Vec<Value> {
    let kept = Kept::default();
    tracing::subscriber::with_default(json_subscriber(kept.clone()), act);
    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

fn line<'a>(text: &'a str, groups: &'a [Cow<'a, str>], paths: &'a [&'a str]) -> ReviewLine<'a> {
    ReviewLine {
        uid: text,
        endpoint: "mutate",
        client: "unverified",
        user: text,
        groups,
        operation: "CREATE",
        kind: "Pod",
        namespace: "snippets-stage",
        name: text,
        dry_run: true,
        paths,
        verdict: "allow",
        rules: &["token", "url-password"],
        reasons: &[],
        allowed: &[],
        duration: Duration::from_micros(42),
    }
}

#[test]
fn a_review_is_one_line_with_the_promised_fields() {
    let groups = ["a".into(), "system:authenticated".into()];
    let lines = logged(|| line("web", &groups, &["g/a/e/x"]).log());
    let [Value::Object(line)] = &lines[..] else { panic!("{lines:?}") };
    let mut fields: Vec<_> = line.keys().map(String::as_str).filter(|&field| field != "level").collect();
    fields.sort_unstable();
    let mut promised = [
        "time",
        "uid",
        "endpoint",
        "client",
        "user",
        "groups",
        "operation",
        "kind",
        "namespace",
        "name",
        "dry_run",
        "paths",
        "verdict",
        "rules",
        "reasons",
        "allowed",
        "duration_us",
    ];
    promised.sort_unstable();
    assert_eq!(fields, promised);
    assert_eq!(line["groups"], json!(["a", "system:authenticated"]));
    assert_eq!(line["paths"], json!(["g/a/e/x"]));
    assert_eq!(line["rules"], json!(["token", "url-password"]));
    assert_eq!((&line["dry_run"], &line["duration_us"]), (&json!(true), &json!(42)));
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn reasons_and_what_passes_are_objects() {
    let hostile = "\"},{\n\u{1b}[31m\\";
    let reasons = [
        vec![("kind", "out-of-scope"), ("pointer", "/spec/containers/0/env/0/value")],
        vec![("kind", "plaintext"), ("rule", "token"), ("pointer", hostile)],
    ];
    let allowed = [vec![("place", "container web, env A"), ("reason", "tests")]];
    let lines = logged(|| ReviewLine { reasons: &reasons, allowed: &allowed, ..line("u", &[], &[]) }.log());
    assert_eq!(
        lines[0]["reasons"],
        json!([
            {"kind": "out-of-scope", "pointer": "/spec/containers/0/env/0/value"},
            {"kind": "plaintext", "rule": "token", "pointer": hostile},
        ])
    );
    assert_eq!(lines[0]["allowed"], json!([{"place": "container web, env A", "reason": "tests"}]));
    let long = "x".repeat(1 << 16);
    let many = vec![vec![("kind", "plaintext"), ("pointer", &*long)]; 1_000];
    let lines = logged(|| ReviewLine { reasons: &many, ..line("u", &[], &[]) }.log());
    assert_eq!(lines[0]["reasons"].as_array().unwrap().len(), 64);
    assert!(lines[0].to_string().len() < 32_768);
}

#[test]
fn no_text_breaks_a_line_or_makes_it_long() {
    for text in [
        "\",\"verdict\":\"deny",
        "a\nb\r\n{\"time\":1}",
        "back\\slash\\",
        "\u{1b}[31mred\u{0}\u{7f}\u{85}\u{9b}",
        "\u{2028}\u{2029}",
        "ä€😀",
        "",
    ] {
        let (groups, paths) = ([text.into(), "b".into()], [text, "c"]);
        let lines = logged(|| line(text, &groups, &paths).log());
        assert_eq!(lines.len(), 1, "{text:?}");
        assert_eq!((&lines[0]["uid"], &lines[0]["verdict"]), (&json!(text), &json!("allow")));
        assert_eq!((&lines[0]["groups"], &lines[0]["paths"]), (&json!([text, "b"]), &json!([text, "c"])));
        let raw = lines[0].to_string();
        assert_eq!(raw.lines().count(), 1);
    }
    let (long, many) = ("€".repeat(1 << 20), vec![Cow::Borrowed("group"); 10_000]);
    let lines = logged(|| line(&long, &many, &[]).log());
    assert!(lines[0].to_string().len() < 4096);
    assert_eq!(lines[0]["groups"].as_array().unwrap().len(), 64);
}

#[test]
fn other_events_are_lines_too() {
    let lines = logged(|| {
        tracing::warn!(target: "refgate::serve", path = "a\"b", count = 3_u64, "it \"happened\"\n");
        tracing::info!(target: "hyper", "not ours, not told");
        tracing::error!(target: "other", groups = "[\"not ours, so text\"]");
    });
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["message"], "it \"happened\"\n");
    assert_eq!(
        (&lines[0]["path"], &lines[0]["count"], &lines[0]["level"]),
        (&json!("a\"b"), &json!(3), &json!("WARN"))
    );
    assert_eq!(lines[1]["groups"], json!("[\"not ours, so text\"]"));
}

#[test]
fn metrics_have_the_promised_names() {
    let metrics = Metrics::default();
    // A family without a sample is not shown.
    let (endpoint, operation, kind, outcome) = ("mutate", "CREATE", "Pod".into(), "allow");
    metrics.reviews.get_or_create(&ReviewLabels { endpoint, operation, kind, outcome }).inc();
    metrics.findings.get_or_create(&FindingLabels { rule: "token", mode: "warn" }).inc();
    let text = metrics.render();
    for (name, kind) in [
        ("refgate_reviews", "counter"),
        ("refgate_review_duration_seconds", "histogram"),
        ("refgate_findings", "counter"),
        ("refgate_panics", "counter"),
        ("refgate_snapshot_age_seconds", "gauge"),
        ("refgate_config_reload_success", "gauge"),
        ("refgate_certificate_expiry_timestamp_seconds", "gauge"),
    ] {
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}: {text}");
    }
    // A counter's samples end in _total, which OpenMetrics leaves out of the name above them.
    assert!(text.contains("\nrefgate_panics_total 0\n"), "{text}");
    let reviews =
        "refgate_reviews_total{endpoint=\"mutate\",operation=\"CREATE\",kind=\"Pod\",outcome=\"allow\"} 1\n";
    assert!(text.contains(reviews), "{text}");
    assert!(text.contains("refgate_findings_total{rule=\"token\",mode=\"warn\"} 1\n"), "{text}");
}
