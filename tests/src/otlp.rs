//! A collector of OpenTelemetry's traces: OTLP over gRPC, as a real one takes it.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Takes what daemons send, for as long as it lives.
pub struct Collector {
    address: SocketAddr,
    spans: Spans,
    _runtime: Runtime,
}

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

#[async_trait::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        self.0.lock().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens on a port of its own.
    pub fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("is bound");
        let spans = Spans::default();
        let service = TraceServiceServer::new(spans.clone());
        let server = Server::builder().add_service(service);
        runtime.spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Self {
            address,
            spans,
            _runtime: runtime,
        }
    }

    /// What a daemon's settings say of it; a section, so the last of them.
    pub fn toml(&self) -> String {
        format!("[traces]\notlp = \"http://{}\"\n", self.address)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.0.lock().clone()
    }

    /// Those of one trace.
    pub fn trace(&self, id: &[u8]) -> Vec<Span> {
        let of = |span: &Span| span.trace_id == id;
        self.spans().into_iter().filter(of).collect()
    }

    /// The first root of this name that has ended.
    pub fn root(&self, name: &str) -> Option<Span> {
        let is_it = |span: &Span| span.parent_span_id.is_empty() && span.name == name;
        self.spans().into_iter().find(is_it)
    }
}

/// An attribute of a span, as text; empty without it.
pub fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|it| it.key == key);
    match found.and_then(|it| it.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}
