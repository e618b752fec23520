//! Who this machine says it is. Its certificate may be made anew while it runs: connections that begin after that
//! show the new one, those that are open go on.

use super::{Identity, NetError};
use parking_lot::RwLock;
use std::sync::Arc;
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

#[derive(Debug)]
pub(super) struct Presented(RwLock<Current>);

#[derive(Debug)]
struct Current {
    identity: Arc<Identity>,
    key: Arc<CertifiedKey>,
}

impl Current {
    fn new(identity: Identity) -> Result<Self, NetError> {
        Ok(Self {
            key: Arc::new(certified(&identity)?),
            identity: Arc::new(identity),
        })
    }
}

impl Presented {
    pub(super) fn new(identity: Identity) -> Result<Arc<Self>, NetError> {
        Ok(Arc::new(Self(RwLock::new(Current::new(identity)?))))
    }

    /// From now on; it is the same machine of the same cluster.
    pub(super) fn present(&self, renewed: Identity) -> Result<(), NetError> {
        let now = self.identity();
        assert!(
            (renewed.holder, renewed.cluster) == (now.holder, now.cluster),
            "a machine is one holder for as long as it runs"
        );
        *self.0.write() = Current::new(renewed)?;
        Ok(())
    }

    pub(super) fn identity(&self) -> Arc<Identity> {
        self.0.read().identity.clone()
    }

    fn key(&self) -> Arc<CertifiedKey> {
        self.0.read().key.clone()
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }
}

impl ResolvesClientCert for Presented {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// What a machine shows, and signs with.
fn certified(identity: &Identity) -> Result<CertifiedKey, NetError> {
    let chain = vec![identity.certificate.clone()];
    CertifiedKey::from_der(chain, identity.key.clone_key(), &provider()).map_err(unusable)
}

/// The cryptography that both sides of a connection use.
pub(super) fn provider() -> Arc<CryptoProvider> {
    ring::default_provider().into()
}

pub(super) fn unusable(error: tokio_rustls::rustls::Error) -> NetError {
    NetError::credential("this node's certificate", error)
}
