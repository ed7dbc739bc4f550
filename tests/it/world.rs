//! Kubernetes objects to the parts of a snapshot, from a world file.

use std::sync::Arc;

use refgate::policy::level::Level;
use refgate::policy::snapshot::{Binding, Settings};
use refgate::world::World;

use crate::harness::WORLD;

fn catalogue(namespace: &str, own: &str, label: &str, data: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: catalogue.{namespace}, namespace: {own}, labels: {{refgate.dev/catalogue: \"{label}\"}}}}\ndata: {data}\n---\n"
    )
}

const GOOD: &str = r#"{"catalogue": '[{"path": "g/a/e/x", "secret": "s", "keys": ["value"]}]'}"#;

/// A Namespace for a catalogue.
const N: &str = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: \"n\"}\n";

fn problems(text: &str) -> Vec<String> {
    World::read(text).problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_world_becomes_a_snapshot() {
    let world = World::read(WORLD);
    assert_eq!(world.problems, []);
    let snapshot = world.snapshot(Arc::new(Settings::default()));
    let state = &snapshot.namespaces["snippets-stage"];
    assert!(
        matches!(&state.namespace.binding, Binding::Bound { own, .. } if own.as_str() == "mozmeao/snippets/stage")
    );
    let entry = &state.catalogue.by_path("mozmeao/snippets/stage/database_url")[0];
    assert_eq!((&*entry.secret, entry.version.as_deref(), entry.keys.len()), ("the-secret", Some("v1"), 1));
    assert_eq!(state.catalogue.known(), None);
    assert!(!snapshot.stale);
}

#[test]
fn what_kubectl_prints_is_read_as_well() {
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "managedFields": []}, "status": {"phase": "Active"}},
        {"apiVersion": "v1", "kind": "NamespaceList", "items": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b"}}]},
        {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": {"name": "c"}}]}"#;
    let world = World::read(list);
    assert_eq!(world.problems, []);
    let mut names: Vec<_> = world.namespaces.keys().map(AsRef::as_ref).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn labels_that_cannot_be_read_stay_with_their_namespace() {
    let text =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: 'n', labels: {refgate.dev/enforce: strcit}}";
    let world = World::read(text);
    assert_eq!(world.problems, []);
    assert_eq!(world.namespaces["n"].levels.enforce, Some(Level::Restricted));
    assert_eq!(world.namespaces["n"].problems.len(), 1);
}

#[test]
fn only_refgates_own_namespace_holds_catalogues() {
    let forged = catalogue("n", "n", "true", GOOD);
    let world = World::read(&forged);
    assert!(world.catalogues.is_empty());
    assert_eq!(
        problems(&forged),
        ["line 1: a ConfigMap: is labelled as a catalogue but not in refgate-system: passed over"]
    );
    // Without the label it is somebody's ConfigMap, wherever it is.
    assert_eq!(problems(&catalogue("n", "elsewhere", "false", GOOD)), Vec::<String>::new());
    // In that namespace and of that name it lacks the label by mistake.
    assert_eq!(
        problems(&catalogue("n", "refgate-system", "false", GOOD)),
        [
            "line 1: ConfigMap catalogue.n: lacks the label refgate.dev/catalogue: \"true\", without which it is not read"
        ]
    );
    assert!(World::read(&catalogue("n", "refgate-system", "false", GOOD)).catalogues.is_empty());
}

#[test]
fn one_bad_object_takes_nobody_with_it() {
    for (bad, problem) in [
        ("kind: [\n---\n", "line "),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: 7}\n---\n",
            "line 1: Namespace: metadata.name: this must be text; put it in quotes",
        ),
        ("apiVersion: v1\nkind: Namespace\n---\n", "line 1: a Namespace: "),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: x, labels: {refgate.dev/enforce: off}}\n---\n",
            "line 1: Namespace x: metadata.labels.refgate.dev/enforce: this must be text; put it in quotes",
        ),
        ("- a list\n---\n", "line 1: a document: has no apiVersion or no kind"),
        (
            &catalogue("x", "refgate-system", "true", "{catalogue: 7}"),
            "line 1: ConfigMap catalogue.x: data.catalogue: this must be text; put it in quotes",
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: [x]}\n---\n",
            "line 1: Namespace: metadata.name: this must not be a list",
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: text\n---\n",
            "line 1: Namespace: metadata: this must not be text",
        ),
        ("kind: A\nkind: B\n---\n", "line 2: this key is in the same map twice"),
        (
            &catalogue("lost", "refgate-system", "true", GOOD),
            "line 1: ConfigMap catalogue.lost: speaks of Namespace lost, which is not in this file",
        ),
        (
            &catalogue("x", "refgate-system", "true", "{catalogue: '{}'}"),
            "line 1: ConfigMap catalogue.x: key `catalogue` is no JSON list",
        ),
        (
            &catalogue("x", "refgate-system", "true", "{}"),
            "line 1: ConfigMap catalogue.x: has no key `catalogue`",
        ),
        (&catalogue("", "refgate-system", "true", GOOD), "line 1: ConfigMap catalogue.: is labelled"),
    ] {
        let text = format!("{bad}{WORLD}");
        let world = World::read(&text);
        let said = problems(&text);
        assert!(said.len() == 1 && said[0].starts_with(problem), "{bad}: {said:?}");
        assert!(
            world.namespaces.contains_key("snippets-stage")
                && world.catalogues.contains_key("snippets-stage")
        );
    }
}

#[test]
fn one_bad_entry_goes_alone() {
    let list = r#"{"catalogue": '[{"path": "g/a/e/x", "secret": "s", "keys": []}, {"path": "g/a/e/y"}, 7, {"path": "g/a/../y", "secret": "t", "keys": ["k"]}, {"path": "short", "secret": "t", "keys": ["k"]}]', "known": '{"no": "list"}'}"#;
    let text = catalogue("n", "refgate-system", "true", list) + N;
    let world = World::read(&text);
    assert_eq!(world.catalogues["n"].entries().len(), 1);
    assert_eq!(
        problems(&text),
        [
            "line 1: ConfigMap catalogue.n: entry 1 is left out: path, secret, keys or version is missing or no text",
            "line 1: ConfigMap catalogue.n: entry 2 is left out: path, secret, keys or version is missing or no text",
            "line 1: ConfigMap catalogue.n: entry 3 is left out: segment 3 of the path is . or ..; a path is never resolved, write it out",
            "line 1: ConfigMap catalogue.n: entry 4 is left out: its path must be group/app/env/name",
            "line 1: ConfigMap catalogue.n: key `known` is left out: it is no JSON list of names",
        ]
    );
    let known = r#"{"catalogue": "[]", "known": '["b", "a", "b", "no name"]'}"#;
    let text = catalogue("n", "refgate-system", "true", known) + N;
    assert_eq!(
        problems(&text),
        ["line 1: ConfigMap catalogue.n: key `known`: 1 name that no secret can have left out"]
    );
    let world = World::read(&text);
    let known: Vec<_> = world.catalogues["n"].known().unwrap().iter().map(AsRef::as_ref).collect();
    assert_eq!(known, ["a", "b"]);
}

#[test]
fn twice_is_said() {
    let text = format!("{WORLD}---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: snippets-stage}}\n");
    let world = World::read(&text);
    assert!(problems(&text)[0].ends_with("snippets-stage: is there twice; the last one counts"));
    assert_eq!(world.namespaces["snippets-stage"].binding, Binding::Unbound);
}

#[test]
fn a_large_file_is_read_piece_by_piece_with_its_lines() {
    let folder = crate::harness::Folder::new();
    let mut text = String::new();
    for number in 0..5000 {
        let filler = "x".repeat(200);
        text.push_str(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: n{number}, uid: {filler}}}\n---\n"
        ));
    }
    let lines = text.lines().count();
    text.push_str("kind: [\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: last}\n");
    let world = World::read_file(&folder.write("world.yaml", &text)).unwrap();
    assert_eq!(world.namespaces.len(), 5001);
    let (pieces, whole) = (world.problems, World::read(&text).problems);
    assert_eq!(pieces, whole);
    assert!(
        pieces[0].object.starts_with(&format!("line {}", lines + 2))
            || pieces[0].object == format!("line {}", lines + 1),
        "{pieces:?}"
    );
    assert!(World::read_file(&folder.path("nowhere")).is_err());
}
