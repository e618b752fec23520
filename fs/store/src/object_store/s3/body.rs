//! Bytes to send, with their checksum, and bytes that came, with their length.

use crate::object_store::Body;
use crate::object_store::retry::Failure;
use aws_sdk_s3::primitives::ByteStream;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// All of a body, in memory.
pub(super) fn load(body: &Body<'_>) -> Result<Bytes, Failure> {
    match body {
        Body::Bytes(bytes) => Ok(bytes.clone()),
        Body::File { file, len } => load_part(file, 0..*len),
    }
}

/// A part of a file, in memory.
pub(super) fn load_part(file: &File, range: Range<u64>) -> Result<Bytes, Failure> {
    let mut bytes = BytesMut::zeroed((range.end - range.start) as usize);
    file.read_exact_at(&mut bytes, range.start)
        .map_err(Failure::Local)?;
    Ok(bytes.freeze())
}

/// The value of `x-amz-checksum-crc32c`.
pub(super) fn crc32c(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes())
}

/// Reads an answer to its end, and refuses it when it is not as long as it says. One
/// longer than `most` (of a server that does not know ranges) is not read to its end.
pub(super) async fn receive(
    mut body: ByteStream,
    stated: Option<i64>,
    most: u64,
    request_id: Option<String>,
) -> Result<Bytes, Failure> {
    let transient = |reason: String| Failure::Transient {
        reason,
        request_id: request_id.clone(),
    };
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|e| transient(format!("the answer broke off: {e}")))?;
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > most {
            return Ok(bytes.freeze());
        }
    }
    let bytes = bytes.freeze();
    match stated {
        Some(stated) if stated != bytes.len() as i64 => Err(transient(format!(
            "{} bytes came instead of {stated}",
            bytes.len()
        ))),
        _ => Ok(bytes),
    }
}
