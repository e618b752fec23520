//! A repository that others may configure, as git is shown it: a bare repository of ours, in which nothing but refs
//! and objects is theirs.
//!
//! Its `config` is made here and says the format alone, which is read from theirs without following an include; so no
//! key of theirs runs a program, names a file or has anything fetched. Loose refs are copies ([`super::loose_refs`]),
//! `packed-refs` and reftables are links to theirs. Objects are found by `objects/info/alternates`, which names their directory of objects and all that it borrows from, as far as their
//! owner can read that: who names a repository of others in `alternates` gets nothing out of it.
//!
//! git runs as the owner, too, wherever the owner gets to all of that by path.
#![expect(
    clippy::disallowed_methods,
    reason = "the repository is read with the rights of its owner; the view is the daemon's own"
)]

use super::{Program, Scratch, User, loose_refs};
use crate::beneath::{MostlyHoles, mostly_holes};
use crate::git_config;
use gitmoor_model::{Format, ObjectFormat, RefStorage};
use rustix::fs::OFlags;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Bytes of a file that says where something is, or in which format.
const SMALL: u64 = 1 << 20;

/// As git: who borrows from whom, at most so many in a row.
const DEPTH: usize = 5;

/// Directories of objects of one repository.
const LENDERS: usize = 1000;

/// What others have, and git finds in the repository itself.
const THEIRS: [&str; 2] = ["packed-refs", "shallow"];

/// It cannot be shown to git.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Something of it cannot be read, or not by its owner.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file that cannot be read.
        path: PathBuf,
        /// What the system call returned.
        error: io::Error,
    },
    /// Something of it is not what git has there.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// The file that is damaged.
        path: PathBuf,
        /// What is wrong with the file.
        reason: String,
    },
    /// No room for the view.
    #[error("a view of it cannot be made: {0}")]
    Local(io::Error),
}

/// A repository as git may see it, read only.
#[derive(Debug)]
pub struct ReadView {
    dir: Scratch,
    theirs: PathBuf,
    owner: Option<User>,
    format: Format,
    objects: Vec<PathBuf>,
}

impl ReadView {
    /// Of a repository: its directory with `HEAD`, `refs` and `objects`.
    pub fn of(git_dir: &Path) -> Result<Self, ViewError> {
        let owner = User::owning(git_dir).map_err(|error| ViewError::Unreadable {
            path: git_dir.to_owned(),
            error,
        })?;
        Self::made(git_dir, owner)
    }

    /// The same of one that a user said is there, with that user's rights.
    pub fn of_users(git_dir: &Path, user: User) -> Result<Self, ViewError> {
        Self::made(git_dir, Some(user))
    }

    fn made(git_dir: &Path, owner: Option<User>) -> Result<Self, ViewError> {
        let theirs = Theirs {
            owner: owner.as_ref(),
        };
        let format = theirs.format(git_dir)?;
        theirs.check_small(git_dir)?;
        let mut objects = Vec::new();
        theirs.add_objects(&git_dir.join("objects"), DEPTH, &mut objects)?;
        let view = Self {
            dir: Scratch::shown_to(owner.as_ref()).map_err(ViewError::Local)?,
            theirs: git_dir.to_owned(),
            owner,
            format,
            objects,
        };
        view.init().map_err(ViewError::Local)?;
        view.read_refs()?;
        Ok(view)
    }

    /// From now on `HEAD` and loose refs are as theirs are now.
    pub fn read_refs(&self) -> Result<(), ViewError> {
        let theirs = Theirs {
            owner: self.owner.as_ref(),
        };
        let refs = self.dir.path().join("refs");
        fs::remove_dir_all(&refs).map_err(ViewError::Local)?;
        loose_refs::copy(&theirs, &self.theirs.join("refs"), &refs)?;
        let head = theirs.head(&self.theirs)?;
        write(&self.dir.path().join("HEAD"), &head).map_err(ViewError::Local)
    }

    /// The directory of its objects, and of those that it borrows.
    pub fn objects(&self) -> &[PathBuf] {
        &self.objects
    }

    /// Its own name for how objects are named.
    pub fn object_format(&self) -> ObjectFormat {
        self.format.objects
    }

    /// The owner, if that user has less than this process.
    pub fn owner(&self) -> Option<&User> {
        self.owner.as_ref()
    }

    /// From now on its objects are those of this directory.
    pub fn take_objects_of(&mut self, objects: PathBuf) -> Result<(), ViewError> {
        self.objects = vec![objects];
        self.write_alternates().map_err(ViewError::Local)
    }

    /// `git STEP` on it, which changes nothing.
    pub fn git(&self, step: &[&str]) -> Program {
        let mut git = Program::git(step).on(self.dir.path()).reads(&self.theirs);
        for path in self.linked().iter().chain(&self.objects) {
            git = git.reads(path);
        }
        git.as_user(self.user())
    }

    /// The owner gets to everything by path, or git goes as this process does: on the mount of one user others see nothing.
    fn user(&self) -> Option<User> {
        let reads = |user: &&User| {
            let mut all = self.objects.iter().map(PathBuf::as_path);
            user.may_read(self.dir.path()) && all.all(|dir| user.may_read(dir))
        };
        self.owner.as_ref().filter(reads).cloned()
    }

    /// Where the links of theirs lead, if theirs are links themselves.
    fn linked(&self) -> Vec<PathBuf> {
        let theirs = Theirs {
            owner: self.owner.as_ref(),
        };
        let all = THEIRS.iter().chain(&["reftable"]);
        let all = all.map(|name| self.theirs.join(name));
        all.filter_map(|path| theirs.with(|| fs::canonicalize(path)).ok())
            .collect()
    }

    fn init(&self) -> io::Result<()> {
        let dir = self.dir.path();
        for made in ["refs", "objects", "objects/info", "objects/pack"] {
            make_dir(&dir.join(made))?;
        }
        write(&dir.join("config"), &git_config::of_format(&self.format))?;
        for name in THEIRS {
            if self.theirs.join(name).symlink_metadata().is_ok() {
                symlink(self.theirs.join(name), dir.join(name))?;
            }
        }
        if self.format.refs == RefStorage::Reftable {
            symlink(self.theirs.join("reftable"), dir.join("reftable"))?;
        }
        self.write_alternates()
    }

    fn write_alternates(&self) -> io::Result<()> {
        let lines = self.objects.iter().map(|dir| dir.as_os_str().as_bytes());
        let lines: Vec<_> = lines.flat_map(|dir| [dir, b"\n"].concat()).collect();
        write(&self.dir.path().join("objects/info/alternates"), &lines)
    }
}

/// Whatever this process's umask says.
pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

/// Whatever this process's umask says.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::write(path, bytes)?;
    fs::set_permissions(path, Permissions::from_mode(0o644))
}

/// Files of somebody else, read with that user's rights.
pub(super) struct Theirs<'a> {
    owner: Option<&'a User>,
}

impl Theirs<'_> {
    pub(super) fn with<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.owner {
            Some(owner) => owner.act(act).flatten(),
            None => act(),
        }
    }

    /// `None` when it is not there.
    fn small(&self, path: &Path) -> Result<Option<Vec<u8>>, ViewError> {
        there(path, self.with(|| small(path)))
    }

    /// One without a version is of the first.
    fn format(&self, git_dir: &Path) -> Result<Format, ViewError> {
        let path = git_dir.join("config");
        let text = self.small(&path)?.unwrap_or_default();
        git_config::stated_format(&text).map_err(|reason| ViewError::Damaged { path, reason })
    }

    /// It may be a link to a branch, as git once made it.
    fn head(&self, git_dir: &Path) -> Result<Vec<u8>, ViewError> {
        let path = git_dir.join("HEAD");
        let target = self.with(|| fs::read_link(&path));
        if let Ok(target) = target
            && let Some(symbolic) = loose_refs::symbolic(target.as_os_str().as_bytes())
        {
            return Ok(symbolic);
        }
        Ok(self.small(&path)?.unwrap_or_default())
    }

    /// What git opens by itself must be files: it would wait for a FIFO for ever.
    fn check_small(&self, git_dir: &Path) -> Result<(), ViewError> {
        for name in ["packed-refs", "shallow", "reftable/tables.list"] {
            let path = git_dir.join(name);
            there(&path, self.with(|| regular(&path)))?;
        }
        Ok(())
    }

    /// Those that it borrows from come after it, as git looks into them.
    fn add_objects(
        &self,
        dir: &Path,
        depth: usize,
        all: &mut Vec<PathBuf>,
    ) -> Result<(), ViewError> {
        let path = || dir.to_owned();
        let found = self.with(|| {
            fs::read_dir(dir)?;
            fs::canonicalize(dir)
        });
        let found = found.map_err(|error| ViewError::Unreadable {
            path: path(),
            error,
        })?;
        if all.contains(&found) {
            return Ok(());
        }
        let alternates = found.join("info/alternates");
        all.push(found);
        let text = self.small(&alternates)?.unwrap_or_default();
        let damaged = |reason: String| ViewError::Damaged {
            path: alternates.clone(),
            reason,
        };
        for line in text.split(|&byte| byte == b'\n') {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            if line.starts_with(b"\"") {
                return Err(damaged(format!(
                    "{} is a path that cannot be followed: repack with git repack -a -d",
                    line.escape_ascii()
                )));
            }
            if depth == 0 || all.len() > LENDERS {
                return Err(damaged(
                    "it borrows from too many others, one after the other: repack with git repack -a -d"
                        .to_owned(),
                ));
            }
            let lender = dir.join(OsStr::from_bytes(line));
            self.add_objects(&lender, depth - 1, all).map_err(|error| {
                damaged(format!(
                    "what it names cannot be read by the repository's owner: {error}"
                ))
            })?;
        }
        Ok(())
    }
}

pub(super) fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file")
}

/// Opens a regular file that is not mostly holes, and waits for no other.
pub fn regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(not_regular());
    }
    if let Some(MostlyHoles { bytes, written }) = mostly_holes(&file)? {
        let problem = format!("of its {bytes} bytes {written} were written, the rest are holes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(file)
}

/// A regular file of at most a mebibyte.
pub fn small(path: &Path) -> io::Result<Vec<u8>> {
    at_most(SMALL, path)
}

/// A regular file of at most so many bytes.
pub(super) fn at_most(most: u64, path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    regular(path)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(bytes),
    }
}

/// `None` of what is not there.
pub(super) fn there<T>(path: &Path, found: io::Result<T>) -> Result<Option<T>, ViewError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ViewError::Unreadable {
            path: path.to_owned(),
            error,
        }),
    }
}
