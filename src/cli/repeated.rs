//! What `check` and `render` say of keys that stand more than once in a manifest. `yaml` finds them.

use crate::policy::message::{cut, printable};
use crate::yaml::Repeated;

/// So many keys of one document are named.
const NAMED: usize = 100;
/// So many characters of a pointer are repeated.
const POINTER: usize = 200;

/// One sentence for each key of the manifest at `at`.
pub(super) fn notes(repeated: &[Repeated], at: &str, lines_before: usize) -> Vec<String> {
    let named = repeated.iter().take(NAMED).filter_map(|key| {
        let pointer = key.pointer.strip_prefix(at).filter(|rest| rest.starts_with('/'))?;
        let (pointer, line) = (cut(&printable(pointer), POINTER), lines_before + key.line);
        let what = if key.is_of_an_object {
            "where another object begins, write a line --- before it; kubectl takes the last one alone"
        } else {
            "kubectl takes the last one, so take this one out"
        };
        Some(format!("line {line}: {pointer} is there more than once; {what}"))
    });
    let more = repeated.len().saturating_sub(NAMED);
    let more = (more > 0 && (at.is_empty() || at == "/items/0"))
        .then(|| format!("{more} more keys are there more than once"));
    named.chain(more).collect()
}
