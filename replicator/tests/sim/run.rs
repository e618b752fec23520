//! Running seeds.

use crate::bug::Bug;
use crate::tally::Tally;
use crate::world::World;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How many seeds a run takes, from which one on, and the one to tell about.
const SEEDS: &str = "GITMOOR_SIM_SEEDS";
const FIRST: &str = "GITMOOR_SIM_FIRST";
const SEED: &str = "GITMOOR_SIM_SEED";

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
    )
}

/// What went wrong, if anything did.
pub(crate) fn catch(run: impl FnOnce() -> Tally) -> Result<Tally, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "a panic without a text".into())
    })
}

/// Runs the seeds that the environment asks for, on all processors.
pub(crate) fn seeds(default: u64) {
    if let Some(seed) = number(SEED) {
        println!("{:?}", World::new(seed, Bug::None).telling().run());
        return;
    }
    let first = number(FIRST).unwrap_or(0);
    let end = first + number(SEEDS).unwrap_or(default);
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Tally::default());
    let failures = Mutex::new(Vec::new());
    let work = || {
        while let Some(seed) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < end)
        {
            match catch(|| World::new(seed, Bug::None).run()) {
                Ok(tally) => sum
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .add(&tally),
                Err(why) => {
                    eprintln!("seed {seed} failed");
                    let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                    failures.push((seed, why));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{sum:?}");
    report(
        failures
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner),
    );
    if end - first >= 100 {
        assert!(sum.has_nothing_missing(), "something never happened");
    }
}

fn report(mut failures: Vec<(u64, String)>) {
    failures.sort_unstable();
    let lines: Vec<_> = failures
        .iter()
        .map(|(seed, why)| format!("seed {seed}: {why}"))
        .collect();
    if let Some((seed, _)) = failures.first() {
        panic!(
            "{} seeds failed:\n{}\nto see the first: {SEED}={seed} \
             cargo nextest run --release --workspace --no-capture -E 'binary(sim) and test(/^seeds$/)'",
            failures.len(),
            lines.join("\n"),
        );
    }
}
