//! From what git did in the view to what is to be published, with the proof.

use super::proof::Proof;
use super::view::View;
use super::{Files, MaintenanceError};
use gitmoor_fs::beneath::At;
use gitmoor_fs::{Expired, FileSystem, Made, Repack, bundle};
use gitmoor_model::name;
use gitmoor_model::{FileEntry, RepoId, RepoPath, Version};
use gitmoor_store::block_cache;
use std::collections::{HashMap, HashSet};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;

/// Paths in one command stay below about this many bytes; the rest goes with a later maintenance.
const ROOM: usize = 4 << 20;

/// What a removed file adds to a command besides its path, at most.
const DIGEST: usize = 40;

pub(super) struct Publication {
    pub(super) repack: Repack,
    pub(super) expired_objects: u64,
    removed_bytes: u64,
}

impl Publication {
    pub(super) fn of(
        fs: &FileSystem,
        id: RepoId,
        view: &View,
        files: &Files,
        expires_unless_moved_since: Option<Version>,
    ) -> Result<Self, MaintenanceError> {
        let catalogued: HashMap<_, _> = files.iter().map(|(path, entry)| (path, entry)).collect();
        let (made, gone) = view.changes()?;
        let made = made.into_iter().map(|path| {
            let at = view.at(&path);
            (path, at)
        });
        let made = news(made.collect(), &catalogued)?;
        let remove = as_many_as_fit(gone);
        let expired = made_of(view.expired()?)?;
        let objects = fs.repository(id)?;
        let may_expire = expires_unless_moved_since.is_some();
        let proof = Proof::of(&objects, &made, &expired, &remove, files, may_expire)?;
        let removed_bytes = remove.iter().filter_map(|path| catalogued.get(path));
        let removed_bytes = removed_bytes.map(|entry| entry.size).sum();
        let expired = expires_unless_moved_since
            .filter(|_| proof.expired > 0)
            .map(|moved| Expired {
                made: expired,
                loose: proof.expired_loose,
                unless_refs_moved_since: moved,
            });
        Ok(Self {
            expired_objects: proof.expired,
            removed_bytes,
            repack: Repack {
                made,
                expired,
                remove,
                relied: proof.relied,
            },
        })
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.repack.made.is_empty() && self.repack.remove.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.repack.made.iter().map(|made| made.bytes).sum()
    }

    pub(super) fn added(&self) -> (u64, u64) {
        (self.repack.made.len() as u64, self.bytes())
    }

    pub(super) fn removed(&self) -> (u64, u64) {
        (self.repack.remove.len() as u64, self.removed_bytes)
    }
}

fn made_of(files: Vec<(RepoPath, At)>) -> Result<Vec<Made>, MaintenanceError> {
    let made = |(path, at): (RepoPath, At)| -> Result<Made, MaintenanceError> {
        // Whatever umask git has there.
        let sized = at.open().and_then(|file| {
            file.set_permissions(Permissions::from_mode(0o444))?;
            Ok(file.metadata()?.len())
        });
        let bytes = sized.map_err(MaintenanceError::local(&at.path()))?;
        Ok(Made { path, at, bytes })
    };
    let mut made: Vec<_> = files.into_iter().map(made).collect::<Result<_, _>>()?;
    // The same in every run, and a pack before its index.
    made.sort_by(|a, b| b.path.cmp(&a.path));
    Ok(made)
}

/// Those that the catalog does not have already, byte for byte.
fn news(
    made: Vec<(RepoPath, At)>,
    catalogued: &HashMap<&RepoPath, &FileEntry>,
) -> Result<Vec<Made>, MaintenanceError> {
    let mut news = Vec::new();
    for made in made_of(made)? {
        let old = catalogued
            .get(&made.path)
            .filter(|old| old.size == made.bytes);
        let is_old = match old {
            Some(old) => {
                let file = open(&made)?;
                let digest = block_cache::digest_file(&file, made.bytes, old.block_size);
                digest.map_err(MaintenanceError::local(&made.at.path()))?.0 == old.digest
            }
            None => false,
        };
        if !is_old {
            news.push(made);
        }
    }
    Ok(news)
}

/// Whole packs with all that belongs to them, then loose objects. What does not fit stays in the catalog,
/// where it is twice then.
fn as_many_as_fit(mut gone: Vec<RepoPath>) -> Vec<RepoPath> {
    let is_loose = |path: &RepoPath| name::loose_oid(path).is_some();
    gone.sort_by_key(|path| (is_loose(path), stem(path).to_vec()));
    let mut room = ROOM;
    let mut fits = HashSet::new();
    for group in gone.chunk_by(|a, b| stem(a) == stem(b)) {
        let bytes = group
            .iter()
            .map(|path| 2 * path.as_bytes().len() + DIGEST)
            .sum();
        match room.checked_sub(bytes) {
            Some(left) => room = left,
            None => break,
        }
        fits.insert(stem(&group[0]).to_vec());
    }
    gone.retain(|path| fits.contains(stem(path)));
    gone
}

/// A path without what follows the first dot of its file name.
fn stem(path: &RepoPath) -> &[u8] {
    let bytes = path.as_bytes();
    let name = bytes.len() - path.file_name().len();
    let dot = bytes[name..].iter().position(|&byte| byte == b'.');
    dot.map_or(bytes, |dot| &bytes[..name + dot])
}

pub(super) fn open(made: &Made) -> Result<File, MaintenanceError> {
    let file = made.at.open();
    file.map_err(MaintenanceError::local(&made.at.path()))
}

/// Whether the files of a pack are whole.
pub(super) fn check_trailer(
    made: &Made,
    format: gitmoor_model::ObjectFormat,
) -> Result<(), MaintenanceError> {
    let file = open(made)?;
    bundle::check_pack_trailer(&file, format).map_err(|error| MaintenanceError::Unprovable {
        path: made.path.to_string(),
        reason: error.to_string(),
    })
}
