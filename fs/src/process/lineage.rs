//! Which command a process is part of: the outermost git above it. `git push` to a path runs
//! git-receive-pack in a shell, which runs git-unpack-objects, and all of them are that push.
#![expect(clippy::disallowed_methods, reason = "/proc is the kernel's")]

use super::{Stat, memory};
use std::path::Path;

/// What may stand between two of them.
const SHELLS: [&str; 4] = ["sh", "bash", "dash", "zsh"];

/// git's own variable for the processes that a traced git starts; no other is looked at.
const SESSION: &[u8] = b"GIT_TRACE2_PARENT_SID=";

/// The outermost git of which a process is part, itself if it is of none. A daemon is no command:
/// what it starts for each of its clients is.
pub(crate) fn command_of(pid: u32) -> u32 {
    let (mut outermost, mut at) = (pid, pid);
    while let Some(stat) = Stat::of(at).filter(|stat| stat.parent > 1) {
        at = stat.parent;
        let name = name(at);
        let is_git = name == "git" || name.starts_with("git-") && name != "git-daemon";
        match is_git {
            true => outermost = at,
            false if SHELLS.contains(&name.as_str()) => {}
            false => break,
        }
    }
    outermost
}

/// What to call it: the program, and git's subcommand. Never another argument, since those may hold
/// secrets.
pub(crate) fn title(user: u32, pid: u32) -> String {
    let line = memory::of(user, pid).command_line.unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let program = words.next().unwrap_or_default();
    let program = Path::new(&*program).file_name();
    let program = program.map_or_else(|| name(pid), |name| name.to_string_lossy().into_owned());
    match (program.as_str(), subcommand(words)) {
        ("git", Some(subcommand)) => format!("git {subcommand}"),
        _ => program,
    }
}

fn subcommand<T: AsRef<str>>(mut words: impl Iterator<Item = T>) -> Option<String> {
    while let Some(word) = words.next() {
        let word = word.as_ref();
        match word {
            "-C" | "-c" | "--git-dir" | "--work-tree" | "--namespace" => drop(words.next()),
            option if option.starts_with('-') => {}
            _ => {
                let is_command = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                return word.bytes().all(is_command).then(|| word.to_owned());
            }
        }
    }
    None
}

/// The trace2 session of the outermost git that recorded one, as git hands it down.
pub(crate) fn session(user: u32, pid: u32) -> Option<String> {
    let environment = memory::of(user, pid).environment?;
    let mut variables = environment.split(|byte| *byte == 0);
    let sessions = variables.find_map(|variable| variable.strip_prefix(SESSION))?;
    let outermost = sessions.split(|byte| *byte == b'/').next()?;
    (!outermost.is_empty()).then(|| String::from_utf8_lossy(outermost).into_owned())
}

fn name(pid: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_subcommand_is_told() {
        let of = |line: &str| subcommand(line.split(' '));
        assert_eq!(of("push https://me:secret@host/x"), Some("push".to_owned()));
        assert_eq!(
            of("-C /x -c a=b --no-pager cat-file -p"),
            Some("cat-file".to_owned())
        );
        assert_eq!(of("-c http.extraHeader=secret"), None);
        assert_eq!(of("https://me:secret@host/x"), None);
    }

    #[test]
    fn a_process_without_git_above_it_is_itself() {
        let mut child = crate::program::of_the_system("sleep");
        let mut child = child.arg("60").spawn().expect("sleep");
        let of = command_of(child.id());
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        let me = std::process::id();
        assert!(
            of == child.id() || command_of(me) == of,
            "a git may run the tests"
        );
    }
}
