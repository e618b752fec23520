//! The certificate of a door. Its files are looked at every [`LOOK`], and read again when they have changed: who renews
//! a certificate need not restart anything. Files that cannot be used change nothing, and the log says so.

use parking_lot::RwLock;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

/// How often it is looked whether the files have changed.
const LOOK: Duration = Duration::from_secs(5);

/// What a client that speaks HTTP/2 names in its handshake.
pub(crate) const HTTP2: &[u8] = b"h2";

/// Where a certificate and its key are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The certificate and those above it, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// A certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// It has no certificate.
    #[error("{}: holds no certificate", .0.display())]
    Empty(PathBuf),
    /// Key and certificate do not belong together, or are of a kind that is not known.
    #[error(transparent)]
    Unusable(#[from] rustls::Error),
}

/// The certificate that is shown now.
#[derive(Debug)]
struct Certificate {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    shown: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read()))
    }
}

/// What a listener does with TLS; its certificate is kept current on this runtime.
pub(crate) fn server(files: TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let shown = RwLock::new(Arc::new(read(&files, &provider)?));
    let certificate = Arc::new(Certificate {
        files,
        provider: Arc::clone(&provider),
        shown,
    });
    tokio::spawn(keep_current(Arc::downgrade(&certificate)));
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

async fn keep_current(certificate: Weak<Certificate>) {
    let mut known = None;
    loop {
        let Some(certificate) = certificate.upgrade() else {
            return;
        };
        let now = certificate.stamps();
        // The first look is at what was read just before.
        if known.replace(now).is_some_and(|known| known != now) {
            certificate.read_again();
        }
        drop(certificate);
        tokio::time::sleep(LOOK).await;
    }
}

type Stamp = Option<(SystemTime, u64)>;

impl Certificate {
    fn stamps(&self) -> [Stamp; 2] {
        let stamp = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            Some((found.modified().ok()?, found.len()))
        };
        [&self.files.certificate, &self.files.key].map(|path| stamp(path))
    }

    fn read_again(&self) {
        match read(&self.files, &self.provider) {
            Ok(key) => {
                *self.shown.write() = Arc::new(key);
                tracing::info!(certificate = %self.files.certificate.display(), "the certificate of the HTTP door was read again");
            }
            Err(error) => {
                tracing::warn!(%error, "the certificate of the HTTP door has changed and cannot be used: the one before stays");
            }
        }
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate);
    let chain = chain.and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(wrong(&files.certificate))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(files.certificate.clone()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(wrong(&files.key))?;
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}
