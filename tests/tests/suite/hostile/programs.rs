//! What the owner of a repository of the mount writes into it decides nothing about what root's commands run, as whom,
//! and what they read: configurations, hooks, links and FIFOs.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::hostile::{Ground, INTRUDER};
use gitmoor_tests::process::{self, report};
use gitmoor_tests::wait;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// A command that works on a small repository takes no longer, on two busy cores; one that waits for a FIFO
/// never ends.
pub(super) const BOUND: Duration = Duration::from_secs(60);

/// Every key by which some git runs a program, reads another file or asks another server. `TRAP` is the program, `HOME` its directory.
const CONFIG: &str = r#"
[extensions]
	partialClone = origin
	worktreeConfig = true
[core]
	repositoryFormatVersion = 1
	sshCommand = TRAP ssh
	fsmonitor = TRAP
	hooksPath = HOME/trapped-hooks
	pager = TRAP
	editor = TRAP
	gitProxy = TRAP
	askPass = TRAP
	alternateRefsCommand = TRAP
	worktree = HOME
	attributesFile = HOME/attributes
[credential]
	helper = !TRAP
[gc]
	recentObjectsHook = TRAP
[alias]
	repack = !TRAP
	st = !TRAP
[filter "trap"]
	clean = TRAP
	smudge = TRAP
	process = TRAP
	required = true
[diff]
	external = TRAP
[diff "trap"]
	textconv = TRAP
	command = TRAP
[uploadpack]
	packObjectsHook = TRAP
[pager]
	for-each-ref = TRAP
	config = TRAP
[protocol]
	allow = always
[protocol "ext"]
	allow = always
[remote "origin"]
	url = ext::TRAP
	promisor = true
	partialCloneFilter = blob:none
	uploadpack = TRAP
	receivepack = TRAP
	proxy = TRAP
[remote "vcs"]
	vcs = trap
	url = ssh://nowhere/x
[gpg]
	program = TRAP
[trace2]
	eventTarget = HOME/sprung
	normalTarget = HOME/sprung
[include]
	path = HOME/included
[includeIf "gitdir:/"]
	path = HOME/included
"#;

/// Other ways of the same kind, one at a time, as a later setting replaces an earlier.
pub(super) const REMOTES: [&str; 3] = ["ssh://nowhere/x", "git://127.0.0.1:1/x", "HOME/lender.git"];

/// A program of the intruder's that says that it was run, and the configuration that names it.
pub(super) struct Trap<'a> {
    ground: &'a Ground,
}

impl<'a> Trap<'a> {
    pub(super) fn set(ground: &'a Ground) -> Self {
        ground.sh_ok(
            "cd && mkdir marks trapped-hooks && chmod 777 marks
            printf '#!/bin/sh\necho \"$(id -u) $0 $*\" >>%s/marks/sprung\nexit 1\n' \"$HOME\" >trap && chmod 755 trap
            for hook in pre-auto-gc post-index-change reference-transaction post-update update pre-receive \
                post-receive proc-receive post-checkout push-to-checkout fsmonitor-watchman; do
                cp trap trapped-hooks/$hook
            done
            printf '* filter=trap diff=trap\n' >attributes
            printf '[core]\n\tsshCommand = %s/trap included\n[gc]\n\trecentObjectsHook = %s/trap\n' $HOME $HOME >included",
        );
        Self { ground }
    }

    fn text(&self) -> String {
        let home = self.ground.home.to_str().expect("UTF-8");
        let trap = format!("{home}/trap");
        CONFIG.replace("TRAP", &trap).replace("HOME", home)
    }

    /// In a repository: its `config`, and its hooks.
    pub(super) fn arm(&self, dir: &Path, remote: &str) {
        let home = self.ground.home.to_str().expect("UTF-8");
        let config = fs::read_to_string(dir.join("config")).expect("its configuration");
        let remote = remote.replace("HOME", home);
        let text = format!(
            "{config}{}[remote \"origin\"]\n\turl = {remote}\n",
            self.text()
        );
        fs::write(dir.join("config"), text).expect("write");
        fs::create_dir_all(dir.join("hooks")).expect("mkdir");
        for hook in fs::read_dir(self.ground.home.join("trapped-hooks")).expect("hooks") {
            let hook = hook.expect("a hook");
            fs::copy(hook.path(), dir.join("hooks").join(hook.file_name())).expect("copy");
        }
    }

    #[track_caller]
    pub(super) fn is_shut(&self, after: &str) {
        let sprung = fs::read_to_string(self.ground.home.join("marks/sprung"));
        assert!(sprung.is_err(), "{after}: {}", sprung.unwrap_or_default());
        let traced = self.ground.home.join("sprung");
        assert!(!traced.exists(), "{after}: something was traced");
    }
}

/// A repository of the intruder's on the disk, with a commit.
pub(super) fn old(ground: &Ground, name: &str) {
    ground.sh_ok(&format!(
        "cd && git init -q --bare {name} && cd {name}
        tree=$(git mktree </dev/null)
        export GIT_AUTHOR_NAME=i GIT_AUTHOR_EMAIL=i GIT_COMMITTER_NAME=i GIT_COMMITTER_EMAIL=i
        git update-ref HEAD $(git commit-tree -m one $tree)"
    ));
}

pub(super) fn path(ground: &Ground, name: &str) -> String {
    let path = ground.home.join(name);
    path.to_str().expect("UTF-8").to_owned()
}

/// Each command of root's that works on a repository.
const COMMANDS: [&[&str]; 9] = [
    &["gc", "a.git"],
    &["gc", "--full", "a.git"],
    &["gc", "--full", "--split-blobs", "a.git"],
    &["fsck", "a.git"],
    &["warm", "a.git"],
    &["warm", "--rev", "main", "--depth", "1", "a.git"],
    &["export", "a.git", "OUT/plain.git"],
    &["export", "--full", "a.git", "OUT/a.bundle"],
    &["repo", "fork", "--copy", "a.git", "fork.git"],
];

/// A command of root's that must do what it is for.
#[track_caller]
fn succeeds(ground: &Ground, words: &[&str], out: &Path) {
    let out = out.to_str().expect("UTF-8");
    let words: Vec<_> = words.iter().map(|word| word.replace("OUT", out)).collect();
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let output = ground.gitmoor(&words);
    assert!(output.status.success(), "{words:?}: {}", report(&output));
}

#[test]
fn the_configuration_of_a_mounted_repository_runs_nothing() {
    let ground = Ground::new(
        Kind::Dir,
        "idle-publish = \"50ms\"\ncruft-expiration = \"0s\"\n",
    );
    let trap = Trap::set(&ground);
    ground.sh_ok("for n in $(seq 12); do echo $n | git hash-object -w --stdin; done");
    trap.arm(&ground.mine.dir, REMOTES[0]);
    // It replaces the replicated settings, where it is let.
    ground.sh("printf '[gc]\n\trecentObjectsHook = %s/trap\n' $HOME >x; mv -f x gitmoor.config");
    let out = tempfile::tempdir().expect("a directory");
    for words in COMMANDS {
        succeeds(&ground, words, out.path());
        trap.is_shut(&format!("gitmoor {}", words.join(" ")));
    }
    ground.unharmed();
}

/// As git puts them there, without a git that reads the repository's configuration.
fn add_loose_objects(ground: &Ground, dir: &Path) {
    let made = ground.place.scratch("made.git");
    let git = ground.place.git.at(&ground.place.scratch);
    git.ok("init -q --bare made.git");
    let made = ground.place.git.at(made);
    for number in 0..8 {
        let oid = made.feed("hash-object -w --stdin", format!("{number}"));
        let (fan, rest) = oid.split_at(2);
        let (from, to) = (
            made.dir.join("objects").join(fan),
            dir.join("objects").join(fan),
        );
        fs::create_dir_all(&to).expect("mkdir");
        let unfinished = dir.join("objects/tmp_obj_1");
        fs::copy(from.join(rest), &unfinished).expect("copy");
        fs::rename(unfinished, to.join(rest)).expect("rename");
    }
}

#[test]
fn maintenance_by_itself_runs_nothing_of_a_repository() {
    let ground = Ground::new(
        Kind::Dir,
        "idle-publish = \"50ms\"\nmaintenance-period = \"200ms\"\nmaintenance-loose = 3\n",
    );
    let trap = Trap::set(&ground);
    trap.arm(&ground.mine.dir, REMOTES[0]);
    ground
        .sh("mkfifo fifo; printf '[include]\n\tpath = %s/fifo\n' $PWD >x; mv -f x gitmoor.config");
    for repo in [&ground.mine, &ground.other] {
        add_loose_objects(&ground, &repo.dir);
    }
    for repo in [&ground.other, &ground.mine] {
        let packs = || repo.names("objects/pack");
        wait::until("it is repacked", BOUND, || {
            packs().iter().any(|name| name == "multi-pack-index")
        });
    }
    trap.is_shut("maintenance by itself");
    ground.unharmed();
}

/// The daemon and the commands find this git first.
fn fake_git(ground: &Ground, script: &str) -> String {
    let path = std::env::var("PATH").expect("a PATH");
    let bin = ground.place.scratch("bin");
    fs::create_dir_all(&bin).expect("bin");
    let script = format!("#!/bin/sh\nPATH='{path}'\n{script}\nexec git \"$@\"\n");
    fs::write(bin.join("git"), script).expect("a script");
    fs::set_permissions(bin.join("git"), Permissions::from_mode(0o755)).expect("chmod");
    fs::set_permissions(&bin, Permissions::from_mode(0o755)).expect("chmod");
    let scratch = &ground.place.scratch;
    fs::set_permissions(scratch, Permissions::from_mode(0o755)).expect("chmod");
    format!("{}:{path}", bin.display())
}

/// Says who it is and what it can do, and fails.
fn telling(ground: &Ground, command: &str) -> String {
    let (canaries, home) = (ground.canaries.dir.display(), ground.home.display());
    format!(
        "can() {{ \"$@\" >/dev/null 2>&1 && echo yes || echo no; }}
        case \" $* \" in *' {command} '*)
        echo \"uid $(id -u), secret $(can cat {canaries}/secret), list $(can cat {canaries}/list),\" \
            \"write $(can touch {home}/marks/x), kill $(can kill -0 $PPID),\" \
            \"fetch $GIT_NO_LAZY_FETCH, protocol $GIT_ALLOW_PROTOCOL, home $HOME, ssh $GIT_SSH_COMMAND\" >&2
        exit 1;; esac"
    )
}

#[test]
fn git_runs_as_the_owner_and_reaches_what_its_job_needs() {
    let ground = Ground::new(Kind::Dir, "idle-publish = \"50ms\"\n");
    Trap::set(&ground);
    old(&ground, "old.git");
    let source = path(&ground, "old.git");
    let out = tempfile::tempdir().expect("a directory");
    let export = out.path().join("x.git");
    let export = export.to_str().expect("UTF-8");
    let expected = format!(
        "uid {INTRUDER}, secret no, list no, write no, kill no, fetch 1, protocol none, home /nonexistent, ssh"
    );
    for (step, words) in [
        ("repack", &["gc", "--full", "a.git"] as &[&str]),
        ("for-each-ref", &["import", &source, "new.git"]),
        ("rev-list", &["import", &source, "newer.git"]),
        ("for-each-ref", &["export", "a.git", export]),
        ("rev-list", &["warm", "--depth", "1", "a.git"]),
    ] {
        let search = fake_git(&ground, &telling(&ground, step));
        {
            let mut daemon = ground.place.daemon();
            daemon.umount();
            daemon.set("PATH", &search);
            daemon.set("GIT_SSH_COMMAND", "something of the administrator's");
            daemon.launch();
        }
        let settings = ground.place.daemon().settings().clone();
        let mut command = settings.command(words);
        command.env("PATH", search);
        let output = process::run(&mut command, b"", process::LIMIT);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{}", report(&output));
        assert!(said.contains(&expected), "git {step}: {said}");
    }
    ground.unharmed();
}

/// What only this machine has of a repository, and its users write: reflogs, indexes, worktrees.
#[test]
fn a_full_maintenance_waits_for_no_fifo_and_follows_no_link() {
    let ground = Ground::new(Kind::Dir, "");
    ground.sh_ok(
        "mkdir -p logs/refs/heads worktrees/w refs/bisect
        mkfifo logs/HEAD logs/refs/heads/fifo index worktrees/w/HEAD worktrees/w/index refs/bisect/bad
        ln -s $CANARIES/secret logs/refs/heads/link
        ln -s $CANARIES worktrees/linked",
    );
    let out = tempfile::tempdir().expect("a directory");
    succeeds(&ground, &["gc", "--full", "a.git"], out.path());
    succeeds(&ground, &["gc", "--full", "other.git"], out.path());
    ground.unharmed();
}

/// Two links to the directory that they stand in: a program that follows them finds a tree without an end.
#[test]
fn links_among_refs_lead_no_git_of_ours_anywhere() {
    let ground = Ground::new(Kind::Dir, "");
    ground.sh_ok(
        "git update-ref refs/tags/deep/v1 refs/heads/main
        ln -s refs/heads/main refs/heads/symbolic
        ln -s ../tags/deep/v1 refs/heads/file
        git clone -q --bare --no-local $M/a.git $HOME/old.git",
    );
    let out = ground.place.scratch("out");
    fs::create_dir_all(&out).expect("mkdir");
    let (out, old) = (out.display().to_string(), ground.home.join("old.git"));
    let old = old.to_str().expect("UTF-8");
    // A link is a symbolic ref, or leads to a ref: what it names goes along.
    let before = format!("{out}/before.git");
    gitmoor_within_bound(&ground, &["export", "a.git", &before], true);
    let exported = ground.place.git.at(&before);
    for repo in [&ground.mine, &exported] {
        assert_eq!(
            repo.ok("symbolic-ref refs/heads/symbolic"),
            "refs/heads/main"
        );
        for name in ["heads/symbolic", "heads/file", "tags/deep/v1"] {
            assert_eq!(
                repo.oid(&format!("refs/{name}")),
                repo.oid("main"),
                "{name}"
            );
        }
    }
    let trap = "ln -s . refs/heads/a && ln -s . refs/heads/b && ln -s ../tags refs/heads/c";
    ground.sh_ok(&format!("{trap} && cd $HOME/old.git && {trap}"));

    for args in [
        &["gc", "a.git"][..],
        &["gc", "--full", "a.git"],
        &["gc"],
        &["fsck", "a.git"],
    ] {
        gitmoor_within_bound(&ground, args, true);
    }
    assert!(ground.mine.dir.join("refs/heads/a").is_symlink());
    let export = format!("{out}/after.git");
    for args in [
        &["export", "a.git", &export][..],
        &["warm", "a.git", "--rev", "main"],
        &["import", old, "new.git"],
    ] {
        let said = gitmoor_within_bound(&ground, args, false);
        assert!(
            said.contains("refs/heads/") && said.contains("symbolic link"),
            "{args:?}: {said}"
        );
    }
    ground.unharmed();
}

#[track_caller]
fn gitmoor_within_bound(ground: &Ground, args: &[&str], succeeds: bool) -> String {
    let began = std::time::Instant::now();
    let output = ground.gitmoor(args);
    let (took, report) = (began.elapsed(), report(&output));
    assert!(took < BOUND, "{args:?} took {took:?}");
    assert_eq!(output.status.success(), succeeds, "{args:?} {report}");
    report
}
