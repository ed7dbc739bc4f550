//! The API server as one person sees it: plain requests, with the warnings that come back.

use std::path::Path;

use axum::http::Request;
use axum::http::header::{CONTENT_TYPE, WARNING};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;
use tokio::runtime::Handle;

pub const MERGE: &str = "application/merge-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";

#[derive(Clone)]
pub struct Api {
    client: kube::Client,
    runtime: Handle,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub body: Value,
    pub warnings: Vec<String>,
}

impl Answer {
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The object; fails the test with the message when there is none.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.is_ok(), "{}: {}", self.code, self.message());
        self.body
    }

    /// The message of a refusal; fails the test when it was none.
    #[track_caller]
    pub fn refused(&self) -> &str {
        assert!(matches!(self.code, 403 | 422), "{}: {}", self.code, self.body);
        self.message()
    }

    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl Api {
    /// Someone with a token.
    pub fn new(server: &str, authority: &Path, token: &str, runtime: Handle) -> Self {
        let _inside = runtime.enter();
        let mut config = kube::Config::new(server.parse().unwrap());
        config.root_cert_file = Some(authority.to_owned());
        config.auth_info.token = Some(token.to_owned().into());
        // Its own retries would hide what a person gets to see: 429, 503 and 504.
        config.default_retry = false;
        Self { client: kube::Client::try_from(config).unwrap(), runtime }
    }

    /// One request, without retries; `Err` when no answer came.
    pub fn try_call(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Answer, String> {
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, content_type);
        let request = request.body(Body::from(body)).unwrap();
        self.runtime.block_on(async {
            let response = self.client.send(request).await.map_err(|error| format!("{error:?}"))?;
            let (head, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
            let warnings = head.headers.get_all(WARNING).iter();
            let warnings = warnings.map(|warning| warning_text(&String::from_utf8_lossy(warning.as_bytes())));
            Ok(Answer {
                code: head.status.as_u16(),
                body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
                warnings: warnings.collect(),
            })
        })
    }

    #[track_caller]
    pub fn call(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Answer {
        self.try_call(method, path, content_type, body)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "application/json", &Value::Null)
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, "application/json", body)
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, "application/json", body)
    }

    #[track_caller]
    pub fn patch(&self, path: &str, content_type: &str, body: &Value) -> Answer {
        self.call("PATCH", path, content_type, body)
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, "application/json", &Value::Null)
    }
}

/// The text of `299 - "TEXT"`.
fn warning_text(header: &str) -> String {
    let quoted = header.strip_prefix("299 - \"").and_then(|rest| rest.strip_suffix('"'));
    quoted.unwrap_or(header).replace("\\\"", "\"").replace("\\\\", "\\")
}
