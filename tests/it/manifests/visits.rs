//! Which lists and maps the CEL expressions of `manifests/` go through, and what makes each of them long.
//!
//! The manifests are compared with it, and the end-to-end test `growth` sends what makes the lists long to a real API server.

/// How long a list can get.
#[allow(dead_code, reason = "one of those who include this reads the names, neither the reasons")]
pub enum Length {
    /// A tenant chooses it: requests of these names in the test `growth` make it long.
    Grown(&'static [&'static str]),
    /// Something else bounds it, which is this.
    Bounded(&'static str),
}
use Length::{Bounded, Grown};

/// A list as the expression writes it, and its length.
type Visit = (&'static str, Length);

const CONTAINERS: &str = "(object.spec.containers + object.spec.?initContainers.orValue([]))";
const ANNOTATIONS: &str = "object.metadata.?annotations.orValue({})";
const ENV: &str = "c.?env.orValue([])";

const POD_CONTAINERS: Visit = (CONTAINERS, Grown(&["pod containers", "pod init containers"]));
const POD_ENV: Visit = (ENV, Grown(&["pod env", "pod env of many containers"]));
const POD_ANNOTATIONS: Visit = (ANNOTATIONS, Grown(&["pod annotations"]));
const POD: &[Visit] = &[POD_ANNOTATIONS, POD_CONTAINERS, POD_ENV];
const UPDATED_ANNOTATIONS: &[Visit] = &[(ANNOTATIONS, Grown(&["workload annotations", "pod annotations"]))];
const OWN_LIST: Length = Bounded("a variable that is empty for what is too large");

/// Expressions that go through a list, by their place: the object, then the list and the name or number in it.
pub const VISITS: &[(&str, &[Visit])] = &[
    ("zz-refgate inject.refgate.dev/may-hold-a-reference", POD),
    ("zz-refgate inject-unbound.refgate.dev/may-hold-a-reference", POD),
    ("refgate judge.refgate.dev/judged-part-changed", UPDATED_ANNOTATIONS),
    ("refgate judge-unbound.refgate.dev/judged-part-changed", UPDATED_ANNOTATIONS),
    (
        "refgate-binding variables/isTooLarge",
        &[(
            "[variables.labels, variables.oldLabels, variables.annotations, variables.oldAnnotations]",
            Bounded("four maps, whose sizes are looked at"),
        )],
    ),
    (
        "refgate-binding variables/changed",
        &[
            ("variables.labels", Grown(&["namespace labels", "namespace labels of before"])),
            ("variables.oldLabels", Grown(&["namespace labels of before"])),
            ("variables.annotations", Grown(&["namespace annotations", "namespace annotations of before"])),
            ("variables.oldAnnotations", Grown(&["namespace annotations of before"])),
        ],
    ),
    ("refgate-unbound validations/0", POD),
    (
        "refgate-unbound validations/1",
        &[
            ("object.spec.?ephemeralContainers.orValue([])", Grown(&["debug containers"])),
            ("oldObject.spec.?ephemeralContainers.orValue([])", Grown(&["debug containers of before"])),
            (ENV, Grown(&["debug env"])),
        ],
    ),
    (
        "refgate-sync-binding validations/1",
        &[("object.?subjects.orValue([])", Grown(&["subjects of the sync's role"]))],
    ),
    (
        "refgate-synced-secrets matchConditions/changes-something",
        &[
            ("oldObject.metadata.?finalizers.orValue([])", Grown(&["finalizers of a synced Secret"])),
            ("object.metadata.?finalizers.orValue([])", Grown(&["finalizers of a synced Secret"])),
            ("oldObject.metadata.?ownerReferences.orValue([])", Grown(&["owners of a synced Secret"])),
            ("object.metadata.?ownerReferences.orValue([])", Grown(&["owners of a synced Secret"])),
        ],
    ),
    (
        "refgate-synced-secrets variables/clean",
        &[("variables.path.split('/')", Bounded("a path of 512 characters"))],
    ),
    ("refgate-synced-secrets variables/bound", &[("variables.scope", Bounded("three labels"))]),
    ("refgate-synced-secrets variables/prefixes", &[("variables.shared", Grown(&["shared paths"]))]),
    ("refgate-synced-secrets validations/1", &[("variables.prefixes", OWN_LIST)]),
    (
        "refgate-handwritten-secrets matchConditions/brings-a-value",
        &[("object.data", Grown(&["secret keys", "secret keys of before"]))],
    ),
    (
        "refgate-leftovers variables/keys",
        &[("object.?data.orValue({})", Grown(&["secret keys", "secret keys of before"]))],
    ),
    ("refgate-leftovers validations/1", &[("variables.keys", OWN_LIST)]),
    ("refgate-leftovers validations/2", &[("variables.keys", OWN_LIST)]),
    ("refgate-leftovers validations/3", &[("variables.keys", OWN_LIST)]),
    ("refgate-leftovers validations/4", &[("variables.keys", OWN_LIST)]),
    (
        "refgate-replicators variables/copies",
        &[(ANNOTATIONS, Grown(&["secret annotations", "config map annotations"]))],
    ),
];
