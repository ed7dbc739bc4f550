//! What people should know: Events, each of them once.

use std::sync::PoisonError;

use kube::core::Request;
use kube::core::params::PostParams;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{ApplyError, FIELD_MANAGER, Writer};
use crate::sync::plan::{About, Event};
use crate::sync::runs::Owner;

/// Reason of the Event that says that a pod is replaced. It is no warning.
pub const REPLACED: &str = "SecretRotated";
/// Most characters of an object's name in that of an Event, which has a dot and a hash behind it.
const MAX_NAME: usize = 236;

impl Writer {
    /// Sends an Event, once.
    pub async fn event(&self, namespace: &str, event: Event) {
        let key = (namespace.to_owned(), event);
        if self.said.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return;
        }
        if self.say(namespace, &key.1).await {
            self.said.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
        }
    }

    /// Sends an Event; whether it is there now.
    pub async fn say(&self, namespace: &str, event: &Event) -> bool {
        let Event { about, reason, note } = event;
        if self.tells(|| format!("# {namespace}: {reason}: {note}")) {
            return true;
        }
        let (version, kind, name, uid) = match about {
            About::Namespace => ("v1", "Namespace", namespace, None),
            About::Secret(name) => ("v1", "Secret", name.as_str(), None),
            About::Workload(Owner { kind, name, uid }) => ("apps/v1", &**kind, &**name, Some(uid)),
        };
        // Of a fixed name, so that another leader does not say it again.
        let hash = Sha256::digest(format!("{kind}/{name}/{reason}/{note}"));
        let hash: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let start: String = name.chars().take(MAX_NAME).collect();
        let time = self.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let class = if *reason == REPLACED { "Normal" } else { "Warning" };
        let mut body = json!({
            "metadata": {"name": format!("{start}.{hash}"), "namespace": namespace},
            "involvedObject": {"apiVersion": version, "kind": kind, "name": name, "namespace": namespace},
            "type": class, "reason": reason, "message": note,
            "source": {"component": FIELD_MANAGER}, "reportingComponent": FIELD_MANAGER,
            "firstTimestamp": time, "lastTimestamp": time, "count": 1,
        });
        if let Some(uid) = uid {
            // By it `kubectl describe` finds the Events of a workload.
            body["involvedObject"]["uid"] = (**uid).into();
        }
        let request = Request::new(format!("/api/v1/namespaces/{namespace}/events"));
        let request = request.create(&PostParams::default(), body.to_string().into_bytes());
        let sent = self.send_in(namespace, request).await.map_err(ApplyError::of_no_value);
        match &sent {
            Ok(_) => tracing::info!(namespace, kind, name, reason, note, "an event"),
            // Another leader has said it.
            Err(ApplyError::Taken) => {}
            Err(error) => {
                tracing::warn!(namespace, kind, name, reason, note, %error, "an event was not sent")
            }
        }
        self.count("event", &sent);
        matches!(sent, Ok(_) | Err(ApplyError::Taken))
    }

    /// Forgets which Events were sent of a namespace, but for those that still hold.
    pub fn forget_events(&self, namespace: &str, held: &[Event]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|(other, event)| other != namespace || held.contains(event));
    }
}
