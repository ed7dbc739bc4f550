//! Templates of Consul Template, as Vault Agent renders them: which secrets one reads, where that can be said at all.
//!
//! What is not on the list here is not understood, and then nothing is said: a template can also list, run and write.

/// Words that read nothing: control, and functions over what is there already.
const WORDS: [&str; 24] = [
    "and",
    "base64Decode",
    "base64Encode",
    "else",
    "end",
    "eq",
    "explodeMap",
    "if",
    "index",
    "len",
    "ne",
    "not",
    "or",
    "parseJSON",
    "range",
    "replaceAll",
    "toJSON",
    "toJSONPretty",
    "toLower",
    "toUpper",
    "toYAML",
    "trimSpace",
    "true",
    "with",
];

/// The paths that the calls of a template read, or `None` where it holds anything that is not understood.
pub fn paths(text: &str) -> Option<Vec<&str>> {
    let mut paths = Vec::new();
    let mut rest = text;
    while let Some((_, inner)) = rest.split_once("{{") {
        let (action, after) = inner.split_once("}}")?;
        // A string may hold braces; then the end of the action is another one than this.
        if action.contains("{{") {
            return None;
        }
        read(action, &mut paths)?;
        rest = after;
    }
    Some(paths)
}

/// Reads one action, token by token.
fn read<'t>(action: &'t str, paths: &mut Vec<&'t str>) -> Option<()> {
    let mut rest = action.trim_start_matches('-').trim_end_matches('-').trim();
    let (mut is_secret, mut is_piped) = (false, false);
    while !rest.is_empty() {
        let (token, after) = token(rest)?;
        match token {
            Token::Text(path) if is_secret => {
                paths.push(path);
                is_secret = false;
                // With a second text it writes.
                if matches!(after.trim_start().as_bytes().first(), Some(b'"' | b'`' | b'(' | b'.' | b'$')) {
                    return None;
                }
            }
            // The path is put together by something else.
            _ if is_secret => return None,
            // What is piped in is its last argument, and with a second one it writes.
            Token::Word("secret") if is_piped => return None,
            Token::Word("secret") => is_secret = true,
            Token::Word(word) if WORDS.contains(&word) => {}
            Token::Word(_) => return None,
            Token::Text(_) | Token::Value | Token::Mark(_) => {}
        }
        is_piped = matches!(token, Token::Mark('|'));
        rest = after.trim_start();
    }
    (!is_secret).then_some(())
}

enum Token<'t> {
    Text(&'t str),
    Word(&'t str),
    /// A field, a variable or a number.
    Value,
    Mark(char),
}

fn token(rest: &str) -> Option<(Token<'_>, &str)> {
    let first = rest.chars().next()?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match first {
        '"' | '`' => {
            let (text, after) = rest[1..].split_once(first)?;
            // An escape could stand for any character.
            (!text.contains('\\')).then_some((Token::Text(text), after))
        }
        '.' | '$' | '0'..='9' => {
            let end = rest.bytes().take_while(|byte| is_name(*byte) || matches!(byte, b'.' | b'$')).count();
            Some((Token::Value, &rest[end..]))
        }
        '|' | '(' | ')' | ',' | ':' | '=' => Some((Token::Mark(first), &rest[1..])),
        _ => {
            let end = rest.bytes().take_while(|byte| is_name(*byte)).count();
            (end > 0).then(|| (Token::Word(&rest[..end]), &rest[end..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::paths;

    #[test]
    fn what_is_understood_names_its_paths_and_the_rest_is_not() {
        let own = r#"{{- with secret "secret/data/a" -}}{{ .Data.data.password | toJSON }}{{ end }}"#;
        for (text, expected) in [
            (own, Some(vec!["secret/data/a"])),
            ("plain text", Some(vec![])),
            (
                "{{ with secret `secret/data/a` }}{{ end }}{{ with secret \"b\" }}{{ end }}",
                Some(vec!["secret/data/a", "b"]),
            ),
            ("{{ range $k, $v := .Data }}{{ $k }}={{ $v }}{{ end }}", Some(vec![])),
            ("{{ with secret (print \"a\" \"b\") }}{{ end }}", None),
            ("{{ with secret $path }}{{ end }}", None),
            ("{{ \"a=b\" | secret \"x\" }}", None),
            ("{{ \"x\" | secret }}", None),
            ("{{ secret \"pki/issue/x\" \"common_name=y\" }}", None),
            ("{{ secrets \"secret/\" }}", None),
            ("{{ key \"consul/path\" }}", None),
            ("{{ file \"/etc/shadow\" }}", None),
            ("{{ with secret \"a\\u002fb\" }}{{ end }}", None),
            ("{{ env \"TOKEN\" }}", None),
            ("{{ secret }}", None),
            ("{{ with secret \"a\" ", None),
            ("{{/* comment */}}", None),
        ] {
            assert_eq!(paths(text), expected, "{text}");
        }
    }
}
