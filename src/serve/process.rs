//! What a process is to its operating system and to itself: signals that end it, tasks that must not end.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinSet};

use super::ServeError;

/// SIGTERM, which Kubernetes sends, and SIGINT, which a keyboard does.
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    pub fn new() -> Result<Self, ServeError> {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = signal(SignalKind::terminate()).map_err(ServeError::System)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(ServeError::System)?;
        Ok(Self { terminate, interrupt })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The tasks of the process, by name.
#[derive(Default)]
pub(super) struct Tasks {
    set: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.names.insert(self.set.spawn(task).id(), name);
    }

    /// The first one to end, for whatever reason.
    pub async fn next(&mut self) -> ServeError {
        let id = match self.set.join_next_with_id().await {
            Some(Ok((id, ()))) => Some(id),
            Some(Err(error)) => Some(error.id()),
            None => None,
        };
        ServeError::Died(id.and_then(|id| self.names.get(&id).copied()).unwrap_or("every part"))
    }
}
