//! Bundles, notes, replacements, submodules, alternates and exports.

use crate::local;
use gitmoor_tests::place::Place;

local!(
    bundles,
    notes,
    replacements,
    submodules,
    shared_clone,
    shared_clone_on_the_mount,
    reference_clone,
    export_and_import,
    archives,
    history_is_searched,
);

fn bundles(place: &Place) {
    let (bare, work) = place.pushed("app.git", 10);
    let bundle = place.scratch("app.bundle");
    let bundle = bundle.display();
    bare.ok(format!("bundle create --quiet {bundle} --all"));
    bare.ok(format!("bundle verify --quiet {bundle}"));
    let other = place.repo("other.git");
    place
        .git
        .at(&place.scratch)
        .ok(format!("clone --quiet --mirror {bundle} {}", other.path()));
    assert_eq!(other.refs(), bare.refs());
    work.commit("more");
    work.ok("push --quiet origin main");
    bare.ok(format!("bundle create --quiet {bundle} main~1..main"));
    other.ok(format!("fetch --quiet {bundle} main:main"));
    assert_eq!(other.refs(), bare.refs());
    other.fsck();
}

fn notes(place: &Place) {
    let (bare, work) = place.pushed("app.git", 3);
    bare.ok("notes add -m reviewed main");
    bare.ok("notes append -m twice main");
    bare.ok("notes --ref=ci add -m green main~1");
    place.restart();
    assert_eq!(bare.ok("notes show main"), "reviewed\n\ntwice");
    assert_eq!(bare.ok("notes --ref=ci list").lines().count(), 1);
    work.ok("fetch --quiet origin refs/notes/*:refs/notes/*");
    assert_eq!(work.ok("notes show main"), "reviewed\n\ntwice");
    bare.ok("notes remove main");
    bare.fail("notes show main");
}

fn replacements(place: &Place) {
    let (bare, _) = place.pushed("app.git", 3);
    let tip = bare.oid("main");
    let tree = bare.oid("main^{tree}");
    let other = bare.ok(format!("commit-tree -m replaced {tree}"));
    bare.ok(format!("replace {tip} {other}"));
    place.restart();
    assert_eq!(bare.ok("log --format=%s main"), "replaced");
    assert_eq!(bare.ok("--no-replace-objects rev-list --count main"), "3");
    bare.ok(format!("replace -d {tip}"));
    assert_eq!(bare.ok("rev-list --count main"), "3");
}

fn submodules(place: &Place) {
    let (library, _) = place.pushed("library.git", 2);
    let tree = place.git.at(place.scratch("tree"));
    let app = place.repo("app.git");
    let at = place.git.at(&place.scratch);
    at.ok(format!(
        "init --quiet --separate-git-dir={} {}",
        app.path(),
        tree.path()
    ));
    tree.ok(format!("submodule --quiet add {} lib", library.url()));
    tree.ok("commit --quiet -m with-library");
    let inner = place.git.at(tree.dir.join("lib"));
    assert_eq!(inner.oid("HEAD"), library.oid("main"));
    inner.commit("inner");
    inner.ok("push --quiet origin HEAD:main");
    tree.ok("commit --quiet -am bump");
    place.restart();
    assert_eq!(
        tree.ok("submodule status").split_whitespace().next(),
        Some(library.oid("main").as_str())
    );
    let copy = place.clone("--recurse-submodules", &app, "copy");
    assert_eq!(copy.read("lib/inner.txt"), "inner\n");
    assert_eq!(copy.ok("status --porcelain"), "");
}

fn shared_clone(place: &Place) {
    let (bare, work) = place.pushed("app.git", 150);
    let copy = place.git.at(place.scratch("copy"));
    place.git.at(&place.scratch).ok(format!(
        "clone --quiet --shared {} {}",
        bare.path(),
        copy.path()
    ));
    assert_eq!(
        copy.counted("count") + copy.counted("in-pack"),
        0,
        "nothing is copied"
    );
    assert_eq!(copy.oid("HEAD"), work.oid("HEAD"));
    copy.fsck();
    let tip = copy.commit("mine");
    copy.ok("push --quiet origin main");
    assert_eq!(bare.oid("main"), tip);
    place.cool();
    copy.ok("repack --quiet -a -d -l");
    copy.fsck();
    assert_eq!(copy.ok("rev-list --count HEAD"), "151");
}

fn shared_clone_on_the_mount(place: &Place) {
    let (bare, work) = place.pushed("app.git", 20);
    let fork = place.repo("fork.git");
    place.git.at(&place.scratch).ok(format!(
        "clone --quiet --bare --shared {} {}",
        bare.path(),
        fork.path()
    ));
    assert_eq!(
        fork.read("objects/info/alternates").trim_end(),
        bare.dir.join("objects").display().to_string()
    );
    work.commit("forked");
    work.ok(format!("push --quiet {} main", fork.url()));
    place.restart();
    assert_eq!(fork.oid("main"), work.oid("main"));
    fork.fsck();
    // The fork stands alone after this.
    fork.ok("repack --quiet -a -d");
    std::fs::remove_file(fork.dir.join("objects/info/alternates")).expect("rm");
    fork.fsck();
    place.restart();
    assert!(!fork.dir.join("objects/info/alternates").exists());
    fork.fsck();
}

fn reference_clone(place: &Place) {
    let (bare, work) = place.pushed("app.git", 150);
    work.commit("newer");
    let source = place.clone("--bare", &work, "source.git");
    let options = format!("--reference={}", bare.path());
    let copy = place.clone(&options, &source, "copy");
    assert_eq!(copy.oid("HEAD"), work.oid("HEAD"));
    assert!(copy.counted("count") + copy.counted("in-pack") < 10);
    let options = format!("--dissociate --reference={}", bare.path());
    let alone = place.clone(&options, &source, "alone");
    assert!(!alone.dir.join(".git/objects/info/alternates").exists());
    alone.fsck();
}

fn export_and_import(place: &Place) {
    let (bare, _) = place.pushed("app.git", 12);
    bare.ok("tag -a -m one v1 main~3");
    let stream = bare.bytes("fast-export --all --signed-tags=strip", "");
    let other = place.bare("other.git");
    other.import(&stream);
    assert_eq!(other.refs(), bare.refs());
    other.fsck();
}

fn archives(place: &Place) {
    let (bare, work) = place.pushed("app.git", 2);
    work.commit("archived");
    work.ok("push --quiet origin main");
    let here = bare.bytes("archive --format=tar main", "");
    assert!(here == work.bytes("archive --format=tar main", ""));
    assert!(!here.is_empty());
}

fn history_is_searched(place: &Place) {
    let (bare, work) = place.pushed("app.git", 5);
    work.write("poem.txt", "a rose\nis a rose\n");
    work.ok("add poem.txt");
    work.ok("commit --quiet -m poem");
    work.write("poem.txt", "a rose\nis a daisy\n");
    work.ok("commit --quiet -am daisy");
    work.ok("push --quiet origin main");
    place.cool();
    for command in [
        "log --format=%H -S daisy main",
        "blame --porcelain main -- poem.txt",
        "grep -n rose main",
        "diff --stat main~1 main",
        "log --graph --oneline --all",
        "shortlog -sn main",
        "merge-base main main~2",
        "rev-list --objects main -- poem.txt",
    ] {
        assert_eq!(bare.ok(command), work.ok(command), "{command}");
    }
}
