//! git's own housekeeping, run by hand on the mount.

use crate::{everywhere, local};
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::History;
use gitmoor_tests::place::Place;
use std::fs;

everywhere!(gc, repack_all);
local!(
    gc_drops_the_unreachable,
    geometric_repack,
    cruft_packs,
    filtered_repack,
    commit_graph,
    split_commit_graph,
    single_commit_graph_becomes_the_base_of_a_chain,
    alternates_are_appended_to,
    multi_pack_index,
    bitmaps,
    prune_and_prune_packed,
    kept_packs,
    maintenance_tasks,
    plumbing_of_objects,
    verification,
    server_info,
    durable_settings,
);

/// Several packs and some loose objects.
fn busy(place: &Place) -> (Repo, Repo) {
    let (bare, work) = place.pushed("app.git", 60);
    for round in 1..4 {
        work.import(
            &History::seeded(round)
                .commits(&format!("r{round}"), 50)
                .stream(),
        );
        work.ok(format!("push --quiet origin r{round}"));
    }
    for number in 0..5 {
        work.commit(&format!("loose-{number}"));
        work.ok("push --quiet origin main");
    }
    (bare, work)
}

/// A commit that no ref reaches.
fn orphan(bare: &Repo) -> String {
    let tree = bare.oid("main^{tree}");
    bare.ok(format!("commit-tree -m orphan {tree}"))
}

fn intact(place: &Place, bare: &Repo, work: &Repo) {
    bare.fsck();
    let objects = bare.ok("rev-list --all --objects").lines().count();
    place.restart();
    assert_eq!(bare.oid("main"), work.oid("main"));
    assert_eq!(bare.ok("rev-list --all --objects").lines().count(), objects);
    bare.fsck();
}

fn gc(place: &Place) {
    let (bare, work) = busy(place);
    assert!(bare.counted("count") > 0);
    assert!(bare.counted("packs") > 1);
    bare.ok("gc --quiet");
    assert_eq!(bare.counted("count"), 0);
    assert_eq!(bare.counted("packs"), 1);
    intact(place, &bare, &work);
    bare.ok("gc --quiet --aggressive");
    work.commit("after");
    work.ok("push --quiet origin main");
    intact(place, &bare, &work);
}

fn gc_drops_the_unreachable(place: &Place) {
    let (bare, work) = busy(place);
    let orphan = orphan(&bare);
    bare.ok("gc --quiet --prune=2.weeks.ago");
    assert!(bare.is(format!("cat-file -e {orphan}")), "young ones stay");
    bare.ok("gc --quiet --prune=now");
    bare.fail(format!("cat-file -e {orphan}"));
    intact(place, &bare, &work);
    bare.fail(format!("cat-file -e {orphan}"));
    // And it can come again.
    let tree = bare.oid("main^{tree}");
    let again = bare.ok(format!("commit-tree -m again {tree}"));
    bare.ok(format!("update-ref refs/heads/again {again}"));
    bare.fsck();
}

fn repack_all(place: &Place) {
    let (bare, work) = busy(place);
    bare.ok("repack --quiet -a -d");
    assert_eq!(bare.counted("packs"), 1);
    assert_eq!(bare.counted("count"), 0);
    intact(place, &bare, &work);
    // The same again: the pack has the same name and the same bytes.
    bare.ok("repack --quiet -a -d -f");
    bare.ok("repack --quiet -a -d");
    intact(place, &bare, &work);
    place.cool();
    bare.fsck();
}

fn geometric_repack(place: &Place) {
    let (bare, work) = busy(place);
    let before = bare.counted("packs");
    bare.ok("repack --quiet --geometric=2 -d");
    assert!(bare.counted("packs") < before);
    bare.ok("repack --quiet --geometric=2 -d --write-midx");
    bare.ok("multi-pack-index verify");
    intact(place, &bare, &work);
}

fn cruft_packs(place: &Place) {
    let (bare, work) = busy(place);
    let orphan = orphan(&bare);
    bare.ok("repack --quiet --cruft -d");
    let packs = bare.names("objects/pack");
    assert_eq!(
        packs
            .iter()
            .filter(|name| name.ends_with(".mtimes"))
            .count(),
        1,
        "{packs:?}"
    );
    assert_eq!(bare.counted("count"), 0);
    place.restart();
    assert!(bare.is(format!("cat-file -e {orphan}")));
    bare.ok("repack --quiet --cruft --cruft-expiration=now -d");
    bare.fail(format!("cat-file -e {orphan}"));
    intact(place, &bare, &work);
}

fn filtered_repack(place: &Place) {
    if !place.git.has((2, 43), "repack --filter") {
        return;
    }
    let (bare, work) = busy(place);
    let blobs = place.bare("blobs.git");
    let target = blobs.dir.join("objects/pack/pack");
    bare.ok(format!(
        "-c repack.writeBitmaps=false repack --quiet -a -d --filter=blob:none --filter-to={}",
        target.display()
    ));
    assert!(!blobs.names("objects/pack").is_empty());
    bare.write(
        "objects/info/alternates",
        format!("{}\n", blobs.dir.join("objects").display()),
    );
    intact(place, &bare, &work);
}

fn commit_graph(place: &Place) {
    let (bare, work) = busy(place);
    bare.ok("commit-graph write --reachable --changed-paths");
    assert_eq!(bare.names("objects/info"), ["commit-graph"]);
    bare.ok("commit-graph verify");
    place.cool();
    bare.ok("commit-graph verify");
    let count = bare.ok("rev-list --count --all");
    assert_eq!(
        bare.ok("-c core.commitGraph=false rev-list --count --all"),
        count
    );
    work.commit("more");
    work.ok("push --quiet origin main");
    // The same name with other bytes.
    bare.ok("commit-graph write --reachable --changed-paths");
    bare.ok("commit-graph verify");
    place.restart();
    bare.ok("commit-graph verify");
    assert_eq!(bare.ok("log -1 --format=%H -- more.txt"), bare.oid("main"));
}

fn split_commit_graph(place: &Place) {
    let (bare, work) = place.pushed("app.git", 30);
    bare.ok("commit-graph write --reachable --split=no-merge");
    work.commit("one");
    work.ok("push --quiet origin main");
    bare.ok("commit-graph write --reachable --split=no-merge");
    let chain = bare.read("objects/info/commit-graphs/commit-graph-chain");
    assert_eq!(chain.lines().count(), 2);
    bare.ok("commit-graph verify");
    bare.ok("commit-graph write --reachable --split=replace");
    bare.ok("commit-graph verify");
    place.restart();
    let chain = bare.read("objects/info/commit-graphs/commit-graph-chain");
    assert_eq!(chain.lines().count(), 1);
    assert_eq!(bare.ok("rev-list --count main"), "31");
}

/// git renames the catalogued `commit-graph` into the chain.
fn single_commit_graph_becomes_the_base_of_a_chain(place: &Place) {
    let (bare, work) = place.pushed("app.git", 30);
    bare.ok("commit-graph write --reachable");
    place.restart();
    work.commit("one");
    work.ok("push --quiet origin main");
    bare.ok("commit-graph write --reachable --split=no-merge");
    let chain = bare.read("objects/info/commit-graphs/commit-graph-chain");
    assert_eq!(chain.lines().count(), 2);
    place.restart();
    bare.ok("commit-graph verify");
    assert!(!bare.dir.join("objects/info/commit-graph").exists());
}

/// People write this file with an editor or `>>`, also when it is catalogued.
fn alternates_are_appended_to(place: &Place) {
    let (bare, _) = place.pushed("app.git", 3);
    let alternates = bare.dir.join("objects/info/alternates");
    fs::write(&alternates, "/first\n").expect("written");
    place.restart();
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(&alternates)
        .expect("opened to append");
    std::io::Write::write_all(&mut file, b"/second\n").expect("appended");
    drop(file);
    place.restart();
    assert_eq!(bare.read("objects/info/alternates"), "/first\n/second\n");
    fs::remove_file(&alternates).expect("removed");
    bare.ok("fsck --full");
}

fn multi_pack_index(place: &Place) {
    let (bare, work) = busy(place);
    bare.ok("multi-pack-index write");
    bare.ok("multi-pack-index verify");
    work.import(&History::seeded(9).commits("later", 40).stream());
    work.ok("push --quiet origin later");
    bare.ok("multi-pack-index write --bitmap");
    bare.ok("multi-pack-index verify");
    place.cool();
    bare.ok("multi-pack-index verify");
    bare.ok("multi-pack-index repack --batch-size=0");
    bare.ok("multi-pack-index expire");
    bare.ok("multi-pack-index verify");
    assert_eq!(bare.counted("packs"), 1);
    intact(place, &bare, &work);
}

fn bitmaps(place: &Place) {
    let (bare, work) = busy(place);
    bare.ok("repack --quiet -a -d --write-bitmap-index");
    let packs = bare.names("objects/pack");
    assert_eq!(
        packs
            .iter()
            .filter(|name| name.ends_with(".bitmap"))
            .count(),
        1,
        "{packs:?}"
    );
    place.restart();
    let plain = bare.ok("rev-list --count --objects --all");
    assert_eq!(
        bare.ok("rev-list --count --objects --all --use-bitmap-index"),
        plain
    );
    // The same pack with other refs: other bitmap bytes under the same name.
    bare.ok("update-ref refs/heads/more main~20");
    bare.ok("repack --quiet -a -d --write-bitmap-index");
    bare.ok("rev-list --test-bitmap main");
    let copy = place.clone("--bare", &bare, "copy.git");
    copy.fsck();
    intact(place, &bare, &work);
}

fn prune_and_prune_packed(place: &Place) {
    let (bare, work) = place.pushed("app.git", 3);
    let orphan = orphan(&bare);
    assert_eq!(
        bare.ok("prune --dry-run --expire=now"),
        format!("{orphan} commit")
    );
    bare.ok("prune --expire=now");
    bare.fail(format!("cat-file -e {orphan}"));
    let path = |oid: &str| bare.dir.join("objects").join(&oid[..2]).join(&oid[2..]);
    let tip = bare.oid("main");
    assert!(path(&tip).exists());
    bare.ok("repack --quiet -a");
    assert!(path(&tip).exists());
    bare.ok("prune-packed --quiet");
    assert!(!path(&tip).exists());
    assert_eq!(bare.counted("count"), 0);
    intact(place, &bare, &work);
}

fn kept_packs(place: &Place) {
    let (bare, work) = busy(place);
    let pack = bare
        .names("objects/pack")
        .into_iter()
        .find(|name| name.ends_with(".pack"));
    let keep = pack.expect("a pack").replace(".pack", ".keep");
    bare.write(format!("objects/pack/{keep}"), "kept by hand\n");
    bare.ok("repack --quiet -a -d");
    assert_eq!(bare.counted("packs"), 2);
    place.restart();
    assert_eq!(bare.read(format!("objects/pack/{keep}")), "kept by hand\n");
    fs::remove_file(bare.dir.join("objects/pack").join(keep)).expect("rm .keep");
    bare.ok("repack --quiet -a -d");
    assert_eq!(bare.counted("packs"), 1);
    intact(place, &bare, &work);
}

fn maintenance_tasks(place: &Place) {
    let (bare, work) = busy(place);
    for task in [
        "commit-graph",
        "loose-objects",
        "incremental-repack",
        "pack-refs",
        "gc",
    ] {
        bare.ok(format!("maintenance run --quiet --task={task}"));
    }
    intact(place, &bare, &work);
}

fn plumbing_of_objects(place: &Place) {
    let bare = place.bare("app.git");
    let blob = bare.feed("hash-object -w --stdin", "content\n");
    assert_eq!(bare.ok(format!("cat-file -p {blob}")), "content");
    assert_eq!(
        bare.feed("hash-object -w --stdin", "content\n"),
        blob,
        "again"
    );
    let tree = bare.feed("mktree", format!("100644 blob {blob}\tfile\n"));
    let commit = bare.ok(format!("commit-tree -m one {tree}"));
    let name = bare.feed(
        "pack-objects --quiet objects/pack/pack",
        format!("{blob}\n{tree}\n{commit}\n"),
    );
    assert!(
        bare.dir
            .join(format!("objects/pack/pack-{name}.idx"))
            .exists()
    );
    bare.ok("prune-packed --quiet");
    assert_eq!(bare.counted("count"), 0);
    let missing = "1".repeat(40);
    let answer = bare.feed("cat-file --batch-check", format!("{blob}\n{missing}\n"));
    assert_eq!(answer, format!("{blob} blob 8\n{missing} missing"));
    let other = place.bare("other.git");
    let pack = bare.bytes(
        "pack-objects --quiet --stdout",
        format!("{blob}\n{tree}\n{commit}\n"),
    );
    other.bytes("unpack-objects -q", &pack);
    assert_eq!(other.counted("count"), 3);
    let third = place.bare("third.git");
    third.bytes("index-pack --stdin --fix-thin --keep", &pack);
    place.restart();
    for repo in [&bare, &other, &third] {
        assert_eq!(repo.ok(format!("cat-file -t {commit}")), "commit");
        repo.fsck();
    }
}

fn verification(place: &Place) {
    let (bare, _) = busy(place);
    bare.ok("repack --quiet -a -d");
    place.cool();
    let pack = bare
        .names("objects/pack")
        .into_iter()
        .find(|name| name.ends_with(".pack"));
    let pack = pack.expect("a pack");
    assert!(
        bare.ok(format!("verify-pack -v objects/pack/{pack}"))
            .ends_with(": ok")
    );
    bare.ok(format!("index-pack --verify objects/pack/{pack}"));
    bare.ok("fsck --full --strict --connectivity-only");
    let report = bare.ok("count-objects -v -H");
    assert!(report.contains("garbage: 0"), "{report}");
}

fn server_info(place: &Place) {
    let (bare, work) = busy(place);
    bare.ok("update-server-info");
    assert!(bare.read("info/refs").contains(&work.oid("main")));
    let packs = || bare.read("objects/info/packs").matches(".pack\n").count();
    assert_eq!(packs() as u64, bare.counted("packs"));
    bare.ok("repack --quiet -a -d");
    bare.ok("update-server-info");
    place.restart();
    assert_eq!(packs(), 1);
}

fn durable_settings(place: &Place) {
    let (bare, work) = place.pushed("app.git", 2);
    bare.ok("config core.fsync all");
    bare.ok("config core.fsyncMethod batch");
    bare.ok("config core.looseCompression 9");
    work.commit("synced");
    work.ok("push --quiet origin main");
    bare.feed("hash-object -w --stdin", "synced\n");
    bare.ok("repack --quiet -a -d");
    place.crash();
    assert_eq!(bare.oid("main"), work.oid("main"));
    bare.fsck();
}
