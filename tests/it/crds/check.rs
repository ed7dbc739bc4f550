//! Kinds and fields of carriers against CRDs: names, versions, what the API server may hand over. The end-to-end tests include
//! this for the CRDs that come with their programs.

use std::collections::{BTreeMap, BTreeSet};

use refgate::policy::carriers::json::Object;
use refgate::policy::carriers::{self, CARRIERS, Foreign, Handling, Kind, Known};
use serde_json::{Map, Value, json};

/// The row of a kind that a CRD defines.
pub fn row(crd: &Value) -> Option<&'static Kind> {
    let (group, kind) = (text(&crd["spec"]["group"]), text(&crd["spec"]["names"]["kind"]));
    match carriers::known(group, kind) {
        Some(Known::Kind(_, row)) => Some(row),
        _ => None,
    }
}

/// Every CRD has a row that says what it says. A wrong plural is a watch that never hears of anything, and a wrong group or
/// version an object that nobody is asked about.
pub fn kinds(crds: &[Value]) {
    for crd in crds {
        let (spec, names) = (&crd["spec"], &crd["spec"]["names"]);
        let row = row(crd).unwrap_or_else(|| panic!("no carrier has {names}"));
        assert_eq!(row.resource, names["plural"], "{row:?}");
        assert_eq!(row.cluster_scoped, spec["scope"] == "Cluster", "{row:?}");
        let versions: BTreeSet<&str> =
            list(&spec["versions"]).map(|version| text(&version["name"])).collect();
        assert_eq!(row.versions.iter().copied().collect::<BTreeSet<_>>(), versions, "{row:?}");
    }
}

/// The fields that the pages of carriers name are fields of the newest version that is understood, but for those that came later
/// than the CRDs here. Gives how many there are.
pub fn fields(crds: &[Value], later: &[&str]) -> usize {
    let mut count = 0;
    for carrier in CARRIERS {
        for (kind, path) in carrier.doc.fields.iter().flat_map(|(fields, _)| paths(fields)) {
            let kind = kind.or(carrier.kinds.first().map(|first| first.kind));
            let of = |crd: &&Value| {
                row(crd).is_some_and(|row| carrier.kinds.contains(row) && Some(row.kind) == kind)
            };
            let Some(crd) = crds.iter().find(of) else { continue };
            let newest = row(crd).unwrap().versions[0];
            if later.contains(&&*path) {
                continue;
            }
            assert!(has(schema(crd, newest), &path), "{kind:?} {newest} has no {path}");
            count += 1;
        }
    }
    count
}

/// `KIND spec.a, spec.b[].c, .d`: each path, and its kind where one stands before it.
fn paths(fields: &'static str) -> Vec<(Option<&'static str>, String)> {
    let mut found: Vec<(Option<&str>, String)> = Vec::new();
    let mut kind = None;
    for part in fields.split(", ") {
        let path = match part.split_once(' ') {
            Some((first, path)) => {
                kind = Some(first);
                path
            }
            None => part,
        };
        if path.starts_with("spec.") {
            found.push((kind, path.to_owned()));
        } else if let (Some(tail), Some((_, last))) = (path.strip_prefix('.'), found.last()) {
            let beside = last.rsplit_once('.').map_or("", |(beside, _)| beside);
            found.push((kind, format!("{beside}.{tail}")));
        }
    }
    found
}

/// The schema of a version.
pub fn schema<'v>(crd: &'v Value, version: &str) -> &'v Value {
    let versions = crd["spec"]["versions"].as_array().unwrap();
    let found = versions.iter().find(|there| there["name"] == version);
    &found.unwrap_or_else(|| panic!("no {version} in {}", crd["metadata"]["name"]))["schema"]["openAPIV3Schema"]
}

fn has(schema: &Value, path: &str) -> bool {
    let mut at = schema;
    for step in path.split('.') {
        let (name, is_list) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        if at["x-kubernetes-preserve-unknown-fields"] == true {
            return true;
        }
        at = &at["properties"][name];
        if is_list {
            at = &at["items"];
        }
    }
    !at.is_null()
}

/// Fields that the API server may hand over and that the carrier does not know, by kind: what has them is denied.
pub fn unknown(crds: &[Value]) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut all = BTreeMap::<&str, BTreeSet<String>>::new();
    for crd in crds {
        let row = row(crd).unwrap();
        let Handling::Judged { read, .. } = row.handling else { continue };
        for version in row.versions {
            let object = object(crd, version, "x", true).to_string();
            let reach = read(&Foreign::new(Object::read(&object).unwrap(), true));
            let doubts = reach.doubts.iter().filter(|(_, text)| text.contains("does not know the field"));
            let fields: BTreeSet<String> = doubts.map(|(at, _)| at.words()).collect();
            if !fields.is_empty() {
                all.entry(row.kind).or_default().extend(fields);
            }
        }
    }
    all
}

/// An object of a CRD: with what is required, or with all that there is, as the API server may hand it over.
pub fn object(crd: &Value, version: &str, name: &str, is_full: bool) -> Value {
    let schema = schema(crd, version);
    let mut object = match sample(schema, is_full) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    object.remove("status");
    object.insert("apiVersion".to_owned(), format!("{}/{version}", text(&crd["spec"]["group"])).into());
    object.insert("kind".to_owned(), crd["spec"]["names"]["kind"].clone());
    object.insert("metadata".to_owned(), json!({"name": name}));
    object.into()
}

/// A value of a schema.
fn sample(schema: &Value, is_full: bool) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    if !schema["default"].is_null() && !is_full {
        return schema["default"].clone();
    }
    match schema["type"].as_str() {
        Some("object") => members(schema, is_full),
        Some("array") => json!([sample(&schema["items"], is_full)]),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => true.into(),
        _ => "x".into(),
    }
}

fn members(schema: &Value, is_full: bool) -> Value {
    let mut members = Map::new();
    let required: BTreeSet<&str> = list(&schema["required"]).map(text).collect();
    let Some(properties) = schema["properties"].as_object() else {
        // A map: one key of it.
        let of = &schema["additionalProperties"];
        return if is_full && of.is_object() { json!({"x": sample(of, is_full)}) } else { json!({}) };
    };
    for (name, inner) in properties {
        // Where one of many belongs, as the provider of a store, the first one does.
        let is_one_of = schema["minProperties"] == 1 && members.is_empty();
        if is_full || is_one_of || required.contains(&**name) {
            members.insert(name.clone(), sample(inner, is_full));
        }
    }
    members.into()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
