//! `refgate.dev/paths` on an object of another system: which key of its Secret holds which path, where the object itself
//! does not say. SealedSecrets name no path at all, and of templates, encrypted files and searches nobody knows what they leave.
//!
//! It stands on the object itself, which is judged and watched, and never on what becomes metadata of the Secret. A claim is
//! judged like a path that is read. It can fool no other namespace, and within its own only who may make the Secret anyway.

use std::collections::BTreeSet;

use super::Foreign;
use super::reach::{Access, Fill, How, Pointer, Reach, Source};
use crate::policy::bounds::similar;
use crate::policy::message;
use crate::policy::path::is_key;
use crate::policy::reference::Reference;
use crate::policy::wishes::is_ours;
use crate::policy::workload::json::escape;

/// The annotation: `KEY=PATH`, or `SECRET/KEY=PATH`, separated by commas or lines.
pub const PATHS: &str = "refgate.dev/paths";

/// The Secret of a fill whose name stands in the object, and nobody here can read. None is called so.
pub const HIDDEN: &str = "";

/// Reads the annotations of ours that stand on an object. Of claims with a fault none counts.
pub fn read(object: &Foreign<'_>, reach: &mut Reach) {
    let annotations = object.json.get("metadata").get("annotations");
    for (key, value) in annotations.fields().iter().filter(|(key, _)| is_ours(key)) {
        let at = || Pointer::to(format!("/metadata/annotations/{}", escape(key)));
        if key == PATHS {
            if let Some(text) = reach.text(at, value)
                && let Err(why) = take(reach, text)
            {
                reach.faults.push((at(), why));
            }
        } else if similar(&key.to_ascii_lowercase(), [PATHS].into_iter()).is_some()
            || key.eq_ignore_ascii_case(PATHS)
        {
            let why = format!("RefGate knows no such annotation here; did you mean {PATHS}?");
            reach.faults.push((at(), why));
        } else {
            reach.notes.push((at(), message::does_nothing(key)));
        }
    }
    reach.fills.retain(|fill| fill.secret.as_deref() != Some(HIDDEN));
}

/// One claim: Secret, key, path as it is written, and property.
struct Claim<'t> {
    secret: Box<str>,
    key: &'t str,
    path: &'t str,
    property: Option<&'t str>,
}

fn take(reach: &mut Reach, text: &str) -> Result<(), String> {
    let known = Known::of(reach);
    let (mut claims, mut taken) = (Vec::new(), BTreeSet::new());
    let entries = text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty());
    for (index, entry) in entries.enumerate() {
        let claim = known.claim(entry).map_err(|why| format!("entry {}: {why}", index + 1))?;
        if !taken.insert((claim.secret.clone(), claim.key)) {
            return Err(format!("entry {}: an earlier entry has the same key", index + 1));
        }
        claims.push(claim);
    }
    if claims.is_empty() {
        return Err("it names no key; write KEY=PATH, such as database_url=database_url".to_owned());
    }
    // What nobody knew of these keys is known now.
    let is_claimed = |fill: &Fill| {
        let secret = fill.secret.as_ref().or(reach.target.as_ref());
        let key = secret.cloned().zip(fill.key.as_deref());
        key.is_some_and(|key| taken.contains(&key))
    };
    let stays: Vec<bool> = reach.fills.iter().map(|fill| !is_claimed(fill)).collect();
    let mut stays = stays.into_iter();
    reach.fills.retain(|_| stays.next().unwrap_or(true));
    for claim in claims {
        let number = u32::try_from(reach.accesses.len()).unwrap_or(u32::MAX);
        let at = Pointer::to(format!("/metadata/annotations/{}", escape(PATHS)));
        reach.accesses.push(Access { at, source: Source::Claim, how: How::Read, key: claim.path.into() });
        let fill = Fill::key(claim.key, number, claim.property);
        let is_target = reach.target.as_deref() == Some(&*claim.secret);
        reach.fill(if is_target { fill } else { fill.of(&claim.secret) });
    }
    Ok(())
}

/// What an object says of the Secrets that it fills.
struct Known {
    secrets: BTreeSet<Box<str>>,
    /// Secret, key, and whether a path is known of it.
    keys: BTreeSet<(Box<str>, Box<str>, bool)>,
    /// Secrets with keys that nobody can name.
    open: BTreeSet<Box<str>>,
}

impl Known {
    fn of(reach: &Reach) -> Self {
        let mut known = Self {
            secrets: reach.target.iter().cloned().collect(),
            keys: BTreeSet::new(),
            open: BTreeSet::new(),
        };
        for fill in &reach.fills {
            let Some(secret) = fill.secret.as_ref().or(reach.target.as_ref()) else { continue };
            known.secrets.insert(secret.clone());
            match &fill.key {
                Some(key) => known.keys.insert((secret.clone(), key.clone(), fill.is_value)),
                None => known.open.insert(secret.clone()),
            };
        }
        known
    }

    /// Reads one entry. What is wrong is not repeated, since it may be a value that somebody pasted.
    fn claim<'t>(&self, entry: &'t str) -> Result<Claim<'t>, String> {
        let Some((left, right)) = entry.split_once('=') else {
            return Err("it is no KEY=PATH, such as database_url=database_url".to_owned());
        };
        let (secret, key) = match left.trim().split_once('/') {
            Some((secret, key)) => (Some(secret), key),
            None => (None, left.trim()),
        };
        let secret = self.secret(secret)?;
        self.key(secret, key)?;
        let path = right.trim();
        let reference = Reference::parse(path).map_err(|error| error.to_string())?;
        if reference.optional {
            return Err("a path stands here, without ?optional".to_owned());
        }
        let path = path.split_once('#').map_or(path, |(path, _)| path);
        Ok(Claim { secret: secret.into(), key, path, property: reference.property })
    }

    /// The Secret that a claim means; which of those with a hidden name it is, only the claim can say.
    fn secret<'n>(&'n self, name: Option<&'n str>) -> Result<&'n str, String> {
        let has_hidden = self.secrets.contains(HIDDEN);
        let mut all = self.secrets.iter().map(|secret| &**secret);
        match (name, all.next(), all.next()) {
            (None, Some(HIDDEN), _) => Err(
                "the name of the Secret is encrypted; write SECRET/KEY=PATH, or use --encrypted-regex '^(data|stringData)$'"
                    .to_owned(),
            ),
            (Some(name), ..) if has_hidden && (name == HIDDEN || !self.secrets.contains(name)) => {
                let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
                if name != HIDDEN && name.bytes().all(is_legal) {
                    return Ok(name);
                }
                Err("what stands before the / is no name of a Secret".to_owned())
            }
            (_, None, _) => Err("this object fills no Secret that RefGate knows of".to_owned()),
            (None, Some(only), None) => Ok(only),
            (None, ..) => Err("this object fills several Secrets; write SECRET/KEY=PATH".to_owned()),
            (Some(name), ..) => self.secrets.get(name).map(|secret| &**secret).ok_or_else(|| {
                let meant = similar(name, self.secrets.iter().map(|secret| &**secret));
                let hint = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
                format!("this object does not fill the Secret that stands before the /{hint}")
            }),
        }
    }

    fn key(&self, secret: &str, key: &str) -> Result<(), String> {
        let secret = if self.secrets.contains(secret) { secret } else { HIDDEN };
        let is = |is_value: bool| self.keys.contains(&(secret.into(), key.into(), is_value));
        if is(true) {
            return Err(format!("key {key} comes from a path that the object itself names; leave it out"));
        }
        if is(false) || (is_key(key) && self.open.contains(secret)) {
            return Ok(());
        }
        let keys = self.keys.iter().filter(|(of, ..)| **of == *secret).map(|(_, key, _)| &**key);
        let hint = similar(key, keys).map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        Err(format!("this object does not fill the key that stands before the ={hint}"))
    }
}
