//! The table, walked: every rule has its face, strikes its examples and leaves its counter-examples alone.

use proptest::prelude::*;

use super::{Candidate, Detector, Example, Extent, Hit, Place, RULES, SCAN_LIMIT, sight};

fn scan(candidate: &Candidate<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    Detector::new(&[]).scan(candidate, &mut hits);
    hits
}

fn ids(example: &Example) -> Vec<&'static str> {
    scan(&example.candidate()).iter().map(|hit| hit.rule.id).collect()
}

#[test]
fn every_rule_has_a_face_of_its_own() {
    let mut known = Vec::new();
    for rule in RULES {
        assert!(!known.contains(&rule.id), "{} twice", rule.id);
        known.push(rule.id);
        assert!(!rule.summary.is_empty() && !rule.reason.is_empty(), "{}", rule.id);
        assert!(!rule.examples.is_empty() && !rule.counter_examples.is_empty(), "{}", rule.id);
        assert!(
            rule.reason.starts_with(|c: char| c.is_lowercase()) && !rule.reason.ends_with('.'),
            "{}",
            rule.id
        );
    }
    assert!(RULES.len() <= 16, "the sink holds the spans of sixteen");
    let first_outside = RULES.iter().position(|rule| !rule.inside).unwrap();
    assert!(
        RULES[first_outside..].iter().all(|rule| !rule.inside),
        "rules that look inside base64 come first"
    );
}

#[test]
fn what_a_rule_needs_is_worth_a_look() {
    for rule in RULES {
        for need in rule.needs {
            assert!(sight::is_worth_a_look(*need), "{}: {need:b}", rule.id);
        }
    }
    assert!(!sight::is_worth_a_look(super::text::DIGIT | super::text::COLON));
}

#[test]
fn every_rule_strikes_its_examples() {
    for rule in RULES {
        for example in rule.examples {
            assert!(ids(example).contains(&rule.id), "{}: {example:?} gave {:?}", rule.id, ids(example));
        }
    }
}

/// Both kinds, as age-keygen writes them, with their check digits.
#[test]
fn secret_keys_of_age_are_tokens() {
    for key in [
        "AGE-SECRET-KEY-13RFM7973R0XAFU2XPSM7EKW74TMSCDG6N9P7Q7SQD8QRG087JA7SSRQ88Z",
        "AGE-SECRET-KEY-PQ-13RFM7973R0XAFU2XPSM7EKW74TMSCDG6N9P7Q7SQD8QRG087JA7S2DQXF2",
    ] {
        assert_eq!(ids(&Example::env("KEY_FILE", key)), ["token"], "{key}");
        let wrong = key.replace('3', "4");
        let candidate = Candidate { place: Place::Env, name: Some("KEY_FILE"), value: &wrong, before: None };
        assert!(scan(&candidate).iter().all(|hit| hit.rule.id != "token"), "{wrong}");
    }
}

#[test]
fn no_rule_strikes_a_counter_example() {
    for rule in RULES {
        for example in rule.counter_examples {
            assert_eq!(ids(example), Vec::<&str>::new(), "{}: {example:?}", rule.id);
        }
    }
}

#[test]
fn a_rule_that_is_off_is_silent() {
    for rule in RULES {
        let detector = Detector::new(&[rule.id]);
        for example in rule.examples {
            let mut hits = Vec::new();
            detector.scan(&example.candidate(), &mut hits);
            assert!(hits.iter().all(|hit| hit.rule.id != rule.id), "{}: {example:?}", rule.id);
        }
    }
    assert!(Detector::known("token") && !Detector::known("nonsense"));
}

#[test]
fn the_most_specific_rule_speaks_for_a_value() {
    let token = concat!("gh", "p_R7fGq2LxVb9NcT4mZsK8yWdH3pJu6E3x8pw8");
    assert_eq!(ids(&Example::env("GITHUB_TOKEN", token)), ["token"]);
    assert_eq!(ids(&Example::env("DB_PASSWORD", "postgres://shop:Zq8mT3vLx0@db/shop")), ["url-password"]);
}

#[test]
fn no_hit_tells_what_it_struck() {
    for rule in RULES {
        for example in rule.examples {
            for hit in scan(&example.candidate()) {
                assert!(!hit.detail.contains("Zq8mT3") && !hit.detail.contains("postgres"), "{}", hit.detail);
            }
        }
    }
}

#[test]
fn what_lies_beyond_the_limit_is_said() {
    let detector = Detector::new(&[]);
    let extent = |value: &str| {
        detector.scan(&Candidate { place: Place::Env, name: None, value, before: None }, &mut Vec::new())
    };
    assert_eq!(extent(&"a".repeat(SCAN_LIMIT)), Extent::Whole);
    assert_eq!(extent(&"a".repeat(SCAN_LIMIT + 1)), Extent::Clipped);
    // A limit inside a letter of several bytes cuts it, and that is all.
    assert_eq!(extent(&"\u{fc}".repeat(SCAN_LIMIT)), Extent::Clipped);
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        Just(Place::Env),
        Just(Place::Argument),
        Just(Place::Command),
        Just(Place::Header),
        Just(Place::UrlPath),
        Just(Place::Annotation),
        Just(Place::VolumeAttribute),
        Just(Place::ConfigMap),
        Just(Place::Secret),
    ]
}

/// Pieces that bring a text near what the rules look for.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "\\PC{0,12}",
        2 => prop::sample::select(vec![
            "password=", "password", "://", "@", ":", "?token=", ";Pwd=", "--secret=", "-p", " ", "\"", "'", "\\\"", "$(", ")", "${",
            "}", "{{", "<", ">", "eyJ", "ghp_", "xoxb-", "SK", "-----BEGIN ", "PRIVATE KEY-----", "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0",
            "\n", "name: ", "value: ", "\"auths\"", "\"auth\":\"", "mysql ", "curl -u ", "Bearer ", "12345678:", "AGE-SECRET-KEY-1",
        ]).prop_map(str::to_owned),
        1 => "[A-Za-z0-9+/=_-]{20,90}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_it_panic(place in place(), name in prop::option::of(pieces()), value in pieces(), before in prop::option::of(pieces())) {
        let candidate = Candidate { place, name: name.as_deref(), value: &value, before: before.as_deref() };
        let first: Vec<_> = scan(&candidate).iter().map(|hit| (hit.rule.id, hit.detail.clone())).collect();
        let second: Vec<_> = scan(&candidate).iter().map(|hit| (hit.rule.id, hit.detail.clone())).collect();
        prop_assert_eq!(first, second);
        // What is found once is found among every place, inside of the text, and no part of it twice.
        let mut every = Vec::new();
        Detector::new(&[]).scan_every(&candidate, &mut every);
        prop_assert_eq!(every.is_empty(), scan(&candidate).is_empty());
        for (at, hit) in every.iter().enumerate() {
            prop_assert!(value.as_bytes().get(hit.span.clone()).is_some());
            let apart = |other: &Hit| hit.span.end <= other.span.start || other.span.end <= hit.span.start;
            prop_assert!(every[at + 1..].iter().all(apart), "{:?}", every);
        }
    }
}
