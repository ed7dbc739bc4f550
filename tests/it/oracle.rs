//! The slow, obvious implementation of injection: it edits a copy of the pod, step by step, as the documentation tells.
//!
//! It takes nothing from the crate, not even the hash in a Secret's name, so that a mistake has to be made twice to stay
//! unseen. `world` is what it knows, `wishes` reads what is asked for, `names` makes paths, keys and names, `pod` looks
//! into a pod, and this puts it together.

mod names;
mod pod;
mod wishes;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

pub use names::secret_name;
use pod::{members, mounts, push, reads, same_volume, shown};
use wishes::{Reference, Wishes, env_reference, is_file_name};
pub use world::{Entry, World};

/// One key of one Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    secret: String,
    key: String,
    optional: bool,
    /// The name that the Secret has where no catalogue says otherwise.
    by_hash: String,
}

impl Source {
    fn secret_key_ref(&self) -> Value {
        let mut selector = json!({"name": self.secret, "key": self.key});
        if self.optional {
            selector["optional"] = json!(true);
        }
        json!({ "secretKeyRef": selector })
    }

    /// Whether this Secret, under either name, and this key are what is read already.
    fn is(&self, secret: &Value, key: &Value) -> bool {
        *key == *self.key && (*secret == *self.secret || *secret == *self.by_hash)
    }
}

/// The pod as it should come out, or why it must not come in.
pub fn inject(pod: &Value, world: &World) -> Result<Value, String> {
    if !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null() {
        return Ok(pod.clone());
    }
    let mut injection = Injection {
        pod: pod.clone(),
        world,
        wishes: Wishes::read(pod, &world.proxies)?,
        paths: BTreeMap::new(),
        volumes: BTreeMap::new(),
        asked: false,
    };
    let (env, files) = injection.annotations()?;
    for list in ["initContainers", "containers"] {
        for index in 0..injection.pod["spec"][list].as_array().map_or(0, Vec::len) {
            injection.container(list, index, &env, &files)?;
        }
    }
    for container in members(&injection.pod["spec"]["ephemeralContainers"]) {
        if members(&container["env"]).any(|entry| env_reference(&entry["value"]).is_some()) {
            return Err("a reference in an ephemeral container".to_owned());
        }
    }
    injection.refs();
    Ok(injection.pod)
}

/// An env var that an annotation asks for, and whether an entry that is there goes first.
struct Wanted {
    name: String,
    source: Source,
    gives_way: bool,
}

type Files = BTreeMap<String, Source>;

struct Injection<'w> {
    pod: Value,
    world: &'w World,
    wishes: Wishes,
    /// Paths by Secret, as resolved.
    paths: BTreeMap<String, String>,
    /// Names of volumes by what they show, for containers to share.
    volumes: BTreeMap<Files, String>,
    /// Whether there was any reference.
    asked: bool,
}

impl Injection<'_> {
    fn source(&mut self, reference: &Reference) -> Result<Source, String> {
        self.asked = true;
        let (path, secret, _) = self.world.find(reference)?;
        self.paths.insert(secret.clone(), path.clone());
        let key = reference.property.as_deref().map_or_else(|| "value".to_owned(), names::key);
        Ok(Source { secret, key, optional: reference.optional, by_hash: secret_name(&path) })
    }

    /// What the annotations ask for, for each container that they mean.
    fn annotations(&mut self) -> Result<(Vec<Wanted>, Files), String> {
        let (mut env, mut files) = (Vec::<Wanted>::new(), Files::new());
        for (name, reference) in self.wishes.env.clone() {
            env.push(Wanted { name, source: self.source(&reference)?, gives_way: false });
        }
        for (name, reference) in self.wishes.files.clone() {
            files.insert(name, self.source(&reference)?);
        }
        for reference in self.wishes.env_from.clone() {
            let whole = self.source(&reference)?;
            let Some(entry) = self.world.find(&reference)?.2 else {
                if reference.optional {
                    continue;
                }
                return Err("its properties are not known yet".to_owned());
            };
            let mut any = false;
            let mut keys: Vec<&String> = entry.keys.iter().collect();
            keys.sort();
            for key in keys {
                let Some(name) = names::property(key).filter(|name| names::is_env_name(name)) else {
                    continue;
                };
                any = true;
                if env.iter().any(|other| other.name == name) {
                    return Err(format!("two want {name}"));
                }
                let source = Source { key: key.clone(), ..whole.clone() };
                env.push(Wanted { name, source, gives_way: true });
            }
            if !any {
                return Err("it has no properties".to_owned());
            }
        }
        if self.wishes.any() && self.wishes.selected.is_empty() {
            return Err("the annotations mean no container".to_owned());
        }
        Ok((env, files))
    }

    fn container(&mut self, list: &str, index: usize, env: &[Wanted], files: &Files) -> Result<(), String> {
        let mut container = self.pod["spec"][list][index].clone();
        let mut wanted = self.env_values(&mut container)?;
        if self.wishes.selected.contains(container["name"].as_str().unwrap()) {
            let is_there =
                |wish: &&Wanted| members(&container["env"]).any(|entry| entry["name"] == *wish.name);
            let (there, missing): (Vec<&Wanted>, Vec<&Wanted>) = env.iter().partition(is_there);
            there.into_iter().for_each(|wish| replace(&mut container, wish));
            missing.into_iter().for_each(|wish| add(&mut container, wish));
            for (name, source) in files {
                if wanted.insert(name.clone(), source.clone()).is_some() {
                    return Err(format!("two want file {name}"));
                }
            }
        }
        if !wanted.is_empty() {
            self.mount(&mut container, wanted)?;
        }
        self.pod["spec"][list][index] = container;
        Ok(())
    }

    /// Replaces references that stand as values; gives the files that they want.
    fn env_values(&mut self, container: &mut Value) -> Result<Files, String> {
        let selected = self.wishes.selected.contains(container["name"].as_str().unwrap());
        let (mut files, mut names) = (Files::new(), BTreeSet::new());
        for entry in container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some((is_file, text)) = env_reference(&entry["value"]) else { continue };
            let source = self.source(&Reference::parse(text)?)?;
            let name = entry["name"].as_str().unwrap().to_owned();
            if !entry["valueFrom"].is_null() {
                return Err(format!("{name} has a reference and valueFrom"));
            }
            let wished = self.wishes.env.iter().any(|(other, _)| *other == name);
            if !names.insert(name.clone()) || selected && wished {
                return Err(format!("two want {name}"));
            }
            if is_file {
                if !is_file_name(&name) {
                    return Err(format!("{name} is no file"));
                }
                entry["value"] = json!(format!("{}/{name}", self.wishes.mount_path));
                files.insert(name, source);
            } else {
                entry.as_object_mut().unwrap().remove("value");
                entry["valueFrom"] = source.secret_key_ref();
            }
        }
        // A property of env-from that has the name of a reference: two references again.
        for reference in if selected { self.wishes.env_from.clone() } else { Vec::new() } {
            let keys = self.world.find(&reference)?.2.map_or(&[][..], |entry| &entry.keys);
            if keys.iter().filter_map(|key| names::property(key)).any(|name| names.contains(&name)) {
                return Err("env-from wants the variable of a reference".to_owned());
            }
        }
        Ok(files)
    }

    fn mount(&mut self, container: &mut Value, files: Files) -> Result<(), String> {
        let path = self.wishes.mount_path.clone();
        let there = members(&container["volumeMounts"])
            .find(|mount| mount["mountPath"].as_str().unwrap().trim_end_matches('/') == path);
        let Some(mount) = there else {
            let name = self.volume(files);
            push(container, "volumeMounts", json!({"name": name, "readOnly": true, "mountPath": path}));
            return Ok(());
        };
        let part = !matches!(mount["subPath"].as_str(), None | Some("")) || !mount["subPathExpr"].is_null();
        let shown = shown(&self.pod, &mount["name"]);
        let holds = |(file, source): (&String, &Source)| {
            shown.iter().any(|(secret, item)| item["path"] == **file && source.is(secret, &item["key"]))
        };
        if part || !files.iter().all(holds) {
            return Err(format!("something else is mounted at {path}"));
        }
        Ok(())
    }

    /// Name of the volume that shows these files: one made before, one that the pod has, or a new one.
    fn volume(&mut self, files: Files) -> String {
        if let Some(name) = self.volumes.get(&files) {
            return name.clone();
        }
        let made = self.projected(&files);
        let volumes: Vec<&Value> = members(&self.pod["spec"]["volumes"]).collect();
        let name = match volumes.iter().find(|volume| same_volume(&volume["projected"], &made)) {
            Some(volume) => volume["name"].as_str().unwrap_or_default().to_owned(),
            None => {
                // A name that a container mounts, though there is no such volume, is taken too.
                let taken: Vec<&Value> = volumes.into_iter().chain(mounts(&self.pod)).collect();
                let free = |name: &String| taken.iter().all(|taken| taken["name"] != **name);
                let numbered = (2..).map(|number| format!("refgate-files-{number}"));
                let name = std::iter::once("refgate-files".to_owned()).chain(numbered).find(free).unwrap();
                push(&mut self.pod["spec"], "volumes", json!({"name": name, "projected": made}));
                name
            }
        };
        self.volumes.insert(files, name.clone());
        name
    }

    fn projected(&self, files: &Files) -> Value {
        let group = !self.pod["spec"]["securityContext"]["fsGroup"].is_null();
        let mode = self.wishes.file_mode.unwrap_or(if group { 0o440 } else { 0o444 });
        let mut sources: Vec<Value> = Vec::new();
        let sets: BTreeSet<(&str, bool)> =
            files.values().map(|source| (source.secret.as_str(), source.optional)).collect();
        for (secret, optional) in sets {
            let of = |source: &Source| source.secret == secret && source.optional == optional;
            let items: Vec<Value> = files
                .iter()
                .filter(|(_, source)| of(source))
                .map(|(file, source)| json!({"key": source.key, "path": file}))
                .collect();
            let mut projection = json!({"name": secret, "items": items});
            if optional {
                projection["optional"] = json!(true);
            }
            sources.push(json!({ "secret": projection }));
        }
        json!({"defaultMode": mode, "sources": sources})
    }

    /// Writes down what the containers read, now that all of it stands in the pod.
    fn refs(&mut self) {
        const REFS: &str = "refgate.dev/refs";
        if !self.asked && self.wishes.refs.is_none() {
            return;
        }
        let claims = self.wishes.claims(|path, secret| {
            names::is_path(path) && self.world.allows(path) && secret_name(path) == secret
        });
        let mut rows: BTreeMap<(String, String, String, &str), BTreeSet<String>> = BTreeMap::new();
        for (secret, key, used, at) in reads(&self.pod) {
            let catalogued = self.world.entry(&secret).map(|entry| &entry.path);
            if let Some(path) = self.paths.get(&secret).or(catalogued).or_else(|| claims.get(&secret)) {
                rows.entry((path.clone(), secret, key, used)).or_default().insert(at);
            }
        }
        if rows.is_empty() {
            if let Some(annotations) = self.pod["metadata"]["annotations"].as_object_mut() {
                annotations.remove(REFS);
            }
            return;
        }
        let rows: Vec<String> = rows.iter().map(|(row, at)| self.row(row, at)).collect();
        if self.pod["metadata"].is_null() {
            self.pod["metadata"] = json!({});
        }
        if self.pod["metadata"]["annotations"].is_null() {
            self.pod["metadata"]["annotations"] = json!({});
        }
        self.pod["metadata"]["annotations"][REFS] = json!(format!("[{}]", rows.join(",")));
    }

    /// One row, with its fields in the order that the interface promises.
    fn row(
        &self,
        (path, secret, key, used): &(String, String, String, &str),
        at: &BTreeSet<String>,
    ) -> String {
        let version = self.world.entry(secret).filter(|entry| entry.path == *path);
        let version = version.and_then(|entry| entry.version.as_ref());
        let version = version.map(|version| format!(r#""version":{},"#, json!(version))).unwrap_or_default();
        format!(
            r#"{{"path":{},"secret":{},"key":{},{version}"use":"{used}","at":{}}}"#,
            json!(path),
            json!(secret),
            json!(key),
            json!(at)
        )
    }
}

/// Adds one env var that an annotation asks for, before the first entry that uses it, or at the end.
fn add(container: &mut Value, wish: &Wanted) {
    let entry = json!({"name": wish.name, "valueFrom": wish.source.secret_key_ref()});
    let uses = |entry: &Value| entry["value"].as_str().is_some_and(|text| pod::uses(text, &wish.name));
    let at = members(&container["env"]).position(uses);
    match at {
        Some(at) => container["env"].as_array_mut().unwrap().insert(at, entry),
        None => push(container, "env", entry),
    }
}

/// Replaces the last of the env vars of a name by what an annotation asks for.
fn replace(container: &mut Value, wish: &Wanted) {
    let entries = container.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten();
    let entry = entries.filter(|entry| entry["name"] == *wish.name).last().unwrap();
    let selector = &entry["valueFrom"]["secretKeyRef"];
    let reads = matches!(entry["value"].as_str(), None | Some(""))
        && wish.source.is(&selector["name"], &selector["key"]);
    if reads || wish.gives_way {
        return;
    }
    if entry["value"].is_string() {
        entry.as_object_mut().unwrap().remove("value");
    }
    entry["valueFrom"] = wish.source.secret_key_ref();
}
