//! Texts that stand in an object of another system as they are: plaintext, and references that some tool resolves later.

use std::borrow::Cow;

use super::judge::Court;
use super::reach::{Literal, Reach};
use super::secret_object;
use crate::policy::allow::Context;
use crate::policy::bounds::MANY;
use crate::policy::foreign::{self, Reading};
use crate::policy::judge::Struck;
use crate::policy::message;
use crate::policy::refusal::Cause;
use crate::policy::rules::{Candidate, Extent, Place as At};
use crate::policy::spot::{finding, part};
use crate::policy::verdict::Case;

impl Court<'_> {
    /// Plaintext counts by the levels of the namespace, as everywhere.
    pub fn literals<'t>(&self, reach: &'t Reach, case: &mut Case<'t>) {
        let mut hits = Vec::new();
        for literal in &reach.literals {
            if self.is_reference(literal, case) {
                continue;
            }
            let name = literal.name.as_deref();
            let candidate = Candidate { place: At::ConfigMap, name, value: &literal.text, before: None };
            let extent = self.world.settings.detector.scan(&candidate, &mut hits);
            if extent == Extent::Clipped && case.notes.len() < MANY {
                case.notes.push((literal.at.to_string(), message::CLIPPED.to_owned()));
            }
            let room = MANY.saturating_sub(case.struck.len());
            case.unlisted += hits.len().saturating_sub(room);
            let labels = &self.world.state.namespace.labels;
            let context = Context { labels, kind: self.kind.kind, image: None, account: None, marked: &[] };
            case.struck.extend(hits.drain(..).take(room).map(|hit| {
                let part = part(candidate.value, &hit);
                let texts = [candidate.value, &*part];
                let mut rows = self.world.settings.allow.iter();
                let allowed = rows.find_map(|row| row.passes(&context, hit.rule.id, name, &texts));
                let finding = finding(hit, &candidate, None, literal.at.to_string(), self.world);
                Struck { finding, text: Cow::Borrowed(&literal.text), is_applied: false, allowed }
            }));
        }
    }

    /// A text that some tool resolves once it stands in a Secret. Gives whether it is one, and so no plaintext.
    fn is_reference(&self, literal: &Literal, case: &mut Case<'_>) -> bool {
        let whole = foreign::read(&literal.text);
        let is_one = matches!(whole, Reading::Reference(_));
        // A policy refuses the Secret that comes of it, whatever its path: said here, somebody reads it.
        let key = literal.name.as_deref().unwrap_or_default();
        let said = secret_object::reference(key, literal.text.as_bytes());
        if let Some(why) = said.filter(|_| self.world.binding().is_fenced()) {
            self.refuse(case, &literal.at, Cause::OutOfScope, || why.to_owned());
            return is_one;
        }
        for reading in foreign::inline(&literal.text).into_iter().chain([whole]) {
            let why = match reading {
                Reading::None => continue,
                Reading::Reference(reference) => {
                    reference.judge(self.world).err().map(|why| (reference.cause(self.world), why))
                }
                Reading::Malformed(system) => {
                    self.world.binding().is_fenced().then(|| (Cause::Undecided, message::malformed(system)))
                }
            };
            if let Some((cause, why)) = why {
                self.refuse(case, &literal.at, cause, || why);
            }
        }
        is_one
    }
}
