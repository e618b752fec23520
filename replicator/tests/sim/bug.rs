//! Faults that are put in on purpose, to see that the checks catch them. Each is one
//! that a replicated store has had somewhere, this one included.

use crate::run;
use crate::world::World;

/// A fault of the disk, the transport, a client or the node around the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    None,
    /// The disk says that it synced, and did not.
    SyncsNothing,
    /// Term and vote are promised before they are durable.
    VotesBeforePersisting,
    /// The disk keeps a later batch without an earlier one.
    LosesBatchesFromTheMiddle,
    /// The disk keeps a part of a batch.
    TearsBatches,
    /// A node that lost its disk comes back as if it were new.
    ForgetsItsDisk,
    /// What was applied is not remembered.
    AppliesWithoutSessions,
    /// … or not in snapshots.
    SnapshotsWithoutSessions,
    /// A retry is another command.
    RetriesAsAnother,
    /// A read does not ask the leader.
    ReadsWithoutIndex,
    /// All lives of a node name their questions alike.
    AsksUnderTheSameNames,
    /// The transport does not say what became of a snapshot.
    SnapshotsGoUnreported,
}

/// All must be caught within so many seeds; most are within ten.
const SEEDS: u64 = 5000;

fn is_caught(bug: Bug) {
    let catch = |seed| Some((seed, run::catch(|| World::new(seed, bug).run()).err()?));
    let caught = (0..SEEDS).find_map(catch);
    let (seed, why) = caught.unwrap_or_else(|| panic!("{bug:?} is not caught"));
    println!("{bug:?}, seed {seed}: {why}");
}

#[test]
fn a_disk_that_does_not_sync_is_caught() {
    is_caught(Bug::SyncsNothing);
}

#[test]
fn votes_before_they_are_durable_are_caught() {
    is_caught(Bug::VotesBeforePersisting);
}

#[test]
fn a_disk_that_reorders_is_caught() {
    is_caught(Bug::LosesBatchesFromTheMiddle);
}

#[test]
fn a_disk_that_tears_is_caught() {
    is_caught(Bug::TearsBatches);
}

#[test]
fn a_node_that_forgets_its_disk_is_caught() {
    is_caught(Bug::ForgetsItsDisk);
}

#[test]
fn applying_twice_is_caught() {
    is_caught(Bug::AppliesWithoutSessions);
}

#[test]
fn snapshots_without_sessions_are_caught() {
    is_caught(Bug::SnapshotsWithoutSessions);
}

#[test]
fn retries_as_another_command_are_caught() {
    is_caught(Bug::RetriesAsAnother);
}

#[test]
fn reads_without_index_are_caught() {
    is_caught(Bug::ReadsWithoutIndex);
}

#[test]
fn questions_of_an_earlier_life_are_caught() {
    is_caught(Bug::AsksUnderTheSameNames);
}

#[test]
fn unreported_snapshots_are_caught() {
    is_caught(Bug::SnapshotsGoUnreported);
}
