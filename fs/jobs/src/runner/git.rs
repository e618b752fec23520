//! Runs stock git for long work. Its progress, which it shows to terminals only, is read from the other end of
//! one; and it ends when nobody wants it any more, or when it says nothing for too long.

use super::JobError;
use super::progress::{self, ProgressReporter};
use gitmoor_fs::program::{LINES, POLL, Program, ProgramError, SILENCE, Said, ended};
use nix::fcntl::OFlag;
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use rustix::fs::{Mode, OFlags};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Instant;

/// `git STEP` on a repository of this daemon's own, which it may change.
pub(crate) fn own(dir: &Path, step: &[&str]) -> Program {
    Program::git(step).on(dir).writes(dir)
}

/// Runs a program that shows its progress.
pub(crate) fn run(program: Program, reporter: &ProgressReporter<'_>) -> Result<(), JobError> {
    let step = program.name().to_owned();
    let failed = |error| JobError::of(&step, error);
    let terminal = Terminal::open().map_err(|error| failed(ProgramError::Run(error)))?;
    let program = program.stderr(Stdio::from(terminal.slave));
    // With the command goes this process's end of the terminal: from then on only git holds it.
    let mut started = program.start().map_err(|error| failed(error.into()))?;
    let lines = listen(terminal.master).map_err(|error| failed(error.into()))?;
    let words = follow(&lines, reporter).map_err(failed)?;
    let status = started.wait(&|| reporter.is_over()).map_err(failed)?;
    match words {
        _ if status.success() => Ok(()),
        words if words.is_empty() => Err(JobError::Git {
            step,
            said: ended(status),
        }),
        words => Err(JobError::Git {
            step,
            said: format!("{} ({})", words.join("; "), ended(status)),
        }),
    }
}

/// Both ends of a terminal. No other program that is started meanwhile gets one of them: it would hold the terminal
/// for as long as it runs, and with it the command whose terminal it is.
struct Terminal {
    master: PtyMaster,
    slave: OwnedFd,
}

impl Terminal {
    #[expect(
        clippy::disallowed_methods,
        reason = "the kernel makes the other end, in a directory where nobody else makes anything"
    )]
    fn open() -> io::Result<Self> {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname_r(&master)?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(name, flags, Mode::empty())?;
        Ok(Self { master, slave })
    }
}

/// Runs a program with this on its standard input; what it answers, however it ended.
pub(crate) fn ask(
    program: Program,
    input: &[u8],
    reporter: &ProgressReporter<'_>,
) -> Result<Said, JobError> {
    let step = program.name().to_owned();
    let said = program.ask(input, &|| reporter.is_over());
    said.map_err(|error| JobError::of(&step, error))
}

/// The same of a program that must succeed.
pub(crate) fn ask_ok(
    program: Program,
    input: &[u8],
    reporter: &ProgressReporter<'_>,
) -> Result<Said, JobError> {
    let step = program.name().to_owned();
    let said = ask(program, input, reporter)?;
    match said.status.success() {
        true => Ok(said),
        false => Err(JobError::Git {
            step,
            said: said.words(),
        }),
    }
}

impl JobError {
    /// Of a program that did not come to its end.
    pub(crate) fn of(step: &str, error: ProgramError) -> Self {
        match error {
            ProgramError::Interrupted => Self::Interrupted,
            other => Self::Git {
                step: step.to_owned(),
                said: other.to_string(),
            },
        }
    }
}

/// Lines, and what progress writes over and over, as they come; ends when git has.
fn listen(mut terminal: PtyMaster) -> io::Result<Receiver<String>> {
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
    lines: &Receiver<String>,
    reporter: &ProgressReporter<'_>,
) -> Result<Vec<String>, ProgramError> {
    let mut words: Vec<String> = Vec::new();
    let mut heard = Instant::now();
    loop {
        match lines.recv_timeout(POLL) {
            Ok(line) => {
                heard = Instant::now();
                match progress::parse(&line) {
                    Some((phase, done, total)) => reporter
                        .report(phase, done, total)
                        .map_err(|_| ProgramError::Interrupted)?,
                    None => {
                        words.push(line.trim().to_owned());
                        words.drain(..words.len().saturating_sub(LINES));
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) if reporter.is_over() => {
                return Err(ProgramError::Interrupted);
            }
            Err(RecvTimeoutError::Timeout) if heard.elapsed() > SILENCE => {
                return Err(ProgramError::Silent);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Terminal;
    use rustix::io::{FdFlags, fcntl_getfd};
    use std::os::fd::AsFd;

    #[test]
    fn no_other_program_gets_an_end_of_a_terminal() {
        let terminal = Terminal::open().expect("a terminal");
        for end in [terminal.master.as_fd(), terminal.slave.as_fd()] {
            let flags = fcntl_getfd(end).expect("it is open");
            assert!(flags.contains(FdFlags::CLOEXEC));
        }
    }
}
