//! Text as a YAML scalar: whether it can stand as it is, and how it is quoted where it cannot.

use crate::policy::printed::is_hidden;

/// Text of several lines that can stand as it is. A first line that starts with a space would need its indent said.
pub(super) fn fits_block(text: &str) -> bool {
    let body = text.trim_end_matches('\n');
    body.contains('\n')
        && !body.starts_with([' ', '\n', '\t'])
        && !text.lines().any(|line| !line.is_empty() && line.trim().is_empty())
        && body.chars().all(|character| character == '\n' || character == '\t' || is_printable(character))
}

/// What may stand in YAML without an escape; breaks that only one version of YAML knows are left out.
fn is_printable(character: char) -> bool {
    !is_hidden(character) && !matches!(character, '\u{fffe}' | '\u{ffff}')
}

/// Whether a string can stand without quotes and is read as that string, by YAML 1.1 as well, which the API server's
/// clients speak: there `no`, `on`, `1:30` and `0777` are no strings.
pub(super) fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let word = text.to_ascii_lowercase();
    let reserved = matches!(
        word.as_str(),
        "null"
            | "~"
            | "true"
            | "false"
            | "yes"
            | "no"
            | "on"
            | "off"
            | "y"
            | "n"
            | "<<"
            | "="
            | "---"
            | "..."
    );
    let number_like = first.is_ascii_digit() || matches!(first, '+' | '-' | '.');
    let number_only =
        |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b'x' | b'o' | b'_' | b'.' | b'+' | b'-' | b':');
    let odd_word =
        word.bytes().all(|byte| number_only(byte) || matches!(byte, b'i' | b'n' | b't' | b'z' | b' '));
    !(reserved
        || number_like && odd_word
        || !text.chars().all(is_printable)
        || text.starts_with(' ')
        || text.ends_with(' ')
        || text.ends_with(':')
        || text.contains(": ")
        || text.contains(" #")
        || "!&*?|>@`\"'%#{}[],:".contains(first)
        || first == '-' && text.as_bytes().get(1).is_none_or(|&next| next == b' ' || next == b'-'))
}

/// The text in quotes: single ones where that reads better, double ones with escapes where it has to be.
pub(super) fn quote(out: &mut String, text: &str) {
    // JSON inside a string stays readable in single quotes, which have no escapes but the quote itself.
    if text.contains(['"', '\\']) && text.chars().all(is_printable) {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
        return;
    }
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            other if is_printable(other) => out.push(other),
            other if u32::from(other) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(other))),
            other => out.push_str(&format!("\\U{:08x}", u32::from(other))),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn scalars_that_yaml_reads_otherwise_are_quoted() {
        for text in [
            "",
            "yes",
            "No",
            "on",
            "OFF",
            "~",
            "null",
            "true",
            "y",
            "1",
            "1e3",
            "0x1f",
            "0o17",
            "0777",
            "-1",
            "+1.5",
            ".inf",
            "-.INF",
            ".nan",
            "1:30",
            "1_000",
            "2001-01-01",
            "2001-12-14t21:59:43.10-05:00",
            "- a",
            "-",
            "a: b",
            "a #b",
            "#a",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a",
            "[a",
            "|",
            ">",
            "'a",
            "\"a",
            " a",
            "a ",
            "a:",
            "\u{7f}",
            "a\r",
            "<<",
            "=",
            "---",
            "...",
            "?",
            ",",
            "\u{feff}a",
            "1.",
            "12e03",
            "--- a",
        ] {
            assert!(!is_plain(text), "{text:?}");
        }
        for text in
            ["a", "secret:database_url", "a-b", "https://x.y/z?a=b#c", "$(A)", "/run/refgate", "ä", "a'b"]
        {
            assert!(is_plain(text), "{text:?}");
        }
    }
}
