//! The commands. The arguments of each stand in its own file. Parsing only: nothing here reads the environment,
//! a file or a clock, so that precedence is decided in one place ([`crate::config`]).

use super::access::AccessCommand;
use super::audit::AuditArgs;
use super::backup::BackupArgs;
use super::bench::BenchArgs;
use super::cluster::ClusterCommand;
use super::doctor::DoctorArgs;
use super::export::ExportArgs;
use super::fsck::FsckArgs;
use super::gc::GcArgs;
use super::hooks::HooksCommand;
use super::import::ImportArgs;
use super::repo::RepoCommand;
use super::restore::RestoreBackupArgs;
use super::status::StatusArgs;
use super::take_over::TakeOverArgs;
use super::token::TokenCommand;
use super::top::TopArgs;
use super::umount::UmountArgs;
use super::user::UserCommand;
use super::warm::WarmArgs;
use crate::config::{MountArgs, NodeArgs, Place, ServeArgs};
use clap::{Parser, Subcommand};
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
    /// Mount, and serve git over HTTP: clone, fetch and push from other machines; stays in the foreground
    Serve(Box<ServeArgs>),
    /// Run a node of a cluster without a mount; stays in the foreground
    Node(NodeArgs),
    /// Make, join, watch and change a cluster of nodes
    Cluster {
        /// What to do with it.
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Show and roll out the hooks directory that all machines of a cluster have
    Hooks {
        /// What to do with it.
        #[command(subcommand)]
        command: HooksCommand,
    },
    /// Add, remove and list users of `gitmoor serve`, and put them into groups
    User {
        /// What to do with them.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Make, revoke and list the tokens that users and machines show to `gitmoor serve`
    Token {
        /// What to do with them.
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Say who may do what in which repositories, through `gitmoor serve`
    Access {
        /// What to do.
        #[command(subcommand)]
        command: AccessCommand,
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
    /// Measure git on the mount against the disk below it, and the store, and say what could be quicker
    Bench(BenchArgs),
}
