//! An upload that goes on where an earlier one of the same file was cut off. The bucket itself remembers: the unfinished
//! upload of the key, and its parts, each with its checksum. Nothing is written down anywhere else, so any
//! machine can go on. Because it may adopt what another began, nobody else may put the key meanwhile.

use super::body;
use super::failure::classify;
use super::list::{Pages, UploadMarker};
use super::multipart::{self, MAX_PARTS, PART, Upload};
use super::store::S3Store;
use crate::object_store::retry::{Failure, GaveUp, Request};
use crate::object_store::{Put, Watch};
use aws_sdk_s3::types::ChecksumAlgorithm::Crc32C;
use aws_sdk_s3::types::{CompletedPart, Part};
use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;

/// Parts by their numbers.
pub(super) type Parts = HashMap<i32, Part>;

impl S3Store {
    /// Puts a file of `len` bytes. An upload that fails is left to whoever goes on with it.
    pub(super) async fn put_in_old_parts(
        &self,
        key: &str,
        file: &File,
        len: u64,
        watch: &Watch<'_>,
    ) -> Result<Put, GaveUp> {
        let (id, parts) = match self.find_upload(key).await? {
            Some(id) => {
                let parts = self.parts(key, &id).await?;
                (id, parts)
            }
            None if self.is_there(key).await? => {
                watch(len);
                return Ok(Put::Exists);
            }
            None => (self.begin_upload(key, Some(Crc32C)).await?, Parts::new()),
        };
        let upload = Upload { key, id: &id };
        let parts = self
            .send_missing(upload, (file, len), &parts, watch)
            .await?;
        self.complete(upload, parts).await
    }

    /// Sends the parts that are not there; those of all, in their order.
    pub(super) async fn send_missing(
        &self,
        upload: Upload<'_>,
        (file, len): (&File, u64),
        there: &Parts,
        watch: &Watch<'_>,
    ) -> Result<Vec<CompletedPart>, GaveUp> {
        let send = |number, range| async move {
            match adopt(file, number, &range, there)? {
                Some(part) => Ok(part),
                None => self.send_part(upload, file, (number, range)).await,
            }
        };
        multipart::each_part(len, PART, watch, send).await
    }

    /// The last upload of a key that was begun.
    async fn find_upload(&self, key: &str) -> Result<Option<String>, GaveUp> {
        let request = Request::new("LIST", key, 0);
        let (mut next, mut found) = (UploadMarker::default(), None);
        let mut pages = Pages::default();
        loop {
            let page = self.tries.run(request, || self.uploads(key, next.clone()));
            let page = page.await?;
            let mut keys = page.uploads().iter().filter_map(|upload| upload.key());
            pages.goes_on(keys.next_back())?;
            let own = page.uploads().iter().filter(|upload| {
                upload.key().and_then(|full| self.own_key(full)).as_deref() == Some(key)
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

    async fn parts(&self, key: &str, id: &str) -> Result<Parts, GaveUp> {
        let request = Request::new("LIST", key, 0);
        let list = self.client.list_parts().bucket(&self.config.bucket);
        let list = list.key(self.full_key(key)).upload_id(id);
        let (mut found, mut next) = (Parts::new(), None);
        // A page has one part at least, unless the server repeats itself.
        for _ in 0..MAX_PARTS {
            let ask = || {
                let list = list.clone().set_part_number_marker(next.clone());
                async { list.send().await.map_err(classify) }
            };
            let page = match self.tries.run(request, ask).await {
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

    pub(super) async fn is_there(&self, key: &str) -> Result<bool, GaveUp> {
        let request = Request::new("GET", key, 1);
        match self
            .tries
            .run(request, || self.get_once(key, &(0..1)))
            .await
        {
            Ok(_) => Ok(true),
            Err(GaveUp::AtOnce(Failure::NotFound)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A part that is there, if it is that of this file.
fn adopt(
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
