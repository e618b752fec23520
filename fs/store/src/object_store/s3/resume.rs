//! An upload that goes on where an earlier one of the same file was cut off. The bucket itself remembers: the unfinished
//! upload of the key, and its parts, each with its checksum. Nothing is written down anywhere else, so any
//! machine can go on. Because it may adopt what another began, nobody else may put the key meanwhile.

use super::body;
use super::bucket::Bucket;
use super::failure::classify;
use super::list::{self, Pages, UploadMarker};
use super::multipart::{self, MAX_PARTS, MultipartUpload};
use crate::object_store::retry::{Failure, GaveUp, Request};
use crate::object_store::{Put, Watch};
use aws_sdk_s3::types::ChecksumAlgorithm::Crc32C;
use aws_sdk_s3::types::{CompletedPart, Part};
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;

/// Parts by their numbers.
pub(super) type Parts = HashMap<i32, Part>;

/// Puts a file of `len` bytes. An upload that fails is left to whoever goes on with it.
pub(super) async fn put(
    bucket: &Bucket,
    key: &str,
    (file, len): (&File, u64),
    watch: &Watch<'_>,
) -> Result<Put, GaveUp> {
    let (upload, there) = match find_upload(bucket, key).await? {
        Some(id) => {
            let there = parts(bucket, key, &id).await?;
            (MultipartUpload::known(bucket, key, id), there)
        }
        None if bucket.is_there(key).await? => {
            watch(len);
            return Ok(Put::Exists);
        }
        None => {
            let upload = MultipartUpload::begin(bucket, key, Some(Crc32C)).await?;
            (upload, Parts::new())
        }
    };
    let parts = upload.send_missing((file, len), &there, watch).await?;
    upload.complete(parts).await
}

/// The last upload of a key that was begun.
async fn find_upload(bucket: &Bucket, key: &str) -> Result<Option<String>, GaveUp> {
    let request = Request::new("LIST", key, 0);
    let (mut next, mut found) = (UploadMarker::default(), None);
    let mut pages = Pages::default();
    loop {
        let page = bucket
            .tries
            .run(request, || list::uploads(bucket, key, next.clone()));
        let page = page.await?;
        let mut keys = page.uploads().iter().filter_map(|upload| upload.key());
        pages.goes_on(keys.next_back())?;
        let own = page.uploads().iter().filter(|upload| {
            upload
                .key()
                .and_then(|full| bucket.own_key(full))
                .as_deref()
                == Some(key)
        });
        found = own
            .last()
            .and_then(|upload| upload.upload_id.clone())
            .or(found);
        if page.is_truncated() != Some(true) {
            return Ok(found);
        }
        next = (page.next_key_marker, page.next_upload_id_marker);
    }
}

async fn parts(bucket: &Bucket, key: &str, id: &str) -> Result<Parts, GaveUp> {
    let request = Request::new("LIST", key, 0);
    let list = bucket.client.list_parts().bucket(&bucket.config.bucket);
    let list = list.key(bucket.full_key(key)).upload_id(id);
    let (mut found, mut next) = (Parts::new(), None);
    // A page has one part at least, unless the server repeats itself.
    for _ in 0..MAX_PARTS {
        let ask = || {
            let list = list.clone().set_part_number_marker(next.clone());
            async { list.send().await.map_err(classify) }
        };
        let page = match bucket.tries.run(request, ask).await {
            // Completed or aborted since.
            Err(GaveUp::AtOnce(Failure::Exists)) => return Ok(found),
            page => page?,
        };
        let parts = page.parts().iter();
        found.extend(parts.filter_map(|part| Some((part.part_number?, part.clone()))));
        next = page.next_part_number_marker;
        if page.is_truncated != Some(true) || next.is_none() {
            break;
        }
    }
    Ok(found)
}

/// A part that is there, if it is that of this file.
pub(super) fn adopt(
    file: &File,
    number: i32,
    range: &Range<u64>,
    there: &Parts,
) -> Result<Option<CompletedPart>, GaveUp> {
    let Some(part) = there.get(&number) else {
        return Ok(None);
    };
    if part.size != i64::try_from(range.end - range.start).ok() {
        return Ok(None);
    }
    let bytes = body::load_part(file, range.clone()).map_err(GaveUp::AtOnce)?;
    let crc = body::crc32c(&bytes);
    let is_ours = part
        .checksum_crc32_c
        .as_ref()
        .is_none_or(|stated| *stated == crc);
    Ok(is_ours.then(|| multipart::completed(number, part.e_tag.clone(), Some(crc))))
}
