//! Files of Git LFS: named by the SHA-256 of their bytes.

use super::error::BundleError;
use super::parse_oid;
use super::whole::Whole;
use gitmoor_model::ObjectFormat;
use std::fs::File;
use std::io::{self, Read};

/// Bytes that are hashed at a time.
const PIECE: usize = 1 << 20;

/// Checks that a file has the bytes that its name says.
pub fn check_lfs(oid: &str, file: &File) -> Result<(), BundleError> {
    let oid = parse_oid(oid, ObjectFormat::Sha256)?;
    let local = |source| BundleError::Local {
        context: "reading it to its end".to_owned(),
        source,
    };
    let mut hasher = gix_hash::hasher(oid.kind());
    let (mut file, mut buffer) = (Whole::of(file), vec![0; PIECE]);
    loop {
        match file.read(&mut buffer).map_err(local)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let actual = hasher.try_finalize();
    let actual = actual.map_err(|error| local(io::Error::other(error)))?;
    match actual == oid {
        true => Ok(()),
        false => Err(BundleError::BadFile {
            oid: oid.to_string(),
            actual: actual.to_string(),
        }),
    }
}
