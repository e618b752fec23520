//! The object stores: one body on a directory, on the fake S3 server and on a real
//! one; then what only a server that counts and fails on demand can show.

use bytes::Bytes;
use gitmoor_store::object_store::{
    self, Body, Listed, ObjectStore, Put, RetryPolicy, S3Credentials, S3Settings, StoreError,
    StoreOpenError, StoreUrl,
};
use gitmoor_tests::s3::{Counts, FakeS3, Garage};
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};

mod connecting;
mod encrypted;
mod endless;
mod failing;
mod limited;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime starts"));

const MIB: usize = 1 << 20;

fn runtime() -> Handle {
    RUNTIME.handle().clone()
}

fn settings(env: &[(String, String)]) -> S3Settings {
    let get = |name: &str| {
        let found = env.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.clone())
            .expect("the server says it")
    };
    let base = Duration::from_millis(1);
    S3Settings {
        endpoint: Some(get("S3_ENDPOINT")),
        region: Some(get("S3_REGION")),
        credentials: Some(S3Credentials {
            access_key_id: get("S3_ACCESS_KEY_ID"),
            secret_access_key: get("S3_SECRET_ACCESS_KEY"),
            session_token: None,
        }),
        path_style: get("S3_USE_PATH_STYLE") == "true",
        retry: RetryPolicy {
            base,
            attempt: Duration::from_secs(5),
            ..RetryPolicy::default()
        },
        ..S3Settings::default()
    }
}

fn open_s3(env: &[(String, String)], prefix: &str) -> Result<Arc<dyn ObjectStore>, StoreOpenError> {
    let url: StoreUrl = format!("s3://git/{prefix}").parse().expect("a URL");
    object_store::open(&url, settings(env), runtime())
}

fn fake() -> (FakeS3, Arc<dyn ObjectStore>) {
    let server = FakeS3::start();
    let store = open_s3(&server.env(), "p").expect("connects");
    server.reset();
    (server, store)
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("writes");
    file
}

fn bytes(text: &'static str) -> Body<'static> {
    Body::Bytes(Bytes::from_static(text.as_bytes()))
}

/// What every store must do.
fn behaves(store: &dyn ObjectStore) {
    assert_eq!(
        store.put("r/objects/ab/cd", bytes("first")).expect("puts"),
        Put::Stored
    );
    assert_eq!(store.get("r/objects/ab/cd", 1..4).expect("reads"), "irs");
    if store.refuses_overwrite() {
        let again = store
            .put("r/objects/ab/cd", bytes("other"))
            .expect("is no error");
        assert_eq!(again, Put::Exists);
        assert_eq!(
            store.get_small("r/objects/ab/cd", 100).expect("reads"),
            "first"
        );
    }
    assert_eq!(store.get_small("r/objects/ab/cd", 3).expect("reads"), "fir");
    assert_eq!(store.put("r/empty", bytes("")).expect("puts"), Put::Stored);

    for len in [MIB + 1, 16 * MIB, 21 * MIB + 17] {
        let key = format!("r/objects/pack/of {len} bytes+ü.pack");
        let content = noise(len);
        let file = file(&content);
        let body = || Body::File {
            file: &file,
            len: len as u64,
        };
        assert_eq!(store.put(&key, body()).expect("puts"), Put::Stored);
        if store.refuses_overwrite() {
            assert_eq!(store.put(&key, body()).expect("is no error"), Put::Exists);
        }
        let read = store.get(&key, 0..len as u64).expect("reads");
        assert!(read == content, "{len} bytes as they were");
        let end = store.get(&key, len as u64 - 10..len as u64).expect("reads");
        assert_eq!(end, content[len - 10..]);
    }

    copies(store);

    let mut listed = Vec::new();
    let mut note = |found| match found {
        Listed::Object { key, size, .. } => listed.push((key, size)),
        Listed::Upload(upload) => panic!("{upload:?} is left over"),
    };
    store.list("r/", &mut note).expect("lists");
    store.list("nothing/", &mut note).expect("lists nothing");
    store
        .list("r/objects/pac/", &mut note)
        .expect("no prefix of names");
    listed.sort();
    let mut expected = vec![("r/empty".to_owned(), 0), ("r/objects/ab/cd".to_owned(), 5)];
    for len in [16 * MIB, MIB + 1, 21 * MIB + 17] {
        let key = format!("r/objects/pack/of {len} bytes+ü.pack");
        expected.push((key, len as u64));
    }
    expected.sort();
    assert_eq!(listed, expected);

    let absent = |key: &str| matches!(store.get(key, 0..1), Err(StoreError::NotFound { .. }));
    assert!(absent("r/nothing"));
    let keys = ["r/objects/ab/cd", "r/nothing", "r/empty"].map(String::from);
    store.delete(&keys).expect("deletes");
    store.delete(&keys[..1]).expect("absent keys are no error");
    store.delete(&[]).expect("nothing to do");
    assert!(absent("r/objects/ab/cd"));
    let refused = store.get("../p/gitmoor-format", 0..1);
    assert!(
        matches!(refused, Err(StoreError::Refused { .. })),
        "{refused:?}"
    );
}

/// Of one part and of several, under names that must be escaped; nothing is left of them.
fn copies(store: &dyn ObjectStore) {
    let large = noise(65 * MIB);
    let (file, len) = (file(&large), large.len() as u64);
    let body = Body::File { file: &file, len };
    store.put("r/large+ü 100%.pack", body).expect("puts");
    for (from, to) in [
        ("r/large+ü 100%.pack", "s/large+ü %20.pack"),
        ("r/objects/ab/cd", "s/ab/cd"),
    ] {
        let expected = store.get_small(from, len).expect("reads");
        let size = expected.len() as u64;
        let told = AtomicU64::new(0);
        let watch = |bytes| {
            told.fetch_add(bytes, Ordering::Relaxed);
            true
        };
        let put = store.copy(from, to, size, &watch).expect("copies");
        assert_eq!((put, told.into_inner()), (Put::Stored, size), "{to}");
        let copied = store.get_small(to, 2 * len).expect("reads");
        assert!(copied == expected, "{to}: as it was");
        if store.refuses_overwrite() {
            let again = store.copy("r/objects/ab/cd", to, 5, &|_| true);
            assert_eq!(again.expect("is no error"), Put::Exists);
            assert!(store.get_small(to, 2 * len).expect("reads") == expected);
        }
        store.delete(&[to.to_owned()]).expect("deletes");
    }
    let absent = store.copy("r/nothing", "s/nothing", 5, &|_| true);
    let is_absent = matches!(&absent, Err(StoreError::NotFound { key, .. }) if key == "r/nothing");
    assert!(is_absent, "{absent:?}");
    store
        .delete(&["r/large+ü 100%.pack".to_owned()])
        .expect("deletes");
    let mut left = Vec::new();
    store
        .list("s/", &mut |found| left.push(found))
        .expect("lists");
    assert_eq!(left, []);
}

/// Opening again finds the same marker; a version from the future is refused.
fn has_a_marker(open: impl Fn() -> Result<Arc<dyn ObjectStore>, StoreOpenError>) {
    let store = open().expect("opens");
    let marker = store
        .get_small("gitmoor-format", 4096)
        .expect("it was written");
    let text = String::from_utf8(marker.to_vec()).expect("JSON");
    assert!(text.starts_with(r#"{"format":1,"store":""#), "{text}");
    let again = open()
        .expect("opens again")
        .get_small("gitmoor-format", 4096)
        .expect("reads");
    assert_eq!(again, marker);

    let replace = |text: &'static str| {
        store
            .delete(&["gitmoor-format".to_string()])
            .expect("deletes");
        store.put("gitmoor-format", bytes(text)).expect("puts");
    };
    replace(r#"{"format":12,"new":true}"#);
    let refused = open().expect_err("a version from the future");
    assert!(matches!(
        refused,
        StoreOpenError::UnknownFormat {
            found: 12,
            known: 1,
            ..
        }
    ));
    replace("hello");
    let refused = open().expect_err("somebody else's");
    assert!(matches!(refused, StoreOpenError::BadMarker { .. }));
}

#[test]
fn a_directory_behaves() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let open = || {
        object_store::open(
            &StoreUrl::Dir(dir.path().join("s")),
            S3Settings::default(),
            runtime(),
        )
    };
    behaves(&*open().expect("opens"));
    has_a_marker(open);
}

#[test]
fn a_fake_server_behaves() {
    let server = FakeS3::start();
    let open = || open_s3(&server.env(), "a/b");
    let store = open().expect("opens");
    assert!(store.refuses_overwrite());
    behaves(&*store);
    assert_eq!(server.open_uploads(), 0, "what came second was aborted");
    has_a_marker(open);
    assert!(server.objects().keys().all(|key| key.starts_with("a/b/")));
}

#[test]
fn garage_behaves() {
    if Garage::binary().is_none() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary directory");
    let garage = Garage::start(dir.path()).expect("garage starts");
    let open = || open_s3(&garage.env(), "a/b");
    behaves(&*open().expect("opens"));
    has_a_marker(open);
}

#[test]
fn without_conditional_writes_the_store_says_so() {
    let server = FakeS3::start();
    server.ignore_conditions();
    let store = open_s3(&server.env(), "p").expect("connects");
    assert!(!store.refuses_overwrite());
    behaves(&*store);
}

#[test]
fn every_call_is_one_request() {
    let server = FakeS3::start();
    let store = open_s3(&server.env(), "p").expect("connects");
    let (get, put) = (server.counts().get, server.counts().put);
    assert_eq!(
        (get, put),
        (2, 2),
        "marker: absent, written, read; written again for the probe"
    );
    server.reset();
    open_s3(&server.env(), "p").expect("connects");
    assert_eq!(
        (
            server.counts().requests(),
            server.counts().get,
            server.counts().put
        ),
        (2, 1, 1)
    );

    server.reset();
    store.put("k", bytes("12345")).expect("puts");
    store.get("k", 1..3).expect("reads");
    store.delete(&["k".into()]).expect("deletes");
    store.delete(&["a".into(), "b".into()]).expect("deletes");
    let counts = server.counts();
    let bytes_in = counts.bytes_in;
    let expected = Counts {
        get: 1,
        put: 1,
        delete: 2,
        bytes_in,
        bytes_out: counts.bytes_out,
        ..Default::default()
    };
    assert_eq!(counts, expected);

    server.reset();
    let content = noise(20 * MIB);
    let file = file(&content);
    store
        .put(
            "big",
            Body::File {
                file: &file,
                len: 20 << 20,
            },
        )
        .expect("puts");
    let counts = server.counts();
    assert_eq!(
        (counts.part, counts.multipart, counts.requests()),
        (3, 2, 5)
    );
}
