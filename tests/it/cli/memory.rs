//! What `check` keeps in memory: one file at a time, and of the others only what they are judged by.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use super::{CLEAN, PLAINTEXT, SCOPE, command, folder, pod};

const MIB: u64 = 1 << 20;
/// What the program takes without any file, and what it may hold of each file while that is judged.
const BASE: u64 = 64 * MIB;
const FOR_A_FILE: u64 = 10;

/// The most memory that `check` took until it wrote the entry of the last object, named `zz-last`. That entry is longer than a
/// pipe holds, so the process waits there for its reader.
fn peak(arguments: &[&str], stdin: Option<&Path>) -> u64 {
    let mut command = command(&[&["check", "--output", "json"], arguments].concat());
    // What is freed goes back at once: for how many milliseconds the allocator would hold it is no matter of ours.
    command.env("MIMALLOC_PURGE_DELAY", "0");
    if let Some(file) = stdin {
        command.stdin(fs::File::open(file).unwrap());
    }
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut read, mut piece) = (Vec::new(), vec![0; 4 << 10]);
    loop {
        let count = out.read(&mut piece).unwrap();
        assert!(count > 0, "the last object is not in the report");
        // Of what came before the end alone is looked at.
        let from = read.len().saturating_sub(64);
        read.extend_from_slice(&piece[..count]);
        if memchr(&read[from..], b"\"zz-last\"") {
            break;
        }
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    out.read_to_end(&mut read).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(read.len() > 128 << 10, "{} bytes fit into a pipe", read.len());
    serde_json::from_slice::<serde::de::IgnoredAny>(&read).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

fn memchr(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The object whose entry no pipe holds.
fn last() -> String {
    let env: String =
        (0..400).map(|index| format!("    - {{name: DB{index}_PASSWORD, value: kR4vT9wqZ2pB}}\n")).collect();
    pod("zz-last", &env)
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).unwrap().len()
}

/// A ConfigMap whose text weighs about so many bytes, in lines that are nothing.
fn config_map(name: &str, bytes: usize) -> String {
    let line = "    a line of text that is long enough to be one of many, and is nothing\n";
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: snippets-stage}}\ndata:\n  notes: |\n{}",
        line.repeat(bytes / line.len())
    )
}

#[test]
fn many_files_take_the_memory_of_one() {
    let folder = folder("memory-of-many");
    let mut text = config_map("c", 4 << 10);
    for index in 0..100 {
        text.push_str(&format!(
            "---\n{}",
            pod(&format!("p{index}"), if index == 0 { PLAINTEXT } else { CLEAN })
        ));
    }
    let files = 400;
    for index in 0..files {
        fs::write(folder.join(format!("{index:03}.yaml")), &text).unwrap();
    }
    fs::write(folder.join("zz.yaml"), last()).unwrap();
    let took = peak(&[folder.to_str().unwrap()], None);
    let most = BASE + FOR_A_FILE * text.len() as u64;
    let all = files * text.len() as u64;
    assert!(all * FOR_A_FILE > most, "the corpus is too small to tell: {all}");
    assert!(took < most, "{took} bytes for {files} files of {}, {most} at the most", text.len());
}

#[test]
fn a_large_list_and_a_large_stream_are_bounded_by_their_size() {
    let folder = folder("memory-of-one");
    let mut list = "apiVersion: v1\nkind: List\nitems:\n".to_owned();
    let mut stream = String::new();
    for index in 0..2_500 {
        let pod = pod(&format!("pod-{index}"), CLEAN);
        for (line, text) in pod.lines().enumerate() {
            list.push_str(if line == 0 { "- " } else { "  " });
            list.push_str(&format!("{text}\n"));
        }
        stream.push_str(&format!("---\n{pod}"));
    }
    stream.push_str(&format!("---\n{}", last()));
    for (name, text) in [("list.yaml", list), ("stream.yaml", stream)] {
        let mut file = fs::File::create(folder.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    fs::write(folder.join("zz.yaml"), last()).unwrap();
    let (list, end, stream) = (folder.join("list.yaml"), folder.join("zz.yaml"), folder.join("stream.yaml"));
    let took = peak(&[list.to_str().unwrap(), end.to_str().unwrap()], None);
    assert!(took < BASE + FOR_A_FILE * size(&list), "{took} bytes for a list of {}", size(&list));
    let took = peak(&["-"], Some(&stream));
    assert!(took < BASE + FOR_A_FILE * size(&stream), "{took} bytes for a stream of {}", size(&stream));
}

/// Objects of other systems are kept, in few bytes each; namespaces cost what they are, and not their number times another.
#[test]
fn what_others_are_judged_by_is_kept_reduced() {
    let folder = folder("memory-of-what-is-kept");
    let object = |index: usize| {
        format!(
            "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {{name: e{index}, namespace: n{}}}\nspec:\n  \
             secretStoreRef: {{name: s}}\n  target: {{name: t{index}}}\n  data:\n  - secretKey: k\n    \
             remoteRef: {{key: mozmeao/snippets/stage/x{index}}}\n",
            index / 4
        )
    };
    let (mut kept, mut largest) = (0, 0);
    for file in 0..40 {
        let text = (0..100).map(|index| object(file * 100 + index)).collect::<Vec<_>>().join("---\n");
        (kept, largest) = (kept + text.len() as u64, largest.max(text.len() as u64));
        fs::write(folder.join(format!("{file:02}.yaml")), text).unwrap();
    }
    fs::write(folder.join("zz.yaml"), last()).unwrap();
    let took = peak(&[&[folder.to_str().unwrap()], &SCOPE[..]].concat(), None);
    assert!(took < BASE + FOR_A_FILE * largest + 2 * kept, "{took} bytes, of which {kept} are kept");
}
