//! How much slower git is on a mount than on the disk below it: every command runs
//! on both in turn, in one run on one machine, so that the ratio of the medians says
//! something even where the times do not.
//!
//! Besides, what only mounts can be compared in: what durability costs (`safety`), how long
//! a start takes after a crash (`recovery`), what traces cost (`tracing`); and imports and forks (`moving`).
//!
//! `bench [REPOSITORY] [--rounds N] [--json FILE] [--check] [--record] [--only NAME]...`; without a repository one is
//! generated. `--only` measures what has NAME in its name. `--record` keeps the ratios in
//! `docs/performance/history.jsonl`, `--check` compares with the last that were kept and fails when one is 15 % larger.
//! The store is a directory; for `moving` Garage too.

mod compare;
mod history;
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
use gitmoor_tests::process::memory;
use options::Options;
use report::{Compared, Report};

fn main() {
    let options = options::options();
    let mut sections = vec![safety::measure(&options), recovery::measure(&options)];
    sections.extend(moving::measure(&options));
    sections.push(tracing::measure(&options));
    let repository = options.repository.as_ref();
    let report = Report {
        git: Installed::newest().to_string(),
        repository: repository.map_or("generated".to_owned(), |path| path.display().to_string()),
        rounds: options.rounds,
        compared: options
            .wants_other_than(&SECTIONS)
            .then(|| compared(&options)),
        sections,
    };
    report::print(&report);
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report).expect("a plain structure");
        std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    let run = history::Run::of(&report);
    let is_no_slower = !options.check || run.check();
    if options.record {
        run.record();
    }
    if !is_no_slower {
        std::process::exit(1);
    }
}

/// What [`Options::only`] calls them.
const SECTIONS: [&str; 4] = ["safety", "recovery", "moving", "tracing"];

/// git on a mount against git on the disk.
fn compared(options: &Options) -> Compared {
    let git = Installed::newest();
    let place = Place::new(Kind::Dir, &git);
    let source = compare::source(&place, options);
    let mut bench = Bench::new(&place, options);
    bench.mirror(&source);
    bench.reading();
    bench.writing();
    let pid = place.daemon().pid().expect("the daemon runs");
    Compared {
        objects: bench.disk.object_count(),
        results: bench.results,
        daemon_rss_bytes: memory(pid, "VmRSS"),
        daemon_peak_rss_bytes: memory(pid, "VmHWM"),
    }
}
