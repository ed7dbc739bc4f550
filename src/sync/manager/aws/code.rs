//! What the service says went wrong, by its codes: a whole call's, or those of one secret of a batch.

use super::super::ManagerError;

/// What a call was for: an error names it.
pub(super) enum Asked<'a> {
    List,
    /// A whole batch.
    Batch(&'a [String]),
    /// One secret of a batch.
    Secret(&'a str),
    Put(&'a str),
    Create(&'a str),
}

impl Asked<'_> {
    /// The one secret that it was about; the first of several.
    pub(super) fn path(&self) -> String {
        match self {
            Self::List => String::new(),
            Self::Batch(paths) => paths.first().cloned().unwrap_or_default(),
            Self::Secret(path) | Self::Put(path) | Self::Create(path) => (*path).to_owned(),
        }
    }

    /// The right that it takes.
    pub(super) fn right(&self) -> String {
        match self {
            Self::List => "secretsmanager:ListSecrets on *".to_owned(),
            Self::Batch(_) => "secretsmanager:BatchGetSecretValue on *".to_owned(),
            Self::Secret(path) => format!("secretsmanager:GetSecretValue on {path}"),
            Self::Put(path) => format!("secretsmanager:PutSecretValue on {path}"),
            Self::Create(path) => format!("secretsmanager:CreateSecret on {path}"),
        }
    }
}

/// The codes of the service, whether a whole call failed or one secret of a batch.
pub(super) fn by_code(
    code: Option<&str>,
    status: Option<u16>,
    message: Option<&str>,
    asked: &Asked<'_>,
) -> ManagerError {
    match (code, status) {
        (Some("ResourceNotFoundException"), _) => ManagerError::NotFound(asked.path()),
        (Some("InvalidRequestException"), _) if is_deleted(message, asked) => {
            ManagerError::Deleted(asked.path())
        }
        (Some("AccessDeniedException" | "AccessDenied"), _) => ManagerError::Denied(asked.right()),
        // Of several one has such a key, and which one is found out.
        (Some("DecryptionFailure"), _) if matches!(asked, Asked::Batch([_, _, ..])) => {
            ManagerError::Invalid("a key cannot be used".to_owned())
        }
        (Some("DecryptionFailure"), _) => ManagerError::Denied(format!("kms:Decrypt for {}", asked.path())),
        (Some("EncryptionFailure"), _) => {
            ManagerError::Denied(format!("kms:GenerateDataKey for {}", asked.path()))
        }
        (
            Some(
                "ExpiredTokenException"
                | "ExpiredToken"
                | "UnrecognizedClientException"
                | "InvalidClientTokenId"
                | "InvalidSignatureException"
                | "IncompleteSignature"
                | "MissingAuthenticationToken",
            ),
            _,
        ) => ManagerError::Denied("its credentials are not valid, or not any more".to_owned()),
        (
            Some(
                "ThrottlingException"
                | "Throttling"
                | "ThrottledException"
                | "RequestThrottled"
                | "RequestThrottledException"
                | "TooManyRequestsException"
                | "RequestLimitExceeded"
                | "SlowDown",
            ),
            _,
        )
        | (_, Some(429)) => ManagerError::Throttled,
        (Some("InternalServiceError" | "InternalServiceErrorException" | "InternalFailure"), _)
        | (Some("ServiceUnavailable" | "ServiceUnavailableException"), _)
        | (_, Some(500..)) => ManagerError::Unavailable("it fails by itself".to_owned()),
        // A list that takes too long loses its place; the next one begins anew.
        (Some("InvalidNextTokenException"), _) => {
            ManagerError::Unavailable("a list lost its place".to_owned())
        }
        (Some("LimitExceededException"), _) => {
            ManagerError::Invalid("one of its quotas is used up".to_owned())
        }
        (_, Some(401 | 403)) => ManagerError::Denied(asked.right()),
        (Some(code), _) if is_plain(code) => ManagerError::Invalid(format!("{code} for {}", asked.right())),
        // No code and no failure: an answer of something that is no secret manager.
        _ => ManagerError::Unavailable("its answer is none".to_owned()),
    }
}

/// Of what is read, nothing but a deletion makes a request invalid; of what is written, also a secret that another service
/// manages, which the message alone tells.
fn is_deleted(message: Option<&str>, asked: &Asked<'_>) -> bool {
    match asked {
        Asked::Secret(_) | Asked::Batch([_]) => true,
        Asked::List | Asked::Batch(_) => false,
        Asked::Put(_) | Asked::Create(_) => message.is_some_and(|message| message.contains("delet")),
    }
}

fn is_plain(code: &str) -> bool {
    (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
