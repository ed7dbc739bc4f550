//! Rule `assignment`: credentials in text of names and values: shell assignments, `.env`, properties, JSON, YAML, headers.

use super::lines;
use super::name::{self, Kind};
use super::pairs::{Lead, Pair};
use super::sight::{FILE, Sight, Sink};
use super::text::{COLON, EQUALS, SPACE, any, contains_fold, looks_random};
use super::weight::{Weight, weigh};
use super::{Example, Place, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "assignment",
    summary: "a credential in a text of names and values (shell, .env, properties, JSON, YAML)",
    reason: "a text inside the object gives a credential its value",
    certainty: Certainty::Certain,
    examples: &[
        Example::argument("PGPASSWORD=Zq8mT3vLx0 psql -h db -f /init.sql"),
        Example::argument("export API_KEY='Zq8mT3vLx0RbNc5W'; ./run"),
        Example::env("CONFIG", r#"{"host": "db", "password": "Zq8mT3vLx0"}"#),
        Example::env("CONFIG", "host: db\npassword: Zq8mT3vLx0\n"),
        Example::argument("curl -H 'Authorization: Bearer Zq8mT3vLx0RbNc5W' https://x"),
        Example::named(Place::ConfigMap, "redis.conf", "port 6379\nrequirepass Zq8mT3vLx0\n"),
        Example::named(
            Place::ConfigMap,
            "hive-site.xml",
            "<name>javax.jdo.option.ConnectionPassword</name><value>Zq8mT3vLx0</value>",
        ),
        Example::named(
            Place::Annotation,
            "kubectl.kubernetes.io/last-applied-configuration",
            r#"{"env":[{"name":"DB_PASSWORD","value":"Zq8mT3vLx0"}]}"#,
        ),
    ],
    counter_examples: &[
        Example::argument("PGPASSWORD=\"$DB_PASSWORD\" psql -h db -f /init.sql"),
        Example::argument("export API_KEY=$(cat /run/refgate/api_key)"),
        Example::env("CONFIG", r#"{"host": "db", "passwordFile": "/run/refgate/password", "password": ""}"#),
        Example::env("CONFIG", "host: db\npassword: ${DB_PASSWORD}\nsecretName: shop-db\n"),
        Example::argument("echo 'Enter the password: it has eight letters'"),
        Example::env("RULES", "password:required,token:optional"),
        Example::named(
            Place::ConfigMap,
            "messages.properties",
            "login.password=Password\nerror.password=Wrong password\n",
        ),
        Example::named(
            Place::ConfigMap,
            "user.graphql",
            "type User {\n  password: String!\n  token: String\n}\n",
        ),
        Example::named(Place::ConfigMap, "server.conf", "# requirepass foobared\n;admin_password = admin\n"),
        Example::named(Place::ConfigMap, "settings.py", "SECRET_KEY = os.environ['SECRET_KEY']\n"),
    ],
    inside: true,
    needs: &[EQUALS, COLON | SPACE, COLON | super::text::QUOTE, FILE],
    check,
};

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    for pair in sight.pairs() {
        if !matches!(pair.lead, Lead::Assignment | Lead::List | Lead::Field) {
            continue;
        }
        if let Some(weight) = weigh_pair(sight, &pair) {
            let detail = detail(&pair);
            sink.strike(pair.value, weight.weak, detail);
            if sink.done() {
                return;
            }
        }
    }
    if matches!(sight.place, Place::ConfigMap | Place::Secret) {
        lines::find(sight.text, &mut |name, value| {
            let text = &sight.text[value.clone()];
            if let Some(named) = sight.promise(name)
                && let Some(weight) = weigh(named, text, sight.place).filter(|weight| weight.certain)
            {
                sink.strike(value, weight.weak, "a setting whose name promises a credential");
            }
        });
    }
}

fn detail(pair: &Pair<'_>) -> &'static str {
    match pair.lead {
        Lead::Field => "a field whose name promises a credential",
        _ => "an assignment to a name that promises a credential",
    }
}

/// A name in a text promises less than the name of an env var: prose has colons, and configuration names Secrets by them.
fn weigh_pair(sight: &Sight<'_>, pair: &Pair<'_>) -> Option<Weight> {
    let text = sight.text;
    let value = &text[pair.value.clone()];
    let named = sight.promise(pair.name)?;
    let says_nothing = is_caption(value, pair.name) || is_sentence(text, pair) || is_variable(text, pair);
    if says_nothing || is_comment(line_before(text, pair)) {
        return None;
    }
    let weight = weigh(named, value, Place::Env).filter(|weight| weight.certain)?;
    if pair.lead != Lead::Field || named.kind == Kind::Scheme {
        return Some(weight);
    }
    let quoted = pair.value.start > 0 && matches!(text[pair.value.start - 1], b'"' | b'\'');
    if !quoted && (any(value, SPACE) || !begins_line(text, pair) || is_type(value)) {
        return None;
    }
    // A file of settings is no prose.
    let is_file = matches!(sight.place, Place::ConfigMap | Place::Secret);
    let is_set = match named.kind {
        Kind::Password => true,
        Kind::Secret => quoted || is_file,
        Kind::Key => is_file,
        _ => false,
    };
    (is_set || looks_random(value)).then_some(weight)
}

/// What stands before a value on its line, no more than a quarter of a kilobyte.
fn line_before<'t>(text: &'t [u8], pair: &Pair<'_>) -> &'t [u8] {
    let head = &text[..pair.value.start];
    let near = &head[head.len().saturating_sub(256)..];
    memchr::memrchr(b'\n', near).map_or(near, |at| &near[at + 1..])
}

/// Whether a line is commented out: what stands there sets nothing.
fn is_comment(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    line.starts_with(b"#") || line.starts_with(b";") || line.starts_with(b"//")
}

/// Whether a value is what people see beside a field: `login.password=Password`, `"forgotPassword": "Forgot password?"`.
fn is_caption(value: &[u8], name: &[u8]) -> bool {
    let [first, rest @ ..] = value else { return false };
    let word = name::split_last(name).map_or(&b""[..], |(_, word)| word);
    let is_word = rest.iter().all(u8::is_ascii_lowercase) && value.eq_ignore_ascii_case(word);
    let is_sentence = any(rest, SPACE)
        && rest.len() < 128
        && !word.is_empty()
        && contains_fold(value, &word.to_ascii_lowercase());
    first.is_ascii_uppercase() && (is_word || is_sentence) || CAPTIONS.contains(&value)
}

/// The word for a password, as forms have it in other languages.
const CAPTIONS: &[&[u8]] = &[
    "Passwort".as_bytes(),
    "Kennwort".as_bytes(),
    "Mot de passe".as_bytes(),
    "Contraseña".as_bytes(),
    "Senha".as_bytes(),
    "Wachtwoord".as_bytes(),
    "Lösenord".as_bytes(),
    "Adgangskode".as_bytes(),
    "Hasło".as_bytes(),
    "Пароль".as_bytes(),
    "密码".as_bytes(),
    "パスワード".as_bytes(),
    "비밀번호".as_bytes(),
];

/// Whether a value is the variable of the same name, inside of a line of code: `Client(password=password)`.
fn is_variable(text: &[u8], pair: &Pair<'_>) -> bool {
    let value = &text[pair.value.clone()];
    let value = value.strip_suffix(b",").unwrap_or(value);
    pair.lead == Lead::Assignment && value == pair.name && !begins_line(text, pair)
}

/// Whether an unquoted value of a file goes on behind a blank: `error.password=Wrong password`. Names of variables are
/// capitals, and a command may follow theirs.
fn is_sentence(text: &[u8], pair: &Pair<'_>) -> bool {
    if pair.lead != Lead::Assignment || !pair.name.iter().any(u8::is_ascii_lowercase) {
        return false;
    }
    let rest = &text[pair.value.end..text.len().min(pair.value.end + 256)];
    let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words = line.trim_ascii();
    begins_line(text, pair) && line.starts_with(b" ") && words.first().is_some_and(u8::is_ascii_alphabetic)
}

/// Whether a value is the type of a field, in a schema or in code: `password: String!`.
fn is_type(value: &[u8]) -> bool {
    const TYPES: &[&[u8]] = &[
        b"string",
        b"str",
        b"text",
        b"bytes",
        b"any",
        b"object",
        b"password",
        b"secret",
        b"secretstr",
        b"varchar",
        b"char",
        b"option<string>",
        b"optional[str]",
        b"string | null",
        b"string | undefined",
    ];
    let end =
        value.iter().rposition(|byte| !matches!(byte, b'!' | b';' | b',' | b'?')).map_or(0, |at| at + 1);
    // A bare word may be a password; with the sign of a language behind it, it is none.
    let marked = end < value.len();
    let plain: &[&[u8]] = if marked { TYPES } else { &TYPES[..6] };
    plain.iter().any(|word| word.eq_ignore_ascii_case(&value[..end]))
}

/// Whether a pair begins its line, as fields of YAML and headers do.
fn begins_line(text: &[u8], pair: &Pair<'_>) -> bool {
    let line = line_before(text, pair);
    let indent =
        line.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'-' | b'"' | b'\'' | b'$')).count();
    // A header of a command line begins behind its quote.
    let from = pair.name.as_ptr() as usize - text.as_ptr() as usize;
    let is_header = pair.name.contains(&b'-') && from > 0 && matches!(text.get(from - 1), Some(b'"' | b'\''));
    line[indent..].starts_with(pair.name) || is_header
}
