//! Load and change: nothing fails while RefGate is replaced under it, and a large world is known as well as a small one.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use refgate::policy::path::secret_name;
use serde_json::json;

use crate::harness::api::Answer;
use crate::harness::objects::{deployment, pod, pod_spec};
use crate::harness::populate;
use crate::harness::refgate::{Replica, renew_certificate, reviews_in};
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World};

/// Pods that are made at least, so many at a time.
const PODS: usize = 1000;
const AT_A_TIME: usize = 8;
/// Pods that are made after the last change, at least.
const AFTERWARDS: usize = 50;
const PATH: &str = "mozmeao/load/stage/database_url";

/// What came of the pods.
#[derive(Default)]
struct Load {
    next: AtomicUsize,
    done: AtomicBool,
    failures: Mutex<Vec<String>>,
    /// Of those with a reference: told that a file would be better, as the configuration wants it at first, and not told.
    warned: AtomicUsize,
    unwarned: AtomicUsize,
}

/// Two replicas; each is replaced, after both took over a new certificate and a new configuration.
pub fn no_creation_fails_while_everything_changes(world: &World) {
    let namespace = world.bound("load", "mozmeao/load/stage", &[(PATH, &[("value", "v")])]);
    world.add_replica();
    let load = Load::default();
    let logs = thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| load.work(&namespace));
        }
        // The workers end when the changes do, or fail.
        let _done = Done(&load.done);
        let logs = change_everything(world, &load);
        let enough = load.next.load(Ordering::Relaxed) + AFTERWARDS;
        until("pods are made after the changes", || {
            (load.next.load(Ordering::Relaxed) >= enough).then_some(())
        });
        logs
    });
    let failures = load.failures.into_inner().unwrap();
    assert_eq!(failures.len(), 0, "{}", failures[..failures.len().min(5)].join("\n"));
    assert!(load.next.into_inner() >= PODS);
    let (warned, unwarned) = (load.warned.into_inner(), load.unwarned.into_inner());
    assert!(
        warned > 0 && unwarned > 0,
        "the configuration changed under load: {warned} before, {unwarned} after"
    );
    let answered =
        |log: &PathBuf| reviews_in(log).iter().filter(|review| review["namespace"] == "load").count();
    let answered: Vec<usize> = logs.iter().map(answered).collect();
    let (old, new) = answered.split_at(2);
    assert!(
        old.iter().sum::<usize>() > 0 && new.iter().sum::<usize>() > 0,
        "reviews of each replica: {answered:?}"
    );
    // One replica, as it was.
    world.stop_replica();
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Load {
    fn work(&self, namespace: &Namespace<'_>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= PODS && self.done.load(Ordering::Relaxed) {
                return;
            }
            let refers = number.is_multiple_of(2);
            let value = if refers { "secret:database_url" } else { "postgres" };
            let mut pod = pod(&format!("pod-{number}"), &[("DATABASE", value)]);
            // It is their creation that is tried: no scheduler takes them.
            pod["spec"]["schedulerName"] = json!("nobody");
            let answer =
                namespace.developer.api.try_call("POST", &namespace.path("pods"), "application/json", &pod);
            if let Err(failure) = self.look_at(answer, refers) {
                self.failures.lock().unwrap().push(format!("pod-{number}: {failure}"));
            }
        }
    }

    fn look_at(&self, answer: Result<Answer, String>, refers: bool) -> Result<(), String> {
        let answer = answer?;
        if answer.code != 201 {
            return Err(format!("{}: {}", answer.code, answer.body));
        }
        let env = &answer.body["spec"]["containers"][0]["env"][0];
        if !refers {
            return if env["value"] == "postgres" { Ok(()) } else { Err(format!("changed: {env}")) };
        }
        let selector = &env["valueFrom"]["secretKeyRef"];
        if env.get("value").is_some() || selector["name"] != *secret_name(PATH) || selector["key"] != "value"
        {
            return Err(format!("not injected: {env}"));
        }
        let is_warned = answer.warnings.iter().any(|text| text.contains("secrets as env vars"));
        let count = if is_warned { &self.warned } else { &self.unwarned };
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Returns the logs of all replicas that there were, the two old ones first.
fn change_everything(world: &World, load: &Load) -> Vec<PathBuf> {
    let files = &world.files;
    until("pods come in", || (load.warned.load(Ordering::Relaxed) > 0).then_some(()));
    let configuration = fs::read_to_string(&files.configuration).unwrap();
    let changed = configuration.replace("warn: restricted", "warn: \"off\"");
    assert_ne!(changed, configuration);
    fs::write(&files.configuration, changed).unwrap();
    renew_certificate(&files.certificates);
    let certificate = fs::read_to_string(files.certificates.join("tls.crt")).unwrap();
    let each =
        |look: &dyn Fn(&Replica) -> bool| world.replicas.lock().unwrap().iter().all(look).then_some(());
    let reloaded = |replica: &Replica| {
        replica.has_logged(&["the configuration was reloaded"])
            && replica.has_logged(&["the certificate was reloaded"])
    };
    until("each replica takes them over", || each(&reloaded));
    for name in ["refgate_config_reload_success", "refgate_certificate_reload_success"] {
        assert_eq!(world.metrics()[name], 2.0, "{name}");
    }
    each(&|replica| replica.shown_certificate(files) == certificate).expect("each shows the new certificate");
    until("a pod is judged by the new configuration", || {
        (load.unwarned.load(Ordering::Relaxed) > 0).then_some(())
    });
    // Those that come now find it as it was, for the tests that follow.
    fs::write(&files.configuration, configuration).unwrap();
    let log = |replica: &Replica| replica.log.clone();
    let mut logs: Vec<PathBuf> = world.replicas.lock().unwrap().iter().map(log).collect();
    for _ in 0..2 {
        world.add_replica();
        logs.extend(world.replicas.lock().unwrap().last().map(log));
        world.stop_replica();
    }
    logs
}

/// Namespaces and entries in each: a tenth of what the benchmark has.
const NAMESPACES: usize = 200;
const ENTRIES: usize = 10;

/// A replica that is started when all of them are there knows each entry, and keeps each to its namespace.
pub fn a_large_world_is_judged_right(world: &World) {
    world.populate(NAMESPACES, ENTRIES);
    world.add_replica();
    // Nobody but the new one answers.
    world.stop_replica();
    let api = &world.plane.admin.api;
    populate::each(NAMESPACES, |number| {
        let judged = |env: &[(String, String)]| {
            let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (&**name, &**value)).collect();
            let path = format!("/apis/apps/v1/namespaces/{}/deployments?dryRun=All", populate::name(number));
            api.post(&path, &deployment("web", 1, &pod_spec(&env)))
        };
        let reference =
            |number, entry| (format!("A{entry}"), format!("secret:/{}", populate::path(number, entry)));
        let own = judged(&(0..ENTRIES).map(|entry| reference(number, entry)).collect::<Vec<_>>());
        let unknown: Vec<&String> =
            own.warnings.iter().filter(|text| !text.contains("secrets as env vars")).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        own.ok();
        let foreign = judged(&[reference((number + 1) % NAMESPACES, 0)]);
        assert!(foreign.refused().contains("is outside of"), "{}", foreign.message());
    });
}
