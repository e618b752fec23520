//! Stock git, as this program starts it.

use std::process::Command;

/// `git`, which works on what it is told to and on nothing else: `GIT_DIR` and its kin, which would
/// redirect it, are not passed on.
pub fn command() -> Command {
    let mut git = Command::new("git");
    for (key, _) in std::env::vars_os() {
        if key.as_encoded_bytes().starts_with(b"GIT_") {
            git.env_remove(key);
        }
    }
    git
}

/// The same, and nothing that a user or the system has configured has a say; it speaks English.
pub fn isolated() -> Command {
    let mut git = command();
    git.env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("LC_ALL", "C");
    git
}
