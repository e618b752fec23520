//! link(2) and rename(2) of object files between repositories of one mount: hosts fork by cloning, and keep
//! pools. No byte is copied, and neither repository harms the other, whatever becomes of either.

use crate::everywhere;
use crate::jobs::fork::{gc, gitmoor, id, json, settings, settled};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::noise;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use gitmoor_tests::s3::Counts;
use gitmoor_tests::watched::Watched;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

/// What is deleted is gone with the next gc.
const AT_ONCE: &str = "trash-keep = \"0s\"\ngc-grace = \"0s\"\ngc-period = \"1h\"\n";
const EAGER: &str = "idle-publish = \"50ms\"\n";
/// Only a ref change publishes, or leaving.
const LAZY: &str = "idle-publish = \"1h\"\n";

/// A clone in the root, as a host makes one: git finds out by itself that it may link.
#[track_caller]
fn cloned(place: &Place, options: &str, from: &Repo, to: &str) -> Repo {
    let to = place.root.join(to);
    let at = place.git.at(&place.scratch);
    let (from, path) = (from.dir.display(), to.display());
    at.ok(format!("clone --quiet {options} {from} {path}"));
    place.git.at(to)
}

/// One large pack with all that git keeps beside it, and a few loose objects; its work tree.
fn large(place: &Place) -> (Repo, Repo) {
    let (bare, work) = place.pushed("app.git", 10);
    work.write("large", noise(3_000_000, 1));
    work.commit("large");
    work.ok("push --quiet origin main");
    bare.ok("repack -a -d -b --quiet");
    bare.ok("commit-graph write --reachable");
    bare.ok("multi-pack-index write");
    work.commit("loose");
    work.ok("push --quiet origin main");
    (bare, work)
}

fn packs(repo: &Repo) -> Vec<PathBuf> {
    let names = repo.names("objects/pack").into_iter();
    let packs = names.filter(|name| name.ends_with(".pack"));
    packs
        .map(|name| repo.dir.join("objects/pack").join(name))
        .collect()
}

/// Links all object files, as hosts do it and as `cp -l` does.
fn link_all(from: &Repo, to: &Repo) -> usize {
    let mut linked = 0;
    for dir in fs::read_dir(from.dir.join("objects")).expect("a directory") {
        let dir = dir.expect("a name").file_name();
        let name = |repo: &Repo| repo.dir.join("objects").join(&dir);
        fs::create_dir_all(name(to)).expect("mkdir");
        for file in fs::read_dir(name(from)).expect("a directory") {
            let file = file.expect("a name");
            fs::hard_link(file.path(), name(to).join(file.file_name())).expect("link");
            linked += 1;
        }
    }
    linked
}

/// Readable to the last byte, with nothing of it on this machine.
#[track_caller]
fn sound(place: &Place, repo: &Repo, tip: &str) {
    place.cool();
    assert_eq!(repo.oid("main"), tip);
    repo.fsck();
    if let Ok(name) = repo.dir.strip_prefix(&place.root)
        && place.mount().is_some()
    {
        gitmoor(place, &["fsck", name.to_str().expect("text")]);
    }
}

everywhere!(clones_of_clones, renamed_and_linked);

/// Through git alone, so that a disk is the oracle.
fn clones_of_clones(place: &Place) {
    let (bare, work) = large(place);
    let tip = work.oid("main");
    let fork = cloned(place, "--bare --local", &bare, "fork.git");
    let last = cloned(place, "--bare", &fork, "last.git");
    let mirror = cloned(place, "--mirror", &last, "mirror.git");
    for repo in [&fork, &last, &mirror] {
        assert_eq!(repo.refs(), bare.refs());
        assert_eq!(repo.names("objects/pack"), bare.names("objects/pack"));
        repo.fsck();
    }
    let ahead = work.commit("only-in-the-last");
    work.ok(format!("push --quiet {} main", last.url()));
    bare.fail(format!("cat-file -e {ahead}"));
    fork.ok("repack -a -d --quiet");
    last.ok("gc --quiet --prune=now");
    bare.ok("gc --quiet --prune=now");
    sound(place, &fork, &tip);
    sound(place, &last, &ahead);
    sound(place, &mirror, &tip);
    sound(place, &bare, &tip);
}

/// As scripts move packs, and as git names what it has made elsewhere.
fn renamed_and_linked(place: &Place) {
    let (bare, work) = large(place);
    let other = place.bare("other.git");
    let pack = packs(&bare).remove(0);
    let at = |repo: &Repo, name: &str| repo.dir.join("objects/pack").join(name);
    let name = |ext: &str| {
        let pack = pack.with_extension(ext);
        pack.file_name()
            .expect("a name")
            .to_str()
            .expect("text")
            .to_owned()
    };
    let bytes = fs::read(&pack).expect("reads");
    for ext in ["pack", "idx"] {
        fs::copy(pack.with_extension(ext), at(&bare, &format!("tmp_{ext}"))).expect("copy");
    }
    let (made, named) = (at(&bare, "tmp_pack"), at(&other, &name("pack")));
    fs::hard_link(&made, at(&other, "tmp_linked")).expect("in the making");
    fs::hard_link(&made, &named).expect("in the making, to a final name");
    assert_eq!(fs::read(&named).expect("reads"), bytes);
    fs::rename(at(&bare, "tmp_idx"), at(&other, &name("idx"))).expect("rename");
    for made in [made, at(&other, "tmp_linked")] {
        fs::remove_file(made).expect("unlink");
    }
    other.ok(format!("update-ref refs/heads/main {}", work.oid("main~1")));
    other.fsck();

    // Final names move as well. By another process: this one has looked before the ref moved.
    let third = place.bare("third.git");
    for ext in ["pack", "idx"] {
        let moved = std::process::Command::new("mv")
            .args([at(&other, &name(ext)), at(&third, &name(ext))])
            .status();
        assert!(moved.expect("mv runs").success());
    }
    assert!(!at(&other, &name("pack")).exists() && at(&third, &name("pack")).exists());
    third.ok(format!("update-ref refs/heads/main {}", work.oid("main~1")));
    sound(place, &third, &work.oid("main~1"));
}

/// Not a byte goes to the store or comes from it, and few entries into the log.
#[test]
fn a_clone_costs_nothing() {
    let watched = Watched::new();
    let place = Place::set(Kind::S3s, &format!("{EAGER}{}", watched.toml()));
    let (bare, work) = large(&place);
    settled(&place);
    let proposals = || watched.value("gitmoor_replicator_proposals_total");
    let (before, entries) = (place.server().counts(), proposals());
    let fork = cloned(&place, "--bare", &bare, "fork.git");
    settled(&place);
    let after = place.server().counts();
    let moved = Counts {
        // Whose the store is, which is asked now and then.
        list: before.list,
        get: before.get,
        bytes_in: before.bytes_in,
        bytes_out: before.bytes_out,
        ..after
    };
    assert_eq!(moved, before, "no request");
    assert!(after.bytes_in - before.bytes_in < 1000, "{after:?}");
    assert!(after.bytes_out - before.bytes_out < 4000, "{after:?}");
    assert!(proposals() - entries < 20.0, "{}", proposals() - entries);
    let borrowed = "gitmoor_replicator_proposals_total{command=\"borrow\",outcome=\"done\"}";
    assert_eq!(watched.value(borrowed), 1.0, "in one entry");

    let info = |name| json(&place, &["repo", "info", name]);
    let (theirs, ours) = (info("app.git"), info("fork.git"));
    assert_eq!(
        ours["object_bytes"], theirs["object_bytes"],
        "it counts in full"
    );
    let trail = gitmoor(&place, &["audit", "fork.git"]);
    assert!(trail.contains("objects-borrowed"), "{trail}");
    let id = ours["id"].as_str().expect("an id").to_owned();
    let own = place.server().objects().into_keys();
    assert_eq!(own.filter(|key| key.contains(&id)).count(), 0);
    sound(&place, &fork, &work.oid("main"));
}

/// git compares what it has linked with what that is a link of; from then on they are two files.
#[test]
fn one_file_until_one_changes() {
    let place = Place::set(Kind::Dir, LAZY);
    let (bare, work) = large(&place);
    place.restart();
    let fork = place.bare("fork.git");
    link_all(&bare, &fork);
    let pair = |name: &PathBuf| {
        let name = name.strip_prefix(&bare.dir).expect("in it");
        [&bare, &fork].map(|repo| repo.dir.join(name))
    };
    let [theirs, ours] = pair(&packs(&bare)[0]);
    let meta = |path: &PathBuf| fs::metadata(path).expect("stat");
    let same = |a: &PathBuf, b: &PathBuf| {
        let what = |path| {
            let meta = meta(path);
            (
                meta.ino(),
                meta.nlink(),
                meta.mode(),
                meta.size(),
                meta.uid(),
                meta.mtime(),
            )
        };
        what(a) == what(b)
    };
    assert!(same(&theirs, &ours));
    assert_eq!(meta(&ours).nlink(), 2);
    let before = meta(&theirs).mtime();
    // By its name, as git does it.
    let touched = std::process::Command::new("touch")
        .args(["-d", "@77"])
        .arg(&ours)
        .status();
    assert!(touched.expect("touch runs").success());
    assert_eq!((meta(&ours).mtime(), meta(&theirs).mtime()), (77, before));
    assert!(!same(&theirs, &ours));
    // The kernel may still know the lender's name by the inode that both had.
    let third = place.bare("third.git").dir.join("objects/pack");
    let name = theirs.file_name().expect("a name");
    fs::hard_link(&theirs, third.join(name)).expect("link");
    fs::set_permissions(&ours, fs::Permissions::from_mode(0o400)).expect("chmod");
    assert_eq!(meta(&theirs).mode() & 0o777, 0o444);

    // A name that git rewrites, written in place.
    let [theirs, ours] = pair(&bare.dir.join("objects/info/packs"));
    bare.ok("update-server-info");
    if ours.exists() {
        fs::remove_file(&ours).expect("unlink");
    }
    fs::hard_link(&theirs, &ours).expect("link");
    let text = fs::read(&theirs).expect("reads");
    let append = |path: &PathBuf| {
        use std::io::Write;
        let mut file = File::options().append(true).open(path)?;
        file.write_all(b"P pack-of-ours.pack\n")
    };
    append(&ours).expect("it may be written to");
    assert_eq!(
        fs::read(&theirs).expect("reads"),
        text,
        "the lender's is as it was"
    );
    let written = [&text[..], b"P pack-of-ours.pack\n"].concat();
    assert_eq!(fs::read(&ours).expect("reads"), written);

    let tip = work.oid("main");
    fork.ok(format!("update-ref refs/heads/main {tip}"));
    place.cool();
    let [_, pack] = pair(&packs(&bare)[0]);
    assert_eq!(
        (meta(&pack).mtime(), meta(&pack).mode() & 0o777),
        (77, 0o400)
    );
    assert_eq!(fs::read(&ours).expect("reads"), written);
    sound(&place, &fork, &tip);
    sound(&place, &bare, &tip);
}

/// The lender is repacked, deleted and purged; what was borrowed stays until the borrower goes too.
#[test]
fn the_lender_goes_first() {
    let place = Place::set(Kind::S3s, &format!("{AT_ONCE}{EAGER}"));
    let (bare, work) = large(&place);
    let fork = cloned(&place, "--bare", &bare, "fork.git");
    let ids = ["app.git", "fork.git"].map(|name| id(&place, name));
    let keys = || {
        let keys = place.server().objects().into_keys();
        let of = |key: &String| ids.iter().any(|id| key.contains(id));
        keys.filter(of).count()
    };
    let tip = work.oid("main");
    work.commit("after");
    work.ok("push --quiet origin main");
    bare.ok("repack -a -d --quiet");
    bare.ok("prune --expire=now");
    gc(&place);
    sound(&place, &fork, &tip);
    gitmoor(&place, &["gc", "app.git", "--full"]);
    gc(&place);
    sound(&place, &fork, &tip);
    gitmoor(&place, &["repo", "delete", "--yes", "app.git"]);
    gc(&place);
    gc(&place);
    sound(&place, &fork, &tip);
    // It comes to own what it has, and needs nothing of the lender any more.
    gitmoor(&place, &["gc", "fork.git", "--full"]);
    gc(&place);
    gc(&place);
    sound(&place, &fork, &tip);
    let exported = place.scratch("exported.git");
    gitmoor(
        &place,
        &["export", "fork.git", exported.to_str().expect("text")],
    );
    place.git.at(exported).fsck();
    gitmoor(&place, &["repo", "delete", "--yes", "fork.git"]);
    gc(&place);
    gc(&place);
    assert_eq!(keys(), 0);
}

/// The lender has lost what it lent before that was published: the borrower gets bytes of its own.
#[test]
fn what_the_lender_loses_meanwhile_is_copied() {
    let place = Place::set(Kind::S3s, LAZY);
    let (bare, work) = large(&place);
    place.restart();
    let fork = place.bare("fork.git");
    link_all(&bare, &fork);
    let tip = work.oid("main");
    bare.ok("repack -a -d --quiet");
    bare.ok("prune --expire=now");
    work.commit("after");
    // That publishes what the lender has deleted.
    work.ok("push --quiet origin main");
    assert_eq!(fork.names("objects/pack").len(), packs(&fork).len() * 3 + 2);
    fork.ok(format!("update-ref refs/heads/main {tip}"));
    sound(&place, &fork, &tip);
    let info = json(&place, &["repo", "info", "fork.git"]);
    let id = info["id"].as_str().expect("an id").to_owned();
    let own = place.server().objects().into_keys();
    assert!(
        own.filter(|key| key.contains(&id)).count() > 2,
        "bytes of its own"
    );
}

/// Nor are they in the trash any more: no ref moves without its objects, until somebody has looked.
#[test]
fn what_is_lost_for_good_is_no_refs() {
    let place = Place::set(Kind::S3s, &format!("{AT_ONCE}{LAZY}"));
    let (bare, work) = large(&place);
    place.restart();
    let fork = place.bare("fork.git");
    link_all(&bare, &fork);
    let tip = work.oid("main");
    fs::remove_dir_all(&bare.dir).expect("rm -rf");
    let collect = || gitmoor(&place, &["gc", "--trash-only"]);
    collect();
    collect();
    // Which looks at no object itself.
    fork.fail("symbolic-ref HEAD refs/heads/other");
    assert_eq!(fork.ok("symbolic-ref HEAD"), "refs/heads/main");
    fs::remove_dir_all(fork.dir.join("objects/pack")).expect("rm -rf");
    for name in fork.names("objects") {
        fs::remove_dir_all(fork.dir.join("objects").join(name)).expect("rm -rf");
    }
    work.ok(format!("push --quiet {} main", fork.url()));
    sound(&place, &fork, &tip);
}

/// As a link on a disk that nobody has synced: gone after a crash, and there when it was synced.
#[test]
fn what_was_synced_is_there() {
    let place = Place::set(Kind::Dir, LAZY);
    let (bare, work) = large(&place);
    place.restart();
    let pack = packs(&bare).remove(0);
    let name = pack.file_name().expect("a name").to_owned();
    for sync in ["nothing", "file", "directory"] {
        let fork = place.bare(&format!("{sync}.git"));
        let dir = fork.dir.join("objects/pack");
        fs::hard_link(&pack, dir.join(&name)).expect("link");
        fs::hard_link(
            pack.with_extension("idx"),
            dir.join(&name).with_extension("idx"),
        )
        .expect("link");
        match sync {
            "file" => File::open(dir.join(&name)).expect("open").sync_all(),
            "directory" => File::open(&dir).expect("open").sync_all(),
            _ => Ok(()),
        }
        .expect("fsync");
        place.crash();
        let names = fork.names("objects/pack").len();
        assert_eq!(names, if sync == "nothing" { 0 } else { 2 }, "{sync}");
    }
    drop(work);
}

/// Died after the links and before the refs: there is no half of a clone, and it can be made again.
#[test]
fn a_crash_between_link_and_ref() {
    let place = Place::set(Kind::Dir, LAZY);
    let (bare, work) = large(&place);
    for point in [
        "objects::borrowed=kill@3",
        "publish::stored=kill@1",
        "publish::catalogued=kill@1",
    ] {
        place.daemon().arm(point);
        place.restart();
        let to = place.root.join("fork.git");
        let at = place.git.at(&place.scratch);
        let output = at.run(
            format!(
                "clone --quiet --bare {} {}",
                bare.dir.display(),
                to.display()
            ),
            b"",
        );
        assert!(!output.status.success(), "{}", report(&output));
        place.daemon().arm("");
        place.crash();
        let fork = place.git.at(&to);
        if fork.is("rev-parse --verify --quiet refs/heads/main") {
            fork.ok("rev-list --objects --quiet refs/heads/main");
        }
        if to.exists() {
            fs::remove_dir_all(&to).expect("rm -rf");
        }
        let fork = cloned(&place, "--bare", &bare, "fork.git");
        sound(&place, &fork, &work.oid("main"));
        fs::remove_dir_all(&to).expect("rm -rf");
    }
}

#[test]
fn a_quota_is_kept() {
    let place = Place::set(Kind::Dir, EAGER);
    let (bare, work) = large(&place);
    settled(&place);
    let fork = place.bare("fork.git");
    gitmoor(&place, &["repo", "limit", "fork.git", "bytes", "1000000"]);
    let pack = packs(&bare).remove(0);
    let to = fork
        .dir
        .join("objects/pack")
        .join(pack.file_name().expect("a name"));
    let refused = fs::hard_link(&pack, &to).expect_err("over quota");
    assert_eq!(refused.raw_os_error(), Some(nix::libc::EDQUOT));
    let refused = fs::rename(&pack, &to).expect_err("over quota");
    assert_eq!(refused.raw_os_error(), Some(nix::libc::EDQUOT));
    assert!(pack.exists() && !to.exists());
    sound(&place, &bare, &work.oid("main"));
}

/// As hosts share the objects of forks: a pool has them, and each fork names the pool as its alternate.
#[test]
fn a_pool() {
    let place = Place::set(Kind::S3s, &format!("{AT_ONCE}{EAGER}"));
    let (bare, work) = large(&place);
    let pool = cloned(&place, "--bare", &bare, "pool.git");
    fs::write(
        bare.dir.join("objects/info/alternates"),
        format!("{}/objects\n", pool.dir.display()),
    )
    .expect("alternates");
    bare.ok("repack -a -d -l --quiet");
    assert_eq!(packs(&bare).len(), 0, "the pool has them all");
    let tip = work.commit("later");
    work.ok("push --quiet origin main");
    gc(&place);
    sound(&place, &bare, &tip);
    // A clone of a clone with an alternate has that too.
    let fork = cloned(&place, "--bare --local", &bare, "fork.git");
    sound(&place, &fork, &tip);
    fork.ok("repack -a -d --quiet");
    fs::remove_file(fork.dir.join("objects/info/alternates")).expect("unlink");
    bare.ok("repack -a -d --quiet");
    fs::remove_file(bare.dir.join("objects/info/alternates")).expect("unlink");
    fs::remove_dir_all(&pool.dir).expect("rm -rf");
    gc(&place);
    gc(&place);
    sound(&place, &fork, &tip);
    sound(&place, &bare, &tip);
}

/// Between a mount and a disk there are no links: git copies.
#[test]
fn out_of_the_mount() {
    let place = Place::set(Kind::Dir, EAGER);
    let (bare, work) = large(&place);
    let at = place.git.at(&place.scratch);
    let out = place.scratch("out");
    at.ok(format!(
        "clone --quiet {} {}",
        bare.dir.display(),
        out.display()
    ));
    assert_eq!(place.git.at(&out).oid("main"), work.oid("main"));
    place.git.at(&out).fsck();
    let said = at.fail(format!(
        "clone --quiet --local {} {}",
        bare.dir.display(),
        place.scratch("local").display()
    ));
    assert!(said.contains("failed to create link"), "{said}");
    let pack = packs(&bare).remove(0);
    let error = fs::hard_link(&pack, place.scratch("x.pack")).expect_err("another disk");
    assert_eq!(error.raw_os_error(), Some(nix::libc::EXDEV));
    // Nor under another name: the catalog finds who names a key by the path.
    let other = place.bare("other.git");
    let to = other
        .dir
        .join("objects/pack")
        .join(format!("pack-{}.pack", "1".repeat(40)));
    let error = fs::hard_link(&pack, to).expect_err("another name");
    assert_eq!(error.raw_os_error(), Some(nix::libc::EXDEV));
}

/// Through every mount of a cluster, a client's too, and read through every other at once.
#[test]
fn in_a_cluster() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let client = cluster.mount_client();
    let path = |machine: usize, name: &str| cluster.mounted_on(machine).path().join(name);
    let disk = cluster.git.at(cluster.scratch("any"));
    disk.ok(format!(
        "init --quiet --bare {}",
        path(0, "app.git").display()
    ));
    let work = cluster.git.at(cluster.scratch("work"));
    work.ok("init --quiet");
    work.write("large", noise(300_000, 1));
    work.commit("large");
    work.ok(format!(
        "push --quiet {} HEAD:main",
        cluster.repo(0, "app.git").url()
    ));
    let refs = cluster.repo(0, "app.git").refs();
    for machine in [0, 1, 2, client] {
        let (from, name) = (path(machine, "app.git"), format!("fork-{machine}.git"));
        let to = path(machine, &name);
        let (from, to) = (from.display(), to.display());
        disk.ok(format!("clone --quiet --bare --local {from} {to}"));
        for reader in [0, 1, 2, client] {
            let fork = cluster.repo(reader, &name);
            assert_eq!(fork.refs(), refs, "{machine} {reader}");
            fork.fsck();
        }
    }
}

/// The replicated state comes back from a backup with all that is shared.
#[test]
fn from_a_backup() {
    let place = Place::set(Kind::Dir, &format!("{AT_ONCE}{EAGER}"));
    let (bare, work) = large(&place);
    let fork = cloned(&place, "--bare", &bare, "fork.git");
    settled(&place);
    gitmoor(&place, &["backup"]);
    place.daemon().umount();
    let settings = settings(&place);
    fs::remove_dir_all(&settings.data).expect("its disk is gone");
    settings.gitmoor_ok(&["restore", "--store", &settings.store, "--take-over"]);
    place.daemon().launch();
    let tip = work.oid("main");
    fs::remove_dir_all(&bare.dir).expect("rm -rf");
    gc(&place);
    gc(&place);
    sound(&place, &fork, &tip);
}
