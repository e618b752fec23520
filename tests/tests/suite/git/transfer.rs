//! Clone, push and fetch in all their forms.

use crate::{everywhere, local};
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::{self, noise};
use gitmoor_tests::place::Place;
use std::fs;
use std::os::unix::fs::PermissionsExt;

everywhere!(
    push_and_clone_back,
    large_file,
    push_of_many_objects,
    shallow_clone_and_deepen
);
local!(
    clone_by_local_path,
    fetch_is_incremental,
    atomic_push_is_all_or_nothing,
    forced_push,
    push_with_a_lease,
    delete_by_push,
    mirror_push,
    annotated_tags,
    hooks_run_and_can_refuse,
    push_from_a_shallow_clone,
    shallow_fetch_into_the_mount,
    partial_clone_is_served,
    fetch_into_the_mount_prunes,
    connectivity_is_checked,
    small_pushes_one_after_another,
);

fn push_and_clone_back(place: &Place) {
    let (bare, work) = place.pushed("app.git", 3);
    for number in 0..3 {
        work.commit(&format!("change-{number}"));
        work.ok("push --quiet origin main");
    }
    let copy = place.clone("", &bare, "copy");
    assert_eq!(copy.oid("HEAD"), work.oid("HEAD"));
    assert_eq!(copy.ok("status --porcelain"), "");
    assert_eq!(copy.read("change-2.txt"), "change-2\n");
    place.restart();
    let again = place.clone("", &bare, "again");
    assert_eq!(again.oid("HEAD"), work.oid("HEAD"));
    bare.fsck();
}

fn large_file(place: &Place) {
    let (bare, work) = place.pushed("app.git", 1);
    let content = noise(24 << 20, 1);
    work.write("large.bin", &content);
    work.commit("large");
    work.ok("push --quiet origin main");
    place.cool();
    let read = bare.bytes("cat-file blob main:large.bin", "");
    assert!(read == content, "24 MiB came back changed");
    let copy = place.clone("", &bare, "copy");
    assert!(fs::read(copy.dir.join("large.bin")).expect("read") == content);
}

fn push_of_many_objects(place: &Place) {
    let bare = place.bare("app.git");
    let work = place.work("work");
    work.import(
        &history::History::default()
            .files("main", 3_000, 100, 100)
            .stream(),
    );
    work.ok(format!("push --quiet {} main", bare.url()));
    assert_eq!(bare.object_count(), work.object_count());
    bare.fsck();
}

fn shallow_clone_and_deepen(place: &Place) {
    let (bare, work) = place.pushed("app.git", 20);
    let copy = place.clone("--depth=3", &bare, "copy");
    assert_eq!(copy.ok("rev-list --count HEAD"), "3");
    copy.ok("fetch --quiet --deepen=4");
    assert_eq!(copy.ok("rev-list --count HEAD"), "7");
    copy.ok("fetch --quiet --unshallow");
    assert_eq!(copy.ok("rev-list --count HEAD"), "20");
    assert_eq!(copy.oid("HEAD"), work.oid("HEAD"));
    copy.fsck();
}

fn clone_by_local_path(place: &Place) {
    let (bare, work) = place.pushed("app.git", 150);
    let at = place.git.at(&place.scratch);
    for options in ["", "--no-hardlinks", "--bare", "--mirror"] {
        let copy = place.git.at(place.scratch(format!("copy{options}")));
        at.ok(format!(
            "clone --quiet {options} {} {}",
            bare.path(),
            copy.path()
        ));
        assert_eq!(copy.oid("HEAD"), work.oid("HEAD"));
        copy.fsck();
    }
}

fn fetch_is_incremental(place: &Place) {
    let (bare, work) = place.pushed("app.git", 5);
    let copy = place.clone("", &bare, "copy");
    let before = copy.object_count();
    work.commit("next");
    work.ok("push --quiet origin main HEAD:refs/heads/other");
    copy.ok("fetch --quiet");
    assert_eq!(copy.oid("origin/other"), work.oid("HEAD"));
    assert_eq!(copy.object_count(), before + 3);
    copy.ok("pull --quiet --ff-only");
    assert_eq!(copy.oid("HEAD"), work.oid("HEAD"));
}

fn atomic_push_is_all_or_nothing(place: &Place) {
    let (bare, work) = place.pushed("app.git", 3);
    let before = bare.refs();
    work.ok("checkout --quiet -b other main~1");
    work.commit("other");
    // `main` would go back, which the server refuses without force.
    work.ok("branch -f behind main~1");
    let said = work.fail("push --atomic origin other behind:main");
    assert!(said.contains("atomic"), "{said}");
    assert_eq!(bare.refs(), before);
    work.ok("push --quiet --atomic origin other +behind:main");
    assert_eq!(bare.oid("main"), work.oid("behind"));
    assert_eq!(bare.oid("other"), work.oid("other"));
}

fn forced_push(place: &Place) {
    let (bare, work) = place.pushed("app.git", 3);
    work.ok("commit --quiet --amend --allow-empty -m amended");
    assert!(work.fail("push origin main").contains("non-fast-forward"));
    work.ok("push --quiet --force origin main");
    assert_eq!(bare.oid("main"), work.oid("main"));
    bare.ok("config receive.denyNonFastForwards true");
    work.ok("commit --quiet --amend --allow-empty -m again");
    work.fail("push --force origin main");
    assert_ne!(bare.oid("main"), work.oid("main"));
}

fn push_with_a_lease(place: &Place) {
    let (bare, mine) = place.pushed("app.git", 2);
    let theirs = place.clone("", &bare, "theirs");
    let won = theirs.commit("theirs");
    theirs.ok("push --quiet origin main");
    mine.ok("commit --quiet --amend --allow-empty -m mine");
    let said = mine.fail("push --force-with-lease origin main");
    assert!(said.contains("stale info"), "{said}");
    assert_eq!(bare.oid("main"), won);
}

fn delete_by_push(place: &Place) {
    let (bare, work) = place.pushed("app.git", 2);
    work.ok("push --quiet origin main:refs/heads/deep/er/topic main:refs/heads/packed");
    bare.ok("pack-refs --all");
    work.ok("push --quiet origin main:refs/heads/loose");
    work.ok("push --quiet origin :deep/er/topic :packed :loose");
    assert_eq!(bare.refs(), format!("{} refs/heads/main", work.oid("main")));
    work.ok("push --quiet origin main:refs/heads/deep");
    assert_eq!(bare.oid("deep"), work.oid("main"));
    bare.ok("config receive.denyDeletes true");
    work.fail("push origin :deep");
}

fn mirror_push(place: &Place) {
    let bare = place.bare("app.git");
    let source = place.work("source");
    source.import(&history::refs(60));
    source.ok("notes add -m remark main");
    source.ok(format!("push --quiet --mirror {}", bare.url()));
    assert_eq!(bare.refs(), source.refs());
    source.ok("branch -D branch-3 branch-4");
    source.ok("branch -f branch-5 main~1");
    source.ok(format!("push --quiet --mirror {}", bare.url()));
    assert_eq!(bare.refs(), source.refs());
}

fn annotated_tags(place: &Place) {
    let (bare, work) = place.pushed("app.git", 4);
    work.ok("tag -a -m one v1 main~1");
    work.ok("tag -a -m nested v1-again v1");
    work.ok("tag light main");
    work.ok("push --quiet --tags origin");
    let copy = place.clone("", &bare, "copy");
    assert_eq!(copy.ok("tag --list"), "light\nv1\nv1-again");
    assert_eq!(copy.oid("v1^{commit}"), work.oid("main~1"));
    assert_eq!(
        bare.ok("describe --tags main~1"),
        work.ok("describe --tags main~1")
    );
}

fn hook(bare: &Repo, name: &str, script: &str) {
    bare.write(format!("hooks/{name}"), format!("#!/bin/sh\n{script}\n"));
    let path = bare.dir.join("hooks").join(name);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

fn hooks_run_and_can_refuse(place: &Place) {
    let (bare, work) = place.pushed("app.git", 1);
    // The quarantine is where a pre-receive hook looks at new objects.
    hook(
        &bare,
        "pre-receive",
        "while read old new ref; do git cat-file -e $new || exit 1; case $ref in *forbidden) echo no >&2; exit 1;; esac; done",
    );
    hook(&bare, "update", "test $1 != refs/heads/halfway");
    hook(&bare, "post-receive", "cat >> $GIT_DIR/received");
    let tip = work.commit("one");
    let objects = bare.object_count();
    let said = work.fail("push origin main:forbidden");
    assert!(said.contains("no"), "{said}");
    assert_eq!(bare.object_count(), objects, "the quarantine must be gone");
    assert_eq!(
        bare.names("objects")
            .iter()
            .filter(|n| n.contains("incoming"))
            .count(),
        0
    );
    work.fail("push origin main:refs/heads/halfway main:refs/heads/fine");
    bare.fail("rev-parse --verify refs/heads/halfway");
    assert_eq!(bare.oid("refs/heads/fine"), tip);
    assert!(bare.read("received").contains("refs/heads/fine"));
}

fn push_from_a_shallow_clone(place: &Place) {
    let (bare, _) = place.pushed("app.git", 10);
    let copy = place.clone("--depth=1", &bare, "copy");
    let tip = copy.commit("more");
    copy.ok("push --quiet origin main");
    assert_eq!(bare.oid("main"), tip);
    assert_eq!(bare.ok("rev-list --count main"), "11");

    let other = place.bare("other.git");
    copy.fail(format!("push {} main", other.url()));
    other.ok("config receive.shallowUpdate true");
    copy.ok(format!("push --quiet {} main", other.url()));
    assert_eq!(other.ok("rev-parse --is-shallow-repository"), "true");
    place.restart();
    assert_eq!(other.ok("rev-list --count main"), "2");
    other.fsck();
}

fn shallow_fetch_into_the_mount(place: &Place) {
    let source = place.work("source");
    source.import(&history::commits(10));
    let bare = place.bare("app.git");
    bare.ok(format!(
        "fetch --quiet --depth=2 {} main:main",
        source.url()
    ));
    assert_eq!(bare.ok("rev-list --count main"), "2");
    assert_eq!(bare.ok("rev-parse --is-shallow-repository"), "true");
    bare.ok(format!(
        "fetch --quiet --depth=5 {} main:main",
        source.url()
    ));
    assert_eq!(bare.ok("rev-list --count main"), "5");
    bare.ok(format!(
        "fetch --quiet --unshallow {} main:main",
        source.url()
    ));
    assert_eq!(bare.ok("rev-list --count main"), "10");
    assert_eq!(bare.ok("rev-parse --is-shallow-repository"), "false");
    bare.fsck();
}

fn partial_clone_is_served(place: &Place) {
    let (bare, work) = place.pushed("app.git", 8);
    bare.ok("config uploadpack.allowFilter true");
    bare.ok("config uploadpack.allowAnySHA1InWant true");
    let copy = place.clone("--filter=blob:none --no-checkout", &bare, "copy");
    let missing = copy.ok("rev-list --objects --all --missing=print");
    assert_eq!(
        missing.lines().filter(|line| line.starts_with('?')).count(),
        8
    );
    copy.ok("checkout --quiet main");
    assert_eq!(copy.read("file.txt"), work.read("file.txt"));
    let treeless = place.clone("--filter=tree:0 --bare", &bare, "treeless.git");
    assert_eq!(treeless.ok("rev-list --count main"), "8");
}

fn fetch_into_the_mount_prunes(place: &Place) {
    let source = place.work("source");
    source.import(&history::refs(5));
    let bare = place.bare("app.git");
    bare.ok(format!("remote add --mirror=fetch origin {}", source.url()));
    bare.ok("fetch --quiet");
    assert_eq!(bare.refs(), source.refs());
    source.ok("branch -D branch-0 branch-1");
    // A name that was a branch becomes a directory of branches.
    source.ok("branch branch-0/inner main");
    bare.ok("fetch --quiet --prune");
    assert_eq!(bare.refs(), source.refs());
}

/// A pack whose history has a hole is refused and leaves no ref.
fn connectivity_is_checked(place: &Place) {
    let bare = place.bare("app.git");
    let work = place.work("work");
    work.import(&history::commits(3));
    let tip = work.oid("main");
    let alone = work.bytes("pack-objects --quiet --stdout", format!("{tip}\n"));
    let none = "0".repeat(40);
    let command = format!("{none} {tip} refs/heads/broken\0report-status\n");
    let mut request = format!("{:04x}{command}0000", command.len() + 4).into_bytes();
    request.extend(alone);
    let answer = bare.bytes("receive-pack .", request);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("ng refs/heads/broken"), "{answer}");
    assert_eq!(bare.refs(), "");
    assert_eq!(bare.object_count(), 0);
}

fn small_pushes_one_after_another(place: &Place) {
    let (bare, work) = place.pushed("app.git", 1);
    for number in 0..15 {
        let tip = work.commit(&format!("n{number}"));
        work.ok(format!(
            "push --quiet origin main main:refs/heads/b{number}"
        ));
        assert_eq!(bare.oid("main"), tip);
    }
    assert_eq!(bare.refs().lines().count(), 16);
    bare.fsck();
}
