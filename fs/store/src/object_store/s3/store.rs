//! The store.

use super::bucket::Bucket;
use super::config::S3Config;
use super::copy::{self, Source};
use super::hedge::Hedge;
use super::{client, delete, list, multipart, resume};
use crate::object_store::retry::{Failure, GaveUp, Request, Tries};
use crate::object_store::{
    Bandwidth, Body, Listed, ObjectStore, Put, RetryPolicy, StoreError, StoreOpenError, Upload,
    Watch, key, marker,
};
use bytes::Bytes;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::time::Duration;
use tokio::runtime::Handle;

/// Files from here on go up in parts.
const MULTIPART: u64 = 16 << 20;

/// While connecting: a clear error within 10 seconds is worth more than an outage waited out.
const CONNECTING: RetryPolicy = RetryPolicy {
    retries: 2,
    base: Duration::from_millis(100),
    cap: Duration::from_secs(4),
    attempt: Duration::from_secs(4),
};

/// An S3 bucket. See the module.
pub struct S3Store {
    bucket: Bucket,
    runtime: Handle,
}

impl S3Store {
    /// Connects, checks the format marker (or writes one) and probes for conditional
    /// writes; says within about 10 seconds what is wrong. Blocks: not to be called from
    /// a task of a runtime.
    pub fn connect(config: S3Config, runtime: Handle) -> Result<Self, StoreOpenError> {
        let bandwidth = config.settings.bandwidth.clone();
        let (mut store, policy) = Self::connecting(config, runtime)?;
        let marker = marker::settle(&store)?;
        store.bucket.conditional = store.probe(marker)?;
        store.bucket.tries = Tries::new(policy, bandwidth);
        Ok(store)
    }

    /// The same without writing anything: the marker must be there.
    pub(crate) fn connect_read_only(
        config: S3Config,
        runtime: Handle,
    ) -> Result<Self, StoreOpenError> {
        let bandwidth = config.settings.bandwidth.clone();
        let (mut store, policy) = Self::connecting(config, runtime)?;
        marker::check(&store)?;
        store.bucket.tries = Tries::new(policy, bandwidth);
        Ok(store)
    }

    /// And the policy that holds once it is connected.
    fn connecting(
        config: S3Config,
        runtime: Handle,
    ) -> Result<(Self, RetryPolicy), StoreOpenError> {
        let built = runtime.block_on(client::build(&config.settings));
        let client = built.map_err(|reason| {
            let store = config.describe();
            StoreOpenError::Settings { store, reason }
        })?;
        let policy = config.settings.retry;
        let bucket = Bucket {
            client,
            config,
            tries: Tries::new(CONNECTING, Bandwidth::default()),
            hedge: Hedge::default(),
            conditional: true,
        };
        Ok((Self { bucket, runtime }, policy))
    }

    /// Writes the marker again, with the same bytes: harmless if it succeeds.
    fn probe(&self, marker: Bytes) -> Result<bool, StoreError> {
        let honoured = self.put(marker::KEY, Body::Bytes(marker))? == Put::Exists;
        if !honoured {
            let store = self.describe();
            tracing::warn!(
                store,
                "no conditional writes here: keys get digests instead"
            );
        }
        Ok(honoured)
    }

    /// Runs one request with its retries, from the caller's thread.
    fn run<T, F: Future<Output = Result<T, GaveUp>>>(
        &self,
        request: Request<'_>,
        work: F,
    ) -> Result<T, StoreError> {
        // The whole store is listed under no key.
        let refused = match request.key {
            "" => None,
            key => key::refuse(&self.bucket.full_key(key)),
        };
        if let Some(reason) = refused {
            let reason = reason.to_string();
            return Err(self.error(request, GaveUp::AtOnce(Failure::Refused { reason })));
        }
        self.runtime
            .block_on(work)
            .map_err(|e| self.error(request, e))
    }

    fn error(&self, request: Request<'_>, gave_up: GaveUp) -> StoreError {
        let store = self.describe();
        let request_name = format!("{} {}", request.kind, request.key);
        let refused = |reason| StoreError::Refused {
            store: store.clone(),
            request: request_name.clone(),
            reason,
        };
        match gave_up {
            GaveUp::Transient {
                attempts,
                elapsed,
                reason,
            } => {
                let request = request_name;
                StoreError::Unavailable {
                    store,
                    request,
                    attempts,
                    elapsed,
                    reason,
                }
            }
            GaveUp::Interrupted => StoreError::Interrupted {
                store,
                request: request_name,
            },
            GaveUp::AtOnce(Failure::NotFound) => StoreError::NotFound {
                store,
                key: request.key.to_string(),
            },
            GaveUp::AtOnce(Failure::Local(source)) => StoreError::Local {
                context: format!("reading the body of {request_name}"),
                source,
            },
            GaveUp::AtOnce(
                Failure::Refused { reason }
                | Failure::Transient { reason, .. }
                | Failure::SlowDown { reason, .. },
            ) => refused(reason),
            GaveUp::AtOnce(Failure::Exists) => refused("a condition failed".to_string()),
            GaveUp::AtOnce(Failure::NotImplemented) => refused("not implemented".to_string()),
        }
    }
}

impl ObjectStore for S3Store {
    fn put(&self, key: &str, body: Body<'_>) -> Result<Put, StoreError> {
        match body {
            Body::File { file, len } if len >= MULTIPART => {
                let request = Request::new("PUT", key, len);
                self.run(request, multipart::put(&self.bucket, key, file, len))
            }
            Body::File { len, .. } => {
                let request = Request::new("PUT", key, len);
                self.run(request, self.bucket.put(request, &body))
            }
            Body::Bytes(ref bytes) => {
                let request = Request::new("PUT", key, bytes.len() as u64);
                self.run(request, self.bucket.put(request, &body))
            }
        }
    }

    fn put_resuming(
        &self,
        key: &str,
        file: &File,
        len: u64,
        watch: &Watch<'_>,
    ) -> Result<Put, StoreError> {
        if len < MULTIPART {
            let put = self.put(key, Body::File { file, len })?;
            watch(len);
            return Ok(put);
        }
        let request = Request::new("PUT", key, len);
        self.run(request, resume::put(&self.bucket, key, (file, len), watch))
    }

    fn copy(&self, from: &str, to: &str, len: u64, watch: &Watch<'_>) -> Result<Put, StoreError> {
        if len < copy::SMALL {
            let put = self.put(to, Body::Bytes(self.get(from, 0..len)?))?;
            watch(len);
            return Ok(put);
        }
        let request = Request::new("COPY", from, len);
        let source = Source { key: from, len };
        self.run(request, copy::in_parts(&self.bucket, source, to, watch))
    }

    fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let request = Request::new("GET", key, range.end - range.start);
        self.run(request, self.bucket.get(request, &range))
    }

    fn get_small(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        let request = Request::new("GET", key, limit);
        let mut bytes = self.run(request, self.bucket.get_some(request, &(0..limit)))?;
        bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(bytes)
    }

    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        delete::each(keys, |batch| {
            let request = Request::new("DELETE", &batch[0], 0);
            self.run(request, delete::batch(&self.bucket, batch))
        })
    }

    fn list(&self, prefix: &str, sink: &mut (dyn FnMut(Listed) + Send)) -> Result<(), StoreError> {
        let request = Request::new("LIST", prefix.trim_end_matches('/'), 0);
        self.run(request, list::all(&self.bucket, prefix, sink))
    }

    fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        let request = Request::new("ABORT", &upload.key, 0);
        let begun = multipart::MultipartUpload::of(&self.bucket, upload);
        self.run(request, begun.abort())
    }

    fn refuses_overwrite(&self) -> bool {
        self.bucket.conditional
    }

    fn describe(&self) -> String {
        self.bucket.config.describe()
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Store")
            .field("config", &self.bucket.config)
            .finish_non_exhaustive()
    }
}
