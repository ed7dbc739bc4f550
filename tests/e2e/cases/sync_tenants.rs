//! What somebody with `edit` in one namespace tries against the sync: nobody else notices.

use std::net::{SocketAddr, TcpListener};

use refgate::policy::path::secret_name;
use serde_json::{Value, json};

use super::sync::BINDING;
use crate::harness::api::MERGE;
use crate::harness::objects::pod;
use crate::harness::process::free_port;
use crate::harness::sync::{Source, secrets};
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World, apply_overlay, base64, scope_labels};

/// A claim to a path, with a value of one's own.
fn claim(name: &str, path: &str, more: &Value) -> Value {
    let mut secret = json!({
        "metadata": {
            "name": name, "labels": {"app.kubernetes.io/managed-by": "refgate"},
            "annotations": {
                "refgate.dev/path": path, "refgate.dev/version": "1", "refgate.dev/keys": "[\"value\"]",
                "refgate.dev/changed": "2999-01-01T00:00:00Z",
            },
        },
        "stringData": {"value": "mine"},
    });
    json_patch::merge(&mut secret, more);
    secret
}

/// Does something while the policy that guards claims is out of force.
fn unguarded(namespace: &Namespace<'_>, act: impl FnOnce()) {
    let world = namespace.world;
    let guards = || {
        let probe = claim("probe", "any/path/at/all", &json!({}));
        namespace.developer.api.post(&namespace.path("secrets?dryRun=All"), &probe).code == 403
    };
    world.plane.admin.api.delete(BINDING).ok();
    until("the policy is out of force", || (!guards()).then_some(()));
    act();
    apply_overlay(&world.plane).ok();
    until("the policy is in force again", || guards().then_some(()));
}

/// Two namespaces: the attacker's, and one that has to go on. Each has a secret `one`, the attacker's also `two`.
struct Scene<'w> {
    mine: Namespace<'w>,
    victim: Namespace<'w>,
    scope: [String; 2],
    source: Source<'w>,
}

impl<'w> Scene<'w> {
    fn new(world: &'w World, name: &str) -> Self {
        // The attacker's scope comes first in every list.
        let scope = ["a", "z"].map(|side| format!("mozmeao/{side}-{name}/stage"));
        let make = |side: &str, scope: &str| world.bound(&format!("sync-{name}-{side}"), scope, &[]);
        let (mine, victim) = (make("mine", &scope[0]), make("victim", &scope[1]));
        let source = Source::new(world, name, &json!({}));
        let scene = Self { mine, victim, scope, source };
        scene.hold("first", "1");
        scene
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.scope[0])
    }

    fn theirs(&self) -> String {
        format!("{}/one", self.scope[1])
    }

    /// What the manager has: the victim's secret with this value.
    fn hold(&self, value: &str, version: &str) {
        let (one, two, theirs) = (self.path("one"), self.path("two"), self.theirs());
        self.source.write(&secrets(&[(&one, "true", "1"), (&two, "true", "1"), (&theirs, value, version)]));
    }

    fn deploy(&self) {
        self.mine.make_deployment("web", &[("A", "secret:one"), ("B", "secret:two")]);
        self.victim.make_deployment("web", &[("A", "secret:one")]);
    }

    /// The victim's rotation is followed, whatever the attacker has done.
    fn goes_on(&self, value: &str, version: &str) {
        self.hold(value, version);
        self.victim.wait_holds(&self.theirs(), &[("value", value)]);
    }
}

pub fn claims_that_are_forged_before_the_sync(world: &World) {
    let scene = Scene::new(world, "forge");
    let (one, two, theirs) = (scene.path("one"), scene.path("two"), scene.theirs());
    let api = &scene.mine.developer.api;
    unguarded(&scene.mine, || {
        let stuck = json!({"immutable": true, "metadata": {"finalizers": ["example.com/stuck"]}});
        for claim in [
            claim(
                &secret_name(&one),
                &one,
                &json!({"metadata": {"annotations": {"refgate.dev/source": "deleted"}}}),
            ),
            claim(&secret_name(&two), &two, &stuck),
            claim(&secret_name(&theirs), &theirs, &json!({})),
            claim("any-name", &one, &json!({})),
        ] {
            api.post(&scene.mine.path("secrets"), &claim).ok();
        }
    });
    let _sync = scene.source.start();
    scene.deploy();
    scene.victim.wait_holds(&theirs, &[("value", "first")]);
    let made = scene.mine.wait_holds(&one, &[("value", "true")]);
    let said = made["metadata"]["annotations"].as_object().unwrap();
    assert!(
        said["refgate.dev/changed"].as_str().unwrap() < "2100" && !said.contains_key("refgate.dev/source")
    );
    // A finalizer keeps what nobody can change; in its own namespace, and until it is taken off.
    until("the one that cannot be changed is on its way out", || {
        (!scene.mine.synced(&two)?["metadata"]["deletionTimestamp"].is_null()).then_some(())
    });
    scene.goes_on("second", "2");
    let free = json!({"metadata": {"finalizers": null}});
    api.patch(&scene.mine.secret_path(&two), MERGE, &free).ok();
    scene.mine.wait_holds(&two, &[("value", "true")]);
    // No value came to a claim on what is another's, nor to one under another name; and no pod may have either.
    assert_eq!(scene.mine.synced(&theirs).unwrap()["data"]["value"], base64(b"mine"));
    assert_eq!(
        world.plane.admin.api.get(&scene.mine.path("secrets/any-name")).ok()["data"]["value"],
        base64(b"mine")
    );
    let mut by_name = pod("by-name", &[]);
    by_name["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": secret_name(&theirs)}}]);
    until("the webhook knows it as foreign", || (scene.mine.dry_run(&by_name).code == 403).then_some(()));
}

pub fn claims_that_are_stripped(world: &World) {
    let scene = Scene::new(world, "strip");
    let (one, two) = (scene.path("one"), scene.path("two"));
    let _sync = scene.source.start();
    scene.deploy();
    scene.mine.wait_holds(&one, &[("value", "true")]);
    scene.mine.wait_holds(&two, &[("value", "true")]);
    scene.victim.wait_holds(&scene.theirs(), &[("value", "first")]);
    let api = &scene.mine.developer.api;
    unguarded(&scene.mine, || {
        let mine = base64(b"mine");
        let labels = json!({"metadata": {"labels": null}, "data": {"value": mine}});
        let annotations = json!({"metadata": {"annotations": null}, "data": {"value": mine}});
        api.patch(&scene.mine.secret_path(&one), MERGE, &labels).ok();
        api.patch(&scene.mine.secret_path(&two), MERGE, &annotations).ok();
    });
    assert!(scene.mine.wait_event("NameTaken").contains(&scene.scope[0]));
    until("nobody is told to use them", || {
        (scene.mine.catalogue_key("catalogue")? == json!([])).then_some(())
    });
    scene.goes_on("second", "2");
    for path in [&one, &two] {
        api.delete(&scene.mine.secret_path(path)).ok();
        scene.mine.wait_holds(path, &[("value", "true")]);
    }
}

/// A quota that the tenant has used up: told, once; and the namespace may go.
pub fn a_quota_that_is_used_up(world: &World) {
    let scene = Scene::new(world, "quota");
    let quota = json!({"metadata": {"name": "few"}, "spec": {"hard": {"count/secrets": "1"}}});
    let path = scene.mine.path("resourcequotas");
    world.plane.admin.api.post(&path, &quota).ok();
    until("the quota counts", || {
        let quota = world.plane.admin.api.get(&format!("{path}/few")).ok();
        (quota["status"]["hard"]["count/secrets"] == "1").then_some(())
    });
    let own = json!({"metadata": {"name": "own"}, "stringData": {"a": "b"}});
    until("the tenant's own Secret is in", || {
        scene.mine.developer.api.post(&scene.mine.path("secrets"), &own).is_ok().then_some(())
    });
    let sync = scene.source.start();
    scene.deploy();
    let note = scene.mine.wait_event("Refused");
    assert!(note.contains(&scene.scope[0]) && note.contains("exceeded quota: few"), "{note}");
    assert_eq!(sync.metrics()["refgate_sync_names_taken"], 0.0);
    scene.goes_on("second", "2");
    world.plane.admin.api.delete(&format!("{path}/few")).ok();
    scene.mine.wait_holds(&scene.path("one"), &[("value", "true")]);
    scene.mine.wait_holds(&scene.path("two"), &[("value", "true")]);
    world.operator.api.delete(&format!("/api/v1/namespaces/{}", scene.mine.name)).ok();
    until("its catalogue goes with it", || scene.mine.catalogue_key("catalogue").is_none().then_some(()));
    scene.goes_on("third", "3");
}

/// A webhook of the cluster that does not answer for one namespace: each of its Secrets would be waited for.
pub fn a_namespace_whose_writes_hang(world: &World) {
    let scene = Scene::new(world, "hang");
    let crowd: Vec<String> = (0..60).map(|number| scene.path(&format!("many-{number:02}"))).collect();
    let theirs = scene.theirs();
    let hold = |value: &str, version: &str| {
        let mut all: Vec<(&str, &str, &str)> = crowd.iter().map(|path| (&**path, "m", "1")).collect();
        all.push((&theirs, value, version));
        scene.source.write(&secrets(&all));
    };
    hold("first", "1");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let listener = TcpListener::bind(address).unwrap();
    // Connections are taken and kept, for as long as the tests run.
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).collect::<Vec<_>>());
    let name = "e2e-hangs";
    let webhook = json!({
        "metadata": {"name": name},
        "webhooks": [{
            "name": "hangs.example.com", "clientConfig": {"url": format!("https://{address}/")},
            "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.mine.name}},
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 30, "failurePolicy": "Fail",
        }],
    });
    let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    world.plane.admin.api.post(path, &webhook).ok();
    let all = json!({"metadata": {"labels": scope_labels(&scene.scope[0]), "annotations": {"refgate.dev/sync": "scope"}}});
    world.operator.api.patch(&format!("/api/v1/namespaces/{}", scene.mine.name), MERGE, &all).ok();
    scene.victim.make_deployment("web", &[("A", "secret:one")]);
    let sync = scene.source.start();
    scene.victim.wait_holds(&theirs, &[("value", "first")]);
    hold("second", "2");
    scene.victim.wait_holds(&theirs, &[("value", "second")]);
    world.plane.admin.api.delete(&format!("{path}/{name}")).ok();
    until("all of them are there", || (sync.metrics()["refgate_sync_secrets"] >= 61.0).then_some(()));
    scene.mine.wait_holds(&crowd[59], &[("value", "m")]);
}
