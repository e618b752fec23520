//! The cluster, as this node sees it.

use super::{Check, Finding, Patient};
use crate::command::cluster::{ClusterRequest, ClusterStatus, MemberLine};
use crate::command::{Reply, Request};
use crate::data_dir::{DataDir, DataDirError};
use gitmoor_replicator::net::{Holder, Identity};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Entries that a member in good order is not behind: some seconds of a busy cluster.
const LAG: u64 = 10_000;

/// Long enough to restart every node in peace.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 24 * 3600);

pub(super) fn members(patient: &mut Patient) -> Check {
    let name = "cluster";
    let wrong =
        |problem: String, mend: &str| Check::new(name, "", vec![Finding::new(problem, mend)]);
    let identity = match part(&patient.dir) {
        Ok(Some(identity)) => identity,
        Ok(None) => return Check::new(name, "this machine is alone", Vec::new()),
        Err(error) => return wrong(error.to_string(), "see what the message says"),
    };
    let Some(daemon) = patient.answering() else {
        let (part, start) = match identity.holder {
            Holder::Node(_) => ("node", "start it: gitmoor mount, or gitmoor node"),
            Holder::Client(_) => ("client", "start it: gitmoor mount"),
        };
        let mut findings = vec![Finding::new(
            format!(
                "this machine is a {part} of a cluster, and its daemon does not run, or not answer"
            ),
            start,
        )];
        findings.extend(expiring(
            identity.holder,
            identity.expires,
            SystemTime::now(),
        ));
        return Check::new(name, "", findings);
    };
    let elsewhere = "see gitmoor cluster status on another node";
    match daemon.client.ask(&Request::Cluster(ClusterRequest::Status)) {
        Ok(Ok(Reply::Cluster(status))) => Check::new(
            name,
            format!("{} of {} members", status.this, status.members.len()),
            judged(&status, SystemTime::now()),
        ),
        Ok(Ok(other)) => wrong(
            format!("unexpected reply {other:?}"),
            "use one version everywhere",
        ),
        Ok(Err(rejection)) => wrong(rejection.to_string(), elsewhere),
        Err(error) => wrong(error.to_string(), elsewhere),
    }
}

/// Who this machine is in a cluster; `None` when it is alone.
fn part(dir: &DataDir) -> Result<Option<Identity>, DataDirError> {
    if dir.cluster().is_client() {
        return dir.cluster().client_identity().map(|it| Some(it.identity));
    }
    Ok(dir.cluster().membership()?.map(|it| it.identity))
}

fn judged(status: &ClusterStatus, now: SystemTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(status.hooks.iter().map(|(machine, why)| {
        Finding::new(
            format!("machine {machine} takes no push: {why}"),
            "make its hooks directory as that of the others, or roll its own out: gitmoor hooks promote",
        )
    }));
    if status.leader.is_none() {
        findings.push(Finding::new(
            "nobody leads: no majority of the voters answers each other",
            "start the nodes that do not answer; see gitmoor cluster status",
        ));
    }
    for member in &status.members {
        findings.extend(of_member(member));
        let expires = member.certificate_expires.map(Duration::from_secs);
        findings.extend(
            expires.and_then(|at| expiring(Holder::Node(member.node), UNIX_EPOCH + at, now)),
        );
    }
    findings
}

fn of_member(member: &MemberLine) -> Option<Finding> {
    let MemberLine { node, address, .. } = member;
    if let Some(why) = &member.error {
        return Some(Finding::new(
            format!("node {node} at {address} does not answer: {why}"),
            format!("start it; if it is gone for good: gitmoor cluster remove {node}"),
        ));
    }
    let lag = member.lag.filter(|lag| *lag > LAG)?;
    Some(Finding::new(
        format!("node {node} at {address} is {lag} entries behind"),
        "see its disk and its network, and gitmoor_replicator_round_seconds",
    ))
}

fn expiring(holder: Holder, expires: SystemTime, now: SystemTime) -> Option<Finding> {
    (expires < now + EXPIRES_SOON).then(|| {
        let at = humantime::format_rfc3339_seconds(expires);
        Finding::new(
            format!("the certificate of {holder} expires at {at}"),
            format!("restart {holder}: it gets a new one then"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::cluster::MemberRole;

    const DAY: u64 = 24 * 3600;

    fn member(node: u64) -> MemberLine {
        MemberLine {
            node,
            address: format!("n{node}:7400"),
            role: MemberRole::Voter,
            applied: Some(7),
            lag: Some(0),
            certificate_expires: Some(400 * DAY),
            version: None,
            error: None,
        }
    }

    fn found(members: Vec<MemberLine>, leader: Option<u64>) -> Vec<String> {
        let status = ClusterStatus {
            cluster: "c".to_owned(),
            this: "node 1".to_owned(),
            leader,
            term: 1,
            commit: 7,
            clients: Default::default(),
            limits: Default::default(),
            hooks: Default::default(),
            members,
        };
        let now = UNIX_EPOCH + Duration::from_secs(100 * DAY);
        let findings = judged(&status, now);
        findings
            .into_iter()
            .map(|finding| finding.problem)
            .collect()
    }

    #[test]
    fn who_takes_no_push() {
        let status = ClusterStatus {
            cluster: "c".to_owned(),
            this: "node 1".to_owned(),
            leader: Some(1),
            term: 1,
            commit: 7,
            clients: Default::default(),
            limits: Default::default(),
            hooks: [(3, "update in its hooks directory differs".to_owned())].into(),
            members: vec![member(1)],
        };
        let findings = judged(&status, UNIX_EPOCH + Duration::from_secs(100 * DAY));
        let [finding] = &findings[..] else {
            panic!("one finding: {findings:?}");
        };
        assert!(finding.problem.contains("machine 3") && finding.problem.contains("update"));
    }

    #[test]
    fn what_is_wrong_with_members() {
        assert!(found(vec![member(1), member(2)], Some(1)).is_empty());
        let behind = MemberLine {
            lag: Some(LAG + 1),
            ..member(2)
        };
        let soon = MemberLine {
            certificate_expires: Some(129 * DAY),
            ..member(3)
        };
        let later = MemberLine {
            certificate_expires: Some(131 * DAY),
            ..member(4)
        };
        let said = found(vec![member(1), behind, soon, later], None);
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("nobody leads"), "{said:?}");
        assert!(
            said[1].contains("node 2") && said[1].contains("behind"),
            "{said:?}"
        );
        assert!(
            said[2].contains("node 3") && said[2].contains("expires"),
            "{said:?}"
        );
    }
}
