//! What a pass reads of the API server: the catalogues, and the Secrets of a namespace that claim to be ours.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::plan::{Content, Leaving};
use super::secret::{Claim, Held, MANAGED_BY, claim};
use crate::cluster::Source;
use crate::cluster::list::{ListError, Reader};
use crate::world::{CATALOGUE_LABEL, CATALOGUE_PREFIX};

/// What a catalogue says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its data.
    pub content: Content,
    /// Secrets that leave.
    pub leaving: BTreeMap<String, Leaving>,
    /// Further names of the scope.
    pub known: Vec<String>,
    /// Kinds that the sync may not read.
    pub unread: Vec<String>,
    /// Prefixes that the manager does not list, and why.
    pub unlisted: BTreeMap<String, String>,
    /// Paths that are not as they should be, and why.
    pub refused: BTreeMap<String, String>,
}

impl Stored {
    /// Of its data.
    pub fn new(content: Content) -> Self {
        // What does not read says nothing: then what leaves has its whole time again.
        let leaving = serde_json::from_str(&content.leaving).unwrap_or_default();
        let known = serde_json::from_str(&content.known).unwrap_or_default();
        let unread = serde_json::from_str(&content.unread).unwrap_or_default();
        let unlisted = serde_json::from_str(&content.unlisted).unwrap_or_default();
        let refused = serde_json::from_str(&content.refused).unwrap_or_default();
        Self { content, leaving, known, unread, unlisted, refused }
    }
}

/// All catalogues, by the namespace that they speak of.
pub async fn catalogues(reader: &Reader, own_namespace: &str) -> Result<BTreeMap<String, Stored>, ListError> {
    let source = Source {
        path: format!("/api/v1/namespaces/{}/configmaps", own_namespace),
        labels: Some(format!("{CATALOGUE_LABEL}=true")),
    };
    let mut found = BTreeMap::new();
    each(reader, &source, |raw| {
        found.extend(serde_json::from_str(raw).ok().and_then(stored));
    })
    .await?;
    Ok(found)
}

/// What a ConfigMap says of which namespace; `None` where it is no catalogue.
pub(super) fn stored(map: ConfigMap) -> Option<(String, Stored)> {
    let name = map.metadata.name?;
    let namespace = name.strip_prefix(CATALOGUE_PREFIX)?;
    let mut data = map.data.unwrap_or_default();
    let mut text = |key: &str| data.remove(key).unwrap_or_default();
    let (catalogue, known, leaving) = (text("catalogue"), text("known"), text("leaving"));
    let (unread, unlisted, refused) = (text("unread"), text("unlisted"), text("refused"));
    let content = Content { catalogue, known, leaving, unread, unlisted, refused };
    Some((namespace.to_owned(), Stored::new(content)))
}

/// The Secrets of a namespace that claim to be ours, and the names of those that never were.
pub async fn held(reader: &Reader, namespace: &str) -> Result<(Vec<Held>, Vec<String>), ListError> {
    let (label, value) = MANAGED_BY;
    let source = Source {
        path: format!("/api/v1/namespaces/{namespace}/secrets"),
        labels: Some(format!("{label}={value}")),
    };
    let (mut held, mut forged, mut unread) = (Vec::new(), Vec::new(), false);
    each(reader, &source, |raw| match claim(raw) {
        Some(Claim::Ours(one)) => held.push(*one),
        Some(Claim::Forged(name)) => forged.push(name),
        None => unread = true,
    })
    .await?;
    if unread {
        return Err(ListError::Failed("one of its Secrets cannot be read".to_owned()));
    }
    Ok((held, forged))
}

/// Reads a whole list; one whose pages expire is not read at all, and is read the next time.
async fn each(reader: &Reader, source: &Source, mut take: impl FnMut(&str)) -> Result<(), ListError> {
    let mut pages = reader.list(source);
    while pages.next(|raw| take(raw.get())).await? {}
    Ok(())
}
