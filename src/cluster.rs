//! The cluster: a client, and a watch that reports only complete lists and skips one bad object. Lists page by page are
//! in `list`.
//!
//! kube's own watcher hides bookmarks, by which a quiet watch is told from a dead one, fails a whole page for one bad
//! object, and tries for ever to resume from a version that the server answers with 410; so the loop is ours, on kube's client.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{AsyncBufRead, AsyncBufReadExt as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::params::WatchParams;
use kube::{Client, Config};
use serde::Deserialize;
use serde_json::value::RawValue;

use list::{ListError, Pages};

pub mod list;

/// Longest event: etcd's objects are a tenth of it.
const MAX_LINE: usize = 16 << 20;
/// Failures without an event between them after which a watch is not resumed but started anew with a list.
const RESUMES: u32 = 5;

/// Why there is no talking to the cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig")]
    Kubeconfig(#[source] kube::config::KubeconfigError),
    /// Neither inside a cluster nor with a kubeconfig.
    #[error("cannot find a cluster: no service account of a pod, no kubeconfig")]
    Nowhere(#[source] kube::config::InferConfigError),
    /// The client cannot be made.
    #[error("cannot make a client of the cluster")]
    Client(#[source] kube::Error),
}

/// A client by a kubeconfig or a context of the usual one, or by the service account of the pod that this is.
pub async fn client(kubeconfig: Option<PathBuf>, context: Option<String>) -> Result<Client, ClusterError> {
    let in_pod = || Config::incluster_env().ok().filter(|_| context.is_none());
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let config = match (kubeconfig, in_pod()) {
        (Some(path), _) => {
            let read = Kubeconfig::read_from(path).map_err(ClusterError::Kubeconfig)?;
            Config::from_custom_kubeconfig(read, &options).await.map_err(ClusterError::Kubeconfig)?
        }
        (None, Some(config)) => config,
        (None, None) if context.is_some() => {
            Config::from_kubeconfig(&options).await.map_err(ClusterError::Kubeconfig)?
        }
        (None, None) => Config::infer().await.map_err(ClusterError::Nowhere)?,
    };
    connect(config)
}

/// A client that tries nothing twice. kube's own retries of 429, 503 and 504 say nothing, and their waits double to minutes:
/// after an outage the watch would sleep on. How long to wait is the business of [`Pace`].
pub fn connect(mut config: Config) -> Result<Client, ClusterError> {
    config.default_retry = false;
    Client::try_from(config).map_err(ClusterError::Client)
}

/// What is watched.
#[derive(Debug, Clone)]
pub struct Source {
    /// URL path of the resource: `/api/v1/namespaces`.
    pub path: String,
    /// Label selector.
    pub labels: Option<String>,
}

/// How fast failures are tried again.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Wait after the first failure; each further one doubles it.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
    /// Silence after which a connection counts as dead; the server ends a watch before that.
    pub silence: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            silence: Duration::from_secs(310),
        }
    }
}

/// What a watch reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<T> {
    /// The whole list, complete.
    Restart(Vec<T>),
    /// An object came or changed.
    Apply(T),
    /// The object is gone.
    Delete {
        /// Its namespace; empty for a cluster-scoped object.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Nothing happened, and the watch is alive: a bookmark.
    Alive,
}

/// Why there is nothing to watch, for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Barred {
    /// The cluster has no such resource.
    Missing,
    /// A right is missing; the API server's sentence names it.
    Forbidden(String),
    /// The API server says no for another reason: the webhook that converts versions is away, or it is overloaded.
    Refused(String),
}

/// A watch that goes on for ever.
pub struct Watcher<D> {
    fetch: Fetch<D>,
    state: State,
    /// Failures since the last event.
    failures: u32,
}

/// What requests are made of.
struct Fetch<D> {
    client: Client,
    source: Source,
    pace: Pace,
    decode: D,
}

enum State {
    List,
    Resume { version: String },
    Stream { version: String, lines: Pin<Box<dyn AsyncBufRead + Send>> },
}

/// Why a step failed.
enum Failure {
    /// The version is too old: only a new list helps.
    Gone,
    /// The stream ended, as it does every few minutes.
    End,
    /// There is no such resource.
    Missing,
    /// A right is missing.
    Forbidden(String),
    /// The API server says no.
    Refused(String),
    Error(String),
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 410 => Self::Gone,
            kube::Error::Api(status) if status.code == 404 => Self::Missing,
            kube::Error::Api(status) if status.code == 403 => Self::Forbidden(status.message.clone()),
            kube::Error::Api(_) => Self::Refused(chain(&error)),
            _ => Self::Error(chain(&error)),
        }
    }
}

impl From<ListError> for Failure {
    fn from(error: ListError) -> Self {
        match error {
            // Pages of different moments make no list that a watch can start from.
            ListError::Expired { .. } => Self::Gone,
            ListError::NotThere => Self::Missing,
            ListError::Forbidden(message) => Self::Forbidden(message),
            ListError::Refused(message) => Self::Refused(message),
            ListError::Failed(message) => Self::Error(message),
        }
    }
}

/// An error with its causes, each of them once: some say what their own causes are.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Head {
    metadata: HeadMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadMetadata {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    resource_version: String,
}

#[derive(Deserialize)]
struct StatusHead {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

impl<T, D: Fn(&RawValue) -> Option<T>> Watcher<D> {
    /// Watches `source`. `decode` reads one object; what it returns `None` for is skipped, and saying so is its business.
    pub fn new(client: Client, source: Source, pace: Pace, decode: D) -> Self {
        Self { fetch: Fetch { client, source, pace, decode }, state: State::List, failures: 0 }
    }

    /// The next event. Failures are waited out in here; the list that follows a long one makes up for what was missed.
    pub async fn next(&mut self) -> Event<T> {
        loop {
            match self.next_if_allowed().await {
                Ok(event) => return event,
                Err(barred) => _ = self.wait(barred).await,
            }
        }
    }

    /// Waits as after any other failure, and says how many there were since the last event.
    pub async fn wait(&mut self, barred: Barred) -> u32 {
        self.recover(match barred {
            Barred::Missing => Failure::Missing,
            Barred::Forbidden(message) => Failure::Forbidden(message),
            Barred::Refused(message) => Failure::Refused(message),
        })
        .await;
        self.failures
    }

    /// The same, or why there is none. When to ask again is then the caller's business.
    pub async fn next_if_allowed(&mut self) -> Result<Event<T>, Barred> {
        loop {
            match self.step().await {
                Ok(Some(event)) => {
                    if !matches!(event, Event::Restart(_)) {
                        self.failures = 0;
                    }
                    return Ok(event);
                }
                Ok(None) => {}
                Err(Failure::Missing) => {
                    self.state = State::List;
                    return Err(Barred::Missing);
                }
                Err(Failure::Forbidden(message)) => return Err(Barred::Forbidden(message)),
                Err(Failure::Refused(message)) => return Err(Barred::Refused(message)),
                Err(failure) => self.recover(failure).await,
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Event<T>>, Failure> {
        match &mut self.state {
            State::List => {
                let (list, version) = self.fetch.list().await?;
                self.state = State::Resume { version };
                Ok(Some(Event::Restart(list)))
            }
            State::Resume { version } => {
                let version = std::mem::take(version);
                // The version is kept for the next try before anything can fail.
                self.state = State::Resume { version: version.clone() };
                let lines = self.fetch.connect(&version).await?;
                self.state = State::Stream { version, lines };
                Ok(None)
            }
            State::Stream { version, lines } => {
                let read = tokio::time::timeout(self.fetch.pace.silence, read_line(lines.as_mut())).await;
                let line = read.map_err(|_| Failure::Error("no sign of life".to_owned()))??;
                let event = event(&line, version, &self.fetch.decode)?;
                Ok(event)
            }
        }
    }

    /// Decides where to go on after a failure, and waits as long as it takes.
    async fn recover(&mut self, failure: Failure) {
        let first = self.failures == 0;
        self.failures = self.failures.saturating_add(1);
        let path = &self.fetch.source.path;
        match failure {
            Failure::Gone => {
                tracing::info!(path, "the watch fell too far behind; listing anew");
                self.state = State::List;
                if first {
                    return;
                }
            }
            Failure::End if first => tracing::debug!(path, "the watch ended; resuming it"),
            Failure::End => {}
            Failure::Missing => {
                tracing::warn!(
                    path,
                    failures = self.failures,
                    "the API server does not know what is watched"
                );
            }
            Failure::Error(error) | Failure::Forbidden(error) | Failure::Refused(error) => {
                tracing::warn!(path, error, failures = self.failures, "the watch failed")
            }
        }
        let from_list = self.failures > RESUMES;
        self.state = match std::mem::replace(&mut self.state, State::List) {
            State::Resume { version } | State::Stream { version, .. } if !from_list => {
                State::Resume { version }
            }
            _ => State::List,
        };
        self.fetch.pace.pause(self.failures).await;
    }
}

impl<T, D: Fn(&RawValue) -> Option<T>> Fetch<D> {
    /// A whole list; objects are decoded as they come, so that a page is all that is held twice.
    async fn list(&self) -> Result<(Vec<T>, String), Failure> {
        let mut pages = Pages::new(self.client.clone(), &self.source, self.pace.silence);
        let mut list = Vec::new();
        while pages.next(|object| list.extend((self.decode)(object))).await? {}
        match pages.version() {
            "" => Err(Failure::Error("a list has no resourceVersion".to_owned())),
            version => Ok((list, version.to_owned())),
        }
    }

    async fn connect(&self, version: &str) -> Result<Pin<Box<dyn AsyncBufRead + Send>>, Failure> {
        // Not all at the same moment, when many watches were started at one.
        let seconds = 240 + u32::try_from(random() % 50).unwrap_or_default();
        let labels = self.source.labels.clone();
        let params = WatchParams { label_selector: labels, ..WatchParams::default() }.timeout(seconds);
        let request = kube::core::Request::new(&self.source.path).watch(&params, version);
        let request = request.map_err(|error| Failure::Error(error.to_string()))?;
        let answer = tokio::time::timeout(self.pace.silence, self.client.request_stream(request)).await;
        Ok(Box::pin(answer.map_err(|_| Failure::Error("a watch did not start".to_owned()))??))
    }
}

impl Pace {
    /// Waits as long as it takes after so many failures.
    pub async fn pause(&self, failures: u32) {
        tokio::time::sleep(self.wait(failures)).await;
    }

    /// Doubles with each failure, and is half chance, so that replicas do not come back together.
    fn wait(&self, failures: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let whole = doubled.min(self.longest);
        whole.mul_f64(0.5 + (random() % 1000) as f64 / 2000.0)
    }
}

/// Good enough to spread load; the standard library seeds its hash maps with it.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// One event of the stream. `Ok(None)` is one that says nothing.
fn event<T>(
    line: &[u8],
    version: &mut String,
    decode: &impl Fn(&RawValue) -> Option<T>,
) -> Result<Option<Event<T>>, Failure> {
    let line: Line<'_> = serde_json::from_slice(line)
        .map_err(|error| Failure::Error(format!("an event cannot be read: {error}")))?;
    if line.kind == "ERROR" {
        let status: StatusHead =
            serde_json::from_str(line.object.get()).unwrap_or(StatusHead { code: 0, message: String::new() });
        return Err(match status.code {
            410 => Failure::Gone,
            code => Failure::Refused(format!("the server says {code}: {}", status.message)),
        });
    }
    let Ok(Head { metadata }) = serde_json::from_str::<Head>(line.object.get()) else {
        tracing::warn!("an event without readable metadata was skipped");
        return Ok(None);
    };
    if !metadata.resource_version.is_empty() {
        *version = metadata.resource_version;
    }
    Ok(match &*line.kind {
        "ADDED" | "MODIFIED" => decode(line.object).map(Event::Apply),
        "DELETED" => Some(Event::Delete { namespace: metadata.namespace, name: metadata.name }),
        "BOOKMARK" => Some(Event::Alive),
        _ => None,
    })
}

async fn read_line(mut lines: Pin<&mut (dyn AsyncBufRead + Send)>) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    loop {
        let buffer = lines.fill_buf().await.map_err(|error| Failure::Error(chain(&error)))?;
        if buffer.is_empty() {
            // What came of a line that never ended is lost with it; it comes again when the watch is resumed.
            return Err(Failure::End);
        }
        let (taken, ended) = match memchr::memchr(b'\n', buffer) {
            Some(end) => (end + 1, true),
            None => (buffer.len(), false),
        };
        line.extend_from_slice(&buffer[..taken]);
        lines.as_mut().consume_unpin(taken);
        if ended && line.iter().any(|byte| !byte.is_ascii_whitespace()) {
            return Ok(line);
        }
        if ended {
            line.clear();
        }
        if line.len() > MAX_LINE {
            return Err(Failure::Error("an event is too long".to_owned()));
        }
    }
}
