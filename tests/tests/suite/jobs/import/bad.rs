//! What cannot be imported is named exactly, and nothing is seen of it.

use super::{import, listed, mixed, refused, same, settings, status};
use gitmoor_tests::backend::Kind;
use gitmoor_tests::files::flip_middle;
use gitmoor_tests::git::{Installed, Repo};
use gitmoor_tests::place::Place;
use gitmoor_tests::process::report;
use gitmoor_tests::s3::{self, Fault};
use std::fs;
use std::path::{Path, PathBuf};

fn place() -> Place {
    Place::new(Kind::Dir, &Installed::newest())
}

/// The first file of a source's packs that ends so.
fn packed(source: &Repo, suffix: &str) -> PathBuf {
    let names = source.names("objects/pack");
    let name = names.iter().find(|name| name.ends_with(suffix));
    source
        .dir
        .join("objects/pack")
        .join(name.expect("it is there"))
}

fn loose(source: &Repo, content: &str) -> (String, PathBuf) {
    let oid = source.feed("hash-object -w --stdin", content);
    let at = source.dir.join("objects").join(&oid[..2]).join(&oid[2..]);
    (oid, at)
}

/// Damages a source, sees that refused by these words, mends it, and imports it.
fn until_mended(damage: impl FnOnce(&Repo, &Place) -> (PathBuf, Vec<String>)) {
    let place = place();
    let source = mixed(&place, "source", "--bare");
    let kept = place.scratch("kept");
    let (damaged, words) = {
        let copy = place.git.at(&place.scratch);
        copy.git.at(&place.scratch);
        let output = std::process::Command::new("cp")
            .arg("-a")
            .args([&source.dir, &kept])
            .output();
        assert!(output.expect("cp").status.success());
        damage(&source, &place)
    };
    let said = refused(&place, &[source.path(), "app.git"]);
    for word in &words {
        assert!(said.contains(word), "{word} in {said}");
    }
    assert_eq!(listed(&place), [""; 0]);
    assert!(!place.root.join("app.git").exists());
    assert_eq!(status(&place)[0]["stage"], "failed");
    let reason = status(&place)[0]["reason"].to_string();
    assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
    let within = damaged.strip_prefix(&source.dir).expect("of the source");
    match kept.join(within).exists() {
        true => drop(fs::copy(kept.join(within), &damaged).expect("mends")),
        false => fs::remove_file(&damaged).expect("mends"),
    }
    import(&place, &[source.path(), "app.git"]);
    same(&place, &source, "app.git");
}

fn named(path: PathBuf) -> (PathBuf, Vec<String>) {
    let name = path.display().to_string();
    (path, vec![name])
}

#[test]
fn a_damaged_pack() {
    until_mended(|source, _| {
        let pack = packed(source, ".pack");
        flip_middle(&pack);
        named(pack)
    });
}

#[test]
fn a_damaged_index() {
    until_mended(|source, _| {
        let idx = packed(source, ".idx");
        flip_middle(&idx);
        named(idx)
    });
}

#[test]
fn a_truncated_pack() {
    until_mended(|source, _| {
        let pack = packed(source, ".pack");
        let bytes = fs::read(&pack).expect("reads");
        fs::remove_file(&pack).expect("rm");
        fs::write(&pack, &bytes[..bytes.len() / 2]).expect("writes");
        named(pack)
    });
}

#[test]
fn an_empty_loose_object() {
    until_mended(|source, _| {
        let (oid, at) = loose(source, "soon empty");
        fs::remove_file(&at).expect("rm");
        fs::write(&at, "").expect("writes");
        (at, vec![oid])
    });
}

#[test]
fn a_loose_object_of_another_name() {
    until_mended(|source, _| {
        let (_, at) = loose(source, "one");
        let (oid, other) = loose(source, "other");
        fs::remove_file(&other).expect("rm");
        fs::copy(&at, &other).expect("copies");
        (other.clone(), vec![oid, other.display().to_string()])
    });
}

/// Every checksum is right, and the object is another.
#[test]
fn a_packed_object_of_another_name() {
    let place = place();
    let source = mixed(&place, "source", "--bare");
    let (lie, at) = loose(&source, "a lie");
    let pack = source.feed("pack-objects -q objects/pack/pack", format!("{lie}\n"));
    fs::remove_file(at).expect("rm");
    let (truth, at) = loose(&source, "the truth");
    fs::remove_file(at).expect("rm");
    let idx = format!("objects/pack/pack-{pack}.idx");
    rename_only_object(&source.dir.join(idx), &truth);
    fs::write(source.dir.join("refs/tags/truth"), format!("{truth}\n")).expect("writes");
    let said = refused(&place, &["--verify=full", source.path(), "app.git"]);
    assert!(said.contains("is not what its name says"), "{said}");
    assert!(said.contains(&pack), "{said}");
    assert!(listed(&place).is_empty());
}

/// In an index of version 2 (gitformat-pack(5)).
fn rename_only_object(idx: &Path, oid: &str) {
    let mut bytes = fs::read(idx).expect("reads");
    let (head, fanout, name, sum) = (8, 1024, 20, 20);
    let digits = |at: usize| u8::from_str_radix(&oid[2 * at..2 * at + 2], 16).expect("hex");
    let oid: Vec<u8> = (0..name).map(digits).collect();
    for first in 0..256 {
        let objects = u32::from(first >= usize::from(oid[0]));
        bytes[head + 4 * first..][..4].copy_from_slice(&objects.to_be_bytes());
    }
    bytes[head + fanout..][..name].copy_from_slice(&oid);
    let end = bytes.len() - sum;
    let mut digest = gix_hash::hasher(gix_hash::Kind::Sha1);
    digest.update(&bytes[..end]);
    let digest = digest.try_finalize().expect("no collision");
    bytes[end..].copy_from_slice(digest.as_slice());
    fs::write(idx, bytes).expect("writes");
}

#[test]
fn a_broken_ref() {
    until_mended(|source, _| {
        let at = source.dir.join("refs/heads/broken");
        fs::write(&at, "rubbish\n").expect("writes");
        (at, vec!["refs/heads/broken".to_owned()])
    });
}

#[test]
fn a_missing_object() {
    let place = place();
    let source = mixed(&place, "source", "--bare");
    let (blob, at) = loose(&source, "soon gone");
    let tree = source.feed("mktree", format!("100644 blob {blob}\tfile\n"));
    let commit = source.ok(format!("commit-tree -m incomplete {tree}"));
    source.ok(format!("update-ref refs/heads/incomplete {commit}"));
    fs::remove_file(&at).expect("rm");
    let said = refused(&place, &[source.path(), "app.git"]);
    assert!(said.contains(&blob), "{said}");
    assert_eq!(listed(&place), [""; 0]);
    loose(&source, "soon gone");
    import(&place, &[source.path(), "app.git"]);
    same(&place, &source, "app.git");
}

#[test]
fn clones_that_are_not_whole() {
    let place = place();
    let source = mixed(&place, "source", "--bare");
    source.ok("config uploadpack.allowFilter true");
    let shallow = place.clone("--bare --depth=2", &source, "shallow.git");
    let partial = place.clone("--bare --filter=blob:none", &source, "partial.git");
    for (clone, words) in [(shallow, "git fetch --unshallow"), (partial, "--filter")] {
        let said = refused(&place, &[clone.path(), "app.git"]);
        assert!(
            said.contains(words) && said.contains(clone.path()),
            "{said}"
        );
        settings(&place).gitmoor_ok(&["import", "--abandon", "app.git"]);
    }
    assert_eq!(listed(&place), [""; 0]);
}

#[test]
fn what_is_no_source() {
    let place = place();
    let settings = settings(&place);
    let scratch = place.scratch.to_str().expect("UTF-8");
    let file = place.scratch("file");
    fs::write(&file, "# not a bundle").expect("writes");
    let touched = place.scratch("touched");
    let ext = format!("ext::touch {}", touched.display());
    let option = format!("--upload-pack=touch {}", touched.display());
    for (code, source, words) in [
        (1, scratch, "no git repository is there"),
        (
            1,
            file.to_str().expect("UTF-8"),
            "neither a repository nor a bundle",
        ),
        (2, "/no/such/place", "No such file"),
        (2, "ftp://host/app.git", "https://"),
        (2, &option, "option"),
        (2, &ext, "protocol"),
        (1, "file:///no/such/place.git", "/no/such/place.git"),
    ] {
        let output = settings.gitmoor(&["import", "--", source, "app.git"]);
        assert_eq!(output.status.code(), Some(code), "{}", report(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words), "{words} in {said}");
        settings.gitmoor(&["import", "--abandon", "app.git"]);
    }
    assert!(!touched.exists(), "nothing of a source is run");
    assert_eq!(status(&place).len(), 0);
}

#[test]
fn names_that_are_taken() {
    let place = place();
    let source = mixed(&place, "source", "--bare");
    let other = mixed(&place, "other", "--bare");
    place.bare("app.git");
    let said = refused(&place, &[source.path(), "app.git"]);
    assert!(said.contains("app.git exists already"), "{said}");
    // Another source than that which was begun with.
    flip_middle(&packed(&source, ".pack"));
    refused(&place, &[source.path(), "new.git"]);
    let said = refused(&place, &[other.path(), "new.git"]);
    assert!(
        said.contains(source.path()) && said.contains("--abandon new.git"),
        "{said}"
    );
    settings(&place).gitmoor_ok(&["import", "--abandon", "new.git"]);
    import(&place, &[other.path(), "new.git"]);
    same(&place, &other, "new.git");
}

/// Nobody is shown a password: not the one who asks how far it is, and not the log.
#[test]
fn secrets_of_a_url() {
    let place = place();
    let url = "http://me:top-secret@127.0.0.1:1/app.git";
    let said = refused(&place, &[url, "app.git"]);
    let shown = settings(&place).gitmoor_ok(&["import", "--status"]);
    let log = fs::read_to_string(&settings(&place).log).expect("the log");
    for text in [said, shown, log] {
        assert!(!text.contains("top-secret"), "{text}");
    }
    assert_eq!(
        status(&place)[0]["source"],
        "http://***@127.0.0.1:1/app.git"
    );
}

#[test]
fn a_store_that_gives_back_something_else() {
    let place = Place::set(Kind::S3s, "");
    let source = mixed(&place, "source", "--bare");
    place.server().fail(s3::Kind::Get, Fault::WrongBytes, 1);
    let said = refused(&place, &[source.path(), "app.git"]);
    assert!(said.contains("something else than it was given"), "{said}");
    assert_eq!(listed(&place), [""; 0]);
    place.server().heal();
    import(&place, &[source.path(), "app.git"]);
    same(&place, &source, "app.git");
}

/// What is repacked while it is read is looked at anew.
#[test]
fn a_source_in_use() {
    let place = place();
    let source = mixed(&place, "source", "");
    source.ok("reset --quiet --hard main");
    let over = std::sync::atomic::AtomicBool::new(false);
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let tips = std::thread::scope(|scope| {
        let user = scope.spawn(|| {
            let mut tips = vec![source.oid("HEAD")];
            while !over.load(relaxed) {
                tips.push(source.commit(&format!("n{}", tips.len())));
                source.ok("repack -a -d --quiet");
            }
            tips
        });
        // Whether one comes through is a matter of luck; what comes through is whole.
        let mut made = Vec::new();
        for number in 0..4 {
            let name = format!("app-{number}.git");
            let output = settings(&place).gitmoor(&["import", source.path(), &name]);
            match output.status.success() {
                true => made.push(name),
                false => {
                    let said = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert!(said.contains("changes faster"), "{said}");
                }
            }
        }
        over.store(true, relaxed);
        (user.join().expect("the user"), made)
    });
    let (tips, made) = tips;
    for name in &made {
        let bare = place.repo(name);
        bare.fsck();
        assert!(tips.contains(&bare.oid("main")), "{name}");
    }
    assert_eq!(listed(&place), made);
}
