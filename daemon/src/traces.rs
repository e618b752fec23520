//! Exports traces to an OpenTelemetry collector: OTLP over gRPC, in batches, from a thread of its
//! own. See [`gitmoor_instrument::trace`] for what is traced.

use crate::config::TraceSettings;
use gitmoor_instrument::trace::{self, Carrier, TraceContext};
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, SpanData, SpanExporter,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Spans that wait for the collector; more are dropped. A push of ten thousand objects has fewer.
const QUEUE: usize = 1 << 15;

/// How long spans wait for others to go with.
const DELAY: Duration = Duration::from_secs(1);

/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The export of traces. Dropping it sends what waits.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    // After the provider, whose last batch needs it.
    _runtime: Runtime,
}

/// Traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The address does not do.
    #[error("--otlp: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// No thread for it.
    #[error("starting the export of traces: {0}")]
    Runtime(#[from] std::io::Error),
}

impl Traces {
    /// Connects when the first span goes out: a collector may be started later.
    pub(crate) fn start(settings: &TraceSettings) -> Result<Self, TracesError> {
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().thread_name("otlp");
        let runtime = runtime.build()?;
        let exporter = {
            let _in_runtime = runtime.enter();
            let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic();
            let exporter = exporter.with_endpoint(settings.otlp.as_str());
            exporter.with_timeout(TIMEOUT).build()?
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_scheduled_delay(DELAY)
            .build();
        let processor = BatchSpanProcessor::builder(ReportingExporter::new(exporter));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor.with_batch_config(batches).build())
            .with_resource(resource())
            .build();
        trace::start(Box::new(Names));
        Ok(Self {
            provider,
            _runtime: runtime,
        })
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.provider.tracer("gitmoor")
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // What the exporter has to say about it, it has said.
        let _ = self.provider.shutdown_with_timeout(TIMEOUT);
    }
}

fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = KeyValue::new("host.name", host.trim_end().to_owned());
    let pid = KeyValue::new("process.pid", i64::from(std::process::id()));
    let resource = Resource::builder_empty().with_service_name("gitmoor");
    resource.with_attributes([version, host, pid]).build()
}

/// OpenTelemetry's names of spans.
struct Names;

impl Carrier for Names {
    fn context(&self, span: &Span) -> Option<TraceContext> {
        let context = span.context();
        let of = context.span();
        let named = of.span_context();
        named.is_valid().then(|| TraceContext {
            trace: named.trace_id().to_bytes(),
            span: named.span_id().to_bytes(),
        })
    }

    fn adopt(&self, span: &Span, parent: TraceContext) {
        let parent = SpanContext::new(
            TraceId::from_bytes(parent.trace),
            SpanId::from_bytes(parent.span),
            TraceFlags::SAMPLED,
            true,
            TraceState::default(),
        );
        let parent = Context::new().with_remote_span_context(parent);
        if let Err(error) = span.set_parent(parent) {
            tracing::debug!(%error, "a span stays without its parent");
        }
    }
}

/// An exporter that says when the collector does not take spans, and when it does again.
#[derive(Debug)]
struct ReportingExporter<E> {
    inner: E,
    failing: AtomicBool,
}

impl<E> ReportingExporter<E> {
    fn new(inner: E) -> Self {
        let failing = AtomicBool::new(false);
        Self { inner, failing }
    }
}

impl<E: SpanExporter> SpanExporter for ReportingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        let failed_before = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !failed_before => {
                tracing::warn!(%error, spans, "the collector takes no traces; these and later ones are lost until it does");
            }
            Ok(()) if failed_before => tracing::info!("the collector takes traces again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
