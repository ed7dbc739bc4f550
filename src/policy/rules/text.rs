//! Bytes and their classes: the one pass over a text, runs of an alphabet, and what a random string looks like.

/// A lower-case letter.
pub(super) const LOWER: u32 = 1;
/// An upper-case letter.
pub(super) const UPPER: u32 = 1 << 1;
/// A decimal digit.
pub(super) const DIGIT: u32 = 1 << 2;
/// `a` to `f`, and digits.
pub(super) const HEX: u32 = 1 << 3;
/// `A` to `F`, and digits.
pub(super) const UPPER_HEX: u32 = 1 << 4;
/// `A` to `Z` and `2` to `7`.
pub(super) const BASE32: u32 = 1 << 5;
/// The underscore.
pub(super) const UNDERSCORE: u32 = 1 << 6;
/// The hyphen.
pub(super) const HYPHEN: u32 = 1 << 7;
/// The dot.
pub(super) const DOT: u32 = 1 << 8;
/// The equals sign.
pub(super) const EQUALS: u32 = 1 << 9;
/// `+` and `/`.
pub(super) const PLUS_SLASH: u32 = 1 << 10;
/// The tilde.
pub(super) const TILDE: u32 = 1 << 11;
/// White space.
pub(super) const SPACE: u32 = 1 << 12;
/// Quotes, single and double.
pub(super) const QUOTE: u32 = 1 << 13;
/// The colon.
pub(super) const COLON: u32 = 1 << 14;
/// `@`.
pub(super) const AT: u32 = 1 << 15;
/// `?` and `&`, which begin an item of a query.
pub(super) const QUERY: u32 = 1 << 16;

/// Letters.
pub(super) const LETTER: u32 = LOWER | UPPER;
/// Letters and digits.
pub(super) const ALNUM: u32 = LETTER | DIGIT;
/// Lower-case letters and digits.
pub(super) const LOWER_ALNUM: u32 = LOWER | DIGIT;
/// Upper-case letters and digits.
pub(super) const UPPER_ALNUM: u32 = UPPER | DIGIT;
/// Hexadecimal digits of either case.
pub(super) const ANY_HEX: u32 = HEX | UPPER_HEX;
/// Letters, digits and the underscore.
pub(super) const WORD: u32 = ALNUM | UNDERSCORE;
/// The alphabet of base64url: letters, digits, underscore and hyphen.
pub(super) const URL64: u32 = WORD | HYPHEN;
/// The alphabet of base64, with its padding.
pub(super) const BASE64: u32 = ALNUM | PLUS_SLASH | EQUALS;

/// The classes of each byte.
pub(super) static CLASS: [u32; 256] = classes();

const fn classes() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut class = match byte as u8 {
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9' => DIGIT,
            b'_' => UNDERSCORE,
            b'-' => HYPHEN,
            b'.' => DOT,
            b'=' => EQUALS,
            b'+' | b'/' => PLUS_SLASH,
            b'~' => TILDE,
            b' ' | b'\t' | b'\n' | b'\r' => SPACE,
            b'"' | b'\'' => QUOTE,
            b':' => COLON,
            b'@' => AT,
            b'?' | b'&' => QUERY,
            _ => 0,
        };
        if matches!(byte as u8, b'0'..=b'9' | b'a'..=b'f') {
            class |= HEX;
        }
        if matches!(byte as u8, b'0'..=b'9' | b'A'..=b'F') {
            class |= UPPER_HEX;
        }
        if matches!(byte as u8, b'2'..=b'7' | b'A'..=b'Z') {
            class |= BASE32;
        }
        table[byte] = class;
        byte += 1;
    }
    table
}

/// The class of the byte at a position; none beyond the end.
pub(super) fn class_at(text: &[u8], at: usize) -> u32 {
    text.get(at).map_or(0, |byte| CLASS[usize::from(*byte)])
}

/// The class of the byte before a position; none before the start.
pub(super) fn class_before(text: &[u8], at: usize) -> u32 {
    at.checked_sub(1).map_or(0, |before| class_at(text, before))
}

/// The end of the run of bytes of an alphabet that starts at a position.
pub(super) fn run_end(text: &[u8], from: usize, alphabet: u32) -> usize {
    let mut at = from;
    while class_at(text, at) & alphabet != 0 {
        at += 1;
    }
    at
}

/// Whether all bytes are of an alphabet; true for nothing.
pub(super) fn all(text: &[u8], alphabet: u32) -> bool {
    text.iter().all(|byte| CLASS[usize::from(*byte)] & alphabet != 0)
}

/// Whether any byte is of an alphabet.
pub(super) fn any(text: &[u8], alphabet: u32) -> bool {
    text.iter().any(|byte| CLASS[usize::from(*byte)] & alphabet != 0)
}

/// Whether a text begins with another, whatever the case of either.
pub(super) fn starts_with_fold(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Whether a text ends with another, whatever the case of either.
pub(super) fn ends_with_fold(text: &[u8], end: &[u8]) -> bool {
    text.len().checked_sub(end.len()).is_some_and(|from| text[from..].eq_ignore_ascii_case(end))
}

/// Whether a text holds a needle in small letters, whatever the case of the text. For short texts: in the worst one the work
/// is their product.
pub(super) fn contains_fold(text: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return true };
    memchr::memchr2_iter(*first, first.to_ascii_uppercase(), text)
        .any(|at| starts_with_fold(&text[at..], needle))
}

/// The text without surrounding white space.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

/// The text without one pair of quotes around it, plain or escaped.
pub(super) fn unquote(text: &[u8]) -> &[u8] {
    for quote in [&b"\\\""[..], b"\"", b"'", b"`"] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

/// The longest run of one and the same byte.
pub(super) fn longest_repeat(text: &[u8]) -> usize {
    let (mut longest, mut current, mut last) = (0, 0, None);
    for &byte in text {
        current = if last == Some(byte) { current + 1 } else { 1 };
        last = Some(byte);
        longest = longest.max(current);
    }
    longest
}

/// How many different bytes a text has.
pub(super) fn distinct(text: &[u8]) -> u32 {
    let mut seen = [0_u64; 4];
    for &byte in text {
        seen[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }
    seen.iter().map(|word| word.count_ones()).sum()
}

/// Whether a text is eight, four, four, four and twelve hexadecimal digits with hyphens between them.
pub(super) fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => CLASS[usize::from(*byte)] & ANY_HEX != 0,
        })
}

/// Whether a string looks drawn at random rather than written: long, of one piece, and changing its class of letter
/// more often than words with numbers behind them do. Entropy alone cannot tell, the strings are too short for it.
pub(super) fn looks_random(text: &[u8]) -> bool {
    if text.len() < 12 || !all(text, BASE64 | URL64 | DOT | TILDE) || distinct(text) < 6 {
        return false;
    }
    if is_uuid(text) {
        return true;
    }
    let mixed = any(text, DIGIT) && any(text, LETTER);
    let separators = text.iter().filter(|byte| CLASS[usize::from(**byte)] & ALNUM == 0).count();
    if !mixed || separators * 5 > text.len() {
        return false;
    }
    let letters = text.iter().filter(|byte| CLASS[usize::from(**byte)] & LETTER != 0).count();
    changes(text) * 7 >= text.len() || (letters * 5 <= text.len() * 4 && text.len() >= 20 && separators == 0)
}

/// Whether a string may well be a key where a name supports it: less than `looks_random` asks for. It has a run of letters
/// and digits that is longer than what people write in one word, or the groups of a UUID.
pub(super) fn looks_like_a_key(text: &[u8]) -> bool {
    if text.len() < 12 || !all(text, BASE64 | URL64 | DOT | TILDE) || distinct(text) < 5 {
        return false;
    }
    let grouped = text.len() == 36 && [8, 13, 18, 23].iter().all(|at| text[*at] == b'-') && any(text, DIGIT);
    let long = text.split(|byte| CLASS[usize::from(*byte)] & ALNUM == 0).any(|word| {
        let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
        word.len() >= 16 && digits >= 2 && (digits < word.len() || word.len() >= 20)
    });
    looks_random(text) || grouped || long || is_license(text)
}

/// Groups of capitals and digits with hyphens between them, as keys of licences are printed.
fn is_license(text: &[u8]) -> bool {
    let mut groups = 0;
    let fits = text.split(|byte| *byte == b'-').all(|group| {
        groups += 1;
        (4..=8).contains(&group.len()) && all(group, UPPER_ALNUM)
    });
    fits && groups >= 3 && any(text, DIGIT) && any(text, UPPER)
}

/// How often two neighbours are of different class: lower, upper, digit. A capital before a lower-case letter is how
/// words are written and does not count.
fn changes(text: &[u8]) -> usize {
    text.windows(2)
        .filter(|pair| {
            let (left, right) = (CLASS[usize::from(pair[0])] & ALNUM, CLASS[usize::from(pair[1])] & ALNUM);
            left != 0 && right != 0 && left != right && !(left == UPPER && right == LOWER)
        })
        .count()
}

/// How far behind its first line a key block's body is looked for.
pub(super) const LONGEST_LINE: usize = 1024;
