//! What the policies say of values of Secrets, in base64, against what `check` says of them as they are.
//!
//! The policies are read as the API server reads them: the lists of marks, the expressions and the beginnings are taken out of
//! the manifests and asked about values. And each of them is computed here from the plain mark.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use refgate::policy::carriers::secret_object::said_of;
use refgate::policy::leftover::{MARKS, Place};
use regex::Regex;

use super::*;
use crate::properties::config;

/// What is between each `start` and the next `end`.
fn between<'t>(text: &'t str, start: &str, end: &str) -> Vec<&'t str> {
    let rests = text.split(start).skip(1);
    rests.map(|rest| rest.split_once(end).unwrap_or_else(|| panic!("{start} without {end}")).0).collect()
}

/// The texts in quotes, or the expressions that are asked by `matches`.
fn quoted(text: &str) -> Vec<String> {
    text.split('\'').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The marks of a list that is asked by `exists(mark`.
fn marks(text: &str) -> Vec<String> {
    let (list, _) = text.split_once("].exists(mark").unwrap_or_else(|| panic!("no marks in {text}"));
    quoted(list.rsplit('[').next().unwrap())
}

fn expressions(text: &str) -> Vec<Regex> {
    between(text, ".matches('", "')").into_iter().map(|text| Regex::new(text).unwrap()).collect()
}

/// Policy `refgate-leftovers`: a validation for SOPS, one for placeholders, one for age, one for git-crypt.
struct Leftovers {
    sops: Vec<String>,
    placeholders: (Vec<String>, Regex),
    age: Vec<String>,
    git_crypt: Vec<String>,
}

impl Leftovers {
    fn read() -> Self {
        let policy = named("ValidatingAdmissionPolicy", "refgate-leftovers");
        let all = list(&policy, "/spec/validations");
        let [_size, sops, placeholders, age, git_crypt] = all else { panic!("{} validations", all.len()) };
        let marks = |row: &Value| marks(text(row, "/expression"));
        let expression = expressions(text(placeholders, "/expression")).remove(0);
        let starts = |row: &Value| -> Vec<String> {
            between(text(row, "/expression"), ".startsWith('", "')").into_iter().map(str::to_owned).collect()
        };
        Self {
            sops: marks(sops),
            placeholders: (marks(placeholders), expression),
            age: starts(age),
            git_crypt: starts(git_crypt),
        }
    }

    fn says(&self, value: &[u8]) -> [bool; 4] {
        let encoded = STANDARD.encode(value);
        let has = |marks: &[String]| marks.iter().any(|mark| encoded.contains(mark));
        let begins = |starts: &[String]| starts.iter().any(|start| encoded.starts_with(start));
        let (marks, exact) = &self.placeholders;
        [has(&self.sops), has(marks) && exact.is_match(&encoded), begins(&self.age), begins(&self.git_crypt)]
    }
}

/// A text at each of the three places of a group of base64, as far as it fills characters.
fn within(text: &str) -> [String; 3] {
    [0, 1, 2].map(|offset| {
        let padded = STANDARD.encode(format!("{}{text}", "x".repeat(offset)));
        let bytes = offset + text.len();
        padded[[0, 2, 3][offset]..bytes / 3 * 4 + [0, 1, 2][bytes % 3]].to_owned()
    })
}

/// A text at the beginning, as far as it fills characters.
fn beginning(text: &str) -> String {
    STANDARD.encode(text)[..text.len() * 8 / 6].to_owned()
}

#[test]
fn marks_are_those_that_the_plain_ones_make() {
    let set = |marks: Vec<String>| marks.into_iter().collect::<BTreeSet<_>>();
    let leftovers = Leftovers::read();
    assert_eq!(leftovers.sops, within(MARKS[0].text));
    assert_eq!(leftovers.placeholders.0, within(MARKS[1].text));
    let starts = MARKS.iter().filter(|mark| mark.place == Place::Start);
    let all = leftovers.age.into_iter().chain(leftovers.git_crypt).collect();
    assert_eq!(set(all), set(starts.map(|mark| beginning(mark.text)).collect()));
}

/// Texts that make a verdict, those that nearly do, and what may stand between them.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let near = ["ENC[", "AES256_GCM", "urlpath:", "path:", "<pat", "age-", "GITCRYPT", "\0"];
    let all: Vec<&str> = MARKS.iter().map(|mark| mark.text).chain(near).collect();
    let filler = vec(select(&b"xyz <AE[\n\0"[..]), 0..4);
    prop_oneof![3 => select(all).prop_map(|text| text.as_bytes().to_vec()), 2 => filler]
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn the_policies_say_what_the_check_says(pieces in vec(piece(), 0..6)) {
        static POLICY: LazyLock<Leftovers> = LazyLock::new(Leftovers::read);
        let value = pieces.concat();
        let [sops, placeholder, age, git_crypt] = POLICY.says(&value);
        let said = said_of("password", &value);
        let says = |what: &str| said.contains(&what);
        let shown = String::from_utf8_lossy(&value).into_owned();
        prop_assert_eq!(sops, says(MARKS[0].what), "sops {}", shown);
        prop_assert_eq!(placeholder, says(MARKS[1].what), "placeholder {}", shown);
        prop_assert_eq!(age, says(MARKS[2].what), "age {}", shown);
        prop_assert_eq!(git_crypt, says(MARKS[4].what), "git-crypt {}", shown);
    }
}
