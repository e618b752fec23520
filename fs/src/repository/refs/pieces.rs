//! `packed-refs`, changed in pieces.
//!
//! A raft entry has room for so much, and who applies one looks at each ref that it moves while all commits wait. So a
//! difference goes in pieces of about [`CHUNK`] bytes. Each expects the version that the one before it made: nobody writes
//! in between, and a death leaves a table with some of the changes.

use super::locked::{Locks, packed_refs};
use super::rendered::{self, Rendered};
use super::values::Values;
use super::{CHUNK, packed};
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::transaction::Author;
use gitmoor_model::{Change, Expect, PackedEdit, RefEdit, RepoChange, Version};
use gitmoor_replicator::read;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Edits = Peekable<std::vec::IntoIter<PackedEdit>>;

/// The packed table of a repository.
pub(super) struct PackedRefs {
    values: Arc<Values>,
    locks: Arc<Locks>,
    rendered: rendered::Cache,
}

impl PackedRefs {
    /// Renderings go to this directory.
    pub(super) fn new(values: Arc<Values>, locks: Arc<Locks>, dir: PathBuf) -> Self {
        let replica = values.shared.replica.clone();
        let rendered = rendered::Cache::new(values.repo, replica, dir);
        Self {
            values,
            locks,
            rendered,
        }
    }

    /// The table as a file; `None` when it is empty.
    pub(super) fn rendered(&self) -> FsResult<Option<Arc<Rendered>>> {
        self.rendered.current()
    }

    /// The file that git wrote becomes the rendering of the version that its commit made.
    pub(super) fn adopt(&self, file: &Path, version: Version) -> FsResult<()> {
        self.rendered.adopt(file, version)
    }

    /// Removes the renderings of an earlier life.
    pub(super) fn clear(&self) -> FsResult<()> {
        self.rendered.clear()
    }

    /// Makes the packed table, which is `packed-refs`, equal to a file, if it is still what is
    /// expected. A file that is not a usual one is kept byte for byte while it is small. Returns the version of what
    /// there is then, and whether the file is the rendering of it.
    pub(super) fn replace(
        &self,
        file: &[u8],
        mode: u32,
        expect: Expect,
        by: &Author,
    ) -> FsResult<(Version, bool)> {
        // What the file differs in is looked up now: the table may not move on until the commit.
        let mut expect = self.known(expect)?;
        let usual = packed::Diff::towards(file);
        let is_usual = usual.is_some();
        let diff = match usual {
            None if file.len() > CHUNK => {
                let most = CHUNK as u64;
                let lines = packed::lines_of(file).ok_or(FsError::TooLarge { most })?;
                Some(packed::Diff::to(lines.into_iter()))
            }
            usual => usual,
        };
        let Some(diff) = diff else {
            let expect = self.thin_out(expect, by)?;
            let value = file.to_vec();
            let change = Change::Set { mode, value };
            let version = self.commit_piece(vec![PackedEdit::Clear], expect, change, by)?;
            return Ok((version, false));
        };
        let mut edits = self.edits(diff)?;
        let mut is_unusual = self.values.get(&packed_refs())?.is_some();
        while is_unusual || edits.peek().is_some() {
            let mut piece = take_piece(&mut edits);
            if std::mem::take(&mut is_unusual) {
                piece.insert(0, PackedEdit::Clear);
            }
            // Of a table, this only compares.
            let change = Change::Delete;
            let version = self.commit_piece(piece, expect, change, by)?;
            failpoint::PACKED_PIECE.hit();
            expect = Expect::Is(version);
        }
        match expect {
            Expect::Is(version) => Ok((version, is_usual)),
            Expect::Anything | Expect::Absent => Ok((Version::default(), false)),
        }
    }

    /// Before a table is cleared: removes its lines but for those of one piece. Returns what to expect of it then.
    pub(super) fn thin_out(&self, mut expect: Expect, by: &Author) -> FsResult<Expect> {
        let mut known = self.known(expect)?;
        let mut edits = self.edits(packed::Diff::to(std::iter::empty()))?;
        let mut piece = take_piece(&mut edits);
        while edits.peek().is_some() {
            let version = self.commit_piece(piece, known, Change::Delete, by)?;
            failpoint::PACKED_PIECE.hit();
            known = Expect::Is(version);
            expect = known;
            piece = take_piece(&mut edits);
        }
        Ok(expect)
    }

    fn known(&self, expect: Expect) -> FsResult<Expect> {
        match expect {
            Expect::Anything => self.values.current(&packed_refs()),
            expect => Ok(expect),
        }
    }

    /// What makes a table of the one that there is.
    fn edits(&self, mut diff: packed::Diff<'_>) -> FsResult<Edits> {
        let Values { repo, shared, .. } = &*self.values;
        read::packed(shared.replica.view(), *repo, &mut |name, line| {
            diff.old(name, &line);
            true
        })?;
        Ok(diff.finish().into_iter().peekable())
    }

    fn commit_piece(
        &self,
        piece: Vec<PackedEdit>,
        expect: Expect,
        change: Change,
        by: &Author,
    ) -> FsResult<Version> {
        let mut refs = self.locks.unlocked_by(&piece)?;
        refs.push(RefEdit {
            name: packed_refs(),
            expect,
            change,
        });
        let change = RepoChange {
            refs,
            packed: piece,
            ..RepoChange::new(self.values.repo)
        };
        let version = self.values.commit(change, by)?;
        // Until the next piece nobody else may write it either.
        self.locks.wrote_past(&packed_refs(), Expect::Is(version));
        Ok(version)
    }
}

fn take_piece(edits: &mut Edits) -> Vec<PackedEdit> {
    let mut size = 0;
    let mut piece = Vec::new();
    for edit in edits {
        size += match &edit {
            PackedEdit::Set { name, .. } => name.as_bytes().len() + 80,
            PackedEdit::Delete { name } => name.as_bytes().len() + 8,
            PackedEdit::Clear => 1,
        };
        piece.push(edit);
        if size >= CHUNK {
            break;
        }
    }
    piece
}
