//! `gitmoor audit`.

use super::{Failure, Reply, Request, ask, output, unexpected};
use crate::config::{Moment, Place};
use clap::Args;
use gitmoor_model::Actor;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;
use std::{fmt, io};

/// `gitmoor audit`.
#[derive(Args, Debug)]
pub struct AuditArgs {
    /// A repository, by name, or a deleted one by id or the name it had; without it, what became of
    /// repositories and directories
    pub name: Option<String>,
    /// Only this ref, such as main or refs/heads/main
    #[arg(long = "ref", value_name = "REF", requires = "name")]
    pub reference: Option<String>,
    /// Nothing before this, such as 2026-03-01, or 7d for the last week
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What to look for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// A repository: its name, or the name or id of a deleted one. Without it, what became of
    /// repositories and directories.
    pub of: Option<String>,
    /// Only this ref.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// Nothing before this: seconds since 1970.
    pub since: Option<i64>,
    /// Nothing before this commit: 0, or what the last answer says.
    pub from: u64,
}

/// Some of the lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The oldest first.
    pub lines: Vec<AuditLine>,
    /// Where to go on; `None` when this is all.
    pub next: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When, by the clock of whoever asked for it: seconds since 1970.
    pub time: i64,
    /// By which commit.
    pub version: u64,
    /// The repository's id; none of a directory.
    pub repository: Option<String>,
    /// What happened: `ref`, `setting`, `renamed`, ….
    pub event: String,
    /// To what: a ref, a setting, a path.
    pub what: String,
    /// What it was before; none for nothing.
    pub old: Option<String>,
    /// What it is from then on.
    pub new: Option<String>,
    #[serde(flatten)]
    pub who: Who,
}

/// Whoever changed something, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// The node or client through which it was done.
    pub node: Option<u64>,
    /// The user; none for Gitmoor itself.
    pub uid: Option<u32>,
    pub pid: Option<u32>,
    /// What that was started as.
    pub command: Option<String>,
    /// The address that it served.
    pub address: Option<String>,
}

/// When refs last moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastPush {
    /// Seconds since 1970.
    pub time: i64,
    #[serde(flatten)]
    pub who: Who,
}

impl AuditQuery {
    /// Whether a line was asked for.
    pub(crate) fn matches(&self, line: &AuditLine) -> bool {
        let is_meant = |wanted: &String| {
            let forms = ["", "refs/", "refs/heads/", "refs/tags/", "refs/remotes/"];
            let mut forms = forms.iter().map(|prefix| format!("{prefix}{wanted}"));
            line.event == "ref" && forms.any(|name| name == line.what)
        };
        self.since.is_none_or(|since| line.time >= since)
            && self.reference.as_ref().is_none_or(is_meant)
    }
}

impl From<Actor> for Who {
    fn from(actor: Actor) -> Self {
        let Actor {
            uid,
            pid,
            node,
            command,
            address,
        } = actor;
        Self {
            node,
            uid,
            pid,
            command,
            address,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.uid, self.pid) {
            (Some(uid), Some(pid)) => write!(f, "uid {uid}, pid {pid}")?,
            _ => write!(f, "gitmoor itself")?,
        }
        if let Some(command) = &self.command {
            write!(f, ", {command}")?;
        }
        if let Some(address) = &self.address {
            write!(f, ", from {address}")?;
        }
        match self.node {
            Some(node) => write!(f, ", on node {node}"),
            None => Ok(()),
        }
    }
}

/// Asks for a trail, piece by piece.
pub(super) fn run(place: &Place, args: AuditArgs) -> Result<(), Failure> {
    let now = SystemTime::now();
    let mut query = AuditQuery {
        of: args.name,
        reference: args.reference,
        since: args.since.map(|since| since.seconds(now)),
        from: 0,
    };
    let mut all = Vec::new();
    let mut next = Some(0);
    while let Some(from) = next {
        query.from = from;
        let page = match ask(place, &Request::Audit(query.clone()))? {
            Reply::Audit(page) => page,
            other => return Err(unexpected(place, &other)),
        };
        next = page.next;
        match args.json {
            true => all.extend(page.lines),
            false => page.lines.iter().try_for_each(print)?,
        }
    }
    match args.json {
        true => Ok(output::json(&all)?),
        false => Ok(()),
    }
}

fn print(line: &AuditLine) -> io::Result<()> {
    let AuditLine {
        event, what, who, ..
    } = line;
    let what = match event.as_str() {
        "ref" => what.clone(),
        event => format!("{event} {what}"),
    };
    let nothing = || "nothing".to_owned();
    let change = match (&line.old, &line.new) {
        (None, None) => String::new(),
        (old, new) => {
            let (old, new) = (old.clone(), new.clone());
            let (old, new) = (old.unwrap_or_else(nothing), new.unwrap_or_else(nothing));
            format!("  {old} -> {new}")
        }
    };
    let date = output::date(line.time);
    output::line(format_args!("{date}  {what}{change}  by {who}"))
}
