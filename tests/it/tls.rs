//! The HTTPS port as a real client sees it, one that never tries anything twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::future::join_all;
use refgate::policy;
use refgate::policy::decision::Decision;
use refgate::policy::review::Review;
use refgate::policy::snapshot::Snapshot;
use refgate::serve::connection::{Limits, Phase};
use refgate::serve::http;
use refgate::serve::tls::not_after;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::harness::{
    Authority, Client, Pair, Served, Setup, answer, post, reference, serve, text, write_pair,
};

/// The certificate that a new connection gets.
async fn served_certificate(client: &Client) -> CertificateDer<'static> {
    let stream = client.tls().await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// Asks once on a new connection.
async fn ask(client: &Client, uid: &str) -> serde_json::Value {
    let mut connection = client.connect().await.unwrap();
    answer(connection.send(post("/mutate?timeout=10s", reference(uid))).await.unwrap()).await
}

/// A client that offers HTTP/2 as well gets HTTP/1.1: an API server speaks nothing else to a Service.
#[tokio::test]
async fn one_protocol_and_both_versions_of_tls() {
    let served = serve(Setup::default()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = Client::with(served.address, &served.authority.pem, None, &[version]);
        let stream = client.tls().await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut connection = client.connect().await.unwrap();
        for uid in ["one", "two"] {
            let response = connection.send(post("/mutate", reference(uid))).await.unwrap();
            assert_eq!(answer(response).await["uid"], uid, "{version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_swapped_under_load_without_a_failed_request() {
    let mut served = serve(Setup::default()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let (tell, mut told) = mpsc::channel(64);
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let (client, stop, tell) = (served.client(), Arc::clone(&stop), tell.clone());
            tokio::spawn(async move {
                let mut old = client.connect().await.unwrap();
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    // One on a connection from before the swap, one on a new one.
                    let response = old.send(post("/mutate", reference("old"))).await.unwrap();
                    assert_eq!(answer(response).await["uid"], "old");
                    assert_eq!(ask(&client, "new").await["uid"], "new");
                    count += 2;
                    let _ = tell.try_send(());
                }
                count
            })
        })
        .collect();
    for _ in 0..5 {
        let pair = served.authority.sign();
        write_pair(&served.folder, &pair);
        served.reloader.look(&served.metrics).await;
        assert_eq!(served_certificate(&served.client()).await, der(&pair.certificate));
        // The load has gone on since.
        told.recv().await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        assert!(worker.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_pair_that_does_not_load_never_replaces_one_that_did() {
    let mut served = serve(Setup::default()).await;
    let client = served.client();
    let first = served_certificate(&client).await;
    let other = served.authority.sign();
    let metric = |served: &Served| {
        let text = served.metrics.render();
        text.contains("refgate_certificate_reload_success 1")
    };
    for broken in ["certificate", "key", "empty", "foreign key", "gone"] {
        match broken {
            "certificate" => drop(served.folder.write("tls.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n")),
            "key" => drop(served.folder.write("tls.key", "no PEM at all")),
            "empty" => drop(served.folder.write("tls.crt", "")),
            "foreign key" => {
                served.folder.write("tls.crt", &other.certificate);
                served.folder.write("tls.key", &served.authority.sign().key);
            }
            _ => std::fs::remove_file(served.folder.path("tls.key")).unwrap(),
        }
        served.reloader.look(&served.metrics).await;
        assert_eq!(served_certificate(&client).await, first, "{broken}");
        assert!(!metric(&served), "{broken}");
        assert_eq!(ask(&client, "u").await["uid"], "u");
    }
    write_pair(&served.folder, &other);
    served.reloader.look(&served.metrics).await;
    assert_eq!(served_certificate(&client).await, der(&other.certificate));
    assert!(metric(&served));
}

#[tokio::test]
async fn a_file_that_comes_back_as_it_was_is_a_success_again() {
    let mut served = serve(Setup::default()).await;
    let key = std::fs::read(served.folder.path("tls.key")).unwrap();
    std::fs::remove_file(served.folder.path("tls.key")).unwrap();
    served.reloader.look(&served.metrics).await;
    assert!(served.metrics.render().contains("refgate_certificate_reload_success 0"));
    served.folder.write("tls.key", key);
    served.reloader.look(&served.metrics).await;
    assert!(served.metrics.render().contains("refgate_certificate_reload_success 1"));
}

#[tokio::test]
async fn a_client_certificate_is_demanded_where_it_is_configured() {
    let clients = Authority::new();
    let mut served = serve(Setup { client_ca: Some(clients.pem.clone()), ..Setup::default() }).await;
    let ask_with = async |served: &Served, pair: Option<Pair>| {
        let authority = &served.authority.pem;
        let client = Client::with(served.address, authority, pair.as_ref(), rustls::ALL_VERSIONS);
        // TLS 1.3 tells a client that it was turned away only when it reads.
        let mut connection = client.connect().await.ok()?;
        connection.send(post("/mutate", reference("u"))).await.ok().map(|response| response.status())
    };
    let stranger = Authority::new();
    assert_eq!(ask_with(&served, Some(clients.sign())).await, Some(StatusCode::OK));
    assert_eq!(ask_with(&served, None).await, None);
    assert_eq!(ask_with(&served, Some(stranger.sign())).await, None);
    // The authorities reload as the certificate does.
    served.folder.write("client-ca.crt", &stranger.pem);
    served.reloader.look(&served.metrics).await;
    assert_eq!(ask_with(&served, Some(stranger.sign())).await, Some(StatusCode::OK));
    assert_eq!(ask_with(&served, Some(clients.sign())).await, None);
}

#[tokio::test]
async fn the_expiry_is_that_of_the_certificate() {
    let served = serve(Setup::default()).await;
    // rcgen's default: the first of January 4096.
    let line = "refgate_certificate_expiry_timestamp_seconds 67090118400";
    let text = served.metrics.render();
    assert!(text.contains(line) || text.contains("timestamp_seconds 6709"), "{text}");
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    // One of each way to write a date (RFC 5280, section 4.1.2.5), leap days among them.
    for (date, seconds) in [
        ((2026, 11, 22), 1_795_305_600),
        ((2028, 2, 29), 1_835_395_200),
        ((2049, 12, 31), 2_524_521_600),
        ((2050, 1, 1), 2_524_608_000),
        ((2100, 3, 1), 4_107_542_400),
    ] {
        params.not_after = rcgen::date_time_ymd(date.0, date.1, date.2);
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(not_after(certificate.der()), Some(seconds), "{date:?}");
        // Cut anywhere, it is no certificate, and nothing worse.
        for length in 0..certificate.der().len() {
            let _ = not_after(&certificate.der()[..length]);
        }
    }
    assert_eq!(not_after(b""), None);
}

#[tokio::test]
async fn who_does_not_shake_hands_is_dropped_and_others_are_served() {
    let limits = Limits { handshake: Duration::from_millis(50), handshakes: 8, ..Limits::default() };
    let served = serve(Setup { limits, ..Setup::default() }).await;
    let other = served.client().from("127.0.0.2".parse().unwrap());
    let mut slow = Vec::new();
    for _ in 0..4 {
        slow.push(other.tcp().await.unwrap());
    }
    assert_eq!(ask(&served.client(), "u").await["uid"], "u");
    for stream in &mut slow {
        // The end of the stream: nothing was said, and it is closed.
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
    }
    // Who speaks another language is told so, and let go.
    let mut plain = TcpStream::connect(served.address).await.unwrap();
    plain.write_all(b"POST /mutate HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut alert = Vec::new();
    plain.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert[0], 21, "a TLS alert");
}

#[tokio::test]
async fn who_asks_nothing_is_dropped() {
    let limits = Limits { first_request: Duration::from_millis(50), ..Limits::default() };
    let served = serve(Setup { limits, ..Setup::default() }).await;
    let mut silent = served.client().tls().await.unwrap();
    assert_eq!(silent.read(&mut [0; 16]).await.unwrap_or(0), 0);
    let mut half = served.client().tls().await.unwrap();
    half.write_all(b"POST /mutate HTTP/1.1\r\nHost:").await.unwrap();
    assert_eq!(half.read(&mut [0; 16]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_slow_body_is_told_so_and_others_are_served() {
    let reviews = http::Limits { body_time: Duration::from_millis(100), ..http::Limits::default() };
    let served = serve(Setup { reviews, ..Setup::default() }).await;
    let (_keep, body) = endless();
    let mut slow = served.client().connect().await.unwrap();
    let slow = tokio::spawn(async move { text(slow.send(post("/mutate", body)).await.unwrap()).await.0 });
    assert_eq!(ask(&served.client(), "u").await["uid"], "u");
    assert_eq!(slow.await.unwrap(), StatusCode::REQUEST_TIMEOUT);
}

/// A body that starts and does not end before the sender is gone.
fn endless() -> (mpsc::Sender<axum::body::Bytes>, Body) {
    let (send, mut receive) = mpsc::channel(1);
    send.try_send(axum::body::Bytes::from_static(b"{")).unwrap();
    let stream = futures_util::stream::poll_fn(move |context| receive.poll_recv(context));
    (send, Body::from_stream(futures_util::StreamExt::map(stream, Ok::<_, std::io::Error>)))
}

#[tokio::test]
async fn a_client_that_resets_harms_nobody() {
    let served = serve(Setup::default()).await;
    let mut patient = served.client().connect().await.unwrap();
    for _ in 0..20 {
        let mut stream = served.client().tls().await.unwrap();
        let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{";
        stream.write_all(head.as_bytes()).await.unwrap();
        socket2::SockRef::from(stream.get_ref().0).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        let response = patient.send(post("/mutate", reference("u"))).await.unwrap();
        assert_eq!(answer(response).await["uid"], "u");
    }
    let text = served.metrics.render();
    assert!(text.contains("kind=\"Pod\",outcome=\"allow\"} 20"), "{text}");
}

#[tokio::test]
async fn two_hundred_connections_at_once() {
    let served = serve(Setup::default()).await;
    // Of two peers: one has at most an eighth of all.
    let clients = ["127.0.0.1", "127.0.0.2"].map(|from| served.client().from(from.parse().unwrap()));
    // All are open before the first one asks.
    let connections = join_all((0..200).map(|number| clients[number % 2].connect())).await;
    let asked = connections.into_iter().enumerate().map(async |(number, connection)| {
        let uid = format!("u-{number}");
        let response = connection.unwrap().send(post("/mutate", reference(&uid))).await.unwrap();
        assert_eq!(answer(response).await["uid"], *uid);
    });
    join_all(asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_limit_an_idle_connection_makes_room_and_one_at_work_does_not() {
    static IS_AT_WORK: AtomicBool = AtomicBool::new(false);
    static MAY_END: AtomicBool = AtomicBool::new(false);
    fn slow(review: &Review<'_>, snapshot: &Snapshot) -> Decision {
        if review.uid == "second" {
            IS_AT_WORK.store(true, Ordering::SeqCst);
            while !MAY_END.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
        policy::decide(review, snapshot)
    }
    let limits = Limits { connections: 1, ..Limits::default() };
    let served = serve(Setup { limits, decide: slow, ..Setup::default() }).await;
    let mut first = served.client().connect().await.unwrap();
    let response = first.send(post("/mutate", reference("first"))).await.unwrap();
    assert_eq!(answer(response).await["uid"], "first");
    let mut second = served.client().connect().await.unwrap();
    assert!(first.ready().await.is_err(), "the idle one is closed");
    // While its review is judged nobody else comes in, and it is answered.
    let sent = async move { answer(second.send(post("/mutate", reference("second"))).await.unwrap()).await };
    let asked = tokio::spawn(sent);
    while !IS_AT_WORK.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    assert!(served.client().connect().await.is_err());
    MAY_END.store(true, Ordering::SeqCst);
    assert_eq!(asked.await.unwrap()["uid"], "second");
}

#[tokio::test]
async fn heads_are_bounded() {
    let served = serve(Setup::default()).await;
    let many = (0..100).map(|number| (format!("x-{number}"), "1".to_owned())).collect::<Vec<_>>();
    let long = vec![("x-long".to_owned(), "1".repeat(20 << 10))];
    for headers in [many, long] {
        let mut request = Request::post("/mutate").header("content-type", "application/json");
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(reference("u"))).unwrap();
        let mut connection = served.client().connect().await.unwrap();
        let status = connection.send(request).await.unwrap().status();
        assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_under_load_answers_every_review_that_was_accepted() {
    let served = serve(Setup::default()).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let (tell, mut told) = mpsc::channel(1024);
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let client = served.client();
            let (answered, tell) = (Arc::clone(&answered), tell.clone());
            tokio::spawn(async move {
                let mut connection = client.connect().await.unwrap();
                // A connection that was told to close takes no further request, which is no failure.
                while connection.ready().await.is_ok() {
                    let sent = connection.send(post("/mutate", reference("u"))).await;
                    let response = match sent {
                        Ok(response) => response,
                        Err(error) if error.is_canceled() => break,
                        Err(error) => panic!("a review was lost: {error:?}"),
                    };
                    assert_eq!(answer(response).await["uid"], "u");
                    answered.fetch_add(1, Ordering::Relaxed);
                    let _ = tell.try_send(());
                }
            })
        })
        .collect();
    for _ in 0..64 {
        told.recv().await.unwrap();
    }
    served.phase.send_replace(Phase::Draining);
    // Every client that asks anything now is told to go; only then is it safe to close what is idle.
    for worker in workers {
        worker.await.unwrap();
    }
    served.phase.send_replace(Phase::Closing);
    served.port.await.unwrap();
    let counted = format!("outcome=\"allow\"}} {}\n", answered.load(Ordering::Relaxed));
    let text = served.metrics.render();
    assert!(text.contains(&counted), "{counted}{text}");
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_review_in_flight_is_answered_after_the_port_closed() {
    let served = serve(Setup::default()).await;
    let (send, body) = endless();
    let mut connection = served.client().connect().await.unwrap();
    let asked =
        tokio::spawn(async move { answer(connection.send(post("/mutate", body)).await.unwrap()).await });
    // Taken by the server as soon as there is room for the next piece.
    send.reserve().await.unwrap();
    // Another connection sees the server at work after that, so the head of the first has arrived too.
    assert_eq!(ask(&served.client(), "other").await["uid"], "other");
    served.phase.send_replace(Phase::Closing);
    while TcpStream::connect(served.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let rest = reference("late").split_off(1);
    send.send(rest.into()).await.unwrap();
    drop(send);
    assert_eq!(asked.await.unwrap()["uid"], "late");
}
