//! What changed elsewhere and is no matter of reading it anew, as the replicator tells it.

use gitmoor_replicator::Observer;
use gitmoor_replicator::model::{Command, RepoId};
use parking_lot::Mutex;

/// Collects it for the file system, which may end before the replicator does.
#[derive(Default)]
pub struct Elsewhere(Mutex<Deleted>);

/// Repositories that this mount may have to let go of.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// None.
    #[default]
    None,
    /// These were deleted.
    These(Vec<RepoId>),
    /// Any may have been.
    Any,
}

impl Elsewhere {
    /// What was deleted since this was last asked.
    pub(crate) fn take_deleted(&self) -> Deleted {
        std::mem::take(&mut self.0.lock())
    }
}

impl Observer for Elsewhere {
    fn applied(&self, command: &Command) {
        let Command::DeleteRepo { id } = command else {
            return;
        };
        let mut deleted = self.0.lock();
        match &mut *deleted {
            Deleted::None => *deleted = Deleted::These(vec![*id]),
            Deleted::These(ids) => ids.push(*id),
            Deleted::Any => {}
        }
    }

    fn replaced(&self) {
        *self.0.lock() = Deleted::Any;
    }
}
