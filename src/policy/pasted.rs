//! A secret that somebody pasted where a name, a path or a place belongs: whoever would repeat such a text asks here first.

use super::resolve::World;

/// No token is shorter, unless its name tells it.
const SHORTEST: usize = 16;
/// What stands between the parts of a path, of an ARN or a reference, of a sentence, of names without slashes.
const BORDERS: [&[char]; 4] = [
    &['/'],
    &['/', ':', '#'],
    &[' ', '(', ')', ',', ';', '{', '}'],
    &['/', ':', '#', ' ', '=', '"', '\'', ';', ',', '}'],
];

impl World<'_> {
    /// Whether a text holds what looks like a secret itself: the whole of it, or a part between two borders. Paths are looked at
    /// too when they lie inside of the scope, since they are written into the audit log.
    pub fn is_pasted(&self, text: &str) -> bool {
        if self.is_value(text) {
            return true;
        }
        let is_value = |part: &str| {
            let is_part = part.len() >= SHORTEST && part.len() < text.len();
            is_part && (self.is_value(part) || without_suffix(part).is_some_and(|part| self.is_value(part)))
        };
        BORDERS.into_iter().any(|borders| text.split(borders).any(is_value)) || text.split("--").any(is_value)
    }
}

/// The name that an ARN ends with, without the hyphen and six random characters behind it.
fn without_suffix(part: &str) -> Option<&str> {
    let (name, suffix) = part.rsplit_once('-')?;
    (suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(name)
}
