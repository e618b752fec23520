//! What can be typed. Parsing only: nothing here reads the environment, a file
//! or a clock, so that precedence is decided in one place ([`crate::config`]).

use crate::config::{Moment, RepoName, Seconds, StoreUrl};
pub use crate::config::{MountArgs, NodeArgs, Place};
use crate::repo_limit::LimitName;
use clap::{Args, Parser, Subcommand, ValueEnum};
use gitmoor_model::RepoPattern;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// Mounts bare git repositories: objects from S3, refs through raft.
#[derive(Debug, Parser)]
#[command(name = "gitmoor", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.")]
pub struct Cli {
    /// Where the daemon lives; the same for every command.
    #[command(flatten)]
    pub place: Place,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mount the repositories of a data directory; returns when the mount answers
    Mount(Box<MountArgs>),
    /// Publish what is pending, unmount, and end the daemon
    Umount(UmountArgs),
    /// Show what the daemon does, what is pending and what waits for what
    Status(StatusArgs),
    /// List, create, inspect, rename, delete and configure repositories
    Repo {
        /// What to do with them.
        #[command(subcommand)]
        command: RepoCommand,
    },
    /// Repack repositories, and remove what was in the trash for long enough, and what nobody
    /// owns, from the store
    Gc(GcArgs),
    /// Write down, in the store, what the replicator holds: refs, catalog, settings
    Backup(BackupArgs),
    /// Begin a new data directory with a backup
    Restore(RestoreBackupArgs),
    /// Make the repositories of a mount the only ones that may store in their object store, and delete
    /// there: after a restoration, or of a copied data directory
    TakeOver(TakeOverArgs),
    /// Run a node of a cluster without a mount; stays in the foreground
    Node(NodeArgs),
    /// Make, join, watch and change a cluster of nodes
    Cluster {
        /// What to do with it.
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Check a repository: its catalog against the store, and every byte against its digest
    Fsck(FsckArgs),
    /// Bring a repository in from elsewhere, with the same packs; interrupted, the same command goes
    /// on where it was
    Import(ImportArgs),
    /// Take a repository out: as a plain bare repository, or as a bundle
    Export(ExportArgs),
    /// Fetch what will be needed of a repository into this machine's cache
    Warm(WarmArgs),
    /// Look for what is wrong with this machine, its store and its cluster, and mend it
    Doctor(DoctorArgs),
    /// Print completions for a shell
    Completions {
        /// Which
        shell: clap_complete::Shell,
    },
    /// Write the manual pages
    Man {
        /// Into this directory; made if it is missing
        dir: PathBuf,
    },
    /// Show who changed what: refs, settings, repositories
    Audit(AuditArgs),
    /// Watch a daemon work: repositories by traffic, cache, store, replicator, what waits for what
    Top(TopArgs),
}

/// `gitmoor cluster …`.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Make this data directory the first node of a new cluster
    Init(ListenArgs),
    /// Make a node whose cluster has lost the majority of its voters for good the first of a new
    /// cluster, with all that it has
    Recover(ListenArgs),
    /// Print a token with which one machine can join, once
    Token {
        /// As a client: it mounts and asks the nodes, has no copy, and cannot admit others
        #[arg(long)]
        client: bool,
        /// Of a client: only these repositories, such as team/*.git or team/**; may be given
        /// several times [default: all]
        #[arg(long = "repo", value_name = "PATTERN", requires = "client")]
        repos: Vec<RepoPattern>,
        /// Of a client: it may change nothing
        #[arg(long, requires = "client")]
        read_only: bool,
        /// How long it is good for, such as 10m or 1d [default 1h]
        #[arg(long, value_name = "TIME")]
        expires: Option<Seconds>,
    },
    /// Make a new data directory one more node, or a client, of the cluster that printed the token
    Join {
        /// What `gitmoor cluster token` printed; - reads it from standard input, so that no
        /// other user of the machine sees it
        token: String,
        /// Of a node: address and port for the other nodes, such as 10.0.0.1:7400
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// host:port by which the others reach it [default: what --listen says]
        #[arg(long, value_name = "ADDR", requires = "listen")]
        advertise: Option<String>,
    },
    /// Show the nodes: who leads, who votes, who lags, whose certificate expires
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a node that was admitted get everything, without a vote; `join` does it too
    AddLearner {
        /// Its number
        node: u64,
    },
    /// Give a node that has caught up a vote
    Promote {
        /// Its number
        node: u64,
    },
    /// Remove a node, dead or alive, or a client, for good
    Remove {
        /// Its number
        node: u64,
    },
    /// Let another voter lead
    TransferLeader {
        /// Its number
        node: u64,
    },
}

/// Where a node is reached.
#[derive(Args, Debug)]
pub struct ListenArgs {
    /// Address and port for the other nodes, such as 10.0.0.1:7400
    #[arg(long, value_name = "ADDR")]
    pub listen: SocketAddr,
    /// host:port by which the others reach it [default: what --listen says]
    #[arg(long, value_name = "ADDR")]
    pub advertise: Option<String>,
}

/// `gitmoor umount`.
#[derive(Args, Debug)]
pub struct UmountArgs {
    /// Detach even while files are open; they go on until they are closed
    #[arg(long)]
    pub lazy: bool,
    /// Where it is mounted
    pub mountpoint: PathBuf,
}

/// `gitmoor status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor top`.
#[derive(Args, Debug)]
pub struct TopArgs {
    /// Print one frame as lines, and end
    #[arg(long)]
    pub once: bool,
    /// Print one frame as JSON, and end
    #[arg(long)]
    pub json: bool,
    /// Time between two frames
    #[arg(long, value_name = "TIME", default_value = "1s")]
    pub interval: Seconds,
}

/// `gitmoor audit`.
#[derive(Args, Debug)]
pub struct AuditArgs {
    /// A repository, by name, or a deleted one by id or the name it had; without it, what became of
    /// repositories and directories
    pub name: Option<String>,
    /// Only this ref, such as main or refs/heads/main
    #[arg(long = "ref", value_name = "REF", requires = "name")]
    pub reference: Option<String>,
    /// Nothing before this, such as 2026-03-01, or 7d for the last week
    #[arg(long, value_name = "TIME")]
    pub since: Option<Moment>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor fsck`.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 sound, or repaired; 1 damage is left; 2 wrong usage.")]
pub struct FsckArgs {
    /// Such as team/app.git
    pub name: RepoName,
    /// Repair what can be, from copies on this machine and from packs
    #[arg(long)]
    pub repair: bool,
    /// Also check the copies in this machine's cache, and loose objects against their names
    #[arg(long)]
    pub deep: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor import`.
#[derive(Args, Debug)]
#[command(
    after_help = "Nothing is seen of a repository before all of it is there and was read back. Taken are objects, \
refs and HEAD; config, hooks, logs and what belongs to a worktree stay behind."
)]
pub struct ImportArgs {
    /// A git repository on this machine, a URL that git can fetch from, a bundle, or
    /// postgres://USER@HOST/DATABASE
    #[arg(required_unless_present_any = ["status", "abandon"])]
    pub source: Option<String>,
    /// The name it gets, such as team/app.git; with --recursive the directory that all go into
    pub name: Option<String>,
    /// Every repository below the directory SOURCE, under its path there
    #[arg(long)]
    pub recursive: bool,
    /// Serve it from the beginning: a hook keeps refs from changing in SOURCE, a repository on this
    /// machine, from which objects are read until they are in the store
    #[arg(long)]
    pub live: bool,
    /// Of a postgres:// source: the value of the repository column
    #[arg(long, value_name = "ID")]
    pub repo: Option<String>,
    /// Of a postgres:// source: the table of objects
    #[arg(long, value_name = "NAME", default_value = "repo_objects")]
    pub table: String,
    /// Its columns: repository, id (binary or hex), type (name or number), content
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "repo_id,oid,type,data"
    )]
    pub columns: Vec<String>,
    /// Of a postgres:// source: the table of refs
    #[arg(long, value_name = "NAME", default_value = "repo_refs")]
    pub refs_table: String,
    /// Its columns: repository, name, object in hex (or `ref: NAME`)
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "repo_id,name,target"
    )]
    pub refs_columns: Vec<String>,
    /// What is checked when it is read back from the store: the checksums of files, or also every
    /// object
    #[arg(long, value_name = "WHAT", default_value = "checksums")]
    pub verify: ImportVerify,
    /// Only show how far imports are
    #[arg(long, conflicts_with_all = ["source", "abandon"])]
    pub status: bool,
    /// Give up an import that has begun; gc removes what was stored
    #[arg(long, value_name = "NAME", conflicts_with = "source")]
    pub abandon: Option<RepoName>,
    /// Print JSON: one event a line
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor export`.
#[derive(Args, Debug)]
#[command(
    after_help = "It gets its name when it is whole and was checked. Taken are objects, refs and HEAD; config, hooks and \
logs stay behind."
)]
pub struct ExportArgs {
    /// Such as team/app.git
    pub name: RepoName,
    /// The new repository, or the bundle if this ends in .bundle; must not exist
    pub dest: PathBuf,
    /// A bundle, whatever its name
    #[arg(long)]
    pub bundle: bool,
    /// Have git check every object, and not only that all that refs reach is there
    #[arg(long)]
    pub full: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What is read back of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportVerify {
    /// Every byte against the digest of what was sent
    Checksums,
    /// Also every object against its name
    Full,
}

/// `gitmoor doctor`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 healthy, or mended; 1 something is wrong; 2 wrong usage or configuration."
)]
pub struct DoctorArgs {
    /// Mend what can be without a loss, each after a confirmation
    #[arg(long)]
    pub fix: bool,
    /// Do not ask
    #[arg(long, requires = "fix")]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor warm`.
#[derive(Args, Debug)]
pub struct WarmArgs {
    /// Such as team/app.git; all of it, unless one of these says less
    pub name: RepoName,
    /// Commits, trees and files of this branch, tag or commit [default: HEAD]
    #[arg(long, value_name = "REV", allow_hyphen_values = true)]
    pub rev: Option<String>,
    /// Only what is beneath this path, and the commits that touched it
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Only the last N commits, with all of their files
    #[arg(long, value_name = "N")]
    pub depth: Option<NonZeroU32>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor gc`.
#[derive(Args, Debug)]
pub struct GcArgs {
    /// Only in this repository; without it in all, and deleted repositories too
    pub name: Option<RepoName>,
    /// In all repositories, as without NAME
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
    /// Repack everything, and drop what nothing reaches any more; without it only what is small
    /// or new
    #[arg(long, conflicts_with = "trash_only")]
    pub full: bool,
    /// Put blobs into a pack of their own, so that history alone is small to read
    #[arg(long, requires = "full")]
    pub split_blobs: bool,
    /// Repack nothing
    #[arg(long)]
    pub trash_only: bool,
    /// Only say what there is to repack, and what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor backup`.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// Only list the backups that there are
    #[arg(long)]
    pub list: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor restore`.
#[derive(Args, Debug)]
pub struct RestoreBackupArgs {
    /// The store with the backups: dir:PATH or s3://BUCKET[/PREFIX]
    #[arg(long, value_name = "URL")]
    pub store: Option<StoreUrl>,
    /// Which backup, as `gitmoor restore --list` prints it [default: the newest]
    #[arg(long, value_name = "KEY")]
    pub backup: Option<String>,
    /// Only list the backups that there are
    #[arg(long, conflicts_with = "backup")]
    pub list: bool,
    /// Own the store from now on: what the backup is of can store and delete nothing there any
    /// more, and what it has stored since then is removed after gc-grace
    #[arg(long, conflicts_with = "list")]
    pub take_over: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor take-over`.
#[derive(Args, Debug)]
pub struct TakeOverArgs {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor repo …`.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// List all repositories
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Create an empty bare repository, and the directories above it
    Create(CreateArgs),
    /// Show format, refs, objects and settings of a repository
    Info {
        /// Such as team/app.git
        name: RepoName,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a repository with everything of another, at once and without a copy of its bytes
    Fork {
        /// The one that is forked
        name: RepoName,
        /// The name of the fork; directories above it are created
        to: RepoName,
        /// Have the store copy the bytes, so that it depends on nothing of the other; of a fork that
        /// is there already, what is left to copy
        #[arg(long)]
        copy: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Rename a repository, creating the directories above the new name
    Rename {
        /// The name it has
        from: RepoName,
        /// The name it shall have
        to: RepoName,
    },
    /// Delete a repository
    Delete {
        /// Such as team/app.git
        name: RepoName,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List deleted repositories, and those that have deleted objects
    Trash {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a repository, or the deleted objects of one, out of the trash
    Restore(RestoreArgs),
    /// Show or change the settings that every machine applies to a repository
    Config(ConfigArgs),
    /// Show or change what a repository is limited to
    Limit(LimitArgs),
}

/// `gitmoor repo create`.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Such as team/app.git
    pub name: RepoName,
    /// Which hash names the objects
    #[arg(long, value_name = "HASH", default_value = "sha1")]
    pub object_format: ObjectFormat,
    /// How refs are stored
    #[arg(long, value_name = "FORMAT", default_value = "files")]
    pub ref_format: RefFormat,
    /// What HEAD points at
    #[arg(long, value_name = "BRANCH", default_value = "main")]
    pub default_branch: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor repo restore`.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The name it had, or its id (gitmoor repo trash shows both); of several
    /// that had the name, the one deleted last
    pub repo: String,
    /// Give it this name
    #[arg(long = "as", value_name = "NAME", conflicts_with = "objects")]
    pub to: Option<RepoName>,
    /// Give the deleted objects of a repository back that is there
    #[arg(long)]
    pub objects: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor repo config`.
#[derive(Args, Debug)]
pub struct ConfigArgs {
    /// Such as team/app.git
    pub name: RepoName,
    /// A git setting such as gc.auto; all that are set without it
    pub key: Option<String>,
    /// Its new value; shows the current one without it
    #[arg(requires = "key", allow_negative_numbers = true)]
    pub value: Option<String>,
    /// Remove the setting
    #[arg(long, requires = "key", conflicts_with = "value")]
    pub unset: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `gitmoor repo limit`.
#[derive(Args, Debug)]
pub struct LimitArgs {
    /// Such as team/app.git
    pub name: RepoName,
    /// bytes of object files, or refs, beyond which pushes are refused; audit-records: how many its
    /// audit trail keeps; audit-keep: for how long. All that are set without it
    pub limit: Option<LimitName>,
    /// Its new value, such as 10GiB, 10000 or 90d; shows the current one without it
    #[arg(requires = "limit")]
    pub value: Option<String>,
    /// Remove the limit
    #[arg(long, requires = "limit", conflicts_with = "value")]
    pub unset: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `extensions.objectFormat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObjectFormat {
    /// 160 bits, git's default
    Sha1,
    /// 256 bits
    Sha256,
}

/// `extensions.refStorage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RefFormat {
    /// Loose files and packed-refs
    Files,
    /// Reftables
    Reftable,
}
