//! Types of single values. Each is valid once constructed, parses from the same
//! text in every source, and says what it expects when it does not.

use super::setting::text_values;
use gitmoor_store::object_store::StoreUrl;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
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
    SocketAddr: "ADDRESS:PORT",
    String: "text",
    usize: "number",
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

/// A number of bytes: `4096`, `500MB` (decimal), `10GiB` (binary).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// Units by their factor; the empty one is a plain number.
const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KIB", 1 << 10),
    ("MIB", 1 << 20),
    ("GIB", 1 << 30),
    ("TIB", 1 << 40),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim().to_ascii_uppercase();
        let factor = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| factor);
        number
            .parse::<u64>()
            .ok()
            .zip(factor)
            .and_then(|(number, factor)| number.checked_mul(*factor))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no size; expected bytes such as 500MB or 10GiB"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
        let mut unit = units.next().unwrap_or_default();
        for next in units {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        if unit == "B" {
            write!(f, "{value} B")
        } else {
            write!(f, "{value:.1} {unit}")
        }
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expecting = "a number of bytes, or a string such as \"10GiB\"";
        from.deserialize_any(SizeVisitor::new(expecting))
    }
}

/// For what is a plain number of bytes in TOML, or a text.
struct SizeVisitor<T> {
    expecting: &'static str,
    of: PhantomData<T>,
}

impl<T> SizeVisitor<T> {
    fn new(expecting: &'static str) -> Self {
        let of = PhantomData;
        Self { expecting, of }
    }
}

impl<T: From<ByteSize> + FromStr<Err = String>> Visitor<'_> for SizeVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        let bytes =
            u64::try_from(value).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))?;
        Ok(ByteSize(bytes).into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<T, E> {
        value.parse().map_err(E::custom)
    }
}

/// At most so many bytes: a size as [`ByteSize`] has it, or `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeLimit {
    /// At most this many.
    AtMost(ByteSize),
    /// Whatever the disk holds.
    Unlimited,
}

impl SizeLimit {
    /// Bytes; `None` is no limit.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Self::AtMost(size) => Some(size.0),
            Self::Unlimited => None,
        }
    }
}

impl FromStr for SizeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "unlimited" => Ok(Self::Unlimited),
            _ => text
                .parse()
                .map(Self::AtMost)
                .map_err(|error: String| format!("{error}, or \"unlimited\"")),
        }
    }
}

impl From<ByteSize> for SizeLimit {
    fn from(size: ByteSize) -> Self {
        Self::AtMost(size)
    }
}

impl<'de> Deserialize<'de> for SizeLimit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expecting = "a number of bytes, a string such as \"10GiB\", or \"unlimited\"";
        from.deserialize_any(SizeVisitor::new(expecting))
    }
}

/// Bytes a second, of which there are enough for a store to be of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate(ByteSize);

impl ByteRate {
    // A block of the cache, 1 MiB, takes a quarter of a minute then.
    const LEAST: ByteSize = ByteSize(64 << 10);

    /// How many.
    pub fn bytes(self) -> u64 {
        self.0.0
    }
}

impl TryFrom<ByteSize> for ByteRate {
    type Error = String;

    fn try_from(size: ByteSize) -> Result<Self, String> {
        match size.0 >= Self::LEAST.0 {
            true => Ok(Self(size)),
            false => Err(format!(
                "{} bytes a second are too few; expected at least 64KiB",
                size.0
            )),
        }
    }
}

impl FromStr for ByteRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<ByteSize>()?.try_into()
    }
}

impl<'de> Deserialize<'de> for ByteRate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        ByteSize::deserialize(from)?
            .try_into()
            .map_err(D::Error::custom)
    }
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
