//! Names and values inside a longer text: options, properties, queries, lists, assignments, fields of JSON and YAML.
//!
//! Only pairs whose name promises a credential come out; the others cost a look at their last letters.

use std::ops::Range;

use super::ending::may_promise;
use super::name;
use super::own::Own;
use super::text::{ALNUM, DOT, HYPHEN, QUOTE, SPACE, UNDERSCORE, class_at, class_before};

/// How a pair is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lead {
    /// `--name=value`, `-name=value`, `-Dname=value`.
    Option,
    /// `?name=value`, `&name=value`.
    Query,
    /// `;name=value`.
    List,
    /// `name=value`.
    Assignment,
    /// `"name": "value"`, `name: value`.
    Field,
}

/// A name that promises a credential, and its value.
#[derive(Debug)]
pub(super) struct Pair<'t> {
    /// How it is written.
    pub(super) lead: Lead,
    /// The name, bare.
    pub(super) name: &'t [u8],
    /// Where the value stands, without its quotes.
    pub(super) value: Range<usize>,
}

/// A longer name is none.
const LONGEST_NAME: usize = 80;
/// A quoted value that has not ended by then is taken up to the next blank.
const LONGEST_QUOTED: usize = 4096;

/// The pairs of a text, from its start to its end.
pub(super) struct Pairs<'t> {
    text: &'t [u8],
    own: &'t Own,
    at: usize,
    /// The value of the last field called `name`: env entries in a manifest are written `name` and `value`, settings of others
    /// `key` and `value`, credentials in a realm of Keycloak `type` and `value`.
    entry: &'t [u8],
}

impl<'t> Pairs<'t> {
    /// All pairs of a text.
    pub(super) fn new(text: &'t [u8], own: &'t Own) -> Self {
        Self { text, own, at: 0, entry: b"" }
    }

    fn may_promise(&self, name: &[u8]) -> bool {
        may_promise(name) || self.own.promise(name).is_some()
    }

    /// The name before a sign, and what stands before it.
    fn name_before(&self, sign: usize) -> (&'t [u8], usize) {
        let mut end = sign;
        while end > 0 && class_before(self.text, end) & SPACE != 0 && sign - end < 4 {
            end -= 1;
        }
        // `$config['password'] = 'x'`
        if end > 1 && self.text[end - 1] == b']' && class_before(self.text, end - 1) & QUOTE != 0 {
            end -= 1;
        }
        if class_before(self.text, end) & QUOTE != 0 {
            end -= 1;
            end -= usize::from(end > 0 && self.text[end - 1] == b'\\');
        }
        let mut start = end;
        while start > 0
            && end - start < LONGEST_NAME
            && class_before(self.text, start) & (ALNUM | UNDERSCORE | HYPHEN | DOT) != 0
        {
            start -= 1;
        }
        (&self.text[start..end], start)
    }

    fn pair_at(&mut self, sign: usize) -> Option<Pair<'t>> {
        let (full, start) = self.name_before(sign);
        let is_field = self.text[sign] == b':';
        let is_entry = is_field && full == b"value" && self.may_promise(self.entry);
        let is_name = is_field && matches!(full, b"name" | b"key" | b"type");
        if full.is_empty() || !(is_entry || is_name || self.may_promise(full)) {
            return None;
        }
        let bare = full.trim_ascii_start();
        let hyphens = bare.iter().take_while(|byte| **byte == b'-').count();
        let mut name = &bare[hyphens..];
        let lead = match self.text.get(start.wrapping_sub(1)) {
            _ if is_field => Lead::Field,
            _ if hyphens > 0 => Lead::Option,
            Some(b'?' | b'&') => Lead::Query,
            Some(b';') => Lead::List,
            _ => Lead::Assignment,
        };
        if let (Lead::Option, [b'D', rest @ ..]) = (lead, name)
            && hyphens == 1
        {
            name = rest;
        }
        // A name that may follow a credential word, and follows none here, hides no pair inside its value.
        let promises = |name: &[u8]| name::judge(name).is_some() || self.own.promise(name).is_some();
        if !is_name && !promises(if is_entry { self.entry } else { name }) {
            return None;
        }
        // What a name says is read on: no further than a name can be long, or each of many would read to the end of the text.
        let longest = if is_name { LONGEST_NAME + 4 } else { usize::MAX };
        let value = self.value_after(sign + 1, lead, longest)?;
        if is_name {
            let entry = &self.text[value];
            self.entry = if entry.len() > LONGEST_NAME { b"" } else { entry };
            return None;
        }
        let name = if is_entry { std::mem::take(&mut self.entry) } else { name };
        self.at = value.end.max(self.at);
        Some(Pair { lead, name, value })
    }

    /// Where the value after a sign stands, as far as `longest` bytes show.
    fn value_after(&self, from: usize, lead: Lead, longest: usize) -> Option<Range<usize>> {
        // `'password' => 'x'`
        let arrow = usize::from(lead != Lead::Field && self.text.get(from) == Some(&b'>'));
        let (spaced, from) = (class_before(self.text, from - 1) & SPACE != 0, from + arrow);
        let mut start = from;
        // `password = x` has a blank on both sides; `password= x` is a name without a value.
        let blanks = lead == Lead::Field || spaced;
        while blanks && matches!(self.text.get(start), Some(b' ' | b'\t')) {
            start += 1;
        }
        if lead == Lead::Field
            && start == from
            && class_at(self.text, start) & QUOTE == 0
            && self.text.get(start) != Some(&b'\\')
        {
            return None;
        }
        let rest = &self.text[start..];
        let rest = &rest[..rest.len().min(longest)];
        let quote: &[u8] = match rest {
            [b'\\', b'"', ..] => b"\\\"",
            [b'"', ..] => b"\"",
            [b'\'', ..] => b"'",
            _ => b"",
        };
        if !quote.is_empty()
            && let Some(end) = closing(&rest[quote.len()..], quote)
        {
            return Some(start + quote.len()..start + quote.len() + end);
        }
        Some(start..start + unquoted(rest, lead))
    }
}

/// Where the quote ends a value; one behind a backslash is part of it.
fn closing(rest: &[u8], quote: &[u8]) -> Option<usize> {
    let rest = &rest[..rest.len().min(LONGEST_QUOTED)];
    // A quote that ends on another line begins something else there.
    let rest = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(quote) {
            return Some(at);
        }
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    None
}

fn ends_value(byte: u8, lead: Lead) -> bool {
    match lead {
        Lead::Query => {
            matches!(byte, b'&' | b'#' | b' ' | b'\n' | b'\r' | b'\t' | b'"' | b'\'' | b'>' | b'`')
        }
        Lead::Option => matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b'`'),
        Lead::List => matches!(byte, b';' | b'\n' | b'\r' | b'"'),
        Lead::Assignment => {
            matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b';' | b'&' | b'|' | b')' | b'`' | b'"' | b'\'')
        }
        Lead::Field => matches!(byte, b'\n' | b'\r' | b',' | b'}' | b'"' | b'\''),
    }
}

/// The length of a value without quotes. In `user=x,password=y,ssl=z` its first comma ends it; in a password it is a sign like any
/// other. What is read is either the value or no longer than a name, so a text is not read again for each of its pairs.
fn unquoted(rest: &[u8], lead: Lead) -> usize {
    let mut is_first_comma = lead == Lead::Assignment;
    for (at, byte) in rest.iter().enumerate() {
        if ends_value(*byte, lead) || (is_first_comma && *byte == b',' && is_before_name(&rest[at + 1..])) {
            return at;
        }
        is_first_comma &= *byte != b',';
    }
    rest.len()
}

fn is_before_name(rest: &[u8]) -> bool {
    let near = rest.iter().take(LONGEST_NAME + 1).take_while(|byte| !ends_value(**byte, Lead::Assignment));
    near.into_iter().any(|byte| *byte == b'=')
}

impl<'t> Iterator for Pairs<'t> {
    type Item = Pair<'t>;

    fn next(&mut self) -> Option<Pair<'t>> {
        while let Some(offset) = memchr::memchr2(b'=', b':', self.text.get(self.at..)?) {
            let sign = self.at + offset;
            self.at = sign + 1;
            if let Some(pair) = self.pair_at(sign) {
                return Some(pair);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(Lead, &str, &str)]) {
        let found: Vec<(Lead, String, String)> = Pairs::new(text.as_bytes(), &Own::default())
            .map(|pair| {
                (
                    pair.lead,
                    String::from_utf8_lossy(pair.name).into(),
                    String::from_utf8_lossy(&text.as_bytes()[pair.value]).into(),
                )
            })
            .collect();
        let expected: Vec<(Lead, String, String)> =
            expected.iter().map(|(lead, name, value)| (*lead, (*name).into(), (*value).into())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn pairs_of_every_kind() {
        check("--password=x y", &[(Lead::Option, "password", "x")]);
        check(
            "java -Djavax.net.ssl.trustStorePassword=abc -jar",
            &[(Lead::Option, "javax.net.ssl.trustStorePassword", "abc")],
        );
        check("http://h/?token=abc&x=1", &[(Lead::Query, "token", "abc")]);
        check("Server=h;Password=a b;X=1", &[(Lead::List, "Password", "a b")]);
        check("PGPASSWORD='a b' psql", &[(Lead::Assignment, "PGPASSWORD", "a b")]);
        check("user=x,password=y,ssl=z", &[(Lead::Assignment, "password", "y")]);
        check(r#"{"password": "a\"b", "x": 1}"#, &[(Lead::Field, "password", r#"a\"b"#)]);
        check(r#"{\"password\":\"ab\",\"x\":1}"#, &[(Lead::Field, "password", "ab")]);
        check(r#"{"name":"DB_PASSWORD","value":"x"},{"value":"y"}"#, &[(Lead::Field, "DB_PASSWORD", "x")]);
        check(r#"{"Default": "Server=h;Password=x"}"#, &[(Lead::List, "Password", "x")]);
        check("password: abc # x\nuser: y", &[(Lead::Field, "password", "abc # x")]);
        check("token://x password= uid", &[(Lead::Assignment, "password", "")]);
        check("$c['db_password'] = 'a';", &[(Lead::Assignment, "db_password", "a")]);
        check("['password' => 'a b']", &[(Lead::Assignment, "password", "a b")]);
        check(r#"{"type":"password","value":"x"}"#, &[(Lead::Field, "password", "x")]);
        check("- key: DB_PASSWORD\n  value: x", &[(Lead::Field, "DB_PASSWORD", "x")]);
        check("==::=\"", &[]);
    }
}
