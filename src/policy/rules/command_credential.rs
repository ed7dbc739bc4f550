//! Rule `command-credential`: credentials in options of command lines: flags, properties, user and password of clients.

use std::ops::Range;

use super::name;
use super::pairs::{Lead, Pairs};
use super::shell::{self, Takes, Words};
use super::sight::{AFTER_OPTION, Sight, Sink};
use super::text::{EQUALS, GREATER, HYPHEN, SPACE};
use super::value::{self, Verdict};
use super::weight::{Weight, weigh};
use super::{Example, Place, Rule};
use crate::policy::finding::Certainty;

/// The rule.
pub(super) static RULE: Rule = Rule {
    id: "command-credential",
    summary: "a credential in an option of a command line",
    reason: "a command line carries a credential, and every process of its node can read it",
    certainty: Certainty::Certain,
    examples: &[
        Example::argument("--db-password=Zq8mT3vLx0"),
        Example::after("--requirepass", "Zq8mT3vLx0"),
        Example::env("JAVA_OPTS", "-Xmx1g -Djavax.net.ssl.trustStorePassword=Zq8mT3vLx0"),
        Example::argument(
            "curl -su shop:Zq8mT3vLx0 https://feed.example.com && curl -u shop:Zq8mT3vLx0 https://x",
        ),
        Example::argument("mysqladmin ping -h db -u root -pZq8mT3vLx0"),
        Example::argument("keytool -import -storepass Zq8mT3vLx0 -noprompt"),
    ],
    counter_examples: &[
        Example::argument("--password-file=/run/refgate/password"),
        Example::argument("--db-password=$(DB_PASSWORD)"),
        Example::argument("--tls-secret-name=shop-tls"),
        Example::argument("--mysql-native-password=ON"),
        Example::argument("--max-tokens=4096"),
        Example::after("--requirepass", "$(REDIS_PASSWORD)"),
        Example::after("--secret-name", "shop-tls"),
        Example::after("--requirepass", "--appendonly"),
        Example::argument("mysqladmin ping -h db -u root -p${MYSQL_ROOT_PASSWORD}"),
        Example::argument("docker run -p 8080:80 shop"),
    ],
    inside: true,
    needs: &[AFTER_OPTION, HYPHEN | EQUALS, HYPHEN | SPACE, GREATER | SPACE],
    check,
};

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    if sight.traits() & AFTER_OPTION != 0 {
        after_option(sight, sink);
    }
    if sight.traits() & (HYPHEN | EQUALS) == HYPHEN | EQUALS {
        for pair in Pairs::new(sight.text).filter(|pair| pair.lead == Lead::Option) {
            let text = &sight.text[pair.value.clone()];
            report(sink, weigh_option(pair.name, text), pair.value);
            if sink.done() {
                return;
            }
        }
    }
    if sight.traits() & SPACE != 0 && sight.traits() & (HYPHEN | GREATER) != 0 {
        command_lines(sight, sink);
    }
}

fn report(sink: &mut Sink<'_>, weight: Option<Weight>, span: Range<usize>) {
    if let Some(weight) = weight.filter(|weight| weight.certain) {
        sink.strike(span, weight.weak, "a credential in an option of a command line");
    }
}

fn weigh_option(name: &[u8], text: &[u8]) -> Option<Weight> {
    weigh(name::judge(name)?, text, Place::Argument)
}

/// `--requirepass` and, as the next argument, the password.
fn after_option(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let Some(before) = sight.before else { return };
    let name = before.trim_start_matches('-').as_bytes();
    if !sight.text.starts_with(b"-") && !name.contains(&b'=') && !name.contains(&b' ') {
        report(sink, weigh_option(name, sight.text), 0..sight.text.len());
    }
}

/// Options in a text that holds whole commands, and users of Redis in its own notation.
fn command_lines(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let (mut command, mut sub, mut waiting) = (&b""[..], &b""[..], None);
    let mut position = 0;
    for word in Words::new(sight.text) {
        position = if word.begins { 0 } else { position + 1 };
        if word.begins {
            (command, sub, waiting) = (shell::command_name(word.text), b"", None);
        } else if position == 1 {
            sub = word.text;
        }
        let weight = match waiting.take() {
            Some(Waiting::Named(name)) if !word.text.starts_with(b"-") => weigh_option(name, word.text),
            Some(Waiting::Taking(takes)) => weigh_taken(takes, word.text),
            _ => None,
        };
        report(sink, weight, word.span.clone());
        if let Some((takes, glued)) = shell::option(command, sub, word.text) {
            if glued.is_empty() && takes != Takes::Glued {
                waiting = Some(Waiting::Taking(takes));
            } else if !glued.is_empty() && !word.text.starts_with(b"--") {
                report(sink, weigh_taken(takes, glued), word.span.clone());
            }
        } else if word.text.starts_with(b"-") && !word.text.contains(&b'=') {
            let name = word.text.trim_ascii_start();
            waiting = Some(Waiting::Named(&name[name.iter().take_while(|b| **b == b'-').count()..]));
        }
        // `user shop on >password ~* +@all`: a line of Redis's ACL file, or of `ACL SETUSER`.
        let acl = command.eq_ignore_ascii_case(b"user") || command.eq_ignore_ascii_case(b"acl");
        if acl
            && position > 1
            && word.text.starts_with(b">")
            && value::judge(&word.text[1..], None) != Verdict::Cleared
        {
            sink.strike(
                word.span,
                value::judge(&word.text[1..], None) == Verdict::Stock,
                "a password in an ACL of Redis",
            );
        }
        if sink.done() {
            return;
        }
    }
}

/// What the next word of a command line may be.
enum Waiting<'t> {
    /// The value of a long option.
    Named(&'t [u8]),
    /// What a short option takes.
    Taking(Takes),
}

fn weigh_taken(takes: Takes, text: &[u8]) -> Option<Weight> {
    let password = match takes {
        Takes::Pair => &text[memchr::memchr(b':', text)? + 1..],
        Takes::Password | Takes::Glued => text,
    };
    match value::judge(password, None) {
        Verdict::Cleared => None,
        verdict => Some(Weight { certain: true, weak: verdict == Verdict::Stock }),
    }
}
