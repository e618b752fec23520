//! Proves that whatever refs reach is copied: git walks the source from all of them, and every object that it comes by is
//! looked up in what is copied. Where the source lacks one, git names it.
//!
//! It walks in a private repository that borrows the objects: no setting, replacement or graft of the source has a say.
#![expect(
    clippy::disallowed_methods,
    reason = "the private directory of an import is the daemon's own"
)]

use super::contents::Contents;
use super::source::Disk;
use super::{ImportError, Run};
use crate::work::git;
use gix_hash::ObjectId;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const STEP: [&str; 6] = [
    "-c",
    "core.commitGraph=false",
    "rev-list",
    "--objects",
    "--no-object-names",
    "--stdin",
];

/// git, about to walk.
pub(super) struct Walker {
    command: Command,
    source: PathBuf,
}

/// One walk.
pub(super) struct Walk<'a> {
    contents: &'a Contents,
    seen: AtomicU64,
    stopped: AtomicBool,
}

/// The walk of a source.
pub(super) fn command(run: &Run<'_>, source: &Disk) -> Result<Walker, ImportError> {
    let dir = run.private.fresh("view")?;
    let local = ImportError::local(&dir);
    furnish(&dir, source, &source.objects(&run.teller)?).map_err(local)?;
    let mut command = git::command(&dir, &STEP);
    command
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let source = source.dir.clone();
    Ok(Walker { command, source })
}

fn furnish(dir: &Path, source: &Disk, objects: &[PathBuf]) -> std::io::Result<()> {
    fs::create_dir_all(dir.join("objects/info"))?;
    fs::create_dir_all(dir.join("refs"))?;
    fs::write(dir.join("HEAD"), "ref: refs/heads/none\n")?;
    let format = source.format.name();
    let config = format!(
        "[core]\n\trepositoryFormatVersion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = {format}\n"
    );
    fs::write(dir.join("config"), config)?;
    let mut alternates = Vec::new();
    for objects in objects {
        alternates.extend(fs::canonicalize(objects)?.as_os_str().as_bytes());
        alternates.push(b'\n');
    }
    fs::write(dir.join("objects/info/alternates"), alternates)
}

impl<'a> Walk<'a> {
    pub(super) fn new(contents: &'a Contents) -> Self {
        Self {
            contents,
            seen: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// Objects so far.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// It is not needed any more.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn run(&self, mut git: Walker, tips: &[ObjectId]) -> Result<(), ImportError> {
        if tips.is_empty() {
            return Ok(());
        }
        let broken = |error: std::io::Error| ImportError::Git {
            step: "git rev-list".to_owned(),
            said: format!("cannot be run: {error}"),
        };
        let mut child = git.command.spawn().map_err(broken)?;
        let stdin = child.stdin.take().expect("it was asked to be a pipe");
        let mut stderr = child.stderr.take().expect("it was asked to be a pipe");
        let (looked_up, complaints) = std::thread::scope(|scope| {
            // git may end before it has read everything; it says why.
            scope.spawn(move || drop(write_tips(stdin, tips)));
            let complaints = scope.spawn(move || {
                let mut text = Vec::new();
                let _ = stderr.read_to_end(&mut text);
                text
            });
            let looked_up = self.look_up(&mut child);
            let complaints = complaints.join().expect("reading does not panic");
            (looked_up, complaints)
        });
        let status = child.wait().map_err(broken)?;
        if self.stopped.load(Ordering::Relaxed) {
            return Err(ImportError::Interrupted);
        }
        match status.success() {
            true => looked_up.map_err(broken)?.into_result(),
            false => Err(ImportError::Incomplete {
                path: git.source,
                said: git::last_words(&complaints, status),
            }),
        }
    }

    fn look_up(&self, child: &mut Child) -> std::io::Result<Missing> {
        let stdout = child.stdout.take().expect("it was asked to be a pipe");
        let mut missing = Missing::default();
        for line in BufReader::with_capacity(1 << 20, stdout).split(b'\n') {
            if self.stopped.load(Ordering::Relaxed) {
                git::kill(child);
                break;
            }
            let oid = ObjectId::from_hex(&line?).map_err(std::io::Error::other)?;
            if !self.contents.has(&oid) {
                missing.objects += 1;
                missing.example.get_or_insert(oid);
            }
            self.seen.fetch_add(1, Ordering::Relaxed);
        }
        Ok(missing)
    }
}

fn write_tips(stdin: impl Write, tips: &[ObjectId]) -> std::io::Result<()> {
    let mut out = BufWriter::new(stdin);
    for tip in tips {
        writeln!(out, "{tip}")?;
    }
    out.flush()
}

/// What is in the source and was not there when its files were listed.
#[derive(Default)]
struct Missing {
    objects: u64,
    example: Option<ObjectId>,
}

impl Missing {
    fn into_result(self) -> Result<(), ImportError> {
        match self.example {
            None => Ok(()),
            Some(example) => Err(ImportError::Moved(format!(
                "{} objects such as {example} came to other files than those that were copied",
                self.objects
            ))),
        }
    }
}
