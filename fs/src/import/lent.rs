//! What a repository borrows while it is served and imported: the objects that its source has when it is taken
//! over, and none that come there later. git does not write what it finds in a repository that it borrows from; so
//! whatever came there after the import had looked would be missing at the end.
//!
//! They are hard links within the old repository. Nothing that happens to that takes them away, they cost no
//! room, and whoever reaches the one reaches the other.
#![expect(clippy::disallowed_methods, reason = "remove_dir_all follows no links")]

use super::ImportError;
use super::source::{Disk, Heap};
use crate::beneath::{At, Dir};
use crate::work::Teller;
use gix_hash::ObjectId;
use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const LENT: &str = "gitmoor-lent";

/// How often a source is looked at that is repacked meanwhile.
const PASSES: u32 = 10;

/// What is linked, by name.
#[derive(Default)]
struct Linked {
    packs: HashSet<Vec<u8>>,
    loose: HashSet<ObjectId>,
}

impl Disk {
    /// Where the objects are that are lent, once they are.
    pub(super) fn lent(&self) -> PathBuf {
        self.dir.join(LENT).join("objects")
    }

    /// Lends all objects that are there, also those that it borrows itself.
    pub(super) fn lend(&self, teller: &Teller<'_>) -> Result<(), ImportError> {
        self.take_back()
            .map_err(ImportError::local(&self.dir.join(LENT)))?;
        let top = Dir::open(&self.dir).map_err(ImportError::reading(&self.dir))?;
        let objects = self.dir.join("objects");
        let node = top.node(Path::new("objects"));
        let like = node.and_then(|node| node.stat());
        let like = like.map_err(ImportError::reading(&objects))?;
        let mut linked = Linked::default();
        for _ in 0..PASSES {
            // What a repack takes away meanwhile is in another pack, which the next pass finds.
            match self.heap(teller) {
                Ok(heap) if linked.has(&heap) => return Ok(()),
                Ok(heap) => self.link(&heap, (&top, &like), &mut linked, teller)?,
                Err(ImportError::Moved(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ImportError::Moved(format!(
            "{} is repacked again and again",
            self.dir.display()
        )))
    }

    /// Nobody borrows them any more.
    pub(super) fn take_back(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.dir.join(LENT)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn link(
        &self,
        heap: &Heap,
        (top, like): (&Dir, &Metadata),
        linked: &mut Linked,
        teller: &Teller<'_>,
    ) -> Result<(), ImportError> {
        let objects = Path::new(LENT).join("objects");
        let mut number = 0;
        for pack in &heap.packs {
            let mut there = true;
            for file in &pack.files {
                let name = file.path.to_string();
                let name = name.strip_prefix("objects/").unwrap_or(&name);
                there &= link(&file.at, top, &objects.join(name), like)?;
            }
            if there {
                linked.packs.insert(pack.pack().path.as_bytes().to_vec());
            }
        }
        for (oid, loose) in &heap.loose {
            number += 1;
            if number % 1000 == 0 {
                teller.tell("Lending", number, Some(heap.loose.len() as u64))?;
            }
            let hex = oid.to_string();
            let to = objects.join(&hex[..2]).join(&hex[2..]);
            if link(&loose.at, top, &to, like)? {
                linked.loose.insert(*oid);
            }
        }
        Ok(())
    }
}

impl Linked {
    fn has(&self, heap: &Heap) -> bool {
        let mut packs = heap.packs.iter().map(|pack| pack.pack().path.as_bytes());
        packs.all(|pack| self.packs.contains(pack))
            && heap.loose.keys().all(|oid| self.loose.contains(oid))
    }
}

/// Whether it is there; `false` when what was to be linked is gone.
fn link(from: &At, top: &Dir, to: &Path, like: &Metadata) -> Result<bool, ImportError> {
    let dir = to.parent().expect("a file lies in a directory");
    make(top, dir, like).map_err(ImportError::local(&top.path().join(dir)))?;
    match from.link(top, to) {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(true),
            io::ErrorKind::NotFound => Ok(false),
            io::ErrorKind::CrossesDevices => Err(ImportError::InTheWay {
                path: from.path(),
                reason: "it is on another file system than the repository, which borrows it: run git repack -a -d there first".to_owned(),
            }),
            _ => Err(ImportError::local(&top.path().join(to))(error)),
        },
    }
}

/// As readable as the objects themselves.
fn make(top: &Dir, dir: &Path, like: &Metadata) -> io::Result<()> {
    if dir.as_os_str().is_empty() || top.stat(dir)?.is_some_and(|there| there.is_dir()) {
        return Ok(());
    }
    let above = dir.parent().expect("it lies within the repository");
    make(top, above, like)?;
    top.mkdir(dir)?;
    let made = top.node(dir)?;
    made.chmod(like.mode())?;
    match made.chown(Some(like.uid()), Some(like.gid())) {
        // Only root may give it away; then it is the daemon's, as what it made.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
