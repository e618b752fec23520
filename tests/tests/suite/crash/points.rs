//! Death at every named failpoint of the daemon.
//!
//! A [`Load`] is work that comes by some points. Each drill arms one point, works
//! until the daemon is dead (if it does not die there, the drill fails), mounts
//! again and looks. [`every_point_has_a_drill`] holds the loads against the lists
//! in the code.

use super::recovery::{EAGER, check_and_push};
use gitmoor_fs::failpoint as fs_points;
use gitmoor_instrument::failpoint::Failpoint;
use gitmoor_jobs::failpoint as job_points;
use gitmoor_replicator::failpoint as raft_points;
use gitmoor_store::failpoint as store_points;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::history::{History, noise};
use gitmoor_tests::ledger::Ledger;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use nix::sys::signal::Signal;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::time::Duration;

/// How often a load is repeated before a point counts as out of its way.
const STEPS: usize = 40;
/// From the end of a command to the daemon's death, if it is to die by it.
const DYING: Duration = Duration::from_millis(100);
/// The idle publisher has had its turn.
const IDLE: Duration = Duration::from_secs(10);

/// Work that comes by some points.
pub(super) struct Load {
    /// What it is run with besides [`EAGER`].
    pub(super) toml: &'static str,
    /// Options of `git init`.
    pub(super) init: &'static str,
    /// Before the first drill.
    pub(super) begin: fn(&Stage),
    /// While the daemon is away, before it comes back armed.
    pub(super) prepare: fn(&Stage),
    /// The work, once. Its commands may fail at any time.
    pub(super) step: fn(&Stage),
    /// What must work when the daemon is back.
    pub(super) after: fn(&Stage),
    /// The points, and at which time each is deadly.
    pub(super) points: &'static [(Failpoint, &'static [u32])],
}

/// Where a load works.
pub(super) struct Stage {
    pub(super) place: Place,
    bare: Repo,
    pub(super) work: Repo,
    ledger: RefCell<Ledger>,
    pub(super) steps: Cell<usize>,
}

impl Load {
    pub(super) fn drill(&self) {
        let stage = self.stage();
        (self.begin)(&stage);
        for (point, deaths) in self.points {
            for death in *deaths {
                println!("-- {} at the {death}. time", point.name());
                self.die_at(&stage, *point, *death);
                (self.after)(&stage);
                let mut ledger = stage.ledger.borrow_mut();
                check_and_push(&stage.place, &stage.bare, &stage.work, &mut ledger);
            }
        }
        stage.place.cool();
        stage.ledger.borrow_mut().check(&stage.bare);
        stage.bare.fsck();
    }

    fn stage(&self) -> Stage {
        let toml = format!("{EAGER}{}", self.toml);
        let place = Place::set(Kind::Dir, &toml);
        let bare = place.init("app.git", self.init);
        let work = place.work("work");
        work.import(&History::default().commits("main", 4).stream());
        work.ok("reset --quiet --hard main");
        work.ok(format!("remote add origin {}", bare.url()));
        work.ok("push --quiet origin main");
        Stage {
            ledger: RefCell::new(Ledger::of(&bare)),
            steps: Cell::new(0),
            place,
            bare,
            work,
        }
    }

    /// Works until the daemon dies at a point, and mounts again.
    fn die_at(&self, stage: &Stage, point: Failpoint, death: u32) {
        stage.place.daemon().umount();
        (self.prepare)(stage);
        stage
            .place
            .daemon()
            .arm(&format!("{}=kill@{death}", point.name()));
        let mounted = stage.place.daemon().try_launch();
        match mounted {
            true => self.work_until_death(stage, point),
            // What the death before left behind is cleared up before there is a mount.
            false => died_at(stage, point),
        }
        stage.place.daemon().arm("");
        stage.place.daemon().launch();
    }

    fn work_until_death(&self, stage: &Stage, point: Failpoint) {
        let step = |_| {
            stage.steps.set(stage.steps.get() + 1);
            (self.step)(stage);
            stage.place.daemon().death(DYING)
        };
        let died = (0..STEPS).find_map(step);
        let died = died.or_else(|| stage.place.daemon().death(IDLE));
        let died = died.unwrap_or_else(|| panic!("{} was not reached", point.name()));
        assert_eq!(died.signal(), Some(Signal::SIGKILL as i32), "{died}");
    }
}

/// By its own word, the last of its log.
fn died_at(stage: &Stage, point: Failpoint) {
    let log = stage.place.daemon().settings().log.clone();
    let log = fs::read_to_string(log).expect("the daemon's log");
    let last = log.lines().last().unwrap_or_default();
    let word = format!("killing this process point={:?}", point.name());
    assert!(last.contains(&word), "it ended otherwise: {last}");
}

impl Stage {
    /// Pushes a commit to a branch of its own, if the daemon lives; the commit's files are up to the caller.
    fn push(&self, options: &str, files: usize, size: usize) {
        self.is_pushed(options, files, size);
    }

    /// The same, and whether git acknowledged it.
    pub(super) fn is_pushed(&self, options: &str, files: usize, size: usize) -> bool {
        let step = self.steps.get();
        let branch = format!("refs/heads/step/{step}");
        let history = History::seeded(step as u64).files("next", files, size, 50);
        self.work.import(&history.stream());
        let tip = self.work.oid("next");
        let mut ledger = self.ledger.borrow_mut();
        ledger.will_set(&branch, &tip);
        let done = self
            .work
            .is(format!("{options} push --quiet origin next:{branch}"));
        if done {
            ledger.is_set(&branch, &tip);
        }
        done
    }

    /// Gives twenty refs a value in one transaction, or removes them.
    fn transaction(&self, command: &str, value: Option<&str>) {
        let names = (0..20).map(|n| format!("refs/heads/t/{n}"));
        let names: Vec<_> = names.collect();
        let mut ledger = self.ledger.borrow_mut();
        for name in &names {
            match value {
                Some(oid) => ledger.will_set(name, oid),
                None => ledger.will_delete(name),
            }
        }
        let line = |name: &String| format!("{command} {name} {}\n", value.unwrap_or_default());
        let lines: String = names.iter().map(line).collect();
        let at = self.place.git.at(&self.place.scratch);
        let update = format!("--git-dir {} update-ref --stdin", self.bare.path());
        if !at.run(&update, lines.as_bytes()).status.success() {
            return;
        }
        for name in &names {
            match value {
                Some(oid) => ledger.is_set(name, oid),
                None => ledger.is_deleted(name),
            }
        }
    }

    /// Imports the work tree's repository under the name of this step.
    fn import(&self) -> Output {
        let name = format!("in-{}.git", self.steps.get());
        let settings = self.place.daemon().settings().clone();
        settings.gitmoor(&["import", self.work.path(), &name])
    }

    fn copy(&self) -> Output {
        let name = format!("copy-{}.git", self.steps.get());
        let settings = self.place.daemon().settings().clone();
        settings.gitmoor(&["repo", "fork", "app.git", &name, "--copy"])
    }

    /// Where git runs, and how it clones within the mount.
    fn clone_within(&self) -> (Repo, String) {
        let (from, to) = (self.bare.path(), self.place.root.join("clone.git"));
        let at = self.place.git.at(&self.place.scratch);
        let clone = format!("clone --quiet --bare --local {from} {}", to.display());
        (at, clone)
    }

    /// Takes over a repository of this step, which is like the work tree's.
    fn take_over(&self) -> Output {
        let name = format!("old-{}.git", self.steps.get());
        let old = self.place.scratch(&name);
        if !old.exists() {
            let (from, to) = (self.work.path(), old.display());
            let at = self.place.git.at(&self.place.scratch);
            at.ok(format!("clone --quiet --bare --no-local {from} {to}"));
        }
        let old = old.to_str().expect("text");
        let settings = self.place.daemon().settings().clone();
        settings.gitmoor(&["import", "--live", old, &name])
    }

    /// A command in the repository that may fail; the daemon may be dead before git could enter it.
    fn may(&self, command: &str) {
        let at = self.place.git.at(&self.place.scratch);
        at.is(format!("--git-dir {} {command}", self.bare.path()));
    }
}

fn nothing(_: &Stage) {}

/// On a usual repository, with nothing to do around the work.
pub(super) const BASE: Load = Load {
    toml: "",
    init: "",
    begin: nothing,
    prepare: nothing,
    step: nothing,
    after: nothing,
    points: &[],
};

/// Few objects: receive-pack unpacks them, each is stored by itself.
const PUSH: Load = Load {
    step: |stage| stage.push("", 1, 100),
    points: &[
        (fs_points::OBJECT_UNNAMED, &[1, 3]),
        (fs_points::OBJECT_NAMED, &[1, 3]),
        (fs_points::UNSENT, &[1, 2]),
        (fs_points::SENT, &[1, 2]),
        (fs_points::STORED, &[1]),
        (fs_points::CATALOGUED, &[1]),
        (fs_points::ADOPTED, &[1, 3]),
        (store_points::STORE_UNNAMED, &[2]),
        (store_points::STORE_NAMED, &[2]),
        (store_points::CACHE_TAKEN, &[2]),
        (fs_points::REF_COMMITTED, &[1]),
        // The node's own beginning comes by a few times.
        (raft_points::RAFT_UNWRITTEN, &[8]),
        (raft_points::RAFT_WRITTEN, &[9]),
        (raft_points::RAFT_APPLIED, &[8]),
        (raft_points::APPLY, &[4]),
    ],
    ..BASE
};

/// More objects than are stored one by one.
const BUNDLE: Load = Load {
    step: |stage| stage.push("", 30, 100),
    points: &[
        (fs_points::BUNDLED, &[1]),
        (fs_points::BUNDLE_NAMELESS_IDX, &[1]),
        (fs_points::SENT, &[1]),
        (fs_points::CATALOGUED, &[1]),
        (fs_points::ADOPTED, &[1]),
        (fs_points::UNBUNDLED, &[1, 7]),
    ],
    ..BASE
};

/// Enough objects that receive-pack keeps the pack, of several blocks.
const PACK: Load = Load {
    step: |stage| stage.push("", 150, 20_000),
    points: &[
        (fs_points::OBJECT_NAMED, &[1, 2]),
        (fs_points::SENT, &[1, 2]),
        (fs_points::CATALOGUED, &[1]),
        (fs_points::ADOPTED, &[1, 2]),
        (store_points::CACHE_TAKEN, &[1]),
        (store_points::CACHE_REMOVING, &[1]),
    ],
    ..BASE
};

/// The packed layer of refs.
const PACKED_REFS: Load = Load {
    step: |stage| {
        stage.push("", 1, 100);
        stage.may("pack-refs --all");
    },
    points: &[
        (fs_points::PACKED_PIECE, &[1]),
        (fs_points::PACKED_COMMITTED, &[1]),
        (raft_points::RAFT_WRITTEN, &[13, 14, 15]),
    ],
    ..BASE
};

/// Many refs in one transaction, created, moved and removed again.
const TRANSACTION: Load = Load {
    step: |stage| {
        stage.push("", 1, 100);
        let tip = stage.work.oid("next");
        stage.transaction("update", Some(&tip));
        stage.transaction("delete", None);
    },
    points: &[
        (fs_points::REF_GATHERED, &[1, 7, 18, 19, 30]),
        (fs_points::REF_WRITTEN, &[2, 3, 4, 5]),
        (raft_points::RAFT_WRITTEN, &[10, 11, 12, 13]),
    ],
    ..BASE
};

/// The other ref storage; it rewrites its tables as it goes.
const REFTABLE: Load = Load {
    init: "--ref-format=reftable",
    step: |stage| stage.push("", 1, 100),
    points: &[
        (fs_points::STORED, &[1]),
        (fs_points::REF_WRITTEN, &[1, 2, 7]),
        (raft_points::RAFT_WRITTEN, &[8]),
    ],
    ..BASE
};

/// Reads that find nothing in the cache.
const COLD: Load = Load {
    begin: |stage| stage.push("", 150, 20_000),
    prepare: |stage| {
        fs::remove_dir_all(stage.place.daemon().settings().data.join("cache")).expect("rm cache");
    },
    step: |stage| stage.may("fsck --full"),
    points: &[(store_points::CACHE_WRITTEN, &[1, 4])],
    ..BASE
};

/// Reads of more than the cache holds.
const EVICTION: Load = Load {
    toml: "cache-size = \"3MiB\"\n",
    step: |stage| {
        let step = stage.steps.get();
        stage.work.write("noise", noise(6 << 20, step as u64));
        stage.work.ok("add noise");
        stage.work.ok(["commit", "--quiet", "-m", "noise"]);
        stage.push("-c core.bigFileThreshold=1m", 120, 20_000);
        stage.may("fsck --full");
    },
    points: &[
        (store_points::CACHE_EVICTING, &[1, 3]),
        (store_points::CACHE_REMOVING, &[2]),
        (store_points::CACHE_WRITTEN, &[9]),
    ],
    ..BASE
};

/// Repositories that come and go beside the one that is watched.
const REPOSITORIES: Load = Load {
    step: |stage| {
        let path = stage.place.root.join("other.git");
        let at = stage.place.git.at(&stage.place.scratch);
        at.is(format!("init --quiet --bare {}", path.display()));
        let _ = fs::remove_dir_all(&path);
    },
    after: |stage| {
        let other = stage.place.init("other.git", "");
        other.ok("config core.bare true");
        fs::remove_dir_all(&other.dir).expect("rm -rf");
    },
    points: &[
        (fs_points::REPO_CREATED, &[1]),
        (fs_points::CONFIG_RENAMED, &[1, 2, 5]),
        (fs_points::HOST_FILES_ADOPTED, &[1]),
        (fs_points::REPO_DELETED, &[1, 2]),
        (raft_points::RAFT_WRITTEN, &[6, 7, 8]),
    ],
    ..BASE
};

/// A repository that another machine made, so that this one has nothing of it yet.
const ELSEWHERE: Load = Load {
    prepare: |stage| {
        fs::remove_dir_all(stage.place.daemon().settings().data.join("repos")).expect("rm repos");
    },
    step: |stage| {
        stage.may("rev-parse --is-bare-repository");
    },
    after: |stage| assert_eq!(stage.bare.ok("config --local core.bare"), "true"),
    points: &[(fs_points::REPO_UNFURNISHED, &[1])],
    ..BASE
};

/// Maintenance: nothing is seen of it until it is published, and nothing is left of it.
const REPACK: Load = Load {
    begin: |stage| stage.push("", 30, 100),
    step: |stage| {
        stage.push("", 30, 100);
        let settings = stage.place.daemon().settings().clone();
        settings.gitmoor(&["gc", "app.git"]);
    },
    after: |stage| {
        let home = stage.place.daemon().settings().data.join("maintenance");
        assert!(!home.exists(), "cleared at the start");
    },
    points: &[
        (job_points::REPACK_VIEW, &[1]),
        (job_points::REPACK_MADE, &[1]),
        (fs_points::REPACK_SENT, &[1, 2, 4]),
        (fs_points::REPACK_STORED, &[1]),
        (fs_points::REPACK_PUBLISHED, &[1]),
    ],
    ..BASE
};

/// An import: nothing is seen of it until it is whole, and the same command goes on.
const IMPORT: Load = Load {
    step: |stage| {
        stage.push("", 30, 100);
        stage.import();
    },
    after: |stage| {
        let imported = stage.import();
        assert!(imported.status.success(), "{}", report(&imported));
        let name = format!("in-{}.git", stage.steps.get());
        assert_eq!(stage.place.repo(&name).refs(), stage.work.refs());
    },
    points: &[
        (job_points::IMPORT_BEGUN, &[1]),
        (job_points::IMPORT_SENT, &[1, 2, 4]),
        (job_points::IMPORT_NOTED, &[1, 3]),
        (job_points::IMPORT_COPIED, &[1]),
        (job_points::IMPORT_VERIFIED, &[1]),
        (job_points::IMPORT_REFS, &[1]),
        (job_points::IMPORT_FINISHED, &[1]),
    ],
    ..BASE
};

/// The same of one that is served meanwhile.
const LIVE: Load = Load {
    step: |stage| {
        stage.push("", 30, 100);
        stage.take_over();
    },
    after: |stage| {
        let taken = stage.take_over();
        assert!(taken.status.success(), "{}", report(&taken));
        let name = format!("old-{}.git", stage.steps.get());
        let old = stage.place.git.at(stage.place.scratch(&name));
        assert_eq!(stage.place.repo(&name).refs(), old.refs());
    },
    points: &[
        (job_points::IMPORT_FENCED, &[1]),
        (job_points::IMPORT_TAKEN_OVER, &[1]),
        (job_points::IMPORT_GIVEN, &[1]),
    ],
    ..BASE
};

/// An independent copy: it is a whole fork until it is one, and the same command goes on.
const COPY: Load = Load {
    step: |stage| {
        stage.push("", 30, 100);
        stage.copy();
    },
    after: |stage| {
        let copied = stage.copy();
        assert!(copied.status.success(), "{}", report(&copied));
        let name = format!("copy-{}.git", stage.steps.get());
        assert_eq!(stage.place.repo(&name).refs(), stage.bare.refs());
    },
    points: &[
        (fs_points::OWN_COPIED, &[1]),
        (fs_points::OWN_PUBLISHED, &[1]),
    ],
    ..BASE
};

/// A clone within the mount, which links: nothing is left of one that was cut off but names that rm(1) removes.
const CLONE: Load = Load {
    step: |stage| {
        stage.push("", 3, 100);
        let (at, clone) = stage.clone_within();
        at.is(clone);
    },
    after: |stage| {
        let to = stage.place.root.join("clone.git");
        if to.exists() {
            fs::remove_dir_all(&to).expect("rm -rf");
        }
        let (at, clone) = stage.clone_within();
        at.ok(clone);
        let made = stage.place.repo("clone.git");
        assert_eq!(made.refs(), stage.bare.refs());
        made.fsck();
        fs::remove_dir_all(&to).expect("rm -rf");
    },
    points: &[
        (fs_points::BORROWED, &[1, 3]),
        (fs_points::STORED, &[2]),
        (fs_points::CATALOGUED, &[2]),
    ],
    ..BASE
};

const LOADS: &[&Load] = &[
    &PUSH,
    &BUNDLE,
    &PACK,
    &PACKED_REFS,
    &TRANSACTION,
    &REFTABLE,
    &COLD,
    &EVICTION,
    &REPOSITORIES,
    &ELSEWHERE,
    &REPACK,
    &IMPORT,
    &LIVE,
    &COPY,
    &CLONE,
];

/// Points of the replicator that need another node, or a long log; all of its points are drilled
/// beside it, in `replicator/tests/it/failpoints.rs`.
const NOT_ON_A_MOUNT: &[Failpoint] = &[
    raft_points::COMPACTION_STAGED,
    raft_points::COMPACTION_WRITTEN,
    raft_points::SNAPSHOT_TAKING,
    raft_points::SNAPSHOT_LAYING,
    raft_points::SNAPSHOT_LAID,
    raft_points::SNAPSHOT_STAGED,
    raft_points::SNAPSHOT_WRITTEN,
];

#[test]
fn every_point_has_a_drill() {
    let drilled = LOADS.iter().flat_map(|load| load.points);
    let drilled = drilled.map(|(point, _)| point).chain(NOT_ON_A_MOUNT);
    let drilled: BTreeSet<_> = drilled.map(|point| point.name()).collect();
    let listed = fs_points::ALL
        .iter()
        .chain(job_points::ALL)
        .chain(store_points::ALL)
        .chain(raft_points::ALL);
    let listed: BTreeSet<_> = listed.map(|point| point.name()).collect();
    assert_eq!(drilled, listed);
}

#[test]
fn push() {
    PUSH.drill();
}

#[test]
fn bundle() {
    BUNDLE.drill();
}

#[test]
fn pack() {
    PACK.drill();
}

#[test]
fn packed_refs() {
    PACKED_REFS.drill();
}

#[test]
fn transaction() {
    TRANSACTION.drill();
}

#[test]
fn reftable() {
    if Installed::newest().has((2, 45), "reftable") {
        REFTABLE.drill();
    }
}

#[test]
fn cold_reads() {
    COLD.drill();
}

#[test]
fn eviction() {
    EVICTION.drill();
}

#[test]
fn repositories() {
    REPOSITORIES.drill();
}

#[test]
fn made_elsewhere() {
    ELSEWHERE.drill();
}

#[test]
fn repack() {
    REPACK.drill();
}

#[test]
fn import() {
    IMPORT.drill();
}

#[test]
fn live() {
    LIVE.drill();
}

#[test]
fn copy() {
    COPY.drill();
}

#[test]
fn clone_within() {
    CLONE.drill();
}

/// A misspelt point must not pass for a drill that was survived.
#[test]
fn an_unknown_point_is_refused() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    place.daemon().umount();
    let mut settings = place.daemon().settings().clone();
    for text in ["no::such=kill@1", "raft::applied", "raft::applied=kill@0"] {
        settings.env = vec![("GITMOOR_FAILPOINTS".into(), text.into())];
        let at = settings.at.display().to_string();
        let output = settings.gitmoor(&["mount", "--foreground", "--store", &settings.store, &at]);
        assert_eq!(output.status.code(), Some(2), "{text}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("GITMOOR_FAILPOINTS"), "{said}");
    }
    place.daemon().launch();
}
