//! The same repository on a disk and on a mount, and commands that run on both in turn.
//!
//! git runs as whoever measures, with nobody's configuration: what somebody has set would be measured, too.

use super::Compared;
use gitmoor_fs::program::of_the_system;
use indicatif::ProgressBar;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Commits of the repository, each of another file.
const COMMITS: usize = 400;
const REFS: usize = 500;
/// Commands that only read, as they are typed.
pub(super) const READS: [&str; 4] = [
    "rev-parse HEAD",
    "cat-file -p HEAD",
    "log -1",
    "for-each-ref",
];
pub(super) const PUSH: &str = "push of one commit";
/// Long commands run so often.
const LONG_ROUNDS: u32 = 3;
/// Of syncs, the median counts.
const SYNCS: usize = 11;

/// A step of it failed.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// git said no.
    #[error("git {command}: {said}")]
    Git {
        /// Its first word.
        command: String,
        /// Its words.
        said: String,
    },
    /// git cannot be run, or the disk failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What the system call returned.
        source: io::Error,
    },
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> PairError {
    move |source| PairError::Io { what, source }
}

/// See the module.
pub(super) struct Pair {
    /// For this run alone.
    scratch: PathBuf,
    git: Git,
    disk: PathBuf,
    mount: PathBuf,
    rounds: u32,
    bar: ProgressBar,
    measured: Vec<Compared>,
}

impl Pair {
    pub(super) fn new(
        scratch: &Path,
        mount: &Path,
        rounds: u32,
        bar: ProgressBar,
    ) -> Result<Self, PairError> {
        Ok(Self {
            scratch: scratch.to_owned(),
            git: Git::new(scratch)?,
            disk: scratch.join("disk.git"),
            mount: mount.to_owned(),
            rounds,
            bar,
            measured: Vec::new(),
        })
    }

    /// All commands, and the time of a sync in milliseconds.
    pub(super) fn measure(mut self) -> Result<(Vec<Compared>, f64), PairError> {
        self.bar.set_length(u64::from(self.rounds) * 6 + 4);
        self.bar.set_message("making a repository");
        let source = self.make_source()?;
        self.fill(&source)?;
        for command in READS {
            self.read(command)?;
        }
        self.push(&source)?;
        self.update_ref(&source)?;
        self.clone_from()?;
        let sync = self.sync()?;
        self.bar.finish_and_clear();
        Ok((self.measured, sync))
    }

    /// Commits, packed, and refs.
    fn make_source(&self) -> Result<PathBuf, PairError> {
        let git = self.git.clone();
        let source = self.scratch.join("source.git");
        let path = text(&source);
        git.run(
            &self.scratch,
            &["init", "-q", "--bare", path, "-b", "main"],
            b"",
        )?;
        git.run(&source, &["fast-import", "--quiet"], history().as_bytes())?;
        git.run(&source, &["repack", "-q", "-a", "-d"], b"")?;
        let tip = git.tip(&source)?;
        let refs: String = (0..REFS)
            .map(|n| format!("create refs/heads/topic/{n} {tip}\n"))
            .collect();
        git.run(&source, &["update-ref", "--stdin"], refs.as_bytes())?;
        git.run(&source, &["pack-refs", "--all"], b"")?;
        Ok(source)
    }

    /// Both get it as users bring a repository: by a clone of everything.
    fn fill(&mut self, source: &Path) -> Result<(), PairError> {
        let git = self.git.clone();
        let clone = |to: &Path| {
            let words = [
                "clone",
                "-q",
                "--mirror",
                "--no-local",
                text(source),
                text(to),
            ];
            timed(|| git.run(&self.scratch, &words, b""))
        };
        let (disk, mount) = (clone(&self.disk)?, clone(&self.mount)?);
        self.note("clone --mirror into it", vec![disk], vec![mount]);
        Ok(())
    }

    fn read(&mut self, command: &'static str) -> Result<(), PairError> {
        let git = self.git.clone();
        let words: Vec<_> = command.split(' ').collect();
        // What is read for the first time is not what is measured.
        for repo in [&self.disk, &self.mount] {
            git.run(repo, &words, b"")?;
        }
        self.in_turn(command, self.rounds, |repo, _| {
            git.run(repo, &words, b"").map(drop)
        })
    }

    /// Of one commit each.
    fn push(&mut self, source: &Path) -> Result<(), PairError> {
        let git = self.git.clone();
        let tip = git.tip(source)?;
        let tree = format!("{tip}^{{tree}}");
        let commit = |n: u32| {
            let message = format!("push {n}");
            let words = ["commit-tree", &tree, "-p", &tip, "-m", &message];
            Ok(git.run(source, &words, b"")?.trim().to_owned())
        };
        let rounds = self.rounds.div_ceil(2);
        let commits = (0..rounds).map(commit);
        let commits: Vec<String> = commits.collect::<Result<_, PairError>>()?;
        self.in_turn(PUSH, rounds, |repo, round| {
            let commit = &commits[round as usize];
            let spec = format!("{commit}:refs/heads/pushed/{round}");
            git.run(source, &["push", "-q", text(repo), &spec], b"")
                .map(drop)
        })
    }

    fn update_ref(&mut self, source: &Path) -> Result<(), PairError> {
        let git = self.git.clone();
        let tip = git.tip(source)?;
        self.in_turn("update-ref", self.rounds, |repo, round| {
            let name = format!("refs/heads/updated/{round}");
            git.run(repo, &["update-ref", &name, &tip], b"").map(drop)
        })
    }

    fn clone_from(&mut self) -> Result<(), PairError> {
        let git = self.git.clone();
        let to = self.scratch.join("clone.git");
        let scratch = self.scratch.clone();
        self.in_turn("clone --bare from it", LONG_ROUNDS, |repo, _| {
            let words = ["clone", "-q", "--bare", "--no-local", text(repo), text(&to)];
            git.run(&scratch, &words, b"")?;
            std::fs::remove_dir_all(&to).map_err(failed("removing a clone"))
        })
    }

    /// Runs a command on both, `rounds` times.
    fn in_turn(
        &mut self,
        command: &'static str,
        rounds: u32,
        run: impl Fn(&Path, u32) -> Result<(), PairError>,
    ) -> Result<(), PairError> {
        self.bar.set_message(command);
        let (mut disk, mut mount) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            disk.push(timed(|| run(&self.disk, round))?);
            mount.push(timed(|| run(&self.mount, round))?);
            self.bar.inc(1);
        }
        self.note(command, disk, mount);
        Ok(())
    }

    fn note(&mut self, command: &'static str, disk: Vec<Duration>, mount: Vec<Duration>) {
        let (disk, mount) = (median(disk), median(mount));
        self.measured.push(Compared {
            command,
            disk,
            mount,
            ratio: mount / disk,
        });
    }

    fn sync(&self) -> Result<f64, PairError> {
        let path = self.scratch.join("synced");
        let once = |_| {
            timed(|| {
                let mut file = File::create(&path).map_err(failed("writing a file"))?;
                file.write_all(&[1; 4096])
                    .map_err(failed("writing a file"))?;
                file.sync_all().map_err(failed("syncing a file"))
            })
        };
        let times: Vec<_> = (0..SYNCS).map(once).collect::<Result<_, _>>()?;
        Ok(median(times))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn timed<T>(run: impl FnOnce() -> Result<T, PairError>) -> Result<Duration, PairError> {
    let began = Instant::now();
    run().map(|_| began.elapsed())
}

/// Milliseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    median.as_secs_f64() * 1000.0
}

/// For git-fast-import(1).
fn history() -> String {
    let commit = |n: usize| {
        let message = format!("commit {n}\n");
        let bytes = format!("line of file {n}\n").repeat(20 + n % 60);
        let (length, size) = (message.len(), bytes.len());
        format!(
            "commit refs/heads/main\ncommitter Bench <bench@example.org> {} +0000\n\
             data {length}\n{message}M 100644 inline dir-{}/file-{n}\ndata {size}\n{bytes}\n",
            1_700_000_000 + n,
            n % 20
        )
    };
    (0..COMMITS).map(commit).collect()
}

/// git, with no configuration but a file of ours. What `-c` says does not reach the other side of a push.
#[derive(Clone)]
struct Git {
    config: PathBuf,
}

/// Whose the repository is that was just made is nothing to doubt, and nobody's hooks are measured.
const CONFIG: &str = "[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n";

impl Git {
    fn new(scratch: &Path) -> Result<Self, PairError> {
        let config = scratch.join("config");
        std::fs::write(&config, CONFIG).map_err(failed("writing a file"))?;
        Ok(Self { config })
    }

    /// Runs it in a directory, and answers what it says.
    fn run(&self, dir: &Path, words: &[&str], input: &[u8]) -> Result<String, PairError> {
        let mut command = of_the_system("git");
        without_settings(&mut command, &self.config);
        let starting = failed("starting git");
        let child = command
            .current_dir(dir)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.map_err(&starting)?;
        if let Some(mut stdin) = child.stdin.take() {
            // If git does not read all of it, its words say why.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(&starting)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(PairError::Git {
            command: words.first().copied().unwrap_or_default().to_owned(),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    fn tip(&self, repo: &Path) -> Result<String, PairError> {
        Ok(self
            .run(repo, &["rev-parse", "main"], b"")?
            .trim()
            .to_owned())
    }
}

fn without_settings(command: &mut Command, config: &Path) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path);
    command.env("GIT_CONFIG_GLOBAL", config);
    for (key, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "Bench"),
        ("GIT_AUTHOR_EMAIL", "bench@example.org"),
        ("GIT_COMMITTER_NAME", "Bench"),
        ("GIT_COMMITTER_EMAIL", "bench@example.org"),
        ("LC_ALL", "C"),
    ] {
        command.env(key, value);
    }
}
