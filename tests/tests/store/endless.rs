//! A server that nobody should trust: answers without end cost bounded memory and time.

use super::{runtime, settings};
use gitmoor_store::object_store::{self, ObjectStore};
use gitmoor_tests::process;
use gitmoor_tests::s3::FakeS3;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// What it answers to one request, after the head of the answer.
type Answer = fn(&str, &mut TcpStream) -> std::io::Result<()>;

/// A store whose marker is fine, and whose listings are what `list` says.
fn store(list: Answer) -> Arc<dyn ObjectStore> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // An error is a client that has had enough.
            std::thread::spawn(move || serve(connection, list));
        }
    });
    let mut settings = settings(&FakeS3::start().env());
    settings.endpoint = Some(endpoint);
    settings.retry.retries = 1;
    // Shorter than the time that such an answer takes is no proof.
    settings.retry.attempt = std::time::Duration::from_secs(60);
    settings.retry.cap = std::time::Duration::from_secs(120);
    object_store::open(&"s3://git/p".parse().expect("a URL"), settings, runtime())
        .expect("connects")
}

fn serve(connection: TcpStream, list: Answer) -> std::io::Result<()> {
    let mut answer = connection.try_clone()?;
    let mut requests = BufReader::new(connection);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            head.push(line);
        }
        let length = head.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse().ok())?
        });
        requests.read_exact(&mut vec![0; length.unwrap_or(0)])?;
        let request = &head[0];
        if request.contains("list-type=2") || request.contains("uploads") {
            list(request, &mut answer)?;
        } else if request.starts_with("PUT") {
            answer.write_all(b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n")?;
        } else {
            let marker = r#"{"format":1,"store":"6f1c2c3e-6d0b-4b8e-9d4f-0f5c1b0c9a11"}"#;
            write!(
                answer,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{marker}",
                marker.len()
            )?;
        }
    }
}

fn page(answer: &mut TcpStream, keys: &[&str]) -> std::io::Result<()> {
    let contents: String = keys
        .iter()
        .map(|key| format!("<Contents><Key>{key}</Key><Size>9223372036854775807</Size></Contents>"))
        .collect();
    let xml = format!(
        "<ListBucketResult><IsTruncated>true</IsTruncated>\
         <NextContinuationToken>t</NextContinuationToken>{contents}</ListBucketResult>"
    );
    write!(
        answer,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{xml}",
        xml.len()
    )
}

/// Of this process, bytes.
fn peak_memory() -> u64 {
    process::memory(std::process::id(), "VmHWM")
}

#[track_caller]
fn ends(store: &dyn ObjectStore, words: &str) {
    let before = peak_memory();
    let failed = store.list("", &mut |_| {}).expect_err("it comes to no end");
    assert!(failed.to_string().contains(words), "{failed}");
    let grown = peak_memory() - before;
    assert!(grown < 200 << 20, "{grown} bytes more");
}

#[test]
fn a_page_without_end() {
    let store = store(|_, answer| {
        answer.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<ListBucketResult>")?;
        let filler = vec![b'x'; 1 << 16];
        loop {
            answer.write_all(&filler)?;
        }
    });
    ends(&*store, "length limit exceeded");
}

#[test]
fn an_error_without_end() {
    let store = store(|_, answer| {
        answer.write_all(b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n<Error><Code>")?;
        let filler = vec![b'x'; 1 << 16];
        loop {
            answer.write_all(&filler)?;
        }
    });
    ends(&*store, "length limit exceeded");
}

#[test]
fn a_listing_that_repeats_itself() {
    let store = store(|_, answer| page(answer, &["p/a", "p/b"]));
    ends(&*store, "repeats itself");
}

#[test]
fn a_listing_of_nothing_that_goes_on() {
    let store = store(|_, answer| page(answer, &[]));
    ends(&*store, "repeats itself");
}
