//! `refgate render`: manifests as they are written, and as their pods come out.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::form::Form;
use super::input::{Document, Read, Sources};
use super::judge::{self, Judge, Unjudged};
use super::{Against, CLEAN, REFUSED, Screen, UNREADABLE, diff, emit, report};
use crate::policy::decision::{Outcome, Verdict};

/// What to render, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files, folders, or `-`.
    pub paths: Vec<PathBuf>,
    /// What to print of each manifest.
    pub output: Output,
    /// What to judge against.
    pub against: Against,
}

/// What to print of each manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Before and after, each a YAML document.
    Both,
    /// After alone.
    After,
    /// What changes.
    Diff,
}

/// What became of one manifest.
enum Rendered {
    /// It would come in, as `after`; its pods would, where it has a template. References without a world and a scope are left
    /// as they are, and nobody can say whether it would come in with them.
    Admitted { after: Value, what: String, warnings: Vec<String>, unresolved: Vec<String> },
    /// No pods come of it.
    NoWorkload,
    /// It, or its pods, would not come in.
    Refused { what: String, why: String },
}

/// Prints every manifest before and after, and says the exit code.
pub fn run(options: &Options) -> anyhow::Result<u8> {
    let mut against = options.against.clone();
    if against.world.is_none() && against.scope.is_none() {
        against.world = options.paths.first().and_then(|path| beside(path));
    }
    let judge = Judge::load(&against)?;
    let mut renderer =
        Renderer { judge, output: options.output, screen: Screen::new(), code: CLEAN, first: true };
    if let Some(world) = against.world.filter(|_| options.against.world.is_none()) {
        renderer.complain(CLEAN, &format!("the world is that of {}", world.display()));
    }
    let mut failure = None;
    let nothing = Sources::new(&options.paths, &mut io::stdin().lock()).read(&mut |read| {
        let done = match read {
            Read::End => Ok(()),
            Read::Document(document) if document.form == Form::Manifests => renderer.document(&document),
            Read::Document(document) => {
                renderer.complain(UNREADABLE, &not_rendered(&document));
                Ok(())
            }
            Read::Problem(problem) => {
                let line = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
                let file = problem.file.unwrap_or_default();
                renderer.complain(UNREADABLE, &format!("{file}{line}: {}", problem.message));
                Ok(())
            }
        };
        if let Err(error) = done {
            failure.get_or_insert(error);
        }
    });
    if let Some(problem) = nothing {
        renderer.complain(UNREADABLE, &problem.message);
    }
    failure.map_or(Ok(renderer.code), Err)
}

fn not_rendered(Document { file, form, .. }: &Document) -> String {
    match form {
        Form::Encrypted(by) => {
            format!("{file}: it is encrypted by {by}; decrypt it and pipe it in: refgate render -")
        }
        _ => format!("{file}: it is a private key and no manifest; leave it out"),
    }
}

/// The world that lies beside a file, as in `examples/`.
fn beside(path: &Path) -> Option<PathBuf> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let world = folder.join("world.yaml");
    world.is_file().then_some(world)
}

struct Renderer {
    judge: Judge,
    output: Output,
    screen: Screen,
    code: u8,
    /// Whether nothing has been printed yet.
    first: bool,
}

impl Renderer {
    fn document(&mut self, document: &Document) -> anyhow::Result<()> {
        let place = format!("{}:{}", document.file, document.line);
        for note in &document.notes {
            self.complain(CLEAN, &format!("{}: warning: {note}", document.file));
        }
        match self.render(document) {
            Ok(Rendered::Admitted { after, what, warnings, unresolved }) => {
                for warning in warnings {
                    self.complain(CLEAN, &format!("{place}: {what}: warning: {warning}"));
                }
                if let [first, ..] = &unresolved[..] {
                    let count = not_resolved(unresolved.len());
                    let text =
                        format!("{count}, the first at {first}: say --scope GROUP/APP/ENV or --world FILE");
                    self.complain(UNREADABLE, &format!("{place}: {what}: {text}"));
                }
                self.print(document, &format!("{place}: {what}"), &after, unresolved.len())
            }
            Ok(Rendered::NoWorkload) if self.output == Output::After => {
                self.part(&text(document, &document.value))
            }
            Ok(Rendered::NoWorkload) => Ok(()),
            Ok(Rendered::Refused { what, why }) => {
                self.complain(REFUSED, &format!("{place}: {what} is refused: {why}"));
                Ok(())
            }
            Err(unjudged) => {
                let place = format!("{}:{}", document.file, document.line_of(&unjudged.pointer));
                self.complain(UNREADABLE, &format!("{place}: {unjudged}"));
                Ok(())
            }
        }
    }

    fn render(&mut self, document: &Document) -> Result<Rendered, Unjudged> {
        let workload = self.judge.workload(&document.value)?;
        let workload = workload.filter(|workload| !workload.is_carried && !workload.is_left_out());
        let Some(workload) = workload else { return Ok(Rendered::NoWorkload) };
        let what = format!("{} in {}", workload.title(), workload.namespace);
        let judged = self.judge.judge(&workload)?;
        if let Some(why) = judged.denial {
            return Ok(Rendered::Refused { what, why });
        }
        if workload.kind.holds_data() {
            return Ok(Rendered::NoWorkload);
        }
        let Some(pod) = judge::pod(&workload) else {
            let (after, warnings) = (document.value.clone(), judged.warnings);
            return Ok(Rendered::Admitted { after, what, warnings, unresolved: Vec::new() });
        };
        let decision = self.judge.mutate(&workload, &pod)?;
        if let Outcome::Deny { message, .. } = decision.outcome {
            return Ok(Rendered::Refused { what: format!("a pod of {what}"), why: message });
        }
        let after = match &decision.patch {
            Some(patch) => judge::with_pod(&workload, judge::patched(&pod, patch)?),
            None => document.value.clone(),
        };
        let (mut warnings, mut unresolved) = (judged.warnings, Vec::new());
        for reference in &decision.references {
            // The pod of a workload stands in its template.
            let pointer = format!("{}{}", workload.kind.pointer, reference.pointer);
            if reference.verdict == Verdict::Unknown {
                unresolved.push(pointer);
            } else if reference.key.is_none() && self.judge.knows_nothing_of(&workload.namespace) {
                // Only `env-from` resolves to no key: it is spread out where the properties are known.
                warnings.push(format!(
                    "the variables of {pointer} are not shown, since only a world knows them: say --world FILE"
                ));
            }
        }
        Ok(Rendered::Admitted { after, what, warnings, unresolved })
    }

    fn print(
        &mut self,
        document: &Document,
        place: &str,
        after: &Value,
        unresolved: usize,
    ) -> anyhow::Result<()> {
        let (before, changed) = (text(document, &document.value), *after != document.value);
        let after = text(document, after);
        let pods = if document.value.get("kind").is_some_and(|kind| kind == "Pod") {
            "as it is admitted"
        } else {
            "its template as its pods come out; it is admitted as it is written"
        };
        let unchanged = match unresolved {
            0 => "nothing to inject".to_owned(),
            count => not_resolved(count),
        };
        match self.output {
            Output::After => self.part(&after),
            Output::Both if !changed => self.part(&format!("# {place}, {unchanged}\n{before}")),
            Output::Both => {
                self.part(&format!("# {place}, before\n{before}"))?;
                self.part(&format!("# {place}, after: {pods}\n{after}"))
            }
            Output::Diff if !changed => self.screen.print(&format!("{place}, {unchanged}\n")),
            Output::Diff => {
                let head = format!("--- {place}\n+++ {place}, {pods}\n");
                self.screen.print(&coloured(&format!("{head}{}", diff::unified(&before, &after))))
            }
        }
    }

    /// One document of the stream.
    fn part(&mut self, text: &str) -> anyhow::Result<()> {
        let mark = if std::mem::take(&mut self.first) { "" } else { "---\n" };
        self.screen.print(&format!("{mark}{text}"))
    }

    /// Says something to the person, beside the output; what is worse wins the exit code.
    fn complain(&mut self, code: u8, sentence: &str) {
        self.code = self.code.max(code);
        // Where standard error is gone there is nobody left to tell.
        let _ = writeln!(anstream::stderr(), "refgate: {}", report::printable(sentence));
    }
}

fn not_resolved(count: usize) -> String {
    if count == 1 {
        "1 reference is not resolved".to_owned()
    } else {
        format!("{count} references are not resolved")
    }
}

fn text(document: &Document, value: &Value) -> String {
    emit::yaml(value, &|pointer| document.place(pointer))
}

fn coloured(diff: &str) -> String {
    let mut out = String::with_capacity(diff.len() * 2);
    for line in diff.lines() {
        let colour = match line.as_bytes().first() {
            Some(b'+') => "\x1b[32m",
            Some(b'-') => "\x1b[31m",
            Some(b'@') => "\x1b[36m",
            _ => "",
        };
        let plain = if colour.is_empty() { "" } else { "\x1b[0m" };
        out.push_str(&format!("{colour}{line}{plain}\n"));
    }
    out
}
