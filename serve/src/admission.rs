//! Who may begin, and who waits.
//!
//! A clone costs minutes of processor and memory, so only a few run at a time; others wait in a queue that is bounded in
//! length and time, and no repository and no user has more than half of its places. Whatever else is asked is small:
//! there may be many of those.

use gitmoor_model::RepoId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a clone waits for its turn.
const CLONE_WAIT: Duration = Duration::from_secs(60);
/// How long a small request does.
const SMALL_WAIT: Duration = Duration::from_secs(10);
/// When a client may try again, seconds.
pub(crate) const RETRY_AFTER: u64 = 30;
/// Clones that wait, for each that runs.
const QUEUE: usize = 8;

/// How many at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Requests that run, of all kinds.
    pub requests: usize,
    /// Clones that run.
    pub clones: usize,
}

/// It is not let in now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Busy {
    #[error("too many clones wait for their turn; try again in {RETRY_AFTER} seconds")]
    Queue,
    #[error(
        "too many clones of this repository, or by this user, wait for their turn; try again in {RETRY_AFTER} seconds"
    )]
    Share,
    #[error("this server is busy; try again in {RETRY_AFTER} seconds")]
    Waited,
}

/// Whose share of the queue is counted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Share {
    Repo(RepoId),
    User(String),
}

/// The places.
#[derive(Debug)]
pub(crate) struct Admission {
    requests: Arc<Semaphore>,
    clones: Arc<Semaphore>,
    /// Clones that run or wait.
    places: Arc<Semaphore>,
    share: usize,
    clone_wait: Duration,
    taken: Arc<Mutex<HashMap<Share, usize>>>,
}

/// Whoever has one is let in until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    _request: OwnedSemaphorePermit,
    _clone: Option<Place>,
}

#[derive(Debug)]
struct Place {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
    _shares: Taken,
}

/// Gives shares back.
#[derive(Debug)]
struct Taken {
    taken: Arc<Mutex<HashMap<Share, usize>>>,
    shares: Vec<Share>,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        let places = limits.clones.saturating_mul(1 + QUEUE);
        Self {
            requests: Arc::new(Semaphore::new(limits.requests)),
            clones: Arc::new(Semaphore::new(limits.clones)),
            places: Arc::new(Semaphore::new(places)),
            share: places.div_ceil(2),
            clone_wait: CLONE_WAIT,
            taken: Arc::default(),
        }
    }

    /// Lets a small request in.
    pub(crate) async fn small(&self) -> Result<Ticket, Busy> {
        let request = waited(SMALL_WAIT, &self.requests).await?;
        Ok(Ticket {
            _request: request,
            _clone: None,
        })
    }

    /// Lets a clone in.
    pub(crate) async fn clone_of(&self, repo: RepoId, user: &str) -> Result<Ticket, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Busy::Queue)?;
        let shares = self.take(vec![Share::Repo(repo), Share::User(user.to_owned())])?;
        let turn = waited(self.clone_wait, &self.clones).await?;
        let Ticket { _request, .. } = self.small().await?;
        Ok(Ticket {
            _request,
            _clone: Some(Place {
                _place: place,
                _turn: turn,
                _shares: shares,
            }),
        })
    }

    fn take(&self, shares: Vec<Share>) -> Result<Taken, Busy> {
        let mut taken = self.taken.lock();
        let is_full = |share: &Share| taken.get(share).is_some_and(|&count| count >= self.share);
        if shares.iter().any(is_full) {
            return Err(Busy::Share);
        }
        for share in &shares {
            *taken.entry(share.clone()).or_default() += 1;
        }
        let taken = Arc::clone(&self.taken);
        Ok(Taken { taken, shares })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        for share in &self.shares {
            let count = taken
                .get_mut(share)
                .expect("it was counted when it was taken");
            *count -= 1;
            if *count == 0 {
                taken.remove(share);
            }
        }
    }
}

async fn waited(most: Duration, for_: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Busy> {
    let permit = timeout(most, Arc::clone(for_).acquire_owned()).await;
    let permit = permit.map_err(|_| Busy::Waited)?;
    Ok(permit.expect("nobody closes it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        let limits = Limits {
            requests: 4,
            clones: 1,
        };
        Admission {
            clone_wait: Duration::from_millis(50),
            ..Admission::new(limits)
        }
    }

    #[tokio::test]
    async fn a_clone_waits_for_its_turn_and_not_for_ever() {
        let admission = admission();
        let repo = RepoId::from_bytes([1; 16]);
        let first = admission.clone_of(repo, "alice").await.expect("free");
        let second = admission.clone_of(repo, "bob").await;
        assert_eq!(second.map(drop), Err(Busy::Waited));
        let small = admission.small().await;
        assert!(small.is_ok(), "small ones pass");
        drop(first);
        assert!(admission.clone_of(repo, "bob").await.is_ok());
        assert!(admission.taken.lock().is_empty(), "all shares are back");
    }

    #[tokio::test]
    async fn nobody_has_more_than_half_of_the_queue() {
        let admission = Arc::new(admission());
        let first = admission
            .clone_of(RepoId::from_bytes([99; 16]), "bob")
            .await;
        let waiting = (0..9_u8).map(|number| {
            let (admission, repo) = (admission.clone(), RepoId::from_bytes([number; 16]));
            tokio::spawn(async move { admission.clone_of(repo, "alice").await.map(drop) })
        });
        let waiting: Vec<_> = waiting.collect();
        let mut refused = 0;
        for one in waiting {
            refused += usize::from(one.await.expect("no panic") == Err(Busy::Share));
        }
        assert!(first.is_ok());
        assert_eq!(refused, 4, "of nine places alice gets five");
    }
}
