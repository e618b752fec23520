//! What the kernel keeps of the listings of directories (FOPEN_CACHE_DIR), and when it may be used.
//!
//! Each opendir(3) still asks, and whoever is to be shown the present has asked the cluster by then. The directory is
//! listed for it. If the kernel holds this very listing, the reply says so (FOPEN_KEEP_CACHE): the kernel reads the
//! names from its cache, and asks neither for them nor, afterwards, for the attributes of the directory, whose time of
//! last access it would not know. So nobody has to find out what changes a listing, and tell the kernel in time.
//!
//! What the kernel holds follows from what it was told. The cache of a directory is written by its *fillers*: open
//! handles whose reply said FOPEN_CACHE_DIR.
//!
//! - A reply without FOPEN_KEEP_CACHE empties the cache when the kernel takes it. That the kernel has done so is known
//!   when it reads by that handle.
//! - Of a directory that [`Cached::Holds`] a listing, no filler was told names of another since the cache was empty.
//! - A filler that was told others (who rewinds lists anew) leaves a cache that is [`Cached::Unknown`] until all fillers
//!   are closed. A release comes after all that was read by the handle.
//!
//! A directory whose listing was another one than the kernel's is not listed at opendir(3) until two readers in a row
//! were told the same: who lists a directory that changes all the time makes the listing once.

use crate::tree::Listed;
use fuser::FopenFlags;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::mem::discriminant;

/// Directories of which anything is noted, with some 100 bytes each.
const MOST: usize = 20_000;

#[derive(Default)]
pub(super) struct DirCache {
    state: Mutex<State>,
    /// Of the digests: nobody who makes names can make two listings with the same one.
    key: RandomState,
}

/// Of a listing: its names and their kinds, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Digest(u64);

#[derive(Default)]
struct State {
    /// By inode.
    directories: HashMap<u64, Directory>,
    /// The inode of each filler.
    fillers: HashMap<u64, u64>,
    /// Directories that have fillers.
    filled: usize,
}

#[derive(Default)]
struct Directory {
    cached: Cached,
    fillers: usize,
    /// Fillers for which the directory is being listed.
    listing: usize,
    /// What the last filler of an empty cache was told.
    last: Option<Digest>,
    /// Whether the listing was another one at the last look, and has not come to rest since.
    changes: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
enum Cached {
    #[default]
    Unknown,
    /// It is empty as soon as the kernel takes the reply to the opening of this handle.
    EmptiedBy(u64),
    Holds(Digest),
}

/// How a handle is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opening {
    /// The kernel empties its cache and asks for the names.
    Past,
    /// The kernel asks for the names, and leaves its cache to others.
    Beside,
    /// The kernel empties its cache, and fills it.
    Filling,
    /// The kernel reads from its cache.
    Kept,
}

impl Opening {
    pub(super) fn flags(self) -> FopenFlags {
        match self {
            Opening::Past => FopenFlags::empty(),
            Opening::Beside => FopenFlags::FOPEN_KEEP_CACHE,
            Opening::Filling => FopenFlags::FOPEN_CACHE_DIR,
            Opening::Kept => FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE,
        }
    }
}

impl DirCache {
    pub(super) fn digest(&self, listing: &[Listed]) -> Digest {
        let mut hasher = self.key.build_hasher();
        for listed in listing {
            listed.name.hash(&mut hasher);
            discriminant(&listed.kind).hash(&mut hasher);
        }
        Digest(hasher.finish())
    }

    /// Whether a directory that is opened is to be listed, since the kernel may hold what it is listed as.
    pub(super) fn is_compared(&self, ino: u64) -> bool {
        let state = self.state.lock();
        let directory = state.directories.get(&ino);
        directory.is_some_and(|it| matches!(it.cached, Cached::Holds(_)) && !it.changes)
    }

    /// A directory is opened, and was listed as `listing` since that was asked for, if it was.
    pub(super) fn open(&self, ino: u64, fh: u64, listing: Option<Digest>) -> Opening {
        let mut state = self.state.lock();
        if !state.has_room_for(ino) {
            return Opening::Past;
        }
        let directory = state.directories.entry(ino).or_default();
        let opening = directory.open(fh, listing);
        if !matches!(opening, Opening::Filling | Opening::Kept) {
            return opening;
        }
        directory.fillers += 1;
        let is_first = directory.fillers == 1;
        state.filled += usize::from(is_first);
        state.fillers.insert(fh, ino);
        opening
    }

    /// The directory of a handle is about to be listed for it; `None` if the kernel's cache is nothing to that.
    pub(super) fn fill(&self, fh: u64) -> Option<Filling<'_>> {
        let mut state = self.state.lock();
        let ino = *state.fillers.get(&fh)?;
        state.directories.get_mut(&ino)?.listing += 1;
        let cache = self;
        Some(Filling { cache, ino, fh })
    }

    /// A handle is closed.
    pub(super) fn close(&self, fh: u64) {
        let mut state = self.state.lock();
        let Some(ino) = state.fillers.remove(&fh) else {
            return;
        };
        let Some(directory) = state.directories.get_mut(&ino) else {
            return;
        };
        directory.fillers -= 1;
        if directory.cached == Cached::EmptiedBy(fh) {
            directory.cached = Cached::Unknown;
        }
        let was_last = directory.fillers == 0;
        state.filled -= usize::from(was_last);
    }
}

impl State {
    /// Whether a directory is noted or may be. What is forgotten costs the next one who opens it another listing.
    /// At least half goes at a time, so that a place costs a constant time.
    fn has_room_for(&mut self, ino: u64) -> bool {
        if self.directories.len() >= MOST
            && self.filled <= MOST / 2
            && !self.directories.contains_key(&ino)
        {
            self.directories.retain(|_, it| it.fillers > 0);
        }
        self.directories.len() < MOST || self.directories.contains_key(&ino)
    }
}

impl Directory {
    fn open(&mut self, fh: u64, listing: Option<Digest>) -> Opening {
        match (self.cached, listing) {
            (Cached::Holds(held), Some(listing)) if held == listing => {
                // Somebody who lists it now may have seen another one before this.
                return match self.listing {
                    0 => Opening::Kept,
                    _ => Opening::Beside,
                };
            }
            (Cached::Holds(_), Some(_)) => self.changes = true,
            (Cached::Holds(_) | Cached::Unknown | Cached::EmptiedBy(_), _) => {}
        }
        if self.fillers == 0 {
            self.cached = Cached::EmptiedBy(fh);
            return Opening::Filling;
        }
        match (self.cached, listing) {
            (Cached::EmptiedBy(_) | Cached::Holds(_), None) => Opening::Beside,
            (Cached::EmptiedBy(_) | Cached::Holds(_), Some(_)) | (Cached::Unknown, _) => {
                Opening::Past
            }
        }
    }
}

/// While it lives, a directory is listed for a filler.
pub(super) struct Filling<'c> {
    cache: &'c DirCache,
    ino: u64,
    fh: u64,
}

impl Filling<'_> {
    /// What the filler is about to be told.
    pub(super) fn with(self, listing: &[Listed]) {
        let listing = self.cache.digest(listing);
        let mut state = self.cache.state.lock();
        let Some(directory) = state.directories.get_mut(&self.ino) else {
            return;
        };
        match directory.cached {
            Cached::EmptiedBy(fh) if fh == self.fh => {
                directory.changes &= directory.last != Some(listing);
                directory.last = Some(listing);
                directory.cached = Cached::Holds(listing);
            }
            Cached::Holds(held) if held == listing => {}
            Cached::Holds(_) | Cached::EmptiedBy(_) | Cached::Unknown => {
                directory.cached = Cached::Unknown;
            }
        }
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.state.lock();
        if let Some(directory) = state.directories.get_mut(&self.ino) {
            directory.listing -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gitmoor_model::room::Type;

    const DIR: u64 = 7;

    fn names(names: &[&str]) -> Vec<Listed> {
        let listed = |name: &&str| Listed {
            name: (*name).into(),
            kind: Type::File,
        };
        names.iter().map(listed).collect()
    }

    /// Opens the directory while its listing is this one.
    fn open(cache: &DirCache, fh: u64, listing: &[&str]) -> Opening {
        let listing = names(listing);
        let digest = cache.is_compared(DIR).then(|| cache.digest(&listing));
        cache.open(DIR, fh, digest)
    }

    fn list(cache: &DirCache, fh: u64, listing: &[&str]) {
        if let Some(filling) = cache.fill(fh) {
            filling.with(&names(listing));
        }
    }

    /// Opens, lists and closes it.
    fn look(cache: &DirCache, fh: u64, listing: &[&str]) -> Opening {
        let opening = open(cache, fh, listing);
        if opening != Opening::Kept {
            list(cache, fh, listing);
        }
        cache.close(fh);
        opening
    }

    #[test]
    fn the_same_listing_is_kept_and_another_is_not() {
        let cache = DirCache::default();
        assert_eq!(look(&cache, 1, &["a"]), Opening::Filling);
        assert_eq!(look(&cache, 2, &["a"]), Opening::Kept);
        assert_eq!(look(&cache, 3, &["a", "b"]), Opening::Filling);
        assert_eq!(look(&cache, 4, &["a"]), Opening::Filling);
        let directory = Listed {
            name: "a".into(),
            kind: Type::Directory,
        };
        assert_ne!(cache.digest(&names(&["a"])), cache.digest(&[directory]));
        assert_ne!(
            cache.digest(&names(&["ab"])),
            cache.digest(&names(&["a", "b"]))
        );
    }

    #[test]
    fn what_changes_all_the_time_is_listed_once() {
        let cache = DirCache::default();
        look(&cache, 1, &["a"]);
        look(&cache, 2, &["b"]);
        assert!(!cache.is_compared(DIR), "it changes");
        look(&cache, 3, &["c"]);
        assert!(!cache.is_compared(DIR), "it goes on");
        look(&cache, 4, &["c"]);
        assert!(cache.is_compared(DIR), "it has come to rest");
        assert_eq!(look(&cache, 5, &["c"]), Opening::Kept);
    }

    /// The kernel has taken the reply when it reads.
    #[test]
    fn nobody_uses_a_cache_before_it_is_emptied() {
        let cache = DirCache::default();
        assert_eq!(open(&cache, 1, &["a"]), Opening::Filling);
        assert_eq!(open(&cache, 2, &["a"]), Opening::Beside);
        list(&cache, 1, &["a"]);
        assert_eq!(open(&cache, 3, &["a"]), Opening::Kept);
        cache.close(1);
        cache.close(2);
        cache.close(3);
        assert_eq!(open(&cache, 4, &["b"]), Opening::Filling);
        cache.close(4);
        assert_eq!(open(&cache, 5, &["a"]), Opening::Filling, "nobody has read");
    }

    /// Who has it open from before the change may yet write to the cache.
    #[test]
    fn who_still_has_it_open_spoils_it() {
        let cache = DirCache::default();
        open(&cache, 1, &["a"]);
        list(&cache, 1, &["a"]);
        assert_eq!(look(&cache, 2, &["b"]), Opening::Past);
        list(&cache, 1, &["b"]);
        assert_eq!(look(&cache, 3, &["a"]), Opening::Past, "rewound");
        assert_eq!(look(&cache, 4, &["b"]), Opening::Past, "rewound");
        cache.close(1);
        assert_eq!(look(&cache, 5, &["b"]), Opening::Filling);
        look(&cache, 6, &["b"]);
        assert_eq!(look(&cache, 7, &["b"]), Opening::Kept);
    }

    /// What that one was told may be older than what this one has seen.
    #[test]
    fn nothing_is_kept_while_a_filler_lists() {
        let cache = DirCache::default();
        open(&cache, 1, &["a"]);
        list(&cache, 1, &["a"]);
        let filling = cache.fill(1).expect("a filler");
        assert_eq!(open(&cache, 2, &["a"]), Opening::Beside);
        drop(filling);
        assert_eq!(open(&cache, 3, &["a"]), Opening::Kept);
    }

    #[test]
    fn there_is_an_end_to_them() {
        let cache = DirCache::default();
        for ino in 0..MOST as u64 {
            assert_eq!(cache.open(ino, ino, None), Opening::Filling);
        }
        let one_more = MOST as u64;
        assert_eq!(cache.open(one_more, one_more, None), Opening::Past);
        (0..one_more / 2).for_each(|fh| cache.close(fh));
        assert_eq!(cache.open(one_more, one_more, None), Opening::Filling);
        let state = cache.state.lock();
        assert_eq!(state.directories.len(), MOST / 2 + 1);
        assert_eq!(state.filled, MOST / 2 + 1);
    }
}
