//! Loans: a repository comes to name object files that another one, the lender, names already.
//!
//! The borrower gets the rows that the lender's catalog has when the command is applied, whatever became of their
//! times meanwhile. So a key comes to be shared only while somebody names it ([`super::shared_keys`]). A lender
//! without a name lends nothing: gc deletes by the prefix of one that has expired.
//!
//! A file has the same path in both, since only the rows of a key's own path can name it
//! (`super::tombstones`).

use super::apply::{Context, Halt};
use super::audit::AuditEvent;
use super::{Overlay, commit, read, shared_keys, tombstones, trash};
use crate::model::{Borrowing, FileAdd, Loan, Refusal, Relied, RepoId};

pub(super) fn borrow(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    borrowing: &Borrowing,
) -> Result<(), Halt> {
    let mut change = borrowing.change.clone();
    if let Some(as_of) = borrowing.tombstones_as_of {
        tombstones::check_as_of(overlay, change.repo, as_of)?;
    }
    if let Some(unpruned) = borrowing.unpruned {
        trash::check_unpruned(overlay, change.repo, unpruned)?;
    }
    let mut events = Vec::new();
    for loan in &borrowing.loans {
        let lent = lend(overlay, change.repo, loan)?;
        let (files, from) = (lent.len() as u64, loan.from);
        events.push(AuditEvent::Borrowed { files, from });
        change.add.extend(lent);
    }
    commit::commit_with(overlay, context, &change, events)
}

/// What a lender has of it, whose keys the borrower may name from then on.
fn lend(
    overlay: &mut Overlay<'_>,
    borrower: RepoId,
    Loan { from, files }: &Loan,
) -> Result<Vec<FileAdd>, Halt> {
    let is_there = read::repo(overlay, *from)?.is_some();
    let mut lent = Vec::new();
    for Relied { path, digest } in files {
        let entry = read::file(overlay, *from, path)?;
        let entry = entry.filter(|entry| is_there && entry.digest == *digest);
        let Some(entry) = entry else {
            let (from, path) = (*from, path.clone());
            return Err(Refusal::NotLent { from, path }.into());
        };
        shared_keys::share(overlay, borrower, &entry);
        lent.push(FileAdd {
            path: path.clone(),
            blocks: read::blocks(overlay, *from, path)?,
            entry,
        });
    }
    Ok(lent)
}
