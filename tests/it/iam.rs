//! `refgate iam`: the policy allows what is meant, nothing beside it, and what is wrong is refused.

use std::process::{Command, Output};

use serde_json::{Value, json};

fn iam(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_refgate")).arg("iam").args(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> Value {
    let output = iam(arguments);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{arguments:?}");
    assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

const SCOPE: &str = "mozmeao/snippets/stage";
const PLACE: [&str; 4] = ["--account", "111122223333", "--region", "us-west-2"];
const KEY: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&[SCOPE][..], &PLACE, more].concat()
}

#[test]
fn the_sync_finds_names_and_reads_one_scope() {
    let expected = json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "FindSecrets", "Effect": "Allow", "Resource": ["*"],
                "Action": ["secretsmanager:BatchGetSecretValue", "secretsmanager:ListSecrets"],
            },
            {
                "Sid": "ReadSecrets", "Effect": "Allow", "Action": ["secretsmanager:GetSecretValue"],
                "Resource": ["arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage/*"],
            },
        ],
    });
    assert_eq!(printed(&with(&[])), expected);
}

#[test]
fn a_writer_stores_and_reads_nothing() {
    let policy = printed(&with(&["--writer", "--kms-key", KEY]));
    let arn = "arn:aws:secretsmanager:us-west-2:111122223333:secret:mozmeao/snippets/stage/*";
    let expected = json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "WriteSecrets", "Effect": "Allow", "Resource": [arn],
                "Action": [
                    "secretsmanager:CreateSecret", "secretsmanager:DescribeSecret",
                    "secretsmanager:PutSecretValue", "secretsmanager:TagResource",
                ],
            },
            {
                "Sid": "UseTheirKey", "Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": [KEY],
                "Condition": {"StringLike": {
                    "kms:ViaService": "secretsmanager.us-west-2.amazonaws.com",
                    "kms:EncryptionContext:SecretARN": [arn],
                }},
            },
        ],
    });
    assert_eq!(policy, expected);
    assert!(!policy.to_string().contains("GetSecretValue"));
}

/// How AWS compares an ARN with the resource of a statement: a star stands for anything, slashes too.
fn matches(pattern: &str, arn: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == arn,
        Some((start, rest)) => {
            arn.strip_prefix(start).is_some_and(|arn| (0..=arn.len()).any(|at| matches(rest, &arn[at..])))
        }
    }
}

#[test]
fn no_other_scope_is_reached() {
    let policy = printed(&with(&["--shared", "mozmeao/shared/stage", "--kms-key", KEY]));
    let read =
        policy["Statement"].as_array().unwrap().iter().find(|entry| entry["Sid"] == "ReadSecrets").unwrap();
    let patterns: Vec<&str> =
        read["Resource"].as_array().unwrap().iter().map(|arn| arn.as_str().unwrap()).collect();
    let reached = |name: &str, account: &str| {
        let arn = format!("arn:aws:secretsmanager:us-west-2:{account}:secret:{name}-AbCdEf");
        patterns.iter().any(|pattern| matches(pattern, &arn))
    };
    for name in ["mozmeao/snippets/stage/db", "mozmeao/snippets/stage/a/b", "mozmeao/shared/stage/smtp"] {
        assert!(reached(name, "111122223333"), "{name}");
        assert!(!reached(name, "999999999999"), "{name} of another account");
    }
    for name in [
        "mozmeao/snippets/stage",
        "mozmeao/snippets/stage-eu/db",
        "mozmeao/snippets/stage2/db",
        "mozmeao/snippets/prod/db",
        "x/mozmeao/snippets/stage/db",
        "mozmeao/shared/stage2/smtp",
    ] {
        assert!(!reached(name, "111122223333"), "{name}");
    }
    let key = policy["Statement"].as_array().unwrap().last().unwrap();
    assert_eq!(key["Condition"]["StringLike"]["kms:EncryptionContext:SecretARN"], read["Resource"]);
    assert_eq!(key["Action"], json!(["kms:Decrypt"]));
}

/// As they are said to `bind`.
#[test]
fn several_shared_paths_are_said_in_either_way() {
    let (one, two) = ("mozmeao/shared/stage", "mozmeao/cdn/stage");
    let twice = printed(&with(&["--shared", one, "--shared", two]));
    assert_eq!(twice["Statement"][1]["Resource"].as_array().unwrap().len(), 3);
    for list in [format!("{one},{two}"), format!("{one}, {two}")] {
        assert_eq!(printed(&with(&["--shared", &list])), twice, "{list}");
    }
}

#[test]
fn what_is_not_said_is_left_for_aws_to_refuse() {
    let output = iam(&[SCOPE]);
    assert_eq!(output.status.code(), Some(0));
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(out.contains("arn:aws:secretsmanager:REGION:ACCOUNT:secret:mozmeao/snippets/stage/*"), "{out}");
    assert!(err.contains("--account") && err.contains("--region"), "{err}");
    let china =
        printed(&[SCOPE, "--partition", "aws-cn", "--region", "cn-north-1", "--account", "111122223333"]);
    assert!(china.to_string().contains("arn:aws-cn:secretsmanager:cn-north-1:"), "{china}");
}

#[test]
fn what_would_widen_a_policy_is_refused_by_name() {
    let alias = "arn:aws:kms:us-west-2:111122223333:alias/secrets";
    for (arguments, named) in [
        (&[][..], "GROUP/APP/ENV"),
        (&["mozmeao/snippets"], "a scope is group/app/env"),
        (&["mozmeao/snippets/*"], "segment 3"),
        (&["mozmeao/snippets/stage?"], "segment 3"),
        (&[SCOPE, "--shared", "mozmeao/*/stage"], "wildcard"),
        (&[SCOPE, "--account", "*"], "twelve digits"),
        (&[SCOPE, "--account", "1234"], "twelve digits"),
        (&[SCOPE, "--region", "*"], "no AWS region"),
        (&[SCOPE, "--region", "us-west-2:1"], "no AWS region"),
        (&[SCOPE, "--partition", "azure"], "no partition"),
        (&[SCOPE, "--kms-key", "*"], "no ARN of a key"),
        (&[SCOPE, "--kms-key", alias], "an alias is none"),
        (&[SCOPE, "--kms-key", "arn:aws:kms:us-west-2:111122223333:key/*"], "no ARN of a key"),
        (&[SCOPE, "--kms-key", "arn:aws-cn:kms:us-west-2:111122223333:key/1"], "arn:aws:kms"),
        (&[SCOPE, "--writer", "--shared", "mozmeao/shared/stage"], "one scope"),
    ] {
        let output = iam(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "", "{arguments:?}");
    }
}
