//! Back from the trash: the object files of a repository, and what `rm -rf`
//! removed of one piece by piece.

use super::{PER_ENTRY, Trash};
use gitmoor_fs::FsError;
use gitmoor_model::name;
use gitmoor_model::{
    Actor, Change, Command, Expect, RefEdit, RefEntry, RepoChange, RepoId, RepoPath, TrashId,
    Version, hex,
};
use gitmoor_replicator::read;
use gitmoor_replicator::state::{AuditEvent, RefMove, RefValue, Trail};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// What a restoration gave back.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Restored {
    /// How many object files came back.
    pub files: u64,
    /// Names of the refs that came back, `HEAD` among them.
    pub refs: Vec<String>,
    /// What was deleted with them and cannot be given back, with the reason.
    pub lost: Vec<String>,
}

impl Restored {
    /// Adds what came back of a repository inside this one.
    pub fn add(&mut self, inner: &str, restored: Self) {
        let named = |what: String| format!("{inner}: {what}");
        self.files += restored.files;
        self.refs.extend(restored.refs.into_iter().map(named));
        self.lost.extend(restored.lost.into_iter().map(named));
    }
}

impl Trash {
    /// The repositories in the trash that stood inside one of this name, in the order of their names, each with the
    /// rest of its name: of those of one name the last.
    pub fn removed_inside(&self, name: &str) -> Result<Vec<(RepoId, String)>, FsError> {
        let mut trashed = read::trashed_repos(self.fs.replica().view())?;
        trashed.sort_by_key(|trashed| trashed.version);
        let beneath = trashed.iter().filter_map(|trashed| {
            let path = trashed.repo.path.to_string();
            let rest = path.strip_prefix(name).filter(|rest| rest.starts_with('/'));
            Some((rest?.to_owned(), trashed.repo.id))
        });
        let last: BTreeMap<_, _> = beneath.collect();
        Ok(last.into_iter().map(|(rest, id)| (id, rest)).collect())
    }

    /// A repository came back from the trash. If it was emptied before it was deleted,
    /// as `rm -rf` does, its object files and refs are given back too.
    pub fn repo_restored(&self, id: RepoId, actor: &Actor) -> Result<Restored, FsError> {
        self.fs.close_repository(id);
        self.fs.repository(id)?;
        let head = RepoPath::new("HEAD").expect("a valid path");
        let top = RepoPath::root();
        let emptied = read::reference(self.fs.replica().view(), id, &head)?.is_none()
            && read::files_in(self.fs.replica().view(), id, &top)?.is_empty();
        if !emptied {
            return Ok(Restored::default());
        }
        let files = self.restore_objects(id, actor)?;
        let restored = self.restore_refs(id, actor)?;
        Ok(Restored { files, ..restored })
    }

    /// Gives the deleted objects of a repository back: loose objects, packs and
    /// their indexes. Everything else can be made again from these. Answers how many files.
    pub fn restore_objects(&self, id: RepoId, actor: &Actor) -> Result<u64, FsError> {
        // A deletion that is not published yet is not in the trash yet.
        self.fs.repository(id)?.publish()?;
        let mut seen = HashSet::new();
        let trashed = read::trashed_files(self.fs.replica().view(), id, Version::default())?;
        let wanted = trashed
            .into_iter()
            .rev()
            .filter(|file| name::holds_objects(&file.path) && seen.insert(file.path.clone()));
        let files: Vec<_> = wanted
            .map(|file| TrashId {
                version: file.version,
                path: file.path,
            })
            .collect();
        self.restore_files(id, &files, actor)
    }

    fn restore_files(
        &self,
        repo: RepoId,
        files: &[TrashId],
        actor: &Actor,
    ) -> Result<u64, FsError> {
        let before = self.in_trash(repo)?;
        for files in files.chunks(PER_ENTRY) {
            let files = files.to_vec();
            let restore = Command::RestoreFiles {
                repo,
                files: files.clone(),
            };
            self.fs.propose_as(actor, restore)?;
            for file in &files {
                self.fs.file_changed(repo, &file.path);
            }
        }
        let restored = before.saturating_sub(self.in_trash(repo)?);
        // The kernel is told in order: once it knows this, it knows those.
        if let Some(repo) = read::repo(self.fs.replica().view(), repo)? {
            self.fs.name_changed(&repo.path);
        }
        Ok(restored)
    }

    fn in_trash(&self, repo: RepoId) -> Result<u64, FsError> {
        let files = read::trashed_files(self.fs.replica().view(), repo, Version::default())?;
        Ok(files.len() as u64)
    }

    /// Sets the refs and files of hosts again that were deleted after the last change that was no deletion.
    fn restore_refs(&self, repo: RepoId, actor: &Actor) -> Result<Restored, FsError> {
        let mut deletions = Vec::new();
        let mut follow = |moved: RefMove| match moved.new {
            RefValue::Absent => deletions.push(moved),
            _ => deletions.clear(),
        };
        let trail = Trail::Of(repo);
        let replica = self.fs.replica();
        read::audit(
            replica.view(),
            trail,
            Version::default(),
            &mut |_, record| {
                if let AuditEvent::RefsMoved(moves) | AuditEvent::HostFilesChanged(moves) =
                    record.event
                {
                    moves.into_iter().for_each(&mut follow);
                }
                true
            },
        )?;
        let mut restored = Restored::default();
        let mut change = RepoChange::new(repo);
        for RefMove { name, old, .. } in deletions {
            let kept = read::removed_host_file(replica.view(), repo, &name)?;
            match edit(&name, old, kept) {
                Ok(Some(edit)) => {
                    restored.refs.push(name.to_string());
                    change.refs.push(edit);
                }
                Ok(None) => {}
                Err(reason) => restored.lost.push(format!("{name}: {reason}")),
            }
        }
        if !change.is_empty() {
            let commit = Command::Commit(change);
            self.fs.propose_as(actor, commit)?;
        }
        Ok(restored)
    }
}

/// What makes a name point where it did; `None` for nowhere.
fn edit(
    name: &RepoPath,
    value: RefValue,
    kept: Option<RefEntry>,
) -> Result<Option<RefEdit>, &'static str> {
    let (mode, value) = match (value, kept) {
        (RefValue::Absent, _) => return Ok(None),
        (_, Some(kept)) => (kept.mode, kept.value),
        (RefValue::Object(oid), None) => (0o100_644, (hex(&oid) + "\n").into_bytes()),
        (RefValue::Text(text), None) => (0o100_644, text),
        (RefValue::Link(target), None) => (0o120_777, target),
        (RefValue::Long { .. }, None) => return Err("only its digest is on record"),
    };
    let change = Change::Set { mode, value };
    Ok(Some(RefEdit {
        name: name.clone(),
        expect: Expect::Absent,
        change,
    }))
}
