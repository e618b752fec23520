//! Repositories that are served while they are imported.

use super::{BOUND, import, listed, mixed, refused, same, settings, shape, status};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::place::Place;
use gitmoor_tests::s3::{Fault, Kind as S3};
use gitmoor_tests::wait;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

const HOOK: &str = "hooks/reference-transaction";

fn place() -> Place {
    Place::new(Kind::S3s, &Installed::newest())
}

/// An old server's repository, and a clone of somebody who pushes there.
fn old(place: &Place, init: &str) -> (Repo, Repo) {
    let old = mixed(place, "old", &format!("--bare {init}"));
    let clone = place.clone("", &old, "somebody");
    (old, clone)
}

fn borrows(bare: &Repo) -> bool {
    bare.dir.join("objects/info/alternates").exists()
}

fn go_over(clone: &Repo, bare: &Repo) {
    clone.ok(format!("remote set-url origin {}", bare.url()));
}

/// Nothing of the objects can be stored; then everything can.
#[test]
fn pushes_and_fetches_all_through_it() {
    let place = place();
    let (old, clone) = old(&place, "");
    let before = shape(&old);
    // A server that is down is not waited for long enough to be looked at.
    for kind in [S3::Put, S3::Part, S3::Get] {
        place.server().fail(kind, Fault::Hold, 1000);
    }
    let path = old.path().to_owned();
    let mut command = settings(&place).command(&["import", "--live", &path, "team/app.git"]);
    let mut importing = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    wait::until("it is served", BOUND, || listed(&place) == ["team/app.git"]);
    let bare = place.repo("team/app.git");
    assert_eq!(shape(&bare), before);
    assert!(borrows(&bare));
    wait::until("the import waits for the store", BOUND, || {
        let waits = settings(&place).status()["waits"].to_string();
        waits.contains("an import in team/app.git")
    });

    clone.commit("too late");
    let said = clone.refuse("push origin HEAD:late", "");
    assert!(said.contains("has moved: push to team/app.git"), "{said}");
    assert_eq!(shape(&old), before);

    place.server().heal();
    place.server().fail(S3::Part, Fault::Hold, 1000);
    place.server().fail(S3::Get, Fault::Hold, 1000);
    place.server().release();
    go_over(&clone, &bare);
    // What it borrows, a fork would lack at the end.
    let forked = settings(&place).gitmoor(&["repo", "fork", "team/app.git", "fork.git"]);
    let said = String::from_utf8_lossy(&forked.stderr);
    assert!(
        said.contains("borrows objects until its import has ended"),
        "{said}"
    );
    assert_eq!(listed(&place), ["team/app.git"]);
    clone.ok("push --quiet origin HEAD:late :light");
    let other = place.clone("", &bare, "another");
    assert_eq!(other.oid("origin/late"), clone.oid("HEAD"));
    assert!(borrows(&bare), "the import is still under way");
    place.server().heal();
    place.server().release();
    let ended = wait::poll(BOUND, || importing.try_wait().expect("wait"));
    assert!(ended.expect("it comes to its end").success());

    // Now the old one is of no use any more.
    assert!(!old.dir.join("gitmoor-lent").exists());
    fs::rename(&old.dir, place.scratch("gone")).expect("rename");
    place.cool();
    assert!(!borrows(&bare));
    bare.fsck();
    assert_eq!(bare.oid("late"), clone.oid("HEAD"));
    assert!(!bare.is("rev-parse --verify -q light"));
    place.clone("", &bare, "third").fsck();
    let imports = status(&place);
    assert_eq!(imports.len(), 1, "{imports:?}");
    assert_eq!(imports[0]["stage"], "done");
}

/// Whoever gives up before it is served has it served where it was.
#[test]
fn given_up_before_it_is_served() {
    let place = place();
    let (old, clone) = old(&place, "");
    let lock = old.dir.join("refs/heads/later.lock");
    fs::write(&lock, "").expect("a lock");
    let mut command = settings(&place).command(&["import", "--live", old.path(), "app.git"]);
    let mut importing = command.stderr(Stdio::null()).spawn().expect("it starts");
    wait::until("it is fenced", BOUND, || old.dir.join(HOOK).exists());
    clone.commit("meanwhile");
    clone.refuse("push origin HEAD:meanwhile", "");
    importing.kill().expect("kill");
    importing.wait().expect("it ends");
    wait::until("it is not fenced any more", BOUND, || {
        !old.dir.join(HOOK).exists()
    });
    clone.ok("push --quiet origin HEAD:meanwhile");
    fs::remove_file(&lock).expect("rm");
    import(&place, &["--live", old.path(), "app.git"]);
    same(&place, &old, "app.git");
}

/// Wherever it is interrupted, the same command goes on: what it does once is done once.
#[test]
fn interrupted_anywhere() {
    for point in [
        "import::begun=kill@1",
        "import::fenced=kill@1",
        "import::taken-over=kill@1",
        "import::begun=kill@2",
        "import::sent=kill@1",
        "import::noted=kill@2",
        "import::copied=kill@1",
        "import::verified=kill@1",
        "import::given=kill@1",
        "import::finished=kill@1",
    ] {
        let place = place();
        let (old, clone) = old(&place, "");
        let path = old.path().to_owned();
        place.daemon().arm(point);
        place.crash();
        let killed = settings(&place).gitmoor(&["import", "--live", &path, "app.git"]);
        assert!(!killed.status.success(), "{point}");
        place.daemon().arm("");
        place.crash();
        import(&place, &["--live", &path, "app.git"]);
        let bare = same(&place, &old, "app.git");
        assert!(!borrows(&bare), "{point}");
        clone.commit("late");
        clone.refuse("push origin HEAD:late", "");
        let again = import(&place, &[&path, "app.git"]);
        assert_eq!(again["already"], true, "{point}");
    }
}

/// Deleted for good, it takes with it what it has of the import, and nothing is left over.
#[test]
fn what_it_was_given_goes_with_it() {
    let place = Place::set(
        Kind::S3s,
        "trash-keep = \"0s\"\ngc-grace = \"0s\"\ngc-period = \"1h\"\n",
    );
    let (old, _) = old(&place, "");
    import(&place, &["--live", old.path(), "app.git"]);
    let settings = settings(&place);
    settings.gitmoor_ok(&["gc", "--trash-only"]);
    place.cool();
    same(&place, &old, "app.git");
    settings.gitmoor_ok(&["repo", "delete", "--yes", "app.git"]);
    settings.gitmoor_ok(&["gc", "--trash-only"]);
    settings.gitmoor_ok(&["gc", "--trash-only"]);
    let left: Vec<_> = place.server().objects().into_keys().collect();
    assert!(
        left.iter().all(|key| !key.contains("/objects/")),
        "{left:?}"
    );
}

/// Whoever has a ref locked when the fence comes may still move it: the import sees where it went.
#[test]
fn a_push_that_is_under_way() {
    let place = place();
    let (old, _) = old(&place, "");
    let lock = old.dir.join("refs/heads/later.lock");
    fs::write(&lock, format!("{}\n", old.oid("r0"))).expect("a lock");
    let mut command = settings(&place).command(&["import", "--live", old.path(), "app.git"]);
    let mut importing = command.stdout(Stdio::null()).spawn().expect("it starts");
    wait::until("it is fenced", BOUND, || old.dir.join(HOOK).exists());
    assert_eq!(listed(&place), [""; 0]);
    fs::rename(&lock, old.dir.join("refs/heads/later")).expect("it moves");
    let ended = wait::poll(BOUND, || importing.try_wait().expect("wait"));
    assert!(ended.expect("it goes on").success());
    let bare = same(&place, &old, "app.git");
    assert_eq!(bare.oid("later"), bare.oid("r0"));
}

#[test]
fn what_cannot_be_taken_over() {
    let place = place();
    let (old, clone) = old(&place, "");
    let hook = old.dir.join(HOOK);
    fs::create_dir_all(hook.parent().expect("a directory")).expect("mkdir");
    fs::write(&hook, "#!/bin/sh\nexit 0\n").expect("a hook");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("chmod");
    let live = ["--live", old.path(), "app.git"];
    let said = refused(&place, &live);
    assert!(
        said.contains(HOOK) && said.contains("put yours aside"),
        "{said}"
    );
    fs::remove_file(&hook).expect("rm");
    old.ok(format!(
        "config core.hooksPath {}",
        place.scratch("hooks").display()
    ));
    let said = refused(&place, &live);
    assert!(said.contains("core.hooksPath"), "{said}");
    old.ok("config --unset core.hooksPath");
    let said = refused(
        &place,
        &["--live", &format!("file://{}", old.path()), "app.git"],
    );
    assert!(said.contains("only a repository on this machine"), "{said}");
    // It is served where it was.
    assert_eq!(listed(&place), [""; 0]);
    assert!(status(&place).is_empty() && !hook.exists());
    clone.commit("more");
    clone.ok("push --quiet origin HEAD:more");
    import(&place, &live);
    same(&place, &old, "app.git");
}

/// One that is damaged is served with what it has, and keeps no other waiting; mounted again it goes on.
#[test]
fn a_mount_takes_over_a_tree() {
    let tree = tempfile::tempdir().expect("a directory");
    let place = place();
    let good = mixed(&place, "good", "--bare");
    let new = tree.path().join("team/good.git");
    fs::create_dir(tree.path().join("team")).expect("mkdir");
    fs::rename(&good.dir, &new).expect("rename");
    let good = place.git.at(&new);
    let reftable = tree.path().join("tables.git");
    let at = place.git.at(&place.scratch);
    at.ok(format!(
        "init --quiet --bare --ref-format=reftable {}",
        reftable.display()
    ));
    let tables = place.git.at(&reftable);
    let work = place.clone("", &tables, "work");
    work.commit("first");
    work.ok("push --quiet origin HEAD:main");
    place
        .daemon()
        .set("GITMOOR_FALLBACK", tree.path().to_str().expect("text"));
    place.crash();
    wait::until("all is here", BOUND, || {
        let names = listed(&place);
        names == ["tables.git", "team/good.git"]
            && names.iter().all(|name| !borrows(&place.repo(name)))
    });
    same(&place, &good, "team/good.git");
    same(&place, &tables, "tables.git");
    work.commit("late");
    let said = work.refuse("push origin HEAD:main", "");
    assert!(said.contains("has moved: push to tables.git"), "{said}");
}
