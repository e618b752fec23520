//! The refs of a source, as git tells them, whichever way they are stored there.
//!
//! What belongs to one of its worktrees stays there: `refs/bisect`, `refs/worktree`, `refs/rewritten`, and the `HEAD` of
//! any but the main one.

use super::ImportError;
use super::source::Disk;
use crate::runner::ProgressReporter;
use gitmoor_model::{Change, Expect, PackedEdit, PackedRef, RefEdit, RepoPath};
use gix_hash::ObjectId;
use std::collections::HashMap;

pub(super) struct Refs {
    direct: Vec<(RepoPath, PackedRef)>,
    /// Name and target.
    symbolic: Vec<(RepoPath, Vec<u8>)>,
    head: Head,
}

enum Head {
    Branch(Vec<u8>),
    Detached(ObjectId),
}

const OF_WORKTREES: [&[u8]; 3] = [b"refs/bisect/", b"refs/worktree/", b"refs/rewritten/"];

/// Type, then what must not hold spaces, then the name.
const FORMAT: &str = "--format=%(objecttype) %(objectname) %(refname) %(symref)";

const FILE: u32 = 0o100_644;

impl Disk {
    pub(super) fn refs(&self, reporter: &ProgressReporter<'_>) -> Result<Refs, ImportError> {
        self.reread_refs()?;
        let said = self.said(&["for-each-ref", FORMAT], b"", reporter)?;
        let complaints = String::from_utf8_lossy(&said.stderr).into_owned();
        if let Some(line) = complaints.lines().find(|line| line.contains("broken ref")) {
            return Err(self.damaged(line));
        }
        let mut refs = Refs {
            direct: Vec::new(),
            symbolic: Vec::new(),
            head: self.head(reporter)?,
        };
        let mut tags = Vec::new();
        let lines = said.stdout.split(|&byte| byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            let words: Vec<_> = line.splitn(4, |&byte| byte == b' ').collect();
            let [kind, oid, name, target] = words[..] else {
                return Err(self.odd(line));
            };
            if OF_WORKTREES.iter().any(|dir| name.starts_with(dir)) {
                continue;
            }
            let path = RepoPath::new(name).ok_or_else(|| self.odd(name))?;
            if !target.is_empty() {
                refs.symbolic.push((path, target.to_vec()));
                continue;
            }
            let oid = ObjectId::from_hex(oid).map_err(|_| self.odd(line))?;
            if kind == b"tag" {
                tags.push(oid);
            }
            let (oid, peeled) = (oid.as_slice().to_vec(), None);
            refs.direct.push((path, PackedRef { oid, peeled }));
        }
        self.peel(&tags, &mut refs, reporter)?;
        Ok(refs)
    }

    fn odd(&self, line: &[u8]) -> ImportError {
        self.damaged(format!("an impossible ref: {}", line.escape_ascii()))
    }

    /// What tags of tags come to in the end, as `packed-refs` has it.
    fn peel(
        &self,
        tags: &[ObjectId],
        refs: &mut Refs,
        reporter: &ProgressReporter<'_>,
    ) -> Result<(), ImportError> {
        if tags.is_empty() {
            return Ok(());
        }
        let input: String = tags.iter().map(|oid| format!("{oid}^{{}}\n")).collect();
        let step = ["cat-file", "--batch-check=%(objectname)"];
        let said = self.said(&step, input.as_bytes(), reporter)?;
        let mut peeled = HashMap::new();
        for (tag, line) in tags.iter().zip(said.stdout.split(|&byte| byte == b'\n')) {
            let oid = ObjectId::from_hex(line).map_err(|_| ImportError::Incomplete {
                path: self.dir.clone(),
                said: format!("what tag {tag} is of is missing"),
            })?;
            peeled.insert(tag.as_slice(), oid);
        }
        for (_, line) in &mut refs.direct {
            line.peeled = peeled
                .get(line.oid.as_slice())
                .map(|oid| oid.as_slice().to_vec());
        }
        Ok(())
    }

    fn head(&self, reporter: &ProgressReporter<'_>) -> Result<Head, ImportError> {
        if let Some(branch) = self.ask_whether(&["symbolic-ref", "-q", "HEAD"], reporter)? {
            return Ok(Head::Branch(branch.trim_ascii_end().to_vec()));
        }
        let oid = self.ask(&["rev-parse", "--verify", "HEAD"], reporter)?;
        let oid = ObjectId::from_hex(oid.trim_ascii_end());
        oid.map(Head::Detached)
            .map_err(|_| self.damaged("HEAD is neither a branch nor a commit"))
    }
}

impl Refs {
    /// How many there are, without `HEAD`.
    pub(super) fn count(&self) -> u64 {
        (self.direct.len() + self.symbolic.len()) as u64
    }

    /// All that must be there with all that it reaches.
    pub(super) fn tips(&self) -> Vec<ObjectId> {
        let direct = self.direct.iter().map(|(_, line)| line.oid.as_slice());
        let tips = direct.map(ObjectId::from_bytes_or_panic);
        let head = match &self.head {
            Head::Branch(_) => None,
            Head::Detached(oid) => Some(*oid),
        };
        let mut tips: Vec<_> = tips.chain(head).collect();
        tips.sort_unstable();
        tips.dedup();
        tips
    }

    /// For the table.
    pub(super) fn packed(&self) -> Vec<PackedEdit> {
        let set = |(name, line): &(RepoPath, PackedRef)| PackedEdit::Set {
            name: name.clone(),
            line: line.clone(),
        };
        self.direct.iter().map(set).collect()
    }

    /// For files of their own.
    pub(super) fn loose(&self) -> Vec<RefEdit> {
        let symbolic = self.symbolic.iter();
        let symbolic = symbolic.map(|(name, target)| set(name.clone(), symref(target)));
        let head = match &self.head {
            Head::Branch(target) => symref(target),
            Head::Detached(oid) => format!("{oid}\n").into_bytes(),
        };
        let head = set(RepoPath::new("HEAD").expect("a valid path"), head);
        symbolic.chain([head]).collect()
    }
}

fn symref(target: &[u8]) -> Vec<u8> {
    [b"ref: ", target, b"\n"].concat()
}

fn set(name: RepoPath, value: Vec<u8>) -> RefEdit {
    RefEdit {
        name,
        expect: Expect::Anything,
        change: Change::Set { mode: FILE, value },
    }
}
