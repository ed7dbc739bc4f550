//! A reach against a scope: which of its paths a namespace may not have, what cannot be decided, and what is plaintext.
//!
//! `decide` asks this of a review, `serve` of what its watches bring.

use super::held::{Carried, Held, store_kind};
use super::place::{self, Place, System};
use super::reach::{Access, Asked, How, Pointer, Reach, Source};
use super::settings::Mode;
use super::{Carrier, Kind};
use crate::policy::bounds::MANY;
use crate::policy::decision::{ReferenceReport, Verdict};
use crate::policy::message;
use crate::policy::refusal::{Cause, Refusal};
use crate::policy::resolve::World;
use crate::policy::snapshot::Binding;
use crate::policy::verdict::Case;

/// Audit annotation of what is allowed though it cannot be decided.
pub const UNDECIDED: &str = "carrier-undecided";

/// Where a reach is judged.
#[derive(Debug, Clone, Copy)]
pub struct Court<'w> {
    /// The namespace, and the settings.
    pub world: &'w World<'w>,
    /// The objects of the whole cluster.
    pub cluster: &'w Carried,
    /// The carrier whose object it is.
    pub carrier: &'static Carrier,
    /// Its kind.
    pub kind: &'static Kind,
    /// Its name, for messages.
    pub name: &'w str,
    /// A store as a change would have it: whether it is of the cluster, its name, and where it leads.
    pub store: Option<(bool, &'w str, Option<&'w Place>)>,
}

/// What judging comes to, besides the case.
#[derive(Debug, Default)]
pub struct Judged<'t> {
    /// Refusals, references and plaintext.
    pub case: Case<'t>,
    /// Whether something was let through that cannot be decided.
    pub is_audited: bool,
}

/// By which store something is reached: whether it is of the whole cluster, and its name. `None` for a place of the object's own.
type By<'p> = Option<(bool, &'p str)>;
/// Where a source leads and by what, or why that cannot be said.
type Leads<'p> = Result<(&'p Place, By<'p>), String>;

/// Longest name of an object in a message.
const NAME_CHARACTERS: usize = 80;
/// Most stores that labels may select from: each path is held to each of them.
const SELECTED: usize = 32;
/// Longest sentence of a refusal: of a thousand each may repeat a text of the object.
const TEXT_CHARACTERS: usize = 2_000;
/// What to write where a path is outside.
fn advice(how: How) -> &'static str {
    match how {
        How::Write => "; write a path of its own scope",
        How::Read | How::Find => {
            "; write a path of its own scope, or ask an operator for refgate.dev/shared-paths"
        }
    }
}

/// Why a namespace may not mount a SecretProviderClass that is there; `None` where it may. What was refused when the class was
/// made is no way in when it was made before anybody asked, and YAML that cannot be judged is refused then too.
pub fn class_refusal(world: &World<'_>, class: &Held) -> Option<String> {
    let carrier = super::held::carrier_of(class.kind)?;
    // Silence of the API server says nothing of a class.
    let world = World { stale: false, ..*world };
    let cluster = &Carried::default();
    let court = Court { world: &world, cluster, carrier, kind: class.kind, name: class.name(), store: None };
    court.of_held(class).into_iter().next().map(|first| first.text)
}

impl<'w> Court<'w> {
    fn subject(&self, at: &Pointer) -> String {
        let name = message::cut(self.name, NAME_CHARACTERS);
        let gap = if name.is_empty() { "" } else { " " };
        let words = at.words();
        let comma = if words.is_empty() { "" } else { ", " };
        format!("{}{gap}{name}{comma}{words}", self.kind.kind)
    }

    /// Judges all of it, in a namespace that is bound, or of which nothing is known.
    pub fn judge<'t>(&self, reach: &'t Reach) -> Judged<'t> {
        let mut judged = Judged::default();
        // Files without a world and without a scope: what is inside, nobody can say.
        if *self.world.binding() == Binding::Unknown {
            self.unknown(reach, &mut judged.case);
        } else {
            self.bound(reach, &mut judged);
        }
        self.literals(reach, &mut judged.case);
        let notes = reach.notes.iter().map(|(at, text)| (self.subject(at), self.said(text.clone())));
        judged.case.notes.extend(notes);
        judged
    }

    /// A sentence as it may be said: one that repeats what looks like a pasted secret says that alone.
    pub(super) fn said(&self, text: String) -> String {
        if self.world.may_be_pasted(&text) { message::PASTED.to_owned() } else { text }
    }

    fn unknown(&self, reach: &Reach, case: &mut Case<'_>) {
        for access in reach.accesses.iter().take(MANY) {
            case.references.push(report(&access.asked(), None, Verdict::Unknown));
        }
    }

    fn bound(&self, reach: &Reach, judged: &mut Judged<'_>) {
        judged.case.references.reserve(reach.accesses.len().min(MANY));
        self.paths(reach.accesses.iter().map(Access::asked), judged);
        let others = reach.fills.iter().filter_map(|fill| fill.secret.as_deref());
        self.overwritten(
            &Pointer::to(reach.target_at),
            reach.target.as_deref().into_iter().chain(others),
            judged,
        );
        self.rest(reach, judged);
    }

    /// What of an object that is there would be refused if it were made now.
    pub fn of_held(&self, held: &Held) -> Vec<Refusal> {
        let mut judged = Judged::default();
        self.held(held, &mut judged);
        judged.case.refusals
    }

    fn held(&self, held: &Held, judged: &mut Judged<'_>) {
        self.paths(held.accesses(), judged);
        let others = (0..held.fill_count()).filter_map(|number| held.fill(number).secret);
        self.overwritten(&Pointer::Object, held.target().into_iter().chain(others), judged);
        if let Some(rest) = &held.rest {
            self.rest(rest, judged);
        }
    }

    /// The remote paths.
    fn paths<'a>(&self, accesses: impl Iterator<Item = Asked<'a>>, judged: &mut Judged<'_>) {
        // Nearly all of them are reached by one store, which is looked up once.
        let mut last: Option<(&Source, Leads<'_>)> = None;
        let mut stores = [None, None];
        for access in accesses {
            if let Source::Selected { cluster } = *access.source {
                let stores = stores[usize::from(cluster)].get_or_insert_with(|| self.stores(cluster));
                self.selected(&access, stores, judged);
                continue;
            }
            let found = match last.take() {
                Some((source, found)) if source == access.source => found,
                _ => self.place(access.source),
            };
            self.access(&access, &found, judged);
            last = Some((access.source, found));
        }
    }

    /// The Secrets that it fills: none of them is one that the sync writes.
    fn overwritten<'a>(&self, at: &Pointer, secrets: impl Iterator<Item = &'a str>, judged: &mut Judged<'_>) {
        // Keys of one Secret stand together, and each Secret is said once.
        let mut last = None;
        for secret in secrets {
            if last.replace(secret) == Some(secret)
                || self.world.state.catalogue.by_secret(secret).next().is_none()
            {
                continue;
            }
            self.refuse(&mut judged.case, at, Cause::Conflict, || message::overwrites(secret));
        }
    }

    /// All but the paths.
    fn rest(&self, reach: &Reach, judged: &mut Judged<'_>) {
        for (at, text) in &reach.faults {
            self.refuse(&mut judged.case, at, Cause::OutOfScope, || text.clone());
        }
        judged.case.dropped += reach.faults.further();
        for (at, identity, text) in &reach.identities {
            if let Err(why) = identity.judge(text, self.world.settings) {
                self.refuse(&mut judged.case, at, Cause::OutOfScope, || why.to_owned());
            }
        }
        for (at, name) in &reach.classes {
            self.class(at, name, judged);
        }
        for (at, name) in &reach.secrets {
            if self.world.is_foreign(name) {
                self.refuse(&mut judged.case, at, Cause::OutOfScope, || message::foreign_secret(name));
            }
        }
        for (at, text) in &reach.doubts {
            self.doubt(at, text, judged);
        }
        if self.world.settings.carriers.undecided(self.carrier.id) == Mode::Deny {
            judged.case.dropped += reach.doubts.further();
        }
    }

    /// One remote path.
    fn access(&self, access: &Asked<'_>, found: &Leads<'_>, judged: &mut Judged<'_>) {
        if let Source::Engine(place) = access.source
            && !place::has_row(place, access.key, self.world.settings)
        {
            // It is among the doubts of its object.
            return;
        }
        match self.verdict(access, found) {
            Err(why) => {
                self.reference(&mut judged.case, access, None, Verdict::Denied);
                self.doubt(access.at, &why, judged);
            }
            Ok(place::Verdict::Inside(path)) => {
                self.reference(&mut judged.case, access, path, Verdict::Allowed);
            }
            Ok(place::Verdict::Outside(path, why)) => {
                // A name without slashes says itself what to write: no path of the scope is one.
                let is_path =
                    found.as_ref().is_ok_and(|(place, _)| place.system.is_none_or(System::has_paths));
                let is_advised = is_path || *access.source == Source::Claim;
                let advice = if is_advised && why != message::PASTED { advice(access.how) } else { "" };
                self.reference(&mut judged.case, access, path, Verdict::Denied);
                let cause = self.cause(&why);
                self.refuse(&mut judged.case, access.at, cause, || why + advice);
            }
        }
    }

    /// What one remote path comes to, with how it came about; an error where its store is not there.
    fn verdict(&self, access: &Asked<'_>, found: &Leads<'_>) -> Result<place::Verdict, String> {
        let outside = |why: &str| Ok(place::Verdict::Outside(None, why.to_owned()));
        // What is pasted is refused inside of the scope too: the path would stand in the audit log.
        if self.world.is_pasted(access.key) {
            return outside(message::PASTED);
        }
        let is_claim = *access.source == Source::Claim;
        let (place, by) = match found {
            Err(_) if !is_claim && self.is_pasted(access.source, None) => return outside(message::PASTED),
            Err(why) if !is_claim => return Err(why.clone()),
            _ if self.world.stale => return outside(message::STALE),
            Ok((place, by)) => (*place, *by),
            Err(_) => return Ok(place::claimed(access.key, self.world.binding())),
        };
        if !place.prefix.is_empty() && self.world.is_pasted(&place.prefix) {
            return outside(message::PASTED);
        }
        let verdict = match place.remote(access.how, access.key) {
            Ok(remote) => place::judge(&remote, access.how, self.world.binding(), self.world.settings),
            Err(why) => place::Verdict::Outside(None, why),
        };
        match verdict {
            place::Verdict::Outside(..)
                if self.is_pasted(access.source, Some(place)) || self.world.may_be_pasted(access.key) =>
            {
                outside(message::PASTED)
            }
            place::Verdict::Outside(path, why) => {
                Ok(place::Verdict::Outside(path, why + &self.by(place, by, access)))
            }
            inside => Ok(inside),
        }
    }

    /// All stores, where labels may select any of them; none where there are more than anybody compares.
    fn stores(&self, cluster: bool) -> Vec<&'w Place> {
        let carried = if cluster { self.cluster } else { &self.world.state.carried };
        let stores = carried.objects().filter(|held| held.kind.kind == store_kind(cluster));
        let stores: Vec<&Place> =
            stores.filter_map(|held| held.place.as_deref()).take(SELECTED + 1).collect();
        if stores.len() > SELECTED { Vec::new() } else { stores }
    }

    /// A path by a store that labels select. That it cannot be said which one is a doubt of its own; but what is outside by each
    /// of them is outside.
    fn selected(&self, access: &Asked<'_>, stores: &[&Place], judged: &mut Judged<'_>) {
        let mut outside = None;
        for &place in stores {
            match self.verdict(access, &Ok((place, None))) {
                Ok(place::Verdict::Outside(path, why)) => outside = outside.or(Some((path, why))),
                Ok(place::Verdict::Inside(_)) | Err(_) => {
                    return self.reference(&mut judged.case, access, None, Verdict::Unknown);
                }
            }
        }
        let Some((path, why)) = outside else {
            return self.reference(&mut judged.case, access, None, Verdict::Unknown);
        };
        self.reference(&mut judged.case, access, path, Verdict::Denied);
        let cause = self.cause(&why);
        self.refuse(&mut judged.case, access.at, cause, || match why == message::PASTED {
            true => why,
            false => format!("{why} (whichever store is selected){}", advice(access.how)),
        });
    }

    /// Whether anything that would be said of a source looks like a pasted secret: not every one is seen in a sentence.
    fn is_pasted(&self, source: &Source, place: Option<&Place>) -> bool {
        let store = if let Source::Store { name, .. } = source { name } else { "" };
        let place = place.map(|place| [&*place.provider, &*place.name, &*place.tree]).unwrap_or_default();
        [store].into_iter().chain(place).any(|text| self.world.may_be_pasted(text))
    }

    /// How the path came about, where it is not what is written.
    fn by(&self, place: &Place, store: By<'_>, access: &Asked<'_>) -> String {
        let Some((cluster, name)) = store else { return String::new() };
        let (kind, name) = (store_kind(cluster), message::cut(name, NAME_CHARACTERS));
        match access.how {
            How::Find if !place.prefix.is_empty() => {
                format!(" (the prefix of {kind} {name} does not count for find)")
            }
            _ if !place.prefix.is_empty() => format!(" (with the prefix of {kind} {name})"),
            _ => format!(" (by {kind} {name})"),
        }
    }

    /// A SecretProviderClass that is named: whoever names it reads what it reads.
    fn class(&self, at: &Pointer, name: &str, judged: &mut Judged<'_>) {
        let Some(class) = self.world.state.carried.class(name) else {
            if self.world.may_be_pasted(name) {
                return self.refuse(&mut judged.case, at, Cause::Pasted, || message::PASTED.to_owned());
            }
            let text = format!(
                "SecretProviderClass {} is not there, so what it reads cannot be said; make the class first",
                message::cut(name, NAME_CHARACTERS)
            );
            return self.doubt(at, &text, judged);
        };
        let mut inner = Judged::default();
        // A class names no class, so this ends.
        self.held(class, &mut inner);
        if let Some(first) = inner.case.refusals.first() {
            self.refuse(&mut judged.case, at, Cause::OutOfScope, || {
                format!("SecretProviderClass {name} reaches what this namespace may not read: {}", first.text)
            });
        }
    }

    /// Where a source leads, and by which store.
    fn place<'p>(&'p self, source: &'p Source) -> Leads<'p> {
        let (cluster, name) = match source {
            Source::Place(place) | Source::Engine(place) => return Ok((place, None)),
            // `access` asks nobody where a claim leads, and `paths` looks at all stores that may be selected.
            Source::Claim | Source::Selected { .. } => return Err(String::new()),
            Source::Store { cluster, name } => (*cluster, &**name),
        };
        let changed = self.store.filter(|(of, store, _)| (*of, *store) == (cluster, name));
        let carried = if cluster { self.cluster } else { &self.world.state.carried };
        let place = match changed {
            Some((.., place)) => place,
            None => carried.store(cluster, name),
        };
        let kind = store_kind(cluster);
        place.map(|place| (place, Some((cluster, name)))).ok_or_else(|| {
            // Each entry repeats it.
            let name = message::cut(name, NAME_CHARACTERS);
            format!(
                "{kind} {name} is not there, so which path it asks for cannot be said; make the store first"
            )
        })
    }

    pub(super) fn refuse(
        &self,
        case: &mut Case<'_>,
        at: &Pointer,
        cause: Cause,
        text: impl FnOnce() -> String,
    ) {
        if case.refusals.len() < MANY {
            let text = message::cut(&self.said(text()), TEXT_CHARACTERS);
            case.refusals.push(Refusal { pointer: at.to_string(), subject: self.subject(at), text, cause });
        } else {
            case.dropped += 1;
        }
    }

    /// The kind of fault of a path that is outside, by the sentence that says why.
    fn cause(&self, why: &str) -> Cause {
        match () {
            () if why == message::PASTED => Cause::Pasted,
            () if self.world.stale => Cause::Stale,
            () => Cause::OutOfScope,
        }
    }

    /// What cannot be decided is denied, or said and let through.
    fn doubt(&self, at: &Pointer, text: &str, judged: &mut Judged<'_>) {
        match self.world.settings.carriers.undecided(self.carrier.id) {
            Mode::Deny => {
                self.refuse(&mut judged.case, at, Cause::Undecided, || {
                    format!(
                        "{text} (the setting carriers.undecided.{} says what becomes of that)",
                        self.carrier.id
                    )
                });
            }
            Mode::Audit => {
                judged.is_audited = true;
                if judged.case.notes.len() < MANY {
                    let text = self.said(text.to_owned());
                    judged.case.notes.push((self.subject(at), format!("let through undecided: {text}")));
                }
            }
        }
    }

    fn reference(&self, case: &mut Case<'_>, access: &Asked<'_>, path: Option<String>, verdict: Verdict) {
        if case.references.len() < MANY {
            case.references.push(report(access, path, verdict));
        }
    }

    /// Why one remote path may not be had; `None` where it may.
    pub(super) fn refusal_of(&self, access: &Asked<'_>) -> Option<String> {
        let mut judged = Judged::default();
        let found = self.place(access.source);
        self.access(access, &found, &mut judged);
        let refused = judged.case.refusals.into_iter().next()?;
        let why = match self.verdict(access, &found) {
            Ok(place::Verdict::Outside(_, why)) => self.said(why),
            _ => refused.text,
        };
        Some(why)
    }
}

fn report(access: &Asked<'_>, path: Option<String>, verdict: Verdict) -> ReferenceReport {
    ReferenceReport { pointer: access.at.written(), path, secret: None, key: None, verdict }
}
