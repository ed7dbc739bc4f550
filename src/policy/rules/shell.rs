//! Words of a command line inside a text, and the options of well-known commands that take a credential.

use std::ops::Range;

use super::text::{QUOTE, SPACE, class_at};

/// A word of a command line.
#[derive(Debug)]
pub(super) struct Word<'t> {
    /// The word without its quotes.
    pub(super) text: &'t [u8],
    /// Where it stands.
    pub(super) span: Range<usize>,
    /// Whether a new command begins with it.
    pub(super) begins: bool,
}

/// The words of a text, as a shell would split it, roughly: quotes hold blanks together, nothing is expanded.
pub(super) struct Words<'t> {
    text: &'t [u8],
    at: usize,
    begins: bool,
    /// Closing signs that do not occur any more: each is looked for in vain once, not once for each opening.
    missing: Vec<u8>,
}

impl<'t> Words<'t> {
    /// All words of a text.
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0, begins: true, missing: Vec::new() }
    }

    fn skip_blanks(&mut self) {
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'\\' if matches!(self.text.get(self.at + 1), Some(b'\n')) => self.at += 1,
                b'\n' | b';' | b'|' | b'(' | b')' | b'`' => self.begins = true,
                // `~&*` is a word of Redis's, `a && b` and `a &` are commands.
                b'&' if matches!(self.text.get(self.at + 1), None | Some(b'&' | b' ' | b'\n')) => {
                    self.begins = true
                }
                _ if class_at(self.text, self.at) & SPACE != 0 => {}
                _ => return,
            }
            self.at += 1;
        }
    }

    /// Where a quoted part ends, or the next blank if it does not end.
    fn quoted_end(&mut self, from: usize, quote: u8) -> usize {
        if self.missing.contains(&quote) {
            return from;
        }
        let found = memchr::memchr(quote, &self.text[from..]);
        if found.is_none() {
            self.missing.push(quote);
        }
        found.map_or(from, |length| from + length + 1)
    }
}

impl<'t> Iterator for Words<'t> {
    type Item = Word<'t>;

    fn next(&mut self) -> Option<Word<'t>> {
        self.skip_blanks();
        let start = self.at;
        let mut begins = std::mem::replace(&mut self.begins, false);
        while let Some(&byte) = self.text.get(self.at) {
            if class_at(self.text, self.at) & SPACE != 0 || matches!(byte, b';' | b'|' | b')' | b'`') {
                break;
            }
            let expansion = byte == b'$' && matches!(self.text.get(self.at + 1), Some(b'(' | b'{'));
            self.at += 1;
            if class_at(self.text, self.at - 1) & QUOTE != 0 {
                self.at = self.quoted_end(self.at, byte);
            } else if expansion {
                let close = if self.text[self.at] == b'(' { b')' } else { b'}' };
                self.at = self.quoted_end(self.at, close);
            }
        }
        if start == self.at {
            return None;
        }
        let span = start..self.at;
        let raw = &self.text[span.clone()];
        // What comes before a command belongs to it: `A=b`, `sudo`, `if`.
        if begins && (is_wrapper(raw) || is_assignment(raw)) {
            self.begins = true;
            begins = false;
        }
        Some(Word { text: super::text::unquote(raw), span, begins })
    }
}

fn is_wrapper(word: &[u8]) -> bool {
    matches!(
        word,
        b"sudo"
            | b"exec"
            | b"env"
            | b"time"
            | b"nohup"
            | b"if"
            | b"while"
            | b"until"
            | b"then"
            | b"do"
            | b"else"
            | b"!"
            | b"{"
    )
}

/// `A=b`: a variable of a command, or a parameter.
pub(super) fn is_assignment(word: &[u8]) -> bool {
    let name = super::text::run_end(word, 0, super::text::WORD);
    name > 0 && word.get(name) == Some(&b'=')
}

/// How an option of a command takes a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// The password, glued to the option or in the next word.
    Password,
    /// The password, glued to the option only: `mysql -p x` asks for the password and opens the database `x`.
    Glued,
    /// `user:password` in the next word.
    Pair,
}

/// Commands and their short options.
const OPTIONS: &[(&[u8], &[u8], Takes)] = &[
    (b"mysql", b"-p", Takes::Glued),
    (b"mysqldump", b"-p", Takes::Glued),
    (b"mysqladmin", b"-p", Takes::Glued),
    (b"mysqlcheck", b"-p", Takes::Glued),
    (b"mysqlimport", b"-p", Takes::Glued),
    (b"mariadb", b"-p", Takes::Glued),
    (b"mariadb-dump", b"-p", Takes::Glued),
    (b"mariadb-admin", b"-p", Takes::Glued),
    (b"sshpass", b"-p", Takes::Password),
    (b"mongo", b"-p", Takes::Password),
    (b"mongosh", b"-p", Takes::Password),
    (b"mongodump", b"-p", Takes::Password),
    (b"mongorestore", b"-p", Takes::Password),
    (b"redis-cli", b"-a", Takes::Password),
    (b"valkey-cli", b"-a", Takes::Password),
    (b"ldapsearch", b"-w", Takes::Password),
    (b"ldapadd", b"-w", Takes::Password),
    (b"ldapmodify", b"-w", Takes::Password),
    (b"sqlcmd", b"-P", Takes::Password),
    (b"docker", b"-p", Takes::Password),
    (b"helm", b"-p", Takes::Password),
    (b"podman", b"-p", Takes::Password),
    (b"oras", b"-p", Takes::Password),
    (b"rabbitmqadmin", b"-p", Takes::Password),
    (b"cqlsh", b"-p", Takes::Password),
    (b"unzip", b"-P", Takes::Password),
    (b"mosquitto_pub", b"-P", Takes::Password),
    (b"mosquitto_sub", b"-P", Takes::Password),
    (b"ipmitool", b"-P", Takes::Password),
    (b"snmpwalk", b"-A", Takes::Password),
    (b"snmpwalk", b"-X", Takes::Password),
    (b"skopeo", b"--creds", Takes::Pair),
    (b"skopeo", b"--src-creds", Takes::Pair),
    (b"skopeo", b"--dest-creds", Takes::Pair),
    (b"http", b"-a", Takes::Pair),
    (b"curl", b"-U", Takes::Pair),
    (b"etcdctl", b"--user", Takes::Pair),
    (b"curl", b"-u", Takes::Pair),
    (b"curl", b"--user", Takes::Pair),
    (b"curl", b"--proxy-user", Takes::Pair),
];

/// How a word is an option of a command, and what is glued to it.
pub(super) fn option<'w>(command: &[u8], sub: &[u8], word: &'w [u8]) -> Option<(Takes, &'w [u8])> {
    let (_, flag, takes) =
        OPTIONS.iter().find(|(name, flag, _)| *name == command && word.starts_with(flag))?;
    // `docker -p` publishes a port everywhere but in `login`.
    if matches!(command, b"docker" | b"helm" | b"podman" | b"oras") && sub != b"login" && sub != b"registry" {
        return None;
    }
    Some((*takes, &word[flag.len()..]))
}

/// Commands that take a credential as a plain word: their first words, and which word it is, options not counted.
const POSITIONS: &[(&[&[u8]], usize)] = &[
    (&[b"mc", b"alias", b"set"], 6),
    (&[b"mc", b"config", b"host", b"add"], 7),
    (&[b"rabbitmqctl", b"add_user"], 3),
    (&[b"rabbitmqctl", b"change_password"], 3),
    (&[b"vault", b"login"], 2),
    (&[b"vault", b"operator", b"unseal"], 3),
    (&[b"htpasswd"], 3),
    (&[b"mosquitto_passwd"], 3),
    (&[b"redis-cli", b"AUTH"], 2),
    (&[b"redis-cli", b"CONFIG", b"SET", b"requirepass"], 4),
];

/// How many plain words of a command are remembered: those that tell the commands of `POSITIONS` apart.
pub(super) const REMEMBERED: usize = 4;

/// Whether the plain word at a position of a command is a credential.
pub(super) fn is_positional(words: &[&[u8]], position: usize) -> bool {
    POSITIONS.iter().any(|(first, at)| *at == position && words.starts_with(first))
}

/// Whether a command takes a credential in a place that only its name tells.
pub(super) fn takes_credentials(command: &[u8]) -> bool {
    let command = command_name(command);
    OPTIONS.iter().any(|(name, _, _)| *name == command)
        || POSITIONS.iter().any(|(words, _)| words.first().is_some_and(|word| *word == command))
}

/// The name of a command without its folder.
pub(super) fn command_name(word: &[u8]) -> &[u8] {
    word.rsplit(|byte| *byte == b'/').next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_a_shell_would_split_them() {
        let text = b"mysql -u root -p'a b' x; echo \"$(date)\" \\\n --y=$(cat z w) | cat";
        let words: Vec<(String, bool)> =
            Words::new(text).map(|word| (String::from_utf8_lossy(word.text).into(), word.begins)).collect();
        let expected = [
            ("mysql", true),
            ("-u", false),
            ("root", false),
            ("-p'a b'", false),
            ("x", false),
            ("echo", true),
            ("$(date)", false),
            ("--y=$(cat z w)", false),
            ("cat", true),
        ];
        assert_eq!(words, expected.map(|(word, begins)| (word.to_owned(), begins)));
    }
}
