//! `gitmoor repo delete`.

use super::info::InfoRequest;
use super::{Failure, Request, ask, done};
use crate::command::confirm::confirm;
use crate::config::{Place, RepoName};
use clap::Args;
use serde::{Deserialize, Serialize};

/// `gitmoor repo delete`.
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// What is asked.
    #[command(flatten)]
    pub request: DeleteRequest,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// Which repository is deleted.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteRequest {
    /// Such as team/app.git
    pub name: RepoName,
}

/// That there is none is said before anything is asked.
pub(super) fn run(place: &Place, args: DeleteArgs) -> Result<(), Failure> {
    let DeleteArgs { request, yes } = args;
    let name = request.name.clone();
    ask(
        place,
        &Request::RepoInfo(InfoRequest { name: name.clone() }),
    )?;
    let question = format!("Delete {name} for every machine that mounts it?");
    confirm(
        &format!("repo delete {name}"),
        &question,
        name.as_str(),
        yes,
    )?;
    done(place, &Request::RepoDelete(request))
}
