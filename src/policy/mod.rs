//! The pure part: bytes and a snapshot in, a decision out.
//!
//! No clock, no I/O, no lock, no log: all that [`decide`] may depend on is in its two arguments, and all that happened
//! is in what it returns. The server, the commands, the tests, the fuzzers and the benchmarks call it and nothing else.

mod absent;
pub mod allow;
mod annotation;
pub mod bounds;
pub mod carriers;
pub mod decision;
mod entries;
mod envelope;
pub mod fault;
mod fence;
pub mod finding;
pub mod foreign;
pub mod inject;
pub mod judge;
pub mod leftover;
pub mod level;
mod line;
pub mod message;
mod order;
mod pasted;
pub mod path;
pub mod plan;
pub mod printed;
pub mod reference;
pub mod refs;
pub mod refusal;
pub mod resolve;
pub mod review;
pub mod rules;
mod shared;
pub mod snapshot;
mod spot;
mod stray;
pub mod verdict;
pub mod wishes;
pub mod workload;

use std::collections::BTreeSet;

use carriers::Known;
use decision::{Decision, Outcome};
use judge::{Seen, judge};
use plan::{Maker, Plan, plan};
use refusal::{Cause, Refusal};
use resolve::World;
use review::{Endpoint, Review};
use snapshot::{NamespaceState, Snapshot};
use verdict::{Case, Subject};
use workload::object::{Object, Template};
use workload::{CONFIG_MAP, KINDS, Kind};

/// What one review comes to, in the world that `snapshot` shows. Total: whatever the review holds, there is a decision.
pub fn decide(review: &Review<'_>, snapshot: &Snapshot) -> Decision {
    if !is_judged(review) {
        return Decision::allow();
    }
    if let Some(known) = carriers::known(&review.group, &review.kind) {
        return carried(review, known, snapshot);
    }
    let Some(object) = &review.object else { return Decision::allow() };
    let nowhere = NamespaceState::default();
    let namespace = review.namespace.as_deref().unwrap_or_default();
    let state = match snapshot.namespaces.get(namespace) {
        Some(state) => state,
        None if !namespace.is_empty() => return not_seen_yet(namespace),
        // All kinds of Kubernetes itself that are judged live in namespaces.
        None if KINDS
            .iter()
            .chain([&CONFIG_MAP])
            .any(|kind| kind.kind == review.kind && kind.group == review.group) =>
        {
            return review::unreadable("/request/namespace", "it is missing");
        }
        None => &nowhere,
    };
    let world = World { settings: &snapshot.settings, state, namespace, stale: snapshot.stale };
    let kind =
        world.settings.judged.iter().find(|kind| kind.kind == review.kind && kind.group == review.group);
    match review.endpoint {
        Endpoint::Mutate => Decision { is_first_look: true, ..mutate(review, object, kind, &world) },
        Endpoint::Validate => validate(review, object, kind, &world),
    }
}

/// Subresources of a pod that hold nothing to judge. One that nobody here has heard of is judged.
const IGNORED_SUBRESOURCES: [&str; 9] =
    ["status", "scale", "resize", "binding", "eviction", "exec", "attach", "portforward", "proxy"];

/// Whether there is anything to judge. An object without a pod template still has annotations.
fn is_judged(review: &Review<'_>) -> bool {
    let is_change = matches!(&*review.operation, "CREATE" | "UPDATE");
    is_change && !IGNORED_SUBRESOURCES.contains(&&*review.sub_resource)
}

/// An object of another sync system. It is judged once, by the validating webhook.
fn carried(review: &Review<'_>, known: Known, snapshot: &Snapshot) -> Decision {
    let nowhere = NamespaceState::default();
    let namespace = review.namespace.as_deref().unwrap_or_default();
    let state = match snapshot.namespaces.get(namespace) {
        _ if review.endpoint == Endpoint::Mutate => return Decision::allow(),
        Some(state) => state,
        None if !namespace.is_empty() => return not_seen_yet(namespace),
        None if matches!(known, Known::Kind(_, kind) if !kind.cluster_scoped) => {
            return review::unreadable("/request/namespace", "it is missing");
        }
        None => &nowhere,
    };
    let world = World { settings: &snapshot.settings, state, namespace, stale: snapshot.stale };
    carriers::decide(review, known, &world, snapshot)
}

fn not_seen_yet(namespace: &str) -> Decision {
    let message = format!("RefGate has not heard of namespace {namespace} yet; try again");
    Decision { outcome: Outcome::Unavailable { message }, ..Decision::default() }
}

/// A pod that no controller makes again has a name of its own; a controller's has a `generateName`.
fn maker(template: &Template<'_>) -> Maker {
    match (template.pointer.is_empty(), template.metadata.generate_name.is_some()) {
        (true, false) => Maker::Person,
        (true, true) => Maker::Controller,
        (false, _) => Maker::Template,
    }
}

/// Injects; refuses what cannot or must not be resolved. Pods are patched when they are made, and never later.
fn mutate(review: &Review<'_>, object: &Object<'_>, kind: Option<&Kind>, world: &World<'_>) -> Decision {
    let Some(template) = &object.template else { return Decision::allow() };
    let is_new_pod =
        template.pointer.is_empty() && review.operation == "CREATE" && review.sub_resource.is_empty();
    // A mirror pod shows what a kubelet runs already; changing it changes nothing.
    let is_mirror = template
        .metadata
        .annotations
        .as_ref()
        .is_some_and(|all| all.get("kubernetes.io/config.mirror").is_some());
    if !is_new_pod || is_mirror {
        return Decision::allow();
    }
    let plan = plan(template, world, maker(template));
    let patch =
        if plan.is_refused() { Err(None) } else { inject::patch(&plan, template, world).map_err(Some) };
    match patch {
        Ok(patch) => {
            let case = Case { notes: plan.notes, references: plan.references, ..Case::default() };
            Decision { patch, ..verdict::decide(case, world, Subject::Pod) }
        }
        // A pod that is denied here never reaches the validating webhook, so all that it would say is said now.
        Err(overflow) => {
            let case = examine(review, object, kind, world);
            verdict::decide(Case { overflow: case.overflow.or(overflow), ..case }, world, Subject::Pod)
        }
    }
}

/// Judges what all mutators left: the whole of what is new, and of an update what it changes.
fn validate(review: &Review<'_>, object: &Object<'_>, kind: Option<&Kind>, world: &World<'_>) -> Decision {
    let is_pod = object.template.as_ref().is_some_and(|template| template.pointer.is_empty());
    let case = examine(review, object, kind, world);
    let subject = match kind {
        _ if is_pod => Subject::Pod,
        Some(kind) if kind.holds_data() => Subject::Data,
        _ => Subject::Workload,
    };
    let case = match &review.old_object {
        Some(old) if review.operation == "UPDATE" => {
            let mut before = examine(review, old, kind, world);
            // A text that comes in place of another is new, whatever was to be said of that one.
            if !before.refusals.is_empty() {
                let changed = object.changed(old);
                before.refusals.retain(|refusal| !changed.contains(&refusal.pointer));
            }
            case.without(before)
        }
        _ => case,
    };
    verdict::decide(case, world, subject)
}

/// All that there is to say about one object.
fn examine<'t>(
    review: &Review<'_>,
    object: &'t Object<'_>,
    kind: Option<&Kind>,
    world: &World<'_>,
) -> Case<'t> {
    let seen = judge(object, kind, world);
    let Seen { mut struck, mut refusals, mut notes, mut references, mut as_env, mut dropped, .. } = seen;
    let (unlisted, unlisted_probable) = (seen.unlisted, seen.unlisted_probable);
    verdict::drop_repeats(&mut struck);
    let mut overflow = None;
    if let Some(template) = &object.template {
        let plan = plan(template, world, maker(template));
        if template.pointer.is_empty() && review.endpoint == Endpoint::Validate {
            refusals.extend(unresolved(&plan, review));
        }
        as_env
            .extend(plan.containers.iter().flat_map(|container| &container.env).map(|set| set.name.clone()));
        notes.extend(plan.notes);
        if template.pointer.is_empty() {
            refusals.extend(plan.refusals);
        } else {
            let (awaited, denied): (Vec<_>, Vec<_>) =
                plan.refusals.into_iter().partition(|refusal| refusal.cause.is_awaited());
            refusals.extend(denied);
            if !awaited.is_empty() {
                notes.extend(awaited.into_iter().map(|refusal| (refusal.subject, refusal.text)));
                notes.push(("its pods".to_owned(), absent::pods_wait(retry(review))));
            }
        }
        references.extend(plan.references);
        overflow = plan.overflow;
        dropped += plan.dropped;
    }
    Case {
        refusals,
        notes,
        references,
        struck,
        as_env,
        unchanged: Vec::new(),
        dropped,
        unlisted,
        unlisted_probable,
        overflow,
    }
}

/// How long a controller of Kubernetes that was refused a pod waits at most before it tries again: queues that double their wait
/// up to 1,000 seconds (client-go, `DefaultTypedControllerRateLimiter`), and the Job controller's own up to a minute
/// (`MaxJobApiBackOff`). Not known of other controllers.
fn retry(review: &Review<'_>) -> Option<&'static str> {
    match (&*review.group, &*review.kind) {
        ("batch", "Job" | "CronJob") => Some("a minute"),
        ("" | "apps", _) => Some("17 minutes"),
        _ => None,
    }
}

/// References of a pod that the mutating webhook should have resolved, each once.
fn unresolved(plan: &Plan<'_, '_>, review: &Review<'_>) -> Vec<Refusal> {
    let why = if review.operation == "CREATE" { message::MADE_LATER } else { message::TOO_LATE };
    let mut origins = BTreeSet::new();
    for container in &plan.containers {
        origins.extend(container.env.iter().map(|set| set.origin));
        if container.mount || !container.paths.is_empty() {
            origins.extend(container.files.values().map(|(_, origin)| *origin));
        }
    }
    origins
        .into_iter()
        .map(|origin| {
            let (pointer, subject) = plan.origins[origin].clone();
            Refusal { pointer, subject, text: why.to_owned(), cause: Cause::Unresolved }
        })
        .collect()
}
