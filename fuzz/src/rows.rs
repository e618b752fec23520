//! Rows of the replicated state as a damaged disk or another node's snapshot may have
//! them: decoding ends in an error or in a valid value, which encodes to what decodes
//! to itself.

use gitmoor_fs::parsers::packed;
use gitmoor_model::{
    FileEntry, Import, NamePath, Outcome, PackedRef, RefEntry, Repo, RepoPath, Timestamp,
};
use gitmoor_replicator::state::{AuditRecord, TrashedFile, TrashedRepo};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::time::SystemTime;

/// The first byte chooses the type.
pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    match kind % 11 {
        0 => drop(decode::<Repo>(bytes).map(|repo| time(repo.created))),
        1 => drop(decode::<RefEntry>(bytes).map(|entry| time(entry.mtime))),
        2 => drop(decode::<PackedRef>(bytes).map(|line| render(&line))),
        3 => drop(decode::<FileEntry>(bytes).map(|entry| time(entry.mtime))),
        4 => drop(decode::<Outcome>(bytes)),
        5 => drop(decode::<AuditRecord>(bytes)),
        6 => drop(decode::<TrashedFile>(bytes)),
        7 => drop(decode::<TrashedRepo>(bytes)),
        8 => drop(decode::<RepoPath>(bytes).map(|path| assert_valid(path.as_bytes()))),
        9 => drop(decode::<NamePath>(bytes).map(|path| assert_valid(path.as_bytes()))),
        _ => drop(decode::<Import>(bytes).map(|import| assert_valid(import.path.as_bytes()))),
    }
}

/// Decodes, and checks that encoding gives the value back.
pub(crate) fn decode<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    bytes: &[u8],
) -> Option<T> {
    let value: T = postcard::from_bytes(bytes).ok()?;
    let encoded = postcard::to_stdvec(&value).expect("what decodes encodes");
    assert_eq!(
        postcard::from_bytes::<T>(&encoded).as_ref(),
        Ok(&value),
        "decodes to itself"
    );
    Some(value)
}

/// A path that leaves its repository or its store would be followed on every node.
pub(crate) fn assert_valid(path: &[u8]) {
    assert!(
        RepoPath::new(path).is_some(),
        "{:?} was decoded",
        path.escape_ascii().to_string()
    );
}

/// What stat(2) would show.
fn time(time: Timestamp) {
    let _ = SystemTime::from(time);
}

/// What every mount does with a line.
fn render(line: &PackedRef) {
    let mut file = Vec::new();
    let _ = packed::write_line(&mut file, b"refs/heads/main", line);
}
