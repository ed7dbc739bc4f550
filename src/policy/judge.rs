//! What stands in an object: each place where a pod can name a Secret, a reference of another system, or a plaintext.
//!
//! One walk over the containers, the volumes and the annotations serves the fence and the detector. Nothing is weighed
//! here: levels, and what an update changed, come after.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::allow::{ALLOW_PLAINTEXT, Pass, marked};
use super::bounds::MANY;
use super::decision::ReferenceReport;
use super::finding::Finding;
use super::foreign::signs::{DOLLAR, Signs};
use super::foreign::{self, annotations};
use super::line::Line;
use super::message;
use super::order::early_uses;
use super::plan::container_pointer;
use super::reference::{env_value, near_miss};
use super::refusal::{Cause, Refusal};
use super::resolve::World;
use super::rules::{Hit, Place as At};
use super::spot::{Spot, borrowed, candidate};
use super::stray::{Form, Named};
use super::wishes::{Wishes, is_ours};
use super::workload::Kind;
use super::workload::expand::Expander;
use super::workload::json::{Text, escape};
use super::workload::object::{Object, Place, Template};
use super::workload::pod::{Env, HttpGet};
use super::workload::volume::Volume;

/// A finding, and the text that was struck: to tell what an update added, and for nothing else.
#[derive(Debug)]
pub struct Struck<'t> {
    /// The finding.
    pub finding: Finding,
    /// The text; it goes no further.
    pub text: Cow<'t, str>,
    /// Whether it stands in the manifest that kubectl keeps of the object.
    pub is_applied: bool,
    /// Why the configuration lets it pass, where it does.
    pub allowed: Option<Pass>,
}

/// All that was seen in one object.
#[derive(Debug, Default)]
pub struct Seen<'t> {
    /// Plaintext.
    pub struck: Vec<Struck<'t>>,
    /// Secrets and foreign references that the namespace may not have.
    pub refusals: Vec<Refusal>,
    /// What the developer should know: words for the place, and a sentence.
    pub notes: Vec<(String, String)>,
    /// Synced Secrets and foreign references, and what became of them.
    pub references: Vec<ReferenceReport>,
    /// Env vars that read a synced Secret, by name.
    pub as_env: Vec<String>,
    /// How many refusals there are besides those that are kept.
    pub dropped: usize,
    /// How many findings there are besides those that are kept.
    pub unlisted: usize,
    /// The same for those that are only probable.
    pub unlisted_probable: usize,
}

/// The walk over one object; `fence`, `annotation`, `entries` and `spot` have the other parts of it.
pub(super) struct Walk<'w, 't> {
    pub(super) world: &'w World<'w>,
    pub(super) seen: Seen<'t>,
    pub(super) hits: Vec<Hit>,
    /// The kind of the object.
    pub(super) kind: &'w str,
    /// The image of the container that the walk is in.
    pub(super) image: Option<&'t str>,
    /// The service account of the pods.
    pub(super) account: Option<&'t str>,
    /// The names in `refgate.dev/allow-plaintext`.
    pub(super) marked: Vec<&'t str>,
    /// Why each SecretProviderClass that was named may not be mounted.
    pub(super) classes: HashMap<&'t str, Option<String>>,
}

/// Walks over an object of a kind: its template, and the annotations above it.
pub fn judge<'t>(object: &'t Object<'_>, kind: Option<&Kind>, world: &World<'_>) -> Seen<'t> {
    walk(object, kind, kind.map_or("", |kind| &kind.kind), world)
}

/// The same for the manifest that an object of kind `name` keeps of itself: in that one no further manifest is looked for.
pub(super) fn judge_applied<'t>(object: &'t Object<'_>, name: &str, world: &World<'_>) -> Seen<'t> {
    walk(object, None, name, world)
}

fn walk<'t>(object: &'t Object<'_>, kind: Option<&Kind>, name: &str, world: &World<'_>) -> Seen<'t> {
    let template = object.template.as_ref();
    let mut walk = Walk {
        world,
        seen: Seen::default(),
        hits: Vec::new(),
        kind: name,
        image: None,
        account: template.map(|template| template.spec.service_account_name.as_deref().unwrap_or("default")),
        marked: marked(template.map_or(&object.metadata, |template| &template.metadata)),
        classes: HashMap::new(),
    };
    walk.outer(object, kind);
    if let Some(template) = template {
        walk.template(template, kind);
    }
    walk.entries(object);
    walk.idle_marks(object);
    walk.seen
}

impl<'t> Walk<'_, 't> {
    /// Annotations of the workload itself, and those between it and the template.
    fn outer(&mut self, object: &'t Object<'_>, kind: Option<&Kind>) {
        let template = object.template.as_ref().map(|template| template.pointer.as_str()).unwrap_or_default();
        let own = [("", &object.metadata)];
        let between = object.between.iter().map(|(pointer, metadata)| (pointer.as_str(), metadata));
        for (pointer, metadata) in own.into_iter().chain(between) {
            let Some(found) = &metadata.annotations else { continue };
            for (key, _) in found.0.iter().filter(|(key, _)| is_ours(key)) {
                match object.data.is_empty() && !kind.is_some_and(Kind::holds_data) {
                    true => self.note(format!("{pointer}/metadata"), message::misplaced(key, template)),
                    false if &**key == ALLOW_PLAINTEXT => {}
                    false => self.note("/metadata".to_owned(), message::does_nothing(key)),
                }
            }
            let reads = match object.template {
                Some(_) => annotations::is_of_a_workload,
                None => annotations::is_of_data,
            };
            if object.template.is_some() || kind.is_some_and(Kind::holds_data) {
                for (key, value) in found.0.iter().filter(|(key, _)| reads(key)) {
                    self.foreign_annotation(pointer, key, value);
                }
            }
            self.annotations(pointer, found, kind);
        }
    }

    fn template(&mut self, template: &'t Template<'_>, kind: Option<&Kind>) {
        let mut expander = Expander::new(&template.metadata);
        let wishes = Wishes::of_env(template);
        for place in template.containers() {
            let replaced =
                wishes.as_ref().map(|wishes| wishes.replaced(place, &self.world.settings.skip_containers));
            let replaced = replaced.unwrap_or_default();
            expander.next_container(&replaced);
            self.image = place.container.image.as_deref();
            self.env(template, place, &mut expander, &replaced);
            self.commands(template, place, &mut expander);
        }
        self.image = None;
        for (index, volume) in template.spec.volumes.iter().flatten().enumerate() {
            self.volume(template, index, volume);
        }
        for (index, secret) in template.spec.image_pull_secrets.iter().enumerate() {
            if let Some(name) = &secret.name {
                let pointer = || format!("{}/spec/imagePullSecrets/{index}/name", template.pointer);
                self.named(name, None, Named::Secret, &pointer, &|| "imagePullSecrets".to_owned());
            }
        }
        if let Some(name) = &template.spec.service_account_name {
            let pointer = || format!("{}/spec/serviceAccountName", template.pointer);
            self.stray_name(name, Named::Account, &pointer, &|| "serviceAccountName".to_owned());
        }
        if let Some(annotations) = &template.metadata.annotations {
            for (key, value) in &annotations.0 {
                self.foreign_annotation(&template.pointer, key, value);
            }
            self.annotations(&template.pointer, annotations, kind);
        }
    }

    fn env(
        &mut self,
        template: &Template<'_>,
        place: Place<'t, '_>,
        expander: &mut Expander<'t>,
        replaced: &HashSet<&'t str>,
    ) {
        let container = &*place.container.name;
        let env = place.container.env.as_deref().unwrap_or_default();
        for (index, name) in early_uses(env) {
            self.note(message::env_place(container, &env[index].name), message::early_use(name));
        }
        for (index, entry) in env.iter().enumerate() {
            let pointer =
                |field: &str| format!("{}/env/{index}/{field}", container_pointer(template, &place));
            self.value_from(container, entry, &pointer);
            let before = self.seen.struck.len();
            match expander.env(env, index) {
                Ok(value) => {
                    let place = &|| pointer("value");
                    if !self.may_become_foreign(container, entry, &value, place) {
                        self.env_text(container, env, entry, value.text, place);
                    }
                }
                Err(_) => self.refuse(
                    pointer("value"),
                    message::env_place(container, &entry.name),
                    Cause::Limit,
                    message::EXPANSION,
                ),
            }
            // No pod gets this text: an annotation puts a reference in its place.
            if replaced.contains(&*entry.name) && self.seen.struck.len() > before {
                self.seen.struck.truncate(before);
                self.note(message::env_place(container, &entry.name), message::replaced(&entry.name));
            }
        }
        for (index, from) in place.container.env_from.iter().enumerate() {
            if let Some(name) = from.secret_ref.as_ref().and_then(|secret| secret.name.as_ref()) {
                let pointer =
                    || format!("{}/envFrom/{index}/secretRef/name", container_pointer(template, &place));
                let subject = || format!("container {container}, envFrom");
                self.named(name, None, Named::EnvFrom, &pointer, &subject);
            }
            if let Some(name) = from.config_map_ref.as_ref().and_then(|map| map.name.as_ref()) {
                let pointer =
                    || format!("{}/envFrom/{index}/configMapRef/name", container_pointer(template, &place));
                let subject = || format!("container {container}, envFrom");
                self.stray_name(name, Named::EnvFrom, &pointer, &subject);
            }
        }
    }

    fn value_from(&mut self, container: &str, entry: &Env<'_>, pointer: &dyn Fn(&str) -> String) {
        let Some(from) = &entry.value_from else { return };
        let subject = || message::env_place(container, &entry.name);
        if let Some(secret) = &from.secret
            && let Some(name) = &secret.name
        {
            let pointer = || pointer("valueFrom/secretKeyRef/name");
            self.named(name, secret.key.as_deref(), Named::ValueFrom, &pointer, &subject);
            if self.seen.as_env.len() < MANY && self.world.entry(name).is_some() {
                self.seen.as_env.push(entry.name.to_string());
            }
        }
        if let Some(name) = &from.config_map {
            let pointer = || pointer("valueFrom/configMapKeyRef/name");
            self.stray_name(name, Named::ValueFrom, &pointer, &subject);
        }
        for key in &from.unknown {
            let note = format!(
                "valueFrom has a source that this version of RefGate does not know, so it was not judged: {}",
                &**key
            );
            self.note(subject(), note);
        }
    }

    /// The text of an env var: a reference of ours, of another system, or perhaps a plaintext.
    fn env_text(
        &mut self,
        container: &str,
        env: &[Env<'_>],
        entry: &Env<'_>,
        text: Cow<'t, str>,
        pointer: &dyn Fn() -> String,
    ) {
        if text.is_empty() {
            return;
        }
        // One byte tells of most values that they are nothing of ours, nor near it.
        let is_perhaps_ours = matches!(text.as_bytes()[0], b's' | b'S');
        if is_perhaps_ours && env_value(&text).is_some() {
            // As written it is the plan's business; put together, or read by fieldRef, it is nobody's.
            let by_field = entry.value_from.is_some();
            let written = !by_field && entry.value.as_deref() == Some(&*text);
            if !written {
                let why = if by_field { message::BY_FIELD } else { message::ASSEMBLED };
                self.refuse(pointer(), message::env_place(container, &entry.name), Cause::Misplaced, why);
            }
            return;
        }
        let subject = || message::env_place(container, &entry.name);
        let missed = near_miss(&text).filter(|_| is_perhaps_ours);
        if let Some(prefix) = missed {
            self.note(subject(), message::near_miss(prefix));
        }
        let signs = Signs::of(&text);
        self.leftovers((&text, signs), pointer, &subject);
        // What stands inside a text is resolved first, whatever the whole of it reads as.
        if signs.has(DOLLAR) {
            for reading in foreign::inline(&text) {
                self.reading(&reading, pointer, &subject);
            }
        }
        if self.reading(&foreign::read_with(&text, signs), pointer, &subject) {
            return;
        }
        let name = Some(&*entry.name);
        let spot = Spot {
            candidate: candidate(At::Env, name, &text, None),
            text: text.clone(),
            container: Some(container),
            key: None,
            pointer,
        };
        let found = self.seen.struck.len();
        self.scan(&spot);
        // What a variable brings stands in that variable; only what is written here is misplaced.
        if let (Some(written), None) = (&entry.value, missed) {
            self.stray(written, Form::Value, found, env, &subject);
        }
    }

    /// Command and arguments, and the commands of probes and of the lifecycle. The kubelet expands those of probes too
    /// (`ExpandContainerCommandOnlyStatic`), those of the lifecycle it does not.
    fn commands(&mut self, template: &Template<'_>, place: Place<'t, '_>, expander: &mut Expander<'t>) {
        let container = place.container;
        let base = || container_pointer(template, &place);
        let command = || format!("{}/command", base());
        let args = || format!("{}/args", base());
        self.words(place, At::Argument, (&[], &container.command), &command, Some(expander));
        self.words(place, At::Argument, (&container.command, &container.args), &args, Some(expander));
        let (start, stop) = container
            .lifecycle
            .as_ref()
            .map_or((None, None), |cycle| (cycle.post_start.as_ref(), cycle.pre_stop.as_ref()));
        for (field, handler) in [
            ("lifecycle/postStart", start),
            ("lifecycle/preStop", stop),
            ("livenessProbe", container.liveness_probe.as_deref()),
            ("readinessProbe", container.readiness_probe.as_deref()),
            ("startupProbe", container.startup_probe.as_deref()),
        ] {
            let Some(handler) = handler else { continue };
            if let Some(exec) = &handler.exec {
                let base = || format!("{}/{field}/exec/command", base());
                let expander = (!field.starts_with("lifecycle")).then_some(&mut *expander);
                self.words(place, At::Command, (&[], &exec.command), &base, expander);
            }
            if let Some(request) = &handler.http_get {
                self.request(&container.name, request, &|| format!("{}/{field}/httpGet", base()));
            }
        }
    }

    /// The words of a command; each is judged with the one before it.
    fn words(
        &mut self,
        place: Place<'t, '_>,
        at: At,
        (program, words): (&'t [Text<'_>], &'t [Text<'_>]),
        base: &dyn Fn() -> String,
        mut expander: Option<&mut Expander<'t>>,
    ) {
        let container = &*place.container.name;
        let env = place.container.env.as_deref().unwrap_or_default();
        let mut before: Option<Cow<'t, str>> = None;
        let mut line = Line::of(program, words);
        for (index, word) in words.iter().enumerate() {
            let pointer = || format!("{}/{index}", base());
            let text = expander.as_mut().map_or(Ok(borrowed(word)), |expander| expander.argument(env, word));
            let Ok(text) = text else {
                let base = base();
                let field = base.rsplit('/').next().unwrap_or_default();
                let subject = format!("container {container}, {field}");
                self.refuse(pointer(), subject, Cause::Limit, message::EXPANSION);
                return;
            };
            let candidate = candidate(at, None, &text, before.as_deref());
            let found = self.seen.struck.len();
            self.scan(&Spot {
                candidate,
                text: text.clone(),
                container: Some(container),
                key: None,
                pointer: &pointer,
            });
            let subject =
                || format!("container {container}, {}", base().rsplit('/').next().unwrap_or_default());
            let form = if expander.is_some() { Form::Word } else { Form::Shell };
            self.stray(word, form, found, env, &subject);
            line.push(index, &text, self.seen.struck.len() > found);
            before = Some(text);
        }
        self.command_line(container, at, &line, base);
    }

    /// The request of a probe or of the lifecycle.
    fn request(&mut self, container: &str, request: &'t HttpGet<'_>, base: &dyn Fn() -> String) {
        if let Some(path) = &request.path {
            let pointer = || format!("{}/path", base());
            let candidate = candidate(At::UrlPath, None, path, None);
            let text = borrowed(path);
            let found = self.seen.struck.len();
            self.scan(&Spot { candidate, text, container: Some(container), key: None, pointer: &pointer });
            self.stray(path, Form::Nowhere, found, &[], &|| format!("container {container}, path"));
        }
        for (index, header) in request.http_headers.iter().enumerate() {
            let Some(value) = &header.value else { continue };
            let pointer = || format!("{}/httpHeaders/{index}/value", base());
            let candidate = candidate(At::Header, Some(&header.name), value, None);
            let text = borrowed(value);
            let found = self.seen.struck.len();
            self.scan(&Spot { candidate, text, container: Some(container), key: None, pointer: &pointer });
            let subject = || format!("container {container}, header {}", &*header.name);
            self.stray(value, Form::Nowhere, found, &[], &subject);
        }
    }

    fn volume(&mut self, template: &Template<'_>, index: usize, volume: &'t Volume<'_>) {
        let base = || format!("{}/spec/volumes/{index}", template.pointer);
        let subject = || format!("volume {}", &*volume.name);
        for (pointer, name) in &volume.secrets {
            let of = match &**pointer {
                "/secret/secretName" => Named::Files,
                pointer if pointer.starts_with("/projected/") => Named::Files,
                _ => Named::Secret,
            };
            self.named(name, None, of, &|| format!("{}{pointer}", base()), &subject);
        }
        if let Some(name) = &volume.config_map {
            self.stray_name(name, Named::Files, &|| format!("{}/configMap/name", base()), &subject);
        }
        for (pointer, name, text) in &volume.attributes {
            let pointer = || format!("{}{pointer}{}", base(), escape(name));
            if let Some(why) = self.attribute(volume, name, text) {
                self.refuse(pointer(), subject(), Cause::OutOfScope, why);
            }
            self.secret(text, None, &pointer, &subject);
            if self.world.entry(text).is_some() {
                // The name of a synced Secret is no secret.
                continue;
            }
            let candidate = candidate(At::VolumeAttribute, Some(name), text, None);
            let found = self.seen.struck.len();
            self.scan(&Spot {
                candidate,
                text: borrowed(text),
                container: None,
                key: None,
                pointer: &pointer,
            });
            self.stray(text, Form::Nowhere, found, &[], &subject);
        }
        for pointer in &volume.unknown {
            let note = format!(
                "{pointer} is of a type that this version of RefGate does not know, so it was not judged"
            );
            self.note(subject(), note);
        }
    }

    pub(super) fn refuse(&mut self, pointer: String, subject: String, cause: Cause, text: impl Into<String>) {
        if self.seen.refusals.len() < MANY {
            self.seen.refusals.push(Refusal { pointer, subject, text: text.into(), cause });
        } else {
            self.seen.dropped += 1;
        }
    }

    pub(super) fn report(&mut self, report: ReferenceReport) {
        if self.seen.references.len() < MANY {
            self.seen.references.push(report);
        }
    }

    /// Names in `refgate.dev/allow-plaintext` that let nothing pass: the developer counts on what does not hold.
    fn idle_marks(&mut self, object: &Object<'_>) {
        let by_mark = |struck: &Struck<'_>| struck.allowed.as_ref().is_some_and(|pass| pass.by_mark);
        if !self.marked.is_empty() && !self.seen.struck.iter().any(by_mark) {
            let pointer = object.template.as_ref().map(|template| &*template.pointer).unwrap_or_default();
            let is_named = |struck: &Struck<'_>| {
                let name = struck.finding.name.as_deref();
                struck.allowed.is_none() && name.is_some_and(|name| self.marked.contains(&name))
            };
            let is_wanted = self.seen.struck.iter().any(is_named);
            let why = if is_wanted { message::MARK_NOT_PERMITTED } else { message::IDLE_MARK };
            self.note(format!("{pointer}/metadata"), why.to_owned());
        }
    }

    pub(super) fn note(&mut self, subject: String, text: String) {
        if self.seen.notes.len() < MANY {
            self.seen.notes.push((subject, text));
        }
    }
}
