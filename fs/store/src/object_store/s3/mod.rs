//! The object store in an S3 bucket, through aws-sdk-s3.
//!
//! Writes are conditional (`If-None-Match: *`), so no key is ever overwritten; whether
//! the server honours that is probed once, at [`S3Store::connect`]. Bodies go as they are,
//! with a CRC-32C that the server checks and a signature over their bytes: no
//! aws-chunked encoding and no trailers, which not every server knows. The SDK's own
//! retries are off; [`super::retry`] does that. Calls block on the runtime
//! from the caller's own thread, so log lines have the caller's span.

mod authorities;
mod body;
mod bounded;
mod bucket;
mod client;
mod config;
mod copy;
mod delete;
mod encryption;
mod failure;
mod hedge;
mod list;
mod multipart;
mod resume;
mod store;

pub use config::{Encryption, S3Config, S3Credentials, S3Settings};
pub use store::S3Store;
