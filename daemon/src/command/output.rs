//! Printing facts, for people or as JSON.

use serde::Serialize;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

/// Prints one JSON document.
pub(super) fn json(facts: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, facts)?;
    writeln!(out)
}

/// Prints `name  value` lines with the values below each other.
pub(super) fn fields(fields: &[(&str, String)]) -> io::Result<()> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut out = io::stdout().lock();
    for (name, value) in fields {
        writeln!(out, "{name:width$}  {}", one_line(value))?;
    }
    Ok(())
}

/// No name that a user chose passes for another line, or moves the cursor of a terminal.
pub(super) fn one_line(text: &str) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// RFC 3339, to the second.
pub(super) fn date(seconds: i64) -> impl std::fmt::Display {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    // Farther in the future than humantime prints is as good as never.
    let last = Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since.min(last))
}

pub(super) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", one_line(&text.to_string()))
}
