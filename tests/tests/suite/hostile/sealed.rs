//! A finished object file is what it was checked for, whatever its writer kept a hand on.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::noise;
use gitmoor_tests::hostile::{Ground, as_intruder};
use gitmoor_tests::process::report;
use gitmoor_tests::s3::{Fault, Kind as S3};
use gitmoor_tests::wait;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BOUND: Duration = Duration::from_secs(30);

/// What the intruder keeps of a file that got a final name.
enum Hand {
    /// A descriptor.
    Open(File),
    /// A mapping in memory, whose descriptor is closed.
    Mapped(Mapping),
    /// Another name.
    Name(PathBuf),
}

impl Hand {
    /// Tries to put other bytes there. Whether that fails is all the same to the intruder.
    fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Open(file) => {
                let _ = file.write_all_at(bytes, 0);
                let _ = file.set_len(bytes.len() as u64);
            }
            Self::Mapped(mapping) => mapping.write(bytes),
            Self::Name(path) => {
                let _ = as_intruder(|| opened(path)?.write_all_at(bytes, 0));
                let _ = as_intruder(|| reopened(path)?.write_all_at(bytes, 0));
                let _ = as_intruder(|| fs::write(&*path, bytes));
                let _ = as_intruder(|| nix::unistd::truncate(&*path, 10).map_err(io::Error::from));
            }
        }
    }
}

fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// By a descriptor that is for no access at all.
fn reopened(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let place = options.read(true).custom_flags(libc::O_PATH).open(path)?;
    opened(Path::new(&format!("/proc/self/fd/{}", place.as_raw_fd())))
}

/// A shared mapping of a file from its beginning.
struct Mapping {
    at: *mut libc::c_void,
    len: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn of(file: &File) -> Self {
        let len = file.metadata().expect("stat").len() as usize;
        let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: the kernel chooses the place, and the length is the file's.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                protection,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        assert_ne!(at, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        Self { at, len }
    }

    fn write(&mut self, bytes: &[u8]) {
        let len = bytes.len().min(self.len);
        // SAFETY: so much is mapped, and the file is not cut short while it is.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.cast::<u8>(), len);
            libc::msync(self.at, self.len, libc::MS_SYNC);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing points there any more.
        unsafe { libc::munmap(self.at, self.len) };
    }
}

/// Gives bytes a final name and keeps a hand on them.
type Way = fn(repo: &Path, bytes: &[u8], to: &Path) -> io::Result<Hand>;

fn made(at: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create_new(true).open(at)?;
    file.write_all(bytes)?;
    Ok(file)
}

const WAYS: [(&str, Way); 8] = [
    ("renamed while it is open", |repo, bytes, to| {
        let file = made(&repo.join("objects/tmp_obj_1"), bytes)?;
        fs::rename(repo.join("objects/tmp_obj_1"), to)?;
        Ok(Hand::Open(file))
    }),
    ("linked while it is open", |repo, bytes, to| {
        let file = made(&repo.join("objects/tmp_obj_2"), bytes)?;
        fs::hard_link(repo.join("objects/tmp_obj_2"), to)?;
        fs::remove_file(repo.join("objects/tmp_obj_2"))?;
        Ok(Hand::Open(file))
    }),
    ("mapped, closed and renamed", |repo, bytes, to| {
        let file = made(&repo.join("objects/tmp_obj_3"), bytes)?;
        let mapping = Mapping::of(&file);
        drop(file);
        fs::rename(repo.join("objects/tmp_obj_3"), to)?;
        Ok(Hand::Mapped(mapping))
    }),
    ("linked, with its other name", |repo, bytes, to| {
        let other = repo.join("objects/tmp_obj_4");
        drop(made(&other, bytes)?);
        fs::hard_link(&other, to)?;
        Ok(Hand::Name(other))
    }),
    (
        "linked, with a name that it gets later",
        |repo, bytes, to| {
            let other = repo.join("objects/tmp_obj_5");
            drop(made(&other, bytes)?);
            fs::rename(&other, to)?;
            match fs::hard_link(to, &other) {
                Ok(()) => Ok(Hand::Name(other)),
                Err(_) => Ok(Hand::Name(to.to_owned())),
            }
        },
    ),
    ("written there, by a duplicate", |_, bytes, to| {
        let file = made(to, bytes)?;
        drop(file.try_clone()?);
        Ok(Hand::Open(file))
    }),
    ("written and mapped there", |_, bytes, to| {
        let file = made(to, bytes)?;
        let mapping = Mapping::of(&file);
        drop(file);
        Ok(Hand::Mapped(mapping))
    }),
    (
        "moved in from elsewhere while it is open",
        |repo, bytes, to| {
            let file = made(&repo.join("elsewhere"), bytes)?;
            fs::rename(repo.join("elsewhere"), to)?;
            Ok(Hand::Open(file))
        },
    ),
];

/// A loose object as git writes it, the path of its file below `objects`, and its id.
fn loose(work: &Repo, text: &[u8]) -> (Vec<u8>, PathBuf, String) {
    let oid = work.feed("hash-object -w --stdin", text);
    let path = Path::new(&oid[..2]).join(&oid[2..]);
    let bytes = fs::read(work.dir.join(".git/objects").join(&path));
    (bytes.expect("a loose object"), path, oid)
}

#[track_caller]
fn is_sound(ground: &Ground) {
    let checked = ground.gitmoor(&["fsck", "--deep", "a.git"]);
    assert!(checked.status.success(), "{}", report(&checked));
    ground.mine.fsck();
    ground.unharmed();
}

#[test]
fn nobody_writes_to_a_finished_object_by_any_hand() {
    let ground = Ground::new(Kind::Dir, "idle-publish = \"1h\"\n");
    let (work, repo) = (ground.place.work("objects"), &ground.mine.dir);
    let mut hands = Vec::new();
    for (n, (what, way)) in WAYS.iter().enumerate() {
        let text = noise(3000, n as u64);
        let (bytes, path, oid) = loose(&work, &text);
        let (other, ..) = loose(&work, &noise(3000, 100 + n as u64));
        let to = repo.join("objects").join(path);
        let hand = as_intruder(|| {
            fs::create_dir_all(to.parent().expect("a directory"))?;
            way(repo, &bytes, &to)
        });
        let mut hand = hand.unwrap_or_else(|error| panic!("{what}: {error}"));
        let shown = || ground.mine.bytes(format!("cat-file blob {oid}"), b"");
        assert!(shown() == text, "{what}: before");
        hand.write(&other);
        assert!(shown() == text, "{what}: before it is published");
        hands.push((what, hand, other, oid, text));
    }
    ground.sh_ok("git update-ref refs/heads/x main");
    for (what, hand, other, oid, text) in &mut hands {
        hand.write(other);
        let shown = ground.mine.bytes(format!("cat-file blob {oid}"), b"");
        assert!(shown == *text, "{what}: when it is published");
    }
    let kept: Vec<_> = hands
        .into_iter()
        .map(|(what, _, _, oid, text)| (what, oid, text))
        .collect();
    ground.place.cool();
    for (what, oid, text) in kept {
        let shown = ground.mine.bytes(format!("cat-file blob {oid}"), b"");
        assert!(shown == text, "{what}: what is stored");
    }
    is_sound(&ground);
}

/// What was checked before a crash is stored after it, whatever outlived the daemon.
#[test]
fn nobody_writes_to_what_was_finished_before_a_crash() {
    let ground = Ground::new(Kind::Dir, "idle-publish = \"1h\"\n");
    let (work, repo) = (ground.place.work("objects"), &ground.mine.dir);
    let mut hands = Vec::new();
    let of_the_disk = [
        "mapped, closed and renamed",
        "linked, with its other name",
        "linked, with a name that it gets later",
    ];
    for (n, (what, way)) in WAYS.iter().enumerate() {
        if !of_the_disk.contains(what) {
            continue;
        }
        let text = noise(3000, n as u64);
        let (bytes, path, oid) = loose(&work, &text);
        let (other, ..) = loose(&work, &noise(3000, 100 + n as u64));
        let to = repo.join("objects").join(path);
        let hand = as_intruder(|| {
            fs::create_dir_all(to.parent().expect("a directory"))?;
            way(repo, &bytes, &to)
        });
        hands.push((what, hand.expect("it gets its name"), other, oid, text));
    }
    ground.place.crash();
    let check = |when: &str, (what, hand, other, oid, text): &mut (&&str, Hand, Vec<u8>, _, _)| {
        hand.write(other);
        let shown = ground.mine.bytes(format!("cat-file blob {oid}"), b"");
        assert!(shown == *text, "{what}: {when}");
    };
    for hand in &mut hands {
        check("after the crash", hand);
    }
    ground.sh_ok("git update-ref refs/heads/x main");
    for hand in &mut hands {
        check("when it is published", hand);
    }
    drop(hands);
    ground.place.cool();
    is_sound(&ground);
}

/// The same of a pack: its index is finished after it.
#[test]
fn nobody_writes_to_a_finished_pack() {
    let ground = Ground::new(Kind::Dir, "idle-publish = \"1h\"\n");
    let (work, repo) = (ground.place.work("objects"), &ground.mine.dir);
    let oids = (0..4).map(|n| work.feed("hash-object -w --stdin", noise(900, n)) + "\n");
    let name = work.feed("pack-objects --quiet pack", oids.collect::<String>());
    let mut hands = Vec::new();
    for extension in ["pack", "idx"] {
        let file = format!("pack-{name}.{extension}");
        let bytes = fs::read(work.dir.join(&file)).expect("what pack-objects made");
        let hand = as_intruder(|| -> io::Result<File> {
            let (scratch, to) = (
                repo.join("objects/pack/tmp_pack_x"),
                repo.join("objects/pack").join(file),
            );
            let hand = made(&scratch, &bytes)?;
            fs::rename(scratch, to)?;
            Ok(hand)
        });
        hands.push((Hand::Open(hand.expect("it gets its name")), bytes.len()));
    }
    for (hand, len) in &mut hands {
        hand.write(&vec![0; *len]);
    }
    ground.mine.fsck();
    ground.sh_ok("git update-ref refs/heads/x main");
    for (hand, len) in &mut hands {
        hand.write(&vec![0; *len]);
    }
    ground.mine.fsck();
    drop(hands);
    ground.place.cool();
    is_sound(&ground);
}

/// What git may rewrite is rewritten while its former bytes are stored: the newer stay, and are stored next.
#[test]
fn what_is_rewritten_while_it_is_published_stays() {
    let ground = Ground::new(Kind::S3s, "idle-publish = \"50ms\"\n");
    let server = ground.place.server();
    let info = |name: &str| ground.mine.dir.join("objects/info").join(name);
    let lines = |n| noise(8000, n);
    let write = |name: &str, bytes: &[u8]| {
        as_intruder(|| {
            fs::write(info("tmp_new"), bytes)?;
            fs::rename(info("tmp_new"), info(name))
        })
    };
    server.reset();
    server.fail(S3::Put, Fault::Hold, 1);
    write("small", b"one\n").expect("the first");
    write("large", &lines(1)).expect("the first");
    wait::until("the store has a request", BOUND, || server.counts().put > 0);
    write("small", b"two\n").expect("the second");
    write("large", &lines(2)).expect("the second");
    ground.sh_ok("echo three >>objects/info/small");
    server.release();
    let settings = ground.place.daemon().settings().clone();
    wait::until("all is published", BOUND, || {
        settings.status()["pending"]["files"] == 0
    });
    let check = |when: &str| {
        let small = fs::read_to_string(info("small")).expect("it is there");
        assert_eq!(small, "two\nthree\n", "{when}");
        assert!(
            fs::read(info("large")).expect("it is there") == lines(2),
            "{when}"
        );
    };
    check("when it is published");
    ground.place.cool();
    check("what is stored");
    is_sound(&ground);
}

/// A name that is taken away while its file is stored stays away.
#[test]
fn what_is_renamed_while_it_is_published_does_not_come_back() {
    let ground = Ground::new(Kind::S3s, "idle-publish = \"50ms\"\n");
    let server = ground.place.server();
    let info = |name: &str| ground.mine.dir.join("objects/info").join(name);
    let write = |name: &str, bytes: &[u8]| {
        let written = as_intruder(|| {
            fs::write(info("tmp_new"), bytes)?;
            fs::rename(info("tmp_new"), info(name))
        });
        written.expect("the intruder's own repository");
    };
    let settings = ground.place.daemon().settings().clone();
    let all_is_published = || {
        wait::until("all is published", BOUND, || {
            settings.status()["pending"]["files"] == 0
        });
    };
    // One that the catalog has, and a newer one of the same name.
    write("before", &noise(8000, 1));
    all_is_published();
    server.reset();
    server.fail(S3::Put, Fault::Hold, 2);
    write("before", &noise(8000, 2));
    write("during", &noise(8000, 3));
    wait::until("the store has both", BOUND, || server.counts().put > 1);
    for name in ["before", "during"] {
        let renamed = as_intruder(|| fs::rename(info(name), info(&format!("{name}-renamed"))));
        renamed.expect(name);
    }
    server.release();
    all_is_published();
    let check = |when: &str| {
        for (name, n) in [("before", 2), ("during", 3)] {
            assert!(!info(name).exists(), "{when}: {name} is back");
            let renamed = fs::read(info(&format!("{name}-renamed"))).expect("it is there");
            assert!(renamed == noise(8000, n), "{when}: {name}");
        }
    };
    check("when it is published");
    ground.place.cool();
    check("what is stored");
    is_sound(&ground);
}

/// A name that git may rewrite is stored when whoever writes to its file has closed that.
#[test]
fn what_somebody_writes_to_is_published_when_that_is_done() {
    let ground = Ground::new(Kind::Dir, "idle-publish = \"50ms\"\n");
    let info = |name: &str| ground.mine.dir.join("objects/info").join(name);
    let settings = ground.place.daemon().settings().clone();
    let pending = || settings.status()["pending"]["files"].clone();
    let held = as_intruder(|| {
        let file = made(&info("tmp_held"), &noise(8000, 1))?;
        fs::rename(info("tmp_held"), info("held"))?;
        fs::write(info("tmp_other"), noise(8000, 2))?;
        fs::rename(info("tmp_other"), info("other"))?;
        Ok::<_, io::Error>(file)
    });
    let mut held = held.expect("the intruder's own repository");
    wait::until("the other is published", BOUND, || pending() == 1);
    held.write_all(&noise(8000, 3)).expect("it is theirs");
    let all = [noise(8000, 1), noise(8000, 3)].concat();
    assert!(fs::read(info("held")).expect("it is there") == all);
    drop(held);
    wait::until("all is published", BOUND, || pending() == 0);
    ground.place.cool();
    assert!(fs::read(info("held")).expect("it is there") == all);
    is_sound(&ground);
}

/// Who reads what is stored, past the daemon, keeps nobody from rewriting it, and the cache is not written to.
#[test]
fn what_is_read_can_be_rewritten() {
    let ground = Ground::new(Kind::Dir, "idle-publish = \"50ms\"\n");
    let info = |name: &str| ground.mine.dir.join("objects/info").join(name);
    let settings = ground.place.daemon().settings().clone();
    let all_is_published = || {
        wait::until("all is published", BOUND, || {
            settings.status()["pending"]["files"] == 0
        });
    };
    let before = noise(80_000, 1);
    as_intruder(|| fs::write(info("file"), &before)).expect("the intruder's own repository");
    all_is_published();
    assert!(fs::read(info("file")).expect("it is there") == before);
    let readers = [(); 2].map(|()| as_intruder(|| File::open(info("file"))).expect("open"));
    let mut all = before.clone();
    for n in 2..5 {
        let more = noise(5000, n);
        let appended = as_intruder(|| {
            let mut file = OpenOptions::new().append(true).open(info("file"))?;
            file.write_all(&more)
        });
        appended.expect("append");
        all.extend(more);
        assert!(fs::read(info("file")).expect("it is there") == all, "{n}");
    }
    for reader in readers {
        let mut shown = vec![0; before.len()];
        reader.read_exact_at(&mut shown, 0).expect("read");
        assert!(shown == before);
    }
    all_is_published();
    ground.place.cool();
    assert!(fs::read(info("file")).expect("it is there") == all);
    is_sound(&ground);
}

/// A publication that waits for the store holds up those of other repositories neither when they are due nor when the
/// daemon leaves.
#[test]
fn one_publication_that_is_stuck_holds_up_no_other() {
    let ground = Ground::new(Kind::S3s, "idle-publish = \"50ms\"\n");
    let server = ground.place.server();
    let stored = |oid: &str| {
        let objects = server.objects();
        objects.keys().any(|key| key.ends_with(&oid[2..]))
    };
    server.reset();
    server.fail(S3::Put, Fault::Hold, 1);
    let stuck = ground.sh_ok("head -c 9000 /dev/urandom | git hash-object -w --stdin");
    wait::until("the store has it", BOUND, || server.counts().put > 0);
    let other = ground.other.feed("hash-object -w --stdin", noise(9000, 1));
    wait::until("the other is stored", BOUND, || stored(&other));
    assert!(!stored(&stuck), "it is not held");
    server.release();
    let settings = ground.place.daemon().settings().clone();
    wait::until("all is published", BOUND, || {
        settings.status()["pending"]["files"] == 0
    });
    assert!(stored(&stuck));
    ground.unharmed();
}
