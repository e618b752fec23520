//! `gitmoor take-over`: makes the state of a mount the owner of its object store.

use super::confirm::confirm;
use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::admin::Rejection;
use crate::config::Place;
use clap::Args;
use gitmoor_fs::StoreOwner;
use gitmoor_fs::owner::Claim;

/// `gitmoor take-over`.
#[derive(Args, Debug)]
pub struct TakeOverArgs {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Asks the daemon whose the store is, says what will be, and asks for it.
pub(super) fn run(place: &Place, args: &TakeOverArgs) -> Result<(), Failure> {
    let status = match ask(place, &Request::Status)? {
        Reply::Status(status) => status,
        other => return Err(unexpected(place, &other)),
    };
    let Some(StoreOwner { is_this, claim, .. }) = status.owner else {
        return Err(Failure::Rejected(Rejection::failed(
            "this mount is offline or read-only, and owns no store: mount without --offline and --read-only",
        )));
    };
    if !is_this {
        let question = sentence(&status.store, claim.as_ref());
        confirm("take-over", &question, "yes", args.yes)?;
    }
    match ask(place, &Request::TakeOver)? {
        Reply::Owner(owner) if args.json => Ok(output::json(&owner)?),
        Reply::Owner(_) => Ok(output::line(match is_this {
            true => "this mount's state owns the store already",
            false => "this mount's state owns the store now",
        })?),
        other => Err(unexpected(place, &other)),
    }
}

pub(super) fn sentence(store: &str, former: Option<&Claim>) -> String {
    let former = match former {
        Some(claim) => format!("{claim}, which owns {store} now,"),
        None => format!("Whatever else uses {store}"),
    };
    format!(
        "{former} will store and delete nothing there any more, and what it has stored and this state does not know \
         is removed after gc-grace."
    )
}
