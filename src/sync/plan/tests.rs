//! The plan, by rows and by laws.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::sync::manager::{Fetched, SecretValue};
use crate::sync::secret::{Claim, claim};

const NAMES: [&str; 6] = [
    "g/a/stage/one",
    "g/a/stage/two",
    "g/a/stage2/one",
    "g/a/prod/one",
    "g/shared/stage/one",
    "g/shared/prod/x",
];

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn bound() -> Binding {
    let shared = vec![Scope::shared("g/shared/stage").unwrap()];
    Binding::Bound { own: Scope::parse("g/a/stage").unwrap(), shared }
}

fn listed(path: &str, version: &str) -> Listed {
    let version = Some(version.to_owned()).filter(|version| !version.is_empty());
    Listed { path: path.to_owned(), version, changed: None, deleted: None, tags: BTreeMap::new() }
}

fn desired(path: &str, version: &str) -> (Fetched, Desired) {
    let value = SecretValue::new(format!("{path} at {version}").into_bytes());
    let fetched = Fetched { version: version.to_owned(), created: Some(now()), value, is_text: true };
    let desired = Desired::new(path, &fetched, None).unwrap();
    (fetched, desired)
}

fn held(path: &str, version: &str) -> Held {
    let body = desired(path, version).1.body("web", Some(&format!("uid of {path}")), now());
    match claim(std::str::from_utf8(&body).unwrap()) {
        Some(Claim::Ours(held)) => *held,
        other => panic!("{other:?}"),
    }
}

/// All that a plan rests on, owned.
#[derive(Debug)]
struct Case {
    binding: Binding,
    wanted: Wanted,
    held: Vec<Held>,
    taken: BTreeMap<String, String>,
    leaving: BTreeMap<String, Leaving>,
    is_whole: bool,
    is_binding_known: bool,
    listings: Listings,
    known: HashMap<String, Known>,
    now: Timestamp,
    settings: Sync,
}

impl Case {
    /// A namespace that wants `wanted`; the manager has `list`.
    fn new(wanted: &[&str], list: &[Listed]) -> Self {
        let mut case = Self {
            binding: bound(),
            wanted: Wanted {
                paths: wanted.iter().map(|path| (*path).to_owned()).collect(),
                ..Wanted::default()
            },
            held: Vec::new(),
            taken: BTreeMap::new(),
            leaving: BTreeMap::new(),
            is_whole: true,
            is_binding_known: true,
            listings: Listings::new(),
            known: HashMap::new(),
            now: now(),
            settings: Sync::default(),
        };
        case.list(list);
        case
    }

    fn list(&mut self, list: &[Listed]) {
        for prefix in prefixes(&self.binding) {
            let under = list.iter().filter(|listed| prefix.contains(&listed.path)).cloned().collect();
            self.listings.insert(prefix.as_str().to_owned(), Some(Listing::new(under)));
        }
    }

    fn plan(&self) -> Plan {
        let view = View {
            binding: &self.binding,
            wanted: &self.wanted,
            held: &self.held,
            taken: &self.taken,
            leaving: &self.leaving,
            known_names: &[],
            is_whole: self.is_whole,
            is_binding_known: self.is_binding_known,
            listings: &self.listings,
            known: &self.known,
            unread: &BTreeSet::new(),
            unlisted: &BTreeMap::new(),
            refused: &BTreeMap::new(),
        };
        plan(&view, &self.settings, self.now)
    }

    fn version(&self, path: &str) -> Option<Listed> {
        self.listings.values().flatten().find_map(|listing| listing.by_path.get(path).cloned())
    }

    /// Does what a plan says, as the loop does.
    fn apply(&mut self, plan: &Plan) {
        for path in &plan.fetch {
            let listed = self.version(path).unwrap();
            let version = listed.version.clone().unwrap();
            let (fetched, desired) = desired(path, &version);
            self.known.insert(path.clone(), Known::new(&listed, &fetched, Ok(&desired)));
            let name = secret_name(path);
            let there = self.held.iter().position(|held| held.name == name);
            if write(there.map(|index| &self.held[index]), &desired, self.now).is_some() {
                there.map(|index| self.held.remove(index));
                self.held.push(held(path, &version));
            }
        }
        for (name, uid, mark) in &plan.marks {
            let held = self.held.iter_mut().find(|held| (&held.name, &held.uid) == (name, uid));
            held.unwrap().mark = mark.map(str::to_owned);
        }
        for (name, uid, _) in &plan.deletes {
            self.held.retain(|held| (&held.name, &held.uid) != (name, uid));
        }
        if let Catalogue::Be(content) = &plan.catalogue {
            self.leaving = serde_json::from_str(&content.leaving).unwrap();
        }
    }

    fn later(&mut self, duration: Duration) {
        self.now = self.now.checked_add(duration).unwrap();
    }
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[test]
fn what_is_wanted_and_listed_is_fetched_and_nothing_else() {
    let list = [listed(NAMES[0], "1"), listed(NAMES[1], "1"), listed(NAMES[4], "1")];
    let wanted = [NAMES[0], NAMES[4], "g/a/stage/unknown"];
    assert_eq!(Case::new(&wanted, &list).plan().fetch, set(&[NAMES[0], NAMES[4]]));
    // By the name of its Secret, as a pod that was injected names it.
    let mut case = Case::new(&[], &list);
    case.wanted.secrets = BTreeSet::from([secret_name(NAMES[1]), "another".to_owned()]);
    assert_eq!(case.plan().fetch, set(&[NAMES[1]]));
    case.wanted.all = true;
    assert_eq!(case.plan().fetch, set(&[NAMES[0], NAMES[1]]), "of its own scope, not of shared paths");
    case.taken = BTreeMap::from([(secret_name(NAMES[1]), NAMES[1].to_owned())]);
    assert_eq!(case.plan().fetch, set(&[NAMES[0]]));
}

#[test]
fn a_secret_without_a_value_or_without_a_future_is_not_fetched() {
    let going = Listed { deleted: Some(now()), ..listed(NAMES[1], "1") };
    let case = Case::new(&[NAMES[0], NAMES[1]], &[listed(NAMES[0], ""), going]);
    assert_eq!(case.plan().fetch, BTreeSet::new());
}

#[test]
fn a_rotation_or_a_changed_secret_is_fetched() {
    let mut case = Case::new(&[NAMES[0]], &[listed(NAMES[0], "1")]);
    let first = case.plan();
    case.apply(&first);
    assert_eq!(case.plan().fetch, BTreeSet::new());
    case.list(&[listed(NAMES[0], "2")]);
    assert_eq!(case.plan().fetch, set(&[NAMES[0]]), "a new version");
    case.list(&[listed(NAMES[0], "1")]);
    type Tamper = fn(&mut Held);
    let tampers: [Tamper; 6] = [
        |held| held.digest = desired("another", "1").1.shape.digest,
        |held| held.immutable = true,
        |held| held.kind = "kubernetes.io/tls".to_owned(),
        |held| held.version = None,
        |held| held.keys_said = false,
        |held| held.changed = None,
    ];
    for tamper in tampers {
        let before = case.held[0].clone();
        tamper(&mut case.held[0]);
        assert_eq!(case.plan().fetch, set(&[NAMES[0]]), "{:?}", case.held[0]);
        case.held[0] = before;
    }
    let mut new_leader = case;
    new_leader.known.clear();
    assert_eq!(
        new_leader.plan().fetch,
        set(&[NAMES[0]]),
        "the data is compared, not only what is said of it"
    );
}

#[test]
fn what_is_there_is_changed_or_replaced_by_its_uid() {
    let (_, desired) = desired(NAMES[0], "2");
    assert_eq!(write(None, &desired, now()), Some(Write::Create));
    let same = held(NAMES[0], "2");
    assert_eq!(write(Some(&same), &desired, now()), None);
    let old = held(NAMES[0], "1");
    assert_eq!(write(Some(&old), &desired, now()), Some(Write::Update(old.uid.clone())));
    let immutable = Held { immutable: true, ..same.clone() };
    assert_eq!(write(Some(&immutable), &desired, now()), Some(Write::Replace(same.uid.clone())));
    let other_type = Held { kind: "kubernetes.io/tls".to_owned(), ..same.clone() };
    assert_eq!(write(Some(&other_type), &desired, now()), Some(Write::Replace(same.uid.clone())));
    assert_eq!(write(Some(&Held { terminating: true, ..old.clone() }), &desired, now()), None);
    let later = now().checked_add(Duration::from_secs(9)).unwrap();
    assert_eq!(changed(Some(&old), &desired, later), later);
    // The clock is late by up to a second, and creation times have whole ones: the first value is no later than its Secret.
    let first = changed(None, &desired, "2026-11-22T13:00:00.9Z".parse().unwrap());
    assert_eq!(first, "2026-11-22T12:59:59Z".parse().unwrap());
    assert_eq!(
        changed(Some(&Held { version: None, ..same }), &desired, later),
        now(),
        "the data is the same"
    );
}

#[test]
fn what_nothing_names_goes_after_its_time_and_not_in_the_pass_that_saw_it() {
    let mut case = Case::new(&[], &[listed(NAMES[0], "1")]);
    case.held = vec![held(NAMES[0], "1")];
    case.settings.forget_after = Duration::ZERO;
    let first = case.plan();
    assert_eq!(first.deletes, []);
    case.apply(&first);
    case.is_whole = false;
    assert_eq!(case.plan().deletes, [], "not all that may name it was seen");
    case.is_whole = true;
    case.settings.forget_after = Duration::from_secs(60);
    case.later(Duration::from_secs(59));
    assert_eq!(case.plan().deletes, []);
    case.later(Duration::from_secs(1));
    let uid = case.held[0].uid.clone();
    assert_eq!(case.plan().deletes, [(secret_name(NAMES[0]), uid, Why::Unwanted)]);
    // It is named again, and then its time begins anew.
    case.wanted.secrets = BTreeSet::from([secret_name(NAMES[0])]);
    let named = case.plan();
    assert_eq!(named.deletes, []);
    case.apply(&named);
    case.wanted.secrets.clear();
    assert_eq!(case.plan().deletes, []);
    // A clock that has jumped back.
    case.apply(&case.plan());
    case.now = case.now.checked_sub(Duration::from_secs(86_400)).unwrap();
    assert_eq!(case.plan().deletes, []);
}

#[test]
fn a_manager_that_is_away_changes_nothing() {
    let mut case = Case::new(&[NAMES[0]], &[listed(NAMES[0], "1")]);
    case.apply(&case.plan());
    let before = case.plan();
    for listing in case.listings.values_mut() {
        *listing = None;
    }
    let mut away = case.plan();
    // The names of "did you mean" are those of the catalogue, which has none here.
    assert_eq!(std::mem::take(&mut away.catalogue), before.catalogue);
    assert_eq!(away, Plan::default());
    // Nor does it take away what only "all of the scope" wants.
    case.wanted = Wanted { all: true, ..Wanted::default() };
    case.settings.forget_after = Duration::ZERO;
    case.apply(&case.plan());
    assert_eq!(case.plan().deletes, []);
}

#[test]
fn what_is_held_is_current_where_every_source_says_so() {
    let mut case = Case::new(&[NAMES[0], NAMES[4]], &[listed(NAMES[0], "1"), listed(NAMES[4], "1")]);
    assert!(case.plan().is_current, "nothing is held yet, so nothing is old");
    case.apply(&case.plan());
    assert!(case.plan().is_current);
    case.list(&[listed(NAMES[0], "2"), listed(NAMES[4], "1")]);
    assert!(!case.plan().is_current, "a version that has not come");
    case.apply(&case.plan());
    assert!(case.plan().is_current);
    let unfit = case.known.get_mut(NAMES[0]).unwrap();
    unfit.shape = Err(crate::sync::secret::Unfit::NoTls);
    assert!(!case.plan().is_current, "one that has not become a Secret");
    case.known.clear();
    assert!(!case.plan().is_current, "a leader that has compared nothing yet");
    case.apply(&case.plan());
    // The manager of one of the two prefixes does not answer, and another secret is gone, which it says.
    case.listings.insert("g/shared/stage".to_owned(), None);
    assert!(!case.plan().is_current);
    case.list(&[listed(NAMES[4], "1")]);
    assert!(case.plan().is_current);
}

#[test]
fn what_is_deleted_in_the_manager_stays_and_is_marked_once() {
    let mut case = Case::new(&[NAMES[0], NAMES[1]], &[listed(NAMES[0], "1"), listed(NAMES[1], "1")]);
    case.apply(&case.plan());
    case.list(&[Listed { deleted: Some(now()), ..listed(NAMES[0], "1") }]);
    let plan = case.plan();
    let marks: Vec<_> = plan.marks.iter().map(|(name, _, mark)| (name.clone(), *mark)).collect();
    assert_eq!(marks, [(secret_name(NAMES[0]), Some("deleted")), (secret_name(NAMES[1]), Some("missing"))]);
    let told = |plan: &Plan| plan.events.iter().map(|event| event.reason).collect::<Vec<_>>();
    assert_eq!((told(&plan), plan.deletes.len()), (vec!["SourceDeleted", "SourceMissing"], 0));
    case.apply(&plan);
    assert_eq!((case.plan().marks, told(&case.plan())), (vec![], vec!["SourceDeleted", "SourceMissing"]));
    case.list(&[listed(NAMES[0], "1"), listed(NAMES[1], "1")]);
    assert_eq!(case.plan().marks.iter().map(|mark| mark.2).collect::<Vec<_>>(), [None, None]);
}

#[test]
fn a_namespace_bound_anew_keeps_what_is_foreign_for_a_while_whatever_names_it() {
    let mut case = Case::new(&[], &[]);
    case.held = vec![held("g/a/prod/one", "1")];
    case.wanted.secrets = BTreeSet::from([secret_name("g/a/prod/one")]);
    let plan = case.plan();
    assert_eq!(plan.events[0].reason, "Rebound");
    let Catalogue::Be(content) = &plan.catalogue else { panic!("{plan:?}") };
    assert!(content.catalogue.contains("g/a/prod/one"), "it stays, and is foreign");
    case.apply(&plan);
    case.later(Duration::from_secs(3599));
    assert_eq!((case.plan().deletes, case.plan().events), (vec![], vec![]));
    case.later(Duration::from_secs(1));
    assert_eq!(case.plan().deletes.len(), 1);
    // Without a binding likewise; with one that does not read, nothing is certain.
    case.binding = Binding::Unbound;
    assert_eq!(case.plan().deletes.len(), 1);
    case.binding = Binding::Broken("why".to_owned());
    assert_eq!(case.plan(), Plan::default());
    case.binding = Binding::Unbound;
    case.held.clear();
    assert_eq!(case.plan().catalogue, Catalogue::Go);
}

/// So many keys that no ConfigMap holds them: told, and no obstacle to what has to go.
#[test]
fn a_catalogue_that_is_too_large_is_told_and_keeps_nothing_foreign() {
    let mut case = Case::new(&NAMES[..2], &[listed(NAMES[0], "1"), listed(NAMES[1], "1")]);
    case.apply(&case.plan());
    for held in &mut case.held {
        held.keys = (0..60_000).map(|number| format!("key-{number}")).collect();
    }
    let plan = case.plan();
    assert_eq!(plan.catalogue, Catalogue::Keep);
    assert!(plan.events.iter().any(|event| event.reason == "CatalogueTooLarge"), "{:?}", plan.events);
    case.binding = Binding::Unbound;
    case.apply(&case.plan());
    assert_eq!(case.leaving.len(), 2);
    case.later(case.settings.rebind_grace);
    assert_eq!(case.plan().deletes.len(), 2);
}

#[test]
fn further_names_leave_room_for_what_matters() {
    let long = "x".repeat(400);
    let list: Vec<Listed> =
        (0..900).map(|number| listed(&format!("g/a/stage/{long}{number}"), "1")).collect();
    let Catalogue::Be(content) = Case::new(&[], &list).plan().catalogue else { panic!("no catalogue") };
    assert!((50_000..=64 << 10).contains(&content.known.len()), "{}", content.known.len());
}

fn cases() -> impl Strategy<Value = Case> {
    let flags = || vec(any::<bool>(), NAMES.len());
    let versions = || vec(0..3u8, NAMES.len());
    (flags(), flags(), versions(), versions(), vec(0..4u8, NAMES.len()), any::<[bool; 5]>()).prop_map(
        |(wanted, named, listed_at, held_at, leaving, [all, is_whole, is_binding_known, away, unbound])| {
            let chosen = |flags: &[bool]| {
                NAMES
                    .into_iter()
                    .zip(flags.to_vec())
                    .filter(|(_, on)| *on)
                    .map(|(path, _)| path)
                    .collect::<Vec<_>>()
            };
            let list: Vec<Listed> = NAMES
                .into_iter()
                .zip(&listed_at)
                .filter(|(_, version)| **version > 0)
                .map(|(path, version)| listed(path, &version.to_string()))
                .collect();
            let mut case = Case::new(&[], &list);
            if unbound {
                case.binding = Binding::Unbound;
            }
            // As `Wanted::of` leaves them: inside of the binding.
            case.wanted.paths =
                set(&chosen(&wanted)).into_iter().filter(|path| case.binding.contains(path)).collect();
            case.wanted.secrets = chosen(&named).into_iter().map(secret_name).collect();
            case.wanted.all = all;
            (case.is_whole, case.is_binding_known) = (is_whole, is_binding_known);
            let there = NAMES.into_iter().zip(&held_at).filter(|(_, version)| **version > 0);
            case.held = there.map(|(path, version)| held(path, &version.to_string())).collect();
            for (path, state) in NAMES.into_iter().zip(leaving).filter(|(_, state)| *state > 0) {
                let why = if state == 1 { Why::Foreign } else { Why::Unwanted };
                let since = if state == 3 { now() } else { "2026-01-01T00:00:00Z".parse().unwrap() };
                case.leaving.insert(secret_name(path), Leaving { since, why });
            }
            if away {
                case.listings.values_mut().for_each(|listing| *listing = None);
            }
            case
        },
    )
}

proptest! {
    #[test]
    fn no_foreign_path_is_ever_fetched(case in cases()) {
        for path in case.plan().fetch {
            prop_assert!(case.binding.contains(&path), "{path}");
        }
    }

    #[test]
    fn nothing_is_deleted_that_is_named_or_was_not_seen_before(case in cases()) {
        for (name, _, why) in case.plan().deletes {
            let held = case.held.iter().find(|held| held.name == name).unwrap();
            let before = &case.leaving[&name];
            prop_assert_eq!(before.why, why);
            prop_assert!(before.since < case.now);
            prop_assert!(case.is_binding_known);
            if case.binding.contains(&held.path) {
                prop_assert!(case.is_whole);
                prop_assert!(!case.wanted.secrets.contains(&name) && !case.wanted.paths.contains(&held.path));
            }
        }
    }

    #[test]
    fn a_plan_that_is_done_leaves_nothing_to_do(mut case in cases()) {
        // Deletes leave a catalogue behind that the next pass corrects.
        for _ in 0..2 {
            let plan = case.plan();
            case.apply(&plan);
        }
        let (plan, again) = (case.plan(), case.plan());
        prop_assert_eq!(&plan, &again);
        prop_assert_eq!((&plan.fetch, &plan.marks, &plan.deletes), (&BTreeSet::new(), &vec![], &vec![]));
        case.apply(&plan);
        prop_assert_eq!(case.plan(), plan);
    }

    #[test]
    fn a_manager_that_is_away_never_costs_a_secret_its_place(case in cases()) {
        let here = case.plan();
        let mut away = case;
        away.listings.values_mut().for_each(|listing| *listing = None);
        let plan = away.plan();
        prop_assert_eq!((&plan.fetch, &plan.marks), (&BTreeSet::new(), &vec![]));
        let deleted = |plan: &Plan| plan.deletes.iter().map(|delete| delete.0.clone()).collect::<BTreeSet<_>>();
        prop_assert!(deleted(&plan).is_subset(&deleted(&here)));
    }
}
