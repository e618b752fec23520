//! What survives a kill -9: everything acknowledged, and nothing half done.

use crate::{everywhere, mounted};
use gitmoor_tests::git::Repo;
use gitmoor_tests::place::Place;
use gitmoor_tests::{process, wait};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

everywhere!(acknowledged_pushes, unreferenced_objects, local_files);
mounted!(
    kill_in_the_middle_of_pushes,
    stop_publishes_everything,
    leftovers_of_a_dead_push,
    locks_of_a_dead_mount
);

fn acknowledged_pushes(place: &Place) {
    let (bare, work) = place.pushed("app.git", 3);
    for round in 0..4 {
        let tip = work.commit(&format!("round-{round}"));
        work.ok(format!("push --quiet origin main main:refs/heads/r{round}"));
        place.crash();
        assert_eq!(bare.oid("main"), tip);
        assert_eq!(bare.oid(&format!("r{round}")), tip);
        bare.fsck();
    }
    place.cool();
    bare.fsck();
    assert_eq!(bare.ok("rev-list --count main"), "7");
}

/// Objects that no ref names yet are not in the store, but they are finished.
fn unreferenced_objects(place: &Place) {
    let bare = place.bare("app.git");
    let blobs: Vec<_> = (0..30)
        .map(|number| bare.feed("hash-object -w --stdin", format!("blob {number}\n")))
        .collect();
    place.crash();
    for (number, blob) in blobs.iter().enumerate() {
        assert_eq!(
            bare.ok(format!("cat-file -p {blob}")),
            format!("blob {number}")
        );
    }
    let tree = bare.feed("mktree", format!("100644 blob {}\tfile\n", blobs[7]));
    let commit = bare.ok(format!("commit-tree -m one {tree}"));
    bare.ok(format!("update-ref refs/heads/main {commit}"));
    place.cool();
    assert_eq!(bare.ok("cat-file -p main:file"), "blob 7");
    bare.fsck();
}

fn local_files(place: &Place) {
    let (bare, _) = place.pushed("app.git", 2);
    bare.write("hooks/post-receive", "#!/bin/sh\n");
    bare.write("description", "described\n");
    bare.ok("config gitweb.owner somebody");
    bare.ok("config core.logAllRefUpdates always");
    bare.ok("update-ref -m moved refs/heads/main main~1");
    place.crash();
    assert_eq!(bare.read("hooks/post-receive"), "#!/bin/sh\n");
    assert_eq!(bare.read("description"), "described\n");
    assert_eq!(bare.ok("config gitweb.owner"), "somebody");
    assert_eq!(bare.ok("reflog show --format=%gs main"), "moved");
}

/// Pushes one branch after another until told to stop; the branches that were acknowledged.
fn push_until(stop: &AtomicBool, work: &Repo, acknowledged: &Mutex<Vec<(String, String)>>) {
    for number in 0.. {
        let tip = work.commit(&format!("n{number}"));
        let name = format!("refs/heads/{}/n{number}", tip);
        let output = work.run(format!("push --quiet origin HEAD:{name}"), b"");
        match output.status.success() {
            true => acknowledged.lock().expect("list").push((name, tip)),
            false if stop.load(Ordering::SeqCst) => return,
            false => panic!("{}", process::report(&output)),
        }
    }
}

fn kill_in_the_middle_of_pushes(place: &Place) {
    let (bare, work) = place.pushed("app.git", 3);
    let acknowledged = Mutex::new(Vec::new());
    for goal in [5, 12, 17] {
        let stop = AtomicBool::new(false);
        let writer = place.clone("", &bare, &format!("until-{goal}"));
        std::thread::scope(|scope| {
            scope.spawn(|| push_until(&stop, &writer, &acknowledged));
            wait::until("pushes arrive", process::LIMIT, || {
                acknowledged.lock().expect("list").len() >= goal
            });
            stop.store(true, Ordering::SeqCst);
            place.daemon().kill9();
        });
        place.daemon().launch();
        check(&bare, &acknowledged.lock().expect("list"));
    }
    work.commit("after");
    work.ok("push --quiet origin main");
    bare.fsck();
}

/// Everything acknowledged is there, and every ref has all of its objects.
fn check(bare: &Repo, acknowledged: &[(String, String)]) {
    for (name, tip) in acknowledged {
        assert_eq!(&bare.oid(name), tip, "{name} was acknowledged");
    }
    bare.ok("rev-list --objects --all --quiet");
    bare.fsck();
}

/// SIGTERM publishes; the next life has nothing to do.
fn stop_publishes_everything(place: &Place) {
    let bare = place.bare("app.git");
    let blob = bare.feed("hash-object -w --stdin", "pending\n");
    place.restart();
    let status = place.daemon().settings().status();
    assert_eq!(status["pending"]["files"], 0, "{status:#}");
    assert_eq!(bare.ok(format!("cat-file -p {blob}")), "pending");
}

/// Nobody can release them any more, in whatever room they are.
fn locks_of_a_dead_mount(place: &Place) {
    let (bare, work) = place.pushed("app.git", 2);
    let locks = [
        "config.lock",
        "index.lock",
        "worktrees/w/index.lock",
        "HEAD.lock",
        "refs/heads/main.lock",
        "refs/bisect/bad.lock",
        "logs/refs/heads/main.lock",
        "objects/info/commit-graph.lock",
        "packed-refs.lock",
    ];
    let mine = "hooks/mine.lock";
    locks
        .iter()
        .chain([&mine])
        .for_each(|lock| bare.write(lock, ""));
    work.commit("locked-out");
    work.fail("push origin main");
    place.crash();
    for lock in locks {
        assert!(!bare.dir.join(lock).exists(), "{lock} is left");
    }
    assert!(bare.dir.join(mine).exists());
    work.ok("push --quiet origin main");
    bare.ok("pack-refs --all");
    bare.ok("config core.abbrev 12");
}

/// A push that died in its quarantine leaves nothing that a later one stumbles over.
fn leftovers_of_a_dead_push(place: &Place) {
    let (bare, work) = place.pushed("app.git", 2);
    bare.write("objects/tmp_objdir-incoming-dead/12/tmp_obj_x", "half");
    bare.write("objects/pack/tmp_pack_dead", "half");
    place.crash();
    work.commit("after");
    work.ok("push --quiet origin main");
    bare.ok("prune --expire=now");
    assert!(!bare.dir.join("objects/pack/tmp_pack_dead").exists());
    bare.fsck();
}
