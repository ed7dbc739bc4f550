//! A control plane with RefGate installed: namespaces, people in them, synced Secrets.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;

use refgate::policy::path::secret_name;
use serde_json::{Value, json};

use super::api::{APPLY, MERGE};
use super::kubectl::Ran;
use super::objects::{PASSWORD, pod};
use super::plane::{Person, Plane};
use super::process::free_port;
use super::refgate::{Files, Replica, account_token, repository, run_refgate};
use super::service::Service;
use super::wait::until;

pub struct World {
    pub plane: Plane,
    pub service: Service,
    pub files: Files,
    pub operator: Person,
    /// The sync's account: until there is a sync, the setup writes with it what the sync would.
    pub sync: Person,
    /// How the audit log tells it from the sync itself.
    pub sync_credential: String,
    pub replicas: Mutex<Vec<Replica>>,
}

/// A namespace of one test, and its developer.
pub struct Namespace<'w> {
    pub world: &'w World,
    pub name: String,
    /// Has the role `edit` here, and no right anywhere else.
    pub developer: Person,
}

/// A synced Secret: its path and its keys with their values.
pub type Synced<'a> = (&'a str, &'a [(&'a str, &'a str)]);

impl World {
    pub fn install(plane: Plane) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let files = Files::make(&plane);
        write_overlay(&plane.folder, address, &files.certificates);
        let service = Service::start(address, &plane.runtime());
        apply_overlay(&plane).ok();
        let admin = &plane.admin;
        give_operators_their_rights(admin);
        files.renew_token(&plane);
        let token = account_token(&plane, "refgate-sync");
        let sync_credential = credential(&token);
        let sync = plane.person("sync", &token);
        let operator = plane.operator();
        wait_for_right(&sync, "refgate-system", "", "configmaps", "patch");
        wait_for_right(&operator, "", "", "namespaces", "create");
        wait_for_right(&operator, "", "refgate.dev", "scopes", "bind");
        let world =
            Self { plane, service, files, operator, sync, sync_credential, replicas: Mutex::new(Vec::new()) };
        world.add_replica();
        world.wait_in_force();
        world
    }

    /// Starts a replica and waits until the Service knows it.
    pub fn add_replica(&self) {
        let mut replica = Replica::start(&self.plane, &self.files);
        replica.wait_ready(&self.plane.runtime());
        let mut replicas = self.replicas.lock().unwrap();
        self.service.add(replica.backend);
        replicas.push(replica);
        let count = replicas.len();
        drop(replicas);
        until("the Service knows the replica", || (self.service.ready() == count).then_some(()));
    }

    /// Stops the oldest replica, as a rolling update does.
    pub fn stop_replica(&self) {
        let mut replica = self.replicas.lock().unwrap().remove(0);
        let status = replica.process.stop();
        assert!(status.success(), "RefGate ended with {status}");
        self.service.remove(replica.backend);
    }

    /// Stops all of them, and waits until the Service is an address where nobody answers.
    pub fn stop_replicas(&self) {
        while !self.replicas.lock().unwrap().is_empty() {
            self.stop_replica();
        }
        until("the Service knows no replica", || (self.service.ready() == 0).then_some(()));
    }

    /// The API server takes a moment to hear of webhooks and policies, and they are asked from then on.
    fn wait_in_force(&self) {
        let probe = self.bound("in-force", "probe/of/setup", &[]);
        until("the webhooks are in force", || {
            let answer = probe.dry_run(&pod("probe", &[("A", "secret:a")]));
            let injected = answer.body.pointer("/spec/containers/0/env/0/valueFrom").is_some();
            let plaintext = pod("probe", &[("DB_PASSWORD", PASSWORD)]);
            (injected && probe.dry_run(&plaintext).code == 403).then_some(())
        });
        until("the policies are in force", || {
            let binding = json!({"metadata": {"labels": scope_labels("probe/of/setup")}});
            let path = "/api/v1/namespaces/kube-system?dryRun=All";
            (!self.plane.admin.api.patch(path, MERGE, &binding).is_ok()).then_some(())
        });
    }

    /// A namespace without a binding, made by an operator, with a developer who may edit in it.
    pub fn namespace(&self, name: &str) -> Namespace<'_> {
        self.make(name, json!({}), json!({}), &[])
    }

    /// A namespace bound to `group/app/env`, with Secrets that the sync has put there.
    pub fn bound(&self, name: &str, scope: &str, synced: &[Synced<'_>]) -> Namespace<'_> {
        self.make(name, scope_labels(scope), json!({}), synced)
    }

    pub fn make(
        &self,
        name: &str,
        labels: Value,
        annotations: Value,
        synced: &[Synced<'_>],
    ) -> Namespace<'_> {
        let bound = labels.get("refgate.dev/group").is_some();
        let object = json!({"metadata": {"name": name, "labels": labels, "annotations": annotations}});
        self.operator.api.post("/api/v1/namespaces", &object).ok();
        let admin = &self.plane.admin.api;
        let developer = self.plane.newcomer();
        bind(&self.plane.admin, name, "edit", &developer.name);
        if bound {
            self.let_sync_in(name);
        }
        until("the namespace has its ServiceAccount", || {
            admin.get(&format!("/api/v1/namespaces/{name}/serviceaccounts/default")).is_ok().then_some(())
        });
        wait_for_right(&developer, name, "", "pods", "create");
        if bound {
            wait_for_right(&self.sync, name, "", "secrets", "create");
        }
        let namespace = Namespace { world: self, name: name.to_owned(), developer };
        if !synced.is_empty() {
            namespace.sync(synced, &[]);
        }
        namespace
    }

    /// Gives the sync its right on the Secrets of a namespace: with what `refgate bind` prints, by an operator.
    pub fn let_sync_in(&self, namespace: &str) {
        // The labels come from the test, and a broken one of them too; the other half is the same for every scope.
        let printed = run_refgate(&["bind", namespace, "any/scope/here"]);
        let documents = refgate::yaml::documents(&printed).map(|document| document.unwrap().value);
        let binding = documents.last().unwrap();
        let name = binding["metadata"]["name"].as_str().unwrap();
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/{name}");
        self.operator.api.patch(&format!("{path}?fieldManager=refgate-bind"), APPLY, &binding).ok();
    }

    /// Writes the catalogue of a namespace as the sync does; RefGate may not have heard of it yet.
    pub fn write_catalogue(&self, namespace: &str, entries: &[Value], known: &[&str]) {
        let name = format!("catalogue.{namespace}");
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "refgate-system", "labels": {"refgate.dev/catalogue": "true"}},
            "data": {"catalogue": json!(entries).to_string(), "known": json!(known).to_string()},
        });
        let path =
            format!("/api/v1/namespaces/refgate-system/configmaps/{name}?fieldManager=sync&force=true");
        self.sync.api.patch(&path, APPLY, &map).ok();
    }

    /// All reviews that all replicas have logged.
    pub fn reviews(&self) -> Vec<Value> {
        self.replicas.lock().unwrap().iter().flat_map(Replica::reviews).collect()
    }

    /// The metrics of all replicas, summed.
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let mut sum = BTreeMap::new();
        for replica in self.replicas.lock().unwrap().iter() {
            for (key, value) in replica.metrics(&self.plane.runtime()) {
                *sum.entry(key).or_default() += value;
            }
        }
        sum
    }
}

impl Namespace<'_> {
    pub fn path(&self, resource: &str) -> String {
        format!("/api/v1/namespaces/{}/{resource}", self.name)
    }

    /// What would come of a pod that the developer makes.
    pub fn dry_run(&self, pod: &Value) -> super::api::Answer {
        self.developer.api.post(&self.path("pods?dryRun=All"), pod)
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Ran {
        self.developer.kubectl.run(&[&["-n", &self.name], arguments].concat())
    }

    pub fn kubectl_with(&self, arguments: &[&str], stdin: &str) -> Ran {
        self.developer.kubectl.run_with(&[&["-n", &self.name], arguments].concat(), stdin)
    }

    /// Does what the sync does: Secrets, and the catalogue that says where they are. Waits until RefGate knows it.
    pub fn sync(&self, synced: &[Synced<'_>], known: &[&str]) {
        let mut entries = Vec::new();
        for (path, keys) in synced {
            let name = secret_name(path);
            let names: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
            let secret = json!({
                "metadata": {
                    "name": name, "labels": {"app.kubernetes.io/managed-by": "refgate"},
                    "annotations": {"refgate.dev/path": path, "refgate.dev/version": "v1"},
                },
                "stringData": keys.iter().copied().collect::<BTreeMap<_, _>>(),
            });
            self.world.sync.api.post(&self.path("secrets"), &secret).ok();
            entries.push(entry(path, &names));
        }
        self.catalogue(&entries, known);
    }

    /// Writes the catalogue of this namespace, and waits until RefGate knows it.
    pub fn catalogue(&self, entries: &[Value], known: &[&str]) {
        self.world.write_catalogue(&self.name, entries, known);
        let Some(last) = entries.last() else { return };
        until("RefGate knows the catalogue", || {
            let reference = format!("secret:/{}", last["path"].as_str().unwrap());
            let answer = self.dry_run(&pod("known", &[("A", &reference)]));
            let unknown = |text: &String| text.contains("not synced yet") || text.contains("does not know");
            (answer.is_ok() && !answer.warnings.iter().any(unknown)).then_some(())
        });
    }
}

/// An entry of a catalogue, as the sync writes it.
pub fn entry(path: &str, keys: &[&str]) -> Value {
    json!({"path": path, "secret": secret_name(path), "keys": keys, "version": "v1"})
}

/// RBAC is followed with a moment's delay: waits until someone has what was given, `resource/subresource` or a resource.
pub fn wait_for_right(person: &Person, namespace: &str, group: &str, resource: &str, verb: &str) {
    let (main, sub) = resource.split_once('/').unwrap_or((resource, ""));
    let review = json!({"spec": {"resourceAttributes": {
        "namespace": namespace, "group": group, "resource": main, "subresource": sub, "verb": verb,
    }}});
    until(&format!("{} may {verb} {resource} in {namespace:?}", person.name), || {
        let answer = person.api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).ok();
        (answer["status"]["allowed"] == true).then_some(())
    });
}

pub fn scope_labels(scope: &str) -> Value {
    let parts: Vec<&str> = scope.split('/').collect();
    let [group, app, env] = parts[..] else { panic!("{scope} is no group/app/env") };
    json!({"refgate.dev/group": group, "refgate.dev/app": app, "refgate.dev/env": env})
}

/// Gives a user a ClusterRole in one namespace.
pub fn bind(admin: &Person, namespace: &str, role: &str, user: &str) {
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
    let subject = json!({"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"});
    let name = format!("{user}-{role}");
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role});
    admin.api.post(&path, &json!({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]})).ok();
}

/// Operators make and change namespaces, and hold `bind`, which README.md of the manifests tells how to give.
pub fn give_operators_their_rights(admin: &Person) {
    admin
        .kubectl
        .run(&[
            "create",
            "clusterrolebinding",
            "refgate-binder",
            "--clusterrole=refgate-binder",
            "--group=platform-operators",
        ])
        .ok();
    let verbs = "--verb=get,list,watch,create,update,patch,delete";
    admin.kubectl.run(&["create", "clusterrole", "e2e-namespaces", verbs, "--resource=namespaces"]).ok();
    let group = "--group=platform-operators";
    admin
        .kubectl
        .run(&["create", "clusterrolebinding", "e2e-namespaces", "--clusterrole=e2e-namespaces", group])
        .ok();
}

/// The overlay as an installation has it: a copy with its address filled in.
fn write_overlay(folder: &Path, address: SocketAddr, certificates: &Path) {
    let (from, to) = (repository().join("manifests"), folder.join("manifests"));
    for inner in ["base", "base/policies", "overlays/url"] {
        fs::create_dir_all(to.join(inner)).unwrap();
        for entry in fs::read_dir(from.join(inner)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, to.join(inner).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    let file = to.join("overlays/url/address.yaml");
    let bundle = base64(&fs::read(certificates.join("ca.crt")).unwrap());
    let text = fs::read_to_string(&file).unwrap();
    let filled = text
        .replace("host: refgate.example.com:443", &format!("host: {address}"))
        .replace("caBundle: \"\"", &format!("caBundle: {bundle}"));
    assert_ne!(text, filled);
    fs::write(file, filled).unwrap();
}

/// The id of a token, which the API server writes into the audit log.
fn credential(token: &str) -> String {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    claims["jti"].as_str().unwrap().to_owned()
}

pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub fn apply_overlay(plane: &Plane) -> Ran {
    let folder = plane.folder.join("manifests/overlays/url");
    plane.admin.kubectl.run(&["apply", "-k", folder.to_str().unwrap()])
}
