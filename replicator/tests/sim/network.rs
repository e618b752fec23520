//! A network that delays, loses, doubles and reorders, and whose links break in one
//! direction or both.

use crate::plan::{MILLISECOND, Plan, SECOND};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;

#[derive(Default)]
pub(crate) struct Network {
    /// From, to.
    cut: BTreeSet<(u64, u64)>,
}

impl Network {
    /// How long each copy of a message takes; none when it is lost.
    pub(crate) fn carry(&self, from: u64, to: u64, plan: &Plan, chance: &mut StdRng) -> Vec<u64> {
        let copies = if self.cut.contains(&(from, to)) || chance.random_bool(plan.lost) {
            0
        } else if chance.random_bool(plan.doubled) {
            2
        } else {
            1
        };
        (0..copies).map(|_| delay(plan, chance)).collect()
    }

    pub(crate) fn is_cut(&self, from: u64, to: u64) -> bool {
        self.cut.contains(&(from, to))
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Cuts the nodes in two, one from all others, or one direction only.
    pub(crate) fn part(&mut self, nodes: &[u64], chance: &mut StdRng) {
        let one = nodes[chance.random_range(0..nodes.len())];
        let kind = chance.random_range(0..4);
        let side: BTreeSet<u64> = match kind {
            0 => nodes
                .iter()
                .copied()
                .filter(|_| chance.random_bool(0.5))
                .collect(),
            _ => [one].into(),
        };
        for &from in nodes {
            for &to in nodes {
                let (out, back) = (side.contains(&from), side.contains(&to));
                let cut = match kind {
                    0 | 1 => out != back,
                    2 => out && !back,
                    _ => back && !out,
                };
                if cut {
                    self.cut.insert((from, to));
                }
            }
        }
    }
}

fn delay(plan: &Plan, chance: &mut StdRng) -> u64 {
    let usual = chance.random_range(plan.delay / 2..=2 * plan.delay);
    if chance.random_bool(plan.late) {
        usual + chance.random_range(MILLISECOND..5 * SECOND)
    } else {
        usual
    }
}
