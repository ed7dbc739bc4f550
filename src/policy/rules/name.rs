//! What a name promises: split into words, the last one decides, and words around it switch it off.

use super::text::{ALNUM, CLASS, DIGIT, LETTER, LOWER, UPPER, class_at};

/// What kind of credential a name promises, by its last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A password, a passphrase: whatever literal stands there is one.
    Password,
    /// A secret of a protocol or a library: `CLIENT_SECRET`, `JWT_SECRET`.
    Secret,
    /// `SECRET` with nothing that tells a value from the name of a Secret object.
    BareSecret,
    /// The name of a Secret object, most likely: `TLS_SECRET`, `PULL_SECRET`.
    ObjectSecret,
    /// A token.
    Token,
    /// A key that is secret by its name: `API_KEY`, `SIGNING_KEY`.
    Key,
    /// A word that secrets have, and other things, too: `KEY` alone, `ACCESS`, `AUTH`, `SALT`.
    Weak,
    /// User and password in one: `BASIC_AUTH`, `USER_INFO`.
    Pair,
    /// A scheme and a credential: the header `Authorization`.
    Scheme,
}

/// A name that promises a credential.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    /// What it promises.
    pub(super) kind: Kind,
    /// The name.
    pub(super) name: &'a [u8],
}

/// The last eight bytes of a word, in lower case, and which of them count.
#[derive(Clone, Copy)]
struct Suffix {
    bits: u64,
    mask: u64,
}

/// Folds ASCII letters to lower case and leaves digits, dots and hyphens as they are.
const FOLD: u64 = 0x2020_2020_2020_2020;

const fn suffix(word: &str) -> Suffix {
    let bytes = word.as_bytes();
    let (mut bits, mut mask, mut taken) = (0_u64, 0_u64, 0);
    while taken < 8 && taken < bytes.len() {
        let shift = 56 - 8 * taken as u32;
        bits |= ((bytes[bytes.len() - 1 - taken] | 0x20) as u64) << shift;
        mask |= 0xff << shift;
        taken += 1;
    }
    Suffix { bits, mask }
}

/// The ends of names that are worth a closer look, by last letter: credential words, and words that may follow one.
const fn suffixes(letter: u8) -> &'static [Suffix] {
    match letter {
        b'd' => {
            const {
                &[
                    suffix("password"),
                    suffix("passwd"),
                    suffix("pwd"),
                    suffix("pswd"),
                    suffix("cred"),
                    suffix("token_id"),
                    suffix("prod"),
                    suffix("old"),
                ]
            }
        }
        b's' => {
            const {
                &[
                    suffix("pass"),
                    suffix("credentials"),
                    suffix("creds"),
                    suffix("access"),
                    suffix("previous"),
                ]
            }
        }
        b'e' => {
            const {
                &[
                    suffix("passphrase"),
                    suffix("passcode"),
                    suffix("cookie"),
                    suffix("private"),
                    suffix("value"),
                    suffix("stage"),
                    suffix("signature"),
                ]
            }
        }
        b'w' => const { &[suffix("pw"), suffix("raw"), suffix("new"), suffix("psw")] },
        b't' => {
            const {
                &[
                    suffix("secret"),
                    suffix("salt"),
                    suffix("jwt"),
                    suffix("default"),
                    suffix("plaintext"),
                    suffix("test"),
                    suffix("current"),
                    suffix("pat"),
                ]
            }
        }
        b'n' => {
            const {
                &[
                    suffix("token"),
                    suffix("production"),
                    suffix("authorization"),
                    suffix("pin"),
                    suffix("plain"),
                ]
            }
        }
        b'y' => const { &[suffix("key"), suffix("primary"), suffix("secondary")] },
        b'r' => const { &[suffix("pepper")] },
        b'h' => const { &[suffix("auth")] },
        b'l' => const { &[suffix("credential"), suffix("local")] },
        b'o' => const { &[suffix("userinfo"), suffix("user_info"), suffix("user.info")] },
        b'v' => const { &[suffix("dev")] },
        b'g' => const { &[suffix("staging")] },
        b'p' => const { &[suffix("backup")] },
        b'a' => const { &[suffix("senha")] },
        _ => &[],
    }
}

/// Words that say which one or in what form, after a credential word, and leave it one.
const TRANSPARENT: &[&[u8]] = &[
    b"prod",
    b"production",
    b"dev",
    b"stage",
    b"staging",
    b"test",
    b"local",
    b"old",
    b"new",
    b"current",
    b"previous",
    b"primary",
    b"secondary",
    b"backup",
    b"value",
    b"plain",
    b"plaintext",
    b"raw",
    b"default",
];

/// Whether the end of a name is worth a closer look. Nearly every name ends here, so it reads eight bytes once.
pub(super) fn may_promise(name: &[u8]) -> bool {
    let Some(last) = name.iter().rposition(|byte| CLASS[usize::from(*byte)] & LETTER != 0) else {
        return false;
    };
    let head = &name[..=last];
    let tail = match head.last_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => {
            head.iter()
                .rev()
                .fold((0_u64, 56_i32), |(bits, shift), byte| (bits | u64::from(*byte) << shift, shift - 8))
                .0
        }
    } | FOLD;
    let known = suffixes((tail >> 56) as u8).iter().any(|suffix| tail & suffix.mask == suffix.bits);
    // A letter that counts (`TOKEN_A`) is a word of its own.
    known || (last > 1 && class_at(name, last - 1) & ALNUM == 0)
}

/// What a name promises, if it does.
pub(super) fn judge(name: &[u8]) -> Option<Named<'_>> {
    if !may_promise(name) {
        return None;
    }
    let mut rest = name;
    for _ in 0..3 {
        let (head, word) = split_last(rest)?;
        let one_letter = word.len() == 1 && !head.is_empty();
        if !(one_letter || TRANSPARENT.iter().any(|known| known.eq_ignore_ascii_case(word))) {
            let kind = classify(head, word)?;
            return switched_on(head, kind).then_some(Named { kind, name });
        }
        rest = head;
    }
    None
}

/// What the last word says, with the one before it.
fn classify(head: &[u8], word: &[u8]) -> Option<Kind> {
    let before = split_last(head).map_or(&b""[..], |(_, before)| before);
    let before_that =
        split_last(head).and_then(|(head, _)| split_last(head)).map_or(&b""[..], |(_, word)| word);
    let is = |known: &[&[u8]]| known.iter().any(|known| known.eq_ignore_ascii_case(word));
    let after = |known: &[&[u8]]| known.iter().any(|known| known.eq_ignore_ascii_case(before));
    if is(&[
        b"password",
        b"passwd",
        b"pass",
        b"pwd",
        b"pswd",
        b"psw",
        b"pw",
        b"passphrase",
        b"passcode",
        b"senha",
    ]) {
        return Some(Kind::Password);
    }
    if is(&[b"secret"]) {
        return Some(secret_kind(before));
    }
    if is(&[b"token", b"jwt"])
        || (is(&[b"id"]) && after(&[b"token"]) && before_that.eq_ignore_ascii_case(b"root"))
    {
        return Some(Kind::Token);
    }
    if is(&[b"key"]) {
        return if after(SECRET_KEYS) { Some(Kind::Key) } else { (!after(OTHER_KEYS)).then_some(Kind::Weak) };
    }
    if is(&[b"cookie"]) && after(&[b"erlang"]) {
        return Some(Kind::Password);
    }
    if is(&[b"userinfo", b"auth", b"cred", b"creds", b"credential", b"credentials"])
        || (is(&[b"info"]) && after(&[b"user"]))
    {
        return Some(Kind::Pair);
    }
    if is(&[b"authorization"]) {
        return Some(Kind::Scheme);
    }
    if is(&[b"access", b"private", b"salt", b"pepper", b"cookie", b"pat", b"pin", b"signature"]) {
        return Some(Kind::Weak);
    }
    glued(word)
}

/// Words before `KEY` that make it a secret one.
const SECRET_KEYS: &[&[u8]] = &[
    b"api",
    b"secret",
    b"private",
    b"signing",
    b"sign",
    b"signature",
    b"encryption",
    b"encrypt",
    b"decryption",
    b"crypt",
    b"crypto",
    b"cipher",
    b"master",
    b"hmac",
    b"jwt",
    b"shared",
    b"auth",
];

/// Words before `KEY` that make it the name of a column, a place in a store, a topic: never a secret.
const OTHER_KEYS: &[&[u8]] = &[
    b"public",
    b"pub",
    b"primary",
    b"foreign",
    b"partition",
    b"sort",
    b"routing",
    b"cache",
    b"map",
    b"idx",
    b"index",
    b"bucket",
    b"schema",
    b"sequence",
    b"hot",
    b"object",
    b"row",
    b"column",
    b"range",
    b"hash",
    b"group",
    b"taint",
    b"label",
    b"annotation",
    b"topic",
    b"message",
    b"event",
    b"project",
    b"site",
    b"publishable",
    b"unique",
    b"sharding",
    b"shard",
    b"config",
    b"configmap",
    b"selector",
    b"issue",
    b"tag",
    b"registry",
    b"host",
    b"lookup",
    b"join",
];

/// What stands before `SECRET` tells a value from the name of a Secret object.
fn secret_kind(before: &[u8]) -> Kind {
    const VALUES: &[&[u8]] = &[
        b"client",
        b"jwt",
        b"session",
        b"cookie",
        b"http",
        b"oauth",
        b"oauth2",
        b"auth",
        b"api",
        b"app",
        b"shared",
        b"hmac",
        b"signing",
        b"encryption",
        b"refresh",
        b"access",
        b"csrf",
        b"secretkey",
        b"consumer",
        b"rpc",
        b"nextauth",
    ];
    const OBJECTS: &[&[u8]] = &[
        b"pull",
        b"tls",
        b"cert",
        b"certs",
        b"certificate",
        b"certificates",
        b"ca",
        b"kube",
        b"k8s",
        b"kubernetes",
        b"ssl",
        b"image",
        b"images",
        b"serving",
        b"ingress",
        b"environment",
        b"env",
        b"credentials",
        b"creds",
        b"registry",
        b"docker",
        b"webhook",
        b"ssh",
        b"from",
        b"existing",
        b"target",
        b"source",
        b"ref",
        b"config",
    ];
    let is = |known: &[&[u8]]| known.iter().any(|word| word.eq_ignore_ascii_case(before));
    if is(VALUES) {
        Kind::Secret
    } else if is(OBJECTS) {
        Kind::ObjectSecret
    } else {
        Kind::BareSecret
    }
}

/// Credential words at the end of a word that is written without a border: `PGPASSWORD`, `dbpass`, `MAPSAPIKEY`.
fn glued(word: &[u8]) -> Option<Kind> {
    const ENDS: &[(&[u8], Kind)] = &[
        (b"password", Kind::Password),
        (b"passwd", Kind::Password),
        (b"passphrase", Kind::Password),
        (b"pwd", Kind::Password),
        (b"pass", Kind::Password),
        (b"secret", Kind::BareSecret),
        (b"token", Kind::Token),
        (b"apikey", Kind::Key),
        (b"secretkey", Kind::Key),
        (b"privatekey", Kind::Key),
        (b"masterkey", Kind::Key),
        (b"key", Kind::Weak),
        (b"access", Kind::Weak),
        (b"private", Kind::Weak),
        (b"auth", Kind::Weak),
        (b"creds", Kind::Pair),
    ];
    // Words of the language that end so, and keys of another kind.
    const OTHERS: &[&[u8]] = &[
        b"bypass",
        b"compass",
        b"trespass",
        b"surpass",
        b"encompass",
        b"underpass",
        b"overpass",
        b"nopass",
        b"monkey",
        b"turkey",
        b"hotkey",
        b"publickey",
        b"pubkey",
        b"primarykey",
        b"foreignkey",
        b"sitekey",
        b"whiskey",
        b"hockey",
        b"pkey",
        b"cachekey",
        b"sortkey",
        b"rowkey",
    ];
    if OTHERS.iter().any(|other| other.eq_ignore_ascii_case(word)) {
        return None;
    }
    ENDS.iter().find(|(end, _)| super::text::ends_with_fold(word, end)).map(|(_, kind)| *kind)
}

/// Whether no word before the credential word switches it off.
fn switched_on(head: &[u8], kind: Kind) -> bool {
    /// It is for everybody, or it is about a credential and is none, or it stands for one that is not plain.
    const ANY: &[&[u8]] = &[
        b"public",
        b"pub",
        b"publishable",
        b"allow",
        b"empty",
        b"require",
        b"requires",
        b"required",
        b"enable",
        b"enabled",
        b"disable",
        b"disabled",
        b"strict",
        b"csrf",
        b"xsrf",
        b"checksum",
        b"hash",
        b"hashed",
        b"sha",
        b"sha256",
        b"digest",
        b"not",
        b"non",
        b"encrypted",
        b"sealed",
        b"random",
    ];
    /// It counts or bounds.
    const COUNTS: &[&[u8]] =
        &[b"max", b"min", b"num", b"count", b"stop", b"pad", b"eos", b"bos", b"unk", b"mask", b"sep"];
    let mut rest = head;
    while let Some((head, word)) = split_last(rest) {
        let is = |known: &[&[u8]]| known.iter().any(|known| known.eq_ignore_ascii_case(word));
        if is(ANY)
            || (kind == Kind::Token && is(COUNTS))
            || (head.is_empty() && is(&[b"use", b"no", b"is", b"has", b"skip"]))
        {
            return false;
        }
        rest = head;
    }
    true
}

/// Whether a credential word stands anywhere in a name, and its last word does not switch it off: with a value that looks
/// random, that is probably one.
pub(super) fn mentions(name: &[u8]) -> bool {
    /// What stands after a credential word and makes the whole something else.
    const OFF: &[&[u8]] = &[
        b"file",
        b"path",
        b"dir",
        b"location",
        b"mount",
        b"name",
        b"names",
        b"id",
        b"ids",
        b"ref",
        b"namespace",
        b"store",
        b"version",
        b"ttl",
        b"expiry",
        b"expires",
        b"url",
        b"uri",
        b"host",
        b"endpoint",
        b"hash",
        b"digest",
        b"sha",
        b"sha256",
        b"checksum",
        b"arn",
        b"type",
        b"algorithm",
        b"issuer",
        b"audience",
        b"fingerprint",
        b"thumbprint",
        b"alias",
        b"role",
        b"user",
        b"username",
        b"email",
        b"cert",
        b"crt",
        b"pem",
        b"image",
        b"tag",
        b"signatures",
        b"signature",
        b"vault",
        b"cluster",
        b"bucket",
        b"table",
        b"class",
        b"pair",
        b"option",
    ];
    let Some((_, last)) = split_last(name) else { return false };
    if OFF.iter().any(|off| off.eq_ignore_ascii_case(last)) {
        return false;
    }
    let mut rest = name;
    while let Some((head, word)) = split_last(rest) {
        if classify(head, word).is_some_and(|kind| kind != Kind::Pair && switched_on(head, kind)) {
            return true;
        }
        rest = head;
    }
    false
}

/// The last word of a name and what stands before it. Words end at anything that is no letter or digit, and where a
/// capital follows a small letter (`jwtSecret`) or stands before one (`DBPassword`); digits after a word belong to nothing.
pub(super) fn split_last(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let last = name.iter().rposition(|byte| CLASS[usize::from(*byte)] & LETTER != 0)?;
    let mut from = last;
    while from > 0 {
        let (left, here) = (class_at(name, from - 1), class_at(name, from));
        let right = if from < last { class_at(name, from + 1) } else { 0 };
        let border = left & (LETTER | DIGIT) == 0
            || (left & (LOWER | DIGIT) != 0 && here & UPPER != 0 && right & LOWER != 0)
            || (left & LOWER != 0 && here & UPPER != 0)
            || (left & UPPER != 0 && here & UPPER != 0 && right & LOWER != 0);
        if border {
            break;
        }
        from -= 1;
    }
    Some((&name[..from], &name[from..=last]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> Option<Kind> {
        judge(name.as_bytes()).map(|named| named.kind)
    }

    #[test]
    fn the_last_word_decides() {
        for (name, expected) in [
            ("POSTGRES_PASSWORD", Some(Kind::Password)),
            ("PGPASSWORD", Some(Kind::Password)),
            ("spring.datasource.password", Some(Kind::Password)),
            ("javax_jdo_option_ConnectionPassword", Some(Kind::Password)),
            ("DB_PASS", Some(Kind::Password)),
            ("RABBITMQ_ERLANG_COOKIE", Some(Kind::Password)),
            ("PASSWORD_2", Some(Kind::Password)),
            ("DB_PASSWORD_PROD", Some(Kind::Password)),
            ("OAuthJwtSecret", Some(Kind::Secret)),
            ("TS_KUBE_SECRET", Some(Kind::ObjectSecret)),
            ("VAULT_DEV_ROOT_TOKEN_ID", Some(Kind::Token)),
            ("apiKey", Some(Kind::Key)),
            ("API-KEY", Some(Kind::Key)),
            ("AZURE_BATCH_KEY", Some(Kind::Weak)),
            ("basic.auth.user.info", Some(Kind::Pair)),
            ("PASSWORD_FILE", None),
            ("TOKEN_TTL", None),
            ("MAX_TOKENS", None),
            ("MYSQL_ALLOW_EMPTY_PASSWORD", None),
            ("BYPASS", None),
            ("COMPASS", None),
            ("FOREIGN_KEY", None),
            ("STRIPE_PUBLIC_KEY", None),
            ("NOT_A_SECRET", None),
            ("checksum/secret", None),
            ("MONKEY", None),
            ("AUTHOR", None),
            ("", None),
            ("___", None),
            ("\u{fc}ber_pa\u{df}", None),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }

    #[test]
    fn the_quick_look_lets_every_promise_through() {
        for name in [
            "PASSWORD",
            "pw",
            "a.pwd",
            "TOKEN_A",
            "TOKEN",
            "x_token_id",
            "DB_PASS_1",
            "SECRET_VALUE",
            "senha",
        ] {
            assert!(may_promise(name.as_bytes()), "{name}");
        }
        assert!(!may_promise(b"LOG_LEVEL"));
        assert!(!may_promise(b"POSTGRES_HOST"));
    }
}
