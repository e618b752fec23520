//! Types of single values. Each is valid once constructed, parses from the same
//! text in every source, and says what it expects when it does not.

use super::setting::text_values;
use super::size::{ByteRate, ByteSize, SizeLimit};
use gitmoor_store::object_store::StoreUrl;
use serde::de::{Deserialize, Deserializer, Error};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

text_values! {
    ByteSize: "size: bytes, such as 500MB or 10GiB",
    ByteRate: "size, such as 500KB or 10MiB, at least 64KiB",
    SizeLimit: "size, such as 10GiB, or unlimited",
    Seconds: "time, such as 500ms, 30s, 5m, 12h or 7d",
    LogFormat: "text or json",
    MissingHooks: "refuse or warn",
    LogFilter: "error, warn, info, debug, trace, or target=level,…",
    OtlpUrl: "http://HOST:PORT",
    Ratio: "number, 0 to 1",
    Addresses: "HOST:PORT,…",
    Sse: "s3 or kms",
    StoreUrl: "dir:PATH or s3://BUCKET[/PREFIX]",
    IpAddr: "address, such as 127.0.0.1 or ::1",
    SocketAddr: "ADDRESS:PORT",
    String: "text",
    usize: "number",
    NonZeroU32: "number, at least 1",
    NonZeroUsize: "number, at least 1",
}

/// Gives a type that parses from text the same form in TOML.
macro_rules! deserialize_from_text {
    ($type:ty) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

/// A duration with its unit: `30s`, `5m`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|_| format!("{text:?} is no duration; expected one such as 30s or 5m"))
    }
}

deserialize_from_text!(Seconds);

/// A point in time: `2026-03-01`, `2026-03-01 12:00:00` (UTC), or a duration before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This long before now.
    Ago(Duration),
    /// Then: seconds since 1970.
    At(i64),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day = format!("{text}T00:00:00Z");
        let at = [text, &day]
            .into_iter()
            .find_map(|text| humantime::parse_rfc3339_weak(text).ok());
        let seconds = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        if let Some(seconds) = seconds {
            return Ok(Self::At(seconds.as_secs().cast_signed()));
        }
        humantime::parse_duration(text).map(Self::Ago).map_err(|_| {
            format!("{text:?} is no time; expected 2026-03-01, 2026-03-01T12:00:00Z, or 7d for a week ago")
        })
    }
}

impl Moment {
    /// Seconds since 1970, if it is this now.
    pub fn seconds(self, now: SystemTime) -> i64 {
        match self {
            Self::At(seconds) => seconds,
            Self::Ago(ago) => {
                let then = now.checked_sub(ago).unwrap_or(UNIX_EPOCH);
                let since = then.duration_since(UNIX_EPOCH).unwrap_or_default();
                since.as_secs().cast_signed()
            }
        }
    }
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        clap::ValueEnum::from_str(text, false)
            .map_err(|_| format!("{text:?} is no log format; expected \"text\" or \"json\""))
    }
}

deserialize_from_text!(LogFormat);

/// What becomes of a push to a repository that lacks a hook here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingHooks {
    /// It moves no ref.
    Refuse,
    /// It is taken, and the log says so.
    Warn,
}

impl FromStr for MissingHooks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "refuse" => Ok(Self::Refuse),
            "warn" => Ok(Self::Warn),
            _ => Err(format!(
                "{text:?} does not say what becomes of a push; expected \"refuse\" or \"warn\""
            )),
        }
    }
}

deserialize_from_text!(MissingHooks);

/// How an S3 server is to encrypt what it stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sse {
    /// With keys of its own.
    S3,
    /// With keys of a key management service.
    Kms,
}

impl FromStr for Sse {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "s3" => Ok(Self::S3),
            "kms" => Ok(Self::Kms),
            _ => Err(format!(
                "{text:?} is no encryption; expected \"s3\" or \"kms\""
            )),
        }
    }
}

deserialize_from_text!(Sse);

/// Which log lines are written: a level, or `target=level` parts with commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// In the form that tracing-subscriber reads.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A bare word that is no level would be taken for a target by tracing-subscriber:
/// `--log-level verbose` would silence everything else without a word.
fn is_directive(part: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    part.contains('=') || LEVELS.contains(&part.to_ascii_lowercase().as_str())
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = text.split(',').all(|part| is_directive(part.trim()))
            && tracing_subscriber::EnvFilter::try_new(text).is_ok();
        valid.then(|| Self(text.to_owned())).ok_or_else(|| {
            format!(
                "{text:?} is no log level; expected error, warn, info, debug, trace, or \
                 target=level parts with commas between them"
            )
        })
    }
}

deserialize_from_text!(LogFilter);

/// An OpenTelemetry collector: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpUrl(String);

impl OtlpUrl {
    /// The URL as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OtlpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'));
        let parts = address.and_then(|address| address.rsplit_once(':'));
        let is_valid = |(host, port): (&str, &str)| {
            let plain = |c: char| c.is_ascii_alphanumeric() || ".-_[]:".contains(c);
            !host.is_empty() && host.chars().all(plain) && port.parse::<u16>().is_ok()
        };
        parts
            .is_some_and(is_valid)
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| {
                format!(
                    "{text:?} is no collector; expected http://HOST:PORT (OTLP over gRPC, without \
                     TLS: one on this machine, which passes traces on)"
                )
            })
    }
}

deserialize_from_text!(OtlpUrl);

/// A part of all: 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(f64);

impl Ratio {
    /// The ratio, from 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Ratio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = text.parse::<f64>().ok();
        let part = part.and_then(|part| Self::try_from(part).ok());
        part.ok_or_else(|| format!("{text:?} is no part of all; expected 0 to 1, such as 0.1"))
    }
}

impl TryFrom<f64> for Ratio {
    type Error = String;

    fn try_from(part: f64) -> Result<Self, String> {
        match (0.0..=1.0).contains(&part) {
            true => Ok(Self(part)),
            false => Err(format!(
                "{part} is no part of all; expected 0 to 1, such as 0.1"
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        f64::deserialize(from)?.try_into().map_err(D::Error::custom)
    }
}

/// A secret that does not show in `Debug`.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret, which `Debug` does not show.
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself, for the one place that sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where nodes of a cluster are: `host:port`, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(pub Vec<String>);

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let addresses: Vec<_> = text.split(',').map(|one| one.trim().to_owned()).collect();
        match addresses.iter().find(|one| !is_address(one)) {
            None => Ok(Self(addresses)),
            Some(_) => Err(format!(
                "{text:?} is no list of nodes; expected host:port,… such as a:7400,b:7400,c:7400"
            )),
        }
    }
}

deserialize_from_text!(Addresses);

/// host:port.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_name = |host: &str| {
        !host.is_empty()
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    };
    let is_host = is_name(host) || text.parse::<std::net::SocketAddrV6>().is_ok();
    is_host && port.parse::<u16>().is_ok_and(|port| port != 0)
}
