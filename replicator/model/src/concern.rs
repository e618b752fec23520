//! Whose business a command is: what decides who may propose it.

use super::{
    Borrowing, Command, Deletions, HooksChange, ImportStep, Importing, NameChange, NamePath,
    NameStep, NestStep, Nesting, RepoId,
};
use std::collections::BTreeSet;

/// What a command is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concern<'a> {
    /// The cluster itself: who is in it, and where its objects are. Only nodes propose it.
    Cluster,
    /// Repositories whose names do not stand in the command, or what is granted to them.
    AllRepositories,
    /// What stands, or shall stand, at a path of the namespace.
    Name(&'a NamePath),
    /// A repository, wherever it stands now.
    Repo(RepoId),
    /// A file, a symbolic link or a repository that has this name, or shall have it.
    Leaf(&'a NamePath),
    /// Whatever stands at a path, with all that is beneath it.
    Tree(&'a NamePath),
    /// The machine that proposes it, and no other.
    Proposer,
}

impl Command {
    /// All that it is about, which is never nothing.
    pub fn concerns(&self) -> Vec<Concern<'_>> {
        match self {
            Self::FoundCluster { .. }
            | Self::Invite { .. }
            | Self::Admit { .. }
            | Self::Relocate { .. }
            | Self::RemoveMember { .. }
            | Self::SettleStore(_)
            | Self::InviteClient { .. }
            | Self::Access(_) => vec![Concern::Cluster],
            Self::CreateDirectory { path }
            | Self::RemoveDirectory { path }
            | Self::CreateRepo { path, .. } => vec![Concern::Name(path)],
            // All that is in a directory moves with it.
            Self::Rename { from, to } => vec![Concern::Tree(from), Concern::Name(to)],
            Self::RestoreRepo { id, path } => vec![Concern::Repo(*id), Concern::Name(path)],
            Self::Fork { from, path, .. } => vec![Concern::Repo(*from), Concern::Name(path)],
            // Who may remove everything may also say for which state it is kept.
            Self::SetLimit { .. } | Self::ClaimStore(_) => vec![Concern::AllRepositories],
            Self::DeleteRepo { id }
            | Self::SetFormat { id, .. }
            | Self::SetSetting { id, .. }
            | Self::SetSettings { id, .. }
            | Self::ExpireRepo { id, .. }
            | Self::PurgeRepo { id } => vec![Concern::Repo(*id)],
            Self::RestoreFiles { repo, .. }
            | Self::RecordDeletion { repo, .. }
            | Self::Touch { repo, .. } => vec![Concern::Repo(*repo)],
            Self::Commit(change) | Self::Publish { change, .. } | Self::MoveRefs { change, .. } => {
                vec![Concern::Repo(change.repo)]
            }
            Self::MarkDeleted(deletions) => deletions.concerns(),
            Self::Repack(repacking) => vec![Concern::Repo(repacking.repo)],
            Self::Borrow(borrowing) => borrowing.concerns(),
            Self::Import(importing) => importing.concerns(),
            Self::Name(change) => change.concerns(),
            Self::Nest(nesting) => nesting.concerns(),
            Self::Hooks(change) => vec![change.concern()],
        }
    }
}

impl NameChange {
    fn concerns(&self) -> Vec<Concern<'_>> {
        match &self.step {
            NameStep::Link { .. }
            | NameStep::Write { .. }
            | NameStep::Touch { .. }
            | NameStep::Unlink
            | NameStep::Become(_) => vec![Concern::Leaf(&self.path)],
            NameStep::Restore(id) => vec![Concern::Repo(*id), Concern::Leaf(&self.path)],
            NameStep::Move { to, .. } => vec![Concern::Tree(&self.path), Concern::Leaf(to)],
        }
    }
}

impl Nesting {
    /// What is inside a repository is a matter of those whose that is.
    fn concerns(&self) -> Vec<Concern<'_>> {
        let owner = Concern::Repo(self.inside.owner);
        match self.step {
            NestStep::Make => vec![owner],
            NestStep::Move | NestStep::Restore => vec![owner, Concern::Repo(self.repo)],
        }
    }
}

impl Deletions {
    /// A key lies under the id of the repository whose it is.
    fn concerns(&self) -> Vec<Concern<'_>> {
        let owner = |key: &String| key.split_once('/')?.0.parse::<RepoId>().ok();
        let owners: BTreeSet<_> = self.leftovers.iter().filter_map(owner).collect();
        let all = std::iter::once(self.repo).chain(owners);
        all.map(Concern::Repo).collect()
    }
}

impl HooksChange {
    fn concern(&self) -> Concern<'_> {
        match self {
            Self::Report(_) => Concern::Proposer,
            Self::Promote { .. } => Concern::Cluster,
            Self::Own { repo, .. } => Concern::Repo(*repo),
        }
    }
}

impl Borrowing {
    /// Who borrows a file may read it from then on.
    fn concerns(&self) -> Vec<Concern<'_>> {
        let lenders = self.loans.iter().map(|loan| loan.from);
        let all = std::iter::once(self.change.repo).chain(lenders);
        all.map(Concern::Repo).collect()
    }
}

impl Importing {
    fn concerns(&self) -> Vec<Concern<'_>> {
        match &self.step {
            ImportStep::Begin { path, borrower, .. } => {
                let borrower = borrower.map(Concern::Repo);
                std::iter::once(Concern::Name(path))
                    .chain(borrower)
                    .collect()
            }
            ImportStep::GiveTo { repo, .. } => vec![Concern::Repo(self.id), Concern::Repo(*repo)],
            ImportStep::Reach { .. }
            | ImportStep::Store(_)
            | ImportStep::Verify { .. }
            | ImportStep::Drop(_)
            | ImportStep::Refs { .. }
            | ImportStep::Finish { .. }
            | ImportStep::Abandon => vec![Concern::Repo(self.id)],
        }
    }
}
