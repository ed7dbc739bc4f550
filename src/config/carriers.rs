//! The section `carriers`: what becomes of what cannot be decided, and which scope may read what in systems whose names are no
//! paths.

use serde_json::{Map, Value};

use super::Reader;
use super::sync::pattern_segments;
use crate::policy::carriers::CARRIERS;
use crate::policy::carriers::place::{SYSTEMS, System};
use crate::policy::carriers::settings::{Mapping, Mode, Settings};

const KEYS: [&str; 4] = ["unbound", "clusterScoped", "undecided", "mappings"];
const ROW: [&str; 4] = ["system", "match", "place", "separator"];
/// Longest separator of names: long enough for words, and no name is longer.
const SEPARATOR_BYTES: usize = 8;

impl<'a> Reader<'a> {
    pub(super) fn carriers(&mut self, value: &'a Value, settings: &mut Settings) {
        for (key, value) in self.map("/carriers", value, &KEYS).into_iter().flatten() {
            let pointer = format!("/carriers/{key}");
            match key.as_str() {
                "unbound" => self.mode(&pointer, value, &mut settings.unbound),
                "clusterScoped" => self.mode(&pointer, value, &mut settings.cluster_scoped),
                "undecided" => self.undecided(&pointer, value, settings),
                "mappings" => settings.mappings = self.mappings(&pointer, value),
                // Said already.
                _ => {}
            }
        }
    }

    fn mode(&mut self, pointer: &str, value: &Value, mode: &mut Mode) {
        match value.as_str().and_then(Mode::parse) {
            Some(read) => *mode = read,
            None => self.say(pointer, format!("{} must be deny or audit", super::name(pointer))),
        }
    }

    fn undecided(&mut self, pointer: &str, value: &'a Value, settings: &mut Settings) {
        let ids: Vec<&str> = CARRIERS.iter().map(|carrier| carrier.id).collect();
        for (key, value) in self.map(pointer, value, &ids).into_iter().flatten() {
            let mut mode = Mode::Deny;
            self.mode(&format!("{pointer}/{key}"), value, &mut mode);
            settings.undecided.insert(key.clone(), mode);
        }
    }

    fn mappings(&mut self, pointer: &str, value: &'a Value) -> Vec<Mapping> {
        let mut rows = Vec::new();
        for (index, item) in self.list(pointer, value).iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            if let Some(map) = self.map(&pointer, item, &ROW) {
                let row = self.mapping(&pointer, map);
                self.alone(&pointer, row.as_ref(), &rows);
                rows.extend(row);
            }
        }
        rows
    }

    /// Two ways of writing names in one place give a name to two scopes: `a-b_c_d_e` is of `a-b/c/d` by one of them, and may be
    /// of `a/b_c_d/…` by another.
    fn alone(&mut self, pointer: &str, row: Option<&Mapping>, others: &[Mapping]) {
        let Some(row) = row else { return };
        let place = |other: &Mapping| (other.system, &*other.place) == (row.system, &*row.place);
        if others.iter().any(|other| place(other) && other.separator != row.separator) {
            let what = "has another separator than a row before it for the same place, so two scopes could share a name";
            self.say(pointer, format!("{} {what}", super::name(pointer)));
        }
    }

    fn mapping(&mut self, pointer: &str, map: &'a Map<String, Value>) -> Option<Mapping> {
        let before = self.problems.len();
        let at = |key: &str| format!("{pointer}/{key}");
        let name = |key: &str| super::name(&at(key));
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        let system =
            text("system").and_then(System::parse).filter(|system| *system != System::AwsSecretsManager);
        let Some(system) = system else {
            // In AWS Secrets Manager a name is the path itself: there is nothing to map.
            let known: Vec<&str> = SYSTEMS.iter().skip(1).map(|(_, id, _)| *id).collect();
            self.say(&at("system"), format!("{} must be one of {}", name("system"), known.join(", ")));
            return None;
        };
        let scopes = text("match").and_then(pattern_segments);
        if scopes.is_none() {
            let what = "must be group/app/env, where * stands for any one segment";
            self.say(&at("match"), format!("{} {what}", name("match")));
        }
        let place = text("place").unwrap_or_default();
        if place.is_empty() && system != System::AwsParameterStore {
            let what = "must name the project, the vault or the mount that those scopes may read";
            self.say(&at("place"), format!("{} {what}", name("place")));
        }
        let separator = text("separator").map(str::to_owned);
        let fits = |text: &str| {
            (1..=SEPARATOR_BYTES).contains(&text.len()) && text.bytes().all(|byte| b"-_.".contains(&byte))
        };
        if map.contains_key("separator") && !separator.as_deref().is_some_and(fits) {
            self.say(
                &at("separator"),
                format!("{} must be of the characters - _ . such as \"--\"", name("separator")),
            );
        } else if separator.is_some() && system.has_paths() {
            self.say(
                &at("separator"),
                format!("names of {} have slashes; leave the separator out", system.title()),
            );
        }
        let is_wide = scopes.as_ref().is_some_and(|scopes| scopes.iter().any(Option::is_none));
        if is_wide && separator.is_none() && !system.has_paths() {
            let what = "has a * and no separator, so every scope that fits would have the whole place; write a separator, or a row \
                        for each scope";
            self.say(&at("match"), format!("{} {what}", name("match")));
        }
        let is_clean = self.problems.len() == before;
        scopes.filter(|_| is_clean).map(|scopes| Mapping {
            system,
            scopes,
            place: place.to_owned(),
            separator,
        })
    }
}
