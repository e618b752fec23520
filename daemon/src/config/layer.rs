//! All settings, each declared once; [`settings!`] says what becomes of the tables. A new setting is a line
//! here, a line in `resolve.rs` that hands it to what obeys it, and
//! `GITMOOR_WRITE_REFERENCE=1` for the test that keeps the reference pages current.

use super::StoreUrl;
use super::environment::{credentials, store_url};
use super::local_names::LocalNames;
use super::owner::{GroupId, Umask, UserId};
use super::setting::{Form, from_variables, settings};
use super::size::{ByteRate, ByteSize, SizeLimit};
use super::value::{
    Addresses, LogFilter, LogFormat, MissingHooks, OtlpUrl, Ratio, Seconds, Secret, Sse,
};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

// Defaults of waiting: reads outlast a short outage of the store, since git maps packs and an I/O error there is
// a SIGBUS; a push fails sooner, since somebody waits for it and can repeat it.
settings! {
    /// Settings of one source, already typed; `None` where it says nothing.
    pub struct Layer in "" {
        /// Data directory: --data DIR of every command; a file in a data directory cannot set it
        data: PathBuf {
            env: ["GITMOOR_DATA"],
            unset: "~/.local/share/gitmoor, for root /var/lib/gitmoor",
        }
        /// Object store: dir:PATH or s3://bucket/prefix
        #[serde(deserialize_with = "deserialize_store_url")]
        store: StoreUrl {
            flag: "--store URL",
            env: ["GITMOOR_STORE", "S3_BUCKET"] by store_url,
            unset: "dir:DATA/store",
        }
        /// Let other users into the mount
        allow_other: bool {
            flag: "--allow-other",
            env: ["GITMOOR_ALLOW_OTHER"],
            default: "false",
        }
        /// Refuse every change; nothing is proposed or stored
        read_only: bool {
            flag: "--read-only",
            env: ["GITMOOR_READ_ONLY"],
            default: "false",
        }
        /// Show every file as owned by this user, given by number or name; new files belong to this user
        uid: UserId {
            flag: "--uid USER",
            env: ["GITMOOR_UID"],
            unset: "the owner of each file",
        }
        /// Show every file as owned by this group, given by number or name; new files belong to this group
        gid: GroupId {
            flag: "--gid GROUP",
            env: ["GITMOOR_GID"],
            unset: "the group of each file",
        }
        /// Show every file without these permission bits, such as 027
        umask: Umask {
            flag: "--umask BITS",
            env: ["GITMOOR_UMASK"],
            default: "000",
        }
        /// A name directly under the mount, such as +gitaly, that is a directory of this machine: its files are on
        /// this disk alone; repeat the flag for more names
        local: LocalNames {
            flag: "--local NAME",
            env: ["GITMOOR_LOCAL"],
        }
        /// A directory of this machine that is hooks/ of every repository, for reading: it belongs to the user of the
        /// daemon or to root, and nobody else may write to it; all machines of a cluster have the same
        hooks: PathBuf {
            flag: "--hooks DIR",
            env: ["GITMOOR_HOOKS"],
        }
        /// What becomes of a push to a repository that has a hook on another machine of the cluster and not on this
        /// one
        missing_hooks: MissingHooks {
            env: ["GITMOOR_MISSING_HOOKS"],
            default: "refuse",
        }
        /// Take over every repository below this directory that is not here yet, as import --live does: each
        /// is served at once, and imported meanwhile
        fallback: PathBuf {
            flag: "--fallback DIR",
            env: ["GITMOOR_FALLBACK"],
        }
        /// Limit of the block cache, such as 500MB or 10GiB
        cache_size: ByteSize {
            flag: "--cache-size BYTES",
            default: "10GiB",
        }
        /// Bytes of the disk that the block cache leaves free: staging and the replicator's log share the disk
        /// with the cache, and stop when it is full
        cache_free_floor: ByteSize {
            default: "1GiB",
        }
        // As much as the cache: what a link of 100 Mbit/s sends in a quarter of an hour, and more than all but
        // the largest pushes, yet no surprise on the disk of a workstation.
        /// Limit of object files that are not in the store yet, such as 10GiB or unlimited; new ones wait
        /// beyond it
        staging_size: SizeLimit {
            flag: "--staging-size BYTES",
            env: ["GITMOOR_STAGING_SIZE"],
            default: "10GiB",
        }
        /// Bytes a second that go to an s3:// store at most, such as 10MB; what git waits for goes before jobs
        upload_limit: ByteRate {
            flag: "--upload-limit BYTES",
            env: ["GITMOOR_UPLOAD_LIMIT"],
            unset: "no limit",
        }
        /// Bytes a second that come from an s3:// store at most, such as 10MB; what git waits for goes before jobs
        download_limit: ByteRate {
            flag: "--download-limit BYTES",
            env: ["GITMOOR_DOWNLOAD_LIMIT"],
            unset: "no limit",
        }
        /// Do not ask the object store: serve what this machine has, refuse the rest at once
        offline: bool {
            flag: "--offline",
            env: ["GITMOOR_OFFLINE"],
            default: "false",
        }
        // A small commit costs no pack.
        /// More loose objects than this that are stored together become one pack
        bundle_over: usize {
            default: "10",
        }
        /// How long a read of data that is not cached waits for the store
        read_timeout: Seconds {
            default: "5m",
        }
        /// How long a ref change waits for its objects to be stored
        publish_timeout: Seconds {
            default: "60s",
        }
        /// Objects that no ref change came for are stored after this long without a new one
        idle_publish: Seconds {
            default: "3s",
        }
        /// Answers of the cluster may be read again for this long, instead of asking again
        stale_reads: Seconds {
            default: "0s",
        }
        /// A file operation that takes longer is logged
        slow_operation: Seconds {
            default: "1s",
        }
        // Long enough to come back from a holiday week to a mistake.
        /// How long deleted repositories and objects can be restored, such as 12h or 30d
        trash_keep: Seconds {
            flag: "--trash-keep TIME",
            env: ["GITMOOR_TRASH_KEEP"],
            default: "7d",
        }
        // Longer than any publication takes between storing a file and cataloguing it.
        /// How long gc leaves alone what the store has and no repository owns
        gc_grace: Seconds {
            default: "24h",
        }
        /// How often gc runs by itself
        gc_period: Seconds {
            default: "1h",
        }
        // What a cluster whose disks are all lost goes back to.
        /// How old the newest backup may be; 0s for no backups by themselves
        backup_period: Seconds {
            default: "1d",
        }
        // As many days as the trash keeps what a backup speaks of.
        /// How many backups are kept
        backup_keep: NonZeroUsize {
            default: "7",
        }
        // git's own would follow a push at once.
        /// How often changed repositories are checked for maintenance; 0s for no maintenance by itself
        maintenance_period: Seconds {
            default: "1m",
        }
        // A request each, cold: git's own threshold (`gc.auto`, 6700) is for disks.
        /// A repository with this many loose objects is due for maintenance
        maintenance_loose: NonZeroUsize {
            default: "500",
        }
        // Each costs some requests, cold, before the first object of it is read; git's own is 50.
        /// A repository with this many packs is due for maintenance
        maintenance_packs: NonZeroUsize {
            default: "20",
        }
        // As `gc.cruftExpiration`.
        /// How long gc --full keeps objects that nothing reaches
        cruft_expiration: Seconds {
            default: "14d",
        }
        /// Where nodes of the cluster are that this machine is a client of, such as a:7400,b:7400,c:7400
        cluster: Addresses {
            flag: "--cluster ADDRS",
            env: ["GITMOOR_CLUSTER"],
            unset: "those of the last mount",
        }
        groups {
            /// How an `s3://` store is reached.
            s3: S3Layer,
            /// The log.
            log: LogLayer,
            /// The port of the metrics.
            metrics: MetricsLayer,
            /// Where traces go.
            traces: TracesLayer,
            /// The doors.
            serve: ServeLayer,
        }
    }
}

// The AWS names stand here too, though the SDK reads them itself: it is handed an explicit value when the
// settings file has one, and the environment must beat the file.
settings! {
    /// `[s3]`: how to reach an `s3://` store.
    pub struct S3Layer in "s3" {
        /// URL of a server that is not AWS, such as http://127.0.0.1:3900
        endpoint: String {
            env: ["S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
            unset: "AWS",
        }
        /// Region, such as eu-central-1
        region: String {
            env: ["S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"],
        }
        /// Both halves of an access key
        credentials: Credentials {
            env: ["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"] by credentials,
            unset: "the AWS chain: environment, profile, instance role",
        }
        /// Ask for host/bucket/key instead of bucket.host/key
        path_style: bool {
            env: ["S3_USE_PATH_STYLE"],
            unset: "true with s3.endpoint, else false",
        }
        /// How the server is to encrypt objects
        sse: Sse {
            env: ["S3_SSE"],
            unset: "as the bucket says",
        }
        /// With which key of the key management service: an id, an alias or an ARN
        sse_kms_key: String {
            env: ["S3_SSE_KMS_KEY"],
            unset: "the key of the bucket or the account",
        }
        /// Have the server derive a key of the bucket, which costs fewer requests to the key management service
        sse_bucket_key: bool {
            env: ["S3_SSE_BUCKET_KEY"],
            unset: "as the bucket says",
        }
        // The second is what AWS' own programs read; the SDK does not.
        /// File of certificates (PEM): the server's certificate must be from one of these authorities
        ca_bundle: PathBuf {
            env: ["S3_CA_BUNDLE", "AWS_CA_BUNDLE"],
            unset: "the authorities that the system trusts",
        }
    }
}

settings! {
    /// `[log]`
    pub struct LogLayer in "log" {
        /// Form of the log lines
        format: LogFormat {
            flag: "--log-format FORMAT",
            default: "text",
        }
        /// Which log lines are written: error, warn, info, debug, trace, or target=level,…
        level: LogFilter {
            flag: "--log-level LEVEL",
            env: ["GITMOOR_LOG", "RUST_LOG"],
            default: "info",
        }
    }
}

settings! {
    /// `[metrics]`
    pub struct MetricsLayer in "metrics" {
        /// Serve Prometheus metrics at http://ADDR/metrics, such as 127.0.0.1:9464
        listen: SocketAddr {
            flag: "--metrics ADDR",
        }
        /// Allow a --metrics address that other machines can reach
        allow_remote: bool {
            flag: "--metrics-allow-remote",
            default: "false",
        }
    }
}

settings! {
    /// `[traces]`
    pub struct TracesLayer in "traces" {
        /// Send traces to an OpenTelemetry collector (OTLP over gRPC), such as http://127.0.0.1:4317
        otlp: OtlpUrl {
            flag: "--otlp URL",
        }
        /// The part of all git commands that is traced, 0 to 1
        ratio: Ratio {
            flag: "--trace-ratio PART",
            default: "1",
        }
    }
}

settings! {
    /// `[serve]`: the doors of `gitmoor serve`.
    pub struct ServeLayer in "serve" {
        /// Serve git over HTTP at this address, such as 127.0.0.1:8080
        http: SocketAddr {
            flag: "--http ADDR",
            env: ["GITMOOR_HTTP"],
        }
        /// File of the certificate for HTTPS, with those above it (PEM); read again when it changes
        tls_certificate: PathBuf {
            flag: "--tls-certificate FILE",
            env: ["GITMOOR_TLS_CERTIFICATE"],
            unset: "HTTP without TLS",
        }
        /// File of the certificate's private key (PEM)
        tls_key: PathBuf {
            flag: "--tls-key FILE",
            env: ["GITMOOR_TLS_KEY"],
        }
        /// Allow an --http address that other machines can reach without TLS: a proxy before it has that
        http_allow_plain: bool {
            flag: "--http-allow-plain",
            default: "false",
        }
        /// Address of a proxy before the door: the last address of its X-Forwarded-For is the client's
        proxy: IpAddr {
            flag: "--http-proxy IP",
            env: ["GITMOOR_HTTP_PROXY"],
            unset: "X-Forwarded-For says nothing",
        }
        /// As whom git serves requests, given by number or name; root must name a user, who is never root
        user: UserId {
            flag: "--serve-user USER",
            env: ["GITMOOR_SERVE_USER"],
            unset: "the daemon's user",
        }
        // Each may take two thirds of a gibibyte, and half of the processors.
        /// How many clones run at a time; others wait for their turn
        clones: NonZeroUsize {
            default: "4",
        }
        /// How many requests run at a time, clones included
        requests: NonZeroUsize {
            default: "64",
        }
        // A fetch is two or three requests.
        /// Requests a second from one address, ten times as many at once; behind a proxy, from the proxy
        address_rate: NonZeroU32 {
            default: "200",
        }
        /// Requests a second with one token, ten times as many at once
        token_rate: NonZeroU32 {
            default: "200",
        }
        /// Requests a second for one repository, ten times as many at once
        repository_rate: NonZeroU32 {
            default: "1000",
        }
        /// A client that sends or takes less than 64 KiB within this time has gone
        idle_timeout: Seconds {
            default: "2m",
        }
        // 14 KB a second: a modem has less, any radio link more.
        /// A client that sends or takes less than this in least-time is ended
        least_bytes: ByteSize {
            default: "4MiB",
        }
        /// The time for least-bytes, in which only waiting for the client counts
        least_time: Seconds {
            default: "5m",
        }
        /// How long requests may go on when the daemon is told to leave
        drain: Seconds {
            flag: "--drain TIME",
            default: "30s",
        }
    }
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

impl Form for Credentials {
    const FORM: &'static str = "{ access-key-id = \"…\", secret-access-key = \"…\" }";
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

fn deserialize_store_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<StoreUrl>, D::Error> {
    let url = String::deserialize(from)?;
    url.parse().map(Some).map_err(D::Error::custom)
}
