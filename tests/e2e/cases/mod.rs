//! The tests, in the order in which they run.

mod audit;
mod bind;
mod binding;
mod day;
pub mod demo;
mod fence;
mod installation;
mod messages;
mod mutators;
mod scan;
mod updates;

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
    case("demo::the_tour_is_true", Shared(demo::the_tour_is_true)),
    case("messages::of_workloads_and_pods", Shared(messages::of_workloads_and_pods)),
    case("messages::of_an_unbound_namespace", Shared(messages::of_an_unbound_namespace)),
    case("messages::of_the_policies", Shared(messages::of_the_policies)),
    case("messages::of_level_restricted", Shared(messages::of_level_restricted)),
    case(
        "mutators::a_later_sidecar_is_injected_or_refused",
        Shared(mutators::a_later_sidecar_is_injected_or_refused),
    ),
    case("mutators::an_earlier_sidecar_is_injected", Shared(mutators::an_earlier_sidecar_is_injected)),
    case("mutators::what_comes_later_is_judged", Shared(mutators::what_comes_later_is_judged)),
    case("mutators::order_does_not_matter", Shared(mutators::order_does_not_matter)),
    case("mutators::a_policy_that_adds_a_reference", Shared(mutators::a_policy_that_adds_a_reference)),
    case("fence::paths", Shared(fence::paths)),
    case("fence::references_of_other_systems", Shared(fence::references_of_other_systems)),
    case("fence::the_secret_by_its_name", Shared(fence::the_secret_by_its_name)),
    case("fence::every_kind", Shared(fence::every_kind)),
    case("fence::mechanics", Shared(fence::mechanics)),
    case("updates::a_running_pod", Shared(updates::a_running_pod)),
    case("updates::forged_refs", Shared(updates::forged_refs)),
    case("updates::a_template", Shared(updates::a_template)),
    case("updates::a_large_template", Shared(updates::a_large_template)),
    case("updates::debugging", Shared(updates::debugging)),
    case("updates::forged_owners", Shared(updates::forged_owners)),
    case("updates::planted", Shared(updates::planted)),
    case("updates::the_first_instant", Shared(updates::the_first_instant)),
    case("updates::an_unbound_namespace", Shared(updates::an_unbound_namespace)),
    case("binding::an_owner_may_not", Shared(binding::an_owner_may_not)),
    case(
        "binding::an_owner_may_not_give_it_to_themselves",
        Shared(binding::an_owner_may_not_give_it_to_themselves),
    ),
    case("binding::an_owner_may_not_make_one_bound", Shared(binding::an_owner_may_not_make_one_bound)),
    case("binding::a_binder_may", Shared(binding::a_binder_may)),
    case("binding::without_refgate", Alone(binding::without_refgate)),
    case("bind::an_operator_binds_a_namespace", Shared(bind::an_operator_binds_a_namespace)),
    case("bind::a_binder_gives_secrets_to_nobody", Shared(bind::a_binder_gives_secrets_to_nobody)),
    case("scan::finds_what_admission_would_refuse", Alone(scan::finds_what_admission_would_refuse)),
    case("scan::holds_a_page_and_no_more", Alone(scan::holds_a_page_and_no_more)),
    // These look at all that came before them.
    case("audit::every_decision_is_on_record", Alone(audit::every_decision_is_on_record)),
    case("audit::no_value_is_anywhere", Alone(audit::no_value_is_anywhere)),
    case("installation::least_privilege", Alone(installation::least_privilege)),
    case("installation::uninstalls", Alone(installation::uninstalls)),
];
