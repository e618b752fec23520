//! `gitmoor bench`: how much slower git is on the mount than on a disk of this machine, how quick the store is, and what
//! could be done about either.
//!
//! ```text
//! pair      the same repository on the disk and on the mount, and commands that run on both in turn
//! advice    what stands out, and what mends it
//! ```
//!
//! Times say nothing about another machine. The ratios of medians do, since every command runs on both in one run.

mod advice;
mod pair;

use super::repo::delete::DeleteRequest;
use super::repo::list::RepoSummary;
use super::status::Status;
use super::{Failure, Reply, Request, ask, output, progress, unexpected};
use crate::config::{Place, RepoName};
use crate::mount_point;
use clap::Args;
use gitmoor_store::object_store::StoreTimes;
use pair::{Pair, PairError};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// What the repositories are called that a run makes; see [`owner_of`].
const PREFIX: &str = "gitmoor-bench-";

/// `gitmoor bench`.
#[derive(Args, Debug)]
pub struct BenchArgs {
    /// Which mount [default: that of the data directory]
    pub mountpoint: Option<PathBuf>,
    /// The directory to compare with [default: the data directory]
    #[arg(long, value_name = "DIR")]
    pub disk: Option<PathBuf>,
    /// How often each short command runs on both
    #[arg(long, value_name = "N", default_value = "30")]
    pub rounds: NonZeroU32,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// It could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No repository can be made there.
    #[error("{} shows one repository only: measure a mount of all repositories", .0.display())]
    OneRepository(PathBuf),
    /// Nothing can be written there.
    #[error("this mount is read-only: mount without --read-only")]
    ReadOnly,
    /// No repository can be made beside.
    #[error("{}: {source}; name a directory that you may write to with --disk", path.display())]
    Disk {
        /// Which directory.
        path: PathBuf,
        /// What the system call returned.
        source: io::Error,
    },
    /// A step of it failed.
    #[error(transparent)]
    Pair(#[from] PairError),
}

/// A command on both.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    pub(crate) command: &'static str,
    /// Medians, milliseconds.
    pub(crate) disk: f64,
    pub(crate) mount: f64,
    pub(crate) ratio: f64,
}

/// What is known of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedStore {
    /// Which, without secrets.
    pub store: String,
    /// None of a mount that does not ask it: offline, or read-only.
    pub times: Option<StoreTimes>,
}

/// What `gitmoor bench --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) mountpoint: PathBuf,
    /// The directory of the other repository.
    pub(crate) disk: PathBuf,
    pub(crate) commands: Vec<Compared>,
    /// Milliseconds to write 4 KiB there and sync them: a push waits for it more than once.
    pub(crate) sync: f64,
    pub(crate) store: TimedStore,
    pub(crate) advice: Vec<String>,
}

/// Measures, prints, and leaves nothing but a repository in the trash.
pub(super) fn run(place: &Place, args: &BenchArgs) -> Result<(), Failure> {
    let status = match ask(place, &Request::Status)? {
        Reply::Status(status) => status,
        other => return Err(unexpected(place, &other)),
    };
    let mountpoint = mountpoint(&status, args.mountpoint.as_deref())?;
    remove_leftovers(place)?;
    let store = match ask(place, &Request::TimeStore)? {
        Reply::TimedStore(timed) => timed,
        other => return Err(unexpected(place, &other)),
    };
    let dir = args.disk.as_ref().unwrap_or(&status.data);
    let disk = tempfile::Builder::new().prefix(PREFIX).tempdir_in(dir);
    let disk = disk.map_err(|source| BenchError::Disk {
        path: dir.clone(),
        source,
    })?;
    let name = own_name();
    let bar = progress::bar("{spinner} {msg} [{wide_bar}] {pos}/{len}", 0);
    let pair = Pair::new(disk.path(), &mountpoint.join(&name), args.rounds.get(), bar);
    let measured = pair.and_then(Pair::measure).map_err(BenchError::from);
    // Whatever failed, the repository goes.
    let removed = remove(place, &name);
    let (commands, sync) = measured?;
    removed?;
    let advice = advice::of(&status, &commands, sync, store.times.as_ref());
    let measured = Measured {
        mountpoint,
        disk: dir.clone(),
        commands,
        sync,
        store,
        advice,
    };
    match args.json {
        true => Ok(output::json(&measured)?),
        false => Ok(print(&measured)?),
    }
}

fn mountpoint(status: &Status, asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let none = "there is no mount to measure: gitmoor status shows what this daemon does";
    let mount = status.mounts.first();
    let mount = mount.ok_or_else(|| Failure::Usage(none.to_owned()))?;
    let at = &mount.mountpoint;
    if let Some(asked) = asked
        && mount_point::name_in_mount_table(asked)? != *at
    {
        return Err(Failure::Usage(format!(
            "the daemon of this data directory is mounted at {}, not at {}: name the other data \
             directory with --data",
            at.display(),
            asked.display()
        )));
    }
    match (&mount.repo, status.read_only) {
        (Some(_), _) => Err(BenchError::OneRepository(at.clone()).into()),
        (None, true) => Err(BenchError::ReadOnly.into()),
        (None, false) => Ok(at.clone()),
    }
}

/// The machine and the process are in the name, so that a later run knows whether this one is over.
fn own_name() -> String {
    format!("{PREFIX}{}-{}.git", machine(), std::process::id())
}

fn machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.trim().chars().map(plain).collect()
}

/// Of a repository that a run on this machine made, the process.
fn owner_of(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREFIX)?.strip_suffix(".git")?;
    rest.strip_prefix(&format!("{}-", machine()))?.parse().ok()
}

/// Of runs that were ended in their midst.
fn remove_leftovers(place: &Place) -> Result<(), Failure> {
    let repos = match ask(place, &Request::RepoList)? {
        Reply::Repos(repos) => repos,
        other => return Err(unexpected(place, &other)),
    };
    let is_left = |repo: &&RepoSummary| {
        owner_of(&repo.name).is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    };
    let mut left = repos.iter().filter(is_left);
    left.try_for_each(|repo| remove(place, &repo.name))
}

fn remove(place: &Place, name: &str) -> Result<(), Failure> {
    let name: RepoName = name.parse().map_err(Failure::Usage)?;
    match ask(place, &Request::RepoDelete(DeleteRequest { name })) {
        // It may not have come to be.
        Ok(_) | Err(Failure::Rejected(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn print(measured: &Measured) -> io::Result<()> {
    let (at, disk) = (measured.mountpoint.display(), measured.disk.display());
    output::line(format_args!("{at} against {disk}, medians:"))?;
    output::line(format_args!(
        "{:24} {:>10} {:>10}  ratio",
        "", "disk", "mount"
    ))?;
    for it in &measured.commands {
        let (disk, mount) = (milliseconds(it.disk), milliseconds(it.mount));
        let command = it.command;
        output::line(format_args!(
            "{command:24} {disk:>10} {mount:>10}  {:.2}",
            it.ratio
        ))?;
    }
    output::line(format_args!(
        "{:24} {:>10}",
        "sync of 4 KiB",
        milliseconds(measured.sync)
    ))?;
    print_store(&measured.store)?;
    if measured.advice.is_empty() {
        output::line("nothing stands out")?;
    }
    measured.advice.iter().try_for_each(output::line)
}

fn print_store(timed: &TimedStore) -> io::Result<()> {
    let store = &timed.store;
    let Some(times) = &timed.times else {
        return output::line(format_args!("{store}: not asked, this mount is offline"));
    };
    let of = |micros: u64| milliseconds(micros as f64 / 1000.0);
    output::line(format_args!(
        "{store}: 4 KiB put {} get {}, 4 MiB put {} get {}",
        of(times.small_put),
        of(times.small_get),
        of(times.large_put),
        of(times.large_get)
    ))
}

fn milliseconds(time: f64) -> String {
    match time {
        ..1000.0 => format!("{time:.1} ms"),
        _ => format!("{:.2} s", time / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_it_is() {
        assert_eq!(owner_of(&own_name()), Some(std::process::id()));
        for other in [
            "app.git",
            "gitmoor-bench-x.git",
            "gitmoor-bench-elsewhere-12.git",
        ] {
            assert_eq!(owner_of(other), None, "{other}");
        }
    }
}
