//! A user's number decides neither the daemon's memory nor its life.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::hostile::{Ground, as_intruder};
use gitmoor_tests::process::{memory, report};
use gitmoor_tests::wait;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// How much more memory the daemon may come to need, whatever a file's size.
const SOME: u64 = 200 * MIB;

/// The most memory that the daemon has had, bytes.
fn peak(ground: &Ground) -> u64 {
    let pid = ground.place.daemon().pid().expect("it runs");
    memory(pid, "VmHWM")
}

#[track_caller]
fn bounded(ground: &Ground, before: u64, what: &str) {
    let grown = peak(ground).saturating_sub(before);
    assert!(grown < SOME, "{what}: {} MiB more", grown / MIB);
    ground.unharmed();
}

/// A file without bytes on the disk.
fn sparse(ground: &Ground, name: &str, size: u64) {
    let at = ground.mine.dir.join(name);
    let made = as_intruder(|| File::create(at)?.set_len(size));
    made.expect("the intruder's own repository");
}

#[test]
fn a_config_of_any_size_is_written_and_not_read() {
    let ground = Ground::new(Kind::Dir, "");
    let before = peak(&ground);
    let config = ground.mine.dir.join("config");
    let written = as_intruder(|| File::options().append(true).open(&config)?.set_len(3 << 30));
    drop(written);
    bounded(&ground, before, "config");
    ground.place.crash();
    ground.unharmed();
    as_intruder(|| File::options().write(true).open(&config)?.set_len(100)).expect("it is theirs");
    ground.sh_ok("printf '[core]\\n\\trepositoryformatversion = 0\\n\\tbare = true\\n' >config");
    ground.mine.fsck();
}

/// Names under `objects/` that git may rewrite have any size, in the catalog too; they are copied piece by piece.
#[test]
fn a_large_file_that_may_be_rewritten_is_copied_in_pieces() {
    let ground = Ground::new(Kind::Dir, "idle-publish = \"50ms\"\n");
    let info = |name: &str| ground.mine.dir.join("objects/info").join(name);
    // One byte in eight is there: a file that is mostly holes gets no name here.
    let large = |at: &Path| {
        let file = File::create(at)?;
        file.set_len(300 * MIB)?;
        (0..600).try_for_each(|n| file.write_all_at(&[1; 64 << 10], n * MIB / 2))
    };
    as_intruder(|| large(&info("tmp_large"))).expect("the intruder's own repository");
    as_intruder(|| fs::rename(info("tmp_large"), info("large"))).expect("rename");
    let settings = ground.place.daemon().settings().clone();
    wait::until("it is published", Duration::from_secs(60), || {
        settings.status()["pending"]["files"] == 0
    });
    let before = peak(&ground);
    as_intruder(|| fs::rename(info("large"), info("renamed"))).expect("rename");
    bounded(&ground, before, "renamed");
    as_intruder(|| fs::hard_link(info("renamed"), info("linked"))).expect("link");
    bounded(&ground, before, "linked");
    as_intruder(|| File::options().append(true).open(info("linked"))).expect("open");
    bounded(&ground, before, "written to");
    let checked = ground.gitmoor(&["gc", "a.git"]);
    assert!(checked.status.success(), "{}", report(&checked));
    bounded(&ground, before, "gc");
}

/// Terabytes of nothing would be read to be checked, counted against the room that all users' files have, and stored.
#[test]
fn a_file_that_is_mostly_holes_gets_no_final_name() {
    const HUGE: u64 = 8 << 40;
    let ground = Ground::new(Kind::Dir, "idle-publish = \"50ms\"\n");
    let at = |name: &str| ground.mine.dir.join("objects").join(name);
    let pack = format!("pack/pack-{}.pack", "1".repeat(40));
    for (temporary, name) in [
        ("pack/tmp_pack_1", pack.as_str()),
        ("pack/tmp_idx_1", "pack/pack-2.idx"),
        ("info/tmp_graph", "info/commit-graph"),
        ("tmp_obj_1", "ab/22222222222222222222222222222222222222"),
    ] {
        ground.sh_ok("mkdir -p objects/ab");
        sparse(&ground, &format!("objects/{temporary}"), HUGE);
        // With the beginning that it should have.
        let begun = as_intruder(|| {
            let file = File::options().write(true).open(at(temporary))?;
            file.write_all_at(b"PACK\0\0\0\x02\0\0\0\x01", 0)
        });
        begun.expect("it is theirs");
        for give in [fs::rename::<PathBuf, PathBuf>, fs::hard_link] {
            let given = as_intruder(|| give(at(temporary), at(name)));
            let error = given.expect_err("no name for holes").raw_os_error();
            assert_eq!(error, Some(libc::EFBIG), "{name}");
        }
        // Written in place; the close says so, and the name is free again.
        let file = as_intruder(|| File::create(at(name))).expect("it is theirs");
        as_intruder(|| file.set_len(HUGE)).expect("it is theirs");
        drop(file);
        wait::until("it has the name no more", Duration::from_secs(60), || {
            !at(name).exists()
        });
    }
    // In the making, and one that may be rewritten and has grown since it was finished.
    sparse(&ground, "objects/pack/tmp_pack_2", HUGE);
    let grown = as_intruder(|| {
        fs::write(at("info/grown.tmp"), "small")?;
        fs::rename(at("info/grown.tmp"), at("info/grown"))?;
        File::options()
            .write(true)
            .open(at("info/grown"))?
            .set_len(HUGE)
    });
    grown.expect("it is theirs");
    ground.unharmed();
    let out = ground.place.scratch("out");
    for command in [
        &["gc", "a.git"][..],
        &["repo", "fork", "a.git", "b.git"],
        &["warm", "a.git"],
        &["export", "a.git", out.to_str().expect("UTF-8")],
    ] {
        let done = ground.gitmoor(command);
        assert!(done.status.success(), "{command:?}: {}", report(&done));
    }
    wait::until("it has the name no more", Duration::from_secs(60), || {
        !at("info/grown").exists()
    });
}

/// It has its final name while it is open, and loses it only then.
#[test]
fn terabytes_that_a_user_holds_open_end_no_command() {
    let ground = Ground::new(Kind::Dir, "idle-publish = \"50ms\"\n");
    let at = ground.mine.dir.join("objects/info/held");
    let held = as_intruder(|| File::create(&at)).expect("the intruder's own repository");
    as_intruder(|| held.set_len(8 << 40)).expect("it is theirs");
    as_intruder(|| held.write_all_at(b"x", 4 << 40)).expect("it is theirs");
    let hole = rustix::fs::seek(&held, rustix::fs::SeekFrom::Data(0)).expect("data");
    assert!(hole > 3 << 40, "data at {hole}");
    let out = ground.place.scratch("out");
    for command in [
        &["warm", "a.git"][..],
        &["export", "a.git", out.to_str().expect("UTF-8")],
        &["gc", "a.git"],
        &["repo", "fork", "a.git", "b.git"],
    ] {
        let done = ground.gitmoor(command);
        let said = report(&done);
        assert!(done.status.success(), "{command:?}: {said}");
        assert!(!said.contains("TiB"), "{command:?}: {said}");
    }
    assert!(at.exists(), "it is held open all the while");
    assert!(!out.join("objects/info/held").exists());
    drop(held);
    ground.unharmed();
}

#[test]
fn an_import_reads_no_file_that_is_mostly_holes() {
    let ground = Ground::new(Kind::Dir, "");
    ground.sh_ok("git clone -q --bare --no-local $M/a.git $HOME/old.git");
    let old = ground.home.join("old.git");
    let pack = old.join(format!("objects/pack/pack-{}.pack", "1".repeat(40)));
    as_intruder(|| File::create(&pack)?.set_len(8 << 40)).expect("it is theirs");
    as_intruder(|| File::create(pack.with_extension("idx"))).expect("it is theirs");
    let done = ground.gitmoor(&["import", old.to_str().expect("UTF-8"), "new.git"]);
    let said = report(&done);
    assert!(!done.status.success(), "{said}");
    assert!(
        said.contains("holes") || said.contains("pack-1111"),
        "{said}"
    );
    ground.unharmed();
}
