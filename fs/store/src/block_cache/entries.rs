//! All entries of the cache, and when their files come and go.
#![expect(
    clippy::disallowed_methods,
    reason = "the directory of the cache is the daemon's own"
)]

use super::CachedFile;
use super::bits::Bits;
use super::blocks::CacheObject;
use super::disk::{Disk, FileName};
use super::entry::Entry;
use super::index::SegmentKey;
use super::layout::Layout;
use crate::failpoint;
use parking_lot::Mutex;
use rustix::process::{getegid, geteuid};
use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;

pub(super) struct CacheEntries {
    pub(super) disk: Disk,
    entries: Mutex<HashMap<FileName, Arc<Entry>>>,
}

impl CacheEntries {
    /// Entries with what an earlier life left on the disk, and those entries, oldest first.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<Arc<Entry>>)> {
        let disk = Disk::open(dir)?;
        let entry = |found: super::disk::Found| {
            let verified = Bits::none(found.layout.blocks());
            Arc::new(Entry::new(
                found.name,
                found.layout,
                found.present,
                verified,
            ))
        };
        let found: Vec<_> = disk.scan()?.into_iter().map(entry).collect();
        let entries = found.iter().map(|e| (e.name, e.clone())).collect();
        Ok((
            Self {
                disk,
                entries: Mutex::new(entries),
            },
            found,
        ))
    }

    /// The open handle of an object, or a new one that `make` builds from its
    /// entry and data file.
    pub(super) fn open_file(
        &self,
        object: &CacheObject,
        make: impl FnOnce(Arc<Entry>, File) -> CachedFile,
    ) -> io::Result<Arc<CachedFile>> {
        let name = FileName::of(&object.key);
        let layout = Layout::of(object);
        let mut entries = self.entries.lock();
        let entry = match entries.get(&name) {
            Some(entry) if entry.layout == layout => entry.clone(),
            other => {
                // What stands under this key has another shape, so it is not this object.
                if other.is_some() {
                    self.disk.remove(name);
                }
                Arc::new(Entry::empty(name, layout))
            }
        };
        if let Some(open) = entry.live.lock().upgrade() {
            return Ok(open);
        }
        let data = self.disk.open_data(name, &layout)?;
        let open = Arc::new(make(entry.clone(), data));
        *entry.live.lock() = Arc::downgrade(&open);
        entries.insert(name, entry);
        Ok(open)
    }

    /// A handle was dropped: removes the files if they are to go, or hold
    /// nothing. Answers whether it did.
    pub(super) fn release(&self, entry: &Entry) -> bool {
        let mut entries = self.entries.lock();
        let ours = entries
            .get(&entry.name)
            .is_some_and(|e| std::ptr::eq(&**e, entry));
        if !ours || entry.is_live() {
            return false;
        }
        let useless = entry.gate.read().evict_on_close || entry.present.is_empty();
        if useless {
            entries.remove(&entry.name);
            self.disk.remove(entry.name);
        }
        useless
    }

    /// Takes a segment away, and the files when nothing is left.
    pub(super) fn evict(&self, key: SegmentKey) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get(&key.name).cloned() else {
            return;
        };
        if key.segment >= entry.layout.segments() {
            return;
        }
        let possible = entry.discard(&self.disk, entry.layout.segment(key.segment));
        // A file that is pinned or adopted but not open has holders of its descriptor
        // only: its name can go, its bytes stay for them.
        if !entry.is_live() && (!possible || entry.present.is_empty()) {
            entries.remove(&key.name);
            self.disk.remove(key.name);
        }
    }

    /// Removes an object: now, or when its last handle is dropped. Answers its
    /// entry, if it had one.
    pub(super) fn forget(&self, name: FileName) -> Option<Arc<Entry>> {
        let mut entries = self.entries.lock();
        let entry = entries.get(&name)?.clone();
        if entry.is_live() {
            entry.gate.write().evict_on_close = true;
        } else {
            entries.remove(&name);
            self.disk.remove(name);
        }
        Some(entry)
    }

    /// Takes in a complete file whose digests the caller has computed from its
    /// bytes. `None` when the object is open: then the handle keeps its own file.
    pub(super) fn adopt(
        &self,
        object: &CacheObject,
        path: &Path,
    ) -> io::Result<Option<Arc<Entry>>> {
        let name = FileName::of(&object.key);
        let layout = Layout::of(object);
        let mut entries = self.entries.lock();
        if entries.get(&name).is_some_and(|e| e.is_live()) {
            fs::remove_file(path)?;
            return Ok(None);
        }
        entries.remove(&name);
        self.disk.remove(name);
        self.take(path, &self.disk.data_path(name))?;
        failpoint::CACHE_TAKEN.hit();
        let blocks = layout.blocks();
        let entry = Arc::new(Entry::new(
            name,
            layout,
            Bits::all(blocks),
            Bits::all(blocks),
        ));
        entry.gate.write().adopted = true;
        self.disk.save(name, &layout, &entry.present)?;
        entries.insert(name, entry.clone());
        Ok(Some(entry))
    }

    /// Moves a file into the cache. One with other names is copied, since
    /// eviction would punch holes into what those names show.
    fn take(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.make_parent(to)?;
        let metadata = fs::metadata(from)?;
        let moved = metadata.nlink() == 1 && {
            // What a user wrote is the daemon's from now on, on the disk's quotas too.
            let own = (geteuid().as_raw(), getegid().as_raw());
            if (metadata.uid(), metadata.gid()) != own {
                chown(from, Some(own.0), Some(own.1))?;
            }
            fs::set_permissions(from, Permissions::from_mode(0o600))?;
            fs::rename(from, to).is_ok()
        };
        if !moved {
            fs::copy(from, to)?;
            fs::set_permissions(to, Permissions::from_mode(0o600))?;
            fs::remove_file(from)?;
        }
        Ok(())
    }
}
