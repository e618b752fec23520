//! Modes and owners: what the daemon makes for itself is its user's alone, and what it makes inside of a repository lets in
//! whom git would let in.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::cluster::Cluster;
use gitmoor_tests::git::Installed;
use gitmoor_tests::hostile::Ground;
use gitmoor_tests::mount::Settings;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Permission bits of a file.
#[track_caller]
fn mode(path: impl AsRef<Path>) -> u32 {
    let path = path.as_ref();
    let meta = fs::symlink_metadata(path);
    meta.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
        .mode()
        & 0o7777
}

/// Everything below a directory, itself too, but for what repositories hold for their users.
fn own(top: &Path) -> Vec<PathBuf> {
    let mut found = vec![top.to_owned()];
    let is_real_dir = fs::symlink_metadata(top).is_ok_and(|meta| meta.is_dir());
    if !is_real_dir || top.ends_with("files") {
        return found;
    }
    for entry in fs::read_dir(top).expect("a directory").flatten() {
        found.extend(own(&entry.path()));
    }
    found
}

#[test]
fn what_the_daemon_makes_for_itself_is_for_its_user_alone() {
    let store = tempfile::tempdir().expect("a directory");
    let at = store.path().join("above/store");
    let place = Place::with(Kind::Dir, &Installed::newest(), |settings| Settings {
        store: format!("dir:{}", at.display()),
        toml: "idle-publish = \"50ms\"\nbundle-over = 2\n".to_owned(),
        ..settings
    });
    let (bare, _) = place.pushed("a.git", 5);
    bare.ok("pack-refs --all");
    let settings = place.daemon().settings().clone();
    for command in [
        &["backup"] as &[&str],
        &["gc", "--full", "a.git"],
        &["repo", "fork", "a.git", "f.git"],
    ] {
        settings.gitmoor_ok(command);
    }
    fs::write(place.root.join("f.git/objects/tmp_x"), "in the making").expect("write");
    let data = &settings.data;
    assert_eq!(mode(data), 0o700, "nobody comes to what repositories hold");
    for path in own(data).iter().chain(&own(&at)) {
        let is_repository = path.ends_with("files");
        assert!(
            is_repository || mode(path) & 0o077 == 0,
            "{}: {:o}",
            path.display(),
            mode(path)
        );
    }
    assert!(
        own(&at).len() > 5 && own(data).len() > 10,
        "they were found"
    );
}

/// A store that an earlier version made goes on.
#[test]
fn a_store_that_others_may_read_goes_on() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (bare, work) = place.pushed("a.git", 2);
    let store = place.daemon().settings().store.clone();
    let store = PathBuf::from(store.strip_prefix("dir:").expect("a directory"));
    for path in own(&store) {
        let open = if path.is_dir() { 0o777 } else { 0o444 };
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).expect("chmod");
    }
    place.cool();
    work.write("f", "x");
    work.commit("more");
    work.ok("push --quiet");
    bare.fsck();
}

/// The same on the mount as on a disk, under every umask that people have.
#[test]
fn a_new_repository_has_the_modes_that_git_gives_it() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let disk = place.scratch("disk");
    fs::create_dir(&disk).expect("mkdir");
    for (n, (umask, shared)) in [
        ("022", ""),
        ("077", ""),
        ("027", ""),
        ("002", ""),
        ("077", "--shared=group"),
        ("022", "--shared=all"),
        ("077", "--shared=0660"),
    ]
    .into_iter()
    .enumerate()
    {
        let modes = |root: &Path| {
            let name = format!("{n}.git");
            let dir = root.join(&name);
            let script = format!(
                "umask {umask}; exec git init -q --bare {shared} {}",
                dir.display()
            );
            let mut sh = std::process::Command::new("sh");
            sh.args(["-c", &script]).env("HOME", &place.scratch);
            assert!(sh.status().expect("sh").success(), "{script}");
            [
                "",
                "config",
                "HEAD",
                "refs",
                "refs/heads",
                "objects",
                "objects/pack",
            ]
            .map(|path| (path, format!("{:o}", mode(dir.join(path)))))
        };
        assert_eq!(modes(&place.root), modes(&disk), "umask {umask} {shared}");
    }
}

#[test]
fn a_repository_that_was_made_elsewhere_lets_in_whom_it_lets_in_there() {
    let cluster = Cluster::mounted(Kind::Dir);
    let at = |machine: usize, path: &str| cluster.mounted_on(machine).path().join(path);
    for (n, (umask, options)) in [("022", ""), ("077", ""), ("022", "--shared=group")]
        .into_iter()
        .enumerate()
    {
        let name = format!("{n}.git");
        let script = format!(
            "umask {umask} && cd {} && git init -q --bare {options} {name} && cd {name} && git update-ref refs/heads/main \
             $(git -c user.name=a -c user.email=a@b commit-tree -m x $(git hash-object -w -t tree /dev/null)) && git pack-refs --all",
            at(1, "").display()
        );
        let mut sh = std::process::Command::new("sh");
        assert!(sh.args(["-c", &script]).status().expect("sh").success());
        for path in ["", "config", "HEAD", "refs", "objects", "packed-refs"] {
            let path = format!("{name}/{path}");
            let (here, there) = (mode(at(1, &path)), mode(at(2, &path)));
            assert_eq!(
                format!("{there:o}"),
                format!("{here:o}"),
                "{path}, umask {umask} {options}"
            );
        }
    }
    cluster.ok(1, &["repo", "fork", "0.git", "fork.git"]);
    for machine in [1, 2] {
        assert_eq!(mode(at(machine, "fork.git")), 0o755, "{machine}");
        assert_eq!(mode(at(machine, "fork.git/config")), 0o644, "{machine}");
        assert_eq!(
            mode(at(machine, "fork.git/packed-refs")),
            0o644,
            "{machine}"
        );
    }
}

/// The repository that is taken over is its owner's: nobody else may put a hook there.
#[test]
fn the_hooks_of_a_repository_that_is_taken_over_are_as_it_is() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let old = place.scratch("old.git");
    let git = place.git.at(&place.scratch);
    git.ok(format!("init -q --bare --template= {}", old.display()));
    let path = old.to_str().expect("UTF-8");
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(&["import", "--live", path, "old.git"]);
    assert_eq!(mode(old.join("hooks")), mode(&old));
    assert_eq!(mode(old.join("hooks/reference-transaction")), 0o755);
    assert_eq!(mode(place.root.join("old.git")), 0o755);
    assert_eq!(mode(place.root.join("old.git/config")), 0o644);
}

/// An export is the user's who makes it, and has no bits that a user of the repository gave.
#[test]
fn an_export_has_the_modes_of_whoever_exports() {
    let ground = Ground::new(Kind::Dir, "idle-publish = \"50ms\"\n");
    ground.sh_ok(
        "printf '#!/bin/sh\nid\n' >objects/s && chmod 4777 objects/s && cp -p objects/s objects/info/s && chmod 4777 objects/info/s
         ln -s $CANARIES/secret objects/l && mkfifo f",
    );
    let out = ground.place.scratch("out.git");
    let output = ground.gitmoor(&["export", "a.git", out.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "{output:?}");
    for path in own(&out.join("objects")) {
        let mode = mode(&path);
        assert!(mode & 0o7022 == 0, "{}: {mode:o}", path.display());
        assert!(!path.is_symlink(), "{}", path.display());
    }
    ground.unharmed();
}

/// As earlier versions made it on other nodes, and of forks and imports.
#[test]
fn a_repository_that_was_made_for_everybody_to_write_to_is_closed() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let (bare, _) = place.pushed("a.git", 1);
    let repos = place.daemon().settings().data.join("repos");
    place.daemon().umount();
    let home = fs::read_dir(repos).expect("repositories").flatten().next();
    let top = home.expect("one").path().join("files");
    for (path, open) in [("", 0o777), ("config", 0o666)] {
        let open = fs::Permissions::from_mode(open);
        fs::set_permissions(top.join(path), open).expect("chmod");
    }
    place.daemon().launch();
    assert_eq!(mode(&bare.dir), 0o755);
    assert_eq!(mode(bare.dir.join("config")), 0o644);
    bare.fsck();
}

/// What a command shows git of a repository lies in `TMPDIR` meanwhile.
#[test]
fn a_view_of_a_repository_is_for_whom_the_repository_is_for() {
    let ground = Ground::new(Kind::Dir, "");
    for name in ["secret-1", "secret-2"] {
        ground
            .other
            .ok(format!("update-ref refs/heads/{name} main"));
    }
    let look = "for i in $(seq 400); do cat ${TMPDIR:-/tmp}/gitmoor-scratch-*/refs/heads/secret-1 && exit 7; \
                sleep 0.02; done 2>/dev/null";
    let mut command = ground.command("sh");
    command.env("TMPDIR", std::env::temp_dir());
    let mut watcher = command.args(["-c", look]).spawn().expect("a shell");
    for turn in 0..3 {
        let dest = ground.place.scratch(format!("exported-{turn}.git"));
        let output = ground.gitmoor(&["export", "other.git", &dest.display().to_string()]);
        assert!(output.status.success(), "{}", report(&output));
    }
    let dest = ground.place.scratch("exported.git");
    let output = ground.gitmoor(&["export", "a.git", &dest.display().to_string()]);
    assert!(output.status.success(), "{}", report(&output));
    // It has ended before only if it has read one.
    assert_ne!(watcher.wait().expect("ends").code(), Some(7));
}
