//! What the detector costs: an env entry, a file, building the engine, and the memory that it keeps.
//!
//! `cargo bench --bench detector`. Env entries are counted one by one, files by their bytes.

#[expect(dead_code, reason = "only the env entries are wanted here")]
mod reviews;

use std::hint::black_box;

use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher};
use mimalloc::MiMalloc;
use refgate::config;
use refgate::policy::rules::own::Own;
use refgate::policy::rules::{Candidate, Detector, Place, SCAN_LIMIT};
use reviews::ENV;

#[global_allocator]
static ALLOCATOR: AllocProfiler<MiMalloc> = AllocProfiler::new(MiMalloc);

fn main() {
    divan::main();
}

/// Twenty env entries as applications have them. Time is that of all; items per second are entries.
#[divan::bench]
fn benign_env(bencher: Bencher<'_, '_>) {
    let detector = Detector::new(&[]);
    let mut hits = Vec::new();
    bencher.counter(ItemsCount::new(ENV.len())).bench_local(|| {
        for (name, value) in black_box(ENV) {
            detector.scan(&Candidate { place: Place::Env, name: Some(name), value, before: None }, &mut hits);
        }
        assert!(hits.is_empty(), "a benchmark of the wrong thing");
    });
}

/// A file of about a mebibyte, of one kind.
fn file(kind: &str) -> String {
    let piece = match kind {
        "yaml" => {
            "server:\n  host: db.shop.svc\n  port: 5432\n  passwordFile: /run/refgate/password\n  image: registry.example.com/shop:1.2.3\n"
        }
        "json" => {
            r#"{"title": "Requests", "uid": "c2f4e12c", "targets": [{"expr": "sum(rate(http_requests_total[5m])) by (job)"}]},"#
        }
        "shell" => {
            "set -eu\nuntil pg_isready -h \"$DB_HOST\" -U \"$DB_USER\"; do sleep 2; done\nPGPASSWORD=\"$DB_PASSWORD\" psql -f /init.sql\n"
        }
        "base64" => "c2VydmVyOiBkYi5zaG9wLnN2YyBwb3J0OiA1NDMyIHVzZXI6IHNob3AK",
        // As hostile as it gets: each word starts what some rule looks for.
        _ => "password=\"$( eyJ.eyJ. sk- xoxb- ://a:b@ ?token= ;Pwd= -p 'x\\\" <password> AKIA -----BEGIN ",
    };
    piece.repeat(SCAN_LIMIT / piece.len())
}

#[divan::bench(args = ["yaml", "json", "shell", "base64", "hostile"])]
fn text(bencher: Bencher<'_, '_>, kind: &str) {
    let (detector, file) = (Detector::new(&[]), file(kind));
    bencher.counter(BytesCount::new(file.len())).bench_local(|| {
        let mut hits = Vec::new();
        let candidate =
            Candidate { place: Place::ConfigMap, name: None, value: black_box(&file), before: None };
        detector.scan_every(&candidate, &mut hits);
        hits.len()
    });
}

/// What a start and a reload of the configuration cost; the bytes that it allocates are what the engine keeps.
#[divan::bench]
fn build() -> Detector {
    Detector::with(black_box(&[]), Own::default())
}

/// The same with a section `allow` of twenty expressions, which are compiled.
#[divan::bench]
fn build_with_expressions(bencher: Bencher<'_, '_>) {
    let row = |number: usize| {
        format!("- {{reason: r, names: [{{expression: '(TEST|FIXTURE)_[A-Z0-9_]*{number}'}}]}}\n")
    };
    let text = format!("allow:\n{}", (0..20).map(row).collect::<String>());
    bencher.bench_local(|| config::parse(black_box(&text)).is_ok());
}
