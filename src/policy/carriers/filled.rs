//! The catalogue from other systems: which key of which Secret their objects fill from which path, so that a reference
//! resolves without a sync of RefGate's own. An object that comes or goes changes its own rows alone.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::held::{Carried, Filling, Held, carrier_of};
use super::pieces::Pieces;
use super::place::{self, Place, Verdict};
use super::reach::{Asked, How, Source};
use super::row::{Filler, Row};
use super::settings::Mode;
use crate::policy::bounds::MANY;
use crate::policy::snapshot::{Binding, NamespaceLabels, Settings};

/// Most rows of one key, or of keys that nobody can name in one Secret, that are told apart.
pub const WRITERS: usize = 64;

/// What the objects of one namespace fill.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filled {
    /// Those with a path, sorted by path, then Secret, then object.
    rows: Pieces<Row>,
    /// All of them, sorted by Secret, then key; keys that nobody can name come first.
    by_secret: Pieces<Row>,
    /// Those of objects that read what the namespace may not read, sorted by Secret.
    outside: Pieces<Row>,
}

/// Where objects are, for what their paths come to.
#[derive(Debug, Clone, Copy)]
pub struct Around<'w> {
    /// What the namespace may read.
    pub labels: &'w NamespaceLabels,
    /// Its stores among them.
    pub carried: &'w Carried,
    /// The stores of the cluster.
    pub cluster: &'w Carried,
    /// What else may be read.
    pub settings: &'w Settings,
}

/// What all properties of a path come to.
#[derive(Debug)]
pub enum Spread<'f> {
    /// The Secret of this row holds all of them and nothing else, under their own names; and so does another one, maybe.
    Secret(&'f Row, Option<&'f Row>),
    /// Some are known, each with its Secret and key.
    Keys(BTreeMap<&'f str, (&'f str, &'f str)>),
    /// Its properties are in this Secret, by this row, and so is something else.
    Shared(&'f Row),
    /// None is known; the row fills the whole value.
    Plain(&'f Row),
}

impl<'w> Around<'w> {
    /// Where a source leads; `None` for a claim, and for a store that is not there.
    fn place(&self, source: &'w Source) -> Option<&'w Place> {
        match source {
            // What is selected by labels is only written to.
            Source::Claim | Source::Selected { .. } => None,
            Source::Place(place) | Source::Engine(place) => Some(place),
            Source::Store { cluster: true, name } => self.cluster.store(true, name),
            Source::Store { cluster: false, name } => self.carried.store(false, name),
        }
    }

    fn verdict(&self, access: &Asked<'w>) -> Option<Verdict> {
        match access.source {
            Source::Claim => return Some(place::claimed(access.key, &self.labels.binding)),
            Source::Engine(place) if !place::has_row(place, access.key, self.settings) => return None,
            _ => {}
        }
        let place = self.place(access.source)?;
        Some(match place.remote(access.how, access.key) {
            Ok(remote) => place::judge(&remote, access.how, &self.labels.binding, self.settings),
            Err(why) => Verdict::Outside(None, why),
        })
    }

    /// Whether an object would be refused for something that is none of its paths: a search of everything, another region, or
    /// what cannot be decided where that is denied. What it fills is then not to be had either.
    fn is_refused(&self, held: &Held) -> bool {
        let Some(rest) = &held.rest else { return false };
        // A class names no class, so this ends.
        let is_outside = |class: &Held| {
            let is_outside = |access: Asked<'_>| matches!(self.verdict(&access), Some(Verdict::Outside(..)));
            self.is_refused(class) || class.accesses().any(is_outside)
        };
        let denies_doubts = || {
            let mode = carrier_of(held.kind).map(|carrier| self.settings.carriers.undecided(carrier.id));
            mode.is_none_or(|mode| mode == Mode::Deny)
        };
        !rest.faults.is_empty()
            || rest.identities.iter().any(|(_, which, text)| which.judge(text, self.settings).is_err())
            || (!rest.doubts.is_empty() && denies_doubts())
            || rest
                .classes
                .iter()
                .any(|(_, name)| self.carried.class(name).map_or_else(denies_doubts, is_outside))
    }

    /// What an object comes to, and whether it reads what the namespace may not read, or may. Nothing where it fills nothing, or
    /// where the namespace is bound to nothing.
    fn filler(&self, held: &'w Arc<Held>) -> Option<(Arc<Filler>, bool)> {
        if held.fill_count() == 0 || !matches!(self.labels.binding, Binding::Bound { .. }) {
            return None;
        }
        let (mut paths, mut is_outside, mut is_as_written) = (Vec::new(), self.is_refused(held), true);
        let joined = held.class().and_then(|name| self.carried.class(name)).map(|class| held.joined(class));
        let held = &joined.map_or_else(|| Arc::clone(held), Arc::new);
        for access in held.accesses() {
            let path = match self.verdict(&access) {
                Some(Verdict::Inside(Some(path))) => path.into_boxed_str(),
                Some(Verdict::Outside(..)) => {
                    is_outside |= access.how != How::Write;
                    "".into()
                }
                Some(Verdict::Inside(None)) | None => "".into(),
            };
            is_as_written &= *path == *access.key;
            paths.push(path);
        }
        let changed =
            (0..held.fill_count()).filter(|number| self.is_changed(held, held.fill(*number))).collect();
        let paths = (!is_as_written).then(|| paths.into());
        Some((Arc::new(Filler { held: Arc::clone(held), paths, changed }), is_outside))
    }

    /// Whether something else comes than the value of the path, as only the store can tell: what is the current version in the
    /// words of another system, a key or a certificate.
    fn is_changed(&self, held: &'w Held, fill: Filling<'_>) -> bool {
        let Some(access) = fill.access.and_then(|number| held.access(number)) else { return false };
        if fill.only_of.is_none() && !place::may_be_no_secret(access.key) {
            return false;
        }
        let Some(place) = self.place(access.source) else { return false };
        fill.only_of.is_some_and(|system| place.system != Some(system)) || !place.is_secret(access.key)
    }
}

impl Filled {
    /// What the objects of a namespace fill; nothing where it is bound to nothing.
    pub fn new(around: Around<'_>) -> Self {
        let (mut rows, mut outside) = (Vec::new(), Vec::new());
        for (filler, is_outside) in around.carried.objects().filter_map(|held| around.filler(held)) {
            rows.extend(filler.rows());
            outside.extend(filler.rows().filter(|_| is_outside));
        }
        outside.sort_unstable_by(Row::by_secret);
        rows.sort_unstable_by(Row::by_secret);
        let by_secret = Pieces::new(&rows);
        rows.retain(|row| !row.path().is_empty());
        rows.sort_unstable_by(Row::by_path);
        Self { rows: Pieces::new(&rows), by_secret, outside: Pieces::new(&outside) }
    }

    /// The same with one object in the place of another. Nothing else may have changed, and neither is a store.
    pub fn replaced<'w>(
        &self,
        around: Around<'w>,
        old: Option<&'w Arc<Held>>,
        new: Option<&'w Arc<Held>>,
    ) -> Self {
        let (old, new) = (old.and_then(|held| around.filler(held)), new.and_then(|held| around.filler(held)));
        let rows = |filler: &Option<(Arc<Filler>, bool)>| -> Vec<Row> {
            filler.iter().flat_map(|(filler, _)| filler.rows()).collect()
        };
        let (gone, come) = (rows(&old), rows(&new));
        let with_path = |row: &&Row| !row.path().is_empty();
        let outside =
            |filler: &Option<(Arc<Filler>, bool)>| filler.as_ref().is_some_and(|(_, is_outside)| *is_outside);
        let (was_outside, is_outside) = (outside(&old), outside(&new));
        let mut filled = self.clone();
        change(&mut filled.by_secret, gone.iter(), come.iter(), Row::by_secret);
        change(&mut filled.rows, gone.iter().filter(with_path), come.iter().filter(with_path), Row::by_path);
        let (gone, come) = (gone.iter().filter(|_| was_outside), come.iter().filter(|_| is_outside));
        change(&mut filled.outside, gone, come, Row::by_secret);
        filled
    }

    /// Whether nothing is filled here by any other system.
    pub fn is_empty(&self) -> bool {
        self.by_secret.is_empty() && self.outside.is_empty()
    }

    /// All rows that have a path, sorted by it.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter()
    }

    /// Every key that holds something of a path.
    pub fn by_path<'f, 'n>(&'f self, path: &'n str) -> impl Iterator<Item = &'f Row> + Clone + use<'f, 'n> {
        self.rows.from(|row| row.path() < path).take_while(move |row| row.path() == path)
    }

    /// What is written into a Secret under a key, or under keys that nobody can name.
    fn of_key<'f, 'n>(
        &'f self,
        secret: &'n str,
        key: Option<&'n str>,
    ) -> impl Iterator<Item = &'f Row> + use<'f, 'n> {
        self.by_secret
            .from(|row| (row.secret(), row.key()) < (secret, key))
            .take_while(move |row| (row.secret(), row.key()) == (secret, key))
    }

    fn of_secret<'f, 'n>(&'f self, secret: &'n str) -> impl Iterator<Item = &'f Row> + use<'f, 'n> {
        self.by_secret.from(|row| row.secret() < secret).take_while(move |row| row.secret() == secret)
    }

    /// The paths of a Secret, or of one key of it, as far as they are known: each once, sorted. Of more than anybody reports
    /// or can tell apart, those of the first.
    pub fn paths(&self, secret: &str, key: Option<&str>) -> BTreeSet<&str> {
        let known = |row: &&Row| !row.path().is_empty();
        let Some(key) = key else {
            return self.of_secret(secret).take(MANY).filter(known).map(Row::path).collect();
        };
        // A key that is named goes before those that come as they are.
        let key = Some(key).filter(|key| self.of_key(secret, Some(key)).next().is_some());
        self.of_key(secret, key).take(WRITERS).filter(known).map(Row::path).collect()
    }

    /// Somebody who fills a Secret.
    pub fn writer(&self, secret: &str) -> Option<&Row> {
        self.of_secret(secret).next()
    }

    /// Whether a Secret holds what the namespace may not read.
    pub fn is_outside(&self, secret: &str) -> bool {
        self.outside.from(|row| row.secret() < secret).next().is_some_and(|row| row.secret() == secret)
    }

    /// The key that holds what a reference asks for, if this row fills it and nothing else can have written it.
    pub fn key_of<'f>(&'f self, row: &'f Row, property: Option<&'f str>) -> Option<&'f str> {
        let key = row.key_of(property)?;
        let wanted = (row.path(), property);
        let secret = row.secret();
        let is_same = |other: &&Row| other.content(key) == Some(wanted);
        // Within one object what is named goes before what comes as it is: the readers see to it.
        let goes_before = |other: &&Row| row.key().is_some() && !row.is_other(other);
        (are_all(self.of_key(secret, Some(key)), |other| is_same(&other))
            && are_all(self.of_key(secret, None), |other| is_same(&other) || goes_before(&other)))
        .then_some(key)
    }

    /// What all properties of a path come to; `None` where nothing fills it. Of a path that is filled more often than
    /// anybody can tell apart, none is known.
    pub fn spread<'f>(&'f self, path: &str) -> Option<Spread<'f>> {
        let rows = self.by_path(path);
        let first = rows.clone().next()?;
        if rows.clone().nth(MANY).is_some() {
            return Some(Spread::Plain(first));
        }
        let each = rows.clone().filter(|row| row.key().is_none());
        // What has a name besides is the property of that name, or it might lie over another one.
        let is_its_own = |row: &Row, other: &Row| {
            let key = other.key();
            !row.is_other(other)
                && match key {
                    Some(key) => other.content(key) == Some((path, Some(key))),
                    None => other.is_value() && other.path() == path,
                }
        };
        let is_alone = |row: &&Row| {
            self.of_key(row.secret(), None).nth(WRITERS).is_none()
                && self.of_secret(row.secret()).all(|other| is_its_own(row, other))
        };
        let mut alone = each.clone().filter(is_alone);
        if let Some(row) = alone.next() {
            return Some(Spread::Secret(row, alone.next()));
        }
        if let Some(row) = each.clone().next() {
            return Some(Spread::Shared(row));
        }
        let mut keys = BTreeMap::new();
        for row in rows {
            let Some(property) = row.property() else { continue };
            if let Some(key) = self.key_of(row, Some(property)) {
                keys.entry(property).or_insert((row.secret(), key));
            }
        }
        Some(if keys.is_empty() { Spread::Plain(first) } else { Spread::Keys(keys) })
    }
}

/// Whether all rows that write one key are as they should be. Of more than anybody can tell apart nothing is sure: each
/// reference would look at all of them.
fn are_all<'f>(rows: impl Iterator<Item = &'f Row>, is_right: impl Fn(&'f Row) -> bool) -> bool {
    rows.zip(0..).all(|(row, number)| number < WRITERS && is_right(row))
}

/// Most rows that go and come one by one.
const ONE_BY_ONE: usize = 256;
/// What a row costs that goes or comes alone, as against one of a list that is made anew: it copies a whole piece.
const COST: usize = 32;

/// Takes the rows of an object out of a list and puts others in. Whatever is equal in order is the same row.
fn change<'r>(
    list: &mut Pieces<Row>,
    gone: impl Iterator<Item = &'r Row>,
    come: impl Iterator<Item = &'r Row>,
    order: impl Fn(&Row, &Row) -> Ordering,
) {
    let (mut gone, come): (Vec<&Row>, Vec<&Row>) = (gone.collect(), come.collect());
    let changes = gone.len() + come.len();
    if changes > ONE_BY_ONE && changes * COST > list.len() {
        gone.sort_unstable_by(|a, b| order(a, b));
        let stays = |row: &&Row| gone.binary_search_by(|other| order(other, row)).is_err();
        let mut rows: Vec<Row> = list.iter().filter(stays).cloned().collect();
        rows.extend(come.into_iter().cloned());
        // Most of it is in order already, which a stable sort makes use of.
        rows.sort_by(order);
        *list = Pieces::new(&rows);
        return;
    }
    for row in gone {
        list.remove(|other| order(other, row).is_lt(), |other| order(other, row).is_eq());
    }
    for row in come {
        list.insert(row.clone(), |other| order(other, row).is_lt());
    }
}
