//! TLS 1.3 in both directions, with the cluster's certificate as the only root.

use super::authority::Named;
use super::holder::any_node;
use super::presented::{Presented, provider, unusable};
use super::{ClusterId, Holder, NetError};
use std::sync::Arc;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// HTTP/2, which gRPC speaks.
const ALPN: &[u8] = b"h2";

/// For the listening side. Who has no certificate is let in, as a stranger, to ask for one;
/// a certificate that is wrong or expired ends the handshake.
pub(super) fn server(own: &Arc<Presented>) -> Result<ServerConfig, NetError> {
    let roots = roots(&own.identity().authority)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| NetError::credential("the cluster's certificate", error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(own.clone());
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// For the connecting side, with its certificate.
pub(super) fn client(own: &Arc<Presented>) -> Result<ClientConfig, NetError> {
    let config = trusting(&own.identity().authority)?;
    Ok(speaking_http2(
        config.with_client_cert_resolver(own.clone()),
    ))
}

/// For the connecting side that has none yet.
pub(super) fn stranger(authority: &CertificateDer<'static>) -> Result<ClientConfig, NetError> {
    Ok(speaking_http2(trusting(authority)?.with_no_client_auth()))
}

/// Who of a cluster is at the other end of a connection: `None` shows no certificate.
pub(super) fn peer(
    certificates: Option<&[CertificateDer<'_>]>,
    cluster: ClusterId,
) -> Result<Option<Holder>, NetError> {
    let Some(certificate) = certificates.and_then(|chain| chain.first()) else {
        return Ok(None);
    };
    let named = Named::of(certificate)?;
    match named.cluster == cluster {
        true => Ok(Some(named.holder)),
        false => Err(NetError::credential("a certificate", "of another cluster")),
    }
}

/// The name by which a node is checked, whatever its address.
pub(super) fn node_name(cluster: ClusterId, node: u64) -> ServerName<'static> {
    server_name(Holder::Node(node).name(cluster))
}

/// The name by which any node of a cluster is checked.
pub(super) fn any_node_name(cluster: ClusterId) -> ServerName<'static> {
    server_name(any_node(cluster))
}

fn server_name(name: String) -> ServerName<'static> {
    name.try_into().expect("our own names are DNS names")
}

type Trusting = tokio_rustls::rustls::ConfigBuilder<
    ClientConfig,
    tokio_rustls::rustls::client::WantsClientCert,
>;

fn trusting(authority: &CertificateDer<'static>) -> Result<Trusting, NetError> {
    let roots = roots(authority)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider())
        .build()
        .map_err(|error| NetError::credential("the cluster's certificate", error))?;
    Ok(ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .with_webpki_verifier(verifier))
}

fn speaking_http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN.to_vec()];
    config
}

fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore, NetError> {
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.clone())
        .map_err(|error| NetError::credential("the cluster's certificate", error))?;
    Ok(roots)
}
