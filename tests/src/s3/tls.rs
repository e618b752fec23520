//! HTTPS in front of a server that speaks HTTP, with a certificate of its own making.

use rcgen::CertifiedKey;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The front; it stops when dropped.
pub struct Tls {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Tls {
    /// Forwards to `behind`, and writes the certificate for clients to `pem`.
    pub fn start(behind: SocketAddr, pem: &Path) -> Tls {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        std::fs::write(pem, cert.pem()).expect("the certificate is written");
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("they belong together");
        let runtime = Runtime::new().expect("a runtime starts");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        runtime.spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            behind,
        ));
        Tls {
            address,
            runtime: Some(runtime),
        }
    }

    /// `https://127.0.0.1:…`.
    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, behind: SocketAddr) {
    while let Ok((client, _)) = listener.accept().await {
        let tls = tls.clone();
        tokio::spawn(async move {
            // An error is a client that left, or does not trust us.
            let mut client = tls.accept(client).await?;
            let mut server = TcpStream::connect(behind).await?;
            copy_bidirectional(&mut client, &mut server).await
        });
    }
}
