//! The settings file.

use super::{ConfigError, Layer};
use std::path::Path;

/// The parser goes into each brace, however many there are, until the stack is
/// at its end. The settings need one pair.
const MOST_BRACES: usize = 100;

/// Reads and parses a TOML file. Unknown keys are errors: a misspelt setting must
/// not be silently without effect.
pub fn read_file(file: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
        file: file.to_owned(),
        source,
    })?;
    let wrong = |reason| ConfigError::File {
        file: file.to_owned(),
        reason,
    };
    if text.matches('{').count() > MOST_BRACES {
        return Err(wrong(format!("it has more than {MOST_BRACES} braces")));
    }
    toml::from_str(&text).map_err(|error| wrong(describe(&text, error)))
}

/// What is wrong, where. TOML's own message quotes the line, which would print a
/// secret that stands on it.
fn describe(text: &str, error: toml::de::Error) -> String {
    let Some(span) = error.span() else {
        return error.message().to_owned();
    };
    let start = span.start.min(text.len());
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let number = text[..line_start].matches('\n').count() + 1;
    let line = text[line_start..].lines().next().unwrap_or_default();
    match line.split_once('=') {
        Some((key, _)) => format!("line {number}, key {}: {}", key.trim(), error.message()),
        None => format!("line {number}, {}: {}", line.trim(), error.message()),
    }
}
