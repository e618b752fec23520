//! A repository on the disk and on a mount, and commands that run on both in turn.

use crate::options::{Options, usage};
use crate::report::{Measured, median};
use gitmoor_tests::git::{Args, Repo};
use gitmoor_tests::history::History;
use gitmoor_tests::place::Place;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// No command may take longer, on the largest repository.
const LIMIT: Duration = Duration::from_secs(1800);
/// Refs of the repository under test.
const REFS: usize = 4_000;
/// Shorter commands than this may be slower by [`SHORT_TARGET`].
const SHORT: Duration = Duration::from_millis(10);
const SHORT_TARGET: f64 = 1.5;
pub(crate) const LONG_TARGET: f64 = 1.10;
const MIRROR: &str = "clone --mirror into it";

/// A bare copy of the given repository, or a generated one, with [`REFS`] branches in one pack.
pub(crate) fn source(place: &Place, options: &Options) -> Repo {
    let path = place.scratch("source.git");
    let at = place.git.at(&place.scratch);
    let source = place.git.at(&path);
    match &options.repository {
        Some(from) => mirrored(&at, from, path),
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

/// The repository as it is, its packs too.
pub(crate) fn mirrored(at: &Repo, from: &Path, to: PathBuf) {
    let from = from
        .canonicalize()
        .unwrap_or_else(|error| usage(&format!("{}: {error}", from.display())));
    let mut words = ["clone", "--quiet", "--mirror", "--no-hardlinks"]
        .map(PathBuf::from)
        .to_vec();
    words.extend([from, to]);
    within(at, words);
}

/// A command of any length.
pub(crate) fn within(repo: &Repo, args: impl Args) -> Duration {
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

/// Two copies of a repository, and what they were compared in.
pub(crate) struct Bench<'a> {
    pub(crate) place: &'a Place,
    pub(crate) disk: Repo,
    pub(crate) mount: Repo,
    pub(crate) options: &'a Options,
    pub(crate) results: Vec<Measured>,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(place: &'a Place, options: &'a Options) -> Self {
        Bench {
            place,
            disk: place.git.at(place.scratch("disk.git")),
            mount: place.repo("bench.git"),
            options,
            results: Vec::new(),
        }
    }

    /// Copies the source to both sides; what is measured afterwards is the last copies.
    pub(crate) fn mirror(&mut self, source: &Repo) {
        let at = self.place.git.at(&self.place.scratch);
        let rounds = self.options.rounds.min(3);
        let clone = |round, side: &Repo| {
            let to = copy(side, round);
            let line = format!("clone --quiet --mirror {} {}", source.url(), to.path());
            within(&at, line)
        };
        if self.options.wants(MIRROR) {
            self.compare(MIRROR, None, rounds, clone);
        } else {
            clone(rounds, &self.disk);
            clone(rounds, &self.mount);
        }
        self.disk = copy(&self.disk, rounds);
        self.mount = copy(&self.mount, rounds);
    }

    /// Runs both sides in turn, once to warm up.
    pub(crate) fn compare(
        &mut self,
        name: &str,
        long_target: Option<f64>,
        rounds: usize,
        mut run: impl FnMut(usize, &Repo) -> Duration,
    ) {
        if !self.options.wants(name) {
            return;
        }
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
}

/// The copy of one round, beside the others.
fn copy(side: &Repo, round: usize) -> Repo {
    side.git.at(side.dir.with_extension(format!("{round}.git")))
}
