//! `gitmoor warm`: reads what git will need, through the mount, so that its cache has it.
//!
//! Which objects that are only git can say, and a read of theirs fetches exactly the blocks that they
//! are in: so git is asked, on the mount. What is cached already costs no request.

mod files;
mod objects;

use super::mounted::{self, NotMounted};
use super::status::{Cache, Status};
use super::{Failure, Reply, Request};
use super::{ask, output, unexpected};
use crate::config::{ByteSize, Place, RepoName};
use clap::Args;
use serde::Serialize;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// `gitmoor warm`.
#[derive(Args, Debug)]
pub struct WarmArgs {
    /// Such as team/app.git; all of it, unless one of these says less
    pub name: RepoName,
    /// Commits, trees and files of this branch, tag or commit [default: HEAD]
    #[arg(long, value_name = "REV", allow_hyphen_values = true)]
    pub rev: Option<String>,
    /// Only what is beneath this path, and the commits that touched it
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Only the last N commits, with all of their files
    #[arg(long, value_name = "N")]
    pub depth: Option<NonZeroU32>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// It could not be warmed.
#[derive(Debug, thiserror::Error)]
pub enum WarmError {
    /// Then nothing can be fetched.
    #[error("this mount is offline: mount without --offline")]
    Offline,
    /// It is not on this mount.
    #[error(transparent)]
    NotMounted(#[from] NotMounted),
    /// It cannot be read.
    #[error(transparent)]
    View(#[from] gitmoor_fs::program::ViewError),
    /// It would push out what it has just fetched.
    #[error(
        "{name} needs {}, but the cache holds {}: raise cache-size, or warm less of it (--rev, --path, \
         --depth); nothing was fetched", ByteSize(*needed), ByteSize(*limit)
    )]
    CacheTooSmall {
        name: RepoName,
        /// Bytes.
        needed: u64,
        /// Bytes.
        limit: u64,
    },
    /// git did not do it.
    #[error("git {command}: {said}")]
    Git {
        command: &'static str,
        /// Its words.
        said: String,
    },
    /// Something could not be read.
    #[error("reading {}: {source}; gitmoor status and the log say more", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// What is warmed, and where.
struct Repository {
    name: RepoName,
    /// On the mount.
    dir: PathBuf,
    /// What the cache holds at most.
    limit: u64,
}

/// What `gitmoor warm --json` prints.
#[derive(Serialize)]
struct Warmed {
    name: RepoName,
    /// Of git; `None` when whole files were read.
    objects: Option<u64>,
    /// Object files; `None` when objects were read.
    files: Option<u64>,
    bytes: u64,
    cache: Cache,
}

/// Reads it, and says how much that was.
pub(super) fn run(place: &Place, args: &WarmArgs) -> Result<(), Failure> {
    let before = status(place)?;
    let repo = repository(&before, &args.name)?;
    let (objects, files, bytes) = match (&args.rev, &args.path, args.depth) {
        (None, None, None) => {
            let (files, bytes) = files::warm(&repo)?;
            (None, Some(files), bytes)
        }
        _ => {
            let (objects, bytes) = objects::warm(&repo, args)?;
            (Some(objects), None, bytes)
        }
    };
    let warmed = Warmed {
        name: repo.name,
        objects,
        files,
        bytes,
        cache: status(place)?.cache,
    };
    Ok(print(&warmed, args.json)?)
}

fn print(warmed: &Warmed, json: bool) -> std::io::Result<()> {
    if json {
        return output::json(warmed);
    }
    let what = match (warmed.objects, warmed.files) {
        (Some(objects), _) => format!("{objects} objects"),
        (None, files) => format!("{} object files", files.unwrap_or(0)),
    };
    output::line(format_args!(
        "{} is warm: {what}, {}; the cache has {} of {}",
        warmed.name,
        ByteSize(warmed.bytes),
        ByteSize(warmed.cache.bytes),
        ByteSize(warmed.cache.limit)
    ))
}

fn status(place: &Place) -> Result<Box<Status>, Failure> {
    match ask(place, &Request::Status)? {
        Reply::Status(status) => Ok(status),
        other => Err(unexpected(place, &other)),
    }
}

fn repository(status: &Status, name: &RepoName) -> Result<Repository, WarmError> {
    if status.offline {
        return Err(WarmError::Offline);
    }
    Ok(Repository {
        name: name.clone(),
        dir: mounted::dir(status, name)?,
        limit: status.cache.limit,
    })
}

impl Repository {
    /// Fails before anything is fetched in vain.
    fn check_room(&self, needed: u64) -> Result<(), WarmError> {
        match needed <= self.limit {
            true => Ok(()),
            false => Err(WarmError::CacheTooSmall {
                name: self.name.clone(),
                needed,
                limit: self.limit,
            }),
        }
    }
}
