//! `dir:PATH` and `s3://bucket/prefix`.

use super::key;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a store is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreUrl {
    /// A directory of this machine.
    Dir(PathBuf),
    /// A bucket of an S3 service.
    S3 {
        /// Name of the bucket.
        bucket: String,
        /// What all keys begin with; no slash at its ends, may be empty.
        prefix: String,
    },
}

/// Not the URL of a store.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{url:?} is no store: {reason}; expected dir:PATH or s3://bucket/prefix")]
pub struct BadStoreUrl {
    url: String,
    reason: String,
}

impl FromStr for StoreUrl {
    type Err = BadStoreUrl;

    fn from_str(url: &str) -> Result<Self, BadStoreUrl> {
        let parsed = match url.split_once(':') {
            Some(("dir", "")) => Err("the path is empty"),
            Some(("dir", path)) => Ok(Self::Dir(PathBuf::from(path))),
            Some(("s3", rest)) => parse_s3(rest),
            _ => Err("it begins with neither dir: nor s3://"),
        };
        parsed.map_err(|reason| BadStoreUrl {
            url: url.to_string(),
            reason: reason.to_string(),
        })
    }
}

fn parse_s3(rest: &str) -> Result<StoreUrl, &'static str> {
    let rest = rest.strip_prefix("//").ok_or("there is no // after s3:")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(plain) {
        return Err("the bucket's name is not 3 to 63 letters, digits, dots and dashes");
    }
    match key::refuse(prefix) {
        Some(reason) if !prefix.is_empty() => Err(reason),
        _ => Ok(StoreUrl::S3 {
            bucket: bucket.to_string(),
            prefix: prefix.to_string(),
        }),
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}
