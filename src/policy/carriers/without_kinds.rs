//! Systems without kinds of their own: what they read stands in pods, in annotations and in Secrets, where `policy::foreign`,
//! `policy::fence` and the policies of `manifests/base/policies` meet it. Here is what is said of them.

use super::Carrier;
use super::doc::Doc;

/// Vault Agent Injector.
pub const VAULT_AGENT: Carrier = Carrier {
    id: "vault-agent",
    title: "Vault Agent Injector, and OpenBao's",
    kinds: &[],
    doc: Doc {
        summary: "annotations of pods name paths and templates",
        fields: &[
            (
                "annotation vault.hashicorp.com/agent-inject-secret-NAME",
                "read; by any domain that ends so, as the injector has it",
            ),
            (
                "annotation vault.hashicorp.com/agent-inject-template-NAME",
                "each path in a call of `secret`; refused where a call cannot be understood",
            ),
            ("annotation vault.hashicorp.com/agent-extra-secret, …/tls-secret", "a Secret of the namespace"),
            ("the same annotations of openbao.org", "as above"),
        ],
        enforced: &[
            "Paths lie inside the namespace's scope, in a mount that `carriers.mappings` gives it, with `data/` behind it or not.",
            "Template files, commands, tokens, agent configurations, JSON patches and a cache that lends the agent's token are refused: they reach more than one path that could be compared.",
            "Another server (`service`, `proxy-address`) and another namespace of Vault are refused: the injector's own are those that `carriers.mappings` speaks of (docs/operators.md).",
        ],
        undecidable: &["What the agent's role may read: Vault's policies say it."],
        beside: "One Vault role for each service account, with a policy for its scope alone.",
    },
};

/// Bank-Vaults.
pub const BANK_VAULTS: Carrier = Carrier {
    id: "bank-vaults",
    title: "Bank-Vaults secrets-webhook",
    kinds: &[],
    doc: Doc {
        summary: "`vault:PATH#KEY` in env values, annotations, ConfigMaps and Secrets",
        fields: &[
            ("env `vault:`, `>>vault:`, `bao:`, `${vault:…}`", "read, or written"),
            (
                "ConfigMap data, binaryData, the same",
                "read, or written; a value by its beginning, an expression on any line",
            ),
            ("Secret data, the same, and `.dockerconfigjson`", "refused by `refgate check`"),
            (
                "annotation secrets-webhook.security.bank-vaults.io/vault-from-path, …/bao-from-path",
                "read; a list",
            ),
        ],
        enforced: &[
            "Paths in pods, workloads and ConfigMaps lie inside the namespace's scope, in a mount that `carriers.mappings` gives it; what only starts like one is refused.",
            "A reference in a Secret of a bound namespace, as a value, inside a value or in a docker configuration, is refused by `refgate check`. So is a \
             docker configuration with an escape that could hide one: `\\u00XX` of a letter, a digit or a colon, the end of a line inside of an `auth`.",
            "Agent configurations by annotation, another server (`vault-addr`), another namespace of Vault or engine of its transit, and credentials of \
             another namespace are refused; `aws-tls-secret-arn` is taken apart like any ARN, and `aws-region` is one of `aws.regions`.",
            "The same text in a template that an object of another carrier puts into a Secret is refused at that object, a path of its own too.",
        ],
        undecidable: &[
            "References in Secrets that reach the API server: RefGate reads no Secret there (docs/security.md).",
            "What its webhook resolves: it mutates, so the path is gone before anybody can judge. Leave bound namespaces out of its \
             configuration: namespaceSelector {key: refgate.dev/group, operator: DoesNotExist} (docs/operators.md).",
        ],
        beside: "One Vault role for each service account, with a policy for its scope alone.",
    },
};

/// argocd-vault-plugin.
pub const ARGOCD_VAULT_PLUGIN: Carrier = Carrier {
    id: "argocd-vault-plugin",
    title: "argocd-vault-plugin",
    kinds: &[],
    doc: Doc {
        summary: "placeholders that Argo CD resolves before they reach the API server",
        fields: &[
            ("Secret data, ConfigMap data and env `<path:PATH#KEY>`", "a leftover: the plugin did not run"),
            ("annotation avp.kubernetes.io/path of a pod, a ConfigMap or, in a file, a Secret", "read"),
        ],
        enforced: &[
            "A placeholder in a Secret of a bound namespace is refused by policy `refgate-leftovers`, inside the API server; in a ConfigMap or an env \
             value by the webhook.",
            "The annotation's path lies inside the namespace's scope, for Vault in a mount that `carriers.mappings` gives it.",
        ],
        undecidable: &["What Argo CD resolves: it arrives as an ordinary Secret."],
        beside: "Argo CD's own role in the secret manager: what it may read, every repository that it follows can read.",
    },
};

/// Injectors by the value of an env var.
pub const VALUES: Carrier = Carrier {
    id: "env-values",
    title: "secrets-init, berglas, vals and the AWS sidecar injector",
    kinds: &[],
    doc: Doc {
        summary: "references as the value of an env var, resolved inside the pod or by a webhook",
        fields: &[
            ("env `arn:aws:secretsmanager:…`", "read"),
            (
                "env `gcp:secretmanager:…`, `sm://…`, `berglas://…`, `ref+…`, `secretref+…`, `azure:keyvault:…`",
                "read",
            ),
            ("ConfigMap data, a whole value of these", "read, once it is an env var"),
            ("Secret data `arn:aws:secretsmanager:…`, `arn:aws:ssm:…`", "refused by `refgate check`"),
            ("annotation secrets.k8s.aws/secret-arn", "read"),
        ],
        enforced: &[
            "An ARN is taken apart: account, region and path are those that `aws` of the configuration and the scope give.",
            "`gcp:secretmanager:projects/PROJECT/secrets/NAME` and `sm://PROJECT/NAME` are what `carriers.mappings` gives to the scope.",
            "Others are refused in bound namespaces unless their literal path lies inside the scope; what only starts like one too.",
            "Parameters of `ref+…` that lead elsewhere are refused: of those behind the `?` a listed region, a role of a listed account, versions and \
             what is made of the value may stand there.",
        ],
        undecidable: &["Reads by a program's own code with the pod's identity."],
        beside: "IAM roles for service accounts, one for each scope.",
    },
};

/// Copiers between namespaces.
pub const REPLICATORS: Carrier = Carrier {
    id: "replicators",
    title: "reflector, kubernetes-replicator, config-syncer",
    kinds: &[],
    doc: Doc {
        summary: "annotations by which a Secret or a ConfigMap is copied out of one namespace or into another",
        fields: &[(
            "annotations reflector.v1.k8s.emberstack.com/…, replicator.v1.mittwald.de/…, kubed.appscode.com/…",
            "a copy",
        )],
        enforced: &[
            "Secrets and ConfigMaps of bound namespaces take no such annotation, copies that are pushed into them included: policy \
             `refgate-replicators`, inside the API server.",
            "No object of another carrier gives one to the Secret that it fills.",
        ],
        undecidable: &[
            "Policies of Kyverno and the like that clone Secrets: what they may do, their own rules say.",
            "An annotation that was there before the binding: the tool goes on copying. `refgate scan` names those of ConfigMaps.",
        ],
        beside: "Share a secret by its path: `refgate.dev/shared-paths` on the Namespace.",
    },
};
