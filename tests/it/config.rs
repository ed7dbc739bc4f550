//! The configuration file: what it may say, and what is said of it when it is wrong.

use std::time::Duration;

use refgate::config::{Config, duration, parse};
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
    let Config { settings, max_age } = parse(text).unwrap();
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
fn each_problem_is_said_with_its_line() {
    for (text, expected) in [
        ("defaults:\n  enforce: strcit\n", "2: defaults.enforce must be off, baseline or restricted"),
        (
            "defaults:\n  enforced: off\n",
            "2: unknown key `enforced` in defaults; known are enforce, warn, audit",
        ),
        (
            "\nfoo: 1\n",
            "2: unknown key `foo` in the configuration; known are defaults, templates, skipContainers, rules, aws, snapshot",
        ),
        ("sync: {}\n", "1: key `sync` is reserved; this version does not know it yet"),
        (
            "a/b: 1",
            "1: unknown key `a/b` in the configuration; known are defaults, templates, skipContainers, rules, aws, snapshot",
        ),
        (
            "[]",
            "1: the configuration must be a map with the keys defaults, templates, skipContainers, rules, aws, snapshot",
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
            "skipContainers: [a,\n 7]\n",
            "2: skipContainers[1] must be text; put it in quotes if it looks like a number",
        ),
        (
            "aws:\n  accounts: [123456789012]\n",
            "2: aws.accounts[0] must be text; put it in quotes if it looks like a number",
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
    let unknown = &problems("rules:\n  disabled:\n  - token\n  - tokn\n")[0];
    assert!(unknown.starts_with("4: no rule `tokn`; there are private-key, token, "), "{unknown}");
    let broken = problems("aws: [1\nb: }");
    assert_eq!(broken.len(), 1);
    assert!(broken[0].starts_with("2: "), "{broken:?}");
}

#[test]
fn all_problems_are_said_at_once() {
    let all = problems("defaults: {enforce: no}\nfoo: 1\nsnapshot: {maxAge: soon}\n");
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
    ] {
        assert_eq!(duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in
        ["", "10", "m", "10x", "-1s", "1.5h", "1 m", "99999999999999999999s", "9999999999999999999h", "ä"]
    {
        assert_eq!(duration(text), None, "{text}");
    }
}
