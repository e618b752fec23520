//! Inode numbers: what the kernel calls a place.
//!
//! An inode stands for one file at a place in the tree while it has the name, and for the
//! open files of that place afterwards. Who finds another file there, before whoever put it
//! there has said so, finds another inode: the kernel never mixes the two. A rename moves
//! the inode with the file; replacing a name orphans the inode that had it. link(2) gives the
//! inode a second place; once forgotten, places are looked up as inodes of their own, since
//! nothing here knows what a disk links. Numbers are never reused in a mount's life.

use super::Place;
use crate::repository::{Identity, Opened};
use gitmoor_replicator::model::{NamePath, RepoId, RepoPath};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// The root of the mount, by FUSE's convention.
pub const ROOT: u64 = 1;

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Name(NamePath),
    Repo(RepoId, RepoPath),
}

impl Key {
    fn of(place: &Place) -> Self {
        match place {
            Place::Name(path) => Key::Name(path.clone()),
            Place::Repo(repo, path) => Key::Repo(repo.id, path.clone()),
        }
    }
}

struct Inode {
    /// Where it stands; nowhere once the last name is gone.
    places: Vec<Place>,
    /// How many lookups the kernel has not forgotten.
    lookups: u64,
    /// Its open files, for fstat(2) without a name; some may be closed.
    opened: Vec<Weak<Opened>>,
    /// Which file it is, once that is known.
    identity: Option<Identity>,
    /// Open files that may write. While there are any it stays the inode of its name,
    /// whichever file that is.
    writers: usize,
}

impl Inode {
    fn at(place: Place, lookups: u64) -> Self {
        Self {
            places: vec![place],
            lookups,
            opened: Vec::new(),
            identity: None,
            writers: 0,
        }
    }

    fn is(&mut self, found: Option<Identity>) -> bool {
        self.identity = self.identity.or(found);
        self.writers > 0 || found.is_none() || found == self.identity
    }
}

#[derive(Default)]
struct Table {
    inodes: HashMap<u64, Inode>,
    numbers: HashMap<Key, u64>,
    last: u64,
}

/// The inode table of a mount.
pub struct Inodes {
    table: Mutex<Table>,
}

impl Inodes {
    /// A table that knows the root.
    pub fn new(root: Place) -> Self {
        let mut table = Table {
            last: ROOT,
            ..Table::default()
        };
        table.numbers.insert(Key::of(&root), ROOT);
        table.inodes.insert(ROOT, Inode::at(root, 1));
        Self {
            table: Mutex::new(table),
        }
    }

    /// The place of an inode; `None` when it has lost its name.
    pub fn place(&self, ino: u64) -> Option<Place> {
        self.table.lock().inodes.get(&ino)?.places.first().cloned()
    }

    /// An operation on an inode is done.
    pub fn used(&self, ino: u64) {
        let table = self.table.lock();
        let place = table
            .inodes
            .get(&ino)
            .and_then(|inode| inode.places.first());
        if let Some(Place::Repo(repo, _)) = place {
            repo.used();
        }
    }

    /// The number of the file that was found at a place, and one more lookup of it to be
    /// forgotten.
    pub fn look_up(&self, place: &Place, found: Option<Identity>) -> u64 {
        let mut table = self.table.lock();
        let mut ino = table.number(place);
        if table
            .inodes
            .get_mut(&ino)
            .is_some_and(|inode| !inode.is(found))
        {
            table.orphan(&Key::of(place));
            ino = table.number(place);
        }
        if let Some(inode) = table.inodes.get_mut(&ino) {
            inode.lookups += 1;
        }
        ino
    }

    /// The file of an inode has got one more name.
    pub fn link(&self, ino: u64, to: &Place) {
        let mut table = self.table.lock();
        table.orphan(&Key::of(to));
        if let Some(inode) = table.inodes.get_mut(&ino) {
            inode.places.push(to.clone());
            table.numbers.insert(Key::of(to), ino);
        }
    }

    /// The number of a place that the kernel knows; `None` when it does not.
    pub fn known(&self, place: &Place) -> Option<u64> {
        self.table.lock().numbers.get(&Key::of(place)).copied()
    }

    /// The kernel forgot `n` lookups.
    pub fn forget(&self, ino: u64, n: u64) {
        let mut table = self.table.lock();
        let Some(inode) = table.inodes.get_mut(&ino) else {
            return;
        };
        inode.lookups = inode.lookups.saturating_sub(n);
        if inode.lookups > 0 || ino == ROOT {
            return;
        }
        for place in table.inodes.remove(&ino).into_iter().flat_map(|i| i.places) {
            table.numbers.remove(&Key::of(&place));
        }
    }

    /// Remembers an open file for fstat(2) after its name is gone.
    pub fn opened(&self, ino: u64, opened: &Arc<Opened>) {
        if let Some(inode) = self.table.lock().inodes.get_mut(&ino) {
            inode.opened.retain(|opened| opened.strong_count() > 0);
            inode.opened.push(Arc::downgrade(opened));
        }
    }

    /// An open file of an inode, if there is one.
    pub fn an_opened(&self, ino: u64) -> Option<Arc<Opened>> {
        let table = self.table.lock();
        table
            .inodes
            .get(&ino)?
            .opened
            .iter()
            .find_map(Weak::upgrade)
    }

    /// Whether an inode still has its name, and this is the file of it that was found there
    /// (`None` could be any).
    pub fn is(&self, ino: u64, found: Option<Identity>) -> bool {
        let mut table = self.table.lock();
        let inode = table.inodes.get_mut(&ino);
        inode.is_some_and(|inode| !inode.places.is_empty() && inode.is(found))
    }

    /// It is open for writing. Closing it may make another file of it, of which it stays
    /// the inode, so that none of its writers is lost.
    pub fn writing(&self, ino: u64) {
        if let Some(inode) = self.table.lock().inodes.get_mut(&ino) {
            inode.writers += 1;
        }
    }

    /// One open file that may write is closed.
    pub fn written(&self, ino: u64) {
        if let Some(inode) = self.table.lock().inodes.get_mut(&ino)
            && inode.writers > 0
        {
            inode.writers -= 1;
            inode.identity = None;
        }
    }

    /// The name is gone (or means another file now).
    pub fn orphan(&self, place: &Place) {
        let mut table = self.table.lock();
        table.orphan(&Key::of(place));
    }

    /// The file at `from`, with everything beneath it, is at `to` now, where it was found: a
    /// lock file becomes a ref.
    pub fn rename(&self, from: &Place, to: &Place, found: Option<Identity>) {
        let mut table = self.table.lock();
        table.orphan(&Key::of(to));
        let moved: Vec<(Key, u64)> = table
            .numbers
            .iter()
            .filter(|(key, _)| key.is_within(from))
            .map(|(k, n)| (k.clone(), *n))
            .collect();
        for (key, ino) in moved {
            table.move_name(&key, ino, from, to);
        }
        let ino = table.numbers.get(&Key::of(to)).copied();
        if let Some(inode) = ino.and_then(|ino| table.inodes.get_mut(&ino)) {
            (inode.identity, inode.writers) = (found, 0);
        }
    }
}

impl Table {
    fn number(&mut self, place: &Place) -> u64 {
        let key = Key::of(place);
        if let Some(ino) = self.numbers.get(&key) {
            return *ino;
        }
        self.last += 1;
        self.inodes.insert(self.last, Inode::at(place.clone(), 0));
        self.numbers.insert(key, self.last);
        self.last
    }

    fn orphan(&mut self, key: &Key) {
        if let Some(inode) = self
            .numbers
            .remove(key)
            .and_then(|ino| self.inodes.get_mut(&ino))
        {
            inode.places.retain(|place| Key::of(place) != *key);
        }
    }

    /// Moves one name of an inode along with the directory (or file) that moved.
    fn move_name(&mut self, key: &Key, ino: u64, from: &Place, to: &Place) {
        self.numbers.remove(key);
        let Some(inode) = self.inodes.get_mut(&ino) else {
            return;
        };
        let Some(at) = inode.places.iter().position(|p| Key::of(p) == *key) else {
            return;
        };
        match inode.places[at].moved(from, to) {
            Some(place) => {
                self.numbers.insert(Key::of(&place), ino);
                inode.places[at] = place;
            }
            None => drop(inode.places.remove(at)),
        }
    }
}

impl Key {
    fn is_within(&self, dir: &Place) -> bool {
        match (self, dir) {
            (Key::Name(path), Place::Name(dir)) => path.is_within(dir),
            (Key::Repo(id, path), Place::Repo(repo, dir)) => *id == repo.id && path.is_within(dir),
            (Key::Name(_), Place::Repo(..)) | (Key::Repo(..), Place::Name(_)) => false,
        }
    }
}
