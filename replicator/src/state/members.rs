//! Who belongs to the cluster and where they are reached, and who is invited.
//!
//! The id of a node or client is the index of the entry that admitted it, so no two have the same,
//! whatever comes and goes.

use super::apply::{Context, Halt};
use super::view::{KeyRange, encode, load};
use super::{Overlay, Table, keys, read};
use crate::model::{
    ClaimId, ClusterId, Invitation, Member, Newcomer, Part, Refusal, Scope, SecretDigest,
    StoreRecord, Timestamp,
};

/// What a state forgets of the cluster that it was of: all but where its objects are.
pub(crate) fn rows_of_cluster() -> Vec<(Table, KeyRange)> {
    let prefixes: [&[u8]; 9] = [
        keys::CLUSTER,
        &[keys::MEMBER],
        &[keys::CLIENT],
        &[keys::REMOVED],
        &[keys::INVITATION],
        keys::ACCEPTED_HOOKS,
        keys::HOOKS_DIRECTORY,
        &[keys::MACHINE_HOOKS],
        &[keys::MACHINE_HOOK_FILES],
    ];
    let members = prefixes.map(|prefix| (Table::Members, KeyRange::prefix(prefix)));
    members
        .into_iter()
        .chain([(Table::Hooks, KeyRange::all())])
        .collect()
}

pub(super) fn found(
    overlay: &mut Overlay<'_>,
    id: ClusterId,
    node: u64,
    address: &str,
) -> Result<(), Halt> {
    if let Some(there) = read::cluster(overlay)? {
        return Err(Refusal::Founded(there).into());
    }
    overlay.put(Table::Members, keys::CLUSTER.to_vec(), &id);
    put(overlay, node, address)
}

pub(super) fn invite(
    overlay: &mut Overlay<'_>,
    secret: SecretDigest,
    expires: Timestamp,
    part: Part,
) -> Result<(), Halt> {
    if read::cluster(overlay)?.is_none() {
        return Err(Refusal::NotFounded.into());
    }
    overlay.put(Table::Members, keys::invitation(secret), &(expires, part));
    Ok(())
}

/// What the client may follows what it was invited by before.
pub(super) fn invite_client(
    overlay: &mut Overlay<'_>,
    secret: SecretDigest,
    expires: Timestamp,
    scope: &Scope,
) -> Result<(), Halt> {
    invite(overlay, secret, expires, Part::Client)?;
    let row = ((expires, Part::Client), scope);
    overlay.put(Table::Members, keys::invitation(secret), &row);
    Ok(())
}

/// The first mount says where.
pub(super) fn settle_store(overlay: &mut Overlay<'_>, store: &StoreRecord) -> Result<(), Halt> {
    match read::store(overlay)? {
        Some(there) if there.id != store.id => Err(Refusal::OtherStore { url: there.url }.into()),
        Some(_) => Ok(()),
        None => {
            overlay.put(Table::Members, keys::STORE.to_vec(), store);
            Ok(())
        }
    }
}

/// Claims that a state remembers: one more than can be under way at the same time, by far.
const CLAIMS: usize = 32;

pub(super) fn claim_store(overlay: &mut Overlay<'_>, claim: ClaimId) -> Result<(), Halt> {
    let mut claims = read::claims(overlay)?.unwrap_or_default();
    claims.push(claim);
    claims.drain(..claims.len().saturating_sub(CLAIMS));
    overlay.put(Table::Members, keys::CLAIMS.to_vec(), &claims);
    Ok(())
}

/// The row of a state that has lost its claims, and knows that: it is one of two that come from one.
pub(crate) fn no_claims() -> (Table, &'static [u8], Vec<u8>) {
    (Table::Members, keys::CLAIMS, encode::<[ClaimId]>(&[]))
}

/// An invitation is for one, and for what it says: a client's must not make a node, which gets the
/// cluster's key.
pub(super) fn admit(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    secret: SecretDigest,
    newcomer: &Newcomer,
) -> Result<(), Halt> {
    let invitation = read::invitation(overlay, secret)?;
    let invitation = invitation.filter(|invitation| invitation.is_for(newcomer, context.time));
    let Invitation { scope, .. } = invitation.ok_or(Refusal::NotInvited)?;
    let id = context.version.0;
    match newcomer {
        Newcomer::Node(Member { address }) => put(overlay, id, address)?,
        Newcomer::Client(client) if scope == Scope::default() => {
            overlay.put(Table::Members, keys::client(id), client);
        }
        Newcomer::Client(client) => {
            overlay.put(Table::Members, keys::client(id), &(client, scope));
        }
    }
    overlay.delete(Table::Members, keys::invitation(secret));
    Ok(())
}

pub(super) fn relocate(overlay: &mut Overlay<'_>, node: u64, address: &str) -> Result<(), Halt> {
    let there: Option<Member> = load(overlay, Table::Members, &keys::member(node))?;
    if there.is_none() {
        return Err(Refusal::NoMember(node).into());
    }
    put(overlay, node, address)
}

pub(super) fn remove(overlay: &mut Overlay<'_>, node: u64) {
    overlay.delete(Table::Members, keys::member(node));
    overlay.delete(Table::Members, keys::client(node));
    overlay.delete(Table::Members, keys::machine_hooks(node));
    overlay.delete(Table::Members, keys::machine_hook_files(node));
    // Its certificate stays good for a year.
    overlay.put(Table::Members, keys::removed(node), &());
}

/// Two nodes at one address would each get what is meant for the other, and refuse it.
fn put(overlay: &mut Overlay<'_>, node: u64, address: &str) -> Result<(), Halt> {
    let mut members = read::members(overlay)?.into_iter();
    if let Some((holder, _)) = members.find(|(id, it)| *id != node && it.address == address) {
        let address = address.to_owned();
        return Err(Refusal::AddressTaken { address, holder }.into());
    }
    let address = address.to_owned();
    overlay.put(Table::Members, keys::member(node), &Member { address });
    Ok(())
}
