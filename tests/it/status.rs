//! `refgate sync status`: the built binary against a scripted API. What rights and policies do is the end-to-end tests' part.

use refgate::policy::path::secret_name;
use refgate::policy::workload::KINDS;
use serde_json::{Value, json};

use crate::api::{Reply, catalogue, namespace, page, status};
use crate::scan::cluster::{
    CATALOGUES, Cluster, DEPLOYMENTS, NAMESPACES, PLANTED, PODS, REPLICA_SETS, Ran, own, owned, pod, workload,
};

const SECRETS: &str = "/api/v1/secrets";
const ROLE_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/rolebindings";
const SCOPE: &str = "mozmeao/snippets/stage";

fn path(name: &str) -> String {
    format!("{SCOPE}/{name}")
}

/// A Secret as a list of metadata has it; with a value, as a server that knows no such lists would send it.
fn secret(path: &str, created: &str, mark: Option<&str>) -> Value {
    let mut secret = json!({
        "metadata": {
            "name": secret_name(path), "namespace": "web", "uid": path,
            "labels": {"app.kubernetes.io/managed-by": "refgate"},
            "annotations": {
                "refgate.dev/path": path, "refgate.dev/version": "0123456789abcdef",
                "refgate.dev/version-created": created,
            },
        },
        "data": {"value": PLANTED},
    });
    if let Some(mark) = mark {
        secret["metadata"]["annotations"]["refgate.dev/source"] = json!(mark);
    }
    secret
}

fn role_binding(namespace: &str, role: &str) -> Value {
    json!({
        "metadata": {"name": "refgate-sync", "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "refgate-sync", "namespace": "refgate-system"}],
    })
}

fn given() -> Vec<Value> {
    vec![role_binding("web", "refgate-sync-secrets")]
}

fn known(names: &[&str]) -> Value {
    let mut map = catalogue("web", "1", "[]");
    map["data"]["known"] = json!(json!(names).to_string());
    map
}

/// As the API server says it.
fn forbidden(what: &str) -> Reply {
    let mut status = status(403);
    status["message"] = json!(format!("{what} is forbidden: User \"ann@example.com\" cannot list resource"));
    Reply::Failure(status)
}

async fn text(cluster: Cluster, flags: &[&str]) -> Ran {
    cluster.run(&["sync", "status"], flags).await
}

async fn told(cluster: Cluster, flags: &[&str]) -> Ran {
    text(cluster, &[flags, &["--output", "json"]].concat()).await
}

/// Path and state of each row, with who uses it.
fn rows(ran: &Ran) -> Vec<(String, String, Vec<String>)> {
    let report = ran.json();
    let places = report["namespaces"].as_array().unwrap().iter();
    let row = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let users = row["usedBy"].as_array().unwrap().iter().map(|user| user.as_str().unwrap().to_owned());
        (text("path"), text("state"), users.collect())
    };
    places.flat_map(|place| place["paths"].as_array().unwrap().iter().map(row).collect::<Vec<_>>()).collect()
}

fn row(name: &str, state: &str, users: &[&str]) -> (String, String, Vec<String>) {
    (path(name), state.to_owned(), users.iter().map(|user| (*user).to_owned()).collect())
}

#[tokio::test]
async fn a_table_says_how_each_path_is_and_an_owner_speaks_for_its_pods() {
    let names = |name: &str| pod(name, &[("A", "secret:smtp")]);
    let mut taken =
        json!({"metadata": {"name": secret_name(&path("taken")), "namespace": "web", "uid": "t"}});
    taken["data"] = json!({"value": PLANTED});
    let env: &[(&str, &str)] =
        &[("A", "secret:database_url"), ("B", "secret:smpt"), ("C", "secret:taken"), ("D", "secret:smtp")];
    let ran = text(
        Cluster::new()
            .list(CATALOGUES, &[known(&["smtp"])])
            .list(ROLE_BINDINGS, &given())
            .list(
                SECRETS,
                &[
                    secret(&path("database_url"), "2020-01-01T00:00:00Z", None),
                    secret(&path("smtp"), "", None),
                    secret(&path("going"), "", Some("deleted")),
                    secret(&path("unused"), "", None),
                    taken,
                ],
            )
            .list(DEPLOYMENTS, &[workload("web", env)])
            .list(REPLICA_SETS, &[owned(workload("web-1", env), "apps/v1", "Deployment", "web")])
            .list(
                PODS,
                &[
                    owned(names("web-1-a"), "apps/v1", "ReplicaSet", "web-1"),
                    owned(names("agent-a"), "example.com/v1", "Agent", "agent"),
                    pod("bare", &[("A", "secret:going")]),
                ],
            ),
        &[],
    )
    .await;
    assert_eq!((ran.code, &*ran.err), (Some(1), ""), "a pipe is shown no progress");
    assert!(!ran.out.contains(PLANTED) && !ran.out.contains('\u{1b}'), "{}", ran.out);
    let cells = |line: &str| {
        line.split("  ")
            .filter(|cell| !cell.is_empty())
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let lines: Vec<Vec<String>> = ran.out.lines().map(cells).collect();
    let starting = |state: &str| {
        lines.iter().filter(|line| line[..].first().is_some_and(|cell| cell == state)).collect::<Vec<_>>()
    };
    assert_eq!(lines[0], ["STATE", "PATH", "SECRET", "VERSION", "AGE", "DUE", "USED BY"]);
    assert_eq!(lines[1], ["web", SCOPE]);
    let due = starting("due")[0];
    assert_eq!(
        due[1..4],
        [path("database_url"), secret_name(&path("database_url")), "0123456789ab…".to_owned()]
    );
    assert!(due[4].ends_with('d') && due[5].ends_with("d ago") && due[6] == "Deployment/web", "{due:?}");
    let expected = [path("smtp"), secret_name(&path("smtp")), "0123456789ab…".into(), "-".into(), "-".into()];
    assert_eq!(starting("ok")[0][1..6], expected);
    assert_eq!(starting("ok")[0][6], "Agent/agent, Deployment/web");
    assert_eq!(starting("deleted")[0][6], "Pod/bare");
    assert_eq!(starting("unused")[0][6], "-");
    assert_eq!(starting("taken")[0][1], path("taken"));
    let unsynced =
        lines.iter().position(|line| line[..].first().is_some_and(|cell| cell == "unsynced")).unwrap();
    assert!(lines[unsynced + 1].concat().contains("did you mean smtp?"), "{}", ran.out);
    let summary = "6 paths in 1 namespace: 1 ok, 1 due, 1 deleted, 1 unused, 1 unsynced, 1 taken";
    assert_eq!(ran.out.lines().last(), Some(summary));
}

#[tokio::test]
async fn secrets_are_asked_for_as_metadata_and_nothing_else_of_them() {
    let held = secret(&path("one"), "2026-01-01T00:00:00Z", None);
    let cluster = Cluster::new()
        .list(CATALOGUES, &[known(&[])])
        .list(ROLE_BINDINGS, &given())
        .list(SECRETS, &[held])
        .list(PODS, &[pod("bare", &[("A", "secret:one")])]);
    let ran = told(cluster, &[]).await;
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));
    assert_eq!(rows(&ran), [row("one", "ok", &["Pod/bare"])]);
    let shown = &ran.json()["namespaces"][0]["paths"][0];
    assert_eq!(shown["created"], "2026-01-01T00:00:00Z");
    assert_eq!(shown["due"], "2027-01-01T00:00:00Z");
    assert_eq!(shown["version"], "0123456789abcdef");
    assert!(!ran.out.contains(PLANTED));
    let asked = || ran.asked.iter().zip(&ran.accepted).filter(|(url, _)| url.contains("/secrets"));
    assert_eq!(asked().count(), 1);
    for (_, accept) in asked() {
        assert_eq!(accept, "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    }
    let binding = ran.asked.iter().find(|url| url.starts_with(ROLE_BINDINGS)).unwrap();
    assert!(binding.contains("fieldSelector=metadata.name%3Drefgate-sync"), "{binding}");
}

/// The configuration says what is due.
#[tokio::test]
async fn a_period_of_the_configuration_counts() {
    let mut cluster = Cluster::new()
        .list(CATALOGUES, &[known(&[])])
        .list(ROLE_BINDINGS, &given())
        .list(SECRETS, &[secret(&path("one"), "2026-01-01T00:00:00Z", None)])
        .list(PODS, &[pod("bare", &[("A", "secret:one")])]);
    cluster.configuration = Some("sync: {rotation: {other: 1h}}\n");
    let ran = told(cluster, &[]).await;
    assert_eq!((ran.code, rows(&ran)), (Some(1), vec![row("one", "due", &["Pod/bare"])]));
    assert_eq!(ran.json()["namespaces"][0]["paths"][0]["due"], "2026-01-01T01:00:00Z");
}

#[tokio::test]
async fn where_the_sync_has_no_right_the_line_says_how_it_gets_it() {
    let mut bound = namespace("web", "1", "stage");
    bound["metadata"]["labels"]["refgate.dev/enforce"] = json!("off");
    bound["metadata"]["annotations"] = json!({"refgate.dev/shared-paths": "mozmeao/shared/stage"});
    let bind = "refgate bind web mozmeao/snippets/stage --shared mozmeao/shared/stage --enforce off \
                | kubectl apply --server-side --field-manager=refgate-bind -f -";
    let delete = format!("kubectl delete rolebinding refgate-sync -n web && {bind}");
    for (bindings, grant) in [
        (vec![], bind.to_owned()),
        // That of another namespace gives nothing here.
        (vec![role_binding("other", "refgate-sync-secrets")], bind.to_owned()),
        (vec![role_binding("web", "view")], delete),
    ] {
        let cluster = || {
            Cluster::default()
                .list(NAMESPACES, &[bound.clone(), own()])
                .list(CATALOGUES, &[known(&[])])
                .list(ROLE_BINDINGS, &bindings)
                .list(SECRETS, &[])
                .list(PODS, &[pod("bare", &[("A", "secret:one")])])
        };
        let ran = told(cluster(), &[]).await;
        assert_eq!((ran.code, rows(&ran)), (Some(1), vec![row("one", "unsynced", &["Pod/bare"])]));
        let report = ran.json();
        assert_eq!(report["missingRights"][0]["grant"], grant);
        assert_eq!(report["namespaces"][0]["syncMayWrite"], false);
        let ran = text(cluster(), &[]).await;
        assert!(ran.out.contains(&format!("grant it: {grant}\n")), "{}", ran.out);
        assert!(ran.out.ends_with("1 path in 1 namespace: 1 unsynced, 1 right missing\n"), "{}", ran.out);
    }
}

#[tokio::test]
async fn without_a_right_on_secrets_the_catalogue_speaks_and_the_line_is_told() {
    let entry = |name: &str| {
        let path = path(name);
        json!({"path": path, "secret": secret_name(&path), "keys": ["value"], "version": "7"})
    };
    let cluster = || {
        Cluster::new()
            .list(CATALOGUES, &[catalogue("web", "1", &json!([entry("one")]).to_string())])
            .list(ROLE_BINDINGS, &given())
            .reply(SECRETS, forbidden("secrets"))
            .reply("/api/v1/namespaces/web/secrets", forbidden("secrets"))
            .list(PODS, &[pod("bare", &[("A", "secret:one"), ("B", "secret:two")])])
    };
    let ran = told(cluster(), &[]).await;
    let expected = vec![row("one", "ok", &["Pod/bare"]), row("two", "unsynced", &["Pod/bare"])];
    assert_eq!((ran.code, rows(&ran)), (Some(1), expected));
    let report = ran.json();
    let first = &report["namespaces"][0]["paths"][0];
    assert_eq!(
        (&first["version"], &first["created"], &first["due"]),
        (&json!("7"), &Value::Null, &Value::Null)
    );
    let grant = "kubectl create role refgate-status -n web --verb=list --resource=secrets && \
                 kubectl create rolebinding refgate-status -n web --role=refgate-status --user=ann@example.com";
    assert_eq!(report["missingRights"][0]["grant"], grant);
    let ran = text(cluster(), &[]).await;
    assert!(ran.out.contains(grant) && ran.out.contains("age, due and marks are not known"), "{}", ran.out);

    // Where those of one namespace alone may be listed, they are.
    let held = secret(&path("one"), "2026-01-01T00:00:00Z", None);
    let ran = told(
        Cluster::new()
            .list(CATALOGUES, &[catalogue("web", "1", &json!([entry("one")]).to_string())])
            .list(ROLE_BINDINGS, &given())
            .reply(SECRETS, forbidden("secrets"))
            .list("/api/v1/namespaces/web/secrets", &[held])
            .list(PODS, &[pod("bare", &[("A", "secret:one")])]),
        &[],
    )
    .await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert_eq!(ran.json()["namespaces"][0]["paths"][0]["created"], "2026-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_right_that_is_missing_everywhere_is_not_a_page_of_lines() {
    let names = ["a", "b", "c", "d", "e"];
    let mut namespaces: Vec<Value> = names.map(|name| namespace(name, "1", "stage")).into();
    namespaces.push(own());
    let bindings = names.map(|name| role_binding(name, "refgate-sync-secrets"));
    let cluster = || {
        let mut cluster = Cluster::default()
            .list(NAMESPACES, &namespaces)
            .list(ROLE_BINDINGS, &bindings)
            .reply(SECRETS, forbidden("secrets"));
        for name in names {
            cluster = cluster.reply(&format!("/api/v1/namespaces/{name}/secrets"), forbidden("secrets"));
        }
        cluster
    };
    let ran = text(cluster(), &[]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.out.matches("grant it: kubectl create role refgate-status").count(), 3, "{}", ran.out);
    assert!(ran.out.contains("the same in 2 more namespaces"), "{}", ran.out);
    assert!(ran.out.ends_with("0 paths in 5 namespaces: 5 rights missing\n"), "{}", ran.out);
    let ran = told(cluster(), &[]).await;
    assert_eq!(ran.json()["missingRights"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_namespace_that_asks_for_all_of_its_scope_wants_what_the_manager_lists() {
    let mut all = namespace("web", "1", "stage");
    all["metadata"]["annotations"] = json!({"refgate.dev/sync": "scope"});
    let cluster = || {
        Cluster::default()
            .list(NAMESPACES, &[all.clone(), own()])
            .list(CATALOGUES, &[known(&["two"])])
            .list(ROLE_BINDINGS, &given())
            .list(SECRETS, &[secret(&path("one"), "", None)])
    };
    let ran = told(cluster(), &[]).await;
    assert_eq!((ran.code, rows(&ran)), (Some(1), vec![row("one", "ok", &[]), row("two", "unsynced", &[])]));
    assert_eq!(ran.json()["namespaces"][0]["wholeScope"], true);
    assert!(
        text(cluster(), &[])
            .await
            .out
            .contains("web  mozmeao/snippets/stage (all of it, by refgate.dev/sync: scope)")
    );
}

/// Whoever has the role `edit` in one namespace, and nothing else.
#[tokio::test]
async fn a_developer_asks_about_the_own_namespace() {
    let cluster = |secrets: Reply| {
        let one = namespace("web", "1", "stage");
        let mut cluster = Cluster::default()
            .reply(NAMESPACES, forbidden("namespaces"))
            .reply("/api/v1/namespaces/web", Reply::Json(one))
            .reply(CATALOGUES, forbidden("configmaps"))
            .reply(
                "/apis/rbac.authorization.k8s.io/v1/namespaces/web/rolebindings",
                forbidden("rolebindings"),
            )
            .reply("/api/v1/namespaces/web/secrets", secrets);
        for kind in &KINDS {
            let base =
                if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
            let pods = [pod("bare", &[("A", "secret:one")])];
            let items: &[Value] = if kind.is_pod() { &pods } else { &[] };
            cluster = cluster.list(&format!("{base}/v1/namespaces/web/{}", kind.resource), items);
        }
        cluster
    };
    let held = secret(&path("one"), "2026-01-01T00:00:00Z", None);
    let ran = told(cluster(page("1", "", &[held])), &["web"]).await;
    assert_eq!((ran.code, rows(&ran)), (Some(0), vec![row("one", "ok", &["Pod/bare"])]));
    let report = ran.json();
    assert_eq!(report["namespaces"][0]["syncMayWrite"], Value::Null);
    let hints: Vec<&str> =
        report["hints"].as_array().unwrap().iter().map(|hint| hint["grant"].as_str().unwrap()).collect();
    assert_eq!(
        hints,
        [
            "kubectl create rolebinding refgate-scanner -n refgate-system --role=refgate-scanner --user=ann@example.com",
            "kubectl create clusterrolebinding refgate-status --clusterrole=refgate-status --user=ann@example.com",
        ]
    );
    let ran = told(cluster(page("1", "", &[])), &["web"]).await;
    assert_eq!((ran.code, rows(&ran)), (Some(1), vec![row("one", "unsynced", &["Pod/bare"])]));
    assert!(ran.out.contains("without the catalogue nobody can say why"), "{}", ran.out);
    // Neither here nor there: nothing is made up.
    let ran = told(cluster(forbidden("secrets")), &["web"]).await;
    assert_eq!((ran.code, &*ran.out), (Some(2), ""));
    assert!(ran.err.contains("neither the catalogue nor Secrets"), "{}", ran.err);
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_the_rest_is_shown() {
    let ran = told(
        Cluster::new()
            .list(CATALOGUES, &[known(&[])])
            .list(ROLE_BINDINGS, &given())
            .list(SECRETS, &[secret(&path("one"), "", None), secret(&path("two"), "", None)])
            .reply(DEPLOYMENTS, Reply::Status(500))
            .list(PODS, &[pod("bare", &[("A", "secret:one")])]),
        &[],
    )
    .await;
    // Who uses the second one may be what could not be listed.
    let expected = vec![row("one", "ok", &["Pod/bare"]), row("two", "ok", &[])];
    assert_eq!((ran.code, rows(&ran)), (Some(2), expected));
    assert!(
        ran.json()["errors"][0].as_str().unwrap().starts_with("deployments cannot be listed"),
        "{}",
        ran.out
    );
    for (cluster, flags, named) in [
        (
            Cluster::default().reply(NAMESPACES, forbidden("namespaces")),
            &[][..],
            "ClusterRole refgate-scanner",
        ),
        (Cluster::default().list(NAMESPACES, &[]), &["web"], "no namespace web"),
        (Cluster::default().list(NAMESPACES, &[]), &["kube-system"], "outside"),
        (
            Cluster::default().list(NAMESPACES, &[namespace("web", "1", "stage")]),
            &[],
            "name RefGate's own with --own-namespace",
        ),
        (Cluster::default(), &["--config", "/nowhere.yaml"], "cannot read the configuration /nowhere.yaml"),
    ] {
        let ran = text(cluster, flags).await;
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{}", ran.err);
        assert!(ran.err.contains(named), "{}", ran.err);
    }
}

/// What the sync lacks for all of the cluster, it says in its catalogues.
#[tokio::test]
async fn a_kind_that_the_sync_may_not_read_is_said_with_the_rule_that_lets_it() {
    let cluster = || {
        let mut map = known(&[]);
        map["data"]["unread"] = json!(r#"["rollouts.argoproj.io"]"#);
        Cluster::new()
            .list(CATALOGUES, &[map])
            .list(ROLE_BINDINGS, &given())
            .list(SECRETS, &[secret(&path("one"), "", None)])
            .list(PODS, &[pod("bare", &[("A", "secret:one")])])
    };
    let rule = "add to ClusterRole refgate-sync (12-rbac-sync.yaml): {apiGroups: [argoproj.io], resources: [rollouts], \
                verbs: [list, watch]}";
    let ran = text(cluster(), &[]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(
        ran.out.contains("missing right  the sync may not list and watch rollouts.argoproj.io"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains(&format!("grant it: {rule}\n")), "{}", ran.out);
    assert!(ran.out.ends_with("1 path in 1 namespace: 1 ok, 1 right missing\n"), "{}", ran.out);
    let ran = told(cluster(), &[]).await;
    assert_eq!((ran.code, &ran.json()["missingRights"][0]["grant"]), (Some(1), &json!(rule)));
}

/// What the manager refuses to the sync wants attention, though nothing else does; and it is why something is not there.
#[tokio::test]
async fn a_scope_that_the_sync_cannot_list_is_said_with_why() {
    let why = "the secret manager refuses: secretsmanager:ListSecrets on *";
    let cluster = |wanted: &str| {
        let mut map = known(&[]);
        map["data"]["unlisted"] = json!(json!({SCOPE: why}).to_string());
        Cluster::new()
            .list(CATALOGUES, &[map])
            .list(ROLE_BINDINGS, &given())
            .list(SECRETS, &[secret(&path("one"), "", None)])
            .list(PODS, &[pod("bare", &[("A", "secret:one"), ("B", wanted)])])
    };
    let said = format!("{SCOPE} could not be listed: {why}");
    let ran = told(cluster("plain"), &[]).await;
    assert_eq!((ran.code, rows(&ran)), (Some(1), vec![row("one", "ok", &["Pod/bare"])]));
    assert_eq!(ran.json()["namespaces"][0]["notes"], json!([said]));
    let ran = told(cluster("secret:two"), &[]).await;
    assert_eq!(ran.json()["namespaces"][0]["paths"][1]["why"], json!(said));
}

/// Names and annotations are tenants' to write; none of them speaks to the terminal.
#[tokio::test]
async fn nothing_of_a_tenant_speaks_to_the_terminal() {
    let mut odd = secret(&path("one"), "", None);
    odd["metadata"]["annotations"]["refgate.dev/version"] = json!("\u{1b}[2J");
    let forged = json!({"metadata": {
        "name": "forged", "namespace": "web", "uid": "f", "labels": {"app.kubernetes.io/managed-by": "refgate"},
        "annotations": {"refgate.dev/path": path("forged")},
    }});
    let circle = owned(pod("bare", &[("A", "secret:one")]), "apps/v1", "ReplicaSet", "round");
    let ran = text(
        Cluster::new()
            .list(CATALOGUES, &[known(&[])])
            .list(ROLE_BINDINGS, &given())
            .list(SECRETS, &[odd, forged])
            .list(REPLICA_SETS, &[owned(workload("round", &[]), "apps/v1", "ReplicaSet", "round")])
            .list(PODS, &[circle]),
        &[],
    )
    .await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(ran.out.contains("\u{fffd}[2J") && !ran.out.contains('\u{1b}'), "{}", ran.out);
    assert!(ran.out.contains("ReplicaSet/round") && !ran.out.contains("forged"), "{}", ran.out);
}
