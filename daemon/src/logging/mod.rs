//! The log: lines on standard error, which `mount` points at the log file when it
//! starts the daemon in the background.
//!
//! Users cause lines: a damaged file, an operation that is slow. So each place in the code may write
//! so many lines a minute ([`limit::LINES`]) and no more: nobody fills the disk with the log, or hides one
//! line among a million others. A line of its own says how many were left out. Names that users choose stand in lines,
//! and none begins another line.

mod limit;

use crate::config::{LogFormat, LogSettings};
use crate::traces::Traces;
use gitmoor_instrument::trace::TARGET;
use limit::Limit;
use std::io::IsTerminal;
use tracing::Subscriber;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// Starts logging for the rest of the process, panics included; and gives the spans of traces to
/// those who export them.
pub(crate) fn start(settings: &LogSettings, traces: Option<&Traces>) {
    let filter = EnvFilter::try_new(settings.filter.as_str())
        .expect("a LogFilter is valid once constructed")
        // It warns that it cannot unmount what we have unmounted already.
        .add_directive("fuser::mnt=error".parse().expect("a valid directive"));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match settings.format {
        LogFormat::Text => lines.fmt_fields(one_line()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let limit = Limit::default();
    let lines = lines.with_filter(limit.clone());
    match traces {
        // The lines' filter is then everybody's, and what it does not want costs nothing.
        None => Registry::default().with(lines).with(filter).init(),
        Some(traces) => Registry::default()
            .with(lines.with_filter(filter))
            .with(exported(traces))
            .init(),
    }
    limit
        .keep_renewing()
        .expect("a process that gets no thread now could not mount either");
    log_panics();
}

/// Fields without control characters, but for the lines of a backtrace.
fn one_line() -> impl for<'w> FormatFields<'w> + Send + Sync + 'static {
    let fields = format::debug_fn(|writer, field, value| {
        let text = format!("{value:?}");
        let text = match field.name() {
            "backtrace" => text,
            _ => text.replace(char::is_control, "\u{fffd}"),
        };
        match field.name() {
            "message" => write!(writer, "{text}"),
            name => write!(writer, "{name}={text}"),
        }
    });
    fields.delimited(" ")
}

fn exported<S>(traces: &Traces) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer());
    let layer = layer.with_location(false).with_threads(false);
    // When a span was entered and left says nothing here, and costs two looks at the clock.
    let layer = layer.with_tracked_inactivity(false);
    // Its events are lines of the log already.
    let steps = filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET);
    layer.with_filter(steps)
}

/// A panic in one thread would otherwise be a bare paragraph between JSON lines.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(%panic, %backtrace, "a thread panicked; this is a defect of gitmoor");
    }));
}
