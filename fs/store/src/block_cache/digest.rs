//! Digests of files and their blocks.

use gitmoor_model::{BlockDigest, Digest};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes per block of all but giant files: one S3 GET of this size takes about
/// as long as its round trip.
const BLOCK: u64 = 256 << 10;

/// No file has more blocks than this, so that its digests (16 bytes each) fit
/// into one raft entry.
const MAX_BLOCKS: u64 = 16_384;

/// Bytes per block for a file of `len` bytes: 256 KiB up to 4 GiB, then doubling.
pub fn block_size_for(len: u64) -> u32 {
    let needed = len.div_ceil(MAX_BLOCKS).next_power_of_two();
    u32::try_from(needed.max(BLOCK)).unwrap_or(1 << 31)
}

/// Takes the digests of a file and of its blocks from its bytes as they come.
pub struct Digester {
    whole: blake3::Hasher,
    blocks: Vec<BlockDigest>,
    block_size: u32,
}

impl Digester {
    /// Of no bytes yet.
    pub fn new(block_size: u32) -> Self {
        Self {
            whole: blake3::Hasher::new(),
            blocks: Vec::new(),
            block_size,
        }
    }

    /// The next bytes: whole blocks, but for the last time.
    pub fn add(&mut self, bytes: &[u8]) {
        self.whole.update(bytes);
        let blocks = bytes.chunks(self.block_size as usize);
        self.blocks.extend(blocks.map(digest_block));
    }

    /// The block digests are empty when all is one block, for then the first digest says it all.
    pub fn finish(mut self) -> (Digest, Vec<BlockDigest>) {
        if self.blocks.len() <= 1 {
            self.blocks.clear();
        }
        (Digest(*self.whole.finalize().as_bytes()), self.blocks)
    }
}

/// Digests of the first `len` bytes of a file in one pass.
pub fn digest_file(
    file: &File,
    len: u64,
    block_size: u32,
) -> io::Result<(Digest, Vec<BlockDigest>)> {
    let mut digester = Digester::new(block_size);
    let mut buffer = vec![0; len.min(u64::from(block_size)) as usize];
    let mut at = 0;
    while at < len {
        let block = &mut buffer[..(len - at).min(u64::from(block_size)) as usize];
        file.read_exact_at(block, at)?;
        digester.add(block);
        at += block.len() as u64;
    }
    Ok(digester.finish())
}

pub(super) fn digest_block(block: &[u8]) -> BlockDigest {
    let hash = blake3::hash(block);
    BlockDigest(
        *hash
            .as_bytes()
            .first_chunk()
            .expect("32 bytes have a first 16"),
    )
}

pub(super) fn digest_whole(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}
