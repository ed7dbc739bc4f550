//! The one YAML configuration file, read as a whole or not at all.
//!
//! Every problem is said with its line; one is enough to refuse the file, and whoever reads it again later keeps what
//! held before. Knows `yaml` and the types of `policy` that it fills.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::policy::level::{Level, Levels};
use crate::policy::snapshot::{KNOWN_PROXIES, Settings};
use crate::policy::workload::{CONFIG_MAP, Kind, SECRET};
use crate::yaml::{self, Document};

mod carriers;
pub mod follow;
mod rules;
pub mod sync;

/// How old the world may get where the configuration does not say. API servers send a bookmark about once a minute.
const MAX_AGE: Duration = Duration::from_secs(600);

/// What the file says.
#[derive(Debug)]
pub struct Config {
    /// What decisions rest on.
    pub settings: Settings,
    /// `snapshot.maxAge`.
    pub max_age: Duration,
    /// What the sync does; the webhook reads it and does nothing with it.
    pub sync: sync::Sync,
    /// Line and sentence of what is valid and perhaps not meant; whoever reads the file says them.
    pub warnings: Vec<(usize, String)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            max_age: MAX_AGE,
            sync: sync::Sync::default(),
            warnings: Vec::new(),
        }
    }
}

/// Why a file is no configuration: every problem, each with its line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Line and sentence.
    pub problems: Vec<(usize, String)>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, problem)) in self.problems.iter().enumerate() {
            write!(out, "{}line {line}: {problem}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Reads a configuration: the file itself, or the ConfigMap that holds it, as it is installed. An empty file changes nothing.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    let Some(document) = one(text)? else { return Ok(Config::default()) };
    if document.value.get("kind").and_then(Value::as_str) != Some("ConfigMap") {
        return read(&document);
    }
    let line = document.line_of(INSTALLED);
    let Some(text) = document.value.pointer(INSTALLED).and_then(Value::as_str) else {
        return Err(problem(
            line,
            "this ConfigMap has no key config.yaml in data, where the configuration stands",
        ));
    };
    // The text begins in the line behind its key.
    let inside = |mut error: ConfigError| {
        error.problems.iter_mut().for_each(|(inner, _)| *inner += line);
        error
    };
    let inner = one(text).map_err(inside)?;
    let mut config = match inner {
        Some(document) => read(&document).map_err(inside)?,
        None => Config::default(),
    };
    config.warnings.iter_mut().for_each(|(inner, _)| *inner += line);
    Ok(config)
}

/// Where the ConfigMap of `manifests/` holds the configuration.
const INSTALLED: &str = "/data/config.yaml";

fn problem(line: usize, message: &str) -> ConfigError {
    ConfigError { problems: vec![(line, message.to_owned())] }
}

/// The one document of a text.
fn one(text: &str) -> Result<Option<Document>, ConfigError> {
    let unreadable = |error: yaml::YamlError| problem(error.line, &error.message);
    let mut documents = yaml::documents(text);
    let Some(first) = documents.next() else { return Ok(None) };
    let first = first.and_then(Document::with_single_keys).map_err(unreadable)?;
    let second = documents.next().map(|read| read.map_or_else(|error| error.line, |document| document.line));
    match second {
        Some(line) => Err(problem(line, "a second document; the configuration is one")),
        None => Ok(Some(first)),
    }
}

fn read(document: &Document) -> Result<Config, ConfigError> {
    let mut reader = Reader { document, problems: Vec::new(), warnings: Vec::new() };
    let mut config = reader.config();
    config.warnings = std::mem::take(&mut reader.warnings);
    if reader.problems.is_empty() { Ok(config) } else { Err(ConfigError { problems: reader.problems }) }
}

impl Config {
    /// Writes the warnings to the log.
    pub fn log_warnings(&self) {
        for (line, warning) in &self.warnings {
            tracing::warn!(line, "the configuration: {warning}");
        }
    }
}

/// Reads keys, and keeps the problems.
struct Reader<'a> {
    document: &'a Document,
    problems: Vec<(usize, String)>,
    warnings: Vec<(usize, String)>,
}

impl<'a> Reader<'a> {
    fn config(&mut self) -> Config {
        let mut config = Config::default();
        let keys = [
            "defaults",
            "templates",
            "skipContainers",
            "rules",
            "allow",
            "aws",
            "carriers",
            "snapshot",
            "sync",
        ];
        let mut config_maps = true;
        let Some(root) = self.map("", &self.document.value, &keys) else { return config };
        for (key, value) in root {
            let pointer = format!("/{key}");
            match key.as_str() {
                "defaults" => self.defaults(&pointer, value, &mut config.settings.defaults),
                "templates" => self.templates(&pointer, value, &mut config.settings.kinds),
                "skipContainers" => {
                    let more = self.texts(&pointer, value);
                    let more = more.into_iter().filter(|name| !KNOWN_PROXIES.contains(name));
                    config.settings.skip_containers.extend(more.map(str::to_owned));
                }
                "rules" => {
                    let rules = self.rules(value);
                    config.settings.detector = rules.detector;
                    config_maps = rules.config_maps;
                }
                "allow" => config.settings.allow = self.allow(value),
                "aws" => self.aws(&pointer, value, &mut config.settings),
                "carriers" => self.carriers(value, &mut config.settings.carriers),
                "snapshot" => self.snapshot(&pointer, value, &mut config.max_age),
                "sync" => config.sync = self.sync(value),
                // Said already.
                _ => {}
            }
        }
        config.settings.judged.clone_from(&config.settings.kinds);
        if config_maps {
            config.settings.judged.push(CONFIG_MAP);
        }
        config
    }

    fn say(&mut self, pointer: &str, problem: impl Into<String>) {
        self.problems.push((self.document.line_of(pointer), problem.into()));
    }

    /// A map with known keys; what is unknown is said.
    fn map(&mut self, pointer: &str, value: &'a Value, keys: &[&str]) -> Option<&'a Map<String, Value>> {
        let name = name(pointer);
        let Value::Object(map) = value else {
            if !value.is_null() {
                self.say(pointer, format!("{name} must be a map with the keys {}", keys.join(", ")));
            }
            return None;
        };
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            let inner = format!("{pointer}/{}", escape(key));
            let key = key.escape_debug();
            self.say(&inner, format!("unknown key `{key}` in {name}; known are {}", keys.join(", ")));
        }
        Some(map)
    }

    fn text(&mut self, pointer: &str, value: &'a Value) -> Option<&'a str> {
        if value.as_str().is_none() {
            self.say(
                pointer,
                format!(
                    "{} must be text; put it in quotes if YAML reads it as a number or a boolean",
                    name(pointer)
                ),
            );
        }
        value.as_str()
    }

    fn list(&mut self, pointer: &str, value: &'a Value) -> &'a [Value] {
        match value {
            Value::Array(items) => items,
            Value::Null => &[],
            _ => {
                self.say(pointer, format!("{} must be a list", name(pointer)));
                &[]
            }
        }
    }

    fn texts(&mut self, pointer: &str, value: &'a Value) -> Vec<&'a str> {
        let items = self.list(pointer, value).iter().enumerate();
        items.filter_map(|(index, item)| self.text(&format!("{pointer}/{index}"), item)).collect()
    }

    fn defaults(&mut self, pointer: &str, value: &'a Value, levels: &mut Levels) {
        for (key, value) in self.map(pointer, value, &["enforce", "warn", "audit"]).into_iter().flatten() {
            let pointer = format!("{pointer}/{key}");
            // YAML reads `off` without quotes as false, and nothing else can be meant.
            let level = if *value == Value::Bool(false) {
                Some(Level::Off)
            } else {
                value.as_str().and_then(Level::parse)
            };
            let Some(level) = level else {
                self.say(&pointer, format!("{} must be off, baseline or restricted", name(&pointer)));
                continue;
            };
            match key.as_str() {
                "enforce" => levels.enforce = level,
                "warn" => levels.warn = level,
                _ => levels.audit = level,
            }
        }
    }

    fn templates(&mut self, pointer: &str, value: &'a Value, kinds: &mut Vec<Kind>) {
        let keys = ["group", "kind", "resource", "pointer"];
        for (index, item) in self.list(pointer, value).iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            let Some(map) = self.map(&pointer, item, &keys) else { continue };
            let mut found = [None; 4];
            for (slot, key) in found.iter_mut().zip(keys) {
                match map.get(key) {
                    None => self.say(&pointer, format!("{} has no key `{key}`", name(&pointer))),
                    Some(value) => *slot = self.text(&format!("{pointer}/{key}"), value),
                }
            }
            let [Some(group), Some(kind), Some(resource), Some(template)] = found else { continue };
            if kind.is_empty() || resource.is_empty() {
                self.say(&pointer, format!("{}: kind and resource must not be empty", name(&pointer)));
            }
            if !template.starts_with('/') || template.ends_with('/') {
                let where_to = format!("{pointer}/pointer");
                self.say(
                    &where_to,
                    format!("{} must be a JSON pointer, such as /spec/template", name(&where_to)),
                );
            }
            let holds_data = [CONFIG_MAP, SECRET];
            if kinds.iter().chain(&holds_data).any(|known| known.group == group && known.kind == kind) {
                self.say(
                    &pointer,
                    format!("{}: this group and kind is in the table already", name(&pointer)),
                );
            }
            let own = |text: &str| Cow::Owned(text.to_owned());
            kinds.push(Kind {
                group: own(group),
                kind: own(kind),
                resource: own(resource),
                pointer: own(template),
            });
        }
    }

    fn aws(&mut self, pointer: &str, value: &'a Value, settings: &mut Settings) {
        let Some(map) = self.map(pointer, value, &["accounts", "regions"]) else { return };
        if let Some(value) = map.get("accounts") {
            let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
            let what = "an account: twelve digits, in quotes";
            settings.aws_accounts = self.checked(&format!("{pointer}/accounts"), value, is_account, what);
        }
        if let Some(value) = map.get("regions") {
            let is_region = |text: &str| {
                text.split('-').count() >= 3
                    && text.split('-').all(|part| {
                        !part.is_empty()
                            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                    })
            };
            let what = "a region, such as us-west-2";
            settings.aws_regions = self.checked(&format!("{pointer}/regions"), value, is_region, what);
        }
    }

    fn checked(
        &mut self,
        pointer: &str,
        value: &'a Value,
        fits: impl Fn(&str) -> bool,
        what: &str,
    ) -> Vec<String> {
        let texts = self.texts(pointer, value);
        for (index, text) in texts.iter().enumerate() {
            if !fits(text) {
                let inner = format!("{pointer}/{index}");
                self.say(&inner, format!("{} is not {what}", name(&inner)));
            }
        }
        texts.into_iter().map(str::to_owned).collect()
    }

    fn snapshot(&mut self, pointer: &str, value: &'a Value, max_age: &mut Duration) {
        let Some(map) = self.map(pointer, value, &["maxAge"]) else { return };
        let Some(value) = map.get("maxAge") else { return };
        match value.as_str().and_then(duration) {
            Some(duration) if !duration.is_zero() => *max_age = duration,
            _ => self.say(
                "/snapshot/maxAge",
                "snapshot.maxAge must be a duration above zero, such as 10m or 1h30m",
            ),
        }
    }
}

/// A pointer as a person writes it: `aws.accounts[0]`.
fn name(pointer: &str) -> String {
    let mut name = String::new();
    for token in pointer.split('/').skip(1) {
        if token.bytes().all(|byte| byte.is_ascii_digit()) {
            name.push_str(&format!("[{token}]"));
        } else {
            name.push_str(if name.is_empty() { "" } else { "." });
            name.push_str(token);
        }
    }
    if name.is_empty() { "the configuration".to_owned() } else { name }
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// `10m`, `1h30m`, `90d`, `500ms`: each unit at most as often as it is written, largest numbers bounded.
pub fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, Duration::ZERO);
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let milliseconds: u64 = match &rest[..unit] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = &rest[unit..];
        total = total.checked_add(Duration::from_millis(number.checked_mul(milliseconds)?))?;
    }
    Some(total)
}
