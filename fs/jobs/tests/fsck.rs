//! fsck, over a real replicator and a directory store.

use flate2::Compression;
use flate2::write::ZlibEncoder;
use gitmoor_fs::{Config, FileSystem};
use gitmoor_jobs::Jobs;
use gitmoor_jobs::fsck::FsckOptions;
use gitmoor_model::{
    Actor, Command, FileAdd, Format, NamePath, ObjectFormat, Outcome, RefStorage, RepoChange,
    RepoId, RepoPath,
};
use gitmoor_replicator::{Node, NodeConfig, Replica, read};
use gitmoor_store::object_store::DirStore;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

fn propose(node: &Node, command: Command) {
    let outcome = node.propose(Actor::default(), command);
    assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
}

fn new_repo(node: &Node) -> RepoId {
    let id = RepoId::random();
    let path = NamePath::new(format!("{id}.git")).expect("a valid path");
    propose(node, Command::CreateRepo { id, path });
    let format = Format {
        bare: true,
        objects: ObjectFormat::Sha1,
        refs: RefStorage::Files,
    };
    propose(node, Command::SetFormat { id, format });
    id
}

/// A blob is finished in the directory of a repository, and not stored yet.
fn leave_loose(files: &Path, content: &[u8]) -> (String, RepoPath) {
    let bytes = [format!("blob {}\0", content.len()).as_bytes(), content].concat();
    let mut hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
    hasher.update(&bytes);
    let oid = hasher.try_finalize().expect("no collision").to_string();
    let path = format!("objects/{}/{}", &oid[..2], &oid[2..]);
    let at = files.join(&path);
    fs::create_dir_all(at.parent().expect("below")).expect("creates");
    let mut deflate = ZlibEncoder::new(Vec::new(), Compression::fast());
    deflate.write_all(&bytes).expect("writes");
    fs::write(at, deflate.finish().expect("ends")).expect("writes");
    (oid, RepoPath::new(path).expect("a valid path"))
}

/// What zlib cannot make smaller.
fn noise() -> Vec<u8> {
    let numbers = std::iter::successors(Some(1_u32), |x| {
        let x = x ^ x << 13;
        let x = x ^ x >> 17;
        Some(x ^ x << 5)
    });
    numbers.map(|x| x.to_be_bytes()[0]).take(3 << 20).collect()
}

/// A large file whose block digests are not in the catalog cannot be read. The check names it, comes to its end, and
/// mends it: the digest of the whole proves what the store has.
#[test]
fn an_entry_without_its_digests_is_named_and_mended() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let node = Node::open(NodeConfig::new(dir.path().join("replica"))).expect("opens");
    let node = Arc::new(node);
    let repo = new_repo(&node);
    let data = dir.path().join("data");
    let files = data.join("repos").join(repo.to_string()).join("files");
    let (oid, path) = leave_loose(&files, &noise());
    leave_loose(&files, &1_u32.to_be_bytes());
    let store = DirStore::open(dir.path().join("store")).expect("opens");
    let fs = FileSystem::open(
        Config::for_tests(data.to_path_buf()),
        node.clone(),
        Arc::new(store),
        Arc::default(),
    );
    let fs = fs.expect("opens");
    let jobs = Jobs::start(&fs).expect("starts");
    fs.repo_info(repo).expect("opens").expect("exists");
    fs.publish_all().expect("publishes");
    assert!(
        !read::blocks(node.view(), repo, &path)
            .expect("reads")
            .is_empty()
    );
    let entry = read::file(node.view(), repo, &path).expect("reads");
    let add = vec![FileAdd {
        path,
        entry: entry.expect("it is there"),
        blocks: Vec::new(),
    }];
    let change = RepoChange {
        add,
        ..RepoChange::new(repo)
    };
    propose(&node, Command::Commit(change));
    let check = |repair| {
        let options = FsckOptions { repair, deep: true };
        let checked = jobs.fsck.check(repo, options).expect("comes to its end");
        checked.expect("it is there")
    };
    let checked = check(false);
    assert_eq!(
        (checked.files, checked.damaged.len()),
        (2, 1),
        "{checked:?}"
    );
    assert_eq!(checked.damaged[0].lost_objects, [oid]);
    assert!(check(true).is_sound());
    assert_eq!(check(false).damaged, []);
}
