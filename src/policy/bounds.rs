//! Bounds that several parts of the policy hold to, and the search for a name that somebody may have meant, which needs one.
//! It names nothing else of the crate.

/// So many findings, refusals or notes of one kind are kept of one object: a denial lists twenty.
pub const MANY: usize = 1_000;

/// Names longer than this are nobody's typing mistake.
const SIMILAR_BYTES: usize = 64;
/// So many names are compared; it bounds what one reference can cost.
const SIMILAR_NAMES: usize = 1_000;

/// The name that somebody may have meant.
pub fn similar<'a>(name: &str, others: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > SIMILAR_BYTES {
        return None;
    }
    others
        .filter(|other| *other != name && other.len().abs_diff(name.len()) <= 3)
        .take(SIMILAR_NAMES)
        // What differs in case alone is nearer than any other.
        .map(|other| match other.eq_ignore_ascii_case(name) {
            true => (0, other),
            false => (strsim::osa_distance(name, other), other),
        })
        .filter(|(distance, _)| *distance <= 1 + name.len() / 5)
        .min()
        .map(|(_, other)| other)
}
