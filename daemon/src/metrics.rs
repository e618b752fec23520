//! `GET /metrics` in Prometheus' text format: whatever the crates registered at the
//! default registry, and which build this is.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prometheus::{Encoder, IntGaugeVec, Opts, TextEncoder};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Listens at the address and serves for the life of the runtime.
pub(crate) async fn serve(address: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(accept(listener));
    Ok(())
}

/// Registers the gauge that tells which build runs; its value is always 1.
pub(crate) fn register_build_info() {
    let options = Opts::new("gitmoor_build_info", "Which gitmoor this is; always 1.");
    let gauge =
        IntGaugeVec::new(options, &["version"]).expect("the metric's name and label are valid");
    gauge.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    // Registered twice only if one process starts two daemons, as a test may.
    let _ = prometheus::register(Box::new(gauge));
}

async fn accept(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream))),
            Err(error) => {
                tracing::warn!(%error, "a metrics connection was not accepted");
                // Out of descriptors: without a pause this loop would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: TcpStream) {
    let served = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a metrics connection ended early");
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => gathered(),
        _ => plain(StatusCode::NOT_FOUND, "there is only GET /metrics\n"),
    })
}

fn gathered() -> Response<Full<Bytes>> {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&prometheus::gather(), &mut text) {
        Ok(()) => {
            let content_type = encoder
                .format_type()
                .parse()
                .expect("a constant media type");
            let mut response = Response::new(Full::from(text));
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text.to_owned()));
    *response.status_mut() = status;
    response
}
