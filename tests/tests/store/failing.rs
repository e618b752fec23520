//! A server that fails, stalls or asks for patience.

use super::{MIB, bytes, fake, file, noise, open_s3, runtime, settings};
use gitmoor_store::object_store::{self, Body, Put, StoreError};
use gitmoor_tests::s3::{FakeS3, Fault, Kind};
use std::time::{Duration, Instant};

#[test]
fn transient_failures_are_retried() {
    let (server, store) = fake();
    store.put("k", bytes("12345")).expect("puts");
    for fault in [
        Fault::SlowDown,
        Fault::InternalError,
        Fault::Reset,
        Fault::LostAnswer,
        Fault::Truncate,
    ] {
        server.reset();
        server.fail(Kind::Get, fault, 3);
        assert_eq!(
            store.get("k", 0..5).expect("the fourth try succeeds"),
            "12345",
            "{fault:?}"
        );
        assert_eq!(server.counts().get, 4, "{fault:?}");
    }
    for (n, fault) in [Fault::SlowDown, Fault::InternalError, Fault::Reset]
        .into_iter()
        .enumerate()
    {
        server.fail(Kind::Put, fault, 2);
        assert_eq!(
            store.put(&format!("new{n}"), bytes("x")).expect("puts"),
            Put::Stored
        );
    }
    server.fail(Kind::Delete, Fault::SlowDown, 1);
    store
        .delete(&["new0".into(), "new1".into()])
        .expect("deletes");
    assert_eq!(
        server
            .objects()
            .keys()
            .filter(|key| key.contains("new"))
            .count(),
        1
    );
}

/// More than one request's worth, named as the bucket has them.
fn planted(server: &FakeS3) -> Vec<String> {
    let keys: Vec<_> = (0..2500).map(|n| format!("many/{n:04}")).collect();
    keys.iter()
        .for_each(|key| server.plant(&format!("p/{key}"), "x"));
    keys
}

fn left(server: &FakeS3) -> Vec<String> {
    let keys = server.objects().into_keys();
    keys.filter(|key| key.contains("many/")).collect()
}

/// Each answer says of some keys that they are not deleted: these are asked for again, and no other.
#[test]
fn what_was_not_deleted_is_asked_for_again() {
    let (server, store) = fake();
    let keys = planted(&server);
    server.keep("p/many/0007", "InternalError", 1);
    server.keep("p/many/1500", "SlowDown", 2);
    server.keep("p/many/1501", "InternalError", 1);
    server.reset();
    store.delete(&keys).expect("in the end");
    assert_eq!(left(&server), [""; 0]);
    assert_eq!(server.counts().delete, 3 + 1 + 2);
}

/// It keeps no other, and is named with the reason.
#[test]
fn a_key_that_the_bucket_keeps() {
    let (server, store) = fake();
    let keys = planted(&server);
    server.keep("p/many/0007", "AccessDenied", usize::MAX);
    server.keep("p/many/0008", "InternalError", 1);
    let failed = store.delete(&keys).expect_err("one is kept");
    assert!(matches!(failed, StoreError::Refused { .. }), "{failed:?}");
    let said = failed.to_string();
    for word in ["p/many/0007", "AccessDenied"] {
        assert!(said.contains(word), "{said}");
    }
    assert_eq!(left(&server), ["p/many/0007"]);
}

#[test]
fn a_put_whose_answer_was_lost_finds_its_own_bytes() {
    let (server, store) = fake();
    server.fail(Kind::Put, Fault::LostAnswer, 1);
    let put = store.put("k", bytes("12345")).expect("puts");
    assert_eq!(put, Put::Exists, "the caller checks, and finds its bytes");
    assert_eq!(store.get("k", 0..5).expect("reads"), "12345");
}

#[test]
fn an_outage_is_unavailable_with_its_numbers() {
    let (server, store) = fake();
    server.set_down(true);
    let failed = store.get("k", 0..5).expect_err("it is down");
    let StoreError::Unavailable {
        attempts,
        request,
        store: name,
        ..
    } = &failed
    else {
        panic!("{failed:?}");
    };
    assert_eq!((*attempts, request.as_str()), (4, "GET k"));
    assert_eq!(*name, format!("s3://git/p at {}", server.endpoint()));
    assert_eq!(server.counts().get, 4);
    server.set_down(false);
    assert!(matches!(
        store.get("k", 0..5),
        Err(StoreError::NotFound { .. })
    ));
}

#[test]
fn a_silent_server_is_given_up() {
    let server = FakeS3::start();
    drop(open_s3(&server.env(), "p").expect("connects"));
    let mut settings = settings(&server.env());
    settings.retry.attempt = Duration::from_millis(100);
    settings.retry.retries = 1;
    let store = object_store::open(&"s3://git/p".parse().expect("a URL"), settings, runtime());
    let store = store.expect("connects");
    server.fail(Kind::Get, Fault::Delay(Duration::from_secs(3600)), 2);
    let failed = store.get("k", 0..1).expect_err("nothing comes");
    assert!(
        matches!(failed, StoreError::Unavailable { attempts: 2, .. }),
        "{failed:?}"
    );
}

#[test]
fn failed_uploads_in_parts_leave_nothing() {
    let (server, store) = fake();
    let content = noise(20 * MIB);
    let file = file(&content);
    let body = || Body::File {
        file: &file,
        len: 20 << 20,
    };
    server.fail(Kind::Part, Fault::SlowDown, 2);
    assert_eq!(store.put("mended", body()).expect("puts"), Put::Stored);
    assert_eq!(server.counts().part, 5);
    assert!(server.objects()["p/mended"] == content);

    server.fail(Kind::Part, Fault::InternalError, 100);
    let failed = store
        .put("failed", body())
        .expect_err("no part gets through");
    assert!(
        matches!(failed, StoreError::Unavailable { .. }),
        "{failed:?}"
    );
    assert!(!server.objects().contains_key("p/failed"));
    assert_eq!(server.open_uploads(), 0);

    server.heal();
    let short = Body::File {
        file: &file,
        len: 30 << 20,
    };
    let failed = store.put("short", short).expect_err("the file ends early");
    assert!(matches!(failed, StoreError::Local { .. }), "{failed:?}");
    assert_eq!(server.open_uploads(), 0);
}

/// One answer that never comes does not hold up a read once the usual time is known.
#[test]
fn an_unusually_slow_get_is_asked_twice() {
    let server = FakeS3::start();
    drop(open_s3(&server.env(), "p").expect("connects"));
    let mut settings = settings(&server.env());
    // Only the second question can help.
    settings.retry.retries = 0;
    let store = object_store::open(&"s3://git/p".parse().expect("a URL"), settings, runtime());
    let store = store.expect("connects");
    store.put("k", bytes("12345")).expect("puts");
    (0..100).for_each(|_| drop(store.get("k", 0..5).expect("reads")));
    server.reset();
    server.fail(Kind::Get, Fault::Delay(Duration::from_secs(3600)), 1);
    assert_eq!(store.get("k", 0..5).expect("the second answer"), "12345");
    assert_eq!(server.counts().get, 2);
}

/// `SlowDown` makes the requests after it wait too, and successes end that.
#[test]
fn the_store_sets_the_pace() {
    let server = FakeS3::start();
    let mut settings = settings(&server.env());
    settings.retry.base = Duration::from_millis(100);
    let store = object_store::open(&"s3://git/p".parse().expect("a URL"), settings, runtime());
    let store = store.expect("connects");
    store.put("k", bytes("12345")).expect("puts");
    let timed = || {
        let begin = Instant::now();
        store.get("k", 0..5).expect("reads");
        begin.elapsed()
    };
    // Three doublings: 80 ms, half of which is the least pause.
    server.fail(Kind::Get, Fault::SlowDown, 3);
    timed();
    assert!(timed() >= Duration::from_millis(30));
    (0..60).for_each(|_| {
        timed();
    });
    let at_once = (0..20).map(|_| timed()).min().expect("not empty");
    assert!(at_once < Duration::from_millis(30), "{at_once:?}");
}
