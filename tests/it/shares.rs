//! Peers that take all they can get, beside honest reviews: the whole process, over TLS, from several addresses of loopback.

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::future::join_all;
use refgate::serve::connection::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{
    Client, Connection, Folder, Setup, WORLD, answer, post, reference, review, serve, text,
};

fn address(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// Asks once on a new connection.
async fn ask(client: &Client) -> serde_json::Value {
    let mut connection = client.connect().await.unwrap();
    answer(connection.send(post("/mutate?timeout=10s", reference("u"))).await.unwrap()).await
}

/// So many connections that say nothing, not even a handshake.
async fn silent(client: &Client, count: usize) -> Vec<TcpStream> {
    join_all((0..count).map(|_| client.tcp())).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn connections_of_one_peer_leave_room_for_others() {
    let limits = Limits { connections: 32, handshakes: 32, ..Limits::default() };
    let served = serve(Setup { limits, ..Setup::default() }).await;
    let mut honest = served.client().from(address(2)).connect().await.unwrap();
    let attacker = served.client().from(address(3));
    let mut held = silent(&attacker, 40).await;
    assert_eq!(ask(&served.client().from(address(2))).await["uid"], "u");
    // What is idle of others is not closed for the attacker's sake.
    assert_eq!(answer(honest.send(post("/mutate", reference("u"))).await.unwrap()).await["uid"], "u");
    // The first of its own were.
    assert_eq!(held[0].read(&mut [0]).await.unwrap_or(0), 0);
}

/// Attackers from so many addresses that nothing is left but the reserve.
#[tokio::test]
async fn the_reserve_is_kept_for_api_servers() {
    let limits = Limits { connections: 32, handshakes: 32, ..Limits::default() };
    let api_servers = vec!["127.0.0.2/32".parse().unwrap()];
    let served = serve(Setup { limits, api_servers, ..Setup::default() }).await;
    let mut held = Vec::new();
    for last in 10..20 {
        held.extend(silent(&served.client().from(address(last)), 6).await);
    }
    let api_server = served.client().from(address(2));
    // More than its share of the rest would be.
    let mut connections = Vec::new();
    for _ in 0..8 {
        let mut connection = api_server.connect().await.unwrap();
        let response = connection.send(post("/mutate", reference("u"))).await.unwrap();
        assert_eq!(answer(response).await["uid"], "u");
        connections.push(connection);
    }
    // Idle ones in the reserve stay, whoever else comes.
    held.extend(silent(&served.client().from(address(20)), 6).await);
    for connection in &mut connections {
        let response = connection.send(post("/mutate", reference("u"))).await.unwrap();
        assert_eq!(answer(response).await["uid"], "u");
    }
}

/// `serve --dev` as a process of its own.
struct Process {
    child: Child,
    client: Client,
    health: SocketAddr,
    _folder: Folder,
}

impl Process {
    fn start() -> Self {
        let folder = Folder::new();
        let world = folder.write("world.yaml", WORLD);
        let local = "127.0.0.1:0";
        let mut child = Command::new(env!("CARGO_BIN_EXE_refgate"))
            .args(["serve", "--dev", "--listen", local, "--health-listen", local, "--metrics-listen", local])
            .arg("--world")
            .arg(world)
            .current_dir(folder.path(""))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let after = |start: &str| {
            let rest = line.split(start).nth(1).unwrap_or_else(|| panic!("no {start} in {line}"));
            rest.split([',', '\n']).next().unwrap().parse().unwrap()
        };
        let (address, health) = (after("https://"), after("health on http://"));
        let authority = std::fs::read_to_string(folder.path("certs/dev/ca.crt")).unwrap();
        let client = Client::new(address, &authority).from(IpAddr::from([127, 0, 0, 1]));
        Self { child, client, health, _folder: folder }
    }

    /// The most that it ever held, in MiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// So long an attacker waits before it comes again: what it costs itself is not what is tested.
const AGAIN: Duration = Duration::from_millis(200);

/// Opens connections again as often as they are closed, and says on each what is given; until the test ends.
fn hold(attackers: &mut JoinSet<()>, client: &Client, count: usize, say: Option<&'static [u8]>) {
    for _ in 0..count {
        let client = client.clone();
        attackers.spawn(async move {
            loop {
                // What is refused is tried again: an attacker is not discouraged.
                match say {
                    None => {
                        if let Ok(mut stream) = client.tcp().await {
                            let _ = stream.read(&mut [0]).await;
                        }
                    }
                    Some(text) => {
                        if let Ok(mut stream) = client.tls().await {
                            let _ = stream.write_all(text).await;
                            let _ = stream.read(&mut [0]).await;
                        }
                    }
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

/// A review of about so many bytes whose object is a pod with nothing but empty arguments.
fn empty_arguments(bytes: usize) -> String {
    let container = |number: usize| {
        let arguments = vec!["\"\""; 40_000].join(",");
        format!("{{\"name\":\"c{number}\",\"args\":[{arguments}]}}")
    };
    let containers: Vec<String> = (0..bytes / 120_000).map(container).collect();
    let object = format!(
        "{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{{\"generateName\":\"web-\"}},\"spec\":{{\"containers\":[{}]}}}}",
        containers.join(",")
    );
    format!(
        "{{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":{{\"uid\":\"large\",\
         \"kind\":{{\"group\":\"\",\"kind\":\"Pod\",\"version\":\"v1\"}},\"namespace\":\"snippets-stage\",\
         \"operation\":\"CREATE\",\"object\":{object}}}}}"
    )
}

/// Sends large reviews again and again, until the test ends.
fn send(attackers: &mut JoinSet<()>, client: &Client, count: usize, body: &Arc<str>) {
    for _ in 0..count {
        let (client, body) = (client.clone(), Arc::clone(body));
        attackers.spawn(async move {
            loop {
                if let Ok(mut connection) = client.connect().await {
                    let _ = connection.send(post("/validate", Body::from(body.to_string()))).await;
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attacks_from_pods_fail_no_honest_review_and_take_no_memory() {
    const REVIEWS: usize = 3_000;
    const WORKERS: usize = 8;
    let mut process = Process::start();
    let mut attackers = JoinSet::new();
    let from = |last| process.client.from(address(last));
    // Connections without a handshake, without a request, and with a body that never ends.
    hold(&mut attackers, &from(2), 150, None);
    hold(&mut attackers, &from(3), 150, Some(b""));
    let slow = b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n{";
    hold(&mut attackers, &from(4), 150, Some(slow));
    // Bodies as large as may be, and objects that are larger in memory than on the wire.
    let body = |review: String| Arc::<str>::from(review);
    send(&mut attackers, &from(5), 2, &body(review("u", "snippets-stage", &"x".repeat(9 << 20))));
    send(&mut attackers, &from(6), 8, &body(empty_arguments(800_000)));
    send(&mut attackers, &from(7), 2, &body(empty_arguments(9_000_000)));
    // Sockets on the port of probes, from a pod and from elsewhere.
    let plain = |last| Client::new(process.health, "").from(address(last));
    hold(&mut attackers, &plain(2), 64, None);

    let asked = AtomicUsize::new(0);
    let is_over = AtomicBool::new(false);
    let honest = async {
        let workers = (0..WORKERS).map(async |_| {
            let mut connection = process.client.connect().await.unwrap();
            while asked.fetch_add(1, Ordering::Relaxed) < REVIEWS {
                let response = connection.send(post("/mutate?timeout=10s", reference("u"))).await.unwrap();
                assert_eq!(answer(response).await["allowed"], true);
                if asked.load(Ordering::Relaxed).is_multiple_of(16) {
                    connection = process.client.connect().await.unwrap();
                }
            }
        });
        join_all(workers).await;
        is_over.store(true, Ordering::Relaxed);
    };
    let probes = async {
        while !is_over.load(Ordering::Relaxed) {
            let stream = plain(1).tcp().await.unwrap();
            let request = Request::get("/livez").body(Body::empty()).unwrap();
            let response = Connection::over(stream).await.send(request).await.unwrap();
            assert_eq!(response.headers()["connection"], "close");
            assert_eq!(text(response).await.0, StatusCode::OK);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    futures_util::future::join(honest, probes).await;
    assert!(process.child.try_wait().unwrap().is_none(), "it lives");
    let peak = process.peak();
    // The limit of manifests/base/50-deployment.yaml.
    assert!(peak < 256, "{peak} MiB");
}
