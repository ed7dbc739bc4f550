//! The end-to-end tests: RefGate before a real API server, with real controllers and kubectl.
//!
//! One control plane for all of them. Those that keep to namespaces of their own run a few at a time; those that disturb
//! everybody run alone, after them. Arguments choose tests by a part of their name; `demo` starts everything, says how to
//! use it, and waits for Ctrl-C; `node` does the same with a real node, or runs the tests on it that follow, `all` of them or by
//! a part of their name; `bench` measures instead, all of it or the parts that follow it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests, with a runner of their own"
)]

mod bench;
mod cases;
#[path = "../it/crds/check.rs"]
mod crd_check;
mod harness;
#[path = "../it/managers/contract.rs"]
mod manager_contract;

use std::fs;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use harness::node_cluster::Cluster;
use harness::node_space;
use harness::plane::Plane;
use harness::programs::Programs;
use harness::world::World;

/// One test.
pub struct Case {
    name: &'static str,
    run: Run,
}

/// What a test needs.
#[derive(Clone, Copy)]
pub enum Run {
    /// No control plane; a folder for what it writes.
    Free(fn(&Path)),
    /// A control plane that has never heard of RefGate, and is left that way.
    Bare(fn(&Plane)),
    /// RefGate installed; it keeps to namespaces of its own, and others run beside it.
    Shared(fn(&World)),
    /// RefGate installed, and nobody else there: it changes what all stand on, or looks at all of it.
    Alone(fn(&World)),
    /// RefGate in pods of a real node, which others use before and after; it keeps to namespaces of its own.
    Node(fn(&Cluster)),
}

/// Tests that run at a time: most of them wait for controllers.
const AT_A_TIME: usize = 4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name] = &arguments[..]
        && flag == cases::manager::WITHIN
    {
        return cases::manager::run_within(name);
    }
    if let [first, cgroup, folder, wanted @ ..] = &arguments[..]
        && first == node_space::WITHIN
    {
        return on_a_node(cgroup, Path::new(folder), wanted);
    }
    // Flags are those of the usual test runner, and none of them means anything here.
    let wanted: Vec<String> = arguments.into_iter().filter(|argument| !argument.starts_with('-')).collect();
    if let [first, wanted @ ..] = &wanted[..]
        && first == "node"
    {
        return enter_a_node(wanted);
    }
    end_with_the_parent();
    let chosen =
        |case: &&Case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part.as_str()));
    let cases: Vec<&Case> = cases::CASES.iter().filter(chosen).collect();
    let (start, tally) = (Instant::now(), Tally::default());
    let is_free = |case: &&Case| matches!(case.run, Run::Free(_));
    if !cases.is_empty() && cases.iter().all(is_free) {
        let folder = fresh_folder();
        run_free(&cases, &folder, &tally);
        return done(&folder, cases.len(), tally, start);
    }
    let programs = match Programs::find() {
        Ok(programs) => programs,
        Err(code) => return ExitCode::from(code),
    };
    let folder = fresh_folder();
    if wanted == ["demo"] {
        cases::demo::run(World::install(Plane::start(&folder, programs)));
    }
    if let [first, parts @ ..] = &wanted[..]
        && first == "bench"
    {
        return measure(parts, &folder);
    }
    if cases.is_empty() {
        eprintln!("no test's name holds any of: {}", wanted.join(", "));
        return ExitCode::FAILURE;
    }
    run_free(&cases, &folder, &tally);
    let minor = programs.minor;
    let plane = Plane::start(&folder, programs);
    println!("Kubernetes 1.{minor} is up after {}", seconds(start.elapsed()));
    run(&cases, plane, &tally);
    done(&folder, cases.len(), tally, start)
}

/// Says at once what would fail later: a word in no test's name, a machine that lacks something.
fn enter_a_node(wanted: &[String]) -> ExitCode {
    let known = |word: &String| {
        word == "all" || cases::ON_A_NODE.iter().any(|case| case.name.contains(word.as_str()))
    };
    if let Some(word) = wanted.iter().find(|word| !known(word)) {
        eprintln!("no name of a test on a node holds {word}");
        return ExitCode::FAILURE;
    }
    if let Err(code) = Programs::find_for_node() {
        return ExitCode::from(code);
    }
    let folder = fresh_folder();
    let ended = node_space::enter(&folder, wanted);
    if ended.is_none() {
        let _ = fs::remove_dir_all(&folder);
    }
    // For trying there is no other end; tests that are interrupted have proven nothing.
    let is_well = ended.map_or(wanted.is_empty(), |status| status.success());
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Inside of its space: the tests that are wanted, or everything for trying until Ctrl-C.
fn on_a_node(cgroup: &str, folder: &Path, wanted: &[String]) -> ExitCode {
    let (start, tally) = (Instant::now(), Tally::default());
    let programs = match Programs::find_for_node() {
        Ok(programs) => programs,
        Err(code) => return ExitCode::from(code),
    };
    let cluster = Cluster::start(folder, programs, cgroup);
    println!(
        "Kubernetes 1.{} with a node is up after {}",
        cluster.plane.programs.minor,
        seconds(start.elapsed())
    );
    if wanted.is_empty() {
        cases::node::run(&cluster);
    }
    let chosen = |case: &&Case| wanted.iter().any(|word| word == "all" || case.name.contains(word.as_str()));
    let cases: Vec<&Case> = cases::ON_A_NODE.iter().filter(chosen).collect();
    for case in &cases {
        if let Run::Node(run) = case.run {
            tally.run(case, || run(&cluster));
        }
    }
    done(folder, cases.len(), tally, start)
}

/// All parts of the benchmark, or those that are named.
fn measure(parts: &[String], folder: &Path) -> ExitCode {
    let is_chosen = |name: &str| parts.is_empty() || parts.iter().any(|part| part == name);
    for (name, run) in bench::PARTS.iter().filter(|(name, _)| is_chosen(name)) {
        match Programs::find() {
            Ok(programs) => run(&World::install(Plane::start(&folder.join(name), programs))),
            Err(code) => return ExitCode::from(code),
        }
    }
    ExitCode::SUCCESS
}

fn done(folder: &Path, count: usize, tally: Tally, start: Instant) -> ExitCode {
    let failed = tally.failed.into_inner().unwrap();
    println!("\n{count} tests, {} failed, {} in all", failed.len(), seconds(start.elapsed()));
    if failed.is_empty() {
        // Logs of a run that went well help nobody.
        let _ = fs::remove_dir_all(folder);
        return ExitCode::SUCCESS;
    }
    println!("failed: {}\nlogs: {}", failed.join(", "), folder.join("log").display());
    ExitCode::FAILURE
}

fn run_free(cases: &[&Case], folder: &Path, tally: &Tally) {
    for case in cases {
        if let Run::Free(run) = case.run {
            tally.run(case, || run(folder));
        }
    }
}

/// Ctrl-C reaches everybody; SIGTERM, as a gate that ran out of time sends it to `make`, ends make and cargo, and nobody tells
/// this process. Its own children end with it.
fn end_with_the_parent() {
    let parent = parent_id();
    thread::spawn(move || {
        while parent_id() == parent {
            thread::sleep(Duration::from_millis(500));
        }
        eprintln!("who started the tests is gone; ending");
        std::process::exit(1)
    });
}

fn run(cases: &[&Case], plane: Plane, tally: &Tally) {
    for case in cases {
        if let Run::Bare(run) = case.run {
            tally.run(case, || run(&plane));
        }
    }
    if cases.iter().all(|case| matches!(case.run, Run::Bare(_) | Run::Free(_))) {
        return;
    }
    let world = World::install(plane);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Run::Shared(run) = case.run {
                        tally.run(case, || run(&world));
                    }
                }
            });
        }
    });
    for case in cases {
        if let Run::Alone(run) = case.run {
            tally.run(case, || run(&world));
            world.plane.assert_running();
        }
    }
}

/// What came of the tests.
#[derive(Default)]
struct Tally {
    failed: Mutex<Vec<&'static str>>,
}

impl Tally {
    fn run(&self, case: &Case, run: impl Fn() + Send) {
        let start = Instant::now();
        // In a thread of its name, which a panic then tells.
        let passed = thread::scope(|scope| {
            let thread = thread::Builder::new().name(case.name.to_owned()).spawn_scoped(scope, run);
            thread.unwrap().join().is_ok()
        });
        let verdict = if passed { "ok" } else { "FAILED" };
        println!("test {} ... {verdict} ({})", case.name, seconds(start.elapsed()));
        if !passed {
            self.failed.lock().unwrap().push(case.name);
        }
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// A folder for this run; those of runs that are over go.
fn fresh_folder() -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("e2e");
    for entry in fs::read_dir(&all).into_iter().flatten() {
        let path = entry.unwrap().path();
        let process = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !Path::new("/proc").join(process).exists() {
            // Another run may be faster.
            let _ = fs::remove_dir_all(&path);
        }
    }
    let folder = all.join(std::process::id().to_string());
    fs::create_dir_all(&folder).unwrap();
    folder
}
