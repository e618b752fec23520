//! Repositories whose refs are reftables (git 2.45 and newer).

use crate::{everywhere, local};
use gitmoor_tests::git::Repo;
use gitmoor_tests::history;
use gitmoor_tests::place::Place;

everywhere!(push_and_clone_back);
local!(
    transactions,
    compaction,
    conflicts,
    reflogs,
    linked_worktree,
    migration
);

fn repository(place: &Place) -> Option<Repo> {
    let able = place.git.has((2, 45), "reftable");
    able.then(|| {
        let bare = place.init("app.git", "--ref-format=reftable");
        bare.import(&history::commits(4));
        bare
    })
}

fn push_and_clone_back(place: &Place) {
    let Some(bare) = repository(place) else {
        return;
    };
    assert_eq!(bare.ok("rev-parse --show-ref-format"), "reftable");
    let work = place.clone("", &bare, "work");
    for number in 0..5 {
        work.commit(&format!("n{number}"));
        work.ok("push --quiet origin main");
    }
    place.crash();
    assert_eq!(bare.oid("main"), work.oid("HEAD"));
    let copy = place.clone("--mirror", &bare, "copy.git");
    assert_eq!(copy.refs(), bare.refs());
    bare.fsck();
}

fn transactions(place: &Place) {
    let Some(bare) = repository(place) else {
        return;
    };
    let (new, old) = (bare.oid("main"), bare.oid("main~1"));
    let create: String = (0..1000)
        .map(|n| format!("create refs/heads/t/{n} {old}\n"))
        .collect();
    bare.feed("update-ref --stdin", &create);
    assert_eq!(bare.refs().lines().count(), 1001);
    bare.refuse(
        "update-ref --stdin",
        format!("update refs/heads/t/0 {new} {old}\nupdate refs/heads/t/1 {new} {new}\n"),
    );
    assert_eq!(bare.oid("refs/heads/t/0"), old);
    let delete: String = (0..1000)
        .map(|n| format!("delete refs/heads/t/{n} {old}\n"))
        .collect();
    bare.feed("update-ref --stdin", delete);
    place.restart();
    assert_eq!(bare.refs().lines().count(), 1);
    bare.ok("symbolic-ref HEAD refs/heads/unborn");
    bare.fail("rev-parse --verify HEAD");
}

fn compaction(place: &Place) {
    let Some(bare) = repository(place) else {
        return;
    };
    for number in 0..30 {
        bare.ok(format!("update-ref refs/heads/b{number} main"));
    }
    let before = bare.refs();
    bare.ok("pack-refs --all");
    let tables = bare.read("reftable/tables.list");
    assert_eq!(tables.lines().count(), 1, "{tables}");
    assert_eq!(bare.refs(), before);
    let files = bare.names("reftable");
    assert_eq!(files.len(), 2, "replaced tables are gone: {files:?}");
    place.restart();
    assert_eq!(bare.refs(), before);
    bare.ok("update-ref -d refs/heads/b3");
    assert_eq!(bare.refs().lines().count(), 30);
}

fn conflicts(place: &Place) {
    let Some(bare) = repository(place) else {
        return;
    };
    bare.ok("update-ref refs/heads/a main");
    bare.fail("update-ref refs/heads/a/b main");
    let lock = bare.dir.join("reftable/tables.list.lock");
    std::fs::write(&lock, "").expect("lock by hand");
    bare.fail("-c reftable.lockTimeout=50 update-ref refs/heads/c main");
    std::fs::remove_file(&lock).expect("rm lock");
    bare.ok("update-ref refs/heads/c main");
}

fn reflogs(place: &Place) {
    let Some(bare) = repository(place) else {
        return;
    };
    bare.ok("config core.logAllRefUpdates always");
    bare.ok("update-ref -m first refs/heads/x main~1");
    bare.ok("update-ref -m second refs/heads/x main");
    place.crash();
    assert_eq!(
        bare.ok("reflog show --format=%gs refs/heads/x"),
        "second\nfirst"
    );
    bare.ok("reflog expire --expire=all refs/heads/x");
    assert_eq!(bare.ok("reflog show --format=%gs refs/heads/x"), "");
}

fn linked_worktree(place: &Place) {
    let Some(bare) = repository(place) else {
        return;
    };
    let tree = place.git.at(place.scratch("tree"));
    bare.ok(format!("worktree add --quiet -b topic {}", tree.path()));
    let tip = tree.commit("one");
    place.restart();
    assert_eq!(bare.oid("topic"), tip);
    assert_eq!(tree.ok("symbolic-ref HEAD"), "refs/heads/topic");
    assert_eq!(tree.ok("status --porcelain"), "");
}

fn migration(place: &Place) {
    if !place.git.has((2, 46), "migration of refs") {
        return;
    }
    let bare = place.bare("app.git");
    bare.import(&history::refs(20));
    let before = bare.refs();
    bare.ok("refs migrate --ref-format=reftable");
    assert_eq!(bare.ok("rev-parse --show-ref-format"), "reftable");
    assert_eq!(bare.refs(), before);
    place.restart();
    assert_eq!(bare.refs(), before);
    bare.ok("refs migrate --ref-format=files");
    assert_eq!(bare.refs(), before);
    bare.ok("update-ref refs/heads/after main");
    bare.fsck();
}
