//! Power loss: what nobody synced is gone, on every disk at once.
//!
//! Everything acknowledged is there afterwards. With a file system for each kind
//! of data, so that nobody's fsync saves what another forgot: one journal commit makes
//! all earlier names of its file system durable, whoever made them.

use super::recovery::{EAGER, check_and_push, come_back_armed, disarm};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::history::History;
use gitmoor_tests::ledger::Ledger;
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::power::Disk;
use gitmoor_tests::{process, wait};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tempfile::TempDir;

const MEBIBYTES: u64 = 192;
/// Acknowledged changes before each cut.
const CUTS: [usize; 5] = [1, 2, 5, 9, 14];

/// Everything that Gitmoor has on this machine.
struct Machine {
    place: Place,
    /// In the order in which their power is cut: what is promised of a later one
    /// (a commit) rests on the earlier ones (its objects).
    disks: Vec<Disk>,
    // Last, so that nothing is mounted in it when it is removed.
    _dir: TempDir,
}

impl Machine {
    /// One disk for everything.
    fn of_one_disk(kind: Kind) -> Option<Machine> {
        let dir = tempfile::Builder::new().prefix("gitmoor-power-").tempdir();
        let dir = dir.expect("temporary directory");
        let disk = Disk::new(&dir.path().join("disk"), MEBIBYTES)?;
        let place = Place::with(kind, &Installed::newest(), |settings| Settings {
            data: disk.path().join("data"),
            store: match kind {
                Kind::Dir => format!("dir:{}", disk.path().join("store").display()),
                _ => settings.store,
            },
            toml: EAGER.to_owned(),
            ..settings
        });
        let disks = vec![disk];
        Some(Machine {
            place,
            disks,
            _dir: dir,
        })
    }

    /// Store, staging and replicator each on their own.
    fn of_three_disks() -> Option<Machine> {
        let dir = tempfile::Builder::new().prefix("gitmoor-power-").tempdir();
        let dir = dir.expect("temporary directory");
        let store = Disk::new(&dir.path().join("store"), MEBIBYTES)?;
        let data = Disk::new(&dir.path().join("disk"), MEBIBYTES)?;
        let place = Place::with(Kind::Dir, &Installed::newest(), |settings| Settings {
            data: data.path().join("data"),
            store: format!("dir:{}", store.path().join("store").display()),
            toml: EAGER.to_owned(),
            ..settings
        });
        place.daemon().umount();
        let replica = data.path().join("data/replica");
        let replica = Disk::over(&replica, &dir.path().join("replica"), MEBIBYTES)?;
        place.daemon().launch();
        let disks = vec![store, data, replica];
        Some(Machine {
            place,
            disks,
            _dir: dir,
        })
    }

    fn cut(&self) {
        self.disks.iter().for_each(Disk::write_control);
        self.disks.iter().for_each(Disk::cut);
        self.place.daemon().kill9();
    }

    fn restore(&self) {
        // One may be mounted on one before it.
        self.disks.iter().rev().for_each(Disk::unmount);
        self.disks.iter().for_each(Disk::restore);
        self.place.daemon().sweep();
        self.place.daemon().launch();
    }
}

/// A repository with its only writer.
struct Writer {
    bare: Repo,
    work: Repo,
    ledger: Ledger,
    step: u64,
    /// A file beside repositories: what it was last given, and what of that was acknowledged.
    note: PathBuf,
    noted: [Option<u64>; 2],
}

impl Writer {
    fn new(place: &Place, name: &str, options: &str) -> Writer {
        let work = place.work(&format!("{name}-work"));
        work.import(&History::default().commits("main", 3).stream());
        work.ok("reset --quiet --hard main");
        let bare = place.init(&format!("{name}.git"), options);
        work.ok(format!("remote add origin {}", bare.url()));
        let ledger = Ledger::default();
        Writer {
            bare,
            work,
            ledger,
            step: 0,
            note: place.root.join(format!("{name}-note")),
            noted: [None, None],
        }
    }

    /// One change; whether git acknowledged it.
    fn step(&mut self) -> bool {
        self.step += 1;
        match self.step % 8 {
            2 => self.move_many(),
            4 => self.maintain(),
            5 => self.write_note(),
            7 => self.delete(),
            _ => self.push(),
        }
    }

    fn push(&mut self) -> bool {
        let files = [1, 20, 120][self.step as usize % 3];
        let history = History::seeded(self.step).files("next", files, 3000, 50);
        self.work.import(&history.stream());
        let oid = self.work.oid("next");
        let name = format!("refs/heads/b{}", self.step % 10);
        self.ledger.will_set(&name, &oid);
        let done = self
            .work
            .is(format!("push --quiet --force origin {oid}:{name}"));
        if done {
            self.ledger.is_set(&name, &oid);
        }
        done
    }

    /// Many refs in one transaction.
    fn move_many(&mut self) -> bool {
        let history = History::seeded(self.step).files("next", 1, 3000, 50);
        self.work.import(&history.stream());
        let oid = self.work.oid("next");
        let names: Vec<_> = (0..40).map(|n| format!("refs/heads/many/{n}")).collect();
        names
            .iter()
            .for_each(|name| self.ledger.will_set(name, &oid));
        let specs: Vec<_> = names.iter().map(|name| format!("{oid}:{name}")).collect();
        let push = format!("push --quiet --force --atomic origin {}", specs.join(" "));
        let done = self.work.is(push);
        if done {
            names.iter().for_each(|name| self.ledger.is_set(name, &oid));
        }
        done
    }

    fn delete(&mut self) -> bool {
        let certain = self.ledger.certain();
        let Some(name) = certain.first().map(|(name, _)| (*name).to_owned()) else {
            return false;
        };
        self.ledger.will_delete(&name);
        let done = self.work.is(format!("push --quiet origin :{name}"));
        if done {
            self.ledger.is_deleted(&name);
        }
        done
    }

    /// As an editor saves a file.
    fn write_note(&mut self) -> bool {
        let made = self.note.with_extension("new");
        self.noted[0] = Some(self.step);
        let written = fs::write(&made, self.step.to_string());
        let done = written.and_then(|()| fs::rename(&made, &self.note)).is_ok();
        if done {
            self.noted[1] = self.noted[0];
        }
        done
    }

    /// The file is as it was acknowledged, or as it was given last.
    fn check_note(&mut self) {
        let found = fs::read_to_string(&self.note).ok();
        let found = found.map(|text| text.parse().expect("a number"));
        assert!(
            self.noted.contains(&found),
            "{found:?}, but {:?}",
            self.noted
        );
        self.noted = [found, found];
    }

    /// Everything is rewritten and the old deleted: where a missing sync costs most.
    fn maintain(&mut self) -> bool {
        let commands = ["gc --quiet", "commit-graph write --reachable"];
        let git_dir = self.bare.path();
        let may = |command: &&str| self.work.is(format!("--git-dir {git_dir} {command}"));
        commands.iter().all(may)
    }
}

/// Work until so many changes are acknowledged; the power fails in the midst of the next.
fn work_until(machine: &Machine, writers: &mut [Writer], goal: usize) {
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for writer in writers {
            scope.spawn(|| {
                let writer = writer;
                while !stop.load(Ordering::SeqCst) {
                    done.fetch_add(writer.step().into(), Ordering::SeqCst);
                }
            });
        }
        wait::until("changes are acknowledged", process::LIMIT, || {
            done.load(Ordering::SeqCst) >= goal
        });
        stop.store(true, Ordering::SeqCst);
        machine.cut();
    });
}

fn power_cuts(machine: Option<Machine>) {
    let Some(machine) = machine else { return };
    let mut writers = vec![Writer::new(&machine.place, "files", "")];
    if machine.place.git.has((2, 45), "reftable") {
        writers.push(Writer::new(
            &machine.place,
            "tables",
            "--ref-format=reftable",
        ));
    }
    for goal in CUTS {
        work_until(&machine, &mut writers, goal);
        machine.restore();
        for writer in &mut writers {
            writer.check_note();
            let Writer {
                bare, work, ledger, ..
            } = writer;
            check_and_push(&machine.place, bare, work, ledger);
        }
    }
    machine.place.cool();
    for writer in &mut writers {
        writer.ledger.check(&writer.bare);
        writer.bare.fsck();
    }
}

#[test]
fn one_disk() {
    power_cuts(Machine::of_one_disk(Kind::Dir));
}

#[test]
fn a_disk_for_each_kind_of_data() {
    power_cuts(Machine::of_three_disks());
}

#[test]
fn objects_in_s3() {
    power_cuts(Machine::of_one_disk(Kind::S3s));
}

/// The new pack of a repack is stored before the old ones leave the catalog. The publisher has it when the
/// daemon leaves: while git is at it yet, the daemon must not die.
#[test]
fn repack_in_the_publishers_hands() {
    let Some(machine) = Machine::of_three_disks() else {
        return;
    };
    let mut writer = Writer::new(&machine.place, "files", "");
    (0..3).for_each(|_| assert!(writer.step()));
    come_back_armed(&machine.place, "publish::unsent=kill@1");
    writer.bare.ok("repack -a -d --quiet");
    let settings = machine.place.daemon().settings().clone();
    settings.gitmoor(&["umount", settings.at.to_str().expect("UTF-8")]);
    wait::until("the publisher dies", process::LIMIT, || {
        !machine.place.daemon().is_alive()
    });
    machine.cut();
    disarm(&machine.place);
    machine.restore();
    let Writer {
        bare, work, ledger, ..
    } = &mut writer;
    check_and_push(&machine.place, bare, work, ledger);
}

/// A git that was answered for its last step, and for that alone, loses nothing; one in the midst of its transaction
/// leaves a prefix.
#[test]
fn in_the_midst_of_a_transaction() {
    let Some(machine) = Machine::of_three_disks() else {
        return;
    };
    let mut writer = Writer::new(&machine.place, "files", "");
    (0..2).for_each(|_| assert!(writer.step()));
    for waiting in [1, 20, 38] {
        let points = format!("refs::gathered={}*off->sleep(10000)", waiting - 1);
        come_back_armed(&machine.place, &points);
        std::thread::scope(|scope| {
            let push = scope.spawn(|| writer.move_many());
            std::thread::sleep(std::time::Duration::from_millis(1500));
            machine.cut();
            push.join().expect("no panic");
        });
        disarm(&machine.place);
        machine.restore();
        let Writer {
            bare, work, ledger, ..
        } = &mut writer;
        let moved = |oid: &str| {
            bare.refs()
                .matches(&format!("{oid} refs/heads/many/"))
                .count()
        };
        println!("{} of 40 have moved", moved(&work.oid("next")));
        check_and_push(&machine.place, bare, work, ledger);
    }
}

/// A commit that is made is reported as made, whatever becomes of the file that it was read from:
/// a git that is told of an error removes the tables that the committed list names.
#[test]
fn the_disk_of_lock_files_goes_alone() {
    let Some(machine) = Machine::of_three_disks() else {
        return;
    };
    let place = &machine.place;
    if !place.git.has((2, 45), "reftable") {
        return;
    }
    let mut writer = Writer::new(place, "tables", "--ref-format=reftable");
    assert!(writer.step());
    place.daemon().umount();
    place.daemon().arm("refs::committed=sleep(1000)");
    place.daemon().launch();
    let settings = place.daemon().settings().clone();
    let lists = || {
        let records = settings.gitmoor_ok(&["audit", "tables.git"]);
        records.matches("reftable/tables.list").count()
    };
    let before = lists();
    std::thread::scope(|scope| {
        let push = scope.spawn(|| writer.step());
        wait::until("a list is committed", process::LIMIT, || lists() > before);
        machine.disks[1].cut();
        push.join().expect("no panic");
    });
    place.daemon().kill9();
    place.daemon().arm("");
    machine.restore();
    let Writer {
        bare, work, ledger, ..
    } = &mut writer;
    check_and_push(place, bare, work, ledger);
}
