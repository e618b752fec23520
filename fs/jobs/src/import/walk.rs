//! Proves that whatever refs reach is copied: git walks the source from all of them, and every object that it comes by is
//! looked up in what is copied. Where the source lacks one, git names it.
//!
//! It walks in a view of the source: no setting, replacement or graft of the source has a say.

use super::ImportError;
use super::contents::Contents;
use super::source::Disk;
use crate::runner::JobError;
use gix_hash::ObjectId;
use std::fmt::Write;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const STEP: [&str; 6] = [
    "-c",
    "core.commitGraph=false",
    "rev-list",
    "--objects",
    "--no-object-names",
    "--stdin",
];

pub(super) struct Walk<'a> {
    contents: &'a Contents,
    seen: AtomicU64,
    stopped: AtomicBool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(contents: &'a Contents) -> Self {
        Self {
            contents,
            seen: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// It is not needed any more.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn run(&self, source: &Disk, tips: &[ObjectId]) -> Result<(), ImportError> {
        if tips.is_empty() {
            return Ok(());
        }
        let mut input = String::new();
        for tip in tips {
            writeln!(input, "{tip}").expect("writing to a String");
        }
        let git = source.git(&STEP);
        let step = git.name().to_owned();
        let is_stopped = || self.stopped.load(Ordering::Relaxed);
        let walked = git.converse(input.as_bytes(), &is_stopped, |output| self.look_up(output));
        let (missing, ended) = walked.map_err(|error| JobError::of(&step, error))?;
        match ended.status.success() {
            true => missing.into_result(),
            false => Err(ImportError::Incomplete {
                path: source.dir.clone(),
                said: ended.words(),
            }),
        }
    }

    fn look_up(&self, output: &mut dyn Read) -> io::Result<Missing> {
        let mut missing = Missing::default();
        for line in BufReader::with_capacity(1 << 20, output).split(b'\n') {
            let oid = ObjectId::from_hex(&line?).map_err(io::Error::other)?;
            if !self.contents.has(&oid) {
                missing.objects += 1;
                missing.example.get_or_insert(oid);
            }
            self.seen.fetch_add(1, Ordering::Relaxed);
        }
        Ok(missing)
    }
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
