//! Where in a foreign object something stands, and what is said of it there.

use std::fmt;

use crate::policy::bounds::MANY;

/// A JSON pointer that is written out only when somebody asks: most objects are allowed and have fifty of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointer {
    /// `BASE/INDEX/TAIL`.
    Item(&'static str, u32, &'static str),
    /// Anything else.
    Whole(Box<str>),
    /// The object as a whole: of what is kept, nobody knows any more where it stood.
    Object,
}

impl Pointer {
    /// One that is written out already.
    pub fn to(text: impl Into<Box<str>>) -> Self {
        Self::Whole(text.into())
    }

    /// The pointer, in one piece of memory: each path of a review is reported with one.
    pub fn written(&self) -> String {
        let Self::Item(base, index, tail) = self else { return self.to_string() };
        let mut text = String::with_capacity(base.len() + tail.len() + 12);
        text.push_str(base);
        text.push('/');
        // By hand: fifty times through `fmt` is a tenth of such a decision.
        let (mut digits, mut start, mut rest) = ([b'0'; 10], 9, *index);
        loop {
            digits[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
            start -= 1;
        }
        text.extend(digits[start..].iter().map(|&digit| char::from(digit)));
        if !tail.is_empty() {
            text.push('/');
            text.push_str(tail);
        }
        text
    }

    /// As people write it: `spec.data[0].remoteRef.key`.
    pub fn words(&self) -> String {
        let mut words = String::new();
        for token in self.to_string().split('/').skip(1) {
            if !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()) {
                words.push_str(&format!("[{token}]"));
            } else {
                words.push_str(if words.is_empty() { "" } else { "." });
                words.push_str(&token.replace("~1", "/").replace("~0", "~"));
            }
        }
        words
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(base, index, "") => write!(out, "{base}/{index}"),
            Self::Item(base, index, tail) => write!(out, "{base}/{index}/{tail}"),
            Self::Whole(text) => out.write_str(text),
            Self::Object => Ok(()),
        }
    }
}

/// Where something is wrong, and a sentence without its subject.
pub type Remark = (Pointer, String);

/// Remarks of one kind on one object. Of more than anybody lists, the number is kept: an entry of three bytes would cost a
/// sentence, and there is room for half a million of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remarks {
    kept: Vec<Remark>,
    further: usize,
}

impl Remarks {
    /// One more.
    pub fn push(&mut self, remark: Remark) {
        self.say(|| remark);
    }

    /// One more, written only where it is kept.
    pub fn say(&mut self, remark: impl FnOnce() -> Remark) {
        match self.kept.len() < MANY {
            true => self.kept.push(remark()),
            false => self.further += 1,
        }
    }

    /// Those that are kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Remark> {
        self.kept.iter()
    }

    /// How many there are besides.
    pub fn further(&self) -> usize {
        self.further
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl<'r> IntoIterator for &'r Remarks {
    type Item = &'r Remark;
    type IntoIter = std::slice::Iter<'r, Remark>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Remarks {
    type Item = Remark;
    type IntoIter = std::vec::IntoIter<Remark>;

    fn into_iter(self) -> Self::IntoIter {
        self.kept.into_iter()
    }
}

impl Extend<Remark> for Remarks {
    fn extend<I: IntoIterator<Item = Remark>>(&mut self, remarks: I) {
        remarks.into_iter().for_each(|remark| self.push(remark));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_written_for_programs_and_for_people() {
        let item = Pointer::Item("/spec/data", 3, "remoteRef/key");
        assert_eq!(item.to_string(), "/spec/data/3/remoteRef/key");
        assert_eq!(item.words(), "spec.data[3].remoteRef.key");
        let annotation = Pointer::to("/metadata/annotations/a.b~1c");
        assert_eq!(annotation.words(), "metadata.annotations.a.b/c");
    }
}
