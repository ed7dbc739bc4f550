//! What a name promises: split into words, the last one decides, and words around it switch it off.

use super::ending::may_promise;
use super::text::{CLASS, DIGIT, LETTER, LOWER, UPPER, class_at};

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

/// A word in small letters, for a `match`. A longer word is no word of ours; its end is looked at by `glued`.
struct Folded {
    bytes: [u8; 16],
    length: usize,
}

impl Folded {
    fn new(word: &[u8]) -> Self {
        let mut bytes = [0; 16];
        let length = if word.len() <= bytes.len() { word.len() } else { 0 };
        bytes[..length].copy_from_slice(&word[..length]);
        bytes.make_ascii_lowercase();
        Self { bytes, length }
    }

    fn word(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
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
        if !(one_letter || is_transparent(Folded::new(word).word())) {
            let kind = classify(head, word)?;
            return switched_on(head, kind).then_some(Named { kind, name });
        }
        rest = head;
    }
    None
}

/// Words that say which one or in what form, after a credential word, and leave it one.
#[rustfmt::skip]
fn is_transparent(word: &[u8]) -> bool {
    matches!(word, b"prod" | b"production" | b"dev" | b"stage" | b"staging" | b"test" | b"local" | b"old" | b"new"
        | b"current" | b"previous" | b"primary" | b"secondary" | b"backup" | b"value" | b"plain" | b"plaintext" | b"raw"
        | b"default")
}

/// What the last word says, with the one before it.
#[rustfmt::skip]
fn classify(head: &[u8], word: &[u8]) -> Option<Kind> {
    let (earlier, before) = split_last(head).unwrap_or((b"", b""));
    let before = Folded::new(before);
    match Folded::new(word).word() {
        b"password" | b"passwords" | b"passwd" | b"pass" | b"pwd" | b"pswd" | b"psw" | b"pw" | b"passphrase" | b"passcode" | b"senha" => {
            Some(Kind::Password)
        }
        b"secret" => Some(secret_kind(before.word())),
        b"token" | b"jwt" => Some(Kind::Token),
        // Vault's development server takes its root token by this name.
        b"id" => {
            let root = split_last(earlier).is_some_and(|(_, word)| word.eq_ignore_ascii_case(b"root"));
            (before.word() == b"token" && root).then_some(Kind::Token)
        }
        b"key" => key_kind(before.word(), earlier),
        // `SECRET_KEY_BASE` of Rails.
        b"base" => {
            let secret = split_last(earlier).is_some_and(|(_, word)| word.eq_ignore_ascii_case(b"secret"));
            (before.word() == b"key" && secret).then_some(Kind::Key)
        }
        // What opens a door and is typed in: `ACCESS_CODE`. Codes of countries and states do not.
        b"code" => matches!(before.word(), b"access" | b"auth" | b"security" | b"pin").then_some(Kind::Token),
        b"auth" if before.word() == b"rediscli" => Some(Kind::Password),
        b"cookie" if before.word() == b"erlang" => Some(Kind::Password),
        b"userinfo" | b"auth" | b"cred" | b"creds" | b"credential" | b"credentials" => Some(Kind::Pair),
        b"info" => (before.word() == b"user").then_some(Kind::Pair),
        b"authorization" => Some(Kind::Scheme),
        b"access" | b"private" | b"salt" | b"pepper" | b"cookie" | b"pat" | b"pin" | b"signature" => Some(Kind::Weak),
        _ => glued(word),
    }
}

/// What stands before `KEY` makes it a secret one, or the name of a column, a place in a store, a topic.
#[rustfmt::skip]
fn key_kind(before: &[u8], earlier: &[u8]) -> Option<Kind> {
    match before {
        // `ACCESS_KEY` is the name half of a pair of S3's kind, `SECRET_ACCESS_KEY` the other one.
        b"access" if split_last(earlier).is_some_and(|(_, word)| word.eq_ignore_ascii_case(b"secret")) => Some(Kind::Key),
        b"api" | b"secret" | b"private" | b"signing" | b"sign" | b"signature" | b"encryption" | b"encrypt" | b"decryption"
        | b"crypt" | b"crypto" | b"cipher" | b"master" | b"hmac" | b"jwt" | b"shared" | b"auth" => Some(Kind::Key),
        b"public" | b"pub" | b"primary" | b"foreign" | b"partition" | b"sort" | b"routing" | b"cache" | b"map" | b"idx"
        | b"index" | b"bucket" | b"schema" | b"sequence" | b"hot" | b"object" | b"row" | b"column" | b"range" | b"hash"
        | b"group" | b"taint" | b"label" | b"annotation" | b"topic" | b"message" | b"event" | b"project" | b"site"
        | b"publishable" | b"unique" | b"sharding" | b"shard" | b"config" | b"configmap" | b"selector" | b"issue" | b"tag"
        | b"registry" | b"host" | b"lookup" | b"join" => None,
        _ => Some(Kind::Weak),
    }
}

/// What stands before `SECRET` tells a value from the name of a Secret object.
#[rustfmt::skip]
fn secret_kind(before: &[u8]) -> Kind {
    match before {
        b"client" | b"jwt" | b"session" | b"cookie" | b"http" | b"oauth" | b"oauth2" | b"auth" | b"api" | b"app" | b"shared"
        | b"hmac" | b"signing" | b"encryption" | b"refresh" | b"access" | b"consumer" | b"rpc" | b"nextauth" | b"admin"
        | b"master" | b"state" | b"core" | b"rails" | b"flask" | b"django" => Kind::Secret,
        b"pull" | b"tls" | b"cert" | b"certs" | b"certificate" | b"certificates" | b"ca" | b"kube" | b"k8s" | b"kubernetes"
        | b"ssl" | b"image" | b"images" | b"serving" | b"ingress" | b"environment" | b"env" | b"credentials" | b"creds"
        | b"registry" | b"docker" | b"webhook" | b"ssh" | b"from" | b"existing" | b"target" | b"source" | b"ref"
        | b"config" => Kind::ObjectSecret,
        _ => Kind::BareSecret,
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
    let other = matches!(
        Folded::new(word).word(),
        b"bypass"
            | b"compass"
            | b"trespass"
            | b"surpass"
            | b"encompass"
            | b"underpass"
            | b"overpass"
            | b"nopass"
            | b"monkey"
            | b"turkey"
            | b"hotkey"
            | b"publickey"
            | b"pubkey"
            | b"primarykey"
            | b"foreignkey"
            | b"sitekey"
            | b"whiskey"
            | b"hockey"
            | b"pkey"
            | b"cachekey"
            | b"sortkey"
            | b"rowkey"
    );
    if other {
        return None;
    }
    ENDS.iter().find(|(end, _)| super::text::ends_with_fold(word, end)).map(|(_, kind)| *kind)
}

/// Whether no word before the credential word switches it off.
pub(super) fn switched_on(head: &[u8], kind: Kind) -> bool {
    let mut rest = head;
    while let Some((head, word)) = split_last(rest) {
        let off = match Folded::new(word).word() {
            // It is for everybody, or it is about a credential and is none, or it stands for one that is not plain.
            b"public" | b"pub" | b"publishable" | b"allow" | b"empty" | b"require" | b"requires"
            | b"required" | b"enable" | b"enabled" | b"disable" | b"disabled" | b"strict" | b"csrf"
            | b"xsrf" | b"checksum" | b"hash" | b"hashed" | b"sha" | b"sha256" | b"digest" | b"not"
            | b"non" | b"encrypted" | b"sealed" | b"random" => true,
            // It counts or bounds, or is a token of a language.
            b"max" | b"min" | b"num" | b"count" | b"stop" | b"pad" | b"eos" | b"bos" | b"unk" | b"mask"
            | b"sep" => kind == Kind::Token,
            b"use" | b"no" | b"is" | b"has" | b"skip" => head.is_empty(),
            _ => false,
        };
        if off {
            return false;
        }
        rest = head;
    }
    true
}

/// Whether a credential word stands anywhere in a name, and its last word does not switch it off: with a value that looks
/// random, that is probably one.
pub(super) fn mentions(name: &[u8]) -> bool {
    let Some((_, last)) = split_last(name) else { return false };
    if is_about(Folded::new(last).word()) {
        return false;
    }
    let mut rest = name;
    while let Some((head, word)) = split_last(rest) {
        let promises = may_promise(word)
            && classify(head, word)
                .is_some_and(|kind| !matches!(kind, Kind::Pair | Kind::Weak) && switched_on(head, kind));
        if promises {
            return true;
        }
        rest = head;
    }
    false
}

/// What stands after a credential word and makes the whole something else.
#[rustfmt::skip]
fn is_about(word: &[u8]) -> bool {
    matches!(word, b"file" | b"path" | b"dir" | b"location" | b"mount" | b"name" | b"names" | b"id" | b"ids" | b"ref"
        | b"namespace" | b"store" | b"version" | b"ttl" | b"expiry" | b"expires" | b"url" | b"uri" | b"host" | b"endpoint"
        | b"hash" | b"digest" | b"sha" | b"checksum" | b"arn" | b"type" | b"algorithm" | b"issuer" | b"audience"
        | b"fingerprint" | b"thumbprint" | b"alias" | b"role" | b"user" | b"username" | b"email" | b"cert" | b"crt" | b"pem"
        | b"image" | b"tag" | b"signatures" | b"signature" | b"vault" | b"cluster" | b"bucket" | b"table" | b"class"
        | b"pair" | b"option" | b"object" | b"server")
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
            ("DB_PASSWORDS", Some(Kind::Password)),
            ("ACCESS_CODE", Some(Kind::Token)),
            ("STATUS_CODE", None),
            ("PASSWORD_2", Some(Kind::Password)),
            ("DB_PASSWORD_PROD", Some(Kind::Password)),
            ("OAuthJwtSecret", Some(Kind::Secret)),
            ("TS_KUBE_SECRET", Some(Kind::ObjectSecret)),
            ("VAULT_DEV_ROOT_TOKEN_ID", Some(Kind::Token)),
            ("apiKey", Some(Kind::Key)),
            ("API-KEY", Some(Kind::Key)),
            ("AZURE_BATCH_KEY", Some(Kind::Weak)),
            ("S3_ACCESS_KEY", Some(Kind::Weak)),
            ("AWS_SECRET_ACCESS_KEY", Some(Kind::Key)),
            ("SECRET_KEY_BASE", Some(Kind::Key)),
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
}
