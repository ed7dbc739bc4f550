//! The labelled rows of `bench/rows/`: each is judged as its label says, but those of which it is known that they are not.
//!
//! `bench/detector.py` counts the same rows; here a change that makes one of them better or worse shows by its name.

use std::fs;
use std::path::Path;

use refgate::cli::Against;
use refgate::cli::judge::Judge;
use refgate::policy::level::Level;
use serde_json::{Value, json};

fn rows() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/rows");
    let mut rows = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        rows.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    rows
}

/// The object in which a row stands, as `bench/detector.py` makes it.
fn manifest(row: &Value) -> Value {
    let value = &row["value"];
    let mut container = json!({"name": "c", "image": "registry.example.com/c"});
    match row["field"].as_str() {
        Some("configmap") => {
            let key = row["key"].as_str().unwrap();
            return json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {key: value}});
        }
        Some(field) => {
            let before = row.get("before").cloned();
            container[field] = before.into_iter().chain([value.clone()]).collect();
        }
        None => {
            container["env"] = json!([{"name": row["name"].as_str().unwrap_or("SETTING"), "value": value}])
        }
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}})
}

#[test]
fn rows_are_judged_as_they_are_labelled() {
    let against =
        Against { namespace: "default".to_owned(), level: Some(Level::Restricted), ..Against::default() };
    let mut judge = Judge::load(&against).unwrap();
    let (mut wrong, mut counted) = (Vec::new(), [0; 2]);
    for row in rows() {
        let object = manifest(&row);
        let workload = judge.workload(&object).unwrap().unwrap();
        let is_flagged = !judge.judge(&workload).unwrap().findings.is_empty();
        let is_positive = matches!(row["label"].as_str().unwrap(), "secret" | "weak-default");
        let is_known = row.get("known").is_some();
        counted[usize::from(is_positive)] += 1;
        if (is_flagged == is_positive) == is_known {
            wrong.push(format!("{}{row}", if is_known { "no longer wrong: " } else { "" }));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(counted.iter().all(|count| *count > 100), "{counted:?}");
}
