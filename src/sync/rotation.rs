//! When a value is too old: by what its name says it is.

use std::time::Duration;

use jiff::Timestamp;

use crate::config::sync::Rotation;

const DATABASE: [&str; 11] = [
    "database",
    "db",
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "mongo",
    "mongodb",
    "redis",
    "sql",
    "mssql",
];

/// How many days old a value is that is due; `None` where it is not, or where nobody says how old it is.
pub fn overdue(path: &str, created: Option<Timestamp>, rotation: &Rotation, now: Timestamp) -> Option<u64> {
    let age = Duration::try_from(now.duration_since(created?)).ok()?;
    (age >= period(path, rotation)).then_some(age.as_secs() / 86_400)
}

/// How old the value of a path may get.
pub fn period(path: &str, rotation: &Rotation) -> Duration {
    // What stands behind group/app/env.
    let name = path.splitn(4, '/').nth(3).unwrap_or(path).to_ascii_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let is_key = words.iter().any(|word| matches!(*word, "apikey" | "token"))
        || words.windows(2).any(|pair| matches!(pair, ["api" | "access", "key"]));
    if words.iter().any(|word| DATABASE.contains(word)) {
        rotation.database
    } else if is_key {
        rotation.api_key
    } else {
        rotation.other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sync::Sync;

    #[test]
    fn names_say_how_old_a_value_may_get() {
        let rotation = Rotation { api_key: Duration::from_secs(60), ..Sync::default().rotation };
        for (path, expected) in [
            ("g/a/e/database_url", rotation.database),
            ("g/a/e/reports/DB-password", rotation.database),
            ("g/a/e/sentry_api_key", rotation.api_key),
            ("g/a/e/github/token", rotation.api_key),
            // Neither the application nor a part of a word counts.
            ("g/database/e/feature", rotation.other),
            ("g/a/e/dbx", rotation.other),
            ("g/a/e/keyboard", rotation.other),
        ] {
            assert_eq!(period(path, &rotation), expected, "{path}");
        }
    }

    #[test]
    fn a_value_is_due_when_its_period_is_over() {
        let rotation = Sync::default().rotation;
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let at = |text: &str| overdue("g/a/e/database_url", Some(text.parse().unwrap()), &rotation, now);
        assert_eq!(at("2026-08-24T12:00:00Z"), Some(90));
        assert_eq!(at("2026-08-24T12:00:01Z"), None);
        assert_eq!(at("2027-01-01T00:00:00Z"), None, "a clock that jumps");
        assert_eq!(overdue("g/a/e/database_url", None, &rotation, now), None);
    }
}
