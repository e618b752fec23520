//! Long work on one repository: one at a time, here and in the cluster; told to whoever asked for it and in
//! `gitmoor status`; over when nobody wants it any more, or when the daemon leaves.

pub(crate) mod git;
mod progress;
mod running;

pub(crate) use progress::Teller;
pub use progress::{Nobody, Onlooker, Part, Progress};
pub(crate) use running::{Running, Work, Working};

/// Why it came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
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
