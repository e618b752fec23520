//! Every outcome of a request to the store counts under its own label, and under no other.

use bytes::Bytes;
use gitmoor_store::object_store::{
    self, Body, ObjectStore, Put, RetryPolicy, S3Credentials, S3Settings, StoreUrl,
};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

type Counts = BTreeMap<String, u64>;

/// The counters of requests, as `store kind outcome`, and of bytes, as `store in` and `store out`.
fn counts() -> Counts {
    let mut counts = Counts::new();
    for family in prometheus::gather() {
        let suffix = match family.name() {
            "gitmoor_s3_requests_total" => "",
            "gitmoor_s3_received_bytes_total" => " in",
            "gitmoor_s3_sent_bytes_total" => " out",
            _ => continue,
        };
        for metric in family.get_metric() {
            let label = |name: &str| {
                let labels = metric.get_label().iter();
                let mut found = labels.filter(|pair| pair.name() == name);
                found.next().map(|pair| pair.value().to_owned())
            };
            let labels = ["store", "kind", "outcome"].into_iter().filter_map(label);
            let name = labels.collect::<Vec<_>>().join(" ") + suffix;
            counts.insert(name, metric.get_counter().get_value() as u64);
        }
    }
    counts
}

/// What a piece of work added.
fn added(work: impl FnOnce()) -> Vec<(String, u64)> {
    let before = counts();
    work();
    let now = counts().into_iter();
    let more = now.map(|(name, n)| {
        let old = before.get(&name).copied().unwrap_or(0);
        (name, n - old)
    });
    more.filter(|(_, n)| *n > 0).collect()
}

fn one(name: &str) -> Vec<(String, u64)> {
    vec![(name.to_owned(), 1)]
}

fn with_bytes(name: &str, bytes: &str, n: u64) -> Vec<(String, u64)> {
    let mut both = vec![(name.to_owned(), 1), (bytes.to_owned(), n)];
    both.sort();
    both
}

fn body(text: &'static str) -> Body<'static> {
    Body::Bytes(Bytes::from_static(text.as_bytes()))
}

fn directory(runtime: &Runtime) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let url = StoreUrl::Dir(dir.path().to_path_buf());
    let store = object_store::open(&url, S3Settings::default(), runtime.handle().clone());
    let store = store.expect("opens");
    let put = |key: &'static str| store.put(key, body("12345"));
    let stored = added(|| assert_eq!(put("a").expect("puts"), Put::Stored));
    assert_eq!(stored, with_bytes("dir put ok", "dir out", 5));
    let exists = added(|| assert_eq!(put("a").expect("puts"), Put::Exists));
    assert_eq!(exists, with_bytes("dir put exists", "dir out", 5));
    assert_eq!(added(|| drop(put("../a"))), one("dir put refused"));
    assert_eq!(added(|| drop(put("a/b"))), one("dir put local_error"));

    let got = added(|| drop(store.get("a", 1..4)));
    assert_eq!(got, with_bytes("dir get ok", "dir in", 3));
    let got = added(|| drop(store.get_small("a", 2)));
    assert_eq!(got, with_bytes("dir get ok", "dir in", 2));
    assert_eq!(
        added(|| drop(store.get("b", 0..1))),
        one("dir get not_found")
    );
    assert_eq!(
        added(|| drop(store.get("/b", 0..1))),
        one("dir get refused")
    );
    assert_eq!(
        added(|| drop(store.get("a", 0..9))),
        one("dir get local_error")
    );

    let delete = |key: &str| drop(store.delete(&[key.to_owned()]));
    assert_eq!(added(|| delete("a")), one("dir delete ok"));
    assert_eq!(added(|| delete("")), one("dir delete refused"));
    fs::create_dir(dir.path().join("d")).expect("creates");
    assert_eq!(added(|| delete("d")), one("dir delete local_error"));
}

/// Answers what the key says: `k404` is answered with 404.
fn serve(mut connection: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let mut lines = head.lines();
    let length = lines.find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    connection.read_exact(&mut vec![0; length.unwrap_or(0)])?;
    let marker = r#"{"format":1,"store":"00000000-0000-4000-8000-000000000000"}"#;
    let key = head.split_once("/k").map(|(_, rest)| &rest[..3]);
    let (status, body) = match key {
        Some(status) => (status, "12345"),
        None if head.starts_with("put") => ("412", ""),
        None => ("200", marker),
    };
    let len = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n");
    connection.write_all((head + body).as_bytes())
}

fn s3(runtime: &Runtime) -> Arc<dyn ObjectStore> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A client that hangs up sees what it did.
            let _ = serve(connection);
        }
    });
    let settings = S3Settings {
        endpoint: Some(format!("http://{endpoint}")),
        region: Some("r".to_owned()),
        credentials: Some(S3Credentials {
            access_key_id: "id".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
        }),
        path_style: true,
        retry: RetryPolicy {
            retries: 1,
            base: Duration::ZERO,
            ..RetryPolicy::default()
        },
        ..S3Settings::default()
    };
    let url: StoreUrl = "s3://bucket".parse().expect("a URL");
    object_store::open(&url, settings, runtime.handle().clone()).expect("connects")
}

fn bucket(runtime: &Runtime) {
    let store = s3(runtime);
    let get = |key: &str| drop(store.get(key, 0..5));
    assert_eq!(added(|| get("k200")), with_bytes("s3 get ok", "s3 in", 5));
    assert_eq!(added(|| get("k404")), one("s3 get not_found"));
    assert_eq!(added(|| get("k403")), one("s3 get refused"));
    // However often it was tried.
    assert_eq!(added(|| get("k503")), one("s3 get unavailable"));
    let put = |key: &str| drop(store.put(key, body("12345")));
    assert_eq!(added(|| put("k200")), with_bytes("s3 put ok", "s3 out", 5));
    assert_eq!(
        added(|| put("k412")),
        with_bytes("s3 put exists", "s3 out", 5)
    );
    assert_eq!(added(|| put("k403")), one("s3 put refused"));
    assert_eq!(added(|| put("k500")), one("s3 put unavailable"));
    let delete = |key: &str| drop(store.delete(&[key.to_owned()]));
    assert_eq!(added(|| delete("k204")), one("s3 delete ok"));
    assert_eq!(added(|| delete("k500")), one("s3 delete unavailable"));
}

/// One test: the counters are the process's.
#[test]
fn each_outcome_counts_under_its_label() {
    let runtime = Runtime::new().expect("a runtime");
    directory(&runtime);
    bucket(&runtime);
}
