//! Applying one command: exactly once, wholly or not at all.

use super::sessions::{self, Seen};
use super::{
    Overlay, ReadError, access, beside, borrow, catalog, commit, fork, hooks, import, members,
    namespace, nest, repack, settings, tombstones, trash,
};
use crate::model::{Actor, Command, Envelope, Outcome, Refusal, Timestamp, Version};

/// What every part of a command may want to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The raft index of its entry.
    pub version: Version,
    /// The time by the proposer's clock.
    pub time: Timestamp,
    /// On whose behalf the command was proposed.
    pub actor: &'a Actor,
}

/// Why a command ends early.
#[derive(Debug)]
pub(super) enum Halt {
    /// It is refused, and that is its outcome.
    Refused(Refusal),
    /// The rows could not be read. Other nodes may have read theirs, so this
    /// node must not go on.
    Unreadable(ReadError),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ReadError> for Halt {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}

/// Applies a command that raft committed at index `version`. A replay changes
/// nothing and answers the kept outcome; `None` when that is forgotten.
pub fn apply(
    overlay: &mut Overlay<'_>,
    version: Version,
    envelope: &Envelope,
) -> Result<Option<Outcome>, ReadError> {
    match sessions::look_up(overlay, envelope.session, envelope.sequence)? {
        Seen::Before(outcome) => return Ok(Some(outcome)),
        Seen::Forgotten => return Ok(None),
        Seen::Never => {}
    }
    let context = Context {
        version,
        time: envelope.time,
        actor: &envelope.actor,
    };
    let outcome = run(overlay, context, &envelope.command)?;
    sessions::remember(
        overlay,
        envelope.session,
        envelope.sequence,
        version,
        &outcome,
    )?;
    Ok(Some(outcome))
}

/// Runs a command on an overlay of its own, which is dropped if the command is
/// refused: a refusal cannot leave a half-made change behind.
fn run(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    command: &Command,
) -> Result<Outcome, ReadError> {
    let mut own = Overlay::new(overlay);
    match dispatch(&mut own, context, command) {
        Ok(()) => {
            let changes = own.into_changes();
            overlay.absorb(changes);
            Ok(Outcome::Done(context.version))
        }
        Err(Halt::Refused(refusal)) => Ok(Outcome::Refused(refusal)),
        Err(Halt::Unreadable(error)) => Err(error),
    }
}

fn dispatch(
    overlay: &mut Overlay<'_>,
    context: Context<'_>,
    command: &Command,
) -> Result<(), Halt> {
    match command {
        Command::CreateDirectory { path } => namespace::create_directory(overlay, context, path),
        Command::RemoveDirectory { path } => namespace::remove_directory(overlay, context, path),
        Command::CreateRepo { id, path } => namespace::create_repo(overlay, context, *id, path),
        Command::Rename { from, to } => namespace::rename(overlay, context, from, to),
        Command::DeleteRepo { id } => namespace::delete_repo(overlay, context, *id),
        Command::SetFormat { id, format } => settings::set_format(overlay, context, *id, *format),
        Command::SetSetting { id, key, value } => {
            settings::set_setting(overlay, context, *id, (key, value.as_deref()))
        }
        Command::SetSettings { id, settings } => {
            settings::set_settings(overlay, context, *id, settings)
        }
        Command::SetLimit { id, limit, value } => {
            settings::set_limit(overlay, context, *id, (*limit, *value))
        }
        Command::Commit(change) => commit::commit(overlay, context, change),
        Command::Publish {
            change,
            tombstones_as_of,
        } => {
            tombstones::check_as_of(overlay, change.repo, *tombstones_as_of)?;
            commit::commit(overlay, context, change)
        }
        Command::RestoreRepo { id, path } => trash::restore_repo(overlay, context, *id, path),
        Command::RestoreFiles { repo, files } => {
            trash::restore_files(overlay, context, *repo, files)
        }
        Command::MarkDeleted(deletions) => tombstones::mark_deleted(overlay, context, deletions),
        Command::RecordDeletion {
            repo,
            deleted,
            expire,
        } => tombstones::record_deletion(overlay, context, *repo, deleted, expire),
        Command::ExpireRepo { id, version } => {
            tombstones::expire_repo(overlay, context, *id, *version)
        }
        Command::PurgeRepo { id } => tombstones::purge_repo(overlay, context, *id),
        Command::FoundCluster { id, node, address } => members::found(overlay, *id, *node, address),
        Command::Invite {
            secret,
            expires,
            part,
        } => members::invite(overlay, *secret, *expires, *part),
        Command::InviteClient {
            secret,
            expires,
            scope,
        } => members::invite_client(overlay, *secret, *expires, scope),
        Command::Admit { secret, newcomer } => members::admit(overlay, context, *secret, newcomer),
        Command::Relocate { node, address } => members::relocate(overlay, *node, address),
        Command::MoveRefs {
            change,
            tombstones_as_of,
            unpruned,
        } => {
            if let Some(as_of) = tombstones_as_of {
                tombstones::check_as_of(overlay, change.repo, *as_of)?;
            }
            trash::check_unpruned(overlay, change.repo, *unpruned)?;
            commit::commit(overlay, context, change)
        }
        Command::SettleStore(store) => members::settle_store(overlay, store),
        Command::ClaimStore(claim) => members::claim_store(overlay, *claim),
        Command::RemoveMember { node } => {
            members::remove(overlay, *node);
            Ok(())
        }
        Command::Fork { from, id, path } => fork::fork(overlay, context, *from, *id, path),
        Command::Repack(repacking) => repack::repack(overlay, context, repacking),
        Command::Import(importing) => import::import(overlay, context, importing),
        Command::Touch { repo, files } => catalog::touch(overlay, context, *repo, files),
        Command::Borrow(borrowing) => borrow::borrow(overlay, context, borrowing),
        Command::Name(change) => beside::change(overlay, context, change),
        Command::Nest(nesting) => nest::nest(overlay, context, nesting),
        Command::Hooks(change) => hooks::change(overlay, context, change),
        Command::Access(change) => access::change(overlay, context, change),
    }
}
