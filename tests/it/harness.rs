//! What the tests of the server share: folders, certificates, worlds, a client that never tries twice, and a server.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use refgate::policy::decision::Decision;
use refgate::policy::review::Review;
use refgate::policy::snapshot::{Settings, Snapshot};
use refgate::serve::api_servers::ApiServers;
use refgate::serve::connection::{Limits, Phase, Port};
use refgate::serve::tls::{Files, Identity, Reloader};
use refgate::serve::{http, tls};
use refgate::telemetry::Metrics;
use refgate::world::World;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A folder of its own, gone when the test is.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("refgate-it-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An authority that signs certificates.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pub pem: String,
}

/// A certificate and its key.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    pub fn sign(&self) -> Pair {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }
}

pub const WORLD: &str = r#"
apiVersion: v1
kind: Namespace
metadata:
  name: snippets-stage
  labels: {refgate.dev/group: mozmeao, refgate.dev/app: snippets, refgate.dev/env: stage}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: catalogue.snippets-stage
  namespace: refgate-system
  labels: {refgate.dev/catalogue: "true"}
data:
  catalogue: '[{"path": "mozmeao/snippets/stage/database_url", "secret": "the-secret", "keys": ["value"], "version": "v1"}]'
"#;

pub fn snapshot() -> Arc<Snapshot> {
    Arc::new(World::read(WORLD).snapshot(Arc::new(Settings::default())))
}

pub fn published(snapshot: Arc<Snapshot>) -> watch::Receiver<Option<Arc<Snapshot>>> {
    let (publish, snapshots) = watch::channel(Some(snapshot));
    // The writer lives as long as the process does.
    std::mem::forget(publish);
    snapshots
}

/// A review of a pod with one env var, of a controller's kind of size.
pub fn review(uid: &str, namespace: &str, value: &str) -> String {
    let env = serde_json::json!([{"name": "DATABASE_URL", "value": value}]);
    serde_json::json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": namespace,
            "name": "web",
            "operation": "CREATE",
            "userInfo": {"username": "dev", "groups": ["team-snippets"]},
            "object": {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"},
                       "spec": {"containers": [{"name": "web", "image": "web:1", "env": env}]}},
            "oldObject": null,
            "dryRun": false,
        }
    })
    .to_string()
}

pub fn reference(uid: &str) -> String {
    review(uid, "snippets-stage", "secret:database_url")
}

pub fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", "application/json").body(body.into()).unwrap()
}

/// Status and body as text.
pub async fn text<B>(response: Response<B>) -> (StatusCode, String)
where
    B: http_body_util::BodyExt<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// The `response` of an AdmissionReview that came with a 200.
pub async fn answer<B>(response: Response<B>) -> serde_json::Value
where
    B: http_body_util::BodyExt<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let (status, body) = text(response).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str::<serde_json::Value>(&body).unwrap()["response"].take()
}

/// What a client trusts and speaks.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    address: SocketAddr,
    from: Option<IpAddr>,
}

impl Client {
    pub fn new(address: SocketAddr, authority: &str) -> Self {
        Self::with(address, authority, None, rustls::ALL_VERSIONS)
    }

    pub fn with(
        address: SocketAddr,
        authority: &str,
        pair: Option<&Pair>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match pair {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain.map(Result::unwrap).collect(), key).unwrap()
            }
        };
        // What Go offers, which an API server is written in.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { config: Arc::new(config), address, from: None }
    }

    /// The same from another address of loopback, `127.0.0.0/8` on Linux: another peer.
    pub fn from(&self, address: IpAddr) -> Self {
        Self { from: Some(address), ..self.clone() }
    }

    pub async fn tcp(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(address) = self.from {
            socket.bind(SocketAddr::new(address, 0))?;
        }
        socket.connect(self.address).await
    }

    pub async fn tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = self.tcp().await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }

    pub async fn connect(&self) -> std::io::Result<Connection> {
        Ok(Connection::over(self.tls().await?).await)
    }
}

/// One connection; a request that fails on it has failed.
pub struct Connection(hyper::client::conn::http1::SendRequest<Body>);

impl Connection {
    pub async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(send)
    }

    /// An error where the server does not take the request any more; whatever it took is `unwrap`ped.
    pub async fn ready(&mut self) -> hyper::Result<()> {
        self.0.ready().await
    }

    pub async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }
}

/// The HTTPS port, with certificates in files.
pub struct Served {
    pub address: SocketAddr,
    pub authority: Authority,
    pub folder: Folder,
    pub reloader: Reloader,
    pub metrics: Arc<Metrics>,
    pub phase: watch::Sender<Phase>,
    pub port: JoinHandle<()>,
}

/// How a [`Served`] differs from the usual.
pub struct Setup {
    pub limits: Limits,
    pub reviews: http::Limits,
    pub decide: fn(&Review<'_>, &Snapshot) -> Decision,
    pub client_ca: Option<String>,
    pub api_servers: Vec<ipnet::IpNet>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            reviews: http::Limits::default(),
            decide: refgate::policy::decide,
            client_ca: None,
            api_servers: Vec::new(),
        }
    }
}

pub fn write_pair(folder: &Folder, pair: &Pair) {
    folder.write("tls.crt", &pair.certificate);
    folder.write("tls.key", &pair.key);
}

pub fn files(folder: &Folder, client_ca: Option<&Path>) -> Files {
    Files {
        certificate: folder.path("tls.crt"),
        key: folder.path("tls.key"),
        client_ca: client_ca.map(Path::to_owned),
    }
}

pub async fn serve(setup: Setup) -> Served {
    let (authority, folder) = (Authority::new(), Folder::new());
    write_pair(&folder, &authority.sign());
    let client_ca = setup.client_ca.map(|pem| folder.write("client-ca.crt", pem));
    let metrics = Arc::new(Metrics::default());
    let (identity, reloader): (Identity, _) =
        tls::load(files(&folder, client_ca.as_deref()), &metrics).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (phase, phases) = watch::channel(Phase::Serving);
    let app = http::App::new(published(snapshot()), Arc::clone(&metrics), setup.reviews, setup.decide);
    let router = http::router(app);
    let port = Port {
        listener,
        identity: Some(identity),
        router,
        limits: setup.limits,
        api_servers: ApiServers::of(setup.api_servers),
        phase: phases,
    };
    Served { address, authority, folder, reloader, metrics, phase, port: tokio::spawn(port.run()) }
}

impl Served {
    pub fn client(&self) -> Client {
        Client::new(self.address, &self.authority.pem)
    }
}
