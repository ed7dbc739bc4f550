//! Systems whose names are no paths: which place and which name in it a row of `carriers.mappings` gives to a scope.

use refgate::policy::carriers::place::System;
use refgate::policy::carriers::settings::Mapping;
use serde_json::{Value, json};

use super::external_secrets::{ask, data, external_secret, object, settings, world};
use super::other_systems::mapped;
use super::stores::{INSIDE, reader, store};
use super::{allowed, message};

/// A row gives its own scope a place, and no other scope that the namespace may read.
#[test]
fn a_place_of_one_scope_is_none_of_a_shared_one() {
    let row = |system, app: &str, place: &str| {
        let scopes = ["mozmeao", app, "stage"].map(|segment| Some(segment.to_owned()));
        Mapping { system, scopes, place: place.to_owned(), separator: None }
    };
    let settings = || {
        let mut settings = settings();
        settings.carriers.mappings = vec![
            row(System::Vault, "snippets", "team"),
            row(System::Vault, "shared", "shared"),
            row(System::AwsParameterStore, "snippets", "us-west-2"),
            row(System::AwsParameterStore, "shared", "eu-west-1"),
        ];
        settings.aws_regions = vec!["us-west-2".into(), "eu-west-1".into()];
        settings
    };
    for (mount, region, path, expected) in [
        ("team", "us-west-2", INSIDE, true),
        ("shared", "eu-west-1", "mozmeao/shared/stage/x", true),
        ("shared", "eu-west-1", INSIDE, false),
        ("team", "us-west-2", "mozmeao/shared/stage/x", false),
        ("other", "us-east-1", INSIDE, false),
    ] {
        let spec = json!({"mount": mount, "type": "kv-v2", "path": path, "destination": {"name": "web"}});
        let reads = object("secrets.hashicorp.com/v1beta1", "VaultStaticSecret", "v", spec);
        let decision = ask(&world(&[], settings()), &reads, None);
        assert_eq!(allowed(&decision), expected, "{mount} {path}: {decision:?}");
        if !expected && mount != "other" {
            let scope = path.trim_end_matches("/x");
            let row = format!("{{system: vault, match: {scope}, place: {mount}}}");
            assert!(message(&decision).contains(&row), "{decision:?}");
        }
        let parameters = store(json!({"aws": {"service": "ParameterStore", "region": region}}));
        let there = world(&[parameters], settings());
        for find in [false, true] {
            let key = if find { path.trim_end_matches('x') } else { path };
            let decision = ask(&there, &reader(find, key), None);
            assert_eq!(allowed(&decision), expected, "{region} {key}: {decision:?}");
        }
    }
}

/// The location becomes a part of the name of the host that gets the operator's token.
#[test]
fn a_location_is_no_host() {
    for (location, expected) in [
        ("us-east1", true),
        ("", true),
        ("evil.example.com#", false),
        ("x.example.com:443?", false),
        ("a/b", false),
    ] {
        let provider = json!({"gcpsm": {"projectID": "moz-stage", "location": location}});
        let decision = ask(&world(&[], mapped()), &store(provider), None);
        assert_eq!(allowed(&decision), expected, "{location}: {decision:?}");
        let name = "secrets/mozmeao--snippets--stage--x/versions/latest";
        let entry = format!("- resourceName: projects/moz-stage/locations/{location}/{name}\n  path: a\n");
        let parameters = json!({"auth": "provider-adc", "secrets": entry});
        let spec = json!({"provider": "gcp", "parameters": parameters});
        let class = object("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass", "c", spec);
        let decision = ask(&world(&[], mapped()), &class, None);
        assert_eq!(allowed(&decision), expected && !location.is_empty(), "{location}: {decision:?}");
    }
}

/// Where names are no paths, the name that was meant is said, and no path of the scope is advised.
#[test]
fn a_denial_says_which_name_a_row_gives() {
    let row = |system, place: &str, separator: Option<&str>| Mapping {
        system,
        scopes: [None, None, Some("stage".to_owned())],
        place: place.to_owned(),
        separator: separator.map(str::to_owned),
    };
    let settings = || {
        let mut settings = settings();
        settings.carriers.mappings = vec![
            row(System::Google, "moz", Some("--")),
            row(System::OnePassword, "Stage", None),
            row(System::Azure, "hyphens", Some("-")),
        ];
        settings
    };
    let google = json!({"gcpsm": {"projectID": "moz"}});
    let azure = json!({"azurekv": {"vaultUrl": "https://hyphens.vault.azure.net"}});
    let by = |provider: &Value, key: &str| {
        let mut named = store(provider.clone());
        named["metadata"]["name"] = "aws".into();
        let snapshot = world(&[named], settings());
        message(&ask(&snapshot, &external_secret(data(key)), None)).to_owned()
    };
    let item = |path: &str| {
        let item = object("onepassword.com/v1", "OnePasswordItem", "i", json!({"itemPath": path}));
        message(&ask(&world(&[], settings()), &item, None)).to_owned()
    };
    let at = "ExternalSecret web, spec.data[0].remoteRef.key: ";
    for (said, expected) in [
        (
            by(&google, "db-password"),
            format!(
                "{at}db-password is not one of the names of Google Secret Manager that carriers.mappings gives to \
                 mozmeao/snippets/stage; write mozmeao--snippets--stage--db-password (by SecretStore aws)"
            ),
        ),
        (
            by(&google, "db password"),
            format!(
                "{at}db password is no name of Google Secret Manager that can be mapped: those are of letters, digits and the \
                 characters - _ . alone; write one that is mozmeao--snippets--stage--NAME (by SecretStore aws)"
            ),
        ),
        (
            by(&azure, "db"),
            format!(
                "{at}db is not one of the names of Azure Key Vault that carriers.mappings gives to mozmeao/snippets/stage; write \
                 mozmeao-snippets-stage-db (by SecretStore aws)"
            ),
        ),
        (
            item("vaults/Stage/items/a?b"),
            "OnePasswordItem i, spec.itemPath: a?b is no name of 1Password that can be mapped: those are of letters, digits and the \
             characters - _ . alone; write one that is NAME"
                .to_owned(),
        ),
        (
            item("vaults/Payroll/items/db"),
            "OnePasswordItem i, spec.itemPath: nothing maps it to a path; where mozmeao/snippets/stage may have it, \
             carriers.mappings of the configuration needs the row {system: 1password, match: mozmeao/snippets/stage, place: Payroll}"
                .to_owned(),
        ),
    ] {
        assert_eq!(said, expected);
    }
}
