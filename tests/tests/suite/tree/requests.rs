//! What the kernel asks the daemon of a mount that is alone, and what it reads by itself.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history;
use gitmoor_tests::place::Place;
use gitmoor_tests::requests::{self, Requests};
use gitmoor_tests::wait;
use gitmoor_tests::watched::Watched;
use rustix::fs::Dir;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(60);

/// A mount with a repository that is packed.
fn packed() -> (Place, Watched, Repo) {
    let watched = Watched::new();
    let place = Place::set(Kind::Dir, &watched.toml());
    let bare = place.init("app.git", "");
    bare.import(&history::commits(4));
    bare.ok("gc --quiet");
    wait::until(
        "nothing is left to publish, which changes listings",
        BOUND,
        || place.daemon().settings().status()["pending"]["files"] == 0,
    );
    (place, watched, bare)
}

#[test]
fn a_short_command_asks_little() {
    let (_place, watched, bare) = packed();
    for (command, opens, opendirs) in [
        ("rev-parse HEAD", 6, 0),
        ("cat-file -p HEAD", 10, 2),
        ("log -1", 12, 2),
        ("for-each-ref", 9, 4),
    ] {
        let asked = requests::of(&watched, || drop(bare.ok(command)));
        println!("{command}: {asked:?}");
        let all: u64 = asked.values().sum();
        assert!(all <= opens + opendirs, "{command}: {asked:?}");
    }
}

/// The names that a new process is told.
fn listed(dir: &Path) -> BTreeSet<String> {
    let ls = Command::new("ls").arg("-A").arg(dir).output();
    let ls = ls.expect("ls(1)");
    assert!(ls.status.success(), "{ls:?}");
    let names = String::from_utf8(ls.stdout).expect("text");
    names.lines().map(str::to_owned).collect()
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// What is listed again and again costs an opendir(3) each time, and nothing else.
#[test]
fn a_listing_stays_in_the_kernel() {
    let (_place, watched, bare) = packed();
    let dir = bare.dir.join("refs/heads");
    for round in 0..3 {
        bare.ok(format!("update-ref refs/heads/{round} main"));
        let asked = requests::of(&watched, || assert_eq!(listed(&dir).len(), round + 1));
        assert_eq!(asked, Requests::from([("opendir", 1)]), "round {round}");
    }
}

/// Each name comes and goes while the kernel holds the listing: by the kernel, by git, and by the daemon.
#[test]
fn a_listing_is_what_is_there() {
    let (place, _, bare) = packed();
    let settings = place.daemon().settings().clone();
    let team = bare.dir.join("refs/heads/team");
    let see = |dir: &Path, expected: &BTreeSet<String>| {
        for look in 0..4 {
            assert_eq!(listed(dir), *expected, "look {look} at {}", dir.display());
        }
    };
    bare.ok("update-ref refs/heads/team/a main");
    for _ in 0..3 {
        see(&team, &names(["a"]));
        bare.ok("update-ref refs/heads/team/b main");
        see(&team, &names(["a", "b"]));
        bare.ok("update-ref -d refs/heads/team/b");
        see(&team, &names(["a"]));
        fs::write(team.join("c.lock"), "").expect("a lock");
        see(&team, &names(["a", "c.lock"]));
        fs::remove_file(team.join("c.lock")).expect("removed");
        see(&team, &names(["a"]));
        fs::create_dir(team.join("d")).expect("made");
        see(&team, &names(["a", "d"]));
        fs::rename(team.join("d"), team.join("e")).expect("renamed");
        see(&team, &names(["a", "e"]));
        fs::remove_dir(team.join("e")).expect("removed");
        // The namespace, changed by the daemon alone.
        see(&place.root, &names(["app.git"]));
        settings.gitmoor_ok(&["repo", "create", "new.git"]);
        see(&place.root, &names(["app.git", "new.git"]));
        settings.gitmoor_ok(&["repo", "rename", "new.git", "old.git"]);
        see(&place.root, &names(["app.git", "old.git"]));
        settings.gitmoor_ok(&["repo", "delete", "--yes", "old.git"]);
        see(&place.root, &names(["app.git"]));
    }
}

/// Who holds a directory open does not ask again, and is told all the same.
#[test]
fn who_rewinds_is_told_of_what_the_daemon_does() {
    let (place, _, _) = packed();
    let settings = place.daemon().settings().clone();
    (0..4).for_each(|_| drop(listed(&place.root)));
    let file = File::open(&place.root).expect("a directory");
    let mut dir = Dir::read_from(&file).expect("is one");
    let mut now = || {
        dir.rewind();
        let all = dir.by_ref().map(|entry| entry.expect("an entry"));
        let all = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
        all.filter(|name| !name.starts_with('.'))
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(now(), names(["app.git"]));
    for round in 0..3 {
        settings.gitmoor_ok(&["repo", "create", "new.git"]);
        wait::until("it is listed", BOUND, || {
            now() == names(["app.git", "new.git"])
        });
        (0..round).for_each(|_| drop(listed(&place.root)));
        settings.gitmoor_ok(&["repo", "delete", "--yes", "new.git"]);
        wait::until("it is no longer", BOUND, || now() == names(["app.git"]));
        (0..round).for_each(|_| drop(listed(&place.root)));
    }
}
