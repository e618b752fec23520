//! A hostile user, at random: file operations of every kind in a repository that the user may write to.
//!
//! `adversary SEED OPERATIONS SECONDS LOG DIRECTORY...` works with two threads in the directories, the first of
//! which is the repository on the mount; it ends after so many operations of each thread, or so many seconds. Each operation is
//! written to `LOG.N` before it is done, for who looks afterwards what came last. It never ends with an error: what is refused
//! is refused.
//!
//! Only operations that return: descriptors do not block, locks are asked for without waiting. What does not
//! return nevertheless is the file system's fault, and for the parent to notice.

mod act;
mod names;
mod trade;

use rand::SeedableRng;
use rand::rngs::StdRng;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use trade::Trade;

/// They race for the same names.
const THREADS: u64 = 2;

struct Task {
    seed: u64,
    operations: u64,
    seconds: u64,
    log: PathBuf,
    directories: Vec<PathBuf>,
}

fn task() -> Option<Task> {
    let mut words = std::env::args().skip(1);
    let mut number = || words.next()?.parse().ok();
    let (seed, operations, seconds) = (number()?, number()?, number()?);
    let log = words.next()?.into();
    let directories: Vec<PathBuf> = words.map(PathBuf::from).collect();
    (!directories.is_empty()).then_some(Task {
        seed,
        operations,
        seconds,
        log,
        directories,
    })
}

fn main() {
    let task = task().unwrap_or_else(|| {
        eprintln!("usage: adversary SEED OPERATIONS SECONDS LOG DIRECTORY...");
        std::process::exit(2);
    });
    let end = Instant::now() + Duration::from_secs(task.seconds);
    let task = Arc::new(task);
    let over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let (task, over) = (task.clone(), over.clone());
            std::thread::spawn(move || {
                work(&task, number, end, &over);
                // Who is done first ends the race.
                over.store(true, Ordering::Relaxed);
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a thread");
    }
}

fn work(task: &Task, number: u64, end: Instant, over: &AtomicBool) {
    let random = StdRng::seed_from_u64(task.seed * THREADS + number);
    let log = task.log.with_extension(number.to_string());
    let mut trade = Trade::new(random, &log, &task.directories);
    for _ in 0..task.operations {
        if Instant::now() >= end || over.load(Ordering::Relaxed) {
            return;
        }
        trade.one();
    }
}
