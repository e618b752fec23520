//! What goes wrong with nodes and network.

use crate::clients;
use crate::machine::Input;
use crate::plan::{MILLISECOND, SECOND, around, pick};
use crate::world::{Event, World};
use gitmoor_replicator::peer::{Body, Message};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

impl World {
    pub(crate) fn fault(&mut self) {
        if !self.chaos {
            return;
        }
        let next = around(&mut self.chance, self.plan.fault_every);
        self.at(next, Event::Fault);
        let alive = self.alive();
        if alive.is_empty() {
            return;
        }
        let node = pick(&mut self.chance, &alive);
        match self.chance.random_range(0..12) {
            0..3 => self.part(),
            3..5 => self.die(node),
            5..8 => self.fail_in_a_write(node),
            8 => self.pause(node),
            9 => self.slow_down(node),
            10 => {
                self.jump(node);
                self.babble(node);
            }
            _ => self.black_out(),
        }
    }

    fn part(&mut self) {
        let nodes: Vec<_> = self.nodes.keys().copied().collect();
        self.network.part(&nodes, &mut self.chance);
        self.tally.partitions += 1;
        self.tell(|_| "the network is parted".into());
        let after = around(&mut self.chance, 3 * SECOND);
        self.at(after, Event::Heal);
    }

    /// A node crashes, and comes back later.
    pub(crate) fn die(&mut self, node: u64) {
        self.crash(node);
        let after = around(&mut self.chance, SECOND);
        self.at(after, Event::Restart(node));
    }

    fn fail_in_a_write(&mut self, node: u64) {
        let writes = self.chance.random_range(0..6);
        self.node(node).disk.fail_after(writes);
        self.tally.torn_writes += 1;
    }

    /// The power of all machines fails.
    fn black_out(&mut self) {
        self.alive().into_iter().for_each(|node| self.die(node));
    }

    /// A process does not run for a while, and then goes on as if nothing was.
    fn pause(&mut self, node: u64) {
        let pause = around(&mut self.chance, 4 * SECOND);
        let now = self.now;
        let paused = self.node(node);
        paused.busy_until = paused.busy_until.max(now) + pause;
        self.tally.pauses += 1;
        self.tell(|_| format!("{node} pauses for {} ms", pause / MILLISECOND));
    }

    fn slow_down(&mut self, node: u64) {
        let sync_time = pick(&mut self.chance, &[50, 300, 1_500]) * MILLISECOND;
        self.node(node).disk.set_sync_time(sync_time);
        self.tally.slow_disks += 1;
        let after = around(&mut self.chance, 3 * SECOND);
        self.at(after, Event::Calm(node));
    }

    pub(crate) fn calm(&mut self, node: u64) {
        let sync_time = self.plan.sync_time;
        self.node(node).disk.set_sync_time(sync_time);
    }

    /// A clock jumps ahead: deadlines are over before their time.
    fn jump(&mut self, node: u64) {
        let jump = around(&mut self.chance, 10 * SECOND);
        self.node(node).ahead += jump;
        self.tally.clock_jumps += 1;
    }

    /// Somebody says what means nothing, in another's name: it must come to nothing, and end nobody.
    /// It has a chance of its own and wakes nobody, so that a seed's story is the one without it.
    fn babble(&mut self, node: u64) {
        let mut chance = StdRng::seed_from_u64(self.now);
        let nodes: Vec<_> = self.nodes.keys().copied().collect();
        let from = pick(&mut chance, &nodes);
        let command = clients::encoded(&mut chance);
        let cut = chance.random_range(0..command.len());
        let noise: [u8; 40] = chance.random();
        let bodies = [
            Body::Propose(vec![0xff; 64]),
            Body::Propose(command[..cut].to_vec()),
            Body::Propose([command.as_slice(), &[0]].concat()),
            Body::Propose(Vec::new()),
            Body::Raft(noise.to_vec()),
            Body::Snapshot(noise.to_vec()),
        ];
        for body in bodies {
            let to = pick(&mut chance, &[node, node, node, u64::MAX]);
            let message = Message { from, to, body };
            self.node(node).inbox.push(Input::Message(message));
        }
        self.tally.babble += 1;
    }

    /// From now on nothing goes wrong, and everybody is there.
    pub(crate) fn heal(&mut self) {
        self.tell(|_| "all is well from now on".into());
        self.chaos = false;
        self.plan.heal();
        self.network.heal();
        let now = self.now;
        let nodes: Vec<_> = self.nodes.keys().copied().collect();
        for id in nodes {
            let node = self.node(id);
            node.busy_until = node.busy_until.min(now);
            node.woken = false;
            node.disk.fail_after(u32::MAX);
            self.calm(id);
            self.restart(id);
            self.wake(id);
        }
    }
}
