//! The object store in a directory: every key is a file. The simplest correct
//! [`ObjectStore`], the embedded default, and the oracle of the tests.
//!
//! A put writes a temporary file, syncs it, renames it to its final name without
//! replacing (renameat2 or link), and syncs the directory and every directory
//! above that is not known to be durable yet. So a key holds all of its bytes or
//! does not exist, also after power loss, and `Exists` is answered only for what
//! would survive one.
#![expect(
    clippy::disallowed_methods,
    reason = "the directory of the store is the daemon's own"
)]

use super::{Body, Listed, ObjectStore, Put, StoreError, Upload, Watch, key};
use crate::failpoint;
use crate::wait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::NamedTempFile;

/// Where puts are prepared. Starts with a dot so that no key of ours is in the way.
const TMP: &str = ".gitmoor-tmp";

/// An object store in a directory of this machine.
#[derive(Debug)]
pub struct DirStore {
    root: PathBuf,
    /// Directories whose own names are known to be on the disk.
    durable: Mutex<HashSet<PathBuf>>,
    /// A sync failed: what the kernel then says about later syncs is worth
    /// nothing, so nothing is acknowledged any more until a restart.
    poisoned: AtomicBool,
}

/// Directories that nobody but this process's user can enter. Those that are there stay as they are.
fn make_dirs(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

impl DirStore {
    /// Opens the store in `root`, which is created when missing. Leftovers of
    /// puts that a crash interrupted are removed.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        let tmp = root.join(TMP);
        make_dirs(&tmp).map_err(local("creating", &tmp))?;
        let root = root.canonicalize().map_err(local("resolving", &root))?;
        clear(&root.join(TMP)).map_err(local("clearing", &tmp))?;
        // The directory's own name; what is above it was there before us.
        let above = root.parent().unwrap_or(&root);
        File::open(above)
            .and_then(|d| d.sync_all())
            .map_err(local("syncing", above))?;
        let durable = Mutex::new(HashSet::from([root.clone()]));
        Ok(Self {
            root,
            durable,
            poisoned: AtomicBool::new(false),
        })
    }

    fn path(&self, request: &str, key: &str) -> Result<PathBuf, StoreError> {
        let hostile = key.split('/').next() == Some(TMP);
        let reason = key::refuse(key).or(hostile.then_some("this name is the store's own"));
        match reason {
            None => Ok(self.root.join(key)),
            Some(reason) => Err(StoreError::Refused {
                store: self.describe(),
                request: format!("{request} {key:?}"),
                reason: reason.to_string(),
            }),
        }
    }

    fn not_found(&self, key: &str, path: &Path, error: io::Error) -> StoreError {
        if error.kind() == io::ErrorKind::NotFound {
            StoreError::NotFound {
                store: self.describe(),
                key: key.to_string(),
            }
        } else {
            local("reading", path)(error)
        }
    }

    fn write_new(&self, path: &Path, body: &Body<'_>) -> Result<Put, StoreError> {
        let dir = path
            .parent()
            .expect("a key has a parent: at least the root");
        make_dirs(dir).map_err(local("creating", dir))?;
        let temporary = self.temporary(body)?;
        failpoint::STORE_UNNAMED.hit();
        let put = match temporary.persist_noclobber(path) {
            Ok(_) => Put::Stored,
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Put::Exists,
            Err(e) => return Err(local("naming", path)(e.error)),
        };
        failpoint::STORE_NAMED.hit();
        // Also for `Exists`: whoever wrote it may not have come to its sync yet.
        self.sync_names(dir)?;
        Ok(put)
    }

    fn temporary(&self, body: &Body<'_>) -> Result<NamedTempFile, StoreError> {
        let tmp = self.root.join(TMP);
        let mut file = NamedTempFile::new_in(&tmp).map_err(local("creating a file in", &tmp))?;
        write_body(&mut file, body)?;
        // Nobody writes them again, and who may read a repository is not the store's to say.
        let readable = fs::Permissions::from_mode(0o400);
        file.as_file()
            .set_permissions(readable)
            .map_err(local("chmod of", file.path()))?;
        self.synced(file.as_file().sync_all())
            .map_err(local("syncing", file.path()))?;
        Ok(file)
    }

    /// Syncs `dir` itself, and the chain above it as far as it is not durable yet.
    fn sync_names(&self, dir: &Path) -> Result<(), StoreError> {
        self.sync_directory(dir)?;
        let fresh: Vec<&Path> = {
            let durable = self.durable.lock();
            dir.ancestors()
                .take_while(|d| !durable.contains(*d))
                .collect()
        };
        for dir in fresh.iter().rev() {
            self.sync_directory(dir.parent().expect("below the root, which is durable"))?;
            self.durable.lock().insert(dir.to_path_buf());
        }
        Ok(())
    }

    fn sync_directory(&self, dir: &Path) -> Result<(), StoreError> {
        let handle = File::open(dir).map_err(local("opening", dir))?;
        self.synced(handle.sync_all())
            .map_err(local("syncing", dir))
    }

    fn synced(&self, result: io::Result<()>) -> io::Result<()> {
        if result.is_err() {
            self.poisoned.store(true, Ordering::Release);
        }
        result
    }

    fn check_poison(&self) -> Result<(), StoreError> {
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(StoreError::Local {
            context: format!(
                "an earlier sync in {} failed; restart to go on",
                self.root.display()
            ),
            source: io::Error::other("the store is read-only since then"),
        })
    }
}

impl ObjectStore for DirStore {
    fn put(&self, key: &str, body: Body<'_>) -> Result<Put, StoreError> {
        let path = self.path("PUT", key)?;
        self.check_poison()?;
        self.write_new(&path, &body)
    }

    fn copy(&self, from: &str, to: &str, len: u64, watch: &Watch<'_>) -> Result<Put, StoreError> {
        let path = self.path("COPY", from)?;
        let file = File::open(&path).map_err(|e| self.not_found(from, &path, e))?;
        self.put_resuming(to, &file, len, watch)
    }

    fn get(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let path = self.path("GET", key)?;
        let file = File::open(&path).map_err(|e| self.not_found(key, &path, e))?;
        let mut bytes = BytesMut::zeroed((range.end - range.start) as usize);
        file.read_exact_at(&mut bytes, range.start)
            .map_err(local("reading", &path))?;
        Ok(bytes.freeze())
    }

    fn get_small(&self, key: &str, limit: u64) -> Result<Bytes, StoreError> {
        let path = self.path("GET", key)?;
        let file = File::open(&path).map_err(|e| self.not_found(key, &path, e))?;
        let mut bytes = Vec::new();
        file.take(limit)
            .read_to_end(&mut bytes)
            .map_err(local("reading", &path))?;
        Ok(Bytes::from(bytes))
    }

    fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        for key in keys {
            let path = self.path("DELETE", key)?;
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(local("removing", &path)(e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn list(&self, prefix: &str, sink: &mut (dyn FnMut(Listed) + Send)) -> Result<(), StoreError> {
        let prefix = prefix.trim_end_matches('/');
        let path = match prefix {
            "" => self.root.clone(),
            prefix => self.path("LIST", prefix)?,
        };
        list(&path, prefix, sink).map_err(local("listing", &path))
    }

    /// An interrupted put is cleared when the store is opened, see `TMP`.
    fn abort(&self, _: &Upload) -> Result<(), StoreError> {
        Ok(())
    }

    fn refuses_overwrite(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("dir:{}", self.root.display())
    }
}

/// Names that are not UTF-8 are none of our keys.
fn list(dir: &Path, prefix: &str, sink: &mut (dyn FnMut(Listed) + Send)) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let key = match name.to_str() {
            // What is being written is no object.
            None => continue,
            Some(TMP) if prefix.is_empty() => continue,
            Some(name) if prefix.is_empty() => name.to_owned(),
            Some(name) => format!("{prefix}/{name}"),
        };
        let metadata = match entry.metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue, // deleted meanwhile
            metadata => metadata?,
        };
        if metadata.is_dir() {
            list(&entry.path(), &key, sink)?;
            continue;
        }
        sink(Listed::Object {
            key,
            size: metadata.len(),
            modified: metadata.modified()?,
        });
    }
    Ok(())
}

fn write_body(to: &mut impl Write, body: &Body<'_>) -> Result<(), StoreError> {
    match body {
        Body::Bytes(bytes) => to.write_all(bytes).map_err(|source| StoreError::Local {
            context: "writing an object".to_string(),
            source,
        }),
        Body::File { file, len } => copy(file, *len, to).map_err(|source| StoreError::Local {
            context: "copying a file into the store".to_string(),
            source,
        }),
    }
}

fn copy(from: &File, len: u64, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < len {
        let n = buffer.len().min((len - at) as usize);
        from.read_exact_at(&mut buffer[..n], at)?;
        to.write_all(&buffer[..n])?;
        at += n as u64;
        if let Some(budget) = wait::current() {
            budget.progressed();
        }
    }
    Ok(())
}

fn clear(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

fn local(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let context = format!("{doing} {}", path.display());
    move |source| StoreError::Local { context, source }
}
