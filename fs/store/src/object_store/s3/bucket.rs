//! A bucket: what one request is, with its tries. Runs on the runtime.

use super::config::S3Config;
use super::failure::classify;
use super::hedge::Hedge;
use super::{body, encryption};
use crate::object_store::retry::{Failure, GaveUp, Request, Tries};
use crate::object_store::{Body, Put};
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::RequestId;
use bytes::Bytes;
use std::ops::Range;

pub(super) struct Bucket {
    pub(super) client: Client,
    pub(super) config: S3Config,
    pub(super) tries: Tries,
    pub(super) hedge: Hedge,
    /// Whether the server honours `If-None-Match: *`; until the probe we hope so.
    pub(super) conditional: bool,
}

impl Bucket {
    /// The key as the bucket has it.
    pub(super) fn full_key(&self, key: &str) -> String {
        match self.config.prefix.as_str() {
            "" => key.to_string(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    pub(super) fn if_none_match(&self) -> Option<String> {
        self.conditional.then(|| "*".to_string())
    }

    /// The key without the store's prefix.
    pub(super) fn own_key(&self, full: &str) -> Option<String> {
        match self.config.prefix.as_str() {
            "" => Some(full.to_owned()),
            prefix => Some(full.strip_prefix(prefix)?.strip_prefix('/')?.to_owned()),
        }
    }

    async fn put_once(&self, key: &str, bytes: Bytes, conditional: bool) -> Result<(), Failure> {
        let put = self
            .client
            .put_object()
            .bucket(&self.config.bucket)
            .key(self.full_key(key));
        let put = put
            .checksum_crc32_c(body::crc32c(&bytes))
            .set_if_none_match(self.if_none_match().filter(|_| conditional))
            .body(bytes.into());
        let wanted = self.config.settings.encryption.as_ref();
        let put = encryption::of_put(put, wanted);
        let answer = put.send().await.map_err(classify)?;
        encryption::check(wanted, answer.server_side_encryption())
    }

    /// Puts what is sent at once.
    pub(super) async fn put(&self, request: Request<'_>, body: &Body<'_>) -> Result<Put, GaveUp> {
        let bytes = body::load(body).map_err(GaveUp::AtOnce)?;
        let attempt = |conditional| {
            self.tries.run(request, move || {
                let bytes = bytes.clone();
                self.put_once(request.key, bytes, conditional)
            })
        };
        let put = match attempt.clone()(true).await {
            // Of a server that does not know the condition.
            Err(GaveUp::AtOnce(Failure::NotImplemented)) => attempt(false).await,
            put => put,
        };
        exists_or(put)
    }

    /// The bytes of a range, all of them.
    pub(super) async fn get(
        &self,
        request: Request<'_>,
        range: &Range<u64>,
    ) -> Result<Bytes, GaveUp> {
        let attempt = || self.get_exactly(request.key, range);
        self.tries.run(request, attempt).await
    }

    /// As many of them as there are.
    pub(super) async fn get_some(
        &self,
        request: Request<'_>,
        range: &Range<u64>,
    ) -> Result<Bytes, GaveUp> {
        let attempt = || self.get_once(request.key, range);
        let (bytes, _) = self.tries.run(request, attempt).await?;
        Ok(bytes)
    }

    pub(super) async fn is_there(&self, key: &str) -> Result<bool, GaveUp> {
        let request = Request::new("GET", key, 1);
        match self.get_some(request, &(0..1)).await {
            Ok(_) => Ok(true),
            Err(GaveUp::AtOnce(Failure::NotFound)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn get_once(
        &self,
        key: &str,
        range: &Range<u64>,
    ) -> Result<(Bytes, Option<String>), Failure> {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let get = self
            .client
            .get_object()
            .bucket(&self.config.bucket)
            .key(self.full_key(key));
        let get = get.range(header);
        let ask = || get.clone().send();
        let answer = self.hedge.run(ask).await.map_err(classify)?;
        let request_id = answer.request_id().map(str::to_string);
        let (stated, body) = (answer.content_length, answer.body);
        let bytes =
            body::receive(body, stated, range.end - range.start, request_id.clone()).await?;
        Ok((bytes, request_id))
    }

    async fn get_exactly(&self, key: &str, range: &Range<u64>) -> Result<Bytes, Failure> {
        let (bytes, request_id) = self.get_once(key, range).await?;
        let expected = range.end - range.start;
        if bytes.len() as u64 == expected {
            return Ok(bytes);
        }
        let reason = format!("{} bytes came instead of {expected}", bytes.len());
        Err(Failure::Transient { reason, request_id })
    }
}

/// A failed condition means that the key was there.
pub(super) fn exists_or(put: Result<(), GaveUp>) -> Result<Put, GaveUp> {
    match put {
        Ok(()) => Ok(Put::Stored),
        Err(GaveUp::AtOnce(Failure::Exists)) => Ok(Put::Exists),
        Err(e) => Err(e),
    }
}
