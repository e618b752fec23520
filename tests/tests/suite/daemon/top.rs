//! `gitmoor top` of a daemon that works.

use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Installed;
use gitmoor_tests::place::Place;
use serde_json::Value;

fn top(place: &Place, args: &[&str]) -> String {
    let settings = place.daemon().settings().clone();
    settings.gitmoor_ok(&[&["top"], args].concat())
}

#[test]
fn one_frame() {
    let place = Place::new(Kind::S3s, &Installed::newest());
    place.pushed("team/app.git", 2);
    let text = top(&place, &["--json", "--interval", "100ms"]);
    let frame: Value = serde_json::from_str(&text).expect("JSON");
    assert!(
        frame["seconds"].as_f64().is_some_and(|it| it >= 0.1),
        "{frame:#}"
    );
    let names: Vec<_> = frame["repositories"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["name"].clone())
        .collect();
    assert_eq!(names, ["team/app.git"]);
    assert_eq!(frame["replicator"]["role"], "leader");
    let kinds: Vec<_> = frame["store"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["kind"].clone())
        .collect();
    assert!(kinds.contains(&"put".into()), "{kinds:?}");
    let said = top(&place, &["--once", "--interval", "100ms"]);
    for words in ["operations/s", "team/app.git: ", "cache", "proposals/s"] {
        assert!(said.contains(words), "{words:?} in {said}");
    }
}

/// What happens between the two looks is what is shown.
#[test]
fn work_shows() {
    let place = Place::new(Kind::S3s, &Installed::newest());
    let bare = place.bare("app.git");
    let settings = place.daemon().settings().clone();
    let watching =
        std::thread::spawn(move || settings.gitmoor_ok(&["top", "--json", "--interval", "3s"]));
    // Until it ends, so that some of it is between the looks, whenever these are.
    let mut written = 0;
    while !watching.is_finished() {
        bare.feed("hash-object -w --stdin", format!("{written}\n"));
        written += 1;
    }
    let text = watching.join().expect("it prints");
    let frame: Value = serde_json::from_str(&text).expect("JSON");
    let rate = |value: &Value| value.as_f64().expect("a number");
    assert!(
        rate(&frame["repositories"][0]["operations"]) > 0.0,
        "{frame:#}"
    );
    assert!(rate(&frame["fuse"]["operations"]) > 0.0, "{frame:#}");
    assert!(rate(&frame["fuse"]["mean_seconds"]) > 0.0, "{frame:#}");
}

/// A pipe is no place to draw on.
#[test]
fn without_a_terminal() {
    let place = Place::new(Kind::Dir, &Installed::newest());
    let settings = place.daemon().settings().clone();
    let output = settings.gitmoor(&["top"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--once"), "{said}");
}
