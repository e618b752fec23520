//! One inode.

use super::retired::Retired;
use super::{Place, Role};
use crate::repository::{Identity, Opened};
use gitmoor_model::room::Type;
use std::sync::Weak;

pub(super) struct Inode {
    pub(super) role: Role,
    /// Where it stands; nowhere once the last name is gone.
    pub(super) places: Vec<Place>,
    /// How many lookups the kernel has not forgotten.
    pub(super) lookups: u64,
    /// Its open files, for fstat(2) without a name; some may be closed.
    pub(super) opened: Vec<Weak<Opened>>,
    /// Which file it is, once that is known.
    pub(super) identity: Option<Identity>,
    /// Open files that may write. While there are any it stays the inode of its name,
    /// whichever file that is.
    pub(super) writers: usize,
    /// What the kernel was told that it is; it cannot become of another kind.
    pub(super) kind: Option<Type>,
    pub(super) retired: Option<Retired>,
}

impl Inode {
    pub(super) fn at(place: Place, lookups: u64) -> Self {
        Self {
            role: Role::Named,
            places: vec![place],
            lookups,
            opened: Vec::new(),
            identity: None,
            writers: 0,
            kind: None,
            retired: None,
        }
    }

    /// Whether what stands at its place is of the kind that it is of.
    pub(super) fn is_at(&self, place: &Place) -> bool {
        self.places.first().is_none_or(|known| known.is_like(place))
    }

    pub(super) fn is(&mut self, found: Option<Identity>) -> bool {
        self.identity = self.identity.or(found);
        self.writers > 0 || found.is_none() || found == self.identity
    }
}
