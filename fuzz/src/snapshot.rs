//! A snapshot from another node: one that is cut short or garbled is an error, and takes no more memory than there are
//! bytes.

use gitmoor_replicator::peer::carried;
use gitmoor_replicator::storage::snapshot;
use std::convert::Infallible;
use std::io::Cursor;

/// The bytes of a snapshot's rows, and of one as it is carried.
pub fn run(data: &[u8]) {
    if read(data) {
        assert!(!read(&data[..data.len() - 1]), "it is cut");
    }
    if let Ok((_, rows)) = carried::parse(&mut Cursor::new(data)) {
        assert!(rows.start <= rows.end);
    }
}

fn read(mut rows: &[u8]) -> bool {
    snapshot::read(&mut rows, |_, _, _| Ok::<_, Infallible>(())).is_ok()
}
