//! Real objects of every system, with its CRDs, on a real API server: what is inside comes to be, what is outside is refused with
//! its reason, in every version, when it is made and when it changes; and all of it counts that comes after RefGate has started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use refgate::policy::carriers;
use serde_json::{Value, json};

use crate::crd_check;
use crate::harness::api::Answer;
use crate::harness::objects::pod;
use crate::harness::rights::grant;
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World};
use crate::harness::{crds, external_secrets};

mod rows;

const SCOPE: &str = "mozmeao/carried/stage";
const CONFIGURATION: &str = "
aws: {regions: [us-east-1]}
carriers:
  mappings:
  - {system: vault, match: mozmeao/carried/stage, place: secret}
  - {system: azure, match: mozmeao/carried/stage, place: carried-stage}
  - {system: 1password, match: mozmeao/carried/stage, place: Carried}
  - {system: doppler, match: mozmeao/carried/stage, place: carried/stg}
";

/// Kinds and fields of External Secrets Operator that came after the version whose CRDs are here.
const LATER: [&str; 2] = ["BeyondtrustWorkloadCredentialsDynamicSecret", "GitlabDeployToken"];
const LATER_FIELDS: [&str; 2] = ["spec.dataTo[].metadata", "spec.dataTo[].remoteKey"];

/// What there is to try of one kind.
struct Row {
    kind: &'static str,
    /// All that are served, where it is empty.
    versions: &'static [&'static str],
    inside: Value,
    /// What is refused, and what the message says of it behind the name of the object.
    outside: Vec<(Value, &'static str)>,
    /// A reference, and the Secret and key that the object fills from that path.
    fills: Option<(&'static str, &'static str, &'static str)>,
}

pub fn real_objects_of_every_kind(world: &World) {
    let operator = external_secrets::crds();
    check_operator(&operator);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/crds");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let yaml = files.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let all: Vec<Value> = yaml.flat_map(|path| crds::read(&path)).chain(operator).collect();

    let before = fs::read_to_string(&world.files.configuration).unwrap();
    fs::write(&world.files.configuration, before.clone() + CONFIGURATION).unwrap();
    let namespace = world.bound("carried", SCOPE, &[]);
    let groups = carriers::groups();
    let rules: Vec<_> = groups.iter().map(|group| (*group, "*", &["create", "update"][..])).collect();
    grant(&namespace, &rules);
    // RefGate has been there for long, and knows of none of them.
    crds::install(&world.plane, &all);

    let rows = rows::all();
    let (store, crd) = (&rows[0], all.iter().find(|crd| of_row(crd, &rows[0])).unwrap());
    until("RefGate reads the configuration", || {
        let mut object = crd_check::object(crd, "v1", "early", false);
        object["spec"] = store.inside.clone();
        let path = path(&namespace, crd, "v1");
        namespace.developer.api.post(&format!("{path}?dryRun=All"), &object).is_ok().then_some(())
    });
    for row in &rows {
        let tried = all.iter().filter(|crd| of_row(crd, row)).map(|crd| try_row(&namespace, crd, row));
        assert!(tried.sum::<usize>() > 0, "{} was not tried", row.kind);
    }
    for row in &rows {
        if let Some((reference, secret, key)) = row.fills {
            resolves(&namespace, reference, secret, key);
        }
    }
    for crd in &all {
        if !rows.iter().any(|row| of_row(crd, row)) {
            try_usual(&namespace, crd);
        }
    }
    // Nothing of it is left to a controller that comes later.
    for crd in all.iter().filter(|crd| crd["spec"]["scope"] == "Namespaced") {
        let newest = crd_check::row(crd).unwrap().versions[0];
        world.plane.admin.api.delete(&path(&namespace, crd, newest)).ok();
    }
    fs::write(&world.files.configuration, before).unwrap();
}

/// The CRDs that come with the operator's module, as `tests/it` looks at the others.
fn check_operator(crds: &[Value]) {
    crd_check::kinds(crds);
    assert!(crd_check::fields(crds, &LATER_FIELDS) >= 7);
    assert_eq!(crd_check::unknown(crds), BTreeMap::new());
    let there: BTreeSet<&str> = crds.iter().map(|crd| crd_check::row(crd).unwrap().kind).collect();
    let rows = carriers::kinds().filter(|(carrier, _)| carrier.id == "external-secrets");
    let missing: Vec<&str> = rows.map(|(_, kind)| kind.kind).filter(|kind| !there.contains(kind)).collect();
    assert_eq!(missing, LATER);
}

fn of_row(crd: &Value, row: &Row) -> bool {
    let of_other = row.kind == "ExternalSecret" && row.inside.get("backendType").is_some();
    let group = if of_other { "kubernetes-client.io" } else { "external-secrets.io" };
    let names = &crd["spec"]["names"];
    names["kind"] == row.kind && (row.kind != "ExternalSecret" || crd["spec"]["group"] == group)
}

/// Where objects of a CRD are.
fn path(namespace: &Namespace<'_>, crd: &Value, version: &str) -> String {
    let [group, plural] =
        [&crd["spec"]["group"], &crd["spec"]["names"]["plural"]].map(|text| text.as_str().unwrap());
    match crd["spec"]["scope"] == "Cluster" {
        true => format!("/apis/{group}/{version}/{plural}"),
        false => format!("/apis/{group}/{version}/namespaces/{}/{plural}", namespace.name),
    }
}

fn versions(crd: &Value) -> impl Iterator<Item = &str> {
    let all = crd["spec"]["versions"].as_array().unwrap().iter();
    all.map(|version| version["name"].as_str().unwrap())
}

/// Gives how many versions there were to try.
fn try_row(namespace: &Namespace<'_>, crd: &Value, row: &Row) -> usize {
    let newest = crd_check::row(crd).unwrap().versions[0];
    let kind = row.kind.to_lowercase();
    let tried = || versions(crd).filter(|version| row.versions.is_empty() || row.versions.contains(version));
    for version in tried() {
        let path = path(namespace, crd, version);
        let object = |name: &str, spec: &Value| {
            let mut object = crd_check::object(crd, version, name, false);
            object["spec"] = spec.clone();
            object
        };
        let name = if version == newest { kind.clone() } else { format!("{kind}-{version}") };
        let what = format!("{} {version}", row.kind);
        let api = &namespace.developer.api;
        let inside = object(&name, &row.inside);
        // What it depends on is a moment old.
        let there = until(&format!("{what} is made"), || {
            let answer = api.post(&path, &inside);
            let is_early = !answer.is_ok() && answer.message().contains("is not there, so ");
            assert!(is_early || answer.is_ok(), "{what}: {}", answer.message());
            answer.is_ok().then_some(answer.body)
        });
        // What the schema does not have, the API server drops before anybody is asked.
        let mut more = object(&format!("{name}-more"), &row.inside);
        more["spec"]["hereafter"] = "mozmeao/carried/prod/db".into();
        let answer = api.post(&format!("{path}?dryRun=All"), &more).ok();
        assert!(answer["spec"].get("hereafter").is_none(), "{what}: {answer}");
        for (spec, says) in &row.outside {
            let made = object("outside", spec);
            refused(&what, &api.post(&path, &made), &format!("{} outside, {says}", row.kind));
            let mut changed = object(&name, spec);
            changed["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"].clone();
            let answer = api.put(&format!("{path}/{name}"), &changed);
            refused(&what, &answer, &format!("{} {name}, {says}", row.kind));
        }
    }
    tried().count()
}

fn refused(what: &str, answer: &Answer, says: &str) {
    assert!(!answer.is_ok(), "{what} was let through: {says}");
    let message = answer.message();
    assert!(
        message.contains("admission webhook \"carry.refgate.dev\" denied the request"),
        "{what}: {message}"
    );
    assert!(message.contains(says), "{what}: {message}\nand not: {says}");
}

/// A pod that refers to the path gets what the object fills: RefGate watches kinds whose CRDs came after it.
fn resolves(namespace: &Namespace<'_>, reference: &str, secret: &str, key: &str) {
    let wanted = json!({"secretKeyRef": {"name": secret, "key": key}});
    until(&format!("{reference} is {key} of Secret {secret}"), || {
        let answer = namespace.dry_run(&pod("web", &[("A", reference)]));
        (answer.body.pointer("/spec/containers/0/env/0/valueFrom") == Some(&wanted)).then_some(())
    });
}

/// A kind without a row: an object with what it must have, and what becomes of it.
fn try_usual(namespace: &Namespace<'_>, crd: &Value) {
    // These make something up, say who logs in, or write down what was done.
    const PASS: [&str; 9] = [
        "HCPAuth",
        "Password",
        "SSHKey",
        "SecretProviderClassPodStatus",
        "SecretTransformation",
        "UUID",
        "VaultAuth",
        "VaultAuthGlobal",
        "VaultConnection",
    ];
    let kind = crd["spec"]["names"]["kind"].as_str().unwrap();
    for version in versions(crd) {
        let name = format!("usual-{version}");
        let path = path(namespace, crd, version);
        let object = crd_check::object(crd, version, &name, false);
        if crd["spec"]["scope"] == "Cluster" {
            let answer = namespace.world.plane.admin.api.post(&path, &object);
            refused(kind, &answer, &format!("{kind} {name}: it is of the whole cluster"));
            continue;
        }
        let answer = namespace.developer.api.post(&path, &object);
        match PASS.contains(&kind) {
            true => assert!(answer.is_ok(), "{kind} {version}: {}", answer.message()),
            false => refused(kind, &answer, &format!("{kind} {name}, spec")),
        }
    }
}
