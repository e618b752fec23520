//! An import that is cut off, wherever that is, goes on where it was.

use super::{BOUND, import, listed, mixed, same, settings, status};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::{History, noise};
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use gitmoor_tests::s3::{self, Counts, Fault};
use gitmoor_tests::wait;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A mirror of git/git for the test that needs it.
const LARGE: &str = "GITMOOR_TEST_LARGE_REPOSITORY";

const MIB: u64 = 1 << 20;

/// Of an upload in parts.
const PART: u64 = 8 * MIB;

/// One large pack, which goes up in parts, a small one, and many loose objects.
fn heavy(place: &Place) -> Repo {
    let source = mixed(place, "source", "--bare");
    for (number, size) in [(0, 40), (1, 3)] {
        let blob = source.feed(
            "hash-object -w --stdin",
            noise((size * MIB) as usize, number),
        );
        source.ok(format!("update-ref refs/blobs/n{number} {blob}"));
        source.ok("repack -d --quiet");
    }
    let dir = place.scratch("small");
    std::fs::create_dir(&dir).expect("mkdir");
    let paths = (0..300u64).map(|number| {
        let path = dir.join(number.to_string());
        std::fs::write(&path, noise(2000, 100 + number)).expect("writes");
        format!("{}\n", path.display())
    });
    let blobs = source.feed("hash-object -w --stdin-paths", paths.collect::<String>());
    let refs = blobs.lines().enumerate();
    let refs = refs.map(|(number, blob)| format!("create refs/blobs/small{number} {blob}\n"));
    source.feed("update-ref --stdin", refs.collect::<String>());
    source
}

fn begin(place: &Place, args: &[&str]) -> Child {
    let mut command = settings(place).command(&[&["import"], args].concat());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("gitmoor")
}

fn size_of(source: &Repo) -> u64 {
    let files = gitmoor_tests::files::below(&source.dir.join("objects"));
    files
        .iter()
        .map(|at| at.metadata().expect("stat").len())
        .sum()
}

#[track_caller]
fn economical(counts: Counts, source: &Repo) {
    let size = size_of(source);
    let sent = counts.bytes_in;
    assert!(sent * 10 <= size * 11, "{sent} bytes sent of {size}");
}

/// The daemon dies after each seventh of the bytes.
#[test]
fn daemon_killed() {
    let place = Place::set(Kind::S3s, "");
    let source = heavy(&place);
    let size = size_of(&source);
    place.server().reset();
    for part in 1..7 {
        let mut command = begin(&place, &[source.path(), "app.git"]);
        wait::until("so much is sent", BOUND, || {
            place.server().counts().bytes_in >= size * part / 7
        });
        place.crash();
        command.wait().expect("ends");
        assert_eq!(listed(&place), [""; 0]);
        assert_eq!(status(&place)[0]["stage"], "copying");
    }
    import(&place, &[source.path(), "app.git"]);
    economical(place.server().counts(), &source);
    assert_eq!(place.server().open_uploads(), 0);
    same(&place, &source, "app.git");
}

/// The command dies; the daemon notices, and the next command goes on.
#[test]
fn command_killed() {
    let place = Place::set(Kind::S3s, "");
    let source = heavy(&place);
    let size = size_of(&source);
    place.server().reset();
    for part in 1..4 {
        let mut command = begin(&place, &[source.path(), "app.git"]);
        wait::until("so much is sent", BOUND, || {
            place.server().counts().bytes_in >= size * part / 4
        });
        command.kill().expect("SIGKILL");
        command.wait().expect("ends");
    }
    import(&place, &[source.path(), "app.git"]);
    economical(place.server().counts(), &source);
    same(&place, &source, "app.git");
}

/// It is waited for like a publication's, and what is waited for is said.
#[test]
fn a_store_that_refuses_connections_is_waited_for() {
    let place = Place::set(Kind::S3s, "publish-timeout = \"5m\"\n");
    let source = mixed(&place, "source", "--bare");
    place.server().set_down(true);
    let command = begin(&place, &[source.path(), "app.git"]);
    wait::until("it says that it waits", BOUND, || {
        let waits = settings(&place).status()["waits"].to_string();
        waits.contains("an import in app.git waits for") && waits.contains("did not answer")
    });
    place.server().set_down(false);
    let output = command.wait_with_output().expect("ends");
    assert!(output.status.success(), "{}", report(&output));
    same(&place, &source, "app.git");
}

/// Two parts are on their way when the store goes: only they may be sent again.
#[test]
fn store_away() {
    let place = Place::set(Kind::S3s, "publish-timeout = \"1s\"\n");
    let source = heavy(&place);
    place.server().reset();
    place.server().fail(s3::Kind::Part, Fault::Hold, 2);
    let command = begin(&place, &[source.path(), "app.git"]);
    wait::until("parts are sent", BOUND, || {
        place.server().counts().part >= 3
    });
    place.server().set_down(true);
    place.server().release();
    let output = command.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(1), "{}", report(&output));
    let failed = &status(&place)[0];
    assert_eq!(failed["stage"], "failed");
    assert!(
        failed["reason"].to_string().contains("did not answer"),
        "{failed:#}"
    );
    place.server().set_down(false);
    import(&place, &[source.path(), "app.git"]);
    let (sent, size) = (place.server().counts().bytes_in, size_of(&source));
    assert!(sent <= size + size / 10 + 2 * PART, "{sent} of {size}");
    same(&place, &source, "app.git");
}

/// gc finds no leftovers in what is under way, however old that is; of what is given up nothing is left.
#[test]
fn gc_meanwhile() {
    let place = Place::set(Kind::S3s, "gc-grace = \"0s\"\ntrash-keep = \"0s\"\n");
    let source = heavy(&place);
    place.daemon().umount();
    place.daemon().arm("import::copied=kill@1");
    place.daemon().launch();
    place.server().reset();
    begin(&place, &[source.path(), "app.git"])
        .wait()
        .expect("ends");
    place.daemon().death(BOUND).expect("died");
    place.daemon().arm("");
    place.daemon().launch();
    place.server().age(Duration::from_secs(30 * 24 * 3600));
    let sent = place.server().counts().bytes_in;
    settings(&place).gitmoor_ok(&["gc", "--trash-only"]);
    import(&place, &[source.path(), "app.git"]);
    let again = place.server().counts().bytes_in - sent;
    assert!(again < 10_000, "{again} bytes sent again");
    same(&place, &source, "app.git");

    place.daemon().umount();
    place.daemon().arm("import::copied=kill@1");
    place.daemon().launch();
    begin(&place, &[source.path(), "other.git"])
        .wait()
        .expect("ends");
    place.daemon().death(BOUND).expect("died");
    place.daemon().arm("");
    place.daemon().launch();
    let all = status(&place);
    let id = all[1]["id"].as_str().expect("an id");
    let of_it = |place: &Place| {
        let objects = place.server().objects();
        objects.keys().filter(|key| key.contains(id)).count()
    };
    assert!(of_it(&place) > 0);
    settings(&place).gitmoor_ok(&["import", "--abandon", "other.git"]);
    settings(&place).gitmoor_ok(&["gc", "--trash-only"]);
    assert_eq!(of_it(&place), 0);
    assert!(!settings(&place).data.join("imports").join(id).exists());
}

/// How far it is, file by file.
#[test]
fn status_of_one_under_way() {
    let place = Place::set(Kind::S3s, "");
    let source = heavy(&place);
    place.daemon().umount();
    place.daemon().arm("import::verified=kill@1");
    place.daemon().launch();
    begin(&place, &[source.path(), "team/app.git"])
        .wait()
        .expect("ends");
    place.daemon().death(BOUND).expect("died");
    place.daemon().arm("");
    place.daemon().launch();
    let import_of = &status(&place)[0];
    assert_eq!(import_of["stage"], "verifying");
    assert_eq!(import_of["repository"], "team/app.git");
    assert_eq!(import_of["source"], source.path());
    let files = import_of["files"].as_array().expect("a list");
    assert!(
        files.iter().all(|file| file["verified"] == true),
        "{import_of:#}"
    );
    let packs = files
        .iter()
        .filter(|file| file["path"].to_string().contains(".pack\""));
    assert_eq!(packs.count() as u64, source.counted("packs") + 1);
    let text = settings(&place).gitmoor_ok(&["import", "--status"]);
    assert!(text.contains("team/app.git  verifying"), "{text}");
    // What was read back is not read back again.
    place.server().reset();
    import(&place, &[source.path(), "team/app.git"]);
    let counts = place.server().counts();
    assert!(
        counts.bytes_out < 100_000 && counts.bytes_in == 0,
        "{counts:?}"
    );
    same(&place, &source, "team/app.git");
}

/// Begun through one machine that dies, ended through another; and one through a client. All see both.
#[test]
fn through_another_machine() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    let source = cluster.git.at(cluster.scratch("source"));
    source.ok("init --quiet");
    source.import(&History::default().files("main", 300, 60_000, 100).stream());
    let args = ["import", source.path(), "team/app.git"];
    let mut command = cluster.settings(0).command(&args);
    let mut command = command.stderr(Stdio::null()).spawn().expect("gitmoor");
    wait::until("it is known elsewhere", BOUND, || {
        let known = cluster.ok(1, &["import", "--status"]);
        known.contains("stored: ") && !known.contains("stored: 0") || known.contains("done")
    });
    cluster.kill9(0);
    command.wait().expect("ends");
    cluster.ok(1, &args);
    let client = cluster.mount_client();
    cluster.ok(client, &["import", source.path(), "other.git"]);
    for machine in [1, 2, client] {
        for name in ["team/app.git", "other.git"] {
            let bare = cluster.repo(machine, name);
            assert_eq!(bare.refs(), source.refs(), "{machine} {name}");
            bare.fsck();
        }
    }
}

/// Twenty of them, in order.
fn moments(end: u64) -> Vec<u64> {
    let mut random = StdRng::seed_from_u64(20);
    let mut moments: Vec<_> = (0..20).map(|_| random.random_range(0..end)).collect();
    moments.sort_unstable();
    moments
}

/// The whole thing: 850,000 objects, twenty deaths at random, nothing sent twice to speak of.
#[test]
#[ignore = "needs a mirror of git/git, which GITMOOR_TEST_LARGE_REPOSITORY names; nightly"]
fn git_itself() {
    let mirror = std::env::var_os(LARGE).expect(LARGE);
    let place = Place::set(Kind::S3s, "");
    let source = place.git.at(Path::new(&mirror));
    place.server().reset();
    let size = size_of(&source);
    let limit = Duration::from_secs(3600);
    for progress in moments(size + size * 9 / 10) {
        let mut command = begin(&place, &[source.path(), "git.git"]);
        wait::until("so much is sent and read back", limit, || {
            let counts = place.server().counts();
            counts.bytes_in + counts.bytes_out >= progress
        });
        place.crash();
        command.wait().expect("ends");
        assert_eq!(listed(&place), [""; 0]);
    }
    let mut last = begin(&place, &[source.path(), "git.git"]);
    wait::until("it is there", limit, || {
        last.try_wait().expect("waits").is_some()
    });
    assert_eq!(listed(&place), ["git.git"]);
    economical(place.server().counts(), &source);
    let bare = place.repo("git.git");
    assert_eq!(bare.refs(), source.refs());
    let walk = |repo: &Repo| {
        let output = repo.run_within(limit, "rev-list --all --objects", b"");
        assert!(output.status.success(), "{}", report(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert!(walk(&bare) == walk(&source), "the same objects");
}
