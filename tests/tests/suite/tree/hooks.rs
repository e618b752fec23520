//! One directory of this machine as `hooks/` of every repository (`hooks`), on one mount; what an intruder cannot do
//! through it.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, names};
use gitmoor_tests::hostile::{Ground, INTRUDER};
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::wait;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// More than it takes until a directory is read again.
const BOUND: Duration = Duration::from_secs(30);

/// A hook, for whoever may run it.
pub(crate) fn put(dir: &Path, name: &str, script: &str) {
    let path = dir.join(name);
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).expect("mkdir");
        fs::set_permissions(above, Permissions::from_mode(0o755)).expect("chmod");
    }
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("chmod");
}

/// Refuses what goes to `refs/heads/closed`, by a file of `update.d/`.
pub(crate) fn rules(dir: &Path) {
    put(
        dir,
        "update",
        "exec \"$GIT_DIR/hooks/update.d/host\" \"$@\"",
    );
    let script = "[ \"$1\" != refs/heads/closed ] || { echo 'closed by the host' >&2; exit 1; }";
    put(dir, "update.d/host", script);
}

fn directory_of(settings: &Settings) -> PathBuf {
    settings.data.with_file_name("hooks-of-machine")
}

fn with_hooks(settings: Settings) -> Settings {
    let dir = directory_of(&settings);
    rules(&dir);
    let toml = format!("hooks = {:?}\n{}", dir.display().to_string(), settings.toml);
    Settings { toml, ..settings }
}

fn place() -> Place {
    Place::with(Kind::Dir, &Installed::newest(), with_hooks)
}

#[test]
fn every_repository_has_the_hooks_of_the_machine() {
    let place = place();
    let (bare, work) = place.pushed("app.git", 1);
    place.init("made/by-git.git", "");
    for name in ["app.git", "made/by-git.git"] {
        let hooks = place.root.join(name).join("hooks");
        let shown = names(&hooks).into_iter();
        let shown: Vec<_> = shown.filter(|name| !name.ends_with(".sample")).collect();
        assert_eq!(shown, ["update", "update.d"], "{name}");
        assert_eq!(names(&hooks.join("update.d")), ["host"]);
        let mode = fs::metadata(hooks.join("update"))
            .expect("stat")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o555);
    }
    let told = work.refuse("push origin HEAD:closed", "");
    assert!(told.contains("closed by the host"), "{told}");
    work.ok("push --quiet origin HEAD:open");
    assert!(bare.is("rev-parse --verify --quiet open"));
    assert!(!bare.is("rev-parse --verify --quiet closed"));
    // As hosts do at each start.
    place.init("app.git", "");
    fs::remove_dir_all(&bare.dir).expect("rm -rf");
    assert!(!bare.dir.exists());
}

/// A mount alone asks nobody.
#[test]
fn another_content_is_used_soon() {
    let place = place();
    let (_, work) = place.pushed("app.git", 1);
    work.refuse("push origin HEAD:closed", "");
    let dir = directory_of(place.daemon().settings());
    put(&dir, "update.d/host", "echo 'closed for all' >&2; exit 1");
    put(&dir, "post-receive", "echo 'seen by the host' >&2");
    wait::until("the new hook refuses", BOUND, || {
        work.refuse("push origin HEAD:closed", "")
            .contains("closed for all")
    });
    fs::remove_dir_all(dir.join("update.d")).expect("rm");
    put(&dir, "update", "exit 0");
    wait::until("the hook takes the push", BOUND, || {
        work.is("push --quiet origin HEAD:closed")
    });
    work.commit("again");
    let pushed = work.run("push origin HEAD:open", b"");
    let told = String::from_utf8_lossy(&pushed.stderr);
    assert!(told.contains("seen by the host"), "{told}");
}

/// The directory is not taken as it is, and the mount says why.
#[test]
fn a_directory_that_others_may_change_is_refused() {
    let settings = |change: fn(&Path)| {
        let dir = tempfile::tempdir().expect("a directory");
        let hooks = dir.path().join("hooks");
        rules(&hooks);
        change(&hooks);
        (dir, hooks)
    };
    let place = Place::new(Kind::Dir, &Installed::newest());
    let refused = |change: fn(&Path), why: &str| {
        let (dir, hooks) = settings(change);
        let at = dir.path().join("mnt");
        fs::create_dir(&at).expect("mkdir");
        let data = dir.path().join("data");
        let other = Settings {
            data,
            at: at.clone(),
            toml: String::new(),
            ..place.daemon().settings().clone()
        };
        let (hooks, at) = (hooks.display().to_string(), at.display().to_string());
        let output = other.gitmoor(&["mount", "--hooks", &hooks, &at]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && told.contains(why),
            "{why}: {told}"
        );
    };
    let other_user: fn(&Path) = |dir| chown(dir, Some(INTRUDER), None).expect("chown");
    refused(other_user, "belongs to user");
    let other_file: fn(&Path) = |dir| {
        chown(dir.join("update.d/host"), Some(INTRUDER), None).expect("chown");
    };
    refused(other_file, "belongs to user");
    let open: fn(&Path) = |dir| {
        fs::set_permissions(dir.join("update"), Permissions::from_mode(0o775)).expect("chmod");
    };
    refused(open, "others may write");
    let leaves: fn(&Path) = |dir| symlink("/bin/true", dir.join("pre-receive")).expect("ln -s");
    refused(leaves, "leads to /bin/true");
    let gone: fn(&Path) = |dir| fs::remove_dir_all(dir).expect("rm");
    refused(gone, "No such file");
    let (_dir, hooks) = settings(|_| {});
    let hooks = hooks.display().to_string();
    let at = place.root.display().to_string();
    let output =
        (place.daemon().settings()).gitmoor(&["mount", "--hooks", &hooks, "--noexec", &at]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("--noexec"), "{told}");
}

/// The owner of a repository does not get a byte of theirs run by others.
#[test]
fn the_owner_of_a_repository_changes_no_hook() {
    let ground = Ground::with(Kind::Dir, "", with_hooks);
    for script in [
        "echo x >hooks/update",
        "echo x >>hooks/update.d/host",
        "echo x >hooks/pre-receive",
        "echo x >hooks/update.d/mine",
        "rm hooks/update",
        "mv hooks/update update",
        "mv hooks mine",
        "rm -rf hooks",
        "mkdir hooks/post-receive.d",
        "mkdir -p mine && mv -T mine hooks",
        "printf x >evil && chmod +x evil && mv evil hooks/post-receive",
        "printf x >evil && mv -f evil hooks/update",
        "printf x >evil; ln -s ../evil hooks/post-update",
        "ln evil hooks/post-update",
        "ln -f evil hooks/update",
        "mkfifo hooks/pre-receive",
        "chmod 777 hooks/update",
        "chmod 777 hooks",
        "touch -d 2001-01-01 hooks/update",
        "truncate -s 0 hooks/update",
    ] {
        let output = ground.sh(script);
        assert!(!output.status.success(), "{script} succeeded");
        let mut root = Command::new("sh");
        let root = root.args(["-c", script]).current_dir(&ground.mine.dir);
        let output = root.output().expect("sh");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{script} succeeded for root");
        assert!(told.contains("Read-only file system"), "{script}: {told}");
    }
    assert_eq!(
        ground.sh_ok("ls hooks | grep -v sample | tr '\\n' ' '"),
        "update update.d"
    );
    assert_eq!(ground.sh_ok("ls -A hooks/update.d"), "host");
    // Samples are none.
    ground.sh_ok("echo x >hooks/mine.sample && chmod +x hooks/mine.sample && rm hooks/mine.sample");
    // Neither does an open descriptor, nor HEAD that is away for a while.
    let script = "cp HEAD saved && rm HEAD && ! echo x >hooks/update; mv saved HEAD.lock; mv HEAD.lock HEAD; \
                  grep -q update.d hooks/update";
    ground.sh_ok(script);
    let push = "git init --quiet \"$HOME/w\" && cd \"$HOME/w\" && \
                git -c user.name=a -c user.email=a@b commit --quiet --allow-empty -m more && \
                git push \"$M/a.git\" HEAD:closed";
    let output = ground.sh(push);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains("closed by the host"),
        "{told}"
    );
    ground.unharmed();
}
