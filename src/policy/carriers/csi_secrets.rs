//! What of a class's files goes into Secrets: by `secretObjects` of the class itself, and by SecretSync.

use super::Foreign;
use super::csi::Mounted;
use super::json::Json;
use super::reach::{Fill, Pointer, Reach, by_name};

/// Secrets that the driver makes while a pod mounts the class.
pub(super) fn secret_objects(reach: &mut Reach, objects: &Json<'_>, names: &[Mounted]) {
    let base = "/spec/secretObjects";
    let files = by_name(names.iter().map(|(name, fill)| (&**name, fill)));
    for (index, object) in reach.list(base, objects).iter().enumerate() {
        let at = format!("{base}/{index}");
        reach.known(&at, object, &["annotations", "data", "labels", "secretName", "type"]);
        reach.copiers(&format!("{at}/annotations"), object.get("annotations"));
        reach.texts(&format!("{at}/annotations"), object.get("annotations"));
        reach.labels(&format!("{at}/labels"), object.get("labels"));
        let name = reach.secret_name(|| Pointer::to(format!("{at}/secretName")), object.get("secretName"));
        let Some(secret) = name else { continue };
        for (index, entry) in reach.list(&format!("{at}/data"), object.get("data")).iter().enumerate() {
            reach.known(format_args!("{at}/data/{index}"), entry, &["key", "objectName"]);
            let (Some(name), Some(key)) = (entry.get("objectName").text(), entry.get("key").text()) else {
                continue;
            };
            // Which of two files of one name is there, nobody can say.
            let fill = match files.get(name) {
                Some(Some(fill)) => Fill { key: Some(key.into()), ..(*fill).clone() },
                _ => Fill::other(Some(key)),
            };
            reach.fill(fill.of(secret));
        }
    }
}

/// A SecretSync: one Secret of its own name, from the files of a class.
pub(super) fn secret_sync(object: &Foreign<'_>) -> Reach {
    let mut reach = Reach::default();
    reach.known("", &object.json, &["apiVersion", "kind", "metadata", "spec"]);
    let spec = object.json.get("spec");
    let known = [
        "forceSynchronization",
        "secretObject",
        "secretProviderClassName",
        "secretSyncControllerName",
        "serviceAccountName",
    ];
    reach.known("/spec", spec, &known);
    let at = || Pointer::to("/spec/secretProviderClassName");
    match reach.text(at, spec.get("secretProviderClassName")) {
        Some(name) => reach.classes.push((at(), name.into())),
        None => reach.faults.push((at(), "the class is missing".to_owned())),
    }
    // The controller makes one Secret, of the object's own name.
    (reach.target, reach.target_at) = (Some(object.name().into()), "/metadata/name");
    let secret = spec.get("secretObject");
    reach.known("/spec/secretObject", secret, &["annotations", "data", "labels", "type"]);
    let data = "/spec/secretObject/data";
    for (index, entry) in reach.list(data, secret.get("data")).iter().enumerate() {
        reach.known(format_args!("{data}/{index}"), entry, &["sourcePath", "targetKey"]);
        // Which path it is of, the class says of the file: `Held::joined`.
        let file = entry.get("sourcePath").text().map(Into::into);
        reach.fill(Fill { property: file, ..Fill::other(entry.get("targetKey").text()) });
    }
    reach.copiers("/spec/secretObject/annotations", secret.get("annotations"));
    reach.texts("/spec/secretObject/annotations", secret.get("annotations"));
    reach.labels("/spec/secretObject/labels", secret.get("labels"));
    if reach.fills.is_empty() {
        reach.fill(Fill::other(None));
    }
    reach
}
