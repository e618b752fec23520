//! How much slower git is on a mount than on the disk below it: every command runs
//! on both in turn, in one run on one machine, so that the ratio of the medians says
//! something even where the times do not.
//!
//! Besides, what only mounts can be compared in: what durability costs (`safety`), how long
//! a start takes after a crash (`recovery`), what traces cost (`tracing`); and imports and forks (`moving`).
//!
//! `bench [REPOSITORY] [--rounds N] [--json FILE] [--only NAME]...`; without a repository one is
//! generated. `--only` measures what has NAME in its name. The store is a directory.

mod compare;
mod moving;
mod options;
mod reading;
mod recovery;
mod report;
mod safety;
mod tracing;
mod writing;

use compare::Bench;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Installed;
use gitmoor_tests::place::Place;
use options::Options;
use report::{Report, memory};

fn main() {
    let options = options::options();
    let mut others = vec![safety::measure(&options), recovery::measure(&options)];
    others.extend(moving::measure(&options));
    others.push(tracing::measure(&options));
    let mut report = compared(&options);
    report.others = others;
    report::print_table(&report);
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report).expect("a plain structure");
        std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// git on a mount against git on the disk.
fn compared(options: &Options) -> Report {
    let git = Installed::newest();
    let place = Place::new(Kind::Dir, &git);
    let source = compare::source(&place, options);
    let mut bench = Bench::new(&place, options);
    bench.mirror(&source);
    bench.reading();
    bench.writing();
    let pid = place.daemon().pid().expect("the daemon runs");
    let repository = options.repository.as_ref();
    Report {
        git: git.to_string(),
        repository: repository.map_or("generated".to_owned(), |path| path.display().to_string()),
        objects: bench.disk.object_count(),
        rounds: options.rounds,
        results: bench.results,
        others: Vec::new(),
        daemon_rss_bytes: memory(pid, "VmRSS"),
        daemon_peak_rss_bytes: memory(pid, "VmHWM"),
    }
}
