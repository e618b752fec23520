//! What an error of the SDK means for us, and what the user can try.

use crate::causes;
use crate::object_store::retry::Failure;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;

/// Service errors that pass, besides all of status 5xx. The 409s are AWS'
/// answer to conditional writes of one key at the same moment.
const TRANSIENT: [&str; 5] = [
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "ConditionalRequestConflict",
    "OperationAborted",
];

/// Classifies an error of an operation.
pub(super) fn classify<E>(error: SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(service) => {
            let response = service.raw();
            let status = response.status().as_u16();
            let request_id = response
                .headers()
                .get("x-amz-request-id")
                .map(str::to_string);
            let (code, message) = (service.err().code(), service.err().message());
            of_service(
                status,
                code.unwrap_or_default(),
                message.unwrap_or_default(),
                request_id,
            )
        }
        SdkError::ConstructionFailure(_) => Failure::Refused {
            reason: format!(
                "{}; are credentials set (S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, or an AWS profile)?",
                causes(&error)
            ),
        },
        SdkError::DispatchFailure(failure) if failure.is_user() => Failure::Refused {
            reason: causes(&error),
        },
        _ => Failure::Transient {
            reason: causes(&error),
            request_id: None,
        },
    }
}

/// Classifies an error of the service, or of one key in a bulk deletion.
pub(super) fn of_service(
    status: u16,
    code: &str,
    message: &str,
    request_id: Option<String>,
) -> Failure {
    let said = said(status, code, message);
    match (status, code) {
        (_, "NoSuchKey") => Failure::NotFound,
        (404, "" | "NotFound") => Failure::NotFound,
        (412, _) | (_, "PreconditionFailed") => Failure::Exists,
        // An earlier try to complete it came through and its answer was lost.
        // The caller checks what is there, as always after `Exists`.
        (_, "NoSuchUpload") => Failure::Exists,
        (501, _) | (_, "NotImplemented") => Failure::NotImplemented,
        (429 | 503, _) | (_, "SlowDown" | "Throttling" | "ThrottlingException") => {
            Failure::SlowDown {
                reason: said,
                request_id,
            }
        }
        (500..=599 | 408, _) => Failure::Transient {
            reason: said,
            request_id,
        },
        (_, code) if TRANSIENT.contains(&code) => Failure::Transient {
            reason: said,
            request_id,
        },
        _ => Failure::Refused {
            reason: format!("{said}; {}", advice(status, code)),
        },
    }
}

fn said(status: u16, code: &str, message: &str) -> String {
    match (code, message) {
        ("", "") => format!("status {status}"),
        ("", message) => format!("{message} (status {status})"),
        (code, "") => format!("{code} (status {status})"),
        (code, message) => format!("{code}: {message} (status {status})"),
    }
}

fn advice(status: u16, code: &str) -> &'static str {
    match (status, code) {
        (_, "NoSuchBucket") => "create the bucket, or check its name, the endpoint and the region",
        (_, "InvalidAccessKeyId" | "NotSignedUp" | "InvalidSecurity") => {
            "check S3_ACCESS_KEY_ID, and that the key belongs to this endpoint"
        }
        (_, "SignatureDoesNotMatch") => "check S3_SECRET_ACCESS_KEY and S3_REGION",
        (_, "RequestTimeTooSkewed") => "check this machine's clock",
        (_, "ExpiredToken" | "TokenRefreshRequired") => "renew the temporary credentials",
        (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "InvalidRegion")
        | (301 | 307, _) => "check S3_REGION and S3_ENDPOINT: the bucket is in another region",
        (_, "InvalidBucketName") => "check the bucket's name",
        (403, _) => {
            "check the access key, S3_REGION, and that it may GetObject, PutObject, DeleteObject \
             and ListBucket (without that S3 answers 403 for what does not exist)"
        }
        _ => "check the endpoint, and S3_USE_PATH_STYLE",
    }
}
