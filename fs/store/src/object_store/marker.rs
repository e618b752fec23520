//! The format marker: `gitmoor-format` at the top of a store, a JSON object with
//! the version of the layout and the store's own id. A store of a version that
//! this program does not know is left alone.

use super::{Body, ObjectStore, StoreError, StoreOpenError};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(super) const KEY: &str = "gitmoor-format";

/// The layout this program reads and writes.
const FORMAT: u64 = 1;

/// More than any marker has.
const LIMIT: u64 = 4096;

#[derive(Serialize, Deserialize)]
struct Marker {
    format: u64,
    store: Uuid,
}

/// Only what every version has.
#[derive(Deserialize)]
struct AnyMarker {
    format: u64,
}

/// Checks the marker, after writing one if there is none. Answers its bytes.
pub(super) fn settle(store: &dyn ObjectStore) -> Result<Bytes, StoreOpenError> {
    match store.get_small(KEY, LIMIT) {
        Err(StoreError::NotFound { .. }) => checked(store, create(store)?),
        read => checked(store, read?),
    }
}

/// Checks the marker, which must be there.
pub(super) fn check(store: &dyn ObjectStore) -> Result<(), StoreOpenError> {
    match store.get_small(KEY, LIMIT) {
        Err(StoreError::NotFound { store, .. }) => Err(StoreOpenError::NotBegun { store }),
        read => checked(store, read?).map(drop),
    }
}

fn checked(store: &dyn ObjectStore, bytes: Bytes) -> Result<Bytes, StoreOpenError> {
    let any: AnyMarker = parse(store, &bytes)?;
    if any.format != FORMAT {
        let (found, known) = (any.format, FORMAT);
        return Err(StoreOpenError::UnknownFormat {
            store: store.describe(),
            found,
            known,
        });
    }
    parse::<Marker>(store, &bytes)?;
    Ok(bytes)
}

/// The id of a store that [`settle`] has settled.
pub(super) fn id(store: &dyn ObjectStore) -> Result<Uuid, StoreOpenError> {
    Ok(parse::<Marker>(store, &store.get_small(KEY, LIMIT)?)?.store)
}

fn parse<T: DeserializeOwned>(store: &dyn ObjectStore, bytes: &[u8]) -> Result<T, StoreOpenError> {
    serde_json::from_slice(bytes).map_err(|error| StoreOpenError::BadMarker {
        store: store.describe(),
        reason: error.to_string(),
    })
}

/// Two mounts may do this at once: what counts is what stands there afterwards.
fn create(store: &dyn ObjectStore) -> Result<Bytes, StoreError> {
    let marker = Marker {
        format: FORMAT,
        store: Uuid::new_v4(),
    };
    let json = serde_json::to_vec(&marker).expect("a number and a uuid are JSON");
    store.put(KEY, Body::Bytes(Bytes::from(json)))?;
    store.get_small(KEY, LIMIT)
}
