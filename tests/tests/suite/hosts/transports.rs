//! Servers of git's own protocols: git-http-backend behind nginx, and `git daemon`. What a host's settings and hooks
//! refuse is refused by way of every machine.

use super::{hook, sites};
use gitmoor_tests::git::Repo;
use gitmoor_tests::hosts::Hosts;
use gitmoor_tests::server::{Server, free_port};
use gitmoor_tests::site::Site;
use std::fs;
use std::process::Stdio;

sites!(run_newest: nginx, daemon);

/// A branch whose name begins with `no` is refused.
const HOOK: &str = "#!/bin/sh
while read -r old new ref; do case $ref in refs/heads/no*) echo \"$ref: not here\" >&2; exit 1 ;; esac; done
";

/// By URLs of `app.git` that lead to one machine each.
fn clone_and_push(site: &Site, urls: &[String]) {
    let work = site.work("work", 20);
    for turn in 0..4 {
        let (to, from) = (&urls[turn % urls.len()], &urls[(turn + 1) % urls.len()]);
        let tip = work.commit(&format!("through-{turn}"));
        work.ok(format!(
            "push --quiet {to} HEAD:main HEAD:refs/heads/team/{turn}"
        ));
        let clone = site.clone(from, &format!("clone-{turn}"));
        assert_eq!(clone.oid("HEAD"), tip);
        assert_eq!(clone.ok("branch --remotes").lines().count(), turn + 3);
        let shallow = format!(
            "clone --quiet --depth 1 {from} {}",
            site.scratch(format!("shallow-{turn}")).display()
        );
        site.at().ok(shallow);
    }
    site.fsck("app.git");
}

/// The hook, forced pushes and deletions.
fn refusals(work: &Repo, urls: &[String]) {
    work.ok("commit --quiet --amend -m amended");
    for url in urls {
        for (refs, why) in [
            ("HEAD:refs/heads/no-1", "not here"),
            ("+HEAD:main", "non-fast-forward"),
            (":refs/heads/team/0", "deletion prohibited"),
        ] {
            let said = work.fail(format!("push {url} {refs}"));
            assert!(said.contains(why), "{url} {refs}: {said}");
        }
    }
}

fn forbid(site: &Site) {
    hook(site, "app.git", "pre-receive", HOOK);
    let app = site.repo(1, "app.git");
    app.ok("config receive.denyNonFastForwards true");
    app.ok("config receive.denyDeletes true");
}

/// nginx, and the program that runs CGI for it.
fn start_nginx(site: &Site, hosts: &Hosts, machine: usize, port: u16) -> [Server; 2] {
    let dir = site.scratch(format!("nginx-{machine}"));
    fs::create_dir(&dir).expect("mkdir");
    let (at, socket) = (dir.display(), dir.join("cgi"));
    let settings = format!(
        r#"
daemon off; worker_processes 1; user root; pid {at}/pid; error_log {at}/errors;
events {{}}
http {{
    access_log off; client_max_body_size 0;
    client_body_temp_path {at}/body; fastcgi_temp_path {at}/fastcgi; proxy_temp_path {at}/proxy;
    uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/git(/.*) {{
            include {params};
            fastcgi_param SCRIPT_FILENAME {backend};
            fastcgi_param GIT_PROJECT_ROOT {root};
            fastcgi_param GIT_HTTP_EXPORT_ALL "";
            fastcgi_param PATH_INFO $1;
            fastcgi_param HOME {at};
            fastcgi_pass unix:{socket};
        }}
    }}
}}
"#,
        params = hosts.file("/etc/nginx/fastcgi_params").display(),
        backend = format_args!("{}/git-http-backend", site.at().ok("--exec-path")),
        root = site.root(machine).display(),
        socket = socket.display(),
    );
    fs::write(dir.join("conf"), settings).expect("written");
    let mut fcgiwrap = site.git.program(hosts.file("/usr/sbin/fcgiwrap"), &dir);
    fcgiwrap
        .envs(hosts.env())
        .args(["-c", "2", "-s"])
        .arg(format!("unix:{}", socket.display()));
    fcgiwrap.stdout(Stdio::null()).stderr(Stdio::null());
    let fcgiwrap = Server::start(&mut fcgiwrap, || socket.exists());
    let mut nginx = site.git.program(hosts.file("/usr/sbin/nginx"), &dir);
    nginx
        .args(["-e", "stderr", "-c"])
        .arg(dir.join("conf"))
        .arg("-p")
        .arg(&dir);
    [fcgiwrap, Server::listening(&mut nginx, port)]
}

fn nginx(site: &mut Site) {
    let Some(hosts) = Hosts::find() else { return };
    site.sh(
        0,
        "git init --quiet --bare app.git; git -C app.git symbolic-ref HEAD refs/heads/main",
    );
    site.repo(1, "app.git").ok("config http.receivepack true");
    let ports: Vec<_> = (0..site.machines()).map(|_| free_port()).collect();
    let start = |(machine, &port): (usize, &u16)| start_nginx(site, &hosts, machine, port);
    let _servers: Vec<_> = ports.iter().enumerate().map(start).collect();
    let url = |port: &u16| format!("http://127.0.0.1:{port}/git/app.git");
    let urls: Vec<_> = ports.iter().map(url).collect();
    clone_and_push(site, &urls);
    forbid(site);
    let work = site.git.at(site.scratch("work"));
    refusals(&work, &urls);
    // Closed by one machine, closed by all.
    site.repo(2, "app.git").ok("config http.receivepack false");
    for url in &urls {
        let said = work.fail(format!("push {url} HEAD:refs/heads/closed"));
        assert!(said.contains("403"), "{said}");
        work.ok(format!("ls-remote {url}"));
    }
}

fn daemon(site: &mut Site) {
    site.sh(
        0,
        "git init --quiet --bare app.git; git -C app.git symbolic-ref HEAD refs/heads/main",
    );
    site.sh(2, "touch app.git/git-daemon-export-ok");
    site.repo(1, "app.git").ok("config daemon.receivepack true");
    let ports: Vec<_> = (0..site.machines()).map(|_| free_port()).collect();
    let start = |(machine, &port): (usize, &u16)| {
        let root = site.root(machine).display();
        let line = format!(
            "daemon --reuseaddr --enable=receive-pack --listen=127.0.0.1 --port={port} --base-path={root} {root}"
        );
        let words: Vec<_> = line.split(' ').map(Into::into).collect();
        Server::listening(&mut site.git.command(&site.scratch(""), &words), port)
    };
    let _servers: Vec<_> = ports.iter().enumerate().map(start).collect();
    let url = |port: &u16| format!("git://127.0.0.1:{port}/app.git");
    let urls: Vec<_> = ports.iter().map(url).collect();
    clone_and_push(site, &urls);
    forbid(site);
    let work = site.git.at(site.scratch("work"));
    refusals(&work, &urls);
    // Taken back by one machine, gone everywhere.
    site.sh(1, "rm app.git/git-daemon-export-ok");
    for url in &urls {
        work.fail(format!("ls-remote {url}"));
    }
}
