//! The log: lines on standard error, which `mount` points at the log file when it
//! starts the daemon in the background.

use crate::config::{LogFormat, LogSettings};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging for the rest of the process, panics included.
pub(crate) fn start(settings: &LogSettings) {
    let filter = EnvFilter::try_new(settings.filter.as_str())
        .expect("a LogFilter is valid once constructed")
        // It warns that it cannot unmount what we have unmounted already.
        .add_directive("fuser::mnt=error".parse().expect("a valid directive"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match settings.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    log_panics();
}

/// A panic in one thread would otherwise be a bare paragraph between JSON lines.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(%panic, %backtrace, "a thread panicked; this is a defect of gitmoor");
    }));
}
