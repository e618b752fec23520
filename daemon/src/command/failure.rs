//! Why a command ended without success, and the exit code that says so.

use super::bench::BenchError;
use super::export::ExportError;
use super::warm::WarmError;
use crate::admin::{AdminError, Rejection, RejectionKind};
use crate::config::{ConfigError, RepoName};
use crate::data_dir::DataDirError;
use crate::mount_point::MountPointError;
use crate::service::{BackgroundError, ServiceError};
use crate::traces::TracesError;
use gitmoor_model::setting::SettingError;
use std::process::ExitCode;

/// Wrong usage or configuration: the caller must say something else.
const USAGE: u8 = 2;
/// The thing itself did not work.
const FAILED: u8 = 1;

/// Why a command failed. Its `Display` is the whole message for the user.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The arguments are well-formed but cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// The setting is not one that is replicated.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The setting has no value.
    #[error("{name} does not set {key}")]
    NotSet {
        /// Name of the repository.
        name: RepoName,
        /// Key of the setting.
        key: &'static str,
    },
    /// fsck found damage, which it has printed.
    #[error(
        "{name} is damaged; {}", if *.repair { "what is left could not be repaired: restore it from \
         a clone or a backup" } else { "gitmoor fsck --repair repairs what can be" }
    )]
    Damaged {
        /// Name of the repository.
        name: RepoName,
        /// Whether a repair was tried.
        repair: bool,
    },
    /// Some repositories could not be repacked.
    #[error("not repacked: {}", .0.join("; "))]
    Unmaintained(Vec<String>),
    /// Some repositories of a tree could not be imported.
    #[error("not imported: {}", .0.join("; "))]
    Unimported(Vec<String>),
    /// A confirmation was not given.
    #[error("not confirmed: nothing was changed")]
    Declined,
    /// Nothing can be mounted there.
    #[error(transparent)]
    MountPoint(#[from] MountPointError),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The daemon could not start, or could not leave in order.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The daemon in the background did not come up.
    #[error(transparent)]
    Background(#[from] BackgroundError),
    /// Traces cannot be exported.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The running daemon cannot be reached.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The running daemon said no.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// doctor found what is wrong, which it has printed.
    #[error("{}", unhealthy(*.findings))]
    Unhealthy {
        /// How many are left.
        findings: usize,
    },
    /// A repository could not be warmed.
    #[error(transparent)]
    Warm(#[from] WarmError),
    /// A mount could not be measured.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// A repository could not be exported.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The answer could not be printed.
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
}

/// What mends each was printed beside it.
fn unhealthy(findings: usize) -> String {
    match findings {
        1 => "1 problem is left".to_owned(),
        several => format!("{several} problems are left"),
    }
}

impl Failure {
    /// 1 or 2, see the command line contract.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) | Self::Setting(_) => USAGE,
            Self::MountPoint(error) if error.is_usage() => USAGE,
            Self::DataDir(error) if error.is_usage() => USAGE,
            Self::Service(error) if error.is_usage() => USAGE,
            Self::Rejected(rejection) => match rejection.kind {
                RejectionKind::Usage => USAGE,
                RejectionKind::Failed => FAILED,
            },
            Self::Background(error) => error.code(),
            Self::MountPoint(_)
            | Self::DataDir(_)
            | Self::Service(_)
            | Self::Traces(_)
            | Self::Admin(_)
            | Self::NotSet { .. }
            | Self::Damaged { .. }
            | Self::Unmaintained(_)
            | Self::Unimported(_)
            | Self::Declined
            | Self::Bench(_)
            | Self::Warm(_)
            | Self::Export(_)
            | Self::Unhealthy { .. }
            | Self::Output(_) => FAILED,
        }
    }
}
