//! Whatever loose objects go in, git and we find the same objects in the pack, and the index
//! beside it is git's own, byte for byte.

#![allow(
    clippy::disallowed_methods,
    reason = "tests start what they test, and git to compare with"
)]

use flate2::Compression;
use flate2::write::ZlibEncoder;
use gitmoor_fs::bundle::{bundle_loose, check_loose_bytes, check_pack_trailer};
use gitmoor_model::ObjectFormat;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

#[derive(Clone, Debug)]
struct Object {
    kind: &'static str,
    content: Vec<u8>,
    level: u32,
}

impl Object {
    fn bytes(&self) -> Vec<u8> {
        let header = format!("{} {}\0", self.kind, self.content.len());
        [header.as_bytes(), &self.content].concat()
    }

    fn file(&self) -> Vec<u8> {
        let level = Compression::new(self.level);
        let mut deflate = ZlibEncoder::new(Vec::new(), level);
        deflate.write_all(&self.bytes()).expect("writes");
        deflate.finish().expect("ends")
    }

    fn oid(&self, format: ObjectFormat) -> String {
        let mut hasher = gix_hash::hasher(match format {
            ObjectFormat::Sha1 => gix_hash::Kind::Sha1,
            ObjectFormat::Sha256 => gix_hash::Kind::Sha256,
        });
        hasher.update(&self.bytes());
        hasher.try_finalize().expect("no collision").to_string()
    }
}

/// Content of any bytes: neither the bundle nor `git index-pack` looks into it. Lengths
/// around those at which headers and buffers get longer.
fn object() -> impl Strategy<Value = Object> {
    let kind = prop::sample::select(vec!["blob", "tree", "commit", "tag"]);
    let edge = prop::sample::select(vec![15, 16, 2047, 2048, 65_535, 65_536, 262_143, 262_144]);
    let repeated = (edge, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
    let content = prop_oneof![8 => prop::collection::vec(any::<u8>(), 0..300), 1 => repeated];
    (kind, content, 0..10u32).prop_map(|(kind, content, level)| Object {
        kind,
        content,
        level,
    })
}

fn git(dir: &Path, args: &[&str], input: &str) -> Vec<u8> {
    let mut git = Command::new("git");
    git.current_dir(dir).args(args);
    git.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = git.spawn().expect("git runs");
    let mut stdin = child.stdin.take().expect("is piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("git reads");
    assert!(output.status.success(), "git {args:?}");
    output.stdout
}

fn check(objects: &[Object], format: ObjectFormat, name: &str) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let option = format!("--object-format={name}");
    git(dir.path(), &["init", "-q", "--bare", &option], "");
    let mut loose = Vec::new();
    let mut expected = BTreeMap::new();
    for (n, object) in objects.iter().enumerate() {
        let (path, oid) = (dir.path().join(n.to_string()), object.oid(format));
        check_loose_bytes(&oid, &object.file(), format).expect("it is what it says");
        fs::write(&path, object.file()).expect("writes");
        loose.push((oid.clone(), path));
        expected.insert(oid, object);
    }
    let made = bundle_loose(
        &loose,
        |at| fs::File::open(at),
        format,
        &dir.path().join("objects/pack"),
    )
    .expect("bundles");
    check_pack_trailer(&fs::File::open(&made.pack).expect("opens"), format)
        .expect("its trailer is right");
    check_pack_trailer(&fs::File::open(&made.idx).expect("opens"), format)
        .expect("its trailer is right");

    let pack = made.pack.to_string_lossy();
    git(
        dir.path(),
        &["index-pack", "-o", "other.idx", &option, &pack],
        "",
    );
    let other = fs::read(dir.path().join("other.idx")).expect("reads");
    assert!(
        other == fs::read(&made.idx).expect("reads"),
        "git's own index"
    );
    let oids: String = expected.keys().map(|oid| format!("{oid}\n")).collect();
    let found = git(dir.path(), &["cat-file", "--batch"], &oids);
    let mut wanted = Vec::new();
    for (oid, Object { kind, content, .. }) in expected {
        wanted.extend(format!("{oid} {kind} {}\n", content.len()).bytes());
        wanted.extend(content);
        wanted.push(b'\n');
    }
    assert!(found == wanted, "the same objects");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_goes_in_comes_out(objects in prop::collection::vec(object(), 1..30)) {
        check(&objects, ObjectFormat::Sha1, "sha1");
        check(&objects, ObjectFormat::Sha256, "sha256");
    }
}
