//! A kind of workloads that the sync may not read: what that costs, and the rule that grants the right.

use std::fmt;
use std::str::FromStr;

use crate::policy::workload::Kind;

/// Such a kind, as people name a resource: `rollouts.argoproj.io`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unread {
    resource: String,
    group: String,
}

impl Unread {
    /// The right that is missing.
    pub fn what(&self) -> String {
        format!("the sync may not list and watch {self}")
    }

    /// What does not happen without it.
    pub fn cost() -> &'static str {
        "what they name may be missing, no Secret that nothing seems to name is deleted, and none of their pods are restarted"
    }

    /// What gives it, a line of the manifests.
    pub fn grant(&self) -> String {
        let Self { resource, group } = self;
        let group = if group.is_empty() { "\"\"" } else { group };
        format!(
            "add to ClusterRole refgate-sync (12-rbac-sync.yaml): {{apiGroups: [{group}], resources: [{resource}], verbs: [list, watch]}}"
        )
    }
}

impl From<&Kind> for Unread {
    fn from(kind: &Kind) -> Self {
        Self { resource: kind.resource.to_string(), group: kind.group.to_string() }
    }
}

impl FromStr for Unread {
    type Err = std::convert::Infallible;

    /// A resource has no dot in its name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        Ok(Self { resource: resource.to_owned(), group: group.to_owned() })
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, group } = self;
        match &**group {
            "" => out.write_str(resource),
            group => write!(out, "{resource}.{group}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::workload::KINDS;

    #[test]
    fn a_kind_is_what_its_name_says_and_gets_its_own_rule() {
        for (kind, name, rule) in [
            (&KINDS[0], "pods", "{apiGroups: [\"\"], resources: [pods], verbs: [list, watch]}"),
            (
                &KINDS[7],
                "cronjobs.batch",
                "{apiGroups: [batch], resources: [cronjobs], verbs: [list, watch]}",
            ),
        ] {
            let unread = Unread::from(kind);
            assert_eq!(unread.to_string(), name);
            assert_eq!(name.parse(), Ok(unread.clone()));
            assert!(unread.grant().ends_with(rule), "{}", unread.grant());
        }
    }
}
