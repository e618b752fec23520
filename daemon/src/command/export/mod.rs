//! `gitmoor export`: a plain bare repository, or a bundle, out of a repository on the mount. It gets its name when it is
//! whole and was checked; a name that is taken is left alone.

mod bundle;
mod copy;
mod git;
mod host_files;
mod lfs;
mod refs;

use super::mounted::{self, NotMounted};
use super::repo::list::RepoSummary;
use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{ByteSize, Place, RepoName};
use clap::Args;
use gitmoor_fs::program::{ReadView, ViewError};
use refs::Refs;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// `gitmoor export`.
#[derive(Args, Debug)]
#[command(
    after_help = "It gets its name when it is whole and was checked. Taken are objects, refs, HEAD, \
files of Git LFS and small files of hosts, such as description, of the repositories in modules/ too; config, hooks and \
logs stay behind. A bundle has no modules/."
)]
pub struct ExportArgs {
    /// Such as team/app.git
    pub name: RepoName,
    /// The new repository, or the bundle if this ends in .bundle; must not exist
    pub dest: PathBuf,
    /// A bundle, whatever its name
    #[arg(long)]
    pub bundle: bool,
    /// Have git check every object, and not only that all that refs reach is there
    #[arg(long)]
    pub full: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// It could not be exported. Nothing has got the name.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It is not on this mount.
    #[error(transparent)]
    NotMounted(#[from] NotMounted),
    /// It cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// Something has the name.
    #[error("{} exists already, and nothing is overwritten", .0.display())]
    Exists(PathBuf),
    /// A disk error, or one of the mount.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The repository is repacked faster than it can be copied.
    #[error("object files go away while they are copied; give the command again")]
    Moving,
    /// git did not do it, or found that something is missing.
    #[error("{command}: {said}")]
    Git {
        command: String,
        /// Its words.
        said: String,
    },
    /// The refs of what was made are others than those that were read.
    #[error("what was made has other refs than {name}: {example}")]
    OtherRefs {
        name: String,
        /// One that differs.
        example: String,
    },
}

impl ExportError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File {
            path: path.to_owned(),
            source,
        }
    }
}

/// What `gitmoor export --json` prints.
#[derive(Serialize)]
struct Exported {
    name: String,
    path: PathBuf,
    /// Without `HEAD`.
    refs: usize,
    bytes: u64,
}

pub(super) fn run(place: &Place, args: &ExportArgs) -> Result<(), Failure> {
    let status = match ask(place, &Request::Status)? {
        Reply::Status(status) => status,
        other => return Err(unexpected(place, &other)),
    };
    let source = mounted::dir(&status, &args.name).map_err(ExportError::from)?;
    let inner = match ask(place, &Request::RepoList)? {
        Reply::Repos(repos) => inside(&args.name, repos),
        other => return Err(unexpected(place, &other)),
    };
    let exported = export(&source, &inner, args)?;
    match args.json {
        true => output::json(&exported)?,
        false => output::line(format_args!(
            "{}: {} refs, {}, in {}",
            exported.name,
            exported.refs,
            ByteSize(exported.bytes),
            exported.path.display()
        ))?,
    }
    Ok(())
}

/// Where in a repository others are. One that git has not initialised yet has nothing to export.
fn inside(name: &RepoName, repos: Vec<RepoSummary>) -> Vec<String> {
    let within = format!("{name}/");
    let rest = |repo: RepoSummary| repo.name.strip_prefix(&within).map(str::to_owned);
    let is_made = |repo: &RepoSummary| repo.object_format.is_some();
    repos.into_iter().filter(is_made).filter_map(rest).collect()
}

fn export(source: &Path, inner: &[String], args: &ExportArgs) -> Result<Exported, ExportError> {
    if args.dest.symlink_metadata().is_ok() {
        return Err(ExportError::Exists(args.dest.clone()));
    }
    let work = beside(&args.dest)?;
    let is_bundle = args.bundle || args.dest.extension().is_some_and(|ext| ext == "bundle");
    let view = ReadView::of(source)?;
    // Before the objects: by then all is there that they reach.
    let refs = Refs::of(&|step| view.git(step))?;
    let (made, bytes) = match is_bundle {
        true => bundle::make(&view, &refs, work.path(), args)?,
        false => {
            let made = work.path().join("made.git");
            let mut bytes = copy_all(source, &view, &refs, &made, args)?;
            for rest in inner {
                bytes += export_inner(source, rest, &made, args)?;
            }
            (made, bytes)
        }
    };
    give_name(&made, &args.dest)?;
    Ok(Exported {
        name: args.name.to_string(),
        path: args.dest.clone(),
        refs: refs.count(),
        bytes,
    })
}

/// A repository inside the one that was made comes to the same place inside that.
fn export_inner(
    source: &Path,
    rest: &str,
    made: &Path,
    args: &ExportArgs,
) -> Result<u64, ExportError> {
    let source = &source.join(rest);
    let view = ReadView::of(source)?;
    let refs = Refs::of(&|step| view.git(step))?;
    let made = made.join(rest);
    let above = made.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(above).map_err(ExportError::file(above))?;
    copy_all(source, &view, &refs, &made, args)
}

/// Everything of one repository; answers how large its objects are.
fn copy_all(
    source: &Path,
    view: &ReadView,
    refs: &Refs,
    made: &Path,
    args: &ExportArgs,
) -> Result<u64, ExportError> {
    let bytes = copy::make(view, refs, made, args)?;
    host_files::copy(source, made)?;
    lfs::copy(source, made)?;
    Ok(bytes)
}

/// A directory on the same disk, which is removed in the end, whatever that is.
fn beside(dest: &Path) -> Result<TempDir, ExportError> {
    let above = match dest.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    let builder = &mut tempfile::Builder::new();
    let dir = builder.prefix(".gitmoor-export-").tempdir_in(above);
    dir.map_err(ExportError::file(above))
}

fn give_name(made: &Path, dest: &Path) -> Result<(), ExportError> {
    match renameat_with(CWD, made, CWD, dest, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::EXIST) => Err(ExportError::Exists(dest.to_owned())),
        Err(error) => Err(ExportError::file(dest)(error.into())),
    }
}
