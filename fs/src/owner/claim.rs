//! Claims, as they stand in a store: `gitmoor-owner/<number>`, each written once, in text that a person
//! reads. The one with the largest number counts.
//!
//! Where the store has conditional writes no number is given twice. Elsewhere a second claim of a number takes the place
//! of the first, and whoever looks finds the second alone: also then one state owns the store.

use bytes::Bytes;
use gitmoor_model::{ClaimId, ClusterId};
use gitmoor_store::object_store::{Body, Listed, ObjectStore, StoreError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What their keys begin with.
const PREFIX: &str = "gitmoor-owner/";

/// More than any claim has.
const LIMIT: u64 = 16 << 10;

/// Claims that stay, for whoever asks how it came to this.
const KEPT: u64 = 8;

/// How often the last one is looked for while it is being replaced.
const LOOKS: usize = 5;

/// Who owns a store, as the owner has written it there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// The claims of a store are numbered in order.
    pub generation: u64,
    /// By what the state that made it knows it; `None` of one that cannot be read.
    pub id: Option<ClaimId>,
    /// The cluster, if it is one.
    pub cluster: Option<String>,
    /// What the machine calls itself.
    pub machine: String,
    /// The data directory there.
    pub data: PathBuf,
    /// When, in UTC by that machine's clock.
    pub since: String,
    /// Version of the program that made the claim.
    pub version: String,
    /// How this state came to the store, if another had it.
    pub taken_over: Option<TakenOver>,
}

/// When another state's store was taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TakenOver {
    /// The number of the claim that it was.
    pub by: u64,
    /// When, in seconds since 1970, by the clock of the machine.
    pub at: u64,
}

/// The last claim, and when it was stored by the store's clock.
#[derive(Clone, Debug)]
pub(super) struct Last {
    pub(super) claim: Claim,
    pub(super) stored: SystemTime,
}

impl Claim {
    pub(super) fn new(
        generation: u64,
        id: ClaimId,
        cluster: Option<ClusterId>,
        data: &Path,
        taken_over: Option<TakenOver>,
    ) -> Self {
        let machine = nix::sys::utsname::uname();
        let machine =
            machine.map_or_else(|_| String::new(), |it| it.nodename().display().to_string());
        Self {
            generation,
            id: Some(id),
            cluster: cluster.map(|id| id.to_string()),
            machine,
            data: data.to_owned(),
            since: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taken_over,
        }
    }

    /// One that says nothing to this version.
    fn unreadable(generation: u64) -> Self {
        Self {
            generation,
            id: None,
            cluster: None,
            machine: "an unknown machine".to_owned(),
            data: PathBuf::new(),
            since: "an unknown time".to_owned(),
            version: "unknown".to_owned(),
            taken_over: None,
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cluster) = &self.cluster {
            write!(f, "cluster {cluster}, ")?;
        }
        let Self { machine, since, .. } = self;
        write!(f, "{} on {machine} at {since}", self.data.display())
    }
}

fn key(generation: u64) -> String {
    format!("{PREFIX}{generation:020}")
}

/// Stores a claim. If its number is taken it is none; [`last`] tells.
pub(super) fn put(store: &dyn ObjectStore, claim: &Claim) -> Result<(), StoreError> {
    let text = serde_json::to_vec_pretty(claim).expect("texts and numbers are JSON");
    store.put(&key(claim.generation), Body::Bytes(Bytes::from(text)))?;
    Ok(())
}

/// The last claim that was made.
pub(super) fn last(store: &dyn ObjectStore) -> Result<Option<Last>, StoreError> {
    for _ in 0..LOOKS {
        let Some((generation, stored)) = greatest(store)? else {
            return Ok(None);
        };
        match store.get_small(&key(generation), LIMIT) {
            // There are so many newer ones that it was removed.
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
            Ok(text) => {
                let read: Option<Claim> = serde_json::from_slice(&text).ok();
                let read = read.filter(|claim| claim.generation == generation);
                let claim = read.unwrap_or_else(|| Claim::unreadable(generation));
                return Ok(Some(Last { claim, stored }));
            }
        }
    }
    Err(StoreError::Refused {
        store: store.describe(),
        request: format!("GET {PREFIX}"),
        reason: "it lists a claim that it does not give".to_owned(),
    })
}

fn greatest(store: &dyn ObjectStore) -> Result<Option<(u64, SystemTime)>, StoreError> {
    let mut greatest: Option<(u64, SystemTime)> = None;
    store.list(PREFIX, &mut |listed| {
        if let Listed::Object { key, modified, .. } = listed
            && let Some(number) = number(&key)
        {
            greatest = greatest.max(Some((number, modified)));
        }
    })?;
    Ok(greatest)
}

fn number(text: &str) -> Option<u64> {
    let number = text.strip_prefix(PREFIX)?.parse().ok()?;
    (key(number) == text).then_some(number)
}

/// Removes the oldest of the claims before this one.
pub(super) fn remove_old(store: &dyn ObjectStore, generation: u64) -> Result<(), StoreError> {
    let mut old = Vec::new();
    store.list(PREFIX, &mut |listed| {
        if let Listed::Object { key, .. } = listed
            && number(&key).is_some_and(|number| number.saturating_add(KEPT) <= generation)
        {
            old.push(key);
        }
    })?;
    match old.is_empty() {
        true => Ok(()),
        false => store.delete(&old),
    }
}
