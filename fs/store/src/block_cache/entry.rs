//! What this process knows about one cached file, for as long as any block of
//! it is on the disk or anyone has it open.

use super::CachedFile;
use super::bits::Bits;
use super::disk::{Disk, FileName};
use super::layout::Layout;
use super::readahead::Readahead;
use super::single_flight::SingleFlight;
use crate::failpoint;
use parking_lot::{Mutex, RwLock};
use std::fs::File;
use std::ops::Range;
use std::sync::Weak;

pub(super) struct Entry {
    pub(super) name: FileName,
    pub(super) layout: Layout,
    /// Held shared while blocks are read, proved or written with their bits,
    /// exclusively while blocks are taken away: so a set bit means bytes for as
    /// long as the gate is held.
    pub(super) gate: RwLock<Gate>,
    /// Blocks that are on the disk, as far as we know.
    pub(super) present: Bits,
    /// Blocks that were proved in this process's life. A subset of `present`,
    /// except within a change of both.
    pub(super) verified: Bits,
    pub(super) single_flight: SingleFlight,
    pub(super) readahead: Mutex<Readahead>,
    /// The one open handle, if any. Changed under `CacheEntries::entries` only.
    pub(super) live: Mutex<Weak<CachedFile>>,
}

/// What [`Entry::gate`] guards besides the bits.
#[derive(Default)]
pub(super) struct Gate {
    /// The backing file, while it is handed out for passthrough.
    pub(super) pinned: Weak<File>,
    /// To be removed when the last handle is dropped.
    pub(super) evict_on_close: bool,
    /// The file was a real one of this machine before it came here, and whoever had
    /// it open then reads it still, perhaps through the kernel alone.
    pub(super) adopted: bool,
}

impl Entry {
    pub(super) fn new(name: FileName, layout: Layout, present: Bits, verified: Bits) -> Self {
        Self {
            name,
            layout,
            gate: RwLock::default(),
            present,
            verified,
            single_flight: SingleFlight::default(),
            readahead: Mutex::default(),
            live: Mutex::default(),
        }
    }

    pub(super) fn empty(name: FileName, layout: Layout) -> Self {
        let blocks = layout.blocks();
        Self::new(name, layout, Bits::none(blocks), Bits::none(blocks))
    }

    pub(super) fn is_live(&self) -> bool {
        self.live.lock().strong_count() > 0
    }

    /// Bytes of a segment that are on the disk, rounded up to whole blocks.
    pub(super) fn bytes_in(&self, segment: u32) -> u64 {
        u64::from(self.present.count(self.layout.segment(segment))) * self.layout.block_size
    }

    /// Takes a run of blocks away, unless somebody may read the file without asking
    /// us: then all of it goes with the last handle. Answers whether it was possible.
    pub(super) fn discard(&self, disk: &Disk, blocks: Range<u32>) -> bool {
        let mut gate = self.gate.write();
        if gate.pinned.strong_count() > 0 || gate.adopted {
            gate.evict_on_close = true;
            return false;
        }
        for n in blocks.clone() {
            self.verified.clear(n);
            self.present.clear(n);
        }
        let bytes = self.layout.bytes_of(blocks);
        let saved = disk.save(self.name, &self.layout, &self.present);
        failpoint::CACHE_EVICTING.hit();
        let done = saved.and_then(|()| disk.discard(self.name, &self.layout, bytes));
        if let Err(e) = done {
            let path = disk.data_path(self.name);
            tracing::warn!("cannot give back space of {}: {e}", path.display());
        }
        true
    }
}
