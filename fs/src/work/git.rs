//! Runs stock git on a repository. Its progress, which it shows to terminals only, is read from the other end of
//! one. Nothing of the user's or the system's configuration has a say unless it is asked to,
//! and it ends when nobody wants it any more.

use super::WorkError;
use super::progress::{self, Teller};
use nix::pty::openpty;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// How often it is looked whether anybody still wants it.
const POLL: Duration = Duration::from_millis(100);

/// Last lines of git's that an error quotes.
const WORDS: usize = 5;

/// Runs `git STEP` in a repository.
pub(crate) fn run(dir: &Path, step: &[&str], teller: &Teller<'_>) -> Result<(), WorkError> {
    watch(command(dir, step), step, teller)
}

/// Runs a command that [`command`] or [`with_users_settings`] made of a step.
pub(crate) fn watch(
    mut command: Command,
    step: &[&str],
    teller: &Teller<'_>,
) -> Result<(), WorkError> {
    let said = |said: String| WorkError::Git {
        step: format!("git {}", step.first().copied().unwrap_or_default()),
        said,
    };
    let broken = |error: &dyn std::fmt::Display| said(format!("cannot be run: {error}"));
    let terminal = openpty(None, None).map_err(|error| broken(&error))?;
    command.stderr(Stdio::from(terminal.slave));
    let mut child = command.spawn().map_err(|error| broken(&error))?;
    // With it goes this process's end of the terminal: from then on only git holds it.
    drop(command);
    let lines = listen(File::from(terminal.master)).map_err(|error| broken(&error))?;
    let words = follow(&mut child, &lines, teller);
    let status = child.wait().map_err(|error| broken(&error))?;
    match words? {
        _ if status.success() => Ok(()),
        words if words.is_empty() => Err(said(ended(status))),
        words => Err(said(format!("{} ({})", words.join("; "), ended(status)))),
    }
}

/// `git STEP` in a repository, not started yet.
pub(crate) fn command(dir: &Path, step: &[&str]) -> Command {
    in_repository(crate::git::isolated(), dir, step)
}

/// The same with what the daemon's user has configured: credentials, proxies.
pub(crate) fn with_users_settings(dir: &Path, step: &[&str]) -> Command {
    let mut git = crate::git::command();
    git.env("LC_ALL", "C");
    in_repository(git, dir, step)
}

fn in_repository(mut git: Command, dir: &Path, step: &[&str]) -> Command {
    git.env("GIT_DIR", dir)
        .env("GIT_TERMINAL_PROMPT", "0")
        .current_dir(dir)
        .args(step)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // All of what it starts is killed with it.
        .process_group(0);
    git
}

/// How a command ended, and all that it said.
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Runs a command that [`command`] or [`with_users_settings`] made, with this on its standard input.
pub(crate) fn capture(
    mut command: Command,
    input: &[u8],
    teller: &Teller<'_>,
) -> Result<Said, WorkError> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let broken = |error: std::io::Error| WorkError::Git {
        step: "git".to_owned(),
        said: format!("cannot be run: {error}"),
    };
    let mut child = command.spawn().map_err(broken)?;
    let mut stdin = child.stdin.take().expect("it was asked to be a pipe");
    let mut stdout = child.stdout.take().expect("it was asked to be a pipe");
    let mut stderr = child.stderr.take().expect("it was asked to be a pipe");
    std::thread::scope(|scope| {
        // git may end before it has read everything, and is killed before it has said everything.
        scope.spawn(move || drop(stdin.write_all(input)));
        let complaints = scope.spawn(move || read_all(&mut stderr));
        let (done, reading) = mpsc::channel();
        scope.spawn(move || drop(done.send(read_all(&mut stdout))));
        let mut interrupted = false;
        let stdout = loop {
            match reading.recv_timeout(POLL) {
                Ok(stdout) => break stdout,
                Err(_) if teller.is_over() => {
                    interrupted = true;
                    kill(&child);
                }
                Err(_) => {}
            }
        };
        let status = child.wait().map_err(broken)?;
        let stderr = complaints.join().expect("reading does not panic");
        match interrupted {
            true => Err(WorkError::Interrupted),
            false => Ok(Said {
                status,
                stdout,
                stderr,
            }),
        }
    })
}

fn read_all(from: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before an error is what there is.
    let _ = from.read_to_end(&mut bytes);
    bytes
}

/// The error for a command that did not succeed.
pub(crate) fn failed(step: &[&str], said: &Said) -> WorkError {
    WorkError::Git {
        step: format!("git {}", step.first().copied().unwrap_or_default()),
        said: last_words(&said.stderr, said.status),
    }
}

/// Its last complaints, and how it ended.
pub(crate) fn last_words(complaints: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(complaints);
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(WORDS)..];
    match last.is_empty() {
        true => ended(status),
        false => format!("{} ({})", last.join("; "), ended(status)),
    }
}

/// Lines, and what progress writes over and over, as they come; ends when git has.
fn listen(mut terminal: File) -> std::io::Result<Receiver<String>> {
    let (sender, lines) = mpsc::channel();
    let read = move || {
        let (mut line, mut buffer) = (Vec::new(), [0; 4096]);
        // A terminal that nobody holds is an error to read.
        while let Ok(read @ 1..) = terminal.read(&mut buffer) {
            for &byte in &buffer[..read] {
                match byte {
                    b'\r' | b'\n' if line.is_empty() => {}
                    b'\r' | b'\n' => {
                        let text = String::from_utf8_lossy(&line).into_owned();
                        line.clear();
                        if sender.send(text).is_err() {
                            return;
                        }
                    }
                    byte => line.push(byte),
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("work-git".to_owned())
        .spawn(read)
        .map(|_| lines)
}

/// Passes progress on until git ends, or is to; its last words that were none.
fn follow(
    child: &mut Child,
    lines: &Receiver<String>,
    teller: &Teller<'_>,
) -> Result<Vec<String>, WorkError> {
    let mut words: Vec<String> = Vec::new();
    loop {
        let told = match lines.recv_timeout(POLL) {
            Ok(line) => match progress::parse(&line) {
                Some((phase, done, total)) => teller.tell(phase, done, total),
                None => {
                    words.push(line.trim().to_owned());
                    words.drain(..words.len().saturating_sub(WORDS));
                    Ok(())
                }
            },
            Err(RecvTimeoutError::Timeout) if !teller.is_over() => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(WorkError::Interrupted),
            Err(RecvTimeoutError::Disconnected) => return Ok(words),
        };
        if told.is_err() {
            kill(child);
        }
        told?;
    }
}

/// And all that it has started.
pub(crate) fn kill(child: &Child) {
    let group = i32::try_from(child.id()).map(Pid::from_raw);
    // It may have ended by itself.
    let _ = group.map(|group| killpg(group, Signal::SIGKILL));
}

fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        // What a failed read through a map is.
        (None, Some(libc::SIGBUS)) => "killed by SIGBUS: a read of the mount failed".to_owned(),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
    }
}
