//! Writes what the benchmarks feed: reviews as JSON, and worlds as `refgate serve --dev` reads them.
//!
//! `generate review REFERENCES`, `generate world NAMESPACES ENTRIES` and `generate external-secrets COUNT`, to standard output. The same arguments give the
//! same bytes.

mod reviews;

use std::env;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use refgate::policy::path::secret_name;
use reviews::{NAMESPACE, applied, body, pod};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    let number = |text: &str| text.parse::<usize>().ok();
    let written = match words[..] {
        ["review", "applied"] => out.write_all(&body(&applied(pod(4, 20, 0)))),
        ["review", references] if number(references).is_some_and(|number| number <= 20) => {
            out.write_all(&body(&pod(4, 20, number(references).unwrap_or_default())))
        }
        ["world", namespaces, entries] => match (number(namespaces), number(entries)) {
            (Some(namespaces @ 1..), Some(entries)) => world(&mut out, namespaces, entries),
            _ => return usage(),
        },
        ["external-secrets", count] => match number(count) {
            Some(count) => external_secrets(&mut out, count),
            None => return usage(),
        },
        _ => return usage(),
    };
    match written.and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn usage() -> ExitCode {
    let _ = writeln!(
        io::stderr(),
        "usage: generate review 0..20|applied; generate world NAMESPACES ENTRIES; generate external-secrets COUNT"
    );
    ExitCode::from(2)
}

const GROUPS: [&str; 8] =
    ["mozmeao", "payments", "identity", "search-platform", "data-eng", "mobile", "growth", "it-operations"];
const APPS: [&str; 10] = [
    "snippets",
    "checkout-api",
    "account-service",
    "index-builder",
    "warehouse-loader",
    "push-gateway",
    "campaigns",
    "helpdesk",
    "image-resizer",
    "feature-flags",
];
const ENVS: [&str; 3] = ["dev", "stage", "prod"];
const SECRETS: [&str; 10] = [
    "database_url",
    "redis_url",
    "sentry_dsn",
    "smtp",
    "session_signing_key",
    "oauth/github/client_secret",
    "stripe_api_key",
    "postgres",
    "kafka/producer",
    "tls",
];

/// So many ExternalSecrets of five entries, twenty in each namespace, and their store.
fn external_secrets(out: &mut impl Write, count: usize) -> io::Result<()> {
    world(out, count.div_ceil(20).max(1), 0)?;
    writeln!(out, "---\n{}", reviews::store())?;
    for number in 0..count {
        let mut object = reviews::external_secret(&format!("web-{number}"), 5);
        let home = number / 20;
        if home > 0 {
            let (group, env) = (GROUPS[home % GROUPS.len()], ENVS[home % ENVS.len()]);
            let app = format!("{}-{home}", APPS[home % APPS.len()]);
            object["metadata"]["namespace"] = format!("{app}-{env}").into();
            for entry in object["spec"]["data"].as_array_mut().into_iter().flatten() {
                let key = entry["remoteRef"]["key"].as_str().unwrap_or_default();
                entry["remoteRef"]["key"] =
                    key.replace("mozmeao/snippets/stage", &format!("{group}/{app}/{env}")).into();
            }
        }
        writeln!(out, "---\n{object}")?;
    }
    Ok(())
}

/// A world whose first namespace is the one of the reviews, with the Secrets that they refer to. The entries are spread
/// evenly over all namespaces.
fn world(out: &mut impl Write, namespaces: usize, entries: usize) -> io::Result<()> {
    for number in 0..namespaces {
        let (name, group, app, env) = if number == 0 {
            (NAMESPACE.to_owned(), "mozmeao", "snippets".to_owned(), "stage")
        } else {
            let (group, env) = (GROUPS[number % GROUPS.len()], ENVS[number % ENVS.len()]);
            let app = format!("{}-{number}", APPS[number % APPS.len()]);
            (format!("{app}-{env}"), group, app, env)
        };
        write!(
            out,
            "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n    \
             kubernetes.io/metadata.name: {name}\n    refgate.dev/group: {group}\n    refgate.dev/app: {app}\n    \
             refgate.dev/env: {env}\n    refgate.dev/enforce: baseline\n  annotations:\n    \
             refgate.dev/shared-paths: {group}/shared/{env}\n"
        )?;
        let count = entries / namespaces + usize::from(number < entries % namespaces);
        let list: Vec<Value> =
            (0..count).map(|entry| synced(&format!("{group}/{app}/{env}"), number, entry)).collect();
        writeln!(
            out,
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: catalogue.{name}\n  namespace: refgate-system\n  \
             labels:\n    refgate.dev/catalogue: \"true\"\ndata:\n  catalogue: |\n    [",
        )?;
        for (index, entry) in list.iter().enumerate() {
            writeln!(out, "      {entry}{}", if index + 1 < list.len() { "," } else { "" })?;
        }
        writeln!(out, "    ]")?;
    }
    Ok(())
}

/// One entry of a catalogue: most hold one value, some a JSON object with its properties.
fn synced(scope: &str, namespace: usize, number: usize) -> Value {
    let path = if namespace == 0 {
        format!("{scope}/secret_{number}")
    } else {
        let again =
            if number < SECRETS.len() { String::new() } else { format!("_{}", number / SECRETS.len()) };
        format!("{scope}/{}{again}", SECRETS[number % SECRETS.len()])
    };
    let keys = match number % SECRETS.len() {
        3 | 7 => json!(["host", "password", "port", "user", "value"]),
        8 => json!(["password", "user", "value"]),
        9 => json!(["tls.crt", "tls.key", "value"]),
        _ => json!(["value"]),
    };
    let mut version = String::new();
    let hash = (namespace as u64 * 1_000_003 + number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // Writing to a String cannot fail.
    let _ = write!(version, "{:08x}-{:04x}-4{:03x}-8", hash >> 32, (hash >> 16) & 0xffff, hash & 0xfff);
    let _ = write!(version, "{:03x}-{:012x}", hash >> 52, hash & 0xffff_ffff_ffff);
    json!({"path": path, "secret": secret_name(&path), "keys": keys, "version": version})
}
