//! The configuration file, read again whenever its text changes. It is polled: a mounted ConfigMap changes by a link swap and
//! may send no event.

use std::path::PathBuf;
use std::time::Duration;

use super::Config;

/// Looks at a file for ever.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// The text that was read last.
    last: String,
    readable: bool,
    interval: Duration,
}

/// What became of a file that changed.
#[derive(Debug)]
pub enum Reload {
    /// It says this.
    Good(Box<Config>),
    /// It is invalid or gone, which was said; the last good one stays.
    Bad,
}

impl Follower {
    /// Follows a file that held `text` at the start.
    pub fn new(path: PathBuf, text: String, interval: Duration) -> Self {
        Self { path, last: text, readable: true, interval }
    }

    /// Waits for the next change.
    pub async fn next(&mut self) -> Reload {
        loop {
            tokio::time::sleep(self.interval).await;
            let text = match tokio::fs::read_to_string(&self.path).await {
                Ok(text) => text,
                Err(error) => {
                    if std::mem::replace(&mut self.readable, false) {
                        tracing::error!(%error, path = %self.path.display(), "the configuration cannot be read; the last good one stays");
                        return Reload::Bad;
                    }
                    continue;
                }
            };
            if text == self.last && self.readable {
                continue;
            }
            self.readable = true;
            let parsed = super::parse(&text);
            self.last = text;
            return match parsed {
                Ok(config) => {
                    tracing::info!("the configuration was reloaded");
                    config.log_warnings();
                    Reload::Good(Box::new(config))
                }
                Err(error) => {
                    tracing::error!(%error, "the configuration is invalid; the last good one stays");
                    Reload::Bad
                }
            };
        }
    }
}
