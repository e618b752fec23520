//! Clients that are not git: libgit2 (pygit2), dulwich, JGit and isomorphic-git clone, push and fetch through the door.

use gitmoor_tests::door::Served;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history;
use gitmoor_tests::hosts::Hosts;
use gitmoor_tests::site::ok;
use std::path::{Path, PathBuf};

/// A repository with some history, in which `alice` may write.
struct Day {
    hosts: Hosts,
    served: Served,
    token: String,
    work: Repo,
}

impl Day {
    /// `None` on a machine that may lack the clients.
    fn begin() -> Option<Self> {
        let hosts = Hosts::find()?;
        let (served, token) = Served::with_alice();
        let work = served.place.work("work");
        work.import(&history::commits(20));
        let url = served.url(&format!("alice:{token}"), "team/app.git");
        work.ok(format!("push --quiet {url} main"));
        Some(Self {
            hosts,
            served,
            token,
            work,
        })
    }

    /// Of the repository, without a user, and with.
    fn urls(&self) -> [String; 2] {
        let who = format!("alice:{}", self.token);
        ["", &who].map(|who| self.served.url(who, "team/app.git"))
    }

    fn copy(&self) -> PathBuf {
        self.served.place.scratch("copy")
    }

    /// A script that gets URL, user, token and a directory.
    fn run(&self, program: impl AsRef<std::ffi::OsStr>, script: &str) {
        let place = &self.served.place;
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("hosts")
            .join(script);
        let mut command = place.git.program(program, &place.scratch);
        command
            .envs(self.hosts.env())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg(script)
            .args([&self.urls()[0], "alice", &self.token])
            .arg(self.copy());
        ok(&mut command);
    }

    /// What the client has pushed is there, and whole.
    fn ends(&self, branch: &str) {
        let [_, url] = self.urls();
        let copy = self
            .served
            .clone(&format!("--branch {branch}"), &url, "again");
        copy.fsck();
        assert_eq!(copy.oid("HEAD~1"), self.work.oid("main"));
        assert!(copy.ok("log -1 --format=%s").contains(branch));
    }
}

#[test]
fn pygit2() {
    let Some(day) = Day::begin() else { return };
    day.run(day.hosts.python("python"), "pygit2_http.py");
    day.ends("pygit2");
}

#[test]
fn dulwich() {
    let Some(day) = Day::begin() else { return };
    day.run(day.hosts.python("python"), "dulwich_http.py");
    day.ends("dulwich");
}

#[test]
fn isomorphic_git() {
    let Some(day) = Day::begin() else { return };
    day.run("node", "isomorphic_http.js");
    day.ends("isomorphic");
}

/// JGit takes no password from a URL, and has no console here.
#[test]
fn jgit() {
    let Some(day) = Day::begin() else { return };
    let place = &day.served.place;
    let home = place.scratch("home");
    std::fs::create_dir_all(&home).expect("mkdir");
    let line = format!("machine 127.0.0.1 login alice password {}\n", day.token);
    std::fs::write(home.join(".netrc"), line).expect("written");
    let jgit = |dir: &Path, line: &str| {
        let words = day.hosts.jgit();
        let mut command = place.git.program(&words[0], dir);
        command.arg(format!("-Duser.home={}", home.display()));
        ok(command.args(&words[1..]).args(line.split(' ')))
    };
    let (copy, [url, _]) = (day.copy(), day.urls());
    jgit(&place.scratch, &format!("clone {url} {}", copy.display()));
    let copy = place.git.at(copy);
    copy.commit("jgit");
    jgit(&copy.dir, "push origin HEAD:refs/heads/jgit");
    jgit(&copy.dir, "fetch origin refs/heads/jgit:refs/heads/fetched");
    assert_eq!(copy.oid("fetched"), copy.oid("HEAD"));
    day.ends("jgit");
}
