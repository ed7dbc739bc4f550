//! Rule `connection-string`: passwords and keys in ADO, ODBC, Azure, libpq and Go-MySQL connection strings.

use super::pairs::{Lead, Pair};
use super::sight::{Sight, Sink};
use super::text::{AT, COLON, EQUALS, SPACE, class_before, contains_fold, trim, unquote};
use super::value::{self, Verdict};
use super::weight::{Weight, weigh};
use super::{Example, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "connection-string",
    summary: "a connection string with a password or a key in it",
    reason: "a connection string carries a password or a key",
    certainty: Certainty::Certain,
    examples: &[
        Example::env(
            "ConnectionStrings__Default",
            "Server=db;Database=shop;User Id=shop;Password=Zq8mT3vLx0;",
        ),
        Example::env(
            "STORAGE",
            "DefaultEndpointsProtocol=https;AccountName=shop;AccountKey=Zq8mT3vLx0RbNc5WdKy7HsPf2GjUa9EiZq8mT3vLx0RbNc5WdKy7HsPf2GjUa9EiZq8mT3vLx0RbNc5WdKy7Hg==;EndpointSuffix=core.windows.net",
        ),
        Example::env("DB", "host=db port=5432 user=shop password=Zq8mT3vLx0 dbname=shop"),
        Example::env("DSN", "shop:Zq8mT3vLx0@tcp(db:3306)/shop?parseTime=true"),
    ],
    counter_examples: &[
        Example::env(
            "ConnectionStrings__Default",
            "Server=db;Database=shop;User Id=shop;Password=$(DB_PASSWORD);",
        ),
        Example::env("ConnectionStrings__Default", "Server=db;Database=shop;Integrated Security=true;"),
        Example::env("STORAGE", "AccountName={0};AccountKey={1};"),
        Example::env("DB", "host=db port=5432 user=shop dbname=shop passfile=/run/refgate/pgpass"),
        Example::env("DSN", "$(DB_USER):$(DB_PASSWORD)@tcp(db:3306)/shop"),
    ],
    inside: true,
    needs: &[EQUALS, AT | COLON],
    check,
};

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    for pair in sight.pairs() {
        if matches!(pair.lead, Lead::List | Lead::Assignment)
            && let Some((weight, detail)) = weigh_item(sight, &pair)
            && weight.certain
        {
            sink.strike(pair.value, weight.weak, detail);
            if sink.done() {
                return;
            }
        }
    }
    go_mysql(sight, sink);
    oracle(sight, sink);
}

/// An item of a list with semicolons, or of libpq's list with blanks, which has other items that lists have.
fn weigh_item(sight: &Sight<'_>, pair: &Pair<'_>) -> Option<(Weight, &'static str)> {
    let (text, place) = (sight.text, sight.place);
    const LIBPQ: &[&[u8]] = &[b"host=", b"dbname=", b"user=", b"hostaddr=", b"sslmode="];
    let value = &text[pair.value.clone()];
    let line = line_around(text, pair.value.clone());
    let is = |known: &[&[u8]]| known.iter().any(|known| known.eq_ignore_ascii_case(pair.name));
    let list = pair.lead == Lead::List || text.get(pair.value.end) == Some(&b';');
    if list {
        // Names of their own formats, whose last word alone would not be enough.
        let keys = is(&[b"AccountKey", b"SharedAccessKey", b"SharedSecretKey", b"SharedAccessSignature"])
            || (is(&[b"Secret"]) && contains_fold(line, b"endpoint="));
        if keys {
            let verdict = value::judge(value, None);
            let weight = Weight { certain: true, weak: verdict == Verdict::Stock };
            return (verdict != Verdict::Cleared && value.len() >= 8)
                .then_some((weight, "a key in a connection string"));
        }
        const LISTS: &[&[u8]] = &[
            b"server=",
            b"data source=",
            b"host=",
            b"user id=",
            b"uid=",
            b"username=",
            b"database=",
            b"dsn=",
            b"driver=",
            b"initial catalog=",
            b"endpoint=",
        ];
        let weight = weigh(sight.promise(pair.name)?, value, place)?;
        let other = LISTS.iter().any(|item| contains_fold(line, item));
        return other.then_some((weight, "a password in a connection string"));
    }
    let weight = weigh(sight.promise(pair.name)?, value, place)?;
    let other = LIBPQ.iter().filter(|item| contains_fold(line, item)).count();
    (other >= 2).then_some((weight, "a password in a connection string"))
}

/// The line that a value stands in, no more than a quarter of a kilobyte to each side.
fn line_around(text: &[u8], value: std::ops::Range<usize>) -> &[u8] {
    let from = value.start.saturating_sub(256);
    let to = text.len().min(value.end.saturating_add(256));
    let start = memchr::memrchr(b'\n', &text[from..value.start]).map_or(from, |at| from + at + 1);
    let end = memchr::memchr(b'\n', &text[value.end..to]).map_or(to, |at| value.end + at);
    &text[start..end]
}

/// `user:password@tcp(host)/db`, and the same with `unix(` or `(` alone: the DSN of Go's MySQL driver.
fn go_mysql(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let text = sight.text;
    for at in memchr::memchr_iter(b'@', text) {
        let rest = &text[at + 1..];
        if !(rest.starts_with(b"tcp(") || rest.starts_with(b"(") || rest.starts_with(b"unix(")) {
            continue;
        }
        let from = at.saturating_sub(256);
        let start = text[from..at]
            .iter()
            .rposition(|b| matches!(b, b' ' | b'"' | b'\'' | b'=' | b'\n' | b'/'))
            .map_or(from, |p| from + p + 1);
        let Some(colon) = memchr::memchr(b':', &text[start..at]) else { continue };
        let (user, password) = (&text[start..start + colon], &text[start + colon + 1..at]);
        let verdict = value::judge(password, None);
        if verdict != Verdict::Cleared && !user.is_empty() {
            sink.strike(
                start + colon + 1..at,
                verdict == Verdict::Stock || user == password,
                "a password in a MySQL DSN",
            );
        }
    }
}

/// `jdbc:oracle:thin:user/password@host`.
fn oracle(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let text = sight.text;
    let Some(start) = memchr::memmem::find(text, b"jdbc:oracle:thin:") else { return };
    let from = start + 17;
    let end = from
        + text[from..]
            .iter()
            .take(256)
            .take_while(|b| class_before(&[**b], 1) & SPACE == 0 && **b != b'@')
            .count();
    let Some(slash) = memchr::memchr(b'/', &text[from..end]) else { return };
    let password = unquote(trim(&text[from + slash + 1..end]));
    let verdict = value::judge(password, None);
    if text.get(end) == Some(&b'@') && verdict != Verdict::Cleared {
        sink.strike(from + slash + 1..end, verdict == Verdict::Stock, "a password in a JDBC URL");
    }
}
