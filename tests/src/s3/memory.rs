//! The S3 operations over a map in memory.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use parking_lot::Mutex;
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Keys per answer to a listing: few, so that every test sees several pages.
const PAGE: usize = 3;

/// One bucket.
#[derive(Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Bytes>,
    /// When each was stored, if not just now.
    pub(super) aged: HashMap<String, SystemTime>,
    uploads: HashMap<String, Upload>,
    next_upload: u64,
    /// Do not honour `If-None-Match`, as some servers do.
    pub(super) ignore_conditions: bool,
    /// How far its clock is ahead.
    pub(super) ahead: Duration,
    /// How each object was to be encrypted.
    pub(super) sealed: BTreeMap<String, Sealed>,
    /// Know nothing of encryption, as some servers do.
    pub(super) ignore_encryption: bool,
    /// Keys that are not deleted: with which code, and how many times yet.
    pub(super) kept: HashMap<String, (&'static str, usize)>,
}

/// How the server is to encrypt an object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sealed {
    /// `AES256`, `aws:kms`, or as it likes.
    pub algorithm: Option<String>,
    /// The key of KMS.
    pub key: Option<String>,
    /// Whether a key of the bucket stands for it.
    pub bucket_key: Option<bool>,
}

impl Sealed {
    fn asked(
        algorithm: Option<ServerSideEncryption>,
        key: Option<String>,
        bucket_key: Option<bool>,
    ) -> Self {
        Self {
            algorithm: algorithm.map(|it| it.as_str().to_owned()),
            key,
            bucket_key,
        }
    }
}

struct Upload {
    sealed: Sealed,
    key: String,
    parts: BTreeMap<i32, Bytes>,
}

impl Bucket {
    fn put(&mut self, key: String, bytes: Bytes, only_new: bool) -> S3Result<()> {
        if only_new && !self.ignore_conditions && self.objects.contains_key(&key) {
            return Err(s3_error!(PreconditionFailed));
        }
        self.aged.remove(&key);
        self.objects.insert(key, bytes);
        Ok(())
    }

    /// Of an upload that was begun.
    fn keep_part(&mut self, upload: &str, (number, bytes): (i32, Bytes)) -> S3Result<ETag> {
        let upload = self.uploads.get_mut(upload);
        let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
        let e_tag = etag(&bytes);
        upload.parts.insert(number, bytes);
        Ok(e_tag)
    }

    /// Deletes a key, or says with which code it does not.
    fn delete(&mut self, key: &str) -> Result<(), &'static str> {
        if let Some((code, times)) = self.kept.get_mut(key).filter(|(_, times)| *times > 0) {
            *times -= 1;
            return Err(code);
        }
        self.objects.remove(key);
        Ok(())
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub(super) fn open_uploads(&self) -> usize {
        self.uploads.len()
    }
}

/// The server's state: its buckets.
#[derive(Clone, Default)]
pub(super) struct MemoryS3 {
    pub(super) buckets: Arc<Mutex<HashMap<String, Bucket>>>,
}

impl MemoryS3 {
    fn with<T>(&self, name: &str, f: impl FnOnce(&mut Bucket) -> S3Result<T>) -> S3Result<T> {
        let mut buckets = self.buckets.lock();
        f(buckets
            .get_mut(name)
            .ok_or_else(|| s3_error!(NoSuchBucket))?)
    }
}

async fn receive(body: Option<StreamingBlob>, crc: Option<String>) -> S3Result<Bytes> {
    let Some(body) = body else {
        return Ok(Bytes::new());
    };
    let bytes: BytesMut = body
        .try_collect()
        .await
        .map_err(|_| s3_error!(IncompleteBody))?;
    let actual = BASE64_STANDARD.encode(crc32c::crc32c(&bytes).to_be_bytes());
    match crc {
        Some(crc) if crc != actual => Err(s3_error!(BadDigest)),
        Some(_) => Ok(bytes.freeze()),
        None => Err(s3_error!(
            InvalidRequest,
            "these tests want a checksum with every body"
        )),
    }
}

fn only_new(condition: &Option<IfNoneMatch>) -> bool {
    condition.as_ref().is_some_and(|c| c.is_any())
}

fn etag(bytes: &[u8]) -> ETag {
    ETag::Strong(format!("{:08x}-{}", crc32c::crc32c(bytes), bytes.len()))
}

fn coded(code: &'static str) -> S3Error {
    let code = S3ErrorCode::from_bytes(code.as_bytes()).expect("text");
    S3Error::with_message(code, "kept on demand")
}

fn not_deleted(code: &str, key: String) -> s3s::dto::Error {
    s3s::dto::Error {
        code: Some(code.to_owned()),
        key: Some(key),
        message: Some("kept on demand".to_owned()),
        ..Default::default()
    }
}

/// `bytes=FIRST-LAST` of an object, which must be one of those that S3 copies ranges of.
fn ranged(bytes: Bytes, range: Option<String>) -> S3Result<Bytes> {
    let Some(range) = range else {
        return Ok(bytes);
    };
    let ends = range
        .strip_prefix("bytes=")
        .and_then(|it| it.split_once('-'));
    let ends = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let (first, last): (usize, usize) = ends.ok_or_else(|| s3_error!(InvalidArgument))?;
    let is_large = bytes.len() > 5 << 20;
    if !is_large || first > last || last >= bytes.len() {
        return Err(s3_error!(InvalidRange));
    }
    Ok(bytes.slice(first..=last))
}

type Answer<T> = S3Result<S3Response<T>>;

fn ok<T>(output: T) -> Answer<T> {
    Ok(S3Response::new(output))
}

#[async_trait::async_trait]
impl S3 for MemoryS3 {
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> Answer<CreateBucketOutput> {
        self.buckets.lock().entry(req.input.bucket).or_default();
        ok(CreateBucketOutput::default())
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        self.with(&req.input.bucket, |_| Ok(()))?;
        ok(HeadBucketOutput::default())
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let input = req.input;
        let bytes = receive(input.body, input.checksum_crc32c).await?;
        let e_tag = Some(etag(&bytes));
        let only_new = only_new(&input.if_none_match);
        let algorithm = input.server_side_encryption.clone();
        let sealed = Sealed::asked(
            algorithm.clone(),
            input.ssekms_key_id,
            input.bucket_key_enabled,
        );
        let server_side_encryption = self.with(&input.bucket, |bucket| {
            bucket.put(input.key.clone(), bytes, only_new)?;
            bucket.sealed.insert(input.key, sealed);
            Ok(algorithm.filter(|_| !bucket.ignore_encryption))
        })?;
        ok(PutObjectOutput {
            e_tag,
            server_side_encryption,
            ..Default::default()
        })
    }

    async fn get_object(&self, req: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let input = req.input;
        let object = self.with(&input.bucket, |bucket| {
            bucket
                .objects
                .get(&input.key)
                .cloned()
                .ok_or_else(|| s3_error!(NoSuchKey))
        })?;
        let len = object.len() as u64;
        let (bytes, content_range) = match input.range {
            None => (object.clone(), None),
            Some(range) => {
                let range = range.check(len)?;
                let header = format!("bytes {}-{}/{len}", range.start, range.end - 1);
                (
                    object.slice(range.start as usize..range.end as usize),
                    Some(header),
                )
            }
        };
        ok(GetObjectOutput {
            content_length: Some(bytes.len() as i64),
            content_range,
            e_tag: Some(etag(&object)),
            body: Some(s3s::Body::from(bytes).into()),
            ..Default::default()
        })
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = req.input;
        let len = self.with(&input.bucket, |bucket| {
            bucket
                .objects
                .get(&input.key)
                .map(Bytes::len)
                .ok_or_else(|| s3_error!(NoSuchKey))
        })?;
        ok(HeadObjectOutput {
            content_length: Some(len as i64),
            ..Default::default()
        })
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        let input = req.input;
        self.with(&input.bucket, |bucket| {
            bucket.delete(&input.key).map_err(coded)
        })?;
        ok(DeleteObjectOutput::default())
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> Answer<DeleteObjectsOutput> {
        let input = req.input;
        let errors = self.with(&input.bucket, |bucket| {
            let objects = input.delete.objects.into_iter();
            let failed =
                objects.filter_map(|object| Some((bucket.delete(&object.key).err()?, object.key)));
            Ok(failed.map(|(code, key)| not_deleted(code, key)).collect())
        })?;
        ok(DeleteObjectsOutput {
            errors: Some(errors),
            ..Default::default()
        })
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> Answer<ListObjectsV2Output> {
        let input = req.input;
        let prefix = input.prefix.unwrap_or_default();
        let contents: Vec<Object> = self.with(&input.bucket, |bucket| {
            let all = bucket
                .objects
                .iter()
                .filter(|(key, _)| key.starts_with(&prefix));
            let now = SystemTime::now() + bucket.ahead;
            let object = |(key, bytes): (&String, &Bytes)| Object {
                key: Some(key.clone()),
                size: Some(bytes.len() as i64),
                last_modified: Some(bucket.aged.get(key).copied().unwrap_or(now).into()),
                ..Default::default()
            };
            let after = input.continuation_token.unwrap_or_default();
            let all = all.filter(|(key, _)| **key > after);
            Ok(all.take(PAGE + 1).map(object).collect())
        })?;
        let more = contents.len() > PAGE;
        let contents: Vec<_> = contents.into_iter().take(PAGE).collect();
        let last = contents.last().and_then(|object| object.key.clone());
        ok(ListObjectsV2Output {
            name: Some(input.bucket),
            key_count: Some(contents.len() as i32),
            contents: Some(contents),
            is_truncated: Some(more),
            next_continuation_token: last.filter(|_| more),
            ..Default::default()
        })
    }

    async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        let input = req.input;
        let prefix = input.prefix.unwrap_or_default();
        let uploads = self.with(&input.bucket, |bucket| {
            let all = bucket.uploads.iter();
            let upload = |(id, upload): (&String, &Upload)| MultipartUpload {
                key: Some(upload.key.clone()),
                upload_id: Some(id.clone()),
                initiated: Some(SystemTime::now().into()),
                ..Default::default()
            };
            let ours = all.filter(|(_, upload)| upload.key.starts_with(&prefix));
            Ok(ours.map(upload).collect())
        })?;
        ok(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            uploads: Some(uploads),
            is_truncated: Some(false),
            ..Default::default()
        })
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let input = req.input;
        let key = input.key.clone();
        let algorithm = input.server_side_encryption;
        let sealed = Sealed::asked(
            algorithm.clone(),
            input.ssekms_key_id,
            input.bucket_key_enabled,
        );
        let (id, known) = self.with(&input.bucket, |bucket| {
            bucket.next_upload += 1;
            let id = format!("upload-{}", bucket.next_upload);
            bucket.uploads.insert(
                id.clone(),
                Upload {
                    sealed,
                    key,
                    parts: BTreeMap::new(),
                },
            );
            Ok((id, !bucket.ignore_encryption))
        })?;
        ok(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            server_side_encryption: algorithm.filter(|_| known),
            ..Default::default()
        })
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let input = req.input;
        let bytes = receive(input.body, input.checksum_crc32c).await?;
        let part = (input.part_number, bytes);
        let e_tag = self.with(&input.bucket, |it| it.keep_part(&input.upload_id, part))?;
        ok(UploadPartOutput {
            e_tag: Some(e_tag),
            ..Default::default()
        })
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> Answer<UploadPartCopyOutput> {
        let input = req.input;
        let CopySource::Bucket { bucket, key, .. } = input.copy_source else {
            return Err(s3_error!(NotImplemented));
        };
        let bytes = self.with(&bucket, |bucket| {
            let found = bucket.objects.get(&*key).cloned();
            found.ok_or_else(|| s3_error!(NoSuchKey))
        })?;
        let part = (input.part_number, ranged(bytes, input.copy_source_range)?);
        let e_tag = self.with(&input.bucket, |it| it.keep_part(&input.upload_id, part))?;
        let e_tag = Some(e_tag);
        ok(UploadPartCopyOutput {
            copy_part_result: Some(CopyPartResult {
                e_tag,
                ..Default::default()
            }),
            ..Default::default()
        })
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> Answer<ListPartsOutput> {
        let input = req.input;
        let after = input.part_number_marker.unwrap_or(0);
        let mut parts: Vec<Part> = self.with(&input.bucket, |bucket| {
            let upload = bucket.uploads.get(&input.upload_id);
            let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
            let part = |(number, bytes): (&i32, &Bytes)| Part {
                part_number: Some(*number),
                size: Some(bytes.len() as i64),
                e_tag: Some(etag(bytes)),
                checksum_crc32c: Some(BASE64_STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())),
                ..Default::default()
            };
            Ok(upload.parts.range(after + 1..).map(part).collect())
        })?;
        let more = parts.len() > PAGE;
        parts.truncate(PAGE);
        let last = parts.last().and_then(|part| part.part_number);
        ok(ListPartsOutput {
            parts: Some(parts),
            is_truncated: Some(more),
            next_part_number_marker: last.filter(|_| more),
            ..Default::default()
        })
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let input = req.input;
        let only_new = only_new(&input.if_none_match);
        let named = input
            .multipart_upload
            .and_then(|u| u.parts)
            .unwrap_or_default();
        self.with(&input.bucket, |bucket| {
            let upload = bucket.uploads.get(&input.upload_id);
            let upload = upload.ok_or_else(|| s3_error!(NoSuchUpload))?;
            let mut whole = BytesMut::new();
            for part in named {
                let bytes = part.part_number.and_then(|n| upload.parts.get(&n));
                whole.extend_from_slice(bytes.ok_or_else(|| s3_error!(InvalidPart))?);
            }
            let (key, sealed) = (upload.key.clone(), upload.sealed.clone());
            bucket.put(key.clone(), whole.freeze(), only_new)?;
            bucket.sealed.insert(key, sealed);
            bucket.uploads.remove(&input.upload_id);
            Ok(())
        })?;
        ok(CompleteMultipartUploadOutput::default())
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        let input = req.input;
        self.with(&input.bucket, |bucket| {
            let removed = bucket.uploads.remove(&input.upload_id);
            removed.map(drop).ok_or_else(|| s3_error!(NoSuchUpload))
        })?;
        ok(AbortMultipartUploadOutput::default())
    }
}
