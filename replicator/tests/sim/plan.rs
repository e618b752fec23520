//! What a seed makes of its world: how good network, disks and clocks are, and how
//! often something happens. Few seeds have everything at its worst, or nothing
//! would ever be done in them.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

pub(crate) const MILLISECOND: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;
pub(crate) const FOR_EVER: u64 = 1_000_000 * SECOND;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Members to come to.
    pub(crate) members: usize,
    pub(crate) clients: usize,
    pub(crate) references: usize,
    /// How long things go wrong.
    pub(crate) chaos: u64,
    /// Mean time between faults.
    pub(crate) fault_every: u64,
    /// Mean time between changes of the membership, once it is complete.
    pub(crate) change_every: u64,
    /// Mean time between a client's operations.
    pub(crate) think: u64,
    /// Of messages.
    pub(crate) lost: f64,
    pub(crate) doubled: f64,
    pub(crate) late: f64,
    /// Microseconds.
    pub(crate) delay: u64,
    pub(crate) sync_time: u64,
    pub(crate) compact_entries: u64,
}

impl Plan {
    pub(crate) fn new(chance: &mut StdRng) -> Self {
        let lost: &[f64] = &[0.0, 0.01, 0.1];
        let doubled: &[f64] = &[0.0, 0.01, 0.1];
        let late: &[f64] = &[0.0, 0.02, 0.1];
        Self {
            members: pick(chance, &[1, 2, 3, 3, 3, 4, 5]),
            clients: chance.random_range(2..=5),
            references: chance.random_range(1..=3),
            chaos: chance.random_range(10..40) * SECOND,
            fault_every: pick(chance, &[300, 800, 2_000, 6_000]) * MILLISECOND,
            change_every: pick(chance, &[500, 2_000, 10_000]) * MILLISECOND,
            think: pick(chance, &[20, 100, 300]) * MILLISECOND,
            lost: pick(chance, lost),
            doubled: pick(chance, doubled),
            late: pick(chance, late),
            delay: pick(chance, &[200, 1_000, 10_000]),
            sync_time: pick(chance, &[100, 2_000, 20_000]),
            compact_entries: pick(chance, &[4, 10, 30, 100]),
        }
    }

    /// What is left of it when things go right again.
    pub(crate) fn heal(&mut self) {
        self.lost = 0.0;
        self.doubled = 0.0;
        self.late = 0.0;
        self.delay = MILLISECOND;
        self.sync_time = MILLISECOND;
    }
}

pub(crate) fn pick<T: Copy>(chance: &mut StdRng, of: &[T]) -> T {
    *of.choose(chance)
        .expect("there is something to choose from")
}

/// A time around a mean.
pub(crate) fn around(chance: &mut StdRng, mean: u64) -> u64 {
    chance.random_range(1..=2 * mean)
}
