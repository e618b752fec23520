//! Inode numbers: what the kernel calls a place.
//!
//! An inode stands for one file at a place in the tree while it has the name, and for the
//! open files of that place afterwards. Who finds another file there, before whoever put it
//! there has said so, finds another inode: the kernel never mixes the two. A rename moves
//! the inode with the file; replacing a name orphans the inode that had it. link(2) gives the
//! inode a second place; once forgotten, places are looked up as inodes of their own, since
//! nothing here knows what a disk links. Places in two repositories part as soon as one is written to
//! or gets other attributes, or one is gone ([`Inodes::part`]): from then on they are two files.
//! Numbers are never reused in a mount's life.
//!
//! A directory in which a name appears that the kernel takes for absent is *retired*: its name leads to another
//! inode from then on, and the old one is left to those who hold it, by a descriptor or because they work there.
//!
//! A value that is written in place is a file of its own until it is committed, so its writer has
//! an inode of its own ([`Role::Spare`], [`Role::Draft`]). No name leads to it, and so nobody else has
//! it open: what the kernel keeps of the value for readers is never touched by a writer.

mod inode;
mod key;
mod retired;
#[cfg(test)]
mod tests;

pub(super) use key::Key;

use super::Place;
use crate::repository::{Identity, Opened};
use gitmoor_model::room::Type;
use gitmoor_model::{RepoId, RepoPath};
use inode::Inode;
use parking_lot::Mutex;
use retired::Retired;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

/// The root of the mount, by FUSE's convention.
pub(super) const ROOT: u64 = 1;

/// What an inode is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// The file of its name.
    Named,
    /// Given to a process that is about to write the value of this name. Nobody else is given it.
    Spare,
    /// That value in the making.
    Draft,
}

#[derive(Default)]
struct Table {
    inodes: HashMap<u64, Inode>,
    numbers: BTreeMap<Key, u64>,
    /// How many inodes of writers there are of a name.
    writers: BTreeMap<Key, usize>,
    last: u64,
}

/// The inode table of a mount.
pub(super) struct Inodes {
    table: Mutex<Table>,
}

impl Inodes {
    /// A table that knows the root.
    pub(super) fn new(root: Place) -> Self {
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
    pub(super) fn place(&self, ino: u64) -> Option<Place> {
        self.table.lock().inodes.get(&ino)?.places.first().cloned()
    }

    /// All places of an inode.
    pub(super) fn places(&self, ino: u64) -> Vec<Place> {
        let table = self.table.lock();
        let inode = table.inodes.get(&ino);
        inode.map_or(Vec::new(), |inode| inode.places.clone())
    }

    /// How many places an inode has.
    pub(super) fn names(&self, ino: u64) -> usize {
        let table = self.table.lock();
        table.inodes.get(&ino).map_or(0, |inode| inode.places.len())
    }

    /// Whether it has several.
    pub(super) fn is_linked(&self, ino: u64) -> bool {
        self.names(ino) > 1
    }

    /// Each of an inode's places gets an inode of its own when it is looked up again.
    pub(super) fn part(&self, ino: u64) {
        for place in self.places(ino) {
            self.orphan(&place);
        }
    }

    /// The directory that an inode is, if repositories may be in it; `None` of any other.
    pub(super) fn above_repositories(&self, ino: u64) -> Option<Place> {
        match self.table.lock().inodes.get(&ino)?.places.first()? {
            dir @ (Place::Name(_) | Place::Local(_)) => Some(dir.clone()),
            Place::Beside(_) | Place::Repo(..) => None,
        }
    }

    /// The place of an inode that is a value in the making; `None` of any other.
    pub(super) fn draft(&self, ino: u64) -> Option<Place> {
        let table = self.table.lock();
        let inode = table.inodes.get(&ino)?;
        match inode.role {
            Role::Draft => inode.places.first().cloned(),
            Role::Named | Role::Spare => None,
        }
    }

    /// An operation on an inode is done.
    pub(super) fn used(&self, ino: u64) {
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
    pub(super) fn look_up(&self, place: &Place, found: Option<Identity>) -> u64 {
        let mut table = self.table.lock();
        let mut ino = table.number(place);
        if table
            .inodes
            .get_mut(&ino)
            .is_some_and(|inode| !inode.is_at(place) || !inode.is(found))
        {
            table.orphan(&Key::of(place));
            ino = table.number(place);
        }
        if let Some(inode) = table.inodes.get_mut(&ino) {
            inode.lookups += 1;
        }
        ino
    }

    /// A new inode for a process that is about to write a value, and a lookup of it to be forgotten.
    pub(super) fn spare(&self, place: &Place) -> u64 {
        let mut table = self.table.lock();
        table.last += 1;
        let ino = table.last;
        let inode = Inode {
            role: Role::Spare,
            ..Inode::at(place.clone(), 1)
        };
        table.inodes.insert(ino, inode);
        *table.writers.entry(Key::of(place)).or_default() += 1;
        ino
    }

    /// What an inode is for.
    pub(super) fn role(&self, ino: u64) -> Option<Role> {
        Some(self.table.lock().inodes.get(&ino)?.role)
    }

    /// It is opened: a spare one becomes the draft, or one more inode of a reader.
    pub(super) fn take(&self, ino: u64, role: Role) {
        let mut table = self.table.lock();
        let Some(inode) = table.inodes.get_mut(&ino) else {
            return;
        };
        let was = std::mem::replace(&mut inode.role, role);
        let place = inode.places.first().cloned();
        if let (Some(place), true, Role::Named) = (place, was != Role::Named, role) {
            table.writer_left(&Key::of(&place));
        }
    }

    /// Whether a value of this name is in the making, or the kernel may not have forgotten that.
    pub(super) fn has_writers(&self, place: &Place) -> bool {
        let table = self.table.lock();
        !table.writers.is_empty() && table.writers.contains_key(&Key::of(place))
    }

    /// The file of an inode has got one more name.
    pub(super) fn link(&self, ino: u64, to: &Place) {
        let mut table = self.table.lock();
        table.orphan(&Key::of(to));
        if let Some(inode) = table.inodes.get_mut(&ino) {
            inode.places.push(to.clone());
            table.numbers.insert(Key::of(to), ino);
        }
    }

    /// The number of a place that the kernel knows; `None` when it does not.
    pub(super) fn known(&self, place: &Place) -> Option<u64> {
        self.known_by(&Key::of(place))
    }

    /// The same by its key.
    pub(super) fn known_by(&self, key: &Key) -> Option<u64> {
        self.table.lock().numbers.get(key).copied()
    }

    /// Whether the kernel has just got to know it, or is about to.
    pub(super) fn is_first_lookup(&self, ino: u64) -> bool {
        let table = self.table.lock();
        let inode = table.inodes.get(&ino);
        inode.is_none_or(|inode| inode.lookups <= 1)
    }

    /// The kernel is told of which kind an inode is.
    pub(super) fn is_shown_as(&self, ino: u64, kind: Type) {
        if let Some(inode) = self.table.lock().inodes.get_mut(&ino) {
            inode.kind = Some(kind);
        }
    }

    /// Whether that is a directory.
    pub(super) fn is_shown_as_directory(&self, ino: u64) -> bool {
        let table = self.table.lock();
        let inode = table.inodes.get(&ino);
        inode.is_some_and(|inode| inode.kind == Some(Type::Directory))
    }

    /// What the kernel knows a place as.
    pub(super) fn kind_by(&self, key: &Key) -> Option<Type> {
        let table = self.table.lock();
        table.inodes.get(table.numbers.get(key)?)?.kind
    }

    /// Whether an inode may be of this kind.
    pub(super) fn may_be(&self, ino: u64, kind: Type) -> bool {
        let table = self.table.lock();
        let known = table.inodes.get(&ino).and_then(|inode| inode.kind);
        known.is_none_or(|known| known == kind)
    }

    /// The name of a directory leads to another inode from now on. Answers which one it was.
    pub(super) fn retire(&self, key: &Key) -> Option<u64> {
        let mut table = self.table.lock();
        // The root of the mount stays what it is.
        let ino = *table.numbers.get(key).filter(|ino| **ino != ROOT)?;
        table.numbers.remove(key);
        if let Some(inode) = table.inodes.get_mut(&ino) {
            inode.retired = Some(Retired::default());
        }
        Some(ino)
    }

    /// Whether a thread is to walk its path again instead of using a retired directory.
    pub(super) fn is_retired_for(&self, ino: u64, tid: u32) -> bool {
        let mut table = self.table.lock();
        let inode = table.inodes.get_mut(&ino);
        let retired = inode.and_then(|inode| inode.retired.as_mut());
        retired.is_some_and(|retired| retired.is_for(tid))
    }

    /// All paths of a repository that the kernel knows.
    pub(super) fn paths_of(&self, repo: RepoId) -> Vec<(RepoPath, u64)> {
        let (first, table) = (Key::in_repo(repo, &RepoPath::root()), self.table.lock());
        let from = table.numbers.range(first..);
        let of_repo = from.take_while(|(key, _)| key.repo == Some(repo));
        let path = |ino: u64| match table.inodes.get(&ino)?.places.first()? {
            Place::Repo(_, path) => Some((path.clone(), ino)),
            Place::Name(_) | Place::Beside(_) | Place::Local(_) => None,
        };
        of_repo.filter_map(|(_, ino)| path(*ino)).collect()
    }

    /// All of a repository that the kernel knows.
    pub(super) fn of_repository(&self, repo: RepoId) -> Vec<u64> {
        let (repo, path) = (Some(repo), Vec::new());
        let table = self.table.lock();
        let from = table.numbers.range(Key { repo, path }..);
        let of_repo = from.take_while(|(key, _)| key.repo == repo);
        of_repo.map(|(_, ino)| *ino).collect()
    }

    /// Bytes of the longest path beneath a place that the kernel knows, from there on.
    pub(super) fn reach(&self, place: &Place) -> usize {
        let key = Key::of(place);
        let table = self.table.lock();
        let beneath = table.numbers.range(key.beneath());
        let longest = beneath.map(|(beneath, _)| beneath.path.len()).max();
        longest.unwrap_or_default().saturating_sub(key.path.len())
    }

    /// The kernel forgot `n` lookups.
    pub(super) fn forget(&self, ino: u64, n: u64) {
        let mut table = self.table.lock();
        let Some(inode) = table.inodes.get_mut(&ino) else {
            return;
        };
        inode.lookups = inode.lookups.saturating_sub(n);
        if inode.lookups > 0 || ino == ROOT {
            return;
        }
        let Some(inode) = table.inodes.remove(&ino) else {
            return;
        };
        for key in inode.places.iter().map(Key::of) {
            match inode.role {
                Role::Named if table.numbers.get(&key) == Some(&ino) => {
                    table.numbers.remove(&key);
                }
                Role::Named => {}
                Role::Spare | Role::Draft => table.writer_left(&key),
            }
        }
    }

    /// Remembers an open file for fstat(2) after its name is gone.
    pub(super) fn opened(&self, ino: u64, opened: &Arc<Opened>) {
        if let Some(inode) = self.table.lock().inodes.get_mut(&ino) {
            // Only where it would grow: one file may be open any number of times.
            if inode.opened.len() == inode.opened.capacity() {
                inode.opened.retain(|opened| opened.strong_count() > 0);
            }
            inode.opened.push(Arc::downgrade(opened));
        }
    }

    /// An open file of an inode, if there is one.
    pub(super) fn an_opened(&self, ino: u64) -> Option<Arc<Opened>> {
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
    pub(super) fn is(&self, ino: u64, found: Option<Identity>) -> bool {
        let mut table = self.table.lock();
        let inode = table.inodes.get_mut(&ino);
        inode.is_some_and(|inode| !inode.places.is_empty() && inode.is(found))
    }

    /// It is open for writing. Closing it may make another file of it, of which it stays
    /// the inode, so that none of its writers is lost.
    pub(super) fn writing(&self, ino: u64) {
        if let Some(inode) = self.table.lock().inodes.get_mut(&ino) {
            inode.writers += 1;
        }
    }

    /// One open file that may write is closed.
    pub(super) fn written(&self, ino: u64) {
        if let Some(inode) = self.table.lock().inodes.get_mut(&ino)
            && inode.writers > 0
        {
            inode.writers -= 1;
            inode.identity = None;
        }
    }

    /// Its file has become another one, at its own name.
    pub(super) fn became(&self, ino: u64, found: Option<Identity>) {
        if let Some(inode) = self.table.lock().inodes.get_mut(&ino) {
            inode.identity = found;
        }
    }

    /// The directory of an inode has become a repository.
    pub(super) fn becomes(&self, ino: u64, repo: &Place) {
        let mut table = self.table.lock();
        let Some(inode) = table.inodes.get_mut(&ino) else {
            return;
        };
        let before = std::mem::replace(&mut inode.places, vec![repo.clone()]);
        for key in before.iter().map(Key::of) {
            if table.numbers.get(&key) == Some(&ino) {
                table.numbers.remove(&key);
            }
        }
        table.numbers.entry(Key::of(repo)).or_insert(ino);
    }

    /// The name is gone (or means another file now).
    pub(super) fn orphan(&self, place: &Place) {
        let mut table = self.table.lock();
        table.orphan(&Key::of(place));
    }

    /// The file at `from`, with everything beneath it, is at `to` now, where it was found: a
    /// lock file becomes a ref.
    pub(super) fn rename(&self, from: &Place, to: &Place, found: Option<Identity>) {
        let mut table = self.table.lock();
        table.orphan(&Key::of(to));
        for (key, ino) in table.within(from) {
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

    /// A place and what lies beneath it. A rename comes here with the lock held that everybody needs, so this takes no
    /// longer than there is to move.
    fn within(&self, place: &Place) -> Vec<(Key, u64)> {
        let key = Key::of(place);
        let beneath = self.numbers.range(key.beneath());
        let own = self.numbers.get_key_value(&key);
        let all = own.into_iter().chain(beneath);
        all.map(|(key, ino)| (key.clone(), *ino)).collect()
    }

    fn writer_left(&mut self, key: &Key) {
        if let Some(writers) = self.writers.get_mut(key) {
            *writers -= 1;
            if *writers == 0 {
                self.writers.remove(key);
            }
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
