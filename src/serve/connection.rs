//! Connections: accepted, bounded, spoken HTTP/1.1 or HTTP/2 on, and ended in two steps.
//!
//! Between `tls`, which shakes hands, and the routers of `http` and `health`. axum's own `serve` has no limits on
//! headers, streams and idle connections, so the two protocols of hyper are set up here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Request, Response, Version};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::ServiceExt as _;

use super::tls::Identity;

/// Where a process is between its start and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// At work.
    Serving,
    /// Told to stop: not ready, still serving, and asking HTTP/1.1 clients to go elsewhere with their next request.
    Draining,
    /// No new connections; what was accepted is answered.
    Closing,
}

/// The bounds of a port.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; the next one waits to be accepted.
    pub connections: usize,
    /// Handshakes at once, likewise.
    pub handshakes: usize,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time from the handshake to the end of the first request's head.
    pub first_request: Duration,
    /// How long an HTTP/1.1 connection may wait for the end of its next request's head. Longer than the 90 seconds
    /// after which an API server closes idle connections itself, so that it never writes into one that is just closed.
    pub idle: Duration,
    /// Bytes of a request's head.
    pub head_bytes: u16,
    /// Headers of a request.
    pub headers: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshakes: 128,
            handshake: Duration::from_secs(5),
            first_request: Duration::from_secs(10),
            idle: Duration::from_secs(180),
            head_bytes: 16 << 10,
            headers: 64,
            streams: 250,
        }
    }
}

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
    /// When to end.
    pub phase: watch::Receiver<Phase>,
}

impl Port {
    /// Accepts until [`Phase::Closing`], then returns when every request that was accepted is answered.
    pub async fn run(self) {
        let graceful = GracefulShutdown::new();
        let connections = Arc::new(Semaphore::new(self.limits.connections));
        let handshakes = Arc::new(Semaphore::new(self.limits.handshakes));
        let mut phase = self.phase.clone();
        let shared = Arc::new(Shared {
            identity: self.identity,
            router: self.router,
            limits: self.limits,
            phase: self.phase,
            handshakes,
        });
        loop {
            let accepted = tokio::select! {
                biased;
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
                accepted = accept(&self.listener, &connections, &shared.handshakes) => accepted,
            };
            let (stream, peer, slots) = accepted;
            tokio::spawn(Arc::clone(&shared).connection(stream, peer, slots, graceful.watcher()));
        }
        // Whoever is in the queue of the kernel has been told that it is connected.
        while let Some(accepted) = accept(&self.listener, &connections, &shared.handshakes).now_or_never() {
            let (stream, peer, slots) = accepted;
            tokio::spawn(Arc::clone(&shared).connection(stream, peer, slots, graceful.watcher()));
        }
        drop(self.listener);
        graceful.shutdown().await;
    }
}

/// A place among the connections, and one among the handshakes.
struct Slots {
    _connection: OwnedSemaphorePermit,
    handshake: OwnedSemaphorePermit,
}

/// The next connection, once there is a place for it. Errors of `accept` are those of one connection, or a lack of
/// file descriptors; neither is a reason to end.
async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
    handshakes: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Slots) {
    const CLOSED: &str = "a semaphore that nobody closes";
    let slots = Slots {
        _connection: Arc::clone(connections).acquire_owned().await.expect(CLOSED),
        handshake: Arc::clone(handshakes).acquire_owned().await.expect(CLOSED),
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slots),
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
    limits: Limits,
    phase: watch::Receiver<Phase>,
    handshakes: Arc<Semaphore>,
}

impl Shared {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        slots: Slots,
        graceful: Watcher,
    ) {
        // Without these a connection is slower, or its end is noticed later; it works all the same.
        let _ = stream.set_nodelay(true);
        let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(60));
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        let Slots { _connection, handshake } = slots;
        let Some(identity) = self.identity.clone() else {
            drop(handshake);
            return self.http1(stream, graceful).await;
        };
        let stream = identity.handshake(stream, self.limits.handshake).await;
        drop(handshake);
        match stream {
            None => tracing::debug!(%peer, "no TLS"),
            Some(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                self.http2(stream, graceful).await;
            }
            Some(stream) => self.http1(stream, graceful).await,
        }
    }

    async fn http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, graceful: Watcher) {
        let (service, asked) = self.service();
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
            .max_headers(self.limits.headers)
            .max_header_size(usize::from(self.limits.head_bytes))
            .serve_connection(TokioIo::new(stream), service);
        self.drive(connection, asked, graceful).await;
    }

    async fn http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(&self, stream: S, graceful: Watcher) {
        let (service, asked) = self.service();
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams)
            .max_header_list_size(u32::from(self.limits.head_bytes))
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .serve_connection(TokioIo::new(stream), service);
        self.drive(connection, asked, graceful).await;
    }

    /// Runs a connection to its end; one that asks nothing in time is closed.
    async fn drive<C: GracefulConnection>(&self, connection: C, asked: Arc<AtomicBool>, graceful: Watcher) {
        let connection = graceful.watch(connection);
        tokio::pin!(connection);
        tokio::select! {
            // Whatever ends a connection early, a reset or a broken frame, is the business of who sent it.
            _ = &mut connection => return,
            () = tokio::time::sleep(self.limits.first_request) => {}
        }
        if asked.load(Ordering::Relaxed) {
            let _ = connection.await;
        }
    }

    /// The router, and a flag that tells whether it was ever asked.
    fn service(&self) -> (Service, Arc<AtomicBool>) {
        let asked = Arc::new(AtomicBool::new(false));
        let (router, phase) = (self.router.clone(), self.phase.clone());
        (Service { router, phase, asked: Arc::clone(&asked) }, asked)
    }
}

/// Answers the requests of one connection.
struct Service {
    router: Router,
    phase: watch::Receiver<Phase>,
    asked: Arc<AtomicBool>,
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.asked.store(true, Ordering::Relaxed);
        let old = request.version() < Version::HTTP_2;
        let (answer, phase) = (self.router.clone().oneshot(request), self.phase.clone());
        async move {
            let mut response = answer.await?;
            if old && *phase.borrow() > Phase::Serving {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
        .boxed()
    }
}
