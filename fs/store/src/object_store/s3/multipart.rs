//! Uploads of large files in parts, some of them at the same time. The key
//! appears when all parts are there, or not at all.

use super::failure::classify;
use super::resume::Parts;
use super::store::{S3Store, exists_or};
use super::{body, encryption};
use crate::object_store::retry::{Failure, GaveUp, Request};
use crate::object_store::{Put, Watch};
use aws_sdk_s3::types::ChecksumAlgorithm::{self, Crc32C};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures::{StreamExt, TryStreamExt, stream};
use std::fs::File;
use std::ops::Range;

/// Bytes of a part.
pub(super) const PART: u64 = 8 << 20;

/// S3's limit of parts per upload.
pub(super) const MAX_PARTS: u64 = 10_000;

/// Parts under way at the same time, each of them in memory.
const PARALLEL: usize = 4;

/// One upload that was begun.
#[derive(Clone, Copy)]
pub(super) struct Upload<'a> {
    pub(super) key: &'a str,
    pub(super) id: &'a str,
}

impl S3Store {
    /// Puts a file of `len` bytes. An upload that fails is aborted.
    pub(super) async fn put_in_parts(
        &self,
        key: &str,
        file: &File,
        len: u64,
    ) -> Result<Put, GaveUp> {
        let id = self.begin_upload(key, Some(Crc32C)).await?;
        let upload = Upload { key, id: &id };
        let none = Parts::new();
        let sent = self.send_missing(upload, (file, len), &none, &|_| true);
        self.end_upload(upload, sent.await).await
    }

    /// Completes it, or aborts it if parts are not there or the key is.
    pub(super) async fn end_upload(
        &self,
        upload: Upload<'_>,
        parts: Result<Vec<CompletedPart>, GaveUp>,
    ) -> Result<Put, GaveUp> {
        let put = match parts {
            Ok(parts) => self.complete(upload, parts).await,
            Err(e) => Err(e),
        };
        if !matches!(put, Ok(Put::Stored)) {
            self.abort(upload).await;
        }
        put
    }

    /// The store's name for it. Whoever sends parts says which checksum they come with.
    pub(super) async fn begin_upload(
        &self,
        key: &str,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<String, GaveUp> {
        let request = Request::new("BEGIN", key, 0);
        let attempt = || self.begin_once(key, checksum.clone());
        self.tries.run(request, attempt).await
    }

    async fn begin_once(
        &self,
        key: &str,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<String, Failure> {
        let (bucket, key) = (&self.config.bucket, self.full_key(key));
        let begin = self
            .client
            .create_multipart_upload()
            .bucket(bucket)
            .key(key);
        let wanted = self.config.settings.encryption.as_ref();
        let begin = encryption::of_upload(begin.set_checksum_algorithm(checksum), wanted);
        let answer = begin.send().await.map_err(classify)?;
        encryption::check(wanted, answer.server_side_encryption())?;
        let no_id = || Failure::Refused {
            reason: "an upload without an id".to_string(),
        };
        answer.upload_id.ok_or_else(no_id)
    }

    pub(super) async fn send_part(
        &self,
        upload: Upload<'_>,
        file: &File,
        (number, range): (i32, Range<u64>),
    ) -> Result<CompletedPart, GaveUp> {
        let request = Request::new("PART", upload.key, range.end - range.start);
        let bytes = body::load_part(file, range).map_err(GaveUp::AtOnce)?;
        let crc = body::crc32c(&bytes);
        let attempt = || async {
            let part = self.client.upload_part().bucket(&self.config.bucket);
            let part = part
                .key(self.full_key(upload.key))
                .upload_id(upload.id)
                .part_number(number)
                .checksum_crc32_c(&crc)
                .body(bytes.clone().into());
            part.send().await.map_err(classify)
        };
        let answer = self.tries.run(request, attempt).await?;
        Ok(completed(number, answer.e_tag, Some(crc)))
    }

    pub(super) async fn complete(
        &self,
        upload: Upload<'_>,
        parts: Vec<CompletedPart>,
    ) -> Result<Put, GaveUp> {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let request = Request::new("COMPLETE", upload.key, 0);
        let attempt = || async {
            let complete = self
                .client
                .complete_multipart_upload()
                .bucket(&self.config.bucket);
            let complete = complete
                .key(self.full_key(upload.key))
                .upload_id(upload.id)
                .multipart_upload(parts.clone())
                .set_if_none_match(self.if_none_match());
            complete.send().await.map(drop).map_err(classify)
        };
        exists_or(self.tries.run(request, attempt).await)
    }

    /// Best effort: what is left behind costs money, but harms nobody.
    async fn abort(&self, upload: Upload<'_>) {
        if let Err(e) = self.abort_upload(upload.key, upload.id).await {
            let (key, id) = (upload.key, upload.id);
            tracing::warn!(
                key,
                id,
                "cannot abort an upload, its parts stay in the bucket: {e:?}"
            );
        }
    }
}

/// A part that is there.
pub(super) fn completed(number: i32, e_tag: Option<String>, crc: Option<String>) -> CompletedPart {
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(e_tag)
        .set_checksum_crc32_c(crc)
        .build()
}

/// Makes the parts of `len` bytes, some of them at the same time; all of them in their order. Stops when `watch` says so.
pub(super) async fn each_part<F>(
    len: u64,
    size: u64,
    watch: &Watch<'_>,
    make: impl Fn(i32, Range<u64>) -> F,
) -> Result<Vec<CompletedPart>, GaveUp>
where
    F: Future<Output = Result<CompletedPart, GaveUp>>,
{
    let parts = parts_of(len, size).into_iter().map(|(number, range)| {
        let bytes = range.end - range.start;
        let made = make(number, range);
        async move {
            let part = made.await?;
            match watch(bytes) {
                true => Ok(part),
                false => Err(GaveUp::Interrupted),
            }
        }
    });
    stream::iter(parts).buffered(PARALLEL).try_collect().await
}

/// Numbers and bytes of all parts, of this size unless there would be too many.
fn parts_of(len: u64, part: u64) -> Vec<(i32, Range<u64>)> {
    let size = part.max(len.div_ceil(MAX_PARTS));
    let range = |n: u64| n * size..((n + 1) * size).min(len);
    (1..).zip((0..len.div_ceil(size)).map(range)).collect()
}
