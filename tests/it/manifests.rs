//! The manifests against the code that they install: what is written in both must be the same in both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use refgate::config::{self, Config};
use refgate::policy::carriers::settings::Mode;
use refgate::policy::carriers::{self, Handling};
use refgate::policy::level::Level;
use refgate::world::{OWN_NAMESPACE, SYSTEM_NAMESPACES};
use refgate::yaml;
use serde_json::{Value, json};

mod expressions;
mod install;
mod policies;
mod secrets;
mod sync;
mod visits;

const NAMESPACES_LEFT_OUT: [&str; 3] = [SYSTEM_NAMESPACES[0], SYSTEM_NAMESPACES[1], OWN_NAMESPACE];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base")
}

fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let documents = yaml::documents(&text).map(|document| match document {
        Ok(document) => document.value,
        Err(error) => panic!("{}: {error}", file.display()),
    });
    documents.collect()
}

fn kustomization() -> Value {
    documents(&folder().join("kustomization.yaml")).remove(0)
}

fn texts<'a>(value: &'a Value, pointer: &str) -> Vec<&'a str> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no text at {pointer} of {value}"))
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let list = value.pointer(pointer).and_then(Value::as_array);
    list.unwrap_or_else(|| panic!("no list at {pointer} of {value}"))
}

/// All that `kubectl apply -k manifests/` applies.
fn objects() -> Vec<Value> {
    let kustomization = kustomization();
    texts(&kustomization, "/resources").iter().flat_map(|file| documents(&folder().join(file))).collect()
}

fn of_kind(kind: &str) -> Vec<Value> {
    let objects: Vec<Value> = objects().into_iter().filter(|object| object["kind"] == kind).collect();
    assert!(!objects.is_empty(), "there is no {kind}");
    objects
}

/// The object of this kind and name.
fn named(kind: &str, name: &str) -> Value {
    let found = of_kind(kind).into_iter().find(|object| object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn only(kind: &str) -> Value {
    let mut objects = of_kind(kind);
    assert_eq!(objects.len(), 1, "{kind}");
    objects.remove(0)
}

fn shipped_configuration() -> Config {
    let map = only("ConfigMap");
    config::parse(text(&map, "/data/config.yaml")).unwrap()
}

/// `(group, resource)` of each rule that asks about this operation.
fn resources(webhook: &Value, operation: &str) -> BTreeSet<(String, String)> {
    let rules = list(webhook, "/rules").iter().filter(|rule| texts(rule, "/operations").contains(&operation));
    let mut all = BTreeSet::new();
    for rule in rules {
        assert_eq!(rule["scope"], "Namespaced", "{rule}");
        for group in texts(rule, "/apiGroups") {
            for resource in texts(rule, "/resources") {
                all.insert((group.to_owned(), resource.to_owned()));
            }
        }
    }
    all
}

#[test]
fn every_file_is_listed_and_every_listed_file_is_there() {
    let listed: BTreeSet<String> =
        texts(&kustomization(), "/resources").iter().map(|file| (*file).to_owned()).collect();
    let mut there = BTreeSet::new();
    for folder_name in ["", "policies/"] {
        for entry in fs::read_dir(folder().join(folder_name)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".yaml") && name != "kustomization.yaml" {
                there.insert(format!("{folder_name}{name}"));
            }
        }
    }
    assert_eq!(there, listed);
}

#[test]
fn objects_are_named_once_and_live_in_our_namespace() {
    let mut seen = BTreeSet::new();
    for object in objects() {
        let (kind, name) = (text(&object, "/kind"), text(&object, "/metadata/name"));
        assert!(seen.insert(format!("{kind} {name}")), "{kind} {name} is there twice");
        let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
        let home = if name == "refgate-api-servers-reader" { "default" } else { OWN_NAMESPACE };
        assert!(namespace.is_none_or(|namespace| namespace == home), "{kind} {name}");
    }
    assert_eq!(text(&only("Namespace"), "/metadata/name"), OWN_NAMESPACE);
}

#[test]
fn the_validating_webhook_asks_about_every_kind_that_is_judged() {
    let settings = shipped_configuration().settings;
    let kinds = |holds_data: bool| -> BTreeSet<(String, String)> {
        let kinds = settings.judged.iter().filter(|kind| kind.holds_data() == holds_data);
        kinds.map(|kind| (kind.group.to_string(), kind.resource.to_string())).collect()
    };
    let (workloads, data) = (kinds(false), kinds(true));
    assert!(workloads.len() > refgate::policy::workload::KINDS.len(), "the shipped configuration adds kinds");
    assert_eq!(data, [(String::new(), "configmaps".to_owned())].into(), "Secrets are never sent");
    let mut with_debug = workloads.clone();
    with_debug.insert((String::new(), "pods/ephemeralcontainers".to_owned()));
    for webhook in &list(&only("ValidatingWebhookConfiguration"), "/webhooks")[..4] {
        let is_data = text(webhook, "/name").starts_with("judge-data");
        let (created, updated) = if is_data { (&data, &data) } else { (&workloads, &with_debug) };
        assert_eq!(resources(webhook, "CREATE"), *created);
        assert_eq!(resources(webhook, "UPDATE"), *updated);
        assert_eq!(resources(webhook, "DELETE"), BTreeSet::new());
    }
}

#[test]
fn whatever_carries_secrets_is_asked_about_everywhere() {
    let configuration = only("ValidatingWebhookConfiguration");
    let carried = list(&configuration, "/webhooks").last().unwrap();
    assert_eq!(carried["name"], "carry.refgate.dev");
    assert_eq!((&carried["failurePolicy"], &carried["matchPolicy"]), (&json!("Fail"), &json!("Equivalent")));
    assert!(carried.get("matchConditions").is_none(), "nothing is left out");
    let selector = json!({"matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": NAMESPACES_LEFT_OUT},
    ]});
    assert_eq!(carried["namespaceSelector"], selector);
    let [rule] = list(carried, "/rules") else { panic!("one rule") };
    for key in ["apiVersions", "resources"] {
        assert_eq!(rule[key], json!(["*"]), "what is new in a group is not let through");
    }
    assert_eq!((&rule["scope"], &rule["operations"]), (&json!("*"), &json!(["CREATE", "UPDATE"])));
    assert_eq!(texts(rule, "/apiGroups"), carriers::groups());
}

#[test]
fn the_webhook_may_watch_what_a_snapshot_holds() {
    let mut watched = BTreeSet::new();
    for rule in list(&role("ClusterRole", "refgate"), "/rules") {
        assert_eq!(texts(rule, "/verbs"), ["list", "watch"], "{rule}");
        for group in texts(rule, "/apiGroups") {
            watched.extend(
                texts(rule, "/resources").into_iter().map(|resource| (group.to_owned(), resource.to_owned())),
            );
        }
    }
    assert!(watched.remove(&(String::new(), "namespaces".to_owned())));
    let kinds = carriers::kinds().filter(|(_, kind)| kind.is_watched());
    let kinds = kinds.map(|(_, kind)| (kind.group.to_owned(), kind.resource.to_owned()));
    assert_eq!(watched, kinds.collect());
}

#[test]
fn the_mutating_webhook_asks_about_new_pods_alone() {
    for webhook in list(&only("MutatingWebhookConfiguration"), "/webhooks") {
        assert_eq!(resources(webhook, "CREATE"), [(String::new(), "pods".to_owned())].into());
        assert_eq!(resources(webhook, "UPDATE"), BTreeSet::new());
        assert_eq!(webhook["reinvocationPolicy"], "IfNeeded");
    }
}

#[test]
fn the_two_entries_of_a_webhook_differ_in_what_fail_and_ignore_ask_for() {
    for (kind, path) in
        [("MutatingWebhookConfiguration", "/mutate"), ("ValidatingWebhookConfiguration", "/validate")]
    {
        let configuration = only(kind);
        let pairs = if kind == "MutatingWebhookConfiguration" { 1 } else { 2 };
        for pair in list(&configuration, "/webhooks").chunks(2).take(pairs) {
            two_of_a_pair(kind, path, pair);
        }
    }
}

fn two_of_a_pair(kind: &str, path: &str, pair: &[Value]) {
    let [bound, others] = pair else { panic!("pairs of entries in {kind}") };
    for (webhook, policy, operator) in [(bound, "Fail", "Exists"), (others, "Ignore", "DoesNotExist")] {
        assert_eq!(webhook["failurePolicy"], policy);
        assert_eq!(webhook["admissionReviewVersions"], json!(["v1"]));
        assert_eq!(webhook["sideEffects"], "None");
        assert_eq!(text(webhook, "/clientConfig/service/path"), path);
        let selector = json!({"matchExpressions": [
            {"key": "refgate.dev/group", "operator": operator},
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": NAMESPACES_LEFT_OUT},
        ]});
        assert_eq!(webhook["namespaceSelector"], selector, "{kind}");
    }
    let rest = |webhook: &Value| {
        let mut webhook = webhook.as_object().unwrap().clone();
        for key in ["name", "namespaceSelector", "failurePolicy", "timeoutSeconds"] {
            assert!(webhook.remove(key).is_some(), "{key}");
        }
        webhook
    };
    assert_eq!(rest(bound), rest(others), "{kind}");
}

/// The one role with rights on Secrets, which is bound by hand in one namespace after the other.
const SYNC_SECRETS: &str = "refgate-sync-secrets";

#[test]
fn one_role_reaches_secrets_and_nothing_here_gives_it() {
    for role in of_kind("ClusterRole").into_iter().chain(of_kind("Role")) {
        let name = text(&role, "/metadata/name");
        for rule in list(&role, "/rules") {
            let all = |key: &str| {
                texts(rule, &format!("/{key}")).into_iter().map(str::to_owned).collect::<Vec<_>>()
            };
            let (groups, resources, verbs) = (all("apiGroups"), all("resources"), all("verbs"));
            for word in groups.iter().chain(&resources).chain(&verbs) {
                assert!(!word.contains('*'), "{name} has a wildcard");
            }
            // `secrets.refgate.dev` is a word for RBAC and no resource; the real ones are in the core group.
            let of_core = groups.iter().any(String::is_empty);
            let secrets = resources.iter().any(|resource| resource.split('/').next() == Some("secrets"));
            assert!(!(of_core && secrets) || name == SYNC_SECRETS, "{name} has a right on Secrets");
            let escalates = verbs.iter().any(|verb| verb == "escalate" || verb == "impersonate");
            assert!(!escalates && rule.get("nonResourceURLs").is_none(), "{name}");
        }
    }
    for binding in of_kind("ClusterRoleBinding").into_iter().chain(of_kind("RoleBinding")) {
        assert_ne!(binding["roleRef"]["name"], SYNC_SECRETS);
    }
}

#[test]
fn every_account_has_the_rights_of_its_job() {
    let mut rights = BTreeMap::new();
    for (binding_kind, role_kind) in [("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role")] {
        for binding in of_kind(binding_kind) {
            let [subject] = list(&binding, "/subjects") else { panic!("one subject: {binding}") };
            assert_eq!(
                (&subject["kind"], text(subject, "/namespace")),
                (&json!("ServiceAccount"), OWN_NAMESPACE)
            );
            assert_eq!(binding["roleRef"]["kind"], role_kind);
            for rule in list(&role(role_kind, text(&binding, "/roleRef/name")), "/rules") {
                let names = texts(rule, "/resourceNames").into_iter().map(|name| format!(" {name}"));
                let resources = texts(rule, "/resources").join(",") + &names.collect::<String>();
                let what = format!("{} by {role_kind}: {resources}", text(subject, "/name"));
                rights.insert(what, texts(rule, "/verbs").join(","));
            }
        }
    }
    let expected = [
        ("refgate by ClusterRole: namespaces", "list,watch"),
        ("refgate by ClusterRole: sealedsecrets", "list,watch"),
        ("refgate by ClusterRole: sopssecrets", "list,watch"),
        ("refgate by ClusterRole: externalsecrets", "list,watch"),
        ("refgate by ClusterRole: onepassworditems", "list,watch"),
        ("refgate by ClusterRole: secretproviderclasses", "list,watch"),
        ("refgate by ClusterRole: secretsyncs", "list,watch"),
        ("refgate by ClusterRole: dopplersecrets", "list,watch"),
        (
            "refgate by ClusterRole: hcpvaultsecretsapps,vaultdynamicsecrets,vaultpkisecrets,vaultstaticsecrets",
            "list,watch",
        ),
        ("refgate by ClusterRole: azurekeyvaultsecrets", "list,watch"),
        (
            "refgate by ClusterRole: externalsecrets,secretstores,clustersecretstores,pushsecrets",
            "list,watch",
        ),
        ("refgate-sync by ClusterRole: namespaces,pods,replicationcontrollers", "list,watch"),
        ("refgate-sync by ClusterRole: deployments,statefulsets,daemonsets,replicasets", "list,watch"),
        ("refgate-sync by ClusterRole: jobs,cronjobs", "list,watch"),
        ("refgate-sync by ClusterRole: rollouts", "list,watch"),
        ("refgate-sync by ClusterRole: events", "create"),
        ("refgate-sync by ClusterRole: pods/eviction", "create"),
        ("refgate-sync by Role: leases", "create"),
        ("refgate-sync by Role: leases refgate-sync", "get,update"),
        ("refgate by Role: configmaps", "list,watch"),
        ("refgate by Role: endpointslices kubernetes", "get"),
        ("refgate-sync by Role: configmaps", "list,create,patch,delete"),
    ];
    assert_eq!(rights, expected.map(own_pair).into());
}

fn role(kind: &str, name: &str) -> Value {
    let roles = of_kind(kind);
    let role = roles.into_iter().find(|role| role["metadata"]["name"] == name);
    role.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[test]
fn the_scanner_may_list_what_is_judged_and_nothing_else() {
    let mut listed = BTreeSet::new();
    for rule in list(&role("ClusterRole", "refgate-scanner"), "/rules") {
        assert_eq!(texts(rule, "/verbs"), ["list"], "{rule}");
        for group in texts(rule, "/apiGroups") {
            for resource in texts(rule, "/resources") {
                listed.insert((group.to_owned(), resource.to_owned()));
            }
        }
    }
    assert!(listed.remove(&(String::new(), "namespaces".to_owned())));
    let kinds = shipped_configuration().settings.judged;
    let kinds = kinds.iter().map(|kind| (kind.group.to_string(), kind.resource.to_string()));
    let carried = carriers::kinds().filter(|(_, kind)| !matches!(kind.handling, Handling::Harmless));
    let carried = carried.map(|(_, kind)| (kind.group.to_owned(), kind.resource.to_owned()));
    assert_eq!(listed, kinds.chain(carried).collect(), "ConfigMaps among them, Secrets not");
    let catalogue = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    assert_eq!(role("Role", "refgate-scanner")["rules"], catalogue);
}

#[test]
fn who_asks_for_the_status_sees_one_role_binding_by_its_name() {
    let rules = json!([{
        "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings"],
        "resourceNames": ["refgate-sync"], "verbs": ["list"],
    }]);
    assert_eq!(role("ClusterRole", "refgate-status")["rules"], rules);
}

#[test]
fn a_binder_gives_one_role_by_one_name() {
    let binder = role("ClusterRole", "refgate-binder");
    for rule in list(&binder, "/rules") {
        let names = texts(rule, "/resourceNames");
        match texts(rule, "/resources")[..] {
            ["scopes"] => assert_eq!(texts(rule, "/verbs"), ["bind"]),
            ["rolebindings"] => assert_eq!(names, ["refgate-sync"], "no other RoleBinding"),
            ["clusterroles"] => {
                assert_eq!((texts(rule, "/verbs"), names), (vec!["bind"], vec![SYNC_SECRETS]));
            }
            _ => panic!("{rule}"),
        }
    }
}

fn own_pair((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[test]
fn the_shipped_configuration_says_the_defaults() {
    let config = shipped_configuration();
    let levels = config.settings.defaults;
    assert_eq!(
        (levels.enforce, levels.warn, levels.audit),
        (Level::Baseline, Level::Restricted, Level::Restricted)
    );
    assert_eq!(levels, Config::default().settings.defaults, "the file says what holds without it");
}

#[test]
fn audit_first_denies_nothing_outside_of_bound_namespaces_and_changes_nothing_else() {
    let overlay = documents(&folder().join("../overlays/audit-first/config.yaml")).remove(0);
    assert_eq!(overlay["metadata"]["name"], only("ConfigMap")["metadata"]["name"]);
    let mut overlay = config::parse(text(&overlay, "/data/config.yaml")).unwrap();
    assert_eq!(overlay.settings.defaults.enforce, Level::Off);
    let shipped = shipped_configuration();
    overlay.settings.defaults.enforce = shipped.settings.defaults.enforce;
    let carriers = &mut overlay.settings.carriers;
    assert_eq!((carriers.unbound, carriers.cluster_scoped), (Mode::Audit, Mode::Audit));
    *carriers = shipped.settings.carriers.clone();
    assert_eq!(format!("{overlay:?}"), format!("{shipped:?}"));
}

#[test]
fn the_deployments_arguments_are_those_of_the_binary() {
    let nowhere = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-such-folder");
    for name in ["refgate", "refgate-sync"] {
        let deployment = named("Deployment", name);
        let arguments: Vec<String> = texts(&deployment, "/spec/template/spec/containers/0/args")
            .iter()
            // A port that is free, where it is bound before anything is read.
            .map(|argument| match argument.ends_with(":8080") || argument.ends_with(":9090") {
                true => "127.0.0.1:0".to_owned(),
                false => argument.replace("/etc/refgate", nowhere.to_str().unwrap()),
            })
            .collect();
        let output = Command::new(env!("CARGO_BIN_EXE_refgate")).args(&arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        // The command line was understood as a whole; the files come after it.
        assert!(said.contains("cannot read the configuration"), "{said}");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn ports_probes_mounts_and_the_service_fit_together() {
    let deployment = named("Deployment", "refgate");
    let pod = deployment.pointer("/spec/template/spec").unwrap();
    let container = pod.pointer("/containers/0").unwrap();
    let arguments = texts(container, "/args");
    let after = |flag: &str| {
        let at = arguments.iter().position(|argument| *argument == flag);
        arguments[at.unwrap_or_else(|| panic!("no {flag}")) + 1]
    };
    let ports: BTreeMap<&str, u64> = list(container, "/ports")
        .iter()
        .map(|port| (text(port, "/name"), port["containerPort"].as_u64().unwrap()))
        .collect();
    assert_eq!(after("--listen"), format!("0.0.0.0:{}", ports["https"]));
    assert_eq!(after("--health-listen"), format!("0.0.0.0:{}", ports["health"]));
    assert_eq!(after("--metrics-listen"), format!("0.0.0.0:{}", ports["metrics"]));
    // Probes come from the node, which no policy keeps out: no pod has business there.
    let ingress = &named("NetworkPolicy", "refgate")["spec"]["ingress"];
    assert_eq!([0, 1].map(|rule| text(&ingress[rule], "/ports/0/port")), ["https", "metrics"]);
    for (probe, path) in [("readinessProbe", "/readyz"), ("livenessProbe", "/livez")] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "health"}));
    }
    let service = only("Service");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for selector in [
        &service["spec"]["selector"],
        &deployment["spec"]["selector"]["matchLabels"],
        &named("PodDisruptionBudget", "refgate")["spec"]["selector"]["matchLabels"],
        &named("NetworkPolicy", "refgate")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
    assert_eq!(service["spec"]["ports"][0]["targetPort"], "https");
    for kind in ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"] {
        for webhook in list(&only(kind), "/webhooks") {
            let address = &webhook["clientConfig"]["service"];
            assert_eq!(address["name"], service["metadata"]["name"]);
            assert_eq!(address["namespace"], OWN_NAMESPACE);
            assert_eq!(address["port"], service["spec"]["ports"][0]["port"]);
        }
    }
    for flag in ["--config", "--tls-cert", "--tls-key"] {
        let file = Path::new(after(flag));
        let mounts = list(container, "/volumeMounts");
        let mount = mounts.iter().find(|mount| file.parent() == Some(Path::new(text(mount, "/mountPath"))));
        let mount = mount.unwrap_or_else(|| panic!("{flag} is on no volume"));
        assert_eq!(mount["readOnly"], true);
        assert!(mount.get("subPath").is_none(), "a subPath does not follow changes");
        assert!(list(pod, "/volumes").iter().any(|volume| volume["name"] == mount["name"]));
    }
    let map = only("ConfigMap");
    assert!(map["data"].get(Path::new(after("--config")).file_name().unwrap().to_str().unwrap()).is_some());
}

#[test]
fn our_pods_have_no_power_over_their_node() {
    for deployment in of_kind("Deployment") {
        has_no_power(deployment.pointer("/spec/template/spec").unwrap());
    }
}

fn has_no_power(pod: &Value) {
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert!(pod["securityContext"]["runAsUser"].as_u64().unwrap() > 0);
    assert_eq!(pod["securityContext"]["seccompProfile"], json!({"type": "RuntimeDefault"}));
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(key).is_none(), "{key}");
    }
    for container in list(pod, "/containers") {
        let context = json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        });
        assert_eq!(container["securityContext"], context);
        assert!(container["resources"]["limits"]["memory"].is_string());
    }
    for volume in list(pod, "/volumes") {
        assert!(volume.get("hostPath").is_none(), "{volume}");
    }
}
