//! Which objects there are in what is copied: by the indexes of packs, and the names of loose objects.
#![expect(
    clippy::disallowed_methods,
    reason = "the private directory of an import is the daemon's own"
)]

use super::source::{Disk, Inventory, PackFiles};
use super::{ImportError, Run};
use gitmoor_fs::{bundle, catalog};
use gitmoor_model::{ImportPlan, ObjectFormat};
use gix_hash::ObjectId;
use gix_pack::index;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

type Index = index::File<gix_pack::MMap>;

pub(super) struct Contents {
    indexes: Vec<Index>,
    /// Objects of each pack of the source, by the name of the pack.
    objects: HashMap<Vec<u8>, u64>,
    /// What no pack has.
    loose: HashSet<ObjectId>,
    /// The index that was asked last and knew: neighbours in a walk are neighbours in a pack.
    last: AtomicUsize,
}

impl Contents {
    pub(super) fn of(
        run: &Run<'_>,
        source: &Disk,
        inventory: &Inventory,
    ) -> Result<Self, ImportError> {
        let format = source.format;
        let mut contents = Self {
            indexes: Vec::new(),
            objects: HashMap::new(),
            loose: HashSet::new(),
            last: AtomicUsize::new(0),
        };
        let dir = run.private.fresh("idx")?;
        for pack in &inventory.packs {
            run.reporter
                .report("Looking", contents.indexes.len() as u64, None)?;
            let at = dir.join(contents.indexes.len().to_string());
            contents.add_of_source(source, pack, &at, format)?;
        }
        for (path, entry) in catalog::files(run.fs.replica(), run.import.id)? {
            if path.as_bytes().ends_with(b".idx") && !inventory.names(&path) {
                let at = dir.join(contents.indexes.len().to_string());
                let copy = fs::File::create(&at).map_err(ImportError::local(&at));
                let objects = run.repository.objects();
                objects.write_to(&path, &entry, &mut copy?)?;
                contents.add(&at, Path::new(&path.to_string()), format)?;
            }
        }
        let loose = inventory
            .loose
            .keys()
            .filter(|oid| !contents.is_packed(oid));
        contents.loose = loose.copied().collect();
        Ok(contents)
    }

    /// Of a copy: a file that another shortens must not be mapped.
    fn add_of_source(
        &mut self,
        source: &Disk,
        pack: &PackFiles,
        at: &Path,
        format: ObjectFormat,
    ) -> Result<(), ImportError> {
        let idx = &pack.index().at;
        let mut copy = File::create_new(at).map_err(ImportError::local(at))?;
        io::copy(&mut source.open(idx)?, &mut copy).map_err(ImportError::reading(idx))?;
        bundle::check_pack_trailer(&copy, format).map_err(|error| damaged(idx, &error))?;
        self.add(at, idx, format)?;
        let index = self.indexes.last().expect("it was just added");
        let pack = pack.pack();
        let stated = index.pack_checksum();
        let file = source.open(&pack.at)?;
        let end = trailer(file, stated.as_slice().len());
        if end.map_err(ImportError::reading(&pack.at))? != stated.as_slice() {
            let reason = format!("it does not end as {} says", idx.display());
            return Err(damaged(&pack.at, &reason));
        }
        let objects = u64::from(index.num_objects());
        self.objects.insert(pack.path.as_bytes().to_vec(), objects);
        Ok(())
    }

    fn add(&mut self, at: &Path, named: &Path, format: ObjectFormat) -> Result<(), ImportError> {
        let index = Index::at(at, bundle::hash_kind(format));
        self.indexes
            .push(index.map_err(|error| damaged(named, &error))?);
        Ok(())
    }

    /// Whether it is among what is copied.
    pub(super) fn has(&self, oid: &ObjectId) -> bool {
        self.is_packed(oid) || self.loose.contains(oid)
    }

    fn is_packed(&self, oid: &ObjectId) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let knows = |index: &Index| index.lookup(oid).is_some();
        if self.indexes.get(last).is_some_and(knows) {
            return true;
        }
        let found = self.indexes.iter().position(knows);
        if let Some(found) = found {
            self.last.store(found, Ordering::Relaxed);
        }
        found.is_some()
    }

    /// Loose objects that are in no pack, in order.
    pub(super) fn loose(&self) -> Vec<ObjectId> {
        let mut loose: Vec<_> = self.loose.iter().copied().collect();
        loose.sort_unstable();
        loose
    }

    /// In a pack of the source.
    pub(super) fn objects_of(&self, pack: &PackFiles) -> u64 {
        let objects = self.objects.get(pack.pack().path.as_bytes());
        objects.copied().unwrap_or_default()
    }

    pub(super) fn plan(&self, inventory: &Inventory) -> ImportPlan {
        let files = inventory.packs.iter().flat_map(|pack| &pack.files);
        let files = files.chain(&inventory.lfs);
        let loose = self.loose.iter().filter_map(|oid| inventory.loose.get(oid));
        ImportPlan {
            files: files.clone().count() as u64,
            bytes: files.map(|file| file.size).sum::<u64>()
                + loose.map(|loose| loose.size).sum::<u64>(),
            objects: self.objects.values().sum::<u64>() + self.loose.len() as u64,
        }
    }
}

fn damaged(path: &Path, reason: &dyn std::fmt::Display) -> ImportError {
    ImportError::Damaged {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

/// The last bytes of a file; fewer of a shorter one.
fn trailer(mut file: File, len: usize) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(len as u64)))?;
    let mut trailer = Vec::new();
    file.read_to_end(&mut trailer)?;
    Ok(trailer)
}
