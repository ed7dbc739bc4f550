//! The TLS side of the port: handshakes, and the certificate that reloads.
//!
//! Certificate and key are files that are polled: a mounted Secret changes by a link swap and may send no event. The
//! bytes are compared, and a pair that does not load never replaces one that did.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::telemetry::Metrics;

/// Where the identity of the server is kept.
#[derive(Debug, Clone)]
pub struct Files {
    /// Chain of certificates, PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Authorities of client certificates, PEM; then a client without one is turned away.
    pub client_ca: Option<PathBuf>,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or not to be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no PEM of the kind that is wanted.
    #[error("no usable {what} in {origin}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Where.
        origin: String,
        /// What was wrong with it, where there was something.
        source: Option<rustls::pki_types::pem::Error>,
    },
    /// The key does not belong to the certificate, or is of an unknown kind.
    #[error("the certificate and its key cannot be used together")]
    Pair(#[source] rustls::Error),
    /// The authorities of clients cannot be used.
    #[error("the certificates of --client-ca cannot be used")]
    ClientCa(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The bytes that an identity is made of.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// Chain of certificates.
    pub certificate: Vec<u8>,
    /// Private key.
    pub key: Vec<u8>,
    /// Authorities of client certificates.
    pub client_ca: Option<Vec<u8>>,
}

impl Files {
    async fn read(&self) -> Result<Pem, TlsError> {
        Ok(Pem {
            certificate: read(&self.certificate).await?,
            key: read(&self.key).await?,
            client_ca: match &self.client_ca {
                Some(path) => Some(read(path).await?),
                None => None,
            },
        })
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    tokio::fs::read(path).await.map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// What a handshake is made with. Cheap to clone; all clones see a reload at once, connections that are open keep what
/// they have.
#[derive(Debug, Clone)]
pub struct Identity(watch::Receiver<Arc<ServerConfig>>);

/// Keeps an [`Identity`] as new as its files.
pub struct Reloader {
    files: Files,
    /// What was looked at last, good or bad; nothing after a file could not be read.
    tried: Option<Pem>,
    publish: watch::Sender<Arc<ServerConfig>>,
}

/// Loads an identity for the first time: here an error is fatal.
pub async fn load(files: Files, metrics: &Metrics) -> Result<(Identity, Reloader), TlsError> {
    let pem = files.read().await?;
    let (publish, identity) = watch::channel(Arc::new(config(&pem, metrics)?));
    Ok((Identity(identity), Reloader { files, tried: Some(pem), publish }))
}

impl Identity {
    /// One that never changes, as `--dev` uses.
    pub fn fixed(pem: &Pem, metrics: &Metrics) -> Result<Self, TlsError> {
        // The sender may go: a receiver keeps the last value.
        Ok(Self(watch::channel(Arc::new(config(pem, metrics)?)).1))
    }

    /// Shakes hands; the caller sets a deadline.
    pub async fn handshake(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.0.borrow().clone());
        match acceptor.accept(stream).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
        }
    }
}

impl Reloader {
    /// Looks at the files every `interval`, for ever.
    pub async fn run(mut self, interval: Duration, metrics: Arc<Metrics>) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look(&metrics).await;
        }
    }

    /// Looks at the files once. What fails is said once for each content, and the last good pair stays.
    pub async fn look(&mut self, metrics: &Metrics) {
        let result = match self.files.read().await {
            Ok(pem) if self.tried.as_ref() == Some(&pem) => return,
            Ok(pem) => {
                let loaded = config(&pem, metrics);
                self.tried = Some(pem);
                loaded
            }
            Err(error) => {
                self.tried = None;
                Err(error)
            }
        };
        match result {
            Ok(loaded) => {
                self.publish.send_replace(Arc::new(loaded));
                metrics.certificate_reload_success.set(1);
                tracing::info!("the certificate was reloaded");
            }
            Err(error) => {
                metrics.certificate_reload_success.set(0);
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, "the certificate cannot be reloaded; the last good one stays");
            }
        }
    }
}

/// Makes the settings of TLS 1.2 and 1.3 from PEM. The expiry goes to the metrics only when all is well.
fn config(pem: &Pem, metrics: &Metrics) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&pem.certificate, "certificate", "the file of the certificate")?;
    let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|error| TlsError::Pem {
        what: "private key",
        origin: "the file of the key".to_owned(),
        source: Some(error),
    })?;
    let expiry = chain.first().and_then(|leaf| not_after(leaf));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let builder = match &pem.client_ca {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(authorities, "certificate", "the file of --client-ca")? {
                roots.add(authority).map_err(|error| TlsError::ClientCa(error.into()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| TlsError::ClientCa(error.into()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if let Some(expiry) = expiry {
        metrics.certificate_expiry.set(expiry);
    }
    Ok(config)
}

fn certificates(
    pem: &[u8],
    what: &'static str,
    origin: &str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let broken = |source| TlsError::Pem { what, origin: origin.to_owned(), source };
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| broken(Some(error)))?;
    if chain.is_empty() { Err(broken(None)) } else { Ok(chain) }
}

/// When a certificate ends, in seconds since 1970: RFC 5280, section 4.1, read just as far as that.
pub fn not_after(certificate: &[u8]) -> Option<i64> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    // version [0] (absent in version 1), serialNumber, signature, issuer, validity.
    let (tag, _, after_version) = element(fields)?;
    if tag == 0xa0 {
        fields = after_version;
    }
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields)?;
    let (tag, text, _) = element(element(validity)?.2)?;
    // UTCTime has two digits of the year, and means 1950 to 2049; GeneralizedTime has four.
    let digits: Vec<i64> = text.strip_suffix(b"Z")?.iter().map(|&byte| i64::from(byte) - 48).collect();
    if digits.iter().any(|digit| !(0..=9).contains(digit)) {
        return None;
    }
    let (year, rest) = match (tag, digits.as_slice()) {
        (0x17, [y1, y2, rest @ ..]) => (if *y1 < 5 { 2000 } else { 1900 } + y1 * 10 + y2, rest),
        (0x18, [y1, y2, y3, y4, rest @ ..]) => (y1 * 1000 + y2 * 100 + y3 * 10 + y4, rest),
        _ => return None,
    };
    let [month, day, hour, minute, second] = match rest {
        [a, b, c, d, e, f, g, h, i, j] => [a * 10 + b, c * 10 + d, e * 10 + f, g * 10 + h, i * 10 + j],
        _ => return None,
    };
    Some(days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Tag, content and what follows of a DER element.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (size, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if size.is_empty() || size.len() > 3 {
            return None;
        }
        (size.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
    };
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

/// Of the proleptic Gregorian calendar; years are taken to start in March, so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468
}
