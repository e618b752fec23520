//! What durability costs those who wait for it: the same on two mounts, one with everything
//! on the disk, one with everything in memory (tmpfs), where fsync(2) has nothing
//! to do. Their ratio is the price of writing to this disk and waiting for it.

use crate::compare::within;
use crate::options::Options;
use crate::report::{Pair, Section, median};
use crate::writing::commit;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::place::Place;
use std::path::Path;
use std::time::{Duration, Instant};

/// tmpfs on every Linux.
const MEMORY: &str = "/dev/shm";

/// A repository on a mount, and who pushes to it.
struct Side {
    place: Place,
    bare: Repo,
    work: Repo,
}

impl Side {
    fn new(git: &Installed, dir: &Path) -> Side {
        let place = Place::within(dir, Kind::Dir, git, |settings| settings);
        let (bare, work) = place.pushed("app.git", 10);
        Side { place, bare, work }
    }
}

/// The disk is where temporary files are.
pub(crate) fn measure(options: &Options) -> Section {
    Section {
        title: "price of durability",
        sides: ["disk ms", "memory ms"],
        pairs: pairs(options),
    }
}

fn pairs(options: &Options) -> Vec<Pair> {
    if !options.wants("safety") || !Path::new(MEMORY).is_dir() {
        return Vec::new();
    }
    let git = Installed::newest();
    let sides = [std::env::temp_dir().as_path(), Path::new(MEMORY)].map(|dir| Side::new(&git, dir));
    let trees = sides.each_ref().map(tree);
    let commits = compare(options, &sides, |side, round| {
        let tree = &trees[usize::from(std::ptr::eq(side, &sides[1]))];
        let began = Instant::now();
        commit(tree, round as u64);
        began.elapsed()
    });
    let updates = compare(options, &sides, |side, round| {
        within(&side.bare, format!("update-ref refs/heads/u{round} main"))
    });
    let pushes = compare(options, &sides, |side, round| {
        side.work.commit(&format!("push-{round}"));
        within(
            &side.work,
            format!("push --quiet origin HEAD:refs/heads/p{round}"),
        )
    });
    vec![
        Pair::new("commit in a worktree", commits[0], commits[1]),
        Pair::new("update-ref", updates[0], updates[1]),
        Pair::new("push of one commit", pushes[0], pushes[1]),
    ]
}

/// Both in turn, once to warm up; the medians.
fn compare(
    options: &Options,
    sides: &[Side; 2],
    mut run: impl FnMut(&Side, usize) -> Duration,
) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..=options.rounds * 3 {
        for (side, times) in sides.iter().zip(&mut times) {
            let took = run(side, round);
            if round > 0 {
                times.push(took);
            }
        }
    }
    times.map(median)
}

/// A linked work tree, itself on the side's disk.
fn tree(side: &Side) -> Repo {
    let tree = side.place.git.at(side.place.scratch("tree"));
    let path = tree.path();
    side.bare
        .ok(format!("worktree add --quiet -b tree {path} main"));
    tree
}
