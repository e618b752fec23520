//! Keys in the store: whatever a file is called, its key is one that every store takes,
//! says which file it is, and is nobody else's.

use gitmoor_fs::parsers::key::{by_content, by_name, candidates};
use gitmoor_fs::parsers::name;
use gitmoor_model::{Digest, RepoId, RepoPath};
use gitmoor_store::object_store::{Body, DirStore, ObjectStore};
use proptest::prelude::*;

/// Names that git gives, and names that nobody should.
fn path() -> impl Strategy<Value = RepoPath> {
    let hex =
        |n: usize| prop::collection::vec(prop::sample::select(b"0123456789abcdef".to_vec()), n);
    let loose = (hex(2), prop_oneof![hex(38), hex(62)]);
    let loose = loose.prop_map(|(fan, tail)| [&b"objects/"[..], &fan, b"/", &tail].concat());
    let byte = prop_oneof![
        prop::sample::select(b"%.ab/\xff\xc3\xbc+ \n0".to_vec()),
        any::<u8>()
    ];
    let part = prop_oneof![
        9 => prop::collection::vec(byte, 1..12),
        1 => prop::collection::vec(any::<u8>(), 180..240)
    ];
    let dir = prop::sample::select(vec![
        "pack/pack-",
        "pack/",
        "info/",
        "pack/multi-pack-index.d/",
    ]);
    let end = prop::sample::select(vec![".pack", ".idx", ".keep", ".bitmap", ""]);
    let odd = (dir, part, end);
    let odd = odd
        .prop_map(|(dir, part, end)| [b"objects/", dir.as_bytes(), &part, end.as_bytes()].concat());
    prop_oneof![1 => loose, 3 => odd].prop_filter_map("a final name", |path| {
        RepoPath::new(path).filter(|path| name::kind(path).is_some())
    })
}

fn repo() -> impl Strategy<Value = RepoId> {
    prop::sample::select(vec![[1; 16], [2; 16]]).prop_map(RepoId::from_bytes)
}

/// One of two contents.
fn digest() -> impl Strategy<Value = Digest> {
    prop::sample::select(vec![Digest([3; 32]), Digest([4; 32])])
}

/// The inverse, written from the documentation: repository, path. `None` for a name that
/// was too long.
fn parse(key: &str) -> Option<(RepoId, RepoPath)> {
    let (repo, path) = key.split_once('/').expect("a repository and a path");
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?].map(char::from);
        let [high, low] = digits.map(|digit| digit.to_digit(16));
        bytes.push((high? * 16 + low?) as u8);
    }
    Some((repo.parse().expect("an id"), RepoPath::new(bytes)?))
}

/// What a former owner of the store may still delete is nothing that is stored after a take-over.
#[test]
fn after_a_take_over_keys_are_others() {
    let repo = RepoId::from_bytes([1; 16]);
    let path = RepoPath::new("objects/pack/pack-1.pack").expect("a valid path");
    let digest = Digest([3; 32]);
    let keys = |take_over| candidates(repo, &path, &digest, true, take_over);
    let before: Vec<_> = keys(None).take(50).collect();
    assert_eq!(before[0], by_name(repo, &path));
    assert_eq!(before[1], by_content(repo, &path, &digest));
    for take_over in [1, 7, 899, 900, u64::MAX] {
        let after: Vec<_> = keys(Some(take_over)).take(50).collect();
        assert!(after.iter().all(|key| !before.contains(key)), "{after:?}");
        assert!(after[0].len() <= by_content(repo, &path, &digest).len() + 4);
    }
}

proptest! {
    #[test]
    fn a_key_says_which_file_it_is(repo in repo(), path in path(), digest in digest()) {
        let plain = by_name(repo, &path);
        if let Some(parsed) = parse(&plain) {
            prop_assert_eq!(parsed, (repo, path.clone()));
        } else {
            prop_assert!(path.file_name().len() > 222 / 3, "only long names are hashed");
        }
        let suffix = by_content(repo, &path, &digest);
        let suffix = suffix.strip_prefix(&plain).and_then(|rest| rest.strip_prefix('.'));
        let hex: String = digest.0[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(suffix, Some(&*hex));
    }

    #[test]
    fn gits_own_names_stand_as_they_are(repo in repo(), path in path()) {
        let usual = path.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"/.-_".contains(b));
        if usual && path.file_name().len() <= 222 {
            prop_assert_eq!(by_name(repo, &path), format!("{repo}/{path}"));
        }
    }

    /// Two files share a key only if they are the same file, or have the same name and bytes.
    #[test]
    fn no_two_share_a_key(
        a in (repo(), path(), digest()),
        b in (repo(), path(), digest()),
        near in any::<prop::sample::Index>(),
    ) {
        // A neighbour of a: the same path with one byte changed.
        let mut bytes = a.1.as_bytes().to_vec();
        let at = near.index(bytes.len());
        bytes[at] ^= 0x80;
        let neighbour = RepoPath::new(bytes).map(|path| (a.0, path, a.2));
        for (repo, path, digest) in [Some(b), neighbour].into_iter().flatten() {
            let same_file = (a.0, &a.1) == (repo, &path);
            let keys_a = [by_name(a.0, &a.1), by_content(a.0, &a.1, &a.2)];
            let keys_b = [by_name(repo, &path), by_content(repo, &path, &digest)];
            prop_assert_eq!(keys_a[0] == keys_b[0], same_file);
            prop_assert_eq!(keys_a[1] == keys_b[1], same_file && a.2 == digest);
            // With a digest behind it a key is no final name, nor the key of one.
            if name::kind(&a.1).is_some() && name::kind(&path).is_some() {
                let by_its_name = matches!(name::kind(&path), Some(name::Kind::Loose | name::Kind::Pack));
                prop_assert!(!by_its_name || keys_a[1] != keys_b[0], "{}", keys_a[1]);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_store_takes_them(repo in repo(), path in path(), digest in digest()) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = DirStore::open(dir.path()).expect("opens");
        for key in [by_name(repo, &path), by_content(repo, &path, &digest)] {
            prop_assert!(key.len() <= 512, "room for a prefix: {}", key.len());
            prop_assert!(key.bytes().all(|b| b.is_ascii_graphic()), "text for XML and URLs");
            store.put(&key, Body::Bytes("x".into())).expect("takes it");
            prop_assert_eq!(store.get_small(&key, 9).expect("has it"), "x");
        }
    }
}
