//! `make bench-e2e`: what RefGate adds to the creation of a pod, beside an echo server (bench/echo.rs) that the API server
//! calls in the same way; what many bound namespaces cost; and what the sync does.
//!
//! Each round measures all variants one after the other, so that a machine that is slow for a while is slow for all of
//! them. Only ratios mean something. No request is tried twice, and one that fails ends the run.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cases::scan;
use crate::harness::api::{Api, MERGE};
use crate::harness::objects::{container, pod};
use crate::harness::process::{Process, free_port};
use crate::harness::refgate::Replica;
use crate::harness::wait::until;
use crate::harness::world::{World, scope_labels};

mod sync;

/// A part of the benchmark, by its name.
type Part = (&'static str, fn(&World));

/// What is measured, each part on a control plane of its own.
pub const PARTS: [Part; 3] = [("webhook", webhook), ("sync", sync::calls_and_time), ("memory", sync::memory)];

/// Rounds that count, after one that does not.
const ROUNDS: usize = 16;
/// Creations of each variant in a round, by all workers together.
const BLOCK: usize = 160;
const WORKERS: [usize; 2] = [1, 8];
/// The label by which the namespaces of the variants are told apart.
const LABEL: &str = "bench";
const CONFIGURATIONS: [(&str, &str); 2] = [
    ("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", "zz-refgate"),
    ("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", "refgate"),
];
const SCOPE: &str = "mozmeao/bench/stage";

struct Variant {
    name: &'static str,
    /// Which configuration answers in its namespace.
    who: &'static str,
    references: bool,
}

const VARIANTS: [Variant; 6] = [
    Variant { name: "nothing", who: "nobody", references: false },
    Variant { name: "echo, no references", who: "echo", references: false },
    Variant { name: "RefGate, no references", who: "refgate", references: false },
    Variant { name: "echo, five references", who: "echo", references: true },
    Variant { name: "echo that answers with RefGate's patch", who: "patch", references: true },
    Variant { name: "RefGate, five references", who: "refgate", references: true },
];

fn webhook(world: &World) {
    let paths: Vec<String> = (0..5).map(|number| format!("{SCOPE}/secret_{number}")).collect();
    for who in ["nobody", "echo", "patch", "refgate"] {
        let mut labels = scope_labels(SCOPE);
        labels[LABEL] = json!(who);
        let synced: Vec<_> = paths.iter().map(|path| (path.as_str(), &[("value", "x")][..])).collect();
        world.make(&format!("bench-{who}"), labels, json!({}), &synced);
    }
    narrow_refgate(world);
    let _echo = put_echo_beside(world, "echo", &[]);
    let _patch = put_echo_beside(world, "patch", &[patch_of_refgate(world)]);
    println!(
        "\nPod creation with dryRun=All, {ROUNDS} rounds of {BLOCK}, as multiples of no webhook at all\n"
    );
    println!("| what runs on each pod | workers | p50 | p99 | p50 in ms |\n| --- | --- | --- | --- | --- |");
    for workers in WORKERS {
        measure(world, workers);
    }
    many_namespaces(world);
    let (time, bytes) = scan::measured(world, 5_000);
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    println!(
        "\nrefgate scan of 5,000 pods of 11 KB: {:.1} s, {mebibytes:.0} MiB at most",
        time.as_secs_f64()
    );
}

/// Leaves RefGate one namespace of these, and has it asked without the Service of the tests between, as echo is.
fn narrow_refgate(world: &World) {
    let api = &world.plane.admin.api;
    let replica = world.replicas.lock().unwrap()[0].backend.https.to_string();
    for (path, name) in CONFIGURATIONS {
        let mut ours = api.get(&format!("{path}/{name}")).ok();
        for webhook in ours["webhooks"].as_array_mut().unwrap() {
            let url = webhook["clientConfig"]["url"].as_str().unwrap();
            let direct = url.replace(&world.service.address.to_string(), &replica);
            webhook["clientConfig"]["url"] = json!(direct);
            let expressions = webhook["namespaceSelector"]["matchExpressions"].as_array_mut().unwrap();
            expressions.push(json!({"key": LABEL, "operator": "In", "values": ["refgate"]}));
        }
        api.put(&format!("{path}/{name}"), &ours).ok();
    }
    let plaintext = pod("plaintext", &[("DB_PASSWORD", "kR4vT9wqZ2pB")]);
    let path = "/api/v1/namespaces/bench-nobody/pods?dryRun=All";
    until("plaintext passes where nobody is asked", || api.post(path, &plaintext).is_ok().then_some(()));
}

/// Gives an echo server what RefGate has: the same entries with the same conditions, for a namespace of its own.
fn put_echo_beside(world: &World, who: &str, patch: &[String]) -> Process {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let file = |name: &str| world.files.certificates.join(name).to_str().unwrap().to_owned();
    let mut arguments = vec!["--listen".to_owned(), address.to_string(), file("tls.crt"), file("tls.key")];
    arguments.extend_from_slice(patch);
    let program = Path::new(env!("CARGO_BIN_EXE_refgate")).with_file_name("examples").join("echo");
    let log = world.plane.folder.join(format!("log/{who}.log"));
    let echo = Process::start(who, &program, &arguments, &log);
    let api = &world.plane.admin.api;
    let replica = world.replicas.lock().unwrap()[0].backend.https.to_string();
    for (path, name) in CONFIGURATIONS {
        let ours = api.get(&format!("{path}/{name}")).ok();
        let mut theirs =
            json!({"metadata": {"name": format!("zz-{who}-{name}")}, "webhooks": ours["webhooks"]});
        for webhook in theirs["webhooks"].as_array_mut().unwrap() {
            let url = webhook["clientConfig"]["url"].as_str().unwrap();
            let at = url.replace(&replica, &address.to_string());
            webhook["clientConfig"]["url"] = json!(at);
            let expressions = webhook["namespaceSelector"]["matchExpressions"].as_array_mut().unwrap();
            expressions.last_mut().unwrap()["values"] = json!([who]);
        }
        api.post(path, &theirs).ok();
    }
    // Both entries, of each of which the API server may hear at another moment.
    let path = format!("/api/v1/namespaces/bench-{who}/pods?dryRun=All");
    until("the API server asks echo", || {
        api.post(&path, &benchmark_pod(true)).ok();
        let text = std::fs::read_to_string(&log).unwrap();
        let asked = |endpoint: &str| text.contains(&format!("\"endpoint\":\"{endpoint}\""));
        (asked("mutate") && asked("validate")).then_some(())
    });
    echo
}

/// The patch of RefGate's answer, base64, as the API server gets it.
fn patch_of_refgate(world: &World) -> String {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "bench", "operation": "CREATE", "namespace": "bench-refgate", "name": "bench", "userInfo": {},
            "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": benchmark_pod(true),
        },
    });
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-H", "Content-Type: application/json", "--data", &review.to_string(), "--cacert"]);
    curl.arg(world.files.certificates.join("ca.crt"))
        .arg(format!("https://{}/mutate", world.service.address));
    let output = curl.output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["response"]["patch"].as_str().unwrap().to_owned()
}

/// About 3 KB, as it is sent.
fn benchmark_pod(references: bool) -> Value {
    let mut pod = pod("bench", &[]);
    let names: Vec<(String, String)> = (0..24)
        .map(|number| {
            (format!("SETTING_{number}"), format!("https://service-{number}.example.com/v1/health"))
        })
        .collect();
    let env: Vec<(&str, &str)> = names.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut web = container("web", &env);
    if references {
        for (number, entry) in web["env"].as_array_mut().unwrap().iter_mut().take(5).enumerate() {
            entry["value"] = json!(format!("secret:secret_{number}"));
        }
    }
    pod["spec"]["containers"] = json!([web, container("proxy", &env[..8])]);
    pod
}

fn measure(world: &World, workers: usize) {
    let api = &world.plane.admin.api;
    let mut times: Vec<Vec<Duration>> = VARIANTS.iter().map(|_| Vec::new()).collect();
    for round in 0..=ROUNDS {
        let mut turn: Vec<_> = VARIANTS.iter().zip(&mut times).collect();
        // What one leaves to the next, a warm cache or garbage to collect, is to harm and help all alike.
        if round % 2 == 1 {
            turn.reverse();
        }
        for (variant, times) in turn {
            let path = format!("/api/v1/namespaces/bench-{}/pods?dryRun=All", variant.who);
            let pod = benchmark_pod(variant.references);
            let injected = variant.references && variant.who != "echo";
            let block = create(api, workers, &path, &pod, injected);
            if round > 0 {
                times.extend(block);
            }
        }
    }
    let quantiles: Vec<[f64; 2]> = times.iter_mut().map(|times| quantiles(times)).collect();
    let nothing = quantiles[0];
    for (variant, [p50, p99]) in VARIANTS.iter().zip(&quantiles) {
        let name = variant.name;
        println!("| {name} | {workers} | {:.2} | {:.2} | {p50:.2} |", p50 / nothing[0], p99 / nothing[1]);
    }
    for (ours, echo) in [(2, 1), (5, 3), (5, 4)] {
        let added = |variant: usize| quantiles[variant][0] - nothing[0];
        let [name, beside] = [ours, echo].map(|variant| VARIANTS[variant].name);
        let times = added(ours) / added(echo);
        println!("{workers} workers, p50: {name}, adds {times:.2} times what adds {beside}");
    }
}

/// Creates a block of pods and returns how long each took.
fn create(api: &Api, workers: usize, path: &str, pod: &Value, injected: bool) -> Vec<Duration> {
    thread::scope(|scope| {
        let work = || {
            let mut times = Vec::with_capacity(BLOCK / workers);
            for _ in 0..BLOCK / workers {
                let start = Instant::now();
                let answer = api.post(path, pod);
                times.push(start.elapsed());
                let first = &answer.ok()["spec"]["containers"][0]["env"][0];
                assert_eq!(first.get("valueFrom").is_some(), injected, "{first}");
            }
            times
        };
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// p50 and p99 in milliseconds.
fn quantiles(times: &mut [Duration]) -> [f64; 2] {
    times.sort_unstable();
    [0.5, 0.99].map(|share| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3)
}

/// A replica that starts before 2,000 bound namespaces with 20,000 entries of the catalogue, and how soon it follows.
fn many_namespaces(world: &World) {
    world.populate(2_000, 10);
    let start = Instant::now();
    let mut replica = Replica::start(&world.plane, &world.files);
    replica.wait_ready(&world.plane.runtime());
    let ready = start.elapsed().as_secs_f64();
    println!("\n2,000 bound namespaces, 20,000 entries of the catalogue: ready after {ready:.1} s,");
    println!("{:.0} MiB resident,", replica.process.resident() as f64 / f64::from(1 << 20));
    let mut lags: Vec<Duration> = (0..20).map(|turn| lag(world, turn)).collect();
    let [p50, p99] = quantiles(&mut lags);
    println!("a binding that changes is in force after {p50:.0} ms (p50), {p99:.0} ms at most");
}

/// From the answer to a change of a binding until a pod is judged by it.
fn lag(world: &World, turn: usize) -> Duration {
    let (env, other) = if turn.is_multiple_of(2) { ("prod", "stage") } else { ("stage", "prod") };
    let api = &world.operator.api;
    let labels = json!({"metadata": {"labels": {"refgate.dev/env": env}}});
    api.patch("/api/v1/namespaces/bench-refgate", MERGE, &labels).ok();
    let start = Instant::now();
    let foreign = pod("lag", &[("A", &format!("secret:/mozmeao/bench/{other}/a"))]);
    let path = "/api/v1/namespaces/bench-refgate/pods?dryRun=All";
    until("the new binding is in force", || {
        (!world.plane.admin.api.post(path, &foreign).is_ok()).then_some(start.elapsed())
    })
}
