//! Reviews and objects that are bent JSON.

use super::*;

/// JSON is UTF-8 (RFC 8259, 8.1), also where nobody reads it.
#[test]
fn bytes_that_are_no_text_make_no_review() {
    let good = raw(r#"{"metadata":{"managedFields":[{"x":"~"}]},"spec":{"containers":[{"name":"~"}]}}"#);
    assert!(parse(&good, Validate, &Settings::default().kinds).is_ok());
    let marks: Vec<usize> =
        good.iter().enumerate().filter(|(_, byte)| **byte == b'~').map(|(at, _)| at).collect();
    assert_eq!(marks.len(), 2);
    for at in marks {
        let mut bent = good.clone();
        bent[at] = 0xff;
        let read = parse(&bent, Validate, &Settings::default().kinds);
        assert!(matches!(read, Err(ParseError::NotAReview(_))), "{read:?}");
    }
}

#[test]
fn json_tricks_are_refused_with_the_uid() {
    let mut attempts = Attempts::default();
    for (hope, object) in [
        ("a list for an object", r#"[]"#),
        ("a text for an object", r#""x""#),
        ("a list for the metadata", r#"{"metadata":[],"spec":{}}"#),
        ("a list for the spec", r#"{"metadata":{},"spec":[]}"#),
        ("a list for a container", r#"{"spec":{"containers":[["web",[["A","secret:x"]]]]}}"#),
        ("a list for an env entry", r#"{"spec":{"containers":[{"name":"web","env":[["A","secret:x"]]}]}}"#),
        (
            "a list for a secretKeyRef",
            r#"{"spec":{"containers":[{"name":"web","env":[{"name":"A","valueFrom":{"secretKeyRef":["left-by-payroll","k"]}}]}]}}"#,
        ),
        (
            "a list for envFrom",
            r#"{"spec":{"containers":[{"name":"web","envFrom":[[{"name":"left-by-payroll"}]]}]}}"#,
        ),
        ("an object for a list", r#"{"spec":{"containers":{"0":{"name":"web"}}}}"#),
        (
            "a number for a value",
            r#"{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":1}]}]}}"#,
        ),
        ("a boolean for a name", r#"{"spec":{"containers":[{"name":true}]}}"#),
        ("two metadata", r#"{"metadata":{"annotations":{"refgate.dev/x":"y"}},"metadata":{},"spec":{}}"#),
        (
            "two specs",
            r#"{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"secret:x"}]}]},"spec":{}}"#,
        ),
        ("two lists of containers", r#"{"spec":{"containers":[{"name":"web"}],"containers":[]}}"#),
        (
            "two envs",
            r#"{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"secret:x"}],"env":[]}]}}"#,
        ),
        (
            "two sources",
            r#"{"spec":{"containers":[{"name":"web","env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"left-by-payroll"},"secretKeyRef":{"name":"x"}}}]}]}}"#,
        ),
        ("half of a surrogate", r#"{"metadata":{"annotations":{"a":"\ud800"}},"spec":{}}"#),
        ("a number that is none", r#"{"spec":{"securityContext":{"fsGroup":1e999}}}"#),
    ] {
        match parse(&raw(object), Validate, &Settings::default().kinds) {
            Err(ParseError::Object { uid, .. }) => assert_eq!(uid, "u1", "{hope}"),
            Err(ParseError::NotAReview(_)) => {}
            Ok(_) => attempts.must(false, format!("{hope} reads: {object}")),
        }
    }
    for fine in [
        "null",
        "{}",
        r#"{"metadata":null,"spec":null}"#,
        r#"{"spec":{"containers":null,"volumes":null,"imagePullSecrets":null,"securityContext":null}}"#,
        r#"{"spec":{"containers":[{"name":"w","env":null,"args":null,"lifecycle":null,"livenessProbe":null}]}}"#,
        r#"{"spec":{"unknown":1e99999,"deep":[[[[[]]]]],"volumes":[{"name":"v","secret":null,"projected":{"sources":null}}]}}"#,
    ] {
        let body = raw(fine);
        let review = parse(&body, Validate, &Settings::default().kinds).unwrap();
        assert_eq!(decide(&review, &world()).outcome, Outcome::Allow, "{fine}");
    }
    attempts.end();
}

#[test]
fn an_envelope_that_is_bent_opens_nothing() {
    let mut attempts = Attempts::default();
    let kinds = Settings::default().kinds;
    let world = world();
    let bad = with_env(json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": LEFT, "key": "k"}}}]))
        .to_string();
    let pod_kind = r#""kind":{"group":"","version":"v1","kind":"Pod"}"#;
    let other = r#""kind":{"group":"","version":"v1","kind":"Event"}"#;
    let tail = r#""uid":"u1","operation":"CREATE","namespace":"team""#;
    for (hope, request) in [
        ("the object before its kind", format!(r#"{{{tail},"object":{bad},{pod_kind}}}"#)),
        ("a kind as null first", format!(r#"{{{tail},"kind":null,"object":{bad},{pod_kind}}}"#)),
        ("two objects", format!(r#"{{{tail},{pod_kind},"object":{{}},"object":{bad}}}"#)),
        ("two kinds, the first harmless", format!(r#"{{{tail},{other},"object":{bad},{pod_kind}}}"#)),
        ("two kinds, the last harmless", format!(r#"{{{tail},{pod_kind},{other},"object":{bad}}}"#)),
        ("two operations", format!(r#"{{{tail},"operation":"DELETE",{pod_kind},"object":{bad}}}"#)),
        ("two namespaces", format!(r#"{{{tail},"namespace":"",{pod_kind},"object":{bad}}}"#)),
        ("no operation", format!(r#"{{"uid":"u1","namespace":"team",{pod_kind},"object":{bad}}}"#)),
        (
            "an operation in small letters",
            format!(r#"{{"uid":"u1","operation":"create","namespace":"team",{pod_kind},"object":{bad}}}"#),
        ),
        ("a kind as a list", format!(r#"{{{tail},"kind":["","Pod"],"object":{bad}}}"#)),
    ] {
        let body =
            format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{request}}}"#);
        if let Ok(review) = parse(body.as_bytes(), Validate, &kinds) {
            let decision = decide(&review, &world);
            attempts.must(decision.outcome != Outcome::Allow, hope);
        }
    }
    for (what, body) in [
        ("nothing", Vec::new()),
        ("not UTF-8", [b"{\"apiVersion\":\"".as_slice(), &[0xff, 0xfe], b"\"}"].concat()),
        ("deeply nested", "[".repeat(1_000_000).into_bytes()),
        ("deeply nested objects", "{\"a\":".repeat(500_000).into_bytes()),
        ("two reviews", [raw("{}"), raw("{}")].concat()),
        ("a huge number", b"1e999999999".to_vec()),
    ] {
        attempts
            .must(matches!(parse(&body, Validate, &kinds), Err(ParseError::NotAReview(_))), what.to_string());
    }
    // Deep nesting where nobody looks costs nothing and breaks nothing.
    let deep = raw(&format!(r#"{{"spec":{{"x":{}{}}}}}"#, "[".repeat(500_000), "]".repeat(500_000)));
    assert!(parse(&deep, Validate, &kinds).is_ok());
    attempts.end();
}
