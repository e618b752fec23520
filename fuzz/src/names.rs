//! Names from git, people and other nodes.

use crate::fields;
use gitmoor_fs::parsers::name::{self, Kind};
use gitmoor_model::{NamePath, RepoPath};

/// Paths.
pub fn run(data: &[u8]) {
    for field in fields(data) {
        if let Some(path) = RepoPath::new(field) {
            check_path(&path);
            check_kind(&path);
            for above in [&b"objects/"[..], b"lfs/objects/"] {
                let below = [above, field].concat();
                RepoPath::new(below).iter().for_each(check_kind);
            }
        }
        assert_eq!(
            NamePath::new(field).is_some(),
            RepoPath::new(field).is_some()
        );
    }
}

fn check_path(path: &RepoPath) {
    assert!(!path.as_bytes().starts_with(b"/") && !path.as_bytes().contains(&0));
    let Some(parent) = path.parent() else {
        assert!(path.is_root());
        return;
    };
    assert_eq!(parent.join(path.file_name()).as_ref(), Some(path));
    assert!(path.is_within(&parent) && path.is_within(&RepoPath::root()));
    assert!(!parent.is_within(path));
}

fn check_kind(path: &RepoPath) {
    let kind = name::kind(path);
    assert_eq!(name::loose_oid(path).is_some(), kind == Some(Kind::Loose));
    if let Some(oid) = name::loose_oid(path) {
        assert!(matches!(oid.len(), 40 | 64));
        let again = format!("objects/{}/{}", &oid[..2], &oid[2..]);
        assert_eq!(again.as_bytes(), path.as_bytes());
    }
    if kind.is_some() {
        // What is catalogued can be staged again under its name.
        let tops = [&b"objects/"[..], b"lfs/objects/"];
        assert!(tops.iter().any(|top| path.as_bytes().starts_with(top)));
        assert!(path.parent().is_some_and(|dir| name::kind(&dir).is_none()));
    }
}
