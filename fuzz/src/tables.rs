//! Rows under keys that no state machine wrote, as another node's snapshot may have them:
//! every question is answered or ends in an error, and the names in the answers are
//! names.

use crate::commands::Rows;
use crate::rows::assert_valid;
use gitmoor_fs::parsers::packed;
use gitmoor_model::{NamePath, RepoId, RepoPath, SessionId, Version};
use gitmoor_replicator::state::{Table, Trail, View, read, sessions};
use gitmoor_replicator::{Child, Listing};
use std::collections::BTreeSet;

/// Directories in directories that are asked for.
const DEPTH: usize = 4;

/// Rows: table, length of the key, the key, length of the value, the value; numbers are bytes.
pub fn run(data: &[u8]) {
    let mut rows = Rows::default();
    let mut ids: BTreeSet<[u8; 16]> = BTreeSet::new();
    let mut rest = data;
    while let Some((table, key, value, after)) = row(rest) {
        // With and without the byte that tells the kinds of trash apart.
        ids.extend(key.first_chunk::<16>());
        ids.extend(key.get(1..).and_then(|key| key.first_chunk::<16>()));
        rows.insert(table, key, value);
        rest = after;
    }
    ask(&rows);
    ids.into_iter().for_each(|id| ask_of(&rows, id));
}

type Row<'a> = (Table, &'a [u8], &'a [u8], &'a [u8]);

fn row(data: &[u8]) -> Option<Row<'_>> {
    let (table, rest) = data.split_first()?;
    let (key, rest) = counted(rest)?;
    let (value, rest) = counted(rest)?;
    let table = Table::STATE[usize::from(*table) % Table::STATE.len()];
    Some((table, key, value, rest))
}

fn counted(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = data.split_first()?;
    rest.split_at_checked(usize::from(*count))
}

fn ask(view: &dyn View) {
    let _ = read::name(view, &NamePath::root());
    let _ = read::names_in(view, &NamePath::root());
    let _ = read::trashed_repos(view);
    let _ = read::expired_repos(view);
    let _ = read::imports(view);
}

fn ask_of(view: &dyn View, id: [u8; 16]) {
    let repo = RepoId::from_bytes(id);
    let _ = read::repo(view, repo);
    let _ = read::trashed_files(view, repo, Version::default());
    let _ = read::tombstones(view, repo);
    let _ = read::tombstones_as_of(view, repo);
    let _ = read::shared_keys(view, repo);
    let trail = Trail::Of(repo);
    let _ = read::audit(view, trail, Version::default(), &mut |_, _| true);
    let _ = read::last_move(view, repo);
    let _ = read::verified(view, repo);
    let session = postcard::from_bytes(&[&[16], id.as_slice()].concat());
    let session: SessionId = session.expect("16 bytes are an id");
    let _ = sessions::look_up(view, session, 1);
    walk(&RepoPath::root(), DEPTH, &|dir| {
        read::references_in(view, repo, dir)
    });
    walk(&RepoPath::root(), DEPTH, &|dir| {
        read::files_in(view, repo, dir)
    });
    let mut diff = packed::Diff::towards(packed::HEADER).expect("an empty table");
    let _ = read::packed(view, repo, &mut |name, line| {
        assert_valid(name);
        diff.old(name, &line);
        true
    });
    diff.finish();
}

/// As the mount does: names that cannot be are passed over.
fn walk<T, E>(dir: &RepoPath, depth: usize, list: &dyn Fn(&RepoPath) -> Result<Listing<T>, E>) {
    for (name, child) in list(dir).into_iter().flatten() {
        if let (Child::Directory, Some(path)) = (child, dir.join(&name))
            && depth > 0
        {
            walk(&path, depth - 1, list);
        }
    }
}
