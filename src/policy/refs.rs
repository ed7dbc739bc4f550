//! The annotation `refgate.dev/refs`: which paths a pod uses, by which key of which Secret. Computed from the containers as
//! the patch leaves them, and never believed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::message;
use super::path::secret_name;
use super::plan::{ContainerPlan, EnvSet, Plan};
use super::reference::Use;
use super::resolve::{EVERY_KEY, World};
use super::workload::json::Text;
use super::workload::object::{Place, Template};
use super::workload::volume::Volume;

/// The annotation that says which paths a pod uses.
pub const REFS: &str = "refgate.dev/refs";

/// One row of the annotation.
#[derive(Serialize)]
struct Ref<'r> {
    path: &'r str,
    secret: &'r str,
    key: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'r str>,
    r#use: &'static str,
    at: &'r BTreeSet<String>,
}

/// The texts in a value of this annotation; `None` where it is not in its form.
pub fn texts_of_refs(value: &str) -> Option<Vec<Text<'_>>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row<'a> {
        #[serde(borrow)]
        path: Text<'a>,
        secret: Text<'a>,
        key: Text<'a>,
        #[serde(default)]
        version: Text<'a>,
        r#use: Text<'a>,
        at: Vec<Text<'a>>,
    }
    let rows: Vec<Row<'_>> = serde_json::from_str(value).ok()?;
    Some(
        rows.into_iter()
            .flat_map(|row| [row.path, row.secret, row.key, row.version, row.r#use].into_iter().chain(row.at))
            .collect(),
    )
}

/// What an incoming annotation claims. Only the name of a Secret that its path gives by the hash is taken from it.
#[derive(Deserialize)]
struct Claim {
    path: String,
    secret: String,
}

/// What containers read: path, Secret, key and use, and where.
#[derive(Default)]
struct Reads {
    rows: BTreeMap<(String, String, String, Use), BTreeSet<String>>,
    /// How often a key was looked at: a bound on the work, since volumes are mounted into any number of containers.
    looks: usize,
}

/// Most keys of Secrets that the containers of a pod read, all together, and paths that those may be of.
const READS: usize = 20_000;
/// So many bytes all annotations of an object may have (Kubernetes, `ValidateAnnotationsSize`).
const ANNOTATIONS_BYTES: usize = 262_144;

/// What the containers use once the patch is applied, as the annotation has it; empty where they use nothing.
pub fn text(plan: &Plan<'_, '_>, template: &Template<'_>, world: &World<'_>) -> Result<String, &'static str> {
    let claimed = plan.wishes.claimed_refs;
    let mut volumes = BTreeMap::new();
    for volume in template.spec.volumes.iter().flatten().filter(|volume| !volume.projected.is_empty()) {
        volumes.insert(&*volume.name, volume);
    }
    let paths = Paths { plan, world, claims: claims(claimed, world), volumes };
    let mut reads = Reads::default();
    let mut planned = plan.containers.iter().peekable();
    for place in template.containers() {
        let planned =
            planned.next_if(|planned| planned.place.list == place.list && planned.place.index == place.index);
        paths.read_env(&mut reads, &place, planned);
        paths.read_env_from(&mut reads, &place, planned);
        paths.read_files(&mut reads, &place, planned);
        if reads.looks > READS {
            return Err(message::TOO_MANY_READS);
        }
    }
    let rows: Vec<Ref<'_>> = reads
        .rows
        .iter()
        .map(|((path, secret, key, wanted), at)| Ref {
            path,
            secret,
            key,
            version: world
                .entry(secret)
                .filter(|entry| *entry.path == **path)
                .and_then(|entry| entry.version.as_deref()),
            r#use: wanted.as_str(),
            at,
        })
        .collect();
    let text = if rows.is_empty() { String::new() } else { serde_json::to_string(&rows).unwrap_or_default() };
    if text.len() > ANNOTATIONS_BYTES { Err(message::TOO_MANY_READS) } else { Ok(text) }
}

/// What the catalogue does not know yet, an earlier round may have told; the hash in the name proves it.
fn claims(claimed: Option<&str>, world: &World<'_>) -> BTreeMap<String, String> {
    let claims: Vec<Claim> = claimed.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    claims
        .into_iter()
        .filter(|claim| world.binding().contains(&claim.path))
        .filter(|claim| secret_name(&claim.path) == claim.secret)
        .map(|claim| (claim.secret, claim.path))
        .collect()
}

struct Paths<'p, 't, 'a> {
    plan: &'p Plan<'t, 'a>,
    world: &'p World<'p>,
    claims: BTreeMap<String, String>,
    /// Projected volumes by name.
    volumes: BTreeMap<&'p str, &'p Volume<'a>>,
}

impl Paths<'_, '_, '_> {
    /// The paths that a key of a Secret holds, or that all of them hold, if the namespace may read them.
    fn of(&self, secret: &str, key: &str) -> BTreeSet<&str> {
        // What other systems fill holds a path for each key.
        let filled = self.world.state.filled.paths(secret, Some(key).filter(|key| *key != EVERY_KEY));
        if self.world.entry(secret).is_none() && !filled.is_empty() {
            return filled;
        }
        let planned = self.plan.paths.get(secret).map(String::as_str);
        let catalogued = || self.world.entry(secret).map(|entry| &*entry.path);
        planned
            .or_else(catalogued)
            .or_else(|| self.claims.get(secret).map(String::as_str))
            .into_iter()
            .collect()
    }

    fn add(&self, reads: &mut Reads, secret: &str, key: &str, wanted: Use, at: String) {
        if reads.looks > READS {
            return;
        }
        let paths = self.of(secret, key);
        // A key of a Secret that is filled as it comes may be of any of its paths, and each is a row.
        reads.looks += paths.len().max(1);
        for path in paths {
            reads
                .rows
                .entry((path.to_owned(), secret.to_owned(), key.to_owned(), wanted))
                .or_default()
                .insert(at.clone());
        }
    }

    fn read_env(&self, reads: &mut Reads, place: &Place<'_, '_>, planned: Option<&ContainerPlan<'_, '_>>) {
        let sets: &[EnvSet] = planned.map(|planned| planned.env.as_slice()).unwrap_or_default();
        let replaced: BTreeSet<usize> = sets.iter().filter_map(|set| set.index).collect();
        for set in sets {
            let at = format!("{}/{}", &*place.container.name, set.name);
            self.add(reads, &set.source.secret, &set.source.key, Use::Env, at);
        }
        for (index, entry) in place.container.env.iter().flatten().enumerate() {
            let Some(secret) = entry.value_from.as_ref().and_then(|from| from.secret.as_ref()) else {
                continue;
            };
            if let (Some(name), Some(key), false) = (&secret.name, &secret.key, replaced.contains(&index)) {
                let at = format!("{}/{}", &*place.container.name, &*entry.name);
                self.add(reads, name, key, Use::Env, at);
            }
        }
    }

    /// Secrets that are read whole: which variables come of them, nobody can say.
    fn read_env_from(
        &self,
        reads: &mut Reads,
        place: &Place<'_, '_>,
        planned: Option<&ContainerPlan<'_, '_>>,
    ) {
        let there = place.container.env_from.iter();
        let there = there.filter_map(|from| from.secret_ref.as_ref()?.name.as_deref());
        let planned = planned.into_iter().flat_map(|planned| &planned.env_from);
        for secret in there.chain(planned.map(|(secret, _)| secret.as_str())) {
            let at = format!("{}/{EVERY_KEY}", &*place.container.name);
            self.add(reads, secret, EVERY_KEY, Use::Env, at);
        }
    }

    fn read_files(&self, reads: &mut Reads, place: &Place<'_, '_>, planned: Option<&ContainerPlan<'_, '_>>) {
        let name = &place.container.name;
        let mounted_anew = planned.into_iter().filter(|planned| planned.mount);
        for (file, (source, _)) in mounted_anew.flat_map(|planned| &planned.files) {
            self.add(reads, &source.secret, &source.key, Use::File, format!("{}/{file}", &**name));
        }
        // A volume may be mounted many times over; once is enough.
        let mounted: BTreeSet<&str> =
            place.container.volume_mounts.iter().flatten().map(|mount| &*mount.name).collect();
        for secret in
            mounted.iter().filter_map(|volume| self.volumes.get(volume)).flat_map(|volume| &volume.projected)
        {
            for item in &secret.items {
                let at = format!("{}/{}", &**name, &*item.path);
                self.add(reads, secret.name.as_deref().unwrap_or_default(), &item.key, Use::File, at);
            }
        }
    }
}
