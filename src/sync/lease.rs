//! Who of several writes: one Lease, held by one of them at a time.
//!
//! A leader that cannot renew stops writing well before its lease ends, so that nobody writes beside the next one. When a
//! lease has ended is told by how long it was seen unchanged here, never by the clock of whoever wrote it.

use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use kube::core::Request;
use kube::core::params::{GetParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{chain, random};

/// Name of the Lease.
pub const NAME: &str = "refgate-sync";

/// How long what lasts. A write takes at most `patience`: what a leader began last is over before its lease is.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How long a lease lasts after it was renewed.
    pub lease: Duration,
    /// How long after that its holder goes on writing.
    pub writing: Duration,
    /// Between two looks at it.
    pub retry: Duration,
    /// How long one request may take.
    pub patience: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { lease: seconds(15), writing: seconds(9), retry: seconds(2), patience: seconds(5) }
    }
}

/// Whether this process writes, for whoever is about to, and what time it is.
#[derive(Debug, Clone)]
pub struct Leader {
    term: watch::Receiver<Term>,
    clock: watch::Receiver<Option<Clock>>,
}

/// The time of the API server, as it was when this process heard of it.
#[derive(Debug, Clone, Copy)]
struct Clock {
    server: Timestamp,
    heard: Instant,
}

/// What an elector says.
#[derive(Debug, Clone, Copy, Default)]
struct Term {
    /// How many times it has taken the lease that it did not have.
    number: u64,
    /// Until when it writes; `None` where it does not have it.
    until: Option<Instant>,
}

impl Term {
    fn lasts(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}

impl Leader {
    /// Whether a write may begin now.
    pub fn may_write(&self) -> bool {
        self.term.borrow().lasts()
    }

    /// Which term this is: another one has led between two of them, and may have written anything.
    pub fn term(&self) -> u64 {
        self.term.borrow().number
    }

    /// The time by the clock of the API server: when pods were made is told by it, and a clock of this node that is wrong or
    /// jumps moves nothing. Before the lease was written for the first time, that of this node.
    pub fn now(&self) -> Timestamp {
        let clock = *self.clock.borrow();
        let now = clock.and_then(|clock| clock.server.checked_add(clock.heard.elapsed()).ok());
        now.unwrap_or_else(Timestamp::now)
    }

    /// Waits until it may.
    pub async fn wait(&mut self) {
        // The elector outlives whoever waits, or the process ends.
        if self.term.wait_for(Term::lasts).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Gets the lease and keeps it.
pub struct Elector {
    client: Client,
    path: String,
    identity: String,
    timing: Timing,
    term: watch::Sender<Term>,
    clock: watch::Sender<Option<Clock>>,
    /// The lease as somebody else has written it, and since when it is known.
    observed: Option<(Value, Instant)>,
}

impl Elector {
    /// In RefGate's own namespace. `name` helps people to see who it is.
    pub fn new(client: Client, own_namespace: &str, name: &str, timing: Timing) -> (Self, Leader) {
        let (term, leads) = watch::channel(Term::default());
        let (clock, tells) = watch::channel(None);
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{own_namespace}/leases");
        // Another process of the same name, or this one after a restart, is somebody else.
        let identity = format!("{name}_{:016x}", random());
        let elector = Self { client, path, identity, timing, term, clock, observed: None };
        (elector, Leader { term: leads, clock: tells })
    }

    /// Tries for ever.
    pub async fn run(&mut self) {
        loop {
            self.step().await;
            tokio::time::sleep(self.timing.retry).await;
        }
    }

    /// Looks at the lease once, and takes or renews it where it can.
    pub async fn step(&mut self) {
        let begun = Instant::now();
        let led = self.term.borrow().until.is_some();
        match tokio::time::timeout(self.timing.patience, self.try_once()).await {
            Ok(Ok(Some(taken))) => {
                self.term.send_modify(|term| {
                    term.number += u64::from(taken);
                    term.until = Some(begun + self.timing.writing);
                });
                if !led {
                    tracing::info!(identity = self.identity, "this replica writes from now on");
                }
            }
            Ok(Ok(None)) => {
                self.term.send_modify(|term| term.until = None);
                if led {
                    tracing::warn!("another replica has the lease");
                }
            }
            // What was promised ends by itself.
            Ok(Err(error)) => tracing::warn!(error, "the lease cannot be read or renewed"),
            Err(_) => tracing::warn!("the lease cannot be read or renewed in time"),
        }
    }

    /// Whether it has the lease now, and if so, whether it took it just now.
    async fn try_once(&mut self) -> Result<Option<bool>, String> {
        let request = Request::new(&self.path).get(NAME, &GetParams::default());
        let lease = match self.send(request).await {
            Ok(lease) => lease,
            Err(Failure::Status(404)) => return self.put(None).await,
            Err(failure) => return Err(failure.text()),
        };
        let holder = lease.pointer("/spec/holderIdentity").and_then(Value::as_str).unwrap_or_default();
        if holder == self.identity || holder.is_empty() || self.has_ended(&lease) {
            return self.put(Some(lease)).await;
        }
        Ok(None)
    }

    /// Whether somebody else's lease was seen unchanged for as long as it lasts.
    fn has_ended(&mut self, lease: &Value) -> bool {
        let spec = lease.get("spec").cloned().unwrap_or_default();
        let seconds = spec.get("leaseDurationSeconds").and_then(Value::as_u64);
        let lasts = seconds.map_or(self.timing.lease, Duration::from_secs);
        match &self.observed {
            Some((known, since)) if *known == spec => since.elapsed() >= lasts,
            _ => {
                self.observed = Some((spec, Instant::now()));
                false
            }
        }
    }

    /// Writes the lease in our name, over what was read, unless somebody was faster.
    async fn put(&self, lease: Option<Value>) -> Result<Option<bool>, String> {
        let now = micro_time();
        let is_new = lease.is_none();
        let mut lease = lease.unwrap_or_else(
            || json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}}),
        );
        let old = lease.get("spec").cloned().unwrap_or_default();
        let is_mine = old.get("holderIdentity").and_then(Value::as_str) == Some(&self.identity);
        let transitions = old.get("leaseTransitions").and_then(Value::as_u64).unwrap_or_default();
        let acquired =
            old.get("acquireTime").filter(|_| is_mine).cloned().unwrap_or_else(|| now.clone().into());
        lease["spec"] = json!({
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self.timing.lease.as_secs().max(1),
            "acquireTime": acquired,
            "renewTime": now,
            "leaseTransitions": if is_mine || is_new { transitions } else { transitions + 1 },
        });
        Ok(self.write(is_new, &lease).await?.then_some(!is_mine))
    }

    async fn write(&self, is_new: bool, lease: &Value) -> Result<bool, String> {
        let body = lease.to_string().into_bytes();
        let request = match is_new {
            true => Request::new(&self.path).create(&PostParams::default(), body),
            false => Request::new(&self.path).replace(NAME, &PostParams::default(), body),
        };
        let sent = Instant::now();
        match self.send(request).await {
            Ok(written) => {
                self.hear(&written, sent);
                Ok(true)
            }
            Err(Failure::Status(409)) => Ok(false),
            Err(failure) => Err(failure.text()),
        }
    }

    /// The API server notes beside each write when it was, in whole seconds, cut off. What is changed from now on must not
    /// seem to have changed before a pod that is there already, so the second counts as over, and the answer for no time.
    fn hear(&self, written: &Value, sent: Instant) {
        let managers = written.pointer("/metadata/managedFields").and_then(Value::as_array);
        let times = managers.into_iter().flatten();
        let times = times.filter_map(|manager| manager["time"].as_str()?.parse::<Timestamp>().ok());
        if let Some(server) = times.max().and_then(|time| time.checked_add(Duration::from_secs(1)).ok()) {
            self.clock.send_replace(Some(Clock { server, heard: sent }));
        }
    }

    /// Gives the lease up, so that the next one need not wait for its end. Nothing may be written any more.
    pub async fn release(&mut self) {
        let led = self.term.borrow().until.is_some();
        self.term.send_modify(|term| term.until = None);
        if !led {
            return;
        }
        let release = async {
            let request = Request::new(&self.path).get(NAME, &GetParams::default());
            let mut lease = self.send(request).await.map_err(|failure| failure.text())?;
            if lease["spec"]["holderIdentity"] == self.identity {
                lease["spec"]["holderIdentity"] = "".into();
                self.write(false, &lease).await?;
            }
            Ok::<(), String>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(self.timing.patience, release).await {
            tracing::warn!(error, "the lease could not be given up; it ends by itself");
        }
    }

    async fn send(
        &self,
        request: Result<hyper::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, Failure> {
        let request = request.map_err(|error| Failure::Other(error.to_string()))?;
        let text = self.client.request_text(request).await.map_err(|error| match error {
            kube::Error::Api(status) => Failure::Status(status.code),
            error => Failure::Other(chain(&error)),
        })?;
        serde_json::from_str(&text).map_err(|_| Failure::Other("the answer is no JSON".to_owned()))
    }
}

enum Failure {
    Status(u16),
    Other(String),
}

impl Failure {
    fn text(self) -> String {
        match self {
            Self::Status(code) => format!("the API server says {code}"),
            Self::Other(text) => text,
        }
    }
}

/// As Kubernetes wants it: six digits behind the second, no more and no fewer.
fn micro_time() -> String {
    format!("{:.6}", Timestamp::now())
}
