//! What a pod's references come to: which env vars and files each container gets, or why not.
//!
//! `resolve` answers for one reference, this puts all of them together and finds where two want one place; `inject`
//! turns the result into a patch. Nothing is planned that is there already, so that a plan for our own output is empty.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::bounds::MANY;
use super::decision::{ReferenceReport, Verdict};
use super::message;
use super::path::secret_name;
use super::reference::{Reference, Use, env_value};
use super::refusal::{Cause, Refusal};
use super::resolve::{Found, Resolution, Whole, World};
use super::shared::Shared;
use super::wishes::{MOUNT_PATH, Wishes, check_file};
use super::workload::object::{Place, Template};
use super::workload::pod::Env;
use super::workload::volume::Volume;

/// So many notes and refusals are worth a "did you mean"; looking for one costs more than all the rest.
const SUGGESTIONS: usize = 8;

/// Most references of one pod; each costs a few hundred bytes while it is judged.
const REFERENCES: usize = 2_000;
/// Most variables and files that annotations bring, in all containers together.
const INJECTIONS: usize = 10_000;

/// Which key of which Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Name of the Secret.
    pub secret: String,
    /// Key in its data.
    pub key: String,
    /// Whether the container may start without it.
    pub optional: bool,
}

/// An env var to set.
#[derive(Debug)]
pub struct EnvSet {
    /// The entry that is there, or none: then one is added, before the first entry that uses the variable.
    pub index: Option<usize>,
    /// Name of the variable.
    pub name: String,
    /// What it is read from.
    pub source: Source,
    /// What asked for it: an index into [`Plan::origins`].
    pub origin: usize,
}

/// What one container gets.
#[derive(Debug)]
pub struct ContainerPlan<'t, 'a> {
    /// The container.
    pub place: Place<'t, 'a>,
    /// Env vars to set, in the order in which they are added.
    pub env: Vec<EnvSet>,
    /// Whole Secrets, in their order: name, and whether the container may start without it.
    pub env_from: Vec<(String, bool)>,
    /// Env entries whose value becomes the path of a file: index and name.
    pub paths: Vec<(usize, String)>,
    /// All files that it wants, by name, each with what asked for it.
    pub files: BTreeMap<String, (Source, usize)>,
    /// Whether they are not mounted yet.
    pub mount: bool,
}

/// What all containers of a pod get.
#[derive(Debug, Default)]
pub struct Plan<'t, 'a> {
    /// The annotations.
    pub wishes: Wishes<'t>,
    /// Containers that get something.
    pub containers: Vec<ContainerPlan<'t, 'a>>,
    /// Where each reference stands: pointer, and words for it.
    pub origins: Vec<(String, String)>,
    /// Why something cannot be had.
    pub refusals: Vec<Refusal>,
    /// What the developer should know: words for the place, and a sentence.
    pub notes: Vec<(String, String)>,
    /// Each reference and what became of it.
    pub references: Vec<ReferenceReport>,
    /// Paths by the Secret that holds them, as far as this plan found out.
    pub paths: BTreeMap<String, String>,
    /// How many refusals there are besides those that are kept.
    pub dropped: usize,
    /// Why not all of it was planned; then nothing is injected.
    pub overflow: Option<&'static str>,
}

/// Who makes the pods that are planned for; the advice differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// A person or a program, once: a bare pod.
    Person,
    /// A controller, which tries again.
    Controller,
    /// Nobody yet: it is a workload's template.
    Template,
}

/// Plans for one pod or template.
pub fn plan<'t, 'a>(template: &'t Template<'a>, world: &World<'_>, maker: Maker) -> Plan<'t, 'a> {
    let mut plan = Plan { wishes: Wishes::read(template), ..Plan::default() };
    plan.refusals.append(&mut plan.wishes.refusals);
    plan.dropped = plan.wishes.dropped;
    if plan.wishes.is_empty() && !template.containers().any(|place| has_reference(&place)) {
        return plan;
    }
    if plan.wishes.len() > REFERENCES {
        plan.overflow = Some(message::TOO_MANY_REFERENCES);
        return plan;
    }
    let shared = Shared::resolve(&mut plan, template, world, maker);
    let selected = template.containers().filter(|place| plan.selects(place, world)).count();
    if shared.len().saturating_mul(selected) > INJECTIONS {
        plan.overflow = Some(message::TOO_MANY_INJECTIONS);
        return plan;
    }
    let mut mounted = Mounted::new(template);
    for place in template.containers() {
        let mut container = ContainerPlan {
            place,
            env: Vec::new(),
            env_from: Vec::new(),
            paths: Vec::new(),
            files: BTreeMap::new(),
            mount: false,
        };
        plan.env_values(template, &mut container, world);
        if plan.selects(&place, world) {
            shared.apply(&mut plan, template, &mut container);
        }
        plan.mount(&mut mounted, &mut container);
        if !container.is_empty() {
            plan.containers.push(container);
        }
    }
    plan
}

fn has_reference(place: &Place<'_, '_>) -> bool {
    let env = place.container.env.as_deref().unwrap_or_default();
    env.iter().any(|entry| entry.value.as_deref().is_some_and(|value| env_value(value).is_some()))
}

/// Pointer to a container.
pub fn container_pointer(template: &Template<'_>, place: &Place<'_, '_>) -> String {
    format!("{}/spec/{}/{}", template.pointer, place.list, place.index)
}

impl ContainerPlan<'_, '_> {
    fn is_empty(&self) -> bool {
        self.env.is_empty() && self.env_from.is_empty() && self.paths.is_empty() && self.files.is_empty()
    }
}

impl<'t, 'a> Plan<'t, 'a> {
    /// Whether nothing may be injected.
    pub fn is_refused(&self) -> bool {
        !self.refusals.is_empty() || self.overflow.is_some()
    }

    /// Whether the annotations mean a container.
    pub fn selects(&self, place: &Place<'_, '_>, world: &World<'_>) -> bool {
        place.list != "ephemeralContainers"
            && self.wishes.selects(&place.container.name, &world.settings.skip_containers)
    }

    /// Refuses what stands at an origin.
    pub fn refuse(&mut self, origin: usize, cause: Cause, text: impl Into<String>) {
        let (pointer, subject) = self.origins[origin].clone();
        self.refuse_at(Refusal { pointer, subject, text: text.into(), cause });
    }

    /// Refuses what stands at a pointer.
    pub fn refuse_at(&mut self, refusal: Refusal) {
        if self.refusals.len() < MANY {
            self.refusals.push(refusal);
        } else {
            self.dropped += 1;
        }
    }

    /// Notes where a reference stands.
    pub fn origin(&mut self, pointer: String, subject: String) -> usize {
        self.origins.push((pointer, subject));
        self.origins.len() - 1
    }

    /// Whether "did you mean" is worth looking for: it stands in notes and in refusals.
    pub fn suggests(&self) -> bool {
        self.notes.len() + self.refusals.len() < SUGGESTIONS
    }

    /// Resolves one reference and reports what became of it.
    pub fn resolve<'s>(
        &mut self,
        origin: usize,
        reference: &Reference<'_>,
        world: &World<'s>,
    ) -> Option<Found<'s>> {
        let suggest = self.suggests();
        self.resolved(origin, world.resolve(reference, suggest))
    }

    /// Resolves a secret of which all properties are wanted.
    pub fn resolve_whole<'s>(
        &mut self,
        origin: usize,
        reference: &Reference<'_>,
        world: &World<'s>,
    ) -> Option<(Found<'s>, Option<Whole>)> {
        let suggest = self.suggests();
        let (resolution, whole) = world.resolve_whole(reference, suggest);
        let found = self.resolved(origin, resolution);
        if let Some(report) = self.references.last_mut() {
            report.key = None;
        }
        Some((found?, whole))
    }

    fn resolved<'s>(&mut self, origin: usize, resolution: Resolution<'s>) -> Option<Found<'s>> {
        let (path, verdict, found) = match resolution {
            Resolution::Found(found) => (Some(found.path.clone()), Verdict::Allowed, Some(found)),
            Resolution::Unknown(path) => (path, Verdict::Unknown, None),
            Resolution::Refused { path, cause, why } => {
                self.refuse(origin, cause, why);
                let verdict = if cause.is_awaited() { Verdict::Allowed } else { Verdict::Denied };
                (path, verdict, None)
            }
        };
        if let Some(found) = &found {
            self.paths.insert(found.secret.clone(), found.path.clone());
            if let Some(note) = &found.note {
                self.notes.push((self.origins[origin].1.clone(), note.clone()));
            }
        }
        self.references.push(ReferenceReport {
            pointer: self.origins[origin].0.clone(),
            path,
            secret: found.as_ref().map(|found| found.secret.clone()),
            key: found.as_ref().map(|found| found.key.clone()),
            verdict,
        });
        found
    }

    /// References that stand as env values.
    fn env_values(
        &mut self,
        template: &Template<'_>,
        container: &mut ContainerPlan<'t, 'a>,
        world: &World<'_>,
    ) {
        let place = container.place;
        let env = place.container.env.as_deref().unwrap_or_default();
        let mut claimed = HashSet::new();
        for (index, entry) in env.iter().enumerate() {
            let Some((wanted, parsed)) = entry.value.as_deref().and_then(env_value) else { continue };
            if self.references.len() >= REFERENCES {
                self.overflow = Some(message::TOO_MANY_REFERENCES);
                return;
            }
            let pointer = format!("{}/env/{index}/value", container_pointer(template, &place));
            let origin = self.origin(pointer, message::env_place(&place.container.name, &entry.name));
            if let Some(found) = self.env_value(origin, &place, entry, parsed, world)
                && self.claim_env(origin, claimed.insert(&*entry.name), index)
            {
                let (found, optional) = found;
                let source = Source { secret: found.secret, key: found.key, optional };
                match wanted {
                    Use::Env => {
                        let name = entry.name.to_string();
                        container.env.push(EnvSet { index: Some(index), name, source, origin });
                    }
                    Use::File => match check_file(&entry.name) {
                        Ok(()) => {
                            container.paths.push((index, entry.name.to_string()));
                            self.claim_file(container, &entry.name, source, origin);
                        }
                        Err(text) => self.refuse(origin, Cause::Syntax, text),
                    },
                }
            }
        }
    }

    fn env_value<'s>(
        &mut self,
        origin: usize,
        place: &Place<'_, '_>,
        entry: &Env<'_>,
        parsed: Result<Reference<'_>, super::reference::ReferenceError>,
        world: &World<'s>,
    ) -> Option<(Found<'s>, bool)> {
        let reference = match parsed {
            Ok(reference) => reference,
            Err(error) => {
                let pointer = self.origins[origin].0.clone();
                let denied = ReferenceReport {
                    pointer,
                    path: None,
                    secret: None,
                    key: None,
                    verdict: Verdict::Denied,
                };
                self.references.push(denied);
                self.refuse(origin, Cause::Syntax, error.to_string());
                return None;
            }
        };
        let found = self.resolve(origin, &reference, world)?;
        if place.list == "ephemeralContainers" {
            self.refuse(origin, Cause::Misplaced, message::EPHEMERAL);
            return None;
        }
        if entry.value_from.is_some() {
            self.refuse(origin, Cause::Conflict, message::BOTH);
            return None;
        }
        Some((found, reference.optional))
    }

    /// Whether no other reference of the container wants the same variable.
    fn claim_env(&mut self, origin: usize, first: bool, index: usize) -> bool {
        if !first {
            let text =
                message::clash("env var", "an earlier entry of the same name", &format!("entry {index}"));
            self.refuse(origin, Cause::Conflict, text);
        }
        first
    }

    /// Gives a container a file, unless another reference wants the same one.
    pub fn claim_file(
        &mut self,
        container: &mut ContainerPlan<'_, '_>,
        name: &str,
        source: Source,
        origin: usize,
    ) {
        if let Some((_, other)) = container.files.get(name) {
            let (first, second) = (self.origins[*other].1.clone(), self.origins[origin].1.clone());
            self.refuse(origin, Cause::Conflict, message::clash(&format!("file {name}"), &first, &second));
        } else {
            container.files.insert(name.to_owned(), (source, origin));
        }
    }

    /// Finds out whether the files of a container are mounted already, and whether there is room for them.
    fn mount(&mut self, mounted: &mut Mounted<'_, '_>, container: &mut ContainerPlan<'_, '_>) {
        if container.files.is_empty() {
            return;
        }
        let path = self.wishes.mount_path.unwrap_or(MOUNT_PATH);
        let mounts = container.place.container.volume_mounts.as_deref().unwrap_or_default();
        let Some(mount) = mounts.iter().find(|mount| mount.mount_path.trim_end_matches('/') == path) else {
            container.mount = true;
            return;
        };
        let shown = mounted.shown(&mount.name);
        let whole = mount.sub_path.as_deref().is_none_or(str::is_empty) && mount.sub_path_expr.is_none();
        for (file, (source, origin)) in &container.files {
            let other = self.paths.get(&source.secret).map(|path| secret_name(path)).unwrap_or_default();
            let holds = |secret: &str| shown.contains(&(file.as_str(), secret, source.key.as_str()));
            if !(whole && (holds(&source.secret) || holds(&other))) {
                let name = &container.place.container.name;
                let text = format!(
                    "something else is mounted at {path} in container {}; choose another refgate.dev/mount-path",
                    &**name
                );
                self.refuse(*origin, Cause::Conflict, text);
            }
        }
    }
}

/// What the volumes of a pod show, each looked at once, however many containers mount it.
struct Mounted<'t, 'a> {
    volumes: HashMap<&'t str, &'t Volume<'a>>,
    shown: HashMap<&'t str, HashSet<Shown<'t>>>,
}

/// File, Secret and key.
type Shown<'t> = (&'t str, &'t str, &'t str);

impl<'t, 'a> Mounted<'t, 'a> {
    fn new(template: &'t Template<'a>) -> Self {
        let volumes = template.spec.volumes.iter().flatten().map(|volume| (&*volume.name, volume)).collect();
        Self { volumes, shown: HashMap::new() }
    }

    /// What the volume of a name shows; nothing if there is none.
    fn shown(&mut self, name: &str) -> &HashSet<Shown<'t>> {
        let volume = self.volumes.get_key_value(name);
        let (name, volume) = volume.map_or(("", None), |(name, volume)| (*name, Some(*volume)));
        self.shown.entry(name).or_insert_with(|| {
            let secrets = volume.into_iter().flat_map(|volume| &volume.projected);
            secrets
                .flat_map(|secret| {
                    let name = secret.name.as_deref().unwrap_or_default();
                    secret.items.iter().map(move |item| (&*item.path, name, &*item.key))
                })
                .collect()
        })
    }
}
