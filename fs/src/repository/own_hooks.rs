//! The hooks that a host has written into a repository, as the cluster knows them: their names and a digest, so that no
//! other machine takes a push without them. They are told when `hooks/` has changed, by the publisher or before a ref
//! moves here, and once after an upgrade; a note beside the repository's directory says what was told.
//!
//! That hooks have gone is told by the publisher when the repository has not been used for [`REST`]. `rm -rf` of a
//! repository may begin with them, and has to remove the refs as well, which a machine that lacks the hooks of another
//! may not. Until then the others ask for no less than before.

use super::context::Context;
use super::local::Files;
use crate::error::{FsError, FsResult};
use gitmoor_model::{
    Actor, Command, Digest, HOOKS, HookFile, HookKind, HookSet, HooksChange, MOST_OWN_HOOKS,
    OwnHooks as Told, RepoId, RepoPath, is_in_hooks, is_push_hook, is_push_hook_directory,
    is_sample,
};
use gitmoor_replicator::read;
use parking_lot::Mutex;
use rustix::fs::FileType;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The note of what was told.
const NOTE: &str = "told-hooks";

/// Bytes of it.
const LARGEST_NOTE: u64 = 1 << 10;

/// Bytes of a hook that are looked at. Of a larger one the length is told.
const LARGEST: u64 = 1 << 20;

/// Between two steps of a program that removes a repository there is less.
const REST: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct OwnHooks {
    repo: RepoId,
    shared: Arc<Context>,
    files: Arc<Files>,
    /// How often a hook may have changed.
    changes: AtomicU64,
    /// The last of these changes that was no removal.
    appeared: AtomicU64,
    /// Which of these changes the others know.
    told: AtomicU64,
    /// How often the repository was used when that was last looked at, and since when that is so.
    seen: Mutex<(u64, Instant)>,
    /// Held while they are told.
    telling: Mutex<()>,
}

/// A change that is under way. It counts when it is over: whoever tells what there is before that tells the old.
#[must_use]
pub(super) struct Changing<'a> {
    of: Option<&'a OwnHooks>,
    is_removal: bool,
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let Some(hooks) = self.of else { return };
        let change = hooks.changes.fetch_add(1, Ordering::AcqRel) + 1;
        if !self.is_removal {
            hooks.appeared.fetch_max(change, Ordering::AcqRel);
        }
    }
}

impl OwnHooks {
    pub(super) fn open(repo: RepoId, shared: Arc<Context>, files: Arc<Files>) -> FsResult<Self> {
        let hooks = Self {
            repo,
            shared,
            files,
            changes: AtomicU64::new(0),
            appeared: AtomicU64::new(0),
            told: AtomicU64::new(0),
            seen: Mutex::new((0, Instant::now())),
            telling: Mutex::default(),
        };
        if hooks.are_told() {
            let files = hooks.found()?;
            let note = hooks.files.noted(NOTE, LARGEST_NOTE)?.unwrap_or_default();
            let is_new = note != hooks.note(hooks.summary(&files).as_ref())?;
            hooks.changes.store(u64::from(is_new), Ordering::Release);
            hooks.appeared.store(u64::from(is_new), Ordering::Release);
        }
        Ok(hooks)
    }

    /// A machine that is alone has nobody to tell.
    fn are_told(&self) -> bool {
        !self.shared.config.read_only && self.shared.replica.machine().is_some()
    }

    /// A name in the repository may be another file, or have another mode, when the answer is dropped.
    pub(super) fn changing(&self, path: &RepoPath) -> Changing<'_> {
        self.change(path, false)
    }

    /// A name in the repository may be gone when the answer is dropped.
    pub(super) fn removing(&self, path: &RepoPath) -> Changing<'_> {
        self.change(path, true)
    }

    fn change(&self, path: &RepoPath, is_removal: bool) -> Changing<'_> {
        let of = (is_in_hooks(path) && self.are_told()).then_some(self);
        Changing { of, is_removal }
    }

    /// Whether the publisher is to tell others, of a repository that was used so often.
    pub(super) fn is_due(&self, operations: u64) -> bool {
        let has_appeared =
            || self.appeared.load(Ordering::Acquire) > self.told.load(Ordering::Acquire);
        !self.is_told() && (has_appeared() || self.is_at_rest(operations))
    }

    fn is_told(&self) -> bool {
        self.changes.load(Ordering::Acquire) == self.told.load(Ordering::Acquire)
    }

    fn is_at_rest(&self, operations: u64) -> bool {
        let mut seen = self.seen.lock();
        if seen.0 != operations {
            *seen = (operations, Instant::now());
        }
        seen.1.elapsed() >= REST
    }

    /// Tells the others what there is, if they do not know. Whoever takes the lock of a ref comes here first: a machine
    /// that has a hook is not refused because the others do not know that yet.
    pub(super) fn tell(&self) -> FsResult<()> {
        if self.is_told() {
            return Ok(());
        }
        let _telling = self.telling.lock();
        let changes = self.changes.load(Ordering::Acquire);
        if changes != self.told.load(Ordering::Acquire) {
            self.tell_found()?;
            self.told.store(changes, Ordering::Release);
        }
        Ok(())
    }

    fn tell_found(&self) -> FsResult<()> {
        let files = self.found()?;
        let hooks = self.summary(&files);
        let note = self.note(hooks.as_ref())?;
        if self.files.noted(NOTE, LARGEST_NOTE)?.unwrap_or_default() == note {
            return Ok(());
        }
        let repo = self.repo;
        let change = HooksChange::Own { repo, hooks };
        let command = Command::Hooks(Box::new(change));
        self.shared.propose(Actor::default(), command)?;
        self.files.note(NOTE, &note)
    }

    fn summary(&self, files: &[HookFile]) -> Option<Told> {
        let set = HookSet::new(files.to_vec());
        let names = set.files().iter().map(|file| file.path.clone());
        (!files.is_empty()).then(|| Told {
            digest: set.digest(),
            names: names.take(MOST_OWN_HOOKS).collect(),
        })
    }

    /// What the note says when this was told: to whom, as whom, and what. Nothing when there is nothing to tell.
    fn note(&self, hooks: Option<&Told>) -> FsResult<Vec<u8>> {
        let (Some(hooks), Some(machine)) = (hooks, self.shared.replica.machine()) else {
            return Ok(Vec::new());
        };
        let cluster = read::cluster(self.shared.replica.view())?;
        let cluster = cluster.map_or_else(String::new, |id| id.to_string());
        let Digest(digest) = hooks.digest;
        Ok(format!("{cluster} {machine} {}\n", gitmoor_model::hex(&digest)).into_bytes())
    }

    /// One of those, if there are any.
    pub(super) fn first(&self) -> FsResult<Option<RepoPath>> {
        let found = self.found()?.into_iter();
        Ok(found.map(|hook| hook.path).min())
    }

    /// What git would run of `hooks/` while it takes a push.
    fn found(&self) -> FsResult<Vec<HookFile>> {
        let top = RepoPath::new(HOOKS).expect("a valid path");
        let mut found = Vec::new();
        for (name, kind) in self.files.list(&top)? {
            let Some(path) = top.join(&name) else {
                continue;
            };
            if kind.is_dir() && is_push_hook_directory(&name) {
                for (name, kind) in self.files.list(&path)? {
                    if let Some(path) = path.join(&name).filter(|_| !is_sample(&name)) {
                        found.extend(self.hook(&path, kind)?);
                    }
                }
            } else if is_push_hook(&name) {
                found.extend(self.hook(&path, kind)?);
            }
        }
        Ok(found)
    }

    /// A program, or a symbolic link, wherever that leads.
    fn hook(&self, path: &RepoPath, kind: FileType) -> FsResult<Option<HookFile>> {
        let told = |kind, bytes: &[u8]| {
            let below = path.as_bytes().get(HOOKS.len() + 1..).unwrap_or_default();
            RepoPath::new(below).map(|path| HookFile::new(path, kind, bytes))
        };
        if kind.is_symlink() {
            let target = self.files.readlink(path)?;
            return Ok(told(HookKind::Link, &target));
        }
        let meta = self.files.stat(path)?;
        let Some(meta) = meta.filter(|meta| meta.is_file() && meta.mode() & 0o111 != 0) else {
            return Ok(None);
        };
        match self.files.read(path, LARGEST) {
            Ok(Some(bytes)) => Ok(told(HookKind::Program, &bytes)),
            Ok(None) => Ok(None),
            Err(FsError::TooLarge { .. }) => {
                Ok(told(HookKind::Program, &meta.size().to_be_bytes()))
            }
            Err(error) => Err(error),
        }
    }
}
