//! The cluster: who belongs to it, and which store is its own.

use crate::model::{
    ClaimId, Client, ClientEntry, ClusterId, Invitation, Member, SecretDigest, StoreRecord,
};
use crate::state::view::{KeyRange, Step, View, decode, decode_grown, load, load_grown};
use crate::state::{ReadError, Table, keys};
use std::collections::BTreeMap;

/// The cluster that this is; `None` for a node alone.
pub fn cluster(view: &dyn View) -> Result<Option<ClusterId>, ReadError> {
    load(view, Table::Members, keys::CLUSTER)
}

/// Where the cluster keeps object files; `None` before its first mount.
pub fn store(view: &dyn View) -> Result<Option<StoreRecord>, ReadError> {
    load(view, Table::Members, keys::STORE)
}

/// The claims to the store that are this state's, the newest last. `None` before the first; none, but
/// `Some`, in a restored backup.
pub fn claims(view: &dyn View) -> Result<Option<Vec<ClaimId>>, ReadError> {
    load(view, Table::Members, keys::CLAIMS)
}

/// Whether a node was removed from the cluster.
pub fn is_removed(view: &dyn View, node: u64) -> Result<bool, ReadError> {
    let row: Option<()> = load(view, Table::Members, &keys::removed(node))?;
    Ok(row.is_some())
}

/// The members of the cluster, by id.
pub fn members(view: &dyn View) -> Result<BTreeMap<u64, Member>, ReadError> {
    by_id(view, keys::MEMBER, decode)
}

/// The clients of the cluster, by id.
pub fn clients(view: &dyn View) -> Result<BTreeMap<u64, ClientEntry>, ReadError> {
    by_id(view, keys::CLIENT, client_of)
}

/// A client of the cluster.
pub fn client(view: &dyn View, id: u64) -> Result<Option<ClientEntry>, ReadError> {
    let key = keys::client(id);
    let value = view.get(Table::Members, &key)?;
    value
        .map(|value| client_of(Table::Members, &key, &value))
        .transpose()
}

fn client_of(table: Table, key: &[u8], value: &[u8]) -> Result<ClientEntry, ReadError> {
    let (Client { name }, scope) = decode_grown(table, key, value)?;
    Ok(ClientEntry { name, scope })
}

/// An invitation that nobody has used yet. It is known by a digest of its secret, so that the time
/// that this takes tells nothing of that.
pub(crate) fn invitation(
    view: &dyn View,
    of: SecretDigest,
) -> Result<Option<Invitation>, ReadError> {
    let row = load_grown(view, Table::Members, &keys::invitation(of))?;
    Ok(row.map(|((expires, part), scope)| Invitation {
        expires,
        part,
        scope,
    }))
}

type Decode<T> = fn(Table, &[u8], &[u8]) -> Result<T, ReadError>;

fn by_id<T>(view: &dyn View, kind: u8, of: Decode<T>) -> Result<BTreeMap<u64, T>, ReadError> {
    let mut found = BTreeMap::new();
    view.scan(
        Table::Members,
        &KeyRange::prefix(&[kind]),
        &mut |key, value| {
            let id = key[1..].try_into().map(u64::from_be_bytes);
            let id = id.map_err(|_| ReadError::Damaged("the key of a member".to_owned()))?;
            found.insert(id, of(Table::Members, key, value)?);
            Ok(Step::Next)
        },
    )?;
    Ok(found)
}
