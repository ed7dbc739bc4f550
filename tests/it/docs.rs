//! The documentation, held to what it speaks of: tests that it names, files that it links, rules, limits.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use refgate::config::sync::Sync;
use refgate::policy::carriers;
use refgate::policy::fault::ELEMENTS;
use refgate::policy::rules::{RULES, SCAN_LIMIT};
use refgate::policy::workload::json::{CONTAINERS, ENTRIES, VOLUMES};
use refgate::serve::{connection, http};
use refgate::sync::manager::Manager;
use refgate::sync::manager::file::File;
use refgate::sync::rotation;
use refgate::yaml;

use crate::harness::Folder;

const PAGES: [&str; 12] = [
    "README.md",
    "ARCHITECTURE.md",
    "bench/README.md",
    "docs/carriers.md",
    "docs/detector.md",
    "docs/operators.md",
    "docs/reference.md",
    "docs/rules.md",
    "docs/rotation.md",
    "docs/security.md",
    "docs/tour.md",
    "manifests/README.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// What stands between backticks, outside of blocks of code.
fn quoted(text: &str) -> Vec<String> {
    let prose: Vec<&str> = text.split("```").step_by(2).collect();
    prose.iter().flat_map(|part| part.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The code of every file that is called `module` or lies in a folder of that name.
fn code_of(module: &str, folder: &Path) -> String {
    let mut code = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code.push_str(&code_of(module, &path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && (path.file_stem().is_some_and(|stem| stem == module) || folder.ends_with(module))
        {
            code.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    code
}

#[test]
fn architecture_names_tests_and_cases_that_are_there() {
    let text = page("ARCHITECTURE.md");
    assert!(text.lines().count() < 150, "ARCHITECTURE.md is a map, and no map has so many lines");
    let mut tests = 0;
    for name in quoted(&text) {
        let Some((module, test)) = name.split_once("::").filter(|(_, test)| test.matches('_').count() > 1)
        else {
            continue;
        };
        tests += 1;
        let code: String = ["tests/it", "tests/e2e/cases", "src"]
            .iter()
            .map(|folder| code_of(module, &root().join(folder)))
            .collect();
        assert!(code.contains(&format!("fn {test}(")), "there is no test {name}");
    }
    assert!(tests > 40, "only {tests} tests were found in ARCHITECTURE.md");
    for part in text.split("case `").skip(1) {
        let case = part.split('`').next().unwrap();
        assert!(root().join("tests/cases").join(case).is_dir(), "there is no case {case}");
    }
}

#[test]
fn links_lead_to_files() {
    for name in PAGES {
        let folder = root().join(name).parent().unwrap().to_path_buf();
        for part in page(name).split("](").skip(1) {
            let link = part.split([')', '#']).next().unwrap();
            let is_there = link.is_empty() || link.starts_with("https://") || folder.join(link).is_file();
            assert!(is_there, "{name} links {link}");
        }
    }
}

/// Whoever pastes a line of a page must not leave a value in a shell's history.
#[test]
fn no_page_has_a_value_in_a_command() {
    for name in PAGES.into_iter().chain(["src/args/help.rs", "examples/rotation.yaml"]) {
        for line in page(name).lines() {
            let Some((before, _)) = line.split_once("refgate put") else { continue };
            let is_literal = ["printf ", "echo ", "<<<"].iter().any(|word| before.contains(word));
            assert!(!is_literal, "{name}: {line}");
        }
    }
}

/// An alert on a metric that is not there never fires.
#[test]
fn metrics_are_those_that_are_served() {
    // What has not been counted yet is not rendered, so the names are taken from where they are registered.
    let served = page("src/telemetry.rs") + &page("src/telemetry/sync.rs");
    let mut seen = BTreeSet::new();
    for name in PAGES {
        let text = page(name);
        for part in text.split("refgate_").skip(1) {
            let end = part.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(part.len());
            let metric = format!("refgate_{}", part[..end].trim_end_matches("_total"));
            assert!(served.contains(&format!("\"{metric}\"")), "{name} names {metric}");
            seen.insert(metric);
        }
    }
    assert!(seen.len() > 6, "{seen:?}");
}

/// `UPDATE_CASES=1 cargo test --test it docs` writes it anew.
#[test]
fn the_pages_of_carriers_are_those_of_the_code() {
    let pages = carriers::doc::pages();
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(root().join("docs/carriers.md"), &pages).unwrap();
    }
    assert!(page("docs/carriers.md") == pages, "UPDATE_CASES=1 would write docs/carriers.md anew");
}

#[test]
fn the_table_of_rules_is_that_of_the_code() {
    let text = page("docs/detector.md");
    let written: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).take(RULES.len()).collect();
    let rows: Vec<String> = RULES
        .iter()
        .map(|rule| format!("| `{}` | {} | {} |", rule.id, rule.certainty.as_str(), rule.summary))
        .collect();
    assert_eq!(written, rows);
}

/// A denied developer looks up there what struck.
#[test]
fn the_page_of_rules_is_made_of_the_code() {
    let file = root().join("docs/rules.md");
    let made = refgate::cli::rules::page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &made).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), made, "UPDATE_DOCS=1 writes it anew");
}

#[test]
fn limits_are_those_of_the_code() {
    let text = page("docs/reference.md");
    let (reviews, ports) = (http::Limits::default(), connection::Limits::default());
    let thousands = |number: usize| format!("{},{:03}", number / 1000, number % 1000);
    for row in [
        format!("| containers in one list | {} |", thousands(CONTAINERS)),
        format!("of a projected volume | {} |", thousands(VOLUMES)),
        format!("every other list | {} |", thousands(ENTRIES)),
        format!("the first {} MiB of each", SCAN_LIMIT >> 20),
        format!("| elements of a review, old object included | {},000; more", ELEMENTS / 1000),
        format!("| body of a review | {} MiB | 413 |", reviews.body >> 20),
        format!("| reviews at once | {} | 503 |", thousands(reviews.reviews)),
        format!("| bytes of bodies at once | {} MiB | 503 |", reviews.bytes >> 20),
        format!("| {} s; {} s, or", reviews.body_time.as_secs(), reviews.review_time.as_secs()),
        format!("| {} ms | 503 |", reviews.namespace_wait.as_millis()),
        format!("| connections | {} |", thousands(ports.connections)),
        format!("| TLS handshakes at once | {} | the next one waits |", ports.handshakes),
        format!("| {} s; {} s | closed |", ports.handshake.as_secs(), ports.first_request.as_secs()),
        format!("| {} s, longer than", ports.idle.as_secs()),
        format!("| {} KiB, {} headers |", ports.head_bytes >> 10, ports.headers),
    ] {
        assert!(text.contains(&row), "docs/reference.md does not say: {row}");
    }
}

/// The words that say how old a value may get.
#[test]
fn words_of_rotation_are_those_of_the_code() {
    let periods = [1, 2, 3].map(Duration::from_secs);
    let mut rotation = Sync::default().rotation;
    [rotation.database, rotation.api_key, rotation.other] = periods;
    let text = page("docs/reference.md");
    let mut words = 0;
    for (row, expected) in [("| `database` | ", periods[0]), ("| `apiKey` | ", periods[1])] {
        let line = text.lines().find_map(|line| line.strip_prefix(row)).unwrap();
        for name in quoted(line) {
            words += 1;
            let path = format!("g/a/e/x_{}_y", name.replace(' ', "-"));
            assert_eq!(rotation::period(&path, &rotation), expected, "{name}");
        }
    }
    let code = page("src/sync/rotation.rs");
    let known =
        code.split("const DATABASE").nth(1).unwrap().split(';').nth(1).unwrap().matches('"').count() / 2;
    assert_eq!(words, known + 4, "docs/reference.md names all of them");
}

/// The example of a file of secrets, and the table of its keys.
#[tokio::test]
async fn the_file_of_secrets_is_what_the_page_says() {
    let text = page("docs/reference.md");
    let section = text.split("### Secrets in a file").nth(1).unwrap();
    let example = section.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = Folder::new();
    let manager = Manager::File(File::new(folder.write("secrets.yaml", example)));
    let listed = manager.list("mozmeao/snippets/stage/").await.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|listed| listed.version.is_some()));
    let wrong = folder.write("wrong.yaml", "a/b/c/d: {nothing: x}\n");
    let said = Manager::File(File::new(wrong)).list("a/b/c/").await.unwrap_err().to_string();
    let known: Vec<&str> = said.split_once("known are ").unwrap().1.split(", ").collect();
    let section = section.split("###").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    assert_eq!(rows.map(|row| row.split('`').next().unwrap()).collect::<Vec<_>>(), known);
}

/// What is to be pasted finds the pods that the manifests make.
#[test]
fn the_monitor_selects_what_is_installed() {
    let text = page("docs/operators.md");
    let block = text.split("```yaml\n").find(|block| block.contains("kind: PodMonitor")).unwrap();
    let monitor = yaml::documents(block.split("```").next().unwrap()).next().unwrap().unwrap().value;
    let selector = &monitor["spec"]["selector"]["matchExpressions"][0];
    assert_eq!(selector["operator"], "In");
    let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    let mut selected = Vec::new();
    for file in ["manifests/base/50-deployment.yaml", "manifests/base/53-deployment-sync.yaml"] {
        let deployment = yaml::documents(&page(file)).next().unwrap().unwrap().value;
        assert_eq!(deployment["metadata"]["namespace"], monitor["metadata"]["namespace"]);
        let template = &deployment["spec"]["template"];
        selected.push(template["metadata"]["labels"][selector["key"].as_str().unwrap()].clone());
        let ports = template["spec"]["containers"][0]["ports"].as_array().unwrap();
        assert!(ports.iter().any(|other| other["name"] == *port), "{file}");
    }
    assert_eq!(selector["values"].as_array(), Some(&selected));
}
