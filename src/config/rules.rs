//! The sections `rules` and `allow`: which rules are on, what they know besides, and what passes though one strikes.
//!
//! Everything is compiled here, once; an expression that would be too large is a problem of the file.

use serde_json::{Map, Value};

use super::{Reader, escape, name};
use crate::policy::allow::{Allow, Operator, PATTERN_BYTES, Pattern, Requirement, Selector};
use crate::policy::message::printable;
use crate::policy::printed::is_hidden;
use crate::policy::rules::own::{Alphabet, Own, OwnToken};
use crate::policy::rules::{Detector, RULES};
use crate::policy::snapshot::{NAME_LABEL, PREFIX};

/// Shortest prefix of a shape, in bytes: a shorter one is part of many words.
const SHORTEST_PREFIX: usize = 3;
/// Longest token of a shape.
const LONGEST_TOKEN: u64 = 1_000;
/// Most entries of each list: each costs time in every review.
const ENTRIES: usize = 256;

/// What the section `rules` says.
#[derive(Debug)]
pub(super) struct Rules {
    /// The engine.
    pub(super) detector: Detector,
    /// Whether ConfigMaps are judged.
    pub(super) config_maps: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn rules(&mut self, value: &'a Value) -> Rules {
        let mut rules = Rules { detector: Detector::new(&[]), config_maps: true };
        let keys = ["disabled", "configMaps", "names", "tokens"];
        let (mut disabled, mut own) = (Vec::new(), Own::default());
        for (key, value) in self.map("/rules", value, &keys).into_iter().flatten() {
            let pointer = format!("/rules/{key}");
            match key.as_str() {
                "disabled" => disabled = self.rule_ids(&pointer, value),
                "configMaps" => rules.config_maps = self.switch(&pointer, value).unwrap_or(true),
                "names" => own.words = self.words(&pointer, value),
                "tokens" => own.tokens = self.tokens(&pointer, value),
                // Said already.
                _ => {}
            }
        }
        rules.detector = Detector::with(&disabled, own);
        rules
    }

    fn switch(&mut self, pointer: &str, value: &Value) -> Option<bool> {
        if value.as_bool().is_none() {
            self.say(pointer, format!("{} must be true or false", name(pointer)));
        }
        value.as_bool()
    }

    /// Ids of rules that exist.
    fn rule_ids(&mut self, pointer: &str, value: &'a Value) -> Vec<&'static str> {
        let mut ids = Vec::new();
        for (index, id) in self.texts(pointer, value).into_iter().enumerate() {
            match RULES.iter().find(|rule| rule.id == id) {
                Some(rule) => ids.push(rule.id),
                None => {
                    let known = RULES.iter().map(|rule| rule.id).collect::<Vec<_>>().join(", ");
                    let id = id.escape_debug();
                    self.say(&format!("{pointer}/{index}"), format!("no rule `{id}`; there are {known}"));
                }
            }
        }
        ids
    }

    fn words(&mut self, pointer: &str, value: &'a Value) -> Vec<String> {
        let texts = self.texts(pointer, value);
        self.bound(pointer, texts.len());
        for (index, text) in texts.iter().enumerate() {
            if !(3..=64).contains(&text.len()) || !text.chars().all(char::is_alphabetic) {
                let inner = format!("{pointer}/{index}");
                self.say(
                    &inner,
                    format!("{} must be one word of letters, at least three bytes", name(&inner)),
                );
            }
        }
        texts.into_iter().map(str::to_owned).collect()
    }

    fn tokens(&mut self, pointer: &str, value: &'a Value) -> Vec<OwnToken> {
        let keys = ["name", "prefix", "alphabet", "length"];
        let items = self.list(pointer, value);
        self.bound(pointer, items.len());
        let mut tokens = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("{pointer}/{index}");
            let Some(map) = self.map(&pointer, item, &keys) else { continue };
            if let Some(missing) = keys.iter().find(|key| !map.contains_key(**key)) {
                self.say(&pointer, format!("{} has no key `{missing}`", name(&pointer)));
                continue;
            }
            let label = self.text(&format!("{pointer}/name"), &map["name"]);
            let prefix = self.text(&format!("{pointer}/prefix"), &map["prefix"]);
            let (Some(label), Some(prefix)) = (label, prefix) else { continue };
            let is_plain = label.len() <= 64 && !label.chars().any(is_hidden);
            if label.is_empty() || !is_plain {
                let inner = format!("{pointer}/name");
                self.say(&inner, format!("{} must be a short text, which messages repeat", name(&inner)));
            }
            if !(SHORTEST_PREFIX..=64).contains(&prefix.len())
                || !prefix.bytes().all(|byte| byte.is_ascii_graphic())
            {
                let inner = format!("{pointer}/prefix");
                self.say(&inner, format!("{} must be 3 to 64 printable characters of ASCII", name(&inner)));
            }
            let alphabet = self.alphabet(&format!("{pointer}/alphabet"), &map["alphabet"]);
            let length = self.length(&format!("{pointer}/length"), &map["length"]);
            if let (Some(alphabet), Some(length)) = (alphabet, length) {
                tokens.push(OwnToken { name: label.to_owned(), prefix: prefix.to_owned(), alphabet, length });
            }
        }
        tokens
    }

    fn alphabet(&mut self, pointer: &str, value: &Value) -> Option<Alphabet> {
        let word = value.as_str().unwrap_or_default();
        let found = Alphabet::WORDS.iter().find(|(known, _)| *known == word).map(|(_, alphabet)| *alphabet);
        if found.is_none() {
            let known = Alphabet::WORDS.map(|(word, _)| word).join(", ");
            self.say(pointer, format!("{} must be one of {known}", name(pointer)));
        }
        found
    }

    /// `32`, or `[32, 40]`.
    fn length(&mut self, pointer: &str, value: &Value) -> Option<(usize, usize)> {
        let bounds = match value {
            Value::Array(bounds) => match &bounds[..] {
                [least, most] => least.as_u64().zip(most.as_u64()),
                _ => None,
            },
            one => one.as_u64().map(|length| (length, length)),
        };
        let bounds = bounds.filter(|(least, most)| 4 <= *least && least <= most && *most <= LONGEST_TOKEN);
        if bounds.is_none() {
            let what = "a number from 4 to 1000, or two of them, the smaller first";
            self.say(pointer, format!("{} must be {what}", name(pointer)));
        }
        bounds.map(|(least, most)| (least as usize, most as usize))
    }

    fn bound(&mut self, pointer: &str, length: usize) {
        if length > ENTRIES {
            self.say(pointer, format!("{} has more than {ENTRIES} entries", name(pointer)));
        }
    }

    pub(super) fn allow(&mut self, value: &'a Value) -> Vec<Allow> {
        let items = self.list("/allow", value);
        self.bound("/allow", items.len());
        let rows = items.iter().enumerate();
        rows.filter_map(|(index, item)| self.row(&format!("/allow/{index}"), item)).collect()
    }

    fn row(&mut self, pointer: &str, value: &'a Value) -> Option<Allow> {
        let keys = [
            "reason",
            "rules",
            "names",
            "values",
            "kinds",
            "namespaces",
            "images",
            "serviceAccounts",
            "annotation",
        ];
        let map = self.map(pointer, value, &keys)?;
        let mut row = Allow::default();
        for (key, value) in map {
            let inner = format!("{pointer}/{}", escape(key));
            match key.as_str() {
                "reason" => row.reason = self.text(&inner, value).unwrap_or("-").trim().into(),
                "rules" => row.rules = self.rule_ids(&inner, value),
                "names" => row.names = self.patterns(&inner, value),
                "values" => row.values = self.patterns(&inner, value),
                "kinds" => row.kinds = self.kinds(&inner, value),
                "images" => row.images = self.patterns(&inner, value),
                "serviceAccounts" => row.accounts = self.patterns(&inner, value),
                "namespaces" => row.namespaces = self.selector(&inner, value),
                "annotation" => row.by_mark = self.switch(&inner, value).unwrap_or_default(),
                _ => {}
            }
            // An empty list would read as none, and a row without conditions lets everything pass.
            let is_empty = value.as_array().is_some_and(Vec::is_empty) || value.is_null();
            if is_empty || value.as_object().is_some_and(Map::is_empty) {
                self.say(
                    &inner,
                    format!("{} is empty; leave the key out if it should not matter", name(&inner)),
                );
            }
        }
        if row.reason.is_empty() {
            let what = "which is written into the audit log whenever the row lets something pass";
            self.say(pointer, format!("{} needs a reason, {what}", name(pointer)));
        }
        let is_condition = |key: &str| key != "reason" && (key != "annotation" || row.by_mark);
        if !map.keys().any(|key| is_condition(key)) {
            let some = keys[1..].join(", ");
            self.say(
                pointer,
                format!("{} would let everything pass; name at least one of {some}", name(pointer)),
            );
        }
        Some(row)
    }

    /// Kinds of objects; which there are, only a cluster knows.
    fn kinds(&mut self, pointer: &str, value: &'a Value) -> Vec<Box<str>> {
        let texts = self.texts(pointer, value);
        self.bound(pointer, texts.len());
        for (index, text) in texts.iter().enumerate() {
            let is_kind = text.starts_with(|letter: char| letter.is_ascii_uppercase())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !is_kind {
                let inner = format!("{pointer}/{index}");
                self.say(&inner, format!("{} must be a kind, such as Secret or Deployment", name(&inner)));
            }
        }
        texts.into_iter().map(Into::into).collect()
    }

    /// Each entry is a text, exact, or a map with `glob` or `expression`.
    fn patterns(&mut self, pointer: &str, value: &'a Value) -> Vec<Pattern> {
        let items = self.list(pointer, value);
        self.bound(pointer, items.len());
        let rows = items.iter().enumerate();
        rows.filter_map(|(index, item)| self.pattern(&format!("{pointer}/{index}"), item)).collect()
    }

    fn pattern(&mut self, pointer: &str, value: &'a Value) -> Option<Pattern> {
        let one = value.as_object().filter(|map| map.len() == 1).and_then(|map| map.iter().next());
        let (kind, value) = one.map_or(("exact", value), |(key, value)| (key.as_str(), value));
        let Some(text) = value.as_str().filter(|text| (1..=PATTERN_BYTES).contains(&text.len())) else {
            let what = "a text of at most 1,024 bytes, or a map with one of the keys glob and expression";
            self.say(pointer, format!("{} must be {what}", name(pointer)));
            return None;
        };
        match kind {
            "exact" => Some(Pattern::Exact(text.into())),
            "glob" => Some(Pattern::Glob(text.into())),
            "expression" => match Pattern::expression(text) {
                Ok(pattern) => Some(pattern),
                Err(error) => {
                    self.say(&format!("{pointer}/expression"), format!("{}: {error}", name(pointer)));
                    None
                }
            },
            _ => {
                self.say(pointer, format!("{} knows glob and expression", name(pointer)));
                None
            }
        }
    }

    /// A label selector of Kubernetes.
    fn selector(&mut self, pointer: &str, value: &'a Value) -> Option<Selector> {
        let mut selector = Selector::default();
        for (key, value) in
            self.map(pointer, value, &["matchLabels", "matchExpressions"]).into_iter().flatten()
        {
            let pointer = format!("{pointer}/{key}");
            match (key.as_str(), value) {
                ("matchLabels", Value::Object(labels)) => {
                    for (label, value) in labels {
                        let inner = format!("{pointer}/{}", escape(label));
                        let Some(value) = self.text(&inner, value) else { continue };
                        let operator = Operator::In(vec![value.into()]);
                        selector.requirements.push(Requirement { key: label.as_str().into(), operator });
                    }
                }
                ("matchExpressions", Value::Array(items)) => {
                    for (index, item) in items.iter().enumerate() {
                        selector.requirements.extend(self.requirement(&format!("{pointer}/{index}"), item));
                    }
                }
                ("matchLabels", _) => self.say(&pointer, format!("{} must be a map", name(&pointer))),
                ("matchExpressions", _) => self.say(&pointer, format!("{} must be a list", name(&pointer))),
                _ => {}
            }
        }
        if selector.requirements.is_empty() {
            self.say(
                pointer,
                format!("{} selects nothing; give matchLabels or matchExpressions", name(pointer)),
            );
        }
        for Requirement { key, .. } in &selector.requirements {
            if !key.contains(PREFIX) && **key != *NAME_LABEL {
                let line = self.document.line_of(pointer);
                self.warnings.push((
                    line,
                    format!(
                        "{} goes by label {}, which whoever may update a Namespace can set, so they can exempt themselves; use a label \
                         of allow.{PREFIX}, such as allow.{PREFIX}team, which takes the verb bind, or {NAME_LABEL}",
                        name(pointer),
                        printable(key)
                    ),
                ));
            }
        }
        Some(selector)
    }

    fn requirement(&mut self, pointer: &str, value: &'a Value) -> Option<Requirement> {
        let map = self.map(pointer, value, &["key", "operator", "values"])?;
        let key = map.get("key").and_then(Value::as_str).unwrap_or_default();
        let values: Vec<Box<str>> = match map.get("values") {
            Some(values) => {
                self.texts(&format!("{pointer}/values"), values).into_iter().map(Into::into).collect()
            }
            None => Vec::new(),
        };
        let word = map.get("operator").and_then(Value::as_str);
        let operator = match (word, values.is_empty()) {
            (Some("In"), false) => Operator::In(values),
            (Some("NotIn"), false) => Operator::NotIn(values),
            (Some("Exists"), true) => Operator::Exists,
            (Some("DoesNotExist"), true) => Operator::DoesNotExist,
            _ => {
                let what = "operator must be In or NotIn with values, or Exists or DoesNotExist without";
                self.say(pointer, format!("{}: {what}", name(pointer)));
                return None;
            }
        };
        if key.is_empty() {
            self.say(pointer, format!("{} has no key `key`", name(pointer)));
        }
        Some(Requirement { key: key.into(), operator })
    }
}
