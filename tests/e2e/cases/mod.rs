//! The tests, in the order in which they run.

mod audit;
mod bind;
mod binding;
mod calls;
mod carriers;
mod condition;
mod data;
mod day;
pub mod demo;
mod external_secrets;
mod faults;
mod fence;
mod growth;
mod installation;
mod load;
pub mod manager;
mod messages;
mod mutators;
pub mod node;
mod outage;
mod requests;
mod rotation;
pub mod scan;
mod status;
mod sync;
mod sync_faults;
mod sync_rights;
mod sync_tenants;
mod updates;

use crate::Case;
use crate::Run::{Alone, Bare, Free, Node, Shared};

/// A line for each test: what it needs, and where it is.
macro_rules! cases {
    ($($run:ident $module:ident::$test:ident,)*) => {
        &[$(Case { name: concat!(stringify!($module), "::", stringify!($test)), run: $run($module::$test) }),*]
    };
}

pub const CASES: &[Case] = cases![
    Free manager::keeps_the_contract,
    Free manager::survives_faults,
    Free manager::takes_what_people_put,
    Bare installation::applies_and_leaves,
    Shared day::every_kind_and_every_form,
    Shared day::a_bare_pod_with_annotations_is_applied_again,
    Shared day::two_managers_meet_no_conflict,
    Shared day::a_dry_run_answers_the_same,
    Shared demo::the_tour_is_true,
    Shared messages::of_workloads_and_pods,
    Shared messages::of_an_unbound_namespace,
    Shared messages::of_the_policies,
    Shared messages::of_level_restricted,
    Shared mutators::a_later_sidecar_is_injected_or_refused,
    Shared mutators::an_earlier_sidecar_is_injected,
    Shared mutators::what_comes_later_is_judged,
    Shared mutators::order_does_not_matter,
    Shared mutators::a_policy_that_adds_a_reference,
    Shared fence::paths,
    Shared fence::references_of_other_systems,
    Shared fence::the_secret_by_its_name,
    Shared fence::every_kind,
    Shared fence::mechanics,
    Shared data::what_a_secret_may_hold,
    Shared data::what_a_config_map_may_hold,
    Shared updates::a_running_pod,
    Shared updates::forged_refs,
    Shared updates::a_template,
    Shared updates::a_large_template,
    Shared updates::debugging,
    Shared updates::forged_owners,
    Shared updates::planted,
    Shared updates::the_first_instant,
    Shared updates::an_unbound_namespace,
    Shared binding::an_owner_may_not,
    Shared binding::an_owner_may_not_give_it_to_themselves,
    Shared binding::an_owner_may_not_make_one_bound,
    Shared binding::a_binder_may,
    Shared binding::a_large_namespace,
    Shared bind::an_operator_binds_a_namespace,
    Shared bind::a_binder_gives_secrets_to_nobody,
    Shared condition::what_is_patched_or_refused_is_sent,
    Shared condition::what_is_not_sent_is_refused,
    Shared condition::what_is_too_large_is_sent,
    Alone installation::applying_again_changes_nothing,
    Alone binding::without_refgate,
    Alone growth::costs_no_more_than_the_request_itself,
    Alone scan::finds_what_admission_would_refuse,
    Alone scan::holds_a_page_and_no_more,
    // The sync looks at every namespace that is bound.
    Alone sync::the_whole_line,
    Alone sync::all_of_a_scope_and_what_nothing_names,
    Alone sync::a_tenant_in_the_way,
    Alone sync::tampering_that_got_through,
    Alone sync::a_namespace_bound_anew,
    Alone sync::a_manager_that_is_away,
    Alone sync::another_replica_takes_over,
    Alone sync::once_tells_and_does,
    Alone sync::what_an_operator_forgets_and_changes,
    Alone sync::a_kind_that_comes_later,
    Alone demo::the_rotation_is_true,
    Alone rotation::reaches_every_pod_one_by_one,
    Alone rotation::stops_and_says_why,
    Alone rotation::of_every_kind,
    Alone sync_tenants::claims_that_are_forged_before_the_sync,
    Alone sync_tenants::claims_that_are_stripped,
    Alone sync_tenants::a_quota_that_is_used_up,
    Alone sync_tenants::a_namespace_whose_writes_hang,
    Alone sync_faults::nothing_is_lost_foreign_or_written_twice,
    Alone status::tells_what_is_and_what_is_missing,
    Alone carriers::real_objects_of_every_kind,
    Alone external_secrets::the_whole_line,
    Alone requests::are_those_that_were_judged,
    Alone calls::only_what_can_matter_is_asked,
    Alone load::no_creation_fails_while_everything_changes,
    Alone load::a_large_world_is_judged_right,
    Alone outage::nobody_home,
    Alone outage::what_was_missed_counts_afterwards,
    // These look at all that came before them.
    Alone audit::every_decision_is_on_record,
    Alone audit::no_value_is_anywhere,
    Alone installation::least_privilege,
    Alone sync_rights::least_privilege,
    Alone installation::uninstalls,
];

/// The tests on a real node: `make node TESTS=all`.
pub const ON_A_NODE: &[Case] = cases![
    Node node::a_fresh_namespace,
    Node node::applied_before_the_put,
    Node node::env_in_order,
    Node node::a_rotated_file,
];
