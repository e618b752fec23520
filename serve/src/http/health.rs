//! Whether the machine serves, as it was said last: whoever asks may be anybody, and the answer may take seconds. So one
//! asks at a time, and all who wait for that have the same answer. They hold no place of a request's.

use super::Machine;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Default)]
pub(super) struct Health(Mutex<Option<Answer>>);

struct Answer {
    at: Instant,
    ready: Result<(), String>,
}

impl Health {
    /// Whether it serves; if not, why.
    pub(super) async fn ask(&self, machine: &dyn Machine) -> Result<(), String> {
        let mut last = self.0.lock().await;
        if let Some(answer) = &*last
            && answer.at.elapsed() < FRESH
        {
            return answer.ready.clone();
        }
        let ready = machine.ready().await;
        let at = Instant::now();
        *last = Some(Answer {
            at,
            ready: ready.clone(),
        });
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gitmoor_fs::{FsError, PushHooks};
    use gitmoor_model::RepoId;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Takes its time.
    #[derive(Default)]
    struct Slow(AtomicUsize);

    impl Machine for Slow {
        fn ready(&self) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err("hangs".to_owned())
            })
        }

        fn hooks(&self, _: RepoId) -> Result<PushHooks, FsError> {
            Ok(PushHooks::None)
        }

        fn nonce_seed(&self, _: RepoId) -> String {
            String::new()
        }
    }

    #[tokio::test]
    async fn many_have_one_answer() {
        let (health, machine) = (Arc::new(Health::default()), Arc::new(Slow::default()));
        let many = (0..100).map(|_| {
            let (health, machine) = (Arc::clone(&health), Arc::clone(&machine));
            tokio::spawn(async move { health.ask(&*machine).await })
        });
        let began = Instant::now();
        for one in many.collect::<Vec<_>>() {
            assert!(one.await.expect("no panic").is_err());
        }
        assert_eq!(machine.0.load(Ordering::Relaxed), 1);
        assert!(began.elapsed() < Duration::from_secs(1));
    }
}
