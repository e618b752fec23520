//! Sizes: of things, of what may come, and of what goes in a second.

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

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
