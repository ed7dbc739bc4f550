//! What a value is, when a name or its surroundings promise a credential: nothing, a stand-in, a guess, or a literal.

use super::location;
use super::name::Named;
use super::stock;
use super::text::{
    ALNUM, BASE64, DIGIT, DOT, HYPHEN, LETTER, UNDERSCORE, UPPER, WORD, all, any, contains_fold, distinct,
    ends_with_fold, longest_repeat, looks_random, starts_with_fold, trim, unquote,
};

/// What stands where a credential was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No credential: empty, a switch, an expansion, a reference, a path, a stand-in.
    Cleared,
    /// A credential that anyone would guess.
    Stock,
    /// Any other literal.
    Literal,
}

/// Judges the value of a name; what is equal to its name, or made of it, stands in for a value.
pub(super) fn judge(value: &[u8], named: Option<Named<'_>>) -> Verdict {
    let value = unquote(trim(value));
    if is_nothing(value)
        || is_expansion(value)
        || is_reference(value)
        || is_stand_in(value)
        || is_hash(value)
        || is_public(value)
        || location::is_place(value)
    {
        return Verdict::Cleared;
    }
    if named.is_some_and(|named| is_echo(value, named.name)) || super::families::is_fake(value) {
        return Verdict::Cleared;
    }
    let name = named.map_or(&b""[..], |named| named.name);
    if stock::is_stock(value, name) { Verdict::Stock } else { Verdict::Literal }
}

/// Empty, a switch, or a span of time or a size.
fn is_nothing(value: &[u8]) -> bool {
    const SWITCHES: &[&[u8]] = &[
        b"true",
        b"false",
        b"yes",
        b"no",
        b"on",
        b"off",
        b"none",
        b"null",
        b"nil",
        b"enabled",
        b"disabled",
        b"required",
        b"optional",
        b"undefined",
        b"n/a",
        b"na",
        b"unset",
        b"notset",
        b"not-set",
        b"not_set",
        b"empty",
        b"always",
        b"never",
    ];
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unit = &value[digits..];
    let span = (1..=6).contains(&digits)
        && matches!(unit, b"ms" | b"s" | b"m" | b"h" | b"d" | b"min" | b"Mi" | b"Gi" | b"Ki");
    !any(value, ALNUM) && value.is_ascii()
        || value.len() == 1
        || span
        || SWITCHES.iter().any(|switch| switch.eq_ignore_ascii_case(value))
}

/// Wholly an expansion or a template: `$(X)`, `${X}`, `$X`, `{{ .x }}`, `{x}`, `%X%`, `@X@`, `<x>`, `[x]`, `__X__`, `#{x}`.
///
/// What is left beside expansions counts only if it is as long as a password: `$(A)-$(B)`, `$(NS)-db` are not plain.
pub(super) fn is_expansion(value: &[u8]) -> bool {
    let wrapped = |open: &[u8], close: &[u8]| {
        value.len() > open.len() + close.len() && value.starts_with(open) && value.ends_with(close)
    };
    if wrapped(b"<", b">")
        || wrapped(b"[", b"]")
        || wrapped(b"%", b"%")
        || wrapped(b"@", b"@")
        || wrapped(b"__", b"__")
    {
        return true;
    }
    // A text that is put together by code: `"' + password + '"`.
    let code = trim(value.strip_prefix(b"'").or(value.strip_prefix(b"\"")).unwrap_or(value));
    if code.starts_with(b"+ ") {
        return true;
    }
    // A template that is cut off, by the text around it or by its author, is one all the same.
    if matches!(value, [b'{', second, ..] if *second != b'"' && *second != b'\n') || value.starts_with(b"#{")
    {
        return true;
    }
    if memchr::memmem::find(value, b"{{").is_some() || memchr::memmem::find(value, b"<%").is_some() {
        return true;
    }
    // `$__file{/run/x}` of Grafana.
    if let Some(rest) = value.strip_prefix(b"$")
        && value.ends_with(b"}")
        && rest.get(super::text::run_end(rest, 0, WORD)) == Some(&b'{')
    {
        return true;
    }
    // `$NAME` and `$1` of shells, and verbs of formats: `%s`.
    if let [sign @ (b'$' | b'%'), rest @ ..] = value {
        let variable = all(rest, WORD | DOT) && (any(rest, LETTER) || rest.len() <= 2);
        if !rest.is_empty() && variable && (*sign == b'$' || rest.len() == 1) {
            return true;
        }
    }
    memchr::memchr(b'$', value).is_some() && left_beside_expansions(value) < 8
}

/// Keys that their vendors publish to browsers: Stripe's and PostHog's, Mapbox' public tokens.
fn is_public(value: &[u8]) -> bool {
    const STARTS: &[&[u8]] = &[b"pk_test_", b"pk_live_", b"phc_", b"pk.eyJ"];
    STARTS.iter().any(|start| value.starts_with(start))
}

/// The hash of a password, in the notations of crypt(3), LDAP, Django and PostgreSQL: no password comes out of it.
fn is_hash(value: &[u8]) -> bool {
    const STARTS: &[&[u8]] = &[
        b"$1$",
        b"$2a$",
        b"$2b$",
        b"$2y$",
        b"$5$",
        b"$6$",
        b"$y$",
        b"$apr1$",
        b"$argon2",
        b"$pbkdf2",
        b"$scrypt$",
        b"pbkdf2_sha",
        b"scram-sha-",
        b"{sha",
        b"{ssha",
        b"{crypt}",
    ];
    value.len() >= 12 && STARTS.iter().any(|start| starts_with_fold(value, start))
}

/// How many letters and digits of a value belong to no `$(…)`, `${…}` or `$NAME`.
fn left_beside_expansions(value: &[u8]) -> usize {
    let (mut at, mut left, mut expansions) = (0, 0, 0);
    while at < value.len() {
        let rest = &value[at..];
        let length = match rest {
            [b'$', b'(', ..] => memchr::memchr(b')', rest).map_or(rest.len(), |end| end + 1),
            [b'$', b'{', ..] => memchr::memchr(b'}', rest).map_or(rest.len(), |end| end + 1),
            [b'$', next, ..] if next.is_ascii_uppercase() => {
                1 + rest[1..]
                    .iter()
                    .take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || **b == b'_')
                    .count()
            }
            _ => 0,
        };
        expansions += usize::from(length > 2);
        left += usize::from(length == 0 && rest[0].is_ascii_alphanumeric());
        at += length.max(1);
    }
    if expansions == 0 { usize::MAX } else { left }
}

/// A well-formed reference to a secret store. What only begins like one is a literal.
fn is_reference(value: &[u8]) -> bool {
    let starts = |prefix: &[u8]| starts_with_fold(value, prefix);
    let has = |byte: u8| memchr::memchr(byte, value).is_some();
    let count = |byte: u8| value.iter().filter(|b| **b == byte).count();
    let one_line = !any(value, super::text::SPACE);
    let arn = starts(b"arn:aws")
        && count(b':') >= 5
        && (contains_fold(value, b":secretsmanager:") || contains_fold(value, b":ssm:"));
    one_line
        && (arn
            || ((starts(b"vault:") || starts(b">>vault:")) && has(b'#') && has(b'/'))
            || (starts(b"op://") && count(b'/') >= 4)
            || (starts(b"gcp:secretmanager:") && has(b'/'))
            || (starts(b"projects/") && contains_fold(value, b"/secrets/"))
            || (starts(b"sm://") && value.len() > 6)
            || (starts(b"ref+") && contains_fold(value, b"://"))
            || (starts(b"awssm://") || starts(b"awsps://") || starts(b"akv://") || starts(b"azurekeyvault://"))
            || ((starts(b"bao:") || starts(b">>bao:")) && has(b'#') && has(b'/'))
            || ends_with_fold(value, b"@azurekeyvault")
            || (starts(b"enc[") && value.ends_with(b"]"))
            || (starts(b"@microsoft.keyvault(") && value.ends_with(b")"))
            || starts(b"$ansible_vault;")
            // A SealedSecret's ciphertext is base64 of a version byte 2 and a length.
            || (value.starts_with(b"AgB") && value.len() > 200 && all(value, BASE64)))
}

/// Says that something is to be put in its place, or is masked.
pub(super) fn is_stand_in(value: &[u8]) -> bool {
    const WHOLE: &[&[u8]] = &[
        b"todo",
        b"tbd",
        b"fixme",
        b"placeholder",
        b"redacted",
        b"masked",
        b"hidden",
        b"sensitive",
        b"omitted",
        b"xxx",
        b"xx",
        b"value",
        b"string",
        b"some-value",
        b"some_value",
        b"somevalue",
    ];
    const STARTS: &[&[u8]] = &[
        b"your",
        b"my-super-",
        b"insert",
        b"replace",
        b"enter",
        b"changeme",
        b"change-me",
        b"change_me",
        b"put-",
        b"put_",
        b"some_",
        b"fill",
    ];
    let mut folded = [0; LONGEST_STAND_IN];
    let Some(lower) = folded.get_mut(..value.len()) else { return false };
    lower.copy_from_slice(value);
    lower.make_ascii_lowercase();
    let lower = &*lower;
    let says = STARTS.iter().any(|start| lower.starts_with(start))
        || (0..lower.len()).any(|at| asks(lower[at]).iter().any(|words| lower[at..].starts_with(words)));
    WHOLE.contains(&lower)
        || (says && !looks_random(value))
        || (longest_repeat(value) * 4 >= value.len() * 3 && !value[0].is_ascii_digit())
        || (value.len() >= 8 && distinct(value) <= 2 && !any(value, DIGIT))
        || lower.chunk_by(|left, right| left == right).any(|run| match run[0] {
            b'x' => run.len() >= 6,
            byte => byte.is_ascii_punctuation() && run.len() >= 8,
        })
        || is_symbol(value)
}

/// What asks to be replaced, wherever in a value it stands, by first letter.
fn asks(letter: u8) -> &'static [&'static [u8]] {
    match letter {
        b'c' => &[
            b"changeme",
            b"change-me",
            b"change_me",
            b"change this",
            b"change-this",
            b"change_this",
            b"changethis",
        ],
        b'r' => &[b"replaceme", b"replace-me", b"replace_me", b"replace-with", b"replace_with", b"redacted"],
        b'p' => &[b"placeholder"],
        b'y' => &[b"your-", b"your_", b"your "],
        b'g' => &[b"goes-here", b"goes_here", b"goeshere"],
        b'i' => &[b"insert-", b"insert_"],
        b'_' => &[b"_please_"],
        b'-' => &[b"-please-"],
        b' ' => &[b" please "],
        b't' => &[b"to-be-", b"to_be_"],
        b's' => &[b"set-me", b"set_me"],
        b'f' => &[b"fill-in", b"fill_in"],
        b'.' => &[b"..."],
        b'*' => &[b"****"],
        _ => &[],
    }
}

/// What asks to be replaced is a word or a short sentence.
const LONGEST_STAND_IN: usize = 128;

/// Written as the name of a variable is: capitals with underscores or blanks between them, or a credential word alone.
fn is_symbol(value: &[u8]) -> bool {
    const WORDS: &[&[u8]] = &[b"SECRET", b"PASSWORD", b"TOKEN", b"KEY", b"APIKEY", b"CREDENTIALS", b"PASS"];
    let words = all(value, UPPER | UNDERSCORE | super::text::SPACE | HYPHEN) && any(value, UPPER);
    (words && any(value, UNDERSCORE | super::text::SPACE)) || WORDS.contains(&value)
}

/// The name again (`LICENSE_KEY=license_key`), or with a word that says so (`HF_TOKEN=MY_HF_TOKEN`, `X_KEY=X_KEY_VAL`).
/// A name of one word is no stand-in for itself: `PASSWORD=password` works.
fn is_echo(value: &[u8], name: &[u8]) -> bool {
    const SEPARATORS: u32 = UNDERSCORE | HYPHEN | DOT | super::text::SPACE;
    let same = |left: &u8, right: &u8| {
        let separators = all(&[*left, *right], SEPARATORS);
        separators || left.eq_ignore_ascii_case(right)
    };
    if value.len() < name.len() || name.len() < 6 || !any(name, SEPARATORS) {
        return false;
    }
    let equal = |part: &[u8]| part.iter().zip(name).all(|(left, right)| same(left, right));
    let (head, tail) = (&value[name.len()..], &value[..value.len() - name.len()]);
    let filler = |rest: &[u8]| {
        let rest = rest.trim_ascii();
        matches!(rest.len(), 0..=6)
            && [&b""[..], b"_val", b"-val", b"_value", b"-value", b"my_", b"my-", b"the_", b"here"]
                .iter()
                .any(|word| word.eq_ignore_ascii_case(rest))
    };
    (equal(&value[..name.len()]) && filler(head)) || (equal(&value[tail.len()..]) && filler(tail))
}
