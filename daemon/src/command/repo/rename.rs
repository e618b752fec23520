//! `gitmoor repo rename`.

use crate::config::RepoName;
use clap::Args;
use serde::{Deserialize, Serialize};

/// `gitmoor repo rename`, as it is typed and as it is asked.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenameRequest {
    /// The name it has
    pub from: RepoName,
    /// The name it shall have
    pub to: RepoName,
}
