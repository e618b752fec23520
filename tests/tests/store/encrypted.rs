//! Encryption by the server: every object is begun with the request for it, and a server that does not know the request is
//! not taken at its word; authorities of one's own for its certificate.

use super::{MIB, file, noise, runtime, settings};
use bytes::Bytes;
use gitmoor_store::object_store::{
    self, Body, Encryption, ObjectStore, Put, S3Settings, StoreOpenError,
};
use gitmoor_tests::s3::{FakeS3, Sealed, Tls};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

fn open(
    server: &FakeS3,
    change: impl FnOnce(&mut S3Settings),
) -> Result<Arc<dyn ObjectStore>, StoreOpenError> {
    let mut settings = settings(&server.env());
    change(&mut settings);
    object_store::open(&"s3://git/p".parse().expect("a URL"), settings, runtime())
}

/// By every way that an object comes into the bucket.
fn write_everything(store: &dyn ObjectStore) {
    let large = noise(17 * MIB);
    let whole = |store: &dyn ObjectStore, key: &str, len: usize| {
        let (file, len) = (file(&large[..len]), len as u64);
        let put = store.put(key, Body::File { file: &file, len });
        assert_eq!(put.expect("puts"), Put::Stored);
    };
    store
        .put("bytes", Body::Bytes(Bytes::from_static(b"x")))
        .expect("puts");
    whole(store, "file", MIB);
    whole(store, "parts", 17 * MIB);
    let resumed = file(&large);
    let put = store.put_resuming("resumed", &resumed, 17 * MIB as u64, &|_| true);
    assert_eq!(put.expect("puts"), Put::Stored);
    for (from, len) in [("bytes", 1), ("file", MIB), ("parts", 17 * MIB)] {
        let to = format!("copy of {from}");
        let copied = store.copy(from, &to, len as u64, &|_| true);
        assert_eq!(copied.expect("copies"), Put::Stored);
    }
    object_store::probe(store).expect("does what it must");
}

#[test]
fn every_object_is_begun_with_the_encryption_that_is_asked_for() {
    let kms = Encryption::Kms {
        key: Some("alias/git".to_owned()),
        bucket_key: Some(true),
    };
    let by_kms = Sealed {
        algorithm: Some("aws:kms".to_owned()),
        key: Some("alias/git".to_owned()),
        bucket_key: Some(true),
    };
    let by_s3 = Sealed {
        algorithm: Some("AES256".to_owned()),
        ..Sealed::default()
    };
    let cases = [
        (None, Sealed::default()),
        (Some(Encryption::S3), by_s3),
        (Some(kms), by_kms),
    ];
    for (encryption, expected) in cases {
        let server = FakeS3::start();
        let asked = encryption.clone();
        let store = open(&server, |settings| settings.encryption = asked).expect("connects");
        if let Some(encryption) = &encryption {
            let described = store.describe();
            assert!(described.contains(&encryption.to_string()), "{described}");
        }
        write_everything(&*store);
        let sealed = server.sealed();
        // The marker, four puts, three copies, the probe.
        assert!(sealed.len() >= 9, "{sealed:?}");
        for (key, sealed) in sealed {
            assert_eq!(sealed, expected, "{key}");
        }
    }
}

#[test]
fn a_server_that_does_not_encrypt_is_found_out() {
    let server = FakeS3::start();
    server.ignore_encryption();
    let asks = |settings: &mut S3Settings| settings.encryption = Some(Encryption::S3);
    let refused = open(&server, asks).expect_err("it would store in the clear");
    assert!(refused.to_string().contains("s3.sse"), "{refused}");

    let server = FakeS3::start();
    let store = open(&server, asks).expect("connects");
    server.ignore_encryption();
    let large = file(&noise(17 * MIB));
    let body = || Body::File {
        file: &large,
        len: 17 * MIB as u64,
    };
    for put in [
        store.put("parts", body()),
        store.put("bytes", Body::Bytes(Bytes::from_static(b"x"))),
    ] {
        let refused = put.expect_err("it would store in the clear").to_string();
        assert!(refused.contains("AES256"), "{refused}");
    }
    assert_eq!(server.counts().part, 0, "no byte of it went there");
}

#[test]
fn a_bundle_says_who_may_vouch_for_the_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = FakeS3::start();
    let pem = dir.path().join("authority.pem");
    let tls = Tls::start(server.address(), &pem);
    let with = |bundle: Option<PathBuf>| {
        let endpoint = tls.endpoint();
        open(&server, |settings| {
            settings.endpoint = Some(endpoint);
            settings.ca_bundle = bundle;
        })
    };
    let store = with(Some(pem.clone())).expect("connects");
    store
        .put("key", Body::Bytes(Bytes::from_static(b"x")))
        .expect("puts");
    let untrusted = with(None).expect_err("nobody vouches for it").to_string();
    assert!(untrusted.contains("certificate"), "{untrusted}");

    let other = dir.path().join("other.pem");
    let _other = Tls::start(server.address(), &other);
    let untrusted = with(Some(other)).expect_err("another vouches").to_string();
    assert!(untrusted.contains("certificate"), "{untrusted}");

    let wrong = dir.path().join("wrong.pem");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for text in ["", "no PEM", broken] {
        fs::write(&wrong, text).expect("writes");
        let refused = with(Some(wrong.clone())).expect_err("it cannot be used");
        let refused = refused.to_string();
        assert!(refused.contains("wrong.pem"), "{refused}");
        assert!(refused.contains("s3.ca-bundle"), "{refused}");
    }
    let missing = with(Some(dir.path().join("none.pem"))).expect_err("it is not there");
    assert!(missing.to_string().contains("none.pem"), "{missing}");
}
