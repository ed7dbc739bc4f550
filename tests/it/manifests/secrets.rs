//! What the policies say of values of Secrets, in base64, against what `check` says of them as they are.
//!
//! The policies are read as the API server reads them: the lists of marks, the expressions and the beginnings are taken out of
//! the manifests and asked about values. And each of them is computed here from the plain mark.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use refgate::policy::carriers::secret_object::{DOCKER, EXPRESSION, REFERENCE, said_of};
use refgate::policy::foreign::data;
use refgate::policy::leftover::{MARKS, Place};
use regex::Regex;

use super::*;
use crate::properties::config;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

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

/// Policy `refgate-secret-references`, as it stands in its manifest.
struct References {
    /// Cheap to ask, and asked first.
    guards: Vec<String>,
    /// Whole beginnings, beginnings of paths, a `#`.
    starts: Vec<Regex>,
    inline: Vec<String>,
    dockers: Vec<String>,
    /// Escapes behind which one of those could hide.
    escapes: Vec<Regex>,
    docker_keys: Vec<String>,
}

impl References {
    fn read() -> Self {
        let policy = named("ValidatingAdmissionPolicy", "refgate-secret-references");
        let variable = |name: &str| -> String {
            let all = list(&policy, "/spec/variables");
            let found = all.iter().find(|variable| variable["name"] == name);
            text(found.unwrap_or_else(|| panic!("no variable {name}")), "/expression").to_owned()
        };
        let summed = variable("expressions");
        let names = summed.split(" + ").map(|name| name.strip_prefix("variables.").unwrap());
        let dockers = variable("dockers");
        let (keys, _) = dockers.split_once("] && [").unwrap();
        let all = variable("configurations");
        let parts: Vec<&str> = all.split(" + ").collect();
        assert_eq!(parts, ["variables.dockers", "variables.letters", "variables.lines"]);
        for name in ["letters", "lines"] {
            assert!(variable(name).contains(keys), "{name} are of other keys");
        }
        Self {
            escapes: ["letters", "lines"].iter().flat_map(|name| expressions(&variable(name))).collect(),
            guards: between(&variable("references"), ".startsWith('", "')")
                .into_iter()
                .map(str::to_owned)
                .collect(),
            starts: expressions(&variable("references")),
            inline: names.flat_map(|name| marks(&variable(name))).collect(),
            dockers: marks(&dockers),
            docker_keys: quoted(keys),
        }
    }

    fn says(&self, key: &str, value: &[u8]) -> [bool; 3] {
        let encoded = STANDARD.encode(value);
        let head = &encoded[..encoded.len().min(48)];
        let [whole, path, number_sign] = &self.starts[..] else { panic!("{:?}", self.starts) };
        let has = |marks: &[String]| marks.iter().any(|mark| encoded.contains(mark));
        [
            self.guards.iter().any(|guard| encoded.starts_with(guard))
                && (whole.is_match(head) || (path.is_match(head) && number_sign.is_match(&encoded))),
            has(&self.inline),
            self.docker_keys.iter().any(|docker| docker == key)
                && (has(&self.dockers) || self.sees_escape(&encoded)),
        ]
    }

    fn sees_escape(&self, encoded: &str) -> bool {
        self.escapes.iter().any(|escape| escape.is_match(encoded))
    }
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
        let [sops, placeholders, age, git_crypt] = all else { panic!("{} validations", all.len()) };
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

/// A text at the beginning: the characters that it fills, and those that its last bits can be part of.
fn beginning(text: &str) -> (String, Vec<char>) {
    let padded = STANDARD.encode(text);
    let full = text.len() * 8 / 6;
    let rest = text.len() * 8 % 6;
    let fits = |code: usize| {
        let partial = LETTERS.iter().position(|letter| *letter == padded.as_bytes()[full]).unwrap();
        code >> (6 - rest) == partial >> (6 - rest)
    };
    let open: Vec<char> = match rest {
        0 => Vec::new(),
        _ => (0..64).filter(|code| fits(*code)).map(|code| char::from(LETTERS[code])).collect(),
    };
    (padded[..full].to_owned(), open)
}

#[test]
fn marks_are_those_that_the_plain_ones_make() {
    let cut = |marks: [String; 3], most: usize| marks.map(|mark| mark[..mark.len().min(most)].to_owned());
    let set = |marks: Vec<String>| marks.into_iter().collect::<BTreeSet<_>>();
    let references = References::read();
    // Cut, since what a scan costs grows with both of its texts.
    let inline = data::INLINE_STARTS.iter().flat_map(|start| cut(within(start), 10)).collect();
    assert_eq!(set(references.inline), set(inline));
    let dockers = data::docker_marks().iter().flat_map(|mark| cut(within(mark), 20)).collect();
    assert_eq!(set(references.dockers), set(dockers));
    assert_eq!(references.docker_keys, data::DOCKER_KEYS);
    let leftovers = Leftovers::read();
    assert_eq!(leftovers.sops, within(MARKS[0].text));
    assert_eq!(leftovers.placeholders.0, within(MARKS[1].text));
    let starts = MARKS.iter().filter(|mark| mark.place == Place::Start);
    let all = leftovers.age.into_iter().chain(leftovers.git_crypt).collect();
    assert_eq!(set(all), set(starts.map(|mark| beginning(mark.text).0).collect()));
}

/// Every character that can stand where the last bits of a beginning do, and no other.
#[test]
fn beginnings_are_exact() {
    let references = References::read();
    let says = |encoded: &str| {
        let is_path = references.starts[1].is_match(encoded) && references.starts[2].is_match(encoded);
        references.starts[0].is_match(encoded) || is_path
    };
    let arns = data::ARN_STARTS.iter().map(|start| (*start, ""));
    // A `#` in the first place of a group.
    for (start, key) in arns.chain(data::VAULT_STARTS.iter().map(|start| (*start, "I3gg"))) {
        let (full, open) = beginning(start);
        for letter in LETTERS.iter().map(|letter| char::from(*letter)) {
            let mut encoded = format!("{full}{letter}");
            while encoded.len() % 4 > 0 {
                encoded.push('A');
            }
            let expected = open.is_empty() || open.contains(&letter);
            assert_eq!(says(&format!("{encoded}{key}")), expected, "{start} {letter}");
        }
        assert!(!says(&format!("A{full}{key}")), "{start} further on");
    }
}

/// A `#`, at each of the three places and between all bytes.
#[test]
fn a_key_behind_a_path_is_seen_wherever_it_begins() {
    let references = References::read();
    let number_sign = &references.starts[2];
    for byte in 0..=255 {
        for length in 0..9 {
            let mut value = vec![b'x'; length];
            value.push(byte);
            for after in [&b""[..], &[0], &[255], b"xyz"] {
                let whole = [&value[..], after].concat();
                let seen = number_sign.is_match(&STANDARD.encode(&whole));
                assert_eq!(seen, whole.contains(&b'#'), "{whole:?}");
            }
        }
    }
}

/// Escapes of all characters, at each of the three places and behind all bytes; ends of lines before all bytes too.
#[test]
fn escapes_that_hide_something_are_seen_wherever_they_stand() {
    let references = References::read();
    assert_eq!(references.escapes.len(), 2);
    let agree = |value: &[u8]| {
        let seen = references.sees_escape(&STANDARD.encode(value));
        assert_eq!(seen, data::has_hiding_escape(value), "{}", String::from_utf8_lossy(value));
    };
    for length in 0..3 {
        let head = vec![b'x'; length];
        for code in 0..=0xff {
            for escape in [format!("\\u{code:04x}"), format!("\\u{code:04X}"), format!("\\u{code:02x}41")] {
                for before in [b'"', b'c', b'\\', 0xff] {
                    agree(&[&head[..], &[before], escape.as_bytes(), b"\""].concat());
                    agree(&[&head[..], &[before], escape.as_bytes()].concat());
                }
            }
        }
        for before in 0..=255 {
            for (after, letter) in (0..=255).flat_map(|after| [(after, b'n'), (after, b'r'), (after, b't')]) {
                agree(&[&head[..], &[before, b'\\', letter, after], b"xy"].concat());
            }
        }
        for letter in 0..=255 {
            agree(&[&head[..], &[b'"', b'\\', letter, b'd']].concat());
            agree(&[&head[..], &[b'"', letter, b'n', b'd']].concat());
        }
    }
}

/// Whether the policy says what the check says. It looks for the characters of base64 that a mark fills as a whole, and for the
/// first of them where the mark is long, so it may say more where a text holds nearly all of a mark.
fn agrees(policy: bool, check: bool, value: &[u8], marks: &[String], most: usize) -> bool {
    let nearly = |mark: &String| {
        let inner = &mark.as_bytes()[1..most.min(mark.len() - 1)];
        value.windows(inner.len()).any(|part| part == inner)
    };
    policy == check || (policy && marks.iter().any(nearly))
}

/// Texts that make a verdict, those that nearly do, and what may stand between them.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let starts = data::VAULT_STARTS.iter().chain(&data::ARN_STARTS).chain(&data::INLINE_STARTS);
    let marks = starts.map(|text| (*text).to_owned()).chain(data::docker_marks());
    let marks = marks.chain(MARKS.iter().map(|mark| mark.text.to_owned()));
    let near = [
        "Vault:",
        " vault:",
        "vault",
        "login",
        "v1:",
        "arn:aws:iam:",
        "ENC[",
        "urlpath:",
        "path:",
        "\"\\n",
        "\\u0076",
        "\\u003e",
        "\\",
        "nd",
        "#",
        "${",
        ">",
    ];
    let all: Vec<String> = marks.chain(near.map(str::to_owned)).collect();
    let filler = vec(select(&b"xyz wvonm/=\n"[..]), 0..4);
    prop_oneof![3 => select(all).prop_map(String::into_bytes), 2 => filler]
}

proptest! {
    #![proptest_config(config(2_000))]

    #[test]
    fn the_policies_say_what_the_check_says(
        pieces in vec(piece(), 0..6),
        key in select(vec!["password", ".dockerconfigjson", ".dockercfg", "VAULT_TOKEN"]),
    ) {
        let value = pieces.concat();
        static POLICIES: LazyLock<(Leftovers, References)> =
            LazyLock::new(|| (Leftovers::read(), References::read()));
        let [sops, placeholder, age, git_crypt] = POLICIES.0.says(&value);
        let [reference, expression, docker] = POLICIES.1.says(key, &value);
        let said = said_of(key, &value);
        let says = |what: &str| said.contains(&what);
        let shown = String::from_utf8_lossy(&value).into_owned();
        prop_assert_eq!(sops, says(MARKS[0].what), "sops {}", shown);
        prop_assert_eq!(placeholder, says(MARKS[1].what), "placeholder {}", shown);
        prop_assert_eq!(age, says(MARKS[2].what), "age {}", shown);
        prop_assert_eq!(git_crypt, says(MARKS[4].what), "git-crypt {}", shown);
        prop_assert_eq!(reference, says(REFERENCE), "reference {}", shown);
        let inline = data::INLINE_STARTS.map(str::to_owned);
        prop_assert!(agrees(expression, says(EXPRESSION), &value, &inline, 7), "expression {}", shown);
        let dockers: Vec<String> = data::docker_marks().into_iter().collect();
        prop_assert!(agrees(docker, says(DOCKER), &value, &dockers, 14), "docker {}", shown);
    }
}
