//! How far work is: told to whoever asked for it, and in `gitmoor status`.

use super::JobError;
use super::guard::JobGuard;
use serde::{Deserialize, Serialize};

/// How far it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// The repository's path in the namespace.
    pub repository: String,
    /// What is being done: `Storing`, or in git's own words.
    pub phase: String,
    /// How much of the phase is done.
    pub done: u64,
    /// Where that is known.
    pub total: Option<u64>,
    /// Where `done` is bytes: how many objects they hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<Count>,
}

/// So many of so many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Count {
    /// How many are done.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// Who asked for it.
pub trait ProgressSink: Sync {
    /// Is told now and then.
    fn report(&self, progress: &Progress);

    /// Whether nobody wants it any more.
    fn is_cancelled(&self) -> bool;
}

/// For work that nobody asked for, so that nobody leaves; how far it is, `gitmoor status` says.
pub struct NoProgress;

impl ProgressSink for NoProgress {
    fn report(&self, _: &Progress) {}

    fn is_cancelled(&self) -> bool {
        false
    }
}

pub(crate) struct ProgressReporter<'a> {
    running: &'a JobGuard<'a>,
    sink: &'a dyn ProgressSink,
}

impl<'a> ProgressReporter<'a> {
    pub(crate) fn new(running: &'a JobGuard<'a>, sink: &'a dyn ProgressSink) -> Self {
        Self { running, sink }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.running.is_ending() || self.sink.is_cancelled()
    }

    /// An error when it is to end.
    pub(crate) fn report(
        &self,
        phase: &str,
        done: u64,
        total: Option<u64>,
    ) -> Result<(), JobError> {
        self.report_objects(phase, done, total, None)
    }

    /// The same of bytes that hold objects.
    pub(crate) fn report_objects(
        &self,
        phase: &str,
        done: u64,
        total: Option<u64>,
        objects: Option<Count>,
    ) -> Result<(), JobError> {
        if self.is_over() {
            return Err(JobError::Interrupted);
        }
        let progress = Progress {
            repository: self.running.repository().to_owned(),
            phase: phase.to_owned(),
            done,
            total,
            objects,
        };
        self.running.note(&progress);
        self.sink.report(&progress);
        Ok(())
    }
}

/// A line of git's: `Writing objects:  40% (4/10), 1.20 MiB | …`, `Enumerating objects: 7, done.`
pub(super) fn parse(line: &str) -> Option<(&str, u64, Option<u64>)> {
    let (phase, rest) = line.trim().split_once(": ")?;
    let number = |text: &str| text.trim().parse().ok();
    if let Some((_, rest)) = rest.split_once('(')
        && let Some((done, rest)) = rest.split_once('/')
        && let Some((total, _)) = rest.split_once(')')
    {
        return Some((phase, number(done)?, Some(number(total)?)));
    }
    let done = rest.split(',').next()?;
    Some((phase, number(done)?, None))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn gits_own_words() {
        for (line, expected) in [
            (
                "Writing objects:  40% (4/10), 1.20 MiB | 3.00 MiB/s",
                Some(("Writing objects", 4, Some(10))),
            ),
            (
                "Enumerating objects: 407, done.",
                Some(("Enumerating objects", 407, None)),
            ),
            (
                "Counting objects: 100% (3/3), done.",
                Some(("Counting objects", 3, Some(3))),
            ),
            ("Delta compression using up to 2 threads", None),
            ("fatal: unable to read deadbeef", None),
            ("error: (1/0", None),
            ("Nothing new to pack.", None),
            ("", None),
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
    }
}
