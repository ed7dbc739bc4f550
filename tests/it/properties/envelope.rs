//! Whatever the body of a request is: there is an answer, no panic, and a review gets its uid back.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use refgate::policy::decide;
use refgate::policy::decision::Outcome;
use refgate::policy::review::{Endpoint, ParseError, parse, respond, unreadable};
use refgate::policy::snapshot::Snapshot;
use serde_json::{Value, json};

use super::generate::Json;
use super::shapes::{altered, any_json};
use super::{config, review, spots, world, wrapped};

/// The uid that an answer must repeat: what is an AdmissionReview for any reader of JSON is one for us.
fn owed(body: &[u8]) -> Option<String> {
    let review: Value = serde_json::from_slice(body).ok()?;
    let is_review = review["apiVersion"] == "admission.k8s.io/v1" && review["kind"] == "AdmissionReview";
    let uid = review["request"]["uid"].as_str().filter(|uid| !uid.is_empty())?;
    is_review.then(|| uid.to_owned())
}

/// Reads and answers a body as the server does, and checks the answer.
pub fn answered(body: &[u8], endpoint: Endpoint, snapshot: &Snapshot) -> Result<(), TestCaseError> {
    let owed = owed(body);
    let (uid, decision) = match parse(body, endpoint, &snapshot.settings.kinds) {
        Ok(review) => (review.uid.clone().into_owned(), decide(&review, snapshot)),
        Err(ParseError::Object { uid, pointer, problem }) => {
            prop_assert!(pointer.starts_with('/') || pointer.is_empty(), "{}", pointer);
            prop_assert!(!problem.is_empty());
            (uid, unreadable(&pointer, &problem))
        }
        Err(ParseError::NotAReview(why)) => {
            prop_assert_eq!(owed, None, "{}", why);
            return Ok(());
        }
    };
    prop_assert!(!uid.is_empty());
    if serde_json::from_slice::<Value>(body).is_ok() {
        prop_assert_eq!(owed.as_ref(), Some(&uid));
    }
    let answer: Value = serde_json::from_slice(&respond(&uid, &decision)).unwrap();
    prop_assert_eq!(&answer["apiVersion"], "admission.k8s.io/v1");
    prop_assert_eq!(&answer["kind"], "AdmissionReview");
    let response = &answer["response"];
    prop_assert_eq!(&response["uid"], &json!(uid));
    prop_assert_eq!(&response["allowed"], &json!(decision.outcome == Outcome::Allow));
    prop_assert_eq!(response["patch"].is_string(), response["patchType"] == "JSONPatch");
    prop_assert!(
        endpoint == Endpoint::Mutate || decision.patch.is_none(),
        "a patch of the validating webhook"
    );
    prop_assert!(response["auditAnnotations"].as_object().unwrap().values().all(Value::is_string));
    if let Outcome::Deny { message, .. } = &decision.outcome {
        prop_assert_eq!(&response["status"]["message"], &json!(message));
        prop_assert!(response["status"]["code"].as_u64().unwrap() >= 400);
    }
    Ok(())
}

/// A JSON text in which one member of one object stands twice.
fn doubled(value: &Value, here: &str, at: &str, other: &Value, out: &mut String) {
    let mut separator = "";
    match value {
        Value::Object(fields) => {
            out.push('{');
            for (key, field) in fields {
                let place = format!("{here}/{key}");
                if place == at {
                    out.push_str(&format!("{separator}{}:{other}", Value::from(key.as_str())));
                    separator = ",";
                }
                out.push_str(&format!("{separator}{}:", Value::from(key.as_str())));
                doubled(field, &place, at, other, out);
                separator = ",";
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    select(vec![Endpoint::Mutate, Endpoint::Validate])
}

/// A review as it may come in, of any kind, operation and endpoint.
fn real() -> impl Strategy<Value = Json> {
    let kinds = vec!["Pod", "Pod", "Deployment", "CronJob", "PodTemplate", "ConfigMap"];
    let operations = vec!["CREATE", "UPDATE", "DELETE", "CONNECT", "create", ""];
    (spots::pod(), spots::pod(), select(kinds), select(operations)).prop_map(|(pod, old, kind, operation)| {
        let old = if operation == "CREATE" { Value::Null } else { wrapped(kind, &old) };
        let pod = if operation == "DELETE" { Value::Null } else { wrapped(kind, &pod) };
        Json(review(operation, kind, &pod, &old))
    })
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300), endpoint in endpoint()) {
        answered(&bytes, endpoint, &world::snapshot(&world::full(), None))?;
    }

    #[test]
    fn any_json_has_an_answer(body in any_json(), endpoint in endpoint()) {
        answered(body.to_string().as_bytes(), endpoint, &world::snapshot(&world::full(), None))?;
    }

    #[test]
    fn a_review_gets_its_uid_back_whatever_is_inside(
        review in real(), changes in altered(), uid in "\\PC{1,8}|[\\x00-\\x7f]{1,8}", endpoint in endpoint(),
    ) {
        let mut review = review.0;
        changes.apply(&mut review);
        if review["request"].is_object() {
            review["request"]["uid"] = json!(uid);
        }
        answered(review.to_string().as_bytes(), endpoint, &world::snapshot(&world::full(), None))?;
    }

    /// Bytes that are lost, doubled or turned into others on the way.
    #[test]
    fn damaged_reviews_have_an_answer(
        review in real(),
        damage in prop::collection::vec((any::<Index>(), 0..12usize, any::<u8>(), 0..3), 1..4),
        endpoint in endpoint(),
    ) {
        let mut body = review.to_string().into_bytes();
        for (start, length, byte, how) in damage {
            let start = start.index(body.len());
            let end = body.len().min(start + length);
            match how {
                0 => drop(body.drain(start..end)),
                1 => drop(body.splice(start..start, body[start..end].to_vec())),
                _ => body[start] = byte,
            }
        }
        answered(&body, endpoint, &world::snapshot(&world::full(), None))?;
    }

    #[test]
    fn a_member_that_stands_twice_costs_no_review_its_uid(
        review in real(), place in any::<Index>(), other in any_json(), endpoint in endpoint(),
    ) {
        let keys = review.as_object().unwrap().keys().map(|key| format!("/{key}"));
        let inner = review["request"].as_object().unwrap().keys().map(|key| format!("/request/{key}"));
        let places: Vec<String> = keys.chain(inner).collect();
        let mut body = String::new();
        doubled(&review, "", place.get::<String>(&places), &other, &mut body);
        answered(body.as_bytes(), endpoint, &world::snapshot(&world::full(), None))?;
    }
}

/// Only an object is an AdmissionReview: a list of its fields in their order is none.
#[test]
fn a_list_is_no_review() {
    let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "web"}]}});
    let body =
        json!(["admission.k8s.io/v1", "AdmissionReview", ["uid", {"group": "", "kind": "Pod"}, pod, null]]);
    answered(body.to_string().as_bytes(), Endpoint::Mutate, &world::snapshot(&world::full(), None)).unwrap();
}
