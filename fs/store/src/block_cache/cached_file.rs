//! One object, open for reading.
#![expect(
    clippy::disallowed_methods,
    reason = "the directory of the cache is the daemon's own"
)]

use super::blocks::{BlockCache, CacheObject};
use super::digest::{digest_block, digest_whole};
use super::entry::Entry;
use super::error::CacheReadError;
use super::idx::Tables;
use super::metrics;
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// An object of the store, read through the cache.
pub struct CachedFile {
    pub(super) cache: Arc<BlockCache>,
    pub(super) object: CacheObject,
    pub(super) entry: Arc<Entry>,
    /// The backing file, for reading and writing.
    pub(super) data: File,
    kind: Kind,
}

/// How an object is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// In places that lie together.
    Data,
    /// All over: an index over packs or commits.
    Index,
    /// The same, with tables of which more is known.
    PackIndex(Tables),
}

impl CachedFile {
    pub(super) fn new(
        cache: Arc<BlockCache>,
        object: CacheObject,
        entry: Arc<Entry>,
        data: File,
        kind: Kind,
    ) -> Self {
        Self {
            cache,
            object,
            entry,
            data,
            kind,
        }
    }

    /// The object that is read.
    pub fn object(&self) -> &CacheObject {
        &self.object
    }

    /// Reads bytes, all of them proved; fewer than `len` only at the end of the object.
    /// Blocks while the store is asked, until nothing comes for the read timeout.
    pub fn read(&self, offset: u64, len: usize) -> Result<Bytes, CacheReadError> {
        let start = offset.min(self.object.size);
        let wanted = start..start.saturating_add(len as u64).min(self.object.size);
        match self.kind {
            Kind::PackIndex(tables) if !self.has(offset, len) => {
                let reach = tables.reach(wanted.clone());
                let bytes = self.read_all(reach.clone())?;
                Ok(bytes.slice(within(&wanted, reach.start)))
            }
            Kind::Data | Kind::Index | Kind::PackIndex(_) => self.read_all(wanted),
        }
    }

    /// Whether it is searched all over.
    pub(super) fn is_index(&self) -> bool {
        match self.kind {
            Kind::Data => false,
            Kind::Index | Kind::PackIndex(_) => true,
        }
    }

    /// Reads bytes that end within the object.
    fn read_all(&self, bytes: Range<u64>) -> Result<Bytes, CacheReadError> {
        let blocks = self.entry.layout.blocks_of(bytes.clone());
        let mut out = BytesMut::zeroed((bytes.end - bytes.start) as usize);
        let mut next = blocks.start;
        let mut hit = true;
        while next < blocks.end {
            let there = self.copy_present(next..blocks.end, &bytes, &mut out);
            if there > 0 {
                next += there;
                continue;
            }
            hit = false;
            if let Some((run, fetched)) = self.fetch(next..blocks.end)? {
                self.copy_fetched(run.clone(), &fetched, &bytes, &mut out);
                next = run.end;
            }
        }
        if hit {
            metrics::HITS.inc()
        } else {
            metrics::MISSES.inc()
        }
        self.cache
            .index
            .touch(self.entry.name, self.entry.layout.segments_of(blocks));
        Ok(out.freeze())
    }

    /// Whether a read of these bytes needs no request.
    pub fn has(&self, offset: u64, len: usize) -> bool {
        let start = offset.min(self.object.size);
        let end = start.saturating_add(len as u64).min(self.object.size);
        self.entry
            .present
            .has_all(self.entry.layout.blocks_of(start..end))
    }

    /// Whether no block of it is cached.
    pub fn is_absent(&self) -> bool {
        self.entry.present.is_empty()
    }

    /// The backing file, for reading, when every block is present and proved;
    /// for FUSE passthrough. It stays whole for as long as anyone holds it.
    pub fn complete(&self) -> Option<Arc<File>> {
        let mut gate = self.entry.gate.write();
        if !self.entry.present.is_full() || !self.entry.verified.is_full() {
            return None;
        }
        if let Some(file) = gate.pinned.upgrade() {
            return Some(file);
        }
        // Through /proc, not by name: the name may be gone, or another file's.
        let path = format!("/proc/self/fd/{}", self.data.as_raw_fd());
        let file = Arc::new(File::open(path).ok()?);
        gate.pinned = Arc::downgrade(&file);
        Some(file)
    }

    /// Proves the blocks that are present but not proved yet; answers whether
    /// [`CachedFile::complete`] will now give the file.
    pub fn verify_all(&self) -> bool {
        let prove = |n: &u32| {
            let _gate = self.entry.gate.read();
            self.prove_present(*n)
        };
        let blocks = self.entry.layout.blocks();
        (0..blocks).filter(prove).count() == blocks as usize
    }

    /// Whether these are the bytes of a block.
    pub fn is_block(&self, block: u32, bytes: &[u8]) -> bool {
        self.proves(block, bytes)
    }

    /// The bytes of a block as the disk has them now, proved now; never fetched.
    pub fn cached_block(&self, block: u32) -> Option<Bytes> {
        let _gate = self.entry.gate.read();
        if !self.entry.present.has(block) {
            return None;
        }
        let range = self.entry.layout.bytes_of(block..block + 1);
        let mut bytes = BytesMut::zeroed((range.end - range.start) as usize);
        self.data.read_exact_at(&mut bytes, range.start).ok()?;
        self.proves(block, &bytes).then(|| bytes.freeze())
    }

    /// Proves every block that is present anew and drops those that are damaged;
    /// whether none was.
    pub fn drop_damaged(&self) -> bool {
        let sound = |block: &u32| {
            let present = self.entry.present.has(*block);
            if !present || self.cached_block(*block).is_some() {
                return true;
            }
            self.lose(*block..*block + 1, "its digest is wrong");
            false
        };
        let blocks = 0..self.entry.layout.blocks();
        blocks.filter(|block| !sound(block)).count() == 0
    }

    /// Copies what the run of present blocks at the start of `blocks` has of
    /// `wanted` into `out`, which stands for `wanted`. Answers how many blocks that were.
    fn copy_present(&self, blocks: Range<u32>, wanted: &Range<u64>, out: &mut [u8]) -> u32 {
        let _gate = self.entry.gate.read();
        let there = blocks
            .clone()
            .take_while(|n| self.prove_present(*n))
            .count() as u32;
        if there == 0 {
            return 0;
        }
        let run = blocks.start..blocks.start + there;
        let bytes = overlap(&self.entry.layout.bytes_of(run.clone()), wanted);
        let slice = &mut out[within(&bytes, wanted.start)];
        match self.data.read_exact_at(slice, bytes.start) {
            Ok(()) => there,
            Err(e) => {
                self.lose(run, &e.to_string());
                0
            }
        }
    }

    /// Whether a block is present and, now at the latest, proved. The gate is held.
    fn prove_present(&self, block: u32) -> bool {
        if !self.entry.present.has(block) {
            return false;
        }
        if self.entry.verified.has(block) {
            return true;
        }
        let bytes = self.entry.layout.bytes_of(block..block + 1);
        let mut buffer = vec![0; (bytes.end - bytes.start) as usize];
        match self.data.read_exact_at(&mut buffer, bytes.start) {
            Ok(()) if self.proves(block, &buffer) => {
                self.entry.verified.set(block);
                true
            }
            Ok(()) => {
                self.lose(block..block + 1, "its digest is wrong");
                false
            }
            Err(e) => {
                self.lose(block..block + 1, &e.to_string());
                false
            }
        }
    }

    /// Blocks on the disk are unusable: they count as absent, and are fetched again.
    fn lose(&self, blocks: Range<u32>, reason: &str) {
        let path = self.cache.entries.disk.data_path(self.entry.name);
        for block in blocks {
            metrics::CORRUPT.with_label_values(&["disk"]).inc();
            tracing::warn!(
                key = self.object.key, block, path = %path.display(),
                "a cached block is unusable and will be fetched again: {reason}"
            );
            self.entry.verified.clear(block);
            self.entry.present.clear(block);
        }
    }

    /// Whether these are the bytes of a block.
    pub(super) fn proves(&self, block: u32, bytes: &[u8]) -> bool {
        match self.object.blocks.get(block as usize) {
            Some(digest) => digest_block(bytes) == *digest,
            None => digest_whole(bytes) == self.object.digest,
        }
    }

    fn copy_fetched(&self, run: Range<u32>, fetched: &[u8], wanted: &Range<u64>, out: &mut [u8]) {
        let have = self.entry.layout.bytes_of(run);
        let bytes = overlap(&have, wanted);
        out[within(&bytes, wanted.start)].copy_from_slice(&fetched[within(&bytes, have.start)]);
    }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> Range<u64> {
    a.start.max(b.start)..a.end.min(b.end)
}

/// A range of the file as a range of a buffer that begins at `origin`.
fn within(bytes: &Range<u64>, origin: u64) -> Range<usize> {
    (bytes.start - origin) as usize..(bytes.end - origin) as usize
}

impl Drop for CachedFile {
    fn drop(&mut self) {
        if self.cache.entries.release(&self.entry) {
            self.cache.index.forget(&self.entry);
        }
    }
}

impl fmt::Debug for CachedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedFile")
            .field("key", &self.object.key)
            .finish_non_exhaustive()
    }
}
