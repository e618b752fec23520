//! Who may begin, and who waits.
//!
//! A clone costs minutes of processor and memory, so only a few run at a time; others wait in a queue that is bounded in
//! length and time, and no repository and nobody has more than half of its places. A fetch says that it has something,
//! which may be a lie: [`FETCHES`] of them run for each clone that may. As many pushes run: git checks what they send.
//! Whatever else is asked is small: there may be many of those, with a moment's wait for a turn.
//!
//! Nobody has more than half of what runs of any kind ([`Turns`]). A request takes its turn of its own half first: who
//! has used up that half waits there, and holds up nobody else.
//!
//! Who asks is looked up before anything of that, for some at a time: that costs the cluster a round, and who asks may be
//! anybody.

use crate::request::Work;
use crate::share::{Shares, Taken, Turns};
use crate::who::Caller;
use gitmoor_model::{RepoId, TokenId, UserName};
use gitmoor_replicator::net::neighbourhood;
use std::net::IpAddr;
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
const QUEUE: usize = 32;
/// Fetches that run, for each clone that may; and pushes.
const FETCHES: usize = 4;
/// Requests of which it is decided at a time who asks, and whether they may.
const DECISIONS: usize = 64;

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

/// Whose share is counted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Whom {
    User(UserName),
    Deploy(TokenId),
    /// Of somebody without a name.
    At(IpAddr),
}

impl Whom {
    pub(crate) fn of(caller: &Caller, address: IpAddr) -> Self {
        match caller {
            Caller::Anonymous => Self::At(neighbourhood(address)),
            Caller::User(user, ..) => Self::User(user.clone()),
            Caller::Deploy(token, _) => Self::Deploy(*token),
        }
    }
}

/// The places.
#[derive(Debug)]
pub(crate) struct Admission {
    decisions: Arc<Semaphore>,
    requests: Kind,
    pushes: Kind,
    fetches: Kind,
    clones: Kind,
    /// Clones that run or wait.
    places: Arc<Semaphore>,
    of_places: Shares<Whom>,
    of_repos: Shares<RepoId>,
    clone_wait: Duration,
    small_wait: Duration,
}

/// Whoever has one is let in until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    _request: Turn,
    _large: Option<Turn>,
    _place: Option<Place>,
}

/// Of the queue of clones.
#[derive(Debug)]
struct Place {
    _place: OwnedSemaphorePermit,
    _shares: (Taken<RepoId>, Taken<Whom>),
}

/// What runs of one kind.
#[derive(Debug)]
struct Kind {
    of_whom: Turns<Whom>,
    all: Arc<Semaphore>,
}

/// To run; of somebody's share, and of all.
type Turn = (OwnedSemaphorePermit, OwnedSemaphorePermit);

impl Kind {
    /// Nobody has more than half of it.
    fn new(most: usize) -> Self {
        Self {
            of_whom: Turns::new(most.div_ceil(2)),
            all: semaphore(most),
        }
    }

    async fn turn(&self, whom: &Whom, within: Duration) -> Result<Turn, Busy> {
        let turn = async {
            let share = self.of_whom.wait(whom.clone()).await;
            (share, acquired(&self.all).await)
        };
        timeout(within, turn).await.map_err(|_| Busy::Waited)
    }
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        let places = limits.clones.saturating_mul(1 + QUEUE);
        let cheaper = limits.clones.saturating_mul(FETCHES);
        Self {
            decisions: semaphore(DECISIONS),
            requests: Kind::new(limits.requests),
            pushes: Kind::new(cheaper),
            fetches: Kind::new(cheaper),
            clones: Kind::new(limits.clones),
            places: semaphore(places),
            of_places: Shares::new(places.div_ceil(2)),
            of_repos: Shares::new(places.div_ceil(2)),
            clone_wait: CLONE_WAIT,
            small_wait: SMALL_WAIT,
        }
    }

    /// It may be looked up who somebody is, until this is dropped.
    pub(crate) async fn decide(&self) -> Result<OwnedSemaphorePermit, Busy> {
        let turn = timeout(self.small_wait, acquired(&self.decisions));
        turn.await.map_err(|_| Busy::Waited)
    }

    /// Lets a request in.
    pub(crate) async fn admit(
        &self,
        work: Work,
        repo: RepoId,
        whom: &Whom,
    ) -> Result<Ticket, Busy> {
        let (kind, place) = match work {
            Work::Small => (None, None),
            Work::Push => (Some(&self.pushes), None),
            Work::Fetch => (Some(&self.fetches), None),
            Work::Clone => (Some(&self.clones), Some(self.place(repo, whom)?)),
        };
        let large = match kind {
            Some(kind) => Some(kind.turn(whom, self.clone_wait).await?),
            None => None,
        };
        Ok(Ticket {
            _request: self.requests.turn(whom, self.small_wait).await?,
            _large: large,
            _place: place,
        })
    }

    fn place(&self, repo: RepoId, whom: &Whom) -> Result<Place, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Busy::Queue)?;
        let of_repo = self.of_repos.take(repo).ok_or(Busy::Share)?;
        let of_whom = self.of_places.take(whom.clone()).ok_or(Busy::Share)?;
        Ok(Place {
            _place: place,
            _shares: (of_repo, of_whom),
        })
    }
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

async fn acquired(from: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let permit = Arc::clone(from).acquire_owned().await;
    permit.expect("nobody closes it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission() -> Admission {
        of_clones(1)
    }

    fn of_clones(clones: usize) -> Admission {
        let limits = Limits {
            requests: 4 * clones,
            clones,
        };
        Admission {
            clone_wait: Duration::from_millis(50),
            small_wait: Duration::from_millis(50),
            ..Admission::new(limits)
        }
    }

    fn user(name: &str) -> Whom {
        Whom::User(name.parse().expect("a name"))
    }

    #[tokio::test]
    async fn a_clone_waits_for_its_turn_and_not_for_ever() {
        let admission = admission();
        let repo = RepoId::from_bytes([1; 16]);
        let clone_of = |name| {
            let (admission, whom) = (&admission, user(name));
            async move { admission.admit(Work::Clone, repo, &whom).await }
        };
        let first = clone_of("alice").await.expect("free");
        let second = clone_of("bob").await;
        assert_eq!(second.map(drop), Err(Busy::Waited));
        let small = admission.admit(Work::Small, repo, &user("bob")).await;
        assert!(small.is_ok(), "small ones pass");
        drop((first, small));
        assert!(clone_of("bob").await.is_ok());
        assert!(admission.of_places.is_empty(), "all shares are back");
        assert!(admission.of_repos.is_empty());
    }

    #[tokio::test]
    async fn nobody_has_more_than_half_of_the_queue() {
        let admission = Arc::new(admission());
        let other = RepoId::from_bytes([99; 16]);
        let first = admission.admit(Work::Clone, other, &user("bob")).await;
        let waiting = (0..33_u8).map(|number| {
            let (admission, repo) = (admission.clone(), RepoId::from_bytes([number; 16]));
            tokio::spawn(async move {
                let whom = user("alice");
                admission.admit(Work::Clone, repo, &whom).await.map(drop)
            })
        });
        let waiting: Vec<_> = waiting.collect();
        let mut refused = 0;
        for one in waiting {
            refused += usize::from(one.await.expect("no panic") == Err(Busy::Share));
        }
        assert!(first.is_ok());
        assert_eq!(refused, 16, "of 33 places alice gets 17");
    }

    /// Who takes them and never ends holds up no clone, fetch or push of another.
    #[tokio::test]
    async fn nobody_has_more_than_half_of_any_kind() {
        let admission = Arc::new(of_clones(2));
        let (repo, stranger) = (RepoId::from_bytes([1; 16]), "203.0.113.7");
        let stranger = Whom::At(stranger.parse().expect("an address"));
        for (work, half) in [(Work::Clone, 1), (Work::Fetch, 4), (Work::Push, 4)] {
            let many = (0..16).map(|_| {
                let (admission, whom) = (Arc::clone(&admission), stranger.clone());
                tokio::spawn(async move { admission.admit(work, repo, &whom).await })
            });
            let many: Vec<_> = many.collect();
            tokio::task::yield_now().await;
            // While they still wait.
            let other = admission.admit(work, repo, &user("alice")).await;
            assert!(other.is_ok(), "{work:?}");
            let mut held = Vec::new();
            for one in many {
                held.extend(one.await.expect("no panic"));
            }
            assert_eq!(held.len(), half, "{work:?}");
        }
    }

    #[tokio::test]
    async fn nobody_has_more_than_half_of_what_runs() {
        let admission = admission();
        let repo = RepoId::from_bytes([1; 16]);
        let push = |whom: Whom| {
            let admission = &admission;
            async move { admission.admit(Work::Push, repo, &whom).await }
        };
        // Two addresses of one network of IPv6 are one.
        let at = |text: &str| {
            let address = text.parse().expect("an address");
            Whom::of(&Caller::Anonymous, address)
        };
        let held = [push(at("2001:db8::1")).await, push(at("2001:db8::2")).await];
        assert!(held.iter().all(Result::is_ok));
        assert!(push(at("2001:db8:0:1::1")).await.is_ok());
        assert!(push(user("alice")).await.is_ok());
        let third = push(at("2001:db8::3")).await;
        assert_eq!(third.map(drop), Err(Busy::Waited));
        // The next turn is for who waits.
        let (third, ()) = tokio::join!(push(at("2001:db8::3")), async { drop(held) });
        assert!(third.is_ok());
    }
}
