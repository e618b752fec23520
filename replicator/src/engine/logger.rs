//! Raft logs through slog; this hands it on to tracing.
//!
//! What raft calls "info" is debugging to everyone else.

use slog::{Drain, KV, Level, Logger, Never, OwnedKVList, Record, Serializer};
use std::fmt;

const TARGET: &str = "raft";

/// A logger whose lines arrive in tracing.
pub(super) fn to_tracing() -> Logger {
    Logger::root(Tracing, slog::o!())
}

struct Tracing;

impl Drain for Tracing {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, context: &OwnedKVList) -> Result<(), Never> {
        match record.level() {
            Level::Critical | Level::Error => {
                tracing::error!(target: TARGET, "{}", Line(record, context));
            }
            Level::Warning => tracing::warn!(target: TARGET, "{}", Line(record, context)),
            Level::Info | Level::Debug => {
                tracing::debug!(target: TARGET, "{}", Line(record, context));
            }
            Level::Trace => tracing::trace!(target: TARGET, "{}", Line(record, context)),
        }
        Ok(())
    }
}

/// The message and its fields. Formatted only if someone listens.
struct Line<'a>(&'a Record<'a>, &'a OwnedKVList);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.msg())?;
        let mut fields = Fields(f);
        let written = self.0.kv().serialize(self.0, &mut fields);
        written
            .and_then(|()| self.1.serialize(self.0, &mut fields))
            .map_err(|_| fmt::Error)
    }
}

struct Fields<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Serializer for Fields<'_, '_> {
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        Ok(write!(self.0, " {key}={value}")?)
    }
}
