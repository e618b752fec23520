//! Mounts that change nothing, and mounts that say whose everything is.

use gitmoor_tests::backend::{Kind, Store};
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::git::Installed;
use gitmoor_tests::place::{Place, let_others_through};
use gitmoor_tests::process::{self, report};
use nix::errno::Errno;
use nix::mount::MsFlags;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Nothing is published but by a ref change or when leaving.
const SETTINGS: &str = "idle-publish = \"1h\"\n";

fn launch(place: &Place, settings: &[(&str, &str)]) {
    let mut daemon = place.daemon();
    for (key, value) in settings {
        daemon.set(key, value);
    }
    daemon.launch();
}

#[track_caller]
fn refused<T: std::fmt::Debug>(what: &str, done: std::io::Result<T>) {
    let error = done.expect_err(what);
    assert_eq!(error.raw_os_error(), Some(libc::EROFS), "{what}: {error}");
}

/// Every change that a process can make.
fn changes(root: &Path) {
    let repo = root.join("app.git");
    let head = repo.join("HEAD");
    refused("create", File::create_new(repo.join("new")));
    refused("open", File::options().append(true).open(&head));
    refused(
        "truncate",
        nix::unistd::truncate(&head, 0).map_err(Into::into),
    );
    refused("unlink", fs::remove_file(&head));
    refused("mkdir", fs::create_dir(repo.join("hooks-2")));
    refused("rmdir", fs::remove_dir(repo.join("objects/info")));
    refused("rename", fs::rename(&head, repo.join("HEAD-2")));
    refused("link", fs::hard_link(&head, repo.join("HEAD-2")));
    refused("symlink", symlink("HEAD", repo.join("HEAD-2")));
    refused(
        "chmod",
        fs::set_permissions(&head, Permissions::from_mode(0o600)),
    );
    refused("chown", chown(&head, Some(1), Some(1)));
    refused("a new repository", fs::create_dir(root.join("new.git")));
    refused(
        "a renamed repository",
        fs::rename(&repo, root.join("old.git")),
    );
}

struct Overlay(PathBuf);

impl Drop for Overlay {
    fn drop(&mut self) {
        nix::mount::umount(&self.0).expect("umount");
    }
}

/// As containers and CI use a tree of repositories that they do not change.
#[test]
fn it_can_be_a_lower_layer() {
    let disk = Path::new("/dev/shm");
    let place = Place::within(disk, Kind::Dir, &Installed::newest(), |settings| settings);
    let (bare, _) = place.pushed("app.git", 3);
    let dirs = ["upper", "work", "merged"].map(|name| place.scratch(name));
    for dir in &dirs {
        fs::create_dir_all(dir).expect("mkdir");
    }
    let [upper, work, merged] = dirs.each_ref().map(|dir| dir.display());
    let options = format!(
        "lowerdir={},upperdir={upper},workdir={work}",
        place.root.display()
    );
    let kind = Some("overlay");
    nix::mount::mount(kind, &dirs[2], kind, MsFlags::empty(), Some(&*options))
        .unwrap_or_else(|error| panic!("{merged}: {error}"));
    let _mounted = Overlay(dirs[2].clone());
    let above = place.git.at(dirs[2].join("app.git"));
    assert_eq!(above.refs(), bare.refs());
    above.fsck();
    above.ok("update-ref refs/heads/above main");
    assert!(above.refs().contains("above"));
    assert!(!bare.refs().contains("above"), "it is not changed");
}

#[test]
fn a_read_only_mount_changes_nothing() {
    let place = Place::set(Kind::S3s, SETTINGS);
    let (bare, work) = place.pushed("app.git", 3);
    let tip = bare.oid("main");
    // Finished here and not stored: a read-only mount shows it and leaves it.
    let blob = bare.feed("hash-object -w --stdin", "pending\n");
    place.daemon().kill9();
    place.server().reset();
    launch(&place, &[("GITMOOR_READ_ONLY", "true")]);
    let settings = place.daemon().settings().clone();
    let committed = settings.status()["replicator"]["commit"].clone();

    bare.fsck();
    let copy = place.clone("--bare", &bare, "copy.git");
    assert_eq!(copy.oid("main"), tip);
    assert_eq!(bare.ok(format!("cat-file -p {blob}")), "pending");
    assert_eq!(settings.status()["read_only"], true);
    assert!(settings.gitmoor_ok(&["status"]).contains("read-only"));

    changes(&place.root);
    // Root can tell the kernel otherwise, but not the mount.
    let mut remount = Command::new("mount");
    remount.args(["-i", "-o", "remount,rw"]).arg(&place.root);
    let remounted = process::run(&mut remount, b"", process::LIMIT);
    assert!(remounted.status.success(), "{}", report(&remounted));
    changes(&place.root);

    work.commit("too late");
    let said = work.fail("push origin main");
    assert!(said.contains("unpack failed"), "{said}");
    for command in [
        &["repo", "create", "new.git"] as &[&str],
        &["repo", "rename", "app.git", "new.git"],
        &["repo", "delete", "--yes", "app.git"],
        &["repo", "config", "app.git", "core.compression", "1"],
        &["gc"],
        &["fsck", "--repair", "app.git"],
        &["backup"],
    ] {
        let output = settings.gitmoor(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("read-only"), "{command:?}: {said}");
    }
    settings.gitmoor_ok(&["gc", "--dry-run"]);
    settings.gitmoor_ok(&["repo", "config", "app.git"]);
    assert_eq!(settings.status()["replicator"]["commit"], committed);
    let told = place.daemon().umount();
    assert!(
        told.contains("kept") && told.contains("1 finished"),
        "{told}"
    );
    let counts = place.server().counts();
    assert_eq!(counts.requests(), counts.get + counts.list, "{counts:?}");

    launch(&place, &[("GITMOOR_READ_ONLY", "")]);
    work.ok("push --quiet origin main");
    place.cool();
    assert_eq!(bare.ok(format!("cat-file -p {blob}")), "pending");
}

#[test]
fn a_read_only_mount_begins_nothing() {
    let place = Place::new(Kind::S3s, &Installed::newest());
    let settings = place.daemon().settings().clone();
    place.daemon().umount();
    let at = settings.at.to_str().expect("UTF-8");
    let absent = settings.gitmoor(&[
        "mount",
        "--store",
        &settings.store,
        "--read-only",
        "--repo",
        "absent.git",
        at,
    ]);
    assert_eq!(absent.status.code(), Some(1), "{}", report(&absent));
    let other = tempfile::tempdir().expect("a directory");
    let data = other.path().join("data");
    let data = data.to_str().expect("UTF-8");
    let before = place.server().objects().len();
    let args = [
        "mount",
        "--read-only",
        "--data",
        data,
        "--store",
        "STORE",
        at,
    ];
    let empty = settings.gitmoor(&args.map(|arg| match arg {
        "STORE" => settings.store.as_str(),
        arg => arg,
    }));
    assert!(
        empty.status.success(),
        "a store that is there: {}",
        report(&empty)
    );
    gitmoor_tests::mount::detach(&settings.at);
    let nowhere = format!("{}-other", settings.store);
    let data = other.path().join("data-2");
    let data = data.to_str().expect("UTF-8");
    let refused = settings.gitmoor(&[
        "mount",
        "--read-only",
        "--data",
        data,
        "--store",
        &nowhere,
        at,
    ]);
    assert_eq!(refused.status.code(), Some(2), "{}", report(&refused));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("without --read-only"), "{said}");
    assert_eq!(place.server().objects().len(), before);
}

/// It votes, and shows what others change; itself it changes nothing.
#[test]
fn a_read_only_mount_in_a_cluster() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let mount = cluster.machines[2].mount.as_mut().expect("mounted");
    mount.umount();
    mount.set("GITMOOR_READ_ONLY", "true");
    mount.launch();
    let bare = cluster.repo(0, "app.git");
    let scratch = cluster.git.at(cluster.scratch("work"));
    scratch.ok(format!("init --quiet --bare {}", bare.dir.display()));
    let tree = bare.feed("hash-object -t tree -w --stdin", "");
    let tip = bare.ok(format!("commit-tree -m one {tree}"));
    bare.ok(format!("update-ref refs/heads/main {tip}"));
    let shown = cluster.repo(2, "app.git");
    assert_eq!(shown.oid("main"), tip);
    shown.fsck();
    shown.fail(format!("update-ref refs/heads/other {tip}"));
    refused("mkdir", fs::create_dir(cluster.repo(2, "new.git").dir));
    let members = cluster.status(0)["members"].clone();
    let voters = members.as_array().into_iter().flatten();
    let voters = voters.filter(|member| member["role"] != "learner" && member["error"].is_null());
    assert_eq!(voters.count(), 3, "{members:#}");
}

const NOBODY: u32 = 65534;

/// git as another user, who has nothing but what the mount gives.
#[track_caller]
fn as_nobody(place: &Place, args: &[&str]) -> String {
    let ids = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut git = Command::new("setpriv");
    git.args(ids).arg("git").args(args);
    git.env("HOME", place.scratch("nobody"))
        .current_dir(place.scratch("nobody"));
    let output = process::run(&mut git, b"", process::LIMIT);
    assert!(output.status.success(), "{args:?} {}", report(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn everything_below(dir: &Path, see: &mut dyn FnMut(&Path, &fs::Metadata)) {
    see(dir, &fs::symlink_metadata(dir).expect("stat"));
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        match entry.file_type().expect("a type").is_dir() {
            true => everything_below(&path, see),
            false => see(&path, &fs::symlink_metadata(&path).expect("stat")),
        }
    }
}

#[test]
fn everything_belongs_to_whom_the_mount_says() {
    let owned = Place::with(Kind::Dir, &Installed::newest(), |mut settings| {
        settings.toml =
            format!("allow-other = true\nuid = {NOBODY}\ngid = \"nogroup\"\numask = \"027\"\n");
        settings
    });
    let place = &owned;
    let above = place.scratch.parent().expect("a directory");
    fs::set_permissions(above, Permissions::from_mode(0o711)).expect("chmod");
    let_others_through();
    let home = place.scratch("nobody");
    fs::create_dir(&home).expect("mkdir");
    chown(&home, Some(NOBODY), Some(NOBODY)).expect("chown");
    let bare = place.root.join("app.git");
    let bare = bare.to_str().expect("UTF-8");
    as_nobody(place, &["init", "--quiet", "--bare", "-b", "main", bare]);
    as_nobody(place, &["init", "--quiet", "-b", "main", "work"]);
    let commit = [
        "-c",
        "user.name=N",
        "-c",
        "user.email=n@example.com",
        "commit",
        "--quiet",
        "--allow-empty",
        "-m",
        "one",
    ];
    as_nobody(place, &[&["-C", "work"], &commit as &[&str]].concat());
    as_nobody(place, &["-C", "work", "push", "--quiet", bare, "main"]);
    as_nobody(place, &["-C", bare, "pack-refs", "--all"]);
    as_nobody(place, &["-C", bare, "fsck"]);

    let mut seen = 0;
    everything_below(&place.root, &mut |path, meta| {
        seen += 1;
        assert_eq!((meta.uid(), meta.gid()), (NOBODY, NOBODY), "{path:?}");
        assert_eq!(meta.mode() & 0o027, 0, "{path:?} {:o}", meta.mode());
    });
    assert!(seen > 20, "{seen}");
    let head = place.root.join("app.git/HEAD");
    let open = File::open(&head).expect("opens").metadata().expect("fstat");
    assert_eq!((open.uid(), open.mode() & 0o777), (NOBODY, 0o640));
    let error = chown(&head, Some(1), None).expect_err("it is nobody's");
    assert_eq!(error.raw_os_error(), Some(Errno::EPERM as i32));
    chown(&head, Some(NOBODY), Some(NOBODY)).expect("as it is");

    // New files are theirs on the disk too, with the bits that git gave them.
    let settings = place.daemon().settings().clone();
    place.daemon().umount();
    let repo = fs::read_dir(settings.data.join("repos"))
        .expect("repositories")
        .flatten()
        .next();
    let hook = repo.expect("one").path().join("files/hooks/update.sample");
    let hook = fs::metadata(hook).expect("stat");
    assert_eq!((hook.uid(), hook.gid()), (NOBODY, NOBODY));
    assert_eq!(hook.mode() & 0o777, 0o755);
    launch(place, &[]);
}

#[test]
fn who_may_say_that_others_may() {
    let dir = tempfile::tempdir().expect("a directory");
    let settings = Store::Dir.settings(dir.path());
    fs::create_dir(&settings.at).expect("mkdir");
    let at = settings.at.to_str().expect("UTF-8");
    for (flag, value) in [
        ("--uid", "no such user"),
        ("--gid", "-7"),
        ("--umask", "999"),
    ] {
        let output = settings.gitmoor(&["mount", &format!("{flag}={value}"), at]);
        assert_eq!(output.status.code(), Some(2), "{}", report(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(flag) && said.contains(value), "{said}");
    }
    assert!(!settings.data.exists());
}
