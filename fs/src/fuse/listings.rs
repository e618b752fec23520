//! Listings of open directories, each as it was when the directory was opened or rewound.
//!
//! The kernel fetches a listing in pieces, so it is kept between them, in bounded memory: each user has a
//! share of [`BYTES`]. When a user's share is full, what was listed first for that user goes. A directory whose
//! listing is gone is listed anew and goes on behind the last name that was told: a name that was
//! there all the while is told once. One listing larger than a share is kept, as the only one of its user.

use crate::shares::Shares;
use crate::tree::Listed;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Of all listings that are kept.
const BYTES: u64 = 64 << 20;

/// Of one name, besides its own bytes: the entry, and the allocator's.
const EACH: u64 = 48;

/// `.` and `..`, which come first.
const DOTS: usize = 2;

pub(super) struct Listings(Mutex<State>);

struct State {
    open: HashMap<u64, Directory>,
    bytes: Shares<u32>,
    /// The directories of each user whose listings are kept, oldest first.
    kept: HashMap<u32, VecDeque<u64>>,
}

struct Directory {
    user: u32,
    kept: Option<Kept>,
    cursor: Cursor,
}

/// How far a directory is told: the number behind the last name, and that.
#[derive(Clone, Default)]
struct Cursor {
    next: u64,
    last: Vec<u8>,
}

struct Kept {
    listing: Listing,
    /// What it takes of its user's share.
    bytes: u64,
}

/// Names, `.` and `..` first, the others in order.
#[derive(Clone)]
pub(super) struct Listing {
    names: Arc<Vec<Listed>>,
    /// The number of the first, as the kernel counts. Names that came or went before a piece shift it.
    first: i64,
}

impl Listing {
    /// The names from a number on, each with the number behind it.
    pub(super) fn from(&self, offset: u64) -> impl Iterator<Item = (u64, &Listed)> {
        let skipped = usize::try_from(offset as i64 - self.first).unwrap_or(0);
        let numbers = (self.first + skipped as i64 + 1) as u64..;
        numbers.zip(self.names.iter().skip(skipped))
    }

    fn bytes(&self) -> u64 {
        let of = |listed: &Listed| EACH + listed.name.len() as u64;
        self.names.iter().map(of).sum()
    }
}

impl Listings {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            open: HashMap::new(),
            bytes: Shares::of(BYTES),
            kept: HashMap::new(),
        }))
    }

    /// The listing of an open directory for a piece that begins at a number, if it is kept.
    pub(super) fn kept(&self, fh: u64, offset: u64) -> Option<Listing> {
        let state = self.0.lock();
        let kept = state.open.get(&fh)?.kept.as_ref()?;
        (offset > 0).then(|| kept.listing.clone())
    }

    /// Keeps what a directory was listed as for a piece that begins at a number. `None` if that is not the first
    /// piece, and there was no first one.
    pub(super) fn keep(
        &self,
        fh: u64,
        user: u32,
        offset: u64,
        names: Vec<Listed>,
    ) -> Option<Listing> {
        let mut state = self.0.lock();
        let cursor = match state.close(fh) {
            _ if offset == 0 => Cursor::default(),
            cursor => cursor?,
        };
        let listing = Listing {
            first: cursor.first(&names),
            names: Arc::new(names),
        };
        state.insert(fh, user, cursor, listing.clone());
        Some(listing)
    }

    /// Notes how far a directory is told.
    pub(super) fn told(&self, fh: u64, next: u64, last: &[u8]) {
        if let Some(directory) = self.0.lock().open.get_mut(&fh) {
            let last = last.to_vec();
            directory.cursor = Cursor { next, last };
        }
    }

    /// The directory is closed.
    pub(super) fn close(&self, fh: u64) {
        self.0.lock().close(fh);
    }
}

impl Cursor {
    /// The number of the first of the names as they are now, so that the name behind the last one that was told
    /// has the number that was promised for it.
    fn first(&self, names: &[Listed]) -> i64 {
        let told = match usize::try_from(self.next) {
            Ok(dots) if dots <= DOTS => dots,
            Ok(_) | Err(_) => {
                let others = &names[DOTS.min(names.len())..];
                DOTS + others.partition_point(|listed| listed.name <= self.last)
            }
        };
        self.next as i64 - told as i64
    }
}

impl State {
    fn insert(&mut self, fh: u64, user: u32, cursor: Cursor, listing: Listing) {
        let bytes = listing.bytes();
        let mut counted = self.bytes.take(user, bytes);
        while !counted && self.drop_oldest(user) {
            counted = self.bytes.take(user, bytes);
        }
        let bytes = if counted { bytes } else { 0 };
        let directory = Directory {
            user,
            kept: Some(Kept { listing, bytes }),
            cursor,
        };
        self.open.insert(fh, directory);
        self.kept.entry(user).or_default().push_back(fh);
    }

    /// Makes room among the listings of a user; `false` when there are none.
    fn drop_oldest(&mut self, user: u32) -> bool {
        let Some(oldest) = self.kept.get(&user).and_then(|kept| kept.front().copied()) else {
            return false;
        };
        self.drop_listing(oldest);
        true
    }

    fn drop_listing(&mut self, fh: u64) {
        let Some(directory) = self.open.get_mut(&fh) else {
            return;
        };
        let user = directory.user;
        let Some(kept) = directory.kept.take() else {
            return;
        };
        self.bytes.give_back(user, kept.bytes);
        if let Some(all) = self.kept.get_mut(&user) {
            all.retain(|other| *other != fh);
            if all.is_empty() {
                self.kept.remove(&user);
            }
        }
    }

    /// How far it was told.
    fn close(&mut self, fh: u64) -> Option<Cursor> {
        self.drop_listing(fh);
        Some(self.open.remove(&fh)?.cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gitmoor_model::room::Type;

    const ALICE: u32 = 1;
    const BOB: u32 = 2;

    fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Listed> {
        let all = [".", ".."].into_iter().chain(names);
        let listed = |name: &str| Listed {
            name: name.into(),
            kind: Type::File,
        };
        all.map(listed).collect()
    }

    /// Names of a tenth of a share.
    fn large() -> Vec<Listed> {
        let bytes = BYTES / 2 / 10;
        let long = "x".repeat(1000);
        let count = bytes / (EACH + 1000);
        let all: Vec<_> = (0..count).map(|n| format!("{n:06}{long}")).collect();
        names(all.iter().map(String::as_str))
    }

    fn rest(listing: &Listing, offset: u64) -> Vec<(u64, String)> {
        let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let named = listing.from(offset);
        named.map(|(next, it)| (next, text(&it.name))).collect()
    }

    fn numbered(first: u64, names: &[&str]) -> Vec<(u64, String)> {
        let names = names.iter().map(|name| (*name).to_owned());
        (first..).zip(names).collect()
    }

    #[test]
    fn a_piece_goes_on_where_the_last_ended() {
        let listings = Listings::new();
        let first = listings.keep(7, ALICE, 0, names(["a", "b", "c"]));
        let all = numbered(1, &[".", "..", "a", "b", "c"]);
        assert_eq!(rest(&first.expect("the first"), 0), all);
        let kept = listings.kept(7, 3).expect("kept");
        assert_eq!(rest(&kept, 3), numbered(4, &["b", "c"]));
        assert!(listings.kept(7, 0).is_none(), "rewound");
        listings.close(7);
        assert!(listings.kept(7, 3).is_none());
        assert!(listings.keep(7, ALICE, 3, names(["b"])).is_none());
    }

    #[test]
    fn one_that_had_to_go_goes_on_behind_the_last_name() {
        let listings = Listings::new();
        listings.keep(7, ALICE, 0, names(["b", "d", "f"]));
        listings.told(7, 4, b"d");
        let fill = |fh| drop(listings.keep(fh, ALICE, 0, large()));
        (8..28).for_each(fill);
        assert!(listings.kept(7, 4).is_none(), "no room");
        let again = listings.keep(7, ALICE, 4, names(["a", "c", "d", "e", "f"]));
        let again = again.expect("it was told");
        assert_eq!(rest(&again, 4), numbered(5, &["e", "f"]));
        // The kernel had no use for the last name.
        assert_eq!(rest(&again, 3), numbered(4, &["d", "e", "f"]));
    }

    #[test]
    fn what_one_user_lists_is_bounded_and_takes_nothing_from_others() {
        let listings = Listings::new();
        listings.keep(1, BOB, 0, names(["bobs"]));
        let fill = |fh| drop(listings.keep(fh, ALICE, 0, large()));
        (2..100).for_each(fill);
        let state = listings.0.lock();
        // Half, and half of the listing that came last: it came while less than half was held.
        let one = state.open[&99].kept.as_ref().expect("the last one").bytes;
        assert!(state.bytes.held(ALICE) <= (BYTES + one) / 2);
        assert!(state.kept[&ALICE].len() <= 10);
        drop(state);
        assert!(listings.kept(1, 2).is_some());
        (1..100).for_each(|fh| listings.close(fh));
        let state = listings.0.lock();
        assert_eq!(state.bytes.free(), BYTES);
        assert!(state.kept.is_empty() && state.open.is_empty());
    }

    #[test]
    fn one_larger_than_the_share_is_the_only_one() {
        let listings = Listings::new();
        let huge = || (0..12).flat_map(|_| large()).collect::<Vec<_>>();
        listings.keep(1, ALICE, 0, huge());
        listings.keep(2, ALICE, 0, huge());
        assert!(listings.kept(1, 2).is_none());
        assert!(listings.kept(2, 2).is_some());
    }
}
