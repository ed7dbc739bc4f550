//! Files that somebody has encrypted, as a whole or in part.

use std::fs;

use super::{PLANTED, SCOPE, check, folder, run};

/// One clear sentence for each, no fault of YAML, and what else is in the folder is judged.
#[test]
fn a_file_that_is_locked_is_said_by_name() {
    let folder = folder("locked");
    let files: [(&str, &[u8], &str); 4] = [
        ("a.yaml", b"\0GITCRYPT\0\xff\x00\x12", "git-crypt unlock"),
        ("b.yaml", b"age-encryption.org/v1\n-> X25519 abc\n--- def\n\xff\xfe", "age --decrypt"),
        (
            "c.yaml",
            b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n",
            "age --decrypt",
        ),
        ("d.json", b"\0GITCRYPT\0", "git-crypt unlock"),
    ];
    for (name, bytes, _) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    fs::write(folder.join("good.yaml"), super::pod("good", super::CLEAN)).unwrap();
    let ran = run(&["check", folder.to_str().unwrap(), "--output", "json"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    let json = ran.json();
    let errors = json["errors"].as_array().unwrap();
    assert_eq!((errors.len(), json["results"].as_array().unwrap().len()), (files.len(), 1), "{json}");
    for ((name, _, advice), error) in files.iter().zip(errors) {
        assert!(error["file"].as_str().unwrap().ends_with(name) && error["line"].is_null(), "{error}");
        assert!(error["message"].as_str().unwrap().contains(advice), "{error}");
    }
    // A mark further on is none.
    let ran = check("a: \"-----BEGIN AGE ENCRYPTED FILE-----\"\n", &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
}

const METADATA: &str =
    "sops:\n  mac: ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]\n  lastmodified: \"2025-01-01T00:00:00Z\"\n";
const CIPHER: &str = "ENC[AES256_GCM,data:a,iv:b,tag:c,type:str]";

#[test]
fn a_file_of_sops_is_quiet_where_it_is_encrypted() {
    let encrypted = format!("db:\n  password: {CIPHER}\n{METADATA}");
    let ran = check(&encrypted, &SCOPE);
    assert_eq!((ran.code, ran.json()["skipped"].as_u64()), (Some(0), Some(1)), "{}", ran.out);
    let by_hand = format!("db:\n  password: {PLANTED}\n  user: {CIPHER}\n{METADATA}");
    let ran = check(&by_hand, &SCOPE);
    let json = ran.json();
    assert_eq!((ran.code, &json["results"][0]["decision"]), (Some(1), &"deny".into()), "{json}");
    let left_out = format!("db_unencrypted:\n  password: {PLANTED}\n{METADATA}");
    let ran = check(&left_out, &[]);
    let found = &ran.json()["results"][0]["findings"][0];
    assert_eq!((ran.code, &found["pointer"]), (Some(1), &"/db_unencrypted/password".into()), "{}", ran.out);
    let off = check(&left_out, &["--level", "off"]);
    assert_eq!(off.code, Some(0), "{}", off.out);
    for text in [&by_hand, &left_out] {
        let ran = super::run_with(&["check", "-"], text);
        assert!(
            !ran.out.contains(PLANTED) && ran.out.contains("sops") | ran.out.contains("SOPS"),
            "{}",
            ran.out
        );
    }
}
