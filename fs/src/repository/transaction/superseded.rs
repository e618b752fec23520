//! Deletions that lose nothing: each object of the file is in a pack that stays.
//!
//! git deletes loose objects that it has packed, and packs of which it has made a larger one. No ref can miss such a
//! file, whoever looked when, so its deletion holds whatever refs did since, and no ref change takes it back. It is
//! published as what maintenance does is: the replicator refuses it unless the packs that stay are in the catalog at
//! that moment (its `state/repack.rs`), and the file is *superseded* in the trash.
//!
//! The proof compares names, as the indexes have them. A loose object proves nothing: any git that finds it in a pack may
//! delete it. A pack that is itself deleted, published or not, proves nothing either.

use super::Transactions;
use super::commit::FILES_PER_ENTRY;
use super::prune::{Removal, Superseding};
use crate::bundle;
use crate::error::{FsError, FsResult};
use crate::repository::objects::Content;
use gitmoor_model::name;
use gitmoor_model::{
    Actor, BlockDigest, Command, Digest, FileEntry, ObjectFormat, Refusal, Relied, Repacking,
    RepoPath, Version,
};
use gitmoor_replicator::{Child, read};
use gix_hash::ObjectId;
use gix_pack::index;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

type Index = index::File<Vec<u8>>;

/// How many bytes of indexes one proof reads at most. What they do not tell is not proved.
const INDEX_BYTES: u64 = 256 << 20;

/// How often it is begun again when another mount removed what a proof relied on.
const ATTEMPTS: usize = 5;

/// Which indexes a proof reads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Thorough {
    /// All of them, from the store if need be.
    Yes,
    /// Those of which this machine has read something.
    No,
}

/// Deleted files that nobody can miss.
#[derive(Default)]
pub(super) struct Superseded {
    pub(super) paths: Vec<RepoPath>,
    /// The packs that have their objects, and the indexes of these.
    relied: Vec<Relied>,
}

/// Indexes that proofs have read, by digest, until no deletion waits any more.
#[derive(Default)]
pub(super) struct Indexes(Mutex<HashMap<Digest, Arc<Index>>>);

impl Indexes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(super) fn forget(&self) {
        self.0.lock().clear();
    }
}

/// Deletions of one repository that may lose nothing.
pub(super) struct Supersession<'a>(pub(super) &'a Transactions);

impl Supersession<'_> {
    /// Whether a file is superseded that a process is about to delete. What that process has packed is catalogued
    /// before.
    pub(super) fn is_of(&self, path: &RepoPath, seen: Version) -> FsResult<bool> {
        for pack in self.0.objects.pending_paths() {
            if name::kind(&pack) == Some(name::Kind::Pack) && pack != *path {
                self.0.publish_one(&pack, "a deletion")?;
            }
        }
        let deleted = HashMap::from([(path.clone(), seen)]);
        let found = self.superseded(&deleted, Thorough::Yes)?;
        Ok(!found.paths.is_empty())
    }

    /// Publishes those deletions that lose nothing.
    pub(super) fn publish(
        &self,
        removed: &HashMap<RepoPath, Removal>,
        actor: &Actor,
    ) -> FsResult<()> {
        for _ in 0..ATTEMPTS {
            match self.try_publish(removed, actor) {
                Err(FsError::Refused(Refusal::Changed { .. } | Refusal::TombstonesExpired)) => {}
                other => return other,
            }
        }
        self.try_publish(removed, actor)
    }

    fn try_publish(&self, removed: &HashMap<RepoPath, Removal>, actor: &Actor) -> FsResult<()> {
        let mut thorough = Thorough::No;
        let mut deleted = HashMap::new();
        for (path, removal) in removed {
            if name::holds_git_objects(path) && self.0.prune.still(path, *removal) {
                deleted.insert(path.clone(), removal.seen);
                if self.0.is_late(path, *removal)? {
                    thorough = Thorough::Yes;
                }
            }
        }
        let Superseded { mut paths, relied } = self.superseded(&deleted, thorough)?;
        let _no_ref_moves = self.0.prune.deletion();
        paths.retain(|path| self.0.prune.still(path, removed[path]));
        for paths in paths.chunks(FILES_PER_ENTRY) {
            self.supersede(paths, &relied, actor)?;
            for path in paths {
                self.0.prune.forget(path);
                self.0.objects.touched_no_more(path);
            }
        }
        Ok(())
    }

    /// [`super::PendingDeletions::deletion`] is held.
    fn supersede(&self, paths: &[RepoPath], relied: &[Relied], actor: &Actor) -> FsResult<()> {
        let view = self.0.shared.replica.view();
        let before =
            read::repo(view, self.0.repo)?.map_or(Version::default(), |it| it.repacked_version);
        let repacking = Repacking {
            repo: self.0.repo,
            add: Vec::new(),
            remove: paths.to_vec(),
            relied: relied.to_vec(),
            tombstones_as_of: read::tombstones_as_of(view, self.0.repo)?,
            unless_refs_moved_since: None,
        };
        let version = self
            .0
            .propose(Command::Repack(Box::new(repacking)), actor)?;
        // Another mount may have come in between, of which nobody here could tell.
        if self.0.shared.freshness.is_alone() {
            let relied = relied.iter().map(|relied| relied.path.clone()).collect();
            self.0
                .prune
                .superseded(Superseding::new(version, before, relied), paths);
        }
        Ok(())
    }

    /// Which of the files are superseded that processes delete, with what each of these had seen when it first looked.
    fn superseded(
        &self,
        deleted: &HashMap<RepoPath, Version>,
        thorough: Thorough,
    ) -> FsResult<Superseded> {
        let kept = self.kept_packs(deleted)?;
        if kept.is_empty() || deleted.is_empty() {
            return Ok(Superseded::default());
        }
        let format = self.0.objects.format()?;
        let mut proof = Proof {
            through: self.0,
            format,
            thorough,
            left: INDEX_BYTES,
        };
        let mut held = Vec::new();
        for files in by_object(deleted) {
            if let Some(objects) = proof.objects_of(&files)? {
                held.push((files, objects));
            }
        }
        let objects = held.iter().flat_map(|(_, objects)| objects);
        let mut missing: HashSet<ObjectId> = objects.copied().collect();
        let mut relied = Vec::new();
        for pack in kept {
            if missing.is_empty() {
                break;
            }
            let Some(index) = proof.index(&pack.index, &pack.index_entry, None) else {
                continue;
            };
            let before = missing.len();
            missing.retain(|oid| index.lookup(oid).is_none());
            if missing.len() < before {
                relied.extend(pack.relied());
            }
        }
        held.retain(|(_, objects)| objects.iter().all(|oid| !missing.contains(oid)));
        let paths = held.into_iter().flat_map(|(files, _)| files.paths);
        Ok(Superseded {
            paths: paths.collect(),
            relied,
        })
    }

    /// The catalogued packs of which nothing is deleted, the largest first.
    fn kept_packs(&self, deleted: &HashMap<RepoPath, Version>) -> FsResult<Vec<Pack>> {
        let dir = RepoPath::new("objects/pack").expect("a valid path");
        let stays = |path: &RepoPath| !deleted.contains_key(path) && !self.0.prune.hides(path);
        let mut entries = HashMap::new();
        for (name, child) in read::files_in(self.0.shared.replica.view(), self.0.repo, &dir)? {
            if let (Some(path), Child::File(entry)) = (dir.join(&name), child) {
                entries.insert(path, entry);
            }
        }
        let pack = |(path, entry): (&RepoPath, &FileEntry)| {
            let index = sibling(path, "pack", "idx")?;
            let index_entry = entries.get(&index)?.clone();
            let stay = name::holds_git_objects(path) && stays(path) && stays(&index);
            let (path, entry) = (path.clone(), entry.clone());
            stay.then_some(Pack {
                path,
                entry,
                index,
                index_entry,
            })
        };
        let mut packs: Vec<_> = entries.iter().filter_map(pack).collect();
        packs.sort_by_key(|pack| Reverse(pack.entry.size));
        Ok(packs)
    }
}

/// A catalogued pack.
struct Pack {
    path: RepoPath,
    entry: FileEntry,
    index: RepoPath,
    index_entry: FileEntry,
}

impl Pack {
    fn relied(self) -> [Relied; 2] {
        [(self.path, self.entry), (self.index, self.index_entry)].map(|(path, entry)| Relied {
            path,
            digest: entry.digest,
        })
    }
}

/// Deleted files that hold the same objects: a loose one, or those of a pack.
struct Deleted {
    paths: Vec<RepoPath>,
    /// The least of what any of those who delete them had seen.
    seen: Version,
}

fn by_object(deleted: &HashMap<RepoPath, Version>) -> impl Iterator<Item = Deleted> {
    let mut all: BTreeMap<&[u8], Deleted> = BTreeMap::new();
    for (path, seen) in deleted {
        let stem = path.as_bytes().split(|byte| *byte == b'.').next();
        let files = all.entry(stem.unwrap_or_default()).or_insert(Deleted {
            paths: Vec::new(),
            seen: *seen,
        });
        files.paths.push(path.clone());
        files.seen = files.seen.min(*seen);
    }
    all.into_values()
}

fn sibling(path: &RepoPath, from: &str, to: &str) -> Option<RepoPath> {
    let stem = path.as_bytes().strip_suffix(from.as_bytes())?;
    RepoPath::new([stem, to.as_bytes()].concat())
}

/// Reads indexes.
struct Proof<'a> {
    through: &'a Transactions,
    format: ObjectFormat,
    thorough: Thorough,
    /// Bytes that it may read yet.
    left: u64,
}

impl Proof<'_> {
    /// The objects in deleted files; `None` when that cannot be told.
    fn objects_of(&mut self, deleted: &Deleted) -> FsResult<Option<Vec<ObjectId>>> {
        let Some(path) = deleted.paths.first() else {
            return Ok(None);
        };
        if let Some(oid) = name::loose_oid(path) {
            return Ok(ObjectId::from_hex(oid.as_bytes()).ok().map(|oid| vec![oid]));
        }
        let ends = ["pack", "idx", "rev"];
        let index = ends.iter().find_map(|end| sibling(path, end, "idx"));
        let Some(index) = index else {
            return Ok(None);
        };
        let found = match self.catalogued(&index)? {
            Some(entry) => self.index(&index, &entry, None),
            None => match self.trashed(&index, deleted.seen)? {
                Some((entry, blocks)) => self.index(&index, &entry, Some(blocks)),
                None => None,
            },
        };
        Ok(found.map(|index| index.iter().map(|entry| entry.oid).collect()))
    }

    fn catalogued(&self, path: &RepoPath) -> FsResult<Option<FileEntry>> {
        let Transactions { shared, repo, .. } = self.through;
        Ok(read::file(shared.replica.view(), *repo, path)?)
    }

    /// The index of a pack goes before the pack, and may have been superseded alone.
    fn trashed(
        &self,
        index: &RepoPath,
        seen: Version,
    ) -> FsResult<Option<(FileEntry, Vec<BlockDigest>)>> {
        let Transactions { shared, repo, .. } = self.through;
        let trashed = read::trashed_files(shared.replica.view(), *repo, seen)?;
        let found = trashed
            .into_iter()
            .find(|file| file.superseded && file.path == *index);
        Ok(found.map(|file| (file.entry, file.blocks)))
    }

    /// An index; `None` when it is not to be read, or cannot be.
    fn index(
        &mut self,
        path: &RepoPath,
        entry: &FileEntry,
        blocks: Option<Vec<BlockDigest>>,
    ) -> Option<Arc<Index>> {
        if let Some(known) = self.through.indexes.0.lock().get(&entry.digest) {
            return Some(known.clone());
        }
        let left = self.left.checked_sub(entry.size)?;
        let bytes = match self.bytes(path, entry, blocks) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return None,
            Err(error) => {
                tracing::debug!(repo = %self.through.repo, %path, %error, "proves nothing about deletions");
                return None;
            }
        };
        self.left = left;
        let hash = bundle::hash_kind(self.format);
        let Ok(index) = Index::from_data(bytes, path.to_string().into(), hash) else {
            tracing::warn!(repo = %self.through.repo, %path, "is no index that can be read");
            return None;
        };
        let index = Arc::new(index);
        let mut known = self.through.indexes.0.lock();
        known.insert(entry.digest, index.clone());
        Some(index)
    }

    fn bytes(
        &self,
        path: &RepoPath,
        entry: &FileEntry,
        blocks: Option<Vec<BlockDigest>>,
    ) -> FsResult<Option<Vec<u8>>> {
        let objects = &self.through.objects;
        let content = match blocks {
            Some(blocks) => objects.content_with(path, entry, blocks)?,
            None => objects.content(path, entry)?,
        };
        Ok(match content {
            Content::Inline(bytes) => Some(bytes.to_vec()),
            Content::Stored(file) if self.thorough == Thorough::No && file.is_absent() => None,
            Content::Stored(file) => Some(file.read(0, entry.size as usize)?.to_vec()),
        })
    }
}
