//! A secret to a Secret, and what is read of one.

use super::*;

fn fetched(text: &str) -> Fetched {
    let value = SecretValue::new(text.as_bytes().to_vec());
    Fetched { version: "v1".to_owned(), created: None, value, is_text: true }
}

fn texts(text: &str, tag: Option<&str>) -> BTreeMap<String, String> {
    let desired = Desired::new("a/b/c/d", &fetched(text), tag).unwrap();
    let text = |value: &SecretValue| String::from_utf8(value.expose().to_vec()).unwrap();
    desired.data.iter().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn properties_of_an_object_are_keys_beside_the_whole() {
    let object = r#"{"user":"a\"b","port": 5432,"value":"v","a.b":{"c":[1, 2]},"none":null,"big":12345678901234567890123}"#;
    let expected = pairs(&[
        ("value", object),
        ("user", "a\"b"),
        ("port", "5432"),
        (".76alue", "v"),
        ("a.2eb", r#"{"c":[1, 2]}"#),
        ("none", "null"),
        ("big", "12345678901234567890123"),
    ]);
    assert_eq!(texts(object, None), expected);
    for plain in ["text", "[1]", "\"quoted\"", "{\"broken\":", ""] {
        assert_eq!(texts(plain, None), pairs(&[("value", plain)]), "{plain}");
    }
    let long = format!("{{\"{}\":\"x\"}}", "n".repeat(254));
    assert_eq!(texts(&long, None), pairs(&[("value", &long)]), "no reference can name it");
    let binary = Fetched { is_text: false, ..fetched("{\"a\":\"b\"}") };
    assert_eq!(Desired::new("a/b/c/d", &binary, None).unwrap().shape.keys, ["value"]);
}

#[test]
fn a_tag_asks_for_a_type_and_the_shape_is_checked() {
    let pair = r#"{"tls.crt":"-----BEGIN CERTIFICATE-----\nx","tls.key":"-----BEGIN PRIVATE KEY-----\ny"}"#;
    let data = texts(pair, Some("kubernetes.io/tls"));
    assert_eq!(data["tls.crt"], data["tls.2ecrt"]);
    assert_eq!(data["tls.key"], "-----BEGIN PRIVATE KEY-----\ny");
    let registries = r#"{"auths":{"example.com":{}}}"#;
    assert_eq!(texts(registries, Some("kubernetes.io/dockerconfigjson"))[".dockerconfigjson"], registries);
    for (text, tag, expected) in [
        (r#"{"tls.crt":"x","tls.key":"y"}"#, "kubernetes.io/tls", Unfit::NoTls),
        ("-----BEGIN CERTIFICATE-----", "kubernetes.io/tls", Unfit::NoTls),
        (r#"{"auths":"x"}"#, "kubernetes.io/dockerconfigjson", Unfit::NoDockerConfig),
        ("text", "kubernetes.io/dockerconfigjson", Unfit::NoDockerConfig),
        // Such a Secret would be a credential of the cluster.
        ("text", "kubernetes.io/service-account-token", Unfit::UnknownType),
    ] {
        assert_eq!(Desired::new("a/b/c/d", &fetched(text), Some(tag)).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn what_is_larger_than_a_secret_is_refused() {
    let half = "x".repeat(MAX_DATA_BYTES / 2);
    assert!(Desired::new("a/b/c/d", &fetched(&half), None).is_ok());
    // The whole and its one property are each more than half.
    let object = format!("{{\"a\":\"{half}\"}}");
    assert_eq!(Desired::new("a/b/c/d", &fetched(&object), None).unwrap_err(), Unfit::TooLarge);
}

#[test]
fn what_is_sent_is_what_is_read_again() {
    let fetched = Fetched { created: Some(Timestamp::UNIX_EPOCH), ..fetched(r#"{"a":"b"}"#) };
    let desired = Desired::new("a/b/c/d", &fetched, None).unwrap();
    let body = desired.body("web", Some("the-uid"), Timestamp::UNIX_EPOCH);
    let Some(Claim::Ours(held)) = claim(std::str::from_utf8(&body).unwrap()) else { panic!("a claim") };
    assert_eq!((held.uid.as_str(), held.path.as_str(), held.keys.len()), ("the-uid", "a/b/c/d", 2));
    assert!(held.is_as(&desired.shape, "v1", fetched.created, Timestamp::UNIX_EPOCH));
    assert!(!held.is_as(&desired.shape, "v2", fetched.created, Timestamp::UNIX_EPOCH));
    let tampered = String::from_utf8(body).unwrap().replace(r#""a":"Yg==""#, r#""a":"Yw==""#);
    let Some(Claim::Ours(held)) = claim(&tampered) else { panic!("a claim") };
    assert!(
        !held.is_as(&desired.shape, "v1", fetched.created, Timestamp::UNIX_EPOCH),
        "the data counts, not the version alone"
    );
}

#[test]
fn a_claim_under_another_name_is_forged() {
    for (name, path) in [("mine", "a/b/c/d"), (&*secret_name("a/b/../d"), "a/b/../d"), ("x", "")] {
        let raw =
            format!(r#"{{"metadata":{{"name":"{name}","uid":"u","annotations":{{"{PATH}":"{path}"}}}}}}"#);
        assert_eq!(claim(&raw), Some(Claim::Forged(name.to_owned())), "{path}");
    }
}

#[test]
fn nothing_prints_a_value() {
    let planted = "pL4nt3dV4lu3";
    let fetched = fetched(&format!(r#"{{"password":"{planted}"}}"#));
    let desired = Desired::new("a/b/c/d", &fetched, None).unwrap();
    let body = String::from_utf8(desired.body("web", None, Timestamp::UNIX_EPOCH)).unwrap();
    let shown = format!(
        "{desired:?} {fetched:?} {:?} {:?}",
        claim(&body),
        Desired::new("a/b/c/d", &fetched, Some("x"))
    );
    assert!(!shown.contains(planted) && !shown.contains(&STANDARD.encode(planted)), "{shown}");
}
