//! Only the calls that can matter: how often the API server asks RefGate, by RefGate's own count.

use serde_json::{Value, json};

use crate::harness::api::MERGE;
use crate::harness::objects::{deployment, pod, pod_spec, template};
use crate::harness::wait::until;
use crate::harness::world::{Namespace, World};

/// What a Deployment costs, and what it does not.
pub fn only_what_can_matter_is_asked(world: &World) {
    let secret = ("mozmeao/calls/stage/a", &[("value", "v")][..]);
    let namespace = world.bound("calls", "mozmeao/calls/stage", &[secret]);
    silence_others(world);
    let calls = Calls { world, namespace: &namespace };
    calls.cost("a Deployment of three", 1 + 3, || calls.roll_out("plain", &[]));
    // Each of its pods is injected and judged.
    calls.cost("a Deployment of three with references", 1 + 6, || {
        calls.roll_out("referring", &[("A", "secret:a")])
    });
    for name in ["plain", "referring"] {
        calls.cost("what is not judged", 0, || calls.change_what_is_not_judged(name));
        calls.cost("a scale down", 0, || calls.scale(name, 1));
    }
    calls.cost("two more pods", 2, || calls.scale("plain", 3));
    calls.cost("two more pods with references", 4, || calls.scale("referring", 3));
    calls.cost("a Job and its pod", 1 + 1, || calls.run_job());
    calls.cost("a CronJob", 1, || calls.make_cron_job());
    calls.cost("a CronJob that is suspended and goes on", 0, || calls.suspend());
    calls.cost("a restart of the controllers", 0, || calls.restart_controllers());
    calls.cost("a ConfigMap", 1, || {
        let map = json!({"metadata": {"name": "settings"}, "data": {"LOG_LEVEL": "info"}});
        drop(namespace.developer.api.post(&namespace.path("configmaps"), &map).ok())
    });
    let settings = namespace.path("configmaps/settings");
    calls.cost("what is not data of a ConfigMap", 0, || {
        let metadata =
            json!({"metadata": {"labels": {"team": "snippets"}, "annotations": {"example.com/leader": "a"}}});
        calls.patch(&settings, &metadata);
    });
    calls.cost("data of a ConfigMap", 1, || calls.patch(&settings, &json!({"data": {"LOG_LEVEL": "debug"}})));
    calls.cost("binary data of a ConfigMap", 1, || {
        calls.patch(&settings, &json!({"binaryData": {"logo": "iVBORw=="}}))
    });
    calls.cost("a pod", 1, || {
        drop(namespace.developer.api.post(&namespace.path("pods"), &pod("bare", &[])).ok())
    });
    calls.cost("the end of a pod", 0, || {
        drop(namespace.kubectl(&["delete", "pod/bare", "--timeout=60s"]).ok())
    });
}

/// What other tests left makes pods whenever its controllers like to.
fn silence_others(world: &World) {
    let kinds = "cronjobs,jobs,deployments,statefulsets,daemonsets,replicasets,replicationcontrollers";
    world.plane.admin.kubectl.run(&["delete", kinds, "--all", "--all-namespaces", "--timeout=60s"]).ok();
}

struct Calls<'w> {
    world: &'w World,
    namespace: &'w Namespace<'w>,
}

impl Calls<'_> {
    /// Does something, to its end, and counts what that cost.
    #[track_caller]
    fn cost(&self, what: &str, expected: usize, act: impl FnOnce()) {
        let (before, seen) = (self.count(), self.world.reviews().len());
        act();
        let calls = self.count() - before;
        let asked: Vec<String> = self.world.reviews()[seen..].iter().map(Value::to_string).collect();
        assert_eq!(calls, expected as f64, "{what}:\n{}", asked.join("\n"));
    }

    fn count(&self) -> f64 {
        let metrics = self.world.metrics();
        metrics
            .iter()
            .filter(|(name, _)| name.starts_with("refgate_reviews_total{"))
            .map(|(_, count)| count)
            .sum()
    }

    fn path(&self, kind: &str, name: &str) -> String {
        let group = if kind == "deployments" { "apps" } else { "batch" };
        format!("/apis/{group}/v1/namespaces/{}/{kind}/{name}", self.namespace.name)
    }

    fn patch(&self, path: &str, patch: &Value) {
        self.namespace.developer.api.patch(path, MERGE, patch).ok();
    }

    fn roll_out(&self, name: &str, env: &[(&str, &str)]) {
        let path = self.path("deployments", "");
        self.namespace
            .developer
            .api
            .post(path.trim_end_matches('/'), &deployment(name, 3, &pod_spec(env)))
            .ok();
        self.wait_rolled_out(name);
    }

    fn wait_rolled_out(&self, name: &str) {
        self.namespace.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=60s"]).ok();
    }

    /// By the subresource, as an autoscaler does.
    fn scale(&self, name: &str, replicas: usize) {
        let path = format!("{}/scale", self.path("deployments", name));
        self.patch(&path, &json!({"spec": {"replicas": replicas}}));
        self.wait_rolled_out(name);
        until("the pods that are too many are gone", || (self.pods(name).len() == replicas).then_some(()));
    }

    fn pods(&self, label: &str) -> Vec<Value> {
        let path = self.namespace.path(&format!("pods?labelSelector=app={label}"));
        self.namespace.developer.api.get(&path).ok()["items"].as_array().unwrap().clone()
    }

    /// Of the Deployment and of one of its pods: labels, finalizers, status, an annotation that goes, the image of what runs.
    fn change_what_is_not_judged(&self, name: &str) {
        let deployment = self.path("deployments", name);
        let pod = self.pods(name)[0]["metadata"]["name"].as_str().unwrap().to_owned();
        let pod = self.namespace.path(&format!("pods/{pod}"));
        for path in [&deployment, &pod] {
            self.patch(path, &json!({"metadata": {"labels": {"team": "snippets"}}}));
            self.patch(path, &json!({"metadata": {"finalizers": ["example.com/wait"]}}));
            self.patch(path, &json!({"metadata": {"finalizers": null}}));
            let status = json!({"status": {"conditions": [{
                "type": "Progressing", "status": "True", "reason": "E2e", "message": "said by a test",
            }]}});
            self.world.plane.admin.api.patch(&format!("{path}/status"), MERGE, &status).ok();
        }
        self.patch(
            &deployment,
            &json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": null}}}),
        );
        self.patch(&deployment, &json!({"spec": {"paused": true}}));
        self.patch(&deployment, &json!({"spec": {"paused": false, "minReadySeconds": 0}}));
        let image =
            json!([{"op": "replace", "path": "/spec/containers/0/image", "value": "example.com/app:2"}]);
        self.namespace.developer.api.patch(&pod, "application/json-patch+json", &image).ok();
        until("the controller has caught up", || {
            let live = self.namespace.developer.api.get(&deployment).ok();
            let revision = &live["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
            (live["status"]["observedGeneration"] == live["metadata"]["generation"] && revision == "1")
                .then_some(())
        });
    }

    /// Made, run to its end, and its pod let go by the controller.
    fn run_job(&self) {
        let mut template = template("once", &pod_spec(&[]));
        template["spec"]["restartPolicy"] = json!("Never");
        let job = json!({"metadata": {"name": "once"}, "spec": {"template": template}});
        self.namespace.developer.api.post("/apis/batch/v1/namespaces/calls/jobs", &job).ok();
        self.namespace.kubectl(&["wait", "--for=condition=complete", "job/once", "--timeout=60s"]).ok();
        until("the pod is counted", || {
            self.pods("once")[0]["metadata"].get("finalizers").is_none().then_some(())
        });
    }

    fn make_cron_job(&self) {
        let mut template = template("cron", &pod_spec(&[]));
        template["spec"]["restartPolicy"] = json!("Never");
        let job = json!({"metadata": {"name": "cron"}, "spec": {
            "schedule": "0 0 29 2 *", "jobTemplate": {"spec": {"template": template}},
        }});
        self.namespace.developer.api.post("/apis/batch/v1/namespaces/calls/cronjobs", &job).ok();
    }

    fn suspend(&self) {
        for suspend in [true, false] {
            self.patch(&self.path("cronjobs", "cron"), &json!({"spec": {"suspend": suspend}}));
        }
    }

    /// They look at everything that there is, and are at work again.
    fn restart_controllers(&self) {
        let plane = &self.world.plane;
        plane.stop_controllers();
        self.patch(&self.path("deployments", "plain"), &json!({"spec": {"replicas": 1}}));
        plane.start_controllers();
        until("the controllers are at work", || (self.pods("plain").len() == 1).then_some(()));
        self.wait_rolled_out("plain");
    }
}
