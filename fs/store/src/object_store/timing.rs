//! How quick a store is, tried on objects of its own: for `gitmoor bench`.

use super::probe::PREFIX;
use super::{Body, ObjectStore, StoreError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Small objects are put and read one after the other; the median counts.
const SMALL_ROUNDS: usize = 9;
const SMALL: usize = 4 << 10;
/// As large as what readahead asks for at a time.
const LARGE_ROUNDS: usize = 3;
const LARGE: usize = 4 << 20;

/// Medians of requests one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreTimes {
    /// Microseconds to put an object of 4 KiB.
    pub small_put: u64,
    /// Microseconds to read it.
    pub small_get: u64,
    /// Microseconds to put an object of 4 MiB.
    pub large_put: u64,
    /// Microseconds to read it.
    pub large_get: u64,
}

/// Puts objects, reads them and removes them again.
pub fn time(store: &dyn ObjectStore) -> Result<StoreTimes, StoreError> {
    let mut keys = Vec::new();
    let timed = time_all(store, &mut keys);
    // Whatever failed, nothing is left if that can be.
    let removed = store.delete(&keys);
    let timed = timed?;
    removed?;
    Ok(timed)
}

fn time_all(store: &dyn ObjectStore, keys: &mut Vec<String>) -> Result<StoreTimes, StoreError> {
    let [small_put, small_get] = time_some(store, keys, SMALL_ROUNDS, SMALL)?;
    let [large_put, large_get] = time_some(store, keys, LARGE_ROUNDS, LARGE)?;
    Ok(StoreTimes {
        small_put,
        small_get,
        large_put,
        large_get,
    })
}

fn time_some(
    store: &dyn ObjectStore,
    keys: &mut Vec<String>,
    rounds: usize,
    bytes: usize,
) -> Result<[u64; 2], StoreError> {
    let body: Bytes = (0..bytes).map(|at| (at / 7) as u8).collect();
    let (mut puts, mut gets) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let key = format!("{PREFIX}{}", Uuid::new_v4());
        keys.push(key.clone());
        let began = Instant::now();
        store.put(&key, Body::Bytes(body.clone()))?;
        puts.push(began.elapsed());
        let began = Instant::now();
        store.get(&key, 0..bytes as u64)?;
        gets.push(began.elapsed());
    }
    Ok([median(puts), median(gets)])
}

fn median(mut times: Vec<Duration>) -> u64 {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    u64::try_from(median.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object_store::{DirStore, Listed};

    #[test]
    fn nothing_is_left_behind() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = DirStore::open(dir.path()).expect("a store");
        let times = time(&store).expect("it works");
        assert!(times.large_put > 0 && times.small_get > 0, "{times:?}");
        let mut left = 0;
        let count = &mut |_: Listed| left += 1;
        store.list(PREFIX, count).expect("it lists");
        assert_eq!(left, 0);
    }
}
