//! Annotations as texts that may hold a plaintext, and the manifest that `kubectl apply` keeps in one of them.

use std::borrow::Cow;

use serde::de::DeserializeSeed;

use super::foreign::{self, Reading, annotations};
use super::judge::{Struck, Walk, judge_applied};
use super::refs::{REFS, texts_of_refs};
use super::rules::Place as At;
use super::spot::{Spot, borrowed, candidate, finding};
use super::stray::Form;
use super::wishes::is_ours;
use super::workload::Kind;
use super::workload::json::{Annotations, escape};
use super::workload::object::ObjectSeed;

/// The annotation in which `kubectl apply` keeps the whole manifest.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl<'t> Walk<'_, 't> {
    /// Annotations as texts. `last-applied-configuration` holds a manifest, and ours hold names, which the rules that go
    /// by a name would take for values.
    pub(super) fn annotations(&mut self, base: &str, annotations: &'t Annotations<'_>, kind: Option<&Kind>) {
        for (key, value) in &annotations.0 {
            let pointer = || format!("{base}/metadata/annotations/{}", escape(key));
            if &**key == LAST_APPLIED && kind.is_some_and(|kind| self.last_applied(kind, value, &pointer)) {
                continue;
            }
            let is_path =
                annotations::holds_paths(key) || matches!(foreign::read(value), Reading::Reference(_));
            if is_path || (&**key == REFS && self.are_refs(value)) {
                continue;
            }
            let name = (!is_ours(key)).then_some(&**key);
            let candidate = candidate(At::Annotation, name, value, None);
            let found = self.seen.struck.len();
            self.scan(&Spot {
                candidate,
                text: borrowed(value),
                container: None,
                key: None,
                pointer: &pointer,
            });
            // Ours say themselves what does not read, and a manifest that is kept in one is judged where it is applied.
            if name.is_some() && &**key != LAST_APPLIED {
                self.stray(value, Form::Nowhere, found, &[], &|| format!("annotation {}", &**key));
            }
        }
    }

    /// Whether a value of `refgate.dev/refs` holds names alone.
    fn are_refs(&self, value: &str) -> bool {
        texts_of_refs(value).is_some_and(|texts| !texts.iter().any(|text| self.world.is_value(text)))
    }

    /// The manifest in `last-applied-configuration`, read as its kind; what the live object holds as well is not said
    /// twice. Gives whether it could be read as one: otherwise it is a text like any other.
    fn last_applied(&mut self, kind: &Kind, value: &str, pointer: &dyn Fn() -> String) -> bool {
        let mut deserializer = serde_json::Deserializer::from_str(value);
        let object = DeserializeSeed::deserialize(ObjectSeed(kind), &mut deserializer);
        let (Ok(Some(object)), Ok(())) = (object, deserializer.end()) else { return false };
        let has_containers =
            object.template.as_ref().is_some_and(|template| template.containers().next().is_some());
        if !has_containers && object.data.is_empty() {
            // The manifest of another kind.
            return false;
        }
        let applied = judge_applied(&object, self.kind, self.world);
        self.seen.unlisted += applied.unlisted;
        self.seen.unlisted_probable += applied.unlisted_probable;
        let mut struck = applied.struck;
        // The walk passes over most fields; a token in one of them shows in the text itself. Rules that go by names
        // would take the names in a manifest for those of values.
        let candidate = candidate(At::Annotation, None, value, None);
        self.world.settings.detector.scan_shapes(&candidate, &mut self.hits);
        for hit in std::mem::take(&mut self.hits) {
            if !struck.iter().any(|struck| struck.finding.rule == hit.rule.id) {
                let allowed = self.allowed(&hit, &candidate);
                let finding = finding(hit, &candidate, None, pointer(), self.world);
                struck.push(Struck {
                    finding,
                    text: Cow::Owned(value.to_owned()),
                    is_applied: true,
                    allowed,
                });
            }
        }
        for Struck { mut finding, text, allowed, .. } in struck {
            finding.pointer = pointer();
            finding.detail = format!("{}, in the manifest that kubectl apply keeps here", finding.detail);
            let text = Cow::Owned(text.into_owned());
            self.seen.struck.push(Struck { finding, text, is_applied: true, allowed });
        }
        true
    }
}
