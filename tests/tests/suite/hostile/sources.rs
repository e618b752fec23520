//! What a user has brought in from a repository of that user's: nothing in the source is run, nothing is read that the user
//! could not read, nothing is waited for, and nothing is made with root's rights.

use super::programs::{BOUND, REMOTES, Trap, old, path};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::hostile::{Ground, INTRUDER};
use gitmoor_tests::process::report;
use gitmoor_tests::wait;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

const MISSING: &str = "1111111111111111111111111111111111111111";

#[test]
fn the_configuration_of_what_is_imported_runs_nothing() {
    let ground = Ground::new(Kind::Dir, "");
    let trap = Trap::set(&ground);
    for (number, remote) in REMOTES.iter().enumerate() {
        let (name, new) = (format!("old{number}.git"), format!("new{number}.git"));
        old(&ground, &name);
        let at = ground.home.join(&name);
        trap.arm(&at, remote);
        let source = path(&ground, &name);
        // An object that a partial clone would fetch.
        fs::write(at.join("refs/heads/missing"), format!("{MISSING}\n")).expect("write");
        for options in [&["import"] as &[&str], &["import", "--live"]] {
            let output = ground.gitmoor(&[options, &[&source, &new]].concat());
            assert_eq!(output.status.code(), Some(1), "{}", report(&output));
            trap.is_shut(&format!("{options:?} of what lacks an object"));
            ground.gitmoor(&["import", "--abandon", &new]);
        }
        fs::remove_file(at.join("refs/heads/missing")).expect("rm");
        let output = ground.gitmoor(&["import", "--verify=full", &source, &new]);
        assert!(output.status.success(), "{}", report(&output));
        trap.is_shut("an import");
        let url = format!("file://{source}");
        let output = ground.gitmoor(&["import", &url, &format!("url{number}.git")]);
        assert!(output.status.success(), "{}", report(&output));
        trap.is_shut("an import of a URL");
    }
    ground.unharmed();
}

#[test]
fn the_configuration_of_what_a_mount_takes_over_runs_nothing() {
    let ground = Ground::new(Kind::Dir, "");
    let trap = Trap::set(&ground);
    ground.sh_ok("mkdir ~/tree");
    for name in ["tree/lacks.git", "tree/whole.git"] {
        old(&ground, name);
        trap.arm(&ground.home.join(name), REMOTES[0]);
        // A hook elsewhere is in the way of the fence, and of nothing else.
        ground.sh_ok(&format!(
            "cd ~/{name} && git config --unset core.hooksPath && rm -r hooks"
        ));
    }
    let missing = ground.home.join("tree/lacks.git/refs/heads/missing");
    fs::write(missing, format!("{MISSING}\n")).expect("write");
    let tree = path(&ground, "tree");
    ground.place.daemon().set("GITMOOR_FALLBACK", &tree);
    ground.place.crash();
    wait::until("the tree is taken over", BOUND, || {
        let listed = ground.gitmoor(&["repo", "list"]);
        String::from_utf8_lossy(&listed.stdout).contains("whole.git")
    });
    wait::until("the import has ended", BOUND, || {
        let status = ground.gitmoor(&["import", "--status", "--json"]);
        let status = String::from_utf8_lossy(&status.stdout).into_owned();
        status.contains("done") && !status.contains("pending") && !status.contains("ying\"")
    });
    trap.is_shut("a mount with --fallback");
    ground.unharmed();
}

/// Nothing is waited for that is not a file.
#[test]
fn a_fifo_in_what_is_imported_is_an_error() {
    let ground = Ground::new(Kind::Dir, "");
    for (number, place) in [
        "config",
        "HEAD",
        "packed-refs",
        "shallow",
        "objects/info/alternates",
        "refs/heads/fifo",
        "hooks/reference-transaction",
    ]
    .iter()
    .enumerate()
    {
        let (name, new) = (format!("old{number}.git"), format!("new{number}.git"));
        old(&ground, &name);
        ground.sh_ok(&format!(
            "cd ~/{name} && mkdir -p hooks && rm -f {place} && mkfifo {place}"
        ));
        let source = path(&ground, &name);
        for words in [&["import"] as &[&str], &["import", "--live"]] {
            let output = ground.gitmoor(&[words, &[&source, &new]].concat());
            let is_read = words.len() == 2 || !place.starts_with("hooks");
            assert_eq!(
                output.status.success(),
                !is_read,
                "{place}: {}",
                report(&output)
            );
            if is_read {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(said.contains(&source) || said.contains(place), "{said}");
                ground.gitmoor(&["import", "--abandon", &new]);
            } else {
                ground.gitmoor(&["repo", "delete", "--yes", &new]);
            }
        }
    }
    for (name, make) in [
        ("tree/.git", "mkdir tree && mkfifo tree/.git"),
        (
            "linked/commondir",
            "git init -q linked && mkfifo linked/.git/commondir",
        ),
        ("a.bundle", "mkfifo a.bundle"),
    ] {
        ground.sh_ok(&format!("cd && {make}"));
        let top = name.split('/').next().expect("a name");
        let output = ground.gitmoor(&["import", &path(&ground, top), "new.git"]);
        // Of what is not read, nothing is wanted.
        let succeeds = name.ends_with("commondir");
        assert_eq!(
            output.status.success(),
            succeeds,
            "{name}: {}",
            report(&output)
        );
        ground.gitmoor(&["import", "--abandon", "new.git"]);
    }
    ground.unharmed();
}

/// A repository of root's that nobody else may read, and what it holds.
fn secret(ground: &Ground) -> (String, String) {
    let dir = ground.place.scratch("secret.git");
    let root = ground.place.git.at("/");
    root.ok(format!("init -q --bare {}", dir.display()));
    let secret = ground.place.git.at(&dir);
    let tree = secret.feed("mktree", "");
    let commit = secret.ok(format!("commit-tree -m secret {tree}"));
    secret.ok(format!("update-ref HEAD {commit}"));
    secret.ok("repack -q -a -d");
    fs::set_permissions(&dir, Permissions::from_mode(0o700)).expect("chmod");
    fs::set_permissions(&ground.place.scratch, Permissions::from_mode(0o755)).expect("chmod");
    (dir.to_str().expect("UTF-8").to_owned(), commit)
}

/// Root can read everything; who has a repository brought in gets what that user can read.
#[test]
fn what_the_owner_cannot_read_is_not_imported() {
    let ground = Ground::new(Kind::Dir, "");
    let (secret, commit) = secret(&ground);
    let name_it = format!("echo {commit} >refs/heads/stolen");
    for (number, steal) in [
        format!("echo {secret}/objects >objects/info/alternates; {name_it}"),
        format!("rm -r objects; ln -s {secret}/objects objects; {name_it}"),
        format!("rm -r objects/pack; ln -s {secret}/objects/pack objects/pack; {name_it}"),
        format!("rm -r refs; ln -s {secret}/refs refs"),
        format!("rm HEAD; ln -s {secret}/HEAD HEAD"),
        format!("ln -s {secret}/packed-refs packed-refs"),
        format!("echo {secret} >commondir"),
        format!("cd .. && rm -r $OLDPWD && ln -s {secret} $OLDPWD"),
        format!("cd .. && rm -r $OLDPWD && mkdir $OLDPWD && echo 'gitdir: {secret}' >$OLDPWD/.git"),
    ]
    .iter()
    .enumerate()
    {
        let (name, new) = (format!("old{number}.git"), format!("new{number}.git"));
        old(&ground, &name);
        ground.sh_ok(&format!("cd ~/{name} && {steal}"));
        for words in [&["import"] as &[&str], &["import", "--live"]] {
            let output = ground.gitmoor(&[words, &[&path(&ground, &name), &new]].concat());
            assert!(!output.status.success(), "{steal}: {}", report(&output));
            ground.gitmoor(&["import", "--abandon", &new]);
        }
    }
    ground.unharmed();
}

/// The fence and what is lent lie in the source, where its owner may have put links.
#[test]
fn what_is_made_in_a_source_is_its_owners() {
    let ground = Ground::new(Kind::Dir, "");
    for (number, trap) in [
        "rm -rf hooks; ln -s $CANARIES/dir hooks",
        "mkdir -p hooks; ln -s $CANARIES/list hooks/reference-transaction.gitmoor",
        "mkdir -p hooks; ln -s $CANARIES/secret hooks/reference-transaction",
        "ln -s $CANARIES/dir gitmoor-lent",
        "mkdir gitmoor-lent; ln -s $CANARIES/dir gitmoor-lent/objects",
    ]
    .iter()
    .enumerate()
    {
        let (name, new) = (format!("old{number}.git"), format!("new{number}.git"));
        old(&ground, &name);
        ground.sh_ok(&format!("cd ~/{name} && {trap}"));
        // Whether it succeeds is not asked: a link in the way may be removed.
        ground.gitmoor(&["import", "--live", &path(&ground, &name), &new]);
        ground.canaries.untouched();
    }
    old(&ground, "plain.git");
    let source = path(&ground, "plain.git");
    let output = ground.gitmoor(&["import", "--live", &source, "plain.git"]);
    assert!(output.status.success(), "{}", report(&output));
    let hook = ground.home.join("plain.git/hooks/reference-transaction");
    assert_eq!(fs::metadata(hook).expect("the fence").uid(), INTRUDER);
    ground.unharmed();
}
