//! What the file system holds, measured when somebody gathers the metrics: then the values are
//! those of that moment.

use super::{FileSystem, sizes};
use prometheus::{Gauge, IntGauge, IntGaugeVec};
use prometheus::{register_gauge, register_int_gauge, register_int_gauge_vec};
use std::sync::LazyLock;

/// Repositories that are named, those with most bytes: a server has thousands, a monitoring
/// system should not.
const NAMED: usize = 10;

fn gauge(name: &str, help: &str) -> IntGauge {
    register_int_gauge!(name, help).expect("each name is registered once, here")
}

fn by_repository(name: &str, help: &str) -> IntGaugeVec {
    register_int_gauge_vec!(name, help, &["repository"])
        .expect("each name is registered once, here")
}

static PENDING: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "gitmoor_publisher_pending_files",
        "Finished files that are not stored yet",
    )
});

static OLDEST: LazyLock<Gauge> = LazyLock::new(|| {
    let help = "How long the oldest of them has been finished";
    register_gauge!("gitmoor_publisher_oldest_pending_seconds", help)
        .expect("each name is registered once, here")
});

static STAGED_BYTES: LazyLock<IntGauge> = LazyLock::new(|| {
    let help = "Bytes of object files in the making and of finished ones not stored yet";
    gauge("gitmoor_staged_bytes", help)
});

static CACHE_BYTES: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("gitmoor_cache_bytes", "Bytes in the block cache"));

static CACHE_LIMIT: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("gitmoor_cache_limit_bytes", "Limit of the block cache"));

static REPOSITORIES: LazyLock<IntGauge> =
    LazyLock::new(|| gauge("gitmoor_repositories", "Repositories of the namespace"));

static FILES: LazyLock<IntGauge> = LazyLock::new(|| {
    gauge(
        "gitmoor_object_files",
        "Catalogued files of all repositories",
    )
});

static BYTES: LazyLock<IntGauge> = LazyLock::new(|| gauge("gitmoor_object_bytes", "Their bytes"));

static REPOSITORY_FILES: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    by_repository(
        "gitmoor_repository_object_files",
        "Catalogued files of the largest repositories",
    )
});

static REPOSITORY_BYTES: LazyLock<IntGaugeVec> =
    LazyLock::new(|| by_repository("gitmoor_repository_object_bytes", "Their bytes"));

static REPOSITORY_QUOTA: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    by_repository(
        "gitmoor_repository_quota_bytes",
        "What these may come to, where that is limited",
    )
});

/// Says how it is now in the metrics, for whoever is about to gather them.
pub(super) fn measure(fs: &FileSystem) {
    let status = fs.status();
    PENDING.set(status.pending_files as i64);
    OLDEST.set(fs.oldest_pending().unwrap_or_default().as_secs_f64());
    STAGED_BYTES.set(status.staged.bytes as i64);
    CACHE_BYTES.set(status.cache_bytes as i64);
    CACHE_LIMIT.set(status.cache_limit as i64);
    match sizes::of_repositories(fs) {
        Ok(sizes) => tell_sizes(sizes),
        Err(error) => tracing::warn!(%error, "the repositories cannot be measured"),
    }
}

fn tell_sizes(mut sizes: Vec<sizes::Size>) {
    REPOSITORIES.set(sizes.len() as i64);
    FILES.set(sizes.iter().map(|size| size.files as i64).sum());
    BYTES.set(sizes.iter().map(|size| size.bytes as i64).sum());
    sizes.sort_by_key(|size| std::cmp::Reverse(size.bytes));
    // Others may be the largest now.
    REPOSITORY_FILES.reset();
    REPOSITORY_BYTES.reset();
    REPOSITORY_QUOTA.reset();
    for size in sizes.iter().take(NAMED) {
        let name = [size.repository.as_str()];
        REPOSITORY_FILES
            .with_label_values(&name)
            .set(size.files as i64);
        REPOSITORY_BYTES
            .with_label_values(&name)
            .set(size.bytes as i64);
        if let Some(quota) = size.quota {
            let quota = i64::try_from(quota).unwrap_or(i64::MAX);
            REPOSITORY_QUOTA.with_label_values(&name).set(quota);
        }
    }
}
