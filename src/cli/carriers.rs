//! `refgate carriers`: the systems that carry secrets in manifests, and what is enforced of each.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};

use super::{CLEAN, Screen};
use crate::policy::carriers::doc;
use crate::policy::carriers::place::SYSTEMS;
use crate::policy::carriers::{CARRIERS, Carrier};
use crate::policy::path::{Scope, SecretPath};
use crate::policy::snapshot::Settings;

/// Names that are at least this alike are worth a "did you mean".
const ALIKE: f64 = 0.7;

/// Lists the carriers, or shows the one with this id.
pub fn run(id: Option<&str>) -> anyhow::Result<u8> {
    let text = match id {
        None => list(),
        Some(id) => match CARRIERS.iter().find(|carrier| carrier.id == id) {
            Some(carrier) => doc::page(carrier),
            None => bail!("there is no carrier {id}{} (`refgate carriers` lists all)", similar(id)),
        },
    };
    Screen::new().print(&text)?;
    Ok(CLEAN)
}

/// What a path is called in each system: in AWS Secrets Manager by itself, elsewhere by the rows of `carriers.mappings`.
pub fn explain(path: &str, settings: &Settings) -> anyhow::Result<String> {
    // The text is not repeated where it is no path: it may be a value.
    let parsed = SecretPath::absolute(path).context("what stands behind --explain is no path")?;
    let segments: Vec<&str> = parsed.as_str().splitn(4, '/').collect();
    let [group, app, env, name] = segments[..] else {
        let (count, s) = (segments.len(), if segments.len() == 1 { "" } else { "s" });
        bail!("--explain takes a whole path, group/app/env/name; what stands there has {count} segment{s}")
    };
    let scope = Scope::new(group, app, env).context(
        "--explain takes group/app/env/name, and the first three segments of what stands there are no scope",
    )?;
    let mut out = format!("{path}\n  AWS Secrets Manager: {path}\n");
    for row in settings.carriers.mappings.iter().filter(|row| row.covers(row.system, &row.place, &scope)) {
        let place = if row.place.is_empty() { String::new() } else { format!(", {}", row.place) };
        let named = match row.name_of(&scope, name) {
            Some(named) => named,
            None => {
                "no name: a segment of the scope holds the separator, or the name a character that it may not"
                    .to_owned()
            }
        };
        let _ = writeln!(out, "  {}{place}: {named}", row.system.title());
    }
    for (system, id, title) in SYSTEMS.iter().skip(1) {
        let is_mapped = settings
            .carriers
            .mappings
            .iter()
            .any(|row| row.system == *system && row.covers(*system, &row.place, &scope));
        if !is_mapped {
            let _ = writeln!(
                out,
                "  {title}: nothing; carriers.mappings has no row {{system: {id}, match: {scope}}}"
            );
        }
    }
    Ok(out)
}

/// The carrier that a name other than its id stands for: the initials or a word of its title, or one of its kinds.
fn called(name: &str) -> Option<&'static Carrier> {
    let name = name.to_lowercase();
    let is_called = |carrier: &&&'static Carrier| {
        let words =
            || carrier.title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let initials = words().filter_map(|word| word.chars().next()).collect::<String>();
        let kinds = || carrier.kinds.iter();
        initials.to_lowercase() == name
            || kinds()
                .any(|kind| kind.kind.to_lowercase() == name || kind.resource == name || kind.group == name)
            || (name.len() > 2 && words().any(|word| word.to_lowercase() == name))
    };
    CARRIERS.iter().find(is_called).copied()
}

fn similar(id: &str) -> String {
    let alike = |carrier: &&&Carrier| strsim::jaro_winkler(carrier.id, id);
    let nearest = || CARRIERS.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)));
    match called(id).or_else(|| nearest().filter(|carrier| alike(carrier) >= ALIKE).copied()) {
        Some(carrier) => format!("; did you mean {}?", carrier.id),
        None => String::new(),
    }
}

fn list() -> String {
    let width = CARRIERS.iter().map(|carrier| carrier.id.len()).max().unwrap_or_default();
    let mut out = String::new();
    for carrier in CARRIERS {
        let _ = writeln!(out, "\x1b[1m{:width$}\x1b[0m  {}", carrier.id, carrier.title);
        let mut kinds = carrier
            .kinds
            .iter()
            .map(|kind| format!("{} ({})", kind.kind, doc::word(kind)))
            .collect::<Vec<_>>();
        if let Some(more) = kinds.len().checked_sub(8).filter(|more| *more > 0) {
            kinds.truncate(8);
            kinds.push(format!("and {more} more kinds"));
        }
        if !kinds.is_empty() {
            let _ = writeln!(out, "{:width$}  {}", "", kinds.join(", "));
        }
    }
    let _ = writeln!(
        out,
        "\n`refgate carriers show NAME` says where it holds paths, what is enforced, and what nobody can decide."
    );
    out
}
