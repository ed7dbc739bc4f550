//! One text that the detector looks at: where it stands, what is found in it, and what of that is allowed.

use std::borrow::Cow;

use super::allow::{Context, Pass};
use super::bounds::MANY;
use super::finding::{Certainty, Finding};
use super::judge::{Struck, Walk};
use super::line::Line;
use super::message;
use super::resolve::World;
use super::rules::{Candidate, Extent, Hit, Place};
use super::workload::json::Text;

/// A text, where it stands, and what to call it.
pub(super) struct Spot<'t, 'p> {
    pub(super) candidate: Candidate<'p>,
    pub(super) text: Cow<'t, str>,
    pub(super) container: Option<&'p str>,
    /// The key of an entry, where its text has no name for the rules.
    pub(super) key: Option<&'p str>,
    pub(super) pointer: &'p dyn Fn() -> String,
}

impl<'t> Walk<'_, 't> {
    /// Lets the detector look at one text.
    pub(super) fn scan(&mut self, spot: &Spot<'t, '_>) {
        let extent = self.world.settings.detector.scan(&spot.candidate, &mut self.hits);
        self.keep(spot, extent, false);
    }

    /// Lets the detector look at a text that is a file: each place in it counts for itself, so that an update is judged
    /// on the lines that it changes.
    pub(super) fn scan_file(&mut self, spot: &Spot<'t, '_>) {
        let extent = self.world.settings.detector.scan_every(&spot.candidate, &mut self.hits);
        self.keep(spot, extent, true);
    }

    /// The same where names in the text are no promise: what is no text at all.
    pub(super) fn scan_shapes(&mut self, spot: &Spot<'t, '_>) {
        let extent = self.world.settings.detector.scan_shapes(&spot.candidate, &mut self.hits);
        self.keep(spot, extent, false);
    }

    fn keep(&mut self, spot: &Spot<'t, '_>, extent: Extent, by_line: bool) {
        let Spot { candidate, text, container, key, pointer } = spot;
        match extent {
            Extent::Whole => {}
            // Rules that are sure come first: where one that is not has spoken, they had their say.
            Extent::Full if self.hits.iter().all(is_certain) => self.seen.unlisted += 1,
            Extent::Full => self.seen.unlisted_probable += 1,
            Extent::Clipped => self.note(pointer(), message::CLIPPED.to_owned()),
        }
        let room = MANY.saturating_sub(self.seen.struck.len());
        self.seen.unlisted += self.hits.len().saturating_sub(room);
        for mut hit in std::mem::take(&mut self.hits).into_iter().take(room) {
            let allowed = self.allowed(&hit, &Candidate { name: candidate.name.or(*key), ..*candidate });
            let mut struck = text.clone();
            if by_line {
                struck = Cow::Owned(part(text, &hit));
                let line = 1 + memchr::memchr_iter(b'\n', &text.as_bytes()[..hit.span.start]).count();
                if text.trim_end().contains('\n') {
                    hit.detail.push_str(&format!(", in line {line}"));
                }
            }
            let named = Candidate { name: candidate.name.or(*key), ..*candidate };
            let finding = finding(hit, &named, *container, pointer(), self.world);
            self.seen.struck.push(Struck { finding, text: struck, is_applied: false, allowed });
        }
    }

    /// The words of a command together. Each that is a credential gets the finding, unless it has one already.
    pub(super) fn command_line(
        &mut self,
        container: &str,
        at: Place,
        line: &Line,
        base: &dyn Fn() -> String,
    ) {
        if line.text.is_empty() {
            return;
        }
        let candidate = Candidate { place: at, name: None, value: &line.text, before: None };
        if self.world.settings.detector.scan_every(&candidate, &mut self.hits) == Extent::Clipped {
            self.note(base(), message::CLIPPED.to_owned());
        }
        for hit in std::mem::take(&mut self.hits) {
            let Some((index, word)) = line.word_at(hit.span.start) else { continue };
            if self.seen.struck.len() >= MANY {
                self.seen.unlisted += 1;
                continue;
            }
            let allowed = self.allowed(&hit, &candidate);
            let pointer = format!("{}/{index}", base());
            let finding = finding(hit, &candidate, Some(container), pointer, self.world);
            let text = Cow::Owned(word.to_owned());
            self.seen.struck.push(Struck { finding, text, is_applied: false, allowed });
        }
    }

    /// Whether the configuration lets a hit pass, and why.
    pub(super) fn allowed(&self, hit: &Hit, candidate: &Candidate<'_>) -> Option<Pass> {
        let allow = &self.world.settings.allow;
        if allow.is_empty() {
            return None;
        }
        let context = Context {
            labels: &self.world.state.namespace.labels,
            kind: self.kind,
            image: self.image,
            account: self.account,
            marked: &self.marked,
        };
        let part = part(candidate.value, hit);
        allow
            .iter()
            .find_map(|row| row.passes(&context, hit.rule.id, candidate.name, &[candidate.value, &part]))
    }
}

fn is_certain(hit: &Hit) -> bool {
    hit.rule.certainty == Certainty::Certain
}

/// What was struck of a text.
pub(super) fn part(text: &str, hit: &Hit) -> String {
    let bytes = text.as_bytes().get(hit.span.clone()).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// A hit, with where it stands and what to write instead.
pub(super) fn finding(
    hit: Hit,
    candidate: &Candidate<'_>,
    container: Option<&str>,
    pointer: String,
    world: &World<'_>,
) -> Finding {
    let name = candidate.name.or_else(|| option(candidate));
    Finding {
        rule: hit.rule.id,
        pointer,
        container: container.map(str::to_owned),
        name: candidate.name.map(str::to_owned),
        certainty: hit.rule.certainty,
        reason: hit.rule.reason,
        detail: hit.detail,
        instead: message::instead(candidate.place, name, world.binding(), world.namespace),
    }
}

/// The name of the option that holds an argument: `--db-password=…`, or the argument before it.
fn option<'c>(candidate: &Candidate<'c>) -> Option<&'c str> {
    let own =
        candidate.value.split_once('=').map(|(option, _)| option).filter(|option| option.starts_with("--"));
    let name =
        own.or_else(|| candidate.before.filter(|before| before.starts_with("--")))?.trim_start_matches('-');
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    (is_plain && (1..=64).contains(&name.len())).then_some(name)
}

pub(super) fn candidate<'p>(
    place: Place,
    name: Option<&'p str>,
    value: &'p str,
    before: Option<&'p str>,
) -> Candidate<'p> {
    Candidate { place, name, value, before }
}

pub(super) fn borrowed<'t>(text: &'t Text<'_>) -> Cow<'t, str> {
    Cow::Borrowed(text)
}
