//! The tests, in the order in which they run.

mod bind;
mod day;
pub mod demo;
mod installation;
mod scan;

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
    case("bind::an_operator_binds_a_namespace", Shared(bind::an_operator_binds_a_namespace)),
    case("bind::a_binder_gives_secrets_to_nobody", Shared(bind::a_binder_gives_secrets_to_nobody)),
    case("scan::finds_what_admission_would_refuse", Alone(scan::finds_what_admission_would_refuse)),
    case("scan::holds_a_page_and_no_more", Alone(scan::holds_a_page_and_no_more)),
    // These look at all that came before them.
    case("installation::least_privilege", Alone(installation::least_privilege)),
    case("installation::uninstalls", Alone(installation::uninstalls)),
];
