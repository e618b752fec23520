//! A repository on this machine. Its own git configuration is read, as every git command does that works on it,
//! but nothing in it can run a program for the few commands that are used here.

use super::super::ImportError;
use crate::beneath::read_followed;
use crate::work::Teller;
use crate::work::git::{self, Said};
use gitmoor_replicator::model::ObjectFormat;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// See the module.
pub(crate) struct Disk {
    /// `GIT_DIR`: of all worktrees together.
    pub(crate) dir: PathBuf,
    pub(crate) format: ObjectFormat,
    /// Its objects, if they are not where git has them.
    elsewhere: Option<PathBuf>,
}

impl Disk {
    /// At a path, or in `.git` there.
    pub(crate) fn find(path: &Path, teller: &Teller<'_>) -> Result<Self, ImportError> {
        let found = [path.to_owned(), path.join(".git")].into_iter();
        let found = found.map(|at| git_dir(&at)).find(|dir| is_repository(dir));
        let dir = found.ok_or_else(|| ImportError::NoRepository {
            path: path.to_owned(),
            reason:
                "no git repository is there: expected HEAD, objects and refs, or .git with them"
                    .to_owned(),
        })?;
        Self::at(common_dir(&dir), teller)
    }

    /// At this very path.
    pub(crate) fn at(dir: PathBuf, teller: &Teller<'_>) -> Result<Self, ImportError> {
        let mut disk = Self {
            dir,
            format: ObjectFormat::Sha1,
            elsewhere: None,
        };
        let format = disk.ask(&["rev-parse", "--show-object-format"], teller)?;
        if format.trim_ascii() == b"sha256" {
            disk.format = ObjectFormat::Sha256;
        }
        disk.check_whole()?;
        Ok(disk)
    }

    fn check_whole(&self) -> Result<(), ImportError> {
        let shallow = self.dir.join("shallow").metadata();
        match shallow.is_ok_and(|file| file.len() > 0) {
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

    /// Its objects are those that it lends, and no others.
    pub(crate) fn take_what_is_lent(&mut self) {
        self.elsewhere = Some(self.lent());
    }

    /// Its directory of objects, and those that it borrows from, which git finds.
    pub(crate) fn objects(&self, teller: &Teller<'_>) -> Result<Vec<PathBuf>, ImportError> {
        if let Some(lent) = &self.elsewhere {
            return Ok(vec![lent.clone()]);
        }
        let mut dirs = vec![self.dir.join("objects")];
        if !dirs[0].join("info/alternates").exists() {
            return Ok(dirs);
        }
        let said = git::capture(self.command(&["count-objects", "-v"]), b"", teller)?;
        let complaints = String::from_utf8_lossy(&said.stderr).into_owned();
        if let Some(line) = complaints.lines().find(|line| line.starts_with("error:")) {
            return Err(self.damaged(line));
        }
        let lines = said.stdout.split(|&byte| byte == b'\n');
        for path in lines.filter_map(|line| line.strip_prefix(b"alternate: ")) {
            match path.first() {
                Some(b'/') => dirs.push(PathBuf::from(OsStr::from_bytes(path))),
                _ => {
                    let path = String::from_utf8_lossy(path);
                    return Err(self.damaged(format!(
                        "objects/info/alternates names {path}, a path that cannot be followed: repack with git repack -a -d"
                    )));
                }
            }
        }
        Ok(dirs)
    }

    /// git on it, for objects and refs as they are stored.
    fn command(&self, step: &[&str]) -> Command {
        let mut command = git::command(&self.dir, step);
        command
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_GRAFT_FILE", "/dev/null");
        command
    }

    /// What a command says that succeeds.
    pub(crate) fn said(
        &self,
        step: &[&str],
        input: &[u8],
        teller: &Teller<'_>,
    ) -> Result<Said, ImportError> {
        let said = git::capture(self.command(step), input, teller)?;
        match said.status.success() {
            true => Ok(said),
            false => Err(git::failed(step, &said).into()),
        }
    }

    /// Its standard output alone.
    pub(crate) fn ask(&self, step: &[&str], teller: &Teller<'_>) -> Result<Vec<u8>, ImportError> {
        Ok(self.said(step, b"", teller)?.stdout)
    }

    /// What git says of it to its users: with their settings, and those of the system.
    pub(crate) fn ask_as_user(
        &self,
        step: &[&str],
        teller: &Teller<'_>,
    ) -> Result<Vec<u8>, ImportError> {
        let said = git::capture(git::with_users_settings(&self.dir, step), b"", teller)?;
        match said.status.success() {
            true => Ok(said.stdout),
            false => Err(git::failed(step, &said).into()),
        }
    }

    /// The same of a command whose exit code is an answer: `None` for 1.
    pub(crate) fn ask_whether(
        &self,
        step: &[&str],
        teller: &Teller<'_>,
    ) -> Result<Option<Vec<u8>>, ImportError> {
        let said = git::capture(self.command(step), b"", teller)?;
        match said.status.code() {
            Some(0) => Ok(Some(said.stdout)),
            Some(1) => Ok(None),
            _ => Err(git::failed(step, &said).into()),
        }
    }
}

/// Of a file that holds a path.
const LONGEST: u64 = 64 << 10;

/// A `.git` that is a file says where the repository is.
fn git_dir(at: &Path) -> PathBuf {
    let text = read_followed(at, LONGEST).unwrap_or_default();
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
    match read_followed(&dir.join("commondir"), LONGEST) {
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
