//! A space for a real node: a network, mounts and processes of its own, which go as a whole, however it ends.
//!
//! `make node` starts itself again inside of it. Beside it stay two things that belong to the machine: the control groups
//! of the containers and a few settings of the kernel that a kubelet changes. They are put back from outside.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::wait::until;

/// The first argument of the process inside.
pub const WITHIN: &str = "node-within";

/// The script in the folder of a run that goes inside.
pub const ENTER: &str = "enter";

/// The address of the node, of the API server and of the secret manager, inside.
pub const ADDRESS: &str = "10.244.7.1";

/// The control group of everything that the kubelet starts, with the process id of the run behind it.
const CGROUP: &str = "refgate-node-";

/// Settings of the kernel that a kubelet changes for the whole machine.
const KERNEL: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Process 1 of the space: it starts the tests, and collects the processes that containers leave behind.
const INIT: &str = r#"exec 3<&0; "$@" <&3 3<&- & wait "$!""#;

/// Runs this program inside a new space, with these arguments behind [`WITHIN`], the control group and the folder.
/// How it ended; `None` where it was told to.
pub fn enter(folder: &Path, arguments: &[String]) -> Option<ExitStatus> {
    remove_cgroups(|process| !Path::new("/proc").join(process).exists());
    let cgroup = format!("{CGROUP}{}", std::process::id());
    for hierarchy in hierarchies() {
        fs::create_dir_all(hierarchy.join(&cgroup)).unwrap();
    }
    let kernel: Vec<(PathBuf, String)> = KERNEL
        .iter()
        .map(|name| Path::new("/proc/sys").join(name))
        .filter_map(|path| Some((path.clone(), fs::read_to_string(path).ok()?)))
        .collect();
    let child = start(&cgroup, folder, arguments);
    write_enter(folder, &child);
    let status = supervise(child);
    for (path, value) in kernel {
        // A setting that is read-only here was read-only for the kubelet.
        let _ = fs::write(path, value);
    }
    let own = std::process::id().to_string();
    until("the control groups of the node are empty", || {
        remove_cgroups(|process| process == own).then_some(())
    });
    status
}

fn start(cgroup: &str, folder: &Path, arguments: &[String]) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "/bin/sh",
        "-c",
        INIT,
        "init",
    ]);
    command.arg(program).args([WITHIN, cgroup]).arg(folder).args(arguments);
    // The process inside ends when this pipe closes: on Ctrl-C, on a failure, or when this process is killed.
    command.stdin(Stdio::piped());
    command.spawn().unwrap()
}

/// The process id of the space's process 1 is known only outside.
fn write_enter(folder: &Path, child: &Child) {
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    let init = until("the space has its process 1", || {
        let text = fs::read_to_string(&children).ok()?;
        text.split_whitespace().next().map(str::to_owned)
    });
    let script = format!(
        "#!/bin/sh\n[ $# -gt 0 ] || set -- bash --norc\n\
         exec nsenter --target {init} --net --mount --pid -- sh -c '. \"{}/env\"; cd \"$0\" && exec \"$@\"' \"$PWD\" \"$@\"\n",
        folder.display()
    );
    let path = folder.join(ENTER);
    fs::write(&path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Waits for its end, or ends it: on Ctrl-C, on SIGTERM, and when the parent of this process is gone.
fn supervise(mut child: Child) -> Option<ExitStatus> {
    let ended = Arc::new(AtomicBool::new(false));
    watch_signals(Arc::clone(&ended));
    let mut pipe = child.stdin.take();
    let parent = parent_id();
    loop {
        if ended.load(Ordering::Relaxed) || parent_id() != parent {
            pipe.take();
        }
        if let Some(status) = child.try_wait().unwrap() {
            return pipe.is_some().then_some(status);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn watch_signals(ended: Arc<AtomicBool>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt()).unwrap(), signal(SignalKind::terminate()).unwrap())
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        });
        ended.store(true, Ordering::Relaxed);
    });
}

/// Every hierarchy of version 1, or the one of version 2.
fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_owned()];
    }
    let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    folders.filter(|path| path.join("cgroup.procs").exists()).collect()
}

/// Removes the control groups of runs that are chosen by their process id; whether all of them could go.
fn remove_cgroups(chosen: impl Fn(&str) -> bool) -> bool {
    let mut gone = true;
    for hierarchy in hierarchies() {
        for entry in fs::read_dir(hierarchy).unwrap().filter_map(Result::ok) {
            let name = entry.file_name().into_string().unwrap_or_default();
            if name.strip_prefix(CGROUP).is_some_and(&chosen) {
                gone &= remove_cgroup(&entry.path());
            }
        }
    }
    gone
}

/// From the inside out: the files in a control group belong to it.
fn remove_cgroup(path: &Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().filter_map(Result::ok) {
        if entry.path().is_dir() {
            remove_cgroup(&entry.path());
        }
    }
    fs::remove_dir(path).is_ok()
}

/// Furnishes the space, from inside: fresh folders where programs keep their state, and a network.
pub fn furnish() {
    thread::spawn(|| {
        let mut end = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut end);
        // Process 1 ends with us, and the kernel ends all others then.
        std::process::exit(1)
    });
    for folder in ["/run", "/var/lib", "/var/log"] {
        run("mount", &["-t", "tmpfs", "-o", "mode=0755", "refgate-node", folder]);
    }
    fs::create_dir_all("/run/lock").unwrap();
    for line in [
        "link set lo up",
        "link add refgate0 type bridge",
        &format!("address add {ADDRESS}/24 dev refgate0"),
        "link set refgate0 up",
        // Without one the API server cannot reach a Service: its address is in no network.
        "route add default dev refgate0",
    ] {
        run("ip", &line.split(' ').collect::<Vec<_>>());
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
}

/// Runs a program of the machine; fails with its words.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
