//! What users share, and how much of it each may hold.
//!
//! A user may take one more while the user holds less than is free. So one user alone gets half, two users get
//! a third each, and a user who holds nothing finds something left, however many others want more. Nobody has
//! to know how many users there are.

use std::collections::HashMap;
use std::hash::Hash;

pub(crate) struct Shares<K> {
    most: u64,
    taken: u64,
    /// Of those who hold any.
    held: HashMap<K, u64>,
}

impl<K: Copy + Eq + Hash> Shares<K> {
    /// So much is to be shared.
    pub(crate) fn of(most: u64) -> Self {
        Self {
            most,
            taken: 0,
            held: HashMap::new(),
        }
    }

    /// How much somebody holds.
    pub(crate) fn held(&self, who: K) -> u64 {
        self.held.get(&who).copied().unwrap_or(0)
    }

    /// How much is free.
    pub(crate) fn free(&self) -> u64 {
        self.most - self.taken
    }

    /// Whether somebody may have so much more.
    pub(crate) fn allows(&self, who: K, amount: u64) -> bool {
        self.held(who).saturating_add(amount) <= self.free()
    }

    /// Takes so much for somebody who may have it; whether that was so.
    pub(crate) fn take(&mut self, who: K, amount: u64) -> bool {
        let allowed = self.allows(who, amount);
        if allowed {
            self.add(who, amount);
        }
        allowed
    }

    /// Takes so much for somebody who may have all that is free; whether there was so much.
    pub(crate) fn take_free(&mut self, who: K, amount: u64) -> bool {
        let allowed = amount <= self.free();
        if allowed {
            self.add(who, amount);
        }
        allowed
    }

    fn add(&mut self, who: K, amount: u64) {
        self.taken += amount;
        *self.held.entry(who).or_default() += amount;
    }

    /// Somebody needs so much no longer.
    pub(crate) fn give_back(&mut self, who: K, amount: u64) {
        self.taken -= amount;
        let left = self.held(who) - amount;
        match left {
            0 => drop(self.held.remove(&who)),
            left => drop(self.held.insert(who, left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(shares: &mut Shares<u32>, who: u32) -> u64 {
        while shares.take(who, 1) {}
        shares.held(who)
    }

    #[test]
    fn one_user_gets_half_and_the_next_a_part_of_the_rest() {
        let mut shares = Shares::of(512);
        assert_eq!(take_all(&mut shares, 1), 256);
        assert_eq!(take_all(&mut shares, 2), 128);
        assert_eq!(take_all(&mut shares, 3), 64);
    }

    #[test]
    fn who_holds_nothing_finds_something_left() {
        let mut shares = Shares::of(512);
        let most: Vec<_> = (1..9).map(|who| take_all(&mut shares, who)).collect();
        assert!(most.is_sorted_by(|a, b| a >= b), "{most:?}");
        assert!(shares.take(9, 1), "{} are free", shares.free());
    }

    #[test]
    fn what_is_given_back_is_for_others() {
        let mut shares = Shares::of(4);
        assert_eq!(take_all(&mut shares, 1), 2);
        shares.give_back(1, 2);
        assert_eq!(take_all(&mut shares, 2), 2);
        assert_eq!(shares.held(1), 0);
        assert!(!shares.take(2, u64::MAX), "no number overflows");
    }

    #[test]
    fn some_may_take_all_of_it() {
        let mut shares = Shares::of(4);
        (0..4).for_each(|_| assert!(shares.take_free(0, 1)));
        assert!(!shares.take_free(0, 1));
    }
}
