//! The state as plain maps, and commands as the obvious thing to do to them:
//! everything is copied before a command, compared after it, and thrown away if
//! it is refused. Shares no code with the state machine.

use gitmoor_model::{
    BlockDigest, Borrowing, Change, Command, Deletions, Expect, FileAdd, FileEntry, Limit, Loan,
    NamePath, NameStep, NestStep, Nesting, Outcome, PackedEdit, PackedRef, Place, RefEdit,
    RefEntry, Refusal, Relied, Repacking, Repo, RepoChange, RepoId, RepoPath, Timestamp, TrashId,
    Usage, Version,
};
use gitmoor_replicator::{NameEntry, NamedFile, NamedLink};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Model {
    pub(crate) names: BTreeMap<NamePath, NameEntry>,
    /// The bytes of the files among them.
    pub(crate) contents: BTreeMap<NamePath, Vec<u8>>,
    pub(crate) repos: BTreeMap<RepoId, Repo>,
    pub(crate) trashed: BTreeMap<RepoId, (Version, Repo)>,
    pub(crate) expired_repos: BTreeMap<RepoId, (Version, Repo)>,
    pub(crate) refs: BTreeMap<(RepoId, RepoPath), RefEntry>,
    pub(crate) packed: BTreeMap<(RepoId, RepoPath), PackedRef>,
    pub(crate) files: BTreeMap<(RepoId, RepoPath), (FileEntry, Vec<BlockDigest>)>,
    pub(crate) trashed_files: BTreeMap<(RepoId, TrashId), (FileEntry, Vec<BlockDigest>)>,
    /// Those of them that nobody can miss.
    pub(crate) superseded: BTreeSet<(RepoId, TrashId)>,
    /// Tombstones of keys, and when they were deleted.
    pub(crate) tombstones: BTreeMap<(RepoId, String), Option<Timestamp>>,
    pub(crate) forgotten: BTreeMap<RepoId, Version>,
    /// The newest removal that has left the trash for good.
    pub(crate) expired: BTreeMap<RepoId, Version>,
    /// Keys that a lender names, while a borrower is about to.
    lent: BTreeSet<String>,
}

impl Model {
    pub(crate) fn apply(
        &mut self,
        version: Version,
        time: Timestamp,
        command: &Command,
    ) -> Outcome {
        let before = self.clone();
        let quotas = matches!(
            command,
            Command::Commit(_)
                | Command::Publish { .. }
                | Command::MoveRefs { .. }
                | Command::Borrow(_)
        ) || matches!(command, Command::Nest(nesting) if nesting.step == NestStep::Move);
        let done = self.run(version, time, command).and_then(|()| {
            self.count();
            match quotas {
                true => self.check_quotas(&before),
                false => Ok(()),
            }
        });
        match done {
            Ok(()) => Outcome::Done(version),
            Err(refusal) => {
                *self = before;
                Outcome::Refused(refusal)
            }
        }
    }

    /// What each has, from the rows alone.
    fn count(&mut self) {
        let ids: Vec<_> = self.repos.keys().copied().collect();
        for id in ids {
            let files = self.files.iter().filter(|((repo, _), _)| *repo == id);
            let refs = self.resolved(id).into_keys();
            let usage = Usage {
                files: files.clone().count() as u64,
                bytes: files.map(|(_, file)| file.0.size).sum(),
                refs: refs
                    .filter(|name| name.to_string().starts_with("refs/"))
                    .count() as u64,
            };
            if let Some(repo) = self.repos.get_mut(&id) {
                repo.usage = usage;
            }
        }
    }

    /// What a repository and all inside it have.
    fn total(&self, id: RepoId) -> Usage {
        let around = &self.repos[&id].path;
        let all = self.repos.values();
        let all = all.filter(|repo| repo.path == *around || is_beneath(&repo.path, around));
        all.fold(Usage::default(), |sum, repo| Usage {
            files: sum.files + repo.usage.files,
            bytes: sum.bytes + repo.usage.bytes,
            refs: sum.refs + repo.usage.refs,
        })
    }

    fn check_quotas(&self, before: &Self) -> Result<(), Refusal> {
        // The innermost first.
        let mut repos: Vec<_> = self.repos.values().collect();
        repos.sort_by_key(|repo| std::cmp::Reverse(repo.path.as_bytes().len()));
        for repo in repos {
            let (old, new) = (before.total(repo.id), self.total(repo.id));
            let sizes = [(old.bytes, new.bytes), (old.refs, new.refs)];
            for (limit, (old, new)) in [Limit::Bytes, Limit::Refs].into_iter().zip(sizes) {
                let most = repo.limits.get(&limit).copied().unwrap_or(u64::MAX);
                if new > most.max(old) {
                    let would_be = new;
                    return Err(Refusal::OverQuota {
                        limit,
                        most,
                        would_be,
                    });
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, version: Version, time: Timestamp, command: &Command) -> Result<(), Refusal> {
        match command.clone() {
            Command::CreateDirectory { path } => {
                self.check_free(&path)?;
                if is_repo_name(&path) {
                    return Err(Refusal::BadPath(path));
                }
                self.names.insert(path, NameEntry::Directory);
            }
            Command::RemoveDirectory { path } => {
                let stands = self.stands(&path).ok_or(Refusal::NotFound(path.clone()))?;
                if path.is_root() || stands != NameEntry::Directory {
                    return Err(Refusal::BadPath(path));
                }
                if self
                    .names
                    .keys()
                    .any(|name| name.parent().as_ref() == Some(&path))
                {
                    return Err(Refusal::NotEmpty(path));
                }
                self.names.remove(&path);
            }
            Command::CreateRepo { id, path } => {
                self.check_new(id, &path)?;
                self.names.insert(path.clone(), NameEntry::Repo(id));
                self.repos.insert(id, empty(version, time, id, path));
            }
            Command::Fork { from, id, path } => self.fork(version, time, from, id, path)?,
            Command::Rename { from, to } => self.rename(&from, &to)?,
            Command::Name(change) => self.change_name(version, time, change.path, change.step)?,
            Command::Nest(nesting) => self.nest(version, time, *nesting)?,
            // It is no cluster.
            Command::Hooks(_) => return Err(Refusal::NotFounded),
            Command::DeleteRepo { id } => {
                let gone = self.repo(id)?.path.clone();
                let is_gone = |path: &NamePath| *path == gone || is_beneath(path, &gone);
                self.names.retain(|path, _| !is_gone(path));
                for (id, repo) in std::mem::take(&mut self.repos) {
                    match is_gone(&repo.path) {
                        true => drop(self.trashed.insert(id, (version, repo))),
                        false => drop(self.repos.insert(id, repo)),
                    }
                }
            }
            Command::SetFormat { id, format } => self.repo(id)?.format = Some(format),
            Command::SetSetting {
                id,
                key,
                value: Some(value),
            } => {
                self.repo(id)?.settings.insert(key, value);
            }
            Command::SetSetting {
                id,
                key,
                value: None,
            } => {
                self.repo(id)?.settings.remove(&key);
            }
            Command::SetSettings { id, settings } => {
                let repo = self.repo(id)?;
                for (key, value) in settings {
                    match value {
                        Some(value) => drop(repo.settings.insert(key, value)),
                        None => drop(repo.settings.remove(&key)),
                    }
                }
            }
            Command::SetLimit {
                id,
                limit,
                value: Some(value),
            } => {
                self.repo(id)?.limits.insert(limit, value);
            }
            Command::SetLimit {
                id,
                limit,
                value: None,
            } => {
                self.repo(id)?.limits.remove(&limit);
            }
            Command::Commit(change) => self.commit(version, time, &change)?,
            Command::Publish {
                change,
                tombstones_as_of: looked,
            } => {
                if self.forgotten(change.repo) != looked {
                    return Err(Refusal::TombstonesExpired);
                }
                self.commit(version, time, &change)?;
            }
            Command::RestoreRepo { id, path } => {
                self.check_free(&path)?;
                if !is_repo_name(&path) {
                    return Err(Refusal::BadPath(path));
                }
                self.restore(id, &path)?;
            }
            Command::RestoreFiles { repo, files } => {
                self.repo(repo)?;
                for file in files {
                    let name = (repo, file.path.clone());
                    if self.files.contains_key(&name) {
                        continue;
                    }
                    if let Some(old) = self.trashed_files.remove(&(repo, file)) {
                        self.files.insert(name, old);
                        self.repo(repo)?.catalog_version = version;
                    }
                }
            }
            Command::MarkDeleted(deletions) => self.mark_deleted(deletions),
            Command::RecordDeletion {
                repo,
                deleted,
                expire,
            } => {
                for key in deleted {
                    if let Some(when) = self.tombstones.get_mut(&(repo, key)) {
                        *when = Some(time);
                    }
                }
                for key in expire {
                    let name = (repo, key);
                    let when = self.tombstones.get(&name).copied().flatten();
                    if when.is_some_and(|when| when.secs + 3600 <= time.secs) {
                        self.tombstones.remove(&name);
                        self.forgotten.insert(repo, version);
                    }
                }
            }
            Command::ExpireRepo { id, version } => {
                let found = self.trashed.get(&id).filter(|found| found.0 == version);
                found.ok_or(Refusal::NotInTrash(id))?;
                for (id, repo) in self.take_gone(id)? {
                    self.expired_repos.insert(id, (version, repo));
                }
            }
            Command::PurgeRepo { id } => {
                let found = self.expired_repos.remove(&id);
                let found = found.ok_or(Refusal::NotInTrash(id))?;
                let named = self.named_by(id);
                self.refs.retain(|(repo, _), _| *repo != id);
                self.packed.retain(|(repo, _), _| *repo != id);
                self.files.retain(|(repo, _), _| *repo != id);
                self.trashed_files.retain(|(repo, _), _| *repo != id);
                self.tombstones.retain(|(repo, _), _| *repo != id);
                self.forgotten.remove(&id);
                self.expired.remove(&id);
                named.into_iter().for_each(|key| self.give_back(id, key));
                if self.named().iter().any(|key| owner(key) == Some(id)) {
                    self.expired_repos.insert(id, found);
                }
            }
            Command::MoveRefs {
                change,
                tombstones_as_of: looked,
                unpruned,
            } => {
                self.check_since(change.repo, looked, Some(unpruned))?;
                self.commit(version, time, &change)?;
            }
            Command::Borrow(borrowing) => self.borrow(version, time, *borrowing)?,
            Command::Repack(repacking) => self.repack(version, *repacking)?,
            Command::FoundCluster { .. }
            | Command::Invite { .. }
            | Command::InviteClient { .. }
            | Command::Admit { .. }
            | Command::Relocate { .. }
            | Command::SettleStore(_)
            | Command::ClaimStore(_)
            | Command::RemoveMember { .. } => unreachable!("members.rs has these"),
            Command::Touch { repo, files } => {
                self.repo(repo)?;
                let before = self.files.clone();
                for touch in files {
                    let there = self.files.get_mut(&(repo, touch.path));
                    let Some((entry, _)) = there.filter(|(old, _)| old.digest == touch.digest)
                    else {
                        continue;
                    };
                    entry.mtime = touch.mtime.unwrap_or(entry.mtime);
                    let bits = touch
                        .mode
                        .map_or(entry.mode % 0o10_000, |mode| mode % 0o10_000);
                    entry.mode = entry.mode / 0o10_000 * 0o10_000 + bits;
                }
                if self.files != before {
                    self.repo(repo)?.catalog_version = version;
                }
            }
            Command::Import(_) => unreachable!("imports.rs has these"),
            Command::Access(_) => unreachable!("access.rs has these"),
        }
        Ok(())
    }

    /// What a change was concluded from, before this.
    fn check_since(
        &self,
        repo: RepoId,
        looked: Option<Version>,
        unpruned: Option<Version>,
    ) -> Result<(), Refusal> {
        if looked.is_some_and(|looked| self.forgotten(repo) != looked) {
            return Err(Refusal::TombstonesExpired);
        }
        let Some(unpruned) = unpruned else {
            return Ok(());
        };
        let mut removed = self.trashed_files.keys();
        let pruned = removed
            .any(|row| row.0 == repo && row.1.version > unpruned && !self.superseded.contains(row));
        match pruned || self.expired.get(&repo).is_some_and(|gone| *gone > unpruned) {
            true => Err(Refusal::Pruned),
            false => Ok(()),
        }
    }

    fn borrow(
        &mut self,
        version: Version,
        time: Timestamp,
        borrowing: Borrowing,
    ) -> Result<(), Refusal> {
        let Borrowing {
            mut change,
            tombstones_as_of,
            unpruned,
            loans,
        } = borrowing;
        self.check_since(change.repo, tombstones_as_of, unpruned)?;
        let mut keys = BTreeSet::new();
        for (from, Relied { path, digest }) in each(loans) {
            let lent = self.files.get(&(from, path.clone()));
            let lent =
                lent.filter(|file| file.0.digest == digest && self.repos.contains_key(&from));
            let Some((entry, blocks)) = lent.cloned() else {
                return Err(Refusal::NotLent { from, path });
            };
            keys.extend(stored_key(&entry));
            change.add.push(FileAdd {
                path,
                entry,
                blocks,
            });
        }
        self.lent = keys;
        let done = self.commit(version, time, &change);
        self.lent.clear();
        done
    }

    fn repack(&mut self, version: Version, repacking: Repacking) -> Result<(), Refusal> {
        let id = repacking.repo;
        let refs_version = self.repo(id)?.refs_version;
        if self.forgotten(id) != repacking.tombstones_as_of {
            return Err(Refusal::TombstonesExpired);
        }
        let keys = repacking
            .add
            .iter()
            .filter_map(|add| stored_key(&add.entry));
        for key in keys {
            self.check_usable(id, key)?;
        }
        let since = repacking.unless_refs_moved_since;
        if since.is_some_and(|since| refs_version > since) {
            return Err(Refusal::RefsMoved {
                actual: refs_version,
            });
        }
        for relied in repacking.relied {
            let there = self.files.get(&(id, relied.path.clone()));
            if there.map(|file| file.0.digest) != Some(relied.digest) {
                return Err(Refusal::Changed { path: relied.path });
            }
        }
        let before = self.trashed_files.clone();
        self.change_files(id, version, &repacking.remove, &repacking.add);
        if since.is_none() {
            let rows = self.trashed_files.keys();
            let new = rows.filter(|row| !before.contains_key(row)).cloned();
            self.superseded.extend(new);
        }
        let repo = self.repo(id)?;
        repo.catalog_version = version;
        repo.repacked_version = version;
        Ok(())
    }

    /// Whether any was removed.
    fn change_files(
        &mut self,
        id: RepoId,
        version: Version,
        remove: &[RepoPath],
        add: &[FileAdd],
    ) -> bool {
        let files = self.files.clone();
        for path in remove {
            if let Some(old) = self.files.remove(&(id, path.clone())) {
                let path = path.clone();
                self.trashed_files
                    .insert((id, TrashId { version, path }), old);
            }
        }
        let removed = self.files != files;
        for file in add {
            let path = file.path.clone();
            let new = (file.entry.clone(), file.blocks.clone());
            let old = self.files.insert((id, path.clone()), new);
            if let Some(old) = old.filter(|old| old.0.place != file.entry.place) {
                self.trashed_files
                    .insert((id, TrashId { version, path }), old);
            }
        }
        removed
    }

    fn repo(&mut self, id: RepoId) -> Result<&mut Repo, Refusal> {
        self.repos.get_mut(&id).ok_or(Refusal::NoRepo(id))
    }

    pub(crate) fn forgotten(&self, id: RepoId) -> Version {
        self.forgotten.get(&id).copied().unwrap_or_default()
    }

    fn mark_deleted(&mut self, deletions: Deletions) {
        let repo = deletions.repo;
        let mut unneeded = deletions.leftovers;
        for id in deletions.expired {
            let row = (repo, id);
            let Some((entry, _)) = self.trashed_files.remove(&row) else {
                continue;
            };
            unneeded.extend(stored_key(&entry));
            if !self.superseded.contains(&row) {
                let newest = self.expired.entry(repo).or_default();
                *newest = row.1.version.max(*newest);
            }
        }
        for key in unneeded {
            match owner(&key) {
                Some(owner) if owner == repo => {
                    if !self.named().contains(&key) {
                        self.tombstones.entry((repo, key)).or_default();
                    }
                }
                Some(_) if !self.named_by(repo).contains(&key) => self.give_back(repo, key),
                Some(_) | None => {}
            }
        }
    }

    /// The keys that a repository names.
    pub(crate) fn named_by(&self, id: RepoId) -> BTreeSet<String> {
        let files = self.files.iter().map(|((repo, _), file)| (repo, file));
        let trashed = self.trashed_files.iter();
        let trashed = trashed.map(|((repo, _), file)| (repo, file));
        let all = files.chain(trashed).filter(|(repo, _)| **repo == id);
        all.filter_map(|(_, file)| stored_key(&file.0)).collect()
    }

    /// The keys that anybody names.
    pub(crate) fn named(&self) -> BTreeSet<String> {
        let all = self.files.values().chain(self.trashed_files.values());
        all.filter_map(|file| stored_key(&file.0)).collect()
    }

    /// A repository names a key no more.
    fn give_back(&mut self, id: RepoId, key: String) {
        let Some(owner) = owner(&key).filter(|owner| *owner != id) else {
            return;
        };
        let there = self.repos.contains_key(&owner) || self.trashed.contains_key(&owner);
        if there && !self.named().contains(&key) {
            self.tombstones.entry((owner, key)).or_default();
        }
    }

    fn check_usable(&self, id: RepoId, key: String) -> Result<(), Refusal> {
        let usable = match owner(&key) {
            Some(owner) if owner != id => {
                self.lent.contains(&key) || self.named_by(id).contains(&key)
            }
            Some(_) | None => !self.tombstones.contains_key(&(id, key.clone())),
        };
        match usable {
            true => Ok(()),
            false => Err(Refusal::HasTombstone { key }),
        }
    }

    fn check_new(&self, id: RepoId, path: &NamePath) -> Result<(), Refusal> {
        self.check_free(path)?;
        if !is_repo_name(path) {
            return Err(Refusal::BadPath(path.clone()));
        }
        self.check_id(id)
    }

    fn check_id(&self, id: RepoId) -> Result<(), Refusal> {
        if let Some(repo) = self.repos.get(&id) {
            return Err(Refusal::Exists(repo.path.clone()));
        }
        let old = self.trashed.get(&id).or(self.expired_repos.get(&id));
        match old {
            Some((_, old)) => Err(Refusal::Exists(old.path.clone())),
            None => Ok(()),
        }
    }

    fn fork(
        &mut self,
        version: Version,
        time: Timestamp,
        from: RepoId,
        id: RepoId,
        path: NamePath,
    ) -> Result<(), Refusal> {
        self.check_new(id, &path)?;
        let old = self.repo(from)?.path.clone();
        let mut repos: Vec<_> = self.repos.values().cloned().collect();
        repos.sort_by(|a, b| a.path.cmp(&b.path));
        for parent in repos {
            let own = match (parent.id == from, is_beneath(&parent.path, &old)) {
                (true, _) => id,
                (false, true) => RepoId::of_fork(id, parent.id),
                (false, false) => continue,
            };
            self.check_id(own)?;
            let from = parent.id;
            let repo = Repo {
                id: own,
                path: moved(&parent.path, &old, &path),
                created: time,
                forked_from: Some(from),
                refs_version: version,
                catalog_version: version,
                packed_version: version,
                repacked_version: Version(0),
                ..parent
            };
            self.names.insert(repo.path.clone(), NameEntry::Repo(own));
            self.repos.insert(own, repo);
            copied(&mut self.refs, from, own);
            copied(&mut self.packed, from, own);
            copied(&mut self.files, from, own);
        }
        Ok(())
    }

    fn stands(&self, path: &NamePath) -> Option<NameEntry> {
        if path.is_root() {
            Some(NameEntry::Directory)
        } else {
            self.names.get(path).cloned()
        }
    }

    fn check_free(&self, path: &NamePath) -> Result<(), Refusal> {
        let Some(parent) = path.parent() else {
            return Err(Refusal::Exists(path.clone()));
        };
        match (self.stands(&parent), self.stands(path)) {
            (None, _) => Err(Refusal::NotFound(parent)),
            (Some(NameEntry::Repo(_) | NameEntry::Link(_) | NameEntry::File(_)), _) => {
                Err(Refusal::BadPath(path.clone()))
            }
            (Some(NameEntry::Directory), Some(_)) => Err(Refusal::Exists(path.clone())),
            (Some(NameEntry::Directory), None) => Ok(()),
        }
    }

    fn rename(&mut self, from: &NamePath, to: &NamePath) -> Result<(), Refusal> {
        let moved = self.stands(from).ok_or(Refusal::NotFound(from.clone()))?;
        let says_so = match moved {
            NameEntry::Directory => !is_repo_name(to),
            NameEntry::Repo(_) => is_repo_name(to),
            NameEntry::Link(_) | NameEntry::File(_) => true,
        };
        self.move_tree(from, to, says_so)
    }

    fn move_tree(&mut self, from: &NamePath, to: &NamePath, may: bool) -> Result<(), Refusal> {
        self.stands(from).ok_or(Refusal::NotFound(from.clone()))?;
        if from.is_root() {
            return Err(Refusal::BadPath(from.clone()));
        }
        self.check_free(to)?;
        if !may || to.as_bytes().starts_with(&[from.as_bytes(), b"/"].concat()) {
            return Err(Refusal::BadPath(to.clone()));
        }
        self.move_all(from, to)
    }

    fn move_all(&mut self, from: &NamePath, to: &NamePath) -> Result<(), Refusal> {
        let contents = std::mem::take(&mut self.contents).into_iter();
        let contents = contents.map(|(path, bytes)| (moved(&path, from, to), bytes));
        self.contents = contents.collect();
        for (path, entry) in std::mem::take(&mut self.names) {
            let path = moved(&path, from, to);
            if let NameEntry::Repo(id) = entry {
                self.repo(id)?.path = path.clone();
            }
            self.names.insert(path, entry);
        }
        Ok(())
    }

    fn change_name(
        &mut self,
        version: Version,
        mtime: Timestamp,
        path: NamePath,
        step: NameStep,
    ) -> Result<(), Refusal> {
        match step {
            NameStep::Link { target } => {
                self.check_free(&path)?;
                let link = NamedLink {
                    target,
                    mtime,
                    version,
                };
                self.names.insert(path, NameEntry::Link(link));
            }
            NameStep::Write {
                expect,
                mode,
                value,
            } => {
                let actual = match self.stands(&path) {
                    None => None,
                    Some(NameEntry::File(file)) => Some(file.version),
                    Some(_) => return Err(Refusal::Exists(path)),
                };
                let holds = match expect {
                    Expect::Anything => true,
                    Expect::Absent => actual.is_none(),
                    Expect::Is(expected) => actual == Some(expected),
                };
                if !holds {
                    return Err(Refusal::NameChanged { path, actual });
                }
                if actual.is_none() {
                    self.check_free(&path)?;
                }
                let file = NamedFile {
                    mode: mode % 0o10000,
                    size: value.len() as u64,
                    mtime,
                    version,
                };
                self.names.insert(path.clone(), NameEntry::File(file));
                self.contents.insert(path, value);
            }
            NameStep::Touch { mode, mtime } => match self.names.get_mut(&path) {
                Some(NameEntry::File(file)) => {
                    file.mode = mode.map_or(file.mode, |mode| mode % 0o10000);
                    file.mtime = mtime.unwrap_or(file.mtime);
                }
                Some(NameEntry::Link(link)) => link.mtime = mtime.unwrap_or(link.mtime),
                Some(_) => return Err(Refusal::BadPath(path)),
                None if path.is_root() => return Err(Refusal::BadPath(path)),
                None => return Err(Refusal::NotFound(path)),
            },
            NameStep::Unlink => {
                let gone = self.stands(&path).ok_or(Refusal::NotFound(path.clone()))?;
                if !gone.is_leaf() {
                    return Err(Refusal::BadPath(path));
                }
                self.names.remove(&path);
                self.contents.remove(&path);
            }
            NameStep::Move { to, replace } => {
                let moved = self.stands(&path).ok_or(Refusal::NotFound(path.clone()))?;
                let there = self.stands(&to);
                let both = moved.is_leaf() && there.is_some_and(|there| there.is_leaf());
                if replace && both && path != to {
                    self.names.remove(&to);
                    self.contents.remove(&to);
                }
                let misnamed = moved == NameEntry::Directory && is_repo_name(&to);
                self.move_tree(&path, &to, !misnamed)?;
            }
            NameStep::Become(id) => {
                let stands = self.stands(&path).ok_or(Refusal::NotFound(path.clone()))?;
                if path.is_root() || stands != NameEntry::Directory {
                    return Err(Refusal::Exists(path));
                }
                let mut names = self.names.keys();
                if names.any(|name| name.parent().as_ref() == Some(&path)) {
                    return Err(Refusal::NotEmpty(path));
                }
                self.check_id(id)?;
                self.names.insert(path.clone(), NameEntry::Repo(id));
                self.repos.insert(id, empty(version, mtime, id, path));
            }
            NameStep::Restore(id) => {
                self.check_free(&path)?;
                self.restore(id, &path)?;
            }
        }
        Ok(())
    }

    fn nest(
        &mut self,
        version: Version,
        time: Timestamp,
        Nesting {
            repo: id,
            inside,
            step,
        }: Nesting,
    ) -> Result<(), Refusal> {
        let owner = self.repo(inside.owner)?.path.clone();
        let path = NamePath::new(format!("{owner}/{}", inside.module.path())).expect("valid");
        if self.names.contains_key(&path) {
            return Err(Refusal::Exists(path));
        }
        if self.names.keys().any(|name| is_beneath(name, &path)) {
            return Err(Refusal::NotEmpty(path));
        }
        let is_between = |name: &NamePath| is_beneath(name, &owner) && is_beneath(&path, name);
        if self.names.keys().any(is_between) {
            return Err(Refusal::BadPath(path));
        }
        match step {
            NestStep::Make => {
                self.check_id(id)?;
                self.names.insert(path.clone(), NameEntry::Repo(id));
                self.repos.insert(id, empty(version, time, id, path));
                Ok(())
            }
            NestStep::Move => {
                let from = self.repo(id)?.path.clone();
                if is_beneath(&path, &from) {
                    return Err(Refusal::BadPath(path));
                }
                self.move_all(&from, &path)
            }
            NestStep::Restore => self.restore(id, &path),
        }
    }

    /// Out of the trash, with all that was inside and went by the same command.
    fn take_gone(&mut self, id: RepoId) -> Result<Vec<(RepoId, Repo)>, Refusal> {
        let around = self.trashed.get(&id).cloned();
        let (version, around) = around.ok_or(Refusal::NotInTrash(id))?;
        let mut gone = Vec::new();
        for (id, (of, repo)) in std::mem::take(&mut self.trashed) {
            let is_inside = is_beneath(&repo.path, &around.path);
            match of == version && (id == around.id || is_inside) {
                true => gone.push((id, repo)),
                false => drop(self.trashed.insert(id, (of, repo))),
            }
        }
        Ok(gone)
    }

    fn restore(&mut self, id: RepoId, to: &NamePath) -> Result<(), Refusal> {
        let from = self.trashed.get(&id).map(|(_, repo)| repo.path.clone());
        for (id, repo) in self.take_gone(id)? {
            let path = moved(&repo.path, from.as_ref().expect("it was there"), to);
            self.names.insert(path.clone(), NameEntry::Repo(id));
            self.repos.insert(id, Repo { path, ..repo });
        }
        Ok(())
    }

    fn commit(
        &mut self,
        version: Version,
        time: Timestamp,
        change: &RepoChange,
    ) -> Result<(), Refusal> {
        let id = change.repo;
        let repo = self.repo(id)?;
        let (refs_version, packed_version) = (repo.refs_version, repo.packed_version);
        let repacked_version = repo.repacked_version;
        for edit in &change.refs {
            let entry = self.refs.get(&(id, edit.name.clone()));
            let actual = match entry {
                Some(entry) => Some(entry.version),
                None if edit.name.as_bytes() == gitmoor_model::PACKED_REFS => Some(packed_version),
                None => None,
            };
            let holds = match edit.expect {
                Expect::Anything => true,
                Expect::Absent => actual.is_none(),
                Expect::Is(version) => actual == Some(version),
            };
            if !holds {
                return Err(Refusal::RefMoved {
                    name: edit.name.clone(),
                    actual,
                });
            }
        }
        let before = self.resolved(id);
        let mut reftable = self.any_reftable(id, &change.refs);
        for edit in &change.refs {
            self.edit(id, version, time, &edit.name, &edit.change);
        }
        reftable |= self.any_reftable(id, &change.refs);
        for edit in &change.refs {
            self.check_directories(id, &edit.name)?;
        }
        if let Some(since) = change
            .remove
            .as_ref()
            .and_then(|removal| removal.unless_refs_moved_since)
            && refs_version > since
        {
            return Err(Refusal::RefsMoved {
                actual: refs_version,
            });
        }
        let repacked_since = change
            .remove
            .as_ref()
            .and_then(|gone| gone.unless_repacked_since);
        if repacked_since.is_some_and(|since| repacked_version > since) {
            return Err(Refusal::Repacked {
                actual: repacked_version,
            });
        }
        for key in change.add.iter().filter_map(|add| stored_key(&add.entry)) {
            self.check_usable(id, key)?;
        }
        for edit in &change.packed {
            match edit.clone() {
                PackedEdit::Clear => self.packed.retain(|(repo, _), _| *repo != id),
                PackedEdit::Set { name, line } => drop(self.packed.insert((id, name), line)),
                PackedEdit::Delete { name } => drop(self.packed.remove(&(id, name))),
            }
        }
        let remove = change.remove.as_ref().map_or(&[][..], |gone| &gone.paths);
        let removed = self.change_files(id, version, remove, &change.add);
        let moved = reftable || self.resolved(id) != before;
        let repo = self.repo(id)?;
        if moved {
            repo.refs_version = version;
        }
        if !change.packed.is_empty() {
            repo.packed_version = version;
        }
        if removed || !change.add.is_empty() {
            repo.catalog_version = version;
        }
        Ok(())
    }

    fn edit(
        &mut self,
        id: RepoId,
        version: Version,
        time: Timestamp,
        name: &RepoPath,
        change: &Change,
    ) {
        let key = (id, name.clone());
        let old = self.refs.get(&key).cloned();
        match change.clone() {
            Change::Set { mode, value } => {
                self.refs.insert(
                    key,
                    RefEntry {
                        mode,
                        mtime: time,
                        value,
                        version,
                    },
                );
            }
            Change::Append { value } => {
                let (mode, mut bytes) =
                    old.map_or((0o100_444, vec![]), |old| (old.mode, old.value));
                bytes.extend(value);
                self.refs.insert(
                    key,
                    RefEntry {
                        mode,
                        mtime: time,
                        value: bytes,
                        version,
                    },
                );
            }
            Change::SetMode { mode } => {
                if let Some(old) = self.refs.get_mut(&key) {
                    old.mode = (old.mode / 0o10_000 * 0o10_000) + mode % 0o10_000;
                    old.version = version;
                }
            }
            Change::Chmod { mode } => {
                if let Some(old) = self.refs.get_mut(&key) {
                    old.mode = (old.mode / 0o10_000 * 0o10_000) + mode % 0o10_000;
                }
            }
            Change::Delete => drop(self.refs.remove(&key)),
            Change::Keep => {}
        }
    }

    /// Whether an edit is of a file of a reftable that exists.
    fn any_reftable(&self, id: RepoId, edits: &[RefEdit]) -> bool {
        let of_reftable = |edit: &&RefEdit| {
            edit.change != Change::Keep && edit.name.as_bytes().starts_with(b"reftable/")
        };
        let mut edits = edits.iter().filter(of_reftable);
        edits.any(|edit| self.refs.contains_key(&(id, edit.name.clone())))
    }

    fn check_directories(&self, id: RepoId, name: &RepoPath) -> Result<(), Refusal> {
        if !name.as_bytes().starts_with(b"refs/") || !self.refs.contains_key(&(id, name.clone())) {
            return Ok(());
        }
        let slashed = |path: &RepoPath| [path.as_bytes(), b"/"].concat();
        let others = self
            .refs
            .keys()
            .filter(|(repo, other)| *repo == id && other != name);
        let mut others = others.map(|(_, other)| other);
        // The nearest entry above comes before the first one beneath.
        let above = others
            .clone()
            .rfind(|other| slashed(name).starts_with(&slashed(other)));
        let beneath = others.find(|other| slashed(other).starts_with(&slashed(name)));
        match above.or(beneath) {
            Some(with) => Err(Refusal::DirectoryConflict {
                name: name.clone(),
                with: with.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Where every ref of a repository points: hex id, or anything else.
    fn resolved(&self, id: RepoId) -> BTreeMap<RepoPath, String> {
        let packed = self.packed.iter().filter(|((repo, _), _)| *repo == id);
        let packed = packed.map(|((_, name), line)| (name.clone(), hex(&line.oid)));
        let mut resolved: BTreeMap<_, _> = packed.collect();
        let is_ref = |name: &RepoPath| !matches!(name.as_bytes(), b"description" | b"branches/x");
        let refs = self.refs.iter();
        for ((_, name), entry) in refs.filter(|((repo, name), _)| *repo == id && is_ref(name)) {
            let link = if entry.mode / 0o10_000 == 0o12 {
                "-> "
            } else {
                ""
            };
            let text = String::from_utf8(entry.value.clone()).expect("the tests write text");
            let is_id = link.is_empty() && text.trim_end().len() == 40;
            let text = if is_id {
                text.trim_end().to_owned()
            } else {
                text
            };
            resolved.insert(name.clone(), format!("{link}{text}"));
        }
        resolved
    }
}

/// Whether a path is beneath another one.
fn is_beneath(path: &NamePath, above: &NamePath) -> bool {
    path.to_string().starts_with(&format!("{above}/"))
}

/// Where what is at a path, or beneath it, is when that has moved; all else stays.
fn moved(path: &NamePath, from: &NamePath, to: &NamePath) -> NamePath {
    match path.as_bytes().strip_prefix(from.as_bytes()) {
        Some(rest) if rest.is_empty() || rest[0] == b'/' => {
            NamePath::new([to.as_bytes(), rest].concat()).expect("valid")
        }
        _ => path.clone(),
    }
}

fn each(loans: Vec<Loan>) -> impl Iterator<Item = (RepoId, Relied)> {
    let files = |loan: Loan| loan.files.into_iter().map(move |file| (loan.from, file));
    loans.into_iter().flat_map(files)
}

fn copied<T: Clone>(of: &mut BTreeMap<(RepoId, RepoPath), T>, from: RepoId, to: RepoId) {
    let rows = of.iter().filter(|((repo, _), _)| *repo == from);
    let rows: Vec<_> = rows
        .map(|((_, path), value)| ((to, path.clone()), value.clone()))
        .collect();
    of.extend(rows);
}

/// Under whose prefix a key lies.
pub(crate) fn owner(key: &str) -> Option<RepoId> {
    key.split_once('/')?.0.parse().ok()
}

fn stored_key(entry: &FileEntry) -> Option<String> {
    match &entry.place {
        Place::Stored { key } => Some(key.clone()),
        Place::Inline(_) => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_repo_name(path: &NamePath) -> bool {
    let last = path
        .as_bytes()
        .split(|&byte| byte == b'/')
        .next_back()
        .unwrap_or_default();
    last.ends_with(b".git") && last != b".git"
}

/// The direct children of a directory among paths.
pub(crate) fn children<'a, T: Clone + 'a>(
    dir: &[u8],
    paths: impl Iterator<Item = (&'a [u8], &'a T)>,
) -> Vec<(Vec<u8>, Option<T>)> {
    let mut found = BTreeMap::new();
    for (path, value) in paths {
        let rest = if dir.is_empty() {
            path
        } else {
            match path
                .strip_prefix(dir)
                .and_then(|rest| rest.strip_prefix(b"/"))
            {
                Some(rest) => rest,
                None => continue,
            }
        };
        match rest.iter().position(|&byte| byte == b'/') {
            Some(slash) => found.entry(rest[..slash].to_vec()).or_insert(None),
            None => found
                .entry(rest.to_vec())
                .insert_entry(Some(value.clone()))
                .into_mut(),
        };
    }
    found.into_iter().collect()
}

fn empty(version: Version, created: Timestamp, id: RepoId, path: NamePath) -> Repo {
    Repo {
        id,
        path,
        created,
        forked_from: None,
        format: None,
        settings: BTreeMap::new(),
        limits: BTreeMap::new(),
        usage: Usage::default(),
        refs_version: version,
        catalog_version: version,
        packed_version: version,
        repacked_version: Version(0),
    }
}
