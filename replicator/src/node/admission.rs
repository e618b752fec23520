//! How a stranger becomes a node or client. It is looked up whether it is invited before anything
//! is proposed: what a stranger says costs the cluster nothing.

use super::cluster::ClusterMember;
use crate::model::{
    Actor, Client, Command, Member, Newcomer, Part, Refusal, Scope, SecretDigest, Timestamp,
    Version,
};
use crate::net::{self, Admission, Holder, Joined};
use crate::peer::{Change, RequestKind};
use crate::replica::ProposeError;
use crate::state::read;
use std::time::Duration;

/// Bytes of a token's secret.
const SECRET: usize = 32;
/// Bytes of a certificate request: one for a key of ours takes a few hundred.
const REQUEST: usize = 8 << 10;
/// Bytes of host:port, and of a client's name: the longest that DNS has, and a port.
const ADDRESS: usize = 253 + 6;

/// Of whoever shows a secret in the given time.
pub(super) fn invitation(secret: &[u8], part: Part, scope: Scope, within: Duration) -> Command {
    let now = Timestamp::now();
    let seconds = i64::try_from(within.as_secs()).unwrap_or(i64::MAX);
    let expires = Timestamp {
        secs: now.secs.saturating_add(seconds),
        ..now
    };
    let secret = SecretDigest::of(secret);
    match part {
        Part::Client if scope != Scope::default() => Command::InviteClient {
            secret,
            expires,
            scope,
        },
        Part::Client | Part::Node => Command::Invite {
            secret,
            expires,
            part,
        },
    }
}

fn holder(part: Part, id: u64) -> Holder {
    match part {
        Part::Node => Holder::Node(id),
        Part::Client => Holder::Client(id),
    }
}

fn not_now(why: &dyn ToString) -> net::Refusal {
    net::Refusal::NotNow(why.to_string())
}

fn malformed(why: &dyn ToString) -> net::Refusal {
    net::Refusal::Malformed(why.to_string())
}

/// Whether it can be what it wants to be, whoever it is.
fn check(admission: &Admission) -> Result<(), net::Refusal> {
    if admission.secret.len() != SECRET {
        return Err(net::Refusal::Token);
    }
    if admission.certificate_request.len() > REQUEST {
        return Err(malformed(&"the certificate request is too long"));
    }
    let is_line = |text: &str| text.len() <= ADDRESS && !text.contains(char::is_control);
    match &admission.newcomer {
        Newcomer::Node(Member { address }) => {
            let port = address
                .rsplit_once(':')
                .map(|(_, port)| port.parse::<u16>());
            match is_line(address) && matches!(port, Some(Ok(_))) {
                true => Ok(()),
                false => Err(malformed(&"the address is not host:port")),
            }
        }
        Newcomer::Client(Client { name }) if !is_line(name) => Err(malformed(
            &"the client's name is too long, or no line of text",
        )),
        Newcomer::Client(_) => Ok(()),
    }
}

impl ClusterMember {
    /// Blocks.
    pub(super) fn admit_one(&self, admission: Admission) -> Result<Joined, net::Refusal> {
        check(&admission)?;
        let part = admission.newcomer.part();
        let secret = SecretDigest::of(&admission.secret);
        self.check_invited(secret, &admission.newcomer)?;
        let request = &admission.certificate_request;
        // Before the invitation is used up.
        self.authority
            .certify(holder(part, u64::MAX), request)
            .map_err(|error| malformed(&error))?;
        let admit = Command::Admit {
            secret,
            newcomer: admission.newcomer,
        };
        let outcome = self.proposer.commit(Actor::default(), admit);
        let id = match outcome.map_err(|error| not_now(&error))?.done() {
            Ok(Version(id)) => id,
            Err(Refusal::NotInvited) => return Err(net::Refusal::Token),
            Err(other) => return Err(malformed(&other)),
        };
        let certificate = self
            .authority
            .certify(holder(part, id), request)
            .map_err(|error| not_now(&error))?;
        if part == Part::Node
            && let Err(error) = self.change(Change::AddLearner(id))
        {
            tracing::warn!(id, %error, "admitted, and not a learner yet: run `gitmoor cluster add-learner`");
        }
        let database = self.database().map_err(|error| not_now(&error))?;
        let members = read::members(&*database).map_err(|error| not_now(&error))?;
        Ok(Joined {
            id,
            certificate,
            authority_key: match part {
                Part::Node => self.authority.key().to_vec(),
                Part::Client => Vec::new(),
            },
            members: members
                .into_iter()
                .map(|(node, member)| (node, member.address))
                .collect(),
        })
    }

    /// Whether the newcomer is invited, as far as this node knows: the state decides. An invitation
    /// that another node made a moment ago may not be here yet.
    fn check_invited(&self, of: SecretDigest, newcomer: &Newcomer) -> Result<(), net::Refusal> {
        let database = self.database().map_err(|error| not_now(&error))?;
        let is_invited = || {
            let invitation = read::invitation(&*database, of);
            let invitation = invitation.map_err(|error| not_now(&error))?;
            let now = Timestamp::now();
            Ok::<_, net::Refusal>(invitation.is_some_and(|it| it.is_for(newcomer, now)))
        };
        if is_invited()? {
            return Ok(());
        }
        let caught_up: Result<_, ProposeError> = self.proposer.ask(RequestKind::Read, &|| false);
        caught_up.map_err(|error| not_now(&error))?;
        match is_invited()? {
            true => Ok(()),
            false => Err(net::Refusal::Token),
        }
    }
}
