//! Exactly once: which commands of which session have been applied, and what
//! came out.
//!
//! A session's proposals may overtake one another (one is dropped while raft
//! has no leader and comes again later), so "the last sequence" is not enough:
//! the outcomes of the last [`WINDOW`] sequence numbers are kept each under its
//! own key, and a sequence within the window without an outcome has not been
//! applied. The [`MAX_SESSIONS`] most recently used sessions are kept; "used"
//! is measured in raft indexes, so every node forgets the same ones.

use super::view::{KeyRange, Step, View, decode, load};
use super::{Overlay, ReadError, Table, keys};
use crate::model::{Outcome, SessionId, Version};
use serde::{Deserialize, Serialize};

/// Outcomes kept per session. A proposer has far fewer commands under way at a
/// time than this, so no command that still waits falls out of the window.
pub const WINDOW: u64 = 4096;

/// How many sessions are remembered at most.
pub const MAX_SESSIONS: u64 = 1000;

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Session {
    highest: u64,
    last_used: Version,
}

/// What is known of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// It was not applied yet.
    Never,
    /// It was applied, with this outcome.
    Before(Outcome),
    /// It is too old to tell, and so must not be applied.
    Forgotten,
}

/// Whether a command was applied.
pub fn look_up(view: &dyn View, id: SessionId, sequence: u64) -> Result<Seen, ReadError> {
    let Some(session) = load::<Session>(view, Table::Sessions, &keys::session(id))? else {
        return Ok(Seen::Never);
    };
    if sequence.saturating_add(WINDOW) <= session.highest {
        return Ok(Seen::Forgotten);
    }
    let outcome = load(view, Table::Sessions, &keys::outcome(id, sequence))?;
    Ok(outcome.map_or(Seen::Never, Seen::Before))
}

/// Whether a session has committed anything, and is not forgotten.
pub fn is_known(view: &dyn View, id: SessionId) -> Result<bool, ReadError> {
    Ok(view.get(Table::Sessions, &keys::session(id))?.is_some())
}

/// Records that a command was applied.
pub fn remember(
    overlay: &mut Overlay<'_>,
    id: SessionId,
    sequence: u64,
    version: Version,
    outcome: &Outcome,
) -> Result<(), ReadError> {
    let highest = match load::<Session>(overlay, Table::Sessions, &keys::session(id))? {
        Some(session) => session.highest,
        None => {
            make_room(overlay)?;
            0
        }
    };
    // Each sequence that leaves the window takes its outcome with it.
    let leaving = highest + 1..=sequence.min(highest.saturating_add(WINDOW));
    for old in leaving.filter_map(|newer| newer.checked_sub(WINDOW)) {
        overlay.delete(Table::Sessions, keys::outcome(id, old));
    }
    let session = Session {
        highest: highest.max(sequence),
        last_used: version,
    };
    overlay.put(Table::Sessions, keys::session(id), &session);
    overlay.put(Table::Sessions, keys::outcome(id, sequence), outcome);
    Ok(())
}

/// Counts one more session, and forgets the least recently used one if they
/// have become too many.
fn make_room(overlay: &mut Overlay<'_>) -> Result<(), ReadError> {
    let count: u64 = load(overlay, Table::Sessions, keys::SESSION_COUNT)?.unwrap_or(0);
    if count < MAX_SESSIONS {
        overlay.put(Table::Sessions, keys::SESSION_COUNT.to_vec(), &(count + 1));
        return Ok(());
    }
    let Some(oldest) = least_recently_used(overlay)? else {
        return Ok(());
    };
    overlay.clear(
        Table::Sessions,
        KeyRange::prefix(&keys::outcomes(&oldest[1..])),
    )?;
    overlay.delete(Table::Sessions, oldest);
    Ok(())
}

/// The key of the session that was used the longest ago. Walks all sessions,
/// which happens once in the life of a new one.
fn least_recently_used(view: &dyn View) -> Result<Option<Vec<u8>>, ReadError> {
    let mut oldest: Option<(Version, Vec<u8>)> = None;
    view.scan(
        Table::Sessions,
        &KeyRange::prefix(&[keys::SESSION]),
        &mut |key, value| {
            let session: Session = decode(Table::Sessions, key, value)?;
            if oldest
                .as_ref()
                .is_none_or(|(used, _)| session.last_used < *used)
            {
                oldest = Some((session.last_used, key.to_vec()));
            }
            Ok(Step::Next)
        },
    )?;
    Ok(oldest.map(|(_, key)| key))
}
