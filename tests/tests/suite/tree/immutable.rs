//! Finished object files cannot be changed, by anybody, in any way.

use crate::mounted;
use gitmoor_tests::git::Repo;
use gitmoor_tests::place::Place;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

mounted!(
    loose_objects,
    packs,
    times_may_move,
    a_finished_name_is_not_replaced
);

/// Where a loose object is.
fn loose(bare: &Repo, oid: &str) -> PathBuf {
    bare.dir.join("objects").join(&oid[..2]).join(&oid[2..])
}

#[track_caller]
fn forbidden(result: io::Result<()>) {
    let code = result.expect_err("must be refused").raw_os_error();
    assert!(matches!(code, Some(libc::EPERM | libc::EACCES)), "{code:?}");
}

/// Every way to change a file's bytes.
fn cannot_change(path: &Path) {
    let before = fs::read(path).expect("read");
    let open = |options: &mut OpenOptions| options.open(path).map(drop);
    // Whether it was just finished or has been stored makes no difference.
    forbidden(open(OpenOptions::new().write(true)));
    forbidden(open(OpenOptions::new().append(true)));
    forbidden(open(OpenOptions::new().write(true).truncate(true)));
    forbidden(nix::unistd::truncate(path, 3).map_err(io::Error::from));
    assert!(fs::read(path).expect("read") == before);
    let mode = fs::metadata(path).expect("stat").permissions().mode();
    assert_eq!(mode & 0o222, 0, "{mode:o}");
}

fn loose_objects(place: &Place) {
    let (bare, _) = place.pushed("app.git", 2);
    let tip = bare.oid("main");
    cannot_change(&loose(&bare, &tip));
    place.restart();
    cannot_change(&loose(&bare, &tip));
    bare.fsck();
}

fn packs(place: &Place) {
    let (bare, _) = place.pushed("app.git", 120);
    let files = || bare.names("objects/pack").into_iter();
    for name in files().filter(|n| [".pack", ".idx", ".rev"].iter().any(|e| n.ends_with(e))) {
        cannot_change(&bare.dir.join("objects/pack").join(name));
    }
    place.restart();
    for name in files().filter(|n| n.ends_with(".pack") || n.ends_with(".idx")) {
        cannot_change(&bare.dir.join("objects/pack").join(name));
    }
    bare.fsck();
}

/// git freshens an object that it would otherwise write again, and chmods what it has.
fn times_may_move(place: &Place) {
    let (bare, _) = place.pushed("app.git", 2);
    place.restart();
    let path = loose(&bare, &bare.oid("main"));
    let now = FileTimes::new().set_modified(SystemTime::now());
    File::open(&path)
        .expect("open")
        .set_times(now)
        .expect("utimes");
    fs::set_permissions(&path, Permissions::from_mode(0o444)).expect("chmod to what it is");
    let blob = bare.feed("hash-object -w --stdin", "twice\n");
    assert_eq!(bare.feed("hash-object -w --stdin", "twice\n"), blob);
    bare.fsck();
}

fn a_finished_name_is_not_replaced(place: &Place) {
    let (bare, _) = place.pushed("app.git", 2);
    let path = loose(&bare, &bare.oid("main"));
    let before = fs::read(&path).expect("read");
    let other = path.with_file_name("tmp_obj_other");
    fs::write(&other, "other bytes").expect("write");
    // Nobody could tell the difference if the kernel said it was done and it was not.
    let _ = fs::rename(&other, &path);
    let _ = fs::remove_file(&other);
    assert!(fs::read(&path).expect("read") == before);
    fs::write(&other, "other bytes").expect("write");
    let linked = fs::hard_link(&other, &path).expect_err("the name is taken");
    assert_eq!(linked.raw_os_error(), Some(libc::EEXIST));
    fs::remove_file(&other).expect("rm");
    bare.fsck();
}
