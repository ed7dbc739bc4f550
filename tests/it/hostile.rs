//! Texts made to be slow: each repeats what one of the detector's loops starts on. A loop that starts over for each of them costs
//! the square of the text.

use std::fs;
use std::time::Duration;

use refgate::policy::rules::own::{Alphabet, Own, OwnToken};
use refgate::policy::rules::{Candidate, Detector, Hit, Place};

/// What is repeated.
const PIECES: &[&str] = &[
    "sk-",
    "eyJ.",
    "-eyJ",
    "password=",
    "password=\"",
    "password='",
    "$(",
    "${",
    "--password ",
    "://",
    "a://b:c",
    "user:x@(",
    "\"name\":\"",
    "\"value\":",
    "\"auths\" \"auth\":\"",
    "-----BEGIN PRIVATE KEY-----",
    "LS0t",
    "xoxb-",
    "A=B;",
    "x\\\"",
    "'",
    "user a >",
    "curl -u ",
    "Password=a;",
    "?token=",
    "identified by '",
    "public_key_",
    "\"a b -p \"",
    "YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4 ",
    "<password>",
    "<name>x</name>",
    "define('PASSWORD', ",
    "a:1:b:c:d\n",
    "Authorization \"",
    "machine a password b ",
    "create user a password 'b' ",
    "acme_",
    "password=x\n",
    "\"pw\":\"",
    "\"pw\": \"",
    "pw='",
    "pw=\\\"",
    "pw='\\",
    "name: ",
    "key: ",
    "'type': ",
    "name: value: ",
    "value:",
    "value: ",
    "pw: ",
    "pw : \"",
    "pw=a,",
    "a=b,",
    ";pwd=",
    "&pw=",
    "pw\n:",
    "\\",
    "\\\\\"",
    "pw=>'",
    "['pw']='",
    "a-----",
    "-----BEGIN ",
    "{{",
    "}}",
    "<",
    "<a ",
    "@",
    "a@b:",
    "//",
    "mysql -p",
    "-H ",
    "eyJhbGciOi.",
    "\u{fc}",
    " ",
    "\t",
    "\n",
    "=",
    ":",
    ",",
];

const SHORT: usize = 1 << 12;
/// The longer text, in lengths of the short one.
const TIMES: u32 = 8;
/// How far from linear a measurement may be; the square of `TIMES` is far beyond it.
const MARGIN: u32 = 2;
/// Less is not compared.
const FLOOR: Duration = Duration::from_millis(2);
const TRIES: usize = 4;
/// Findings in one text.
const MOST_HITS: usize = 256;

fn detector() -> Detector {
    let token = OwnToken {
        name: "acme".to_owned(),
        prefix: "acme_".to_owned(),
        alphabet: Alphabet::Base64Url,
        length: (8, 16),
    };
    Detector::with(&[], Own { words: vec!["kennwort".to_owned()], tokens: vec![token] })
}

/// Judges the text in the ways in which the detector is asked: as a file, and where it comes as it is, as a value and a name too.
fn judge(detector: &Detector, head: &str, text: &str) {
    let argument =
        Candidate { place: Place::Argument, name: Some("PASSWORD"), value: text, before: Some("--password") };
    let name = Candidate { place: Place::Env, name: Some(text), value: "Zq8mT3vLx0RbNc5W", before: None };
    if head.is_empty() {
        detector.scan(&argument, &mut Vec::new());
        detector.scan(&name, &mut Vec::new());
    }
    let file = Candidate { place: Place::ConfigMap, name: None, value: text, before: None };
    let mut hits: Vec<Hit> = Vec::new();
    detector.scan_every(&file, &mut hits);
    assert!(hits.len() <= MOST_HITS);
}

/// What this thread has computed.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn cost(detector: &Detector, head: &str, piece: &str, length: usize) -> Duration {
    let text = head.to_owned() + &piece.repeat(length / piece.len());
    let start = cpu_time();
    judge(detector, head, &text);
    cpu_time() - start
}

/// Each piece, again and again behind a head that keeps a loop open to the end.
fn is_linear_behind(head: &str) {
    let detector = detector();
    let mut faults = Vec::new();
    for piece in PIECES {
        let measure = || {
            let short = cost(&detector, head, piece, SHORT).max(FLOOR);
            let long = cost(&detector, head, piece, SHORT * TIMES as usize);
            (long > short * TIMES * MARGIN).then(|| format!("{head:?} {piece:?}: {short:?}, then {long:?}"))
        };
        // The machine has other work; what is quadratic is so each time.
        let all: Option<Vec<String>> = (0..TRIES).map(|_| measure()).collect();
        faults.extend(all.and_then(|mut tries| tries.pop()));
    }
    assert!(faults.is_empty(), "{} texts:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_text_of_eight_times_the_length_costs_eight_times_as_much() {
    is_linear_behind("");
}

#[test]
fn so_it_does_behind_an_open_quote() {
    is_linear_behind("password=\"");
}

#[test]
fn so_it_does_behind_a_name() {
    is_linear_behind("name: ");
}
