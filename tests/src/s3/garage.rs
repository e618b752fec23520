//! A real S3 server: Garage, one node, with its data in a directory.

use super::{BUCKET, environment};
use crate::requirement::{Requirement, need, program};
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const REGION: &str = "garage";

/// How long it may take to start.
const START: Duration = Duration::from_secs(30);

/// A running server. It is killed when dropped.
pub struct Garage {
    server: Child,
    endpoint: String,
    key: String,
    secret: String,
}

impl Garage {
    /// The `garage` program, on PATH or where cargo installs.
    #[track_caller]
    pub fn binary() -> Option<PathBuf> {
        let home = std::env::var_os("HOME").unwrap_or_default();
        let installed = Path::new(&home).join(".cargo/bin/garage");
        let found = program("garage").or_else(|error| match installed.is_file() {
            true => Ok(installed),
            false => Err(error),
        });
        need(Requirement::Garage, found)
    }

    /// Starts a server on free ports, with its files in `dir` and one empty bucket.
    pub fn start(dir: &Path) -> Result<Self> {
        let binary = Self::binary().context("garage was left out of this run")?;
        let [s3, rpc, admin] = free_ports()?;
        let config = dir.join("garage.toml");
        fs::write(&config, configuration(dir, s3, rpc, admin)?)?;
        let log = File::create(dir.join("garage.log"))?;
        let server = Command::new(&binary)
            .arg("-c")
            .arg(&config)
            .arg("server")
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let endpoint = format!("http://127.0.0.1:{s3}");
        let mut garage = Self {
            server,
            endpoint,
            key: String::new(),
            secret: String::new(),
        };
        garage.set_up(&Cli { binary, config })?;
        Ok(garage)
    }

    /// The settings of a client.
    pub fn env(&self) -> Vec<(String, String)> {
        environment(&self.endpoint, REGION, &self.key, &self.secret)
    }

    fn set_up(&mut self, cli: &Cli) -> Result<()> {
        self.wait_until_it_answers(cli)?;
        let id = cli.run(&["node", "id", "-q"])?;
        let id = id
            .split('@')
            .next()
            .context("garage node id says nothing")?;
        cli.run(&["layout", "assign", "-z", "dc1", "-c", "10G", id])?;
        cli.run(&["layout", "apply", "--version", "1"])?;
        cli.run(&["bucket", "create", BUCKET])?;
        let key = cli.run(&["key", "create", "tests"])?;
        cli.run(&[
            "bucket", "allow", "--read", "--write", "--owner", BUCKET, "--key", "tests",
        ])?;
        self.key = field(&key, "Key ID")?;
        self.secret = field(&key, "Secret key")?;
        Ok(())
    }

    fn wait_until_it_answers(&mut self, cli: &Cli) -> Result<()> {
        let begin = Instant::now();
        while cli.run(&["status"]).is_err() {
            if let Some(status) = self.server.try_wait()? {
                bail!("garage ended at once ({status}), see garage.log");
            }
            ensure!(
                begin.elapsed() < START,
                "garage does not answer within {START:?}"
            );
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The same program as its own client.
struct Cli {
    binary: PathBuf,
    config: PathBuf,
}

impl Cli {
    fn run(&self, args: &[&str]) -> Result<String> {
        let out = Command::new(&self.binary)
            .arg("-c")
            .arg(&self.config)
            .args(args)
            .stdin(Stdio::null())
            .output()?;
        let errors = String::from_utf8_lossy(&out.stderr);
        ensure!(out.status.success(), "garage {args:?}: {errors}");
        Ok(String::from_utf8(out.stdout)?)
    }
}

fn configuration(dir: &Path, s3: u16, rpc: u16, admin: u16) -> Result<String> {
    let dir = dir.canonicalize()?;
    let dir = dir.display();
    let secret = uuid::Uuid::new_v4().simple().to_string().repeat(2);
    Ok(format!(
        "metadata_dir = \"{dir}/meta\"\n\
         data_dir = \"{dir}/data\"\n\
         db_engine = \"sqlite\"\n\
         replication_factor = 1\n\
         rpc_bind_addr = \"127.0.0.1:{rpc}\"\n\
         rpc_public_addr = \"127.0.0.1:{rpc}\"\n\
         rpc_secret = \"{secret}\"\n\
         [s3_api]\n\
         s3_region = \"{REGION}\"\n\
         api_bind_addr = \"127.0.0.1:{s3}\"\n\
         [admin]\n\
         api_bind_addr = \"127.0.0.1:{admin}\"\n"
    ))
}

/// Ports that are free now, and all different since they are held together.
fn free_ports() -> Result<[u16; 3]> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let held = [bind()?, bind()?, bind()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&held) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}

/// The value of a line `Name: value`.
fn field(text: &str, name: &str) -> Result<String> {
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix(':'));
    Ok(line
        .with_context(|| format!("garage names no {name}"))?
        .trim()
        .to_string())
}
