//! gitolite: its own configuration in a repository, wild repositories and permissions of their creators, rules of refs
//! and VREFs, forks, the trash, and renames. Requests arrive as sshd hands them to its shell.
//!
//! On three machines the home directory of gitolite is one that all of them have, and each machine links gitolite's
//! hooks after repositories were made (`gitolite setup --hooks-only`).

use super::sites;
use gitmoor_tests::git::{Git, Repo};
use gitmoor_tests::hosts::Hosts;
use gitmoor_tests::process::{self, report};
use gitmoor_tests::site::{Site, ok};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

sites!(run_newest: gitolite);

const SETTINGS: &str = r#"
%RC = (
    UMASK => 0077,
    GL_REPO_BASE => $ENV{SITE_ROOT},
    GIT_CONFIG_KEYS => '.*',
    ROLES => { READERS => 1, WRITERS => 1 },
    ENABLE => [ 'help', 'desc', 'info', 'perms', 'create', 'fork', 'D', 'symbolic-ref', 'git-config', 'daemon', 'gitweb' ],
);
1;
"#;

/// One project under its name, and what everybody may make.
fn rules(project: &str) -> String {
    format!(
        "
repo gitolite-admin
    RW+ = admin
repo {project}
    RW+ = alice
    -   master = bob
    RW  = bob
    -   VREF/COUNT/3 = bob
    -   VREF/NAME/secret = bob
    R   = carol daemon
    config receive.fsckObjects = true
repo u/CREATOR/..*
    C   = @all
    RW+ = CREATOR
    RW  = WRITERS
    R   = READERS
"
    )
}

struct Gitolite<'a> {
    site: &'a Site,
    hosts: Hosts,
    home: PathBuf,
    /// Whose transport is gitolite.
    git: Git,
}

impl<'a> Gitolite<'a> {
    /// Set up by the first machine.
    fn new(site: &'a Site, hosts: Hosts) -> Gitolite<'a> {
        let home = site.scratch("gitolite");
        fs::create_dir(&home).expect("mkdir");
        fs::write(home.join(".gitolite.rc"), SETTINGS).expect("written");
        let user = "[user]\n\tname = gitolite\n\temail = git@localhost\n[init]\n\tdefaultBranch = master\n";
        fs::write(home.join(".gitconfig"), user).expect("written");
        let ssh = site.scratch("ssh");
        let git = site
            .git
            .with_env("GIT_SSH", &ssh)
            .with_env("GIT_SSH_VARIANT", "simple");
        let gitolite = Gitolite {
            site,
            hosts,
            home,
            git,
        };
        let roots: String = (0..site.machines())
            .map(|machine| {
                format!(
                    "m{machine}) SITE_ROOT={} ;;\n",
                    site.root(machine).display()
                )
            })
            .collect();
        let shell = gitolite.hosts.file("/usr/share/gitolite3/gitolite-shell");
        let lines = [
            "#!/bin/sh".into(),
            format!("case ${{1#*@}} in\n{roots}esac"),
            format!(
                "export SITE_ROOT HOME={} PATH={}",
                gitolite.home.display(),
                gitolite.path()
            ),
            "export SSH_CONNECTION='127.0.0.1 1 127.0.0.1 22' SSH_ORIGINAL_COMMAND=\"$2\"".into(),
            format!("exec {} \"${{1%%@*}}\"", shell.display()),
        ];
        site.program("ssh", &(lines.join("\n") + "\n"));
        ok(gitolite.on(0).args(["setup", "-a", "admin"]));
        gitolite.link_hooks();
        gitolite
    }

    /// The administrator's command on a machine.
    fn on(&self, machine: usize) -> Command {
        let gitolite = self.hosts.file("/usr/bin/gitolite");
        let mut command = self.site.git.program(gitolite, self.site.root(machine));
        command
            .env("HOME", &self.home)
            .env("SITE_ROOT", self.site.root(machine));
        command.env("PATH", self.path());
        command
    }

    /// Its hooks and commands call gitolite.
    fn path(&self) -> String {
        let gitolite = self.hosts.file("/usr/bin/gitolite");
        let own = gitolite.parent().expect("a directory").display();
        format!("{own}:{}", self.site.git.search_path().display())
    }

    /// On every machine.
    fn link_hooks(&self) {
        for machine in 0..self.site.machines() {
            ok(self.on(machine).args(["setup", "--hooks-only"]));
        }
    }

    /// By way of the machine whose turn it is.
    fn url(&self, user: &str, turn: usize, name: &str) -> String {
        format!("{user}@m{}:{name}", turn % self.site.machines())
    }

    /// What a user asks for by `ssh`.
    fn ask(&self, user: &str, turn: usize, line: &str) -> Output {
        let host = self.url(user, turn, "");
        let mut command = self
            .site
            .git
            .program(self.site.scratch("ssh"), self.site.root(turn));
        process::run(
            command.args([host.trim_end_matches(':'), line]),
            b"",
            process::LIMIT,
        )
    }

    #[track_caller]
    fn answer(&self, user: &str, turn: usize, line: &str) -> String {
        let output = self.ask(user, turn, line);
        assert!(
            output.status.success(),
            "{user}: {line} {}",
            report(&output)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A work tree on the disk, whose pushes go to gitolite.
    fn work(&self, name: &str, commits: usize) -> Repo {
        let dir = self.site.work(name, commits).dir;
        self.git.at(dir)
    }

    fn clone(&self, user: &str, turn: usize, name: &str) -> Repo {
        let dir = self
            .site
            .scratch(format!("{user}-{}", name.replace('/', "-")));
        let url = self.url(user, turn, name);
        let at = self.git.at(self.site.scratch(""));
        at.ok(["clone", "--quiet", &url, &dir.to_string_lossy()]);
        self.git.at(dir)
    }

    /// A push by way of a machine: of a name and refs.
    #[track_caller]
    fn push(&self, work: &Repo, user: &str, turn: usize, what: &str) {
        let (name, refs) = what.split_once(' ').expect("a name and refs");
        work.ok(format!(
            "push --quiet {} {refs}",
            self.url(user, turn, name)
        ));
    }

    /// One that every machine refuses, for this reason.
    #[track_caller]
    fn refused(&self, work: &Repo, user: &str, what: &str, why: &str) {
        let (name, refs) = what.split_once(' ').expect("a name and refs");
        for machine in 0..self.site.machines() {
            let said = work.fail(format!("push {} {refs}", self.url(user, machine, name)));
            assert!(said.contains(why), "machine {machine}: {said}");
        }
    }

    /// The administrator pushes rules by way of a machine.
    fn administer(&self, admin: &Repo, turn: usize, project: &str) {
        admin.write("conf/gitolite.conf", rules(project));
        admin.ok(["commit", "--quiet", "-am", project]);
        let url = self.url("admin", turn, "gitolite-admin");
        admin.ok(format!("push --quiet {url} HEAD:master"));
    }
}

fn gitolite(site: &mut Site) {
    let Some(hosts) = Hosts::find() else { return };
    let gitolite = Gitolite::new(site, hosts);
    let admin = gitolite.clone("admin", 1, "gitolite-admin");
    gitolite.administer(&admin, 1, "app");
    gitolite.link_hooks();
    rules_of_refs(&gitolite);
    wild_repositories(&gitolite);
    the_trash(&gitolite);
    a_rename(&gitolite, &admin);
}

/// What one machine refuses all refuse.
fn rules_of_refs(gitolite: &Gitolite<'_>) {
    let work = gitolite.work("app", 3);
    gitolite.push(&work, "alice", 2, "app HEAD:master HEAD:dev");
    gitolite.refused(&work, "carol", "app HEAD:dev", "DENIED");
    gitolite.refused(&work, "mallory", "app HEAD:dev", "DENIED");
    work.commit("bobs");
    gitolite.refused(
        &work,
        "bob",
        "app HEAD:master",
        "DENIED by refs/heads/master",
    );
    gitolite.push(&work, "bob", 0, "app HEAD:dev");
    for name in ["1", "2", "3", "4"] {
        work.write(format!("new-{name}"), name);
    }
    work.ok("add -A");
    work.ok("commit --quiet -m four-files");
    gitolite.refused(&work, "bob", "app HEAD:dev", "VREF/COUNT/3");
    gitolite.push(&work, "alice", 1, "app HEAD:dev");
    work.write("secret", "s");
    work.ok("add -A");
    work.ok("commit --quiet -m secret");
    gitolite.refused(&work, "bob", "app HEAD:dev", "VREF/NAME/secret");
    work.ok("reset --quiet --hard HEAD~3");
    gitolite.refused(&work, "bob", "app +HEAD:dev", "DENIED");
    gitolite.push(&work, "alice", 2, "app +HEAD:dev");
    for turn in 0..3 {
        let app = gitolite.site.repo(turn, "app.git");
        assert_eq!(app.ok("config receive.fsckObjects"), "true");
        gitolite.site.sh(turn, "test -e app.git/git-daemon-export-ok; test ! -e gitolite-admin.git/git-daemon-export-ok");
    }
    gitolite.site.fsck("app.git");
}

/// Their creators decide who may do what there.
fn wild_repositories(gitolite: &Gitolite<'_>) {
    let (name, work) = ("u/alice/one", gitolite.work("one", 2));
    gitolite.push(&work, "alice", 0, "u/alice/one HEAD:master");
    gitolite.link_hooks();
    work.commit("second");
    gitolite.refused(&work, "bob", "u/alice/one HEAD:master", "DENIED");
    gitolite.answer("alice", 1, &format!("perms {name} + WRITERS bob"));
    gitolite.push(&work, "bob", 2, "u/alice/one HEAD:master");
    gitolite.refused(&work, "carol", "u/alice/one HEAD:master", "DENIED");
    gitolite.answer("alice", 2, &format!("desc {name} of Alice"));
    for turn in 0..3 {
        assert_eq!(
            gitolite.answer("bob", turn, &format!("desc {name}")).trim(),
            "of Alice"
        );
        assert!(gitolite.answer("bob", turn, "info").contains(name));
        assert!(!gitolite.answer("carol", turn, "info").contains(name));
    }
    gitolite.answer(
        "alice",
        0,
        &format!("symbolic-ref {name} HEAD refs/heads/next"),
    );
    assert_eq!(
        gitolite
            .site
            .repo(1, "u/alice/one.git")
            .ok("symbolic-ref HEAD"),
        "refs/heads/next"
    );
    gitolite.answer("bob", 1, &format!("fork {name} u/bob/two"));
    gitolite.link_hooks();
    work.commit("third");
    gitolite.push(&work, "bob", 2, "u/bob/two HEAD:master");
    gitolite.refused(&work, "alice", "u/bob/two HEAD:master", "DENIED");
    gitolite.site.fsck("u/bob/two.git");
}

fn the_trash(gitolite: &Gitolite<'_>) {
    let name = "u/alice/one";
    let refused = gitolite.ask("bob", 0, &format!("D trash {name}"));
    assert!(!refused.status.success(), "{}", report(&refused));
    gitolite.answer("alice", 0, &format!("D trash {name}"));
    let work = gitolite.git.at(gitolite.site.scratch("one"));
    work.fail(format!("ls-remote {}", gitolite.url("bob", 1, name)));
    let trash = gitolite.answer("alice", 1, "D list-trash");
    assert!(trash.starts_with(&format!("{name}/")), "{trash}");
    gitolite.answer("alice", 2, &format!("D restore {}", trash.trim()));
    for turn in 0..3 {
        work.ok(format!(
            "fetch --quiet {} master",
            gitolite.url("bob", turn, name)
        ));
    }
    gitolite.answer("alice", 0, &format!("D unlock {name}"));
    gitolite.answer("alice", 1, &format!("D rm {name}"));
    for turn in 0..3 {
        gitolite.site.sh(turn, "test ! -e u/alice/one.git");
    }
    gitolite.site.fsck("u/bob/two.git");
}

/// By an administrator, as gitolite's manual says: mv(1), then the rules.
fn a_rename(gitolite: &Gitolite<'_>, admin: &Repo) {
    let tip = gitolite.site.repo(1, "app.git").oid("master");
    gitolite.site.sh(2, "mv app.git web.git");
    gitolite.administer(admin, 0, "web");
    gitolite.link_hooks();
    let work = gitolite.git.at(gitolite.site.scratch("app"));
    for turn in 0..3 {
        let seen = work.ok(format!(
            "ls-remote {} master",
            gitolite.url("carol", turn, "web")
        ));
        assert!(seen.starts_with(&tip), "{seen}");
    }
    work.commit("renamed");
    gitolite.refused(
        &work,
        "bob",
        "web HEAD:master",
        "DENIED by refs/heads/master",
    );
    gitolite.push(&work, "alice", 1, "web +HEAD:master");
    gitolite.site.fsck("web.git");
}
