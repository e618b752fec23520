//! Settings that work, and what is said of those that do not.

use super::{open_s3, runtime, settings};
use gitmoor_store::object_store::{self, S3Credentials, S3Settings, StoreUrl};
use gitmoor_tests::s3::{FakeS3, Garage};
use std::net::TcpListener;
use std::time::{Duration, Instant};

#[test]
fn connecting_says_what_is_wrong() {
    let server = FakeS3::start();
    let good = settings(&server.env());
    let wrong = |change: &dyn Fn(&mut S3Settings), url: &str| {
        let mut settings = good.clone();
        change(&mut settings);
        let begin = Instant::now();
        let failed = object_store::open(&url.parse().expect("a URL"), settings, runtime());
        let message = failed.expect_err("it cannot work").to_string();
        assert!(begin.elapsed() < Duration::from_secs(10), "{message}");
        assert!(message.contains(url), "{message}");
        assert!(!message.contains("fake/secret"), "{message}");
        message
    };
    let keys = |settings: &mut S3Settings, id: &str, secret: &str| {
        let (access_key_id, secret_access_key) = (id.to_string(), secret.to_string());
        let session_token = None;
        settings.credentials = Some(S3Credentials {
            access_key_id,
            secret_access_key,
            session_token,
        });
    };
    let message = wrong(&|_| {}, "s3://absent/p");
    assert!(
        message.contains("NoSuchBucket") && message.contains("create the bucket"),
        "{message}"
    );
    let message = wrong(&|s| keys(s, "AKIDFAKE", "no"), "s3://git/p");
    assert!(message.contains("check S3_SECRET_ACCESS_KEY"), "{message}");
    let message = wrong(&|s| keys(s, "nobody", "no"), "s3://git/p");
    assert!(message.contains("check S3_ACCESS_KEY_ID"), "{message}");
    let nowhere = "http://127.0.0.1:1";
    let message = wrong(&|s| s.endpoint = Some(nowhere.to_string()), "s3://git/p");
    assert!(
        message.contains(nowhere) && message.contains("did not answer"),
        "{message}"
    );
    let tls = server.endpoint().replace("http:", "https:");
    let message = wrong(&|s| s.endpoint = Some(tls.clone()), "s3://git/p");
    assert!(message.contains(&tls), "{message}");
    // It takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", listener.local_addr().expect("bound"));
    let message = wrong(&|s| s.endpoint = Some(silent.clone()), "s3://git/p");
    assert!(message.contains(&silent), "{message}");
    server.set_down(true);
    let message = wrong(&|_| {}, "s3://git/p");
    assert!(message.contains(&server.endpoint()), "{message}");
}

/// The fake server does not mind the region, a real one does.
#[test]
fn a_wrong_region_is_named() {
    if Garage::binary().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let garage = Garage::start(dir.path()).expect("garage starts");
    let mut settings = settings(&garage.env());
    settings.region = Some("elsewhere-1".to_string());
    let failed = object_store::open(&"s3://git/p".parse().expect("a URL"), settings, runtime());
    let message = failed.expect_err("another region").to_string();
    assert!(message.contains("S3_REGION"), "{message}");
}

#[test]
fn urls() {
    let s3 = |bucket: &str, prefix: &str| StoreUrl::S3 {
        bucket: bucket.into(),
        prefix: prefix.into(),
    };
    for (url, parsed) in [
        ("dir:/a/b", StoreUrl::Dir("/a/b".into())),
        ("dir:relative", StoreUrl::Dir("relative".into())),
        ("s3://bucket", s3("bucket", "")),
        ("s3://bucket/a/b/", s3("bucket", "a/b")),
    ] {
        assert_eq!(url.parse::<StoreUrl>().expect(url), parsed);
        assert_eq!(parsed.to_string().parse::<StoreUrl>().expect(url), parsed);
    }
    for url in [
        "",
        "/a",
        "dir:",
        "s3:bucket",
        "s3://",
        "s3://b",
        "s3://b?d/x",
        "s3://bucket/../x",
        "https://x",
    ] {
        let refused = url.parse::<StoreUrl>().expect_err(url).to_string();
        assert!(
            refused.contains("expected dir:PATH or s3://bucket/prefix"),
            "{refused}"
        );
    }
}

#[test]
fn debug_shows_no_secret() {
    let server = FakeS3::start();
    let shown = format!(
        "{:?} {:?}",
        settings(&server.env()),
        open_s3(&server.env(), "p")
    );
    assert!(
        shown.contains("AKIDFAKE") && !shown.contains("fake/secret"),
        "{shown}"
    );
}
