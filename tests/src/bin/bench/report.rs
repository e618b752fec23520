//! What was measured, as a table and as JSON.

use serde::Serialize;
use std::time::Duration;

/// Resident memory of the daemon.
const MEMORY_TARGET: u64 = 250 << 20;

/// One line of the table.
#[derive(Serialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    /// Medians, seconds.
    pub(crate) disk: f64,
    pub(crate) mount: f64,
    pub(crate) ratio: f64,
    /// Absent where the project has set none.
    pub(crate) target: Option<f64>,
}

/// A table of pairs.
#[derive(Serialize)]
pub(crate) struct Section {
    pub(crate) title: &'static str,
    /// Of what the two times of each pair are.
    pub(crate) sides: [&'static str; 2],
    /// None when it was not to be measured.
    pub(crate) pairs: Vec<Pair>,
}

/// The same in two ways.
#[derive(Serialize)]
pub(crate) struct Pair {
    pub(crate) name: String,
    /// Medians, seconds: of what is asked about …
    pub(crate) with: f64,
    /// … and of what it is compared with.
    pub(crate) without: f64,
    pub(crate) ratio: f64,
}

impl Pair {
    pub(crate) fn new(name: &str, with: Duration, without: Duration) -> Pair {
        Pair {
            name: name.to_owned(),
            with: with.as_secs_f64(),
            without: without.as_secs_f64(),
            ratio: with.as_secs_f64() / without.as_secs_f64(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) git: String,
    pub(crate) repository: String,
    pub(crate) rounds: usize,
    /// What a mount on its own is compared in.
    pub(crate) sections: Vec<Section>,
    #[serde(flatten)]
    pub(crate) compared: Option<Compared>,
}

/// A mount and the disk.
#[derive(Serialize)]
pub(crate) struct Compared {
    pub(crate) objects: usize,
    pub(crate) results: Vec<Measured>,
    pub(crate) daemon_rss_bytes: u64,
    pub(crate) daemon_peak_rss_bytes: u64,
}

/// The one in the middle.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// For people.
pub(crate) fn print(report: &Report) {
    println!("{}; {}", report.git, report.repository);
    report.sections.iter().for_each(print_section);
    report.compared.iter().for_each(print_compared);
}

fn print_compared(report: &Compared) {
    println!("{} objects", report.objects);
    println!(
        "{:32} {:>10} {:>10} {:>7} {:>7}",
        "", "disk ms", "mount ms", "ratio", "target"
    );
    for line in &report.results {
        let target = line
            .target
            .map_or(String::new(), |target| format!("{target:.2}"));
        let mark = if line.target.is_some_and(|target| line.ratio > target) {
            " over"
        } else {
            ""
        };
        println!(
            "{:32} {:>10.1} {:>10.1} {:>7.2} {target:>7}{mark}",
            line.name,
            line.disk * 1e3,
            line.mount * 1e3,
            line.ratio
        );
    }
    let (now, peak) = (report.daemon_rss_bytes, report.daemon_peak_rss_bytes);
    let mark = if peak > MEMORY_TARGET { " over" } else { "" };
    println!(
        "daemon memory: {} MiB, at most {} MiB, target {} MiB{mark}",
        now >> 20,
        peak >> 20,
        MEMORY_TARGET >> 20
    );
}

fn print_section(section: &Section) {
    if section.pairs.is_empty() {
        return;
    }
    let [with, without] = section.sides;
    println!(
        "{:32} {with:>12} {without:>10} {:>7}",
        section.title, "ratio"
    );
    for pair in &section.pairs {
        let (with, without) = (pair.with * 1e3, pair.without * 1e3);
        let (name, ratio) = (&pair.name, pair.ratio);
        println!("{name:32} {with:>12.1} {without:>10.1} {ratio:>7.2}");
    }
}
