//! What another mount does between the look of a ref change and its commit.

use super::{Author, PendingDeletions, ReadVersions, Transactions};
use crate::beneath::Dir;
use crate::consistency::Freshness;
use crate::error::FsError;
use crate::hooks::Hooks;
use crate::process::Origins;
use crate::repository::Quarantines;
use crate::repository::context::{Config, Context};
use crate::repository::local::Files;
use crate::repository::objects::{Objects, Seals, Staged, Staging};
use crate::repository::refs::Large;
use gitmoor_model::{
    Actor, Change, Command, Deletions, Digest, Expect, FileAdd, FileEntry, FileRemoval, NamePath,
    Outcome, Place, RefEdit, RepoChange, RepoId, RepoPath, Timestamp, TrashId, Version,
};
use gitmoor_replicator::{Node, NodeConfig, Replica, read};
use gitmoor_store::block_cache::{BlockCache, CacheConfig};
use gitmoor_store::object_store::DirStore;
use gitmoor_store::wait::Waits;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn path(path: &str) -> RepoPath {
    RepoPath::new(path).expect("a valid path")
}

fn object(number: u8) -> RepoPath {
    path(&format!("objects/00/{number:038x}"))
}

/// Another mount's view of the same replicator.
struct World {
    node: Arc<Node>,
    repo: RepoId,
}

impl World {
    fn propose(&self, command: Command) {
        let outcome = self.node.propose(Actor::default(), command);
        assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
    }

    fn add(&self, path: RepoPath) {
        let entry = FileEntry {
            size: 1,
            mtime: Timestamp::default(),
            mode: 0o100_444,
            digest: Digest([7; 32]),
            block_size: 1 << 20,
            place: Place::Stored {
                key: format!("{}/{path}", self.repo),
            },
        };
        let blocks = Vec::new();
        self.propose(Command::Commit(RepoChange {
            add: vec![FileAdd {
                path,
                entry,
                blocks,
            }],
            ..RepoChange::new(self.repo)
        }));
    }

    /// A prune through the other mount: no ref has moved since it looked.
    fn remove(&self, path: &RepoPath) {
        self.propose(Command::Commit(RepoChange {
            remove: Some(FileRemoval {
                paths: vec![path.clone()],
                unless_refs_moved_since: None,
                unless_repacked_since: None,
            }),
            ..RepoChange::new(self.repo)
        }));
    }

    /// gc comes, and the trash keeps nothing.
    fn empty_trash(&self) {
        let trashed = read::trashed_files(self.node.view(), self.repo, Version::default());
        let expired = trashed.expect("reads").into_iter().map(|file| TrashId {
            version: file.version,
            path: file.path,
        });
        self.propose(Command::MarkDeleted(Deletions {
            repo: self.repo,
            expired: expired.collect(),
            leftovers: Vec::new(),
        }));
    }

    fn has(&self, path: &RepoPath) -> bool {
        let file = read::file(self.node.view(), self.repo, path).expect("reads");
        file.is_some()
    }
}

fn shared(
    dir: &Path,
    node: Arc<Node>,
    changed: impl Fn(RepoId, &RepoPath) + Send + Sync + 'static,
) -> Context {
    let homes = Arc::new(Dir::open(dir).expect("opens"));
    let store = Arc::new(DirStore::open(dir.join("store")).expect("opens"));
    let cache = CacheConfig {
        dir: dir.join("cache"),
        max_bytes: 1 << 20,
        free_floor_bytes: 0,
        read_timeout: Duration::from_secs(1),
    };
    Context {
        freshness: Freshness::new(node.clone(), Arc::default(), Duration::ZERO),
        remote_changes: Arc::default(),
        origins: Origins::new(),
        quarantines: Quarantines::default(),
        read_versions: ReadVersions::new(),
        large: Large::new(),
        seals: Seals::default(),
        replica: node,
        store: store.clone(),
        ownership: None,
        cache: BlockCache::open(cache, store).expect("opens"),
        config: Config {
            read_timeout: Duration::from_secs(1),
            publish_timeout: Duration::from_secs(1),
            ..Config::for_tests(dir.to_owned())
        },
        hooks: Hooks::open(None, false).expect("there is none to read"),
        waits: Waits::default(),
        staging: Arc::new(Staging::new(None, homes.clone())),
        homes,
        changed: Box::new(changed),
        renewed: Box::new(|_, _| {}),
        top_changed: Box::new(|_| {}),
    }
}

/// A new repository on a disk of its own.
fn world(dir: &Path) -> World {
    let node = Node::open(NodeConfig::new(dir.join("replica"))).expect("opens");
    let (node, repo) = (Arc::new(node), RepoId::random());
    let world = World { node, repo };
    let name = NamePath::new("app.git").expect("a valid path");
    world.propose(Command::CreateRepo {
        id: repo,
        path: name,
    });
    world
}

/// How it changes through one mount.
fn transactions(
    dir: &Path,
    world: &World,
    changed: impl Fn(RepoId, &RepoPath) + Send + Sync + 'static,
) -> Transactions {
    let shared = Arc::new(shared(dir, world.node.clone(), changed));
    let files =
        Arc::new(Files::open(shared.homes.clone(), &world.repo.to_string()).expect("opens"));
    let prune = Arc::new(PendingDeletions::default());
    let objects = Objects::open(world.repo, shared.clone(), files.clone(), prune.clone());
    let objects = Arc::new(objects.expect("opens"));
    Transactions::new(world.repo, shared, files, objects, prune)
}

/// Also right after it got its name, when nobody has looked again at what is in the making.
#[test]
fn what_is_finished_is_counted_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let transactions = transactions(dir.path(), &world(dir.path()), |_, _| {});
    let (objects, files) = (&transactions.objects, &transactions.files);
    let (from, to) = (path("objects/tmp_x"), path("objects/info/x"));
    let owner = files.owner().expect("it is there");
    files.make_parents(&to).expect("mkdir");
    files.put(&from, &[7; 1000], 0o444, owner).expect("writes");
    objects.began(&from);
    let staged = |finished, making| Staged {
        finished,
        making,
        bytes: 1000,
    };
    assert_eq!(transactions.shared.staging.staged(), staged(0, 1));
    let ready = objects.ready(&from, &to).expect("it may have that name");
    let rename = || files.rename(&from, &to);
    objects.finish(&to, ready, rename).expect("renames");
    objects.gave_up(&from);
    assert_eq!(transactions.shared.staging.staged(), staged(1, 0));
}

fn new_main(repo: RepoId) -> RepoChange {
    let edit = RefEdit {
        name: path("refs/heads/main"),
        expect: Expect::Absent,
        change: Change::Set {
            mode: 0o100_644,
            value: b"x".to_vec(),
        },
    };
    RepoChange {
        refs: vec![edit],
        ..RepoChange::new(repo)
    }
}

/// A process, which looks if it has not done so.
fn by(transactions: &Transactions, pid: u32) -> Author {
    let actor = Actor {
        pid: Some(pid),
        ..Actor::default()
    };
    let read = Some(transactions.read_version(pid));
    Author { actor, read }
}

/// A process that stood still for longer than the trash keeps anything relies on what is gone for good.
#[test]
fn what_has_left_the_trash_is_referred_to_by_none_who_looked_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path());
    let transactions = transactions(dir.path(), &world, |_, _| {});
    world.add(object(1));
    let pid = std::process::id();
    let by = by(&transactions, pid);
    world.remove(&object(1));
    world.empty_trash();
    let change = new_main(world.repo);
    let refused = transactions.commit(change.clone(), &by);
    assert!(matches!(refused, Err(FsError::Outlived)), "{refused:?}");
    // It was told, and begins anew.
    let by = self::by(&transactions, pid);
    transactions.commit(change, &by).expect("it moves");
}

/// What is remembered of a touched file is what was changed of it, and not that it is there.
#[test]
fn new_times_bring_back_nothing_that_others_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = world(dir.path());
    let transactions = transactions(dir.path(), &world, |_, _| {});
    (1..=2).for_each(|number| world.add(object(number)));
    let time = Timestamp { secs: 7, nanos: 0 };
    for number in 1..=2 {
        let touched = transactions
            .objects
            .touch(&object(number), Some(time), None);
        touched.expect("it is there");
    }
    world.remove(&object(1));
    assert!(
        matches!(transactions.objects.find(&object(1)), Ok(None)),
        "gone here, too"
    );
    transactions.publish().expect("publishes");
    assert!(!world.has(&object(1)) && world.has(&object(2)));
    let kept = read::file(world.node.view(), world.repo, &object(2)).expect("reads");
    let kept = kept.expect("it is there");
    assert_eq!((kept.mtime, kept.mode), (time, 0o100_444));
}

/// One object is deleted after a process has looked, so its ref change brings it back; just
/// then another goes. The ref must not move before that is back too.
#[test]
fn pruned_through_another_mount_while_a_ref_moves() {
    let dir = tempfile::tempdir().expect("a directory");
    let world = Arc::new(world(dir.path()));
    let repo = world.repo;
    (1..=2).for_each(|number| world.add(object(number)));

    let (other, is_pruned) = (world.clone(), Mutex::new(false));
    let changed = move |_: RepoId, _: &RepoPath| {
        let mut is_pruned = is_pruned.lock();
        if !std::mem::replace(&mut *is_pruned, true) {
            other.remove(&object(2));
        }
    };
    let transactions = transactions(dir.path(), &world, changed);

    let pid = std::process::id();
    let by = by(&transactions, pid);
    world.remove(&object(1));
    transactions.commit(new_main(repo), &by).expect("it moves");
    assert!(world.has(&object(1)) && world.has(&object(2)), "both back");
    let moved = read::reference(world.node.view(), repo, &path("refs/heads/main"));
    assert!(moved.expect("reads").is_some());
}
