//! The section `sync`: which secret manager, how often, for how long, and whose credentials for which scope.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::{Reader, duration};
use crate::policy::path::Scope;

/// What `refgate sync` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sync {
    /// Where values come from.
    pub manager: Choice,
    /// How often the manager's lists are read.
    pub refresh: Duration,
    /// How long a Secret stays after nothing names it any more.
    pub forget_after: Duration,
    /// How long a Secret stays after its namespace was bound to something else.
    pub rebind_grace: Duration,
    /// Region and role by scope; the first row that matches counts.
    pub scopes: Vec<ScopeRow>,
    /// How a rotation is carried to pods.
    pub restart: Restart,
    /// How old a value may get.
    pub rotation: Rotation,
}

/// Which secret manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// AWS Secrets Manager.
    Aws,
    /// A file, for development and tests.
    File(PathBuf),
}

/// One row of `sync.scopes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeRow {
    /// Three segments; `None` is `*`, which matches any one segment.
    segments: [Option<String>; 3],
    /// Region, where it is not the usual one.
    pub region: Option<String>,
    /// ARN of the role to take on.
    pub role: Option<String>,
}

impl ScopeRow {
    /// Whether a path, a scope or a shared prefix lies under this row.
    pub fn matches(&self, path: &str) -> bool {
        let mut found = path.split('/');
        self.segments.iter().all(|wanted| match (wanted, found.next()) {
            (Some(wanted), Some(segment)) => wanted == segment,
            (None, Some(_)) => true,
            (_, None) => false,
        })
    }
}

/// `sync.restart`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// How long a successor has to be Ready before the next pod goes.
    pub ready: Duration,
    /// How many of a workload's pods may be on their way at once after the first, in percent; at least one.
    pub share: u8,
    /// How long a successor may take to become Ready before the rest stays as it is.
    pub patience: Duration,
}

/// `sync.rotation`: how old a value may get, by what its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Names that say database.
    pub database: Duration,
    /// Names that say key or token of an API.
    pub api_key: Duration,
    /// All others.
    pub other: Duration,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Default for Sync {
    fn default() -> Self {
        Self {
            manager: Choice::Aws,
            refresh: Duration::from_secs(60),
            forget_after: Duration::from_secs(3600),
            rebind_grace: Duration::from_secs(3600),
            scopes: Vec::new(),
            restart: Restart {
                ready: Duration::from_secs(30),
                share: 25,
                patience: Duration::from_secs(600),
            },
            rotation: Rotation { database: DAY * 90, api_key: DAY * 90, other: DAY * 365 },
        }
    }
}

const KEYS: [&str; 8] =
    ["manager", "file", "refresh", "forgetAfter", "rebindGrace", "scopes", "restart", "rotation"];

impl<'a> Reader<'a> {
    pub(super) fn sync(&mut self, value: &'a Value) -> Sync {
        let mut sync = Sync::default();
        let Some(map) = self.map("/sync", value, &KEYS) else { return sync };
        for (key, value) in map {
            let pointer = format!("/sync/{key}");
            match key.as_str() {
                "refresh" => self.time(&pointer, value, Duration::from_secs(1), &mut sync.refresh),
                "forgetAfter" => self.time(&pointer, value, Duration::ZERO, &mut sync.forget_after),
                "rebindGrace" => self.time(&pointer, value, Duration::ZERO, &mut sync.rebind_grace),
                "scopes" => sync.scopes = self.scopes(&pointer, value),
                "restart" => self.restart(&pointer, value, &mut sync.restart),
                "rotation" => self.rotation(&pointer, value, &mut sync.rotation),
                // `manager` and `file` belong together, and come after.
                _ => {}
            }
        }
        let file = map.get("file").and_then(|value| self.text("/sync/file", value));
        let manager = map.get("manager").map(|value| (value, value.as_str()));
        match (manager, file) {
            (None | Some((_, Some("aws"))), None) => {}
            (Some((_, Some("file"))), Some(path)) if !path.is_empty() => {
                sync.manager = Choice::File(path.into());
            }
            (Some((_, Some("file"))), _) => {
                self.say("/sync/manager", "sync.manager is file, and sync.file names none")
            }
            (None | Some((_, Some("aws"))), Some(_)) => {
                self.say("/sync/file", "sync.file is for sync.manager: file alone");
            }
            (Some(_), _) => self.say("/sync/manager", "sync.manager must be aws or file"),
        }
        sync
    }

    fn time(&mut self, pointer: &str, value: &Value, least: Duration, time: &mut Duration) {
        match value.as_str().and_then(duration) {
            Some(duration) if duration >= least => *time = duration,
            _ => {
                let name = super::name(pointer);
                let least = if least.is_zero() { "" } else { " of a second or more" };
                self.say(pointer, format!("{name} must be a duration{least}, such as 10m or 1h30m"));
            }
        }
    }

    fn scopes(&mut self, pointer: &str, value: &'a Value) -> Vec<ScopeRow> {
        let mut rows = Vec::new();
        for (index, item) in self.list(pointer, value).iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            let Some(map) = self.map(&pointer, item, &["match", "region", "role"]) else { continue };
            let Some(pattern) = map.get("match") else {
                let name = super::name(&pointer);
                self.say(&pointer, format!("{name} has no key `match`"));
                continue;
            };
            let inner = format!("{pointer}/match");
            let segments = pattern.as_str().and_then(pattern_segments);
            if segments.is_none() {
                let name = super::name(&inner);
                self.say(&inner, format!("{name} must be group/app/env, where * stands for any one segment"));
            }
            let mut text = |key: &str| {
                let value = map.get(key)?;
                self.text(&format!("{pointer}/{key}"), value).map(str::to_owned)
            };
            let (region, role) = (text("region"), text("role"));
            rows.extend(segments.map(|segments| ScopeRow { segments, region, role }));
        }
        rows
    }

    fn restart(&mut self, pointer: &str, value: &'a Value, restart: &mut Restart) {
        let keys = ["ready", "share", "patience"];
        for (key, value) in self.map(pointer, value, &keys).into_iter().flatten() {
            let pointer = format!("{pointer}/{key}");
            let share = || value.as_str().and_then(|text| text.strip_suffix('%')?.parse().ok());
            match key.as_str() {
                "ready" => self.time(&pointer, value, Duration::ZERO, &mut restart.ready),
                "patience" => self.time(&pointer, value, Duration::from_secs(1), &mut restart.patience),
                "share" => match share() {
                    Some(share @ 1..=100) => restart.share = share,
                    _ => self.say(&pointer, "sync.restart.share must be from 1% to 100%, such as 25%"),
                },
                _ => {}
            }
        }
    }

    fn rotation(&mut self, pointer: &str, value: &'a Value, rotation: &mut Rotation) {
        for (key, value) in self.map(pointer, value, &["database", "apiKey", "other"]).into_iter().flatten() {
            let period = match key.as_str() {
                "database" => &mut rotation.database,
                "apiKey" => &mut rotation.api_key,
                "other" => &mut rotation.other,
                _ => continue,
            };
            self.time(&format!("{pointer}/{key}"), value, Duration::from_secs(1), period);
        }
    }
}

/// `group/app/env`, each a segment of a scope or `*`.
pub(super) fn pattern_segments(text: &str) -> Option<[Option<String>; 3]> {
    let segments: Vec<&str> = text.split('/').collect();
    let [group, app, env] = segments[..] else { return None };
    // With something legal in the place of each star it is a scope.
    let plain = [group, app, env].map(|segment| if segment == "*" { "any" } else { segment });
    Scope::parse(&plain.join("/")).ok()?;
    Some([group, app, env].map(|segment| (segment != "*").then(|| segment.to_owned())))
}
