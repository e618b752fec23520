//! What is typed that settings come from: which daemon is meant, and the arguments of `gitmoor mount` and
//! `gitmoor node`.

use super::RepoName;
use super::layer::{Layer, LogLayer, MetricsLayer, TracesLayer};
use clap::Args;
use std::path::PathBuf;

/// Which daemon is meant.
#[derive(Args, Clone, Debug, Default)]
pub struct Place {
    /// Data directory [env GITMOOR_DATA; default ~/.local/share/gitmoor, for root
    /// /var/lib/gitmoor]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Settings file [default: gitmoor.toml in the data directory, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `gitmoor mount`.
#[derive(Args, Debug, Default)]
pub struct MountArgs {
    /// Mount this one repository instead of the whole namespace
    #[arg(long, value_name = "NAME")]
    pub repo: Option<RepoName>,
    /// Stay in the foreground and log to standard error
    #[arg(long)]
    pub foreground: bool,
    /// Let nobody run a program that lies on the mount, hooks included
    #[arg(long)]
    pub noexec: bool,
    /// What mount tables show as the source [default: the data directory]
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// Settings that have a flag.
    #[command(flatten)]
    pub settings: Layer,
    /// An empty directory
    pub mountpoint: PathBuf,
}

/// `gitmoor serve`.
#[derive(Args, Debug, Default)]
pub struct ServeArgs {
    /// What mount tables show as the source [default: the data directory]
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// Settings that have a flag.
    #[command(flatten)]
    pub settings: Layer,
    /// An empty directory [default: one of its own]
    pub mountpoint: Option<PathBuf>,
}

/// `gitmoor node`.
#[derive(Args, Debug)]
pub struct NodeArgs {
    /// The log.
    #[command(flatten)]
    pub log: LogLayer,
    /// The port of the metrics.
    #[command(flatten)]
    pub metrics: MetricsLayer,
    /// Where traces go.
    #[command(flatten)]
    pub traces: TracesLayer,
}
