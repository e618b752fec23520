//! `gitmoor doctor`: looks at everything that a mount stands on, with its daemon or without, and says of
//! each thing that is wrong what mends it. What can be mended here without a loss has a [`Fix`].
//!
//! ```text
//! machine   kernel, /dev/fuse, fusermount3, fuse.conf
//! data      who owns the data directory; what is left of those who did; staging
//! disk      room for the cache and for what is staged
//! store     what it must do, tried on an object of its own; who owns it
//! cluster   members, their lag, their certificates
//! mounts    mounts of this machine whose daemon is gone
//! ```

mod cluster;
mod data;
mod disk;
mod fix;
mod hooks;
mod machine;
mod mounts;
mod store;

pub(crate) use fix::Fix;

use super::status::Status;
use super::{Failure, Reply, Request, environment, output};
use crate::admin::{AdminError, Client};
use crate::config::{Place, Settings};
use crate::data_dir::{DataDir, Lock};
use clap::Args;
use gitmoor_store::object_store::Probed;
use serde::{Deserialize, Serialize};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// `gitmoor doctor`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 healthy, or mended; 1 something is wrong; 2 wrong usage or configuration."
)]
pub struct DoctorArgs {
    /// Mend what can be without a loss, each after a confirmation
    #[arg(long)]
    pub fix: bool,
    /// Do not ask
    #[arg(long, requires = "fix")]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `gitmoor doctor` hears of the object store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Which, without secrets.
    pub store: String,
    /// Why it was not tried out.
    pub note: String,
    /// What it can do, if it was.
    pub probed: Option<Probed>,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub name: &'static str,
    /// How it is, when nothing is wrong.
    pub note: String,
    pub findings: Vec<Finding>,
}

/// Something that is wrong.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub problem: String,
    pub mend: String,
    /// Whether it was mended just now.
    pub fixed: bool,
    /// What `--fix` does.
    pub fix: Option<Fix>,
}

impl Check {
    fn new(name: &'static str, note: impl Into<String>, findings: Vec<Finding>) -> Self {
        let note = note.into();
        Self {
            name,
            note,
            findings,
        }
    }
}

impl Finding {
    fn new(problem: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            problem: problem.into(),
            mend: mend.into(),
            fixed: false,
            fix: None,
        }
    }

    fn with(self, fix: Fix) -> Self {
        let fix = Some(fix);
        Self { fix, ..self }
    }
}

struct Patient {
    settings: Settings,
    dir: DataDir,
    /// Why it does not answer, if a daemon owns the directory; `None` when none does.
    daemon: Option<Result<RunningDaemon, String>>,
}

/// A daemon that answers.
struct RunningDaemon {
    client: Client,
    /// Of a mount; a node without one has none.
    status: Option<Box<Status>>,
}

/// Looks at everything, in an order in which the first finding may explain the next.
fn examine(settings: Settings) -> Vec<Check> {
    let dir = DataDir::new(settings.data.clone());
    let daemon = match Lock::wait_until_free(&dir, Duration::ZERO) {
        Ok(true) => None,
        Ok(false) => Some(RunningDaemon::find(&dir)),
        Err(error) => Some(Err(error.to_string())),
    };
    let mut patient = Patient {
        settings,
        dir,
        daemon,
    };
    vec![
        looked("kernel", machine::kernel()),
        machine::fuse(&patient),
        data::owner(&patient),
        looked("staging", data::staging(&patient)),
        disk::room(&patient),
        store::works(&mut patient),
        cluster::members(&mut patient),
        hooks::everywhere(&mut patient),
        looked("mounts", mounts::dead()),
    ]
}

/// What may not be looked at may be ill.
fn looked(name: &'static str, check: io::Result<Check>) -> Check {
    check.unwrap_or_else(|error| {
        let mend = "run the doctor as the user who mounts, or as root";
        let problem = format!("cannot be looked at: {error}");
        Check::new(name, "", vec![Finding::new(problem, mend)])
    })
}

impl RunningDaemon {
    fn find(dir: &DataDir) -> Result<Self, String> {
        let said = |error: AdminError| error.to_string();
        let mut client = Client::connect(dir).map_err(said)?;
        let status = match client.ask(&Request::Status).map_err(said)? {
            Ok(Reply::Status(status)) => Some(status),
            // A node without a mount answers about its cluster only.
            Ok(_) | Err(_) => None,
        };
        Ok(Self { client, status })
    }
}

impl Patient {
    /// The daemon, if it answers.
    fn answering(&mut self) -> Option<&mut RunningDaemon> {
        self.daemon.as_mut()?.as_mut().ok()
    }

    fn status(&self) -> Option<&Status> {
        self.daemon.as_ref()?.as_ref().ok()?.status.as_deref()
    }
}

/// Looks, mends what it may, and says what is left.
pub(super) fn run(place: &Place, args: &DoctorArgs) -> Result<(), Failure> {
    if args.fix && !args.yes && (args.json || !io::stdin().is_terminal()) {
        let why = "doctor --fix: expected --yes, since there is no terminal to confirm it on";
        return Err(Failure::Usage(why.to_owned()));
    }
    let mut checks = examine(Settings::without_mount(place, &environment)?);
    if !args.json {
        print(&checks)?;
    }
    if args.fix {
        for finding in checks.iter_mut().flat_map(|check| &mut check.findings) {
            mend(finding, args)?;
        }
    }
    if args.json {
        output::json(&checks)?;
    }
    let findings = checks.iter().flat_map(|check| &check.findings);
    match findings.filter(|finding| !finding.fixed).count() {
        0 => Ok(()),
        left => Err(Failure::Unhealthy { findings: left }),
    }
}

fn print(checks: &[Check]) -> io::Result<()> {
    for check in checks {
        if check.findings.is_empty() {
            output::line(format_args!("{:8}  {}", check.name, check.note))?;
        }
        for finding in &check.findings {
            output::line(format_args!("{:8}! {}", check.name, finding.problem))?;
            output::line(format_args!("          {}", finding.mend))?;
        }
    }
    Ok(())
}

fn mend(finding: &mut Finding, args: &DoctorArgs) -> Result<(), Failure> {
    let Some(fix) = &finding.fix else {
        return Ok(());
    };
    if !args.yes && !confirmed(&fix.question())? {
        return Ok(());
    }
    match fix.apply() {
        Ok(()) => finding.fixed = true,
        Err(error) => finding.problem = format!("{}; mending it failed: {error}", finding.problem),
    }
    if args.json {
        return Ok(());
    }
    let outcome = if finding.fixed {
        "mended"
    } else {
        "not mended"
    };
    Ok(output::line(format_args!(
        "{outcome}: {}",
        finding.problem
    ))?)
}

fn confirmed(question: &str) -> io::Result<bool> {
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut typed = String::new();
    io::stdin().read_line(&mut typed)?;
    Ok(matches!(typed.trim(), "y" | "Y" | "yes"))
}
