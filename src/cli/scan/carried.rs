//! Objects of other sync systems in a cluster: the stores and their readers as a part of the world, and each object judged as
//! if it were made now.

use super::*;
use crate::policy::carriers::{self, Handling, Known};

/// The versions that each group of a carrier is served in; none where the cluster does not have it.
pub(super) type Served = HashMap<&'static str, Vec<String>>;

/// Reads the kinds that others are judged by, as `serve` watches them.
pub(super) async fn read(reader: &Reader, world: &mut World, tally: &mut Tally) -> Served {
    let mut served = Served::new();
    for group in carriers::groups() {
        let versions = match reader.versions(group).await {
            Ok(versions) => versions,
            Err(ListError::NotThere) => Vec::new(),
            Err(error) => {
                tally.problem(format!("API group {group} cannot be looked up: {error}"));
                Vec::new()
            }
        };
        served.insert(group, versions);
    }
    for (_, kind) in carriers::kinds().filter(|(_, kind)| kind.is_watched()) {
        let known = |version: &&&str| served[kind.group].iter().any(|served| served == **version);
        let Some(version) = kind.versions.iter().find(known) else { continue };
        let path = format!("/apis/{}/{version}/{}", kind.group, kind.resource);
        let pages = reader.list(&Source { path, labels: None });
        let read = every(pages, tally, kind.kind, |raw| {
            Some(world::carried(kind, raw).map(|part| {
                world.hold(part.namespace, Arc::new(part.value));
                part.problems
            }))
        });
        match read.await {
            Ok(()) | Err(ListError::NotThere) => {}
            Err(error) => tally.problem(format!("{} cannot be listed: {error}", kind.resource)),
        }
    }
    served
}

/// Whether a kind is of a carrier, and of the whole cluster.
pub(super) fn is_of_cluster(kind: &Kind) -> bool {
    let known = carriers::known(&kind.group, &kind.kind);
    matches!(known, Some(Known::Kind(_, kind)) if kind.cluster_scoped)
}

impl Scan {
    /// All objects of all carriers. Who asks for some namespaces hears nothing of what is of the whole cluster.
    pub(super) async fn carried(&mut self, served: &Served) {
        let everywhere = self.places.iter().all(Option::is_none);
        for (_, row) in carriers::kinds() {
            let is_judged = !matches!(row.handling, Handling::Harmless);
            if !is_judged || (row.cluster_scoped && !everywhere) {
                continue;
            }
            let kind = judge::workload_of(row.group, row.kind, row.resource);
            for version in served.get(row.group).into_iter().flatten() {
                if self.everywhere(&kind, version).await {
                    break;
                }
            }
        }
    }
}
