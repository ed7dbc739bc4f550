//! A foreign path, planted in each text of each object of other systems: whoever reads a field of which nobody here has
//! heard, or in another way than is judged here, must not find one there. What may hold it all the same stands in `HARMLESS`,
//! with the reason.
//!
//! Fields are those of the objects in `bases` and, besides, all that the schemas of the systems have for a text.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use refgate::policy::carriers::{self, Handling};
use refgate::policy::decision::Outcome;
use serde_json::{Value, json};

use super::bases::{Base, bases, snapshot, snapshot_with};
use super::config;
use super::harmless::{HARMLESS, OF_NOBODY};

/// A path of another team, in each way of writing it that a system has.
const FOREIGN: [&str; 6] = [
    "mozmeao/snippets/prod/x",
    "/mozmeao/snippets/prod/x",
    "secret/data/mozmeao/snippets/prod/x",
    "arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/prod/x-AbCdEf",
    "projects/moz-prod/secrets/mozmeao--snippets--prod--x/versions/latest",
    "vaults/Payroll/items/db",
];

/// Whether an object is let in.
pub fn is_let_in(base: &Base, object: &Value) -> bool {
    let decision = super::carriers::ask(&snapshot(), base.kind(), object).unwrap();
    decision.outcome == Outcome::Allow
}

/// Every text of a value, as pointers; a text that holds JSON (which is YAML too) is looked into, behind a `!`.
fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                texts(inner, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                texts(inner, &format!("{at}/{index}"), found);
            }
        }
        Value::String(text) => {
            found.push(at.to_owned());
            if let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text) {
                texts(&inner, &format!("{at}!"), found);
            }
        }
        _ => {}
    }
}

/// The object with a text at a pointer; what is not there is made.
pub fn planted(object: &Value, pointer: &str, text: &str) -> Value {
    let Some((outer, inner)) = pointer.split_once('!') else {
        let mut object = object.clone();
        *make(&mut object, pointer) = text.into();
        return object;
    };
    let mut object = object.clone();
    let nested: Value = serde_json::from_str(object.pointer(outer).unwrap().as_str().unwrap()).unwrap();
    *make(&mut object, outer) = planted(&nested, inner, text).to_string().into();
    object
}

fn make<'v>(object: &'v mut Value, pointer: &str) -> &'v mut Value {
    pointer.split('/').skip(1).fold(object, |value, token| {
        let token = token.replace("~1", "/").replace("~0", "~");
        if let Ok(index) = token.parse::<usize>() {
            if !value.is_array() {
                *value = json!([]);
            }
            let items = value.as_array_mut().unwrap();
            while items.len() <= index {
                items.push(Value::Null);
            }
            return &mut items[index];
        }
        if !value.is_object() {
            *value = json!({});
        }
        value.as_object_mut().unwrap().entry(token).or_insert(Value::Null)
    })
}

/// Whether a token is one of those that a pattern means: `*Policy`, `m*`, `*`.
fn token_fits(want: &str, have: &str) -> bool {
    match want.split_once('*') {
        Some((start, end)) => have.starts_with(start) && have.ends_with(end) && have.len() + 1 >= want.len(),
        None => want == have,
    }
}

/// Which row of `HARMLESS` a pointer falls under; `**` stands for all that comes.
fn harmless(base: &Base, pointer: &str) -> Option<usize> {
    let fits = |pattern: &str| {
        let (mut wanted, mut given) = (pattern.split('/'), pointer.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some("**"), _) => return true,
                (Some(want), Some(have)) if token_fits(want, have) => {}
                _ => return false,
            }
        }
    };
    HARMLESS.iter().position(|(kind, pattern, _)| (*kind == "*" || *kind == base.label) && fits(pattern))
}

/// All places for a text: what stands there, and what could.
pub fn places(base: &Base) -> Vec<String> {
    let mut places = Vec::new();
    texts(&base.object, "", &mut places);
    places.retain(|place| !matches!(&**place, "/apiVersion" | "/kind"));
    places.extend(base.further.iter().map(|place| (*place).to_owned()));
    places
}

#[test]
fn whatever_is_planted_is_refused_unless_somebody_said_why_not() {
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for base in bases() {
        assert!(is_let_in(&base, &base.object), "{} is no base: {}", base.kind, base.object);
        for place in places(&base) {
            let lets_in = |text: &&&str| is_let_in(&base, &planted(&base.object, &place, text));
            let let_in: Vec<&&str> = FOREIGN.iter().filter(lets_in).collect();
            match harmless(&base, &place) {
                Some(row) if !let_in.is_empty() => drop(used.insert(row)),
                None if !let_in.is_empty() => {
                    wrong.push(format!("{} {place}: {} of {}", base.label, let_in.len(), FOREIGN.len()))
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A row that excuses nothing hides what comes.
    let idle: Vec<_> =
        (0..HARMLESS.len()).filter(|row| !used.contains(row)).map(|row| HARMLESS[row]).collect();
    assert!(idle.is_empty(), "{idle:#?}");
}

/// Projects, vaults and mounts of somebody else: names of places that no row of `carriers.mappings` gives to the scope.
#[test]
fn the_place_of_another_team_is_refused() {
    for base in bases() {
        for place in &base.places {
            let object = planted(&base.object, place, "payroll");
            assert!(!is_let_in(&base, &object), "{} {place}: {object}", base.kind);
        }
    }
}

/// What was there before anybody asked is mended by an update, and is said to be wrong in the same words as if it were new: what
/// it brought into its own Secret is no reason to refuse the next version.
#[test]
fn what_is_outside_is_mended_by_an_update() {
    let mut tried = 0;
    for base in bases().iter().filter(|base| base.kind().is_watched()) {
        let planted = places(base).into_iter().filter(|place| !place.starts_with("/metadata"));
        let foreign = planted.map(|place| planted_at(base, &place, FOREIGN[0]));
        let elsewhere = base.places.iter().map(|place| planted_at(base, place, "payroll"));
        for old in foreign.chain(elsewhere).filter(|old| !is_let_in(base, old)) {
            let there = snapshot_with(Some(&old));
            let mended = super::carriers::ask_update(&there, base.kind(), &base.object, Some(&old)).unwrap();
            assert_eq!(mended.outcome, Outcome::Allow, "{}: {old}", base.label);
            let again = super::carriers::ask(&there, base.kind(), &old).unwrap();
            let anew = super::carriers::ask(&snapshot(), base.kind(), &old).unwrap();
            assert_eq!(again.outcome, anew.outcome, "{}: {old}", base.label);
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

fn planted_at(base: &Base, place: &str, text: &str) -> Value {
    planted(&base.object, place, text)
}

/// A kind is judged by what is planted above, or never comes into a bound namespace.
#[test]
fn no_kind_is_left_out() {
    let tried: BTreeSet<_> = bases().iter().map(|base| (base.group, base.kind)).collect();
    for (carrier, kind) in carriers::kinds().filter(|(_, kind)| !kind.cluster_scoped) {
        let is_tried = tried.contains(&(kind.group, kind.kind));
        let excused = OF_NOBODY.iter().any(|(name, _)| *name == kind.kind);
        let never = matches!(kind.handling, Handling::Judged { .. }) && {
            let object = json!({"metadata": {"name": "x", "namespace": "team"}, "spec": {}});
            let decision = super::carriers::ask(&snapshot(), kind, &object).unwrap();
            decision.outcome != Outcome::Allow
        };
        assert!(is_tried || excused || never, "{} of {}", kind.kind, carrier.id);
        assert!(!(is_tried && excused), "{} of {}", kind.kind, carrier.id);
    }
}

proptest! {
    #![proptest_config(config(2048))]

    /// Several fields at once, and whatever the harmless ones hold: none hides what is planted in another.
    #[test]
    fn nothing_hides_what_is_planted(
        base in any::<Index>(),
        place in any::<Index>(),
        text in select(&FOREIGN[..]),
        others in prop::collection::vec((any::<Index>(), "[a-z0-9/-]{0,12}"), 0..4),
    ) {
        // Of what makes something up, every field is harmless.
        let is_open = |base: &Base| places(base).iter().any(|place| harmless(base, place).is_none());
        let bases: Vec<Base> = bases().into_iter().filter(is_open).collect();
        let base = base.get(&bases);
        let (free, held): (Vec<_>, Vec<_>) =
            places(base).into_iter().partition(|place| harmless(base, place).is_some());
        let place: &String = place.get(&held);
        let mut object = base.object.clone();
        for (other, text) in others.iter().filter(|_| !free.is_empty()) {
            let other: &String = other.get(&free);
            object = planted(&object, other, text);
        }
        object = planted(&object, place, text);
        prop_assert!(!is_let_in(base, &object), "{} {place}: {object}", base.label);
    }
}
