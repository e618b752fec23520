//! What a server answers in place of S3: status lines, headers, bodies and error
//! documents of any form. A read ends in the bytes that were asked for or in an error, and
//! takes no more memory than it asked for.

use gitmoor_store::object_store::{
    self, ObjectStore, RetryPolicy, S3Credentials, S3Settings, StoreError, StoreUrl,
};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Bytes that are asked for.
const WANTED: u64 = 10;

/// What the server says to a GET.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// An answer, from its status line to the end of the connection.
pub fn run(data: &[u8]) {
    let store = store();
    *ANSWER.lock().unwrap_or_else(PoisonError::into_inner) = data.to_vec();
    match store.get("k", 0..WANTED) {
        Ok(bytes) => assert_eq!(bytes.len() as u64, WANTED),
        Err(error) => check(&error),
    }
    if let Ok(bytes) = store.get_small("k", WANTED) {
        assert!(bytes.len() as u64 <= WANTED, "more than was asked for");
    }
}

fn check(error: &StoreError) {
    let text = error.to_string();
    assert!(
        text.contains("s3://bucket/p"),
        "it says which store: {text}"
    );
    assert!(!text.contains("hush"), "secrets stay secret");
}

fn store() -> &'static Arc<dyn ObjectStore> {
    static STORE: OnceLock<(Runtime, Arc<dyn ObjectStore>)> = OnceLock::new();
    let (_, store) = STORE.get_or_init(|| {
        let runtime = Runtime::new().expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        thread::spawn(move || listener.incoming().flatten().for_each(serve));
        let url = "s3://bucket/p".parse::<StoreUrl>().expect("a URL");
        let store = object_store::open(&url, settings(endpoint), runtime.handle().clone());
        (runtime, store.expect("connects"))
    });
    store
}

fn settings(endpoint: String) -> S3Settings {
    S3Settings {
        endpoint: Some(endpoint),
        region: Some("r".to_owned()),
        credentials: Some(S3Credentials {
            access_key_id: "id".to_owned(),
            secret_access_key: "hush".to_owned(),
            session_token: None,
        }),
        path_style: true,
        retry: RetryPolicy {
            retries: 0,
            base: Duration::ZERO,
            attempt: Duration::from_secs(2),
            ..RetryPolicy::default()
        },
        ..S3Settings::default()
    }
}

/// One request; then the connection ends.
fn serve(mut connection: TcpStream) {
    let Ok(request) = read_request(&mut connection) else {
        return;
    };
    let answer = if request.contains("gitmoor-format") {
        marker(&request)
    } else {
        ANSWER
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    };
    // The client may have hung up over what it did not like.
    let _ = connection.write_all(&answer);
}

/// The head of a request, after all of it was read.
fn read_request(connection: &mut TcpStream) -> io::Result<String> {
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        connection.read_exact(&mut byte)?;
        head.push(byte[0].to_ascii_lowercase());
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    connection.read_exact(&mut vec![0; length])?;
    Ok(head)
}

/// A store of ours that has conditional writes.
fn marker(request: &str) -> Vec<u8> {
    if request.starts_with("put") {
        return b"HTTP/1.1 412 Precondition Failed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            .to_vec();
    }
    let body = r#"{"format":1,"store":"00000000-0000-4000-8000-000000000000"}"#;
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n{body}")
        .into_bytes()
}
