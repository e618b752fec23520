//! Commits of which nobody knows for a while whether they are made.

use super::mounts::{MACHINES, init, work};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::files;
use nix::sys::signal::Signal;
use std::fs;
use std::path::Path;

/// The others are frozen between a table and the list that names it. git takes the failed rename of the
/// list at its word and removes the table, while the list is still under way.
#[test]
fn a_table_that_the_list_may_name() {
    let cluster = Cluster::mounted(Kind::Dir);
    let leader = cluster.leader(0, &[]);
    let bare = init(&cluster, leader, "app.git", "--ref-format=reftable");
    let work = work(&cluster, leader, "app.git");
    work.commit("first");
    work.ok("push --quiet origin HEAD:main");
    let refs = bare.refs();

    let dir = bare.dir.join("reftable");
    let (list, lock, table) = (
        dir.join("tables.list"),
        dir.join("tables.list.lock"),
        dir.join("0x000000000001-0x000000000009-01234567.ref"),
    );
    compact_as_git_does(&dir, &lock, &table);
    let others = || MACHINES.into_iter().filter(|machine| *machine != leader);
    others().for_each(|machine| cluster.signal(machine, Signal::SIGSTOP));
    let renamed = fs::rename(&lock, &list);
    std::thread::scope(|scope| {
        // git ignores what becomes of it.
        scope.spawn(|| fs::remove_file(&table));
        others().for_each(|machine| cluster.signal(machine, Signal::SIGCONT));
    });
    renamed.expect_err("no majority");
    fs::remove_file(&lock).expect("the lock");
    for machine in MACHINES {
        let bare = cluster.repo(machine, "app.git");
        assert_eq!(bare.refs(), refs, "machine {machine}");
        bare.fsck();
    }
    work.commit("second");
    work.ok("push --quiet origin HEAD:main");
}

/// All that counts as one table, which a list in its lock names alone.
fn compact_as_git_does(dir: &Path, lock: &Path, table: &Path) {
    let name = table.file_name().expect("a name").to_string_lossy();
    let tables = files::below(dir);
    let mut tables = tables
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "ref"));
    let whole = fs::read(tables.next().expect("a table")).expect("reads");
    assert_eq!(tables.next(), None, "git has made one of what a push wrote");
    fs::write(lock, format!("{name}\n")).expect("the lock");
    let made = dir.join(format!("{name}.temp.abcdef"));
    fs::write(&made, whole).expect("the table");
    fs::rename(made, table).expect("a majority is there");
}
