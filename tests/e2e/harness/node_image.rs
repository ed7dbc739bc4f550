//! Images without a registry: archives as `docker save` writes them, with one layer.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::node_space::run;

/// A shell and its tools, for the containers of tests.
pub const BUSYBOX: &str = "docker.io/library/busybox:1";
/// Holds the namespaces of a pod.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10";
/// As the manifests name it.
pub const REFGATE: &str = "docker.io/library/refgate:0.1.0";

/// Archives of all images that a node needs.
pub fn build_all(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.join("images");
    let busybox = busybox_root(&folder.join("busybox"));
    let refgate = refgate_root(&folder.join("refgate"));
    vec![
        build(&folder.join("busybox"), &busybox, BUSYBOX, &json!({"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]})),
        // It only waits; containerd ends it with SIGKILL.
        build(
            &folder.join("pause"),
            &busybox,
            PAUSE,
            &json!({"Entrypoint": ["/bin/busybox", "tail", "-f", "/dev/null"]}),
        ),
        build(
            &folder.join("refgate"),
            &refgate,
            REFGATE,
            &json!({"User": "65532:65532", "Entrypoint": ["/refgate"]}),
        ),
    ]
}

fn busybox_root(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    let program = run("sh", &["-c", "command -v busybox"]);
    fs::copy(program.trim(), root.join("bin/busybox")).unwrap();
    let root_text = root.to_str().unwrap();
    // Fails where it needs libraries: Debian has a busybox and a busybox-static.
    let list = run("chroot", &[root_text, "/bin/busybox", "--list"]);
    for name in list.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    root
}

/// The files that the Dockerfile copies.
fn refgate_root(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    fs::create_dir_all(root.join("etc/ssl/certs")).unwrap();
    let binary = root.join("refgate");
    // A tenth of the size: the image is in memory several times.
    run("strip", &["-o", binary.to_str().unwrap(), env!("CARGO_BIN_EXE_refgate")]);
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let authorities = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if authorities.exists() {
        fs::copy(authorities, root.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
    }
    // Fails where it needs libraries: `make node` builds it without.
    run("chroot", &[root.to_str().unwrap(), "/refgate", "--version"]);
    root
}

fn build(folder: &Path, root: &Path, tag: &str, config: &Value) -> PathBuf {
    let archive = folder.with_extension("tar");
    let parts = folder.join("parts");
    fs::create_dir_all(&parts).unwrap();
    let layer = parts.join("layer.tar");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    run("tar", &["--owner=0", "--group=0", "-C", &text(root), "-cf", &text(&layer), "."]);
    let digest = run("sha256sum", &[&text(&layer)]);
    let digest = format!("sha256:{}", digest.split(' ').next().unwrap());
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    };
    let image = json!({
        "architecture": architecture, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    });
    fs::write(parts.join("config.json"), image.to_string()).unwrap();
    let manifest = json!([{"Config": "config.json", "RepoTags": [tag], "Layers": ["layer.tar"]}]);
    fs::write(parts.join("manifest.json"), manifest.to_string()).unwrap();
    run("tar", &["-C", &text(&parts), "-cf", &text(&archive), "manifest.json", "config.json", "layer.tar"]);
    archive
}
