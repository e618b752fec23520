//! Two states that come from one, with one store: a backup that is restored beside the running original, copies of a
//! data directory. One of them alone stores and deletes, and which one a person says.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::mount::{Mounted, Settings};
use gitmoor_tests::place::Place;
use gitmoor_tests::process::{self, report};
use gitmoor_tests::wait;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Everything is old enough at once; nothing happens by itself.
const FORGETFUL: &str =
    "trash-keep = \"0s\"\ngc-grace = \"0s\"\ngc-period = \"1h\"\nidle-publish = \"50ms\"\n";

/// A mount, and what was pushed to it.
struct Original {
    place: Place,
    bare: Repo,
    work: Repo,
}

impl Original {
    fn new(kind: Kind) -> Original {
        let place = Place::set(kind, FORGETFUL);
        let (bare, work) = place.pushed("app.git", 3);
        Original { place, bare, work }
    }

    fn settings(&self) -> Settings {
        self.place.daemon().settings().clone()
    }

    /// Another commit, acknowledged.
    #[track_caller]
    fn push(&self, name: &str) {
        self.work.commit(name);
        self.work.ok("push --quiet origin HEAD:main");
    }

    /// The settings of a second state of the same store.
    fn second(&self) -> Settings {
        let settings = self.settings();
        let beside = |path: &PathBuf| path.with_extension("second");
        Settings {
            data: beside(&settings.data),
            at: beside(&settings.at),
            log: settings.log.with_extension("second.log"),
            ..settings
        }
    }

    /// Copies the data directory as it is, the daemon running or not.
    fn copy(&self) -> Settings {
        let second = self.second();
        let mut cp = Command::new("cp");
        cp.arg("-a").arg(self.settings().data).arg(&second.data);
        let copied = process::run(&mut cp, b"", process::LIMIT);
        assert!(copied.status.success(), "{}", report(&copied));
        second
    }

    /// Every object file that the original names is in the store, with its bytes.
    #[track_caller]
    fn is_whole(&self) {
        self.settings().gitmoor_ok(&["fsck", "app.git"]);
        self.bare.fsck();
    }
}

fn restored(original: &Original, more: &[&str]) -> (Settings, String) {
    let second = original.second();
    let restore = [&["restore", "--store", &second.store], more].concat();
    let said = second.gitmoor_ok(&restore);
    (second, said)
}

/// Pushes are refused, and the repository can be read.
#[track_caller]
fn stores_nothing(original: &Original, mount: &Mounted, name: &str) {
    let bare = original.place.git.at(mount.path().join("app.git"));
    bare.ok("rev-list --objects --all --quiet");
    let before = bare.refs();
    original.work.commit(name);
    let url = bare.url();
    let push = format!("push --quiet {url} HEAD:refs/heads/{name}");
    original.work.fail(push);
    original.work.ok("reset --quiet --hard HEAD~1");
    assert_eq!(bare.refs(), before);
}

#[track_caller]
fn refused(settings: &Settings, args: &[&str], words: &[&str]) {
    let output = settings.gitmoor(args);
    assert!(!output.status.success(), "{args:?}: {}", report(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    for word in words {
        assert!(said.contains(word), "{word:?} missing in: {said}");
    }
}

fn owns(settings: &Settings) -> bool {
    let owner = &settings.status()["owner"];
    owner["is_this"].as_bool().expect("it writes to the store")
}

/// A state that does not own the store of the original, mounted beside it.
fn deletes_nothing(original: &Original, second: &Settings) -> Mounted {
    let mount = Mounted::start(second.clone());
    // The version before did not refuse it, and removed what the original had stored since.
    let collected = second.gitmoor(&["gc", "--trash-only"]);
    original.place.cool();
    original.is_whole();
    assert!(!collected.status.success(), "{}", report(&collected));
    stores_nothing(original, &mount, "elsewhere");
    assert!(!owns(second));
    mount
}

fn a_restored_backup_beside_the_original(kind: Kind) {
    let original = Original::new(kind);
    original.settings().gitmoor_ok(&["backup"]);
    original.push("after the backup");
    let (second, _) = restored(&original, &[]);
    let _mount = deletes_nothing(&original, &second);
    assert!(owns(&original.settings()));
    for command in [&["gc"][..], &["backup"], &["gc", "app.git", "--full"]] {
        refused(&second, command, &["take-over"]);
    }
    original.push("and so on");
    original.is_whole();
}

#[test]
fn a_restored_backup_deletes_nothing_of_the_running_original() {
    a_restored_backup_beside_the_original(Kind::Dir);
}

#[test]
fn a_restored_backup_deletes_nothing_of_the_running_original_in_s3() {
    a_restored_backup_beside_the_original(Kind::S3s);
}

#[test]
fn a_restored_backup_deletes_nothing_of_the_running_original_in_garage() {
    a_restored_backup_beside_the_original(Kind::Garage);
}

/// Of two that come from one never both delete: who is taken over from learns it before its next deletion.
#[test]
fn a_take_over_stops_the_former_owner() {
    let original = Original::new(Kind::Dir);
    original.settings().gitmoor_ok(&["backup"]);
    let (second, said) = restored(&original, &[]);
    assert!(said.contains("take-over"), "{said}");
    let mount = Mounted::start(second.clone());
    refused(&second, &["take-over"], &["--yes", "gc-grace"]);
    assert!(!owns(&second));
    second.gitmoor_ok(&["take-over", "--yes"]);
    assert!(owns(&second));
    second.gitmoor_ok(&["take-over"]);

    let former = original.settings();
    for command in [&["gc", "--trash-only"][..], &["backup"]] {
        refused(&former, command, &["take-over"]);
    }
    assert!(!owns(&former));
    let examined = former.gitmoor(&["doctor", "--json"]);
    let examined: serde_json::Value = serde_json::from_slice(&examined.stdout).expect("JSON");
    let mut checks = examined.as_array().expect("a list").iter();
    let store = checks.find(|check| check["name"] == "store");
    let found = store.expect("it is looked at")["findings"].to_string();
    assert!(found.contains("take-over"), "{found}");
    original.work.commit("too late");
    original.work.fail("push --quiet origin HEAD:main");

    let url = original.place.git.at(mount.path().join("app.git")).url();
    original.work.ok(format!("push --quiet {url} HEAD:main"));
    second.gitmoor_ok(&["fsck", "app.git"]);
    second.gitmoor_ok(&["gc", "--trash-only"]);
    second.gitmoor_ok(&["fsck", "app.git"]);
    // And back.
    former.gitmoor_ok(&["take-over", "--yes"]);
    refused(&second, &["gc", "--trash-only"], &["take-over"]);
}

#[test]
fn a_restored_backup_that_takes_over_goes_on() {
    let original = Original::new(Kind::S3s);
    original.settings().gitmoor_ok(&["backup"]);
    original.place.daemon().kill9();
    let (second, said) = restored(&original, &["--take-over"]);
    assert!(said.contains("owns the store"), "{said}");
    let mount = Mounted::start(second.clone());
    assert!(owns(&second));
    let bare = original.place.git.at(mount.path().join("app.git"));
    original.work.commit("after the restoration");
    original
        .work
        .ok(format!("push --quiet {} HEAD:main", bare.url()));
    second.gitmoor_ok(&["gc"]);
    bare.fsck();
    original.place.daemon().launch();
    assert!(!owns(&original.settings()));
}

/// Both run, and the copy was made while the original did.
#[test]
fn a_copied_data_directory_deletes_nothing_of_the_running_original() {
    let original = Original::new(Kind::Dir);
    let second = original.copy();
    original.push("after the copy");
    let _mount = deletes_nothing(&original, &second);
    original.settings().gitmoor_ok(&["gc"]);
    original.push("and so on");
    original.is_whole();
    assert!(owns(&original.settings()));
    // It knows the original's claims, and needs one of its own.
    second.gitmoor_ok(&["take-over", "--yes"]);
    assert!(owns(&second));
    refused(
        &original.settings(),
        &["gc", "--trash-only"],
        &["take-over"],
    );
}

/// A snapshot of a disk has the same files, of the same birth: it does not know what was claimed since.
#[test]
fn a_snapshot_of_the_disk_does_not_know_the_last_claim() {
    let original = Original::new(Kind::Dir);
    let second = original.copy();
    fs::remove_file(second.data.join("birth")).expect("as if it were the original's");
    original.push("after the snapshot");
    let claims = original.place.scratch.with_file_name("store/gitmoor-owner");
    original.place.daemon().umount();
    age(&claims);
    original.place.daemon().launch();
    original.settings().gitmoor_ok(&["gc", "--trash-only"]);
    assert_eq!(fs::read_dir(&claims).expect("claims").count(), 2);
    let mount = Mounted::start(second.clone());
    refused(&second, &["gc", "--trash-only"], &["take-over"]);
    stores_nothing(&original, &mount, "elsewhere");
    original.is_whole();
}

/// Both know the last claim: who deletes claims the store before, and the other sees that before it deletes.
#[test]
fn of_two_snapshots_one_alone_deletes() {
    let original = Original::new(Kind::Dir);
    let second = original.copy();
    fs::remove_file(second.data.join("birth")).expect("as if it were the original's");
    let _mount = Mounted::start(second.clone());
    for settings in [&original.settings(), &second] {
        assert!(owns(settings), "nothing tells them apart yet");
    }
    let blob = original
        .bare
        .feed("hash-object -w --stdin", "not for long\n");
    let settings = original.settings();
    wait::until("it is stored", process::LIMIT, || {
        settings.status()["pending"]["files"] == 0
    });
    original.bare.ok("prune --expire=now");
    original.bare.fail(format!("cat-file -e {blob}"));
    wait::until("it was deleted", process::LIMIT, || {
        let collected = settings.gitmoor_ok(&["gc", "--trash-only", "--json"]);
        let collected: serde_json::Value = serde_json::from_str(&collected).expect("JSON");
        collected["objects"] == 1
    });
    refused(&second, &["gc", "--trash-only"], &["take-over"]);
    original.is_whole();
}

/// Makes all claims two hours old.
fn age(claims: &std::path::Path) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    for claim in fs::read_dir(claims).expect("claims") {
        let claim = fs::File::open(claim.expect("a claim").path()).expect("opens");
        claim.set_modified(then).expect("root may");
    }
}

/// The store in the data directory came along.
#[test]
fn a_copy_with_its_own_store_needs_no_take_over() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = |name: &str| Settings {
        data: dir.path().join(name),
        at: dir.path().join(format!("{name}-mnt")),
        log: dir.path().join(format!("{name}.log")),
        store: format!("dir:{}", dir.path().join(name).join("store").display()),
        toml: FORGETFUL.to_owned(),
        repo: None,
        env: Vec::new(),
        netns: None,
        open_files: None,
        socket: None,
    };
    let git = Installed::newest().with_home(&dir.path().join("home"));
    let first = Mounted::start(settings("one"));
    git.at(dir.path()).ok(format!(
        "init --quiet --bare {}",
        first.path().join("app.git").display()
    ));
    drop(first);
    let mut cp = Command::new("cp");
    cp.arg("-a")
        .arg(dir.path().join("one"))
        .arg(dir.path().join("two"));
    let copied = process::run(&mut cp, b"", process::LIMIT);
    assert!(copied.status.success(), "{}", report(&copied));
    let second = settings("two");
    let _mount = Mounted::start(second.clone());
    assert!(owns(&second));
}

#[test]
fn what_owns_no_store_says_so() {
    let original = Original::new(Kind::Dir);
    original.place.daemon().umount();
    for (key, words) in [
        ("GITMOOR_READ_ONLY", "read-only"),
        ("GITMOOR_OFFLINE", "offline"),
    ] {
        original.place.daemon().set(key, "true");
        original.place.daemon().launch();
        let settings = original.settings();
        assert!(settings.status()["owner"].is_null());
        refused(&settings, &["take-over", "--yes"], &[words]);
        original.place.daemon().umount();
        original.place.daemon().set(key, "");
    }
    let claims = original.place.scratch.with_file_name("store/gitmoor-owner");
    assert_eq!(fs::read_dir(claims).expect("claims").count(), 1);
}
