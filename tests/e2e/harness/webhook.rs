//! Other people's mutating webhooks: a real HTTPS server that answers what a closure computes.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use refgate::serve::api_servers::ApiServers;
use refgate::serve::connection::{Limits, Phase, Port};
use refgate::serve::tls::{Identity, Pem};
use refgate::telemetry::Metrics;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::objects::pod;
use super::wait::until;
use super::world::{Namespace, World, base64};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// From a pod to the operations of a JSON Patch.
type Answer = Box<dyn Fn(&Value) -> Value + Send + Sync>;

struct Asked {
    answer: Answer,
    times: AtomicUsize,
}

/// A mutating webhook for the new pods of one namespace; it goes when this goes.
pub struct Mutator<'w> {
    world: &'w World,
    name: String,
    asked: Arc<Asked>,
    /// The server serves as long as this is there.
    _phase: watch::Sender<Phase>,
}

impl<'w> Mutator<'w> {
    /// Installs one, called once for each pod, and waits until the API server calls it. Those whose names sort after
    /// `zz-refgate` come after RefGate.
    pub fn install(
        namespace: &Namespace<'w>,
        name: &str,
        answer: impl Fn(&Value) -> Value + Send + Sync + 'static,
    ) -> Self {
        let world = namespace.world;
        let asked = Arc::new(Asked { answer: Box::new(answer), times: AtomicUsize::new(0) });
        let (phase, serving) = watch::channel(Phase::Serving);
        let name = format!("{name}-{}", namespace.name);
        let url = serve(world, asked.clone(), serving);
        let authority = fs::read(world.files.certificates.join("ca.crt")).unwrap();
        let configuration = json!({"metadata": {"name": name}, "webhooks": [{
            "name": "mutate.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": url, "caBundle": base64(&authority)},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        }]});
        world.plane.admin.api.post(CONFIGURATIONS, &configuration).ok();
        let mutator = Self { world, name, asked, _phase: phase };
        until("the API server asks the webhook", || {
            namespace.dry_run(&pod("asked", &[("A", "b")]));
            (mutator.asked.times.load(Ordering::Relaxed) > 0).then_some(())
        });
        mutator
    }
}

impl Drop for Mutator<'_> {
    fn drop(&mut self) {
        self.world.plane.admin.api.delete(&format!("{CONFIGURATIONS}/{}", self.name));
    }
}

/// Starts the server, with the certificate that RefGate has too; gives its address.
fn serve(world: &World, asked: Arc<Asked>, phase: watch::Receiver<Phase>) -> String {
    let file = |name: &str| fs::read(world.files.certificates.join(name)).unwrap();
    let pem = Pem { certificate: file("tls.crt"), key: file("tls.key"), client_ca: None };
    let identity = Some(Identity::fixed(&pem, &Metrics::default()).unwrap());
    let router = Router::new().route("/", post(respond)).with_state(asked);
    let runtime = world.plane.runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (limits, api_servers) = (Limits::default(), ApiServers::of([]));
    runtime.spawn(Port { listener, identity, router, limits, api_servers, phase }.run());
    format!("https://{address}/")
}

async fn respond(State(asked): State<Arc<Asked>>, body: String) -> String {
    asked.times.fetch_add(1, Ordering::Relaxed);
    let review: Value = serde_json::from_str(&body).unwrap();
    let request = &review["request"];
    let patch = (asked.answer)(&request["object"]).to_string();
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
        "uid": request["uid"], "allowed": true, "patchType": "JSONPatch", "patch": base64(patch.as_bytes()),
    }})
    .to_string()
}
