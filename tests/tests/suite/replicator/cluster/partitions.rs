//! Machines that lose each other while clients of all of them push and read. What clients saw is recorded,
//! and must be what one repository on one disk could have shown them.

use super::mounts::{MACHINES, init};
use gitmoor_tests::cluster::{BOUND, Cluster};
use gitmoor_tests::git::Repo;
use gitmoor_tests::wait;
use nix::sys::signal::Signal;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// One branch's writers and readers: a single client moves it, from one commit to the next.
const BRANCHES: usize = 6;

/// What a client asked for, and when.
#[derive(Clone, Debug)]
struct Call {
    began: Instant,
    ended: Instant,
    /// Of a push: the commit's number, from 1. Of a read: that of the branch, 0 when it was not there.
    number: usize,
}

/// Of one branch.
#[derive(Default)]
struct History {
    /// Every commit's number.
    numbers: HashMap<String, usize>,
    /// Pushes that were acknowledged.
    done: Vec<Call>,
    /// When each push was begun, whatever became of it.
    begun: Vec<Instant>,
    reads: Vec<Call>,
}

fn push(work: &Repo, branch: usize, over: &AtomicBool) -> History {
    let mut history = History::default();
    // One whose turn never came pushes when all is well again.
    let mut late = 0;
    while late < 20 && (history.done.is_empty() || !over.load(Ordering::Relaxed)) {
        late += usize::from(over.load(Ordering::Relaxed));
        let number = history.begun.len() + 1;
        let oid = work.commit(&format!("{number}-of-{branch}"));
        history.numbers.insert(oid, number);
        let began = Instant::now();
        history.begun.push(began);
        if work.is(format!("push --quiet origin HEAD:refs/heads/{branch}")) {
            let ended = Instant::now();
            history.done.push(Call {
                began,
                ended,
                number,
            });
        }
    }
    history
}

/// What a reader saw, by name; a read that failed saw nothing.
fn read(
    cluster: &[Repo],
    reader: usize,
    over: &AtomicBool,
) -> Vec<(usize, Instant, Instant, String)> {
    let mut seen = Vec::new();
    let mut turn = reader;
    while !over.load(Ordering::Relaxed) {
        turn += 1;
        let (bare, branch) = (&cluster[turn % 3], turn % BRANCHES);
        let began = Instant::now();
        let name = format!("refs/heads/{branch}");
        let output = bare.run(["for-each-ref", "--format=%(objectname)", &name], b"");
        let ended = Instant::now();
        if output.status.success() {
            let oid = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            seen.push((branch, began, ended, oid));
        }
    }
    seen
}

impl History {
    /// With one writer, whose commits have numbers, a history is linearizable exactly if no read is behind a push
    /// that was acknowledged before it began, none is ahead of one that was begun only after it
    /// ended, and no read is behind one that ended before it began.
    fn check(&self, branch: usize) {
        for read in &self.reads {
            let before = self.done.iter().filter(|push| push.ended <= read.began);
            let oldest = before.map(|push| push.number).max().unwrap_or(0);
            assert!(
                read.number >= oldest,
                "branch {branch}: {read:?} is behind push {oldest}"
            );
            if read.number > 0 {
                let begun = self.begun[read.number - 1];
                assert!(
                    begun <= read.ended,
                    "branch {branch}: {read:?} is from the future"
                );
            }
            let earlier = self.reads.iter().filter(|other| other.ended <= read.began);
            let seen = earlier.map(|other| other.number).max().unwrap_or(0);
            assert!(
                read.number >= seen,
                "branch {branch}: {read:?} goes back behind {seen}"
            );
        }
    }
}

/// Runs clients of all machines while `trouble` goes on, and judges what they saw.
pub(super) fn beside_clients(mut cluster: Cluster, trouble: impl FnOnce(&mut Cluster)) {
    init(&cluster, 0, "app.git", "");
    let bare = MACHINES.map(|machine| cluster.repo(machine, "app.git"));
    let disk = cluster.git.at(cluster.scratch("disk"));
    let readers = MACHINES.map(|machine| {
        // From the disk, so that a mount that does not answer fails git, not its start.
        let path = bare[machine].path().to_owned();
        cluster
            .git
            .clone()
            .with_env("GIT_DIR", path)
            .at(disk.path())
    });
    let works: Vec<_> = (0..BRANCHES)
        .map(|branch| {
            let work = cluster.git.at(cluster.scratch(&format!("writer-{branch}")));
            work.ok("init --quiet");
            work.ok(format!("remote add origin {}", bare[branch % 3].url()));
            work
        })
        .collect();
    let over = AtomicBool::new(false);
    let mut histories = std::thread::scope(|scope: &Scope<'_, '_>| {
        let (over, readers) = (&over, &readers);
        let pushing: Vec<_> = works
            .iter()
            .enumerate()
            .map(|(branch, work)| scope.spawn(move || push(work, branch, over)))
            .collect();
        let reading: Vec<_> = (0..2)
            .map(|reader| scope.spawn(move || read(readers, reader, over)))
            .collect();
        let troubled =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| trouble(&mut cluster)));
        over.store(true, Ordering::Relaxed);
        let histories = pushing
            .into_iter()
            .map(|thread| thread.join().expect("a writer"));
        let mut histories: Vec<_> = histories.collect();
        for (branch, began, ended, oid) in reading
            .into_iter()
            .flat_map(|thread| thread.join().expect("a reader"))
        {
            let history = &mut histories[branch];
            let number = match oid.as_str() {
                "" => 0,
                oid => history.numbers[oid],
            };
            history.reads.push(Call {
                began,
                ended,
                number,
            });
        }
        troubled.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        histories
    });
    // At the end each is read once more, everywhere.
    for (branch, history) in histories.iter_mut().enumerate() {
        for bare in &bare {
            let began = Instant::now();
            let number = history.numbers[&bare.oid(&format!("refs/heads/{branch}"))];
            let ended = Instant::now();
            history.reads.push(Call {
                began,
                ended,
                number,
            });
        }
        history.check(branch);
        assert!(!history.done.is_empty(), "branch {branch}");
    }
    bare[0].fsck();
}

/// Until a push that is begun from now on is acknowledged through a machine.
pub(super) fn goes_on(cluster: &Cluster, machine: usize) {
    let bare = cluster.repo(machine, "app.git");
    let disk = cluster.git.at(cluster.scratch("disk"));
    let path = bare.path().to_owned();
    wait::until("commits go on", BOUND, || {
        let refs = format!("--git-dir={path} for-each-ref");
        let before = disk.run(&*refs, b"");
        before.status.success() && {
            std::thread::sleep(Duration::from_millis(200));
            let after = disk.run(&*refs, b"");
            after.status.success() && after.stdout != before.stdout
        }
    });
}

pub(super) fn all_go_on(cluster: &Cluster) {
    for machine in MACHINES {
        goes_on(cluster, machine);
    }
}

fn apart(cluster: &Cluster) -> &gitmoor_tests::namespaces::Namespaces {
    cluster.namespaces.as_ref().expect("machines apart")
}

#[test]
fn the_leader_is_cut_off() {
    beside_clients(Cluster::apart(), |cluster| {
        for _ in 0..2 {
            let leader = cluster.leader(0, &[]);
            let others = [(leader + 1) % 3, (leader + 2) % 3];
            goes_on(cluster, leader);
            for other in others {
                apart(cluster).cut(leader, other);
            }
            cluster.leader(others[0], &[leader]);
            goes_on(cluster, others[0]);
            goes_on(cluster, others[1]);
            apart(cluster).heal();
            goes_on(cluster, leader);
        }
    });
}

/// It goes on sending, and is heard, but hears nobody; then the reverse.
#[test]
fn one_direction_is_cut() {
    beside_clients(Cluster::apart(), |cluster| {
        for reverse in [false, true] {
            let leader = cluster.leader(0, &[]);
            let others = [(leader + 1) % 3, (leader + 2) % 3];
            for other in others {
                match reverse {
                    false => apart(cluster).deafen(leader, other),
                    true => apart(cluster).deafen(other, leader),
                }
            }
            goes_on(cluster, others[0]);
            goes_on(cluster, others[1]);
            apart(cluster).heal();
            all_go_on(cluster);
        }
    });
}

/// The two followers do not hear each other, but both the leader.
#[test]
fn the_followers_lose_each_other() {
    beside_clients(Cluster::apart(), |cluster| {
        let leader = cluster.leader(0, &[]);
        apart(cluster).cut((leader + 1) % 3, (leader + 2) % 3);
        all_go_on(cluster);
        apart(cluster).heal();
        all_go_on(cluster);
    });
}

/// It wakes up in another term, with clients whose requests it had before.
#[test]
fn the_leader_is_frozen_beside_clients() {
    beside_clients(Cluster::apart(), |cluster| {
        let leader = cluster.leader(0, &[]);
        cluster.signal(leader, Signal::SIGSTOP);
        let other = (leader + 1) % 3;
        cluster.leader(other, &[leader]);
        goes_on(cluster, other);
        std::thread::sleep(Duration::from_secs(20));
        cluster.signal(leader, Signal::SIGCONT);
        all_go_on(cluster);
    });
}

/// The check itself, on histories that are wrong.
mod wrong {
    use super::{Call, History};
    use std::time::{Duration, Instant};

    /// Two acknowledged pushes, from 0 to 10 and from 20 to 30, and these reads.
    fn history(reads: &[(u64, u64, usize)]) -> History {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let call = |(began, ended, number)| Call {
            began: at(began),
            ended: at(ended),
            number,
        };
        History {
            done: [(0, 10, 1), (20, 30, 2)].map(call).to_vec(),
            begun: vec![at(0), at(20)],
            reads: reads.iter().copied().map(call).collect(),
            ..History::default()
        }
    }

    #[test]
    fn none_is() {
        let reads = [
            (1, 5, 0),
            (1, 5, 1),
            (11, 15, 1),
            (21, 29, 1),
            (22, 40, 2),
            (31, 35, 2),
        ];
        history(&reads).check(0);
    }

    #[test]
    #[should_panic(expected = "is behind push 1")]
    fn behind() {
        history(&[(11, 15, 0)]).check(0);
    }

    #[test]
    #[should_panic(expected = "is from the future")]
    fn ahead() {
        history(&[(11, 15, 2)]).check(0);
    }

    #[test]
    #[should_panic(expected = "goes back behind 2")]
    fn back() {
        history(&[(21, 22, 2), (23, 24, 1)]).check(0);
    }
}
