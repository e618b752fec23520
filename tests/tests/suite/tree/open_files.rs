//! An open file stays what it was, whatever becomes of its name.

use crate::local;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history;
use gitmoor_tests::place::Place;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

local!(
    others_close_it,
    its_name_gets_another_file,
    its_name_comes_and_goes,
);

fn repository(place: &Place) -> Repo {
    let bare = place.bare("app.git");
    bare.import(&history::commits(2));
    bare
}

/// As readers of packed-refs do, who take its size from fstat(2): several have it open when
/// it is replaced, and one of them closes it.
fn others_close_it(place: &Place) {
    let bare = repository(place);
    bare.ok("pack-refs --all");
    let path = bare.dir.join("packed-refs");
    let [mut first, second] = [(); 2].map(|()| File::open(&path).expect("open"));
    let size = first.metadata().expect("stat").len();
    drop(second);
    bare.ok("update-ref refs/heads/more main");
    bare.ok("pack-refs --all");
    assert_eq!(first.metadata().expect("a file without a name").len(), size);
    assert_eq!(read(&mut first).len() as u64, size);
    assert!(fs::metadata(&path).expect("stat").len() > size);
}

fn read(file: &mut File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    text
}

/// Opens a file again and again while `change` runs: what fstat(2) says is true of what is read.
/// The kernel looks again when its name has become another file's, but not a third time: then
/// opening fails as on NFS, which only a loop as this one gets to see.
fn beside_readers(path: &Path, change: impl FnOnce()) {
    let open = || match File::open(path) {
        Ok(mut file) => {
            let size = file.metadata().expect("fstat").len();
            assert_eq!(size, read(&mut file).len() as u64);
        }
        Err(error) => assert!(
            [ErrorKind::NotFound, ErrorKind::StaleNetworkFileHandle].contains(&error.kind()),
            "{error}"
        ),
    };
    let changing = Arc::new(());
    std::thread::scope(|scope| {
        // Gone at the end, also of a panic.
        let _changing = changing.clone();
        for _ in 0..3 {
            scope.spawn(|| {
                while Arc::strong_count(&changing) > 1 {
                    open();
                }
            });
        }
        change();
    });
}

/// A plain file, and one that is replicated, where each round is a commit.
const NAMES: [(&str, usize); 2] = [("notes", 2000), ("description", 200)];

fn its_name_gets_another_file(place: &Place) {
    let bare = repository(place);
    for (name, rounds) in NAMES {
        let path = bare.dir.join(name);
        bare.write(name, "x");
        beside_readers(&path, || {
            for n in 0..rounds {
                bare.write("any.lock", "x".repeat(n % 97 + 1));
                fs::rename(bare.dir.join("any.lock"), &path).expect("rename");
            }
        });
    }
}

fn its_name_comes_and_goes(place: &Place) {
    let bare = repository(place);
    for (name, rounds) in NAMES {
        let path = bare.dir.join(name);
        bare.write(name, "x");
        beside_readers(&path, || {
            for n in 0..rounds {
                fs::remove_file(&path).expect("unlink");
                bare.write("any.new", "x".repeat(n % 97 + 1));
                fs::rename(bare.dir.join("any.new"), &path).expect("rename");
            }
        });
    }
}
