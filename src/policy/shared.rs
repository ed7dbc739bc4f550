//! What the annotations of a pod ask for, resolved once and given to each container that they mean. A part of `plan`.

use std::collections::HashMap;

use super::absent;
use super::message;
use super::path::secret_name;
use super::plan::{ContainerPlan, EnvSet, Maker, Plan, Source, container_pointer};
use super::reference::{Reference, env_value};
use super::refusal::{Cause, Refusal};
use super::resolve::{Whole, World, env_properties};
use super::wishes::NamedWish;
use super::workload::json::escape;
use super::workload::object::Template;
use super::workload::pod::{Env, EnvFrom};

/// What the annotations ask for, resolved once for all containers.
#[derive(Default)]
pub struct Shared {
    /// Env vars: name, source, other names of the Secret that would do, origin, whether what is there goes first.
    env: Vec<SharedEnv>,
    /// Whole Secrets: name, and whether a container may start without it.
    env_from: Vec<(String, bool)>,
    /// Paths of those, with what asked for them.
    unnamed: Vec<(usize, String)>,
    files: Vec<(String, Source, usize)>,
    /// Positions in `env`, by name.
    by_name: HashMap<String, usize>,
}

struct SharedEnv {
    name: String,
    source: Source,
    /// The name that the Secret has if no catalogue says otherwise: an entry that reads it is resolved as well.
    other_secret: String,
    origin: usize,
    /// `env-from`: an entry of the same name goes first, as in Kubernetes' own `envFrom`.
    gives_way: bool,
}

impl Shared {
    /// Resolves what the annotations of a pod ask for.
    pub fn resolve(
        plan: &mut Plan<'_, '_>,
        template: &Template<'_>,
        world: &World<'_>,
        maker: Maker,
    ) -> Self {
        let mut shared = Self::default();
        let annotation = |key: &str| format!("{}/metadata/annotations/{}", template.pointer, escape(key));
        let wishes = std::mem::take(&mut plan.wishes);
        let mut first_origin = None;
        for (wish, is_file) in
            wishes.env.iter().map(|wish| (wish, false)).chain(wishes.files.iter().map(|wish| (wish, true)))
        {
            let NamedWish { key, name, reference } = wish;
            let origin = plan.origin(annotation(key), format!("annotation {key}"));
            first_origin.get_or_insert(origin);
            let Some(found) = plan.resolve(origin, reference, world) else { continue };
            let other_secret = secret_name(&found.path);
            let source = Source { secret: found.secret, key: found.key, optional: reference.optional };
            if is_file {
                shared.files.push(((*name).to_owned(), source, origin));
            } else {
                shared.push(SharedEnv {
                    name: (*name).to_owned(),
                    source,
                    other_secret,
                    origin,
                    gives_way: false,
                });
            }
        }
        for reference in &wishes.env_from {
            let origin =
                plan.origin(annotation("refgate.dev/env-from"), "annotation refgate.dev/env-from".to_owned());
            first_origin.get_or_insert(origin);
            shared.env_from(plan, origin, reference, world, maker);
        }
        // Two that want one variable are refused elsewhere; where that cannot be seen, it is said.
        for (origin, path) in std::mem::take(&mut shared.unnamed) {
            if wishes.env_from.len() > 1 {
                plan.notes.push((plan.origins[origin].1.clone(), message::env_from_unnamed(&path)));
            }
        }
        plan.wishes = wishes;
        if let Some(origin) = first_origin
            && !template.containers().any(|place| plan.selects(&place, world))
        {
            plan.refuse(
                origin,
                Cause::Misplaced,
                "it means no container: all of them are known proxies; name one in refgate.dev/containers",
            );
        }
        shared
    }

    /// How many variables and files each container gets.
    pub fn len(&self) -> usize {
        self.env.len() + self.env_from.len() + self.files.len()
    }

    fn push(&mut self, env: SharedEnv) {
        self.by_name.insert(env.name.clone(), self.env.len());
        self.env.push(env);
    }

    fn env_from(
        &mut self,
        plan: &mut Plan<'_, '_>,
        origin: usize,
        reference: &Reference<'_>,
        world: &World<'_>,
        maker: Maker,
    ) {
        let notes = plan.notes.len();
        let Some((found, whole)) = plan.resolve_whole(origin, reference, world) else { return };
        match whole {
            Some(Whole::Secret) => {
                self.unnamed.push((origin, found.path));
                self.env_from.push((found.secret, reference.optional));
                return;
            }
            Some(Whole::Keys(keys)) => {
                for (name, secret, key) in keys {
                    let source = Source { secret, key, optional: reference.optional };
                    self.property(plan, origin, &found.path, name, source);
                }
                return;
            }
            None => {}
        }
        let Some(entry) = found.entry else {
            if !reference.optional && !world.state.catalogue.is_unknown() {
                // The note says that the pod waits; it does not, it is refused.
                plan.notes.truncate(notes);
                let absent = world.absent(&found.path, plan.suggests(), None);
                let text = absent::env_from_not_synced(&absent, &reference.written(), maker);
                plan.refuse(origin, Cause::NotSynced, text);
            }
            return;
        };
        let properties = env_properties(entry);
        if properties.is_empty() {
            // Without a whole `value`, or with nothing but it, there is nothing to spread out.
            plan.refuse(origin, Cause::NoProperties, message::env_from_plain(&found.path));
        }
        for (name, key) in properties {
            let source =
                Source { secret: found.secret.clone(), key: key.to_owned(), optional: reference.optional };
            self.property(plan, origin, &found.path, name, source);
        }
    }

    /// One property of a secret of `env-from`.
    fn property(&mut self, plan: &mut Plan<'_, '_>, origin: usize, path: &str, name: String, source: Source) {
        if let Some(other) = self.by_name.get(&name).map(|&position| &self.env[position]) {
            let first = plan.origins[other.origin].1.clone();
            let first = if other.gives_way { format!("an earlier secret of {first}") } else { first };
            return plan.refuse(
                origin,
                Cause::Conflict,
                message::clash(&format!("env var {name}"), &first, path),
            );
        }
        self.push(SharedEnv { name, source, other_secret: secret_name(path), origin, gives_way: true });
    }

    /// Gives one container what the annotations ask for and what it does not have yet.
    pub fn apply(
        &self,
        plan: &mut Plan<'_, '_>,
        template: &Template<'_>,
        container: &mut ContainerPlan<'_, '_>,
    ) {
        let env = container.place.container.env.as_deref().unwrap_or_default();
        // Of several entries of one name the last one counts, at runtime too.
        let wanted = if self.env.is_empty() { &[][..] } else { env };
        let by_name: HashMap<&str, usize> =
            wanted.iter().enumerate().map(|(index, entry)| (&*entry.name, index)).collect();
        let references = references_by_name(wanted);
        for shared in &self.env {
            let index = by_name.get(shared.name.as_str()).copied();
            let there = index.map(|index| &env[index]);
            if let Some(index) = references.get(shared.name.as_str()) {
                let subject = message::env_place(&container.place.container.name, &shared.name);
                let other = plan.origins[shared.origin].1.clone();
                let pointer = container_pointer(template, &container.place);
                let text = message::clash("env var", "its own value", &other);
                let pointer = format!("{pointer}/env/{index}/value");
                plan.refuse_at(Refusal { pointer, subject, text, cause: Cause::Conflict });
                continue;
            }
            let resolved = there.is_some_and(|entry| reads(entry, &shared.source, &shared.other_secret));
            let stays = shared.gives_way && there.is_some();
            if !(resolved || stays) {
                let (name, source) = (shared.name.clone(), shared.source.clone());
                container.env.push(EnvSet { index, name, source, origin: shared.origin });
            }
        }
        let there = &container.place.container.env_from;
        let is_there = |secret: &str| {
            let is_it = |from: &EnvFrom<'_>| {
                let name = from.secret_ref.as_ref().and_then(|named| named.name.as_deref());
                name == Some(secret) && from.prefix.as_deref().is_none_or(str::is_empty)
            };
            there.iter().any(is_it)
        };
        container.env_from.extend(self.env_from.iter().filter(|(secret, _)| !is_there(secret)).cloned());
        for (name, source, origin) in &self.files {
            plan.claim_file(container, name, source.clone(), *origin);
        }
    }
}

/// Where a name has a reference: in any of its entries, or one that an empty one follows would be lost unsaid.
fn references_by_name<'e>(env: &'e [Env<'_>]) -> HashMap<&'e str, usize> {
    let reference = |entry: &Env<'_>| entry.value.as_deref().is_some_and(|value| env_value(value).is_some());
    env.iter()
        .enumerate()
        .filter(|(_, entry)| reference(entry))
        .map(|(index, entry)| (&*entry.name, index))
        .collect()
}

/// Whether an entry reads this key already, from either name that its Secret may have.
fn reads(entry: &Env<'_>, source: &Source, other_secret: &str) -> bool {
    let Some(secret) = entry.value_from.as_ref().and_then(|from| from.secret.as_ref()) else { return false };
    entry.value.as_deref().is_none_or(str::is_empty)
        && secret.key.as_deref() == Some(source.key.as_str())
        && secret.name.as_deref().is_some_and(|name| name == source.secret || name == other_secret)
}
