//! `--dev`: the webhook without a cluster. The world from a file, a certificate made on the spot, and a line to paste.
//!
//! The authority that signs is written where curl can find it; every key stays in memory.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio::sync::mpsc;

use super::state::Change;
use super::tls::Pem;
use crate::world::World;

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

/// What tells whether a file changed, without keeping it: a world may be large.
pub type Fingerprint = u64;

async fn read(path: &Path) -> Result<(String, Fingerprint), DevError> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|source| DevError::World { path: path.to_owned(), source })?;
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    Ok((text, hasher.finish()))
}

/// Reads the world file for the first time.
pub async fn read_world(path: &Path) -> Result<(World, Fingerprint), DevError> {
    let (text, fingerprint) = read(path).await?;
    Ok((World::read(&text), fingerprint))
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

/// Reads the world again whenever its text changes, for ever.
pub async fn follow_world(
    path: PathBuf,
    mut last: Fingerprint,
    interval: Duration,
    changes: mpsc::Sender<Change>,
) {
    loop {
        tokio::time::sleep(interval).await;
        match read(&path).await {
            Ok((_, fingerprint)) if fingerprint == last => {}
            Ok((text, fingerprint)) => {
                last = fingerprint;
                let world = World::read(&text);
                drop(text);
                say_problems(&world);
                tracing::info!(namespaces = world.namespaces.len(), "the world file was read again");
                if changes.send(Change::World(world)).await.is_err() {
                    return;
                }
            }
            // An editor may be between removing and writing it; what was read last stays.
            Err(error) => tracing::warn!(%error, "the world file cannot be read"),
        }
    }
}

/// Logs what could not be read of a world.
pub fn say_problems(world: &World) {
    for problem in &world.problems {
        tracing::warn!(%problem, "in the world file");
    }
}

/// What is printed at the start: where it listens, and what to paste.
pub fn banner(
    options: &DevOptions,
    authority: &Path,
    listen: SocketAddr,
    health: SocketAddr,
    world: &World,
) -> String {
    let reachable = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    let base = format!("https://{}", SocketAddr::new(reachable, listen.port()));
    let curl = format!(
        "curl -sS --cacert {} -H 'Content-Type: application/json' --data-binary @{} {base}/mutate",
        shell(authority),
        shell(&options.review),
    );
    let mut text = format!("refgate serve --dev: {base}, health and metrics on http://{health}\n");
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
