//! Machines with a network of their own: network namespaces on one bridge, whose links can be
//! cut, in one direction or both.

use crate::requirement::{Requirement, demand, program};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Namespaces of one cluster; gone when dropped.
#[derive(Debug)]
pub struct Namespaces {
    /// Begins their names.
    name: String,
    machines: usize,
}

impl Namespaces {
    /// One for each machine.
    #[track_caller]
    pub fn new(machines: usize) -> Namespaces {
        for name in ["ip", "nft", "nsenter"] {
            demand(Requirement::Netns, program(name));
        }
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("gm{}-{made}", std::process::id());
        let all = Namespaces { name, machines };
        let hub = all.hub();
        demand(Requirement::Netns, try_run(&format!("ip netns add {hub}")));
        run(&format!("ip -n {hub} link add bridge type bridge"));
        run(&format!("ip -n {hub} link set bridge up"));
        for machine in 0..machines {
            let (own, address) = (all.of(machine), all.ip(machine));
            run(&format!("ip netns add {own}"));
            run(&format!("ip -n {own} link set lo up"));
            run(&format!(
                "ip -n {hub} link add to-{machine} type veth peer name eth netns {own}"
            ));
            run(&format!(
                "ip -n {hub} link set to-{machine} master bridge up"
            ));
            run(&format!("ip -n {own} addr add {address}/24 dev eth"));
            run(&format!("ip -n {own} link set eth up"));
        }
        all
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.name)
    }

    /// The namespace of a machine.
    pub fn of(&self, machine: usize) -> String {
        format!("{}-{machine}", self.name)
    }

    /// A machine's address; the same in every test, whose namespaces do not see each other.
    pub fn ip(&self, machine: usize) -> String {
        format!("10.99.0.{}", machine + 1)
    }

    /// From now on a machine does not hear another.
    pub fn deafen(&self, machine: usize, to: usize) {
        let (own, from) = (self.of(machine), self.ip(to));
        run(&format!("ip netns exec {own} nft add table ip cut"));
        run(&format!(
            "ip netns exec {own} nft add chain ip cut in {{ type filter hook input priority 0; }}"
        ));
        run(&format!(
            "ip netns exec {own} nft add rule ip cut in ip saddr {from} drop"
        ));
    }

    /// From now on two machines do not hear each other.
    pub fn cut(&self, one: usize, other: usize) {
        self.deafen(one, other);
        self.deafen(other, one);
    }

    /// All hear each other again.
    pub fn heal(&self) {
        for machine in 0..self.machines {
            let own = self.of(machine);
            run(&format!("ip netns exec {own} nft flush ruleset"));
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let machines = (0..self.machines).map(|machine| self.of(machine));
        for name in machines.chain([self.hub()]) {
            let mut ip = Command::new("ip");
            let _ = ip
                .args(["netns", "del", &name])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// A command without quotes.
#[track_caller]
fn run(line: &str) {
    try_run(line).unwrap_or_else(|error| panic!("{error}"));
}

fn try_run(line: &str) -> Result<(), String> {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("a command"));
    let output = command.args(words).output();
    let output = output.map_err(|error| format!("{line}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{line}: {said}")),
    }
}
