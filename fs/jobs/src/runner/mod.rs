//! Long work on one repository: one at a time, here and in the cluster; told to whoever asked for it and in
//! `gitmoor status`; over when nobody wants it any more, or when the daemon leaves.

pub(crate) mod git;
mod guard;
mod progress;

pub use guard::Runner;
pub(crate) use guard::{Job, JobGuard};
pub(crate) use progress::ProgressReporter;
pub use progress::{Count, NoProgress, Progress, ProgressSink};

/// Why it came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// Another has the lock.
    #[error("this work is under way {0} already")]
    UnderWay(&'static str),
    /// Whoever asked for it, or the daemon, is leaving.
    #[error("interrupted")]
    Interrupted,
    /// git could not do it.
    #[error("{step}: {said}")]
    Git {
        /// The command, without its options.
        step: String,
        /// Its last words, or how it ended.
        said: String,
    },
}
