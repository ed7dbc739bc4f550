//! Passwords that anyone would guess: words of every list of them, the user's or the product's own name, with numbers.

/// Words that stock passwords are made of, in small letters: words for a password, default users, words of every list of
/// common passwords, and products whose documentation uses their name as the password.
const WORDS: &[&[u8]] = &[
    b"password",
    b"passwort",
    b"passw0rd",
    b"p@ssw0rd",
    b"p@ssword",
    b"pa55word",
    b"pass@word",
    b"passwd",
    b"pass",
    b"pwd",
    b"secret",
    b"supersecret",
    b"super",
    b"very",
    b"not",
    b"so",
    b"insecure",
    b"topsecret",
    b"mysecret",
    b"senha",
    b"clave",
    b"geheim",
    b"changeit",
    b"admin",
    b"administrator",
    b"root",
    b"toor",
    b"user",
    b"username",
    b"guest",
    b"test",
    b"testing",
    b"tester",
    b"demo",
    b"dev",
    b"develop",
    b"developer",
    b"default",
    b"example",
    b"sample",
    b"dummy",
    b"local",
    b"app",
    b"application",
    b"service",
    b"db",
    b"database",
    b"letmein",
    b"welcome",
    b"qwerty",
    b"qwertz",
    b"azerty",
    b"abc",
    b"iloveyou",
    b"monkey",
    b"dragon",
    b"master",
    b"hello",
    b"world",
    b"foobar",
    b"foo",
    b"bar",
    b"baz",
    b"my",
    b"token",
    b"key",
    b"postgres",
    b"postgresql",
    b"mysql",
    b"mariadb",
    b"mongo",
    b"mongodb",
    b"redis",
    b"rabbitmq",
    b"rabbit",
    b"minio",
    b"minioadmin",
    b"keycloak",
    b"grafana",
    b"elastic",
    b"elasticsearch",
    b"kibana",
    b"oracle",
    b"wordpress",
    b"rancher",
    b"cassandra",
    b"neo4j",
    b"influxdb",
    b"influx",
    b"nexus",
    b"sonar",
    b"jenkins",
    b"airflow",
    b"kafka",
    b"vault",
    b"litmus",
    b"camunda",
    b"moodle",
    b"drupal",
    b"joomla",
    b"odoo",
    b"gitea",
    b"harbor",
    b"sa",
    b"auth",
];

/// Whether anyone would guess a value: a word, a few words in a row, or the words of its own name, with digits and signs.
pub(super) fn is_stock(value: &[u8], name: &[u8]) -> bool {
    if value.len() > 32 {
        return false;
    }
    let mut folded = [0_u8; 32];
    folded[..value.len()].copy_from_slice(value);
    folded.make_ascii_lowercase();
    let mut rest = &folded[..value.len()];
    let mut words = 0;
    while !rest.is_empty() {
        if let Some(length) = longest_word(rest).max(own_word(rest, name)) {
            rest = &rest[length..];
            words += 1;
        } else if matches!(rest[0], b'0'..=b'9' | b'!' | b'@' | b'#' | b'.' | b'-' | b'_' | b'$' | b'*') {
            rest = &rest[1..];
        } else {
            return false;
        }
    }
    words > 0 || is_count(value)
}

/// The longest stock word that a text begins with.
fn longest_word(text: &[u8]) -> Option<usize> {
    WORDS.iter().filter(|word| text.starts_with(word)).map(|word| word.len()).max()
}

/// The longest word of a name that a text begins with: `KC_DB_PASSWORD=kc`.
fn own_word(text: &[u8], name: &[u8]) -> Option<usize> {
    name.split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|word| word.len() >= 2 && super::text::starts_with_fold(text, word))
        .map(<[u8]>::len)
        .max()
}

/// Whether a value is a word of every list of passwords with a few digits behind it: one that says what it is on its own.
pub(super) fn says_itself(value: &[u8]) -> bool {
    const HEADS: &[&[u8]] = &[
        b"password",
        b"passw0rd",
        b"p@ssw0rd",
        b"p@ssword",
        b"passwd",
        b"secret",
        b"admin",
        b"root",
        b"qwerty",
        b"welcome",
    ];
    let head = HEADS.iter().find(|head| super::text::starts_with_fold(value, head));
    let rest = head.map(|head| value[head.len()..].trim_ascii_end()).unwrap_or_default();
    let rest = rest.strip_suffix(b"!").unwrap_or(rest);
    let rest = rest.strip_prefix(b"@").unwrap_or(rest);
    (3..=6).contains(&rest.len()) && rest.iter().all(u8::is_ascii_digit)
}

/// `1234`, `000000`, `123456789`: nothing but a few digits.
fn is_count(value: &[u8]) -> bool {
    (1..=10).contains(&value.len()) && value.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_passwords_are_words_and_numbers() {
        for value in
            ["admin", "Admin123!", "rootpassword", "postgres", "1234", "user-pass", "P@ssw0rd", "secret123"]
        {
            assert!(is_stock(value.as_bytes(), b""), "{value}");
        }
        assert!(is_stock(b"kc", b"KC_DB_PASSWORD"));
        for value in ["tr0ub4dor&3", "Zq8mT3vLx0", "correct horse", "adminx", ""] {
            assert!(!is_stock(value.as_bytes(), b"DB_PASSWORD"), "{value}");
        }
    }
}
