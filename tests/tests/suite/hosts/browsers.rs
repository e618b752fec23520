//! What shows repositories to browsers: cgit and gitweb, which begin anew with each page, and klaus, which stays.

use super::sites;
use gitmoor_tests::hosts::Hosts;
use gitmoor_tests::server::{self, Server};
use gitmoor_tests::site::{Site, ok};
use gitmoor_tests::wait;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

sites!(run_newest: cgit, gitweb, klaus);

const BOUND: Duration = Duration::from_secs(20);

/// A browser of repositories, as a machine runs it.
trait Browser {
    /// The page with all repositories.
    fn index(&self, machine: usize) -> String;
    /// The page with the commits of a branch.
    fn log(&self, machine: usize, name: &str, branch: &str) -> String;
    /// The page with a file of a branch.
    fn file(&self, machine: usize, name: &str, branch: &str, file: &str) -> String;
}

/// Waits until the page of every machine is right: who stays may show what is 250 ms old.
#[track_caller]
fn seen(site: &Site, what: &str, page: impl Fn(usize) -> String, is_right: impl Fn(&str) -> bool) {
    for machine in 0..site.machines() {
        wait::until(&format!("{what}, machine {machine}"), BOUND, || {
            is_right(&page(machine))
        });
    }
}

/// What is pushed by way of one machine is seen by way of all.
fn pushes_are_seen(site: &Site, browser: &dyn Browser) {
    site.repo(0, "app.git")
        .write("description", "An application of ours");
    let work = site.work("work", 3);
    for turn in 0..3 {
        let word = format!("change-{turn}");
        work.commit(&word);
        let url = site.repo(turn, "app.git").url();
        work.ok(format!(
            "push --quiet {url} HEAD:main HEAD:refs/heads/team/next"
        ));
        let log = |machine| browser.log(machine, "app.git", "main");
        seen(site, "the commit", log, |page| page.contains(&word));
        let name = format!("{word}.txt");
        let file = |machine| browser.file(machine, "app.git", "main", &name);
        seen(site, "the file", file, |page| page.contains(&word));
    }
    let index = |machine| browser.index(machine);
    seen(site, "the index", index, |page| {
        page.contains("app") && page.contains("An application of ours")
    });
}

/// A rename, an alias, and a deletion.
fn names_are_seen(site: &Site, browser: &dyn Browser) {
    site.sh(1, "mv app.git web.git");
    site.sh(2, "ln -s web.git app.git");
    let log = |machine, name| browser.log(machine, name, "main");
    let is_there = |page: &str| page.contains("change-2");
    for name in ["web.git", "app.git"] {
        seen(site, name, |machine| log(machine, name), is_there);
    }
    site.sh(0, "rm app.git; rm -rf web.git");
    seen(
        site,
        "it is gone",
        |machine| log(machine, "web.git"),
        |page| !is_there(page),
    );
}

fn empty(site: &Site) {
    site.sh(
        0,
        "git init --quiet --bare app.git; git -C app.git symbolic-ref HEAD refs/heads/main",
    );
}

/// A program that makes a page and ends.
fn page(command: &mut Command, path: &str, query: &str) -> String {
    command
        .env("GATEWAY_INTERFACE", "CGI/1.1")
        .env("REQUEST_METHOD", "GET");
    command
        .env("SERVER_NAME", "localhost")
        .env("SERVER_PORT", "80")
        .env("SERVER_PROTOCOL", "HTTP/1.0");
    command
        .env("SCRIPT_NAME", "")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query);
    ok(command)
}

struct Cgit<'a>(&'a Site, Hosts);

impl Cgit<'_> {
    fn page(&self, machine: usize, path: &str) -> String {
        let site = self.0;
        let settings = site.scratch(format!("cgitrc-{machine}"));
        let root = site.root(machine).display();
        let lines = [
            "virtual-root=/".into(),
            "snapshots=tar.gz".into(),
            format!("scan-path={root}"),
        ];
        fs::write(&settings, lines.join("\n")).expect("written");
        let mut command = site
            .git
            .program(self.1.file("/usr/lib/cgit/cgit.cgi"), site.root(machine));
        command.envs(self.1.env()).env("CGIT_CONFIG", settings);
        page(&mut command, path, "")
    }
}

impl Browser for Cgit<'_> {
    fn index(&self, machine: usize) -> String {
        self.page(machine, "/")
    }

    fn log(&self, machine: usize, name: &str, _branch: &str) -> String {
        self.page(machine, &format!("/{name}/log/"))
    }

    fn file(&self, machine: usize, name: &str, _branch: &str, file: &str) -> String {
        self.page(machine, &format!("/{name}/plain/{file}"))
    }
}

fn cgit(site: &mut Site) {
    let Some(hosts) = Hosts::find() else { return };
    empty(site);
    let cgit = Cgit(site, hosts);
    pushes_are_seen(site, &cgit);
    names_are_seen(site, &cgit);
}

struct Gitweb<'a>(&'a Site, Hosts);

impl Gitweb<'_> {
    fn page(&self, machine: usize, query: &str) -> String {
        let site = self.0;
        let settings = site.scratch(format!("gitweb-{machine}.conf"));
        let root = site.root(machine).display();
        let lines =
            format!("our $projectroot = '{root}';\nour $projects_list = $projectroot;\n1;\n");
        fs::write(&settings, lines).expect("written");
        let mut command = site.git.program("perl", site.root(machine));
        command.arg(self.1.file("/usr/share/gitweb/gitweb.cgi"));
        command.envs(self.1.env()).env("GITWEB_CONFIG", settings);
        page(&mut command, "", query)
    }
}

impl Browser for Gitweb<'_> {
    fn index(&self, machine: usize) -> String {
        self.page(machine, "")
    }

    fn log(&self, machine: usize, name: &str, branch: &str) -> String {
        self.page(machine, &format!("p={name};a=shortlog;h={branch}"))
    }

    fn file(&self, machine: usize, name: &str, branch: &str, file: &str) -> String {
        self.page(
            machine,
            &format!("p={name};a=blob_plain;f={file};hb={branch}"),
        )
    }
}

fn gitweb(site: &mut Site) {
    let Some(hosts) = Hosts::find() else { return };
    empty(site);
    let gitweb = Gitweb(site, hosts);
    pushes_are_seen(site, &gitweb);
    names_are_seen(site, &gitweb);
}

/// The ports of one on each machine.
struct Klaus(Vec<u16>);

impl Browser for Klaus {
    fn index(&self, machine: usize) -> String {
        server::get(self.0[machine], "/")
    }

    fn log(&self, machine: usize, name: &str, branch: &str) -> String {
        let name = name.trim_end_matches(".git");
        server::get(self.0[machine], &format!("/{name}/tree/{branch}/"))
    }

    fn file(&self, machine: usize, name: &str, branch: &str, file: &str) -> String {
        let name = name.trim_end_matches(".git");
        server::get(self.0[machine], &format!("/{name}/raw/{branch}/{file}"))
    }
}

/// It serves clones too, by dulwich.
fn klaus(site: &mut Site) {
    let Some(hosts) = Hosts::find() else { return };
    empty(site);
    let klaus = Klaus((0..site.machines()).map(|_| server::free_port()).collect());
    let start = |(machine, &port): (usize, &u16)| {
        let mut command = site.git.program(hosts.python("klaus"), site.root(machine));
        command.args(["--smarthttp", "--port", &port.to_string(), "app.git"]);
        Server::listening(command.stdout(Stdio::null()).stderr(Stdio::null()), port)
    };
    let _servers: Vec<_> = klaus.0.iter().enumerate().map(start).collect();
    pushes_are_seen(site, &klaus);
    for (machine, port) in klaus.0.iter().enumerate() {
        let clone = site.clone(
            &format!("http://127.0.0.1:{port}/app"),
            &format!("clone-{machine}"),
        );
        assert_eq!(clone.oid("HEAD"), site.repo(machine, "app.git").oid("main"));
    }
}
