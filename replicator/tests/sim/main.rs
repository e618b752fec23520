//! A deterministic simulation of a cluster: the very peers that nodes run, in one
//! thread, on a simulated network, clock and disk, driven by a seed.
//!
//! `GITMOOR_SIM_SEEDS` (how many), `GITMOOR_SIM_FIRST` (from which one on);
//! `GITMOOR_SIM_SEED` runs one seed and tells what happens.

mod admin;
mod bug;
mod checks;
mod clients;
mod disk;
mod faults;
mod history;
mod linear;
mod machine;
mod network;
mod plan;
mod run;
mod tally;
mod transport;
mod verdict;
mod workload;
mod world;

#[test]
fn seeds() {
    run::seeds(5000);
}

#[test]
fn a_seed_is_one_story() {
    for seed in 0..10 {
        let tell = || world::World::new(seed, bug::Bug::None).run();
        assert_eq!(tell(), tell(), "seed {seed}");
    }
}
