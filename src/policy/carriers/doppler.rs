//! Doppler operator: DopplerSecrets, which name a project, a config, and a namespace to fill.
//!
//! Source: DopplerHQ/kubernetes-operator `api/v1alpha1`.

use std::sync::Arc;

use super::doc::Doc;
use super::place::{Place, System};
use super::reach::{Fill, How, Pointer, Reach};
use super::{Carrier, Foreign, Handling, Kind};

/// The server of Doppler itself.
const HOST: &str = "https://api.doppler.com";

/// The carrier.
pub const CARRIER: Carrier = Carrier {
    id: "doppler",
    title: "Doppler operator",
    kinds: &[Kind {
        group: "secrets.doppler.com",
        versions: &["v1alpha1"],
        kind: "DopplerSecret",
        resource: "dopplersecrets",
        cluster_scoped: false,
        handling: Handling::Judged { read, watched: true },
    }],
    doc: Doc {
        summary: "a project and its config; a row of `carriers.mappings` gives them to a scope",
        fields: &[
            (
                "DopplerSecret spec.project, spec.config, spec.secrets[]",
                "read; all of them without `secrets`",
            ),
            (
                "spec.tokenSecret, spec.managedSecret",
                "the Secret with the token, and the one that is filled: each with a namespace",
            ),
        ],
        enforced: &[
            "Project and config are what `carriers.mappings` gives to the namespace's scope.",
            "Both Secrets are of the object's own namespace: nothing is filled or read elsewhere.",
            "No annotation of `managedSecret` has a replicator copy it, and none is RefGate's own.",
        ],
        undecidable: &["Without project and config the token says what is read: see `carriers.undecided`."],
        beside: "A service token of one config for each namespace.",
    },
};

/// What says which Secret; only the one that is filled has a type and metadata.
const SECRET: [&str; 5] = ["name", "namespace", "annotations", "labels", "type"];

fn read(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    let known = [
        "config",
        "excludeSecretsRegex",
        "format",
        "host",
        "managedSecret",
        "nameTransformer",
        "processors",
        "project",
        "resyncSeconds",
        "secrets",
        "tokenSecret",
        "verifyTLS",
    ];
    reach.known("/spec", spec, &known);
    // The API server writes the usual one where the object names none.
    if reach.text(|| Pointer::to("/spec/host"), spec.get("host")).is_some_and(|host| host != HOST) {
        reach.doubt(
            "/spec/host",
            "whose secrets another server than Doppler's gives cannot be said; leave it out",
        );
    }
    let own = object.json.get("metadata").get("namespace").text().unwrap_or_default();
    for (field, known) in [("tokenSecret", &SECRET[..2]), ("managedSecret", &SECRET[..])] {
        let at = format!("/spec/{field}");
        let secret = spec.get(field);
        reach.known(&at, secret, known);
        let namespace = reach.text(|| Pointer::to(format!("{at}/namespace")), secret.get("namespace"));
        if namespace.is_some_and(|namespace| !namespace.is_empty() && namespace != own) {
            reach.fault(
                &format!("{at}/namespace"),
                "this Secret is of another namespace; write this one, or leave it out",
            );
        }
        let name = reach.text(|| Pointer::to(format!("{at}/name")), secret.get("name"));
        // The other one it fills: what an older version of the object brought there is no reason to refuse the next.
        if let Some(name) = name.filter(|_| field == "tokenSecret") {
            reach.secrets.push((Pointer::to(format!("{at}/name")), name.into()));
        }
    }
    let managed = spec.get("managedSecret");
    for part in ["annotations", "labels"] {
        reach.texts(&format!("/spec/managedSecret/{part}"), managed.get(part));
    }
    reach.copiers("/spec/managedSecret/annotations", managed.get("annotations"));
    reach.labels("/spec/managedSecret/labels", managed.get("labels"));
    let is_here =
        managed.get("namespace").text().is_none_or(|namespace| namespace.is_empty() || namespace == own);
    let target = managed.get("name").text().filter(|name| is_here && !name.is_empty());
    (reach.target, reach.target_at) = (target.map(Into::into), "/spec/managedSecret/name");
    let (project, config) = (spec.get("project").text(), spec.get("config").text());
    let (Some(project), Some(config)) = (project, config) else {
        reach.doubt("/spec/project", "without project and config its token says what is read; write both");
        reach.fill(Fill::other(None));
        return reach;
    };
    let place = Arc::new(Place::new(System::Doppler, &format!("{project}/{config}")));
    let names = reach.list("/spec/secrets", spec.get("secrets"));
    // Then other keys are written than those that are listed.
    let is_changed =
        ["format", "nameTransformer", "processors"].into_iter().any(|field| !spec.get(field).is_null());
    for (index, name) in (0..).zip(names) {
        let at = Pointer::Item("/spec/secrets", index, "");
        let name = name.text().unwrap_or_default();
        let access = reach.access(at, &place, How::Read, name);
        reach.fill(Fill::key(name, access, None).unless(is_changed));
    }
    if names.is_empty() {
        reach.access(Pointer::to("/spec/config"), &place, How::Find, "");
    }
    if names.is_empty() || is_changed {
        reach.fill(Fill::other(None));
    }
    reach
}
