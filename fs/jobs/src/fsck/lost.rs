//! Which objects are gone with a damaged file.

use super::{Check, Fault};
use gitmoor_fs::{FsError, bundle, catalog};
use gitmoor_model::name;
use gitmoor_model::{FileEntry, RepoPath};
use gitmoor_replicator::read;
use gix_pack::{FileData, index};
use std::collections::BTreeSet;
use std::ops::Range;

impl Check<'_> {
    /// The objects in the damaged parts of a loose object or a pack that no sound
    /// file holds besides. Of other files none: they can be made again.
    pub(super) fn lost(
        &self,
        path: &RepoPath,
        entry: &FileEntry,
        faults: &[Fault],
    ) -> Result<Vec<String>, FsError> {
        let mut lost = match name::loose_oid(path) {
            Some(oid) => BTreeSet::from([oid]),
            None if path.as_bytes().ends_with(b".pack") => {
                self.in_parts(path, &parts(faults, entry.size))?
            }
            None => BTreeSet::new(),
        };
        if lost.is_empty() {
            return Ok(Vec::new());
        }
        for (other, _) in catalog::files(self.fs.replica(), self.id)? {
            if other == *path || self.damaged.contains(&other) {
                continue;
            }
            if let Some(oid) = name::loose_oid(&other) {
                lost.remove(&oid);
            } else if other.as_bytes().ends_with(b".pack") {
                self.forget_packed(&other, &mut lost)?;
            }
        }
        Ok(lost.into_iter().collect())
    }

    /// The objects whose entries in a pack overlap any of these bytes.
    fn in_parts(&self, pack: &RepoPath, parts: &[Range<u64>]) -> Result<BTreeSet<String>, FsError> {
        let Some(index) = self.index_of(pack)? else {
            return Ok(BTreeSet::new());
        };
        Ok(objects_in(&index, parts))
    }

    fn forget_packed(&self, pack: &RepoPath, lost: &mut BTreeSet<String>) -> Result<(), FsError> {
        if let Some(index) = self.index_of(pack)? {
            without_packed(&index, lost);
        }
        Ok(())
    }

    /// The index of a pack; `None` when it is not there or not sound.
    fn index_of(&self, pack: &RepoPath) -> Result<Option<index::File>, FsError> {
        let path = pack.to_string().trim_end_matches("pack").to_owned() + "idx";
        let Some(path) = RepoPath::new(path).filter(|path| !self.damaged.contains(path)) else {
            return Ok(None);
        };
        let Some(entry) = read::file(self.fs.replica().view(), self.id, &path)? else {
            return Ok(None);
        };
        if self.stored(&path, &entry)?.is_none() {
            return Ok(None);
        }
        let mut copy = tempfile::NamedTempFile::new_in(&self.fs.config().data)?;
        let objects = self.repository.objects();
        objects.write_to(&path, &entry, copy.as_file_mut())?;
        let hash = bundle::hash_kind(self.repository.objects().format()?);
        // It is mapped: the name may go.
        Ok(index::File::at(copy.path(), hash).ok())
    }
}

/// The objects whose entries in a pack overlap any of these bytes, by its index.
pub fn objects_in<T: FileData>(index: &index::File<T>, parts: &[Range<u64>]) -> BTreeSet<String> {
    let mut entries: Vec<_> = index.iter().map(|e| (e.pack_offset, e.oid)).collect();
    entries.sort_unstable();
    let ends = entries.iter().skip(1).map(|(offset, _)| *offset);
    let ends: Vec<_> = ends.chain([u64::MAX]).collect();
    let overlaps = |start: u64, end: u64| {
        let mut parts = parts.iter();
        parts.any(|part| start < part.end && part.start < end)
    };
    let touched = entries.iter().zip(ends);
    let touched = touched.filter(|((start, _), end)| overlaps(*start, *end));
    touched.map(|((_, oid), _)| oid.to_string()).collect()
}

/// Takes those away that an index names.
pub fn without_packed<T: FileData>(index: &index::File<T>, lost: &mut BTreeSet<String>) {
    let holds = |oid: &String| {
        gix_hash::ObjectId::from_hex(oid.as_bytes()).is_ok_and(|oid| index.lookup(oid).is_some())
    };
    lost.retain(|oid| !holds(oid));
}

fn parts(faults: &[Fault], size: u64) -> Vec<Range<u64>> {
    let part = |fault: &Fault| match fault {
        Fault::Missing | Fault::Content { .. } => 0..size,
        Fault::Size { expected, actual } => *actual.min(expected)..*expected,
        Fault::Block { start, end, .. } => *start..*end,
    };
    faults.iter().map(part).collect()
}
