//! A PostgreSQL server on a socket of its own, or with TLS on addresses of its own, with the objects and refs of a repository in its tables.

use crate::git::Repo;
use crate::process::loopback;
use crate::requirement::{self, Requirement, demand};
use crate::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User, chown};
use postgres::{Client, NoTls};
use rcgen::CertifiedKey;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(60);

/// Of these its certificate is for the first.
pub const ADDRESSES: [u8; 2] = [1, 2];

/// See the module. It ends when it is dropped.
pub struct Server {
    server: Child,
    dir: TempDir,
}

impl Server {
    /// Starts one that only listens on a socket.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(|_| vec!["listen_addresses=".to_owned()])
    }

    /// Starts one that also listens on [`ADDRESSES`], and admits nobody there without TLS. Its certificate is for the first.
    #[track_caller]
    pub fn start_with_tls() -> Self {
        let addresses = ADDRESSES.map(|number| loopback(number).to_string());
        Self::start_with(|data| {
            let certified = rcgen::generate_simple_self_signed([addresses[0].clone()]);
            let CertifiedKey { cert, signing_key } = certified.expect("a certificate");
            for (name, content) in [
                ("server.crt", cert.pem()),
                ("server.key", signing_key.serialize_pem()),
                (
                    "pg_hba.conf",
                    "local all all trust\nhostssl all all 127.0.0.0/8 trust\n".to_owned(),
                ),
            ] {
                write_for_server(&data.join(name), &content);
            }
            vec![
                format!("listen_addresses={}", addresses.join(",")),
                "ssl=on".to_owned(),
            ]
        })
    }

    fn start_with(prepare: impl FnOnce(&Path) -> Vec<String>) -> Self {
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
        for setting in prepare(&data) {
            server.args(["-c", &setting]);
        }
        server
            .args(["-c", "fsync=off", "-k"])
            .arg(dir.path())
            .arg("-D")
            .arg(&data);
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

    /// At one of [`ADDRESSES`], without what it says of TLS.
    pub fn tcp_url(&self, number: u8) -> String {
        format!(
            "postgres://postgres:no-secret@{}/postgres",
            loopback(number)
        )
    }

    /// The certificate, which vouches for itself.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("data/server.crt")
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

/// A file that only the server reads.
fn write_for_server(at: &Path, content: &str) {
    fs::write(at, content).expect("writes");
    fs::set_permissions(at, fs::Permissions::from_mode(0o600)).expect("chmod");
    if let Some(user) = postgres_user() {
        chown(at, Some(user.uid), Some(user.gid)).expect("chown");
    }
}

/// The server refuses to run as root.
fn postgres_user() -> Option<User> {
    match Uid::current().is_root() {
        true => {
            let user = User::from_name("postgres").expect("passwd");
            let user = user.ok_or("PostgreSQL refuses root, and there is no user postgres");
            Some(demand(Requirement::Postgres, user))
        }
        false => None,
    }
}

fn program(name: &str, user: Option<&User>) -> Command {
    let mut command = Command::new(demand(Requirement::Postgres, find(name)));
    command.current_dir("/tmp");
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// Debian keeps them out of the search path, one directory for each version.
fn find(name: &str) -> Result<PathBuf, String> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let dirs = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    let mut found: Vec<_> = dirs
        .map(|dir| dir.join(name))
        .filter(|at| at.exists())
        .collect();
    found.sort();
    found.pop().map_or_else(|| requirement::program(name), Ok)
}
