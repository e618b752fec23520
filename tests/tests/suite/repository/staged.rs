//! One bit turned over in a file that is finished and not stored yet: it is never
//! published, whether the mount was away or there, and `gitmoor fsck` names it. The
//! same object written again takes its place.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::files;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::noise;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A loose object, and a pack with its two indexes.
const KINDS: usize = 4;

struct Stage {
    place: Place,
    bare: Repo,
    /// What the loose object holds.
    blob: Vec<u8>,
    oid: String,
    /// A pack of other blobs.
    pack: Vec<u8>,
}

impl Stage {
    /// Nothing is published before a ref moves or the mount goes.
    fn new() -> Stage {
        let place = Place::set(Kind::S3s, "idle-publish = \"1h\"\n");
        let (bare, work) = place.pushed("app.git", 2);
        let blob = noise(3000, 1);
        let oid = work.feed("hash-object --stdin", &blob);
        let packed = (2..6).map(|n| work.feed("hash-object -w --stdin", noise(900, n)) + "\n");
        let pack = work.bytes("pack-objects --quiet --stdout", packed.collect::<String>());
        Stage {
            place,
            bare,
            blob,
            oid,
            pack,
        }
    }

    /// Writes everything; the finished files on this machine's disk.
    fn write(&self) -> Vec<PathBuf> {
        assert_eq!(
            self.bare.feed("hash-object -w --stdin", &self.blob),
            self.oid
        );
        self.bare
            .bytes("index-pack --stdin --rev-index", &self.pack);
        let staged = self.staged();
        assert_eq!(staged.len(), KINDS, "{staged:?}");
        staged
    }

    fn staged(&self) -> Vec<PathBuf> {
        let repos = self.place.daemon().settings().data.join("repos");
        let mut staged = files::below(&repos);
        staged.retain(|path| path.is_file() && path.to_string_lossy().contains("/files/objects/"));
        staged
    }

    fn fsck(&self, sound: bool) -> Value {
        let settings = self.place.daemon().settings().clone();
        let output = settings.gitmoor(&["fsck", "app.git", "--json"]);
        assert_eq!(
            output.status.code(),
            Some(i32::from(!sound)),
            "{}",
            report(&output)
        );
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// No key of the store is one of these files'.
    fn assert_unpublished(&self, files: &[PathBuf]) {
        let keys = self.place.server().objects();
        for file in files {
            let name = object_name(file);
            assert!(
                !keys.keys().any(|key| key.contains(&name)),
                "{name} is stored"
            );
        }
    }

    /// What was moved aside, by the fsck of a repository that lacks nothing any ref needs.
    fn assert_aside(&self, files: &[PathBuf]) {
        let aside = self.fsck(true)["moved_aside"].to_string();
        for file in files {
            let name = object_name(file).replace('/', "_");
            assert!(aside.contains(&name), "{name} in {aside}");
        }
    }

    /// Written again everything is published, and right.
    fn assert_comes_again(&self) {
        self.write();
        self.place.cool();
        self.bare.fsck();
        assert_eq!(
            self.bare.bytes(format!("cat-file blob {}", self.oid), ""),
            self.blob
        );
        self.fsck(true);
    }
}

/// `objects/ab/cdef…`, `objects/pack/pack-….idx`.
fn object_name(file: &Path) -> String {
    let text = file.to_string_lossy();
    let (_, name) = text.split_once("/files/").expect("of a repository");
    name.to_owned()
}

#[test]
fn while_the_mount_is_away() {
    let stage = Stage::new();
    let staged = stage.write();
    stage.place.daemon().kill9();
    staged.iter().for_each(|file| files::flip_middle(file));
    stage.place.daemon().launch();
    // The first look at the repository proves what is staged.
    stage.bare.fail(format!("cat-file -e {}", stage.oid));
    assert_eq!(stage.staged(), Vec::<PathBuf>::new());
    stage.assert_aside(&staged);
    stage.place.restart();
    stage.assert_unpublished(&staged);
    stage.assert_comes_again();
}

#[test]
fn while_mounted() {
    let stage = Stage::new();
    let staged = stage.write();
    staged.iter().for_each(|file| files::flip_middle(file));
    let named = stage.fsck(false)["damaged_staging"].to_string();
    for file in &staged {
        assert!(named.contains(&object_name(file)), "{named}");
    }
    // As on a disk it is git that finds out before that.
    stage.bare.fail(format!("cat-file blob {}", stage.oid));
    // A publication moves what it finds aside, and fails: the refs may need it.
    let tries = (0..=KINDS).take_while(|_| !stage.bare.is("update-ref refs/heads/side main"));
    let failures = tries.count();
    assert!((1..=KINDS).contains(&failures), "{failures} failures");
    stage.assert_unpublished(&staged);
    assert_eq!(stage.staged(), Vec::<PathBuf>::new());
    stage.assert_aside(&staged);
    stage.assert_comes_again();
}

/// Enough loose objects that they become a pack.
#[test]
fn before_it_is_packed_with_others() {
    let stage = Stage::new();
    let oids: Vec<_> = (10..30)
        .map(|n| stage.bare.feed("hash-object -w --stdin", noise(500, n)))
        .collect();
    let staged = stage.staged();
    let of = |oid: &str| {
        staged
            .iter()
            .find(|file| object_name(file).replace('/', "").ends_with(oid))
    };
    files::flip_middle(of(&oids[7]).expect("staged"));
    assert!(!stage.bare.is("update-ref refs/heads/side main"));
    stage.bare.ok("update-ref refs/heads/side main");
    stage.place.cool();
    for (n, oid) in oids.iter().enumerate() {
        assert_eq!(stage.bare.is(format!("cat-file -e {oid}")), n != 7, "{n}");
    }
    stage.bare.fsck();
}
