//! The hooks of this machine, and of repositories on the machines of its cluster.

use super::{Check, Finding, Patient};
use crate::command::hooks::HooksRequest;
use crate::command::{Reply, Request};
use gitmoor_fs::HooksStatus;

pub(super) fn everywhere(patient: &mut Patient) -> Check {
    let name = "hooks";
    // A node without a mount shows no hooks, and what does not answer is said of the cluster.
    let is_mounted = patient.status().is_some();
    let Some(daemon) = patient.answering().filter(|_| is_mounted) else {
        return Check::new(name, "not asked: nothing is mounted", Vec::new());
    };
    let wrong = |problem: String| {
        let mend = "see what the message says, and use one version everywhere";
        Check::new(name, "", vec![Finding::new(problem, mend)])
    };
    match daemon.client.ask(&Request::Hooks(HooksRequest::Status)) {
        Ok(Ok(Reply::Hooks(status))) => Check::new(name, note(&status), judged(&status)),
        Ok(Ok(other)) => wrong(format!("unexpected reply {other:?}")),
        Ok(Err(rejection)) => wrong(rejection.to_string()),
        Err(error) => wrong(error.to_string()),
    }
}

fn note(status: &HooksStatus) -> String {
    match (&status.directory, &status.in_use) {
        (Some(path), Some(digest)) => format!("{} ({digest})", path.display()),
        (Some(_), None) | (None, _) => "each repository has its own".to_owned(),
    }
}

fn judged(status: &HooksStatus) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(status.problem.iter().map(|problem| {
        let mend = "see what the message says; what was in the directory before is in use";
        Finding::new(problem.clone(), mend)
    }));
    findings.extend(status.waiting.iter().map(|digest| {
        Finding::new(
            format!("the hooks directory has another content ({digest}) than is in use"),
            "make it the cluster's: gitmoor hooks promote; or put back what was there",
        )
    }));
    findings.extend(status.repositories.iter().map(|lacking| {
        Finding::new(
            lacking.clone(),
            "have the host install its hooks there too, or use one hooks directory (--hooks), or missing-hooks",
        )
    }));
    findings
}
