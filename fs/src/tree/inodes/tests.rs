//! A rename takes along what lies beneath.

use super::*;
use gitmoor_model::NamePath;

fn place(path: &str) -> Place {
    Place::Name(NamePath::new(path).expect("a valid path"))
}

fn path(inodes: &Inodes, ino: u64) -> String {
    match inodes.place(ino) {
        Some(Place::Name(path)) => path.to_string(),
        Some(Place::Beside(_) | Place::Local(_) | Place::Repo(..)) | None => "nowhere".to_owned(),
    }
}

/// Names that sort around what lies beneath a directory.
#[test]
fn a_directory_takes_along_what_lies_beneath_it_and_nothing_else() {
    let inodes = Inodes::new(place(""));
    let names = ["a", "a/b", "a/b/c", "a-b", "a.b", "a0", "aa/b"];
    let inos = names.map(|name| inodes.look_up(&place(name), None));
    inodes.rename(&place("a"), &place("z"), None);
    let now = inos.map(|ino| path(&inodes, ino));
    assert_eq!(now, ["z", "z/b", "z/b/c", "a-b", "a.b", "a0", "aa/b"]);
    assert_eq!(inodes.known(&place("z/b/c")), Some(inos[2]));
    assert_eq!(inodes.known(&place("a/b")), None);
}
