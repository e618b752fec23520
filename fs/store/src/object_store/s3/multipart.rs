//! Uploads of large files in parts, some of them at the same time. The key
//! appears when all parts are there, or not at all.

use super::bucket::{Bucket, exists_or};
use super::copy::Source;
use super::failure::classify;
use super::resume::{self, Parts};
use super::{body, encryption};
use crate::object_store::retry::{Failure, GaveUp, Request};
use crate::object_store::{Put, Upload, Watch};
use aws_sdk_s3::types::ChecksumAlgorithm::{self, Crc32C};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use futures::{StreamExt, TryStreamExt, stream};
use std::fs::File;
use std::ops::Range;

/// Bytes of a part.
const PART: u64 = 8 << 20;

/// S3's limit of parts per upload.
pub(super) const MAX_PARTS: u64 = 10_000;

/// Parts under way at the same time, each of them in memory.
const PARALLEL: usize = 4;

/// Puts a file of `len` bytes. An upload that fails is aborted.
pub(super) async fn put(bucket: &Bucket, key: &str, file: &File, len: u64) -> Result<Put, GaveUp> {
    let upload = MultipartUpload::begin(bucket, key, Some(Crc32C)).await?;
    let none = Parts::new();
    let parts = upload.send_missing((file, len), &none, &|_| true);
    upload.end(parts.await).await
}

/// One upload that was begun.
pub(super) struct MultipartUpload<'a> {
    bucket: &'a Bucket,
    key: &'a str,
    id: String,
}

impl<'a> MultipartUpload<'a> {
    /// Whoever sends parts says which checksum they come with.
    pub(super) async fn begin(
        bucket: &'a Bucket,
        key: &'a str,
        checksum: Option<ChecksumAlgorithm>,
    ) -> Result<Self, GaveUp> {
        let request = Request::new("BEGIN", key, 0);
        let attempt = || begin_once(bucket, key, checksum.clone());
        let id = bucket.tries.run(request, attempt).await?;
        Ok(Self { bucket, key, id })
    }

    /// One that was begun before.
    pub(super) fn of(bucket: &'a Bucket, upload: &'a Upload) -> Self {
        Self::known(bucket, &upload.key, upload.id.clone())
    }

    /// The same, by the store's name for it.
    pub(super) fn known(bucket: &'a Bucket, key: &'a str, id: String) -> Self {
        Self { bucket, key, id }
    }

    /// Sends the parts that are not there; those of all, in their order.
    pub(super) async fn send_missing(
        &self,
        (file, len): (&File, u64),
        there: &Parts,
        watch: &Watch<'_>,
    ) -> Result<Vec<CompletedPart>, GaveUp> {
        let send = |number, range| async move {
            match resume::adopt(file, number, &range, there)? {
                Some(part) => Ok(part),
                None => self.send_part(file, (number, range)).await,
            }
        };
        each_part(len, PART, watch, send).await
    }

    async fn send_part(
        &self,
        file: &File,
        (number, range): (i32, Range<u64>),
    ) -> Result<CompletedPart, GaveUp> {
        let Self { bucket, key, id } = self;
        let request = Request::new("PART", key, range.end - range.start);
        let bytes = body::load_part(file, range).map_err(GaveUp::AtOnce)?;
        let crc = body::crc32c(&bytes);
        let attempt = || async {
            let part = bucket.client.upload_part().bucket(&bucket.config.bucket);
            let part = part
                .key(bucket.full_key(key))
                .upload_id(id)
                .part_number(number)
                .checksum_crc32_c(&crc)
                .body(bytes.clone().into());
            part.send().await.map_err(classify)
        };
        let answer = bucket.tries.run(request, attempt).await?;
        Ok(completed(number, answer.e_tag, Some(crc)))
    }

    /// Has the server copy one part from another key.
    pub(super) async fn copy_part(
        &self,
        from: Source<'_>,
        (number, range): (i32, Range<u64>),
    ) -> Result<CompletedPart, GaveUp> {
        let Self { bucket, key, id } = self;
        let request = Request::new("COPY", from.key, range.end - range.start);
        let named = from.named(bucket);
        // Of small objects S3 copies no ranges.
        let is_whole = range == (0..from.len);
        let header = (!is_whole).then(|| format!("bytes={}-{}", range.start, range.end - 1));
        let attempt = || async {
            let copy = bucket.client.upload_part_copy();
            let copy = copy
                .bucket(&bucket.config.bucket)
                .key(bucket.full_key(key))
                .upload_id(id)
                .part_number(number)
                .copy_source(&named)
                .set_copy_source_range(header.clone());
            copy.send().await.map_err(classify)
        };
        let copied = bucket.tries.run(request, attempt).await?.copy_part_result;
        let copied = copied.filter(|copied| copied.e_tag.is_some());
        let copied = copied.ok_or_else(|| {
            let reason = "a copy without an ETag".to_owned();
            GaveUp::AtOnce(Failure::Refused { reason })
        })?;
        Ok(completed(number, copied.e_tag, copied.checksum_crc32_c))
    }

    /// Completes it, or aborts it if parts are not there or the key is.
    pub(super) async fn end(
        &self,
        parts: Result<Vec<CompletedPart>, GaveUp>,
    ) -> Result<Put, GaveUp> {
        let put = match parts {
            Ok(parts) => self.complete(parts).await,
            Err(e) => Err(e),
        };
        if !matches!(put, Ok(Put::Stored)) {
            self.try_abort().await;
        }
        put
    }

    pub(super) async fn complete(&self, parts: Vec<CompletedPart>) -> Result<Put, GaveUp> {
        let Self { bucket, key, id } = self;
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let request = Request::new("COMPLETE", key, 0);
        let attempt = || async {
            let complete = bucket.client.complete_multipart_upload();
            let complete = complete
                .bucket(&bucket.config.bucket)
                .key(bucket.full_key(key))
                .upload_id(id)
                .multipart_upload(parts.clone())
                .set_if_none_match(bucket.if_none_match());
            complete.send().await.map(drop).map_err(classify)
        };
        exists_or(bucket.tries.run(request, attempt).await)
    }

    /// One that is gone already is no error.
    pub(super) async fn abort(&self) -> Result<(), GaveUp> {
        let Self { bucket, key, id } = self;
        let abort = bucket.client.abort_multipart_upload();
        let abort = abort.bucket(&bucket.config.bucket);
        let abort = abort.key(bucket.full_key(key)).upload_id(id);
        let request = Request::new("ABORT", key, 0);
        let attempt = || async { abort.clone().send().await.map(drop).map_err(classify) };
        exists_or(bucket.tries.run(request, attempt).await).map(drop)
    }

    /// Best effort: what is left behind costs money, but harms nobody.
    async fn try_abort(&self) {
        if let Err(e) = self.abort().await {
            let Self { key, id, .. } = self;
            tracing::warn!(
                key,
                id,
                "cannot abort an upload, its parts stay in the bucket: {e:?}"
            );
        }
    }
}

async fn begin_once(
    bucket: &Bucket,
    key: &str,
    checksum: Option<ChecksumAlgorithm>,
) -> Result<String, Failure> {
    let begin = bucket.client.create_multipart_upload();
    let begin = begin
        .bucket(&bucket.config.bucket)
        .key(bucket.full_key(key));
    let wanted = bucket.config.settings.encryption.as_ref();
    let begin = encryption::of_upload(begin.set_checksum_algorithm(checksum), wanted);
    let answer = begin.send().await.map_err(classify)?;
    encryption::check(wanted, answer.server_side_encryption())?;
    let no_id = || Failure::Refused {
        reason: "an upload without an id".to_string(),
    };
    answer.upload_id.ok_or_else(no_id)
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
