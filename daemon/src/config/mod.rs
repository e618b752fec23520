//! Settings. Each is declared once, in a table of `layer.rs`. Each of the three sources (flags, environment,
//! file) is parsed into one [`Layer`] of typed, optional values, so that a mistake is reported where it was
//! made. Layers are laid over each other (flags beat environment beats file) and [`Settings::resolve`] turns
//! the result, once, into what the daemon needs.

mod arguments;
mod environment;
mod file;
mod layer;
mod local_names;
mod owner;
mod place;
mod repo_name;
mod resolve;
mod s3;
mod serve;
mod setting;
mod size;
mod value;

pub(crate) use arguments::{MountArgs, NodeArgs, Place, ServeArgs};
pub use file::read_file;
pub use gitmoor_store::object_store::StoreUrl;
pub use layer::{Credentials, Layer};
pub(crate) use place::locate;
pub use repo_name::RepoName;
pub use resolve::Settings;
pub(crate) use resolve::{
    LogSettings, MountSettings, NodeSettings, RestoreSettings, TraceSettings,
};
pub use serve::ServeSettings;
pub(crate) use setting::{Environment, Flag, Setting};
pub use size::ByteSize;
pub use value::{LogFilter, LogFormat, Seconds};
pub(crate) use value::{Moment, is_address};

use std::path::PathBuf;

/// A setting is wrong. Names its source, its key, and the value expected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// An environment variable does not parse.
    #[error("environment variable {key}: {reason}")]
    Environment {
        /// Name of the variable.
        key: &'static str,
        /// What is wrong and what is expected; never the value of a secret.
        reason: String,
    },
    /// The settings file cannot be read.
    #[error("settings file {}: {source}", file.display())]
    Unreadable {
        /// Path of the settings file.
        file: PathBuf,
        /// What the system call returned.
        source: std::io::Error,
    },
    /// The settings file does not parse; the reason quotes the line and names the
    /// key and what was expected.
    #[error("settings file {}: {reason}", file.display())]
    File {
        /// Path of the settings file.
        file: PathBuf,
        /// What the TOML parser says.
        reason: String,
    },
    /// The file found in a data directory names a data directory.
    #[error("settings file {}: key data: only a file given with --config may set it", file.display())]
    DataInDataDir {
        /// Path of the settings file.
        file: PathBuf,
    },
    /// There is no home to derive the default data directory from.
    #[error("no data directory: give --data DIR or set GITMOOR_DATA (HOME is not set)")]
    NoData,
    /// A path cannot be made absolute.
    #[error("{key}: {}: {source}", path.display())]
    Path {
        /// Key of the setting.
        key: &'static str,
        /// The path that was given.
        path: PathBuf,
        /// What the system call returned.
        source: std::io::Error,
    },
    /// Nothing can be taken over there.
    #[error("--fallback: a mount that is {0} takes nothing over; leave one of them out")]
    FallbackOf(&'static str),
    /// git would pass the hooks by.
    #[error("--hooks: no program can be run on a mount with --noexec; leave one of them out")]
    HooksNotRun,
    /// Nobody can be told to go there.
    #[error("--advertise {0:?}: expected host:port, such as git1.example.org:7400")]
    Advertise(String),
    /// It says nothing of where the others find this node.
    #[error(
        "--listen {0}: say --advertise HOST:PORT beside it, so that the others know where that is"
    )]
    ListenAnywhere(std::net::SocketAddr),
    /// A node must be reached.
    #[error("--listen ADDR is missing: this token makes a node, which the others must reach")]
    NoListen,
    /// A client is not.
    #[error("--listen {0}: this token makes a client, which nobody connects to; leave it out")]
    ClientListens(std::net::SocketAddr),
    /// It is about keys of KMS.
    #[error(
        "{0}: means something beside s3.sse = \"kms\" alone (S3_SSE); set that, or leave it out"
    )]
    WithoutKms(&'static str),
    /// `gitmoor serve` without a door.
    #[error("--http ADDR (serve.http) is missing; expected an address such as 127.0.0.1:8080")]
    NoDoor,
    /// Tokens would be sent in the clear.
    #[error(
        "--http (serve.http): {0} can be reached from other machines, and tokens would travel in the clear; expected \
         --tls-certificate and --tls-key, or --http-allow-plain behind a proxy that has TLS"
    )]
    PlainHttp(std::net::SocketAddr),
    /// Half of what HTTPS needs.
    #[error("--tls-certificate and --tls-key belong together; one of them is missing")]
    HalfOfTls,
    /// git would run as root.
    #[error(
        "--serve-user (serve.user): git does not serve as root; expected a user who may do nothing else, such as git"
    )]
    ServesAsRoot,
    /// The daemon cannot become that user.
    #[error("--serve-user (serve.user): only root can start git as another user; leave it out")]
    ServesAsOther,
    /// git refuses repositories of others.
    #[error("--uid and --serve-user name two users: git refuses repositories of another user")]
    ShownAsOther,
    /// A door is to all repositories.
    #[error("--http: a mount {0} has no doors; leave one of them out")]
    NoDoorsOf(&'static str),
    /// Metrics would be served to other machines.
    #[error(
        "--metrics (metrics.listen): {0} can be reached from other machines; expected a loopback \
         address such as 127.0.0.1:9464, or --metrics-allow-remote (metrics.allow-remote) beside it"
    )]
    MetricsNotLoopback(std::net::SocketAddr),
}
