//! A user whom nobody trusts, beside a daemon of root that lets other users in: what that user
//! may write to, what must stay as it is whatever the user does, and who must be served meanwhile.

use crate::backend::Kind;
use crate::git::{Git, Installed, Repo};
use crate::mount::Settings;
use crate::place::{Place, let_others_through};
use crate::process;
use crate::requirement::{Requirement, demand};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// User and group of the intruder; no account has them.
pub const INTRUDER: u32 = 61_234;

/// How long another repository may take to answer, on two busy cores.
pub const BOUND: Duration = Duration::from_secs(30);

/// A mount of root's with `allow-other`. The intruder owns `a.git` and `$HOME`, and may write to nothing else.
pub struct Ground {
    /// The mount. `a.git` and `other.git` are in it.
    pub place: Place,
    /// The intruder's repository, as root's git sees it.
    pub mine: Repo,
    /// Root's repository, of mode 0700, with a commit.
    pub other: Repo,
    /// The intruder's own directory on the disk.
    pub home: PathBuf,
    /// Root's files on the disk.
    pub canaries: Canaries,
    git: Git,
}

impl Ground {
    /// A mount with a configuration file. The test must run as root.
    #[track_caller]
    pub fn new(kind: Kind, toml: &str) -> Ground {
        Self::with(kind, toml, |settings| settings)
    }

    /// The same with other settings of the mount.
    #[track_caller]
    pub fn with(kind: Kind, toml: &str, change: impl FnOnce(Settings) -> Settings) -> Ground {
        let root = nix::unistd::geteuid().is_root();
        let root = root
            .then_some(())
            .ok_or("this test is another user beside root");
        demand(Requirement::Root, root);
        let toml = format!("allow-other = true\n{toml}");
        let place = Place::with(kind, &Installed::newest(), |settings| {
            change(Settings { toml, ..settings })
        });
        let above = place.scratch.parent().expect("a directory").to_owned();
        fs::set_permissions(&above, Permissions::from_mode(0o711)).expect("chmod");
        let_others_through();
        let home = above.join("intruder");
        fs::create_dir(&home).expect("mkdir");
        chown(&home, Some(INTRUDER), Some(INTRUDER)).expect("chown");
        let canaries = Canaries::new(&above.join("canaries"));
        let git = Installed::newest().with_home(&home);
        chown(home.join(".gitconfig"), Some(INTRUDER), Some(INTRUDER)).expect("chown");

        let (other, _) = place.pushed("other.git", 2);
        fs::set_permissions(&other.dir, Permissions::from_mode(0o700)).expect("chmod");
        let (mine, _) = place.pushed("a.git", 2);
        give(&mine.dir);
        let mine = trusting(&place.git).at(&mine.dir);
        Ground {
            place,
            mine,
            other,
            home,
            canaries,
            git,
        }
    }

    /// A shell script of the intruder's, in `a.git`. `$M` is the mount point, `$CANARIES` the directory of root's
    /// files, `$HOME` the intruder's.
    #[track_caller]
    pub fn sh(&self, script: &str) -> Output {
        self.sh_within(script, process::LIMIT)
    }

    /// The same with a time limit; the test fails when that is over.
    #[track_caller]
    pub fn sh_within(&self, script: &str, limit: Duration) -> Output {
        let mut command = self.command("sh");
        command.args(["-c", script]);
        process::run(&mut command, b"", limit)
    }

    /// [`Ground::sh`] that must succeed; its standard output without the last newline.
    #[track_caller]
    pub fn sh_ok(&self, script: &str) -> String {
        let output = self.sh(script);
        let report = process::report(&output);
        assert!(output.status.success(), "{script}: {report}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// The real directory of `a.git`, in the data directory.
    #[track_caller]
    pub fn real_dir(&self) -> PathBuf {
        let marker = "its real directory";
        self.sh_ok(&format!(": >'{marker}'"));
        let repos = self.place.daemon().settings().data.join("repos");
        let homes = fs::read_dir(repos).expect("repositories").flatten();
        let mut tops = homes.map(|home| home.path().join("files"));
        let top = tops
            .find(|top| top.join(marker).exists())
            .expect("one has it");
        self.sh_ok(&format!("rm '{marker}'"));
        top
    }

    /// A git of the intruder's configuration, for work trees on the disk.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// A `gitmoor` command of root's.
    #[track_caller]
    pub fn gitmoor(&self, args: &[&str]) -> Output {
        self.place.daemon().settings().gitmoor(args)
    }

    /// A program of the intruder's that a test goes on beside, in `a.git`; to be ended by the test.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.mine.dir);
        command.env_clear().env("HOME", &self.home);
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("M", &self.place.root);
        command.env("CANARIES", &self.canaries.dir);
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        command.uid(INTRUDER).gid(INTRUDER);
        command
    }

    /// What must hold whatever the intruder did: the daemon lives, other repositories answer
    /// within [`BOUND`], root's files are as they were.
    #[track_caller]
    pub fn unharmed(&self) {
        assert!(self.place.daemon().is_alive(), "the daemon has ended");
        let began = Instant::now();
        self.other.ok("for-each-ref");
        self.other.fsck();
        assert!(
            began.elapsed() < BOUND,
            "other.git took {:?}",
            began.elapsed()
        );
        self.canaries.untouched();
    }
}

/// A git of root's that works in repositories of others, which git refuses by itself.
fn trusting(git: &Git) -> Git {
    let git = git.with_env("GIT_CONFIG_COUNT", "1");
    let git = git.with_env("GIT_CONFIG_KEY_0", "safe.directory");
    git.with_env("GIT_CONFIG_VALUE_0", "*")
}

/// Gives everything below a directory to the intruder. Replicated files follow the top directory; hooks of the machine
/// stay the machine's.
fn give(dir: &Path) {
    to_the_intruder(dir);
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let kind = entry.file_type().expect("its type");
        match kind.is_dir() {
            true => give(&entry.path()),
            false => to_the_intruder(&entry.path()),
        }
    }
}

fn to_the_intruder(path: &Path) {
    let given = std::os::unix::fs::lchown(path, Some(INTRUDER), Some(INTRUDER));
    let is_of_the_machine = |error: &std::io::Error| error.raw_os_error() == Some(libc::EROFS);
    if let Err(error) = given {
        assert!(
            is_of_the_machine(&error),
            "chown {}: {error}",
            path.display()
        );
    }
}

/// Root's files outside of the mount: bytes, modes, owners and modification times are compared.
pub struct Canaries {
    /// `secret` (0600), `large-secret` (0600, 64 KiB), `program` (0755, 64 KiB), `setuid` (4755), `list` (0644),
    /// and the empty directory `dir` (0700).
    pub dir: PathBuf,
    before: Vec<State>,
}

#[derive(PartialEq, Eq, Debug)]
struct State {
    path: PathBuf,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
    bytes: Option<Vec<u8>>,
}

impl Canaries {
    /// What [`Canaries::dir`] names, in a new directory that others may pass through and not write to.
    fn new(dir: &Path) -> Canaries {
        fs::create_dir(dir).expect("mkdir");
        fs::set_permissions(dir, Permissions::from_mode(0o755)).expect("chmod");
        let large = b"the secret of root\n".repeat(64 * 1024 / 19);
        for (name, mode, bytes) in [
            ("secret", 0o600, b"the secret of root\n" as &[u8]),
            ("large-secret", 0o600, &large),
            ("program", 0o755, &large),
            ("setuid", 0o4755, b"#!/bin/sh\nid\n"),
            ("list", 0o644, b"one\n"),
        ] {
            let path = dir.join(name);
            fs::write(&path, bytes).expect("write");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("chmod");
        }
        fs::create_dir(dir.join("dir")).expect("mkdir");
        fs::set_permissions(dir.join("dir"), Permissions::from_mode(0o700)).expect("chmod");
        let before = states(dir);
        let dir = dir.to_owned();
        Canaries { dir, before }
    }

    /// Nothing came, nothing went, nothing changed.
    #[track_caller]
    pub fn untouched(&self) {
        let now = states(&self.dir);
        let names = |states: &[State]| -> Vec<_> {
            states.iter().map(|state| state.path.clone()).collect()
        };
        assert_eq!(names(&now), names(&self.before), "root's files");
        for (now, before) in now.iter().zip(&self.before) {
            assert!(
                now == before,
                "root's file changed: {now:?}\nit was {before:?}"
            );
        }
    }
}

fn states(dir: &Path) -> Vec<State> {
    let mut paths = vec![dir.to_owned()];
    let entries = fs::read_dir(dir).expect("a directory").flatten();
    paths.extend(entries.map(|entry| entry.path()));
    paths.sort();
    let state = |path: PathBuf| {
        let meta = fs::symlink_metadata(&path).expect("it is there");
        State {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            modified: (meta.mtime(), meta.mtime_nsec()),
            bytes: meta.is_file().then(|| fs::read(&path).expect("read")),
            path,
        }
    };
    paths.into_iter().map(state).collect()
}

/// Runs something as the intruder, in a thread of its own. The thread alone changes its user: descriptors that it
/// opens may be handed back and go on, as those of a process that holds them.
#[track_caller]
pub fn as_intruder<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_intruder();
            act()
        });
        thread.join().expect("the intruder's thread")
    })
}

/// Of the calling thread alone: the raw system calls, unlike libc's, do not change the others.
fn become_intruder() {
    let id = libc::c_long::from(INTRUDER);
    // SAFETY: the three calls change the calling thread's credentials and read no memory (the list of groups is
    // empty).
    let results = unsafe {
        [
            libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()),
            libc::syscall(libc::SYS_setresgid, id, id, id),
            libc::syscall(libc::SYS_setresuid, id, id, id),
        ]
    };
    assert_eq!(results, [0; 3], "only root may become another user");
}
