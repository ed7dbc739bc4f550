//! PushSecret and ClusterPushSecret of External Secrets Operator: what is written into a secret manager, and from where.
//!
//! Source: external-secrets/external-secrets `apis/externalsecrets/v1alpha1/pushsecret_types.go`.

use super::external_secret::{store, template};
use super::json::Json;
use super::reach::{Access, How, Identity, Pointer, Reach, Source};
use super::{Foreign, secret_store};
use crate::policy::workload::json::escape;

const PUSH: [&str; 8] = [
    "data",
    "dataTo",
    "deletionPolicy",
    "refreshInterval",
    "secretStoreRefs",
    "selector",
    "template",
    "updatePolicy",
];

/// Most writes of one object: two lists of half a megabyte would come to many millions.
const WRITES: usize = 10_000;
/// Most bytes of their remote paths, each counted as often as it is written. A path alone cannot have so many.
const WRITTEN_BYTES: usize = 4 << 20;

/// A PushSecret.
pub fn push_secret(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &PUSH);
    let targets = push_stores(&mut reach, spec);
    let data = reach.list("/spec/data", spec.get("data"));
    let data_to = reach.list("/spec/dataTo", spec.get("dataTo"));
    if is_too_much(targets.len(), data, data_to) {
        reach.fault(
            "/spec/secretStoreRefs",
            "each entry goes to each of these stores, and that makes more than 10,000 writes or 4 MiB of remote paths; write \
             several PushSecrets with fewer stores",
        );
    } else {
        for (index, entry) in (0..).zip(data) {
            push_data(&mut reach, index, entry, &targets);
        }
        for (index, entry) in (0..).zip(data_to) {
            push_all(&mut reach, index, entry, &targets);
        }
    }
    push_selector(&mut reach, spec.get("selector"));
    if !spec.get("template").is_null() {
        template(&mut reach, "/spec/template", spec.get("template"));
    }
    reach
}

/// Whether the entries, each to each of the stores, come to more than anybody writes.
fn is_too_much(stores: usize, data: &[Json<'_>], data_to: &[Json<'_>]) -> bool {
    let path = |remote: &Json<'_>, field: &str| remote.get(field).text().map_or(0, str::len);
    let of_data = data.iter().map(|entry| path(entry.get("match").get("remoteRef"), "remoteKey"));
    let bytes: usize = of_data.chain(data_to.iter().map(|entry| path(entry, "remoteKey"))).sum();
    stores.saturating_mul(data.len() + data_to.len()) > WRITES || stores.saturating_mul(bytes) > WRITTEN_BYTES
}

/// A ClusterPushSecret. Its PushSecrets are judged in their namespaces.
pub fn cluster_push_secret(_: &Foreign<'_>) -> Reach {
    Reach::default()
}

fn push_stores(reach: &mut Reach, spec: &Json<'_>) -> Vec<Source> {
    let mut targets = Vec::new();
    for (index, reference) in
        reach.list("/spec/secretStoreRefs", spec.get("secretStoreRefs")).iter().enumerate()
    {
        let at = format!("/spec/secretStoreRefs/{index}");
        if !reference.get("labelSelector").is_null() {
            targets.push(selected(reach, &at, reference));
            continue;
        }
        match store(reach, &|| at.clone(), reference) {
            Some(source) => targets.push(source),
            None => reach.fault(&at, "no store is named"),
        }
    }
    targets
}

/// A store that others choose later. What is outside by whichever it may be, can be said all the same.
fn selected(reach: &mut Reach, at: &str, reference: &Json<'_>) -> Source {
    reach.doubt(at, "which stores a label selector chooses, others decide later; name the store");
    Source::Selected { cluster: reference.get("kind").text() == Some("ClusterSecretStore") }
}

fn push_data(reach: &mut Reach, index: u32, entry: &Json<'_>, targets: &[Source]) {
    const TAIL: &str = "match/remoteRef/remoteKey";
    let item = |tail: &'static str| Pointer::Item("/spec/data", index, tail);
    reach.known(format_args!("/spec/data/{index}"), entry, &["conversionStrategy", "match", "metadata"]);
    let matched = entry.get("match");
    reach.known(format_args!("/spec/data/{index}/match"), matched, &["remoteRef", "secretKey"]);
    let remote = matched.get("remoteRef");
    reach.known(format_args!("/spec/data/{index}/match/remoteRef"), remote, &["property", "remoteKey"]);
    match reach.text(|| item(TAIL), remote.get("remoteKey")) {
        Some(key) => push(reach, item(TAIL), key, targets),
        None => reach.faults.push((item(TAIL), "the remote path is missing".to_owned())),
    }
    push_metadata(reach, &format!("/spec/data/{index}/metadata"), entry.get("metadata"));
}

fn push(reach: &mut Reach, at: Pointer, key: &str, targets: &[Source]) {
    let access =
        |source: &Source| Access { at: at.clone(), source: source.clone(), how: How::Write, key: key.into() };
    reach.accesses.extend(targets.iter().map(access));
}

/// `dataTo`: all keys at once. Without a `remoteKey` each key becomes a remote secret of its own, whose name nobody sees here.
fn push_all(reach: &mut Reach, index: u32, entry: &Json<'_>, targets: &[Source]) {
    let at = format!("/spec/dataTo/{index}");
    let known = ["conversionStrategy", "match", "metadata", "remoteKey", "rewrite", "storeRef"];
    reach.known(&at, entry, &known);
    let reference = entry.get("storeRef");
    let own = match reference.get("labelSelector").is_null() {
        true => store(reach, &|| format!("{at}/storeRef"), reference),
        false => Some(selected(reach, &format!("{at}/storeRef"), reference)),
    };
    let own: Vec<Source> = own.into_iter().collect();
    let targets = if reference.is_null() { targets } else { &own };
    match reach.text(|| Pointer::Item("/spec/dataTo", index, "remoteKey"), entry.get("remoteKey")) {
        Some(key) if !key.is_empty() => {
            push(reach, Pointer::Item("/spec/dataTo", index, "remoteKey"), key, targets);
        }
        _ => reach.fault(
            &at,
            "each key would be written under a name of its own, which does not stand here; write remoteKey, or list the keys \
             in spec.data",
        ),
    }
    push_metadata(reach, &format!("{at}/metadata"), entry.get("metadata"));
}

/// A resource policy lets other accounts read what is written. The provider reads its metadata in any case of letters.
fn push_metadata(reach: &mut Reach, at: &str, metadata: &Json<'_>) {
    for (key, value) in metadata.fields() {
        if key.eq_ignore_ascii_case("resourcePolicy") && !value.is_null() {
            reach.fault(at, "resourcePolicy can open the secret to other accounts; leave it out");
        }
        if key.eq_ignore_ascii_case("replicationLocations") {
            replicas(reach, &format!("{at}/{}", escape(key)), value);
        }
        push_metadata(reach, at, value);
    }
}

/// Regions that get a copy of what is written, each as a text or in a field of its own.
fn replicas(reach: &mut Reach, at: &str, locations: &Json<'_>) {
    for (index, location) in reach.list(at, locations).iter().enumerate() {
        let at = format!("{at}/{index}");
        let mut fields = location.fields().iter().filter(|(key, _)| key.eq_ignore_ascii_case("region"));
        let region = location.text().or_else(|| fields.next().and_then(|(_, region)| region.text()));
        match region.filter(|_| fields.next().is_none()) {
            Some(region) => reach.identities.push((Pointer::to(at), Identity::Region, region.into())),
            None => {
                reach.fault(&at, "which region gets a copy cannot be read here; write region: NAME, once")
            }
        }
    }
}

fn push_selector(reach: &mut Reach, selector: &Json<'_>) {
    reach.known("/spec/selector", selector, &["generatorRef", "secret"]);
    let generator = selector.get("generatorRef");
    if !generator.is_null() {
        secret_store::generator(reach, "/spec/selector/generatorRef", generator);
    }
    let secret = selector.get("secret");
    reach.known("/spec/selector/secret", secret, &["name", "selector"]);
    let at = || Pointer::to("/spec/selector/secret/name");
    match reach.text(at, secret.get("name")) {
        Some(name) if !name.is_empty() && secret.get("selector").is_null() => {
            reach.secrets.push((at(), name.into()));
        }
        _ if secret.is_null() => {}
        _ => reach.doubt(
            "/spec/selector/secret",
            "which Secrets a selector chooses, their labels say later; name the Secret",
        ),
    }
}
