//! A finding: one piece of plaintext that looks like a secret. It says where, which rule and how sure, never what.

/// How sure a rule is that what it struck is a secret.
///
/// The order is the order of sureness; `policy::level` decides what each level counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Certainty {
    /// Probably a secret: counted at level `restricted`.
    Probable,
    /// Almost surely a secret: counted from level `baseline` on.
    Certain,
}

impl Certainty {
    /// The word that JSON output and the documentation use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Probable => "probable",
            Self::Certain => "certain",
        }
    }
}

/// One piece of plaintext that looks like a secret.
///
/// Nothing in it is taken from the text that was struck: not the value, not its prefix, not its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Id of the rule that struck, as `refgate rules` lists it.
    pub rule: &'static str,
    /// RFC 6901 pointer into the judged object.
    pub pointer: String,
    /// Name of the container, where the text stands in one.
    pub container: Option<String>,
    /// Name of the env var, annotation or header; for commands and arguments, none.
    pub name: Option<String>,
    /// How sure the rule is.
    pub certainty: Certainty,
    /// What the rule says of everything that it strikes; the same for each finding of the rule.
    pub reason: &'static str,
    /// What it says of this object.
    pub detail: String,
    /// What to write instead.
    pub instead: String,
}
