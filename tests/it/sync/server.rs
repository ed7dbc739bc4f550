//! An API server in this process: it keeps what is written, watches included, and refuses what the real one refuses. Its
//! clock is the runtime's, so an hour passes at once, and it may jump. A test may put faults in its way.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::objects::{self, Refusal};

/// When a test begins.
const BEGIN: &str = "2026-11-22T12:00:00Z";
/// Between two bookmarks of a watch.
const BOOKMARK: Duration = Duration::from_secs(60);

/// One request that is not a watch.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whose client.
    pub who: &'static str,
    /// `list`, `get`, `create`, `update`, `apply`, `merge`, `delete` or `evict`.
    pub verb: &'static str,
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub dry_run: bool,
    pub body: String,
    /// What came of it. A fault's answer is that of the fault.
    pub code: u16,
    /// Whether something changed.
    pub done: bool,
    pub at: Instant,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Refused with this code and reason, and a message that quotes all that was sent.
    Refuse(u16, &'static str),
    /// Refused since the namespace is being deleted.
    Terminating,
    /// Refused with this code, in these words.
    Say(u16, &'static str),
    /// Refused with this code, a reason that quotes all that was sent, and a message that quotes what is there besides.
    Quote(u16),
    /// Nothing is done, and nothing is answered.
    Hang,
    /// It is done, and nothing is answered.
    Lose,
    /// It is done, and half of the answer comes.
    Half,
    /// It is done after so long, unless the client has gone by then.
    Slow(Duration),
}

/// Says what goes wrong with a call, if anything.
type Faults = Box<dyn FnMut(&Call) -> Option<Fault> + Send>;

/// Of an object: its resource (`/api/v1/secrets`), namespace and name.
type Key = (String, String, String);

struct Kept {
    objects: BTreeMap<Key, Value>,
    /// What a field manager applied last.
    applied: HashMap<Key, Value>,
    /// What happened, for watches: version, resource, event.
    history: Vec<(u64, String, Value)>,
    calls: Vec<Call>,
    faults: Faults,
    /// A resource whose watches say nothing.
    silent: Option<&'static str>,
    version: u64,
    begun: Instant,
    /// By how much the clock is wrong.
    skew: SignedDuration,
}

#[derive(Clone)]
pub struct Server {
    kept: Arc<Mutex<Kept>>,
    version: watch::Sender<u64>,
}

struct Target {
    resource: String,
    namespace: String,
    /// Empty for a collection.
    name: String,
}

impl Server {
    pub fn new() -> Self {
        let kept = Kept {
            objects: BTreeMap::new(),
            applied: HashMap::new(),
            history: Vec::new(),
            calls: Vec::new(),
            faults: Box::new(|_| None),
            silent: None,
            version: 1,
            begun: Instant::now(),
            skew: SignedDuration::ZERO,
        };
        Self { kept: Arc::new(Mutex::new(kept)), version: watch::Sender::new(1) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// A client whose calls carry a name.
    pub fn client(&self, who: &'static str) -> kube::Client {
        let server = self.clone();
        let answer = move |request: Request<Body>| {
            let server = server.clone();
            async move { server.answer(who, request).await }
        };
        kube::Client::new(Router::new().fallback(answer), "default")
    }

    /// From now on calls meet these.
    pub fn meet(&self, faults: impl FnMut(&Call) -> Option<Fault> + Send + 'static) {
        self.kept().faults = Box::new(faults);
    }

    /// From now on the watches of one resource say nothing, as behind a network that drops what it is given.
    pub fn silence(&self, resource: Option<&'static str>) {
        self.kept().silent = resource;
        self.version.send_modify(|_| {});
    }

    /// The time, by the clock of this server.
    pub fn now(&self) -> Timestamp {
        self.kept().now()
    }

    /// From now on the clock is wrong by so much.
    pub fn skew(&self, skew: SignedDuration) {
        self.kept().skew = skew;
    }

    /// Somebody who may do everything puts an object there, as a whole.
    pub fn put(&self, resource: &str, namespace: &str, name: &str, object: Value) {
        let mut kept = self.kept();
        let key = (resource.to_owned(), namespace.to_owned(), name.to_owned());
        let old = kept.objects.get(&key).cloned();
        kept.store(&key, old.as_ref(), object);
        self.version.send_replace(kept.version);
    }

    /// The same person takes it away.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        let mut kept = self.kept();
        kept.take(&(resource.to_owned(), namespace.to_owned(), name.to_owned()));
        self.version.send_replace(kept.version);
    }

    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.kept().objects.get(&(resource.to_owned(), namespace.to_owned(), name.to_owned())).cloned()
    }

    pub fn all(&self, resource: &str) -> Vec<Value> {
        let kept = self.kept();
        let found = kept.objects.iter().filter(|((of, _, _), _)| of == resource);
        found.map(|(_, object)| object.clone()).collect()
    }

    /// All calls since the last time that this was asked.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.kept().calls)
    }

    async fn answer(self, who: &'static str, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let target = target(head.uri.path());
        let says = |part: &str| query.split('&').any(|pair| pair == part);
        if says("watch=true") {
            return Ok(Response::new(self.watch(target.resource, &query)));
        }
        let content = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let verb = match (head.method, content.unwrap_or_default()) {
            (Method::GET, _) if target.name.is_empty() => "list",
            (Method::GET, _) => "get",
            (Method::POST, _) if head.uri.path().ends_with("/eviction") => "evict",
            (Method::POST, _) => "create",
            (Method::PUT, _) => "update",
            (Method::PATCH, "application/apply-patch+yaml") => "apply",
            (Method::PATCH, _) => "merge",
            (method, _) => {
                if method == Method::DELETE {
                    "delete"
                } else {
                    "unknown"
                }
            }
        };
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let mut call = Call {
            who,
            verb,
            resource: target.resource.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone(),
            dry_run: query.contains("dryRun=All"),
            body: String::from_utf8(body.to_vec()).unwrap(),
            code: 0,
            done: false,
            at: Instant::now(),
        };
        if call.name.is_empty() && verb == "create" {
            let sent: Value = serde_json::from_str(&call.body).unwrap();
            call.name = sent["metadata"]["name"].as_str().unwrap().to_owned();
        }
        let accept = head.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let names_only = accept.is_some_and(|accept| accept.contains("PartialObjectMetadata"));
        self.act(call, &query, names_only).await
    }

    async fn act(self, mut call: Call, query: &str, names_only: bool) -> Result<Response<Body>, Infallible> {
        let fault = (self.kept().faults)(&call);
        if let Some(Fault::Slow(time)) = fault {
            tokio::time::sleep(time).await;
        }
        let (code, mut answer) = {
            let mut kept = self.kept();
            let result = match fault {
                Some(Fault::Refuse(code, reason)) => (code, objects::status(code, reason, &call.body)),
                Some(Fault::Terminating) => (403, objects::ending()),
                Some(Fault::Say(code, words)) => (code, objects::status(code, "Any", words)),
                Some(Fault::Quote(code)) => {
                    let key = (call.resource.clone(), call.namespace.clone(), call.name.clone());
                    // As a webhook may, which sees what is there too.
                    let there = kept.objects.get(&key).map(Value::to_string).unwrap_or_default();
                    (code, objects::status(code, &call.body, &format!("{there} {}", call.body)))
                }
                Some(Fault::Hang) => (0, Value::Null),
                Some(Fault::Lose | Fault::Half | Fault::Slow(_)) | None => {
                    let before = kept.version;
                    let result = kept.act(&call, query).unwrap_or_else(|refusal| refusal.answer());
                    call.done = kept.version != before;
                    result
                }
            };
            (call.code, call.at) = (result.0, Instant::now());
            kept.calls.push(call);
            self.version.send_replace(kept.version);
            result
        };
        if matches!(fault, Some(Fault::Hang | Fault::Lose)) {
            std::future::pending::<()>().await;
        }
        if names_only && code < 300 {
            let object = answer.as_object_mut().unwrap();
            object.retain(|key, _| key == "metadata");
            object.insert("kind".to_owned(), "PartialObjectMetadata".into());
        }
        let text = answer.to_string();
        let body = match fault {
            Some(Fault::Half) => {
                let half = Bytes::from(text[..text.len() / 2].to_owned());
                Body::from_stream(stream::iter([Ok(half), Err(std::io::Error::other("broken"))]))
            }
            _ => Body::from(text),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        Ok(response)
    }

    /// What happens from a version on, until the time is over that the client has given it.
    fn watch(&self, resource: String, query: &str) -> Body {
        let value = |key: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            pair.unwrap().parse::<u64>().unwrap()
        };
        let end = Instant::now() + Duration::from_secs(value("timeoutSeconds"));
        let state = (value("resourceVersion"), self.clone(), self.version.subscribe());
        let events = stream::unfold(state, move |(since, server, mut version)| {
            let resource = resource.clone();
            async move {
                loop {
                    let (is_silent, next) = {
                        let kept = server.kept();
                        let is_silent = kept.silent == Some(&*resource);
                        let is_next = |at: u64, of: &str| !is_silent && at > since && of == resource;
                        (is_silent, kept.history.iter().find(|(at, of, _)| is_next(*at, of)).cloned())
                    };
                    if let Some((at, _, event)) = next {
                        return Some((Ok::<_, Infallible>(format!("{event}\n")), (at, server, version)));
                    }
                    tokio::select! {
                        () = tokio::time::sleep_until(end) => return None,
                        _ = version.changed() => {}
                        () = tokio::time::sleep(BOOKMARK), if !is_silent => {
                            let object = json!({"metadata": {"resourceVersion": since.to_string()}});
                            let event = json!({"type": "BOOKMARK", "object": object});
                            return Some((Ok(format!("{event}\n")), (since, server, version)));
                        }
                    }
                }
            }
        });
        Body::from_stream(events)
    }
}

/// `/api/v1/namespaces/web/secrets/x` is `/api/v1/secrets`, `web`, `x`.
fn target(path: &str) -> Target {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (base, rest) = parts.split_at(if parts[0] == "api" { 2 } else { 3 });
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let name = rest.get(1).copied().unwrap_or_default();
    let resource = format!("/{}/{}", base.join("/"), rest[0]);
    Target { resource, namespace: namespace.to_owned(), name: name.to_owned() }
}

impl Kept {
    fn now(&self) -> Timestamp {
        let begin: Timestamp = BEGIN.parse().unwrap();
        begin + SignedDuration::try_from(self.begun.elapsed()).unwrap() + self.skew
    }

    fn act(&mut self, call: &Call, query: &str) -> Result<(u16, Value), Refusal> {
        let key = (call.resource.clone(), call.namespace.clone(), call.name.clone());
        let there = self.objects.get(&key).cloned();
        let sent: Value = serde_json::from_str(&call.body).unwrap_or_default();
        let new = match call.verb {
            "list" => return Ok((200, self.list(call, query))),
            "get" => return there.map(|object| (200, object)).ok_or(Refusal::NOT_FOUND),
            "delete" => return self.delete(&key, there, &sent).map(|object| (200, object)),
            "evict" => {
                return self.delete(&key, there, &sent["deleteOptions"]).map(|object| (201, object));
            }
            "create" => {
                let namespace = (objects::NAMESPACES.to_owned(), String::new(), call.namespace.clone());
                let ends = self.objects.get(&namespace).is_some_and(objects::is_terminating);
                match there {
                    _ if ends => return Err(Refusal::FORBIDDEN),
                    Some(_) => return Err(Refusal::EXISTS),
                    None => sent,
                }
            }
            "update" => objects::replaced(there.as_ref(), sent)?,
            "apply" => {
                let new = objects::applied(there.as_ref(), self.applied.get(&key), &sent)?;
                self.applied.insert(key.clone(), sent);
                new
            }
            "merge" => objects::merged(there.as_ref(), &sent)?,
            verb => panic!("{verb}"),
        };
        objects::check(there.as_ref(), &new)?;
        if call.dry_run {
            return Ok((200, new));
        }
        let code = if there.is_none() { 201 } else { 200 };
        Ok((code, self.store(&key, there.as_ref(), new)))
    }

    fn list(&self, call: &Call, query: &str) -> Value {
        let label = query.split('&').find_map(|pair| pair.strip_prefix("labelSelector="));
        let label = label.map(|text| text.replace("%2F", "/").replace("%3D", "="));
        let label = label.as_deref().and_then(|text| text.split_once('='));
        let of = |(resource, namespace, _): &Key| {
            *resource == call.resource && (call.namespace.is_empty() || *namespace == call.namespace)
        };
        let objects = self.objects.iter().filter(|(key, _)| of(key)).map(|(_, object)| object);
        let fits =
            |object: &&Value| label.is_none_or(|(key, value)| object["metadata"]["labels"][key] == value);
        let items: Vec<&Value> = objects.filter(fits).collect();
        json!({"kind": "List", "metadata": {"resourceVersion": self.version.to_string()}, "items": items})
    }

    fn delete(&mut self, key: &Key, there: Option<Value>, options: &Value) -> Result<Value, Refusal> {
        let mut object = there.ok_or(Refusal::NOT_FOUND)?;
        let uid = &options["preconditions"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return Err(Refusal::CONFLICT);
        }
        let has_finalizers = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        if has_finalizers {
            object["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z".into();
            let old = self.objects.get(key).cloned();
            return Ok(self.store(key, old.as_ref(), object));
        }
        self.take(key);
        Ok(object)
    }

    /// Keeps an object. One that is what it was stays as it is, as etcd has it.
    fn store(&mut self, key: &Key, old: Option<&Value>, mut object: Value) -> Value {
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.insert("name".to_owned(), key.2.clone().into());
        if !key.1.is_empty() {
            metadata.insert("namespace".to_owned(), key.1.clone().into());
        }
        let was = |name: &str| old.map(|old| old["metadata"][name].clone());
        let uid = was("uid").unwrap_or_else(|| format!("uid-{}", self.version + 1).into());
        metadata.insert("uid".to_owned(), uid);
        metadata.insert("resourceVersion".to_owned(), was("resourceVersion").unwrap_or_default());
        metadata.insert("managedFields".to_owned(), was("managedFields").unwrap_or_default());
        let now = self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let made = was("creationTimestamp").filter(Value::is_string);
        metadata.insert("creationTimestamp".to_owned(), made.unwrap_or_else(|| now.clone().into()));
        objects::complete(&key.0, &mut object);
        if old == Some(&object) {
            return object;
        }
        object["metadata"]["managedFields"] = json!([{"manager": "any", "time": now}]);
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let event = json!({"type": if old.is_some() { "MODIFIED" } else { "ADDED" }, "object": object});
        self.history.push((self.version, key.0.clone(), event));
        self.objects.insert(key.clone(), object.clone());
        object
    }

    fn take(&mut self, key: &Key) {
        let Some(mut object) = self.objects.remove(key) else { return };
        self.applied.remove(key);
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.history.push((self.version, key.0.clone(), json!({"type": "DELETED", "object": object})));
    }
}
