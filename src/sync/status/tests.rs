//! How a path is, by what is known of it.

use serde_json::json;

use super::super::plan::{Content, Leaving};
use super::super::read::Stored;
use super::super::wanted::seen;
use super::*;
use crate::config::sync::Sync;
use crate::policy::workload::{KINDS, Kind};

const SCOPE: &str = "g/a/stage";
const NOW: &str = "2026-11-22T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn path(name: &str) -> String {
    format!("{SCOPE}/{name}")
}

/// A bound namespace that the sync may fill, and that it has looked at.
fn facts() -> Facts {
    let labels = [("refgate.dev/group", "g"), ("refgate.dev/app", "a"), ("refgate.dev/env", "stage")];
    let shared = [("refgate.dev/shared-paths", "g/shared/stage")];
    let mut facts = Facts::of("web".to_owned(), NamespaceLabels::read(labels, shared));
    facts.sync = Given::Yes;
    facts.secrets = Some(Default::default());
    facts.catalogue = Some(stored(&[], json!({})));
    facts.catalogue_is_known = true;
    facts
}

fn stored(known: &[&str], leaving: serde_json::Value) -> Stored {
    Stored::new(Content {
        catalogue: "[]".to_owned(),
        known: json!(known).to_string(),
        leaving: leaving.to_string(),
        unread: String::new(),
        unlisted: String::new(),
        refused: String::new(),
    })
}

fn claimed(path: &str, created: &str, mark: Option<&str>) -> Claimed {
    Claimed {
        path: path.to_owned(),
        secret: secret_name(path),
        version: Some("7".to_owned()),
        created: created.parse().ok(),
        mark: mark.map(str::to_owned),
        keys: None,
    }
}

fn user(title: &str, env: &[&str], secrets: &[&str]) -> User {
    let entry = |value: &&str| json!({"name": "A", "value": value});
    let volume = |name: &&str| json!({"name": "v", "secret": {"secretName": name}});
    user_of(
        title,
        json!({
            "metadata": {"name": "p", "namespace": "web"},
            "spec": {
                "containers": [{"name": "c", "env": env.iter().map(entry).collect::<Vec<_>>()}],
                "volumes": secrets.iter().map(volume).collect::<Vec<_>>(),
            },
        }),
    )
}

fn user_of(title: &str, pod: serde_json::Value) -> User {
    let kind = KINDS.into_iter().find(Kind::is_pod).unwrap();
    let names = seen(&pod.to_string(), &kind).unwrap().names.unwrap();
    User { title: title.to_owned(), names, detail: users::Detail::read(&pod.to_string(), &kind) }
}

fn placed(facts: &Facts) -> Place {
    place(facts, &Sync::default().rotation, now())
}

/// The state, and why, of the one path that there is.
fn only(facts: &Facts) -> (State, String) {
    let mut place = placed(facts);
    assert_eq!(place.rows.len(), 1, "{:?}", place.rows);
    let row = place.rows.remove(0);
    (row.state, row.why.unwrap_or_default())
}

#[test]
fn what_a_secret_says_is_its_state() {
    let young = "2026-11-01T00:00:00Z";
    for (claimed, expected) in [
        (claimed(&path("database_url"), young, None), State::Ok),
        (claimed(&path("database_url"), "2026-08-24T12:00:00Z", None), State::Due),
        (claimed(&path("database_url"), "2026-08-24T12:00:01Z", None), State::Ok),
        // By what its name says: a year for anything else.
        (claimed(&path("feature"), "2026-08-24T12:00:00Z", None), State::Ok),
        (claimed(&path("database_url"), "", None), State::Ok),
        (claimed(&path("database_url"), young, Some("deleted")), State::Deleted),
        // A mark weighs more than an age, which nobody can mend before it.
        (claimed(&path("database_url"), "2020-01-01T00:00:00Z", Some("missing")), State::Missing),
        (claimed("g/other/stage/database_url", young, None), State::Foreign),
        (claimed("g/shared/stage/database_url", young, None), State::Ok),
    ] {
        let mut facts = facts();
        facts.users.push(user("Pod/p", &[], &[&claimed.secret]));
        facts.secrets = Some((vec![claimed.clone()], BTreeSet::new()));
        let row = placed(&facts).rows.remove(0);
        assert_eq!(row.state, expected, "{claimed:?}");
        assert_eq!(row.used_by, BTreeSet::from(["Pod/p".to_owned()]), "{claimed:?}");
        assert_eq!(row.wants_attention(), expected != State::Ok, "{claimed:?}");
    }
}

#[test]
fn what_is_refused_is_said_whatever_else_is() {
    const WORDS: &str = "the API server refuses it with 403: exceeded quota: few";
    let young = "2026-11-01T00:00:00Z";
    let one = path("database_url");
    for (secrets, users, expected) in [
        (vec![claimed(&one, young, None)], &["secret:database_url"][..], State::Refused),
        (vec![claimed(&one, "2020-01-01T00:00:00Z", None)], &["secret:database_url"], State::Refused),
        (vec![claimed(&one, young, Some("missing"))], &["secret:database_url"], State::Missing),
        (vec![claimed(&one, young, None)], &[], State::Unused),
        (vec![], &["secret:database_url"], State::Unsynced),
    ] {
        let mut facts = facts();
        facts.users.push(user("Pod/p", users, &[]));
        facts.secrets = Some((secrets, BTreeSet::new()));
        let catalogue = facts.catalogue.as_mut().unwrap();
        catalogue.refused = BTreeMap::from([(one.clone(), WORDS.to_owned())]);
        let (state, why) = only(&facts);
        assert_eq!(state, expected, "{why}");
        assert!(why.contains(WORDS), "{state:?}: {why}");
        assert_eq!(placed(&facts).wants_attention(), state != State::Unused);
    }
}

#[test]
fn what_nothing_names_goes_unless_all_of_the_scope_is_asked_for() {
    let mut facts = facts();
    let held = claimed(&path("one"), NOW, None);
    let leaving = Leaving { since: "2026-11-22T11:30:00Z".parse().unwrap(), why: Why::Unwanted };
    facts.catalogue = Some(stored(&[], json!({held.secret.clone(): leaving})));
    facts.secrets = Some((vec![held], BTreeSet::new()));
    let (state, why) = only(&facts);
    assert_eq!(state, State::Unused);
    assert!(why.contains("since 2026-11-22 11:30 UTC"), "{why}");
    assert!(!placed(&facts).wants_attention());
    facts.all = true;
    assert_eq!(only(&facts).0, State::Ok);
    facts.all = false;
    facts.users_are_known = false;
    assert_eq!(only(&facts).0, State::Ok, "who may name it could not be read");
}

#[test]
fn what_is_wanted_and_not_there_says_why() {
    let with = |change: &dyn Fn(&mut Facts)| {
        let mut facts = facts();
        facts.users.push(user("Deployment/web", &["secret:database_url"], &[]));
        change(&mut facts);
        let (state, why) = only(&facts);
        assert!(placed(&facts).wants_attention());
        (state, why)
    };
    let secret = secret_name(&path("database_url"));
    let known = |names: &[&str]| {
        let stored = stored(names, json!({}));
        with(&move |facts: &mut Facts| facts.catalogue = Some(stored.clone()))
    };
    for ((state, why), expected) in [
        (known(&[]), "did not list it"),
        (known(&["database_uri"]), "did you mean database_uri?"),
        (known(&["database_url"]), "lists it"),
        (with(&|facts| facts.sync = Given::No), "the sync may not"),
        (with(&|facts| facts.sync = Given::Otherwise), "the sync may not"),
        (with(&|facts| facts.terminating = true), "is being deleted"),
        (with(&|facts| facts.catalogue = None), "has not looked"),
        (with(&|facts| facts.catalogue_is_known = false), "without the catalogue"),
    ] {
        assert_eq!(state, State::Unsynced, "{why}");
        assert!(why.contains(expected), "{why}");
    }
    let names: Vec<String> = (0..1_000).map(|number| format!("name-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(
        known(&names).1.contains("among the first names"),
        "a list that is cut off says nothing of what is missing"
    );
    let (state, why) = with(&|facts| {
        facts.secrets = Some((Vec::new(), BTreeSet::from([secret.clone()])));
    });
    assert_eq!(state, State::Taken);
    assert!(why.contains("somebody else"), "{why}");
}

#[test]
fn what_is_foreign_is_wanted_by_nobody() {
    let mut facts = facts();
    facts.users.push(user("Pod/p", &["secret:/g/a/prod/key", "secret:../prod/key"], &[]));
    assert_eq!(placed(&facts).rows, []);
    facts.users.push(user("Pod/q", &["secret:/g/shared/stage/key"], &[]));
    let (state, why) = only(&facts);
    assert_eq!(state, State::Unsynced);
    assert!(why.contains("own scope alone"), "{why}");
}

#[test]
fn what_was_of_an_earlier_binding_wants_attention_while_something_uses_it() {
    let mut facts = facts();
    let foreign = claimed("g/before/stage/one", NOW, None);
    facts.secrets = Some((vec![foreign.clone()], BTreeSet::new()));
    assert_eq!(only(&facts).0, State::Foreign);
    assert!(!placed(&facts).wants_attention());
    facts.users.push(user("Pod/p", &[], &[&foreign.secret]));
    assert!(placed(&facts).wants_attention());
    // Labels that do not read forbid nothing that is there: the sync does nothing either.
    facts.labels = NamespaceLabels::read([("refgate.dev/group", "g")], []);
    assert_ne!(only(&facts).0, State::Foreign);
    assert!(placed(&facts).wants_attention(), "the labels do");
}

#[test]
fn names_that_the_catalogue_knows_are_found_by_the_secrets_that_pods_name() {
    let mut facts = facts();
    facts.catalogue = Some(stored(&["one", "two"], json!({})));
    facts.users.push(user("Pod/p", &[], &[&secret_name(&path("one"))]));
    let paths = |facts: &Facts| placed(facts).rows.into_iter().map(|row| row.path).collect::<Vec<_>>();
    assert_eq!(paths(&facts), [path("one")]);
    facts.all = true;
    assert_eq!(paths(&facts), [path("one"), path("two")]);
}

#[test]
fn without_secrets_the_catalogue_says_what_is_there() {
    let mut facts = facts();
    facts.secrets = None;
    facts.entries = vec![Claimed { created: None, ..claimed(&path("database_url"), NOW, None) }];
    facts.users.push(user("Deployment/web", &["secret:database_url", "secret:other"], &[]));
    let rows = placed(&facts).rows;
    let shown: Vec<_> = rows.iter().map(|row| (&*row.path, row.state, row.due)).collect();
    let (url, other) = (path("database_url"), path("other"));
    assert_eq!(shown, [(&*url, State::Ok, None), (&*other, State::Unsynced, None)]);
}

#[test]
fn a_property_that_does_not_exist_is_not_ok() {
    let secret = secret_name(&path("smtp"));
    let by_key = |key: &str, optional: bool| {
        let from = json!({"secretKeyRef": {"name": secret, "key": key, "optional": optional}});
        json!({"containers": [{"name": "c", "env": [{"name": "A", "valueFrom": from}]}]})
    };
    let by_file = |key: &str| {
        let items = json!([{"key": key, "path": "f"}]);
        json!({"containers": [], "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": secret, "items": items}}]}}]})
    };
    let by_value =
        |value: &str| json!({"containers": [{"name": "c", "env": [{"name": "A", "value": value}]}]});
    for (spec, expected, said) in [
        (by_value("secret:smtp"), State::Ok, ""),
        (by_value("secret:smtp#host"), State::Ok, ""),
        (by_value("secret:smtp#hots"), State::NoProperty, "did you mean host?"),
        (by_value("secret+file:/g/a/stage/smtp#tls.key"), State::NoProperty, "property tls.key, which"),
        (by_value("secret:smtp#hots?optional"), State::Ok, ""),
        // As it stands in a pod that was injected.
        (by_key("value", false), State::Ok, ""),
        (by_key("tls.2ecrt", false), State::Ok, ""),
        (by_key("hots", false), State::NoProperty, "Deployment/web refers to property hots"),
        (by_key("hots", true), State::Ok, ""),
        (by_file("host"), State::Ok, ""),
        (by_file("hots"), State::NoProperty, "did you mean host?"),
    ] {
        let mut facts = facts();
        let pod = json!({"metadata": {"name": "p", "namespace": "web"}, "spec": spec});
        facts.users.push(user_of("Deployment/web", pod));
        // Another Secret that has it helps nobody.
        facts.users.push(user("Deployment/other", &["secret:other#hots"], &[]));
        let keys = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let smtp =
            Claimed { keys: keys(&["value", "host", "tls.2ecrt"]), ..claimed(&path("smtp"), NOW, None) };
        let other = Claimed { keys: keys(&["value", "hots"]), ..claimed(&path("other"), NOW, None) };
        facts.secrets = Some((vec![smtp, other], BTreeSet::new()));
        let rows = placed(&facts).rows;
        let states: Vec<State> = rows.iter().map(|row| row.state).collect();
        assert_eq!(states, [State::Ok, expected], "{spec}");
        assert!(rows[1].why.as_deref().unwrap_or_default().contains(said), "{:?}", rows[1].why);
        assert_eq!(rows[1].wants_attention(), expected != State::Ok);
    }
}

#[test]
fn what_only_a_pod_names_has_a_row() {
    let (one, shared) = (path("one"), "g/shared/stage/two");
    let row = |path: &str, secret: &str| json!({"path": path, "secret": secret, "key": "value", "use": "env", "at": ["c/A"]});
    let volume = |path: &str| json!({"name": "v", "secret": {"secretName": secret_name(path)}});
    let refs = json!([
        row(&one, &secret_name(&one)),
        row(shared, &secret_name(shared)),
        // What nobody needs to believe: of another name, of a Secret that the pod does not name, and foreign.
        row(&path("three"), &secret_name(&one)),
        row(&path("four"), &secret_name(&path("four"))),
        row("g/a/prod/five", &secret_name("g/a/prod/five")),
    ]);
    let pod = json!({
        "metadata": {"name": "p", "namespace": "web", "annotations": {"refgate.dev/refs": refs.to_string()}},
        "spec": {"containers": [], "volumes": [volume(&one), volume(shared), volume("g/a/prod/five")]},
    });
    let mut facts = facts();
    facts.users.push(user_of("Pod/p", pod));
    let rows = placed(&facts).rows;
    let said: Vec<_> = rows.iter().map(|row| (&*row.path, row.state)).collect();
    assert_eq!(said, [(&*one, State::Unsynced), (shared, State::Unsynced)]);
    assert!(rows.iter().all(|row| row.used_by == BTreeSet::from(["Pod/p".to_owned()])));
    assert!(rows[0].why.as_ref().unwrap().contains("did not list it"), "{:?}", rows[0].why);
}
