//! Names directly under the mount that are directories of this machine (`local`).

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::names;
use gitmoor_tests::history::{commits, noise};
use gitmoor_tests::hostile::Ground;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

const LOCAL: &str = "local = [\"+gitaly\", \"lost+found\"]\n";

fn place() -> Place {
    Place::set(Kind::Dir, LOCAL)
}

#[track_caller]
fn refused<T>(done: std::io::Result<T>, errno: i32) {
    let error = done.err().expect("it is refused");
    assert_eq!(error.raw_os_error(), Some(errno), "{error}");
}

/// Of every kind and size, as on a disk.
#[test]
fn files_of_all_kinds() {
    let place = place();
    let at = |name: &str| place.root.join(name);
    assert_eq!(names(&place.root), ["+gitaly", "lost+found"]);
    fs::create_dir(at("+gitaly/cache")).expect("mkdir");
    let large = noise(3_000_000, 1);
    fs::write(at("+gitaly/cache/large"), &large).expect("written");
    let file = File::options().write(true).open(at("+gitaly/cache/large"));
    let file = file.expect("opens");
    file.write_all_at(b"x", 2_999_999).expect("pwrite");
    drop(file);
    let mode = nix::sys::stat::Mode::S_IRUSR;
    nix::unistd::mkfifo(&at("+gitaly/fifo"), mode).expect("mkfifo");
    drop(UnixListener::bind(at("lost+found/socket")).expect("a socket"));
    fs::hard_link(at("+gitaly/cache/large"), at("+gitaly/again")).expect("ln");
    symlink("cache/large", at("+gitaly/link")).expect("ln -s");
    fs::set_permissions(at("+gitaly/again"), Permissions::from_mode(0o600)).expect("chmod");
    fs::rename(at("+gitaly/cache"), at("lost+found/cache")).expect("mv");
    fs::rename(at("lost+found/cache"), at("+gitaly/cache")).expect("mv");
    place.restart();
    let read = fs::read(at("+gitaly/link")).expect("cat");
    assert_eq!((read.len(), &read[..9]), (3_000_000, &large[..9]));
    assert_eq!(read.last(), Some(&b'x'));
    let stat = fs::metadata(at("+gitaly/again")).expect("stat");
    assert_eq!((stat.nlink(), stat.mode() & 0o777), (2, 0o600));
    let kind = |name: &str| at(name).symlink_metadata().expect("stat").file_type();
    assert!(kind("+gitaly/fifo").is_fifo() && kind("lost+found/socket").is_socket());
    assert_eq!(names(&at("+gitaly")), ["again", "cache", "fifo", "link"]);
    fs::remove_file(at("+gitaly/fifo")).expect("rm");
    fs::remove_dir_all(at("+gitaly/cache")).expect("rm -rf");
    assert_eq!(fs::metadata(at("+gitaly/again")).expect("stat").nlink(), 1);
    // Nothing of it is on record.
    let audit = report(&place.daemon().settings().gitmoor(&["audit"]));
    assert!(!audit.contains("gitaly"), "{audit}");
}

/// What is of this machine and what is replicated are copied into each other, and the names stay.
#[test]
fn between_local_and_replicated() {
    let place = place();
    let at = |name: &str| place.root.join(name);
    fs::write(at("+gitaly/local"), "text").expect("written");
    fs::write(at("replicated"), "text").expect("written");
    fs::create_dir(at("+gitaly/dir")).expect("mkdir");
    let (app, _) = place.pushed("app.git", 1);
    refused(fs::rename(at("+gitaly/local"), at("local")), libc::EXDEV);
    refused(
        fs::rename(at("replicated"), at("+gitaly/replicated")),
        libc::EXDEV,
    );
    refused(fs::rename(at("+gitaly/dir"), at("dir")), libc::EXDEV);
    refused(
        fs::rename(at("+gitaly/local"), app.dir.join("local")),
        libc::EXDEV,
    );
    refused(
        fs::hard_link(at("+gitaly/local"), app.dir.join("local")),
        libc::EXDEV,
    );
    refused(
        fs::hard_link(at("replicated"), at("+gitaly/x")),
        libc::EXDEV,
    );
    refused(fs::rename(at("+gitaly"), at("other")), libc::EPERM);
    refused(fs::remove_dir(at("lost+found")), libc::EPERM);
    refused(fs::create_dir(at("lost+found")), libc::EEXIST);
    // A link there leads where it leads, for the process that follows it.
    fs::create_dir(at("team")).expect("mkdir");
    symlink("../team", at("+gitaly/team")).expect("ln -s");
    let work = place.work("work");
    work.import(&commits(2));
    let bare = place.init("+gitaly/team/by-link", "");
    work.ok(format!("push --quiet {} main", bare.url()));
    assert_eq!(place.repo("team/by-link").oid("main"), work.oid("main"));
    assert_eq!(names(&at("+gitaly")), ["dir", "local", "team"]);
}

/// A repository is one like any other, beneath such a name as well: stored, committed, and moved in one step.
#[test]
fn repositories_are_made_there_and_moved() {
    let place = place();
    let at = |name: &str| place.root.join(name);
    let gitmoor = |args: &[&str]| place.daemon().settings().gitmoor_ok(args);
    fs::create_dir(at("+gitaly/tmp")).expect("mkdir");
    fs::create_dir_all(at("@hashed/ab")).expect("mkdir -p");
    let work = place.work("work");
    work.import(&commits(3));
    for (temporary, name) in [("x", "cd.git"), ("y.git", "plain")] {
        let made = place.init(&format!("+gitaly/tmp/{temporary}"), "--template=");
        work.ok(format!("push --quiet {} main", made.url()));
        assert_eq!(names(&at("+gitaly/tmp")), [temporary]);
        place.crash();
        assert_eq!(made.oid("main"), work.oid("main"));
        let repo = place.repo(&format!("@hashed/ab/{name}"));
        fs::rename(&made.dir, &repo.dir).expect("mv");
        assert!(names(&at("+gitaly/tmp")).is_empty());
        place.cool();
        assert_eq!(repo.oid("main"), work.oid("main"));
        repo.fsck();
        gitmoor(&["fsck", &format!("@hashed/ab/{name}")]);
    }
    // Removed by rename(2) first, to a name that nothing has and to an empty directory.
    for (name, gone) in [("cd.git", "gone-1"), ("plain", "gone-2")] {
        let gone = at("+gitaly/tmp").join(gone);
        if name == "plain" {
            fs::create_dir(&gone).expect("mkdir");
        }
        fs::rename(at("@hashed/ab").join(name), &gone).expect("mv");
        refused(fs::remove_dir(at("+gitaly/tmp")), libc::ENOTEMPTY);
        refused(
            fs::rename(at("+gitaly/tmp"), at("lost+found/tmp")),
            libc::EXDEV,
        );
        assert_eq!(place.git.at(&gone).oid("main"), work.oid("main"));
        fs::remove_dir_all(&gone).expect("rm -rf");
    }
    assert!(names(&at("@hashed/ab")).is_empty());
    assert!(!gitmoor(&["repo", "list"]).contains("gone"));
    fs::remove_dir(at("+gitaly/tmp")).expect("rmdir");
    assert!(names(&at("+gitaly")).is_empty());
}

/// Not of the namespace: what it has under the name is not seen until the setting is gone.
#[test]
fn the_setting_comes_and_goes() {
    let place = Place::set(Kind::Dir, "");
    let at = |name: &str| place.root.join(name);
    fs::create_dir(at("+gitaly")).expect("mkdir");
    fs::write(at("+gitaly/replicated"), "text").expect("written");
    let with = |toml: &str| {
        let mut mount = place.daemon();
        mount.umount();
        mount.configure(toml.to_owned());
        mount.launch();
    };
    with(LOCAL);
    assert!(names(&at("+gitaly")).is_empty());
    fs::write(at("+gitaly/local"), "text").expect("written");
    with("");
    assert_eq!(names(&place.root), ["+gitaly"]);
    assert_eq!(names(&at("+gitaly")), ["replicated"]);
    with(LOCAL);
    assert_eq!(names(&at("+gitaly")), ["local"]);
}

/// A repository there has directories of the namespace above it, which nobody sees here. They go with the local ones.
#[test]
fn what_is_above_a_repository_goes_when_it_is_gone() {
    let place = place();
    let at = |name: &str| place.root.join(name);
    for (name, moved) in [("+gitaly/a", "lost+found/a"), ("+gitaly/b", "+gitaly/b")] {
        fs::create_dir_all(at(name).join("deep")).expect("mkdir");
        let made = place.init(&format!("{name}/deep/x.git"), "--template=");
        fs::remove_dir_all(&made.dir).expect("rm -rf");
        fs::rename(at(name), at(moved)).expect("mv");
        fs::remove_dir_all(at(moved)).expect("rm -rf");
    }
    let mut mount = place.daemon();
    mount.umount();
    mount.configure(String::new());
    mount.launch();
    drop(mount);
    assert!(names(&at("+gitaly")).is_empty());
}

/// As files of a repository: whoever makes one owns it, and the bits say who else may.
#[test]
fn of_another_user() {
    let ground = Ground::new(Kind::Dir, LOCAL);
    let at = |name: &str| -> PathBuf { ground.place.root.join(name) };
    let output = ground.sh("echo x >$M/+gitaly/mine");
    assert!(!output.status.success(), "{}", report(&output));
    fs::set_permissions(at("+gitaly"), Permissions::from_mode(0o1777)).expect("chmod");
    fs::write(at("+gitaly/secret"), "root's").expect("written");
    fs::set_permissions(at("+gitaly/secret"), Permissions::from_mode(0o600)).expect("chmod");
    ground.sh_ok("echo x >$M/+gitaly/mine && mkdir $M/+gitaly/dir && mkfifo $M/+gitaly/dir/fifo");
    let user = ground.sh_ok("id -u");
    for name in ["+gitaly/mine", "+gitaly/dir", "+gitaly/dir/fifo"] {
        let uid = at(name).metadata().expect("stat").uid().to_string();
        assert_eq!(uid, user.trim(), "{name}");
    }
    for script in [
        "cat $M/+gitaly/secret",
        "rm -f $M/+gitaly/secret",
        "mv $M/+gitaly/mine $M/+gitaly/secret",
        "ln -s /etc/passwd $M/lost+found/passwd",
    ] {
        let output = ground.sh(script);
        assert!(!output.status.success(), "{script}: {}", report(&output));
    }
    // The daemon follows no link, whoever made that.
    ground.sh_ok("ln -s /etc $M/+gitaly/etc; ln -s secret $M/+gitaly/link");
    let output = ground.sh("cat $M/+gitaly/link || echo x >$M/+gitaly/etc/gitmoor-test");
    assert!(!output.status.success(), "{}", report(&output));
    assert_eq!(fs::read(at("+gitaly/secret")).expect("cat"), b"root's");
}
