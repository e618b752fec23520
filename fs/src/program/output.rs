//! What a program says, and how it ends: within bounds of size and silence, and no longer than it is wanted.

use super::{Program, Started};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a program may say nothing. Longer than a read of the mount waits for the store; work that takes longer tells how far it is.
pub const SILENCE: Duration = Duration::from_secs(15 * 60);

/// How often it is looked whether anybody still wants it.
pub const POLL: Duration = Duration::from_millis(100);

/// Bytes that are kept of what a program says to its users: the last ones.
const COMPLAINTS: usize = 64 << 10;

/// Bytes that a program may put out in one answer: two million refs have less.
const ANSWER: u64 = 512 << 20;

/// Last lines that an error quotes.
pub const LINES: usize = 5;

/// A program did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It could not be started, or its output not be read.
    #[error("cannot be run: {0}")]
    Run(#[from] io::Error),
    /// Nobody wants it any more.
    #[error("interrupted")]
    Interrupted,
    /// The program hung, and was ended.
    #[error("said nothing for {SILENCE:?}, and was ended")]
    Silent,
    /// Its answer is larger than any could be.
    #[error("said more than {ANSWER} bytes, and was ended")]
    TooMuch,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// What it said to its users; the end of it, if that was much.
    pub stderr: Vec<u8>,
}

/// How a program ended, and all that it answered.
#[derive(Debug)]
pub struct Said {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// What it said to its users; the end of it, if that was much.
    pub stderr: Vec<u8>,
}

impl Ended {
    /// Its last complaints, and how it ended.
    pub fn words(&self) -> String {
        last_words(&self.stderr, self.status)
    }
}

impl Said {
    /// Its last complaints, and how it ended.
    pub fn words(&self) -> String {
        last_words(&self.stderr, self.status)
    }
}

/// Asked now and then whether nobody wants it any more.
pub type IsOver<'a> = &'a (dyn Fn() -> bool + Sync);

/// One end of a pipe. A read waits no longer than [`SILENCE`], nor than anybody wants it.
struct Output<'a, R> {
    pipe: R,
    is_over: IsOver<'a>,
    /// What is there already is still read when it is over.
    to_the_end: bool,
}

impl<R: Read + AsFd> Read for Output<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let pause = Timespec {
            tv_sec: 0,
            tv_nsec: POLL.as_nanos() as _,
        };
        loop {
            if !self.to_the_end && (self.is_over)() {
                return Err(io::Error::other(ProgramError::Interrupted));
            }
            let mut wanted = [PollFd::new(&self.pipe, PollFlags::IN)];
            match poll(&mut wanted, Some(&pause)) {
                Ok(0) if self.to_the_end && (self.is_over)() => return Ok(0),
                Ok(0) if begun.elapsed() > SILENCE => {
                    return Err(io::Error::other(ProgramError::Silent));
                }
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.pipe.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Program {
    /// Runs it with this on its standard input, and answers all that it puts out.
    pub fn ask(self, input: &[u8], is_over: IsOver<'_>) -> Result<Said, ProgramError> {
        let (stdout, Ended { status, stderr }) = self.converse(input, is_over, |output| {
            let mut answer = Vec::new();
            output.take(ANSWER + 1).read_to_end(&mut answer)?;
            match answer.len() as u64 > ANSWER {
                true => Err(io::Error::other(ProgramError::TooMuch)),
                false => Ok(answer),
            }
        })?;
        Ok(Said {
            status,
            stdout,
            stderr,
        })
    }

    /// The same, and hands what it puts out to a reader as it comes. When the reader fails, the program is ended.
    pub fn converse<T>(
        self,
        input: &[u8],
        is_over: IsOver<'_>,
        read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
    ) -> Result<(T, Ended), ProgramError> {
        let piped = self.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = piped.stdin(Stdio::piped()).start()?;
        let child = program.child();
        let mut stdin = child.stdin.take().expect("it was asked to be a pipe");
        let stdout = child.stdout.take().expect("it was asked to be a pipe");
        let stderr = child.stderr.take().expect("it was asked to be a pipe");
        let is_ended = AtomicBool::new(false);
        let ended = || is_ended.load(Ordering::Relaxed);
        let (read, status, stderr) = std::thread::scope(|scope| {
            // It may end before it has read everything; it says why.
            scope.spawn(move || drop(stdin.write_all(input)));
            let complaints = Output {
                pipe: stderr,
                is_over: &ended,
                to_the_end: true,
            };
            let complaints = scope.spawn(move || tail(complaints));
            let mut output = Output {
                pipe: stdout,
                is_over,
                to_the_end: false,
            };
            let read = read(&mut output);
            // From now on nobody reads what it writes.
            drop(output);
            let status = match &read {
                Ok(_) => program.wait(is_over),
                Err(_) => program.end(),
            };
            is_ended.store(true, Ordering::Relaxed);
            let stderr = complaints.join().expect("reading does not panic");
            (read, status, stderr)
        });
        let read = read.map_err(ProgramError::from_read)?;
        Ok((
            read,
            Ended {
                status: status?,
                stderr,
            },
        ))
    }
}

impl ProgramError {
    fn from_read(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Run)
    }
}

impl Started {
    /// Until it has ended by itself, or is not wanted any more.
    pub fn wait(&mut self, is_over: IsOver<'_>) -> Result<ExitStatus, ProgramError> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.child().try_wait()? {
                return Ok(status);
            }
            if is_over() {
                return Err(ProgramError::Interrupted);
            }
            if begun.elapsed() > SILENCE {
                return Err(ProgramError::Silent);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL);
        }
    }

    fn end(&mut self) -> Result<ExitStatus, ProgramError> {
        self.kill();
        Ok(self.child().wait()?)
    }
}

/// The end of what it says; the beginning is forgotten.
fn tail(mut from: impl Read) -> Vec<u8> {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    // What was read before an error is what there is.
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..read]);
        let old = kept.len().saturating_sub(COMPLAINTS);
        kept.drain(..old);
    }
    kept
}

/// The last complaints of a program, and how it ended.
pub(crate) fn last_words(complaints: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(complaints);
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    match last.is_empty() {
        true => ended(status),
        false => format!("{} ({})", last.join("; "), ended(status)),
    }
}

/// How a program ended, in words.
pub fn ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        // What a failed read through a map is.
        (None, Some(libc::SIGBUS)) => "killed by SIGBUS: a read of the mount failed".to_owned(),
        (None, signal) => format!("killed by signal {}", signal.unwrap_or_default()),
    }
}
