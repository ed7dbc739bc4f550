//! The fence, for what `judge` comes by: a Secret that is named, an attribute of a volume, a reference of another system.

use super::bounds::MANY;
use super::carriers::judge::class_refusal;
use super::decision::{ReferenceReport, Verdict};
use super::foreign::signs::Signs;
use super::foreign::{self, Foreign, Reading, annotations};
use super::judge::Walk;
use super::leftover;
use super::message;
use super::refusal::Cause;
use super::stray::Named;
use super::workload::expand::{Expanded, substituted};
use super::workload::json::escape;
use super::workload::pod::Env;
use super::workload::volume::{CLASS_ATTRIBUTE, Volume};

/// Longest reason of a class, which each volume of it repeats.
const CLASS_CHARACTERS: usize = 1_000;

impl<'t> Walk<'_, 't> {
    /// What a CSI driver's attribute may not say in a bound namespace.
    pub(super) fn attribute(&mut self, volume: &Volume<'_>, name: &str, text: &'t str) -> Option<String> {
        if !self.world.binding().is_fenced() {
            return None;
        }
        let lower = name.to_ascii_lowercase().replace(['-', '_'], "");
        if volume.is_of_class && name != CLASS_ATTRIBUTE {
            // The driver lays a pod's attributes over the class's own parameters (NodePublishVolume).
            return Some(format!(
                "attribute {name} would override the SecretProviderClass and reach other paths; where a class is mounted, only \
                 secretProviderClass may stand in a pod"
            ));
        }
        if volume.is_of_class
            && let Some(why) = self.class(text)
        {
            // It was there before anybody asked, or the namespace was bound to something else.
            return Some(format!("SecretProviderClass {text} reads what this namespace may not read: {why}"));
        }
        if volume.driver.as_deref() == Some("csi.vso.hashicorp.com") {
            return Some("volumes of driver csi.vso.hashicorp.com name paths that RefGate cannot see; write secret:NAME instead".to_owned());
        }
        if lower.ends_with("secretnamespace") && text != self.world.namespace {
            return Some(format!("attribute {name} names a Secret of another namespace"));
        }
        None
    }

    /// Why a SecretProviderClass may not be mounted; it is judged once, however many volumes are of it.
    fn class(&mut self, name: &'t str) -> Option<String> {
        let world = self.world;
        let judge = || {
            let why = class_refusal(world, world.state.carried.class(name)?)?;
            Some(message::cut(&why, CLASS_CHARACTERS))
        };
        self.classes.entry(name).or_insert_with(judge).clone()
    }

    /// The name of a Secret in a field that holds nothing else: a reference of ours cannot stand there.
    pub(super) fn named(
        &mut self,
        name: &str,
        key: Option<&str>,
        of: Named,
        pointer: &dyn Fn() -> String,
        subject: &dyn Fn() -> String,
    ) {
        if !self.stray_name(name, of, pointer, subject) {
            self.secret(name, key, pointer, subject);
        }
    }

    /// A Secret that the pod names, by whatever means: it may not hold a path that the namespace may not read.
    pub(super) fn secret(
        &mut self,
        name: &str,
        key: Option<&str>,
        pointer: &dyn Fn() -> String,
        subject: &dyn Fn() -> String,
    ) {
        let foreign = self.world.is_foreign(name);
        // What is not kept any more, nobody need look up.
        let has_room = self.seen.references.len() < MANY;
        let filled = has_room.then(|| self.world.state.filled.paths(name, key));
        for path in filled.into_iter().flatten().filter(|path| !self.world.is_pasted(path)) {
            let (path, secret) = (Some(path.to_owned()), Some(name.to_owned()));
            let (pointer, key) = (pointer(), key.map(str::to_owned));
            self.report(ReferenceReport { pointer, path, secret, key, verdict: Verdict::Allowed });
        }
        for entry in self.world.state.catalogue.by_secret(name) {
            let verdict =
                if self.world.binding().contains(&entry.path) { Verdict::Allowed } else { Verdict::Denied };
            self.report(ReferenceReport {
                pointer: pointer(),
                path: (verdict == Verdict::Allowed).then(|| entry.path.to_string()),
                secret: Some(name.to_owned()),
                key: key.map(str::to_owned),
                verdict,
            });
        }
        if foreign {
            self.refuse(pointer(), subject(), Cause::OutOfScope, message::foreign_secret(name));
        }
    }

    /// What a text comes to as a reference of another system; gives whether it is one, and so no plaintext.
    pub(super) fn reading(
        &mut self,
        reading: &Reading<'_>,
        pointer: &dyn Fn() -> String,
        subject: &dyn Fn() -> String,
    ) -> bool {
        match reading {
            Reading::None => false,
            Reading::Reference(reference) => {
                self.foreign(reference, pointer, subject);
                true
            }
            Reading::Malformed(system) => {
                if self.world.binding().is_fenced() {
                    self.refuse(pointer(), subject(), Cause::Undecided, message::malformed(system));
                }
                false
            }
        }
    }

    /// Refuses a value that is a reference of another system, or would become one, by what can change unseen: by text of labels and
    /// annotations, or while a source is missing.
    pub(super) fn may_become_foreign(
        &mut self,
        container: &str,
        entry: &Env<'_>,
        value: &Expanded<'_>,
        pointer: &dyn Fn() -> String,
    ) -> bool {
        if !self.world.binding().is_fenced() {
            return false;
        }
        let by_metadata = value.marked.as_deref().is_some_and(|marked| {
            foreign::is_any(&value.text)
                || foreign::words().any(|word| foreign::is_any(&substituted(marked, word)))
        });
        let by_missing = || value.uncovered.as_deref().is_some_and(foreign::is_any);
        let why = match (by_metadata, by_missing()) {
            (true, _) => message::BY_METADATA,
            (_, true) => message::BY_MISSING_SOURCE,
            _ => return false,
        };
        self.refuse(pointer(), message::env_place(container, &entry.name), Cause::Undecided, why);
        true
    }

    /// A reference of another system.
    pub(super) fn foreign(
        &mut self,
        reference: &Foreign<'_>,
        pointer: &dyn Fn() -> String,
        subject: &dyn Fn() -> String,
    ) {
        let verdict = match reference.judge(self.world) {
            Ok(()) if self.world.binding().is_fenced() => Verdict::Allowed,
            Ok(()) => Verdict::Unknown,
            Err(why) => {
                self.refuse(pointer(), subject(), reference.cause(self.world), why);
                Verdict::Denied
            }
        };
        // Of what is let in the path is on record, unless it is a secret for certain; then it was refused.
        let is_told = verdict == Verdict::Allowed || !reference.may_be_pasted(self.world);
        let path = reference.path().filter(|_| is_told).map(str::to_owned);
        self.report(ReferenceReport { pointer: pointer(), path, secret: None, key: None, verdict });
    }

    /// What a tool should have resolved before, in a text of a bound namespace.
    pub(super) fn leftovers(
        &mut self,
        (text, signs): (&str, Signs),
        pointer: &dyn Fn() -> String,
        subject: &dyn Fn() -> String,
    ) {
        if leftover::may_be(text, signs) && self.world.binding().is_fenced() {
            for mark in leftover::find(text) {
                self.refuse(pointer(), subject(), Cause::Undecided, mark.what);
            }
        }
    }

    pub(super) fn foreign_annotation(&mut self, base: &str, key: &str, value: &str) {
        let pointer = || format!("{base}/metadata/annotations/{}", escape(key));
        let subject = || format!("annotation {key}");
        for reference in annotations::references(key, value) {
            self.foreign(&reference, &pointer, &subject);
        }
        if annotations::names_a_secret(key) {
            self.secret(value, None, &pointer, &subject);
        }
        let is_synced = || self.world.state.catalogue.by_secret(value).next().is_some();
        if annotations::fills_a_secret(key) && self.world.binding().is_fenced() && is_synced() {
            self.refuse(pointer(), subject(), Cause::Conflict, message::overwrites(value));
        }
    }
}
