//! Any text under any name at any place: the same hits twice, each inside the text, none on another, and no word of the text
//! in what is said of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use refgate::policy::rules::own::{Alphabet, Own, OwnToken};
use refgate::policy::rules::{Candidate, Detector, Hit, Place};
use std::sync::LazyLock;

static DETECTOR: LazyLock<Detector> = LazyLock::new(|| {
    let token = OwnToken {
        name: "acme".to_owned(),
        prefix: "acme_".to_owned(),
        alphabet: Alphabet::Base64Url,
        length: (8, 40),
    };
    Detector::with(&[], Own { words: vec!["kennwort".to_owned()], tokens: vec![token] })
});

const PLACES: [Place; 9] = [
    Place::Env,
    Place::Argument,
    Place::Command,
    Place::Header,
    Place::UrlPath,
    Place::Annotation,
    Place::VolumeAttribute,
    Place::ConfigMap,
    Place::Secret,
];

fuzz_target!(|data: (u8, &str, &str)| {
    let (choice, name, value) = data;
    let place = PLACES[usize::from(choice) % PLACES.len()];
    let named = (choice & 0x80 == 0).then_some(name);
    let before = (choice & 0x80 != 0).then_some(name);
    let candidate = Candidate { place, name: named, value, before };
    let scan = |every: bool| {
        let mut hits: Vec<Hit> = Vec::new();
        match every {
            true => DETECTOR.scan_every(&candidate, &mut hits),
            false => DETECTOR.scan(&candidate, &mut hits),
        };
        hits
    };
    let every = scan(true);
    for (at, hit) in every.iter().enumerate() {
        assert!(value.as_bytes().get(hit.span.clone()).is_some(), "a hit outside of the text");
        let others = every[at + 1..].iter();
        assert!(others.clone().all(|other| hit.span.end <= other.span.start
            || other.span.end <= hit.span.start
            || hit.span.is_empty()
            || other.span.is_empty()));
    }
    let once = scan(false);
    assert_eq!(once.is_empty(), every.is_empty());
    let said = |hits: &[Hit]| hits.iter().map(|hit| (hit.rule.id, hit.detail.clone())).collect::<Vec<_>>();
    assert_eq!(said(&every), said(&scan(true)));
    // What is said is made of words of ours alone.
    for hit in &every {
        assert!(hit.detail.is_ascii() && hit.detail.len() < 120 && !hit.detail.contains(char::is_control));
    }
});
