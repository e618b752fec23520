//! At most one fetch of a block at a time: whoever comes second waits for the first.

use crate::wait::{Over, POLL, WaitBudget};
use parking_lot::{Condvar, Mutex};
use std::collections::HashSet;
use std::ops::Range;

/// The blocks of one file that are being fetched.
#[derive(Default)]
pub(super) struct SingleFlight {
    busy: Mutex<HashSet<u32>>,
    done: Condvar,
}

/// The answer to [`SingleFlight::claim`].
pub(super) enum Claim<'a> {
    /// The caller fetches these blocks now; they are free again when it drops this.
    Mine(Flight<'a>),
    /// Somebody else fetched the first block and is done: look again.
    Done,
    /// Somebody else still fetches it, and this wait is over.
    Over(Over),
}

/// The right to fetch a run of blocks.
pub(super) struct Flight<'a> {
    single_flight: &'a SingleFlight,
    pub(super) blocks: Range<u32>,
}

impl SingleFlight {
    /// Claims the longest free run at the start of `wanted` (not empty), or
    /// waits until its first block has come.
    pub(super) fn claim(&self, wanted: Range<u32>, wait: &WaitBudget) -> Claim<'_> {
        let mut busy = self.busy.lock();
        let mut waited = false;
        while busy.contains(&wanted.start) {
            waited = true;
            let timed_out = self.done.wait_for(&mut busy, POLL).timed_out();
            if let Some(over) = wait.over().filter(|_| timed_out) {
                return Claim::Over(over);
            }
        }
        if waited {
            return Claim::Done;
        }
        let end = wanted
            .clone()
            .find(|n| busy.contains(n))
            .unwrap_or(wanted.end);
        let blocks = wanted.start..end;
        busy.extend(blocks.clone());
        Claim::Mine(Flight {
            single_flight: self,
            blocks,
        })
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let mut busy = self.single_flight.busy.lock();
        self.blocks.clone().for_each(|n| {
            busy.remove(&n);
        });
        self.single_flight.done.notify_all();
    }
}
