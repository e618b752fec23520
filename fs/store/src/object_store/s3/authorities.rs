//! Who may vouch for the server: those whom the system trusts, or those in a file.
#![expect(
    clippy::disallowed_methods,
    reason = "the administrator names the file"
)]

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use std::path::Path;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// Those in a file of certificates (PEM) and nobody else. Fails when there is none, or one that is unusable, which the
/// SDK would panic about.
pub(super) fn from_file(path: &Path) -> Result<TlsContext, String> {
    let wrong = |error: &dyn std::fmt::Display| {
        format!(
            "s3.ca-bundle {}: {error}; expected a file of certificates in PEM form",
            path.display()
        )
    };
    let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"there is no certificate in it"));
    }
    let trusted = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(trusted).build();
    context.map_err(|error| wrong(&error))
}
