//! From a URL to a store that is known to work.

use super::metrics::Metered;
use super::read_only::ReadOnly;
use super::{DirStore, ObjectStore, S3Config, S3Settings, S3Store, StoreError, StoreUrl, marker};
use std::sync::Arc;
use tokio::runtime::Handle;

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// It does not answer, or refuses us.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A newer program wrote it.
    #[error(
        "{store} has format {found}, this program knows {known}: use a newer Gitmoor, or another prefix"
    )]
    UnknownFormat {
        /// The store, as [`ObjectStore::describe`] names it.
        store: String,
        /// What its marker says.
        found: u64,
        /// The format that this version knows.
        known: u64,
    },
    /// Something else has this name.
    #[error("{store} has a gitmoor-format that is none of ours ({reason}): use another prefix")]
    BadMarker {
        /// The store, as [`ObjectStore::describe`] names it.
        store: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody has stored anything there yet.
    #[error(
        "{store} holds nothing of Gitmoor's, and a read-only mount begins no store: is it the right \
         one? If so mount it once without --read-only"
    )]
    NotBegun {
        /// The store, as [`ObjectStore::describe`] names it.
        store: String,
    },
    /// The settings do not suffice.
    #[error("{store}: {reason}")]
    Settings {
        /// The URL of the store, without secrets.
        store: String,
        /// What is missing, and how to give it.
        reason: String,
    },
}

/// By what an opened store is known, wherever it is reached.
pub fn id(store: &dyn ObjectStore) -> Result<String, StoreOpenError> {
    Ok(marker::id(store)?.to_string())
}

/// A directory has no line to a server that could be limited.
fn refuse_limits(url: &StoreUrl, s3: &S3Settings) -> Result<(), StoreOpenError> {
    match url {
        StoreUrl::Dir(_) if s3.bandwidth.limits() != (None, None) => {
            Err(StoreOpenError::Settings {
                store: url.to_string(),
                reason: "upload-limit and download-limit are for s3:// stores; leave them out"
                    .to_owned(),
            })
        }
        StoreUrl::Dir(_) | StoreUrl::S3 { .. } => Ok(()),
    }
}

/// Opens a store, counted on the default Prometheus registry. For S3 it answers within
/// about 10 seconds whether the bucket can be used; requests run on `runtime`, which must
/// have its I/O and time drivers on. Blocks: not to be called from a task of a runtime.
pub fn open(
    url: &StoreUrl,
    s3: S3Settings,
    runtime: Handle,
) -> Result<Arc<dyn ObjectStore>, StoreOpenError> {
    refuse_limits(url, &s3)?;
    match url {
        StoreUrl::Dir(path) => {
            let store = DirStore::open(path)?;
            marker::settle(&store)?;
            Ok(Arc::new(Metered::new(store, "dir")))
        }
        StoreUrl::S3 { bucket, prefix } => {
            let (bucket, prefix) = (bucket.clone(), prefix.clone());
            let store = S3Store::connect(
                S3Config {
                    bucket,
                    prefix,
                    settings: s3,
                },
                runtime,
            )?;
            Ok(Arc::new(Metered::new(store, "s3")))
        }
    }
}

/// The same for reading alone: nothing is written, not even to find out what the store can do.
pub fn open_read_only(
    url: &StoreUrl,
    s3: S3Settings,
    runtime: Handle,
) -> Result<Arc<dyn ObjectStore>, StoreOpenError> {
    refuse_limits(url, &s3)?;
    let store: Arc<dyn ObjectStore> = match url {
        StoreUrl::Dir(path) => {
            let store = DirStore::open(path)?;
            marker::check(&store)?;
            Arc::new(Metered::new(store, "dir"))
        }
        StoreUrl::S3 { bucket, prefix } => {
            let (bucket, prefix) = (bucket.clone(), prefix.clone());
            let config = S3Config {
                bucket,
                prefix,
                settings: s3,
            };
            let store = S3Store::connect_read_only(config, runtime)?;
            Arc::new(Metered::new(store, "s3"))
        }
    };
    Ok(Arc::new(ReadOnly(store)))
}
