//! Which manager a path is read from: one for each region and role that the configuration names.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::manager::aws::{Aws, Pace, Settings};
use super::manager::file::File;
use super::manager::{Batch, Listed, Manager, ManagerError};
use crate::config::sync::{Choice, ScopeRow, Sync};

/// All managers of one configuration. A client is made when it is first needed.
pub struct Source {
    choice: Choice,
    rows: Vec<ScopeRow>,
    connected: Mutex<BTreeMap<Settings, Arc<Manager>>>,
}

impl Source {
    /// As the configuration says.
    pub fn new(settings: &Sync) -> Self {
        let Sync { manager, scopes, .. } = settings;
        Self { choice: manager.clone(), rows: scopes.clone(), connected: Mutex::default() }
    }

    /// What lies under a prefix, which ends in a slash.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Listed>, ManagerError> {
        self.manager(&self.settings(prefix)).await?.list(prefix).await
    }

    /// Values. A manager that fails is the result of each path that it was asked for, and of no other.
    pub async fn fetch(&self, paths: &[String]) -> Batch {
        let mut groups: BTreeMap<Settings, Vec<String>> = BTreeMap::new();
        for path in paths {
            groups.entry(self.settings(path)).or_default().push(path.clone());
        }
        let mut batch = Batch::with_capacity(paths.len());
        for (settings, paths) in groups {
            let fetched = match self.manager(&settings).await {
                Ok(manager) => manager.fetch(&paths).await,
                Err(error) => Err(error),
            };
            match fetched {
                Ok(results) => batch.extend(results),
                Err(error) => batch.extend(paths.into_iter().map(|path| (path, Err(error.clone())))),
            }
        }
        batch
    }

    fn settings(&self, path: &str) -> Settings {
        let row = self.rows.iter().find(|row| row.matches(path));
        row.map_or_else(Settings::default, |row| Settings { region: row.region.clone(), role: row.role.clone() })
    }

    async fn manager(&self, settings: &Settings) -> Result<Arc<Manager>, ManagerError> {
        let mut connected = self.connected.lock().await;
        if let Some(manager) = connected.get(settings) {
            return Ok(Arc::clone(manager));
        }
        let manager = match &self.choice {
            Choice::File(path) => Manager::File(File::new(path)),
            Choice::Aws => Manager::Aws(Aws::connect(settings, &Pace::default()).await?),
        };
        let manager = Arc::new(manager);
        connected.insert(settings.clone(), Arc::clone(&manager));
        Ok(manager)
    }
}
