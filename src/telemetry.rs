//! Log format and metric names: what `serve` writes down, in one place.
//!
//! Logs go to standard error, one line each; standard output is for what a command is asked to print. Nothing here takes
//! an object, a value or a header: a line says who, where and which verdict. Whoever reaches the port chooses some of
//! those words, so every text is escaped and cut to a length.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

pub mod sync;

/// Target of the one line per review; its list fields are JSON already.
const REVIEW: &str = "refgate::review";
/// Longest text in a log line, in bytes.
const MAX_TEXT: usize = 256;
/// Longest list in a log line.
const MAX_LIST: usize = 64;

/// What log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line, for machines.
    Json,
    /// For eyes.
    Text,
}

/// Sends logs to standard error from here on, and panics to the logs: where they happened, never what they say, since a
/// panic may quote the text that it stumbled over. The first call counts.
pub fn start(format: LogFormat) {
    // A subscriber that is there already stays: it belongs to whoever embeds this.
    let _ = match format {
        LogFormat::Json => tracing::subscriber::set_global_default(json_subscriber(std::io::stderr)),
        LogFormat::Text => tracing::subscriber::set_global_default(
            tracing_subscriber::registry()
                .with(levels())
                .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false)),
        ),
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a panic");
    }));
}

/// The subscriber that writes one JSON object per line.
pub fn json_subscriber<W>(writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::registry()
        .with(levels())
        .with(tracing_subscriber::fmt::layer().event_format(JsonLines).with_writer(writer))
}

fn levels() -> Targets {
    Targets::new().with_default(Level::WARN).with_target("refgate", Level::INFO)
}

/// One JSON object per event: `time`, `level`, then the fields of the event in their order.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        out.write_str("{\"time\":\"")?;
        SystemTime.format_time(&mut out)?;
        write!(out, "\",\"level\":\"{}\"", event.metadata().level())?;
        let review = event.metadata().target() == REVIEW;
        let mut fields = JsonFields { out: out.by_ref(), review, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        out.write_str("}\n")
    }
}

struct JsonFields<'a> {
    out: Writer<'a>,
    review: bool,
    result: fmt::Result,
}

impl JsonFields<'_> {
    fn put(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.result.is_ok() {
            self.result = write!(self.out, ",\"{}\":{value}", field.name());
        }
    }

    fn put_text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.result.is_ok() {
            self.result = write!(self.out, ",\"{}\":\"", field.name())
                .and_then(|()| Escape(&mut self.out).write_fmt(value))
                .and_then(|()| self.out.write_char('"'));
        }
    }
}

impl Visit for JsonFields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.review && matches!(field.name(), "groups" | "paths" | "rules" | "reasons" | "allowed") {
            self.put(field, format_args!("{value:?}"));
        } else {
            self.put_text(field, format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, format_args!("{value}"));
    }
}

/// Writes text as the inside of a JSON string. Every character that does not show by itself is escaped, those beyond ASCII too, so
/// that a line stays a line, in its order, on whatever screen shows it.
struct Escape<'a, W: fmt::Write>(&'a mut W);

impl<W: fmt::Write> fmt::Write for Escape<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, character) in text.char_indices() {
            if character == '\'' || character.escape_debug().len() == 1 {
                continue;
            }
            self.0.write_str(&text[plain..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(self.0, "\\u{unit:04x}")?;
            }
            plain = at + character.len_utf8();
        }
        self.0.write_str(&text[plain..])
    }
}

/// The members of one object in a log line: names and texts.
pub type Members<'a> = Vec<(&'static str, &'a str)>;

/// What the one line of a review says.
#[derive(Debug, Clone)]
pub struct ReviewLine<'a> {
    /// Identity of the call.
    pub uid: &'a str,
    /// `mutate` or `validate`.
    pub endpoint: &'static str,
    /// Whether a client certificate was shown: `verified` or `unverified`. All that follows is what an unverified client says.
    pub client: &'static str,
    /// Who asks.
    pub user: &'a str,
    /// Their groups.
    pub groups: &'a [Cow<'a, str>],
    /// What is done.
    pub operation: &'a str,
    /// Kind of the object.
    pub kind: &'a str,
    /// Its namespace; empty for a cluster-scoped object.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Whether nothing will be kept.
    pub dry_run: bool,
    /// Secret paths that it names.
    pub paths: &'a [&'a str],
    /// `allow`, `deny` or `unavailable`.
    pub verdict: &'static str,
    /// Ids of the rules that counted.
    pub rules: &'a [&'static str],
    /// Why it was denied.
    pub reasons: &'a [Members<'a>],
    /// What the configuration lets pass, and why.
    pub allowed: &'a [Members<'a>],
    /// From the first byte of the request to the answer.
    pub duration: Duration,
}

impl ReviewLine<'_> {
    /// Writes it.
    pub fn log(&self) {
        tracing::info!(
            target: REVIEW,
            uid = cut(self.uid),
            endpoint = self.endpoint,
            client = self.client,
            user = cut(self.user),
            groups = %JsonList(self.groups),
            operation = cut(self.operation),
            kind = cut(self.kind),
            namespace = cut(self.namespace),
            name = cut(self.name),
            dry_run = self.dry_run,
            paths = %JsonList(self.paths),
            verdict = self.verdict,
            rules = %JsonList(self.rules),
            reasons = %JsonObjects(self.reasons),
            allowed = %JsonObjects(self.allowed),
            duration_us = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
        );
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    &text[..end.unwrap_or_default()]
}

/// A list of texts, displayed as JSON.
struct JsonList<'a, T>(&'a [T]);

impl<T: AsRef<str>> fmt::Display for JsonList<'_, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_char('[')?;
        for (index, text) in self.0.iter().take(MAX_LIST).enumerate() {
            out.write_str(if index == 0 { "\"" } else { ",\"" })?;
            Escape(out).write_str(cut(text.as_ref()))?;
            out.write_char('"')?;
        }
        out.write_char(']')
    }
}

/// A list of objects, displayed as JSON.
struct JsonObjects<'a>(&'a [Members<'a>]);

impl fmt::Display for JsonObjects<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_char('[')?;
        for (index, members) in self.0.iter().take(MAX_LIST).enumerate() {
            out.write_str(if index == 0 { "{" } else { ",{" })?;
            for (position, (name, text)) in members.iter().enumerate() {
                write!(out, "{}\"{name}\":\"", if position == 0 { "" } else { "," })?;
                Escape(out).write_str(cut(text))?;
                out.write_char('"')?;
            }
            out.write_char('}')?;
        }
        out.write_char(']')
    }
}

/// Labels of `refgate_reviews_total`. Every value comes from a closed set: what whoever asks makes up is `other`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReviewLabels {
    /// `mutate` or `validate`.
    pub endpoint: &'static str,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT` or `other`.
    pub operation: &'static str,
    /// A kind that has rules, or `other`.
    pub kind: Cow<'static, str>,
    /// `allow`, `deny`, `unavailable`, `invalid`, `overload`, `timeout` or `panic`.
    pub outcome: &'static str,
}

/// Labels of `refgate_findings_total`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FindingLabels {
    /// Id of the rule.
    pub rule: &'static str,
    /// The way it counted: `enforce`, `warn` or `audit`.
    pub mode: &'static str,
}

/// Labels of `refgate_carriers_outside` and `refgate_carriers_unread`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CarrierLabels {
    /// Id of the carrier.
    pub carrier: &'static str,
    /// Kind of its objects.
    pub kind: &'static str,
}

/// Everything that is measured.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// `refgate_reviews_total`.
    pub reviews: Family<ReviewLabels, Counter>,
    /// `refgate_review_duration_seconds`.
    pub duration: Histogram,
    /// `refgate_findings_total`.
    pub findings: Family<FindingLabels, Counter>,
    /// `refgate_carriers_outside`: objects of other sync systems that are there and would be refused if they were made now.
    pub carriers_outside: Family<CarrierLabels, Gauge>,
    /// `refgate_carriers_unread`: whether the API server says no to who reads them.
    pub carriers_unread: Family<CarrierLabels, Gauge>,
    /// `refgate_panics_total`.
    pub panics: Counter,
    /// `refgate_snapshot_age_seconds`: since the last sign of life of the quietest watch.
    pub snapshot_age: Gauge<f64, AtomicU64>,
    /// `refgate_config_reload_success`: whether the configuration that is in the file is the one that holds.
    pub config_reload_success: Gauge,
    /// `refgate_certificate_reload_success`: the same for the certificate.
    pub certificate_reload_success: Gauge,
    /// `refgate_certificate_expiry_timestamp_seconds` of the certificate that is served.
    pub certificate_expiry: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            reviews: Family::default(),
            duration: Histogram::new(exponential_buckets(16e-6, 2.0, 18)),
            findings: Family::default(),
            carriers_outside: Family::default(),
            carriers_unread: Family::default(),
            panics: Counter::default(),
            snapshot_age: Gauge::default(),
            config_reload_success: Gauge::default(),
            certificate_reload_success: Gauge::default(),
            certificate_expiry: Gauge::default(),
        };
        metrics.config_reload_success.set(1);
        metrics.certificate_reload_success.set(1);
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register("refgate_reviews", "Reviews answered", self.reviews.clone());
        let help = "Time from the first byte of a review to its answer";
        registry.register("refgate_review_duration_seconds", help, self.duration.clone());
        registry.register("refgate_findings", "Findings, by the way they counted", self.findings.clone());
        let help = "Objects of other sync systems that are there and would be refused now";
        registry.register("refgate_carriers_outside", help, self.carriers_outside.clone());
        let help = "Whether objects of another sync system cannot be read";
        registry.register("refgate_carriers_unread", help, self.carriers_unread.clone());
        registry.register("refgate_panics", "Panics while judging", self.panics.clone());
        let help = "Time since the last sign of life of the quietest watch";
        registry.register("refgate_snapshot_age_seconds", help, self.snapshot_age.clone());
        let help = "Whether the last configuration read is the one that holds";
        registry.register("refgate_config_reload_success", help, self.config_reload_success.clone());
        let help = "Whether the last certificate read is the one that is served";
        registry.register(
            "refgate_certificate_reload_success",
            help,
            self.certificate_reload_success.clone(),
        );
        let help = "When the certificate that is served ends, in seconds since 1970";
        registry.register(
            "refgate_certificate_expiry_timestamp_seconds",
            help,
            self.certificate_expiry.clone(),
        );
        self
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
