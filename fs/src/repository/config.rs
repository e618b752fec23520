//! The local files that git expects of every repository: its directories, and `config`.
//!
//! A repository that was made elsewhere gets them when it is opened. The first `config` has an include of the
//! replicated settings. When git writes other format keys, every machine must know; settings of it that decide about
//! safety hold on every machine ([`safety`](super::safety)).

use super::safety::Safety;
use crate::error::{FsError, FsResult};
use crate::failpoint;
use crate::git_config;
use crate::program::template_dirs;
use crate::repository::context::Context;
use crate::repository::local::{DIRECTORY_MODE, Files, Owner, file_like};
use gitmoor_model::{Actor, Command, RefStorage, RepoId, RepoPath};
use gitmoor_replicator::read;
use std::fs::FileTimes;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) struct LocalConfig {
    id: RepoId,
    shared: Arc<Context>,
    files: Arc<Files>,
    /// Whether `config` has had its include. Who then writes another `config`, without it, means that.
    had_include: AtomicBool,
    safety: Safety,
}

impl LocalConfig {
    /// Makes what is missing.
    pub(super) fn open(id: RepoId, shared: Arc<Context>, files: Arc<Files>) -> FsResult<Self> {
        let config = Self {
            id,
            safety: Safety::new(id, shared.clone(), files.clone()),
            shared,
            files,
            had_include: AtomicBool::new(false),
        };
        config.init_local_files()?;
        config.close_to_others()?;
        config.note()?;
        config.follow_settings()?;
        Ok(config)
    }

    /// The same for a repository that was opened while it was still being made elsewhere.
    pub(super) fn init_late(&self) -> FsResult<()> {
        if self.had_include.load(Ordering::Relaxed) || self.shared.freshness.is_alone() {
            return Ok(());
        }
        self.init_local_files()?;
        self.note()
    }

    fn note(&self) -> FsResult<()> {
        let has_config = self.files.stat(&config_path())?.is_some();
        self.had_include.store(has_config, Ordering::Relaxed);
        Ok(())
    }

    /// Makes what a repository lacks that was made elsewhere, or whose local files a crash kept from being made.
    fn init_local_files(&self) -> FsResult<()> {
        let Some(format) =
            read::repo(self.shared.replica.view(), self.id)?.and_then(|repo| repo.format)
        else {
            return Ok(());
        };
        let lacks_config = self.is_missing()?;
        if lacks_config {
            self.follow_head()?;
        }
        // Where refs are tables, these two have their own meaning and are replicated.
        let loose: &[&str] = match format.refs {
            RefStorage::Files => &["refs/heads", "refs/tags"],
            RefStorage::Reftable => &["refs"],
        };
        for dir in ["objects/info", "objects/pack"].iter().chain(loose) {
            self.make_dir(dir)?;
        }
        if self.has_no_template()? {
            for dir in template_dirs() {
                self.make_dir(dir)?;
            }
        }
        if !lacks_config {
            return Ok(());
        }
        failpoint::REPO_UNFURNISHED.hit();
        let text = git_config::seed(&format);
        let (mode, owner) = (file_like(self.files.top()?.mode()), self.files.owner()?);
        self.files
            .put_durably(&config_path(), text.as_bytes(), mode, owner)
    }

    /// As the top directory is.
    fn make_dir(&self, dir: &str) -> FsResult<()> {
        let inside = RepoPath::new(format!("{dir}/x")).expect("a valid path");
        self.files.make_parents(&inside)
    }

    /// Servers that look for git's layout do not take it for a repository then. Who has removed one directory of it
    /// alone means that.
    fn has_no_template(&self) -> FsResult<bool> {
        for dir in ["hooks", "info"] {
            let dir = RepoPath::new(dir).expect("a valid path");
            if self.files.stat(&dir)?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What stands there and is no regular file is moved aside.
    fn is_missing(&self) -> FsResult<bool> {
        let config = config_path();
        match self.files.stat(&config)? {
            Some(meta) if meta.is_file() => Ok(meta.len() == 0),
            Some(_) => {
                let aside = self.files.set_aside(&config)?;
                let aside = aside.display();
                tracing::error!(repo = %self.id, %aside, "config was no regular file, and is moved aside");
                Ok(true)
            }
            None => Ok(true),
        }
    }

    /// Earlier versions made for everybody to write to what a repository of another node, a fork or an import begins
    /// with: both of these, with these very modes.
    fn close_to_others(&self) -> FsResult<()> {
        let at = [(RepoPath::root(), 0o777), (config_path(), 0o666)];
        let mut nodes = Vec::new();
        for (path, open) in &at {
            let Some(meta) = self.files.stat(path)? else {
                return Ok(());
            };
            let is_own = meta.uid() == rustix::process::geteuid().as_raw();
            if !is_own || meta.mode() & 0o7777 != *open {
                return Ok(());
            }
            nodes.push(self.files.node(path)?);
        }
        for (node, (path, open)) in nodes.iter().zip(&at) {
            let mode = open & !0o022;
            tracing::warn!(repo = %self.id, %path, mode = %format_args!("{mode:o}"), "everybody could write to it, as an earlier version made it");
            node.chmod(mode)?;
        }
        Ok(())
    }

    /// Lets in here whom git let in where the repository was made: under that one's umask and core.sharedRepository it
    /// gave `HEAD` its mode. Only while nobody has given the top directory another.
    fn follow_head(&self) -> FsResult<()> {
        let top = self.files.node(&RepoPath::root())?;
        if top.stat()?.mode() & 0o7777 != DIRECTORY_MODE {
            return Ok(());
        }
        let head = RepoPath::new("HEAD").expect("a valid path");
        match read::reference(self.shared.replica.view(), self.id, &head)? {
            Some(head) if head.mode & libc::S_IFMT == libc::S_IFREG => {
                Ok(top.chmod(directory_like(head.mode))?)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Brings `config` in step with settings that were made elsewhere.
    pub(super) fn follow_settings(&self) -> FsResult<()> {
        match self.shared.config.read_only {
            true => Ok(()),
            false => self.safety.follow(),
        }
    }

    /// The same before somebody is shown what stands at a path. Alone, nobody else sets anything.
    pub(super) fn follow_at(&self, path: &RepoPath) -> FsResult<()> {
        match path.as_bytes() == b"config" && !self.shared.freshness.is_alone() {
            true => self.follow_settings(),
            false => Ok(()),
        }
    }

    /// Whether the publisher is to replicate settings that an earlier version left.
    pub(super) fn has_unreplicated(&self) -> bool {
        self.safety.is_unreplicated()
    }

    /// Replicates them.
    pub(super) fn adopt_settings(&self) -> FsResult<()> {
        match self.safety.is_unreplicated() {
            true => self.safety.adopt(),
            false => Ok(()),
        }
    }

    /// Somebody begins to write a `config`, or its lock file.
    pub(super) fn begin(&self, path: &RepoPath, mode: u32, owner: Owner) -> FsResult<()> {
        match path.as_bytes() {
            b"config.lock" => self.put_include(mode, owner)?,
            b"config" => {}
            _ => return Ok(()),
        }
        self.safety.begin()
    }

    /// The same in place of what is there.
    pub(super) fn begin_in_place(&self) -> FsResult<()> {
        self.safety.begin()
    }

    /// When git begins to write the first `config` of a repository, one with the
    /// include of the replicated settings appears, as git would make it: git adds to that.
    fn put_include(&self, mode: u32, owner: Owner) -> FsResult<()> {
        let config = config_path();
        if self.files.stat(&config)?.is_some() {
            return Ok(());
        }
        if self.had_include.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let include = git_config::INCLUDE.as_bytes();
        self.files.put(&config, include, mode, owner)
    }

    /// A `config` that came with a copy of a repository gets the include as well. One
    /// that somebody writes in place of another stays as it is.
    fn copied(&self) -> FsResult<()> {
        let path = config_path();
        let Some(text) = self.text()? else {
            return Ok(());
        };
        if text.is_empty() || self.had_include.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        if git_config::has_include(&text) {
            return Ok(());
        }
        let file = self.files.open_to_write(&path)?;
        let times = FileTimes::new().set_modified(file.metadata()?.modified()?);
        file.write_all_at(&[git_config::INCLUDE.as_bytes(), &text].concat(), 0)?;
        file.set_times(times)?;
        (self.shared.changed)(self.id, &path);
        Ok(())
    }

    /// rename(2) of a file in the local room.
    pub(super) fn rename(
        &self,
        from: &RepoPath,
        to: &RepoPath,
        by: impl FnOnce() -> Actor,
    ) -> FsResult<()> {
        if to.as_bytes() != b"config" {
            return self.files.rename(from, to);
        }
        let text = text_of(&self.files, from)?;
        self.check_no_work_tree(text.as_deref())?;
        let new = self.files.stat(to)?.is_none();
        if let Some(text) = text {
            let has_begun = from.as_bytes() == b"config.lock";
            self.safety.replicate(&text, has_begun, by())?;
        }
        // Without it the repository is none, however safe its refs are.
        self.safety.put(|| self.files.rename_durably(from, to))?;
        failpoint::CONFIG_RENAMED.hit();
        if new {
            self.copied()?;
        }
        self.changed()
    }

    /// unlink(2) of a file in the local room.
    pub(super) fn unlink(&self, path: &RepoPath) -> FsResult<()> {
        self.files.unlink(path)?;
        if path.as_bytes() == b"config.lock" {
            self.safety.gave_up();
        }
        Ok(())
    }

    /// It was written under its name, by whom nobody knows any more.
    pub(super) fn written(&self, is_new: bool) -> FsResult<()> {
        if is_new {
            self.copied()?;
        }
        if let Some(text) = self.text()? {
            self.safety.replicate(&text, true, Actor::default())?;
            self.safety.put(|| Ok(()))?;
        }
        self.changed()
    }

    /// git gives the lock of the first `config` the mode that core.sharedRepository says, and then that of the `config`
    /// which it finds: our include, made a moment before.
    pub(super) fn follow_lock(&self, mode: u32) -> FsResult<()> {
        let config = config_path();
        match self.files.stat(&config)? {
            Some(meta) if meta.is_file() && meta.len() == git_config::INCLUDE.len() as u64 => {
                Ok(self.files.node(&config)?.chmod(mode)?)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn text(&self) -> FsResult<Option<Vec<u8>>> {
        text_of(&self.files, &config_path())
    }

    /// The files of a work tree would be names of the namespace, one commit each.
    fn check_no_work_tree(&self, config: Option<&[u8]>) -> FsResult<()> {
        if !config.is_some_and(git_config::is_of_work_tree) {
            return Ok(());
        }
        let repo = read::repo(self.shared.replica.view(), self.id)?;
        match repo.is_some_and(|repo| repo.path.file_name() == b".git") {
            true => Err(FsError::NotHere(
                "a work tree has no place on the mount: use git init --bare or git clone --bare, and \
                 git worktree add to a directory of the disk",
            )),
            false => Ok(()),
        }
    }

    /// When git has written other format keys, every machine must know.
    fn changed(&self) -> FsResult<()> {
        let text = self.text()?;
        self.check_no_work_tree(text.as_deref())?;
        let Some(format) = text.and_then(|text| git_config::format_of(&text)) else {
            return Ok(());
        };
        let known = read::repo(self.shared.replica.view(), self.id)?.and_then(|repo| repo.format);
        if known == Some(format) {
            return Ok(());
        }
        let command = Command::SetFormat {
            id: self.id,
            format,
        };
        self.shared.propose(Default::default(), command).map(drop)
    }
}

/// The mode of the directory that git makes under the umask, and for those who share it, under which it made a file.
fn directory_like(file: u32) -> u32 {
    let reads = file & 0o444;
    let shared = match file & 0o020 {
        0 => 0,
        _ => libc::S_ISGID,
    };
    0o700 | file & 0o666 | reads >> 2 | shared
}

/// The text of a `config`. One that is larger than any that somebody writes is not looked into.
pub(super) fn text_of(files: &Files, path: &RepoPath) -> FsResult<Option<Vec<u8>>> {
    match files.read(path, git_config::LARGEST) {
        Err(FsError::TooLarge { .. }) => Ok(None),
        text => text,
    }
}

pub(super) fn config_path() -> RepoPath {
    RepoPath::new("config").expect("a valid path")
}
