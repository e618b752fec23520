//! A process that stays, and has looked long ago: it deletes what is in packs by now, and what it deletes stays away.
//! Whoever moves refs meanwhile changes nothing about that.

use super::after::{packs, place, two_packs};
use super::puppet::Puppet;
use super::{Gate, object, prune, published, unreachable, whole};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

fn loose(bare: &Repo) -> Vec<PathBuf> {
    let all = bare.ok("cat-file --batch-check=%(objectname) --batch-all-objects");
    let paths = all.lines().map(|oid| object(bare, oid));
    paths.filter(|path| path.exists()).collect()
}

/// Refs move, by others and by the process itself, and the mount begins anew.
#[track_caller]
fn stay_away(place: &Place, bare: &Repo, mut server: Puppet, gone: &[PathBuf]) {
    let there = || gone.iter().filter(|path| path.exists()).count();
    assert_eq!(there(), 0);
    let tip = bare.oid("main");
    assert_eq!(server.does(&format!("move refs/heads/own {tip}")), "moved");
    assert_eq!(there(), 0, "after a ref change of its own");
    bare.ok("update-ref refs/heads/others main");
    assert_eq!(there(), 0, "after one of others");
    server.ends();
    place.restart();
    assert_eq!(there(), 0, "after a restart");
    whole(place, bare);
}

#[test]
fn loose_objects_that_were_packed() {
    let place = place();
    let (bare, _) = place.pushed("app.git", 2);
    let mut server = Puppet::of(&bare);
    server.does("look");
    bare.ok("update-ref refs/heads/other main~1");
    bare.ok("repack --quiet");
    let loose = loose(&bare);
    assert!(loose.len() > 3, "{loose:?}");
    for path in &loose {
        assert_eq!(server.unlinks(path), "unlinked", "{path:?}");
    }
    stay_away(&place, &bare, server, &loose);
}

/// One by one, as git deletes them: the index first.
#[test]
fn packs_of_which_a_larger_one_was_made() {
    let place = place();
    let (bare, _) = two_packs(&place);
    let mut server = Puppet::of(&bare);
    server.does("look");
    bare.ok("update-ref refs/heads/other main~1");
    let old = packs(&bare);
    bare.ok("repack -a --quiet");
    assert_eq!(packs(&bare).len(), 3);
    let dir = bare.dir.join("objects/pack");
    let files =
        |pack: &String| ["idx", "pack", "rev"].map(|end| dir.join(pack).with_extension(end));
    let mut files: Vec<_> = old.iter().flat_map(files).collect();
    files.retain(|path| path.exists());
    for (n, path) in files.iter().enumerate() {
        assert_eq!(server.unlinks(path), "unlinked", "{path:?}");
        // Publishes what is deleted so far.
        bare.ok(format!("update-ref refs/heads/now main~{}", n % 2));
    }
    stay_away(&place, &bare, server, &files);
}

/// What no pack has may be needed by the ref that has moved.
#[test]
fn what_nothing_else_has_is_not_deleted() {
    let place = place();
    let (bare, work, oids) = unreachable(&place);
    let mut server = Puppet::of(&bare);
    server.does("look");
    bare.ok("repack -a --quiet");
    work.ok("push --quiet origin reuse");
    for oid in &oids {
        assert_eq!(server.unlinks(&object(&bare, oid)), "errno 116");
    }
    server.ends();
    whole(&place, &bare);
}

/// The push has looked before, and moves its ref after.
#[test]
fn a_repack_beside_a_push() {
    let place = place();
    let (bare, work) = two_packs(&place);
    work.commit("beside");
    work.ok("checkout --quiet -b reuse");
    let gate = Gate::in_hook(&place, &bare, "update");
    let mut made = Vec::new();
    let moved = gate.hold(&work, || {
        bare.ok("repack -a -d --quiet");
        made = packs(&bare);
        assert_eq!(made.len(), 1, "{made:?}");
    });
    assert!(moved);
    assert_eq!(packs(&bare), made, "the old packs are not back");
    place.restart();
    assert_eq!(packs(&bare), made);
    whole(&place, &bare);
}

/// A process that has seen a loose object, and deletes the only pack that has the object by now.
#[test]
fn what_a_deletion_relied_on_is_not_deleted() {
    let place = Place::set(Kind::Dir, "idle-publish = \"50ms\"\n");
    let (bare, _) = place.pushed("app.git", 2);
    bare.ok("repack --quiet");
    published(&place, &bare);
    let mut pruner = Puppet::of(&bare);
    pruner.does("look");
    for path in loose(&bare) {
        fs::remove_file(path).expect("unlink");
    }
    published(&place, &bare);
    let [pack] = &packs(&bare)[..] else {
        panic!("one pack");
    };
    for end in ["idx", "pack"] {
        let file = bare.dir.join("objects/pack").join(pack).with_extension(end);
        assert_eq!(pruner.unlinks(&file), "errno 116");
        assert!(file.exists());
    }
    pruner.ends();
    whole(&place, &bare);
}

/// Nobody is about to push: what a person deletes is gone, needed or not, until the trash gives it back.
#[test]
fn what_rm_deletes_is_gone_until_it_is_restored() {
    let place = place();
    let (bare, _) = place.pushed("app.git", 2);
    let needed = bare.oid("main:");
    prune(&bare, &needed);
    bare.refuse(format!("cat-file -e {needed}"), "");
    bare.ok("update-ref refs/heads/other main");
    assert!(
        !object(&bare, &needed).exists(),
        "no ref change brings it back"
    );
    place.restart();
    assert!(!object(&bare, &needed).exists());
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(&["repo", "restore", "app.git", "--objects"]);
    assert!(object(&bare, &needed).exists());
    whole(&place, &bare);
}

/// A server that was asked to delete the repository.
#[test]
fn a_whole_repository() {
    let place = place();
    let (bare, work) = two_packs(&place);
    let mut server = Puppet::of(&bare);
    server.does("look");
    bare.ok("gc --quiet");
    let tip = work.commit("later");
    work.ok("push --quiet origin main");
    assert_eq!(server.does("remove"), "removed");
    server.ends();
    assert!(!bare.dir.exists());
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(&["repo", "restore", "app.git"]);
    assert_eq!(bare.oid("main"), tip);
    whole(&place, &bare);
}

/// As tests do that need a repository without an object.
#[test]
fn what_is_moved_away_and_back() {
    let place = place();
    let (bare, _) = place.pushed("app.git", 2);
    let needed = bare.oid("main:");
    let [path, away] =
        ["", ".hidden"].map(|end| format!("{}{end}", object(&bare, &needed).display()));
    let mv = |from: &str, to: &str| {
        let moved = Command::new("mv").args([from, to]).status();
        assert!(moved.expect("mv").success());
    };
    mv(&path, &away);
    bare.refuse("rev-list --objects main", "");
    bare.ok("update-ref refs/heads/other main");
    bare.refuse(format!("cat-file -e {needed}"), "");
    mv(&away, &path);
    whole(&place, &bare);
}

/// Nothing can be found in it, and nobody could tell it from one that is still being written.
#[test]
fn an_empty_index_is_refused() {
    let place = place();
    let (bare, _) = place.pushed("app.git", 2);
    let path = bare.dir.join("objects/pack/pack-does-not-exist.idx");
    let touched = Command::new("touch").arg(&path).output().expect("touch");
    let told = String::from_utf8_lossy(&touched.stderr).into_owned();
    assert!(told.contains("Input/output error"), "{told}");
    wait::until("it is moved aside", Duration::from_secs(10), || {
        !path.exists()
    });
    whole(&place, &bare);
}
