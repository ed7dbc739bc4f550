//! The decision on one object of a carrier: who may have it at all, what it reaches, and what a store that changes does to
//! those who read through it.

use super::held::{Held, carrier_of, is_store};
use super::judge::{Court, Judged, UNDECIDED};
use super::place::Place;
use super::reach::{Reach, Source};
use super::settings::Mode;
use super::{Carrier, Handling, Kind, Known};
use crate::policy::decision::Decision;
use crate::policy::message;
use crate::policy::refusal::{Cause, Refusal};
use crate::policy::resolve::World;
use crate::policy::review::Review;
use crate::policy::snapshot::{Binding, NamespaceState, Snapshot};
use crate::policy::verdict::{self, Case, Subject};

/// Audit annotation of an object outside of bound namespaces.
const UNBOUND: &str = "carrier-unbound";

/// What becomes of an object of a carrier. The caller has seen to it that its namespace is known.
pub fn decide(review: &Review<'_>, known: Known, world: &World<'_>, snapshot: &Snapshot) -> Decision {
    let Some(object) = &review.foreign else { return Decision::allow() };
    // Of an update nothing is left over that could hide behind what was there: it is judged as a whole, or not at all.
    if review.old_foreign.as_ref().is_some_and(|old| object.is_judged_like(old)) {
        return Decision::allow();
    }
    let (carrier, kind) = match known {
        Known::Kind(_, kind) if matches!(kind.handling, Handling::Harmless) => return Decision::allow(),
        Known::Kind(carrier, kind) => (carrier, kind),
        Known::Group(carrier) => return unknown_kind(review, carrier, world),
    };
    let reach = kind.read(object);
    let name = if object.name().is_empty() { object.generate_name() } else { object.name() };
    let court = Court { world, cluster: &snapshot.cluster, carrier, kind, name, store: None };
    let (mut judged, is_outside) = match world.binding() {
        _ if kind.cluster_scoped => (of_cluster(&court, &reach), true),
        Binding::Unbound => (unbound(&court, &reach), true),
        Binding::Broken(why) => {
            let text = message::broken_binding(world.namespace, why);
            (refused(&court, Cause::Unbound, text, &reach), false)
        }
        Binding::Unknown | Binding::Bound { .. } => (in_namespace(&court, review, kind, &reach), false),
    };
    if let Some(place) = reach.place.as_ref().filter(|_| is_store(kind)) {
        // Readers of a store that leads there already were judged by that; a wrong one is refused itself.
        let known = if kind.cluster_scoped { &snapshot.cluster } else { &world.state.carried };
        let was_elsewhere = |old| kind.read(old).place.as_ref() != Some(place);
        if known.store(kind.cluster_scoped, name) != Some(place)
            || review.old_foreign.as_ref().is_some_and(was_elsewhere)
        {
            let changed = Some((kind.cluster_scoped, name, Some(place)));
            readers(&court, changed, snapshot, &mut judged.case);
        }
    }
    let mut decision = verdict::decide(judged.case, world, Subject::Carrier);
    if judged.is_audited {
        decision.rules.push(if is_outside { UNBOUND } else { UNDECIDED });
        decision.rules.sort_unstable();
    }
    decision
}

/// A kind of a carrier's group that this version has never heard of.
fn unknown_kind(review: &Review<'_>, carrier: &'static Carrier, world: &World<'_>) -> Decision {
    let is_free = match world.binding() {
        _ if review.namespace.is_none() => world.settings.carriers.cluster_scoped == Mode::Audit,
        Binding::Unbound => world.settings.carriers.unbound == Mode::Audit,
        Binding::Unknown => true,
        Binding::Bound { .. } | Binding::Broken(_) => false,
    };
    if is_free {
        return Decision { rules: vec![UNBOUND], ..Decision::allow() };
    }
    let kind = message::cut(&review.kind, 80);
    let text = format!(
        "this version of RefGate does not know this kind of {}, so whose secrets it reaches cannot be said; a newer one may",
        carrier.title
    );
    let refusals = vec![Refusal { pointer: String::new(), subject: kind, text, cause: Cause::Undecided }];
    verdict::decide(Case { refusals, ..Case::default() }, world, Subject::Carrier)
}

fn refused<'t>(court: &Court<'_>, cause: Cause, text: String, reach: &'t Reach) -> Judged<'t> {
    let mut judged = Judged::default();
    let subject = format!("{} {}", court.kind.kind, message::cut(court.name, 80));
    judged.case.refusals.push(Refusal {
        pointer: String::new(),
        subject: subject.trim_end().to_owned(),
        text,
        cause,
    });
    court.literals(reach, &mut judged.case);
    judged
}

/// Where a mode lets it through: what is plaintext is one all the same.
fn audited<'t>(court: &Court<'_>, text: &str, reach: &'t Reach) -> Judged<'t> {
    let mut judged = Judged { is_audited: true, ..Judged::default() };
    court.literals(reach, &mut judged.case);
    let remarks = reach.notes.iter().map(|(at, text)| (at.words(), court.said(text.clone())));
    judged.case.notes.extend(remarks);
    judged.case.notes.push((court.kind.kind.to_owned(), text.to_owned()));
    judged
}

/// A kind of the whole cluster. It belongs to no scope, so it is an operator's, and the configuration says whether any may.
fn of_cluster<'t>(court: &Court<'_>, reach: &'t Reach) -> Judged<'t> {
    if *court.world.binding() == Binding::Unknown {
        return court.judge(reach);
    }
    match court.world.settings.carriers.cluster_scoped {
        Mode::Audit => audited(court, "it is of the whole cluster, so no scope holds it", reach),
        Mode::Deny => {
            let text = "it is of the whole cluster, so no scope holds it; where operators make such objects, \
                        carriers.clusterScoped: audit of the configuration lets them, and what reads through them is judged all the same";
            refused(court, Cause::OutOfScope, text.to_owned(), reach)
        }
    }
}

fn unbound<'t>(court: &Court<'_>, reach: &'t Reach) -> Judged<'t> {
    match court.world.settings.carriers.unbound {
        Mode::Audit => {
            audited(court, "its namespace is bound to nothing, so no path of it was judged", reach)
        }
        Mode::Deny => {
            let text = message::unbound(court.world.namespace);
            refused(
                court,
                Cause::Unbound,
                format!("{text}; carriers.unbound: audit of the configuration lets such objects be"),
                reach,
            )
        }
    }
}

fn in_namespace<'t>(court: &Court<'_>, review: &Review<'_>, kind: &Kind, reach: &'t Reach) -> Judged<'t> {
    let is_fenced = court.world.binding().is_fenced();
    let mut judged = court.judge(reach);
    if is_fenced && !review.version.is_empty() && !kind.versions.contains(&&*review.version) {
        let text = format!(
            "this version of RefGate knows this kind as {}, and as no other",
            kind.versions.join(" and ")
        );
        let subject = format!("{}, apiVersion", kind.kind);
        let (pointer, cause) = ("/apiVersion".to_owned(), Cause::Undecided);
        judged.case.refusals.push(Refusal { pointer, subject, text, cause });
    }
    judged
}

/// Whoever reads through a store must still be inside when it changes, and when it comes after them.
fn readers(
    court: &Court<'_>,
    changed: Option<(bool, &str, Option<&Place>)>,
    snapshot: &Snapshot,
    case: &mut Case<'_>,
) {
    let Some((cluster, name, place)) = changed else { return };
    if court.world.stale {
        let subject = format!("{} {}, spec.provider", court.kind.kind, message::cut(name, 80));
        let text = message::STALE.to_owned();
        let (pointer, cause) = ("/spec/provider".to_owned(), Cause::Stale);
        return case.refusals.push(Refusal { pointer, subject, text, cause });
    }
    let own = [(court.world.namespace, court.world.state)];
    let all = snapshot.namespaces.iter().map(|(name, state)| (&**name, &**state));
    let states: Box<dyn Iterator<Item = (&str, &NamespaceState)>> =
        if cluster { Box::new(all) } else { Box::new(own.into_iter()) };
    let mut outside = Vec::new();
    for (namespace, state) in states.filter(|(_, state)| state.namespace.binding.is_fenced()) {
        let world = World { state, namespace, ..*court.world };
        for held in state.carried.readers(cluster, name) {
            let Some(carrier) = carrier_of(held.kind) else { continue };
            let store = Some((cluster, name, place));
            let there = Court {
                world: &world,
                cluster: &snapshot.cluster,
                carrier,
                kind: held.kind,
                name: held.name(),
                store,
            };
            if let Some(why) = there.outside_by(held, cluster, name) {
                outside.push(format!("{} {} in namespace {namespace}: {why}", held.kind.kind, held.name()));
            }
        }
    }
    outside.sort();
    let count = outside.len();
    if let Some(first) = outside.into_iter().next() {
        let more = match count {
            1 => String::new(),
            _ => format!("; and so would {} more objects", count - 1),
        };
        let subject = format!("{} {}, spec.provider", court.kind.kind, message::cut(name, 80));
        let text = format!(
            "what reads through it would then be outside of its scope: {first}{more}; leave provider and prefix as they are, \
             change what reads through it first, or make a store of another name"
        );
        let (pointer, cause) = ("/spec/provider".to_owned(), Cause::OutOfScope);
        case.refusals.push(Refusal { pointer, subject, text: court.said(text), cause });
    }
}

impl Court<'_> {
    /// Why something that an object reaches by one store is outside; `None` where nothing is. Of a store of the whole cluster
    /// the scope alone is told: paths of one namespace are for no other.
    fn outside_by(&self, held: &Held, cluster: bool, name: &str) -> Option<String> {
        let of_store = |source: &Source| match source {
            Source::Store { cluster: of, name: store } => (*of, &**store) == (cluster, name),
            Source::Place(_) | Source::Engine(_) | Source::Claim | Source::Selected { .. } => false,
        };
        let why =
            held.accesses().filter(|access| of_store(access.source)).find_map(|a| self.refusal_of(&a))?;
        match self.world.binding() {
            Binding::Bound { own, .. } if cluster => Some(format!("its namespace may read {own}")),
            _ => Some(why),
        }
    }
}

/// An object that is there and would be refused if it were made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// The carrier that it is of.
    pub carrier: &'static Carrier,
    /// Its kind.
    pub kind: &'static Kind,
    /// Its name.
    pub name: Box<str>,
    /// Why, in one line.
    pub why: String,
}

/// What of the objects in a bound namespace would be refused: some were there before anybody asked, and two changes at once
/// are each judged against the state before either.
pub fn outside(namespace: &str, state: &NamespaceState, snapshot: &Snapshot) -> Vec<Outside> {
    // Silence of the API server says nothing of these.
    let world = World { settings: &snapshot.settings, state, namespace, stale: false };
    let mut found = Vec::new();
    if !world.binding().is_fenced() {
        return found;
    }
    for held in state.carried.objects() {
        let Some(carrier) = carrier_of(held.kind) else { continue };
        let court = Court {
            world: &world,
            cluster: &snapshot.cluster,
            carrier,
            kind: held.kind,
            name: held.name(),
            store: None,
        };
        let first = match world.binding() {
            Binding::Broken(why) => Some(message::broken_binding(namespace, why)),
            _ => court
                .of_held(held)
                .into_iter()
                .next()
                .map(|first| format!("{}: {}", first.subject, first.text)),
        };
        if let Some(why) = first {
            found.push(Outside { carrier, kind: held.kind, name: held.name().into(), why });
        }
    }
    found
}
