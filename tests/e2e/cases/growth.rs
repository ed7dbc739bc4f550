//! What the expressions of the manifests cost the API server, as the lists that a tenant chooses get longer: its CPU time
//! beside that of the same request where RefGate is not asked.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::harness::api::{Answer, Api};
use crate::harness::objects::{container, deployment, pod, pod_spec};
use crate::harness::plane::Person;
use crate::harness::rights::grant_everywhere;
use crate::harness::world::{Namespace, World, scope_labels};

#[path = "../../it/manifests/visits.rs"]
mod visits;
use visits::{Length, VISITS};

/// Elements of a list: one that is looked through, and longer ones.
const COUNTS: [usize; 4] = [500, 1_000, 10_000, 100_000];
/// What an object may have before it is updated: etcd takes no more than 1.5 MB.
const MOST_BEFORE: usize = 5_000;
/// Lists for which the API server's own work grows with the square: it gives up on 100,000 of these after half a minute.
const MOST: [(&str, usize); 5] = [
    ("pod containers", 10_000),
    ("pod init containers", 10_000),
    ("pod env", 20_000),
    ("debug containers", 10_000),
    ("debug env", 20_000),
];
/// The API server takes 3 MiB.
const LARGEST_REQUEST: usize = 3_000_000;
/// What any request may cost more: a few milliseconds are lost in its own work.
const ALLOWANCE: Duration = Duration::from_millis(200);
/// How far over the goal a measurement may be.
const MARGIN: u32 = 2;
/// What is too short to be compared.
const FLOOR: Duration = Duration::from_millis(20);
/// A measurement that is over the limit is repeated, since the API server has work of its own.
const TRIES: usize = 3;

/// Where RefGate is not asked: the webhooks and the policies on namespaces leave it out.
const CONTROL: &str = "kube-system";
const BOUND: &str = "growth-bound";
const FREE: &str = "growth-free";

/// A request, and what has to be there before.
struct Request {
    method: &'static str,
    path: String,
    body: Value,
    before: Option<Value>,
}

/// Makes a request with that many elements in a list, in a namespace; in `CONTROL`, one that RefGate is not asked about.
type Make = fn(usize, &str) -> Request;

/// A name of the table `VISITS`, where RefGate is asked, and the request.
const CASES: [(&str, &[&str], Make); 21] = [
    ("pod containers", &[BOUND, FREE], |count, namespace| {
        new_pod(namespace, |spec| spec["containers"] = containers(count))
    }),
    ("pod init containers", &[BOUND, FREE], |count, namespace| {
        new_pod(namespace, |spec| spec["initContainers"] = containers(count))
    }),
    ("pod env", &[BOUND, FREE], |count, namespace| {
        new_pod(namespace, |spec| spec["containers"][0]["env"] = env(count))
    }),
    ("pod env of many containers", &[BOUND, FREE], |count, namespace| {
        let full = |number| {
            let mut container = container(&format!("c{number}"), &[]);
            container["env"] = env(count.min(512));
            container
        };
        new_pod(namespace, |spec| spec["containers"] = (0..count.div_ceil(512)).map(full).collect())
    }),
    ("pod annotations", &[BOUND, FREE], |count, namespace| {
        let mut pod = pod("annotated", &[]);
        pod["metadata"]["annotations"] = words(count);
        post(namespace, "pods", pod)
    }),
    ("workload annotations", &[BOUND, FREE], |count, namespace| {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/growth-{count}");
        let mut old = deployment(&format!("growth-{count}"), 0, &pod_spec(&[]));
        old["metadata"]["annotations"] = words(count.min(MOST_BEFORE));
        let mut new = old.clone();
        new["metadata"]["annotations"] = words(count);
        new["metadata"]["annotations"]["example.com/changed"] = json!("yes");
        Request { method: "PUT", path, body: new, before: Some(old) }
    }),
    ("debug containers", &[FREE], |count, namespace| debug(namespace, count, 0, 1)),
    // RefGate itself takes 1,000 containers.
    ("debug containers of before", &[FREE], |count, namespace| debug(namespace, count, count.min(900), 1)),
    ("debug env", &[FREE], |count, namespace| debug(namespace, 1, 0, count)),
    ("namespace labels", &[BOUND], |count, namespace| {
        cluster_wide(namespace, None, (words(count), json!({})))
    }),
    ("namespace annotations", &[BOUND], |count, namespace| {
        cluster_wide(namespace, None, (json!({}), words(count)))
    }),
    ("namespace labels of before", &[BOUND], |count, namespace| {
        cluster_wide(namespace, Some((words(count.min(MOST_BEFORE)), json!({}))), (words(count), json!({})))
    }),
    ("namespace annotations of before", &[BOUND], |count, namespace| {
        cluster_wide(namespace, Some((json!({}), words(count.min(MOST_BEFORE)))), (json!({}), words(count)))
    }),
    ("subjects of the sync's role", &[BOUND], |count, namespace| {
        let subject =
            |number: usize| json!({"kind": "ServiceAccount", "name": text(number), "namespace": "a"});
        let role = if namespace == CONTROL { "view" } else { "refgate-sync-secrets" };
        let binding = json!({
            "metadata": {"name": "growth"}, "subjects": (0..count).map(subject).collect::<Vec<_>>(),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        });
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings");
        Request { method: "POST", path, body: binding, before: None }
    }),
    ("finalizers of a synced Secret", &[BOUND], |count, namespace| {
        let finalizers = |count| (0..count).map(|number| json!(format!("a.b/{}", text(number)))).collect();
        synced(namespace, count, "finalizers", finalizers(count.min(MOST_BEFORE)), finalizers(count))
    }),
    ("owners of a synced Secret", &[BOUND], |count, namespace| {
        let owner = |number| json!({"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": text(number)});
        // None before: the garbage collector would look for each of them.
        synced(namespace, count, "ownerReferences", json!([]), (0..count).map(owner).collect())
    }),
    ("shared paths", &[BOUND], |count, namespace| {
        // Only the path to the policy differs: a namespace with that many shared paths is made for it.
        let secret = secret(namespace, "shared", &format!("mozmeao/other/{count}/x"));
        post(
            &if namespace == CONTROL { CONTROL.to_owned() } else { format!("growth-shared-{count}") },
            "secrets",
            secret,
        )
    }),
    ("secret keys", &[BOUND], |count, namespace| {
        let secret = json!({"metadata": {"name": "keys"}, "data": words_of(count, "eA==")});
        post(namespace, "secrets", secret)
    }),
    ("secret keys of before", &[BOUND], |count, namespace| {
        let old = json!({"metadata": {"name": format!("keys-{count}")}, "data": words_of(count.min(MOST_BEFORE), "eA==")});
        let mut new = old.clone();
        new["data"] = words_of(count, "eQ==");
        Request { before: Some(old), ..put(namespace, "secrets", new) }
    }),
    ("secret annotations", &[BOUND], |count, namespace| {
        let old = json!({"metadata": {"name": format!("annotated-{count}"), "annotations": words(count.min(MOST_BEFORE))}});
        let mut new = old.clone();
        new["metadata"]["annotations"] = words_of(count, "y");
        Request { before: Some(old), ..put(namespace, "secrets", new) }
    }),
    ("config map annotations", &[BOUND], |count, namespace| {
        let map = json!({"metadata": {"name": "annotated", "annotations": words(count)}});
        post(namespace, "configmaps", map)
    }),
];

/// A short text for a number: the bodies have a limit.
fn text(number: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rest = number;
    let mut digits = vec![b'z'];
    while rest > 0 || digits.len() == 1 {
        digits.push(DIGITS[rest % 36]);
        rest /= 36;
    }
    String::from_utf8(digits).unwrap()
}

fn words(count: usize) -> Value {
    words_of(count, "x")
}

fn words_of(count: usize, value: &str) -> Value {
    Value::Object((0..count).map(|number| (text(number), json!(value))).collect::<Map<_, _>>())
}

fn containers(count: usize) -> Value {
    (0..count).map(|number| json!({"name": text(number), "image": "i"})).collect()
}

fn env(count: usize) -> Value {
    (0..count).map(|number| json!({"name": text(number), "value": "v"})).collect()
}

fn new_pod(namespace: &str, change: impl FnOnce(&mut Value)) -> Request {
    let mut pod = pod("growth", &[]);
    change(&mut pod["spec"]);
    post(namespace, "pods", pod)
}

fn post(namespace: &str, resource: &str, body: Value) -> Request {
    Request { method: "POST", path: format!("/api/v1/namespaces/{namespace}/{resource}"), body, before: None }
}

fn put(namespace: &str, resource: &str, body: Value) -> Request {
    let name = body["metadata"]["name"].as_str().unwrap();
    let path = format!("/api/v1/namespaces/{namespace}/{resource}/{name}");
    Request { method: "PUT", path, body, before: None }
}

fn debug(namespace: &str, count: usize, before: usize, variables: usize) -> Request {
    let tools = |number: usize| json!({"name": text(number), "image": "i", "env": env(variables)});
    let tools = |count: usize| (0..count).map(tools).collect::<Vec<_>>();
    let mut old = pod(&format!("debugged-{count}-{before}-{variables}"), &[]);
    old["spec"]["ephemeralContainers"] = json!(tools(before));
    // It waits, and costs the scheduler nothing.
    old["spec"]["schedulingGates"] = json!([{"name": "example.com/waits"}]);
    let mut new = old.clone();
    new["spec"]["ephemeralContainers"] = json!(tools(count));
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{}/ephemeralcontainers",
        old["metadata"]["name"].as_str().unwrap()
    );
    Request { method: "PUT", path, body: new, before: Some(old) }
}

/// A Namespace, or in its place a PriorityClass, which RefGate is not asked about.
fn cluster_wide(namespace: &str, before: Option<(Value, Value)>, now: (Value, Value)) -> Request {
    let (path, rest) = match namespace {
        CONTROL => ("/apis/scheduling.k8s.io/v1/priorityclasses", json!({"value": 1})),
        _ => ("/api/v1/namespaces", json!({})),
    };
    let length = now.0.as_object().unwrap().len() * 2 + now.1.as_object().unwrap().len();
    let object = |(labels, annotations): (Value, Value)| {
        let mut object = rest.clone();
        let name = format!("growth-large-{length}");
        object["metadata"] = json!({"name": name, "labels": labels, "annotations": annotations});
        object
    };
    match before {
        None => Request { method: "POST", path: path.to_owned(), body: object(now), before: None },
        Some(before) => {
            let path = format!("{path}/growth-large-{length}");
            Request { method: "PUT", path, body: object(now), before: Some(object(before)) }
        }
    }
}

/// A Secret that claims a path; in `CONTROL`, none that does.
fn secret(namespace: &str, name: &str, path: &str) -> Value {
    let metadata = match namespace {
        CONTROL => json!({"name": name}),
        _ => json!({"name": name, "annotations": {"refgate.dev/path": path}}),
    };
    json!({"metadata": metadata, "data": {"value": "eA=="}})
}

fn synced(namespace: &str, count: usize, field: &str, before: Value, now: Value) -> Request {
    let mut old = secret(namespace, &format!("{}-{count}", field.to_lowercase()), "mozmeao/growth/stage/x");
    old["metadata"][field] = before;
    let mut new = old.clone();
    new["metadata"][field] = now;
    Request { before: Some(old), ..put(namespace, "secrets", new) }
}

pub fn costs_no_more_than_the_request_itself(world: &World) {
    let named: BTreeSet<&str> = CASES.iter().map(|(name, ..)| *name).collect();
    let visits = VISITS.iter().flat_map(|(_, visits)| *visits);
    let grown = visits.flat_map(|(_, length)| match length {
        Length::Grown(names) => *names,
        Length::Bounded(_) => &[],
    });
    assert_eq!(named, grown.copied().collect(), "the table and the requests");
    let tenant = &prepare(world);
    let mut faults = Vec::new();
    for (name, places, make) in CASES {
        for place in places {
            let mut last: Option<(usize, Duration)> = None;
            for wanted in COUNTS {
                let count = fitting(name, wanted, make);
                if last.is_some_and(|(shorter, _)| shorter == count) {
                    continue;
                }
                let costs = Costs { world, tenant, make, count };
                let (cost, control) = costs.of(place);
                println!(
                    "    {name} in {place}, {count}: {} ms, {} ms without RefGate",
                    cost.as_millis(),
                    control.as_millis()
                );
                if cost > (control * 2 + ALLOWANCE) * MARGIN {
                    faults.push(format!(
                        "{name} in {place}, {count}: {cost:?}, and {control:?} without RefGate"
                    ));
                }
                if let Some((shorter, before)) = last {
                    let times = u32::try_from((count * 3).div_ceil(shorter * 2)).unwrap();
                    // Some of what the API server does itself grows faster, and its collector of garbage comes when it likes to.
                    if cost > before.max(FLOOR) * times && cost > control * 2 + ALLOWANCE {
                        faults.push(format!(
                            "{name} in {place}: {cost:?} for {count}, {before:?} for {shorter}"
                        ));
                    }
                }
                last = Some((count, cost));
            }
        }
    }
    clean_up(world);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// As many elements as wanted, or as one request holds.
fn fitting(name: &str, wanted: usize, make: Make) -> usize {
    let most = MOST.iter().find(|(list, _)| *list == name).map_or(usize::MAX, |(_, most)| *most);
    let wanted = wanted.min(most);
    let size = |count: usize| make(count, BOUND).body.to_string().len();
    let each = (size(2_000) - size(1_000)) / 1_000;
    if each == 0 { wanted.min(100_000) } else { wanted.min(LARGEST_REQUEST / (each + 1)) }
}

struct Costs<'w> {
    world: &'w World,
    tenant: &'w Person,
    make: Make,
    count: usize,
}

impl Costs<'_> {
    /// CPU time of the API server for the request in a namespace, and in `CONTROL`: the least of a few tries where the first is
    /// too much.
    fn of(&self, place: &str) -> (Duration, Duration) {
        let (mut cost, mut control) = (self.once(place), self.once(CONTROL));
        for _ in 1..TRIES {
            if cost <= control * 2 + ALLOWANCE {
                break;
            }
            cost = cost.min(self.once(place));
            control = control.min(self.once(CONTROL));
        }
        (cost, control)
    }

    fn once(&self, place: &str) -> Duration {
        let request = (self.make)(self.count, place);
        if let Some(before) = &request.before {
            put_before(self.world, &request, before);
        }
        let start = self.world.plane.apiserver_cpu_time();
        send(&self.tenant.api, &request);
        self.world.plane.apiserver_cpu_time() - start
    }
}

fn send(api: &Api, request: &Request) -> Answer {
    let answer =
        api.call(request.method, &format!("{}?dryRun=All", request.path), "application/json", &request.body);
    // Verdicts of all kinds, and what takes too long beside other work; 404 and 415 would be mistakes of this test.
    assert!(
        answer.is_ok() || matches!(answer.code, 400 | 403 | 422 | 500 | 504),
        "{} {}: {}",
        request.method,
        request.path,
        answer.body
    );
    answer
}

/// The namespaces, and someone who may write all of this and holds no `bind`.
fn prepare(world: &World) -> Person {
    let mut labels = scope_labels("mozmeao/growth/stage");
    labels["refgate.dev/enforce"] = json!("restricted");
    world.make(BOUND, labels, json!({}), &[]);
    let Namespace { developer, .. } = world.namespace(FREE);
    for count in COUNTS {
        let shared = json!({"refgate.dev/shared-paths": "a,".repeat(count)});
        let metadata = json!({"name": format!("growth-shared-{count}"), "labels": scope_labels("mozmeao/growth/stage"), "annotations": shared});
        world.operator.api.post("/api/v1/namespaces", &json!({"metadata": metadata})).ok();
    }
    let write = &["create", "update"][..];
    let rules = [
        ("", "pods", write),
        ("", "pods/ephemeralcontainers", write),
        ("", "secrets", write),
        ("", "configmaps", write),
        ("", "namespaces", write),
        ("apps", "deployments", write),
        ("scheduling.k8s.io", "priorityclasses", write),
        ("rbac.authorization.k8s.io", "rolebindings", write),
        ("rbac.authorization.k8s.io", "clusterroles", &["bind"]),
    ];
    grant_everywhere(&world.plane.admin, &developer, &rules);
    developer
}

/// Makes what a request updates, where it is not there yet.
fn put_before(world: &World, request: &Request, before: &Value) {
    let claims = before["metadata"]["annotations"].get("refgate.dev/path").is_some();
    let api = if claims { &world.sync.api } else { &world.plane.admin.api };
    let path = request.path.strip_suffix("/ephemeralcontainers").unwrap_or(&request.path);
    if api.get(path).is_ok() {
        return;
    }
    let mut whole = before.clone();
    let debugged = whole["spec"].as_object_mut().and_then(|spec| spec.remove("ephemeralContainers"));
    api.post(path.rsplit_once('/').unwrap().0, &whole).ok();
    if debugged.is_some_and(|list| list != json!([])) {
        api.put(&request.path, before).ok();
    }
}

/// What no later test should see; a Secret that is kept by finalizers goes without them, by anybody.
fn clean_up(world: &World) {
    let admin = &world.plane.admin.api;
    for (namespace, count) in
        [BOUND, CONTROL].into_iter().flat_map(|place| COUNTS.map(|count| (place, count)))
    {
        let path = format!("/api/v1/namespaces/{namespace}/secrets/finalizers-{count}");
        admin.delete(&path);
        if let Answer { code: 200, mut body, .. } = admin.get(&path) {
            body["metadata"]["finalizers"] = json!([]);
            admin.put(&path, &body).ok();
        }
    }
    for (list, start) in [
        ("/api/v1/namespaces", "growth-"),
        ("/apis/scheduling.k8s.io/v1/priorityclasses", "growth-"),
        ("/apis/apps/v1/namespaces/kube-system/deployments", "growth-"),
        ("/api/v1/namespaces/kube-system/pods", "debugged-"),
        ("/api/v1/namespaces/kube-system/secrets", "keys-"),
        ("/api/v1/namespaces/kube-system/secrets", "annotated-"),
        ("/api/v1/namespaces/kube-system/secrets", "ownerreferences-"),
    ] {
        let items = admin.get(list).ok();
        for item in items["items"].as_array().unwrap() {
            let name = item["metadata"]["name"].as_str().unwrap();
            if name.starts_with(start) {
                admin.delete(&format!("{list}/{name}")).ok();
            }
        }
    }
}
