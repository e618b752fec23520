//! The state that an earlier version left: this version serves it as it was, and goes on with it.
//!
//! `tests/fixtures/VERSION` holds a data directory and a cluster, made by the binary of that version with
//! `tests/fixtures/make.sh`, and what that binary said of them. Nothing asks which version made them: what
//! a directory holds is told by its formats alone.

use gitmoor_tests::backend::Store;
use gitmoor_tests::clocks::Clocks;
use gitmoor_tests::git::{Git, Installed, Repo};
use gitmoor_tests::mount::{Mounted, Settings};
use gitmoor_tests::namespaces::Namespaces;
use gitmoor_tests::process;
use gitmoor_tests::wait;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/0.1.0");

/// The trash of the fixture is kept whatever day the test runs on.
const SETTINGS: &str = "trash-keep = \"36500d\"\nidle-publish = \"50ms\"\n";

/// A day on which the certificates of the fixture's nodes are good, whatever day the test runs on.
const DAY: &str = "@2026-12-01 12:00:00";

const BOUND: Duration = Duration::from_secs(60);

/// A copy of what the earlier version left.
struct Fixture {
    dir: TempDir,
    git: Git,
}

impl Fixture {
    #[track_caller]
    fn unpack(name: &str) -> Fixture {
        let dir = tempfile::Builder::new().prefix("gitmoor-test-").tempdir();
        let dir = dir.expect("temporary directory");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(dir.path()).arg("-xzf");
        tar.arg(Path::new(FIXTURES).join(format!("{name}.tar.gz")));
        let output = process::run(&mut tar, b"", process::LIMIT);
        assert!(output.status.success(), "{}", process::report(&output));
        let git = Installed::newest().with_home(&dir.path().join("home"));
        Fixture { dir, git }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the earlier version said.
    #[track_caller]
    fn expected(&self, name: &str) -> String {
        let path = self.path("expected").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    #[track_caller]
    fn expected_json(&self, name: &str) -> Value {
        serde_json::from_str(&self.expected(name)).expect("JSON")
    }

    /// Its data directory, mounted by the binary under test.
    #[track_caller]
    fn mount(&self) -> Mounted {
        Mounted::start(Settings {
            store: format!("dir:{}", self.path("data/store").display()),
            toml: SETTINGS.to_owned(),
            ..Store::Dir.settings(self.dir.path())
        })
    }

    /// One of its repositories has the refs and objects that `expected` names.
    #[track_caller]
    fn check(&self, repo: &Repo, expected: &str) {
        let refs = [repo.ok("symbolic-ref HEAD"), repo.ok("for-each-ref")].join("\n");
        assert_eq!(refs, self.expected(&format!("{expected}.refs")).trim_end());
        let objects = repo.ok("rev-list --objects --all --no-object-names");
        let mut objects: Vec<_> = objects.lines().collect();
        objects.sort_unstable();
        let wanted = self.expected(&format!("{expected}.objects"));
        assert_eq!(objects, wanted.lines().collect::<Vec<_>>(), "{expected}");
        repo.fsck();
    }

    /// Clones it, and pushes a commit to it; what main is now.
    #[track_caller]
    fn go_on(&self, repo: &Repo, name: &str) -> String {
        let work = self.path("scratch").join(name);
        fs::create_dir_all(&work).expect("a directory");
        let work = self.git.at(work);
        work.ok(format!("clone --quiet {} .", repo.url()));
        work.fsck();
        let tip = work.commit("by the version of today");
        work.ok("push --quiet origin HEAD:main HEAD:refs/heads/new");
        repo.fsck();
        assert_eq!(repo.oid("main"), tip);
        tip
    }
}

const REPOSITORIES: [&str; 4] = ["team/files.git", "fork.git", "table.git", "sha256.git"];

#[track_caller]
fn json(settings: &Settings, args: &[&str]) -> Value {
    let text = settings.gitmoor_ok(&[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

#[track_caller]
fn settled(settings: &Settings) {
    wait::until("everything is published", BOUND, || {
        settings.status()["pending"]["files"] == 0
    });
}

#[test]
fn everything_is_as_it_was() {
    let fixture = Fixture::unpack("single");
    let mount = fixture.mount();
    let settings = mount.settings();
    let repo = |name: &str| fixture.git.at(mount.path().join(name));
    assert_eq!(
        json(settings, &["repo", "list"]),
        fixture.expected_json("list")
    );
    for name in REPOSITORIES {
        fixture.check(&repo(name), name);
    }
    let files = repo("team/files.git");
    let pending = fixture.expected("pending");
    assert_eq!(
        files.ok(["cat-file", "-p", pending.trim_end()]),
        "not stored yet"
    );
    settled(settings);
    for name in REPOSITORIES {
        settings.gitmoor_ok(&["fsck", name]);
    }
    for what in ["limit", "config"] {
        let now = json(settings, &["repo", what, "team/files.git"]);
        assert_eq!(
            now,
            fixture.expected_json(&format!("team/files.git.{what}"))
        );
    }
    assert_eq!(json(settings, &["audit"]), fixture.expected_json("audit"));
    let audit = json(settings, &["audit", "team/files.git"]);
    assert_eq!(audit, fixture.expected_json("team/files.git.audit"));
}

#[test]
fn the_trash_comes_back() {
    let fixture = Fixture::unpack("single");
    let mount = fixture.mount();
    let settings = mount.settings();
    let names = |trash: &Value| -> Vec<_> {
        let entries = trash.as_array().expect("a list").iter();
        let part = |entry: &Value| ["id", "name", "deleted", "files"].map(|key| entry[key].clone());
        entries.map(part).collect()
    };
    let trash = json(settings, &["repo", "trash"]);
    assert_eq!(names(&trash), names(&fixture.expected_json("trash")));
    settings.gitmoor_ok(&["repo", "restore", "deleted.git"]);
    let deleted = fixture.git.at(mount.path().join("deleted.git"));
    fixture.check(&deleted, "deleted.git");
    let files = fixture.git.at(mount.path().join("team/files.git"));
    let lost = fixture.expected("lost");
    files.fail(["cat-file", "-e", lost.trim_end()]);
    settings.gitmoor_ok(&["repo", "restore", "--objects", "team/files.git"]);
    files.ok(["cat-file", "-e", lost.trim_end()]);
    assert_eq!(json(settings, &["repo", "trash"]), Value::Array(vec![]));
}

#[test]
fn work_goes_on() {
    let fixture = Fixture::unpack("single");
    let mut mount = fixture.mount();
    let repo = |name: &str| fixture.git.at(fixture.path("mnt").join(name));
    let tips = REPOSITORIES.map(|name| fixture.go_on(&repo(name), name));
    let audit = json(mount.settings(), &["audit", "team/files.git"]);
    let before = fixture.expected_json("team/files.git.audit");
    let before = before.as_array().expect("a list");
    let audit = audit.as_array().expect("a list");
    assert_eq!(audit[..before.len()], before[..]);
    assert_eq!(audit.len(), before.len() + 2, "main and new");
    mount
        .settings()
        .gitmoor_ok(&["repo", "limit", "team/files.git", "refs", "1"]);
    repo("team/files.git").fail("update-ref refs/heads/more main");
    mount.umount();
    mount.launch();
    for (name, tip) in REPOSITORIES.iter().zip(&tips) {
        assert_eq!(&repo(name).oid("new"), tip, "{name}");
        repo(name).fsck();
        mount.settings().gitmoor_ok(&["fsck", name]);
    }
}

/// Three voters, each with its mount.
struct Nodes {
    fixture: Fixture,
    namespace: Namespaces,
    clocks: Clocks,
}

impl Nodes {
    fn settings(&self, node: usize) -> Settings {
        Settings {
            data: self.fixture.path(&format!("node-{node}")),
            at: self.fixture.path(&format!("mnt-{node}")),
            log: self.fixture.path(&format!("{node}.log")),
            netns: Some(self.namespace.of(0)),
            env: self.clocks.env(node),
            ..Store::Dir.settings(self.fixture.dir.path())
        }
    }

    /// All at once: one alone would wait for a majority.
    fn mount(&self) -> Vec<Mounted> {
        std::thread::scope(|scope| {
            let starting = [1, 2, 3].map(|node| {
                let settings = self.settings(node);
                scope.spawn(|| Mounted::start(settings))
            });
            let mounted = starting.into_iter().map(|thread| thread.join());
            mounted.map(|mounted| mounted.expect("it mounts")).collect()
        })
    }
}

/// The nodes have the addresses that they had, on a loopback of their own.
#[test]
fn a_cluster_goes_on() {
    let fixture = Fixture::unpack("cluster");
    let clocks = Clocks::right(&fixture.path("clocks"));
    let nodes = Nodes {
        fixture,
        namespace: Namespaces::new(1),
        clocks,
    };
    let store = format!("dir:{}\n", nodes.fixture.path("store").display());
    for node in 1..=3 {
        nodes.clocks.set(node, DAY);
        // As administrators do whose store was moved.
        fs::write(nodes.settings(node).data.join("store.url"), &store).expect("store.url");
    }
    let mut mounts = nodes.mount();
    let repo = |node: usize, name: &str| nodes.fixture.git.at(mounts[node].path().join(name));
    let status = json(mounts[0].settings(), &["cluster", "status"]);
    let members = status["members"].as_array().expect("a list");
    assert_eq!(members.len(), 3, "{status:#}");
    mounts[0].settings().gitmoor_ok(&["take-over", "--yes"]);
    for name in ["app.git", "table.git"] {
        nodes.fixture.check(&repo(1, name), name);
        let tip = nodes.fixture.go_on(&repo(0, name), name);
        assert_eq!(repo(2, name).oid("new"), tip);
    }
    settled(mounts[0].settings());
    mounts[0].settings().gitmoor_ok(&["fsck", "app.git"]);
    // Not one after the other, politely: the last ones would wait for a majority.
    mounts.iter_mut().for_each(Mounted::kill9);
}
