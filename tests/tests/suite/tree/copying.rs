//! Repositories that come and go by other means than git: cp, tar, mv. And names
//! that are links to one file.

use crate::local;
use gitmoor_tests::git::Repo;
use gitmoor_tests::place::Place;
use gitmoor_tests::process;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

local!(
    copied_with_cp,
    copied_with_tar,
    moved_from_another_file_system,
    cloned_by_path,
    config_written_anew,
    hard_links_are_one_file,
);

/// Runs a line of shell that must succeed.
#[track_caller]
fn shell(line: String) {
    let output = process::run(Command::new("sh").args(["-ec", &line]), b"", process::LIMIT);
    assert!(
        output.status.success(),
        "{line}: {}",
        process::report(&output)
    );
}

/// A repository on the plain disk whose `config` matters: git must read it to find anything.
fn original(place: &Place) -> Repo {
    let repo = place.git.at(place.scratch("original.git"));
    let at = place.git.at(&place.scratch);
    at.ok(format!(
        "init --quiet --bare --object-format=sha256 {}",
        repo.path()
    ));
    repo.ok("config receive.denyDeletes true");
    repo.import(&gitmoor_tests::history::commits(12));
    repo.ok("repack --quiet -a -d");
    repo.ok("branch loose");
    repo
}

/// Everything is there, and on a mount the replicated settings besides.
#[track_caller]
fn is_copy(place: &Place, copy: &Repo, refs: &str) {
    assert_eq!(copy.refs(), refs);
    assert_eq!(copy.ok("config receive.denyDeletes"), "true");
    assert_eq!(copy.ok("rev-parse --show-object-format"), "sha256");
    copy.fsck();
    let replicated = place.mount().is_some();
    assert_eq!(copy.is("config --get receive.autogc"), replicated);
    place.crash();
    assert_eq!(copy.refs(), refs);
    assert_eq!(copy.is("config --get receive.autogc"), replicated);
    copy.fsck();
}

fn copied_with_cp(place: &Place) {
    let original = original(place);
    let refs = original.refs();
    for (name, options) in [("plain.git", "-r"), ("archive.git", "-a")] {
        let copy = place.repo(name);
        shell(format!("cp {options} {} {}", original.path(), copy.path()));
        is_copy(place, &copy, &refs);
    }
    let (within, again) = (place.repo("plain.git"), place.repo("again.git"));
    shell(format!("cp -r {} {}", within.path(), again.path()));
    is_copy(place, &again, &refs);
}

fn copied_with_tar(place: &Place) {
    let original = original(place);
    let copy = place.repo("tar.git");
    fs::create_dir(&copy.dir).expect("mkdir");
    let (from, to) = (original.path(), copy.path());
    shell(format!("tar -C {from} -c . | tar -C {to} -x"));
    is_copy(place, &copy, &original.refs());
}

fn moved_from_another_file_system(place: &Place) {
    let original = original(place);
    let refs = original.refs();
    let moved = place.repo("moved.git");
    shell(format!("mv {} {}", original.path(), moved.path()));
    assert!(!original.dir.exists());
    is_copy(place, &moved, &refs);
}

/// git links the objects of a repository that it clones by its path, or copies them.
fn cloned_by_path(place: &Place) {
    let (bare, _) = place.pushed("app.git", 3);
    let copy = place.repo("copy.git");
    let at = place.git.at(&place.scratch);
    for how in ["--local", "--no-hardlinks"] {
        let (from, to) = (bare.path(), copy.path());
        at.ok(format!("clone --quiet --bare {how} {from} {to}"));
        assert_eq!(copy.ok("for-each-ref"), bare.ok("for-each-ref"));
        copy.fsck();
        fs::remove_dir_all(&copy.dir).expect("rm -rf");
    }
}

/// Only the first `config` of a repository gets the include of the replicated settings: who
/// writes another one gets what was written.
fn config_written_anew(place: &Place) {
    let bare = place.bare("app.git");
    let config = bare.dir.join("config");
    let text = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n";
    fs::remove_file(&config).expect("rm");
    fs::write(&config, text).expect("write");
    assert_eq!(fs::read_to_string(&config).expect("read"), text);
    fs::remove_file(&config).expect("rm");
    bare.ok("config --file config one.two three");
    assert_eq!(
        fs::read_to_string(&config).expect("read"),
        "[one]\n\ttwo = three\n"
    );
}

fn hard_links_are_one_file(place: &Place) {
    let bare = place.bare("app.git");
    let (one, two) = (bare.dir.join("one"), bare.dir.join("two"));
    fs::write(&one, "1").expect("write");
    fs::hard_link(&one, &two).expect("link");
    let seen = |path| fs::metadata(path).map(|meta| (meta.len(), meta.nlink()));
    assert_eq!(seen(&two).expect("stat"), (1, 2));
    fs::write(&one, "longer").expect("write");
    assert_eq!(seen(&two).expect("stat"), (6, 2));
    assert_eq!(fs::read_to_string(&two).expect("read"), "longer");
    fs::remove_file(&one).expect("rm");
    assert_eq!(seen(&two).expect("stat"), (6, 1));
}
