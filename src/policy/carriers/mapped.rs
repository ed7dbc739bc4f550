//! Names in systems where a row of `carriers.mappings` says which scope may read them: which row gives one, and if none does,
//! what to write instead or which row is missing.

use super::place::{Remote, System, Verdict, literal};
use super::reach::How;
use super::settings::Mapping;
use crate::policy::message;
use crate::policy::path::Scope;
use crate::policy::snapshot::{Binding, Settings};

/// Longest name in a message.
const NAME_CHARACTERS: usize = 80;

/// Whether a row gives a name to a scope, to the namespace's own or to one that it shares.
pub fn judge(
    remote: &Remote<'_>,
    how: How,
    (own, shared): (&Scope, &[Scope]),
    binding: &Binding,
    mappings: &[Mapping],
) -> Verdict {
    let Remote { system, place, name } = remote;
    let mut rows = Vec::new();
    for scope in [own].into_iter().chain(shared) {
        for row in mappings.iter().filter(|row| row.covers(*system, place, scope)) {
            rows.push((row, scope));
            if system.has_paths() {
                match literal(name, how, scope, &[], binding) {
                    Verdict::Inside(path) => return Verdict::Inside(path),
                    Verdict::Outside(..) => continue,
                }
            }
            if let Some(path) = row.path_of(name, how, scope) {
                return Verdict::Inside(Some(path));
            }
            if row.is_title(name, how, scope) {
                return Verdict::Inside(None);
            }
        }
    }
    if !system.has_paths() {
        return match rows.first() {
            None => Verdict::Outside(None, needs_row(*system, place, own)),
            Some((row, scope)) => Verdict::Outside(None, unnamed(row, scope, name, how)),
        };
    }
    if rows.is_empty() {
        return Verdict::Outside(None, needs_row(*system, place, own));
    }
    // A row gives the names of its own scope and of no other: what lies inside of a shared path needs a row for that one.
    match literal(name, how, own, shared, binding) {
        Verdict::Inside(path) => {
            let holds =
                |scope: &&Scope| !matches!(literal(name, how, scope, &[], binding), Verdict::Outside(..));
            let scope = [own].into_iter().chain(shared).find(holds).unwrap_or(own);
            Verdict::Outside(path, needs_row(*system, place, scope))
        }
        outside => outside,
    }
}

/// The line of configuration that is missing.
fn needs_row(system: System, place: &str, scope: &Scope) -> String {
    let whose = if place.is_empty() { String::new() } else { format!(", place: {place}") };
    let segments: Vec<&str> = scope.as_str().split('/').take(3).collect();
    format!(
        "nothing maps it to a path; where {scope} may have it, carriers.mappings of the configuration needs the row \
         {{system: {}, match: {}{whose}}}",
        system.id(),
        segments.join("/")
    )
}

/// Why a name without slashes is none that a row gives, and what to write instead.
fn unnamed(row: &Mapping, scope: &Scope, name: &str, how: How) -> String {
    let title = row.system.title();
    let Some(example) = row.name_of(scope, "NAME") else {
        return format!(
            "carriers.mappings gives {scope} no names of {title} here: its segments hold the separator, or it is longer than a \
             scope; ask an operator for a row with another separator"
        );
    };
    let name = message::cut(name, NAME_CHARACTERS);
    if how == How::Find {
        return format!(
            "by a search the whole of {title} that is named here is read, and carriers.mappings gives {scope} the names that are \
             {example}; name each secret"
        );
    }
    match row.name_of(scope, &name) {
        Some(meant) if row.separator.is_some() => format!(
            "{name} is not one of the names of {title} that carriers.mappings gives to {scope}; write {meant}"
        ),
        _ => format!(
            "{name} is no name of {title} that can be mapped: those are of letters, digits and the characters - _ . alone; write \
             one that is {example}"
        ),
    }
}

/// Longest name of a project, vault or mount that a text of a pod is told to map.
const LONGEST_PLACE: usize = 80;

/// What to say of a name of which no row of the configuration speaks, where one would give it to the namespace.
pub fn missing_row(remote: &Remote<'_>, binding: &Binding, settings: &Settings) -> Option<String> {
    let Binding::Bound { own, shared } = binding else { return None };
    let Remote { system, place, name } = remote;
    // What may be anything but a name is not repeated.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_. ".contains(&byte);
    if place.len() > LONGEST_PLACE || !place.bytes().all(is_plain) {
        return None;
    }
    let has_row =
        |scope: &Scope| settings.carriers.mappings.iter().any(|row| row.covers(*system, place, scope));
    let is_outside = || matches!(literal(name, How::Read, own, shared, binding), Verdict::Outside(..));
    let is_vain = [own].into_iter().chain(shared).any(has_row) || (system.has_paths() && is_outside());
    (!is_vain).then(|| needs_row(*system, place, own))
}
