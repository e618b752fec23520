//! How much of something each of many may have at a time.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// Bits of an IPv6 address that its owner chooses freely.
const OWN_BITS: u32 = 64;

type Counts<K> = Arc<Mutex<HashMap<K, usize>>>;

/// No key has more than `most` at a time. A key that has nothing takes no memory.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    most: usize,
    taken: Counts<K>,
}

/// A part of a share, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Taken<K: Hash + Eq> {
    taken: Counts<K>,
    key: K,
}

impl<K: Hash + Eq + Clone> Shares<K> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// One more for this key; `None` when the key has all that it may.
    pub(crate) fn take(&self, key: K) -> Option<Taken<K>> {
        let mut counts = self.taken.lock();
        let count = counts.get(&key).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        let taken = Arc::clone(&self.taken);
        Some(Taken { taken, key })
    }

    /// Whether nobody has anything.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.lock().is_empty()
    }
}

impl<K: Hash + Eq> Drop for Taken<K> {
    fn drop(&mut self) {
        let mut counts = self.taken.lock();
        let count = counts
            .get_mut(&self.key)
            .expect("it was counted when it was taken");
        *count -= 1;
        if *count == 0 {
            counts.remove(&self.key);
        }
    }
}

/// Whose an address is: of IPv6 the network, since its owner has 2^64 of them.
pub(crate) fn owner(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() >> OWN_BITS << OWN_BITS;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}
