//! 1Password operator: OnePasswordItems, which name a vault and an item.
//!
//! Source: 1Password/onepassword-operator `api/v1`.

use std::sync::Arc;

use super::doc::Doc;
use super::place::{Place, System};
use super::reach::{Fill, How, Pointer, Reach};
use super::{Carrier, Foreign, Handling, Kind};

/// The carrier.
pub const CARRIER: Carrier = Carrier {
    id: "1password",
    title: "1Password operator and injector",
    kinds: &[Kind {
        group: "onepassword.com",
        versions: &["v1"],
        kind: "OnePasswordItem",
        resource: "onepassworditems",
        cluster_scoped: false,
        handling: Handling::Judged { read, watched: true },
    }],
    doc: Doc {
        summary: "items of vaults; a row of `carriers.mappings` gives a vault to a scope",
        fields: &[
            ("OnePasswordItem spec.itemPath", "read: `vaults/VAULT/items/ITEM`"),
            ("env op://VAULT/ITEM/FIELD", "read"),
            (
                "annotation `operator.1password.io/item-path` of a workload or its template",
                "read: `vaults/VAULT/items/ITEM`",
            ),
            (
                "annotation `operator.1password.io/item-name` of a workload or its template",
                "the Secret that is filled; it is never one that RefGate syncs",
            ),
        ],
        enforced: &["The vault is one that `carriers.mappings` gives to the namespace's scope."],
        undecidable: &[
            "Which vault a title means: 1Password finds it. Write the vault in the row as objects write it, by id or by title.",
            "What a Secret holds that a workload of before the binding has filled by its annotations: RefGate judges the workload when it changes, and \
             `refgate scan` lists it.",
        ],
        beside: "A service account of 1Password with read access to the vaults of this cluster only.",
    },
};

fn read(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec", "type"]);
    reach.copiers("/metadata/annotations", object.json.get("metadata").get("annotations"));
    let spec = object.json.get("spec");
    reach.known("/spec", spec, &["itemPath"]);
    let at = || Pointer::to("/spec/itemPath");
    let path = reach.text(at, spec.get("itemPath")).unwrap_or_default();
    let parts: Vec<&str> = path.splitn(5, '/').collect();
    let ["vaults", vault, "items", item] = parts[..] else {
        reach.fault("/spec/itemPath", "it must be vaults/VAULT/items/ITEM");
        return reach;
    };
    let place = Arc::new(Place::new(System::OnePassword, vault));
    let access = reach.access(at(), &place, How::Read, item);
    (reach.target, reach.target_at) = (Some(object.name().into()), "/metadata/name");
    reach.fill(Fill::each(access));
    reach
}
