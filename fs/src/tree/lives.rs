//! How long the kernel may use what it is told of the tree, and what is noted of that.

use super::absences::Absences;
use super::name_ttl::{absence_ttl, is_moving, name_ttl};
use super::{Entry, Lookup, Place};
use crate::consistency::{NameTtl, TOLD, is_shared};
use crate::repository::context::Context;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Instant;

/// Whether it is noted that the kernel may take a name for absent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    Yes,
    NoRoom,
    /// Nobody else brings the name into being, or the kernel does not remember it.
    NoNeed,
}

pub(super) struct Lives {
    shared: Arc<Context>,
    pub(super) absences: Absences,
    /// When the kernel was last given a name that others may change.
    given: Mutex<Option<Instant>>,
}

impl Lives {
    pub(super) fn new(shared: Arc<Context>) -> Self {
        Self {
            shared,
            absences: Absences::default(),
            given: Mutex::new(None),
        }
    }

    fn is_alone(&self) -> bool {
        self.shared.freshness.is_alone()
    }

    /// Of the name of what stands there.
    pub(super) fn name(&self, place: &Place) -> NameTtl {
        // The kernel takes the name of a lock file along to the ref.
        match is_moving(place) {
            true => NameTtl::Zero,
            false => name_ttl(place, self.is_alone()),
        }
    }

    /// Of "there is no such name".
    pub(super) fn absence(&self, place: &Place) -> NameTtl {
        match absence_ttl(place, self.is_alone()) {
            NameTtl::Zero => NameTtl::Zero,
            _ if is_moving(place) => NameTtl::Zero,
            ttl => ttl,
        }
    }

    /// Of attributes.
    pub(super) fn attributes(&self, place: &Place) -> NameTtl {
        match place {
            Place::Repo(_, path) if !self.is_alone() && is_shared(path) => NameTtl::Told,
            Place::Repo(..) | Place::Name(_) | Place::Beside(_) | Place::Local(_) => NameTtl::Long,
        }
    }

    /// Notes that the kernel may be told of an absence, before it is looked whether the name is there.
    pub(super) fn note_absence(&self, place: &Place) -> Noted {
        match (place, absence_ttl(place, self.is_alone())) {
            (Place::Repo(repo, path), NameTtl::Told) => match self.absences.note(repo.id, path) {
                true => Noted::Yes,
                false => Noted::NoRoom,
            },
            (_, NameTtl::Zero | NameTtl::Told | NameTtl::Long) => Noted::NoNeed,
        }
    }

    /// The name is there.
    pub(super) fn found(&self, noted: Noted, place: &Place) {
        if let (Noted::Yes, Place::Repo(repo, path)) = (noted, place) {
            self.absences.found(repo.id, path);
        }
    }

    /// The kernel is given an answer.
    pub(super) fn given(&self, found: &Lookup) {
        let (Lookup::Absent(ttl) | Lookup::Found(Entry { name_ttl: ttl, .. })) = found;
        if *ttl == NameTtl::Told {
            *self.given.lock() = Some(Instant::now());
        }
    }

    /// Whether the kernel may remember a name that others may change.
    pub(super) fn has_given(&self) -> bool {
        self.given.lock().is_some_and(|at| at.elapsed() < TOLD)
    }
}
