//! The quick look at the end of a name: nearly every name goes no further, so it reads eight bytes once.

use super::text::{ALNUM, CLASS, LETTER, class_at};

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

/// A slice of suffixes that is worked out at build time.
macro_rules! suffixes {
    ($($word:literal)*) => { const { &[$(suffix($word)),*] } };
}

/// The ends of names that are worth a closer look, by last letter: credential words, and words that may follow one.
#[rustfmt::skip]
const fn suffixes(letter: u8) -> &'static [Suffix] {
    match letter {
        b'a' => suffixes!["senha"],
        b'd' => suffixes!["password" "passwd" "pwd" "pswd" "cred" "token_id" "token-id" "prod" "old"],
        b'e' => suffixes!["passphrase" "passcode" "_code" "-code" "cookie" "private" "signature" "key_base" "value" "stage"],
        b'g' => suffixes!["staging"],
        b'h' => suffixes!["auth"],
        b'l' => suffixes!["credential" "local"],
        b'n' => suffixes!["token" "authorization" "pin" "production" "plain"],
        b'o' => suffixes!["userinfo" "user_info" "user.info"],
        b'p' => suffixes!["backup"],
        b'r' => suffixes!["pepper"],
        b's' => suffixes!["pass" "passwords" "credentials" "creds" "access" "previous"],
        b't' => suffixes!["secret" "salt" "jwt" "pat" "default" "plaintext" "test" "current"],
        b'v' => suffixes!["dev"],
        b'w' => suffixes!["pw" "psw" "raw" "new"],
        b'y' => suffixes!["key" "primary" "secondary"],
        _ => &[],
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
