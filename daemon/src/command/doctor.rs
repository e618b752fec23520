//! `gitmoor doctor`.

use super::{environment, output};
use crate::Failure;
use crate::cli::{DoctorArgs, Place};
use crate::config::Settings;
use crate::doctor::{self, Check, Finding};
use std::io::{self, IsTerminal, Write};

/// Looks, mends what it may, and says what is left.
pub(super) fn run(place: &Place, args: &DoctorArgs) -> Result<(), Failure> {
    if args.fix && !args.yes && (args.json || !io::stdin().is_terminal()) {
        let why = "doctor --fix: expected --yes, since there is no terminal to confirm it on";
        return Err(Failure::Usage(why.to_owned()));
    }
    let mut checks = doctor::examine(Settings::without_mount(place, &environment)?);
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
