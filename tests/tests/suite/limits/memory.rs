//! Memory of a daemon that repositories pass through: it does not grow with how many there were.
//!
//! The long form has 2,000 of them, by `GITMOOR_TEST_REPOSITORIES`.

use super::{MIB, place, usage};
use gitmoor_tests::git::Repo;
use gitmoor_tests::place::Place;
use gitmoor_tests::process;
use std::fs;

/// Repositories in each of two passes.
const REPOSITORIES: u64 = 100;
/// What the replicator's database keeps in memory at most, and what everything else has besides.
const MOST: u64 = 120 * MIB;
/// What one more repository may leave in the database's memory until that is full: some entries of the log.
const EACH: u64 = 20 << 10;
/// Threads come and go.
const ANYHOW: u64 = 4 * MIB;

fn memory(place: &Place) -> u64 {
    process::memory(place.daemon().pid().expect("it runs"), "RssAnon")
}

fn repositories() -> u64 {
    let given = std::env::var("GITMOOR_TEST_REPOSITORIES");
    given.map_or(REPOSITORIES, |given| given.parse().expect("a number"))
}

/// Creates a repository, pushes to it, reads from it, and removes it.
fn pass_through(place: &Place, work: &Repo, number: u64) {
    let bare = place.bare(&format!("passing-{number}.git"));
    work.ok(["push", "--quiet", bare.path(), "main"]);
    assert_eq!(bare.oid("main"), work.oid("main"));
    fs::remove_dir_all(&bare.dir).expect("rm -rf");
}

#[test]
fn repositories_that_came_and_went() {
    let place = place("");
    let (_, work) = place.pushed("app.git", 2);
    let count = repositories();
    let mut after = Vec::new();
    for pass in 0..2 {
        (0..count).for_each(|number| pass_through(&place, &work, number));
        after.push(memory(&place));
        println!("after pass {pass}: {} KiB", after[pass] >> 10);
        // Deleted files take no room in the cache.
        let (cached, _) = usage(&place.daemon().settings().data.join("cache"));
        assert!(cached <= 64 << 10, "{cached} bytes are cached");
    }
    let grown = after[1].saturating_sub(after[0]);
    assert!(after[1] <= MOST, "{after:?}");
    assert!(grown <= count * EACH + ANYHOW, "{after:?}");
}
