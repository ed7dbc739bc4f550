//! Generated worlds: bindings and catalogues, for the snapshot and for the oracle alike.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::sample::subsequence;
use refgate::policy::level::{Level, LevelLabels};
use refgate::policy::snapshot::{Catalogue, Entry, NamespaceLabels, NamespaceState, Settings, Snapshot};

use super::NAMESPACE;
use crate::oracle::{self, World, secret_name};

pub const OWN: &str = "mozmeao/snippets/stage";
pub const SHARED: &str = "mozmeao/shared/stage";

/// The settings cost more than a decision, and no property changes them.
static SETTINGS: LazyLock<Arc<Settings>> = LazyLock::new(Arc::default);

/// Path, Secret if it is not the name by hash, keys, version.
type Row = (&'static str, Option<&'static str>, &'static [&'static str], Option<&'static str>);

const ROWS: [Row; 13] = [
    ("mozmeao/snippets/stage/database_url", None, &["value"], Some("v-1")),
    ("mozmeao/snippets/stage/smtp", Some("mail"), &["value", "user", "password", ".76alue"], Some("v-2")),
    ("mozmeao/snippets/stage/cache", None, &["value", "url", "a.2fb.20c"], None),
    ("mozmeao/snippets/stage/tls", None, &["tls.crt", "tls.key", "tls.2ecrt"], Some("v-3")),
    ("mozmeao/snippets/stage/plain", None, &["value"], Some("v-4")),
    ("mozmeao/snippets/stage/two", Some("two-a"), &["value", "user"], Some("v-5")),
    ("mozmeao/snippets/stage/two", Some("two-b"), &["value", "user"], Some("v-6")),
    ("mozmeao/snippets/stage/odd", None, &["value", ".3d", ".c3.a4", "EXTRA"], None),
    ("mozmeao/shared/stage/sentry_dsn", None, &["value"], Some("v-7")),
    ("mozmeao/shared/stage/smtp", Some("shared-mail"), &["value", "user", "host"], Some("v-8")),
    ("mozmeao/snippets/stage/both-a", Some("both"), &["value"], Some("v-9")),
    ("mozmeao/snippets/stage/both-b", Some("both"), &["value"], Some("v-10")),
    ("mozmeao/snippets/prod/database_url", Some("prod-database"), &["value"], Some("v-11")),
];

/// A Secret with the name that `stolen` would have, and something else inside.
fn stolen() -> oracle::Entry {
    oracle::Entry {
        path: "mozmeao/snippets/prod/stolen".into(),
        secret: secret_name("mozmeao/snippets/stage/stolen"),
        keys: vec!["value".into()],
        version: None,
    }
}

/// All that the sync could have made.
pub fn whole_catalogue() -> Vec<oracle::Entry> {
    let entry = |(path, secret, keys, version): Row| oracle::Entry {
        path: path.to_owned(),
        secret: secret.map_or_else(|| secret_name(path), str::to_owned),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        version: version.map(str::to_owned),
    };
    ROWS.into_iter().map(entry).chain([stolen()]).collect()
}

/// A bound namespace with everything in it.
pub fn full() -> World {
    World {
        own: Some(OWN.to_owned()),
        shared: vec![SHARED.to_owned()],
        catalogue: whole_catalogue(),
        stale: false,
        proxies: SETTINGS.skip_containers.clone(),
    }
}

/// A bound namespace, its catalogue at any stage.
pub fn bound() -> impl Strategy<Value = World> {
    let catalogue = prop_oneof![
        3 => Just(whole_catalogue()),
        1 => Just(Vec::new()),
        3 => subsequence(whole_catalogue(), 0..=ROWS.len()),
    ];
    (catalogue, prop::bool::weighted(0.9)).prop_map(|(catalogue, is_shared)| {
        let shared = if is_shared { vec![SHARED.to_owned()] } else { Vec::new() };
        World { catalogue, shared, ..full() }
    })
}

/// Any namespace: seldom it is not bound, or the watches are silent.
pub fn any() -> impl Strategy<Value = World> {
    prop_oneof![
        20 => bound(),
        1 => bound().prop_map(|world| World { own: None, ..world }),
        1 => bound().prop_map(|world| World { stale: true, ..world }),
    ]
}

/// The snapshot that shows a world, with one level for all.
pub fn snapshot(world: &World, level: Option<Level>) -> Snapshot {
    snapshot_at(world, level.map(LevelLabels::all).unwrap_or_default())
}

/// The snapshot that shows a world, with levels as labels give them.
pub fn snapshot_at(world: &World, levels: LevelLabels) -> Snapshot {
    let labels: Vec<(&str, &str)> = match world.own.as_deref().map(|own| own.split('/').collect::<Vec<_>>()) {
        Some(own) => {
            vec![("refgate.dev/group", own[0]), ("refgate.dev/app", own[1]), ("refgate.dev/env", own[2])]
        }
        None => Vec::new(),
    };
    let shared = world.shared.join(",");
    let read = NamespaceLabels::read(labels, [("refgate.dev/shared-paths", shared.as_str())]);
    let entries = world.catalogue.iter().map(|entry| Entry {
        path: entry.path.as_str().into(),
        secret: entry.secret.as_str().into(),
        keys: entry.keys.iter().map(|key| key.as_str().into()).collect(),
        version: entry.version.as_deref().map(Into::into),
    });
    let known = ["database_url", "smtp", "ghost", "deep/er/name"].map(Into::into).to_vec();
    let state = NamespaceState {
        namespace: Arc::new(NamespaceLabels { levels, ..read }),
        catalogue: Arc::new(Catalogue::new(entries.collect(), Some(known))),
        ..NamespaceState::default()
    };
    Snapshot {
        settings: SETTINGS.clone(),
        namespaces: HashMap::from([(NAMESPACE.into(), Arc::new(state))]),
        stale: world.stale,
        ..Snapshot::default()
    }
}
