//! The one place that knows which replicator and which object stores there are.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Stand-in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct StoreUrl(String);

impl TryFrom<String> for StoreUrl {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for StoreUrl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("dir:") || text.starts_with("s3://") {
            Ok(Self(text.into()))
        } else {
            Err(format!(
                "{text:?} is no store; expected dir:PATH or s3://bucket/prefix"
            ))
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StoreUrl {
    pub(crate) fn absolute(self) -> Result<Self, (PathBuf, std::io::Error)> {
        Ok(self)
    }
}

/// Stand-in.
#[derive(Clone, Debug, Default)]
pub struct S3Settings {}

impl From<crate::config::S3Layer> for S3Settings {
    fn from(_: crate::config::S3Layer) -> Self {
        Self {}
    }
}

/// Stand-in.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// Stand-in.
    #[error("s3 is not built in yet")]
    NotYet,
    /// Stand-in.
    #[error(transparent)]
    Dir(#[from] gitmoor_fs::store::StoreError),
}

pub(super) fn open_store(
    url: &StoreUrl,
    _s3: &S3Settings,
    _runtime: &tokio::runtime::Handle,
) -> Result<Arc<dyn gitmoor_fs::store::ObjectStore>, StoreOpenError> {
    match url.0.strip_prefix("dir:") {
        Some(path) => Ok(Arc::new(gitmoor_fs::store::DirStore::open(path)?)),
        None => Err(StoreOpenError::NotYet),
    }
}
