//! The schedule of tries, on a clock of its own: nothing sleeps here.

use gitmoor_store::object_store::RetryPolicy;
use proptest::prelude::*;
use std::time::Duration;

const LONGEST_PAUSE: Duration = Duration::from_secs(5);

fn millis(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn policy() -> impl Strategy<Value = RetryPolicy> {
    let parts = (0..40u32, millis(0..=2_000), millis(0..=60_000));
    parts.prop_map(|(retries, base, cap)| RetryPolicy {
        retries,
        base,
        cap,
        ..RetryPolicy::default()
    })
}

/// What a request goes through that fails at every try: each try's length and luck.
fn tries() -> impl Strategy<Value = Vec<(Duration, f64)>> {
    prop::collection::vec((millis(0..=3_000), 0.0..=1.0), 50)
}

/// The beginnings of the tries, and the end.
fn run(policy: &RetryPolicy, tries: &[(Duration, f64)]) -> (Vec<Duration>, Duration) {
    let mut now = Duration::ZERO;
    let mut begins = Vec::new();
    for (attempts, (takes, luck)) in (1..).zip(tries) {
        begins.push(now);
        now += *takes;
        match policy.pause(attempts, now, *luck) {
            Some(pause) => now += pause,
            None => break,
        }
    }
    (begins, now)
}

proptest! {
    #[test]
    fn as_many_tries_as_the_policy_and_the_time_allow(policy in policy(), tries in tries()) {
        let (begins, end) = run(&policy, &tries);
        prop_assert!(begins.len() <= policy.retries as usize + 1);
        prop_assert!(begins.iter().all(|begin| *begin <= policy.cap), "none begins too late");
        let last = *begins.last().expect("it is tried at least once");
        prop_assert!(end - last <= Duration::from_secs(3), "no pause after the last one");
        let early = end + LONGEST_PAUSE < policy.cap;
        prop_assert!(!early || begins.len() == policy.retries as usize + 1, "it gives up too soon");
    }

    #[test]
    fn pauses_double_up_to_a_bound(policy in policy(), attempts in 1..=40u32) {
        let endless = RetryPolicy { cap: Duration::MAX, retries: u32::MAX, ..policy };
        let ceiling = |n| endless.pause(n, Duration::ZERO, 1.0).expect("goes on");
        prop_assert_eq!(ceiling(1), policy.base.min(LONGEST_PAUSE));
        let doubled = ceiling(attempts).saturating_mul(2).min(LONGEST_PAUSE);
        if attempts < 17 {
            prop_assert_eq!(ceiling(attempts + 1), doubled);
        }
        prop_assert!(ceiling(attempts + 1) >= ceiling(attempts));
    }

    /// Full jitter: anything between nothing and the ceiling, in proportion to luck.
    #[test]
    fn luck_spreads_the_pauses(policy in policy(), attempts in 1..=40u32, luck in 0.0..=1.0) {
        let endless = RetryPolicy { cap: Duration::MAX, retries: u32::MAX, ..policy };
        let pause = |luck| endless.pause(attempts, Duration::ZERO, luck).expect("goes on");
        prop_assert_eq!(pause(0.0), Duration::ZERO);
        let expected = pause(1.0).mul_f64(luck);
        let error = pause(luck).abs_diff(expected);
        prop_assert!(error <= Duration::from_nanos(1), "{:?} instead of {expected:?}", pause(luck));
    }

    #[test]
    fn no_numbers_are_too_big(attempts in any::<u32>(), elapsed in any::<Duration>(), luck in 0.0..=1.0) {
        for policy in [RetryPolicy::default(), RetryPolicy { base: Duration::MAX, cap: Duration::MAX, retries: u32::MAX, ..RetryPolicy::default() }] {
            let pause = policy.pause(attempts.max(1), elapsed, luck);
            prop_assert!(pause.is_none_or(|pause| pause <= LONGEST_PAUSE));
        }
    }
}
