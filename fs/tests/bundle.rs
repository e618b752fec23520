//! Bundles against real git: it accepts them and would write the same index.

#![allow(
    clippy::disallowed_methods,
    reason = "tests start what they test, and git to compare with"
)]

use gitmoor_fs::bundle::{
    BundleError, bundle_loose, check_loose, check_loose_bytes, check_pack_trailer,
};
use gitmoor_model::ObjectFormat;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn git(dir: &Path, args: &[&str]) -> String {
    git_with(dir, args, b"")
}

fn git_with(dir: &Path, args: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("git")
        .current_dir(dir)
        .args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.org",
            "-c",
            "gc.auto=0",
        ])
        .args(args)
        .envs([
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git runs");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(input)
        .expect("git reads");
    let out = child.wait_with_output().expect("git ends");
    assert!(out.status.success(), "git {args:?}");
    String::from_utf8(out.stdout)
        .expect("text")
        .trim()
        .to_string()
}

/// A repository with every kind of object, some of them large or empty.
fn repository(format: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    git(
        dir.path(),
        &["init", "-q", &format!("--object-format={format}")],
    );
    for n in 0..20 {
        fs::write(
            dir.path().join(format!("f{n}")),
            format!("{n}").repeat(n * 500),
        )
        .expect("writes");
    }
    let noise: Vec<u8> = (0..300_000u32)
        .flat_map(|n| n.wrapping_mul(2654435761).to_le_bytes())
        .collect();
    fs::write(dir.path().join("noise"), noise).expect("writes");
    git(dir.path(), &["add", "."]);
    git(dir.path(), &["commit", "-qm", "one"]);
    git(dir.path(), &["tag", "-a", "v1", "-m", "tag"]);
    dir
}

fn loose(repo: &Path) -> Vec<(String, PathBuf)> {
    let mut all = Vec::new();
    for dir in fs::read_dir(repo.join(".git/objects")).expect("lists") {
        let dir = dir.expect("entry").path();
        let first = dir.file_name().expect("name").to_string_lossy().to_string();
        if first.len() != 2 {
            continue;
        }
        for file in fs::read_dir(&dir).expect("lists") {
            let file = file.expect("entry");
            all.push((
                format!("{first}{}", file.file_name().to_string_lossy()),
                file.path(),
            ));
        }
    }
    all
}

fn open(path: &PathBuf) -> io::Result<File> {
    File::open(path)
}

fn opened(path: &Path) -> File {
    File::open(path).expect("opens")
}

fn git_accepts(name: &str, format: ObjectFormat) {
    let repo = repository(name);
    let mut objects = loose(repo.path());
    assert_eq!(
        objects.len(),
        21 + 3,
        "21 files, a tree, a commit, a tag; f0 is empty"
    );
    objects.push(objects[3].clone());
    let pack_dir = repo.path().join(".git/objects/pack");
    let bundled = bundle_loose(&objects, open, format, &pack_dir).expect("bundles");
    assert_eq!(
        bundled.pack,
        pack_dir.join(format!("{}.pack", bundled.name))
    );
    assert_eq!(
        fs::metadata(&bundled.idx)
            .expect("is there")
            .permissions()
            .mode()
            & 0o777,
        0o444
    );
    assert_eq!(
        fs::read_dir(&pack_dir).expect("lists").count(),
        2,
        "no leftovers"
    );

    let other = repo.path().join("other.idx");
    let (pack, other_name) = (bundled.pack.to_string_lossy(), other.to_string_lossy());
    let format_option = format!("--object-format={name}");
    let hash = git(
        repo.path(),
        &[
            "index-pack",
            "--strict",
            &format_option,
            "-o",
            &other_name,
            &pack,
        ],
    );
    assert_eq!(
        format!("pack-{hash}"),
        bundled.name,
        "named as git names it"
    );
    assert_eq!(
        fs::read(&other).expect("reads"),
        fs::read(&bundled.idx).expect("reads")
    );
    git(
        repo.path(),
        &["verify-pack", &bundled.idx.to_string_lossy()],
    );

    for (_, path) in loose(repo.path()) {
        fs::remove_file(path).expect("removes");
    }
    git(repo.path(), &["fsck", "--full", "--strict"]);
    assert_eq!(
        git(repo.path(), &["count-objects", "-v"]).lines().next(),
        Some("count: 0")
    );
    check_pack_trailer(&opened(&bundled.pack), format).expect("its trailer is right");
    check_pack_trailer(&opened(&bundled.idx), format).expect("its trailer is right");
}

#[test]
fn git_accepts_a_sha1_bundle() {
    git_accepts("sha1", ObjectFormat::Sha1);
}

#[test]
fn git_accepts_a_sha256_bundle() {
    git_accepts("sha256", ObjectFormat::Sha256);
}

type Damage = Box<dyn Fn(&mut Vec<u8>)>;

#[test]
fn a_damaged_object_is_never_bundled() {
    let repo = repository("sha1");
    let objects = loose(repo.path());
    let into = repo.path().join("into");
    fs::create_dir(&into).expect("creates");
    for (oid, path) in &objects {
        check_loose(oid, &opened(path), ObjectFormat::Sha1).expect("git wrote it");
    }
    // The noise: in what repeats itself, a flipped bit may inflate to the same bytes.
    let size = |path: &PathBuf| fs::metadata(path).expect("stat").len();
    let (oid, path) = objects
        .iter()
        .max_by_key(|(_, path)| size(path))
        .expect("not empty");
    let good = fs::read(path).expect("reads");
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("chmod");
    let damages: [(&str, Damage); 5] = [
        (
            "a bit",
            Box::new(|b| {
                let middle = b.len() / 2;
                b[middle] ^= 1;
            }),
        ),
        ("cut in the middle", Box::new(|b| b.truncate(b.len() / 2))),
        ("cut in the checksum", Box::new(|b| b.truncate(b.len() - 1))),
        ("garbage after it", Box::new(|b| b.push(0))),
        ("empty", Box::new(|b| b.clear())),
    ];
    for (what, damage) in damages {
        let mut bytes = good.clone();
        damage(&mut bytes);
        let refused = check_loose_bytes(oid, &bytes, ObjectFormat::Sha1);
        assert!(
            matches!(&refused, Err(BundleError::BadObject { oid: bad, .. }) if bad == oid),
            "{what}: {refused:?}"
        );
        fs::write(path, &bytes).expect("writes");
        assert!(
            bundle_loose(&objects, open, ObjectFormat::Sha1, &into).is_err(),
            "{what}"
        );
        assert_eq!(
            fs::read_dir(&into).expect("lists").count(),
            0,
            "{what}: nothing is left"
        );
    }
}

#[test]
fn a_right_object_under_a_wrong_name_is_refused() {
    let repo = repository("sha1");
    let objects = loose(repo.path());
    let refused = check_loose(&objects[0].0, &opened(&objects[1].1), ObjectFormat::Sha1);
    assert!(matches!(refused, Err(BundleError::BadObject { .. })));
    for name in ["zz", "", &objects[0].0[..39], &"a".repeat(64)] {
        let refused = check_loose(name, &opened(&objects[0].1), ObjectFormat::Sha1);
        assert!(
            matches!(refused, Err(BundleError::BadName { .. })),
            "{name}"
        );
    }
}

#[test]
fn headers_git_would_refuse() {
    for header in [
        "blob 3",
        "blob 3\0ab",
        "blob 2\0abc",
        "blob -3\0abc",
        "blob +3\0abc",
        "bolb 3\0abc",
        "blob \0",
    ] {
        let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        deflate.write_all(header.as_bytes()).expect("writes");
        let file = deflate.finish().expect("ends");
        let oid = git_with(Path::new("/"), &["hash-object", "--stdin"], b"abc");
        assert!(
            check_loose_bytes(&oid, &file, ObjectFormat::Sha1).is_err(),
            "{header:?}"
        );
    }
}

#[test]
fn a_flipped_bit_in_a_pack_is_found() {
    let repo = repository("sha1");
    let bundled =
        bundle_loose(&loose(repo.path()), open, ObjectFormat::Sha1, repo.path()).expect("bundles");
    let good = fs::read(&bundled.pack).expect("reads");
    let copy = repo.path().join("copy");
    for at in [0, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(&copy, bytes).expect("writes");
        let found = check_pack_trailer(&opened(&copy), ObjectFormat::Sha1);
        assert!(
            matches!(found, Err(BundleError::BadTrailer { .. })),
            "byte {at}"
        );
    }
    fs::write(&copy, "short").expect("writes");
    assert!(check_pack_trailer(&opened(&copy), ObjectFormat::Sha1).is_err());
}
