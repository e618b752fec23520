//! Death between two pieces of one rewritten `packed-refs`: the difference is more than one
//! raft command holds. Every ref has a value that it was given, and git goes on.

use super::recovery::EAGER;
use gitmoor_fs::failpoint;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::place::Place;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

/// Names are long, so that few make up several pieces of 2 MiB.
const REFS: usize = 20_000;
const DYING: Duration = Duration::from_secs(30);

fn name(number: usize) -> String {
    format!("refs/heads/{}/{number:06}", "long-".repeat(38))
}

/// A table of all refs at a commit, as git writes it.
fn table(oid: &str) -> String {
    let lines = (0..REFS).map(|number| format!("{oid} {}\n", name(number)));
    let head = "# pack-refs with: peeled fully-peeled sorted \n";
    std::iter::once(head.to_owned()).chain(lines).collect()
}

fn refs(bare: &Repo) -> BTreeMap<String, String> {
    let text = bare.ok(["for-each-ref", "--format=%(refname) %(objectname)"]);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .map(|(name, oid)| (name.to_owned(), oid.to_owned()))
        .collect()
}

/// A repository with all refs in its table, at the first of two commits.
fn begun() -> (Place, Repo, [String; 2]) {
    let place = Place::set(Kind::Dir, EAGER);
    let (bare, work) = place.pushed("app.git", 2);
    let oids = ["main~1", "main"].map(|name| work.oid(name));
    replace(&bare, &oids[0]).expect("the mount is there");
    assert_eq!(refs(&bare).len(), REFS + 1, "with main");
    (place, bare, oids)
}

/// Renames a new table over the old one, as `git pack-refs` does.
fn replace(bare: &Repo, oid: &str) -> std::io::Result<()> {
    let new = bare.dir.join("packed-refs.new");
    std::fs::write(&new, table(oid))?;
    std::fs::rename(new, bare.dir.join("packed-refs"))
}

/// Mounts with a daemon that dies after so many pieces.
fn arm(place: &Place, pieces: u32) {
    place.daemon().umount();
    let point = failpoint::PACKED_PIECE.name();
    place.daemon().arm(&format!("{point}=kill@{pieces}"));
    place.daemon().launch();
}

fn come_back(place: &Place) {
    let died = place.daemon().death(DYING).expect("it dies there");
    assert_eq!(died.signal(), Some(Signal::SIGKILL as i32), "{died}");
    place.daemon().arm("");
    place.daemon().launch();
}

#[test]
fn every_ref_changes() {
    let (place, bare, [old, new]) = begun();
    arm(&place, 2);
    replace(&bare, &new).expect_err("the daemon dies meanwhile");
    come_back(&place);
    let all = refs(&bare);
    assert_eq!(all.len(), REFS + 1);
    let moved = all.values().filter(|oid| **oid == new).count();
    assert!(all.values().all(|oid| *oid == old || *oid == new));
    assert!((1000..REFS).contains(&moved), "{moved} of {REFS} moved");
    bare.fsck();
    // git goes on from there: packs a new ref, and rewrites the table.
    bare.ok(format!("update-ref refs/heads/later {new}"));
    bare.ok("pack-refs --all");
    assert!(!bare.dir.join("refs/heads/later").exists(), "it is packed");
    let later = refs(&bare);
    assert_eq!(later.get("refs/heads/later"), Some(&new));
    assert_eq!(later.len(), all.len() + 1);
    assert!(all.iter().all(|(name, oid)| later.get(name) == Some(oid)));
    replace(&bare, &new).expect("it completes");
    assert!(refs(&bare).values().all(|oid| *oid == new));
    place.cool();
    bare.fsck();
}

#[test]
fn git_deletes_most_of_them() {
    let (place, bare, [old, _]) = begun();
    let kept = REFS / 4;
    let gone = (kept..REFS).map(|number| format!("delete {}\n", name(number)));
    let gone: String = gone.collect();
    arm(&place, 1);
    let output = bare.run("update-ref --stdin", gone.as_bytes());
    assert!(!output.status.success(), "nobody answered for it");
    come_back(&place);
    let left = refs(&bare);
    let is_kept = |number| left.get(&name(number)) == Some(&old);
    assert!((0..kept).all(is_kept), "nobody deleted these");
    assert!(left.values().filter(|oid| **oid == old).count() > kept);
    assert!(left.len() < REFS, "a piece was committed");
    bare.fsck();
    let again = (kept..REFS)
        .map(name)
        .filter(|name| left.contains_key(name));
    let again: String = again.map(|name| format!("delete {name}\n")).collect();
    bare.feed("update-ref --stdin", again);
    let left = refs(&bare);
    assert_eq!(left.len(), kept + 1);
    assert!((0..kept).all(|number| left.get(&name(number)) == Some(&old)));
    bare.ok("pack-refs --all");
    assert_eq!(refs(&bare), left);
}

/// Who applies a change looks at each ref that it moves, so a table goes in pieces as it came.
#[test]
fn the_table_is_removed() {
    let (place, bare, [old, _]) = begun();
    let table = bare.dir.join("packed-refs");
    arm(&place, 1);
    std::fs::remove_file(&table).expect_err("the daemon dies meanwhile");
    come_back(&place);
    let left = refs(&bare).len();
    assert!((1000..REFS).contains(&left), "{left} are left");
    bare.fsck();
    std::fs::remove_file(&table).expect("the rest");
    assert_eq!(refs(&bare).len(), 1, "main, which is loose");
    // The same when another file takes its place that is no table.
    replace(&bare, &old).expect("written");
    assert_eq!(refs(&bare).len(), REFS + 1);
    let new = bare.dir.join("packed-refs.new");
    std::fs::write(&new, "no table\n").expect("written");
    std::fs::rename(new, &table).expect("renamed");
    let read = std::fs::read_to_string(&table).expect("reads");
    assert_eq!(read, "no table\n");
}
