//! Many writers at once: nothing is lost, and nobody is lied to.

use crate::{everywhere, local};
use gitmoor_tests::git::Repo;
use gitmoor_tests::place::Place;
use std::process::Output;

everywhere!(distinct_branches, one_branch);
local!(
    distinct_refs_by_update_ref,
    readers_beside_a_writer,
    packing_beside_pushes
);

const WRITERS: usize = 16;

/// Runs `work` once per writer, all at once.
pub(crate) fn together<T: Send>(
    writers: &[Repo],
    work: impl Fn(usize, &Repo) -> T + Sync,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = writers
            .iter()
            .enumerate()
            .map(|(number, writer)| scope.spawn(move || work(number, writer)))
            .collect();
        let results = threads.into_iter().map(|thread| thread.join());
        results.map(|result| result.expect("a writer")).collect()
    })
}

fn writers(place: &Place, bare: &Repo) -> Vec<Repo> {
    let clone = |number| {
        let work = place.clone("", bare, &format!("writer-{number}"));
        work.commit(&format!("by-{number}"));
        work
    };
    (0..WRITERS).map(clone).collect()
}

fn distinct_branches(place: &Place) {
    let (bare, _) = place.pushed("app.git", 3);
    let writers = writers(place, &bare);
    together(&writers, |number, work| {
        work.ok(format!("push --quiet origin HEAD:refs/heads/team/{number}"));
    });
    let check = || {
        for (number, work) in writers.iter().enumerate() {
            let name = format!("refs/heads/team/{number}");
            assert_eq!(bare.oid(&name), work.oid("HEAD"), "{name}");
        }
    };
    check();
    place.crash();
    check();
    bare.fsck();
}

fn one_branch(place: &Place) {
    let (bare, _) = place.pushed("app.git", 2);
    for round in 0..3 {
        one_round(place, &bare, round);
    }
    bare.fsck();
}

fn one_round(place: &Place, bare: &Repo, round: usize) {
    let clone = |number| {
        let work = place.clone("", bare, &format!("round-{round}-{number}"));
        work.commit(&format!("r{round}-by-{number}"));
        work
    };
    let writers: Vec<Repo> = (0..WRITERS / 2).map(clone).collect();
    let results = together(&writers, |_, work| work.run("push origin main", b""));
    let winners: Vec<_> = (0..writers.len())
        .filter(|&n| results[n].status.success())
        .collect();
    assert_eq!(winners.len(), 1, "exactly one may win: {results:?}");
    assert_eq!(bare.oid("main"), writers[winners[0]].oid("HEAD"));
    for loser in results.iter().filter(|result| !result.status.success()) {
        assert!(was_told(loser), "{loser:?}");
    }
}

fn was_told(loser: &Output) -> bool {
    let said = String::from_utf8_lossy(&loser.stderr);
    said.contains("[rejected]") || said.contains("[remote rejected]")
}

fn distinct_refs_by_update_ref(place: &Place) {
    let (bare, _) = place.pushed("app.git", 2);
    let writers = vec![bare.clone(); WRITERS];
    together(&writers, |number, repo| {
        for step in 0..10 {
            repo.ok(format!("update-ref refs/heads/w{number}/s{step} main"));
        }
        for step in 0..5 {
            // Every deletion locks packed-refs; on a busy machine git's one second
            // of patience is no matter of right or wrong.
            repo.ok(format!(
                "-c core.packedRefsTimeout=60000 update-ref -d refs/heads/w{number}/s{step}"
            ));
        }
    });
    assert_eq!(bare.refs().lines().count(), 1 + WRITERS * 5);
    place.restart();
    assert_eq!(bare.refs().lines().count(), 1 + WRITERS * 5);
}

/// A reader sees every commit whole: never a ref without its objects.
fn readers_beside_a_writer(place: &Place) {
    let (bare, work) = place.pushed("app.git", 2);
    let roles = [work, bare.clone(), bare.clone(), bare.clone()];
    together(&roles, |number, repo| match number {
        0 => (0..15).for_each(|step| {
            repo.commit(&format!("s{step}"));
            repo.ok(format!("push --quiet origin main main:refs/heads/s{step}"));
        }),
        1 => (0..20).for_each(|_| {
            repo.ok("rev-list --objects --all");
        }),
        2 => (0..20).for_each(|_| {
            repo.ok("for-each-ref --format=%(subject)");
        }),
        // Not fsck: it lists the objects before it reads the refs, and misses on any disk
        // what a push adds in between.
        _ => (0..10).for_each(|_| {
            let oids = repo.ok("rev-list --objects --no-object-names --all");
            let read = repo.bytes("cat-file --batch", format!("{oids}\n"));
            let read = String::from_utf8_lossy(&read);
            assert!(
                !read.lines().any(|line| line.ends_with(" missing")),
                "{read}"
            );
        }),
    });
    assert_eq!(bare.refs().lines().count(), 16);
    bare.fsck();
}

fn packing_beside_pushes(place: &Place) {
    let (bare, _) = place.pushed("app.git", 3);
    // A push waits 100 ms for the lock of a ref, which pack-refs holds for as long as a busy
    // machine makes it.
    bare.ok("config core.filesRefLockTimeout 60000");
    let mut roles: Vec<Repo> = (0..4)
        .map(|n| place.clone("", &bare, &format!("w{n}")))
        .collect();
    roles.push(bare.clone());
    together(&roles, |number, repo| {
        if number == 4 {
            return (0..8).for_each(|_| {
                repo.ok("pack-refs --all");
                // Not -d: it removes empty fan-out directories under a push that is
                // about to write there, a race that git loses on any disk.
                repo.ok("repack --quiet");
            });
        }
        for step in 0..6 {
            repo.commit(&format!("w{number}-{step}"));
            repo.ok(format!("push --quiet origin HEAD:refs/heads/w{number}"));
        }
    });
    for (number, work) in roles[..4].iter().enumerate() {
        assert_eq!(bare.oid(&format!("refs/heads/w{number}")), work.oid("HEAD"));
    }
    bare.fsck();
}
