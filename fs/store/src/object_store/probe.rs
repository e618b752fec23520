//! Whether a store does what it must, tried on an object of its own: for `gitmoor doctor`.

use super::{Body, Listed, ObjectStore, Put, StoreError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;
use uuid::Uuid;

/// Under here, so that what a crash leaves can be told from everything else.
pub const PREFIX: &str = "gitmoor-probe/";

/// Bytes of the object: more than the range that is asked for.
const LEN: usize = 4096;

/// What a store that does it all is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// Whether a second put of a key leaves the first alone; else keys get digests.
    pub refuses_overwrite: bool,
    /// Seconds by which its clock is ahead of ours, to about one; negative when it is behind.
    pub ahead: i64,
}

/// Why a store does not pass the probe.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A request of the probe failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A request was answered, and wrongly.
    #[error("{store}: {what} of {key}")]
    Wrong {
        /// The store, as [`ObjectStore::describe`] names it.
        store: String,
        /// Key of the object that was probed.
        key: String,
        /// What the store did wrong.
        what: &'static str,
    },
}

/// Puts an object, reads it whole and in part, lists it, and removes it.
pub fn probe(store: &dyn ObjectStore) -> Result<Probed, ProbeError> {
    let key = format!("{PREFIX}{}", Uuid::new_v4());
    let probed = try_out(store, &key);
    // Whatever failed, nothing is left if that can be.
    let removed = store.delete(std::slice::from_ref(&key));
    let probed = probed?;
    removed?;
    match store.get_small(&key, 1) {
        Err(StoreError::NotFound { .. }) => Ok(probed),
        Err(error) => Err(error.into()),
        Ok(_) => Err(wrong(
            store,
            &key,
            "there is still something after the deletion",
        )),
    }
}

fn try_out(store: &dyn ObjectStore, key: &str) -> Result<Probed, ProbeError> {
    let fill = |seed: u8| Bytes::from_iter((0..LEN).map(|at| (at / 7) as u8 ^ seed));
    let bytes = fill(0);
    store.put(key, Body::Bytes(bytes.clone()))?;
    let put_at = SystemTime::now();
    let refuses_overwrite = store.refuses_overwrite();
    let again = store.put(key, Body::Bytes(fill(1)))?;
    if refuses_overwrite && again == Put::Stored {
        return Err(wrong(store, key, "a second put overwrote the first"));
    }
    let bytes = if refuses_overwrite { bytes } else { fill(1) };
    if store.get(key, 0..LEN as u64)? != bytes {
        return Err(wrong(store, key, "other bytes came back than were put"));
    }
    if store.get(key, 100..200)? != bytes.slice(100..200) {
        return Err(wrong(store, key, "a range gave other bytes than it has"));
    }
    Ok(Probed {
        refuses_overwrite,
        ahead: ahead_of(put_at, listed(store, key)?),
    })
}

/// Seconds by which the store's clock is ahead of ours, as in [`Probed::ahead`], by an object of its own.
pub fn ahead(store: &dyn ObjectStore) -> Result<i64, ProbeError> {
    let key = format!("{PREFIX}{}", Uuid::new_v4());
    store.put(&key, Body::Bytes(Bytes::from_static(b"?")))?;
    let put_at = SystemTime::now();
    let stored_at = listed(store, &key);
    store.delete(std::slice::from_ref(&key))?;
    Ok(ahead_of(put_at, stored_at?))
}

fn ahead_of(ours: SystemTime, theirs: SystemTime) -> i64 {
    match theirs.duration_since(ours) {
        Ok(ahead) => ahead.as_secs() as i64,
        Err(behind) => -(behind.duration().as_secs() as i64),
    }
}

/// When it was stored, by the store's clock.
fn listed(store: &dyn ObjectStore, wanted: &str) -> Result<SystemTime, ProbeError> {
    let mut found = None;
    store.list(PREFIX, &mut |listed| match listed {
        Listed::Object { key, modified, .. } if key == wanted => found = Some(modified),
        Listed::Object { .. } | Listed::Upload(_) => {}
    })?;
    found.ok_or_else(|| wrong(store, wanted, "a listing does not show it"))
}

fn wrong(store: &dyn ObjectStore, key: &str, what: &'static str) -> ProbeError {
    ProbeError::Wrong {
        store: store.describe(),
        key: key.to_owned(),
        what,
    }
}
