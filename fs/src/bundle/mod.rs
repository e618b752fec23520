//! Loose objects into one pack, and the checks that files pass before they are
//! uploaded.
//!
//! A push of thousands of loose objects would be thousands of PUTs; bundled it
//! is two. The pack is plain version 2 without deltas (git's own repack finds
//! those), its index version 2, byte for byte what `git index-pack` would write. Every
//! object is hashed on its way into the pack, so a bundle never holds one that
//! does not have its name (INV-5).

mod error;
mod idx;
mod inflate;
mod lfs;
mod loose;
mod pack;
mod trailer;
mod whole;

pub use error::BundleError;
pub use lfs::check_lfs;
pub use loose::{check_loose, check_loose_bytes};
pub use trailer::check_pack_trailer;

use error::local;
use gitmoor_model::ObjectFormat;
use gix_hash::ObjectId;
use loose::{Kind, LooseObject};
use pack::PackWriter;
use std::collections::HashSet;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A pack made by [`bundle_loose`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bundled {
    /// Path of the pack, `pack-<hash>.pack`.
    pub pack: PathBuf,
    /// Path of its index, `pack-<hash>.idx`.
    pub idx: PathBuf,
    /// `pack-<hash>`, the hash being the pack's trailer, as git names packs.
    pub name: String,
}

/// Packs loose object files, each given with its id in hex and by what `open` opens, into the directory `into`, to
/// which nobody else writes. An id that comes twice is packed once. The loose files stay, and nothing
/// is synced: what a crash loses is made again from them.
pub fn bundle_loose<T>(
    objects: &[(String, T)],
    open: impl Fn(&T) -> io::Result<File>,
    format: ObjectFormat,
    into: &Path,
) -> Result<Bundled, BundleError> {
    let objects = distinct(objects, format)?;
    let mut packing = Packing::begin(into, objects.len(), format)?;
    for (oid, at) in objects {
        let file = open(at).map_err(|source| BundleError::Local {
            context: format!("opening object {oid}"),
            source,
        })?;
        packing.pack.add(oid, LooseObject::read(&file, oid)?)?;
    }
    packing.finish()
}

/// A pack in the making.
pub struct Packing {
    pack: PackWriter<File>,
    file: NamedTempFile,
    into: PathBuf,
    format: ObjectFormat,
}

impl Packing {
    /// Of exactly so many objects, in the directory `into`.
    pub fn begin(into: &Path, objects: usize, format: ObjectFormat) -> Result<Self, BundleError> {
        let file = temporary(into)?;
        let out = file
            .as_file()
            .try_clone()
            .map_err(local("writing a pack in", into))?;
        let pack = PackWriter::begin(out, objects, hash_kind(format));
        Ok(Self {
            pack: pack.map_err(local("writing a pack in", into))?,
            file,
            into: into.to_owned(),
            format,
        })
    }

    /// How many objects are written by now.
    pub fn written(&self) -> usize {
        self.pack.written()
    }

    /// One that is in memory, after it was checked against its name.
    pub fn add(&mut self, hex: &str, kind: &str, content: &[u8]) -> Result<(), BundleError> {
        let oid = parse_oid(hex, self.format)?;
        loose::check_content(oid, kind, content)?;
        self.pack
            .add_content(oid, Kind::parse(kind.as_bytes()), content)
    }

    /// Gives it its name.
    pub fn finish(self) -> Result<Bundled, BundleError> {
        let into = &self.into;
        let finished = self.pack.finish();
        let (entries, trailer) = finished.map_err(local("writing a pack in", into))?;
        let mut idx_file = temporary(into)?;
        idx::write(idx_file.as_file_mut(), entries, trailer)
            .map_err(local("writing a pack index in", into))?;
        let name = format!("pack-{trailer}");
        let pack = persist(self.file, into.join(format!("{name}.pack")))?;
        let idx = persist(idx_file, into.join(format!("{name}.idx")))?;
        Ok(Bundled { pack, idx, name })
    }
}

/// The objects in their order, without repetitions, their ids parsed.
fn distinct<T>(
    objects: &[(String, T)],
    format: ObjectFormat,
) -> Result<Vec<(ObjectId, &T)>, BundleError> {
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for (hex, at) in objects {
        let oid = parse_oid(hex, format)?;
        if seen.insert(oid) {
            all.push((oid, at));
        }
    }
    if all.is_empty() {
        Err(BundleError::Empty)
    } else {
        Ok(all)
    }
}

/// With the mode that git gives to packs, whatever umask this process has.
fn temporary(into: &Path) -> Result<NamedTempFile, BundleError> {
    let file = tempfile::Builder::new()
        .prefix("tmp_bundle_")
        .tempfile_in(into)
        .and_then(|file| {
            let mode = Permissions::from_mode(0o444);
            file.as_file().set_permissions(mode).map(|()| file)
        });
    file.map_err(local("creating a file in", into))
}

fn persist(file: NamedTempFile, path: PathBuf) -> Result<PathBuf, BundleError> {
    match file.persist(&path) {
        Ok(_) => Ok(path),
        Err(e) => Err(local("naming", &path)(e.error)),
    }
}

/// As the gix crates call it.
pub fn hash_kind(format: ObjectFormat) -> gix_hash::Kind {
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
