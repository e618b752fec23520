//! What every answer on the socket has, whatever was asked.

use gitmoor_jobs::runner::Progress;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest line either side accepts, bytes. A listing of a hundred thousand
/// repositories fits; a runaway peer does not.
pub(super) const LINE_LIMIT: u64 = 64 << 20;

/// One line of answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer<Reply> {
    /// The request was carried out.
    Ok(Reply),
    /// It is not, and nothing was changed unless the message says so.
    Error(Rejection),
    /// It goes on; more lines follow.
    Progress(Progress),
}

impl<Reply> From<Result<Reply, Rejection>> for Answer<Reply> {
    fn from(result: Result<Reply, Rejection>) -> Self {
        match result {
            Ok(reply) => Self::Ok(reply),
            Err(rejection) => Self::Error(rejection),
        }
    }
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Whose fault it is.
    pub kind: RejectionKind,
    /// One sentence for a person.
    pub message: String,
}

/// Becomes the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectionKind {
    /// Ask differently: exit code 2.
    Usage,
    /// It did not work: exit code 1.
    Failed,
}

impl Rejection {
    /// The request itself is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self {
            kind: RejectionKind::Usage,
            message: message.to_string(),
        }
    }

    /// It did not work.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self {
            kind: RejectionKind::Failed,
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl std::error::Error for Rejection {}
