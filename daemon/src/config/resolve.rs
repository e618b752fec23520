//! From layers of optional values to what the daemon needs.

use super::arguments::{MountArgs, NodeArgs, Place};
use super::layer::{Layer, LogLayer, MetricsLayer, TracesLayer};
use super::place::{Located, absolute};
use super::serve::{self, ServeSettings};
use super::size::ByteRate;
use super::value::{Addresses, LogFilter, LogFormat, MissingHooks, OtlpUrl, Ratio, Seconds};
use super::{ConfigError, Environment, StoreUrl, locate, s3};
use gitmoor_fs::{Config, Shown};
use gitmoor_model::NamePath;
use gitmoor_store::object_store::{Bandwidth, S3Settings};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything `gitmoor mount` was told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory, absolute.
    pub data: PathBuf,
    /// Where object bytes go.
    pub store: StoreSettings,
    /// What the file system obeys. Whether it is read-only or a copy is known when its store is open.
    pub fs: Config,
    /// Where nodes of the cluster are; `None`: where they were when this client last mounted.
    pub cluster: Option<Addresses>,
    /// Which lines are logged, and how.
    pub log: LogSettings,
    /// Where to serve metrics.
    pub metrics: Option<SocketAddr>,
    /// Where to send traces.
    pub traces: Option<TraceSettings>,
    /// Where to mount, and what the mount allows.
    pub mount: MountSettings,
    /// The doors, if there are any.
    pub serve: Option<ServeSettings>,
}

/// Everything `gitmoor node` was told.
#[derive(Clone, Debug)]
pub(crate) struct NodeSettings {
    /// The data directory, absolute.
    pub data: PathBuf,
    pub log: LogSettings,
    /// Where to serve metrics.
    pub metrics: Option<SocketAddr>,
    /// Where to send traces.
    pub traces: Option<TraceSettings>,
}

/// Where object bytes go.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `None`: the store this data directory was first mounted with, or for a new
    /// one the directory `store/` in it.
    pub url: Option<StoreUrl>,
    /// It is not asked.
    pub offline: bool,
    /// For an `s3://` store.
    pub s3: S3Settings,
}

#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Form of the lines.
    pub format: LogFormat,
    pub filter: LogFilter,
}

#[derive(Clone, Debug)]
pub struct TraceSettings {
    pub otlp: OtlpUrl,
    /// The part of all commands that is traced.
    pub ratio: Ratio,
}

#[derive(Clone, Debug)]
pub struct MountSettings {
    /// As given.
    pub mountpoint: PathBuf,
    /// This repository alone.
    pub repo: Option<NamePath>,
    /// Let other users in.
    pub allow_other: bool,
    pub read_only: bool,
    /// No program on it can be run.
    pub noexec: bool,
    /// What mount tables show as its source.
    pub source: String,
    /// Every repository below it is taken over.
    pub fallback: Option<PathBuf>,
}

impl NodeSettings {
    /// Flags over environment over file.
    pub(crate) fn resolve(
        place: &Place,
        args: &NodeArgs,
        env: &Environment<'_>,
    ) -> Result<Self, ConfigError> {
        let Located { data, layer } = locate(place, env)?;
        let log = args.log.clone().over(layer.log);
        Ok(Self {
            data,
            metrics: metrics(&args.metrics.clone().over(layer.metrics))?,
            traces: traces(args.traces.clone().over(layer.traces)),
            log: log.into(),
        })
    }
}

/// Everything `gitmoor restore` was told.
#[derive(Clone, Debug)]
pub(crate) struct RestoreSettings {
    /// The data directory, absolute.
    pub data: PathBuf,
    /// Where the backups are.
    pub store: StoreSettings,
}

impl RestoreSettings {
    /// Flags over environment over file.
    pub(crate) fn resolve(
        place: &Place,
        store: Option<&StoreUrl>,
        env: &Environment<'_>,
    ) -> Result<Self, ConfigError> {
        let Located { data, layer } = locate(place, env)?;
        let bandwidth = bandwidth(&layer);
        let url = store.cloned().or(layer.store);
        Ok(Self {
            data,
            store: StoreSettings {
                url: url.map(absolute_store).transpose()?,
                offline: false,
                s3: s3::resolve(layer.s3, bandwidth)?,
            },
        })
    }
}

impl From<LogLayer> for LogSettings {
    fn from(layer: LogLayer) -> Self {
        Self {
            format: layer.format(),
            filter: layer.level(),
        }
    }
}

impl Settings {
    /// Of a mount that would be made without a flag, for who asks how it would be.
    pub fn without_mount(place: &Place, env: &Environment<'_>) -> Result<Self, ConfigError> {
        let args = MountArgs {
            mountpoint: PathBuf::from("/"),
            ..MountArgs::default()
        };
        Self::resolve(place, &args, env)
    }

    /// Flags over environment over file.
    pub fn resolve(
        place: &Place,
        args: &MountArgs,
        env: &Environment<'_>,
    ) -> Result<Self, ConfigError> {
        let Located { data, layer } = locate(place, env)?;
        let mut layer = args.settings.clone().over(layer);
        let bandwidth = bandwidth(&layer);
        let serve = serve::resolve(&layer, args)?;
        serve::show(&mut layer, serve.as_ref());
        Ok(Self {
            serve,
            fs: fs_config(&layer, args, &data)?,
            mount: mount_settings(&layer, args, &data)?,
            metrics: metrics(&layer.metrics)?,
            store: StoreSettings {
                offline: layer.offline(),
                url: layer.store.map(absolute_store).transpose()?,
                s3: s3::resolve(layer.s3, bandwidth)?,
            },
            cluster: layer.cluster,
            log: layer.log.into(),
            traces: traces(layer.traces),
            data,
        })
    }
}

fn fs_config(layer: &Layer, args: &MountArgs, data: &Path) -> Result<Config, ConfigError> {
    let trace_ratio = match &layer.traces.otlp {
        Some(_) => layer.traces.ratio().get(),
        None => 0.0,
    };
    Ok(Config {
        data: data.to_owned(),
        cache_bytes: layer.cache_size().0,
        cache_free_floor: layer.cache_free_floor().0,
        staging_bytes: layer.staging_size().bytes(),
        bundle_over: layer.bundle_over(),
        read_timeout: layer.read_timeout().0,
        publish_timeout: layer.publish_timeout().0,
        idle_publish: layer.idle_publish().0,
        stale_reads: layer.stale_reads().0,
        slow_operation: layer.slow_operation().0,
        trace_ratio,
        trash_keep: layer.trash_keep().0,
        gc_grace: layer.gc_grace().0,
        gc_period: layer.gc_period().0,
        backup_period: unless_zero(layer.backup_period()),
        backup_keep: layer.backup_keep().get(),
        read_only: layer.read_only(),
        is_copy: false,
        hooks: hooks(layer, args)?,
        lenient_hooks: layer.missing_hooks() == MissingHooks::Warn,
        local: layer.local.clone().unwrap_or_default().paths(),
        shown: Shown {
            uid: layer.uid.map(|user| user.0),
            gid: layer.gid.map(|group| group.0),
            umask: layer.umask().0,
        },
        maintenance_period: unless_zero(layer.maintenance_period()),
        maintenance_loose: layer.maintenance_loose().get(),
        maintenance_packs: layer.maintenance_packs().get(),
        cruft_expiration: layer.cruft_expiration().0,
    })
}

/// git passes by a hook that it cannot run.
fn hooks(layer: &Layer, args: &MountArgs) -> Result<Option<PathBuf>, ConfigError> {
    match &layer.hooks {
        Some(_) if args.noexec => Err(ConfigError::HooksNotRun),
        Some(dir) => absolute("--hooks", dir).map(Some),
        None => Ok(None),
    }
}

fn bandwidth(layer: &Layer) -> Bandwidth {
    let limits = (layer.upload_limit, layer.download_limit);
    Bandwidth::new(limits.0.map(ByteRate::bytes), limits.1.map(ByteRate::bytes))
}

/// 0 is for what does not happen by itself.
fn unless_zero(period: Seconds) -> Option<Duration> {
    Some(period.0).filter(|period| !period.is_zero())
}

fn mount_settings(
    layer: &Layer,
    args: &MountArgs,
    data: &Path,
) -> Result<MountSettings, ConfigError> {
    let source = args.source.clone();
    Ok(MountSettings {
        mountpoint: absolute("MOUNTPOINT", &args.mountpoint)?,
        repo: args.repo.as_ref().map(|name| name.path()),
        allow_other: layer.allow_other(),
        read_only: layer.read_only(),
        noexec: args.noexec,
        source: source.unwrap_or_else(|| data.display().to_string()),
        fallback: fallback(layer, args)?,
    })
}

/// What is taken over must find its place here.
fn fallback(layer: &Layer, args: &MountArgs) -> Result<Option<PathBuf>, ConfigError> {
    let Some(dir) = &layer.fallback else {
        return Ok(None);
    };
    let refused = [
        (layer.read_only(), "read-only"),
        (layer.offline(), "offline"),
        (args.repo.is_some(), "of one repository (--repo)"),
    ];
    match refused.iter().find(|(is_so, _)| *is_so) {
        Some((_, what)) => Err(ConfigError::FallbackOf(what)),
        None => absolute("--fallback", dir).map(Some),
    }
}

/// The daemon leaves its working directory, so a relative path would change meaning.
fn absolute_store(url: StoreUrl) -> Result<StoreUrl, ConfigError> {
    match url {
        StoreUrl::Dir(path) => absolute("--store", &path).map(StoreUrl::Dir),
        StoreUrl::S3 { .. } => Ok(url),
    }
}

fn traces(layer: TracesLayer) -> Option<TraceSettings> {
    let ratio = layer.ratio();
    layer.otlp.map(|otlp| TraceSettings { otlp, ratio })
}

fn metrics(layer: &MetricsLayer) -> Result<Option<SocketAddr>, ConfigError> {
    match layer.listen {
        Some(address) if !address.ip().is_loopback() && !layer.allow_remote() => {
            Err(ConfigError::MetricsNotLoopback(address))
        }
        listen => Ok(listen),
    }
}
