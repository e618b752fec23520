//! Files of hosts: replicated values, but for those of a repository that is still being made.
//!
//! Until the format of a repository is known nobody else takes it for one, and what `git init` copies from its
//! template, and what cp(1) brings, are plain files here. They are *adopted* when the format is known: one commit has
//! all of them, each only where the others have none, and then the plain files go. The same is done with what an
//! earlier version, which did not replicate them, left here. Where the others have one already, theirs stands, and a
//! different text is moved aside.
//!
//! What is not adopted yet, for want of a majority, is shown as it is. Who writes it has it adopted first.

use super::Found;
use super::context::Context;
use super::local::{Files, read_at_most};
use super::refs::most;
use super::transaction::{Author, Transactions};
use crate::error::{FsError, FsResult};
use crate::failpoint;
use gitmoor_model::room::{Room, Type, holds_values, is_value, room, takes};
use gitmoor_model::{Change, Expect, RefEdit, Refusal, RepoChange, RepoId, RepoPath, host_file};
use gitmoor_replicator::read;
use parking_lot::Mutex;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often an adoption looks because others adopted theirs in between, which is rare even once.
const LOOKS: usize = 5;

/// Bytes of values that one commit adopts, about.
const AT_ONCE: usize = 1 << 20;

/// See the module.
pub(super) struct HostFiles {
    repo: RepoId,
    shared: Arc<Context>,
    files: Arc<Files>,
    transactions: Arc<Transactions>,
    /// Whether there may be plain files.
    plain: AtomicBool,
    /// Held while they are adopted.
    turn: Mutex<()>,
}

/// `st_mode` of a value: nobody executes a host's file.
pub(super) fn mode_of_value(path: &RepoPath, mode: u32) -> u32 {
    match host_file::may_be_one(path) {
        true => mode & (libc::S_IFMT | host_file::PERMISSIONS),
        false => mode,
    }
}

/// Bytes that count, see [`host_file::MOST`].
fn size_of(path: &RepoPath, value: &[u8]) -> u64 {
    (path.as_bytes().len() + value.len()) as u64
}

impl HostFiles {
    pub(super) fn open(
        repo: RepoId,
        shared: Arc<Context>,
        files: Arc<Files>,
        transactions: Arc<Transactions>,
    ) -> FsResult<Self> {
        let host_files = Self {
            repo,
            shared,
            files,
            transactions,
            plain: AtomicBool::new(false),
            turn: Mutex::new(()),
        };
        let any = !host_files.plain()?.is_empty();
        host_files.plain.store(any, Ordering::Release);
        Ok(host_files)
    }

    /// The room of a path in this repository, which may add names of hosts' files.
    pub(super) fn room(&self, path: &RepoPath) -> FsResult<Room> {
        match self.is_added(path)? {
            true => Ok(Room::Host),
            false => Ok(room(path)),
        }
    }

    fn is_added(&self, path: &RepoPath) -> FsResult<bool> {
        let repo = match host_file::may_be_added(path) {
            true => read::repo(self.shared.replica.view(), self.repo)?,
            false => None,
        };
        Ok(repo.is_some_and(|repo| host_file::added_by(&repo).any(|added| added == *path)))
    }

    /// Whether a file of this type may get a name.
    pub(super) fn takes(&self, path: &RepoPath, kind: Type) -> FsResult<bool> {
        Ok(takes(path, kind) && (kind == Type::File || !self.is_added(path)?))
    }

    /// Whether a path is where a replicated value is kept.
    pub(super) fn is_value(&self, path: &RepoPath) -> FsResult<bool> {
        Ok(is_value(path) || self.is_added(path)?)
    }

    /// The room of what stands at a path: a plain file is a local one.
    pub(super) fn room_of(&self, path: &RepoPath, found: &Found) -> FsResult<Room> {
        Ok(match (self.room(path)?, found) {
            (Room::Host, Found::Real(_)) => Room::Local,
            (room, _) => room,
        })
    }

    /// What stands under the name of one.
    pub(super) fn find(&self, path: &RepoPath) -> FsResult<Option<Found>> {
        match read::reference(self.shared.replica.view(), self.repo, path)? {
            Some(entry) => Ok(Some(Found::Ref(entry))),
            None => {
                let real = self.files.stat(path)?;
                if real.as_ref().is_some_and(Metadata::is_file) {
                    self.plain.store(true, Ordering::Release);
                }
                Ok(real.map(Found::Real))
            }
        }
    }

    /// Whether values lie in a directory.
    pub(super) fn are_in(&self, dir: &RepoPath) -> FsResult<bool> {
        let view = self.shared.replica.view();
        Ok(holds_values(dir) && read::has_references_in(view, self.repo, dir)?)
    }

    /// Whether what is written under a name becomes a value.
    pub(super) fn writes_value(&self, path: &RepoPath) -> FsResult<bool> {
        Ok(self.is_value(path)? && self.room_to(path)? != Room::Local)
    }

    /// The room of what is about to be written under a name: a host's file of a repository that is still being made is
    /// a plain file.
    pub(super) fn room_to(&self, path: &RepoPath) -> FsResult<Room> {
        match self.room(path)? {
            Room::Host if !self.is_made()? => {
                self.plain.store(true, Ordering::Release);
                Ok(Room::Local)
            }
            room => Ok(room),
        }
    }

    /// Whether the format of the repository is known.
    pub(super) fn is_made(&self) -> FsResult<bool> {
        let repo = read::repo(self.shared.replica.view(), self.repo)?;
        Ok(repo.is_some_and(|repo| repo.format.is_some()))
    }

    /// Whether the publisher is to adopt some.
    pub(super) fn has_plain(&self) -> bool {
        self.plain.load(Ordering::Acquire)
            && !self.shared.config.read_only
            && self.is_made().unwrap_or(false)
    }

    /// rename(2) of a local directory. Values in it do not move with it; plain files that it brings are adopted.
    pub(super) fn rename_directory(&self, from: &RepoPath, to: &RepoPath) -> FsResult<()> {
        if self.are_in(from)? {
            return Err(FsError::CrossRoom);
        }
        self.files.rename(from, to)?;
        match host_file::holds_some(to) {
            true => {
                self.plain.store(true, Ordering::Release);
                self.adopt()
            }
            false => Ok(()),
        }
    }

    /// After a change of `config`: once its format is known it is a repository to the others.
    pub(super) fn adopt_when_made(&self) {
        if self.has_plain()
            && let Err(error) = self.adopt()
        {
            tracing::warn!(repo = %self.repo, %error, "files of hosts are not replicated yet; trying again later");
        }
    }

    /// Before what stands there is written, moved or removed.
    pub(super) fn adopt_if_plain(&self, path: &RepoPath) -> FsResult<()> {
        match self.room(path)? == Room::Host && self.files.stat(path)?.is_some() {
            true => self.adopt(),
            false => Ok(()),
        }
    }

    /// Makes values of plain files.
    pub(super) fn adopt(&self) -> FsResult<()> {
        let _turn = self.turn.lock();
        if self.shared.config.read_only || !self.is_made()? {
            return Ok(());
        }
        for _ in 1..LOOKS {
            self.shared.freshness.sync_reads()?;
            match self.adopt_found() {
                Err(FsError::Refused(Refusal::RefMoved { .. })) => {}
                adopted => return adopted,
            }
        }
        self.adopt_found()
    }

    /// Regular files under names of hosts' files.
    fn plain(&self) -> FsResult<Vec<RepoPath>> {
        let mut found = Vec::new();
        for dir in [b"".as_slice(), b"info", host_file::BRANCHES] {
            let dir = RepoPath::new(dir).expect("a valid path");
            if !self.files.stat(&dir)?.is_some_and(|meta| meta.is_dir()) {
                continue;
            }
            for (name, kind) in self.files.list(&dir)? {
                if let (Some(path), true) = (dir.join(&name), kind.is_file())
                    && self.room(&path)? == Room::Host
                {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    fn adopt_found(&self) -> FsResult<()> {
        let (mut edits, mut bytes) = (Vec::new(), 0);
        let there = read::host_files(self.shared.replica.view(), self.repo)?;
        let mut left = there.iter().fold(host_file::MOST, |left, (path, entry)| {
            left.saturating_sub(size_of(path, &entry.value))
        });
        for path in self.plain()? {
            let Some((mode, value)) = self.read(&path)? else {
                continue;
            };
            match read::reference(self.shared.replica.view(), self.repo, &path)? {
                Some(entry) if entry.value == value => self.stands_for(&path)?,
                Some(_) => self.leave_aside(&path, "the other machines have another text")?,
                None if size_of(&path, &value) > left => {
                    let why = format!(
                        "together they would have more than {} bytes",
                        host_file::MOST
                    );
                    self.leave_aside(&path, &why)?;
                }
                None => {
                    left -= size_of(&path, &value);
                    bytes += value.len();
                    edits.push(RefEdit {
                        name: path,
                        expect: Expect::Absent,
                        change: Change::Set { mode, value },
                    });
                }
            }
            if bytes > AT_ONCE {
                self.commit(std::mem::take(&mut edits))?;
                bytes = 0;
            }
        }
        self.commit(edits)?;
        self.plain.store(false, Ordering::Release);
        Ok(())
    }

    /// `st_mode` and text of a plain file. One that is too large for a value is moved aside.
    fn read(&self, path: &RepoPath) -> FsResult<Option<(u32, Vec<u8>)>> {
        let Some(file) = self.files.open_to_read(path)? else {
            return Ok(None);
        };
        match read_at_most(&file, most(path)) {
            Err(FsError::TooLarge { most }) => {
                let why = format!("it has more than {most} bytes");
                self.leave_aside(path, &why).map(|()| None)
            }
            read => Ok(Some((mode_of_value(path, file.metadata()?.mode()), read?))),
        }
    }

    fn commit(&self, refs: Vec<RefEdit>) -> FsResult<()> {
        if refs.is_empty() {
            return Ok(());
        }
        let adopted: Vec<_> = refs.iter().map(|edit| edit.name.clone()).collect();
        let change = RepoChange {
            refs,
            ..RepoChange::new(self.repo)
        };
        self.transactions.commit(change, &Author::default())?;
        failpoint::HOST_FILES_ADOPTED.hit();
        adopted.iter().try_for_each(|path| self.stands_for(path))
    }

    /// The value stands for the plain file now.
    fn stands_for(&self, path: &RepoPath) -> FsResult<()> {
        self.files.unlink_if_there(path)?;
        (self.shared.changed)(self.repo, path);
        Ok(())
    }

    fn leave_aside(&self, path: &RepoPath, why: &str) -> FsResult<()> {
        let aside = self.files.set_aside(path)?;
        let aside = aside.display();
        tracing::warn!(repo = %self.repo, %path, %aside, why, "a file of this machine alone is not replicated, and is moved aside");
        (self.shared.changed)(self.repo, path);
        Ok(())
    }
}
