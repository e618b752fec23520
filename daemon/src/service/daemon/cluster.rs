//! Answers about the cluster: who is in it and how they are, and who comes and goes.

use crate::admin::Rejection;
use crate::command::Reply;
use crate::command::cluster::{ClusterRequest, ClusterStatus, MemberLine, MemberRole};
use crate::data_dir::Reached;
use gitmoor_model::{ClientEntry, ClusterId, Part, Refusal, Scope, Timestamp};
use gitmoor_replicator::net::{Holder, Token};
use gitmoor_replicator::peer::{Change, ChangeError};
use gitmoor_replicator::{MemberStatus, MembershipError, Node, NodeState, Replica, Status, read};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// A node, and what tokens for it say.
pub(crate) struct Cluster<'a> {
    pub node: &'a Node,
    /// Where it is reached.
    pub reached: &'a Reached,
    /// The cluster's certificate, DER.
    pub authority: &'a [u8],
}

impl Cluster<'_> {
    /// Does what is asked.
    pub(crate) fn answer(&self, request: ClusterRequest) -> Result<Reply, Rejection> {
        match request {
            ClusterRequest::Status => Ok(Reply::Cluster(Box::new(self.status()?))),
            ClusterRequest::Token {
                seconds,
                client,
                repos,
                read_only,
            } => {
                let part = if client { Part::Client } else { Part::Node };
                let scope = Scope { repos, read_only };
                self.token(seconds, part, scope).map(Reply::Token)
            }
            ClusterRequest::AddLearner { node } => self.change(Change::AddLearner(node)),
            ClusterRequest::Promote { node } => self.change(Change::Promote(node)),
            ClusterRequest::TransferLeader { node } => self.change(Change::TransferTo(node)),
            ClusterRequest::Remove { node } => {
                self.node.remove(node).map_err(rejected)?;
                Ok(Reply::Done)
            }
        }
    }

    fn change(&self, change: Change) -> Result<Reply, Rejection> {
        self.node.change(change).map_err(rejected)?;
        Ok(Reply::Done)
    }

    fn token(&self, seconds: u64, part: Part, scope: Scope) -> Result<String, Rejection> {
        if part == Part::Node && scope != Scope::default() {
            return Err(Rejection::usage(
                "a node has everything: only a client is limited",
            ));
        }
        let secret: [u8; 32] = rand::random();
        let within = Duration::from_secs(seconds);
        let invited = self.node.invite(&secret, part, scope, within);
        invited.map_err(rejected)?;
        let token = Token {
            cluster: self.reached.cluster,
            address: self.reached.advertise.clone(),
            authority: self.authority.to_vec(),
            secret,
            part,
        };
        Ok(token.to_string())
    }

    fn status(&self) -> Result<ClusterStatus, Rejection> {
        let here = self.node.status();
        let members = self.node.member_states().map_err(rejected)?;
        let clients = self.node.clients().map_err(Rejection::failed)?;
        let this = Holder::Node(here.id);
        Ok(cluster_status(
            self.reached.cluster,
            this,
            &here,
            members,
            clients,
            other_hooks(self.node)?,
        ))
    }
}

/// Of each machine whose hooks directory is not accepted, why.
pub(crate) fn other_hooks(replica: &dyn Replica) -> Result<BTreeMap<u64, String>, Rejection> {
    let view = replica.view();
    let Some(accepted) = read::accepted_hooks(view).map_err(Rejection::failed)? else {
        return Ok(BTreeMap::new());
    };
    let mut machines = read::machines_with_hooks(view).map_err(Rejection::failed)?;
    let now = Timestamp::now();
    machines.retain(|_, hooks| !accepted.accepts(hooks.directory, now));
    let why = |machine: u64| match read::differing_hooks(view, machine) {
        Ok(Some(file)) => Ok((machine, format!("{file} in its hooks directory differs"))),
        Ok(None) => Ok((
            machine,
            "its hooks directory is not the cluster's".to_owned(),
        )),
        Err(error) => Err(Rejection::failed(error)),
    };
    machines.into_keys().map(why).collect()
}

/// What there is to say of a cluster, as far as `this` knows.
pub(crate) fn cluster_status(
    cluster: ClusterId,
    this: Holder,
    here: &Status,
    members: BTreeMap<u64, MemberStatus>,
    clients: BTreeMap<u64, ClientEntry>,
    hooks: BTreeMap<u64, String>,
) -> ClusterStatus {
    let members = members.into_iter();
    let limited = clients
        .iter()
        .filter(|(_, client)| client.scope != Scope::default());
    let limits = limited.map(|(&id, client)| (id, client.scope.to_string()));
    let limits = limits.collect();
    let clients = clients.into_iter();
    ClusterStatus {
        hooks,
        limits,
        cluster: cluster.to_string(),
        this: this.to_string(),
        leader: here.leader,
        term: here.term,
        commit: here.commit,
        members: members
            .map(|(node, member)| line(here, node, member))
            .collect(),
        clients: clients.map(|(id, client)| (id, client.name)).collect(),
    }
}

fn line(here: &Status, node: u64, member: MemberStatus) -> MemberLine {
    let (state, error) = match member.state {
        Ok(state) => (Some(state), None),
        Err(error) => (None, Some(error)),
    };
    let applied = state.as_ref().map(|state| state.status.applied);
    MemberLine {
        node,
        address: member.address,
        role: role(here, node),
        applied,
        lag: applied.map(|applied| here.commit.saturating_sub(applied)),
        certificate_expires: state.as_ref().map(expiry),
        version: state.map(|state| state.version),
        error,
    }
}

fn role(here: &Status, node: u64) -> MemberRole {
    if here.leader == Some(node) {
        MemberRole::Leader
    } else if here.voters.contains(&node) {
        MemberRole::Voter
    } else if here.learners.contains(&node) {
        MemberRole::Learner
    } else {
        MemberRole::Admitted
    }
}

/// Seconds since 1970.
fn expiry(state: &NodeState) -> u64 {
    let since = state
        .certificate_expires
        .duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn rejected(error: MembershipError) -> Rejection {
    let is_usage = matches!(
        error,
        MembershipError::Alone
            | MembershipError::Refused(Refusal::NoMember(_))
            | MembershipError::Change(
                ChangeError::IsVoter(_) | ChangeError::NotLearner(_) | ChangeError::NotVoter(_)
            )
    );
    match is_usage {
        true => Rejection::usage(error),
        false => Rejection::failed(error),
    }
}
