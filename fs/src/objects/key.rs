//! The key of a file in the store.
//!
//! `<repository>/<path>` where the name follows from the content and the store refuses
//! to overwrite; otherwise with a piece of the digest behind it. A key that cannot
//! be used (condemned by gc, or taken by other bytes) is passed over for the next:
//! no key ever gets other bytes (invariant 11). The state machine finds the path
//! of a key by taking suffixes off (`state/condemned.rs`), so they begin with dots.

use gitmoor_replicator::model::{Digest, RepoId, RepoPath};

/// The keys that a file may have, the best first; without end.
pub fn candidates(
    repo: RepoId,
    path: &RepoPath,
    digest: &Digest,
    may_be_plain: bool,
) -> impl Iterator<Item = String> {
    let plain = format!("{repo}/{path}");
    let with_digest = format!("{plain}.{}", hex16(digest));
    let again = with_digest.clone();
    let plain = may_be_plain.then_some(plain);
    let first = plain.into_iter().chain([with_digest]);
    first.chain((1u32..).map(move |n| format!("{again}.{n}")))
}

/// Half of the digest is plenty for a name.
fn hex16(digest: &Digest) -> String {
    let bytes = digest.0[..16].iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}
