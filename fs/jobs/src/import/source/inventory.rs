//! The object files of a source.
#![expect(
    clippy::disallowed_methods,
    reason = "a source is read and written with the rights of its owner, and only regular files are opened"
)]

use super::super::ImportError;
use super::disk::Disk;
use crate::runner::ProgressReporter;
use gitmoor_fs::bundle;
use gitmoor_model::name;
use gitmoor_model::{ObjectFormat, RepoPath, Timestamp};
use gix_hash::ObjectId;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is taken of a pack. The multi-pack-index and the commit-graph are of all packs together; maintenance makes them anew.
const TAKEN: [&[u8]; 5] = [b"pack", b"idx", b"rev", b"bitmap", b"mtimes"];

pub(crate) struct Inventory {
    pub(crate) packs: Vec<PackFiles>,
    pub(crate) loose: HashMap<ObjectId, Loose>,
    /// Files of Git LFS.
    pub(crate) lfs: Vec<SourceFile>,
}

pub(crate) struct Loose {
    pub(crate) at: PathBuf,
    pub(crate) size: u64,
}

/// A file that is taken as it is.
pub(crate) struct SourceFile {
    pub(crate) at: PathBuf,
    /// In the repository.
    pub(crate) path: RepoPath,
    pub(crate) size: u64,
    pub(crate) mtime: Timestamp,
}

/// A pack, its index, and what else belongs to it, in this order.
pub(crate) struct PackFiles {
    pub(crate) files: Vec<SourceFile>,
}

impl PackFiles {
    pub(crate) fn pack(&self) -> &SourceFile {
        &self.files[0]
    }

    pub(crate) fn index(&self) -> &SourceFile {
        &self.files[1]
    }
}

impl SourceFile {
    pub(crate) fn new(at: PathBuf, path: RepoPath, meta: &Metadata) -> Self {
        let mtime = Timestamp {
            secs: meta.mtime(),
            nanos: meta.mtime_nsec() as u32,
        };
        let size = meta.len();
        Self {
            at,
            path,
            size,
            mtime,
        }
    }
}

impl Inventory {
    /// Whether it has a file of this path.
    pub(crate) fn names(&self, path: &RepoPath) -> bool {
        let mut files = self.packs.iter().flat_map(|pack| &pack.files);
        files.any(|file| file.path == *path)
    }
}

impl Disk {
    /// What is in its directory of objects, and in those that it borrows from, as its owner sees it.
    pub(crate) fn inventory(
        &self,
        reporter: &ProgressReporter<'_>,
    ) -> Result<Inventory, ImportError> {
        self.as_owner(|| self.look(reporter))?
    }

    fn look(&self, reporter: &ProgressReporter<'_>) -> Result<Inventory, ImportError> {
        let mut packs = BTreeMap::new();
        let mut loose = HashMap::new();
        for dir in self.objects() {
            self.add_packs(&dir.join("pack"), &mut packs)?;
            for fan in 0..=255 {
                if fan % 64 == 0 {
                    reporter.report("Looking", loose.len() as u64, None)?;
                }
                add_loose(dir, &format!("{fan:02x}"), self.format, &mut loose)?;
            }
        }
        let packs = packs.into_values().collect();
        let lfs = lfs_files(&self.dir)?;
        Ok(Inventory { packs, loose, lfs })
    }

    /// By name: one that two directories have is the same.
    fn add_packs(
        &self,
        dir: &Path,
        packs: &mut BTreeMap<Vec<u8>, PackFiles>,
    ) -> Result<(), ImportError> {
        let mut files: BTreeMap<Vec<u8>, HashMap<Vec<u8>, PathBuf>> = BTreeMap::new();
        for name in names(dir)? {
            let (stem, ext) = match name.iter().rposition(|&byte| byte == b'.') {
                Some(dot) => (name[..dot].to_vec(), name[dot + 1..].to_vec()),
                None => continue,
            };
            let at = dir.join(OsStr::from_bytes(&name));
            if ext == b"promisor" {
                return Err(self.partial(
                    "it is a partial clone, of which not all objects are here: import where it was cloned from, or \
                     a clone of that without --filter",
                ));
            }
            files.entry(stem).or_default().insert(ext, at);
        }
        for (stem, mut files) in files {
            let has = |ext: &str| files.contains_key(ext.as_bytes());
            // git does not see a pack without an index: it is in the making, or rubbish.
            if packs.contains_key(&stem) || !has("pack") || !has("idx") {
                continue;
            }
            let mut taken = Vec::new();
            for ext in TAKEN {
                if let Some(at) = files.remove(ext) {
                    taken.extend(pack_file(at)?);
                }
            }
            if taken.len() >= 2 {
                packs.insert(stem, PackFiles { files: taken });
            }
        }
        Ok(())
    }
}

fn lfs_files(repo: &Path) -> Result<Vec<SourceFile>, ImportError> {
    let mut files = Vec::new();
    let mut dirs = vec![RepoPath::new("lfs/objects").expect("a valid path")];
    while let Some(dir) = dirs.pop() {
        for name in names(&repo.join(OsStr::from_bytes(dir.as_bytes())))? {
            let Some(path) = dir.join(&name) else {
                continue;
            };
            let at = repo.join(OsStr::from_bytes(path.as_bytes()));
            let meta = fs::symlink_metadata(&at).map_err(ImportError::reading(&at))?;
            if meta.is_dir() && name::is_fan_out(&path) {
                dirs.push(path);
            } else if meta.is_file() && name::lfs_oid(&path).is_some() {
                files.push(SourceFile::new(at, path, &meta));
            }
        }
    }
    Ok(files)
}

/// `None` when the name is one of git's temporary ones.
fn pack_file(at: PathBuf) -> Result<Option<SourceFile>, ImportError> {
    let name = at.file_name().unwrap_or_default().as_bytes();
    let path = RepoPath::new([b"objects/pack/", name].concat());
    let Some(path) = path.filter(|path| name::kind(path).is_some()) else {
        return Ok(None);
    };
    let meta = fs::metadata(&at).map_err(ImportError::reading(&at))?;
    Ok(Some(SourceFile::new(at, path, &meta)))
}

fn add_loose(
    objects: &Path,
    fan: &str,
    format: ObjectFormat,
    loose: &mut HashMap<ObjectId, Loose>,
) -> Result<(), ImportError> {
    let dir = objects.join(fan);
    for name in names(&dir)? {
        let oid = ObjectId::from_hex(&[fan.as_bytes(), &name].concat());
        let Some(oid) = oid
            .ok()
            .filter(|oid| oid.kind() == bundle::hash_kind(format))
        else {
            continue;
        };
        let at = dir.join(OsStr::from_bytes(&name));
        let size = fs::metadata(&at).map_err(ImportError::reading(&at))?.len();
        loose.entry(oid).or_insert(Loose { at, size });
    }
    Ok(())
}

/// The names in a directory; none when there is no such directory.
fn names(dir: &Path) -> Result<Vec<Vec<u8>>, ImportError> {
    let unreadable = |error| ImportError::Unreadable {
        path: dir.to_owned(),
        error,
    };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().as_bytes().to_vec()));
    names.collect::<io::Result<_>>().map_err(unreadable)
}
