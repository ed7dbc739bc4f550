//! Files that somebody has encrypted, as a whole or in part.

use std::fs;

use serde_json::json;

use super::{PLANTED, SCOPE, check, folder, run};

/// One clear sentence for each, no fault of YAML, and what else is in the folder is judged.
#[test]
fn a_file_that_must_be_unlocked_is_said_by_name() {
    let folder = folder("locked");
    let files: [(&str, &[u8], &str); 3] = [
        ("a.yaml", b"\0GITCRYPT\0\xff\x00\x12", "git-crypt unlock"),
        ("b.json", b"\0GITCRYPT\0", "git-crypt unlock"),
        ("c.yaml", b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n", "age --encrypt --armor"),
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
}

/// A file of age as it writes it, in both forms.
const AGE: [&[u8]; 2] = [
    b"age-encryption.org/v1\n-> X25519 VD9iOFEpAYwHAlPyhoLJdvp3s9xEtzoRh+FXoTiogxY\nRoGBSWb3fobehCSIuVMhlJsEDAjLECXw9N6Pkx5x2Lw\n--- zpMnY3b1gKM2JDc9HxEDBFmXnPUX4Ji+tPBu6mHNxec\n\xaa\x19\xc4\x05\x95\xf7",
    b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBwL3Z5ejVDcUxPVHBrK3k5\nHT5v15uK2TiN2EyGl13/plUETLaCAq4YBj8FcIsQAew9u0MP\n-----END AGE ENCRYPTED FILE-----\n",
];

#[test]
fn a_file_that_is_encrypted_is_skipped_by_name() {
    let folder = folder("encrypted");
    let written = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).unwrap();
        folder.join(name).to_str().unwrap().to_owned()
    };
    for (index, bytes) in AGE.into_iter().enumerate() {
        // Alone, by a name that no folder is searched for, and on standard input.
        let alone = written(&format!("{index}.yaml.age"), bytes);
        let ran = run(&["check", &alone]);
        assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{}", ran.out);
        assert!(ran.out.contains(&format!("{alone}  skipped: it is encrypted by age")), "{}", ran.out);
        assert!(ran.out.contains("1 skipped (encrypted)"), "{}", ran.out);
        written(&format!("{index}.yaml"), bytes);
    }
    written("pod.yaml", super::pod("good", super::CLEAN).as_bytes());
    let ran = run(&["check", folder.to_str().unwrap(), "--output", "json"]);
    let json = ran.json();
    assert_eq!((ran.code, &json["skipped"], &json["errors"]), (Some(0), &2.into(), &json!([])), "{json}");
    let named =
        json!([{"file": folder.join("0.yaml"), "by": "age"}, {"file": folder.join("1.yaml"), "by": "age"}]);
    assert_eq!((&json["encrypted"], json["results"].as_array().unwrap().len()), (&named, 1), "{json}");
    let ran = super::run_with(&["check", "-"], std::str::from_utf8(AGE[1]).unwrap());
    assert_eq!((ran.code, ran.out.contains("it is encrypted by age")), (Some(0), true), "{}", ran.out);
    // What cannot be read cannot be rendered either.
    let ran = run(&["render", folder.join("1.yaml").to_str().unwrap()]);
    assert_eq!(
        (ran.code, ran.err.contains("is encrypted by age; decrypt it")),
        (Some(2), true),
        "{}",
        ran.err
    );
    // A mark further on is none.
    let ran = check("a: \"-----BEGIN AGE ENCRYPTED FILE-----\"\n", &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
}

#[test]
fn a_file_that_is_a_private_key_is_a_finding() {
    let folder = folder("keys");
    let body = "MC4CAQAwBQYDK2VwBCIEIPq7c0mT5dYx1RkWnZ8eUvJ3hQfLs2aGbKyXo9tDiE4C";
    let pem = |label: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    let identity = concat!("AGE-SECRET-", "KEY-1GEK6CWU7MYARAQLEGXMVHDPQ0T73FW6USRQ2RLJ22588DFFE2KWQJERHPW");
    for (name, text) in [
        ("keys.txt", format!("# created: 2026-01-02T03:04:05Z\n# public key: age1abc\n{identity}\n")),
        ("id_ed25519", pem("OPENSSH PRIVATE KEY")),
        ("server.pem", pem("RSA PRIVATE KEY")),
        ("key.yaml", pem("PRIVATE KEY")),
    ] {
        let file = folder.join(name);
        fs::write(&file, &text).unwrap();
        for path in [&file, &folder] {
            let ran = run(&["check", path.to_str().unwrap(), "--output", "json"]);
            let json = ran.json();
            let entry = &json["results"][0];
            assert_eq!((ran.code, &entry["kind"]), (Some(1), &"File".into()), "{name}: {json}");
            assert_eq!((&entry["decision"], &entry["file"]), (&"deny".into(), &json!(file)), "{name}");
            assert!(!ran.out.contains(&body[..20]) && !ran.out.contains(&identity[..30]), "{}", ran.out);
        }
        fs::remove_file(&file).unwrap();
    }
    // What only has such a name, and what may be known to all.
    fs::write(folder.join("keys.txt"), "a list of keys\n").unwrap();
    fs::write(folder.join("ca.pem"), pem("CERTIFICATE")).unwrap();
    fs::write(folder.join("pod.yaml"), super::pod("good", super::CLEAN)).unwrap();
    let json = run(&["check", folder.to_str().unwrap(), "--output", "json"]).json();
    assert_eq!((json["results"].as_array().unwrap().len(), &json["skipped"]), (1, &0.into()), "{json}");
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
