//! Death at every failpoint of the replicator. The test runs its own binary again
//! as the victim, which dies at the point that its environment names.

use crate::crash::{self, Acknowledged};
use crate::peers;
use gitmoor_replicator::failpoint::{self, Failpoint};
use gitmoor_replicator::storage::{Bootstrap, Database, snapshot};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// On the way of a commit, and at which time each is deadly.
const COMMITTING: &[(Failpoint, &[u32])] = &[
    (failpoint::RAFT_UNWRITTEN, &[5, 60]),
    (failpoint::RAFT_WRITTEN, &[5, 61]),
    (failpoint::RAFT_APPLIED, &[5, 62]),
    (failpoint::APPLY, &[3, 150]),
    (failpoint::COMPACTION_STAGED, &[1, 3]),
    (failpoint::COMPACTION_WRITTEN, &[1, 3]),
];

/// On the way of a snapshot to another node, and whether that has it afterwards.
const SNAPSHOTS: &[(Failpoint, bool)] = &[
    (failpoint::SNAPSHOT_TAKING, false),
    (failpoint::SNAPSHOT_LAYING, false),
    (failpoint::SNAPSHOT_LAID, false),
    (failpoint::SNAPSHOT_STAGED, false),
    (failpoint::SNAPSHOT_WRITTEN, true),
];

/// What arms the victim.
pub(crate) const POINT: &str = "GITMOOR_TEST_FAILPOINT";

/// Arms this process, if it is a victim that is to die at a point.
pub(crate) fn arm() {
    if let Ok(text) = std::env::var(POINT) {
        failpoint::arm(&text, failpoint::ALL).expect("a failpoint");
    }
}

#[test]
fn every_point_has_a_drill() {
    let committing = COMMITTING.iter().map(|(point, _)| point.name());
    let snapshots = SNAPSHOTS.iter().map(|(point, _)| point.name());
    let drilled: BTreeSet<_> = committing.chain(snapshots).collect();
    let listed: BTreeSet<_> = failpoint::ALL.iter().map(|point| point.name()).collect();
    assert_eq!(drilled, listed);
}

#[test]
fn nothing_acknowledged_is_lost_at_any_point_of_a_commit() {
    for (point, deaths) in COMMITTING {
        let dir = tempfile::tempdir().expect("a directory");
        let mut acknowledged = Acknowledged::new();
        for death in *deaths {
            let text = format!("{}=kill@{death}", point.name());
            crash::run_to_death(dir.path(), &text, &mut acknowledged);
            crash::check(&crash::open(dir.path()), &acknowledged);
        }
    }
}

#[test]
fn a_snapshot_is_installed_whole_or_not_at_all() {
    for (point, installed) in SNAPSHOTS {
        let dir = tempfile::tempdir().expect("a directory");
        let mut victim = Command::new(std::env::current_exe().expect("has a path"));
        victim
            .args(["--exact", "failpoints::snapshot_victim"])
            .env("TMPDIR", dir.path())
            .env(POINT, format!("{}=kill@1", point.name()));
        let status = victim.output().expect("runs").status;
        crash::assert_killed(status);
        let states: BTreeSet<_> = states_below(dir.path()).into_iter().collect();
        // The founder's and the joiner's.
        assert_eq!(
            states.len(),
            if *installed { 1 } else { 2 },
            "{}",
            point.name()
        );
        assert_eq!(states.contains(&nothing()), !installed, "{}", point.name());
    }
}

#[test]
fn snapshot_victim() {
    if std::env::var_os(POINT).is_some() {
        arm();
        peers::join_by_snapshot();
    }
}

fn states_below(dir: &Path) -> Vec<Vec<u8>> {
    let dirs = fs::read_dir(dir).expect("is there");
    dirs.map(|entry| state(&entry.expect("entry").path()))
        .collect()
}

fn state(dir: &Path) -> Vec<u8> {
    let database = Database::open(dir).expect("opens");
    database.prepare(Bootstrap::Join).expect("is ours");
    snapshot::encode(&database).expect("reads")
}

fn nothing() -> Vec<u8> {
    state(tempfile::tempdir().expect("a directory").path())
}
