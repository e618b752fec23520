//! Every kind of repository that git can make.

use crate::{everywhere, local, mounted};
use gitmoor_tests::git::Repo;
use gitmoor_tests::history;
use gitmoor_tests::place::Place;

everywhere!(sha1);
local!(
    sha256,
    options_of_init,
    again_over_an_existing_repository,
    configuration
);
mounted!(virtual_configuration);

/// Push, clone back, compare.
fn round_trip(place: &Place, bare: &Repo, format: &str) {
    let path = place.scratch("work");
    let at = place.git.at(&place.scratch);
    at.ok(format!(
        "init -q --object-format={format} {}",
        path.display()
    ));
    let work = place.git.at(path);
    work.import(&history::commits(5));
    work.ok(format!("push --quiet {} main", bare.url()));
    let copy = place.clone("--bare", bare, "copy.git");
    assert_eq!(copy.refs(), work.refs());
    assert_eq!(bare.ok("rev-parse --show-object-format"), format);
    copy.fsck();
    bare.fsck();
}

fn sha1(place: &Place) {
    let bare = place.bare("app.git");
    round_trip(place, &bare, "sha1");
}

fn sha256(place: &Place) {
    let bare = place.init("app.git", "--object-format=sha256");
    round_trip(place, &bare, "sha256");
    place.restart();
    assert_eq!(bare.oid("main").len(), 64);
    bare.fsck();
}

fn options_of_init(place: &Place) {
    let template = place.work("template");
    template.write("hooks/post-update", "#!/bin/sh\nexit 0\n");
    template.write("info/exclude", "*.o\n");
    let options = format!(
        "--initial-branch=trunk --shared=group --template={}",
        template.path()
    );
    let bare = place.init("app.git", &options);
    assert_eq!(bare.ok("symbolic-ref HEAD"), "refs/heads/trunk");
    assert_eq!(bare.ok("config core.sharedRepository"), "1");
    assert_eq!(bare.names("hooks"), ["post-update"]);
    assert_eq!(bare.read("info/exclude"), "*.o\n");
    bare.import(&history::History::default().commits("trunk", 2).stream());
    assert_eq!(bare.ok("rev-list --count HEAD"), "2");
}

fn again_over_an_existing_repository(place: &Place) {
    let (bare, work) = place.pushed("app.git", 2);
    place.bare("app.git");
    assert_eq!(bare.oid("main"), work.oid("main"));
    bare.fsck();
}

fn configuration(place: &Place) {
    let bare = place.bare("app.git");
    bare.ok("config receive.denyDeletes true");
    bare.ok("config --add remote.x.fetch +refs/*:refs/*");
    bare.ok("config --add remote.x.fetch +refs/notes/*:refs/notes/*");
    bare.ok("config --rename-section remote.x remote.y");
    bare.write("description", "an application\n");
    place.restart();
    assert_eq!(bare.ok("config receive.denyDeletes"), "true");
    assert_eq!(
        bare.ok("config --get-all remote.y.fetch").lines().count(),
        2
    );
    assert_eq!(bare.read("description"), "an application\n");
    assert_eq!(bare.ok("config core.bare"), "true");
    bare.ok("config --unset receive.denyDeletes");
    bare.fail("config receive.denyDeletes");
}

/// Maintenance after a push is Gitmoor's, so git is told to leave it; and nobody edits that by hand.
fn virtual_configuration(place: &Place) {
    let bare = place.bare("app.git");
    assert_eq!(bare.ok("config receive.autogc"), "false");
    bare.fail("config gc.auto");
    bare.fail("config maintenance.auto");
    let path = bare.dir.join("gitmoor.config");
    let before = std::fs::read(&path).expect("gitmoor.config");
    std::fs::write(&path, "[core]\n\tfsmonitor = evil\n").expect_err("a virtual file");
    assert_eq!(std::fs::read(&path).expect("gitmoor.config"), before);
}
