//! The yardstick of the server: port, TLS, threads, bounds and log line of `refgate serve`, and no work.
//!
//! `echo --listen ADDRESS:PORT [CERTIFICATE KEY [PATCH]]` reads each body to its end, logs one line and answers that the
//! review is allowed, with its uid, and on `/mutate` with the constant PATCH (base64). `bench/load.sh` puts it beside `refgate
//! serve --dev`, and `make bench-e2e`, with a certificate and the log of a cluster, beside `refgate serve`.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use axum::routing::post;
use refgate::serve::api_servers::ApiServers;
use refgate::serve::connection::{Limits, Phase, Port};
use refgate::serve::intake::{Intake, respond};
use refgate::serve::{self, dev, http, tls};
use refgate::telemetry::{self, LogFormat, Metrics, ReviewLine};
use tokio::sync::watch;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let parsed = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--listen", address] => Some((address, None, "")),
        ["--listen", address, certificate, key] => Some((address, Some((certificate, key)), "")),
        ["--listen", address, certificate, key, patch] => Some((address, Some((certificate, key)), patch)),
        _ => None,
    };
    let parsed = parsed.and_then(|(address, pair, patch)| Some((address.parse().ok()?, pair, patch)));
    let Some((address, pair, patch)) = parsed else {
        let _ = writeln!(io::stderr(), "usage: echo --listen ADDRESS:PORT [CERTIFICATE KEY [PATCH]]");
        return ExitCode::from(2);
    };
    match run(address, pair, patch) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "echo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    address: SocketAddr,
    pair: Option<(&str, &str)>,
    patch: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    telemetry::start(if pair.is_some() { LogFormat::Json } else { LogFormat::Text });
    serve::runtime()?.block_on(async {
        let listener = serve::listen(address, "--listen")?;
        writeln!(io::stdout(), "echo: https://{}", listener.local_addr()?)?;
        let pem = match pair {
            Some((certificate, key)) => {
                tls::Pem { certificate: fs::read(certificate)?, key: fs::read(key)?, client_ca: None }
            }
            None => dev::identity(listener.local_addr()?)?.0,
        };
        let identity = Some(tls::Identity::fixed(&pem, &Metrics::default())?);
        let (_keep, phase) = watch::channel(Phase::Serving);
        let (router, limits, api_servers) = (router(patch), Limits::default(), ApiServers::of([]));
        Port { listener, identity, router, limits, api_servers, phase }.run().await;
        Ok(())
    })
}

fn router(patch: &str) -> Router {
    let intake = Arc::new(Intake::new(http::Limits::default()));
    let allowed = r#"","allowed":true,"auditAnnotations":{"verdict":"allow"}}}"#;
    let patched = match patch {
        "" => allowed.to_owned(),
        patch => {
            let patch = format!(r#"","patchType":"JSONPatch","patch":"{patch}","allowed""#);
            allowed.replacen(r#"","allowed""#, &patch, 1)
        }
    };
    let to = |answer: Arc<str>| (Arc::clone(&intake), answer);
    Router::new()
        .route("/mutate", post(answer).with_state(to(patched.into())))
        .route("/validate", post(answer).with_state(to(allowed.into())))
}

/// What `refgate serve` answers, up to the uid.
const ANSWER: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":""#;

/// The first uid of a review is the request's own, and 36 characters long.
fn uid(body: &[u8]) -> &[u8] {
    const BEFORE: &[u8] = br#""uid":""#;
    let start = memchr::memmem::find(body, BEFORE).map_or(body.len(), |at| at + BEFORE.len());
    body.get(start..start + 36).unwrap_or_default()
}

type Shared = (Arc<Intake>, Arc<str>);

async fn answer(State((intake, rest)): State<Shared>, request: Request) -> Response<Body> {
    let started = Instant::now();
    let endpoint = if request.uri().path() == "/mutate" { "mutate" } else { "validate" };
    let received = match Box::pin(intake.receive(request, started)).await {
        Ok(received) => received,
        Err(failed) => return failed.failure.response(),
    };
    ReviewLine {
        uid: "06e841e6-a9f6-466e-87b8-1f1b359faea6",
        endpoint,
        client: "unverified",
        user: "system:serviceaccount:kube-system:replicaset-controller",
        groups: &[],
        operation: "CREATE",
        kind: "Pod",
        namespace: "snippets-stage",
        name: "",
        dry_run: false,
        paths: &[],
        verdict: if received.body.is_empty() { "deny" } else { "allow" },
        rules: &[],
        reasons: &[],
        allowed: &[],
        duration: started.elapsed(),
    }
    .log();
    let answer = [ANSWER.as_bytes(), uid(&received.body), rest.as_bytes()].concat();
    respond(StatusCode::OK, "application/json", Bytes::from(answer).into())
}
