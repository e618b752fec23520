//! Names beside repositories: symbolic links and small files of the namespace.

use crate::{local, mounted};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::names;
use gitmoor_tests::hostile::Ground;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

local!(
    an_alias_of_a_renamed_project,
    links_are_names_like_others,
    a_file_is_written_and_read,
    a_file_takes_the_place_of_another,
    files_go_along_with_their_directory,
    a_worktree_is_beside_its_repository,
    what_is_open_stays_what_it_was,
    a_file_that_nobody_closed,
);
mounted!(
    what_may_not_stand_there,
    what_was_committed_survives_a_crash,
    the_audit_trail_has_it,
);

fn an_alias_of_a_renamed_project(place: &Place) {
    let (old, work) = place.pushed("old.git", 2);
    fs::create_dir(place.root.join("team")).expect("mkdir");
    let new = place.repo("team/new.git");
    fs::rename(&old.dir, &new.dir).expect("mv");
    symlink("team/new.git", place.root.join("old.git")).expect("ln -s");
    work.commit("by the old name");
    work.ok("push --quiet origin main");
    assert_eq!(new.oid("main"), work.oid("main"));
    work.ok(format!("remote set-url origin {}", new.url()));
    work.commit("by the new name");
    work.ok("push --quiet origin main");
    assert_eq!(old.oid("main"), work.oid("main"));
    place.restart();
    assert_eq!(old.oid("main"), work.oid("main"));
    fs::remove_file(place.root.join("old.git")).expect("rm");
    assert!(old.dir.symlink_metadata().is_err());
    assert_eq!(new.oid("main"), work.oid("main"));
}

fn links_are_names_like_others(place: &Place) {
    let at = |name: &str| place.root.join(name);
    for (name, target) in [("a", "nowhere"), ("b", "/etc/passwd"), ("c.git", "../..")] {
        symlink(target, at(name)).expect("ln -s");
        assert_eq!(
            fs::read_link(at(name)).expect("readlink"),
            Path::new(target)
        );
    }
    let there = symlink("else", at("a")).expect_err("the name is taken");
    assert_eq!(there.kind(), ErrorKind::AlreadyExists);
    assert_eq!(names(&place.root), ["a", "b", "c.git"]);
    for entry in fs::read_dir(&place.root).expect("ls") {
        let entry = entry.expect("one");
        assert!(
            entry.file_type().expect("its type").is_symlink(),
            "{entry:?}"
        );
    }
    let missing = fs::read(at("a")).expect_err("it leads nowhere");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    // An alias is switched in one step.
    symlink("elsewhere", at("new")).expect("ln -s");
    fs::rename(at("new"), at("a")).expect("mv -T");
    assert_eq!(
        fs::read_link(at("a")).expect("readlink"),
        Path::new("elsewhere")
    );
    fs::create_dir(at("dir")).expect("mkdir");
    fs::rename(at("a"), at("dir/a")).expect("mv");
    place.restart();
    assert_eq!(
        fs::read_link(at("dir/a")).expect("readlink"),
        Path::new("elsewhere")
    );
    assert_eq!(names(&place.root), ["b", "c.git", "dir"]);
}

fn a_file_is_written_and_read(place: &Place) {
    let at = place.root.join("projects.list");
    fs::write(&at, "a.git\n").expect("echo >");
    assert_eq!(fs::read(&at).expect("cat"), b"a.git\n");
    let mut file = File::options().append(true).open(&at).expect("opens");
    file.write_all(b"b.git\n").expect("echo >>");
    drop(file);
    assert_eq!(fs::read(&at).expect("cat"), b"a.git\nb.git\n");
    let file = File::options().write(true).open(&at).expect("opens");
    file.write_all_at(b"x", 0).expect("pwrite");
    file.set_len(6).expect("ftruncate");
    drop(file);
    assert_eq!(fs::read(&at).expect("cat"), b"x.git\n");
    assert_eq!(fs::metadata(&at).expect("stat").len(), 6);
    fs::set_permissions(&at, Permissions::from_mode(0o640)).expect("chmod");
    let time = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = File::open(&at).expect("opens");
    file.set_modified(time).expect("touch -d");
    drop(file);
    place.restart();
    let stat = fs::metadata(&at).expect("stat");
    assert!(stat.is_file());
    assert_eq!(
        (stat.mode() & 0o777, stat.len(), stat.nlink()),
        (0o640, 6, 1)
    );
    assert_eq!(stat.modified().expect("a time"), time);
    // Nothing, and as much as there may be.
    fs::write(&at, "").expect("truncated");
    assert_eq!(fs::read(&at).expect("cat"), b"");
    let most = vec![b'm'; 1 << 20];
    fs::write(&at, &most).expect("a MiB");
    assert_eq!(fs::read(&at).expect("cat"), most);
    fs::remove_file(&at).expect("rm");
    assert!(names(&place.root).is_empty());
}

fn a_file_takes_the_place_of_another(place: &Place) {
    let (at, new) = (place.root.join("README"), place.root.join("README.tmp"));
    for text in ["one", "two, which is longer", "3"] {
        fs::write(&new, text).expect("written");
        fs::rename(&new, &at).expect("mv");
        assert_eq!(fs::read(&at).expect("cat"), text.as_bytes());
        assert_eq!(fs::metadata(&at).expect("stat").len(), text.len() as u64);
    }
    assert_eq!(names(&place.root), ["README"]);
    // A link, too, and back.
    symlink("README", &new).expect("ln -s");
    fs::rename(&new, &at).expect("mv");
    assert!(at.symlink_metadata().expect("stat").is_symlink());
    fs::write(&new, "again").expect("written");
    fs::rename(&new, &at).expect("mv");
    assert_eq!(fs::read(&at).expect("cat"), b"again");
    // What is of another kind is in the way.
    fs::create_dir(place.root.join("dir")).expect("mkdir");
    let on_dir = fs::rename(&at, place.root.join("dir")).expect_err("a file on a directory");
    assert_eq!(on_dir.kind(), ErrorKind::IsADirectory);
    let on_file = fs::rename(place.root.join("dir"), &at).expect_err("a directory on a file");
    assert_eq!(on_file.kind(), ErrorKind::NotADirectory);
    // The name is a directory's now, and a file's again.
    fs::remove_file(&at).expect("rm");
    fs::create_dir(&at).expect("mkdir");
    fs::write(at.join("file"), "in it").expect("written");
    fs::remove_file(at.join("file")).expect("rm");
    fs::remove_dir(&at).expect("rmdir");
    fs::write(&at, "a file").expect("written");
    assert_eq!(fs::read(&at).expect("cat"), b"a file");
}

fn files_go_along_with_their_directory(place: &Place) {
    let at = |name: &str| place.root.join(name);
    fs::create_dir_all(at("a/b")).expect("mkdir -p");
    fs::write(at("a/one"), "1").expect("written");
    fs::write(at("a/b/two"), "22").expect("written");
    symlink("../one", at("a/b/link")).expect("ln -s");
    place.pushed("a/b/app.git", 1);
    fs::rename(at("a"), at("z")).expect("mv");
    for _ in 0..2 {
        assert_eq!(fs::read(at("z/b/two")).expect("cat"), b"22");
        assert_eq!(fs::read(at("z/b/link")).expect("cat"), b"1");
        assert_eq!(names(&at("z/b")), ["app.git", "link", "two"]);
        place.restart();
    }
    let full = fs::remove_dir(at("z")).expect_err("not empty");
    assert_eq!(full.kind(), ErrorKind::DirectoryNotEmpty);
    fs::remove_dir_all(at("z")).expect("rm -rf");
    assert!(names(&place.root).is_empty());
}

/// A directory with a bare repository, and a `.git` file that leads to the repository.
fn a_worktree_is_beside_its_repository(place: &Place) {
    fs::create_dir(place.root.join("proj")).expect("mkdir");
    let (bare, work) = place.pushed("proj/bare.git", 2);
    fs::write(place.root.join("proj/.git"), "gitdir: ./bare.git\n").expect("written");
    let beside = place.repo("proj");
    assert_eq!(beside.ok("rev-parse main"), work.oid("main"));
    place.restart();
    assert_eq!(beside.ok("log --format=%H -1 main"), bare.oid("main"));
}

fn what_is_open_stays_what_it_was(place: &Place) {
    let at = place.root.join("file");
    fs::write(&at, "before").expect("written");
    let mut open = File::open(&at).expect("opens");
    fs::write(&at, "and after").expect("written");
    let mut text = String::new();
    let mut other = File::open(&at).expect("opens");
    other.read_to_string(&mut text).expect("read");
    assert_eq!(text, "and after");
    fs::remove_file(&at).expect("rm");
    other.seek(SeekFrom::Start(0)).expect("lseek");
    text.clear();
    other.read_to_string(&mut text).expect("read");
    assert_eq!(text, "and after");
    text.clear();
    open.read_to_string(&mut text).expect("what it was");
    assert!(["before", "and after"].contains(&text.as_str()), "{text}");
}

/// What is written to a file that is gone is nobody's.
fn a_file_that_nobody_closed(place: &Place) {
    let at = place.root.join("file");
    let mut open = File::create(&at).expect("creates");
    open.write_all(b"text").expect("writes");
    let stat = open.metadata().expect("fstat");
    assert_eq!(stat.len(), 4);
    open.write_all(b", and more").expect("writes");
    drop(open);
    assert_eq!(fs::read(&at).expect("cat"), b"text, and more");
    let open = File::options().write(true).open(&at).expect("opens");
    fs::remove_file(&at).expect("rm");
    open.write_all_at(b"lost", 0).expect("writes");
    drop(open);
    assert!(names(&place.root).is_empty());
}

#[track_caller]
fn refused<T>(done: std::io::Result<T>, errno: i32) {
    let error = done.err().expect("it is refused");
    assert_eq!(error.raw_os_error(), Some(errno), "{error}");
}

fn what_may_not_stand_there(place: &Place) {
    let at = |name: &str| place.root.join(name);
    let file = File::create(at("file")).expect("creates");
    refused(file.set_len(8 << 40), libc::EFBIG);
    refused(file.write_all_at(b"x", 1 << 20), libc::EFBIG);
    file.write_all_at(b"x", (1 << 20) - 1).expect("a MiB");
    drop(file);
    assert_eq!(fs::metadata(at("file")).expect("stat").len(), 1 << 20);
    refused(
        File::options()
            .write(true)
            .open(at("file"))
            .and_then(|file| file.set_len(2 << 20)),
        libc::EFBIG,
    );
    refused(
        nix::unistd::truncate(&at("file"), 8 << 40).map_err(Into::into),
        libc::EFBIG,
    );
    let mode = nix::sys::stat::Mode::S_IRWXU;
    refused(
        nix::unistd::mkfifo(&at("fifo"), mode).map_err(Into::into),
        libc::EPERM,
    );
    refused(
        std::os::unix::net::UnixListener::bind(at("socket")),
        libc::EPERM,
    );
    refused(fs::hard_link(at("file"), at("link")), libc::EPERM);
    place.pushed("app.git", 1);
    refused(fs::rename(at("file"), at("app.git/file")), libc::EXDEV);
    assert_eq!(names(&place.root), ["app.git", "file"]);
    let said = report(&place.daemon().settings().gitmoor(&["status"]));
    for line in [
        "not allowed  fifo: not allowed here: ",
        "not allowed  socket: not allowed here: ",
        "not allowed  link: not allowed here: ",
        "not allowed  file: larger than the 1048576 bytes",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

/// What a close has answered is there.
fn what_was_committed_survives_a_crash(place: &Place) {
    let at = |name: String| place.root.join(name);
    for n in 0..20 {
        fs::write(at(format!("file-{n}")), format!("{n}")).expect("written");
        symlink(format!("file-{n}"), at(format!("link-{n}"))).expect("ln -s");
    }
    let open = File::create(at("open".to_owned())).expect("creates");
    open.write_all_at(b"never closed", 0).expect("writes");
    place.crash();
    for n in 0..20 {
        assert_eq!(
            fs::read(at(format!("link-{n}"))).expect("cat"),
            format!("{n}").as_bytes()
        );
    }
    assert_eq!(names(&place.root).len(), 40);
}

fn the_audit_trail_has_it(place: &Place) {
    let at = |name: &str| place.root.join(name);
    fs::write(at("list"), "x").expect("written");
    fs::rename(at("list"), at("other")).expect("mv");
    symlink("other", at("link")).expect("ln -s");
    fs::remove_file(at("other")).expect("rm");
    let output = place.daemon().settings().gitmoor(&["audit"]);
    let said = report(&output);
    for line in [
        "file-written list  nothing -> 1 bytes, blake3 ",
        "renamed other  list -> other",
        "linked link  nothing -> -> other",
        "unlinked other",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

/// Names beside repositories belong to the owner of the mount, whatever another user may try.
#[test]
fn of_another_user() {
    let ground = Ground::new(Kind::Dir, "");
    let at = |name: &str| ground.place.root.join(name);
    fs::write(at("list"), "root's").expect("written");
    fs::set_permissions(at("list"), Permissions::from_mode(0o644)).expect("chmod");
    fs::write(at("secret"), "root's").expect("written");
    fs::set_permissions(at("secret"), Permissions::from_mode(0o600)).expect("chmod");
    symlink("list", at("link")).expect("ln -s");
    assert_eq!(ground.sh_ok("cat $M/list $M/link"), "root'sroot's");
    for script in [
        "cat $M/secret",
        "echo x >$M/list",
        "echo x >>$M/link",
        "echo x >$M/mine",
        "ln -s list $M/mine",
        "ln -sfn /etc/passwd $M/link",
        "rm -f $M/list",
        "mv $M/list $M/mine",
        "chmod 666 $M/list",
        "chown $(id -u) $M/list",
        "truncate -s 0 $M/list",
        "ln $M/list $M/a.git/list",
        "mv $HOME/../intruder/.gitconfig $M/list",
    ] {
        let output = ground.sh(script);
        assert!(!output.status.success(), "{script}: {}", report(&output));
    }
    assert_eq!(fs::read(at("list")).expect("cat"), b"root's");
    assert_eq!(
        fs::read_link(at("link")).expect("readlink"),
        Path::new("list")
    );
    assert_eq!(
        names(&ground.place.root),
        ["a.git", "link", "list", "other.git", "secret"]
    );
    fs::set_permissions(at("list"), Permissions::from_mode(0o666)).expect("chmod");
    ground.sh_ok("echo theirs >$M/list");
    assert_eq!(fs::read(at("list")).expect("cat"), b"theirs\n");
}
