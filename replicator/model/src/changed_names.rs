//! Which names of a repository a command changes, for machines whose kernels remember names.

use super::{
    Command, FileAdd, HooksChange, ImportStep, Importing, PACKED_REFS, Repacking, RepoChange,
    RepoId, RepoPath,
};

/// Names of a repository.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChangedNames {
    /// What stands at these paths, if anything, is another thing than before.
    These(Vec<RepoPath>),
    /// What stands at any path may be.
    Any,
}

impl Command {
    /// The names that may stand for another thing once the command is applied; `None` of a command that changes none
    /// of a repository. Names of the namespace, and of repositories inside others, are not among them.
    pub fn changed_names(&self) -> Option<(RepoId, ChangedNames)> {
        match self {
            Self::Commit(change) | Self::Publish { change, .. } | Self::MoveRefs { change, .. } => {
                Some(of_change(change))
            }
            Self::Borrow(borrowing) => Some(of_change(&borrowing.change)),
            Self::Repack(repacking) => Some(of_repacking(repacking)),
            Self::RestoreFiles { repo, files } => {
                let paths = files.iter().map(|file| file.path.clone());
                Some((*repo, ChangedNames::These(paths.collect())))
            }
            Self::DeleteRepo { id }
            | Self::RestoreRepo { id, .. }
            | Self::SetFormat { id, .. }
            | Self::SetSetting { id, .. }
            | Self::SetSettings { id, .. } => Some((*id, ChangedNames::Any)),
            Self::Import(importing) => Some((changed_by_import(importing), ChangedNames::Any)),
            Self::Hooks(change) => match &**change {
                HooksChange::Own { repo, .. } => Some((*repo, ChangedNames::Any)),
                HooksChange::Report(_) | HooksChange::Promote { .. } => None,
            },
            Self::CreateDirectory { .. }
            | Self::RemoveDirectory { .. }
            | Self::CreateRepo { .. }
            | Self::Rename { .. }
            | Self::Name(_)
            | Self::Nest(_)
            | Self::Fork { .. }
            | Self::SetLimit { .. }
            | Self::ExpireRepo { .. }
            | Self::PurgeRepo { .. }
            | Self::MarkDeleted(_)
            | Self::RecordDeletion { .. }
            | Self::Touch { .. }
            | Self::FoundCluster { .. }
            | Self::Invite { .. }
            | Self::InviteClient { .. }
            | Self::Admit { .. }
            | Self::Relocate { .. }
            | Self::RemoveMember { .. }
            | Self::SettleStore(_)
            | Self::ClaimStore(_)
            | Self::Access(_) => None,
        }
    }
}

fn of_change(change: &RepoChange) -> (RepoId, ChangedNames) {
    let refs = change.refs.iter().map(|edit| edit.name.clone());
    let packed = (!change.packed.is_empty()).then(|| RepoPath::new(PACKED_REFS));
    let removed = change.remove.iter().flat_map(|removal| &removal.paths);
    let names = refs
        .chain(packed.flatten())
        .chain(added(&change.add))
        .chain(removed.cloned());
    (change.repo, ChangedNames::These(names.collect()))
}

fn of_repacking(repacking: &Repacking) -> (RepoId, ChangedNames) {
    let names = added(&repacking.add).chain(repacking.remove.iter().cloned());
    (repacking.repo, ChangedNames::These(names.collect()))
}

fn added(files: &[FileAdd]) -> impl Iterator<Item = RepoPath> {
    files.iter().map(|file| file.path.clone())
}

fn changed_by_import(importing: &Importing) -> RepoId {
    match importing.step {
        ImportStep::GiveTo { repo, .. } => repo,
        ImportStep::Begin { .. }
        | ImportStep::Reach { .. }
        | ImportStep::Store(_)
        | ImportStep::Verify { .. }
        | ImportStep::Drop(_)
        | ImportStep::Refs { .. }
        | ImportStep::Finish { .. }
        | ImportStep::Abandon => importing.id,
    }
}
