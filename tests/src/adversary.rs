//! The program that is a hostile user at random (`src/bin/adversary`), started beside a [`Ground`] and watched: it
//! must come to its end.

use crate::hostile::Ground;
use crate::wait;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// Operations of each thread that a failure prints.
const LAST: usize = 40;

/// How much it does at most.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Operations of each thread.
    pub operations: u64,
    /// For so long.
    pub time: Duration,
}

/// A hostile user at work. Dropped it is killed; in a failing test the last operations are printed.
pub struct Adversary {
    child: Child,
    seed: u64,
    log: PathBuf,
    effort: Effort,
}

impl Adversary {
    /// Works in the intruder's repository on the mount, and in other directories of the intruder's.
    #[track_caller]
    pub fn start(
        program: &Path,
        ground: &Ground,
        beside: &[&Path],
        seed: u64,
        effort: Effort,
    ) -> Self {
        let log = ground.home.join(format!("adversary-{seed}"));
        // Where it was built others may not go.
        let copy = ground.home.join("adversary");
        fs::copy(program, &copy).expect("a copy");
        let mut command = ground.command(copy.to_str().expect("UTF-8"));
        command.args([seed, effort.operations, effort.time.as_secs()].map(|n| n.to_string()));
        command.arg(&log).arg(&ground.mine.dir).args(beside);
        let child = command.stdin(Stdio::null()).spawn();
        Self {
            child: child.expect("the adversary"),
            seed,
            log,
            effort,
        }
    }

    /// Whether it still works.
    pub fn works(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_none()
    }

    /// Waits for its end; fails the test if an operation does not return within a bound.
    #[track_caller]
    pub fn ends(mut self, bound: Duration) {
        let bound = self.effort.time + bound;
        let ended = wait::poll(bound, || self.child.try_wait().expect("wait"));
        let ended = ended.unwrap_or_else(|| panic!("an operation did not return within {bound:?}"));
        assert!(ended.success(), "the adversary itself failed: {ended}");
    }

    fn print_last(&self) {
        println!("--- failed with GITMOOR_ADVERSARY_SEED={}", self.seed);
        for thread in 0.. {
            let Ok(log) = fs::read(self.log.with_extension(thread.to_string())) else {
                break;
            };
            let log = String::from_utf8_lossy(&log).into_owned();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(2 * LAST)..];
            println!("--- thread {thread} did last\n{}", last.join("\n"));
        }
    }
}

impl Drop for Adversary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        if std::thread::panicking() {
            self.print_last();
            // It may be held in the kernel by what the test found.
            return;
        }
        let _ = self.child.wait();
    }
}
