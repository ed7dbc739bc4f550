//! Which bytes a text holds that references and leftovers are told by, seen in one look: nearly all texts hold none of them.

/// The bytes that a text holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signs(u8);

/// The end of a line.
pub const NEWLINE: Signs = Signs(1);
/// `$`, by which an expression begins.
pub const DOLLAR: Signs = Signs(2);
/// `[` or `<`, which are in what SOPS has encrypted and in placeholders.
pub const BRACKET: Signs = Signs(4);
/// `@`, as in `name@azurekeyvault`.
pub const AT: Signs = Signs(8);

/// Up to so many bytes a look at each is faster than four searches.
const SHORT: usize = 64;

/// The sign of each byte.
const TABLE: [u8; 256] = {
    let mut table = [0; 256];
    table[b'\n' as usize] = NEWLINE.0;
    table[b'$' as usize] = DOLLAR.0;
    table[b'[' as usize] = BRACKET.0;
    table[b'<' as usize] = BRACKET.0;
    table[b'@' as usize] = AT.0;
    table
};

impl Signs {
    /// Those of a text.
    pub fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        if bytes.len() <= SHORT {
            return Self(bytes.iter().fold(0, |signs, byte| signs | TABLE[usize::from(*byte)]));
        }
        let mut signs = 0;
        for (sign, is_there) in [
            (NEWLINE, memchr::memchr(b'\n', bytes).is_some()),
            (DOLLAR, memchr::memchr(b'$', bytes).is_some()),
            (BRACKET, memchr::memchr2(b'[', b'<', bytes).is_some()),
            (AT, memchr::memchr(b'@', bytes).is_some()),
        ] {
            signs |= if is_there { sign.0 } else { 0 };
        }
        Self(signs)
    }

    /// Whether one of them is there.
    pub fn has(self, sign: Self) -> bool {
        self.0 & sign.0 > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_texts_have_the_same_signs() {
        for byte in 0..128 {
            let short = char::from(byte).to_string();
            let long = format!("{}{short}", "x".repeat(SHORT));
            assert_eq!(Signs::of(&short), Signs::of(&long), "{byte}");
            let expected = b"\n$[<@".contains(&byte);
            let has = [NEWLINE, DOLLAR, BRACKET, AT].iter().any(|sign| Signs::of(&short).has(*sign));
            assert_eq!(has, expected, "{byte}");
        }
    }
}
