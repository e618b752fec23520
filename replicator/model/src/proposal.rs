//! Commands as they go into the log.
//!
//! Apply cannot refuse an entry that does not decode: it would end every node, now and at each
//! start. So what is appended is a [`Proposal`], and there is none that does not decode, nor one
//! that says what no proposer may: it is made of an envelope, or of bytes that were read as one.

use super::change::{FileAdd, RefEdit};
use super::command::{Borrowing, Relied};
use super::entry::{S_IFLNK, S_IFMT};
use super::{
    AccessChange, Actor, Change, Command, Envelope, FileEntry, ImportStep, MOST_OF_FILE,
    MOST_OF_TARGET, NameStep, PackedEdit, Place, Refusal, RepoChange, RepoId, RepoPath, SessionId,
    Timestamp, host_file, setting,
};
use std::collections::HashSet;
use std::net::IpAddr;

/// The largest command, serialised. One entry is read and written whole.
pub const MAX_ENTRY: usize = 8 << 20;

/// Bytes of what a caller is said to have been started as.
const MAX_STARTED_AS: usize = 1024;
/// Bytes of a key of the store: S3 takes no longer one.
const MAX_KEY: usize = 1024;
/// A block is read and proved whole: a file of this many blocks, or fewer, needs none that is larger than
/// [`SMALL_BLOCK`].
const MANY_BLOCKS: u64 = 16_384;
/// Bytes of a block that any file may have.
const SMALL_BLOCK: u64 = 8 << 20;
/// The type of a regular file; those of refs may be symbolic links, too.
const S_IFREG: u32 = 0o100_000;

/// A command that every node can apply; see the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    session: SessionId,
    sequence: u64,
    data: Vec<u8>,
}

/// Why something is no [`Proposal`].
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It does not decode.
    #[error("this is no command: {0}")]
    Garbled(String),
    /// It is larger than an entry may be.
    #[error("a command of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Size of the serialized entry in bytes.
        size: usize,
        /// The largest that is allowed, in bytes.
        limit: usize,
    },
    /// It says what no proposer may.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Proposal {
    /// Of an envelope, if that takes no more bytes than `limit`.
    pub fn new(envelope: &Envelope, limit: usize) -> Result<Self, Unfit> {
        check(envelope)?;
        let data = postcard::to_stdvec(envelope).expect("plain data encodes");
        if data.len() > limit {
            let size = data.len();
            return Err(Unfit::TooLarge { size, limit });
        }
        Ok(Self {
            session: envelope.session,
            sequence: envelope.sequence,
            data,
        })
    }

    /// Of what another machine sent.
    pub fn read(data: Vec<u8>) -> Result<Self, Unfit> {
        let envelope = Self::envelope(&data)?;
        check(&envelope)?;
        Ok(Self {
            session: envelope.session,
            sequence: envelope.sequence,
            data,
        })
    }

    /// The envelope that these bytes are, and nothing behind it.
    pub fn envelope(data: &[u8]) -> Result<Envelope, Unfit> {
        if data.len() > MAX_ENTRY {
            let (size, limit) = (data.len(), MAX_ENTRY);
            return Err(Unfit::TooLarge { size, limit });
        }
        match postcard::take_from_bytes(data) {
            Ok((envelope, [])) => Ok(envelope),
            Ok(_) => Err(Unfit::Garbled("there is more behind it".to_owned())),
            Err(error) => Err(Unfit::Garbled(error.to_string())),
        }
    }

    /// Whose it is, and its number there.
    pub fn key(&self) -> (SessionId, u64) {
        (self.session, self.sequence)
    }

    /// The serialized entry, as it goes into the log.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The serialized entry, without a copy.
    pub fn into_data(self) -> Vec<u8> {
        self.data
    }
}

/// Whether a proposer may say this, whoever it is: what apply relies on, and what mounts make of
/// it without looking again.
fn check(envelope: &Envelope) -> Result<(), Refusal> {
    check_time(envelope.time)?;
    check_actor(&envelope.actor)?;
    match &envelope.command {
        Command::SetSetting { key, value, .. } => check_setting(key, value.as_deref()),
        Command::SetSettings { settings, .. } => settings
            .iter()
            .try_for_each(|(key, value)| check_setting(key, value.as_deref())),
        Command::Commit(change)
        | Command::Publish { change, .. }
        | Command::MoveRefs { change, .. } => check_change(change),
        Command::Repack(repacking) => check_adds(&repacking.add),
        Command::Borrow(borrowing) => {
            check_change(&borrowing.change).and_then(|()| check_loans(borrowing))
        }
        Command::Touch { files, .. } => {
            let mut times = files.iter().filter_map(|file| file.mtime);
            times.try_for_each(check_time)
        }
        Command::MarkDeleted(deletions) => check_keys(&deletions.leftovers),
        Command::RecordDeletion {
            deleted, expire, ..
        } => check_keys(deleted).and_then(|()| check_keys(expire)),
        Command::CreateRepo { id, .. } | Command::Fork { id, .. } => check_new(*id),
        Command::Nest(nesting) => check_new(nesting.repo),
        Command::Import(importing) => match &importing.step {
            ImportStep::Begin { .. } => check_new(importing.id),
            ImportStep::Store(adds) => check_adds(adds),
            ImportStep::Refs { loose, packed, .. } => {
                check_refs(loose).and_then(|()| check_packed(packed))
            }
            ImportStep::Reach { .. }
            | ImportStep::Verify { .. }
            | ImportStep::Drop(_)
            | ImportStep::Finish { .. }
            | ImportStep::Abandon
            | ImportStep::GiveTo { .. } => Ok(()),
        },
        Command::Name(change) => check_name(&change.step),
        Command::Access(change) => check_access(change),
        // Their ids, paths and numbers are what they must be once they decode.
        Command::CreateDirectory { .. }
        | Command::RemoveDirectory { .. }
        | Command::Rename { .. }
        | Command::DeleteRepo { .. }
        | Command::SetFormat { .. }
        | Command::SetLimit { .. }
        | Command::RestoreRepo { .. }
        | Command::RestoreFiles { .. }
        | Command::ExpireRepo { .. }
        | Command::PurgeRepo { .. }
        | Command::FoundCluster { .. }
        | Command::Invite { .. }
        | Command::InviteClient { .. }
        | Command::Admit { .. }
        | Command::Relocate { .. }
        | Command::RemoveMember { .. }
        | Command::SettleStore(_)
        | Command::ClaimStore(_) => Ok(()),
        Command::Hooks(change) if change.fits() => Ok(()),
        Command::Hooks(_) => refuse("a hooks directory has too many files"),
    }
}

/// The id of a repository that is made.
fn check_new(id: RepoId) -> Result<(), Refusal> {
    match id == RepoId::NAMESPACE {
        true => refuse("this id is none of a repository"),
        false => Ok(()),
    }
}

fn check_name(step: &NameStep) -> Result<(), Refusal> {
    match step {
        NameStep::Link { target } if target.is_empty() || target.contains(&0) => {
            refuse("a symbolic link leads to no name")
        }
        NameStep::Link { target } if target.len() > MOST_OF_TARGET => {
            refuse("the target of a symbolic link is too long")
        }
        NameStep::Write { value, .. } if value.len() as u64 > MOST_OF_FILE => {
            refuse("a file beside repositories is too large")
        }
        NameStep::Touch { mtime, .. } => mtime.map_or(Ok(()), check_time),
        NameStep::Become(id) => check_new(*id),
        NameStep::Link { .. }
        | NameStep::Write { .. }
        | NameStep::Unlink
        | NameStep::Move { .. }
        | NameStep::Restore(_) => Ok(()),
    }
}

fn check_access(change: &AccessChange) -> Result<(), Refusal> {
    if let AccessChange::AddToken { token, .. } = change {
        check_time(token.created)?;
        token.expires.map_or(Ok(()), check_time)?;
    }
    change.unfit().map_or(Ok(()), refuse)
}

fn refuse(why: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal::NotPermitted(why.into()))
}

fn check_time(time: Timestamp) -> Result<(), Refusal> {
    match time.nanos {
        0..1_000_000_000 => Ok(()),
        _ => refuse("a second has 1,000,000,000 nanoseconds"),
    }
}

fn check_actor(actor: &Actor) -> Result<(), Refusal> {
    let is_long = |text: &String| text.len() > MAX_STARTED_AS;
    if actor.command.as_ref().is_some_and(is_long) {
        return refuse("what the caller was started as is too long");
    }
    match &actor.address {
        Some(address) if address.parse::<IpAddr>().is_err() => {
            refuse("the caller's address is no IP address")
        }
        Some(_) | None => Ok(()),
    }
}

fn check_setting(key: &str, value: Option<&str>) -> Result<(), Refusal> {
    let found = setting::find(key).and_then(|setting| {
        value.map_or(Ok(()), |value| setting.check(value))?;
        Ok(setting)
    });
    match found {
        Ok(setting) if setting.key == key => Ok(()),
        Ok(setting) => refuse(format!("{key} is spelled {}", setting.key)),
        Err(error) => refuse(error.to_string()),
    }
}

fn check_change(change: &RepoChange) -> Result<(), Refusal> {
    check_adds(&change.add)?;
    check_refs(&change.refs)?;
    check_packed(&change.packed)
}

fn check_adds(adds: &[FileAdd]) -> Result<(), Refusal> {
    let mut paths = HashSet::new();
    for FileAdd { path, entry, .. } in adds {
        // The trash has one file of a name and version: what the first replaced would be lost to gc.
        if !paths.insert(path) {
            return refuse(format!("{path} is added twice"));
        }
        if !is_of_objects(path) {
            return refuse(format!("{path} is no object file"));
        }
        if entry.mode & S_IFMT != S_IFREG || !entry.block_size.is_power_of_two() {
            return refuse(format!("{path} is no file that a mount can show"));
        }
        check_time(entry.mtime)?;
        check_bytes(path, entry)?;
    }
    Ok(())
}

/// A quota counts the size that an entry states, and a mount reads whole blocks of that.
fn check_bytes(path: &RepoPath, entry: &FileEntry) -> Result<(), Refusal> {
    let needed = entry.size.div_ceil(MANY_BLOCKS).checked_next_power_of_two();
    match &entry.place {
        Place::Inline(bytes) if bytes.len() as u64 != entry.size => {
            refuse(format!("{path} has another size than its bytes"))
        }
        Place::Stored { .. }
            if u64::from(entry.block_size) > needed.unwrap_or(u64::MAX).max(SMALL_BLOCK) =>
        {
            refuse(format!("{path} has blocks that are too large"))
        }
        Place::Inline(_) => Ok(()),
        Place::Stored { key } => check_key(key),
    }
}

fn is_of_objects(path: &RepoPath) -> bool {
    let path = path.as_bytes();
    path.starts_with(b"objects/") || path.starts_with(b"lfs/objects/")
}

/// Together with what is added besides.
fn check_loans(borrowing: &Borrowing) -> Result<(), Refusal> {
    let added = borrowing.change.add.iter().map(|add| &add.path);
    let mut paths: HashSet<_> = added.collect();
    for loan in &borrowing.loans {
        if loan.from == borrowing.change.repo {
            return refuse("a repository does not lend to itself");
        }
        for Relied { path, .. } in &loan.files {
            if !paths.insert(path) {
                return refuse(format!("{path} is added twice"));
            }
            if !is_of_objects(path) {
                return refuse(format!("{path} is no object file"));
            }
        }
    }
    Ok(())
}

fn check_refs(edits: &[RefEdit]) -> Result<(), Refusal> {
    for RefEdit { name, change, .. } in edits {
        let top = name.as_bytes().split(|&byte| byte == b'/').next();
        let is_in_room = matches!(
            top,
            Some(b"HEAD" | b"refs" | b"reftable" | b"shallow" | b"packed-refs")
        );
        let is_of_host = host_file::may_be_one(name);
        if !is_in_room && !is_of_host {
            return refuse(format!("{name} is no ref"));
        }
        if is_of_host {
            check_host_file(name, change)?;
        }
        let kind = match change {
            Change::Set { mode, .. } => mode & S_IFMT,
            // Of these only the permissions count, or nothing.
            Change::SetMode { .. }
            | Change::Chmod { .. }
            | Change::Append { .. }
            | Change::Delete
            | Change::Keep => S_IFREG,
        };
        if !matches!(kind, S_IFREG | S_IFLNK) {
            return refuse(format!("{name} is no file that a mount can show"));
        }
    }
    Ok(())
}

/// One that a machine may run is none.
fn check_host_file(name: &RepoPath, change: &Change) -> Result<(), Refusal> {
    let plain = S_IFREG | host_file::PERMISSIONS;
    match change {
        Change::Set { mode, .. } if mode & S_IFMT == S_IFREG && mode & !plain == 0 => Ok(()),
        Change::Chmod { mode } if mode & !plain == 0 => Ok(()),
        Change::Delete | Change::Keep => Ok(()),
        Change::Set { .. }
        | Change::Chmod { .. }
        | Change::SetMode { .. }
        | Change::Append { .. } => refuse(format!("{name} is a regular file without execute bits")),
    }
}

fn check_packed(edits: &[PackedEdit]) -> Result<(), Refusal> {
    for edit in edits {
        let PackedEdit::Set { name, line } = edit else {
            continue;
        };
        let is_id = |id: &Vec<u8>| matches!(id.len(), 20 | 32);
        // An empty one: nobody knows what it peels to.
        let is_peeled = |id: &Vec<u8>| id.is_empty() || is_id(id);
        if !is_id(&line.oid) || !line.peeled.as_ref().is_none_or(is_peeled) {
            return refuse(format!("{name} points at no object id"));
        }
    }
    Ok(())
}

fn check_keys(keys: &[String]) -> Result<(), Refusal> {
    keys.iter().try_for_each(|key| check_key(key))
}

/// A directory's store takes a key for a path below itself.
fn check_key(key: &str) -> Result<(), Refusal> {
    let is_name = |name: &str| !matches!(name, "" | "." | "..");
    match key.len() <= MAX_KEY && !key.contains('\0') && key.split('/').all(is_name) {
        true => Ok(()),
        false => refuse("a key that no store may be asked for"),
    }
}
