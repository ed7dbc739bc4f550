//! `refgate sync once`: one pass, or what it would do.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::apply::Mode;
use super::{Options, Setup, SyncError};
use crate::process::Tasks;

/// How long the first lists, and the lease, may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// What became of one pass.
#[derive(Debug, Default)]
pub struct Done {
    /// The text to show.
    pub text: String,
    /// Whether anything was left to do.
    pub is_something: bool,
    /// What could not be read, a sentence each.
    pub problems: Vec<String>,
}

/// Does one pass, or tells what it would do.
pub fn once(options: &Options, dry_run: bool) -> Result<Done, SyncError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(SyncError::System)?;
    let result = runtime.block_on(async {
        let setup = Setup::new(options).await?;
        if dry_run { told(&setup).await } else { done(&setup).await }
    });
    runtime.shutdown_background();
    result
}

async fn told(setup: &Setup) -> Result<Done, SyncError> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let problems = pass(setup, Mode::Dry(Arc::clone(&lines))).await?;
    let lines = std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
    let is_something = lines.iter().any(|line| !line.starts_with('#'));
    let mut text = String::new();
    for line in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    Ok(Done { text, is_something, problems })
}

async fn done(setup: &Setup) -> Result<Done, SyncError> {
    let (mut elector, mut leader) = setup.elector();
    let work = async {
        let led = tokio::time::timeout(PATIENCE, leader.wait()).await;
        led.map_err(|_| SyncError::Late("another replica has the lease; it does the work already"))?;
        pass(setup, Mode::Live(leader.clone())).await
    };
    let result = tokio::select! {
        result = work => result,
        () = elector.run() => Err(SyncError::Died("the election")),
    };
    elector.release().await;
    result.map(|problems| Done { problems, ..Done::default() })
}

async fn pass(setup: &Setup, mode: Mode) -> Result<Vec<String>, SyncError> {
    let mut engine = setup.engine(mode);
    let mut tasks = Tasks::default();
    let cluster = setup.watch(&mut tasks);
    tokio::select! {
        died = tasks.next() => return Err(SyncError::Died(died)),
        complete = tokio::time::timeout(PATIENCE, cluster.wait_complete(super::PATIENCE)) => {
            complete.map_err(|_| SyncError::Late("the cluster could not be read in time; are all rights there?"))?;
        }
    }
    engine.whole(&cluster).await?;
    Ok(engine.problems().iter().cloned().collect())
}
