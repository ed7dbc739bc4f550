//! References of vals: `ref+BACKEND://PATH[?PARAMETERS][#/KEY]`, `secretref+…`.
//!
//! What stands behind the `?` can name another server, account, region or namespace of Vault, where the same path is another
//! secret. Source: helmfile/vals README, `DefaultRefRegexp`.

use super::{Foreign, Target, is_word};
use crate::policy::carriers::reach::Identity;
use crate::policy::snapshot::Settings;

/// How one begins.
pub(super) const STARTS: [&str; 2] = ["ref+", "secretref+"];

/// Parameters that say which version of a path, or what is made of its value.
const HARMLESS: [&str; 6] = ["encode", "optional", "trim_nl", "version", "version_id", "version_stage"];

/// Why parameters are refused.
const ELSEWHERE: &str = "a parameter behind the ? can lead it to another server, account or namespace, where the path is another \
                         one; of these only region, role_arn, version, version_id, version_stage, encode, optional and trim_nl may stand there";

pub(super) fn vals(text: &str) -> Option<Foreign<'_>> {
    let rest = STARTS.iter().find_map(|start| text.strip_prefix(start))?;
    let (backend, rest) = rest.split_once("://")?;
    // A `+` ends it, and another one may begin behind it.
    let rest = rest.strip_suffix('+').unwrap_or(rest);
    let is_one = !rest.contains('+');
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let whole = rest.split('#').next().unwrap_or_default();
    let (path, query) = whole.split_once('?').unwrap_or((whole, ""));
    // `echo` gives back what stands behind it: that is a value, not a reference.
    let is_backend = !backend.is_empty() && backend != "echo" && backend.bytes().all(legal);
    let well_formed = is_one && is_backend && is_word(path);
    well_formed.then_some(Foreign { system: "vals", target: Target::Asked(path, query) })
}

/// Why parameters may lead elsewhere than the path says; `None` where they do not.
pub(super) fn elsewhere(query: &str, settings: &Settings) -> Option<&'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    query.split('&').filter(|pair| !pair.is_empty()).find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "region" => Identity::Region.judge(value, settings).err(),
            "role_arn" => Identity::Role.judge(value, settings).err(),
            _ if HARMLESS.contains(&name) && value.bytes().all(is_plain) => None,
            _ => Some(ELSEWHERE),
        }
    })
}
