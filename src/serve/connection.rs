//! Connections: accepted within fair shares, spoken HTTP/1.1 on, and ended in two steps.
//!
//! Between `tls`, which shakes hands, and the routers of `http` and `health`. axum's own `serve` has no limits on
//! headers and idle connections, so hyper is set up here. HTTP/1.1 alone: an API server speaks it to a Service and to every
//! URL that is not loopback, and a connection then has one request at a time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Request, Response};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt as _;

use super::api_servers::ApiServers;
use super::open::{Entry, Open};
use super::shares::{Peer, Place, Pool};
use super::tls::Identity;

/// Where a process is between its start and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// At work.
    Serving,
    /// Told to stop: not ready, still serving, and asking clients to go elsewhere with their next request.
    Draining,
    /// No new connections; what was accepted is answered.
    Closing,
}

/// The bounds of a port.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once, in fair shares. Where there is no room, an idle one is closed.
    pub connections: usize,
    /// Handshakes at once, in fair shares; the next one waits.
    pub handshakes: usize,
    /// Time for a TLS handshake, the wait for a place included.
    pub handshake: Duration,
    /// Time from the handshake to the end of the first request's head.
    pub first_request: Duration,
    /// How long a connection may wait for the end of its next request's head. Longer than the 90 seconds after which an
    /// API server closes idle connections itself, so that it never writes into one that is just closed.
    pub idle: Duration,
    /// Whether a connection takes more than one request.
    pub keep_alive: bool,
    /// Bytes of a request's head.
    pub head_bytes: u16,
    /// Headers of a request.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshakes: 128,
            handshake: Duration::from_secs(5),
            first_request: Duration::from_secs(10),
            idle: Duration::from_secs(180),
            keep_alive: true,
            head_bytes: 16 << 10,
            headers: 64,
        }
    }
}

impl Limits {
    /// Of a plain port, which answers small questions and is not asked often.
    pub fn plain() -> Self {
        Self { connections: 64, first_request: Duration::from_secs(5), keep_alive: false, ..Self::default() }
    }
}

/// Time for a connection to end that was told to: what it was answering is written by then, or never read.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Bytes that hyper reads ahead of a body, for each connection.
const READ_AHEAD: usize = 32 << 10;

/// One port: what is heard on it, and how.
pub struct Port {
    /// Already bound.
    pub listener: TcpListener,
    /// `None` for a plain port.
    pub identity: Option<Identity>,
    /// Answers requests.
    pub router: Router,
    /// Its bounds.
    pub limits: Limits,
    /// Whose connections may use the reserve.
    pub api_servers: ApiServers,
    /// When to end.
    pub phase: watch::Receiver<Phase>,
}

impl Port {
    /// Accepts until [`Phase::Closing`], then returns when every request that was accepted is answered.
    pub async fn run(self) {
        let (running, mut ended) = mpsc::channel(1);
        let mut phase = self.phase.clone();
        let listener = self.listener;
        let shared = Arc::new(Shared {
            identity: self.identity,
            router: self.router,
            connections: Pool::new(self.limits.connections),
            handshakes: Pool::new(self.limits.handshakes),
            limits: self.limits,
            api_servers: self.api_servers,
            open: Arc::default(),
            phase: self.phase,
        });
        loop {
            tokio::select! {
                biased;
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
                (stream, address) = accept(&listener) => shared.admit(stream, address, &running),
            }
        }
        // Those in the queue of the kernel have been told that they are connected.
        while let Some((stream, address)) = accept(&listener).now_or_never() {
            shared.admit(stream, address, &running);
        }
        drop((listener, running));
        let _: Option<Infallible> = ended.recv().await;
    }
}

/// The next connection. Errors of `accept` are those of one connection, or a lack of file descriptors; neither is a reason
/// to end.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// What all connections of a port share.
struct Shared {
    identity: Option<Identity>,
    router: Router,
    connections: Pool,
    handshakes: Pool,
    limits: Limits,
    api_servers: ApiServers,
    open: Arc<Open>,
    phase: watch::Receiver<Phase>,
}

impl Shared {
    /// Gives a connection its place. Where there is none, the longest idle connection makes room: one of the same peer if that
    /// has its whole share, else one of the peer with most connections. Where all are at work, the new one is closed.
    fn admit(self: &Arc<Self>, stream: TcpStream, address: SocketAddr, running: &mpsc::Sender<Infallible>) {
        let address = address.ip().to_canonical();
        let is_api_server = self.api_servers.contains(address);
        let peer = Peer { address, is_api_server, is_verified: false };
        let place = self.connections.try_take(&peer, 1);
        if place.is_none() {
            let of = self.connections.is_at_its_share(&peer).then_some(address);
            if !self.open.close_one(of) {
                tracing::debug!(%address, "no room for a connection");
                return;
            }
        }
        let (shared, running) = (Arc::clone(self), running.clone());
        tokio::spawn(async move {
            let place = match place {
                Some(place) => Some(place),
                None => {
                    let next = shared.connections.take(&peer);
                    tokio::time::timeout(shared.limits.handshake, next).await.ok()
                }
            };
            if let Some(place) = place {
                shared.connection(stream, peer, place).await;
            }
            drop(running);
        });
    }

    async fn connection(&self, stream: TcpStream, mut peer: Peer, place: Place) {
        let entry = Arc::new(self.open.enter(peer.address, place.is_reserved()));
        // Without these a connection is slower, or its end is noticed later; it works all the same.
        let _ = stream.set_nodelay(true);
        let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let Some(identity) = self.identity.clone() else { return self.http(stream, peer, entry).await };
        let handshake = async {
            let _place = self.handshakes.take(&peer).await;
            identity.handshake(stream).await
        };
        let stream = tokio::select! {
            stream = tokio::time::timeout(self.limits.handshake, handshake) => stream.ok().flatten(),
            () = entry.told_to_close() => None,
        };
        match stream {
            None => tracing::debug!(address = %peer.address, "no TLS"),
            Some(stream) => {
                // The verifier of `--client-ca` has let it pass.
                peer.is_verified = stream.get_ref().1.peer_certificates().is_some();
                peer.is_api_server |= peer.is_verified;
                self.http(stream, peer, entry).await;
            }
        }
    }

    /// Answers the requests of a connection to its end. One that asks nothing in time is closed; one that is told to close
    /// takes no further request.
    async fn http<S>(&self, stream: S, peer: Peer, entry: Arc<Entry>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let asked = Arc::new(AtomicBool::new(false));
        let service = Service {
            router: self.router.clone(),
            phase: self.phase.clone(),
            peer,
            entry: Arc::clone(&entry),
            asked: Arc::clone(&asked),
        };
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .keep_alive(self.limits.keep_alive)
            .header_read_timeout(self.limits.idle)
            .max_headers(self.limits.headers)
            .max_header_size(usize::from(self.limits.head_bytes))
            .max_buf_size(READ_AHEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut phase = self.phase.clone();
        let first_request = async {
            tokio::time::sleep(self.limits.first_request).await;
            if asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        let is_last = tokio::select! {
            // Whatever ends a connection early, a reset or a broken frame, is the business of its sender.
            _ = &mut connection => return,
            () = first_request => return,
            () = entry.told_to_close() => false,
            _ = phase.wait_for(|phase| *phase == Phase::Closing) => true,
        };
        connection.as_mut().graceful_shutdown();
        if is_last {
            let _ = connection.await;
        } else {
            let _ = tokio::time::timeout(LAST_WORDS, connection).await;
        }
    }
}

/// Answers the requests of one connection.
struct Service {
    router: Router,
    phase: watch::Receiver<Phase>,
    peer: Peer,
    entry: Arc<Entry>,
    asked: Arc<AtomicBool>,
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        self.entry.set_idle(false);
        request.extensions_mut().insert(self.peer);
        let answer = self.router.clone().oneshot(request);
        let (phase, entry) = (self.phase.clone(), Arc::clone(&self.entry));
        async move {
            let mut response = answer.await?;
            if *phase.borrow() > Phase::Serving {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            entry.set_idle(true);
            Ok(response)
        }
        .boxed()
    }
}
