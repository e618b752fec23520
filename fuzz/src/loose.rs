//! Loose object files that somebody left in a repository: no bytes make the check panic,
//! and what it accepts under its own hash is exactly what git writes, since a bundle
//! gives it a header of our own.

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use gitmoor_fs::bundle::check_loose_bytes;
use gitmoor_model::ObjectFormat;
use std::io::{Read, Write};

/// More than any header, and little enough to be quick.
const MOST: u64 = 1 << 20;

/// A file; and the content of one.
pub fn run(data: &[u8]) {
    check_file(data);
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::fast());
    deflate.write_all(data).expect("writing to memory");
    check_file(&deflate.finish().expect("writing to memory"));
}

fn check_file(file: &[u8]) {
    let mut content = Vec::new();
    let whole = ZlibDecoder::new(file).take(MOST).read_to_end(&mut content);
    for (format, kind) in [
        (ObjectFormat::Sha1, gix_hash::Kind::Sha1),
        (ObjectFormat::Sha256, gix_hash::Kind::Sha256),
    ] {
        let mut hasher = gix_hash::hasher(kind);
        hasher.update(&content);
        let oid = hasher.try_finalize().expect("no collision").to_string();
        let accepted = check_loose_bytes(&oid, file, format).is_ok();
        if accepted {
            assert!(whole.is_ok(), "a stream that zlib refuses");
            assert!(has_canonical_header(&content), "git would not read it");
        }
        let other = kind.null().to_string();
        assert!(check_loose_bytes(&other, file, format).is_err());
    }
}

/// `<type> <size>\0`, the size in decimal without leading zeros.
fn has_canonical_header(content: &[u8]) -> bool {
    let Some(nul) = content.iter().position(|&b| b == 0) else {
        return false;
    };
    let size = content.len() - nul - 1;
    content[..nul].ends_with(format!(" {size}").as_bytes())
}
