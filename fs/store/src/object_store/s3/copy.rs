//! Copies within the bucket: the server reads and writes, and nothing comes here. Each is an upload in parts,
//! even where one part is enough. Its end is conditional, as that of any upload, which the request that
//! copies an object at once is not with every server; and that one ends at 5 GB.
//!
//! Small objects are read and put: two requests instead of four, and Garage copies no part of an object that it
//! keeps inline.

use super::bucket::Bucket;
use super::multipart::{self, MultipartUpload};
use crate::object_store::retry::GaveUp;
use crate::object_store::{Put, Watch};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

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

impl Source<'_> {
    /// As the server is asked to copy it.
    pub(super) fn named(&self, bucket: &Bucket) -> String {
        let named = format!("{}/{}", bucket.config.bucket, bucket.full_key(self.key));
        utf8_percent_encode(&named, PLAIN).to_string()
    }
}

/// A copy that fails leaves no parts behind.
pub(super) async fn in_parts(
    bucket: &Bucket,
    from: Source<'_>,
    to: &str,
    watch: &Watch<'_>,
) -> Result<Put, GaveUp> {
    // Also by one that was cut off afterwards.
    if bucket.is_there(to).await? {
        watch(from.len);
        return Ok(Put::Exists);
    }
    // The server keeps what checksums it likes: nobody here has seen the bytes.
    let upload = MultipartUpload::begin(bucket, to, None).await?;
    let copy = |number, range| upload.copy_part(from, (number, range));
    let parts = multipart::each_part(from.len, PART, watch, copy).await;
    upload.end(parts).await
}
