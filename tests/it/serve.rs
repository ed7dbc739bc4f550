//! `serve` as a whole, without a cluster: what it prints, what it reads again, and how it ends.

use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use refgate::serve::dev::{self, DevOptions};
use refgate::serve::state::Change;
use refgate::serve::{Mode, Options, ServeError, Server};
use refgate::world::World;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::harness::{Client, Connection, Folder, WORLD, answer, post, reference, text};

fn options(folder: &Folder) -> Options {
    let local = "127.0.0.1:0".parse().unwrap();
    let world = folder.write("world.yaml", WORLD);
    let dev = DevOptions {
        world,
        certificates: folder.path("certs"),
        review: folder.write("review file.json", reference("u")),
    };
    Options {
        listen: local,
        health: local,
        metrics: local,
        mode: Mode::Dev(dev),
        poll: Duration::from_millis(20),
        ..Options::dev()
    }
}

struct Process {
    client: Client,
    health: std::net::SocketAddr,
    metrics: std::net::SocketAddr,
    banner: String,
    stop: oneshot::Sender<()>,
    abort: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServeError>>,
    folder: Folder,
}

impl Process {
    async fn start(change: impl FnOnce(&Folder, &mut Options)) -> Self {
        let folder = Folder::new();
        let mut options = options(&folder);
        change(&folder, &mut options);
        let server = Server::bind(options).await.unwrap();
        let authority = std::fs::read_to_string(folder.path("certs/ca.crt")).unwrap();
        assert!(!authority.contains("PRIVATE KEY"));
        let client = Client::new(server.address(), &authority);
        let (health, metrics) = (server.health_address(), server.metrics_address());
        let banner = server.banner().to_owned();
        let (stop, stopped) = oneshot::channel::<()>();
        let (abort, aborted) = oneshot::channel::<()>();
        let wait = async |signal: oneshot::Receiver<()>| {
            if signal.await.is_err() {
                pending::<()>().await;
            }
        };
        let ended = tokio::spawn(server.run(wait(stopped), wait(aborted)));
        Self { client, health, metrics, banner, stop, abort, ended, folder }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let address = if path == "/metrics" { self.metrics } else { self.health };
        let mut connection = Connection::over(TcpStream::connect(address).await.unwrap()).await;
        text(connection.send(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()).await
    }

    async fn ask(&self) -> serde_json::Value {
        let mut connection = self.client.connect().await.unwrap();
        answer(connection.send(post("/mutate?timeout=10s", reference("u"))).await.unwrap()).await
    }
}

#[tokio::test]
async fn without_a_cluster_it_answers_with_an_injected_pod() {
    let process = Process::start(|_, _| {}).await;
    let response = process.ask().await;
    assert_eq!((&response["uid"], &response["allowed"]), (&"u".into(), &true.into()));
    let (status, ready) = process.get("/readyz").await;
    assert_eq!((status, ready.as_str()), (StatusCode::OK, "ready\n"));
    assert_eq!(process.get("/livez").await, (StatusCode::OK, "alive\n".to_owned()));
    assert_eq!(process.get("/other").await.0, StatusCode::NOT_FOUND);
    let (_, metrics) = process.get("/metrics").await;
    assert!(metrics.contains("refgate_snapshot_age_seconds 0.0"), "{metrics}");
}

#[tokio::test]
async fn what_it_prints_can_be_pasted() {
    let process = Process::start(|_, _| {}).await;
    let lines: Vec<&str> = process.banner.lines().filter(|line| line.contains("curl")).collect();
    let [plain, decoded] = lines[..] else { panic!("{}", process.banner) };
    // As a shell runs it; a machine without curl has nothing to paste into.
    let shell = async |line: &str| {
        let output = tokio::task::spawn_blocking({
            let line = line.to_owned();
            move || std::process::Command::new("sh").args(["-c", &line]).output().unwrap()
        });
        String::from_utf8(output.await.unwrap().stdout).unwrap()
    };
    if shell("command -v curl").await.is_empty() {
        assert!(plain.contains("--data-binary @'") && plain.contains("/mutate"));
        return;
    }
    assert!(shell(plain).await.contains("\"allowed\":true"), "{plain}");
    let patch: serde_json::Value = serde_json::from_str(&shell(decoded).await).unwrap();
    assert!(patch.to_string().contains("the-secret"), "{patch}");
}

#[tokio::test]
async fn a_world_that_changes_is_read_again() {
    let process = Process::start(|_, _| {}).await;
    assert_eq!(process.ask().await["allowed"], true);
    process.folder.write("world.yaml", WORLD.replace("refgate.dev/group: mozmeao, ", ""));
    while process.ask().await["allowed"] == true {
        tokio::task::yield_now().await;
    }
    process.folder.write("world.yaml", WORLD);
    while process.ask().await["allowed"] == false {
        tokio::task::yield_now().await;
    }
}

/// Virtual time: the follower looks at the file several times before the test goes on.
#[tokio::test(start_paused = true)]
async fn half_a_world_leaves_the_last_good_one() {
    let folder = Folder::new();
    let path = folder.write("world.yaml", WORLD);
    let (_, fingerprint) = dev::read_world(&path).await.unwrap();
    let (sender, mut changes) = mpsc::channel(8);
    let second = Duration::from_secs(1);
    let follower = tokio::spawn(dev::follow_world(path.clone(), fingerprint, second, sender));
    let halves =
        (0..WORLD.len()).filter(|end| WORLD.is_char_boundary(*end)).map(|end| WORLD[..end].to_owned());
    // A cut between two documents leaves a good world, which nobody can tell from one that was meant.
    let bad: Vec<String> = halves
        .filter(|half| World::read(half).namespaces.is_empty() || !World::read(half).problems.is_empty())
        .collect();
    assert!(bad.len() > WORLD.len() / 4, "{}", bad.len());
    for half in bad.iter().step_by(bad.len() / 20) {
        folder.write("world.yaml", half);
        tokio::time::sleep(3 * second).await;
        assert!(changes.try_recv().is_err(), "{half}");
    }
    std::fs::remove_file(&path).unwrap();
    tokio::time::sleep(3 * second).await;
    assert!(changes.try_recv().is_err());
    folder.write("world.yaml", WORLD);
    let Some(Change::World(world)) = changes.recv().await else { panic!("the world is not read again") };
    assert_eq!(world.namespaces.len(), World::read(WORLD).namespaces.len());
    follower.abort();
}

#[tokio::test]
async fn an_invalid_configuration_leaves_the_last_good_one() {
    let process = Process::start(|folder, options| {
        options.configuration = Some(folder.write("refgate.yaml", "defaults: {enforce: baseline}"));
    })
    .await;
    let judged = async |process: &Process| {
        let mut connection = process.client.connect().await.unwrap();
        let body = crate::harness::review("u", "snippets-stage", "postgres://web:correcthorsebattery@db/web");
        answer(connection.send(post("/validate", body)).await.unwrap()).await["allowed"] == true
    };
    let metric =
        async |process: &Process| process.get("/metrics").await.1.contains("refgate_config_reload_success 1");
    assert!(!judged(&process).await);
    assert!(metric(&process).await);
    process.folder.write("refgate.yaml", "defaults: {enforce: off, nonsense: 1}");
    while metric(&process).await {
        tokio::task::yield_now().await;
    }
    assert!(!judged(&process).await);
    process.folder.write("refgate.yaml", "defaults: {enforce: off}");
    while !judged(&process).await {
        tokio::task::yield_now().await;
    }
    assert!(metric(&process).await);
    // Gone is no change of mind either.
    std::fs::remove_file(process.folder.path("refgate.yaml")).unwrap();
    while metric(&process).await {
        tokio::task::yield_now().await;
    }
    assert!(judged(&process).await);
    process.folder.write("refgate.yaml", "defaults: {enforce: off}");
    while !metric(&process).await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn told_to_stop_it_is_not_ready_and_still_serves_until_the_grace_is_over() {
    let hour = Duration::from_secs(3600);
    let process = Process::start(|_, options| options.grace = hour).await;
    let mut old = process.client.connect().await.unwrap();
    assert_eq!(answer(old.send(post("/mutate", reference("u"))).await.unwrap()).await["uid"], "u");
    process.stop.send(()).unwrap();
    let stopping = (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned());
    let get = async |path: &str| {
        let mut connection = Connection::over(TcpStream::connect(process.health).await.unwrap()).await;
        text(connection.send(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()).await
    };
    while get("/readyz").await != stopping {
        tokio::task::yield_now().await;
    }
    assert_eq!(get("/livez").await.0, StatusCode::OK);
    // Old connections are answered and asked to go; new ones are answered, too.
    let response = old.send(post("/mutate", reference("u"))).await.unwrap();
    assert_eq!(response.headers()["connection"], "close");
    assert_eq!(answer(response).await["uid"], "u");
    let mut new = process.client.connect().await.unwrap();
    assert_eq!(answer(new.send(post("/mutate", reference("u"))).await.unwrap()).await["uid"], "u");
    // A second signal does not wait for the hour.
    process.abort.send(()).unwrap();
    process.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_never_ends_does_not_keep_it_alive() {
    let process = Process::start(|_, options| options.drain = Duration::from_millis(50)).await;
    let mut connection = process.client.connect().await.unwrap();
    let never =
        Body::from_stream(futures_util::stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
    let asked = tokio::spawn(async move { connection.send(post("/mutate", never)).await.is_ok() });
    assert_eq!(process.ask().await["uid"], "u");
    process.stop.send(()).unwrap();
    process.ended.await.unwrap().unwrap();
    asked.abort();
}

#[tokio::test]
async fn what_is_wrong_at_the_start_is_said_by_name() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = async |change: &dyn Fn(&Folder, &mut Options)| {
        let folder = Folder::new();
        let mut options = options(&folder);
        change(&folder, &mut options);
        let error: Box<dyn std::error::Error> = match Server::bind(options).await {
            Ok(_) => panic!("it started"),
            Err(error) => error.into(),
        };
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}").replace(folder.path("").to_str().unwrap(), "DIR/")
    };
    let said = error(&|_, options| options.listen = address).await;
    assert!(said.starts_with(&format!("cannot listen on {address}, which --listen names: ")), "{said}");
    let said = error(&|_, options| options.health = address).await;
    assert!(said.contains("which --health-listen names"), "{said}");
    let said = error(&|_, options| options.metrics = address).await;
    assert!(said.contains("which --metrics-listen names"), "{said}");
    let said =
        error(&|_, options| options.configuration = Some(PathBuf::from("/nowhere/refgate.yaml"))).await;
    assert!(said.starts_with("cannot read the configuration /nowhere/refgate.yaml: "), "{said}");
    let said =
        error(&|folder, options| options.configuration = Some(folder.write("c.yaml", "a: 1\nfoo: 2"))).await;
    assert!(said.starts_with("the configuration DIR/c.yaml is invalid: line 1: unknown key `a`"), "{said}");
    let said = error(&|folder, _| std::fs::remove_file(folder.path("world.yaml")).unwrap()).await;
    assert!(said.starts_with("cannot read the world file DIR/world.yaml: "), "{said}");
    for (world, why) in [
        ("a: [\n", "line 1: "),
        ("", "it holds no Namespace"),
        ("apiVersion: v1\nkind: Namespace\nmetadata: {}\n", "line 1: a Namespace: has no name"),
    ] {
        let said = error(&|folder, _| drop(folder.write("world.yaml", world))).await;
        assert!(said.starts_with(&format!("the world file DIR/world.yaml is invalid: {why}")), "{said}");
    }
    let said = error(&|folder, _| drop(folder.write("certs", "a file"))).await;
    assert!(said.starts_with("cannot write DIR/certs/ca.crt: "), "{said}");
    let said = error(&|folder, options| {
        let tls = crate::harness::files(folder, None);
        options.mode = Mode::Cluster { tls, kubeconfig: None, namespace: "refgate-system".to_owned() };
    })
    .await;
    assert!(said.starts_with("cannot read DIR/tls.crt: "), "{said}");
}
