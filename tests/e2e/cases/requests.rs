//! What the controller of External Secrets Operator asks AWS for is what was judged, whatever the objects: it runs where nobody
//! stops it, and each of its requests is compared with what `refgate::policy` says of the object that it was made for.

mod generate;
mod judged;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::harness::external_secrets::Operator;
use crate::harness::faults::Request;
use crate::harness::moto::{call, call_parameters};
use crate::harness::plane::Plane;
use crate::harness::wait::{until, until_within};
use crate::harness::world::World;
use generate::{INSIDE, OUTSIDE, Object};
use judged::{Asked, Judge, Judged};

/// Where the objects are.
const NAMESPACE: &str = "asked";
const GROUP: &str = "/apis/external-secrets.io";
/// Another seed gives other objects: `REFGATE_ESO_SEED`, and `REFGATE_ESO_OBJECTS` says how many.
const SEED: u64 = 1;
const OBJECTS: u64 = 120;
/// What happens without a fence.
const HOLE: &str = "given from outside";
const PARAMETERS: &str = "parameters given from inside";

/// What AWS gave to one object.
#[derive(Default)]
struct Observed {
    asked: BTreeSet<Asked>,
    /// Names of the secrets whose values, or tags, came back.
    given: BTreeSet<String>,
}

pub fn are_those_that_were_judged(world: &World) {
    let plane = &world.plane;
    // Nobody is stopped in a namespace that is bound to nothing, and what such a one may use.
    let before = fs::read_to_string(&world.files.configuration).unwrap();
    fs::write(
        &world.files.configuration,
        format!("{before}\ncarriers: {{unbound: audit, clusterScoped: audit}}\n"),
    )
    .unwrap();
    let number = |name: &str, usual: u64| {
        std::env::var(name)
            .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    let (seed, count) = (number("REFGATE_ESO_SEED", SEED), number("REFGATE_ESO_OBJECTS", OBJECTS));
    println!("{count} objects of External Secrets Operator, REFGATE_ESO_SEED={seed}");
    let mut operator = Operator::start(world);
    let mut objects = generate::objects(seed, usize::try_from(count).unwrap(), &store_secrets(&operator));
    world.namespace(NAMESPACE);
    make(plane, &mut objects);
    let ready = wait_until_done(plane, objects.len());
    let observed = observe(&mut operator, &objects);

    let tally = compare(&objects, &ready, &observed);
    println!("{tally:?}");
    if (seed, count) == (SEED, OBJECTS) {
        // It would hold as well of a controller that does nothing, and of a judge who allows nothing.
        let all = [
            "ExternalSecret allowed done",
            "ExternalSecret denied done",
            "PushSecret allowed done",
            HOLE,
            PARAMETERS,
        ];
        assert!(all.iter().all(|what| tally.get(*what).is_some_and(|count| *count >= 3)), "{tally:?}");
    }
    clear(plane);
    fs::write(&world.files.configuration, before).unwrap();
}

/// Objects of a kind in one state, and how many there are.
type Tally = BTreeMap<String, u32>;

fn compare(
    objects: &[Object],
    ready: &BTreeMap<String, bool>,
    observed: &BTreeMap<String, Observed>,
) -> Tally {
    let (judge, nothing) = (Judge::new(objects), Observed::default());
    let mut tally = Tally::new();
    for object in objects {
        let judged = judge.judge(&object.object);
        let seen = observed.get(&object.name).unwrap_or(&nothing);
        let is_ready = ready[&object.name];
        check(object, &judged, seen, is_ready);
        let kind = object.object["kind"].as_str().unwrap();
        let (verdict, end) =
            (if judged.is_allowed { "allowed" } else { "denied" }, if is_ready { "done" } else { "failed" });
        *tally.entry(format!("{kind} {verdict} {end}")).or_default() += 1;
        let is_hole = seen.given.iter().any(|name| !is_inside(name));
        *tally.entry(HOLE.to_owned()).or_default() += u32::from(is_hole);
        let is_given = is_of_parameters(object) && judged.is_allowed && !seen.given.is_empty();
        *tally.entry(PARAMETERS.to_owned()).or_default() += u32::from(is_given);
    }
    tally
}

/// Name of an access key.
fn access_key(cluster: bool, object: &str) -> String {
    format!("{}-{object}", if cluster { "CLUSTER" } else { "OWN" })
}

/// The secrets, and texts of ARNs that name some of them, or nearly.
fn store_secrets(operator: &Operator) -> Vec<String> {
    let mut arns = Vec::new();
    for name in INSIDE.into_iter().chain(OUTSIDE) {
        let value = json!({"password": "x", "a.b": "y"}).to_string();
        let tags = json!([{"Key": "team", "Value": "web"}]);
        let body = json!({"Name": name, "SecretString": value, "Tags": tags});
        let arn = call(operator.moto.address, "CreateSecret", &body)["ARN"].as_str().unwrap().to_owned();
        if !name.starts_with('/') {
            let body =
                json!({"Name": format!("/{name}"), "Value": value, "Type": "SecureString", "Tags": tags});
            call_parameters(operator.moto.address, "PutParameter", &body);
        }
        let partial = &arn[..arn.len() - "-AbCdEf".len()];
        arns.extend([
            arn.clone(),
            partial.to_owned(),
            arn.replace("us-east-1", "eu-west-1"),
            arn.replace("123456789012", "210987654321"),
            arn.replace("arn:aws:", "arn:aws-cn:"),
            arn.replace("/db", "/../stage/db"),
        ]);
    }
    arns
}

/// Makes all of them, and takes them as the API server has them then: that is what a webhook would be asked about.
fn make(plane: &Plane, objects: &mut [Object]) {
    let api = &plane.admin.api;
    until("the configuration is read", || {
        let path = format!("{GROUP}/v1/namespaces/{NAMESPACE}/secretstores?dryRun=All");
        api.post(&path, &objects[0].stores[0]).is_ok().then_some(())
    });
    let mut keys = json!({"secret": "test"});
    for cluster in [false, true] {
        for object in &*objects {
            let id = access_key(cluster, &object.name);
            keys[&id] = id.clone().into();
        }
    }
    let secrets = format!("/api/v1/namespaces/{NAMESPACE}/secrets");
    api.post(&secrets, &json!({"metadata": {"name": "keys"}, "stringData": keys})).ok();
    api.post(&secrets, &json!({"metadata": {"name": "pushed"}, "stringData": {"k": "v"}})).ok();
    for store in objects.iter_mut().flat_map(|object| &mut object.stores) {
        *store = api.post(&path(store), store).ok();
    }
    until("the stores are ready", || {
        let of =
            |path: &str| api.get(&format!("{GROUP}/v1/{path}")).ok()["items"].as_array().unwrap().clone();
        let all = [of("secretstores"), of("clustersecretstores")].concat();
        all.iter().all(|store| condition(store) == Some(true)).then_some(())
    });
    for Object { object, .. } in objects {
        *object = api.post(&path(object), object).ok();
    }
}

/// Where objects of a kind are.
fn path(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap();
    let resource = object["kind"].as_str().unwrap().to_lowercase();
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/apis/{version}/namespaces/{namespace}/{resource}s"),
        None => format!("/apis/{version}/{resource}s"),
    }
}

/// Whether an object is ready; `None` until the controller has said so or the contrary.
fn condition(object: &Value) -> Option<bool> {
    let all = object["status"]["conditions"].as_array()?;
    let ready = all.iter().find(|condition| condition["type"] == "Ready")?;
    Some(ready["status"] == "True")
}

/// Waits until the controller has said of each object what came of it: whatever it asked for was asked before.
fn wait_until_done(plane: &Plane, count: usize) -> BTreeMap<String, bool> {
    let of = |path: &str| {
        plane.admin.api.get(&format!("{GROUP}/{path}")).ok()["items"].as_array().unwrap().clone()
    };
    until_within("the controller is done with all objects", std::time::Duration::from_secs(300), || {
        let all = [of("v1/externalsecrets"), of("v1alpha1/pushsecrets")].concat();
        let done = all.iter().filter_map(|object| {
            Some((object["metadata"]["name"].as_str().unwrap().to_owned(), condition(object)?))
        });
        let done: BTreeMap<String, bool> = done.collect();
        (done.len() == count).then_some(done)
    })
}

/// Every request and what came of it, for the object that it was made for.
fn observe(operator: &mut Operator, objects: &[Object]) -> BTreeMap<String, Observed> {
    let pushes: BTreeSet<&str> = objects
        .iter()
        .filter(|object| object.object["kind"] == "PushSecret")
        .map(|object| &*object.name)
        .collect();
    let mut observed = BTreeMap::<String, Observed>::new();
    for (request, answer) in operator.answered() {
        // AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/secretsmanager/aws4_request, …
        let credential = request.header("authorization").split_once("Credential=").unwrap().1;
        let (key, rest) = credential.split_once('/').unwrap();
        let is_known =
            ["/us-east-1/secretsmanager/", "/us-east-1/ssm/"].iter().any(|part| rest.contains(part));
        assert!(is_known, "{}", request.head);
        let (store, name) = key.split_once('-').unwrap_or_else(|| panic!("whose key is {key}?"));
        let is_write = pushes.contains(name);
        let here = observed.entry(name.to_owned()).or_default();
        here.asked.extend(asked(&request, store == "CLUSTER", is_write));
        if !is_write {
            here.given.extend(given(&request, &answer));
        }
    }
    observed
}

/// What a request asks for.
fn asked(request: &Request, cluster: bool, is_write: bool) -> Vec<Asked> {
    let body = request.json();
    let one = |how, name: &Value| Asked { cluster, how, name: name.as_str().unwrap().to_owned() };
    if request.header("x-amz-target").starts_with("AmazonSSM.") {
        return asked_parameters(request.operation(), &body, cluster, is_write);
    }
    match request.operation() {
        "GetSecretValue" | "DescribeSecret" if !is_write => vec![one("read", &body["SecretId"])],
        "CreateSecret" if is_write => vec![one("write", &body["Name"])],
        // It looks at what is there, and cleans up around it.
        _ if is_write => vec![one("write", &body["SecretId"])],
        "ListSecrets" => vec![one("find", &"".into())],
        "BatchGetSecretValue" => {
            let filters = body["Filters"].as_array().unwrap();
            // All filters must fit; without one for names everything is looked through.
            let names: Vec<&Value> = filters.iter().filter(|filter| filter["Key"] == "name").collect();
            let [filter] = names[..] else { return vec![one("find", &"".into())] };
            filter["Values"].as_array().unwrap().iter().map(|value| one("find", value)).collect()
        }
        other => panic!("the operator asked for {other}"),
    }
}

/// The same of AWS Parameter Store. There a name with a slash begins with one, may have a version behind it, and is found by
/// whole segments.
fn asked_parameters(operation: &str, body: &Value, cluster: bool, is_write: bool) -> Vec<Asked> {
    let plain = |name: &Value| {
        let name = name.as_str().unwrap();
        let name = name.strip_prefix('/').unwrap_or(name);
        let version =
            generate::VERSIONS.iter().find_map(|version| name.strip_suffix(version)?.strip_suffix(':'));
        version.unwrap_or(name).to_owned()
    };
    let found = |path: &Value| {
        let path = plain(path);
        let name = if path.ends_with('/') { path } else { path + "/" };
        vec![Asked { cluster, how: "find", name }]
    };
    let how = if is_write { "write" } else { "read" };
    match operation {
        "GetParameter" | "PutParameter" => vec![Asked { cluster, how, name: plain(&body["Name"]) }],
        "ListTagsForResource" | "AddTagsToResource" | "RemoveTagsFromResource" => {
            vec![Asked { cluster, how, name: plain(&body["ResourceId"]) }]
        }
        "GetParametersByPath" => found(&body["Path"]),
        "DescribeParameters" => {
            let filters = body["ParameterFilters"].as_array().into_iter().flatten();
            let path = filters.into_iter().find(|filter| filter["Key"] == "Path");
            path.map_or_else(|| found(&"/".into()), |filter| found(&filter["Values"][0]))
        }
        other => panic!("the operator asked for {other}"),
    }
}

/// Names of the secrets in an answer.
fn given(request: &Request, answer: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    // These list names, and no values.
    let lists = ["ListSecrets", "DescribeParameters", "ListTagsForResource"];
    if !head.starts_with("HTTP/1.1 200 ") || lists.contains(&request.operation()) {
        return Vec::new();
    }
    let body: Value = serde_json::from_str(body).unwrap();
    let name = |secret: &Value| secret["Name"].as_str().unwrap().to_owned();
    let parameter = |parameter: &Value| name(parameter).trim_start_matches('/').to_owned();
    match (&body["SecretValues"], &body["Parameters"], &body["Parameter"]) {
        (Value::Array(secrets), ..) => secrets.iter().map(name).collect(),
        (_, Value::Array(parameters), _) => parameters.iter().map(parameter).collect(),
        (.., one @ Value::Object(_)) => vec![parameter(one)],
        _ => vec![name(&body)],
    }
}

/// Whether a secret lies inside, by a comparison of its own. In its name nothing is resolved, and AWS takes empty segments.
fn is_inside(name: &str) -> bool {
    let segments: Vec<&str> = name.split('/').collect();
    let scopes = [["mozmeao", "eso", "stage"], ["mozmeao", "shared", "stage"]];
    scopes.iter().any(|scope| segments.len() > 3 && segments[..3] == scope[..])
}

fn is_of_parameters(object: &Object) -> bool {
    object.stores[0]["spec"]["provider"]["aws"]["service"] == "ParameterStore"
}

fn check(object: &Object, judged: &Judged, seen: &Observed, is_ready: bool) {
    let Observed { asked, given } = seen;
    let context = || {
        let stores = object.stores.iter().map(|store| format!("\n{store}")).collect::<String>();
        format!("{}{stores}\njudged {judged:#?}\nasked {asked:#?}\ngiven {given:#?}", object.object)
    };
    // By tags it first finds names of parameters, and then reads each.
    let is_found = |asked: &Asked| {
        let mut finds =
            judged.named.iter().filter(|named| named.how == "find" && named.cluster == asked.cluster);
        is_of_parameters(object)
            && asked.how == "read"
            && finds.any(|named| asked.name.starts_with(&named.name))
    };
    if !judged.is_unbounded {
        let is_judged = |asked: &Asked| judged.named.contains(asked) || is_found(asked);
        assert!(asked.iter().all(is_judged), "it asked for what nobody judged: {}", context());
    }
    // What fails at one entry does not come to the others.
    if (is_ready || judged.named.len() == 1) && !judged.is_partial && !judged.is_unbounded {
        assert!(judged.named.is_subset(asked), "it did not ask for what was judged: {}", context());
    }
    // The end of an ARN may be a part of the name: AWS itself cannot tell, and both lie in one place.
    let is_path = |name: &str, path: &str| match name.strip_prefix(path) {
        Some("") => true,
        Some(end) => end.starts_with('-') && end.len() == "-AbCdEf".len(),
        None => false,
    };
    let is_one_named = |name: &String| {
        judged.paths.iter().any(|path| is_path(name, path))
            || judged.named.iter().any(|named| named.how == "find" && name.starts_with(&named.name))
    };
    if judged.is_allowed {
        let is_written_inside = |asked: &Asked| {
            let name = asked.name.strip_prefix("arn:aws:secretsmanager:us-east-1:123456789012:secret:");
            asked.how != "write" || name.unwrap_or(&asked.name).starts_with("mozmeao/eso/stage/")
        };
        assert!(asked.iter().all(is_written_inside), "it wrote outside of its own scope: {}", context());
        assert!(given.iter().all(|name| is_inside(name)), "it was given what lies outside: {}", context());
        assert!(given.iter().all(is_one_named), "the path in the record is another: {}", context());
        assert!(!judged.is_unbounded, "{}", context());
    }
}

/// While the controller is there, which takes its finalizers away itself.
fn clear(plane: &Plane) {
    let api = &plane.admin.api;
    for (version, resource) in
        [("v1", "externalsecrets"), ("v1alpha1", "pushsecrets"), ("v1", "secretstores")]
    {
        let all = format!("{GROUP}/{version}/namespaces/{NAMESPACE}/{resource}");
        api.delete(&all).ok();
        until("the objects are gone", || {
            api.get(&all).ok()["items"].as_array().unwrap().is_empty().then_some(())
        });
    }
    api.delete(&format!("{GROUP}/v1/clustersecretstores")).ok();
}
