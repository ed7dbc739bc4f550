//! What the sync costs: calls to the secret manager, time until a new version is in its Secret, memory, and writes.
//!
//! Before moto, which answers as AWS Secrets Manager does but from one process of Python, and before the control plane of the
//! tests. Calls are counted by a proxy between, writes by the audit log of the API server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use refgate::policy::path::secret_name;
use serde_json::json;

use crate::harness::api::MERGE;
use crate::harness::faults::{Fault, Faults, Request};
use crate::harness::moto::{Moto, call};
use crate::harness::populate::each;
use crate::harness::process::free_port;
use crate::harness::sync::{Source, Sync, writes};
use crate::harness::wait::until_within;
use crate::harness::world::{World, scope_labels};

/// Longest wait for a first sync.
const PATIENCE: Duration = Duration::from_secs(1200);
const REFRESH: Duration = Duration::from_secs(5);
/// Bytes of a value.
const VALUE: usize = 2048;
/// New versions, one after the other, whose way is timed.
const VERSIONS: usize = 12;
/// Refreshes that are counted when there is nothing to do.
const REFRESHES: usize = 4;

fn scope(number: usize) -> String {
    format!("mozmeao/sync-{number}/stage")
}

fn namespace(number: usize) -> String {
    format!("sync-{number}")
}

fn path(number: usize, index: usize) -> String {
    format!("{}/secret_{index}", scope(number))
}

/// A value of so many bytes, and no JSON.
fn value(seed: usize) -> String {
    let mut text = format!("value {seed} ");
    while text.len() < VALUE {
        text.push(char::from(b'a' + u8::try_from((text.len() * 7 + seed) % 26).unwrap()));
    }
    text
}

/// Bound namespaces that ask for all of their scope, and their secrets in moto.
fn make(world: &World, moto: SocketAddr, scopes: usize, secrets_each: usize) {
    // The sync looks at all that is bound, and so at what the setup tried itself with.
    let labels = json!({"refgate.dev/group": null, "refgate.dev/app": null, "refgate.dev/env": null});
    let unbound = json!({"metadata": {"labels": labels}});
    world.operator.api.patch("/api/v1/namespaces/in-force", MERGE, &unbound).ok();
    each(scopes, |number| {
        let name = namespace(number);
        let metadata = json!({
            "name": name, "labels": scope_labels(&scope(number)), "annotations": {"refgate.dev/sync": "scope"},
        });
        world.operator.api.post("/api/v1/namespaces", &json!({"metadata": metadata})).ok();
        world.let_sync_in(&name);
    });
    // One after the other: moto is one process, and slower when it is pressed.
    for number in 0..scopes {
        for index in 0..secrets_each {
            let body = json!({
                "Name": path(number, index), "SecretString": value(index),
                "ClientRequestToken": format!("{:032}", number * secrets_each + index),
            });
            call(moto, "CreateSecret", &body);
        }
    }
}

/// Waits until the sync holds so many Secrets, by its own metric, and says how long that took.
fn wait_held(sync: &mut Sync<'_>, count: usize, start: Instant) -> Duration {
    until_within("the first sync is done", PATIENCE, || {
        sync.process.assert_running();
        let held = sync.metrics()["refgate_sync_secrets"];
        (held >= count as f64).then(|| start.elapsed())
    })
}

/// Calls by their operation.
fn by_operation(seen: &[Request]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in seen {
        *counts.entry(request.operation().to_owned()).or_default() += 1;
    }
    counts
}

/// Calls and time, for 1,000 secrets in 20 scopes.
pub fn calls_and_time(world: &World) {
    let (scopes, secrets_each) = (20, 50);
    let moto = Moto::start(&world.plane.folder.join("moto"));
    let proxy = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let faults = Faults::start(proxy, moto.address);
    make(world, moto.address, scopes, secrets_each);
    let refresh = format!("{}s", REFRESH.as_secs());
    let source = Source::aws(world, "bench", proxy, &json!({"refresh": refresh}));
    let all = scopes * secrets_each;
    println!(
        "\nrefgate sync, {all} secrets of {VALUE} bytes in {scopes} scopes, refreshed every {refresh}\n"
    );

    let start = Instant::now();
    let mut sync = source.start();
    let time = wait_held(&mut sync, all, start);
    // The next refresh may have begun.
    let first = &faults.seen()[..];
    let first = &first[..starts(first).get(1).copied().unwrap_or(first.len())];
    println!("| | calls | one GetSecretValue for each secret |\n| --- | --- | --- |");
    println!(
        "| first sync, {:.1} s | {} {:?} | {all} |",
        time.as_secs_f64(),
        first.len(),
        by_operation(first)
    );

    faults.meet(|_| Fault::Pass);
    let before = writes(world);
    let seen = until_within("some refreshes", PATIENCE, || {
        let seen = faults.seen();
        (starts(&seen).len() > REFRESHES).then_some(seen)
    });
    let starts = starts(&seen);
    let steady = &seen[starts[0]..starts[REFRESHES]];
    let each = steady.len() as f64 / REFRESHES as f64;
    println!("| each of {REFRESHES} refreshes after it | {each} {:?} | {all} |", by_operation(steady));
    let share = all as f64 / each;
    println!("\nat steady state one call for {share:.0} of the others, target 20");
    println!("writes to the API server in {REFRESHES} refreshes: {}", writes(world) - before);

    let mut times: Vec<Duration> = (0..VERSIONS).map(|turn| follow(world, moto.address, turn)).collect();
    times.sort_unstable();
    let [median, longest] = [times[VERSIONS / 2], times[VERSIONS - 1]].map(|time| time.as_secs_f64());
    let target = REFRESH.as_secs() + 2;
    println!(
        "a new version is in its Secret after {median:.1} s (p50), {longest:.1} s at most, target {target}"
    );
    println!("{:.0} MiB resident", mebibytes(sync.process.resident()));
}

/// Where a refresh begins: each lists the same scope first.
fn starts(seen: &[Request]) -> Vec<usize> {
    let list =
        |request: &Request| (request.operation() == "ListSecrets").then(|| request.json()["Filters"].clone());
    let Some(first) = seen.iter().find_map(list) else { return Vec::new() };
    let all = seen.iter().enumerate();
    all.filter(|(_, request)| list(request).as_ref() == Some(&first)).map(|(at, _)| at).collect()
}

/// From a new version in the manager until it is in the Secret.
fn follow(world: &World, moto: SocketAddr, turn: usize) -> Duration {
    let (number, index) = (turn % 20, turn % 50);
    let (path, token) = (path(number, index), format!("{:032}", 1_000_000 + turn));
    let body = json!({"SecretId": path, "SecretString": value(1_000 + turn), "ClientRequestToken": token});
    call(moto, "PutSecretValue", &body);
    let start = Instant::now();
    let secret = format!("/api/v1/namespaces/{}/secrets/{}", namespace(number), secret_name(&path));
    until_within("the Secret has the new version", PATIENCE, || {
        let found = world.plane.admin.api.get(&secret).ok();
        let version = &found["metadata"]["annotations"]["refgate.dev/version"];
        (*version == *token).then(|| start.elapsed())
    })
}

/// Memory with 10,000 secrets of 2 KB in 500 namespaces.
pub fn memory(world: &World) {
    let (scopes, secrets_each) = (500, 20);
    let moto = Moto::start(&world.plane.folder.join("moto"));
    make(world, moto.address, scopes, secrets_each);
    let source = Source::aws(world, "memory", moto.address, &json!({"refresh": "10s"}));
    let all = scopes * secrets_each;
    let start = Instant::now();
    let mut sync = source.start();
    let time = wait_held(&mut sync, all, start);
    let first = sync.process.resident();
    // Whole passes, in which nothing is left to do.
    let before = writes(world);
    sync.wait_lists_within(2.0 * scopes as f64, PATIENCE);
    println!(
        "\nrefgate sync, {all} secrets of {VALUE} bytes in {scopes} namespaces: first sync in {:.0} s,",
        time.as_secs_f64()
    );
    let [first, now, most] = [first, sync.process.resident(), sync.process.most_resident()].map(mebibytes);
    println!(
        "{first:.0} MiB resident after it, {now:.0} MiB two refreshes later, {most:.0} MiB at most; target 76 (80 MB)"
    );
    println!("writes to the API server in these two refreshes: {}", writes(world) - before);
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
