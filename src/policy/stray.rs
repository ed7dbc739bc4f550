//! References of ours where nobody resolves them: inside of a longer text, or in the place of a name.
//!
//! A text is let in, since it may be meant as it is written, and whoever applies it hears of it. A name cannot hold a colon, so
//! there nothing else is meant. `reference` reads what is resolved.

use memchr::memmem;

use super::judge::Walk;
use super::message;
use super::path;
use super::reference::{ENV_PREFIX, FILE_PREFIX, Reference, is_meant, near_miss};
use super::refusal::Cause;
use super::resolve::Resolution;
use super::workload::pod::Env;

/// So many places of one text are looked at.
const PLACES: usize = 64;
/// Longest word between `secret+` and the colon.
const WORD: usize = 16;

/// A reference that is only a part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stray<'a> {
    /// The prefix that it has, or was meant to have.
    pub prefix: &'static str,
    /// What stands behind the prefix.
    pub reference: &'a str,
    /// Whether nothing but blanks, quotes and brackets stands around it.
    pub is_whole: bool,
}

/// The first reference of ours in a text that is none as a whole. What may be something else is passed over: images with a tag,
/// hosts with a port, permissions such as `secret:read`, ARNs, prose.
pub fn find(text: &str) -> Option<Stray<'_>> {
    // Nearly every text ends here.
    memchr::memchr(b':', text.as_bytes())?;
    let start = memmem::find(text.as_bytes(), b"secret");
    // A default in a placeholder is written so too, in capitals: `${SECRET:x}`.
    let unquoted = text.trim().trim_matches(['"', '\'', '\\']).trim();
    if let Some(prefix) = near_miss(unquoted)
        && let Some((_, reference)) = unquoted.split_once(':')
    {
        return (!is_something_else(reference)).then_some(Stray { prefix, reference, is_whole: true });
    }
    let start = start?;
    let inner = peeled(text);
    if let Some((prefix, reference)) = prefixed(inner)
        && is_reference(reference)
    {
        return Some(Stray { prefix, reference, is_whole: true });
    }
    let places = memmem::find_iter(&text.as_bytes()[start..], b"secret").take(PLACES);
    places.map(|at| start + at).find_map(|at| part(text, at))
}

/// The reference that begins at a place of a text, where what stands before it says that it is one.
fn part(text: &str, at: usize) -> Option<Stray<'_>> {
    let before = &text[..at];
    let (prefix, rest) = prefixed(&text[at..])?;
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-#?".contains(c);
    let end = rest.find(|c: char| !is_path(c)).unwrap_or(rest.len());
    let unquoted = before.trim_end_matches(['"', '\'', '\\']);
    let is_in_password = before.ends_with(':') && is_userinfo(before);
    let reference = if is_in_password { rest.split_once('@')?.0 } else { &rest[..end] };
    let is_meant_here = match unquoted.chars().next_back() {
        _ if is_in_password => true,
        // `--dsn=secret:x`, `password=secret:x;…`
        Some('=') => true,
        // `{"password": "secret:x"}`; without the quotes it may be prose.
        _ if unquoted.len() < before.len() && unquoted.trim_end().ends_with(':') => true,
        // `${secret:x}`, `$(secret:x)`, `{{ secret:x }}`
        _ if ["${", "$(", "{{"].iter().any(|open| before.trim_end().ends_with(open)) => {
            rest[end..].trim_start().starts_with(['}', ')'])
        }
        None | Some(' ' | '\t' | '\n' | ',' | ';') => {
            is_unmistakable(reference) || is_behind_a_scheme(before)
        }
        Some(_) => false,
    };
    (is_meant_here && is_reference(reference)).then_some(Stray { prefix, reference, is_whole: false })
}

/// A text without the blanks, quotes and brackets around it.
fn peeled(text: &str) -> &str {
    let mut inner = text.trim();
    for _ in 0..4 {
        let pairs = [
            ("${", "}"),
            ("$(", ")"),
            ("{{", "}}"),
            ("\\\"", "\\\""),
            ("\"", "\""),
            ("'", "'"),
            ("`", "`"),
            ("<", ">"),
        ];
        let within =
            pairs.into_iter().find_map(|(open, close)| inner.strip_prefix(open)?.strip_suffix(close));
        match within {
            Some(within) => inner = within.trim(),
            None => break,
        }
    }
    inner
}

/// The prefix of a text and what stands behind it: `secret:`, or `secret+` with whatever word.
fn prefixed(text: &str) -> Option<(&'static str, &str)> {
    if let Some(rest) = text.strip_prefix(ENV_PREFIX) {
        return Some((ENV_PREFIX, rest));
    }
    let (word, rest) = text.strip_prefix("secret+")?.split_once(':')?;
    let is_word = (1..=WORD).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphabetic());
    let prefix = if word.eq_ignore_ascii_case("file") { FILE_PREFIX } else { ENV_PREFIX };
    is_word.then_some((prefix, rest))
}

fn is_reference(text: &str) -> bool {
    !is_something_else(text) && Reference::parse(text).is_ok()
}

/// Whether a colon stands between the user and the password of a URL.
fn is_userinfo(before: &str) -> bool {
    let authority = before.rsplit([' ', '\t', '\n', '"', '\'']).next().and_then(|url| url.split_once("://"));
    authority.is_some_and(|(_, rest)| !rest.contains(['/', '@', '?', '#']))
}

/// What no tag, port or permission has.
fn is_unmistakable(reference: &str) -> bool {
    reference.starts_with('/') || reference.contains('#') || reference.ends_with("?optional")
}

/// `Bearer secret:x`: the schemes of the header Authorization.
fn is_behind_a_scheme(before: &str) -> bool {
    let word = before.trim_end().rsplit([' ', ':', '=', '"', '\'']).next().unwrap_or_default();
    before.ends_with(' ')
        && ["bearer", "basic", "token"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// Tags of images, and verbs of permissions.
const WORDS: [&str; 21] = [
    "latest", "stable", "edge", "main", "master", "nightly", "read", "write", "list", "get", "create",
    "delete", "update", "admin", "manage", "view", "watch", "patch", "all", "true", "false",
];

/// Whether what stands behind `secret:` is rather the tag of an image, a port, or a verb.
fn is_something_else(reference: &str) -> bool {
    let word = reference.split(['?', '#', '/', ':', '-']).next().unwrap_or_default();
    let number = word.strip_prefix('v').unwrap_or(word);
    number.starts_with(|c: char| c.is_ascii_digit()) || word.starts_with('-') || WORDS.contains(&word)
}

/// What the reader of a text may do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The value of an env var.
    Value,
    /// A word of a command in which `$(VAR)` is expanded.
    Word,
    /// A word of a command in which it is not: that of the lifecycle.
    Shell,
    /// The request of a probe, an annotation, an attribute of a volume: nothing is expanded.
    Nowhere,
    /// An entry of a ConfigMap.
    Data,
}

/// What a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// `valueFrom`.
    ValueFrom,
    /// `envFrom`.
    EnvFrom,
    /// A volume of the types that show files.
    Files,
    /// Anything else that is a Secret.
    Secret,
    /// The account of the pods.
    Account,
}

/// The variable that the examples of the documentation have.
const VARIABLE: &str = "DB_PASSWORD";

impl Walk<'_, '_> {
    /// Says where a reference stands in a text in which nothing is resolved; `struck` is how many findings there were before the
    /// detector looked at the text. Where it takes the reference for the value of a password, its advice is to use a variable.
    pub(super) fn stray(
        &mut self,
        text: &str,
        form: Form,
        struck: usize,
        env: &[Env<'_>],
        subject: &dyn Fn() -> String,
    ) {
        let has_finding = self.seen.struck.len() > struck;
        if has_finding && matches!(form, Form::Nowhere | Form::Data) {
            return;
        }
        let Some(Stray { prefix, reference, is_whole }) = find(text) else { return };
        let name = self.told(reference);
        if is_whole && form == Form::Value && !has_finding {
            self.note(subject(), around(prefix, name.unwrap_or("NAME"), &self.first()));
            return;
        }
        let mut variable = name.map_or_else(|| VARIABLE.to_owned(), variable_for);
        if env.iter().any(|entry| *entry.name == *variable) {
            variable.push_str("_SECRET");
        }
        let (what, advice) = inside(form, &variable, prefix, name.unwrap_or("NAME"), &self.first());
        if !has_finding {
            self.note(subject(), format!("{what}; {advice}"));
        } else if let (Some(_), [one]) = (name, &mut self.seen.struck[struck..]) {
            one.finding.instead = advice;
        }
    }

    /// Refuses a reference in the place of a name. Gives whether it is one.
    pub(super) fn stray_name(
        &mut self,
        name: &str,
        of: Named,
        pointer: &dyn Fn() -> String,
        subject: &dyn Fn() -> String,
    ) -> bool {
        let inner = peeled(name);
        if !is_meant(inner) && near_miss(inner).is_none() {
            return false;
        }
        let reference = inner.split_once(':').map(|(_, reference)| reference).unwrap_or_default();
        let told = self.told(reference);
        let secret = told.and_then(|told| match self.world.resolve(&Reference::parse(told).ok()?, false) {
            Resolution::Found(found) => Some(found.secret),
            _ => None,
        });
        let text = in_place_of_a_name(of, told, secret.as_deref(), &self.first());
        self.refuse(pointer(), subject(), Cause::Misplaced, text);
        true
    }

    fn first(&self) -> String {
        message::bind_first(self.world.binding(), self.world.namespace)
    }

    /// A reference that may be repeated: it names what is there, so that it is no value.
    fn told<'r>(&self, text: &'r str) -> Option<&'r str> {
        let reference = Reference::parse(text).ok()?;
        self.world.names_what_is_there(&reference).then_some(text)
    }
}

/// A name for the variable that holds what a reference names: `smtp#password` is `SMTP_PASSWORD`.
fn variable_for(reference: &str) -> String {
    let reference = reference.split('?').next().unwrap_or_default();
    let (path, property) = reference.split_once('#').unwrap_or((reference, ""));
    let name = path.rsplit('/').next().unwrap_or_default();
    let words = format!("{name} {property}");
    let words = words.trim().chars().take(path::MAX_KEY_BYTES);
    words.map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// A reference with something around it: blanks, quotes, brackets, or a word in the prefix that it does not have.
fn around(prefix: &str, name: &str, first: &str) -> String {
    format!(
        "this is meant as a reference and is none, so the container gets the text itself; {first}write {prefix}{name}, with nothing \
         before or behind it"
    )
}

/// What is wrong with a reference inside of a text in which nothing is resolved, and what to do.
fn inside(form: Form, variable: &str, prefix: &str, name: &str, first: &str) -> (&'static str, String) {
    let what = match form {
        Form::Value | Form::Word | Form::Shell => "a reference inside a text is not resolved",
        Form::Nowhere => "a reference inside a text is not resolved here",
        Form::Data => "a reference inside a text is not resolved, in a ConfigMap none at all",
    };
    let set = format!("{variable}: {prefix}{name}");
    let advice = match form {
        Form::Value => {
            format!("{first}set an env var before this one, {set}, and write $({variable}) in its place")
        }
        Form::Word => format!("{first}set the env var {set}, and write $({variable}) in its place"),
        Form::Shell => format!("{first}set the env var {set}, and let a shell read ${variable}"),
        Form::Nowhere => format!("{first}set the env var {set}, and let the container read that"),
        Form::Data => format!("{first}set the env var {set} of the container, and let the program read that"),
    };
    (what, advice)
}

/// A reference in the place of a name; what may be told of it, and the Secret that holds what it names.
fn in_place_of_a_name(of: Named, told: Option<&str>, secret: Option<&str>, first: &str) -> String {
    let what = "a reference stands in the place of a name, where it is not resolved";
    let reference = told.unwrap_or("NAME");
    let whole = reference.split(['#', '?']).next().unwrap_or_default();
    match of {
        Named::ValueFrom => {
            format!("{what}; {first}write value: \"{ENV_PREFIX}{reference}\" in place of valueFrom")
        }
        Named::EnvFrom => format!(
            "{what}; {first}leave this entry out, and annotate the pod template with refgate.dev/env-from: {whole}"
        ),
        Named::Files => format!(
            "{what}; {first}leave the volume out, and annotate the pod template with file.refgate.dev/FILE: {reference}, which mounts \
             /run/refgate/FILE"
        ),
        Named::Secret => {
            let secret = secret.map(|secret| format!(": {secret}")).unwrap_or_default();
            format!("{what}; {first}write the name of the synced Secret{secret}")
        }
        Named::Account => format!("{what}; write the name of a ServiceAccount"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_in_a_text_is_found() {
        for (text, prefix, reference, is_whole) in [
            (" secret:mailer", ENV_PREFIX, "mailer", true),
            ("secret:mailer\n", ENV_PREFIX, "mailer", true),
            ("\"secret:mailer#pw\"", ENV_PREFIX, "mailer#pw", true),
            ("'secret:mailer'", ENV_PREFIX, "mailer", true),
            ("\\\"secret:mailer\\\"", ENV_PREFIX, "mailer", true),
            ("${secret:mailer#pw}", ENV_PREFIX, "mailer#pw", true),
            ("$(secret:mailer)", ENV_PREFIX, "mailer", true),
            ("{{ secret:mailer }}", ENV_PREFIX, "mailer", true),
            ("\"Secret:mailer\"", ENV_PREFIX, "mailer", true),
            ("<secret+file:mailer>", FILE_PREFIX, "mailer", true),
            ("secret+env:mailer", ENV_PREFIX, "mailer", true),
            ("secret+FILE:mailer", FILE_PREFIX, "mailer", true),
            ("secret:mailer", ENV_PREFIX, "mailer", true),
            ("amqp://app:secret:mailer#pw@mq:5672/", ENV_PREFIX, "mailer#pw", false),
            ("redis://:secret:/a/b/c/cache@redis/0", ENV_PREFIX, "/a/b/c/cache", false),
            ("amqp://app:${secret:mailer#pw}@mq/", ENV_PREFIX, "mailer#pw", false),
            ("amqp://app:$(secret:mailer)@mq/", ENV_PREFIX, "mailer", false),
            ("--dsn=secret:mailer", ENV_PREFIX, "mailer", false),
            ("--dsn='secret:mailer'", ENV_PREFIX, "mailer", false),
            ("Server=db;Password=secret:mailer#pw;Encrypt=yes", ENV_PREFIX, "mailer#pw", false),
            ("https://h/x?key=secret:mailer&y=1", ENV_PREFIX, "mailer", false),
            ("{\"password\": \"secret:mailer\"}", ENV_PREFIX, "mailer", false),
            ("Bearer secret:mailer", ENV_PREFIX, "mailer", false),
            ("psql --password secret:mailer#pw", ENV_PREFIX, "mailer#pw", false),
            ("cat secret+file:/a/b/c/tls", FILE_PREFIX, "/a/b/c/tls", false),
            ("my-secret:1.0 --dsn=secret:mailer", ENV_PREFIX, "mailer", false),
        ] {
            assert_eq!(find(text), Some(Stray { prefix, reference, is_whole }), "{text}");
        }
    }

    #[test]
    fn what_is_something_else_stays_quiet() {
        for text in [
            "",
            "secret",
            "a:b",
            "my-secret:tag",
            "top_secret:tag",
            "docker.io/secret:1.2",
            "registry.example.com:5000/team/secret:main",
            "secret:1.2.3-alpine",
            "--image=secret:v2",
            "--image=secret:latest",
            "{\"image\": \"secret:4.1\"}",
            "docker run secret:web",
            "tcp://secret:8080",
            "http://secret:8080/x",
            "http://secret:secret@mq/",
            "amqp://app:secret@mq:5672/",
            "keep this secret: it is not for everybody",
            "Secret: see the wiki",
            "the secret:",
            "it is a secret:\n  yes",
            "secrets:read secret:write",
            "openid secret:read secret:list",
            "--scopes=secret:read",
            "path \"secret/data/web\" { capabilities = [\"read\"] }",
            "vault:secret/data/web#password",
            "arn:aws:secretsmanager:eu-west-1:111122223333:secret:web-AbCdEf",
            "--arn=arn:aws:secretsmanager:eu-west-1:111122223333:secret:web-AbCdEf",
            "kube:secret:ns/name",
            "secretsmanager:GetSecretValue",
            "client_secret:abc",
            "http://secret.example.com:80/",
            "kubectl get secret web -o jsonpath='{.data.x}'",
            "secret+file",
            "secret+a/b:c",
            "${SECRET:-x}",
            "${secret}",
            "{{ .Values.secret }}:{{ .Values.tag }}",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn variables_are_named_after_what_they_hold() {
        for (reference, expected) in [
            ("smtp#password", "SMTP_PASSWORD"),
            ("database-url", "DATABASE_URL"),
            ("/a/b/c/deep/tls.key?optional", "TLS_KEY"),
        ] {
            assert_eq!(variable_for(reference), expected, "{reference}");
        }
    }
}
