//! Loose objects: a zlib stream of `<type> <size>\0<content>`, named by its hash
//! (gitformat-loose(5)).

use super::error::BundleError;
use super::inflate::Inflate;
use super::parse_oid;
use super::whole::Whole;
use gitmoor_model::ObjectFormat;
use gix_hash::{Hasher, ObjectId};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

/// Longest header. `git hash-object --literally` writes types of any length.
const MAX_HEADER: usize = 1024;

/// Checks that a loose object file is whole and has the object id in its name.
pub fn check_loose(oid: &str, file: &File, format: ObjectFormat) -> Result<(), BundleError> {
    let oid = parse_oid(oid, format)?;
    LooseObject::read(file, oid)?.copy_to(&mut io::sink())
}

/// [`check_loose`] for the bytes of such a file.
pub fn check_loose_bytes(oid: &str, file: &[u8], format: ObjectFormat) -> Result<(), BundleError> {
    let oid = parse_oid(oid, format)?;
    LooseObject::new(file, oid)?.copy_to(&mut io::sink())
}

/// Checks content against the name that it would have as a loose object.
pub(super) fn check_content(oid: ObjectId, kind: &str, content: &[u8]) -> Result<(), BundleError> {
    let mut hasher = gix_hash::hasher(oid.kind());
    hasher.update(format!("{kind} {}\0", content.len()).as_bytes());
    hasher.update(content);
    let actual = hasher.try_finalize().map_err(|e| corrupt(oid, e))?;
    match actual == oid {
        true => Ok(()),
        false => Err(corrupt(oid, format!("its content is {actual}"))),
    }
}

/// The types that a loose object can have, numbered as in packs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Commit = 1,
    Tree = 2,
    Blob = 3,
    Tag = 4,
    /// A type of `git hash-object --literally`: legal as a loose object, but no
    /// pack can hold it.
    Other = 0,
}

impl Kind {
    pub(super) fn parse(name: &[u8]) -> Self {
        match name {
            b"commit" => Self::Commit,
            b"tree" => Self::Tree,
            b"blob" => Self::Blob,
            b"tag" => Self::Tag,
            _ => Self::Other,
        }
    }
}

/// A loose object whose header has been read.
pub(super) struct LooseObject<R> {
    pub(super) kind: Kind,
    pub(super) size: u64,
    oid: ObjectId,
    /// Has seen the header.
    hasher: Hasher,
    content: Inflate<R>,
}

impl<'a> LooseObject<BufReader<Whole<'a>>> {
    pub(super) fn read(file: &'a File, oid: ObjectId) -> Result<Self, BundleError> {
        Self::new(BufReader::with_capacity(64 << 10, Whole::of(file)), oid)
    }
}

impl<R: BufRead> LooseObject<R> {
    fn new(file: R, oid: ObjectId) -> Result<Self, BundleError> {
        let mut content = Inflate::new(file);
        let header = read_header(&mut content).map_err(|e| corrupt(oid, e))?;
        let (kind, size) = parse_header(&header)
            .ok_or_else(|| corrupt(oid, format!("its header is {:?}", header.escape_ascii())))?;
        let mut hasher = gix_hash::hasher(oid.kind());
        hasher.update(&header);
        Ok(Self {
            kind,
            size,
            oid,
            hasher,
            content,
        })
    }

    /// Writes the content. An error also when, at its end, it turns out not to
    /// be what its name says.
    pub(super) fn copy_to(mut self, to: &mut impl io::Write) -> Result<(), BundleError> {
        let mut buffer = vec![0; self.size.clamp(1, 64 << 10) as usize];
        let mut left = self.size;
        while left > 0 {
            let want = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let piece = match self.content.read(&mut buffer[..want]) {
                Ok(0) => return Err(corrupt(self.oid, "it is shorter than its header says")),
                Ok(n) => &buffer[..n],
                Err(e) => return Err(corrupt(self.oid, e)),
            };
            self.hasher.update(piece);
            to.write_all(piece).map_err(|source| BundleError::Local {
                context: format!("writing object {}", self.oid),
                source,
            })?;
            left -= piece.len() as u64;
        }
        self.check_end()
    }

    fn check_end(self) -> Result<(), BundleError> {
        let oid = self.oid;
        self.content.finish().map_err(|e| corrupt(oid, e))?;
        let actual = self.hasher.try_finalize().map_err(|e| corrupt(oid, e))?;
        if actual == oid {
            Ok(())
        } else {
            Err(corrupt(oid, format!("its content is {actual}")))
        }
    }
}

/// Reads to the NUL, byte by byte: headers are short.
fn read_header(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(MAX_HEADER);
    while header.last() != Some(&0) && header.len() < MAX_HEADER {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        header.push(byte[0]);
    }
    Ok(header)
}

fn parse_header(header: &[u8]) -> Option<(Kind, u64)> {
    let text = header.strip_suffix(&[0])?;
    let space = text.iter().position(|b| *b == b' ')?;
    let digits = std::str::from_utf8(&text[space + 1..]).ok()?;
    let size: u64 = digits.parse().ok()?;
    // In the one form that git reads, and that a pack gives back: `03` would be hashed
    // into another name.
    let canonical = size.to_string() == digits;
    canonical.then(|| (Kind::parse(&text[..space]), size))
}

fn corrupt(oid: ObjectId, reason: impl ToString) -> BundleError {
    BundleError::BadObject {
        oid: oid.to_string(),
        reason: reason.to_string(),
    }
}
