//! What is left when too much is lost: one node of three, or the store alone; and a node without
//! a disk to write to.

use super::mounts::{MACHINES, init, work};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::{BOUND, Cluster, read};
use gitmoor_tests::disk::SmallDisk;
use gitmoor_tests::files;
use gitmoor_tests::wait;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The keys of a directory store, but for what is not of repositories.
fn keys(cluster: &Cluster) -> BTreeSet<String> {
    let root = cluster.dir.path().join("store");
    let files = files::below(&root);
    let keys = files.iter().map(|path| {
        let key = path.strip_prefix(&root).expect("below it");
        key.to_str().expect("keys are text").to_owned()
    });
    keys.filter(|key| key.contains("/objects/")).collect()
}

fn lose(cluster: &mut Cluster, machine: usize) {
    cluster.kill9(machine);
    fs::remove_dir_all(cluster.data(machine)).expect("its disk is gone");
}

/// Every disk of the cluster is gone, and the bucket is there.
#[test]
fn everything_but_the_store() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "team.git", "");
    fs::create_dir(cluster.mounted_on(1).path().join("dir")).expect("mkdir");
    init(&cluster, 1, "dir/app.git", "--object-format=sha256");
    cluster.ok(2, &["repo", "config", "team.git", "pack.window", "7"]);
    let work = work(&cluster, 0, "team.git");
    for n in 0..15 {
        work.commit(&format!("before-{n}"));
    }
    work.ok("push --quiet origin HEAD:main HEAD:refs/heads/one HEAD:refs/tags/v1");
    cluster.repo(1, "team.git").ok("pack-refs --all");
    let refs = cluster.repo(0, "team.git").refs();
    let root = cluster.mounted_on(0).path().to_owned();
    fs::write(root.join("dir/projects.list"), "app.git\n").expect("written");
    std::os::unix::fs::symlink("dir/projects.list", root.join("alias")).expect("ln -s");
    let lib = init(&cluster, 1, "team.git/modules/lib", "");
    work.ok(format!("push --quiet {} HEAD:main", lib.url()));
    let tip = work.oid("HEAD");
    let before = keys(&cluster);
    let made = cluster.ok(2, &["backup", "--json"]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let listed = cluster.ok(0, &["backup", "--list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(made[0]["key"], listed[0]["key"]);

    work.commit("after");
    work.ok("push --quiet origin HEAD:main");
    init(&cluster, 0, "new.git", "");
    let url = cluster.repo(2, "new.git").url();
    work.ok(format!("push --quiet {url} HEAD:main"));
    let after: BTreeSet<_> = keys(&cluster).difference(&before).cloned().collect();
    assert!(!after.is_empty());
    for machine in MACHINES {
        lose(&mut cluster, machine);
    }

    let store = cluster.settings(0).store;
    let restore = ["restore", "--store", &store, "--take-over", "--json"];
    let restored = cluster.ok(0, &restore);
    let restored: Value = serde_json::from_str(&restored).expect("JSON");
    assert_eq!(restored["taken_over"], true);
    let unknown = restored["unknown"].as_array().expect("a list");
    let said = unknown
        .iter()
        .flat_map(|one| one["keys"].as_array().expect("a list"));
    let said: BTreeSet<_> = said
        .map(|key| key.as_str().expect("text").to_owned())
        .collect();
    assert_eq!(said, after, "exactly what is newer");
    let paths: BTreeSet<_> = unknown.iter().map(|one| one["path"].as_str()).collect();
    assert_eq!(paths, BTreeSet::from([Some("team.git"), None]));

    let listen = cluster.address(0);
    cluster.ok(0, &["cluster", "init", "--listen", &listen]);
    cluster.machines.truncate(1);
    cluster.machines[0].node = 1;
    cluster.mount(0);
    cluster.join();
    cluster.mount(1);
    for machine in 0..2 {
        let bare = cluster.repo(machine, "team.git");
        assert_eq!(bare.refs(), refs, "machine {machine}");
        assert_eq!(bare.ok("config pack.window"), "7");
        bare.fsck();
        let lib = cluster.repo(machine, "team.git/modules/lib");
        assert_eq!(lib.oid("main"), tip);
        lib.fsck();
        let other = cluster.repo(machine, "dir/app.git");
        assert_eq!(other.ok("rev-parse --show-object-format"), "sha256");
        let alias = cluster.mounted_on(machine).path().join("alias");
        assert_eq!(read(&alias), "app.git\n");
        assert!(!cluster.mounted_on(machine).path().join("new.git").exists());
    }
    // It goes on from there, on top of what was lost.
    work.ok("push --quiet origin HEAD:main");
    assert_eq!(cluster.repo(1, "team.git").oid("main"), work.oid("HEAD"));
}

#[test]
fn backups_by_themselves() {
    let cluster = Cluster::mounted_with(Kind::Dir, |settings| {
        settings.toml = "backup-period = \"1s\"\nbackup-keep = 2".to_owned();
    });
    let list = || -> Vec<String> {
        let listed = cluster.ok(0, &["backup", "--list"]);
        listed.lines().map(str::to_owned).collect()
    };
    let mut first = Vec::new();
    wait::until("there are two", BOUND, || {
        let now = list();
        if first.is_empty() {
            first.clone_from(&now);
        }
        now.len() == 2
    });
    wait::until("the first is gone", BOUND, || !list().contains(&first[0]));
    assert!(
        list().len() <= 5,
        "each mount may have made one more at the same moment"
    );
}

#[test]
fn what_cannot_be_restored() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    let made = cluster.ok(0, &["backup"]);
    let key = made.split_whitespace().next().expect("a key").to_owned();
    let store = cluster.settings(0).store;
    let restore = ["restore", "--store", &store];
    cluster.refused(0, &restore, 1, &["in use"]);
    for machine in MACHINES {
        cluster.kill9(machine);
    }
    cluster.refused(0, &restore, 2, &["a node of cluster"]);
    let other = [&restore[..], &["--backup", "gitmoor-backup/none"]].concat();
    cluster.refused(7, &other, 2, &["gitmoor-backup/none", "--list"]);
    cluster.refused(7, &["restore"], 2, &["--store"]);
    let empty = format!("dir:{}", cluster.scratch("empty").display());
    cluster.refused(7, &["restore", "--store", &empty], 2, &["has no backup"]);
    let mistyped = cluster.dir.path().join("mistyped");
    let url = format!("dir:{}", mistyped.display());
    cluster.refused(
        7,
        &["restore", "--store", &url],
        2,
        &["mistyped", "has no backup"],
    );
    assert!(!mistyped.exists(), "nothing is made there");

    let file = cluster.dir.path().join("store").join(&key);
    let good = fs::read(&file).expect("it is there");
    for damage in [&good[..good.len() / 2], b"", b"something else"] {
        write(&file, damage);
        cluster.refused(7, &restore, 1, &[&key]);
    }
    write(&file, &good);
    cluster.ok(7, &restore);
    cluster.refused(7, &restore, 2, &["a new one"]);
}

fn write(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).expect("it is there");
    fs::write(file, bytes).expect("written");
}

/// Two of three are gone for good: the third begins a new cluster with all that it has.
#[test]
fn a_minority_that_is_all_there_is() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    let work = work(&cluster, 2, "app.git");
    work.commit("first");
    work.ok("push --quiet origin HEAD:main");
    let refs = cluster.repo(0, "app.git").refs();
    let old = cluster.status(2);
    let listen = cluster.address(2);
    let recover = ["cluster", "recover", "--listen", &listen];
    cluster.refused(2, &recover, 1, &["in use"]);
    lose(&mut cluster, 0);
    lose(&mut cluster, 1);
    cluster.kill9(2);
    cluster.ok(2, &recover);
    cluster.mount(2);
    let new = cluster.status(2);
    assert_ne!(new["cluster"], old["cluster"]);
    assert_eq!(new["this"], old["this"]);
    assert_eq!(new["leader"], cluster.machines[2].node);
    assert_eq!(new["members"].as_array().map(Vec::len), Some(1), "{new}");
    assert_eq!(cluster.repo(2, "app.git").refs(), refs);
    work.commit("second");
    // The others might go on with the store.
    work.fail("push --quiet origin HEAD:main");
    cluster.ok(2, &["take-over", "--yes"]);
    work.ok("push --quiet origin HEAD:main");

    let joined = cluster.join();
    cluster.mount(joined);
    cluster.promote(joined);
    assert_eq!(
        cluster.repo(joined, "app.git").oid("main"),
        work.oid("HEAD")
    );
    cluster.repo(joined, "app.git").fsck();
    cluster.refused(9, &recover, 2, &["not a node of a cluster"]);
}

/// A machine whose disk is full is as good as dead, and says why; the others go on. With room it is
/// one of them again.
#[test]
fn the_disk_of_one_machine_is_full() {
    let Some(disk) = SmallDisk::of(128) else {
        return;
    };
    let mut cluster = Cluster::mounted(Kind::Dir);
    let data = disk.path().join("data");
    fs::create_dir(&data).expect("mkdir");
    symlink(&data, cluster.data(3)).expect("symlink");
    let full = cluster.join();
    cluster.mount(full);
    cluster.promote(full);
    init(&cluster, full, "app.git", "");
    let work = work(&cluster, 0, "app.git");
    work.commit("first");
    work.ok("push --quiet origin HEAD:main");
    assert_eq!(cluster.repo(full, "app.git").oid("main"), work.oid("HEAD"));

    let filler = disk.path().join("filler");
    let mut file = File::create(&filler).expect("created");
    for size in [1 << 20, 4096] {
        while file
            .write_all(&vec![1; size])
            .and_then(|()| file.sync_data())
            .is_ok()
        {}
    }
    // What every node writes down, of a repository that nobody looks at.
    let filling = init(&cluster, 0, "filling.git", "");
    let filling = Path::new(filling.path()).to_owned();
    let shallow = format!("{}\n", work.oid("HEAD")).repeat(100_000);
    wait::until("its daemon ends", BOUND, || {
        let lock = filling.join("shallow.lock");
        fs::write(&lock, &shallow).expect("a lock file");
        fs::rename(&lock, filling.join("shallow")).expect("the others commit it");
        let mount = cluster.machines[full].mount.as_mut();
        !mount.expect("it was started").is_alive()
    });
    work.commit("while it is full");
    work.ok("push --quiet origin HEAD:main");
    let log = gitmoor_tests::cluster::read(&cluster.log(full));
    assert!(log.contains("No space left on device"), "{log}");
    let refs = cluster.repo(1, "app.git").refs();
    assert_eq!(cluster.repo(2, "app.git").refs(), refs);

    drop(file);
    fs::remove_file(&filler).expect("room");
    cluster.kill9(full);
    cluster.mount(full);
    assert_eq!(cluster.repo(full, "app.git").refs(), refs);
    work.commit("after");
    work.ok("push --quiet origin HEAD:main");
    let bare = cluster.repo(full, "app.git");
    assert_eq!(bare.oid("main"), work.oid("HEAD"));
    bare.fsck();
}
