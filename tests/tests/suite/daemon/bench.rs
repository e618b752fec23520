//! `gitmoor bench`: what a user learns of a mount and its store, and that nothing is left of it.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::{Installed, names};
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use serde_json::Value;
use std::fs;
use std::process::Output;

fn bench(place: &Place, args: &[&str]) -> Output {
    let settings = place.daemon().settings().clone();
    settings.gitmoor(&[&["bench", "--rounds", "2"], args].concat())
}

fn left(place: &Place) -> Vec<String> {
    let data = place.daemon().settings().data.clone();
    let mut left = [names(&place.root), names(&data)].concat();
    left.retain(|name| name.starts_with("gitmoor-bench"));
    left
}

#[test]
fn every_command_is_compared_and_nothing_is_left() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let output = bench(&place, &["--json"]);
    assert!(output.status.success(), "{}", report(&output));
    let measured: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let commands = measured["commands"].as_array().expect("a list");
    let named = |it: &Value| it["command"].as_str().expect("text").to_owned();
    assert_eq!(
        commands.iter().map(named).collect::<Vec<_>>(),
        [
            "clone --mirror into it",
            "rev-parse HEAD",
            "cat-file -p HEAD",
            "log -1",
            "for-each-ref",
            "push of one commit",
            "update-ref",
            "clone --bare from it",
        ]
    );
    for it in commands {
        assert!(it["ratio"].as_f64().expect("a number") > 0.0, "{it}");
    }
    let times = &measured["store"]["times"];
    for kind in ["small_put", "small_get", "large_put", "large_get"] {
        assert!(times[kind].as_u64() > Some(0), "{kind}: {measured}");
    }
    assert_eq!(left(&place), [""; 0]);
    let store = place.daemon().settings().store.clone();
    let store = store.strip_prefix("dir:").expect("a directory");
    let probes = fs::read_dir(format!("{store}/gitmoor-probe"));
    assert_eq!(
        probes.map_or(0, Iterator::count),
        0,
        "objects of the measurement"
    );
    let text = bench(&place, &[place.root.to_str().expect("text")]);
    assert!(text.status.success(), "{}", report(&text));
    let text = String::from_utf8(text.stdout).expect("text");
    assert!(
        text.contains("push of one commit") && text.contains("4 MiB put"),
        "{text}"
    );
}

/// A run that was ended in its midst leaves a repository, and the next one removes it.
#[test]
fn what_another_run_left_is_removed() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let host: String = host.trim().chars().map(plain).collect();
    // No process has such a number.
    let over = format!("gitmoor-bench-{host}-4194305.git");
    let running = format!("gitmoor-bench-{host}-{}.git", std::process::id());
    place.bare(&over);
    place.bare(&running);
    let output = bench(&place, &[]);
    assert!(output.status.success(), "{}", report(&output));
    assert_eq!(left(&place), [running]);
}

/// git takes a repository of somebody else's for a dubious one, on both sides of a push.
#[test]
fn a_mount_that_shows_all_as_another_user_s() {
    let place = Place::set(Kind::Dir, "uid = 65534\n");
    let output = bench(&place, &["--json"]);
    assert!(output.status.success(), "{}", report(&output));
    assert_eq!(left(&place), [""; 0]);
}

#[test]
fn what_cannot_be_measured_is_said() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let elsewhere = bench(&place, &["/"]);
    assert_eq!(elsewhere.status.code(), Some(2), "{}", report(&elsewhere));
    let nowhere = bench(&place, &["--disk", "/nowhere"]);
    assert_eq!(nowhere.status.code(), Some(1), "{}", report(&nowhere));
    let said = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(
        said.contains("/nowhere") && said.contains("--disk"),
        "{said}"
    );
    assert_eq!(left(&place), [""; 0]);
}
