//! What a repository borrows while it is served and imported: the objects that its source has when it is taken
//! over, and none that come there later. git does not write what it finds in a repository that it borrows from; so
//! whatever came there after the import had looked would be missing at the end.
//!
//! They are hard links within the old repository. Nothing that happens to that takes them away, they cost no
//! room, and whoever reaches the one reaches the other. Their directories are made, and removed, with the rights of the repository's
//! owner; what is linked was opened with these rights.
#![expect(
    clippy::disallowed_methods,
    reason = "a source is read and written with the rights of its owner, and only regular files are opened"
)]

use super::ImportError;
use super::source::{Disk, Inventory};
use crate::runner::ProgressReporter;
use gix_hash::ObjectId;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, linkat, mkdirat, openat};
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(super) const LENT: &str = "gitmoor-lent";

/// How often a source is looked at that is repacked meanwhile.
const PASSES: u32 = 10;

/// What is linked, by name.
#[derive(Default)]
struct Linked {
    packs: HashSet<Vec<u8>>,
    loose: HashSet<ObjectId>,
}

/// The objects that a source lends.
pub(super) struct Loan<'a>(pub(super) &'a Disk);

impl Loan<'_> {
    /// Lends all objects that are there, also those that it borrows itself.
    pub(super) fn lend(&self, reporter: &ProgressReporter<'_>) -> Result<(), ImportError> {
        self.take_back()
            .map_err(ImportError::local(&self.0.dir.join(LENT)))?;
        let objects = self.0.dir.join("objects");
        let like = self.0.as_owner(|| fs::metadata(&objects)).flatten();
        let like = like.map_err(ImportError::reading(&objects))?;
        // Of a repository without objects none are lent, and git is shown an empty directory.
        let made = self.0.as_owner(|| self.make("pack", &like)).flatten();
        made.map_err(ImportError::local(&self.0.lent()))?;
        let mut linked = Linked::default();
        for _ in 0..PASSES {
            // What a repack takes away meanwhile is in another pack, which the next pass finds.
            match self.0.inventory(reporter) {
                Ok(inventory) if linked.has(&inventory) => return Ok(()),
                Ok(inventory) => self.link(&inventory, &like, &mut linked, reporter)?,
                Err(ImportError::Moved(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ImportError::Moved(format!(
            "{} is repacked again and again",
            self.0.dir.display()
        )))
    }

    /// Nobody borrows them any more.
    pub(super) fn take_back(&self) -> io::Result<()> {
        match self
            .0
            .as_owner(|| fs::remove_dir_all(self.0.dir.join(LENT)))
            .flatten()
        {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn link(
        &self,
        inventory: &Inventory,
        like: &Metadata,
        linked: &mut Linked,
        reporter: &ProgressReporter<'_>,
    ) -> Result<(), ImportError> {
        let mut number = 0;
        for pack in &inventory.packs {
            let mut there = true;
            for file in &pack.files {
                let name = file.path.to_string();
                let name = name.strip_prefix("objects/").unwrap_or(&name);
                there &= self.link_file(&file.at, name, like)?;
            }
            if there {
                linked.packs.insert(pack.pack().path.as_bytes().to_vec());
            }
        }
        for (oid, loose) in &inventory.loose {
            number += 1;
            if number % 1000 == 0 {
                reporter.report("Lending", number, Some(inventory.loose.len() as u64))?;
            }
            let hex = oid.to_string();
            let name = format!("{}/{}", &hex[..2], &hex[2..]);
            if self.link_file(&loose.at, &name, like)? {
                linked.loose.insert(*oid);
            }
        }
        Ok(())
    }
}

impl Loan<'_> {
    /// Whether it is there; `false` when what was to be linked is gone.
    fn link_file(&self, from: &Path, name: &str, like: &Metadata) -> Result<bool, ImportError> {
        let to = self.0.lent().join(name);
        let (dir, file) = name.rsplit_once('/').expect("it lies in a directory");
        let dir = self.0.as_owner(|| self.make(dir, like)).flatten();
        let dir = dir.map_err(ImportError::local(&to))?;
        let from_file = match self.0.open(from) {
            Err(ImportError::Moved(_)) => return Ok(false),
            opened => opened?,
        };
        // The very file that was opened, and one of others too, of which the owner alone might make no link (proc(5),
        // protected_hardlinks).
        let opened = format!("/proc/self/fd/{}", from_file.as_raw_fd());
        match linkat(CWD, opened, dir, file, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) | Err(Errno::EXIST) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(Errno::XDEV) => Err(ImportError::InTheWay {
                path: from.to_owned(),
                reason: "it is on another file system than the repository, which borrows it: run git repack -a -d there first".to_owned(),
            }),
            Err(error) => Err(ImportError::local(&to)(error.into())),
        }
    }

    /// A directory among those that are lent, as readable as the objects themselves.
    fn make(&self, name: &str, like: &Metadata) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |dir: BorrowedFd<'_>, name: &str| openat(dir, name, flags, Mode::empty());
        let mut dir = rustix::fs::open(&self.0.dir, flags, Mode::empty())?;
        for name in [LENT, "objects"].into_iter().chain(name.split('/')) {
            dir = match open(dir.as_fd(), name) {
                Err(Errno::NOENT) => {
                    mkdirat(&dir, name, Mode::RWXU)?;
                    let made = open(dir.as_fd(), name)?;
                    fchmod(&made, Mode::from_raw_mode(like.mode()))?;
                    made
                }
                opened => opened?,
            };
        }
        Ok(dir)
    }
}

impl Linked {
    fn has(&self, inventory: &Inventory) -> bool {
        let mut packs = inventory
            .packs
            .iter()
            .map(|pack| pack.pack().path.as_bytes());
        packs.all(|pack| self.packs.contains(pack))
            && inventory.loose.keys().all(|oid| self.loose.contains(oid))
    }
}
