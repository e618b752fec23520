//! Out of a real PostgreSQL.

use super::{import, listed, mixed, refused, same, settings, status};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::git::Installed;
use gitmoor_tests::history::History;
use gitmoor_tests::place::Place;
use gitmoor_tests::postgres::{ADDRESSES, Server};
use gitmoor_tests::wait;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

fn place() -> Place {
    Place::new(Kind::Dir, &Installed::newest())
}

#[test]
fn comes_in_as_it_is() {
    let (place, server) = (place(), Server::start());
    let source = mixed(&place, "source", "--bare");
    let other = place.work("other");
    other.import(&History::seeded(7).commits("main", 3).stream());
    source.ok(format!(
        "update-ref refs/blobs/empty {}",
        source.feed("hash-object -w --stdin", "")
    ));
    server.make_tables();
    server.fill(42, &source);
    server.fill(43, &other);
    let url = server.url();
    import(&place, &["--verify=full", &url, "--repo=42", "app.git"]);
    let bare = same(&place, &source, "app.git");
    assert_eq!(bare.object_count(), source.object_count());
    assert_eq!(
        import(&place, &[&url, "--repo=42", "app.git"])["already"],
        true
    );
    let known = status(&place)[0]["source"].to_string();
    assert!(
        known.contains("42 of repo_objects") && !known.contains("no-secret"),
        "{known}"
    );
}

/// Other names, ids in hex, types by number, repositories by text.
#[test]
fn from_other_tables() {
    let (place, server) = (place(), Server::start());
    let source = mixed(&place, "source", "--bare");
    server.make_tables();
    server.fill(1, &source);
    server.run(
        "CREATE SCHEMA old; \
         CREATE TABLE old.things AS SELECT 'the \"app\"'::varchar AS whose, upper(encode(oid, 'hex')) AS \"name of it\", \
             CASE type WHEN 'commit' THEN 1 WHEN 'tree' THEN 2 WHEN 'blob' THEN 3 ELSE 4 END::smallint AS kind, data AS bytes \
             FROM repo_objects; \
         CREATE TABLE old.names AS SELECT 'the \"app\"'::text AS whose, name, target FROM repo_refs WHERE name <> 'HEAD'; \
         DROP TABLE repo_objects, repo_refs",
    );
    let args = [
        &server.url(),
        "--repo=the \"app\"",
        "--table=old.things",
        "--columns=whose,name of it,kind,bytes",
        "--refs-table=old.names",
        "--refs-columns=whose,name,target",
        "app.git",
    ];
    import(&place, &args);
    same(&place, &source, "app.git");
}

/// What is wrong is named, and nothing is seen; mended, the same command goes on.
#[test]
fn what_is_wrong_is_named() {
    let (place, server) = (place(), Server::start());
    let source = mixed(&place, "source", "--bare");
    let url = server.url();
    let says = |words: &[&str]| {
        let said = refused(&place, &[&url, "--repo=1", "app.git"]);
        assert!(
            words.iter().all(|word| said.contains(word)),
            "{words:?} in {said}"
        );
        assert!(!said.contains("no-secret"), "{said}");
        assert_eq!(listed(&place), [""; 0]);
    };
    says(&["there is no table repo_objects"]);
    server.make_tables();
    server.fill(1, &source);
    for (damage, mend, words) in [
        (
            "ALTER TABLE repo_objects RENAME data TO content",
            "ALTER TABLE repo_objects RENAME content TO data",
            "no column data; it has content, oid, repo_id, type",
        ),
        (
            "ALTER TABLE repo_objects ALTER data TYPE text USING encode(data, 'hex')",
            "ALTER TABLE repo_objects ALTER data TYPE bytea USING decode(data, 'hex')",
            "column data of table repo_objects is of type text, expected bytea",
        ),
        (
            "ALTER TABLE repo_refs RENAME TO refs",
            "ALTER TABLE refs RENAME TO repo_refs",
            "there is no table repo_refs",
        ),
        (
            "UPDATE repo_refs SET target = 'rubbish' WHERE name = 'refs/heads/main'",
            "UPDATE repo_refs SET target = (SELECT target FROM repo_refs WHERE name = 'refs/heads/r1') WHERE name = 'refs/heads/main'",
            "rubbish",
        ),
    ] {
        server.run(damage);
        says(&[words]);
        server.run(mend);
    }
    let id = source.oid("main");
    let decode = format!("oid = decode('{id}', 'hex')");
    server.run(&format!(
        "CREATE TABLE kept AS SELECT * FROM repo_objects WHERE {decode}"
    ));
    let mend = format!(
        "UPDATE repo_objects SET data = kept.data, type = kept.type FROM kept WHERE repo_objects.{decode}"
    );
    for (change, words) in [
        ("data = data || 'x'::bytea", "its content is"),
        ("data = ''", "0 bytes"),
        ("type = 'blob'", "its content is"),
        ("type = 'thing'", "\"thing\""),
    ] {
        // What is in a pack already is not read again: all of it anew.
        settings(&place).gitmoor(&["import", "--abandon", "app.git"]);
        server.run(&format!("UPDATE repo_objects SET {change} WHERE {decode}"));
        says(&[&id, words]);
        server.run(&mend);
    }
    server.run(&format!("DELETE FROM repo_objects WHERE {decode}"));
    settings(&place).gitmoor(&["import", "--abandon", "app.git"]);
    says(&[&id]);
    server.run("INSERT INTO repo_objects SELECT * FROM kept");
    import(&place, &[&url, "--repo=1", "app.git"]);
    same(&place, &source, "app.git");
}

/// The daemon dies while it reads: what it has is not read again.
#[test]
fn goes_on_where_it_was() {
    let (place, server) = (place(), Server::start());
    let source = place.work("source");
    source.import(&History::default().files("main", 30_000, 200, 100).stream());
    server.make_tables();
    server.fill(1, &source);
    let url = server.url();
    let args = ["import", &url, "--repo=1", "app.git"];
    let mut command = settings(&place).command(&args);
    let mut command = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("gitmoor");
    let imports = settings(&place).data.join("imports");
    let packs = || {
        let all = gitmoor_tests::files::below(&imports);
        all.into_iter()
            .filter(|at| at.extension().is_some_and(|ext| ext == "idx"))
            .count()
    };
    wait::until("a pack is there", Duration::from_secs(60), || packs() > 0);
    place.crash();
    command.wait().expect("ends");
    // Of what is in that pack, the content need not be there any more.
    let is_index = |at: &&PathBuf| at.extension().is_some_and(|ext| ext == "idx");
    let files = gitmoor_tests::files::below(&imports);
    let first = files.iter().find(is_index).expect("it is there");
    let fetched = first
        .ancestors()
        .nth(3)
        .expect("objects/pack in a repository");
    let fetched = place.git.at(fetched);
    let shown = fetched.feed("show-index", fs::read(first).expect("reads"));
    let ids = shown.lines().filter_map(|line| line.split(' ').nth(1));
    let ids: Vec<_> = ids.map(|id| format!("decode('{id}', 'hex')")).collect();
    assert!(ids.len() >= 20_000, "{}", ids.len());
    let ids = ids.join(",");
    server.run(&format!(
        "UPDATE repo_objects SET data = '' WHERE oid IN ({ids})"
    ));
    import(&place, &[&url, "--repo=1", "app.git"]);
    same(&place, &source, "app.git");
}

/// Nobody can stand between: without TLS the server refuses, and without its certificate Gitmoor does.
#[test]
fn over_tls() {
    let (place, server) = (place(), Server::start_with_tls());
    let source = mixed(&place, "source", "--bare");
    server.make_tables();
    server.fill(1, &source);
    let [named, unnamed] = ADDRESSES.map(|number| server.tcp_url(number));
    let pem = server.certificate();
    let root = format!("sslrootcert={}", pem.display()).replace('/', "%2F");
    let rubbish = place.scratch("rubbish.pem");
    fs::write(&rubbish, "rubbish").expect("writes");
    for (number, (url, words)) in [
        (named.clone(), "no encryption"),
        (format!("{named}?sslmode=disable&{root}"), "no encryption"),
        (format!("{named}?sslmode=require"), "UnknownIssuer"),
        (
            format!("{unnamed}?sslmode=require&{root}"),
            "not valid for name",
        ),
        (
            format!("{named}?sslmode=require&sslrootcert={}", rubbish.display()),
            "rubbish.pem: there is no certificate in it",
        ),
        (
            format!("{named}?sslmode=require&sslrootcert=/not/there.pem"),
            "/not/there.pem",
        ),
        (format!("{named}?sslmode=maybe"), "sslmode"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("refused-{number}.git");
        let said = refused(&place, &[&url, "--repo=1", &name]);
        assert!(said.contains(words), "{words:?} in {said}");
        assert!(!said.contains("no-secret"), "{said}");
        assert_eq!(listed(&place), [""; 0]);
    }
    for (mode, name) in [("require", "a.git"), ("verify-full", "b.git")] {
        let url = format!("{named}?sslmode={mode}&{root}");
        import(&place, &[&url, "--repo=1", name]);
        same(&place, &source, name);
    }
}
