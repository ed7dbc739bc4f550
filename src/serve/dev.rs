//! `--dev`: the webhook without a cluster. The world from a file, a certificate made on the spot, and a line to paste.
//!
//! The authority that signs is written where curl can find it; every key stays in memory.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio::sync::mpsc;

use super::state::Change;
use super::tls::Pem;
use crate::cluster;
use crate::world::World;

/// So many problems of a world are said.
const PROBLEMS: usize = 5;

/// What `--dev` works with.
#[derive(Debug, Clone)]
pub struct DevOptions {
    /// The world file: Namespaces and catalogues as YAML.
    pub world: PathBuf,
    /// Where the certificate of the authority goes, as `ca.crt`.
    pub certificates: PathBuf,
    /// The review that the printed line sends.
    pub review: PathBuf,
}

impl Default for DevOptions {
    fn default() -> Self {
        Self {
            world: "examples/world.yaml".into(),
            certificates: "certs/dev".into(),
            review: "examples/review.json".into(),
        }
    }
}

/// Why `--dev` cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The world file cannot be read.
    #[error("cannot read the world file {}", path.display())]
    World {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The world file does not say a whole world: half of one would be a wrong one.
    #[error("the world file {} is invalid: {problems}", path.display())]
    Invalid {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problems: String,
    },
    /// The certificate cannot be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The authority cannot be written down.
    #[error("cannot write {}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What tells whether a file changed, without keeping or reading it: a world may be large.
pub type Fingerprint = (Option<SystemTime>, u64);

async fn fingerprint(path: &Path) -> io::Result<Fingerprint> {
    let metadata = tokio::fs::metadata(path).await?;
    Ok((metadata.modified().ok(), metadata.len()))
}

/// Reads the world file, with the fingerprint that it had before: what changes meanwhile is read again.
pub async fn read_world(path: &Path) -> Result<(World, Fingerprint), DevError> {
    let read = async {
        let before = fingerprint(path).await?;
        let file = path.to_owned();
        let world = tokio::task::spawn_blocking(move || World::read_file(&file)).await;
        Ok((world.map_err(io::Error::other)??, before))
    };
    let (world, fingerprint) =
        read.await.map_err(|source| DevError::World { path: path.to_owned(), source })?;
    match problems(&world) {
        None => Ok((world, fingerprint)),
        Some(problems) => Err(DevError::Invalid { path: path.to_owned(), problems }),
    }
}

/// What is wrong with a world, on one line. One without a Namespace is what an editor leaves for a moment.
fn problems(world: &World) -> Option<String> {
    let (said, more) = world.problems.split_at(world.problems.len().min(PROBLEMS));
    let mut texts: Vec<String> = said.iter().map(ToString::to_string).collect();
    if !more.is_empty() {
        texts.push(format!("and {} more", more.len()));
    }
    if texts.is_empty() && world.namespaces.is_empty() {
        texts.push("it holds no Namespace".to_owned());
    }
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Makes an authority and a certificate for `localhost` and the address that is listened on.
pub fn identity(listen: SocketAddr) -> Result<(Pem, String), DevError> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "RefGate development CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;

    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.push(listen.ip().to_string());
    names.sort_unstable();
    names.dedup();
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, "RefGate development");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let issuer = Issuer::from_params(&authority, &authority_key);
    let certificate = server.signed_by(&key, &issuer)?;
    let pem = Pem {
        certificate: certificate.pem().into_bytes(),
        key: key.serialize_pem().into_bytes(),
        client_ca: None,
    };
    Ok((pem, authority_certificate.pem()))
}

/// Writes the certificate of the authority, as a whole or not at all.
pub async fn write_authority(folder: &Path, pem: &str) -> Result<PathBuf, DevError> {
    let path = folder.join("ca.crt");
    let fresh = folder.join(format!("ca.crt.{}", std::process::id()));
    let written = async {
        tokio::fs::create_dir_all(folder).await?;
        tokio::fs::write(&fresh, pem).await?;
        tokio::fs::rename(&fresh, &path).await
    };
    match written.await {
        Ok(()) => Ok(path),
        Err(source) => Err(DevError::Write { path, source }),
    }
}

/// Reads the world again whenever its file changes, for ever. What is bad is said once, and what was read last stays: an
/// editor may be between removing and writing it.
pub async fn follow_world(
    path: PathBuf,
    last: Fingerprint,
    interval: Duration,
    changes: mpsc::Sender<Change>,
) {
    let mut last = Some(last);
    loop {
        tokio::time::sleep(interval).await;
        let seen = fingerprint(&path).await.ok();
        if seen == last {
            continue;
        }
        last = seen;
        match read_world(&path).await {
            Ok((world, fingerprint)) => {
                last = Some(fingerprint);
                tracing::info!(namespaces = world.namespaces.len(), "the world file was read again");
                if changes.send(Change::World(world)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(
                    error = cluster::chain(&error),
                    "the world file is bad; the last good one stays"
                );
            }
        }
    }
}

/// What is printed at the start: where it listens, and what to paste.
pub fn banner(
    options: &DevOptions,
    authority: &Path,
    listen: SocketAddr,
    plain: [SocketAddr; 2],
    world: &World,
) -> String {
    let reachable = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    let base = format!("https://{}", SocketAddr::new(reachable, listen.port()));
    let curl = format!(
        "curl -sS --cacert {} -H 'Content-Type: application/json' --data-binary @{} {base}/mutate",
        shell(authority),
        shell(&options.review),
    );
    let [health, metrics] = plain;
    let mut text =
        format!("refgate serve --dev: {base}, health on http://{health}, metrics on http://{metrics}\n");
    let (namespaces, catalogues) = (world.namespaces.len(), world.catalogues.len());
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "world: {} ({namespaces} namespaces, {catalogues} catalogues), read again when it changes\n",
        options.world.display(),
    );
    let _ = writeln!(text, "A pod comes in, what injects its secrets goes out:\n\n  {curl}\n");
    let _ = writeln!(
        text,
        "The JSON Patch alone:\n\n  {curl} | sed -n 's/.*\"patch\":\"\\([^\"]*\\)\".*/\\1/p' | base64 -d\n"
    );
    text
}

/// A path as a shell takes it.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@=:,".contains(&byte);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
