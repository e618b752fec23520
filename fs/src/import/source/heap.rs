//! The object files of a source.

use super::super::ImportError;
use super::disk::Disk;
use crate::beneath::{At, Dir};
use crate::bundle;
use crate::objects::name;
use crate::work::Teller;
use gitmoor_replicator::model::{ObjectFormat, RepoPath, Timestamp};
use gix_hash::ObjectId;
use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// What is taken of a pack. The multi-pack-index and the commit-graph are of all packs together; maintenance makes them anew.
const TAKEN: [&[u8]; 5] = [b"pack", b"idx", b"rev", b"bitmap", b"mtimes"];

/// See the module.
pub(crate) struct Heap {
    pub(crate) packs: Vec<PackFiles>,
    pub(crate) loose: HashMap<ObjectId, Loose>,
}

/// A loose object.
pub(crate) struct Loose {
    pub(crate) at: At,
    pub(crate) size: u64,
}

/// A file that is taken as it is.
pub(crate) struct SourceFile {
    pub(crate) at: At,
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
    pub(crate) fn new(at: At, path: RepoPath, meta: &Metadata) -> Self {
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

impl Heap {
    /// Whether it has a file of this path.
    pub(crate) fn names(&self, path: &RepoPath) -> bool {
        let mut files = self.packs.iter().flat_map(|pack| &pack.files);
        files.any(|file| file.path == *path)
    }
}

impl Disk {
    /// What is in its directory of objects, and in those that it borrows from.
    pub(crate) fn heap(&self, teller: &Teller<'_>) -> Result<Heap, ImportError> {
        let mut packs = BTreeMap::new();
        let mut loose = HashMap::new();
        for dir in self.objects(teller)? {
            let dir = Dir::open(&dir).map_err(ImportError::reading(&dir))?;
            let dir = Arc::new(dir);
            self.add_packs(&dir, &mut packs)?;
            for fan in 0..=255 {
                if fan % 64 == 0 {
                    teller.tell("Looking", loose.len() as u64, None)?;
                }
                add_loose(&dir, &format!("{fan:02x}"), self.format, &mut loose)?;
            }
        }
        let packs = packs.into_values().collect();
        Ok(Heap { packs, loose })
    }

    /// By name: one that two directories have is the same.
    fn add_packs(
        &self,
        objects: &Arc<Dir>,
        packs: &mut BTreeMap<Vec<u8>, PackFiles>,
    ) -> Result<(), ImportError> {
        let dir = Path::new("pack");
        let mut files: BTreeMap<Vec<u8>, HashMap<Vec<u8>, At>> = BTreeMap::new();
        for name in names(objects, dir)? {
            let (stem, ext) = match name.iter().rposition(|&byte| byte == b'.') {
                Some(dot) => (name[..dot].to_vec(), name[dot + 1..].to_vec()),
                None => continue,
            };
            let at = At::new(objects, dir.join(std::ffi::OsStr::from_bytes(&name)));
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

/// `None` when the name is one of git's temporary ones.
fn pack_file(at: At) -> Result<Option<SourceFile>, ImportError> {
    let name = at.name().file_name().unwrap_or_default().as_bytes();
    let path = RepoPath::new([b"objects/pack/", name].concat());
    let Some(path) = path.filter(|path| name::kind(path).is_some()) else {
        return Ok(None);
    };
    let meta = at.stat().map_err(ImportError::reading(&at.path()))?;
    Ok(Some(SourceFile::new(at, path, &meta)))
}

fn add_loose(
    objects: &Arc<Dir>,
    fan: &str,
    format: ObjectFormat,
    loose: &mut HashMap<ObjectId, Loose>,
) -> Result<(), ImportError> {
    let dir = Path::new(fan);
    for name in names(objects, dir)? {
        let oid = ObjectId::from_hex(&[fan.as_bytes(), &name].concat());
        let Some(oid) = oid
            .ok()
            .filter(|oid| oid.kind() == bundle::hash_kind(format))
        else {
            continue;
        };
        let at = At::new(objects, dir.join(std::ffi::OsStr::from_bytes(&name)));
        let meta = at.stat().map_err(ImportError::reading(&at.path()))?;
        let size = meta.len();
        loose.entry(oid).or_insert(Loose { at, size });
    }
    Ok(())
}

/// The names in a directory; none when there is no such directory.
fn names(objects: &Dir, dir: &Path) -> Result<Vec<Vec<u8>>, ImportError> {
    match objects.list(dir) {
        Ok(names) => Ok(names.into_iter().map(|(name, _)| name.into_vec()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(ImportError::Unreadable {
            path: objects.path().join(dir),
            error,
        }),
    }
}
