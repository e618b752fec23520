//! One source of settings, already typed. The settings file deserialises straight
//! into it; flags and environment fill the same fields.

use super::StoreUrl;
use super::owner::{GroupId, Umask, UserId};
use super::value::{
    Addresses, ByteSize, LogFilter, LogFormat, OtlpUrl, Ratio, Seconds, Secret, SizeLimit, Sse,
};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Settings of one source; `None` where it says nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Layer {
    /// The data directory.
    pub data: Option<PathBuf>,
    /// The object store.
    #[serde(deserialize_with = "store_url")]
    pub store: Option<StoreUrl>,
    /// Limit of the block cache.
    pub cache_size: Option<ByteSize>,
    /// Bytes of the disk that the block cache leaves free.
    pub cache_free_floor: Option<ByteSize>,
    /// Limit of what is staged.
    pub staging_size: Option<SizeLimit>,
    /// Do not ask the store.
    pub offline: Option<bool>,
    /// More pending loose objects than this become one pack.
    pub bundle_over: Option<usize>,
    /// How long a read of uncached data waits for the store.
    pub read_timeout: Option<Seconds>,
    /// How long a ref change waits for its objects to be stored.
    pub publish_timeout: Option<Seconds>,
    /// Pending objects are published after this long without a new one.
    pub idle_publish: Option<Seconds>,
    /// How old what the cluster has acknowledged may be when it is read.
    pub stale_reads: Option<Seconds>,
    /// A file operation that takes longer is logged.
    pub slow_operation: Option<Seconds>,
    /// How long deleted things can be restored.
    pub trash_keep: Option<Seconds>,
    /// How long unowned objects of the store are left alone.
    pub gc_grace: Option<Seconds>,
    /// How often gc runs by itself.
    pub gc_period: Option<Seconds>,
    /// How old the newest backup may be; 0 for none by themselves.
    pub backup_period: Option<Seconds>,
    /// How many backups are kept.
    pub backup_keep: Option<NonZeroUsize>,
    /// Where nodes of the cluster are, for a client of it.
    pub cluster: Option<Addresses>,
    /// How often repositories are looked at for maintenance; 0 for none by itself.
    pub maintenance_period: Option<Seconds>,
    /// It is due with so many loose objects …
    pub maintenance_loose: Option<NonZeroUsize>,
    /// … or so many packs.
    pub maintenance_packs: Option<NonZeroUsize>,
    /// Full maintenance keeps what nothing reaches for so long.
    pub cruft_expiration: Option<Seconds>,
    /// Take over every repository below this directory.
    pub fallback: Option<PathBuf>,
    /// Let other users into the mount.
    pub allow_other: Option<bool>,
    /// Refuse every change.
    pub read_only: Option<bool>,
    /// Whose everything is shown to be.
    pub uid: Option<UserId>,
    /// The same of the group.
    pub gid: Option<GroupId>,
    /// Permission bits that nothing is shown to have.
    pub umask: Option<Umask>,
    /// `[s3]`
    pub s3: S3Layer,
    /// `[log]`
    pub log: LogLayer,
    /// `[metrics]`
    pub metrics: MetricsLayer,
    /// `[traces]`
    pub traces: TracesLayer,
}

/// How to reach an `s3://` store.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct S3Layer {
    /// `http://host:port` of a server that is not AWS.
    pub endpoint: Option<String>,
    /// Such as `eu-central-1`.
    pub region: Option<String>,
    /// Keys, or where to find them.
    pub credentials: Option<Credentials>,
    /// `http://host/bucket/key` instead of `http://bucket.host/key`.
    pub path_style: Option<bool>,
    /// How the server is to encrypt.
    pub sse: Option<Sse>,
    /// With which key of KMS: an id, an alias or an ARN.
    pub sse_kms_key: Option<String>,
    /// With a key of the bucket in its stead, which costs fewer requests to KMS.
    pub sse_bucket_key: Option<bool>,
    /// Certificates of those who may vouch for the server, instead of the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// Who we are to the store.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Keys")]
pub enum Credentials {
    /// These keys.
    Keys {
        /// Public half.
        access_key_id: String,
        /// Secret half.
        secret_access_key: Secret,
    },
    /// The usual AWS chain: environment, profile, instance role. Only the
    /// environment says so; in a file it is the absence of keys.
    Chain,
}

/// `[s3.credentials]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    access_key_id: String,
    secret_access_key: Secret,
}

impl From<Keys> for Credentials {
    fn from(keys: Keys) -> Self {
        let Keys {
            access_key_id,
            secret_access_key,
        } = keys;
        Self::Keys {
            access_key_id,
            secret_access_key,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogLayer {
    /// Text or JSON lines.
    pub format: Option<LogFormat>,
    /// Which lines.
    pub level: Option<LogFilter>,
}

/// `[metrics]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MetricsLayer {
    /// Where to serve them; nowhere without it.
    pub listen: Option<SocketAddr>,
    /// Whether the address may be reachable from other machines.
    pub allow_remote: Option<bool>,
}

/// `[traces]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TracesLayer {
    /// Where to send them; nowhere without it.
    pub otlp: Option<OtlpUrl>,
    /// The part of all commands that is traced.
    pub ratio: Option<Ratio>,
}

fn store_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<StoreUrl>, D::Error> {
    let url = String::deserialize(from)?;
    url.parse().map(Some).map_err(D::Error::custom)
}

impl Layer {
    /// This layer where it says something, `lower` elsewhere.
    pub fn over(self, lower: Self) -> Self {
        Self {
            data: self.data.or(lower.data),
            store: self.store.or(lower.store),
            cache_size: self.cache_size.or(lower.cache_size),
            cache_free_floor: self.cache_free_floor.or(lower.cache_free_floor),
            staging_size: self.staging_size.or(lower.staging_size),
            offline: self.offline.or(lower.offline),
            bundle_over: self.bundle_over.or(lower.bundle_over),
            read_timeout: self.read_timeout.or(lower.read_timeout),
            publish_timeout: self.publish_timeout.or(lower.publish_timeout),
            idle_publish: self.idle_publish.or(lower.idle_publish),
            stale_reads: self.stale_reads.or(lower.stale_reads),
            slow_operation: self.slow_operation.or(lower.slow_operation),
            trash_keep: self.trash_keep.or(lower.trash_keep),
            gc_grace: self.gc_grace.or(lower.gc_grace),
            gc_period: self.gc_period.or(lower.gc_period),
            backup_period: self.backup_period.or(lower.backup_period),
            backup_keep: self.backup_keep.or(lower.backup_keep),
            cluster: self.cluster.or(lower.cluster),
            maintenance_period: self.maintenance_period.or(lower.maintenance_period),
            maintenance_loose: self.maintenance_loose.or(lower.maintenance_loose),
            maintenance_packs: self.maintenance_packs.or(lower.maintenance_packs),
            cruft_expiration: self.cruft_expiration.or(lower.cruft_expiration),
            fallback: self.fallback.or(lower.fallback),
            allow_other: self.allow_other.or(lower.allow_other),
            read_only: self.read_only.or(lower.read_only),
            uid: self.uid.or(lower.uid),
            gid: self.gid.or(lower.gid),
            umask: self.umask.or(lower.umask),
            s3: self.s3.over(lower.s3),
            log: LogLayer {
                format: self.log.format.or(lower.log.format),
                level: self.log.level.or(lower.log.level),
            },
            metrics: MetricsLayer {
                listen: self.metrics.listen.or(lower.metrics.listen),
                allow_remote: self.metrics.allow_remote.or(lower.metrics.allow_remote),
            },
            traces: TracesLayer {
                otlp: self.traces.otlp.or(lower.traces.otlp),
                ratio: self.traces.ratio.or(lower.traces.ratio),
            },
        }
    }
}

impl S3Layer {
    fn over(self, lower: Self) -> Self {
        Self {
            endpoint: self.endpoint.or(lower.endpoint),
            region: self.region.or(lower.region),
            credentials: self.credentials.or(lower.credentials),
            path_style: self.path_style.or(lower.path_style),
            sse: self.sse.or(lower.sse),
            sse_kms_key: self.sse_kms_key.or(lower.sse_kms_key),
            sse_bucket_key: self.sse_bucket_key.or(lower.sse_bucket_key),
            ca_bundle: self.ca_bundle.or(lower.ca_bundle),
        }
    }
}
