//! A replicated value is shown as it is committed, whatever somebody does with the file of its name
//! (`fs/src/repository/draft.rs`).

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::hostile::Ground;
use gitmoor_tests::place::Place;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Ways to have a file open for writing, and to write nothing. `$1` is the file, `$2` what happens meanwhile.
const UNWRITTEN: [&str; 4] = [
    r#"touch "$1"; eval "$2""#,
    r#": >>"$1"; eval "$2""#,
    r#"exec 3<>"$1"; eval "$2"; exec 3>&-"#,
    r#"exec 3<>"$1"; exec 3>&-; eval "$2""#,
];

/// The intruder's repository for root's git, which would not touch it otherwise.
fn mine(ground: &Ground) -> Repo {
    let git = Installed::newest().with_home(&ground.home);
    let git = git.with_env("GIT_CONFIG_COUNT", "1");
    let git = git.with_env("GIT_CONFIG_KEY_0", "safe.directory");
    git.with_env("GIT_CONFIG_VALUE_0", "*").at(&ground.mine.dir)
}

fn script(body: &str, file: &str, meanwhile: &str) -> String {
    format!("set -e; run() {{ {body}; }}; run '{file}' '{meanwhile}'")
}

#[test]
fn an_open_without_a_write_hides_no_later_change() {
    let ground = Ground::new(Kind::Dir, "");
    let mine = mine(&ground);
    let (new, old) = (mine.oid("main"), mine.oid("main~1"));
    for body in UNWRITTEN {
        mine.ok(format!("update-ref refs/heads/x {old}"));
        let update = format!("git update-ref refs/heads/x {new}");
        ground.sh_ok(&script(body, "refs/heads/x", &update));
        assert_eq!(mine.oid("x"), new, "{body}");

        mine.ok("symbolic-ref HEAD refs/heads/main");
        let update = "git symbolic-ref HEAD refs/heads/x";
        ground.sh_ok(&script(body, "HEAD", update));
        assert_eq!(mine.ok("symbolic-ref HEAD"), "refs/heads/x", "{body}");

        mine.ok("pack-refs --all");
        let update = format!("git update-ref refs/heads/late {new} && git pack-refs --all");
        ground.sh_ok(&script(body, "packed-refs", &update));
        assert_eq!(mine.oid("late"), new, "{body}");
        mine.ok("update-ref -d refs/heads/late");
        assert!(!mine.is("rev-parse --verify --quiet late"), "{body}");
    }
    ground.place.restart();
    assert_eq!(mine.oid("x"), new);
    ground.unharmed();
}

#[test]
fn an_open_list_of_tables_hides_no_later_ref() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let bare = tables(&place);
    let oid = bare.oid("main");
    for (n, body) in UNWRITTEN.iter().enumerate() {
        let update =
            format!("git update-ref refs/heads/a{n} {oid}; git update-ref refs/heads/b{n} {oid}");
        sh(&bare, &script(body, "reftable/tables.list", &update));
        for name in ["a", "b"] {
            assert_eq!(bare.oid(&format!("{name}{n}")), oid, "{body}");
        }
    }
    bare.fsck();
}

fn tables(place: &Place) -> Repo {
    let bare = place.init("tables.git", "--ref-format=reftable");
    bare.import(&gitmoor_tests::history::commits(3));
    bare
}

#[track_caller]
fn sh(bare: &Repo, script: &str) {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).current_dir(&bare.dir);
    let output = gitmoor_tests::process::run(&mut command, b"", gitmoor_tests::process::LIMIT);
    let report = gitmoor_tests::process::report(&output);
    assert!(output.status.success(), "{script}: {report}");
}

/// A list of tables takes nothing away but by git's own way.
#[test]
fn a_list_of_tables_that_is_written_in_place_removes_no_table() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let bare = tables(&place);
    let (refs, names) = (bare.refs(), bare.names("reftable"));
    let list = bare.dir.join("reftable/tables.list");
    let bytes = fs::read(&list).expect("read");
    fs::write(&list, &bytes).expect("the same again");
    assert_eq!(bare.refs(), refs);
    for empty in ["", "\n", "no table\n", "none-such.ref\n"] {
        fs::write(&list, empty).expect("write");
        assert_eq!(bare.names("reftable"), names, "{empty:?}");
        let lock = list.with_extension("list.lock");
        fs::write(&lock, empty).expect("write");
        fs::rename(&lock, &list).expect("rename");
        assert_eq!(bare.names("reftable"), names, "{empty:?}, by a lock");
        fs::write(&list, &bytes).expect("write");
        assert_eq!(bare.refs(), refs, "{empty:?}");
    }
    let file = OpenOptions::new().write(true).open(&list).expect("open");
    file.set_len(0).expect("ftruncate");
    file.write_all_at(&bytes, 0).expect("write");
    drop(file);
    assert_eq!(bare.refs(), refs);
    truncate(&list, 0);
    assert_eq!(bare.names("reftable"), names, "truncate(2)");
    fs::write(&list, &bytes).expect("write");
    place.restart();
    assert_eq!(bare.refs(), refs);
    bare.ok("update-ref refs/heads/x main");
    bare.fsck();
}

fn truncate(path: &Path, size: u64) {
    let size = i64::try_from(size).expect("small");
    nix::unistd::truncate(path, size).expect("truncate(2)");
}

/// Rounds of a writer beside a reader that does nothing else; odd, so that the second value is the last.
const ROUNDS: usize = 101;

/// Writes two values in turns, in place, beside readers: they see one of the two, always, and after a
/// close the new one at once.
fn beside_readers(path: &Path, values: [&[u8]; 2]) {
    fs::write(path, values[0]).expect("write");
    let (ended, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    let is_whole = |seen: &[u8]| values.contains(&seen);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    match fs::read(path) {
                        Ok(seen) => assert!(is_whole(&seen), "{}: {seen:?}", path.display()),
                        // Another file twice while it was opened, as docs/semantics/files.md says.
                        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ESTALE)),
                    }
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..ROUNDS {
                let value = values[(round + 1) % 2];
                write(path, value);
                let size = fs::metadata(path).expect("stat").len();
                assert_eq!(size, value.len() as u64, "round {round}");
                assert_eq!(read(path), value, "round {round}");
            }
        }));
        ended.store(true, Ordering::Relaxed);
        written.expect("the writer");
    });
    assert!(reads.load(Ordering::Relaxed) > 0, "nobody read meanwhile");
}

/// Opens again when the name got another file twice while it was opened, as docs/semantics/files.md says.
fn write(path: &Path, value: &[u8]) {
    let mut tried = (0..100).map(|_| fs::write(path, value));
    let stale = |done: &std::io::Result<()>| matches!(done, Err(error) if error.raw_os_error() == Some(libc::ESTALE));
    let done = tried.find(|done| !stale(done));
    done.expect("it is opened in the end").expect("write");
}

/// Looks again when readers make the kernel find another file twice.
fn read(path: &Path) -> Vec<u8> {
    fs::read(path).expect("nobody writes now")
}

#[test]
fn what_is_written_in_place_is_seen_at_its_close_and_not_before() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (bare, _) = place.pushed("app.git", 3);
    let (new, old) = (bare.oid("main"), bare.oid("main~1"));
    bare.ok("update-ref refs/heads/x main");
    let line = |oid: &str| format!("{oid}\n").into_bytes();
    beside_readers(&bare.dir.join("refs/heads/x"), [&line(&old), &line(&new)]);
    let head = |name: &str| format!("ref: refs/heads/{name}\n").into_bytes();
    beside_readers(
        &bare.dir.join("HEAD"),
        [&head("a longer name"), &head("main")],
    );
    beside_readers(
        &bare.dir.join("shallow"),
        [&line(&old), &[line(&old), line(&new)].concat()],
    );
    fs::remove_file(bare.dir.join("shallow")).expect("rm");
    bare.ok("tag -a -m one v1 main");
    bare.ok("pack-refs --all");
    let table = fs::read(bare.dir.join("packed-refs")).expect("read");
    let longer = [table.clone(), format!("{new} refs/zzz\n").into_bytes()].concat();
    beside_readers(&bare.dir.join("packed-refs"), [&longer, &table]);
    let unusual = format!("{new} refs/heads/by-hand\n").into_bytes();
    beside_readers(&bare.dir.join("packed-refs"), [&unusual, &table]);
    bare.fsck();

    let bare = tables(&place);
    let list = bare.dir.join("reftable/tables.list");
    let bytes = fs::read(&list).expect("read");
    let more = [b"another.ref\n", &*bytes].concat();
    beside_readers(&list, [&more, &bytes]);
    bare.fsck();
}

/// Whoever has it open for reading reads what he opened; its writer reads what it wrote.
#[test]
fn what_is_open_stays_what_it_was() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (bare, _) = place.pushed("app.git", 3);
    let (new, old) = (bare.oid("main"), bare.oid("main~1"));
    bare.ok("update-ref refs/heads/x main~1");
    let path = bare.dir.join("refs/heads/x");
    let mut before = File::open(&path).expect("open");
    let options = || OpenOptions::new().read(true).write(true).clone();
    let mut writer = options().truncate(true).open(&path).expect("open");
    let mut meanwhile = File::open(&path).expect("open");
    writer.write_all(new.as_bytes()).expect("write");
    assert_eq!(text(&mut before), format!("{old}\n"));
    assert_eq!(before.metadata().expect("fstat").len(), 41);
    assert_eq!(text(&mut meanwhile), format!("{old}\n"));
    assert_eq!(fs::metadata(&path).expect("stat").len(), 41);
    assert_eq!(writer.metadata().expect("fstat").len(), 40);
    let mut written = [0; 40];
    writer.read_exact_at(&mut written, 0).expect("read");
    assert_eq!(written, new.as_bytes());
    let mut appender = OpenOptions::new().append(true).open(&path).expect("open");
    appender
        .write_all(b"\n")
        .expect("append to what the other has written");
    assert_eq!(writer.metadata().expect("fstat").len(), 41);
    assert_eq!(bare.oid("x"), old, "not before a close");
    drop(writer);
    assert_eq!(bare.read("refs/heads/x"), format!("{new}\n"));
    drop(appender);
    assert_eq!(bare.read("refs/heads/x"), format!("{new}\n"));
    drop((before, meanwhile));
    assert_eq!(fs::metadata(&path).expect("stat").len(), 41);
}

fn text(file: &mut File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).expect("read");
    text
}

#[test]
fn a_value_is_made_by_the_close_of_its_file() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (bare, _) = place.pushed("app.git", 2);
    let path = bare.dir.join("refs/heads/new");
    let create = || OpenOptions::new().write(true).create_new(true).open(&path);
    let mut file = create().expect("create");
    create().expect_err("somebody makes it already");
    writeln!(file, "{}", bare.oid("main")).expect("write");
    file.set_permissions(Permissions::from_mode(0o640))
        .expect("fchmod");
    assert!(!bare.is("rev-parse --verify --quiet refs/heads/new"));
    drop(file);
    assert_eq!(bare.oid("new"), bare.oid("main"));
    assert_eq!(fs::metadata(&path).expect("stat").mode() & 0o7777, 0o640);

    // Nothing is left of what is never closed.
    let path = bare.dir.join("refs/heads/never");
    let mut file = File::create(&path).expect("create");
    file.write_all(b"half").expect("write");
    place.crash();
    drop(file);
    assert!(!path.exists());
    bare.fsck();
}

/// A shell's redirection and the children of a program have duplicates of its descriptor; closing
/// one of those is not the end of a value.
#[test]
fn a_value_is_committed_by_the_last_close_alone() {
    let ground = Ground::new(Kind::Dir, "");
    let mine = mine(&ground);
    let (new, old) = (mine.oid("main"), mine.oid("main~1"));
    for (n, write) in [
        "{ printf %s $A; cat $R >&2; echo $B; } >$R",
        "{ printf %s $A; git rev-parse x >&2; true | cat; echo $B; } >$R",
        "exec 3>$R; printf %s $A >&3; (cat $R >&2); echo $B >&3; exec 3>&-",
        "exec 3>$R; cat $R >&2; exec 4>&3 3>&-; cat $R >&2; echo $A$B >&4; exec 4>&-",
        "exec 3<>$R 4>&3; exec 3>&-; echo $A$B >&4; cat $R >&2; exec 4>&-",
    ]
    .into_iter()
    .enumerate()
    {
        mine.ok("update-ref refs/heads/x main~1");
        let (a, b) = new.split_at(20);
        let script = format!("A={a} B={b} R=refs/heads/x; {write}; cat $R");
        let output = ground.sh(&script);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        let seen = text(&output.stderr);
        assert!(
            seen.lines().all(|line| line == old),
            "{n}: meanwhile {seen:?}"
        );
        assert!(!seen.is_empty(), "{n}");
        assert_eq!(text(&output.stdout), new, "{n}");
        mine.ok("update-ref refs/heads/x main~1");
        ground.sh_ok(&format!(
            "{script} 2>/dev/null; test $(cat refs/heads/x) = {new}"
        ));
    }
    // Nothing is written at all: a file that is empty, at once.
    ground.sh_ok(": >refs/heads/x; test -f refs/heads/x; test ! -s refs/heads/x");
    ground.sh_ok("touch refs/heads/y; test -f refs/heads/y; rm refs/heads/x refs/heads/y");
    ground.unharmed();
}

/// What others have changed meanwhile is not overwritten, and what is gone does not come back.
#[test]
fn a_close_overwrites_nothing_that_it_has_not_seen() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (bare, _) = place.pushed("app.git", 3);
    let path = bare.dir.join("refs/heads/x");
    bare.ok("update-ref refs/heads/x main~2");
    let mut file = OpenOptions::new().write(true).open(&path).expect("open");
    let older = format!("{}\n", bare.oid("main~1"));
    file.write_all(older.as_bytes()).expect("write");
    // The children that run these have a duplicate of the descriptor, and close it.
    bare.ok("update-ref refs/heads/x main");
    let closed = nix::unistd::close(file).expect_err("somebody has moved it");
    assert_eq!(closed, nix::errno::Errno::ESTALE);
    assert_eq!(bare.oid("x"), bare.oid("main"));

    let mut file = OpenOptions::new().write(true).open(&path).expect("open");
    writeln!(file, "{}", bare.oid("main~1")).expect("write");
    fs::remove_file(&path).expect("rm");
    nix::unistd::close(file).expect("an unlinked file is closed without a complaint");
    assert!(!path.exists());
}

/// Another mount numbers its inodes in the same way: whoever has a file there with the number of the value is told
/// all the same when the value cannot be committed.
#[test]
fn a_file_of_another_mount_takes_no_error_from_a_close() {
    let [place, other] = [(); 2].map(|()| Place::new(Kind::Dir, &Installed::newest()));
    let (bare, _) = place.pushed("app.git", 2);
    let path = bare.dir.join("refs/heads/x");
    bare.ok("update-ref refs/heads/x main~1");
    let mut file = OpenOptions::new().write(true).open(&path).expect("open");
    let number = file.metadata().expect("fstat").ino();
    let info = other.bare("other.git").dir.join("info");
    let _same = (0..10_000)
        .map(|n| File::create(info.join(n.to_string())).expect("create"))
        .find(|file| file.metadata().expect("fstat").ino() == number)
        .expect("a file of the other mount with this number");
    let older = format!("{}\n", bare.oid("main~1"));
    file.write_all(older.as_bytes()).expect("write");
    bare.ok("update-ref refs/heads/x main");
    let closed = nix::unistd::close(file).expect_err("somebody has moved it");
    assert_eq!(closed, nix::errno::Errno::ESTALE);
    assert_eq!(bare.oid("x"), bare.oid("main"));
}

#[test]
fn a_value_has_a_largest_size() {
    let ground = Ground::new(Kind::Dir, "");
    for name in ["refs/heads/x", "HEAD", "shallow", "packed-refs"] {
        let script = format!("truncate -s 8T {name} 2>&1; echo $?; truncate -s 300M {name} 2>&1");
        let said = ground.sh(&script);
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains("File too large"), "{name}: {said}");
        assert!(ground.place.daemon().is_alive(), "{name}");
    }
    // As on a disk, a file is there that could not be made larger.
    ground.sh_ok("rm refs/heads/x shallow && git fsck && git rev-parse main");
    ground.unharmed();
}

/// What is no table, and too large for a value, is refused before it is sent anywhere.
#[test]
fn a_large_packed_refs_of_rubbish_is_refused() {
    let ground = Ground::new(Kind::Dir, "");
    let refs = mine(&ground).refs();
    let rubbish = "yes rubbish | head -c 5000000";
    for attempt in [
        format!("{rubbish} >x && mv x packed-refs"),
        format!("{rubbish} >packed-refs.lock && mv packed-refs.lock packed-refs"),
    ] {
        let output = ground.sh(&format!("({attempt}) 2>&1"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("File too large"), "{attempt}: {said}");
        assert!(!output.status.success(), "{attempt}");
        assert_eq!(mine(&ground).refs(), refs);
    }
    ground.unharmed();
}

/// An attribute is changed, and the file stays the one that it was.
#[test]
fn new_permission_bits_are_no_new_file() {
    let ground = Ground::new(Kind::Dir, "");
    let mode = |name: &str| {
        let meta = fs::metadata(ground.mine.dir.join(name)).expect("stat");
        meta.mode() & 0o7777
    };
    ground.sh_ok("git update-ref refs/heads/deep/x main");
    for name in ["refs/heads/main", "HEAD", "refs/heads/deep/x"] {
        ground.sh_ok(&format!(
            "exec 3<{name}; chmod 600 {name}; cat <&3; chmod 600 {name}"
        ));
        assert_eq!(mode(name), 0o600, "{name}");
        ground.sh_ok(&format!(
            "chmod 644 {name}; touch {name}; chown $(id -u) {name}"
        ));
        assert_eq!(mode(name), 0o644, "{name}");
    }
    ground.sh_ok("git pack-refs --all --no-prune; chmod -R g+w refs HEAD packed-refs");
    assert_eq!(mode("refs/heads/main"), 0o664);
    // A lock that was taken before it goes on.
    let oid = mine(&ground).oid("main~1");
    ground.sh_ok(&format!(
        "set -e; set -C; echo {oid} >refs/heads/main.lock; chmod 600 refs/heads/main; \
         mv refs/heads/main.lock refs/heads/main"
    ));
    assert_eq!(mine(&ground).oid("main"), oid);
    ground.unharmed();
}

/// The replicated settings are nobody's file.
#[test]
fn nobody_replaces_the_settings() {
    let ground = Ground::new(Kind::Dir, "");
    let before = ground.sh_ok("cat gitmoor.config");
    ground.sh_ok("echo '[gc]' >x; mkdir d; mkfifo f; ln -s x l");
    for attempt in [
        "mv -f x gitmoor.config",
        "mv -fT d gitmoor.config",
        "mv -f f gitmoor.config",
        "mv -fT l gitmoor.config",
        "mv -f refs/heads/main gitmoor.config",
        "mv gitmoor.config y",
        "ln x gitmoor.config",
        "ln -f x gitmoor.config",
        "ln -s x gitmoor.config",
        "ln -sfT x gitmoor.config",
        "ln gitmoor.config y",
        "mkdir gitmoor.config",
        "mkfifo gitmoor.config",
        "rm -f gitmoor.config",
        "rmdir gitmoor.config",
        "chmod 600 gitmoor.config",
        "truncate -s 0 gitmoor.config",
        "echo x >gitmoor.config",
        "echo x >>gitmoor.config",
        "touch gitmoor.config",
        "git config -f gitmoor.config gc.auto 1",
    ] {
        let output = ground.sh(attempt);
        assert!(!output.status.success(), "{attempt}");
        assert_eq!(ground.sh_ok("cat gitmoor.config"), before, "{attempt}");
    }
    assert_eq!(mine(&ground).ok("config receive.autogc"), "false");
    ground.unharmed();
}

/// What a version before left under the names of values stands for nothing.
#[test]
fn real_files_of_a_version_before_are_no_values() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (bare, _) = place.pushed("app.git", 2);
    bare.ok("pack-refs --all --no-prune");
    let refs = bare.refs();
    let data = place.daemon().settings().data.clone();
    place.daemon().umount();
    let repos = fs::read_dir(data.join("repos"))
        .expect("a directory")
        .flatten();
    for files in repos.map(|repo| repo.path().join("files")) {
        fs::create_dir_all(files.join("refs/heads")).expect("mkdir");
        for name in [
            "refs/heads/main",
            "HEAD",
            "packed-refs",
            "shallow",
            "gitmoor.config",
        ] {
            fs::write(
                files.join(name),
                "1111111111111111111111111111111111111111\n",
            )
            .expect("write");
        }
    }
    place.daemon().launch();
    assert_eq!(bare.refs(), refs);
    assert_eq!(bare.ok("symbolic-ref HEAD"), "refs/heads/main");
    assert_eq!(bare.ok("config receive.autogc"), "false");
    let names = bare.names(".");
    assert!(!names.contains(&"shallow".to_owned()), "{names:?}");
    assert!(!names.contains(&"gitmoor.config".to_owned()), "{names:?}");
    bare.fsck();
}

/// isatty(3), which asks at each open of many languages' libraries.
#[test]
fn questions_to_devices_are_answered_without_a_line_in_the_log() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (bare, _) = place.pushed("app.git", 1);
    let head = File::open(bare.dir.join("HEAD")).expect("open");
    let asked = nix::unistd::isatty(&head);
    assert!(
        matches!(asked, Ok(false) | Err(nix::errno::Errno::ENOTTY)),
        "{asked:?}"
    );
    let log = fs::read_to_string(&place.daemon().settings().log).expect("the log");
    assert!(!log.contains("ioctl"), "{log}");
}
