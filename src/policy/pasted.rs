//! A secret that somebody pasted where a name, a path or a place belongs: whoever would repeat such a text asks here first.

use super::finding::Certainty;
use super::resolve::World;
use super::rules::{Candidate, Hit, Place};
use super::snapshot::Binding;

/// No token is shorter, unless its name tells it.
const SHORTEST: usize = 16;
/// What stands between the parts of a path, of an ARN or a reference, of a sentence, of an assignment.
const BORDERS: [&[char]; 4] = [
    &['/'],
    &['/', ':', '#'],
    &[' ', '(', ')', ',', ';', '{', '}'],
    &['/', ':', '#', ' ', '=', '"', '\'', ';', ',', '}'],
];

impl World<'_> {
    /// Whether a text holds what is a secret itself: the whole of it, or a part between two borders. It is refused inside of the
    /// scope too, since paths are written into the audit log.
    pub fn is_pasted(&self, text: &str) -> bool {
        self.may_be_long(text) && self.holds(text, |hit| hit.rule.certainty == Certainty::Certain)
    }

    /// Whether a text holds what has the shape of a token, if not quite its own: what is refused anyway is not repeated then.
    pub fn may_be_pasted(&self, text: &str) -> bool {
        self.holds(text, |hit| hit.rule.certainty == Certainty::Certain || hit.rule.id == "token-like")
    }

    /// Whether something in a path is long and mixed enough for a token. Nearly all paths are told apart by this, and objects
    /// have fifty of them.
    fn may_be_long(&self, text: &str) -> bool {
        let rest = match self.binding() {
            Binding::Bound { own, .. } => text.strip_prefix(own.as_str()).unwrap_or(text),
            _ => text,
        };
        let is_word = |byte: u8| byte.is_ascii_lowercase() || b"/_-.".contains(&byte);
        rest.len() >= SHORTEST && !rest.bytes().all(is_word)
    }

    fn holds(&self, text: &str, counts: impl Fn(&Hit) -> bool) -> bool {
        let mut hits = Vec::new();
        let mut is_it = |text: &str| {
            hits.clear();
            let candidate = Candidate { place: Place::Env, name: None, value: text, before: None };
            self.settings.detector.scan(&candidate, &mut hits);
            hits.iter().any(&counts)
        };
        if is_it(text) {
            return true;
        }
        let mut is_part = |part: &str| {
            let is_one = part.len() >= SHORTEST && part.len() < text.len();
            is_one && (is_it(part) || without_suffix(part).is_some_and(&mut is_it))
        };
        BORDERS.into_iter().any(|borders| text.split(borders).any(&mut is_part))
            || text.split("--").any(is_part)
    }
}

/// The name that an ARN ends with, without the hyphen and six random characters behind it.
fn without_suffix(part: &str) -> Option<&str> {
    let (name, suffix) = part.rsplit_once('-')?;
    (suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(name)
}
