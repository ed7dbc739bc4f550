//! The reviews that the benchmarks send: pods as the API server sends them, with env entries as applications have them.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// Where they are made.
pub const NAMESPACE: &str = "snippets-stage";

/// Env entries as applications have them: none of them holds a secret.
pub const ENV: [(&str, &str); 20] = [
    ("LOG_LEVEL", "info"),
    ("PORT", "8000"),
    ("DATABASE_HOST", "postgres.snippets-stage.svc"),
    ("DATABASE_NAME", "snippets"),
    ("REDIS_URL", "redis://redis.snippets-stage.svc:6379/0"),
    ("ALLOWED_HOSTS", "snippets.example.com,localhost"),
    ("CACHE_TTL_SECONDS", "300"),
    ("SECRET_NAME", "snippets-tls"),
    ("TOKEN_FILE", "/var/run/secrets/tokens/vault-token"),
    ("WORKERS", "4"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://otel-collector.observability.svc:4317"),
    ("OTEL_SERVICE_NAME", "snippets"),
    ("AWS_REGION", "us-west-2"),
    ("S3_BUCKET", "mozmeao-snippets-stage-media"),
    ("FEATURE_FLAGS", "new-editor,fast-search"),
    ("PYTHONUNBUFFERED", "1"),
    ("GUNICORN_CMD_ARGS", "--workers 4 --bind 0.0.0.0:8000"),
    ("SENTRY_ENVIRONMENT", "stage"),
    ("MAX_TOKENS", "4096"),
    ("ADMIN_EMAIL", "snippets-admin@example.com"),
];

/// An ExternalSecret with so many entries, as the API server sends it.
#[allow(dead_code, reason = "each benchmark takes what it needs")]
pub fn external_secret(name: &str, entries: usize) -> Value {
    let data: Vec<Value> = (0..entries)
        .map(|number| {
            json!({
                "secretKey": format!("SETTING_{number}"),
                "remoteRef": {
                    "key": format!("mozmeao/snippets/stage/secret_{number}"), "property": "password",
                    "conversionStrategy": "Default", "decodingStrategy": "None", "metadataPolicy": "None",
                },
            })
        })
        .collect();
    json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "uid": "0a4c1d3e-7f5b-4c39-9d1c-0c1f6b5a2e10", "generation": 1,
            "creationTimestamp": "2026-11-22T14:28:37Z", "labels": {"app.kubernetes.io/name": "snippets"},
        },
        "spec": {
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": "aws"}, "refreshInterval": "1h0m0s",
            "target": {"name": format!("{name}-secrets"), "creationPolicy": "Owner", "deletionPolicy": "Retain"},
            "data": data,
        },
    })
}

/// The store that those are read through, for a world.
#[allow(dead_code, reason = "each benchmark takes what it needs")]
pub fn store() -> Value {
    json!({
        "apiVersion": "external-secrets.io/v1", "kind": "ClusterSecretStore", "metadata": {"name": "aws"},
        "spec": {"provider": {"aws": {"service": "SecretsManager", "region": "us-west-2"}}},
    })
}

/// A review of an object that is made.
#[allow(dead_code, reason = "each benchmark takes what it needs")]
pub fn carried(object: &Value) -> Vec<u8> {
    let (group, version) =
        object["apiVersion"].as_str().and_then(|text| text.split_once('/')).unwrap_or_default();
    let review = json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "6f0c4d1e-7f5b-4c39-9d1c-0c1f6b5a2e10",
            "kind": {"group": group, "version": version, "kind": object["kind"]},
            "resource": {"group": group, "version": version, "resource": "externalsecrets"},
            "name": object["metadata"]["name"], "namespace": NAMESPACE, "operation": "CREATE",
            "userInfo": {"username": "dev", "groups": ["team-snippets", "system:authenticated"]},
            "object": object, "oldObject": null, "dryRun": false,
        },
    });
    serde_json::to_vec(&review).unwrap_or_default()
}

/// A pod of a ReplicaSet, as the API server sends it.
pub fn pod(containers: usize, env: usize, references: usize) -> Value {
    let containers: Vec<Value> = (0..containers)
        .map(|container| {
            let mut entries: Vec<Value> = (0..env)
                .map(|number| {
                    let (name, value) = ENV[number % ENV.len()];
                    let suffix = if number < ENV.len() { String::new() } else { format!("_{}", number / ENV.len()) };
                    json!({"name": format!("{name}{suffix}"), "value": value})
                })
                .collect();
            for (number, entry) in entries.iter_mut().take(if container == 0 { references } else { 0 }).enumerate() {
                *entry = json!({"name": format!("SETTING_{number}"), "value": format!("secret:secret_{number}")});
            }
            json!({
                "name": format!("web-{container}"),
                "image": "registry.example.com/mozmeao/snippets:2026.11.22",
                "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
                "env": entries,
                "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data"},
                    {"name": "kube-api-access-x7k2p", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
                ],
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8000, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10},
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8000, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent"
            })
        })
        .collect();
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "generateName": "web-7b54f8b855-", "namespace": NAMESPACE,
            "labels": {"app": "web", "pod-template-hash": "7b54f8b855"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8000"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7b54f8b855",
                "uid": "a1e18b2e-3700-482a-adc7-008f8b1fc0cd", "controller": true, "blockOwnerDeletion": true}]
        },
        "spec": {
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "kube-api-access-x7k2p", "projected": {"defaultMode": 420, "sources": [
                    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}}
                ]}}
            ],
            "containers": containers,
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default", "securityContext": {}, "schedulerName": "default-scheduler"
        },
        "status": {}
    })
}

/// `managedFields` and `last-applied-configuration`, as `kubectl apply` leaves them.
pub fn applied(mut pod: Value) -> Value {
    let manifest = pod.to_string();
    let mut fields = String::from("{\"f:spec\":{\"f:containers\":{");
    for number in 0..60 {
        let comma = if number > 0 { "," } else { "" };
        let _ = write!(
            fields,
            "{comma}\"k:{{\\\"name\\\":\\\"SETTING_{number}\\\"}}\":{{\".\":{{}},\"f:name\":{{}},\"f:value\":{{}}}}"
        );
    }
    fields.push_str("}}}");
    let fields: Value = serde_json::from_str(&fields).unwrap_or_default();
    pod["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = manifest.into();
    pod["metadata"]["managedFields"] = json!([{"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}]);
    pod
}

pub fn body(pod: &Value) -> Vec<u8> {
    // Written by hand, because the order of keys is the API server's: kind before object.
    format!(
        concat!(
            r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"06e841e6-a9f6-466e-87b8-1f1b359faea6","#,
            r#""kind":{{"group":"","version":"v1","kind":"Pod"}},"resource":{{"group":"","version":"v1","resource":"pods"}},"#,
            r#""requestKind":{{"group":"","version":"v1","kind":"Pod"}},"requestResource":{{"group":"","version":"v1","resource":"pods"}},"#,
            r#""namespace":"snippets-stage","operation":"CREATE","userInfo":{{"username":"system:serviceaccount:kube-system:replicaset-controller","#,
            r#""uid":"c3802f48","groups":["system:serviceaccounts","system:serviceaccounts:kube-system","system:authenticated"]}},"#,
            r#""object":{},"oldObject":null,"dryRun":false,"options":{{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}}}}}}"#
        ),
        pod
    )
    .into_bytes()
}
