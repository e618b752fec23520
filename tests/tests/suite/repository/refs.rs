//! The files backend of refs: loose entries over a packed table, changed through
//! lock files, exactly as git finds them on a disk.

use crate::{everywhere, local, mounted};
use gitmoor_tests::git::Repo;
use gitmoor_tests::history;
use gitmoor_tests::place::Place;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

everywhere!(transaction_of_a_thousand, packed_and_loose_together);
local!(
    old_values_are_checked,
    transactions_in_stages,
    symbolic_refs,
    links_are_listed_as_links,
    detached_head,
    packing,
    directory_file_conflicts,
    direct_writes,
    large_packed_refs_of_other_programs,
    direct_removal,
    garbage_is_not_a_ref,
    empty_directories_go,
    empty_directories_by_hand,
    a_lock_excludes,
    an_abandoned_lock_changes_nothing,
    reflogs,
    renamed_branch,
    names_of_invalid_utf8,
    long_and_odd_names,
    pseudo_refs,
    listing_many,
    status_of_files_is_consistent,
);
mounted!(hidden_lock_files);

fn links_are_listed_as_links(place: &Place) {
    let bare = repository(place);
    symlink("main", bare.dir.join("refs/heads/alias")).expect("symlink");
    let links = || {
        let entries = fs::read_dir(bare.dir.join("refs/heads")).expect("read_dir");
        let entries = entries.map(|entry| entry.expect("an entry"));
        let links = entries.filter(|entry| entry.file_type().expect("a type").is_symlink());
        links.map(|link| link.file_name()).collect::<Vec<_>>()
    };
    assert_eq!(links(), ["alias"]);
    place.restart();
    assert_eq!(links(), ["alias"]);
}

fn repository(place: &Place) -> Repo {
    let bare = place.bare("app.git");
    bare.import(&history::commits(4));
    bare
}

fn count(bare: &Repo) -> usize {
    bare.refs().lines().count()
}

fn transaction_of_a_thousand(place: &Place) {
    let bare = repository(place);
    let (new, old) = (bare.oid("main"), bare.oid("main~1"));
    let each = |line: &dyn Fn(usize) -> String| (0..1000).map(line).collect::<String>();
    let create = each(&|n| format!("create refs/heads/t/{n} {old}\n"));
    bare.feed("update-ref --stdin", &create);
    assert_eq!(count(&bare), 1001);
    place.restart();
    assert_eq!(count(&bare), 1001);

    let update = each(&|n| format!("update refs/heads/t/{n} {new} {old}\n"));
    let wrong = format!("{update}update refs/heads/main {old} {old}\n");
    bare.refuse("update-ref --stdin", wrong);
    assert_eq!(
        bare.oid("refs/heads/t/0"),
        old,
        "nothing of a failed transaction"
    );
    bare.feed("update-ref --stdin", &update);
    assert_eq!(bare.oid("refs/heads/t/0"), new);
    assert_eq!(bare.oid("refs/heads/t/999"), new);

    bare.refuse("update-ref --stdin", create);
    let delete = each(&|n| format!("delete refs/heads/t/{n} {new}\n"));
    bare.feed("update-ref --stdin", delete);
    assert_eq!(count(&bare), 1);
}

fn packed_and_loose_together(place: &Place) {
    let bare = repository(place);
    bare.ok("update-ref refs/heads/packed main");
    bare.ok("update-ref refs/heads/shadowed main");
    bare.ok("pack-refs --all");
    bare.ok("update-ref refs/heads/shadowed main~1");
    bare.ok("update-ref refs/heads/loose main~2");
    assert_eq!(bare.names("refs/heads"), ["loose", "shadowed"]);
    assert_eq!(bare.oid("shadowed"), bare.oid("main~1"));
    place.restart();
    assert_eq!(count(&bare), 4);
    assert_eq!(bare.oid("shadowed"), bare.oid("main~1"));

    // Deleting must also remove the packed value under the loose one.
    bare.ok("update-ref -d refs/heads/shadowed");
    bare.ok("update-ref -d refs/heads/packed");
    bare.fail("rev-parse --verify refs/heads/shadowed");
    assert!(!bare.read("packed-refs").contains("refs/heads/packed"));
    bare.ok("pack-refs --all --prune");
    place.crash();
    assert_eq!(count(&bare), 2);
    assert_eq!(bare.oid("loose"), bare.oid("main~2"));
}

fn old_values_are_checked(place: &Place) {
    let bare = repository(place);
    let (new, old) = (bare.oid("main"), bare.oid("main~1"));
    let zero = "0".repeat(40);
    bare.fail(format!("update-ref refs/heads/main {old} {old}"));
    bare.fail(format!("update-ref refs/heads/main {old} {zero}"));
    bare.fail(format!("update-ref refs/heads/none {old} {new}"));
    bare.fail(format!("update-ref -d refs/heads/main {old}"));
    assert_eq!(bare.oid("main"), new);
    bare.ok(format!("update-ref refs/heads/main {old} {new}"));
    bare.ok(format!("update-ref refs/heads/fresh {old} {zero}"));
    bare.feed(
        "update-ref --stdin",
        format!("verify refs/heads/main {old}\ncreate refs/heads/x {new}\n"),
    );
    bare.refuse(
        "update-ref --stdin",
        format!("verify refs/heads/main {new}\ncreate refs/heads/y {new}\n"),
    );
    assert_eq!(bare.names("refs/heads"), ["fresh", "main", "x"]);
    // An object that does not exist.
    bare.fail(format!("update-ref refs/heads/dangling {}", "1".repeat(40)));
}

fn transactions_in_stages(place: &Place) {
    let bare = repository(place);
    let oid = bare.oid("main");
    let aborted = format!("start\ncreate refs/heads/a {oid}\nprepare\nabort\n");
    bare.feed("update-ref --stdin", aborted);
    assert_eq!(bare.names("refs/heads"), ["main"]);
    let two = format!(
        "start\ncreate refs/heads/a {oid}\nprepare\ncommit\nstart\ndelete refs/heads/a {oid}\ncreate refs/heads/b {oid}\ncommit\n"
    );
    bare.feed("update-ref --stdin", two);
    assert_eq!(bare.names("refs/heads"), ["b", "main"]);
}

fn symbolic_refs(place: &Place) {
    let bare = repository(place);
    bare.ok("symbolic-ref refs/heads/alias refs/heads/main");
    bare.ok("symbolic-ref refs/remotes/origin/HEAD refs/heads/alias");
    assert_eq!(bare.oid("refs/remotes/origin/HEAD"), bare.oid("main"));
    bare.ok("update-ref refs/heads/alias main~1");
    assert_eq!(bare.oid("main"), bare.oid("alias"), "written through");
    bare.ok("pack-refs --all");
    place.restart();
    assert_eq!(bare.ok("symbolic-ref refs/heads/alias"), "refs/heads/main");
    assert_eq!(bare.read("refs/heads/alias"), "ref: refs/heads/main\n");
    bare.ok("symbolic-ref HEAD refs/heads/unborn");
    bare.fail("rev-parse --verify HEAD");
    bare.ok("symbolic-ref -d refs/heads/alias");
    bare.fail("symbolic-ref refs/heads/alias");
    bare.ok("symbolic-ref HEAD refs/heads/main");
    assert_eq!(bare.oid("HEAD"), bare.oid("main"));
}

fn detached_head(place: &Place) {
    let bare = repository(place);
    let oid = bare.oid("main~2");
    bare.ok(format!("update-ref --no-deref HEAD {oid}"));
    assert_eq!(bare.read("HEAD"), format!("{oid}\n"));
    assert_ne!(bare.oid("main"), oid);
    place.restart();
    assert_eq!(bare.oid("HEAD"), oid);
    bare.fail("symbolic-ref HEAD");
    bare.ok("symbolic-ref HEAD refs/heads/main");
    assert_eq!(bare.oid("HEAD"), bare.oid("main"));
}

fn packing(place: &Place) {
    let bare = repository(place);
    bare.ok("tag -a -m one v1 main");
    bare.ok("update-ref refs/heads/deep/er/topic main");
    bare.ok("pack-refs");
    assert_eq!(bare.names("refs/tags"), [] as [&str; 0]);
    let before = bare.refs();
    bare.ok("pack-refs --all");
    assert_eq!(bare.names("refs/heads"), [] as [&str; 0]);
    assert_eq!(bare.refs(), before);
    let table = bare.read("packed-refs");
    assert!(
        table.starts_with("# pack-refs with: peeled fully-peeled sorted"),
        "{table}"
    );
    assert!(
        table.contains(&format!("\n^{}\n", bare.oid("v1^{}"))),
        "{table}"
    );

    bare.ok("update-ref refs/heads/main main~1");
    bare.ok("pack-refs --all --no-prune");
    assert_eq!(bare.names("refs/heads"), ["main"]);
    assert_ne!(bare.read("packed-refs"), table);
    // Rewriting a table that is already right.
    bare.ok("pack-refs --all");
    bare.ok("pack-refs --all");
    place.restart();
    assert_eq!(bare.oid("main"), bare.oid("v1~1"));
    bare.fsck();
}

fn directory_file_conflicts(place: &Place) {
    let bare = repository(place);
    bare.ok("update-ref refs/heads/a main");
    bare.fail("update-ref refs/heads/a/b main");
    bare.ok("pack-refs --all");
    bare.fail("update-ref refs/heads/a/b main");
    bare.ok("update-ref -d refs/heads/a");
    bare.ok("update-ref refs/heads/a/b/c main");
    bare.fail("update-ref refs/heads/a main");
    bare.fail("update-ref refs/heads/a/b main");
    bare.ok("pack-refs --all");
    bare.fail("update-ref refs/heads/a main");
    let oid = bare.oid("main");
    bare.refuse(
        "update-ref --stdin",
        format!("create refs/heads/x {oid}\ncreate refs/heads/x/y {oid}\n"),
    );
    bare.ok("update-ref -d refs/heads/a/b/c");
    bare.ok("update-ref refs/heads/a main");
    assert_eq!(bare.names("refs/heads"), ["a"]);
    assert_eq!(count(&bare), 2);
}

fn direct_writes(place: &Place) {
    let bare = repository(place);
    let (new, old) = (bare.oid("main"), bare.oid("main~1"));
    bare.write("refs/heads/x", format!("{old}\n"));
    assert_eq!(bare.oid("x"), old);
    bare.write("refs/heads/x", format!("{new}\n"));
    assert_eq!(bare.oid("x"), new);
    bare.write("refs/heads/new/dir/y", format!("{old}\n"));
    assert_eq!(bare.oid("refs/heads/new/dir/y"), old);
    bare.write("HEAD", "ref: refs/heads/x\n");
    assert_eq!(bare.ok("symbolic-ref HEAD"), "refs/heads/x");
    // As git's own tests do: cp of one ref over another, and echo without a newline.
    fs::copy(
        bare.dir.join("refs/heads/new/dir/y"),
        bare.dir.join("refs/heads/z"),
    )
    .expect("cp");
    bare.write("refs/heads/bare", &new);
    place.crash();
    assert_eq!(bare.oid("HEAD"), new);
    assert_eq!(bare.oid("z"), old);
    assert_eq!(bare.oid("refs/heads/bare"), new);
    bare.ok(format!("update-ref refs/heads/x {old} {new}"));
    bare.write("packed-refs", format!("{old} refs/heads/by-hand\n"));
    assert_eq!(bare.oid("by-hand"), old);
    assert_eq!(
        bare.read("packed-refs"),
        format!("{old} refs/heads/by-hand\n")
    );
}

/// Refs in files of other programs: fewer promises in the first line, or none, and in any order.
fn large_packed_refs_of_other_programs(place: &Place) {
    let bare = repository(place);
    bare.ok("tag -a -m one v1");
    bare.ok("update-ref refs/other/tag v1");
    let (main, tag) = (bare.oid("main"), bare.oid("v1"));
    let mut lines: Vec<_> = (0..200_000)
        .map(|n| format!("{main} refs/changes/{n:06}\n"))
        .collect();
    lines.push(format!("{main} refs/heads/main\n"));
    lines.push(format!("{tag} refs/other/tag\n"));
    lines.push(format!("{tag} refs/tags/v1\n^{main}\n"));
    let jgit = format!("# pack-refs with: peeled \n{}", lines.concat());
    lines.reverse();
    let bare_lines = lines.concat();
    for file in [jgit, bare_lines] {
        fs::remove_file(bare.dir.join("packed-refs")).ok();
        bare.write("packed-refs.lock", &file);
        let path = |name: &str| bare.dir.join(name);
        fs::rename(path("packed-refs.lock"), path("packed-refs")).expect("mv");
        fs::remove_file(path("refs/heads/main")).ok();
        assert_eq!(count(&bare), 200_003);
        let peeled = |name: &str| bare.oid(&format!("{name}^{{}}"));
        for name in ["refs/tags/v1", "refs/other/tag"] {
            assert_eq!(bare.oid(name), tag);
            assert_eq!(peeled(name), main);
            let shown = bare.ok(format!("show-ref -d {name}"));
            assert!(shown.contains(&format!("{main} {name}^{{}}")), "{shown}");
        }
        bare.ok("update-ref refs/heads/more main");
        bare.ok("pack-refs --all");
        assert_eq!(count(&bare), 200_004);
        let shown = bare.ok("show-ref -d refs/other/tag");
        assert!(shown.contains("refs/other/tag^{}"), "{shown}");
        bare.ok("update-ref -d refs/heads/more");
    }
}

fn direct_removal(place: &Place) {
    let bare = repository(place);
    bare.ok("update-ref refs/heads/x main");
    bare.ok("pack-refs --all");
    bare.ok("update-ref refs/heads/x main~1");
    fs::remove_file(bare.dir.join("refs/heads/x")).expect("rm");
    assert_eq!(
        bare.oid("x"),
        bare.oid("main"),
        "the packed value shows again"
    );
    let absent = fs::remove_file(bare.dir.join("refs/heads/x")).expect_err("no such file");
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    fs::remove_file(bare.dir.join("packed-refs")).expect("rm packed-refs");
    bare.fail("rev-parse --verify refs/heads/x");
    place.restart();
    assert_eq!(bare.refs(), "");
}

fn garbage_is_not_a_ref(place: &Place) {
    let bare = repository(place);
    let main = bare.oid("main");
    // Whether the file takes it or refuses it, nothing else may suffer.
    let _ = fs::write(bare.dir.join("refs/heads/garbage"), "not an object name\n");
    let _ = fs::write(bare.dir.join("refs/heads/empty"), "");
    bare.fail("rev-parse --verify refs/heads/garbage");
    bare.fail("rev-parse --verify refs/heads/empty");
    assert_eq!(bare.oid("main"), main);
    for name in ["garbage", "empty"] {
        let _ = fs::remove_file(bare.dir.join("refs/heads").join(name));
    }
    bare.fsck();
    assert_eq!(count(&bare), 1);
}

fn empty_directories_go(place: &Place) {
    let bare = repository(place);
    bare.ok("update-ref refs/heads/a/b/c main");
    bare.ok("update-ref refs/heads/a/d main");
    assert_eq!(bare.names("refs/heads/a"), ["b", "d"]);
    bare.ok("update-ref -d refs/heads/a/b/c");
    assert_eq!(bare.names("refs/heads/a"), ["d"]);
    bare.ok("update-ref -d refs/heads/a/d");
    assert_eq!(bare.names("refs/heads"), ["main"]);
    assert_eq!(bare.names("refs"), ["heads", "tags"]);
}

fn empty_directories_by_hand(place: &Place) {
    let bare = repository(place);
    let dir = bare.dir.join("refs/heads/left/over");
    fs::create_dir_all(&dir).expect("mkdir -p");
    assert_eq!(bare.names("refs/heads/left"), ["over"]);
    // git removes empty directories that stand where a ref must go.
    bare.ok("update-ref refs/heads/left main");
    assert_eq!(bare.oid("left"), bare.oid("main"));
    fs::create_dir_all(bare.dir.join("refs/custom/space")).expect("mkdir -p");
    fs::remove_dir(bare.dir.join("refs/custom")).expect_err("not empty");
    fs::remove_dir(bare.dir.join("refs/custom/space")).expect("rmdir");
    fs::remove_dir(bare.dir.join("refs/custom")).expect("rmdir");
    assert_eq!(bare.names("refs"), ["heads", "tags"]);
}

fn lock(bare: &Repo, name: &str) -> std::io::Result<File> {
    let path = bare.dir.join(format!("{name}.lock"));
    File::options().write(true).create_new(true).open(path)
}

fn a_lock_excludes(place: &Place) {
    let bare = repository(place);
    let before = bare.refs();
    for name in ["refs/heads/main", "HEAD", "packed-refs"] {
        lock(&bare, name).expect("a free lock");
        let taken = lock(&bare, name).expect_err("a held lock");
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    }
    for command in [
        "update-ref refs/heads/main main~1",
        "symbolic-ref HEAD refs/heads/other",
        "pack-refs --all",
    ] {
        let said = bare.fail(
            [
                "-c",
                "core.filesRefLockTimeout=50",
                "-c",
                "core.packedRefsTimeout=50",
            ]
            .into_iter()
            .chain(command.split(' '))
            .collect::<Vec<_>>()
            .join(" "),
        );
        assert!(said.contains("File exists"), "{said}");
    }
    assert_eq!(bare.refs(), before);
    for name in ["refs/heads/main", "HEAD", "packed-refs"] {
        fs::remove_file(bare.dir.join(format!("{name}.lock"))).expect("rm lock");
    }
    bare.ok("update-ref refs/heads/main main~1");
    bare.ok("pack-refs --all");
}

fn an_abandoned_lock_changes_nothing(place: &Place) {
    use std::io::Write;
    let bare = repository(place);
    let (new, old) = (bare.oid("main"), bare.oid("main~1"));
    let mut file = lock(&bare, "refs/heads/main").expect("lock");
    writeln!(file, "{old}").expect("write");
    drop(file);
    assert_eq!(bare.read("refs/heads/main.lock"), format!("{old}\n"));
    assert_eq!(bare.oid("main"), new);
    fs::remove_file(bare.dir.join("refs/heads/main.lock")).expect("rm lock");
    assert_eq!(bare.oid("main"), new);

    // And one that is carried through by hand.
    let mut file = lock(&bare, "refs/heads/main").expect("lock");
    writeln!(file, "{old}").expect("write");
    drop(file);
    let path = |name: &str| bare.dir.join(name);
    fs::rename(path("refs/heads/main.lock"), path("refs/heads/main")).expect("mv");
    assert_eq!(bare.oid("main"), old);
    assert!(!path("refs/heads/main.lock").exists());
}

/// A dead mount's locks must not outlive it.
fn hidden_lock_files(place: &Place) {
    let bare = repository(place);
    for name in [
        "refs/heads/main",
        "refs/heads/new",
        "HEAD",
        "packed-refs",
        "config",
    ] {
        lock(&bare, name).expect("a free lock");
    }
    place.crash();
    bare.ok("update-ref refs/heads/main main~1");
    bare.ok("update-ref refs/heads/new main");
    bare.ok("symbolic-ref HEAD refs/heads/new");
    bare.ok("pack-refs --all");
    for dir in ["refs/heads", "."] {
        let left = bare.names(dir);
        let locks = left.iter().filter(|name| name.ends_with(".lock"));
        assert_eq!(
            locks.filter(|name| *name != "config.lock").count(),
            0,
            "{left:?}"
        );
    }
}

fn reflogs(place: &Place) {
    let bare = repository(place);
    bare.ok("config core.logAllRefUpdates always");
    bare.ok("update-ref -m first refs/heads/x main~2");
    bare.ok("update-ref -m second refs/heads/x main~1");
    bare.ok("update-ref -m third refs/heads/x main");
    place.crash();
    assert_eq!(bare.oid("x@{2}"), bare.oid("main~2"));
    let log = bare.ok("reflog show --format=%gs refs/heads/x");
    assert_eq!(log, "third\nsecond\nfirst");
    bare.ok("reflog delete refs/heads/x@{1}");
    assert_eq!(
        bare.ok("reflog show --format=%gs refs/heads/x"),
        "third\nfirst"
    );
    bare.ok("reflog expire --expire=all refs/heads/x");
    assert_eq!(bare.ok("reflog show --format=%gs refs/heads/x"), "");
    bare.ok("update-ref -d refs/heads/x");
    bare.ok("update-ref -m inner refs/heads/x/y main");
    assert_eq!(bare.oid("refs/heads/x/y@{0}"), bare.oid("main"));
}

fn renamed_branch(place: &Place) {
    let bare = repository(place);
    bare.ok("config core.logAllRefUpdates always");
    bare.ok("update-ref -m made refs/heads/old main");
    bare.ok("branch -m old new/name");
    bare.fail("rev-parse --verify refs/heads/old");
    assert_eq!(bare.oid("new/name"), bare.oid("main"));
    assert!(
        bare.ok("reflog show --format=%gs new/name")
            .contains("made")
    );
    bare.ok("branch -m new/name new");
    bare.ok("branch -c new copy");
    bare.fail("branch -m new main");
    bare.ok("branch -M new main");
    assert_eq!(bare.names("refs/heads"), ["copy", "main"]);
}

fn names_of_invalid_utf8(place: &Place) {
    let bare = repository(place);
    let name = OsStr::from_bytes(b"refs/heads/caf\xe9/\xff\xfe");
    bare.ok([OsStr::new("update-ref"), name, OsStr::new("main")]);
    bare.ok("pack-refs --all");
    let packed = OsStr::from_bytes(b"refs/heads/caf\xe9/\xf0");
    bare.ok([OsStr::new("update-ref"), packed, OsStr::new("main")]);
    place.restart();
    let listed = bare.bytes("for-each-ref --format=%(refname) refs/heads/caf*", "");
    let all = bare.bytes("for-each-ref --format=%(refname)", "");
    assert!(listed.is_empty() || all.starts_with(&listed));
    assert_eq!(
        all,
        b"refs/heads/caf\xe9/\xf0\nrefs/heads/caf\xe9/\xff\xfe\nrefs/heads/main\n"
    );
    let copy = place.clone("--mirror", &bare, "copy.git");
    assert_eq!(
        copy.bytes("for-each-ref", ""),
        bare.bytes("for-each-ref", "")
    );
    bare.ok([OsStr::new("update-ref"), OsStr::new("-d"), name]);
    bare.ok([OsStr::new("update-ref"), OsStr::new("-d"), packed]);
    assert_eq!(count(&bare), 1);
}

fn long_and_odd_names(place: &Place) {
    let bare = repository(place);
    // `.lock` is five bytes of the 255.
    let longest = "l".repeat(250);
    let deep = ["d"; 60].join("/");
    for name in [
        &longest,
        &deep,
        "-dash",
        "a.git",
        "x,y=z+%#!",
        "日本語",
        "HEAD",
        "refs/heads/main",
    ] {
        let name = format!("refs/heads/{name}");
        bare.ok(["update-ref", &name, "main"]);
        assert_eq!(bare.oid(&name), bare.oid("refs/heads/main"), "{name}");
    }
    bare.fail(format!("update-ref refs/heads/{} main", "x".repeat(300)));
    bare.fail("update-ref refs/heads/../escape main");
    bare.fail("update-ref refs/heads/a.lock main");
    place.restart();
    assert_eq!(count(&bare), 9);
    bare.ok("pack-refs --all");
    assert_eq!(count(&bare), 9);
}

fn pseudo_refs(place: &Place) {
    let bare = repository(place);
    bare.ok("update-ref ORIG_HEAD main~1");
    bare.ok("update-ref refs/worktree/private main");
    bare.ok("update-ref refs/bisect/bad main");
    assert_eq!(bare.oid("ORIG_HEAD"), bare.oid("main~1"));
    assert_eq!(bare.read("ORIG_HEAD"), format!("{}\n", bare.oid("main~1")));
    bare.ok("pack-refs --all");
    assert_eq!(
        bare.names("refs/bisect"),
        ["bad"],
        "per-worktree refs are never packed"
    );
    place.restart();
    assert_eq!(bare.oid("ORIG_HEAD"), bare.oid("main~1"));
    assert_eq!(bare.oid("refs/worktree/private"), bare.oid("main"));
    bare.ok("update-ref -d ORIG_HEAD");
    bare.fail("rev-parse --verify ORIG_HEAD");
}

fn listing_many(place: &Place) {
    let bare = place.bare("app.git");
    bare.import(&history::refs(4_000));
    assert_eq!(count(&bare), 4_001);
    assert_eq!(bare.names("refs/heads").len(), 4_001);
    bare.ok("pack-refs --all");
    assert_eq!(bare.names("refs/heads").len(), 0);
    assert_eq!(count(&bare), 4_001);
    let mut some = String::new();
    for number in (0..4_000).step_by(40) {
        let _ = writeln!(some, "delete refs/heads/branch-{number}");
    }
    bare.feed("update-ref --stdin", some);
    assert_eq!(count(&bare), 3_901);
    place.restart();
    assert_eq!(count(&bare), 3_901);
}

/// git trusts stat(2) to tell whether `packed-refs` changed.
fn status_of_files_is_consistent(place: &Place) {
    let bare = repository(place);
    bare.ok("pack-refs --all");
    let path = bare.dir.join("packed-refs");
    let before = fs::metadata(&path).expect("stat");
    assert_eq!(before.len(), bare.read("packed-refs").len() as u64);
    let main = bare.dir.join("refs/heads/main");
    assert!(!main.exists());
    bare.ok("update-ref refs/heads/more main");
    bare.ok("pack-refs --all");
    let after = fs::metadata(&path).expect("stat");
    assert_eq!(after.len(), bare.read("packed-refs").len() as u64);
    assert!(after.len() > before.len());
    bare.ok("update-ref refs/heads/main main~1");
    assert_eq!(fs::metadata(&main).expect("stat").len(), 41);
    assert_eq!(bare.read("refs/heads/main").len(), 41);
}
