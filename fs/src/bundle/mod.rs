//! Loose objects into one pack, and the checks that files pass before they are
//! uploaded.
//!
//! A push of thousands of loose objects would be thousands of PUTs; bundled it
//! is two. The pack is plain version 2 without deltas (git's own repack finds
//! those), its index version 2, byte for byte what `git index-pack` would write. Every
//! object is hashed on its way into the pack, so a bundle never holds one that
//! does not have its name (invariant 5).

mod error;
mod idx;
mod inflate;
mod loose;
mod pack;
mod trailer;

pub use error::BundleError;
pub use loose::{check_loose, check_loose_bytes};
pub use trailer::check_pack_trailer;

use crate::failpoint;
use error::local;
use gitmoor_replicator::model::ObjectFormat;
use gix_hash::ObjectId;
use loose::LooseObject;
use pack::PackWriter;
use std::collections::HashSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A pack made by [`bundle_loose`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bundled {
    /// `pack-<hash>.pack`.
    pub pack: PathBuf,
    /// `pack-<hash>.idx`.
    pub idx: PathBuf,
    /// `pack-<hash>`, the hash being the pack's trailer, as git names packs.
    pub name: String,
}

/// Packs loose object files, each given with its id in hex, into the directory `into`.
/// An id that comes twice is packed once. The loose files stay, and nothing
/// is synced: what a crash loses is made again from them.
pub fn bundle_loose(
    objects: &[(String, PathBuf)],
    format: ObjectFormat,
    into: &Path,
) -> Result<Bundled, BundleError> {
    let objects = distinct(objects, format)?;
    let mut pack_file = temporary(into)?;
    let mut pack = PackWriter::begin(pack_file.as_file_mut(), objects.len(), hash_kind(format))
        .map_err(local("writing a pack in", into))?;
    for (oid, path) in objects {
        pack.add(oid, LooseObject::open(path, oid)?)?;
    }
    let (entries, trailer) = pack.finish().map_err(local("writing a pack in", into))?;
    let mut idx_file = temporary(into)?;
    idx::write(idx_file.as_file_mut(), entries, trailer)
        .map_err(local("writing a pack index in", into))?;
    let name = format!("pack-{trailer}");
    // The index last, as git does: a pack is visible once its index is.
    let pack = persist(pack_file, into.join(format!("{name}.pack")))?;
    failpoint::BUNDLE_NAMELESS_IDX.hit();
    let idx = persist(idx_file, into.join(format!("{name}.idx")))?;
    Ok(Bundled { pack, idx, name })
}

/// The objects in their order, without repetitions, their ids parsed.
fn distinct(
    objects: &[(String, PathBuf)],
    format: ObjectFormat,
) -> Result<Vec<(ObjectId, &Path)>, BundleError> {
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for (hex, path) in objects {
        let oid = parse_oid(hex, format)?;
        if seen.insert(oid) {
            all.push((oid, path.as_path()));
        }
    }
    if all.is_empty() {
        Err(BundleError::Empty)
    } else {
        Ok(all)
    }
}

fn temporary(into: &Path) -> Result<NamedTempFile, BundleError> {
    tempfile::Builder::new()
        .prefix("tmp_bundle_")
        .permissions(Permissions::from_mode(0o444))
        .tempfile_in(into)
        .map_err(local("creating a file in", into))
}

fn persist(file: NamedTempFile, path: PathBuf) -> Result<PathBuf, BundleError> {
    match file.persist(&path) {
        Ok(_) => Ok(path),
        Err(e) => Err(local("naming", &path)(e.error)),
    }
}

/// As the gix crates call it.
pub(crate) fn hash_kind(format: ObjectFormat) -> gix_hash::Kind {
    match format {
        ObjectFormat::Sha1 => gix_hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix_hash::Kind::Sha256,
    }
}

fn parse_oid(hex: &str, format: ObjectFormat) -> Result<ObjectId, BundleError> {
    ObjectId::from_hex(hex.as_bytes())
        .ok()
        .filter(|oid| oid.kind() == hash_kind(format))
        .ok_or_else(|| BundleError::BadName {
            name: hex.to_string(),
        })
}
