//! Every target on its corpus and on mutations of it: the same in every run. With
//! `GITMOOR_FUZZ_SECONDS=600` each runs for so long, from a random start, instead.

use gitmoor_fuzz::mutate::Mutator;
use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

/// No input may take longer, on whatever machine.
const SLOWEST: Duration = Duration::from_secs(10);

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let files = fs::read_dir(&dir).expect("every target has a corpus");
    let mut paths: Vec<_> = files.map(|file| file.expect("lists").path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| fs::read(path).expect("reads");
    paths.iter().map(read).collect()
}

fn check(target: &str, run: fn(&[u8]), input: &[u8]) {
    let begin = Instant::now();
    let result = panic::catch_unwind(AssertUnwindSafe(|| run(input)));
    let elapsed = begin.elapsed();
    if result.is_err() || elapsed > SLOWEST {
        let file = env::temp_dir().join(format!("{target}.{}", std::process::id()));
        fs::write(&file, input).expect("writes");
        panic!(
            "{target}: {elapsed:?} for {} bytes, kept in {}: {}",
            input.len(),
            file.display(),
            input[..input.len().min(500)].escape_ascii()
        );
    }
}

/// How far a run goes.
enum Budget {
    Inputs(u32),
    Until(Instant),
}

impl Budget {
    fn new(inputs: u32) -> Self {
        match env::var("GITMOOR_FUZZ_SECONDS") {
            Ok(text) => {
                let seconds = text.parse().expect("a number of seconds");
                Self::Until(Instant::now() + Duration::from_secs(seconds))
            }
            Err(_) => Self::Inputs(inputs),
        }
    }

    fn start(&self) -> u64 {
        match self {
            Self::Inputs(_) => 1,
            Self::Until(_) => rand::random(),
        }
    }

    fn goes_on(&self, done: u32) -> bool {
        match self {
            Self::Inputs(most) => done < *most,
            Self::Until(end) => Instant::now() < *end,
        }
    }
}

fn fuzz(target: &str, run: fn(&[u8]), inputs: u32) {
    let seeds = corpus(target);
    for seed in &seeds {
        check(target, run, seed);
    }
    let budget = Budget::new(inputs);
    let mut mutator = Mutator::new(budget.start(), seeds);
    let mut done = 0;
    while budget.goes_on(done) {
        check(target, run, &mutator.next_input());
        done += 1;
    }
}

macro_rules! targets {
    ($($target:ident: $inputs:literal),* $(,)?) => {
        $(#[test]
        fn $target() {
            fuzz(stringify!($target), gitmoor_fuzz::$target::run, $inputs);
        })*
    };
}

// Each about a second or less.
targets! {
    admin: 20_000,
    cache_dir: 1_000,
    commands: 10_000,
    config: 5_000,
    door: 20_000,
    entries: 20_000,
    idx: 50_000,
    loose: 5_000,
    marker: 2_000,
    names: 20_000,
    pack_index: 20_000,
    packed_refs: 10_000,
    peers: 5_000,
    rows: 50_000,
    s3_answer: 500,
    settings: 3_000,
    snapshot: 20_000,
    tables: 50_000,
    trailer: 5_000,
}
