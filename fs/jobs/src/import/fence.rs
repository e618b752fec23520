//! The fence of a repository that was taken over: it takes no more ref changes: whoever tries is told where it went.
//!
//! git asks the hook `reference-transaction` when it has locked all refs of a transaction and before it changes any
//! of them (githooks(5), git 2.28 and later). A transaction that had its locks before the hook was there goes on, so its
//! lock files are waited for; one that takes them later is refused. After that nothing moves, and the refs that
//! are read then are the last.
#![expect(
    clippy::disallowed_methods,
    reason = "a source is read and written with the rights of its owner, and only regular files are opened"
)]

use super::ImportError;
use super::source::Disk;
use crate::runner::{ProgressReporter, git};
use gitmoor_fs::beneath::{Dir, is_absent};
use gitmoor_fs::program::{Program, Settings, small};
use gitmoor_model::NamePath;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const HOOK: &str = "reference-transaction";

/// By this line our hook is known.
const MARK: &str = "# Written by gitmoor, which has taken this repository over.";

/// How long a transaction that was under way may take.
const TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// Locks of all refs together, wherever they are stored.
const LOCKS: [&str; 3] = ["HEAD.lock", "packed-refs.lock", "reftable/tables.list.lock"];

/// The fence of one source.
pub(super) struct Fence<'a>(pub(super) &'a Disk);

impl Fence<'_> {
    /// Returns when no ref can change any more.
    pub(super) fn put_up(
        &self,
        path: &NamePath,
        reporter: &ProgressReporter<'_>,
    ) -> Result<(), ImportError> {
        let hook = self.hooks(reporter)?.join(HOOK);
        match self.0.as_owner(|| small(&hook)).flatten() {
            Ok(text) if is_ours(&text) => {}
            Ok(_) => {
                return Err(ImportError::InTheWay {
                    path: hook,
                    reason:
                        "there is a hook, and the fence is a hook of that name: put yours aside"
                            .to_owned(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.put(&hook, path)?,
            Err(error) => return Err(ImportError::reading(&hook)(error)),
        }
        self.wait_for_locks(reporter).inspect_err(|_| {
            if let Err(error) = self.take_down() {
                tracing::error!(hook = %hook.display(), %error, "cannot be removed: remove it, so that pushes are taken again");
            }
        })
    }

    /// It takes ref changes again.
    pub(super) fn take_down(&self) -> io::Result<()> {
        let hook = self.0.dir.join("hooks").join(HOOK);
        self.0.as_owner(|| match small(&hook) {
            Ok(text) if is_ours(&text) => fs::remove_file(&hook),
            Ok(_) | Err(_) => Ok(()),
        })?
    }

    /// Where git looks for them, if that is a place of this repository alone.
    fn hooks(&self, reporter: &ProgressReporter<'_>) -> Result<PathBuf, ImportError> {
        let own = self.0.dir.join("hooks");
        let Some(path) = self.hooks_path(reporter)? else {
            return Ok(own);
        };
        let hooks = self.0.dir.join(path);
        match hooks == own || fs::canonicalize(&hooks).ok() == fs::canonicalize(&own).ok() {
            true => Ok(own),
            false => Err(ImportError::InTheWay {
                path: hooks,
                reason: "git takes the hooks of this repository from there (core.hooksPath), and the fence is for it alone: unset that".to_owned(),
            }),
        }
    }

    /// What of the settings that have a say comes last. `git config` runs nothing and looks at no repository: it reads files,
    /// and as the owner those that the repository's own names.
    fn hooks_path(&self, reporter: &ProgressReporter<'_>) -> Result<Option<PathBuf>, ImportError> {
        let config = self.0.dir.join("config");
        let owner = self.0.owner().filter(|owner| owner.may_read(&config));
        let of_file = Program::git(&["config", "--file"]).args([&config]);
        let of_file = of_file.reads(Path::new("/")).as_user(owner.cloned());
        let of = |scope| Program::git_with(Settings::Administrators, &["config", scope]);
        for git in [of_file, of("--global"), of("--system")] {
            let git = git.args(["--includes", "--type=path", "--get", "core.hooksPath"]);
            let said = git::ask(git, b"", reporter)?;
            match said.status.code() {
                Some(0) => {
                    let path = OsStr::from_bytes(said.stdout.trim_ascii_end());
                    return Ok(Some(PathBuf::from(path)));
                }
                // Nothing is set, or there is no such file.
                Some(1) => {}
                _ => return Err(self.0.damaged(said.words())),
            }
        }
        Ok(None)
    }
}

impl Fence<'_> {
    fn put(&self, hook: &Path, path: &NamePath) -> Result<(), ImportError> {
        let write = || put(&Dir::open(&self.0.dir)?, path);
        self.0
            .as_owner(write)
            .flatten()
            .map_err(ImportError::local(hook))
    }

    /// Whoever has one now had it, or may have had it, before the hook was there.
    fn wait_for_locks(&self, reporter: &ProgressReporter<'_>) -> Result<(), ImportError> {
        let before = Instant::now();
        let mut locks = self.locks()?;
        while !locks.is_empty() {
            if before.elapsed() > TIMEOUT {
                return Err(ImportError::InTheWay {
                    path: locks.remove(0),
                    reason: format!(
                        "it has been there for {TIMEOUT:?}: somebody is changing refs, or a git that died left it behind; remove it if nobody is"
                    ),
                });
            }
            reporter.report("Waiting", locks.len() as u64, None)?;
            std::thread::sleep(POLL);
            // New ones are those of transactions that will be refused.
            locks.retain(|lock| lock.symlink_metadata().is_ok());
        }
        Ok(())
    }

    fn locks(&self) -> Result<Vec<PathBuf>, ImportError> {
        let mut found: Vec<_> = LOCKS
            .iter()
            .map(|name| self.0.dir.join(name))
            .filter(|lock| lock.symlink_metadata().is_ok())
            .collect();
        self.0
            .as_owner(|| locks_below(&self.0.dir.join("refs"), &mut found))??;
        Ok(found)
    }
}

fn locks_below(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), ImportError> {
    let entries = match fs::read_dir(dir) {
        // Of reftables it is a file; a directory that was just emptied is removed.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(());
        }
        entries => entries.map_err(ImportError::reading(dir))?,
    };
    for entry in entries {
        let entry = entry.map_err(ImportError::reading(dir))?;
        let kind = entry.file_type().map_err(ImportError::reading(dir))?;
        let path = entry.path();
        if path.extension() == Some(OsStr::new("lock")) {
            found.push(path);
        } else if kind.is_dir() {
            locks_below(&path, found)?;
        }
    }
    Ok(())
}

fn is_ours(hook: &[u8]) -> bool {
    hook.windows(MARK.len()).any(|at| at == MARK.as_bytes())
}

/// The directory of hooks is as that of the repository is, if it has to be made.
fn put(dir: &Dir, path: &NamePath) -> io::Result<()> {
    let (hooks, hook) = (Path::new("hooks"), Path::new("hooks").join(HOOK));
    if dir.stat(hooks)?.is_none() {
        let top = dir.node(Path::new(""))?.stat()?;
        dir.mkdir(hooks)?;
        let made = dir.node(hooks)?;
        made.chmod(top.mode() & 0o777)?;
        match made.chown(Some(top.uid()), Some(top.gid())) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            Ok(()) | Err(_) => {}
        }
        dir.sync(Path::new(""))?;
    }
    // It has its mode before it has its name: git passes over one that it may not run.
    let made = hook.with_extension("gitmoor");
    match dir.unlink(&made) {
        Err(error) if !is_absent(&error) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = dir.create(&made)?;
    file.write_all(script(path).as_bytes())?;
    file.set_permissions(Permissions::from_mode(0o755))?;
    file.sync_all()?;
    dir.rename(&made, &hook)?;
    dir.sync(hooks)
}

/// The name is quoted for the shell.
fn script(path: &NamePath) -> String {
    let name = path.to_string().replace('\'', r"'\''");
    format!(
        "#!/bin/sh\n{MARK}\n\
         # Its refs are there now; this hook keeps them from changing here.\n\
         [ \"$1\" = prepared ] || exit 0\n\
         printf '%s\\n' 'this repository has moved: push to {name} on Gitmoor' >&2\n\
         exit 1\n"
    )
}
