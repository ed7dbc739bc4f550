//! Who may import whom, and what the pure part may not touch: read from the source itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// For each module at the top, the modules of this crate that it may name besides itself.
const MAY_NAME: [(&str, &[&str]); 11] = [
    ("cli", &["policy", "world", "config", "cluster", "sync", "yaml"]),
    ("cluster", &[]),
    ("config", &["policy", "yaml"]),
    ("lib", &[]),
    ("policy", &[]),
    ("process", &[]),
    ("serve", &["policy", "world", "config", "cluster", "process", "telemetry", "yaml"]),
    ("sync", &["policy", "world", "config", "cluster", "process", "telemetry", "yaml"]),
    ("telemetry", &[]),
    ("world", &["policy", "yaml"]),
    ("yaml", &[]),
];

/// Crates that belong to some modules only.
const OWN_CRATES: [(&str, &[&str]); 12] = [
    ("anyhow", &["cli", "main"]),
    ("aws_config", &["sync"]),
    ("aws_credential_types", &["sync"]),
    ("aws_sdk_secretsmanager", &["sync"]),
    ("aws_smithy_http_client", &["sync"]),
    ("axum", &["serve"]),
    ("clap", &["args", "main"]),
    ("k8s_openapi", &["world", "cluster", "serve", "sync"]),
    ("kube", &["cluster", "serve", "sync"]),
    ("rustls", &["serve"]),
    ("granit_parser", &["policy", "yaml"]),
    ("tokio_rustls", &["serve"]),
];

/// What would make a decision depend on more than its two arguments.
const IMPURE: [&str; 13] = [
    "async ",
    "std::fs",
    "std::env",
    "std::net",
    "std::io",
    "std::thread",
    "std::process",
    "SystemTime",
    "Instant",
    "tracing",
    "tokio",
    "rand::",
    "println!",
];

struct Source {
    /// Path below `src/`, with `/`.
    name: String,
    /// The file without comments, and without its test module.
    code: String,
    lines: usize,
}

impl Source {
    /// The module at the top that the file belongs to.
    fn module(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

fn sources() -> Vec<Source> {
    let folder = root().join("src");
    let mut files = Vec::new();
    rust_files(&folder, &mut files);
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().replace('\\', "/");
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap()
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        Source { name, code, lines: text.lines().count() }
    };
    files.iter().map(read).collect()
}

/// Every module at the top that the code names through `crate::` or, in the binary, `refgate::`, groups included.
fn named_modules(code: &str, modules: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for root in ["crate::", "refgate::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                named.extend(group_heads(group));
            } else {
                named.insert(head(rest).to_owned());
            }
        }
    }
    named.retain(|name| modules.contains(name.as_str()));
    named
}

fn head(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The first words of the entries of `{a::b, c::{d, e}, f}`, whose opening brace is gone already.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                heads.push(head(group[start..at].trim()).to_owned());
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads
}

#[test]
fn imports_follow_the_table() {
    let table: BTreeMap<_, _> = MAY_NAME.into_iter().collect();
    let modules: BTreeSet<&str> = table.keys().copied().chain(["args"]).collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let module = source.module();
        if module == "main" || module == "args" {
            continue;
        }
        let Some(allowed) = table.get(module) else {
            wrong.push(format!("src/{}: module {module} has no row in MAY_NAME", source.name));
            continue;
        };
        for named in named_modules(&source.code, &modules) {
            if named != module && !allowed.contains(&named.as_str()) {
                wrong.push(format!("src/{}: {module} may not name {named}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn some_crates_belong_to_some_modules() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (crate_name, owners) in OWN_CRATES {
            let path = format!("{crate_name}::");
            let names = source.code.match_indices(&path).any(|(at, _)| {
                let before = source.code[..at].chars().next_back();
                !before.is_some_and(|character| character.is_alphanumeric() || character == '_')
            });
            if names && !owners.contains(&source.module()) {
                wrong.push(format!("src/{}: {crate_name} belongs to {}", source.name, owners.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn one_file_names_aws_crates() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let crates = manifest.lines().filter(|line| line.starts_with("aws-"));
    let paths: Vec<String> =
        crates.map(|line| format!("{}::", line.split(' ').next().unwrap().replace('-', "_"))).collect();
    assert_eq!(paths.len(), 4);
    let sources = sources();
    let names = |source: &&Source| paths.iter().any(|path| source.code.contains(path));
    let named: Vec<&str> = sources.iter().filter(names).map(|source| &*source.name).collect();
    assert_eq!(named, ["sync/manager/aws.rs"]);
}

#[test]
fn ring_is_the_only_crypto_provider() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let names: BTreeSet<&str> = lock.lines().filter_map(|line| line.strip_prefix("name = ")).collect();
    assert!(names.contains("\"ring\""));
    for other in ["aws-lc-rs", "aws-lc-sys", "aws-lc-fips-sys", "openssl", "openssl-sys", "boring", "s2n-tls"]
    {
        assert!(!names.contains(&*format!("\"{other}\"")), "{other} came into the tree");
    }
}

#[test]
fn the_policy_is_pure() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.module() == "policy") {
        for impure in IMPURE {
            if source.code.contains(impure) {
                wrong.push(format!("src/{}: {}", source.name, impure.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Files that weigh what was found by `enforce`, `warn` and `audit`; everything else never hears of them.
const KNOW_MODES: [&str; 6] = [
    "cli/judge.rs",
    "config.rs",
    "policy/level.rs",
    "policy/snapshot.rs",
    "policy/verdict.rs",
    "serve/judge.rs",
];

#[test]
fn modes_are_known_to_few_and_levels_to_no_rule() {
    let mut wrong = Vec::new();
    for source in sources() {
        for mode in [".enforce", "levels.warn", "levels.audit"] {
            let names = source.code.match_indices(mode).any(|(at, _)| {
                let after = source.code[at + mode.len()..].chars().next();
                !after.is_some_and(|character| character.is_alphanumeric() || character == '_')
            });
            if names && !KNOW_MODES.contains(&source.name.as_str()) {
                wrong.push(format!("src/{} names {mode}", source.name));
            }
        }
        for level in ["Level", "level::"] {
            if source.name.starts_with("policy/rules/") && source.code.contains(level) {
                wrong.push(format!("src/{} names {level}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Longest file, in lines.
const MOST_LINES: usize = 500;
/// Files that are longer all the same, and how long they may be until they are split.
const LONGER: [(&str, usize); 1] = [("policy/rules/name.rs", 636)];

#[test]
fn files_stay_readable() {
    let mut wrong = Vec::new();
    for source in sources() {
        let longer = LONGER.iter().find(|(name, _)| *name == source.name).map(|(_, lines)| *lines);
        let most = if source.name == "main.rs" { 40 } else { longer.unwrap_or(MOST_LINES) };
        if source.lines > most {
            wrong.push(format!("src/{} has {} lines, at most {most}", source.name, source.lines));
        }
    }
    let tests = root().join("tests");
    let mut files = Vec::new();
    rust_files(&tests, &mut files);
    for path in files {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{} has {lines} lines, at most {MOST_LINES}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_file_opens_with_its_job() {
    let folder = root().join("src");
    let mut files = Vec::new();
    rust_files(&folder, &mut files);
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{} does not say what it is for", path.display());
    }
}

#[test]
fn every_test_file_is_in_the_list() {
    let folder = root().join("tests/it");
    let main = fs::read_to_string(folder.join("main.rs")).unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            stem == "main" || main.contains(&format!("mod {stem};")),
            "tests/it/{stem} is in no mod list"
        );
    }
}

#[test]
fn groups_of_imports_are_seen() {
    let modules = BTreeSet::from(["a", "b", "c"]);
    let code = "use crate::{a::{x, b}, c};\nlet y = crate::b::z();";
    assert_eq!(named_modules("use crate::{a::{x, b}, c};", &modules), ["a", "c"].map(String::from).into());
    assert_eq!(named_modules(code, &modules), ["a", "b", "c"].map(String::from).into());
}
