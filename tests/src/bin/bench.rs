//! How much slower git is on a mount than on the disk below it: every command runs
//! on both in turn, in one run on one machine, so that the ratio of the medians says
//! something even where the times do not.
//!
//! `bench [REPOSITORY] [--rounds N] [--json FILE]`; without a repository one is
//! generated. The store is a directory.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Args, Installed, Repo};
use gitmoor_tests::history::{History, noise};
use gitmoor_tests::place::Place;
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// No command may take longer, on the largest repository.
const LIMIT: Duration = Duration::from_secs(1800);
/// Refs of the repository under test.
const REFS: usize = 4_000;
/// Shorter commands than this may be slower by [`SHORT_TARGET`].
const SHORT: Duration = Duration::from_millis(10);
const SHORT_TARGET: f64 = 1.5;
const LONG_TARGET: f64 = 1.10;
/// Resident memory of the daemon.
const MEMORY_TARGET: u64 = 250 << 20;

struct Options {
    repository: Option<PathBuf>,
    rounds: usize,
    json: Option<PathBuf>,
}

/// One line of the table.
#[derive(Serialize)]
struct Measured {
    name: String,
    /// Medians, seconds.
    disk: f64,
    mount: f64,
    ratio: f64,
    /// Absent where the project has set none.
    target: Option<f64>,
}

#[derive(Serialize)]
struct Report {
    git: String,
    repository: String,
    objects: usize,
    rounds: usize,
    results: Vec<Measured>,
    daemon_rss_bytes: u64,
    daemon_peak_rss_bytes: u64,
}

fn main() {
    let options = options();
    let git = Installed::newest();
    let place = Place::new(Kind::Dir, &git);
    let source = source(&place, &options);
    let mut bench = Bench::new(&place, options.rounds);
    bench.mirror(&source);
    bench.reading();
    bench.writing();
    let report = bench.report(git.to_string(), &options);
    print_table(&report);
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report).expect("a plain structure");
        std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn options() -> Options {
    let mut options = Options {
        repository: None,
        rounds: 7,
        json: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .unwrap_or_else(|| usage(&format!("{word} needs a value")))
        };
        match word.as_str() {
            "--rounds" => match value().parse() {
                Ok(rounds) if rounds > 0 => options.rounds = rounds,
                _ => usage("--rounds expects a number"),
            },
            "--json" => options.json = Some(value().into()),
            _ if word.starts_with('-') => usage(&format!("unknown option {word}")),
            _ => options.repository = Some(word.into()),
        }
    }
    options
}

fn usage(problem: &str) -> ! {
    eprintln!("{problem}\nusage: bench [REPOSITORY] [--rounds N] [--json FILE]");
    std::process::exit(2)
}

/// A bare copy of the given repository, or a generated one, with [`REFS`] branches in one pack.
fn source(place: &Place, options: &Options) -> Repo {
    let path = place.scratch("source.git");
    let at = place.git.at(&place.scratch);
    let source = place.git.at(&path);
    match &options.repository {
        Some(from) => {
            let from = from
                .canonicalize()
                .unwrap_or_else(|error| usage(&format!("{}: {error}", from.display())));
            let mut words = ["clone", "--quiet", "--mirror", "--no-hardlinks"]
                .map(PathBuf::from)
                .to_vec();
            words.extend([from, path]);
            within(&at, words);
        }
        None => {
            at.ok(["init", "--quiet", "--bare", source.path()]);
            let history = History::default()
                .files("main", 20_000, 400, 200)
                .commits("main", 20_000);
            source.import(&history.stream());
        }
    }
    let tip = source.oid("HEAD");
    let refs: String = (0..REFS)
        .map(|n| format!("create refs/heads/bench/{n} {tip}\n"))
        .collect();
    source.feed("update-ref --stdin", refs);
    source.ok("pack-refs --all");
    within(&source, "repack -q -a -d");
    source
}

/// A command of any length.
fn within(repo: &Repo, args: impl Args) -> Duration {
    let began = Instant::now();
    let output = repo.run_within(LIMIT, &args, b"");
    let took = began.elapsed();
    assert!(
        output.status.success(),
        "{:?}: {}",
        args.words(),
        gitmoor_tests::process::report(&output)
    );
    took
}

struct Bench<'a> {
    place: &'a Place,
    disk: Repo,
    mount: Repo,
    rounds: usize,
    results: Vec<Measured>,
}

impl<'a> Bench<'a> {
    fn new(place: &'a Place, rounds: usize) -> Self {
        Bench {
            place,
            disk: place.git.at(place.scratch("disk.git")),
            mount: place.repo("bench.git"),
            rounds,
            results: Vec::new(),
        }
    }

    /// Copies the source to both sides; what is measured afterwards is the last copies.
    fn mirror(&mut self, source: &Repo) {
        let at = self.place.git.at(&self.place.scratch);
        let rounds = self.rounds.min(3);
        self.compare("clone --mirror into it", None, rounds, |round, side| {
            let to = copy(side, round);
            let line = format!("clone --quiet --mirror {} {}", source.url(), to.path());
            within(&at, line)
        });
        self.disk = copy(&self.disk, rounds);
        self.mount = copy(&self.mount, rounds);
    }

    fn reading(&mut self) {
        for command in [
            "rev-parse HEAD",
            "cat-file -p HEAD",
            "log -1",
            "for-each-ref",
        ] {
            self.command(command, self.rounds * 3);
        }
        for command in [
            "rev-list --all --count",
            "rev-list --all --objects --quiet",
            "fsck --no-dangling --no-progress",
        ] {
            self.command(command, self.rounds.min(5));
        }
        let copy = self.place.git.at(self.place.scratch("copy.git"));
        let at = self.place.git.at(&self.place.scratch);
        let rounds = self.rounds.min(5);
        self.compare(
            "clone --bare from it",
            Some(LONG_TARGET),
            rounds,
            |_, side| {
                let _ = std::fs::remove_dir_all(&copy.dir);
                within(
                    &at,
                    format!("clone --quiet --bare {} {}", side.url(), copy.path()),
                )
            },
        );
    }

    fn command(&mut self, line: &str, rounds: usize) {
        self.compare(line, Some(LONG_TARGET), rounds, |_, side| {
            within(side, line)
        });
    }

    fn writing(&mut self) {
        let tip = self.disk.oid("HEAD");
        self.hundred_commits();
        self.one_push();
        self.compare(
            "update-ref of 1000 refs",
            None,
            self.rounds,
            |round, side| {
                let lines: String = (0..1000)
                    .map(|n| format!("create refs/heads/t{round}/{n} {tip}\n"))
                    .collect();
                let began = Instant::now();
                side.feed("update-ref --stdin", lines);
                began.elapsed()
            },
        );
    }

    fn hundred_commits(&mut self) {
        let place = self.place;
        self.compare("100 commits in a worktree", None, 3, |round, side| {
            let name = side
                .dir
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let tree = place.git.at(place.scratch(format!("{name}-tree-{round}")));
            // No checkout: the commits are measured, not the size of the tree.
            side.ok(format!(
                "worktree add --quiet --no-checkout -b tree-{round} {} HEAD",
                tree.path()
            ));
            tree.ok("read-tree --empty");
            let began = Instant::now();
            (0..100).for_each(|number| commit(&tree, number));
            began.elapsed()
        });
    }

    fn one_push(&mut self) {
        let work = self.place.work("pusher");
        let mut pushed = 0;
        self.compare("push of one commit", None, self.rounds, |round, side| {
            pushed += 1;
            let tip = work.commit(&format!("push-{pushed}"));
            within(
                &work,
                format!("push --quiet {} {tip}:refs/heads/push-{round}", side.url()),
            )
        });
    }

    /// Runs both sides in turn, once to warm up.
    fn compare(
        &mut self,
        name: &str,
        long_target: Option<f64>,
        rounds: usize,
        mut run: impl FnMut(usize, &Repo) -> Duration,
    ) {
        let (mut disk, mut mount) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let times = (run(round, &self.disk), run(round, &self.mount));
            if round > 0 {
                disk.push(times.0);
                mount.push(times.1);
            }
        }
        let (disk, mount) = (median(disk), median(mount));
        let target = long_target.map(|long| if disk < SHORT { SHORT_TARGET } else { long });
        self.results.push(Measured {
            name: name.to_owned(),
            disk: disk.as_secs_f64(),
            mount: mount.as_secs_f64(),
            ratio: mount.as_secs_f64() / disk.as_secs_f64(),
            target,
        });
    }

    fn report(self, git: String, options: &Options) -> Report {
        let pid = self.place.daemon().pid().expect("the daemon runs");
        let repository = match &options.repository {
            Some(path) => path.display().to_string(),
            None => "generated".to_owned(),
        };
        Report {
            git,
            repository,
            objects: self.disk.object_count(),
            rounds: options.rounds,
            results: self.results,
            daemon_rss_bytes: memory(pid, "VmRSS"),
            daemon_peak_rss_bytes: memory(pid, "VmHWM"),
        }
    }
}

/// The copy of one round, beside the others.
fn copy(side: &Repo, round: usize) -> Repo {
    side.git.at(side.dir.with_extension(format!("{round}.git")))
}

fn commit(tree: &Repo, number: u64) {
    tree.write("file", noise(200, number));
    tree.ok("add file");
    tree.ok(format!("commit --quiet -m n{number}"));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A line of /proc/PID/status, bytes.
fn memory(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kibibytes.expect("kibibytes") << 10
}

fn print_table(report: &Report) {
    println!(
        "{}; {} objects ({})",
        report.git, report.objects, report.repository
    );
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
