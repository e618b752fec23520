//! Names and directories that the intruder chooses: how deep they are, what they say to a terminal, and whose they are.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::hostile::{BOUND, Ground, INTRUDER, as_intruder};
use gitmoor_tests::process::report;
use gitmoor_tests::wait;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Deleted repositories leave the disk with the next `gitmoor gc`.
const AT_ONCE: &str = "trash-keep = \"0s\"\ngc-grace = \"0s\"\n";

/// Directories in one another that have a path.
const LEVELS: usize = 900;

/// Renames chains of directories into one another, and answers how often that was possible.
fn deepen(dir: &Path, times: usize) -> usize {
    let chain = |name: &str| {
        let chain = dir.join(name);
        fs::create_dir_all(chain.join(vec!["d"; LEVELS].join("/"))).expect("a chain");
        chain
    };
    let mut all = chain("all");
    for done in 0..times {
        let next = chain(&format!("next-{done}"));
        let end = next.join(vec!["d"; LEVELS].join("/"));
        if fs::rename(&all, end.join("all")).is_err() {
            return done;
        }
        all = next;
    }
    times
}

/// What is moved must have a path where it goes.
#[test]
fn directories_that_are_moved_into_one_another_keep_their_paths() {
    let ground = Ground::new(Kind::Dir, AT_ONCE);
    ground.sh_ok("mkdir deep");
    let done = as_intruder(|| deepen(&ground.mine.dir.join("deep"), 4));
    assert!(done < 4, "{done}");
    ground.place.restart();
    ground.sh_ok("git update-ref refs/heads/two main && git fsck && rm -r deep");
    ground.unharmed();
}

/// What a version before let in.
#[test]
fn directories_without_a_path_end_no_daemon() {
    let ground = Ground::new(Kind::Dir, AT_ONCE);
    let real = ground.real_dir();
    ground.place.daemon().umount();
    let deep = real.join("deep");
    fs::create_dir(&deep).expect("mkdir");
    assert_eq!(deepen(&deep, 30), 30);
    chown(&deep, Some(INTRUDER), Some(INTRUDER)).expect("chown");
    ground.place.daemon().launch();
    ground.sh_ok("git update-ref refs/heads/two main && git fsck");
    for args in [&["gc"][..], &["repo", "delete", "a.git", "--yes"], &["gc"]] {
        let output = ground.gitmoor(args);
        assert!(output.status.success(), "{args:?}: {}", report(&output));
    }
    assert!(!real.exists(), "a purged repository is on the disk");
    ground.unharmed();
}

#[test]
fn the_owner_of_a_repository_is_the_owner_of_its_files_at_once() {
    let ground = Ground::new(Kind::Dir, "");
    let (top, main) = (&ground.mine.dir, ground.mine.dir.join("refs/heads/main"));
    let owner = |path: &Path| fs::metadata(path).expect("stat").uid();
    ground.sh_ok("git update-ref refs/heads/two main; find . | xargs stat >&2");
    assert_eq!(owner(&main), INTRUDER);
    // As chown -R does it: the top comes last.
    for path in [&main, top] {
        chown(path, Some(0), Some(0)).expect("chown");
    }
    wait::until("the kernel knows the owner", BOUND, || owner(&main) == 0);
    let mode = fs::metadata(&main).expect("stat").mode();
    let output = ground.sh("chmod 666 refs/heads/main");
    assert!(!output.status.success(), "{}", report(&output));
    assert_eq!(fs::metadata(&main).expect("stat").mode(), mode);
    assert_eq!(owner(&top.join("HEAD")), 0);
}

#[test]
fn a_directory_that_becomes_a_repository_stays_its_owners() {
    const TEAM: u32 = 61_300;
    let ground = Ground::new(Kind::Dir, "local = [\"scratch\"]\n");
    ground.sh_ok("mkdir modules");
    let local = ground.place.root.join("scratch/lib");
    for dir in [ground.mine.dir.join("modules/lib"), local] {
        fs::create_dir(&dir).expect("mkdir");
        chown(&dir, Some(1), Some(TEAM)).expect("chown");
        fs::set_permissions(&dir, Permissions::from_mode(0o2777)).expect("chmod");
        as_intruder(|| fs::write(dir.join("HEAD"), "ref: refs/heads/main\n").expect("written"));
        let meta = fs::metadata(&dir).expect("stat");
        let told = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
        assert_eq!(told, (1, TEAM, 0o2777), "{}", dir.display());
    }
    let repos = ground
        .place
        .daemon()
        .settings()
        .gitmoor_ok(&["repo", "list"]);
    assert!(
        repos.contains("a.git/modules/lib") && repos.contains("scratch/lib"),
        "{repos}"
    );
}

/// No name is another line of a command's or the log's, and none moves the cursor of a terminal.
#[test]
fn no_name_passes_for_a_line() {
    let ground = Ground::new(Kind::Dir, "");
    let name = ground.mine.dir.join("modules/\u{1b}[2J\nERROR forged");
    as_intruder(|| fs::create_dir_all(&name).expect("mkdir"));
    as_intruder(|| fs::write(name.join("HEAD"), "").expect("written"));
    let lock = ground.mine.dir.join("x\nERROR forged.lock");
    as_intruder(|| fs::write(&lock, "").expect("written"));
    ground.place.restart();
    ground.sh_ok("ls");
    let settings = ground.place.daemon().settings().clone();
    for args in [&["repo", "list"][..], &["audit", "a.git"], &["status"]] {
        let told = settings.gitmoor_ok(args);
        let is_forged =
            |line: &str| line.contains(|c: char| c.is_control()) || line.starts_with("ERROR");
        assert!(!told.lines().any(is_forged), "{args:?}: {told:?}");
    }
    let log = fs::read_to_string(&settings.log).expect("a log");
    assert!(log.contains("forged.lock"), "{log}");
    assert!(!log.lines().any(|line| line.starts_with("ERROR")), "{log}");
}

/// Files of a repository that is still being made: what is too much for all machines keeps nothing from going on.
#[test]
fn too_many_files_of_hosts_are_moved_aside() {
    let ground = Ground::new(Kind::Dir, "idle-publish = \"50ms\"\n");
    let new = ground.mine.dir.join("modules/new");
    as_intruder(|| {
        fs::create_dir_all(&new).expect("mkdir");
        fs::write(new.join("HEAD"), "ref: refs/heads/main\n").expect("written");
        fs::create_dir(new.join("branches")).expect("mkdir");
        for number in 0..40 {
            let file = new.join(format!("branches/{number:02}"));
            fs::write(file, vec![b'x'; 64 << 10]).expect("written");
        }
    });
    ground.sh_ok("git init -q --bare modules/new && git -C modules/new rev-parse --git-dir");
    let left = || fs::read_dir(new.join("branches")).expect("listed").count();
    wait::until("some are values, and no others are there", BOUND, || {
        left() < 17
    });
    assert!(left() > 10, "{}", left());
    ground.sh_ok("echo more >modules/new/description && rm -r modules/new && ! ls modules/new");
    ground.unharmed();
}
