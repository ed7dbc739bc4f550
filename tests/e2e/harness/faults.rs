//! A proxy before an HTTP server that passes requests on, or does what servers and networks do at their worst.
//!
//! One request for each connection, so that each fault stays with its request.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// What becomes of a request.
pub enum Fault {
    /// It is passed on, and so is the answer.
    Pass,
    /// The proxy answers: status and JSON.
    Answer(u16, Value),
    /// It is passed on, and half of the answer comes back.
    Half,
    /// It is passed on, and no answer comes back.
    Lose,
    /// Nothing happens, as long as the client waits.
    Hang,
    /// The connection is closed at once.
    Close,
}

/// A request: its head, without the length of the body and the empty line; and its body.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

impl Request {
    pub fn get(path: &str) -> Self {
        Self { head: format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n"), body: Vec::new() }
    }

    /// The value of a header; its name in any case.
    pub fn header(&self, name: &str) -> &str {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next()
            .unwrap_or("")
    }

    /// The operation of a JSON protocol of AWS.
    pub fn operation(&self) -> &str {
        self.header("x-amz-target").rsplit('.').next().unwrap_or("")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Reads one; `None` when the client goes before its end.
    fn read(stream: &mut TcpStream) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let all = String::from_utf8(bytes[..end + 2].to_vec()).ok()?;
                let mut request = Self { head: all, body: Vec::new() };
                let length: usize = request.header("content-length").parse().unwrap_or(0);
                if bytes.len() >= end + 4 + length {
                    request.body = bytes[end + 4..end + 4 + length].to_vec();
                    let dropped = ["content-length", "connection", "expect"];
                    let kept =
                        |line: &&str| !dropped.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
                    let head: Vec<&str> = request.head.lines().filter(kept).collect();
                    request.head = head.join("\r\n") + "\r\n";
                    return Some(request);
                }
            }
            match stream.read(&mut piece).ok()? {
                0 => return None,
                count => bytes.extend_from_slice(&piece[..count]),
            }
        }
    }
}

/// Sends a request and reads the whole answer; `None` when there is none.
pub fn send(server: SocketAddr, request: &Request) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(server).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let rest = format!("Content-Length: {}\r\nConnection: close\r\n\r\n", request.body.len());
    stream.write_all(&[request.head.as_bytes(), rest.as_bytes(), &request.body].concat()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// Decides what becomes of a request.
type Plan = Box<dyn FnMut(&Request) -> Fault + Send>;
/// Requests that were passed on, with the whole answers to them.
type Passed = Mutex<Vec<(Request, Vec<u8>)>>;

pub struct Faults {
    plan: Arc<Mutex<Plan>>,
    seen: Arc<Mutex<Vec<Request>>>,
    passed: Arc<Passed>,
}

impl Faults {
    /// Listens on `address` before `server`, for as long as the tests run.
    pub fn start(address: SocketAddr, server: SocketAddr) -> Self {
        let plan: Arc<Mutex<Plan>> = Arc::new(Mutex::new(Box::new(|_| Fault::Pass)));
        let (seen, passed) = (Arc::default(), Arc::default());
        let listener = TcpListener::bind(address).unwrap();
        let (to_plan, to_seen, to_passed) = (Arc::clone(&plan), Arc::clone(&seen), Arc::clone(&passed));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (plan, seen, passed) =
                    (Arc::clone(&to_plan), Arc::clone(&to_seen), Arc::clone(&to_passed));
                std::thread::spawn(move || serve(stream, server, &plan, &seen, &passed));
            }
        });
        Self { plan, seen, passed }
    }

    /// From now on requests meet this.
    pub fn meet(&self, plan: impl FnMut(&Request) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
        self.seen.lock().unwrap().clear();
    }

    /// What was asked since then.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    /// Each request that was passed on, with the whole answer to it.
    pub fn passed(&self) -> Vec<(Request, Vec<u8>)> {
        self.passed.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    server: SocketAddr,
    plan: &Mutex<Plan>,
    seen: &Mutex<Vec<Request>>,
    passed: &Passed,
) {
    let Some(request) = Request::read(&mut stream) else { return };
    seen.lock().unwrap().push(request.clone());
    let fault = (plan.lock().unwrap())(&request);
    // A client that goes before its answer is no matter.
    let _ = match fault {
        Fault::Pass => send(server, &request).map(|answer| {
            // Before the client has it: what the client does with it comes after.
            passed.lock().unwrap().push((request.clone(), answer.clone()));
            stream.write_all(&answer)
        }),
        Fault::Half => {
            send(server, &request).map(|answer| stream.write_all(&answer[..answer.len() / 2 + 40]))
        }
        Fault::Lose => send(server, &request).map(|_| Ok(())),
        Fault::Answer(status, body) => {
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} Told\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                body.len()
            );
            Some(stream.write_all((head + &body).as_bytes()))
        }
        // Until the client closes.
        Fault::Hang => Some(stream.read(&mut [0]).map(drop)),
        Fault::Close => None,
    };
}
