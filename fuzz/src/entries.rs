//! The rows of raft's log and state, and committed entries, as a damaged disk or another
//! node may have them: they decode to what encodes to the same, and a committed one
//! ends in an effect.

use gitmoor_replicator::engine::{Core, Incarnation, RaftLimits};
use gitmoor_replicator::parsers::{
    decode_conf_state, decode_entry, decode_hard_state, decode_position, encode_conf_state,
    encode_entry, encode_hard_state, encode_position,
};
use raft::eraftpb::{Entry, HardState};
use raft::storage::MemStorage;

const LIMITS: RaftLimits = RaftLimits {
    uncommitted_bytes: 1 << 20,
    batch_bytes: 1 << 20,
};

/// The first byte chooses the row.
pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    match kind % 4 {
        0 => {
            if let Some(entry) = decode_entry(1, bytes) {
                assert_eq!(encode_entry(&entry), bytes);
                commit(entry);
            }
        }
        1 => again(bytes, decode_hard_state, encode_hard_state),
        2 => again(bytes, decode_conf_state, encode_conf_state),
        _ => again(bytes, decode_position, |position| {
            encode_position(*position)
        }),
    }
}

fn again<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Option<T>,
    encode: fn(&T) -> Vec<u8>,
) {
    if let Some(value) = decode(bytes) {
        assert_eq!(decode(&encode(&value)), Some(value));
    }
}

/// What a node does with it that finds it committed.
fn commit(entry: Entry) {
    let storage = MemStorage::new_with_conf_state((vec![1], vec![]));
    let term = 1;
    {
        let mut log = storage.wl();
        log.append(&[Entry { term, ..entry }])
            .expect("an empty log");
        log.set_hardstate(HardState {
            term,
            commit: 1,
            ..HardState::default()
        });
    }
    let incarnation = Incarnation { node: 1, nonce: 1 };
    let mut core = Core::new(incarnation, storage, 0, LIMITS).expect("a node of its own");
    let work = core.work().expect("a committed entry");
    assert_eq!(work.committed.len(), 1);
    core.persisted(work);
    core.applied();
}
