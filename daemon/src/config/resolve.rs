//! From layers of optional values to what the daemon needs.

use super::layer::{Layer, LogLayer, TracesLayer};
use super::place::{Located, absolute};
use super::value::{Addresses, LogFilter, LogFormat, OtlpUrl, Ratio, SizeLimit};
use super::{ConfigError, Environment, StoreUrl, locate, s3};
use crate::cli::{MountArgs, NodeArgs, Place, TellingArgs};
use gitmoor_fs::Shown;
use gitmoor_model::NamePath;
use gitmoor_store::object_store::S3Settings;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Everything `gitmoor mount` was told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory, absolute.
    pub data: PathBuf,
    /// Where object bytes go.
    pub store: StoreSettings,
    /// Limit of the block cache, bytes.
    pub cache_bytes: u64,
    /// Bytes of the disk that the block cache leaves free.
    pub cache_free_floor: u64,
    /// Limit of what is staged, bytes; `None` is no limit.
    pub staging_bytes: Option<u64>,
    /// More pending loose objects than this become one pack.
    pub bundle_over: usize,
    /// How long a read of uncached data waits for the store.
    pub read_timeout: Duration,
    /// How long a ref change waits for its objects to be stored.
    pub publish_timeout: Duration,
    /// Pending objects are published after this long without a new one.
    pub idle_publish: Duration,
    /// How old what the cluster has acknowledged may be when it is read.
    pub stale_reads: Duration,
    /// A file operation that takes longer is logged.
    pub slow_operation: Duration,
    /// Deleted repositories and object files can be restored for this long.
    pub trash_keep: Duration,
    /// What the store holds without an owner is left alone for this long.
    pub gc_grace: Duration,
    /// How often gc runs by itself.
    pub gc_period: Duration,
    /// How old the newest backup may be; `None` for none by themselves.
    pub backup_period: Option<Duration>,
    /// How many backups are kept.
    pub backup_keep: usize,
    /// Where nodes of the cluster are; `None`: where they were when this client last mounted.
    pub cluster: Option<Addresses>,
    /// How often repositories are looked at for maintenance; `None` for none by itself.
    pub maintenance_period: Option<Duration>,
    /// It is due with so many loose objects.
    pub maintenance_loose: usize,
    /// It is due with so many packs.
    pub maintenance_packs: usize,
    /// Full maintenance keeps what nothing reaches for so long.
    pub cruft_expiration: Duration,
    /// The log.
    pub log: LogSettings,
    /// Where to serve metrics.
    pub metrics: Option<SocketAddr>,
    /// Where to send traces.
    pub traces: Option<TraceSettings>,
    /// The mount.
    pub mount: MountSettings,
}

/// Everything `gitmoor node` was told.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// The data directory, absolute.
    pub data: PathBuf,
    /// The log.
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

/// The log.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Form of the lines.
    pub format: LogFormat,
    /// Which lines.
    pub filter: LogFilter,
}

/// Where traces go.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The collector.
    pub otlp: OtlpUrl,
    /// The part of all commands that is traced.
    pub ratio: Ratio,
}

/// The mount.
#[derive(Clone, Debug)]
pub struct MountSettings {
    /// As given.
    pub mountpoint: PathBuf,
    /// This repository alone.
    pub repo: Option<NamePath>,
    /// Let other users in.
    pub allow_other: bool,
    /// Refuse every change.
    pub read_only: bool,
    /// What is shown of owners and permission bits.
    pub shown: Shown,
    /// No program on it can be run.
    pub noexec: bool,
    /// What mount tables show as its source.
    pub source: String,
    /// Every repository below it is taken over.
    pub fallback: Option<PathBuf>,
}

/// How far the defaults reach: reads outlast a short outage of the store, since
/// git maps packs and an I/O error there is a SIGBUS; a push fails sooner, since
/// somebody waits for it and can repeat it.
const READ_TIMEOUT: Duration = Duration::from_secs(300);
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_PUBLISH: Duration = Duration::from_secs(3);
const STALE_READS: Duration = Duration::ZERO;
const SLOW_OPERATION: Duration = Duration::from_secs(1);
/// Long enough to come back from a holiday week to a mistake.
const TRASH_KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longer than any publication takes between storing a file and cataloguing it.
const GC_GRACE: Duration = Duration::from_secs(24 * 3600);
const GC_PERIOD: Duration = Duration::from_secs(3600);
/// What a cluster whose disks are all lost goes back to.
const BACKUP_PERIOD: Duration = Duration::from_secs(24 * 3600);
/// As many days as the trash keeps what a backup speaks of.
const BACKUP_KEEP: usize = 7;
const MAINTENANCE_PERIOD: Duration = Duration::from_secs(24 * 3600);
/// A request each, cold: git's own threshold (`gc.auto`, 6700) is for disks.
const MAINTENANCE_LOOSE: usize = 500;
/// Each costs some requests, cold, before the first object of it is read; git's own is 50.
const MAINTENANCE_PACKS: usize = 20;
/// As `gc.cruftExpiration`.
const CRUFT_EXPIRATION: Duration = Duration::from_secs(14 * 24 * 3600);
const CACHE_BYTES: u64 = 10 << 30;
/// Staging and the replicator's log share the disk with the cache, and stop when it is full.
const CACHE_FREE_FLOOR: u64 = 1 << 30;
/// As much as the cache: what a link of 100 Mbit/s sends in a quarter of an hour, and more than all but the
/// largest pushes, yet no surprise on the disk of a workstation.
const STAGING_BYTES: u64 = 10 << 30;
/// Ten loose objects go up as they are: a small commit costs no pack.
const BUNDLE_OVER: usize = 10;

impl NodeSettings {
    /// Flags over environment over file.
    pub fn resolve(
        place: &Place,
        args: &NodeArgs,
        env: &Environment<'_>,
    ) -> Result<Self, ConfigError> {
        let Located { data, layer } = locate(place, env)?;
        let layer = told(&args.telling).over(layer);
        Ok(Self {
            data,
            metrics: metrics(&layer)?,
            traces: traces(layer.traces),
            log: layer.log.into(),
        })
    }
}

/// Everything `gitmoor restore` was told.
#[derive(Clone, Debug)]
pub struct RestoreSettings {
    /// The data directory, absolute.
    pub data: PathBuf,
    /// Where the backups are.
    pub store: StoreSettings,
}

impl RestoreSettings {
    /// Flags over environment over file.
    pub fn resolve(
        place: &Place,
        store: Option<&StoreUrl>,
        env: &Environment<'_>,
    ) -> Result<Self, ConfigError> {
        let Located { data, layer } = locate(place, env)?;
        let url = store.cloned().or(layer.store);
        Ok(Self {
            data,
            store: StoreSettings {
                url: url.map(absolute_store).transpose()?,
                offline: false,
                s3: s3::resolve(layer.s3)?,
            },
        })
    }
}

impl From<LogLayer> for LogSettings {
    fn from(layer: LogLayer) -> Self {
        Self {
            format: layer.format.unwrap_or_default(),
            filter: layer.level.unwrap_or_default(),
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
        let layer = flags(args).over(layer);
        let metrics = metrics(&layer)?;
        let fallback = fallback(&layer, args)?;
        let store = layer.store.map(absolute_store).transpose()?;
        Ok(Self {
            store: StoreSettings {
                url: store,
                offline: layer.offline.unwrap_or(false),
                s3: s3::resolve(layer.s3)?,
            },
            cache_bytes: layer.cache_size.map_or(CACHE_BYTES, |size| size.0),
            cache_free_floor: layer
                .cache_free_floor
                .map_or(CACHE_FREE_FLOOR, |size| size.0),
            staging_bytes: layer
                .staging_size
                .map_or(Some(STAGING_BYTES), SizeLimit::bytes),
            bundle_over: layer.bundle_over.unwrap_or(BUNDLE_OVER),
            read_timeout: layer.read_timeout.map_or(READ_TIMEOUT, |time| time.0),
            publish_timeout: layer.publish_timeout.map_or(PUBLISH_TIMEOUT, |time| time.0),
            idle_publish: layer.idle_publish.map_or(IDLE_PUBLISH, |time| time.0),
            stale_reads: layer.stale_reads.map_or(STALE_READS, |time| time.0),
            slow_operation: layer.slow_operation.map_or(SLOW_OPERATION, |time| time.0),
            trash_keep: layer.trash_keep.map_or(TRASH_KEEP, |time| time.0),
            gc_grace: layer.gc_grace.map_or(GC_GRACE, |time| time.0),
            gc_period: layer.gc_period.map_or(GC_PERIOD, |time| time.0),
            backup_period: Some(layer.backup_period.map_or(BACKUP_PERIOD, |time| time.0))
                .filter(|period| !period.is_zero()),
            backup_keep: layer.backup_keep.map_or(BACKUP_KEEP, NonZeroUsize::get),
            cluster: layer.cluster,
            maintenance_period: Some(
                layer
                    .maintenance_period
                    .map_or(MAINTENANCE_PERIOD, |time| time.0),
            )
            .filter(|period| !period.is_zero()),
            maintenance_loose: layer
                .maintenance_loose
                .map_or(MAINTENANCE_LOOSE, NonZeroUsize::get),
            maintenance_packs: layer
                .maintenance_packs
                .map_or(MAINTENANCE_PACKS, NonZeroUsize::get),
            cruft_expiration: layer
                .cruft_expiration
                .map_or(CRUFT_EXPIRATION, |time| time.0),
            log: layer.log.into(),
            metrics,
            traces: traces(layer.traces),
            mount: MountSettings {
                mountpoint: absolute("MOUNTPOINT", &args.mountpoint)?,
                repo: args.repo.as_ref().map(|name| name.path()),
                allow_other: layer.allow_other.unwrap_or(false),
                read_only: layer.read_only.unwrap_or(false),
                shown: Shown {
                    uid: layer.uid.map(|user| user.0),
                    gid: layer.gid.map(|group| group.0),
                    umask: layer.umask.map_or(0, |umask| umask.0),
                },
                noexec: args.noexec,
                source: args
                    .source
                    .clone()
                    .unwrap_or_else(|| data.display().to_string()),
                fallback,
            },
            data,
        })
    }
}

/// What is taken over must find its place here.
fn fallback(layer: &Layer, args: &MountArgs) -> Result<Option<PathBuf>, ConfigError> {
    let Some(dir) = &layer.fallback else {
        return Ok(None);
    };
    let refused = [
        (layer.read_only.unwrap_or(false), "read-only"),
        (layer.offline.unwrap_or(false), "offline"),
        (args.repo.is_some(), "of one repository (--repo)"),
    ];
    match refused.iter().find(|(is_so, _)| *is_so) {
        Some((_, what)) => Err(ConfigError::FallbackOf(what)),
        None => absolute("--fallback", dir).map(Some),
    }
}

/// A switch that was not given says nothing, rather than "no": the file may say yes.
fn flags(args: &MountArgs) -> Layer {
    Layer {
        store: args.store.clone(),
        cache_size: args.cache_size,
        staging_size: args.staging_size,
        offline: args.offline.then_some(true),
        trash_keep: args.trash_keep,
        cluster: args.cluster.clone(),
        allow_other: args.allow_other.then_some(true),
        read_only: args.read_only.then_some(true),
        fallback: args.fallback.clone(),
        uid: args.uid,
        gid: args.gid,
        umask: args.umask,
        ..told(&args.telling)
    }
}

fn told(args: &TellingArgs) -> Layer {
    let mut layer = Layer::default();
    layer.log.format = args.log_format;
    layer.log.level.clone_from(&args.log_level);
    layer.traces.otlp.clone_from(&args.otlp);
    layer.traces.ratio = args.trace_ratio;
    layer.metrics.listen = args.metrics;
    layer.metrics.allow_remote = args.metrics_allow_remote.then_some(true);
    layer
}

/// The daemon leaves its working directory, so a relative path would change meaning.
fn absolute_store(url: StoreUrl) -> Result<StoreUrl, ConfigError> {
    match url {
        StoreUrl::Dir(path) => absolute("--store", &path).map(StoreUrl::Dir),
        StoreUrl::S3 { .. } => Ok(url),
    }
}

fn traces(layer: TracesLayer) -> Option<TraceSettings> {
    let ratio = layer.ratio.unwrap_or_default();
    layer.otlp.map(|otlp| TraceSettings { otlp, ratio })
}

fn metrics(layer: &Layer) -> Result<Option<SocketAddr>, ConfigError> {
    match layer.metrics.listen {
        Some(address)
            if !address.ip().is_loopback() && layer.metrics.allow_remote != Some(true) =>
        {
            Err(ConfigError::MetricsNotLoopback(address))
        }
        listen => Ok(listen),
    }
}
