//! A PostgreSQL server on a socket of its own, with the objects and refs of a repository in its tables.

use crate::git::Repo;
use crate::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User, chown};
use postgres::{Client, NoTls};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(60);

/// See the module. It ends when it is dropped.
pub struct Server {
    server: Child,
    dir: TempDir,
}

impl Server {
    /// Starts one.
    #[track_caller]
    pub fn start() -> Self {
        // Short: the name of a socket has at most 107 bytes.
        let dir = tempfile::Builder::new().prefix("gm-pg-").tempdir_in("/tmp");
        let dir = dir.expect("a temporary directory");
        let user = postgres_user();
        if let Some(user) = &user {
            chown(dir.path(), Some(user.uid), Some(user.gid)).expect("chown");
        }
        let data = dir.path().join("data");
        let mut init = program("initdb", user.as_ref());
        init.args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
            "-D",
        ]);
        let output = init.arg(&data).output().expect("initdb");
        assert!(output.status.success(), "{output:?}");
        let mut server = program("postgres", user.as_ref());
        server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"]);
        server.arg(dir.path()).arg("-D").arg(&data);
        server.stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self {
            server: server.spawn().expect("postgres"),
            dir,
        };
        wait::until("the server answers", BOUND, || {
            Client::connect(&server.url(), NoTls).is_ok()
        });
        server
    }

    /// For [`Client::connect`], and for Gitmoor.
    pub fn url(&self) -> String {
        let dir = self.dir.path().to_str().expect("UTF-8");
        format!(
            "postgres://postgres:no-secret@{}/postgres",
            dir.replace('/', "%2F")
        )
    }

    /// Runs some SQL.
    #[track_caller]
    pub fn run(&self, sql: &str) {
        self.client().batch_execute(sql).expect("SQL");
    }

    fn client(&self) -> Client {
        Client::connect(&self.url(), NoTls).expect("connects")
    }

    /// Makes the tables that Gitmoor expects.
    #[track_caller]
    pub fn make_tables(&self) {
        self.run(
            "CREATE TABLE repo_objects (repo_id bigint, oid bytea, type text, data bytea, PRIMARY KEY (repo_id, oid)); \
             CREATE TABLE repo_refs (repo_id bigint, name text, target text, PRIMARY KEY (repo_id, name))",
        );
    }

    /// Puts all objects and refs of a repository into these tables.
    #[track_caller]
    pub fn fill(&self, id: i64, source: &Repo) {
        let mut client = self.client();
        let mut transaction = client.transaction().expect("begins");
        let insert = "INSERT INTO repo_objects VALUES ($1, decode($2::text, 'hex'), $3, $4)";
        let insert = transaction.prepare(insert).expect("prepares");
        for (oid, kind, data) in objects(source) {
            let row = transaction.execute(&insert, &[&id, &oid, &kind, &data]);
            row.expect("a row");
        }
        let format = "--format=%(refname) %(objectname) %(symref)";
        let refs = source.ok(["for-each-ref", format]);
        let head = source.ok("symbolic-ref HEAD");
        let insert = "INSERT INTO repo_refs VALUES ($1, $2, $3)";
        for line in refs.lines() {
            let words: Vec<_> = line.splitn(3, ' ').collect();
            let symbolic = words.get(2).filter(|target| !target.is_empty());
            let target = symbolic.map_or(words[1].to_owned(), |target| format!("ref: {target}"));
            let row = transaction.execute(insert, &[&id, &words[0], &target]);
            row.expect("a row");
        }
        let head = format!("ref: {head}");
        let row = transaction.execute(insert, &[&id, &"HEAD", &head]);
        row.expect("a row");
        transaction.commit().expect("commits");
    }
}

/// Id, type and content of every object.
fn objects(source: &Repo) -> Vec<(String, String, Vec<u8>)> {
    let all = source.bytes("cat-file --batch --batch-all-objects", "");
    let (mut objects, mut rest) = (Vec::new(), &all[..]);
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let header = String::from_utf8_lossy(&rest[..end]).into_owned();
        let words: Vec<_> = header.split(' ').collect();
        let size: usize = words[2].parse().expect("a size");
        let data = rest[end + 1..end + 1 + size].to_vec();
        objects.push((words[0].to_owned(), words[1].to_owned(), data));
        rest = &rest[end + size + 2..];
    }
    objects
}

impl Drop for Server {
    fn drop(&mut self) {
        // At once, without waiting for clients.
        let pid = Pid::from_raw(self.server.id().try_into().expect("a pid"));
        let _ = kill(pid, Signal::SIGQUIT);
        let _ = self.server.wait();
    }
}

/// The server refuses to run as root.
fn postgres_user() -> Option<User> {
    match Uid::current().is_root() {
        true => Some(
            User::from_name("postgres")
                .expect("passwd")
                .expect("a user postgres"),
        ),
        false => None,
    }
}

fn program(name: &str, user: Option<&User>) -> Command {
    let mut command = Command::new(find(name));
    command.current_dir("/tmp");
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// Debian keeps them out of the search path, one directory for each version.
fn find(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let dirs = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let mut found: Vec<_> = dirs
        .map(|dir| dir.join(name))
        .filter(|at| at.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| Path::new(name).to_owned())
}
