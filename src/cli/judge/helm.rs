//! What to do about plaintext in an object of a Helm chart: its author is somebody else, so the template cannot be edited.

use serde_json::Value;

use crate::policy::finding::Finding;

/// The advice for an object that Helm labels; `None` for any other.
pub fn advice(object: &Value, findings: &[Finding]) -> Option<String> {
    let label = |name: &str| {
        object
            .pointer(&format!("/metadata/labels/{name}"))
            .and_then(Value::as_str)
            .filter(|text| is_label(text))
    };
    let chart = label("helm.sh~1chart");
    if chart.is_none() && label("app.kubernetes.io~1managed-by") != Some("Helm") {
        return None;
    }
    let which =
        chart.map_or_else(|| "the chart's value".to_owned(), |chart| format!("the value of chart {chart}"));
    let row =
        row(object, chart, findings).map(|row| format!(", or allow it in the configuration:\nallow:\n{row}"));
    Some(format!(
        "set {which} that names an existing Secret (helm show values lists it, often existingSecret){}",
        row.unwrap_or_default()
    ))
}

/// The row of `allow` that lets exactly these names pass; `None` where something has no name.
fn row(object: &Value, chart: Option<&str>, findings: &[Finding]) -> Option<String> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let mut names: Vec<&str> =
        findings.iter().map(|finding| finding.name.as_deref()).collect::<Option<_>>()?;
    names.sort_unstable();
    names.dedup();
    let list = |texts: &[&str]| serde_json::to_string(texts).unwrap_or_default();
    let mut parts = vec![format!(
        "reason: \"made by Helm{}\"",
        chart.map(|chart| format!(", chart {chart}")).unwrap_or_default()
    )];
    if text("/kind") == Some("Secret") {
        parts.push("kinds: [Secret]".to_owned());
    }
    parts.push(format!("names: {}", list(&names)));
    if let Some(namespace) = text("/metadata/namespace").filter(|name| is_label(name)) {
        parts.push(format!("namespaces: {{matchLabels: {{kubernetes.io/metadata.name: \"{namespace}\"}}}}"));
    }
    (!names.is_empty()).then(|| format!("- {{{}}}", parts.join(", ")))
}

/// Whether a text may be the value of a label: such a one is harmless to repeat, and to paste.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+'))
}
