//! `gitmoor hooks …`: the hooks directory of this machine, and the one of its cluster.

use super::documented::documented;
use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{Place, Seconds};
use clap::Subcommand;
use gitmoor_fs::{HooksStatus, MachineHooksStatus};
use serde::{Deserialize, Serialize};
use std::io;
use std::time::{Duration, SystemTime};

/// `gitmoor hooks …`.
#[derive(Debug, Subcommand)]
pub enum HooksCommand {
    /// Show which hooks directory the cluster accepts, and which machine has another one
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make what is in the hooks directory of this machine now what all machines of the cluster are to have
    Promote {
        /// How long the one before is accepted as well, such as 10m or 1d [default 1h]
        #[arg(long, value_name = "TIME")]
        grace: Option<Seconds>,
    },
}

documented! {
    /// What may be asked about hooks.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(tag = "about", rename_all = "kebab-case", deny_unknown_fields)]
    pub enum HooksRequest {
        /// Shows what this machine and the others have. Answered with `hooks`.
        Status,
        /// Makes what this machine has what all machines are to have. Answered with `hooks`.
        Promote {
            /// The one before is accepted for so long.
            seconds: u64,
        },
    }
}

/// Long enough to change each machine of a cluster by hand.
const GRACE: Duration = Duration::from_secs(3600);

/// Asks the daemon.
pub(super) fn run(place: &Place, command: HooksCommand) -> Result<(), Failure> {
    let (request, json) = match command {
        HooksCommand::Status { json } => (HooksRequest::Status, json),
        HooksCommand::Promote { grace } => {
            let seconds = grace.map_or(GRACE, |grace| grace.0).as_secs();
            (HooksRequest::Promote { seconds }, false)
        }
    };
    match ask(place, &Request::Hooks(request))? {
        Reply::Hooks(status) if json => Ok(output::json(&status)?),
        Reply::Hooks(status) => Ok(print(&status)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print(status: &HooksStatus) -> io::Result<()> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let directory = match &status.directory {
        Some(path) => path.display().to_string(),
        None => "none".to_owned(),
    };
    let mut fields = vec![("directory", directory), ("in use", text(&status.in_use))];
    let waiting = status.waiting.iter();
    fields.extend(waiting.map(|digest| {
        let why = "in the directory, and not in use before gitmoor hooks promote";
        ("waiting", format!("{digest}, {why}"))
    }));
    fields.extend(status.problem.iter().map(|why| ("problem", why.clone())));
    fields.extend(status.refusal.iter().map(|why| ("no push", why.clone())));
    fields.push(("cluster's", text(&status.promoted)));
    fields.extend(status.former.iter().map(|(digest, until)| {
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(*until);
        let until = humantime::format_rfc3339_seconds(until);
        ("accepted", format!("{} until {until}", text(digest)))
    }));
    output::fields(&fields)?;
    for (machine, hooks) in &status.machines {
        output::line(format_args!("machine {machine}  {}", told(hooks)))?;
    }
    let mut repositories = status.repositories.iter();
    repositories.try_for_each(|lacking| output::line(format_args!("lacking  {lacking}")))
}

fn told(hooks: &MachineHooksStatus) -> String {
    let digest = hooks.directory.as_deref().unwrap_or("none");
    match (hooks.accepted, &hooks.differs) {
        (true, None) => format!("{digest}  accepted"),
        (true, Some(file)) => format!("{digest}  accepted, and {file} is to change"),
        (false, Some(file)) => format!("{digest}  takes no push: {file} differs"),
        (false, None) => format!("{digest}  takes no push"),
    }
}
