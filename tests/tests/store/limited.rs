//! Limits on the bytes of a second. Only lower bounds of time are looked at: a slow machine takes longer, and never less.

use super::{MIB, noise, runtime, settings};
use bytes::Bytes;
use gitmoor_store::object_store::{self, Bandwidth, Body, ObjectStore, StoreOpenError, StoreUrl};
use gitmoor_store::wait::{Waits, on_behalf_of};
use gitmoor_tests::s3::FakeS3;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a MiB takes when so much may go in a second.
const RATE: u64 = 4 << 20;

fn open(server: &FakeS3, bandwidth: &Bandwidth) -> Arc<dyn ObjectStore> {
    let mut settings = settings(&server.env());
    settings.bandwidth = bandwidth.clone();
    let url = "s3://git/p".parse().expect("a URL");
    object_store::open(&url, settings, runtime()).expect("connects")
}

fn put(store: &dyn ObjectStore, key: &str, len: usize) {
    let body = Body::Bytes(Bytes::from(noise(len)));
    store.put(key, body).expect("puts");
}

#[test]
fn what_goes_up_and_down_in_a_second_is_limited_for_all_stores_together() {
    let server = FakeS3::start();
    let bandwidth = Bandwidth::new(Some(RATE), Some(RATE));
    let stores = [open(&server, &bandwidth), open(&server, &bandwidth)];
    let begin = Instant::now();
    for n in 0..5 {
        put(&*stores[n % 2], &format!("k{n}"), MIB);
    }
    assert!(
        begin.elapsed() >= Duration::from_secs(1),
        "four waited for a quarter each"
    );
    let begin = Instant::now();
    for n in 0..5 {
        let got = stores[n % 2].get(&format!("k{n}"), 0..MIB as u64);
        assert_eq!(got.expect("gets").len(), MIB);
    }
    assert!(
        begin.elapsed() >= Duration::from_secs(1),
        "as on the way up"
    );
}

#[test]
fn what_a_process_waits_for_does_not_wait_for_jobs() {
    let server = FakeS3::start();
    let store = open(&server, &Bandwidth::new(Some(64 << 10), None));
    // A job has used the next minute up.
    put(&*store, "job", 4 * MIB);
    let begin = Instant::now();
    on_behalf_of(std::process::id(), || {
        let wait = Waits::default().begin("putting", Duration::from_secs(600));
        let _entered = wait.enter();
        put(&*store, "push", 1);
    });
    assert!(
        begin.elapsed() < Duration::from_secs(60),
        "it waited for the job"
    );
}

#[test]
fn waiting_for_its_turn_is_not_standing_still() {
    let server = FakeS3::start();
    let store = open(&server, &Bandwidth::new(Some(RATE), None));
    put(&*store, "first", 8 * MIB);
    let wait = Waits::default().begin("putting", Duration::from_millis(500));
    let _entered = wait.enter();
    put(&*store, "second", 1);
}

#[test]
fn a_directory_takes_no_limits() {
    let dir = tempfile::tempdir().expect("a directory");
    let url = StoreUrl::Dir(dir.path().join("store"));
    let settings = object_store::S3Settings {
        bandwidth: Bandwidth::new(Some(RATE), None),
        ..Default::default()
    };
    let refused = object_store::open(&url, settings, runtime()).expect_err("refused");
    assert!(
        matches!(refused, StoreOpenError::Settings { .. }),
        "{refused}"
    );
    assert!(!dir.path().join("store").exists(), "nothing is made");
}
