//! Which characters show nothing, or change how others show, where names and texts of tenants are printed.

/// Code points of category Cf, "format": soft hyphens, zero-width characters, marks of direction, tags (Unicode 17.0,
/// `DerivedGeneralCategory.txt`).
const FORMAT: [(u32, u32); 21] = [
    (0xad, 0xad),
    (0x600, 0x605),
    (0x61c, 0x61c),
    (0x6dd, 0x6dd),
    (0x70f, 0x70f),
    (0x890, 0x891),
    (0x8e2, 0x8e2),
    (0x180e, 0x180e),
    (0x200b, 0x200f),
    (0x202a, 0x202e),
    (0x2060, 0x2064),
    (0x2066, 0x206f),
    (0xfeff, 0xfeff),
    (0xfff9, 0xfffb),
    (0x110bd, 0x110bd),
    (0x110cd, 0x110cd),
    (0x13430, 0x1343f),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0xe0001, 0xe0001),
    (0xe0020, 0xe007f),
];

/// Whether a character must not reach a terminal or a message as it is: control characters, which move the cursor or end a line, the
/// two separators that end a line for some, and format characters, which hide or reorder what stands around them.
pub fn is_hidden(character: char) -> bool {
    let code = u32::from(character);
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}')
        || code >= 0xad && FORMAT.iter().any(|(first, last)| (*first..=*last).contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_is_told_from_what_does_not() {
        for hidden in [
            '\n',
            '\u{1b}',
            '\u{9b}',
            '\u{ad}',
            '\u{200b}',
            '\u{202e}',
            '\u{2069}',
            '\u{2028}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert!(is_hidden(hidden), "{:x}", u32::from(hidden));
        }
        for shown in ['a', ' ', 'é', '\u{301}', '…', 'ש', '漢', '\u{2027}', '\u{206}', '🙂'] {
            assert!(!is_hidden(shown), "{:x}", u32::from(shown));
        }
    }
}
