//! Writes a pack, version 2, of whole objects (gitformat-pack(5)).

use super::error::BundleError;
use super::loose::{Kind, LooseObject};
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use gix_hash::{Hasher, ObjectId};
use std::io::{self, BufRead, BufWriter, Write};

/// What the index says of one object.
pub(super) struct PackEntry {
    pub(super) oid: ObjectId,
    pub(super) offset: u64,
    /// CRC-32 of the entry as it stands in the pack.
    pub(super) crc: u32,
}

/// Takes the content of an entry.
type Deflate<'a, W> = ZlibEncoder<&'a mut Sums<BufWriter<W>>>;

pub(super) struct PackWriter<W: Write> {
    out: Sums<BufWriter<W>>,
    entries: Vec<PackEntry>,
}

impl<W: Write> PackWriter<W> {
    pub(super) fn begin(out: W, objects: usize, hash: gix_hash::Kind) -> io::Result<Self> {
        let count = u32::try_from(objects).map_err(io::Error::other)?;
        let out = BufWriter::with_capacity(256 << 10, out);
        let hasher = gix_hash::hasher(hash);
        let mut out = Sums {
            out,
            hasher,
            crc: Crc::new(),
            offset: 0,
        };
        out.write_all(b"PACK")?;
        out.write_all(&2u32.to_be_bytes())?;
        out.write_all(&count.to_be_bytes())?;
        Ok(Self {
            out,
            entries: Vec::with_capacity(objects),
        })
    }

    pub(super) fn add<R: BufRead>(
        &mut self,
        oid: ObjectId,
        object: LooseObject<R>,
    ) -> Result<(), BundleError> {
        let (kind, size) = (object.kind, object.size);
        self.add_entry(oid, kind, size, |deflate| object.copy_to(deflate))
    }

    pub(super) fn written(&self) -> usize {
        self.entries.len()
    }

    /// An object that is in memory.
    pub(super) fn add_content(
        &mut self,
        oid: ObjectId,
        kind: Kind,
        content: &[u8],
    ) -> Result<(), BundleError> {
        self.add_entry(oid, kind, content.len() as u64, |deflate| {
            deflate.write_all(content).map_err(writing(oid))
        })
    }

    fn add_entry(
        &mut self,
        oid: ObjectId,
        kind: Kind,
        size: u64,
        write: impl FnOnce(&mut Deflate<'_, W>) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        if kind == Kind::Other {
            let oid = oid.to_string();
            return Err(BundleError::NoPackType { oid });
        }
        let offset = self.out.offset;
        self.out.crc.reset();
        let header = entry_header(kind, size);
        self.out.write_all(&header).map_err(writing(oid))?;
        let mut deflate = ZlibEncoder::new(&mut self.out, Compression::default());
        write(&mut deflate)?;
        deflate.finish().map_err(writing(oid))?;
        self.entries.push(PackEntry {
            oid,
            offset,
            crc: self.out.crc.sum(),
        });
        Ok(())
    }

    /// Answers what the index needs: the entries, in order of offset, and the trailer.
    pub(super) fn finish(mut self) -> io::Result<(Vec<PackEntry>, ObjectId)> {
        let trailer = self.out.hasher.try_finalize().map_err(io::Error::other)?;
        self.out.out.write_all(trailer.as_slice())?;
        self.out.out.flush()?;
        Ok((self.entries, trailer))
    }
}

fn writing(oid: ObjectId) -> impl FnOnce(io::Error) -> BundleError {
    move |source| BundleError::Local {
        context: format!("writing object {oid} to a pack"),
        source,
    }
}

/// Type and size: four bits of the size beside the type, then seven per byte.
fn entry_header(kind: Kind, size: u64) -> Vec<u8> {
    let mut byte = (kind as u8) << 4 | (size & 15) as u8;
    let mut rest = size >> 4;
    let mut header = Vec::with_capacity(10);
    while rest > 0 {
        header.push(byte | 0x80);
        byte = (rest & 0x7f) as u8;
        rest >>= 7;
    }
    header.push(byte);
    header
}

/// Counts and sums what passes through.
struct Sums<W> {
    out: W,
    hasher: Hasher,
    crc: Crc,
    offset: u64,
}

impl<W: Write> Write for Sums<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.crc.update(&bytes[..n]);
        self.offset += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
