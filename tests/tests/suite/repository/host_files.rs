//! Small files that hosts keep in a repository: replicated, and like any file to who writes them.

use crate::{local, mounted};
use gitmoor_tests::git::Repo;
use gitmoor_tests::mount::{Mounted, Settings};
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use gitmoor_tests::wait;
use nix::errno::Errno;
use serde_json::Value;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

local!(they_are_written_as_any_file);
mounted!(
    nothing_that_a_machine_runs_is_replicated,
    what_is_too_much_is_refused,
    no_quota_counts_them_and_the_audit_trail_has_them,
    they_go_where_the_repository_goes,
    they_come_back_from_the_trash,
    what_an_earlier_version_left_is_adopted,
    backed_up,
    safety_of_an_earlier_version_is_replicated,
    safety_of_a_config_without_the_include,
    a_setting_adds_names,
);

pub(crate) const NAMES: [&str; 12] = [
    "description",
    "gl-conf",
    "gl-perms",
    "gl-creator",
    "gl-forked-from",
    "gl-rm-ok",
    "git-daemon-export-ok",
    "cgitrc",
    "info/exclude",
    "info/attributes",
    "info/grafts",
    "branches/origin",
];

const BOUND: Duration = Duration::from_secs(30);

fn settings(place: &Place) -> Settings {
    place.daemon().settings().clone()
}

fn gitmoor(place: &Place, args: &[&str]) -> String {
    settings(place).gitmoor_ok(args)
}

/// What a command says that fails.
#[track_caller]
fn failure(place: &Place, args: &[&str]) -> String {
    let output = settings(place).gitmoor(args);
    assert!(!output.status.success(), "{args:?}");
    report(&output)
}

fn filled(place: &Place, name: &str) -> Repo {
    let (bare, _) = place.pushed(name, 2);
    for name in NAMES {
        bare.write(name, format!("# {name} of app\n"));
    }
    bare
}

#[track_caller]
fn is_filled(bare: &Repo) {
    for name in NAMES {
        assert_eq!(bare.read(name), format!("# {name} of app\n"));
    }
}

/// The real directory of the only repository.
fn home(place: &Place) -> PathBuf {
    let repos = fs::read_dir(settings(place).data.join("repos"));
    let mut repos = repos.expect("a data directory").flatten();
    let home = repos.next().expect("a repository").path();
    assert!(repos.next().is_none(), "the only one");
    home
}

fn they_are_written_as_any_file(place: &Place) {
    let bare = place.bare("app.git");
    for name in NAMES {
        let path = bare.dir.join(name);
        bare.write(name, "one\n");
        assert_eq!(bare.read(name), "one\n");
        let mut file = File::options().append(true).open(&path).expect("open");
        file.write_all(b"two\n").expect("append");
        drop(file);
        assert_eq!(bare.read(name), "one\ntwo\n", "{name}");
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(4))
            .expect("truncate");
        place.crash();
        assert_eq!(bare.read(name), "one\n", "{name}");

        // As gitolite does, and git.
        bare.write("any.lock", "three\n");
        fs::rename(bare.dir.join("any.lock"), &path).expect("rename");
        fs::set_permissions(&path, Permissions::from_mode(0o100_640)).expect("chmod");
        place.restart();
        assert_eq!(bare.read(name), "three\n", "{name}");
        let mode = fs::metadata(&path).expect("stat").permissions().mode();
        assert_eq!(mode, 0o100_640, "{name}");
        let dir = path.parent().expect("a directory");
        let last = path.file_name().expect("a name").to_string_lossy();
        assert!(bare.names(dir).contains(&last.into_owned()), "{name}");

        fs::remove_file(&path).expect("unlink");
        assert!(!path.exists());
        bare.write("any", "four\n");
        fs::hard_link(bare.dir.join("any"), &path).expect("link");
        fs::remove_file(bare.dir.join("any")).expect("unlink");
        assert_eq!(bare.read(name), "four\n");
        fs::remove_file(&path).expect("unlink");
        place.crash();
        assert!(!path.exists(), "{name}");
    }
    for (from, to) in [("gl-conf", "cgitrc"), ("branches/a", "branches/b")] {
        bare.write(from, "moved\n");
        fs::rename(bare.dir.join(from), bare.dir.join(to)).expect("rename");
        assert!(!bare.dir.join(from).exists());
        assert_eq!(bare.read(to), "moved\n");
    }
    assert_eq!(bare.names("branches"), ["b"]);
    fs::remove_dir_all(&bare.dir).expect("rm -r");
    assert!(!bare.dir.exists());
}

fn nothing_that_a_machine_runs_is_replicated(place: &Place) {
    let bare = place.bare("app.git");
    let path = bare.dir.join("gl-conf");
    let script = bare.dir.join("script");
    bare.write("script", "#!/bin/sh\n");
    fs::set_permissions(&script, Permissions::from_mode(0o755)).expect("chmod");
    fs::rename(&script, &path).expect("rename");
    let mode = || fs::metadata(&path).expect("stat").permissions().mode() & 0o7777;
    assert_eq!(mode(), 0o644, "without execute bits");
    fs::set_permissions(&path, Permissions::from_mode(0o4755)).expect("chmod");
    assert_eq!(mode(), 0o644);
    for name in NAMES {
        let path = bare.dir.join(name);
        // Not all of them are there.
        let _ = fs::remove_file(&path);
        let refused = symlink("/etc/passwd", &path).expect_err("symlink");
        assert_eq!(refused.raw_os_error(), Some(Errno::EINVAL as i32), "{name}");
        let refused = fs::create_dir(&path).expect_err("mkdir");
        assert_eq!(refused.raw_os_error(), Some(Errno::EINVAL as i32), "{name}");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect_err("mkfifo");
        symlink("/etc/passwd", bare.dir.join("link")).expect("symlink");
        fs::rename(bare.dir.join("link"), &path).expect_err("rename");
        fs::remove_file(bare.dir.join("link")).expect("unlink");
        assert!(path.symlink_metadata().is_err());
    }
}

fn what_is_too_much_is_refused(place: &Place) {
    let bare = place.bare("app.git");
    let most = "x".repeat(1 << 20);
    let refused = |error: std::io::Error| {
        assert_eq!(error.raw_os_error(), Some(Errno::EFBIG as i32), "{error}");
    };
    refused(fs::write(bare.dir.join("gl-conf"), format!("{most}x")).expect_err("in place"));
    bare.write("large", format!("{most}x"));
    let (from, to) = (bare.dir.join("large"), bare.dir.join("gl-conf"));
    refused(fs::rename(&from, &to).expect_err("by rename"));
    assert_eq!(bare.read("large").len(), (1 << 20) + 1, "as it was");
    bare.write("gl-conf", &most[..1 << 19]);
    bare.write("large", &most[..1 << 19]);
    refused(fs::rename(&from, bare.dir.join("cgitrc")).expect_err("all together"));
    bare.write("gl-conf", "less\n");
    fs::rename(&from, bare.dir.join("cgitrc")).expect("there is room");
}

fn no_quota_counts_them_and_the_audit_trail_has_them(place: &Place) {
    let (bare, work) = place.pushed("app.git", 1);
    gitmoor(place, &["repo", "limit", "app.git", "refs", "1"]);
    let info = || -> Value {
        let text = gitmoor(place, &["repo", "info", "app.git", "--json"]);
        serde_json::from_str(&text).expect("JSON")
    };
    let before = info();
    let began = gitmoor(place, &["audit", "app.git"]).lines().count();
    bare.write("description", "an application\nof ours\n");
    bare.write("branches/origin", "https://example.org/app.git\n");
    fs::remove_file(bare.dir.join("branches/origin")).expect("unlink");
    assert_eq!(info(), before, "neither counted nor pushed");
    assert_eq!(bare.refs().lines().count(), 1);
    work.fail("push --quiet origin main:other");
    let audit = gitmoor(place, &["audit", "app.git"]);
    let audit: Vec<_> = audit.lines().skip(began).collect();
    let [described, added, removed] = audit[..] else {
        panic!("{audit:#?}")
    };
    assert!(described.contains("file description"), "{described}");
    assert!(
        described.contains(r"-> an application\nof ours"),
        "{described}"
    );
    assert!(added.contains("nothing -> https://example.org"), "{added}");
    assert!(removed.contains("-> nothing"), "{removed}");
}

fn they_go_where_the_repository_goes(place: &Place) {
    let bare = filled(place, "app.git");
    gitmoor(place, &["repo", "fork", "app.git", "fork.git"]);
    is_filled(&place.repo("fork.git"));
    gitmoor(place, &["repo", "rename", "app.git", "team/app.git"]);
    is_filled(&place.repo("team/app.git"));
    let exported = place.scratch("exported.git");
    let to = exported.to_str().expect("UTF-8");
    gitmoor(place, &["export", "team/app.git", to]);
    is_filled(&place.git.at(&exported));
    gitmoor(place, &["import", to, "imported.git"]);
    let imported = place.repo("imported.git");
    is_filled(&imported);
    place.restart();
    is_filled(&imported);
    imported.fsck();
    gitmoor(place, &["gc", "--full", "imported.git"]);
    imported.fsck();
    is_filled(&imported);
    drop(bare);
}

fn they_come_back_from_the_trash(place: &Place) {
    let bare = filled(place, "app.git");
    gitmoor(place, &["repo", "delete", "--yes", "app.git"]);
    gitmoor(place, &["repo", "restore", "app.git"]);
    is_filled(&bare);
    // Piece by piece, with a text that is too long for the audit trail, and a mode.
    let long = "x".repeat(200_000);
    bare.write("gl-perms", &long);
    let path = bare.dir.join("cgitrc");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("chmod");
    fs::remove_dir_all(&bare.dir).expect("rm -rf");
    let restored = gitmoor(place, &["repo", "restore", "app.git"]);
    assert!(!restored.contains("digest"), "{restored}");
    assert_eq!(bare.read("gl-perms"), long);
    let mode = fs::metadata(&path).expect("stat").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    bare.write("gl-perms", "# gl-perms of app\n");
    is_filled(&bare);
    bare.fsck();
}

/// Plain files of this machine alone, under names that are replicated now.
fn what_an_earlier_version_left_is_adopted(place: &Place) {
    let bare = place.bare("app.git");
    bare.write("gl-perms", "READERS you\n");
    place.daemon().umount();
    let home = home(place);
    let left = |name: &str, text: &str| {
        let path = home.join("files").join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("mkdir");
        fs::write(path, text).expect("written by an earlier version");
    };
    left("gl-creator", "somebody\n");
    left("branches/origin", "https://example.org/app.git\n");
    left("gl-perms", "WRITERS me\n");
    place.daemon().launch();
    assert_eq!(bare.read("gl-creator"), "somebody\n");
    assert_eq!(bare.read("gl-perms"), "READERS you\n", "the replicated one");
    wait::until("they are adopted", BOUND, || {
        let is_gone = |name: &str| !home.join("files").join(name).exists();
        is_gone("gl-creator") && is_gone("branches/origin") && is_gone("gl-perms")
    });
    for _ in 0..2 {
        assert_eq!(bare.read("gl-creator"), "somebody\n");
        assert_eq!(
            bare.read("branches/origin"),
            "https://example.org/app.git\n"
        );
        place.restart();
    }
    let aside = fs::read_to_string(home.join("damaged/gl-perms")).expect("kept");
    assert_eq!(aside, "WRITERS me\n");
    let log = fs::read_to_string(settings(place).log).expect("a log");
    assert!(
        log.contains("moved aside") && log.contains("gl-perms"),
        "{log}"
    );
}

fn backed_up(place: &Place) {
    let bare = filled(place, "app.git");
    let settings = settings(place);
    settings.gitmoor_ok(&["backup"]);
    bare.write("description", "after the backup\n");
    place.daemon().umount();
    let restored = Settings {
        data: place.scratch("restored"),
        ..settings
    };
    restored.gitmoor_ok(&["restore", "--store", &restored.store]);
    let mounted = Mounted::start(restored);
    is_filled(&place.git.at(mounted.path().join("app.git")));
}

/// What a `config` said before such settings were replicated is replicated now.
fn safety_of_an_earlier_version_is_replicated(place: &Place) {
    let bare = place.bare("app.git");
    gitmoor(
        place,
        &["repo", "config", "app.git", "http.getanyfile", "false"],
    );
    place.daemon().umount();
    let config = home(place).join("files/config");
    let mut text = fs::read_to_string(&config).expect("config");
    text.push_str("[receive]\n\tdenyDeletes = true\n[http]\n\tgetanyfile = true\n");
    fs::write(&config, text).expect("written by an earlier version");
    place.daemon().launch();
    let set = || gitmoor(place, &["repo", "config", "app.git"]);
    wait::until("it is replicated", BOUND, || {
        set().contains("receive.denyDeletes")
    });
    // What was replicated stands.
    assert_eq!(bare.ok("config http.getanyfile"), "false", "{}", set());
    place.crash();
    assert_eq!(bare.ok("config receive.denyDeletes"), "true");
    bare.ok("config --unset receive.denyDeletes");
    assert!(!set().contains("denyDeletes"), "{}", set());
    place.crash();
    bare.fail("config receive.denyDeletes");
    assert_eq!(bare.ok("config http.getanyfile"), "false");
}

/// Who has taken the include out of `config` is held to the settings all the same.
fn safety_of_a_config_without_the_include(place: &Place) {
    let bare = place.bare("app.git");
    let text = bare.read("config");
    let text: Vec<_> = text.lines().skip(2).collect();
    bare.write("own", text.join("\n") + "\n");
    fs::rename(bare.dir.join("own"), bare.dir.join("config")).expect("rename");
    bare.fail("config receive.autogc");
    gitmoor(
        place,
        &["repo", "config", "app.git", "receive.denyDeletes", "true"],
    );
    assert_eq!(bare.ok("config receive.denyDeletes"), "true");
    bare.fail("config receive.autogc");
    gitmoor(
        place,
        &[
            "repo",
            "config",
            "app.git",
            "receive.denyDeletes",
            "--unset",
        ],
    );
    bare.fail("config receive.denyDeletes");
}

fn adding(names: &str) -> [&str; 5] {
    ["repo", "config", "app.git", "gitmoor.replicate", names]
}

/// What was a file of this machine under an added name becomes one of all.
fn a_setting_adds_names(place: &Place) {
    let bare = place.bare("app.git");
    for name in ["gl-extra", "info/extra"] {
        bare.write(name, "of this machine\n");
    }
    gitmoor(place, &adding("gl-extra\ninfo/extra"));
    let files = home(place).join("files");
    for name in ["gl-extra", "info/extra"] {
        assert_eq!(bare.read(name), "of this machine\n");
        wait::until("it is adopted", BOUND, || !files.join(name).exists());
        assert_eq!(bare.read(name), "of this machine\n");
        let path = bare.dir.join(name);
        let mut file = File::options().append(true).open(&path).expect("open");
        file.write_all(b"two\n").expect("append");
        drop(file);
        bare.write("any.lock", "three\n");
        fs::rename(bare.dir.join("any.lock"), &path).expect("rename");
        place.crash();
        assert_eq!(bare.read(name), "three\n");
        let listed = path.parent().expect("a directory");
        let last = path.file_name().expect("a name").to_string_lossy();
        assert!(bare.names(listed).contains(&last.into_owned()));
        let refused = symlink("/etc/passwd", bare.dir.join("link"))
            .and_then(|()| fs::rename(bare.dir.join("link"), &path));
        let refused = refused.expect_err("a link");
        assert_eq!(refused.raw_os_error(), Some(Errno::EINVAL as i32));
        fs::remove_file(bare.dir.join("link")).expect("unlink");
        assert!(!files.join(name).exists());
    }
    gitmoor(place, &["repo", "fork", "app.git", "fork.git"]);
    assert_eq!(place.repo("fork.git").read("gl-extra"), "three\n");
    let exported = place.scratch("exported.git");
    let to = exported.to_str().expect("UTF-8");
    gitmoor(place, &["export", "app.git", to]);
    assert_eq!(place.git.at(&exported).read("info/extra"), "three\n");
    let refused = failure(place, &adding("info/extra"));
    assert!(refused.contains("gl-extra"), "{refused}");
    fs::remove_file(bare.dir.join("gl-extra")).expect("unlink");
    gitmoor(place, &adding("info/extra"));
    bare.write("gl-extra", "of this machine\n");
    assert!(files.join("gl-extra").exists());
    let refused = failure(place, &adding("hooks"));
    assert!(refused.contains("gitmoor.replicate"), "{refused}");
}
