//! AWS Secrets Manager. The only file that names an AWS crate.
//!
//! Credentials are the SDK's own chain (IRSA, Pod Identity, profiles, environment), endpoints its standard variables. What is
//! asked for are names, never ARNs, so a secret of another account is not reached. The SDK tries again by itself, with
//! exponential backoff and full jitter, and every call ends within [`Pace::whole`]. It holds copies of values that are not
//! ours to overwrite.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{self, BehaviorVersion, Region};
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::primitives::{Blob, DateTime};
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SecretListEntry, SecretValueEntry};
use aws_smithy_http_client::{Builder, tls};
use jiff::Timestamp;

use super::{Batch, Fetched, Listed, ManagerError, Retry, SecretValue};
use crate::policy::message::printable;
use crate::policy::path::{MAX_PATH_BYTES, SecretPath};

mod code;

use code::{Asked, by_code};

/// Most secrets that one BatchGetSecretValue takes.
const BATCH: usize = 20;
/// Most secrets on one page of ListSecrets.
const PAGE: i32 = 100;
/// Most pages of one list: all secrets that an account may have, twice.
const PAGES: usize = 10_000;
/// What marks the version that is read.
const CURRENT: &str = "AWSCURRENT";
/// What to do where nothing has any.
const NO_CREDENTIALS: &str = "no AWS credentials found: set AWS_PROFILE to a profile that has some, or AWS_ACCESS_KEY_ID and \
                              AWS_SECRET_ACCESS_KEY; a pod gets them from IRSA or Pod Identity";
/// What to do with a profile that the SDK takes for a mistake: those that run or ask another program are left out of the build.
const EXPORT: &str = "if the profile is one of SSO or has a credential_process, export what it gives: eval \"$(aws configure \
                      export-credentials --profile NAME --format env)\"";
/// Longest text of an error of the client that is repeated.
const MAX_CAUSE: usize = 300;

/// With which region and role a scope is read. Without one it is what the SDK's chain says. Equal settings are served by one
/// [`Aws`]: its connections and credentials are its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Settings {
    /// The region of the secrets.
    pub region: Option<String>,
    /// The ARN of a role to assume, with the credentials of the chain.
    pub role: Option<String>,
}

/// How patient a call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Tries of one call, the first one included.
    pub tries: u32,
    /// Longest wait after the first failure; each further one doubles it, and chance takes any part of it away.
    pub first: Duration,
    /// Longest wait.
    pub longest: Duration,
    /// How long one try may take.
    pub answer: Duration,
    /// How long one call may take, with all that is tried again.
    pub whole: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            tries: 4,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            whole: Duration::from_secs(60),
        }
    }
}

/// A client of one region, with one role.
pub struct Aws {
    client: Client,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Aws")
    }
}

impl Aws {
    /// Finds region and credentials. Nothing is asked of the secret manager yet.
    pub async fn connect(settings: &Settings, pace: &Pace) -> Result<Self, ManagerError> {
        // The SDK's own choice would be a second crypto provider.
        let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let retry = RetryConfig::standard()
            .with_max_attempts(pace.tries)
            .with_initial_backoff(pace.first)
            .with_max_backoff(pace.longest);
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(pace.answer)
            .operation_attempt_timeout(pace.answer)
            .operation_timeout(pace.whole)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(Builder::new().tls_provider(ring).build_https())
            .retry_config(retry)
            .timeout_config(timeouts);
        if let Some(region) = &settings.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let base = loader.load().await;
        if base.region().is_none() {
            let message = "no region is configured; set one, or AWS_REGION".to_owned();
            return Err(ManagerError::Invalid(message));
        }
        let mut config = config::Builder::from(&base);
        if let Some(role) = &settings.role {
            config = config.credentials_provider(assume(role, &base).await);
        }
        Ok(Self { client: Client::from_conf(config.build()) })
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Listed>, ManagerError> {
        if prefix.len() >= MAX_PATH_BYTES {
            // No name is long enough to lie below it, and no filter may be.
            return Ok(Vec::new());
        }
        // A filter that begins with `!` would name everything else; a scope never does.
        let filter = Filter::builder().key(FilterNameStringType::Name).values(prefix).build();
        let (mut listed, mut token) = (Vec::new(), None);
        for _ in 0..PAGES {
            let request = self.client.list_secrets().filters(filter.clone()).max_results(PAGE);
            let page = request.include_planned_deletion(true).set_next_token(token.clone()).send().await;
            let page = page.map_err(|error| failure(&error, &Asked::List))?;
            listed.extend(page.secret_list.unwrap_or_default().into_iter().filter_map(entry));
            // A page may be empty and not be the last one.
            match page.next_token.filter(|next| !next.is_empty()) {
                None => return Ok(listed),
                same if same == token => break,
                next => token = next,
            }
        }
        Err(ManagerError::Invalid("the pages of a list do not end".to_owned()))
    }

    /// Twenty at a time. A batch that is refused as a whole is halved until it is known which secret it is refused for, so
    /// that one harms no other. When the manager is not there any more, what it had said before still counts.
    pub(super) async fn fetch(&self, paths: &[String]) -> Result<Batch, ManagerError> {
        let mut batch = Batch::new();
        // The last of them is asked for next.
        let mut open: Vec<&[String]> = paths.chunks(BATCH).rev().collect();
        while let Some(chunk) = open.pop() {
            let error = match self.fetch_chunk(chunk, &mut batch).await {
                Ok(()) => continue,
                Err(error) => error,
            };
            let may_be_for_one = match error.retry() {
                // A right that the call itself takes is missing for all of them.
                Retry::NextRefresh => !matches!(error, ManagerError::Denied(_)),
                Retry::Later => false,
            };
            if may_be_for_one && chunk.len() > 1 {
                let (first, second) = chunk.split_at(chunk.len() / 2);
                open.extend([second, first]);
                continue;
            }
            let rest = match chunk.len() {
                1 if error.retry() == Retry::NextRefresh => Vec::new(),
                _ if batch.is_empty() => return Err(error),
                _ => std::mem::take(&mut open),
            };
            let refused = chunk.iter().chain(rest.into_iter().flatten());
            batch.extend(refused.map(|path| (path.clone(), Err(error.clone()))));
        }
        Ok(batch)
    }

    /// Adds a result for each path of the chunk, or none at all.
    async fn fetch_chunk(&self, chunk: &[String], batch: &mut Batch) -> Result<(), ManagerError> {
        let mut missing: BTreeSet<&str> = chunk.iter().map(String::as_str).collect();
        let (mut found, mut token) = (Batch::new(), None);
        // An answer may hold a part, or nothing, and a token for the rest.
        for _ in 0..=2 * BATCH {
            let request = self.client.batch_get_secret_value().set_secret_id_list(Some(chunk.to_vec()));
            let answer = request.set_next_token(token.take()).send().await;
            let answer = answer.map_err(|error| failure(&error, &Asked::Batch(chunk)))?;
            for value in answer.secret_values.unwrap_or_default() {
                let Some(path) = value.name.clone().filter(|name| missing.remove(name.as_str())) else {
                    continue;
                };
                found.push((path, fetched(value)));
            }
            for error in answer.errors.unwrap_or_default() {
                let Some(path) = error.secret_id.filter(|path| missing.remove(path.as_str())) else {
                    continue;
                };
                let code = error.error_code.as_deref();
                let error = by_code(code, None, error.message.as_deref(), &Asked::Secret(&path));
                found.push((path, Err(error)));
            }
            token = answer.next_token.filter(|next| !next.is_empty());
            if token.is_none() || missing.is_empty() {
                let missing = missing.into_iter().map(str::to_owned);
                found.extend(missing.map(|path| (path.clone(), Err(ManagerError::NotFound(path)))));
                batch.append(&mut found);
                return Ok(());
            }
        }
        Err(ManagerError::Unavailable("the parts of an answer do not end".to_owned()))
    }

    /// Each of the calls carries a token of the SDK's that makes it happen once, however often it is tried.
    pub(super) async fn store(
        &self,
        path: &SecretPath<'_>,
        value: &SecretValue,
    ) -> Result<String, ManagerError> {
        match self.put(path, value).await {
            Err(ManagerError::NotFound(_)) => {}
            other => return other,
        }
        let (text, binary) = parts(value);
        let create = self.client.create_secret().name(path.as_str());
        match create.set_secret_string(text).set_secret_binary(binary).send().await {
            Ok(made) => version(made.version_id),
            // Somebody made it in the meantime.
            Err(SdkError::ServiceError(error)) if error.err().is_resource_exists_exception() => {
                self.put(path, value).await
            }
            Err(error) => Err(failure(&error, &Asked::Create(path.as_str()))),
        }
    }

    async fn put(&self, path: &SecretPath<'_>, value: &SecretValue) -> Result<String, ManagerError> {
        let (text, binary) = parts(value);
        let put = self.client.put_secret_value().secret_id(path.as_str());
        let put = put.set_secret_string(text).set_secret_binary(binary).send().await;
        version(put.map_err(|error| failure(&error, &Asked::Put(path.as_str())))?.version_id)
    }
}

async fn assume(role: &str, base: &SdkConfig) -> AssumeRoleProvider {
    AssumeRoleProvider::builder(role).session_name("refgate-sync").configure(base).build().await
}

/// Text where it is text, as people and consoles expect it.
fn parts(value: &SecretValue) -> (Option<String>, Option<Blob>) {
    match std::str::from_utf8(value.expose()) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(Blob::new(value.expose()))),
    }
}

fn version(id: Option<String>) -> Result<String, ManagerError> {
    id.ok_or_else(|| ManagerError::Invalid("what was stored has no version".to_owned()))
}

fn time(time: DateTime) -> Option<Timestamp> {
    Timestamp::new(time.secs(), time.subsec_nanos().try_into().ok()?).ok()
}

fn entry(entry: SecretListEntry) -> Option<Listed> {
    let versions = entry.secret_versions_to_stages.unwrap_or_default().into_iter();
    let mut current = versions.filter(|(_, stages)| stages.iter().any(|stage| stage == CURRENT));
    let tags = entry.tags.unwrap_or_default().into_iter();
    Some(Listed {
        path: entry.name?,
        version: current.next().map(|(version, _)| version),
        changed: entry.last_changed_date.and_then(time),
        deleted: entry.deleted_date.and_then(time),
        tags: tags
            .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
            .collect::<BTreeMap<_, _>>(),
    })
}

fn fetched(entry: SecretValueEntry) -> Result<Fetched, ManagerError> {
    let (value, is_text) = match (entry.secret_string, entry.secret_binary) {
        (Some(text), _) => (text.into_bytes(), true),
        (None, Some(blob)) => (blob.into_inner(), false),
        (None, None) => return Err(ManagerError::NotFound(entry.name.unwrap_or_default())),
    };
    let value = SecretValue::new(value);
    let created = entry.created_date.and_then(time);
    Ok(Fetched { version: version(entry.version_id)?, created, value, is_text })
}

/// What became of a call. The service's own message is not repeated: whoever answers for it could quote what it was sent.
fn failure<E>(error: &SdkError<E>, asked: &Asked<'_>) -> ManagerError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let meta = answer.err().meta();
            by_code(meta.code(), Some(answer.raw().status().as_u16()), meta.message(), asked)
        }
        SdkError::TimeoutError(_) => ManagerError::Unavailable("no answer in time".to_owned()),
        SdkError::ResponseError(_) => ManagerError::Unavailable("its answer broke off".to_owned()),
        SdkError::DispatchFailure(failure) => {
            unsent(failure.as_connector_error().map(|error| error as &(dyn Error + 'static)))
        }
        SdkError::ConstructionFailure(_) => ManagerError::Invalid("the call cannot be made".to_owned()),
        // The SDK may come to know more.
        _ => ManagerError::Unavailable("the call failed".to_owned()),
    }
}

/// What keeps a call from being sent: no connection, or no credentials. The causes are the client's own words.
fn unsent(error: Option<&(dyn Error + 'static)>) -> ManagerError {
    let mut cause = error;
    while let Some(at) = cause {
        match at.downcast_ref::<CredentialsError>() {
            Some(CredentialsError::CredentialsNotLoaded(_)) => {
                return ManagerError::Credentials(NO_CREDENTIALS.to_owned());
            }
            Some(other) => {
                let mut why = causes(Some(other));
                if matches!(other, CredentialsError::InvalidConfiguration(_)) {
                    why = format!("{}; {EXPORT}", why.trim_end_matches(['.', ' ']));
                }
                return ManagerError::Credentials(format!("the AWS credentials cannot be had: {why}"));
            }
            None => cause = at.source(),
        }
    }
    ManagerError::Unavailable(causes(error))
}

fn causes(mut error: Option<&(dyn Error + 'static)>) -> String {
    let mut text = String::new();
    while let Some(cause) = error {
        let said = cause.to_string();
        // What follows lists each place that was searched for credentials.
        let said = said.lines().next().unwrap_or_default();
        if !text.contains(said) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&printable(said));
        }
        error = cause.source();
    }
    text.chars().take(MAX_CAUSE).collect()
}
