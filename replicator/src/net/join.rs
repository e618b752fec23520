//! How a machine becomes a node or client: it sends a one-time secret and a certificate request, and
//! gets an id and a certificate.

use super::authority::CertificateRequest;
use super::dial::{self, Target};
use super::services::admission_client::AdmissionClient;
use super::{Authority, Identity, NetError, Token, tls, wire};
use crate::model::{Client, Member, Newcomer, Part};
use std::collections::BTreeMap;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tonic::Status;

/// A stranger's wish to be a node or client.
pub struct Admission {
    /// The secret of its token.
    pub secret: Vec<u8>,
    /// Certificate request, PKCS #10 as DER.
    pub certificate_request: Vec<u8>,
    /// What it wants to be.
    pub newcomer: Newcomer,
}

/// What the stranger gets.
pub struct Joined {
    /// The id of the new node or client.
    pub id: u64,
    /// Certificate of the newcomer as DER.
    pub certificate: Vec<u8>,
    /// The cluster's key, PKCS #8 DER; nothing for a client.
    pub authority_key: Vec<u8>,
    /// Where the nodes are, by id.
    pub members: BTreeMap<u64, String>,
}

/// What it has then. All of it is to be kept.
pub struct Granted {
    /// Key and certificate of the newcomer.
    pub identity: Identity,
    /// With which it admits others; `None` for a client.
    pub authority: Option<Authority>,
    /// Where the nodes are, by id.
    pub members: BTreeMap<u64, String>,
}

/// Why a stranger is not admitted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The token was used, has expired, or never was.
    #[error(
        "the token is not valid, or no longer: it works once; make a new one with `gitmoor cluster token`"
    )]
    Token,
    /// What it sent makes no sense.
    #[error("{0}")]
    Malformed(String),
    /// The cluster cannot decide now. The token is not used up.
    #[error("the cluster cannot admit a node now: {0}")]
    NotNow(String),
}

/// Joins the cluster of a token, which is used up by it.
pub async fn join(token: &Token, newcomer: Newcomer) -> Result<Granted, NetError> {
    let request = CertificateRequest::new()?;
    let authority = CertificateDer::from(token.authority.clone());
    let target = Target {
        address: token.address.clone(),
        name: tls::any_node_name(token.cluster),
        tls: tls::stranger(&authority)?.into(),
    };
    let channel = dial::connect(&target).await?;
    let asked = Admission {
        secret: token.secret.to_vec(),
        certificate_request: request.der().to_vec(),
        newcomer,
    };
    let answer = AdmissionClient::with_interceptor(channel, dial::speak)
        .join(wire::JoinRequest::from(asked))
        .await
        .map_err(|status| dial::refused(&token.address, &status))?;
    let joined = Joined::from(answer.into_inner());
    let key = &joined.authority_key;
    let authority = match token.part {
        Part::Node => Some(Authority::load(token.cluster, key, &token.authority)?),
        Part::Client => None,
    };
    Ok(Granted {
        identity: request.granted(&token.authority, &joined.certificate)?,
        authority,
        members: joined.members,
    })
}

impl From<Admission> for wire::JoinRequest {
    fn from(admission: Admission) -> Self {
        let (address, client) = match admission.newcomer {
            Newcomer::Node(Member { address }) => (address, String::new()),
            Newcomer::Client(Client { name }) => (String::new(), name),
        };
        Self {
            secret: admission.secret,
            certificate_request: admission.certificate_request,
            address,
            client,
        }
    }
}

impl From<wire::JoinRequest> for Admission {
    fn from(request: wire::JoinRequest) -> Self {
        Self {
            secret: request.secret,
            certificate_request: request.certificate_request,
            newcomer: match (request.address, request.client) {
                (address, name) if address.is_empty() => Newcomer::Client(Client { name }),
                (address, _) => Newcomer::Node(Member { address }),
            },
        }
    }
}

impl From<Joined> for wire::Admitted {
    fn from(joined: Joined) -> Self {
        let member = |(node, address)| wire::Member { node, address };
        Self {
            id: joined.id,
            certificate: joined.certificate,
            authority_key: joined.authority_key,
            members: joined.members.into_iter().map(member).collect(),
        }
    }
}

impl From<wire::Admitted> for Joined {
    fn from(admitted: wire::Admitted) -> Self {
        let members = admitted.members.into_iter();
        Self {
            id: admitted.id,
            certificate: admitted.certificate,
            authority_key: admitted.authority_key,
            members: members
                .map(|member| (member.node, member.address))
                .collect(),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let why = refusal.to_string();
        match refusal {
            Refusal::Token => Self::permission_denied(why),
            Refusal::Malformed(_) => Self::invalid_argument(why),
            Refusal::NotNow(_) => Self::unavailable(why),
        }
    }
}
