//! What hosts do with the directory of their repositories all day, call by call, with the git that is installed:
//! Gitea and Forgejo, and Gitaly.

use crate::local;
use gitmoor_tests::git::{Repo, names};
use gitmoor_tests::history::commits;
use gitmoor_tests::place::Place;
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

local!(gitea, gitaly_creates_and_removes, gitaly_pools);

/// A program in a hook that says who ran.
fn hook(dir: &Path, name: &str, says: &Path) {
    let parts = dir.join(format!("{name}.d"));
    fs::create_dir_all(&parts).expect("mkdir -p");
    let each = "#!/bin/sh\nfor hook in \"$0\".d/*; do \"$hook\" || exit 1; done\n";
    let part = format!("#!/bin/sh\necho \"$PWD\" >>{}\n", says.display());
    for (path, text) in [
        (dir.join(name), each.to_owned()),
        (parts.join("gitea"), part),
    ] {
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("chmod");
    }
}

/// As Gitea makes one.
fn gitea_repository(place: &Place, name: &str, said: &Path) -> Repo {
    let dir = place.root.join(name);
    fs::create_dir_all(&dir).expect("mkdir -p");
    let repo = place.git.at(&dir);
    repo.ok("init --quiet --bare");
    gitea_keeps(&repo, said);
    repo
}

/// What Gitea writes into one.
fn gitea_keeps(repo: &Repo, said: &Path) {
    for name in ["pre-receive", "update", "post-receive"] {
        hook(&repo.dir.join("hooks"), name, said);
    }
    fs::write(repo.dir.join("description"), "An application").expect("written");
    File::create(repo.dir.join("git-daemon-export-ok")).expect("touch");
    repo.ok("update-server-info");
}

fn gitea(place: &Place) {
    let at = place.git.at(&place.scratch);
    let (said, path) = (place.scratch.join("said"), |repo: &Repo| {
        repo.dir.display().to_string()
    });
    let app = gitea_repository(place, "ann/app.git", &said);
    let work = place.work("work");
    work.import(&commits(3));
    work.ok("reset --quiet --hard main");
    work.ok(format!("push --quiet {} main", app.url()));
    app.ok("symbolic-ref HEAD refs/heads/main");
    assert_eq!(fs::read_to_string(&said).expect("cat").lines().count(), 3);
    // The wiki is edited in a clone that borrows.
    let wiki = gitea_repository(place, "ann/app.wiki.git", &said);
    work.ok(format!("push --quiet {} main:master", wiki.url()));
    let edit = place.scratch.join("edit");
    at.ok(format!(
        "clone --quiet --shared --bare {} {}",
        path(&wiki),
        edit.display()
    ));
    let edit = place.git.at(edit);
    let tree = edit.ok("rev-parse master^{tree}");
    let page = edit.ok(format!("commit-tree -p master -m page {tree}"));
    edit.ok(format!(
        "push --quiet {} {page}:refs/heads/master",
        path(&wiki)
    ));
    assert_eq!(wiki.oid("master"), page);
    // A fork is a clone of a path, and its pull request a ref of the first.
    fs::create_dir_all(place.root.join("bob")).expect("mkdir -p");
    let fork = place.repo("bob/app.git");
    at.ok(format!(
        "clone --quiet --bare {} {}",
        path(&app),
        path(&fork)
    ));
    gitea_keeps(&fork, &said);
    let ahead = work.commit("ahead");
    work.ok(format!("push --quiet {} HEAD:refs/heads/topic", fork.url()));
    fork.ok(format!(
        "push --quiet {} topic:refs/pull/1/head",
        path(&app)
    ));
    assert_eq!(app.oid("refs/pull/1/head"), ahead);
    merge(place, &app, "refs/pull/1/head");
    assert_eq!(app.oid("main"), ahead);
    // Renamed, handed over, and all of a user's, who is somebody else now.
    for (from, to) in [
        ("ann/app.git", "ann/web.git"),
        ("ann/app.wiki.git", "ann/web.wiki.git"),
        ("bob/app.git", "ann/fork.git"),
        ("ann", "anna"),
    ] {
        fs::rename(place.root.join(from), place.root.join(to)).expect("mv");
    }
    place.restart();
    assert_eq!(names(&place.root), ["anna", "bob"]);
    let (web, fork) = (place.repo("anna/web.git"), place.repo("anna/fork.git"));
    assert_eq!((web.oid("main"), fork.oid("topic")), (ahead.clone(), ahead));
    assert_eq!(web.read("description"), "An application");
    for repo in [&web, &fork] {
        repo.ok("gc --quiet");
        repo.fsck();
    }
    fs::remove_dir_all(&web.dir).expect("rm -rf");
    fork.fsck();
    fs::remove_dir_all(place.root.join("anna")).expect("rm -rf");
    assert_eq!(names(&place.root), ["bob"]);
}

/// As Gitea merges: in a repository on the disk that borrows the objects of the first.
fn merge(place: &Place, base: &Repo, head: &str) {
    let dir = place.scratch.join("merge");
    fs::create_dir(&dir).expect("mkdir");
    let temporary = place.git.at(dir);
    temporary.ok("init --quiet --bare");
    let objects = base.dir.join("objects").display().to_string();
    temporary.write("objects/info/alternates", objects + "\n");
    temporary.ok(format!(
        "fetch --quiet {} main:base {head}:head",
        base.path()
    ));
    temporary.ok("merge-base --is-ancestor base head");
    temporary.ok(format!("push --quiet {} head:main", base.path()));
}

/// Gitaly's file that locks the name of a repository: made, closed at once, and removed.
struct Lock(PathBuf);

impl Lock {
    #[track_caller]
    fn take(name: &Path) -> Lock {
        let path = PathBuf::from(format!("{}.lock", name.display()));
        drop(File::create_new(&path).expect("locked"));
        let second = File::create_new(&path).expect_err("it is locked");
        assert_eq!(second.kind(), ErrorKind::AlreadyExists);
        Lock(path)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("unlocked");
    }
}

/// All files of a directory, and the directories, are synced, as Gitaly does before it gives a repository its name.
fn sync_all(dir: &Path) {
    for entry in fs::read_dir(dir).expect("ls") {
        let entry = entry.expect("a name");
        match entry.file_type().expect("its type").is_dir() {
            true => sync_all(&entry.path()),
            false => File::open(entry.path())
                .and_then(|file| file.sync_all())
                .expect("fsync"),
        }
    }
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .expect("fsync");
}

/// What has been made under a temporary name gets its own.
fn gitaly_names(place: &Place, temporary: &Repo, name: &str) -> Repo {
    let repo = place.repo(name);
    let above = repo.dir.parent().expect("above it").to_owned();
    fs::create_dir_all(&above).expect("mkdir -p");
    let _lock = Lock::take(&repo.dir);
    assert!(!repo.dir.exists());
    sync_all(&temporary.dir);
    fs::rename(&temporary.dir, &repo.dir).expect("mv");
    File::open(above)
        .and_then(|dir| dir.sync_all())
        .expect("fsync");
    repo
}

/// A repository as Gitaly makes it, in a directory for temporary ones.
fn gitaly_creates(place: &Place, name: &str) -> Repo {
    let dir = place.root.join("+gitaly/tmp").join(name.replace('/', "-"));
    fs::create_dir_all(dir.parent().expect("above it")).expect("mkdir -p");
    fs::create_dir(&dir).expect("mkdir");
    let temporary = place.git.at(dir);
    temporary.ok("init --quiet --bare --template=");
    temporary.ok("symbolic-ref HEAD refs/heads/main");
    gitaly_names(place, &temporary, name)
}

fn gitaly_creates_and_removes(place: &Place) {
    let metadata = place.root.join(".gitaly-metadata");
    fs::write(&metadata, "{\"gitaly_filesystem_id\":\"1\"}").expect("written");
    let hooks = place.scratch.join("hooks");
    let said = place.scratch.join("said");
    hook(&hooks, "pre-receive", &said);
    let repo = gitaly_creates(place, "@hashed/ab/cd/abcd.git");
    let work = place.work("work");
    work.import(&commits(3));
    work.ok("reset --quiet --hard main");
    // Gitaly itself takes the push, with hooks of its own.
    let pack = format!("-c core.hooksPath={} receive-pack", hooks.display());
    let git = place.scratch.join("receive");
    fs::write(&git, format!("#!/bin/sh\nexec git {pack} \"$@\"\n")).expect("written");
    fs::set_permissions(&git, Permissions::from_mode(0o755)).expect("chmod");
    work.ok(format!(
        "push --quiet --receive-pack={} {} main",
        git.display(),
        repo.path()
    ));
    assert_eq!(fs::read_to_string(&said).expect("cat").lines().count(), 1);
    place.crash();
    assert_eq!(repo.oid("main"), work.oid("main"));
    repo.fsck();
    // A fork, from the first, under its temporary name first.
    let fork = place.repo("+gitaly/tmp/fork-1");
    let at = place.git.at(&place.scratch);
    at.ok(format!(
        "clone --quiet --bare --template= {} {}",
        repo.path(),
        fork.path()
    ));
    let fork = gitaly_names(place, &fork, "@hashed/ef/01/ef01.git");
    // Moved, and removed by rename(2) first.
    let moved = gitaly_names(place, &repo, "@hashed/23/45/2345.git");
    assert_eq!(moved.oid("main"), work.oid("main"));
    let gone = place.root.join("+gitaly/tmp/removed-1");
    {
        let _lock = Lock::take(&moved.dir);
        fs::rename(&moved.dir, &gone).expect("mv");
    }
    fs::remove_dir_all(&gone).expect("rm -rf");
    place.restart();
    fork.fsck();
    assert_eq!(fork.oid("main"), work.oid("main"));
    assert!(names(&place.root.join("@hashed/23/45")).is_empty());
    assert!(names(&place.root.join("+gitaly/tmp")).is_empty());
    assert!(metadata.exists());
}

/// Forks share the objects of a pool, and take them along when they leave it.
fn gitaly_pools(place: &Place) {
    let first = gitaly_creates(place, "@hashed/ab/cd/abcd.git");
    let work = place.work("work");
    work.import(&commits(5));
    work.ok("reset --quiet --hard main");
    work.ok(format!("push --quiet {} main", first.url()));
    let temporary = place.repo("+gitaly/tmp/pool-1");
    let at = place.git.at(&place.scratch);
    let (from, to) = (first.path(), temporary.path());
    at.ok(format!(
        "clone --quiet --bare --local --template= {from} {to}"
    ));
    let pool = gitaly_names(place, &temporary, "@pools/ef/01/ef01.git");
    let members = [first, gitaly_creates(place, "@hashed/23/45/2345.git")];
    for member in &members {
        let borrows = "../../../../../@pools/ef/01/ef01.git/objects\n";
        fs::create_dir_all(member.dir.join("objects/info")).expect("mkdir -p");
        let new = member.dir.join("objects/info/alternates.new");
        fs::write(&new, borrows).expect("written");
        fs::rename(new, member.dir.join("objects/info/alternates")).expect("mv");
        member.ok("repack --quiet -a -d -l");
    }
    work.ok(format!("push --quiet {} main", members[1].url()));
    let ahead = work.commit("ahead");
    work.ok(format!("push --quiet {} main", members[1].url()));
    pool.ok(format!(
        "fetch --quiet {} +refs/heads/*:refs/remotes/origin/*",
        members[1].path()
    ));
    pool.ok("repack --quiet -a -d");
    members[1].ok("repack --quiet -a -d -l");
    assert_eq!(members[1].counted("packs") + members[1].counted("count"), 0);
    leave(&pool, &members[1]);
    place.restart();
    assert_eq!(members[1].oid("main"), ahead);
    members[1].fsck();
    // The other one is still in it.
    assert!(members[0].dir.join("objects/info/alternates").exists());
    members[0].fsck();
}

/// Every object file of the pool is linked, and then the member borrows nothing.
fn leave(pool: &Repo, member: &Repo) {
    for dir in pool.names("objects") {
        if dir == "info" {
            continue;
        }
        let to = member.dir.join("objects").join(&dir);
        fs::create_dir_all(&to).expect("mkdir -p");
        for name in pool.names(format!("objects/{dir}")) {
            let from = pool.dir.join("objects").join(&dir).join(&name);
            match fs::hard_link(from, to.join(&name)) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                linked => linked.expect("link"),
            }
        }
    }
    let alternates = member.dir.join("objects/info/alternates");
    fs::rename(&alternates, alternates.with_extension("backup")).expect("mv");
    member.ok("fsck --connectivity-only");
    fs::remove_file(alternates.with_extension("backup")).expect("rm");
}
