//! Rule `url-password`: passwords in the userinfo of a URL, and credentials in its query.

use std::ops::Range;

use super::name::Kind;
use super::pairs::Lead;
use super::sight::{Sight, Sink};
use super::text::{
    ALNUM, AT, COLON, DOT, EQUALS, HYPHEN, PLUS_SLASH, QUERY, class_before, contains_fold, looks_random,
};
use super::value::{self, Verdict};
use super::weight::weigh;
use super::{Example, Place, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "url-password",
    summary: "a URL with a password in it, or with a credential in its query",
    reason: "a URL carries a password",
    certainty: Certainty::Certain,
    examples: &[
        Example::env("DATABASE_URL", "postgres://shop:Zq8mT3vLx0@db.shop.svc:5432/shop?sslmode=require"),
        Example::env("REDIS_URL", "redis://:Zq8mT3vLx0@redis:6379/0"),
        Example::argument("--broker=amqps://shop:Zq8mT3vLx0@mq.example.com/vhost"),
        Example::env("FEED", "https://feed.example.com/v1?user=shop&password=Zq8mT3vLx0"),
        Example { place: Place::UrlPath, name: None, value: "/healthz?token=Zq8mT3vLx0RbNc5W", before: None },
    ],
    counter_examples: &[
        Example::env("DATABASE_URL", "postgres://db.shop.svc:5432/shop?sslmode=require"),
        Example::env("DATABASE_URL", "postgres://$(DB_USER):$(DB_PASSWORD)@db:5432/shop"),
        Example::env("DATABASE_URL", "postgres://user:<password>@db:5432/shop"),
        Example::env("DATABASE_URL", "postgres://user:****@db:5432/shop"),
        Example::env("REPO", "ssh://git@github.com:22/refgate/refgate.git"),
        Example::env(
            "IMAGE",
            "docker://redis:7@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ),
        Example::env("HOOK", "https://example.com/hook?token=$(HOOK_TOKEN)"),
        Example::env("QUORUM", "1@kafka-0.kafka:9093,2@kafka-1.kafka:9093"),
    ],
    inside: true,
    needs: &[COLON | PLUS_SLASH | AT, QUERY | EQUALS],
    check,
};

/// Longer userinfo is not looked at.
const LONGEST_AUTHORITY: usize = 1024;

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let text = sight.text;
    let mut at = 0;
    while let Some(offset) = memchr::memmem::find(&text[at..], b"://") {
        let mark = at + offset;
        at = mark + 3;
        if let Some((password, weak)) = password(text, mark) {
            sink.strike(password, weak, "a password in the userinfo of a URL");
            if sink.done() {
                return;
            }
        }
    }
    for pair in sight.pairs().filter(|pair| pair.lead == Lead::Query) {
        if let Some((certain, weak)) = query_credential(sight, pair.name, &text[pair.value.clone()])
            && certain
        {
            sink.strike(pair.value, weak, "a credential in the query of a URL");
        }
    }
}

/// Weighs an item of a query. A bare `key` is one only where its value looks random.
fn query_credential(sight: &Sight<'_>, name: &[u8], text: &[u8]) -> Option<(bool, bool)> {
    let named = sight.promise(name)?;
    let weight = weigh(named, text, sight.place)?;
    let certain = weight.certain || (named.kind == Kind::Weak && looks_random(text) && text.len() >= 20);
    Some((certain, weight.weak))
}

/// Where the password of the URL stands whose `://` is at `mark`.
fn password(text: &[u8], mark: usize) -> Option<(Range<usize>, bool)> {
    if class_before(text, mark) & (ALNUM | HYPHEN | DOT | PLUS_SLASH) == 0 {
        return None;
    }
    let from = mark + 3;
    let authority = &text[from..from + authority_length(&text[from..])];
    let sign = authority.iter().rposition(|byte| *byte == b'@')?;
    let (userinfo, host) = (&authority[..sign], &authority[sign + 1..]);
    let colon = separator(userinfo)?;
    let (user, password) = (&userinfo[..colon], &userinfo[colon + 1..]);
    // `docker://name:tag@sha256:…` is an image with its digest.
    if password.is_empty()
        || host.starts_with(b"sha256:")
        || contains_fold(host, b"your")
        || is_pattern(user, password, host)
    {
        return None;
    }
    let weak = match value::judge(password, None) {
        Verdict::Cleared => return None,
        verdict => verdict == Verdict::Stock || user == password,
    };
    Some((from + colon + 1..from + sign, weak))
}

/// How far the authority goes: to the path, the query, or what no URL holds. Expansions are skipped whole.
fn authority_length(rest: &[u8]) -> usize {
    let rest = &rest[..rest.len().min(LONGEST_AUTHORITY)];
    let mut at = 0;
    while at < rest.len() {
        let close = match rest[at..] {
            [b'$', b'(', ..] => b')',
            [b'$' | b'{', b'{', ..] => b'}',
            [b'<', ..] => b'>',
            [b'/' | b'?' | b'#' | b' ' | b'\n' | b'\r' | b'\t' | b'"' | b'\'' | b',' | b'`' | b'\\', ..] => {
                return at;
            }
            _ => 0,
        };
        let skip = if close == 0 { None } else { memchr::memchr(close, &rest[at..]) };
        at += skip.map_or(1, |length| length + 1);
    }
    at
}

/// The colon between user and password, outside expansions such as `${USER:-x}`.
fn separator(userinfo: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    userinfo.iter().position(|byte| {
        match byte {
            b'{' | b'(' => depth += 1,
            b'}' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *byte == b':' && depth == 0
    })
}

/// `user:password@host`: the words themselves, in a help text or a pattern.
fn is_pattern(user: &[u8], password: &[u8], host: &[u8]) -> bool {
    let is = |word: &[u8], known: &[&[u8]]| known.iter().any(|known| known.eq_ignore_ascii_case(word));
    let host = host.split(|byte| *byte == b':').next().unwrap_or(host);
    is(user, &[b"user", b"username", b"usr", b""])
        && is(password, &[b"pass", b"password", b"pwd", b"passwd"])
        && is(host, &[b"host", b"hostname", b"server", b"address", b"addr", b"ip", b"<host>", b"...", b""])
}
