//! Real git on real mounts, one module per question, in one binary (it links once).
//!
//! `scripts/check.sh refs` runs one question, see `tests/README.md`;
//! every test's name ends in the backend it ran on.

mod audit;
mod borrowing;
mod budgets;
mod cli;
mod cluster;
mod compatibility;
mod concurrency;
mod copying;
mod crash;
mod damaged_replica;
mod doctor;
mod export;
mod extras;
mod faults;
mod fork;
mod fsck;
mod gc;
mod hostile;
mod immutable;
mod import;
mod init;
mod limits;
mod maintenance;
mod metrics;
mod mount_helper;
mod mount_options;
mod namespace;
mod open_files;
mod prune;
mod quota;
mod reaching_s3;
mod reference;
mod refs;
mod reftable;
mod restart;
mod serving;
mod slow;
mod staged;
mod still;
mod top;
mod traces;
mod transfer;
mod trash;
mod units;
mod waiting;
mod warm;
mod worktrees;

/// A scenario becomes a test per backend: the plain directory, which proves the scenario
/// right, and a mount over a directory store.
macro_rules! local {
    ($($scenario:ident),* $(,)?) => {
        $(mod $scenario {
            use gitmoor_tests::{backend::Kind, place::Place};
            #[test]
            fn plain() {
                Place::run(Kind::Plain, super::$scenario);
            }
            #[test]
            fn dir() {
                Place::run(Kind::Dir, super::$scenario);
            }
        })*
    };
}

/// As [`local`], and on both S3 servers.
macro_rules! everywhere {
    ($($scenario:ident),* $(,)?) => {
        $(mod $scenario {
            use gitmoor_tests::{backend::Kind, place::Place};
            #[test]
            fn plain() {
                Place::run(Kind::Plain, super::$scenario);
            }
            #[test]
            fn dir() {
                Place::run(Kind::Dir, super::$scenario);
            }
            #[test]
            fn s3s() {
                Place::run(Kind::S3s, super::$scenario);
            }
            #[test]
            fn garage() {
                Place::run(Kind::Garage, super::$scenario);
            }
        })*
    };
}

/// What a plain directory does not promise: mounts only.
macro_rules! mounted {
    ($($scenario:ident),* $(,)?) => {
        $(mod $scenario {
            use gitmoor_tests::{backend::Kind, place::Place};
            #[test]
            fn dir() {
                Place::run(Kind::Dir, super::$scenario);
            }
        })*
    };
}

pub(crate) use {everywhere, local, mounted};
