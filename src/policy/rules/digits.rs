//! Check digits and encodings: what tells a real token from filler of the same shape.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Base64 as people write it: with padding or without.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The header of a JWT is a few claims about a key; a longer one is not looked at.
const LONGEST_JWT_HEADER: usize = 2048;

/// CRC-32 as in zlib, bit by bit: it is asked for once in a great while, and a table would cost a kilobyte.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// Whether the last six letters are the CRC-32 of those before them, in base 62 with zeros in front.
///
/// GitHub blog, 2021-04-05, "Behind GitHub's new authentication token formats"; npm took it over on 2021-09-23.
pub(super) fn crc62_agrees(body: &[u8]) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let Some((random, check)) = body.split_last_chunk::<6>() else { return false };
    let mut number = crc32(random);
    let mut expected = [b'0'; 6];
    for digit in expected.iter_mut().rev() {
        *digit = DIGITS[(number % 62) as usize];
        number /= 62;
    }
    expected == *check
}

/// Whether the eight hexadecimal digits after the last underscore are the CRC-32 of what stands before it, its lowest
/// byte first: `pkg/components/satokengen/tokengen.go` of Grafana.
pub(super) fn grafana_agrees(token: &[u8]) -> bool {
    let Some((key, check)) = token.split_last_chunk::<8>() else { return false };
    let Some(key) = key.strip_suffix(b"_") else { return false };
    let crc = crc32(key).to_le_bytes();
    check.chunks_exact(2).zip(crc).all(|(pair, byte)| {
        let digit = |letter: u8| char::from(letter).to_digit(16);
        digit(pair[0]).zip(digit(pair[1])).is_some_and(|(high, low)| high << 4 | low == u32::from(byte))
    })
}

/// Whether a string is Bech32 with right check digits (BIP 173): age writes its secret keys so.
pub(super) fn bech32_agrees(text: &[u8]) -> bool {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let Some(separator) = text.iter().rposition(|byte| *byte == b'1') else { return false };
    let (prefix, data) = (&text[..separator], &text[separator + 1..]);
    let mut sum = 1_u32;
    for byte in prefix {
        sum = bech32_step(sum, u32::from(byte.to_ascii_lowercase()) >> 5);
    }
    sum = bech32_step(sum, 0);
    for byte in prefix {
        sum = bech32_step(sum, u32::from(byte.to_ascii_lowercase()) & 31);
    }
    for byte in data {
        let Some(digit) = ALPHABET.iter().position(|letter| *letter == byte.to_ascii_lowercase()) else {
            return false;
        };
        sum = bech32_step(sum, digit as u32);
    }
    sum == 1
}

fn bech32_step(sum: u32, value: u32) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = sum >> 25;
    let mut next = (sum & 0x01ff_ffff) << 5 ^ value;
    for (bit, generator) in GENERATOR.iter().enumerate() {
        if top >> bit & 1 == 1 {
            next ^= generator;
        }
    }
    next
}

/// Whether base64url decodes to a JSON object with an `alg`: the header of a JWT or a JWS (RFC 7515, section 4.1.1).
pub(super) fn is_jwt_header(encoded: &[u8]) -> bool {
    if encoded.len() > LONGEST_JWT_HEADER {
        return false;
    }
    let mut buffer = [0; LONGEST_JWT_HEADER];
    let Ok(length) = URL_SAFE.decode_slice(encoded, &mut buffer) else { return false };
    let header = &buffer[..length];
    header.first() == Some(&b'{')
        && memchr::memmem::find(header, b"\"alg\"").is_some()
        && serde_json::from_slice::<serde::de::IgnoredAny>(header).is_ok()
}

/// What base64 of either alphabet decodes to, line ends left out, when that is text.
pub(super) fn decode_text(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut letters: Vec<u8> = encoded.iter().copied().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
    let engine = if letters.iter().any(|b| matches!(b, b'-' | b'_')) { &URL_SAFE } else { &STANDARD };
    // A last group of one letter encodes nothing: a word that was cut there is still worth reading.
    if letters.len() % 4 == 1 {
        letters.pop();
    }
    let text = engine.decode(&letters).ok()?;
    let readable =
        str::from_utf8(&text).is_ok_and(|text| !text.chars().any(|c| c.is_control() && !c.is_whitespace()));
    readable.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_agree_with_published_values() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert!(crc62_agrees(b"R7fGq2LxVb9NcT4mZsK8yWdH3pJu6E3x8pw8"));
        assert!(!crc62_agrees(b"R7fGq2LxVb9NcT4mZsK8yWdH3pJu6E3x8pw9"));
        assert!(grafana_agrees(b"glsa_Zq8mT3vLx0RbNc5WdKy7HsPf2GjUa9Ei_0275b8b7"));
        // The example of BIP 173, and the first identity of age's own tests.
        assert!(bech32_agrees(b"A12UEL5L"));
        assert!(!bech32_agrees(b"A12UEL5Q"));
        assert!(bech32_agrees(
            b"AGE-SECRET-KEY-PQ-13RFM7973R0XAFU2XPSM7EKW74TMSCDG6N9P7Q7SQD8QRG087JA7S2DQXF2"
        ));
        assert!(!bech32_agrees(b""));
    }

    #[test]
    fn a_jwt_header_is_json_with_an_algorithm() {
        assert!(is_jwt_header(b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"));
        assert!(!is_jwt_header(b"eyJ0eXAiOiJKV1QifQ"), "no alg");
        assert!(!is_jwt_header(b"eyJhbGciOieeeiIsInR5cCI6IkpXVCJ9"), "no JSON");
    }
}
