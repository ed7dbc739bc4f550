//! The single writer: what it publishes, when, and how often.

use std::sync::Arc;
use std::time::Duration;

use refgate::config::{self, Config};
use refgate::policy::level::Level;
use refgate::policy::snapshot::{Binding, Catalogue, Entry, NamespaceLabels, Snapshot};
use refgate::serve::state::{Change, Freshness, State, Update, run};
use refgate::world::World;
use tokio::sync::{mpsc, watch};

use crate::harness::WORLD;

fn bound(env: &str) -> Arc<NamespaceLabels> {
    let labels = [("refgate.dev/group", "g"), ("refgate.dev/app", "a"), ("refgate.dev/env", env)];
    Arc::new(NamespaceLabels::read(labels, []))
}

fn holding(secret: &str) -> Arc<Catalogue> {
    let (path, keys) = ("g/a/stage/x".into(), Box::new(["value".into()]));
    Arc::new(Catalogue::new(vec![Entry { path, secret: secret.into(), keys, version: None }], None))
}

fn namespaces(list: &[(&str, Option<&Arc<NamespaceLabels>>)]) -> Change {
    let list = list.iter().map(|(name, labels)| ((*name).into(), labels.cloned()));
    Change::Namespaces(Update::Restart(list.collect()))
}

fn catalogues(list: &[(&str, Option<&Arc<Catalogue>>)]) -> Change {
    let list = list.iter().map(|(name, catalogue)| ((*name).into(), catalogue.cloned()));
    Change::Catalogues(Update::Restart(list.collect()))
}

fn secrets(snapshot: &Snapshot, namespace: &str) -> Vec<String> {
    let entries = snapshot.namespaces[namespace].catalogue.entries();
    entries.iter().map(|entry| entry.secret.to_string()).collect()
}

#[test]
fn nothing_is_published_before_both_lists_are_complete() {
    for first in [true, false] {
        let mut state = State::new(Config::default());
        state.apply(Change::Namespaces(Update::Apply("early".into(), bound("stage"))));
        assert!(state.snapshot().is_none());
        let (one, two) = (namespaces(&[("n", Some(&bound("stage")))]), catalogues(&[]));
        let (one, two) = if first { (one, two) } else { (two, one) };
        state.apply(one);
        assert!(state.snapshot().is_none());
        state.apply(two);
        assert!(state.snapshot().unwrap().namespaces.contains_key("n"));
    }
}

#[test]
fn namespaces_and_catalogues_meet_whatever_comes_first() {
    let mut state = State::new(Config::default());
    state.apply(catalogues(&[("n", Some(&holding("s1")))]));
    state.apply(namespaces(&[("n", Some(&bound("stage"))), ("empty", Some(&bound("stage")))]));
    assert_eq!(secrets(&state.snapshot().unwrap(), "n"), ["s1"]);
    assert_eq!(secrets(&state.snapshot().unwrap(), "empty"), Vec::<String>::new());
    // A catalogue of a namespace that nobody has seen yet waits for it.
    state.apply(Change::Catalogues(Update::Apply("later".into(), holding("s2"))));
    assert!(!state.snapshot().unwrap().namespaces.contains_key("later"));
    state.apply(Change::Namespaces(Update::Apply("later".into(), bound("stage"))));
    assert_eq!(secrets(&state.snapshot().unwrap(), "later"), ["s2"]);
    state.apply(Change::Catalogues(Update::Delete("later".into())));
    assert_eq!(secrets(&state.snapshot().unwrap(), "later"), Vec::<String>::new());
    state.apply(Change::Namespaces(Update::Delete("later".into())));
    assert!(!state.snapshot().unwrap().namespaces.contains_key("later"));
}

#[test]
fn a_new_list_forgets_what_is_gone_and_keeps_what_cannot_be_read() {
    let mut state = State::new(Config::default());
    let (stage, prod) = (bound("stage"), bound("prod"));
    state.apply(namespaces(&[("kept", Some(&stage)), ("gone", Some(&stage)), ("changed", Some(&stage))]));
    state.apply(catalogues(&[("kept", Some(&holding("s1"))), ("changed", Some(&holding("s2")))]));
    state.apply(namespaces(&[("kept", None), ("changed", Some(&prod)), ("unseen", None)]));
    let snapshot = state.snapshot().unwrap();
    let mut names: Vec<_> = snapshot.namespaces.keys().map(AsRef::as_ref).collect();
    names.sort_unstable();
    assert_eq!(names, ["changed", "kept"]);
    assert_eq!(snapshot.namespaces["kept"].namespace, stage);
    assert_eq!(snapshot.namespaces["changed"].namespace, prod);
    state.apply(catalogues(&[("kept", None)]));
    let snapshot = state.snapshot().unwrap();
    assert_eq!(secrets(&snapshot, "kept"), ["s1"]);
    assert_eq!(secrets(&snapshot, "changed"), Vec::<String>::new());
}

#[test]
fn a_change_costs_one_namespace() {
    let mut state = State::new(Config::default());
    state.apply(Change::World(World::read(WORLD)));
    state.apply(Change::Namespaces(Update::Apply("other".into(), bound("stage"))));
    let before = state.snapshot().unwrap();
    assert!(state.apply(Change::Namespaces(Update::Apply("other".into(), bound("prod")))));
    assert!(!state.apply(Change::Namespaces(Update::Apply("other".into(), bound("prod")))), "nothing new");
    let after = state.snapshot().unwrap();
    let same = |name: &str| Arc::ptr_eq(&before.namespaces[name], &after.namespaces[name]);
    assert!(same("snippets-stage"));
    assert!(!same("other"));
    assert!(
        matches!(&after.namespaces["other"].namespace.binding, Binding::Bound { own, .. } if own.as_str() == "g/a/prod")
    );
}

#[test]
fn a_new_configuration_holds_for_all_namespaces() {
    let mut state = State::new(Config::default());
    state.apply(Change::World(World::read(WORLD)));
    state.apply(Change::Configuration(Box::new(config::parse("defaults: {enforce: restricted}").unwrap())));
    assert_eq!(state.snapshot().unwrap().settings.defaults.enforce, Level::Restricted);
}

struct Writer {
    changes: mpsc::Sender<Change>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    freshness: Arc<Freshness>,
}

fn writer(watches: usize, before: Vec<Change>) -> Writer {
    let (changes, queue) = mpsc::channel(1024);
    let (publish, snapshots) = watch::channel(None);
    let freshness = Arc::new(Freshness::new(watches));
    for change in before {
        changes.try_send(change).unwrap();
    }
    let state = State::new(config::parse("snapshot: {maxAge: 10m}").unwrap());
    tokio::spawn(run(state, queue, publish, Arc::clone(&freshness)));
    Writer { changes, snapshots, freshness }
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_one_swap() {
    let mut burst = vec![namespaces(&[]), catalogues(&[])];
    let update =
        |number: usize| Change::Namespaces(Update::Apply(format!("n{number}").into(), bound("stage")));
    burst.extend((0..500).map(update));
    let mut writer = writer(0, burst);
    writer.snapshots.changed().await.unwrap();
    assert_eq!(writer.snapshots.borrow_and_update().as_ref().unwrap().namespaces.len(), 500);
    // A trickle is gathered, too, and nothing of it is lost.
    for number in 500..600 {
        writer.changes.send(update(number)).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut swaps = 0;
    while writer.snapshots.borrow_and_update().as_ref().unwrap().namespaces.len() < 600 {
        writer.snapshots.changed().await.unwrap();
        swaps += 1;
    }
    assert!(swaps <= 2, "{swaps} swaps");
}

#[tokio::test(start_paused = true)]
async fn silence_makes_it_stale_and_a_sign_of_life_fresh_again() {
    let mut writer = writer(2, vec![namespaces(&[]), catalogues(&[])]);
    let stale = async |writer: &mut Writer| {
        writer.snapshots.changed().await.unwrap();
        writer.snapshots.borrow_and_update().as_ref().unwrap().stale
    };
    assert!(!stale(&mut writer).await);
    // One watch alone being alive is not enough: the other may hide a change of a binding.
    tokio::time::sleep(Duration::from_secs(300)).await;
    writer.freshness.touch(0);
    let start = tokio::time::Instant::now();
    assert!(stale(&mut writer).await);
    assert_eq!(start.elapsed().as_secs(), 300);
    assert_eq!(writer.freshness.age().as_secs(), 600);
    writer.freshness.touch(1);
    assert!(!stale(&mut writer).await);
    assert!(writer.freshness.age() < Duration::from_secs(310));
}

#[tokio::test(start_paused = true)]
async fn a_world_file_is_never_stale() {
    let mut writer = writer(0, vec![Change::World(World::read(WORLD))]);
    writer.snapshots.changed().await.unwrap();
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert!(!writer.snapshots.borrow().as_ref().unwrap().stale);
    assert_eq!(writer.freshness.age(), Duration::ZERO);
}

mod carried {
    use refgate::policy::carriers::held::Held;
    use refgate::policy::carriers::{self, Kind};
    use refgate::serve::rejudge::Again;
    use refgate::serve::state::CarriedUpdate;
    use refgate::telemetry::Metrics;
    use serde_json::{Value, json};

    use super::*;

    fn kind(name: &str) -> &'static Kind {
        carriers::kinds().map(|(_, kind)| kind).find(|kind| kind.kind == name).unwrap()
    }

    fn held(kind: &'static Kind, name: &str, spec: Value) -> Arc<Held> {
        let object = json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec});
        Arc::new(Held::read(kind, &object.to_string()).unwrap())
    }

    fn store(prefix: &str) -> Arc<Held> {
        let aws = json!({"service": "SecretsManager", "region": "us-west-2", "prefix": prefix});
        held(kind("SecretStore"), "aws", json!({"provider": {"aws": aws}}))
    }

    fn external_secret(name: &str, key: &str) -> Arc<Held> {
        let data = json!([{"secretKey": "k", "remoteRef": {"key": key}}]);
        held(kind("ExternalSecret"), name, json!({"secretStoreRef": {"name": "aws"}, "data": data}))
    }

    fn names(state: &State) -> Vec<String> {
        let snapshot = state.snapshot().unwrap();
        snapshot.namespaces["n"].carried.objects().map(|held| held.name().to_owned()).collect()
    }

    fn list(objects: &[Arc<Held>]) -> CarriedUpdate {
        let listed = |held: &Arc<Held>| ("n".into(), held.name().into(), Some(Arc::clone(held)));
        CarriedUpdate::Restart(objects.iter().map(listed).collect())
    }

    #[test]
    fn nothing_is_whole_before_each_kind_was_listed() {
        let kinds = [kind("SecretStore"), kind("ExternalSecret")];
        let config = config::parse("aws: {regions: [us-west-2]}").unwrap();
        let mut state = State::new(config).awaiting(kinds);
        state.apply(namespaces(&[("n", Some(&bound("stage")))]));
        state.apply(catalogues(&[]));
        assert!(state.snapshot().is_none());
        state.apply(Change::Carried(kinds[0], list(&[store("")])));
        assert!(state.snapshot().is_none());
        state.apply(Change::Carried(kinds[1], list(&[])));
        assert_eq!(names(&state), ["aws"]);
    }

    #[test]
    fn a_list_replaces_its_kind_alone_and_keeps_what_cannot_be_read() {
        let mut state = State::new(Config::default());
        state.apply(namespaces(&[("n", Some(&bound("stage")))]));
        state.apply(catalogues(&[]));
        let secrets = kind("ExternalSecret");
        state.apply(Change::Carried(kind("SecretStore"), list(&[store("")])));
        state.apply(Change::Carried(secrets, list(&[external_secret("b", "x"), external_secret("a", "x")])));
        assert_eq!(names(&state), ["a", "b", "aws"]);
        let unreadable = ("n".into(), "b".into(), None);
        state.apply(Change::Carried(secrets, CarriedUpdate::Restart(vec![unreadable])));
        assert_eq!(names(&state), ["b", "aws"]);
        state.apply(Change::Carried(secrets, CarriedUpdate::Apply("n".into(), external_secret("c", "x"))));
        state.apply(Change::Carried(secrets, CarriedUpdate::Delete("n".into(), "b".into())));
        assert_eq!(names(&state), ["c", "aws"]);
        state.apply(Change::Carried(secrets, list(&[])));
        assert_eq!(names(&state), ["aws"]);
    }

    /// What a SecretSync fills, its class says, and that may change while the SecretSync stays as it is.
    #[test]
    fn what_a_secret_sync_fills_follows_its_class() {
        let mut state = State::new(Config::default());
        state.apply(namespaces(&[("n", Some(&bound("stage")))]));
        state.apply(catalogues(&[]));
        let spec = json!({"secretProviderClassName": "c", "secretObject": {"data": [{"sourcePath": "x", "targetKey": "k"}]}});
        let synced = held(kind("SecretSync"), "web", spec);
        let class = |name: &str, env: &str| {
            let objects = format!("- {{objectName: g/a/{env}/x, objectType: secretsmanager}}");
            let spec = json!({"provider": "aws", "parameters": {"objects": objects}});
            held(kind("SecretProviderClass"), name, spec)
        };
        let apply = |state: &mut State, kind: &'static Kind, object: Arc<Held>| {
            state.apply(Change::Carried(kind, CarriedUpdate::Apply("n".into(), object)));
            state.snapshot().unwrap().namespaces["n"].filled.is_outside("web")
        };
        let classes = kind("SecretProviderClass");
        assert!(
            apply(&mut state, kind("SecretSync"), synced),
            "of a class that is not there nothing is known"
        );
        assert!(apply(&mut state, classes, class("other", "stage")));
        assert!(!apply(&mut state, classes, class("c", "stage")));
        assert!(apply(&mut state, classes, class("c", "prod")));
        assert!(!apply(&mut state, classes, class("c", "stage")));
        state.apply(Change::Carried(classes, CarriedUpdate::Delete("n".into(), "c".into())));
        assert!(state.snapshot().unwrap().namespaces["n"].filled.is_outside("web"));
    }

    #[test]
    fn what_is_filled_follows_stores_configuration_and_binding() {
        let mut state = State::new(Config::default());
        state.apply(catalogues(&[]));
        let paths = |state: &State| {
            let snapshot = state.snapshot().unwrap();
            snapshot.namespaces["n"].filled.rows().map(|row| row.path().to_owned()).collect::<Vec<_>>()
        };
        // The objects come before their namespace and their store.
        let store = |prefix: &str| {
            let aws = json!({"service": "SecretsManager", "region": "us-west-2", "prefix": prefix});
            held(kind("ClusterSecretStore"), "aws", json!({"provider": {"aws": aws}}))
        };
        let data = json!([{"secretKey": "k", "remoteRef": {"key": "x"}}]);
        let reference = json!({"kind": "ClusterSecretStore", "name": "aws"});
        let reads = held(kind("ExternalSecret"), "web", json!({"secretStoreRef": reference, "data": data}));
        state.apply(Change::Carried(kind("ExternalSecret"), CarriedUpdate::Apply("n".into(), reads)));
        state.apply(namespaces(&[("n", Some(&bound("stage")))]));
        assert_eq!(paths(&state), Vec::<String>::new());
        state.apply(Change::Carried(
            kind("ClusterSecretStore"),
            CarriedUpdate::Apply("".into(), store("g/a/stage/")),
        ));
        assert_eq!(paths(&state), ["g/a/stage/x"]);
        state.apply(Change::Carried(
            kind("ClusterSecretStore"),
            CarriedUpdate::Apply("".into(), store("g/a/stage/deep/")),
        ));
        assert_eq!(paths(&state), ["g/a/stage/deep/x"]);
        state.apply(namespaces(&[("n", Some(&bound("prod")))]));
        assert_eq!(paths(&state), Vec::<String>::new());
        assert!(state.snapshot().unwrap().namespaces["n"].filled.is_outside("web"));
    }

    /// A SecretSync fills what its class reads, which may come and change later.
    #[test]
    fn what_a_class_reads_is_what_others_fill_by_it() {
        let mut state = State::new(Config::default());
        state.apply(namespaces(&[("n", Some(&bound("stage")))]));
        state.apply(catalogues(&[]));
        let sync = held(kind("SecretSync"), "web", json!({"secretProviderClassName": "c"}));
        state.apply(Change::Carried(kind("SecretSync"), CarriedUpdate::Apply("n".into(), sync)));
        let is_outside = |state: &State| state.snapshot().unwrap().namespaces["n"].filled.is_outside("web");
        assert!(is_outside(&state), "no class is there");
        let classes = kind("SecretProviderClass");
        for (path, expected) in [("g/a/stage/x", false), ("g/a/prod/x", true), ("g/a/stage/y", false)] {
            let objects = format!("- {{objectName: {path}, objectType: secretsmanager}}");
            let class = held(classes, "c", json!({"provider": "aws", "parameters": {"objects": objects}}));
            state.apply(Change::Carried(classes, CarriedUpdate::Apply("n".into(), class)));
            assert_eq!(is_outside(&state), expected, "{path}");
        }
        state.apply(Change::Carried(classes, CarriedUpdate::Delete("n".into(), "c".into())));
        assert!(is_outside(&state), "the class is gone");
    }

    /// Whatever comes and goes, one at a time: what is filled is what it would be, had all of it been there at once.
    #[test]
    fn one_object_at_a_time_is_as_good_as_all_at_once() {
        let mut state = State::new(Config::default());
        state.apply(namespaces(&[("n", Some(&bound("stage")))]));
        state.apply(catalogues(&[]));
        state.apply(Change::Carried(kind("SecretStore"), list(&[store("g/a/")])));
        let (secrets, mut number) = (kind("ExternalSecret"), 7_u32);
        for step in 0..1_500 {
            number = number.wrapping_mul(48_271) % 2_147_483_647;
            let (name, path) = (format!("o{}", number % 400), number / 400 % 50);
            let scope = if number % 7 == 0 { "prod" } else { "stage" };
            let update = match step % 4 {
                0 => CarriedUpdate::Delete("n".into(), name.into()),
                _ => CarriedUpdate::Apply("n".into(), external_secret(&name, &format!("{scope}/p{path}"))),
            };
            state.apply(Change::Carried(secrets, update));
            if step % 100 == 99 {
                let now = state.snapshot().unwrap();
                let now = &now.namespaces["n"];
                let all =
                    now.carried.objects().filter(|held| held.kind == secrets).cloned().collect::<Vec<_>>();
                assert!(all.len() > 50, "{}", all.len());
                let mut anew = State::new(Config::default());
                anew.apply(namespaces(&[("n", Some(&bound("stage")))]));
                anew.apply(catalogues(&[]));
                anew.apply(Change::Carried(kind("SecretStore"), list(&[store("g/a/")])));
                anew.apply(Change::Carried(secrets, list(&all)));
                assert!(anew.snapshot().unwrap().namespaces["n"].filled == now.filled, "{step}");
            }
        }
    }

    /// The same where so many rows go and come that the lists are made anew.
    #[test]
    fn a_large_object_is_as_good_as_all_at_once() {
        let secrets = kind("ExternalSecret");
        let large = |scope: &str, keys: std::ops::Range<usize>| {
            let entry = |key: usize| json!({"secretKey": format!("k{key}"), "remoteRef": {"key": format!("{scope}/p{}", key % 90)}});
            let data: Vec<Value> = keys.map(entry).collect();
            held(secrets, "o5", json!({"secretStoreRef": {"name": "aws"}, "data": data}))
        };
        let start = |objects: &[Arc<Held>]| {
            let mut state = State::new(Config::default());
            state.apply(namespaces(&[("n", Some(&bound("stage")))]));
            state.apply(catalogues(&[]));
            state.apply(Change::Carried(kind("SecretStore"), list(&[store("g/a/")])));
            state.apply(Change::Carried(secrets, list(objects)));
            state
        };
        let others: Vec<_> = (0..9).map(|index| external_secret(&format!("o{index}"), "stage/p3")).collect();
        let mut state = start(&others);
        for object in [
            large("stage", 0..700),
            large("stage", 400..1_900),
            large("prod", 0..300),
            large("prod", 0..301),
            large("stage", 0..2_000),
            large("stage", 0..2_001),
            large("stage", 0..3),
        ] {
            let mut all = others.clone();
            all[5] = Arc::clone(&object);
            state.apply(Change::Carried(secrets, CarriedUpdate::Apply("n".into(), object)));
            let (now, anew) = (state.snapshot().unwrap(), start(&all).snapshot().unwrap());
            assert!(anew.namespaces["n"].filled == now.namespaces["n"].filled);
            assert!(now.namespaces["n"].filled.rows().count() >= 8);
        }
        state.apply(Change::Carried(secrets, CarriedUpdate::Apply("n".into(), large("stage", 0..900))));
        state.apply(Change::Carried(secrets, CarriedUpdate::Delete("n".into(), "o5".into())));
        let others: Vec<_> = others.into_iter().filter(|held| held.name() != "o5").collect();
        let (now, anew) = (state.snapshot().unwrap(), start(&others).snapshot().unwrap());
        assert!(anew.namespaces["n"].filled == now.namespaces["n"].filled);
    }

    /// A controller writes the status of each object again and again.
    #[test]
    fn an_object_that_says_the_same_is_no_change() {
        let mut state = State::new(Config::default());
        state.apply(namespaces(&[("n", Some(&bound("stage")))]));
        let apply = |key: &str| {
            let update = CarriedUpdate::Apply("n".into(), external_secret("web", key));
            Change::Carried(kind("ExternalSecret"), update)
        };
        assert!(state.apply(apply("x")));
        assert!(!state.apply(apply("x")));
        assert!(state.apply(apply("y")));
    }

    #[test]
    fn what_is_there_is_judged_again_and_said_once() {
        let (metrics, mut again) = (Metrics::default(), Again::default());
        let config = config::parse("aws: {regions: [us-west-2]}").unwrap();
        let mut state = State::new(config);
        state.apply(namespaces(&[("n", Some(&bound("stage")))]));
        state.apply(catalogues(&[]));
        state.apply(Change::Carried(kind("SecretStore"), list(&[store("g/a/stage/")])));
        state.apply(Change::Carried(kind("ExternalSecret"), list(&[external_secret("web", "x")])));
        let mut look = |state: &State| {
            let lines = again.judge(&Arc::new(state.snapshot().unwrap()), &metrics);
            let text = metrics.render();
            let count = text.lines().filter_map(|line| {
                line.strip_prefix(
                    "refgate_carriers_outside{carrier=\"external-secrets\",kind=\"ExternalSecret\"} ",
                )
                .map(str::to_owned)
            });
            (lines, count.collect::<Vec<_>>())
        };
        assert_eq!(look(&state), (vec![], vec!["0".to_owned()]));
        // Each of two changes passed on what was there before: nobody asks about the ExternalSecret again.
        state.apply(Change::Carried(
            kind("SecretStore"),
            CarriedUpdate::Apply("n".into(), store("g/a/prod/")),
        ));
        let (lines, count) = look(&state);
        assert_eq!(count, ["1"]);
        assert!(
            lines[0].contains("namespace n: ExternalSecret web") && lines[0].contains("g/a/prod/x"),
            "{lines:?}"
        );
        assert_eq!(look(&state), (vec![], vec!["1".to_owned()]), "said once");
        state.apply(namespaces(&[("n", Some(&bound("prod")))]));
        assert_eq!(look(&state), (vec![], vec!["0".to_owned()]));
    }
}
