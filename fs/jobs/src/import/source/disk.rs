//! A repository on this machine, whose configuration nobody need trust: git is shown a [`ReadView`] of it.
#![expect(
    clippy::disallowed_methods,
    reason = "a source is read and written with the rights of its owner, and only regular files are opened"
)]

use super::super::ImportError;
use super::super::lent::LENT;
use crate::runner::{ProgressReporter, git};
use gitmoor_fs::program::{Program, ReadView, Said, User, ViewError, regular, small};
use gitmoor_model::ObjectFormat;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub(crate) struct Disk {
    /// `GIT_DIR`: of all worktrees together.
    pub(crate) dir: PathBuf,
    pub(crate) format: ObjectFormat,
    view: ReadView,
}

impl Disk {
    /// At a path, or in `.git` there.
    pub(crate) fn find(path: &Path) -> Result<Self, ImportError> {
        // Who may write there says where the repository is: what that user cannot read is none.
        let owner = User::owning(path).ok().flatten();
        let look = || {
            let found = [path.to_owned(), path.join(".git")].into_iter();
            let mut found = found.map(|at| git_dir(&at));
            found
                .find(|dir| is_repository(dir))
                .map(|dir| common_dir(&dir))
        };
        let found = match &owner {
            Some(owner) => owner.act(look)?,
            None => look(),
        };
        match (found, owner) {
            (Some(dir), None) => Self::of(ReadView::of(&dir).map_err(unreadable)?, dir),
            (Some(dir), Some(owner)) => {
                let view = ReadView::of_users(&dir, owner);
                Self::of(view.map_err(unreadable)?, dir)
            }
            (None, Some(owner)) if look().is_some() => Err(ImportError::InTheWay {
                path: path.to_owned(),
                reason: format!(
                    "its owner (uid {}) cannot read it there, and it is read with the owner's rights: let the owner pass the directories above, or chown -R it to root",
                    owner.uid()
                ),
            }),
            (None, _) => Err(ImportError::NoRepository {
                path: path.to_owned(),
                reason:
                    "no git repository is there: expected HEAD, objects and refs, or .git with them"
                        .to_owned(),
            }),
        }
    }

    /// One of this daemon's own.
    pub(crate) fn own(dir: PathBuf) -> Result<Self, ImportError> {
        Self::of(ReadView::of(&dir).map_err(unreadable)?, dir)
    }

    fn of(view: ReadView, dir: PathBuf) -> Result<Self, ImportError> {
        let disk = Self {
            format: view.object_format(),
            dir,
            view,
        };
        disk.check_whole()?;
        Ok(disk)
    }

    fn check_whole(&self) -> Result<(), ImportError> {
        let shallow = self.as_owner(|| fs::metadata(self.dir.join("shallow")));
        match shallow.flatten().is_ok_and(|file| file.len() > 0) {
            true => Err(self.partial(
                "it is a shallow clone, of which not all objects are here: git fetch --unshallow gets them",
            )),
            false => Ok(()),
        }
    }

    pub(super) fn partial(&self, reason: &'static str) -> ImportError {
        let path = self.dir.clone();
        ImportError::Partial { path, reason }
    }

    pub(crate) fn damaged(&self, reason: impl ToString) -> ImportError {
        ImportError::Damaged {
            path: self.dir.clone(),
            reason: reason.to_string(),
        }
    }

    /// Where the objects are that are lent, once they are.
    pub(crate) fn lent(&self) -> PathBuf {
        self.dir.join(LENT).join("objects")
    }

    /// Its objects are those that it lends, and no others.
    pub(crate) fn take_what_is_lent(&mut self) -> Result<(), ImportError> {
        self.view.take_objects_of(self.lent()).map_err(unreadable)
    }

    /// Its directory of objects, and those that it borrows from.
    pub(crate) fn objects(&self) -> &[PathBuf] {
        self.view.objects()
    }

    /// Who may write to it, if that user has less than this daemon's.
    pub(crate) fn owner(&self) -> Option<&User> {
        self.view.owner()
    }

    /// Does something with its files, with the rights of its owner.
    pub(crate) fn as_owner<T>(&self, act: impl FnOnce() -> T) -> io::Result<T> {
        match self.owner() {
            Some(owner) => owner.act(act),
            None => Ok(act()),
        }
    }

    /// Opens one of its files, which must be a regular one, with the rights of its owner.
    pub(crate) fn open(&self, at: &Path) -> Result<File, ImportError> {
        let opened = self.as_owner(|| regular(at)).flatten();
        opened.map_err(ImportError::reading(at))
    }

    /// git on it, for objects and refs as they are stored.
    pub(crate) fn git(&self, step: &[&str]) -> Program {
        self.view.git(step)
    }

    /// From now on git is shown its refs as they are now.
    pub(crate) fn reread_refs(&self) -> Result<(), ImportError> {
        self.view.read_refs().map_err(unreadable)
    }

    /// What a command says that succeeds.
    pub(crate) fn said(
        &self,
        step: &[&str],
        input: &[u8],
        reporter: &ProgressReporter<'_>,
    ) -> Result<Said, ImportError> {
        Ok(git::ask_ok(self.git(step), input, reporter)?)
    }

    /// Its standard output alone.
    pub(crate) fn ask(
        &self,
        step: &[&str],
        reporter: &ProgressReporter<'_>,
    ) -> Result<Vec<u8>, ImportError> {
        Ok(self.said(step, b"", reporter)?.stdout)
    }

    /// The same of a command whose exit code is an answer: `None` for 1.
    pub(crate) fn ask_whether(
        &self,
        step: &[&str],
        reporter: &ProgressReporter<'_>,
    ) -> Result<Option<Vec<u8>>, ImportError> {
        let program = self.git(step);
        let step = program.name().to_owned();
        let said = git::ask(program, b"", reporter)?;
        match said.status.code() {
            Some(0) => Ok(Some(said.stdout)),
            Some(1) => Ok(None),
            _ => Err(ImportError::Git {
                step,
                said: said.words(),
            }),
        }
    }
}

fn unreadable(error: ViewError) -> ImportError {
    match error {
        ViewError::Unreadable { path, error } => ImportError::Unreadable { path, error },
        ViewError::Damaged { path, reason } => ImportError::Damaged { path, reason },
        ViewError::Local(error) => ImportError::Fs(error.into()),
    }
}

/// A `.git` that is a file says where the repository is.
fn git_dir(at: &Path) -> PathBuf {
    let text = small(at).unwrap_or_default();
    match text.strip_prefix(b"gitdir: ") {
        Some(dir) => {
            let above = at.parent().unwrap_or(Path::new("/"));
            above.join(OsStr::from_bytes(dir.trim_ascii_end()))
        }
        None => at.to_owned(),
    }
}

/// Of a worktree: its main repository's.
fn common_dir(dir: &Path) -> PathBuf {
    match small(&dir.join("commondir")) {
        Ok(text) => dir.join(OsStr::from_bytes(text.trim_ascii_end())),
        Err(_) => dir.to_owned(),
    }
}

/// Whether the `.git` of a directory is that of a work tree whose repository is elsewhere.
pub(crate) fn is_linked(at: &Path) -> bool {
    git_dir(at).join("commondir").exists()
}

/// Whether git would take it for one.
pub(crate) fn is_repository(dir: &Path) -> bool {
    let common = common_dir(dir);
    dir.join("HEAD").symlink_metadata().is_ok()
        && common.join("objects").is_dir()
        && common.join("refs").exists()
}
