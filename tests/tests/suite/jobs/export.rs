//! `gitmoor export`: whoever leaves takes everything along; and with the bucket and git alone, by hand.

use gitmoor_model::RepoId;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::files::below;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::history::{self, History};
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn settings(place: &Place) -> Settings {
    place.daemon().settings().clone()
}

/// A pack, loose objects, tags of tags, a symbolic ref.
fn busy(place: &Place, options: &str) -> Repo {
    let bare = place.init("team/app.git", options);
    let path = place.scratch("work");
    let disk = place.git.at(&place.scratch);
    let format = options
        .split(' ')
        .find(|word| word.contains("object-format"));
    disk.ok(format!(
        "init --quiet {} {}",
        format.unwrap_or(""),
        path.display()
    ));
    let work = place.git.at(path);
    work.import(&History::default().commits("main", 60).stream());
    work.ok("tag -a -m one one main~3");
    work.ok("tag -a -m two two one");
    work.ok(format!("push --quiet {} main one two", bare.url()));
    work.import(&History::seeded(1).commits("side", 1).stream());
    work.ok(format!("push --quiet {} side", bare.url()));
    bare.ok("symbolic-ref refs/remotes/origin/HEAD refs/heads/side");
    bare
}

fn shape(repo: &Repo) -> [String; 3] {
    let refs = "--format=%(objectname) %(*objectname) %(refname) %(symref)";
    let mut objects: Vec<_> = repo
        .ok("rev-list --all --objects")
        .lines()
        .map(str::to_owned)
        .collect();
    objects.sort();
    [
        repo.ok(["for-each-ref", refs]),
        fs::read_to_string(repo.dir.join("HEAD")).expect("HEAD"),
        objects.join("\n"),
    ]
}

fn dest(place: &Place, name: &str) -> (PathBuf, String) {
    let path = place.scratch(name);
    let text = path.to_str().expect("UTF-8").to_owned();
    (path, text)
}

/// Nothing half-made, and no temporary directory, is left.
#[track_caller]
fn left(place: &Place) -> Vec<String> {
    let names = gitmoor_tests::git::names(&place.scratch).into_iter();
    names.filter(|name| name.contains("export")).collect()
}

fn as_a_repository(kind: Kind, options: &str) {
    let place = Place::new(kind, &Installed::newest());
    let bare = busy(&place, options);
    let (path, to) = dest(&place, "exported.git");
    settings(&place).gitmoor_ok(&["export", "--full", "team/app.git", &to]);
    let out = place.git.at(path);
    assert_eq!(shape(&out), shape(&bare));
    out.fsck();
    let expected = bare.names("objects/pack");
    let packs = out.names("objects/pack");
    assert!(
        expected.iter().all(|name| packs.contains(name)),
        "{expected:?} {packs:?}"
    );
    assert!(!out.dir.join("hooks").exists());
    // It is taken now.
    let was = shape(&out);
    let again = settings(&place).gitmoor(&["export", "team/app.git", &to]);
    assert_eq!(again.status.code(), Some(1), "{}", report(&again));
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing is overwritten"));
    assert_eq!(shape(&out), was);
    assert_eq!(left(&place), ["exported.git"]);
    // And back in again.
    settings(&place).gitmoor_ok(&["import", &to, "back.git"]);
    assert_eq!(shape(&place.repo("back.git")), shape(&bare));
}

#[test]
fn as_a_repository_out_of_a_directory() {
    as_a_repository(Kind::Dir, "");
}

#[test]
fn as_a_repository_out_of_s3() {
    as_a_repository(Kind::S3s, "");
}

#[test]
fn with_sha256() {
    as_a_repository(Kind::Dir, "--object-format=sha256");
}

#[test]
fn with_reftables() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    if !place.git.has((2, 45), "reftable") {
        return;
    }
    let bare = busy(&place, "--ref-format=reftable");
    let (path, to) = dest(&place, "exported.git");
    settings(&place).gitmoor_ok(&["export", "team/app.git", &to]);
    let out = place.git.at(path);
    assert_eq!(out.refs(), bare.refs());
    assert_eq!(out.ok("symbolic-ref HEAD"), bare.ok("symbolic-ref HEAD"));
    out.fsck();
}

#[test]
fn with_a_detached_head() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let bare = busy(&place, "");
    bare.ok("update-ref --no-deref HEAD main~7");
    let (path, to) = dest(&place, "exported.git");
    settings(&place).gitmoor_ok(&["export", "team/app.git", &to]);
    assert_eq!(place.git.at(path).oid("HEAD"), bare.oid("HEAD"));
}

/// What it borrows from another comes along.
#[test]
fn with_alternates() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let pool = busy(&place, "");
    let at = place.git.at(&place.scratch);
    let fork = place.repo("fork.git");
    at.ok(format!(
        "clone --quiet --bare --shared {} {}",
        pool.path(),
        fork.path()
    ));
    let (path, to) = dest(&place, "exported.git");
    settings(&place).gitmoor_ok(&["export", "fork.git", &to]);
    let out = place.git.at(path);
    assert!(!out.dir.join("objects/info/alternates").exists());
    assert_eq!(out.refs(), fork.refs());
    out.fsck();
}

#[test]
fn as_a_bundle() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let bare = busy(&place, "");
    for (name, option) in [("exported.bundle", None), ("exported", Some("--bundle"))] {
        let (path, to) = dest(&place, name);
        let words = [Some("export"), option, Some("team/app.git"), Some(&to)];
        settings(&place).gitmoor_ok(&words.into_iter().flatten().collect::<Vec<_>>());
        let clone = dest(&place, &format!("{name}-clone.git")).0;
        let at = place.git.at(&place.scratch);
        at.ok(format!(
            "clone --quiet --mirror {} {}",
            path.display(),
            clone.display()
        ));
        let clone = place.git.at(clone);
        assert_eq!(clone.refs(), bare.refs());
        clone.fsck();
    }
}

#[test]
fn what_cannot_be_exported() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    place.bare("empty.git");
    let settings = settings(&place);
    for (name, to, words) in [
        ("missing.git", "exported.git", "gitmoor repo list"),
        ("empty.git", "no/such/place.git", "no/such"),
        ("empty.git", "exported.bundle", "empty bundle"),
    ] {
        let output = settings.gitmoor(&["export", name, &dest(&place, to).1]);
        assert_eq!(output.status.code(), Some(1), "{}", report(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words), "{words} in {said}");
    }
    assert_eq!(left(&place), [""; 0]);
    // An empty repository is one.
    let (path, to) = dest(&place, "exported.git");
    settings.gitmoor_ok(&["export", "empty.git", &to]);
    assert_eq!(
        place.git.at(path).ok("symbolic-ref HEAD"),
        "refs/heads/main"
    );
}

/// One that lacks an object is not exported, and git names what is missing.
#[test]
fn what_is_not_whole() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let bare = busy(&place, "");
    let blob = bare.feed("hash-object -w --stdin", "soon gone");
    let tree = bare.feed("mktree", format!("100644 blob {blob}\tfile\n"));
    let commit = bare.ok(format!("commit-tree -m incomplete {tree}"));
    bare.ok(format!("update-ref refs/heads/incomplete {commit}"));
    // By a process that has seen nothing before.
    let file = bare.dir.join("objects").join(&blob[..2]).join(&blob[2..]);
    let removed = Command::new("rm").arg("-f").arg(file).status();
    assert!(removed.expect("rm").success());
    let (_, to) = dest(&place, "exported.git");
    let output = settings(&place).gitmoor(&["export", "team/app.git", &to]);
    assert_eq!(output.status.code(), Some(1), "{}", report(&output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&blob), "{said}");
    assert_eq!(left(&place), [""; 0]);
}

/// As docs/guide/export.md has it: the files under a repository's id, and refs from wherever they are known.
#[test]
fn by_hand() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let bare = busy(&place, "");
    bare.import(&history::commits(3));
    settings(&place).gitmoor_ok(&["gc", "team/app.git"]);
    let info = settings(&place).gitmoor_ok(&["repo", "info", "team/app.git", "--json"]);
    let info: serde_json::Value = serde_json::from_str(&info).expect("JSON");
    let id: RepoId = info["id"].as_str().expect("an id").parse().expect("an id");
    let known = bare.ok(["for-each-ref", "--format=create %(refname) %(objectname)"]);
    let (refs, objects) = (bare.refs(), bare.object_count());
    place.daemon().umount();
    // What a copy of the prefix gives.
    let out = place.scratch("by-hand.git");
    let at = place.git.at(&place.scratch);
    at.ok(format!("init --quiet --bare {}", out.display()));
    let stored = place
        .scratch
        .parent()
        .expect("above")
        .join(format!("store/{id}/objects"));
    let files = below(&stored);
    assert!(!files.is_empty());
    for file in files {
        let to = out
            .join("objects")
            .join(file.strip_prefix(&stored).expect("below"));
        fs::create_dir_all(to.parent().expect("a directory")).expect("mkdir");
        fs::copy(&file, &to).expect("copies");
    }
    let out = place.git.at(out);
    out.feed("update-ref --stdin", known + "\n");
    assert_eq!(out.refs(), refs);
    assert_eq!(out.object_count(), objects);
    out.fsck();
    place.daemon().launch();
}
