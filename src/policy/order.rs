//! The order of a container's env: the kubelet expands `$(NAME)` by the entries that stand before, and by no later one.

use std::collections::HashMap;

use super::workload::expand::variables;
use super::workload::pod::Env;

/// For each variable that texts of `env` use, the first entry that does; entries that are `replaced` lose their text.
pub fn first_uses<'e>(env: &'e [Env<'_>], replaced: impl Fn(usize) -> bool) -> HashMap<&'e str, usize> {
    let mut first = HashMap::new();
    for (index, entry) in env.iter().enumerate().filter(|(index, _)| !replaced(*index)) {
        for name in variables(entry.value.as_deref().unwrap_or_default()) {
            first.entry(name).or_insert(index);
        }
    }
    first
}

/// Entries that use a variable which stands behind them, by index, with its name. Each pair is given once.
pub fn early_uses<'e>(env: &'e [Env<'_>]) -> Vec<(usize, &'e str)> {
    let uses = |entry: &'e Env<'_>| variables(entry.value.as_deref().unwrap_or_default());
    if env.iter().all(|entry| uses(entry).next().is_none()) {
        return Vec::new();
    }
    let mut first: HashMap<&str, usize> = HashMap::with_capacity(env.len());
    for (index, entry) in env.iter().enumerate() {
        first.entry(&entry.name).or_insert(index);
    }
    let mut early = Vec::new();
    for (index, entry) in env.iter().enumerate() {
        let start = early.len();
        early.extend(
            uses(entry)
                .filter(|name| first.get(name).is_some_and(|at| *at > index))
                .map(|name| (index, name)),
        );
        early[start..].sort_unstable();
    }
    early.dedup();
    early
}
