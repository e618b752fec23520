//! What a repository may be limited to with `gitmoor repo limit`, as it is typed and shown.

use crate::config::{ByteSize, Seconds};
use gitmoor_model::Limit;
use std::str::FromStr;
use std::time::Duration;

/// A limit by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitName(pub Limit);

const LIMITS: [Limit; 4] = [
    Limit::Bytes,
    Limit::Refs,
    Limit::AuditRecords,
    Limit::AuditKeep,
];

impl FromStr for LimitName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = LIMITS.into_iter().find(|limit| name(*limit) == text);
        known.map(Self).ok_or_else(|| {
            let names = LIMITS.map(name).join(", ");
            format!("{text:?} is no limit; expected one of {names}")
        })
    }
}

/// As it is typed.
pub(crate) fn name(limit: Limit) -> &'static str {
    match limit {
        Limit::AuditRecords => "audit-records",
        Limit::AuditKeep => "audit-keep",
        Limit::Bytes => "bytes",
        Limit::Refs => "refs",
    }
}

/// Reads a value, in the form that belongs to the limit.
pub(crate) fn parse(limit: Limit, text: &str) -> Result<u64, String> {
    match limit {
        Limit::Bytes => text.parse().map(|ByteSize(bytes)| bytes),
        Limit::AuditRecords | Limit::Refs => text
            .parse()
            .map_err(|_| format!("{text:?} is no number; expected one such as 10000")),
        Limit::AuditKeep => text.parse().map(|Seconds(keep)| keep.as_secs()),
    }
}

/// The value as it could be typed.
pub(crate) fn show(limit: Limit, value: u64) -> String {
    match limit {
        Limit::Bytes | Limit::Refs | Limit::AuditRecords => value.to_string(),
        Limit::AuditKeep => humantime::format_duration(Duration::from_secs(value)).to_string(),
    }
}
