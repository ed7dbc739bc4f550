//! Which manager a path is read from: one for each region and role that the configuration names.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Mutex;

use super::manager::aws::{Aws, Pace, Settings};
use super::manager::file::File;
use super::manager::{Batch, Listed, Manager, ManagerError, Retry};
use crate::config::sync::{Choice, ScopeRow, Sync};

/// How long one list may take, with all its pages.
const LIST: Duration = Duration::from_secs(120);
/// Lists at the same time from one manager.
const AT_A_TIME: usize = 8;

/// What became of a list.
pub type List = Result<Vec<Listed>, ManagerError>;

/// All managers of one configuration. A client is made when it is first needed.
pub struct Managers {
    choice: Choice,
    rows: Vec<ScopeRow>,
    connected: Mutex<BTreeMap<Settings, Arc<Manager>>>,
}

impl Managers {
    /// As the configuration says.
    pub fn new(settings: &Sync) -> Self {
        let Sync { manager, scopes, .. } = settings;
        Self { choice: manager.clone(), rows: scopes.clone(), connected: Mutex::default() }
    }

    /// What lies under each prefix, which ends in a slash. A manager that is away costs the others nothing, and is not
    /// asked for each of its prefixes: a region that is gone lets every call wait for its whole time.
    pub async fn lists(&self, prefixes: Vec<String>) -> Vec<(String, List)> {
        let mut groups: BTreeMap<Settings, Vec<String>> = BTreeMap::new();
        for prefix in prefixes {
            groups.entry(self.settings(&prefix)).or_default().push(prefix);
        }
        let lists = join_all(groups.into_values().map(|prefixes| self.group(prefixes))).await;
        lists.into_iter().flatten().collect()
    }

    /// The lists of one manager.
    async fn group(&self, prefixes: Vec<String>) -> Vec<(String, List)> {
        let mut lists = Vec::with_capacity(prefixes.len());
        let mut away: Option<ManagerError> = None;
        for chunk in prefixes.chunks(AT_A_TIME) {
            let results = match &away {
                Some(error) => vec![Err(error.clone()); chunk.len()],
                None => join_all(chunk.iter().map(|prefix| self.list(prefix))).await,
            };
            let is_away = |list: &List| list.as_ref().is_err_and(|error| error.retry() == Retry::Later);
            if results.iter().all(is_away) {
                away = results.iter().find_map(|list| list.as_ref().err().cloned());
            }
            lists.extend(chunk.iter().cloned().zip(results));
        }
        lists
    }

    async fn list(&self, prefix: &str) -> List {
        let manager = self.manager(&self.settings(prefix)).await?;
        // Each call of it is bounded; the number of pages is not.
        let list = tokio::time::timeout(LIST, manager.list(prefix)).await;
        list.unwrap_or_else(|_| Err(ManagerError::Unavailable("its list takes too long".to_owned())))
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
        row.map_or_else(Settings::default, |row| Settings {
            region: row.region.clone(),
            role: row.role.clone(),
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn the_first_row_that_matches_says_region_and_role() {
        let text = "sync: {scopes: [{match: mozmeao/*/prod, region: us-west-2, role: 'arn:aws:iam::111122223333:role/prod'}, {match: mozmeao/*/*, region: eu-west-1}]}";
        let managers = Managers::new(&config::parse(text).unwrap().sync);
        for (path, region, role) in [
            ("mozmeao/snippets/prod/", Some("us-west-2"), Some("arn:aws:iam::111122223333:role/prod")),
            (
                "mozmeao/snippets/prod/database_url",
                Some("us-west-2"),
                Some("arn:aws:iam::111122223333:role/prod"),
            ),
            ("mozmeao/snippets/prod2/database_url", Some("eu-west-1"), None),
            ("other/snippets/prod/database_url", None, None),
        ] {
            let found = managers.settings(path);
            assert_eq!((found.region.as_deref(), found.role.as_deref()), (region, role), "{path}");
        }
    }

    #[tokio::test]
    async fn a_manager_that_fails_is_the_result_of_each_of_its_paths() {
        let managers =
            Managers::new(&config::parse("sync: {manager: file, file: /nowhere/at/all}").unwrap().sync);
        let paths = ["g/a/e/one".to_owned(), "g/a/e/two".to_owned()];
        let batch = managers.fetch(&paths).await;
        assert_eq!(batch.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), paths);
        assert!(
            batch.iter().all(|(_, result)| matches!(result, Err(ManagerError::Unavailable(_)))),
            "{batch:?}"
        );
    }
}
