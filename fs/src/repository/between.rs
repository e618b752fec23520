//! link(2) and rename(2) of object files from one repository to another of the same mount.

use super::{Caller, Found, Repository};
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::repository::objects::Named;
use gitmoor_model::RepoPath;
use gitmoor_model::name;
use gitmoor_model::room::{Room, room, takes};
use std::sync::atomic::{AtomicU64, Ordering};

/// Two repositories, and who acts: what that one has read of each.
pub(crate) struct Between<'a> {
    pub(crate) from: (&'a Repository, &'a Caller),
    pub(crate) to: (&'a Repository, &'a Caller),
}

/// How an object file comes from another repository.
enum Crossing {
    /// It is in the making, and goes on in the same directory of this machine.
    Making,
    /// It has a final name, and gets the same here.
    Final,
}

/// Which of them; what can be neither is refused as between file systems.
fn crossing(source: &Found, from: &RepoPath, to: &RepoPath) -> FsResult<Crossing> {
    match (source, name::kind(from)) {
        (Found::Real(meta), None) if meta.is_file() => Ok(Crossing::Making),
        (Found::Real(_) | Found::Object(_), Some(_)) if from == to => Ok(Crossing::Final),
        _ => Err(FsError::CrossRoom),
    }
}

impl Between<'_> {
    /// rename(2).
    ///
    /// A file in the making (`git repack --filter-to`) moves into the other one's staging, then to its name. A final
    /// one is borrowed, and that is durable before its first repository loses it.
    pub(crate) fn rename(&self, from: &RepoPath, to: &RepoPath, replace: bool) -> FsResult<Named> {
        let ((left, leaving), (entered, entering)) = (self.from, self.to);
        let source = self.source(from, to)?;
        let target = entered.find(to)?;
        if let Some(target) = &target {
            entered.check_replace(&source, target, to, replace)?;
        }
        if let Crossing::Final = crossing(&source, from, to)? {
            self.borrow(to)?;
            let published = entered.transactions.publish_borrowed();
            published.inspect_err(|_| entered.objects.loans().give_back(to))?;
            let gone = left.unlink(from, leaving);
            if gone.is_err() && target.is_none() {
                // It has not moved, then.
                entered.unlink(to, entering)?;
            }
            return gone.map(|()| Named::File);
        }
        let scratch = self.scratch()?;
        entered.files.rename_from(&left.files, from, &scratch)?;
        let renamed = entered.rename(&scratch, to, replace, entering);
        renamed.inspect_err(|_| {
            // Back to where it was; if even that fails it stays in the making here.
            let _ = left.files.rename_from(&entered.files, &scratch, from);
        })
    }

    /// link(2): whether both names are of one file for whoever looks. A final file is borrowed
    /// ([`super::objects::Loans`]), and costs no byte.
    pub(crate) fn link(&self, from: &RepoPath, to: &RepoPath) -> FsResult<bool> {
        let ((lender, _), (other, caller)) = (self.from, self.to);
        let source = self.source(from, to)?;
        if other.find(to)?.is_some() {
            return Err(FsError::Exists);
        }
        match crossing(&source, from, to)? {
            Crossing::Final => self.borrow(to).map(|()| true),
            Crossing::Making if name::kind(to).is_none() => {
                other.files.link_from(&lender.files, from, to)?;
                other.objects.began(to);
                Ok(true)
            }
            Crossing::Making => {
                let scratch = self.scratch()?;
                other.files.link_from(&lender.files, from, &scratch)?;
                let renamed = other.rename(&scratch, to, false, caller);
                if renamed.is_err() {
                    other.files.unlink_if_there(&scratch)?;
                }
                renamed.map(|_| false)
            }
        }
    }

    fn source(&self, from: &RepoPath, to: &RepoPath) -> FsResult<Found> {
        let source = self.from.0.find(from)?.ok_or(FsError::NotFound)?;
        if [from, to].iter().any(|path| room(path) != Room::Objects) {
            return Err(FsError::CrossRoom);
        }
        match takes(to, source.kind()) {
            true => Ok(source),
            false => Err(FsError::Invalid),
        }
    }

    /// A new name in the making.
    fn scratch(&self) -> FsResult<RepoPath> {
        static MOVED: AtomicU64 = AtomicU64::new(0);
        let (repo, caller) = self.to;
        let (pid, moved) = (caller.read.pid, MOVED.fetch_add(1, Ordering::Relaxed));
        let scratch = RepoPath::new(format!("objects/tmp_moved_{pid}_{moved}"));
        let scratch = scratch.expect("a valid path");
        match repo.files.stat(&scratch)? {
            Some(_) => Err(FsError::CrossRoom),
            None => Ok(scratch),
        }
    }

    /// Has a final file in both. What the lender has not stored yet it stores first.
    fn borrow(&self, path: &RepoPath) -> FsResult<()> {
        let ((lender, _), (borrower, _)) = (self.from, self.to);
        if let Some(Found::Real(_)) = lender.find(path)? {
            lender.transactions.publish_one(path, "a link")?;
        }
        let lent = match lender.find(path)? {
            Some(Found::Object(_)) => lender.objects.loans().lend(path)?,
            // Somebody writes to it.
            Some(_) | None => None,
        };
        let lent = lent.ok_or(FsError::CrossRoom)?;
        if name::holds_objects(path) {
            borrower.objects.check_quota_of(lent.size())?;
        }
        borrower.objects.loans().borrow(lent)?;
        failpoint::BORROWED.hit();
        Ok(())
    }
}
