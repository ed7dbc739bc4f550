//! Values come out nowhere but in the data of the Secrets that they are for: not in a log line, an Event, a metric, a
//! catalogue, an annotation, or in what `--dry-run` prints; whatever fails, and though the API server quotes all that it
//! was sent.

use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::select;
use refgate::policy::path::secret_name;
use refgate::sync::apply::Mode;
use refgate::telemetry::json_subscriber;
use serde_json::{Value, json};

use super::bed::{Bed, OTHER, WEB};
use super::objects::{CONFIG_MAPS, EVENTS, SECRETS};
use super::server::Fault;

/// A part of a value that nobody guesses: so many characters of it are the value.
const TELLING: usize = 8;

/// What a secret may be; `@` is what is planted.
const SHAPES: [&str; 9] = [
    "@",
    "{\"password\":\"@\"}",
    "{\"password\":{\"deep\":[\"@\"]}}",
    "{\"password\":\"@",
    "[\"@\"]",
    "{\"tls.crt\":\"-----BEGIN CERTIFICATE-----@\",\"tls.key\":\"PRIVATE KEY-----@\"}",
    "{\"auths\":{\"registry.example.com\":{\"auth\":\"@\"}}}",
    "postgres://app:@@db.example.com/x",
    "line\n@\r\n\u{0}@",
];

const TYPES: [Option<&str>; 4] =
    [None, Some("kubernetes.io/tls"), Some("kubernetes.io/dockerconfigjson"), Some("kubernetes.io/none")];

#[derive(Debug, Clone)]
struct Planted {
    mark: String,
    shape: &'static str,
    kind: Option<&'static str>,
    binary: bool,
}

impl Planted {
    fn value(&self) -> String {
        self.shape.replace('@', &self.mark)
    }

    fn entry(&self, version: &str) -> Value {
        let mut entry = json!({"version": version, "created": "2026-11-01T00:00:00Z"});
        match self.binary {
            true => entry["binary"] = STANDARD.encode(self.value()).into(),
            false => entry["value"] = self.value().into(),
        }
        if let Some(kind) = self.kind {
            entry["tags"] = json!({"refgate.dev/type": kind});
        }
        entry
    }

    /// Whether a telling part of it stands in a text, as it is or in base64.
    fn is_in(&self, text: &str) -> bool {
        let encoded = STANDARD.encode(self.value());
        let inner = STANDARD.encode(&self.mark);
        let parts = |of: &str, length: usize| {
            (0..=of.len().saturating_sub(length))
                .any(|at| of.get(at..at + length).is_some_and(|part| text.contains(part)))
        };
        parts(&self.mark, TELLING) || parts(&inner, 12) || encoded.len() > 40 && parts(&encoded, 40)
    }
}

fn planted() -> impl Strategy<Value = Planted> {
    let mark = "[A-Za-z][A-Za-z0-9]{11}[0-9][A-Za-z0-9]{11}[A-Z]";
    (mark, select(&SHAPES[..]), select(&TYPES[..]), any::<bool>())
        .prop_map(|(mark, shape, kind, binary)| Planted { mark, shape, kind, binary })
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Everything that comes out while secrets are made, changed, refused and told; and proof that something did.
async fn everything(secrets: &[Planted], faults: &[Option<u16>]) -> String {
    let bed = Bed::new("leak", ", forgetAfter: 0s");
    let names: Vec<String> = (0..secrets.len()).map(|number| format!("s{number}")).collect();
    let path = |index: usize| format!("{WEB}/{}", names[index]);
    for (index, planted) in secrets.iter().enumerate() {
        bed.entry(&path(index), Some(planted.entry("1")));
        bed.entry(&format!("{OTHER}/{}", names[index]), Some(planted.entry("1")));
    }
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    bed.refer("web", "pod", &all);
    bed.refer("other", "pod", &all);
    // The tenant has the first name, and the value too.
    let mine = json!({"metadata": {}, "data": {"value": STANDARD.encode(secrets[0].value())}});
    bed.server.put(SECRETS, "web", &secret_name(&path(0)), mine);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let mut dry = bed.replica("dry", Mode::Dry(Arc::clone(&lines))).await;
    dry.pass().await;
    let mut replica = bed.leading("a").await;
    let (faults, mut turn) = (faults.to_vec(), 0);
    bed.server.meet(move |call| {
        turn += 1;
        let is_write = !matches!(call.verb, "list" | "get");
        faults[turn % faults.len()].filter(|_| is_write).map(Fault::Quote)
    });
    for version in ["1", "1", "2", "2"] {
        for (index, planted) in secrets.iter().enumerate() {
            let next = Planted { mark: format!("{}{version}", planted.mark), ..planted.clone() };
            bed.entry(&path(index), Some(next.entry(version)));
        }
        replica.pass().await;
        dry.pass().await;
    }
    bed.server.meet(|_| None);
    replica.pass().await;
    // One that was tampered with, one that is deleted, and all that nobody names any more.
    for secret in bed.server.all(SECRETS) {
        let text = |key: &str| secret["metadata"][key].as_str().unwrap().to_owned();
        let mut secret = secret.clone();
        secret["data"]["more"] = STANDARD.encode(secrets[0].value()).into();
        bed.server.put(SECRETS, &text("namespace"), &text("name"), secret);
    }
    bed.entry(&path(0), None);
    replica.pass().await;
    bed.server.remove("/api/v1/pods", "web", "pod");
    replica.pass().await;
    replica.pass().await;
    let mut out = replica.metrics.render();
    out.extend(lines.lock().unwrap().drain(..).map(|line: String| line + "\n"));
    for object in [EVENTS, CONFIG_MAPS].map(|resource| bed.server.all(resource)).concat() {
        out.push_str(&object.to_string());
    }
    for mut secret in bed.server.all(SECRETS) {
        secret["data"].take();
        out.push_str(&secret.to_string());
    }
    assert!(out.contains("NameTaken") && out.contains("create Secret"), "{out}");
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn values_come_out_nowhere(
        first in planted(),
        others in prop::collection::vec(planted(), 1..4),
        faults in prop::collection::vec(select(vec![None, None, Some(400), Some(403), Some(409), Some(422), Some(500)]), 1..7),
    ) {
        // One that fits whatever type it has, and whose name is taken.
        let first = Planted { shape: SHAPES[0], kind: None, ..first };
        let secrets = [vec![first], others].concat();
        let log = Log::default();
        let writer = log.clone();
        let subscriber = json_subscriber(move || writer.clone());
        // With one alone, what other tests say first, where nobody listens, is said to nobody from then on.
        let _second = tracing::Dispatch::new(json_subscriber(io::sink));
        let guard = tracing::subscriber::set_default(subscriber);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let mut out = runtime.block_on(everything(&secrets, &faults));
        drop(guard);
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        prop_assert!(log.contains("an event"), "{log}");
        out.push_str(&log);
        for planted in &secrets {
            prop_assert!(!planted.is_in(&out), "{planted:?} in\n{out}");
        }
    }
}
