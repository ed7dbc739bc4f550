//! Go templates, as far as they matter here: which one is nothing but the name of an entry, and which text is none at all.

/// The entry that a template hands on as it is: `{{ .password }}`, `{{- .password | toString -}}`. Blanks and lines around it
/// stay in what is made, unless a hyphen takes them away.
pub fn handed_on(text: &str) -> Option<&str> {
    let blank = [' ', '\t', '\r', '\n'];
    let (head, tail) = (text.trim_start_matches(blank), text.trim_end_matches(blank));
    let text = if head.starts_with("{{-") { head } else { text };
    let text = if tail.ends_with("-}}") { text.trim_end_matches(blank) } else { text };
    let inner = text.strip_prefix("{{")?.strip_suffix("}}")?;
    // Without a blank beside it the hyphen is a sign, and no template at all.
    let inner =
        inner.strip_prefix('-').map_or(Some(inner), |rest| rest.starts_with(blank).then_some(rest))?;
    let inner = inner.strip_suffix('-').map_or(Some(inner), |rest| rest.ends_with(blank).then_some(rest))?;
    let inner = inner.trim_matches(blank);
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
            (" {{ .password }}", None),
            ("{{ .password }}\n", None),
            ("\n{{- .password }}", Some("password")),
            ("{{- .password }}\n", None),
            (" {{- .password -}} \n", Some("password")),
            ("{{-.password}}", None),
            ("{{ .password-}}", None),
            ("\u{a0}{{- .password -}}", None),
            ("{{}}", None),
            ("{{", None),
        ] {
            assert_eq!(handed_on(text), expected, "{text}");
        }
    }
}
