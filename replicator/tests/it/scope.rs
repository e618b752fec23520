//! What a client may see: patterns of paths.

use crate::support::name;
use gitmoor_model::{RepoPattern, Scope};

fn scope(patterns: &[&str]) -> Scope {
    let repos = patterns.iter().map(|it| it.parse().expect("a pattern"));
    Scope {
        repos: repos.collect(),
        read_only: false,
    }
}

#[test]
fn what_a_pattern_names() {
    let cases: [(&str, &[&str], &[&str]); 7] = [
        (
            "team/*.git",
            &["team/a.git", "team"],
            &[
                "a.git",
                "team/x/a.git",
                "team/x",
                "teams",
                "teams/a.git",
                "d",
            ],
        ),
        (
            "team/**",
            &["team/a.git", "team/x/y/a.git", "team", "team/x", "team/x/y"],
            &["a.git", "d", "d/team/a.git"],
        ),
        ("**", &["a.git", "d", "d/e", "d/a.git"], &[]),
        ("*.git", &["a.git"], &["d", "d/a.git"]),
        (
            "**/app.git",
            &["app.git", "d/app.git", "d", "d/e"],
            &["a.git", "d/a.git"],
        ),
        (
            "*/a?.git",
            &["d/ab.git", "d"],
            &["d/a.git", "ab.git", "d/e", "d/abc.git"],
        ),
        ("d/[ab].git", &["d/a.git", "d"], &["d/c.git", "d/ab.git"]),
    ];
    for (pattern, seen, hidden) in cases {
        let sight = scope(&[pattern]).sight();
        let has = |path: &&str| sight.has(&name(path));
        assert!(seen.iter().all(&has), "{pattern}: {seen:?}");
        assert!(!hidden.iter().any(has), "{pattern}: {hidden:?}");
        assert!(sight.has(&name("")), "the top is everybody's");
    }
}

#[test]
fn several_patterns_and_none() {
    let two = scope(&["a.git", "team/*.git"]).sight();
    assert!(two.has(&name("a.git")) && two.has(&name("team/b.git")));
    assert!(!two.has(&name("b.git")) && !two.is_of_all());
    let all = Scope::default().sight();
    assert!(all.is_of_all() && all.has(&name("d/b.git")));
}

#[test]
fn what_is_no_pattern() {
    for wrong in [
        "",
        "/",
        "/a.git",
        "a/",
        "a//b.git",
        "a**",
        "**a/b.git",
        "{a,b}.git",
        "[a",
        "a[/]b",
        "a\\*",
        "a\n.git",
    ] {
        let error = wrong.parse::<RepoPattern>().expect_err("no pattern");
        assert!(error.to_string().contains("team/*.git"), "{wrong}: {error}");
    }
    assert!("a".repeat(2000).parse::<RepoPattern>().is_err());
    // Nor from elsewhere.
    let bytes = postcard::to_stdvec("a//b").expect("encodes");
    assert!(postcard::from_bytes::<RepoPattern>(&bytes).is_err());
}
