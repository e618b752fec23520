//! The private view of a repository: `maintenance/<repo id>` in the data directory. It is removed when it has
//! done its duty, and at the next start if the daemon died.
//!
//! git works in it as the repository's owner, if that user has less than the daemon's and gets to the mount. Nothing but
//! `objects` and `expired` is git's to change, and afterwards all of that becomes the daemon's before it is looked at.

#![expect(
    clippy::disallowed_methods,
    reason = "for what is put there before git runs, and removed after; what git made is read through a Dir"
)]

use super::handover::{LOCAL_BYTES, copy_local, give, show, take_back};
use super::{Files, MaintenanceError};
use gitmoor_fs::beneath::{At, Dir};
use gitmoor_fs::program::{Program, Scratch, Stage, User, symbolic_ref};
use gitmoor_fs::{FileSystem, Repository, git_config, packed_refs as packed};
use gitmoor_model::name;
use gitmoor_model::room::{Room, room};
use gitmoor_model::{
    Format, ObjectFormat, RefEntry, RefStorage, Repo, RepoId, RepoPath, Timestamp,
};
use gitmoor_replicator::{Child, Replica, read};
use rustix::fs::FileType;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What git changes in a view.
const GITS: [&str; 2] = ["objects", "expired"];

/// Parts of a repository that only this machine has, and from which objects are reached.
const LOCAL: [&str; 6] = [
    "logs",
    "worktrees",
    "index",
    "refs/bisect",
    "refs/worktree",
    "refs/rewritten",
];

fn home(data: &Path) -> PathBuf {
    data.join("maintenance")
}

/// Removes what a daemon that died left behind.
pub(crate) fn clear(data: &Path) {
    match fs::remove_dir_all(home(data)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(dir = %home(data).display(), %error, "left by an interrupted maintenance, cannot be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

pub(super) struct View {
    dir: PathBuf,
    /// The same, for what git made there.
    opened: Arc<Dir>,
    /// The object files of the repository, on the mount.
    objects: PathBuf,
    /// Who git is, if not the daemon's user.
    user: Option<Seen>,
    /// The object files that it began with.
    was: Vec<RepoPath>,
}

/// A user who cannot pass the data directory sees the view elsewhere.
struct Seen {
    user: User,
    at: Scratch,
    stage: Stage,
}

impl Drop for View {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "is not needed any more, and cannot be removed");
        }
    }
}

impl View {
    /// With the refs as they are now, and no objects; with the local parts if it is to be judged what nothing
    /// reaches.
    pub(super) fn with_refs(
        fs: &FileSystem,
        repo: &Repo,
        mounted: &Path,
        with_local: bool,
    ) -> Result<Self, MaintenanceError> {
        let data = &fs.config().data;
        let dir = home(data).join(repo.id.to_string());
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(MaintenanceError::local(&dir)(error));
            }
            Ok(()) | Err(_) => {}
        }
        let opened = make_dirs(&dir).and_then(|()| Dir::open(&dir));
        let opened = Arc::new(opened.map_err(MaintenanceError::local(&dir))?);
        let user = Seen::by_owner(mounted, &dir).map_err(MaintenanceError::local(&dir))?;
        // From here on it is removed, whatever happens.
        let view = Self {
            dir,
            opened,
            objects: mounted.join("objects"),
            user,
            was: Vec::new(),
        };
        let local = with_local.then(|| data.join("repos").join(repo.id.to_string()).join("files"));
        view.init(repo, local.as_deref())
            .map_err(MaintenanceError::local(&view.dir))?;
        let refs = Refs {
            view: &view,
            replica: fs.replica(),
            repo: repo.id,
        };
        refs.copy(&RepoPath::root())?;
        refs.write_packed()?;
        Ok(view)
    }

    /// Adds the object files of the catalog. Those that may be rewritten are copies: git would follow a link to
    /// write the file that it points at.
    pub(super) fn add(
        &mut self,
        repository: &Repository,
        mounted: &Path,
        files: &Files,
    ) -> Result<(), MaintenanceError> {
        for (path, entry) in files {
            let (at, seen) = (
                self.path(path),
                mounted.join(OsStr::from_bytes(path.as_bytes())),
            );
            self.was.push(path.clone());
            let made = at.parent().map_or(Ok(()), make_dirs);
            made.map_err(MaintenanceError::local(&at))?;
            match name::is_rewritable(path) {
                true => {
                    let copy = fs::File::create(&at).map_err(MaintenanceError::local(&at));
                    repository.objects().write_to(path, entry, &mut copy?)?;
                }
                false => symlink(seen, &at).map_err(MaintenanceError::local(&at))?,
            }
            set_mtime(&at, entry.mtime).map_err(MaintenanceError::local(&at))?;
        }
        Ok(())
    }

    /// What git may have made there.
    pub(super) fn at(&self, path: &RepoPath) -> At {
        At::new(&self.opened, OsStr::from_bytes(path.as_bytes()))
    }

    /// Where something is put before git runs.
    fn path(&self, path: &RepoPath) -> PathBuf {
        self.dir.join(OsStr::from_bytes(path.as_bytes()))
    }

    fn init(&self, repo: &Repo, local: Option<&Path>) -> io::Result<()> {
        for dir in ["objects/pack", "objects/info", "refs", "expired"] {
            make_dirs(&self.dir.join(dir))?;
        }
        fs::write(self.dir.join("config"), config(repo))?;
        let Some(local) = local else {
            return Ok(());
        };
        let mut left = LOCAL_BYTES;
        for part in LOCAL {
            copy_local(local, part, &self.dir, &mut left)?;
        }
        Ok(())
    }

    /// From now on nothing but git changes it.
    pub(super) fn hand_over(&self) -> Result<(), MaintenanceError> {
        let Some(seen) = &self.user else {
            return Ok(());
        };
        let give = || {
            show(&self.dir)?;
            GITS.iter()
                .try_for_each(|name| give(&self.dir.join(name), &seen.user))
        };
        give().map_err(MaintenanceError::local(&self.dir))
    }

    /// From now on git changes nothing any more.
    pub(super) fn take_back(&self) -> Result<(), MaintenanceError> {
        match &self.user {
            None => Ok(()),
            Some(_) => GITS
                .iter()
                .try_for_each(|name| take_back(&self.dir.join(name))),
        }
        .map_err(MaintenanceError::local(&self.dir))
    }

    /// `git STEP` in it.
    pub(super) fn git(&self, step: &[&str]) -> Program {
        let git = Program::git(step).reads(&self.dir).reads(&self.objects);
        let git = GITS
            .iter()
            .fold(git, |git, name| git.writes(&self.dir.join(name)));
        match &self.user {
            None => git.on(&self.dir),
            Some(seen) => git
                .on(seen.at.path())
                .on_stage(Some(seen.stage.clone()))
                .as_user(Some(seen.user.clone())),
        }
    }

    /// Where git puts what has expired: a directory and the beginning of a name.
    pub(super) const EXPIRED: &str = "expired/pack";

    /// What stands there as real files, be it new or not, and what git removed.
    pub(super) fn changes(&self) -> Result<(Vec<RepoPath>, Vec<RepoPath>), MaintenanceError> {
        let mut made = Vec::new();
        self.collect(&RepoPath::new("objects").expect("a valid path"), &mut made)?;
        let gone = self.was.iter().filter(|path| self.at(path).stat().is_err());
        Ok((made, gone.cloned().collect()))
    }

    fn collect(&self, dir: &RepoPath, made: &mut Vec<RepoPath>) -> Result<(), MaintenanceError> {
        for (name, kind) in self.list(OsStr::from_bytes(dir.as_bytes()))? {
            let Some(path) = dir.join(name.as_bytes()) else {
                continue;
            };
            if kind.is_dir() {
                self.collect(&path, made)?;
            } else if kind.is_file() && name::kind(&path).is_some() {
                made.push(path);
            }
        }
        Ok(())
    }

    /// The pack of what has expired, file by file, under the names that it would have.
    pub(super) fn expired(&self) -> Result<Vec<(RepoPath, At)>, MaintenanceError> {
        let mut found = Vec::new();
        for (name, _) in self.list("expired")? {
            let at = At::new(&self.opened, Path::new("expired").join(&name));
            let path = RepoPath::new([b"objects/pack/", name.as_bytes()].concat());
            found.extend(
                path.filter(|path| name::kind(path).is_some())
                    .map(|path| (path, at)),
            );
        }
        Ok(found)
    }

    /// Whether git made or removed any pack.
    pub(super) fn packs_changed(&self) -> Result<bool, MaintenanceError> {
        let (made, gone) = self.changes()?;
        Ok(made
            .iter()
            .chain(&gone)
            .any(|path| path.as_bytes().ends_with(b".pack")))
    }

    fn list(&self, dir: impl AsRef<Path>) -> Result<Vec<(OsString, FileType)>, MaintenanceError> {
        let names = self.opened.list(dir.as_ref());
        names.map_err(MaintenanceError::local(&self.dir.join(dir)))
    }

    /// The name of the largest pack that is no cruft pack.
    pub(super) fn largest_pack(&self) -> Result<Option<String>, MaintenanceError> {
        let packs = self.packs()?.into_iter();
        let largest = packs.filter(|pack| !is_cruft(pack)).map(|path| {
            let size = fs::metadata(&path).map_err(MaintenanceError::local(&path))?;
            Ok((size.len(), path))
        });
        let sizes: Vec<_> = largest.collect::<Result<_, MaintenanceError>>()?;
        Ok(sizes.iter().max().and_then(|(_, path)| file_name(path)))
    }

    /// The names of the cruft packs.
    pub(super) fn cruft_packs(&self) -> Result<Vec<String>, MaintenanceError> {
        let packs = self.packs()?;
        let cruft = packs.iter().filter(|pack| is_cruft(pack));
        Ok(cruft.filter_map(|pack| file_name(pack)).collect())
    }

    fn packs(&self) -> Result<Vec<PathBuf>, MaintenanceError> {
        let names = self.list("objects/pack")?.into_iter();
        let dir = self.dir.join("objects/pack");
        let mut paths: Vec<_> = names.map(|(name, _)| dir.join(name)).collect();
        paths.retain(|path| path.extension() == Some(OsStr::new("pack")));
        Ok(paths)
    }
}

/// Cruft packs know when each of their objects was last reached.
fn is_cruft(pack: &Path) -> bool {
    pack.with_extension("mtimes").symlink_metadata().is_ok()
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

/// `git prune` looks at the time of a link, other commands at that of its target.
fn set_mtime(link: &Path, time: Timestamp) -> io::Result<()> {
    let time = rustix::fs::Timespec {
        tv_sec: time.secs,
        tv_nsec: time.nanos.into(),
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    Ok(rustix::fs::utimensat(rustix::fs::CWD, link, &times, flags)?)
}

fn make_dirs(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Replicated settings that say how git packs: numbers and switches.
const SETTINGS: [&str; 15] = [
    "core.bigFileThreshold",
    "core.compression",
    "core.looseCompression",
    "pack.allowPackReuse",
    "pack.compression",
    "pack.deltaCacheLimit",
    "pack.deltaCacheSize",
    "pack.depth",
    "pack.packSizeLimit",
    "pack.threads",
    "pack.window",
    "pack.windowMemory",
    "pack.writeBitmapHashCache",
    "repack.useDeltaBaseOffset",
    "repack.useDeltaIslands",
];

/// The repository's format, and of the replicated settings those above; bitmaps come with the index over all packs. Nothing of a file that
/// anybody writes to: whoever may write that must not thereby run something in the daemon's name.
fn config(repo: &Repo) -> Vec<u8> {
    let format = repo.format.unwrap_or(Format {
        bare: true,
        objects: ObjectFormat::default(),
        refs: RefStorage::default(),
    });
    let chosen = repo.settings.iter();
    let chosen = chosen.filter(|(key, _)| SETTINGS.contains(&key.as_str()));
    let chosen = chosen.map(|(key, value)| (key.clone(), value.clone()));
    let mut text = git_config::render(&chosen.collect());
    text.extend(git_config::of_format(&format));
    text.extend(b"[repack]\n\twriteBitmaps = false\n");
    text
}

impl Seen {
    /// The owner of a repository, if that user gets to all of it: on the mount of one user others see nothing.
    fn by_owner(mounted: &Path, dir: &Path) -> io::Result<Option<Self>> {
        let Some(user) = User::owning(mounted)? else {
            return Ok(None);
        };
        if !user.may_read(&mounted.join("objects")) || !Stage::works() {
            return Ok(None);
        }
        let at = Scratch::new()?;
        let stage = Stage::new(dir, at.path())?;
        let seen = Self { user, at, stage };
        Ok(Some(seen).filter(|seen| seen.user.may_read(seen.at.path())))
    }
}

/// Copies the refs room.
struct Refs<'a> {
    view: &'a View,
    replica: &'a dyn Replica,
    repo: RepoId,
}

impl Refs<'_> {
    fn copy(&self, dir: &RepoPath) -> Result<(), MaintenanceError> {
        for (name, child) in read::references_in(self.replica.view(), self.repo, dir)? {
            // Files of hosts are no refs, and have no say here.
            let path = dir.join(&name).filter(|path| room(path) == Room::Refs);
            match (path, child) {
                (Some(path), Child::Directory) => self.copy(&path)?,
                (Some(path), Child::File(_)) => self.copy_one(&path)?,
                (None, _) => {}
            }
        }
        Ok(())
    }

    fn copy_one(&self, path: &RepoPath) -> Result<(), MaintenanceError> {
        let at = self.view.path(path);
        let entry = read::reference(self.replica.view(), self.repo, path)?;
        let written = entry.map_or(Ok(()), |entry| self.write(&at, &entry));
        written.map_err(MaintenanceError::local(&at))
    }

    /// A link that is no symbolic ref is left out: git would follow it, to a directory too. What it leads to is another
    /// ref, which is here under its own name, or is not in the view.
    fn write(&self, at: &Path, entry: &RefEntry) -> io::Result<()> {
        let value = match entry.mode & libc::S_IFMT {
            libc::S_IFLNK => symbolic_ref(&entry.value),
            _ => Some(entry.value.clone()),
        };
        let Some(value) = value else {
            return Ok(());
        };
        at.parent().map_or(Ok(()), make_dirs)?;
        fs::write(at, value)
    }

    fn write_packed(&self) -> Result<(), MaintenanceError> {
        let at = self.view.dir.join("packed-refs");
        // A file of an unusual form was copied as one, and then the table is empty.
        let Ok(file) = File::create_new(&at) else {
            return Ok(());
        };
        let mut out = BufWriter::new(file);
        let mut written = out.write_all(packed::HEADER);
        read::packed(self.replica.view(), self.repo, &mut |name, line| {
            written = packed::write_line(&mut out, name, &line);
            written.is_ok()
        })?;
        written
            .and_then(|()| out.flush())
            .map_err(MaintenanceError::local(&at))
    }
}
