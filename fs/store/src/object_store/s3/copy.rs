//! Copies within the bucket: the server reads and writes, and nothing comes here. Each is an upload in parts,
//! even where one part is enough. Its end is conditional, as that of any upload, which the request that
//! copies an object at once is not with every server; and that one ends at 5 GB.
//!
//! Small objects are read and put: two requests instead of four, and Garage copies no part of an object that it
//! keeps inline.

use super::failure::classify;
use super::multipart::{self, Upload};
use super::store::S3Store;
use crate::object_store::retry::{Failure, GaveUp, Request};
use crate::object_store::{Put, Watch};
use aws_sdk_s3::types::CompletedPart;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::ops::Range;

/// What is smaller is not worth four requests.
pub(super) const SMALL: u64 = 64 << 10;

/// Bytes of a part: few requests, and none that takes minutes.
const PART: u64 = 64 << 20;

/// What a source is named without escaping it (RFC 3986, and the slash).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) key: &'a str,
    pub(super) len: u64,
}

impl S3Store {
    /// A copy that fails leaves no parts behind.
    pub(super) async fn copy_in_parts(
        &self,
        from: Source<'_>,
        to: &str,
        watch: &Watch<'_>,
    ) -> Result<Put, GaveUp> {
        // Also by one that was cut off afterwards.
        if self.is_there(to).await? {
            watch(from.len);
            return Ok(Put::Exists);
        }
        // The server keeps what checksums it likes: nobody here has seen the bytes.
        let id = self.begin_upload(to, None).await?;
        let upload = Upload { key: to, id: &id };
        let copy = |number, range| self.copy_part(from, upload, (number, range));
        let parts = multipart::each_part(from.len, PART, watch, copy).await;
        self.end_upload(upload, parts).await
    }

    async fn copy_part(
        &self,
        from: Source<'_>,
        upload: Upload<'_>,
        (number, range): (i32, Range<u64>),
    ) -> Result<CompletedPart, GaveUp> {
        let request = Request::new("COPY", from.key, range.end - range.start);
        let named = format!("{}/{}", self.config.bucket, self.full_key(from.key));
        // Of small objects S3 copies no ranges.
        let is_whole = range == (0..from.len);
        let header = (!is_whole).then(|| format!("bytes={}-{}", range.start, range.end - 1));
        let attempt = || async {
            let copy = self.client.upload_part_copy().bucket(&self.config.bucket);
            let copy = copy
                .key(self.full_key(upload.key))
                .upload_id(upload.id)
                .part_number(number)
                .copy_source(utf8_percent_encode(&named, PLAIN).to_string())
                .set_copy_source_range(header.clone());
            copy.send().await.map_err(classify)
        };
        let copied = self.tries.run(request, attempt).await?.copy_part_result;
        let copied = copied.filter(|copied| copied.e_tag.is_some());
        let copied = copied.ok_or_else(|| {
            let reason = "a copy without an ETag".to_owned();
            GaveUp::AtOnce(Failure::Refused { reason })
        })?;
        Ok(multipart::completed(
            number,
            copied.e_tag,
            copied.checksum_crc32_c,
        ))
    }
}
