//! A fixed set of small numbers that threads set and clear without a lock.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which of the numbers `0..len` are in.
pub(super) struct Bits {
    words: Box<[AtomicU64]>,
    len: u32,
}

impl Bits {
    pub(super) fn none(len: u32) -> Self {
        let words = (0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { words, len }
    }

    pub(super) fn all(len: u32) -> Self {
        let bits = Self::none(len);
        (0..len).for_each(|n| bits.set(n));
        bits
    }

    /// Bit n is bit n % 8 of byte n / 8.
    pub(super) fn from_bytes(bytes: &[u8], len: u32) -> Self {
        let bits = Self::none(len);
        let is_in = |n: &u32| {
            bytes
                .get(*n as usize / 8)
                .is_some_and(|b| b >> (n % 8) & 1 == 1)
        };
        (0..len).filter(is_in).for_each(|n| bits.set(n));
        bits
    }

    /// The inverse of [`Bits::from_bytes`].
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let bytes = self
            .words
            .iter()
            .flat_map(|w| w.load(Ordering::Acquire).to_le_bytes());
        bytes.take(self.len.div_ceil(8) as usize).collect()
    }

    pub(super) fn set(&self, n: u32) {
        self.words[n as usize / 64].fetch_or(1 << (n % 64), Ordering::AcqRel);
    }

    pub(super) fn clear(&self, n: u32) {
        self.words[n as usize / 64].fetch_and(!(1 << (n % 64)), Ordering::AcqRel);
    }

    pub(super) fn has(&self, n: u32) -> bool {
        self.words[n as usize / 64].load(Ordering::Acquire) >> (n % 64) & 1 == 1
    }

    pub(super) fn has_all(&self, mut range: Range<u32>) -> bool {
        range.all(|n| self.has(n))
    }

    pub(super) fn count(&self, range: Range<u32>) -> u32 {
        range.filter(|n| self.has(*n)).count() as u32
    }

    pub(super) fn is_full(&self) -> bool {
        let ones = |w: &AtomicU64| w.load(Ordering::Acquire).count_ones();
        self.words.iter().map(ones).sum::<u32>() == self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|w| w.load(Ordering::Acquire) == 0)
    }
}
