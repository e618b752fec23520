//! How raft's own values are written.
//!
//! An entry is `term (8 bytes, big-endian) | type (1) | length of context (4) |
//! context | data`, so that asking for the term of an entry of megabytes does
//! not decode it; its index is its key. The rest is postcard of plain tuples:
//! our own shapes, independent of raft's protobuf code generation.

use super::Position;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState};

const HEAD: usize = 13;

/// The row of an entry.
pub fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + entry.context.len() + entry.data.len());
    bytes.extend_from_slice(&entry.term.to_be_bytes());
    bytes.push(match entry.get_entry_type() {
        EntryType::EntryNormal => 0,
        EntryType::EntryConfChange => 1,
        EntryType::EntryConfChangeV2 => 2,
    });
    let context = u32::try_from(entry.context.len()).expect("an entry is far below 4 GiB");
    bytes.extend_from_slice(&context.to_be_bytes());
    bytes.extend_from_slice(&entry.context);
    bytes.extend_from_slice(&entry.data);
    bytes
}

/// `None` for bytes that [`encode_entry`] did not write.
pub fn decode_entry(index: u64, bytes: &[u8]) -> Option<Entry> {
    let term = decode_term(bytes)?;
    let kind = match bytes.get(8)? {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        _ => return None,
    };
    let context = u32::from_be_bytes(*bytes.get(9..)?.first_chunk()?) as usize;
    let (context, data) = bytes.get(HEAD..)?.split_at_checked(context)?;
    let mut entry = Entry {
        index,
        term,
        ..Entry::default()
    };
    entry.set_entry_type(kind);
    entry.context = context.to_vec();
    entry.data = data.to_vec();
    Some(entry)
}

/// The term of an entry.
pub(crate) fn decode_term(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().copied().map(u64::from_be_bytes)
}

/// The row of term, vote and commit index.
pub fn encode_hard_state(state: &HardState) -> Vec<u8> {
    plain(&(state.term, state.vote, state.commit))
}

/// `None` for bytes that [`encode_hard_state`] did not write.
pub fn decode_hard_state(bytes: &[u8]) -> Option<HardState> {
    let (term, vote, commit) = postcard::from_bytes(bytes).ok()?;
    Some(HardState { term, vote, commit })
}

/// The row of the membership.
pub fn encode_conf_state(state: &ConfState) -> Vec<u8> {
    plain(&(
        &state.voters,
        &state.learners,
        &state.voters_outgoing,
        &state.learners_next,
        state.auto_leave,
    ))
}

/// `None` for bytes that [`encode_conf_state`] did not write.
pub fn decode_conf_state(bytes: &[u8]) -> Option<ConfState> {
    let (voters, learners, voters_outgoing, learners_next, auto_leave) =
        postcard::from_bytes(bytes).ok()?;
    Some(ConfState {
        voters,
        learners,
        voters_outgoing,
        learners_next,
        auto_leave,
    })
}

/// The row of a place in the log.
pub fn encode_position(position: Position) -> Vec<u8> {
    plain(&(position.index, position.term))
}

/// `None` for bytes that [`encode_position`] did not write.
pub fn decode_position(bytes: &[u8]) -> Option<Position> {
    let (index, term) = postcard::from_bytes(bytes).ok()?;
    Some(Position { index, term })
}

fn plain(value: &impl serde::Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("numbers and lists of numbers encode")
}
