//! kill -9 at random instants under a mixed load: pushes and deletions, commits in
//! a linked work tree, fetches, maintenance; in both ref storages.
//!
//! `GITMOOR_DRILL_ROUNDS` sets how often the daemon is killed (by hand: 200),
//! `GITMOOR_DRILL_SEED` what is random. A failure names both.

use super::recovery::{EAGER, check, check_and_push};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::History;
use gitmoor_tests::ledger::Ledger;
use gitmoor_tests::place::Place;
use gitmoor_tests::{process, wait};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Kills in a run of the whole suite.
const ROUNDS: u64 = 12;
/// Changes that are acknowledged before a kill, at most.
const CHANGES: usize = 12;
/// From the last of them to the kill, at most: commands take longer, so that it
/// falls into all of their parts.
const DELAY: Duration = Duration::from_millis(60);

#[test]
fn kills() {
    let (rounds, seed) = (
        number("GITMOOR_DRILL_ROUNDS", ROUNDS),
        number("GITMOOR_DRILL_SEED", 1),
    );
    let drill = Drill::new();
    for round in 0..rounds {
        let context = Context { seed, round };
        drill.round(&mut context.random(0));
    }
    println!(
        "{} changes were acknowledged",
        drill.changes.load(Ordering::SeqCst)
    );
    drill.place.cool();
    for target in &drill.targets {
        target.ledger().check(&target.bare);
        target.bare.fsck();
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// Says how to get here again, should the round fail.
struct Context {
    seed: u64,
    round: u64,
}

impl Context {
    fn random(&self, thread: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed << 32 | self.round << 8 | thread)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "failed with GITMOOR_DRILL_SEED={} in round {}",
                self.seed, self.round
            );
        }
    }
}

struct Drill {
    place: Place,
    /// A repository for each ref storage.
    targets: Vec<Target>,
    /// A linked work tree of the first, on [`TREE`].
    tree: Repo,
    changes: AtomicUsize,
}

const TREE: &str = "refs/heads/tree";

/// A repository that is pushed to.
struct Target {
    bare: Repo,
    /// Where its pushes come from.
    work: Repo,
    /// A bare clone that follows it.
    mirror: Repo,
    ledger: Mutex<Ledger>,
}

impl Target {
    fn new(place: &Place, name: &str, options: &str) -> Target {
        let bare = place.init(&format!("{name}.git"), options);
        let work = place.work(&format!("{name}-work"));
        work.import(&History::default().commits("main", 3).stream());
        work.ok("reset --quiet --hard main");
        work.ok(format!("remote add origin {}", bare.url()));
        work.ok("push --quiet origin main");
        let mirror = place.clone("--mirror", &bare, &format!("{name}-mirror.git"));
        let ledger = Mutex::default();
        Target {
            bare,
            work,
            mirror,
            ledger,
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command in the repository, which may be gone before git could enter it. git may not
    /// notice: it reads a directory whose mount is gone again and again, for ever, when it
    /// looks for reflogs ("warning: error reading directory", its dir-iterator.c).
    fn may(&self, place: &Place, command: &str) -> bool {
        let command = format!("--git-dir {} {command}", self.bare.path());
        let ended = self.work.run_while(command, || place.daemon().is_alive());
        ended.is_some_and(|output| output.status.success())
    }

    fn push(&self, random: &mut StdRng) -> bool {
        match random.random_range(0..8) {
            0..5 => self.push_new(random),
            5 => self.push_several(random),
            _ => self.push_deletion(random),
        }
    }

    /// To a branch that may be there already.
    fn push_new(&self, random: &mut StdRng) -> bool {
        let name = format!("refs/heads/b{}", random.random_range(0..20));
        let oid = self.commit(random);
        self.ledger().will_set(&name, &oid);
        let done = self
            .work
            .is(format!("push --quiet --force origin {oid}:{name}"));
        if done {
            self.ledger().is_set(&name, &oid);
        }
        done
    }

    fn push_several(&self, random: &mut StdRng) -> bool {
        let oid = self.commit(random);
        let names: Vec<_> = (0..5).map(|n| format!("refs/heads/several/{n}")).collect();
        let specs: Vec<_> = names.iter().map(|name| format!("{oid}:{name}")).collect();
        names
            .iter()
            .for_each(|name| self.ledger().will_set(name, &oid));
        let done = self
            .work
            .is(format!("push --quiet --force origin {}", specs.join(" ")));
        if done {
            names
                .iter()
                .for_each(|name| self.ledger().is_set(name, &oid));
        }
        done
    }

    fn push_deletion(&self, random: &mut StdRng) -> bool {
        let name = {
            let ledger = self.ledger();
            let names = ledger.certain().into_iter().map(|(name, _)| name);
            let names: Vec<_> = names
                .filter(|name| name.starts_with("refs/heads/b"))
                .collect();
            let Some(name) = names.get(random.random_range(0..names.len().max(1))) else {
                return false;
            };
            (*name).to_owned()
        };
        self.ledger().will_delete(&name);
        let done = self.work.is(format!("push --quiet origin :{name}"));
        if done {
            self.ledger().is_deleted(&name);
        }
        done
    }

    /// A commit of the work tree's repository; its size decides how it is pushed and stored.
    fn commit(&self, random: &mut StdRng) -> String {
        let files = [1, 2, 15, 120][random.random_range(0..4)];
        let history = History::seeded(random.random()).files("next", files, 500, 50);
        self.work.import(&history.stream());
        self.work.oid("next")
    }

    fn maintain(&self, place: &Place, random: &mut StdRng) {
        let commands = [
            "gc --quiet",
            "repack -A -d --quiet",
            "pack-refs --all",
            "repack -d --quiet",
        ];
        self.may(place, commands[random.random_range(0..commands.len())]);
    }

    fn read(&self, place: &Place, random: &mut StdRng) {
        match random.random_range(0..3) {
            0 => self.may(place, "rev-list --objects --all --quiet"),
            1 => self.mirror.is("fetch --quiet --prune origin"),
            _ => self.may(place, "for-each-ref"),
        };
    }
}

/// A step of one thread's work.
type Work<'d> = Box<dyn FnMut(&mut StdRng) -> bool + Send + 'd>;

impl Drill {
    fn new() -> Drill {
        let place = Place::set(Kind::Dir, EAGER);
        let mut targets = vec![Target::new(&place, "files", "")];
        if place.git.has((2, 45), "reftable") {
            targets.push(Target::new(&place, "tables", "--ref-format=reftable"));
        }
        let tree = place.git.at(place.scratch("tree"));
        targets[0]
            .bare
            .ok(format!("worktree add --quiet -b tree {} main", tree.path()));
        for target in &targets {
            *target.ledger() = Ledger::of(&target.bare);
        }
        let changes = AtomicUsize::new(0);
        Drill {
            place,
            targets,
            tree,
            changes,
        }
    }

    /// Works, dies, and comes back with everything that was acknowledged.
    fn round(&self, random: &mut StdRng) {
        let stop = AtomicBool::new(false);
        let goal = self.changes.load(Ordering::SeqCst) + random.random_range(1..=CHANGES);
        let delay = DELAY.mul_f64(random.random());
        std::thread::scope(|scope| {
            for mut work in self.work() {
                let (mut random, stop) = (StdRng::from_rng(&mut *random), &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let acknowledged = work(&mut random);
                        self.changes
                            .fetch_add(acknowledged.into(), Ordering::SeqCst);
                    }
                });
            }
            wait::until("changes are acknowledged", process::LIMIT, || {
                self.changes.load(Ordering::SeqCst) >= goal
            });
            std::thread::sleep(delay);
            stop.store(true, Ordering::SeqCst);
            self.place.daemon().kill9();
        });
        self.place.daemon().sweep();
        self.place.daemon().launch();
        self.check();
    }

    /// What is done at the same time; each answers whether a change was acknowledged.
    fn work(&self) -> Vec<Work<'_>> {
        let mut all: Vec<Work<'_>> = vec![Box::new(|random| self.commit(random))];
        for target in &self.targets {
            all.push(Box::new(|random| target.push(random)));
            all.push(Box::new(|random| {
                target.maintain(&self.place, random);
                target.read(&self.place, random);
                false
            }));
        }
        all
    }

    /// In the linked work tree.
    fn commit(&self, random: &mut StdRng) -> bool {
        let name = format!("file-{}", random.random_range(0..10));
        fs::write(
            self.tree.dir.join(&name),
            random.random::<u64>().to_string(),
        )
        .expect("write");
        if !self.tree.is("add -A") {
            return false;
        }
        self.targets[0].ledger().will_commit(TREE);
        let output = self
            .tree
            .run("-c core.abbrev=40 commit --message drill", b"");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        // "[tree 0123…] drill"
        let oid = said
            .split([' ', ']'])
            .nth(1)
            .filter(|_| output.status.success());
        if let Some(oid) = oid {
            self.targets[0].ledger().is_set(TREE, oid);
        }
        oid.is_some()
    }

    fn check(&self) {
        let (first, others) = self.targets.split_first().expect("a target");
        for target in others {
            check(&self.place, &target.bare, &mut target.ledger());
        }
        check_and_push(&self.place, &first.bare, &first.work, &mut first.ledger());
        // As somebody goes on after a crash: index and work tree may be behind or ahead.
        self.tree.ok("reset --quiet --hard");
        assert_eq!(self.tree.ok("status --porcelain --untracked-files=no"), "");
    }
}
