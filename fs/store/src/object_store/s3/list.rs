//! What lies under a prefix: objects, and uploads that were begun and neither
//! completed nor aborted. For gc and fsck; git itself never needs a listing.

use super::bucket::Bucket;
use super::failure::classify;
use crate::object_store::retry::{Failure, GaveUp, Request};
use crate::object_store::{Listed, Upload};
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::DateTime;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Pages without a new key that are believed.
const MOST_IDLE: u32 = 1000;

/// Where a page of uploads begins: a key and an upload id.
pub(super) type UploadMarker = (Option<String>, Option<String>);

/// Gives every object and then every upload under a prefix to the sink.
pub(super) async fn all(
    bucket: &Bucket,
    prefix: &str,
    sink: &mut (dyn FnMut(Listed) + Send),
) -> Result<(), GaveUp> {
    let request = Request::new("LIST", prefix, 0);
    let (mut next, mut pages) = (None, Pages::default());
    loop {
        let page = bucket
            .tries
            .run(request, || objects(bucket, prefix, next.clone()))
            .await?;
        let mut keys = page.contents().iter().filter_map(|object| object.key());
        pages.goes_on(keys.next_back())?;
        let objects = page.contents().iter();
        objects
            .filter_map(|object| {
                Some(Listed::Object {
                    key: bucket.own_key(object.key()?)?,
                    size: object.size().unwrap_or(0).try_into().unwrap_or(0),
                    modified: time(object.last_modified()),
                })
            })
            .for_each(&mut *sink);
        next = page.next_continuation_token;
        if next.is_none() {
            break;
        }
    }
    let (mut next, mut pages) = (UploadMarker::default(), Pages::default());
    loop {
        let page = bucket
            .tries
            .run(request, || uploads(bucket, prefix, next.clone()))
            .await?;
        let mut keys = page.uploads().iter().filter_map(|upload| upload.key());
        pages.goes_on(keys.next_back())?;
        let uploads = page.uploads().iter();
        uploads
            .filter_map(|upload| {
                Some(Listed::Upload(Upload {
                    key: bucket.own_key(upload.key()?)?,
                    id: upload.upload_id()?.to_owned(),
                    begun: time(upload.initiated()),
                }))
            })
            .for_each(&mut *sink);
        if page.is_truncated() != Some(true) {
            return Ok(());
        }
        next = (page.next_key_marker, page.next_upload_id_marker);
    }
}

async fn objects(
    bucket: &Bucket,
    prefix: &str,
    next: Option<String>,
) -> Result<ListObjectsV2Output, Failure> {
    let list = bucket
        .client
        .list_objects_v2()
        .bucket(&bucket.config.bucket);
    let list = list.prefix(bucket.full_key(prefix));
    let list = list.set_continuation_token(next);
    list.send().await.map_err(classify)
}

pub(super) async fn uploads(
    bucket: &Bucket,
    prefix: &str,
    (key, id): UploadMarker,
) -> Result<ListMultipartUploadsOutput, Failure> {
    let list = bucket.client.list_multipart_uploads();
    let list = list.bucket(&bucket.config.bucket);
    let list = list.prefix(bucket.full_key(prefix));
    let list = list.set_key_marker(key).set_upload_id_marker(id);
    list.send().await.map_err(classify)
}

/// Pages of a listing, whose keys ascend: a server that comes to no end is noticed when it repeats itself.
#[derive(Default)]
pub(super) struct Pages {
    last: Option<String>,
    /// Pages since then that came to no other key.
    idle: u32,
}

impl Pages {
    /// Of a page whose last key is this. One key may have many uploads, and a page may be empty.
    pub(super) fn goes_on(&mut self, last: Option<&str>) -> Result<(), GaveUp> {
        if last > self.last.as_deref() {
            self.last = last.map(str::to_owned);
            self.idle = 0;
            return Ok(());
        }
        self.idle += 1;
        let is_behind = last.is_some() && last < self.last.as_deref();
        match is_behind || self.idle > MOST_IDLE {
            false => Ok(()),
            true => Err(GaveUp::AtOnce(Failure::Refused {
                reason: "the server's listing comes to no end: it repeats itself".to_owned(),
            })),
        }
    }
}

/// A server that does not say when counts as one that says now: nothing is
/// then too old to be kept.
fn time(stated: Option<&DateTime>) -> SystemTime {
    stated.map_or_else(SystemTime::now, |time| {
        UNIX_EPOCH + Duration::from_secs(time.secs().max(0) as u64)
    })
}
