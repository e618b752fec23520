//! Putting one file of a repository into the store, under a key that never had other bytes.

use super::{cache_object, key};
use crate::error::FsResult;
use crate::repository::context::Context;
use gitmoor_model::name;
use gitmoor_model::{BlockDigest, Digest, FileAdd, FileEntry, Place, RepoId, RepoPath, Timestamp};
use gitmoor_replicator::read;
use gitmoor_store::block_cache;
use gitmoor_store::object_store::{Body, Put, StoreError, Watch};
use gitmoor_store::wait;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// Mutable files up to this size live in the catalog itself.
const INLINE: u64 = 4096;

/// Of a stored file that is read to be compared.
const BLOCKS_AT_ONCE: u64 = 8;

/// Puts a key into the store.
pub(in crate::repository) type Sending<'a> = dyn Fn(&str) -> Result<Put, StoreError> + 'a;

/// Stores files of one repository. What is stored is not in the catalog yet.
pub struct Uploader {
    repo: RepoId,
    shared: Arc<Context>,
}

impl Uploader {
    pub(super) fn new(repo: RepoId, shared: Arc<Context>) -> Self {
        Self { repo, shared }
    }

    /// Stores a file of which it is known that its bytes may stand under that name.
    pub(in crate::repository) fn store(
        &self,
        path: &RepoPath,
        file: &File,
        digests: (Digest, Vec<BlockDigest>),
    ) -> FsResult<FileAdd> {
        let len = file.metadata()?.len();
        self.store_by(path, file, digests, &|key| {
            self.shared.store.put(key, Body::File { file, len })
        })
    }

    /// The same of a repository that only this process stores files of, going on where that was cut off.
    pub fn store_resuming(
        &self,
        path: &RepoPath,
        file: &File,
        digests: (Digest, Vec<BlockDigest>),
        watch: &Watch<'_>,
    ) -> FsResult<FileAdd> {
        let len = file.metadata()?.len();
        self.store_by(path, file, digests, &|key| {
            self.shared.store.put_resuming(key, file, len, watch)
        })
    }

    fn store_by(
        &self,
        path: &RepoPath,
        mut file: &File,
        (digest, blocks): (Digest, Vec<BlockDigest>),
        send: &Sending<'_>,
    ) -> FsResult<FileAdd> {
        let meta = file.metadata()?;
        let (size, block_size) = (meta.len(), block_cache::block_size_for(meta.len()));
        let mut entry = FileEntry {
            size,
            mtime: Timestamp {
                secs: meta.mtime(),
                nanos: meta.mtime_nsec() as u32,
            },
            mode: meta.mode(),
            digest,
            block_size,
            place: Place::Inline(Vec::new()),
        };
        if is_inline(path, size) {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            entry.place = Place::Inline(bytes);
        } else {
            self.put(path, &mut entry, &blocks, send)?;
        }
        let blocks = if size <= u64::from(block_size) {
            Vec::new()
        } else {
            blocks
        };
        Ok(FileAdd {
            path: path.clone(),
            entry,
            blocks,
        })
    }

    /// Puts a file under a key that never had other bytes (INV-11).
    pub(in crate::repository) fn put(
        &self,
        path: &RepoPath,
        entry: &mut FileEntry,
        blocks: &[BlockDigest],
        send: &Sending<'_>,
    ) -> FsResult<()> {
        let may_be_plain = name::holds_objects(path) && self.shared.store.refuses_overwrite();
        for key in self.keys(path, &entry.digest, may_be_plain) {
            if read::has_tombstone(self.shared.replica.view(), self.repo, &key)? {
                continue;
            }
            // Other bytes may be there: another mount's zlib wrote the same object
            // so, or the index is of another version. Then ours goes beside it.
            let stored = send(&key)? == Put::Stored;
            if stored || self.holds_same(&key, entry, blocks) {
                entry.place = Place::Stored { key };
                return Ok(());
            }
        }
        unreachable!("there is no end of keys")
    }

    /// The keys that it may get.
    pub(in crate::repository) fn keys(
        &self,
        path: &RepoPath,
        digest: &Digest,
        may_be_plain: bool,
    ) -> impl Iterator<Item = String> + use<> {
        let ownership = self.shared.ownership.as_ref();
        let take_over = ownership.and_then(|ownership| ownership.recent_take_over());
        key::candidates(self.repo, path, digest, may_be_plain, take_over)
    }

    fn holds_same(&self, key: &str, entry: &FileEntry, blocks: &[BlockDigest]) -> bool {
        let blocks = if entry.size <= u64::from(entry.block_size) {
            &[]
        } else {
            blocks
        };
        let object = cache_object(key, entry, blocks.into());
        let fetched = self.shared.cache.file(object).map(|file| file.fetch_all());
        match fetched {
            Ok(Ok(true)) => true,
            // Too large for the cache.
            Ok(Ok(false)) => self
                .stored_digest(key, entry)
                .is_ok_and(|it| it == entry.digest),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Of as many bytes as the entry says.
    fn stored_digest(&self, key: &str, entry: &FileEntry) -> FsResult<Digest> {
        let mut digester = block_cache::Digester::new(entry.block_size);
        let step = u64::from(entry.block_size) * BLOCKS_AT_ONCE;
        let mut from = 0;
        while from < entry.size {
            let to = entry.size.min(from + step);
            digester.add(&self.shared.store.get(key, from..to)?);
            wait::touch();
            from = to;
        }
        Ok(digester.finish().0)
    }
}

/// Whether a file of this size lives in the catalog itself.
pub(super) fn is_inline(path: &RepoPath, size: u64) -> bool {
    name::is_rewritable(path) && size <= INLINE || size == 0
}
