//! The tests, in the order in which they run.

mod calls;
mod condition;
mod day;
pub mod demo;
mod installation;
mod load;
mod outage;

use crate::Run::{Alone, Bare, Shared};
use crate::{Case, Run};

const fn case(name: &'static str, run: Run) -> Case {
    Case { name, since: 0, run }
}

pub const CASES: &[Case] = &[
    case("installation::applies_and_leaves", Bare(installation::applies_and_leaves)),
    case("installation::applying_again_changes_nothing", Alone(installation::applying_again_changes_nothing)),
    case("day::every_kind_and_every_form", Shared(day::every_kind_and_every_form)),
    case(
        "day::a_bare_pod_with_annotations_is_applied_again",
        Shared(day::a_bare_pod_with_annotations_is_applied_again),
    ),
    case("day::two_managers_meet_no_conflict", Shared(day::two_managers_meet_no_conflict)),
    case("day::a_dry_run_answers_the_same", Shared(day::a_dry_run_answers_the_same)),
    case(
        "condition::what_is_patched_or_refused_is_sent",
        Shared(condition::what_is_patched_or_refused_is_sent),
    ),
    case("condition::what_is_not_sent_is_refused", Shared(condition::what_is_not_sent_is_refused)),
    case("calls::only_what_can_matter_is_asked", Alone(calls::only_what_can_matter_is_asked)),
    case(
        "load::no_creation_fails_while_everything_changes",
        Alone(load::no_creation_fails_while_everything_changes),
    ),
    case("load::a_large_world_is_judged_right", Alone(load::a_large_world_is_judged_right)),
    case("outage::nobody_home", Alone(outage::nobody_home)),
    case("outage::what_was_missed_counts_afterwards", Alone(outage::what_was_missed_counts_afterwards)),
    // These look at all that came before them.
    case("installation::least_privilege", Alone(installation::least_privilege)),
    case("installation::uninstalls", Alone(installation::uninstalls)),
];
