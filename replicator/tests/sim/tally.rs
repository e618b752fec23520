//! How much happened, so that a simulation in which nothing does is noticed.

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    pub(crate) events: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) conflicts: u64,
    pub(crate) unanswered: u64,
    pub(crate) retried: u64,
    pub(crate) forwarded: u64,
    pub(crate) snapshots: u64,
    pub(crate) crashes: u64,
    pub(crate) torn_writes: u64,
    pub(crate) partitions: u64,
    pub(crate) pauses: u64,
    pub(crate) slow_disks: u64,
    pub(crate) clock_jumps: u64,
    pub(crate) babble: u64,
    pub(crate) changes: u64,
    pub(crate) transfers: u64,
    pub(crate) removals: u64,
    pub(crate) refused_changes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        let (own, other) = (
            self.fields_mut(),
            other.clone().fields_mut().map(|field| *field),
        );
        own.into_iter()
            .zip(other)
            .for_each(|(own, other)| *own += other);
    }

    /// What never happened.
    pub(crate) fn has_nothing_missing(&self) -> bool {
        self.clone().fields_mut().iter().all(|field| **field > 0)
    }

    fn fields_mut(&mut self) -> [&mut u64; 19] {
        [
            &mut self.events,
            &mut self.reads,
            &mut self.writes,
            &mut self.conflicts,
            &mut self.unanswered,
            &mut self.retried,
            &mut self.forwarded,
            &mut self.snapshots,
            &mut self.crashes,
            &mut self.torn_writes,
            &mut self.partitions,
            &mut self.pauses,
            &mut self.slow_disks,
            &mut self.clock_jumps,
            &mut self.babble,
            &mut self.changes,
            &mut self.transfers,
            &mut self.removals,
            &mut self.refused_changes,
        ]
    }
}
