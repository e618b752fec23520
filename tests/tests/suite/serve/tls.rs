//! HTTPS: git speaks HTTP/2 through it, and a certificate is renewed while the door is open.

use gitmoor_tests::door::Served;
use gitmoor_tests::history;
use gitmoor_tests::wait;
use rcgen::CertifiedKey;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// More than it takes until a certificate is read again.
const BOUND: Duration = Duration::from_secs(30);

/// A new certificate and its key.
fn certify(certificate: &Path, key: &Path) {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let CertifiedKey { cert, signing_key } = certified.expect("a certificate");
    fs::write(key, signing_key.serialize_pem()).expect("written");
    fs::write(certificate, cert.pem()).expect("written");
}

/// With more settings of `[serve]`; the files of its certificate and its key.
fn with_tls(more: &str) -> (Served, PathBuf, PathBuf) {
    let mut files = None;
    let served = Served::with_settings(|daemon| {
        let [certificate, key] =
            ["door.pem", "door.key"].map(|name| daemon.data.with_file_name(name));
        certify(&certificate, &key);
        let [one, two] = [&certificate, &key].map(|path| path.display().to_string());
        files = Some((certificate, key));
        (
            String::new(),
            format!("tls-certificate = {one:?}\ntls-key = {two:?}\n{more}"),
        )
    });
    let (certificate, key) = files.expect("they were made");
    (served, certificate, key)
}

/// A connection of HTTP/2 is no longer kept than one of HTTP/1.1, whatever it says beside requests.
#[test]
fn who_asks_nothing_has_gone() {
    let (served, ..) = with_tls("idle-timeout = \"1s\"\n");
    let mut client = Command::new("openssl");
    client.args([
        "s_client",
        "-quiet",
        "-alpn",
        "h2",
        "-connect",
        &served.address,
    ]);
    client
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut client = client.spawn().expect("openssl");
    let stdin = client.stdin.as_mut().expect("a pipe");
    let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stdin.write_all(begin).expect("it reads");
    // A peer that does not answer a ping would be there for 40 s.
    let ended = wait::poll(Duration::from_secs(18), || {
        client.try_wait().expect("openssl")
    });
    client.kill().expect("it runs, or has ended");
    client.wait().expect("it ends");
    assert!(ended.is_some(), "it is never cut off");
}

#[test]
fn a_certificate_is_renewed_while_git_is_served() {
    let (served, certificate, key) = with_tls("");
    let token = served.alice();
    let plain = served.url(&format!("alice:{token}"), "team/app.git");
    let url = plain.replacen("http", "https", 1);
    let trusting = |name: &str| {
        let copy = served.place.scratch(name);
        fs::copy(&certificate, &copy).expect("copied");
        served.place.git.with_env("GIT_SSL_CAINFO", &copy)
    };
    let first = trusting("first.pem");
    let work = first.at(served.work("work", &url).dir);
    work.write("noise", history::noise(4 << 20, 1));
    work.ok("add noise");
    let tip = work.commit("noise");
    work.ok("push --quiet origin HEAD:refs/heads/main");
    // Who speaks without TLS is not answered.
    work.fail(format!("ls-remote {plain}"));
    certify(&certificate, &key);
    let second = trusting("second.pem").at(&work.dir);
    let renewed = wait::poll(BOUND, || second.is("ls-remote origin").then_some(()));
    assert!(renewed.is_some());
    work.fail("ls-remote origin");
    let copy = served.place.scratch("copy");
    second.ok(format!(
        "clone --quiet --branch main {url} {}",
        copy.display()
    ));
    assert_eq!(
        second.ok(format!("-C {} rev-parse HEAD", copy.display())),
        tip
    );
}
