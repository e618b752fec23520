//! One bit turned over anywhere: git never sees wrong bytes, the damage is named,
//! and repaired where another copy exists.

use crate::repository::lfs;
use gitmoor_tests::backend::Kind;
use gitmoor_tests::files;
use gitmoor_tests::git::Repo;
use gitmoor_tests::history::noise;
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use gitmoor_tests::wait;
use serde_json::Value;
use std::fs;

use std::time::Duration;

fn place() -> Place {
    Place::set(
        Kind::S3s,
        "publish-timeout = \"3s\"\nread-timeout = \"3s\"\nidle-publish = \"50ms\"\n",
    )
}

/// A pack with index and reverse index, and loose objects that are in no pack.
fn repository(place: &Place) -> (Repo, Repo) {
    let (bare, work) = place.pushed("app.git", 20);
    work.write("noise.bin", noise(1 << 20, 3));
    work.commit("noise");
    work.ok("push --quiet origin main");
    bare.ok("-c pack.writeReverseIndex=true repack --quiet -a -d");
    // What the repack deleted is deleted before the next ref moves.
    place.restart();
    work.commit("loose");
    work.ok("push --quiet origin main");
    let settings = place.daemon().settings().clone();
    wait::until("everything is published", Duration::from_secs(30), || {
        settings.status()["pending"]["files"] == 0
    });
    (bare, work)
}

/// Runs fsck; its report, after checking that the exit code fits.
#[track_caller]
fn fsck(place: &Place, options: &[&str], sound: bool) -> Value {
    let settings = place.daemon().settings().clone();
    let output = settings.gitmoor(&[&["fsck", "app.git", "--json"], options].concat());
    assert_eq!(
        output.status.code(),
        Some(i32::from(!sound)),
        "{}",
        report(&output)
    );
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    bytes
}

/// Turns one bit of a stored object over; its key.
fn damage(place: &Place, part_of_key: &str) -> String {
    let objects = place.server().objects();
    // The trash has packs too: the one that is there is meant.
    let named = place.repo("app.git").names("objects/pack");
    let meant = |key: &str| {
        let name = key.rsplit('/').next().unwrap_or_default();
        !key.contains("/pack/") || named.iter().any(|file| name.starts_with(file.as_str()))
    };
    let found = objects
        .iter()
        .find(|(key, _)| key.contains(part_of_key) && meant(key));
    let (key, bytes) = found.unwrap_or_else(|| panic!("no {part_of_key} in {:?}", objects.keys()));
    place.server().plant(key, flipped(bytes));
    key.clone()
}

fn loose_name(work: &Repo) -> String {
    let oid = work.oid("main:loose.txt");
    format!("{}/{}", &oid[..2], &oid[2..])
}

#[test]
fn a_sound_repository() {
    let place = place();
    repository(&place);
    let checked = fsck(&place, &["--deep"], true);
    assert_eq!(checked["damaged"], Value::Array(vec![]));
    assert!(
        checked["files"].as_u64().expect("a number") >= 5,
        "{checked:#}"
    );
    let output = place.daemon().settings().gitmoor(&["fsck", "no.git"]);
    assert_eq!(output.status.code(), Some(1));
}

/// With a copy in the cache every kind of file is repaired, under a key of its own.
#[test]
fn repaired_from_the_cache() {
    let place = place();
    let (bare, work) = repository(&place);
    bare.fsck();
    let kinds = [".pack", ".idx", ".rev", &loose_name(&work)];
    let keys = kinds.map(|kind| damage(&place, kind));
    let wrong: Vec<_> = keys
        .iter()
        .map(|key| place.server().objects()[key].clone())
        .collect();
    let checked = fsck(&place, &[], false);
    let damaged = checked["damaged"].as_array().expect("a list");
    assert_eq!(damaged.len(), kinds.len(), "{checked:#}");
    for key in &keys {
        let named = damaged
            .iter()
            .find(|damage| key.ends_with(damage["key"].as_str().expect("a key")));
        let fault = &named.unwrap_or_else(|| panic!("{key} is not named"))["faults"][0];
        assert_eq!(fault["fault"], "block");
        let middle = place.server().objects()[key].len() as u64 / 2;
        let range = fault["start"].as_u64().expect("start")..fault["end"].as_u64().expect("end");
        assert!(range.contains(&middle), "{fault} {middle}");
    }
    let repaired = fsck(&place, &["--repair"], true);
    for damage in repaired["damaged"].as_array().expect("a list") {
        assert!(
            damage["repaired"].as_str().expect("how").contains("cache"),
            "{damage:#}"
        );
    }
    for (key, wrong) in keys.iter().zip(wrong) {
        assert_eq!(place.server().objects()[key], wrong, "not overwritten");
    }
    fsck(&place, &[], true);
    place.cool();
    bare.fsck();
    assert_eq!(bare.oid("main"), work.oid("main"));
}

/// Without a copy: the indexes come from the pack, the rest is named object by object.
#[test]
fn lost_without_a_copy() {
    let place = place();
    let (bare, work) = repository(&place);
    place.cool();
    damage(&place, ".idx");
    damage(&place, ".rev");
    let repaired = fsck(&place, &["--repair"], true);
    assert_eq!(repaired["damaged"].as_array().expect("a list").len(), 2);
    place.cool();
    bare.fsck();

    let noise = work.oid("main:noise.bin");
    place.cool();
    damage(&place, ".pack");
    damage(&place, &loose_name(&work));
    let checked = fsck(&place, &["--repair"], false);
    let lost: Vec<_> = checked["damaged"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|damage| damage["lost_objects"].as_array().expect("a list").clone())
        .collect();
    let lost: Vec<_> = lost
        .iter()
        .map(|oid| oid.as_str().expect("an id"))
        .collect();
    assert!(lost.contains(&noise.as_str()), "{lost:?}");
    assert!(
        lost.contains(&work.oid("main:loose.txt").as_str()),
        "{lost:?}"
    );
    assert!(!lost.contains(&work.oid("main").as_str()), "{lost:?}");
    let output = bare.run("cat-file blob main:noise.bin", b"");
    assert!(!output.status.success(), "git was given something");
    let output = bare.run("cat-file blob main:loose.txt", b"");
    assert!(!output.status.success(), "git was given something");
    assert!(place.daemon().is_alive());
}

/// A file of Git LFS, and what a repository inside has.
#[test]
fn beside_the_objects_of_git() {
    let place = place();
    let (bare, work) = repository(&place);
    let large = lfs::give(&bare, &noise(100_000, 7));
    work.commit("pointer");
    work.ok("push --quiet origin main");
    let before = place.server().objects();
    let inner = place.bare("app.git/modules/lib");
    work.ok(format!("push --quiet {} main", inner.url()));
    let settings = place.daemon().settings().clone();
    wait::until("everything is published", Duration::from_secs(30), || {
        settings.status()["pending"]["files"] == 0
    });
    let large = large.file_name().expect("a name").to_string_lossy();
    let of_inner = |key: &&String| !before.contains_key(*key) && key.contains("/objects/");
    let objects = place.server().objects();
    let found = [
        objects.keys().find(|key| key.ends_with(&*large)),
        objects.keys().find(of_inner),
    ];
    fsck(&place, &[], true);
    place.cool();
    for key in found {
        let key = key.expect("stored");
        place.server().plant(key, flipped(&objects[key]));
        let checked = fsck(&place, &[], false);
        let damaged = checked["damaged"].as_array().expect("a list");
        let [damage] = &damaged[..] else {
            panic!("{checked:#}");
        };
        let named = damage["key"].as_str().expect("a key");
        assert!(key.ends_with(named), "{key}: {checked:#}");
        place.server().plant(key, objects[key].clone());
    }
    fsck(&place, &[], true);
}

#[test]
fn missing_and_short_objects() {
    let place = place();
    let (bare, work) = repository(&place);
    bare.fsck();
    let objects = place.server().objects();
    let named = bare.names("objects/pack");
    let pack = named.iter().find(|name| name.ends_with(".pack"));
    let pack = pack.expect("a pack");
    let pack = objects.keys().find(|key| key.ends_with(pack));
    let pack = pack.expect("stored");
    place
        .server()
        .plant(pack, objects[pack].slice(..objects[pack].len() - 7));
    let loose = loose_name(&work);
    let loose = objects
        .keys()
        .find(|key| key.ends_with(&loose))
        .expect("a loose object");
    place.server().lose(loose);
    let checked = fsck(&place, &[], false);
    let text = checked.to_string();
    assert!(
        text.contains("\"size\"") && text.contains("\"missing\""),
        "{checked:#}"
    );
    fsck(&place, &["--repair"], true);
    place.cool();
    bare.fsck();
}

/// A loose object that a pack holds too needs no repair of its bytes.
#[test]
fn a_loose_object_that_is_packed_too() {
    let place = place();
    let (bare, work) = repository(&place);
    bare.ok("repack --quiet -a");
    let settings = place.daemon().settings().clone();
    wait::until("everything is published", Duration::from_secs(30), || {
        settings.status()["pending"]["files"] == 0
    });
    place.cool();
    damage(&place, &loose_name(&work));
    let checked = fsck(&place, &["--repair"], true);
    assert!(
        checked["damaged"][0]["repaired"]
            .as_str()
            .expect("how")
            .contains("pack")
    );
    place.cool();
    bare.fsck();
}

#[test]
fn damaged_copies_in_the_cache_are_dropped() {
    let place = place();
    let (bare, _) = repository(&place);
    bare.fsck();
    let data = place.daemon().settings().data.clone();
    place.daemon().umount();
    let cached = files::below(&data.join("cache"));
    for path in cached
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "data"))
    {
        let size = fs::metadata(path).expect("stat").len();
        if size > 0 {
            files::flip(path, size / 2);
        }
    }
    place.daemon().launch();
    let checked = fsck(&place, &["--deep"], true);
    let dropped = checked["dropped_copies"].as_array().expect("a list");
    assert!(!dropped.is_empty(), "{checked:#}");
    assert_eq!(
        fsck(&place, &["--deep"], true)["dropped_copies"],
        Value::Array(vec![])
    );
    bare.fsck();
}
