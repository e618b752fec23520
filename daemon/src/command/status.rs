//! `gitmoor status`.

use super::{ask, output, unexpected};
use crate::Failure;
use crate::admin::protocol::{MountStatus, Pending, Staging, State, Status};
use crate::admin::{Reply, Request};
use crate::cli::{Place, StatusArgs};
use crate::config::ByteSize;
use gitmoor_fs::StoreOwner;
use std::time::Duration;

/// Asks the daemon how it is.
pub(super) fn run(place: &Place, args: &StatusArgs) -> Result<(), Failure> {
    match ask(place, &Request::Status)? {
        Reply::Status(status) if args.json => Ok(output::json(&status)?),
        Reply::Status(status) => Ok(output::fields(&fields(&status))?),
        other => Err(unexpected(place, &other)),
    }
}

fn fields(status: &Status) -> Vec<(&'static str, String)> {
    let mut fields = vec![("daemon", daemon(status))];
    fields.extend(
        status
            .mounts
            .iter()
            .map(|mount| ("mounted", mounted(mount, status.read_only))),
    );
    fields.push(("data", status.data.display().to_string()));
    fields.push(("store", store(status)));
    fields.extend(status.owner.iter().map(|is| ("owner", owner(is))));
    fields.extend(status.refused.iter().map(|what| ("refused", what.clone())));
    fields.push(("replicator", replicator(&status.replicator)));
    fields.extend(status.asks.iter().map(|node| ("asks", node.clone())));
    let confirmed = status.confirmed_seconds_ago;
    fields.extend(confirmed.map(|ago| ("confirmed", format!("{ago:.1} s ago by the cluster"))));
    fields.push(("pending", pending(&status.pending)));
    fields.push(("staging", staging(&status.staging)));
    fields.push(("cache", cache(status)));
    fields.extend(status.waits.iter().map(|wait| ("waiting", wait.clone())));
    fields
}

fn daemon(status: &Status) -> String {
    let state = match status.state {
        State::Serving => "serving",
        State::Leaving => "leaving",
    };
    let uptime = Duration::from_secs(status.uptime_seconds);
    let uptime = humantime::format_duration(uptime);
    format!(
        "{state}, pid {}, version {}, for {uptime}",
        status.pid, status.version
    )
}

fn mounted(mount: &MountStatus, read_only: bool) -> String {
    let at = mount.mountpoint.display();
    let note = if read_only { ", read-only" } else { "" };
    match &mount.repo {
        Some(repo) => format!("{at} (only {repo}){note}"),
        None => format!("{at}{note}"),
    }
}

fn replicator(node: &gitmoor_replicator::Status) -> String {
    let role = node.role;
    let mut text = format!(
        "{role}, term {}, committed {}, applied {}",
        node.term, node.commit, node.applied
    );
    if node.pending > 0 {
        text.push_str(&format!(", {} proposals under way", node.pending));
    }
    text
}

fn pending(pending: &Pending) -> String {
    let mut text = match pending.files {
        0 => "nothing; everything finished is in the store".to_owned(),
        files => format!("{files} files, {}", ByteSize(pending.bytes)),
    };
    if let Some(failure) = &pending.failure {
        text.push_str("; the last attempt failed: ");
        text.push_str(failure);
    }
    text
}

fn store(status: &Status) -> String {
    let note = if status.offline {
        ", offline: it is not asked, and what this machine lacks is refused"
    } else {
        ""
    };
    format!("{}{note}", status.store)
}

fn owner(owner: &StoreOwner) -> String {
    match (&owner.problem, &owner.claim) {
        (Some(problem), _) => format!("nothing is stored or deleted: {problem}"),
        (None, Some(claim)) => format!("this state, claimed by {claim}"),
        (None, None) => "this state".to_owned(),
    }
}

fn staging(staging: &Staging) -> String {
    let limit = match staging.limit {
        Some(limit) => ByteSize(limit).to_string(),
        None => "unlimited".to_owned(),
    };
    format!("{} of {limit}", ByteSize(staging.staged.bytes))
}

fn cache(status: &Status) -> String {
    format!(
        "{} of {}",
        ByteSize(status.cache.bytes),
        ByteSize(status.cache.limit)
    )
}
