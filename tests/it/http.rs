//! `/mutate` and `/validate`: the rows of the failure table that are the server's, without TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, StatusCode};
use futures_util::{StreamExt as _, stream};
use refgate::policy;
use refgate::policy::decision::{Decision, Outcome};
use refgate::policy::review::Review;
use refgate::policy::snapshot::Snapshot;
use refgate::serve::http::{App, Limits, router};
use refgate::serve::shares::Peer;
use refgate::telemetry::Metrics;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::harness::{answer, post, published, reference, review, snapshot, text};

fn app() -> Router {
    with(Limits::default(), policy::decide).0
}

fn with(limits: Limits, decide: refgate::serve::Decide) -> (Router, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    (router(App::new(published(snapshot()), Arc::clone(&metrics), limits, decide)), metrics)
}

/// A body that says its first half and then nothing, until the sender goes. The receiver hears when the half was taken.
fn half_sent(half: &str) -> (mpsc::Sender<()>, oneshot::Receiver<()>, Body) {
    let (keep, mut gone) = mpsc::channel::<()>(1);
    let (tell, taken) = oneshot::channel();
    let first = Bytes::copy_from_slice(half.as_bytes());
    let rest = stream::once(async move {
        let _ = tell.send(());
        gone.recv().await;
        Err::<Bytes, _>(std::io::Error::other("the client went away"))
    });
    (keep, taken, Body::from_stream(stream::once(async { Ok(first) }).chain(rest)))
}

fn is_status(status: StatusCode, body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(value["kind"], "Status");
    assert_eq!(value["apiVersion"], "v1");
    assert_eq!(value["status"], "Failure");
    assert_eq!(value["code"], status.as_u16());
    value["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_review_is_answered_with_its_uid() {
    for path in ["/mutate", "/mutate?timeout=10s", "/mutate?anything=else"] {
        let response = app().oneshot(post(path, reference("u-1"))).await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        let response = answer(response).await;
        assert_eq!((&response["uid"], &response["allowed"]), (&"u-1".into(), &true.into()), "{path}");
        assert_eq!(response["patchType"], "JSONPatch");
    }
    let response = answer(app().oneshot(post("/validate", reference("u-2"))).await.unwrap()).await;
    assert_eq!((&response["uid"], &response["allowed"]), (&"u-2".into(), &false.into()));
    assert!(response.get("patch").is_none());
}

#[tokio::test]
async fn what_is_no_review_gets_one_sentence() {
    let json = "application/json";
    let good = reference("u");
    for (method, path, content_type, body, status) in [
        (Method::POST, "/", json, good.as_str(), StatusCode::NOT_FOUND),
        (Method::POST, "/mutate/", json, &good, StatusCode::NOT_FOUND),
        (Method::GET, "/mutate", json, "", StatusCode::METHOD_NOT_ALLOWED),
        (Method::PUT, "/validate", json, &good, StatusCode::METHOD_NOT_ALLOWED),
        (Method::HEAD, "/validate", json, "", StatusCode::METHOD_NOT_ALLOWED),
        (Method::POST, "/mutate", "text/plain", &good, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (Method::POST, "/mutate", "application/jsonish", &good, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (Method::POST, "/mutate", json, "", StatusCode::BAD_REQUEST),
        (Method::POST, "/mutate", json, "not json", StatusCode::BAD_REQUEST),
        (Method::POST, "/mutate", json, "[]", StatusCode::BAD_REQUEST),
        (Method::POST, "/validate", json, "{\"kind\":\"Pod\"}", StatusCode::BAD_REQUEST),
    ] {
        let request = Request::builder().method(&method).uri(path).header("content-type", content_type);
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = app().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8", "{method} {path}");
        assert!(response.headers().get("retry-after").is_none());
        let (got, sentence) = text(response).await;
        assert_eq!(got, status, "{method} {path} {body}: {sentence}");
        // The answer to HEAD has no body.
        assert!(method == Method::HEAD || sentence.lines().count() == 1, "{sentence:?}");
    }
}

#[tokio::test]
async fn a_content_type_may_have_parameters_and_no_content_encoding() {
    let request = |content_type: &str, encoding: &str| {
        let request = Request::post("/mutate").header("content-type", content_type);
        request.header("content-encoding", encoding).body(Body::from(reference("u"))).unwrap()
    };
    let good = request("Application/JSON; charset=utf-8", "identity");
    assert_eq!(answer(app().oneshot(good).await.unwrap()).await["uid"], "u");
    let (status, _) = text(app().oneshot(request("application/json", "gzip")).await.unwrap()).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() {
    let limit = 10 << 20;
    let announced = post("/mutate", vec![b' '; limit + 1]);
    let piece = Bytes::from(vec![b' '; 1 << 20]);
    let pieces = stream::iter(std::iter::repeat_n(piece, 11).map(Ok::<_, std::io::Error>));
    for request in [announced, post("/mutate", Body::from_stream(pieces))] {
        let (status, sentence) = text(app().oneshot(request).await.unwrap()).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(sentence, "the body is larger than 10 MiB\n");
    }
    // As large as it may be: white space around a review.
    let mut largest = reference("u").into_bytes();
    largest.resize(limit, b' ');
    assert_eq!(answer(app().oneshot(post("/mutate", largest)).await.unwrap()).await["uid"], "u");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_ends_at_a_deadline() {
    for (path, wait) in
        [("/mutate", 10), ("/mutate?timeout=3s", 3), ("/mutate?timeout=60s", 10), ("/mutate?timeout=x", 10)]
    {
        let (_keep, _taken, body) = half_sent("{\"kind\":");
        let start = Instant::now();
        let (status, _) = text(app().oneshot(post(path, body)).await.unwrap()).await;
        assert_eq!((status, start.elapsed().as_secs()), (StatusCode::REQUEST_TIMEOUT, wait), "{path}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_said() {
    let (keep, _taken, body) = half_sent("{\"kind\":");
    drop(keep);
    let (status, sentence) = text(app().oneshot(post("/mutate", body)).await.unwrap()).await;
    assert_eq!((status, sentence.as_str()), (StatusCode::BAD_REQUEST, "the body ended before its end\n"));
}

#[tokio::test]
async fn before_the_first_snapshot_it_is_a_failure_of_ours() {
    let (publish, snapshots) = watch::channel(None);
    let app = router(App::new(snapshots, Arc::default(), Limits::default(), policy::decide));
    let response = app.clone().oneshot(post("/mutate", reference("u"))).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert!(response.headers().get("retry-after").is_none());
    let (status, body) = text(response).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(is_status(status, &body).contains("has not read the cluster yet"));

    publish.send_replace(Some(snapshot()));
    assert_eq!(answer(app.oneshot(post("/mutate", reference("u"))).await.unwrap()).await["allowed"], true);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_denied_with_its_uid() {
    let body = reference("u-7").replace("\"containers\":[", "\"containers\":[7,");
    let response = answer(app().oneshot(post("/validate", body)).await.unwrap()).await;
    assert_eq!(response["uid"], "u-7");
    assert_eq!(response["allowed"], false);
    assert_eq!(response["status"]["code"], 400);
    assert!(response["status"]["message"].as_str().unwrap().contains("/spec/containers/0"), "{response}");
}

#[tokio::test]
async fn a_panic_is_caught_and_counted_and_the_process_lives() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn first_panics(review: &Review<'_>, snapshot: &Snapshot) -> Decision {
        if CALLS.fetch_add(1, Ordering::Relaxed) < 2 {
            panic!("over hunter2");
        }
        policy::decide(review, snapshot)
    }
    let (app, metrics) = with(Limits::default(), first_panics);
    // Once on the thread of the connection, once beside it.
    let mut large = reference("u").into_bytes();
    large.resize(300 << 10, b' ');
    for body in [reference("u").into_bytes(), large] {
        let (status, body) = text(app.clone().oneshot(post("/mutate", body)).await.unwrap()).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!is_status(status, &body).contains("hunter2"));
    }
    assert_eq!(answer(app.oneshot(post("/mutate", reference("u"))).await.unwrap()).await["allowed"], true);
    let text = metrics.render();
    assert!(text.contains("refgate_panics_total 2"), "{text}");
    assert!(text.contains("kind=\"other\",outcome=\"panic\"} 2"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_namespace_is_waited_for_half_a_second() {
    for (path, wait) in [("/mutate", 500), ("/mutate?timeout=10s", 500)] {
        let (app, metrics) = with(Limits::default(), policy::decide);
        let start = Instant::now();
        let response = app.oneshot(post(path, review("u", "not-yet", "x"))).await.unwrap();
        let (status, body) = text(response).await;
        assert_eq!((status, start.elapsed().as_millis()), (StatusCode::SERVICE_UNAVAILABLE, wait));
        assert!(is_status(status, &body).contains("not-yet"), "{body}");
        assert!(metrics.render().contains("kind=\"Pod\",outcome=\"unavailable\"} 1"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_comes_meanwhile_is_judged() {
    static LOOKS: AtomicUsize = AtomicUsize::new(0);
    fn counted(review: &Review<'_>, snapshot: &Snapshot) -> Decision {
        LOOKS.fetch_add(1, Ordering::Relaxed);
        policy::decide(review, snapshot)
    }
    let empty = Snapshot { namespaces: Default::default(), ..(*snapshot()).clone() };
    let (publish, snapshots) = watch::channel(Some(Arc::new(empty.clone())));
    let metrics = Arc::new(Metrics::default());
    let app = router(App::new(snapshots, Arc::clone(&metrics), Limits::default(), counted));
    let start = Instant::now();
    let asked = tokio::spawn(app.oneshot(post("/mutate", reference("u"))));
    tokio::time::sleep(Duration::from_millis(100)).await;
    // One that says nothing of the namespace is not worth a look.
    publish.send_replace(Some(Arc::new(empty)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(LOOKS.load(Ordering::Relaxed), 1);
    publish.send_replace(Some(snapshot()));
    let response = answer(asked.await.unwrap().unwrap()).await;
    assert_eq!((&response["allowed"], start.elapsed().as_millis()), (&true.into(), 200));
    assert_eq!(LOOKS.load(Ordering::Relaxed), 2);
    assert!(!metrics.render().contains("unavailable"), "only what was answered counts");
}

/// The same request from a peer.
fn from(last: u8, is_api_server: bool, mut request: Request<Body>) -> Request<Body> {
    let address = std::net::IpAddr::from([10, 0, 0, last]);
    request.extensions_mut().insert(Peer { address, is_api_server, is_verified: false });
    request
}

#[tokio::test(start_paused = true)]
async fn too_many_reviews_are_turned_away_at_once() {
    let (app, metrics) = with(Limits { reviews: 1, ..Limits::default() }, policy::decide);
    // One that is complete, and waits for its namespace.
    let first = tokio::spawn(app.clone().oneshot(post("/mutate", review("u", "not-yet", "x"))));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let start = Instant::now();
    let response = app.clone().oneshot(post("/mutate", reference("u"))).await.unwrap();
    assert!(response.headers().get("retry-after").is_none());
    let (status, body) = text(response).await;
    assert_eq!((status, start.elapsed()), (StatusCode::SERVICE_UNAVAILABLE, Duration::ZERO));
    assert!(is_status(status, &body).contains("too many reviews"));
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer(app.oneshot(post("/mutate", reference("u"))).await.unwrap()).await["uid"], "u");
    assert!(metrics.render().contains("outcome=\"overload\"} 1"));
}

#[tokio::test]
async fn a_review_takes_its_place_when_its_body_is_complete() {
    let (app, _) = with(Limits { reviews: 1, ..Limits::default() }, policy::decide);
    let (keep, taken, body) = half_sent("{");
    let first = tokio::spawn(app.clone().oneshot(post("/mutate", body)));
    taken.await.unwrap();
    assert_eq!(answer(app.oneshot(post("/mutate", reference("u"))).await.unwrap()).await["uid"], "u");
    drop(keep);
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn bytes_in_flight_are_bounded_and_given_back() {
    // 64 KiB for bodies that are not large: 48 for all, 8 for each peer.
    let (app, _) = with(Limits { bytes: 128 << 10, ..Limits::default() }, policy::decide);
    let mut half = Vec::new();
    for last in 11..17 {
        let (keep, taken, body) = half_sent(&" ".repeat(8 << 10));
        let sent = tokio::spawn(app.clone().oneshot(from(last, false, post("/mutate", body))));
        taken.await.unwrap();
        half.push((keep, sent));
    }
    let mut large = reference("u").into_bytes();
    large.resize(8 << 10, b' ');
    let (status, body) = text(app.clone().oneshot(post("/mutate", large.clone())).await.unwrap()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(is_status(status, &body).contains("too many bytes"));
    // What announces much and sends little takes little.
    assert_eq!(answer(app.clone().oneshot(post("/mutate", reference("u"))).await.unwrap()).await["uid"], "u");
    // The last quarter is kept for API servers.
    let response = app.clone().oneshot(from(1, true, post("/mutate", large.clone()))).await.unwrap();
    assert_eq!(answer(response).await["uid"], "u");
    for (keep, sent) in half {
        drop(keep);
        assert_eq!(sent.await.unwrap().unwrap().status(), StatusCode::BAD_REQUEST);
    }
    assert_eq!(answer(app.oneshot(post("/mutate", large)).await.unwrap()).await["uid"], "u");
}

/// Large bodies have bytes of their own: one of each peer, and they keep no other review out.
#[tokio::test]
async fn large_bodies_leave_room_for_others() {
    let limits = Limits { bytes: 128 << 10, body: 40 << 10, inline: 8 << 10, ..Limits::default() };
    let (app, _) = with(limits, policy::decide);
    let (_keep, taken, body) = half_sent(&" ".repeat(20 << 10));
    let first = tokio::spawn(app.clone().oneshot(from(1, false, post("/mutate", body))));
    taken.await.unwrap();
    let ask = async |last, is_api_server, size: usize| {
        let mut body = reference("u").into_bytes();
        body.resize(size, b' ');
        let request = from(last, is_api_server, post("/mutate", body));
        app.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(ask(2, false, 20 << 10).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(2, false, 6 << 10).await, StatusCode::OK);
    assert_eq!(ask(3, true, 40 << 10).await, StatusCode::OK);
    first.abort();
}

#[tokio::test]
async fn one_peer_gets_an_eighth_of_the_bytes() {
    let (app, _) = with(Limits { bytes: 128 << 10, ..Limits::default() }, policy::decide);
    let (_keep, taken, body) = half_sent(&" ".repeat(7 << 10));
    let first = tokio::spawn(app.clone().oneshot(from(1, false, post("/mutate", body))));
    taken.await.unwrap();
    let mut large = reference("u").into_bytes();
    large.resize(6 << 10, b' ');
    let ask = async |last| {
        let request = from(last, false, post("/mutate", large.clone()));
        app.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!([ask(1).await, ask(2).await], [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK]);
    first.abort();
}

/// An attacker's large reviews wait for one another, and not in front of others'.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn large_reviews_are_judged_one_at_a_time() {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    fn counted(review: &Review<'_>, snapshot: &Snapshot) -> Decision {
        MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::yield_now();
        let decision = policy::decide(review, snapshot);
        NOW.fetch_sub(1, Ordering::SeqCst);
        decision
    }
    let (app, _) = with(Limits { inline: 2 << 10, ..Limits::default() }, counted);
    let mut large = reference("u").into_bytes();
    large.resize(4 << 10, b' ');
    let asked = (0..32).map(|number| {
        let request = from(number % 4, false, post("/mutate", large.clone()));
        tokio::spawn(app.clone().oneshot(request))
    });
    for response in futures_util::future::join_all(asked).await {
        assert_eq!(answer(response.unwrap().unwrap()).await["uid"], "u");
    }
    assert_eq!(MOST.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn labels_of_metrics_come_from_closed_sets() {
    fn deny(_: &Review<'_>, _: &Snapshot) -> Decision {
        let outcome = Outcome::Deny { code: 403, message: "no".into() };
        Decision { outcome, ..Decision::default() }
    }
    let (app, metrics) = with(Limits::default(), deny);
    for number in 0..20 {
        let body = reference("u")
            .replace("\"kind\":\"Pod\",\"version\"", &format!("\"kind\":\"Made{number}\",\"version\""))
            .replace("\"CREATE\"", &format!("\"MADE{number}\""));
        let response = answer(app.clone().oneshot(post("/mutate", body)).await.unwrap()).await;
        assert_eq!(response["allowed"], false);
    }
    let text = metrics.render();
    let line =
        "refgate_reviews_total{endpoint=\"mutate\",operation=\"other\",kind=\"other\",outcome=\"deny\"} 20";
    assert!(text.contains(line), "{text}");
    assert_eq!(text.matches("refgate_reviews_total{").count(), 1, "{text}");
    assert!(text.contains("refgate_review_duration_seconds_count 20"), "{text}");
}

#[tokio::test]
async fn findings_are_counted_by_rule_and_mode() {
    let (app, metrics) = with(Limits::default(), policy::decide);
    let body = review("u", "snippets-stage", "postgres://web:correcthorsebattery@db/web");
    let response = answer(app.oneshot(post("/validate", body)).await.unwrap()).await;
    assert_eq!(response["allowed"], false);
    let text = metrics.render();
    for mode in ["enforce", "warn", "audit"] {
        let line = format!("refgate_findings_total{{rule=\"url-password\",mode=\"{mode}\"}} 1");
        assert!(text.contains(&line), "{text}");
    }
    assert!(!text.contains("correcthorse"));
}
