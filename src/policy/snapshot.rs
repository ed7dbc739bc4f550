//! What a decision rests on besides the review: scopes and levels by namespace, the catalogue, the settings.
//!
//! A snapshot never changes. A change of the world makes a new one that shares all namespaces but those that changed.

use std::collections::HashMap;
use std::sync::Arc;

use super::allow::Allow;
use super::carriers::filled::{Around, Filled};
use super::carriers::held::{Carried, Held};
use super::carriers::settings::Settings as Carriers;
use super::level::{Level, LevelLabels, Levels};
use super::path::{Scope, SecretPath};
use super::rules::Detector;
use super::workload::{CONFIG_MAP, KINDS, Kind};

/// Prefix of every label and annotation that is ours.
pub const PREFIX: &str = "refgate.dev/";

/// The label that the API server keeps equal to the name of a Namespace.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Labels of a Namespace that the policy on bindings looks through (`manifests/base/policies/binding.yaml`). Of more it cannot see
/// which of ours somebody sets.
const MOST_LABELS: usize = 512;

/// All that a decision may depend on, besides the review itself.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// From the configuration.
    pub settings: Arc<Settings>,
    /// What is known of each namespace. One that is not here is not known yet: nothing is judged by a default.
    pub namespaces: HashMap<Box<str>, Arc<NamespaceState>>,
    /// Objects of other sync systems that are of the whole cluster.
    pub cluster: Arc<Carried>,
    /// Whether the watches have been silent for longer than `snapshot.maxAge`: then references are denied.
    pub stale: bool,
}

/// What the configuration says of decisions.
#[derive(Debug)]
pub struct Settings {
    /// Levels where a namespace has no labels for them.
    pub defaults: Levels,
    /// Kinds with a pod template: the built-in ones and those of the configuration.
    pub kinds: Vec<Kind>,
    /// Kinds that are judged: those, and ConfigMaps unless the configuration turns them off.
    pub judged: Vec<Kind>,
    /// Names of containers that annotations pass over unless `refgate.dev/containers` names them.
    pub skip_containers: Vec<String>,
    /// AWS accounts whose ARNs a pod may name.
    pub aws_accounts: Vec<String>,
    /// AWS regions whose ARNs a pod may name.
    pub aws_regions: Vec<String>,
    /// The rules that are on, compiled.
    pub detector: Detector,
    /// What passes though a rule strikes.
    pub allow: Vec<Allow>,
    /// What becomes of what carriers cannot decide, and what scopes may read in other systems.
    pub carriers: Carriers,
}

/// Containers that proxies inject under well-known names; they read no application secrets.
pub const KNOWN_PROXIES: [&str; 6] =
    ["istio-proxy", "istio-init", "istio-validation", "linkerd-proxy", "linkerd-init", "vault-agent"];

impl Default for Settings {
    fn default() -> Self {
        Self {
            defaults: Levels::default(),
            kinds: KINDS.to_vec(),
            judged: KINDS.into_iter().chain([CONFIG_MAP]).collect(),
            skip_containers: KNOWN_PROXIES.map(str::to_owned).to_vec(),
            aws_accounts: Vec::new(),
            aws_regions: Vec::new(),
            detector: Detector::new(&[]),
            allow: Vec::new(),
            carriers: Carriers::default(),
        }
    }
}

/// What is known of one namespace.
#[derive(Debug, Clone, Default)]
pub struct NamespaceState {
    /// From its labels and annotations.
    pub namespace: Arc<NamespaceLabels>,
    /// From its catalogue; empty where there is none.
    pub catalogue: Arc<Catalogue>,
    /// Objects of other sync systems in it.
    pub carried: Arc<Carried>,
    /// Which Secrets those fill from which paths: `join` keeps it in step.
    pub filled: Arc<Filled>,
}

impl NamespaceState {
    /// A namespace with its catalogue and the objects of other sync systems in it.
    pub fn join(
        namespace: Arc<NamespaceLabels>,
        catalogue: Arc<Catalogue>,
        carried: Arc<Carried>,
        cluster: &Carried,
        settings: &Settings,
    ) -> Self {
        let filled = Filled::new(Around { labels: &namespace, carried: &carried, cluster, settings });
        Self { namespace, catalogue, carried, filled: Arc::new(filled) }
    }

    /// The same with one object of another sync system in the place of another. Each row of the two copies a piece of a list,
    /// and where they have many, the lists are made anew from what they were; no other object is judged again. Neither is a
    /// store, and the cluster and the settings are those of before.
    pub fn replaced(
        &self,
        carried: Arc<Carried>,
        (old, new): (Option<&Arc<Held>>, Option<&Arc<Held>>),
        cluster: &Carried,
        settings: &Settings,
    ) -> Self {
        let around = Around { labels: &self.namespace, carried: &carried, cluster, settings };
        let filled = Arc::new(self.filled.replaced(around, old, new));
        Self { carried, filled, ..self.clone() }
    }
}

/// What a Namespace object says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NamespaceLabels {
    /// What it may read.
    pub binding: Binding,
    /// The levels that its labels name.
    pub levels: LevelLabels,
    /// What could not be read of it, and what was taken instead; each ends up as a warning.
    pub problems: Vec<String>,
    /// All its labels, for the selectors of `allow`.
    pub labels: LabelSet,
}

/// Labels in one piece of memory: there are many namespaces, and each has a few.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSet {
    text: Box<str>,
    /// Nothing is selected by labels of which anybody may have set any.
    is_too_large: bool,
}

impl LabelSet {
    /// Keeps them. Neither keys nor values hold what separates them here (Kubernetes, label syntax).
    pub fn new<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let (mut text, mut count) = (String::new(), 0);
        for (key, value) in labels {
            text.extend([key, "=", value, "\n"]);
            count += 1;
        }
        Self { text: text.into(), is_too_large: count > MOST_LABELS }
    }

    /// Whether a selector may go by them.
    pub fn can_be_selected(&self) -> bool {
        !self.is_too_large
    }

    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }
}

/// What a namespace may read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Binding {
    /// No label of ours: no reference is allowed.
    #[default]
    Unbound,
    /// Labels that do not read as a scope: no reference is allowed, and this is why.
    Broken(String),
    /// Its own scope and what it may read besides.
    Bound {
        /// `group/app/env`: relative references resolve under it.
        own: Scope,
        /// Further prefixes, from `refgate.dev/shared-paths`.
        shared: Vec<Scope>,
    },
    /// Files judged without a world and without a scope: whether a path may be read cannot be said.
    Unknown,
}

impl Binding {
    /// Whether foreign references are held to a scope here: where one is bound, or where one was meant to be.
    pub fn is_fenced(&self) -> bool {
        match self {
            Self::Bound { .. } | Self::Broken(_) => true,
            Self::Unbound | Self::Unknown => false,
        }
    }

    /// Whether a path lies inside; an unbound namespace reaches nothing.
    pub fn contains(&self, path: &str) -> bool {
        match self {
            // A text that is no clean path may begin like one that is inside: `…/stage/../prod/x`.
            Self::Bound { own, shared } => {
                SecretPath::absolute(path).is_ok()
                    && (own.contains(path) || shared.iter().any(|prefix| prefix.contains(path)))
            }
            Self::Unbound | Self::Broken(_) | Self::Unknown => false,
        }
    }

    /// Whether a text begins with all segments of a scope that the namespace may read.
    pub fn begins(&self, text: &str) -> bool {
        matches!(self, Self::Bound { own, shared } if own.begins(text) || shared.iter().any(|scope| scope.begins(text)))
    }

    /// Whether a path lies inside the own scope, which is all that a namespace may write.
    pub fn owns(&self, path: &str) -> bool {
        matches!(self, Self::Bound { own, .. } if SecretPath::absolute(path).is_ok() && own.contains(path))
    }
}

impl NamespaceLabels {
    /// Reads labels and annotations of a Namespace; keys that are not ours are passed over.
    ///
    /// What cannot be read has a strict value in its place and a problem that says so: a level is the strictest one, a
    /// binding is none, a shared path is left out.
    pub fn read<'a>(
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let labels: Vec<(&str, &str)> = labels.into_iter().collect();
        let mut state = Self { labels: LabelSet::new(labels.iter().copied()), ..Self::default() };
        let (mut group, mut app, mut env) = (None, None, None);
        for (key, value) in labels {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            match name {
                "group" => group = Some(value),
                "app" => app = Some(value),
                "env" => env = Some(value),
                "enforce" => state.levels.enforce = state.level(name, value),
                "warn" => state.levels.warn = state.level(name, value),
                "audit" => state.levels.audit = state.level(name, value),
                _ => state
                    .problems
                    .push(format!("label refgate.dev/{name} of the namespace means nothing to RefGate")),
            }
        }
        let mut shared_text = None;
        for (key, value) in annotations {
            if key == "refgate.dev/shared-paths" {
                shared_text = Some(value);
            }
        }
        state.bind(group, app, env, shared_text);
        state
    }

    fn level(&mut self, name: &str, word: &str) -> Option<Level> {
        Some(Level::parse(word).unwrap_or_else(|| {
            self.problems.push(format!(
                "label refgate.dev/{name} of the namespace is none of off, baseline, restricted, so it counts as restricted"
            ));
            Level::Restricted
        }))
    }

    fn bind(&mut self, group: Option<&str>, app: Option<&str>, env: Option<&str>, shared: Option<&str>) {
        let (group, app, env) = match (group, app, env) {
            (None, None, None) => return,
            (Some(group), Some(app), Some(env)) => (group, app, env),
            _ => {
                let missing: Vec<String> = [("group", group), ("app", app), ("env", env)]
                    .into_iter()
                    .filter(|(_, value)| value.is_none())
                    .map(|(name, _)| format!("{PREFIX}{name}"))
                    .collect();
                self.broken(match &missing[..] {
                    [one] => format!("label {one} is missing"),
                    all => format!("labels {} are missing", all.join(" and ")),
                });
                return;
            }
        };
        let own = match Scope::new(group, app, env) {
            Ok(own) => own,
            Err(error) => {
                self.broken(format!("labels refgate.dev/group, app and env do not read as a scope: {error}"));
                return;
            }
        };
        let mut prefixes = Vec::new();
        for (index, entry) in shared.unwrap_or_default().split(',').map(str::trim).enumerate() {
            match Scope::shared(entry) {
                _ if entry.is_empty() => {}
                Ok(prefix) => prefixes.push(prefix),
                Err(error) => self
                    .problems
                    .push(format!("entry {} of refgate.dev/shared-paths is left out: {error}", index + 1)),
            }
        }
        self.binding = Binding::Bound { own, shared: prefixes };
    }

    fn broken(&mut self, why: String) {
        self.problems.push(format!("the namespace counts as not bound: {why}"));
        self.binding = Binding::Broken(why);
    }
}

/// Which Secret of a namespace stands for which path. No values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// Sorted by path, then Secret.
    entries: Box<[Entry]>,
    /// Indexes into `entries`, sorted by the name of the Secret.
    by_secret: Box<[u32]>,
    /// Further names of the scope that the secret manager has, for "did you mean"; `None` where nobody listed them.
    known: Option<Box<[Box<str>]>>,
    /// Whether nobody can say what is synced: files are judged by a scope alone.
    unknown: bool,
}

/// One synced Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The path that it holds.
    pub path: Box<str>,
    /// Its name.
    pub secret: Box<str>,
    /// The keys of its data; sorted in a catalogue.
    pub keys: Box<[Box<str>]>,
    /// Version of the secret manager that it holds, where the sync wrote one.
    pub version: Option<Box<str>>,
}

impl Catalogue {
    /// Sorts what a ConfigMap lists; `known` are names relative to the scope.
    pub fn new(mut entries: Vec<Entry>, known: Option<Vec<Box<str>>>) -> Self {
        for entry in &mut entries {
            entry.keys.sort_unstable();
        }
        entries.sort_unstable();
        entries.dedup();
        entries.truncate(u32::MAX as usize);
        let mut by_secret: Vec<u32> = (0..entries.len() as u32).collect();
        by_secret.sort_by_key(|&index| &entries[index as usize].secret);
        let known = known.map(|mut names| {
            names.sort_unstable();
            names.dedup();
            names.into_boxed_slice()
        });
        Self { entries: entries.into(), by_secret: by_secret.into(), known, unknown: false }
    }

    /// A catalogue that nobody has: what is synced cannot be said, so nothing is said of it.
    pub fn unknown() -> Self {
        Self { unknown: true, ..Self::default() }
    }

    /// Whether it cannot be said what is synced.
    pub fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// All entries, sorted by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Every Secret that holds `path`; more than one is two sources claiming one path.
    pub fn by_path(&self, path: &str) -> &[Entry] {
        let start = self.entries.partition_point(|entry| &*entry.path < path);
        let length = self.entries[start..].iter().take_while(|entry| &*entry.path == path).count();
        &self.entries[start..start + length]
    }

    /// Every path that the Secret named `secret` holds, in the order of paths.
    pub fn by_secret<'c, 'n>(&'c self, secret: &'n str) -> impl Iterator<Item = &'c Entry> + use<'c, 'n> {
        let at = |index: &u32| &self.entries[*index as usize];
        let start = self.by_secret.partition_point(|index| &*at(index).secret < secret);
        self.by_secret[start..].iter().map(at).take_while(move |entry| &*entry.secret == secret)
    }

    /// Whether no sync of RefGate's own ever wrote one.
    pub fn is_absent(&self) -> bool {
        self.entries.is_empty() && self.known.is_none() && !self.unknown
    }

    /// Names of the scope that the secret manager has and nobody has synced; `None` where nobody listed them.
    pub fn known(&self) -> Option<&[Box<str>]> {
        self.known.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> NamespaceLabels {
        NamespaceLabels::read(labels.iter().copied(), annotations.iter().copied())
    }

    const BOUND: [(&str, &str); 3] =
        [("refgate.dev/group", "mozmeao"), ("refgate.dev/app", "snippets"), ("refgate.dev/env", "stage")];

    #[test]
    fn three_labels_bind_and_shared_paths_widen() {
        let state =
            read(&BOUND, &[("refgate.dev/shared-paths", " mozmeao/shared/stage ,, other/team/prod/smtp")]);
        assert_eq!(state.problems, Vec::<String>::new());
        assert!(state.binding.contains("mozmeao/snippets/stage/x"));
        assert!(state.binding.contains("mozmeao/shared/stage/x"));
        assert!(state.binding.contains("other/team/prod/smtp/password"));
        assert!(!state.binding.contains("other/team/prod/x"));
        assert!(!state.binding.contains("mozmeao/shared/stage2/x"));
    }

    #[test]
    fn what_cannot_be_read_is_strict_and_said() {
        let state = read(&[("refgate.dev/enforce", "strcit")], &[]);
        assert_eq!(state.levels.enforce, Some(Level::Restricted));
        assert!(state.problems[0].contains("refgate.dev/enforce"));

        let state = read(&BOUND[..2], &[]);
        assert!(matches!(&state.binding, Binding::Broken(why) if why.contains("refgate.dev/env is missing")));
        assert!(!state.binding.contains("mozmeao/snippets/stage/x"));
        let state = read(&BOUND[..1], &[]);
        assert!(state.problems[0].ends_with("labels refgate.dev/app and refgate.dev/env are missing"));

        let state = read(&BOUND, &[("refgate.dev/shared-paths", "mozmeao,a/b/../c,x/y/z")]);
        assert_eq!(state.problems.len(), 2);
        assert!(state.binding.contains("x/y/z/secret"));
        assert!(!state.binding.contains("mozmeao/other/prod/x"));
    }

    #[test]
    fn the_catalogue_answers_by_path_and_by_secret() {
        let entry = |path: &str, secret: &str| Entry {
            path: path.into(),
            secret: secret.into(),
            keys: Box::new(["value".into()]),
            version: None,
        };
        let catalogue = Catalogue::new(
            vec![entry("b", "s2"), entry("a", "s3"), entry("b", "s1"), entry("c", "s2")],
            None,
        );
        let secrets = |path| catalogue.by_path(path).iter().map(|entry| &*entry.secret).collect::<Vec<_>>();
        assert_eq!(secrets("b"), ["s1", "s2"]);
        assert_eq!(secrets("bb"), Vec::<&str>::new());
        let paths = |secret| catalogue.by_secret(secret).map(|entry| &*entry.path).collect::<Vec<_>>();
        assert_eq!(paths("s2"), ["b", "c"]);
        assert_eq!(paths("s"), Vec::<&str>::new());
    }
}
