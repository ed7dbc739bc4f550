//! The files of `tests/yaml` read as kubectl reads them. What it makes of each lies beside it; `tests/yaml/regenerate.sh` writes that.

use std::fs;
use std::path::PathBuf;

use refgate::yaml::documents;
use serde_json::Value;

/// Where kubectl reads no further and we do: text or a directive at `---`, a key that is larger than its integers, escapes that JSON
/// has, and tabs in places that show no structure.
const READ_BY_US_ALONE: &[&str] = &[
    "block-tabbed",
    "document-block",
    "document-inline",
    "key-refused-5",
    "quoted-escape-slash",
    "surrogates",
    "tab-after-dash",
    "tab-empty-line",
    "tag-directive",
    "yaml-directive",
];

/// The two write some floats differently: `1e+20` and `100000000000000000000` are the same number.
fn is_same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(ours), Value::Number(theirs)) => {
            ours == theirs
                || ours.as_f64().zip(theirs.as_f64()).is_some_and(|(a, b)| a.to_bits() == b.to_bits())
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
        }
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(key, ours)| theirs.get(key).is_some_and(|theirs| is_same(ours, theirs)))
        }
        _ => ours == theirs,
    }
}

#[test]
fn every_file_reads_as_kubectl_reads_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/yaml");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() > 100, "{files:?}");
    let (mut wrong, mut alone) = (Vec::new(), Vec::new());
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let expected = fs::read_to_string(file.with_extension("jsonl")).unwrap();
        let ours: Vec<_> = documents(&fs::read_to_string(&file).unwrap()).collect();
        let theirs: Vec<Option<Value>> = expected
            .lines()
            .map(|line| (line != "error").then(|| serde_json::from_str(line).unwrap()))
            .collect();
        if theirs.contains(&None) {
            if ours.iter().all(Result::is_ok) {
                alone.push(name.to_owned());
            }
            continue;
        }
        let fits = ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(|(ours, theirs)| {
                ours.as_ref().is_ok_and(|ours| is_same(&ours.value, theirs.as_ref().unwrap()))
            });
        if !fits {
            let ours: Vec<_> = ours.into_iter().map(|read| read.map(|read| read.value.to_string())).collect();
            wrong.push(format!("{name}: {ours:?}\n  kubectl: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(alone, READ_BY_US_ALONE);
}
