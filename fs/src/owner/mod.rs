//! One store, one master: of all states that name objects of a store, one alone stores and deletes there.
//!
//! Two states that come from one (a backup that is restored beside the running original, a copied data
//! directory, a cluster's disks in a second place) name the same keys. To each of them what the other has
//! stored since is a leftover, and gc removes leftovers. So the store says who owns it: by *claims*
//! (`claim`), of which the last one counts. A state knows its own claims, for it writes down the
//! id of a claim ([`Command::ClaimStore`]) before that stands in the store.
//!
//! - A state that owns the store claims it again every few minutes (`Ownership::renew`), before a sweep of gc too if
//!   that is due, and before each request that deletes. A copy that is older than that does not know the last claim; of
//!   two that know the same claims one alone gets to deleting.
//! - A younger copy is told by its data directory, which a file system gave another time of birth
//!   ([`crate::Config::is_copy`]). A restored backup has forgotten all claims.
//! - Nobody claims what another has claimed, but by `Ownership::take_over`, which a person asks for.
//!
//! The file system has no store but `Owned`, which looks who owns the store before it passes anything on:
//! right before each request that deletes, and when the last look is older than `LOOK` before each that
//! stores. Whoever finds another's claim there is refused from then on, until a person takes the store over again; reads
//! go on.
//!
//! Between a look and the arrival of the request that it allows somebody else may take the store over. Of that window:
//!
//! - The keys of a deletion have tombstones in the state of the former owner, so they are keys of its catalog or
//!   leftovers that are older than `gc-grace`. The new owner stores under keys that the former never made up for as
//!   long as such a request may be under way (`Ownership::recent_take_over`), so no deletion
//!   hits what was acknowledged after the take-over.
//! - What the former owner stores within `LOOK` is unknown to the new one, as is all that was stored since the two
//!   states parted: leftovers, which are removed when they are older than `gc-grace`.

mod claim;
mod owned;

pub use claim::{Claim, TakenOver};
pub(crate) use owned::Owned;

use crate::error::{FsError, FsResult, done};
use claim::Last;
use gitmoor_model::{Actor, ClaimId, Command, KEY_REUSE_DELAY};
use gitmoor_replicator::{Replica, read};
use gitmoor_store::object_store::{ObjectStore, StoreError};
use parking_lot::Mutex;
use prometheus::{IntGauge, register_int_gauge};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How old what is known of the owner may be when something is stored.
const LOOK: Duration = Duration::from_secs(60);

/// How old a claim of ours gets: a quarter of `gc-grace`, so that what a copy does not know is younger than
/// that, but within these bounds.
const RENEWAL: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];

/// How often a take-over is tried while others claim the store at the same time.
const TRIES: usize = 10;

static OWNED: LazyLock<IntGauge> = LazyLock::new(|| {
    let help =
        "Whether this mount's state owns its object store: else nothing is stored or deleted";
    register_int_gauge!("gitmoor_store_owned", help).expect("each name is registered once, here")
});

pub(crate) fn register_metrics() {
    LazyLock::force(&OWNED);
}

/// Whose the store is, as one state sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Standing {
    Ours,
    /// Nobody has claimed it, and nobody is known who might have it.
    Free,
    Theirs,
    /// Nobody has claimed it, but this state was restored from a backup or recovered from a cluster: what it
    /// comes from may be running.
    Restored,
    /// Whatever the store says, this data directory may be the second of its kind.
    Copied,
}

/// Why a claim is made.
enum Because {
    /// The store is nobody's.
    Free,
    /// Our last one is old.
    Old,
    /// A person asks for it.
    TakenOver,
}

/// What was seen, and when.
#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    last: Option<Last>,
    standing: Standing,
}

/// What `gitmoor status` says of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreOwner {
    /// Whether the mount's own state owns the store. Else nothing is stored or deleted.
    pub is_this: bool,
    /// If not, why, and what to do.
    pub problem: Option<String>,
    /// The last claim that was seen in the store.
    pub claim: Option<Claim>,
}

/// Knows who owns the store, and renews the mount's own claim.
pub struct Ownership {
    replica: Arc<dyn Replica>,
    store: Arc<dyn ObjectStore>,
    /// The data directory, for whoever reads a claim.
    data: PathBuf,
    renewal: Duration,
    is_copy: AtomicBool,
    seen: Mutex<Seen>,
}

impl fmt::Debug for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ownership").finish_non_exhaustive()
    }
}

/// Makes the state of a data directory that no daemon serves the owner of a store.
pub fn take_over(
    replica: Arc<dyn Replica>,
    store: Arc<dyn ObjectStore>,
    data: &Path,
) -> Result<(), FsError> {
    Ownership::look_at(replica, store, data, RENEWAL[0], false)?.take_over()
}

/// The last claim to a store.
pub fn last_claim(store: &dyn ObjectStore) -> Result<Option<Claim>, StoreError> {
    Ok(claim::last(store)?.map(|last| last.claim))
}

impl Ownership {
    /// Looks whose the store is, and claims it if it is nobody's.
    pub(crate) fn settle(
        replica: Arc<dyn Replica>,
        store: Arc<dyn ObjectStore>,
        data: &Path,
        grace: Duration,
        is_copy: bool,
    ) -> FsResult<Self> {
        let renewal = (grace / 4).clamp(RENEWAL[0], RENEWAL[1]);
        let ownership = Self::look_at(replica, store, data, renewal, is_copy)?;
        let seen = ownership.seen.lock().clone();
        if seen.standing == Standing::Free {
            match ownership.claim(&seen.last, Because::Free) {
                // A client with limits leaves that to others; until then it stores nothing.
                Ok(()) | Err(FsError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(problem) = ownership.owner().problem {
            let store = ownership.store.describe();
            tracing::warn!(store, "nothing is stored or deleted: {problem}");
        }
        Ok(ownership)
    }

    fn look_at(
        replica: Arc<dyn Replica>,
        store: Arc<dyn ObjectStore>,
        data: &Path,
        renewal: Duration,
        is_copy: bool,
    ) -> FsResult<Self> {
        let seen = Seen {
            at: Instant::now(),
            last: None,
            standing: Standing::Copied,
        };
        let ownership = Self {
            replica,
            store,
            data: data.to_owned(),
            renewal,
            is_copy: AtomicBool::new(is_copy),
            seen: Mutex::new(seen),
        };
        ownership.look()?;
        Ok(ownership)
    }

    /// Claims the store anew if it is ours and the last claim is old, by what is known of it: that alone asks
    /// the store. Of another's it is seen now and then whether it still is.
    pub(crate) fn renew(&self) -> FsResult<()> {
        let known = self.seen.lock().clone();
        let is_old = match (&known.standing, &known.last) {
            (Standing::Ours, Some(last)) => self.is_old(last),
            _ => known.at.elapsed() >= self.renewal,
        };
        if !is_old {
            return Ok(());
        }
        let seen = self.look()?;
        match (seen.standing, &seen.last) {
            (Standing::Free, _) => self.claim(&seen.last, Because::Free),
            (Standing::Ours, Some(last)) if self.is_old(last) => {
                self.claim(&seen.last, Because::Old)
            }
            (Standing::Ours | Standing::Theirs | Standing::Restored | Standing::Copied, _) => {
                Ok(())
            }
        }
    }

    fn is_old(&self, last: &Last) -> bool {
        let age = SystemTime::now().duration_since(last.stored);
        age.is_ok_and(|age| age >= self.renewal)
    }

    /// Fails unless the store is ours now: what a sweep begins with.
    pub(crate) fn confirm(&self, request: &str) -> FsResult<()> {
        self.renew()?;
        Ok(self.check_within(Duration::ZERO, request)?)
    }

    /// Makes this state the owner, whoever was it. A copy knows the same claims as the original, and needs one
    /// of its own.
    pub(crate) fn take_over(&self) -> FsResult<()> {
        let mut seen = self.look()?;
        self.is_copy.store(false, Ordering::Relaxed);
        for _ in 0..TRIES {
            let because = match seen.standing {
                Standing::Ours => Because::Old,
                _ => Because::TakenOver,
            };
            self.claim(&seen.last, because)?;
            seen = self.look()?;
            if seen.standing == Standing::Ours {
                return Ok(());
            }
        }
        Ok(self.judge(&seen, "a claim")?)
    }

    /// The claim by which this state took the store over, while requests of the former owner may still be under
    /// way: then what is stored gets keys that the former never came to.
    pub(crate) fn recent_take_over(&self) -> Option<u64> {
        let taken = self.seen.lock().last.as_ref()?.claim.taken_over?;
        let age = since_1970(SystemTime::now()).saturating_sub(taken.at);
        (age < KEY_REUSE_DELAY.as_secs()).then_some(taken.by)
    }

    pub(crate) fn owner(&self) -> StoreOwner {
        let seen = self.seen.lock();
        StoreOwner {
            is_this: seen.standing == Standing::Ours,
            problem: problem(&seen),
            claim: seen.last.as_ref().map(|last| last.claim.clone()),
        }
    }

    /// Fails unless the store is ours, by a look that is not older than this.
    fn check_within(&self, age: Duration, request: &str) -> Result<(), StoreError> {
        let known = {
            let seen = self.seen.lock();
            (seen.at.elapsed() < age).then(|| seen.clone())
        };
        let seen = known.map_or_else(|| self.look(), Ok)?;
        self.judge(&seen, request)
    }

    /// Fails unless the store is ours by what is known, which asks nobody.
    pub(crate) fn check_known(&self, request: &str) -> Result<(), StoreError> {
        self.check_within(Duration::MAX, request)
    }

    fn judge(&self, seen: &Seen, request: &str) -> Result<(), StoreError> {
        match problem(seen) {
            None => Ok(()),
            Some(why) => Err(StoreError::NotOwner {
                store: self.store.describe(),
                request: request.to_owned(),
                why,
            }),
        }
    }

    /// Fails unless the store is ours now, and no other state takes it for its own: what a deletion begins with. Two
    /// disks that come from one know the same claims until one of them makes another, so each deletion makes one.
    fn check_deletion(&self, request: &str) -> Result<(), StoreError> {
        let mut seen = self.look()?;
        if seen.standing == Standing::Ours {
            match self.claim(&seen.last, Because::Old) {
                // A client with limits has no state that could be copied.
                Ok(()) | Err(FsError::Refused(_)) => {}
                Err(error) => return Err(unknown(error)),
            }
            seen = self.look()?;
        }
        self.judge(&seen, request)
    }

    /// Says in the store that it is ours. Who claims it at the same moment gets the next number, or this one.
    fn claim(&self, last: &Option<Last>, because: Because) -> FsResult<()> {
        let id = ClaimId::random();
        let before = last.as_ref().map_or(0, |last| last.claim.generation);
        let generation = before.saturating_add(1);
        let at = since_1970(SystemTime::now());
        let taken_over = match because {
            Because::Free => None,
            Because::Old => last.as_ref().and_then(|last| last.claim.taken_over),
            Because::TakenOver => Some(TakenOver { by: generation, at }),
        };
        let cluster = read::cluster(self.replica.view())?;
        let claim = Claim::new(generation, id, cluster, &self.data, taken_over);
        done(
            self.replica
                .propose(Actor::default(), Command::ClaimStore(id))?,
        )?;
        claim::put(&*self.store, &claim)?;
        if self.look()?.standing == Standing::Ours {
            claim::remove_old(&*self.store, generation)?;
        }
        Ok(())
    }

    /// What stands in the store now.
    fn look(&self) -> Result<Seen, StoreError> {
        let last = claim::last(&*self.store)?;
        let standing = self.standing(last.as_ref()).map_err(unknown)?;
        let seen = Seen {
            at: Instant::now(),
            last,
            standing,
        };
        OWNED.set((seen.standing == Standing::Ours).into());
        *self.seen.lock() = seen.clone();
        Ok(seen)
    }

    fn standing(&self, last: Option<&Last>) -> FsResult<Standing> {
        if self.is_copy.load(Ordering::Relaxed) {
            return Ok(Standing::Copied);
        }
        let claims = read::claims(self.replica.view())?;
        let Some(last) = last else {
            return Ok(match claims {
                Some(claims) if claims.is_empty() => Standing::Restored,
                Some(_) | None => Standing::Free,
            });
        };
        let is_ours = |claims: Option<Vec<ClaimId>>| {
            let id = last.claim.id;
            claims.is_some_and(|claims| id.is_some_and(|id| claims.contains(&id)))
        };
        if is_ours(claims) {
            return Ok(Standing::Ours);
        }
        // Another mount of the cluster may have claimed it, and this one not heard of that yet.
        self.replica.read_barrier(&|| false)?;
        match is_ours(read::claims(self.replica.view())?) {
            true => Ok(Standing::Ours),
            false => Ok(Standing::Theirs),
        }
    }
}

/// Seconds.
fn since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Why the store is not ours, and what to do.
fn problem(seen: &Seen) -> Option<String> {
    let owner = match &seen.last {
        Some(last) => format!("it is claimed by {}", last.claim),
        None => "nobody has claimed it".to_owned(),
    };
    let why = match seen.standing {
        Standing::Ours => return None,
        Standing::Free | Standing::Theirs => "",
        Standing::Restored => {
            "; this state was restored from a backup, or recovered from a cluster, of which others may run"
        }
        Standing::Copied => "; this data directory is a copy, or was moved to another disk",
    };
    Some(format!(
        "{owner}{why}. If no other state may store here any more, `gitmoor take-over` makes this one the \
         owner; what only another has stored is then removed after gc-grace"
    ))
}

/// The question could not be answered.
fn unknown(error: FsError) -> StoreError {
    match error {
        FsError::Store(error) => error,
        error => StoreError::Local {
            context: "finding out who owns the store".to_owned(),
            source: io::Error::other(error.to_string()),
        },
    }
}
