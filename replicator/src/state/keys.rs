//! The keys of the rows. Numbers are big-endian, so that byte order is numeric
//! order; what belongs to a repository begins with its 16-byte id, so that it
//! is one range and a rename of the repository touches none of it.

use super::ReadError;
use super::audit::Trail;
use super::view::KeyRange;
use crate::model::{
    Grantee, Ground, GroupName, NamePath, RepoId, RepoPath, SecretDigest, SessionId, TokenId,
    UserName, Version,
};
use std::str::FromStr;

/// Bytes of a repository id at the front of a key.
pub(super) const ID: usize = 16;

/// Of a namespace path.
pub(super) fn name(path: &NamePath) -> Vec<u8> {
    path.as_bytes().to_vec()
}

pub(super) fn repo(id: RepoId) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// Of a path in a repository: loose refs, packed refs, catalog, blocks.
pub(super) fn in_repo(id: RepoId, path: &RepoPath) -> Vec<u8> {
    [id.as_bytes(), path.as_bytes()].concat()
}

/// The prefix of everything that lies beneath a directory; everything in the
/// repository, for its top.
pub(super) fn beneath(id: RepoId, dir: &RepoPath) -> Vec<u8> {
    let mut key = in_repo(id, dir);
    if !dir.is_root() {
        key.push(b'/');
    }
    key
}

/// The prefix of every name beneath a directory of the namespace.
pub(super) fn names_beneath(dir: &NamePath) -> Vec<u8> {
    let mut key = name(dir);
    if !dir.is_root() {
        key.push(b'/');
    }
    key
}

/// Everything of a repository in a table keyed by [`in_repo`].
pub(super) fn whole_repo(id: RepoId) -> KeyRange {
    KeyRange::prefix(id.as_bytes())
}

/// Of the n-th record of a commit in a trail.
pub(super) fn audit(trail: Trail, version: Version, ordinal: u32) -> Vec<u8> {
    let mut key = self::trail(trail);
    key.extend_from_slice(&version.0.to_be_bytes());
    key.extend_from_slice(&ordinal.to_be_bytes());
    key
}

/// Of the head of a trail, before its records.
pub(super) fn trail(trail: Trail) -> Vec<u8> {
    trail.id().as_bytes().to_vec()
}

/// Of which commit the record with this key is.
pub(super) fn version_of(audit: &[u8]) -> Result<Version, ReadError> {
    let version = audit.get(ID..).and_then(<[u8]>::first_chunk);
    let version = version.copied().map(u64::from_be_bytes).map(Version);
    version.ok_or_else(|| ReadError::Damaged("key of an audit record".to_owned()))
}

/// First byte of the trash keys of repositories.
pub(super) const TRASHED_REPO: u8 = b'R';
/// First byte of the trash keys of object files.
pub(super) const TRASHED_FILE: u8 = b'F';

/// Of a repository in the trash.
pub(super) fn trashed_repo(id: RepoId) -> Vec<u8> {
    [&[TRASHED_REPO], id.as_bytes().as_slice()].concat()
}

/// Of an object file in the trash. The version keeps apart two removals of the
/// same path.
pub(super) fn trashed_file(id: RepoId, version: Version, path: &RepoPath) -> Vec<u8> {
    let mut key = trashed_files(id);
    key.extend_from_slice(&version.0.to_be_bytes());
    key.extend_from_slice(path.as_bytes());
    key
}

/// The prefix of a repository's object files in the trash.
pub(super) fn trashed_files(id: RepoId) -> Vec<u8> {
    [&[TRASHED_FILE], id.as_bytes().as_slice()].concat()
}

/// First byte of the keys of removed files of hosts.
const REMOVED_HOST_FILE: u8 = b'H';

/// Of a file of a host that was removed from a repository.
pub(super) fn removed_host_file(id: RepoId, path: &RepoPath) -> Vec<u8> {
    [&removed_host_files(id), path.as_bytes()].concat()
}

/// The prefix of a repository's.
pub(super) fn removed_host_files(id: RepoId) -> Vec<u8> {
    [&[REMOVED_HOST_FILE], id.as_bytes().as_slice()].concat()
}

/// First byte of the keys of tombstones.
pub(super) const TOMBSTONE: u8 = b'C';
/// First byte of the keys of expired repositories.
pub(super) const EXPIRED_REPO: u8 = b'X';
/// First byte of the keys of shared keys.
const SHARED: u8 = b'L';
/// First byte of the keys that say what went to the trash with the repository around it.
const WENT_WITH: u8 = b'W';

/// Of a repository that went to the trash with the one around it.
pub(super) fn went_with(around: RepoId, inner: RepoId) -> Vec<u8> {
    [&all_gone_with(around), inner.as_bytes().as_slice()].concat()
}

/// The prefix of all that went with a repository.
pub(super) fn all_gone_with(around: RepoId) -> Vec<u8> {
    [&[WENT_WITH], around.as_bytes().as_slice()].concat()
}

/// Which repository went, by such a key.
pub(super) fn who_went(key: &[u8]) -> Result<RepoId, ReadError> {
    let id = key.get(1 + ID..).and_then(|id| id.try_into().ok());
    let id = id.map(RepoId::from_bytes);
    id.ok_or_else(|| ReadError::Damaged("what went to the trash with a repository".to_owned()))
}

/// First byte of the keys that say when tombstones last expired.
const TOMBSTONES_AS_OF: u8 = b'G';

/// First byte of the keys that say what has left the trash of a repository for good.
const EXPIRED: u8 = b'E';

/// Of the newest removal of object files that has left the trash for good.
pub(super) fn expired(id: RepoId) -> Vec<u8> {
    [&[EXPIRED], id.as_bytes().as_slice()].concat()
}

pub(super) fn tombstone(id: RepoId, key: &str) -> Vec<u8> {
    let mut row = tombstones(id);
    row.extend_from_slice(key.as_bytes());
    row
}

/// The prefix of the tombstones of a repository's keys.
pub(super) fn tombstones(id: RepoId) -> Vec<u8> {
    [&[TOMBSTONE], id.as_bytes().as_slice()].concat()
}

/// Of a repository that names a key of another.
pub(super) fn shared_key(owner: RepoId, key: &str, sharer: RepoId) -> Vec<u8> {
    [&sharers(owner, key), sharer.as_bytes().as_slice()].concat()
}

/// The prefix of those who name a key. There is no zero byte in a key.
pub(super) fn sharers(owner: RepoId, key: &str) -> Vec<u8> {
    [&shared_keys(owner), key.as_bytes(), &[0]].concat()
}

/// The prefix of those who name any of a repository's keys.
pub(super) fn shared_keys(owner: RepoId) -> Vec<u8> {
    [&[SHARED], owner.as_bytes().as_slice()].concat()
}

/// Of an expired repository.
pub(super) fn expired_repo(id: RepoId) -> Vec<u8> {
    [&[EXPIRED_REPO], id.as_bytes().as_slice()].concat()
}

/// Of the commit by which tombstones of a repository last expired.
pub(super) fn tombstones_as_of(id: RepoId) -> Vec<u8> {
    [&[TOMBSTONES_AS_OF], id.as_bytes().as_slice()].concat()
}

/// The number of sessions remembered.
pub(super) const SESSION_COUNT: &[u8] = b"n";
/// First byte of the keys of sessions.
pub(super) const SESSION: u8 = b's';

pub(super) fn session(session: SessionId) -> Vec<u8> {
    [&[SESSION], session.as_bytes().as_slice()].concat()
}

/// Of the outcome of one command of a session.
pub(super) fn outcome(session: SessionId, sequence: u64) -> Vec<u8> {
    let mut key = outcomes(session.as_bytes());
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// The prefix of the outcomes of a session.
pub(super) fn outcomes(session: &[u8]) -> Vec<u8> {
    [b"o", session].concat()
}

/// The id of the cluster.
pub(super) const CLUSTER: &[u8] = b"c";
/// The store of the cluster.
pub(super) const STORE: &[u8] = b"s";
/// The claims to the store that are this state's.
pub(super) const CLAIMS: &[u8] = b"o";
/// First byte of the keys of members.
pub(super) const MEMBER: u8 = b'm';
/// First byte of the keys of clients.
pub(super) const CLIENT: u8 = b'k';
/// First byte of the keys of nodes and clients that were removed.
pub(super) const REMOVED: u8 = b'd';
/// First byte of the keys of invitations.
pub(super) const INVITATION: u8 = b'i';

/// Which hooks directories the cluster accepts.
pub(super) const ACCEPTED_HOOKS: &[u8] = b"a";
/// The files of the one that was promoted last.
pub(super) const HOOKS_DIRECTORY: &[u8] = b"f";
/// First byte of the keys of what machines show as hooks.
pub(super) const MACHINE_HOOKS: u8 = b'h';
/// First byte of the keys of the files of that.
pub(super) const MACHINE_HOOK_FILES: u8 = b'l';

/// Of what a node or client shows as hooks.
pub(super) fn machine_hooks(machine: u64) -> Vec<u8> {
    [[MACHINE_HOOKS].as_slice(), &machine.to_be_bytes()].concat()
}

/// Of the files of that.
pub(super) fn machine_hook_files(machine: u64) -> Vec<u8> {
    [[MACHINE_HOOK_FILES].as_slice(), &machine.to_be_bytes()].concat()
}

/// Of the hooks that a repository has on a node or client.
pub(super) fn own_hooks(id: RepoId, machine: u64) -> Vec<u8> {
    [id.as_bytes().as_slice(), &machine.to_be_bytes()].concat()
}

/// On which machine, by such a key.
pub(super) fn machine_of_hooks(key: &[u8]) -> Result<u64, ReadError> {
    let machine = key.get(ID..).and_then(|machine| machine.try_into().ok());
    let machine = machine.map(u64::from_be_bytes);
    machine.ok_or_else(|| ReadError::Damaged("the hooks of a repository".to_owned()))
}

/// Of a member of the cluster.
pub(super) fn member(node: u64) -> Vec<u8> {
    [[MEMBER].as_slice(), &node.to_be_bytes()].concat()
}

/// Of a client of the cluster.
pub(super) fn client(id: u64) -> Vec<u8> {
    [[CLIENT].as_slice(), &id.to_be_bytes()].concat()
}

/// Of a node or client that was removed.
pub(super) fn removed(node: u64) -> Vec<u8> {
    [[REMOVED].as_slice(), &node.to_be_bytes()].concat()
}

pub(super) fn invitation(secret: SecretDigest) -> Vec<u8> {
    [[INVITATION].as_slice(), &secret.0].concat()
}

/// First byte of the keys of the bytes of files beside repositories.
const BYTES: u8 = b'B';
/// First byte of the keys that say where these stand.
const PLACE: u8 = b'P';

/// Of the bytes of a file beside repositories.
pub(super) fn contents(version: Version) -> Vec<u8> {
    [[BYTES].as_slice(), &version.0.to_be_bytes()].concat()
}

/// Of where that file stands.
pub(super) fn place_of(version: Version) -> Vec<u8> {
    [[PLACE].as_slice(), &version.0.to_be_bytes()].concat()
}

/// Of which file a key of these is.
pub(super) fn version_of_contents(key: &[u8]) -> Option<Version> {
    match key.split_first() {
        Some((&(BYTES | PLACE), version)) => {
            Some(Version(u64::from_be_bytes(version.try_into().ok()?)))
        }
        Some(_) | None => None,
    }
}

/// First byte of the keys of imports.
pub(super) const IMPORT: u8 = b'I';
/// First byte of the keys of files of imports that were read back.
const VERIFIED: u8 = b'V';

pub(super) fn import(id: RepoId) -> Vec<u8> {
    [&[IMPORT], id.as_bytes().as_slice()].concat()
}

/// Of a file of an import that was read back.
pub(super) fn verified(id: RepoId, path: &RepoPath) -> Vec<u8> {
    [all_verified(id).as_slice(), path.as_bytes()].concat()
}

/// The prefix of all of them.
pub(super) fn all_verified(id: RepoId) -> Vec<u8> {
    [&[VERIFIED], id.as_bytes().as_slice()].concat()
}

/// First byte of the keys of users of the doors.
pub(super) const USER: u8 = b'u';
/// First byte of the keys of members of groups.
const MEMBER_OF: u8 = b'm';
/// First byte of the keys of tokens.
pub(super) const TOKEN: u8 = b't';
/// First byte of the keys of grants of a directory.
pub(super) const ON_DIRECTORY: u8 = b'd';
/// First byte of the keys of grants of a repository.
pub(super) const ON_REPOSITORY: u8 = b'r';
/// Who got something: everyone, or a letter and a name.
const EVERYONE: u8 = b'*';
const TO_USER: u8 = b'u';
const TO_GROUP: u8 = b'g';

/// Of a user of the doors.
pub(super) fn user(user: &UserName) -> Vec<u8> {
    [&[USER], user.as_str().as_bytes()].concat()
}

/// Which user, by such a key.
pub(super) fn user_of(key: &[u8]) -> Result<UserName, ReadError> {
    named(key.get(1..))
}

/// Of a user in a group. There is no zero byte in a name.
pub(super) fn member_of(user: &UserName, group: &GroupName) -> Vec<u8> {
    [groups(user).as_slice(), group.as_str().as_bytes()].concat()
}

/// The prefix of a user's groups.
pub(super) fn groups(user: &UserName) -> Vec<u8> {
    [&[MEMBER_OF], user.as_str().as_bytes(), &[0]].concat()
}

/// Which group, by the rest of such a key.
pub(super) fn group_of(rest: &[u8]) -> Result<GroupName, ReadError> {
    named(Some(rest))
}

fn named<T: FromStr>(bytes: Option<&[u8]>) -> Result<T, ReadError> {
    let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let name = text.and_then(|text| text.parse().ok());
    name.ok_or_else(|| ReadError::Damaged("the name of a user or group".to_owned()))
}

/// Of a token.
pub(super) fn token(id: TokenId) -> Vec<u8> {
    [[TOKEN].as_slice(), &id.0].concat()
}

/// Which token, by such a key.
pub(super) fn token_of(key: &[u8]) -> Result<TokenId, ReadError> {
    let id = key.get(1..).and_then(|id| id.try_into().ok()).map(TokenId);
    id.ok_or_else(|| ReadError::Damaged("the key of a token".to_owned()))
}

/// Of what somebody was granted.
pub(super) fn grant(ground: &Ground, to: &Grantee) -> Vec<u8> {
    let mut key = match ground {
        Ground::Repository(id) => on_repository(*id),
        Ground::Directory(path) => on_directory(path),
    };
    let (kind, name) = match to {
        Grantee::Everyone => (EVERYONE, ""),
        Grantee::User(user) => (TO_USER, user.as_str()),
        Grantee::Group(group) => (TO_GROUP, group.as_str()),
    };
    key.push(kind);
    key.extend_from_slice(name.as_bytes());
    key
}

/// The prefix of the grants of a repository.
pub(super) fn on_repository(id: RepoId) -> Vec<u8> {
    [&[ON_REPOSITORY], id.as_bytes().as_slice()].concat()
}

/// The prefix of the grants of a directory. There is no zero byte in a path.
pub(super) fn on_directory(path: &NamePath) -> Vec<u8> {
    [&[ON_DIRECTORY], path.as_bytes(), &[0]].concat()
}

/// Where and to whom, by such a key.
pub(super) fn grant_of(key: &[u8]) -> Result<(Ground, Grantee), ReadError> {
    let damaged = || ReadError::Damaged("the key of a grant".to_owned());
    let (ground, to) = match key.split_first() {
        Some((&ON_REPOSITORY, rest)) => {
            let (id, to) = rest.split_first_chunk().ok_or_else(damaged)?;
            (Ground::Repository(RepoId::from_bytes(*id)), to)
        }
        Some((&ON_DIRECTORY, rest)) => {
            let zero = rest.iter().position(|&byte| byte == 0);
            let (path, to) = rest.split_at(zero.ok_or_else(damaged)?);
            let path = NamePath::new(path).ok_or_else(damaged)?;
            (Ground::Directory(path), &to[1..])
        }
        Some(_) | None => return Err(damaged()),
    };
    let to = match to.split_first() {
        Some((&EVERYONE, [])) => Grantee::Everyone,
        Some((&TO_USER, name)) => Grantee::User(named(Some(name))?),
        Some((&TO_GROUP, name)) => Grantee::Group(named(Some(name))?),
        Some(_) | None => return Err(damaged()),
    };
    Ok((ground, to))
}
