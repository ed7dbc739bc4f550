//! A list, page by page: no more than one page is held, and who reads it says what is kept of it.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::AsyncBufReadExt as _;
use kube::Client;
use kube::core::params::{GetParams, ListParams};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ClusterError, Source, chain, client};

/// Objects in one page.
const PAGE: u32 = 500;
/// Bytes of a page. Objects may have a megabyte and more each, and whoever may make them would say how much memory a
/// page takes: one that is larger is asked for again, with fewer objects.
const PAGE_BYTES: usize = 32 << 20;
/// How many times fewer.
const FEWER: u32 = 8;
/// How long an answer may take: the API server itself gives a request a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// Why a page did not come.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// What the list was begun with is forgotten. `token` goes on behind the last page all the same, with what is there
    /// now; without one the list can only be begun anew.
    #[error("its pages expire faster than they are read")]
    Expired {
        /// From the API server, with the failure.
        token: Option<String>,
    },
    /// A right is missing; the API server's sentence names it.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such resource.
    #[error("the API server does not know it")]
    NotThere,
    /// Another answer of the API server than the list: it is there, and cannot give it.
    #[error("{0}")]
    Refused(String),
    /// Anything else: there was no answer, or none that can be read.
    #[error("{0}")]
    Failed(String),
}

impl From<kube::Error> for ListError {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::Failed(chain(&error)) };
        match status.code {
            410 => Self::Expired {
                token: status
                    .metadata
                    .and_then(|metadata| metadata.continue_)
                    .filter(|token| !token.is_empty()),
            },
            403 => Self::Forbidden(status.message),
            404 => Self::NotThere,
            code => Self::Refused(format!("the API server says {code}: {}", status.message)),
        }
    }
}

/// Reads lists of a cluster, once.
pub struct Reader {
    client: Client,
}

impl Reader {
    /// By a kubeconfig or a context, or by the service account of the pod that this is.
    pub async fn connect(kubeconfig: Option<PathBuf>, context: Option<String>) -> Result<Self, ClusterError> {
        Ok(Self { client: client(kubeconfig, context).await? })
    }

    /// With a client that is there.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The pages of a list.
    pub fn list(&self, source: &Source) -> Pages {
        Pages::new(self.client.clone(), source, PATIENCE)
    }

    /// The text of one object.
    pub async fn get(&self, path: &str, name: &str) -> Result<String, ListError> {
        let request = kube::core::Request::new(path).get(name, &GetParams::default());
        let request = request.map_err(|error| ListError::Failed(error.to_string()))?;
        let answer = tokio::time::timeout(PATIENCE, self.client.request_text(request)).await;
        Ok(answer.map_err(|_| ListError::Failed("it took too long".to_owned()))??)
    }

    /// The versions that an API group is served in, the preferred one first. The core group has no name, and one version.
    pub async fn versions(&self, group: &str) -> Result<Vec<String>, ListError> {
        if group.is_empty() {
            return Ok(vec!["v1".to_owned()]);
        }
        let request = kube::core::Request::new("/apis").get(group, &GetParams::default());
        let request = request.map_err(|error| ListError::Failed(error.to_string()))?;
        let answer = tokio::time::timeout(PATIENCE, self.client.request_text(request)).await;
        let text = answer.map_err(|_| ListError::Failed("it took too long".to_owned()))??;
        let group: Group = serde_json::from_str(&text)
            .map_err(|error| ListError::Failed(format!("its API group cannot be read: {error}")))?;
        let mut versions: Vec<String> = group.versions.into_iter().map(|entry| entry.version).collect();
        // Stable, so that the others stay in the server's order.
        versions.sort_by_key(|version| *version != group.preferred_version.version);
        Ok(versions)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    versions: Vec<Version>,
    preferred_version: Version,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// A list that is being read.
pub struct Pages {
    client: Client,
    path: String,
    params: ListParams,
    /// Whether the objects themselves are left out.
    metadata_only: bool,
    patience: Duration,
    version: String,
    /// The text of the page that is read. It is filled anew each time, so that a hundred pages take no more room than one.
    text: Vec<u8>,
}

#[derive(Deserialize)]
struct Page<'a> {
    metadata: Metadata,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default, rename = "continue")]
    continue_token: String,
}

impl Pages {
    pub(super) fn new(client: Client, source: &Source, patience: Duration) -> Self {
        let mut params = ListParams { label_selector: source.labels.clone(), ..ListParams::default() };
        params.limit = Some(PAGE);
        Self {
            client,
            path: source.path.clone(),
            params,
            metadata_only: false,
            patience,
            version: String::new(),
            text: Vec::new(),
        }
    }

    /// The object of this name alone. Whoever has the right for this name alone may ask for such a list too.
    pub fn named(mut self, name: &str) -> Self {
        self.params.field_selector = Some(format!("metadata.name={name}"));
        self
    }

    /// Of each object its metadata alone, so that no value of a Secret is ever sent here.
    pub fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
        self
    }

    /// Reads a page and hands on its objects; says whether there is another one.
    pub async fn next(&mut self, each: impl FnMut(&RawValue)) -> Result<bool, ListError> {
        while !tokio::time::timeout(self.patience, self.fetch())
            .await
            .map_err(|_| ListError::Failed("a list took too long".to_owned()))??
        {
            self.params.limit = self.params.limit.map(|limit| (limit / FEWER).max(1));
        }
        let page: Page<'_> = serde_json::from_slice(&self.text)
            .map_err(|error| ListError::Failed(format!("a list cannot be read: {error}")))?;
        page.items.into_iter().flatten().for_each(each);
        let Metadata { resource_version, continue_token: token } = page.metadata;
        self.version = resource_version;
        self.go_on(Some(token).filter(|token| !token.is_empty()));
        Ok(self.params.continue_token.is_some())
    }

    /// Reads the text of a page. Says whether it did: not where fewer objects would make a smaller one.
    async fn fetch(&mut self) -> Result<bool, ListError> {
        let request = kube::core::Request::new(&self.path);
        let request = match self.metadata_only {
            true => request.list_metadata(&self.params),
            false => request.list(&self.params),
        };
        let request = request.map_err(|error| ListError::Failed(error.to_string()))?;
        let mut stream = Box::pin(self.client.request_stream(request).await?);
        self.text.clear();
        loop {
            let piece = stream.fill_buf().await.map_err(|error| ListError::Failed(chain(&error)))?;
            let taken = piece.len();
            if taken == 0 {
                return Ok(true);
            }
            if self.text.len() + taken > PAGE_BYTES && self.params.limit > Some(1) {
                return Ok(false);
            }
            self.text.extend_from_slice(piece);
            stream.consume_unpin(taken);
        }
    }

    /// Goes on behind what a token stands for, or begins anew.
    pub fn go_on(&mut self, token: Option<String>) {
        self.params.continue_token = token;
    }

    /// The version of the last page.
    pub fn version(&self) -> &str {
        &self.version
    }
}
