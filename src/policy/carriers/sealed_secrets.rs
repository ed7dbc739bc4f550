//! Sealed Secrets: no remote path, so what can be said is how widely it was sealed, and what is not sealed at all.
//!
//! Source: bitnami-labs/sealed-secrets `pkg/apis/sealedsecrets/v1alpha1`.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::doc::Doc;
use super::json::Json;
use super::reach::{Fill, Pointer, Reach};
use super::template::has_actions;
use super::{Carrier, Foreign, Handling, Kind};
use crate::policy::workload::json::escape;

/// The carrier.
pub const CARRIER: Carrier = Carrier {
    id: "sealed-secrets",
    title: "Sealed Secrets",
    kinds: &[Kind {
        group: "bitnami.com",
        versions: &["v1alpha1"],
        kind: "SealedSecret",
        resource: "sealedsecrets",
        cluster_scoped: false,
        handling: Handling::Judged { read, watched: true },
    }],
    doc: Doc {
        summary: "ciphertext that the cluster's key opens; it names no path, so RefGate holds it to its namespace, and an annotation can name one",
        fields: &[
            ("metadata.annotations", "the scope that it was sealed for"),
            (
                "metadata.annotations, `refgate.dev/paths`",
                "which of its keys holds which path: `database_url=database_url, smtp-password=smtp#password`",
            ),
            ("spec.encryptedData", "ciphertext, or what should be"),
            ("spec.template.data", "templates, or plaintext"),
        ],
        enforced: &[
            "It is sealed for its namespace: `sealedsecrets.bitnami.com/cluster-wide` is refused, since whoever has the text could open it anywhere.",
            "Values of `encryptedData` look like what kubeseal writes; others may be plaintext in base64.",
            "Plaintext in templates is judged like that of a ConfigMap, and no template goes into annotations or labels.",
        ],
        undecidable: &[
            "What is sealed: only the controller can open it. Prefer a reference to the secret manager, where rotation is possible.",
        ],
        beside: "Nobody but the controller may read Secrets with the label `sealedsecrets.bitnami.com/sealed-secrets-key`.",
    },
};

fn read(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &["data", "encryptedData", "template"]);
    if object.annotation("sealedsecrets.bitnami.com/cluster-wide") == Some("true") {
        reach.fault(
            "/metadata/annotations/sealedsecrets.bitnami.com~1cluster-wide",
            "it is sealed so that any namespace can open it; seal it for this one: kubeseal --scope strict",
        );
    }
    if !spec.get("data").is_null() {
        reach.doubt("/spec/data", "the old form holds a whole Secret in one piece; seal it anew");
    }
    reach.target = (!object.name().is_empty()).then(|| object.name().into());
    reach.target_at = "/metadata/name";
    let data = spec.get("template").get("data").fields();
    let made: HashSet<&str> = data.iter().map(|(key, _)| &**key).collect();
    data.iter().for_each(|(key, _)| reach.fill(Fill::other(Some(key))));
    for (key, value) in spec.get("encryptedData").fields() {
        // What the template has under a name goes before what is sealed.
        if !made.contains(&**key) {
            reach.fill(Fill::other(Some(key)));
        }
        let at = Pointer::to(format!("/spec/encryptedData/{}", escape(key)));
        if !value.text().is_some_and(is_ciphertext) {
            reach.faults.push((
                at,
                "this is not what kubeseal writes, so it may be plaintext; seal it: kubeseal --raw"
                    .to_owned(),
            ));
        }
    }
    template(&mut reach, spec.get("template"));
    reach
}

/// Lengths in bytes of keys that the certificate of a controller may have: 2048 bits and more.
const KEYS: std::ops::RangeInclusive<u16> = 256..=1024;

/// Whether a text begins as kubeseal's ciphertext does, with the length of what RSA has encrypted in two bytes: 512 for a key of
/// 4096 bits. No text that people write begins so.
fn is_ciphertext(text: &str) -> bool {
    let head = text.as_bytes().get(..4).and_then(|head| STANDARD.decode(head).ok());
    let length = head.and_then(|head| Some(u16::from_be_bytes([*head.first()?, *head.get(1)?])));
    length.is_some_and(|length| KEYS.contains(&length)) && text.len() > 64
}

fn template(reach: &mut Reach, template: &Json<'_>) {
    reach.known("/spec/template", template, &["data", "immutable", "metadata", "type"]);
    reach.texts("/spec/template/data", template.get("data"));
    let metadata = template.get("metadata");
    let known = ["annotations", "finalizers", "labels", "name", "namespace", "ownerReferences"];
    reach.known("/spec/template/metadata", metadata, &known);
    for part in ["annotations", "labels"] {
        let at = format!("/spec/template/metadata/{part}");
        for (key, value) in metadata.get(part).fields() {
            if value.text().is_some_and(has_actions) {
                reach.fault(
                    &format!("{at}/{}", escape(key)),
                    "a template writes into metadata, where whoever may list Secrets' metadata reads it; leave it out",
                );
            }
        }
        reach.texts(&at, metadata.get(part));
    }
    reach.copiers("/spec/template/metadata/annotations", metadata.get("annotations"));
    reach.labels("/spec/template/metadata/labels", metadata.get("labels"));
}
