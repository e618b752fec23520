//! Storing finished files: loose ones as they are or bundled into a pack, several at a
//! time, under keys that never had other bytes.

use super::name::{self, Kind};
use super::publish::{Batch, Scope};
use super::{Objects, cache_object, key, parallel};
use crate::bundle::{self, BundleError, Bundled};
use crate::cache;
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::store::{Body, Put, StoreError, Watch};
use crate::wait;
use gitmoor_replicator::model::{
    BlockDigest, Digest, FileAdd, FileEntry, ObjectFormat, Place, RepoPath, Timestamp,
};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

/// Mutable files up to this size live in the catalog itself.
const INLINE: u64 = 4096;

/// Of a stored file that is read to be compared.
const BLOCKS_AT_ONCE: u64 = 8;

/// Puts a key into the store.
pub(super) type Sending<'a> = dyn Fn(&str) -> Result<Put, StoreError> + 'a;

impl Objects {
    pub(super) fn store_pending(&self, scope: Scope) -> FsResult<Batch> {
        let looked = self.look()?;
        self.forget_gone()?;
        let (mut paths, loose): (Vec<_>, Vec<_>) = {
            let state = self.state.lock();
            let wanted =
                |path: &&RepoPath| scope == Scope::All || name::kind(path) != Some(Kind::Keep);
            let paths = state.pending.keys().filter(wanted).cloned();
            paths.partition(|path| name::kind(path) != Some(Kind::Loose))
        };
        self.refuse_offline(paths.iter().chain(&loose))?;
        let mut bundled = Vec::new();
        if loose.len() > self.shared.config.bundle_over {
            match self.bundle(&loose)? {
                Some(made) => {
                    // One that a failed publication made is pending by itself.
                    paths.retain(|path| !made.contains(path));
                    paths.extend(made);
                    bundled = loose;
                }
                None => paths.extend(loose),
            }
        } else {
            paths.extend(loose);
        }
        Ok(Batch {
            files: self.store_all(&paths)?,
            bundled,
            looked,
        })
    }

    /// What cannot be sent need be neither bundled nor digested.
    fn refuse_offline<'a>(&self, mut paths: impl Iterator<Item = &'a RepoPath>) -> FsResult<()> {
        let Some(offline) = self.shared.store.offline() else {
            return Ok(());
        };
        let size = |path| self.files.stat(path).ok().flatten().map(|meta| meta.len());
        match paths.find(|path| size(path).is_some_and(|size| !is_inline(path, size))) {
            Some(path) => Err(offline
                .refuse("PUT", &format!("{}/{path}", self.repo))
                .into()),
            None => Ok(()),
        }
    }

    /// Turns loose objects into one pack, beside which they stay until it is
    /// catalogued. `None` when one of them has a type that packs lack.
    fn bundle(&self, loose: &[RepoPath]) -> FsResult<Option<[RepoPath; 2]>> {
        let dir = RepoPath::new("objects/pack").expect("a valid path");
        let named = |path: &RepoPath| Some((name::loose_oid(path)?, path.clone()));
        let objects: Vec<_> = loose.iter().filter_map(named).collect();
        let Some(first) = loose.first() else {
            return Ok(None);
        };
        let format = self.format_of(first)?;
        let made = match self.bundle_privately(&objects, format) {
            Ok(made) => made,
            Err(BundleError::NoPackType { .. }) => return Ok(None),
            Err(e) => {
                // A damaged one would hold up the rest for ever.
                loose.iter().try_for_each(|path| self.check_again(path))?;
                let (path, reason) = (dir.to_string(), e.to_string());
                return Err(FsError::WrongBytes { path, reason });
            }
        };
        let file = |ext: &str| dir.join(format!("{}.{ext}", made.name).as_bytes());
        let paths = [file("pack"), file("idx")].map(|path| path.expect("a pack's name is valid"));
        // The index last, as git does: a pack is visible once its index is.
        self.files.put_private(&made.pack, &paths[0])?;
        failpoint::BUNDLE_NAMELESS_IDX.hit();
        self.files.put_private(&made.idx, &paths[1])?;
        let finished = paths.each_ref().map(|path| (path, self.finished(path)));
        let mut state = self.state.lock();
        for (path, finished) in finished {
            // Unlike `finish`: its name says that these are the bytes that may be stored
            // already, by a publication that failed later.
            state.removed.remove(path);
            state.pending.insert(path.clone(), finished);
        }
        state.note();
        drop(state);
        failpoint::BUNDLED.hit();
        Ok(Some(paths))
    }

    fn bundle_privately(
        &self,
        objects: &[(String, RepoPath)],
        format: ObjectFormat,
    ) -> Result<Bundled, BundleError> {
        let open = |path: &RepoPath| match self.files.open_to_read(path) {
            Ok(Some(file)) => Ok(file),
            Ok(None) => Err(io::ErrorKind::NotFound.into()),
            Err(FsError::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        };
        let into = self.files.private_dir().map_err(io::Error::other);
        let into = into.map_err(|source| BundleError::Local {
            context: "making a directory for a pack".to_owned(),
            source,
        })?;
        bundle::bundle_loose(objects, open, format, &into)
    }

    /// What was stored is remembered and not stored again.
    fn store_all(&self, paths: &[RepoPath]) -> FsResult<Vec<FileAdd>> {
        let stored = parallel::each(paths, |path| self.store(path))?;
        Ok(stored.into_iter().flatten().collect())
    }

    /// Stores one finished file. `None` when git deleted it meanwhile.
    pub(super) fn store(&self, path: &RepoPath) -> FsResult<Option<FileAdd>> {
        if let Some(add) = self.state.lock().stored.get(path) {
            return Ok(Some(add.clone()));
        }
        let Some(file) = self.files.open_to_read(path)? else {
            return Ok(None);
        };
        failpoint::UNSENT.hit();
        let add = self.store_file(path, &file)?;
        failpoint::SENT.hit();
        self.state.lock().stored.insert(path.clone(), add.clone());
        Ok(Some(add))
    }

    /// A file that was deleted while it was being finished (git's own temporary names in
    /// `objects/info` look final) would be pending for ever.
    fn forget_gone(&self) -> FsResult<()> {
        for path in self.pending_paths() {
            if self.files.stat(&path)?.is_some() {
                continue;
            }
            // Once more: who finishes it anew does so when it is there.
            let mut state = self.state.lock();
            if self.files.stat(&path)?.is_none() {
                state.pending.remove(&path);
            }
        }
        Ok(())
    }

    fn store_file(&self, path: &RepoPath, file: &File) -> FsResult<FileAdd> {
        let meta = file.metadata()?;
        let (size, block_size) = (meta.len(), cache::block_size_for(meta.len()));
        let (digest, blocks) = cache::digest_file(file, size, block_size)?;
        self.check_unchanged(path, &digest)?;
        self.store_checked(path, file, (digest, blocks))
    }

    /// Stores a file of which it is known that its bytes may stand under that name.
    pub(super) fn store_checked(
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
    pub(crate) fn store_resuming(
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
        let (size, block_size) = (meta.len(), cache::block_size_for(meta.len()));
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

    /// Puts a file under a key that never had other bytes (invariant 11).
    pub(super) fn put(
        &self,
        path: &RepoPath,
        entry: &mut FileEntry,
        blocks: &[BlockDigest],
        send: &Sending<'_>,
    ) -> FsResult<()> {
        let may_be_plain = name::holds_objects(path) && self.shared.store.refuses_overwrite();
        for key in self.keys(path, &entry.digest, may_be_plain) {
            if self.shared.replica.is_condemned(self.repo, &key)? {
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
    pub(super) fn keys(
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
        let mut digester = cache::Digester::new(entry.block_size);
        let step = u64::from(entry.block_size) * BLOCKS_AT_ONCE;
        let mut from = 0;
        while from < entry.size {
            let to = entry.size.min(from + step);
            digester.add(&self.shared.store.get(key, from..to)?);
            wait::moved();
            from = to;
        }
        Ok(digester.finish().0)
    }
}

/// Whether a file of this size lives in the catalog itself.
fn is_inline(path: &RepoPath, size: u64) -> bool {
    name::is_rewritable(path) && size <= INLINE || size == 0
}
