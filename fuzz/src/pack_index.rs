//! An index of a pack, as somebody may have put it there: fsck asks which objects are in
//! damaged parts of the pack, and which of them it holds.

use gitmoor_jobs::fsck::{objects_in, without_packed};
use gix_pack::index;
use std::collections::BTreeSet;
use std::slice::from_ref;

/// The first byte chooses the hash and the second, in KiB, where the damage begins; the rest is
/// the index.
pub fn run(data: &[u8]) {
    let Some((&[hash, start], bytes)) = data.split_first_chunk() else {
        return;
    };
    let hash = match hash % 2 {
        0 => gix_hash::Kind::Sha1,
        _ => gix_hash::Kind::Sha256,
    };
    let Ok(index) = index::File::from_data(bytes, "pack.idx".into(), hash) else {
        return;
    };
    let start = u64::from(start) << 10;
    let some = objects_in(&index, from_ref(&(start..u64::MAX)));
    let all = objects_in(&index, from_ref(&(0..u64::MAX)));
    assert!(some.is_subset(&all));
    assert!(all.len() <= index.num_objects() as usize);
    let other = "ab".repeat(hash.len_in_bytes());
    let mut lost: BTreeSet<_> = some.into_iter().chain([other.clone()]).collect();
    without_packed(&index, &mut lost);
    assert!(all.contains(&other) || lost.contains(&other));
}
