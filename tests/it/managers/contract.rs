//! What every manager does: one table, run against each of them. It is compiled into two test binaries.

use refgate::policy::path::SecretPath;
use refgate::sync::manager::{Batch, Fetched, Manager, ManagerError, SecretValue};

/// A manager, and a way to its secrets that is not the manager's own.
pub trait Bed {
    fn manager(&self) -> &Manager;

    /// Puts secrets there. No path is put there twice.
    fn seed(&self, secrets: &[Seed]);

    /// Where there are versions that are not current yet, adds one.
    fn rotate_half(&self, path: &str, value: &str);
}

/// A secret that is there.
#[derive(Clone)]
pub struct Seed {
    pub path: String,
    pub value: Held,
    pub deleted: bool,
    pub tags: Vec<(&'static str, &'static str)>,
}

#[derive(Clone)]
pub enum Held {
    Text(String),
    Binary(Vec<u8>),
    Nothing,
}

fn text(path: &str, value: &str) -> Seed {
    Seed { path: path.to_owned(), value: Held::Text(value.to_owned()), deleted: false, tags: Vec::new() }
}

/// The table. Each has a scope of its own, so that one manager serves all of them.
pub async fn all(bed: &impl Bed) {
    values_come_as_they_are(bed).await;
    lists_are_whole_and_sorted(bed).await;
    prefixes_are_whole_segments(bed).await;
    what_is_scheduled_for_deletion_is_told_and_not_read(bed).await;
    what_is_not_there_is_not_found(bed).await;
    versions_move_when_the_value_does(bed).await;
    one_bad_secret_harms_no_other(bed).await;
    what_is_stored_is_there(bed).await;
    values_have_bounds(bed).await;
    prefixes_that_are_none_are_refused(bed).await;
}

async fn fetch(bed: &impl Bed, paths: &[&str]) -> Batch {
    let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    bed.manager().fetch(&paths).await.unwrap()
}

async fn fetch_one(bed: &impl Bed, path: &str) -> Result<Fetched, ManagerError> {
    let mut batch = fetch(bed, &[path]).await;
    assert_eq!((batch.len(), &*batch[0].0), (1, path));
    batch.remove(0).1
}

async fn listed(bed: &impl Bed, prefix: &str) -> Vec<String> {
    bed.manager().list(prefix).await.unwrap().into_iter().map(|listed| listed.path).collect()
}

async fn values_come_as_they_are(bed: &impl Bed) {
    let large = "x".repeat(65_536);
    let texts = [
        ("contract/values/t/a-text", "hunter2"),
        ("contract/values/t/b-json", r#"{"user": "web", "password": "p\"w"}"#),
        ("contract/values/t/c-lines", " first\r\nlast ä €\n"),
        ("contract/values/t/d-large", &*large),
    ];
    let binary = [0_u8, 159, 146, 150, 255, 10];
    let mut seeds: Vec<Seed> = texts.iter().map(|(path, value)| text(path, value)).collect();
    let path = "contract/values/t/e-binary";
    seeds.push(Seed { value: Held::Binary(binary.to_vec()), ..text(path, "") });
    bed.seed(&seeds);
    for (path, value) in texts {
        let fetched = fetch_one(bed, path).await.unwrap();
        assert!(fetched.value.expose() == value.as_bytes() && fetched.is_text, "{path}");
    }
    let fetched = fetch_one(bed, path).await.unwrap();
    assert!(fetched.value.expose() == binary && !fetched.is_text);
}

async fn lists_are_whole_and_sorted(bed: &impl Bed) {
    let path = |index: usize| format!("contract/many/t/secret-{index:03}");
    let tagged =
        |index| Seed { tags: vec![("refgate.dev/type", "kubernetes.io/tls")], ..text(&path(index), "v") };
    let seeds: Vec<Seed> = (0..230).rev().map(tagged).collect();
    bed.seed(&seeds);
    let found = bed.manager().list("contract/many/t/").await.unwrap();
    let paths: Vec<String> = (0..230).map(path).collect();
    assert_eq!(found.iter().map(|listed| listed.path.clone()).collect::<Vec<_>>(), paths);
    for listed in &found {
        assert_eq!(listed.tags.get("refgate.dev/type").map(String::as_str), Some("kubernetes.io/tls"));
        assert!(listed.version.is_some() && listed.deleted.is_none());
    }
    // More than one call takes, and more than one page has; each once, though asked for twice.
    let mut asked = paths.clone();
    asked.extend(paths.iter().take(30).cloned());
    let batch = bed.manager().fetch(&asked).await.unwrap();
    assert_eq!(batch.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), paths);
    for ((path, fetched), listed) in batch.iter().zip(&found) {
        assert_eq!(Some(&fetched.as_ref().unwrap().version), listed.version.as_ref(), "{path}");
    }
    assert_eq!(bed.manager().fetch(&[]).await, Ok(Batch::new()));
}

async fn prefixes_are_whole_segments(bed: &impl Bed) {
    let paths = [
        "contract/prefix/stage",
        "contract/prefix/stage-eu/a",
        "contract/prefix/stage/a",
        "contract/prefix/stage/b/c",
        "contract/prefix/stage2/a",
        "contract/Prefix/stage/a",
        "other/contract/prefix/stage/a",
    ];
    bed.seed(&paths.map(|path| text(path, "v")));
    let found = listed(bed, "contract/prefix/stage/").await;
    assert_eq!(found, ["contract/prefix/stage/a", "contract/prefix/stage/b/c"]);
    assert_eq!(listed(bed, "contract/prefix/stage-eu/").await, ["contract/prefix/stage-eu/a"]);
    assert_eq!(listed(bed, "contract/prefix/sta/").await, [""; 0]);
    assert_eq!(listed(bed, &format!("contract/prefix/{}/", "s".repeat(495))).await, [""; 0]);
}

async fn what_is_scheduled_for_deletion_is_told_and_not_read(bed: &impl Bed) {
    let path = "contract/deleted/t/going";
    bed.seed(&[Seed { deleted: true, ..text(path, "v") }]);
    let found = bed.manager().list("contract/deleted/t/").await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].deleted.is_some());
    assert_eq!(fetch_one(bed, path).await, Err(ManagerError::Deleted(path.to_owned())));
}

async fn what_is_not_there_is_not_found(bed: &impl Bed) {
    let empty = "contract/missing/t/empty";
    bed.seed(&[Seed { value: Held::Nothing, ..text(empty, "") }]);
    let found = bed.manager().list("contract/missing/t/").await.unwrap();
    assert_eq!((found.len(), &found[0].version), (1, &None));
    for path in [empty, "contract/missing/t/never", "contract/missing/t/emp"] {
        assert_eq!(fetch_one(bed, path).await, Err(ManagerError::NotFound(path.to_owned())));
    }
    assert_eq!(listed(bed, "contract/missing/u/").await, [""; 0]);
}

async fn versions_move_when_the_value_does(bed: &impl Bed) {
    let path = "contract/versions/t/db";
    let version = async || bed.manager().list("contract/versions/t/").await.unwrap().remove(0).version;
    let first = store(bed, path, "first").await.unwrap();
    assert_eq!(version().await.as_ref(), Some(&first));
    // A rotation that is under way is nobody's business yet.
    bed.rotate_half(path, "half");
    assert_eq!(version().await.as_ref(), Some(&first));
    let fetched = fetch_one(bed, path).await.unwrap();
    assert!(fetched.value.expose() == b"first" && fetched.version == first && fetched.created.is_some());
    let second = store(bed, path, "second").await.unwrap();
    assert_ne!(first, second);
    assert_eq!(version().await.as_ref(), Some(&second));
    let fetched = fetch_one(bed, path).await.unwrap();
    assert!(fetched.value.expose() == b"second" && fetched.version == second);
}

async fn one_bad_secret_harms_no_other(bed: &impl Bed) {
    let path = |name: &str| format!("contract/batch/t/{name}");
    let mut seeds: Vec<Seed> = (0..30).map(|index| text(&path(&format!("good-{index:02}")), "v")).collect();
    seeds.push(Seed { deleted: true, ..text(&path("deleted"), "v") });
    seeds.push(Seed { value: Held::Nothing, ..text(&path("empty"), "") });
    bed.seed(&seeds);
    let foreign = "arn:aws:secretsmanager:us-east-1:999999999999:secret:contract/batch/t/good-00-AbCdEf";
    let bad = [path("deleted"), path("empty"), path("never"), foreign.to_owned(), path("../t/good-00")];
    let mut asked: Vec<String> = seeds.iter().take(30).map(|seed| seed.path.clone()).collect();
    asked.splice(10..10, bad.iter().cloned());
    let batch = bed.manager().fetch(&asked).await.unwrap();
    assert_eq!(batch.len(), asked.len());
    assert!(batch.is_sorted_by(|one, other| one.0 < other.0));
    for (asked, result) in &batch {
        let expected = match () {
            () if *asked == bad[0] => matches!(result, Err(ManagerError::Deleted(path)) if path == asked),
            () if *asked == bad[1] || *asked == bad[2] => {
                matches!(result, Err(ManagerError::NotFound(path)) if path == asked)
            }
            () if bad.contains(asked) => matches!(result, Err(ManagerError::Invalid(_))),
            () => result.as_ref().is_ok_and(|fetched| fetched.value.expose() == b"v"),
        };
        assert!(expected, "{asked}: {result:?}");
    }
}

async fn store(bed: &impl Bed, path: &str, value: &str) -> Result<String, ManagerError> {
    store_bytes(bed, path, value.as_bytes()).await
}

async fn store_bytes(bed: &impl Bed, path: &str, value: &[u8]) -> Result<String, ManagerError> {
    let path = SecretPath::absolute(path).unwrap();
    bed.manager().store(&path, &SecretValue::new(value.to_vec())).await
}

async fn what_is_stored_is_there(bed: &impl Bed) {
    let tags = vec![("owner", "web")];
    bed.seed(&[Seed { tags, ..text("contract/store/t/there", "old") }]);
    for (path, value) in [
        ("contract/store/t/there", b"new".as_slice()),
        ("contract/store/t/made", b"made\n"),
        ("contract/store/t/binary", &[0, 255, 254]),
    ] {
        let version = store_bytes(bed, path, value).await.unwrap();
        let fetched = fetch_one(bed, path).await.unwrap();
        assert!(fetched.value.expose() == value && fetched.version == version, "{path}");
        assert_eq!(fetched.is_text, std::str::from_utf8(value).is_ok(), "{path}");
    }
    let found = bed.manager().list("contract/store/t/").await.unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(found[2].tags.get("owner").map(String::as_str), Some("web"), "a new version keeps the tags");
}

async fn values_have_bounds(bed: &impl Bed) {
    let path = "contract/bounds/t/value";
    for value in ["", &*"PLANTED".repeat(10_000)] {
        let error = store(bed, path, value).await.unwrap_err();
        assert!(matches!(&error, ManagerError::Invalid(text) if !text.contains("PLANTED")), "{error}");
    }
    assert_eq!(listed(bed, "contract/bounds/t/").await, [""; 0]);
}

async fn prefixes_that_are_none_are_refused(bed: &impl Bed) {
    for prefix in ["", "/", "a/b", "a/b/", "a/b/c", "!a/b/c/", "a/b/c//", "a/../c/", "a/b/*/"] {
        let error = bed.manager().list(prefix).await.unwrap_err();
        assert!(matches!(error, ManagerError::Invalid(_)), "{prefix}: {error}");
    }
}
