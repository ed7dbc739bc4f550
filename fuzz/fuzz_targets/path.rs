//! Any text as a path: what is taken is clean, and inside means inside, segment by segment.
#![no_main]

use libfuzzer_sys::fuzz_target;
use refgate::policy::path::{Scope, SecretPath, key_property, property_key, secret_name};
use refgate_fuzz::{OWN, SHARED, may_read};

fuzz_target!(|text: &str| {
    let own = Scope::parse(OWN).expect("a scope");
    let shared = Scope::shared(SHARED).expect("a shared path");
    let inside = |path: &str| own.contains(path) || shared.contains(path);
    if let Ok(path) = SecretPath::absolute(text) {
        assert_eq!(inside(path.as_str()), may_read(text));
        let name = secret_name(text);
        assert!(name.len() <= 63);
        assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')));
    } else {
        assert!(!may_read(text));
    }
    match SecretPath::relative(&own, text) {
        Ok(path) => assert!(may_read(path.as_str()) && path.as_str() == format!("{OWN}/{text}")),
        Err(_) => assert!(!may_read(&format!("{OWN}/{text}"))),
    }
    if let Some(key) = property_key(text) {
        assert_eq!(key_property(&key).as_deref(), Some(text));
        assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')));
        assert!(key != "value" && key != "." && !key.starts_with(".."));
    }
    if let Ok(scope) = Scope::parse(text) {
        assert_eq!(Scope::shared(scope.as_str()).ok(), Some(scope));
    }
});
