//! The sync on a real API server: secrets from a file into namespaces, and whatever people do to them there.

use std::collections::BTreeMap;

use refgate::policy::path::secret_name;
use serde_json::{Value, json};

use crate::harness::api::MERGE;
use crate::harness::objects::{deployment, pod, pod_spec};
use crate::harness::sync::{Source, secrets, writes};
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World, apply_overlay, base64, scope_labels};

pub(super) const BINDING: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/refgate-synced-secrets";

impl Namespace<'_> {
    pub(super) fn secret_path(&self, path: &str) -> String {
        self.path(&format!("secrets/{}", secret_name(path)))
    }

    /// The Secret of a path.
    pub(super) fn synced(&self, path: &str) -> Option<Value> {
        let answer = self.world.plane.admin.api.get(&self.secret_path(path));
        (answer.code != 404).then(|| answer.ok())
    }

    /// Waits until a path's Secret holds exactly this.
    pub(super) fn wait_holds(&self, path: &str, data: &[(&str, &str)]) -> Value {
        let data: BTreeMap<&str, String> =
            data.iter().map(|(key, value)| (*key, base64(value.as_bytes()))).collect();
        let data = json!(data);
        until(&format!("{path} holds what it should"), || {
            self.synced(path).filter(|secret| secret["data"] == data)
        })
    }

    pub fn wait_gone(&self, path: &str) {
        until(&format!("{path} is gone"), || self.synced(path).is_none().then_some(()));
    }

    /// One of the lists of the catalogue.
    pub(super) fn catalogue_key(&self, key: &str) -> Option<Value> {
        let path = format!("/api/v1/namespaces/refgate-system/configmaps/catalogue.{}", self.name);
        let answer = self.world.plane.admin.api.get(&path);
        answer.is_ok().then(|| serde_json::from_str(answer.body["data"][key].as_str()?).ok()).flatten()
    }

    /// Waits for an Event of this reason, and gives its sentence.
    pub(super) fn wait_event(&self, reason: &str) -> String {
        until(&format!("an Event {reason}"), || {
            let events = self.world.plane.admin.api.get(&self.path("events")).ok();
            let found = events["items"].as_array()?.iter().find(|event| event["reason"] == reason)?;
            Some(found["message"].as_str()?.to_owned())
        })
    }

    pub(super) fn make_deployment(&self, name: &str, env: &[(&str, &str)]) {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments", self.name);
        self.developer.api.post(&path, &deployment(name, 1, &pod_spec(env))).ok();
    }
}

/// A value in the manager, a Deployment that refers to it, the Secret, the catalogue, the injected pod, a rotation; and then
/// nothing is written any more.
pub fn the_whole_line(world: &World) {
    let namespace = world.bound("sync-line", "mozmeao/line/stage", &[]);
    let source = Source::new(world, "line", &json!({}));
    let (url, smtp) = ("mozmeao/line/stage/database_url", "mozmeao/line/stage/smtp");
    let foreign = "mozmeao/line/prod/database_url";
    let object = r#"{"user":"u","pass.word":"p"}"#;
    source.write(&secrets(&[
        (url, "first", "1"),
        (smtp, object, "1"),
        ("mozmeao/line/stage/unused", "unused", "1"),
        (foreign, "foreign", "1"),
    ]));
    let sync = source.start();
    namespace.make_deployment("web", &[("URL", "secret:database_url"), ("USER", "secret:smtp#user")]);
    let first = namespace.wait_holds(url, &[("value", "first")]);
    assert_eq!(first["type"], "Opaque");
    assert_eq!(first["metadata"]["labels"], json!({"app.kubernetes.io/managed-by": "refgate"}));
    let annotations = &first["metadata"]["annotations"];
    for (key, value) in [
        ("path", url),
        ("version", "1"),
        ("version-created", "2026-11-01T00:00:00Z"),
        ("keys", r#"["value"]"#),
    ] {
        assert_eq!(annotations[format!("refgate.dev/{key}")], value, "{annotations}");
    }
    let changed = annotations["refgate.dev/changed"].clone();
    namespace.wait_holds(smtp, &[("value", object), ("user", "u"), ("pass.2eword", "p")]);
    let entry = |path: &str, keys: &[&str]| json!({"path": path, "secret": secret_name(path), "keys": keys, "version": "1"});
    let listed = json!([entry(url, &["value"]), entry(smtp, &["pass.2eword", "user", "value"])]);
    until("the catalogue says both", || (namespace.catalogue_key("catalogue")? == listed).then_some(()));
    assert_eq!(namespace.catalogue_key("known"), Some(json!(["unused"])));
    // The webhook has heard of it: nothing is left to warn of, and a typo is understood.
    until("the webhook resolves through it", || {
        let answer = namespace.dry_run(&pod("asks", &[("URL", "secret:database_url")]));
        answer.warnings.iter().all(|warning| !warning.contains("not synced")).then_some(())
    });
    let typo = namespace.dry_run(&pod("asks", &[("URL", "secret:unusd")]));
    assert!(typo.warnings.iter().any(|warning| warning.contains("unused")), "{:?}", typo.warnings);
    for path in ["mozmeao/line/stage/unused", foreign] {
        assert_eq!(namespace.synced(path), None, "nothing refers to {path}");
    }

    let settled = writes(world);
    sync.wait_lists(6.0);
    assert_eq!(writes(world), settled, "nothing changed, so nothing is written");

    source.write(&secrets(&[(url, "second", "2"), (smtp, r#"{"user":"u2"}"#, "2")]));
    let second = namespace.wait_holds(url, &[("value", "second")]);
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"], "the same Secret");
    assert_eq!(second["metadata"]["annotations"]["refgate.dev/version"], "2");
    assert_ne!(second["metadata"]["annotations"]["refgate.dev/changed"], changed);
    // A property that is gone takes its key with it.
    namespace.wait_holds(smtp, &[("value", r#"{"user":"u2"}"#), ("user", "u2")]);
}

/// A namespace that asks for all of its scope, and what goes when nothing names it any more.
pub fn all_of_a_scope_and_what_nothing_names(world: &World) {
    let labels = scope_labels("mozmeao/whole/stage");
    let namespace = world.make("sync-whole", labels, json!({"refgate.dev/sync": "scope"}), &[]);
    let source = Source::new(world, "whole", &json!({"forgetAfter": "1s"}));
    let (one, two) = ("mozmeao/whole/stage/one", "mozmeao/whole/stage/deep/two");
    source.write(&secrets(&[(one, "1", "1"), (two, "2", "1"), ("mozmeao/whole/stage2/one", "x", "1")]));
    let sync = source.start();
    namespace.wait_holds(one, &[("value", "1")]);
    namespace.wait_holds(two, &[("value", "2")]);
    assert_eq!(namespace.synced("mozmeao/whole/stage2/one"), None);
    // What a pod names stays, by the name of the Secret in its spec alone.
    let named = json!({"metadata": {"name": "names"}, "spec": {
        "containers": [{"name": "c", "image": "i"}],
        "volumes": [{"name": "v", "secret": {"secretName": secret_name(one)}}],
    }});
    namespace.developer.api.post(&namespace.path("pods"), &named).ok();
    let path = format!("/api/v1/namespaces/{}", namespace.name);
    let off = json!({"metadata": {"annotations": {"refgate.dev/sync": null}}});
    world.operator.api.patch(&path, MERGE, &off).ok();
    namespace.wait_gone(two);
    sync.wait_lists(5.0);
    assert!(namespace.synced(one).is_some(), "a pod names it");
    namespace.developer.api.delete(&namespace.path("pods/names?gracePeriodSeconds=0")).ok();
    namespace.wait_gone(one);
    until("the catalogue is empty", || (namespace.catalogue_key("catalogue")? == json!([])).then_some(()));
}

/// Somebody with the role `edit` is there first, and then tries what the policies refuse.
pub fn a_tenant_in_the_way(world: &World) {
    let namespace = world.bound("sync-tenant", "mozmeao/tenant/stage", &[]);
    let other = world.bound("sync-other", "mozmeao/other/stage", &[]);
    let source = Source::new(world, "tenant", &json!({}));
    let (taken, free) = ("mozmeao/tenant/stage/taken", "mozmeao/tenant/stage/free");
    let (theirs, foreign) = ("mozmeao/other/stage/theirs", "mozmeao/tenant/prod/foreign");
    source.write(&secrets(&[(taken, "t", "1"), (free, "f", "1"), (theirs, "o", "1"), (foreign, "x", "1")]));
    let mine = json!({"metadata": {"name": secret_name(taken)}, "stringData": {"value": "mine"}});
    namespace.developer.api.post(&namespace.path("secrets"), &mine).ok();
    let _sync = source.start();
    let env = [("A", "secret:taken"), ("B", "secret:free")];
    namespace.make_deployment("web", &env);
    other.make_deployment("web", &[("A", "secret:theirs")]);
    other.wait_holds(theirs, &[("value", "o")]);
    let before = namespace.wait_holds(free, &[("value", "f")]);
    let said = namespace.wait_event("NameTaken");
    assert!(said.contains(taken) && !said.contains("mine"), "{said}");
    assert_eq!(
        namespace.synced(taken).unwrap()["data"],
        json!({"value": base64(b"mine")}),
        "nothing is adopted"
    );
    let listed = json!([{"path": free, "secret": secret_name(free), "keys": ["value"], "version": "1"}]);
    until("the catalogue says the other", || (namespace.catalogue_key("catalogue")? == listed).then_some(()));
    for change in [
        json!({"data": {"value": base64(b"mine")}}),
        json!({"immutable": true}),
        json!({"metadata": {"annotations": {"refgate.dev/path": null}}}),
        json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}}),
    ] {
        let answer = namespace.developer.api.patch(&namespace.secret_path(free), MERGE, &change);
        assert_eq!(answer.code, 403, "{change}");
    }
    // A claim of one's own, forged: refs of a pod are not believed, and a foreign path is not synced for the asking.
    let refs = json!([{"path": foreign, "secret": secret_name(foreign), "key": "value"}]).to_string();
    let mut forged = pod("forged", &[("A", "b")]);
    forged["metadata"]["annotations"] = json!({"refgate.dev/refs": refs});
    namespace.developer.api.post(&namespace.path("pods"), &forged);
    let mut by_name = pod("by-name", &[]);
    by_name["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": secret_name(foreign)}}]);
    namespace.developer.api.post(&namespace.path("pods"), &by_name);
    // What is deleted comes again, and what was in the way may go.
    namespace.developer.api.delete(&namespace.secret_path(free)).ok();
    until("it is made again", || {
        let secret = namespace.synced(free)?;
        (secret["metadata"]["uid"] != before["metadata"]["uid"]).then_some(())
    });
    namespace.developer.api.delete(&namespace.secret_path(taken)).ok();
    namespace.wait_holds(taken, &[("value", "t")]);
    assert_eq!(namespace.synced(foreign), None);
}

/// What a policy would have refused, while there is none: it is found by the data, and made good.
pub fn tampering_that_got_through(world: &World) {
    let namespace = world.bound("sync-tamper", "mozmeao/tamper/stage", &[]);
    let source = Source::new(world, "tamper", &json!({}));
    let path = "mozmeao/tamper/stage/one";
    source.write(&secrets(&[(path, "true", "1")]));
    let _sync = source.start();
    namespace.make_deployment("web", &[("A", "secret:one")]);
    let good = [("value", "true")];
    namespace.wait_holds(path, &good);
    world.plane.admin.api.delete(BINDING).ok();
    let tamper = |change: &Value| {
        until("the policy is out of force", || {
            let answer = namespace.developer.api.patch(&namespace.secret_path(path), MERGE, change);
            answer.is_ok().then_some(())
        });
    };
    tamper(&json!({"data": {"value": base64(b"false")}}));
    namespace.wait_holds(path, &good);
    tamper(&json!({"data": {"more": base64(b"more")}}));
    namespace.wait_holds(path, &good);
    let before = namespace.synced(path).unwrap()["metadata"]["uid"].clone();
    tamper(&json!({"immutable": true, "data": {"value": base64(b"false")}}));
    let after = namespace.wait_holds(path, &good);
    assert_ne!(after["metadata"]["uid"], before, "it could not be changed, so it was made again");
    assert_eq!(after.get("immutable"), None);
    apply_overlay(&world.plane).ok();
    until("the policy is in force again", || {
        let change = json!({"metadata": {"labels": {"a": "b"}}});
        let dry_run = format!("{}?dryRun=All", namespace.secret_path(path));
        (namespace.developer.api.patch(&dry_run, MERGE, &change).code == 403).then_some(())
    });
}

/// What was of the old binding stays in the catalogue, foreign, and goes when its grace is over, whatever names it.
pub fn a_namespace_bound_anew(world: &World) {
    let namespace = world.bound("sync-rebind", "mozmeao/before/stage", &[]);
    let source = Source::new(world, "rebind", &json!({"rebindGrace": "4s", "forgetAfter": "1h"}));
    let (old, new) = ("mozmeao/before/stage/one", "mozmeao/after/stage/one");
    source.write(&secrets(&[(old, "old", "1"), (new, "new", "1")]));
    let _sync = source.start();
    namespace.make_deployment("web", &[("A", "secret:one")]);
    namespace.wait_holds(old, &[("value", "old")]);
    until("a pod names it", || {
        let pods = world.plane.admin.api.get(&namespace.path("pods")).ok().to_string();
        pods.contains(&secret_name(old)).then_some(())
    });
    let labels = json!({"metadata": {"labels": scope_labels("mozmeao/after/stage")}});
    let path = format!("/api/v1/namespaces/{}", namespace.name);
    world.operator.api.patch(&path, MERGE, &labels).ok();
    namespace.wait_holds(new, &[("value", "new")]);
    assert!(namespace.wait_event("Rebound").contains(old));
    namespace.wait_gone(old);
    until("the catalogue says the new one alone", || {
        let listed = namespace.catalogue_key("catalogue")?;
        let paths: Vec<&str> = listed.as_array()?.iter().filter_map(|entry| entry["path"].as_str()).collect();
        (paths == [new]).then_some(())
    });
}

/// A manager that is away costs nobody anything, and neither does a secret that is scheduled for deletion.
pub fn a_manager_that_is_away(world: &World) {
    let namespace = world.bound("sync-away", "mozmeao/away/stage", &[]);
    let source = Source::new(world, "away", &json!({"forgetAfter": "0s"}));
    let (one, two) = ("mozmeao/away/stage/one", "mozmeao/away/stage/two");
    source.write(&secrets(&[(one, "1", "1"), (two, "2", "1")]));
    let sync = source.start();
    namespace.make_deployment("web", &[("A", "secret:one"), ("B", "secret:two")]);
    let before = [namespace.wait_holds(one, &[("value", "1")]), namespace.wait_holds(two, &[("value", "2")])];
    source.set_away(true);
    sync.wait_lists(4.0);
    assert_eq!([one, two].map(|path| namespace.synced(path).unwrap()), before, "nothing was written");
    source.set_away(false);
    let mut going = secrets(&[(one, "1", "1")]);
    going[one]["deleted"] = "2026-11-20T00:00:00Z".into();
    source.write(&going);
    assert!(namespace.wait_event("SourceDeleted").contains(one));
    assert!(namespace.wait_event("SourceMissing").contains(two));
    let mark =
        |path: &str| namespace.synced(path).unwrap()["metadata"]["annotations"]["refgate.dev/source"].clone();
    assert_eq!((mark(one), mark(two)), (json!("deleted"), json!("missing")));
    sync.wait_lists(4.0);
    namespace.wait_holds(one, &[("value", "1")]);
    source.write(&secrets(&[(one, "1", "1"), (two, "3", "2")]));
    namespace.wait_holds(two, &[("value", "3")]);
    until("the marks are gone", || (mark(one) == Value::Null && mark(two) == Value::Null).then_some(()));
}

/// Of two replicas one writes; when it is told to go, or is gone, the other one does.
pub fn another_replica_takes_over(world: &World) {
    let namespace = world.bound("sync-lead", "mozmeao/lead/stage", &[]);
    let source = Source::new(world, "lead", &json!({}));
    let path = "mozmeao/lead/stage/one";
    source.write(&secrets(&[(path, "1", "1")]));
    namespace.make_deployment("web", &[("A", "secret:one")]);
    let leads = |sync: &crate::harness::sync::Sync<'_>| sync.metrics()["refgate_sync_leader"] == 1.0;
    let mut first = source.start();
    namespace.wait_holds(path, &[("value", "1")]);
    let mut second = source.start();
    assert!(leads(&first) && !leads(&second));
    assert!(first.process.stop().success());
    source.write(&secrets(&[(path, "2", "2")]));
    namespace.wait_holds(path, &[("value", "2")]);
    assert!(leads(&second));
    // One that is killed gives nothing up: its lease has to end.
    let third = source.start();
    second.kill();
    source.write(&secrets(&[(path, "3", "3")]));
    namespace.wait_holds(path, &[("value", "3")]);
    assert!(leads(&third));
}

/// One pass without a controller: told first, then done.
pub fn once_tells_and_does(world: &World) {
    let namespace = world.bound("sync-once", "mozmeao/once/stage", &[]);
    let source = Source::new(world, "once", &json!({}));
    let path = "mozmeao/once/stage/one";
    source.write(&secrets(&[(path, "pL4nt3dV4lu3", "1")]));
    namespace.make_deployment("web", &[("A", "secret:one")]);
    let told = source.once(&["--dry-run"]);
    let line = format!("create Secret sync-once/{} for {path}", secret_name(path));
    assert!(told.out.lines().any(|other| other == line), "{}{}", told.out, told.err);
    assert_eq!(told.code, Some(1));
    assert!(!told.out.contains("pL4nt3d") && !told.err.contains("pL4nt3d"));
    assert_eq!(namespace.synced(path), None);
    let done = source.once(&[]);
    assert_eq!((done.code, &*done.out), (Some(0), ""), "{}", done.err);
    namespace.wait_holds(path, &[("value", "pL4nt3dV4lu3")]);
    // Another pass finds nothing to do, here and in what other tests left behind.
    let told = source.once(&["--dry-run"]);
    assert!(!told.out.contains("sync-once"), "{}", told.out);
}

/// A namespace without the RoleBinding says what gives it; and the configuration is followed while the sync runs.
pub fn what_an_operator_forgets_and_changes(world: &World) {
    let namespace = world.namespace("sync-forgotten");
    let path = format!("/api/v1/namespaces/{}", namespace.name);
    let labels = json!({"metadata": {"labels": scope_labels("mozmeao/forgotten/stage")}});
    world.operator.api.patch(&path, MERGE, &labels).ok();
    let source = Source::new(world, "forgotten", &json!({}));
    let one = "mozmeao/forgotten/stage/one";
    source.write(&secrets(&[(one, "1", "1")]));
    let sync = source.start();
    namespace.make_deployment("web", &[("A", "secret:one")]);
    let said = namespace.wait_event("RightMissing");
    // Other tests may have left more of them.
    until("it is measured", || (sync.metrics()["refgate_sync_unreadable_namespaces"] >= 1.0).then_some(()));
    let commands =
        said.split('`').nth(1).unwrap().split(" | ").map(|command| command.strip_prefix("kubectl ").unwrap());
    commands.fold(String::new(), |printed, command| {
        let ran = world.operator.kubectl.run_with(&command.split(' ').collect::<Vec<_>>(), &printed);
        ran.ok()
    });
    namespace.wait_holds(one, &[("value", "1")]);
    let deployments = format!("/apis/apps/v1/namespaces/{}/deployments/web", namespace.name);
    namespace.developer.api.delete(&deployments).ok();
    until("no pod is left", || {
        let pods = world.plane.admin.api.get(&namespace.path("pods")).ok();
        pods["items"].as_array()?.is_empty().then_some(())
    });
    // What is invalid changes nothing and is seen; what is valid counts from then on.
    source.configure(&json!({"forgetAfter": "soon"}), &json!([]));
    until("the sync has read it", || (sync.metrics()["refgate_config_reload_success"] == 0.0).then_some(()));
    sync.wait_lists(2.0);
    assert!(namespace.synced(one).is_some(), "for an hour");
    source.configure(&json!({"forgetAfter": "0s"}), &json!([]));
    namespace.wait_gone(one);
    assert_eq!(sync.metrics()["refgate_config_reload_success"], 1.0);
}

/// A kind that the configuration begins to name is looked at from then on.
pub fn a_kind_that_comes_later(world: &World) {
    let namespace = world.bound("sync-kind", "mozmeao/kind/stage", &[]);
    let source = Source::new(world, "kind", &json!({}));
    let one = "mozmeao/kind/stage/one";
    source.write(&secrets(&[(one, "1", "1")]));
    let admin = &world.plane.admin.api;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let definition = json!({
        "metadata": {"name": "rollouts.argoproj.io"},
        "spec": {
            "group": "argoproj.io", "scope": "Namespaced",
            "names": {"kind": "Rollout", "plural": "rollouts", "singular": "rollout"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": schema}],
        },
    });
    admin.post(definitions, &definition).ok();
    let rollouts = format!("/apis/argoproj.io/v1alpha1/namespaces/{}/rollouts", namespace.name);
    let rollout = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"},
        "spec": {"template": {"spec": pod_spec(&[("A", "secret:one")])}},
    });
    until("there are Rollouts", || admin.post(&rollouts, &rollout).is_ok().then_some(()));
    let sync = source.start();
    sync.wait_lists(2.0);
    assert_eq!(namespace.synced(one), None, "nobody has named the kind");
    let kind = json!({"group": "argoproj.io", "kind": "Rollout", "resource": "rollouts", "pointer": "/spec/template"});
    source.configure(&json!({}), &json!([kind]));
    namespace.wait_holds(one, &[("value", "1")]);
    admin.delete(&format!("{definitions}/rollouts.argoproj.io")).ok();
}
