//! Throttling, failures, half answers, silence: what the manager does when AWS, or the way to it, is not well.

use std::time::Duration;

use refgate::policy::path::SecretPath;
use refgate::sync::manager::aws::Settings;
use refgate::sync::manager::{Batch, Manager, ManagerError, Retry, SecretValue};
use serde_json::{Value, json};

use super::manager::{Bed, connect, connect_for};
use crate::harness::faults::{Fault, Faults, Request};
use crate::harness::moto::call;
use crate::manager_contract::{Bed as _, Held, Seed};

const SCOPE: &str = "faults/a/stage/";
/// How often a call is tried.
const TRIES: usize = 3;

pub async fn all(bed: &Bed, faults: &Faults) {
    let seed = |index: usize| Seed {
        path: path(index),
        value: Held::Text("v".to_owned()),
        deleted: false,
        tags: Vec::new(),
    };
    bed.seed(&(0..50).map(seed).collect::<Vec<_>>());
    what_passes_is_tried_again(bed, faults).await;
    what_lasts_ends_and_is_told(bed, faults).await;
    silence_ends(bed, faults).await;
    what_had_come_before_still_counts(bed, faults).await;
    a_missing_right_is_named_and_asked_for_once(bed, faults).await;
    what_is_refused_for_its_state_is_told(bed, faults).await;
    a_batch_that_is_refused_for_one_secret_is_halved(bed, faults).await;
    errors_of_single_secrets_stay_with_them(bed, faults).await;
    pages_and_parts_may_be_empty(bed, faults).await;
    what_was_not_asked_for_is_not_taken(bed, faults).await;
    a_value_that_was_stored_though_nobody_said_so_is_stored_once(bed, faults).await;
    no_error_repeats_a_value(bed, faults).await;
    region_and_role_are_those_of_the_settings(bed, faults).await;
}

fn path(index: usize) -> String {
    format!("{SCOPE}secret-{index:02}")
}

fn paths(count: usize) -> Vec<String> {
    (0..count).map(path).collect()
}

fn error(status: u16, code: &str) -> Fault {
    Fault::Answer(status, json!({"__type": code, "Message": "told by the test"}))
}

/// The fault for the first so many requests.
fn first(
    count: usize,
    fault: impl Fn() -> Fault + Send + 'static,
) -> impl FnMut(&Request) -> Fault + Send + 'static {
    let mut met = 0;
    move |_: &Request| {
        met += 1;
        if met <= count { fault() } else { Fault::Pass }
    }
}

fn passing() -> [fn() -> Fault; 5] {
    [
        || error(400, "ThrottlingException"),
        || error(500, "InternalServiceError"),
        || error(503, "ServiceUnavailable"),
        || Fault::Half,
        || Fault::Close,
    ]
}

async fn what_passes_is_tried_again(bed: &Bed, faults: &Faults) {
    for (index, fault) in passing().into_iter().enumerate() {
        faults.meet(first(1, fault));
        assert_eq!(bed.manager().list(SCOPE).await.map(|listed| listed.len()), Ok(50), "{index}");
        assert_eq!(faults.seen().len(), 2, "{index}");
    }
}

async fn what_lasts_ends_and_is_told(bed: &Bed, faults: &Faults) {
    for (index, fault) in passing().into_iter().enumerate() {
        faults.meet(move |_| fault());
        let listed = bed.manager().list(SCOPE).await.unwrap_err();
        assert_eq!(faults.seen().len(), TRIES, "{index}: {listed}");
        let fetched = bed.manager().fetch(&paths(50)).await.unwrap_err();
        assert_eq!(faults.seen().len(), 2 * TRIES, "{index}: one batch, and no further one: {fetched}");
        for error in [listed, fetched] {
            match index {
                0 => assert_eq!(error, ManagerError::Throttled),
                _ => assert!(matches!(error, ManagerError::Unavailable(_)), "{index}: {error}"),
            }
        }
        // Gone, and back.
        faults.meet(|_| Fault::Pass);
        assert_eq!(bed.manager().list(SCOPE).await.map(|listed| listed.len()), Ok(50), "{index}");
    }
}

async fn silence_ends(bed: &Bed, faults: &Faults) {
    // Long enough for moto, since what follows must be answered.
    let manager = connect_for(&Settings::default(), Duration::from_secs(3)).await;
    faults.meet(first(1, || Fault::Hang));
    assert_eq!(manager.list(SCOPE).await.map(|listed| listed.len()), Ok(50));
    assert!(faults.seen().len() > 1);
    let manager = connect_for(&Settings::default(), Duration::from_millis(200)).await;
    faults.meet(|_| Fault::Hang);
    let error = manager.list(SCOPE).await.unwrap_err();
    assert_eq!(error, ManagerError::Unavailable("no answer in time".to_owned()));
    assert_eq!(faults.seen().len(), TRIES);
    faults.meet(|_| Fault::Pass);
    assert_eq!(bed.manager().list(SCOPE).await.map(|listed| listed.len()), Ok(50));
}

async fn what_had_come_before_still_counts(bed: &Bed, faults: &Faults) {
    let mut met = 0;
    faults.meet(move |_| {
        met += 1;
        if met == 1 { Fault::Pass } else { error(400, "ThrottlingException") }
    });
    let batch = bed.manager().fetch(&paths(50)).await.unwrap();
    assert_eq!(batch.len(), 50);
    for (index, (_, result)) in batch.iter().enumerate() {
        match index {
            0..20 => assert!(result.is_ok(), "{index}"),
            _ => assert_eq!(*result, Err(ManagerError::Throttled), "{index}"),
        }
    }
    assert_eq!(faults.seen().len(), 1 + TRIES, "the third batch is not asked for");
}

async fn a_missing_right_is_named_and_asked_for_once(bed: &Bed, faults: &Faults) {
    faults.meet(|_| error(400, "AccessDeniedException"));
    let named = |error: ManagerError, right: &str| {
        assert!(matches!(&error, ManagerError::Denied(text) if text.contains(right)), "{error}");
    };
    named(bed.manager().list(SCOPE).await.unwrap_err(), "secretsmanager:ListSecrets on *");
    named(bed.manager().fetch(&paths(50)).await.unwrap_err(), "secretsmanager:BatchGetSecretValue on *");
    let single = bed.manager().fetch(&paths(1)).await.unwrap().remove(0).1;
    named(single.unwrap_err(), "secretsmanager:BatchGetSecretValue on *");
    named(
        store(bed.manager(), &path(0), "x").await.unwrap_err(),
        "secretsmanager:PutSecretValue on faults/a/stage/",
    );
    assert_eq!(faults.seen().len(), 4);
    faults.meet(|_| error(400, "ExpiredTokenException"));
    named(bed.manager().list(SCOPE).await.unwrap_err(), "credentials");
}

/// Moto stores into what is scheduled for deletion; AWS does not, and says so.
async fn what_is_refused_for_its_state_is_told(bed: &Bed, faults: &Faults) {
    let deleted = "You can't perform this operation on the secret because it was marked for deletion.";
    let managed = "The secret is managed by another service.";
    for (message, is_deleted) in [(deleted, true), (managed, false)] {
        faults.meet(move |_| {
            Fault::Answer(400, json!({"__type": "InvalidRequestException", "Message": message}))
        });
        let error = store(bed.manager(), &path(0), "x").await.unwrap_err();
        assert_eq!(error == ManagerError::Deleted(path(0)), is_deleted, "{error}");
        assert_eq!(error.retry(), Retry::NextRefresh);
    }
}

fn asked(request: &Request) -> Vec<String> {
    let json = request.json();
    let ids = json["SecretIdList"].as_array().cloned().unwrap_or_default();
    ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

async fn a_batch_that_is_refused_for_one_secret_is_halved(bed: &Bed, faults: &Faults) {
    for (code, expected) in [
        ("DecryptionFailure", ManagerError::Denied(format!("kms:Decrypt for {}", path(7)))),
        ("InvalidRequestException", ManagerError::Deleted(path(7))),
    ] {
        faults.meet(move |request| match asked(request).contains(&path(7)) {
            true => error(400, code),
            false => Fault::Pass,
        });
        let batch = bed.manager().fetch(&paths(50)).await.unwrap();
        assert_eq!(batch.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), paths(50));
        for (index, (_, result)) in batch.iter().enumerate() {
            match index {
                7 => assert_eq!(*result, Err(expected.clone())),
                _ => assert!(result.is_ok(), "{index}: {result:?}"),
            }
        }
        assert!(faults.seen().len() <= 3 + 10, "{}", faults.seen().len());
    }
}

async fn errors_of_single_secrets_stay_with_them(bed: &Bed, faults: &Faults) {
    let codes = [
        ("ResourceNotFoundException", ManagerError::NotFound(path(0))),
        ("InvalidRequestException", ManagerError::Deleted(path(1))),
        (
            "AccessDeniedException",
            ManagerError::Denied(format!("secretsmanager:GetSecretValue on {}", path(2))),
        ),
        ("DecryptionFailure", ManagerError::Denied(format!("kms:Decrypt for {}", path(3)))),
        ("ThrottlingException", ManagerError::Throttled),
        ("InternalServiceError", ManagerError::Unavailable("it fails by itself".to_owned())),
    ];
    let errors: Vec<Value> = codes
        .iter()
        .enumerate()
        .map(|(index, (code, _))| json!({"SecretId": path(index), "ErrorCode": code, "Message": "m"}))
        .collect();
    let value = json!({"Name": path(6), "VersionId": "v6", "SecretString": "six"});
    let answer = json!({"SecretValues": [value], "Errors": errors});
    faults.meet(move |_| Fault::Answer(200, answer.clone()));
    let batch = bed.manager().fetch(&paths(8)).await.unwrap();
    for ((_, expected), (_, result)) in codes.iter().zip(&batch) {
        assert_eq!(result.as_ref().unwrap_err(), expected);
    }
    assert!(batch[6].1.as_ref().is_ok_and(|fetched| fetched.value.expose() == b"six"));
    // Neither a value nor an error: it is not there.
    assert_eq!(batch[7].1, Err(ManagerError::NotFound(path(7))));
}

async fn pages_and_parts_may_be_empty(bed: &Bed, faults: &Faults) {
    let page = |token: &str| json!({"SecretList": [], "NextToken": token});
    faults.meet(move |request| match request.json()["NextToken"].as_str() {
        None => Fault::Answer(200, page("one")),
        Some("one") => Fault::Answer(200, page("two")),
        Some(_) => Fault::Answer(200, json!({"SecretList": [{"Name": path(3), "ARN": "arn:aws:x"}]})),
    });
    let listed = bed.manager().list(SCOPE).await.unwrap();
    assert_eq!(listed.iter().map(|listed| listed.path.clone()).collect::<Vec<_>>(), [path(3)]);
    // The same page again and again ends.
    faults.meet(move |_| Fault::Answer(200, page("one")));
    let error = bed.manager().list(SCOPE).await.unwrap_err();
    assert!(matches!(error, ManagerError::Invalid(_)) && faults.seen().len() == 2, "{error}");
    let value = |index: usize| json!({"Name": path(index), "VersionId": "1", "SecretString": "v"});
    faults.meet(move |request| match request.json()["NextToken"].as_str() {
        None => Fault::Answer(200, json!({"SecretValues": [], "NextToken": "one"})),
        Some("one") => Fault::Answer(200, json!({"SecretValues": [value(0)], "NextToken": "two"})),
        Some(_) => Fault::Answer(200, json!({"SecretValues": [value(1)]})),
    });
    let batch = bed.manager().fetch(&paths(2)).await.unwrap();
    assert!(batch.len() == 2 && batch.iter().all(|(_, result)| result.is_ok()), "{batch:?}");
    // Parts that do not end leave nobody waiting, and nothing is said to be missing.
    faults.meet(|_| Fault::Answer(200, json!({"SecretValues": [], "NextToken": "one"})));
    let error = bed.manager().fetch(&paths(2)).await.unwrap_err();
    assert!(matches!(error, ManagerError::Unavailable(_)), "{error}");
}

async fn what_was_not_asked_for_is_not_taken(bed: &Bed, faults: &Faults) {
    let value = |name: &str, value: &str| json!({"Name": name, "VersionId": "1", "SecretString": value});
    let values = [value("faults/a/prod/x", "foreign"), value(&path(0), "mine"), value(&path(0), "again")];
    let answer =
        json!({"SecretValues": values, "Errors": [{"SecretId": "faults/a/prod/y", "ErrorCode": "X"}]});
    faults.meet(move |_| Fault::Answer(200, answer.clone()));
    let batch: Batch = bed.manager().fetch(&paths(1)).await.unwrap();
    assert_eq!(batch.len(), 1);
    assert!(batch[0].1.as_ref().is_ok_and(|fetched| fetched.value.expose() == b"mine"));
    let names = ["faults/a/stage-eu/x", "faults/a/stage", "faults/a/stage/../prod/x", &path(0)];
    let list: Vec<Value> = names.iter().map(|name| json!({"Name": name})).collect();
    faults.meet(move |_| Fault::Answer(200, json!({"SecretList": list})));
    let listed = bed.manager().list(SCOPE).await.unwrap();
    assert_eq!(listed.iter().map(|listed| &*listed.path).collect::<Vec<_>>(), [&*path(0)]);
}

async fn store(manager: &Manager, path: &str, value: &str) -> Result<String, ManagerError> {
    manager.store(&SecretPath::absolute(path).unwrap(), &SecretValue::new(value.into())).await
}

async fn a_value_that_was_stored_though_nobody_said_so_is_stored_once(bed: &Bed, faults: &Faults) {
    for name in ["faults/a/stage/secret-00", "faults/a/stage/made"] {
        let mut lost = false;
        faults.meet(move |request| {
            // The answer of the call that stores is lost, once.
            let stores = request.operation() == "CreateSecret" || name.ends_with("00");
            if stores && !std::mem::replace(&mut lost, true) { Fault::Lose } else { Fault::Pass }
        });
        let version = store(bed.manager(), name, "stored once").await.unwrap();
        let seen = faults.seen();
        let tokens: Vec<Value> =
            seen.iter().rev().take(2).map(|seen| seen.json()["ClientRequestToken"].clone()).collect();
        assert!(tokens[0].is_string() && tokens[0] == tokens[1], "{name}: {tokens:?}");
        let versions =
            call(bed.moto, "ListSecretVersionIds", &json!({"SecretId": name, "IncludeDeprecated": true}));
        let versions: Vec<&Value> =
            versions["Versions"].as_array().unwrap().iter().map(|known| &known["VersionId"]).collect();
        assert_eq!(
            versions.iter().filter(|known| **known == version.as_str()).count(),
            1,
            "{name}: {versions:?}"
        );
        assert_eq!(versions.len(), if name.ends_with("00") { 2 } else { 1 }, "{name}: {versions:?}");
    }
}

/// Whoever answers may quote what he was sent.
async fn no_error_repeats_a_value(bed: &Bed, faults: &Faults) {
    for status in [200, 400, 403, 404, 418, 500] {
        for code in ["InvalidParameterException", "PLANTED-hunter2", "LimitExceededException", ""] {
            faults
                .meet(move |_| Fault::Answer(status, json!({"__type": code, "Message": "PLANTED-hunter2"})));
            let error = store(bed.manager(), &path(0), "PLANTED-hunter2").await.unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(!said.contains("PLANTED"), "{status} {code}: {said}");
        }
    }
    faults.meet(|_| Fault::Answer(200, json!({"SecretValues": "PLANTED-hunter2"})));
    let error = bed.manager().fetch(&paths(1)).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("PLANTED"), "{error:?}");
    assert!(!format!("{:?}", bed.manager()).contains("test"));
}

async fn region_and_role_are_those_of_the_settings(bed: &Bed, faults: &Faults) {
    faults.meet(|_| Fault::Pass);
    let role = "arn:aws:iam::123456789012:role/refgate-prod".to_owned();
    let settings = Settings { region: Some("eu-west-1".to_owned()), role: Some(role) };
    let other = connect(&settings).await;
    // Another region is another manager.
    assert_eq!(other.list(SCOPE).await, Ok(Vec::new()));
    let seen = faults.seen();
    let body = |request: &Request| String::from_utf8_lossy(&request.body).into_owned();
    assert!(
        body(&seen[0]).contains("Action=AssumeRole") && body(&seen[0]).contains("refgate-prod"),
        "{seen:?}"
    );
    let signed = seen[1].header("authorization").to_owned();
    assert!(
        signed.contains("/eu-west-1/secretsmanager/") && !signed.contains("Credential=test/"),
        "{signed}"
    );
    // A role that cannot be had is told.
    faults.meet(|request| match request.operation() {
        "" => Fault::Answer(403, json!({})),
        _ => Fault::Pass,
    });
    let denied = connect(&settings).await.list(SCOPE).await.unwrap_err();
    assert!(matches!(&denied, ManagerError::Credentials(text) if text.contains("credentials")), "{denied}");
    assert_eq!(bed.manager().list("faults/b/stage/").await, Ok(Vec::new()), "others are served");
}
