//! A refusal: one reason why an object is denied, findings of plaintext apart.
//!
//! Its cause is a word of a closed set. Code branches on the cause and never on the sentence; the log line of a review
//! holds the cause and the pointer, `docs/reference.md` lists the words.

/// Why something is refused: where it stands and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// RFC 6901 pointer into the object.
    pub pointer: String,
    /// In words: `container web, env DATABASE_URL`.
    pub subject: String,
    /// The sentence.
    pub text: String,
    /// The kind of fault.
    pub cause: Cause,
}

/// The kind of fault that a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The namespace has no scope, or labels that do not read.
    Unbound,
    /// A path, a Secret or a place that the namespace may not use.
    OutOfScope,
    /// The snapshot is too old to answer for references.
    Stale,
    /// A reference or an annotation does not read.
    Syntax,
    /// A secret where the name of one belongs.
    Pasted,
    /// Two want one place, or one Secret would hold two things.
    Conflict,
    /// A whole secret is wanted whose properties are not known until the sync has brought it.
    NotSynced,
    /// No object of another secret system fills a Secret from the path, or a key from the property.
    NotFilled,
    /// A whole secret is wanted that has no properties to be env vars.
    NoProperties,
    /// A reference where none is resolved.
    Misplaced,
    /// A reference that the mutating webhook should have resolved.
    Unresolved,
    /// What is reached cannot be said: a text of another tool that does not read, an unknown kind or version.
    Undecided,
    /// The object is larger than what is judged.
    Limit,
    /// A value in a file that is to be encrypted there, or a Secret that the policies would refuse.
    File,
}

impl Cause {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unbound => "unbound",
            Self::OutOfScope => "out-of-scope",
            Self::Stale => "stale",
            Self::Syntax => "syntax",
            Self::Pasted => "pasted",
            Self::Conflict => "conflict",
            Self::NotSynced => "not-synced",
            Self::NotFilled => "not-filled",
            Self::NoProperties => "no-properties",
            Self::Misplaced => "misplaced",
            Self::Unresolved => "unresolved",
            Self::Undecided => "undecided",
            Self::Limit => "limit",
            Self::File => "file",
        }
    }

    /// Whether the sync, or an object that is applied a moment later, may lift it while the refused object stays as it is.
    /// A workload is let in with a warning then, or nothing would name the path and the object behind it in the same chart
    /// would never be applied. Its pods are refused until then.
    pub fn is_awaited(self) -> bool {
        matches!(self, Self::NotSynced | Self::NotFilled)
    }
}
