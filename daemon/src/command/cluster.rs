//! `gitmoor cluster …`. `init` and `join` prepare a data directory; the others ask the daemon
//! of one.

use super::documented::documented;
use super::{Failure, Reply, Request, ask, data_dir, output, unexpected};
use crate::config::{ConfigError, Place, Seconds, is_address};
use crate::data_dir::{ClientIdentity, DataDir, DataDirError, Lock, Membership, Reached};
use crate::service::{self, ServiceError};
use clap::{Args, Subcommand};
use gitmoor_model::RepoPattern;
use gitmoor_model::{Client, ClusterId, Member, Newcomer, Part};
use gitmoor_replicator::net::{Authority, Granted, Holder, Token, join as join_cluster};
use gitmoor_replicator::{FOUNDER, Node, NodeConfig, Replica, read};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use std::{fmt, io};

/// `gitmoor cluster …`.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Make this data directory the first node of a new cluster
    Init(ListenArgs),
    /// Make a node whose cluster has lost the majority of its voters for good the first of a new
    /// cluster, with all that it has
    Recover(ListenArgs),
    /// Print a token with which one machine can join, once
    Token {
        /// As a client: it mounts and asks the nodes, has no copy, and cannot admit others
        #[arg(long)]
        client: bool,
        /// Of a client: only these repositories, such as team/*.git or team/**; may be given
        /// several times [default: all]
        #[arg(long = "repo", value_name = "PATTERN", requires = "client")]
        repos: Vec<RepoPattern>,
        /// Of a client: it may change nothing
        #[arg(long, requires = "client")]
        read_only: bool,
        /// How long it is good for, such as 10m or 1d [default 1h]
        #[arg(long, value_name = "TIME")]
        expires: Option<Seconds>,
    },
    /// Make a new data directory one more node, or a client, of the cluster that printed the token
    Join {
        /// What `gitmoor cluster token` printed; - reads it from standard input, so that no
        /// other user of the machine sees it
        token: String,
        /// Of a node: address and port for the other nodes, such as 10.0.0.1:7400
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// host:port by which the others reach it [default: what --listen says]
        #[arg(long, value_name = "ADDR", requires = "listen")]
        advertise: Option<String>,
    },
    /// Show the nodes: who leads, who votes, who lags, whose certificate expires
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a node that was admitted get everything, without a vote; `join` does it too
    AddLearner {
        /// Its number
        node: u64,
    },
    /// Give a node that has caught up a vote
    Promote {
        /// Its number
        node: u64,
    },
    /// Remove a node, dead or alive, or a client, for good
    Remove {
        /// Its number
        node: u64,
    },
    /// Let another voter lead
    TransferLeader {
        /// Its number
        node: u64,
    },
}

/// Where a node is reached.
#[derive(Args, Debug)]
pub struct ListenArgs {
    /// Address and port for the other nodes, such as 10.0.0.1:7400
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// host:port by which the others reach it [default: what --listen says]
    #[arg(long, value_name = "ADDR")]
    pub advertise: Option<String>,
}

documented! {
    /// What may be asked about the cluster, of any of its nodes.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(tag = "about", rename_all = "kebab-case", deny_unknown_fields)]
    pub enum ClusterRequest {
        /// Shows the members. Answered with `cluster`.
        Status,
        /// Makes a token with which one machine can join. Answered with `token`.
        Token {
            /// Good for so long.
            seconds: u64,
            /// For a client.
            client: bool,
            /// Of these repositories only, by patterns.
            #[serde(default)]
            repos: Vec<RepoPattern>,
            /// That changes nothing.
            #[serde(default)]
            read_only: bool,
        },
        /// Lets a node that was admitted get everything, without a vote.
        AddLearner {
            /// Which.
            node: u64,
        },
        /// Gives a learner a vote.
        Promote {
            /// Which.
            node: u64,
        },
        /// Removes a node or a client for good.
        Remove {
            /// Which.
            node: u64,
        },
        /// Lets another voter lead.
        TransferLeader {
            /// Which.
            node: u64,
        },
    }
}

/// What `gitmoor cluster status --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    pub cluster: String,
    /// Who was asked: `node 3`, or a client.
    pub this: String,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// Raft's term there.
    pub term: u64,
    /// Index of the last entry that it knows to be committed.
    pub commit: u64,
    /// The members, by number.
    pub members: Vec<MemberLine>,
    /// The clients, by number, as they call themselves.
    pub clients: BTreeMap<u64, String>,
    /// Of those that may not see or change everything, what they may.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<u64, String>,
    /// Of those whose hooks directory is not the cluster's, which file differs first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<u64, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLine {
    pub node: u64,
    /// Where the others reach it.
    pub address: String,
    pub role: MemberRole,
    /// Index of the last entry applied there; `None` when it does not answer.
    pub applied: Option<u64>,
    /// Entries that it lacks.
    pub lag: Option<u64>,
    /// When its certificate expires, seconds since 1970.
    pub certificate_expires: Option<u64>,
    pub version: Option<String>,
    /// Why it does not answer.
    pub error: Option<String>,
}

/// The part a member plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberRole {
    Leader,
    Voter,
    /// Gets everything, and has none.
    Learner,
    /// Has a certificate, and gets nothing yet.
    Admitted,
}

impl fmt::Display for MemberRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Voter => "voter",
            Self::Learner => "learner",
            Self::Admitted => "admitted",
        })
    }
}

/// How long a token is good for, unless said otherwise.
const TOKEN: Duration = Duration::from_secs(3600);

/// Does one of them.
pub(super) fn run(place: &Place, command: ClusterCommand) -> Result<(), Failure> {
    match command {
        ClusterCommand::Init(args) => init(place, &args),
        ClusterCommand::Recover(args) => recover(place, &args),
        ClusterCommand::Join {
            token,
            listen,
            advertise,
        } => join(place, &token, listen, advertise),
        ClusterCommand::Token {
            client,
            repos,
            read_only,
            expires,
        } => {
            let seconds = expires.map_or(TOKEN, |expires| expires.0).as_secs();
            let request = ClusterRequest::Token {
                seconds,
                client,
                repos,
                read_only,
            };
            token(place, request)
        }
        ClusterCommand::Status { json } => status(place, json),
        ClusterCommand::AddLearner { node } => done(place, ClusterRequest::AddLearner { node }),
        ClusterCommand::Promote { node } => done(place, ClusterRequest::Promote { node }),
        ClusterCommand::Remove { node } => done(place, ClusterRequest::Remove { node }),
        ClusterCommand::TransferLeader { node } => {
            done(place, ClusterRequest::TransferLeader { node })
        }
    }
}

fn init(place: &Place, args: &ListenArgs) -> Result<(), Failure> {
    let advertise = args.advertise()?;
    let dir = data_dir(place)?;
    let _lock = dir.own(None)?;
    dir.cluster().check_no_member()?;
    let node = Node::open(NodeConfig::new(dir.replica())).map_err(ServiceError::from)?;
    found(&dir, node, FOUNDER, args, advertise)
}

/// The others know the old cluster, and have no certificate of the new one: should they come
/// back, they are strangers.
fn recover(place: &Place, args: &ListenArgs) -> Result<(), Failure> {
    let advertise = args.advertise()?;
    let dir = data_dir(place)?;
    let _lock = dir.own(None)?;
    let membership = dir.cluster().membership()?;
    let membership = membership.ok_or_else(|| DataDirError::NotMember(dir.path().to_owned()))?;
    let id = membership.identity.node();
    let node = Node::recover(NodeConfig::new(dir.replica()), id).map_err(ServiceError::from)?;
    found(&dir, node, id, args, advertise)?;
    Ok(output::line(
        "its object store stays the old cluster's until `gitmoor take-over`, once it is mounted; till then it can be read",
    )?)
}

/// Makes a node alone the first of a new cluster.
fn found(
    dir: &DataDir,
    node: Node,
    id: u64,
    args: &ListenArgs,
    advertise: String,
) -> Result<(), Failure> {
    // One that was begun and not written down has no other nodes yet.
    let known = read::cluster(node.view()).map_err(service::unreadable)?;
    let cluster = known.unwrap_or_else(ClusterId::random);
    if known.is_none() {
        let founded = node.found_cluster(cluster, &advertise);
        founded.map_err(ServiceError::from)?;
    }
    node.shutdown();
    let authority = Authority::found(cluster).map_err(ServiceError::from)?;
    let identity = authority.identity(Holder::Node(id));
    dir.cluster().write_membership(&Membership {
        identity: identity.map_err(ServiceError::from)?,
        authority,
        reached: Reached {
            cluster,
            listen: args.listen,
            advertise,
            others: BTreeMap::new(),
        },
        has_begun: true,
    })?;
    output::line(format_args!("this is node {id} of cluster {cluster}"))?;
    say_next(dir)
}

fn join(
    place: &Place,
    token: &str,
    listen: Option<SocketAddr>,
    advertise: Option<String>,
) -> Result<(), Failure> {
    let token = match token {
        "-" => io::read_to_string(io::stdin())?,
        token => token.to_owned(),
    };
    let parsed: Result<Token, _> = token.parse();
    let token = parsed.map_err(|error| Failure::Usage(error.to_string()))?;
    let listen = listen.map(|listen| ListenArgs { listen, advertise });
    match (token.part, listen) {
        (Part::Node, Some(args)) => join_as_node(place, &token, &args),
        (Part::Node, None) => Err(ConfigError::NoListen.into()),
        (Part::Client, None) => join_as_client(place, &token),
        (Part::Client, Some(ListenArgs { listen, .. })) => {
            Err(ConfigError::ClientListens(listen).into())
        }
    }
}

fn join_as_node(place: &Place, token: &Token, args: &ListenArgs) -> Result<(), Failure> {
    let advertise = args.advertise()?;
    let (dir, _lock) = new_data_dir(place)?;
    let address = advertise.clone();
    let granted = ask_to_join(token, Newcomer::Node(Member { address }))?;
    let id = granted.identity.node();
    let others = granted.members.into_iter().filter(|(node, _)| *node != id);
    dir.cluster().write_membership(&Membership {
        identity: granted.identity,
        authority: granted.authority.expect("a node gets it"),
        reached: Reached {
            cluster: token.cluster,
            listen: args.listen,
            advertise,
            others: others.collect(),
        },
        has_begun: false,
    })?;
    output::line(format_args!(
        "this is node {id} of cluster {}",
        token.cluster
    ))?;
    say_next(&dir)
}

fn join_as_client(place: &Place, token: &Token) -> Result<(), Failure> {
    let (dir, _lock) = new_data_dir(place)?;
    // Without one it is known by its number.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim_end().to_owned();
    let granted = ask_to_join(token, Newcomer::Client(Client { name }))?;
    let holder = granted.identity.holder;
    dir.cluster().write_client_identity(&ClientIdentity {
        identity: granted.identity,
        addresses: granted.members.into_values().collect(),
    })?;
    output::line(format_args!(
        "this is {holder} of cluster {}; mount it with: gitmoor mount --data {} MOUNTPOINT",
        token.cluster,
        dir.path().display()
    ))?;
    Ok(())
}

fn new_data_dir(place: &Place) -> Result<(DataDir, Lock), Failure> {
    let dir = data_dir(place)?;
    let lock = dir.own(None)?;
    dir.cluster().check_no_member()?;
    dir.cluster().check_no_data()?;
    Ok((dir, lock))
}

fn ask_to_join(token: &Token, newcomer: Newcomer) -> Result<Granted, Failure> {
    let runtime = service::runtime()?;
    let granted = runtime.block_on(join_cluster(token, newcomer));
    Ok(granted.map_err(ServiceError::from)?)
}

fn say_next(dir: &DataDir) -> Result<(), Failure> {
    Ok(output::line(format_args!(
        "mount it with: gitmoor mount --data {0} MOUNTPOINT (or run it without a mount: gitmoor node --data {0})",
        dir.path().display()
    ))?)
}

impl ListenArgs {
    /// Where the others reach this node.
    fn advertise(&self) -> Result<String, Failure> {
        match &self.advertise {
            Some(address) if is_address(address) => Ok(address.clone()),
            Some(address) => Err(ConfigError::Advertise(address.clone()).into()),
            None if self.listen.ip().is_unspecified() || self.listen.port() == 0 => {
                Err(ConfigError::ListenAnywhere(self.listen).into())
            }
            None => Ok(self.listen.to_string()),
        }
    }
}

fn token(place: &Place, request: ClusterRequest) -> Result<(), Failure> {
    match ask(place, &Request::Cluster(request))? {
        Reply::Token(token) => Ok(output::line(token)?),
        other => Err(unexpected(place, &other)),
    }
}

fn done(place: &Place, request: ClusterRequest) -> Result<(), Failure> {
    match ask(place, &Request::Cluster(request))? {
        Reply::Done => Ok(()),
        other => Err(unexpected(place, &other)),
    }
}

fn status(place: &Place, json: bool) -> Result<(), Failure> {
    match ask(place, &Request::Cluster(ClusterRequest::Status))? {
        Reply::Cluster(status) if json => Ok(output::json(&status)?),
        Reply::Cluster(status) => Ok(print(&status)?),
        other => Err(unexpected(place, &other)),
    }
}

fn print(status: &ClusterStatus) -> io::Result<()> {
    let leader = status.leader.map_or_else(
        || "none: no majority of the voters can be reached".to_owned(),
        |leader| format!("node {leader}"),
    );
    output::fields(&[
        ("cluster", status.cluster.clone()),
        ("this is", status.this.clone()),
        ("leader", leader),
        ("term", status.term.to_string()),
        ("committed", status.commit.to_string()),
    ])?;
    status.members.iter().try_for_each(print_member)?;
    let mut clients = status.clients.iter();
    clients.try_for_each(|(id, name)| match status.limits.get(id) {
        Some(limits) => output::line(format_args!("client {id}  {name}  {limits}")),
        None => output::line(format_args!("client {id}  {name}")),
    })?;
    let mut hooks = status.hooks.iter();
    hooks.try_for_each(|(id, why)| output::line(format_args!("machine {id}  takes no push: {why}")))
}

fn print_member(member: &MemberLine) -> io::Result<()> {
    let MemberLine {
        node,
        address,
        role,
        ..
    } = member;
    let state = match (&member.error, member.lag, member.certificate_expires) {
        (None, Some(lag), Some(expires)) => {
            let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(expires);
            let expires = humantime::format_rfc3339_seconds(expires);
            format!("lags by {lag}, certificate until {expires}")
        }
        (Some(error), ..) => format!("does not answer: {error}"),
        (None, ..) => "does not answer".to_owned(),
    };
    output::line(format_args!("node {node}  {address}  {role}  {state}"))
}
