//! Three mounts of one cluster: what one does the others see at once, and none overwrites what
//! another did.

use crate::repository::concurrency::together;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::{BOUND, Cluster, read};
use gitmoor_tests::git::{Args, Repo};
use gitmoor_tests::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub(super) const MACHINES: [usize; 3] = [0, 1, 2];

/// A work tree that pushes to a repository by way of one machine.
pub(crate) fn work(cluster: &Cluster, machine: usize, name: &str) -> Repo {
    let path = cluster.scratch(&format!("work-{machine}-{name}"));
    let work = cluster.git.at(&path);
    work.ok("init --quiet");
    let url = cluster.repo(machine, name).url();
    work.ok(format!("remote add origin {url}"));
    work
}

pub(crate) fn init(cluster: &Cluster, machine: usize, name: &str, options: &str) -> Repo {
    let at = cluster.mounted_on(machine).path().join(name);
    let disk = cluster.git.at(cluster.scratch("any"));
    disk.ok(format!("init --quiet --bare {options} {}", at.display()));
    cluster.git.at(at)
}

/// Each machine in turn changes what the others have just seen.
pub(super) fn seen_at_once(cluster: &Cluster, machines: &[usize], options: &str) {
    init(cluster, machines[0], "app.git", options);
    let works: Vec<_> = machines
        .iter()
        .map(|&machine| work(cluster, machine, "app.git"))
        .collect();
    let mut seen = String::new();
    for round in 0..12 {
        let writer = machines[round % machines.len()];
        let work = &works[round % machines.len()];
        if round > 0 {
            work.ok("pull --quiet origin main");
        }
        work.commit(&format!("round-{round}"));
        work.ok(format!(
            "push --quiet origin HEAD:main HEAD:refs/heads/team/{round}"
        ));
        if round > 3 {
            work.ok(format!(
                "push --quiet origin :refs/heads/team/{}",
                round - 3
            ));
        }
        if round % 5 == 4 {
            cluster.repo(writer, "app.git").ok("pack-refs --all");
        }
        let refs = cluster.repo(writer, "app.git").refs();
        assert_ne!(refs, seen);
        for &machine in machines {
            let bare = cluster.repo(machine, "app.git");
            assert_eq!(bare.refs(), refs, "round {round}, machine {machine}");
            assert_eq!(bare.oid("main"), work.oid("HEAD"), "round {round}");
        }
        seen = refs;
    }
    for &machine in machines {
        cluster.repo(machine, "app.git").fsck();
    }
}

#[test]
fn what_one_pushes_all_see() {
    let cluster = Cluster::mounted(Kind::Dir);
    seen_at_once(&cluster, &MACHINES, "");
}

#[test]
fn what_one_pushes_all_see_in_reftables() {
    let cluster = Cluster::mounted(Kind::S3s);
    if cluster.git.has((2, 45), "reftable") {
        seen_at_once(&cluster, &MACHINES, "--ref-format=reftable");
    }
}

/// Plain programs that are not git.
#[test]
fn names_of_repositories() {
    let cluster = Cluster::mounted(Kind::Dir);
    // A process of its own: this one would be shown for a moment what it has seen.
    let exists = |machine: usize, path: &str| {
        let path = cluster.mounted_on(machine).path().join(path);
        let test = Command::new("test").arg("-e").arg(path).status();
        test.expect("test(1)").success()
    };
    for round in 0..5 {
        let (one, other) = (round % 3, (round + 1) % 3);
        let (team, renamed) = (format!("team-{round}"), format!("other-{round}"));
        let app = format!("{team}/app.git");
        assert!(!exists(other, &team) && !exists(other, &app));
        let dir = cluster.mounted_on(one).path().join(&team);
        std::fs::create_dir(dir).expect("mkdir");
        assert!(exists(other, &team));
        init(&cluster, one, &app, "");
        assert!(exists(other, &app));
        let work = work(&cluster, other, &app);
        work.commit("first");
        work.ok("push --quiet origin HEAD:main");
        let at = |machine: usize| cluster.mounted_on(machine).path().to_owned();
        std::fs::rename(at(one).join(&team), at(one).join(&renamed)).expect("rename");
        assert!(!exists(other, &team));
        let moved = format!("{renamed}/app.git");
        assert_eq!(cluster.repo(other, &moved).oid("main"), work.oid("HEAD"));
        std::fs::remove_dir_all(at(other).join(&moved)).expect("rm -r");
        assert!(!exists(one, &moved));
        std::fs::remove_dir(at(one).join(&renamed)).expect("rmdir");
        assert!(!exists(other, &renamed));
    }
}

/// Somebody else writes the table between the commit of one that git has written and its answer.
#[test]
fn packed_refs_is_the_rendering_of_what_was_committed_and_of_nothing_later() {
    let cluster = Cluster::mounted_with(Kind::Dir, |settings| {
        let held = "refs::packed-committed=1*sleep(3000)".to_owned();
        settings.env.push(("GITMOOR_FAILPOINTS".to_owned(), held));
    });
    init(&cluster, 0, "app.git", "");
    let work = work(&cluster, 0, "app.git");
    let oid = work.commit("first");
    work.ok("push --quiet origin HEAD:refs/heads/one HEAD:refs/heads/three");
    let [one, other] = [0, 1].map(|machine| cluster.repo(machine, "app.git"));
    std::thread::scope(|scope| {
        let packing = scope.spawn(|| one.ok("pack-refs --all"));
        let table = || std::fs::read_to_string(other.dir.join("packed-refs"));
        wait::until("it is committed", BOUND, || {
            table().is_ok_and(|table| table.contains("refs/heads/one"))
        });
        let more = format!("{}{oid} refs/heads/two\n", table().expect("read"));
        other.write("packed-refs", more);
        packing.join().expect("git pack-refs");
    });
    assert_eq!(one.oid("two"), oid);
    one.ok("pack-refs --all");
    for bare in [&one, &other] {
        assert_eq!(bare.refs().lines().count(), 3);
    }
}

/// What is written in place, and new permission bits, as other machines see them.
#[test]
fn values_that_are_written_in_place_are_seen_by_all() {
    let cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    let work = work(&cluster, 0, "app.git");
    let (old, new) = (work.commit("first"), work.commit("second"));
    work.ok("push --quiet origin HEAD:refs/heads/main");
    let repo = |machine: usize| cluster.repo(machine, "app.git");
    for round in 0..20 {
        let (one, other) = (round % 3, (round + 1) % 3);
        let value = [&old, &new][round % 2];
        repo(one).write("refs/heads/x", format!("{value}\n"));
        assert_eq!(repo(other).oid("x"), *value, "round {round}");
        let held = std::fs::File::open(repo(other).dir.join("refs/heads/x")).expect("open");
        let bits = if round % 2 == 0 { "600" } else { "644" };
        let chmod = |machine: usize| {
            let path = repo(machine).dir.join("refs/heads/x");
            let done = Command::new("chmod").arg(bits).arg(path).status();
            assert!(done.expect("chmod(1)").success(), "round {round}");
        };
        chmod(one);
        chmod(other);
        held.metadata()
            .expect("the file that was open is the same one");
        let path = repo(one).dir.join("refs/heads/x");
        let shown = Command::new("stat")
            .args(["-c", "%a %s"])
            .arg(path)
            .output();
        let shown = shown.expect("stat(1)").stdout;
        assert_eq!(String::from_utf8_lossy(&shown).trim(), format!("{bits} 41"));
    }
}

/// The empty directory that one machine keeps is in no other's way, nor in its own.
#[test]
fn a_directory_of_refs_becomes_a_ref_and_back() {
    let cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    let works = MACHINES.map(|machine| work(&cluster, machine, "app.git"));
    let oid = works[0].commit("first");
    for machine in 1..3 {
        works[machine].ok(format!("fetch --quiet {} main", works[0].url()));
        works[machine].ok("reset --quiet --hard FETCH_HEAD");
    }
    let seen = |expected: &str| {
        for machine in MACHINES {
            let bare = cluster.repo(machine, "app.git");
            assert_eq!(bare.ok("for-each-ref --format=%(refname)"), expected);
            assert_eq!(bare.oid(expected), oid, "machine {machine}");
        }
    };
    for round in 0..3 {
        let [one, other] = [round % 3, (round + 1) % 3];
        works[one].ok("push --quiet origin HEAD:refs/heads/foo/bar");
        seen("refs/heads/foo/bar");
        works[other].ok("push --quiet origin :refs/heads/foo/bar");
        works[other].ok("push --quiet origin HEAD:refs/heads/foo");
        seen("refs/heads/foo");
        works[one].ok("push --quiet origin :refs/heads/foo");
    }
}

#[test]
fn settings_reach_every_machine() {
    let cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    for (round, value) in ["7", "8", "100"].into_iter().enumerate() {
        let set = ["repo", "config", "app.git", "pack.window", value];
        cluster.ok(round % 3, &set);
        for machine in MACHINES {
            let bare = cluster.repo(machine, "app.git");
            assert_eq!(bare.ok("config pack.window"), value, "machine {machine}");
        }
    }
}

/// Clients push branches of their own, and delete earlier ones, while refs are packed on every machine.
#[test]
fn packing_beside_pushes_and_deletions() {
    const WRITERS: usize = 6;
    const ROUNDS: usize = 6;
    let cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    let works = clients(&cluster, "app.git", WRITERS);
    for machine in MACHINES {
        let config = "config core.packedRefsTimeout 30000";
        cluster.repo(machine, "app.git").ok(config);
        let config = "config core.filesRefLockTimeout 30000";
        cluster.repo(machine, "app.git").ok(config);
    }
    for round in 0..ROUNDS {
        let done = together(&works, |number, work| {
            let branch = format!("refs/heads/{number}/{round}");
            let pushed = work.is(format!("push --quiet origin HEAD:{branch}"));
            // Another machine's packing may come in between: told, and tried again.
            let packed = || cluster.repo(number % 3, "app.git").is("pack-refs --all");
            let _ = packed();
            let old = format!("refs/heads/{number}/{}", round.wrapping_sub(1));
            let gone =
                round == 0 || (0..50).any(|_| work.is(format!("push --quiet origin :{old}")));
            pushed && gone
        });
        assert_eq!(done, [true; WRITERS], "round {round}");
        let mut expected: Vec<_> = (0..WRITERS)
            .map(|number| format!("refs/heads/{number}/{round}"))
            .collect();
        expected.sort();
        for machine in MACHINES {
            let bare = cluster.repo(machine, "app.git");
            let names = bare.ok("for-each-ref --format=%(refname)");
            let names: Vec<_> = names.lines().collect();
            assert_eq!(names, expected, "round {round}, machine {machine}");
        }
    }
    cluster.repo(0, "app.git").fsck();
}

/// The same store by its id; another is refused.
#[test]
fn all_machines_have_one_store() {
    let mut cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    cluster.kill9(2);
    let other = cluster.dir.path().join("other");
    let at = cluster.settings(2).at.display().to_string();
    let store = format!("dir:{}", other.display());
    std::fs::remove_file(cluster.data(2).join("store.url")).expect("it was recorded");
    let mount = ["mount", "--foreground", "--store", &store, &at];
    cluster.refused(2, &mount, 2, &["--store", "another store"]);
    // It was not recorded, and without a word it is the cluster's.
    cluster.ok(2, &["mount", &at]);
    let listed = cluster.ok(2, &["repo", "list"]);
    assert!(listed.contains("app.git"), "{listed}");
    cluster.ok(2, &["umount", &at]);
}

const CLIENTS: usize = 50;

/// Clients of the three machines, with a commit each.
fn clients(cluster: &Cluster, name: &str, count: usize) -> Vec<Repo> {
    clients_of(cluster, &MACHINES, name, count)
}

pub(super) fn clients_of(
    cluster: &Cluster,
    machines: &[usize],
    name: &str,
    count: usize,
) -> Vec<Repo> {
    (0..count)
        .map(|number| {
            let path = cluster.scratch(&format!("client-{number}"));
            let work = cluster.git.at(&path);
            work.ok("init --quiet");
            work.commit(&format!("by-{number}"));
            let url = cluster.repo(machines[number % machines.len()], name).url();
            work.ok(format!("remote add origin {url}"));
            work
        })
        .collect()
}

/// What others lost: 50 pushes at once, twenty times, are 1,000 branches.
#[test]
fn fifty_pushes_of_distinct_branches() {
    const ROUNDS: usize = 20;
    let cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    let works = clients(&cluster, "app.git", CLIENTS);
    for round in 0..ROUNDS {
        let done = together(&works, |number, work| {
            work.is(format!(
                "push --quiet origin HEAD:refs/heads/{round}/{number}"
            ))
        });
        assert_eq!(done, [true; CLIENTS], "round {round}");
        cluster.repo(round % 3, "app.git").ok("pack-refs --all");
    }
    let expected = works.iter().enumerate().flat_map(|(number, work)| {
        let oid = work.oid("HEAD");
        (0..ROUNDS).map(move |round| format!("{oid} refs/heads/{round}/{number}"))
    });
    let mut expected: Vec<_> = expected.collect();
    expected.sort();
    for machine in MACHINES {
        let bare = cluster.repo(machine, "app.git");
        let refs = bare.ok("for-each-ref --format=%(objectname)%20%(refname)");
        let mut refs: Vec<_> = refs.lines().collect();
        refs.sort_unstable();
        assert_eq!(refs, expected, "machine {machine}");
    }
    cluster.repo(2, "app.git").fsck();
}

/// And 50 to one branch: exactly one wins each round, and the others are told.
#[test]
fn fifty_pushes_to_one_branch() {
    let cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    let works = clients(&cluster, "app.git", CLIENTS);
    let (mut before, mut won) = (String::new(), 0);
    for round in 0..3 {
        let done = together(&works, |number, work| {
            if round > 0 {
                work.ok("fetch --quiet origin main");
                work.ok("reset --quiet --hard FETCH_HEAD");
                work.commit(&format!("{round}-by-{number}"));
            }
            work.is("push --quiet origin HEAD:refs/heads/main")
        });
        let winners: Vec<_> = (0..CLIENTS).filter(|number| done[*number]).collect();
        // In the first round nobody has another's commit; later those who fetched after a
        // winner may win as well, on top of it.
        assert!(!winners.is_empty(), "round {round}");
        won += winners.len();
        let tip = cluster.repo(0, "app.git").oid("main");
        assert_ne!(tip, before, "round {round}");
        for machine in MACHINES {
            let bare = cluster.repo(machine, "app.git");
            assert_eq!(bare.oid("main"), tip, "round {round}, machine {machine}");
            let chain = bare.ok("rev-list --first-parent main");
            let chain: Vec<_> = chain.lines().collect();
            for winner in &winners {
                let own = works[*winner].oid("HEAD");
                assert!(
                    chain.contains(&own.as_str()),
                    "round {round}: {winner} was told it won"
                );
            }
            assert!(before.is_empty() || chain.contains(&before.as_str()));
            assert_eq!(
                chain.len(),
                won,
                "round {round}: a loser's commit is on the branch"
            );
        }
        before = tip;
    }
    cluster.repo(1, "app.git").fsck();
}

/// The leader's machine is killed again and again while 50 clients of all machines push. What was
/// acknowledged is there, on every machine; what failed may be.
#[test]
fn the_leader_is_killed_beside_pushes() {
    const KILLS: usize = 4;
    let mut cluster = Cluster::mounted(Kind::Dir);
    init(&cluster, 0, "app.git", "");
    let works = clients(&cluster, "app.git", CLIENTS);
    let over = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        let over = &over;
        let pushing = works.iter().enumerate().map(|(number, work)| {
            scope.spawn(move || {
                let (mut acknowledged, mut commits) = (Vec::new(), 0);
                // Those whose turn never came push when nobody is killed any more.
                let mut late = 0;
                while late < 20 && (acknowledged.is_empty() || !over.load(Ordering::Relaxed)) {
                    late += usize::from(over.load(Ordering::Relaxed));
                    commits += 1;
                    let oid = work.commit(&format!("{commits}-by-{number}"));
                    if work.is(format!("push --quiet origin HEAD:refs/heads/{number}")) {
                        acknowledged.push(oid);
                    }
                }
                acknowledged
            })
        });
        let pushing: Vec<_> = pushing.collect();
        let mut asked = 0;
        for _ in 0..KILLS {
            let leader = cluster.leader(asked, &[]);
            let mounted = cluster.machines[leader].mount.as_mut().expect("it runs");
            mounted.kill9();
            asked = (leader + 1) % 3;
            cluster.leader(asked, &[leader]);
            // Acknowledged by the new one, before the old one comes back.
            let refs = cluster.repo(asked, "app.git").refs();
            wait::until("pushes go on", BOUND, || {
                cluster.repo(asked, "app.git").refs() != refs
            });
            let mounted = cluster.machines[leader].mount.as_mut().expect("it ran");
            mounted.launch();
        }
        over.store(true, Ordering::Relaxed);
        let pushed = pushing.into_iter().map(|thread| thread.join());
        pushed
            .map(|pushed| pushed.expect("a client"))
            .collect::<Vec<_>>()
    });
    let refs = cluster.repo(0, "app.git").refs();
    for machine in MACHINES {
        let bare = cluster.repo(machine, "app.git");
        assert_eq!(bare.refs(), refs, "machine {machine}");
        for (number, acknowledged) in acknowledged.iter().enumerate() {
            assert!(!acknowledged.is_empty(), "{number}");
            let there = bare.ok(format!("rev-list refs/heads/{number}"));
            let missing = acknowledged.iter().filter(|oid| !there.contains(*oid));
            assert_eq!(missing.count(), 0, "machine {machine}, client {number}");
        }
        bare.fsck();
    }
}

/// The first machine is the only one that runs; with a work tree of it, and the commit on `main`.
fn left_alone(mut cluster: Cluster) -> (Cluster, Repo, String) {
    init(&cluster, 0, "app.git", "");
    let work = work(&cluster, 0, "app.git");
    let first = work.commit("first");
    work.ok("push --quiet origin HEAD:main");
    cluster.kill9(1);
    cluster.kill9(2);
    (cluster, work, first)
}

/// One machine of three cannot know what the others do: it says so within a bound, and goes on
/// when they are back. With `stale-reads` it may be read meanwhile.
#[test]
fn a_minority_refuses() {
    let (mut cluster, work, first) = left_alone(Cluster::mounted(Kind::Dir));
    // From a directory of the disk, so that git itself meets the error.
    let disk = cluster.git.at(cluster.scratch("disk"));
    let tip = format!("-C {} rev-parse main", cluster.repo(0, "app.git").path());
    let began = Instant::now();
    let said = disk.fail(&*tip);
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    assert!(said.contains("Input/output error"), "{said}");
    let log = read(&cluster.log(0));
    assert!(
        log.contains("no majority of the cluster has answered"),
        "{log}"
    );
    // Whoever waits can be interrupted.
    let waits = || cluster.settings(0).status()["waits"].to_string();
    let mut git = cluster.git.command(disk.path().as_ref(), &tip.words());
    let mut git = git.stderr(Stdio::null()).spawn().expect("git");
    wait::until("it waits", BOUND, || waits().contains("the cluster"));
    let pid = Pid::from_raw(git.id().try_into().expect("a pid"));
    kill(pid, Signal::SIGINT).expect("it is there");
    let ended = git.wait().expect("a child");
    assert_eq!(ended.signal(), Some(Signal::SIGINT as i32));
    wait::until("nobody waits", BOUND, || !waits().contains("the cluster"));
    let log = read(&cluster.log(0));
    let refused = log.lines().filter(|line| line.contains("no majority"));
    let own = format!("pid={pid}}}");
    assert!(
        !refused.into_iter().any(|line| line.contains(&own)),
        "{log}"
    );
    cluster.mount(1);
    assert_eq!(disk.ok(&*tip), first);
    work.commit("second");
    work.ok("push --quiet origin HEAD:main");
    assert_eq!(cluster.repo(1, "app.git").oid("main"), work.oid("HEAD"));
}

#[test]
fn a_minority_may_be_read_where_that_is_allowed() {
    let (cluster, work, first) = left_alone(Cluster::mounted_with(Kind::Dir, |settings| {
        settings.toml = "stale-reads = \"1h\"".to_owned();
    }));
    assert_eq!(cluster.repo(0, "app.git").oid("main"), first);
    work.commit("second");
    work.fail("push --quiet origin HEAD:main");
    assert_eq!(cluster.repo(0, "app.git").oid("main"), first);
    let status = cluster.settings(0).status();
    let ago = status["confirmed_seconds_ago"].as_f64();
    assert!(ago.is_some_and(|ago| ago > 0.0), "{status}");
}
