//! Encryption by the server (SSE): asked for by every request that begins an object, which are two, and proved by
//! their answers. A server that does not know the request's headers would store in the clear without a word.

use super::config::Encryption;
use crate::object_store::retry::Failure;
use aws_sdk_s3::operation::create_multipart_upload::builders::CreateMultipartUploadFluentBuilder as Begin;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder as PutObject;
use aws_sdk_s3::types::ServerSideEncryption;

/// What one request asks for: the algorithm, the key, and whether a key of the bucket stands for it.
type Asked = (Option<ServerSideEncryption>, Option<String>, Option<bool>);

fn asked(encryption: Option<&Encryption>) -> Asked {
    match encryption {
        None => (None, None, None),
        Some(Encryption::S3) => (Some(ServerSideEncryption::Aes256), None, None),
        Some(Encryption::Kms { key, bucket_key }) => {
            (Some(ServerSideEncryption::AwsKms), key.clone(), *bucket_key)
        }
    }
}

/// For an object that goes up whole.
pub(super) fn of_put(put: PutObject, encryption: Option<&Encryption>) -> PutObject {
    let (algorithm, key, bucket_key) = asked(encryption);
    put.set_server_side_encryption(algorithm)
        .set_ssekms_key_id(key)
        .set_bucket_key_enabled(bucket_key)
}

/// For one in parts, be they sent or copied.
pub(super) fn of_upload(begin: Begin, encryption: Option<&Encryption>) -> Begin {
    let (algorithm, key, bucket_key) = asked(encryption);
    begin
        .set_server_side_encryption(algorithm)
        .set_ssekms_key_id(key)
        .set_bucket_key_enabled(bucket_key)
}

/// Fails if the answer does not say that it was done.
pub(super) fn check(
    encryption: Option<&Encryption>,
    answered: Option<&ServerSideEncryption>,
) -> Result<(), Failure> {
    let (algorithm, ..) = asked(encryption);
    match algorithm {
        Some(algorithm) if answered != Some(&algorithm) => Err(Failure::Refused {
            reason: format!(
                "the server does not say that it encrypts with {algorithm}, as s3.sse asks: use one that \
                 does, or leave s3.sse out"
            ),
        }),
        _ => Ok(()),
    }
}
