//! git's command line and environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Whose settings git reads, besides those of its repository.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settings {
    /// None but ours.
    Ours,
    /// Those of the system and of the daemon's user: how a server is reached (credentials, keys, proxies), and how
    /// a new repository looks.
    Administrators,
}

/// For every git: nothing of it asks, opens a connection, or runs a program of somebody's choosing.
const ENVIRONMENT: [(&str, &str); 12] = [
    ("GIT_ALLOW_PROTOCOL", "none"),
    ("GIT_ASKPASS", "false"),
    ("GIT_DIR", "/dev/null"),
    ("GIT_EDITOR", "false"),
    ("GIT_GRAFT_FILE", "/dev/null"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_PAGER", "cat"),
    ("GIT_PROTOCOL_FROM_USER", "0"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("LC_ALL", "C"),
];

/// They stand before what any file says.
const CONFIG: [&str; 5] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=false",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// What every program needs to start: libraries and tools of the system, and none of its secrets.
const SYSTEM: [&str; 20] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/dev/null",
    "/dev/urandom",
    "/sys/devices/system/cpu",
    "/proc/sys/vm/overcommit_memory",
];

pub(super) fn command(settings: Settings, step: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let mut git = Command::new("git");
    match settings {
        Settings::Ours => {
            git.env_clear()
                .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
                .env("HOME", "/nonexistent")
                .env("GIT_CONFIG_NOSYSTEM", "1")
                .env("GIT_CONFIG_GLOBAL", "/dev/null");
        }
        // `GIT_DIR` and its kin would redirect it.
        Settings::Administrators => {
            let of_git = std::env::vars_os().map(|(key, _)| key);
            for key in of_git.filter(|key| key.as_encoded_bytes().starts_with(b"GIT_")) {
                git.env_remove(key);
            }
        }
    }
    git.envs(ENVIRONMENT);
    for setting in CONFIG {
        git.args(["-c", setting]);
    }
    git.args(step).stdin(Stdio::null()).stdout(Stdio::null());
    git.current_dir("/");
    git
}

/// Among the words of a step, which may begin with settings.
pub(super) fn is_command(word: &&&str) -> bool {
    !word.starts_with('-') && !word.contains('=')
}

/// All that git itself consists of.
pub(super) fn installed() -> Vec<PathBuf> {
    static INSTALLED: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let look = || {
        let system = SYSTEM.iter().map(PathBuf::from);
        system.chain(executable()).chain(exec_path()).collect()
    };
    INSTALLED.get_or_init(look).clone()
}

/// The git that is found first: it may lie elsewhere, and be a link or a script.
fn executable() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|dir| dir.join("git"));
    let found = found.find(|git| git.is_file());
    let canonical = found.as_ref().and_then(|git| git.canonicalize().ok());
    found.into_iter().chain(canonical).collect()
}

/// Where its parts are.
fn exec_path() -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let mut asked = command(Settings::Ours, &["--exec-path"]);
    let said = asked.stdout(Stdio::piped()).output().ok()?.stdout;
    let path = PathBuf::from(OsString::from_vec(said.trim_ascii_end().to_vec()));
    (path.is_absolute() && path != Path::new("/")).then_some(path)
}
