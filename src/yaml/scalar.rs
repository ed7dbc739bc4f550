//! The type of a scalar, as `sigs.k8s.io/yaml` has it: YAML 1.1 words and numbers, but no sexagesimal ones.
//!
//! That is what kubectl and Helm send, so `yes` is a boolean, `0777` is 511 and `1_000` is a thousand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use granit_parser::Tag;
use serde_json::{Number, Value};

/// Tags of YAML itself begin so; `!!int` is short for one.
const YAML_TAGS: &str = "tag:yaml.org,2002:";
const NOT_JSON: &str = "JSON does not have this number; put it in quotes if it is text";
const WRONG_TAG: &str = "the value does not fit its tag";

/// Whether a tag makes the key `<<` a merge.
pub(super) fn is_merge(tag: &Tag) -> bool {
    tag.suffix_in_namespace(YAML_TAGS).as_deref() == Some("merge")
}

/// The value that a scalar stands for.
pub(super) fn resolve(text: &str, is_plain: bool, tag: Option<&Tag>) -> Result<Value, &'static str> {
    let Some(tag) = tag else {
        return if is_plain { untagged(text) } else { Ok(Value::String(text.to_owned())) };
    };
    let wanted = tag.suffix_in_namespace(YAML_TAGS);
    let value = match wanted.as_deref() {
        Some("null" | "bool" | "int" | "float") => untagged(text)?,
        Some("binary") => return binary(text),
        _ => return Ok(Value::String(text.to_owned())),
    };
    let fits = match wanted.as_deref() {
        Some("null") => value.is_null(),
        Some("bool") => value.is_boolean(),
        Some("int") => matches!(number(text), Some(Parsed::Integer(_))),
        _ => value.is_number(),
    };
    if fits { Ok(value) } else { Err(WRONG_TAG) }
}

/// The text of a key; an error for one that JSON cannot have.
pub(super) fn key(text: &str, is_plain: bool, tag: Option<&Tag>) -> Result<String, &'static str> {
    if tag.is_none()
        && is_plain
        && let Some(Parsed::Float(float)) = number(text)
    {
        return Ok(float_key(float));
    }
    match resolve(text, is_plain, tag)? {
        Value::String(text) => Ok(text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err("a key must be text"),
    }
}

fn binary(text: &str) -> Result<Value, &'static str> {
    let text: String = text.chars().filter(|char| !matches!(char, '\r' | '\n')).collect();
    let bytes = STANDARD.decode(text).map_err(|_| "the value of !!binary must be base64")?;
    Ok(Value::String(String::from_utf8_lossy(&bytes).into_owned()))
}

fn untagged(text: &str) -> Result<Value, &'static str> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        _ => match number(text) {
            Some(Parsed::Integer(number)) => Value::Number(number),
            Some(Parsed::Float(float)) => Value::Number(as_json(float).ok_or(NOT_JSON)?),
            None => Value::String(text.to_owned()),
        },
    })
}

enum Parsed {
    Integer(Number),
    Float(f64),
}

fn number(text: &str) -> Option<Parsed> {
    match text {
        ".nan" | ".NaN" | ".NAN" => return Some(Parsed::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(Parsed::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => return Some(Parsed::Float(f64::NEG_INFINITY)),
        _ => {}
    }
    if let Some(rest) = text.strip_prefix('.') {
        // Here an underscore stands between two digits or the whole is text.
        let mut parts = rest.split('_');
        let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        let is_separated = parts.clone().count() == 1
            || parts.all(|part| is_digit(part.as_bytes().first()) && is_digit(part.as_bytes().last()));
        return if is_separated { decimal(&text.replace('_', "")) } else { None };
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-')) {
        return None;
    }
    let plain = text.replace('_', "");
    integer(&plain).map(Parsed::Integer).or_else(|| decimal(&plain))
}

/// An integer with the prefixes of Go: `0x`, `0o`, `0b`, and `0` alone for octal.
fn integer(text: &str) -> Option<Number> {
    let (sign, digits) = match text.as_bytes() {
        [b'-', ..] => ("-", &text[1..]),
        [b'+', ..] => ("+", &text[1..]),
        _ => ("", text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // The standard library would take a sign here.
    if !digits.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return None;
    }
    let signed = i64::from_str_radix(&format!("{sign}{digits}"), radix).ok().map(Number::from);
    signed.or_else(|| {
        if sign.is_empty() { u64::from_str_radix(digits, radix).ok().map(Number::from) } else { None }
    })
}

/// `1.5`, `.5`, `1.`, `1e3`; `None` also for what no float holds, which is text then.
fn decimal(text: &str) -> Option<Parsed> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_decimal = digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    let float = if is_decimal { text.parse::<f64>().ok()? } else { return None };
    float.is_finite().then_some(Parsed::Float(float))
}

/// Go writes a whole float as an integer, so `1e3` reaches the API server as `1000`.
fn as_json(float: f64) -> Option<Number> {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    if float.fract() == 0.0 && float.abs() <= LARGEST {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
        return Some(Number::from(float as i64));
    }
    Number::from_f64(float)
}

/// A float as a key: its shortest digits at single precision, with an exponent where Go's `%g` has one.
fn float_key(float: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "the keys of sigs.k8s.io/yaml have this precision")]
    let float = float as f32;
    if float.is_nan() {
        return ".nan".to_owned();
    }
    if float.is_infinite() {
        return if float > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return float.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}
