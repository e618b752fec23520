//! Files of Git LFS in a bare repository: named by their SHA-256, checked, stored and seen everywhere like objects.

use crate::replicator::cluster::mounts::{init, work};
use crate::{everywhere, mounted};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::git::Repo;
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

everywhere!(a_push_stores_them);
mounted!(
    other_bytes_get_no_such_name,
    written_in_place,
    they_stay_as_they_are,
    what_an_earlier_version_left_is_stored,
    they_go_where_the_repository_goes,
    they_come_back_from_the_trash,
);

const BOUND: Duration = Duration::from_secs(30);

pub(crate) fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output();
    let text = String::from_utf8(output.expect("sha256sum(1)").stdout).expect("text");
    text[..64].to_owned()
}

pub(crate) fn at(oid: &str) -> PathBuf {
    PathBuf::from(format!("lfs/objects/{}/{}/{oid}", &oid[..2], &oid[2..4]))
}

/// As `git lfs push` brings a file to a repository of a path: a temporary file, then the name.
pub(crate) fn give(bare: &Repo, bytes: &[u8]) -> PathBuf {
    let made = bare.dir.join("lfs/tmp/made");
    bare.write("lfs/tmp/made", bytes);
    let path = at(&sha256(&made));
    let to = bare.dir.join(&path);
    fs::create_dir_all(to.parent().expect("a directory")).expect("mkdir -p");
    fs::rename(made, to).expect("rename");
    path
}

fn bytes(size: usize, seed: u8) -> Vec<u8> {
    let byte = |n: usize| (n as u8).wrapping_mul(31).wrapping_add(seed) ^ (n >> 8) as u8;
    (0..size).map(byte).collect()
}

fn push(work: &Repo, branch: &str) {
    work.write("pointer", branch);
    work.commit("a pointer");
    work.ok([
        "push",
        "--quiet",
        "origin",
        &format!("HEAD:refs/heads/{branch}"),
    ]);
}

/// The real directory of the only repository.
fn files(place: &Place) -> PathBuf {
    let repos = place.daemon().settings().data.join("repos");
    let repo = fs::read_dir(repos)
        .expect("a data directory")
        .flatten()
        .next();
    repo.expect("a repository").path().join("files")
}

fn a_push_stores_them(place: &Place) {
    let (bare, work) = place.pushed("app.git", 1);
    let contents = [
        bytes(3_000_000, 1),
        bytes(70_000, 2),
        bytes(12, 3),
        Vec::new(),
    ];
    let paths: Vec<_> = contents.iter().map(|bytes| give(&bare, bytes)).collect();
    place.crash();
    push(&work, "next");
    if place.mount().is_some() {
        for path in &paths {
            assert!(!files(place).join(path).exists(), "{path:?} is stored");
        }
    }
    place.cool();
    for (path, bytes) in paths.iter().zip(&contents) {
        assert!(
            fs::read(bare.dir.join(path)).expect("read") == *bytes,
            "{path:?}"
        );
        let dir = path.parent().expect("a directory");
        let name = path.file_name().expect("a name").to_string_lossy();
        assert_eq!(bare.names(dir), [name]);
    }
    assert!(bare.names("lfs").contains(&"objects".to_owned()));
    place.restart();
    for (path, bytes) in paths.iter().zip(&contents) {
        assert!(
            fs::read(bare.dir.join(path)).expect("read") == *bytes,
            "{path:?}"
        );
    }
    bare.fsck();
    fs::remove_dir_all(&bare.dir).expect("rm -r");
    assert!(!bare.dir.exists());
}

fn other_bytes_get_no_such_name(place: &Place) {
    let bare = place.bare("app.git");
    let path = give(&bare, &bytes(1000, 1));
    fs::remove_file(bare.dir.join(&path)).expect("unlink");
    bare.write("lfs/tmp/made", bytes(1000, 2));
    let made = bare.dir.join("lfs/tmp/made");
    fs::rename(&made, bare.dir.join(&path)).expect_err("by rename");
    fs::hard_link(&made, bare.dir.join(&path)).expect_err("by link");
    std::os::unix::fs::symlink(&made, bare.dir.join(&path)).expect_err("a link");
    fs::create_dir(bare.dir.join(&path)).expect_err("a directory");
    assert!(!bare.dir.join(&path).exists());
    assert_eq!(fs::read(&made).expect("as it was"), bytes(1000, 2));
    // Not the name of its bytes' hash in the right directory: a file as any other.
    let oid = path.file_name().expect("a name");
    bare.write(Path::new("lfs/objects/00").join(oid), "anything");
}

fn written_in_place(place: &Place) {
    let (bare, work) = place.pushed("app.git", 1);
    let path = give(&bare, &bytes(100_000, 1));
    fs::remove_file(bare.dir.join(&path)).expect("unlink");
    bare.write(&path, bytes(100_000, 1));
    push(&work, "next");
    assert!(!files(place).join(&path).exists(), "it is stored");
    assert_eq!(
        fs::read(bare.dir.join(&path)).expect("read"),
        bytes(100_000, 1)
    );
}

fn they_stay_as_they_are(place: &Place) {
    let (bare, work) = place.pushed("app.git", 1);
    let path = bare.dir.join(give(&bare, &bytes(5000, 1)));
    for round in 0..2 {
        File::options()
            .write(true)
            .open(&path)
            .expect_err("to write");
        File::options()
            .append(true)
            .open(&path)
            .expect_err("to append");
        assert_eq!(fs::read(&path).expect("read"), bytes(5000, 1));
        push(&work, &format!("b{round}"));
    }
}

fn what_an_earlier_version_left_is_stored(place: &Place) {
    let (bare, _) = place.pushed("app.git", 1);
    let path = give(&bare, &bytes(200_000, 1));
    fs::remove_file(bare.dir.join(&path)).expect("unlink");
    place.daemon().umount();
    let left = files(place).join(&path);
    fs::create_dir_all(left.parent().expect("a directory")).expect("mkdir -p");
    fs::write(&left, bytes(200_000, 1)).expect("as a version left it that kept it here");
    place.daemon().launch();
    assert_eq!(
        fs::read(bare.dir.join(&path)).expect("read"),
        bytes(200_000, 1)
    );
    wait::until("it is stored", BOUND, || !left.exists());
    assert_eq!(
        fs::read(bare.dir.join(&path)).expect("read"),
        bytes(200_000, 1)
    );
}

fn they_go_where_the_repository_goes(place: &Place) {
    let (bare, work) = place.pushed("app.git", 1);
    let path = give(&bare, &bytes(100_000, 1));
    push(&work, "next");
    let settings = place.daemon().settings().clone();
    let gitmoor = |args: &[&str]| settings.gitmoor_ok(args);
    let has = |repo: &Repo| {
        assert!(fs::read(repo.dir.join(&path)).expect("read") == bytes(100_000, 1));
    };
    gitmoor(&["repo", "fork", "app.git", "fork.git"]);
    has(&place.repo("fork.git"));
    let exported = place.scratch("exported.git");
    let to = exported.to_str().expect("UTF-8");
    gitmoor(&["export", "app.git", to]);
    has(&place.git.at(&exported));
    gitmoor(&["import", to, "imported.git"]);
    has(&place.repo("imported.git"));
    gitmoor(&["gc", "--full", "app.git"]);
    gitmoor(&["fsck", "app.git"]);
    has(&bare);
    let other = place.repo("fork.git");
    fs::remove_file(other.dir.join(&path)).expect("unlink");
    let dir = other.dir.join(&path).parent().map(Path::to_owned);
    fs::create_dir_all(dir.expect("a directory")).expect("mkdir -p");
    fs::hard_link(bare.dir.join(&path), other.dir.join(&path)).expect("a loan");
    has(&other);
}

fn they_come_back_from_the_trash(place: &Place) {
    let (bare, work) = place.pushed("app.git", 1);
    let path = give(&bare, &bytes(100_000, 1));
    push(&work, "next");
    // By a process that has looked before the push.
    let removed = give(&bare, &bytes(100_000, 2));
    push(&work, "then");
    fs::remove_file(bare.dir.join(&removed)).expect("unlink");
    assert!(!bare.dir.join(&removed).exists());
    let rm = Command::new("rm").arg("-rf").arg(&bare.dir).status();
    assert!(rm.expect("rm(1)").success());
    place
        .daemon()
        .settings()
        .gitmoor_ok(&["repo", "restore", "app.git"]);
    assert_eq!(
        fs::read(bare.dir.join(&path)).expect("read"),
        bytes(100_000, 1)
    );
}

/// A clone through another machine checks out.
#[test]
fn all_machines_see_them() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let machines = [1, 2, cluster.mount_client()];
    let bare = init(&cluster, 0, "app.git", "");
    for machine in machines {
        let there = cluster.repo(machine, "app.git").dir.join("lfs");
        assert!(!there.exists(), "and is not remembered to be absent");
    }
    let path = give(&bare, &bytes(100_000, 1));
    push(&work(&cluster, 0, "app.git"), "main");
    for machine in machines {
        let there = cluster.repo(machine, "app.git").dir.join(&path);
        // By a process that has seen nothing before.
        let output = Command::new("cat").arg(there).output().expect("cat(1)");
        assert!(output.stdout == bytes(100_000, 1), "machine {machine}");
    }
}
