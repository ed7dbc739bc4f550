//! ExternalSecret and ClusterExternalSecret of External Secrets Operator: what is read, and which Secret it fills.
//!
//! Source: external-secrets/external-secrets `apis/externalsecrets/v1`, `pkg/controllers/externalsecret`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::claims::PATHS;
use super::json::Json;
use super::place::System;
use super::reach::{Fill, How, Pointer, Reach, Source, by_name};
use super::template::{handed_on, has_actions};
use super::{Foreign, secret_store};
use crate::policy::workload::json::escape;

const SPEC: [&str; 7] =
    ["data", "dataFrom", "refreshInterval", "refreshPolicy", "secretStoreRef", "syncWindows", "target"];
const REMOTE: [&str; 7] = [
    "conversionStrategy",
    "decodingStrategy",
    "key",
    "metadataPolicy",
    "nullBytePolicy",
    "property",
    "version",
];
const TARGET: [&str; 6] = ["creationPolicy", "deletionPolicy", "immutable", "manifest", "name", "template"];
const TEMPLATE: [&str; 6] = ["data", "engineVersion", "mergePolicy", "metadata", "templateFrom", "type"];

/// Where the spec of an ExternalSecret stands: its lists need pointers that are known beforehand.
struct At {
    spec: &'static str,
    data: &'static str,
    data_from: &'static str,
}

const OWN: At = At { spec: "/spec", data: "/spec/data", data_from: "/spec/dataFrom" };
const INNER: At = At {
    spec: "/spec/externalSecretSpec",
    data: "/spec/externalSecretSpec/data",
    data_from: "/spec/externalSecretSpec/dataFrom",
};

/// An ExternalSecret.
pub fn external_secret(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    // Without a template its own annotations and labels are those of the Secret.
    let metadata = object.json.get("metadata");
    reach.copiers("/metadata/annotations", metadata.get("annotations"));
    reach.labels("/metadata/labels", metadata.get("labels"));
    let is_kept = object.is_kept || object.annotation(PATHS).is_some();
    spec(&mut reach, &OWN, object.json.get("spec"), Some(object.name()), is_kept);
    reach
}

/// A ClusterExternalSecret. Its ExternalSecrets are judged in their namespaces, whoever makes them.
pub fn cluster_external_secret(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    let around = object.json.get("spec");
    spec(&mut reach, &INNER, around.get("externalSecretSpec"), None, false);
    reach
}

/// What the entries fill, where somebody wants to know.
struct Entries {
    fills: Vec<Fill>,
    is_kept: bool,
}

fn spec(reach: &mut Reach, at: &At, spec: &Json<'_>, name: Option<&str>, is_kept: bool) {
    reach.known(at.spec, spec, &SPEC);
    let usual = store(reach, &|| format!("{}/secretStoreRef", at.spec), spec.get("secretStoreRef"));
    let list = spec.get("data");
    reach.list(at.data, list);
    let mut entries = Entries { fills: Vec::new(), is_kept };
    reach.accesses.reserve(list.items().len());
    for (index, entry) in (0..).zip(list.items()) {
        data(reach, at.data, index, entry, usual.as_ref(), &mut entries);
    }
    let list = spec.get("dataFrom");
    reach.list(at.data_from, list);
    for (index, entry) in (0..).zip(list.items()) {
        data_from(reach, at.data_from, index, entry, usual.as_ref(), &mut entries);
    }
    target(reach, at.spec, spec.get("target"), name, entries.fills);
}

/// The store that a reference names; its kind is SecretStore where it says none.
pub(super) fn store(reach: &mut Reach, at: &dyn Fn() -> String, reference: &Json<'_>) -> Option<Source> {
    if reference.is_null() {
        return None;
    }
    reach.known(Lazy(at), reference, &["name", "kind"]);
    let name = reach.text(|| Pointer::to(at()), reference.get("name"))?;
    let cluster = match reach.text(|| Pointer::to(at()), reference.get("kind")) {
        None | Some("" | "SecretStore") => false,
        Some("ClusterSecretStore") => true,
        Some(_) => {
            reach.doubt(&at(), "this kind of store is none that RefGate knows");
            return None;
        }
    };
    Some(Source::Store { cluster, name: Arc::from(name) })
}

/// Writes a pointer only where it is shown.
struct Lazy<'f>(&'f dyn Fn() -> String);

impl std::fmt::Display for Lazy<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&(self.0)())
    }
}

/// `sourceRef` of an entry: a store in the place of the usual one, or a generator. `None` where nothing is read by it.
fn source(
    reach: &mut Reach,
    at: &dyn Fn() -> String,
    reference: &Json<'_>,
    usual: Option<&Source>,
) -> Option<Source> {
    if reference.is_null() {
        return usual.cloned();
    }
    let inner = |field: &str| format!("{}/{field}", at());
    reach.known(Lazy(at), reference, &["storeRef", "generatorRef"]);
    let generator = reference.get("generatorRef");
    if !generator.is_null() {
        secret_store::generator(reach, &inner("generatorRef"), generator);
    }
    match store(reach, &|| inner("storeRef"), reference.get("storeRef")) {
        Some(store) => Some(store),
        // A generator alone asks no store.
        None if !generator.is_null() => None,
        None => usual.cloned(),
    }
}

const NO_STORE: &str = "no store is named, neither here nor in secretStoreRef";

/// An entry of `data`: one key of the Secret from one remote path.
fn data(
    reach: &mut Reach,
    base: &'static str,
    index: u32,
    entry: &Json<'_>,
    usual: Option<&Source>,
    entries: &mut Entries,
) {
    let at = || format!("{base}/{index}");
    let item = |tail: &'static str| Pointer::Item(base, index, tail);
    reach.known(Lazy(&at), entry, &["remoteRef", "secretKey", "sourceRef"]);
    let remote = entry.get("remoteRef");
    reach.known(Lazy(&|| format!("{base}/{index}/remoteRef")), remote, &REMOTE);
    let source = source(reach, &|| format!("{base}/{index}/sourceRef"), entry.get("sourceRef"), usual);
    let property = reach.text(|| item("remoteRef/property"), remote.get("property"));
    let key = reach.text(|| item("remoteRef/key"), remote.get("key"));
    let secret_key = reach.text(|| item("secretKey"), entry.get("secretKey"));
    let Some(source) = source else {
        return reach.faults.push((item("remoteRef/key"), NO_STORE.to_owned()));
    };
    let Some(key) = key else {
        return reach.faults.push((item("remoteRef/key"), "the remote path is missing".to_owned()));
    };
    let access = reach.reaches(item("remoteRef/key"), source, How::Read, key);
    if let (Some(secret_key), true) = (secret_key, entries.is_kept) {
        let property = property.filter(|property| !property.is_empty());
        let fill = Fill::key(secret_key, access, property).unless(is_changed(remote));
        entries.fills.push(Fill { only_of: version_of(remote), ..fill });
    }
}

/// Whether something else arrives than the value as the secret manager has it now: tags, a decoded text, an old version.
fn is_changed(remote: &Json<'_>) -> bool {
    let is_usual = |field: &str, usual: &str| {
        remote.get(field).is_null()
            || remote.get(field).text().is_some_and(|text| text.is_empty() || text == usual)
    };
    !(is_usual("metadataPolicy", "None")
        && is_usual("decodingStrategy", "None")
        && (is_usual("version", "") || version_of(remote).is_some()))
}

/// The system in whose words the version that is named is the current one: elsewhere it may be any.
fn version_of(remote: &Json<'_>) -> Option<System> {
    match remote.get("version").text() {
        Some("AWSCURRENT") => Some(System::AwsSecretsManager),
        Some("latest") => Some(System::Google),
        _ => None,
    }
}

/// An entry of `dataFrom`: all properties of one path, all paths that are found, or what a generator makes.
fn data_from(
    reach: &mut Reach,
    base: &'static str,
    index: u32,
    entry: &Json<'_>,
    usual: Option<&Source>,
    entries: &mut Entries,
) {
    let at = |field: &str| format!("{base}/{index}/{field}");
    let item = |tail: &'static str| Pointer::Item(base, index, tail);
    reach.known(format_args!("{base}/{index}"), entry, &["extract", "find", "rewrite", "sourceRef"]);
    let source = source(reach, &|| at("sourceRef"), entry.get("sourceRef"), usual);
    let (extract, find) = (entry.get("extract"), entry.get("find"));
    if extract.is_null() && find.is_null() {
        return entries.fills.push(Fill::other(None));
    }
    let Some(source) = source else {
        return reach.faults.push((item("sourceRef"), NO_STORE.to_owned()));
    };
    if !extract.is_null() {
        reach.known(Lazy(&|| at("extract")), extract, &REMOTE);
        let property = reach.text(|| item("extract/property"), extract.get("property"));
        match reach.text(|| item("extract/key"), extract.get("key")) {
            None => reach.faults.push((item("extract/key"), "the remote path is missing".to_owned())),
            Some(key) => {
                let access = reach.reaches(item("extract/key"), source.clone(), How::Read, key);
                let is_part = !property.is_none_or(str::is_empty);
                let is_renamed = !entry.get("rewrite").items().is_empty();
                let fill = Fill::each(access).unless(is_part || is_renamed || is_changed(extract));
                entries.fills.push(Fill { only_of: version_of(extract), ..fill });
            }
        }
    }
    if !find.is_null() {
        entries.fills.push(Fill::other(None));
        let known = ["conversionStrategy", "decodingStrategy", "name", "nullBytePolicy", "path", "tags"];
        reach.known(Lazy(&|| at("find")), find, &known);
        match reach.text(|| item("find/path"), find.get("path")) {
            Some(path) if !path.is_empty() => {
                reach.reaches(item("find/path"), source, How::Find, path);
            }
            _ => {
                let why = "without a path it looks through everything that the store can read; write find.path: \
                           GROUP/APP/ENV/, with the slash at its end";
                reach.faults.push((item("find"), why.to_owned()));
            }
        }
    }
}

/// What is filled, and what a template makes of it.
fn target(reach: &mut Reach, base: &str, target: &Json<'_>, name: Option<&str>, entries: Vec<Fill>) {
    let at = format!("{base}/target");
    reach.known(&at, target, &TARGET);
    let given = reach.text(|| Pointer::to(format!("{at}/name")), target.get("name"));
    let target_name = given.filter(|given| !given.is_empty()).or(name);
    if !target.get("manifest").is_null() {
        reach.fault(
            &format!("{at}/manifest"),
            "it writes secrets into an object that is no Secret, where whoever may read that kind reads them; leave it out",
        );
    }
    let template = target.get("template");
    if !template.is_null() {
        self::template(reach, &format!("{at}/template"), template);
    }
    let policy = target.get("creationPolicy").text();
    let writes = !matches!(policy, Some("None")) && target.get("manifest").is_null();
    if let Some(target_name) = target_name.filter(|_| writes) {
        reach.target = Some(target_name.into());
        reach.target_at = if given.is_some() { "/spec/target/name" } else { "/metadata/name" };
        reach.fills = templated(template, entries);
        // It writes into what others have made, and their keys stay.
        if !matches!(policy, None | Some("" | "Owner" | "Orphan")) {
            reach.fill(Fill::other(None));
        }
    }
}

/// What a template leaves of the entries, as `applyTemplate` of the operator does it: with `Merge` they come first, then
/// what `templateFrom` makes, then `data`.
fn templated(template: &Json<'_>, entries: Vec<Fill>) -> Vec<Fill> {
    let (data, from) = (template.get("data"), template.get("templateFrom"));
    let makes_more = !from.items().is_empty();
    if data.fields().is_empty() && !makes_more {
        return entries;
    }
    let named = by_name(entries.iter().filter_map(|entry| Some((entry.key.as_deref()?, entry))));
    let mut unnamed = entries.iter().filter(|entry| entry.key.is_none());
    let each = unnamed.next().filter(|each| each.is_value && unnamed.next().is_none());
    let mut fills: Vec<Fill> =
        data.fields().iter().map(|(key, text)| made(key, text, template, &named, each)).collect();
    if template.get("mergePolicy").text() == Some("Merge") {
        let made: HashSet<&str> = data.fields().iter().map(|(key, _)| &**key).collect();
        let stays = |entry: &Fill| entry.key.as_deref().is_none_or(|key| !made.contains(key));
        fills.extend(
            entries.iter().filter(|entry| stays(entry)).map(|entry| entry.clone().unless(makes_more)),
        );
    }
    if makes_more {
        fills.push(Fill::other(None));
    }
    fills
}

/// A key that a template makes: an entry that it hands on, or something else.
fn made(
    key: &str,
    text: &Json<'_>,
    template: &Json<'_>,
    named: &HashMap<&str, Option<&Fill>>,
    each: Option<&Fill>,
) -> Fill {
    let is_understood = matches!(template.get("engineVersion").text(), None | Some("" | "v2"));
    let name = text.text().filter(|_| is_understood).and_then(handed_on);
    let Some(name) = name else { return Fill::other(Some(key)) };
    match (named.get(name), each) {
        (Some(Some(entry)), _) => Fill { key: Some(key.into()), ..(*entry).clone() },
        // Which of two entries of one name counts is nothing to rely on.
        (Some(None), _) => Fill::other(Some(key)),
        // The one entry that brings all properties brings this one.
        (None, Some(each)) => Fill { key: Some(key.into()), property: Some(name.into()), ..each.clone() },
        (None, None) => Fill::other(Some(key)),
    }
}

/// A template over what was read. It can call nothing, so it reads no further path; but it may hold plaintext, take in other
/// objects of the namespace, and put secrets where everybody looks.
pub(super) fn template(reach: &mut Reach, at: &str, template: &Json<'_>) {
    reach.known(at, template, &TEMPLATE);
    reach.texts(&format!("{at}/data"), template.get("data"));
    let metadata = template.get("metadata");
    reach.known(format_args!("{at}/metadata"), metadata, &["annotations", "finalizers", "labels"]);
    for part in ["annotations", "labels"] {
        let at = format!("{at}/metadata/{part}");
        for (key, text) in metadata.get(part).fields() {
            if text.text().is_some_and(has_actions) {
                reach.fault(
                    &format!("{at}/{}", escape(key)),
                    "a template writes into metadata, where whoever may list Secrets' metadata reads it; leave it out",
                );
            }
        }
        reach.texts(&at, metadata.get(part));
    }
    reach.copiers(&format!("{at}/metadata/annotations"), metadata.get("annotations"));
    reach.labels(&format!("{at}/metadata/labels"), metadata.get("labels"));
    let list_at = format!("{at}/templateFrom");
    for (index, from) in template.get("templateFrom").items().iter().enumerate() {
        template_from(reach, &format!("{list_at}/{index}"), from);
    }
    reach.list(&list_at, template.get("templateFrom"));
}

fn template_from(reach: &mut Reach, at: &str, from: &Json<'_>) {
    reach.known(at, from, &["configMap", "secret", "literal", "target", "valuesDecodingStrategy"]);
    if !matches!(from.get("target").text(), None | Some("" | "Data")) {
        reach.fault(
            &format!("{at}/target"),
            "it puts secrets where they are no data of a Secret, and others read them there; leave it out, or write Data",
        );
    }
    if let Some(text) = reach.text(|| Pointer::to(format!("{at}/literal")), from.get("literal")) {
        reach.literal(Pointer::to(format!("{at}/literal")), None, text);
    }
    let secret = from.get("secret");
    if let Some(name) = reach.text(|| Pointer::to(format!("{at}/secret/name")), secret.get("name")) {
        reach.secrets.push((Pointer::to(format!("{at}/secret/name")), name.into()));
    }
}
