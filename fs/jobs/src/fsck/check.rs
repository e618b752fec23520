//! One file against its digests.

use super::{Check, Fault};
use bytes::Bytes;
use gitmoor_fs::{Content, FileSystem, FsError, bundle, catalog};
use gitmoor_model::name;
use gitmoor_model::{FileEntry, RepoId, RepoPath};
use gitmoor_store::block_cache::{CacheError, CachedFile};
use gitmoor_store::object_store::{Listed, StoreError};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Bytes of one request, at least one block.
pub(super) const PIECE: u64 = 4 << 20;

/// Largest loose object that `--deep` inflates in memory.
const INFLATED: u64 = 64 << 20;

/// What the store holds of a repository: one listing instead of a request per file, and of a fork one for each
/// repository whose keys it names.
pub(super) fn sizes(fs: &FileSystem, id: RepoId) -> Result<HashMap<String, u64>, FsError> {
    let keys = catalog::keys(fs.replica(), id)?;
    let owners = keys.iter().filter_map(|key| key.split_once('/'));
    let mut owners: BTreeSet<_> = owners.map(|(owner, _)| owner.to_owned()).collect();
    owners.insert(id.to_string());
    let mut sizes = HashMap::new();
    for owner in owners {
        fs.store().list(&format!("{owner}/"), &mut |listed| {
            if let Listed::Object { key, size, .. } = listed {
                sizes.insert(key, size);
            }
        })?;
    }
    Ok(sizes)
}

impl Check<'_> {
    pub(super) fn check(
        &mut self,
        path: &RepoPath,
        entry: &FileEntry,
    ) -> Result<Vec<Fault>, FsError> {
        let content = match self.repository.objects().content(path, entry) {
            Err(FsError::CacheDisk(error @ CacheError::BadObject { .. })) => {
                let reason = error.to_string();
                return Ok(vec![Fault::Content { reason }]);
            }
            content => content?,
        };
        match content {
            Content::Inline(bytes) => {
                let right = blake3::hash(&bytes).as_bytes() == &entry.digest.0;
                let reason = "the catalog's copy does not match its digest".to_owned();
                Ok(if right {
                    vec![]
                } else {
                    vec![Fault::Content { reason }]
                })
            }
            Content::Stored(file) => self.check_stored(path, entry, &file),
        }
    }

    /// A file of the store; `None` when the catalog has it itself, or cannot describe its blocks.
    pub(super) fn stored(
        &self,
        path: &RepoPath,
        entry: &FileEntry,
    ) -> Result<Option<Arc<CachedFile>>, FsError> {
        match self.repository.objects().content(path, entry) {
            Ok(Content::Stored(file)) => Ok(Some(file)),
            Ok(Content::Inline(_)) | Err(FsError::CacheDisk(CacheError::BadObject { .. })) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn check_stored(
        &mut self,
        path: &RepoPath,
        entry: &FileEntry,
        file: &CachedFile,
    ) -> Result<Vec<Fault>, FsError> {
        if self.options.deep && !file.drop_damaged() {
            self.done.dropped_copies.push(path.to_string());
        }
        let key = &file.object().key;
        let expected = entry.size;
        let actual = match self.sizes.get(key) {
            Some(size) => *size,
            // Stored after the listing, or really not there.
            None => match self.fs.store().get(key, 0..1) {
                Err(StoreError::NotFound { .. }) => return Ok(vec![Fault::Missing]),
                first => first.map(|_| expected)?,
            },
        };
        let mut faults = Vec::new();
        if actual != expected {
            faults.push(Fault::Size { expected, actual });
        }
        let whole = self.check_blocks(file, actual.min(expected), &mut faults)?;
        if faults.is_empty() && whole != entry.digest.0 {
            let reason = "every block is right, the digest of the whole is not".to_owned();
            faults.push(Fault::Content { reason });
        }
        if faults.is_empty() && self.options.deep {
            faults.extend(self.check_loose(path, file)?);
        }
        Ok(faults)
    }

    /// Names every block that is wrong or not all there; the digest of what was read.
    fn check_blocks(
        &self,
        file: &CachedFile,
        there: u64,
        faults: &mut Vec<Fault>,
    ) -> Result<[u8; 32], FsError> {
        let object = file.object();
        let block_size = u64::from(object.block_size);
        let piece = (PIECE / block_size).max(1) * block_size;
        let mut whole = blake3::Hasher::new();
        let mut start = 0;
        while start < object.size {
            let end = (start + piece).min(object.size);
            let bytes = match start < there {
                true => self.fs.store().get(&object.key, start..end.min(there))?,
                false => Bytes::new(),
            };
            whole.update(&bytes);
            for block in start / block_size..end.div_ceil(block_size) {
                let (from, to) = (
                    block * block_size,
                    ((block + 1) * block_size).min(object.size),
                );
                let wanted = (from - start) as usize..(to - start) as usize;
                let right = bytes
                    .get(wanted)
                    .is_some_and(|bytes| file.is_block(block as u32, bytes));
                if !right {
                    let (start, end) = (from, to);
                    faults.push(Fault::Block { block, start, end });
                }
            }
            start = end;
        }
        Ok(*whole.finalize().as_bytes())
    }

    fn check_loose(&self, path: &RepoPath, file: &CachedFile) -> Result<Option<Fault>, FsError> {
        let size = file.object().size;
        let Some(oid) = name::loose_oid(path).filter(|_| size <= INFLATED) else {
            return Ok(None);
        };
        let bytes = self.fs.store().get(&file.object().key, 0..size)?;
        let checked = bundle::check_loose_bytes(&oid, &bytes, self.repository.objects().format()?);
        let reason = checked.err().map(|error| error.to_string());
        Ok(reason.map(|reason| Fault::Content { reason }))
    }
}
