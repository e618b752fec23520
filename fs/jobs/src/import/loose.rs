//! Loose objects go up in packs, some thousands in each, in the order of their names: what is interrupted makes the same
//! packs again, and what is in one that is stored is not packed again.
#![expect(
    clippy::disallowed_methods,
    reason = "the private directory of an import is the daemon's own"
)]

use super::ImportError;
use super::contents::Contents;
use super::copy::Copying;
use super::source::{Inventory, Loose, SourceFile};
use gitmoor_fs::bundle::{self, BundleError, Bundled};
use gitmoor_fs::program::regular;
use gitmoor_model::RepoPath;
use gix_hash::ObjectId;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Objects of one pack.
const OBJECTS: usize = 20_000;

/// Bytes of the loose files in one pack, unless one alone is larger.
const BYTES: u64 = 64 << 20;

impl Copying<'_> {
    pub(super) fn copy_loose(
        &self,
        inventory: &Inventory,
        contents: &Contents,
    ) -> Result<(), ImportError> {
        let loose = contents.loose();
        let loose = loose
            .iter()
            .filter_map(|oid| Some((*oid, inventory.loose.get(oid)?)));
        let loose: Vec<_> = loose.collect();
        for group in groups(&loose) {
            // Files that the owner can read, and no links to others.
            for (_, loose) in group {
                self.source.open(&loose.at)?;
            }
            let dir = self.run.private.fresh("made")?;
            let named = |(oid, loose): &(ObjectId, &Loose)| (oid.to_string(), loose.at.clone());
            let objects: Vec<_> = group.iter().map(named).collect();
            let open = |at: &PathBuf| self.source.as_owner(|| regular(at)).flatten();
            let made = bundle::bundle_loose(&objects, open, self.source.format, &dir);
            let made = made.map_err(|error| self.explained(error, inventory))?;
            self.store_made(&made)?;
            let bytes = group.iter().map(|(_, loose)| loose.size).sum();
            self.through(bytes, group.len() as u64)?;
        }
        Ok(())
    }

    /// The pack before its index.
    fn store_made(&self, made: &Bundled) -> Result<(), ImportError> {
        for at in [&made.pack, &made.idx] {
            let meta = fs::metadata(at).map_err(ImportError::local(at))?;
            let file = SourceFile::new(at.clone(), path_of(at), &meta);
            self.store(&file, &File::open(at).map_err(ImportError::local(at))?)?;
        }
        Ok(())
    }

    /// Which file it was.
    fn explained(&self, error: BundleError, inventory: &Inventory) -> ImportError {
        let oid = match &error {
            BundleError::BadObject { oid, .. } | BundleError::NoPackType { oid } => oid,
            BundleError::Local { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                return ImportError::Moved(error.to_string());
            }
            _ => return self.damaged(PathBuf::from("objects"), &error),
        };
        let oid = ObjectId::from_hex(oid.as_bytes()).ok();
        let loose = oid.and_then(|oid| inventory.loose.get(&oid));
        self.damaged(
            loose.map_or_else(PathBuf::new, |loose| loose.at.clone()),
            &error,
        )
    }

    fn damaged(&self, path: PathBuf, error: &BundleError) -> ImportError {
        let reason = error.to_string();
        ImportError::Damaged { path, reason }
    }
}

fn path_of(made: &Path) -> RepoPath {
    use std::os::unix::ffi::OsStrExt;
    let name = made.file_name().unwrap_or_default().as_bytes();
    RepoPath::new([b"objects/pack/", name].concat()).expect("git's name of a pack")
}

/// As many in each as one pack is to have.
fn groups<'a>(loose: &'a [(ObjectId, &'a Loose)]) -> Vec<&'a [(ObjectId, &'a Loose)]> {
    let (mut groups, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (at, (_, next)) in loose.iter().enumerate() {
        if at > begin && (at - begin == OBJECTS || bytes + next.size > BYTES) {
            groups.push(&loose[begin..at]);
            (begin, bytes) = (at, 0);
        }
        bytes += next.size;
    }
    if begin < loose.len() {
        groups.push(&loose[begin..]);
    }
    groups
}
