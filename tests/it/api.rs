//! An API server as a script: what it answers, in order, and what it was asked, over real HTTP.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use futures_util::StreamExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// One answer.
pub enum Reply {
    /// A document.
    Json(Value),
    /// A Status with this code.
    Status(u16),
    /// A Status of one's own, which says its code.
    Failure(Value),
    /// Text that is sent, then the end.
    Lines(Vec<String>),
    /// Pieces as they come; an error breaks the connection.
    Stream(mpsc::UnboundedReceiver<Result<String, ()>>),
    /// Nothing, for ever.
    Silence,
}

#[derive(Default)]
struct Script {
    replies: HashMap<String, VecDeque<Reply>>,
    asked: Vec<String>,
    accepted: Vec<String>,
}

/// The server. A path that has no reply left is met with silence, and an API group that no reply was ever written for with 404.
#[derive(Clone)]
pub struct Api {
    script: Arc<Mutex<Script>>,
    pub address: SocketAddr,
}

impl Api {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Self { script: Arc::default(), address: listener.local_addr().unwrap() };
        let served = api.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let api = served.clone();
                let service = hyper::service::service_fn(move |request| api.clone().answer(request));
                tokio::spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        api
    }

    /// Adds an answer for a path.
    pub fn reply(&self, path: &str, reply: Reply) {
        self.script.lock().unwrap().replies.entry(path.to_owned()).or_default().push_back(reply);
    }

    /// Adds a stream for a path, and returns where its pieces go.
    pub fn stream(&self, path: &str) -> Pieces {
        let (pieces, stream) = mpsc::unbounded_channel();
        self.reply(path, Reply::Stream(stream));
        Pieces(pieces)
    }

    /// What was asked so far: path and query.
    pub fn asked(&self) -> Vec<String> {
        self.script.lock().unwrap().asked.clone()
    }

    /// What form of an answer each of these wanted.
    pub fn accepted(&self) -> Vec<String> {
        self.script.lock().unwrap().accepted.clone()
    }

    /// A kubeconfig whose context `c` is this server; `current` is the context that it names itself.
    pub fn kubeconfig(&self, current: &str) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": current,
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        })
        .to_string()
    }

    pub fn client(&self) -> kube::Client {
        let url = format!("http://{}", self.address).parse().unwrap();
        refgate::cluster::connect(kube::Config::new(url)).unwrap()
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let reply = {
            let mut script = self.script.lock().unwrap();
            let accept = request.headers().get("accept").map(|value| value.to_str().unwrap());
            let is_group = path.starts_with("/apis/") && !script.replies.contains_key(&path);
            if !is_group {
                script.asked.push(request.uri().to_string());
                script.accepted.push(accept.unwrap_or_default().to_owned());
            }
            let otherwise = if is_group { Reply::Status(404) } else { Reply::Silence };
            script.replies.get_mut(&path).and_then(VecDeque::pop_front).unwrap_or(otherwise)
        };
        let (status, body) = match reply {
            Reply::Json(value) => (200, Body::from(value.to_string())),
            Reply::Failure(status) => {
                (u16::try_from(status["code"].as_u64().unwrap()).unwrap(), Body::from(status.to_string()))
            }
            Reply::Status(code) => (code, Body::from(status(code).to_string())),
            Reply::Lines(lines) => (200, Body::from(lines.concat())),
            Reply::Stream(pieces) => {
                let stream = futures_util::stream::unfold(pieces, async |mut pieces| {
                    let piece = pieces.recv().await?;
                    let piece = piece.map(Bytes::from).map_err(|()| std::io::Error::other("broken"));
                    Some((piece, pieces))
                });
                (200, Body::from_stream(stream.boxed()))
            }
            Reply::Silence => std::future::pending().await,
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok(response)
    }
}

/// Where the pieces of a stream go.
pub struct Pieces(mpsc::UnboundedSender<Result<String, ()>>);

impl Pieces {
    pub fn send(&self, piece: impl Into<String>) {
        // Nobody listens to a stream that was given up.
        let _ = self.0.send(Ok(piece.into()));
    }

    pub fn break_off(self) {
        let _ = self.0.send(Err(()));
    }
}

pub fn status(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "scripted", "reason": "Scripted", "code": code})
}

/// A page of a list.
pub fn page(version: &str, next: &str, items: &[Value]) -> Reply {
    let metadata = json!({"resourceVersion": version, "continue": next});
    Reply::Json(json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}))
}

/// One line of a watch.
pub fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

pub fn bookmark(version: &str) -> String {
    event("BOOKMARK", &json!({"kind": "Namespace", "metadata": {"resourceVersion": version}}))
}

pub fn namespace(name: &str, version: &str, env: &str) -> Value {
    let labels =
        json!({"refgate.dev/group": "mozmeao", "refgate.dev/app": "snippets", "refgate.dev/env": env});
    json!({"metadata": {"name": name, "resourceVersion": version, "labels": labels}})
}

pub fn catalogue(name: &str, version: &str, list: &str) -> Value {
    let labels = json!({"refgate.dev/catalogue": "true"});
    let metadata = json!({"name": format!("catalogue.{name}"), "resourceVersion": version, "labels": labels});
    json!({"metadata": metadata, "data": {"catalogue": list}})
}
