//! External Secrets Operator: its kinds, and what is said of them.

use super::doc::Doc;
use super::{Carrier, Foreign, Handling, Kind, external_secret, push_secret, secret_store};
use crate::policy::carriers::reach::Reach;

const GROUP: &str = "external-secrets.io";
const GENERATORS: &str = "generators.external-secrets.io";
/// Kind of the stores of one namespace.
pub const STORE: &str = "SecretStore";
/// Kind of the stores of the whole cluster.
pub const CLUSTER_STORE: &str = "ClusterSecretStore";

/// The carrier.
pub const CARRIER: Carrier = Carrier {
    id: "external-secrets",
    title: "External Secrets Operator",
    kinds: &[
        kind("ExternalSecret", "externalsecrets", false, external_secret::external_secret),
        Kind {
            handling: Handling::Judged { read: external_secret::cluster_external_secret, watched: false },
            ..kind(
                "ClusterExternalSecret",
                "clusterexternalsecrets",
                true,
                external_secret::cluster_external_secret,
            )
        },
        kind(STORE, "secretstores", false, secret_store::secret_store),
        kind(CLUSTER_STORE, "clustersecretstores", true, secret_store::cluster_secret_store),
        alpha(GROUP, "PushSecret", "pushsecrets", false, push_secret::push_secret),
        alpha(GROUP, "ClusterPushSecret", "clusterpushsecrets", true, push_secret::cluster_push_secret),
        generator("Password", "passwords", secret_store::made_up),
        generator("UUID", "uuids", secret_store::made_up),
        generator("SSHKey", "sshkeys", secret_store::made_up),
        generator("Fake", "fakes", secret_store::fake),
        generator("ACRAccessToken", "acraccesstokens", secret_store::asks),
        generator(
            "BeyondtrustWorkloadCredentialsDynamicSecret",
            "beyondtrustworkloadcredentialsdynamicsecrets",
            secret_store::asks,
        ),
        generator("CloudsmithAccessToken", "cloudsmithaccesstokens", secret_store::asks),
        generator("ECRAuthorizationToken", "ecrauthorizationtokens", secret_store::asks),
        generator("GCRAccessToken", "gcraccesstokens", secret_store::asks),
        generator("GithubAccessToken", "githubaccesstokens", secret_store::asks),
        generator("GitlabDeployToken", "gitlabdeploytokens", secret_store::asks),
        generator("Grafana", "grafanas", secret_store::asks),
        generator("MFA", "mfas", secret_store::asks),
        generator("QuayAccessToken", "quayaccesstokens", secret_store::asks),
        generator("STSSessionToken", "stssessiontokens", secret_store::asks),
        generator("VaultDynamicSecret", "vaultdynamicsecrets", secret_store::asks),
        generator("Webhook", "webhooks", secret_store::asks),
        alpha(GENERATORS, "ClusterGenerator", "clustergenerators", true, secret_store::asks),
        // The controller keeps in these what a generator has made, to take it back later.
        generator("GeneratorState", "generatorstates", secret_store::state),
    ],
    doc: Doc {
        summary: "ExternalSecrets read from a store that all of a cluster may share; RefGate holds each path to the namespace's scope",
        fields: &[
            ("spec.data[].remoteRef.key", "read, with the prefix of the store before it"),
            ("spec.dataFrom[].extract.key", "read, with the prefix of the store before it"),
            (
                "spec.dataFrom[].find.path",
                "the beginning of what is read; the prefix of the store does not count",
            ),
            (
                "spec.data[].sourceRef, spec.dataFrom[].sourceRef",
                "another store for one entry, or a generator",
            ),
            (
                "PushSecret spec.data[].match.remoteRef.remoteKey, spec.dataTo[].remoteKey",
                "written, with the prefix of the store",
            ),
            (
                "PushSecret spec.data[].metadata, spec.dataTo[].metadata",
                "a resource policy is refused; regions of `replicationLocations` are those of `aws.regions`",
            ),
            ("SecretStore spec.provider", "the system, its prefix, region and roles"),
        ],
        enforced: &[
            "What is read lies inside the namespace's scope or its shared paths; what is written, inside its own scope.",
            "`find` needs a path that ends in `/` at the scope or lies under it, without `!`; tags and names alone look everywhere.",
            "A SecretStore has a provider that RefGate judges, and regions and roles that `aws.regions` and `aws.accounts` list.",
            "A SecretStore of Vault logs in by an account or a Secret of its namespace, and never by `auth.gcp`, which ends in the operator's own account whatever it names: the operator's own token goes to no server that a tenant names.",
            "No Secret that an earlier binding left is a credential, a certificate or a source.",
            "A store that changes leaves whatever reads through it inside.",
            "Secrets stay in Secrets: no `target.manifest`, no template into annotations or labels, no resource policy, no replicators.",
            "Plaintext in templates is judged like that of a ConfigMap.",
        ],
        undecidable: &[
            "A store that is not there yet; a generator that asks somebody; stores and Secrets chosen by labels: see `carriers.undecided`.",
            "A GeneratorState that a tenant writes: the operator takes back what stands in it, by the server and the Secrets that stand in it. See `carriers.undecided`.",
            "What a property (`remoteRef.property`) of an allowed path holds, and what the secret manager changes later.",
            "Templates of a ConfigMap (`templateFrom`): only what the object itself holds is seen.",
            "Which server of Vault a SecretStore names: whoever its namespace is logs in there, and reads the path that was judged.",
            "The status of a PushSecret: with `deletionPolicy: Delete` the operator deletes what stands there and no longer in the spec. Give tenants no right on `pushsecrets/status`.",
        ],
        beside: "Give the operator's role `secretsmanager:GetSecretValue` on `arn:aws:secretsmanager:REGION:ACCOUNT:secret:GROUP/APP/ENV/*` \
                 for the scopes of this cluster only (`refgate iam GROUP/APP/ENV` prints it), or one role for each SecretStore.",
    },
};

type Read = fn(&Foreign<'_>) -> Reach;

const fn kind(kind: &'static str, resource: &'static str, cluster_scoped: bool, read: Read) -> Kind {
    let handling = Handling::Judged { read, watched: true };
    Kind { group: GROUP, versions: &["v1", "v1beta1"], kind, resource, cluster_scoped, handling }
}

const fn alpha(
    group: &'static str,
    kind: &'static str,
    resource: &'static str,
    cluster_scoped: bool,
    read: Read,
) -> Kind {
    let handling = Handling::Judged { read, watched: !cluster_scoped };
    Kind { group, versions: &["v1alpha1"], kind, resource, cluster_scoped, handling }
}

/// A generator of one namespace. Who refers to it is judged by its kind, so that no snapshot needs its objects.
const fn generator(kind: &'static str, resource: &'static str, read: Read) -> Kind {
    let handling = Handling::Judged { read, watched: false };
    Kind { group: GENERATORS, versions: &["v1alpha1"], kind, resource, cluster_scoped: false, handling }
}
