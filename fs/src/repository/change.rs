//! Changes of a repository: which room each concerns.

use super::room::{Room, is_ref_scratch, room};
use super::{Body, Caller, Closing, Found, Opened, Repository, Type};
use crate::error::{FsError, FsResult};
use crate::local::{Owner, config};
use crate::objects::{Content, name};
use gitmoor_replicator::model::{
    Command, Expect, FileEntry, Outcome, RefEntry, RepoPath, Timestamp,
};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

impl Caller {
    fn owner(&self) -> Owner {
        Owner {
            uid: self.uid,
            gid: self.gid,
        }
    }
}

/// New attributes of a file; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewAttributes {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Access time.
    pub atime: Option<SetTime>,
    /// Modification time.
    pub mtime: Option<SetTime>,
}

/// A time to set.
#[derive(Clone, Copy, Debug)]
pub enum SetTime {
    /// The clock's.
    Now,
    /// This.
    At(Timestamp),
}

impl Repository {
    /// open(2) of an existing file; `write` when the flags allow writing.
    pub fn open_file(&self, path: &RepoPath, write: bool) -> FsResult<Opened> {
        // Publishing may move a real file into the cache between the look and
        // the open; the second look finds it catalogued.
        for _ in 0..2 {
            let found = self.find(path)?.ok_or(FsError::NotFound)?;
            match self.open_found(path, found, write) {
                Err(FsError::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => continue,
                other => return other,
            }
        }
        Err(FsError::NotFound)
    }

    fn open_found(&self, path: &RepoPath, found: Found, write: bool) -> FsResult<Opened> {
        match found {
            Found::Real(_) => self.open_real(path, write),
            Found::Ref(entry) if write => self.open_ref_for_writing(path, &entry.value, entry.mode),
            Found::Packed(rendered) if write => {
                let bytes = std::io::read_to_string(rendered.open()?).map(String::into_bytes)?;
                self.open_ref_for_writing(path, &bytes, rendered.stat()?.mode())
            }
            Found::Object(entry) if write && name::is_rewritable(path) => {
                self.open_copy(path, &entry)
            }
            Found::Object(_) | Found::Settings(_) if write => Err(FsError::Immutable),
            Found::Ref(entry) => Ok(plain(Body::Bytes(entry.value.into()))),
            Found::Packed(rendered) => Ok(plain(Body::Real(rendered.open()?))),
            Found::Settings(bytes) => Ok(plain(Body::Bytes(bytes.into()))),
            Found::Object(entry) => Ok(plain(match self.objects.content(path, &entry)? {
                Content::Inline(bytes) => Body::Bytes(bytes),
                Content::Stored(file, tables) => Body::Stored(file, tables),
            })),
            Found::Directory => Err(FsError::IsDirectory),
        }
    }

    fn open_real(&self, path: &RepoPath, write: bool) -> FsResult<Opened> {
        let closing = match room(path) {
            Room::Objects
                if write && self.objects.is_finished(path) && !name::is_rewritable(path) =>
            {
                return Err(FsError::Immutable);
            }
            Room::Objects if write && name::is_rewritable(path) => {
                self.objects.unfinish(path);
                Closing::Finish(path.clone())
            }
            Room::Objects if write && name::kind(path).is_some() => Closing::Finish(path.clone()),
            Room::Refs if write && !is_ref_scratch(path) => Closing::CommitRef(path.clone()),
            Room::Local if write && path.as_bytes() == b"config" => Closing::Config,
            Room::Objects | Room::Refs | Room::Local => Closing::Plain,
        };
        Ok(Opened::new(Body::Real(self.files.open(path)?), closing))
    }

    /// A name that may get other bytes (`info/alternates`, …) is written to in a
    /// real copy, which is finished again when it is closed.
    fn open_copy(&self, path: &RepoPath, entry: &FileEntry) -> FsResult<Opened> {
        let opened = self.open_found(path, Found::Object(entry.clone()), false)?;
        let bytes = opened.read(0, entry.size as usize)?;
        self.put_real(path, &bytes, entry.mode)?;
        self.open_real(path, true)
    }

    fn put_real(&self, path: &RepoPath, bytes: &[u8], mode: u32) -> FsResult<()> {
        self.files.make_parents(path)?;
        std::fs::write(self.files.at(path), bytes)?;
        self.files.chmod(path, mode)?;
        let (uid, gid) = self.owner()?;
        self.files.chown(path, Some(uid), Some(gid))
    }

    /// A direct write prepares the value in a real file, which stands before the
    /// replicated one until it is committed.
    fn open_ref_for_writing(&self, path: &RepoPath, value: &[u8], mode: u32) -> FsResult<Opened> {
        self.put_real(path, value, mode)?;
        Ok(Opened::new(
            Body::Real(self.files.open(path)?),
            Closing::CommitRef(path.clone()),
        ))
    }

    /// open(2) with O_CREAT of a name that is not there.
    pub fn create(&self, path: &RepoPath, mode: u32, caller: &Caller) -> FsResult<Opened> {
        if self.find(path)?.is_some() {
            return Err(FsError::Exists);
        }
        self.furnish_new(path, caller)?;
        let file = self.files.create(path, mode, caller.owner())?;
        let closing = match room(path) {
            Room::Refs if is_ref_scratch(path) => {
                self.refs.created(path)?;
                Closing::Plain
            }
            Room::Refs => Closing::CommitRef(path.clone()),
            Room::Objects if name::kind(path).is_some() => Closing::Finish(path.clone()),
            Room::Local if path.as_bytes() == b"config" => Closing::Config,
            Room::Objects | Room::Local => Closing::Plain,
        };
        let opened = Opened::new(Body::Real(file), closing);
        opened.mark_written();
        Ok(opened)
    }

    /// The first thing that is made in a new repository brings the `config` with
    /// the include of the replicated settings with it: git then adds to that.
    fn furnish_new(&self, path: &RepoPath, caller: &Caller) -> FsResult<()> {
        let config = RepoPath::new("config").expect("a valid path");
        if *path == config || self.files.stat(&config)?.is_some() || !self.is_empty()? {
            return Ok(());
        }
        self.files.create(&config, 0o644, caller.owner())?;
        Ok(std::fs::write(self.files.at(&config), config::INCLUDE)?)
    }

    /// close(2) of one descriptor: what a direct write means takes effect here, so that its
    /// error reaches the writer.
    pub fn flush(&self, opened: &Opened, caller: &Caller) -> FsResult<()> {
        match &opened.closing {
            Closing::Plain => Ok(()),
            Closing::CommitRef(path) => self.commit_written(opened, path, caller),
            Closing::Finish(path) => {
                // A descriptor that was duplicated may be closed before the bytes
                // are there: then a later close finishes.
                self.finish_if_whole(path);
                Ok(())
            }
            Closing::Config => self.config_changed(),
        }
    }

    /// The last close.
    pub fn release(&self, opened: &Opened, caller: &Caller) -> FsResult<()> {
        match &opened.closing {
            Closing::Plain | Closing::Config => Ok(()),
            Closing::CommitRef(path) => self.commit_written(opened, path, caller),
            Closing::Finish(path) => {
                if self.objects.is_finished(path) || self.files.stat(path)?.is_none() {
                    return Ok(());
                }
                self.objects.check_all(path)?;
                self.objects.finish(path);
                Ok(())
            }
        }
    }

    fn finish_if_whole(&self, path: &RepoPath) {
        let by_content = matches!(name::kind(path), Some(name::Kind::Loose | name::Kind::Pack));
        if by_content && !self.objects.is_finished(path) && self.objects.check_all(path).is_ok() {
            self.objects.finish(path);
        }
    }

    fn commit_written(&self, opened: &Opened, path: &RepoPath, caller: &Caller) -> FsResult<()> {
        if !opened.take_written() {
            return Ok(());
        }
        let Some(file) = opened.real() else {
            return Ok(());
        };
        let meta = file.metadata()?;
        let value = opened.read(0, meta.len() as usize)?;
        let expect = Expect::Anything;
        self.refs
            .write(path, meta.mode(), value.to_vec(), expect, &caller.actor())?;
        self.files.unlink_if_there(path)
    }

    /// When git has written other format keys, every machine must know.
    fn config_changed(&self) -> FsResult<()> {
        let config = RepoPath::new("config").expect("a valid path");
        let Some(format) = self
            .files
            .read(&config)?
            .and_then(|text| config::format_of(&text))
        else {
            return Ok(());
        };
        let known = self
            .shared
            .replica
            .repo(self.id)?
            .and_then(|repo| repo.format);
        if known == Some(format) {
            return Ok(());
        }
        let command = Command::SetFormat {
            id: self.id,
            format,
        };
        match self.shared.replica.propose(Default::default(), command)? {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// mkdir(2).
    pub fn mkdir(&self, path: &RepoPath, mode: u32, caller: &Caller) -> FsResult<()> {
        if self.find(path)?.is_some() {
            return Err(FsError::Exists);
        }
        let top_level = path.parent().is_some_and(|parent| parent.is_root());
        if top_level && path.file_name().len() > 4 && path.file_name().ends_with(b".git") {
            return Err(FsError::NotHere("a repository inside a repository"));
        }
        self.furnish_new(path, caller)?;
        self.files.mkdir(path, mode, caller.owner())
    }

    /// rmdir(2).
    pub fn rmdir(&self, path: &RepoPath) -> FsResult<()> {
        let found = self.find(path)?.ok_or(FsError::NotFound)?;
        if !found.is_dir() {
            return Err(FsError::NotDirectory);
        }
        if !self.replicated_children(path)?.is_empty() {
            return Err(FsError::NotEmpty);
        }
        self.files.rmdir(path)
    }

    /// unlink(2).
    pub fn unlink(&self, path: &RepoPath, caller: &Caller) -> FsResult<()> {
        let found = self.find(path)?.ok_or(FsError::NotFound)?;
        match (room(path), &found) {
            (_, Found::Directory) => Err(FsError::IsDirectory),
            (_, Found::Settings(_)) => Err(FsError::Immutable),
            (Room::Objects, _) if name::kind(path).is_some() => {
                self.objects.unlink(path, caller.seen, caller.pid)
            }
            (Room::Refs, _) if !is_ref_scratch(path) => {
                self.files.unlink_if_there(path)?;
                match self.refs.find(path)? {
                    Some(_) => self.refs.unlink(path, &caller.actor()),
                    None => Ok(()),
                }
            }
            (Room::Refs, _) => {
                self.files.unlink(path)?;
                self.refs.removed(path);
                Ok(())
            }
            (Room::Objects | Room::Local, _) => self.files.unlink(path),
        }
    }

    /// symlink(2).
    pub fn symlink(&self, path: &RepoPath, target: &Path, caller: &Caller) -> FsResult<()> {
        if self.find(path)?.is_some() {
            return Err(FsError::Exists);
        }
        self.furnish_new(path, caller)?;
        self.files.symlink(target, path, caller.owner())?;
        if room(path) == Room::Refs {
            if is_ref_scratch(path) {
                self.refs.created(path)?;
            } else {
                self.refs.commit_file(path, path, &caller.actor())?;
            }
        }
        Ok(())
    }

    /// mknod(2) of FIFOs and sockets, in the local room.
    pub fn mknod(&self, path: &RepoPath, mode: u32, caller: &Caller) -> FsResult<()> {
        let special = matches!(mode & libc::S_IFMT, libc::S_IFIFO | libc::S_IFSOCK);
        if room(path) != Room::Local || !special {
            return Err(FsError::Unsupported(
                "only FIFOs and sockets, outside objects/ and refs/",
            ));
        }
        self.files.mknod(path, mode, caller.owner())
    }

    /// link(2).
    pub fn link(&self, from: &RepoPath, to: &RepoPath, caller: &Caller) -> FsResult<()> {
        if self.find(to)?.is_some() {
            return Err(FsError::Exists);
        }
        match self.find(from)? {
            Some(Found::Real(_)) => {}
            Some(Found::Object(entry)) if name::is_rewritable(from) => {
                return self.copy_catalogued(from, to, &entry);
            }
            _ => return Err(FsError::CrossRoom),
        }
        match room(to) {
            Room::Objects if name::kind(to).is_some() => {
                self.objects.check(from, to)?;
                self.files.link(from, to)?;
                self.objects.finish(to);
                Ok(())
            }
            Room::Refs if !is_ref_scratch(to) => {
                let value = self.files.read(from)?.ok_or(FsError::NotFound)?;
                let actor = caller.actor();
                self.refs
                    .write(to, 0o100_644, value, Expect::Absent, &actor)
                    .map(|_| ())
            }
            Room::Objects | Room::Local => self.files.link(from, to),
            Room::Refs => {
                self.files.link(from, to)?;
                self.refs.created(to)
            }
        }
    }

    /// New attributes; `opened` when the caller names an open file.
    pub fn set_attributes(
        &self,
        path: &RepoPath,
        new: &NewAttributes,
        opened: Option<&Opened>,
        caller: &Caller,
    ) -> FsResult<()> {
        if let Some(size) = new.size {
            self.set_size(path, size, opened, caller)?;
        }
        match self.find(path)?.ok_or(FsError::NotFound)? {
            Found::Real(_) => self.set_real(path, new),
            Found::Ref(entry) => self.set_ref(path, &entry, new, caller),
            Found::Object(_) => self.set_object(path, new),
            Found::Directory => {
                self.files
                    .make_parents(&path.join(b"x").ok_or(FsError::Invalid)?)?;
                self.set_real(path, new)
            }
            // Rendered: its times and owner follow what it is rendered from.
            Found::Packed(_) => Ok(()),
            Found::Settings(_) => Err(FsError::Immutable),
        }
    }

    fn set_size(
        &self,
        path: &RepoPath,
        size: u64,
        opened: Option<&Opened>,
        caller: &Caller,
    ) -> FsResult<()> {
        if let Some(opened) = opened {
            return opened.truncate(size);
        }
        let opened = self.open_file(path, true)?;
        opened.truncate(size)?;
        self.flush(&opened, caller)?;
        self.release(&opened, caller)
    }

    fn set_real(&self, path: &RepoPath, new: &NewAttributes) -> FsResult<()> {
        if new.uid.is_some() || new.gid.is_some() {
            self.files.chown(path, new.uid, new.gid)?;
        }
        if let Some(mode) = new.mode {
            self.files.chmod(path, mode)?;
        }
        if new.atime.is_some() || new.mtime.is_some() {
            let times = rustix::fs::Timestamps {
                last_access: timespec(new.atime),
                last_modification: timespec(new.mtime),
            };
            self.files.set_times(path, &times)?;
        }
        Ok(())
    }

    /// Owners of replicated files follow the top directory, so that is not an
    /// error here; times of a ref are those of its commit.
    fn set_ref(
        &self,
        path: &RepoPath,
        entry: &RefEntry,
        new: &NewAttributes,
        caller: &Caller,
    ) -> FsResult<()> {
        let mode = new
            .mode
            .map(|mode| entry.mode & libc::S_IFMT | mode & 0o7777);
        match mode {
            Some(mode) if mode != entry.mode => self.refs.set_mode(path, mode, &caller.actor()),
            Some(_) | None => Ok(()),
        }
    }

    fn set_object(&self, path: &RepoPath, new: &NewAttributes) -> FsResult<()> {
        if new.mode.is_none() && new.mtime.is_none() {
            return Ok(());
        }
        self.objects.touch(path, |entry| {
            if let Some(mode) = new.mode {
                entry.mode = entry.mode & libc::S_IFMT | mode & 0o7777;
            }
            match new.mtime {
                Some(SetTime::Now) => entry.mtime = Timestamp::now(),
                Some(SetTime::At(time)) => entry.mtime = time,
                None => {}
            }
        })
    }

    /// rename(2). What no room can do as one step is refused as if it crossed file
    /// systems: mv(1) then copies.
    pub fn rename(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        replace: bool,
        caller: &Caller,
    ) -> FsResult<()> {
        if from == to {
            return Ok(());
        }
        let source = self.find(from)?.ok_or(FsError::NotFound)?;
        if let Some(target) = self.find(to)? {
            self.check_replace(&source, &target, to, replace)?;
        }
        match (room(from), room(to)) {
            (Room::Local, Room::Local) => self.rename_local(from, to),
            (Room::Refs | Room::Local, Room::Refs) => {
                self.rename_into_refs(from, to, &source, caller)
            }
            (Room::Objects | Room::Local, Room::Objects) => {
                self.rename_into_objects(from, to, &source, caller)
            }
            (Room::Objects | Room::Refs, Room::Local)
            | (Room::Refs, Room::Objects)
            | (Room::Objects, Room::Refs) => Err(FsError::CrossRoom),
        }
    }

    /// rename(2) of a file in the making from another repository (`git repack
    /// --filter-to`): it moves into this one's staging, then to its name.
    pub fn rename_from(
        &self,
        other: &Repository,
        from: &RepoPath,
        to: &RepoPath,
        replace: bool,
        caller: &Caller,
    ) -> FsResult<()> {
        let movable = matches!(other.find(from)?, Some(Found::Real(meta)) if meta.is_file())
            && room(from) == Room::Objects
            && name::kind(from).is_none();
        let scratch =
            RepoPath::new(format!("objects/tmp_moved_{}", caller.pid)).expect("a valid path");
        if !movable || room(to) != Room::Objects || self.files.stat(&scratch)?.is_some() {
            return Err(FsError::CrossRoom);
        }
        self.files.make_parents(&scratch)?;
        std::fs::rename(other.files.at(from), self.files.at(&scratch))?;
        self.rename(&scratch, to, replace, caller).inspect_err(|_| {
            // Back to where it was; if even that fails it stays in the making here.
            let _ = std::fs::rename(self.files.at(&scratch), other.files.at(from));
        })
    }

    fn check_replace(
        &self,
        source: &Found,
        target: &Found,
        to: &RepoPath,
        replace: bool,
    ) -> FsResult<()> {
        match (source.is_dir(), target.is_dir()) {
            _ if !replace => Err(FsError::Exists),
            (false, true) => Err(FsError::IsDirectory),
            (true, false) => Err(FsError::NotDirectory),
            (true, true) if !self.list(to)?.is_empty() => Err(FsError::NotEmpty),
            (true, true) | (false, false) => Ok(()),
        }
    }

    fn rename_local(&self, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        self.files.rename(from, to)?;
        if to.as_bytes() == b"config" {
            self.config_changed()
        } else {
            Ok(())
        }
    }

    fn rename_into_refs(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        source: &Found,
        caller: &Caller,
    ) -> FsResult<()> {
        match source {
            Found::Packed(_) | Found::Object(_) | Found::Settings(_) => Err(FsError::CrossRoom),
            Found::Real(meta) if !meta.is_dir() && is_ref_scratch(to) => {
                self.files.rename(from, to)?;
                self.refs.removed(from);
                self.refs.created(to)
            }
            Found::Real(meta) if !meta.is_dir() => self.refs.commit_file(from, to, &caller.actor()),
            Found::Ref(_) if is_ref_scratch(to) => Err(FsError::CrossRoom),
            Found::Ref(_) => self.refs.rename(from, to, &caller.actor()),
            Found::Real(_) | Found::Directory => self.rename_refs_directory(from, to, caller),
        }
    }

    /// A directory of refs: what is replicated beneath it moves in one commit;
    /// real files beneath it are committed one by one (git prepares whole
    /// directories when it migrates between ref storages).
    fn rename_refs_directory(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        caller: &Caller,
    ) -> FsResult<()> {
        if self.refs.has_children(from)? {
            self.refs.rename(from, to, &caller.actor())?;
        }
        for (name, kind) in self.files.list(from)? {
            let (Some(from), Some(to)) = (from.join(&name), to.join(&name)) else {
                continue;
            };
            if kind.is_dir() {
                self.rename_refs_directory(&from, &to, caller)?;
            } else {
                self.refs.commit_file(&from, &to, &caller.actor())?;
            }
        }
        if self.files.stat(to)?.is_none() && self.files.stat(from)?.is_some() {
            self.files.rename(from, to)
        } else {
            self.files.rmdir(from)
        }
    }

    fn rename_into_objects(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        source: &Found,
        caller: &Caller,
    ) -> FsResult<()> {
        let meta = match source {
            Found::Real(meta) => meta,
            Found::Object(entry) if name::is_rewritable(from) => {
                return self.rename_catalogued(from, to, entry, caller);
            }
            _ => return Err(FsError::CrossRoom),
        };
        if meta.is_dir() {
            let holds_finished = self.holds_finished(from)?;
            return if holds_finished {
                Err(FsError::CrossRoom)
            } else {
                self.files.rename(from, to)
            };
        }
        if name::kind(to).is_some() {
            self.objects.check(from, to)?;
        }
        self.files.rename(from, to)?;
        self.objects.unfinish(from);
        if name::kind(to).is_some() {
            self.objects.finish(to);
        }
        Ok(())
    }

    /// A catalogued file that may change its name (git makes the one
    /// commit-graph the base of a chain): new under that name, gone under the old.
    fn rename_catalogued(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        entry: &FileEntry,
        caller: &Caller,
    ) -> FsResult<()> {
        self.copy_catalogued(from, to, entry)?;
        self.objects.unlink(from, caller.seen, caller.pid)
    }

    fn copy_catalogued(&self, from: &RepoPath, to: &RepoPath, entry: &FileEntry) -> FsResult<()> {
        if room(to) != Room::Objects {
            return Err(FsError::CrossRoom);
        }
        let opened = self.open_found(from, Found::Object(entry.clone()), false)?;
        let bytes = opened.read(0, entry.size as usize)?;
        self.put_real(to, &bytes, entry.mode)?;
        if name::kind(to).is_some() {
            self.objects.finish(to);
        }
        Ok(())
    }

    fn holds_finished(&self, dir: &RepoPath) -> FsResult<bool> {
        let in_objects = room(dir) == Room::Objects;
        let scratch =
            dir.file_name().starts_with(b"tmp_") || dir.file_name().starts_with(b"incoming-");
        Ok(in_objects
            && !scratch
            && self
                .list(dir)?
                .values()
                .any(|kind| *kind != Type::Directory))
    }
}

fn plain(body: Body) -> Opened {
    Opened::new(body, Closing::Plain)
}

fn timespec(time: Option<SetTime>) -> rustix::fs::Timespec {
    let special = |nsec| rustix::fs::Timespec {
        tv_sec: 0,
        tv_nsec: nsec,
    };
    match time {
        None => special(rustix::fs::UTIME_OMIT),
        Some(SetTime::Now) => special(rustix::fs::UTIME_NOW),
        Some(SetTime::At(at)) => rustix::fs::Timespec {
            tv_sec: at.secs,
            tv_nsec: i64::from(at.nanos) as _,
        },
    }
}
