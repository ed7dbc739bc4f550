//! What the configuration lets pass though a rule strikes: rows of `allow`, each with its reason.
//!
//! All that a row names must hold, and of each list one entry. A developer's own mark counts only where a row says so.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::snapshot::LabelSet;
use super::workload::pod::Metadata;

/// The annotation by which a workload names what may pass, where the configuration permits it.
pub const ALLOW_PLAINTEXT: &str = "refgate.dev/allow-plaintext";

/// Longest pattern, in bytes.
pub const PATTERN_BYTES: usize = 1_024;
/// Most memory that one expression may take once it is compiled, in bytes.
const EXPRESSION_BYTES: usize = 64 << 10;
/// Most names of one mark that count.
const MARKS: usize = 64;

/// One row of `allow`.
#[derive(Debug, Default)]
pub struct Allow {
    /// Why; it lands in the audit annotation and in the log.
    pub reason: Arc<str>,
    /// Ids of rules; empty for all.
    pub rules: Vec<&'static str>,
    /// Names of env vars, headers, annotations and entries; empty for any, and for what has none.
    pub names: Vec<Pattern>,
    /// Whole values, or the part of one that was struck; empty for any.
    pub values: Vec<Pattern>,
    /// Labels of namespaces.
    pub namespaces: Option<Selector>,
    /// Images of containers; empty for any, and for what stands in none.
    pub images: Vec<Pattern>,
    /// Kinds of objects, as they are judged: a Deployment is one, and its pods are of kind Pod; empty for any.
    pub kinds: Vec<Box<str>>,
    /// Service accounts of pods; empty for any, and for what is no pod.
    pub accounts: Vec<Pattern>,
    /// Whether it counts only for names that the workload lists in its annotation.
    pub by_mark: bool,
}

/// Why a finding passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The reason that the configuration gives.
    pub reason: Arc<str>,
    /// Whether the workload asked for it.
    pub by_mark: bool,
}

/// What is known of the place of a finding.
pub(super) struct Context<'c> {
    pub(super) labels: &'c LabelSet,
    pub(super) kind: &'c str,
    pub(super) image: Option<&'c str>,
    pub(super) account: Option<&'c str>,
    pub(super) marked: &'c [&'c str],
}

impl Allow {
    /// Whether a finding passes by this row.
    pub(super) fn passes(
        &self,
        context: &Context<'_>,
        rule: &str,
        name: Option<&str>,
        values: &[&str],
    ) -> Option<Pass> {
        let one_of = |patterns: &[Pattern], text: Option<&str>| {
            patterns.is_empty()
                || text.is_some_and(|text| patterns.iter().any(|pattern| pattern.matches(text)))
        };
        let holds = (self.rules.is_empty() || self.rules.contains(&rule))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| **kind == *context.kind))
            && (!self.by_mark || name.is_some_and(|name| context.marked.contains(&name)))
            && self.namespaces.as_ref().is_none_or(|selector| selector.matches(context.labels))
            && one_of(&self.names, name)
            && one_of(&self.images, context.image)
            && one_of(&self.accounts, context.account)
            && (self.values.is_empty() || values.iter().any(|value| one_of(&self.values, Some(value))));
        holds.then(|| Pass { reason: Arc::clone(&self.reason), by_mark: self.by_mark })
    }
}

/// The names that an object lists in its annotation.
pub(super) fn marked<'t>(metadata: &'t Metadata<'_>) -> Vec<&'t str> {
    let value = metadata.annotations.as_ref().and_then(|annotations| annotations.get(ALLOW_PLAINTEXT));
    let names = value.into_iter().flat_map(|names| names.split(',')).map(str::trim);
    names.filter(|name| !name.is_empty()).take(MARKS).collect()
}

/// A text, exact or by a pattern; it is the whole text that has to fit.
#[derive(Debug)]
pub enum Pattern {
    /// This text.
    Exact(Box<str>),
    /// `*` stands for any text, nothing and slashes included.
    Glob(Box<str>),
    /// A regular expression.
    Expression(Regex),
}

/// Why an expression is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It does not read as one.
    #[error("it is no regular expression (no look-around, no back-references)")]
    Syntax,
    /// It would take too much memory.
    #[error("it is too large: once compiled it takes more than 64 KiB")]
    TooLarge,
}

impl Pattern {
    /// Compiles an expression. The engine takes time linear in the text, whatever the two are.
    pub fn expression(text: &str) -> Result<Self, PatternError> {
        // On its own first: `a)(b` must not become one by what is put around it.
        let size = |pattern: &str| {
            let built = RegexBuilder::new(pattern)
                .size_limit(EXPRESSION_BYTES)
                .dfa_size_limit(EXPRESSION_BYTES)
                .build();
            built.map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => PatternError::TooLarge,
                _ => PatternError::Syntax,
            })
        };
        size(text)?;
        Ok(Self::Expression(size(&format!("^(?:{text})$"))?))
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *text,
            Self::Glob(glob) => glob_matches(glob, text),
            Self::Expression(expression) => expression.is_match(text),
        }
    }
}

/// Pieces between stars are looked for from left to right, each once: where an early place fits, a later one gains nothing.
fn glob_matches(glob: &str, text: &str) -> bool {
    let Some((head, rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        let Some(at) = memchr::memmem::find(text.as_bytes(), piece.as_bytes()) else { return false };
        text = &text[at + piece.len()..];
    }
    text.ends_with(tail)
}

/// A label selector, as Kubernetes has them.
#[derive(Debug, Default)]
pub struct Selector {
    /// All of these must hold.
    pub requirements: Vec<Requirement>,
}

/// One condition on a label.
#[derive(Debug)]
pub struct Requirement {
    /// The key of the label.
    pub key: Box<str>,
    /// What is asked of it.
    pub operator: Operator,
}

/// What is asked of a label.
#[derive(Debug)]
pub enum Operator {
    /// It is there, with one of these values.
    In(Vec<Box<str>>),
    /// It is not there, or has another value.
    NotIn(Vec<Box<str>>),
    /// It is there.
    Exists,
    /// It is not.
    DoesNotExist,
}

impl Selector {
    fn matches(&self, labels: &LabelSet) -> bool {
        labels.can_be_selected()
            && self.requirements.iter().all(|requirement| {
                let value = labels.get(&requirement.key);
                match &requirement.operator {
                    Operator::In(values) => {
                        value.is_some_and(|value| values.iter().any(|one| **one == *value))
                    }
                    Operator::NotIn(values) => {
                        value.is_none_or(|value| values.iter().all(|one| **one != *value))
                    }
                    Operator::Exists => value.is_some(),
                    Operator::DoesNotExist => value.is_none(),
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_texts() {
        let glob = |glob: &str| Pattern::Glob(glob.into());
        let expression = |text: &str| Pattern::expression(text).unwrap();
        for (pattern, text, expected) in [
            (Pattern::Exact("a*".into()), "a*", true),
            (Pattern::Exact("a*".into()), "ab", false),
            (glob("TEST_*"), "TEST_", true),
            (glob("TEST_*"), "MY_TEST_A", false),
            (glob("*_A_*"), "X_A_", true),
            (glob("a*b*c"), "abbc", true),
            (glob("a*b*c"), "acb", false),
            (glob("ab*bc"), "abc", false),
            (glob("*"), "", true),
            (glob("*/app:*"), "registry.example.com/team/app:1.2", true),
            (expression("[a-z]+"), "abc", true),
            (expression("[a-z]+"), "abc1", false),
            (expression("a|b"), "ab", false),
        ] {
            assert_eq!(pattern.matches(text), expected, "{pattern:?} {text}");
        }
    }

    #[test]
    fn what_is_no_expression_or_too_large_is_refused() {
        for (text, expected) in [
            ("(", PatternError::Syntax),
            ("a)(b", PatternError::Syntax),
            ("(?=a)", PatternError::Syntax),
            ("((a{1,100}){1,100}){1,100}", PatternError::TooLarge),
        ] {
            assert_eq!(Pattern::expression(text).err(), Some(expected), "{text}");
        }
    }
}
