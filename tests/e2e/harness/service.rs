//! What a Service is to the API server: one address for the replicas that are ready, and refused connections without any.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Between two looks at the readiness of replicas.
const PERIOD: Duration = Duration::from_millis(20);

/// One replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    pub https: SocketAddr,
    pub health: SocketAddr,
}

pub struct Service {
    pub address: SocketAddr,
    backends: watch::Sender<Vec<Backend>>,
    ready: watch::Receiver<Arc<[Backend]>>,
}

impl Service {
    pub fn start(address: SocketAddr, runtime: &Handle) -> Self {
        let (backends, known) = watch::channel(Vec::new());
        let (publish, ready) = watch::channel(Arc::from([]));
        runtime.spawn(follow(known, publish));
        runtime.spawn(forward(address, ready.clone()));
        Self { address, backends, ready }
    }

    pub fn add(&self, backend: Backend) {
        self.backends.send_modify(|all| all.push(backend));
    }

    pub fn remove(&self, backend: Backend) {
        self.backends.send_modify(|all| all.retain(|known| *known != backend));
    }

    /// How many replicas get new connections.
    pub fn ready(&self) -> usize {
        self.ready.borrow().len()
    }
}

/// Asks each replica whether it is ready, for as long as there is a Service.
async fn follow(known: watch::Receiver<Vec<Backend>>, publish: watch::Sender<Arc<[Backend]>>) {
    while !publish.is_closed() && known.has_changed().is_ok() {
        let mut ready = Vec::new();
        let backends = known.borrow().clone();
        for backend in backends {
            if matches!(get(backend.health, "/readyz").await, Some((200, _))) {
                ready.push(backend);
            }
        }
        publish.send_if_modified(|old| {
            let changed = **old != *ready;
            *old = Arc::from(ready);
            changed
        });
        tokio::time::sleep(PERIOD).await;
    }
}

async fn forward(address: SocketAddr, mut ready: watch::Receiver<Arc<[Backend]>>) {
    let current = ready.clone();
    let mut turn = 0_usize;
    while ready.wait_for(|ready| !ready.is_empty()).await.is_ok() {
        let listener = TcpListener::bind(address).await.unwrap();
        loop {
            let accepted = tokio::select! {
                _ = ready.wait_for(|ready| ready.is_empty()) => break,
                accepted = listener.accept() => accepted,
            };
            turn = turn.wrapping_add(1);
            let backend = {
                let backends = current.borrow();
                backends.get(turn % backends.len().max(1)).copied()
            };
            let (Ok((mut client, _)), Some(backend)) = (accepted, backend) else { continue };
            // A connection stays with its replica, and each end closes for itself.
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(backend.https).await {
                    // A Service holds no byte back.
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    }
}

/// A plain GET: status and body. `None` when nobody answers.
pub async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    };
    tokio::time::timeout(Duration::from_secs(5), ask).await.ok()?
}

/// The metrics of a process: each line's name with labels, and its value.
pub async fn metrics(address: SocketAddr) -> BTreeMap<String, f64> {
    let (status, text) = get(address, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(key, value)| (key.to_owned(), value.parse().unwrap()))
        .collect()
}
