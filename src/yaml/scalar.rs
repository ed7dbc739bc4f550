//! Scalars of the YAML 1.2 core schema, with the octal numbers that Kubernetes reads.

use saphyr_parser::Tag;
use serde_json::{Number, Value};

/// The value that a scalar stands for.
pub(super) fn resolve(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Value, &'static str> {
    let Some(tag) = tag else {
        return if plain { core(text) } else { Ok(Value::String(text.to_owned())) };
    };
    let wanted = if tag.is_yaml_core_schema() { tag.suffix.as_str() } else { "" };
    let value = match wanted {
        "null" | "bool" | "int" | "float" => core(text)?,
        _ => Value::String(text.to_owned()),
    };
    let fits = match wanted {
        "null" => value.is_null(),
        "bool" => value.is_boolean(),
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        _ => true,
    };
    if fits { Ok(value) } else { Err("the value does not fit its tag") }
}

fn core(text: &str) -> Result<Value, &'static str> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match number(text)? {
            Some(number) => Value::Number(number),
            None => Value::String(text.to_owned()),
        },
    })
}

/// `None` where the text is no number; an error where it is one that JSON does not have.
fn number(text: &str) -> Result<Option<Number>, &'static str> {
    const NOT_JSON: &str = "a number that JSON does not have; put it in quotes if it is text";
    let (sign, digits) = match text.as_bytes() {
        [b'-', ..] => ("-", &text[1..]),
        [b'+', ..] => ("", &text[1..]),
        [b'0'..=b'9' | b'.', ..] => ("", text),
        _ => return Ok(None),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(NOT_JSON);
    }
    for (prefix, radix) in [("0o", 8), ("0x", 16)] {
        if let Some(rest) = digits.strip_prefix(prefix) {
            return Ok(radix_number(sign, rest, radix));
        }
    }
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')) {
        return Ok(radix_number(sign, digits, 8));
    }
    if !is_decimal(digits) {
        return Ok(None);
    }
    let signed = format!("{sign}{digits}");
    if let Ok(integer) = signed.parse::<i64>() {
        return Ok(Some(integer.into()));
    }
    if let Ok(integer) = signed.parse::<u64>() {
        return Ok(Some(integer.into()));
    }
    let float = signed.parse::<f64>().ok().and_then(Number::from_f64);
    float.map(Some).ok_or(NOT_JSON)
}

fn radix_number(sign: &str, digits: &str, radix: u32) -> Option<Number> {
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let signed = i64::from_str_radix(&format!("{sign}{digits}"), radix).ok().map(Number::from);
    signed.or_else(|| {
        if sign.is_empty() { u64::from_str_radix(digits, radix).ok().map(Number::from) } else { None }
    })
}

/// `1`, `1.5`, `.5`, `1.`, each with an exponent or without.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}
