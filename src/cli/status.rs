//! `refgate sync status`, printed: a table for eyes, JSON for programs, and for each right that is missing the line that
//! grants it.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::Output;
use super::report::printable;
use super::{CLEAN, Progress, REFUSED, Screen, UNREADABLE, bind};
use crate::policy::snapshot::Binding;
use crate::sync;
use crate::sync::status::{Denied, Given, Kind, Options, Place, Row, State, Status};
use crate::sync::unread::Unread;

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const GREEN: &str = "\x1b[32m";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

const HEADER: [&str; 7] = ["STATE", "PATH", "SECRET", "VERSION", "AGE", "DUE", "USED BY"];
/// Of rights that are missing in many namespaces, so many are printed; JSON has all.
const MOST_RIGHTS: usize = 3;
/// What stands where nothing can.
const NOTHING: &str = "-";
/// Of longer versions, such as those of AWS, the beginning tells them apart.
const VERSION: usize = 12;
const DAY: i64 = 86_400;

/// Reads, prints to standard output, and says the exit code.
pub(super) fn run(options: &Options, output: Output) -> anyhow::Result<u8> {
    let mut progress = Progress::new();
    let read = sync::status::status(options, &mut |what, count| progress.say(|| format!("{what}: {count}")));
    progress.done();
    let shown = Shown { status: read?, options, now: Timestamp::now() };
    let text = match output {
        Output::Text => shown.text(),
        Output::Json => shown.json(),
    };
    Screen::new().print(&text)?;
    Ok(shown.exit_code())
}

struct Shown<'a> {
    status: Status,
    options: &'a Options,
    now: Timestamp,
}

/// A right that somebody does not have.
struct Missing {
    namespace: Option<String>,
    /// What is not done or not known without it.
    what: String,
    /// The command that grants it.
    grant: String,
}

impl Shown<'_> {
    /// 2 something could not be read, 1 somebody should look at something, 0 neither.
    fn exit_code(&self) -> u8 {
        let attention = self.status.namespaces.iter().any(Place::wants_attention);
        if !self.status.errors.is_empty() {
            UNREADABLE
        } else if attention || !self.missing().is_empty() {
            REFUSED
        } else {
            CLEAN
        }
    }

    /// What the sync lacks, and what the caller does.
    fn missing(&self) -> Vec<Missing> {
        let mut missing: Vec<Missing> =
            self.status.namespaces.iter().filter_map(|place| self.of_sync(place)).collect();
        missing.extend(self.kinds());
        missing.extend(self.status.denied.iter().flat_map(secrets));
        missing
    }

    /// What the sync may not read, by its own words.
    fn kinds(&self) -> impl Iterator<Item = Missing> + '_ {
        self.status.unread.iter().map(|unread| Missing {
            namespace: None,
            what: format!("{}: {}", unread.what(), Unread::cost()),
            grant: unread.grant(),
        })
    }

    fn of_sync(&self, place: &Place) -> Option<Missing> {
        let Place { name, labels, sync, .. } = place;
        let Binding::Bound { own, shared } = &labels.binding else { return None };
        let options = bind::Options {
            namespace: name.clone(),
            scope: own.clone(),
            shared: shared.clone(),
            levels: labels.levels,
            own_namespace: self.options.own_namespace.clone(),
        };
        let (what, grant) = match sync {
            Given::Yes | Given::Unknown => return None,
            Given::No => (
                "the sync may not fill Secrets here: there is no RoleBinding refgate-sync",
                bind::command(&options),
            ),
            // Its role cannot be changed, so applying alone would fail.
            Given::Otherwise => (
                "the sync may not fill Secrets here: RoleBinding refgate-sync gives something else",
                format!("kubectl delete rolebinding refgate-sync -n {name} && {}", bind::command(&options)),
            ),
        };
        Some(Missing { namespace: Some(name.clone()), what: what.to_owned(), grant })
    }

    /// What the caller may not see, and that nothing but a reason is missing without.
    fn hints(&self) -> Vec<Missing> {
        let own = &self.options.own_namespace;
        let mut hints = Vec::new();
        for Denied { what, user, .. } in &self.status.denied {
            let user = subject(user.as_deref());
            let (what, grant) = match what {
                Kind::Secrets => continue,
                Kind::Catalogue => (
                    "you may not list the catalogue: why something is not synced is not known",
                    format!(
                        "kubectl create rolebinding refgate-scanner -n {own} --role=refgate-scanner {user}"
                    ),
                ),
                Kind::RoleBindings => (
                    "you may not list RoleBinding refgate-sync: whether the sync may fill Secrets is not known",
                    format!(
                        "kubectl create clusterrolebinding refgate-status --clusterrole=refgate-status {user}"
                    ),
                ),
            };
            hints.push(Missing { namespace: None, what: what.to_owned(), grant });
        }
        hints
    }

    /// For programs.
    fn json(&self) -> String {
        let rights = |missing: &[Missing]| -> Vec<Value> {
            let one = |Missing { namespace, what, grant }: &Missing| json!({"namespace": namespace, "what": what, "grant": grant});
            missing.iter().map(one).collect()
        };
        let report = json!({
            "namespaces": self.status.namespaces.iter().map(place_json).collect::<Vec<_>>(),
            "missingRights": rights(&self.missing()),
            "hints": rights(&self.hints()),
            "errors": self.status.errors,
        });
        format!("{report:#}\n")
    }

    /// For eyes; whoever prints it takes the colours out where they do not belong.
    fn text(&self) -> String {
        let cells = |place: &Place| place.rows.iter().map(|row| self.cells(row)).collect::<Vec<_>>();
        let blocks: Vec<Vec<[String; 7]>> = self.status.namespaces.iter().map(cells).collect();
        let mut widths = HEADER.map(str::len);
        for row in blocks.iter().flatten() {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut out = String::new();
        if blocks.iter().any(|block| !block.is_empty()) {
            line(&mut out, &HEADER.map(str::to_owned), widths, DIM);
        }
        for (place, block) in self.status.namespaces.iter().zip(&blocks) {
            self.block(&mut out, place, block, widths);
        }
        if !out.is_empty() {
            out.push('\n');
        }
        for error in &self.status.errors {
            let _ = writeln!(out, "{RED}error{PLAIN}  {}", printable(error));
        }
        for Missing { what, grant, .. } in self.kinds() {
            let _ = writeln!(out, "{RED}missing right{PLAIN}  {}", printable(&what));
            let _ = writeln!(out, "    {DIM}grant it:{PLAIN} {}", printable(&grant));
        }
        // Those of the sync in one namespace stand under it.
        let secrets: Vec<Missing> = self.status.denied.iter().flat_map(secrets).collect();
        for Missing { namespace, what, grant } in secrets.iter().take(MOST_RIGHTS) {
            let place = namespace.as_deref().unwrap_or_default();
            let _ = writeln!(out, "{YELLOW}missing right{PLAIN}  {}: {what}", printable(place));
            let _ = writeln!(out, "    {DIM}grant it:{PLAIN} {}", printable(grant));
        }
        if let more @ 1.. = secrets.len().saturating_sub(MOST_RIGHTS) {
            let _ = writeln!(out, "    the same in {more} more namespaces; --output json has their lines");
        }
        for hint in self.hints() {
            let _ = writeln!(out, "{DIM}note  {}", printable(&hint.what));
            let _ = writeln!(out, "    grant it: {}{PLAIN}", printable(&hint.grant));
        }
        out.push_str(&self.summary());
        out
    }

    fn block(&self, out: &mut String, place: &Place, block: &[[String; 7]], widths: [usize; 7]) {
        let bound = match &place.labels.binding {
            Binding::Bound { own, shared } => {
                let shared: Vec<String> = shared.iter().map(|scope| format!(", {scope}")).collect();
                format!("{own}{}", shared.concat())
            }
            Binding::Broken(_) => format!("{RED}not bound, its labels do not read{PLAIN}"),
            Binding::Unbound | Binding::Unknown => "not bound".to_owned(),
        };
        let all = if place.all { " (all of it, by refgate.dev/sync: scope)" } else { "" };
        let _ = writeln!(out, "{BOLD}{}{PLAIN}  {bound}{all}", printable(&place.name));
        for (row, cells) in place.rows.iter().zip(block) {
            let colour = match row.state {
                State::Ok => GREEN,
                _ if row.wants_attention() => RED,
                _ => YELLOW,
            };
            line(out, cells, widths, colour);
            if let Some(why) = &row.why {
                let _ = writeln!(out, "    {}", printable(why));
            }
        }
        if let Some(Missing { what, grant, .. }) = self.of_sync(place) {
            let _ = writeln!(out, "    {RED}{}{PLAIN}", printable(&what));
            let _ = writeln!(out, "    {DIM}grant it:{PLAIN} {}", printable(&grant));
        }
        for note in &place.notes {
            let _ = writeln!(out, "    {YELLOW}{}{PLAIN}", printable(note));
        }
    }

    fn cells(&self, row: &Row) -> [String; 7] {
        let nothing = || NOTHING.to_owned();
        let version = row.version.as_deref().map_or_else(nothing, |version| {
            let short: String = version.chars().take(VERSION).collect();
            if short.len() < version.len() { format!("{short}…") } else { short }
        });
        let days = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs().div_euclid(DAY);
        let age = row.created.map_or_else(nothing, |created| format!("{}d", days(created, self.now)));
        let due = row.due.map_or_else(nothing, |due| match days(self.now, due) {
            left @ 0.. => format!("in {left}d"),
            _ => format!("{}d ago", days(due, self.now)),
        });
        let users: Vec<&str> = row.used_by.iter().map(String::as_str).collect();
        let users = if users.is_empty() { nothing() } else { users.join(", ") };
        let cells =
            [row.state.word().to_owned(), row.path.clone(), row.secret.clone(), version, age, due, users];
        cells.map(|cell| printable(&cell))
    }

    fn summary(&self) -> String {
        let rows = || self.status.namespaces.iter().flat_map(|place| &place.rows);
        let mut parts = Vec::new();
        for state in State::ALL {
            let count = rows().filter(|row| row.state == state).count();
            if count > 0 {
                parts.push(format!("{count} {}", state.word()));
            }
        }
        for (count, one, many) in [
            (self.missing().len(), "right missing", "rights missing"),
            (self.status.errors.len(), "error", "errors"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {}", if count == 1 { one } else { many }));
            }
        }
        let plural = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let (paths, places) =
            (plural(rows().count(), "path"), plural(self.status.namespaces.len(), "namespace"));
        let colour = if self.exit_code() == CLEAN { GREEN } else { RED };
        let colon = if parts.is_empty() { "" } else { ": " };
        format!("{colour}{paths} in {places}{PLAIN}{colon}{}\n", parts.join(", "))
    }
}

/// A line of the table, the first cell in a colour. The last cell is as long as it is.
fn line(out: &mut String, cells: &[String; 7], widths: [usize; 7], colour: &str) {
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let gap = if index + 1 == cells.len() { 0 } else { width - cell.chars().count() + 2 };
        let is_head = index == 0 || colour == DIM;
        let (before, after) = if is_head { (colour, PLAIN) } else { ("", "") };
        let _ = write!(out, "{before}{cell}{after}{:gap$}", "");
    }
    out.push('\n');
}

/// What the caller lacks to see age and due, a namespace at a time: whoever may list Secrets may read their values, so it
/// is given for as little as it is needed for.
fn secrets(denied: &Denied) -> impl Iterator<Item = Missing> + '_ {
    let user = subject(denied.user.as_deref());
    let namespaces = denied.namespaces.iter().filter(|_| denied.what == Kind::Secrets);
    namespaces.map(move |namespace| Missing {
        namespace: Some(namespace.clone()),
        what: "you may not list Secrets: age, due and marks are not known (the right opens their values too)".to_owned(),
        grant: format!(
            "kubectl create role refgate-status -n {namespace} --verb=list --resource=secrets && kubectl create \
             rolebinding refgate-status -n {namespace} --role=refgate-status {user}"
        ),
    })
}

/// `--user=NAME`, so that a shell takes it as it is.
fn subject(user: Option<&str>) -> String {
    let Some(user) = user else { return "--user=YOU".to_owned() };
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_.:@/".contains(character);
    match user.chars().all(is_plain) {
        true => format!("--user={user}"),
        false => format!("--user='{}'", user.replace('\'', r"'\''")),
    }
}

fn place_json(place: &Place) -> Value {
    let (scope, shared) = match &place.labels.binding {
        Binding::Bound { own, shared } => {
            (Some(own.as_str()), shared.iter().map(|scope| scope.as_str()).collect())
        }
        Binding::Unbound | Binding::Broken(_) | Binding::Unknown => (None, Vec::new()),
    };
    let sync = match place.sync {
        Given::Yes => Some(true),
        Given::No | Given::Otherwise => Some(false),
        Given::Unknown => None,
    };
    json!({
        "namespace": place.name, "scope": scope, "shared": shared, "wholeScope": place.all, "syncMayWrite": sync,
        "paths": place.rows.iter().map(row_json).collect::<Vec<_>>(), "notes": place.notes,
    })
}

fn row_json(row: &Row) -> Value {
    let Row { path, secret, state, version, created, due, used_by, why } = row;
    json!({
        "path": path, "secret": secret, "state": state.word(), "version": version,
        "created": created.map(|time| time.to_string()), "due": due.map(|time| time.to_string()),
        "usedBy": used_by, "why": why,
    })
}
