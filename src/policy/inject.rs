//! From a plan to the JSON Patch that carries it out: the only place that makes operations.
//!
//! The patch is made against the raw JSON and touches nothing but what it sets: an env entry keeps fields that nobody
//! here has heard of, lists are appended to, a missing list or map is made once. A variable that an entry uses by `$(NAME)` comes before it.
//! The patch names Secrets and holds no value.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Arguments, Display, Write as _};

use super::order::first_uses;
use super::plan::{ContainerPlan, EnvSet, Plan, Source};
use super::refs::{self, REFS};
use super::resolve::World;
use super::wishes::MOUNT_PATH;
use super::workload::object::Template;
use super::workload::volume::Volume;

/// Name of the volume with files; a number follows where it is taken.
const VOLUME: &str = "refgate-files";

/// A JSON Patch under construction.
#[derive(Default)]
struct Patch(String);

impl Patch {
    /// One operation; `path` holds no character that JSON escapes, `value` is JSON. Both are written in place: a patch has
    /// two operations for each reference, and a string for each took a tenth of its time.
    fn operation(&mut self, op: &str, path: Arguments<'_>, value: Option<Arguments<'_>>) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        // Writing to a String cannot fail.
        let _ = write!(self.0, r#"{{"op":"{op}","path":"{path}""#);
        if let Some(value) = value {
            let _ = write!(self.0, r#","value":{value}"#);
        }
        self.0.push('}');
    }

    /// Adds elements to a list, which is made if it is not there.
    fn append(&mut self, list: &str, there: bool, elements: &[String]) {
        if there {
            for element in elements {
                self.operation("add", format_args!("{list}/-"), Some(format_args!("{element}")));
            }
        } else if !elements.is_empty() {
            let elements = elements.join(",");
            self.operation("add", format_args!("{list}"), Some(format_args!("[{elements}]")));
        }
    }
}

/// The patch that carries out a plan on a pod; `None` where nothing is to be changed. An error says why it cannot be.
pub fn patch(
    plan: &Plan<'_, '_>,
    template: &Template<'_>,
    world: &World<'_>,
) -> Result<Option<String>, &'static str> {
    let mut patch = Patch::default();
    let mut volumes = Volumes::new(template, plan);
    for container in &plan.containers {
        let pointer = format!("/spec/{}/{}", container.place.list, container.place.index);
        set_env(&mut patch, &pointer, container, plan.wishes.mount_path.unwrap_or(MOUNT_PATH));
        if container.mount {
            let name = volumes.of(&container.files);
            let path = Json(plan.wishes.mount_path.unwrap_or(MOUNT_PATH));
            let mount = format!(r#"{{"name":{},"readOnly":true,"mountPath":{path}}}"#, Json(&name));
            patch.append(
                &format!("{pointer}/volumeMounts"),
                container.place.container.volume_mounts.is_some(),
                &[mount],
            );
        }
    }
    patch.append("/spec/volumes", template.spec.volumes.is_some(), &volumes.made);
    set_refs(&mut patch, plan, template, world)?;
    Ok((!patch.0.is_empty()).then(|| patch.0 + "]"))
}

/// Displays a text as a JSON string. Most names need no escape.
struct Json<'t>(&'t str);

impl Display for Json<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            return out.write_str(&serde_json::to_string(self.0).unwrap_or_default());
        }
        out.write_char('"')?;
        out.write_str(self.0)?;
        out.write_char('"')
    }
}

/// Displays the `valueFrom` of an env entry.
struct KeyRef<'s>(&'s Source);

impl Display for KeyRef<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Source { secret, key, optional } = self.0;
        let optional = if *optional { r#","optional":true"# } else { "" };
        write!(out, r#"{{"secretKeyRef":{{"name":{},"key":{}{optional}}}}}"#, Json(secret), Json(key))
    }
}

fn set_env(patch: &mut Patch, pointer: &str, container: &ContainerPlan<'_, '_>, mount_path: &str) {
    let env = container.place.container.env.as_deref().unwrap_or_default();
    let (mut added, mut inserted) = (Vec::new(), BTreeMap::<usize, Vec<String>>::new());
    let first_uses = match container.env.iter().any(|set| set.index.is_none()) {
        true => {
            let replaced: BTreeSet<usize> = container.env.iter().filter_map(|set| set.index).collect();
            first_uses(env, |index| replaced.contains(&index))
        }
        false => HashMap::new(),
    };
    for EnvSet { index, name, source, .. } in &container.env {
        let from = KeyRef(source);
        let Some(index) = index else {
            let entry = format!(r#"{{"name":{},"valueFrom":{from}}}"#, Json(name));
            match first_uses.get(&**name) {
                Some(first) => inserted.entry(*first).or_default().push(entry),
                None => added.push(entry),
            }
            continue;
        };
        if env[*index].value.is_some() {
            patch.operation("remove", format_args!("{pointer}/env/{index}/value"), None);
        }
        let value_from = format_args!("{pointer}/env/{index}/valueFrom");
        patch.operation("add", value_from, Some(format_args!("{from}")));
    }
    for (index, name) in &container.paths {
        let file = format!("{mount_path}/{name}");
        let value = format_args!("{pointer}/env/{index}/value");
        patch.operation("replace", value, Some(format_args!("{}", Json(&file))));
    }
    // From the end, so that no index before it moves.
    for (index, entries) in inserted.into_iter().rev() {
        for entry in entries.iter().rev() {
            patch.operation("add", format_args!("{pointer}/env/{index}"), Some(format_args!("{entry}")));
        }
    }
    patch.append(&format!("{pointer}/env"), container.place.container.env.is_some(), &added);
    let whole = |(secret, is_optional): &(String, bool)| {
        let optional = if *is_optional { r#","optional":true"# } else { "" };
        format!(r#"{{"secretRef":{{"name":{}{optional}}}}}"#, Json(secret))
    };
    let added: Vec<String> = container.env_from.iter().map(whole).collect();
    patch.append(&format!("{pointer}/envFrom"), !container.place.container.env_from.is_empty(), &added);
}

/// Volumes for sets of files: containers with the same set share one.
struct Volumes<'t, 'a> {
    /// Volumes that are there and could be ours, with the number of their files.
    there: Vec<(usize, &'t Volume<'a>)>,
    mode: u32,
    by_files: BTreeMap<Vec<(String, Source)>, String>,
    names: BTreeSet<String>,
    /// The number that the next name is tried with.
    next: usize,
    made: Vec<String>,
}

impl<'t, 'a> Volumes<'t, 'a> {
    fn new(template: &'t Template<'a>, plan: &Plan<'_, '_>) -> Self {
        let there = template.spec.volumes.as_deref().unwrap_or_default();
        let group = template.spec.security_context.as_ref().is_some_and(|context| context.fs_group.is_some());
        // A mount of a volume that is not there must not become a mount of ours.
        let mounts = template.containers().flat_map(|place| place.container.volume_mounts.iter().flatten());
        let mounted = mounts.map(|mount| mount.name.to_string());
        let mode = plan.wishes.file_mode.unwrap_or(if group { 0o440 } else { 0o444 });
        let could_be_ours = |volume: &&Volume<'_>| {
            volume.only_secrets
                && volume.default_mode == Some(i64::from(mode))
                && volume.projected.iter().all(|secret| !secret.items.is_empty())
        };
        let files = |volume: &Volume<'_>| volume.projected.iter().map(|secret| secret.items.len()).sum();
        Self {
            there: there.iter().filter(could_be_ours).map(|volume| (files(volume), volume)).collect(),
            mode,
            by_files: BTreeMap::new(),
            names: there.iter().map(|volume| volume.name.to_string()).chain(mounted).collect(),
            next: 1,
            made: Vec::new(),
        }
    }

    /// Name of the volume with these files: one that is there already, or a new one.
    fn of(&mut self, files: &BTreeMap<String, (Source, usize)>) -> String {
        let files: Vec<(String, Source)> =
            files.iter().map(|(name, (source, _))| (name.clone(), source.clone())).collect();
        if let Some(name) = self.by_files.get(&files) {
            return name.clone();
        }
        let name = match self.there.iter().find(|(count, volume)| *count == files.len() && is(volume, &files))
        {
            Some((_, volume)) => volume.name.to_string(),
            None => self.make(&files),
        };
        self.by_files.insert(files, name.clone());
        name
    }

    fn make(&mut self, files: &[(String, Source)]) -> String {
        let name = loop {
            let name = if self.next == 1 { VOLUME.to_owned() } else { format!("{VOLUME}-{}", self.next) };
            self.next += 1;
            if !self.names.contains(&name) {
                break name;
            }
        };
        self.names.insert(name.clone());
        let mut sources: BTreeMap<(&str, bool), Vec<String>> = BTreeMap::new();
        for (file, source) in files {
            let item = format!(r#"{{"key":{},"path":{}}}"#, Json(&source.key), Json(file));
            sources.entry((&source.secret, source.optional)).or_default().push(item);
        }
        let sources: Vec<String> = sources
            .into_iter()
            .map(|((secret, optional), items)| {
                let optional = if optional { r#","optional":true"# } else { "" };
                format!(r#"{{"secret":{{"name":{},"items":[{}]{optional}}}}}"#, Json(secret), items.join(","))
            })
            .collect();
        self.made.push(format!(
            r#"{{"name":{},"projected":{{"defaultMode":{},"sources":[{}]}}}}"#,
            Json(&name),
            self.mode,
            sources.join(",")
        ));
        name
    }
}

/// Whether a volume shows these files and no others.
fn is(volume: &Volume<'_>, files: &[(String, Source)]) -> bool {
    let mut shown: Vec<(&str, &str, &str, bool)> = Vec::with_capacity(files.len());
    for secret in &volume.projected {
        let (name, optional) = (secret.name.as_deref().unwrap_or_default(), secret.optional == Some(true));
        shown.extend(secret.items.iter().map(|item| (&*item.path, name, &*item.key, optional)));
    }
    shown.sort_unstable();
    let wanted =
        files.iter().map(|(name, source)| (name.as_str(), &*source.secret, &*source.key, source.optional));
    shown.into_iter().eq(wanted)
}

/// Sets `refgate.dev/refs` to what the containers use once the patch is applied.
fn set_refs(
    patch: &mut Patch,
    plan: &Plan<'_, '_>,
    template: &Template<'_>,
    world: &World<'_>,
) -> Result<(), &'static str> {
    let claimed = plan.wishes.claimed_refs;
    if plan.references.is_empty() && claimed.is_none() {
        return Ok(());
    }
    let text = refs::text(plan, template, world)?;
    let pointer = "/metadata/annotations/refgate.dev~1refs";
    match (&template.metadata.annotations, text.is_empty()) {
        (_, true) if claimed.is_some() => patch.operation("remove", format_args!("{pointer}"), None),
        (_, true) => {}
        (_, false) if claimed == Some(&text) => {}
        (Some(_), false) => {
            patch.operation("add", format_args!("{pointer}"), Some(format_args!("{}", Json(&text))));
        }
        (None, false) if template.has_metadata => {
            let value = format_args!(r#"{{"{REFS}":{}}}"#, Json(&text));
            patch.operation("add", format_args!("/metadata/annotations"), Some(value));
        }
        (None, false) => {
            let value = format_args!(r#"{{"annotations":{{"{REFS}":{}}}}}"#, Json(&text));
            patch.operation("add", format_args!("/metadata"), Some(value));
        }
    }
    Ok(())
}
