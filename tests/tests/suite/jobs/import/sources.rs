//! Each kind of source comes in as it is.

use super::{import, listed, mixed, same, settings, shape, status};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use std::fs;

fn place(kind: Kind) -> Place {
    Place::new(kind, &Installed::newest())
}

fn packs(repo: &Repo, dir: &str) -> Vec<String> {
    let names = repo.names(dir).into_iter();
    names.filter(|name| name.starts_with("pack-")).collect()
}

fn of_a_disk(kind: Kind) {
    let place = place(kind);
    let source = mixed(&place, "source", "--bare");
    let was = packs(&source, "objects/pack");
    let done = import(&place, &[source.path(), "team/app.git"]);
    assert_eq!(done["already"], false);
    assert_eq!(done["refs"], 9, "{done:#}");
    assert_eq!(done["bytes"], done["stored_bytes"], "{done:#}");
    let bare = same(&place, &source, "team/app.git");
    let now = packs(&bare, "objects/pack");
    assert!(was.iter().all(|name| now.contains(name)), "{was:?} {now:?}");
    assert_eq!(bare.counted("count"), 0, "loose objects are in a pack");
    assert_eq!(bare.ok("config --local core.bare"), "true");
    // It is a repository like any other.
    let work = place.clone("", &bare, "clone");
    work.ok("checkout --quiet -b next origin/main");
    work.commit("more");
    work.ok("push --quiet origin next");
    assert_eq!(bare.oid("next"), work.oid("HEAD"));
    // Once more is nothing more.
    let again = import(&place, &[source.path(), "team/app.git"]);
    assert_eq!(again["already"], true);
    assert_eq!(status(&place)[0]["stage"], "done");
    settings(&place).gitmoor_ok(&["fsck", "team/app.git", "--deep"]);
}

#[test]
fn of_a_disk_into_a_directory() {
    of_a_disk(Kind::Dir);
}

#[test]
fn of_a_disk_into_s3() {
    of_a_disk(Kind::S3s);
}

#[test]
fn every_object_is_hashed_on_demand() {
    let place = place(Kind::S3s);
    let source = mixed(&place, "source", "--bare");
    let (requests, full) = (place.server().counts(), "--verify=full");
    import(&place, &[full, source.path(), "app.git"]);
    assert!(
        place.server().counts().get > requests.get,
        "it is read back"
    );
    same(&place, &source, "app.git");
}

/// Of a repository with a work tree: what belongs to a worktree stays.
#[test]
fn of_a_work_tree() {
    let place = place(Kind::Dir);
    let source = mixed(&place, "source", "");
    let expected = shape(&source);
    source.ok("update-ref refs/bisect/bad r0");
    source.ok("update-ref refs/worktree/mine r0");
    let linked = place.scratch("linked");
    source.ok(format!("worktree add --quiet {} r1", linked.display()));
    let linked = place.git.at(linked);
    linked.ok("update-ref refs/bisect/good r1");
    for (from, name) in [(&source, "main.git"), (&linked, "linked.git")] {
        import(&place, &[from.path(), name]);
        assert_eq!(shape(&place.repo(name)), expected);
    }
}

#[test]
fn with_a_detached_head() {
    let place = place(Kind::Dir);
    let source = mixed(&place, "source", "--bare");
    let lost = source.ok("commit-tree -m detached r0^{tree}");
    source.ok(format!("update-ref --no-deref HEAD {lost}"));
    import(&place, &[source.path(), "app.git"]);
    let bare = same(&place, &source, "app.git");
    assert_eq!(bare.oid("HEAD"), lost);
}

#[test]
fn with_sha256() {
    let place = place(Kind::Dir);
    let source = mixed(&place, "source", "--bare --object-format=sha256");
    import(&place, &["--verify=full", source.path(), "app.git"]);
    let bare = same(&place, &source, "app.git");
    assert_eq!(bare.ok("rev-parse --show-object-format"), "sha256");
    let bundle = place.scratch("b.bundle");
    let bundle = bundle.to_str().expect("UTF-8");
    source.ok(format!("bundle create --quiet {bundle} --all"));
    import(&place, &[bundle, "bundle.git"]);
    assert_eq!(
        shape(&place.repo("bundle.git")).objects,
        shape(&source).objects
    );
}

#[test]
fn with_reftables() {
    let place = place(Kind::Dir);
    if !place.git.has((2, 45), "reftable") {
        return;
    }
    let source = mixed(&place, "source", "--bare --ref-format=reftable");
    import(&place, &[source.path(), "app.git"]);
    same(&place, &source, "app.git");
}

/// What it borrows comes along, from however far.
#[test]
fn with_alternates() {
    let place = place(Kind::Dir);
    let pool = mixed(&place, "pool", "--bare");
    let middle = place.clone("--bare --shared", &pool, "middle.git");
    let source = place.scratch("source.git");
    let at = place.git.at(&place.scratch);
    at.ok(format!(
        "clone --quiet --bare --shared {} {}",
        middle.path(),
        source.display()
    ));
    let source = place.git.at(source);
    let own = source.ok("commit-tree -m own main^{tree} -p main");
    source.ok(format!("update-ref refs/heads/own {own}"));
    import(&place, &[source.path(), "app.git"]);
    fs::rename(&pool.dir, place.scratch("away")).expect("rename");
    fs::rename(place.scratch("away"), &pool.dir).expect("rename");
    let bare = same(&place, &source, "app.git");
    assert!(!bare.dir.join("objects/info/alternates").exists());
}

#[test]
fn of_a_bundle() {
    let place = place(Kind::Dir);
    let source = mixed(&place, "source", "--bare");
    let bundle = place.scratch("app.bundle");
    let bundle = bundle.to_str().expect("UTF-8");
    source.ok(format!("bundle create --quiet {bundle} --all"));
    import(&place, &[bundle, "app.git"]);
    let bare = place.repo("app.git");
    // A bundle has no symbolic refs.
    assert_eq!(bare.refs(), source.refs());
    assert_eq!(shape(&bare).objects, shape(&source).objects);
    assert_eq!(bare.ok("symbolic-ref HEAD"), "refs/heads/main");
    bare.fsck();
    let left = fs::read_dir(settings(&place).data.join("imports")).expect("its home");
    assert_eq!(left.count(), 0, "what was fetched is removed");
}

#[test]
fn of_a_url() {
    let place = place(Kind::Dir);
    let source = mixed(&place, "source", "--bare");
    source.ok("symbolic-ref HEAD refs/heads/r0");
    import(&place, &[&source.url(), "app.git"]);
    let bare = place.repo("app.git");
    assert_eq!(bare.refs(), source.refs());
    assert_eq!(shape(&bare).objects, shape(&source).objects);
    assert_eq!(bare.ok("symbolic-ref HEAD"), "refs/heads/r0");
    bare.fsck();
}

#[test]
fn of_nothing_yet() {
    let place = place(Kind::Dir);
    let source = place.scratch("empty.git");
    let at = place.git.at(&place.scratch);
    at.ok(format!("init --quiet --bare -b trunk {}", source.display()));
    import(&place, &[source.to_str().expect("UTF-8"), "app.git"]);
    let bare = place.repo("app.git");
    assert_eq!(bare.ok("symbolic-ref HEAD"), "refs/heads/trunk");
    assert_eq!(bare.refs(), "");
}

#[test]
fn with_many_refs() {
    let place = place(Kind::Dir);
    let source = place.work("source");
    source.import(&gitmoor_tests::history::refs(25_000));
    import(&place, &[source.path(), "app.git"]);
    assert_eq!(place.repo("app.git").refs(), source.refs());
}

/// One that cannot be imported does not keep the others.
#[test]
fn of_a_tree() {
    let place = place(Kind::Dir);
    let sound = mixed(&place, "tree/team/sound", "");
    let linked = place.scratch("tree/linked");
    sound.ok(format!("worktree add --quiet {} r0", linked.display()));
    let bare = mixed(&place, "tree/bare.git", "--bare");
    let broken = mixed(&place, "tree/broken.git", "--bare");
    mixed(&place, "tree/twice", "--bare");
    mixed(&place, "tree/twice.git", "--bare");
    let gone = broken.oid("main^{tree}");
    for pack in broken.names("objects/pack") {
        fs::remove_file(broken.dir.join("objects/pack").join(pack)).expect("rm");
    }
    let tree = place.scratch("tree");
    let tree = tree.to_str().expect("UTF-8");
    let run = |settings: &Settings| {
        let output = settings.gitmoor(&["import", "--recursive", tree, "in"]);
        assert_eq!(output.status.code(), Some(1), "{}", report(&output));
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let names = ["in/bare.git", "in/team/sound.git", "in/twice.git"];
    for _ in 0..2 {
        let (told, failed) = run(&settings(&place));
        assert!(told.contains("imported: 3, failed: 2"), "{told}");
        assert!(failed.contains("broken.git"), "{failed}");
        assert!(failed.contains("would be in/twice.git too"), "{failed}");
        assert_eq!(listed(&place), names);
    }
    let of_broken = |one: &serde_json::Value| one["repository"] == "in/broken.git";
    let failed = status(&place).into_iter().find(of_broken);
    assert_eq!(failed.expect("it is known")["stage"], "failed", "{gone}");
    same(&place, &sound, "in/team/sound.git");
    same(&place, &bare, "in/bare.git");
}
