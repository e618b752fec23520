//! The proof that nothing is lost: each object of a removed file is in a file that was made, or in a pack that stays.
//!
//! Names are compared, as the indexes have them; a pack that was made must match its trailer, and its
//! index that pack. What stays is relied upon as it is: packs only, since loose objects go when git finds
//! them in a pack.

use super::publication::{check_trailer, open};
use super::{Files, MaintenanceError};
use gitmoor_fs::{Made, Repository, bundle};
use gitmoor_model::name;
use gitmoor_model::{FileEntry, ObjectFormat, Relied, RepoPath};
use gix_hash::ObjectId;
use gix_pack::index;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read;

type Index = index::File<Vec<u8>>;

pub(super) struct Proof {
    /// What it stands on.
    pub(super) relied: Vec<Relied>,
    /// Objects that only the expired pack has, or an expired loose file.
    pub(super) expired: u64,
    pub(super) expired_loose: Vec<RepoPath>,
}

impl Proof {
    pub(super) fn of(
        repository: &Repository,
        made: &[Made],
        expired: &[Made],
        removed: &[RepoPath],
        files: &Files,
        may_expire: bool,
    ) -> Result<Self, MaintenanceError> {
        let prover = Prover {
            repository,
            format: repository.objects().format()?,
            catalogued: files.iter().map(|(path, entry)| (path, entry)).collect(),
            removed: removed.iter().collect(),
        };
        let mut missing = prover.removed_objects()?;
        prover.forget_made(made, &mut missing)?;
        let mut relied = prover.relied_on_removed();
        prover.forget_kept(&mut missing, &mut relied)?;
        let unexplained = missing.len() as u64;
        let mut expired_loose = Vec::new();
        if may_expire {
            prover.forget_made(expired, &mut missing)?;
            expired_loose = prover.forget_loose(&mut missing);
        }
        match missing.first() {
            None => Ok(Self {
                relied,
                expired: unexplained,
                expired_loose,
            }),
            Some(example) => Err(MaintenanceError::Lossy {
                objects: missing.len(),
                example: example.to_string(),
            }),
        }
    }
}

struct Prover<'a> {
    repository: &'a Repository,
    format: ObjectFormat,
    catalogued: HashMap<&'a RepoPath, &'a FileEntry>,
    removed: HashSet<&'a RepoPath>,
}

impl Prover<'_> {
    /// The names of all objects in removed files.
    fn removed_objects(&self) -> Result<BTreeSet<ObjectId>, MaintenanceError> {
        let mut objects = BTreeSet::new();
        for path in &self.removed {
            if let Some(oid) = name::loose_oid(path) {
                objects.extend(ObjectId::from_hex(oid.as_bytes()));
            } else if path.as_bytes().ends_with(b".pack") {
                let index = self.index_of(path)?;
                objects.extend(index.iter().map(|entry| entry.oid));
            }
        }
        Ok(objects)
    }

    fn relied_on_removed(&self) -> Vec<Relied> {
        let objects = self.removed.iter().filter(|path| name::holds_objects(path));
        objects.filter_map(|path| self.as_it_is(path)).collect()
    }

    fn as_it_is(&self, path: &RepoPath) -> Option<Relied> {
        let digest = self.catalogued.get(path)?.digest;
        let path = path.clone();
        Some(Relied { path, digest })
    }

    fn forget_made(
        &self,
        made: &[Made],
        missing: &mut BTreeSet<ObjectId>,
    ) -> Result<(), MaintenanceError> {
        for pack in made
            .iter()
            .filter(|made| made.path.as_bytes().ends_with(b".pack"))
        {
            let path = index_path(&pack.path);
            let unprovable = |reason: &str| MaintenanceError::Unprovable {
                path: pack.path.to_string(),
                reason: reason.to_owned(),
            };
            let own = made.iter().find(|made| Some(&made.path) == path.as_ref());
            let own = own.ok_or_else(|| unprovable("git made no index of it"))?;
            check_trailer(pack, self.format)?;
            check_trailer(own, self.format)?;
            let mut bytes = Vec::new();
            let read = open(own)?.read_to_end(&mut bytes);
            read.map_err(MaintenanceError::local(&own.at.path()))?;
            let index = self.parse(&own.path, bytes)?;
            if !pack_ends_in(pack, &index)? {
                return Err(unprovable("its index is of another pack"));
            }
            missing.retain(|oid| index.lookup(oid).is_none());
        }
        Ok(())
    }

    /// Loose objects that git found expired.
    fn forget_loose(&self, missing: &mut BTreeSet<ObjectId>) -> Vec<RepoPath> {
        let is_missing = |path: &RepoPath| {
            let oid = name::loose_oid(path)?;
            let oid = ObjectId::from_hex(oid.as_bytes()).ok()?;
            missing.contains(&oid).then_some(oid)
        };
        let found = self.removed.iter().map(|path| (path, is_missing(path)));
        let found: Vec<_> = found.filter_map(|(path, oid)| Some((path, oid?))).collect();
        for (_, oid) in &found {
            missing.remove(oid);
        }
        found.into_iter().map(|(path, _)| (*path).clone()).collect()
    }

    /// Only as many packs are looked at as are needed, the largest first.
    fn forget_kept(
        &self,
        missing: &mut BTreeSet<ObjectId>,
        relied: &mut Vec<Relied>,
    ) -> Result<(), MaintenanceError> {
        let is_kept =
            |path: &RepoPath| path.as_bytes().ends_with(b".pack") && !self.removed.contains(path);
        let mut kept: Vec<_> = self
            .catalogued
            .iter()
            .filter(|(path, _)| is_kept(path))
            .collect();
        kept.sort_by_key(|(path, entry)| (std::cmp::Reverse(entry.size), *path));
        for (pack, _) in kept {
            if missing.is_empty() {
                return Ok(());
            }
            let before = missing.len();
            let index = self.index_of(pack)?;
            missing.retain(|oid| index.lookup(oid).is_none());
            if missing.len() < before {
                relied.extend(self.as_it_is(pack));
                relied.extend(index_path(pack).and_then(|path| self.as_it_is(&path)));
            }
        }
        Ok(())
    }

    /// The index of a catalogued pack.
    fn index_of(&self, pack: &RepoPath) -> Result<Index, MaintenanceError> {
        let missing = || MaintenanceError::Unprovable {
            path: pack.to_string(),
            reason: "it has no index in the catalog".to_owned(),
        };
        let path = index_path(pack).ok_or_else(missing)?;
        let entry = self.catalogued.get(&path).ok_or_else(missing)?;
        self.parse(&path, self.repository.objects().bytes(&path, entry)?)
    }

    fn parse(&self, path: &RepoPath, bytes: Vec<u8>) -> Result<Index, MaintenanceError> {
        let hash = bundle::hash_kind(self.format);
        let index = Index::from_data(bytes, path.to_string().into(), hash);
        index.map_err(|error| MaintenanceError::Unprovable {
            path: path.to_string(),
            reason: error.to_string(),
        })
    }
}

fn index_path(pack: &RepoPath) -> Option<RepoPath> {
    let stem = pack.as_bytes().strip_suffix(b"pack")?;
    RepoPath::new([stem, b"idx"].concat())
}

/// Whether an index is of this very pack.
fn pack_ends_in(pack: &Made, index: &Index) -> Result<bool, MaintenanceError> {
    use std::io::{Seek, SeekFrom};
    let stated = index.pack_checksum();
    let at = pack.at.path();
    let local = || MaintenanceError::local(&at);
    let mut file = open(pack)?;
    let back = -(stated.as_slice().len() as i64);
    file.seek(SeekFrom::End(back)).map_err(local())?;
    let mut trailer = Vec::new();
    file.read_to_end(&mut trailer).map_err(local())?;
    Ok(trailer == stated.as_slice())
}
