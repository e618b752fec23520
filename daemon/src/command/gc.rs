//! `gitmoor gc`: repacks, one repository after the other, then empties the trash.

use super::progress::ask_watching;
use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{ByteSize, Place, RepoName};
use clap::Args;
use gitmoor_jobs::gc::Collected;
use gitmoor_jobs::repack::{Inventory, Repacked};
use serde::{Deserialize, Serialize};
use std::io;

/// `gitmoor gc`.
#[derive(Args, Debug)]
pub struct GcArgs {
    /// Only in this repository; without it in all, and deleted repositories too
    pub name: Option<RepoName>,
    /// In all repositories, as without NAME
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
    /// Repack everything, and drop what nothing reaches any more; without it only what is small
    /// or new
    #[arg(long, conflicts_with = "trash_only")]
    pub full: bool,
    /// Put blobs into a pack of their own, so that history alone is small to read
    #[arg(long, requires = "full")]
    pub split_blobs: bool,
    /// Repack nothing
    #[arg(long)]
    pub trash_only: bool,
    /// Only say what there is to repack, and what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What is emptied of the trash, and removed that nobody owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GcRequest {
    /// In this repository alone.
    pub name: Option<RepoName>,
    pub dry_run: bool,
}

/// Which repository is repacked, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintainRequest {
    pub name: RepoName,
    /// All into one pack.
    pub full: bool,
    /// Blobs into a pack of their own.
    pub split_blobs: bool,
    /// Only say what there is.
    pub dry_run: bool,
}

#[derive(Serialize)]
struct Done {
    maintenance: Vec<Repacked>,
    /// Why a repository could not be repacked.
    failures: Vec<String>,
    #[serde(flatten)]
    collected: Collected,
}

/// One repository that cannot be repacked does not keep the others, or the trash, waiting.
pub(super) fn run(place: &Place, args: GcArgs) -> Result<(), Failure> {
    let (mut maintenance, mut failures) = (Vec::new(), Vec::new());
    for name in names(place, &args)? {
        match maintain(place, name, &args) {
            Ok(done) => maintenance.push(done),
            Err(Failure::Rejected(rejection)) => failures.push(rejection.to_string()),
            Err(other) => return Err(other),
        }
    }
    let (name, dry_run) = (args.name, args.dry_run);
    let collected = match ask(place, &Request::Gc(GcRequest { name, dry_run }))? {
        Reply::Collected(collected) => collected,
        other => return Err(unexpected(place, &other)),
    };
    let done = Done {
        maintenance,
        failures,
        collected,
    };
    match args.json {
        true => output::json(&done)?,
        false => print(&done, dry_run)?,
    }
    match done.failures.is_empty() {
        true => Ok(()),
        false => Err(Failure::Unmaintained(done.failures)),
    }
}

fn names(place: &Place, args: &GcArgs) -> Result<Vec<RepoName>, Failure> {
    if args.trash_only {
        return Ok(Vec::new());
    }
    if let Some(name) = &args.name {
        return Ok(vec![name.clone()]);
    }
    match ask(place, &Request::RepoList)? {
        Reply::Repos(repos) => {
            let names = repos.iter().map(|repo| repo.name.parse());
            names.collect::<Result<_, _>>().map_err(Failure::Usage)
        }
        other => Err(unexpected(place, &other)),
    }
}

fn maintain(place: &Place, name: RepoName, args: &GcArgs) -> Result<Repacked, Failure> {
    let request = Request::Maintain(MaintainRequest {
        name,
        full: args.full,
        split_blobs: args.split_blobs,
        dry_run: args.dry_run,
    });
    match ask_watching(place, &request)? {
        Reply::Repacked(done) => Ok(done),
        other => Err(unexpected(place, &other)),
    }
}

fn print(done: &Done, dry_run: bool) -> io::Result<()> {
    for repacked in &done.maintenance {
        print_repacked(repacked, dry_run)?;
    }
    print_collected(&done.collected)
}

fn print_repacked(done: &Repacked, dry_run: bool) -> io::Result<()> {
    let name = &done.repository;
    match &done.unchanged {
        Some(reason) => return output::line(format_args!("{name}: not repacked: {reason}")),
        None if dry_run => {
            let Inventory {
                packs,
                loose,
                bytes,
            } = done.before;
            return output::line(format_args!(
                "{name}: would repack; packs: {packs}, loose objects: {loose}, {}",
                ByteSize(bytes)
            ));
        }
        None => {}
    }
    let (before, after) = (done.before, done.after);
    output::line(format_args!("{name}: repacked in {:.1} s", done.seconds))?;
    output::fields(&[
        ("  packs", format!("{} → {}", before.packs, after.packs)),
        (
            "  loose objects",
            format!("{} → {}", before.loose, after.loose),
        ),
        ("  stored", files(done.added, done.added_bytes)),
        ("  to the trash", files(done.removed, done.removed_bytes)),
        ("  expired objects", done.expired_objects.to_string()),
    ])
}

fn files(files: u64, bytes: u64) -> String {
    format!("{files} files, {}", ByteSize(bytes))
}

fn print_collected(done: &Collected) -> io::Result<()> {
    if done.is_nothing() {
        return output::line("nothing to remove");
    }
    for name in &done.repositories {
        output::line(format_args!("{name} can no longer be restored"))?;
    }
    output::fields(&[
        ("expired files", done.expired_files.to_string()),
        ("leftovers", done.leftovers.to_string()),
        ("unfinished uploads", done.uploads.to_string()),
        (
            if done.dry_run {
                "would delete"
            } else {
                "deleted"
            },
            format!("{} objects, {}", done.objects, ByteSize(done.bytes)),
        ),
    ])
}
