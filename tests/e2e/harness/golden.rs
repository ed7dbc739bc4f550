//! What a person sees, word for word: transcripts of kubectl, one file for each in `golden/`.
//!
//! `UPDATE_CASES=1 make e2e` writes them anew, and the diff is read as the stranger reads the message. That there is no file
//! too many is said by `cases::transcripts_are_each_asserted` of the other tests.

use std::fs;
use std::path::Path;

use refgate::cli::diff;

use super::kubectl::Ran;

/// Holds what was seen to `golden/NAME.txt`.
#[track_caller]
pub fn assert(name: &str, transcript: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/e2e/golden/{name}.txt"));
    let actual = without_ports(transcript);
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(&file, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == actual,
        "UPDATE_CASES=1 would write {}\n{}",
        file.display(),
        diff::unified(&expected, &actual)
    );
}

/// A command, what it read, and what it printed. Transcripts of several commands stand one after the other.
pub fn transcript(arguments: &[&str], stdin: &str, ran: &Ran) -> String {
    let mut text = format!("$ kubectl {}", arguments.join(" "));
    if !stdin.is_empty() {
        text.push_str(&format!(" <<EOF\n{}\nEOF", stdin.trim_end()));
    }
    let code = ran.code.map_or_else(|| "none".to_owned(), |code| code.to_string());
    text.push_str(&format!("\nexit code: {code}\n"));
    for (name, printed) in [("stdout", &ran.out), ("stderr", &ran.err)] {
        if !printed.is_empty() {
            text.push_str(&format!("{name}:\n{}\n", printed.trim_end()));
        }
    }
    text
}

/// Ports are of one run.
fn without_ports(text: &str) -> String {
    const HOST: &str = "127.0.0.1:";
    let mut parts = text.split(HOST);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|character: char| character.is_ascii_digit());
        out.push_str(&format!("{HOST}PORT{rest}"));
    }
    out
}
