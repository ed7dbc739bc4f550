//! Why a write is not done. Nothing decides by a text: each answer that makes a difference has a variant.

use super::refusal::Refusal;

/// Why something was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Somebody else has the name.
    #[error("there is a Secret of this name that the sync did not make")]
    Taken,
    /// It is not the one any more that was read.
    #[error("it has changed meanwhile")]
    Conflict,
    /// The API server says no: a right, a quota, a policy or a webhook of others, or what it is sent is not valid.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The namespace is on its way out, and takes nothing new.
    #[error("the namespace is being deleted")]
    Terminating,
    /// A PodDisruptionBudget, for now.
    #[error("a PodDisruptionBudget does not allow it now")]
    Budget,
    /// It has not answered in time, or had not before: the others need not wait for it.
    #[error("the API server says nothing in time")]
    Late,
    /// Another replica writes, or will soon.
    #[error("this replica does not have the lease")]
    NotLeader,
    /// Anything else; later it may work.
    #[error("the API server says {0}")]
    Failed(String),
}

impl ApplyError {
    /// As `refgate_sync_writes_total` says it.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Conflict => "conflict",
            Self::Refused(refusal) => match refusal.code {
                401 | 403 => "denied",
                400..500 => "invalid",
                _ => "error",
            },
            Self::Budget => "budget",
            Self::Terminating => "terminating",
            Self::Late | Self::NotLeader | Self::Failed(_) => "error",
        }
    }

    /// What keeps a write from being done until somebody does something about it; `None` where it is made good without.
    pub fn obstacle(&self) -> Option<Obstacle> {
        match (self, self.outcome()) {
            (Self::Refused(_), "denied") => Some(Obstacle::Denied),
            (Self::Refused(_), "invalid") => Some(Obstacle::Invalid),
            (Self::Refused(_) | Self::Late | Self::Failed(_), _) => Some(Obstacle::Error),
            _ => None,
        }
    }

    /// Of a write where no value was sent and none is there.
    pub(super) fn of_no_value(self) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(Box::new(refusal.of_no_value())),
            other => other,
        }
    }

    /// There is no such object.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == 404)
    }
}

/// Why a write is not done, as `refgate_sync_refused` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// 401 or 403.
    Denied,
    /// Any other 4xx.
    Invalid,
    /// 5xx, or no answer.
    Error,
}
