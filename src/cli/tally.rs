//! What is said of the objects of a cluster: counts, and an entry for each fault that no entry says already.
//!
//! A hundred pods of one Deployment are refused for one line of it, so an object is passed over in silence where the
//! entry of its controller names all that is wrong with it, and counted with another one where both have the same controller
//! and the same faults. Only what is refused takes memory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write;

use serde_json::Value;

use super::input::Problem;
use super::judge::{Judged, Workload};
use super::report::{Entry, Report, Why};

/// Namespace and uid: who owns an object is what the object says, and owners are of its own namespace.
type Id = (String, String);
/// What an object is refused for.
type Faults = BTreeSet<String>;

#[derive(Default)]
pub(super) struct Tally {
    results: Vec<Entry>,
    errors: Vec<Problem>,
    counts: Counts,
    /// The counts before the list that is being read.
    before: Counts,
    /// Objects of this list that have been said already, should it begin anew.
    said: HashSet<Id>,
    /// What each refused object is refused for, where it may own others.
    refused: HashMap<Id, Faults>,
    /// Where among the results an entry stands for all objects of one owner with the same faults.
    alike: HashMap<(Id, Faults), usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    judged: usize,
    refused: usize,
    over: usize,
}

/// The controller of an object: who makes it anew.
struct Controller {
    id: Id,
    title: String,
}

impl Tally {
    /// A list begins.
    pub(super) fn begin(&mut self) {
        self.before = self.counts;
        self.said.clear();
    }

    /// The same list begins anew: what was counted of it is counted again, and what was said is not.
    pub(super) fn begin_anew(&mut self) {
        self.counts = self.before;
    }

    /// An object that neither runs nor makes anything run.
    pub(super) fn over(&mut self) {
        self.counts.over += 1;
    }

    /// Something that is said as it is.
    pub(super) fn problem(&mut self, message: String) {
        self.errors.push(Problem { file: None, line: None, message });
    }

    /// An object that could not be judged.
    pub(super) fn unjudged(&mut self, object: &Value, message: String) {
        if self.is_new(&id(object)) {
            self.problem(message);
        }
    }

    /// An object that was judged.
    pub(super) fn judged(&mut self, object: &Value, workload: Workload<'_>, judged: Judged) {
        self.counts.judged += 1;
        if judged.denial.is_none() && judged.findings.is_empty() {
            return;
        }
        self.counts.refused += 1;
        let id = id(object);
        if !self.is_new(&id) {
            return;
        }
        let makes_others = !workload.kind.is_pod();
        let controller = controller(object, &id.0);
        let title = controller.as_ref().map(|controller| controller.title.clone());
        let entry = Entry::of_object(object, workload, judged, title);
        let faults = entry.faults();
        if makes_others {
            self.refused.insert(id, faults.clone());
        }
        match controller {
            None => self.results.push(entry),
            Some(controller) => self.owned(controller.id, entry, faults),
        }
    }

    fn owned(&mut self, owner: Id, entry: Entry, faults: Faults) {
        if self.refused.get(&owner).is_some_and(|of_owner| faults.is_subset(of_owner)) {
            return;
        }
        let at = *self.alike.entry((owner, faults)).or_insert(self.results.len());
        match self.results.get_mut(at) {
            Some(first) => first.add_alike(),
            None => self.results.push(entry),
        }
    }

    /// Whether nothing was said of it yet. Of one without a uid nobody can tell, and twice is better than never.
    fn is_new(&mut self, id: &Id) -> bool {
        id.1.is_empty() || self.said.insert(id.clone())
    }

    /// How many objects were judged so far.
    pub(super) fn count(&self) -> usize {
        self.counts.judged
    }

    /// Writes all of it, namespace by namespace.
    pub(super) fn write<W: Write>(mut self, report: &mut Report<W>) {
        // Stable: inside a namespace what makes others comes before what it makes.
        self.results.sort_by(|one, other| one.namespace().cmp(other.namespace()));
        let entries = self.results.len();
        self.results.into_iter().for_each(|entry| report.entry(entry));
        self.errors.iter().for_each(|problem| report.problem(problem));
        let Counts { judged, refused, over } = self.counts;
        report.skip_many(Why::Completed, over);
        let totals = report.totals();
        totals.without_entry = refused.saturating_sub(entries);
        (totals.judged, totals.refused) = (judged, refused);
    }
}

fn id(object: &Value) -> Id {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    (text("/metadata/namespace"), text("/metadata/uid"))
}

fn controller(object: &Value, namespace: &str) -> Option<Controller> {
    let owner = owner(object)?;
    let text = |key| owner.get(key).and_then(Value::as_str);
    let title = format!("{}/{}", text("kind")?, text("name")?);
    Some(Controller { id: (namespace.to_owned(), text("uid")?.to_owned()), title })
}

/// The owner reference of the controller; an object has one at most.
pub(super) fn owner(object: &Value) -> Option<&Value> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    owners.iter().find(|owner| owner.get("controller") == Some(&Value::Bool(true)))
}
