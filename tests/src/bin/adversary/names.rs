//! Names that a hostile user uses: few, so that operations meet, and those that mean something to git or Gitmoor.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::fs;
use std::path::{Path, PathBuf};

const DIRECTORIES: &[&str] = &[
    "",
    "",
    "objects",
    "objects/info",
    "objects/pack",
    "objects/ab",
    "objects/cd",
    "objects/tmp_objdir-incoming-x",
    "objects/free",
    "refs",
    "refs/heads",
    "refs/heads/deep",
    "refs/tags",
    "refs/bisect",
    "reftable",
    "hooks",
    "info",
    "logs",
    "logs/refs/heads",
    "worktrees",
    "worktrees/w",
    "modules",
    "modules/lib",
    "modules/lib/objects/ab",
    "modules/lib/refs/heads",
    "modules/lib/modules",
    "free",
    "free/deep",
];

/// Anywhere.
const NAMES: &[&str] = &[
    "a",
    "b",
    "c",
    "main",
    "main.lock",
    "x",
    "x.lock",
    "tmp_x",
    "HEAD",
    "HEAD.lock",
    "config",
    "config.lock",
    "packed-refs",
    "packed-refs.lock",
    "packed-refs.new",
    "gitmoor.config",
    "shallow",
    "shallow.lock",
    "index",
    "index.lock",
    "FETCH_HEAD",
    "ORIG_HEAD",
    "commondir",
    "gitdir",
    "description",
    "hooks",
    "refs",
    "objects",
    "info",
    "logs",
    "modules",
];

/// By directory: what is final there, or read by git.
const OWN: &[(&str, &[&str])] = &[
    (
        "objects/pack",
        &[
            "pack-1111111111111111111111111111111111111111.pack",
            "pack-1111111111111111111111111111111111111111.idx",
            "pack-1111111111111111111111111111111111111111.keep",
            "pack-1111111111111111111111111111111111111111.rev",
            "pack-1111111111111111111111111111111111111111.bitmap",
            "multi-pack-index",
            "multi-pack-index.lock",
            "tmp_pack_1",
            "tmp_idx_1",
        ],
    ),
    (
        "objects/ab",
        &[
            "11111111111111111111111111111111111111",
            "22222222222222222222222222222222222222",
            "tmp_obj_1",
        ],
    ),
    (
        "objects/info",
        &[
            "alternates",
            "http-alternates",
            "packs",
            "commit-graph",
            "commit-graph.lock",
            "commit-graphs",
        ],
    ),
    ("objects", &["ab", "cd", "12", "pack", "info", "tmp_obj_1"]),
    (
        "refs/heads",
        &["main", "main.lock", "next", "next.lock", "deep"],
    ),
    ("refs", &["heads", "tags", "stash", "replace"]),
    (
        "reftable",
        &[
            "tables.list",
            "tables.list.lock",
            "0x000000000001-0x000000000001-00000001.ref",
        ],
    ),
    (
        "hooks",
        &["pre-receive", "post-receive", "reference-transaction"],
    ),
    (
        "info",
        &["attributes", "exclude", "grafts", "refs", "sparse-checkout"],
    ),
    ("modules", &["lib", "deep"]),
    (
        "modules/lib",
        &["HEAD", "objects", "refs", "config", "modules"],
    ),
    ("modules/lib/modules", &["lib", "deep"]),
    ("modules/lib/refs/heads", &["main", "main.lock", "next"]),
    (
        "modules/lib/objects/ab",
        &["11111111111111111111111111111111111111", "tmp_obj_1"],
    ),
];

/// What symbolic links point to.
const TARGETS: &[&str] = &[
    "/etc/shadow",
    "/etc/passwd",
    "/dev/zero",
    "/dev/tty",
    "/proc/self/fd/0",
    "/proc/self/environ",
    "/proc/1/root/etc",
    "/",
    "..",
    ".",
    "../other.git",
    "../other.git/config",
    "nowhere",
    "a",
    "HEAD",
    "refs/heads",
    "objects/ab",
    "config",
];

/// Of root's files, in the directory that `CANARIES` names.
const CANARIES: &[&str] = &[
    "secret",
    "large-secret",
    "program",
    "setuid",
    "list",
    "dir",
    "dir/made",
    "made",
];

/// A directory of a repository.
pub(crate) fn directory(random: &mut StdRng) -> &'static str {
    DIRECTORIES.choose(random).copied().unwrap_or("")
}

/// A path below a repository: a name that is known, or, half of the time, one that is there.
pub(crate) fn path(random: &mut StdRng, repository: &Path) -> PathBuf {
    let below = directory(random);
    let dir = repository.join(below);
    if random.random_bool(0.4)
        && let Some(name) = there(random, &dir)
    {
        return dir.join(name);
    }
    let own = OWN.iter().find(|(dir, _)| *dir == below);
    let own = own.map_or(NAMES, |(_, names)| names);
    let names = if random.random_bool(0.7) { own } else { NAMES };
    dir.join(names.choose(random).copied().unwrap_or("a"))
}

/// The name of something that is in a directory.
fn there(random: &mut StdRng, dir: &Path) -> Option<std::ffi::OsString> {
    let names: Vec<_> = fs::read_dir(dir).ok()?.take(64).flatten().collect();
    Some(names.choose(random)?.file_name())
}

/// Where a symbolic link points to.
pub(crate) fn target(random: &mut StdRng) -> PathBuf {
    let canaries = std::env::var_os("CANARIES").map(PathBuf::from);
    match canaries {
        Some(canaries) if random.random_bool(0.5) => {
            canaries.join(CANARIES.choose(random).copied().unwrap_or("secret"))
        }
        Some(_) | None => TARGETS.choose(random).copied().unwrap_or("a").into(),
    }
}

/// What a value, a list or a config may be taken for.
pub(crate) fn bytes(random: &mut StdRng) -> Vec<u8> {
    let canaries = std::env::var("CANARIES").unwrap_or_default();
    let oid = "1".repeat(40);
    let texts = [
        format!("{oid}\n"),
        "ref: refs/heads/main\n".to_owned(),
        "ref: refs/heads/../../HEAD\n".to_owned(),
        format!(
            "[include]\n\tpath = {canaries}/secret\n[core]\n\tbare = true\n\tfsmonitor = 'touch {canaries}/made'\n"
        ),
        format!(
            "[core]\n\thooksPath = {canaries}\n\tworktree = /\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = o\n[remote \"o\"]\n\tpromisor = true\n\turl = ext::sh -c 'touch {canaries}/made'\n"
        ),
        format!("{canaries}\n../../other.git/objects\n/\n"),
        format!("# pack-refs with: peeled fully-peeled sorted \n{oid} refs/heads/packed\n"),
        format!("#!/bin/sh\ntouch {canaries}/made\n"),
        "0x000000000001-0x000000000001-00000001.ref\n".to_owned(),
        String::new(),
    ];
    match random.random_range(0..=texts.len()) {
        0 => {
            let mut noise = vec![0; random.random_range(0..20_000)];
            random.fill(&mut noise[..]);
            noise
        }
        n => texts[n - 1].clone().into_bytes(),
    }
}
