//! The writes: only ever on Secrets that are ours, by their uid, and on the catalogue. Nothing is written without the lease.
//!
//! What the API server says when it refuses is repeated as far as `refusal` lets it.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use kube::core::Request;
use kube::core::params::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::lease::Leader;
use super::plan::{self, Content, Event, Write};
use super::secret::{Claim, Desired, Held, MANAGED_BY, SOURCE, claim, values};
use crate::telemetry::sync::{SyncMetrics, WriteLabels};
use crate::world::{CATALOGUE_LABEL, CATALOGUE_PREFIX};

mod error;
mod events;
mod refusal;

pub use error::{ApplyError, Obstacle};
pub use events::REPLACED;
pub use refusal::Refusal;

/// Field manager of all that the sync writes.
pub const FIELD_MANAGER: &str = "refgate-sync";

/// Whether writes are done or only told.
#[derive(Clone)]
pub enum Mode {
    /// Done, while this replica has the lease.
    Live(Leader),
    /// Told: what would be done, a line each.
    Dry(Arc<Mutex<Vec<String>>>),
}

/// Whose a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Nobody has it.
    Free,
    /// A Secret of the sync.
    Ours,
    /// Somebody else's Secret.
    Theirs,
}

/// The one who writes.
pub struct Writer {
    client: Client,
    own_namespace: String,
    mode: Mode,
    metrics: Arc<SyncMetrics>,
    /// How long one write may take.
    patience: Duration,
    /// Events that were sent already.
    said: Mutex<HashSet<(String, Event)>>,
    /// Namespaces that have not answered in time since [`Writer::begin`].
    late: Mutex<BTreeSet<String>>,
}

type Prepared = Result<hyper::Request<Vec<u8>>, kube::core::request::Error>;

impl Writer {
    /// Writes in `mode`.
    pub fn new(
        client: Client,
        own_namespace: &str,
        mode: Mode,
        metrics: Arc<SyncMetrics>,
        patience: Duration,
    ) -> Self {
        let own_namespace = own_namespace.to_owned();
        Self {
            client,
            own_namespace,
            mode,
            metrics,
            patience,
            said: Mutex::default(),
            late: Mutex::default(),
        }
    }

    /// Whether writes may go on.
    pub fn may_write(&self) -> bool {
        match &self.mode {
            Mode::Live(leader) => leader.may_write(),
            Mode::Dry(_) => true,
        }
    }

    /// The time, by the clock of the API server where it is known.
    pub fn now(&self) -> Timestamp {
        match &self.mode {
            Mode::Live(leader) => leader.now(),
            Mode::Dry(_) => Timestamp::now(),
        }
    }

    /// Which term of the lease this is.
    pub fn term(&self) -> u64 {
        match &self.mode {
            Mode::Live(leader) => leader.term(),
            Mode::Dry(_) => 0,
        }
    }

    /// A pass begins: who was late in the last one is asked again.
    pub fn begin(&self) {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Writes a value; gives the Secret as it is now, `None` where it is only told.
    pub async fn write(
        &self,
        namespace: &str,
        write: &Write,
        held: Option<&Held>,
        desired: &Desired,
    ) -> Result<Option<Held>, ApplyError> {
        let what = match write {
            Write::Create => "create",
            Write::Update(_) => "update",
            Write::Replace(_) => "replace",
        };
        let title = || format!("{what} Secret {namespace}/{} for {}", plan::name(desired), desired.path);
        if self.tells(title) {
            return Ok(None);
        }
        // A pass may have begun long ago; pods that started since then have the old value.
        let changed = plan::changed(held, desired, self.now());
        let result = match write {
            Write::Create => self.create(namespace, desired, changed).await,
            Write::Update(uid) => self.update(namespace, uid, desired, changed).await,
            Write::Replace(uid) => self.replace(namespace, uid, desired, changed).await,
        };
        let result = self.explained(namespace, &plan::name(desired), Some(desired), result).await;
        self.count(what, &result);
        result.map(Some)
    }

    async fn post(
        &self,
        namespace: &str,
        desired: &Desired,
        changed: Timestamp,
        dry_run: bool,
    ) -> Result<Zeroizing<String>, ApplyError> {
        let params = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let body = desired.body(namespace, None, changed);
        self.send_in(namespace, Request::new(secrets(namespace)).create(&params, body)).await
    }

    async fn create(
        &self,
        namespace: &str,
        desired: &Desired,
        changed: Timestamp,
    ) -> Result<Held, ApplyError> {
        match self.post(namespace, desired, changed, false).await {
            // Another leader may have made it, or we did, and were not told.
            Err(ApplyError::Taken) => match self.whose(namespace, &plan::name(desired)).await? {
                Whose::Theirs => Err(ApplyError::Taken),
                Whose::Free | Whose::Ours => Err(ApplyError::Conflict),
            },
            answer => read(&answer?),
        }
    }

    /// Nothing is deleted before it is known that what takes its place is let in: the name must be all that is in its way.
    async fn replace(
        &self,
        namespace: &str,
        uid: &str,
        desired: &Desired,
        changed: Timestamp,
    ) -> Result<Held, ApplyError> {
        match self.post(namespace, desired, changed, true).await {
            Ok(_) | Err(ApplyError::Taken) => {}
            Err(error) => return Err(error),
        }
        match self.delete_secret(namespace, &plan::name(desired), uid).await {
            // It may be gone though nobody said so, and then this is the last chance to have it back soon.
            Err(error) if error.obstacle() == Some(Obstacle::Error) => {
                self.forgive(namespace);
                match self.create(namespace, desired, changed).await {
                    // It is still there, so that is what is wrong.
                    Err(ApplyError::Conflict) => Err(error),
                    created => created,
                }
            }
            deleted => {
                deleted?;
                self.create(namespace, desired, changed).await
            }
        }
    }

    /// What others have added to the data is taken out after it: a server-side apply leaves to others what is theirs, and a
    /// key that the POST of the first write made is not the apply's.
    async fn update(
        &self,
        namespace: &str,
        uid: &str,
        desired: &Desired,
        changed: Timestamp,
    ) -> Result<Held, ApplyError> {
        let text = String::from_utf8(desired.body(namespace, Some(uid), changed));
        let body = text.ok().and_then(|text| RawValue::from_string(text).ok());
        let body = body.ok_or_else(|| ApplyError::Failed("nothing: the Secret is no JSON".to_owned()))?;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let name = plan::name(desired);
        let request = Request::new(secrets(namespace)).patch(&name, &params, &Patch::Apply(body));
        let held = read(&self.send_in(namespace, request).await?)?;
        let extra: Vec<&String> = held.keys.iter().filter(|key| !desired.shape.keys.contains(key)).collect();
        let stale_mark = held.mark.is_some();
        if extra.is_empty() && !stale_mark {
            return Ok(held);
        }
        let data: serde_json::Map<String, Value> =
            extra.into_iter().map(|key| (key.clone(), Value::Null)).collect();
        let patch = json!({"metadata": {"uid": uid, "annotations": {SOURCE: null}}, "data": data});
        read(&self.merge(namespace, &name, &patch).await?)
    }

    /// Says on a Secret why its data is no longer followed, or that it is again.
    pub async fn mark(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        mark: Option<&str>,
    ) -> Result<(), ApplyError> {
        if self.tells(|| format!("mark Secret {namespace}/{name} as {}", mark.unwrap_or("followed again"))) {
            return Ok(());
        }
        let patch = json!({"metadata": {"uid": uid, "annotations": {SOURCE: mark}}});
        let result = self.merge(namespace, name, &patch).await.map(drop);
        let result = self.explained(namespace, name, None, result).await;
        self.count("mark", &result);
        result
    }

    async fn merge(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
    ) -> Result<Zeroizing<String>, ApplyError> {
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let request = Request::new(secrets(namespace)).patch(name, &params, &Patch::Merge(patch));
        self.send_in(namespace, request).await
    }

    /// Deletes the Secret of this uid and no other.
    pub async fn delete(&self, namespace: &str, name: &str, uid: &str) -> Result<(), ApplyError> {
        if self.tells(|| format!("delete Secret {namespace}/{name}")) {
            return Ok(());
        }
        let result = self.delete_secret(namespace, name, uid).await;
        let result = self.explained(namespace, name, None, result).await;
        self.count("delete", &result);
        result
    }

    async fn delete_secret(&self, namespace: &str, name: &str, uid: &str) -> Result<(), ApplyError> {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.send_in(namespace, Request::new(secrets(namespace)).delete(name, &params)).await {
            // Somebody else was faster.
            Err(error) if error.is_absent() => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// Whose a name is, by what is said of it: values are not read.
    pub async fn whose(&self, namespace: &str, name: &str) -> Result<Whose, ApplyError> {
        let request = Request::new(secrets(namespace)).get_metadata(name, &GetParams::default());
        match self.send_in(namespace, request).await {
            Ok(text) => Ok(if is_ours(&text) { Whose::Ours } else { Whose::Theirs }),
            Err(error) if error.is_absent() => Ok(Whose::Free),
            Err(error) => Err(error),
        }
    }

    /// Writes the catalogue of a namespace, or takes it away.
    pub async fn catalogue(&self, namespace: &str, content: Option<&Content>) -> Result<(), ApplyError> {
        let name = format!("{CATALOGUE_PREFIX}{namespace}");
        let verb = if content.is_some() { "write" } else { "delete" };
        if self.tells(|| format!("{verb} ConfigMap {}/{name}", self.own_namespace)) {
            return Ok(());
        }
        let request = Request::new(format!("/api/v1/namespaces/{}/configmaps", self.own_namespace));
        let request = match content {
            Some(Content { catalogue, known, leaving, unread, unlisted, refused }) => {
                let mut map = json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": name, "namespace": self.own_namespace, "labels": {CATALOGUE_LABEL: "true"}},
                    "data": {"catalogue": catalogue, "known": known, "leaving": leaving},
                });
                for (key, text) in [("unread", unread), ("unlisted", unlisted), ("refused", refused)] {
                    if !text.is_empty() {
                        map["data"][key] = text.as_str().into();
                    }
                }
                request.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(map))
            }
            None => request.delete(&name, &DeleteParams::default()),
        };
        let result = self.send(request).await.map(drop).map_err(ApplyError::of_no_value);
        self.count("catalogue", &result);
        result
    }

    /// Evicts the pod of this uid and no other; says whether it was still there.
    pub async fn evict(&self, namespace: &str, name: &str, uid: &str) -> Result<bool, ApplyError> {
        if self.tells(|| format!("evict Pod {namespace}/{name}")) {
            return Ok(true);
        }
        let body = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        });
        let request = Request::new(format!("/api/v1/namespaces/{namespace}/pods"));
        let params = PostParams::default();
        let request = request.create_subresource("eviction", name, &params, body.to_string().into_bytes());
        let result = match self.send_in(namespace, request).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_absent() => Ok(false),
            // The name is another pod's by now.
            Err(ApplyError::Conflict) => Ok(false),
            Err(error) => Err(error.of_no_value()),
        };
        self.count("evict", &result);
        result
    }

    /// With the API server's words on a Secret, as far as they hold no value. A webhook sees what is there too, and may quote it.
    async fn explained<T>(
        &self,
        namespace: &str,
        name: &str,
        desired: Option<&Desired>,
        result: Result<T, ApplyError>,
    ) -> Result<T, ApplyError> {
        let refusal = match result {
            Err(ApplyError::Refused(refusal)) => *refusal,
            other => return other,
        };
        let there =
            self.send_in(namespace, Request::new(secrets(namespace)).get(name, &GetParams::default()));
        let there = match there.await {
            Ok(text) => values(&text),
            Err(error) if error.is_absent() => Some(Vec::new()),
            Err(_) => None,
        };
        let Some(there) = there else { return Err(ApplyError::Refused(Box::new(refusal))) };
        let path = desired.map_or("", |desired| &desired.path);
        let keys = desired.iter().flat_map(|desired| &desired.shape.keys).map(String::as_str);
        let public: Vec<&str> =
            [namespace, name, path, &self.own_namespace].into_iter().chain(keys).collect();
        let sent = desired.iter().flat_map(|desired| desired.values());
        let values = sent.chain(there.iter().map(|value| value.as_slice()));
        Err(ApplyError::Refused(Box::new(refusal.of_values(&public, values))))
    }

    fn tells(&self, line: impl FnOnce() -> String) -> bool {
        let Mode::Dry(lines) = &self.mode else { return false };
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line());
        true
    }

    fn count<T>(&self, what: &'static str, result: &Result<T, ApplyError>) {
        let outcome = result.as_ref().err().map_or("ok", ApplyError::outcome);
        self.metrics.writes.get_or_create(&WriteLabels { what, outcome }).inc();
    }

    fn forgive(&self, namespace: &str) {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
    }

    /// To a namespace. One that is late is not waited for again: a webhook that lets the writes of one namespace wait would
    /// hold up all others.
    async fn send_in(&self, namespace: &str, request: Prepared) -> Result<Zeroizing<String>, ApplyError> {
        let late = || self.late.lock().unwrap_or_else(PoisonError::into_inner);
        if late().contains(namespace) {
            return Err(ApplyError::Late);
        }
        let result = self.send(request).await;
        if result == Err(ApplyError::Late) {
            late().insert(namespace.to_owned());
        }
        result
    }

    /// The one way out. The answer may hold values.
    async fn send(&self, request: Prepared) -> Result<Zeroizing<String>, ApplyError> {
        let request =
            request.map_err(|_| ApplyError::Failed("nothing: the request cannot be made".to_owned()))?;
        if !self.may_write() {
            return Err(ApplyError::NotLeader);
        }
        match tokio::time::timeout(self.patience, self.client.request_text(request)).await {
            Ok(Ok(text)) => Ok(Zeroizing::new(text)),
            Ok(Err(kube::Error::Api(status))) => Err(match status.code {
                409 if status.reason == "AlreadyExists" => ApplyError::Taken,
                // A quota that others change at the same time says so too.
                409 => ApplyError::Conflict,
                403 if has_cause(&status, "NamespaceTerminating") => ApplyError::Terminating,
                // A PodDisruptionBudget, and not an API server that is asked too much.
                429 if has_cause(&status, "DisruptionBudget") => ApplyError::Budget,
                _ => ApplyError::Refused(Box::new(Refusal::new(*status))),
            }),
            Ok(Err(_)) => Err(ApplyError::Failed("nothing: it cannot be reached".to_owned())),
            Err(_) => Err(ApplyError::Late),
        }
    }
}

fn has_cause(status: &kube::core::Status, reason: &str) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    causes.any(|cause| cause.reason == reason)
}

fn secrets(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets")
}

/// As the list of what is held takes it: by label, path and name.
fn is_ours(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Named {
        metadata: ObjectMeta,
    }
    let Ok(Named { metadata }) = serde_json::from_str(text) else { return false };
    let (label, value) = MANAGED_BY;
    let is_labelled = metadata.labels.is_some_and(|labels| labels.get(label).is_some_and(|own| own == value));
    is_labelled && matches!(claim(text), Some(Claim::Ours(_)))
}

fn read(answer: &str) -> Result<Held, ApplyError> {
    match claim(answer) {
        Some(Claim::Ours(held)) => Ok(*held),
        Some(Claim::Forged(_)) | None => Err(ApplyError::Failed("something that is no Secret".to_owned())),
    }
}
