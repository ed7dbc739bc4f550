//! What one decision costs, with parsing and answering, in time and in allocations, with the allocator that ships.
//!
//! `cargo bench --bench decide`. The baseline of each row reads the same bytes into a `serde_json::Value` and does
//! nothing with them: compare within one run, machines differ.

mod reviews;

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher};
use mimalloc::MiMalloc;
use refgate::config::Config;
use refgate::policy::carriers::held::{Carried, Held};
use refgate::policy::carriers::{self, Kind};
use refgate::policy::decide;
use refgate::policy::decision::Outcome;
use refgate::policy::review::{self, Endpoint};
use refgate::policy::snapshot::{Catalogue, Entry, NamespaceLabels, NamespaceState, Settings, Snapshot};
use refgate::serve::state::{CarriedUpdate, Change, State, Update};
use reviews::{NAMESPACE, applied, body, pod};
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

fn main() {
    divan::main();
}

/// A bound namespace with fifty synced Secrets.
fn world() -> Snapshot {
    let labels =
        [("refgate.dev/group", "mozmeao"), ("refgate.dev/app", "snippets"), ("refgate.dev/env", "stage")];
    let entries = (0..50)
        .map(|number| Entry {
            path: format!("mozmeao/snippets/stage/secret_{number}").into(),
            secret: format!("mozmeao-snippets-stage-secret-{number}-0123456789abcdef").into(),
            keys: Box::new(["value".into(), "password".into()]),
            version: Some("f8c1d5a0-0000-4000-8000-000000000000".into()),
        })
        .collect();
    let state = NamespaceState {
        namespace: Arc::new(NamespaceLabels::read(labels, [])),
        catalogue: Arc::new(Catalogue::new(entries, None)),
        ..NamespaceState::default()
    };
    Snapshot {
        settings: Arc::new(Settings::default()),
        namespaces: HashMap::from([(NAMESPACE.into(), Arc::new(state))]),
        ..Snapshot::default()
    }
}

/// The bodies of reviews, by the names of their rows.
fn review(row: &str) -> Vec<u8> {
    match row {
        "9 KB" => body(&pod(4, 20, 0)),
        "9 KB, five references" => body(&pod(4, 20, 5)),
        "19 KB, managedFields" => body(&applied(pod(4, 20, 0))),
        "250 KB" => body(&pod(4, 900, 0)),
        "2 MB" => body(&pod(4, 7_200, 0)),
        _ => Vec::new(),
    }
}

/// Reads, decides and answers, as the server does.
fn answer(body: &[u8], endpoint: Endpoint, world: &Snapshot) -> Vec<u8> {
    let Ok(review) = review::parse(body, endpoint, &world.settings.kinds) else { return Vec::new() };
    let decision = decide(&review, world);
    assert_eq!(decision.outcome, Outcome::Allow, "a benchmark of the wrong thing");
    review::respond(&review.uid, &decision)
}

/// Bytes per second are those of the body: they stay the same from row to row where cost is linear.
fn judge(bencher: Bencher<'_, '_>, row: &str, endpoint: Endpoint) {
    let (world, body) = (world(), review(row));
    bencher.counter(BytesCount::new(body.len())).bench_local(|| answer(black_box(&body), endpoint, &world));
}

#[divan::bench(args = ["9 KB", "9 KB, five references", "19 KB, managedFields", "250 KB", "2 MB"])]
fn mutate(bencher: Bencher<'_, '_>, row: &str) {
    judge(bencher, row, Endpoint::Mutate);
}

#[divan::bench(args = ["9 KB", "19 KB, managedFields", "250 KB", "2 MB"])]
fn validate(bencher: Bencher<'_, '_>, row: &str) {
    judge(bencher, row, Endpoint::Validate);
}

#[divan::bench(args = ["9 KB", "19 KB, managedFields", "250 KB", "2 MB"])]
fn baseline_value(bencher: Bencher<'_, '_>, row: &str) {
    let body = review(row);
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| serde_json::from_slice::<Value>(black_box(&body)).is_ok());
}

/// An ExternalSecret of so many entries, by a store of the cluster.
#[divan::bench(args = [5, 50])]
fn external_secret(bencher: Bencher<'_, '_>, entries: usize) {
    let mut world = world();
    let kind = carriers::kinds().map(|(_, kind)| kind).find(|kind| kind.kind == "ClusterSecretStore");
    let store = kind.and_then(|kind| Held::read(kind, &reviews::store().to_string()));
    world.cluster = Arc::new(Carried::new(store.map(Arc::new)));
    let body = reviews::carried(&reviews::external_secret("web", entries));
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| answer(black_box(&body), Endpoint::Validate, &world));
}

fn kind(name: &str) -> &'static Kind {
    let kinds = carriers::kinds().map(|(_, kind)| kind);
    kinds.into_iter().find(|kind| kind.kind == name).expect("a kind of a carrier")
}

fn held(kind: &'static Kind, object: &Value) -> Arc<Held> {
    Arc::new(Held::read(kind, &object.to_string()).expect("an object"))
}

fn secret(number: usize, entries: usize) -> Arc<Held> {
    held(kind("ExternalSecret"), &reviews::external_secret(&format!("web-{number}"), entries))
}

/// What the writer of snapshots knows of a namespace with so many ExternalSecrets of five entries.
fn writer(count: usize) -> State {
    let labels = Arc::clone(&world().namespaces[NAMESPACE].namespace);
    let mut state = State::new(Config::default());
    state.apply(Change::Namespaces(Update::Restart(vec![(NAMESPACE.into(), Some(labels))])));
    state.apply(Change::Catalogues(Update::Restart(Vec::new())));
    let (store, name) = (kind("ClusterSecretStore"), NAMESPACE);
    let stores = vec![("".into(), "aws".into(), Some(held(store, &reviews::store())))];
    state.apply(Change::Carried(store, CarriedUpdate::Restart(stores)));
    let all = (0..count).map(|number| (name.into(), format!("web-{number}").into(), Some(secret(number, 5))));
    state.apply(Change::Carried(kind("ExternalSecret"), CarriedUpdate::Restart(all.collect())));
    state
}

/// One ExternalSecret that changes in a namespace of so many, as the writer of snapshots takes it in and publishes it.
#[divan::bench(args = [20, 20_000])]
fn event(bencher: Bencher<'_, '_>, count: usize) {
    let mut state = writer(count);
    let versions = [secret(count / 2, 4), secret(count / 2, 5)];
    let mut versions = versions.iter().cycle().cloned();
    // Readers hold the snapshot of before, as in a server.
    let mut published = state.snapshot();
    bencher.bench_local(|| {
        let update = versions.next().map(|held| CarriedUpdate::Apply(NAMESPACE.into(), held));
        state.apply(Change::Carried(kind("ExternalSecret"), update.expect("an endless list")));
        published = state.snapshot();
    });
    assert!(published.is_some_and(|snapshot| !snapshot.namespaces[NAMESPACE].filled.is_empty()));
}

/// The store that they read by changes: all that they fill is worked out anew.
#[divan::bench(args = [20_000])]
fn store_event(bencher: Bencher<'_, '_>, count: usize) {
    let (mut state, store) = (writer(count), kind("ClusterSecretStore"));
    let mut other = reviews::store();
    other["spec"]["provider"]["aws"]["prefix"] = "mozmeao/".into();
    let versions = [held(store, &other), held(store, &reviews::store())];
    let mut versions = versions.iter().cycle().cloned();
    bencher.bench_local(|| {
        let update = versions.next().map(|held| CarriedUpdate::Apply("".into(), held));
        state.apply(Change::Carried(store, update.expect("an endless list")));
        state.snapshot()
    });
}

/// The review with five references, in a cluster of so many namespaces: the world does not show in the time.
#[divan::bench(args = [1, 50, 100_000])]
fn namespaces(bencher: Bencher<'_, '_>, namespaces: usize) {
    let (mut world, body) = (world(), review("9 KB, five references"));
    let state = Arc::clone(&world.namespaces[NAMESPACE]);
    for number in 1..namespaces {
        world.namespaces.insert(format!("namespace-{number}").into(), Arc::clone(&state));
    }
    bencher.bench_local(|| answer(black_box(&body), Endpoint::Mutate, &world));
}
