//! Every program that the daemon and its command line start. Nothing else in `fs` and `daemon` starts any.
//!
//! Who writes to a repository chooses its configuration, refs and objects, and with them what git does there. So
//! git is started like this:
//!
//! - It reads no configuration that is not made here: a repository of others is shown to it as a [`ReadView`].
//! - It runs as the repository's owner where that user has less than the daemon's ([`User`]).
//! - Its environment is made anew, and turns off protocols, lazy fetches, hooks, pagers and editors (`git.rs`).
//! - Landlock keeps it to the paths and the network that its job needs (`confine.rs`).
//! - It has limits: memory, output, and how long it may say nothing; it ends, with all that it has started, when
//!   nobody wants it any more (`child.rs`, `output.rs`).
//!
//! No hook is run, but for a push through a door, where the hooks are the administrator's (`gitmoor serve --hooks`).

mod child;
mod confine;
mod git;
mod loose_refs;
mod mount_space;
mod output;
mod read_view;
mod scratch;
mod template;
mod user;

pub use confine::{Confinement, confinement};
pub use git::Settings;
pub use loose_refs::symbolic as symbolic_ref;
pub use output::{Ended, IsOver, ProgramError, SILENCE, Said};
pub use read_view::{ReadView, ViewError};
pub use scratch::Scratch;
pub use template::template_dirs;
pub use user::User;

pub use mount_space::Stage;
pub use output::{LINES, POLL, ended};
pub use read_view::{regular, small};

use child::Before;
use confine::Reach;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A program about to be started, and all that it may do.
pub struct Program {
    command: Command,
    name: String,
    user: Option<User>,
    reach: Reach,
    umask: u32,
    stage: Option<Stage>,
}

impl Program {
    /// `git STEP` on no repository, with no settings but git's defaults and ours.
    pub fn git(step: &[&str]) -> Self {
        Self::git_with(Settings::Ours, step)
    }

    /// The same with settings of somebody's.
    pub fn git_with(settings: Settings, step: &[&str]) -> Self {
        let name = step.iter().find(git::is_command);
        let mut program = Self {
            command: git::command(settings, step),
            name: format!("git {}", name.copied().unwrap_or_default()),
            user: None,
            reach: Reach::default(),
            umask: 0o077,
            stage: None,
        };
        program.reach.runs = match settings {
            Settings::Ours => git::installed(),
            // Includes, keys, certificates and helpers may lie anywhere.
            Settings::Administrators => vec!["/".into()],
        };
        program
    }

    /// On this repository, whose `config` was made by us; or git stands in for somebody on another machine, who reaches
    /// no more by it than this one repository.
    pub fn on(mut self, git_dir: &Path) -> Self {
        self.command.env("GIT_DIR", git_dir).current_dir(git_dir);
        self.reach.reads.push(git_dir.to_owned());
        self
    }

    /// More words of the command line.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Something in the environment.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// The directory that the program starts in.
    pub fn within(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What is at or below this path may be read.
    pub fn reads(mut self, path: &Path) -> Self {
        self.reach.reads.push(path.to_owned());
        self
    }

    /// What is at or below this path may be run: programs of the administrator's.
    pub fn runs(mut self, path: &Path) -> Self {
        self.reach.runs.push(path.to_owned());
        self
    }

    /// What is at or below this path may be changed: regular files and directories.
    pub fn writes(mut self, path: &Path) -> Self {
        self.reach.writes.push(path.to_owned());
        self
    }

    /// It may open connections.
    pub fn with_network(mut self) -> Self {
        self.reach.network = true;
        self
    }

    /// The umask of the program; 077 unless set.
    pub fn umask(mut self, umask: u32) -> Self {
        self.umask = umask;
        self
    }

    /// As this user, not as the daemon's.
    pub fn as_user(mut self, user: Option<User>) -> Self {
        self.user = user;
        self
    }

    /// Where another path is seen as this one, by the program alone.
    pub fn on_stage(mut self, stage: Option<Stage>) -> Self {
        self.stage = stage;
        self
    }

    /// What it says to its users goes there.
    pub fn stderr(mut self, to: Stdio) -> Self {
        self.command.stderr(to);
        self
    }

    /// What it is told comes from there.
    pub fn stdin(mut self, from: Stdio) -> Self {
        self.command.stdin(from);
        self
    }

    /// What it puts out goes there.
    pub fn stdout(mut self, to: Stdio) -> Self {
        self.command.stdout(to);
        self
    }

    /// For messages: the program and its command.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// It runs until this is dropped.
    pub fn start(mut self) -> io::Result<Started> {
        let mut before = Before {
            ruleset: self.reach.ruleset()?,
            user: self.user,
            umask: self.umask,
            memory: child::memory(),
            stage: self.stage,
        };
        // All of what it starts is ended with it.
        self.command.process_group(0);
        // SAFETY: `Before::apply` makes system calls and nothing else: it takes no lock and allocates no memory.
        unsafe { self.command.pre_exec(move || before.apply()) };
        Ok(Started(self.command.spawn()?))
    }
}

/// A program that runs. When dropped, it and all that it has started have ended.
pub struct Started(Child);

impl Started {
    /// The process, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// And all that it has started.
    pub fn kill(&self) {
        use nix::sys::signal::{Signal, killpg};
        let group = i32::try_from(self.0.id()).map(nix::unistd::Pid::from_raw);
        // It may have ended by itself.
        let _ = group.map(|group| killpg(group, Signal::SIGKILL));
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.kill();
        // A killed one ends.
        let _ = self.0.wait();
    }
}

/// A program of the administrator's that needs the daemon's own rights, and that nobody else's files have a say
/// in: `fusermount3`, which is set-user-id, `stat`, and this program itself.
pub fn of_the_system(name: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    Command::new(name)
}
