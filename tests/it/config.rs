//! The configuration file: what it may say, and what is said of it when it is wrong.

use std::time::Duration;

use refgate::config::sync::{Choice, Restart, Rotation, Sync};
use refgate::config::{Config, duration, parse};
use refgate::policy::carriers::place::System;
use refgate::policy::carriers::settings::Mode;
use refgate::policy::level::Level;

fn problems(text: &str) -> Vec<String> {
    let error = parse(text).expect_err("an error");
    let shown = error.to_string();
    assert!(!shown.contains('\n'), "one line: {shown}");
    error.problems.into_iter().map(|(line, problem)| format!("{line}: {problem}")).collect()
}

#[test]
fn everything_that_it_may_say() {
    let text = r#"
defaults: {enforce: off, warn: baseline, audit: restricted}
templates:
- {group: argoproj.io, kind: Rollout, resource: rollouts, pointer: /spec/template}
skipContainers: [my-proxy, istio-proxy]
rules:
  disabled: [token-like]
aws:
  accounts: ["012345678901"]
  regions: [us-west-2, us-gov-east-1]
snapshot: {maxAge: 1h30m}
"#;
    let Config { settings, max_age, .. } = parse(text).unwrap();
    let levels = settings.defaults;
    assert_eq!((levels.enforce, levels.warn, levels.audit), (Level::Off, Level::Baseline, Level::Restricted));
    let rollout = settings.kinds.last().unwrap();
    assert_eq!(
        (&*rollout.group, &*rollout.kind, &*rollout.resource, &*rollout.pointer),
        ("argoproj.io", "Rollout", "rollouts", "/spec/template")
    );
    let skipped = |name: &str| settings.skip_containers.iter().filter(|known| *known == name).count();
    assert_eq!((skipped("my-proxy"), skipped("istio-proxy"), skipped("linkerd-proxy")), (1, 1, 1));
    assert_eq!(settings.aws_accounts, ["012345678901"]);
    assert_eq!(settings.aws_regions, ["us-west-2", "us-gov-east-1"]);
    assert_eq!(max_age, Duration::from_secs(5400));
}

#[test]
fn what_becomes_of_carriers() {
    let text = r#"
carriers:
  unbound: audit
  undecided: {external-secrets: audit}
  mappings:
  - {system: vault, match: "*/*/*", place: secret}
  - {system: google, match: mozmeao/snippets/prod, place: moz-prod, separator: "--"}
"#;
    let carriers = parse(text).unwrap().settings.carriers;
    assert_eq!((carriers.unbound, carriers.cluster_scoped), (Mode::Audit, Mode::Deny));
    assert_eq!(carriers.undecided("external-secrets"), Mode::Audit);
    assert_eq!(carriers.undecided("anything-else"), Mode::Deny);
    let rows: Vec<_> =
        carriers.mappings.iter().map(|row| (row.system, &*row.place, row.separator.as_deref())).collect();
    assert_eq!(rows, [(System::Vault, "secret", None), (System::Google, "moz-prod", Some("--"))]);
}

#[test]
fn nothing_said_is_the_defaults() {
    let usual = Config::default();
    for text in ["", "# nothing\n", "---\n", "{}", "defaults:\ntemplates:\nrules:\naws: {}\n"] {
        let config = parse(text).unwrap();
        assert_eq!(
            (config.settings.defaults, config.max_age),
            (usual.settings.defaults, Duration::from_secs(600)),
            "{text}"
        );
        assert_eq!(config.settings.kinds, usual.settings.kinds);
    }
}

#[test]
fn the_configmap_that_holds_it_is_as_good() {
    let file = include_str!("../../manifests/base/30-config.yaml");
    assert!(file.contains("kind: ConfigMap"));
    let installed = parse(file).unwrap();
    assert_eq!(installed.settings.defaults.warn, Level::Restricted);
    assert!(installed.settings.kinds.iter().any(|kind| kind.kind == "Rollout"));
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: refgate-config}\n";
    assert_eq!(
        parse(&format!("{head}data: {{config.yaml: ''}}\n")).unwrap().max_age,
        Duration::from_secs(600)
    );
    let own =
        format!("{head}data:\n  config.yaml: |\n    defaults:\n      enforce: off\n    foo: 1\n    # text\n");
    assert!(
        problems(&own)[0].starts_with("8: unknown key `foo` in the configuration"),
        "{:?}",
        problems(&own)
    );
    let broken = format!("{head}data:\n  config.yaml: |\n    a: [\n");
    assert!(problems(&broken)[0].starts_with("7: ") || problems(&broken)[0].starts_with("6: "));
    let other = format!("{head}data:\n  config.yml: ''\n");
    assert!(problems(&other)[0].contains("no key config.yaml in data"));
}

#[test]
fn each_problem_is_said_with_its_line() {
    for (text, expected) in [
        ("defaults:\n  enforce: strcit\n", "2: defaults.enforce must be off, baseline or restricted"),
        (
            "defaults:\n  enforced: off\n",
            "2: unknown key `enforced` in defaults; known are enforce, warn, audit",
        ),
        (
            "\nfoo: 1\n",
            "2: unknown key `foo` in the configuration; known are defaults, templates, skipContainers, rules, allow, aws, carriers, snapshot, sync",
        ),
        ("carriers: {unbound: maybe}\n", "1: carriers.unbound must be deny or audit"),
        (
            "carriers:\n  unbond: deny\n",
            "2: unknown key `unbond` in carriers; known are unbound, clusterScoped, undecided, mappings",
        ),
        (
            "carriers:\n  undecided:\n    external-secrets: allow\n",
            "3: carriers.undecided.external-secrets must be deny or audit",
        ),
        (
            "carriers: {mappings: [{system: aws-secrets-manager, match: a/b/c}]}\n",
            "1: carriers.mappings[0].system must be one of aws-parameter-store, vault, google, azure, 1password, doppler",
        ),
        (
            "carriers: {mappings: [{system: vault, match: a/b, place: secret}]}\n",
            "1: carriers.mappings[0].match must be group/app/env, where * stands for any one segment",
        ),
        (
            "carriers: {mappings: [{system: google, match: a/b/c}]}\n",
            "1: carriers.mappings[0].place must name the project, the vault or the mount that those scopes may read",
        ),
        (
            "carriers: {mappings: [{system: google, match: a/b/c, place: p, separator: x}]}\n",
            "1: carriers.mappings[0].separator must be of the characters - _ . such as \"--\"",
        ),
        (
            "carriers: {mappings: [{system: vault, match: a/b/c, place: p, separator: --}]}\n",
            "1: names of Vault have slashes; leave the separator out",
        ),
        (
            "carriers: {mappings: [{system: azure, match: '*/*/stage', place: stage}]}\n",
            "1: carriers.mappings[0].match has a * and no separator, so every scope that fits would have the whole place; write a separator, or a row for each scope",
        ),
        (
            "carriers:\n  mappings:\n  - {system: google, match: '*/*/*', place: p, separator: '-'}\n  - {system: google, match: a-b/c/d, place: p, separator: _}\n",
            "4: carriers.mappings[1] has another separator than a row before it for the same place, so two scopes could share a name",
        ),
        (
            "sync:\n  manger: aws\n",
            "2: unknown key `manger` in sync; known are manager, file, refresh, forgetAfter, rebindGrace, scopes, restart, rotation",
        ),
        ("sync: {manager: vault}\n", "1: sync.manager must be aws or file"),
        ("sync: {manager: file}\n", "1: sync.manager is file, and sync.file names none"),
        ("sync: {file: /tmp/x}\n", "1: sync.file is for sync.manager: file alone"),
        (
            "sync:\n  refresh: 10ms\n",
            "2: sync.refresh must be a duration of a second or more, such as 10m or 1h30m",
        ),
        ("sync: {forgetAfter: 1}\n", "1: sync.forgetAfter must be a duration, such as 10m or 1h30m"),
        ("sync: {scopes: [{region: a}]}\n", "1: sync.scopes[0] has no key `match`"),
        (
            "sync: {scopes: [{match: a/b}]}\n",
            "1: sync.scopes[0].match must be group/app/env, where * stands for any one segment",
        ),
        (
            "sync: {scopes: [{match: a/b*/c}]}\n",
            "1: sync.scopes[0].match must be group/app/env, where * stands for any one segment",
        ),
        ("sync: {restart: {share: 0%}}\n", "1: sync.restart.share must be from 1% to 100%, such as 25%"),
        (
            "sync: {rotation: {other: 0s}}\n",
            "1: sync.rotation.other must be a duration of a second or more, such as 10m or 1h30m",
        ),
        (
            "a/b: 1",
            "1: unknown key `a/b` in the configuration; known are defaults, templates, skipContainers, rules, allow, aws, carriers, snapshot, sync",
        ),
        (
            "[]",
            "1: the configuration must be a map with the keys defaults, templates, skipContainers, rules, allow, aws, carriers, snapshot, sync",
        ),
        ("templates: {}\n", "1: templates must be a list"),
        ("templates:\n- {group: a, kind: B, resource: c}\n", "2: templates[0] has no key `pointer`"),
        (
            "templates:\n- {group: a, kind: B, resource: c, pointer: spec}\n",
            "2: templates[0].pointer must be a JSON pointer, such as /spec/template",
        ),
        (
            "templates:\n- {group: a, kind: '', resource: c, pointer: /spec}\n",
            "2: templates[0]: kind and resource must not be empty",
        ),
        (
            "templates:\n- {group: apps, kind: Deployment, resource: c, pointer: /spec}\n",
            "2: templates[0]: this group and kind is in the table already",
        ),
        (
            "templates:\n- {group: '', kind: ConfigMap, resource: c, pointer: /data}\n",
            "2: templates[0]: this group and kind is in the table already",
        ),
        (
            "skipContainers: [a,\n 7]\n",
            "2: skipContainers[1] must be text; put it in quotes if YAML reads it as a number or a boolean",
        ),
        (
            "aws:\n  accounts: [123456789012]\n",
            "2: aws.accounts[0] must be text; put it in quotes if YAML reads it as a number or a boolean",
        ),
        ("aws:\n  accounts: ['12345']\n", "2: aws.accounts[0] is not an account: twelve digits, in quotes"),
        ("aws:\n  regions: [US]\n", "2: aws.regions[0] is not a region, such as us-west-2"),
        (
            "snapshot:\n  maxAge: 10\n",
            "2: snapshot.maxAge must be a duration above zero, such as 10m or 1h30m",
        ),
        (
            "snapshot: {maxAge: 0s}\n",
            "1: snapshot.maxAge must be a duration above zero, such as 10m or 1h30m",
        ),
        ("aws: {}\naws: {}\n", "2: this key is in the same map twice"),
        ("aws: {}\n---\naws: {}\n", "3: a second document; the configuration is one"),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
    for (text, expected) in [
        ("rules:\n  configMaps: \"no\"\n", "2: rules.configMaps must be true or false"),
        ("rules:\n  names:\n  - ab\n", "3: rules.names[0] must be one word of letters, at least three bytes"),
        (
            "rules:\n  tokens:\n  - {name: a, prefix: abc, alphabet: hex}\n",
            "3: rules.tokens[0] has no key `length`",
        ),
        (
            "rules:\n  tokens:\n  - {name: a, prefix: a, alphabet: hex, length: 8}\n",
            "3: rules.tokens[0].prefix must be 3 to 64 printable characters of ASCII",
        ),
        (
            "rules:\n  tokens:\n  - {name: a, prefix: abc, alphabet: any, length: 8}\n",
            "3: rules.tokens[0].alphabet must be one of alphanumeric, hex, base64url, digits",
        ),
        (
            "rules:\n  tokens:\n  - {name: a, prefix: abc, alphabet: hex, length: [9, 8]}\n",
            "3: rules.tokens[0].length must be a number from 4 to 1000, or two of them, the smaller first",
        ),
        (
            "allow:\n- names: [A]\n",
            "2: allow[0] needs a reason, which is written into the audit log whenever the row lets something pass",
        ),
        (
            "allow:\n- reason: x\n",
            "2: allow[0] would let everything pass; name at least one of rules, names, values, kinds, namespaces, images, serviceAccounts, annotation",
        ),
        (
            "allow:\n- reason: x\n  names: []\n",
            "3: allow[0].names is empty; leave the key out if it should not matter",
        ),
        (
            "allow:\n- reason: x\n  names: [{expression: '('}]\n",
            "3: allow[0].names[0]: it is no regular expression (no look-around, no back-references)",
        ),
        (
            "allow:\n- reason: x\n  names: [{expression: '((a{1,100}){1,100}){1,100}'}]\n",
            "3: allow[0].names[0]: it is too large: once compiled it takes more than 64 KiB",
        ),
        ("allow:\n- reason: x\n  names: [{regex: a}]\n", "3: allow[0].names[0] knows glob and expression"),
        (
            "allow:\n- reason: x\n  namespaces: {matchExpressions: [{key: a, operator: In}]}\n",
            "3: allow[0].namespaces.matchExpressions[0]: operator must be In or NotIn with values, or Exists or DoesNotExist without",
        ),
    ] {
        assert!(problems(text).contains(&expected.to_owned()), "{text}: {:?}", problems(text));
    }
    let unknown = &problems("rules:\n  disabled:\n  - token\n  - tokn\n")[0];
    assert!(unknown.starts_with("4: no rule `tokn`; there are private-key, token, "), "{unknown}");
    let broken = problems("aws: [1\nb: }");
    assert_eq!(broken.len(), 1);
    assert!(broken[0].starts_with("2: "), "{broken:?}");
}

#[test]
fn all_problems_are_said_at_once() {
    let all = problems("defaults: {enforce: maybe}\nfoo: 1\nsnapshot: {maxAge: soon}\n");
    assert_eq!(all.len(), 3, "{all:?}");
}

#[test]
fn durations() {
    for (text, milliseconds) in [
        ("10m", 600_000),
        ("1h30m", 5_400_000),
        ("45s", 45_000),
        ("500ms", 500),
        ("0s", 0),
        ("1m1m", 120_000),
        ("90d", 7_776_000_000),
    ] {
        assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in
        ["", "10", "m", "10x", "-1s", "1.5h", "1 m", "99999999999999999999s", "9999999999999999999h", "ä"]
    {
        assert_eq!(duration(text), None, "{text}");
    }
}

#[test]
fn the_section_of_the_sync() {
    let text = r#"
sync:
  manager: file
  file: /run/secrets.yaml
  refresh: 5s
  forgetAfter: 0s
  rebindGrace: 2h
  scopes:
  - {match: "mozmeao/*/prod", region: us-west-2, role: "arn:aws:iam::111122223333:role/prod"}
  - {match: "*/*/*", region: eu-west-1}
  restart: {ready: 10s, share: 50%, patience: 3m}
  rotation: {database: 30d, apiKey: 60d, other: 180d}
"#;
    let sync = parse(text).unwrap().sync;
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let expected = Sync {
        manager: Choice::File("/run/secrets.yaml".into()),
        refresh: Duration::from_secs(5),
        forget_after: Duration::ZERO,
        rebind_grace: Duration::from_secs(7200),
        scopes: sync.scopes.clone(),
        restart: Restart { ready: Duration::from_secs(10), share: 50, patience: Duration::from_secs(180) },
        rotation: Rotation { database: days(30), api_key: days(60), other: days(180) },
    };
    assert_eq!(sync, expected);
    let region =
        |path: &str| sync.scopes.iter().find(|row| row.matches(path)).and_then(|row| row.region.clone());
    assert_eq!(region("mozmeao/snippets/prod/database_url").as_deref(), Some("us-west-2"));
    assert_eq!(
        region("mozmeao/snippets/prod").as_deref(),
        Some("us-west-2"),
        "a scope as well as a path in it"
    );
    // By whole segments, and the first row that matches.
    for other in ["mozmeao/snippets/prod2/x", "mozmeao/snippets/stage/x", "other/snippets/prod/x"] {
        assert_eq!(region(other).as_deref(), Some("eu-west-1"), "{other}");
    }
    assert_eq!(region("mozmeao/snippets"), None);
    assert_eq!(parse("").unwrap().sync, Sync::default());
}

#[test]
fn rows_of_allow_that_go_by_labels_which_a_tenant_may_set_are_warned_of() {
    let row = |selector: &str| format!("allow:\n- reason: x\n  names: [A]\n  namespaces: {selector}\n");
    for (selector, labels) in [
        ("{matchLabels: {team: a}}", &["team"][..]),
        ("{matchLabels: {refgate.dev/env: test, tier: b}}", &["tier"]),
        ("{matchExpressions: [{key: x.example.com/y, operator: Exists}]}", &["x.example.com/y"]),
        ("{matchLabels: {refgate.dev/env: test, allow.refgate.dev/team: a}}", &[]),
        ("{matchLabels: {kubernetes.io/metadata.name: web}}", &[]),
    ] {
        let warnings = parse(&row(selector)).unwrap().warnings;
        assert_eq!(warnings.len(), labels.len(), "{selector}: {warnings:?}");
        for ((line, text), label) in warnings.iter().zip(labels) {
            assert_eq!(*line, 4, "{text}");
            assert!(text.starts_with(&format!("allow[0].namespaces goes by label {label},")), "{text}");
            assert!(text.contains("allow.refgate.dev/team"), "{text}");
        }
    }
}
