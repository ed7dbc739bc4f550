//! A large world, made fast: for tests and benchmarks of many namespaces.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::world::{World, entry, scope_labels};

/// Requests at a time, here and for who looks at what was made.
pub const AT_A_TIME: usize = 8;

/// Namespace number `number`.
pub fn name(number: usize) -> String {
    format!("many-{number}")
}

/// Secret path number `entry` of that namespace.
pub fn path(number: usize, entry: usize) -> String {
    format!("{}/secret-{entry}", scope(number))
}

fn scope(number: usize) -> String {
    format!("mozmeao/many-{number}/stage")
}

/// Does something for each number below `count`, a few at a time.
pub fn each(count: usize, act: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    act(number);
                }
            });
        }
    });
}

impl World {
    /// Makes bound namespaces, once, and writes their catalogues as the sync would. There are no Secrets behind the entries:
    /// RefGate never looks at any. Nothing is waited for.
    pub fn populate(&self, namespaces: usize, entries_each: usize) {
        each(namespaces, |number| {
            let name = name(number);
            let namespace = json!({"metadata": {"name": name, "labels": scope_labels(&scope(number))}});
            self.operator.api.post("/api/v1/namespaces", &namespace).ok();
            let entries: Vec<Value> =
                (0..entries_each).map(|index| entry(&path(number, index), &["value"])).collect();
            self.write_catalogue(&name, &entries, &[]);
        });
    }
}
