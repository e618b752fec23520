//! Stock git, as users have it: every version found on this machine, run in an
//! environment that depends on nothing of its user.

use crate::process;
use crate::requirement::{Requirement, need};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The first second of the tests' clock; every command is one second later, so
/// that commits have an order and runs have the same object names.
const EPOCH: u64 = 1_700_000_000;

/// Settings of the tests' only user. Reflogs and unreachable objects would
/// otherwise expire, because [`EPOCH`] is in the past; nothing runs in the background,
/// because it would outlive its command.
const USER_CONFIG: &str = "\
[user]
\tname = Test
\temail = test@example.com
[init]
\tdefaultBranch = main
[gc]
\tautoDetach = false
\treflogExpire = never
\treflogExpireUnreachable = never
[maintenance]
\tautoDetach = false
[protocol \"file\"]
\tallow = always
[advice]
\tdetachedHead = false
";

/// Major and minor.
pub type Version = (u32, u32);

/// A git on this machine.
#[derive(Clone, Debug)]
pub struct Installed {
    exe: PathBuf,
    full: String,
    /// For [`Git::has`].
    pub version: Version,
}

impl Installed {
    /// Every different version on PATH and in the usual places, oldest first.
    pub fn all() -> Vec<Installed> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
        dirs.extend(["/usr/bin", "/usr/local/bin"].map(PathBuf::from));
        let mut found: Vec<_> = dirs.iter().filter_map(|dir| Self::probe(dir)).collect();
        found.sort_by(|a, b| (a.version, &a.full).cmp(&(b.version, &b.full)));
        found.dedup_by(|a, b| a.full == b.full);
        assert!(!found.is_empty(), "no git in {dirs:?}");
        found
    }

    /// The newest.
    pub fn newest() -> Installed {
        Self::all().pop().expect("at least one git")
    }

    /// Whether this git is at least of that version; says what is left out if not. Another git of this
    /// machine must have it then.
    #[track_caller]
    pub fn has(&self, version: Version, feature: &str) -> bool {
        if self.version >= version {
            return true;
        }
        let (major, minor) = version;
        let lacks = |git: &Installed| format!("{feature} needs git {major}.{minor}, this is {git}");
        println!("left out: {}", lacks(self));
        let newest = Self::newest();
        let able = newest.version >= version;
        let _ = need(Requirement::Git, able.then_some(()).ok_or(lacks(&newest)));
        false
    }

    fn probe(dir: &Path) -> Option<Installed> {
        let exe = dir.join("git");
        let output = Command::new(&exe).arg("version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let full = text.split_whitespace().nth(2)?.to_owned();
        let mut numbers = full.split('.').map(str::parse);
        let version = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Installed { exe, full, version })
    }

    /// This git with a home directory of its own.
    pub fn with_home(&self, home: &Path) -> Git {
        fs::create_dir_all(home).expect("home directory");
        fs::write(home.join(".gitconfig"), USER_CONFIG).expect("user configuration");
        Git {
            installed: self.clone(),
            home: home.to_owned(),
            env: Vec::new(),
            clock: Arc::new(AtomicU64::new(EPOCH)),
        }
    }
}

impl fmt::Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "git {} ({})", self.full, self.exe.display())
    }
}

/// A git, ready to run.
#[derive(Clone, Debug)]
pub struct Git {
    installed: Installed,
    home: PathBuf,
    env: Vec<(OsString, OsString)>,
    clock: Arc<AtomicU64>,
}

impl Git {
    /// The same git with one more environment variable.
    pub fn with_env(&self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Git {
        let mut git = self.clone();
        git.env
            .push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        git
    }

    /// [`Installed::has`] of this git.
    #[track_caller]
    pub fn has(&self, version: Version, feature: &str) -> bool {
        self.installed.has(version, feature)
    }

    /// Commands of this git run in that directory.
    pub fn at(&self, dir: impl Into<PathBuf>) -> Repo {
        Repo {
            git: self.clone(),
            dir: dir.into(),
        }
    }

    /// A command line, not yet started. Only what is set here reaches the child.
    pub fn command(&self, dir: &Path, args: &[OsString]) -> Command {
        let mut command = self.program(&self.installed.exe, dir);
        command.args(args);
        command
    }

    /// Another program, which runs this git.
    pub fn program(&self, program: impl AsRef<OsStr>, dir: &Path) -> Command {
        let mut command = Command::new(program);
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        command
            .current_dir(dir)
            .env_clear()
            .env("PATH", self.search_path())
            .env("HOME", &self.home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_EDITOR", "true")
            .env("GIT_AUTHOR_DATE", format!("{now} +0000"))
            .env("GIT_COMMITTER_DATE", format!("{now} +0000"))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }

    /// A hook or a script that calls `git` must get this one.
    pub fn search_path(&self) -> OsString {
        let own = self.installed.exe.parent().map(Path::to_owned);
        let usual = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
        std::env::join_paths(own.into_iter().chain(usual)).expect("directories without colons")
    }
}

impl fmt::Display for Git {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.installed.fmt(f)
    }
}

/// Arguments of a command: words of one string, or a list when words hold spaces or bytes.
pub trait Args {
    /// One argument each.
    fn words(&self) -> Vec<OsString>;
}

impl Args for str {
    fn words(&self) -> Vec<OsString> {
        self.split_whitespace().map(OsString::from).collect()
    }
}

impl Args for String {
    fn words(&self) -> Vec<OsString> {
        self.as_str().words()
    }
}

impl<T: AsRef<OsStr>, const N: usize> Args for [T; N] {
    fn words(&self) -> Vec<OsString> {
        self.iter().map(|word| word.as_ref().to_owned()).collect()
    }
}

impl<T: AsRef<OsStr>> Args for Vec<T> {
    fn words(&self) -> Vec<OsString> {
        self.iter().map(|word| word.as_ref().to_owned()).collect()
    }
}

impl<A: Args + ?Sized> Args for &A {
    fn words(&self) -> Vec<OsString> {
        (**self).words()
    }
}

/// A directory in which git commands run: a repository, or its work tree.
#[derive(Clone, Debug)]
pub struct Repo {
    /// Which git.
    pub git: Git,
    /// Where.
    pub dir: PathBuf,
}

impl Repo {
    /// Runs a command and returns how it ended.
    #[track_caller]
    pub fn run(&self, args: impl Args, input: &[u8]) -> Output {
        self.run_within(process::LIMIT, args, input)
    }

    /// The same with a time limit of its own.
    #[track_caller]
    pub fn run_within(&self, limit: Duration, args: impl Args, input: &[u8]) -> Output {
        let mut command = self.git.command(&self.dir, &args.words());
        process::run(&mut command, input, limit)
    }

    /// Runs a command for as long as it is needed; `None` when it had to be killed after that.
    #[track_caller]
    pub fn run_while(&self, args: impl Args, needed: impl Fn() -> bool) -> Option<Output> {
        let mut command = self.git.command(&self.dir, &args.words());
        process::run_while(&mut command, b"", process::LIMIT, needed)
    }

    /// A command that must succeed; its standard output without the last newline.
    #[track_caller]
    pub fn ok(&self, args: impl Args) -> String {
        self.feed(args, "")
    }

    /// [`Repo::ok`] with standard input.
    #[track_caller]
    pub fn feed(&self, args: impl Args, input: impl AsRef<[u8]>) -> String {
        let bytes = self.bytes(args, input);
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    /// [`Repo::feed`] with the output's exact bytes.
    #[track_caller]
    pub fn bytes(&self, args: impl Args, input: impl AsRef<[u8]>) -> Vec<u8> {
        let output = self.run(&args, input.as_ref());
        assert!(
            output.status.success(),
            "{} {}",
            self.describe(&args),
            process::report(&output)
        );
        output.stdout
    }

    /// A command that must fail, as git fails: with an exit code, not by a signal. Its standard error.
    #[track_caller]
    pub fn fail(&self, args: impl Args) -> String {
        self.refuse(args, "")
    }

    /// [`Repo::fail`] with standard input.
    #[track_caller]
    pub fn refuse(&self, args: impl Args, input: impl AsRef<[u8]>) -> String {
        let output = self.run(&args, input.as_ref());
        assert!(
            output.status.code().is_some_and(|code| code != 0),
            "should have failed: {} {}",
            self.describe(&args),
            process::report(&output)
        );
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Whether a command succeeds; for questions whose answer is an exit code.
    #[track_caller]
    pub fn is(&self, args: impl Args) -> bool {
        self.run(args, b"").status.success()
    }

    fn describe(&self, args: &impl Args) -> String {
        process::describe(&self.git.command(&self.dir, &args.words()))
    }

    /// The object a name stands for.
    #[track_caller]
    pub fn oid(&self, name: &str) -> String {
        self.ok(["rev-parse", "--verify", name])
    }

    /// Every ref with its value, sorted by name.
    #[track_caller]
    pub fn refs(&self) -> String {
        self.ok(["for-each-ref", "--format=%(objectname) %(refname)"])
    }

    /// The strictest check that git has of objects, links and refs.
    #[track_caller]
    pub fn fsck(&self) {
        let output = self.run("fsck --full --strict --no-dangling", b"");
        assert!(output.status.success(), "fsck {}", process::report(&output));
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(!complaints.contains("error"), "fsck: {complaints}");
    }

    /// How many objects the repository holds, reachable or not.
    #[track_caller]
    pub fn object_count(&self) -> usize {
        let names = self.ok("cat-file --batch-all-objects --batch-check=%(objectname)");
        names.lines().count()
    }

    /// A number of `count-objects -v`.
    #[track_caller]
    pub fn counted(&self, key: &str) -> u64 {
        let report = self.ok("count-objects -v");
        let value = report
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        let value = value.unwrap_or_else(|| panic!("no {key} in {report}"));
        value.parse().expect("a number")
    }

    /// Writes a file of the work tree (or of the repository, when that is where we are).
    #[track_caller]
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.dir.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .unwrap_or_else(|error| panic!("mkdir {}: {error}", parent.display()));
        }
        fs::write(&path, content)
            .unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }

    /// Reads what [`Repo::write`] writes.
    #[track_caller]
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.dir.join(path);
        let bytes =
            fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Changes one file, named after the message, and commits it.
    #[track_caller]
    pub fn commit(&self, message: &str) -> String {
        self.write(format!("{message}.txt"), format!("{message}\n"));
        self.ok("add -A");
        self.ok(["commit", "--quiet", "-m", message]);
        self.oid("HEAD")
    }

    /// Names in a directory, sorted; empty when there is no such directory.
    #[track_caller]
    pub fn names(&self, dir: impl AsRef<Path>) -> Vec<String> {
        names(&self.dir.join(dir))
    }

    /// Imports a stream of [`crate::history`].
    #[track_caller]
    pub fn import(&self, stream: &[u8]) {
        self.feed("fast-import --quiet --force", stream);
    }

    /// The path as a word for [`Args`].
    pub fn path(&self) -> &str {
        self.dir.to_str().expect("the tests' own paths are UTF-8")
    }

    /// A URL that makes git use its transport, not its shortcut for local paths.
    pub fn url(&self) -> String {
        format!("file://{}", self.path())
    }
}

/// Names in a directory, sorted; empty when there is no such directory.
pub fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("directory entry").file_name())
        .map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned())
        .collect();
    names.sort();
    names
}
