//! What a snapshot keeps of foreign objects: which paths they reach, which Secrets they fill, and the stores. No plaintext.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

use super::external_secrets::{CLUSTER_STORE, STORE};
use super::json::Object;
use super::pieces::Pieces;
use super::place::{Place, System};
use super::reach::{Asked, Fill, How, Pointer, Reach, Remarks, Source, by_name};
use super::{Carrier, Foreign, Kind};

/// One object of a watched kind. There may be tens of thousands of these, so its texts lie in one piece of memory, and where
/// in the object they stood is forgotten.
#[derive(Debug, PartialEq)]
pub struct Held {
    /// Its kind.
    pub kind: &'static Kind,
    texts: Box<str>,
    name: Span,
    /// The Secret that it fills.
    target: Option<Span>,
    /// By what it reads; nearly all objects have one.
    sources: Box<[Source]>,
    accesses: Box<[Kept]>,
    fills: Box<[KeptFill]>,
    /// The files of a class, as the fills that they would be: the key is the name.
    files: Box<[KeptFill]>,
    /// Where it leads, if it is a store.
    pub place: Option<Box<Place>>,
    /// What else there is to judge, for the few that have it. No plaintext.
    pub rest: Option<Box<Reach>>,
}

/// A text of an object: where it starts among all of them, and where it ends, plus one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Span {
    start: u32,
    end: NonZeroU32,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end.get() as usize - 1
    }
}

/// A remote path that it reads or writes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kept {
    key: Span,
    source: u32,
    how: How,
}

/// What it writes into a Secret.
#[derive(Debug, PartialEq)]
struct KeptFill {
    key: Option<Span>,
    secret: Option<Span>,
    property: Option<Span>,
    /// The number of the access, plus one.
    access: Option<NonZeroU32>,
    is_value: bool,
    only_of: Option<System>,
}

/// What an object writes into a Secret, as [`Fill`] has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filling<'h> {
    /// The key; `None` where nobody can name it.
    pub key: Option<&'h str>,
    /// The Secret; `None` where there is none.
    pub secret: Option<&'h str>,
    /// Which of the accesses it comes from.
    pub access: Option<usize>,
    /// Which property of it.
    pub property: Option<&'h str>,
    /// Whether what comes is what the secret manager has now.
    pub is_value: bool,
    /// The one system of which that holds, if not of every one.
    pub only_of: Option<System>,
}

/// Puts texts one behind the other.
#[derive(Default)]
struct Texts(String);

/// Longest remote path that a SecretSync takes from its class: ARNs are longer than paths.
const KEY_BYTES: usize = 2_048;
/// Most fills that are kept of one object. A Secret of 1 MiB holds no more keys that anybody refers to.
const FILLS: usize = 2_000;

/// What is kept of the fills of an object: each once, whichever of its entries brings it. Of an object with more than anybody
/// keeps, each of its Secrets holds what nobody knows.
fn bounded<A: Eq + Hash>(fills: Vec<Fill>, access: impl Fn(u32) -> Option<A>) -> Vec<Fill> {
    let mut seen = HashSet::new();
    let is_new: Vec<bool> = fills
        .iter()
        .map(|fill| {
            let from = fill.access.map(&access);
            seen.insert((&fill.key, &fill.secret, from, &fill.property, fill.is_value, fill.only_of))
        })
        .collect();
    if seen.len() > FILLS {
        let secrets: BTreeSet<&Option<Box<str>>> = fills.iter().map(|fill| &fill.secret).collect();
        let unknown = |secret: &Option<Box<str>>| Fill { secret: secret.clone(), ..Fill::other(None) };
        return secrets.into_iter().map(unknown).collect();
    }
    fills.into_iter().zip(is_new).filter(|(_, is_new)| *is_new).map(|(fill, _)| fill).collect()
}

impl Texts {
    fn add(&mut self, text: &str) -> Span {
        // Objects have a few MiB at most; what does not fit would be empty.
        let start = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.push_str(text);
        let end = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        Span { start, end: NonZeroU32::MIN.saturating_add(end) }
    }

    fn text(&self, span: Span) -> &str {
        self.0.get(span.range()).unwrap_or_default()
    }

    fn fill(&mut self, fill: &Fill) -> KeptFill {
        let mut add = |text: &Option<Box<str>>| text.as_deref().map(|text| self.add(text));
        let (key, secret, property) = (add(&fill.key), add(&fill.secret), add(&fill.property));
        let access = fill.access.map(|number| NonZeroU32::MIN.saturating_add(number));
        KeptFill { key, secret, property, access, is_value: fill.is_value, only_of: fill.only_of }
    }
}

impl Held {
    /// Reads an object, without its plaintext.
    pub fn new(kind: &'static Kind, object: &Foreign<'_>) -> Self {
        let mut reach = kind.read(object);
        reach.literals = Vec::new();
        reach.notes = Remarks::default();
        let mut texts = Texts::default();
        let name = texts.add(object.name());
        let target = reach.target.take().map(|target| texts.add(&target));
        reach.target_at = "";
        let mut sources: Vec<Source> = Vec::new();
        let mut accesses = Vec::with_capacity(reach.accesses.len());
        for access in std::mem::take(&mut reach.accesses) {
            // Entries that read by one store stand together.
            if sources.last() != Some(&access.source) {
                sources.push(access.source);
            }
            let source = u32::try_from(sources.len() - 1).unwrap_or(u32::MAX);
            accesses.push(Kept { key: texts.add(&access.key), source, how: access.how });
        }
        let fills = bounded(std::mem::take(&mut reach.fills), |access| {
            accesses.get(access as usize).map(|kept: &Kept| (texts.text(kept.key), kept.source, kept.how))
        });
        let fills = fills.iter().map(|fill| texts.fill(fill)).collect();
        let files = std::mem::take(&mut reach.files);
        let named = by_name(files.iter().map(|(name, fill)| (&**name, fill)));
        // Which of two files of one name is there, nobody can say.
        let known = files.iter().filter(|(name, _)| matches!(named.get(&**name), Some(Some(_))));
        let files = known
            .take(FILLS)
            .map(|(name, fill)| texts.fill(&Fill { key: Some(name.clone()), ..fill.clone() }));
        let files = files.collect();
        let place = reach.place.take().map(Box::new);
        let rest = (reach != Reach::default()).then(|| Box::new(reach));
        let (sources, accesses, texts) = (sources.into(), accesses.into(), texts.0.into());
        Self { kind, texts, name, target, sources, accesses, fills, files, place, rest }
    }

    /// A SecretSync with the class that it names: each of its keys comes from a file of the class, which says of which path. What
    /// is longer than any path is of none, so that no number of such objects repeats it.
    pub fn joined(&self, class: &Self) -> Self {
        let files = class.files.iter().filter_map(|file| Some((class.text(file.key?), file)));
        let files: HashMap<&str, &KeptFill> = files.collect();
        let mut texts = Texts::default();
        let (name, target) = (texts.add(self.name()), self.target().map(|target| texts.add(target)));
        let (mut sources, mut accesses): (Vec<Source>, _) = (Vec::new(), Vec::new());
        let mut fills = Vec::with_capacity(self.fills.len());
        for fill in (0..self.fill_count()).map(|number| self.fill(number)) {
            let file = fill.property.and_then(|name| files.get(name));
            let from = file.and_then(|file| class.accesses.get(file.access?.get() as usize - 1));
            let from = from.filter(|kept| class.text(kept.key).len() <= KEY_BYTES);
            let from = from.and_then(|kept| Some((kept, class.sources.get(kept.source as usize)?)));
            let key = fill.key.map(|key| texts.add(key));
            let property = file.and_then(|file| file.property).map(|span| texts.add(class.text(span)));
            if let Some((kept, source)) = from {
                if sources.last() != Some(source) {
                    sources.push(source.clone());
                }
                let number = u32::try_from(sources.len() - 1).unwrap_or(u32::MAX);
                accesses.push(Kept { key: texts.add(class.text(kept.key)), source: number, how: kept.how });
            }
            let access = from.and_then(|_| NonZeroU32::new(u32::try_from(accesses.len()).ok()?));
            let is_value = access.is_some() && file.is_some_and(|file| file.is_value);
            let only_of = file.and_then(|file| file.only_of);
            fills.push(KeptFill { key, secret: None, property, access, is_value, only_of });
        }
        let (sources, accesses, texts) = (sources.into(), accesses.into(), texts.0.into());
        let (kind, fills, files) = (self.kind, fills.into(), Box::default());
        Self { kind, texts, name, target, sources, accesses, fills, files, place: None, rest: None }
    }

    /// The class that it names, where nobody says otherwise which path its keys hold.
    pub fn class(&self) -> Option<&str> {
        let (_, name) = self.rest.as_ref()?.classes.first()?;
        Some(&**name).filter(|_| self.accesses.is_empty())
    }

    /// Reads the JSON of an object; `None` where it is none.
    pub fn read(kind: &'static Kind, text: &str) -> Option<Self> {
        Some(Self::new(kind, &Foreign::new(Object::read(text).ok()?, true)))
    }

    fn text(&self, span: Span) -> &str {
        self.texts.get(span.range()).unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.text(self.name)
    }

    /// Name of the Secret that it fills.
    pub fn target(&self) -> Option<&str> {
        self.target.map(|span| self.text(span))
    }

    /// Every remote path that it reads or writes.
    pub fn accesses(&self) -> impl Iterator<Item = Asked<'_>> {
        self.accesses.iter().filter_map(|kept| self.asked(kept))
    }

    /// One of them, by its number.
    pub fn access(&self, number: usize) -> Option<Asked<'_>> {
        self.asked(self.accesses.get(number)?)
    }

    fn asked(&self, kept: &Kept) -> Option<Asked<'_>> {
        let source = self.sources.get(kept.source as usize)?;
        Some(Asked { at: &Pointer::Object, source, how: kept.how, key: self.text(kept.key) })
    }

    /// How many things it writes into Secrets.
    pub fn fill_count(&self) -> u32 {
        u32::try_from(self.fills.len()).unwrap_or(u32::MAX)
    }

    /// One of them.
    pub fn fill(&self, number: u32) -> Filling<'_> {
        let none =
            Filling { key: None, secret: None, access: None, property: None, is_value: false, only_of: None };
        self.fills.get(number as usize).map_or(none, |fill| Filling {
            key: fill.key.map(|span| self.text(span)),
            secret: fill.secret.or(self.target).map(|span| self.text(span)),
            access: fill.access.map(|number| number.get() as usize - 1),
            property: fill.property.map(|span| self.text(span)),
            is_value: fill.is_value,
            only_of: fill.only_of,
        })
    }

    fn key(&self) -> (&'static str, &'static str, &str) {
        (self.kind.group, self.kind.kind, self.name())
    }
}

/// All foreign objects of one namespace, or those of the whole cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Carried {
    /// Sorted by group, kind and name.
    objects: Pieces<Arc<Held>>,
}

impl Carried {
    /// All of them at once; of two with one name the last counts.
    pub fn new(objects: impl IntoIterator<Item = Arc<Held>>) -> Self {
        let mut objects: Vec<Arc<Held>> = objects.into_iter().collect();
        objects.reverse();
        objects.sort_by(|a, b| a.key().cmp(&b.key()));
        objects.dedup_by(|a, b| a.key() == b.key());
        Self { objects: Pieces::new(&objects) }
    }

    /// Takes one in, in the place of what was there under its name, which it gives.
    pub fn insert(&mut self, held: Arc<Held>) -> Option<Arc<Held>> {
        let old = self.remove(held.kind, held.name());
        let key = Arc::clone(&held);
        self.objects.insert(held, |other| other.key() < key.key());
        old
    }

    /// Forgets one, which it gives.
    pub fn remove(&mut self, kind: &Kind, name: &str) -> Option<Arc<Held>> {
        let key = (kind.group, kind.kind, name);
        self.objects.remove(|held| held.key() < key, |held| held.key() == key)
    }

    /// One of them.
    pub fn get(&self, kind: &Kind, name: &str) -> Option<&Arc<Held>> {
        let key = (kind.group, kind.kind, name);
        self.objects.from(|held| held.key() < key).next().filter(|held| held.key() == key)
    }

    /// All of them, sorted.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Held>> {
        self.objects.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// A SecretProviderClass.
    pub fn class(&self, name: &str) -> Option<&Held> {
        let (_, kind) = super::kinds().find(|(_, kind)| kind.kind == super::csi::CLASS)?;
        self.get(kind, name).map(|held| &**held)
    }

    /// Where a store leads.
    pub fn store(&self, cluster: bool, name: &str) -> Option<&Place> {
        let (_, kind) = super::kinds().find(|(_, kind)| kind.kind == store_kind(cluster))?;
        self.get(kind, name)?.place.as_deref()
    }

    /// Whether an object reads through this one, and must be looked at again when it changes: a class that a SecretSync names.
    pub fn is_read_through(&self, kind: &Kind, name: &str) -> bool {
        let names = |held: &Held| {
            let classes = held.rest.iter().flat_map(|rest| &rest.classes);
            classes.into_iter().any(|(_, class)| **class == *name)
        };
        kind.kind == super::csi::CLASS && self.objects().any(|held| names(held))
    }

    /// What reads or writes through a store.
    pub fn readers<'c>(&'c self, cluster: bool, name: &'c str) -> impl Iterator<Item = &'c Held> {
        let is_it = move |source: &Source| match source {
            Source::Store { cluster: of, name: store } => *of == cluster && **store == *name,
            Source::Place(_) | Source::Engine(_) | Source::Claim | Source::Selected { .. } => false,
        };
        self.objects().filter(move |held| held.sources.iter().any(is_it)).map(|held| &**held)
    }
}

/// The kind of a store.
pub fn store_kind(cluster: bool) -> &'static str {
    if cluster { CLUSTER_STORE } else { STORE }
}

/// The carrier of a kind.
pub fn carrier_of(kind: &Kind) -> Option<&'static Carrier> {
    super::kinds().find(|(_, row)| *row == kind).map(|(carrier, _)| carrier)
}

/// Whether a kind is one of the stores.
pub fn is_store(kind: &Kind) -> bool {
    [true, false].into_iter().any(|cluster| store_kind(cluster) == kind.kind)
}
