//! Where the programs of the control plane are: `control-plane/build.sh` finds or builds them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Programs {
    paths: BTreeMap<String, PathBuf>,
    /// Minor of Kubernetes 1.
    pub minor: u32,
}

impl Programs {
    /// `Err` holds the exit code of the script, which has said why.
    pub fn find() -> Result<Self, u8> {
        Self::find_with(&[])
    }

    /// With those of a real node.
    pub fn find_for_node() -> Result<Self, u8> {
        Self::find_with(&["node"])
    }

    fn find_with(arguments: &[&str]) -> Result<Self, u8> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/control-plane/build.sh");
        let output = Command::new(script).args(arguments).stderr(Stdio::inherit()).output().unwrap();
        if !output.status.success() {
            return Err(output.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2));
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let mut paths: BTreeMap<String, PathBuf> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, path)| (name.to_owned(), path.into()))
            .collect();
        let version = paths.remove("kubernetes").unwrap();
        let minor = version.to_str().unwrap().strip_prefix("1.").unwrap().parse().unwrap();
        Ok(Self { paths, minor })
    }

    pub fn path(&self, name: &str) -> &Path {
        self.paths.get(name).unwrap_or_else(|| panic!("no {name}"))
    }
}
