//! A store that is not asked: every request is refused at once and by name, so that an
//! offline mount serves what its machine has and says what it lacks.

use super::{Body, Listed, ObjectStore, Put, StoreError, StoreUrl, Upload, Watch};
use bytes::Bytes;
use parking_lot::Mutex;
use std::ops::Range;

/// Refused requests that `gitmoor status` shows: the last ones, each once.
const REMEMBERED: usize = 8;

/// A store that is not asked: each request is refused and noted.
#[derive(Debug)]
pub struct Offline {
    /// The store that would be asked.
    url: String,
    /// Oldest first.
    refused: Mutex<Vec<String>>,
}

impl Offline {
    /// Stands for the store at this URL.
    pub fn new(url: &StoreUrl) -> Self {
        Self {
            url: url.to_string(),
            refused: Mutex::default(),
        }
    }

    /// Refuses a request such as `GET` of a key.
    pub fn refuse(&self, kind: &str, key: &str) -> StoreError {
        let request = format!("{kind} {key}");
        let mut refused = self.refused.lock();
        refused.retain(|known| *known != request);
        if refused.len() == REMEMBERED {
            refused.remove(0);
        }
        refused.push(request.clone());
        let store = self.url.clone();
        StoreError::Offline { store, request }
    }

    /// The last refused requests, oldest first.
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().clone()
    }
}

impl ObjectStore for Offline {
    fn put(&self, key: &str, _: Body<'_>) -> Result<Put, StoreError> {
        Err(self.refuse("PUT", key))
    }

    fn copy(&self, from: &str, _: &str, _: u64, _: &Watch<'_>) -> Result<Put, StoreError> {
        Err(self.refuse("COPY", from))
    }

    fn get(&self, key: &str, _: Range<u64>) -> Result<Bytes, StoreError> {
        Err(self.refuse("GET", key))
    }

    fn get_small(&self, key: &str, _: u64) -> Result<Bytes, StoreError> {
        Err(self.refuse("GET", key))
    }

    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        match keys.first() {
            Some(key) => Err(self.refuse("DELETE", key)),
            None => Ok(()),
        }
    }

    fn list(&self, prefix: &str, _: &mut (dyn FnMut(Listed) + Send)) -> Result<(), StoreError> {
        Err(self.refuse("LIST", prefix))
    }

    fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        Err(self.refuse("ABORT", &upload.key))
    }

    /// Nothing is ever put.
    fn refuses_overwrite(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        self.url.clone()
    }

    fn offline(&self) -> Option<&Offline> {
        Some(self)
    }
}
