//! Levels: `off`, `baseline`, `restricted`, counted three ways: `enforce`, `warn`, `audit`.
//!
//! The only place that knows them. A rule says how sure it is and never hears of levels.

use super::finding::Certainty;

/// How much plaintext counts. The words follow Pod Security Admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// No plaintext counts; references are still injected and still fenced.
    Off,
    /// What is almost surely a secret.
    Baseline,
    /// Also what is probably one.
    Restricted,
}

impl Level {
    /// From the word in a label, a flag or the configuration.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "off" => Some(Self::Off),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }

    /// Whether a finding of this certainty counts at this level.
    pub fn counts(self, certainty: Certainty) -> bool {
        match self {
            Self::Off => false,
            Self::Baseline => certainty == Certainty::Certain,
            Self::Restricted => true,
        }
    }
}

/// The levels that hold for a namespace, or by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// What denies.
    pub enforce: Level,
    /// What warns.
    pub warn: Level,
    /// What is written into the audit annotations.
    pub audit: Level,
}

impl Default for Levels {
    fn default() -> Self {
        Self { enforce: Level::Baseline, warn: Level::Restricted, audit: Level::Restricted }
    }
}

/// What the labels of one namespace say; what they leave open, the defaults of the configuration say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelLabels {
    /// Label `refgate.dev/enforce`.
    pub enforce: Option<Level>,
    /// Label `refgate.dev/warn`.
    pub warn: Option<Level>,
    /// Label `refgate.dev/audit`.
    pub audit: Option<Level>,
}

impl LevelLabels {
    /// The levels that hold, with `defaults` for what the labels leave open.
    pub fn over(self, defaults: Levels) -> Levels {
        Levels {
            enforce: self.enforce.unwrap_or(defaults.enforce),
            warn: self.warn.unwrap_or(defaults.warn),
            audit: self.audit.unwrap_or(defaults.audit),
        }
    }

    /// All three at one level, as `--level` asks.
    pub fn all(level: Level) -> Self {
        Self { enforce: Some(level), warn: Some(level), audit: Some(level) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_count_by_certainty() {
        for (level, probable, certain) in
            [(Level::Off, false, false), (Level::Baseline, false, true), (Level::Restricted, true, true)]
        {
            assert_eq!(level.counts(Certainty::Probable), probable, "{level:?}");
            assert_eq!(level.counts(Certainty::Certain), certain, "{level:?}");
            assert_eq!(Level::parse(level.as_str()), Some(level));
        }
        assert_eq!(Level::parse("strcit"), None);
    }

    #[test]
    fn labels_win_over_defaults() {
        let labels = LevelLabels { enforce: Some(Level::Off), ..LevelLabels::default() };
        let levels = labels.over(Levels::default());
        assert_eq!(
            (levels.enforce, levels.warn, levels.audit),
            (Level::Off, Level::Restricted, Level::Restricted)
        );
    }
}
