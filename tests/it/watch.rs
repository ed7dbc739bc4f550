//! The watch: complete lists, resumed streams, 410, bookmarks, one bad object; against a scripted API over HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use refgate::cluster::{Event, Pace, Source, Watcher};
use refgate::policy::snapshot::{Binding, Snapshot};
use refgate::serve::state::{self, Freshness, State};
use refgate::serve::watch::{self as watches, Feed};
use refgate::serve::{Mode, Options, Server};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot, watch};

use crate::api::{Api, Reply, bookmark, catalogue, event, namespace, page, status};
use crate::harness::{
    Authority, Client, Connection, Folder, answer, files, post, reference, text, write_pair,
};

mod carried;

const NAMESPACES: &str = "/api/v1/namespaces";
const CATALOGUES: &str = "/api/v1/namespaces/refgate-system/configmaps";

fn quick() -> Pace {
    Pace { first: Duration::from_millis(1), longest: Duration::from_millis(5), ..Pace::default() }
}

/// Decodes the name alone; an object named by a number is a bad one.
fn name(raw: &RawValue) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(raw.get()).unwrap();
    value["metadata"]["name"].as_str().map(str::to_owned)
}

struct Watched {
    api: Api,
    events: mpsc::UnboundedReceiver<Event<String>>,
}

impl Watched {
    /// Starts to watch; the script is written before.
    fn start(api: &Api) -> Self {
        Self::paced(api, quick())
    }

    fn paced(api: &Api, pace: Pace) -> Self {
        let (send, events) = mpsc::unbounded_channel();
        let source = Source { path: NAMESPACES.to_owned(), labels: Some("a=b".to_owned()) };
        let mut watcher = Watcher::new(api.client(), source, pace, name);
        tokio::spawn(async move { while send.send(watcher.next().await).is_ok() {} });
        Self { api: api.clone(), events }
    }

    async fn next(&mut self) -> Event<String> {
        let next = tokio::time::timeout(Duration::from_secs(10), self.events.recv()).await;
        next.unwrap_or_else(|_| panic!("no event; asked was {:#?}", self.api.asked())).unwrap()
    }

    async fn expect(&mut self, events: &[Event<String>]) {
        for event in events {
            assert_eq!(&self.next().await, event);
        }
    }

    /// What was asked, as list or as the version that a watch resumes from.
    fn steps(&self) -> Vec<String> {
        let asked = self.api.asked();
        let part = |url: &str, key: &str| {
            let found = url.split(['?', '&']).find_map(|pair| pair.strip_prefix(key).map(str::to_owned));
            found.unwrap_or_default()
        };
        let step = |url: &String| {
            assert!(url.contains("labelSelector=a%3Db"), "{url}");
            if part(url, "watch=") == "true" {
                assert!(url.contains("allowWatchBookmarks=true"), "{url}");
                return format!("watch {}", part(url, "resourceVersion="));
            }
            assert_eq!(part(url, "limit="), "500");
            format!("list {}", part(url, "continue="))
        };
        asked.iter().map(step).collect()
    }
}

fn restart(names: &[&str]) -> Event<String> {
    Event::Restart(names.iter().map(|&name| name.to_owned()).collect())
}

fn apply(name: &str) -> Event<String> {
    Event::Apply(name.to_owned())
}

fn delete(name: &str) -> Event<String> {
    Event::Delete { namespace: String::new(), name: name.to_owned() }
}

fn object(name: &str, version: &str) -> serde_json::Value {
    namespace(name, version, "stage")
}

#[tokio::test]
async fn a_list_is_reported_when_its_last_page_is_there() {
    let api = Api::start().await;
    api.reply(NAMESPACES, page("", "second", &[object("a", "1"), object("b", "2")]));
    // The second page is lost, and with it the first one: half a list is never reported.
    api.reply(NAMESPACES, Reply::Status(500));
    api.reply(NAMESPACES, page("", "again", &[object("a", "1"), object("b", "2")]));
    api.reply(NAMESPACES, page("7", "", &[object("c", "3")]));
    let pieces = api.stream(NAMESPACES);
    let mut watched = Watched::start(&api);
    watched.expect(&[restart(&["a", "b", "c"])]).await;
    pieces.send(event("ADDED", &object("d", "8")) + &event("MODIFIED", &object("a", "9")));
    pieces.send(event("DELETED", &object("b", "10")));
    watched.expect(&[apply("d"), apply("a"), delete("b")]).await;
    assert_eq!(watched.steps(), ["list ", "list second", "list ", "list again", "watch 7"]);
}

#[tokio::test]
async fn a_page_that_expired_starts_the_list_anew() {
    let api = Api::start().await;
    api.reply(NAMESPACES, page("", "second", &[object("a", "1")]));
    api.reply(NAMESPACES, Reply::Status(410));
    api.reply(NAMESPACES, page("7", "", &[object("b", "3")]));
    let mut watched = Watched::start(&api);
    watched.expect(&[restart(&["b"])]).await;
    assert_eq!(watched.steps()[..3], ["list ", "list second", "list "]);
}

#[tokio::test]
async fn a_stream_that_ends_or_breaks_is_resumed_where_it_was() {
    let api = Api::start().await;
    api.reply(NAMESPACES, page("7", "", &[]));
    let first = api.stream(NAMESPACES);
    let second = api.stream(NAMESPACES);
    let third = api.stream(NAMESPACES);
    let mut watched = Watched::start(&api);
    watched.expect(&[restart(&[])]).await;
    // An event in two pieces is one event; the one that breaks off in the middle comes again.
    let line = event("ADDED", &object("a", "8"));
    let (one, two) = line.split_at(20);
    first.send(one);
    first.send(two);
    watched.expect(&[apply("a")]).await;
    first.send(&event("ADDED", &object("b", "9"))[..30]);
    first.break_off();
    second.send(event("ADDED", &object("b", "9")));
    watched.expect(&[apply("b")]).await;
    drop(second);
    third.send(bookmark("30"));
    watched.expect(&[Event::Alive]).await;
    assert_eq!(watched.steps(), ["list ", "watch 7", "watch 8", "watch 9"]);
}

#[tokio::test]
async fn a_bookmark_is_a_sign_of_life_and_moves_the_version() {
    let api = Api::start().await;
    api.reply(NAMESPACES, page("7", "", &[]));
    api.reply(NAMESPACES, Reply::Lines(vec![bookmark("20"), "\n".to_owned(), bookmark("21")]));
    let pieces = api.stream(NAMESPACES);
    let mut watched = Watched::start(&api);
    watched.expect(&[restart(&[]), Event::Alive, Event::Alive]).await;
    pieces.send(event("ADDED", &object("a", "22")));
    watched.expect(&[apply("a")]).await;
    assert_eq!(watched.steps(), ["list ", "watch 7", "watch 21"]);
}

#[tokio::test]
async fn gone_in_a_stream_or_as_an_answer_lists_anew() {
    let api = Api::start().await;
    api.reply(NAMESPACES, page("7", "", &[object("a", "1")]));
    api.reply(NAMESPACES, Reply::Lines(vec![event("ERROR", &status(410))]));
    api.reply(NAMESPACES, page("50", "", &[object("b", "2")]));
    api.reply(NAMESPACES, Reply::Status(410));
    api.reply(NAMESPACES, page("60", "", &[object("c", "3")]));
    let pieces = api.stream(NAMESPACES);
    let mut watched = Watched::start(&api);
    watched.expect(&[restart(&["a"]), restart(&["b"]), restart(&["c"])]).await;
    pieces.send(bookmark("61"));
    watched.expect(&[Event::Alive]).await;
    assert_eq!(watched.steps(), ["list ", "watch 7", "list ", "watch 50", "list ", "watch 60"]);
}

#[tokio::test]
async fn other_failures_resume_and_after_many_list_anew() {
    let api = Api::start().await;
    api.reply(NAMESPACES, Reply::Status(503));
    api.reply(NAMESPACES, Reply::Lines(vec!["no JSON".to_owned()]));
    api.reply(NAMESPACES, page("7", "", &[object("a", "1")]));
    api.reply(NAMESPACES, Reply::Lines(vec![event("ERROR", &status(500))]));
    api.reply(NAMESPACES, Reply::Lines(vec!["no JSON\n".to_owned()]));
    for _ in 0..2 {
        api.reply(NAMESPACES, Reply::Status(403));
    }
    api.reply(NAMESPACES, page("80", "", &[object("b", "1")]));
    let mut watched = Watched::start(&api);
    watched.expect(&[restart(&["a"]), restart(&["b"])]).await;
    let steps = ["list ", "list ", "list ", "watch 7", "watch 7", "watch 7", "watch 7", "list "];
    assert_eq!(watched.steps()[..8], steps);
}

/// kube's client would try these again by itself, silently, and with waits that grow past two minutes.
#[tokio::test]
async fn the_watch_alone_says_when_a_failure_is_tried_again() {
    for code in [429, 503, 504] {
        let api = Api::start().await;
        api.reply(NAMESPACES, Reply::Status(code));
        api.reply(NAMESPACES, page("7", "", &[]));
        let request = axum::http::Request::get(NAMESPACES).body(Vec::new()).unwrap();
        let failure = api.client().request_text(request).await.unwrap_err();
        assert!(matches!(failure, kube::Error::Api(status) if status.code == code), "{code}");
        assert_eq!(api.asked(), [NAMESPACES]);
    }
}

#[tokio::test]
async fn one_bad_object_is_skipped_and_the_watch_goes_on() {
    let bad = json!({"metadata": {"name": 7, "resourceVersion": "9"}});
    let no_metadata = json!("not an object");
    let api = Api::start().await;
    api.reply(
        NAMESPACES,
        page("7", "", &[object("a", "1"), bad.clone(), no_metadata.clone(), object("b", "2")]),
    );
    let pieces = api.stream(NAMESPACES);
    let mut watched = Watched::start(&api);
    watched.expect(&[restart(&["a", "b"])]).await;
    for object in [&bad, &no_metadata] {
        pieces.send(event("MODIFIED", object));
        pieces.send(event("DELETED", object));
    }
    pieces.send(event("UNHEARD-OF", &object("x", "9")));
    pieces.send(event("ADDED", &object("c", "10")));
    watched.expect(&[apply("c")]).await;
    assert_eq!(watched.steps(), ["list ", "watch 7"]);
}

#[tokio::test]
async fn a_connection_that_went_dead_is_given_up() {
    let api = Api::start().await;
    api.reply(NAMESPACES, Reply::Silence);
    api.reply(NAMESPACES, page("7", "", &[]));
    let dead = api.stream(NAMESPACES);
    let pieces = api.stream(NAMESPACES);
    pieces.send(bookmark("8"));
    let mut watched = Watched::paced(&api, Pace { silence: Duration::from_millis(100), ..quick() });
    watched.expect(&[restart(&[]), Event::Alive]).await;
    assert_eq!(watched.steps(), ["list ", "list ", "watch 7", "watch 7"]);
    drop(dead);
}

/// Both watches and the writer, as `serve` has them.
async fn follow(api: &Api) -> (watch::Receiver<Option<Arc<Snapshot>>>, Arc<Freshness>) {
    let (changes, queue) = mpsc::channel(64);
    let (publish, snapshots) = watch::channel(None);
    let freshness = Arc::new(Freshness::new(watches::WATCHES));
    let metrics = Arc::default();
    let feed = Feed { changes, freshness: Arc::clone(&freshness), snapshots: snapshots.clone(), metrics };
    tokio::spawn(state::run(State::new(Default::default()), queue, publish, Arc::clone(&freshness)));
    tokio::spawn(watches::namespaces(api.client(), quick(), feed.clone()));
    tokio::spawn(watches::catalogues(api.client(), "refgate-system".to_owned(), quick(), feed));
    (snapshots, freshness)
}

async fn when(
    snapshots: &mut watch::Receiver<Option<Arc<Snapshot>>>,
    fits: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    let fits = |snapshot: &Option<Arc<Snapshot>>| snapshot.as_ref().is_some_and(|snapshot| fits(snapshot));
    let found = tokio::time::timeout(Duration::from_secs(10), snapshots.wait_for(fits)).await;
    found.expect("no such snapshot came").unwrap().clone().unwrap()
}

const ENTRY: &str =
    r#"[{"path": "mozmeao/snippets/stage/database_url", "secret": "the-secret", "keys": ["value"]}]"#;

fn secret_of(snapshot: &Snapshot, namespace: &str) -> Option<String> {
    Some(snapshot.namespaces.get(namespace)?.catalogue.entries().first()?.secret.to_string())
}

#[tokio::test]
async fn what_is_watched_becomes_a_snapshot_and_what_cannot_be_read_stays() {
    let api = Api::start().await;
    let bad = json!({"metadata": {"name": "bad", "labels": 7}});
    api.reply(NAMESPACES, page("5", "", &[object("good", "1"), bad]));
    let spaces = api.stream(NAMESPACES);
    let misnamed = json!({"metadata": {"name": "else", "labels": {"refgate.dev/catalogue": "true"}}});
    api.reply(CATALOGUES, page("5", "", &[misnamed, catalogue("good", "2", ENTRY)]));
    let lists = api.stream(CATALOGUES);
    let (mut snapshots, _) = follow(&api).await;
    let first = when(&mut snapshots, |_| true).await;
    assert_eq!(secret_of(&first, "good").as_deref(), Some("the-secret"));
    assert!(!first.namespaces.contains_key("bad"), "never judged by a default");

    // A catalogue and a namespace that cannot be read any more: what was known of them holds.
    lists.send(event("MODIFIED", &catalogue("good", "6", "not a list")));
    let mut broken = object("good", "7");
    broken["metadata"]["labels"] = json!(["not", "a", "map"]);
    spaces.send(event("MODIFIED", &broken));
    // A scope that is new is known after that, so both were seen.
    lists.send(event("ADDED", &catalogue("late", "8", &ENTRY.replace("the-secret", "second"))));
    spaces.send(event("ADDED", &namespace("late", "9", "prod")));
    let second = when(&mut snapshots, |snapshot| secret_of(snapshot, "late").is_some()).await;
    assert_eq!(secret_of(&second, "good").as_deref(), Some("the-secret"));
    assert!(matches!(second.namespaces["good"].namespace.binding, Binding::Bound { .. }));

    // An entry that cannot be read goes alone.
    let half = ENTRY.replace('[', "[{\"path\": 7},").replace("[{\"path\": 7},\"value\"]", "[\"value\"]");
    lists.send(event("MODIFIED", &catalogue("good", "10", &half.replace("the-secret", "third"))));
    when(&mut snapshots, |snapshot| secret_of(snapshot, "good").as_deref() == Some("third")).await;
    lists.send(event("DELETED", &catalogue("good", "11", ENTRY)));
    spaces.send(event("DELETED", &namespace("late", "12", "prod")));
    let last = when(&mut snapshots, |snapshot| {
        secret_of(snapshot, "good").is_none() && !snapshot.namespaces.contains_key("late")
    });
    assert!(last.await.namespaces.contains_key("good"));
}

#[tokio::test]
async fn only_refgates_own_namespace_is_asked_for_catalogues() {
    let api = Api::start().await;
    api.reply(NAMESPACES, page("5", "", &[]));
    api.reply(CATALOGUES, page("5", "", &[]));
    let (mut snapshots, _) = follow(&api).await;
    when(&mut snapshots, |_| true).await;
    let asked = api.asked();
    let lists: Vec<_> = asked.iter().filter(|url| !url.contains("watch=")).collect();
    assert_eq!(lists.len(), 2, "{asked:?}");
    assert!(
        asked.iter().all(|url| url.starts_with(CATALOGUES) || url.starts_with("/api/v1/namespaces?")),
        "{asked:?}"
    );
    let selector = "labelSelector=refgate.dev%2Fcatalogue%3Dtrue";
    assert!(lists.iter().all(|url| url.contains(selector) == url.starts_with(CATALOGUES)), "{asked:?}");
}

/// The whole process with a cluster that is a script.
struct Process {
    address: std::net::SocketAddr,
    health: std::net::SocketAddr,
    metrics: std::net::SocketAddr,
    authority: Authority,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Result<(), refgate::serve::ServeError>>,
    _folder: Folder,
}

impl Process {
    async fn start(api: &Api) -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        write_pair(&folder, &authority.sign());
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"http://{}\"}}}}]\nusers: [{{name: u, user: {{}}}}]\n",
            api.address
        );
        let kubeconfig = Some(folder.write("kubeconfig", kubeconfig));
        let local = "127.0.0.1:0".parse().unwrap();
        let namespace = "refgate-system".to_owned();
        let options = Options {
            listen: local,
            health: local,
            metrics: local,
            grace: Duration::ZERO,
            mode: Mode::Cluster { tls: files(&folder, None), kubeconfig, namespace },
            ..Options::cluster(files(&folder, None))
        };
        let server = Server::bind(options).await.unwrap();
        assert_eq!(server.banner(), "");
        let (address, health) = (server.address(), server.health_address());
        let metrics = server.metrics_address();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let ended = tokio::spawn(server.run(stopped, std::future::pending()));
        Self { address, health, metrics, authority, stop, ended, _folder: folder }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let address = if path == "/metrics" { self.metrics } else { self.health };
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut connection = Connection::over(stream).await;
        let request = axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap();
        text(connection.send(request).await.unwrap()).await
    }

    async fn ask(&self) -> axum::http::Response<hyper::body::Incoming> {
        let client = Client::new(self.address, &self.authority.pem);
        client.connect().await.unwrap().send(post("/mutate", reference("u"))).await.unwrap()
    }
}

#[tokio::test]
async fn the_process_is_ready_when_it_can_answer_and_judges_by_what_it_watches() {
    let api = Api::start().await;
    api.reply(NAMESPACES, page("5", "", &[namespace("snippets-stage", "1", "stage")]));
    let spaces = api.stream(NAMESPACES);
    let lists = api.stream(CATALOGUES);
    let process = Process::start(&api).await;
    // Namespaces are there and catalogues are not: alive, not ready, and a review is a failure of ours.
    assert_eq!(process.get("/livez").await.0, StatusCode::OK);
    let waiting = "namespaces, catalogues and objects of other sync systems are not all read yet\n";
    let unready = (StatusCode::SERVICE_UNAVAILABLE, waiting.to_owned());
    assert_eq!(process.get("/readyz").await, unready);
    assert_eq!(process.ask().await.status(), StatusCode::SERVICE_UNAVAILABLE);

    let Reply::Json(list) = page("5", "", &[catalogue("snippets-stage", "2", ENTRY)]) else { unreachable!() };
    lists.send(list.to_string());
    drop(lists);
    while process.get("/readyz").await.0 != StatusCode::OK {
        tokio::task::yield_now().await;
    }
    let response = answer(process.ask().await).await;
    assert_eq!(response["allowed"], true, "{response}");

    // Bound anew, it is judged by the new scope.
    spaces.send(event("MODIFIED", &namespace("snippets-stage", "9", "prod")));
    let paths = "mozmeao/snippets/prod/database_url";
    while answer(process.ask().await).await["auditAnnotations"]["paths"] != paths {
        tokio::task::yield_now().await;
    }
    let (_, metrics) = process.get("/metrics").await;
    assert!(
        metrics.contains("refgate_snapshot_age_seconds 0.") && metrics.contains("refgate_reviews_total{"),
        "{metrics}"
    );

    process.stop.send(()).unwrap();
    process.ended.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(process.address).await.is_err());
}
