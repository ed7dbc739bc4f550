//! What is a reference of another system, and what only starts like one.

use super::*;

#[test]
fn well_formed_references_are_recognised() {
    for (text, system) in [
        ("vault:secret/data/a/b#key", "Vault"),
        (">>vault:pki/issue/x#certificate#{}", "Vault"),
        ("vault:secret/data/a#${.user}:${.pass}", "Vault"),
        ("bao:secret/a#k#2", "OpenBao"),
        ("vault:login", "Vault"),
        ("op://vault/item/field", "1Password"),
        ("op://vault/item/section/field", "1Password"),
        ("sm://project/name#1", "Berglas"),
        ("berglas://bucket/object", "Berglas"),
        ("arn:aws:secretsmanager:us-west-2:111122223333:secret:a/b-AbCdEf", "AWS Secrets Manager"),
        ("arn:aws-cn:secretsmanager:cn-north-1:111122223333:secret:a", "AWS Secrets Manager"),
        ("arn:aws:ssm:us-west-2:111122223333:parameter/a/b", "AWS Parameter Store"),
        ("gcp:secretmanager:projects/p/secrets/s/versions/2", "Google Secret Manager"),
        ("my-secret@azurekeyvault", "Azure Key Vault"),
        ("my-secret@azurekeyvault?tls.crt", "Azure Key Vault"),
        ("ref+vault://secret/a#/key", "vals"),
        ("ref+awssecrets://a/b/c/d?region=x", "vals"),
    ] {
        let Reading::Reference(foreign) = read(text) else { panic!("{text}") };
        assert_eq!(foreign.system, system, "{text}");
    }
}

#[test]
fn what_only_starts_like_one_is_none() {
    for text in [
        "vault:hunter2",
        "vault:hunter2#x",
        "vault:",
        "vaults:a/b#c",
        "op://hunter2",
        "op://a//b/c",
        "sm://x",
        "arn:aws:secretsmanager:hunter2",
        "arn:aws:s3:::bucket",
        "arn:gcp:secretmanager:r:a:secret:x",
        "gcp:secretmanager:",
        "gcp:secretmanager:hunter 2!",
        "Passw0rd!@azurekeyvault",
        "a@azurekeyvault.example.com",
        "ref+://x",
        "ref+hunter2",
        "",
    ] {
        assert!(!matches!(read(text), Reading::Reference(_)), "{text}");
    }
}

#[test]
fn references_inside_a_text_are_found() {
    let found = inline(
        "postgres://${vault:secret/a#user}:${>>vault:secret/b#pw}@${HOST}/x${vault:no}${vault:a b/../c#d}",
    );
    let paths: Vec<Option<&str>> = found
        .iter()
        .map(|reading| match reading {
            Reading::Reference(foreign) => foreign.path(),
            _ => None,
        })
        .collect();
    assert_eq!(paths, [Some("secret/a"), Some("secret/b"), None, None]);
}

#[test]
fn what_a_tool_would_try_is_told_apart_from_plain_text() {
    for (text, system) in [
        ("vault:a b/../secret/data/payroll/prod/x#k", Some("Vault")),
        ("arn:aws:ssm:us-west-2:parameter/:/mozmeao/payroll/prod/x", Some("AWS")),
        ("gcp:secretmanager:projects/example.com:payroll/secrets/x", Some("Google Secret Manager")),
        ("berglas://bucket/signing key", Some("Berglas")),
        ("Passw0rd@azurekeyvault", Some("Azure Key Vault")),
        ("ref+echo://hunter2", Some("vals")),
        ("vault: our storage", None),
        ("operator", None),
    ] {
        let expected = system.map_or(Reading::None, Reading::Malformed);
        assert_eq!(read(text), expected, "{text}");
    }
}
