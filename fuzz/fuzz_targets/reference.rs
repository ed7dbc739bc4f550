//! Any text as an env value: what is read as a reference says what was written, and stays inside.
#![no_main]

use libfuzzer_sys::fuzz_target;
use refgate::policy::foreign::{Reading, inline, read};
use refgate::policy::path::Scope;
use refgate::policy::reference::{Reference, env_value};
use refgate_fuzz::{OWN, may_read};

fuzz_target!(|text: &str| {
    let own = Scope::parse(OWN).expect("a scope");
    if let Ok(reference) = Reference::parse(text) {
        let Reference { path, absolute, property, optional } = reference;
        let slash = if absolute { "/" } else { "" };
        let property = property.map(|property| format!("#{property}")).unwrap_or_default();
        let optional = if optional { "?optional" } else { "" };
        assert_eq!(format!("{slash}{path}{property}{optional}"), text);
        match reference.path_in(&own) {
            Ok(path) if absolute => assert_eq!(path.as_str(), &text[1..=path.as_str().len()]),
            Ok(path) => assert!(may_read(path.as_str())),
            Err(_) => assert!(!absolute),
        }
        assert!(!reference.key().is_empty());
    }
    if let Some((_, Err(error))) = env_value(text) {
        assert!(!error.to_string().contains(char::is_control));
    }
    for reading in std::iter::once(read(text)).chain(inline(text)) {
        if let Reading::Reference(foreign) = reading {
            assert!(foreign.path().is_none_or(|path| text.contains(path)));
        }
    }
});
