//! Getting missing blocks from the store: claim, GET, prove, keep.

use super::cached_file::CachedFile;
use super::error::CacheReadError;
use super::metrics;
use super::readahead::MAX_FETCH;
use super::single_flight::Claim;
use crate::failpoint;
use crate::object_store::StoreError;
use crate::wait::{Over, WaitBudget, profile};
use bytes::{Bytes, BytesMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

/// Pause between tries while the store is unavailable. Its client has already
/// backed off by itself, so this only keeps a refused connection from spinning.
const PAUSE: Duration = Duration::from_millis(500);

impl CachedFile {
    /// Fetches everything that is missing; for a background thread. Does nothing
    /// and answers `false` when the object is more than half the cache, of which it
    /// would drive out the rest.
    pub fn fetch_all(&self) -> Result<bool, CacheReadError> {
        if self.object.size > self.cache.config.max_bytes / 2 {
            return Ok(false);
        }
        let blocks = self.entry.layout.blocks();
        let most = self.entry.layout.run_of(MAX_FETCH);
        let mut next = 0;
        while next < blocks {
            if self.entry.present.has(next) {
                next += 1;
                continue;
            }
            let run = self.missing_run(next, most);
            if let Some((run, _)) = self.fetch_run(run)? {
                next = run.end;
            }
        }
        Ok(true)
    }

    /// Fetches at least the first of the `wanted` blocks (not empty), which is missing;
    /// how many more, readahead says. `None`: somebody else fetched it meanwhile.
    pub(super) fn fetch(
        &self,
        wanted: Range<u32>,
    ) -> Result<Option<(Range<u32>, Bytes)>, CacheReadError> {
        let first = wanted.start;
        let wanted = wanted.end - first;
        let most =
            self.entry
                .readahead
                .lock()
                .plan(&self.entry.layout, self.is_index(), first, wanted);
        self.fetch_run(self.missing_run(first, most))
    }

    /// `first` and the missing blocks that follow it, `most` in all.
    fn missing_run(&self, first: u32, most: u32) -> Range<u32> {
        let end = self.entry.layout.blocks().min(first + most);
        let present = (first + 1..end).find(|n| self.entry.present.has(*n));
        first..present.unwrap_or(end)
    }

    fn fetch_run(&self, run: Range<u32>) -> Result<Option<(Range<u32>, Bytes)>, CacheReadError> {
        let reading = format!("reading {}", self.object.key);
        let limit = self.cache.config.read_timeout;
        let wait = self.cache.waits.begin(reading, limit);
        let claim = || self.entry.single_flight.claim(run.clone(), &wait);
        let others = || format!("another read of {}", self.object.key);
        let flight = match profile::timed(others, claim) {
            Claim::Mine(flight) => flight,
            Claim::Done => return Ok(None),
            Claim::Over(over) => {
                return Err(self.gave_up(over, "another read of the same bytes hangs"));
            }
        };
        // It may have come between the look and the claim.
        if self.entry.present.has(run.start) {
            return Ok(None);
        }
        // So may have what follows it.
        let claimed = flight.blocks.clone();
        let run = self.missing_run(claimed.start, claimed.end - claimed.start);
        let (blocks, bytes) = self.get_proved(run, &wait)?;
        metrics::FETCHED.inc_by(bytes.len() as u64);
        self.keep(blocks.clone(), &bytes);
        Ok(Some((blocks, bytes)))
    }

    /// A run of blocks, each proved: as asked, or cut before a block that the
    /// store twice gave wrong. An error when that is the first.
    fn get_proved(
        &self,
        run: Range<u32>,
        wait: &Arc<WaitBudget>,
    ) -> Result<(Range<u32>, Bytes), CacheReadError> {
        let layout = &self.entry.layout;
        let origin = layout.bytes_of(run.clone()).start;
        let bytes = self.get(layout.bytes_of(run.clone()), wait)?;
        let place = |n: u32| {
            let block = layout.bytes_of(n..n + 1);
            (block.start - origin) as usize..(block.end - origin) as usize
        };
        if run.clone().all(|n| self.proves(n, &bytes[place(n)])) {
            return Ok((run, bytes));
        }
        let mut mended = BytesMut::from(&bytes[..]);
        for n in run.clone() {
            if self.proves(n, &mended[place(n)]) {
                continue;
            }
            match self.get_again(n, wait) {
                Ok(block) => mended[place(n)].copy_from_slice(&block),
                Err(_) if n > run.start => {
                    mended.truncate(place(n).start);
                    return Ok((run.start..n, mended.freeze()));
                }
                Err(e) => return Err(e),
            }
        }
        Ok((run, mended.freeze()))
    }

    /// Second and last try of a block that came with a wrong digest.
    fn get_again(&self, block: u32, wait: &Arc<WaitBudget>) -> Result<Bytes, CacheReadError> {
        self.report_corrupt(block, "is fetched again");
        let bytes = self.get(self.entry.layout.bytes_of(block..block + 1), wait)?;
        if self.proves(block, &bytes) {
            return Ok(bytes);
        }
        self.report_corrupt(block, "is wrong in the store");
        let (store, key) = (self.cache.store.describe(), self.object.key.clone());
        Err(CacheReadError::Corrupt { store, key, block })
    }

    fn report_corrupt(&self, block: u32, what: &str) {
        metrics::CORRUPT.with_label_values(&["store"]).inc();
        let store = self.cache.store.describe();
        tracing::error!(
            key = self.object.key,
            block,
            store,
            "a block came corrupt and {what}"
        );
    }

    /// A GET that goes on trying while the store is unavailable, until the wait is over.
    fn get(&self, range: Range<u64>, wait: &Arc<WaitBudget>) -> Result<Bytes, CacheReadError> {
        let _waiting = wait.enter();
        loop {
            let reason = match self.cache.store.get(&self.object.key, range.clone()) {
                Ok(bytes) => return Ok(bytes),
                Err(e @ StoreError::Unavailable { .. }) => e.to_string(),
                Err(StoreError::Interrupted { .. }) => {
                    return Err(self.gave_up(Over::Interrupted, ""));
                }
                Err(e) => return Err(CacheReadError::Store(e)),
            };
            wait.set_reason(reason.clone());
            if let Some(over) = wait.sleep(PAUSE) {
                return Err(self.gave_up(over, &reason));
            }
        }
    }

    fn gave_up(&self, over: Over, reason: &str) -> CacheReadError {
        let key = self.object.key.clone();
        match over {
            Over::Interrupted => CacheReadError::Interrupted { key },
            Over::TimedOut => CacheReadError::TimedOut {
                key,
                waited: self.cache.config.read_timeout,
                reason: reason.to_string(),
            },
        }
    }

    /// Writes proved blocks to the disk. A cache that cannot keep them is no
    /// reason to fail the read.
    fn keep(&self, blocks: Range<u32>, bytes: &[u8]) {
        if !self.cache.has_room(bytes.len() as u64) {
            return;
        }
        if let Err(e) = self.write_blocks(blocks.clone(), bytes) {
            let path = self.cache.entries.disk.data_path(self.entry.name);
            tracing::warn!("cannot keep fetched blocks in {}: {e}", path.display());
            return;
        }
        if !self.entry.gate.read().evict_on_close {
            self.cache
                .index
                .record(&self.entry, self.entry.layout.segments_of(blocks));
        }
    }

    fn write_blocks(&self, blocks: Range<u32>, bytes: &[u8]) -> std::io::Result<()> {
        let _gate = self.entry.gate.read();
        let offset = self.entry.layout.bytes_of(blocks.clone()).start;
        self.data.write_all_at(bytes, offset)?;
        failpoint::CACHE_WRITTEN.hit();
        for block in blocks {
            self.entry.present.set(block);
            self.entry.verified.set(block);
        }
        self.cache
            .entries
            .disk
            .save(self.entry.name, &self.entry.layout, &self.entry.present)
    }
}
