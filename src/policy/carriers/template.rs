//! Go templates, as far as they matter here: which one is nothing but the name of an entry, and which text is none at all.

/// The entry that a template hands on as it is: `{{ .password }}`, `{{- .password | toString -}}`.
pub fn handed_on(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix('-').unwrap_or(inner);
    let inner = inner.strip_suffix('-').unwrap_or(inner).trim();
    let name = match inner.split_once('|') {
        Some((name, function)) if function.trim() == "toString" => name.trim(),
        Some(_) => return None,
        None => inner,
    };
    let name = name.strip_prefix('.')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (!name.is_empty() && name.bytes().all(is_name)).then_some(name)
}

/// Whether anything in a text is put in by a template.
pub fn has_actions(text: &str) -> bool {
    text.contains("{{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hands_an_entry_on_is_told_from_what_makes_something_of_it() {
        for (text, expected) in [
            ("{{ .password }}", Some("password")),
            ("{{.password}}", Some("password")),
            ("{{- .password | toString -}}", Some("password")),
            ("{{ .password | b64enc }}", None),
            ("{{ .a }}{{ .b }}", None),
            ("x{{ .a }}", None),
            ("{{ index . \"a-b\" }}", None),
            ("{{ . }}", None),
            ("{{}}", None),
            ("{{", None),
        ] {
            assert_eq!(handed_on(text), expected, "{text}");
        }
    }
}
