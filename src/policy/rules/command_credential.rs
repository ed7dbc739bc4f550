//! Rule `command-credential`: credentials in options of command lines: flags, properties, user and password of clients.

use std::ops::Range;

use super::name;
use super::own::Own;
use super::pairs::Lead;
use super::shell::{self, Takes, Word, Words};
use super::sight::{AFTER_OPTION, Sight, Sink};
use super::text::{DOT, EQUALS, HYPHEN, LOWER, QUOTE, SPACE, WORD, all, any, contains_fold, ends_with_fold};
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
        Example::argument("until mc alias set store http://minio:9000 shop Zq8mT3vLx0; do sleep 1; done"),
        Example::argument(
            "echo 'user shop on >Zq8mT3vLx0 ~shop:* &* +@all' > /etc/redis/x\nuser shop on >Zq8mT3vLx0 ~*",
        ),
        Example::argument("rabbitmqadmin -u guest -p Zq8mT3vLx0 list queues"),
        Example::argument("vault login Zq8mT3vLx0RbNc5W"),
        Example::argument("sh -c \"redis-cli -a Zq8mT3vLx0 ping\""),
        Example::argument("mysql -e \"CREATE USER shop IDENTIFIED BY 'Zq8mT3vLx0'\""),
    ],
    counter_examples: &[
        Example::argument("psql -c \"ALTER USER shop WITH PASSWORD '$DB_PASSWORD'\""),
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
        Example::argument("mc alias set store http://minio:9000 $(ACCESS_KEY) $(SECRET_KEY)"),
        Example::argument("vault login -method=kubernetes role=web"),
        Example::env("HELP", "Use --password to set the password"),
        Example::argument("cat user >out.txt && ls -l > files"),
    ],
    inside: true,
    needs: &[AFTER_OPTION, HYPHEN | EQUALS, SPACE],
    check,
};

fn check(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    if sight.traits() & AFTER_OPTION != 0 {
        after_option(sight, sink);
    }
    if sight.traits() & (HYPHEN | EQUALS) == HYPHEN | EQUALS {
        for pair in sight.pairs().filter(|pair| pair.lead == Lead::Option) {
            let text = &sight.text[pair.value.clone()];
            report(sink, weigh_option(sight.own, pair.name, text), pair.value);
            if sink.done() {
                return;
            }
        }
    }
    if sight.traits() & SPACE != 0 {
        let prose = !matches!(sight.place, Place::Argument | Place::Command);
        command_lines(sight.own, sight.text, 0, (true, prose), sink);
    }
    if sight.traits() & (SPACE | QUOTE) == SPACE | QUOTE {
        statements(sight.text, sink);
    }
}

fn report(sink: &mut Sink<'_>, weight: Option<Weight>, span: Range<usize>) {
    if let Some(weight) = weight.filter(|weight| weight.certain) {
        sink.strike(span, weight.weak, OPTION);
    }
}

fn weigh_option(own: &Own, name: &[u8], text: &[u8]) -> Option<Weight> {
    weigh(name::judge(name).or_else(|| own.promise(name))?, text, Place::Argument)
}

/// `--requirepass` and, as the next argument, the password.
fn after_option(sight: &Sight<'_>, sink: &mut Sink<'_>) {
    let Some(before) = sight.before else { return };
    let name = before.trim_start_matches('-').as_bytes();
    if !sight.text.starts_with(b"-") && !name.contains(&b'=') && !name.contains(&b' ') {
        report(sink, weigh_option(sight.own, name, sight.text), 0..sight.text.len());
    }
}

/// Options in a text that holds whole commands, and in a command that one of them is given in quotes (`sh -c "…"`).
///
/// In a text that may be `prose`, as no argument is, the word after an option may be one of the language.
fn command_lines(own: &Own, text: &[u8], offset: usize, (outer, prose): (bool, bool), sink: &mut Sink<'_>) {
    let mut command = Command::default();
    for word in Words::new(text) {
        let waiting = command.waiting.take().filter(|_| !word.begins);
        command.enter(&word);
        let to = offset + word.span.end;
        if let Some((text, weight, detail)) = command.weigh(own, waiting, &word)
            && weight.certain
            && !(prose && !weight.weak && all(text, LOWER))
        {
            sink.strike(to - text.len().min(word.span.len())..to, weight.weak, detail);
        } else if outer && word.text.len() < word.span.len() && any(word.text, SPACE) {
            command_lines(own, word.text, offset + word.span.start + 1, (false, prose), sink);
        }
        if sink.done() {
            return;
        }
    }
}

/// `IDENTIFIED BY 'x'`, `WITH PASSWORD 'x'`: how MySQL and PostgreSQL give a user a password.
fn statements(text: &[u8], sink: &mut Sink<'_>) {
    let mut at = 0;
    while let Some(offset) = memchr::memchr(b'\'', &text[at..]) {
        let quote = at + offset;
        at = quote + 1;
        let head = text[..quote].trim_ascii_end();
        let introduces = [
            &b" identified by"[..],
            b" with password",
            b" encrypted password",
            b" login password",
            b" role password",
        ];
        let near = &head[head.len().saturating_sub(128)..];
        let of_account = ends_with_fold(head, b" password")
            && [&b"create user"[..], b"alter user", b"create role", b"alter role"]
                .iter()
                .any(|words| contains_fold(near, words));
        if !of_account && !introduces.iter().any(|words| ends_with_fold(head, words)) {
            continue;
        }
        let rest = &text[at..text.len().min(at + 256)];
        let Some(length) = memchr::memchr(b'\'', rest) else { continue };
        if let Some(weight) = weigh_taken(Takes::Password, &rest[..length]) {
            sink.strike(at..at + length, weight.weak, "a password in a statement of SQL");
        }
        at += length + 1;
    }
}

const OPTION: &str = "a credential in an option of a command line";

/// The command that the words belong to.
#[derive(Default)]
struct Command<'t> {
    /// Its first plain words, its name without a folder.
    words: [&'t [u8]; shell::REMEMBERED],
    /// How many plain words it had.
    count: usize,
    /// What the word before expects of this one.
    waiting: Option<Waiting<'t>>,
}

impl<'t> Command<'t> {
    /// Counts a word.
    fn enter(&mut self, word: &Word<'t>) {
        if word.begins {
            *self = Self::default();
        }
        if !word.text.starts_with(b"-") {
            if let Some(place) = self.words.get_mut(self.count) {
                *place = if word.begins { shell::command_name(word.text) } else { word.text };
            }
            self.count += 1;
        }
    }

    /// Weighs a word by what the command makes of it.
    fn weigh(
        &mut self,
        own: &Own,
        waiting: Option<Waiting<'t>>,
        word: &Word<'t>,
    ) -> Option<(&'t [u8], Weight, &'static str)> {
        let text = word.text;
        let option = |weight: Option<Weight>| weight.map(|weight| (text, weight, OPTION));
        let [name, sub, ..] = self.words;
        match waiting {
            Some(Waiting::Named(name)) if !text.starts_with(b"-") => {
                return option(weigh_option(own, name, text));
            }
            Some(Waiting::Taking(takes)) => return option(weigh_taken(takes, text)),
            _ => {}
        }
        if !text.starts_with(b"-") {
            // `vault login -method=kubernetes role=web` gives no token.
            if shell::is_positional(&self.words, self.count.saturating_sub(1)) && !shell::is_assignment(text)
            {
                return weigh_taken(Takes::Password, text)
                    .map(|weight| (text, weight, "a credential in a command line"));
            }
            // `user shop on >password ~* +@all`: a line of Redis's ACL file, or of `ACL SETUSER`.
            let acl = name.eq_ignore_ascii_case(b"user") || name.eq_ignore_ascii_case(b"acl");
            let password =
                text.strip_prefix(b">").filter(|password| acl && self.count > 2 && !password.is_empty())?;
            return weigh_taken(Takes::Password, password)
                .map(|weight| (password, weight, "a password in an ACL of Redis"));
        }
        if let Some((takes, glued)) = shell::option(name, sub, text) {
            let is_long = text.starts_with(b"--");
            match glued {
                [b'=', glued @ ..] if is_long => return option(weigh_taken(takes, glued)),
                [_, ..] if !is_long => return option(weigh_taken(takes, glued)),
                _ => {}
            }
            self.waiting = (takes != Takes::Glued).then_some(Waiting::Taking(takes));
        } else if all(text, WORD | HYPHEN | DOT) {
            let hyphens = text.iter().take_while(|byte| **byte == b'-').count();
            self.waiting = Some(Waiting::Named(&text[hyphens..]));
        }
        None
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
