//! Names and values in files of settings that have no sign between them: XML, directives of servers, `.netrc`, pgpass.

use std::ops::Range;

use super::text::{ALNUM, DIGIT, DOT, HYPHEN, LOWER, SPACE, UNDERSCORE, all, any, class_at, run_end};

/// What stands between two elements that belong together is shorter.
const GAP: usize = 256;
/// A longer value is none.
const LONGEST_VALUE: usize = 1_024;

/// Calls `found` with each name and where its value stands.
pub(super) fn find<'t>(text: &'t [u8], found: &mut dyn FnMut(&'t [u8], Range<usize>)) {
    if memchr::memchr(b'<', text).is_some() {
        elements(text, found);
    }
    for at in memchr::memmem::find_iter(text, b"define(") {
        definition(text, at + 7, found);
    }
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text).chain([text.len()]) {
        if end - start <= LONGEST_VALUE {
            line(text, start..end, found);
        }
        start = end + 1;
    }
}

/// `<password>x</password>`, and Hadoop's `<name>x.password</name> <value>y</value>`.
fn elements<'t>(text: &'t [u8], found: &mut dyn FnMut(&'t [u8], Range<usize>)) {
    // The content of the last element that was called `name`, and where it ended.
    let mut named: Option<(&[u8], usize)> = None;
    let mut at = 0;
    while let Some(offset) = memchr::memchr(b'<', &text[at..]) {
        let tag = at + offset + 1;
        let end = run_end(text, tag, ALNUM | UNDERSCORE | HYPHEN | DOT | super::text::COLON);
        at = tag;
        if end == tag || text.get(end) != Some(&b'>') {
            continue;
        }
        let name = &text[tag..end];
        let rest = &text[end + 1..text.len().min(end + 1 + LONGEST_VALUE)];
        let Some(length) = memchr::memchr(b'<', rest) else { continue };
        let value = end + 1..end + 1 + length;
        // Only what closes at once is a value; anything else is an element with others inside.
        if rest.get(length + 1) != Some(&b'/') || !rest[length + 2..].starts_with(name) {
            continue;
        }
        at = value.end;
        match name {
            b"name" | b"key" => named = Some((&text[value.clone()], value.end)),
            b"value" | b"string" => {
                if let Some((name, _)) = named.take().filter(|(_, end)| value.start - end <= GAP) {
                    found(name, value);
                }
            }
            _ => found(name, value),
        }
    }
}

/// PHP's `define('DB_PASSWORD', 'x')`.
fn definition<'t>(text: &'t [u8], from: usize, found: &mut dyn FnMut(&'t [u8], Range<usize>)) {
    let rest = &text[from..text.len().min(from + LONGEST_VALUE)];
    let quoted = |start: usize| {
        let quote = rest.get(start).filter(|byte| matches!(byte, b'\'' | b'"'))?;
        let length = memchr::memchr(*quote, &rest[start + 1..])?;
        Some(start + 1..start + 1 + length)
    };
    let Some(name) = quoted(0) else { return };
    let gap = rest[name.end + 1..].iter().take_while(|byte| matches!(byte, b',' | b' ')).count();
    if let Some(value) = quoted(name.end + 1 + gap).filter(|_| gap > 0) {
        found(&text[from + name.start..from + name.end], from + value.start..from + value.end);
    }
}

/// A header that is set: `proxy_set_header Authorization "Basic …"`.
fn header<'t>(
    line: &'t [u8],
    place: &dyn Fn(&[u8]) -> Range<usize>,
    found: &mut dyn FnMut(&'t [u8], Range<usize>),
) {
    let Some(at) = memchr::memmem::find(line, b"Authorization ") else { return };
    let name = &line[at..at + 13];
    let rest = line[at + 14..].trim_ascii_start();
    if let [quote @ (b'"' | b'\''), rest @ ..] = rest
        && let Some(length) = memchr::memchr(*quote, rest)
    {
        found(name, place(&rest[..length]));
    }
}

fn line<'t>(text: &'t [u8], span: Range<usize>, found: &mut dyn FnMut(&'t [u8], Range<usize>)) {
    let line = &text[span];
    if line.trim_ascii_start().starts_with(b"#") {
        return;
    }
    let place = |part: &[u8]| {
        let from = part.as_ptr() as usize - text.as_ptr() as usize;
        from..from + part.len()
    };
    if line.first().is_some_and(u8::is_ascii_digit) || memchr::memchr(b':', line).is_some() {
        pgpass(line, &place, found);
    }
    header(line, &place, found);
    let mut words = line.split(|byte| matches!(byte, b' ' | b'\t' | b'\r')).filter(|word| !word.is_empty());
    let (first, second, third) = (words.next(), words.next(), words.next());
    match (first, second, third) {
        // `requirepass x` of redis.conf. Prose has its short lines too, so other names need a digit in what follows.
        (Some(name), Some(value), None)
            if all(name, LOWER | HYPHEN | UNDERSCORE)
                && (matches!(name, b"requirepass" | b"masterauth") || any(value, DIGIT)) =>
        {
            found(name, place(value));
        }
        // `sentinel auth-pass NAME x`
        (Some(b"sentinel"), Some(b"auth-pass"), Some(_)) => {
            if let Some(value) = words.next() {
                found(b"auth-pass", place(value));
            }
        }
        // `machine h login u password x`, on one line or on several.
        (Some(b"machine" | b"default" | b"login" | b"user"), Some(_), Some(_)) => {
            let mut words =
                line.split(|byte| class_at(&[*byte], 0) & SPACE != 0).filter(|word| !word.is_empty());
            while let Some(word) = words.next() {
                if word == b"password"
                    && let Some(value) = words.next()
                {
                    found(b"password", place(value));
                }
            }
        }
        _ => {}
    }
}

/// `host:port:database:user:password`, the format of PostgreSQL's password file.
fn pgpass<'t>(
    line: &'t [u8],
    place: &dyn Fn(&[u8]) -> Range<usize>,
    found: &mut dyn FnMut(&'t [u8], Range<usize>),
) {
    let line = line.trim_ascii();
    let mut fields = line.splitn(5, |byte| *byte == b':');
    let parts = [fields.next(), fields.next(), fields.next(), fields.next(), fields.next()];
    let [Some(host), Some(port), Some(database), Some(user), Some(password)] = parts else { return };
    let is_port = port == b"*" || (all(port, DIGIT) && (2..=5).contains(&port.len()));
    let is_name =
        |name: &[u8]| !name.is_empty() && (name == b"*" || all(name, ALNUM | DOT | HYPHEN | UNDERSCORE));
    let is_whole = !password.is_empty() && !any(password, SPACE) && memchr::memchr(b':', password).is_none();
    if is_port && is_whole && [host, database, user].into_iter().all(is_name) && !all(user, DIGIT) {
        found(b"pgpassword", place(password));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let mut all = Vec::new();
        find(text.as_bytes(), &mut |name, value| {
            all.push((String::from_utf8_lossy(name).into_owned(), text[value].to_owned()));
        });
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(all, expected, "{text}");
    }

    #[test]
    fn names_and_values_without_a_sign_between_them() {
        check("<a><password>x</password></a>", &[("password", "x")]);
        check("<name>a.password</name>\n <value>x</value>", &[("a.password", "x")]);
        check("<password file='x'>y</password>", &[]);
        check("<password>x<b/></password>", &[]);
        check("requirepass x\nport 1\nbind all\n", &[("requirepass", "x"), ("port", "1")]);
        check("sentinel auth-pass main x 1", &[("auth-pass", "x")]);
        check("machine h login u password x", &[("password", "x")]);
        check("db:5432:shop:u:x\n*:*:*:u:y", &[("pgpassword", "x"), ("pgpassword", "y")]);
        check("root:0:0:root:/root:/bin/sh\n10:20:30:40:50\nimage:12:a:b:c:d", &[]);
        check("define('DB_PASSWORD', 'x');", &[("DB_PASSWORD", "x")]);
        check("define( DB_PASSWORD, X); define('A'", &[]);
        check("proxy_set_header Authorization \"Basic x\";", &[("Authorization", "Basic x")]);
        check("<\n<<a>>< name", &[]);
    }
}
