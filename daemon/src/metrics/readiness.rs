//! Whether the daemon serves: its mount answers, its store answers, its cluster has a leader.
//! Whatever is not so is said in a sentence.

use gitmoor_fs::FileSystem;
use nix::sys::statfs::{FUSE_SUPER_MAGIC, statfs};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};

/// How long one check is waited for; whoever asks has a timeout as well.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What readiness depends on.
pub(crate) struct Facts {
    /// It is being unmounted or told to end.
    pub(crate) leaving: bool,
    /// Somebody leads, as far as this node knows.
    pub(crate) has_leader: bool,
    /// `None` for a node without a mount.
    pub(crate) mount: Option<(PathBuf, Arc<FileSystem>)>,
}

/// The checks that may hang.
#[derive(Default)]
pub(super) struct ReadinessChecks {
    mount: Probing,
    store: Probing,
}

impl ReadinessChecks {
    /// All that is wrong, one sentence a line. Without facts it does not serve yet.
    pub(super) async fn check(&self, facts: Option<Facts>) -> Result<(), String> {
        let Some(facts) = facts else {
            return Err("the daemon is starting, or has left\n".to_owned());
        };
        let mut wrong = Vec::new();
        if facts.leaving {
            wrong.push("the daemon is leaving".to_owned());
        }
        if !facts.has_leader {
            wrong.push(
                "no leader of the cluster is known, so that nothing can be written: see `gitmoor cluster status`"
                    .to_owned(),
            );
        }
        if let Some((at, fs)) = facts.mount {
            wrong.extend(
                fs.store_owner()
                    .and_then(|owner| owner.problem)
                    .map(not_ours),
            );
            wrong.extend(self.of_mount(&at).await.err());
            wrong.extend(self.of_store(fs).await.err());
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong.join("\n") + "\n"),
        }
    }

    async fn of_mount(&self, at: &Path) -> Result<(), String> {
        let what = format!("the mount at {}", at.display());
        let path = at.to_owned();
        self.mount.run(&what, move || ask_mount(&path)).await
    }

    async fn of_store(&self, fs: Arc<FileSystem>) -> Result<(), String> {
        self.store.run("the store", move || fs.check_store()).await
    }
}

fn not_ours(problem: String) -> String {
    format!("nothing can be stored: the store is not this mount's: {problem}")
}

/// The kernel never answers this by itself; but where nothing is mounted, the directory below does.
fn ask_mount(at: &Path) -> Result<(), String> {
    let answer = statfs(at).map_err(|errno| errno.to_string())?;
    match answer.filesystem_type() {
        FUSE_SUPER_MAGIC => Ok(()),
        _ => Err("nothing is mounted there any more".to_owned()),
    }
}

/// A check that blocks, perhaps for long: at most one of its kind is under way, and nobody waits
/// for it longer than [`TIMEOUT`].
#[derive(Default)]
struct Probing(Mutex<Option<JoinHandle<Result<(), String>>>>);

impl Probing {
    async fn run<E: Display>(
        &self,
        what: &str,
        ask: impl FnOnce() -> Result<(), E> + Send + 'static,
    ) -> Result<(), String> {
        let begin = || spawn_blocking(move || ask().map_err(|error| error.to_string()));
        let answer = async {
            let mut under_way = self.0.lock().await;
            // It stays there when nobody waits for it any more.
            let answer = under_way.get_or_insert_with(begin).await;
            *under_way = None;
            answer
        };
        match tokio::time::timeout(TIMEOUT, answer).await {
            Ok(Ok(answer)) => answer.map_err(|error| format!("{what} does not answer: {error}")),
            Ok(Err(panic)) => Err(format!("{what} cannot be asked: {panic}")),
            Err(_) => Err(format!("{what} has not answered for {TIMEOUT:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    /// Of many who ask what hangs, none waits for the others.
    #[tokio::test]
    async fn what_hangs_is_asked_once_and_waited_for_in_bounds() {
        let (probing, asked) = (Arc::new(Probing::default()), Arc::new(AtomicUsize::new(0)));
        let (end, hang) = std::sync::mpsc::channel::<()>();
        let hang = Arc::new(parking_lot::Mutex::new(hang));
        let many = (0..10).map(|_| {
            let (probing, asked, hang) = (probing.clone(), asked.clone(), hang.clone());
            tokio::spawn(async move {
                let ask = move || {
                    asked.fetch_add(1, Ordering::Relaxed);
                    hang.lock().recv().map_err(|_| "it was let go")
                };
                probing.run("it", ask).await
            })
        });
        let began = Instant::now();
        for one in many.collect::<Vec<_>>() {
            let told = one.await.expect("no panic").expect_err("it hangs");
            assert!(told.contains("has not answered"), "{told}");
        }
        assert!(began.elapsed() < 2 * TIMEOUT);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        drop(end);
    }
}
