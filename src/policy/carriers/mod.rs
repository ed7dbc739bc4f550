//! Carriers: systems that bring secrets into a cluster by objects of their own, and who may reach what by them.
//!
//! A carrier is a pure function from a foreign object to a [`reach::Reach`], in a file of its own, with a line in
//! [`CARRIERS`]. `judge` holds what it says to the scope of a namespace; `held` is what of it a snapshot keeps.

mod akv2k8s;
pub mod claims;
pub mod consul_template;
mod csi;
mod csi_secrets;
mod decide;
pub mod doc;
mod doppler;
mod external_secret;
mod external_secrets;
pub mod filled;
pub mod held;
pub mod json;
pub mod judge;
mod kubernetes_external_secrets;
mod literals;
pub mod mapped;
mod onepassword;
mod pieces;
pub mod place;
mod pointer;
mod push_secret;
pub mod reach;
pub mod row;
mod sealed_secrets;
pub mod secret_object;
mod secret_store;
pub mod settings;
mod sops;
mod strict_yaml;
mod template;
mod vault_operator;
mod without_kinds;

use std::fmt;

use json::{Excess, Json, Object};
use reach::{Fill, MANAGED_BY, MOST, Reach};

pub use decide::{Outside, decide, outside};

/// A system that carries secrets.
#[derive(Debug)]
pub struct Carrier {
    /// Its word in the configuration, in messages and on the command line; it never changes.
    pub id: &'static str,
    /// The name that its users know.
    pub title: &'static str,
    /// Its kinds.
    pub kinds: &'static [Kind],
    /// Where it holds paths, what is enforced of it, what no admission can decide, and the policy to put beside it.
    pub doc: doc::Doc,
}

/// One kind of a carrier.
pub struct Kind {
    /// API group.
    pub group: &'static str,
    /// Versions that are understood, the newest first.
    pub versions: &'static [&'static str],
    /// Kind, as in a manifest.
    pub kind: &'static str,
    /// Resource, plural, as in a webhook rule.
    pub resource: &'static str,
    /// Whether it is of the whole cluster.
    pub cluster_scoped: bool,
    /// What is done with it.
    pub handling: Handling,
}

/// What is done with a kind.
#[derive(Clone, Copy)]
pub enum Handling {
    /// It is read and judged. Watched kinds are kept in the snapshot, for what depends on them.
    Judged {
        /// From the object to what it reaches.
        read: fn(&Foreign<'_>) -> Reach,
        /// Whether a snapshot knows its objects.
        watched: bool,
    },
    /// It reaches no secret of its own.
    Harmless,
}

impl fmt::Debug for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.resource, self.group)
    }
}

/// Two carriers are one where their ids are.
impl PartialEq for Carrier {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Carrier {}

/// Two kinds are one where group and kind are.
impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        (self.group, self.kind) == (other.group, other.kind)
    }
}

impl Eq for Kind {}

impl Kind {
    /// What an object of this kind says, of itself and in our annotations.
    pub fn read(&self, object: &Foreign<'_>) -> Reach {
        let Handling::Judged { read, .. } = self.handling else { return Reach::default() };
        let mut reach = read(object);
        claims::read(object, &mut reach);
        let more = || {
            format!(
                "it has more than {MOST} paths, texts or keys, and no more are judged; make several objects of it"
            )
        };
        let why = object.excess.map(|excess| excess.to_string());
        if let Some(why) = why.or_else(|| reach.has_more.then(more)) {
            reach.fault("", why);
            // What it fills may be among what was not read.
            reach.target = reach.target.or_else(|| Some(object.name().into()));
            reach.fills.push(Fill::other(None));
        }
        reach
    }

    /// Whether a snapshot knows its objects.
    pub fn is_watched(&self) -> bool {
        matches!(self.handling, Handling::Judged { watched: true, .. })
    }
}

/// All carriers, in the order in which they are listed.
pub const CARRIERS: [&Carrier; 14] = [
    &external_secrets::CARRIER,
    &kubernetes_external_secrets::CARRIER,
    &csi::CARRIER,
    &without_kinds::VAULT_AGENT,
    &vault_operator::CARRIER,
    &without_kinds::BANK_VAULTS,
    &sealed_secrets::CARRIER,
    &sops::CARRIER,
    &without_kinds::ARGOCD_VAULT_PLUGIN,
    &onepassword::CARRIER,
    &akv2k8s::CARRIER,
    &doppler::CARRIER,
    &without_kinds::VALUES,
    &without_kinds::REPLICATORS,
];

/// All kinds, with their carriers.
pub fn kinds() -> impl Iterator<Item = (&'static Carrier, &'static Kind)> {
    CARRIERS.into_iter().flat_map(|carrier| carrier.kinds.iter().map(move |kind| (carrier, kind)))
}

/// The groups of all carriers, each once.
pub fn groups() -> Vec<&'static str> {
    let mut groups: Vec<&str> = kinds().map(|(_, kind)| kind.group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// What a group and a kind are to the fence.
#[derive(Debug, Clone, Copy)]
pub enum Known {
    /// A kind of a carrier.
    Kind(&'static Carrier, &'static Kind),
    /// The group is of a carrier and the kind is none that this version has heard of: a bound namespace does not get it.
    Group(&'static Carrier),
}

/// Looks a kind up; `None` for what carries no secrets.
pub fn known(group: &str, kind: &str) -> Option<Known> {
    // Pods, workloads and most others are told apart by this alone.
    if !group.contains('.') {
        return None;
    }
    let mut carrier = None;
    for (of, row) in kinds().filter(|(_, row)| row.group == group) {
        if row.kind == kind {
            return Some(Known::Kind(of, row));
        }
        carrier = Some(of);
    }
    carrier.map(Known::Group)
}

/// Beginnings of annotations by which other tools copy Secrets between namespaces: emberstack's reflector, mittwald's
/// replicator, config-syncer. `manifests/base/policies/replicators.yaml` says the same of Secrets.
pub const COPIERS: [&str; 3] =
    ["reflector.v1.k8s.emberstack.com/", "replicator.v1.mittwald.de/", "kubed.appscode.com/"];

/// A foreign object.
#[derive(Debug)]
pub struct Foreign<'a> {
    /// All of it but `status` and `managedFields`, as far as it was built.
    pub json: Json<'a>,
    /// Why that is not all of it.
    pub excess: Option<Excess>,
    /// Whether a snapshot keeps what is read: a review does not ask which keys are filled.
    pub is_kept: bool,
}

impl<'a> Foreign<'a> {
    /// An object that was read.
    pub fn new(Object { json, excess }: Object<'a>, is_kept: bool) -> Self {
        Self { json, excess, is_kept }
    }

    /// Its name; empty where it has none yet.
    pub fn name(&self) -> &str {
        self.json.get("metadata").get("name").text().unwrap_or_default()
    }

    /// What its name begins with, where the API server makes one.
    pub fn generate_name(&self) -> &str {
        self.json.get("metadata").get("generateName").text().unwrap_or_default()
    }

    /// An annotation of the object itself.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.json.get("metadata").get("annotations").get(key).text()
    }

    /// Whether all that is judged is the same as in `other`: whatever stands outside of `metadata`, the annotations, and the
    /// label by which the sync knows its Secrets.
    pub fn is_judged_like(&self, other: &Foreign<'_>) -> bool {
        let (mine, theirs) = (&self.json, &other.json);
        let annotations = "annotations";
        // Of its labels one is judged, and controllers change the others all the time.
        let label =
            |json: &Json<'_>| json.get("metadata").get("labels").get(MANAGED_BY).text().map(str::to_owned);
        // What was not built may be another.
        (self.excess, other.excess) == (None, None)
            && mine.fields().len() == theirs.fields().len()
            && mine.fields().iter().all(|(key, value)| key == "metadata" || theirs.get(key) == value)
            && mine.get("metadata").get(annotations) == theirs.get("metadata").get(annotations)
            && label(mine) == label(theirs)
    }
}
