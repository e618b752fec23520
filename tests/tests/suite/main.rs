//! Real git on real mounts, in one binary (it links once). A folder has the name of the room that it
//! tests; `crash`, `hostile` and `limits` are troubles of all rooms.
//!
//! `scripts/check.sh refs` runs one question, see `tests/README.md`;
//! every test's name ends in the backend it ran on.

mod crash;
mod daemon;
mod git;
mod hostile;
mod hosts;
mod jobs;
mod limits;
mod replicator;
mod repository;
mod serve;
mod store;
mod tree;

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
