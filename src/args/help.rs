//! What `refgate COMMAND --help` says below the flags: examples and exit codes.

pub(super) const ARGS: &str = "\
Start here:
  refgate serve --dev                 the webhook, without a cluster
  refgate render examples/pod.yaml    what it makes of a pod
  refgate check deploy/               what it would say of your manifests

`refgate COMMAND --help` has more examples.
";

pub(super) const SERVE_USAGE: &str = "refgate serve --tls-cert FILE --tls-key FILE [OPTIONS]
       refgate serve --dev [--world FILE] [OPTIONS]";

pub(super) const SERVE: &str = "\
In a cluster it watches Namespaces and the catalogue's ConfigMaps, with the service account of its pod or a kubeconfig. \
SIGTERM stops it in two steps: it goes on serving for --grace, then ends what it has accepted within --drain.

Examples:
  refgate serve --dev
  refgate serve --dev --world my-world.yaml --listen 127.0.0.1:9443
  refgate serve --config /etc/refgate/config/config.yaml \\
    --tls-cert /etc/refgate/tls/tls.crt --tls-key /etc/refgate/tls/tls.key

Exit codes:
  0  stopped by a signal
  2  it could not start, or a part of it died; standard error says why
";

pub(super) const SYNC: &str = "\
It copies what pods and templates of a bound namespace refer to, and keeps it fresh. Of several replicas one writes, the \
others stand by. SIGTERM ends the pass that it is in, and gives the lease to the next one. A configuration that changes \
is taken over without a restart.

Examples:
  refgate sync --config /etc/refgate/config/config.yaml
  refgate sync once --dry-run --config config.yaml
  refgate sync status snippets-stage

Exit codes:
  0  stopped by a signal
  2  it could not start, or a part of it died; standard error says why
";

pub(super) const SYNC_ONCE: &str = "\
Lines that begin with # are no changes, but Events that would be sent. What could not be read, standard error says. A Secret that has to be read to be compared is read from \
the secret manager, and shown only where it would change.

Examples:
  refgate sync once --dry-run --config config.yaml
  refgate sync once --config config.yaml

Exit codes:
  0  done; with --dry-run, nothing would change
  1  with --dry-run, something would change
  2  the secret manager or the cluster could not be read, or another replica has the lease (wins over 1)
";

pub(super) const SYNC_STATUS: &str = "\
It reads with your own rights, and no value: of Secrets the metadata alone, or the catalogue where Secrets may not be listed; then \
age and due are not known. Nothing is asked of the secret manager. ClusterRoles refgate-scanner and refgate-status and, in \
RefGate's own namespace, Role refgate-scanner are what it reads with; for one NAMESPACE the role edit there is enough.

States:
  ok        as it should be
  due       its value is older than sync.rotation says
  missing   the secret manager does not list it any more; the Secret stays
  deleted   scheduled for deletion in the secret manager; the Secret stays
  unused    nothing names it; its Secret goes after sync.forgetAfter
  foreign   outside of the binding by now; its Secret goes after sync.rebindGrace
  unsynced  wanted, and there is no Secret
  taken     wanted, and somebody else made a Secret of its name

Examples:
  refgate sync status
  refgate sync status snippets-stage --config config.yaml
  refgate sync status --context production --output json

Exit codes:
  0  all is as it should be
  1  something is due, unsynced, taken, or marked by its source, or a right is missing
  2  something could not be read, or the command line is wrong (wins over 1)
";

pub(super) const CHECK: &str = "\
Which paths a namespace may read, --world or --scope says. Without them references are `unknown`, which is no finding, \
and plaintext alone is judged. Listed is what the level that is enforced counts; what it only warns of comes as a warning. \
ConfigMaps are judged besides pods and workloads. No webhook sees a Secret: a manifest of one with values in it must not be \
committed (exit 1), and is a warning on standard input; --secrets decides. Labels and \
annotations of Namespaces that RefGate cannot read are warnings. Any other document is skipped and counted, and so is what lies in \
kube-system, kube-node-lease or refgate-system, which no webhook sees; a broken one is an error, and the rest is still judged.

Examples:
  refgate check deploy/ --scope mozmeao/snippets/stage --shared mozmeao/shared/stage
  refgate check deploy/ --level restricted
  set -o pipefail; helm template web ./chart | refgate check - --scope mozmeao/snippets/stage
  kustomize build stage/ | refgate check - --world world.yaml --output json
  refgate check --explain mozmeao/snippets/stage/database_url --config config.yaml

Exit codes:
  0  clean, or warnings alone
  1  findings, references that are refused, or values that must not be committed
  2  something could not be read, nothing was, or the command line is wrong (wins over 1)
";

pub(super) const RENDER: &str = "\
Pods are what is injected. A workload is admitted as it is written; it is shown with its pod template as its pods come \
out. Without --world and --scope, the world.yaml beside the file is taken, if there is one; else references are not resolved.

Examples:
  refgate render examples/pod.yaml
  refgate render examples/deployment.yaml --output diff
  helm template web ./chart | refgate render - --output after \\
    --scope mozmeao/snippets/stage

Exit codes:
  0  everything would be admitted
  1  something would be refused; standard error says why
  2  something could not be read, nothing was, references are not resolved, or the command line is wrong (wins over 1)
";

pub(super) const SCAN: &str = "\
Each pod and each workload is judged as admission would judge it if it were made now. Listed is what would be refused. What a \
workload is refused for is not repeated for what it makes: a pod is listed where it is refused for something that its \
owner's entry does not say, and others of the same owner with the same faults are counted there. Left out are pods and \
Jobs that have ended, what is being deleted, ReplicaSets that a Deployment keeps at zero, and namespaces outside of the webhooks.

It needs ClusterRole refgate-scanner and, in RefGate's own namespace, Role refgate-scanner. It reads no Secret.

Examples:
  refgate scan --level restricted
  refgate scan --namespace snippets-stage --config config.yaml
  refgate scan --context production --output json

Exit codes:
  0  all that runs would be admitted
  1  something would be refused
  2  something could not be read, or the command line is wrong (wins over 1)
";

pub(super) const BIND: &str = "\
It changes nothing: what it prints, somebody with ClusterRole refgate-binder applies. Server-side and with a field manager \
of its own, so that the Namespace's other labels stay.

Examples:
  refgate bind snippets-stage mozmeao/snippets/stage --shared mozmeao/shared/stage \\
    | kubectl apply --server-side --field-manager=refgate-bind -f -
  refgate bind snippets-stage mozmeao/snippets/stage --enforce off --audit restricted

Exit codes:
  0  printed
  2  a name, a scope or a path is wrong; standard error says which
";

pub(super) const IAM: &str = "\
Without --writer it is the policy of the role that the sync has (IRSA or Pod Identity): it finds the names of secrets, for \
which AWS has no narrower resource than *, and reads the values below the scope alone. Secrets under a customer managed key \
need --kms-key.

Examples:
  refgate iam mozmeao/snippets/stage --account 111122223333 --region us-west-2
  refgate iam mozmeao/snippets/stage --account 111122223333 --region us-west-2 \\
    --shared mozmeao/shared/stage
  refgate iam mozmeao/snippets/stage --account 111122223333 --region us-west-2 --writer

Exit codes:
  0  printed
  2  a scope, an account, a region or a key is wrong; standard error says which
";

pub(super) const PUT: &str = "\
The value is what standard input holds, byte for byte; a terminal is asked for it, and does not show it. It becomes the current version of the secret, which is made where \
there is none. Before that, standard error says which namespaces may read it, as the Namespaces of the cluster or of --world \
say; a cluster is asked with your own right to list Namespaces, and where none is found the value is stored all the same. \
Credentials are those of the environment, or of a profile. `refgate iam GROUP/APP/ENV --writer` prints the rights that it takes. \
A --file that is not there is made.

Examples:
  refgate put mozmeao/snippets/stage/smtp_password
  openssl rand -hex 32 | refgate put mozmeao/snippets/stage/session_key --trim-newline
  refgate put mozmeao/snippets/stage/tls < tls.json
  eval \"$(aws configure export-credentials --profile sso --format env)\" \\
    && refgate put mozmeao/snippets/stage/tls < tls.json
  refgate put mozmeao/shared/stage/smtp --dry-run
  refgate put mozmeao/snippets/stage/database_url --file secrets.yaml < value

Exit codes:
  0  stored: standard output has path and version; with --dry-run, shown
  2  nothing was stored, or with --dry-run, nobody says who may read it; standard error says why
";

pub(super) const CARRIERS: &str = "\
Examples:
  refgate carriers
  refgate carriers show external-secrets

Exit codes:
  0  shown
  2  there is no such carrier, or the command line is wrong
";

pub(super) const RULES: &str = "\
Examples:
  refgate rules
  refgate rules show url-password

Exit codes:
  0  shown
  2  there is no such rule, or the command line is wrong
";
